//! A destination that keeps metrics and events, for suites that ask what the agents sent: `cargo e2e sink`, run in the cluster's
//! network.
//!
//! In: OTLP over gRPC. Out: a file with one JSON line a data point ([`Point`]), and one with a line an event ([`Event`]): a log record
//! that has a name. Other logs, and traces, are taken and not kept. Always: what was answered for is in the files.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, NumberDataPoint};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::cluster::Cluster;
use crate::process::Process;
use crate::{netns, release, wait};

/// Where it listens: the address that pods of both nodes reach.
const PORT: u16 = 4319;

/// A data point that arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Of the metric.
    pub(crate) name: String,
    /// A sum that only grows.
    pub(crate) counter: bool,
    /// Attributes of the resource.
    pub(crate) resource: Map<String, Value>,
    /// Attributes of the point.
    pub(crate) attributes: Map<String, Value>,
    /// Since when it counts, nanoseconds since the epoch; zero where nothing was said.
    pub(crate) start: u64,
    /// When it was so, nanoseconds since the epoch.
    pub(crate) time: u64,
    /// The number.
    pub(crate) value: f64,
}

impl Point {
    /// An attribute of the resource, as text.
    pub(crate) fn text(&self, key: &str) -> String {
        self.resource.get(key).map(crate::received::text).unwrap_or_default()
    }
}

/// A log record with a name that arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    /// What kind of event it is.
    pub(crate) name: String,
    /// The words for people.
    pub(crate) body: String,
    /// The word for how grave it is.
    pub(crate) severity: String,
    /// Attributes of the resource.
    pub(crate) resource: Map<String, Value>,
    /// Attributes of the record.
    pub(crate) attributes: Map<String, Value>,
}

impl Event {
    /// An attribute of the record, as text.
    pub(crate) fn text(&self, key: &str) -> String {
        self.attributes.get(key).map(crate::received::text).unwrap_or_default()
    }
}

/// One that runs; it ends when it goes out of scope.
pub(crate) struct Sink {
    process: Process,
    file: PathBuf,
    events: PathBuf,
}

/// Where events are kept, beside the points.
fn events_file(points: &Path) -> PathBuf {
    points.with_extension("events.jsonl")
}

impl Sink {
    /// Starts it in the network of the cluster.
    pub(crate) fn start(cluster: &Cluster) -> Result<Self> {
        // Only the bare cluster has a network that a process can be put into.
        cluster.second_node()?;
        let file = cluster.work().run_file("sink.jsonl", String::new())?;
        let events = events_file(&file);
        std::fs::write(&events, "")?;
        let log = file.with_extension("log");
        let mut command = netns::command(std::env::current_exe()?);
        command.args(["sink", "--listen", &format!("{}:{PORT}", netns::NODE_IP), "--file"]);
        command.arg(&file);
        let process = Process::spawn("sink", &mut command, &log)?;
        wait::until_true("the sink", Duration::from_secs(20), || {
            std::fs::read_to_string(&log).is_ok_and(|said| said.contains("listens"))
        })?;
        Ok(Self { process, file, events })
    }

    /// What to give the chart as an endpoint.
    fn endpoint() -> String {
        format!("http://{}:{PORT}", netns::NODE_IP)
    }

    /// What arrived so far of the metrics of these names, or of all, in order, one after the other: it may be much.
    pub(crate) fn each(
        &self,
        names: &[&str],
        mut see: impl FnMut(Point) -> Result<()>,
    ) -> Result<()> {
        let names: Vec<_> = names.iter().map(|name| format!("\"name\":\"{name}\"")).collect();
        each_line(&self.file, |line| {
            if names.is_empty() || names.iter().any(|name| line.contains(name)) {
                see(serde_json::from_str(line).context("a point")?)?;
            }
            Ok(())
        })
    }

    /// How much has arrived, for [`each_since`](Self::each_since).
    pub(crate) fn position(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.file)?.len())
    }

    /// What has arrived of all metrics since a position, in order, one after the other. The first may be lost: the position
    /// may lie in the middle of it.
    pub(crate) fn each_since(
        &self,
        position: u64,
        mut see: impl FnMut(Point) -> Result<()>,
    ) -> Result<()> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(position))?;
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        each_line_of(lines, |line| see(serde_json::from_str(line).context("a point")?))
    }

    /// The events of one namespace that arrived so far, in order.
    pub(crate) fn events(&self, namespace: &str) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        each_line(&self.events, |line| {
            let event: Event = serde_json::from_str(line).context("an event")?;
            if event.text("k8s.namespace.name") == namespace {
                events.push(event);
            }
            Ok(())
        })?;
        Ok(events)
    }

    /// The heartbeats of one namespace's CronJobs and Jobs that arrived so far, in order.
    pub(crate) fn heartbeats(&self, namespace: &str) -> Result<Vec<Event>> {
        let mut heartbeats = Vec::new();
        each_line(&self.events, |line| {
            let event: Event = serde_json::from_str(line).context("an event")?;
            let is_there =
                event.resource.get("k8s.namespace.name").is_some_and(|it| it == namespace);
            if event.name == "hawsepipe.heartbeat" && is_there {
                heartbeats.push(event);
            }
            Ok(())
        })?;
        Ok(heartbeats)
    }

    /// What arrived so far of the metrics of these names, about one namespace's pods.
    pub(crate) fn points(&self, names: &[&str], namespace: &str) -> Result<Vec<Point>> {
        let mut points = Vec::new();
        self.each(names, |point| {
            if point.text("k8s.namespace.name") == namespace {
                points.push(point);
            }
            Ok(())
        })?;
        Ok(points)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.process.end(Duration::from_secs(5));
    }
}

