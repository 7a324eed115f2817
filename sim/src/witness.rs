//! Everything that happens in a run, in order: for the judge, and for what only the run as a whole can tell.
//!
//! Beside the judge it keeps who leads, which named points were reached, how far each room has come, and the longest time in which somebody waited
//! and nobody was answered.

use crate::answers::{Answers, Longest};
use crate::liveness::{self, Bounds, Liveness, Word};
use crate::plan::{ClusterView, Conditions};
use crate::points::Crossings;
use crate::record::Recorder;
use crate::roster::Roster;
use crate::scenario::{Expect, Scenario};
use std::collections::BTreeMap;
use tertulia_judge::record::Writer;
use tertulia_judge::{At, ClientFact, Cluster, Judge, Observed, SESSIONS, Violation};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, RoomId, Seq, Term};

/// How many sentences of the story are kept for a failure's evidence.
const STORY: usize = 400;

/// The point that is reached when progress was owed, and made, by a part of the members.
const OWED: &str = "progress.owed";

#[derive(Clone)]
pub struct Witness {
    judge: Judge,
    /// Everything that the judge is told, if somebody wants to keep it.
    record: Option<Writer<Vec<u8>>>,
    violation: Option<Violation>,
    live: Liveness,
    answers: Answers,
    pub roster: Roster,
    leading: Vec<Option<Term>>,
    pub up: Vec<bool>,
    reached: BTreeMap<&'static str, u32>,
    crossings: Crossings,
    /// By machine: who the members are by its log, and from which place on, oldest first.
    configured: Vec<Vec<Configured>>,
    /// The newest place of each room that any node has applied.
    pub posted: BTreeMap<RoomId, Seq>,
    /// The newest place of each room that any client was told of as its own.
    pub acked: BTreeMap<RoomId, Seq>,
    /// Without what [`Witness::tally`] adds.
    pub counts: Tally,
    waiting_since: Option<u64>,
    story: Vec<(u64, String)>,
    /// Listens, when the run is to be drawn.
    pub recorder: Option<Box<Recorder>>,
}

/// Who the members are, by one word of a log.
#[derive(Clone, Debug)]
struct Configured {
    at: Index,
    members: Vec<NodeId>,
    voters: Vec<NodeId>,
    /// Those before, while voters change.
    outgoing: Vec<NodeId>,
}

impl Configured {
    fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    fn word(&self, roster: &Roster) -> Word {
        let set = |ids: &[NodeId]| (ids.iter().filter_map(|id| roster.host(*id)).fold(0, |set, host| set | 1 << host), ids.len());
        let sets = [&self.voters, &self.outgoing].into_iter().filter(|ids| !ids.is_empty()).map(|ids| set(ids));
        Word { at: self.at, sets: sets.collect() }
    }
}

/// Counts of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub elections: u64,
    pub crashes: u64,
    /// Hand-overs that a leader began.
    pub transfers: u64,
    pub submitted: u64,
    pub acked: u64,
    /// Posts of which somebody was told that they are accepted without a leader.
    pub accepted: u64,
    pub refused: u64,
    pub delivered: u64,
    pub reads: u64,
    /// Messages between nodes that a fault lost or doubled.
    pub touched: u64,
    /// Messages between nodes that a fault held back.
    pub held_back: u64,
    /// Messages between nodes that waited in the queue of a clogged link.
    pub queued: u64,
    /// Connections of clients that a fault broke.
    pub disconnected: u64,
    /// What clients and nodes said to each other and a fault kept waiting.
    pub kept_waiting: u64,
    /// Microseconds.
    pub longest_wait: u64,
    /// What was owed by right, and made.
    pub progress: liveness::Tally,
}

