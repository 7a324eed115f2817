//! Reads what a node writes down, while it writes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use tertulia_judge::At;
use tertulia_judge::record::{Reader, Recorded};

/// Bytes that are looked at once; more, where a line is longer.
const PIECE: usize = 64 << 10;

/// The end of one node's file of facts.
pub struct Tail {
    path: PathBuf,
    reader: Option<Reader<BufReader<WholeLines>>>,
}

impl Tail {
    /// The file may come later.
    pub fn new(path: PathBuf) -> Tail {
        Tail { path, reader: None }
    }

    /// What has come since the last call.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self) -> Result<Vec<(At, Recorded)>, String> {
        let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", self.path.display());
        if self.reader.is_none() {
            let Ok(file) = File::open(&self.path) else { return Ok(Vec::new()) };
            let mut lines = WholeLines { file, offset: 0, piece: PIECE, ready: Vec::new(), given: 0 };
            // Its first line may not be there yet.
            if !lines.more().map_err(|error| fail(&error))? {
                return Ok(Vec::new());
            }
            self.reader = Some(Reader::new(BufReader::new(lines)).map_err(|error| fail(&error))?);
        }
        let mut all = Vec::new();
        if let Some(reader) = &mut self.reader {
            while let Some(next) = reader.read().map_err(|error| fail(&error))? {
                all.push(next);
            }
        }
        Ok(all)
    }
}

/// A file that grows, up to its last whole line: a process that starts again cuts off what has no end.
struct WholeLines {
    file: File,
    /// Where what has not been read yet begins.
    offset: u64,
    piece: usize,
    ready: Vec<u8>,
    given: usize,
}

impl WholeLines {
    /// Makes the next lines ready, if there are any.
    fn more(&mut self) -> io::Result<bool> {
        self.ready.resize(self.piece, 0);
        self.given = 0;
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut length = 0;
        while length < self.ready.len() {
            match self.file.read(&mut self.ready[length..])? {
                0 => break,
                read => length += read,
            }
        }
        let whole = self.ready[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole == 0 && length == self.piece {
            self.piece *= 2;
        }
        self.ready.truncate(whole);
        self.offset += whole as u64;
        Ok(whole > 0)
    }
}

impl Read for WholeLines {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() && !self.more()? {
            return Ok(0);
        }
        let part = &self.ready[self.given..];
        let length = part.len().min(to.len());
        to[..length].copy_from_slice(&part[..length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use tertulia_judge::Observed;
    use tertulia_judge::record::Writer;
    use tertulia_protocol::ids::NodeId;

    #[test]
    fn lines_are_read_as_they_come_and_never_by_halves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let mut tail = Tail::new(path.clone());
        assert!(tail.read().unwrap().is_empty());
        let mut writer = Writer::new(Vec::new(), &[NodeId(1)]).unwrap();
        for at in 0..3 {
            writer.observe(At(at), Observed::Crashed { node: NodeId(1) }).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let mut times = Vec::new();
        let mut file = fs::File::create(&path).unwrap();
        for piece in text.chunks(7) {
            file.write_all(piece).unwrap();
            times.extend(tail.read().unwrap().into_iter().map(|(at, _)| at.0));
        }
        assert_eq!(times, [0, 1, 2]);
        // Somebody was killed in the middle of a line, and whoever came next has cut it off.
        file.write_all(b"{\"at\":3,\"sa").unwrap();
        assert!(tail.read().unwrap().is_empty());
        file.set_len(text.len() as u64).unwrap();
        file.seek(SeekFrom::Start(text.len() as u64)).unwrap();
        file.write_all(b"{\"at\":4,\"saw\":{\"crashed\":{\"node\":1}}}\n").unwrap();
        assert_eq!(tail.read().unwrap(), [(At(4), Recorded::Crashed { node: NodeId(1) })]);
    }
}
