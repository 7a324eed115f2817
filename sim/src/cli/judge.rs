//! Judges what was recorded: by a simulated run (`sim run --record`), or by nodes and clients of a live cluster (docs/FACTS.md).

use super::JudgeFiles;
use std::fs::File;
use std::io::{BufRead, BufReader};
use tertulia_judge::record::{Reader, Recorded};
use tertulia_judge::{At, Cluster, Judge, Observed, Violation};
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

/// What is to be said of records.
pub(super) struct Judged {
    /// For people.
    pub text: String,
    pub violation: Option<Violation>,
    /// Nothing was recorded at all.
    pub empty: bool,
}

impl Judged {
    fn is_well(&self) -> bool {
        self.violation.is_none() && !self.empty
    }
}

/// Judges the files together, in the order of time; what is printed is for people. Whether nothing was wrong.
pub(super) fn judge(which: &JudgeFiles) -> Result<bool, String> {
    let judged = judge_files(&which.files, which.clients, which.settled)?;
    print!("{}", judged.text);
    match &judged.violation {
        Some(violation) => println!("FAILED by rule {}:\n  {violation}", violation.rule),
        None if judged.empty => println!("vacuous: nothing was recorded"),
        None => println!("ok"),
    }
    Ok(judged.is_well())
}

/// Judges files together. `clients`: by what clients saw alone; `settled`: the rules of the end apply, whether the files say so or not.
pub(super) fn judge_files(files: &[String], clients: bool, settled: bool) -> Result<Judged, String> {
    let mut sources = Vec::new();
    for name in files {
        let file = File::open(name).map_err(|error| format!("{name}: cannot be read: {error}"))?;
        sources.push(Source::new(name, BufReader::new(file))?);
    }
    verdict(&mut sources, clients, settled)
}

/// The judge of all, and the one who takes its place where facts of nodes are missing.
struct Bench {
    judge: Judge,
    /// Hears clients alone; `None` where nobody else is heard anyway.
    clients: Option<Judge>,
    /// Facts of nodes that were heard before they were missing.
    facts: u64,
    violation: Option<Violation>,
}

impl Bench {
    fn observe(&mut self, at: At, observed: Observed<'_>) {
        let of_client = matches!(observed, Observed::Client(_));
        if let Some(judge) = self.clients.as_mut().filter(|_| of_client) {
            // Both hear the same, and the first one has more rules.
            let _ = judge.observe(at, observed);
        }
        if self.clients.is_some() || of_client {
            self.violation = self.judge.observe(at, observed).err();
        }
    }

    /// From here on nodes are not heard.
    fn gap(&mut self) {
        if let Some(clients) = self.clients.take() {
            self.facts = self.judge.counts().facts;
            self.judge = clients;
        }
    }

    fn finish(&mut self, at: At, core: &[NodeId]) {
        let judged = if core.is_empty() { self.judge.finish(at) } else { self.judge.finish_among(at, core) };
        self.violation = judged.err();
    }
}

