//! What a spool promises, on a real folder, with its threads.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test may, its helpers too

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hawsepipe_model::{
    AppendError, Codec, Cover, Extent, Fingerprint, Frame, FrameSink, FrameSource, Loss,
    LossReason, Position, SegmentId, SegmentState, SettlingSink, Signal, StreamKey, Tally,
};
use hawsepipe_spool::{
    CatchUp, DestinationSettings, MinFree, Settings, Source, Spool, SpoolError, WhenFull,
};

const CAPACITY: u64 = 4 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

fn settings(path: &Path, destinations: &[(&str, WhenFull)]) -> Settings {
    Settings {
        path: path.to_owned(),
        files_max_bytes: CAPACITY,
        pushed_max_bytes: CAPACITY,
        sampled_max_bytes: CAPACITY,
        working_set: CAPACITY / 4,
        min_free: MinFree::Bytes(0),
        destinations: destinations.iter().map(|(name, full)| destination(name, *full)).collect(),
    }
}

fn destination(name: &str, when_full: WhenFull) -> DestinationSettings {
    DestinationSettings { name: name.into(), when_full, catch_up: CatchUp::NewestFirst }
}

fn one(path: &Path) -> Settings {
    settings(path, &[("main", WhenFull::Block)])
}

fn stream() -> StreamKey {
    StreamKey("ns_pod_uid/c".into())
}

/// Frame `number`: one record of `len` bytes that covers the byte `number` of a file.
fn frame(number: u64, len: usize) -> Frame {
    let both = |at| Position { stdout: at, stderr: at };
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(len.max(8), u8::try_from(number % 251).unwrap());
    Frame {
        signal: Signal::Logs,
        codec: Codec::Identity,
        uncompressed_len: payload.len(),
        records: 1,
        payload: payload.into(),
        covers: vec![Cover {
            stream: stream(),
            segment: SegmentId { restart: 0, device: 1, inode: 2, born_nanos: 3 },
            from: both(number),
            position: both(number + 1),
            fingerprint: Fingerprint { head: 4, before: 5 },
            state: SegmentState::Open,
            rest: None,
        }],
        tallies: vec![Tally { stream: stream(), records: 1, bytes: len as u64 }],
        losses: Vec::new(),
        replaces: Vec::new(),
    }
}

fn metrics(number: u64) -> Frame {
    Frame { signal: Signal::Metrics, covers: Vec::new(), tallies: Vec::new(), ..frame(number, 100) }
}

fn number(frame: &Frame) -> u64 {
    u64::from_le_bytes(frame.payload[..8].try_into().unwrap())
}

async fn take(source: &mut Source) -> u64 {
    let taken = tokio::time::timeout(DEADLINE, source.next()).await.expect("a frame in time");
    let number = number(&taken.expect("a frame"));
    source.settle(Vec::new()).await;
    number
}

#[tokio::test]
async fn every_destination_gets_every_frame_in_order_at_its_own_pace_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &[("fast", WhenFull::Block), ("slow", WhenFull::Block)]);
    let (spool, remembered) = Spool::open(&settings).unwrap();
    assert!(remembered.first_start.is_none() && remembered.positions.is_empty());
    (0..10).for_each(|number| spool.files().append(frame(number, 1000)).unwrap());
    let (mut fast, mut slow) = (spool.source("fast").unwrap(), spool.source("slow").unwrap());
    for number in 0..8 {
        assert_eq!(take(&mut fast).await, number);
    }
    assert_eq!(take(&mut slow).await, 0);
    drop((fast, slow, spool));

    let (spool, remembered) = Spool::open(&settings).unwrap();
    assert!(remembered.first_start.is_some_and(|born| born > 0));
    assert_eq!(remembered.positions.len(), 1);
    assert_eq!(remembered.positions[0].position.stdout, 10, "what was appended is not read again");
    assert_eq!(remembered.positions[0].fingerprint, Fingerprint { head: 4, before: 5 });
    let (mut fast, mut slow) = (spool.source("fast").unwrap(), spool.source("slow").unwrap());
    for number in 8..10 {
        assert_eq!(take(&mut fast).await, number);
    }
    for number in 1..10 {
        assert_eq!(take(&mut slow).await, number);
    }
    assert_eq!(spool.files().usage().frames, 0);
    spool.close();
    assert!(fast.next().await.is_none() && slow.next().await.is_none());
}

