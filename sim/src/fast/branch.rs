//! One run that goes on in several ways from its rare moments.
//!
//! A seed that has come to a rare place has done the hard part: most of what can go wrong there depends on what comes next. So the world is copied when a
//! run reaches a named point of the protocol for the first time, and before a process is killed; and each copy goes on with other draws: other delays,
//! losses, syncs, torn batches, targets of faults that are still to come. Everything that has been drawn already stays, and so do the clients' scripts.
//!
//! A branch is named by its [`Turn`]s: after how many events the run left the way that it was on, and the salt that its draws are made with from there.
//! Seed and turns replay it exactly ([`replay`]); nothing else about how it was found matters.

use super::World;
use super::event::Event;
use crate::engine::{Options, Outcome, Verdict, catch};
use crate::scenario::Scenario;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use tertulia_protocol::dice::{Purpose, Seed, draw};

/// Copies of the world that are kept at a time: each holds as much memory as a run.
const CHECKPOINTS: usize = 32;
/// What a process's death is called among the places to branch.
const CRASH: &str = "a crash";

/// Where a run left the way that it was on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// So many events had happened.
    pub after: u64,
    /// Mixed into the seed of all later draws; never 0.
    pub salt: u64,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.after, self.salt)
    }
}

impl FromStr for Turn {
    type Err = String;

    fn from_str(text: &str) -> Result<Turn, String> {
        let wrong = || format!("\"{text}\" is not a turn: write EVENTS:SALT, such as 12345:2");
        let (after, salt) = text.split_once(':').ok_or_else(wrong)?;
        let turn = Turn { after: after.parse().map_err(|_| wrong())?, salt: salt.parse().map_err(|_| wrong())? };
        if turn.salt == 0 { Err(wrong()) } else { Ok(turn) }
    }
}

/// How much to branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branching {
    /// Branches of one seed.
    pub most: u32,
    /// A branch is given up so many simulated microseconds after it began; `None`: it is played to its end.
    pub horizon: Option<u64>,
}

/// What came of a seed with its branches.
#[derive(Clone, PartialEq, Debug)]
pub struct Explored {
    /// Of the first run that failed; of the trunk if none did.
    pub outcome: Outcome,
    /// How that run came where it came: none for the trunk.
    pub turns: Vec<Turn>,
    /// Branches that were played.
    pub branches: u32,
    /// Events of all runs together, those before a branch once.
    pub events: u64,
}

/// A copy of the world at a place to branch.
struct Checkpoint<'a> {
    world: World<'a>,
    place: &'static str,
    turns: Vec<Turn>,
    /// Branches that began here so far.
    tried: u32,
}

/// Plays a seed and, as long as nothing fails, its branches.
pub fn explore(scenario: &Scenario, seed: Seed, options: Options, branching: Branching) -> Explored {
    let mut tree = Tree { places: Vec::new(), reached: BTreeMap::new(), events: 0 };
    let trunk = tree.play(World::new(scenario, seed, options), &[], None);
    let mut branches = 0;
    let mut failed = None;
    let is_failure = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Failed { .. });
    while !is_failure(&trunk) && branches < branching.most {
        let Some((mut world, turns)) = tree.next(u64::from(branches) + 1) else { break };
        branches += 1;
        if let Some(turn) = turns.last() {
            world.turn(*turn);
        }
        let outcome = tree.play(world, &turns, branching.horizon);
        if is_failure(&outcome) {
            failed = Some((outcome, turns));
            break;
        }
    }
    let (outcome, turns) = failed.unwrap_or((trunk, Vec::new()));
    Explored { outcome, turns, branches, events: tree.events }
}

/// Plays one branch from its beginning.
pub fn replay(scenario: &Scenario, seed: Seed, options: Options, turns: &[Turn]) -> Outcome {
    let mut world = World::new(scenario, seed, options);
    let played = catch(|| {
        for turn in turns {
            while world.verdict.is_none() && world.events < turn.after {
                world.step();
            }
            world.turn(*turn);
        }
        world.play();
    });
    if let Err(panic) = played {
        world.fail(Verdict::failed("panic", panic));
    }
    world.outcome()
}

/// All that one seed has come to.
struct Tree<'a> {
    places: Vec<Checkpoint<'a>>,
    /// How often each place was reached, over all runs: the rarer, the sooner it is branched.
    reached: BTreeMap<&'static str, u32>,
    events: u64,
}

