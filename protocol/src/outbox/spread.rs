//! How entries come to other nodes: pushed while no leader answers, and by version vectors.
//!
//! - What a node accepts it pushes at once to every node that it reaches, if that one has what stands before it.
//! - While something is open, a node says twice a second what it holds: to everybody while no leader answers, else to the leader. Whoever lacks something of it asks for it,
//!   one node at a time, so that nothing is sent by two.
//! - What is asked for comes in the order of the entries and in parts, and is taken as far as it continues what is here.
//! - Whoever has stored something says so: an entry has as many copies as nodes have said that it is durable there.

use super::*;

/// How often a node says what it holds while something is open.
const DIGEST: Duration = Duration::from_millis(500);
/// Answers for what was stored are not told more often.
const ANSWER: Duration = Duration::from_millis(20);
/// A question that is not answered for so long is asked again, or somebody else.
const PATIENCE: Duration = Duration::from_millis(300);
/// Bytes of entries of one message.
const PART: u64 = 256 << 10;
/// Entries of which a change in copies is told at once.
const MOST_TOLD: usize = 256;
/// Outboxes of which a node says that they are settled altogether.
const MOST_OVER: usize = 64;
/// Outboxes that are remembered when everything in them is settled.
const MOST_KNOWN: usize = 1_024;

#[derive(Clone, Debug, Default)]
struct Peer {
    linked: bool,
    /// What it said last that it holds.
    extents: BTreeMap<OutboxId, Extent>,
    /// Through where each outbox was sent to it over this link.
    sent: BTreeMap<OutboxId, u64>,
    asked_at: Option<Instant>,
    /// It has sent entries, and is told what became of them.
    owed: bool,
    /// How far its wall clock is ahead, in ms.
    ahead: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    peers: BTreeMap<NodeId, Peer>,
    /// Who was asked last for an outbox, and when.
    asked: BTreeMap<OutboxId, (NodeId, Instant)>,
    digest_at: Instant,
    answered_at: Instant,
    pub(super) owes_answers: bool,
    commit: Position,
}

impl Spread {
    /// Other nodes of which it is known that an entry at one of these places is durable there.
    pub(super) fn holders(&self, places: &BTreeSet<(OutboxId, u64)>) -> u32 {
        let has =
            |peer: &&Peer| places.iter().any(|(outbox, n)| peer.extents.get(outbox).is_some_and(|extent| extent.durable >= *n));
        self.peers.values().filter(has).count() as u32
    }

    pub(super) fn extents_of(&self, node: NodeId) -> impl Iterator<Item = Extent> {
        self.peers.get(&node).into_iter().flat_map(|peer| peer.extents.values().copied())
    }

    pub(super) fn clocks_ahead(&self) -> Vec<(NodeId, u64)> {
        self.peers.iter().filter(|(_, peer)| peer.ahead > 0).map(|(node, peer)| (*node, peer.ahead)).collect()
    }

    /// What is held has changed: whoever is to know hears of it before long.
    pub(super) fn changed(&mut self, now: Now) {
        self.digest_at = self.digest_at.min(now.instant + ANSWER);
    }

    pub(super) fn reach_changed(&mut self, now: Now) {
        self.digest_at = now.instant;
    }
}

impl Outbox {
    /// Through where the log is known to be committed here: said to others, who may know more.
    pub(crate) fn see_commit(&mut self, commit: Position) {
        self.spread.commit = commit;
    }

    pub(crate) fn handle_link(&mut self, now: Now, node: NodeId, link: Link) {
        self.tick(now);
        let peer = self.spread.peers.entry(node).or_default();
        peer.sent.clear();
        peer.asked_at = None;
        peer.linked = matches!(link, Link::Up { .. });
        // What it held in memory only may be gone.
        peer.extents.values_mut().for_each(|extent| extent.held = extent.durable);
        if peer.linked && !self.is_empty() {
            self.spread.digest_at = now.instant;
        }
    }

    pub(super) fn spread_at(&self) -> Option<Instant> {
        let answers = self.spread.owes_answers.then(|| self.spread.answered_at + ANSWER);
        let digest = (!self.is_empty() && self.reach != Reach::Leads).then_some(self.spread.digest_at);
        answers.into_iter().chain(digest).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.tick(now);
        if self.is_empty() || self.reach == Reach::Leads || now.instant < self.spread.digest_at {
            return;
        }
        self.spread.digest_at = now.instant + DIGEST;
        let to = self.spread.peers.iter().filter(|(_, peer)| peer.linked).map(|(node, _)| *node);
        let to: Vec<NodeId> = to.filter(|node| self.reach == Reach::Nobody || self.reach == Reach::Leader(*node)).collect();
        for node in to {
            self.send_digest(node, true);
        }
    }

