//! Tentative entries: what a node accepts while it can reach no leader, and how they spread.
//!
//! An outbox belongs to one start of one node. Whoever it reaches holds a copy; a leader proposes what it holds; applying settles it. The outbox only *carries*: a request is
//! the same by its session and its number or key, wherever it arrives and however often, and the session table executes it once.
//!
//! Rules:
//! - An entry is told to a client as accepted only when it is durable (`kept.rs`), and shown to others only then.
//! - An entry is taken from a peer only behind its predecessor and when everything that its writer had seen is here (`spread.rs`). So whoever holds an entry holds all that it
//!   depends on, or knows through where of the log that is settled.
//! - A session's number is accepted only when all lower ones are executed or held here: no outbox holds a number whose predecessor nobody accepted.
//! - The order is by `written_at`, by hybrid clocks (Kulkarni et al. 2014), and never before what the writer had seen. A clock that is too far ahead moves nothing else with it.
//! - An entry is shown and proposed only where the state has come to what its writer had seen.
//! - While a leader answers, nothing is accepted and nothing is written.
//!
//! This is the epidemic exchange of Bayou (Terry et al. 1995) with version vectors, without its primary: the log decides.

mod entry;
mod kept;
mod message;
mod spread;
#[cfg(test)]
mod tests;
#[cfg(feature = "zoo")]
mod zoo;

pub use entry::Entry;
pub use message::{Extent, OutboxMessage};

use crate::contract::*;
use crate::facts::Fact;
use crate::ids::*;
use crate::replica::{Identity, Slot};
use crate::time::{Duration, Instant, Timestamp};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use kept::Lane;
use spread::Spread;

/// How far ahead of this node's wall clock a stamp may stand and still be believed.
pub const CLOCK_AHEAD: Duration = Duration::from_millis(500);

/// Where an entry stands: by this order entries are shown and proposed. The stamp is [`Entry::written_at`], unless that is beyond belief or not after what its writer had seen.
pub type Order = (Timestamp, OutboxId, u64);

/// What the machine asks of its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    Send {
        to: NodeId,
        class: Class,
        message: OutboxMessage,
    },
    Keep {
        id: u64,
        keep: Keep,
    },
    /// This entry is durable here, and the state has come to what it depends on: members may see it.
    Show {
        order: Order,
    },
    /// This request is durable here, or on more nodes than it was.
    Durable {
        request: (SessionId, Slot),
    },
}

/// What a node can do for its entries now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// No leader answers: accept, store, spread to everybody.
    Nobody,
    /// A leader answers: bring it what is held.
    Leader(NodeId),
    /// This node leads, and its state holds all that was committed before.
    Leads,
}

#[derive(Clone, Debug)]
struct Held {
    entry: Entry,
    order: Order,
    /// The state must have come here before it is shown or proposed.
    needs: Index,
    /// Through where of the log it is executed or refused, once it is.
    settled_by: Option<Index>,
    shown: bool,
    /// Durable on this node's disk.
    kept: bool,
}

/// What is known of one outbox.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Dense but for what is settled: whatever is not here and at most `held` is settled by the log through `settled_by`.
    entries: BTreeMap<u64, Held>,
    held: u64,
    /// Everything through here is settled, and nobody needs it. Some of it may still be shown, until the state here has come to where it was settled.
    settled: u64,
    settled_by: Index,
    /// Handed to the outbox lane, and durable.
    written: u64,
    /// Through where the records in that lane tell of it, one way or the other.
    recorded: u64,
    durable: u64,
    /// The latest stamp of its order so far.
    top: Timestamp,
    /// The most that one of its entries needs.
    needs: Index,
}

impl Known {
    fn extent(&self, outbox: OutboxId) -> Extent {
        let &Known { held, settled, settled_by, durable, .. } = self;
        Extent { outbox, settled, settled_by, held, durable: durable.max(settled) }
    }

