//! Histories for the tests of the rules, short enough to read as stories.
//!
//! A log is written as the terms of its entries: `log(&[1, 1, 2])` is the place of its third entry, whose chain covers the other two.

use crate::observed::{At, ClientFact, Extent, Observed, ReadPost, Violation, text_digest};
use crate::{Cluster, Judge, rules};
use tertulia_protocol::chat::RoomRef;
use tertulia_protocol::contract::{Position, StateHash};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::{DifferentRow, Divergence, Identity, RowChange};
use tertulia_protocol::time::Timestamp;

/// The place at the end of the log whose entries have these terms.
pub(crate) fn log(terms: &[Term]) -> Position {
    let chain = terms.iter().fold(0, |chain: u64, term| (chain ^ term).wrapping_mul(0x0000_0100_0000_01b3).wrapping_add(1));
    Position {
        index: terms.len() as Index,
        term: terms.last().copied().unwrap_or(0),
        chain: if terms.is_empty() { 0 } else { chain },
    }
}

pub(crate) fn started_with(durable: Position, applied: Index) -> Fact {
    Fact::Started { boot: Boot(1), term: durable.term, voted_for: None, durable, applied }
}

/// What a node says of another one whose state is not its own.
pub(crate) fn divergence() -> Box<Divergence> {
    let row =
        DifferentRow { row: "row 10 (1)".to_owned(), here: Some(RowChange { old: None, new: Some(u64::MAX) }), there: None };
    Box::new(Divergence {
        peer: NodeId(2),
        first: 1,
        earlier: false,
        through: 3,
        rows: vec![row],
        more_rows: 0,
        with_this: vec![NodeId(3)],
        with_peer: Vec::new(),
    })
}

/// What the message that says `text` is called.
pub(crate) fn id(text: &str) -> MessageId {
    MessageId(u128::from(text_digest(text)) << 64)
}

/// The stamp of the post at this place, as a well-behaved leader gives it.
pub(crate) fn stamp(seq: Seq) -> Timestamp {
    Timestamp(1_000 * seq)
}

/// A history under judgement; one step is a millisecond.
pub(crate) struct Story {
    judge: Judge,
    now: At,
    violation: Option<Violation>,
}

impl Story {
    /// Three nodes that are judged by all rules.
    pub(crate) fn new() -> Story {
        Story::judged(rules::all())
    }

    /// Judged by this rule alone: a story about one rule leaves out what others want to hear.
    pub(crate) fn of(rule: &str) -> Story {
        let rules: Vec<_> = rules::all().into_iter().filter(|each| each.name() == rule).collect();
        assert_eq!(rules.len(), 1, "there is no rule {rule}");
        Story::judged(rules)
    }

    fn judged(rules: Vec<Box<dyn rules::Rule>>) -> Story {
        let voters = (1..=3).map(NodeId).collect();
        Story { judge: Judge::with(Cluster { voters }, rules), now: At(0), violation: None }
    }

    fn observe(mut self, observed: Observed<'_>) -> Story {
        self.now.0 += 1_000;
        let verdict = self.judge.observe(self.now, observed);
        self.violation = self.violation.or(verdict.err());
        self
    }

    pub(crate) fn fact(self, node: u64, fact: Fact) -> Story {
        self.observe(Observed::Fact { node: NodeId(node), fact: &fact })
    }

    pub(crate) fn client(self, fact: ClientFact) -> Story {
        self.observe(Observed::Client(&fact))
    }

    pub(crate) fn crash(self, node: u64) -> Story {
        self.observe(Observed::Crashed { node: NodeId(node) })
    }

    pub(crate) fn wipe(self, node: u64) -> Story {
        self.observe(Observed::Wiped { node: NodeId(node) })
    }

    pub(crate) fn damage(self, node: u64) -> Story {
        self.observe(Observed::Damaged { node: NodeId(node) })
    }

