//! A device that shows signs of life is not let go.
//!
//! Source: docs/PROTOCOL.md and DESIGN 5: a session expires when nothing was heard of it for a time; a leader's word for that is checked again when it is applied.
//! Verifies: a client that did not log out and is told that its session is over, has had nothing executed that it sent to a leader within the last half of that time (a
//! sign of life is noted to within a quarter of it). What a node accepted without a leader is none: it may be executed when the session is over.
//! Does *not* verify: that silent devices are let go; users who log out their other devices. What a node has heard may be lost three times in a row on its way to
//! the leader: then this rule is wrong.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub(crate) struct SignsOfLife {
    idle_ms: BTreeMap<u32, u64>,
    open: BTreeMap<(u32, u64), At>,
    /// When the last thing was sent that was executed.
    alive: BTreeMap<u32, At>,
}

impl Rule for SignsOfLife {
    fn name(&self) -> &'static str {
        "signs-of-life"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientSession, Topic::ClientSubmitted, Topic::ClientAccepted, Topic::ClientAcknowledged])
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match *fact {
            ClientFact::SignedIn { client, idle_ms, .. } => _ = self.idle_ms.insert(client, idle_ms),
            ClientFact::Accepted { client, number, .. } => _ = self.open.remove(&(client, number)),
            ClientFact::Submitted { client, number, .. } => _ = self.open.entry((client, number)).or_insert(at),
            ClientFact::Acknowledged { client, number, .. } => {
                if let Some(sent) = self.open.remove(&(client, number)) {
                    let alive = self.alive.entry(client).or_insert(sent);
                    *alive = (*alive).max(sent);
                }
            }
            ClientFact::SignedOut { client, asked: false } => {
                let idle = self.idle_ms.get(&client).copied().unwrap_or(0) * 1_000;
                if let Some(alive) = self.alive.get(&client).filter(|alive| at.0.saturating_sub(alive.0) < idle / 2) {
                    return Err(format!(
                        "Client {client} is told that its session is over. It did not log out, and had something executed that it sent at {alive}; only after {} ms \
                         without a sign of life a session is let go.",
                        idle / 1_000
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::ClientFact;
    use crate::story::Story;
    use tertulia_protocol::ids::UserId;

    const RULE: &str = "signs-of-life";

    /// Posts, is heard of no more for so many milliseconds, and is told that it is over.
    fn over(silent: u64, asked: bool) -> Story {
        let story = Story::of(RULE).client(ClientFact::SignedIn { client: 7, user: UserId(1), limit: 0, idle_ms: 20 });
        let story = story.submit(7, 1, "hola").ack(7, 1, 1, "hola");
        (0..silent).fold(story, |story, seq| story.deliver(8, seq + 1, "x")).client(ClientFact::SignedOut { client: 7, asked })
    }

    #[test]
    fn who_is_let_go_in_the_midst_of_talking_is_seen() {
        over(3, false).breaks(RULE, "without a sign of life");
    }

    #[test]
    fn who_was_silent_or_logged_out_is_gone() {
        over(15, false).holds();
        over(3, true).holds();
    }

    #[test]
    fn what_was_accepted_without_a_leader_is_no_sign_of_life() {
        let story = Story::of(RULE).client(ClientFact::SignedIn { client: 7, user: UserId(1), limit: 0, idle_ms: 20 });
        let story = story.submit(7, 1, "hola").told_accepted(7, 1, "hola", 1).ack(7, 1, 1, "hola");
        story.client(ClientFact::SignedOut { client: 7, asked: false }).holds();
    }
}
