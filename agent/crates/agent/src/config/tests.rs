//! What an admin may write, and what is said of it.

use super::*;

const SMALLEST: &str = "
destinations: {main: {type: otlp, endpoint: \"http://localhost:4317\"}}
kubernetes: {source: none}
";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("config.yaml"))
}

#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let error = parse(text).unwrap_err().to_string();
    assert!(error.starts_with("config.yaml: "), "{error}");
    for part in says {
        assert!(error.contains(part), "`{error}` does not say `{part}`");
    }
}

#[test]
fn the_smallest_config_has_every_default() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(config.logs.pods_path, Path::new("/var/log/pods"));
    assert_eq!(config.logs.start_at, StartAt::All);
    assert_eq!(config.logs.max_record_bytes, 1 << 20);
    assert_eq!(config.spool.path, Path::new("/var/lib/hawsepipe"));
    assert_eq!(config.spool.files_max_bytes, 1 << 30);
    assert_eq!(config.spool.pushed_max_bytes, 64 << 20);
    assert_eq!(config.spool.sampled_max_bytes, 64 << 20);
    assert_eq!(config.spool.min_free, MinFree::Percent(10));
    assert_eq!(config.spool.working_set, 12 << 20);
    assert_eq!(config.destinations[0].when_full, WhenFull::Block);
    assert_eq!(config.destinations[0].catch_up, CatchUp::NewestFirst);
    assert_eq!(config.destinations[0].settings.temporality(), export::Temporality::Cumulative);
    assert_eq!(config.admin, "127.0.0.1:9464".parse().unwrap());
    assert_eq!(config.shutdown_timeout, Duration::from_secs(20));
    assert!(config.kubernetes.is_none());
    assert!(config.log.json);
    assert_eq!(config.leading.lease_name, "hawsepipe");
    assert!(config.leading.lease_namespace.is_empty() && config.leading.events.is_some());
    let metrics = config.metrics.unwrap();
    assert_eq!(metrics.interval, Duration::from_secs(15));
    assert_eq!(metrics.host, hawsepipe_host::HostRoot::here());
    let names: Vec<_> = metrics.of_node.iter().map(|choice| choice.collector.name).collect();
    assert!(names.contains(&"cpu") && !names.contains(&"process"), "{names:?}");
}

