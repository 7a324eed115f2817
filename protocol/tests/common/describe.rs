//! How the stage speaks: messages, facts and configurations in a line of text each.

use tertulia_protocol::contract::Position;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::NodeId;
use tertulia_protocol::raft::{Answer, Configuration, RaftMessage};

pub fn at(position: &Position) -> String {
    format!("{}@t{}", position.index, position.term)
}

fn ids(ids: &[NodeId]) -> String {
    ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" ")
}

/// `1 2 3`, or while voters change `1 2 4 & 1 2 3`; then learners.
pub fn configuration(configuration: &Configuration) -> String {
    let sets: Vec<String> = configuration.majorities().map(ids).collect();
    let learners: Vec<NodeId> = configuration.learners().collect();
    let learners = if learners.is_empty() { String::new() } else { format!(", learning: {}", ids(&learners)) };
    format!("{}{learners}", sets.join(" & "))
}

fn repairing(answer: &Answer) -> &'static str {
    if answer.repairing { ", repairing" } else { "" }
}

pub fn message(message: &RaftMessage) -> String {
    match message {
        RaftMessage::AskVote { term, pre, forced, last } => {
            let asked = if *pre { "pre-vote?" } else { "vote?" };
            format!("{asked} t{term}, log ends {}{}", at(last), if *forced { ", the leader asks for it" } else { "" })
        }
        RaftMessage::Voted { term, pre, granted, .. } => {
            format!("{}{} t{term}", if *pre { "pre-vote " } else { "vote " }, if *granted { "granted" } else { "refused" })
        }
        RaftMessage::Append { term, previous, entries, commit, round } => {
            let entries: String = entries.iter().map(|entry| format!(" {}", at(&entry.position()))).collect();
            format!("append t{term} after {}:{entries} (commit {commit}, round {round})", at(previous))
        }
        RaftMessage::Appended { term, matched, answer } => {
            format!("appended t{term} through {matched} (round {}){}", answer.round, repairing(answer))
        }
        RaftMessage::Refused { term, previous, hint, answer } => {
            format!("refused t{term} after {previous}, look at {}{}", at(hint), repairing(answer))
        }
        RaftMessage::AskRead { repair: true, .. } => "read index for a repair?".into(),
        RaftMessage::AskRead { id, .. } => format!("read? {id}"),
        RaftMessage::Read { id: u64::MAX, index, .. } => format!("repair until {index}"),
        RaftMessage::Read { id, index, .. } => format!("read {id} at {index}"),
        RaftMessage::TimeoutNow { term } => format!("stand now, t{term}"),
        RaftMessage::NeedSnapshot { term, start } => format!("need a snapshot t{term}, the log begins after {start}"),
        RaftMessage::Probe { .. } => "a probe".into(),
        RaftMessage::Report { .. } => "what it measured".into(),
    }
}

/// What is worth a line of what a node tells of itself.
pub fn fact(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::BecameLeader { term, .. } => format!("leads t{term}"),
        Fact::BecameCandidate { term } => format!("is a candidate in t{term}"),
        Fact::SteppedDown { term } => format!("no longer leads t{term}"),
        Fact::Durable { through } => format!("is durable through {}", at(through)),
        Fact::Committed { through, .. } => format!("commits through {}", at(through)),
        Fact::Reached { point } => format!("reaches {point}"),
        _ => return None,
    })
}
