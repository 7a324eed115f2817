//! What a node reported durable is there when it comes back.
//!
//! Source: thesis 3.8 (currentTerm, votedFor and log live on stable storage) and 3.6.2, which counts on it; DESIGN 6 for "the rows never pass the
//! log".
//! Verifies: a start finds a log that contains the place last reported by `Fact::Durable` and not rewritten since, and rows no newer than that log.
//! Does *not* verify: entries whose rewriting was under way at the crash (either branch may be found), term and vote (`monotonic`), the content of rows
//! (`equal-state-hash`), disks that the harness took or spoiled on purpose (`Observed::Wiped`; of a damaged log only that what is left is what was written).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;

#[derive(Clone, Default)]
pub(crate) struct DurableSurvives;

impl Rule for DurableSurvives {
    fn name(&self) -> &'static str {
        "durable-survives"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact: Fact::Started { durable, applied, .. } } = *observed else { return Ok(()) };
        if *applied > durable.index {
            return Err(format!("{id} starts with rows through {applied} but its log ends at {}.", durable.index));
        }
        let Some(node) = view.node(id) else { return Ok(()) };
        // What the harness has spoiled may be missing; `repair-silent` sees to what follows. What is there has to be what was written.
        if node.damaged {
            return match node.log.holds(*durable) {
                Some(false) if durable.index <= node.durable => Err(format!(
                    "{id} starts after damage with a log that ends at {durable:?}, and had {:?} there.",
                    node.log.at(durable.index)
                )),
                _ => Ok(()),
            };
        }
        let Some(promised) = node.log.at(node.durable) else { return Ok(()) };
        // A snapshot that was installed begins the log anew, unless the log goes on from there: what else it held was never committed.
        let anew = node.receiving == Some(*durable) && view.ancestor(node, promised, durable.index) != Some(*durable);
        if anew {
            return Ok(());
        }
        if durable.index < promised.index {
            return Err(format!(
                "{id} had reported its log durable through {promised:?}, and starts with one that ends at {durable:?}."
            ));
        }
        match view.ancestor(node, *durable, promised.index) {
            Some(found) if found != promised => Err(format!(
                "{id} had reported {promised:?} durable, \
                 and starts with a log that has {found:?} there (and ends at {durable:?})."
            )),
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Started])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log, started_with};

    const RULE: &str = "durable-survives";

    #[test]
    fn a_disk_that_loses_what_it_synced_is_seen() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1, 1]).crash(1).fact(1, started_with(log(&[1]), 0));
        story.breaks(RULE, "starts with one that ends");
    }

    #[test]
    fn a_disk_that_keeps_another_branch_is_seen() {
        let story = Story::of(RULE).three_start().append(2, 0, &[2, 2, 2]).append_durable(1, 0, &[1, 1]).crash(1);
        story.fact(1, started_with(log(&[2, 2, 2]), 0)).breaks(RULE, "has Position");
    }

    #[test]
    fn rows_that_pass_the_log_are_seen() {
        Story::of(RULE).fact(1, started_with(log(&[1]), 2)).breaks(RULE, "rows through 2");
    }

    #[test]
    fn losing_what_was_not_synced_is_fine_and_so_is_keeping_it() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1]).append(1, 1, &[1, 1]).crash(1);
        let story = story.fact(1, started_with(log(&[1]), 0)).append(1, 1, &[1, 1]).crash(1);
        story.fact(1, started_with(log(&[1, 1]), 0)).holds();
    }

    #[test]
    fn a_crash_while_the_log_is_rewritten_leaves_either_branch() {
        for found in [&[1, 1, 1][..], &[1, 1], &[1, 2], &[1]] {
            let story = Story::of(RULE).three_start().append_durable(1, 0, &[1, 1, 1]).append(1, 1, &[1, 2]).crash(1);
            story.fact(1, started_with(log(found), 0)).holds();
        }
    }

    #[test]
    fn a_snapshot_begins_the_log_anew_unless_the_log_goes_on_from_there() {
        let story = || Story::of(RULE).three_start().append(1, 0, &[1, 1, 2]);
        // Its own log had left what is committed.
        let left = story().append_durable(2, 0, &[1, 1, 1, 1, 1]).received(2, &[1, 1, 2]).crash(2);
        left.fact(2, started_with(log(&[1, 1, 2]), 3)).holds();
        let held = story().append_durable(2, 0, &[1, 1, 2, 2, 2]).received(2, &[1, 1, 2]).crash(2);
        held.fact(2, started_with(log(&[1, 1, 2]), 3)).breaks(RULE, "starts with one that ends");
    }

    #[test]
    fn a_spoiled_log_may_be_shorter_and_not_another_one() {
        let spoiled = || {
            let others = Story::of(RULE).three_start().append(2, 0, &[2, 2]);
            others.append_durable(1, 0, &[1, 1, 1]).crash(1).damage(1)
        };
        spoiled().fact(1, started_with(log(&[1]), 1)).holds();
        spoiled().fact(1, started_with(log(&[2, 2]), 0)).breaks(RULE, "starts after damage");
        // Once is once: the next start owes what the one before it found.
        let again = spoiled().fact(1, started_with(log(&[1, 1]), 0)).crash(1);
        again.fact(1, started_with(log(&[1]), 0)).breaks(RULE, "starts with one that ends");
    }

    #[test]
    fn a_wiped_disk_owes_nothing() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1, 1]).crash(1).wipe(1);
        story.fact(1, started_with(log(&[]), 0)).holds();
    }
}
