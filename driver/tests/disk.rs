//! The simulated disk forgets as promised, and the real one keeps others out.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{contents, dice};
use tertulia_driver::disk::{Disk, DiskFile, RealDisk};
use tertulia_driver::sim_disk::{CrashOutcome, DiskFault, SECTOR, SimDisk};

fn never(_: u64) -> u64 {
    panic!("this outcome draws nothing")
}

#[test]
fn what_is_not_synced_is_gone_when_the_power_fails() {
    let disk = SimDisk::new();
    let file = disk.create("a", 2000).unwrap();
    file.write_at(0, b"synced").unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file.write_at(3, b"lost").unwrap();
    file.write_at(1990, b"and longer than it was").unwrap();
    disk.create("b", 10).unwrap();
    disk.rename("a", "c").unwrap();
    assert_eq!(disk.list().unwrap(), ["b", "c"]);

    disk.crash(CrashOutcome::LoseUnsynced, &mut never);
    let disk = disk.thaw();
    assert_eq!(disk.list().unwrap(), ["a"]);
    let bytes = contents(&disk, "a");
    assert_eq!((bytes.len(), &bytes[..8]), (2000, &b"synced\0\0"[..]));
    assert!(bytes[8..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_crash_of_the_process_alone_keeps_all_but_makes_nothing_durable() {
    let disk = SimDisk::new();
    let file = disk.create("a", 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file.write_at(0, b"cached").unwrap();
    disk.crash(CrashOutcome::Keep, &mut never);
    let disk = disk.thaw();
    assert_eq!(contents(&disk, "a"), b"cached");
    disk.crash(CrashOutcome::LoseUnsynced, &mut never);
    assert_eq!(contents(&disk.thaw(), "a"), b"");
}

#[test]
fn a_torn_crash_keeps_or_loses_each_sector_by_itself() {
    let mut draw = dice(1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let disk = SimDisk::new();
        let file = disk.create("a", 3 * SECTOR as u64).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[1; 3 * SECTOR]).unwrap();
        disk.crash(CrashOutcome::Torn, &mut draw);
        let bytes = contents(&disk.thaw(), "a");
        for sector in bytes.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is never split");
        }
        seen.insert((bytes[0], bytes[SECTOR], bytes[2 * SECTOR]));
    }
    assert_eq!(seen.len(), 8, "every combination happens");
}

#[test]
fn a_frozen_disk_refuses_every_handle_of_its_former_life() {
    let disk = SimDisk::new();
    let file = disk.create("a", 8).unwrap();
    disk.freeze();
    let next = disk.thaw();
    assert!(file.write_at(0, b"x").is_err() && file.sync().is_err() && file.len().is_err() && file.set_len(0).is_err());
    assert!(disk.delete("a").is_err() && disk.sync_dir().is_err() && disk.list().is_err() && disk.create("b", 0).is_err());
    assert_eq!(contents(&next, "a"), [0; 8]);
}

#[test]
fn bytes_cut_off_do_not_come_back_when_the_file_grows() {
    let disk = SimDisk::new();
    let file = disk.create("a", 0).unwrap();
    file.write_at(0, &[7; 1200]).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file.set_len(600).unwrap();
    file.set_len(1200).unwrap();
    let bytes = contents(&disk, "a");
    assert!(bytes[..600].iter().all(|byte| *byte == 7) && bytes[600..].iter().all(|byte| *byte == 0));
    // Until it is synced, the cut can still be lost.
    disk.crash(CrashOutcome::LoseUnsynced, &mut never);
    assert_eq!(contents(&disk.thaw(), "a"), [7; 1200]);
}

#[test]
fn a_full_disk_still_takes_writes_into_allocated_blocks() {
    let disk = SimDisk::new();
    let file = disk.create("a", 8).unwrap();
    disk.set_fault(Some(DiskFault::Full));
    file.write_at(0, b"x").unwrap();
    file.sync().unwrap();
    let error = file.write_at(8, b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(error.to_string().starts_with("a: "), "{error}");
    assert!(disk.create("b", 0).is_err());
    disk.set_fault(None);
    file.write_at(8, b"x").unwrap();
}

#[test]
fn a_second_process_is_kept_out_of_a_real_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let disk = RealDisk::open(&path).unwrap();
    let error = RealDisk::open(&path).unwrap_err();
    assert!(error.to_string().contains("another process uses the data folder"), "{error}");
    drop(disk);
    RealDisk::open(&path).unwrap();
}

#[test]
fn a_real_disk_does_what_it_is_asked_and_names_the_file_when_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    let file = disk.create("a", 3 << 19).unwrap();
    assert_eq!(file.len().unwrap(), 3 << 19);
    file.write_at(100, b"hello").unwrap();
    file.sync().unwrap();
    disk.rename("a", "b").unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
    let mut bytes = [0; 6];
    disk.open("b").unwrap().read_at(100, &mut bytes).unwrap();
    assert_eq!(&bytes, b"hello\0");
    let error = disk.open("a").unwrap_err().to_string();
    assert!(error.contains("cannot open") && error.contains("/a: "), "{error}");
    disk.delete("b").unwrap();
    assert!(disk.list().unwrap().is_empty());
}

#[test]
fn sectors_of_one_unit_survive_a_torn_crash_together() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0u64..64 {
        let disk = SimDisk::new();
        disk.set_unit(4);
        let file = disk.create("a", 8 * SECTOR as u64).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[7; 8 * SECTOR]).unwrap();
        let mut drawn = seed;
        disk.crash(CrashOutcome::Torn, &mut |bound| {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (drawn >> 33) % bound
        });
        let mut bytes = [0; 8 * SECTOR];
        disk.thaw().open("a").unwrap().read_at(0, &mut bytes).unwrap();
        let unit = |nth: usize| {
            let unit = &bytes[nth * 4 * SECTOR..][..4 * SECTOR];
            assert!(unit.iter().all(|byte| *byte == unit[0]), "a unit is torn");
            unit[0]
        };
        outcomes.insert((unit(0), unit(1)));
    }
    assert_eq!(outcomes.len(), 4, "each of two units may survive by itself: {outcomes:?}");
}

#[test]
fn what_is_misread_is_on_the_disk_as_it_was_written() {
    let disk = SimDisk::new();
    let file = disk.create("a", 16).unwrap();
    file.write_at(0, &[7; 16]).unwrap();
    let read = || {
        let mut bytes = [0; 16];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    };
    disk.set_fault(Some(DiskFault::MisreadingReads));
    assert_eq!(read().iter().filter(|byte| **byte != 7).count(), 1);
    disk.set_fault(None);
    assert_eq!(read(), [7; 16]);
}
