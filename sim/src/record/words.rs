//! What is said and told, as rows: the kind, its fields, and where no number will do, a few words.

use super::kinds::Kind;
use tertulia_judge::ClientFact;
use tertulia_protocol::chat::{Command, Done};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::gateway::{Answer, Ask, Event, EventKind, Reply, Request};
use tertulia_protocol::node::{Admin, AdminOutcome, Body, ForwardAnswer, Message};
use tertulia_protocol::outbox::OutboxMessage;
use tertulia_protocol::raft::RaftMessage;
use tertulia_protocol::replica::{CompareMessage, Identity, SnapshotMessage, Submission};

/// The most characters of words that a row carries.
const MOST_WORDS: usize = 200;

/// A row without its time and place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Words {
    pub kind: Kind,
    pub fields: Vec<u64>,
    pub more: Option<Box<str>>,
}

impl Words {
    pub(super) fn new(kind: Kind, fields: &[u64]) -> Words {
        debug_assert_eq!(kind.info().fields.len(), fields.len(), "{kind:?}");
        Words { kind, fields: fields.to_vec(), more: None }
    }

    pub(super) fn with(mut self, more: &str) -> Words {
        if !more.is_empty() {
            self.more = Some(more.chars().take(MOST_WORDS).collect::<String>().into_boxed_str());
        }
        self
    }
}

