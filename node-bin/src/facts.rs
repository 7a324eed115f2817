//! `node serve --facts FILE`: what this node does, written down for the judge. The format is docs/FACTS.md.
//!
//! - A batch of facts is with the operating system before anything that follows from it leaves the node: a process that is killed takes nothing with it that
//!   others have seen, and a cause is noted before its effect.
//! - A slow disk holds the node up by [`ROUNDS`] at most, once. What comes while it is slow is left out, and counted in a line of its own: what nodes
//!   told can be judged up to that line only.
//! - A file goes on over restarts. A start that finds facts says that the process before it has ended, however that ended. A last line without its end is cut off.
//! - The time is the wall clock's, in microseconds since 1970; in one file it never goes back.

use crate::clock;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, channel, sync_channel};
use std::time::Duration;
use tertulia_driver::FactSink;
use tertulia_judge::record::{Reader, Writer};
use tertulia_judge::{At, Observed};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::NodeId;

/// How long the node waits for one batch to be written: so many rounds, and not a time by the clock, since a process that is stopped (SIGSTOP) meanwhile
/// would find its time over when it goes on.
const ROUNDS: u32 = 100;
const ROUND: Duration = Duration::from_millis(1);
/// Bytes that are kept free for the line that says that the file is full.
const LAST_LINE: u64 = 256;
/// Bytes of a file's end that are looked at for its last line.
const TAIL: u64 = 1 << 20;

/// What the node's task hands over to the writing thread.
struct Batch {
    at: At,
    facts: Vec<Fact>,
    /// Facts that were left out before these.
    lost: u64,
}

/// Opens the file, and writes into it from a thread of its own what the sink is given. `voters`: those that the cluster begins with, or none if this node cannot know.
/// `limit`: bytes.
///
/// # Errors
/// It cannot be opened, another process writes it, or it holds something else.
pub fn sink(path: &Path, node: NodeId, voters: &[NodeId], limit: u64) -> Result<FactSink, String> {
    let fail = |why: &dyn std::fmt::Display| format!("cannot write facts to {}: {why}", path.display());
    let (mut log, mut last) = Log::open(path, node, voters, limit).map_err(|why| fail(&why))?;
    let (batches, received) = sync_channel::<Batch>(1);
    let (done, written) = channel();
    let name = path.display().to_string();
    let run = move || {
        for batch in received {
            log.write(&batch, &name);
            if done.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("facts".into()).spawn(run).map_err(|why| fail(&why))?;
    let mut waits = Waits { batches, written, busy: false, lost: 0 };
    Ok(Box::new(move |facts| {
        last = last.max(At(clock::now().wall.0));
        waits.hand_over(last, facts);
    }))
}

/// The node's end of it: at most one batch is on its way.
struct Waits {
    batches: SyncSender<Batch>,
    written: Receiver<()>,
    busy: bool,
    lost: u64,
}

impl Waits {
    fn hand_over(&mut self, at: At, facts: Vec<Fact>) {
        if self.busy && self.written.try_recv() == Err(TryRecvError::Empty) {
            self.lost += facts.len() as u64;
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        self.busy = self.batches.send(Batch { at, facts, lost }).is_ok();
        for _ in 0..ROUNDS {
            match self.written.recv_timeout(ROUND) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                    self.busy = false;
                    return;
                }
            }
        }
        // What is on its way is written, but too late: the node goes on, and what it says may be heard before. The process may even be killed before.
        self.lost = 1;
        tracing::warn!("facts are written too slowly: some are left out, and what nodes told can be judged only up to here");
    }
}

/// The file.
struct Log {
    file: File,
    node: NodeId,
    /// Whole lines.
    length: u64,
    limit: u64,
    full: bool,
    lost: u64,
    lines: Vec<u8>,
}

impl Log {
    /// Where the file ends, and when its last line was written.
    fn open(path: &Path, node: NodeId, voters: &[NodeId], limit: u64) -> Result<(Log, At), String> {
        let text = |error: io::Error| error.to_string();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(text)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err("another process writes there".into()),
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
        }
        let (length, last) = whole_lines(&mut file)?;
        file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length))).map_err(text)?;
        let mut log = Log { file, node, length, limit, full: false, lost: 0, lines: Vec::new() };
        let now = At(clock::now().wall.0).max(last.unwrap_or_default());
        if length == 0 {
            Writer::new(&mut log.lines, voters).map_err(text)?;
        } else if last.is_some() {
            Writer::go_on(&mut log.lines).observe(now, Observed::Crashed { node }).map_err(text)?;
        }
        log.append().map_err(text)?;
        Ok((log, now))
    }

    /// Appends a batch; if that fails, it counts as lost.
    fn write(&mut self, batch: &Batch, name: &str) {
        let lost = self.lost + batch.lost;
        if self.full {
            return;
        }
        let written = self.encode(batch, lost).and_then(|()| self.append());
        match written {
            Ok(()) => self.lost = 0,
            Err(error) => {
                if lost == 0 {
                    tracing::warn!("facts cannot be written to {name}, and are left out: {error}");
                }
                self.lost = lost + batch.facts.len() as u64;
                // Half a line would make the rest unreadable.
                let _ = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            }
        }
        if self.full {
            tracing::warn!("{name} is as large as it may grow: no more facts are written");
        }
    }

    fn encode(&mut self, batch: &Batch, lost: u64) -> io::Result<()> {
        self.lines.clear();
        let mut writer = Writer::go_on(&mut self.lines);
        if lost > 0 {
            writer.gap(batch.at, self.node, Some(lost))?;
        }
        for fact in &batch.facts {
            writer.observe(batch.at, Observed::Fact { node: self.node, fact })?;
        }
        if self.length + self.lines.len() as u64 + LAST_LINE > self.limit {
            self.full = true;
            self.lines.clear();
            Writer::go_on(&mut self.lines).gap(batch.at, self.node, None)?;
        }
        Ok(())
    }

    fn append(&mut self) -> io::Result<()> {
        self.file.write_all(&self.lines)?;
        self.length += self.lines.len() as u64;
        self.lines.clear();
        Ok(())
    }
}