    /// Starts with this log, and knows that it has lost something.
    pub(crate) fn repairing(self, node: u64, terms: &[Term]) -> Story {
        self.fact(node, started_with(log(terms), 0)).fact(node, Fact::Repairing)
    }

    pub(crate) fn repaired(self, node: u64) -> Story {
        self.fact(node, Fact::Reached { point: "log.repaired" })
    }

    /// The log through here says who votes.
    pub(crate) fn configured(self, node: u64, terms: &[Term], voters: &[u64], outgoing: &[u64]) -> Story {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let members = ids(&[voters, outgoing].concat());
        self.fact(node, Fact::Configured { at: log(terms), members, voters: ids(voters), outgoing: ids(outgoing) })
    }

    /// All three start with empty disks.
    pub(crate) fn three_start(self) -> Story {
        (1..=3).fold(self, |story, node| story.fact(node, started_with(log(&[]), 0)))
    }

    /// The end of the log becomes this, entry by entry, from the first one that `from` does not have; memory only.
    pub(crate) fn append(self, node: u64, from: usize, terms: &[Term]) -> Story {
        (from..terms.len()).fold(self, |story, n| story.fact(node, Fact::Appended { at: log(&terms[..=n]) }))
    }

    pub(crate) fn durable(self, node: u64, terms: &[Term]) -> Story {
        self.fact(node, Fact::Durable { through: log(terms) })
    }

    pub(crate) fn append_durable(self, node: u64, from: usize, terms: &[Term]) -> Story {
        self.append(node, from, terms).durable(node, terms)
    }

    pub(crate) fn term(self, node: u64, term: Term) -> Story {
        self.fact(node, Fact::TermBegan { term })
    }

    /// Durable, then sent (to itself: only durable).
    pub(crate) fn vote(self, node: u64, term: Term, candidate: u64) -> Story {
        let candidate = NodeId(candidate);
        let story = self.fact(node, Fact::VoteDurable { term, voted_for: Some(candidate) });
        if NodeId(node) == candidate { story } else { story.fact(node, Fact::Voted { term, candidate }) }
    }

    pub(crate) fn leads(self, node: u64, term: Term, last: &[Term]) -> Story {
        self.fact(node, Fact::BecameLeader { term, last: log(last) })
    }

    /// A candidate is elected by one other voter.
    pub(crate) fn elect(self, node: u64, by: u64, term: Term, last: &[Term]) -> Story {
        self.term(node, term).vote(node, term, node).term(by, term).vote(by, term, node).leads(node, term, last)
    }

    pub(crate) fn commit(self, node: u64, terms: &[Term], as_leader: bool) -> Story {
        self.fact(node, Fact::Committed { through: log(terms), as_leader })
    }

    /// Applied; the state hash is the log's.
    pub(crate) fn apply(self, node: u64, terms: &[Term]) -> Story {
        let at = log(terms);
        self.fact(node, Fact::Applied { at, hash: StateHash(at.chain) })
    }

    /// A snapshot is about to be installed.
    pub(crate) fn received(self, node: u64, terms: &[Term]) -> Story {
        self.fact(node, Fact::SnapshotReceived { at: log(terms) })
    }

    /// A snapshot is in use; the state hash is the log's.
    pub(crate) fn installed(self, node: u64, terms: &[Term]) -> Story {
        let at = log(terms);
        self.received(node, terms).fact(node, Fact::SnapshotInstalled { at, hash: StateHash(at.chain) })
    }

    pub(crate) fn executed(self, node: u64, index: Index, session: u64, number: u64) -> Story {
        self.fact(node, Fact::Executed { index, session: SessionId(session), identity: Identity::Number(number) })
    }

    pub(crate) fn posted(self, node: u64, index: Index, seq: Seq, text: &str) -> Story {
        self.fact(node, Fact::Posted { index, room: RoomId(1), seq, id: id(text) })
    }