/// What goes from one lane to another.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    Peer(&'a Message),
    Hello,
    Request(&'a Request),
    HangUp,
    Welcome,
    Reply(&'a Reply),
    Event(&'a Event),
    Closed,
}

pub(super) fn said(said: Said<'_>) -> Words {
    match said {
        Said::Peer(message) => peer(message),
        Said::Hello => Words::new(Kind::Hello, &[]),
        Said::HangUp => Words::new(Kind::HangUp, &[]),
        Said::Welcome => Words::new(Kind::Welcome, &[]),
        Said::Closed => Words::new(Kind::Closed, &[]),
        Said::Request(request) => asked(&request.ask),
        Said::Reply(reply) => replied(reply),
        Said::Event(event) => {
            let seq = match &event.kind {
                EventKind::Posted(post) => post.seq,
                EventKind::Changed(changed) => changed.change.message().unwrap_or(0),
                _ => 0,
            };
            Words::new(Kind::Event, &[event.room.0, seq])
        }
    }
}

fn peer(message: &Message) -> Words {
    match &message.body {
        Body::Raft(message) => raft(message),
        Body::Forward(Submission::Open { .. }) => Words::new(Kind::ForwardOpen, &[]),
        Body::Forward(Submission::Execute { session, identity, .. } | Submission::Carried { session, identity, .. }) => {
            Words::new(Kind::Forward, &[session.0, number(*identity)])
        }
        Body::Forwarded { answer: ForwardAnswer::Executed { by }, .. } => Words::new(Kind::Forwarded, &[*by]),
        Body::Forwarded { answer: ForwardAnswer::Refused(refusal), .. } => {
            Words::new(Kind::ForwardRefused, &[]).with(&refusal.to_string())
        }
        Body::Admin { admin, .. } => Words::new(Kind::Admin, &[]).with(&called(admin)),
        Body::Administered { outcome, .. } => Words::new(Kind::Administered, &[]).with(&came_of(outcome)),
        Body::Snapshot(message) => snapshot(message),
        Body::Forward(Submission::House { .. }) => Words::new(Kind::Forward, &[0, 0]).with("a command of the house"),
        Body::Hint(hint) => Words::new(Kind::OtherRequest, &[]).with(&format!("hint: {hint:?}")),
        Body::Compare(message) => compare(message),
        Body::Outbox(message) => outbox(message),
    }
}

fn outbox(message: &OutboxMessage) -> Words {
    match message {
        OutboxMessage::Digest { extents, leaderless, .. } => {
            let leaderless = if *leaderless { "it reaches no leader" } else { "" };
            Words::new(Kind::OutboxDigest, &[extents.len() as u64]).with(leaderless)
        }
        OutboxMessage::Want { behind } => Words::new(Kind::OutboxWant, &[behind.len() as u64]),
        OutboxMessage::Entries { entries, .. } => {
            let named: Vec<String> = entries.iter().map(|entry| format!("{} of {}", entry.n, entry.outbox)).collect();
            Words::new(Kind::OutboxEntries, &[entries.len() as u64]).with(&named.join(", "))
        }
        OutboxMessage::Committed { entries } => {
            Words::new(Kind::ToldCommitted, &[entries.len() as u64, entries.last().map_or(0, |entry| entry.index)])
        }
    }
}

fn snapshot(message: &SnapshotMessage) -> Words {
    match message {
        SnapshotMessage::Ask(ask) => Words::new(Kind::AskPart, &[ask.id]),
        SnapshotMessage::Part(part) => {
            let rows = part.rows.as_ref().map_or(0, |rows| rows.len() as u64);
            let same = if part.rows.is_none() { "those that the asker has already" } else { "" };
            Words::new(Kind::Part, &[part.id, part.applied.position.index, rows]).with(same)
        }
    }
}

fn compare(message: &CompareMessage) -> Words {
    match message {
        CompareMessage::Told { index, .. } => Words::new(Kind::ToldHash, &[*index]),
        CompareMessage::AskHashes { from, through } => Words::new(Kind::AskHashes, &[*from, *through]),
        CompareMessage::Hashes { from, hashes } => Words::new(Kind::Hashes, &[hashes.len() as u64, *from]),
        CompareMessage::AskRows { index } => Words::new(Kind::AskRows, &[*index]),
        CompareMessage::Rows { index, rows, .. } => {
            Words::new(Kind::Rows, &[rows.as_ref().map_or(0, |rows| rows.len() as u64), *index])
        }
    }
}

fn raft(message: &RaftMessage) -> Words {
    match message {
        RaftMessage::AskVote { term, pre, forced, last } => {
            let kind = match (pre, forced) {
                (true, _) => Kind::AskPreVote,
                (false, true) => Kind::AskForcedVote,
                (false, false) => Kind::AskVote,
            };
            Words::new(kind, &[*term, last.index, last.term])
        }
        RaftMessage::Voted { term, pre, granted, .. } => {
            let kind = match (pre, granted) {
                (true, true) => Kind::PreVote,
                (true, false) => Kind::NoPreVote,
                (false, true) => Kind::Vote,
                (false, false) => Kind::NoVote,
            };
            Words::new(kind, &[*term])
        }
        RaftMessage::Append { term, previous, entries, commit, round } if entries.is_empty() => {
            Words::new(Kind::Heartbeat, &[*term, previous.index, *commit, *round])
        }
        RaftMessage::Append { term, previous, entries, commit, round } => {
            let count = entries.len() as u64;
            Words::new(Kind::Append, &[*term, count, previous.index, previous.index + count, *commit, *round])
        }
        RaftMessage::Appended { term, matched, answer } => {
            let repairing = if answer.repairing { "it repairs its log, so this counts for nothing" } else { "" };
            Words::new(Kind::Appended, &[*term, *matched, answer.round]).with(repairing)
        }
        RaftMessage::Refused { term, previous, hint, .. } => {
            Words::new(Kind::AppendRefused, &[*term, *previous, hint.index, hint.term])
        }
        RaftMessage::AskRead { term, id, .. } => Words::new(Kind::AskRead, &[*term, *id]),
        RaftMessage::Read { term, id, index, .. } => Words::new(Kind::Read, &[*term, *id, *index]),
        RaftMessage::TimeoutNow { term } => Words::new(Kind::TimeoutNow, &[*term]),
        RaftMessage::Probe { .. } => Words::new(Kind::Probe, &[]),
        RaftMessage::Report { term, column, .. } => Words::new(Kind::Report, &[*term, column.len() as u64]),
        RaftMessage::NeedSnapshot { term, start } => Words::new(Kind::NeedSnapshot, &[*term, *start]),
    }
}

/// A request's number; 0 for one that has a key instead.
fn number(identity: Identity) -> u64 {
    match identity {
        Identity::Number(number) => number,
        Identity::Key { .. } => 0,
    }
}

fn called(admin: &Admin) -> String {
    match admin {
        Admin::Transfer { to } => format!("{to} shall lead"),
        other => format!("{other:?}"),
    }
}

fn came_of(outcome: &AdminOutcome) -> String {
    match outcome {
        AdminOutcome::Done { node: Some(node), .. } => format!("done: {node}"),
        AdminOutcome::Done { node: None, .. } => "done".to_owned(),
        AdminOutcome::Refused { why } => format!("refused: {why}"),
        AdminOutcome::Pending { why } => format!("not done yet: {why}"),
    }
}

fn asked(ask: &Ask) -> Words {
    match ask {
        Ask::SignIn { name, .. } => Words::new(Kind::SignIn, &[]).with(&format!("as {name}")),
        Ask::Submit { identity, command, .. } => {
            let what = match command {
                Command::CreateRoom { name } => format!("make the room \"{name}\""),
                Command::Join { room } => format!("join room {room}"),
                Command::Leave { room } => format!("leave room {room}"),
                Command::Post { room, text } => format!("post {} bytes in room {room}", text.len()),
                other => format!("{other:?}"),
            };
            Words::new(Kind::Request, &[number(*identity)]).with(&what)
        }
        Ask::History { room, after, before, limit, .. } => {
            let after = after.map(|after| format!(" after {after}")).unwrap_or_default();
            let before = before.map(|before| format!(" before {before}")).unwrap_or_default();
            Words::new(Kind::Page, &[]).with(&format!("room {room},{after}{before} at most {limit}"))
        }
        Ask::Rooms => Words::new(Kind::OtherRequest, &[]).with("for all rooms"),
        Ask::Follow { room, .. } => Words::new(Kind::OtherRequest, &[]).with(&format!("to follow room {room}")),
        Ask::Unfollow { room } => Words::new(Kind::OtherRequest, &[]).with(&format!("to follow room {} no more", room.0)),
        Ask::FollowAll { .. } => Words::new(Kind::OtherRequest, &[]).with("to follow all its rooms"),
        Ask::Cluster => Words::new(Kind::OtherRequest, &[]).with("for the cluster's state"),
        Ask::Ping => Words::new(Kind::OtherRequest, &[]).with("for a sign of life"),
        Ask::SignInAs { name, .. } => Words::new(Kind::SignIn, &[]).with(&format!("as {name}")),
        Ask::Load => Words::new(Kind::OtherRequest, &[]).with("how full the node is"),
        Ask::NextNumber => Words::new(Kind::OtherRequest, &[]).with("for its next number"),
        other => Words::new(Kind::OtherRequest, &[]).with(&format!("{other:?}")),
    }
}

fn replied(reply: &Reply) -> Words {
    let answer = match &reply.result {
        Err(refusal) => return Words::new(Kind::Refusal, &[reply.index]).with(&refusal.to_string()),
        Ok(answer) => answer,
    };
    let what = match answer {
        Answer::SignedIn { session, .. } => format!("signed in, session {}", session.0),
        Answer::Done(Done::Posted { room, seq, .. }) => format!("posted as message {seq} of room {}", room.0),
        Answer::Done(Done::Room { room, .. }) => format!("the room has number {}", room.0),
        Answer::Done(Done::Joined { room, .. }) => format!("joined room {}", room.0),
        Answer::Done(Done::Left { room }) => format!("left room {}", room.0),
        Answer::Rooms(rooms) => format!("{} rooms", rooms.len()),
        Answer::History { room, posts, current } => {
            let current = if *current { "" } else { ", and cannot say whether there is more" };
            format!("{} messages of room {}{current}", posts.len(), room.0)
        }
        Answer::Following { room, cursor } => format!("events of room {} after {cursor} follow", room.0),
        Answer::FollowingAll { cursors } => format!("events of {} rooms follow", cursors.len()),
        Answer::Unfollowed => "followed no more".to_owned(),
        Answer::Cluster(_) => "the cluster's state".to_owned(),
        Answer::Pong => "a sign of life".to_owned(),
        Answer::Load { permille } => format!("full to {permille} in a thousand"),
        Answer::NextNumber(next) => format!("number {next} is next"),
        other => format!("{other:?}"),
    };
    Words::new(Kind::Reply, &[reply.index]).with(&what)
}

/// What a node told of itself.
pub(super) fn fact(fact: &Fact) -> Words {
    match fact {
        Fact::Started { boot, term, voted_for, durable, applied } => {
            let vote = voted_for.map(|id| format!("with a vote for {id}")).unwrap_or_default();
            Words::new(Kind::Started, &[boot.0, *term, durable.index, *applied]).with(&vote)
        }
        Fact::TermBegan { term } => Words::new(Kind::TermBegan, &[*term]),
        Fact::Voted { term, candidate } => Words::new(Kind::Voted, &[*term, candidate.0]),
        Fact::BecamePreCandidate { term } => Words::new(Kind::PreCandidate, &[*term]),
        Fact::BecameCandidate { term } => Words::new(Kind::Candidate, &[*term]),
        Fact::BecameLeader { term, last } => Words::new(Kind::Leader, &[*term, last.index]),
        Fact::SteppedDown { term } => Words::new(Kind::SteppedDown, &[*term]),
        Fact::Appended { at } => Words::new(Kind::EntryAppended, &[at.index, at.index, at.term]),
        Fact::VoteDurable { term, voted_for: Some(id) } => Words::new(Kind::VoteDurable, &[*term, id.0]),
        Fact::VoteDurable { term, voted_for: None } => Words::new(Kind::TermDurable, &[*term]),
        Fact::Durable { through } => Words::new(Kind::Durable, &[through.index, through.term]),
        Fact::Acknowledged { term, through } => Words::new(Kind::Acknowledged, &[*term, through.index]),
        Fact::Committed { through, as_leader } => {
            let kind = if *as_leader { Kind::Counted } else { Kind::Committed };
            Words::new(kind, &[through.index, through.term])
        }
        Fact::Applied { at, .. } => Words::new(Kind::Applied, &[at.index, at.index, at.term]),
        Fact::Executed { index, session, identity } => Words::new(Kind::Executed, &[*index, session.0, number(*identity)]),
        Fact::Posted { index, room, seq, .. } => Words::new(Kind::Posted, &[*index, room.0, *seq]),
        Fact::Reached { point } => Words::new(Kind::Reached, &[]).with(point),
        Fact::SnapshotReceived { at } => Words::new(Kind::SnapshotReceived, &[at.index, at.term]),
        Fact::SnapshotInstalled { at, .. } => Words::new(Kind::SnapshotInstalled, &[at.index, at.term]),
        Fact::Configured { at, members, voters, outgoing } => {
            let list = |ids: &[tertulia_protocol::ids::NodeId]| ids.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
            let joint = if outgoing.is_empty() { String::new() } else { format!(", and with them {}", list(outgoing)) };
            Words::new(Kind::Configured, &[at.index]).with(&format!("{}; these vote: {}{joint}", list(members), list(voters)))
        }
        Fact::Repairing => Words::new(Kind::Repairing, &[]),
        Fact::Kept { outbox, n, session, identity } => {
            Words::new(Kind::Kept, &[*n, session.0, number(*identity)]).with(&format!("outbox {outbox}"))
        }
        Fact::Accepted { session, identity, copies } => {
            Words::new(Kind::Accepted, &[session.0, number(*identity), u64::from(*copies)])
        }
        Fact::TentativeRefused { index, session, identity } => {
            Words::new(Kind::TentativeRefused, &[*index, session.0, number(*identity)])
        }
        Fact::OutboxDamaged => Words::new(Kind::OutboxDamaged, &[]),
        Fact::Diverged(said) => {
            let rows: Vec<String> = said.rows.iter().map(ToString::to_string).collect();
            Words::new(Kind::Diverged, &[said.peer.0, said.first, said.through]).with(&rows.join(", "))
        }
    }
}

/// What a client saw, and which one.
pub(super) fn client(fact: &ClientFact) -> (u32, Words) {
    match fact {
        ClientFact::Submitted { client, number, room, .. } => {
            (*client, Words::new(Kind::Submitted, &[*number]).with(&format!("for room {room}")))
        }
        ClientFact::Acknowledged { client, number, room, seq, id, .. } => {
            (*client, Words::new(Kind::ClientAcknowledged, &[*number, room.0, *seq]).with(&format!("id {id}")))
        }
        ClientFact::RefusedFinally { client, number } => (*client, Words::new(Kind::ClientRefused, &[*number])),
        ClientFact::Followed { client, room, after } => (*client, Words::new(Kind::Followed, &[room.0, *after])),
        ClientFact::FollowedLast { client, room, last, joined } => {
            (*client, Words::new(Kind::Followed, &[room.0, *joined]).with(&format!("the last {last}")))
        }
        ClientFact::Changed { client, room, cursor, .. } => {
            (*client, Words::new(Kind::Delivered, &[room.0, *cursor]).with("an event that is no message"))
        }
        ClientFact::Skipped { client, room, from, through } => (
            *client,
            Words::new(Kind::Delivered, &[room.0, *through]).with(&format!("what is no longer kept, from event {from}")),
        ),
        ClientFact::Delivered { client, room, seq, .. } => (*client, Words::new(Kind::Delivered, &[room.0, *seq])),
        ClientFact::Accepted { client, number, id, copies } => {
            (*client, Words::new(Kind::ClientAccepted, &[*number, u64::from(*copies)]).with(&format!("id {id}")))
        }
        ClientFact::Tentative { client, room, id, author, .. } => {
            (*client, Words::new(Kind::Tentative, &[room.0]).with(&format!("id {id}, by {author}")))
        }
        ClientFact::Withdrawn { client, room, id } => (*client, Words::new(Kind::Withdrawn, &[room.0]).with(&format!("id {id}"))),
        ClientFact::Read { client, room, posts, .. } => {
            let (first, last) = (posts.first().map_or(0, |post| post.seq), posts.last().map_or(0, |post| post.seq));
            (*client, Words::new(Kind::ClientRead, &[room.0, posts.len() as u64, first, last]))
        }
        ClientFact::SignedIn { client, .. }
        | ClientFact::TooManyDevices { client, .. }
        | ClientFact::SignedOut { client, .. }
        | ClientFact::GaveUp { client, .. }
        | ClientFact::Joins { client, .. }
        | ClientFact::Joined { client, .. }
        | ClientFact::Out { client, .. }
        | ClientFact::Direct { client, .. }
        | ClientFact::Revising { client, .. }
        | ClientFact::Revised { client, .. }
        | ClientFact::Texts { client, .. }
        | ClientFact::Relating { client, .. }
        | ClientFact::Related { client, .. }
        | ClientFact::Relations { client, .. }
        | ClientFact::MarkedRead { client, .. }
        | ClientFact::Marks { client, .. }
        | ClientFact::Untailed { client, .. }
        | ClientFact::Restarted { client }
        | ClientFact::Turned { client } => (*client, Words::new(Kind::ClientTold, &[]).with(&format!("{fact:?}"))),
    }
}
