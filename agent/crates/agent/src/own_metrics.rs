//! Sends what the agent counts about itself to the destinations: what `/metrics` shows as `hawsepipe.*`, and its own
//! CPU and memory as `process.*`.
//!
//! In: the registry behind `/metrics`, and this process's files in `/proc`. Out: a frame of metrics in the lane
//! `sampled` at every interval. Always: a number is the same in both places, because one is made of the other, and
//! its name too: `hawsepipe_logs_read_bytes_total` is `hawsepipe.logs.read`, in `By`. What was lost is left out: it
//! is sent from the ledger, which is older than this process (`losses.rs`).

mod openmetrics;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hawsepipe_collect as collect;
use hawsepipe_host::process::{self, ProcessStat};
use hawsepipe_host::{HostRoot, ReadError};
use hawsepipe_model::codec::{CodecError, Compressor};
use hawsepipe_model::otlp::{
    DataPoint, HistogramPoint, Instrument, Metric, MetricsRequest, Number, encode_entity,
};
use hawsepipe_model::{Attributes, Frame, FrameSink, PodDirectory, PreferredCodec};
use hawsepipe_spool::Spool;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::openmetrics::{Family, Kind, Sample};

/// What the sender needs.
pub(crate) struct Sender {
    pub(crate) registry: Arc<Registry>,
    /// Counts what the spool does not take.
    pub(crate) metrics: collect::Metrics,
    pub(crate) spool: Arc<Spool>,
    pub(crate) codec: Arc<PreferredCodec>,
    pub(crate) pods: Arc<dyn PodDirectory>,
    /// What the admin adds to everything.
    pub(crate) attributes: Attributes,
    pub(crate) interval: Duration,
}

/// No attributes.
const NONE: [(&str, &str); 0] = [];

/// When counting began, and now.
#[derive(Debug, Clone, Copy)]
struct Times {
    start_unix_nano: u64,
    time_unix_nano: u64,
}

impl Sender {
    /// Runs until `cancel`.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let start_unix_nano = now_unix_nano();
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let times = Times { start_unix_nano, time_unix_nano: now_unix_nano() };
            let frame = match self.frame(times) {
                Ok(Some(frame)) => frame,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot compress the agent's own metrics");
                    continue;
                }
            };
            let (spool, points) = (Arc::clone(&self.spool), frame.records);
            // It writes to a disk.
            let put = spawn_blocking(move || spool.sampled().append(frame)).await;
            if !matches!(put, Ok(Ok(()))) {
                self.metrics.dropped(points);
            }
        }
    }

    fn frame(&self, times: Times) -> Result<Option<Frame>, CodecError> {
        let mut request = MetricsRequest::default();
        request.begin_resource(&encode_entity(&self.resource()));
        let mut page = String::new();
        if let Err(error) = encode(&mut page, &self.registry) {
            tracing::error!(%error, "cannot write the page of the agent's own metrics");
        }
        let families = openmetrics::parse(&page);
        // The ledger's.
        let told = families.iter().filter(|family| !family.name.starts_with("hawsepipe_loss_"));
        told.for_each(|family| write_family(&mut request, family, times));
        let own = process::read_one(&HostRoot::here(), std::process::id(), |stat| {
            write_process(&mut request, stat, times);
        });
        if let Err(error) = own.and_then(|()| write_files(&mut request, times)) {
            tracing::warn!(%error, "cannot read this process's own files in /proc");
        }
        request.frame(self.codec.get(), &mut Compressor::new()?)
    }

    /// The agent: its node, and its pod where it is told of one (the chart does).
    fn resource(&self) -> Attributes {
        let mut resource = self.pods.node().attributes.clone();
        resource.set("service.name", "hawsepipe");
        resource.set("service.version", env!("CARGO_PKG_VERSION"));
        for (key, variable) in [
            ("k8s.namespace.name", "POD_NAMESPACE"),
            ("k8s.pod.name", "POD_NAME"),
            ("k8s.pod.uid", "POD_UID"),
        ] {
            resource.set(key, std::env::var(variable).unwrap_or_default());
        }
        resource.extend(&self.attributes);
        resource
    }
}

fn now_unix_nano() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

fn write_family(request: &mut MetricsRequest, family: &Family<'_>, times: Times) {
    let (name, unit) = otlp_name(family);
    let instrument = match family.kind {
        Kind::Counter => Instrument::Counter,
        Kind::Gauge => Instrument::Gauge,
        Kind::Histogram => Instrument::Histogram,
        // Which version runs stands in the resource.
        Kind::Other => return,
    };
    request.begin_metric(&Metric { name: &name, description: family.help, unit, instrument });
    if instrument == Instrument::Histogram {
        write_histogram(request, family, times);
        return;
    }
    for Sample { labels, value, .. } in &family.samples {
        let Some(value) = number(value) else { continue };
        request.push(point(value, times), labels.iter().map(|(key, value)| (*key, &**value)));
    }
}

