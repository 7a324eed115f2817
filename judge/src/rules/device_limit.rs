//! Nobody acts from more devices at once than the cluster allows, whichever nodes are asked.
//!
//! Source: docs/PROTOCOL.md and DESIGN 5, "a limit on devices holds whichever nodes are asked at once".
//! Verifies: there is no moment after which more than `limit` sessions of one user, all told before it that they are signed in, had a post executed (a session that was
//! logged out or let go never comes back, so all of them lived at that moment; that one was let go is known to nobody outside before it asks again, so who is only silent
//! counts for nothing); who is refused for this reason was shown as many devices as are allowed.
//! Does *not* verify: that a device is refused only when it must be; posts that are sent in one session's name and executed after it is over are taken for signs of
//! life (the cluster refuses them), unless a node had accepted them without a leader: those count for nothing.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::UserId;

#[derive(Clone, Copy)]
struct Session {
    /// When it was told that it is signed in, and when it sent the last post that is known to be executed: counted in what the rule has heard.
    told: u64,
    alive: u64,
}

#[derive(Clone, Default)]
pub(crate) struct DeviceLimit {
    heard: u64,
    users: BTreeMap<u32, (UserId, u32)>,
    sessions: BTreeMap<UserId, BTreeMap<u32, Session>>,
    /// Posts without an outcome, and when they were sent.
    open: BTreeMap<(u32, u64), u64>,
}

impl DeviceLimit {
    fn executed(&mut self, client: u32, number: u64) -> Verdict {
        let Some(sent) = self.open.remove(&(client, number)) else { return Ok(()) };
        let Some(&(user, limit)) = self.users.get(&client) else { return Ok(()) };
        let sessions = self.sessions.entry(user).or_default();
        let Some(session) = sessions.get_mut(&client) else { return Ok(()) };
        session.alive = session.alive.max(sent);
        // The moments that count are those at which somebody was told; after each, who was told by then and lives is counted.
        for moment in sessions.values().map(|session| session.told) {
            let living = sessions.iter().filter(|(_, session)| session.told <= moment && session.alive > moment);
            let living: Vec<u32> = living.map(|(client, _)| *client).collect();
            if limit > 0 && living.len() > limit as usize {
                return Err(format!(
                    "User {user} may be signed in from {limit} devices; clients {living:?} were all told that they are, and all had something executed after that."
                ));
            }
        }
        Ok(())
    }
}

impl Rule for DeviceLimit {
    fn name(&self) -> &'static str {
        "device-limit"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientSession, Topic::ClientSubmitted, Topic::ClientAccepted, Topic::ClientAcknowledged])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        self.heard += 1;
        match *fact {
            ClientFact::SignedIn { client, user, limit, .. } => {
                self.users.insert(client, (user, limit));
                self.sessions.entry(user).or_default().entry(client).or_insert(Session { told: self.heard, alive: 0 });
            }
            ClientFact::Submitted { client, number, .. } => _ = self.open.entry((client, number)).or_insert(self.heard),
            ClientFact::Accepted { client, number, .. } => _ = self.open.remove(&(client, number)),
            ClientFact::Acknowledged { client, number, .. } => return self.executed(client, number),
            ClientFact::TooManyDevices { client, limit, devices } if devices < limit || limit == 0 => {
                return Err(format!(
                    "Client {client} was refused because its user is signed in from {limit} devices, and was shown {devices} of them."
                ));
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

    const RULE: &str = "device-limit";

    fn signs_in(story: Story, client: u32) -> Story {
        story.client(ClientFact::SignedIn { client, user: UserId(1), limit: 2, idle_ms: 0 })
    }

    fn posts(story: Story, client: u32, number: u64) -> Story {
        let text = format!("{client}.{number}");
        story.submit(client, number, &text).ack(client, number, u64::from(client) * 100 + number, &text)
    }

    #[test]
    fn three_who_all_go_on_after_the_third_was_let_in_are_seen() {
        let story = signs_in(signs_in(signs_in(Story::of(RULE), 1), 2), 3);
        let story = posts(posts(story, 1, 1), 2, 1);
        posts(story, 3, 1).breaks(RULE, "may be signed in from 2 devices");
    }

    #[test]
    fn who_is_refused_and_not_told_why_is_seen() {
        let refused = |devices| Story::of(RULE).client(ClientFact::TooManyDevices { client: 3, limit: 2, devices });
        refused(1).breaks(RULE, "was shown 1 of them");
        refused(2).holds();
    }

    #[test]
    fn a_device_that_is_heard_of_no_more_may_be_over() {
        let story = posts(posts(signs_in(signs_in(Story::of(RULE), 1), 2), 1, 1), 2, 1);
        // What the first one sent before the third came may be acknowledged late.
        let story = signs_in(story.submit(1, 2, "late"), 3).ack(1, 2, 900, "late");
        posts(posts(story, 2, 2), 3, 1).holds();
    }

    #[test]
    fn what_a_node_accepted_without_a_leader_may_be_executed_when_its_device_is_over() {
        let story = signs_in(signs_in(signs_in(Story::of(RULE), 1), 2), 3);
        let story = story.submit(1, 1, "1.1").told_accepted(1, 1, "1.1", 1).ack(1, 1, 101, "1.1");
        posts(posts(story, 2, 1), 3, 1).holds();
    }
}
