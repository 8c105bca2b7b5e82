//! TLS with a CA of our own.

use std::path::Path;

use hawsepipe_export::State;
use hawsepipe_model::Codec;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::codec::CompressionEncoding::Zstd;
use tonic::transport::{Identity, ServerTlsConfig};

use crate::server::{Logs, listen};
use crate::support::{Queue, Running, Setup, eventually, frame, settings};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_config(ca: &Ca, name: &str) -> ServerTlsConfig {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    ServerTlsConfig::new().identity(Identity::from_pem(certificate.pem(), key.serialize_pem()))
}

struct Served {
    logs: Logs,
    server: crate::server::Running,
}

async fn serve(ca: &Ca, name: &str) -> Served {
    let logs = Logs::default();
    let server = logs.serve(listen().await, &[Zstd], Some(server_config(ca, name)));
    Served { logs, server }
}

fn run(served: &Served, ca_file: &Path, server_name: Option<&str>) -> Running {
    let url = format!("https://localhost:{}", served.server.address.port());
    let setup = Setup { ca_file: Some(ca_file), server_name, ..Setup::default() };
    Running::with(&settings(&url, setup), Queue::of([frame(Codec::Zstd, &["over TLS"])]))
}

#[tokio::test]
async fn a_given_ca_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crt");
    let ca = ca();
    std::fs::write(&path, ca.pem()).unwrap();
    let served = serve(&ca, "localhost").await;
    let running = run(&served, &path, None);
    eventually("settled", || running.queue.settled() == 1).await;
    assert_eq!(served.logs.lines(), ["over TLS"]);
}

#[tokio::test]
async fn another_ca_is_a_clear_reason_and_the_right_one_ends_it_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crt");
    let right = ca();
    std::fs::write(&path, ca().pem()).unwrap();
    let served = serve(&right, "localhost").await;
    let running = run(&served, &path, None);
    eventually("retrying", || running.status().state == State::Retrying).await;

    let reason = running.status().reason.unwrap();
    assert!(reason.contains("not signed by the CA in"), "{reason}");
    assert!(reason.contains(path.to_str().unwrap()), "{reason}");
    std::fs::write(&path, right.pem()).unwrap();
    eventually("settled", || running.queue.settled() == 1).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_taken_by_its_name_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crt");
    let ca = ca();
    std::fs::write(&path, ca.pem()).unwrap();
    let served = serve(&ca, "ingest.example.com").await;
    let refused = run(&served, &path, None);
    eventually("retrying", || refused.status().state == State::Retrying).await;
    let reason = refused.status().reason.unwrap();
    assert!(reason.contains("give that name in tls.serverName"), "{reason}");

    let running = run(&served, &path, Some("ingest.example.com"));
    eventually("settled", || running.queue.settled() == 1).await;
}

#[tokio::test]
async fn a_server_without_tls_is_told_by_the_scheme() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crt");
    std::fs::write(&path, ca().pem()).unwrap();
    let logs = Logs::default();
    let server = logs.start(&[Zstd]).await;
    let served = Served { logs, server };
    let running = run(&served, &path, None);
    eventually("retrying", || running.status().state == State::Retrying).await;
    let reason = running.status().reason.unwrap();
    assert!(reason.contains("write `http://`"), "{reason}");
}

#[tokio::test]
async fn a_ca_file_that_is_replaced_while_connected_makes_a_new_connection() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crt");
    let right = ca();
    std::fs::write(&path, right.pem()).unwrap();
    let served = serve(&right, "localhost").await;
    let running = run(&served, &path, None);
    eventually("settled", || running.queue.settled() == 1).await;

    let next = dir.path().join("next");
    std::fs::write(&next, ca().pem()).unwrap();
    std::fs::rename(&next, &path).unwrap();
    running.queue.push(frame(Codec::Zstd, &["not trusted any more"]));
    eventually("retrying", || running.status().state == State::Retrying).await;
    assert_eq!(running.queue.settled(), 1);
}
