//! What is told of a schedule.

use super::*;

#[test]
fn a_time_without_a_job_is_missed_once_when_its_grace_is_over_and_a_moment() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let told = ["missed 01T01:00:00: no Job was made within 300 s of its time"];
    assert!(world.looks(&["01T01:00:00", "01T01:05:09"]).is_empty());
    let due = world.due(at("01T01:05:10"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), told);
    let heartbeat = &due[0].heartbeat;
    assert_eq!(heartbeat.id.as_deref(), Some("c1/2026-03-01T01:00:00Z/missed"));
    assert_eq!((heartbeat.run.as_ref(), heartbeat.times), (None, 1));
    assert!(world.looks(&["01T01:05:11", "01T02:05:09"]).is_empty(), "once");
    world.cronjob(
        json!({"schedule": "0 * * * *", "timeZone": "UTC", "startingDeadlineSeconds": 30}),
    );
    let told = ["missed 01T02:00:00: no Job was made within its startingDeadlineSeconds (30 s)"];
    assert_eq!(world.look(at("01T02:05:10")), told);
}

#[test]
fn a_job_that_is_made_after_all_is_told_as_started_and_late_and_its_time_stays_missed() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    assert_eq!(world.looks(&["01T01:01:00", "01T01:30:00"]).len(), 1);
    let job = world.job("01T01:00:00", "01T01:40:00");
    world.runs(&job, "01T01:40:02");
    let told = ["started 01T01:00:00", "late 01T01:00:00: it began 2402 s after its time"];
    assert_eq!(world.look(at("01T01:40:03")), told);
}

#[test]
fn without_a_right_to_jobs_nothing_is_missed_and_before_all_is_known_nothing_is_told() {
    let mut world = World::new(Some(at("01T00:30:00")));
    world.cronjob(hourly());
    let kinds = Kinds { is_settled: false, ..ALL };
    assert!(world.known.look(kinds, at("01T02:30:00")).is_none());
    let kinds = Kinds { jobs: false, ..ALL };
    assert!(world.known.look(kinds, at("01T02:30:00")).unwrap().is_empty());
    assert_eq!(world.look(at("01T02:30:01")).len(), 2);
}

#[test]
fn a_suspended_cronjob_misses_nothing_and_what_was_due_meanwhile_is_not_told_afterwards() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "suspend": true}));
    assert!(world.looks(&["01T01:30:00", "01T02:30:00"]).is_empty());
    world.cronjob(json!({"schedule": "0 * * * *", "suspend": false}));
    assert!(world.looks(&["01T02:40:00", "01T03:05:09"]).is_empty());
    assert_eq!(world.look(at("01T03:05:10")).len(), 1);
}

#[test]
fn an_interval_is_counted_from_the_last_job_also_over_a_suspension() {
    let mut world = World::since("01T00:00:00");
    let spec = json!({"schedule": "@every 40m", "startingDeadlineSeconds": 60});
    world.cronjob(spec.clone());
    let job = world.job("01T00:40:00", "01T00:40:00");
    world.runs(&job, "01T00:40:01");
    let told = ["scheduled 01T00:40:00", "started 01T00:40:00"];
    assert_eq!(world.looks(&["01T00:41:00", "01T01:21:09"]), told);
    let missed = |time: &str| {
        format!("missed 01T{time}: no Job was made within its startingDeadlineSeconds (60 s)")
    };
    assert_eq!(world.look(at("01T01:21:10")), [missed("01:20:00")]);
    world.cronjob(json!({"schedule": "@every 40m", "suspend": true}));
    assert!(world.look(at("01T03:30:00")).is_empty());
    world.cronjob(spec);
    let told = world.looks(&["01T03:30:10", "01T04:30:00"]);
    assert_eq!(told, [missed("04:00:00")], "as it was: 0:40, 1:20, 2:00, .. 3:20, 4:00");
}

#[test]
fn another_time_zone_and_both_changes_of_the_clock_are_the_controllers() {
    let mut world = World::since("28T12:00:00");
    // 2026-03-29: 02:00 is 03:00 in Berlin. Tokyo is nine hours ahead.
    world.cronjob(json!({"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"}));
    let told = world.looks(&["29T12:00:00", "30T12:00:00"]);
    assert_eq!(told, ["missed 30T00:30:00: no Job was made within 300 s of its time"]);
    world.cronjob(json!({"schedule": "30 2 * * *", "timeZone": "Asia/Tokyo"}));
    let told = world.looks(&["30T12:01:00", "30T18:00:00"]);
    assert_eq!(told, ["missed 30T17:30:00: no Job was made within 300 s of its time"]);

    let mut world = World::since("2026-10-24T12:00:00Z");
    world.cronjob(json!({"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"}));
    let job = world.job("2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z");
    world.runs(&job, "2026-10-25T00:30:01Z");
    let told = world.looks(&["2026-10-25T00:30:01Z", "2026-10-25T12:00:00Z"]);
    let twice = [
        "scheduled 25T00:30:00",
        "started 25T00:30:00",
        "missed 25T01:30:00: no Job was made within 300 s of its time",
    ];
    assert_eq!(told, twice);
}

#[test]
fn a_time_that_is_left_out_because_the_job_before_still_runs_says_so() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "concurrencyPolicy": "Forbid"}));
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.runs(&job, "01T01:00:01");
    assert_eq!(world.look(at("01T01:00:02")).len(), 2);
    let told = [
        "missed 01T02:00:00: no Job was made: backup-29538780 still ran (concurrencyPolicy Forbid)",
    ];
    assert_eq!(world.look(at("01T02:05:10")), told);
    world.ends(&job, "Complete", "", "01T02:30:00");
    world.look(at("01T02:30:01"));
    let told = ["missed 01T03:00:00: no Job was made within 300 s of its time"];
    assert_eq!(world.look(at("01T03:05:10")), told);
}

#[test]
fn of_a_cronjob_that_is_deleted_nothing_is_missed_any_more() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    assert!(world.look(at("01T01:01:00")).is_empty());
    world.store.delete_json(ObjectKind::CronJobs, &cronjob(hourly(), json!({}))).unwrap();
    assert!(world.looks(&["01T01:30:00", "01T03:00:00"]).is_empty());
    let count = |world: &World| world.known.tallies().len();
    assert_eq!(count(&world), 0);
}

#[test]
fn another_schedule_counts_from_when_it_is_seen() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    assert!(world.look(at("01T01:01:00")).is_empty());
    world.cronjob(json!({"schedule": "*/30 * * * *"}));
    let told = world.looks(&["01T01:02:00", "01T01:20:00", "01T01:35:10"]);
    assert_eq!(told, ["missed 01T01:30:00: no Job was made within 300 s of its time"]);
}

#[test]
fn a_schedule_or_a_zone_that_cannot_be_read_is_unknown_and_its_jobs_are_told() {
    for spec in [
        json!({"schedule": "0 25 * * *"}),
        json!({"schedule": "TZ=UTC 0 * * * *"}),
        json!({"schedule": "0 * * * *", "timeZone": "Europe/Atlantis"}),
    ] {
        let mut world = World::since("01T00:30:00");
        world.cronjob(spec);
        world.job("01T01:00:00", "01T01:00:00");
        assert_eq!(world.looks(&["01T01:00:01", "01T09:00:00"])[..1], ["scheduled 01T01:00:00"]);
        assert_eq!(world.known.unknown(), 1);
        world.cronjob(hourly());
        assert!(world.look(at("01T09:00:01")).is_empty());
        assert_eq!(world.known.unknown(), 0);
    }
}
