//! What the kubelet counts of containers and leaves out of its summary: throttling, kills, threads, pressure, I/O.
//!
//! In: `/metrics/cadvisor`, in Prometheus' text format (0.0.4), as it arrives. Out: a [`Cadvisor`]. Always: the text,
//! which has MiB, is never held; a line is looked at once, and most lines only as far as their name. A line that is
//! not understood is passed over and counted. Names and labels: `metrics/prometheus.go` in google/cadvisor, and
//! `containerPrometheusLabelsFunc` in `pkg/kubelet/server/server.go` of Kubernetes. A cAdvisor that does not find the
//! runtime's socket (`--containerd` of the kubelet, where it is not the usual one) names no containers: there they are
//! known by the ID in their control group's path.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::KubeletError;
use super::connection::Take;
use super::error::beginning;

/// The longest line. Its labels are an image, names and a path: some hundred bytes.
const LONGEST_LINE: usize = 64 << 10;
/// How much of the answer is kept for whoever wants to know what it was instead.
const BEGINNING: usize = 200;

/// The containers that cAdvisor tells of.
#[derive(Debug, Default)]
pub struct Cadvisor {
    /// By the path of their control group.
    containers: HashMap<Box<str>, CadvisorContainer>,
    /// How many lines were not understood.
    pub skipped: u64,
}

/// What is counted of a container. What this kernel or this kubelet does not count is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CadvisorContainer {
    namespace: Box<str>,
    /// Empty where cAdvisor does not know who it is.
    pod: Box<str>,
    container: Box<str>,
    /// When it was made, seconds since the epoch.
    started: f64,
    /// Periods of its CPU limit in which it ran.
    pub periods: Option<u64>,
    /// Periods in which it had to wait for the next.
    pub throttled_periods: Option<u64>,
    /// For how long its CPUs waited, summed up over them, in nanoseconds.
    pub throttled_ns: Option<u64>,
    /// Processes that were killed because its memory ran out, since the kubelet started.
    pub oom_kills: Option<u64>,
    /// Processes and threads.
    pub threads: Option<u64>,
    /// Time in which at least one thread waited for CPU, memory and disks, in nanoseconds (since Kubernetes 1.34).
    pub waiting_ns: [Option<u64>; 3],
    /// Time in which every thread waited for them, in nanoseconds.
    pub stalled_ns: [Option<u64>; 3],
    /// Transfers by device, named as in `/proc/diskstats`.
    pub disks: BTreeMap<Box<str>, DiskIo>,
}

/// Transfers from and to a block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskIo {
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub write_bytes: Option<u64>,
    /// Reads.
    pub reads: Option<u64>,
    /// Writes.
    pub writes: Option<u64>,
}

impl Cadvisor {
    /// Reads an answer that is there as a whole.
    ///
    /// # Errors
    /// [`KubeletError::NoMetrics`] when nothing in it is about containers.
    pub fn parse(text: &[u8]) -> Result<Self, KubeletError> {
        let mut reader = Reader::default();
        reader.take(text);
        reader.finish()
    }

    /// The container of that name in the pod; of its runs the last. Where cAdvisor names none, the one with this ID.
    #[must_use]
    pub fn container(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        name: &str,
        id: Option<&str>,
    ) -> Option<&CadvisorContainer> {
        // systemd's names have `_` where the UID has `-`. A pod that is gone may have had the same name.
        let uid_of_systemd = uid.replace('-', "_");
        let runs = self.containers.iter().filter(|(path, it)| {
            let is_it = if it.pod.is_empty() {
                id.is_some_and(|id| path.contains(id))
            } else {
                (&*it.container, &*it.pod, &*it.namespace) == (name, pod, namespace)
            };
            is_it && (path.contains(uid) || path.contains(&uid_of_systemd))
        });
        runs.map(|(_, it)| it).max_by(|a, b| a.started.total_cmp(&b.started))
    }
}

