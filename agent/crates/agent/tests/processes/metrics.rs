//! Metrics of the node: what the collectors read arrives, as what it is.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::agent::Settings;
use crate::http;
use crate::process::{program, wait_until};
use crate::receiver::Receiver;
use crate::rig::Rig;

/// Collectors every second, of this machine.
const ON: &str = "{interval: 1s}";

impl Receiver {
    /// The metrics that came, by name.
    pub(crate) fn metrics(&self) -> Value {
        self.status()["metrics"].clone()
    }
}

/// What these tell is there on every machine, all of it.
const ON_EVERY_MACHINE: [&str; 9] = [
    "cpu",
    "file_handles",
    "load",
    "memory",
    "network",
    "processes",
    "sockets",
    "softnet",
    "system",
];

/// What a row of METRICS.md says that is on by default.
struct Declared {
    name: &'static str,
    instrument: &'static str,
    value: &'static str,
    unit: &'static str,
    attributes: Vec<&'static str>,
}

/// The page is kept equal to the declarations by a test of its own, and is what a user goes by.
fn declared() -> Vec<(&'static str, Vec<Declared>)> {
    let page = include_str!("../../../../docs/METRICS.md");
    let sections = page.split("\n## ").skip(1).filter(|text| text.contains("on by default."));
    let plain = |cell: &'static str| cell.trim().trim_matches('`');
    let rows = |section: &'static str| {
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.map(|line| line.split('|').skip(1).collect::<Vec<_>>());
        let on = cells.filter(|cells| plain(cells[5]) == "yes");
        on.map(|cells| Declared {
            name: plain(cells[0]),
            instrument: plain(cells[1]),
            value: plain(cells[2]),
            unit: plain(cells[3]),
            attributes: cells[4].split(',').map(plain).filter(|key| *key != "-").collect(),
        })
        .collect()
    };
    sections.map(|text| (text.lines().next().unwrap(), rows(text))).collect()
}

#[test]
fn every_default_metric_of_this_machine_arrives_as_it_is_documented() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    let mut agent = rig.agent(&Settings { metrics: ON, ..Settings::to(receiver.grpc) });
    let points = |name: &str| receiver.metrics()[name]["points"].as_u64().unwrap_or(0);
    wait_until("two ticks arrive", || points("system.uptime") > 1 && points("system.cpu.time") > 1);
    let status = agent.status();
    let collectors = status["metrics"]["collectors"].as_array().unwrap();
    let state = |name: &str| {
        let of = collectors.iter().find(|collector| collector["name"] == name);
        of.unwrap_or_else(|| panic!("no {name} in {status:#}"))["state"].clone()
    };
    let came = receiver.metrics();
    let sections = declared();
    assert!(sections.len() >= 9, "the page has another form now");
    for (collector, metrics) in sections {
        assert!(!metrics.is_empty(), "{collector}");
        if collector == "kubelet" || collector.starts_with("cluster_") {
            // Where there is no cluster nobody asks it.
            assert!(!collectors.iter().any(|it| it["name"] == collector), "{status:#}");
            continue;
        }
        // A machine may lack swap, disks, sensors, NFS, pods, and a kernel what a newer one counts: then nothing is
        // told, and nothing is wrong.
        let may_lack = !ON_EVERY_MACHINE.contains(&collector);
        let state = state(collector);
        assert!(state == "ok" || may_lack && state == "unavailable", "{collector}: {status:#}");
        for metric in metrics {
            let found = &came[metric.name];
            if found.is_null() && may_lack {
                continue;
            }
            assert_eq!(found["instrument"], metric.instrument, "{}: {found}", metric.name);
            assert_eq!(found["value"], metric.value, "{}", metric.name);
            assert_eq!(found["unit"], metric.unit, "{}", metric.name);
            let keys: Vec<_> = found["attributes"].as_array().unwrap().iter().collect();
            let mut expected = metric.attributes;
            expected.sort_unstable();
            assert_eq!(keys, expected, "{}", metric.name);
            assert_eq!(found["wentBack"], 0, "{}", metric.name);
        }
    }
    assert!(came["system.cpu.utilization"].is_null(), "off unless it is asked for");
    let page = http::get(agent.admin, "/metrics").body;
    assert!(page.contains("hawsepipe_collector_errors_total{collector=\"cpu\"} 0"), "{page}");
    agent.stop();
}

#[test]
fn what_the_agent_counts_about_itself_arrives_as_its_metrics_page_shows_it() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    let mut web = rig.pod("web");
    web.lines(100);
    let mut agent = rig.agent(&Settings { metrics: ON, ..Settings::to(receiver.grpc) });
    receiver.wait_for_records(100);
    let bytes = agent.metric("hawsepipe_logs_read_bytes_total");
    assert!(bytes > 0);
    let before = receiver.metrics()["hawsepipe.logs.read"]["points"].as_u64().unwrap_or(0);
    wait_until("two more ticks arrive", || {
        receiver.metrics()["hawsepipe.logs.read"]["points"].as_u64() > Some(before + 1)
    });
    agent.stop();
    let came = receiver.metrics();
    let told = |name: &str| {
        let of = &came[name];
        let text = |key: &str| of[key].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        (text("instrument"), text("value"), text("unit"))
    };
    let expected = |instrument: &str, value: &str, unit: &str| {
        (instrument.to_owned(), value.to_owned(), unit.to_owned())
    };
    assert_eq!(told("hawsepipe.logs.read"), expected("counter", "int", "By"));
    assert_eq!(told("hawsepipe.logs.open_files"), expected("gauge", "int", "1"));
    assert_eq!(told("hawsepipe.collector.duration"), expected("counter", "double", "s"));
    assert_eq!(told("hawsepipe.export.request_duration"), expected("histogram", "", "s"));
    assert_eq!(told("process.cpu.time"), expected("counter", "double", "s"));
    assert_eq!(told("process.memory.usage"), expected("updowncounter", "int", "By"));
    let collectors = &came["hawsepipe.collector.errors"]["attributes"];
    assert_eq!(*collectors, serde_json::json!(["collector"]));
    assert!(came["hawsepipe.loss.records"].is_null(), "the ledger's, and nothing was lost");
}

#[test]
fn a_destination_that_wants_deltas_gets_them_of_counters_and_the_rest_as_it_is() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    let settings = Settings { metrics: ON, temporality: "delta", ..Settings::to(receiver.grpc) };
    let mut agent = rig.agent(&settings);
    let points = |name: &str| receiver.metrics()[name]["points"].as_u64().unwrap_or(0);
    // The first tick of what counts since the host's boot is a baseline.
    wait_until("two ticks arrive", || points("system.cpu.time") > 1 && points("system.uptime") > 1);
    wait_until("the agent's own arrive", || points("hawsepipe.logs.read") > 1);
    agent.stop();
    let came = receiver.metrics();
    for (name, instrument) in [
        ("system.cpu.time", "delta"),
        ("hawsepipe.logs.read", "delta"),
        ("system.uptime", "gauge"),
        ("system.memory.usage", "updowncounter"),
    ] {
        assert_eq!(came[name]["instrument"], instrument, "{}", came[name]);
    }
    let counters = came.as_object().unwrap().values().filter(|it| it["instrument"] == "counter");
    assert_eq!(counters.count(), 0, "{came:#}");
}

#[test]
fn a_collector_that_cannot_read_is_told_and_costs_no_other_its_tick() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    // A host whose load average is in another tongue, and that has nothing else.
    std::fs::create_dir(rig.path("proc")).unwrap();
    rig.write("proc/loadavg", "hodie multum laboris\n");
    rig.write("proc/uptime", "1234.5 99\n");
    let text =
        format!("{{interval: 1s, procPath: '{}', rootPath: ''}}", rig.path("proc").display());
    let metrics = Box::leak(text.into_boxed_str());
    let mut agent = rig.agent(&Settings { metrics, ..Settings::to(receiver.grpc) });
    wait_until("what can be read arrives", || {
        receiver.metrics()["system.uptime"]["points"].as_u64() > Some(1)
    });
    let status = agent.status();
    let collectors = status["metrics"]["collectors"].as_array().unwrap();
    let of = |name: &str| collectors.iter().find(|collector| collector["name"] == name).unwrap();
    assert_eq!(of("system")["state"], "ok");
    assert_eq!(of("load")["state"], "failing");
    assert!(of("load")["message"].as_str().unwrap().contains("loadavg: line 1: field 1 minute"));
    assert_eq!(of("filesystem")["state"], "unavailable");
    assert!(agent.metric("hawsepipe_collector_errors_total{collector=\"load\"}") > 1);
    agent.stop();
    assert_eq!(agent.said("loadavg").len(), 1, "it is said once: {:?}", agent.process.stderr());
}

#[test]
fn metrics_wait_on_the_disk_while_the_receiver_is_away() {
    let rig = Rig::new();
    let port = rig.dead_port();
    let mut agent = rig.agent(&Settings { metrics: ON, ..Settings::to(port) });
    wait_until("ticks wait", || agent.metric("hawsepipe_spool_sampled_frames") > 2);
    let receiver = rig.receiver_at(port, "data");
    wait_until("what waited arrives", || {
        receiver.metrics()["system.uptime"]["points"].as_u64() > Some(2)
    });
    agent.stop();
}

fn metrics(args: &[&str]) -> Output {
    program().arg("metrics").args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn one_reading_of_this_machine_needs_neither_cluster_nor_config() {
    let table = stdout(&metrics(&["--apart", "50ms"]));
    for word in ["cpu  ", "memory  ", "system.memory.usage", "used", " GiB", "system.uptime"] {
        assert!(table.contains(word), "no `{word}` in:\n{table}");
    }
    assert!(!table.contains('\x1b'), "no colours where there is no terminal");
    let json: Value =
        serde_json::from_str(&stdout(&metrics(&["--json", "--apart", "50ms"]))).unwrap();
    let all = json["metrics"].as_array().unwrap();
    let of = |name: &str| all.iter().find(|metric| metric["name"] == name).unwrap();
    let time = of("system.cpu.time");
    let told = (&time["collector"], &time["instrument"], &time["unit"]);
    assert_eq!(told, (&Value::from("cpu"), &Value::from("counter"), &Value::from("s")));
    let point = &time["points"][0];
    assert!(point["value"].is_f64() && point["perSecond"].is_f64(), "{point}");
    assert_eq!(point["attributes"]["cpu"], "cpu0");
    assert!(!of("system.cpu.utilization")["points"].as_array().unwrap().is_empty());
    let names: BTreeSet<_> = all.iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), all.len(), "each metric once");
}

#[test]
fn collectors_are_asked_by_name_and_one_that_is_none_is_an_error() {
    let table = stdout(&metrics(&["load", "process", "--apart", "50ms"]));
    assert!(table.contains("system.cpu.load_average.1m"), "{table}");
    assert!(table.contains("process.memory.usage") && !table.contains("system.memory"), "{table}");
    let wrong = metrics(&["quark"]);
    assert_eq!(wrong.status.code(), Some(1));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("no collector quark; there are") && said.contains("memory"), "{said}");
}

#[test]
fn what_cannot_be_read_is_said_at_the_end_and_the_rest_is_shown() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path("proc")).unwrap();
    rig.write("proc/loadavg", "0.5 0.25 0.125 1/2 3\n");
    let text = format!("{{procPath: '{}', rootPath: ''}}", rig.path("proc").display());
    let settings =
        Settings { metrics: Box::leak(text.into_boxed_str()), ..Settings::to(rig.dead_port()) };
    let config = rig.config(&settings);
    let output = metrics(&["--apart", "0s", "--config", config.to_str().unwrap()]);
    assert!(stdout(&output).contains("0.50"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("hawsepipe: memory: ") && said.contains("meminfo: not there"), "{said}");
    assert!(said.contains("filesystem: the host's root file system is not mounted"), "{said}");
    assert!(!said.contains("load:"), "{said}");
}
