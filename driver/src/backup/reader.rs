//! Reads a backup, from bytes in pieces of any size.

use super::*;
use bytes::{Buf, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tertulia_protocol::contract::{APPLIED_KEY, Position, StateHash};
use tertulia_protocol::time::Timestamp;

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    Head(Head),
    /// At least one row.
    Rows(Vec<(Bytes, Bytes)>),
    /// All of it was there and as it was written, and the rows are those of the state that the head names.
    End(Summary),
    /// On the way only: nothing that was read counts; a head follows.
    Anew,
    /// On the way only: there is no more, for this reason.
    Failed(String),
}

/// Hand it what comes ([`Reader::take`]), ask for what is whole ([`Reader::next_item`]) until there is nothing, and say when no more comes ([`Reader::finish`]).
/// After an error it reads nothing more.
#[derive(Debug)]
pub struct Reader {
    /// Whether it comes from a node, and may begin anew or fail.
    on_the_way: bool,
    buffer: BytesMut,
    /// The place in all bytes of the first one in the buffer.
    at: u64,
    magic: bool,
    sha256: Sha256,
    nth: u64,
    head: Option<Head>,
    rows: u64,
    bytes: u64,
    hash: StateHash,
    last_key: Bytes,
    ended: bool,
}

impl Reader {
    /// For a file.
    pub fn of_file() -> Reader {
        Reader {
            on_the_way: false,
            buffer: BytesMut::new(),
            at: 0,
            magic: false,
            sha256: Sha256::new(),
            nth: 0,
            head: None,
            rows: 0,
            bytes: 0,
            hash: StateHash(0),
            last_key: Bytes::new(),
            ended: false,
        }
    }

    /// For what comes from a node.
    pub fn on_the_way() -> Reader {
        Reader { on_the_way: true, ..Reader::of_file() }
    }

