//! A connection to a kubelet: HTTP/1.1, over TLS.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::beginning;
use super::{KubeletError, LONGEST, Page};

/// What takes an answer as it arrives.
pub(super) trait Take: Default + Send {
    /// The next piece of it.
    fn take(&mut self, piece: &[u8]);
}

impl Take for Vec<u8> {
    fn take(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

/// Where a kubelet listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Without TLS no token is sent: that is the kubelet's read-only port.
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, KubeletError> {
        let none = || KubeletError::NoEndpoint { endpoint: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_error| none())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(none()),
        };
        let host = uri.host().filter(|_| matches!(uri.path(), "" | "/")).ok_or_else(none)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if tls { super::PORT } else { 80 });
        Ok(Self { tls, host, port })
    }

    /// Host and port, as a URL has them.
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn unreachable(&self, error: &dyn Error) -> KubeletError {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            cause = error.source();
        }
        KubeletError::Unreachable { address: self.authority(), reason }
    }
}

/// An open connection.
pub(super) struct Connection {
    endpoint: Endpoint,
    sender: SendRequest<Empty<Bytes>>,
}

impl Connection {
    pub(super) async fn open(
        endpoint: &Endpoint,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, KubeletError> {
        let failed = |error: std::io::Error| endpoint.unreachable(&error);
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
        let tcp = tcp.map_err(failed)?;
        let Some(tls) = tls else { return Self::speak(endpoint, tcp).await };
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|_error| KubeletError::NoEndpoint { endpoint: endpoint.host.clone() })?;
        match TlsConnector::from(tls).connect(name, tcp).await {
            Ok(stream) => Self::speak(endpoint, stream).await,
            Err(error) => {
                let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
                Err(match tls {
                    Some(rustls::Error::InvalidCertificate(_) | rustls::Error::General(_)) => {
                        KubeletError::Untrusted { reason: error.to_string() }
                    }
                    _ => failed(error),
                })
            }
        }
    }

    async fn speak<S>(endpoint: &Endpoint, stream: S) -> Result<Self, KubeletError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| endpoint.unreachable(&error))?;
        // It ends with the sender; what goes wrong with it, the sender is told.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { endpoint: endpoint.clone(), sender })
    }

    /// Whether it is open, and to there.
    pub(super) fn goes_to(&self, endpoint: &Endpoint) -> bool {
        self.endpoint == *endpoint && !self.sender.is_closed()
    }

    pub(super) async fn get<T: Take>(
        &mut self,
        page: Page,
        token: Option<&str>,
    ) -> Result<T, KubeletError> {
        let endpoint = &self.endpoint;
        let mut request = Request::new(Empty::new());
        let odd = || KubeletError::NoEndpoint { endpoint: endpoint.authority() };
        *request.uri_mut() = page.path.parse().map_err(|_error| odd())?;
        let host = HeaderValue::try_from(endpoint.authority()).map_err(|_error| odd())?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(page.form));
        if let Some(token) = token {
            // A token with a line break in it is none.
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let mut value = value.map_err(|_error| KubeletError::Unauthorized)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let answer = answer.await.map_err(|error| endpoint.unreachable(&error))?;
        let status = answer.status();
        if status == StatusCode::OK {
            return body(endpoint, answer.into_body()).await;
        }
        let message = beginning(&body::<Vec<u8>>(endpoint, answer.into_body()).await?);
        Err(match status {
            StatusCode::UNAUTHORIZED => KubeletError::Unauthorized,
            StatusCode::FORBIDDEN => KubeletError::Forbidden { right: page.right, message },
            _ => KubeletError::Refused { status: status.as_u16(), message },
        })
    }
}

async fn body<T: Take>(endpoint: &Endpoint, mut body: Incoming) -> Result<T, KubeletError> {
    let (mut taken, mut length) = (T::default(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| endpoint.unreachable(&error))?;
        if let Ok(data) = frame.into_data() {
            length += data.len();
            if length > LONGEST {
                return Err(KubeletError::TooLong { limit: LONGEST });
            }
            taken.take(&data);
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        let read = |text: &str| {
            let Endpoint { tls, host, port } = Endpoint::parse(text).unwrap();
            (tls, host, port)
        };
        assert_eq!(read("https://10.0.0.5:10251"), (true, "10.0.0.5".to_owned(), 10251));
        assert_eq!(read("https://node-1/"), (true, "node-1".to_owned(), 10250));
        assert_eq!(read("https://[fd00::1]:10250"), (true, "fd00::1".to_owned(), 10250));
        assert_eq!(read("http://127.0.0.1:10255"), (false, "127.0.0.1".to_owned(), 10255));
        for text in
            ["", "node-1", "node-1:10250", "ftp://node-1", "https://", "https://node-1/stats"]
        {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
        assert_eq!(Endpoint::parse("https://[fd00::1]:1").unwrap().authority(), "[fd00::1]:1");
    }
}
