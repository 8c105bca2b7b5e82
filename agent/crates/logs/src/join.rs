//! From physical lines to records: partial lines are joined, for each output stream apart.
//!
//! In: physical lines of one container in file order, whole or in pieces. Out: what the container wrote as one
//! line, at most `cap` bytes of it, with the whole length. Always: a partial line of stdout does not mix with
//! stderr's; no more than `cap` bytes are held for each output.

use hawsepipe_model::Position;
use hawsepipe_model::otlp::Stream;

use crate::cri::{self, CriLine};
use crate::docker::{self, DockerLine};
use crate::time::TimeParser;

/// A line as the container wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Of its first piece; 0 for a line that is not CRI.
    pub(crate) time_unix_nano: u64,
    /// `None` for a line that is not CRI.
    pub(crate) stream: Option<Stream>,
    /// At most the cap's bytes.
    pub(crate) content: &'a [u8],
    /// Bytes that the container wrote.
    pub(crate) original: u64,
}

/// Where pieces are gathered: one place for each output, one for lines that are not CRI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Stdout = 0,
    Stderr = 1,
    Raw = 2,
}

impl From<Stream> for Slot {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    /// Whether a line is open here.
    open: bool,
    time_unix_nano: u64,
    /// Where its first physical line begins in the segment; 0 when it began in the segment before.
    at: u64,
    /// It began in a segment before this one.
    carried: bool,
    content: Vec<u8>,
    original: u64,
}

/// A physical line that is longer than one read.
#[derive(Debug, Clone, Copy)]
struct Long {
    slot: Slot,
    /// Whether the line ends with its newline, or goes on in the next physical line.
    partial: bool,
    /// Whether it is passed over.
    outside: bool,
}

/// Joins the lines of one container.
#[derive(Debug)]
pub(crate) struct Joiner {
    cap: usize,
    times: TimeParser,
    pending: [Pending; 3],
    long: Option<Long>,
    /// What of the segment at hand was covered before: lines of an output that begin before it are passed over.
    covered: Position,
    /// So are lines that begin behind this.
    until: Position,
}

/// Behind every line of every file.
const END: Position = Position { stdout: u64::MAX, stderr: u64::MAX };

