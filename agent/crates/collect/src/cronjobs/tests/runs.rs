//! What is told of a Job.

use super::*;

#[test]
fn a_run_on_time_is_told_as_scheduled_started_and_succeeded_with_how_long_it_took() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    assert_eq!(world.look(at("01T01:00:01")), ["scheduled 01T01:00:00"]);
    world.runs(&job, "01T01:00:04");
    assert_eq!(world.look(at("01T01:00:05")), ["started 01T01:00:00"]);
    let job = world.ends(&job, "Complete", "CompletionsReached", "01T01:00:34");
    let due = world.due(at("01T01:00:35"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["succeeded"]);
    let heartbeat = &due[0].heartbeat;
    assert_eq!((heartbeat.duration, heartbeat.time), (Some(30.0), at("01T01:00:34")));
    assert_eq!(heartbeat.run.as_deref(), job["metadata"]["uid"].as_str());
    assert_eq!(due[0].whose.name(), "shop/backup");
    assert!(world.looks(&["01T01:00:36", "01T01:20:00"]).is_empty(), "once");
}

#[test]
fn what_happened_between_two_looks_is_told_in_the_order_in_which_it_happened() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.pod(&job, terminated(0, "01T01:00:02", "01T01:00:03"));
    world.ends(&job, "Complete", "", "01T01:00:03");
    let told = ["scheduled 01T01:00:00", "started 01T01:00:00", "succeeded"];
    assert_eq!(world.look(at("01T01:00:04")), told);
}

#[test]
fn a_run_that_begins_late_is_told_as_late_beside_started() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "startingDeadlineSeconds": 100}));
    let job = world.job("01T01:00:00", "01T01:00:19");
    world.runs(&job, "01T01:00:21");
    let told = [
        "scheduled 01T01:00:00",
        "started 01T01:00:00",
        "late 01T01:00:00: it began 21 s after its time",
    ];
    assert_eq!(world.look(at("01T01:00:22")), told);
    let job = world.job("01T02:00:00", "01T02:00:00");
    world.runs(&job, "01T02:00:20");
    let told = ["scheduled 01T02:00:00", "started 01T02:00:00"];
    assert_eq!(world.looks(&["01T02:00:21", "01T02:01:00"]), told, "a fifth is not late");
}

#[test]
fn a_run_whose_pod_finds_no_node_is_told_as_late_once_it_is_and_as_started_when_it_begins() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "startingDeadlineSeconds": 100}));
    let job = world.job("01T01:00:00", "01T01:00:00");
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
    world.pod(&job, json!({"phase": "Pending", "conditions": [condition]}));
    assert_eq!(world.looks(&["01T01:00:01", "01T01:00:29"]), ["scheduled 01T01:00:00"]);
    let told = "late 01T01:00:00: it has not begun 30 s after its time: Unschedulable";
    assert_eq!(world.looks(&["01T01:00:30", "01T01:20:00"]), [told]);
    world.runs(&job, "01T01:30:00");
    assert_eq!(world.look(at("01T01:30:01")), ["started 01T01:00:00"]);
}

#[test]
fn a_failed_run_says_why_and_where_its_last_lines_are() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    let job = world.ends(&job, "Failed", "BackoffLimitExceeded", "01T01:00:09");
    assert_eq!(world.look(at("01T01:00:10")), ["scheduled 01T01:00:00"], "its pod comes yet");
    world.pod(&job, terminated(3, "01T01:00:02", "01T01:00:08"));
    let due = world.due(at("01T01:00:11"));
    let told: Vec<_> = due.iter().map(said).collect();
    assert_eq!(told, ["started 01T01:00:00", "failed: BackoffLimitExceeded"]);
    let heartbeat = &due[1].heartbeat;
    let lines = heartbeat.lines.as_ref().unwrap();
    assert_eq!((lines.pod.as_str(), lines.container.as_str()), ("backup-29538780-x7x", "main"));
    assert_eq!((heartbeat.exit_code, heartbeat.duration), (Some(3), Some(7.0)));
}

