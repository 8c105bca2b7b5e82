//! Segment files: append-only, checked, readable after any crash. Nothing here knows what a payload is.
//!
//! In: frames, each a *meta* (small, read by every scan) and a *body* (large, read on demand). Out: the same
//! frames in the order of their appending, or the extent of what is damaged.
//!
//! ```text
//! file   = header frame*
//! header = magic "HAWSESEG" | format u32 | 0 u32 | id u64 | 0 u32 | crc u32            (32 bytes)
//! frame  = marker u32 | meta length u32 | body length u32
//!        | meta crc u32 | body crc u32 | header crc u32 | meta | body                  (24 bytes + data)
//! ```
//!
//! Numbers are little-endian, checksums CRC32C (RFC 3720, B.4). The frame's header checksum also covers the
//! segment's id and the frame's offset: bytes that look like a frame, because somebody logged a segment file
//! or the disk returned an old block, are none unless they stand where they were written.
//!
//! What always holds:
//! - A frame is one `write(2)` behind the last good frame. A write that failed half-way is written over.
//! - A header that checks out is believed: damage behind it costs that frame alone. Where the header itself is
//!   damaged, the scan goes on at the next marker whose header checks out.
//! - What follows the last good frame of a file is a torn tail and may be cut ([`cut_torn_tail`]).
//! - Nothing is synced unless [`SegmentWriter::sync`] is called.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use memchr::memmem;

use crate::disk::DiskFile;

/// Bytes of a file's header.
pub const FILE_HEADER_BYTES: u64 = 32;
/// Bytes of a frame's header.
pub const FRAME_HEADER_BYTES: u64 = 24;
/// The format that is written, and the newest that can be read.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"HAWSESEG";
const MARKER: [u8; 4] = [0xf5, 0x48, 0x50, 0xfa];
/// How much a scan reads at once: a few small frames, or the meta of a large one.
const WINDOW_BYTES: u64 = 16 << 10;

/// What can go wrong with a segment.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The file system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file was written by a newer version.
    #[error("segment format {found}, newer than {FORMAT}: written by a newer version")]
    Newer {
        /// The format found.
        found: u32,
    },
    /// The file has no intact header.
    #[error("no intact segment header")]
    NoHeader,
    /// A frame's checksum is wrong.
    #[error("checksum of the frame at offset {offset} is wrong")]
    Damaged {
        /// Where the frame begins.
        offset: u64,
    },
    /// A frame does not fit the format.
    #[error("{bytes} bytes are too large for one frame")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// Appends frames to a new segment.
#[derive(Debug)]
pub struct SegmentWriter<F = File> {
    file: F,
    id: u64,
    end: u64,
    buffer: Vec<u8>,
}

// === impl SegmentWriter ===

impl SegmentWriter {
    /// Creates the segment `id` at `path`, which must not exist.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, id: u64) -> Result<Self, SegmentError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // On a full disk the file would be there without its header, and in the way of the next attempt.
        Self::begin(file, id).inspect_err(|_error| drop(fs::remove_file(path)))
    }
}

impl<F: DiskFile> SegmentWriter<F> {
    /// Makes an empty file the segment `id`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(file: F, id: u64) -> Result<Self, SegmentError> {
        file.write_all_at(&file_header(id), 0)?;
        Ok(Self { file, id, end: FILE_HEADER_BYTES, buffer: Vec::new() })
    }

    /// Appends a frame; when this returns, the kernel has it. Gives the offset of the frame.
    ///
    /// # Errors
    /// When it cannot be written; the segment is then as it was before.
    pub fn append(&mut self, meta: &[u8], body: &[u8]) -> Result<u64, SegmentError> {
        let length = |part: &[u8]| {
            let bytes = part.len();
            u32::try_from(bytes).or(Err(SegmentError::TooLarge { bytes }))
        };
        let header = FrameHeader {
            meta_len: length(meta)?,
            body_len: length(body)?,
            meta_crc: crc32c::crc32c(meta),
            body_crc: crc32c::crc32c(body),
        };
        let offset = self.end;
        self.buffer.clear();
        self.buffer.extend(header.encode(self.id, offset));
        self.buffer.extend(meta);
        self.buffer.extend(body);
        let written = self.file.write_all_at(&self.buffer, offset);
        let len = self.buffer.len() as u64;
        self.buffer.shrink_to(1 << 20);
        if let Err(error) = written {
            // Best effort: what stays is a torn tail, which the next append writes over.
            self.file.cut(offset).ok();
            return Err(error.into());
        }
        self.end = offset + len;
        Ok(offset)
    }

    /// The segment's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bytes of the file up to the last frame's end.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Whether there is no frame in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == FILE_HEADER_BYTES
    }

    /// A second handle to the file, to sync it while frames are appended.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn file(&self) -> io::Result<F> {
        self.file.again()
    }

    /// The file, which is written to no more.
    #[must_use]
    pub fn into_file(self) -> F {
        self.file
    }

    /// Waits until the disk has every frame (`fdatasync`).
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// A frame found by a scan; its body is still in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRef {
    /// Where the frame begins.
    pub offset: u64,
    /// Its meta.
    pub meta: Vec<u8>,
    /// Bytes of its body.
    pub body_len: u32,
    body_crc: u32,
}

