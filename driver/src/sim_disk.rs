//! A disk in memory that forgets the way disks do, for the simulator and for crash tests.
//!
//! Rules that it keeps:
//! - nothing here draws or waits by itself: the same calls give the same disk;
//! - what is written is apart from what is synced, sector by sector; a crash decides what becomes of the difference;
//! - a crash cuts off every handle given out before it, so that no destructor of the crashed run can tidy up;
//! - directory changes survive a torn crash as a prefix, as a journalling file system keeps them.

use crate::disk::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The unit that a disk writes as a whole or not at all, in bytes.
pub const SECTOR: usize = 512;

/// Older states of one unsynced sector that a torn crash can bring back; beyond it the newest one is replaced.
const MAX_VERSIONS: usize = 8;

type Sector = Box<[u8; SECTOR]>;

/// What a crash leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CrashOutcome {
    /// The process died, the machine did not: everything written is there, and what was not synced still is not.
    Keep,
    /// The power failed: everything not synced is gone.
    LoseUnsynced,
    /// The power failed while the cache was written out: each unsynced sector is, by the draw, any of the states that it went through.
    Torn,
}

/// How the disk fails while it is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DiskFault {
    /// Files can be made or grow no more; what is allocated can still be written.
    Full,
    /// Every write and every sync fails.
    FailingWrites,
    /// One bit of everything that is read is not what was written. On the disk it is.
    MisreadingReads,
}

/// A deterministic disk in memory. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// The disk's life that this handle belongs to; another one than the disk's own: cut off.
    life: u64,
}

#[derive(Default)]
struct State {
    life: u64,
    next_file: u64,
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    /// Directory changes since the last `sync_dir`, oldest first.
    unsynced_names: Vec<NameChange>,
    fault: Option<DiskFault>,
    /// Sectors that are written as a whole or not at all; 0 counts as 1.
    unit: u64,
    /// Changes still let through before the disk freezes by itself.
    changes_left: Option<u64>,
    syncs: u64,
}

enum NameChange {
    Created(String, u64),
    Renamed(String, String),
    Deleted(String),
}

/// Sectors that were never written are zero and take no memory.
#[derive(Default)]
struct Content {
    len: u64,
    synced_len: u64,
    synced: BTreeMap<u64, Sector>,
    /// The states that a sector went through since the last sync, oldest first; never empty.
    unsynced: BTreeMap<u64, Vec<Sector>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk(life {})", self.life)
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl SimDisk {
    pub fn new() -> SimDisk {
        SimDisk { state: Arc::default(), life: 0 }
    }

    /// Cuts off every handle there is: from here on each of their operations fails and changes nothing.
    pub fn freeze(&self) {
        self.lock().life += 1;
    }

    /// Lets so many more changes through (writes, syncs, changes of names), then freezes: a crash at any point that a test likes.
    pub fn freeze_after(&self, changes: u64) {
        self.lock().changes_left = Some(changes);
    }

    /// A handle for the next run on this disk.
    #[must_use]
    pub fn thaw(&self) -> SimDisk {
        let mut state = self.lock();
        state.changes_left = None;
        let life = state.life;
        drop(state);
        SimDisk { state: self.state.clone(), life }
    }

    /// Freezes the disk and decides what is left of what was not synced. `draw(n)` gives a number below `n`.
    pub fn crash(&self, outcome: CrashOutcome, draw: &mut dyn FnMut(u64) -> u64) {
        let mut state = self.lock();
        state.life += 1;
        if outcome == CrashOutcome::Keep {
            return;
        }
        let mut torn = |bound: u64| if outcome == CrashOutcome::Torn { draw(bound) } else { 0 };
        state.lose_names(&mut torn);
        let unit = state.unit.max(1);
        for content in state.files.values_mut() {
            content.lose(unit, &mut torn);
        }
    }

    /// Sets or ends a fault.
    pub fn set_fault(&self, fault: Option<DiskFault>) {
        self.lock().fault = fault;
    }

    /// From now on so many sectors in a row are written as a whole or not at all.
    pub fn set_unit(&self, sectors: u64) {
        self.lock().unit = sectors;
    }

    /// Flips the bits of `mask` in one byte, synced or not. `false` when there is no such file or byte.
    pub fn rot(&self, name: &str, offset: u64, mask: u8) -> bool {
        let mut state = self.lock();
        let Some(content) = state.names.get(name).copied().and_then(|id| state.files.get_mut(&id)) else { return false };
        if offset >= content.len {
            return false;
        }
        let (sector, at) = (offset / SECTOR as u64, (offset % SECTOR as u64) as usize);
        content.synced.entry(sector).or_insert_with(empty_sector)[at] ^= mask;
        for version in content.unsynced.get_mut(&sector).into_iter().flatten() {
            version[at] ^= mask;
        }
        true
    }

    /// How many times a file was synced in all.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code here can panic half-way through a change: a poisoned lock only says that a test failed elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, name: &str) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.life == self.life {
            Ok(state)
        } else {
            Err(io::Error::other(format!("{name}: the disk is frozen (simulated crash)")))
        }
    }
}

