//! What arrived: the receiver's lines, read by `hawsepipe logs` in its pod, and whether a workload's
//! numbered lines are all there, once and in order.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cluster::{self, Cluster};
use crate::release::{NAMESPACE, RECEIVER_POD};
use crate::wait;

/// One line, as `hawsepipe logs -o json` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    /// Pod name.
    pub(crate) pod: String,
    /// Namespace.
    pub(crate) namespace: String,
    /// Container name.
    pub(crate) container: String,
    /// stdout or stderr.
    pub(crate) stream: String,
    /// The line.
    pub(crate) body: String,
    /// Attributes of the record.
    #[serde(default)]
    pub(crate) attributes: Map<String, Value>,
    /// Attributes of its resource.
    #[serde(default)]
    pub(crate) resource: Map<String, Value>,
}

impl Record {
    /// A resource attribute as text; numbers too.
    pub(crate) fn resource_text(&self, key: &str) -> Option<String> {
        self.resource.get(key).map(text)
    }

    /// How often the container had been restarted when it wrote the line.
    pub(crate) fn restart(&self) -> Option<u64> {
        self.resource_text("k8s.container.restart_count")?.parse().ok()
    }

    /// Whether the API server's part of the metadata is there.
    pub(crate) fn has_labels(&self) -> bool {
        self.resource.keys().any(|key| key.starts_with("k8s.pod.label."))
    }

    /// Its number, when it is a numbered line.
    pub(crate) fn number(&self) -> Option<Number> {
        Number::parse(&self.body)
    }
}

/// A value as text: what is compared with the text that Kubernetes gives.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// What a numbered line says of itself: `WORKLOAD 17/300 ..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// Which it is, from 1.
    pub(crate) number: u64,
    /// How many there will be.
    pub(crate) total: u64,
}

impl Number {
    /// Reads the second word.
    pub(crate) fn parse(body: &str) -> Option<Self> {
        let (number, total) = body.split(' ').nth(1)?.split_once('/')?;
        Some(Self { number: number.parse().ok()?, total: total.parse().ok()? })
    }
}

/// One output stream of one run of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    /// Pod name.
    pub(crate) pod: String,
    /// Container name.
    pub(crate) container: String,
    /// Restart count.
    pub(crate) restart: u64,
    /// stdout or stderr.
    pub(crate) stream: String,
}

/// What must have arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The pod's name, or its beginning where a controller adds to it.
    pub(crate) pod: &'static str,
    /// Container name.
    pub(crate) container: &'static str,
    /// Restart count.
    pub(crate) restart: u64,
    /// stdout or stderr.
    pub(crate) stream: &'static str,
    /// In how many pods.
    pub(crate) pods: usize,
}

/// Reads the receiver: the lines of a namespace, optionally of one pod.
pub(crate) fn read(cluster: &Cluster, namespace: &str, pod: Option<&str>) -> Result<Vec<Record>> {
    let mut command = cluster.kubectl_command();
    command.args(["exec", "-n", NAMESPACE, RECEIVER_POD, "--", "hawsepipe"]);
    command.args(query(namespace, pod));
    read_from(&mut command)
}

/// The arguments of `hawsepipe` for [`read`].
pub(crate) fn query<'a>(namespace: &'a str, pod: Option<&'a str>) -> Vec<&'a str> {
    let mut arguments = vec!["logs", "-n", namespace, "-o", "json"];
    arguments.extend(pod);
    arguments
}

/// Reads what a `hawsepipe logs -o json` prints, however it is run.
pub(crate) fn read_from(command: &mut Command) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let read = cluster::stream(command, |line| {
        let record = serde_json::from_str(line)
            .with_context(|| format!("hawsepipe logs -o json printed {line:?}"))?;
        records.push(record);
        Ok(())
    });
    match read {
        // Said with exit code 1, as kubectl does for a pod that does not exist.
        Err(error) if error.to_string().contains("has no logs of") => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(()) => Ok(records),
    }
}