/// Reads an answer as it arrives.
#[derive(Debug, Default)]
pub(super) struct Reader {
    all: Cadvisor,
    /// What has come of a line that has not ended.
    half: Vec<u8>,
    /// Whether the rest of a line is passed over because it is too long.
    passing: bool,
    beginning: Vec<u8>,
    /// Whether a line was one of containers.
    of_containers: bool,
    /// Whether anybody on the node ever waited for anything.
    of_pressure: bool,
}

impl Take for Reader {
    fn take(&mut self, mut piece: &[u8]) {
        let missing = BEGINNING.saturating_sub(self.beginning.len()).min(piece.len());
        self.beginning.extend_from_slice(&piece[..missing]);
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            if std::mem::take(&mut self.passing) {
                self.all.skipped += 1;
            } else if self.half.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.half);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.half = whole;
            }
            piece = rest;
        }
        if self.passing || self.half.len() + piece.len() > LONGEST_LINE {
            self.passing = true;
            self.half.clear();
        } else {
            self.half.extend_from_slice(piece);
        }
    }
}

impl Reader {
    /// The answer is at its end. A line without one is half a line: the number in it may go on.
    ///
    /// # Errors
    /// [`KubeletError::NoMetrics`] when nothing in it is about containers.
    pub(super) fn finish(mut self) -> Result<Cadvisor, KubeletError> {
        self.all.skipped += u64::from(self.passing || !self.half.is_empty());
        if !self.of_pressure {
            // Where nothing counts it (cgroup v1, a kernel without it) cAdvisor writes 0, for the node too.
            for of in self.all.containers.values_mut() {
                (of.waiting_ns, of.stalled_ns) = <_>::default();
            }
        }
        if self.of_containers {
            return Ok(self.all);
        }
        let reason =
            format!("it says nothing of containers; it begins `{}`", beginning(&self.beginning));
        Err(KubeletError::NoMetrics { reason })
    }

    fn line(&mut self, line: &[u8]) {
        if !line.starts_with(b"container_") {
            return;
        }
        self.of_containers = true;
        let name = line.split(|byte| matches!(byte, b'{' | b' ')).next().unwrap_or_default();
        let Some(family) = Family::of(name) else { return };
        let read = std::str::from_utf8(&line[name.len()..]).ok().and_then(Sample::parse);
        match read {
            Some(sample) => {
                let is_pressure = matches!(family, Family::Waiting(_) | Family::Stalled(_));
                self.of_pressure |= is_pressure && sample.value > 0.0;
                self.all.keep(family, &sample);
            }
            None => self.all.skipped += 1,
        }
    }
}

/// The families that are told.
#[derive(Debug, Clone, Copy)]
enum Family {
    Started,
    Periods,
    ThrottledPeriods,
    ThrottledSeconds,
    OomKills,
    Threads,
    /// Of [`CadvisorContainer::waiting_ns`].
    Waiting(usize),
    Stalled(usize),
    ReadBytes,
    WriteBytes,
    Reads,
    Writes,
}

impl Family {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"container_start_time_seconds" => Self::Started,
            b"container_cpu_cfs_periods_total" => Self::Periods,
            b"container_cpu_cfs_throttled_periods_total" => Self::ThrottledPeriods,
            b"container_cpu_cfs_throttled_seconds_total" => Self::ThrottledSeconds,
            b"container_oom_events_total" => Self::OomKills,
            b"container_threads" => Self::Threads,
            b"container_pressure_cpu_waiting_seconds_total" => Self::Waiting(0),
            b"container_pressure_memory_waiting_seconds_total" => Self::Waiting(1),
            b"container_pressure_io_waiting_seconds_total" => Self::Waiting(2),
            b"container_pressure_cpu_stalled_seconds_total" => Self::Stalled(0),
            b"container_pressure_memory_stalled_seconds_total" => Self::Stalled(1),
            b"container_pressure_io_stalled_seconds_total" => Self::Stalled(2),
            b"container_fs_reads_bytes_total" => Self::ReadBytes,
            b"container_fs_writes_bytes_total" => Self::WriteBytes,
            b"container_fs_reads_total" => Self::Reads,
            b"container_fs_writes_total" => Self::Writes,
            _ => return None,
        })
    }
}

