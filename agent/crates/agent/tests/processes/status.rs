//! `hawsepipe status`: what the agent does, for a person.

use serde_json::Value;

use crate::agent::Settings;
use crate::process::program;
use crate::rig::Rig;

#[test]
fn status_shows_what_the_agent_does() {
    let rig = Rig::new();
    rig.pod("web").lines(7);
    let receiver = rig.receiver();
    let agent = rig.agent(&Settings::to(receiver.grpc));
    receiver.wait_for_records(7);
    agent.wait_for_state("main", "connected");
    let admin = format!("--admin=http://{}", agent.admin);
    let output = program().args(["status", &admin]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    for line in ["streams: 1", "name: main", "state: connected", "records: 7", "codec: zstd"] {
        assert!(said.lines().any(|found| found.trim() == line), "`{line}` is not in: {said}");
    }
    let output = program().args(["status", "--json", &admin]).output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["destinations"][0]["records"], 7, "{json}");
}

#[test]
fn an_agent_that_cannot_be_asked_is_an_error_that_says_what_to_look_at() {
    let rig = Rig::new();
    let dead = rig.dead_port();
    let text = format!(
        "destinations: {{main: {{type: otlp, endpoint: \"http://localhost:1\"}}}}\n\
         kubernetes: {{source: none}}\nadmin: {{listen: \"{dead}\"}}\n"
    );
    let config = rig.write("config.yaml", &text);
    for args in [["--admin".into(), dead.to_string().into()], ["--config".into(), config]] {
        let output = program().arg("status").args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in [&dead.to_string(), "does it run", "admin.listen"] {
            assert!(said.contains(words), "`{words}` is not in: {said}");
        }
    }
}
