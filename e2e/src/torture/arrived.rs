//! What the receiver holds, noted as it is read: nothing is kept of a line but its number.
//!
//! In: what `hawsepipe logs` prints, one line after the other, in the order in which the receiver
//! got them. Out: [`Arrived`].

use std::collections::{BTreeMap, HashMap};

use crate::torture::line::{self, Line, Run};
use crate::torture::ranges::Ranges;
use crate::torture::written::Container;

/// How many examples of a trouble are kept.
const EXAMPLES: usize = 5;

/// Everything that arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// By `NAMESPACE/POD/CONTAINER`, as the lines say.
    containers: HashMap<String, ContainerLines>,
    /// Lines, doubled ones too.
    pub(crate) total: u64,
    /// Lines, each once; set when all of them were read.
    pub(crate) distinct: u64,
    /// Whole lines that had come before.
    pub(crate) doubled: u64,
    /// First occurrences behind a later line, in a stretch that was read again (it holds doubled
    /// lines).
    pub(crate) late: u64,
    /// First occurrences behind a later line, in a stretch of new lines alone: out of order.
    pub(crate) disordered: u64,
    /// Where the first of these were.
    pub(crate) disorder: Vec<String>,
    /// Lines without the prefix that says whose they are.
    pub(crate) strange: Vec<String>,
}

/// What arrived of a container.
#[derive(Debug, Default)]
pub(crate) struct ContainerLines {
    /// Whole lines.
    pub(crate) runs: BTreeMap<Run, Stream>,
    /// Lines that are not whole, by fingerprint, with an example of what they look like.
    pub(crate) fragments: BTreeMap<u64, Fragment>,
}

/// A line that is not whole.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// What it looks like, shortened.
    pub(crate) shown: String,
    /// Whether it is the beginning of a line.
    pub(crate) is_beginning: bool,
}

/// One output stream of one run.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// What came.
    pub(crate) numbers: Ranges,
    last: u64,
    /// Since the numbers went back: new ones and known ones.
    stretch: Option<(u64, u64)>,
}

impl Arrived {
    /// A line of the output: `[NAMESPACE/POD/CONTAINER] BODY`.
    pub(crate) fn line(&mut self, printed: &[u8]) {
        self.total += 1;
        let split = printed.iter().position(|byte| *byte == b']').filter(|_| printed[0] == b'[');
        let parts = split.and_then(|end| {
            let name = std::str::from_utf8(&printed[1..end]).ok()?;
            Some((name, printed.get(end + 2..)?))
        });
        let Some((name, body)) = parts else {
            example(&mut self.strange, || shown(printed));
            return;
        };
        if !self.containers.contains_key(name) {
            self.containers.insert(name.to_owned(), ContainerLines::default());
        }
        let Some(container) = self.containers.get_mut(name) else { return };
        let Some(Line { run, number }) = Line::parse(body) else {
            let is_beginning = line::is_beginning(body) || line::is_torn_head(body);
            let fragment = || Fragment { shown: shown(body), is_beginning };
            container.fragments.entry(line::fingerprint(body)).or_insert_with(fragment);
            return;
        };
        let stream = container.runs.entry(run).or_default();
        let new = stream.numbers.insert(number);
        if !new {
            self.doubled += 1;
        }
        match stream.see(number, new) {
            None => {}
            Some((late, 0)) => {
                self.disordered += late;
                example(&mut self.disorder, || format!("{name}, {run}: before {number}"));
            }
            Some((late, _)) => self.late += late,
        }
    }

    /// What arrived of containers of a namespace.
    pub(crate) fn of(&mut self, namespace: &str) -> BTreeMap<Container, ContainerLines> {
        let mut found = BTreeMap::new();
        for (name, mut lines) in std::mem::take(&mut self.containers) {
            let mut words = name.split('/');
            let (Some(of), Some(pod), Some(container)) = (words.next(), words.next(), words.next())
            else {
                example(&mut self.strange, || name.clone());
                continue;
            };
            if of != namespace {
                example(&mut self.strange, || name.clone());
                continue;
            }
            for (run, stream) in &mut lines.runs {
                match stream.stretch.take() {
                    None => {}
                    Some((late, 0)) => {
                        self.disordered += late;
                        example(&mut self.disorder, || format!("{name}, {run}: at the end"));
                    }
                    Some((late, _)) => self.late += late,
                }
            }
            let container = Container { pod: pod.to_owned(), name: container.to_owned() };
            found.insert(container, lines);
        }
        found
    }
}

impl Stream {
    /// Takes note of the next number; gives a stretch that ended with it.
    fn see(&mut self, number: u64, new: bool) -> Option<(u64, u64)> {
        let ahead = self.numbers.last() == Some(number) && new;
        let back = number <= self.last;
        self.last = number;
        if ahead {
            return self.stretch.take().filter(|(late, _)| *late > 0);
        }
        let ended = if back { self.stretch.take().filter(|(late, _)| *late > 0) } else { None };
        let (late, doubled) = self.stretch.get_or_insert((0, 0));
        *(if new { late } else { doubled }) += 1;
        ended
    }
}

fn example(examples: &mut Vec<String>, text: impl FnOnce() -> String) {
    if examples.len() < EXAMPLES {
        examples.push(text());
    }
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(100)]).into_owned();
    format!("{text:?} ({} bytes)", line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[u64]) -> Arrived {
        let mut arrived = Arrived::default();
        for number in numbers {
            arrived.line(format!("[ns/pod/c] 0a1b2c3d o {number:04} 26 fillin.").as_bytes());
        }
        let containers = arrived.of("ns");
        assert_eq!(containers.len(), 1);
        arrived
    }

    #[test]
    fn lines_read_again_are_doubled_not_disordered() {
        let arrived = of(&[1, 2, 3, 4, 2, 3, 4, 5, 6]);
        assert_eq!((arrived.total, arrived.doubled), (9, 3));
        assert_eq!((arrived.late, arrived.disordered), (0, 0));
    }

    #[test]
    fn a_gap_that_is_filled_by_reading_again_is_late() {
        let arrived = of(&[1, 2, 5, 6, 3, 4, 5, 6, 7]);
        assert_eq!((arrived.doubled, arrived.late, arrived.disordered), (2, 2, 0));
    }

    #[test]
    fn new_lines_behind_later_ones_are_out_of_order() {
        for numbers in [&[1, 2, 5, 6, 3, 4, 7][..], &[1, 2, 5, 6, 3, 4]] {
            let arrived = of(numbers);
            assert_eq!((arrived.doubled, arrived.late, arrived.disordered), (0, 0, 2));
            assert_eq!(arrived.disorder.len(), 1);
        }
    }

    #[test]
    fn what_is_not_whole_is_kept_apart() {
        let mut arrived = Arrived::default();
        arrived.line(b"[ns/pod/c] 0a1b2c3d o 1");
        arrived.line(b"no prefix");
        arrived.line(b"[other/pod/c] x");
        arrived.line(b"");
        let containers = arrived.of("ns");
        assert_eq!(containers.values().map(|lines| lines.fragments.len()).sum::<usize>(), 1);
        assert_eq!(arrived.strange.len(), 3);
    }
}
