//! What the store promises: bounded, durable, and as whole as its files.

use std::fs;
use std::time::{Duration, Instant};

use hawsepipe_proto::v1::QueryRequest;
use hawsepipe_receive::StartError;
use hawsepipe_receive::store::{MIN_MAX_BYTES, StoreError};
use prometheus_client::registry::Registry;

use crate::harness::*;

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("pod: {n}")).collect()
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let rig = Rig::new();
    for round in 0..3 {
        let running = rig.start().await;
        let mut client = logs_client(&running).await;
        for n in 0..10 {
            let line = (round * 10 + n).to_string();
            client.export(request("ns/pod/c", [line])).await.unwrap();
        }
        running.shutdown().await;
    }
    let running = rig.start().await;
    assert_eq!(lines(&running, all()).await, numbered(0, 30));
    let status = running.status().store;
    assert_eq!((status.records, status.segments, status.containers), (30, 3, 1));
}

#[tokio::test]
async fn a_write_that_was_torn_by_a_kill_costs_itself_alone() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    for n in 0..10 {
        client.export(request("ns/pod/c", [n.to_string()])).await.unwrap();
    }
    running.shutdown().await;
    let file = rig.segment_files().pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();

    let running = rig.start().await;
    assert_eq!(lines(&running, all()).await, numbered(0, 9));
    let mut registry = Registry::with_prefix("hawsepipe");
    running.register(&mut registry);
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &registry).unwrap();
    let torn = metrics.lines().find_map(|line| {
        line.strip_prefix("hawsepipe_receiver_store_torn_bytes_total ")?.parse::<u64>().ok()
    });
    let torn = torn.unwrap();
    assert!(torn > 0);
    // It goes on behind what is there.
    let mut client = logs_client(&running).await;
    client.export(request("ns/pod/c", ["9"])).await.unwrap();
    assert_eq!(lines(&running, all()).await, numbered(0, 10));
}

#[tokio::test]
async fn a_flipped_bit_costs_its_frame_and_is_told_to_the_reader() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    let mut ends = Vec::new();
    for n in 0..5 {
        client.export(request("ns/pod/c", [n.to_string()])).await.unwrap();
        ends.push(fs::metadata(&rig.segment_files()[0]).unwrap().len());
    }
    let file = &rig.segment_files()[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[usize::try_from(ends[2]).unwrap() - 1] ^= 4;
    fs::write(file, bytes).unwrap();

    let mut answer = Answer::new(&running, all()).await.unwrap();
    let mut got = Vec::new();
    while let Some(line) = answer.next().await.unwrap() {
        got.push(line);
    }
    assert_eq!(got, ["pod: 0", "pod: 1", "pod: 3", "pod: 4"]);
    assert_eq!(answer.gaps, 1);
    assert!(running.status().damaged_frames >= 1);
    let tail = QueryRequest { tail: Some(3), ..all() };
    assert_eq!(lines(&running, tail).await, ["pod: 1", "pod: 3", "pod: 4"]);
}

#[tokio::test]
async fn the_store_never_exceeds_its_bytes_and_keeps_the_newest() {
    let mut rig = Rig::new();
    rig.settings.store.max_bytes = 2 * MIN_MAX_BYTES;
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    let size = |rig: &Rig| -> u64 {
        let files = rig.segment_files();
        files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
    };
    let mut sent = Vec::new();
    for seed in 0..200 {
        let noise = noise(seed, 500);
        sent.extend(noise.iter().map(|line| format!("pod: {line}")));
        client.export(request("ns/pod/c", noise)).await.unwrap();
        assert!(size(&rig) <= 2 * MIN_MAX_BYTES, "{}", size(&rig));
    }
    let kept = lines(&running, all()).await;
    assert_eq!(kept, sent[sent.len() - kept.len()..]);
    let status = running.status();
    assert_eq!(status.store.bytes, size(&rig));
    assert_eq!(status.store.records, kept.len() as u64);
    let dropped = usize::try_from(status.dropped_records["bytes"]).unwrap();
    assert_eq!(kept.len() + dropped, sent.len());
    assert!(dropped > 0 && size(&rig) > MIN_MAX_BYTES * 3 / 2, "{dropped} {}", size(&rig));

    // A bound that was lowered holds from the start.
    running.shutdown().await;
    rig.settings.store.max_bytes = MIN_MAX_BYTES;
    let running = rig.start().await;
    assert!(size(&rig) <= MIN_MAX_BYTES, "{}", size(&rig));
    let fewer = lines(&running, all()).await;
    assert!(!fewer.is_empty() && fewer.len() < kept.len());
    assert_eq!(fewer, kept[kept.len() - fewer.len()..]);
}

#[tokio::test]
async fn records_that_are_too_old_go() {
    let mut rig = Rig::new();
    rig.settings.store.max_age = Duration::from_millis(200);
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    client.export(request("ns/pod/c", ["soon gone"])).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while running.status().store.records > 0 {
        assert!(Instant::now() < deadline, "{:?}", running.status());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(lines(&running, all()).await, [""; 0]);
    assert!(rig.segment_files().is_empty());
    assert_eq!(running.status().dropped_records["age"], 1);
}

#[tokio::test]
async fn a_folder_in_use_is_refused_until_it_is_released() {
    let rig = Rig::new();
    let running = rig.start().await;
    let error = rig.try_start().await.unwrap_err();
    assert!(matches!(error, StartError::Store(StoreError::InUse { .. })), "{error}");
    let path = rig.settings.store.path.to_str().unwrap();
    assert!(error.to_string().contains(path), "{error}");
    running.shutdown().await;
    rig.start().await;
}

#[tokio::test]
async fn a_segment_of_a_newer_version_is_set_aside_and_the_rest_served() {
    let rig = Rig::new();
    for line in ["newer", "ours"] {
        let running = rig.start().await;
        let mut client = logs_client(&running).await;
        client.export(request("ns/pod/c", [line])).await.unwrap();
        running.shutdown().await;
    }
    let file = &rig.segment_files()[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[8] = 99;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes).unwrap();
    for _ in 0..2 {
        let running = rig.start().await;
        assert_eq!(lines(&running, all()).await, ["pod: ours"]);
        assert_eq!(running.status().store.segments, 2);
        running.shutdown().await;
    }
    assert!(file.with_extension("set-aside").exists());
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let mut rig = Rig::new();
    rig.settings.store.max_bytes = 10;
    let error = rig.try_start().await.unwrap_err().to_string();
    assert!(error.contains("10 bytes"), "{error}");
    let mut rig = Rig::new();
    rig.settings.key_file = "/nowhere/key".into();
    let error = rig.try_start().await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/key"), "{error}");
    let rig = Rig::new();
    let running = rig.start().await;
    let mut other = Rig::new();
    other.settings.grpc = running.grpc_addr();
    let error = other.try_start().await.unwrap_err().to_string();
    assert!(error.contains(&running.grpc_addr().to_string()), "{error}");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_tells_senders_to_try_again_and_recovers() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    fs::remove_dir_all(&rig.settings.store.path).unwrap();
    for _ in 0..2 {
        let status = client.export(request("ns/pod/c", ["one"])).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    }
    let status = running.status();
    assert_eq!(status.refused["store"], 2);
    let path = rig.settings.store.path.to_str().unwrap();
    assert!(status.store.last_error.unwrap().contains(path));
    fs::create_dir(&rig.settings.store.path).unwrap();
    client.export(request("ns/pod/c", ["one"])).await.unwrap();
    assert_eq!(running.status().store.last_error, None);
    assert_eq!(lines(&running, all()).await, ["pod: one"]);
}
