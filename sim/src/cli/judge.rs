//! Judges what was recorded: by a simulated run (`sim run --record`), or by nodes and clients of a live cluster (docs/FACTS.md).

use super::JudgeFiles;
use std::fs::File;
use std::io::{BufRead, BufReader};
use tertulia_judge::record::{Reader, Recorded};
use tertulia_judge::{At, Cluster, Judge, Violation};
use tertulia_protocol::ids::NodeId;

/// One file, and its next observation.
struct Source<R: BufRead> {
    name: String,
    reader: Reader<R>,
    next: Option<(At, Recorded)>,
}

impl<R: BufRead> Source<R> {
    fn new(name: &str, from: R) -> Result<Source<R>, String> {
        let reader = Reader::new(from).map_err(|error| format!("{name}: {error}"))?;
        let mut source = Source { name: name.to_owned(), reader, next: None };
        source.advance()?;
        Ok(source)
    }

    fn advance(&mut self) -> Result<Option<(At, Recorded)>, String> {
        let next = self.reader.read().map_err(|error| format!("{}: {error}", self.name))?;
        if let (Some((before, _)), Some((at, _))) = (&self.next, &next)
            && at < before
        {
            return Err(format!("{}: {at} comes after {before}: the lines of a record are in the order of time", self.name));
        }
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// Judges the files together, in the order of time; what is printed is for people. Whether nothing was wrong.
pub(super) fn judge(which: &JudgeFiles) -> Result<bool, String> {
    let mut sources = Vec::new();
    for name in &which.files {
        let file = File::open(name).map_err(|error| format!("{name}: cannot be read: {error}"))?;
        sources.push(Source::new(name, BufReader::new(file))?);
    }
    let (text, well) = verdict(&mut sources, which.clients, which.settled)?;
    print!("{text}");
    Ok(well)
}

/// What is to be said of these records, and whether nothing was wrong.
fn verdict<R: BufRead>(sources: &mut [Source<R>], clients: bool, settled: bool) -> Result<(String, bool), String> {
    let voters = voters(sources)?;
    let by_clients = clients || voters.is_empty();
    let mut judge = if by_clients { Judge::for_clients() } else { Judge::new(Cluster { voters }) };
    let (mut first, mut last, mut end) = (None, At(0), None);
    let mut violations: Vec<Violation> = Vec::new();
    // At one moment the file that was named first comes first.
    while let Some(nth) = (0..sources.len()).filter(|nth| sources[*nth].next.is_some()).min_by_key(|nth| {
        let next = sources[*nth].next.as_ref();
        next.map_or(At(u64::MAX), |(at, _)| *at)
    }) {
        let Some((at, recorded)) = sources[nth].advance()? else { continue };
        first.get_or_insert(at);
        last = at;
        match (recorded.observed(), &recorded) {
            (Some(tertulia_judge::Observed::Client(_)), _) => {}
            (Some(_), _) if by_clients => continue,
            (None, Recorded::Settled { core }) => {
                end = Some(core.clone());
                continue;
            }
            _ => {}
        }
        let Some(observed) = recorded.observed() else { continue };
        violations.extend(judge.observe(at, observed).err());
        if !violations.is_empty() {
            break;
        }
    }
    if violations.is_empty() && (settled || end.is_some()) {
        let judged = match &end {
            Some(core) if !core.is_empty() => judge.finish_among(last, core),
            _ => judge.finish(last),
        };
        violations.extend(judged.err());
    }
    let ended = if settled || end.is_some() { "with" } else { "without" };
    let rules = if by_clients { "those that need only clients" } else { "all" };
    let mut text = String::new();
    for source in sources.iter().filter(|source| source.reader.is_torn()) {
        text.push_str(&format!("{}: the last line has no end and was left out\n", source.name));
    }
    let counts = judge.counts();
    text.push_str(&format!(
        "{} files, {} facts of nodes and {} of clients from {} to {last}; rules: {rules}, {ended} those of the end\n",
        sources.len(),
        counts.facts,
        counts.client_facts,
        first.unwrap_or_default(),
    ));
    match violations.first() {
        Some(violation) => text.push_str(&format!("FAILED by rule {}:\n  {violation}\n", violation.rule)),
        None if counts.facts + counts.client_facts == 0 => text.push_str("vacuous: nothing was recorded\n"),
        None => text.push_str("ok\n"),
    }
    Ok((text, violations.is_empty() && counts.facts + counts.client_facts > 0))
}

/// The voters that the cluster began with: all files that name any name the same.
fn voters<R: BufRead>(sources: &[Source<R>]) -> Result<Vec<NodeId>, String> {
    let mut naming = sources.iter().filter(|source| !source.reader.voters().is_empty());
    let Some(first) = naming.next() else { return Ok(Vec::new()) };
    match naming.find(|other| other.reader.voters() != first.reader.voters()) {
        Some(other) => Err(format!("{} and {} begin with different voters: they are not of one cluster", first.name, other.name)),
        None => Ok(first.reader.voters().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_judge::record::Writer;
    use tertulia_judge::{ClientFact, Observed};
    use tertulia_protocol::chat::RoomRef;
    use tertulia_protocol::facts::Fact;
    use tertulia_protocol::ids::{MessageId, RoomId};
    use tertulia_protocol::time::Timestamp;

    fn leads(node: u64, at: u64) -> (NodeId, At, Fact) {
        (NodeId(node), At(at), Fact::BecameLeader { term: 1, last: Default::default() })
    }

    fn node(facts: &[(NodeId, At, Fact)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &[NodeId(1), NodeId(2), NodeId(3)]).unwrap();
        for (node, at, fact) in facts {
            writer.observe(*at, Observed::Fact { node: *node, fact }).unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn clients(settled: bool) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &[]).unwrap();
        let (client, room, id, at) = (1, RoomId(1), MessageId(1), Timestamp(1));
        for fact in [
            ClientFact::Submitted { client, number: 1, room: RoomRef::Id(room), text_digest: 5 },
            ClientFact::Acknowledged { client, number: 1, room, seq: 1, id, at },
            ClientFact::FollowedLast { client: 2, room, last: 1, joined: 1 },
        ] {
            writer.observe(At(7), Observed::Client(&fact)).unwrap();
        }
        if settled {
            writer.settled(At(8), &[]).unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn judged(files: &[&[u8]], by_clients: bool) -> Result<(String, bool), String> {
        let open = |(nth, file): (usize, &&[u8])| Source::new(&format!("file {}", nth + 1), std::io::Cursor::new(file.to_vec()));
        let mut sources: Vec<_> = files.iter().enumerate().map(open).collect::<Result<_, _>>()?;
        verdict(&mut sources, by_clients, false)
    }

    #[test]
    fn files_of_several_nodes_are_judged_in_the_order_of_time() {
        let voted = |voter: u64, at| (NodeId(voter), At(at), Fact::VoteDurable { term: 1, voted_for: Some(NodeId(voter)) });
        let two = [node(&[voted(2, 1), leads(2, 20)]), node(&[voted(1, 1), leads(1, 10)])];
        let (text, well) = judged(&[&two[0], &two[1]], false).unwrap();
        assert!(!well && text.contains("FAILED by rule vote-quorum:\n  vote-quorum at 0.000010 s: n1 leads term 1"), "{text}");
    }

    #[test]
    fn a_history_of_clients_is_judged_by_the_rules_that_need_no_more() {
        let (text, well) = judged(&[&clients(false)], false).unwrap();
        let line = "1 files, 0 facts of nodes and 3 of clients from 0.000007 s to 0.000007 s; rules: those that need only clients, without those of the end\nok\n";
        assert_eq!((text.as_str(), well), (line, true));
        let (text, well) = judged(&[&clients(true)], false).unwrap();
        assert!(!well && text.contains("FAILED by rule history-window"), "{text}");
        let (text, well) = judged(&[&clients(false), &node(&[leads(1, 3)])], true).unwrap();
        assert!(well && text.contains("0 facts of nodes"), "{text}");
    }

    #[test]
    fn what_cannot_be_judged_is_said() {
        let refused = |files: &[&[u8]]| judged(files, false).unwrap_err();
        assert!(refused(&[b"seed 1 ok\n"]).starts_with("file 1: line 1: this is no record"));
        let back = node(&[leads(1, 3), leads(1, 2)]);
        assert!(refused(&[&back]).contains("in the order of time"));
        let mut other = Vec::new();
        Writer::new(&mut other, &[NodeId(9)]).unwrap();
        assert!(refused(&[&node(&[]), &other]).contains("not of one cluster"));
        let (text, well) = judged(&[&node(&[])], false).unwrap();
        assert!(!well && text.ends_with("vacuous: nothing was recorded\n"), "{text}");
    }
}
