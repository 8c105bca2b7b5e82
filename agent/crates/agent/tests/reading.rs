//! `hawsepipe receive` and `hawsepipe logs` as processes: what a person types, and what comes of it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test may, its helpers too

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const KEY: &str = "the-key-of-the-test";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hawsepipe"));
    for name in ["HAWSEPIPE_ENDPOINT", "HAWSEPIPE_KEY_FILE", "HAWSEPIPE_CA_FILE"] {
        command.env_remove(name);
    }
    command
}

/// A child that is gone when the test is.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Rig {
    folder: TempDir,
    key_file: PathBuf,
}

struct Receiver {
    process: Process,
    grpc: String,
    admin: String,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        fs::write(&key_file, format!("{KEY}\n")).unwrap();
        Self { folder, key_file }
    }

    fn receive(&self) -> Receiver {
        self.receive_with(&[])
    }

    fn receive_with(&self, args: &[&str]) -> Receiver {
        let mut child = program()
            .args(["receive", "--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0"])
            .arg("--key-file")
            .arg(&self.key_file)
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let process = Process(child);
        // It says where it listens, one JSON object a line.
        let mut said = |key: &str| loop {
            let line = lines.next().expect("the receiver says where it listens").unwrap();
            let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
            if let Some(value) = line[key].as_str() {
                return value.to_owned();
            }
        };
        let (grpc, admin) = (said("grpc"), said("address"));
        std::thread::spawn(move || lines.for_each(drop));
        Receiver { process, grpc: format!("http://{grpc}"), admin }
    }

    fn logs(&self, receiver: &Receiver) -> Command {
        let mut command = program();
        command.arg("logs").env("HAWSEPIPE_ENDPOINT", &receiver.grpc);
        command.env("HAWSEPIPE_KEY_FILE", &self.key_file);
        command
    }

    /// Stdout of `hawsepipe logs ARGS`, which must succeed.
    fn read(&self, receiver: &Receiver, args: &str) -> String {
        let output = self.logs(receiver).args(args.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "{args}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn string(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// Sends `lines` of `names` (`namespace/pod/container`) as an agent would.
fn send(receiver: &Receiver, names: &str, lines: &[&str]) {
    let names: Vec<&str> = names.split('/').collect();
    let record = |line: &&str| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_001,
        body: Some(AnyValue { value: Some(Value::StringValue((*line).to_owned())) }),
        attributes: vec![string("log.iostream", "stdout")],
        ..LogRecord::default()
    };
    let keys = ["k8s.namespace.name", "k8s.pod.name", "k8s.container.name"];
    let attributes = keys.iter().zip(names).map(|(key, value)| string(key, value)).collect();
    let resource = Resource { attributes, ..Resource::default() };
    let records = lines.iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    let of = ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() };
    let mut request = tonic::Request::new(ExportLogsServiceRequest { resource_logs: vec![of] });
    request.metadata_mut().insert("x-api-key", KEY.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = LogsServiceClient::connect(receiver.grpc.clone()).await.unwrap();
        client.export(request).await.unwrap();
    });
}

#[test]
fn logs_are_read_as_kubectl_would_show_them() {
    let rig = Rig::new();
    let receiver = rig.receive();
    send(&receiver, "default/web-1/app", &["one", "two", "three"]);
    send(&receiver, "shop/cart/app", &["a", "b"]);
    send(&receiver, "shop/cart/proxy", &["p"]);
    for (args, expected) in [
        ("web-1", "one\ntwo\nthree\n"),
        ("web-1 --tail 1", "three\n"),
        ("web-1 --grep ^t", "two\nthree\n"),
        ("web-1 --since 5m", ""),
        ("web-1 --tail 1 --timestamps", "2023-11-14T22:13:20.000000001Z three\n"),
        ("web-* --tail 1", "[default/web-1/app] three\n"),
        ("--tail=2", "[default/web-1/app] two\n[default/web-1/app] three\n"),
        ("-n shop cart", "[shop/cart/app] a\n[shop/cart/app] b\n[shop/cart/proxy] p\n"),
        ("-n shop cart -c proxy", "p\n"),
        ("-A --tail 2", "[shop/cart/app] b\n[shop/cart/proxy] p\n"),
        (
            "-n shop cart -c proxy -o json",
            concat!(
                r#"{"time":"2023-11-14T22:13:20.000000001Z","namespace":"shop","pod":"cart","#,
                r#""container":"proxy","stream":"stdout","body":"p","#,
                r#""attributes":{"log.iostream":"stdout"},"#,
                r#""resource":{"k8s.container.name":"proxy","k8s.namespace.name":"shop","#,
                r#""k8s.pod.name":"cart"}}"#,
                "\n"
            ),
        ),
    ] {
        assert_eq!(rig.read(&receiver, args), expected, "{args}");
    }
}

