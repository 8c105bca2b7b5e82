//! The client of the kubelet against a server that speaks TLS, behaves, and does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may, its helpers too")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hawsepipe_cluster::kubelet::{
    ANSWER_WITHIN, Kubelet, KubeletError, KubeletSettings, KubeletSource, Summary,
};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

const SUMMARY: &str = include_str!("fixtures/summary.json");
const CADVISOR: &str = include_str!("fixtures/cadvisor.txt");

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server config with a certificate of that CA for that name.
fn certified(ca: &Ca, name: &str) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    config.with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// What the server says to the next requests.
#[derive(Clone)]
enum Reply {
    /// Status and body.
    Answer(u16, String),
    /// A body that is announced longer than it is.
    CutOff,
    /// Nothing, and the connection stays.
    Silence,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<String>,
    /// How many requests a connection takes before it is closed.
    per_connection: Option<usize>,
}

/// A kubelet.
struct Server {
    port: u16,
    reply: Arc<Mutex<Reply>>,
    seen: Arc<Mutex<Seen>>,
    /// The ServiceAccount of who asks.
    folder: tempfile::TempDir,
}

impl Server {
    /// A kubelet with a certificate of the cluster's CA for its address.
    async fn start() -> Self {
        let ca = ca();
        let server = Self::with(certified(&ca, "127.0.0.1")).await;
        std::fs::write(server.folder.path().join("ca.crt"), ca.pem()).unwrap();
        server
    }

