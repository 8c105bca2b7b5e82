//! What is done once in the cluster, as far as there is something to see without one.

use std::path::PathBuf;

use crate::agent::Settings;
use crate::http;
use crate::process::program;
use crate::rig::Rig;

/// A configuration for a cluster that nobody asks, with nothing to do once in it.
fn nothing_to_do(rig: &Rig) -> PathBuf {
    let config = rig.config(&Settings::to(rig.dead_port()));
    let text = std::fs::read_to_string(config).unwrap();
    let mut changed = text;
    for (from, to) in [
        ("source: none, ", ""),
        ("heartbeats: {enabled: false", "heartbeats: {cronJobs: {enabled: false}, enabled: false"),
    ] {
        assert!(changed.contains(from), "{changed}");
        changed = changed.replace(from, to);
    }
    rig.write("cluster.yaml", &format!("{changed}events: {{enabled: false}}\n"))
}

#[test]
fn a_process_with_nothing_to_do_once_in_the_cluster_says_so_in_one_line_and_is_ready() {
    let rig = Rig::new();
    let config = nothing_to_do(&rig);
    let mut agent = Rig::start(&["--role=cluster"], &config, Box::new(|_line| {}));
    assert_eq!(http::get(agent.admin, "/readyz").code, 200);
    let status = agent.status();
    for nothing in ["leader", "objects", "logs"] {
        assert!(status[nothing].is_null(), "{nothing}: {status}");
    }
    assert_eq!(agent.said("nothing to do once in the cluster").len(), 1);
    agent.stop();
    assert_eq!(agent.said("nothing to do once in the cluster").len(), 1, "it goes on being ready");

    let mut check = program();
    let check = check.args(["check", "--role=cluster", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    let found = |line: &&str| line.starts_with("ok ") && line.contains("nothing to do once");
    assert_eq!(said.lines().filter(found).count(), 1, "{said}");
}
