//! Servers: a real OTLP one whose answers can be scripted, and ones that are none.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Status, async_trait};

use crate::metrics::Metrics;
use crate::support::lines;

type Scripted = Result<ExportLogsServiceResponse, Status>;

/// What a server saw, and what it is to say.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) lines: Vec<String>,
    pub(crate) greetings: usize,
    pub(crate) encodings: Vec<String>,
    pub(crate) tries: Vec<Instant>,
    pub(crate) script: VecDeque<Scripted>,
    pub(crate) key: Option<String>,
    pub(crate) user_agent: String,
    pub(crate) requests: Vec<ExportLogsServiceRequest>,
    pub(crate) judge: Option<Judge>,
    pub(crate) max_message: Option<usize>,
}

/// What is said of a request; `None`: it is taken.
pub(crate) type Judge = Box<dyn FnMut(&ExportLogsServiceRequest) -> Option<Status> + Send>;

/// An OTLP server for logs.
#[derive(Clone, Default)]
pub(crate) struct Logs(pub(crate) Arc<Mutex<State>>);

impl Logs {
    pub(crate) fn says(&self, answer: Scripted) {
        self.0.lock().script.push_back(answer);
    }

    /// Answers each request but greetings as `judge` says.
    pub(crate) fn judged_by(
        &self,
        judge: impl FnMut(&ExportLogsServiceRequest) -> Option<Status> + Send + 'static,
    ) {
        self.0.lock().judge = Some(Box::new(judge));
    }

    /// The service takes no message larger than `bytes`; tonic sees to it.
    pub(crate) fn takes_at_most(&self, bytes: usize) {
        self.0.lock().max_message = Some(bytes);
    }

    pub(crate) fn wants_key(&self, key: &str) {
        self.0.lock().key = Some(key.to_owned());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().lines.clone()
    }
}

#[async_trait]
impl LogsService for Logs {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let mut state = self.0.lock();
        let header = |name| {
            let value = request.metadata().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        state.user_agent = header("user-agent").unwrap_or_default();
        let encoding = header("grpc-encoding").unwrap_or_default();
        let key = header("x-api-key");
        if state.key.is_some() && state.key != key {
            // Servers do quote keys.
            let said = format!("invalid key {}", key.unwrap_or_default());
            return Err(Status::unauthenticated(said));
        }
        let request = request.into_inner();
        if request.resource_logs.is_empty() {
            state.greetings += 1;
            return Ok(tonic::Response::new(ExportLogsServiceResponse::default()));
        }
        state.tries.push(Instant::now());
        let answer = state.script.pop_front();
        if let Some(Err(status)) = answer {
            return Err(status);
        }
        if let Some(status) = state.judge.as_mut().and_then(|judge| judge(&request)) {
            return Err(status);
        }
        state.encodings.push(encoding);
        state.lines.extend(lines(&request));
        state.requests.push(request);
        Ok(tonic::Response::new(answer.and_then(Result::ok).unwrap_or_default()))
    }
}

/// A server that ends with the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Running {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it as a server in a cluster ends: connections are told to go away.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let _ended = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

impl Logs {
    /// Serves on `listener`, taking `codecs`.
    pub(crate) fn serve_on(
        &self,
        listener: TcpListener,
        codecs: &[CompressionEncoding],
    ) -> Running {
        self.serve(listener, codecs, None)
    }

    pub(crate) async fn start(&self, codecs: &[CompressionEncoding]) -> Running {
        self.serve_on(listen().await, codecs)
    }

    pub(crate) fn serve(
        &self,
        listener: TcpListener,
        codecs: &[CompressionEncoding],
        tls: Option<ServerTlsConfig>,
    ) -> Running {
        self.serve_beside(None, listener, codecs, tls)
    }

    /// Serves `metrics` too.
    pub(crate) fn serve_beside(
        &self,
        metrics: Option<MetricsServiceServer<Metrics>>,
        listener: TcpListener,
        codecs: &[CompressionEncoding],
        tls: Option<ServerTlsConfig>,
    ) -> Running {
        let address = listener.local_addr().unwrap();
        let mut service = LogsServiceServer::new(self.clone());
        if let Some(bytes) = self.0.lock().max_message {
            service = service.max_decoding_message_size(bytes);
        }
        for codec in codecs {
            service = service.accept_compressed(*codec).send_compressed(*codec);
        }
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let incoming = TcpIncoming::from(listener);
        let shutdown = CancellationToken::new();
        let signal = shutdown.clone();
        let task = tokio::spawn(async move {
            let serving = server
                .add_service(service)
                .add_optional_service(metrics)
                .serve_with_incoming_shutdown(incoming, signal.cancelled_owned());
            serving.await.unwrap();
        });
        Running { address, task, shutdown }
    }
}

/// Answers each connection with `handle`.
pub(crate) async fn raw<H>(handle: H) -> Running
where
    H: Fn(TcpStream) -> BoxFuture<'static, ()> + Send + 'static,
{
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let signal = shutdown.clone();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        let mut incoming = TcpListenerStream::new(listener);
        loop {
            tokio::select! {
                stream = incoming.next() => match stream {
                    Some(Ok(stream)) => drop(connections.spawn(handle(stream))),
                    _ => return,
                },
                () = signal.cancelled() => return,
            }
        }
    });
    Running { address, task, shutdown }
}

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// Speaks HTTP (1 or 2) and answers each request with what `answer` makes.
pub(crate) async fn http<A>(answer: A) -> Running
where
    A: Fn() -> Response<Body> + Clone + Send + Sync + 'static,
{
    http_of(move |_request| {
        let answer = answer();
        Box::pin(async move { answer })
    })
    .await
}

/// Speaks HTTP (1 or 2) and answers each request with what `answer` makes of it.
pub(crate) async fn http_of<A>(answer: A) -> Running
where
    A: Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Clone + Send + Sync + 'static,
{
    raw(move |stream| {
        let answer = answer.clone();
        let service = tower::service_fn(move |request: Request<_>| {
            let answer = answer(request);
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        Box::pin(async move {
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service);
            let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
        })
    })
    .await
}
