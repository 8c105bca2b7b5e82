//! While the agent lives: every line once, in order.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hawsepipe_logs::{Rule, Selection, StartAt};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::rig::{
    CAPACITY, Rig, age, append, copy_compressed, is_held, let_age, line, lines, numbers, pod, wait,
};

#[test]
fn lines_of_every_container_arrive_once_in_order_with_what_the_path_says() {
    let mut rig = Rig::new();
    rig.settings.attributes.set("k8s.cluster.name", "test");
    let early = rig.container("ns_early_uid-1", "app");
    append(&early.join("0.log"), lines(0..10));
    rig.start();
    rig.wait_for(10);
    let late = rig.container("other_late_uid-2", "sidecar");
    append(&late.join("3.log"), lines(0..10));
    append(&early.join("0.log"), lines(10..20));
    let records = rig.wait_for(30);
    let of = |pod: &str| -> Vec<String> {
        let of_pod = records.iter().filter(|record| record.text("k8s.pod.name") == pod);
        of_pod.map(|record| record.body.clone()).collect()
    };
    assert_eq!(of("early"), numbers(0..20));
    assert_eq!(of("late"), numbers(0..10));
    let record = records.iter().find(|record| record.text("k8s.pod.name") == "late").unwrap();
    assert_eq!(record.text("k8s.namespace.name"), "other");
    assert_eq!(record.text("k8s.pod.uid"), "uid-2");
    assert_eq!(record.text("k8s.container.name"), "sidecar");
    assert_eq!(record.text("k8s.cluster.name"), "test");
    assert_eq!(record.text("log.iostream"), "stdout");
    assert_eq!(record.resource["k8s.container.restart_count"], Value::IntValue(3));
}

#[test]
fn rotation_by_the_kubelet_loses_and_doubles_nothing() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "app");
    let live = dir.join("0.log");
    let mut written = 0;
    for round in 0..5 {
        // The runtime holds the file open and still writes into it after the rename.
        let mut file = OpenOptions::new().create(true).append(true).open(&live).unwrap();
        file.write_all(lines(written..written + 50).as_bytes()).unwrap();
        let rotated = dir.join(format!("0.log.20261122-10000{round}"));
        fs::rename(&live, &rotated).unwrap();
        file.write_all(lines(written + 50..written + 60).as_bytes()).unwrap();
        append(&live, lines(written + 60..written + 70));
        file.write_all(b"").unwrap();
        written += 70;
        rig.wait_for(written);
        // What the kubelet's compressor does with the one before.
        fs::write(dir.join("0.log.20261122-100000.tmp"), b"x").unwrap();
        fs::remove_file(&rotated).unwrap();
    }
    assert_eq!(rig.bodies(), numbers(0..written));
}

#[test]
fn a_rename_that_is_taken_back_loses_and_doubles_nothing() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "app");
    let live = dir.join("0.log");
    append(&live, lines(0..10));
    rig.wait_for(10);
    fs::rename(&live, dir.join("0.log.20261122-100000")).unwrap();
    append(&dir.join("0.log.20261122-100000"), lines(10..20));
    rig.wait_for(20);
    fs::rename(dir.join("0.log.20261122-100000"), &live).unwrap();
    append(&live, lines(20..30));
    rig.wait_for(30);
    assert_eq!(rig.bodies(), numbers(0..30));
}

#[test]
fn a_restarted_container_is_read_behind_its_last_run() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "app");
    append(&dir.join("0.log"), lines(0..5));
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stdout P unfinished");
    append(&dir.join("1.log"), lines(5..10));
    rig.start();
    let records = rig.wait_for(11);
    assert_eq!(records[5].body, "unfinished");
    assert_eq!(records[5].resource["k8s.container.restart_count"], Value::IntValue(0));
    assert_eq!(records[6].body, "5");
    assert_eq!(records[6].resource["k8s.container.restart_count"], Value::IntValue(1));
}

#[test]
fn a_deleted_pods_last_lines_are_read_to_the_end() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "app");
    append(&dir.join("0.log"), lines(0..1));
    rig.wait_for(1);
    *rig.sink.full.lock() = true;
    append(&dir.join("0.log"), lines(1..1000));
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stdout F no newline");
    fs::remove_dir_all(rig.root.path().join("ns_pod_uid")).unwrap();
    *rig.sink.full.lock() = false;
    let records = rig.wait_for(1001);
    assert_eq!(records[1000].body, "no newline");
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 0, || format!("{:?}", tailer.status()));
}