/// Buckets hold what is below their bound; OTLP's hold what is between two.
fn write_histogram(request: &mut MetricsRequest, family: &Family<'_>, times: Times) {
    for all in family.histograms() {
        let mut below = 0;
        let between = all.buckets.iter().map(|(_, count)| {
            let count: u64 = *count;
            let between = count.saturating_sub(below);
            below = count;
            between
        });
        let counts: Vec<_> = between.collect();
        let bounds: Vec<_> =
            all.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect();
        let point = HistogramPoint {
            start_unix_nano: times.start_unix_nano,
            time_unix_nano: times.time_unix_nano,
            count: all.count,
            sum: all.sum,
            bounds: &bounds,
            counts: &counts,
        };
        request.push_histogram(&point, all.labels.iter().map(|(key, value)| (*key, &**value)));
    }
}

/// `hawsepipe_logs_read_bytes` in bytes is `hawsepipe.logs.read` in `By`: the unit is no part of an OpenTelemetry name.
fn otlp_name(family: &Family<'_>) -> (String, &'static str) {
    let unit = match family.unit {
        "bytes" => "By",
        "seconds" => "s",
        _ => "1",
    };
    let plain = family.name.strip_suffix(family.unit).and_then(|name| name.strip_suffix('_'));
    let plain = if family.unit.is_empty() { family.name } else { plain.unwrap_or(family.name) };
    // hawsepipe, the part of the agent, the rest.
    (plain.replacen('_', ".", 2), unit)
}

/// A counter of whole numbers is written without a point.
fn number(text: &str) -> Option<Number> {
    let whole = text.parse().map(Number::Int);
    whole.or_else(|_not_whole| text.parse().map(Number::Double)).ok()
}

fn point(value: Number, times: Times) -> DataPoint {
    let Times { start_unix_nano, time_unix_nano } = times;
    DataPoint { start_unix_nano, time_unix_nano, value }
}

/// This process, by the names of the Collector's hostmetrics receiver.
fn write_process(request: &mut MetricsRequest, stat: &ProcessStat<'_>, times: Times) {
    let metric =
        |name, description, unit, instrument| Metric { name, description, unit, instrument };
    let (counter, sum) = (Instrument::Counter, Instrument::UpDownCounter);
    let cpu = metric("process.cpu.time", "CPU time of the agent", "s", counter);
    request.begin_metric(&cpu);
    for (state, seconds) in [("user", stat.user_time), ("system", stat.system_time)] {
        request.push(point(Number::Double(seconds), times), [("state", state)]);
    }
    let int = |value: u64| Number::Int(i64::try_from(value).unwrap_or(i64::MAX));
    for (metric, value) in [
        (metric("process.memory.usage", "Memory of the agent", "By", sum), stat.resident_memory),
        (
            metric("process.memory.virtual", "Address space of the agent", "By", sum),
            stat.virtual_memory,
        ),
        (metric("process.threads", "Threads of the agent", "{threads}", sum), stat.threads),
    ] {
        request.begin_metric(&metric);
        request.push(point(int(value), times), NONE);
    }
}

fn write_files(request: &mut MetricsRequest, times: Times) -> Result<(), ReadError> {
    let files = process::open_files(&HostRoot::here(), std::process::id())?;
    request.begin_metric(&Metric {
        name: "process.open_file_descriptors",
        description: "Files that the agent has open",
        unit: "{count}",
        instrument: Instrument::UpDownCounter,
    });
    let files = Number::Int(i64::try_from(files).unwrap_or(i64::MAX));
    request.push(point(files, times), NONE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, unit: &str) -> (String, &'static str) {
        let (kind, help) = (Kind::Counter, "");
        otlp_name(&Family { name, kind, unit, help, samples: Vec::new() })
    }

    #[test]
    fn names_are_those_of_the_page_with_dots_and_without_units() {
        for (name, unit, expected) in [
            ("hawsepipe_logs_read_bytes", "bytes", ("hawsepipe.logs.read", "By")),
            ("hawsepipe_logs_open_files", "", ("hawsepipe.logs.open_files", "1")),
            ("hawsepipe_export_bytes", "", ("hawsepipe.export.bytes", "1")),
            (
                "hawsepipe_collector_duration_seconds",
                "seconds",
                ("hawsepipe.collector.duration", "s"),
            ),
        ] {
            assert_eq!(named(name, unit), (expected.0.to_owned(), expected.1));
        }
    }
}
