//! At SIGTERM what was read is sent, and the end comes in time whatever the destination does.

use rustix::process::Signal;

use crate::agent::Settings;
use crate::process::wait_until;
use crate::rig::Rig;

#[test]
fn at_sigterm_what_was_read_is_sent_though_the_destination_is_back_only_then() {
    let rig = Rig::new();
    let address = rig.dead_port();
    let mut web = rig.pod("web");
    web.lines(5000);
    let mut agent = rig.agent(&Settings::to(address));
    agent.wait_for_state("main", "retrying");
    agent.wait_until_read(web.bytes());
    // These are read and in no frame yet.
    web.lines(100);
    agent.wait_until_read(web.bytes());
    agent.process.signal(Signal::TERM);
    wait_until("the agent stops", || !agent.said("stopping").is_empty());
    let mut receiver = rig.receiver_at(address, "data");
    agent.process.ends_well();
    assert_eq!(agent.said("everything was sent").len(), 1, "{:?}", agent.process.stderr());
    web.assert_exact(&receiver.records());
}

#[test]
fn a_destination_that_stays_away_holds_up_the_end_no_longer_than_the_shutdown_timeout() {
    let rig = Rig::new();
    let mut web = rig.pod("web");
    web.lines(10);
    let settings = Settings { shutdown_timeout: "1s", ..Settings::to(rig.dead_port()) };
    let mut agent = rig.agent(&settings);
    agent.wait_until_read(web.bytes());
    agent.wait_for_state("main", "retrying");
    // A second of it, where the waiting has a minute.
    agent.stop();
    let said = agent.said("before everything was sent");
    assert_eq!(said.len(), 1, "{:?}", agent.process.stderr());
}
