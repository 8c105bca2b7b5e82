//! A receiver in a temporary folder, and clients for it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hawsepipe_proto::v1::log_query_client::LogQueryClient;
use hawsepipe_proto::v1::{QueryRequest, QueryResponse, Selection, Source};
use hawsepipe_receive::{
    DEFAULT_MAX_MESSAGE_BYTES, Receiver, Running, Settings, StartError, store,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tempfile::TempDir;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

pub(crate) const KEY: &str = "the-key-of-the-test";

pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) settings: Settings,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        fs::write(&key_file, format!("{KEY}\n")).unwrap();
        let settings = Settings {
            grpc: ([127, 0, 0, 1], 0).into(),
            http: ([127, 0, 0, 1], 0).into(),
            key_file,
            tls: None,
            store: store::Settings {
                path: folder.path().join("store"),
                max_bytes: 64 << 20,
                max_age: Duration::from_secs(3600),
            },
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
        };
        Self { folder, settings }
    }

    pub(crate) async fn try_start(&self) -> Result<Running, StartError> {
        Receiver::start(self.settings.clone()).await
    }

    pub(crate) async fn start(&self) -> Running {
        self.try_start().await.unwrap()
    }

    /// The store's segment files, oldest first.
    pub(crate) fn segment_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.settings.store.path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|suffix| suffix == "seg"))
            .collect();
        files.sort();
        files
    }
}

#[derive(Clone)]
pub(crate) struct WithKey(MetadataValue<Ascii>);

impl Interceptor for WithKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("x-api-key", self.0.clone());
        Ok(request)
    }
}

pub(crate) type Keyed = InterceptedService<Channel, WithKey>;

pub(crate) async fn channel(running: &Running) -> Channel {
    let endpoint = format!("http://{}", running.grpc_addr());
    Channel::from_shared(endpoint).unwrap().connect().await.unwrap()
}

pub(crate) fn key(key: &str) -> WithKey {
    WithKey(key.parse().unwrap())
}

pub(crate) async fn logs_client(running: &Running) -> LogsServiceClient<Keyed> {
    LogsServiceClient::with_interceptor(channel(running).await, key(KEY))
        .max_encoding_message_size(usize::MAX)
}

pub(crate) async fn query_client(running: &Running) -> LogQueryClient<Keyed> {
    LogQueryClient::with_interceptor(channel(running).await, key(KEY))
}

fn string(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}

/// A request with `lines` of `pod` (`namespace/pod/container`), at times 1 ns, 2 ns, and so on.
pub(crate) fn request(
    pod: &str,
    lines: impl IntoIterator<Item = impl Into<String>>,
) -> ExportLogsServiceRequest {
    let names: Vec<&str> = pod.split('/').collect();
    let record = |(index, line): (usize, String)| LogRecord {
        time_unix_nano: index as u64 + 1,
        body: Some(AnyValue { value: Some(Value::StringValue(line)) }),
        attributes: vec![string("log.iostream", "stderr")],
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![
                    string("k8s.namespace.name", names[0]),
                    string("k8s.pod.name", names[1]),
                    string("k8s.pod.uid", &format!("uid-of-{}", names[1])),
                    string("k8s.container.name", names[2]),
                ],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: lines.into_iter().map(Into::into).enumerate().map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// `count` lines that do not compress well, so that a store fills.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    };
    (0..count).map(|n| format!("{seed}-{n} {}{}{}", next(), next(), next())).collect()
}

/// A query's answer as it comes in.
pub(crate) struct Answer {
    stream: Streaming<QueryResponse>,
    pub(crate) sources: Vec<Source>,
    pub(crate) selection: Selection,
    pub(crate) gaps: usize,
    bodies: std::collections::VecDeque<String>,
}

impl Answer {
    pub(crate) async fn new(running: &Running, request: QueryRequest) -> Result<Self, Status> {
        let mut client = query_client(running).await;
        let mut stream = client.query(request).await?.into_inner();
        let first = stream.message().await?.unwrap();
        let mut answer = Self {
            stream,
            sources: Vec::new(),
            selection: first.selection.clone().unwrap(),
            gaps: 0,
            bodies: [].into(),
        };
        answer.note(first);
        Ok(answer)
    }

    fn note(&mut self, response: QueryResponse) {
        self.gaps += response.gaps.len();
        for source in response.sources {
            self.sources.retain(|known| known.id != source.id);
            self.sources.push(source);
        }
        for record in response.records {
            let source = self.sources.iter().find(|source| source.id == record.source);
            let pod = source.unwrap().container.clone().unwrap().pod;
            let body = record.body.unwrap();
            self.bodies.push_back(format!("{pod}: {}", body.to_text()));
        }
    }

    /// The next line, `pod: body`; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Status> {
        while self.bodies.is_empty() {
            let next = tokio::time::timeout(Duration::from_secs(30), self.stream.message());
            match next.await.expect("a response within 30 s")? {
                Some(response) => self.note(response),
                None => return Ok(None),
            }
        }
        Ok(self.bodies.pop_front())
    }
}

/// All lines that `request` selects.
pub(crate) async fn lines(running: &Running, request: QueryRequest) -> Vec<String> {
    let mut answer = Answer::new(running, request).await.unwrap();
    let mut lines = Vec::new();
    while let Some(line) = answer.next().await.unwrap() {
        lines.push(line);
    }
    lines
}

pub(crate) fn all() -> QueryRequest {
    QueryRequest::default()
}
