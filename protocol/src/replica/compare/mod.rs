//! Nodes compare the hash of their state and say at once when it differs: since which entry, and in which rows.
//!
//! - **Everybody tells everybody** a place and the hash there: every [`Limits::compare_every`] applied entries, and within [`TELL_WITHIN`] of the last ones,
//!   and whom a link comes up to. That is some thirty bytes, needs no leader and no answer, finds a difference on both sides and shows each node who
//!   agrees with whom. Between n nodes it is n (n - 1) small messages for hundreds of entries, each of which took 2 (n - 1) messages itself.
//! - Hashes are compared at equal places only. A place that lies ahead waits, a few for each peer, until the state here comes there.
//! - Each node remembers what its last [`Limits::compare_window`] entries made of the state ([`window`]). When two differ, each asks the other for its
//!   window once, finds the first entry after which they differ, asks what that entry wrote, and asks the others for their hash there.
//! - **One report a divergence**: the next one about the same peer comes after the two have agreed again.
//! - A difference is never a mistake of this comparison: two nodes that have applied the same entries must hold the same rows. But the hash stands for what was
//!   applied, not for what a disk made of it.
//! - The node goes on serving. Nobody knows which of two states is right, and to stop would turn a fault of one row into an outage; where three or more
//!   are compared, the report says who agrees.
//! - Messages may be lost, doubled and late: each says something that was so. A question is asked [`ASKS`] times; what is not answered then is
//!   reported as not known.

mod report;
mod window;

pub use report::{DifferentRow, Divergence, RowChange, describe_key};
pub(super) use window::note;

use super::*;
use crate::time::Duration;
use alloc::boxed::Box;
use serde::{Deserialize, Serialize};
use window::Window;

/// What was applied last is told to others within this time.
pub const TELL_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often a question is asked.
const ASKS: u8 = 3;
/// Places ahead of the state here that are kept for one peer: the lowest, which come first.
const MOST_AHEAD: usize = 8;
/// Rows that are named in one report.
const MOST_NAMED: usize = 16;
/// Rows of one answer, and bytes of their keys after which it ends.
const MOST_ROWS: usize = 256;
const MOST_KEY_BYTES: usize = 32 << 10;

/// What replicas say to each other about their states.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum CompareMessage {
    /// The sender's state after this entry has this hash.
    Told { index: Index, hash: StateHash },
    /// Asks for the hashes after these entries, as far as they are remembered.
    AskHashes { from: Index, through: Index },
    /// The hashes after `from` and the entries that follow; none is remembered of what was asked for if it is empty.
    Hashes { from: Index, hashes: Vec<StateHash> },
    /// Asks for the rows that this entry changed.
    AskRows { index: Index },
    /// They, by ascending keys, or (`None`) the sender does not remember them. `cut`: there are more behind the last one.
    Rows { index: Index, rows: Option<Vec<(Bytes, RowChange)>>, cut: bool },
}

/// No place comes near it; see `RaftMessage::is_sound`.
const MOST_INDEX: Index = 1 << 62;

impl CompareMessage {
    fn is_sound(&self) -> bool {
        match self {
            CompareMessage::AskHashes { from, through } => *from < MOST_INDEX && *through < MOST_INDEX,
            CompareMessage::Told { index, .. }
            | CompareMessage::Hashes { from: index, .. }
            | CompareMessage::AskRows { index }
            | CompareMessage::Rows { index, .. } => *index < MOST_INDEX,
        }
    }

    fn class(&self) -> Class {
        match self {
            CompareMessage::Hashes { .. } | CompareMessage::Rows { .. } => Class::Data,
            _ => Class::Control,
        }
    }
}

/// What comes of comparing.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Send(NodeId, CompareMessage),
    Report(Box<Divergence>),
}

#[derive(Clone, Debug, Default)]
struct Peer {
    /// What it told of places that the state here has not come to, ascending.
    ahead: Vec<(Index, StateHash)>,
    /// A place at which it differs, and its hash there: to be looked into.
    suspect: Option<(Index, StateHash)>,
    /// It was reported and has not agreed since.
    differs: Option<Box<Divergence>>,
}

/// One difference that is being looked into.
#[derive(Clone, Debug)]
struct Inquiry {
    peer: NodeId,
    through: Index,
    /// The peer's hash after `through`; later after `first`.
    there: StateHash,
    stage: Stage,
    /// How often the questions of this stage were asked, and when they are asked again or given up.
    asks: u8,
    until: Instant,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The peer's hashes are asked for.
    Finding,
    /// It is known where it began. What is missing is which rows, and with whom the others agree.
    Naming { first: Index, earlier: bool, rows: Option<Vec<Different>>, votes: BTreeMap<NodeId, Option<StateHash>> },
}

