//! `hawsepipe demo`: written = received, and nothing is left behind.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::process::{Process, program, wait_until};
use crate::rig::Rig;

/// A demo whose temporary folder is looked into when it has ended.
fn demo(rig: &Rig, args: &[&str]) -> (Process, PathBuf) {
    let temporary = rig.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = program();
    command.arg("demo").args(args).arg("--pods-path").arg(rig.pods()).env("TMPDIR", &temporary);
    (Process::start(&mut command), temporary)
}

/// The two numbers of the summary; `words` stand before them.
fn summary(demo: &Process, words: [&str; 2]) -> (u64, u64) {
    let lines = demo.stdout();
    let line = lines.iter().find(|line| line.starts_with(words[0])).unwrap();
    let (read, rest) = line.strip_prefix(words[0]).unwrap().split_once(words[1]).unwrap();
    (read.parse().unwrap(), rest.split(' ').next().unwrap().parse().unwrap())
}

#[track_caller]
fn assert_empty(folder: &std::path::Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn the_demo_ends_by_itself_with_everything_received_and_nothing_left_behind() {
    let rig = Rig::new();
    let (mut demo, temporary) = demo(&rig, &["--seconds", "4"]);
    demo.ends_well();
    let (written, received) = summary(&demo, ["written ", " = received "]);
    assert!(written > 0 && written == received, "{:?}", demo.stdout());
    let measured = demo.stdout().into_iter().rfind(|line| line.starts_with("metrics  "));
    let measured = measured.unwrap_or_else(|| panic!("no metrics in {:?}", demo.stdout()));
    assert!(measured.contains(" points of ") && measured.contains(" of memory used"), "{measured}");
    assert_empty(&temporary);
}

#[test]
fn ctrl_c_ends_the_demo_and_nothing_is_left_behind() {
    let rig = Rig::new();
    let (mut demo, temporary) = demo(&rig, &[]);
    wait_until("lines flow", || {
        let flows = |line: &String| line.contains(" s  written ") && !line.ends_with(" 0");
        demo.stdout().iter().any(flows)
    });
    demo.signal(Signal::INT);
    demo.ends_well();
    assert!(demo.stdout().iter().any(|line| line.contains(" = received ")), "{:?}", demo.stdout());
    assert_empty(&temporary);
}

#[test]
fn the_demo_reads_the_machines_own_pods_where_there_are_any() {
    let rig = Rig::new();
    let mut old = rig.pod("old");
    old.lines(10);
    old.let_age();
    let (mut demo, temporary) = demo(&rig, &[]);
    wait_until("the demo runs", || demo.stdout().iter().any(|line| line.contains("Ctrl-C")));
    // Born later: it is read from its first line, whenever the demo first looks.
    let mut web = rig.pod("web");
    web.lines(100);
    wait_until("lines flow", || {
        demo.stdout().iter().any(|line| line.ends_with("received     100"))
    });
    demo.signal(Signal::INT);
    demo.ends_well();
    assert_eq!(summary(&demo, ["read ", " = received "]), (100, 100));
    assert!(web.dir.join("0.log").exists(), "pods are not the demo's to remove");
    assert_empty(&temporary);
}