impl FrameRef {
    /// Where the frame ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.body_offset() + u64::from(self.body_len)
    }

    fn body_offset(&self) -> u64 {
        self.offset + FRAME_HEADER_BYTES + self.meta.len() as u64
    }
}

/// What a scan comes upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// A frame whose header and meta are intact.
    Frame(FrameRef),
    /// Bytes that are no frame.
    Damage {
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
    },
}

/// Reads a segment, also while it is written or after it was unlinked.
#[derive(Debug)]
pub struct SegmentReader<F = File> {
    file: F,
    id: u64,
}

// === impl SegmentReader ===

impl SegmentReader {
    /// Opens the segment at `path`. `id` is what the caller takes it for (from its name); it serves where the file's
    /// header is damaged.
    ///
    /// # Errors
    /// When the file cannot be read, or was written by a newer version.
    pub fn open(path: &Path, id: u64) -> Result<Self, SegmentError> {
        Self::of(File::open(path)?, id)
    }
}

impl<F: DiskFile> SegmentReader<F> {
    /// Reads a segment that is open, see [`open`](SegmentReader::open).
    ///
    /// # Errors
    /// When the file cannot be read, or was written by a newer version.
    pub fn of(file: F, id: u64) -> Result<Self, SegmentError> {
        let mut header = [0; FILE_HEADER_BYTES as usize];
        let id = match file.read_exactly(&mut header, 0) {
            Ok(()) => parse_file_header(&header)?.unwrap_or(id),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => id,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, id })
    }

    /// The segment's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bytes of the file now.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn file_len(&self) -> io::Result<u64> {
        self.file.size()
    }

    /// Scans from `from` (0, or the end of a frame) up to `end` (the end of a frame, or of the file). Bodies are neither
    /// read nor checked.
    #[must_use]
    pub fn scan(&self, from: u64, end: u64) -> Scan<'_, F> {
        Scan {
            segment: self,
            at: from.max(FILE_HEADER_BYTES),
            end,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// When it cannot be read, or its checksum is wrong.
    pub fn body(&self, frame: &FrameRef) -> Result<Vec<u8>, SegmentError> {
        let damaged = SegmentError::Damaged { offset: frame.offset };
        let mut body = vec![0; frame.body_len as usize];
        match self.file.read_exactly(&mut body, frame.body_offset()) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged),
            other => other?,
        }
        if crc32c::crc32c(&body) == frame.body_crc { Ok(body) } else { Err(damaged) }
    }
}

/// A scan of a segment, see [`SegmentReader::scan`].
#[derive(Debug)]
pub struct Scan<'a, F = File> {
    segment: &'a SegmentReader<F>,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

// === impl Scan ===

impl<F: DiskFile> Scan<'_, F> {
    fn step(&mut self) -> Result<Scanned, SegmentError> {
        let offset = self.at;
        let Some(header) = self.header(offset)? else {
            let next = self.next_header(offset + 1)?.unwrap_or(self.end);
            return Ok(self.damage(next));
        };
        let meta_at = offset + FRAME_HEADER_BYTES;
        let end = meta_at + u64::from(header.meta_len) + u64::from(header.body_len);
        if end > self.end {
            // The header is good, so this is where the last write was torn: nothing can follow.
            return Ok(self.damage(self.end));
        }
        let meta = self.bytes(meta_at, u64::from(header.meta_len))?.to_vec();
        if crc32c::crc32c(&meta) != header.meta_crc {
            return Ok(self.damage(end));
        }
        self.at = end;
        Ok(Scanned::Frame(FrameRef {
            offset,
            meta,
            body_len: header.body_len,
            body_crc: header.body_crc,
        }))
    }

    fn damage(&mut self, until: u64) -> Scanned {
        let offset = self.at;
        self.at = until;
        Scanned::Damage { offset, bytes: until - offset }
    }

    /// The header at `offset`, if there is an intact one.
    fn header(&mut self, offset: u64) -> Result<Option<FrameHeader>, SegmentError> {
        if offset + FRAME_HEADER_BYTES > self.end {
            return Ok(None);
        }
        let id = self.segment.id;
        let bytes = self.bytes(offset, FRAME_HEADER_BYTES)?;
        Ok(FrameHeader::decode(bytes, id, offset))
    }

    /// The offset of the first intact header at or behind `from`.
    fn next_header(&mut self, mut from: u64) -> Result<Option<u64>, SegmentError> {
        while from + FRAME_HEADER_BYTES <= self.end {
            let len = WINDOW_BYTES.min(self.end - from);
            let window = self.bytes(from, len)?;
            let found =
                memmem::find_iter(window, &MARKER).map(|at| from + at as u64).collect::<Vec<_>>();
            for offset in found {
                if self.header(offset)?.is_some() {
                    return Ok(Some(offset));
                }
            }
            // The windows overlap, so that a marker that is cut by one's end is whole in the next.
            from += (len + 1).saturating_sub(MARKER.len() as u64).max(1);
        }
        Ok(None)
    }

    /// `len` bytes at `offset`, which end before the scan's end.
    fn bytes(&mut self, offset: u64, len: u64) -> Result<&[u8], SegmentError> {
        let window_end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || offset + len > window_end {
            let want = len.max(WINDOW_BYTES).min(self.end - offset);
            self.window.resize(to_usize(want)?, 0);
            self.window_at = offset;
            let read = self.segment.file.read_exactly(&mut self.window, offset);
            if let Err(error) = read {
                self.window.clear();
                return Err(error.into());
            }
        }
        let start = to_usize(offset - self.window_at)?;
        Ok(&self.window[start..start + to_usize(len)?])
    }
}

