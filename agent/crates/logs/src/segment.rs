//! One log file: across rename and unlink it stays the same segment. Plain, or compressed by the kubelet.
//!
//! In: a path, and what the file there must be. Out: its bytes from an offset on. Always: what is read is the file that
//! it was first, whatever stands under its path by now; a file that may be found again can be closed, one that has no name
//! any more never is.

mod inflate;

use std::cmp::Ordering;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hawsepipe_model::{
    Cover, Extent, Fingerprint, Position, Rest, SegmentId, SegmentState, StreamKey,
};

pub(crate) use self::inflate::compressed_head;
use self::inflate::{Compressed, Expected, inflated_len};
use crate::files::{OpenFile, OpenFiles};
use crate::scan::LogName;

/// Bytes that a fingerprint is made of, at most.
const FINGERPRINT: usize = 256;

/// A log file and how far it was read.
#[derive(Debug)]
pub(crate) struct Segment {
    source: Source,
    files: OpenFiles,
    pub(crate) id: SegmentId,
    pub(crate) name: LogName,
    pub(crate) path: PathBuf,
    /// The next byte to read.
    pub(crate) offset: u64,
    /// The size up to which the file holds no further whole line: nothing is read while it stays the same.
    pub(crate) seen: u64,
    /// The size that a plain one had when it was last looked at.
    pub(crate) size: u64,
    /// What of it was covered before it was opened.
    pub(crate) covered: Position,
    /// The position that was told last.
    pub(crate) told: Position,
    /// What stands behind that position, where it was counted.
    pub(crate) rest: Option<Rest>,
    /// It was deleted: what is open is all there is.
    pub(crate) unlinked: bool,
    /// Where the kubelet's compressed copy of it is, while this one is plain.
    pub(crate) copy: Option<PathBuf>,
    /// When it was last of use.
    pub(crate) used: Instant,
    /// [`Fingerprint::head`], once the first line is there.
    head: Option<u32>,
    /// Whether it was told.
    head_told: bool,
    /// [`Fingerprint::before`] at the position that was told last, of a plain one.
    before: Option<u32>,
}

/// Where the bytes come from. `None`: it is closed.
#[derive(Debug)]
enum Source {
    Plain(Option<OpenFile>),
    Compressed(Compressed),
}

/// What a file is now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

/// What a read gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    pub(crate) len: usize,
    /// The segment's end was reached.
    pub(crate) at_end: bool,
}

/// What it costs to close a file, in the order in which that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Closing {
    /// Nothing: it is written to by a runtime, and was read to its end.
    Idle,
    /// It was not read to its end, and keeps its name for now.
    Unread,
    /// Nothing was read of it, and it will be deleted some time.
    Compressed,
    /// It will lose its name.
    Rotated,
    /// What was decompressed of it is decompressed again.
    Decompressed,
}

impl Segment {
    /// A log file that is not open yet.
    pub(crate) fn closed(path: &Path, name: LogName, id: SegmentId, files: &OpenFiles) -> Self {
        let source = if name.compressed {
            Source::Compressed(Compressed::default())
        } else {
            Source::Plain(None)
        };
        Self {
            source,
            files: files.clone(),
            id,
            name,
            path: path.to_owned(),
            offset: 0,
            seen: 0,
            size: 0,
            covered: Position::default(),
            told: Position::default(),
            rest: None,
            unlinked: false,
            copy: None,
            used: Instant::now(),
            head: None,
            head_told: false,
            before: None,
        }
    }