    /// What the outbox lane is asked for, and who is owed an answer: when everything else of this moment is done.
    pub(super) fn acknowledge(&mut self) {
        self.make_write();
        if self.spread.owes_answers && self.now.instant >= self.spread.answered_at + ANSWER {
            self.spread.owes_answers = false;
            self.spread.answered_at = self.now.instant;
            let owed = |(node, peer): (&NodeId, &mut Peer)| (core::mem::take(&mut peer.owed) && peer.linked).then_some(*node);
            let owed: Vec<NodeId> = self.spread.peers.iter_mut().filter_map(owed).collect();
            for node in owed {
                self.send_digest(node, false);
            }
        }
    }

    pub(super) fn owe_answers(&mut self) {
        self.spread.owes_answers = self.spread.peers.values().any(|peer| peer.owed);
    }

    fn send_digest(&mut self, to: NodeId, answer: bool) {
        let (open, over): (Vec<_>, Vec<_>) = self.known.iter().partition(|(_, known)| known.held > known.settled);
        let mut over: Vec<(&OutboxId, &Known)> = over;
        // Of what is over, what may still be asked for: some entry elsewhere may depend on it.
        over.sort_unstable_by_key(|(outbox, known)| (core::cmp::Reverse(known.settled_by), **outbox));
        over.truncate(MOST_OVER);
        let extents = open.into_iter().chain(over).map(|(outbox, known)| known.extent(*outbox)).collect();
        let (commit, wall, leaderless) = (self.spread.commit, self.now.wall, self.reach == Reach::Nobody);
        let message = OutboxMessage::Digest { extents, commit, wall, leaderless, answer };
        self.outputs.push_back(Output::Send { to, class: Class::Control, message });
    }

    /// A new entry goes to everybody who has what stands before it; if a leader answers, to that one.
    pub(super) fn push_out(&mut self, entry: &Entry) {
        let reach = self.reach;
        let wanted = |node: NodeId| reach == Reach::Nobody || reach == Reach::Leader(node);
        for (node, peer) in self.spread.peers.iter_mut().filter(|(node, peer)| peer.linked && wanted(**node)) {
            let said = peer.extents.get(&entry.outbox).map_or(0, |extent| extent.held);
            let sent = peer.sent.entry(entry.outbox).or_default();
            if (*sent).max(said) + 1 < entry.n {
                continue;
            }
            *sent = entry.n;
            let message = OutboxMessage::Entries { extents: Vec::new(), entries: Vec::from([entry.clone()]) };
            self.outputs.push_back(Output::Send { to: *node, class: Class::Data, message });
        }
    }

    /// `is_settled`: whether the state here says that a request was executed or refused.
    pub(crate) fn handle_message(
        &mut self,
        now: Now,
        from: NodeId,
        message: OutboxMessage,
        is_settled: impl Fn(SessionId, Slot) -> bool,
    ) {
        self.tick(now);
        match message {
            OutboxMessage::Digest { extents, wall, answer, .. } => self.handle_digest(from, extents, wall, answer),
            OutboxMessage::Want { behind } => self.handle_want(from, &behind),
            OutboxMessage::Entries { extents, entries } => self.handle_entries(from, &extents, entries, is_settled),
            // The log is the replica's.
            OutboxMessage::Committed { .. } => {}
        }
    }

    fn handle_digest(&mut self, from: NodeId, extents: Vec<Extent>, wall: Timestamp, answer: bool) {
        #[cfg(feature = "zoo")]
        let spoiled = self.spoil_extents(extents.clone());
        let peer = self.spread.peers.entry(from).or_default();
        let ahead = wall.since(self.now.wall);
        peer.ahead = if ahead > CLOCK_AHEAD { ahead.as_millis() as u64 } else { 0 };
        #[cfg(feature = "zoo")]
        let extents = spoiled;
        let before = core::mem::replace(&mut peer.extents, extents.into_iter().map(|extent| (extent.outbox, extent)).collect());
        let mut told = Vec::new();
        for extent in peer.extents.values() {
            let known_before = before.get(&extent.outbox).map_or(0, |before| before.durable);
            let Some(known) = self.known.get(&extent.outbox).filter(|_| extent.durable > known_before) else { continue };
            let more = known.entries.range(known_before + 1..=extent.durable).filter(|(_, held)| held.settled_by.is_none());
            told.extend(more.map(|(_, held)| held.entry.request()).take(MOST_TOLD));
        }
        for request in told.into_iter().take(MOST_TOLD) {
            self.outputs.push_back(Output::Durable { request });
        }
        let said: Vec<Extent> = self.spread.extents_of(from).collect();
        self.learn(&said);
        self.want(from);
        if answer {
            self.send_digest(from, false);
        }
    }

