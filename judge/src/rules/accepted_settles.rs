//! What was accepted and not destroyed ends executed, once, or refused for a reason that its author is told.
//!
//! Source: Terry et al. 1995 (Bayou): every tentative write reaches the primary's order in the end; DESIGN 4 and 7, "tentative ends committed or refused once".
//! Verifies: at the settled end, every request that a node told a client to be accepted was executed by some entry, or refused by one
//! (`Fact::TentativeRefused`), if any node of the core has reported it durable and has not lost its disk, or the records of its outbox lane, since; and no request is both
//! executed and refused, in whatever order. A crash destroys nothing here: what was reported durable is there again.
//! Does *not* verify: that it is executed only once (`exactly-once`); what only nodes had that are gone at the end: removed for good, wiped, damaged, or not of the core;
//! how long it took (the simulator's `heal_within`).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, SessionId};
use tertulia_protocol::replica::Slot;

type Request = (SessionId, Slot);

/// What has become of a request, by the first entry that did it.
#[derive(Clone, Copy, Default)]
struct Fate {
    executed: Option<Index>,
    refused: Option<Index>,
}

#[derive(Clone, Default)]
pub(crate) struct AcceptedSettles {
    /// Who has reported a request durable, and in which life of its disk.
    kept: Table<Request, Vec<(NodeId, u32)>>,
    /// How often a node has lost what it had in its outbox lane.
    losses: BTreeMap<NodeId, u32>,
    /// By whom a client was told, first, that a request is accepted.
    accepted: BTreeMap<Request, (NodeId, At)>,
    fates: Table<Request, Fate>,
}

impl AcceptedSettles {
    fn losses(&self, node: NodeId) -> u32 {
        self.losses.get(&node).copied().unwrap_or(0)
    }

    fn settled(&mut self, node: NodeId, (session, slot): Request, change: impl Fn(&mut Fate)) -> Verdict {
        let fate = self.fates.or_insert((session, slot), Fate::default());
        change(fate);
        match *fate {
            Fate { executed: Some(executed), refused: Some(refused) } => Err(format!(
                "Request {slot:?} of session {session} was executed by entry {executed}, and refused by entry {refused}, which {node} has applied."
            )),
            _ => Ok(()),
        }
    }
}

impl Rule for AcceptedSettles {
    fn name(&self) -> &'static str {
        "accepted-settles"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Kept, Topic::Accepted, Topic::Executed, Topic::TentativeRefused, Topic::OutboxDamaged, Topic::Wiped])
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Wiped { node } => _ = self.losses.entry(node).and_modify(|lost| *lost += 1).or_insert(1),
            Observed::Fact { node, fact } => match *fact {
                Fact::OutboxDamaged => _ = self.losses.entry(node).and_modify(|lost| *lost += 1).or_insert(1),
                Fact::Kept { session, identity, .. } => {
                    let life = self.losses(node);
                    self.kept.or_insert((session, identity.slot()), Vec::new()).push((node, life));
                }
                Fact::Accepted { session, identity, .. } => {
                    self.accepted.entry((session, identity.slot())).or_insert((node, at));
                }
                Fact::Executed { index, session, identity } => {
                    let executed = |fate: &mut Fate| _ = fate.executed.get_or_insert(index);
                    return self.settled(node, (session, identity.slot()), executed);
                }
                Fact::TentativeRefused { index, session, identity } => {
                    let refused = |fate: &mut Fate| _ = fate.refused.get_or_insert(index);
                    return self.settled(node, (session, identity.slot()), refused);
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &View, core: &[NodeId]) -> Verdict {
        for (request, (node, at)) in &self.accepted {
            if self.fates.get(request).is_some() {
                continue;
            }
            let kept = self.kept.get(request).map_or(&[][..], Vec::as_slice);
            let whole = kept.iter().find(|(keeper, life)| core.contains(keeper) && self.losses(*keeper) == *life);
            if let Some((keeper, _)) = whole {
                let (session, slot) = request;
                return Err(format!(
                    "{node} told a client at {at} that its request {slot:?} of session {session} is accepted, and {keeper} had it on its disk and lost nothing; at the \
                     end it is neither executed nor refused."
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "accepted-settles";

    /// All are up; node 1 has request 1 of session 7 on its disk and has said so.
    fn accepted() -> Story {
        Story::of(RULE).three_start().kept(1, 1, 7, 1).accepted(1, 7, 1, 1)
    }

    #[test]
    fn what_is_accepted_and_forgotten_is_seen_at_the_end() {
        accepted().finish().breaks(RULE, "neither executed nor refused");
        let crashed = accepted().crash(1).fact(1, crate::story::started_with(crate::story::log(&[]), 0));
        crashed.executed(1, 4, 7, 2).finish().breaks(RULE, "n1 had it on its disk");
    }

    #[test]
    fn a_copy_elsewhere_is_enough_to_demand_it() {
        accepted().kept(2, 1, 7, 1).crash(1).wipe(1).finish().breaks(RULE, "n2 had it on its disk");
    }

    #[test]
    fn what_is_executed_and_refused_is_seen_in_whatever_order() {
        accepted().executed(1, 4, 7, 1).refused(2, 5, 7, 1).breaks(RULE, "executed by entry 4, and refused by entry 5");
        accepted().refused(2, 4, 7, 1).executed(1, 5, 7, 1).breaks(RULE, "executed by entry 5, and refused by entry 4");
    }

    #[test]
    fn one_fate_is_enough() {
        accepted().executed(2, 4, 7, 1).executed(1, 4, 7, 1).finish().holds();
        accepted().refused(2, 4, 7, 1).finish().holds();
    }

    #[test]
    fn what_was_lost_with_all_disks_that_held_it_is_not_asked_for() {
        accepted().crash(1).wipe(1).finish().holds();
        accepted().crash(1).fact(1, Fact::OutboxDamaged).finish().holds();
        accepted().crash(1).finish().holds();
        Story::of(RULE).three_start().kept(1, 1, 7, 1).finish().holds();
    }
}