    /// The same file apart from this one, to be read from its beginning.
    pub(crate) fn again(&self) -> io::Result<Self> {
        let mut again = Self::closed(&self.path, self.name.clone(), self.id, &self.files);
        match (&self.source, &mut again.source) {
            (Source::Plain(Some(file)), Source::Plain(again)) => {
                *again = Some(self.files.open_again(file)?);
            }
            (Source::Compressed(compressed), Source::Compressed(again)) => {
                if let Some(file) = compressed.file() {
                    *again = Compressed::Waiting(
                        Some(self.files.open_again(file)?),
                        Expected::default(),
                    );
                }
            }
            _ => {}
        }
        Ok(again)
    }

    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self.source, Source::Compressed(_))
    }

    fn file(&self) -> Option<&OpenFile> {
        match &self.source {
            Source::Plain(file) => file.as_ref(),
            Source::Compressed(compressed) => compressed.file(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file().is_some()
    }

    /// Opens it, if it is not open. `NotFound`: something else stands under its path, or nothing.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let (file, meta) = self.files.open(&self.path)?.ok_or_else(not_regular)?;
        match &mut self.source {
            Source::Plain(plain) if identity(&meta, self.id.restart) == self.id => {
                *plain = Some(file);
            }
            Source::Plain(_) => return Err(io::ErrorKind::NotFound.into()),
            // Its names carry the time and are not given twice; what is in it shows when it is read.
            Source::Compressed(compressed) => compressed.opened(file),
        }
        self.used = Instant::now();
        Ok(())
    }

    /// What closing it would cost; `None` when it must not be closed, or is not open.
    pub(crate) fn closing(&self) -> Option<Closing> {
        if self.unlinked || !self.is_open() {
            return None;
        }
        Some(match &self.source {
            Source::Compressed(Compressed::Reading(_)) => Closing::Decompressed,
            Source::Compressed(_) => Closing::Compressed,
            Source::Plain(_) if self.name.rotated.is_some() => Closing::Rotated,
            Source::Plain(_) if self.size == self.seen => Closing::Idle,
            Source::Plain(_) => Closing::Unread,
        })
    }

    /// Closes it, unless it has no name any more: it could not be found again.
    pub(crate) fn close(&mut self) {
        if self.is_unlinked() {
            self.unlinked = true;
            return;
        }
        match &mut self.source {
            Source::Plain(file) => *file = None,
            Source::Compressed(compressed) => compressed.close(self.offset),
        }
    }

    /// Size and time of the last write; a compressed one is as long as what was read of it, until its end is known.
    /// `NotFound`: it is closed, and not under its path.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        let meta = match &self.source {
            Source::Plain(Some(file)) => file.metadata()?,
            Source::Plain(None) => {
                let meta = fs::metadata(&self.path)?;
                if identity(&meta, self.id.restart) != self.id {
                    return Err(io::ErrorKind::NotFound.into());
                }
                meta
            }
            Source::Compressed(compressed) => {
                let size = if compressed.has_ended() { self.seen } else { u64::MAX };
                return Ok(Stat { size, modified: UNIX_EPOCH });
            }
        };
        Ok(Stat { size: meta.len(), modified: meta.modified()? })
    }

    /// Notes how far a plain one has grown.
    pub(crate) fn look(&mut self) {
        if !self.is_compressed()
            && let Ok(stat) = self.stat()
        {
            self.size = self.size.max(stat.size);
        }
    }

    /// Its length; that of a compressed one, before compression, is known modulo 2^32.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match &self.source {
            Source::Plain(_) => Ok(self.stat()?.size),
            Source::Compressed(compressed) => {
                let file = compressed.file().ok_or(io::ErrorKind::NotFound)?;
                inflated_len(file).map(u64::from)
            }
        }
    }

    /// How its length compares to `read` bytes.
    pub(crate) fn cmp_len(&self, read: u64) -> io::Result<Ordering> {
        let read = if self.is_compressed() { read & u64::from(u32::MAX) } else { read };
        Ok(self.len()?.cmp(&read))
    }

    /// Bytes that the open file has on the disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.file().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len())
    }

    /// Whether the open file has no name any more. A look at the folder does not tell: it may miss a file that is renamed
    /// meanwhile (POSIX, readdir).
    pub(crate) fn is_unlinked(&self) -> bool {
        self.file().is_some_and(|file| file.metadata().is_ok_and(|meta| meta.nlink() == 0))
    }

    /// Reads at the offset.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Filled> {
        self.open()?;
        self.used = Instant::now();
        match &mut self.source {
            Source::Plain(Some(file)) => {
                let len = file.read_at(buffer, self.offset)?;
                Ok(Filled { len, at_end: len < buffer.len() })
            }
            Source::Plain(None) => Err(io::ErrorKind::NotFound.into()),
            Source::Compressed(compressed) => {
                compressed.reading(&mut self.offset, &mut self.covered)?.fill(buffer)
            }
        }
    }

    /// Of what was read, `used` bytes are done with; the rest is read again.
    pub(crate) fn advance(&mut self, read: &[u8], used: usize, at_end: bool) {
        self.offset += used as u64;
        if at_end {
            self.seen = self.offset + (read.len() - used) as u64;
            self.size = self.size.max(self.seen);
        }
        if let Source::Compressed(Compressed::Reading(inflated)) = &mut self.source {
            inflated.advance(read, used);
        }
    }

    /// Goes on at an offset that is covered for both outputs.
    pub(crate) fn begin_at(&mut self, offset: u64) {
        (self.offset, self.seen) = (offset, offset);
        self.covered = Position { stdout: offset, stderr: offset };
        (self.told, self.rest) = (self.covered, None);
    }

    /// Lines of it were handed on.
    pub(crate) fn take_off(&mut self, told: Extent) {
        if let Some(Rest { extent, .. }) = &mut self.rest {
            extent.records = extent.records.saturating_sub(told.records);
            extent.bytes = extent.bytes.saturating_sub(told.bytes);
        }
    }

    /// Begins anew: what was in the file is not there any more.
    pub(crate) fn begin_anew(&mut self) {
        self.begin_at(0);
        (self.head, self.before, self.size) = (None, None, 0);
    }

    /// Goes on where a position that was kept says; false when the file is not the one that it speaks of. What is in a
    /// compressed file shows when it is read.
    pub(crate) fn resume(&mut self, cover: &Cover) -> io::Result<bool> {
        let (position, Fingerprint { head, before }) = (cover.position, cover.fingerprint);
        (self.covered, self.told, self.offset) = (position, position, position.lower());
        self.head_told = head != 0;
        self.seen = self.offset;
        self.rest = cover.rest;
        if let Source::Compressed(compressed) = &mut self.source {
            compressed.expect(Expected { at: position.upper(), before });
        }
        if self.cmp_len(position.upper())? == Ordering::Less {
            // A power cut took what the kernel had not written yet, and left what was before it.
            if head != 0 && !self.is_compressed() && self.head() != head {
                return Ok(false);
            }
            let size = self.len()?;
            tracing::warn!(
                path = %self.path.display(),
                size,
                position = position.upper(),
                "a log file is shorter than what was delivered of it; going on at its end"
            );
            let (stdout, stderr) = (position.stdout.min(size), position.stderr.min(size));
            self.covered = Position { stdout, stderr };
            (self.told, self.offset) = (self.covered, self.covered.lower());
            (self.seen, self.rest) = (self.offset, None);
            if let Source::Compressed(compressed) = &mut self.source {
                compressed.expect(Expected::default());
            }
        } else if !self.is_compressed()
            && before != 0
            && self.before_offset(position.upper())? != before
        {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether other bytes stand before the position that was told last than those that were read: the file was written
    /// anew, and has grown beyond the position already.
    pub(crate) fn is_rewritten(&self) -> bool {
        let now = |_: &u32| self.before_offset(self.told.upper()).ok();
        self.before.as_ref().is_some_and(|before| now(before).is_some_and(|now| now != *before))
    }

    /// Whether the bytes before the position are those that the cover speaks of, as far as that can be told.
    pub(crate) fn is_of(&mut self, cover: &Cover) -> bool {
        let Fingerprint { head, before } = cover.fingerprint;
        if self.is_compressed() || before == 0 {
            return head == 0 || self.head.is_none_or(|own| own == head);
        }
        self.open().is_ok()
            && self.before_offset(cover.position.upper()).is_ok_and(|now| now == before)
    }

    /// CRC32C of the bytes before an offset.
    fn before_offset(&self, offset: u64) -> io::Result<u32> {
        let Source::Plain(Some(file)) = &self.source else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut bytes = [0; FINGERPRINT];
        let len = FINGERPRINT.min(usize::try_from(offset).unwrap_or(FINGERPRINT));
        let read = file.read_at(&mut bytes[..len], offset - len as u64)?;
        Ok(crc32c::crc32c(&bytes[..read]))
    }

    /// What covers the segment up to a position. The fingerprint's second part is 0, unknown, where it cannot be read.
    pub(crate) fn cover(
        &mut self,
        stream: &StreamKey,
        position: Position,
        state: SegmentState,
    ) -> Cover {
        let upper = position.upper();
        let before = match &self.source {
            Source::Plain(_) => {
                let known = self.before.filter(|_| upper == self.told.upper());
                self.before = known.or_else(|| self.before_offset(upper).ok());
                self.before.unwrap_or(0)
            }
            Source::Compressed(Compressed::Reading(inflated)) if upper == self.offset => {
                inflated.fingerprint()
            }
            Source::Compressed(_) => 0,
        };
        let head = self.head();
        self.head_told = head != 0;
        let (stream, fingerprint) = (stream.clone(), Fingerprint { head, before });
        let from = std::mem::replace(&mut self.told, position);
        // One that has grown since it was counted has more.
        let is_whole = |rest: &Rest| self.is_compressed() || self.size <= rest.end;
        let rest = self.rest.filter(is_whole).filter(|_| state == SegmentState::Open);
        Cover { stream, segment: self.id, from, position, fingerprint, state, rest }
    }

    /// [`Fingerprint::head`], 0 while it is not known.
    pub(crate) fn head(&mut self) -> u32 {
        if let (None, Source::Plain(Some(file))) = (self.head, &self.source) {
            let mut bytes = [0; FINGERPRINT];
            if let Ok(len) = file.read_at(&mut bytes, 0) {
                self.head = fingerprint_of_head(&bytes[..len]);
            }
        }
        self.head.unwrap_or(0)
    }

    /// Whether it can be told now by what it will be known once it is compressed, and was not before.
    pub(crate) fn has_new_head(&mut self) -> bool {
        !self.head_told && self.head() != 0
    }

    pub(crate) fn set_head(&mut self, head: u32) {
        self.head = Some(head);
    }

    /// Goes on in the kubelet's compressed copy, at the same byte; false when there is none that holds the same. What the
    /// file pinned on the disk is free then.
    pub(crate) fn switch_to_copy(&mut self) -> bool {
        let Some(path) = &self.copy else { return false };
        let Ok(Some((file, _))) = self.files.open(path) else { return false };
        let before = match &self.source {
            Source::Compressed(_) => return false,
            Source::Plain(Some(plain)) => {
                // The gzip trailer has the size modulo 2^32 (RFC 1952).
                let size = plain.metadata().map_or(0, |meta| meta.len() & u64::from(u32::MAX));
                if inflated_len(&file).map_or(u64::MAX, u64::from) != size {
                    return false;
                }
                self.before_offset(self.offset).unwrap_or(0)
            }
            Source::Plain(None) => 0,
        };
        let expected = Expected { at: self.offset, before };
        self.source = Source::Compressed(Compressed::Waiting(Some(file), expected));
        if let Some(path) = self.copy.take() {
            self.path = path;
        }
        self.name.compressed = true;
        (self.unlinked, self.seen, self.before) = (false, self.offset, None);
        true
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}

fn fingerprint_of_head(bytes: &[u8]) -> Option<u32> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) => Some(crc32c::crc32c(&bytes[..end])),
        None => (bytes.len() == FINGERPRINT).then(|| crc32c::crc32c(bytes)),
    }
}

/// What a file is known by, never its name alone.
pub(crate) fn identity(meta: &Metadata, restart: u32) -> SegmentId {
    let born = meta.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    SegmentId {
        restart,
        device: meta.dev(),
        inode: meta.ino(),
        born_nanos: born.map_or(0, |age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)),
    }
}
