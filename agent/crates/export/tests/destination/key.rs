//! The key: wrong, missing, changed, and shown nowhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hawsepipe_export::State;
use hawsepipe_model::Codec;
use tonic::codec::CompressionEncoding::Zstd;

use crate::server::Logs;
use crate::support::{LogLines, Queue, Running, Setup, eventually, frame, settings};

/// Writes a Secret as the kubelet mounts it: a folder per version, `..data` pointing to it, swapped by rename.
fn mount(dir: &Path, version: &str, key: &str) {
    let folder = dir.join(version);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("key"), key).unwrap();
    symlink(version, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    let link = dir.join("key");
    if !link.exists() {
        symlink("..data/key", link).unwrap();
    }
}

#[tokio::test]
async fn a_wrong_key_holds_everything_until_the_secret_is_corrected() {
    let log = LogLines::capture();
    let dir = tempfile::tempdir().unwrap();
    mount(dir.path(), "..v1", "wrong-Xa81kq\n");
    let path = dir.path().join("key");
    let logs = Logs::default();
    logs.wants_key("right-Qm27vz");
    let server = logs.start(&[Zstd]).await;
    let sent: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
    let queue = Queue::of(sent.iter().map(|line| frame(Codec::Zstd, &[line])));
    let setup = Setup { key_file: Some(&path), ..Setup::default() };
    let running = Running::with(&settings(&server.url(), setup), queue);
    eventually("blocked", || running.status().state == State::Blocked).await;

    let status = running.status();
    assert_eq!(status.blocked.as_deref(), Some("key_refused"));
    let reason = status.reason.clone().unwrap();
    assert!(reason.contains("UNAUTHENTICATED: invalid key ***"), "{reason}");
    assert!(reason.contains(path.to_str().unwrap()), "{reason}");
    assert!(running.metrics().contains(r#"hawsepipe_export_blocked{destination="main"} 1"#));
    assert_eq!(running.queue.settled(), 0);

    mount(dir.path(), "..v2", "right-Qm27vz\n");
    eventually("all settled", || running.queue.settled() == 20).await;
    assert_eq!(logs.lines(), sent);
    assert!(running.metrics().contains(r#"hawsepipe_export_blocked{destination="main"} 0"#));
    assert_eq!(log.count("destination blocked"), 1, "{}", log.text());
    assert_eq!(log.count("destination recovered"), 1, "{}", log.text());
    let shown = format!("{}{:?}{:?}{}", log.text(), status, running.status(), running.metrics());
    assert!(shown.contains("hyper") || shown.contains("h2"), "the libraries' own lines are in");
    for secret in ["Xa81kq", "Qm27vz"] {
        assert!(!shown.contains(secret), "the key is shown");
    }
}

#[tokio::test]
async fn a_key_that_is_changed_is_used_for_the_next_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, "old").unwrap();
    let logs = Logs::default();
    logs.wants_key("old");
    let server = logs.start(&[Zstd]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["with the old"])]);
    let setup = Setup { key_file: Some(&path), ..Setup::default() };
    let running = Running::with(&settings(&server.url(), setup), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    fs::write(&path, "new").unwrap();
    logs.wants_key("new");
    running.queue.push(frame(Codec::Zstd, &["with the new"]));
    eventually("settled", || running.queue.settled() == 2).await;
    assert_eq!(running.status().retries, 0);
}

#[tokio::test]
async fn a_key_file_without_a_key_blocks_by_its_path_until_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, "\n").unwrap();
    let logs = Logs::default();
    logs.wants_key("late");
    let server = logs.start(&[Zstd]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["held"])]);
    let setup = Setup { key_file: Some(&path), ..Setup::default() };
    let running = Running::with(&settings(&server.url(), setup), queue);
    eventually("blocked", || running.status().state == State::Blocked).await;

    let status = running.status();
    assert_eq!(status.blocked.as_deref(), Some("key_unreadable"));
    assert!(status.reason.unwrap().contains(path.to_str().unwrap()));
    fs::write(&path, "late\n").unwrap();
    eventually("settled", || running.queue.settled() == 1).await;
    assert_eq!(logs.lines(), ["held"]);
}

#[tokio::test]
async fn a_destination_that_wants_a_key_that_is_not_configured_says_so() {
    let logs = Logs::default();
    logs.wants_key("some");
    let server = logs.start(&[Zstd]).await;
    let running = Running::with(&settings(&server.url(), Setup::default()), Queue::default());
    eventually("blocked", || running.status().state == State::Blocked).await;
    let reason = running.status().reason.unwrap();
    assert!(reason.contains("none is configured; set auth.header and auth.keyFile"), "{reason}");
}