    fn is_open(&self) -> bool {
        self.entries.values().any(|held| held.settled_by.is_none())
    }
}

/// All tentative entries of one node. Part of [`crate::node::Node`].
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    own: OutboxId,
    limit: u64,
    known: BTreeMap<OutboxId, Known>,
    /// In which outboxes a request stands that is not settled.
    requests: BTreeMap<(SessionId, Slot), BTreeSet<(OutboxId, u64)>>,
    /// Not settled, by their order.
    open: BTreeSet<Order>,
    /// Durable, and waiting for the state to come to what they need.
    waiting: BTreeSet<(Index, Order)>,
    bytes: u64,
    clock: Timestamp,
    applied: Index,
    reach: Reach,
    /// The term that this node leads, and what it has not proposed in it.
    proposing: Option<Term>,
    unproposed: BTreeSet<Order>,
    /// Removed nodes: nobody waits for what their outboxes may hold.
    sealed: BTreeSet<NodeId>,
    lane: Lane,
    spread: Spread,
    now: Now,
    #[cfg(feature = "zoo")]
    bug: Option<crate::zoo::Bug>,
    facts: Vec<Fact>,
    outputs: VecDeque<Output>,
}

/// Why an entry was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full {
    pub limit: u64,
}

/// A request for the outbox.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub session: SessionId,
    pub identity: Identity,
    pub first_unacked: u64,
    pub command: Bytes,
}

impl Outbox {
    pub(crate) fn new(node: NodeId, boot: Boot, limits: &Limits, now: Now) -> Outbox {
        Outbox {
            own: OutboxId { node, boot },
            limit: limits.outbox_bytes,
            known: BTreeMap::new(),
            requests: BTreeMap::new(),
            open: BTreeSet::new(),
            waiting: BTreeSet::new(),
            bytes: 0,
            clock: Timestamp::default(),
            applied: 0,
            reach: Reach::Nobody,
            proposing: None,
            unproposed: BTreeSet::new(),
            sealed: BTreeSet::new(),
            lane: Lane::default(),
            spread: Spread::default(),
            now,
            #[cfg(feature = "zoo")]
            bug: None,
            facts: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    // ---- what is known ------------------------------------------------------------------------------------------------------------------

    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    /// Whether [`Outbox::poll_output`] may have something: asked after every input of the node, and nearly always in vain.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        !self.outputs.is_empty() || !self.facts.is_empty() || self.lane.owes || self.spread.owes_answers
    }

    /// What happened since the last call. Told before anything that follows from it.
    pub(crate) fn take_facts(&mut self) -> Vec<Fact> {
        core::mem::take(&mut self.facts)
    }

    /// Nothing is held: nothing is to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Entries that are not settled.
    pub(crate) fn len(&self) -> u64 {
        self.open.len() as u64
    }

    pub(crate) fn entry(&self, order: &Order) -> Option<&Entry> {
        let (_, outbox, n) = order;
        self.known.get(outbox)?.entries.get(n).map(|held| &held.entry)
    }

    /// Whether an entry is held and not settled.
    pub(crate) fn is_open(&self, order: &Order) -> bool {
        self.open.contains(order)
    }

    /// All that members may see, in order.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&Order, &Entry)> {
        let held = |order: &Order| self.known.get(&order.1)?.entries.get(&order.2);
        self.open.iter().filter_map(move |order| held(order).filter(|held| held.shown).map(|held| (order, &held.entry)))
    }

    pub(crate) fn holds(&self, request: &(SessionId, Slot)) -> bool {
        self.requests.contains_key(request)
    }

    /// The number behind the greatest one of this session that is held and not settled.
    pub(crate) fn next_number(&self, session: SessionId) -> Option<u64> {
        let numbers = (session, Slot::Number(0))..=(session, Slot::Number(u64::MAX));
        match self.requests.range(numbers).next_back() {
            Some(((_, Slot::Number(number)), _)) => Some(number + 1),
            _ => None,
        }
    }

