//! `hawsepipe agent`, and what it shows of itself.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::http;
use crate::process::{OnLine, Process, program, wait_for, wait_until};
use crate::rig::Rig;

/// What differs between the tests' configurations.
pub(crate) struct Settings {
    /// Name and endpoint.
    pub(crate) destinations: Vec<(&'static str, SocketAddr)>,
    /// The name of the one with `whenFull: drop`.
    pub(crate) drops: &'static str,
    /// In order unless a test is about the other: a machine may be so slow that a backlog is made where none is meant.
    pub(crate) catch_up: &'static str,
    pub(crate) timeout: &'static str,
    pub(crate) temporality: &'static str,
    /// The name of the file in the rig that holds the key for all of them.
    pub(crate) key_file: &'static str,
    pub(crate) max_record_bytes: &'static str,
    pub(crate) max_unlinked: &'static str,
    pub(crate) files_max_bytes: &'static str,
    pub(crate) pushed_max_bytes: &'static str,
    pub(crate) level: &'static str,
    pub(crate) shutdown_timeout: &'static str,
    pub(crate) metrics: &'static str,
    pub(crate) heartbeats: &'static str,
}

impl Settings {
    /// The destination `main`, and the defaults.
    pub(crate) fn to(endpoint: SocketAddr) -> Self {
        Self {
            destinations: vec![("main", endpoint)],
            drops: "",
            catch_up: "inOrder",
            timeout: "2s",
            temporality: "cumulative",
            key_file: "key",
            max_record_bytes: "1MiB",
            max_unlinked: "1GiB",
            files_max_bytes: "64MiB",
            pushed_max_bytes: "64MiB",
            level: "info",
            shutdown_timeout: "20s",
            metrics: "{enabled: false}",
            heartbeats: "{enabled: false}",
        }
    }

    /// Another destination.
    pub(crate) fn and(mut self, name: &'static str, endpoint: SocketAddr) -> Self {
        self.destinations.push((name, endpoint));
        self
    }
}

pub(crate) struct Agent {
    pub(crate) process: Process,
    pub(crate) admin: SocketAddr,
}

impl Rig {
    /// Writes a configuration.
    pub(crate) fn config(&self, settings: &Settings) -> PathBuf {
        let mut destinations = String::new();
        for (name, endpoint) in &settings.destinations {
            let key = self.path(settings.key_file);
            let auth = format!("{{header: x-api-key, keyFile: '{}'}}", key.display());
            let when_full = if *name == settings.drops { "drop" } else { "block" };
            let Settings { catch_up, timeout, temporality, .. } = settings;
            let inner = format!(
                "type: otlp, endpoint: \"http://{endpoint}\", timeout: {timeout}, whenFull: {when_full}, \
                 catchUp: {catch_up}, temporality: {temporality}"
            );
            writeln!(destinations, "  {name}: {{{inner}, auth: {auth}}}").unwrap();
        }
        let text = format!(
            "
cluster: {{name: test}}
resource: {{attributes: {{team: core}}}}
destinations:
{destinations}
logs: {{podsPath: '{pods}', maxRecordBytes: {max_record_bytes}, maxUnlinked: {max_unlinked}}}
metrics: {metrics}
heartbeats: {heartbeats}
kubernetes: {{source: none, nodeName: node-1}}
spool: {{path: '{spool}', minFree: 0, files: {{maxBytes: {files_max_bytes}}}, pushed: {{maxBytes: {pushed_max_bytes}}}}}
admin: {{listen: \"{admin}\"}}
log: {{level: {level}}}
shutdownTimeout: {shutdown_timeout}
",
            pods = self.pods().display(),
            metrics = settings.metrics,
            heartbeats = settings.heartbeats,
            max_record_bytes = settings.max_record_bytes,
            max_unlinked = settings.max_unlinked,
            spool = self.path("spool").display(),
            files_max_bytes = settings.files_max_bytes,
            pushed_max_bytes = settings.pushed_max_bytes,
            admin = self.any_port(),
            level = settings.level,
            shutdown_timeout = settings.shutdown_timeout,
        );
        self.write("config.yaml", &text)
    }

    pub(crate) fn agent(&self, settings: &Settings) -> Agent {
        self.agent_with(settings, Box::new(|_line| {}))
    }

    pub(crate) fn agent_with(&self, settings: &Settings, on_stderr: OnLine) -> Agent {
        Self::start(&["--role=node"], &self.config(settings), on_stderr)
    }

    /// Starts one with these arguments beside its configuration.
    pub(crate) fn start(arguments: &[&str], config: &Path, on_stderr: OnLine) -> Agent {
        let mut command = program();
        command.arg("agent").args(arguments).arg("--config").arg(config);
        let mut process = Process::start_with(&mut command, on_stderr);
        let admin = wait_for("the agent says where its admin port is", || {
            assert!(process.is_running(), "{:?}", process.stderr());
            process.stderr().iter().find_map(|line| {
                let line: Value = serde_json::from_str(line).expect(line);
                line["admin"].as_str().map(|address| address.parse().unwrap())
            })
        });
        Agent { process, admin }
    }
}

impl Agent {
    /// Whether it has this file open, under whatever name it opened it.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        self.process.holds(path)
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&http::get(self.admin, "/status").body).unwrap()
    }

    /// The status of one destination.
    pub(crate) fn destination(&self, name: &str) -> Value {
        let status = self.status();
        let destinations = status["destinations"].as_array().unwrap();
        destinations.iter().find(|destination| destination["name"] == name).unwrap().clone()
    }

    /// Tries that failed.
    pub(crate) fn retries(&self) -> u64 {
        self.destination("main")["retries"].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for_state(&self, name: &str, state: &str) {
        wait_until(&format!("{name} is {state}"), || self.destination(name)["state"] == state);
    }

    /// Waits until `more` tries have failed.
    #[track_caller]
    pub(crate) fn wait_for_retries(&self, more: u64) {
        let until = self.retries() + more;
        wait_until("tries fail", || self.retries() >= until);
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = http::get(self.admin, "/metrics").body;
        let mut samples =
            page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        samples.next().unwrap_or_else(|| panic!("no {name} in:\n{page}")).parse().unwrap()
    }

    /// Waits until so many bytes of log files have been read.
    #[track_caller]
    pub(crate) fn wait_until_read(&self, bytes: u64) {
        wait_until("the files are read", || {
            self.metric("hawsepipe_logs_read_bytes_total") >= bytes
        });
    }

    /// Ends it as Kubernetes does; it must end well.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        self.process.ends_well();
    }

    /// The lines of its own log that contain `text`.
    pub(crate) fn said(&self, text: &str) -> Vec<String> {
        self.process.stderr().into_iter().filter(|line| line.contains(text)).collect()
    }
}
