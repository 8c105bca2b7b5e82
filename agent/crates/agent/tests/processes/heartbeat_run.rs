//! `hawsepipe heartbeat run`: the command is as it would be without it, and what became of it arrives.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::heartbeat_port::{heartbeats, port, settings, wait_for_states};
use crate::process::{Process, program, wait_until};
use crate::receiver::Receiver;
use crate::rig::Rig;

/// The wrapper around a command; `agent`: where it looks for one.
pub(crate) fn wrap(rig: &Rig, agent: &str, job: &str, command: &[&str]) -> Command {
    let mut wrapper = program();
    wrapper.args(["heartbeat", "run", "--job", job, "--agent", agent, "--spool"]);
    wrapper.arg(rig.path("spool")).arg("--").args(command);
    wrapper
}

/// The files that wait for an agent.
pub(crate) fn waiting(rig: &Rig) -> usize {
    let files = std::fs::read_dir(rig.path("spool").join("heartbeats"));
    files.map_or(0, |files| files.flatten().filter(|file| has_suffix(&file.path())).count())
}

fn has_suffix(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// The last heartbeat of a job.
fn last(receiver: &mut Receiver, job: &str) -> Value {
    let all = heartbeats(receiver).into_iter();
    all.filter(|(name, ..)| name == job).map(|(.., record)| record).next_back().unwrap()
}

#[test]
fn what_is_sent_of_each_way_to_end_and_what_the_wrapper_exits_with() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let mut agent = rig.agent(&settings(&rig, receiver.grpc));
    let at = port(&agent).to_string();
    let data = rig.write("text", "no program");
    let data = data.to_str().unwrap();
    for (job, command, code, state, exit_code, signal) in [
        ("good", &["true"][..], 0, "succeeded", Some(0), None),
        ("bad", &["sh", "-c", "exit 3"], 3, "failed", Some(3), None),
        ("killed", &["sh", "-c", "kill -KILL $$"], 137, "failed", None, Some(9)),
        ("not-found", &["/no/such/command"], 127, "failed", Some(127), None),
        ("no-program", &[data], 126, "failed", Some(126), None),
    ] {
        let output = wrap(&rig, &at, job, command).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{job}: {output:?}");
        assert_eq!(wait_for_states(&mut receiver, job, 2), ["started", state], "{job}");
        let record = last(&mut receiver, job);
        let of = |key: &str| record["attributes"][key].as_i64();
        assert_eq!(
            (of("process.exit.code"), of("hawsepipe.job.signal")),
            (exit_code, signal),
            "{job}"
        );
    }
    assert_eq!(waiting(&rig), 0);
    agent.stop();
}

#[test]
fn input_and_output_are_the_command_s_own() {
    let rig = Rig::new();
    let mut agent = rig.agent(&settings(&rig, rig.dead_port()));
    let at = port(&agent).to_string();
    let mut command = wrap(&rig, &at, "copy", &["sh", "-c", "cat; echo oops >&2"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"in\0out").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"in\0out"[..], &b"oops\n"[..]));
    agent.stop();
}

#[test]
fn a_signal_goes_on_to_the_command_which_may_end_as_it_likes() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let mut agent = rig.agent(&settings(&rig, receiver.grpc));
    let at = port(&agent).to_string();
    for (job, script, signal, code, told) in [
        (
            "dies",
            "echo ready; while :; do sleep 0.05; done",
            Signal::TERM,
            143,
            "ended by signal 15",
        ),
        (
            "tidies",
            "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
            Signal::TERM,
            7,
            "exit code 7",
        ),
        (
            "hung-up",
            "trap 'exit 8' HUP; echo ready; while :; do sleep 0.05; done",
            Signal::HUP,
            8,
            "exit code 8",
        ),
        (
            "interrupted",
            "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done",
            Signal::INT,
            9,
            "exit code 9",
        ),
    ] {
        let mut wrapper = Process::start(&mut wrap(&rig, &at, job, &["sh", "-c", script]));
        wait_until("the command is ready", || wrapper.stdout() == ["ready"]);
        wrapper.signal(signal);
        assert_eq!(wrapper.wait().code(), Some(code), "{job}");
        assert_eq!(wait_for_states(&mut receiver, job, 2), ["started", "failed"]);
        assert_eq!(last(&mut receiver, job)["attributes"]["hawsepipe.heartbeat.reason"], told);
    }
    agent.stop();
}

