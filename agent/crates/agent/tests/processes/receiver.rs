//! `hawsepipe receive`, and what it has, read by `hawsepipe logs`.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::http;
use crate::process::{Process, program, wait_for, wait_until};
use crate::rig::Rig;

pub(crate) struct Receiver {
    pub(crate) process: Process,
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
    logs: Command,
    events: Command,
}

impl Rig {
    /// A receiver that wants the rig's key, on a port of its own.
    pub(crate) fn receiver(&self) -> Receiver {
        self.receiver_at(self.any_port(), "data")
    }

    /// The same on a given port, with its data in `data`.
    pub(crate) fn receiver_at(&self, grpc: SocketAddr, data: &str) -> Receiver {
        let any = self.any_port();
        let mut command = program();
        command.args(["receive", &format!("--grpc={grpc}")]);
        command.args([format!("--http={any}"), format!("--admin={any}")]);
        command.arg("--key-file").arg(self.path("key")).arg("--data").arg(self.path(data));
        let process = Process::start(&mut command);
        // It says where it listens, one JSON object a line.
        let said = |key: &str| {
            wait_for("the receiver says where it listens", || {
                process.stderr().iter().find_map(|line| {
                    let line: Value = serde_json::from_str(line).expect(line);
                    line[key].as_str().map(|address| address.parse::<SocketAddr>().unwrap())
                })
            })
        };
        let (grpc, admin) = (said("grpc"), said("address"));
        let read = || {
            let mut read = program();
            read.args(["logs", "-A", "-o", "json", "--endpoint", &format!("http://{grpc}")]);
            read.arg("--key-file").arg(self.path("key"));
            read
        };
        let (logs, mut events) = (read(), read());
        events.arg("--events");
        Receiver { process, grpc, admin, logs, events }
    }
}

impl Receiver {
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&http::get(self.admin, "/status").body).unwrap()
    }

    /// Log records that it took since it was started.
    pub(crate) fn received(&self) -> u64 {
        self.status()["received"]["logs"]["records"].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for_records(&self, count: u64) {
        wait_until(&format!("{count} records arrive"), || self.received() >= count);
    }

    /// Every line that it has.
    pub(crate) fn records(&mut self) -> Vec<Value> {
        read(&mut self.logs)
    }

    /// Every event that it has.
    pub(crate) fn events(&mut self) -> Vec<Value> {
        read(&mut self.events)
    }
}

fn read(command: &mut Command) -> Vec<Value> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.contains("has no logs"), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}
