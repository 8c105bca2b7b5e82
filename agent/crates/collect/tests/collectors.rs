//! Every collector over a host made of files, and over the machine that the test runs on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use hawsepipe_collect::reading::{Number, Reading, read};
use hawsepipe_collect::{Choice, CollectError, Globs, Metric, Sources, ValueType, find, list};
use hawsepipe_host::HostRoot;
use hawsepipe_model::otlp::Instrument;

const BOOT: u64 = 1_700_000_000;

/// A host with one or two of everything.
const FILES: &[(&str, &str)] = &[
    (
        "proc/stat",
        "cpu  300 20 100 5000 40 6 7 8 0 0\n\
         cpu0 200 10 60 2500 30 4 5 6 0 0\n\
         cpu1 100 10 40 2500 10 2 2 2 0 0\n\
         intr 1\nctxt 2\nbtime 1700000000\nprocesses 4321\nprocs_running 3\nprocs_blocked 1\n",
    ),
    ("proc/loadavg", "0.50 1.25 2.00 3/100 999\n"),
    ("proc/uptime", "1234.50 2000.00\n"),
    (
        "proc/meminfo",
        "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nBuffers: 50 kB\nCached: 300 kB\n\
         Shmem: 20 kB\nSReclaimable: 30 kB\nSUnreclaim: 10 kB\nDirty: 5 kB\nHugePages_Total: 4\n\
         HugePages_Free: 3\nHugePages_Rsvd: 1\nHugePages_Surp: 0\nHugepagesize: 2048 kB\n",
    ),
    ("proc/vmstat", "pgpgin 400\npgpgout 800\npswpin 3\npswpout 4\npgfault 1000\npgmajfault 10\n"),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb1 partition 1024 256 -2\n"),
    (
        "proc/diskstats",
        "   8 0 sda 10 1 2000 30 20 2 4000 60 5 70 80 0 0 0 0 0 0\n\
         \x20  7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n",
    ),
    ("proc/filesystems", "nodev\tproc\n\text4\n"),
    (
        "proc/1/mountinfo",
        "20 1 0:5 / /proc rw - proc proc rw\n\
         21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
         22 21 8:1 /var/lib/kubelet /bound rw - ext4 /dev/sda1 rw\n",
    ),
    (
        "proc/1/net/dev",
        "Inter-|   Receive   |  Transmit\n face |bytes packets|bytes packets\n\
         eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0\n  lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n",
    ),
    (
        "proc/1/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue\n\
         \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n",
    ),
    (
        "proc/1/net/tcp6",
        "  sl  local_address rem_address   st tx_queue rx_queue\n\
         \x20  0: 0000:1F90 0000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n",
    ),
    ("proc/1/net/stat/nf_conntrack", "entries searched found\n0000000a 0 1\n0000000a 0 2\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    (
        "proc/1/net/rpc/nfs",
        "net 30 10 20 2\nrpc 100 3 4\nproc3 22 0 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n\
         proc4 3 0 11 12\n",
    ),
    (
        "proc/1/net/rpc/nfsd",
        "rc 1 2 3\nfh 4 0 0 0 0\nio 500 600\nth 8 0\nnet 9 4 5 6\nrpc 70 6 1 2 3\n\
         proc3 22 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nproc4 2 1 19\nproc4ops 5 0 0 0 21 22\n",
    ),
    ("proc/sys/fs/file-nr", "1024 0 9000\n"),
    (
        "proc/pressure/cpu",
        "some avg10=1.00 avg60=2.00 avg300=3.00 total=4000000\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ),
    (
        "proc/pressure/memory",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=5000000\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=6000000\n",
    ),
    (
        "proc/pressure/io",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=7000000\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=8000000\n",
    ),
    (
        "proc/1/stat",
        "1 (in it) S 0 1 1 0 -1 4194560 100 200 5 300 1000 500 0 0 20 0 3 0 200 8192 2 0 0 0\n",
    ),
    (
        "proc/1/status",
        "Name:\tin it\nUid:\t0\t0\t0\t0\nSigQ:\t0/100\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t8\n",
    ),
    ("proc/1/cmdline", "/sbin/init\0--secret\0"),
    (
        "proc/1/io",
        "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 0\n",
    ),
    ("proc/1/fd/0", ""),
    ("sys/devices/system/cpu/online", "0-1\n"),
    ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
    ("sys/devices/system/cpu/cpu1/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu1/topology/core_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000\n"),
];

fn host() -> (tempfile::TempDir, HostRoot) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in FILES {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = at(folder.path());
    (folder, root)
}

fn at(folder: &Path) -> HostRoot {
    HostRoot::new(folder.join("proc"), folder.join("sys"), Some(folder.into()))
}

/// What is told of pods has tests of its own (`pods.rs`).
const OF_PODS: [&str; 3] = ["container", "kubelet", "pod"];

/// Every other collector with every metric.
fn everything() -> Vec<Choice> {
    let all = list().iter().filter(|collector| !OF_PODS.contains(&collector.name));
    let all = all.map(|collector| Choice {
        wanted: vec![true; collector.metrics.len()],
        ..Choice::of(collector, Duration::from_secs(15))
    });
    all.collect()
}

fn read_all(root: HostRoot, choices: &[Choice]) -> Vec<Reading> {
    read(Sources::new(root), choices, Duration::from_millis(20))
}

/// Values by `metric{value,value}`.
fn by_series(readings: &[Reading]) -> BTreeMap<String, f64> {
    let points = readings.iter().flat_map(|reading| &reading.points);
    let named = points.map(|point| {
        let values: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
        let value = hawsepipe_collect::reading::as_f64(point.value);
        (format!("{}{{{}}}", point.metric.name, values.join(",")), value)
    });
    let (all, count) =
        (named.collect::<Vec<_>>(), readings.iter().map(|it| it.points.len()).sum::<usize>());
    let map: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(map.len(), count, "a series twice");
    map
}

#[test]
fn every_collector_tells_what_it_declares_of_a_host_that_has_it_all() {
    let (_folder, root) = host();
    let readings = read_all(root, &everything());
    assert_eq!(readings.len(), list().len() - OF_PODS.len());
    for reading in &readings {
        let name = reading.collector.name;
        assert!(reading.problem.is_none(), "{name}: {:?}", reading.problem);
        let told: BTreeSet<_> = reading.points.iter().map(|point| point.metric.name).collect();
        let mut declared: BTreeSet<_> =
            reading.collector.metrics.iter().map(|metric| metric.name).collect();
        // Nothing moves in a folder of files: no time passed on its CPUs.
        declared.remove("system.cpu.utilization");
        assert_eq!(told, declared, "{name}");
        for point in &reading.points {
            let Metric { name, attributes, value, instrument, .. } = *point.metric;
            let keys: Vec<_> = point.attributes.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, attributes, "{name}");
            assert!(point.attributes.iter().all(|(_, value)| !value.is_empty()), "{name}");
            let kind = match point.value {
                Number::Int(_) => ValueType::Int,
                Number::Double(_) => ValueType::Double,
            };
            assert_eq!(kind, value, "{name}");
            let started = if point.resource.is_some() { BOOT + 2 } else { BOOT };
            let start = if instrument == Instrument::Gauge { 0 } else { started * 1_000_000_000 };
            assert_eq!(point.start_unix_nano, start, "{name}");
        }
    }
}

