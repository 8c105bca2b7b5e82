//! A destination that is down holds up nobody but itself, until the queue is full; then nothing is lost.

use crate::agent::Settings;
use crate::process::wait_until;
use crate::rig::Rig;

/// Bytes of one line that do not compress to much less.
const LINE: usize = 1000;

#[test]
fn a_destination_that_is_down_holds_up_the_other_only_when_the_queue_is_full() {
    let rig = Rig::new();
    let mut main = rig.receiver();
    let away = rig.dead_port();
    let settings = Settings {
        max_record_bytes: "64KiB",
        files_max_bytes: "9MiB",
        ..Settings::to(main.grpc).and("other", away)
    };
    let mut web = rig.pod("web");
    let mut agent = rig.agent(&settings);
    agent.wait_for_state("other", "retrying");
    web.lines(1000);
    main.wait_for_records(1000);
    assert_eq!(agent.status()["logs"]["blockedBySpool"], false);

    // More than the queue holds: reading stops, the rest waits in the file.
    let mut noise = Noise(1);
    for _ in 0..14_000 {
        web.line("stdout", &noise.text(LINE));
    }
    wait_until("reading stops", || agent.status()["logs"]["blockedBySpool"] == true);
    let files = agent.status()["spool"]["files"].clone();
    assert!(files["usedBytes"].as_u64() <= files["maxBytes"].as_u64(), "{files}");
    assert!(agent.metric("hawsepipe_logs_read_bytes_total") < web.bytes());
    assert_eq!(agent.destination("main")["state"], "connected");

    let mut other = rig.receiver_at(away, "other");
    other.wait_for_records(web.written());
    main.wait_for_records(web.written());
    agent.stop();
    web.assert_exact(&main.records());
    web.assert_exact(&other.records());
}

#[test]
fn with_when_full_drop_the_other_never_waits_and_what_was_let_go_is_counted() {
    let rig = Rig::new();
    let mut main = rig.receiver();
    let away = rig.dead_port();
    let settings = Settings {
        max_record_bytes: "64KiB",
        files_max_bytes: "9MiB",
        drops: "other",
        ..Settings::to(main.grpc).and("other", away)
    };
    let mut web = rig.pod("web");
    let mut agent = rig.agent(&settings);
    agent.wait_for_state("other", "retrying");
    // Four times what the queue holds.
    let mut noise = Noise(1);
    for _ in 0..40_000 {
        web.line("stdout", &noise.text(LINE));
    }
    main.wait_for_records(web.written());
    let status = agent.status();
    let lost = status["losses"].as_array().unwrap().clone();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0]["destination"], "other");
    assert_eq!(lost[0]["reason"], "spool_full");
    assert_eq!((&lost[0]["namespace"], &lost[0]["pod"]), (&"shop".into(), &"web".into()));

    let mut other = rig.receiver_at(away, "other");
    wait_until("the other has what was kept for it", || {
        agent.status()["spool"]["files"]["frames"] == 0
    });
    let count = agent.status()["losses"][0]["records"].as_u64().unwrap();
    agent.stop();
    web.assert_exact(&main.records());
    let arrived = web.numbers(&other.records());
    assert!(arrived.is_sorted(), "in order");
    assert_eq!(arrived.len() as u64 + count, web.written(), "arrived, and counted as lost");
    assert!(count > 10_000, "{count}");
}

/// Text that looks random.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn text(&mut self, len: usize) -> String {
        let mut byte = || {
            // Knuth's 64-bit linear congruential generator (MMIX).
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (self.0 >> 33) as u8 % 94)
        };
        (0..len).map(|_| byte()).collect()
    }
}