#[test]
fn files_born_and_deleted_while_the_queue_is_full_are_read_later() {
    let mut rig = Rig::new();
    rig.start();
    *rig.sink.full.lock() = true;
    let dir = rig.container("ns_pod_uid", "app");
    append(&dir.join("0.log"), lines(0..100));
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 1, || format!("{:?}", tailer.status()));
    fs::remove_dir_all(rig.root.path().join("ns_pod_uid")).unwrap();
    *rig.sink.full.lock() = false;
    rig.wait_for(100);
    assert_eq!(rig.bodies(), numbers(0..100));
}

#[test]
fn a_stream_without_metadata_waits_alone() {
    let mut rig = Rig::new().with_metadata();
    rig.pods.known.lock().insert("uid-1".to_owned(), pod("uid-1", "known"));
    append(&rig.container("ns_unknown_uid-2", "c").join("0.log"), lines(0..5));
    append(&rig.container("ns_known_uid-1", "c").join("0.log"), lines(5..10));
    rig.start();
    let records = rig.wait_for(5);
    assert!(records.iter().all(|record| record.text("k8s.pod.label.app") == "known"));
    assert!(records.iter().all(|record| record.text("container.id") == "abc"));
    let status = rig.tailer.as_ref().unwrap().status();
    assert_eq!((status.streams, status.waiting), (2, 1));
    rig.pods.known.lock().insert("uid-2".to_owned(), pod("uid-2", "late"));
    let records = rig.wait_for(10);
    assert!(records[5..].iter().all(|record| record.text("k8s.pod.label.app") == "late"));
}

#[test]
fn a_stream_whose_metadata_does_not_come_goes_on_and_says_so() {
    let mut rig = Rig::new().with_metadata();
    rig.settings.metadata_timeout = Duration::from_millis(100);
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..1));
    rig.start();
    let records = rig.wait_for(1);
    assert_eq!(records[0].resource["hawsepipe.metadata.complete"], Value::BoolValue(false));
    assert_eq!(records[0].text("k8s.pod.name"), "pod");
    // When it comes after all, the lines that follow have it.
    rig.pods.known.lock().insert("uid".to_owned(), pod("uid", "late"));
    append(&log, lines(1..2));
    let records = rig.wait_for(2);
    assert_eq!(records[1].text("k8s.pod.label.app"), "late");
    assert!(!records[1].resource.contains_key("hawsepipe.metadata.complete"));
}

#[test]
fn lines_that_the_kubelet_will_soon_delete_do_not_wait_long_for_metadata() {
    let mut rig = Rig::new().with_metadata();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log.20261122-100000"), lines(0..5));
    append(&dir.join("0.log.20261122-110000"), lines(5..10));
    append(&dir.join("0.log"), lines(10..15));
    rig.start();
    let records = rig.wait_for(15);
    assert_eq!(rig.bodies(), numbers(0..15));
    assert_eq!(records[0].resource["hawsepipe.metadata.complete"], Value::BoolValue(false));
}

#[test]
fn excluded_containers_are_not_read_and_labels_decide_when_they_come() {
    let mut rig = Rig::new().with_metadata();
    let rule = |namespace: &str, label: Option<&str>| Rule {
        namespaces: vec![namespace.to_owned()],
        labels: label.map(|app| ("app".to_owned(), app.to_owned())).into_iter().collect(),
        ..Rule::default()
    };
    let exclude = [rule("secret", None), rule("*", Some("noisy"))];
    rig.settings.selection = Selection::new(&[], &exclude).unwrap();
    for (name, label) in [("secret_a_1", "x"), ("ns_b_2", "noisy"), ("ns_c_3", "x")] {
        append(&rig.container(name, "c").join("0.log"), lines(0..3));
        let uid = &name[name.len() - 1..];
        rig.pods.known.lock().insert(uid.to_owned(), pod(uid, label));
    }
    rig.start();
    rig.wait_for(3);
    // Another pod's lines show that the rest had its chance.
    append(&rig.container("ns_d_4", "c").join("0.log"), lines(3..6));
    rig.pods.known.lock().insert("4".to_owned(), pod("4", "x"));
    let records = rig.wait_for(6);
    let names: Vec<_> = records.iter().map(|record| record.text("k8s.pod.name")).collect();
    assert_eq!(names, ["c", "c", "c", "d", "d", "d"]);
}