/// A row that was left otherwise: what the entry did to it here and there.
type Different = (Bytes, Option<RowChange>, Option<RowChange>);

/// The comparing of one node. See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Compare {
    /// 0: nothing is compared.
    every: u64,
    window: Window,
    /// When the others are to be told of what was applied since they were.
    tell_by: Option<Instant>,
    /// They are to be told of this place now.
    due: Option<Index>,
    /// The other members, by the version of the members that they are of.
    peers: BTreeMap<NodeId, Peer>,
    members_version: u64,
    /// The lowest place ahead that a peer has told of.
    next_ahead: Index,
    inquiry: Option<Inquiry>,
    /// All that the inquiry has asked for is here, or too late.
    concluded: bool,
    steps: VecDeque<Step>,
    /// Whether [`Compare::poll`] has anything to do: asked at every output of the node, so it is one flag.
    has_work: bool,
    /// An empty log of changes with room, used again and again.
    buffer: Vec<u8>,
}

impl Compare {
    pub(super) fn new(limits: &Limits, at: Index, hash: StateHash) -> Compare {
        Compare {
            every: u64::from(limits.compare_every),
            window: Window::new(limits.compare_window, at, hash),
            tell_by: None,
            due: None,
            peers: BTreeMap::new(),
            members_version: 0,
            next_ahead: Index::MAX,
            inquiry: None,
            concluded: false,
            steps: VecDeque::new(),
            has_work: false,
            buffer: Vec::new(),
        }
    }

    /// A log for the changes of what is applied next; `None`: they are not remembered.
    pub(super) fn lend(&mut self) -> Option<Vec<u8>> {
        (self.every > 0).then(|| core::mem::take(&mut self.buffer))
    }

    pub(super) fn give_back(&mut self, buffer: Option<Vec<u8>>) {
        self.buffer = buffer.unwrap_or_default();
        self.buffer.clear();
    }

    /// The entry at `index` was applied, with these changes, which are taken.
    pub(super) fn applied(&mut self, now: Instant, index: Index, hash: StateHash, changes: &mut Option<Vec<u8>>) {
        let Some(changes) = changes else { return };
        debug_assert_eq!(index, self.window.last() + 1);
        self.window.push(hash, changes);
        changes.clear();
        if index.is_multiple_of(self.every) {
            self.window.keep_checkpoint();
            self.due = Some(index);
            self.has_work = true;
        } else if self.tell_by.is_none() {
            self.tell_by = Some(now + TELL_WITHIN);
        }
        self.has_work |= self.next_ahead <= index;
    }

    /// The state is a snapshot's from here on: what was found out about the one before counts no more.
    pub(super) fn jumped(&mut self, now: Instant, at: Index, hash: StateHash) {
        self.window.restart(at, hash);
        (self.inquiry, self.concluded, self.due) = (None, false, None);
        self.steps.clear();
        for peer in self.peers.values_mut() {
            (peer.suspect, peer.differs) = (None, None);
        }
        self.has_work = self.next_ahead <= at;
        self.tell_by = (self.every > 0).then(|| now + TELL_WITHIN);
    }

    fn set_members(&mut self, version: u64, others: impl Iterator<Item = NodeId>) {
        self.members_version = version;
        let mut before = core::mem::take(&mut self.peers);
        self.peers = others.map(|id| (id, before.remove(&id).unwrap_or_default())).collect();
        if self.inquiry.as_ref().is_some_and(|inquiry| !self.peers.contains_key(&inquiry.peer)) {
            (self.inquiry, self.concluded) = (None, false);
        }
    }

    /// Those that have differed and not agreed since.
    pub(super) fn divergences(&self) -> Vec<Divergence> {
        self.peers.values().filter_map(|peer| peer.differs.as_deref().cloned()).collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let answer = self.inquiry.as_ref().map(|inquiry| inquiry.until);
        match (self.tell_by, answer) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.tell_by.is_some_and(|at| at <= now) {
            self.tell_by = None;
            self.due = Some(self.window.last());
            self.has_work = true;
        }
        let Some(inquiry) = self.inquiry.as_mut().filter(|inquiry| inquiry.until <= now) else { return };
        self.has_work = true;
        let (through, there) = (inquiry.through, inquiry.there);
        match &mut inquiry.stage {
            _ if inquiry.asks < ASKS => self.ask(now),
            Stage::Finding => self.name(now, through, true, there),
            Stage::Naming { .. } => self.concluded = true,
        }
    }

