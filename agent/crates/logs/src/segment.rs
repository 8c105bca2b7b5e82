//! One log file, held open: across rename and unlink it stays the same segment. Plain, or compressed by the kubelet.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::bufread::MultiGzDecoder;
use hawsepipe_model::{Cover, Fingerprint, Position, SegmentId, SegmentState, StreamKey};
use rustix::fs::OFlags;

use crate::scan::LogName;

/// Bytes that a fingerprint is made of, at most.
const FINGERPRINT: usize = 256;

/// An open log file and how far it was read.
#[derive(Debug)]
pub(crate) struct Segment {
    source: Source,
    pub(crate) id: SegmentId,
    pub(crate) name: LogName,
    pub(crate) path: PathBuf,
    /// The next byte to read.
    pub(crate) offset: u64,
    /// The size up to which the file holds no further whole line: nothing is read while it stays the same.
    pub(crate) seen: u64,
    /// What of it was covered before it was opened.
    pub(crate) covered: Position,
    /// The position that was told last.
    pub(crate) told: Position,
    /// It was deleted: what is open is all there is.
    pub(crate) unlinked: bool,
    /// [`Fingerprint::head`], once the first line is there.
    head: Option<u32>,
}

#[derive(Debug)]
enum Source {
    Plain(File),
    Compressed(Compressed),
}

/// A compressed file can be read forwards alone. Its decoder takes memory, so it is made when its turn comes.
#[derive(Debug)]
enum Compressed {
    /// To be gone on with from the segment's offset, if the bytes before it have this CRC32C (0: whatever they are).
    Waiting(File, u32),
    Reading(Box<Inflated>),
    Broken,
}

#[derive(Debug)]
struct Inflated {
    decoder: MultiGzDecoder<BufReader<File>>,
    /// What was read and not used.
    carry: Vec<u8>,
    /// The last bytes that were used.
    tail: Vec<u8>,
    ended: bool,
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

impl Segment {
    /// Opens a log file; `None` when it is no regular file.
    pub(crate) fn open(path: &Path, name: LogName) -> io::Result<Option<Self>> {
        let Some((file, meta)) = open_regular(path)? else { return Ok(None) };
        let id = identity(&meta, name.restart);
        let source = if name.compressed {
            Source::Compressed(Compressed::Waiting(file, 0))
        } else {
            Source::Plain(file)
        };
        let path = path.to_owned();
        let (covered, told) = (Position::default(), Position::default());
        let (offset, seen, unlinked, head) = (0, 0, false, None);
        Ok(Some(Self { source, id, name, path, offset, seen, covered, told, unlinked, head }))
    }

    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self.source, Source::Compressed(_))
    }

    /// Size and time of the last write; a compressed one is as long as what was read of it, until its end is known.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        match &self.source {
            Source::Plain(file) => {
                let meta = file.metadata()?;
                Ok(Stat { size: meta.len(), modified: meta.modified()? })
            }
            Source::Compressed(compressed) => {
                let ended = matches!(compressed, Compressed::Reading(inflated) if inflated.ended);
                let size = if ended { self.seen } else { u64::MAX };
                Ok(Stat { size, modified: UNIX_EPOCH })
            }
        }
    }

    /// Whether the file has no name any more. A look at the folder does not tell: it may miss a file that is renamed
    /// meanwhile (POSIX, readdir).
    pub(crate) fn is_unlinked(&self) -> bool {
        match &self.source {
            Source::Plain(file) => file.metadata().is_ok_and(|meta| meta.nlink() == 0),
            Source::Compressed(_) => false,
        }
    }

    /// Reads at the offset.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Filled> {
        match &mut self.source {
            Source::Plain(file) => {
                let len = read_full(buffer, |part, at| file.read_at(part, self.offset + at))?;
                Ok(Filled { len, at_end: len < buffer.len() })
            }
            Source::Compressed(compressed) => {
                let inflated = compressed.reading(&mut self.offset, &mut self.covered)?;
                let kept = inflated.carry.len();
                buffer[..kept].copy_from_slice(&inflated.carry);
                inflated.carry.clear();
                let decoder = &mut inflated.decoder;
                let len = kept + read_full(&mut buffer[kept..], |part, _| decoder.read(part))?;
                inflated.ended = len < buffer.len();
                Ok(Filled { len, at_end: inflated.ended })
            }
        }
    }

    /// Of what was read, `used` bytes are done with; the rest is read again.
    pub(crate) fn advance(&mut self, read: &[u8], used: usize, at_end: bool) {
        self.offset += used as u64;
        if at_end {
            self.seen = self.offset + (read.len() - used) as u64;
        }
        if let Source::Compressed(Compressed::Reading(inflated)) = &mut self.source {
            inflated.carry.extend_from_slice(&read[used..]);
            keep_tail(&mut inflated.tail, &read[..used]);
        }
    }

    /// Goes on where a position that was kept says; false when the file is not the one that it speaks of. What is in a
    /// compressed file shows when it is read.
    pub(crate) fn resume(&mut self, cover: &Cover) -> io::Result<bool> {
        let (position, before) = (cover.position, cover.fingerprint.before);
        (self.covered, self.told, self.offset) = (position, position, position.lower());
        match &mut self.source {
            Source::Compressed(Compressed::Waiting(_, expected)) => *expected = before,
            Source::Compressed(_) => {}
            Source::Plain(_) => {
                let size = self.stat()?.size;
                if size < self.offset {
                    // A power cut took what the kernel had not written yet; it was delivered.
                    tracing::warn!(
                        path = %self.path.display(),
                        size,
                        position = self.offset,
                        "a log file is shorter than what was delivered of it; going on at its end"
                    );
                    self.offset = size;
                    self.covered = Position { stdout: size, stderr: size };
                } else if before != 0 && self.before_offset(self.offset)? != before {
                    return Ok(false);
                }
            }
        }
        self.seen = self.offset;
        Ok(true)
    }

    /// CRC32C of the bytes before an offset.
    fn before_offset(&self, offset: u64) -> io::Result<u32> {
        let Source::Plain(file) = &self.source else { return Ok(0) };
        let mut bytes = [0; FINGERPRINT];
        let len = FINGERPRINT.min(usize::try_from(offset).unwrap_or(FINGERPRINT));
        let from = offset - len as u64;
        let read = read_full(&mut bytes[..len], |part, at| file.read_at(part, from + at))?;
        Ok(crc32c::crc32c(&bytes[..read]))
    }

    /// What covers the segment up to a position. The fingerprint's second part is 0, unknown, where it cannot be read.
    pub(crate) fn cover(
        &mut self,
        stream: &StreamKey,
        position: Position,
        state: SegmentState,
    ) -> Cover {
        let lower = position.lower();
        let before = match &self.source {
            Source::Plain(_) => self.before_offset(lower).unwrap_or(0),
            Source::Compressed(Compressed::Reading(inflated)) if lower == self.offset => {
                crc32c::crc32c(&inflated.tail)
            }
            Source::Compressed(_) => 0,
        };
        let head = self.head();
        let (stream, fingerprint) = (stream.clone(), Fingerprint { head, before });
        let from = std::mem::replace(&mut self.told, position);
        Cover { stream, segment: self.id, from, position, fingerprint, state }
    }

    /// [`Fingerprint::head`], 0 while it is not known.
    pub(crate) fn head(&mut self) -> u32 {
        if let (None, Source::Plain(file)) = (self.head, &self.source) {
            let mut bytes = [0; FINGERPRINT];
            if let Ok(len) = read_full(&mut bytes, |part, at| file.read_at(part, at)) {
                self.head = fingerprint_of_head(&bytes[..len]);
            }
        }
        self.head.unwrap_or(0)
    }

    /// Of a compressed file, before anything else is read of it: its first line's fingerprint.
    pub(crate) fn compressed_head(path: &Path) -> io::Result<Option<u32>> {
        let Some((file, _)) = open_regular(path)? else { return Ok(None) };
        let mut bytes = [0; FINGERPRINT];
        let mut decoder = MultiGzDecoder::new(BufReader::new(file));
        let len = read_full(&mut bytes, |part, _| decoder.read(part))?;
        Ok(fingerprint_of_head(&bytes[..len]))
    }

    pub(crate) fn set_head(&mut self, head: u32) {
        self.head = Some(head);
    }
}