    /// On how many nodes a request is known to be durable; 0 unless it is here.
    pub(crate) fn copies(&self, request: &(SessionId, Slot)) -> u32 {
        #[cfg(feature = "zoo")]
        if let Some(copies) = self.copies_in_memory(request) {
            return copies;
        }
        let Some(places) = self.requests.get(request) else { return 0 };
        let held = |(outbox, n): &(OutboxId, u64)| self.known.get(outbox).and_then(|known| known.entries.get(n));
        let here = |place: &(OutboxId, u64)| held(place).is_some_and(|held| held.kept);
        if !places.iter().any(here) {
            return 0;
        }
        1 + self.spread.holders(places)
    }

    /// Entries of a node that this one knows of and that are not settled here: those that it holds, and those that node says that it holds.
    pub(crate) fn undrained(&self, node: NodeId) -> u64 {
        let settled = |outbox: &OutboxId| self.known.get(outbox).map_or(0, |known| known.settled);
        let said =
            self.spread.extents_of(node).map(|extent| extent.held.saturating_sub(extent.settled.max(settled(&extent.outbox))));
        said.sum()
    }

    /// Through where the outboxes of a node are known here, settled or not.
    pub(crate) fn extents_of(&self, node: NodeId) -> Vec<(Boot, u64)> {
        let of_node = self.known.iter().filter(|(outbox, _)| outbox.node == node);
        of_node.map(|(outbox, known)| (outbox.boot, known.held)).collect()
    }

    /// Nodes whose wall clock is so many milliseconds ahead of this one's, beyond [`CLOCK_AHEAD`], by what they said last.
    pub(crate) fn clocks_ahead(&self) -> Vec<(NodeId, u64)> {
        self.spread.clocks_ahead()
    }

    // ---- inputs -------------------------------------------------------------------------------------------------------------------------

    /// Accepts a request into this node's own outbox. The caller has made sure that it is not held, and that its predecessors are executed or held.
    pub(crate) fn accept(&mut self, now: Now, applied: Index, offered: Offered) -> Result<(), Full> {
        self.tick(now);
        let seen = self.open_elsewhere();
        let Offered { session, identity, first_unacked, command } = offered;
        let n = self.known.get(&self.own).map_or(0, |known| known.held) + 1;
        let written_at = Timestamp::next(self.clock, now.wall);
        #[cfg(feature = "zoo")]
        let written_at = self.spoil_clock(written_at, now);
        let entry = Entry { outbox: self.own, n, written_at, applied, seen, session, identity, first_unacked, command };
        if self.bytes + entry.cost() > self.limit {
            self.tell_point(crate::point!("outbox.full"));
            return Err(Full { limit: self.limit });
        }
        self.tell_point(match self.reach {
            Reach::Nobody => crate::point!("outbox.accepted"),
            Reach::Leader(_) | Reach::Leads => crate::point!("outbox.behind_tentative"),
        });
        self.push_out(&entry);
        self.hold(entry);
        self.write();
        Ok(())
    }

    /// Through where this node holds other outboxes in which something is open.
    fn open_elsewhere(&self) -> Vec<(OutboxId, u64)> {
        let others = self.known.iter().filter(|(outbox, known)| **outbox != self.own && known.is_open());
        others.map(|(outbox, known)| (*outbox, known.held)).collect()
    }

    /// A request was executed or refused by applying the log through `by`.
    pub(crate) fn settle(&mut self, request: (SessionId, Slot), by: Index) {
        let Some(places) = self.requests.remove(&request) else { return };
        for (outbox, n) in places {
            let Some(known) = self.known.get_mut(&outbox) else { continue };
            let Some(held) = known.entries.get_mut(&n) else { continue };
            held.settled_by = Some(by);
            let (order, needs) = (held.order, held.needs);
            self.open.remove(&order);
            self.unproposed.remove(&order);
            self.waiting.remove(&(needs, order));
            self.trim(outbox);
        }
        self.tell_point(crate::point!("outbox.settled"));
        self.spread.changed(self.now);
    }