impl<'a> Tree<'a> {
    /// Plays a world to its end or its horizon, and copies it on the way.
    fn play(&mut self, mut world: World<'a>, turns: &[Turn], horizon: Option<u64>) -> Outcome {
        let (began, until) = (world.events, horizon.map_or(u64::MAX, |horizon| world.now + horizon));
        let places = self.places.len();
        world.news = Some(Vec::new());
        let played = catch(|| {
            while world.verdict.is_none() && world.now < until {
                self.step(&mut world, turns);
            }
        });
        if let Err(panic) = played {
            world.fail(Verdict::failed("panic", panic));
        }
        self.events += world.events - began;
        if world.verdict.as_ref().is_some_and(|verdict| matches!(verdict, Verdict::Failed { .. })) {
            // Nobody goes on from a run that has failed.
            self.places.truncate(places);
        }
        world.outcome()
    }

    fn step(&mut self, world: &mut World<'a>, turns: &[Turn]) {
        // What a crash leaves is drawn when the fault fires, so the place to branch lies before that.
        let fires = matches!(world.queue.peek(), Some((at, Event::Plan)) if world.plan.fires(at));
        let before = (fires && self.has_room()).then(|| (world.clone(), world.witness.counts.crashes));
        world.step();
        if let Some((copy, crashes)) = before
            && world.witness.counts.crashes > crashes
        {
            self.note(copy, CRASH, turns);
        }
        let Some(news) = &mut world.news else { return };
        for place in std::mem::take(news) {
            let times = self.reached.entry(place).or_insert(0);
            *times += 1;
            if *times == 1 && self.has_room() {
                self.note(world.clone(), place, turns);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.places.len() < CHECKPOINTS
    }

    fn note(&mut self, world: World<'a>, place: &'static str, turns: &[Turn]) {
        if place == CRASH {
            *self.reached.entry(place).or_insert(0) += 1;
        }
        self.places.push(Checkpoint { world, place, turns: turns.to_vec(), tried: 0 });
    }

    /// The world to branch next: from the place with the fewest branches, of those one that was reached least, of those the first one (measured: to begin with
    /// the last one finds less). `salt`: of the new branch.
    fn next(&mut self, salt: u64) -> Option<(World<'a>, Vec<Turn>)> {
        let reached = &self.reached;
        let rank = |place: &Checkpoint<'_>| (place.tried, reached.get(place.place).copied().unwrap_or(0));
        let place = self.places.iter_mut().min_by_key(|place| rank(place))?;
        place.tried += 1;
        let mut turns = place.turns.clone();
        turns.push(Turn { after: place.world.events, salt });
        Some((place.world.clone(), turns))
    }
}

impl World<'_> {
    /// From here on everything is drawn with another salt.
    fn turn(&mut self, turn: Turn) {
        self.draws = Seed(draw(self.draws, Purpose::Branch, 0, turn.after, turn.salt));
        self.network.reseed(self.draws);
        self.plan.reseed(self.draws);
        for host in &mut self.hosts {
            host.disk.reseed(self.draws);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        let text = "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\nlinks = { default = \"2ms..8ms\" }\n[workload]\nclients = 2\nrate = \"20/s\"\n\
                    stop = \"6s\"\n[[fault]]\nat = \"2s..4s\"\ncrash = \"leader\"\ndisk = \"torn\"\nfor = \"500ms\"";
        Scenario::parse("x", text).unwrap()
    }

    const ALL: Branching = Branching { most: 6, horizon: None };

    #[test]
    fn a_run_that_is_copied_on_its_way_is_the_same_run() {
        let (scenario, options) = (scenario(), Options::default());
        let plain = crate::fast::run(&scenario, Seed(3), options).unwrap();
        let explored = explore(&scenario, Seed(3), options, ALL);
        assert_eq!((explored.outcome, explored.branches), (plain, 6));
        assert_eq!(explored.turns, []);
    }

    #[test]
    fn a_branch_is_played_again_from_its_turns() {
        let (scenario, options) = (scenario(), Options::default());
        let mut tree = Tree { places: Vec::new(), reached: BTreeMap::new(), events: 0 };
        let trunk = tree.play(World::new(&scenario, Seed(5), options), &[], None);
        assert!(tree.places.iter().any(|place| place.place == CRASH));
        let mut traces = vec![trunk.trace];
        for salt in 1..=12 {
            let (mut world, turns) = tree.next(salt).unwrap();
            world.turn(*turns.last().unwrap());
            let branch = tree.play(world, &turns, None);
            assert_eq!(replay(&scenario, Seed(5), options, &turns), branch, "{turns:?}");
            assert!(!traces.contains(&branch.trace), "another salt is another run");
            traces.push(branch.trace);
        }
        assert_eq!(replay(&scenario, Seed(5), options, &[]), trunk);
    }

    #[test]
    fn a_turn_is_written_as_it_is_read() {
        let turn = Turn { after: 12_345, salt: 2 };
        assert_eq!(turn.to_string().parse(), Ok(turn));
        assert!("12345".parse::<Turn>().is_err() && "1:0".parse::<Turn>().is_err() && "a:1".parse::<Turn>().is_err());
    }
}