    /// Entry `n` of the outbox of node 1 is durable there: this request of that session.
    pub(crate) fn kept(self, node: u64, n: u64, session: u64, number: u64) -> Story {
        let outbox = OutboxId { node: NodeId(1), boot: Boot(1) };
        self.fact(node, Fact::Kept { outbox, n, session: SessionId(session), identity: Identity::Number(number) })
    }

    /// A client is told by this node that its request is accepted.
    pub(crate) fn accepted(self, node: u64, session: u64, number: u64, copies: u32) -> Story {
        self.fact(node, Fact::Accepted { session: SessionId(session), identity: Identity::Number(number), copies })
    }

    pub(crate) fn refused(self, node: u64, index: Index, session: u64, number: u64) -> Story {
        self.fact(node, Fact::TentativeRefused { index, session: SessionId(session), identity: Identity::Number(number) })
    }

    pub(crate) fn told_accepted(self, client: u32, number: u64, text: &str, copies: u32) -> Story {
        self.client(ClientFact::Accepted { client, number, id: id(text), copies })
    }

    /// A message of user 1 comes to the tail of room 1 on this screen, before another one or at its end.
    pub(crate) fn tentative(self, client: u32, text: &str, before: Option<&str>) -> Story {
        let (text_digest, before) = (text_digest(text), before.map(id));
        self.client(ClientFact::Tentative { client, room: RoomId(1), id: id(text), author: UserId(1), text_digest, before })
    }

    pub(crate) fn untailed(self, client: u32, text: &str) -> Story {
        self.client(ClientFact::Untailed { client, room: RoomId(1), id: id(text) })
    }

    pub(crate) fn submit(self, client: u32, number: u64, text: &str) -> Story {
        self.submit_in(1, client, number, text)
    }

    pub(crate) fn submit_in(self, room: u64, client: u32, number: u64, text: &str) -> Story {
        let room = RoomRef::Id(RoomId(room));
        self.client(ClientFact::Submitted { client, number, room, text_digest: text_digest(text) })
    }

    pub(crate) fn ack(self, client: u32, number: u64, seq: Seq, text: &str) -> Story {
        self.ack_in(1, client, number, seq, text)
    }

    pub(crate) fn ack_in(self, room: u64, client: u32, number: u64, seq: Seq, text: &str) -> Story {
        self.client(ClientFact::Acknowledged { client, number, room: RoomId(room), seq, id: id(text), at: stamp(seq) })
    }

    pub(crate) fn refuse(self, client: u32, number: u64) -> Story {
        self.client(ClientFact::RefusedFinally { client, number })
    }

    pub(crate) fn deliver(self, client: u32, seq: Seq, text: &str) -> Story {
        self.deliver_in(1, client, seq, text)
    }

    pub(crate) fn deliver_in(self, room: u64, client: u32, seq: Seq, text: &str) -> Story {
        let (text_digest, at) = (text_digest(text), stamp(seq));
        self.client(ClientFact::Delivered { client, room: RoomId(room), cursor: seq, seq, id: id(text), text_digest, at })
    }

    /// A read of room 1, asked for `ago` milliseconds before its answer.
    pub(crate) fn read(self, client: u32, extent: Extent, ago: u64, posts: &[(Seq, &str)]) -> Story {
        self.read_as(1, client, extent, ago, posts, false)
    }

    /// A page that promises the reader's own past and no more.
    pub(crate) fn read_own_past(self, client: u32, extent: Extent, ago: u64, posts: &[(Seq, &str)]) -> Story {
        self.read_own_past_in(1, client, extent, ago, posts)
    }

    pub(crate) fn read_own_past_in(self, room: u64, client: u32, extent: Extent, ago: u64, posts: &[(Seq, &str)]) -> Story {
        self.read_as(room, client, extent, ago, posts, true)
    }

