//! A disk in memory that does what disks do: it tears writes, forgets what was not synced, page by page and name by name in
//! any order, flips bits and fills up.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use fastrand::Rng;
use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, Space};

const PAGE: usize = 512;

#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.lock().names.keys()).finish()
    }
}

#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    inode: u64,
}

#[derive(Default)]
struct State {
    /// As a process sees it.
    names: BTreeMap<String, u64>,
    /// As it was when the folder was synced last, and what was done since.
    synced_names: BTreeMap<String, u64>,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    capacity: Option<usize>,
    /// After so many writes more, everything fails.
    crash_in: Option<u32>,
    crashed: bool,
    rng: Option<Rng>,
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    synced: Vec<u8>,
    reserved: usize,
}

fn crashed() -> io::Error {
    io::Error::other("the process is dead")
}

impl State {
    fn used(&self) -> usize {
        self.names.values().map(|id| self.inodes[id].live.len() + self.inodes[id].reserved).sum()
    }

    fn room(&self) -> usize {
        self.capacity.map_or(usize::MAX / 2, |capacity| capacity.saturating_sub(self.used()))
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(crashed()) } else { Ok(()) }
    }

    /// Counts down to the crash; true when this very operation is the one.
    fn counts(&mut self) -> bool {
        if let Some(left) = &mut self.crash_in {
            if *left == 0 {
                self.crashed = true;
                return true;
            }
            *left -= 1;
        }
        false
    }
}

impl SimDisk {
    pub(super) fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.0.lock().rng = Some(Rng::with_seed(seed));
        disk
    }

    pub(super) fn fill_to(&self, more: Option<usize>) {
        let mut state = self.0.lock();
        state.capacity = more.map(|more| state.used() + more);
    }

    /// Everything fails after so many writes more; the one before is torn.
    pub(super) fn crash_in(&self, writes: u32) {
        self.0.lock().crash_in = Some(writes);
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// A new process: what the last one wrote is there.
    pub(super) fn revive(&self) {
        let mut state = self.0.lock();
        (state.crashed, state.crash_in) = (false, None);
    }

    /// The power fails: of what was not synced there is any part.
    pub(super) fn power_cut(&self) {
        self.revive();
        let state = &mut *self.0.lock();
        let Some(rng) = &mut state.rng else { return };
        for inode in state.inodes.values_mut() {
            let longer = inode.live.len().max(inode.synced.len());
            let len = match rng.u8(0..3) {
                0 => inode.synced.len(),
                1 => inode.live.len(),
                _ => rng.usize(0..=longer).max(inode.synced.len().min(inode.live.len())),
            };
            let mut data = vec![0; len];
            for start in (0..len).step_by(PAGE) {
                let end = (start + PAGE).min(len);
                let source = if rng.bool() { &inode.live } else { &inode.synced };
                let known = source.get(start..source.len().min(end)).unwrap_or_default();
                data[start..start + known.len()].copy_from_slice(known);
            }
            inode.live.clone_from(&data);
            inode.synced = data;
        }
        let names: std::collections::BTreeSet<String> =
            state.names.keys().chain(state.synced_names.keys()).cloned().collect();
        for name in names {
            let (live, synced) = (state.names.get(&name), state.synced_names.get(&name));
            let kept = if rng.bool() { live } else { synced }.copied();
            match kept {
                Some(inode) => state.names.insert(name, inode),
                None => state.names.remove(&name),
            };
        }
        state.synced_names = state.names.clone();
    }

    /// One bit of one file is another.
    pub(super) fn flip(&self) {
        let state = &mut *self.0.lock();
        let Some(rng) = &mut state.rng else { return };
        let files: Vec<u64> = state.names.values().copied().collect();
        let Some(id) = rng.choice(files) else { return };
        let Some(inode) = state.inodes.get_mut(&id) else { return };
        if !inode.live.is_empty() {
            let at = rng.usize(0..inode.live.len());
            inode.live[at] ^= 1 << rng.u8(0..8);
            inode.synced = inode.live.clone();
        }
    }

    /// Every file with its bytes.
    pub(super) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock();
        let bytes = |id: &u64| state.inodes[id].live.clone();
        state.names.iter().map(|(name, id)| (name.clone(), bytes(id))).collect()
    }

    /// A disk with these files.
    pub(super) fn with(contents: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::new(0);
        {
            let mut state = disk.0.lock();
            for (name, live) in contents {
                let id = state.next_inode;
                state.next_inode += 1;
                let (live, synced) = (live.clone(), live.clone());
                state.inodes.insert(id, Inode { live, synced, reserved: 0 });
                state.names.insert(name.clone(), id);
            }
            state.synced_names = state.names.clone();
        }
        disk
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        state.alive()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.0.lock();
        state.alive()?;
        if state.counts() {
            return Err(crashed());
        }
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room() == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.names.insert(name.to_owned(), inode);
        Ok(SimFile { disk: self.clone(), inode })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let state = self.0.lock();
        state.alive()?;
        let inode = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), inode })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        if state.counts() {
            return Err(crashed());
        }
        state.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.alive()?;
        if state.counts() {
            return Err(crashed());
        }
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.0.lock();
        state.alive()?;
        Ok(Space { free: state.room() as u64, total: (state.used() + state.room()) as u64 })
    }

    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()> {
        if self.0.lock().room() < bytes as usize {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.create(name)?;
        if let Some(inode) = self.0.lock().inodes.get_mut(&file.inode) {
            inode.reserved = bytes as usize;
        }
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_up_to(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        state.alive()?;
        let data = &state.inodes[&self.inode].live;
        let start = (offset as usize).min(data.len());
        let len = buffer.len().min(data.len() - start);
        buffer[..len].copy_from_slice(&data[start..start + len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.disk.0.lock();
        state.alive()?;
        let dies = state.counts();
        let end = offset as usize + bytes.len();
        let grows = end.saturating_sub(state.inodes[&self.inode].live.len());
        let full = grows > state.room();
        let mut len = bytes.len();
        if (dies || full)
            && let Some(rng) = &mut state.rng
        {
            len = rng.usize(0..=bytes.len());
            if full {
                len = len.min(bytes.len() - grows);
            }
        }
        let Some(inode) = state.inodes.get_mut(&self.inode) else { return Err(crashed()) };
        let end = offset as usize + len;
        if inode.live.len() < end {
            inode.live.resize(end, 0);
        }
        inode.live[offset as usize..end].copy_from_slice(&bytes[..len]);
        match (dies, full) {
            (true, _) => Err(crashed()),
            (_, true) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.0.lock();
        state.alive()?;
        Ok(state.inodes[&self.inode].live.len() as u64)
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.alive()?;
        if state.counts() {
            return Err(crashed());
        }
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            inode.live.truncate(size as usize);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.alive()?;
        if state.counts() {
            return Err(crashed());
        }
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            inode.synced.clone_from(&inode.live);
        }
        Ok(())
    }

    fn again(&self) -> io::Result<Self> {
        Ok(Self { disk: self.disk.clone(), inode: self.inode })
    }
}