impl Witness {
    /// `reconnect`: within so many microseconds the engine's nodes are connected over a way that opens. `record`: whether to keep everything that the judge is told.
    pub fn new(scenario: &Scenario, reconnect: u64, record: bool) -> Witness {
        let cluster = &scenario.cluster;
        let (roster, hosts) = (Roster::new(cluster), cluster.hosts());
        let clients = crate::workload::actors(scenario) as usize;
        let voters: Vec<NodeId> = (0..cluster.voters).filter_map(|host| roster.id(host)).collect();
        Witness {
            // Writing to memory does not fail.
            record: if record { Writer::new(Vec::new(), &voters).ok() } else { None },
            judge: Judge::new(Cluster { voters }),
            roster,
            violation: None,
            answers: Answers::new(hosts, clients),
            live: Liveness::new(hosts, clients, Bounds::new(scenario, reconnect)),
            leading: vec![None; hosts],
            up: vec![false; hosts],
            configured: vec![Vec::new(); hosts],
            reached: BTreeMap::new(),
            crossings: Crossings::new(hosts),
            posted: BTreeMap::new(),
            acked: BTreeMap::new(),
            counts: Tally::default(),
            waiting_since: None,
            story: Vec::new(),
            recorder: None,
        }
    }

    /// The node that leads in the highest term, of those that are up.
    pub fn leader(&self) -> Option<usize> {
        let leading = self.leading.iter().enumerate().filter_map(|(node, term)| term.map(|term| (term, node)));
        leading.max().map(|(_, node)| node)
    }

    /// Who should lead next, in order; for [`Witness::view`].
    pub fn line(&self) -> Vec<usize> {
        self.roster.line(self.leader())
    }

    /// What the fault plan is told.
    pub fn view<'a>(&'a self, line: &'a [usize]) -> ClusterView<'a> {
        ClusterView { up: &self.up, leader: self.leader(), members: self.roster.members(), line, seats: &[] }
    }

    /// A machine's id, as facts are told under. A machine without one has no process to tell any.
    fn id(&self, node: usize) -> NodeId {
        self.roster.id(node).unwrap_or(NodeId(0))
    }