#[test]
fn the_kubelet_is_asked_where_there_is_a_cluster_or_an_endpoint_and_nowhere_else() {
    let metrics = |text: &str| parse(&format!("{SMALLEST}{text}")).map(|it| it.metrics.unwrap());
    let runs =
        |metrics: &Metrics| metrics.of_node.iter().any(|choice| choice.collector.name == "kubelet");
    let none = metrics("").unwrap();
    assert!(none.kubelet.is_none() && !runs(&none), "kubernetes.source is none");
    let text = "
metrics:
  kubelet: {endpoint: \"https://[fd00::1]:10250\", caFile: /etc/kubelet.crt, insecureSkipVerify: true}
";
    let given = metrics(text).unwrap();
    assert!(runs(&given));
    let kubelet = given.kubelet.unwrap();
    assert_eq!(kubelet.endpoint.as_deref(), Some("https://[fd00::1]:10250"));
    assert_eq!(kubelet.ca_file.as_deref(), Some(Path::new("/etc/kubelet.crt")));
    assert!(kubelet.insecure_skip_verify);
    for (text, key) in [
        ("metrics: {kubelet: {endpoint: node-1}}", "metrics.kubelet.endpoint"),
        ("metrics: {collectors: {kubelet: {enabled: true}}}", "metrics.collectors.kubelet.enabled"),
    ] {
        let error = metrics(text).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn collectors_and_their_metrics_are_switched_by_name() {
    let text = "
metrics:
  interval: 30s
  procPath: /host/proc
  sysPath: /host/sys
  rootPath: \"\"
  collectors:
    cpu: {interval: 5s, metrics: {system.cpu.utilization: true, system.cpu.time: false}}
    process: {enabled: true, top: 3}
    network: {exclude: [\"veth*\"]}
    load: {enabled: false}
";
    let metrics = parse(&format!("{SMALLEST}{text}")).unwrap().metrics.unwrap();
    let of = |name: &str| metrics.of_node.iter().find(|choice| choice.collector.name == name);
    let cpu = of("cpu").unwrap();
    assert_eq!(cpu.interval, Duration::from_secs(5));
    let wanted = cpu.collector.metrics.iter().zip(&cpu.wanted);
    let wanted: Vec<_> = wanted.filter(|(_, on)| **on).map(|(metric, _)| metric.name).collect();
    assert_eq!(wanted, ["system.cpu.utilization", "system.cpu.logical.count"]);
    assert_eq!(of("memory").unwrap().interval, Duration::from_secs(30));
    assert_eq!(of("process").unwrap().options.top, 3);
    let network = &of("network").unwrap().options.select;
    assert!(network.take("eth0") && !network.take("veth1"));
    assert!(of("load").is_none());
    assert_eq!(metrics.host, hawsepipe_host::HostRoot::new("/host/proc", "/host/sys", None));
    let off = parse(&format!("{SMALLEST}metrics: {{enabled: false}}\n")).unwrap();
    assert!(off.metrics.is_none());
}

#[test]
fn the_clusters_objects_are_told_where_there_is_a_cluster_and_by_the_same_switches() {
    let with_cluster = SMALLEST.replace("{source: none}", "{nodeName: node-1}");
    let config = |text: &str| parse(&format!("{with_cluster}{text}")).unwrap();
    let names = |choices: &[Choice]| -> Vec<&str> {
        choices.iter().map(|choice| choice.collector.name).collect()
    };
    let metrics = config("").metrics.unwrap();
    let all = names(&metrics.of_cluster);
    assert!(all.contains(&"cluster_namespaces"), "{all:?}");
    assert!(names(&metrics.of_node).iter().all(|name| !all.contains(name)), "each runs once");
    let off = |name: &&str| format!("{name}: {{enabled: false}}");
    let off = all.iter().map(off).collect::<Vec<_>>().join(", ");
    let off = config(&format!("metrics: {{collectors: {{{off}}}}}\n"));
    assert!(off.metrics.as_ref().is_some_and(|metrics| metrics.of_cluster.is_empty()));
    assert!(off.has_duties(), "there are events");
    assert!(config("events: {enabled: false}\n").has_duties(), "there are objects");
    let nothing_else = "events: {enabled: false}\nmetrics: {enabled: false}\n";
    assert!(config(nothing_else).has_duties(), "there are CronJobs");
    let off = "heartbeats: {cronJobs: {enabled: false}}\n";
    assert!(!config(&format!("{nothing_else}{off}")).has_duties());

    assert!(parse(SMALLEST).unwrap().metrics.unwrap().of_cluster.is_empty(), "no cluster");
    let text = "metrics: {collectors: {cluster_namespaces: {enabled: true}}}\n";
    let key = "metrics.collectors.cluster_namespaces.enabled";
    refused(&format!("{SMALLEST}{text}"), &[key, "objects of a cluster", "apiserver"]);
    let text = "heartbeats: {cronJobs: {enabled: true}}\n";
    refused(&format!("{SMALLEST}{text}"), &["heartbeats.cronJobs.enabled", "apiserver"]);
}

#[test]
fn a_collector_or_a_metric_that_is_not_there_is_refused_with_what_was_meant() {
    let refused = |text: &str, says: &[&str]| {
        refused(&format!("{SMALLEST}metrics: {{collectors: {{{text}}}}}\n"), says);
    };
    refused("cpus: {}", &["metrics.collectors.cpus", "did you mean `cpu`?"]);
    refused("quark: {}", &["metrics.collectors.quark", "there are", "memory"]);
    refused(
        "cpu: {metrics: {system.cpu.utilisation: true}}",
        &["metrics.collectors.cpu.metrics.system.cpu.utilisation", "`system.cpu.utilization`?"],
    );
    refused("cpu: {exclude: [a]}", &["metrics.collectors.cpu.exclude", "nothing to select"]);
    refused("disk: {exclude: [\"[\"]}", &["metrics.collectors.disk.exclude", "write globs"]);
    refused("cpu: {top: 3}", &["metrics.collectors.cpu.top", "no such bound"]);
    refused("process: {top: 0}", &["metrics.collectors.process.top", "at least 1"]);
    refused("cpu: {interval: 0s}", &["metrics.collectors.cpu.interval", "for instance 15s"]);
    refused("cpu: {enable: true}", &["unknown field `enable`", "did you mean `enabled`?"]);
}

#[test]
fn every_key_is_read() {
    let key = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "
cluster: {{name: prod-eu}}
resource: {{attributes: {{team: core, path: \"${{PATH}}\"}}}}
destinations:
  main:
    type: otlp
    protocol: grpc
    endpoint: https://ingest.example.com:4317
    compression: zstd
    auth: {{header: authorization, format: \"Bearer {{key}}\", keyFile: {}}}
    tls: {{serverName: other.example.com}}
    timeout: 5s
    whenFull: drop
    catchUp: inOrder
    temporality: delta
logs:
  podsPath: /logs
  include: [{{namespaces: [a], pods: [b], containers: [c], labels: {{app: x}}}}]
  exclude: [{{namespaces: [kube-*]}}]
  startAt: new
  maxRecordBytes: 64KiB
kubernetes: {{source: apiserver, nodeName: n1, labels: [app], annotations: [x/*], metadataTimeout: 1s}}
spool: {{path: /spool, files: {{maxBytes: 32MiB}}, sampled: {{maxBytes: 8MiB}}, minFree: 2GiB}}
admin: {{listen: \"0.0.0.0:1\"}}
log: {{level: debug, format: text}}
shutdownTimeout: 5s
",
        key.path().display()
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.attributes.str("k8s.cluster.name"), Some("prod-eu"));
    assert_eq!(config.attributes.str("team"), Some("core"));
    assert_eq!(config.attributes.str("path"), std::env::var("PATH").ok().as_deref());
    let Destination { name, settings, when_full, catch_up } = &config.destinations[0];
    assert_eq!((&name[..], *when_full), ("main", WhenFull::Drop));
    assert_eq!(*catch_up, CatchUp::InOrder);
    assert_eq!(settings.temporality(), export::Temporality::Delta);
    assert_eq!(settings.endpoint().to_string(), "https://ingest.example.com:4317");
    assert_eq!(settings.timeout(), Duration::from_secs(5));
    assert_eq!(settings.auth().unwrap().format(), "Bearer {key}");
    assert_eq!(config.logs.start_at, StartAt::New);
    assert_eq!(config.logs.max_record_bytes, 64 << 10);
    assert_eq!(config.logs.metadata_timeout, Duration::from_secs(1));
    assert_eq!(config.logs.selection.decide("x", "b", "c", None), Some(false));
    let kubernetes = config.kubernetes.unwrap();
    assert_eq!((&*kubernetes.node_name, &*kubernetes.annotations), ("n1", &["x/*".to_owned()][..]));
    assert_eq!(config.spool.path, Path::new("/spool"));
    assert_eq!((config.spool.files_max_bytes, config.spool.sampled_max_bytes), (32 << 20, 8 << 20));
    assert_eq!(config.spool.min_free, MinFree::Bytes(2 << 30));
    assert_eq!(config.log.level, LevelFilter::DEBUG);
    assert!(!config.log.json);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_key() {
    refused(
        "logs:\n  podPath: /x\n",
        &["unknown field `podPath`", "line 2 column 3", "did you mean `podsPath`?"],
    );
    refused("destination: {}\n", &["did you mean `destinations`?", "line 1"]);
    refused("logs: {startAT: new}\n", &["did you mean `startAt`?"]);
}

#[test]
fn a_wrong_type_is_refused_with_its_place() {
    refused("logs:\n  include: yes\n", &["logs.include", "line 2"]);
    refused("logs:\n  startAt: middle\n", &["logs.startAt", "`all`", "`new`", "line 2"]);
    refused("logs:\n  maxRecordBytes: big\n", &["`big` is no size", "64MiB", "line 2"]);
    refused("shutdownTimeout: 20\n", &["`20` is no time", "30s"]);
    refused("spool:\n  minFree: plenty\n", &["spool.minFree", "`plenty`", "10% or 5GiB", "line 2"]);
    refused("spool: {minFree: 100%}\n", &["`100%`", "below 100"]);
    refused(
        "destinations:\n  main: {type: otlp, endpoint: \"http://h:1\", whenFull: wait}\n",
        &["whenFull", "`wait`", "`block`", "`drop`", "line 2"],
    );
    refused(
        "destinations:\n  main: {type: otlp, endpoint: \"http://h:1\", catchUp: oldestFirst}\n",
        &["catchUp", "`oldestFirst`", "`newestFirst`", "`inOrder`", "line 2"],
    );
    refused(
        "destinations:\n  main: {type: otlp, endpoint: \"http://h:1\", temporality: deltas}\n",
        &["temporality", "`deltas`", "`cumulative`", "`delta`", "line 2 column"],
    );
    refused("spool: {wire: {maxBytes: 1GiB}}\n", &["unknown field `wire`"]);
    refused("a: [\n", &["line"]);
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_path_reason_and_remedy() {
    refused(
        "kubernetes: {source: none}\n",
        &["destinations", "there is none", "name at least one"],
    );
    let destination = |inner: &str| {
        format!("destinations: {{main: {{type: otlp, {inner}}}}}\nkubernetes: {{source: none}}\n")
    };
    refused(
        &destination("endpoint: \"localhost:4317\""),
        &["destinations.main.endpoint", "no scheme", "https://"],
    );
    refused(
        &destination("endpoint: \"http://h:1\", auth: {header: x-api-key, keyFile: /no/such/file}"),
        &["destinations.main.auth.keyFile", "/no/such/file", "mount the Secret"],
    );
    refused(&destination("endpoint: \"http://h:1\", compression: lz4"), &["compression", "lz4"]);
    refused(&destination("endpoint: \"http://h:1\", type: kafka"), &["main"]);
    let with = |text: &str| format!("{}\n{text}\n", SMALLEST.trim());
    refused(&with("admin: {listen: here}"), &["admin.listen", "`here`", "0.0.0.0:9464"]);
    refused(&with("spool: {files: {maxBytes: 1MiB}}"), &["spool.files.maxBytes", "12MiB"]);
    refused(
        &with("spool: {files: {maxBytes: 16MiB}}\nlogs: {maxRecordBytes: 4MiB}"),
        &["spool.files.maxBytes", "24MiB", "logs.maxRecordBytes"],
    );
    refused(
        &with("spool: {pushed: {maxBytes: 1MiB}}"),
        &["spool.pushed.maxBytes", "1048576 bytes", "at least 4MiB"],
    );
    refused(
        &with("spool: {sampled: {maxBytes: 1MiB}}"),
        &["spool.sampled.maxBytes", "1048576 bytes", "at least 4MiB"],
    );
    refused(&with("logs: {include: [{pods: [\"a[\"]}]}"), &["logs.include", "`a[`"]);
    refused(
        &with("logs: {exclude: [{labels: {a: b}}]}"),
        &["logs.exclude", "kubernetes.source is none"],
    );
    refused(
        &SMALLEST.replace("source: none", "source: apiserver"),
        &["kubernetes.nodeName", "${NODE_NAME}"],
    );
    refused(
        &with("resource: {attributes: {a: \"${NO_SUCH_VARIABLE}\"}}"),
        &["NO_SUCH_VARIABLE", "line 3"],
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/no/such/config.yaml")).unwrap_err().to_string();
    assert!(error.contains("/no/such/config.yaml") && error.contains("--config"), "{error}");
}

#[test]
fn events_are_sent_unless_they_are_switched_off_and_a_rule_that_is_no_glob_is_refused() {
    let with = |text: &str| format!("{SMALLEST}{text}");
    assert!(parse(&with("events: {enabled: false}")).unwrap().leading.events.is_none());
    refused(&with("events: {exclude: [{reasons: [\"[\"]}]}"), &["events.exclude", "globs"]);
    refused(&with("events: {include: [{reason: [a]}]}"), &["unknown", "reasons"]);
    refused(&with("cluster: {lease: {name: \"\"}}"), &["cluster.lease.name", "give it a name"]);
}

#[test]
fn who_does_what_is_done_once_in_the_cluster_needs_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, SMALLEST).unwrap();
    let error = Config::load_with_cluster(&path).unwrap_err().to_string();
    assert!(error.contains("kubernetes.source") && error.contains("--role"), "{error}");
}

#[test]
fn heartbeats_are_taken_where_there_is_no_cluster_unless_something_else_is_said() {
    let heartbeats = |text: &str| parse(&format!("{SMALLEST}\n{text}")).unwrap().heartbeats;
    assert_eq!(heartbeats("").unwrap().listen.to_string(), "127.0.0.1:9465");
    assert!(heartbeats("heartbeats: {enabled: false}").is_none());
    let in_cluster = SMALLEST.replace("source: none", "source: apiserver, nodeName: n");
    assert!(parse(&in_cluster).unwrap().heartbeats.is_none());
    let plans =
        heartbeats("heartbeats: {jobs: {a/b: {schedule: \"@daily\", grace: 1h}}}").unwrap().plans;
    assert_eq!(plans[0].0.as_str(), "a/b");
    for (text, words) in [
        ("{listen: here}", "heartbeats.listen: `here` is no address"),
        ("{jobs: {a b: {schedule: \"@daily\"}}}", "heartbeats.jobs.a b: that is no name"),
        (
            "{jobs: {a: {schedule: \"0 0 * * 7\"}}}",
            "heartbeats.jobs.a.schedule: `0 0 * * 7` is no schedule: day of the week",
        ),
        (
            "{jobs: {a: {schedule: \"@daily\", timeZone: Moon}}}",
            "heartbeats.jobs.a.timeZone: `Moon` is no time zone",
        ),
        (
            "{jobs: {a: {schedule: \"@daily\", grace: 0s}}}",
            "heartbeats.jobs.a.grace: every start would be too late",
        ),
        ("{jobs: {a: {}}}", "schedule"),
    ] {
        let error = parse(&format!("{SMALLEST}\nheartbeats: {text}\n")).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
