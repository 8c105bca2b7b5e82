//! The truth: what the containers wrote and what could be read in their files.

use std::collections::{BTreeMap, BTreeSet};

use crate::torture::line::{self, Line, Run};
use crate::torture::ranges::Ranges;

/// A container of a pod; all pods are of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Container {
    /// Pod name.
    pub(crate) pod: String,
    /// Container name.
    pub(crate) name: String,
}

/// Everything that was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Whole lines.
    pub(crate) lines: BTreeMap<Container, BTreeMap<Run, Ranges>>,
    /// Lines that are not whole because their writer was ended in the middle; by fingerprint.
    pub(crate) fragments: BTreeSet<(Container, u64)>,
    /// Pieces whose last one never came, put together: whoever reads may ship them or not.
    pub(crate) open_ends: BTreeSet<(Container, u64)>,
    /// What is left of lines in pieces when the file is deleted unread that their beginning is in; by fingerprint.
    pub(crate) tails: BTreeSet<(Container, u64)>,
    /// What the watcher did not see in time, as sentences. The truth is not known then.
    pub(crate) missed: Vec<String>,
    /// What is no log line, shortened.
    pub(crate) strange: Vec<String>,
    /// Whole lines that were found before.
    pub(crate) repeated: u64,
    /// Files that were read.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Written {
    /// A line, joined from its pieces, and where they begin.
    pub(crate) fn line(&mut self, container: &Container, body: &[u8], cuts: &[usize]) {
        for cut in cuts {
            let tail = line::fingerprint(body.get(*cut..).unwrap_or_default());
            self.tails.insert((container.clone(), tail));
        }
        let Some(Line { run, number }) = Line::parse(body) else {
            self.fragments.insert((container.clone(), line::fingerprint(body)));
            return;
        };
        if !self.lines.contains_key(container) {
            self.lines.insert(container.clone(), BTreeMap::new());
        }
        let runs = self.lines.get_mut(container);
        let new = runs.is_some_and(|runs| runs.entry(run).or_default().insert(number));
        self.repeated += u64::from(!new);
    }

    /// How many lines.
    pub(crate) fn count(&self) -> u64 {
        let whole: u64 = self.lines.values().flat_map(BTreeMap::values).map(Ranges::len).sum();
        whole + self.fragments.len() as u64
    }
}
