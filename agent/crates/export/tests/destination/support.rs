//! A queue, frames, settings and waiting for tests.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use hawsepipe_export::{
    Auth, Compression, Destination, DestinationStatus, Drained, Endpoint, ExportMetrics, Settings,
    StatusHandle, Temporality, Tls,
};
use hawsepipe_model::codec::Compressor;
use hawsepipe_model::{Codec, Frame, FrameSource, Loss, PreferredCodec, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use prost::Message;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An export request with these lines.
pub(crate) fn request(lines: &[&str]) -> ExportLogsServiceRequest {
    let log_records = lines
        .iter()
        .map(|line| LogRecord {
            body: Some(AnyValue { value: Some(any_value::Value::StringValue((*line).to_owned())) }),
            ..LogRecord::default()
        })
        .collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }],
    }
}

/// The lines of an export request.
pub(crate) fn lines(request: &ExportLogsServiceRequest) -> Vec<String> {
    let records = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    let records = records.flat_map(|scope| &scope.log_records);
    records
        .filter_map(|record| match record.body.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(line) => Some(line.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn frame(codec: Codec, text: &[&str]) -> Frame {
    frame_of(codec, &request(text))
}

/// A frame of lines of pods of one namespace.
pub(crate) fn frame_of_pods(codec: Codec, pods: &[(&str, &[String])]) -> Frame {
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let mut all = ExportLogsServiceRequest::default();
    for (pod, text) in pods {
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let mut block = request(&text).resource_logs.remove(0);
        let attributes =
            vec![attribute("k8s.namespace.name", "shop"), attribute("k8s.pod.name", pod)];
        block.resource = Some(Resource { attributes, ..Resource::default() });
        all.resource_logs.push(block);
    }
    frame_of(codec, &all)
}

pub(crate) fn frame_of(codec: Codec, request: &ExportLogsServiceRequest) -> Frame {
    let plain = request.encode_to_vec();
    let records = request.resource_logs.iter().flat_map(|block| &block.scope_logs);
    let records = records.map(|scope| scope.log_records.len() as u64).sum();
    let payload = Compressor::new().unwrap().compress(codec, &plain).unwrap();
    Frame {
        signal: Signal::Logs,
        codec,
        uncompressed_len: plain.len(),
        records,
        payload: payload.into(),
        ..Frame::note(Vec::new(), Vec::new(), Vec::new())
    }
}

/// What was lost, as tests read it: reason, pod, records, bytes.
pub(crate) type Told = (&'static str, String, u64, u64);

#[derive(Default)]
struct QueueState {
    frames: VecDeque<Arc<Frame>>,
    /// What each frame that was settled had lost.
    settled: Vec<Vec<Loss>>,
    closed: bool,
}

/// A queue in memory; a frame comes again until it is settled.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<(Mutex<QueueState>, Notify)>);

impl Queue {
    pub(crate) fn of(frames: impl IntoIterator<Item = Frame>) -> Self {
        let queue = Self::default();
        for frame in frames {
            queue.push(frame);
        }
        queue
    }

    pub(crate) fn push(&self, frame: Frame) {
        self.0.0.lock().frames.push_back(Arc::new(frame));
        self.0.1.notify_one();
    }

    pub(crate) fn close(&self) {
        self.0.0.lock().closed = true;
        self.0.1.notify_one();
    }

    pub(crate) fn settled(&self) -> usize {
        self.0.0.lock().settled.len()
    }

    /// What the frames lost, in the order in which they were settled.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        self.0.0.lock().settled.concat()
    }

    /// The same, short. All of it is of namespace `shop`, at destination `main`.
    pub(crate) fn told(&self) -> Vec<Told> {
        let told = |loss: Loss| {
            let key = loss.key;
            assert_eq!(key.destination.as_deref(), Some("main"));
            assert_eq!(&*key.namespace, if key.pod.is_empty() { "" } else { "shop" });
            assert_eq!(loss.extent.unknown, 0);
            (key.reason.name(), key.pod.to_string(), loss.extent.records, loss.extent.bytes)
        };
        self.losses().into_iter().map(told).collect()
    }

    /// Records that were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.losses().iter().map(|loss| loss.extent.records).sum()
    }

    pub(crate) fn unsettled(&self) -> usize {
        self.0.0.lock().frames.len()
    }
}

impl FrameSource for Queue {
    async fn next(&mut self) -> Option<Arc<Frame>> {
        loop {
            {
                let state = self.0.0.lock();
                if let Some(frame) = state.frames.front() {
                    return Some(Arc::clone(frame));
                }
                if state.closed {
                    return None;
                }
            }
            self.0.1.notified().await;
        }
    }

    async fn settle(&mut self, losses: Vec<Loss>) {
        let mut state = self.0.0.lock();
        state.frames.pop_front();
        state.settled.push(losses);
    }
}

/// How a destination is set up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    pub(crate) compression: &'a str,
    pub(crate) key_file: Option<&'a Path>,
    pub(crate) ca_file: Option<&'a Path>,
    pub(crate) server_name: Option<&'a str>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) temporality: Temporality,
}

pub(crate) fn settings(endpoint: &str, setup: Setup<'_>) -> Settings {
    install_subscriber();
    let compression: Compression = match setup.compression {
        "" => Compression::Auto,
        text => text.parse().unwrap(),
    };
    let auth =
        setup.key_file.map(|path| Auth::new("x-api-key", Auth::DEFAULT_FORMAT, path).unwrap());
    let tls = Tls {
        ca_file: setup.ca_file.map(Path::to_owned),
        server_name: setup.server_name.map(str::to_owned),
    };
    let timeout = setup.timeout.unwrap_or(Duration::from_secs(10));
    let settings =
        Settings::new(Endpoint::parse(endpoint).unwrap(), compression, auth, tls, timeout);
    settings.unwrap().with_temporality(setup.temporality)
}

/// A destination that runs.
pub(crate) struct Running {
    pub(crate) queue: Queue,
    pub(crate) status: StatusHandle,
    pub(crate) preferred: Arc<PreferredCodec>,
    pub(crate) cancel: CancellationToken,
    pub(crate) registry: Registry,
    task: JoinHandle<Drained>,
}

impl Running {
    pub(crate) fn start(settings: &Settings, queue: Queue, drain: Duration) -> Self {
        let metrics = ExportMetrics::default();
        let mut registry = Registry::with_prefix("hawsepipe");
        metrics.register(&mut registry);
        let preferred = Arc::new(PreferredCodec::new(Codec::Zstd));
        let destination = Destination::otlp("main", settings, Arc::clone(&preferred), &metrics);
        let status = destination.status();
        let cancel = CancellationToken::new();
        let task = tokio::spawn(destination.run(queue.clone(), cancel.clone(), drain));
        Self { queue, status, preferred, cancel, registry, task }
    }

    pub(crate) fn with(settings: &Settings, queue: Queue) -> Self {
        Self::start(settings, queue, Duration::from_secs(10))
    }

    pub(crate) fn status(&self) -> DestinationStatus {
        self.status.get()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// Requests so far, greetings counted once each.
    pub(crate) fn requests(&self) -> usize {
        let metrics = self.metrics();
        let line = metrics.lines().find(|line| line.contains("request_duration_seconds_count"));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap()
    }

    /// Ends at once, as a process that is killed.
    pub(crate) fn kill(self) {
        self.task.abort();
    }

    /// Closes the queue and waits for the end.
    pub(crate) async fn finish(self) -> Drained {
        self.queue.close();
        self.cancel.cancel();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Drained {
        tokio::time::timeout(Duration::from_secs(30), self.task).await.unwrap().unwrap()
    }
}

/// Waits until `condition` holds; fails after half a minute.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(done.is_ok(), "not within 30 s: {what}");
}

thread_local! {
    static CAPTURED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// One subscriber for all tests, set before anything is logged: scoped ones race over which lines are enabled.
static SUBSCRIBER: Once = Once::new();

fn install_subscriber() {
    SUBSCRIBER.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| ThreadWriter)
            .init();
    });
}

struct ThreadWriter;

impl Write for ThreadWriter {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        CAPTURED.with_borrow_mut(|captured| {
            if let Some(text) = captured {
                text.extend_from_slice(data);
            }
        });
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Log lines of this thread, as text. Tests run on a single-threaded runtime of their own.
pub(crate) struct LogLines;

impl LogLines {
    pub(crate) fn capture() -> Self {
        install_subscriber();
        CAPTURED.set(Some(Vec::new()));
        Self
    }

    #[allow(clippy::unused_self, reason = "nothing is captured before capture")]
    pub(crate) fn text(&self) -> String {
        CAPTURED.with_borrow(|captured| {
            String::from_utf8_lossy(captured.as_deref().unwrap_or_default()).into_owned()
        })
    }

    /// Our own lines at INFO and above that hold `needle`.
    pub(crate) fn count(&self, needle: &str) -> usize {
        let text = self.text();
        let ours = text.lines().filter(|line| line.contains("hawsepipe_export"));
        let loud = ours.filter(|line| line.contains(" INFO ") || line.contains(" WARN "));
        loud.filter(|line| line.contains(needle)).count()
    }
}