/// One line behind its name.
#[derive(Debug, Default)]
struct Sample<'a> {
    /// The control group's path.
    id: Cow<'a, str>,
    namespace: Cow<'a, str>,
    pod: Cow<'a, str>,
    container: Cow<'a, str>,
    device: Cow<'a, str>,
    /// Neither negative nor infinite.
    value: f64,
}

impl<'a> Sample<'a> {
    /// `{label="value",..} number [milliseconds]`. `None` if it is anything else.
    fn parse(text: &'a str) -> Option<Self> {
        let mut sample = Self::default();
        let mut rest = text.strip_prefix('{')?.trim_start();
        while !rest.starts_with('}') {
            let (key, behind) = rest.split_once('=')?;
            let (value, behind) = quoted(behind.trim_start())?;
            match key.trim_end() {
                "id" => sample.id = value,
                "namespace" => sample.namespace = value,
                "pod" => sample.pod = value,
                "container" => sample.container = value,
                "device" => sample.device = value,
                _ => {}
            }
            let behind = behind.trim_start();
            // A comma may stand behind the last one too.
            rest = match behind.strip_prefix(',') {
                Some(behind) => behind.trim_start(),
                None => behind,
            };
            if !rest.starts_with('}') && rest.len() == behind.len() {
                return None;
            }
        }
        let mut words = rest[1..].split_ascii_whitespace();
        sample.value = words.next()?.parse().ok()?;
        let (time, more) = (words.next(), words.next());
        let is_time = time.is_none_or(|time| time.parse::<i64>().is_ok());
        (sample.value.is_finite() && sample.value >= 0.0 && is_time && more.is_none())
            .then_some(sample)
    }
}

/// A label's value, in which `\\`, `\"` and `\n` stand for what cannot be written, and what is behind it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = text[..end].to_owned();
    let mut chars = text[end..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &text[end + at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

impl Cadvisor {
    fn keep(&mut self, family: Family, sample: &Sample<'_>) {
        // What is no container's is a slice's, a pod's or its sandbox's, which docker calls POD.
        let is_container = !sample.pod.is_empty() && !matches!(&*sample.container, "" | "POD");
        let is_nameless = sample.pod.is_empty() && sample.id.contains("kubepods");
        if !is_container && !is_nameless {
            return;
        }
        if !self.containers.contains_key(&*sample.id) {
            let new = CadvisorContainer {
                namespace: sample.namespace.as_ref().into(),
                pod: sample.pod.as_ref().into(),
                container: sample.container.as_ref().into(),
                ..CadvisorContainer::default()
            };
            self.containers.insert(sample.id.as_ref().into(), new);
        }
        let Some(of) = self.containers.get_mut(&*sample.id) else { return };
        let count = Some(whole(sample.value));
        let nanoseconds = Some(whole(sample.value * 1e9));
        let device = sample.device.strip_prefix("/dev/").unwrap_or(&sample.device);
        match family {
            Family::Started => of.started = sample.value,
            Family::Periods => of.periods = count,
            Family::ThrottledPeriods => of.throttled_periods = count,
            Family::ThrottledSeconds => of.throttled_ns = nanoseconds,
            Family::OomKills => of.oom_kills = count,
            Family::Threads => of.threads = count,
            Family::Waiting(kind) => of.waiting_ns[kind] = nanoseconds,
            Family::Stalled(kind) => of.stalled_ns[kind] = nanoseconds,
            // Without a name it is none of the node's devices.
            _ if device.is_empty() => {}
            Family::ReadBytes => of.disk(device).read_bytes = count,
            Family::WriteBytes => of.disk(device).write_bytes = count,
            Family::Reads => of.disk(device).reads = count,
            Family::Writes => of.disk(device).writes = count,
        }
    }
}

impl CadvisorContainer {
    fn disk(&mut self, device: &str) -> &mut DiskIo {
        self.disks.entry(device.into()).or_default()
    }
}

/// Every number is written as a float: the nearest whole one.
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests;
