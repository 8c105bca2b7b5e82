//! `hawsepipe check`: 0 when all is well, 1 with findings that say what to do.

use std::path::Path;
use std::process::Output;

use crate::agent::Settings;
use crate::process::program;
use crate::rig::{KEY, Rig};

fn check(config: &Path) -> Output {
    program().args(["check", "--config"]).arg(config).output().unwrap()
}

#[track_caller]
fn finds(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let findings: Vec<_> = said.lines().filter(|line| line.starts_with("FINDING ")).collect();
    assert_eq!(findings.len(), 1, "{said}");
    for word in words {
        assert!(findings[0].contains(word), "`{word}` is not in: {said}");
    }
    assert!(said.contains(" 1 findings"), "{said}");
    assert!(!said.contains(KEY), "{said}");
}

#[test]
fn when_all_is_well_check_ends_with_0() {
    let rig = Rig::new();
    rig.pod("web").lines(1);
    let mut receiver = rig.receiver();
    let output = check(&rig.config(&Settings::to(receiver.grpc)));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("1 readable files") && said.contains("accepted with the key"), "{said}");
    assert!(said.contains(" 0 findings") && !said.contains("FINDING"), "{said}");
    assert_eq!(receiver.records().len(), 0, "check sends nothing");
}

#[test]
fn each_finding_says_what_to_do() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    let good = Settings::to(receiver.grpc);
    let dead = rig.dead_port();
    finds(
        &check(&rig.config(&Settings::to(dead))),
        &["destinations.main", &dead.to_string(), "refused", "check the port"],
    );

    let config = rig.config(&good);
    let text = std::fs::read_to_string(&config).unwrap();
    let wrong = rig.write("wrong", "not-the-key");
    let changed = |from: &Path, to: &Path| {
        let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
        assert!(text.contains(from));
        rig.write("changed.yaml", &text.replace(from, to))
    };
    finds(
        &check(&changed(&rig.path("key"), &wrong)),
        &["destinations.main", "refuses the key", wrong.to_str().unwrap(), "put the right key"],
    );
    finds(
        &check(&changed(&rig.pods(), Path::new("/nowhere/pods"))),
        &["logs.podsPath", "/nowhere/pods", "mount the node's folder"],
    );
    // A file, where a folder must be.
    finds(
        &check(&changed(&rig.path("spool"), &rig.path("key"))),
        &["spool", rig.path("key").to_str().unwrap(), "make it writable"],
    );
}

#[test]
fn mounts_that_collectors_need_and_do_not_have_are_findings_with_a_remedy() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    let with = |metrics: &'static str| {
        check(&rig.config(&Settings { metrics, ..Settings::to(receiver.grpc) }))
    };
    let output = with("{}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("ok       metrics.procPath: /proc is the node's /proc, for "), "{said}");
    assert!(said.contains("ok       metrics.collectors.memory: reads "), "{said}");
    finds(
        &with("{sysPath: /nowhere/sys}"),
        &[
            "metrics.sysPath",
            "/nowhere/sys is not the node's /sys, needed by ",
            ", container, cpu, ",
            "mount it there",
        ],
    );
    let output = with("{rootPath: ''}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "what is left out on purpose is no finding: {said}");
    assert!(said.contains("metrics.rootPath: is empty; not collected: filesystem"), "{said}");
}

#[test]
fn a_collector_that_cannot_read_is_a_finding() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    std::fs::create_dir(rig.path("proc")).unwrap();
    rig.write("proc/stat", "cpu 1 2 3 4\ncpu0 1 2 3 4\n");
    rig.write("proc/loadavg", "none\n");
    let others = collectors().filter(|name| *name != "load");
    let off: Vec<_> = others.map(|name| format!("{name}: {{enabled: false}}")).collect();
    let off = off.join(", ");
    let proc = rig.path("proc");
    let text = format!("{{procPath: '{}', rootPath: '', collectors: {{{off}}}}}", proc.display());
    let metrics = Box::leak(text.into_boxed_str());
    let config = rig.config(&Settings { metrics, ..Settings::to(receiver.grpc) });
    finds(&check(&config), &["metrics.collectors.load", "loadavg: line 1", "enabled: false"]);
}

/// The collectors, as METRICS.md names them.
fn collectors() -> impl Iterator<Item = &'static str> {
    let page = include_str!("../../../../docs/METRICS.md");
    let sections = page.split("\n## ").filter(|text| text.contains("The collector is "));
    sections.filter_map(|text| text.lines().next())
}
