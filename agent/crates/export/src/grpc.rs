//! Unary gRPC on tonic's `Channel`, with bodies framed by us.
//!
//! In: a path and a message that is compressed already. Out: the server's status and message, or a [`CallError`]
//! that says why there are none. tonic's own codec compresses what it is given and cannot mark bytes that are
//! compressed already, so the five bytes before the message, the headers and the trailers are handled here
//! ("gRPC over HTTP/2", github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
//!
//! What always holds: the time limit covers connecting, sending and reading to the last trailer; an answer larger
//! than `answer::MAX_ANSWER` is not read; after any error the connection is given up, so that the next call resolves the
//! name and connects anew.

mod answer;
mod body;

use std::time::Duration;

use bytes::Bytes;
use hawsepipe_model::Codec;
use http::{HeaderName, HeaderValue, Method, Request, header};
use tokio::time::timeout;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

pub(crate) use answer::{Answer, HttpAnswer};
use body::Message;

use crate::explain;
use crate::settings::{Endpoint, Settings};
use crate::tls::Trust;

/// Connecting, the TLS handshake included, takes no longer than this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A ping after this much silence while an answer is awaited. Servers of grpc-go count more than two pings
/// without data in between as abuse (keepalive.EnforcementPolicy): a request of 30 s sends one.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The connection is dead when a ping is not answered in this time.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Finds connections that a NAT or a firewall on the way has forgotten.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// More headers than this from a server are an error.
const MAX_HEADERS: u32 = 64 * 1024;

/// What is asked of the server.
pub(crate) struct Call {
    /// `/package.Service/Method`.
    pub(crate) path: &'static str,
    /// How `message` is compressed.
    pub(crate) codec: Codec,
    /// The message, compressed.
    pub(crate) message: Bytes,
    /// The header with the key.
    pub(crate) auth: Option<(HeaderName, HeaderValue)>,
}

/// Why there is no gRPC status. All but `Http` are retried, always.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The time limit passed.
    Timeout { reason: String },
    /// No connection, or it broke.
    Transport { reason: String },
    /// The answer is not what gRPC says it must be.
    Protocol { reason: String },
    /// An answer of HTTP's, from something before the server or from no gRPC server at all.
    Http(HttpAnswer),
}

/// A client of one endpoint, one call at a time.
#[derive(Debug)]
pub(crate) struct GrpcClient {
    endpoint: Endpoint,
    trust: Trust,
    limit: Duration,
    channel: Option<Channel>,
    connection: u64,
}

impl GrpcClient {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            endpoint: settings.endpoint().clone(),
            trust: Trust::new(settings.tls().clone()),
            limit: settings.timeout(),
            channel: None,
            connection: 0,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The number of the connection that is open, by counting; `None` when none is. (A connection that the server
    /// ended in good order is replaced below us and keeps its number.)
    pub(crate) fn connection(&self) -> Option<u64> {
        self.channel.as_ref().map(|_| self.connection)
    }

    /// Makes one call.
    pub(crate) async fn call(&mut self, call: Call) -> Result<Answer, CallError> {
        if self.trust.changed() {
            self.channel = None;
        }
        let done = timeout(self.limit, self.exchange(call)).await;
        let result = done.unwrap_or_else(|_elapsed| Err(self.too_late()));
        if matches!(
            result,
            Err(CallError::Timeout { .. }
                | CallError::Transport { .. }
                | CallError::Protocol { .. })
        ) {
            self.channel = None;
        }
        result
    }

    async fn exchange(&mut self, call: Call) -> Result<Answer, CallError> {
        let request = self.request(call)?;
        let mut channel = self.connected().await?;
        let broken = |error: &tonic::transport::Error| {
            // tonic's own clock on `grpc-timeout` may be ahead of ours.
            if explain::is_caused_by::<tonic::TimeoutExpired>(error) {
                return self.too_late();
            }
            CallError::Transport {
                reason: format!(
                    "the connection to {} broke: {}",
                    self.endpoint,
                    explain::transport(error, &self.endpoint, self.trust.settings())
                ),
            }
        };
        channel.ready().await.map_err(|error| broken(&error))?;
        let response = channel.call(request).await.map_err(|error| broken(&error))?;
        answer::read(response, &self.endpoint).await
    }

    fn too_late(&self) -> CallError {
        let limit = self.limit.as_secs_f64();
        CallError::Timeout { reason: format!("no answer from {} within {limit} s", self.endpoint) }
    }

    /// Opens the connection if none is.
    pub(crate) async fn connect(&mut self) -> Result<(), CallError> {
        self.connected().await.map(drop)
    }

    async fn connected(&mut self) -> Result<Channel, CallError> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let cannot = |reason: String| CallError::Transport {
            reason: format!("cannot connect to {}: {reason}", self.endpoint),
        };
        let mut endpoint = Channel::builder(self.endpoint.uri().clone())
            .user_agent(concat!("hawsepipe/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| cannot(error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(false)
            .http2_max_header_list_size(MAX_HEADERS);
        if self.endpoint.is_tls() {
            let config = self.trust.client_config().map_err(|error| cannot(error.to_string()))?;
            endpoint = endpoint.tls_config(config).map_err(|error| {
                cannot(explain::transport(&error, &self.endpoint, self.trust.settings()))
            })?;
        }
        let connecting = timeout(CONNECT_TIMEOUT, endpoint.connect());
        let channel = connecting
            .await
            .map_err(|_elapsed| CallError::Timeout {
                reason: format!(
                    "no connection to {} within {} s",
                    self.endpoint,
                    CONNECT_TIMEOUT.as_secs()
                ),
            })?
            .map_err(|error| {
                cannot(explain::transport(&error, &self.endpoint, self.trust.settings()))
            })?;
        self.connection += 1;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    fn request(&self, call: Call) -> Result<Request<tonic::body::Body>, CallError> {
        let impossible = |reason: String| CallError::Protocol { reason };
        let message = Message::new(call.codec, call.message)
            .map_err(|error| impossible(error.to_string()))?;
        // "TimeoutValue": at most eight digits, in milliseconds 27 hours.
        let millis = self.limit.as_millis().clamp(1, 99_999_999);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(call.path)
            .header(header::TE, "trailers")
            .header("grpc-timeout", format!("{millis}m"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header("grpc-accept-encoding", "identity,gzip,zstd");
        if call.codec != Codec::Identity {
            request = request.header("grpc-encoding", call.codec.name());
        }
        if let Some((name, value)) = call.auth {
            request = request.header(name, value);
        }
        request.body(tonic::body::Body::new(message)).map_err(|error| impossible(error.to_string()))
    }
}