#[test]
fn start_at_new_passes_over_what_is_older_than_the_agent() {
    let mut rig = Rig::new();
    rig.settings.start_at = StartAt::New;
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log.20261122-100000"), lines(0..10));
    append(&dir.join("0.log"), lines(10..20));
    let_age(&dir.join("0.log"));
    rig.start();
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().streams == 1, || format!("{:?}", tailer.status()));
    append(&dir.join("0.log"), lines(20..30));
    append(&rig.container("ns_new_uid2", "c").join("0.log"), lines(30..40));
    rig.wait_for(20);
    let mut bodies = rig.bodies();
    bodies.sort();
    assert_eq!(bodies, numbers(20..40));
}

#[test]
fn start_at_all_reads_rotated_files_first() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log"), lines(20..30));
    append(&dir.join("0.log.20261122-110000"), lines(10..20));
    append(&dir.join("0.log.20261122-100000"), lines(0..10));
    rig.start();
    rig.wait_for(30);
    assert_eq!(rig.bodies(), numbers(0..30));
}

#[test]
fn a_line_that_is_no_cri_line_is_delivered_as_it_is_and_marked() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, "not from a runtime\n");
    append(&log, line("good"));
    append(&log, b"2026-11-22T10:00:00Z stdout F bad \xff\xfe bytes\n");
    append(&log, [0; 5000]);
    append(&log, line("behind a hole"));
    append(&log, "2026-99-22T10:00:00Z stdout F no such month\n");
    append(&log, "2026-11-22T10:00:00Z stdout F a\0b\n");
    rig.start();
    let records = rig.wait_for(6);
    let marked = |index: usize, mark: &str| {
        records[index].attributes.get(mark) == Some(&Value::BoolValue(true))
    };
    assert_eq!(records[0].body, "not from a runtime");
    assert!(marked(0, "hawsepipe.log.unparsed"));
    assert_eq!(records[1].body, "good");
    assert_eq!(records[2].body, "bad \u{fffd}\u{fffd} bytes");
    assert!(marked(2, "hawsepipe.log.invalid_utf8"));
    assert_eq!(records[3].body, "behind a hole");
    assert!(records[3].attributes.keys().eq(["log.iostream"]));
    assert!(marked(4, "hawsepipe.log.unparsed"));
    assert_eq!(records[5].body, "a\0b");
}

#[test]
fn a_line_of_100_mb_is_cut_counted_and_passed() {
    let mut rig = Rig::new();
    rig.settings.max_record_bytes = 1000;
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    let mut file = File::create(&log).unwrap();
    // Once as a single physical line, which no runtime writes, once in the runtime's pieces of 16 KiB.
    file.write_all(b"2026-11-22T10:00:00Z stdout F ").unwrap();
    for _ in 0..100 {
        file.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    file.write_all(b"\n").unwrap();
    let piece = format!("2026-11-22T10:00:00Z stderr P {}\n", "y".repeat(16 << 10));
    for _ in 0..6400 {
        file.write_all(piece.as_bytes()).unwrap();
    }
    file.write_all(b"2026-11-22T10:00:00Z stderr F end\n").unwrap();
    file.write_all(line("next").as_bytes()).unwrap();
    rig.start();
    let records = rig.wait_for(3);
    for (record, byte, len) in [(&records[0], "x", 100 << 20), (&records[1], "y", (100 << 20) + 3)]
    {
        assert_eq!(record.body, byte.repeat(1000));
        assert_eq!(record.attributes["hawsepipe.log.truncated"], Value::BoolValue(true));
        assert_eq!(record.attributes["hawsepipe.log.original_bytes"], Value::IntValue(len));
    }
    assert_eq!(records[2].body, "next");
}

#[test]
fn what_is_no_log_file_disturbs_nobody() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    fs::create_dir(dir.join("0.log")).unwrap();
    File::create(dir.join("1.log")).unwrap();
    fs::write(rig.root.path().join("a file"), b"x").unwrap();
    fs::create_dir(rig.root.path().join("no pod")).unwrap();
    std::os::unix::fs::symlink("/no/such/file", dir.join("2.log")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.join("3.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    append(&dir.join("4.log"), lines(0..3));
    rig.start();
    rig.wait_for(3);
}

#[test]
fn frames_cover_what_they_carry() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..3));
    let whole = fs::metadata(&log).unwrap().len();
    append(&log, "2026-11-22T10:00:00Z stdout P open\n");
    append(&log, "2026-11-22T10:00:00Z stderr F whole\n");
    let end = fs::metadata(&log).unwrap().len();
    rig.start();
    rig.wait_for(4);
    let frames = rig.sink.frames.lock();
    let cover = frames.last().unwrap().covers.last().unwrap();
    assert_eq!(&*cover.stream.0, "ns_pod_uid/c");
    assert_eq!((cover.position.stdout, cover.position.stderr), (whole, end));
}

