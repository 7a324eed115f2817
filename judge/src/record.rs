//! Observations as lines of text, so that what happened now can be judged later and elsewhere. The format is docs/FACTS.md.
//!
//! - The first line names the format's version and the voters that the cluster began with. Every other line is one observation with its time, as JSON.
//! - A line is written whole before the next one begins; a last line without its end is what a process that died left behind, and is no observation.
//! - What is read is bounded and checked: a line that is no observation is an error with its number, never skipped.

use crate::observed::{At, ClientFact, Observed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::NodeId;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Bytes of one line. The longest are whole histories of rooms, read at the end of a run.
const LINE: u64 = 64 << 20;
/// Names of points that one reader keeps, for the life of the process, and the bytes of one.
const POINTS: usize = 1_000;
const POINT: usize = 100;

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    #[serde(rename = "tertulia-facts")]
    pub version: u32,
    /// Whose majority decides until a log says something else. Empty: nodes are not heard here, this is a history of clients.
    pub voters: Vec<NodeId>,
}

/// One line: the same as [`Observed`], owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recorded {
    Fact {
        node: NodeId,
        fact: Fact,
    },
    /// [`Fact::Reached`].
    Reached(NodeId, Fact),
    Crashed {
        node: NodeId,
    },
    Wiped {
        node: NodeId,
    },
    Damaged {
        node: NodeId,
    },
    Client(ClientFact),
    /// The faults were over, the cluster had settled, and the last outcome had come: the rules of the end apply to these nodes, which must be well.
    Settled {
        core: Vec<NodeId>,
    },
    /// A node could not write down what it had to tell: so many facts before this line are missing, or all that would follow it (`None`: the file is full).
    /// From here on nobody can be judged by what nodes told.
    Gap {
        node: NodeId,
        lost: Option<u64>,
    },
}

impl Recorded {
    /// What the judge is told; `None` for what is about the record itself ([`Recorded::Settled`], [`Recorded::Gap`]).
    pub fn observed(&self) -> Option<Observed<'_>> {
        Some(match self {
            Recorded::Fact { node, fact } | Recorded::Reached(node, fact) => Observed::Fact { node: *node, fact },
            Recorded::Crashed { node } => Observed::Crashed { node: *node },
            Recorded::Wiped { node } => Observed::Wiped { node: *node },
            Recorded::Damaged { node } => Observed::Damaged { node: *node },
            Recorded::Client(fact) => Observed::Client(fact),
            Recorded::Settled { .. } | Recorded::Gap { .. } => return None,
        })
    }
}

