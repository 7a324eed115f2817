//! The vocabulary of a recorded run: each kind of thing that can happen, how it is grouped, how much it weighs, and how a person reads it.
//!
//! The page gets this table with the rows, so that a row is a handful of numbers and every sentence is written down once, here. In a sentence
//! `{term}` stands for the field of that name, `{from}` and `{to}` for the lanes of a message.

/// How much a row matters to somebody who reads a run for the first time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    /// One of very many: a message, a commit.
    Detail = 0,
    /// Worth stopping at when one looks closely.
    Notable = 1,
    /// A turn of the story: kept whatever else is dropped.
    Turn = 2,
}

/// One kind of row.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// A short name, unique.
    pub name: &'static str,
    /// What the page's filter and colours go by.
    pub group: &'static str,
    pub weight: Weight,
    /// It goes from one lane to another.
    pub message: bool,
    /// The names of its fields, in order.
    pub fields: &'static [&'static str],
    pub text: &'static str,
}

macro_rules! kinds {
    ($($kind:ident = $name:literal, $group:literal, $weight:ident, $message:literal, [$($field:literal),*], $text:literal;)*) => {
        /// What a row tells.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Kind {
            $($kind,)*
        }

        /// All kinds, in the order of [`Kind`].
        pub const KINDS: &[KindInfo] = &[$(KindInfo {
            name: $name,
            group: $group,
            weight: Weight::$weight,
            message: $message,
            fields: &[$($field),*],
            text: $text,
        }),*];
    };
}