    fn read_as(self, room: u64, client: u32, extent: Extent, ago: u64, posts: &[(Seq, &str)], own_past: bool) -> Story {
        let asked = At((self.now.0 + 1_000).saturating_sub(ago * 1_000));
        let post = |&(seq, text): &(Seq, &str)| ReadPost { seq, id: id(text), text_digest: text_digest(text), at: stamp(seq) };
        let posts = posts.iter().map(post).collect();
        let (after, before) = (None, None);
        self.client(ClientFact::Read {
            client,
            room: RoomId(room),
            asked,
            after,
            before,
            posts,
            extent,
            current: !own_past,
            own_past,
        })
    }

    pub(crate) fn finish(mut self) -> Story {
        let verdict = self.judge.finish(self.now);
        self.violation = self.violation.or(verdict.err());
        self
    }

    pub(crate) fn counts(&self) -> crate::Counts {
        self.judge.counts()
    }

    /// Nothing is wrong so far.
    #[track_caller]
    pub(crate) fn holds(self) -> Story {
        assert_eq!(self.violation.as_ref().map(ToString::to_string), None);
        self
    }

    /// This rule has objected, with these words somewhere in its evidence.
    #[track_caller]
    pub(crate) fn breaks(self, rule: &str, words: &str) {
        let violation = self.violation.expect("nobody objected");
        assert_eq!(violation.rule, rule, "{violation}");
        assert!(violation.evidence.contains(words), "{violation}");
    }
}

/// Three nodes start, 1 is elected by 2, its no-op and one post are committed, applied and acknowledged everywhere.
fn a_good_term() -> Story {
    let story = Story::new().three_start().elect(1, 2, 1, &[]);
    let story = story.submit(7, 1, "hola").append_durable(1, 0, &[1, 1]);
    let ack = |story: Story, node| story.fact(node, Fact::Acknowledged { term: 1, through: log(&[1, 1]) });
    let story = ack(story.append_durable(2, 0, &[1, 1]), 2).commit(1, &[1, 1], true).apply(1, &[1]).apply(1, &[1, 1]);
    let story = story.executed(1, 2, 1, 1).posted(1, 2, 1, "hola").ack(7, 1, 1, "hola").deliver(8, 1, "hola");
    let story = ack(story.term(3, 1).append_durable(3, 0, &[1, 1]), 3);
    [2, 3].into_iter().fold(story, |story, node| {
        let story = story.commit(node, &[1, 1], false).apply(node, &[1]).apply(node, &[1, 1]);
        story.executed(node, 2, 1, 1).posted(node, 2, 1, "hola")
    })
}

#[test]
fn a_good_term_pleases_all_rules() {
    let story = a_good_term().read(8, Extent::Final, 0, &[(1, "hola")]).finish().holds();
    let counts = story.counts();
    assert_eq!((counts.elections, counts.committed, counts.acknowledged, counts.delivered, counts.reads), (1, 2, 1, 1, 1));
}

#[test]
fn a_crash_an_election_and_a_rewritten_log_please_all_rules() {
    let story = a_good_term().submit(7, 2, "adios").append_durable(1, 2, &[1, 1, 1]).crash(1);
    let story = story.elect(2, 3, 2, &[1, 1]).append_durable(2, 2, &[1, 1, 2, 2]).append_durable(3, 2, &[1, 1, 2, 2]);
    let story = story.commit(2, &[1, 1, 2, 2], true).commit(3, &[1, 1, 2, 2], false);
    // The old leader comes back with an entry that nobody else has, and with rows older than its log.
    let started = Fact::Started { boot: Boot(9), term: 1, voted_for: Some(NodeId(1)), durable: log(&[1, 1, 1]), applied: 1 };
    let story = story.fact(1, started).term(1, 2).append_durable(1, 2, &[1, 1, 2, 2]).commit(1, &[1, 1, 2, 2], false);
    let story = story.apply(1, &[1, 1]).executed(1, 2, 1, 1).posted(1, 2, 1, "hola");
    let story = [1, 2, 3].into_iter().fold(story, |story, node| {
        let story = story.apply(node, &[1, 1, 2]).apply(node, &[1, 1, 2, 2]);
        story.executed(node, 4, 1, 2).posted(node, 4, 2, "adios")
    });
    let story = story.deliver(8, 2, "adios").ack(7, 2, 2, "adios");
    let story = story.read(8, Extent::Final, 0, &[(1, "hola"), (2, "adios")]);
    story.finish().holds();
}

