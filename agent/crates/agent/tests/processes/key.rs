//! A wrong key: everything is held, the reason is shown once and everywhere, and the right key makes it flow.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::agent::{Agent, Settings};
use crate::http;
use crate::pods::Container;
use crate::process::{program, wait_until};
use crate::receiver::Receiver;
use crate::rig::{KEY, Rig};

const WRONG: [&str; 4] = ["wrong-key-one", "wrong-key-two", "wrong-key-three", "wrong-key-four"];

/// An agent with a wrong key, tried with several of them; `put` writes a key for it.
fn blocked(rig: &Rig, put: impl Fn(&str)) -> (Receiver, Agent, Container) {
    let receiver = rig.receiver();
    let mut web = rig.pod("web");
    web.lines(100);
    put(WRONG[0]);
    let to = Settings::to(receiver.grpc);
    let agent = rig.agent(&Settings { key_file: "secret/key", level: "debug", ..to });
    agent.wait_for_state("main", "blocked");
    for wrong in &WRONG[1..] {
        web.lines(100);
        let before = agent.retries();
        put(wrong);
        // A changed key is tried at once.
        wait_until("the next key is tried", || agent.retries() > before);
    }
    (receiver, agent, web)
}

#[track_caller]
fn assert_says_why(agent: &Agent) {
    let main = agent.destination("main");
    assert_eq!(main["state"], "blocked", "{main}");
    assert_eq!(main["blocked"], "key_refused", "{main}");
    let ready = http::get(agent.admin, "/readyz");
    assert_eq!(ready.code, 200, "{}", ready.body);
    for words in [main["reason"].as_str().unwrap(), &ready.body] {
        assert!(words.contains("refuses the key") && words.contains("secret/key"), "{words}");
    }
    assert_eq!(agent.metric("hawsepipe_export_blocked{destination=\"main\"}"), 1);
    let lines = agent.said("refuses the key");
    assert_eq!(lines.len(), 1, "one line for {} tries: {lines:?}", agent.retries());
    let troubles = agent.said("WARN").len() + agent.said("ERROR").len();
    assert_eq!(troubles, 1, "{:?}", agent.process.stderr());
}

/// The same process sends every line, now that the key is the right one.
#[track_caller]
fn assert_flows(mut receiver: Receiver, mut agent: Agent, mut web: Container) {
    receiver.wait_for_records(web.written());
    web.lines(100);
    receiver.wait_for_records(web.written());
    agent.wait_for_state("main", "connected");
    assert_eq!(agent.said("recovered").len(), 1, "{:?}", agent.process.stderr());
    agent.stop();
    web.assert_exact(&receiver.records());
}

#[test]
fn a_wrong_key_holds_everything_until_its_file_is_corrected() {
    let rig = Rig::new();
    fs::create_dir(rig.path("secret")).unwrap();
    let put = |key: &str| drop(rig.write("secret/key", key));
    let (receiver, agent, web) = blocked(&rig, put);
    assert_says_why(&agent);
    put(KEY);
    assert_flows(receiver, agent, web);
}

#[test]
fn a_wrong_key_holds_everything_until_the_mounted_secret_is_swapped() {
    let rig = Rig::new();
    let put = |key: &str| swap(&rig.path("secret"), key);
    let (receiver, agent, web) = blocked(&rig, put);
    assert_says_why(&agent);
    put(KEY);
    assert_flows(receiver, agent, web);
}

/// Changes a mounted Secret as the kubelet does (kubernetes `pkg/volume/util/atomic_writer.go`): a new folder, and the
/// link `..data` renamed to lead there; `key` leads through it. The old folder is removed.
fn swap(mount: &Path, key: &str) {
    let data = mount.join("..data");
    let before = fs::read_link(&data).ok();
    let number = before.as_ref().map_or(1, |old| {
        let name = old.to_str().unwrap();
        name.rsplit('_').next().unwrap().parse::<u32>().unwrap() + 1
    });
    let new = format!("..2026_{number}");
    fs::create_dir_all(mount.join(&new)).unwrap();
    fs::write(mount.join(&new).join("key"), key).unwrap();
    symlink(&new, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), &data).unwrap();
    match before {
        Some(old) => fs::remove_dir_all(mount.join(old)).unwrap(),
        None => symlink("..data/key", mount.join("key")).unwrap(),
    }
}

#[test]
fn no_key_appears_anywhere() {
    let rig = Rig::new();
    fs::create_dir(rig.path("secret")).unwrap();
    let put = |key: &str| drop(rig.write("secret/key", key));
    let (receiver, mut agent, web) = blocked(&rig, put);
    let mut shown = vec![("config", fs::read_to_string(rig.path("config.yaml")).unwrap())];
    for page in ["/status", "/metrics", "/readyz"] {
        shown.push((page, http::get(agent.admin, page).body));
    }
    for command in ["check", "status"] {
        let config = rig.path("config.yaml");
        let mut command = program().args([command, "--config"]).arg(config).output().unwrap();
        command.stdout.append(&mut command.stderr);
        shown.push(("a command", String::from_utf8(command.stdout).unwrap()));
    }
    put(KEY);
    receiver.wait_for_records(web.written());
    for page in ["/status", "/metrics", "/readyz"] {
        shown.push((page, http::get(agent.admin, page).body));
    }
    for file in ["cmdline", "environ"] {
        shown.push((file, agent.process.proc(file)));
    }
    agent.stop();
    shown.push(("stderr", agent.process.stderr().join("\n")));
    shown.push(("stdout", agent.process.stdout().join("\n")));
    shown.push(("the receiver's stderr", receiver.process.stderr().join("\n")));
    for (place, text) in shown {
        for key in WRONG.iter().chain([&KEY]) {
            assert!(!text.contains(key), "{place} shows a key: {text}");
        }
    }
}