#[test]
fn following_shows_lines_live_and_ctrl_c_ends_it_well() {
    let rig = Rig::new();
    let receiver = rig.receive();
    send(&receiver, "default/web/app", &["before"]);
    let mut child = rig.logs(&receiver).args(["web", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut process = Process(child);
    assert_eq!(lines.next().unwrap().unwrap(), "before");
    for line in ["live 1", "live 2"] {
        send(&receiver, "default/web/app", &[line]);
        assert_eq!(lines.next().unwrap().unwrap(), line);
    }
    process.signal(Signal::INT);
    assert!(process.wait().success());
}

#[test]
fn a_reader_that_has_had_enough_ends_it_quietly() {
    let rig = Rig::new();
    let receiver = rig.receive();
    send(&receiver, "default/web/app", &["x".repeat(1000).as_str(); 1000]);
    let mut child = rig
        .logs(&receiver)
        .args(["web", "-f"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first: (ChildStdout, [u8; 1]) = (child.stdout.take().unwrap(), [0]);
    first.0.read_exact(&mut first.1).unwrap();
    drop(first);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_was_taken_outlives_a_kill_of_the_receiver() {
    let rig = Rig::new();
    let mut receiver = rig.receive();
    send(&receiver, "default/web/app", &["one", "two"]);
    receiver.process.signal(Signal::KILL);
    receiver.process.wait();
    let mut receiver = rig.receive();
    send(&receiver, "default/web/app", &["three"]);
    assert_eq!(rig.read(&receiver, "web"), "one\ntwo\nthree\n");
    receiver.process.signal(Signal::TERM);
    assert!(receiver.process.wait().success());
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let rig = Rig::new();
    let receiver = rig.receive();
    let wrong_key = rig.folder.path().join("wrong");
    fs::write(&wrong_key, "wrong").unwrap();
    let wrong_key = wrong_key.to_str().unwrap();
    let admin = format!("http://{}", receiver.admin);
    for (args, words) in [
        (vec!["--key-file", wrong_key], vec![receiver.grpc.as_str(), wrong_key, "x-api-key"]),
        (vec!["--key-file", "/nowhere/key"], vec!["/nowhere/key"]),
        (vec!["--endpoint", "http://127.0.0.1:1"], vec!["http://127.0.0.1:1", "refused"]),
        (vec!["--endpoint", "localhost:4317"], vec!["http://", "localhost:4317"]),
        (vec!["--endpoint", &admin], vec![&admin]),
        (vec!["nobody"], vec!["nobody", "default"]),
        (vec!["--grep", "a("], vec!["a(", "regular expression"]),
    ] {
        let output = rig.logs(&receiver).args(&args).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(output.stdout.is_empty());
        for word in words {
            assert!(said.contains(word), "{args:?}: `{word}` is not in: {said}");
        }
        assert!(!said.contains(KEY), "{args:?}: {said}");
    }
    let mut command = rig.logs(&receiver);
    let output = command.env_remove("HAWSEPIPE_KEY_FILE").output().unwrap();
    assert!(stderr(&output).contains("--key-file"), "{}", stderr(&output));
}

#[test]
fn over_tls_the_receiver_must_be_who_the_ca_says() {
    let rig = Rig::new();
    let [cert, key, other] = ["tls.crt", "tls.key", "other.crt"].map(|name| {
        let path = rig.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    });
    let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let made = issue();
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&other, issue().cert.pem()).unwrap();
    let receiver = rig.receive_with(&["--tls-cert-file", &cert, "--tls-key-file", &key]);
    let endpoint = receiver.grpc.replace("http://127.0.0.1", "https://localhost");
    let said = |ca: &str| {
        let mut command = rig.logs(&receiver);
        let output = command.args(["-A", "--ca-file", ca, "--endpoint", &endpoint]).output();
        stderr(&output.unwrap())
    };
    // It answers, and has nothing yet.
    assert!(said(&cert).contains("has no logs"), "{}", said(&cert));
    assert!(said(&other).contains("certificate"), "{}", said(&other));
}
