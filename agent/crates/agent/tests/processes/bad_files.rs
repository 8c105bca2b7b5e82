//! Log files that are not what they should be: the agent goes on, and what can be delivered is, marked.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::agent::Settings;
use crate::rig::Rig;

#[test]
fn broken_log_files_are_delivered_as_far_as_they_can_be_and_disturb_nobody() {
    let rig = Rig::new();
    let mut good = rig.pod("good");
    let bad = rig.pod("bad");
    good.lines(100);
    let time = "2026-01-01T00:00:00Z";
    let mut text = Vec::new();
    text.extend(b"\0\0\0\0");
    text.extend(format!("{time} stdout F behind NULs\n").bytes());
    text.extend(format!("{time} stdout F not ").bytes());
    text.extend(b"\xff\xfe UTF-8\n");
    text.extend(b"a line of another form\n");
    text.extend(b"yesterday stdout F a wrong time\n");
    text.extend(format!("{time} stdout F without an end").bytes());
    fs::write(bad.dir.join("0.log"), text).unwrap();
    // The next run of the container ends the last line of the one before.
    fs::write(bad.dir.join("1.log"), "").unwrap();
    fs::create_dir(bad.dir.join("2.log")).unwrap();
    symlink("/nowhere/at/all", bad.dir.join("3.log")).unwrap();
    fs::write(rig.pods().join("a-file"), "where a folder should be").unwrap();

    let mut receiver = rig.receiver();
    let mut agent = rig.agent(&Settings::to(receiver.grpc));
    good.lines(100);
    receiver.wait_for_records(200 + 5);
    agent.stop();
    let records = receiver.records();
    good.assert_exact(&records);
    let found: Vec<_> = records.iter().filter(|record| record["pod"] == "bad").collect();
    let marked = |record: &Value, mark: &str| record["attributes"][mark] == true;
    let (utf8, unparsed) = ("hawsepipe.log.invalid_utf8", "hawsepipe.log.unparsed");
    let seen = found.iter().map(|record| {
        let body = record["body"].as_str().unwrap();
        (body, marked(record, utf8), marked(record, unparsed))
    });
    assert_eq!(
        Vec::from_iter(seen),
        [
            ("behind NULs", false, false),
            ("not \u{fffd}\u{fffd} UTF-8", true, false),
            ("a line of another form", false, true),
            ("yesterday stdout F a wrong time", false, true),
            ("without an end", false, false),
        ]
    );
}
