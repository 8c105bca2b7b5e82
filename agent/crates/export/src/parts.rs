//! A frame in parts: what is left to send of it, and what follows from a refusal.
//!
//! In: one frame and the destination's answers to its parts. Out: the next part to send, or to give up. What always
//! holds:
//!
//! - every record of the frame is in exactly one part that was acknowledged or given up when [`Next::Done`] comes;
//! - parts that are too large are halved, by records, and go on in order; a record alone is cut, again and again by half,
//!   before it is given up;
//! - parts whose data is refused are halved to find the record, the largest first, with at most [`SEARCH`] more requests
//!   for a frame; what is refused then is given up as a group. A frame with such a record may arrive out of order;
//! - a frame of another signal than logs is one part, whatever is said of it: it is small;
//! - nothing of it is kept on disk: a process that is killed in between sends the whole frame again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hawsepipe_model::codec::{self, CodecError, Compressor};
use hawsepipe_model::otlp::split::{Records, shorten};
use hawsepipe_model::{Codec, Frame, LossReason, Signal};
use tokio::time::sleep;

use crate::limits::Limits;

/// Requests that a frame may cost, beyond its own, to find the records whose data is refused. One bad record among 10,000
/// takes 28 (both halves at each of 14 levels).
pub(crate) const SEARCH: u32 = 64;

/// A record is cut at most so often: 1 GiB to 8 KiB is 17 times by half.
const CUTS: u32 = 20;

/// Whether a frame can be taken apart into records.
pub(crate) fn is_divisible(frame: &Frame) -> bool {
    frame.signal == Signal::Logs
}

/// Some records of a frame.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// They, as a frame that covers nothing.
    pub(crate) frame: Arc<Frame>,
    /// What was done to the one record of it.
    pub(crate) cut: Option<Cut>,
    /// It is sent as it is, whatever is known of limits: it cannot be split.
    unsplittable: bool,
}

impl Part {
    /// It, as it was before it was cut.
    pub(crate) fn whole(&self) -> &Frame {
        self.cut.as_ref().map_or(&self.frame, |cut| &cut.whole)
    }
}

/// A record that was cut.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// The part as it was.
    pub(crate) whole: Arc<Frame>,
    /// Bytes that are gone.
    pub(crate) bytes: u64,
    /// How often it was cut.
    times: u32,
    /// The destination's words that made it so.
    pub(crate) words: String,
}

/// A part and why it is not taken.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) part: Part,
    pub(crate) reason: LossReason,
    /// The destination's.
    pub(crate) words: String,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Send this.
    Send(Part),
    /// This is lost: count it.
    GiveUp(Refused),
    /// Everything is settled.
    Done,
}

/// What is left of one frame.
#[derive(Debug)]
pub(crate) struct Parts {
    pending: VecDeque<Part>,
    refused: Vec<Refused>,
    requests_left: u32,
}

impl Parts {
    /// The whole frame.
    pub(crate) fn of(frame: Arc<Frame>) -> Self {
        let whole = Part { frame, cut: None, unsplittable: false };
        Self { pending: VecDeque::from([whole]), refused: Vec::new(), requests_left: SEARCH }
    }

    /// The next part, small enough for `limits`, in `codec` or that of the frame.
    pub(crate) async fn next(&mut self, limits: &mut Limits, codec: Option<Codec>) -> Next {
        loop {
            if let Some(part) = self.pending.pop_front() {
                let sent_in = codec.unwrap_or(part.frame.codec);
                match limits.too_large(&part.frame, sent_in) {
                    Some(max) if !part.unsplittable => {
                        let how = How::Fitting(max);
                        if let Err(mut part) = self.split(part, how, codec).await {
                            part.unsplittable = true;
                            self.pending.push_front(part);
                        }
                        continue;
                    }
                    _ => return Next::Send(part),
                }
            }
            let largest =
                (0..self.refused.len()).max_by_key(|&index| self.refused[index].part.frame.records);
            let Some(index) = largest else { return Next::Done };
            let Refused { part, reason, mut words } = self.refused.swap_remove(index);
            if part.frame.records < 2 || part.unsplittable {
                return Next::GiveUp(Refused { part, reason, words });
            }
            if self.requests_left < 2 {
                let among = format!(
                    "; which of {} records was not found with {SEARCH} requests",
                    part.frame.records
                );
                words.push_str(&among);
                return Next::GiveUp(Refused { part, reason, words });
            }
            match self.split(part, How::Halves, codec).await {
                Ok(()) => self.requests_left -= 2,
                Err(part) => return Next::GiveUp(Refused { part, reason, words }),
            }
        }
    }

    /// The data of `part` is refused.
    pub(crate) fn refuse(&mut self, part: Part, reason: LossReason, words: String) {
        self.refused.push(Refused { part, reason, words });
    }