#[test]
fn the_numbers_are_those_of_the_files() {
    let (_folder, root) = host();
    let series = by_series(&read_all(root, &everything()));
    for (name, value) in [
        ("system.cpu.time{cpu0,user}", 2.0),
        ("system.cpu.time{cpu1,wait}", 0.1),
        ("system.cpu.time{cpu0,interrupt}", 0.04),
        ("system.cpu.frequency{cpu0}", 2e9),
        ("system.cpu.logical.count{}", 2.0),
        ("system.cpu.physical.count{}", 1.0),
        ("system.cpu.load_average.5m{}", 1.25),
        ("system.memory.usage{used}", 400.0 * 1024.0),
        ("system.memory.usage{cached}", 330.0 * 1024.0),
        ("system.memory.utilization{used}", 0.4),
        ("system.memory.linux.hugepages.usage{used}", 1.0),
        ("system.memory.linux.hugepages.utilization{free}", 0.75),
        ("system.paging.usage{/dev/sdb1,used}", 256.0 * 1024.0),
        ("system.paging.utilization{/dev/sdb1,free}", 0.75),
        ("system.paging.operations{page_in,major}", 3.0),
        ("system.paging.faults{minor}", 990.0),
        ("system.disk.io{sda,read}", 2000.0 * 512.0),
        ("system.disk.operation_time{sda,write}", 0.06),
        ("system.disk.io_time{sda}", 0.07),
        ("system.disk.pending_operations{sda}", 5.0),
        ("system.disk.merged{sda,write}", 2.0),
        ("system.network.io{eth0,transmit}", 500.0),
        ("system.network.dropped{eth0,receive}", 4.0),
        ("system.network.errors{eth0,transmit}", 7.0),
        ("system.network.connections{tcp,LISTEN}", 2.0),
        ("system.network.connections{tcp,ESTABLISHED}", 0.0),
        ("system.network.conntrack.count{}", 10.0),
        ("system.network.conntrack.max{}", 262_144.0),
        ("system.processes.count{running}", 3.0),
        ("system.processes.count{sleeping}", 1.0),
        ("system.processes.created{}", 4321.0),
        ("system.uptime{}", 1234.5),
        ("system.linux.pressure.time{memory,full}", 6.0),
        ("system.linux.pressure.average{cpu,some,300s}", 0.03),
        ("system.linux.file_handles.count{}", 1024.0),
        ("nfs.client.net.count{tcp}", 20.0),
        ("nfs.client.rpc.retransmit.count{}", 3.0),
        ("nfs.client.procedure.count{3,GETATTR}", 7.0),
        ("nfs.client.operation.count{4,WRITE}", 12.0),
        ("nfs.server.procedure.count{4,COMPOUND}", 19.0),
        ("nfs.server.operation.count{4,CLOSE}", 22.0),
        ("nfs.server.io{receive}", 500.0),
        ("nfs.server.rpc.count{client}", 3.0),
        ("nfs.server.repcache.requests{nocache}", 3.0),
        ("nfs.server.thread.count{}", 8.0),
        ("process.cpu.time{user}", 10.0),
        ("process.memory.virtual{}", 8192.0),
        ("process.disk.io{write}", 6.0),
        ("process.uptime{}", 1232.5),
    ] {
        let found = series.get(name).unwrap_or_else(|| panic!("no {name} in {series:#?}"));
        assert!((found - value).abs() < 1e-9, "{name} is {found}, not {value}");
    }
    assert!(!series.keys().any(|name| name.contains("loop0")), "a device that does nothing");
    assert!(!series.keys().any(|name| name.contains("/bound")), "a folder mounted a second time");
}