// === impl Compressed ===

impl Compressed {
    /// The decoder, at the segment's offset. When the bytes before it are not those that were read, the file is another
    /// one: it is read from its beginning, better twice than not at all.
    fn reading(&mut self, offset: &mut u64, covered: &mut Position) -> io::Result<&mut Inflated> {
        if let Self::Waiting(..) = self
            && let Self::Waiting(file, before) = std::mem::replace(self, Self::Broken)
        {
            let mut inflated = Inflated::new(file.try_clone()?);
            inflated.skip(*offset)?;
            if before != 0 && crc32c::crc32c(&inflated.tail) != before {
                tracing::warn!(
                    "a compressed log file is not the one that was read before, reading it from its \
                     beginning"
                );
                (*offset, *covered) = (0, Position::default());
                let mut file = file;
                file.rewind()?;
                inflated = Inflated::new(file);
            }
            *self = Self::Reading(Box::new(inflated));
        }
        match self {
            Self::Reading(inflated) => Ok(inflated),
            _ => Err(io::Error::other("it could not be decompressed")),
        }
    }
}

impl Inflated {
    fn new(file: File) -> Self {
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, file));
        Self { decoder, carry: Vec::new(), tail: Vec::new(), ended: false }
    }

    fn skip(&mut self, mut left: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.decoder.read(&mut buffer[..len])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            keep_tail(&mut self.tail, &buffer[..read]);
            left -= read as u64;
        }
        Ok(())
    }
}

/// Opens a file, if it is a regular one.
fn open_regular(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    // Not to wait for a writer, should it be a pipe.
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let meta = file.metadata()?;
    Ok(meta.is_file().then_some((file, meta)))
}

/// Fills the buffer, or as much of it as there is.
fn read_full(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn fingerprint_of_head(bytes: &[u8]) -> Option<u32> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) => Some(crc32c::crc32c(&bytes[..end])),
        None => (bytes.len() == FINGERPRINT).then(|| crc32c::crc32c(bytes)),
    }
}

/// Keeps the last bytes of what passes.
fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() >= FINGERPRINT {
        tail.clear();
        tail.extend_from_slice(&bytes[bytes.len() - FINGERPRINT..]);
    } else {
        tail.extend_from_slice(bytes);
        let over = tail.len().saturating_sub(FINGERPRINT);
        tail.drain(..over);
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
