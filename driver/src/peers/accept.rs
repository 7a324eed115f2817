//! The connections that a node accepts: hello, proof, the node's word, then messages in and signs of life back.
//!
//! Whoever has not proved to know the secret gets little: [`UNPROVED`] connections, small frames, two seconds. The node is asked whether a peer is a
//! member with its own data folder only after the proof.

use super::*;
use crate::entropy::nonce;
use crate::framing::{self, Lost, Reading};
use crate::metrics::{Port, Reason};
use std::sync::{Mutex, PoisonError};
use tertulia_protocol::ids::GROUP;
use tertulia_protocol::wire::handshake::{Hello, Proof, Side, Welcome, check_hello, prove, verify};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Accepted connections that have not proved to know the secret.
pub(crate) const UNPROVED: usize = 64;
/// Warnings about strangers, at most one in this time: anybody who reaches the port can cause them.
const WARN_AGAIN: Duration = Duration::from_secs(1);

enum Ended {
    Lost(Lost),
    /// Our own refusal. It goes to the other side.
    Refused(HelloRefusal),
    /// The same peer has connected anew.
    Replaced,
    /// A demonstration keeps us from it: it hears nothing, not even why.
    Cut,
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

/// What the accepted connections share.
struct Accepting<N: Net> {
    context: Arc<Context<N>>,
    /// The newest connection of each peer. When its sender is replaced here, an older connection hears of it and ends.
    newest: Mutex<BTreeMap<NodeId, oneshot::Sender<()>>>,
    warned: Mutex<Option<Instant>>,
}

/// Accepts until it is dropped.
pub(crate) async fn accept_peers<N: Net>(context: Arc<Context<N>>, mut listener: N::Listener) {
    let unproved = Arc::new(Semaphore::new(UNPROVED));
    let net = context.net.clone();
    let accepting = Arc::new(Accepting { context, newest: Mutex::default(), warned: Mutex::default() });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = net.accept(&mut listener) => match (accepted, Arc::clone(&unproved).try_acquire_owned()) {
                (Ok((stream, from)), Ok(place)) => {
                    let accepting = Arc::clone(&accepting);
                    connections.spawn(async move { accepting.serve(stream, from.to_string(), place).await });
                }
                (Ok(_), Err(_)) => accepting.context.metrics.refuse(Port::Peer, Reason::TooMany),
                (Err(error), _) => {
                    tracing::warn!("cannot accept a peer: {error}");
                    sleep(KEEP_ALIVE).await;
                }
            },
        }
    }
}

impl<N: Net> Accepting<N> {
    async fn serve(&self, mut stream: N::Stream, from: String, place: OwnedSemaphorePermit) {
        let mut reading = Reading::new(HANDSHAKE_FRAME_LIMIT, HANDSHAKE_FRAME_LIMIT as usize);
        let greeted = match timeout(HANDSHAKE_LIMIT, self.greet(&mut stream, &mut reading)).await {
            Ok(greeted) => greeted,
            Err(_) => Err(Lost::Against(Reason::Slow, format!("no handshake within {HANDSHAKE_LIMIT:?}")).into()),
        };
        drop(place);
        let ended = match greeted {
            Err(ended) => ended,
            Ok(peer) => {
                let reading = reading.with_limit(PEER_FRAME_LIMIT, READ_PIECE);
                match self.listen(&mut stream, reading, peer).await {
                    Ok(never) => match never {},
                    Err(ended) => ended,
                }
            }
        };
        let metrics = &self.context.metrics;
        match ended {
            Ended::Lost(lost) => {
                if let Some(reason) = lost.reason() {
                    metrics.refuse(Port::Peer, reason);
                    self.warn(&from, &lost.to_string());
                }
            }
            Ended::Refused(refusal) => {
                metrics.refuse(Port::Peer, Reason::from(&refusal));
                self.warn(&from, &format!("refused: {refusal}"));
                let _ = framing::write(&mut stream, encode_frame(Kind::HelloRefused, &refusal), PATIENCE).await;
            }
            Ended::Replaced | Ended::Cut | Ended::Gone => {}
        }
    }