/// What a line says, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Saying<'a> {
    Fact { node: NodeId, fact: &'a Fact },
    Reached { node: NodeId, point: &'a str },
    Crashed { node: NodeId },
    Wiped { node: NodeId },
    Damaged { node: NodeId },
    Client(&'a ClientFact),
    Settled { core: &'a [NodeId] },
    Gap { node: NodeId, lost: Option<u64> },
}

#[derive(Serialize)]
struct WrittenLine<'a> {
    at: At,
    saw: Saying<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadLine {
    at: At,
    saw: ReadSaying,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReadSaying {
    Fact { node: NodeId, fact: Fact },
    Reached { node: NodeId, point: String },
    Crashed { node: NodeId },
    Wiped { node: NodeId },
    Damaged { node: NodeId },
    Client(ClientFact),
    Settled { core: Vec<NodeId> },
    Gap { node: NodeId, lost: Option<u64> },
}

/// Writes observations, a line each. Give it something that buffers.
#[derive(Debug, Clone)]
pub struct Writer<W: Write> {
    to: W,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a record with its first line.
    ///
    /// # Errors
    /// As writing.
    pub fn new(to: W, voters: &[NodeId]) -> io::Result<Writer<W>> {
        let mut writer = Writer { to, line: Vec::new() };
        writer.write(&Header { version: VERSION, voters: voters.to_vec() })?;
        Ok(writer)
    }

    /// Goes on with a record that has its first line, and whose last line is whole.
    pub fn go_on(to: W) -> Writer<W> {
        Writer { to, line: Vec::new() }
    }

    /// Writes one observation.
    ///
    /// # Errors
    /// As writing.
    pub fn observe(&mut self, at: At, observed: Observed<'_>) -> io::Result<()> {
        let saw = match observed {
            Observed::Fact { node, fact: Fact::Reached { point } } => Saying::Reached { node, point },
            Observed::Fact { node, fact } => Saying::Fact { node, fact },
            Observed::Crashed { node } => Saying::Crashed { node },
            Observed::Wiped { node } => Saying::Wiped { node },
            Observed::Damaged { node } => Saying::Damaged { node },
            Observed::Client(fact) => Saying::Client(fact),
        };
        self.write(&WrittenLine { at, saw })
    }

    /// Writes that the run is over and the cluster has settled; see [`Recorded::Settled`].
    ///
    /// # Errors
    /// As writing.
    pub fn settled(&mut self, at: At, core: &[NodeId]) -> io::Result<()> {
        self.write(&WrittenLine { at, saw: Saying::Settled { core } })
    }

    /// Writes that something is missing; see [`Recorded::Gap`].
    ///
    /// # Errors
    /// As writing.
    pub fn gap(&mut self, at: At, node: NodeId, lost: Option<u64>) -> io::Result<()> {
        self.write(&WrittenLine { at, saw: Saying::Gap { node, lost } })
    }

    /// Gives back what was written to.
    ///
    /// # Errors
    /// When what is buffered cannot be written.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// As writing.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.to.write_all(&self.line)
    }
}

/// Why a record cannot be read.
#[derive(Debug)]
pub struct RecordError {
    /// Counted from 1.
    pub line: u64,
    pub message: String,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for RecordError {}

/// Reads a record, line by line.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    from: R,
    line: u64,
    header: Header,
    points: BTreeSet<&'static str>,
    /// The last line had no end and was left out.
    torn: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is not that of a record of this version.
    pub fn new(from: R) -> Result<Reader<R>, RecordError> {
        let header = Header { version: 0, voters: Vec::new() };
        let mut reader = Reader { from, line: 0, header, points: BTreeSet::new(), torn: false };
        let Some(line) = reader.next_line()? else {
            return Err(reader.error("this is no record of facts: it is empty"));
        };
        reader.header =
            serde_json::from_slice(&line).map_err(|error| reader.error(format!("this is no record of facts: {error}")))?;
        match reader.header.version {
            VERSION => Ok(reader),
            version => Err(reader.error(format!("the record is of version {version}, this program reads version {VERSION}"))),
        }
    }

    /// The voters that the cluster began with; none: a history of clients.
    pub fn voters(&self) -> &[NodeId] {
        &self.header.voters
    }

    /// Whether the last line had no end: the process that wrote it died. It is left out.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// The next observation; `None` at the end.
    ///
    /// # Errors
    /// A line that is none.
    pub fn read(&mut self) -> Result<Option<(At, Recorded)>, RecordError> {
        let Some(line) = self.next_line()? else { return Ok(None) };
        let ReadLine { at, saw } = serde_json::from_slice(&line).map_err(|error| self.error(error.to_string()))?;
        let recorded = match saw {
            ReadSaying::Fact { node, fact } => Recorded::Fact { node, fact },
            ReadSaying::Reached { node, point } => Recorded::Reached(node, Fact::Reached { point: self.point(point)? }),
            ReadSaying::Crashed { node } => Recorded::Crashed { node },
            ReadSaying::Wiped { node } => Recorded::Wiped { node },
            ReadSaying::Damaged { node } => Recorded::Damaged { node },
            ReadSaying::Client(fact) => Recorded::Client(fact),
            ReadSaying::Settled { core } => Recorded::Settled { core },
            ReadSaying::Gap { node, lost } => Recorded::Gap { node, lost },
        };
        Ok(Some((at, recorded)))
    }

    /// A point's name, kept for ever, as those in the program are.
    fn point(&mut self, name: String) -> Result<&'static str, RecordError> {
        if let Some(known) = self.points.get(&name[..]) {
            return Ok(known);
        }
        if self.points.len() >= POINTS || name.len() > POINT {
            return Err(self.error(format!("more than {POINTS} names of points, or one of more than {POINT} bytes")));
        }
        let kept: &'static str = Box::leak(name.into_boxed_str());
        self.points.insert(kept);
        Ok(kept)
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        let mut line = Vec::new();
        self.line += 1;
        let read = self.from.by_ref().take(LINE).read_until(b'\n', &mut line);
        let read = read.map_err(|error| self.error(format!("cannot be read: {error}")))?;
        if read as u64 == LINE && line.last() != Some(&b'\n') {
            return Err(self.error(format!("the line is longer than {LINE} bytes")));
        }
        if line.last() != Some(&b'\n') {
            self.torn = !line.is_empty();
            return Ok(None);
        }
        Ok(Some(line))
    }

    fn error(&self, message: impl Into<String>) -> RecordError {
        RecordError { line: self.line, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{Extent, ReadPost};
    use crate::observed::{Shown, Wish};
    use crate::story::{divergence, id, log, stamp, started_with};
    use tertulia_protocol::chat::RoomRef;
    use tertulia_protocol::chat::{Friendship, History, Tentative};
    use tertulia_protocol::contract::StateHash;
    use tertulia_protocol::ids::UserId;
    use tertulia_protocol::ids::{Boot, MessageId, OutboxId, RoomId, SessionId};
    use tertulia_protocol::replica::Identity;

    const NODE: NodeId = NodeId(2);

    fn facts() -> Vec<Fact> {
        let (at, hash) = (log(&[1, 1]), StateHash(u64::MAX));
        let (room, id) = (RoomId(1), MessageId(u128::MAX - 1));
        let outbox = OutboxId { node: NODE, boot: Boot(u64::MAX) };
        vec![
            started_with(at, 1),
            Fact::Started { boot: Boot(u64::MAX), term: 3, voted_for: Some(NODE), durable: at, applied: 1 },
            Fact::TermBegan { term: 4 },
            Fact::Voted { term: 4, candidate: NODE },
            Fact::BecamePreCandidate { term: 4 },
            Fact::BecameCandidate { term: 4 },
            Fact::BecameLeader { term: 4, last: at },
            Fact::SteppedDown { term: 4 },
            Fact::Appended { at },
            Fact::VoteDurable { term: 4, voted_for: None },
            Fact::Durable { through: at },
            Fact::Acknowledged { term: 4, through: at },
            Fact::Committed { through: at, as_leader: true },
            Fact::Applied { at, hash },
            Fact::Executed { index: 2, session: SessionId(1), identity: Identity::Number(1) },
            Fact::Posted { index: 2, room, seq: 1, id },
            Fact::Reached { point: "log.repaired" },
            Fact::SnapshotReceived { at },
            Fact::SnapshotInstalled { at, hash },
            Fact::Configured { at, members: vec![NODE], voters: vec![NODE], outgoing: vec![NodeId(1)] },
            Fact::Repairing,
            Fact::Diverged(divergence()),
            Fact::Kept { outbox, n: 3, session: SessionId(1), identity: Identity::Number(1) },
            Fact::Accepted { session: SessionId(1), identity: Identity::Number(1), copies: 2 },
            Fact::TentativeRefused { index: 4, session: SessionId(1), identity: Identity::Number(1) },
            Fact::OutboxDamaged,
        ]
    }

    fn client_facts() -> Vec<ClientFact> {
        let (client, room, seq, id, at) = (7, RoomId(1), 1, id("hola"), stamp(1));
        let posts = vec![ReadPost { seq, id, text_digest: u64::MAX, at }];
        let (asked, after, before, extent) = (At(5), Some(0), None, Extent::Final);
        vec![
            ClientFact::Submitted { client, number: 1, room: RoomRef::Name("\"ñ\"\n".to_owned()), text_digest: 9 },
            ClientFact::Acknowledged { client, number: 1, room, seq, id, at },
            ClientFact::RefusedFinally { client, number: 2 },
            ClientFact::Followed { client, room, after: 3 },
            ClientFact::FollowedLast { client, room, last: 4, joined: 5 },
            ClientFact::Delivered { client, room, cursor: 1, seq, id, text_digest: 9, at },
            ClientFact::Read { client, room, asked, after, before, posts, extent, current: true, own_past: false },
            ClientFact::SignedIn { client, user: UserId(3), limit: 2, idle_ms: 0 },
            ClientFact::TooManyDevices { client, limit: 2, devices: 2 },
            ClientFact::SignedOut { client, asked: true },
            ClientFact::GaveUp { client, number: 3 },
            ClientFact::Joins { client, room: RoomRef::Id(room) },
            ClientFact::Joined { client, room, asked, history: History::Last(10), tentative: Tentative::Copies(2) },
            ClientFact::Accepted { client, number: 2, id, copies: 3 },
            ClientFact::Tentative { client, room, id, author: UserId(3), text_digest: 9, before: Some(id) },
            ClientFact::Untailed { client, room, id },
            ClientFact::Withdrawn { client, room, id },
            ClientFact::Restarted { client },
            ClientFact::Turned { client },
            ClientFact::Out { client, room },
            ClientFact::Direct { client, room, other: UserId(4) },
            ClientFact::Revising { client, number: 4, room, seq, text_digest: None },
            ClientFact::Revised { client, number: 4, cursor: 9 },
            ClientFact::Texts { client, room, shown: Shown::Event { cursor: 9 }, posts: vec![(seq, Some(8))] },
            ClientFact::Relating { client, number: 5, other: UserId(4), wish: Wish::Block },
            ClientFact::Related { client, number: 5, friendship: Some(Friendship::None) },
            ClientFact::Relations { client, friends: vec![(UserId(4), Friendship::Asked)], blocked: vec![UserId(5)] },
            ClientFact::MarkedRead { client, room, seq },
            ClientFact::Marks { client, room, read: 1, unread: 2, last: 3 },
        ]
    }

    /// A record of all that can be observed, and what it holds.
    fn everything() -> (Vec<u8>, Vec<(At, Recorded)>) {
        let mut wanted: Vec<Recorded> = facts()
            .into_iter()
            .map(|fact| match fact {
                Fact::Reached { .. } => Recorded::Reached(NODE, fact),
                _ => Recorded::Fact { node: NODE, fact },
            })
            .collect();
        wanted.extend([Recorded::Crashed { node: NODE }, Recorded::Wiped { node: NODE }, Recorded::Damaged { node: NODE }]);
        wanted.extend(client_facts().into_iter().map(Recorded::Client));
        let wanted: Vec<_> = wanted.into_iter().enumerate().map(|(nth, recorded)| (At(nth as u64 * 7), recorded)).collect();
        let mut writer = Writer::new(Vec::new(), &[NodeId(1), NODE]).unwrap();
        for (at, recorded) in &wanted {
            writer.observe(*at, recorded.observed().unwrap()).unwrap();
        }
        (writer.into_inner().unwrap(), wanted)
    }

    fn read(bytes: &[u8]) -> Result<(Vec<(At, Recorded)>, bool), RecordError> {
        let mut reader = Reader::new(bytes)?;
        let mut all = Vec::new();
        while let Some(next) = reader.read()? {
            all.push(next);
        }
        Ok((all, reader.is_torn()))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (bytes, wanted) = everything();
        assert_eq!(Reader::new(&bytes[..]).unwrap().voters(), [NodeId(1), NODE]);
        assert_eq!(read(&bytes).unwrap(), (wanted, false));
        let mut writer = Writer::new(Vec::new(), &[]).unwrap();
        writer.settled(At(3), &[NODE]).unwrap();
        let settled = Recorded::Settled { core: vec![NODE] };
        assert!(settled.observed().is_none());
        let mut writer = Writer::go_on(writer.into_inner().unwrap());
        writer.gap(At(4), NODE, Some(7)).unwrap();
        writer.gap(At(5), NODE, None).unwrap();
        let gaps = [Some(7), None].map(|lost| Recorded::Gap { node: NODE, lost });
        assert!(gaps[0].observed().is_none());
        let [lost, full] = gaps;
        assert_eq!(read(&writer.into_inner().unwrap()).unwrap().0, [(At(3), settled), (At(4), lost), (At(5), full)]);
    }

    #[test]
    fn the_lines_are_those_of_the_document() {
        let mut writer = Writer::new(Vec::new(), &[NodeId(1)]).unwrap();
        let fact = Fact::Voted { term: 4, candidate: NODE };
        writer.observe(At(12), Observed::Fact { node: NodeId(1), fact: &fact }).unwrap();
        writer.observe(At(13), Observed::Fact { node: NodeId(1), fact: &Fact::Reached { point: "read.by_lease" } }).unwrap();
        writer.observe(At(14), Observed::Client(&ClientFact::RefusedFinally { client: 7, number: 2 })).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let lines = [
            r#"{"tertulia-facts":1,"voters":[1]}"#,
            r#"{"at":12,"saw":{"fact":{"node":1,"fact":{"Voted":{"term":4,"candidate":2}}}}}"#,
            r#"{"at":13,"saw":{"reached":{"node":1,"point":"read.by_lease"}}}"#,
            r#"{"at":14,"saw":{"client":{"RefusedFinally":{"client":7,"number":2}}}}"#,
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn what_a_dying_process_left_is_left_out_wherever_it_was_cut() {
        let (bytes, wanted) = everything();
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in first..bytes.len() {
            let (all, torn) = read(&bytes[..cut]).unwrap();
            assert_eq!(all, wanted[..all.len()]);
            assert_eq!(torn, bytes[cut - 1] != b'\n');
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_line() {
        let told = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(told("").contains("it is empty"));
        assert!(told("seed 1 ok\n").starts_with("line 1: this is no record of facts"));
        assert!(told("{\"tertulia-facts\":2,\"voters\":[]}\n").contains("is of version 2"));
        let head = "{\"tertulia-facts\":1,\"voters\":[]}\n";
        assert!(told(&format!("{head}{{\"at\":1,\"saw\":{{\"unheard\":1}}}}\n")).starts_with("line 2: unknown variant"));
        let nth = |nth: usize| format!("{{\"at\":1,\"saw\":{{\"reached\":{{\"node\":1,\"point\":\"{nth}\"}}}}}}\n");
        let many: String = (0..=POINTS).map(nth).collect();
        assert!(told(&format!("{head}{many}")).starts_with("line 1002: more than 1000 names"));
    }
}