    /// `part` is too large: it is sent in two, or shorter. `told` is the size before compression that would do.
    pub(crate) async fn shrink(
        &mut self,
        part: Part,
        told: Option<usize>,
        codec: Option<Codec>,
        words: String,
    ) {
        let size = part.frame.uncompressed_len;
        let told = told.filter(|told| *told < size);
        let fitting = match told {
            Some(max) => self.split(part, How::Fitting(max), codec).await,
            None => Err(part),
        };
        let Err(part) = fitting else { return };
        let Err(part) = self.split(part, How::Halves, codec).await else { return };
        match cut(&part, told.unwrap_or(size / 2), codec, &words).await {
            Ok(Some(shorter)) => self.pending.push_front(shorter),
            Ok(None) => {
                let part = Part { unsplittable: true, ..part };
                self.refuse(part, LossReason::TooLarge, words);
            }
            Err(OutOfMemory) => self.again(part).await,
        }
    }

    /// `part` may be too large: two halves. It comes again whole when it cannot be halved.
    pub(crate) async fn halve(&mut self, part: Part, codec: Option<Codec>) {
        if let Err(part) = self.split(part, How::Halves, codec).await {
            self.pending.push_front(part);
        }
    }

    /// `part` comes again as it is, after a while.
    async fn again(&mut self, part: Part) {
        sleep(Duration::from_secs(1)).await;
        self.pending.push_front(part);
    }

    /// Puts parts of `part` where it was; or gives it back when it is no request, or has not two parts.
    async fn split(&mut self, part: Part, how: How, codec: Option<Codec>) -> Result<(), Part> {
        if !is_divisible(&part.frame) {
            return Err(part);
        }
        let whole = Arc::clone(&part.frame);
        let split = move || {
            let Some(plain) = open(&whole) else { return Ok(None) };
            let Ok(records) = Records::read(&plain) else { return Ok(None) };
            let ranges = match how {
                How::Halves => records.halves(),
                How::Fitting(max) => records.fitting(max),
            };
            if ranges.len() < 2 {
                return Ok(None);
            }
            let mut compressor = Compressor::new()?;
            let part = |range: Range<usize>| {
                let count = range.len() as u64;
                close(&whole, &records.encode(range), count, codec, &mut compressor)
            };
            ranges.into_iter().map(part).collect::<Result<Vec<_>, _>>().map(Some)
        };
        match off_the_async_threads(split).await {
            Ok(Some(frames)) => {
                for frame in frames.into_iter().rev() {
                    let frame = Arc::new(frame);
                    self.pending.push_front(Part { frame, cut: None, unsplittable: false });
                }
                Ok(())
            }
            Ok(None) => Err(part),
            Err(OutOfMemory) => {
                self.again(part).await;
                Ok(())
            }
        }
    }
}

/// Nothing else makes a compressor fail, and it passes: no word about the part.
#[derive(Debug)]
struct OutOfMemory;

impl From<CodecError> for OutOfMemory {
    fn from(_error: CodecError) -> Self {
        Self
    }
}

/// A frame takes milliseconds to decompress and to compress.
async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<Option<T>, OutOfMemory> + Send + 'static,
) -> Result<Option<T>, OutOfMemory> {
    // Work is not joined only when the runtime ends.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(OutOfMemory))
}

/// How to split.
#[derive(Debug, Clone, Copy)]
enum How {
    /// In two, by records.
    Halves,
    /// In parts of at most so many bytes before compression.
    Fitting(usize),
}

/// The one record of `part` with a body so much shorter that the request takes `max` bytes before compression; `None`
/// when it cannot be cut, or not any more.
async fn cut(
    part: &Part,
    max: usize,
    codec: Option<Codec>,
    words: &str,
) -> Result<Option<Part>, OutOfMemory> {
    let times = part.cut.as_ref().map_or(0, |cut| cut.times);
    if times >= CUTS || !is_divisible(&part.frame) {
        return Ok(None);
    }
    let frame = Arc::clone(&part.frame);
    let work = move || {
        let shorter = open(&frame).and_then(|plain| shorten(&plain, max).ok().flatten());
        let Some(shorter) = shorter else { return Ok(None) };
        let mut compressor = Compressor::new()?;
        let short = close(&frame, &shorter.request, 1, codec, &mut compressor)?;
        Ok(Some((short, shorter.cut)))
    };
    let Some((short, bytes)) = off_the_async_threads(work).await? else { return Ok(None) };
    let cut = Cut {
        whole: part.cut.as_ref().map_or(&part.frame, |cut| &cut.whole).clone(),
        bytes: part.cut.as_ref().map_or(0, |cut| cut.bytes) + bytes,
        times: times + 1,
        words: words.to_owned(),
    };
    Ok(Some(Part { frame: Arc::new(short), cut: Some(cut), unsplittable: true }))
}

fn open(frame: &Frame) -> Option<Vec<u8>> {
    codec::decompress(frame.codec, &frame.payload, frame.uncompressed_len).ok()
}

fn close(
    whole: &Frame,
    request: &[u8],
    records: u64,
    codec: Option<Codec>,
    compressor: &mut Compressor,
) -> Result<Frame, OutOfMemory> {
    let codec = codec.unwrap_or(whole.codec);
    let payload = compressor.compress(codec, request)?;
    // What the frame covers and loses is settled with the frame, and what it holds is said of all of it.
    Ok(Frame {
        signal: whole.signal,
        codec,
        uncompressed_len: request.len(),
        records,
        payload: Bytes::from(payload),
        covers: Vec::new(),
        tallies: Vec::new(),
        losses: Vec::new(),
        replaces: Vec::new(),
    })
}