#[test]
fn a_missing_folder_of_pods_is_waited_for() {
    let mut rig = Rig::new();
    rig.settings.pods_path = rig.root.path().join("later");
    rig.start();
    let dir = rig.settings.pods_path.join("ns_pod_uid").join("c");
    fs::create_dir_all(&dir).unwrap();
    append(&dir.join("0.log"), lines(0..3));
    rig.wait_for(3);
}

#[test]
fn new_lines_do_not_wait_behind_a_backlog() {
    let mut rig = Rig::new();
    let old = rig.container("ns_old_uid-1", "c").join("0.log");
    append(&old, lines(0..1000));
    let_age(&old);
    // A quarter of the queue is in use, as when a destination is slower than reading.
    *rig.sink.used.lock() = CAPACITY / 4;
    rig.start();
    let new = rig.container("ns_new_uid-2", "c").join("0.log");
    append(&new, lines(0..10));
    let records = rig.wait_for(10);
    assert!(records.iter().all(|record| record.text("k8s.pod.name") == "new"));
    *rig.sink.used.lock() = 0;
    rig.wait_for(1010);
    // What the old pod writes from now on is new.
    *rig.sink.used.lock() = CAPACITY / 4;
    append(&old, lines(1000..1010));
    rig.wait_for(1020);
}

#[test]
fn a_loud_pod_does_not_starve_a_quiet_one() {
    let mut rig = Rig::new();
    *rig.sink.full.lock() = true;
    rig.start();
    let loud = rig.container("ns_loud_uid-1", "c").join("0.log");
    append(&loud, lines(0..200_000));
    append(&rig.container("ns_quiet_uid-2", "c").join("0.log"), lines(0..10));
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 2, || format!("{:?}", tailer.status()));
    *rig.sink.full.lock() = false;
    let records = rig.wait_for(200_010);
    let last_quiet = records.iter().rposition(|record| record.text("k8s.pod.name") == "quiet");
    // Two chunks of the loud one's lines, at most, stand before them: one a turn.
    let two_chunks = 2 * (256 << 10) / line("0").len();
    assert!(last_quiet.unwrap() < two_chunks, "{last_quiet:?} of {two_chunks}");
}

#[test]
fn a_rotated_file_of_exactly_one_read_is_left_for_its_successor() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let text = line(&"x".repeat(64 - line("").len()));
    assert_eq!(text.len(), 64);
    append(&dir.join("0.log.20261122-100000"), text.repeat((256 << 10) / 64));
    append(&dir.join("0.log"), lines(0..10));
    rig.start();
    let records = rig.wait_for((256 << 10) / 64 + 10);
    assert_eq!(records.last().unwrap().body, "9");
}

#[test]
fn a_file_that_is_deleted_while_its_folder_stays_is_read_and_let_go() {
    let mut rig = Rig::new();
    rig.start();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.wait_for(10);
    fs::remove_file(&log).unwrap();
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 0, || format!("{:?}", tailer.status()));
    append(&log, lines(10..20));
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(0..20));
}

#[test]
fn what_a_runtime_writes_into_a_renamed_file_after_it_was_left_is_read_late() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    let rotated = dir.join("0.log.20261122-100000");
    append(&dir.join("0.log"), lines(0..10));
    rig.wait_for(10);
    fs::rename(dir.join("0.log"), &rotated).unwrap();
    append(&dir.join("0.log"), lines(10..20));
    let tailer = rig.tailer.as_ref().unwrap();
    rig.wait_for(20);
    wait(|| tailer.status().open_files == 1, || format!("{:?}", tailer.status()));
    append(&rotated, lines(20..30));
    rig.wait_for(30);
    append(&dir.join("0.log"), lines(30..40));
    rig.wait_for(40);
    assert_eq!(rig.bodies(), numbers(0..40));
}

