//! A file that the kubelet has compressed. It can be read forwards alone, and its decoder takes memory: that is made when
//! the file's turn comes, and skips what was read before.

use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use hawsepipe_model::Position;

use super::{FINGERPRINT, Filled, fingerprint_of_head};
use crate::files::{OpenFile, OpenFiles, fill};

#[derive(Debug)]
pub(super) enum Compressed {
    /// To be gone on with from the segment's offset.
    Waiting(Option<OpenFile>, Expected),
    Reading(Box<Inflated>),
    Broken,
}

/// The bytes before `at`, which is not before the segment's offset, have this CRC32C; 0: whatever they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected {
    pub(super) at: u64,
    pub(super) before: u32,
}

#[derive(Debug)]
pub(super) struct Inflated {
    decoder: MultiGzDecoder<BufReader<OpenFile>>,
    /// What was read and not used.
    carry: Vec<u8>,
    /// The last bytes that were used.
    tail: Vec<u8>,
    ended: bool,
}

impl Default for Compressed {
    fn default() -> Self {
        Self::Waiting(None, Expected::default())
    }
}

impl Compressed {
    pub(super) fn file(&self) -> Option<&OpenFile> {
        match self {
            Self::Waiting(file, _) => file.as_ref(),
            Self::Reading(inflated) => Some(inflated.decoder.get_ref().get_ref()),
            Self::Broken => None,
        }
    }

    pub(super) fn opened(&mut self, file: OpenFile) {
        if let Self::Waiting(waiting, _) = self {
            *waiting = Some(file);
        }
    }

    /// Its decoder goes too; it is made again and skips what was read, up to `offset`.
    pub(super) fn close(&mut self, offset: u64) {
        *self = match self {
            Self::Waiting(_, expected) => Self::Waiting(None, *expected),
            Self::Reading(inflated) => {
                Self::Waiting(None, Expected { at: offset, before: inflated.fingerprint() })
            }
            Self::Broken => Self::Broken,
        };
    }

    /// What must be in it.
    pub(super) fn expect(&mut self, what: Expected) {
        if let Self::Waiting(_, expected) = self {
            *expected = what;
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Reading(inflated) if inflated.ended)
    }

    /// The decoder, at the segment's offset. When the bytes before it are not those that were read, the file is another
    /// one: it is read from its beginning, better twice than not at all.
    pub(super) fn reading(
        &mut self,
        offset: &mut u64,
        covered: &mut Position,
    ) -> io::Result<&mut Inflated> {
        if let Self::Waiting(..) = self
            && let Self::Waiting(Some(file), Expected { at, before }) =
                std::mem::replace(self, Self::Broken)
        {
            let mut inflated = Inflated::new(file)?;
            if before != 0 {
                inflated.skip(at)?;
                if inflated.fingerprint() != before {
                    tracing::warn!(
                        "a compressed log file is not the one that was read before, reading it from \
                         its beginning"
                    );
                    (*offset, *covered) = (0, Position::default());
                }
            }
            if before == 0 || at != *offset {
                inflated = Inflated::new(inflated.decoder.into_inner().into_inner())?;
                inflated.skip(*offset)?;
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
    fn new(mut file: OpenFile) -> io::Result<Self> {
        io::Seek::rewind(&mut file)?;
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, file));
        Ok(Self { decoder, carry: Vec::new(), tail: Vec::new(), ended: false })
    }

    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<Filled> {
        let kept = self.carry.len();
        buffer[..kept].copy_from_slice(&self.carry);
        self.carry.clear();
        let decoder = &mut self.decoder;
        let len = kept + fill(&mut buffer[kept..], |part, _| decoder.read(part))?;
        self.ended = len < buffer.len();
        Ok(Filled { len, at_end: self.ended })
    }

    pub(super) fn advance(&mut self, read: &[u8], used: usize) {
        self.carry.extend_from_slice(&read[used..]);
        keep_tail(&mut self.tail, &read[..used]);
    }

    /// CRC32C of the last bytes that were used.
    pub(super) fn fingerprint(&self) -> u32 {
        crc32c::crc32c(&self.tail)
    }

    fn skip(&mut self, mut left: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = fill(&mut buffer[..len], |part, _| self.decoder.read(part))?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            keep_tail(&mut self.tail, &buffer[..read]);
            left -= read as u64;
        }
        Ok(())
    }
}

/// Of a compressed file, before anything else is read of it: its first line's fingerprint, where it has a whole one.
///
/// # Errors
/// When it cannot be opened. That it is corrupt shows when it is read.
pub(crate) fn compressed_head(path: &Path, files: &OpenFiles) -> io::Result<Option<u32>> {
    let Some((file, _)) = files.open(path)? else { return Ok(None) };
    let mut bytes = [0; FINGERPRINT];
    let mut decoder = MultiGzDecoder::new(BufReader::new(file));
    let Ok(len) = fill(&mut bytes, |part, _| decoder.read(part)) else { return Ok(None) };
    Ok(fingerprint_of_head(&bytes[..len]))
}

/// What a compressed file says of its length before compression, modulo 2^32 (`ISIZE`, RFC 1952).
pub(super) fn inflated_len(file: &OpenFile) -> io::Result<u32> {
    let mut bytes = [0; 4];
    let end = file.metadata()?.len();
    if file.read_at(&mut bytes, end.saturating_sub(4))? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(u32::from_le_bytes(bytes))
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