    /// Asks a node for what it has said that it holds and that is not here, unless somebody is being asked.
    fn want(&mut self, from: NodeId) {
        let now = self.now.instant;
        let Some(peer) = self.spread.peers.get_mut(&from) else { return };
        if peer.asked_at.is_some_and(|at| now.since(at) < PATIENCE) || self.bytes >= self.limit {
            return;
        }
        let mut behind = Vec::new();
        for extent in peer.extents.values() {
            let held = self.known.get(&extent.outbox).map_or(0, |known| known.held);
            // Of what is settled everywhere there is nothing to ask for.
            if extent.held <= held.max(extent.settled) {
                continue;
            }
            let asked = self.spread.asked.get(&extent.outbox);
            if asked.is_some_and(|(node, at)| *node != from && now.since(*at) < PATIENCE) {
                continue;
            }
            self.spread.asked.insert(extent.outbox, (from, now));
            behind.push((extent.outbox, held));
        }
        if !behind.is_empty() {
            peer.asked_at = Some(now);
            self.outputs.push_back(Output::Send { to: from, class: Class::Control, message: OutboxMessage::Want { behind } });
        }
    }

    fn handle_want(&mut self, from: NodeId, behind: &[(OutboxId, u64)]) {
        let mut extents = Vec::new();
        let mut found: Vec<(Order, &Entry)> = Vec::new();
        for (outbox, n) in behind {
            let Some(known) = self.known.get(outbox) else { continue };
            if *n < known.settled {
                extents.push(known.extent(*outbox));
            }
            let mut bytes = 0;
            let part = known.entries.range((*n).max(known.settled) + 1..).take_while(|(_, held)| {
                bytes += held.entry.cost();
                bytes <= PART
            });
            found.extend(part.map(|(_, held)| (held.order, &held.entry)));
        }
        found.sort_unstable_by_key(|(order, _)| *order);
        let mut bytes = 0;
        let fits = |(_, entry): &&(Order, &Entry)| {
            bytes += entry.cost();
            bytes <= PART
        };
        let entries: Vec<Entry> = found.iter().take_while(fits).map(|(_, entry)| (*entry).clone()).collect();
        let peer = self.spread.peers.entry(from).or_default();
        for entry in &entries {
            peer.sent.insert(entry.outbox, entry.n);
        }
        #[cfg(feature = "zoo")]
        self.drop_what_was_sent(from, entries.iter().map(Entry::request).collect());
        let message = OutboxMessage::Entries { extents, entries };
        self.outputs.push_back(Output::Send { to: from, class: Class::Data, message });
    }

    fn handle_entries(
        &mut self,
        from: NodeId,
        extents: &[Extent],
        entries: Vec<Entry>,
        is_settled: impl Fn(SessionId, Slot) -> bool,
    ) {
        self.learn(extents);
        let mut lacks = false;
        for entry in entries {
            let held = self.known.get(&entry.outbox).map_or(0, |known| known.held);
            if entry.n <= held || entry.outbox == self.own {
                continue;
            }
            let hole = entry.n > held + 1;
            #[cfg(feature = "zoo")]
            let hole = hole && !self.has(crate::zoo::Bug::TakeOutOfOrder);
            if hole {
                self.tell_point(crate::point!("outbox.hole"));
                lacks = true;
            } else if !self.has_seen(&entry) {
                self.tell_point(crate::point!("outbox.held_for_seen"));
                lacks = true;
            } else if self.bytes + entry.cost() > self.limit {
                self.tell_point(crate::point!("outbox.full"));
            } else {
                self.take(entry, &is_settled);
            }
        }
        self.write();
        let Some(peer) = self.spread.peers.get_mut(&from) else { return };
        (peer.owed, peer.asked_at) = (true, None);
        self.spread.asked.retain(|_, (node, _)| *node != from);
        self.spread.owes_answers |= self.reach != Reach::Nobody;
        if lacks {
            // Who it is does not say what it holds: the answer does, and what is asked for then comes in order.
            self.send_digest(from, true);
        } else {
            self.want(from);
        }
    }

    /// What is settled elsewhere is not asked for: the log brings it.
    fn learn(&mut self, extents: &[Extent]) {
        for extent in extents {
            if self.known.get(&extent.outbox).map_or(0, |known| known.held) < extent.settled {
                self.learn_settled(extent.outbox, extent.settled, extent.settled_by);
            }
        }
        self.forget_old();
    }

    fn take(&mut self, entry: Entry, is_settled: &impl Fn(SessionId, Slot) -> bool) {
        match self.reach {
            Reach::Nobody => self.tell_point(crate::point!("outbox.taken_from_peer")),
            Reach::Leader(_) => self.tell_point(crate::point!("outbox.relayed")),
            Reach::Leads => {}
        }
        let request @ (session, slot) = entry.request();
        self.hold(entry);
        if is_settled(session, slot) {
            self.settle(request, self.applied);
        }
    }

    /// Outboxes in which nothing is open are remembered for a while, so that nobody has to ask again.
    fn forget_old(&mut self) {
        while self.known.len() > MOST_KNOWN {
            let own = self.own;
            let over = self.known.iter().filter(|(outbox, known)| known.entries.is_empty() && **outbox != own);
            let Some(oldest) = over.min_by_key(|(outbox, known)| (known.settled_by, **outbox)).map(|(outbox, _)| *outbox) else {
                return;
            };
            self.known.remove(&oldest);
        }
    }
}
