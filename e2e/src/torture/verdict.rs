//! The judgement: truth = received UNION ledger, by ranges.
//!
//! For each pod the lines that are missing at the receiver must be as many as the ledger says, or at
//! least as many where the ledger says that it does not know how many. What the ledger says of pods
//! that are gone it may have added to their namespace: then the sum must fit.
//!
//! After power cuts the truth is what [`super::survivors`] says: the ledger may then hold more than is
//! missing, and lines may arrive that no file holds any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::torture::arrived::{Arrived, ContainerLines};
use crate::torture::ledger::{Ledger, Lost};
use crate::torture::written::{Container, Written};

/// How many findings of a kind are told in words.
const TOLD: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Lines that could be read and did not arrive.
    pub(crate) missing: u64,
    /// Pods whose missing lines are not what the ledger says, in words.
    pub(crate) unaccounted: Findings,
    /// Lines that are missing beyond what the ledger counts, where it says that it does not know how
    /// many it lost.
    pub(crate) excused: u64,
    /// Whose these are, in words.
    pub(crate) excuses: Findings,
    /// Lines that arrived and were never written, in words.
    pub(crate) invented: Findings,
    /// Lines that arrived and are in no file after a power cut.
    pub(crate) vanished: u64,
}

/// Findings in words; many are only counted.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    told: Vec<String>,
    count: usize,
}

impl Findings {
    fn push(&mut self, words: String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(words);
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One a line.
    pub(crate) fn words(&self) -> String {
        let more = self.count - self.told.len();
        let rest = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        format!("  {}{rest}", self.told.join("\n  "))
    }
}

/// How sure the truth is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Every line that could ever be read.
    All,
    /// Those that the disk still had after power cuts.
    Survivors,
}

/// What a pod misses.
#[derive(Debug, Default)]
struct Missing {
    lines: u64,
    words: Vec<String>,
}

/// Judges what arrived of a namespace.
pub(crate) fn judge(
    written: &Written,
    arrived: &BTreeMap<Container, ContainerLines>,
    ledger: &Ledger,
    truth: Truth,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut missing: BTreeMap<&str, Missing> = BTreeMap::new();
    let nothing = ContainerLines::default();
    for (container, runs) in &written.lines {
        let of_pod = missing.entry(container.pod.as_str()).or_default();
        let came = arrived.get(container).unwrap_or(&nothing);
        for (run, numbers) in runs {
            let left = match came.runs.get(run) {
                Some(stream) => numbers.without(&stream.numbers),
                None => numbers.clone(),
            };
            if !left.is_empty() {
                of_pod.lines += left.len();
                of_pod.words.push(format!("{run}: {left} of {}", numbers.last().unwrap_or(0)));
            }
        }
    }
    for (container, print) in &written.fragments {
        let came = arrived.get(container).is_some_and(|came| came.fragments.contains_key(print));
        if !came {
            let of_pod = missing.entry(container.pod.as_str()).or_default();
            of_pod.lines += 1;
            of_pod.words.push("a line that its writer could not finish".to_owned());
        }
    }
    for (container, came) in arrived {
        find_invented(written, container, came, truth, &mut verdict);
    }
    verdict.missing = missing.values().map(|missing| missing.lines).sum();
    compare(&missing, ledger, truth, &mut verdict);
    verdict
}

fn find_invented(
    written: &Written,
    container: &Container,
    came: &ContainerLines,
    truth: Truth,
    verdict: &mut Verdict,
) {
    let pod = &container.pod;
    let runs = written.lines.get(container);
    for (run, stream) in &came.runs {
        let more = match runs.and_then(|runs| runs.get(run)) {
            Some(numbers) => stream.numbers.without(numbers),
            None => stream.numbers.clone(),
        };
        if truth == Truth::Survivors {
            verdict.vanished += more.len();
        } else if !more.is_empty() {
            verdict.invented.push(format!("{pod}, {run}: {more} arrived and was not written"));
        }
    }
    for (print, fragment) in &came.fragments {
        let key = (container.clone(), *print);
        let known = [&written.fragments, &written.open_ends, &written.tails]
            .iter()
            .any(|set| set.contains(&key));
        let shown = &fragment.shown;
        if truth == Truth::Survivors && fragment.is_beginning {
            verdict.vanished += u64::from(!known);
        } else if !known {
            verdict.invented.push(format!("{pod}: {shown} arrived and was not written like this"));
        }
    }
}