#[test]
fn a_process_is_named_by_its_resource_and_its_arguments_are_not_told() {
    let (_folder, root) = host();
    let process = Choice::of(find("process").unwrap(), Duration::from_secs(15));
    let readings = read_all(root, &[process]);
    let resource = readings[0].points[0].resource.clone().unwrap();
    assert_eq!(resource.str("process.executable.name"), Some("in it"));
    assert_eq!(resource.str("process.command"), Some("/sbin/init"));
    assert!(!format!("{resource:?}").contains("secret"));
}

#[test]
fn what_is_not_wanted_is_not_told() {
    let (_folder, root) = host();
    let defaults = Choice::defaults(Duration::from_secs(15));
    for reading in read_all(root, &defaults) {
        assert!(reading.collector.default);
        assert!(reading.points.iter().all(|point| point.metric.default));
    }
    let (_folder, root) = host();
    let mut network = Choice::of(find("network").unwrap(), Duration::from_secs(15));
    network.options.select = Globs::new(&[], &["lo".to_owned()]).unwrap();
    let series = by_series(&read_all(root, &[network]));
    assert!(series.contains_key("system.network.io{eth0,receive}"));
    assert!(!series.contains_key("system.network.io{lo,receive}"));
}

#[test]
fn a_host_without_any_of_it_costs_each_collector_itself_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let root = HostRoot::new(folder.path().join("proc"), folder.path().join("sys"), None);
    for reading in read_all(root, &everything()) {
        assert!(reading.points.is_empty());
        let name = reading.collector.name;
        let problem = reading.problem.unwrap_or_else(|| panic!("{name} says nothing"));
        let unavailable = matches!(problem, CollectError::Unavailable(_));
        assert_eq!(
            unavailable,
            ["filesystem", "conntrack", "nfs", "pressure"].contains(&name),
            "{name}"
        );
    }
}

