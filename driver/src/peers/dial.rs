//! The connection that a node dials: hello, proof, then messages one way and signs of life back.
//!
//! The acceptor's first [`Kind::Pong`] says that it lets us in. Only then is the link up: a node that is refused (a wiped one, a stranger) never
//! looks reachable. A refusal that can stop a node counts only from an acceptor that has proved to know the secret.

use super::*;
use crate::entropy::{below, nonce};
use crate::framing::{self, Lost, Reading};
use crate::metrics::{Port, Reason};
use std::sync::atomic::Ordering::Relaxed;
use tertulia_protocol::ids::Boot;
use tertulia_protocol::wire::Frame;
use tertulia_protocol::wire::handshake::{Hello, PEER_VERSION, Proof, Side, Welcome, prove, verify};
use tokio::time::{Instant, sleep, sleep_until, timeout};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// The same warning is not given more often.
const WARN_AGAIN: Duration = Duration::from_secs(30);

/// How an attempt ended.
enum Ended {
    Lost(Lost),
    Refused(HelloRefusal),
    /// The node has stopped.
    Gone,
}

impl From<Lost> for Ended {
    fn from(lost: Lost) -> Ended {
        Ended::Lost(lost)
    }
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Ended {
        Ended::Gone
    }
}

/// Dials until it is aborted or the node has stopped.
pub(super) async fn keep_dialling<N: Net>(context: Arc<Context<N>>, peer: NodeId, address: String, queue: Arc<PeerQueue>) {
    let mut backoff = BACKOFF_MIN;
    let mut again = false;
    let mut warned: Option<(String, Instant)> = None;
    loop {
        if let Some(faults) = &context.faults {
            faults.open_to(peer).await;
        }
        context.metrics.dial();
        let mut attempt = Attempt { context: &context, peer, queue: &queue, again, up: false };
        let ended = attempt.run(&address).await;
        let was_up = attempt.up;
        let why = match ended {
            Ended::Gone => return,
            Ended::Lost(lost) => {
                lost.reason().inspect(|reason| context.metrics.refuse(Port::Peer, *reason));
                lost.to_string()
            }
            Ended::Refused(refusal) => {
                let why = refusal.to_string();
                if context.tell(Input::Refused { by: peer, refusal }).await.is_err() {
                    return;
                }
                why
            }
        };
        if was_up {
            (again, backoff) = (true, BACKOFF_MIN);
            context.metrics.link_down();
            (0..queue.close()).for_each(|_| context.metrics.drop_message());
            if context.tell(Input::Link { peer, link: Link::Down }).await.is_err() {
                return;
            }
        }
        if warned.as_ref().is_none_or(|(last, at)| *last != why || at.elapsed() >= WARN_AGAIN) {
            tracing::warn!(peer = peer.0, address, "no link: {why}");
            warned = Some((why, Instant::now()));
        }
        // Between half and all of it, so that nodes that lost each other do not knock in step.
        let half = backoff.as_micros() as u64 / 2;
        sleep(Duration::from_micros(half + below(&context.entropy, half))).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

struct Attempt<'a, N: Net> {
    context: &'a Context<N>,
    peer: NodeId,
    queue: &'a PeerQueue,
    /// There was a link before.
    again: bool,
    up: bool,
}

impl<N: Net> Attempt<'_, N> {
    async fn run(&mut self, address: &str) -> Ended {
        let greeted = timeout(HANDSHAKE_LIMIT, async {
            let mut stream = self.context.net.connect(address).await.map_err(Lost::Io)?;
            let mut reading = Reading::new(HANDSHAKE_FRAME_LIMIT, HANDSHAKE_FRAME_LIMIT as usize);
            let boot = self.greet(&mut stream, &mut reading).await?;
            Ok((stream, reading, boot))
        });
        match greeted.await {
            Err(_) => Ended::Lost(Lost::Against(Reason::Slow, format!("no handshake within {HANDSHAKE_LIMIT:?}"))),
            Ok(Err(ended)) => ended,
            Ok(Ok((stream, reading, boot))) => match self.converse(stream, reading, boot).await {
                Ok(never) => match never {},
                Err(ended) => ended,
            },
        }
    }

    /// Hello, Welcome, Proof. Returns the boot that the peer runs as.
    async fn greet(&self, stream: &mut N::Stream, reading: &mut Reading) -> Result<Boot, Ended> {
        let Context { us, address, member, lease_drift_ppm, secret, entropy, .. } = self.context;
        let hello = Hello {
            version: PEER_VERSION,
            from: *us,
            to: self.peer,
            address: address.clone(),
            member: member.load(Relaxed),
            lease_drift_ppm: *lease_drift_ppm,
            nonce: nonce(entropy),
        };
        framing::write(stream, encode_frame(Kind::Hello, &hello), PATIENCE).await?;
        let frame = reading.next(stream).await?;
        if frame.kind == Kind::HelloRefused {
            return Err(unproved(framing::expect(Kind::HelloRefused, &frame)?));
        }
        let welcome: Welcome = framing::expect(Kind::Welcome, &frame)?;
        let refusal = if welcome.from.cluster != us.cluster {
            Err(HelloRefusal::Cluster)
        } else if welcome.from.node != self.peer {
            Err(HelloRefusal::Node { this_is: welcome.from.node })
        } else {
            verify(secret, Side::Acceptor, &hello, &welcome.from, &welcome.nonce, &welcome.proof)
        };
        let refusal = match refusal {
            // The member's own folder, or one that took its address?
            Ok(()) => self.context.admit(welcome.from, true).await?,
            refused => refused,
        };
        if let Err(refusal) = refusal {
            let reason = Reason::from(&refusal);
            let why = format!("the node at this address is not let in: {refusal}");
            framing::write(stream, encode_frame(Kind::HelloRefused, &refusal), PATIENCE).await?;
            return Err(Ended::Lost(Lost::Against(reason, why)));
        }
        let proof = prove(secret, Side::Dialler, &hello, &welcome.from, &welcome.nonce);
        framing::write(stream, encode_frame(Kind::Proof, &Proof { proof }), PATIENCE).await?;
        Ok(welcome.from.boot)
    }

    /// Sends what is queued, and makes sure that somebody hears it.
    async fn converse(
        &mut self,
        mut stream: N::Stream,
        mut reading: Reading,
        boot: Boot,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut ask_at = Instant::now() + KEEP_ALIVE;
        // The first of the pings that have had no answer. They are repeated: where whole frames get lost (in a simulation), one is not enough to tell.
        let mut asked: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                frame = reading.next(&mut stream) => {
                    let frame = frame?;
                    if self.context.is_cut(self.peer) {
                        continue;
                    }
                    self.heard(frame, boot).await?;
                    (ask_at, asked) = (Instant::now() + KEEP_ALIVE, None);
                }
                () = sleep_until(ask_at) => {
                    let since = asked.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE {
                        return Err(Lost::Against(Reason::Silent, format!("no sign of life for {PATIENCE:?}")).into());
                    }
                    if !self.context.is_cut(self.peer) {
                        framing::write(&mut stream, encode_frame(Kind::Ping, &()), PATIENCE).await?;
                    }
                    ask_at = Instant::now() + KEEP_ALIVE;
                }
                frames = self.queue.take(), if self.up => {
                    if self.context.is_cut(self.peer) {
                        frames.iter().for_each(|_| self.context.metrics.drop_message());
                        continue;
                    }
                    framing::write(&mut stream, framing::concat(frames), PATIENCE).await?;
                }
            }
        }
    }

    async fn heard(&mut self, frame: Frame, boot: Boot) -> Result<(), Ended> {
        match frame.kind {
            Kind::Pong if self.up => Ok(()),
            Kind::Pong => {
                self.up = true;
                self.queue.open();
                self.context.metrics.link_up(self.again);
                tracing::info!(peer = self.peer.0, "link up");
                Ok(self.context.tell(Input::Link { peer: self.peer, link: Link::Up { boot } }).await?)
            }
            Kind::HelloRefused => Err(Ended::Refused(framing::expect(Kind::HelloRefused, &frame)?)),
            _ => Err(Lost::unexpected(&frame).into()),
        }
    }
}

/// A refusal by somebody who may be anybody.
fn unproved(refusal: HelloRefusal) -> Ended {
    match refusal {
        HelloRefusal::NewFolder { .. } | HelloRefusal::Stranger { .. } | HelloRefusal::Removed { .. } => {
            let why = format!("refused by somebody who has not shown to know the secret: {refusal}");
            Ended::Lost(Lost::Against(Reason::Unexpected, why))
        }
        _ => Ended::Refused(refusal),
    }
}