    /// Asks what the inquiry has to know and does not know yet.
    fn ask(&mut self, now: Instant) {
        let Some(inquiry) = &mut self.inquiry else { return };
        inquiry.asks += 1;
        inquiry.until = now + ANSWER_WITHIN;
        match &inquiry.stage {
            Stage::Finding => {
                let ask = CompareMessage::AskHashes { from: self.window.first(), through: inquiry.through };
                self.steps.push_back(Step::Send(inquiry.peer, ask));
            }
            Stage::Naming { first, rows, votes, .. } => {
                let missing = votes.iter().filter(|(_, vote)| vote.is_none());
                let ask = CompareMessage::AskHashes { from: *first, through: *first };
                self.steps.extend(missing.map(|(id, _)| Step::Send(*id, ask.clone())));
                if rows.is_none() {
                    self.steps.push_back(Step::Send(inquiry.peer, CompareMessage::AskRows { index: *first }));
                }
            }
        }
    }

    /// A link is up: whoever is there hears of the state here, also if nothing is ever applied again.
    fn greet(&mut self, peer: NodeId) {
        let index = self.window.last();
        self.has_work = true;
        if let Some(hash) = self.window.hash_at(index).filter(|_| self.every > 0 && index > 0) {
            self.steps.push_back(Step::Send(peer, CompareMessage::Told { index, hash }));
        }
    }

    /// A peer says something; whoever is no member is not listened to.
    fn handle(&mut self, now: Instant, from: NodeId, message: CompareMessage) {
        if self.every == 0 || !message.is_sound() || !self.peers.contains_key(&from) {
            return;
        }
        self.has_work = true;
        match message {
            CompareMessage::Told { index, hash } if index > self.window.last() => self.keep_ahead(from, index, hash),
            CompareMessage::Told { index, hash } => self.compare(now, from, index, hash),
            CompareMessage::AskHashes { from: first, through } => {
                let (first, hashes) = match self.window.hash_at(through) {
                    Some(hash) if through < self.window.first() => (through, Vec::from([hash])),
                    _ => self.window.hashes(first, through),
                };
                self.steps.push_back(Step::Send(from, CompareMessage::Hashes { from: first, hashes }));
            }
            CompareMessage::Hashes { from: first, hashes } => self.take_hashes(now, from, first, &hashes),
            CompareMessage::AskRows { index } => {
                let (rows, cut) = self.window.rows_at(index).map_or((None, false), |rows| {
                    let mut bytes = 0;
                    let all = rows.len();
                    let fit = rows.into_iter().take(MOST_ROWS).take_while(|(key, _)| {
                        let fits = bytes < MOST_KEY_BYTES;
                        bytes += key.len();
                        fits
                    });
                    let rows: Vec<_> = fit.collect();
                    let cut = rows.len() < all;
                    (Some(rows), cut)
                });
                self.steps.push_back(Step::Send(from, CompareMessage::Rows { index, rows, cut }));
            }
            CompareMessage::Rows { index, rows, cut } => self.take_rows(from, index, rows, cut),
        }
    }

