//! Known bugs as runtime switches, to prove that the judge finds them. Compiled only with `feature = "zoo"`.
//!
//! Each entry of the table says what goes wrong and where that comes from, what it is called on a command line, of what kind it is, and the rules of
//! the judge that it breaks: a bug counts as found only by one of these. Where the switch stands in the code, the line above it is the right one.

/// What a bug has to do with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Kind {
    Votes,
    Commit,
    Durability,
    Membership,
    Snapshots,
    Leases,
    FlowControl,
    Sessions,
    Clients,
    History,
}

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal, $kind:ident, breaks [$($rule:literal),+];)*) => {
        /// A bug that some implementation of a replicated log, or of a chat upon one, has had.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)*
        }

        impl Bug {
            /// The whole zoo.
            pub const ALL: &[Bug] = &[$(Bug::$bug),*];

            /// The name by which `sim --bug` knows it.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$bug => $name,)* }
            }

            pub fn kind(self) -> Kind {
                match self { $(Bug::$bug => Kind::$kind,)* }
            }

            /// The judge's rules that it breaks.
            pub fn breaks(self) -> &'static [&'static str] {
                match self { $(Bug::$bug => &[$($rule),+],)* }
            }

            /// What goes wrong, and the source.
            pub fn about(self) -> &'static str {
                match self { $(Bug::$bug => concat!($($doc),+),)* }
            }
        }
    };
}

