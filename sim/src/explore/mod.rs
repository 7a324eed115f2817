//! Exhaustive search of a small scope: every course that a few replicas, a few commands, a crash and some silences can take, up to a depth.
//!
//! Random schedules come to most places soon and to some never; a small scope that is searched to its end leaves nothing out ("small scope
//! hypothesis", Jackson 2006). What a model checker does with a model is done here with the machines themselves: [`World`] holds real
//! [`Raft`](tertulia_protocol::raft::Raft)s, and is cloned at each step.
//!
//! - [`world`]: the state: machines, disks, messages under way, budgets; what can happen next; what comes of it.
//! - [`rules`]: what must hold in each state, by facts and disks that no single node sees.
//!
//! Time is an action. Each node has a clock of its own, which moves only when a silence is chosen; so machines with absolute deadlines are searched as
//! they are. Two states with equal fingerprints are the same state: what follows from it is searched once, at the greatest depth that is left for it.
//! The fingerprint has 64 bits: among ten million states two different ones share one with a probability of about three in a million.
//!
//! Not searched: several groups, members that change, snapshots, damaged disks, clients. Messages arrive in any order, and a message that never arrives is
//! one that is left over when the depth is reached; none is doubled.

mod rules;
mod world;

pub use world::{Action, World};

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What is searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    pub replicas: u64,
    /// Actions in one course.
    pub depth: u32,
    /// Proposals of whoever leads.
    pub commands: u32,
    /// Linearizable reads, asked of any node.
    pub reads: u32,
    /// Crashes. Each may leave any prefix of the batches that the disk had not reported.
    pub crashes: u32,
    /// Silences: a node's clock goes on until its next deadline, or until it would vote again.
    pub silences: u32,
    /// Answer reads by leases.
    pub leases: bool,
    /// More states than this are not visited: the search ends undone.
    pub most_states: u64,
    #[cfg(feature = "zoo")]
    pub bug: Option<tertulia_protocol::zoo::Bug>,
}

impl Default for Scope {
    /// Three replicas, two commands, one crash.
    fn default() -> Scope {
        Scope {
            replicas: 3,
            depth: 9,
            commands: 2,
            reads: 0,
            crashes: 1,
            silences: 2,
            leases: false,
            most_states: 20_000_000,
            #[cfg(feature = "zoo")]
            bug: None,
        }
    }
}

/// What came of a search.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Different states.
    pub states: u64,
    /// Actions taken.
    pub steps: u64,
    /// Nothing was left out.
    pub complete: bool,
    pub violation: Option<Broken>,
}

/// A course that breaks a rule, in sentences.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    pub rule: &'static str,
    pub evidence: String,
    pub course: Vec<String>,
}

/// One level of the search: a state, what can happen in it, and what of that was tried.
struct Level {
    world: World,
    actions: Vec<Action>,
    tried: usize,
}

impl Level {
    fn new(world: World) -> Level {
        Level { actions: world.actions(), world, tried: 0 }
    }
}

/// Searches all courses, deepest first; `go_on` is asked now and then, and ends the search undone by saying no.
pub fn explore(scope: Scope, mut go_on: impl FnMut(&Found) -> bool) -> Found {
    let mut found = Found { states: 1, ..Found::default() };
    // By fingerprint: how many steps were left when a state was visited.
    let mut visited: BTreeMap<u64, u32> = BTreeMap::new();
    let first = match World::new(scope) {
        Ok(first) => first,
        Err((rule, evidence)) => {
            found.violation = Some(Broken { rule, evidence, course: Vec::new() });
            return found;
        }
    };
    visited.insert(first.fingerprint(), scope.depth);
    let mut levels = vec![Level::new(first)];
    while let Some(level) = levels.last_mut() {
        let Some(action) = level.actions.get(level.tried).copied() else {
            levels.pop();
            continue;
        };
        level.tried += 1;
        let mut next = level.world.clone();
        let broken = next.take(action).err();
        found.steps += 1;
        if let Some((rule, evidence)) = broken {
            found.violation = Some(Broken { rule, evidence, course: tell(&levels) });
            return found;
        }
        let left = scope.depth - levels.len() as u32;
        let again = match visited.entry(next.fingerprint()) {
            Entry::Vacant(entry) => {
                entry.insert(left);
                found.states += 1;
                true
            }
            Entry::Occupied(mut entry) => {
                let before = *entry.get();
                entry.insert(left.max(before));
                before < left
            }
        };
        if found.steps.is_multiple_of(4_096) && (found.states > scope.most_states || !go_on(&found)) {
            return found;
        }
        if again && left > 0 {
            levels.push(Level::new(next));
        }
    }
    found.complete = true;
    found
}

/// The course that was being searched, in sentences.
fn tell(levels: &[Level]) -> Vec<String> {
    let sentence = |level: &Level| level.tried.checked_sub(1).map(|nth| level.world.tell(level.actions[nth]));
    levels.iter().filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_scope_is_searched_to_its_end_and_nothing_is_broken() {
        let scope = Scope { depth: 6, ..Scope::default() };
        let found = explore(scope, |_| true);
        assert!(found.complete && found.violation.is_none(), "{found:?}");
        assert!(found.states > 1_000 && found.steps > found.states, "{found:?}");
        assert_eq!(found, explore(scope, |_| true), "a search is the same each time");
    }

    #[test]
    fn a_search_that_is_too_large_says_that_it_is_undone() {
        let scope = Scope { depth: 30, most_states: 1_000, ..Scope::default() };
        assert!(!explore(scope, |_| true).complete);
        assert!(!explore(Scope { depth: 30, ..Scope::default() }, |_| false).complete);
    }

    #[cfg(feature = "zoo")]
    #[test]
    fn it_finds_bugs_of_the_zoo_and_tells_their_course() {
        use tertulia_protocol::zoo::Bug;
        let scope = Scope { bug: Some(Bug::AckBeforeDurable), ..Scope::default() };
        let broken = explore(scope, |_| true).violation.unwrap();
        assert!(["acknowledged-durable", "durable-quorum"].contains(&broken.rule), "{broken:?}");
        assert!(broken.course.len() <= scope.depth as usize && broken.course[0].starts_with('n'), "{broken:?}");
        let scope = Scope { bug: Some(Bug::VoteBeforeDurable), ..scope };
        assert_eq!(explore(scope, |_| true).violation.unwrap().rule, "vote-durable");
    }
}