impl<F: DiskFile> Iterator for Scan<'_, F> {
    type Item = Result<Scanned, SegmentError>;

    /// The next frame or stretch of damage. An error of the file system ends the scan.
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.at = self.end;
        }
        Some(step)
    }
}

/// What [`cut_torn_tail`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Bytes of the file now.
    pub len: u64,
    /// Bytes that were cut from its end.
    pub cut_bytes: u64,
}

/// Cuts what follows the last good frame of the segment at `path`, bodies checked too. For the segment that was written
/// last; nobody may write it meanwhile.
///
/// # Errors
/// When the file cannot be read or cut, or was written by a newer version.
pub fn cut_torn_tail(path: &Path, id: u64) -> Result<Recovery, SegmentError> {
    cut_torn_tail_of(OpenOptions::new().read(true).write(true).open(path)?, id)
}

/// [`cut_torn_tail`] of a segment that is open.
///
/// # Errors
/// When the file cannot be read or cut, or was written by a newer version.
pub fn cut_torn_tail_of<F: DiskFile>(file: F, id: u64) -> Result<Recovery, SegmentError> {
    let segment = SegmentReader::of(file, id)?;
    let file_len = segment.file_len()?;
    let mut len = FILE_HEADER_BYTES.min(file_len);
    for scanned in segment.scan(0, file_len) {
        if let Scanned::Frame(frame) = scanned? {
            match segment.body(&frame) {
                Ok(_) => len = frame.end(),
                Err(SegmentError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if len < file_len {
        segment.file.cut(len)?;
        segment.file.sync()?;
    }
    Ok(Recovery { len, cut_bytes: file_len - len })
}

#[derive(Debug, Clone, Copy)]
struct FrameHeader {
    meta_len: u32,
    body_len: u32,
    meta_crc: u32,
    body_crc: u32,
}

// === impl FrameHeader ===

impl FrameHeader {
    fn encode(self, id: u64, offset: u64) -> [u8; FRAME_HEADER_BYTES as usize] {
        let mut out = [0; FRAME_HEADER_BYTES as usize];
        out[0..4].copy_from_slice(&MARKER);
        out[4..8].copy_from_slice(&self.meta_len.to_le_bytes());
        out[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.meta_crc.to_le_bytes());
        out[16..20].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = header_crc(&out[..20], id, offset);
        out[20..24].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], id: u64, offset: u64) -> Option<Self> {
        let number = |at| u32_at(bytes, at);
        let intact =
            bytes.starts_with(&MARKER) && number(20)? == header_crc(bytes.get(..20)?, id, offset);
        intact.then_some(Self {
            meta_len: number(4)?,
            body_len: number(8)?,
            meta_crc: number(12)?,
            body_crc: number(16)?,
        })
    }
}

fn header_crc(fields: &[u8], id: u64, offset: u64) -> u32 {
    let crc = crc32c::crc32c(&id.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
    crc32c::crc32c_append(crc, fields)
}

fn file_header(id: u64) -> [u8; FILE_HEADER_BYTES as usize] {
    let mut out = [0; FILE_HEADER_BYTES as usize];
    out[0..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    out[16..24].copy_from_slice(&id.to_le_bytes());
    let crc = crc32c::crc32c(&out[..28]);
    out[28..32].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The id in an intact header, `None` where the header is damaged.
fn parse_file_header(bytes: &[u8]) -> Result<Option<u64>, SegmentError> {
    let number = |at| u32_at(bytes, at).ok_or(SegmentError::NoHeader);
    if !bytes.starts_with(MAGIC) || number(28)? != crc32c::crc32c(&bytes[..28]) {
        return Ok(None);
    }
    match number(8)? {
        FORMAT => Ok(Some(u64::from(number(16)?) | u64::from(number(20)?) << 32)),
        found => Err(SegmentError::Newer { found }),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn to_usize(len: u64) -> Result<usize, SegmentError> {
    usize::try_from(len).or(Err(SegmentError::TooLarge { bytes: usize::MAX }))
}