bugs! {
    // Votes.
    /// A vote is answered before it is on disk: after a crash the voter may vote again in the same term (thesis 3.8).
    VoteBeforeDurable = "vote-before-durable", Votes, breaks ["vote-durable", "vote-once", "election-safety"];
    /// Logs are compared by length before term in the election restriction (thesis 3.6.1).
    CompareIndexFirst = "compare-index-first", Votes, breaks ["leader-completeness"];

    // Commit.
    /// Entries of older terms are committed by counting replicas (thesis 3.6.2, figure 3.7).
    CountOldTerms = "count-old-terms", Commit, breaks ["durable-quorum", "leader-completeness"];

    // Durability.
    /// A follower acknowledges an append before it is on disk: after a crash a committed entry may be on a minority only.
    AckBeforeDurable = "ack-before-durable", Durability, breaks ["acknowledged-durable", "durable-survives", "durable-quorum"];
    /// What a node with a damaged log acknowledges is counted (Alagappan et al., FAST 2018).
    CountDamaged = "count-damaged", Durability, breaks ["durable-quorum", "repair-silent", "leader-completeness"];

    // Membership.
    /// While voters change, a majority of the new ones commits (thesis 4.3).
    CommitByNewMajority = "commit-by-new-majority", Membership, breaks ["durable-quorum"];
    /// What a learner acknowledges is counted (thesis 4.2.1).
    CountLearners = "count-learners", Membership, breaks ["durable-quorum"];
    /// Members are changed before an entry of the leader's term is committed (Ongaro 2015, raft-dev).
    ChangeBeforeNoop = "change-before-noop", Membership, breaks ["durable-quorum", "leader-completeness"];

    // Leases.
    /// A lease is kept when another node is told to stand (thesis 6.4.1).
    KeepLease = "keep-lease", Leases, breaks ["linearizable-reads"];
    /// Who has confirmed a lease stands as soon as its link to the leader breaks.
    StandUnderLease = "stand-under-lease", Leases, breaks ["linearizable-reads"];

    // Sessions.
    /// The session table is not restored at start: a repeated request is executed again (thesis 6.3; nats-server #3272, what was published with an id
    /// before a restart is taken again after it).
    ForgetSessions = "forget-sessions", Sessions, breaks ["exactly-once"];
    /// A snapshot brings the sessions without what they have had executed (thesis 6.3; RedisLabs/redisraft #568 adds sessions to its snapshots).
    ForgetSessionsInSnapshot = "forget-sessions-in-snapshot", Sessions, breaks ["exactly-once", "equal-state-hash"];
    /// Only the last outcome of a session is kept, though several of its requests may be under way: what is repeated after the next one is refused as
    /// forgotten (thesis 6.3; apache/kafka #3743, KAFKA-5494, idempotence with more than one request in flight).
    KeepOneOutcome = "keep-one-outcome", Sessions, breaks ["workload"];
    /// Numbers are executed as they come: one that was sent again stands after its successors (IBM/sarama #2619, apache/kafka #1607: messages change places
    /// when the first is retried and the second succeeds).
    ExecuteOutOfOrder = "execute-out-of-order", Sessions, breaks ["session-order"];
    /// One outcome is remembered for a session, and any number that was executed before is answered with it (zeromq/rfc #80: a reply that comes late is
    /// taken for that of another request; thesis 6.3 wants the outcome of each request).
    AnswerWithLast = "answer-with-last", Sessions, breaks ["one-order", "session-order", "workload"];
    /// The leader answers its own clients when their request is in its log, with the place that it expects (Jepsen: MongoDB, 2013, a primary that
    /// acknowledges what it has not replicated rolls it back; thesis 6.3).
    AnswerAtAppend = "answer-at-append", Sessions, breaks ["acknowledged-kept"];
    /// A new leader takes requests before it has applied what it was elected with, and repetitions are looked for only when a request is proposed
    /// (nats-server #6486: a new leader that is not up-to-date and responds to requests could make duplicates).
    TakeBeforeApplied = "take-before-applied", Sessions, breaks ["exactly-once"];
    /// A leader that comes back into office still takes for proposed what it had proposed before: what was cut off its log is never proposed again
    /// (nats-server #6415 and #6486: after an election any retry of a message that was not stored fails).
    ProposedForEver = "proposed-for-ever", Sessions, breaks ["workload", "liveness"];
    /// A leader that is one no more tells its clients that their requests were refused, though they may still be committed (databendlabs/openraft #973;
    /// softwaremill/saft #6).
    RefuseAtStepDown = "refuse-at-step-down", Sessions, breaks ["workload"];
    /// A request is offered to a leader once: when that one dies with it, it waits for nothing (etcd #5214: a lost proposal on leader change does not time
    /// out; cockroachdb #1677).
    OfferOnce = "offer-once", Sessions, breaks ["unavailable"];
    /// Outcomes that a client has acknowledged are dropped by the leader alone: applying depends on what is not replicated (etcd #7320).
    EvictOnLeader = "evict-on-leader", Sessions, breaks ["equal-state-hash"];

    // Clients.
    /// A client that reconnects gives what it has not settled new numbers, from the one that the server says is next: what had been executed is executed
    /// again (zulip #31219, zulip-mobile #2374; librdkafka #4953).
    TrustNextNumber = "trust-next-number", Clients, breaks ["sent-once", "one-order", "session-order", "workload"];
    /// A client that loses its connection forgets what it had sent on it (nats.node #320: the pending buffer is reset on disconnect).
    ForgetQueue = "forget-queue", Clients, breaks ["liveness"];
    /// A client that has waited too long says that its request was refused (nats.node #628: a timeout, but the message is in the stream).
    TimeoutIsRefusal = "timeout-is-refusal", Clients, breaks ["workload"];
    /// A client says that it has got every answer up to its newest request: the table drops outcomes that it will ask for (thesis 6.3: a client tells the
    /// lowest number for which it has no response yet).
    AcknowledgeTooMuch = "acknowledge-too-much", Clients, breaks ["workload"];
    /// A client that moves follows from now on, not from the last event that it was delivered (thelounge #1883, socket.io-client #1358).
    FollowFromNow = "follow-from-now", Clients, breaks ["delivery-order"];
    /// A client goes on from where its new server says, which may be behind the one before (etcd #20221: old events when a client connects to several members).
    TakeServersCursor = "take-servers-cursor", Clients, breaks ["delivery-order"];
    /// A client delivers what it has delivered before (nats-server #3006: some numbers show up twice while one server after the other is restarted).
    DeliverAgain = "deliver-again", Clients, breaks ["delivery-order"];
    /// A client that asks for a page with its own past does not say how far that goes (etcd #7623: an answer of another endpoint may be of an older revision).
    ForgetOwnPast = "forget-own-past", Clients, breaks ["session-reads"];
    /// An event that is too much for a slow reader is dropped: it is neither closed nor does it catch up (etcd #1253, #17529).
    DropForSlowReader = "drop-for-slow-reader", Clients, breaks ["liveness"];
    /// A follower is live as soon as its last page has come, though events were applied while it was read (etcd #20655).
    LiveTooEarly = "live-too-early", Clients, breaks ["liveness"];
    /// Live followers hear nothing of what a snapshot has brought (etcd #8411).
    LiveOverJump = "live-over-jump", Clients, breaks ["liveness"];
    /// Followers are forgotten when the leader is lost, and nobody tells them (etcd #589: watchers stop receiving events after a leader election).
    ForgetFollowers = "forget-followers", Clients, breaks ["liveness"];
    /// A node that is behind says that there is no such thing (consul #4554; DESIGN 3: negative answers are given only after ReadIndex).
    DenyWhenBehind = "deny-when-behind", Clients, breaks ["workload"];

    // History.
    /// A node calls its own state current without asking anybody (etcd #741).
    ReadLocal = "read-local", History, breaks ["linearizable-reads"];
    /// A read does not wait until the state has come to its read index (thesis 6.4, step 4; baidu/braft #315).
    ReadBeforeApplied = "read-before-applied", History, breaks ["linearizable-reads"];
    /// A page that no leader has confirmed in time is called current all the same (thesis 6.4; deventlab/d-engine #381).
    UnconfirmedIsCurrent = "unconfirmed-is-current", History, breaks ["linearizable-reads"];
    /// A node answers with what it has, however far the asker says that it has seen (etcd #7623).
    IgnoreAtLeast = "ignore-at-least", History, breaks ["session-reads"];
    /// A page begins with the post after which it was asked for (synapse #1602: the last event of one page comes again as the first of the next).
    PageInclusive = "page-inclusive", History, breaks ["one-order"];
    /// A page leaves out the first post after its bound (synapse #13840: events are skipped when paginating forward).
    PageSkips = "page-skips", History, breaks ["one-order", "linearizable-reads"];
    /// A page that is read backwards is not turned round (dendrite #1708; candy #34).
    PageBackwards = "page-backwards", History, breaks ["one-order"];
    /// Who asks for the last messages gets one too many (Openfire #998, OF-1468).
    LastTooMany = "last-too-many", History, breaks ["last-messages"];
    /// A room counts its messages from 1 again after a restart (nats-server #3284; nats-streaming-server #1051).
    RoomRestarts = "room-restarts", History, breaks ["equal-state-hash", "one-order"];
    /// A message is named by the millisecond: two of one millisecond are one (bwmarrin/snowflake #64).
    IdByTime = "id-by-time", History, breaks ["exactly-once"];
    /// A message is stamped with the clock of the node that applies it (etcd #7320).
    ApplyByOwnClock = "apply-by-own-clock", History, breaks ["equal-state-hash"];
    /// How far the rows have come is not written with them: after a crash entries are applied upon rows that hold them (etcd #13766, #13967).
    AppliedApart = "applied-apart", History, breaks ["equal-state-hash"];
    /// Of the messages that are applied together only the first one is written (synapse #1449: a token advanced beyond an event that was not persisted).
    RowsInPart = "rows-in-part", History, breaks ["one-order", "final-read", "liveness"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_name_is_its_own() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
    }
}