/// The lines by run, in the order in which they came.
pub(crate) fn runs(records: &[Record]) -> Result<BTreeMap<Run, Vec<&Record>>> {
    let mut runs: BTreeMap<Run, Vec<&Record>> = BTreeMap::new();
    for record in records {
        let run = Run {
            pod: record.pod.clone(),
            container: record.container.clone(),
            restart: record.restart().context("a record without k8s.container.restart_count")?,
            stream: record.stream.clone(),
        };
        runs.entry(run).or_default().push(record);
    }
    Ok(runs)
}

/// Waits until every run in the namespace is complete and everything wanted is among them, then
/// looks once more a moment later: no line may have come twice.
pub(crate) fn wait_complete(
    cluster: &Cluster,
    namespace: &str,
    wanted: &[Wanted],
    deadline: Duration,
) -> Result<Vec<Record>> {
    let attempt = || {
        let records = read(cluster, namespace, None)?;
        check(&records, wanted)?;
        Ok(Some(records))
    };
    wait::until("every line to arrive", deadline, Duration::from_secs(2), attempt)?;
    std::thread::sleep(Duration::from_secs(3));
    let records = read(cluster, namespace, None)?;
    check(&records, wanted).context("a moment after everything had arrived")?;
    Ok(records)
}

fn check(records: &[Record], wanted: &[Wanted]) -> Result<()> {
    let runs = runs(records)?;
    for wanted in wanted {
        let found = runs
            .keys()
            .filter(|run| {
                run.pod.starts_with(wanted.pod)
                    && run.container == wanted.container
                    && run.restart == wanted.restart
                    && run.stream == wanted.stream
            })
            .count();
        ensure!(found >= wanted.pods, "nothing (yet) of {wanted:?}, found {found}");
    }
    for (run, records) in &runs {
        let bodies = records.iter().map(|record| record.body.as_str());
        Sequence::of(bodies).complete().with_context(|| format!("{run:?}"))?;
    }
    Ok(())
}

/// Checks numbered lines as they pass, without keeping them.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    last: u64,
    total: Option<u64>,
    problems: usize,
    first_problem: Option<String>,
}

impl Sequence {
    /// All of them at once.
    pub(crate) fn of<'a>(bodies: impl Iterator<Item = &'a str>) -> Self {
        let mut sequence = Self::default();
        bodies.for_each(|body| sequence.see(body));
        sequence
    }

    /// One line.
    pub(crate) fn see(&mut self, body: &str) {
        let expected = self.last + 1;
        let Some(Number { number, total }) = Number::parse(body) else {
            let shown: String = body.chars().take(80).collect();
            return self.problem(format!("{shown:?} where {expected} was expected"));
        };
        if number != expected || self.total.is_some_and(|known| known != total) {
            self.problem(format!("{number}/{total} where {expected} was expected"));
        }
        self.last = number;
        self.total = Some(total);
    }

    /// Whether all lines up to here came once and in order.
    pub(crate) fn in_order(&self) -> Result<()> {
        if let Some(first) = &self.first_problem {
            bail!("{} lines out of order, lost or doubled; the first: {first}", self.problems);
        }
        Ok(())
    }

    /// Whether all lines came, once and in order.
    pub(crate) fn complete(&self) -> Result<()> {
        self.in_order()?;
        let total = self.total.context("no line")?;
        ensure!(self.last == total, "{} of {total} lines", self.last);
        Ok(())
    }

    fn problem(&mut self, what: String) {
        self.problems += 1;
        self.first_problem.get_or_insert(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_once_and_in_order_are_complete() {
        assert!(Sequence::of(["w 1/3", "w 2/3 x", "w 3/3"].into_iter()).complete().is_ok());
    }

    #[test]
    fn a_lost_a_doubled_and_a_swapped_line_are_found() {
        for lines in [
            &["w 1/3", "w 3/3"][..],
            &["w 1/3", "w 2/3", "w 2/3", "w 3/3"],
            &["w 2/3", "w 1/3", "w 3/3"],
            &["w 1/3", "w 2/3"],
            &["w 1/3", "noise", "w 2/3", "w 3/3"],
            &[],
        ] {
            assert!(Sequence::of(lines.iter().copied()).complete().is_err(), "{lines:?}");
        }
    }
}
