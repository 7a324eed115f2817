//! The links between nodes: how long a message takes, whether it arrives, and who believes to be connected.
//!
//! Every draw is keyed by the link and the message's own digest, with a count of that same message's repetitions on that link: what happens to a
//! message does not depend on how many others went before it. A link comes up when both ends are up and nothing blocks it, after a dial; it goes down
//! when somebody notices: soon after a crash, after a silence when it is blocked. Messages under way to a process that has died are lost, those of a
//! dead sender arrive.

use crate::plan::Conditions;
use crate::scenario::{Cluster, Span};
use tertulia_protocol::dice::{Purpose, Seed, chance, draw};
use tertulia_protocol::ids::{Boot, NodeId};

/// How long it takes to notice that a peer is silent.
const SILENCE: Span = Span::millis(300, 1_000);
/// Pause before a peer is dialled.
const DIAL: Span = Span::millis(5, 100);
/// Within so many microseconds nodes are connected over a way that opens: a refused dial is tried again once, and that takes a second message on any link.
pub(super) const RECONNECT: u64 = 800_000;
/// Messages whose repetitions are counted, a link: a power of two.
const REMEMBERED: usize = 512;

/// When the copies of a message arrive: none, one or two.
pub(super) type Arrivals = [Option<u64>; 2];

/// What is known of the connection of two nodes.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    /// The processes that are connected.
    pub boots: Option<(Boot, Boot)>,
    /// Who they are.
    pub ids: (NodeId, NodeId),
    /// Whether each of them dialled, so that it has a link and can send.
    pub up: (bool, bool),
    /// A dial is under way.
    pub dialling: bool,
    /// Somebody is about to notice that it is gone.
    pub breaking: bool,
}

impl Pair {
    const APART: Pair = Pair { boots: None, ids: (NodeId(0), NodeId(0)), up: (false, false), dialling: false, breaking: false };
}

#[derive(Clone)]
pub(super) struct Network {
    seed: Seed,
    nodes: usize,
    delays: Vec<Span>,
    pairs: Vec<Pair>,
    /// By link: (digest, repetitions), the newest of each slot.
    repeats: Vec<(u64, u32)>,
    /// Messages that a fault lost or doubled.
    pub touched: u64,
    /// Messages that a fault held back.
    pub held_back: u64,
    draws: u64,
}

impl Network {
    pub fn new(seed: Seed, cluster: &Cluster) -> Network {
        let nodes = cluster.hosts();
        let delays = (0..nodes * nodes).map(|link| cluster.delay(link / nodes, link % nodes)).collect();
        let repeats = vec![(0, 0); nodes * nodes * REMEMBERED];
        Network { seed, nodes, delays, pairs: vec![Pair::APART; nodes * nodes], repeats, touched: 0, held_back: 0, draws: 0 }
    }

    /// Draws come from here from now on.
    pub fn reseed(&mut self, seed: Seed) {
        self.seed = seed;
    }

    /// The state of a connection; the order of the ends does not matter, `boots` are in ascending order of the nodes.
    pub fn pair(&mut self, a: usize, b: usize) -> &mut Pair {
        &mut self.pairs[a.min(b) * self.nodes + a.max(b)]
    }

    /// When a message arrives that is sent now.
    pub fn send(&mut self, now: u64, from: usize, to: usize, digest: u64, conditions: &Conditions) -> Arrivals {
        if conditions.blocked(from, to) {
            return [None, None];
        }
        let link = from * self.nodes + to;
        let nth = self.repetition(link, digest);
        let drawn = |purpose, nth| draw(self.seed, purpose, link as u64, digest, nth);
        let delay = conditions.delay(from, to).unwrap_or(self.delays[link]);
        let mut at = now + delay.pick(drawn(Purpose::LinkDelay, nth));
        if conditions.is_fair() {
            return [Some(at), None];
        }
        let (loss, duplicate, delays) = conditions.weather(from, to);
        for (more, by) in delays.enumerate() {
            at += by.pick(drawn(Purpose::LinkExtraDelay, nth + ((more as u64) << 32)));
        }
        for (nth_fault, (part, by)) in conditions.held_back(from, to).enumerate() {
            let which = nth + (1 << 40) + ((nth_fault as u64) << 48);
            if chance(drawn(Purpose::LinkLoss, which), part) {
                at += by.pick(drawn(Purpose::LinkExtraDelay, which));
                self.held_back += 1;
            }
        }
        let again = (duplicate > 0 && chance(drawn(Purpose::LinkDuplicate, nth), duplicate))
            .then(|| at + delay.pick(drawn(Purpose::LinkDelay, nth + (1 << 32))));
        let lost = loss > 0 && chance(drawn(Purpose::LinkLoss, nth), loss);
        self.touched += u64::from(lost || again.is_some());
        [(!lost).then_some(at), again]
    }

    /// Microseconds until a dial succeeds.
    pub fn dial(&mut self, a: usize, b: usize) -> u64 {
        let there = self.delays[a * self.nodes + b].to + self.delays[b * self.nodes + a].to;
        there + DIAL.pick(self.next_draw(a, b))
    }

    /// Microseconds until the end of a connection is noticed.
    pub fn notice(&mut self, a: usize, b: usize, silent: bool) -> u64 {
        let span = if silent { SILENCE } else { self.delays[a * self.nodes + b] };
        span.pick(self.next_draw(a, b))
    }

    /// How often this very message was sent on this link before (as far back as the link remembers).
    fn repetition(&mut self, link: usize, digest: u64) -> u64 {
        let slot = &mut self.repeats[link * REMEMBERED + (digest as usize & (REMEMBERED - 1))];
        *slot = if slot.0 == digest { (digest, slot.1 + 1) } else { (digest, 0) };
        u64::from(slot.1)
    }

    /// For connections, which have no better name than their count on this pair of nodes.
    fn next_draw(&mut self, a: usize, b: usize) -> u64 {
        self.draws += 1;
        draw(self.seed, Purpose::LinkDelay, (1 << 32) + (a * self.nodes + b) as u64, 0, self.draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_a_message_depends_on_nothing_but_itself() {
        let scenario = crate::scenario::Scenario::parse(
            "x",
            "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"1s\"",
        );
        let cluster = scenario.unwrap().cluster;
        let plan = |messages: &[u64]| {
            let mut network = Network::new(Seed(3), &cluster);
            let conditions = Conditions::for_tests(3);
            messages.iter().map(|digest| network.send(0, 0, 1, *digest, &conditions)).collect::<Vec<_>>()
        };
        let (all, some) = (plan(&[10, 20, 30, 20]), plan(&[20, 20]));
        assert_eq!([all[1], all[3]], some[..]);
        assert_ne!(all[1], all[3], "a repetition is drawn anew");
    }
}
