//! Accepted on k nodes means: on the disks of k nodes.
//!
//! Source: Terry et al. 1995, "Managing update conflicts in Bayou, a weakly connected replicated storage system": a tentative write is logged stably where it was
//! taken; DESIGN 4, "An answer says which promise it is: accepted (on k nodes)".
//! Verifies: when a node tells a client that its request is accepted on k nodes, it has itself reported that request durable in some outbox, and has not lost it since,
//! and so have, at some time, at least k nodes in all, itself among them. A node that has applied the entry of the log by which the request is settled counts like one that has it
//! on its disk: the log is on a majority's.
//! Does *not* verify: that the other copies are there still (a node may rely on what it heard before a disk was lost); that k is as great as it could be; disks that
//! lie (`accepted-settles` sees what comes of that).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{NodeId, SessionId};
use tertulia_protocol::replica::Slot;

#[derive(Clone, Default)]
pub(crate) struct AcceptedDurable {
    /// Who has reported a request durable, and in which life of its disk.
    kept: Table<(SessionId, Slot), Vec<(NodeId, u32)>>,
    /// How often a node has lost what it had in its outbox lane.
    losses: BTreeMap<NodeId, u32>,
}

impl AcceptedDurable {
    fn losses(&self, node: NodeId) -> u32 {
        self.losses.get(&node).copied().unwrap_or(0)
    }
}

impl Rule for AcceptedDurable {
    fn name(&self) -> &'static str {
        "accepted-durable"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Kept, Topic::Accepted, Topic::Executed, Topic::TentativeRefused, Topic::OutboxDamaged, Topic::Wiped])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Fact { node, fact: Fact::OutboxDamaged } | Observed::Wiped { node } => {
                *self.losses.entry(node).or_insert(0) += 1
            }
            Observed::Fact {
                node,
                fact:
                    &(Fact::Kept { session, identity, .. }
                    | Fact::Executed { session, identity, .. }
                    | Fact::TentativeRefused { session, identity, .. }),
            } => {
                let life = self.losses(node);
                let kept = self.kept.or_insert((session, identity.slot()), Vec::new());
                match kept.iter_mut().find(|(keeper, _)| *keeper == node) {
                    Some(copy) => copy.1 = life,
                    None => kept.push((node, life)),
                }
            }
            Observed::Fact { node, fact: &Fact::Accepted { session, identity, copies } } => {
                let kept = self.kept.get(&(session, identity.slot())).map_or(&[][..], Vec::as_slice);
                let who: Vec<NodeId> = kept.iter().map(|(keeper, _)| *keeper).collect();
                let told = format!(
                    "{node} tells a client that its request {:?} of session {session} is accepted on {copies} nodes",
                    identity.slot()
                );
                if !kept.contains(&(node, self.losses(node))) {
                    return Err(format!("{told}, and has not reported it durable itself (durable on: {who:?})."));
                }
                if who.len() < copies as usize {
                    return Err(format!("{told}; it was durable on {who:?} only."));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "accepted-durable";

    #[test]
    fn a_node_that_accepts_before_its_disk_has_it_is_seen() {
        Story::of(RULE).accepted(1, 7, 1, 1).breaks(RULE, "has not reported it durable itself");
        Story::of(RULE).kept(2, 1, 7, 1).accepted(1, 7, 1, 1).breaks(RULE, "durable on: [n2]");
    }

    #[test]
    fn copies_that_nobody_has_are_seen() {
        Story::of(RULE).kept(1, 1, 7, 1).accepted(1, 7, 1, 2).breaks(RULE, "durable on [n1] only");
        Story::of(RULE).kept(1, 1, 7, 1).kept(1, 2, 7, 1).accepted(1, 7, 1, 2).breaks(RULE, "durable on [n1] only");
    }

    #[test]
    fn what_a_node_has_lost_it_has_to_have_again() {
        let lost = Story::of(RULE).kept(1, 1, 7, 1).kept(2, 1, 7, 1).crash(1).fact(1, Fact::OutboxDamaged);
        lost.accepted(1, 7, 1, 2).breaks(RULE, "has not reported it durable itself");
        let again = Story::of(RULE).kept(1, 1, 7, 1).crash(1).fact(1, Fact::OutboxDamaged).kept(1, 1, 7, 1);
        again.accepted(1, 7, 1, 1).holds();
    }

    #[test]
    fn what_was_durable_somewhere_counts_also_after_a_crash() {
        let story = Story::of(RULE).kept(1, 1, 7, 1).accepted(1, 7, 1, 1).kept(2, 1, 7, 1).kept(3, 1, 7, 1).accepted(2, 7, 1, 3);
        story.crash(1).accepted(1, 7, 1, 3).wipe(3).accepted(2, 7, 1, 3).holds();
        let settled = Story::of(RULE).kept(1, 1, 7, 1).kept(2, 1, 7, 1).executed(3, 4, 7, 1);
        settled.accepted(1, 7, 1, 3).holds();
    }
}
