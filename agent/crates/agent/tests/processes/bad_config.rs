//! A wrong command line or configuration: exit code 64 and what, where, what to do.

use std::process::Output;

use crate::process::program;
use crate::rig::Rig;

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(output.stdout.is_empty(), "{output:?}");
}

/// A destination with `inner` in it.
fn to(inner: &str) -> String {
    format!("kubernetes: {{source: none}}\ndestinations: {{main: {{type: otlp, {inner}}}}}\n")
}

#[test]
fn a_wrong_config_ends_with_64_and_says_file_key_reason_and_remedy() {
    let rig = Rig::new();
    let good = to("endpoint: \"http://localhost:1\"");
    let with = |line: &str| format!("{good}{line}\n");
    for (text, words) in [
        (String::new(), &["destinations", "there is none", "name at least one"][..]),
        ("- a list\n".to_owned(), &["line 1"]),
        ("destinations: {main: [\n".to_owned(), &["line "]),
        (with("logs:\n  podPath: /x"), &["logs", "podPath", "line 4", "did you mean `podsPath`?"]),
        (with("logs: {startAt: middle}"), &["logs.startAt", "`middle`", "`new`", "line 3"]),
        (with("logs: {maxRecordBytes: big}"), &["logs.maxRecordBytes", "`big`", "64MiB", "line 3"]),
        (with("shutdownTimeout: 20"), &["shutdownTimeout", "`20` is no time", "30s", "line 3"]),
        (with("admin: {listen: here}"), &["admin.listen", "`here`", "0.0.0.0:9464"]),
        (with("log: {level: loud}"), &["log.level", "`loud`", "`info`", "line 3"]),
        (with("spool: {files: {maxBytes: 1MiB}}"), &["spool.files.maxBytes", "12MiB"]),
        (with("cluster: {name: \"${NOT_SET}\"}"), &["cluster.name", "NOT_SET", "set it", "line 3"]),
        (
            to("endpoint: \"localhost:4317\""),
            &["destinations.main.endpoint", "no scheme", "http://"],
        ),
        (
            to("endpoint: \"http://h:1\", compression: lz4"),
            &["destinations.main.compression", "lz4", "zstd"],
        ),
        (
            to("endpoint: \"http://h:1\", auth: {header: x-api-key, keyFile: /nowhere/key}"),
            &["destinations.main.auth.keyFile", "/nowhere/key", "mount the Secret"],
        ),
        (
            good.replace("source: none", "source: apiserver"),
            &["kubernetes.nodeName", "${NODE_NAME}"],
        ),
    ] {
        let path = rig.write("wrong.yaml", &text);
        let words = [words, &[path.to_str().unwrap()]].concat();
        for command in ["agent", "check"] {
            let output = program().args([command, "--config"]).arg(&path).output().unwrap();
            refused(&output, &words);
        }
    }
}

#[test]
fn a_config_that_cannot_be_read_ends_with_64() {
    let rig = Rig::new();
    for path in [rig.path("missing.yaml"), rig.pods()] {
        let output = program().args(["agent", "--config"]).arg(&path).output().unwrap();
        refused(&output, &[path.to_str().unwrap(), "cannot read", "--config"]);
    }
}

#[test]
fn a_receiver_without_its_key_ends_with_64() {
    let rig = Rig::new();
    let mut command = program();
    command.args(["receive", "--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0"]);
    command.arg("--data").arg(rig.path("data")).args(["--key-file", "/nowhere/key"]);
    let output = command.output().unwrap();
    refused(&output, &["/nowhere/key", "key"]);
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    for (args, words) in [
        (&["agnet"][..], &["agnet", "agent"][..]),
        (&[], &["Usage"]),
        (&["agent"], &["--config"]),
        (&["agent", "--confg", "x"], &["--confg", "--config"]),
        (&["demo", "--seconds", "soon"], &["--seconds", "soon"]),
    ] {
        refused(&program().args(args).output().unwrap(), words);
    }
    assert!(program().arg("--help").output().unwrap().status.success());
}