    /// A kubelet of which the cluster's CA knows nothing.
    async fn with(tls: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "one\n").unwrap();
        std::fs::write(folder.path().join("ca.crt"), ca().pem()).unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            reply: Arc::new(Mutex::new(Reply::Answer(200, SUMMARY.to_owned()))),
            seen: Arc::default(),
            folder,
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let (reply, seen) = (Arc::clone(&server.reply), Arc::clone(&server.seen));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                seen.lock().connections += 1;
                let (acceptor, reply, seen) =
                    (acceptor.clone(), Arc::clone(&reply), Arc::clone(&seen));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream, &reply, &seen).await;
                    }
                });
            }
        });
        server
    }

    fn settings(&self) -> KubeletSettings {
        KubeletSettings {
            endpoint: Some(format!("https://127.0.0.1:{}", self.port)),
            service_account: self.folder.path().to_owned(),
            ..KubeletSettings::of_node("node-1")
        }
    }

    fn kubelet(&self) -> Kubelet {
        Kubelet::new(self.settings(), None, Handle::current())
    }

    fn says(&self, status: u16, body: &str) {
        *self.reply.lock() = Reply::Answer(status, body.to_owned());
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().requests.clone()
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: &Mutex<Reply>,
    seen: &Mutex<Seen>,
) {
    let mut served = 0;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        seen.lock().requests.push(String::from_utf8(head).unwrap());
        let reply = reply.lock().clone();
        let text = match reply {
            Reply::Answer(status, body) => {
                format!("HTTP/1.1 {status} So\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            Reply::CutOff => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"node\":".to_owned(),
            Reply::Silence => return std::future::pending().await,
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        served += 1;
        if text.contains("length: 100\r") || seen.lock().per_connection == Some(served) {
            drop(stream.shutdown().await);
            return;
        }
    }
}

async fn failure(kubelet: &Kubelet) -> KubeletError {
    match kubelet.fetch().await {
        Ok(summary) => panic!("{summary:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_kubelet_of_the_clusters_ca_is_asked_over_one_connection_with_the_token_of_the_moment() {
    let server = Server::start().await;
    let kubelet = server.kubelet();
    let summary = kubelet.fetch().await.unwrap();
    assert_eq!(summary.node.node_name, "node-1");
    server.file("token", "two\n");
    kubelet.fetch().await.unwrap();
    let requests = server.requests();
    assert!(requests[0].starts_with("GET /stats/summary HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("authorization: Bearer one\r\n"), "{requests:?}");
    assert!(requests[1].contains("authorization: Bearer two\r\n"), "{requests:?}");
    assert_eq!(server.seen.lock().connections, 1);
    assert_eq!(kubelet.unverified(), None);
}

#[tokio::test]
async fn what_it_says_is_read_to_the_last_field_and_what_is_null_is_not_there() {
    let server = Server::start().await;
    let Summary { node, pods } = server.kubelet().fetch().await.unwrap();
    assert_eq!(node.cpu.usage_core_nano_seconds, Some(1_800_000_000_000));
    assert_eq!(node.memory.working_set_bytes, Some(2_000_000_000));
    assert_eq!((node.network.name.as_str(), node.network.tx_errors), ("eth0", Some(2)));
    assert_eq!((node.fs.inodes_used, node.runtime.image_fs.used_bytes), (Some(3), Some(25)));
    assert_eq!(node.runtime.container_fs.used_bytes, None);
    assert_eq!((node.rlimit.max_pid, node.rlimit.current), (Some(4_194_304), Some(812)));
    assert_eq!(node.swap.swap_usage_bytes, Some(512));
    let pod = &pods[0];
    assert_eq!(pod.pod_ref.uid, "3a1f6f0e-7a52-4be0-9a3e-0d5c2f1b7e11");
    assert_eq!(pod.ephemeral_storage.used_bytes, Some(12_288));
    assert_eq!(
        (pod.volumes[0].fs.used_bytes, &*pod.volumes[0].pvc_ref.name),
        (Some(100), "data-checkout")
    );
    assert_eq!(pod.volumes[1].pvc_ref.name, "");
    assert_eq!(pod.containers[0].logs.used_bytes, Some(8192));
    assert_eq!((pods[1].containers.len(), &*pods[1].start_time), (0, ""));
}

#[tokio::test]
async fn what_its_summary_leaves_out_is_asked_for_over_the_same_connection() {
    let server = Server::start().await;
    let kubelet = server.kubelet();
    kubelet.fetch().await.unwrap();
    server.says(200, CADVISOR);
    let counted = kubelet.fetch_cadvisor().await.unwrap();
    let uid = "3a1f6f0e-7a52-4be0-9a3e-0d5c2f1b7e11";
    let container = counted.container("shop", "checkout-1", uid, "checkout", None).unwrap();
    assert_eq!((container.periods, container.oom_kills), (Some(1200), Some(2)));
    let requests = server.requests();
    assert!(requests[1].starts_with("GET /metrics/cadvisor HTTP/1.1\r\n"), "{requests:?}");
    assert_eq!(server.seen.lock().connections, 1);
}

#[tokio::test]
async fn metrics_that_are_none_or_are_refused_say_so() {
    let server = Server::start().await;
    let kubelet = server.kubelet();
    for (status, body, says) in [
        (403, "Forbidden", "resources [nodes/metrics]"),
        (401, "", "token"),
        (200, "<html>", "at /metrics/cadvisor are no metrics"),
        (200, SUMMARY, "nothing of containers"),
        (200, "", "nothing of containers"),
    ] {
        server.says(status, body);
        let error = kubelet.fetch_cadvisor().await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    *server.reply.lock() = Reply::CutOff;
    let error = kubelet.fetch_cadvisor().await.unwrap_err();
    assert!(matches!(error, KubeletError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    let server = Server::start().await;
    server.seen.lock().per_connection = Some(1);
    let kubelet = server.kubelet();
    for _ in 0..3 {
        kubelet.fetch().await.unwrap();
    }
    assert_eq!(server.requests().len(), 3);
    assert_eq!(server.seen.lock().connections, 3);
}

#[tokio::test]
async fn a_kubelet_that_nobody_vouches_for_is_told_nothing() {
    let server = Server::with(certified(&ca(), "127.0.0.1")).await;
    let error = failure(&server.kubelet()).await;
    assert!(matches!(error, KubeletError::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("metrics.kubelet.caFile"), "{error}");
    assert!(server.requests().is_empty(), "no token to a stranger");
}

#[tokio::test]
async fn a_ca_of_the_kubelet_s_own_is_trusted_beside_the_clusters() {
    let own = ca();
    let server = Server::with(certified(&own, "127.0.0.1")).await;
    let ca_file = Some(server.file("kubelet.crt", &own.pem()));
    let settings = KubeletSettings { ca_file, ..server.settings() };
    let kubelet = Kubelet::new(settings, None, Handle::current());
    kubelet.fetch().await.unwrap();
    assert_eq!(kubelet.unverified(), None);
}

#[tokio::test]
async fn a_certificate_for_the_nodes_name_is_the_kubelets_and_one_for_another_node_is_not() {
    for (name, good) in [("node-1", true), ("node-2", false)] {
        let ca = ca();
        let server = Server::with(certified(&ca, name)).await;
        server.file("ca.crt", &ca.pem());
        let answer = server.kubelet().fetch().await;
        assert_eq!(answer.is_ok(), good, "{name}");
        assert!(good || matches!(answer, Err(KubeletError::Untrusted { .. })));
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_taken_where_that_is_said_and_it_is_told() {
    let server = Server::with(certified(&ca(), "elsewhere")).await;
    let settings = KubeletSettings { insecure_skip_verify: true, ..server.settings() };
    let kubelet = Kubelet::new(settings, None, Handle::current());
    kubelet.fetch().await.unwrap();
    assert!(kubelet.unverified().is_some());
    // Also where there is no CA at all.
    std::fs::remove_file(server.folder.path().join("ca.crt")).unwrap();
    let settings = KubeletSettings { insecure_skip_verify: true, ..server.settings() };
    Kubelet::new(settings, None, Handle::current()).fetch().await.unwrap();
    let error = failure(&server.kubelet()).await;
    assert!(matches!(error, KubeletError::NoCa { .. }), "{error:?}");
}

#[tokio::test]
async fn every_bad_answer_is_told_for_what_it_is_and_the_next_good_one_counts() {
    let server = Server::start().await;
    let kubelet = server.kubelet();
    let half = &SUMMARY[..SUMMARY.len() / 2];
    type Is = fn(&KubeletError) -> bool;
    let no_summary: Is = |error| matches!(error, KubeletError::NoSummary { .. });
    let cases: [(u16, &str, Is, &str); 8] = [
        (401, "Unauthorized", |error| matches!(error, KubeletError::Unauthorized), "token"),
        (
            403,
            "Forbidden (user=u, verb=get, resource=nodes, subresource=[stats])",
            |error| matches!(error, KubeletError::Forbidden { .. }),
            "resources [nodes/stats]",
        ),
        (500, "oh", |error| matches!(error, KubeletError::Refused { status: 500, .. }), "500: oh"),
        (404, "", |error| matches!(error, KubeletError::Refused { status: 404, .. }), "404"),
        (200, "<html>\n<body>Welcome", no_summary, "it begins `<html> <body>Welcome`"),
        (200, half, no_summary, "EOF"),
        (200, "{}", no_summary, "nothing of a node"),
        (200, "", no_summary, "EOF"),
    ];
    for (status, body, is, says) in cases {
        server.says(status, body);
        let error = failure(&kubelet).await;
        assert!(is(&error), "{status} {body:.20}: {error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains("Bearer") && !error.to_string().contains("one\n"));
        server.says(200, SUMMARY);
        kubelet.fetch().await.unwrap();
    }
    *server.reply.lock() = Reply::CutOff;
    let error = failure(&kubelet).await;
    assert!(matches!(error, KubeletError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_kubelet_that_says_nothing_is_waited_for_no_longer_than_is_said_and_then_asked_anew() {
    let server = Server::start().await;
    *server.reply.lock() = Reply::Silence;
    let kubelet = Arc::new(server.kubelet());
    let asking = tokio::spawn({
        let kubelet = Arc::clone(&kubelet);
        async move { failure(&kubelet).await }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.requests().is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let error = asking.await.unwrap();
    assert!(matches!(error, KubeletError::Silent { .. }), "{error:?}");
    assert!(begun.elapsed() <= ANSWER_WITHIN);
    tokio::time::resume();
    server.says(200, SUMMARY);
    kubelet.fetch().await.unwrap();
    assert_eq!(server.seen.lock().connections, 2);
}

#[tokio::test]
async fn without_an_address_a_token_or_somebody_who_listens_it_is_said_what_is_missing() {
    let server = Server::start().await;
    let of = |settings| Kubelet::new(settings, None, Handle::current());
    let error = failure(&of(KubeletSettings { endpoint: None, ..server.settings() })).await;
    assert!(matches!(error, KubeletError::NoAddress), "{error:?}");
    let endpoint = Some("node-1".to_owned());
    let error = failure(&of(KubeletSettings { endpoint, ..server.settings() })).await;
    assert!(matches!(error, KubeletError::NoEndpoint { .. }), "{error:?}");
    // Nobody listens on a port that was just given back.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = Some(format!("https://{free}"));
    let error = failure(&of(KubeletSettings { endpoint, ..server.settings() })).await;
    assert!(matches!(error, KubeletError::Unreachable { .. }), "{error:?}");
    std::fs::remove_file(server.folder.path().join("token")).unwrap();
    let error = failure(&server.kubelet()).await;
    assert!(matches!(error, KubeletError::NoToken { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_on_a_thread_of_its_own_waits_for_the_answer() {
    let server = Server::start().await;
    let kubelet = server.kubelet();
    let summary = tokio::task::spawn_blocking(move || kubelet.summary()).await.unwrap().unwrap();
    assert_eq!(summary.pods.len(), 2);
}
