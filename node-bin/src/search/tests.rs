//! The index against rows that a chat wrote, in folders of its own.

use super::index::{Entry, Index};
use super::*;
use std::path::Path;
use tertulia_protocol::ids::{RoomId, Seq};
use tertulia_protocol::time::Timestamp;

fn put(index: &Index, room: u64, seq: Seq, text: &str) {
    index.put(&Entry { room: RoomId(room), seq, at: Timestamp(1_000 * room + seq), text }).unwrap();
}

fn search(words: &str, rooms: &[u64]) -> Search {
    Search { words: words.into(), rooms: rooms.iter().copied().map(RoomId).collect(), before: None, limit: 10 }
}

fn find(index: &Index, words: &str, rooms: &[u64]) -> Vec<(u64, Seq)> {
    index.view().find(&search(words, rooms)).unwrap().iter().map(|found| (found.room.0, found.seq)).collect()
}

fn made(folder: &Path) -> Index {
    Index::create(folder, "x").unwrap()
}

#[test]
fn all_words_must_be_there_and_the_last_may_be_a_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = made(dir.path());
    put(&index, 1, 1, "The quick brown fox");
    put(&index, 1, 2, "A quick note about Crème brûlée");
    put(&index, 2, 1, "brown bread, quickly");
    index.commit(7, true).unwrap();
    assert_eq!(find(&index, "quick", &[1, 2]), [(2, 1), (1, 2), (1, 1)], "newest first, as a beginning");
    assert_eq!(find(&index, "quick brown", &[1, 2]), [(1, 1)], "quickly is not the word quick");
    assert_eq!(find(&index, "brown qui", &[1, 2]), [(2, 1), (1, 1)]);
    assert_eq!(find(&index, "CREME bru", &[1, 2]), [(1, 2)]);
    assert_eq!(find(&index, "brown", &[2]), [(2, 1)], "only in the rooms that were named");
    assert!(find(&index, "fox bread", &[1, 2]).is_empty() && find(&index, "…!", &[1, 2]).is_empty());
}

#[test]
fn what_is_edited_or_deleted_is_found_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = made(dir.path());
    put(&index, 1, 1, "apples");
    put(&index, 1, 2, "pears");
    index.commit(1, true).unwrap();
    put(&index, 1, 1, "oranges");
    put(&index, 1, 1, "oranges");
    index.remove(RoomId(1), 2);
    assert_eq!(find(&index, "apples", &[1]), [(1, 1)], "not before the commit");
    index.commit(2, true).unwrap();
    assert_eq!(find(&index, "oranges", &[1]), [(1, 1)], "once, though it was put in twice");
    assert!(find(&index, "apples", &[1]).is_empty() && find(&index, "pears", &[1]).is_empty());
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = made(dir.path());
    for seq in 1..=25 {
        put(&index, seq % 3, seq, "word");
        if seq % 5 == 0 {
            index.commit(seq, true).unwrap();
        }
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = index.view().find(&Search { before, limit: 4, ..search("word", &[0, 1, 2]) }).unwrap();
        let Some(last) = page.last() else { break };
        before = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|one, next| one > next));
}

#[test]
fn a_crash_between_commits_leaves_the_commit_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = made(dir.path());
    put(&index, 1, 1, "kept");
    index.commit(3, true).unwrap();
    put(&index, 1, 2, "kept too late");
    drop(index);
    let (index, kept) = Index::open(dir.path(), "x").unwrap();
    assert_eq!((kept.through, kept.whole), (3, true));
    assert_eq!(find(&index, "kept", &[1]), [(1, 1)]);
}

#[test]
fn another_ones_folder_and_a_damaged_one_are_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = made(dir.path());
    put(&index, 1, 1, "kept");
    index.commit(3, true).unwrap();
    drop(index);
    assert!(Index::open(dir.path(), "y").is_err());
    assert!(Index::open(dir.path(), "x").is_ok());
    let mut terms = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
    let terms = terms.find(|path| path.extension().is_some_and(|end| end == "term")).unwrap();
    let mut bytes = std::fs::read(&terms).unwrap();
    bytes[3] ^= 0x55;
    // The library makes its files read-only; a damaged disk asks nobody.
    std::fs::remove_file(&terms).unwrap();
    std::fs::write(&terms, bytes).unwrap();
    assert!(Index::open(dir.path(), "x").is_err());
}

/// Figures for docs/decisions/0007: `cargo test -p tertulia-node figures -- --nocapture`.
#[test]
fn the_figures_of_many_messages_stay_within_what_is_stated() {
    const COUNT: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let mut index = made(dir.path());
    let began = tokio::time::Instant::now();
    let mut bytes = 0;
    for seq in 1..=COUNT {
        // Ten words: some of all messages, some of few, one of its own.
        let text = (1..10).fold(format!("own{seq}"), |text, nth| format!("{text} word{}", seq * nth % (nth * nth * 50)));
        bytes += text.len();
        put(&index, seq % 20, seq, &text);
    }
    index.commit(1, true).unwrap();
    let took = began.elapsed();
    let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    let size: u64 = files.sum();
    let began = tokio::time::Instant::now();
    assert_eq!(find(&index, "own777", &[17]).len(), 2, "777 and 7777, the others are in other rooms");
    let searched = began.elapsed();
    println!(
        "{COUNT} messages of {} bytes: {} bytes each in the index, {took:?}; a search {searched:?}",
        bytes as u64 / COUNT,
        size / COUNT
    );
    assert!(size / COUNT < 150, "{} bytes a message", size / COUNT);
}