fn verdict<R: BufRead>(sources: &mut [Source<R>], clients: bool, settled: bool) -> Result<Judged, String> {
    let voters = voters(sources)?;
    let by_clients = clients || voters.is_empty();
    let mut bench = match by_clients {
        true => Bench { judge: Judge::for_clients(), clients: None, facts: 0, violation: None },
        false => {
            let clients = Some(Judge::for_clients());
            Bench { judge: Judge::new(Cluster { voters }), clients, facts: 0, violation: None }
        }
    };
    let (mut first, mut last, mut end, mut text) = (None, At(0), None, String::new());
    // At one moment the file that was named first comes first.
    while let Some(nth) = (0..sources.len()).filter(|nth| sources[*nth].next.is_some()).min_by_key(|nth| {
        let next = sources[*nth].next.as_ref();
        next.map_or(At(u64::MAX), |(at, _)| *at)
    }) {
        let Some((at, recorded)) = sources[nth].advance()? else { continue };
        first.get_or_insert(at);
        last = at;
        match &recorded {
            Recorded::Settled { core } => end = Some(core.clone()),
            Recorded::Gap { node, lost } if bench.clients.is_some() => {
                let lost = lost.map_or_else(|| "its file is full".to_owned(), |lost| format!("{lost} facts"));
                text.push_str(&format!(
                    "n{} leaves out what it did ({lost}) at {at}: nodes are judged up to there, clients to the end\n",
                    node.0
                ));
                bench.gap();
            }
            _ => {}
        }
        if let Some(observed) = recorded.observed() {
            bench.observe(at, observed);
        }
        if bench.violation.is_some() {
            break;
        }
    }
    let ends = settled || end.is_some();
    if bench.violation.is_none() && ends {
        bench.finish(last, &end.unwrap_or_default());
    }
    for source in sources.iter().filter(|source| source.reader.is_torn()) {
        text.push_str(&format!("{}: the last line has no end and was left out\n", source.name));
    }
    let (counts, ended) = (bench.judge.counts(), if ends { "with" } else { "without" });
    let rules = if by_clients { "those that need only clients" } else { "all" };
    let facts = counts.facts + bench.facts;
    text.push_str(&format!(
        "{} files, {facts} facts of nodes and {} of clients from {} to {last}; rules: {rules}, {ended} those of the end\n",
        sources.len(),
        counts.client_facts,
        first.unwrap_or_default(),
    ));
    Ok(Judged { text, violation: bench.violation, empty: facts + counts.client_facts == 0 })
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
    use tertulia_judge::ClientFact;
    use tertulia_judge::record::Writer;
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
        let judged = verdict(&mut sources, by_clients, false)?;
        let (well, broken) = (judged.is_well(), judged.violation.map(|violation| violation.to_string()));
        Ok((judged.text + &broken.unwrap_or_default(), well))
    }

    #[test]
    fn files_of_several_nodes_are_judged_in_the_order_of_time() {
        let voted = |voter: u64, at| (NodeId(voter), At(at), Fact::VoteDurable { term: 1, voted_for: Some(NodeId(voter)) });
        let two = [node(&[voted(2, 1), leads(2, 20)]), node(&[voted(1, 1), leads(1, 10)])];
        let (text, well) = judged(&[&two[0], &two[1]], false).unwrap();
        assert!(!well && text.contains("vote-quorum at 0.000010 s: n1 leads term 1"), "{text}");
    }

    #[test]
    fn a_history_of_clients_is_judged_by_the_rules_that_need_no_more() {
        let (text, well) = judged(&[&clients(false)], false).unwrap();
        let line = "1 files, 0 facts of nodes and 3 of clients from 0.000007 s to 0.000007 s; rules: those that need only clients, without those of the end\n";
        assert_eq!((text.as_str(), well), (line, true));
        let (text, well) = judged(&[&clients(true)], false).unwrap();
        assert!(!well && text.contains("history-window at"), "{text}");
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
        assert!(!well && text.starts_with("1 files, 0 facts"), "{text}");
    }

    #[test]
    fn what_a_node_left_out_ends_the_word_of_nodes_and_not_that_of_clients() {
        let mut gap = Writer::go_on(node(&[]));
        gap.gap(At(5), NodeId(1), Some(3)).unwrap();
        let gap = gap.into_inner().unwrap();
        // Somebody leads without a vote: before the gap that is wrong, after it nobody can tell.
        let (text, well) = judged(&[&gap, &node(&[leads(2, 4)])], false).unwrap();
        assert!(!well && text.contains("vote-durable at 0.000004 s: n2 leads"), "{text}");
        let (text, well) = judged(&[&gap, &node(&[leads(2, 6)]), &clients(false)], false).unwrap();
        assert!(well && text.starts_with("n1 leaves out what it did (3 facts) at 0.000005 s: "), "{text}");
        let (text, well) = judged(&[&gap, &node(&[]), &clients(true)], false).unwrap();
        assert!(!well && text.contains("history-window at"), "{text}");
    }
}