/// Node 3 hears no leader, and goes on in its old term; a peer tells it of entries that are committed, of later terms too.
#[test]
fn a_node_that_learns_from_a_peer_what_is_committed_pleases_all_rules() {
    let story = a_good_term().elect(2, 1, 2, &[1, 1]).append_durable(2, 2, &[1, 1, 2, 2]).append_durable(1, 2, &[1, 1, 2, 2]);
    let story = story.fact(1, Fact::Acknowledged { term: 2, through: log(&[1, 1, 2, 2]) });
    let story = story.commit(2, &[1, 1, 2, 2], true).append(3, 2, &[1, 1, 2]).commit(3, &[1, 1, 2], false).durable(3, &[1, 1, 2]);
    let story = story.append_durable(3, 3, &[1, 1, 2, 2]).commit(3, &[1, 1, 2, 2], false).commit(1, &[1, 1, 2, 2], false);
    let story = [3, 1, 2].into_iter().fold(story, |story, node| story.apply(node, &[1, 1, 2]).apply(node, &[1, 1, 2, 2]));
    story.read(8, Extent::Final, 0, &[(1, "hola")]).finish().holds();
}

/// Node 3 is alone and accepts what client 9 says; it is executed when the others hear of it.
#[test]
fn what_is_accepted_alone_and_executed_later_pleases_all_rules() {
    let story = a_good_term().submit(9, 1, "alone").kept(3, 1, 2, 1).accepted(3, 2, 1, 1).told_accepted(9, 1, "alone", 1);
    let story =
        story.tentative(9, "alone", None).kept(1, 1, 2, 1).append_durable(1, 2, &[1, 1, 1]).append_durable(2, 2, &[1, 1, 1]);
    let story = story.fact(2, Fact::Acknowledged { term: 1, through: log(&[1, 1, 1]) });
    let story = story.commit(1, &[1, 1, 1], true).append_durable(3, 2, &[1, 1, 1]);
    let story = [2, 3].into_iter().fold(story, |story, node| story.commit(node, &[1, 1, 1], false));
    let story = [1, 2, 3]
        .into_iter()
        .fold(story, |story, node| story.apply(node, &[1, 1, 1]).executed(node, 3, 2, 1).posted(node, 3, 2, "alone"));
    let story = story.deliver(9, 1, "hola").deliver(9, 2, "alone").untailed(9, "alone").deliver(8, 2, "alone");
    story.ack(9, 1, 2, "alone").read(9, Extent::Final, 0, &[(1, "hola"), (2, "alone")]).finish().holds();
}

#[test]
fn clients_alone_can_be_judged() {
    let story = Story::new().submit(7, 1, "hola").ack(7, 1, 1, "hola").deliver(8, 1, "hola");
    story.read(8, Extent::Final, 0, &[(1, "hola")]).finish().holds();
}

/// The rules that see more with facts of nodes see all that clients can see without them.
#[test]
fn a_history_alone_has_a_judge_of_its_own() {
    let mut judge = Judge::for_clients();
    let mut say = |at, fact: ClientFact| judge.observe(At(at), Observed::Client(&fact));
    let (room, at) = (RoomId(1), stamp(1));
    let acked = |client, text: &str| ClientFact::Acknowledged { client, number: 1, room, seq: 1, id: id(text), at };
    assert_eq!(say(1, acked(7, "hola")), Ok(()));
    assert_eq!(say(2, acked(8, "adios")).map_err(|violation| violation.rule), Err("one-order"));
    let kinds = ["causality", "one-order", "log-matching", "no such rule"].map(Judge::kind_of);
    assert_eq!(kinds, [Some(rules::Kind::ClientVisible), Some(rules::Kind::Both), Some(rules::Kind::Internal), None]);
}