#[test]
fn the_end_of_a_run_does_not_wait_long_for_a_pod_that_never_ran() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.ends(&job, "Failed", "DeadlineExceeded", "01T01:00:30");
    assert_eq!(world.looks(&["01T01:00:31", "01T01:00:35"]), ["scheduled 01T01:00:00"]);
    let told = ["failed: DeadlineExceeded"];
    assert_eq!(world.look(at("01T01:00:36")), told, "and never started");
}

#[test]
fn without_a_right_to_pods_a_run_begins_when_the_controller_takes_it() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    world.job("01T01:00:00", "01T01:00:00");
    let kinds = Kinds { pods: false, ..ALL };
    let due = world.known.look(kinds, at("01T01:00:01")).unwrap();
    let told: Vec<_> = due.iter().map(said).collect();
    assert_eq!(told, ["scheduled 01T01:00:00", "started 01T01:00:00"]);
}

#[test]
fn a_run_that_is_deleted_before_it_ends_has_failed_replaced_or_not() {
    for (policy, reason) in [("Replace", "failed: Replaced"), ("Allow", "failed: Deleted")] {
        let mut world = World::since("01T00:30:00");
        world.cronjob(json!({"schedule": "0 * * * *", "concurrencyPolicy": policy}));
        let job = world.job("01T01:00:00", "01T01:00:00");
        world.runs(&job, "01T01:00:02");
        assert_eq!(world.look(at("01T01:00:03")).len(), 2);
        world.store.delete_json(ObjectKind::Jobs, &job).unwrap();
        assert_eq!(world.looks(&["01T02:00:01", "01T02:00:10"]), [reason]);
    }
}

#[test]
fn a_run_that_ended_and_is_cleaned_away_at_once_is_told_all_the_same() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.pod(&job, terminated(0, "01T01:00:02", "01T01:00:03"));
    let job = world.ends(&job, "Complete", "", "01T01:00:03");
    world.store.delete_json(ObjectKind::Pods, &pod(&job, json!({}))).unwrap();
    world.store.delete_json(ObjectKind::Jobs, &job).unwrap();
    let told = ["scheduled 01T01:00:00", "started 01T01:00:00", "succeeded"];
    assert_eq!(world.looks(&["01T01:00:04", "01T01:00:05", "01T01:30:00"]), told);
}

#[test]
fn a_job_of_no_cronjob_is_told_by_its_own_name_and_one_by_hand_is_for_no_time() {
    let mut world = World::since("01T00:30:00");
    let mut own = job(at("01T01:00:00"), at("01T01:00:00"));
    own["metadata"]["ownerReferences"] = json!([]);
    world.apply(ObjectKind::Jobs, own.clone());
    world.runs(&own, "01T01:00:01");
    let due = world.due(at("01T01:00:02"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["started"]);
    assert_eq!(due[0].whose.name(), "shop/backup-29538780");

    world.cronjob(hourly());
    let mut by_hand = job(at("01T02:00:00"), at("01T02:00:00"));
    by_hand["metadata"]["annotations"] = json!({"cronjob.kubernetes.io/instantiate": "manual"});
    by_hand["metadata"]["name"] = json!("backup-by-hand");
    world.apply(ObjectKind::Jobs, by_hand.clone());
    world.runs(&by_hand, "01T02:00:01");
    let due = world.due(at("01T02:00:02"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["started"]);
    assert_eq!(due[0].whose.name(), "shop/backup");
}

#[test]
fn an_older_server_says_by_the_jobs_name_for_which_time_it_is() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let mut job = job(at("01T01:00:00"), at("01T01:00:02"));
    job["metadata"]["annotations"] = json!({});
    world.apply(ObjectKind::Jobs, job);
    assert_eq!(world.look(at("01T01:00:03")), ["scheduled 01T01:00:00"]);
}