#[test]
fn garbage_in_every_file_makes_no_collector_panic() {
    for garbage in ["", "\0\0\0", "cpu x\n", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", "-1\n"]
    {
        let (folder, root) = host();
        for (path, _) in FILES {
            fs::write(folder.path().join(path), garbage).unwrap();
        }
        for reading in read_all(root, &everything()) {
            let problem = reading.problem.map(|problem| problem.to_string()).unwrap_or_default();
            assert!(!problem.contains("panicked"), "{}: {problem}", reading.collector.name);
        }
    }
}

#[test]
fn this_machine_is_told_of_without_a_problem() {
    let readings = read_all(HostRoot::here(), &everything());
    let problems: Vec<_> =
        readings.iter().filter_map(|it| Some((it.collector.name, it.problem.as_ref()?))).collect();
    let failed = problems.iter().filter(|(_, it)| !matches!(it, CollectError::Unavailable(_)));
    assert_eq!(failed.count(), 0, "{problems:?}");
    let points = readings.iter().filter(|it| it.collector.name != "process");
    let series = by_series(&points.map(clone).collect::<Vec<_>>());
    assert!(series["system.uptime{}"] > 0.0);
    assert!(series["system.memory.utilization{used}"] < 1.0);
    let utilization = |(name, value): (&String, &f64)| {
        name.starts_with("system.cpu.utilization{cpu0,").then_some(*value)
    };
    let whole: f64 = series.iter().filter_map(utilization).sum();
    assert!((whole - 1.0).abs() < 0.01 || whole == 0.0, "the states of a CPU add up: {whole}");
}

fn clone(reading: &Reading) -> Reading {
    Reading {
        collector: reading.collector,
        points: reading.points.clone(),
        problem: reading.problem.clone(),
    }
}

#[test]
fn declarations_are_in_order() {
    let mut names = BTreeSet::new();
    for collector in list() {
        assert!(!collector.reads.is_empty() && !collector.needs.is_empty(), "{}", collector.name);
        for metric in collector.metrics {
            assert!(names.insert(metric.name), "{} is declared twice", metric.name);
            assert!(metric.description().len() > 10, "{}", metric.name);
            assert!(!metric.description().ends_with('.'), "{}", metric.name);
        }
    }
    let sorted: Vec<_> = list().iter().map(|collector| collector.name).collect();
    assert!(sorted.is_sorted(), "{sorted:?}");
}

/// Recorded from the Collector; what its numbers mean differently stands in `agent/docs/COLLECTOR.md`.
#[test]
fn what_the_collector_sends_is_declared_as_there_and_on_where_it_is_on_there() {
    let recorded = include_str!("fixtures/collector-0.159.0.txt");
    let mut compared = 0;
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let [name, instrument, value, unit, attributes, on] = *line.split(' ').collect::<Vec<_>>()
        else {
            panic!("six words: {line}")
        };
        let mut all = list().iter().flat_map(|collector| collector.metrics);
        let metric = all.find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not declared"));
        let mut keys = metric.attributes.to_vec();
        keys.sort_unstable();
        let keys = if keys.is_empty() { "-".to_owned() } else { keys.join(",") };
        assert_eq!(
            (metric.instrument.name(), metric.value.name(), metric.unit, keys.as_str()),
            (instrument, value, unit, attributes),
            "{name}"
        );
        assert!(metric.default || on == "off", "{name} is on there");
        compared += 1;
    }
    assert_eq!(compared, 139);
}
