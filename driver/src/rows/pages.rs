//! redb's view of a file, which looks at what it reads.
//!
//! redb has a checksum of every page and compares it when a file is opened, not when a page is read. A page that a disk gives back wrongly would then be taken for what it says: a row seems to be missing, or rows
//! stand out of order; and the next commit writes the damage down, with a good checksum. So this remembers what every block held when it was written, or first read (which for files of an
//! ordinary size is the comparison at the start), and takes nothing else for it. What it remembers is 8 bytes for each 4 KiB of the file.

use crate::disk::DiskFile;
use redb::StorageBackend;
use std::io;
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

/// redb's pages are this long, or a power of two times it, and lie at multiples of it.
const BLOCK: usize = 4096;

#[derive(Debug)]
pub struct Backend<F> {
    file: F,
    /// The hash of each block; 0 where it is not known.
    sums: Mutex<Vec<u64>>,
}

impl<F> Backend<F> {
    pub fn new(file: F) -> Backend<F> {
        Backend { file, sums: Mutex::default() }
    }

    /// Calls `each` with the sum and the bytes of every block that these bytes cover; the sums of those that they touch are forgotten if `touches`.
    fn blocks(&self, offset: u64, bytes: &[u8], touches: bool, mut each: impl FnMut(u64, &mut u64, u64)) {
        let (from, end) = (offset as usize, offset as usize + bytes.len());
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let count = end.div_ceil(BLOCK);
        if sums.len() < count {
            sums.resize(count, 0);
        }
        for block in from / BLOCK..count {
            let at = block * BLOCK;
            match at.checked_sub(from).and_then(|at| bytes.get(at..at + BLOCK)) {
                Some(content) => each(at as u64, &mut sums[block], xxh3_64(content).max(1)),
                None if touches => sums[block] = 0,
                None => {}
            }
        }
    }
}

impl<F: DiskFile> StorageBackend for Backend<F> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)?;
        let mut wrong = None;
        self.blocks(offset, out, false, |at, known, sum| match *known {
            0 => *known = sum,
            written if written != sum => wrong = wrong.or(Some(at)),
            _ => {}
        });
        let Some(at) = wrong else { return Ok(()) };
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("the disk gave back other bytes at {at} than were written there")))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        // The last block, if it is not whole, is another one than before.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).truncate(len as usize / BLOCK);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // Before it is written: of what fails half way nothing is known.
        self.blocks(offset, data, true, |_, known, _| *known = 0);
        self.file.write_at(offset, data)?;
        self.blocks(offset, data, true, |_, known, sum| *known = sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::sim_disk::{DiskFault, SimDisk};

    #[test]
    fn what_is_read_otherwise_than_it_was_written_is_an_error() {
        let disk = SimDisk::new();
        let backend = Backend::new(disk.create("file", 0).unwrap());
        backend.set_len(5 * BLOCK as u64).unwrap();
        let page = |fill: u8, blocks: usize| vec![fill; blocks * BLOCK];
        backend.write(0, &page(1, 2)).unwrap();
        backend.write(2 * BLOCK as u64, &page(2, 1)).unwrap();
        let read = |offset: usize, blocks: usize| {
            let mut out = page(0, blocks);
            backend.read((offset * BLOCK) as u64, &mut out).map(|()| out)
        };
        assert_eq!(read(0, 2).unwrap(), page(1, 2));
        // A block that was never written is known when it was read.
        assert_eq!(read(3, 1).unwrap(), page(0, 1));
        disk.set_fault(Some(DiskFault::MisreadingReads));
        for (offset, blocks) in [(0, 2), (1, 1), (2, 1), (3, 1)] {
            assert_eq!(read(offset, blocks).unwrap_err().kind(), io::ErrorKind::InvalidData, "{offset}");
        }
        assert!(read(4, 1).is_ok(), "nobody knows what is there");
        disk.set_fault(None);
        // A part of a block makes the rest unknown, and what is cut off is forgotten.
        backend.write(10, &[7]).unwrap();
        assert_eq!(read(0, 1).unwrap()[10], 7);
        backend.set_len(BLOCK as u64).unwrap();
        backend.set_len(4 * BLOCK as u64).unwrap();
        assert_eq!(read(1, 3).unwrap(), page(0, 3));
    }
}
