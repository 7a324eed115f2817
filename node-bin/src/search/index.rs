//! The index of words on disk: a tantivy index in a folder of its own.
//!
//! A message is one document: its words, its room, place and stamp; the text itself is not kept. Rules that it keeps:
//! - a commit names the place of the log through which everything is in it ([`Kept`]), in the same step as the documents; a crash leaves the commit before;
//! - putting a message in twice leaves it there once: whatever was under its (room, seq) goes first;
//! - a folder that cannot be read, or that is of another form or another data folder, is emptied: everything in it comes from the rows.

use super::words::words;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::query::{BooleanQuery, FuzzyTermQuery, Query, TermQuery};
use tantivy::schema::{BytesOptions, FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, WhitespaceTokenizer};
use tantivy::{
    DocId, IndexReader, IndexWriter, ReloadPolicy, Score, SegmentOrdinal, SegmentReader, TantivyDocument, TantivyError, Term,
};
use tertulia_driver::aside::Search;
use tertulia_protocol::gateway::Found;
use tertulia_protocol::ids::{Index as Place, RoomId, Seq};
use tertulia_protocol::time::Timestamp;

/// Changes with the form of documents, with what a word is, and with the library where it says so.
const VERSION: u32 = 1;
/// Bytes of what is not written yet: the least that the library takes.
const MEMORY: usize = 15_000_000;
/// Parts of the index with more dead documents than this share are written anew without them.
const DEAD: f32 = 0.2;
/// Words of a search that count.
const MOST_WORDS: usize = 32;

/// What a commit says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kept {
    version: u32,
    /// The data folder that it belongs to.
    of: String,
    /// All of the log through here is in it …
    pub through: Place,
    /// … unless it is still being built.
    pub whole: bool,
}

#[derive(Clone, Copy)]
struct Fields {
    id: Field,
    words: Field,
    room: Field,
    seq: Field,
    at: Field,
}

/// The index and the one that writes it.
pub struct Index {
    of: String,
    fields: Fields,
    writer: IndexWriter,
    reader: IndexReader,
}

/// A message as it is put in.
pub struct Entry<'a> {
    pub room: RoomId,
    pub seq: Seq,
    pub at: Timestamp,
    pub text: &'a str,
}

pub type Failure = TantivyError;

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let plain = TextFieldIndexing::default().set_tokenizer("folded").set_index_option(IndexRecordOption::Basic);
    let fields = Fields {
        id: schema.add_bytes_field("id", BytesOptions::default().set_indexed()),
        words: schema.add_text_field("words", TextOptions::default().set_indexing_options(plain.set_fieldnorms(false))),
        room: schema.add_u64_field("room", FAST),
        seq: schema.add_u64_field("seq", FAST),
        at: schema.add_u64_field("at", FAST),
    };
    (schema.build(), fields)
}

fn id(room: RoomId, seq: Seq) -> [u8; 16] {
    ((u128::from(room.0) << 64) | u128::from(seq)).to_be_bytes()
}

impl Index {
    /// Opens what is in the folder, if it can be used. `of`: the data folder's identity.
    pub fn open(folder: &Path, of: &str) -> Result<(Index, Kept), String> {
        let fail = |error: Failure| error.to_string();
        let index = tantivy::Index::open_in_dir(folder).map_err(fail)?;
        let (schema, fields) = schema();
        if index.schema() != schema {
            return Err("it is of another form".into());
        }
        let payload = index.load_metas().map_err(fail)?.payload.unwrap_or_default();
        let kept: Kept = serde_json::from_str(&payload).map_err(|_| "it was never finished".to_string())?;
        if kept.version != VERSION || kept.of != of {
            return Err("it is of another version or another data folder".into());
        }
        let damaged = index.validate_checksum().map_err(fail)?;
        if let Some(file) = damaged.iter().next() {
            return Err(format!("{} files in it are damaged, {} among them", damaged.len(), file.display()));
        }
        Ok((Index::of(index, fields, of.into()).map_err(fail)?, kept))
    }

