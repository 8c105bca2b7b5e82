//! Processes: of a tree, and while they come and go.

use std::fs;

use hawsepipe_host::process::{self, State, Top};

use crate::support::{Tree, fixture};

#[test]
fn processes_are_counted_by_state() {
    let counts = process::read(&fixture("linux-6.18-hybrid")).expect("read");
    let found: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
    let expected = [
        (State::Running, 1),
        (State::Sleeping, 2),
        (State::Blocked, 1),
        (State::Idle, 1),
        (State::Zombie, 1),
    ];
    assert_eq!(found, expected);
    assert_eq!((counts.get(State::Sleeping), counts.get(State::Parked)), (2, 0));
    assert_eq!((counts.threads, counts.scanned.processes), (13, 6));
}

#[test]
fn the_details_of_a_process_are_read_by_its_number() {
    let root = fixture("linux-6.18-hybrid");
    let app = process::read_one(&root, 4242, |app| {
        assert_eq!(app.name, b"my (odd) :");
        (app.cpu_time(), app.start_time(), app.threads)
    });
    assert_eq!(app.expect("read"), (13.0, 1200.0, 8));
    let status = process::status(&root, 4242).expect("read");
    assert_eq!((status.uid, status.resident_memory), (Some(1000), Some(256 << 20)));
    assert_eq!(process::io(&root, 4242).expect("read").write_bytes, 323_932_160);
    assert_eq!(process::command_line(&root, 4242, 4096).expect("read"), "/opt/app --name my app");
    assert_eq!(process::command_line(&root, 4242, 8).expect("read"), "/opt/app");
    assert_eq!(process::command_line(&root, 2, 4096).expect("read"), "");
    assert_eq!(process::open_files(&root, 4242).expect("read"), 3);
    assert!(process::status(&root, 99).expect_err("no such process").is_gone());
    assert!(process::read_one(&root, 99, |_| ()).expect_err("no such process").is_gone());
    assert!(process::open_files(&root, 99).expect_err("no such process").is_gone());
}

#[test]
fn the_largest_few_are_found_without_keeping_the_others() {
    let root = fixture("linux-6.18-hybrid");
    let mut top = Top::new(2);
    process::scan(&root, |process| top.push(process.cpu_time(), || process.pid)).expect("read");
    assert_eq!(top.into_sorted(), [4242, 1]);
}

/// Each process that is seen ends two others, so that the listing tells of many that are not there any more.
#[test]
fn five_thousand_processes_that_go_while_they_are_read_are_no_error() {
    const ALL: u64 = 5_000;
    let tree = Tree::new();
    let line =
        |pid| format!("{pid} (job {pid}) S 1 1 1 0 -1 0 1 0 0 0 1 1 0 0 20 0 1 0 100 4096 1\n");
    for pid in 1..=ALL {
        tree.write(&format!("proc/{pid}/stat"), line(pid));
    }
    tree.write("proc/stat", "cpu 1 2 3 4\n");
    let mut end = 1..=ALL;
    let mut seen = 0;
    let scanned = process::scan(&tree.root(), |process| {
        assert!(process.name.starts_with(b"job "));
        seen += 1;
        for pid in end.by_ref().take(2) {
            fs::remove_dir_all(tree.path(&format!("proc/{pid}"))).expect("it ends");
        }
    });
    let scanned = scanned.expect("the others were read");
    assert_eq!((scanned.processes, scanned.skipped.lines, scanned.refused), (seen, 0, 0));
    assert!(scanned.vanished > 0, "{scanned:?}");
    assert!(scanned.processes + scanned.vanished <= ALL, "{scanned:?}");
    let counts = process::read(&tree.root()).expect("read");
    assert_eq!(counts.scanned.vanished, 0);
    assert_eq!(counts.get(State::Sleeping), counts.scanned.processes);
}

#[test]
fn a_process_that_is_not_understood_costs_that_process() {
    let tree = Tree::new();
    tree.write("proc/7/stat", "7 (a) S 1 1 1 0 -1 0 1 0 0 0 1 1 0 0 20 0 1 0 100 4096 1\n");
    tree.write("proc/8/stat", "garbage\n");
    tree.write("proc/9/stat", "");
    fs::create_dir_all(tree.path("proc/10")).expect("made");
    let counts = process::read(&tree.root()).expect("read");
    let scanned = counts.scanned;
    assert_eq!((scanned.processes, scanned.vanished, scanned.skipped.lines), (1, 2, 1));
    assert_eq!(scanned.skipped.first.map(|error| error.field), Some("comm"));
}
