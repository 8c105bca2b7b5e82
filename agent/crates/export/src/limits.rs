//! The largest request that a destination takes, as far as refusals have shown it.
//!
//! In: requests that were refused for their size. Out: how small a frame's parts must be, before they are sent. A limit
//! doubles every hour: one request an hour finds out that a server was given more, or that a proxy is gone.

use std::time::Duration;

use hawsepipe_model::{Codec, Frame, Measured};
use tokio::time::Instant;

/// How long a limit holds before it is doubled.
const RELAX: Duration = Duration::from_secs(3600);

/// A limit that has grown to this is none: frames are about 1 MiB, and one record is at most a few.
const FORGET: usize = 256 * 1024 * 1024;

/// What is known of one destination.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    plain: Option<Limit>,
    wire: Option<Limit>,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: usize,
    since: Instant,
}

/// A frame's size as it travels to a destination that takes `codec`.
fn wire_len(frame: &Frame, codec: Codec) -> usize {
    if codec == Codec::Identity { frame.uncompressed_len } else { frame.payload.len() }
}

impl Limits {
    /// `frame` was refused for its size, with the word that `told` would do. Without such a word half of what was
    /// refused is taken for the limit, which is off by a factor of two at most, and on the safe side.
    pub(crate) fn learn(
        &mut self,
        frame: &Frame,
        codec: Codec,
        told: Option<usize>,
        measured: Measured,
    ) {
        let (slot, refused) = match measured {
            Measured::Plain => (&mut self.plain, frame.uncompressed_len),
            Measured::Wire => (&mut self.wire, wire_len(frame, codec)),
        };
        let bytes = match (told, *slot) {
            (Some(told), _) if told < refused => told,
            // What was known explains the refusal.
            (_, Some(known)) if known.bytes < refused => return,
            _ => (refused / 2).max(1),
        };
        *slot = Some(Limit { bytes, since: Instant::now() });
    }

    /// `None` when `frame` is small enough as far as is known; else the size before compression that its parts must
    /// not exceed.
    pub(crate) fn too_large(&mut self, frame: &Frame, codec: Codec) -> Option<usize> {
        relax(&mut self.plain);
        relax(&mut self.wire);
        let plain_len = frame.uncompressed_len;
        let plain = self.plain.filter(|limit| plain_len > limit.bytes).map(|limit| limit.bytes);
        let wire_len = wire_len(frame, codec);
        let wire = self.wire.filter(|limit| wire_len > limit.bytes).map(|limit| {
            // Parts compress a little worse than the whole.
            (plain_len as f64 * 0.9 * limit.bytes as f64 / wire_len as f64) as usize
        });
        plain.into_iter().chain(wire).min()
    }

    /// The smallest limit that holds now, in bytes, for a person.
    pub(crate) fn smallest(&self) -> Option<u64> {
        self.plain.into_iter().chain(self.wire).map(|limit| limit.bytes as u64).min()
    }
}

fn relax(slot: &mut Option<Limit>) {
    if let Some(limit) = slot {
        while limit.since.elapsed() >= RELAX && limit.bytes < FORGET {
            limit.bytes *= 2;
            limit.since += RELAX;
        }
        if limit.bytes >= FORGET {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use hawsepipe_model::Signal;

    use super::*;

    fn frame(plain: usize, wire: usize) -> Frame {
        Frame {
            signal: Signal::Logs,
            codec: Codec::Zstd,
            uncompressed_len: plain,
            records: 10,
            payload: vec![0; wire].into(),
            ..Frame::note(Vec::new(), Vec::new(), Vec::new())
        }
    }

    #[test]
    fn a_limit_that_was_told_is_the_limit() {
        let mut limits = Limits::default();
        let large = frame(6_000_000, 500_000);
        assert_eq!(limits.too_large(&large, Codec::Zstd), None);
        limits.learn(&large, Codec::Zstd, Some(4_194_304), Measured::Plain);
        assert_eq!(limits.too_large(&large, Codec::Zstd), Some(4_194_304));
        assert_eq!(limits.too_large(&frame(4_194_304, 500_000), Codec::Zstd), None);
    }

    #[test]
    fn a_limit_that_was_not_told_is_found_by_halving() {
        let mut limits = Limits::default();
        limits.learn(&frame(1_000_000, 1), Codec::Zstd, None, Measured::Plain);
        assert_eq!(limits.smallest(), Some(500_000));
        // Known already: nothing new in it.
        limits.learn(&frame(700_000, 1), Codec::Zstd, None, Measured::Plain);
        assert_eq!(limits.smallest(), Some(500_000));
        limits.learn(&frame(400_000, 1), Codec::Zstd, None, Measured::Plain);
        assert_eq!(limits.smallest(), Some(200_000));
    }

    #[test]
    fn what_a_proxy_measures_is_what_travels() {
        let mut limits = Limits::default();
        limits.learn(&frame(1_000_000, 200_000), Codec::Zstd, None, Measured::Wire);
        assert_eq!(limits.too_large(&frame(1_000_000, 90_000), Codec::Zstd), None);
        assert_eq!(limits.too_large(&frame(1_000_000, 200_000), Codec::Zstd), Some(450_000));
        assert_eq!(limits.too_large(&frame(1_000_000, 90_000), Codec::Identity), Some(90_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_doubles_every_hour_until_it_is_none() {
        let mut limits = Limits::default();
        let large = frame(1_000_000, 1000);
        limits.learn(&large, Codec::Zstd, Some(300_000), Measured::Plain);
        tokio::time::advance(RELAX - Duration::from_secs(1)).await;
        assert_eq!(limits.too_large(&large, Codec::Zstd), Some(300_000));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(limits.too_large(&large, Codec::Zstd), Some(600_000));
        tokio::time::advance(RELAX).await;
        assert_eq!(limits.too_large(&large, Codec::Zstd), None);
        tokio::time::advance(RELAX * 20).await;
        limits.too_large(&large, Codec::Zstd);
        assert_eq!(limits.smallest(), None);
    }
}