    /// The first thing that the judge objected to.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref().or(self.live.violation())
    }

    /// Counts of the run so far.
    pub fn tally(&self) -> Tally {
        Tally { progress: self.live.tally(), accepted: self.answers.accepted_ever(), ..self.counts }
    }

    /// The longest time that a post waited for a first answer at a node that was well.
    pub fn longest_unanswered(&self) -> Longest {
        self.answers.longest()
    }

    /// The greatest index that any node knew to be committed.
    pub fn committed(&self) -> Index {
        self.judge.counts().committed
    }

    pub fn reached(&self, point: &str) -> bool {
        point == OWED && self.live.tally().owed_in_part > 0 || self.reached.contains_key(point)
    }

    pub fn points(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        let owed = u32::try_from(self.live.tally().owed_in_part).unwrap_or(u32::MAX);
        let owed = (owed > 0).then_some((OWED, owed));
        self.reached.iter().map(|(point, times)| (*point, *times)).chain(owed)
    }

    pub fn story(&self) -> &[(u64, String)] {
        &self.story
    }

    pub fn fact(&mut self, now: u64, node: usize, fact: &Fact) {
        if let Some(recorder) = &mut self.recorder {
            recorder.fact(now, node, fact);
        }
        self.live.fact(now, node, fact);
        self.observe(now, Observed::Fact { node: self.id(node), fact });
        self.crossings.fact(node, fact);
        if self.crossings.has_news() {
            self.note_crossings();
        }
        match fact {
            Fact::Started { boot, term, durable, applied, .. } => {
                let (index, from) = (durable.index, applied);
                self.configured[node].clear();
                self.said(now, node);
                self.tell(now, || format!("n{} starts as {boot} in term {term}, log to {index}, rows to {from}", node + 1));
            }
            Fact::BecameLeader { term, last } => {
                self.leading[node] = Some(*term);
                self.counts.elections += 1;
                self.tell(now, || format!("n{} leads term {term} from index {}", node + 1, last.index));
            }
            Fact::SteppedDown { term } => {
                self.leading[node] = None;
                self.tell(now, || format!("n{} steps down in term {term}", node + 1));
            }
            Fact::Posted { room, seq, .. } => {
                let newest = self.posted.entry(*room).or_insert(0);
                *newest = (*newest).max(*seq);
            }
            Fact::Reached { point } => {
                *self.reached.entry(point).or_insert(0) += 1;
                self.counts.transfers += u64::from(*point == "transfer.begun");
            }
            Fact::Appended { at } if self.configured[node].last().is_some_and(|said| said.at >= at.index) => {
                self.configured[node].retain(|said| said.at < at.index);
                self.said(now, node);
            }
            Fact::Configured { at, members, voters, outgoing } => {
                let said =
                    Configured { at: at.index, members: members.clone(), voters: voters.clone(), outgoing: outgoing.clone() };
                let joint = said.is_joint();
                self.configured[node].push(said);
                self.said(now, node);
                if !joint {
                    let names = self.names(node);
                    self.tell(now, || format!("n{}: members are {names} by entry {}", node + 1, at.index));
                }
            }
            _ => {}
        }
    }

    /// What one machine's log says of the members has changed, or which machines they are.
    fn said(&mut self, now: u64, node: usize) {
        let word = self.configured[node].last().map(|said| said.word(&self.roster));
        self.live.says(now, node, word);
    }

    /// The members by one machine's log, as machines, with a mark at those that do not vote.
    fn names(&self, node: usize) -> String {
        let Some(said) = self.configured[node].last() else { return String::new() };
        let name = |id: &NodeId| {
            let host = self.roster.host(*id).map_or_else(|| format!("({id})"), |host| format!("n{}", host + 1));
            if said.voters.contains(id) { host } else { format!("{host}*") }
        };
        said.members.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    /// What of the expectations about the end is not so yet, as a sentence.
    pub fn not_yet(&self, expect: &Expect) -> Option<String> {
        let leader = self.leader();
        if let Some(wanted) = expect.leader.filter(|wanted| leader != Some(*wanted)) {
            let leads = leader.map_or_else(|| "nobody".to_owned(), |leader| format!("n{}", leader + 1));
            return Some(format!("n{} should lead at the end, and {leads} does", wanted + 1));
        }
        if expect.voters.is_none() && expect.members.is_none() {
            return None;
        }
        let Some(said) = leader.and_then(|leader| self.configured[leader].last()) else {
            return Some("nobody leads who could say who the members are".to_owned());
        };
        if said.is_joint() {
            return Some("voters are still changing".to_owned());
        }
        if let Some(wanted) = expect.voters.filter(|wanted| said.voters.len() != *wanted) {
            return Some(format!("{wanted} should vote at the end, and these do: {:?}", said.voters));
        }
        let mut members: Vec<usize> = said.members.iter().filter_map(|id| self.roster.host(*id)).collect();
        members.sort_unstable();
        let wanted = expect.members.as_ref()?;
        let known = members.len() == said.members.len();
        (!known || members != *wanted).then(|| {
            let wanted: Vec<String> = wanted.iter().map(|host| format!("n{}", host + 1)).collect();
            format!("the members at the end should be {}, and are {:?}", wanted.join(" "), said.members)
        })
    }

    pub fn started(&mut self, now: u64, node: usize) {
        self.up[node] = true;
        self.live.runs(now, node, true);
        self.answers.runs(now, node, true);
    }

    /// A process stands still, or goes on.
    pub fn paused(&mut self, now: u64, node: usize, paused: bool) {
        self.live.pauses(now, node, paused);
        self.answers.pauses(now, node, paused);
    }

    /// The connections of these two have broken.
    pub fn reset(&mut self, now: u64, a: usize, b: usize) {
        self.live.resets(now, a, b);
    }

    /// The plan may have changed links and disks.
    pub fn conditions(&mut self, now: u64, conditions: &Conditions) {
        self.live.conditions(now, conditions);
        self.answers.conditions(now, conditions);
    }

    /// Where a client is connected; `None`: nowhere.
    pub fn client_at(&mut self, now: u64, client: usize, node: Option<usize>) {
        self.live.sits(now, client, node);
        self.answers.sits(now, client, node);
    }

    pub fn crashed(&mut self, now: u64, node: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.crashed(now, node);
        }
        self.up[node] = false;
        self.leading[node] = None;
        self.crossings.crashed(node);
        self.note_crossings();
        self.counts.crashes += 1;
        self.live.members(self.roster.members());
        self.live.runs(now, node, false);
        self.answers.runs(now, node, false);
        self.observe(now, Observed::Crashed { node: self.id(node) });
    }

    /// The folder on a machine was let in, under this id.
    pub fn joined(&mut self, now: u64, node: usize, id: NodeId) {
        if let Some(recorder) = &mut self.recorder {
            recorder.joined(now, node, id);
        }
        self.roster.joined(node, id);
        self.live.members(self.roster.members());
        (0..self.configured.len()).for_each(|node| self.said(now, node));
        self.tell(now, || format!("n{} joins as node {}", node + 1, id.0));
    }

    /// After a crash: the whole disk is gone.
    pub fn wiped(&mut self, now: u64, node: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.wiped(now, node);
        }
        self.observe(now, Observed::Wiped { node: self.id(node) });
    }

    /// After a crash: the log is not as it was written.
    pub fn damaged(&mut self, now: u64, node: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.damaged(now, node);
        }
        self.observe(now, Observed::Damaged { node: self.id(node) });
    }

    pub fn client(&mut self, now: u64, fact: &ClientFact) {
        if let Some(recorder) = &mut self.recorder {
            recorder.client(now, fact);
        }
        self.observe(now, Observed::Client(fact));
        match fact {
            ClientFact::Submitted { client, number, .. } => {
                self.live.posts(now, seat(*client), *number);
                self.answers.posts(now, seat(*client), *number);
                self.counts.submitted += 1;
                self.waiting_since.get_or_insert(now);
            }
            ClientFact::Acknowledged { client, number, room, seq, .. } => {
                self.settled(now, *client, *number);
                self.counts.acked += 1;
                let newest = self.acked.entry(*room).or_insert(0);
                *newest = (*newest).max(*seq);
                self.answered(now);
            }
            ClientFact::RefusedFinally { client, number } => {
                self.settled(now, *client, *number);
                self.counts.refused += 1;
                self.answered(now);
            }
            // Nobody owes it anything any more.
            ClientFact::GaveUp { client, number } => {
                self.settled(now, *client, *number);
                self.counts.submitted -= 1;
                self.answered(now);
            }
            // An answer to its poster, who need not wait; what is owed by a leader is owed all the same.
            ClientFact::Accepted { client, number, .. } => {
                let answers_a_wait = self.answers.accepted(now, seat(*client), *number);
                if answers_a_wait {
                    self.answered(now);
                }
            }
            ClientFact::Delivered { .. } => self.counts.delivered += 1,
            ClientFact::Read { .. } => self.counts.reads += 1,
            _ => {}
        }
    }

    fn observe(&mut self, now: u64, observed: Observed<'_>) {
        if let Some(record) = &mut self.record {
            // Writing to memory does not fail.
            let _ = record.observe(At(now), observed);
        }
        let judged = self.judge.observe(At(now), observed);
        self.judged(judged);
    }

    /// Everything that the judge was told, if it was to be kept; see [`tertulia_judge::record`].
    pub fn take_record(&mut self) -> Option<Vec<u8>> {
        self.record.take()?.into_inner().ok()
    }

    /// The end: nothing more will happen.
    pub fn finish(&mut self, now: u64) {
        self.live.elapse(now);
        if let Some(record) = &mut self.record {
            let up = (0..self.up.len()).filter(|host| self.up[*host]).filter_map(|host| self.roster.id(host));
            let _ = record.settled(At(now), &up.collect::<Vec<_>>());
        }
        let judged = self.judge.finish(At(now));
        self.judged(judged);
    }

    fn judged(&mut self, judged: Result<(), Violation>) {
        if let (Err(violation), None) = (judged, &self.violation) {
            self.violation = Some(violation);
        }
    }

    /// A post has its place, or is refused, or nobody waits for it any more.
    fn settled(&mut self, now: u64, client: u32, number: u64) {
        self.live.is_answered(now, seat(client), number);
        self.answers.settled(now, seat(client), number);
    }

    /// A post was answered: the wait that it ends counts, and the next one begins if others still wait.
    fn answered(&mut self, now: u64) {
        let Some(since) = self.waiting_since else { return };
        self.counts.longest_wait = self.counts.longest_wait.max(now - since);
        let open = self.counts.submitted > self.counts.acked + self.counts.refused + self.answers.accepted_now();
        self.waiting_since = open.then_some(now);
    }

    fn note_crossings(&mut self) {
        for point in self.crossings.take() {
            *self.reached.entry(point).or_insert(0) += 1;
        }
    }

    fn tell(&mut self, now: u64, sentence: impl FnOnce() -> String) {
        if self.story.len() < STORY {
            self.story.push((now, sentence()));
        }
    }
}

/// Where the client sits that is told of by this number: people count from 1.
fn seat(client: u32) -> usize {
    (client.saturating_sub(1) % SESSIONS) as usize
}
