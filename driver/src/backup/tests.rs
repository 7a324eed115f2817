use super::*;
use bytes::Bytes;
use tertulia_protocol::contract::{APPLIED_KEY, Position, StateHash};
use tertulia_protocol::time::Timestamp;

type RowsOf = Vec<(Bytes, Bytes)>;

fn rows() -> RowsOf {
    let row = |key: &'static [u8], value: &'static [u8]| (Bytes::from_static(key), Bytes::from_static(value));
    vec![row(&[1], b"members"), row(&[2, 0], b""), row(&[2, 0, 0], b"a session"), row(&[0x90], b"a message")]
}

fn head(rows: &RowsOf) -> Head {
    let hash = rows.iter().fold(StateHash(0), |sum, (key, value)| sum.changed(key, None, Some(value)));
    let applied = AppliedRow { position: Position { index: 9, term: 2, chain: 77 }, at: Timestamp(5), hash };
    Head { cluster: ClusterId(11), node: NodeId(3), taken_ms: 1_700_000_000_000, applied }
}

/// A backup of these rows, two in a record.
fn backup(head: &Head, rows: &RowsOf) -> Vec<u8> {
    let (mut writer, mut out) = Writer::begin(head);
    rows.chunks(2).for_each(|some| out.extend(writer.rows(some)));
    let (_, end) = writer.end();
    out.extend(end);
    out
}

/// All items, from pieces of this size.
fn read(mut reader: Reader, bytes: &[u8], piece: usize) -> Result<Vec<Item>, FormatError> {
    let mut items = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.take(piece);
        while let Some(item) = reader.next_item()? {
            items.push(item);
        }
    }
    reader.finish()?;
    Ok(items)
}

fn file(bytes: &[u8]) -> Result<Vec<Item>, FormatError> {
    read(Reader::of_file(), bytes, usize::MAX)
}

#[test]
fn what_was_written_is_read_again_in_pieces_of_any_size() {
    let (rows, head) = (rows(), head(&rows()));
    let bytes = backup(&head, &rows);
    for piece in [1, 7, 64, usize::MAX] {
        let items = read(Reader::of_file(), &bytes, piece).unwrap();
        let [Item::Head(read), Item::Rows(first), Item::Rows(second), Item::End(summary)] = &items[..] else {
            panic!("{items:?}")
        };
        assert_eq!((read, [&first[..], second].concat()), (&head, rows.clone()));
        let size = rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        assert_eq!((summary.rows, summary.bytes), (4, size));
    }
    let empty = backup(&self::head(&vec![]), &vec![]);
    assert_eq!(file(&empty).unwrap().len(), 2);
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = backup(&head(&rows()), &rows());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let error = file(&flipped).expect_err(&format!("byte {at}, bit {bit}"));
            match at {
                0..8 => assert_eq!(error, FormatError::NotABackup),
                8..12 => assert!(matches!(error, FormatError::OtherVersion { .. })),
                _ => assert!(matches!(error, FormatError::Damaged { .. } | FormatError::CutOff { .. }), "{error:?}"),
            }
        }
    }
}

#[test]
fn every_truncation_is_refused_and_so_is_anything_behind_the_end() {
    let bytes = backup(&head(&rows()), &rows());
    for length in 0..bytes.len() {
        assert_eq!(file(&bytes[..length]), Err(FormatError::CutOff { at: length as u64 }), "{length} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(file(&longer), Err(FormatError::Damaged { .. })));
    assert!(file(&[&bytes[..], &bytes].concat()).is_err());
    assert_eq!(file(b"PK\x03\x04 is something else"), Err(FormatError::NotABackup));
    assert_eq!(file(b"no"), Err(FormatError::NotABackup));
}

#[test]
fn rows_that_are_not_the_state_are_refused_though_every_checksum_holds() {
    let all = rows();
    let of_all = head(&all);
    for missing in 0..all.len() {
        let mut fewer = all.clone();
        fewer.remove(missing);
        assert!(matches!(file(&backup(&of_all, &fewer)), Err(FormatError::Damaged { .. })), "without row {missing}");
    }
    let mut changed = all.clone();
    changed[3].1 = Bytes::from_static(b"another message");
    assert!(file(&backup(&of_all, &changed)).unwrap_err().to_string().contains("not those of the state"));
    let unordered = [1, 0, 2, 3].map(|nth| all[nth].clone()).to_vec();
    assert!(file(&backup(&of_all, &unordered)).unwrap_err().to_string().contains("not in order"));
    let twice = [0, 1, 1, 2].map(|nth| all[nth].clone()).to_vec();
    assert!(file(&backup(&head(&twice), &twice)).is_err());
    let own = vec![(Bytes::from_static(APPLIED_KEY), Bytes::from_static(b"9"))];
    assert!(file(&backup(&head(&own), &own)).is_err(), "the head says it");
}

#[test]
fn records_that_change_places_are_refused() {
    let all = rows();
    let (mut writer, begin) = Writer::begin(&head(&all));
    let parts: Vec<Vec<u8>> = all.chunks(2).map(|some| writer.rows(some)).collect();
    let (_, end) = writer.end();
    let of = |records: &[&Vec<u8>]| file(&records.iter().flat_map(|record| record.iter().copied()).collect::<Vec<u8>>());
    assert!(of(&[&begin, &parts[0], &parts[1], &end]).is_ok());
    for wrong in [
        &[&begin, &parts[1], &parts[0], &end][..],
        &[&begin, &parts[0], &parts[0], &end],
        &[&begin, &parts[0], &end],
        &[&begin, &end],
        &[&begin, &begin, &parts[0], &parts[1], &end],
    ] {
        assert!(of(wrong).is_err());
    }
}

#[test]
fn on_its_way_a_backup_may_begin_anew_or_fail_and_a_file_holds_neither() {
    let all = rows();
    let bytes = backup(&head(&all), &all);
    let (mut writer, begin) = Writer::begin(&head(&all));
    let broken_off = [begin, writer.rows(&all[..1]), anew(), bytes.clone()].concat();
    for piece in [1, 50, usize::MAX] {
        let items = read(Reader::on_the_way(), &broken_off, piece).unwrap();
        assert!(matches!(items[..], [Item::Head(_), Item::Rows(_), Item::Anew, Item::Head(_), .., Item::End(_)]), "{items:?}");
    }
    assert!(matches!(file(&broken_off), Err(FormatError::Damaged { .. })));
    let gave_up = [bytes[..100].to_vec(), Vec::new()].concat();
    assert!(read(Reader::on_the_way(), &gave_up, 10).is_err());
    for before in [Vec::new(), Writer::begin(&head(&all)).1] {
        let failing = [before, failed("the disk")].concat();
        let items = read(Reader::on_the_way(), &failing, usize::MAX).unwrap();
        assert_eq!(items.last(), Some(&Item::Failed("the disk".into())));
        assert!(file(&failing).is_err());
    }
}

#[test]
fn a_length_that_cannot_be_is_refused_before_anything_is_kept_for_it() {
    let mut bytes = Writer::begin(&head(&rows())).1;
    bytes.push(ROWS);
    bytes.extend(u32::MAX.to_le_bytes());
    bytes.extend([0; 8]);
    let mut reader = Reader::of_file();
    reader.take(&bytes);
    assert!(matches!(reader.next_item(), Ok(Some(Item::Head(_)))));
    assert!(matches!(reader.next_item(), Err(FormatError::Damaged { .. })));
}