#[test]
fn while_no_agent_runs_heartbeats_wait_and_arrive_with_their_own_times() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let away = rig.dead_port().to_string();
    let output = wrap(&rig, &away, "backup", &["sh", "-c", "echo done; exit 4"]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(4), &b"done\n"[..]));
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(waiting(&rig), 2);
    let ended = jiff::Timestamp::now();
    let mut agent = rig.agent(&settings(&rig, receiver.grpc));
    assert_eq!(wait_for_states(&mut receiver, "backup", 2), ["started", "failed"]);
    for (_, _, record) in heartbeats(&mut receiver) {
        let time = record["time"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().unwrap() <= ended, "{record}");
    }
    wait_until("nothing waits any more", || waiting(&rig) == 0);
    // It is looked at while the agent runs, too.
    wrap(&rig, &away, "backup", &["true"]).output().unwrap();
    wait_for_states(&mut receiver, "backup", 4);
    agent.stop();
}

#[test]
fn whatever_becomes_of_the_heartbeats_the_command_runs_and_one_line_says_so() {
    let rig = Rig::new();
    let away = rig.dead_port().to_string();
    rig.write("spool", "no folder");
    let output = wrap(&rig, &away, "backup", &["sh", "-c", "exit 5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 2, "one for each: {said}");
    assert!(said.contains("success is not told") || said.contains("fail is not told"), "{said}");
    for args in [["--job", "a b"], ["--job=backup", "--schedule=0 0 * * 7"]] {
        let mut wrapper = program();
        wrapper
            .args(["heartbeat", "run"])
            .args(args)
            .args(["--agent", &away, "--", "sh", "-c", "exit 6"]);
        let output = wrapper.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(6), "{said}");
        assert!(said.contains("the command runs without heartbeats"), "{said}");
    }
}

#[test]
fn an_agent_that_does_not_answer_holds_nothing_up_and_gets_the_heartbeats_later() {
    let rig = Rig::new();
    // It takes connections and says nothing.
    let silent = rig.listen();
    let at = silent.local_addr().unwrap().to_string();
    let output = wrap(&rig, &at, "backup", &["true"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(waiting(&rig), 2);
}

#[test]
fn a_schedule_that_comes_with_the_wrapper_is_known_and_its_times_are_missed_from_then_on() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let mut agent = rig.agent(&settings(&rig, receiver.grpc));
    let at = port(&agent).to_string();
    let mut wrapper = program();
    wrapper.args([
        "heartbeat",
        "run",
        "--job",
        "sweep",
        "--schedule",
        "@every 1s",
        "--grace",
        "1s",
    ]);
    wrapper.args(["--agent", &at, "--spool"]).arg(rig.path("spool")).args(["--", "true"]);
    assert!(wrapper.status().unwrap().success());
    let states = wait_for_states(&mut receiver, "sweep", 4);
    assert_eq!(states[..2], ["started", "succeeded"]);
    assert!(states[2..].iter().all(|state| state == "missed"), "{states:?}");
    agent.stop();
}

#[test]
fn a_signal_that_is_ignored_stays_ignored_for_the_command() {
    let rig = Rig::new();
    let away = rig.dead_port().to_string();
    // As nohup does.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    let wrapper = wrap(&rig, &away, "backup", &["sh", "-c", "kill -HUP $$; exit 5"]);
    shell.arg(wrapper.get_program()).args(wrapper.get_args());
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}