impl Joiner {
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            times: TimeParser::default(),
            pending: Default::default(),
            long: None,
            covered: Position::default(),
            until: END,
        }
    }

    /// Begins a segment, of which this much was covered before. Lines that are open go on in it.
    pub(crate) fn begin_segment(&mut self, covered: Position) {
        self.begin_range(covered, END);
    }

    /// Begins a segment, of which this much was covered before and nothing is wanted from `until` on.
    pub(crate) fn begin_range(&mut self, covered: Position, until: Position) {
        (self.covered, self.until) = (covered, until);
        for pending in &mut self.pending {
            pending.carried = pending.open;
            pending.at = 0;
        }
    }

    /// Whether a line is open.
    pub(crate) fn is_open(&self) -> bool {
        self.pending.iter().any(|pending| pending.open)
    }

    /// Whether a line of stdout, and of stderr, is open that began in a segment before the one at hand. One that is not
    /// CRI holds up both.
    pub(crate) fn carried(&self) -> (bool, bool) {
        let carried = |slot: Slot| {
            let pending = &self.pending[slot as usize];
            pending.open && pending.carried
        };
        let raw = carried(Slot::Raw);
        (raw || carried(Slot::Stdout), raw || carried(Slot::Stderr))
    }

    /// Whether a line that begins at `at` is to be passed over. One that is not CRI was covered, when it lies before both.
    fn is_outside(&self, slot: Slot, at: u64) -> bool {
        let of = |position: Position| match slot {
            Slot::Stdout => position.stdout,
            Slot::Stderr => position.stderr,
            Slot::Raw => position.upper(),
        };
        at < of(self.covered) || at >= of(self.until)
    }

    /// A whole physical line, without its newline, that begins at offset `at`.
    pub(crate) fn whole(&mut self, line: &[u8], at: u64, emit: &mut impl FnMut(Line<'_>)) {
        if let Some(parsed) = cri::parse(line, &mut self.times) {
            self.piece(parsed, at, emit);
        } else if line.first() == Some(&b'{')
            && let Some(parsed) = docker::parse(line, &mut self.times)
        {
            let DockerLine { time_unix_nano, stream, partial, content } = parsed;
            let content = content.as_bytes();
            self.piece(CriLine { time_unix_nano, stream, partial, content }, at, emit);
        } else if !self.is_outside(Slot::Raw, at) {
            emit(cut(0, None, line, self.cap));
        }
    }

    /// What a runtime wrote of a container's line.
    fn piece(&mut self, parsed: CriLine<'_>, at: u64, emit: &mut impl FnMut(Line<'_>)) {
        let slot = Slot::from(parsed.stream);
        if self.is_outside(slot, at) {
            return;
        }
        if !parsed.partial && !self.pending[slot as usize].open {
            emit(cut(parsed.time_unix_nano, Some(parsed.stream), parsed.content, self.cap));
            return;
        }
        self.append(slot, parsed.time_unix_nano, at, parsed.content);
        if !parsed.partial {
            self.emit(slot, emit);
        }
    }

    /// Whether a physical line is open whose end has not been read.
    pub(crate) fn is_long(&self) -> bool {
        self.long.is_some()
    }

    /// The beginning of a physical line that is longer than one read.
    pub(crate) fn open_long(&mut self, piece: &[u8], at: u64) {
        let parsed = cri::parse(piece, &mut self.times);
        let (slot, time, partial, content) = match parsed {
            Some(line) => (line.stream.into(), line.time_unix_nano, line.partial, line.content),
            None => (Slot::Raw, 0, false, piece),
        };
        let outside = self.is_outside(slot, at);
        if !outside {
            self.append(slot, time, at, content);
        }
        self.long = Some(Long { slot, partial, outside });
    }

    /// More of that line.
    pub(crate) fn extend_long(&mut self, piece: &[u8]) {
        if let Some(long) = self.long
            && !long.outside
        {
            self.append(long.slot, 0, 0, piece);
        }
    }

    /// That line's newline.
    pub(crate) fn close_long(&mut self, emit: &mut impl FnMut(Line<'_>)) {
        if let Some(long) = self.long.take()
            && !long.partial
            && !long.outside
        {
            self.emit(long.slot, emit);
        }
    }

    /// The container's run is over: lines without an end are delivered as far as they came.
    pub(crate) fn flush(&mut self, emit: &mut impl FnMut(Line<'_>)) {
        self.long = None;
        for slot in [Slot::Stdout, Slot::Stderr, Slot::Raw] {
            if self.pending[slot as usize].open {
                self.emit(slot, emit);
            }
        }
    }

    /// The position when everything before `offset` was read: an open line is not covered, from its first piece on.
    pub(crate) fn position(&self, offset: u64) -> Position {
        let raw = &self.pending[Slot::Raw as usize];
        let from = |slot: Slot| {
            let pending = &self.pending[slot as usize];
            let own = if pending.open { pending.at } else { offset };
            if raw.open { own.min(raw.at) } else { own }
        };
        Position {
            stdout: from(Slot::Stdout).max(self.covered.stdout),
            stderr: from(Slot::Stderr).max(self.covered.stderr),
        }
    }

    fn append(&mut self, slot: Slot, time_unix_nano: u64, at: u64, content: &[u8]) {
        let pending = &mut self.pending[slot as usize];
        if !pending.open {
            pending.open = true;
            pending.carried = false;
            pending.time_unix_nano = time_unix_nano;
            pending.at = at;
        }
        // One byte more than the cap is kept, so that a character across the cut is seen to be cut.
        let room = (self.cap + 1).saturating_sub(pending.content.len());
        pending.content.extend_from_slice(&content[..content.len().min(room)]);
        pending.original += content.len() as u64;
    }

    fn emit(&mut self, slot: Slot, emit: &mut impl FnMut(Line<'_>)) {
        let cap = self.cap;
        let pending = &mut self.pending[slot as usize];
        let stream = match slot {
            Slot::Stdout => Some(Stream::Stdout),
            Slot::Stderr => Some(Stream::Stderr),
            Slot::Raw => None,
        };
        let line = Line {
            original: pending.original,
            ..cut(pending.time_unix_nano, stream, &pending.content, cap)
        };
        emit(line);
        // The memory of a usual partial line is kept for the next; that of a huge one is given back.
        if pending.content.capacity() > 64 << 10 {
            pending.content = Vec::new();
        }
        pending.content.clear();
        pending.original = 0;
        pending.open = false;
    }
}

fn cut(time_unix_nano: u64, stream: Option<Stream>, content: &[u8], cap: usize) -> Line<'_> {
    let original = content.len() as u64;
    let content = &content[..content.len().min(cap)];
    Line { time_unix_nano, stream, content, original }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Out = (Option<Stream>, Vec<u8>, u64);

    fn run(cap: usize, lines: &[&str]) -> Vec<Out> {
        let mut joiner = Joiner::new(cap);
        let mut out = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            joiner.whole(line.as_bytes(), index as u64, &mut |line| {
                out.push((line.stream, line.content.to_vec(), line.original));
            });
        }
        out
    }

    #[test]
    fn partial_lines_of_two_outputs_do_not_mix() {
        let out = run(
            100,
            &[
                "2016-10-06T00:17:09Z stdout P a",
                "2016-10-06T00:17:09Z stderr P x",
                "2016-10-06T00:17:09Z stdout P b",
                "2016-10-06T00:17:09Z stderr F y",
                "2016-10-06T00:17:09Z stdout F c",
            ],
        );
        assert_eq!(
            out,
            [(Some(Stream::Stderr), b"xy".to_vec(), 2), (Some(Stream::Stdout), b"abc".to_vec(), 3)]
        );
    }

    #[test]
    fn the_cap_is_applied_after_joining_and_the_whole_length_is_kept() {
        let part = format!("2016-10-06T00:17:09Z stdout P {}", "x".repeat(60));
        let last = format!("2016-10-06T00:17:09Z stdout F {}", "x".repeat(60));
        let out = run(100, &[&part, &last, "2016-10-06T00:17:09Z stdout F next"]);
        assert_eq!(out[0], (Some(Stream::Stdout), vec![b'x'; 100], 120));
        assert_eq!(out[1], (Some(Stream::Stdout), b"next".to_vec(), 4));
    }

    #[test]
    fn an_open_line_is_not_covered_and_the_other_output_is() {
        let mut joiner = Joiner::new(100);
        let none = &mut |_: Line<'_>| {};
        joiner.whole(b"2016-10-06T00:17:09Z stdout P a", 10, none);
        joiner.whole(b"2016-10-06T00:17:09Z stderr F b", 50, none);
        assert_eq!(joiner.position(90), Position { stdout: 10, stderr: 90 });
        joiner.whole(b"2016-10-06T00:17:09Z stdout F c", 90, none);
        assert_eq!(joiner.position(130), Position { stdout: 130, stderr: 130 });
    }

    #[test]
    fn a_line_longer_than_a_read_holds_no_more_than_the_cap() {
        let mut joiner = Joiner::new(1000);
        let mut out = Vec::new();
        joiner.open_long(b"2016-10-06T00:17:09Z stdout F start", 0);
        for _ in 0..1000 {
            joiner.extend_long(&[b'x'; 1000]);
        }
        assert!(joiner.pending[0].content.capacity() < 4000);
        joiner.close_long(&mut |line| out.push((line.content.len(), line.original)));
        assert_eq!(out, [(1000, 1_000_005)]);
        assert!(!joiner.is_long());
    }

    proptest! {
        #[test]
        fn prop_pieces_give_what_was_written(
            written in proptest::collection::vec(
                (any::<bool>(), proptest::collection::vec("[a-z]{0,20}", 1..5)), 1..30),
        ) {
            let mut joiner = Joiner::new(1 << 20);
            let mut out: Vec<(bool, String)> = Vec::new();
            let mut emit = |line: Line<'_>| {
                let text = String::from_utf8(line.content.to_vec()).unwrap();
                out.push((line.stream == Some(Stream::Stderr), text));
            };
            for (stderr, pieces) in &written {
                let name = if *stderr { "stderr" } else { "stdout" };
                for (index, piece) in pieces.iter().enumerate() {
                    let tag = if index + 1 == pieces.len() { 'F' } else { 'P' };
                    let line = format!("2016-10-06T00:17:09Z {name} {tag} {piece}");
                    // A read may end anywhere behind the line's head.
                    let head = line.len() - piece.len();
                    if index % 2 == 0 {
                        joiner.whole(line.as_bytes(), 0, &mut emit);
                    } else {
                        joiner.open_long(&line.as_bytes()[..head], 0);
                        joiner.extend_long(&line.as_bytes()[head..]);
                        joiner.close_long(&mut emit);
                    }
                }
            }
            let expected: Vec<_> =
                written.iter().map(|(stderr, pieces)| (*stderr, pieces.concat())).collect();
            prop_assert_eq!(out, expected);
        }
    }
}