#[tokio::test]
async fn a_frame_comes_again_until_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    spool.files().append(frame(7, 10)).unwrap();
    let mut source = spool.source("main").unwrap();
    for _ in 0..2 {
        assert_eq!(number(&source.next().await.unwrap()), 7);
    }
    drop((source, spool));
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    assert_eq!(take(&mut spool.source("main").unwrap()).await, 7);
}

#[tokio::test]
async fn a_waiting_destination_is_woken_by_a_frame_and_by_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    let mut source = spool.source("main").unwrap();
    let task = tokio::spawn(async move {
        let first = number(&source.next().await.unwrap());
        source.settle(Vec::new()).await;
        (first, source.next().await.is_none())
    });
    tokio::task::yield_now().await;
    spool.files().append(frame(7, 1)).unwrap();
    tokio::task::yield_now().await;
    spool.close();
    assert_eq!(task.await.unwrap(), (7, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_takes_nothing_until_frames_are_settled_and_stays_within_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    let mut appended = 0;
    while spool.files().append(frame(appended, 100_000)).is_ok() {
        appended += 1;
    }
    assert!(appended > 20, "{appended}");
    assert!(matches!(spool.files().append(frame(0, 100_000)), Err(AppendError::Full(_))));
    assert!(!spool.files().wait_for_room(200_000, Duration::from_millis(1)));
    let lane = spool.files().clone();
    let waiter = std::thread::spawn(move || lane.wait_for_room(200_000, DEADLINE));
    let mut source = spool.source("main").unwrap();
    for number in 0..10 {
        assert_eq!(take(&mut source).await, number);
    }
    assert!(waiter.join().unwrap(), "{:?}", spool.files().usage());
    spool.files().append(frame(appended, 100_000)).unwrap();
    let on_disk: u64 = fs::read_dir(folder.path().join("files"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "reserve")
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(on_disk <= CAPACITY, "{on_disk}");
}

#[test]
fn a_frame_larger_than_the_lane_comes_back_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    let error = spool.files().append(frame(1, 5 << 20)).unwrap_err();
    assert!(error.to_string().contains("spool.files.maxBytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_may_drop_never_holds_up_the_other_and_its_loss_is_counted_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &[("down", WhenFull::Drop), ("up", WhenFull::Block)]);
    let (spool, _) = Spool::open(&settings).unwrap();
    let mut down = spool.source("down").unwrap();
    let mut up = spool.source("up").unwrap();
    // In its hand all the time.
    assert!(spool.files().append(frame(0, 50_000)).is_ok());
    assert_eq!(number(&down.next().await.unwrap()), 0);
    assert_eq!(take(&mut up).await, 0);
    for next in 1..400 {
        loop {
            match spool.files().append(frame(next, 50_000)) {
                Ok(()) => break,
                Err(AppendError::Full(_)) => {
                    assert!(spool.files().wait_for_room(60_000, DEADLINE), "held up");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(take(&mut up).await, next);
    }
    // What it had in its hand arrives after all.
    down.settle(Vec::new()).await;
    let mut received = 1;
    let mut last = 0;
    spool.close();
    while let Some(frame) = down.next().await {
        assert!(number(&frame) > last, "in order");
        last = number(&frame);
        received += 1;
        down.settle(Vec::new()).await;
    }
    assert_eq!(last, 399);
    let ledger = spool.ledger();
    let (key, entry) = ledger.entries().next().unwrap();
    assert_eq!((&*key.namespace, &*key.pod, key.reason), ("ns", "pod", LossReason::SpoolFull));
    assert_eq!(key.destination.as_deref(), Some("down"));
    assert!(entry.extent.records > 300, "{entry:?}");
    let lost = 400 - received;
    assert_eq!(entry.extent, Extent::known(lost, lost * 50_000));
    assert_eq!(ledger.entries().count(), 1);
    drop((down, up, spool));
    let (spool, _) = Spool::open(&settings).unwrap();
    assert_eq!(spool.ledger(), ledger, "remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sampled_passes_before_log_bulk_and_not_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    for count in 0..20 {
        spool.files().append(frame(count, 10)).unwrap();
        spool.sampled().append(metrics(1000 + count)).unwrap();
    }
    let mut source = spool.source("main").unwrap();
    let mut order = Vec::new();
    for _ in 0..40 {
        order.push(take(&mut source).await);
    }
    assert_eq!(order[..5], [1000, 1001, 1002, 1003, 0]);
    assert_eq!(order[order.len() - 10..], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
}

#[tokio::test]
async fn losses_are_remembered_with_the_frame_and_with_the_acknowledgement_that_tells_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let loss = |reason, count| Loss::of_stream(&stream(), reason, Extent::known(count, 0));
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    let cut = vec![loss(LossReason::RecordTooLarge, 1)];
    spool.files().append(Frame { losses: cut, ..frame(0, 10) }).unwrap();
    let deleted = vec![loss(LossReason::DeletedBeforeRead, 5)];
    spool.files().append(Frame::note(Vec::new(), deleted, Vec::new())).unwrap();
    let mut source = spool.source("main").unwrap();
    source.next().await.unwrap();
    source.settle(vec![loss(LossReason::InvalidArgument, 2)]).await;
    let told = |spool: &Spool| {
        let ledger = spool.ledger();
        ledger.entries().map(|(key, it)| (key.reason, it.extent.records)).collect::<Vec<_>>()
    };
    let expected = vec![
        (LossReason::RecordTooLarge, 1),
        (LossReason::DeletedBeforeRead, 5),
        (LossReason::InvalidArgument, 2),
    ];
    assert_eq!(told(&spool), expected);
    drop((source, spool));
    for _ in 0..3 {
        let (spool, _) = Spool::open(&one(folder.path())).unwrap();
        assert_eq!(told(&spool), expected, "and once");
    }
}

/// The journal's tests have this with a clock of their own; here it is the real one.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_time_away_what_is_new_goes_first_and_a_killed_process_skips_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ordered = DestinationSettings {
        catch_up: CatchUp::InOrder,
        ..destination("ordered", WhenFull::Block)
    };
    let mut settings = one(folder.path());
    settings.destinations.push(ordered);
    let (spool, _) = Spool::open(&settings).unwrap();
    (0..30).for_each(|number| spool.files().append(frame(number, 1000)).unwrap());
    // Older than ten seconds, it is a backlog.
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    let mut source = spool.source("main").unwrap();
    let mut order = vec![take(&mut source).await];
    spool.files().append(frame(30, 1000)).unwrap();
    spool.files().append(frame(31, 1000)).unwrap();
    for _ in 0..4 {
        order.push(take(&mut source).await);
    }
    assert_eq!(order, [0, 30, 31, 1, 2], "what is new first, then the backlog goes on");
    assert_eq!(spool.files().usage().frames, 32, "the other has settled none");
    spool.files().append(frame(32, 1000)).unwrap();
    assert_eq!(number(&source.next().await.unwrap()), 32, "in its hand");
    // Nothing is closed, nobody is told.
    drop((source, spool));

    let (spool, _) = Spool::open(&settings).unwrap();
    let (mut source, mut ordered) =
        (spool.source("main").unwrap(), spool.source("ordered").unwrap());
    spool.close();
    let mut rest = Vec::new();
    while let Some(frame) = source.next().await {
        rest.push(number(&frame));
        source.settle(Vec::new()).await;
    }
    rest.sort_unstable();
    assert!(rest.iter().copied().eq((3..30).chain([32])), "{rest:?}");
    for number in 0..33 {
        assert_eq!(take(&mut ordered).await, number);
    }
    let usage = spool.files().usage();
    assert_eq!((usage.frames, usage.waiting), (0, 0));
}

#[test]
fn a_second_agent_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Spool::open(&one(folder.path())).unwrap();
    let error = Spool::open(&one(folder.path())).unwrap_err();
    assert!(matches!(error, SpoolError::Used { .. }), "{error}");
    assert!(error.to_string().contains("another"), "{error}");
    drop(first);
    Spool::open(&one(folder.path())).unwrap();
}

#[test]
fn a_spool_of_a_newer_version_is_set_aside_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    spool.files().append(frame(1, 10)).unwrap();
    drop(spool);
    let files = folder.path().join("files");
    let name = fs::read_dir(&files).unwrap().map(|it| it.unwrap().path());
    let segment = name.filter(|path| path.extension().is_some_and(|it| it == "seg")).max().unwrap();
    // The format's number, and the header's checksum over it (bytes 8 and 28 of `segment`'s header).
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8..12].copy_from_slice(&99_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();
    let (spool, remembered) = Spool::open(&one(folder.path())).unwrap();
    assert_eq!(remembered.positions, []);
    assert_eq!(remembered.first_start, Some(0), "no first start: nothing is passed over");
    assert!(remembered.findings[0].contains("newer version"), "{:?}", remembered.findings);
    assert!(folder.path().join("files.set-aside-1").join(segment.file_name().unwrap()).exists());
    spool.files().append(frame(1, 10)).unwrap();
}

#[test]
fn files_of_someone_else_are_left_alone_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("notes.txt"), "mine").unwrap();
    let (_spool, remembered) = Spool::open(&one(folder.path())).unwrap();
    assert!(remembered.findings[0].contains("notes.txt"), "{:?}", remembered.findings);
    assert_eq!(fs::read(files.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Spool::open(&one(&path)).unwrap_err().to_string();
    assert!(error.contains("file") && error.contains("another folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_when_they_are_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    let mut source = spool.source("main").unwrap();
    for number in 0..300 {
        while spool.files().append(frame(number, 50_000)).is_err() {
            assert!(spool.files().wait_for_room(60_000, DEADLINE));
        }
        assert_eq!(take(&mut source).await, number);
    }
    let start = Instant::now();
    while spool.files().usage().segments > 2 {
        assert!(start.elapsed() < DEADLINE, "{:?}", spool.files().usage());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A destination that blocks holds the lane, and whoever hands something in is told so.
#[tokio::test]
async fn what_is_pushed_is_refused_when_the_lane_is_full_and_taken_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    let pushed = |number| Frame { covers: Vec::new(), ..frame(number, 100_000) };
    let refused = (0..1000).find(|number| spool.pushed().append(pushed(*number)).is_err());
    let taken = refused.expect("it is full at some time");
    assert!(taken > 20 && spool.pushed().usage().used <= CAPACITY);
    assert!(spool.pushed().usage().syncs > 0, "it is synced");
    assert_eq!(spool.files().usage().syncs, 0, "and what can be read again is not");
    let mut source = spool.source("main").unwrap();
    for number in 0..taken {
        assert_eq!(take(&mut source).await, number, "nothing is let go");
    }
    let lane = spool.pushed().clone();
    let room = tokio::task::spawn_blocking(move || lane.wait_for_room(200_000, DEADLINE));
    assert!(room.await.unwrap());
    spool.pushed().append(pushed(taken)).unwrap();
    assert_eq!(take(&mut source).await, taken);
    assert!(spool.ledger().is_empty());
}

/// Whoever waits for the disk waits for one sync of another thread's, or makes it.
#[tokio::test]
async fn many_who_push_at_once_are_all_told_and_all_of_it_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    let push = |thread: u64| {
        let lane = spool.pushed();
        move || (0..20).for_each(|at| lane.append(metrics(thread * 20 + at)).unwrap())
    };
    std::thread::scope(|scope| (0..8).for_each(|thread| drop(scope.spawn(push(thread)))));
    assert!((1..=160).contains(&spool.pushed().usage().syncs));
    let mut source = spool.source("main").unwrap();
    let mut taken = Vec::new();
    for _ in 0..160 {
        taken.push(take(&mut source).await);
    }
    taken.sort_unstable();
    assert_eq!(taken, (0..160).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_destination_that_drops_does_not_hold_what_is_pushed_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let both = [("main", WhenFull::Block), ("away", WhenFull::Drop)];
    let (spool, _) = Spool::open(&settings(folder.path(), &both)).unwrap();
    let mut source = spool.source("main").unwrap();
    // Several times what the lane holds.
    for number in 0..150 {
        let pushed = Frame { covers: Vec::new(), ..frame(number, 100_000) };
        assert!(spool.pushed().wait_for_room(200_000, DEADLINE));
        spool.pushed().append(pushed).unwrap();
        assert_eq!(take(&mut source).await, number);
    }
    let lost: Vec<_> = spool.ledger().entries().map(|(key, _)| key.clone()).collect();
    assert!(!lost.is_empty() && lost.iter().all(|key| key.destination.as_deref() == Some("away")));
}

#[tokio::test]
async fn a_lane_tells_how_far_those_have_settled_that_block_and_waits_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let names = [("main", WhenFull::Block), ("other", WhenFull::Block), ("away", WhenFull::Drop)];
    let (spool, _) = Spool::open(&settings(folder.path(), &names)).unwrap();
    let put = |number| {
        let frame = Frame { covers: Vec::new(), ..frame(number, 100) };
        spool.pushed().put(frame).unwrap()
    };
    let (first, second) = (put(0), put(1));
    assert!(first < second);
    let mut sources = ["main", "other"].map(|name| spool.source(name).unwrap());
    assert_eq!(take(&mut sources[0]).await, 0);
    assert!(spool.pushed().settled() <= first, "the other one has settled nothing");
    assert_eq!(take(&mut sources[1]).await, 0);
    assert_eq!(spool.pushed().settled(), second);
    for source in &mut sources {
        take(source).await;
    }
    assert!(spool.pushed().settled() > second);
}

#[tokio::test]
async fn where_nobody_blocks_a_lane_tells_how_far_all_have_settled() {
    let folder = tempfile::tempdir().unwrap();
    let names = [("main", WhenFull::Drop), ("away", WhenFull::Drop)];
    let (spool, _) = Spool::open(&settings(folder.path(), &names)).unwrap();
    let number = spool.pushed().put(Frame { covers: Vec::new(), ..frame(0, 100) }).unwrap();
    for name in ["main", "away"] {
        assert!(spool.pushed().settled() <= number, "{name} has it still to settle");
        take(&mut spool.source(name).unwrap()).await;
    }
    assert!(spool.pushed().settled() > number);
}

#[tokio::test]
async fn no_lane_keeps_another_waiting_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&one(folder.path())).unwrap();
    for index in 0..20 {
        spool.sampled().append(metrics(index)).unwrap();
        spool.pushed().append(metrics(100 + index)).unwrap();
        spool.files().append(frame(200 + index, 100)).unwrap();
    }
    let mut source = spool.source("main").unwrap();
    let mut lanes = Vec::new();
    for _ in 0..10 {
        lanes.push(take(&mut source).await / 100);
    }
    assert_eq!(lanes, [0, 0, 1, 0, 2, 0, 0, 1, 0, 2]);
}