fn compare(
    missing: &BTreeMap<&str, Missing>,
    ledger: &Ledger,
    truth: Truth,
    verdict: &mut Verdict,
) {
    let Verdict { unaccounted, excused, excuses, .. } = verdict;
    let folded = ledger.pods.get("").copied();
    let mut left = 0;
    let named = ledger.pods.keys().map(String::as_str).filter(|pod| !pod.is_empty());
    let pods: BTreeSet<&str> = missing.keys().copied().chain(named).collect();
    let none = Missing::default();
    for pod in pods {
        let Lost { records, unknown } = ledger.pods.get(pod).copied().unwrap_or_default();
        let Missing { lines, words } = missing.get(pod).unwrap_or(&none);
        if *lines < records {
            if truth == Truth::Survivors {
                continue;
            }
            unaccounted
                .push(format!("{pod}: {lines} lines are missing, and the ledger says {records}"));
        } else if *lines > records {
            if unknown == 0 && folded.is_some() {
                left += lines - records;
                continue;
            }
            let more = words.len().saturating_sub(4);
            let more = if more > 0 { format!("; and {more} runs more") } else { String::new() };
            let words = words.iter().take(4).map(String::as_str).collect::<Vec<_>>().join("; ");
            let told = format!(
                "{pod}: {lines} lines are missing, and the ledger says {records} ({words}{more})"
            );
            if unknown == 0 {
                unaccounted.push(told);
            } else {
                *excused += lines - records;
                excuses.push(format!("{told} and {unknown} times unknown"));
            }
        }
    }
    if let Some(Lost { records, unknown }) = folded
        && ((left < records && truth == Truth::All) || (left > records && unknown == 0))
    {
        unaccounted.push(format!(
            "pods that the ledger does not name miss {left} lines, and for their namespace it says \
             {records}"
        ));
    }
}

/// Lines that arrived, each once.
pub(crate) fn distinct(arrived: &BTreeMap<Container, ContainerLines>) -> u64 {
    let whole = arrived.values().flat_map(|came| came.runs.values());
    let fragments: usize = arrived.values().map(|came| came.fragments.len()).sum();
    whole.map(|stream| stream.numbers.len()).sum::<u64>() + fragments as u64
}

/// The totals of what arrived, for the report.
pub(crate) fn shares(arrived: &Arrived) -> String {
    let share = arrived.doubled as f64 / (arrived.total.max(1)) as f64;
    format!(
        "{} doubled ({:.3} %), {} late in what was read again",
        arrived.doubled,
        share * 100.0,
        arrived.late
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> String {
        format!("0a1b2c3d o {number:04} 26 fillin.")
    }

    fn case(written: &[u64], came: &[u64], losses: &str) -> Verdict {
        let mut truth = Written::default();
        let container = Container { pod: "a".into(), name: "c".into() };
        for number in written {
            truth.line(&container, line(*number).as_bytes(), &[]);
        }
        let mut arrived = Arrived::default();
        for number in came {
            arrived.line(format!("[ns/a/c] {}", line(*number)).as_bytes());
        }
        let mut ledger = Ledger::default();
        ledger.add(&format!("{{\"losses\": [{losses}]}}"), "ns").unwrap();
        judge(&truth, &arrived.of("ns"), &ledger, Truth::All)
    }

    fn entry(pod: &str, records: u64, unknown: u64) -> String {
        format!(
            r#"{{"namespace": "ns", {pod} "reason": "deleted", "records": {records}, "unknownExtent": {unknown}}}"#
        )
    }

    #[test]
    fn all_lines_arrived_and_an_empty_ledger_is_right() {
        let verdict = case(&[1, 2, 3], &[1, 2, 2, 3], "");
        assert!(verdict.unaccounted.is_empty() && verdict.invented.is_empty());
    }

    #[test]
    fn what_is_missing_must_be_in_the_ledger_exactly() {
        let pod = r#""pod": "a","#;
        for (losses, right) in [
            (String::new(), false),
            (entry(pod, 1, 0), false),
            (entry(pod, 2, 0), true),
            (entry(pod, 3, 0), false),
            (entry(pod, 1, 1), true),
            (entry(pod, 3, 1), false),
            (entry("", 2, 0), true),
            (entry("", 1, 0), false),
            (format!("{}, {}", entry(pod, 1, 0), entry("", 1, 0)), true),
            (entry(r#""pod": "b","#, 2, 0), false),
        ] {
            let verdict = case(&[1, 2, 3, 4], &[1, 4], &losses);
            assert_eq!(verdict.unaccounted.is_empty(), right, "{losses}: {verdict:?}");
            assert_eq!(verdict.missing, 2);
        }
    }

    #[test]
    fn a_line_that_was_never_written_is_found() {
        assert!(!case(&[1, 2], &[1, 2, 3], "").invented.is_empty());
    }
}