    /// The state has come through `applied`.
    pub(crate) fn handle_applied(&mut self, applied: Index) {
        self.applied = self.applied.max(applied);
        while let Some((needs, order)) = self.waiting.first().copied().filter(|(needs, _)| *needs <= self.applied) {
            self.waiting.remove(&(needs, order));
            self.show(order);
        }
    }

    /// Looks at everything that is held anew: the state has jumped, or this is a start.
    pub(crate) fn review(&mut self, applied: Index, is_settled: impl Fn(SessionId, Slot) -> bool) {
        let settled: Vec<(SessionId, Slot)> =
            self.requests.keys().copied().filter(|(session, slot)| is_settled(*session, *slot)).collect();
        for request in settled {
            self.settle(request, applied);
        }
        self.handle_applied(applied);
    }

    /// Whom this node reaches.
    pub(crate) fn see_reach(&mut self, now: Now, reach: Reach) {
        if self.reach == reach {
            return;
        }
        self.tick(now);
        self.reach = reach;
        if reach != Reach::Leads {
            (self.proposing, self.unproposed) = (None, BTreeSet::new());
        }
        if reach == Reach::Nobody {
            // What was held for a leader is this node's to keep now.
            self.write();
        }
        self.spread.reach_changed(now);
    }

    /// These nodes were removed: what their outboxes hold beyond what is known, nobody waits for.
    pub(crate) fn see_seals(&mut self, seals: impl ExactSizeIterator<Item = NodeId>) {
        if seals.len() != self.sealed.len() {
            self.sealed = seals.collect();
            self.tell_point(crate::point!("outbox.sealed"));
        }
    }

    /// What this node, as the leader of a term, should propose next of what it has not proposed in it: in order, at most so many.
    pub(crate) fn due_proposals(&mut self, term: Term, most: usize) -> Vec<Order> {
        if self.proposing != Some(term) {
            self.proposing = Some(term);
            self.unproposed.clone_from(&self.open);
        }
        let needs = |order: &Order| self.known.get(&order.1).and_then(|known| known.entries.get(&order.2)).map(|held| held.needs);
        let due = |order: &&Order| needs(order).is_some_and(|needs| needs <= self.applied);
        let due = self.unproposed.iter().filter(due).take(most).copied().collect();
        #[cfg(feature = "zoo")]
        let due = self.spoil_due(due, most);
        due
    }

    /// What was proposed of a request came to nothing.
    pub(crate) fn propose_again(&mut self, request: &(SessionId, Slot)) {
        if self.proposing.is_none() {
            return;
        }
        for (outbox, n) in self.requests.get(request).into_iter().flatten() {
            let held = self.known.get(outbox).and_then(|known| known.entries.get(n));
            self.unproposed.extend(held.map(|held| held.order));
        }
    }