    /// Some more bytes. Ask for all that is whole before more are taken: that bounds what is kept.
    pub fn take(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next item, if it is whole.
    ///
    /// # Errors
    /// See [`FormatError`]; the reader is of no more use then.
    pub fn next_item(&mut self) -> Result<Option<Item>, FormatError> {
        if !self.magic && !self.take_magic()? {
            return Ok(None);
        }
        if self.ended {
            return if self.buffer.is_empty() { Ok(None) } else { Err(self.damaged("something stands behind its end")) };
        }
        let Some((kind, length, sum)) = self.record_head() else { return Ok(None) };
        if length > MOST_RECORD {
            return Err(self.damaged("a record is longer than any can be"));
        }
        if self.buffer.len() < RECORD_HEAD + length {
            return Ok(None);
        }
        // Those that are no part of the backup have no number.
        let nth = if matches!(kind, ANEW | FAILED) { 0 } else { self.nth };
        if sum_of(kind, nth, &self.buffer[RECORD_HEAD..RECORD_HEAD + length]) != sum {
            return Err(self.damaged("a record's checksum does not agree with its bytes"));
        }
        let begins = self.at;
        let whole = self.buffer.split_to(RECORD_HEAD + length).freeze();
        self.at += whole.len() as u64;
        let bad = |what| FormatError::Damaged { at: begins, what };
        let body = whole.slice(RECORD_HEAD..);
        match (kind, self.head) {
            (ANEW, _) if self.on_the_way && body.is_empty() => {
                *self = Reader { at: self.at, buffer: std::mem::take(&mut self.buffer), ..Reader::on_the_way() };
                return Ok(Some(Item::Anew));
            }
            (FAILED, _) if self.on_the_way => {
                self.ended = true;
                return Ok(Some(Item::Failed(String::from_utf8_lossy(&body).into_owned())));
            }
            (END, Some(head)) => return self.end(&head, &body).map(Some).map_err(bad),
            _ => {}
        }
        self.sha256.update(&whole);
        self.nth += 1;
        match (kind, self.head) {
            (HEAD, None) => {
                let head = head_in(body).ok_or_else(|| bad("the head has another length than heads have"))?;
                self.head = Some(head);
                Ok(Some(Item::Head(head)))
            }
            (ROWS, Some(_)) => self.rows_in(body).map(|rows| Some(Item::Rows(rows))).map_err(bad),
            _ => Err(bad("a record stands where none of its kind can")),
        }
    }

    /// No more bytes come. What was read is a backup only if this says so.
    ///
    /// # Errors
    /// See [`FormatError`].
    pub fn finish(mut self) -> Result<(), FormatError> {
        match self.next_item()? {
            None if self.ended => Ok(()),
            _ => Err(FormatError::CutOff { at: self.at + self.buffer.len() as u64 }),
        }
    }

    fn damaged(&self, what: &'static str) -> FormatError {
        FormatError::Damaged { at: self.at, what }
    }

    /// False while it is not there as a whole.
    fn take_magic(&mut self) -> Result<bool, FormatError> {
        if self.on_the_way && matches!(self.buffer.first(), Some(&(FAILED | ANEW))) {
            // Nothing has begun yet.
            self.magic = true;
            return Ok(true);
        }
        const LENGTH: usize = MAGIC.len() + 4;
        let seen = self.buffer.len().min(MAGIC.len());
        if self.buffer[..seen] != MAGIC[..seen] {
            return Err(FormatError::NotABackup);
        }
        let Some(first) = self.buffer.first_chunk::<LENGTH>().copied() else { return Ok(false) };
        let found = u32::from_le_bytes([first[8], first[9], first[10], first[11]]);
        if found != VERSION {
            return Err(FormatError::OtherVersion { found });
        }
        self.sha256.update(first);
        self.buffer.advance(LENGTH);
        self.at += LENGTH as u64;
        self.magic = true;
        Ok(true)
    }

    fn record_head(&self) -> Option<(u8, usize, u64)> {
        let head = self.buffer.first_chunk::<RECORD_HEAD>()?;
        let (kind, rest) = head.split_first()?;
        let (length, sum) = rest.split_first_chunk::<4>()?;
        Some((*kind, u32::from_le_bytes(*length) as usize, u64::from_le_bytes(*sum.first_chunk()?)))
    }

    fn rows_in(&mut self, mut body: Bytes) -> Result<Vec<(Bytes, Bytes)>, &'static str> {
        const SHAPE: &str = "a row goes beyond its record";
        let mut rows = Vec::new();
        while !body.is_empty() {
            if body.len() < 8 {
                return Err(SHAPE);
            }
            let (key, value) = (body.get_u32_le() as usize, body.get_u32_le() as usize);
            if body.len() < key + value {
                return Err(SHAPE);
            }
            let (key, value) = (body.split_to(key), body.split_to(value));
            if key <= self.last_key || key == APPLIED_KEY {
                return Err("its rows are not in order");
            }
            self.hash = self.hash.changed(&key, None, Some(&value));
            self.bytes += (key.len() + value.len()) as u64;
            self.last_key = key.clone();
            rows.push((key, value));
        }
        if rows.is_empty() {
            return Err("a record of rows holds none");
        }
        self.rows += rows.len() as u64;
        Ok(rows)
    }

    fn end(&mut self, head: &Head, body: &[u8]) -> Result<Item, &'static str> {
        let (numbers, said) = body.split_last_chunk::<32>().ok_or("the end has another length than ends have")?;
        if *numbers != [self.rows.to_le_bytes(), self.bytes.to_le_bytes()].concat() {
            return Err("it holds other rows than its end says");
        }
        self.sha256.update(numbers);
        let sha256: [u8; 32] = std::mem::take(&mut self.sha256).finalize().into();
        if *said != sha256 {
            return Err("its SHA-256 does not agree with its bytes");
        }
        if self.hash != head.applied.hash {
            return Err("its rows are not those of the state that it names: they were damaged before they were written");
        }
        self.ended = true;
        Ok(Item::End(Summary { rows: self.rows, bytes: self.bytes, sha256 }))
    }
}

fn head_in(mut body: Bytes) -> Option<Head> {
    if body.len() != 16 + 7 * 8 {
        return None;
    }
    let cluster = ClusterId(body.get_u128_le());
    let mut number = || body.get_u64_le();
    let (node, taken_ms) = (NodeId(number()), number());
    let position = Position { index: number(), term: number(), chain: number() };
    let applied = AppliedRow { position, at: Timestamp(number()), hash: StateHash(number()) };
    Some(Head { cluster, node, taken_ms, applied })
}