/// How many bytes of a file are whole lines, and when the last of them was written; nothing, if there is none beside the first.
fn whole_lines(file: &mut File) -> Result<(u64, Option<At>), String> {
    let text = |error: io::Error| error.to_string();
    let size = file.metadata().map_err(text)?.len();
    let from = size.saturating_sub(TAIL);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut tail)).map_err(text)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // Not even a first line was finished; or this is something else altogether.
        return if size < LAST_LINE { Ok((0, None)) } else { Err("it holds something else".into()) };
    };
    file.seek(SeekFrom::Start(0)).map_err(text)?;
    Reader::new(BufReader::new(&*file)).map_err(|error| format!("it holds something else ({error})"))?;
    let last = tail[..end].rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    #[derive(serde::Deserialize)]
    struct Line {
        at: At,
    }
    // The first line has no time.
    let at = serde_json::from_slice::<Line>(last).ok().map(|line| line.at);
    Ok((from + end as u64 + 1, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tertulia_judge::record::Recorded;

    const NODE: NodeId = NodeId(2);

    fn fact(term: u64) -> Fact {
        Fact::TermBegan { term }
    }

    fn read(path: &Path) -> (Vec<NodeId>, Vec<(At, Recorded)>) {
        let mut reader = Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
        let (voters, mut all) = (reader.voters().to_vec(), Vec::new());
        while let Some(next) = reader.read().unwrap() {
            all.push(next);
        }
        assert!(!reader.is_torn());
        (voters, all)
    }

    fn told(path: &Path) -> Vec<Recorded> {
        read(path).1.into_iter().map(|(_, recorded)| recorded).collect()
    }

    fn is(term: u64) -> Recorded {
        Recorded::Fact { node: NODE, fact: fact(term) }
    }

    #[test]
    fn a_file_goes_on_after_a_crash_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let mut first = sink(&path, NODE, &[NodeId(1), NODE], 1 << 20).unwrap();
        first(vec![fact(1), fact(2)]);
        // With the operating system as soon as the call returns: whoever is killed now has told all.
        assert_eq!(told(&path), [is(1), is(2)]);
        assert!(sink(&path, NODE, &[], 1 << 20).err().unwrap().contains("another process"));
        drop(first);
        let torn = fs::read_to_string(&path).unwrap() + "{\"at\":17,\"sa";
        until(|| fs::write(&path, &torn).is_ok() && File::open(&path).unwrap().try_lock().is_ok());
        let mut second = sink(&path, NODE, &[], 1 << 20).unwrap();
        second(vec![fact(3)]);
        let (voters, all) = read(&path);
        assert_eq!(voters, [NodeId(1), NODE]);
        assert!(all.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(told(&path), [is(1), is(2), Recorded::Crashed { node: NODE }, is(3)]);
    }

    /// The writing thread lets go of the file a moment after the sink has.
    fn until(mut done: impl FnMut() -> bool) {
        for _ in 0..1_000 {
            if done() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("waited in vain");
    }

    #[test]
    fn a_full_file_says_so_once_and_stays_within_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let mut sink = sink(&path, NODE, &[NODE], 4_000).unwrap();
        (0..200).for_each(|term| sink(vec![fact(term)]));
        let told = told(&path);
        assert_eq!(told.iter().filter(|line| matches!(line, Recorded::Gap { lost: None, .. })).count(), 1);
        assert!(matches!(told.last(), Some(Recorded::Gap { node: NODE, lost: None })));
        assert!(told.len() > 10 && fs::metadata(&path).unwrap().len() <= 4_000);
    }

    #[test]
    fn a_disk_that_stalls_holds_the_node_up_once_and_what_it_lost_is_counted() {
        let (batches, received) = sync_channel(1);
        let (done, written) = channel();
        let mut waits = Waits { batches, written, busy: false, lost: 0 };
        // Nobody writes.
        waits.hand_over(At(1), vec![fact(1)]);
        assert!(waits.busy);
        let began = clock::now().instant;
        (0..1_000).for_each(|_| waits.hand_over(At(2), vec![fact(2), fact(3)]));
        assert!(clock::now().instant.since(began) < ROUND * ROUNDS, "it must not wait again");
        // The disk is back.
        done.send(()).unwrap();
        let batch: Batch = received.recv().unwrap();
        assert_eq!((batch.facts, batch.lost), (vec![fact(1)], 0));
        let writer = std::thread::spawn(move || {
            let batch: Batch = received.recv().unwrap();
            done.send(()).unwrap();
            batch.lost
        });
        waits.hand_over(At(3), vec![fact(4)]);
        assert!(!waits.busy);
        assert_eq!(writer.join().unwrap(), 2_001);
    }

    #[test]
    fn what_is_no_record_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("diary");
        fs::write(&path, "Dear diary,\ntoday\n").unwrap();
        assert!(sink(&path, NODE, &[], 1 << 20).err().unwrap().contains("holds something else"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "Dear diary,\ntoday\n");
    }
}