    /// Hello, Welcome, Proof, and the node's word. Returns who it is.
    async fn greet(&self, stream: &mut N::Stream, reading: &mut Reading) -> Result<NodeId, Ended> {
        let Context { us, secret, entropy, .. } = &*self.context;
        let hello: Hello = match framing::expect(Kind::Hello, &reading.next(stream).await?) {
            Ok(hello) => hello,
            Err(Lost::Against(Reason::Malformed, why)) => return Err(Ended::Refused(HelloRefusal::Malformed { why })),
            Err(lost) => return Err(lost.into()),
        };
        check_hello(&hello, us, self.context.lease_drift_ppm).map_err(Ended::Refused)?;
        if self.context.is_cut(hello.from.node) {
            return Err(Ended::Cut);
        }
        let nonce = nonce(entropy);
        let welcome = Welcome { from: *us, nonce, proof: prove(secret, Side::Acceptor, &hello, us, &nonce) };
        framing::write(stream, encode_frame(Kind::Welcome, &welcome), PATIENCE).await?;
        let frame = reading.next(stream).await?;
        if frame.kind == Kind::HelloRefused {
            let refusal: HelloRefusal = framing::expect(Kind::HelloRefused, &frame)?;
            let why = format!("the peer does not let this node in: {refusal}");
            return Err(Lost::Against(Reason::from(&refusal), why).into());
        }
        let proof: Proof = framing::expect(Kind::Proof, &frame)?;
        verify(secret, Side::Dialler, &hello, us, &nonce, &proof.proof).map_err(Ended::Refused)?;
        self.context.admit(hello.from, hello.member).await?.map_err(Ended::Refused)?;
        let peer = hello.from.node;
        self.context.tell(Input::Met { peer, address: hello.address }).await?;
        Ok(peer)
    }

    /// Hands on what the peer says.
    async fn listen(
        &self,
        stream: &mut N::Stream,
        mut reading: Reading,
        peer: NodeId,
    ) -> Result<std::convert::Infallible, Ended> {
        let (mine, mut replaced) = oneshot::channel();
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, mine);
        let pong = encode_frame(Kind::Pong, &());
        framing::write(stream, pong.clone(), PATIENCE).await?;
        let mut said = Instant::now();
        loop {
            let mut asked = false;
            let is_cut = self.context.is_cut(peer);
            while let Some(frame) = reading.pop()? {
                if is_cut {
                    continue;
                }
                match frame.kind {
                    Kind::Ping => asked = true,
                    Kind::Peer => {
                        let message: Message = framing::expect(Kind::Peer, &frame)?;
                        if message.group != GROUP {
                            let why = format!("a message of group {}, which is not here", message.group);
                            return Err(Lost::Against(Reason::Group, why).into());
                        }
                        self.context.tell(Input::Message { from: peer, message }).await?;
                    }
                    _ => return Err(Lost::unexpected(&frame).into()),
                }
            }
            // Also unasked: on a slow link the ping may stand behind megabytes that are still coming.
            if !is_cut && (asked || said.elapsed() >= KEEP_ALIVE) {
                framing::write(stream, pong.clone(), PATIENCE).await?;
                said = Instant::now();
            }
            tokio::select! {
                biased;
                _ = &mut replaced => return Err(Ended::Replaced),
                filled = timeout(SILENCE, reading.fill(stream)) => match filled {
                    Ok(filled) => filled?,
                    Err(_) => return Err(Lost::Against(Reason::Silent, format!("silent for {SILENCE:?}")).into()),
                },
            }
        }
    }

    fn warn(&self, from: &str, why: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
            *warned = Some(Instant::now());
            tracing::warn!(from, "a peer's connection ended: {why}");
        }
    }
}