    pub(crate) fn proposed(&mut self, order: &Order) {
        self.unproposed.remove(order);
        self.tell_point(crate::point!("outbox.proposed"));
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.acknowledge();
        }
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.spread_at()
    }

    // ---- inside -------------------------------------------------------------------------------------------------------------------------

    fn tick(&mut self, now: Now) {
        self.now = now;
    }

    fn tell_point(&mut self, point: &'static str) {
        self.facts.push(Fact::Reached { point });
    }

    /// Whether everything that this entry's writer had seen is here.
    fn has_seen(&self, entry: &Entry) -> bool {
        #[cfg(feature = "zoo")]
        if self.has(crate::zoo::Bug::IgnoreSeen) {
            return true;
        }
        let here = |(outbox, n): &(OutboxId, u64)| {
            self.known.get(outbox).is_some_and(|known| known.held >= *n) || self.sealed.contains(&outbox.node)
        };
        entry.seen.iter().all(here)
    }

    /// Takes an entry that is next in its outbox, and finds its place in the order.
    fn hold(&mut self, entry: Entry) {
        let believed = self.now.wall.after_ms(CLOCK_AHEAD.as_millis() as u64);
        let mut stamp = entry.written_at.min(believed);
        let mut needs = entry.applied;
        let mut behind = |known: &Known, top: Timestamp, most: Index| {
            stamp = stamp.max(Timestamp(top.0 + 1));
            needs = needs.max(most).max(if known.entries.is_empty() { known.settled_by } else { 0 });
        };
        for (outbox, n) in &entry.seen {
            let Some(known) = self.known.get(outbox) else { continue };
            // The nearest one that is still here tells: stamps and needs only grow along an outbox.
            match known.entries.range(..=n).next_back() {
                Some((_, held)) => behind(known, held.order.0, held.needs.max(known.settled_by)),
                None => behind(known, Timestamp::default(), known.settled_by),
            }
        }
        let (outbox, n, cost) = (entry.outbox, entry.n, entry.cost());
        let known = self.known.entry(outbox).or_default();
        stamp = stamp.max(Timestamp(known.top.0 + 1));
        needs = needs.max(known.needs).max(known.settled_by);
        (known.top, known.needs, known.held) = (stamp, needs, n);
        #[cfg(feature = "zoo")]
        let stamp = if self.bug == Some(crate::zoo::Bug::OrderByWallClock) { entry.written_at } else { stamp };
        let order = (stamp, outbox, n);
        self.clock = self.clock.max(stamp);
        self.bytes += cost;
        self.requests.entry(entry.request()).or_default().insert((outbox, n));
        self.open.insert(order);
        if self.proposing.is_some() {
            self.unproposed.insert(order);
        }
        let held = Held { entry, order, needs, settled_by: None, shown: false, kept: false };
        known.entries.insert(n, held);
        self.spread.changed(self.now);
    }

    /// Members may see an entry that is durable, once the state has come to what it needs.
    fn became_durable(&mut self, outbox: OutboxId, n: u64) {
        let Some(held) = self.known.get_mut(&outbox).and_then(|known| known.entries.get_mut(&n)) else { return };
        held.kept = true;
        if held.settled_by.is_some() {
            return;
        }
        let (order, needs, request) = (held.order, held.needs, held.entry.request());
        let (session, identity) = (held.entry.session, held.entry.identity);
        self.facts.push(Fact::Kept { outbox, n, session, identity });
        self.outputs.push_back(Output::Durable { request });
        if needs <= self.applied {
            self.show(order);
        } else {
            self.waiting.insert((needs, order));
        }
    }

    fn show(&mut self, order: Order) {
        if let Some(held) = self.known.get_mut(&order.1).and_then(|known| known.entries.get_mut(&order.2)) {
            held.shown = true;
            self.outputs.push_back(Output::Show { order });
        }
    }

    /// Lets go of the settled beginning of an outbox.
    fn trim(&mut self, outbox: OutboxId) {
        let Some(known) = self.known.get_mut(&outbox) else { return };
        while let Some(first) = known.entries.first_entry()
            && let Some(by) = first.get().settled_by
        {
            let (n, held) = first.remove_entry();
            self.bytes -= held.entry.cost();
            known.settled = known.settled.max(n);
            known.settled_by = known.settled_by.max(by);
        }
        if known.entries.is_empty() {
            known.settled = known.held;
        }
        self.shrink();
    }

    /// A peer says that all of an outbox through here is settled.
    fn learn_settled(&mut self, outbox: OutboxId, through: u64, by: Index) {
        let known = self.known.entry(outbox).or_default();
        if through > known.settled {
            (known.settled, known.settled_by) = (through, known.settled_by.max(by));
            known.needs = known.needs.max(by);
        }
        if through > known.held {
            known.held = through;
        }
        known.written = known.written.max(known.settled.min(known.held));
        known.durable = known.durable.max(known.settled.min(known.held));
    }
}
