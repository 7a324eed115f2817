//! A backup as a file: written beside its name and renamed when it is whole and durable, read with every check that there is.

use super::{grouped, size};
use crate::rfc3339;
use bytes::Bytes;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tertulia_driver::backup::{FormatError, Head, Item, Reader, Summary, Writer};
use tertulia_protocol::replica::is_of_members;
use tertulia_protocol::time::Timestamp;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

fn named(path: &Path, doing: &str) -> impl Fn(std::io::Error) -> String {
    let start = format!("cannot {doing} {}", path.display());
    move |error| format!("{start}: {error}")
}

/// That a backup may be written here.
///
/// # Errors
/// Something has the name already, or there is no such folder.
pub fn check_free(path: &Path, force: bool) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("{} is a folder: name a file in it", path.display()));
    }
    if !force && path.symlink_metadata().is_ok() {
        return Err(format!("{} is there already: name another file, or replace it with --force", path.display()));
    }
    let folder = folder_of(path);
    if folder.is_dir() { Ok(()) } else { Err(format!("there is no folder {}: make it first", folder.display())) }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A backup that is being written, beside the name that it will have. Dropped before it is finished, it is gone.
pub struct Unfinished {
    target: PathBuf,
    beside: PathBuf,
    file: Option<File>,
    writer: Option<Writer>,
}

impl Unfinished {
    /// Readable by its owner alone: it holds everything that the cluster does.
    pub fn create(target: &Path) -> Result<Unfinished, String> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let beside = target.with_file_name(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let file = file.map_err(named(&beside, "write"))?;
        Ok(Unfinished { target: target.to_owned(), beside, file: Some(file), writer: None })
    }

    /// Begins, or begins anew: what was written counts for nothing.
    pub fn begin(&mut self, head: &Head) -> Result<(), String> {
        if let Some(file) = &mut self.file {
            use std::io::Seek;
            let emptied = file.set_len(0).and_then(|()| file.rewind());
            emptied.map_err(named(&self.beside, "write"))?;
        }
        let (writer, bytes) = Writer::begin(head);
        self.writer = Some(writer);
        self.write(&bytes)
    }

    pub fn rows(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), String> {
        let bytes = self.writer.as_mut().map(|writer| writer.rows(rows)).unwrap_or_default();
        self.write(&bytes)
    }

    /// Ends it, makes it durable and gives it its name. `said`: what its sender says that it is; it has been compared with what came.
    pub fn finish(mut self, said: &Summary, force: bool) -> Result<u64, String> {
        let (summary, bytes) = self.writer.take().ok_or("the backup has no beginning: please report this")?.end();
        if summary != *said {
            return Err("what was written is not what was received: please report this".into());
        }
        self.write(&bytes)?;
        let file = self.file.take().ok_or("the backup has been finished before: please report this")?;
        let length = file.sync_all().and_then(|()| file.metadata()).map_err(named(&self.beside, "write"))?.len();
        drop(file);
        // Somebody may have made it meanwhile.
        check_free(&self.target, force)?;
        fs::rename(&self.beside, &self.target).map_err(named(&self.target, "write"))?;
        let folder = folder_of(&self.target);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(named(folder, "sync"))?;
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(named(&self.beside, "write"))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside);
    }
}

/// A backup that is being read, item by item.
pub struct Reading {
    path: PathBuf,
    file: File,
    /// `None` after the end.
    reader: Option<Reader>,
    piece: Vec<u8>,
}

impl Reading {
    pub fn open(path: &Path) -> Result<Reading, String> {
        let file = File::open(path).map_err(named(path, "read"))?;
        Ok(Reading { path: path.to_owned(), file, reader: Some(Reader::of_file()), piece: vec![0; PIECE] })
    }

    /// The next item; `None` when the file has ended as a backup ends.
    pub fn next(&mut self) -> Result<Option<Item>, String> {
        let bad = |path: &Path, error: FormatError| format!("{}: {error}", path.display());
        loop {
            let Some(reader) = &mut self.reader else { return Ok(None) };
            if let Some(item) = reader.next_item().map_err(|error| bad(&self.path, error))? {
                return Ok(Some(item));
            }
            let length = self.file.read(&mut self.piece).map_err(named(&self.path, "read"))?;
            if length > 0 {
                reader.take(&self.piece[..length]);
            } else if let Some(reader) = self.reader.take() {
                reader.finish().map_err(|error| bad(&self.path, error))?;
            }
        }
    }
}