    fn keep_ahead(&mut self, from: NodeId, index: Index, hash: StateHash) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let nth = peer.ahead.partition_point(|(at, _)| *at < index);
        peer.ahead.insert(nth, (index, hash));
        peer.ahead.truncate(MOST_AHEAD);
        self.next_ahead = self.next_ahead.min(index);
    }

    /// Compares what was told of places that the state has come to by now.
    fn catch_up(&mut self, now: Instant) {
        let last = self.window.last();
        self.next_ahead = Index::MAX;
        let mut reached = Vec::new();
        for (id, peer) in &mut self.peers {
            let count = peer.ahead.partition_point(|(index, _)| *index <= last);
            reached.extend(peer.ahead.drain(..count).map(|(index, hash)| (*id, index, hash)));
            self.next_ahead = peer.ahead.first().map_or(self.next_ahead, |(index, _)| self.next_ahead.min(*index));
        }
        for (id, index, hash) in reached {
            self.compare(now, id, index, hash);
        }
    }

    fn compare(&mut self, now: Instant, from: NodeId, index: Index, hash: StateHash) {
        let (Some(own), Some(peer)) = (self.window.hash_at(index), self.peers.get_mut(&from)) else { return };
        if own == hash {
            peer.differs.take_if(|known| known.through < index);
            return;
        }
        if let Some(known) = &mut peer.differs {
            known.through = known.through.max(index);
        } else if peer.suspect.is_none() && self.inquiry.as_ref().is_none_or(|inquiry| inquiry.peer != from) {
            peer.suspect = Some((index, hash));
            // What it was told of this place may be lost, or was told before it came there.
            self.steps.push_back(Step::Send(from, CompareMessage::Told { index, hash: own }));
            self.inquire(now);
        }
    }

    /// Looks into the next difference, one at a time.
    fn inquire(&mut self, now: Instant) {
        if self.inquiry.is_some() {
            return;
        }
        let next = self.peers.iter_mut().find_map(|(id, peer)| Some((*id, peer.suspect.take()?)));
        let Some((peer, (through, there))) = next else { return };
        self.inquiry = Some(Inquiry { peer, through, there, stage: Stage::Finding, asks: 0, until: now });
        if through > self.window.first() {
            self.ask(now);
        } else {
            self.name(now, through, true, there);
        }
    }

    fn take_hashes(&mut self, now: Instant, from: NodeId, first: Index, hashes: &[StateHash]) {
        let Some(inquiry) = &mut self.inquiry else { return };
        match &mut inquiry.stage {
            Stage::Finding if from == inquiry.peer => {
                let (through, there) = (inquiry.through, inquiry.there);
                let known = (first..=through).zip(hashes).filter_map(|(at, there)| Some((at, self.window.hash_at(at)?, *there)));
                let mut known = known.peekable();
                let lowest = known.peek().map(|(at, ..)| *at);
                match known.find(|(_, own, there)| own != there) {
                    Some((at, _, there)) => self.name(now, at, Some(at) == lowest, there),
                    // It is another run by now, or has jumped: that they differed is certain all the same.
                    None => self.name(now, through, true, there),
                }
            }
            Stage::Naming { first: place, votes, .. } => {
                let Some(vote) = votes.get_mut(&from) else { return };
                match (first..).zip(hashes).find(|(at, _)| at == place) {
                    Some((_, hash)) => *vote = Some(*hash),
                    None => drop(votes.remove(&from)),
                }
                self.see_complete();
            }
            Stage::Finding => {}
        }
    }

    /// It began with the entry `first`, or `earlier`: what did that write, and with whom do the others agree?
    fn name(&mut self, now: Instant, first: Index, earlier: bool, there: StateHash) {
        let Some(inquiry) = &mut self.inquiry else { return };
        let others = self.peers.keys().copied().filter(|id| *id != inquiry.peer);
        let votes: BTreeMap<_, _> = others.map(|id| (id, None)).collect();
        inquiry.there = there;
        inquiry.asks = 0;
        inquiry.stage = Stage::Naming { first, earlier, rows: earlier.then(Vec::new), votes };
        self.ask(now);
        self.see_complete();
    }

    fn take_rows(&mut self, from: NodeId, index: Index, theirs: Option<Vec<(Bytes, RowChange)>>, cut: bool) {
        let Some(inquiry) = self.inquiry.as_mut().filter(|inquiry| inquiry.peer == from) else { return };
        let Stage::Naming { first, rows: rows @ None, .. } = &mut inquiry.stage else { return };
        if *first == index {
            let (own, theirs) = (self.window.rows_at(index), theirs);
            *rows = Some(own.zip(theirs).map_or_else(Vec::new, |(own, theirs)| different(own, theirs, cut)));
            self.see_complete();
        }
    }

    fn see_complete(&mut self) {
        if let Some(Inquiry { stage: Stage::Naming { rows: Some(_), votes, .. }, .. }) = &self.inquiry {
            self.concluded |= votes.values().all(Option::is_some);
        }
    }

    /// Reports what was found out. `describe`: how a person reads a key.
    fn conclude(&mut self, now: Instant, describe: impl Fn(&[u8]) -> alloc::string::String) {
        self.concluded = false;
        let Some(Inquiry { peer, through, there, stage: Stage::Naming { first, earlier, rows, votes }, .. }) =
            self.inquiry.take()
        else {
            return;
        };
        let here = self.window.hash_at(first);
        let voted = |hash: Option<StateHash>| {
            votes.iter().filter(|(_, vote)| hash.is_some() && **vote == hash).map(|(id, _)| *id).collect()
        };
        let rows = rows.unwrap_or_default();
        let divergence = Box::new(Divergence {
            peer,
            first,
            earlier,
            through,
            more_rows: rows.len().saturating_sub(MOST_NAMED) as u32,
            rows: rows
                .into_iter()
                .take(MOST_NAMED)
                .map(|(key, here, there)| DifferentRow { row: describe(&key), here, there })
                .collect(),
            with_this: voted(here),
            with_peer: voted(Some(there)),
        });
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.differs = Some(divergence.clone());
            self.steps.push_back(Step::Report(divergence));
        }
        self.inquire(now);
    }

    fn poll(&mut self, now: Instant, describe: impl Fn(&[u8]) -> alloc::string::String) -> Option<Step> {
        if let Some(at) = self.due.take() {
            self.tell(now, at);
        }
        if self.next_ahead <= self.window.last() {
            self.catch_up(now);
        }
        if self.concluded {
            self.conclude(now, describe);
        }
        let step = self.steps.pop_front();
        self.has_work = step.is_some();
        step
    }

    fn tell(&mut self, now: Instant, at: Index) {
        self.tell_by = (self.window.last() > at).then(|| now + TELL_WITHIN);
        if let Some(hash) = self.window.hash_at(at) {
            let told = |id: &NodeId| Step::Send(*id, CompareMessage::Told { index: at, hash });
            self.steps.extend(self.peers.keys().map(told));
        }
    }
}