fn empty_sector() -> Sector {
    Box::new([0; SECTOR])
}

fn frozen(name: &str) -> io::Error {
    io::Error::other(format!("{name}: the disk is frozen (simulated crash)"))
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))
}

impl State {
    fn file_named(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| missing(name))
    }

    /// Asked before every change.
    fn check_write(&mut self, name: &str, grows: bool) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => {
                self.life += 1;
                return Err(frozen(name));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        match self.fault {
            Some(DiskFault::FailingWrites) => Err(io::Error::other(format!("{name}: input/output error (simulated)"))),
            Some(DiskFault::Full) if grows => {
                Err(io::Error::new(io::ErrorKind::StorageFull, format!("{name}: no space left on device (simulated)")))
            }
            _ => Ok(()),
        }
    }

    fn lose_names(&mut self, torn: &mut dyn FnMut(u64) -> u64) {
        let changes = std::mem::take(&mut self.unsynced_names);
        let kept = if changes.is_empty() { 0 } else { torn(changes.len() as u64 + 1) };
        let mut names = std::mem::take(&mut self.synced_names);
        for change in changes.into_iter().take(kept as usize) {
            match change {
                NameChange::Created(name, id) => drop(names.insert(name, id)),
                NameChange::Renamed(from, to) => {
                    if let Some(id) = names.remove(&from) {
                        names.insert(to, id);
                    }
                }
                NameChange::Deleted(name) => drop(names.remove(&name)),
            }
        }
        self.files.retain(|id, _| names.values().any(|named| named == id));
        self.names = names.clone();
        self.synced_names = names;
    }
}

impl Content {
    fn sector(&self, sector: u64) -> Option<&Sector> {
        self.unsynced.get(&sector).and_then(|versions| versions.last()).or_else(|| self.synced.get(&sector))
    }

    /// Puts `bytes` into one sector's cache as its newest state.
    fn write_sector(&mut self, sector: u64, at: usize, bytes: &[u8]) {
        let mut newest = self.sector(sector).cloned().unwrap_or_else(empty_sector);
        newest[at..at + bytes.len()].copy_from_slice(bytes);
        let versions = self.unsynced.entry(sector).or_default();
        if versions.len() == MAX_VERSIONS {
            versions.pop();
        }
        versions.push(newest);
    }

    fn sync(&mut self) {
        self.synced_len = self.len;
        for (sector, mut versions) in std::mem::take(&mut self.unsynced) {
            if let Some(newest) = versions.pop() {
                self.synced.insert(sector, newest);
            }
        }
    }

    /// Sectors of one unit have gone through as many states as the most written one; they come back from the same moment, as far as each of them goes.
    fn lose(&mut self, unit: u64, torn: &mut dyn FnMut(u64) -> u64) {
        if self.len == self.synced_len || torn(2) == 0 {
            self.len = self.synced_len;
        }
        let mut kept_of_unit: Option<(u64, u64)> = None;
        for (sector, mut versions) in std::mem::take(&mut self.unsynced) {
            let states = versions.len() as u64;
            let kept = match kept_of_unit {
                Some((of, drawn)) if unit > 1 && of == sector / unit => drawn.min(states),
                _ => torn(states + 1),
            };
            kept_of_unit = Some((sector / unit, kept));
            if kept > 0 {
                self.synced.insert(sector, versions.swap_remove(kept as usize - 1));
            }
        }
        self.clear_from(self.len);
        self.synced_len = self.len;
    }

