//! What `hawsepipe check` says of a destination.

use hawsepipe_export::{Finding, check};
use tonic::codec::CompressionEncoding::Zstd;

use crate::server::{Logs, listen};
use crate::support::{Setup, settings};

fn last(findings: &[Finding]) -> &Finding {
    findings.last().unwrap()
}

#[tokio::test]
async fn a_good_destination_has_only_good_findings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "right").unwrap();
    let logs = Logs::default();
    logs.wants_key("right");
    let server = logs.start(&[Zstd]).await;
    let setup = Setup { key_file: Some(&path), ..Setup::default() };
    let findings = check(&settings(&server.url(), setup)).await;
    assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
    let steps: Vec<_> = findings.iter().map(|finding| finding.step).collect();
    assert_eq!(steps, ["resolve", "connect", "export"]);
    assert!(last(&findings).message.contains("accepted with the key, in zstd"), "{findings:?}");
    assert!(logs.lines().is_empty(), "nothing but empty requests");
}

#[tokio::test]
async fn each_trouble_is_found_where_it_is_with_a_remedy() {
    let findings = check(&settings("http://no-such-host.invalid:4317", Setup::default())).await;
    assert_eq!((last(&findings).step, last(&findings).ok), ("resolve", false));
    assert!(last(&findings).message.contains("DNS"), "{findings:?}");

    let listener = listen().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let findings = check(&settings(&url, Setup::default())).await;
    assert_eq!((last(&findings).step, last(&findings).ok), ("connect", false));
    assert!(last(&findings).message.contains("NetworkPolicies"), "{findings:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "wrong").unwrap();
    let logs = Logs::default();
    logs.wants_key("right");
    let server = logs.start(&[Zstd]).await;
    let setup = Setup { key_file: Some(&path), ..Setup::default() };
    let findings = check(&settings(&server.url(), setup)).await;
    assert_eq!((last(&findings).step, last(&findings).ok), ("export", false));
    assert!(last(&findings).message.contains("put the right key into"), "{findings:?}");
    assert!(!last(&findings).message.contains("invalid key wrong"), "{findings:?}");

    let ca = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ca_file = dir.path().join("ca.crt");
    std::fs::write(&ca_file, ca.cert.pem()).unwrap();
    let url = format!("https://localhost:{}", server.address.port());
    let setup = Setup { ca_file: Some(&ca_file), ..Setup::default() };
    let findings = check(&settings(&url, setup)).await;
    assert_eq!((last(&findings).step, last(&findings).ok), ("tls", false));
}
