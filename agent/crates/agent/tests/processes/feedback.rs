//! The agent reads its own pod's log like any other: its lines must not make lines.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agent::{Agent, Settings};
use crate::process::wait_until;
use crate::rig::Rig;

/// Lines that one place in the code may write in a minute (`src/telemetry.rs`).
const BUDGET: usize = 20;
/// Lines of its own that the agent is given to read besides those that it writes.
const FED: u64 = 20_000;

/// The agent's lines by the place in the code that wrote them.
fn places(agent: &Agent) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for line in agent.process.stderr() {
        let line: Value = serde_json::from_str(&line).expect(&line);
        *places.entry(format!("{}: {}", line["target"], line["message"])).or_default() += 1;
    }
    places
}

#[test]
fn reading_its_own_log_makes_the_agent_write_no_more_of_it() {
    let rig = Rig::new();
    let address = rig.dead_port();
    // The runtime's part: what the agent writes to stderr stands in a file of its own pod.
    let mut own = rig.pod("hawsepipe");
    let mut earlier = rig.pod("hawsepipe-of-before");
    let settings = Settings { level: "debug", ..Settings::to(address) };
    let mut agent = rig.agent_with(&settings, Box::new(move |line| own.line("stderr", line)));
    agent.wait_for_retries(1);
    let quiet = agent.process.stderr().len();

    // A loop of a line a line, a line a read or a line a frame would show in this.
    let line = agent.process.stderr().pop().unwrap();
    for _ in 0..FED {
        earlier.line("stderr", &line);
    }
    agent.wait_until_read(earlier.bytes());
    agent.wait_for_retries(1);
    let after = agent.process.stderr().len();
    assert!(after - quiet <= BUDGET, "{:#?}", places(&agent));

    let mut receiver = rig.receiver_at(address, "data");
    receiver.wait_for_records(FED + quiet as u64);
    wait_until("the queue drains", || {
        let status = agent.status();
        let sent = status["destinations"][0]["records"].as_u64().unwrap();
        status["spool"]["files"]["frames"] == 0
            && sent == agent.metric("hawsepipe_logs_records_total")
    });
    agent.stop();
    earlier.assert_exact(&receiver.records());
    for (place, lines) in places(&agent) {
        assert!(lines <= BUDGET, "{place}: {lines}");
    }
}