/// The rows that two nodes changed otherwise. `cut`: theirs end too early.
fn different(mut own: BTreeMap<Bytes, RowChange>, theirs: Vec<(Bytes, RowChange)>, cut: bool) -> Vec<Different> {
    let last = theirs.last().map(|(key, _)| key.clone());
    let mut rows: BTreeMap<Bytes, (Option<RowChange>, Option<RowChange>)> = BTreeMap::new();
    for (key, there) in theirs {
        let here = own.remove(&key);
        if here != Some(there) {
            rows.insert(key, (here, Some(there)));
        }
    }
    let beyond = |key: &Bytes| cut && last.as_ref().is_none_or(|last| key > last);
    rows.extend(own.into_iter().filter(|(key, _)| !beyond(key)).map(|(key, here)| (key, (Some(here), None))));
    rows.into_iter().map(|(key, (here, there))| (key, here, there)).collect()
}

impl<S: StateMachine> Replica<S> {
    /// A peer says something about its state.
    pub fn handle_compare(&mut self, now: Now, from: NodeId, message: CompareMessage) {
        self.now = now.instant;
        self.see_compared();
        self.compare.handle(now.instant, from, message);
    }

    /// The nodes whose state was found to differ from the one here, and has not been found equal since.
    pub fn divergences(&self) -> Vec<Divergence> {
        self.compare.divergences()
    }

    pub(super) fn greet(&mut self, peer: NodeId) {
        self.compare.greet(peer);
    }

    fn see_compared(&mut self) {
        let version = self.raft.members_version();
        if self.compare.members_version != version {
            let me = self.raft.node();
            let members = self.raft.configuration().members().iter().map(|member| member.id);
            self.compare.set_members(version, members.filter(|id| *id != me));
        }
    }

    /// Goes on with comparing. True if anything came of it.
    pub(super) fn compare_states(&mut self) -> bool {
        if !self.compare.has_work {
            return false;
        }
        self.see_compared();
        let machine = &self.machine;
        while let Some(step) = self.compare.poll(self.now, |key| describe(machine, key)) {
            match step {
                Step::Send(to, message) => {
                    self.outputs.push_back(Output::Compare { to, class: message.class(), message });
                }
                Step::Report(divergence) => {
                    self.raft.tell(|| Fact::Diverged(divergence.clone()));
                    self.outputs.push_back(Output::Diverged(divergence));
                }
            }
        }
        !self.outputs.is_empty()
    }
}

/// What stands under this key: a row of the replica's own, or of its machine.
fn describe<S: StateMachine>(machine: &S, key: &[u8]) -> alloc::string::String {
    match key {
        APPLIED_KEY => "the place of the rows".into(),
        CONFIGURATION_KEY => "the members".into(),
        SUCCESSION_KEY => "the policy of succession".into(),
        _ => Sessions::describe(key).unwrap_or_else(|| machine.describe(key)),
    }
}

#[cfg(test)]
mod tests;
