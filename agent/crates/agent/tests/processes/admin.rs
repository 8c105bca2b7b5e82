//! The admin port: metrics that Prometheus can read, and whether the agent is well.

use std::collections::BTreeMap;

use crate::agent::Settings;
use crate::http;
use crate::process::program;
use crate::rig::Rig;

/// Suffixes that a family's samples have besides its name (OpenMetrics 1.0, "Suffixes").
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total", "_created"],
        "histogram" => &["_bucket", "_count", "_sum", "_created"],
        "info" => &["_info"],
        _ => &[""],
    }
}

/// The samples of a page of OpenMetrics text, which must be well-formed.
#[track_caller]
fn parse(page: &str) -> BTreeMap<String, f64> {
    assert!(page.ends_with("\n# EOF\n"), "{page}");
    let mut families = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in page.trim_end().lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some(kind)) => {
                    assert_eq!(families.insert(name, kind), None, "{name} is there twice");
                    assert!(name.starts_with("hawsepipe_"), "{name}");
                    assert!(!name.contains("hawsepipe_hawsepipe"), "{name}");
                }
                (Some("UNIT"), Some(name), Some(unit)) => assert!(name.ends_with(unit), "{line}"),
                (Some("HELP"), Some(_), Some(_)) | (Some("EOF"), None, None) => {}
                _ => panic!("no comment of OpenMetrics: {line}"),
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no value: {line}"));
        let name = sample.split('{').next().unwrap();
        assert!(sample.len() == name.len() || sample.ends_with('}'), "{line}");
        let known = families.iter().any(|(family, kind)| {
            name.strip_prefix(family).is_some_and(|rest| suffixes(kind).contains(&rest))
        });
        assert!(known, "{name} belongs to no family");
        assert_eq!(samples.insert(sample.to_owned(), value), None, "{sample} is there twice");
    }
    samples
}

#[test]
fn metrics_are_open_metrics_text_and_count_what_happened() {
    let rig = Rig::new();
    let mut web = rig.pod("web");
    web.lines(100);
    let receiver = rig.receiver();
    let agent = rig.agent(&Settings::to(receiver.grpc));
    receiver.wait_for_records(100);
    agent.wait_for_state("main", "connected");
    let answer = http::get(agent.admin, "/metrics");
    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    let samples = parse(&answer.body);
    for (name, expected) in [
        ("hawsepipe_logs_records_total", 100),
        ("hawsepipe_logs_read_bytes_total", web.bytes()),
        ("hawsepipe_logs_streams", 1),
        ("hawsepipe_export_records_total{destination=\"main\"}", 100),
        ("hawsepipe_export_blocked{destination=\"main\"}", 0),
        ("hawsepipe_log_suppressed_lines_total", 0),
    ] {
        assert_eq!(samples.get(name).copied(), Some(expected as f64), "{name} in {samples:#?}");
    }
}

#[test]
fn the_agent_is_healthy_and_ready() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    let agent = rig.agent(&Settings::to(receiver.grpc));
    agent.wait_for_state("main", "connected");
    assert_eq!(http::get(agent.admin, "/healthz").code, 200);
    let ready = http::get(agent.admin, "/readyz");
    assert_eq!((ready.code, &*ready.body), (200, r#"{"ready":true,"messages":[]}"#));
    assert_eq!(http::get(agent.admin, "/nothing").code, 404);
}

#[test]
fn a_spool_that_cannot_be_written_makes_it_unready() {
    let rig = Rig::new();
    let agent = rig.agent(&Settings::to(rig.dead_port()));
    let spool = rig.path("spool");
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::write(&spool, "a file").unwrap();
    let ready = http::get(agent.admin, "/readyz");
    assert_eq!(ready.code, 503, "{}", ready.body);
    assert!(ready.body.contains(spool.to_str().unwrap()), "{}", ready.body);
    assert_eq!(http::get(agent.admin, "/healthz").code, 200);
}

#[test]
fn an_admin_port_that_is_taken_is_an_error_that_names_its_key() {
    let rig = Rig::new();
    let taken = rig.listen();
    let any = rig.any_port().to_string();
    let config = rig.config(&Settings::to(rig.dead_port()));
    let text = std::fs::read_to_string(&config).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = rig.write("taken.yaml", &text.replace(&any, &address));
    let output = program().args(["agent", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("admin.listen"), "{said}");
}