kinds! {
    // Messages between nodes.
    AskPreVote = "ask pre-vote", "votes", Detail, true, ["term", "index", "last term"],
        "asks whether {to} would vote for it in term {term}; its log ends at {index} of term {last term}";
    AskVote = "ask vote", "votes", Notable, true, ["term", "index", "last term"],
        "asks {to} for its vote in term {term}; its log ends at {index} of term {last term}";
    AskForcedVote = "ask vote, told to stand", "votes", Notable, true, ["term", "index", "last term"],
        "asks {to} for its vote in term {term}, as the leader told it to; its log ends at {index} of term {last term}";
    PreVote = "pre-vote", "votes", Detail, true, ["term"], "would vote for {to} in term {term}";
    NoPreVote = "no pre-vote", "votes", Detail, true, ["term"], "would not vote for {to}; it is in term {term}";
    Vote = "vote", "votes", Notable, true, ["term"], "votes for {to} in term {term}";
    NoVote = "no vote", "votes", Notable, true, ["term"], "does not vote for {to}; it is in term {term}";
    TimeoutNow = "timeout now", "votes", Notable, true, ["term"], "hands over in term {term}: {to} shall stand for election now";
    Append = "append", "appends", Detail, true, ["term", "count", "previous", "index", "commit", "round"],
        "sends {count} entries after {previous}, through {index}; term {term}, commit {commit}, round {round}";
    Appended = "appended", "appends", Detail, true, ["term", "index", "round"],
        "has the log through {index} on disk; term {term}, round {round}";
    AppendRefused = "append refused", "appends", Detail, true, ["term", "previous", "index", "hint term"],
        "does not have entry {previous} of term {term}: look at {index} of term {hint term}";
    Heartbeat = "heartbeat", "heartbeats", Detail, true, ["term", "index", "commit", "round"],
        "leads term {term}: log to {index}, commit {commit}, round {round}";
    HeartbeatAnswer = "heartbeat answered", "heartbeats", Detail, true, ["term", "index", "round"],
        "has heard round {round} of term {term}, log on disk still through {index}";
    Probe = "probe", "heartbeats", Detail, true, [], "measures the way to {to}";
    Report = "report", "heartbeats", Detail, true, ["term", "ways"], "reports what it measured of {ways} ways; term {term}";
    AskRead = "ask read index", "reads", Detail, true, ["term", "read"], "asks {to} for a read index (question {read}, term {term})";
    Read = "read index", "reads", Detail, true, ["term", "read", "index"],
        "answers question {read}: reads at {index} or later see everything; term {term}";
    NeedSnapshot = "need snapshot", "snapshots", Notable, true, ["term", "index"],
        "says that {to} needs a snapshot: its log begins after {index}; term {term}";
    AskPart = "ask snapshot part", "snapshots", Detail, true, ["part"], "asks {to} for part {part} of a snapshot";
    Part = "snapshot part", "snapshots", Detail, true, ["part", "index", "rows"],
        "sends part {part} of its snapshot at {index}: {rows} rows";
    ToldHash = "state hash", "states", Detail, true, ["index"], "tells {to} the hash of its state after entry {index}";
    AskHashes = "ask hashes", "states", Notable, true, ["first", "index"],
        "asks {to} for the hashes of its state after the entries {first} to {index}";
    Hashes = "hashes", "states", Notable, true, ["count", "first"], "sends {count} hashes of its state, after entry {first} and on";
    AskRows = "ask rows of entry", "states", Notable, true, ["index"], "asks {to} which rows entry {index} wrote";
    Rows = "rows of entry", "states", Notable, true, ["count", "index"], "sends digests of the {count} rows that entry {index} wrote";
    Forward = "forward", "requests", Detail, true, ["session", "number"], "forwards request {number} of session {session} to {to}";
    ForwardOpen = "forward sign-in", "requests", Detail, true, [], "forwards a sign-in to {to}";
    Forwarded = "forward answered", "requests", Detail, true, ["index"], "answers what was forwarded: it is done by entry {index}";
    ForwardRefused = "forward refused", "requests", Notable, true, [], "refuses what was forwarded";
    OutboxDigest = "says what it holds", "tentative", Detail, true, ["outboxes"], "tells {to} what it holds of {outboxes} outboxes";
    OutboxWant = "wants entries", "tentative", Detail, true, ["outboxes"], "asks {to} for the next entries of {outboxes} outboxes";
    OutboxEntries = "tentative entries", "tentative", Notable, true, ["count"], "sends {to} {count} tentative entries";
    ToldCommitted = "hearsay", "tentative", Notable, true, ["count", "index"],
        "tells {to}, which no leader reaches, of {count} entries that are committed, through {index}";
    Admin = "operator's call", "operators", Notable, true, [], "passes an operator's call on to {to}";
    Administered = "operator answered", "operators", Notable, true, [], "answers an operator's call";
    // Between clients and nodes.
    Hello = "connect", "requests", Detail, true, [], "connects to {to}";
    SignIn = "sign in", "requests", Detail, true, [], "signs in at {to}";
    Request = "request", "requests", Detail, true, ["number"], "sends request {number} to {to}";
    Page = "ask page", "requests", Detail, true, [], "asks {to} for a page of history";
    OtherRequest = "ask", "requests", Detail, true, [], "asks {to}";
    HangUp = "hang up", "requests", Detail, true, [], "closes its connection to {to}";
    Welcome = "connected", "requests", Detail, true, [], "accepts the connection of {to}";
    Reply = "reply", "requests", Detail, true, ["index"], "answers {to} from a state that holds the log through {index}";
    Refusal = "reply: refused", "requests", Detail, true, ["index"], "refuses what {to} asked";
    Event = "event", "events", Detail, true, ["room", "seq"], "shows {to} message {seq} of room {room}";
    Closed = "connection closed", "requests", Detail, true, [], "ends the connection of {to}";
    // What nodes tell of themselves.
    Started = "starts", "lives", Turn, false, ["boot", "term", "index", "rows"],
        "starts (boot {boot}) in term {term}: log to {index}, rows to {rows}";
    Crashed = "crashes", "lives", Turn, false, [], "is down: its memory is gone";
    Wiped = "disk wiped", "lives", Turn, false, [], "has lost its whole disk";
    Damaged = "log damaged", "lives", Turn, false, [], "has a log that is not as it was written";
    Joined = "joins", "members", Turn, false, ["id"], "joins as node {id}";
    Repairing = "repairs", "lives", Turn, false, [], "says that its log lost what it may have acknowledged: it is silent until that is repaired";
    Diverged = "states differ", "states", Turn, false, ["peer", "first", "index"],
        "finds that its state is not that of n{peer}: it began at entry {first}, and was seen at {index}";
    TermBegan = "term begins", "elections", Notable, false, ["term"], "is in term {term} now";
    PreCandidate = "pre-candidate", "elections", Notable, false, ["term"], "misses its leader: who would vote for it in term {term}?";
    Candidate = "candidate", "elections", Turn, false, ["term"], "stands for election in term {term}";
    Leader = "leader", "elections", Turn, false, ["term", "index"], "leads term {term}; its log ended at {index} when it was elected";
    SteppedDown = "steps down", "elections", Turn, false, ["term"], "steps down; it is in term {term}";
    Voted = "voted", "elections", Notable, false, ["term", "candidate"], "has sent its vote in term {term} to n{candidate}";
    VoteDurable = "vote on disk", "elections", Notable, false, ["term", "candidate"], "has its vote in term {term} for n{candidate} on disk";
    TermDurable = "term on disk", "elections", Notable, false, ["term"], "has term {term} on disk, with no vote";
    EntryAppended = "log grows", "log", Detail, false, ["first", "index", "term"], "has entries {first} to {index} of term {term} in its log (in memory)";
    Durable = "on disk", "log", Detail, false, ["index", "term"], "has its log through {index} of term {term} on disk";
    Acknowledged = "acknowledged", "log", Detail, false, ["term", "index"], "told the leader of term {term} that all through {index} is on disk";
    Counted = "commits", "log", Detail, false, ["index", "term"], "has counted a majority: all through {index} of term {term} is committed";
    Committed = "learns commit", "log", Detail, false, ["index", "term"], "knows that all through {index} of term {term} is committed";
    Applied = "applies", "log", Detail, false, ["first", "index", "term"], "applies entries {first} to {index}";
    Executed = "executes", "log", Detail, false, ["index", "session", "number"], "executes request {number} of session {session} at entry {index}";
    Posted = "posts", "log", Detail, false, ["index", "room", "seq"], "entry {index} is message {seq} of room {room}";
    SnapshotReceived = "snapshot here", "snapshots", Turn, false, ["index", "term"], "has all of a snapshot at {index} of term {term}";
    SnapshotInstalled = "snapshot in use", "snapshots", Turn, false, ["index", "term"], "uses a snapshot: its state is that after {index} of term {term}";
    Configured = "members", "members", Turn, false, ["index"], "has the members of entry {index}";
    Kept = "tentative on disk", "tentative", Detail, false, ["n", "session", "number"],
        "has on disk, as entry {n} of an outbox, request {number} of session {session}";
    Accepted = "accepts", "tentative", Notable, false, ["session", "number", "copies"],
        "accepts request {number} of session {session} without a leader; it is durable on {copies} nodes";
    TentativeRefused = "tentative refused", "tentative", Notable, false, ["index", "session", "number"],
        "refuses at entry {index} request {number} of session {session}, which an outbox had carried";
    OutboxDamaged = "outbox damaged", "lives", Turn, false, [], "has lost tentative entries that were on its disk";
    Reached = "point", "points", Notable, false, [], "reaches a named point";
    // What clients saw.
    Submitted = "submits", "clients", Detail, false, ["number"], "submits request {number}";
    ClientAcknowledged = "is acknowledged", "clients", Detail, false, ["number", "room", "seq"],
        "is told that its request {number} is message {seq} of room {room}, for good";
    ClientRefused = "is refused", "clients", Notable, false, ["number"], "is told that its request {number} was not done and never will be";
    ClientAccepted = "is accepted", "clients", Detail, false, ["number", "copies"],
        "is told that its request {number} is accepted on {copies} nodes, and waits for its place";
    Tentative = "is shown tentative", "clients", Detail, false, ["room"], "is shown a tentative message in room {room}";
    Withdrawn = "withdrawn", "clients", Notable, false, ["room"], "is told that a tentative message in room {room} was refused";
    Followed = "follows", "clients", Detail, false, ["room", "seq"], "follows room {room} from event {seq} on";
    Delivered = "is shown", "clients", Detail, false, ["room", "seq"], "is shown message {seq} of room {room}";
    ClientTold = "is told or asks", "clients", Notable, false, [], "asks or hears of the chat";
    ClientRead = "reads", "clients", Detail, false, ["room", "posts", "first", "seq"], "reads {posts} messages of room {room}, {first} to {seq}";
}

impl Kind {
    pub fn info(self) -> &'static KindInfo {
        &KINDS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_its_own_name_and_a_sentence_of_its_own_fields() {
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        for kind in KINDS {
            let mut rest = kind.text;
            while let Some((_, after)) = rest.split_once('{') {
                let (field, after) = after.split_once('}').expect("a brace is closed");
                let lane = kind.message && field == "to";
                assert!(lane || kind.fields.contains(&field), "{}: {field}", kind.name);
                rest = after;
            }
            assert!(kind.fields.len() <= super::super::FIELDS, "{}", kind.name);
        }
    }
}