#[test]
fn dockers_files_are_read_too_and_their_pieces_joined() {
    let mut rig = Rig::new();
    // As docker lays them: the kubelet's folder holds links.
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("abc-json.log");
    let entry = |log: &str| {
        format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"time\":\"2026-11-22T10:00:00.5Z\"}}\n")
    };
    append(&real, entry("one\\n") + &entry("t") + &entry("wo\\n"));
    let dir = rig.container("ns_pod_uid", "c");
    std::os::unix::fs::symlink(&real, dir.join("0.log")).unwrap();
    rig.start();
    rig.wait_for(2);
    append(&real, entry("three\\n"));
    rig.wait_for(3);
    // Docker rotates by itself, and the link leads to the new file.
    fs::rename(&real, elsewhere.path().join("abc-json.log.1")).unwrap();
    append(&real, entry("four\\n"));
    rig.wait_for(4);
    assert_eq!(rig.bodies(), ["one", "two", "three", "four"]);
}

#[test]
fn a_clock_that_was_set_back_holds_up_no_line_and_repeats_none() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    let (live, rotated) = (dir.join("0.log"), dir.join("0.log.20261122-100000"));
    // Written an hour ahead of what the clock says now.
    append(&live, lines(0..10).replace("2026-11-22T10", "2026-11-22T11"));
    ahead(&live);
    rig.wait_for(10);
    fs::rename(&live, &rotated).unwrap();
    append(&live, lines(10..20));
    rig.wait_for(20);
    rig.kill();
    append(&live, lines(20..30));
    ahead(&live);
    rig.restart();
    rig.wait_for(30);
    assert_eq!(rig.bodies(), numbers(0..30));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

/// Makes a file look as if it was written to in the future.
fn ahead(path: &Path) {
    let file = OpenOptions::new().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
}

#[test]
fn a_file_that_was_rotated_and_deleted_between_two_looks_is_read_before_those_that_came_after_it() {
    let mut rig = Rig::new();
    *rig.sink.full.lock() = true;
    rig.start();
    let dir = rig.container("ns_pod_uid", "app");
    let live = dir.join("0.log");
    append(&live, lines(0..10));
    wait(|| is_held(&live), String::new);
    // Nobody has seen it under its second name.
    let away = rig.root.path().join("away");
    fs::rename(&live, &away).unwrap();
    fs::remove_file(&away).unwrap();
    let rotated = dir.join("0.log.20261122-100000");
    append(&rotated, lines(10..20));
    append(&live, lines(20..30));
    wait(|| is_held(&rotated) && is_held(&live), String::new);
    *rig.sink.full.lock() = false;
    rig.wait_for(30);
    assert_eq!(rig.bodies(), numbers(0..30));
}

#[test]
fn a_compressed_file_that_is_being_written_under_its_last_name_is_not_judged() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "app");
    let (live, rotated) = (dir.join("0.log"), dir.join("0.log.20261122-100000"));
    append(&live, lines(0..1000));
    rig.wait_for(1000);
    age(&live);
    fs::rename(&live, &rotated).unwrap();
    append(&live, lines(1000..1010));
    rig.wait_for(1010);
    // Left by now: its successor's lines are there. What gzip(1) and docker do: half of it is there, beside the plain file.
    let gz = dir.join("0.log.20261122-100000.gz");
    copy_compressed(&rotated);
    let whole = fs::read(&gz).unwrap();
    fs::remove_file(&gz).unwrap();
    let mut half = File::create(&gz).unwrap();
    half.write_all(&whole[..whole.len() / 2]).unwrap();
    // The last four bytes are taken for its length (RFC 1952, 2.3.1): more than was read.
    half.write_all(&[0xff; 4]).unwrap();
    // A look at the folder: it finds the next file.
    age(&live);
    fs::rename(&live, dir.join("0.log.20261122-110000")).unwrap();
    append(&live, lines(1010..1020));
    rig.wait_for(1020);
    fs::write(&gz, &whole).unwrap();
    fs::remove_file(&rotated).unwrap();
    append(&live, lines(1020..1030));
    rig.wait_for(1030);
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
    assert_eq!(rig.bodies(), numbers(0..1030));
}