/// What is known of a file that was read to its end.
pub struct Checked {
    pub head: Head,
    pub summary: Summary,
    /// The rows about the old cluster's nodes.
    pub of_members: Vec<(Bytes, Bytes)>,
}

/// Reads all of it and compares all checksums, and the rows with the state that the head names.
pub fn check(path: &Path) -> Result<Checked, String> {
    let mut reading = Reading::open(path)?;
    let (mut head, mut summary, mut of_members) = (None, None, Vec::new());
    while let Some(item) = reading.next()? {
        match item {
            Item::Head(found) => head = Some(found),
            Item::Rows(rows) => of_members.extend(rows.into_iter().filter(|(key, _)| is_of_members(key))),
            Item::End(found) => summary = Some(found),
            Item::Anew | Item::Failed(_) => {}
        }
    }
    let (Some(head), Some(summary)) = (head, summary) else {
        return Err(format!("{} has no head or no end: please report this", path.display()));
    };
    Ok(Checked { head, summary, of_members })
}

/// What a backup is, in words.
pub fn describe(head: &Head, summary: &Summary) -> impl Display {
    let place = head.applied.position;
    format!(
        "node {}, through log entry {} of term {}: {} rows, {}, as of {}",
        head.node.0,
        place.index,
        place.term,
        grouped(summary.rows),
        size(summary.bytes),
        rfc3339::format(Timestamp(head.taken_ms.saturating_mul(1_000))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tertulia_protocol::contract::{AppliedRow, Position, StateHash};
    use tertulia_protocol::ids::{ClusterId, NodeId};

    fn rows() -> Vec<(Bytes, Bytes)> {
        (0..100u8).map(|n| (Bytes::from(vec![1 + n, n]), Bytes::from(vec![n; 9_000]))).collect()
    }

    fn head() -> Head {
        let hash = rows().iter().fold(StateHash(0), |sum, (key, value)| sum.changed(key, None, Some(value)));
        let position = Position { index: 7, term: 2, chain: 1 };
        Head {
            cluster: ClusterId(5),
            node: NodeId(2),
            taken_ms: 0,
            applied: AppliedRow { position, hash, ..AppliedRow::default() },
        }
    }

    fn summary() -> Summary {
        let (mut writer, _) = Writer::begin(&head());
        rows().chunks(10).for_each(|some| drop(writer.rows(some)));
        writer.end().0
    }

    fn write(path: &Path, force: bool) -> Result<u64, String> {
        check_free(path, force)?;
        let mut file = Unfinished::create(path)?;
        file.begin(&head())?;
        file.rows(&rows()[..1])?;
        file.begin(&head())?;
        rows().chunks(10).try_for_each(|some| file.rows(some))?;
        file.finish(&summary(), force)
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_and_is_its_owners_and_is_not_written_over_by_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let length = write(&path, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), length, "what was begun first is gone");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let checked = check(&path).unwrap();
        assert_eq!((checked.head, checked.summary), (head(), summary()));
        assert!(write(&path, false).unwrap_err().contains("--force"));
        write(&path, true).unwrap();
        assert!(check_free(dir.path(), true).unwrap_err().contains("is a folder"));
        assert!(check_free(&dir.path().join("no/b"), false).unwrap_err().contains("make it first"));
        assert_eq!(names(dir.path()), ["b"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let mut file = Unfinished::create(&path).unwrap();
        file.begin(&head()).unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        drop(file);
        let mut other = Unfinished::create(&path).unwrap();
        other.begin(&head()).unwrap();
        assert!(other.finish(&summary(), false).unwrap_err().contains("not what was received"));
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_file_that_is_no_backup_is_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        write(&path, false).unwrap();
        let whole = fs::read(&path).unwrap();
        for (bytes, why) in
            [(&b"hello"[..], "no backup of Tertulia"), (&whole[..whole.len() - 1], "cut off after"), (b"", "cut off after 0")]
        {
            fs::write(&path, bytes).unwrap();
            let error = check(&path).map(drop).unwrap_err();
            assert!(error.contains(why) && error.starts_with(&path.display().to_string()), "{error}");
        }
        for at in (12..whole.len()).step_by(70_001) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(check(&path).map(drop).unwrap_err().contains("is damaged at byte"), "byte {at}");
        }
    }
}