    /// An empty index in place of whatever is in the folder.
    pub fn create(folder: &Path, of: &str) -> Result<Index, String> {
        let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(&error)),
            _ => fs::create_dir_all(folder).map_err(|error| fail(&error))?,
        }
        let (schema, fields) = schema();
        let index = tantivy::Index::create_in_dir(folder, schema).map_err(|error| fail(&error))?;
        Index::of(index, fields, of.into()).map_err(|error| fail(&error))
    }

    fn of(index: tantivy::Index, fields: Fields, of: String) -> Result<Index, Failure> {
        // Words are cut and folded before they come here.
        index.tokenizers().register("folded", TextAnalyzer::builder(WhitespaceTokenizer::default()).build());
        let options = IndexWriterOptions::builder().num_worker_threads(1).num_merge_threads(1).memory_budget_per_thread(MEMORY);
        let writer = index.writer_with_options(options.build())?;
        let mut merging = LogMergePolicy::default();
        merging.set_del_docs_ratio_before_merge(DEAD);
        writer.set_merge_policy(Box::new(merging));
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Index { of, fields, writer, reader })
    }

    pub fn put(&self, entry: &Entry<'_>) -> Result<(), Failure> {
        self.remove(entry.room, entry.seq);
        let folded = words(entry.text);
        if folded.is_empty() {
            return Ok(());
        }
        let mut document = TantivyDocument::default();
        document.add_bytes(self.fields.id, &id(entry.room, entry.seq));
        document.add_text(self.fields.words, folded.join(" "));
        document.add_u64(self.fields.room, entry.room.0);
        document.add_u64(self.fields.seq, entry.seq);
        document.add_u64(self.fields.at, entry.at.0);
        self.writer.add_document(document).map(drop)
    }

    pub fn remove(&self, room: RoomId, seq: Seq) {
        self.writer.delete_term(Term::from_field_bytes(self.fields.id, &id(room, seq)));
    }

    /// From now on it is found, and there after a crash.
    pub fn commit(&mut self, through: Place, whole: bool) -> Result<(), Failure> {
        let kept = Kept { version: VERSION, of: self.of.clone(), through, whole };
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&serde_json::to_string(&kept).unwrap_or_default());
        prepared.commit()?;
        self.reader.reload()
    }

    /// What searches read.
    pub fn view(&self) -> View {
        View { reader: self.reader.clone(), fields: self.fields }
    }
}

/// The committed state of an index.
#[derive(Clone)]
pub struct View {
    reader: IndexReader,
    fields: Fields,
}

impl View {
    /// The newest messages with all these words; the last one need only begin so.
    pub fn find(&self, search: &Search) -> Result<Vec<Found>, Failure> {
        let mut wanted = words(&search.words);
        wanted.truncate(MOST_WORDS);
        let Some(last) = wanted.pop() else { return Ok(Vec::new()) };
        let term = |word: &str| Term::from_field_text(self.fields.words, word);
        let mut all: Vec<Box<dyn Query>> = Vec::new();
        for word in &wanted {
            all.push(Box::new(TermQuery::new(term(word), IndexRecordOption::Basic)));
        }
        all.push(Box::new(FuzzyTermQuery::new_prefix(term(&last), 0, true)));
        let mut rooms: Vec<u64> = search.rooms.iter().map(|room| room.0).collect();
        rooms.sort_unstable();
        let newest = Newest { rooms: rooms.into(), before: search.before, limit: search.limit as usize };
        self.reader.searcher().search(&BooleanQuery::intersection(all), &newest)
    }
}

/// Collects the newest of what matches, in some rooms, before a place.
struct Newest {
    /// Ascending.
    rooms: Arc<[u64]>,
    before: Option<Found>,
    limit: usize,
}

struct NewestOf {
    room: Column<u64>,
    seq: Column<u64>,
    at: Column<u64>,
    rooms: Arc<[u64]>,
    before: Option<Found>,
    /// The oldest on top.
    found: Heap,
}

struct Heap {
    heap: BinaryHeap<Reverse<Found>>,
    limit: usize,
}

impl Heap {
    fn add(&mut self, found: Found) {
        if self.heap.len() < self.limit {
            self.heap.push(Reverse(found));
        } else if self.heap.peek().is_some_and(|oldest| oldest.0 < found) {
            self.heap.pop();
            self.heap.push(Reverse(found));
        }
    }

    fn newest_first(self) -> Vec<Found> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(found)| found).collect()
    }
}

impl Collector for Newest {
    type Fruit = Vec<Found>;
    type Child = NewestOf;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<NewestOf> {
        let fast = segment.fast_fields();
        let found = Heap { heap: BinaryHeap::new(), limit: self.limit };
        let (rooms, before) = (Arc::clone(&self.rooms), self.before);
        Ok(NewestOf { room: fast.u64("room")?, seq: fast.u64("seq")?, at: fast.u64("at")?, rooms, before, found })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<Vec<Found>>) -> tantivy::Result<Vec<Found>> {
        let mut all = Heap { heap: BinaryHeap::new(), limit: self.limit };
        fruits.into_iter().flatten().for_each(|found| all.add(found));
        Ok(all.newest_first())
    }
}

impl SegmentCollector for NewestOf {
    type Fruit = Vec<Found>;

    fn collect(&mut self, doc: DocId, _: Score) {
        let (Some(room), Some(seq), Some(at)) = (self.room.first(doc), self.seq.first(doc), self.at.first(doc)) else { return };
        let found = Found { at: Timestamp(at), room: RoomId(room), seq };
        if self.before.is_none_or(|before| found < before) && self.rooms.binary_search(&room).is_ok() {
            self.found.add(found);
        }
    }

    fn harvest(self) -> Vec<Found> {
        self.found.newest_first()
    }
}

/// Where the index of a data folder is.
pub fn folder(data: &Path) -> PathBuf {
    data.join("index")
}