    /// Forgets synced bytes behind the end, so that they do not come back when the file grows.
    fn clear_from(&mut self, len: u64) {
        let (sector, at) = (len / SECTOR as u64, (len % SECTOR as u64) as usize);
        self.synced.split_off(&(sector + u64::from(at > 0)));
        if at > 0
            && let Some(last) = self.synced.get_mut(&sector)
        {
            last[at..].fill(0);
        }
    }

    fn set_len(&mut self, len: u64) {
        let (first, at) = (len / SECTOR as u64, (len % SECTOR as u64) as usize);
        let mut behind: Vec<u64> = self.synced.range(first..).map(|(sector, _)| *sector).collect();
        behind.extend(self.unsynced.range(first..).map(|(sector, _)| *sector));
        for sector in behind {
            let from = if sector == first { at } else { 0 };
            if self.sector(sector).is_some_and(|bytes| bytes[from..].iter().any(|byte| *byte != 0)) {
                self.write_sector(sector, from, &[0; SECTOR][from..]);
            }
        }
        self.len = len;
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.live("the folder")?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let id = self.live(name)?.file_named(name)?;
        Ok(SimFile { disk: self.clone(), id, name: name.to_owned() })
    }

    fn create(&self, name: &str, len: u64) -> io::Result<SimFile> {
        let mut state = self.live(name)?;
        state.check_write(name, true)?;
        if state.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name}: exists already")));
        }
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Content { len, ..Content::default() });
        state.names.insert(name.to_owned(), id);
        state.unsynced_names.push(NameChange::Created(name.to_owned(), id));
        Ok(SimFile { disk: self.clone(), id, name: name.to_owned() })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.live(from)?;
        state.check_write(from, false)?;
        let id = state.names.remove(from).ok_or_else(|| missing(from))?;
        state.names.insert(to.to_owned(), id);
        state.unsynced_names.push(NameChange::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let mut state = self.live(name)?;
        state.check_write(name, false)?;
        state.names.remove(name).ok_or_else(|| missing(name))?;
        state.unsynced_names.push(NameChange::Deleted(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.live("the folder")?;
        state.check_write("the folder", false)?;
        state.synced_names = state.names.clone();
        state.unsynced_names.clear();
        Ok(())
    }
}

/// A file of a [`SimDisk`].
#[derive(Clone, Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: u64,
    name: String,
}

impl SimFile {
    fn with<T>(&self, what: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        what(&mut *self.disk.live(&self.name)?)
    }

    fn content<'a>(&self, state: &'a mut State) -> io::Result<&'a mut Content> {
        state.files.get_mut(&self.id).ok_or_else(|| missing(&self.name))
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(self.content(state)?.len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            let grows = len > self.content(state)?.len;
            state.check_write(&self.name, grows)?;
            self.content(state)?.set_len(len);
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            let content = self.content(state)?;
            if offset.saturating_add(bytes.len() as u64) > content.len {
                let text = format!("{}: ends before byte {}", self.name, offset.saturating_add(bytes.len() as u64));
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            for (sector, at, range) in pieces(offset, bytes.len()) {
                let piece = &mut bytes[range];
                match content.sector(sector) {
                    Some(from) => piece.copy_from_slice(&from[at..at + piece.len()]),
                    None => piece.fill(0),
                }
            }
            if state.fault == Some(DiskFault::MisreadingReads)
                && let Some(middle) = bytes.len().checked_div(2).and_then(|at| bytes.get_mut(at))
            {
                *middle ^= 0x10;
            }
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let end = offset + bytes.len() as u64;
            let grows = end > self.content(state)?.len;
            state.check_write(&self.name, grows)?;
            let content = self.content(state)?;
            for (sector, at, range) in pieces(offset, bytes.len()) {
                content.write_sector(sector, at, &bytes[range]);
            }
            content.len = content.len.max(end);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state| {
            state.check_write(&self.name, false)?;
            state.syncs += 1;
            self.content(state)?.sync();
            Ok(())
        })
    }
}

/// `offset..offset + len` by sectors: the sector, where in it, and the range of the caller's bytes.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let place = offset + done as u64;
        let at = (place % SECTOR as u64) as usize;
        let step = (SECTOR - at).min(len - done);
        done += step;
        Some((place / SECTOR as u64, at, done - step..done))
    })
}
