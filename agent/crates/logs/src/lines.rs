//! From the bytes of a segment to lines.
//!
//! In: chunks as they were read. Out: physical lines to the [`Joiner`], whole or, where one is longer than a chunk, in
//! pieces. Always: no byte is handed on twice, and no more is held than the joiner does.

use std::io;

use crate::join::{Joiner, Line};
use crate::segment::{Filled, Segment};

/// What became of a chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Consumed {
    /// Bytes that are done with.
    pub(crate) used: usize,
    /// Bytes among them that are a hole in the file.
    pub(crate) nul: u64,
}

/// Hands on the whole lines of a chunk that was read at `base`.
pub(crate) fn consume(
    joiner: &mut Joiner,
    chunk: &[u8],
    base: u64,
    at_end: bool,
    emit: &mut impl FnMut(Line<'_>),
) -> Consumed {
    let (mut start, mut nul) = (0, 0);
    if joiner.is_long() {
        let Some(newline) = memchr::memchr(b'\n', chunk) else {
            joiner.extend_long(chunk);
            return Consumed { used: chunk.len(), nul };
        };
        joiner.extend_long(&chunk[..newline]);
        joiner.close_long(emit);
        start = newline + 1;
    }
    loop {
        if chunk.get(start) == Some(&0) {
            // A hole that a power cut left; no runtime begins a line with NUL.
            let run = chunk[start..].iter().take_while(|byte| **byte == 0).count();
            nul += run as u64;
            start += run;
        }
        let Some(len) = memchr::memchr(b'\n', &chunk[start..]) else {
            break;
        };
        joiner.whole(&chunk[start..start + len], base + start as u64, emit);
        start += len + 1;
    }
    if start == 0 && !at_end {
        joiner.open_long(chunk, base);
        start = chunk.len();
    }
    Consumed { used: start, nul }
}

/// Hands on what stands behind the last newline, when nothing will follow it.
pub(crate) fn consume_last(
    joiner: &mut Joiner,
    rest: &[u8],
    base: u64,
    emit: &mut impl FnMut(Line<'_>),
) {
    if joiner.is_long() {
        joiner.extend_long(rest);
    } else if !rest.is_empty() {
        joiner.whole(rest, base, emit);
    }
    joiner.close_long(emit);
}

/// Reads a segment from its offset up to `end`, or as far as it goes; whether it went so far. A last line without a
/// newline is handed on.
pub(crate) fn drain(
    segment: &mut Segment,
    end: u64,
    joiner: &mut Joiner,
    chunk: &mut [u8],
    emit: &mut impl FnMut(Line<'_>),
) -> io::Result<bool> {
    while segment.offset < end {
        let Filled { len, at_end } = segment.read(chunk)?;
        let left = usize::try_from(end - segment.offset).unwrap_or(usize::MAX);
        let (read, last) = (&chunk[..len.min(left)], at_end || len >= left);
        let mut used = consume(joiner, read, segment.offset, last, emit).used;
        if last {
            consume_last(joiner, &read[used..], segment.offset + used as u64, emit);
            used = read.len();
        }
        segment.advance(read, used, at_end);
        if last {
            break;
        }
    }
    Ok(segment.offset >= end)
}