fn each_line(path: &Path, see: impl FnMut(&str) -> Result<()>) -> Result<()> {
    each_line_of(BufReader::new(File::open(path)?), see)
}

fn each_line_of(mut lines: impl BufRead, mut see: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut line = String::new();
    // The last line may be half written.
    while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
        see(&line)?;
        line.clear();
    }
    Ok(())
}

/// The release with a sink as its second destination. It is uninstalled after that: others take what they find.
pub(crate) struct Kept<'a> {
    cluster: &'a Cluster,
    /// What arrived.
    pub(crate) sink: Sink,
}

impl<'a> Kept<'a> {
    /// Installs it with these values on top of the suites'.
    pub(crate) fn install(cluster: &'a Cluster, mut more: Value) -> Result<Self> {
        let sink = Sink::start(cluster)?;
        release::ensure(cluster)?;
        let kept = Self { cluster, sink };
        more["destinations"] = json!({"sink": {"endpoint": Sink::endpoint()}});
        release::helm_upgrade(cluster, &more)?;
        release::wait_ready(cluster)?;
        Ok(kept)
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if let Err(error) = release::uninstall(self.cluster) {
            eprintln!("{error:#}");
        }
    }
}

/// `cargo e2e sink`: serves until it is ended.
pub(crate) fn serve(listen: SocketAddr, file: &Path) -> Result<()> {
    let open = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
    let keep = Keep {
        points: Arc::new(Mutex::new(open(file)?)),
        events: Arc::new(Mutex::new(open(&events_file(file))?)),
    };
    let largest = 64 << 20;
    let metrics = MetricsServiceServer::new(keep.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(largest);
    let logs = LogsServiceServer::new(keep)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(largest);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        println!("listens on {listen}");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        Server::builder()
            .add_service(metrics)
            .add_service(logs)
            .serve_with_incoming(incoming)
            .await
            .context("the sink")
    })
}

#[derive(Clone)]
struct Keep {
    points: Arc<Mutex<File>>,
    events: Arc<Mutex<File>>,
}

/// Adds a line to those that are to be written together.
fn push(lines: &mut Vec<u8>, what: &impl Serialize) -> Result<(), Status> {
    let line = serde_json::to_vec(what);
    lines.extend(line.map_err(|error| Status::internal(error.to_string()))?);
    lines.push(b'\n');
    Ok(())
}

fn write(file: &Mutex<File>, lines: &[u8]) -> Result<(), Status> {
    let mut file = file.lock().map_err(|error| Status::internal(error.to_string()))?;
    file.write_all(lines).map_err(|error| Status::unavailable(error.to_string()))
}

#[tonic::async_trait]
impl MetricsService for Keep {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut lines = Vec::new();
        for block in request.into_inner().resource_metrics {
            let resource = block.resource.map(|it| map(&it.attributes)).unwrap_or_default();
            for metric in block.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let (counter, points) = numbers(&metric);
                for point in points {
                    let point = Point {
                        name: metric.name.clone(),
                        counter,
                        resource: resource.clone(),
                        attributes: map(&point.attributes),
                        start: point.start_time_unix_nano,
                        time: point.time_unix_nano,
                        value: match point.value {
                            Some(Number::AsInt(value)) => value as f64,
                            Some(Number::AsDouble(value)) => value,
                            None => return Err(Status::invalid_argument("a point has no value")),
                        },
                    };
                    push(&mut lines, &point)?;
                }
            }
        }
        write(&self.points, &lines)?;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Keep {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut lines = Vec::new();
        for block in request.into_inner().resource_logs {
            let resource = block.resource.map(|it| map(&it.attributes)).unwrap_or_default();
            let records = block.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            for record in records.filter(|record| !record.event_name.is_empty()) {
                let body = record.body.and_then(|body| body.value);
                let event = Event {
                    name: record.event_name,
                    body: if let Some(Any::StringValue(text)) = body {
                        text
                    } else {
                        String::new()
                    },
                    severity: record.severity_text,
                    resource: resource.clone(),
                    attributes: map(&record.attributes),
                };
                push(&mut lines, &event)?;
            }
        }
        write(&self.events, &lines)?;
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// The points of a gauge or a sum; whether the sum is a cumulative counter.
fn numbers(metric: &Metric) -> (bool, &[NumberDataPoint]) {
    match &metric.data {
        Some(Data::Sum(sum)) => {
            let cumulative =
                sum.aggregation_temporality == AggregationTemporality::Cumulative as i32;
            (sum.is_monotonic && cumulative, &sum.data_points)
        }
        Some(Data::Gauge(gauge)) => (false, &gauge.data_points),
        _ => (false, &[]),
    }
}

fn map(attributes: &[KeyValue]) -> Map<String, Value> {
    let value = |pair: &KeyValue| match pair.value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::BoolValue(flag)) => json!(flag),
        Some(Any::DoubleValue(number)) => json!(number),
        _ => Value::Null,
    };
    attributes.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}
