//! Flips bytes of what a simulated disk holds, as a bad sector does.

use crate::scenario::Rot;
use tertulia_driver::disk::{Disk, DiskFile};
use tertulia_driver::sim_disk::SimDisk;
use tertulia_protocol::dice::below;

/// Bytes that are flipped in a row.
const BYTES: u64 = 16;
/// The end of a log or an outbox is left alone: in the last batch, before a mark has followed it, rot passes for a torn tail. The store does not promise to tell them apart
/// (docs/PROTOCOL.md, "On disk"), so there is nothing to be shown there.
const UNMARKED: u64 = 2_048;

/// Three draws in four hit the log near its end: what the durable rows hold already costs a node nothing.
const RECENT: u64 = 6 << 10;

/// Flips bytes at a drawn place, after a crash. False when there is nothing to flip.
pub fn rot(disk: &SimDisk, rot: Rot, drawn: u64) -> bool {
    let disk = disk.thaw();
    let belongs = |name: &String| match rot {
        Rot::Log => name.starts_with("log-"),
        Rot::Rows => name == "rows.redb",
        Rot::Vote => name == "vote",
        Rot::Outbox => name == "outbox",
    };
    let files: Vec<String> = disk.list().unwrap_or_default().into_iter().filter(belongs).collect();
    let mut written: Vec<(u64, u64)> = files.iter().map(|name| span(&disk, name, rot, drawn)).collect();
    if rot == Rot::Log && !drawn.is_multiple_of(4) {
        // The last file in which something was written.
        let newest = written.iter().rposition(|(_, to)| *to > 0);
        for (nth, span) in written.iter_mut().enumerate() {
            *span = if Some(nth) == newest { (span.1.saturating_sub(RECENT), span.1) } else { (0, 0) };
        }
    }
    let all: u64 = written.iter().map(|(from, to)| to - from).sum();
    let mut place = below(drawn, all);
    for (name, (from, to)) in files.iter().zip(written) {
        if place < to - from {
            let flipped = (0..BYTES).filter(|byte| disk.rot(name, from + place + byte, 0x55));
            return flipped.count() > 0;
        }
        place -= to - from;
    }
    false
}

/// Where a file has something to lose: through its last byte that is not zero; of the vote, one of its two slots.
fn span(disk: &SimDisk, name: &str, rot: Rot, drawn: u64) -> (u64, u64) {
    const SLOT: (u64, u64) = (4_096, 32);
    let bytes = disk.open(name).and_then(|file| {
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    });
    let end = bytes.unwrap_or_default().iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    match rot {
        Rot::Vote if end > 0 => {
            let from = SLOT.0 * (drawn & 1);
            (from, from + SLOT.1)
        }
        Rot::Log | Rot::Outbox => (0, end - UNMARKED.min(end / 2)),
        _ => (0, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rot_flips_what_was_written_and_nothing_else() {
        let disk = SimDisk::new();
        let file = disk.create("log-1", 4_096).unwrap();
        file.write_at(0, &[7; 100]).unwrap();
        assert!(!rot(&disk, Rot::Rows, 3), "there are no rows");
        assert!(!rot(&disk, Rot::Outbox, 3), "nothing was kept");
        let outbox = disk.create("outbox", 0).unwrap();
        outbox.write_at(0, &[7; 5_000]).unwrap();
        for drawn in 0..200 {
            assert!(rot(&disk, Rot::Outbox, drawn << 56));
        }
        let mut bytes = [0; 5_000];
        outbox.read_at(0, &mut bytes).unwrap();
        assert!(bytes[..2_900].iter().any(|byte| *byte != 7) && bytes[3_000..].iter().all(|byte| *byte == 7));
        assert!(rot(&disk, Rot::Log, u64::MAX / 2));
        let mut bytes = [0; 100];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte != 7).count(), 16);
    }
}
