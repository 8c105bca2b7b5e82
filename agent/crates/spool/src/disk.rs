//! The folder that a lane lives in, as the little that the lane asks of it.
//!
//! In: names of files. Out: files, and how much room there is. One implementation for real folders; the tests have another
//! one that tears writes, forgets what was not synced, flips bits and fills up. What is promised, by either, is what POSIX
//! promises: a write is seen by every later read; after a power cut there may be any part of what was written to a file since it
//! was synced, and any part of what was done to the folder since that was synced.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// A file of a lane.
pub trait DiskFile: Debug + Send + Sync + Sized + 'static {
    /// Reads up to `buffer.len()` bytes at `offset`; fewer at the end of the file alone.
    ///
    /// # Errors
    /// When the file system refuses.
    fn read_up_to(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. When it fails, any part of it may have been written.
    ///
    /// # Errors
    /// When the file system refuses.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Bytes of the file.
    ///
    /// # Errors
    /// When the file system refuses.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file.
    ///
    /// # Errors
    /// When the file system refuses.
    fn cut(&self, size: u64) -> io::Result<()>;

    /// Waits until the disk has what was written (`fdatasync`).
    ///
    /// # Errors
    /// When the disk refuses.
    fn sync(&self) -> io::Result<()>;

    /// Another handle to the same file.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    fn again(&self) -> io::Result<Self>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the file system refuses; `UnexpectedEof` when the file ends before.
    fn read_exactly(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_up_to(buffer, offset)?;
        if read < buffer.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What may still be written.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// A folder.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Its files.
    type File: DiskFile;

    /// The names of what is in it.
    ///
    /// # Errors
    /// When the file system refuses.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file that must not exist.
    ///
    /// # Errors
    /// When it exists, or the file system refuses.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file, to read and to write.
    ///
    /// # Errors
    /// When it does not exist, or the file system refuses.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file.
    ///
    /// # Errors
    /// When it does not exist, or the file system refuses.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until the disk knows which files there are.
    ///
    /// # Errors
    /// When the disk refuses.
    fn sync(&self) -> io::Result<()>;

    /// Room in its file system.
    ///
    /// # Errors
    /// When the file system refuses.
    fn space(&self) -> io::Result<Space>;

    /// Makes a file of so many bytes that take room, and holds nothing.
    ///
    /// # Errors
    /// When it exists, or there is no room; the file is not there then.
    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()>;
}

/// A real folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Takes a folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(path: &Path) -> io::Result<Self> {
        // What is in it is for nobody else: it holds log lines.
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Disk for Folder {
    type File = File;

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| entry.map(|it| it.file_name()));
        // A name that is no text is nobody's here.
        names.filter_map(|name| name.map(|name| name.into_string().ok()).transpose()).collect()
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).open(self.0.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.0.join(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let stat = statvfs(&self.0)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        // What root may take beyond the others' share is not counted: it is there for repairs.
        Ok(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }

    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = self.create(name)?;
        if let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            self.remove(name).ok();
            return Err(error.into());
        }
        Ok(())
    }
}

impl DiskFile for File {
    fn read_up_to(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn again(&self) -> io::Result<Self> {
        self.try_clone()
    }
}
