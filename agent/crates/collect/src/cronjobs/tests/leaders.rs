//! What a leader tells of the time before it, and counts.

use super::*;

#[test]
fn the_first_leader_tells_nothing_of_what_was_before_it() {
    let mut world = World::new(None);
    world.cronjob(hourly());
    let old = world.job("01T01:00:00", "01T01:00:00");
    world.ends(&old, "Failed", "BackoffLimitExceeded", "01T01:00:30");
    let open = world.job("01T03:00:00", "01T03:00:00");
    world.runs(&open, "01T03:00:01");
    assert!(world.looks(&["01T03:10:00", "01T03:20:00"]).is_empty());
    world.ends(&open, "Complete", "", "01T03:30:00");
    assert_eq!(world.look(at("01T03:30:01")), ["succeeded"], "what comes after is told");
}

#[test]
fn the_next_leader_tells_what_happened_while_there_was_none_and_nothing_older() {
    let mut world = World::new(Some(at("01T01:30:00")));
    // 02:00 had its Job and 03:00 had none.
    let old = world.job("01T01:00:00", "01T01:00:00");
    world.runs(&old, "01T01:00:02");
    world.ends(&old, "Complete", "", "01T01:31:00");
    let job = world.job("01T02:00:00", "01T02:00:00");
    world.pod(&job, terminated(1, "01T02:00:02", "01T02:00:03"));
    world.ends(&job, "Failed", "BackoffLimitExceeded", "01T02:00:04");
    world.cronjob_with(hourly(), json!({"lastScheduleTime": "2026-03-01T02:00:00Z"}));
    let told = [
        "succeeded",
        "scheduled 01T02:00:00",
        "started 01T02:00:00",
        "failed: BackoffLimitExceeded",
        "missed 01T03:00:00: no Job was made within 300 s of its time",
    ];
    assert_eq!(world.looks(&["01T03:30:00", "01T03:31:00"]), told);
}

#[test]
fn what_the_last_leader_could_not_know_when_it_ended_is_told_by_the_next() {
    let ended = at("01T01:00:09");
    let mut world = World::new(Some(told_by(ended)));
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    // The kubelet says so at 01:00:10.
    world.runs(&job, "01T01:00:02");
    assert!(world.look(at("01T01:00:30")).contains(&"started 01T01:00:00".to_owned()));
}

#[test]
fn all_is_known_when_each_kind_was_listed() {
    let store = ObjectStore::new();
    for kind in KINDS {
        assert!(!Kinds::of(&store).is_settled, "before {kind:?}");
        store.replace_json(kind, &[]).unwrap();
    }
    assert_eq!(Kinds::of(&store), ALL);
}

#[test]
fn what_may_have_been_cleaned_away_while_there_was_no_leader_is_not_called_missed() {
    let look = |failed: bool| {
        let mut world = World::new(Some(at("01T01:30:00")));
        let status = json!({"lastScheduleTime": "2026-03-01T05:00:00Z"});
        world.cronjob_with(hourly(), status);
        // Jobs for 02:00 and 04:00 are not there, nor is that for 05:00.
        world.job("01T03:00:00", "01T03:00:00");
        if failed {
            let job = world.job("01T04:30:00", "01T04:30:00");
            world.ends(&job, "Failed", "", "01T04:30:09");
        }
        let told = world.look(at("01T06:05:10"));
        told.into_iter().filter(|told| told.starts_with("missed")).collect::<Vec<_>>()
    };
    let missed = |time: &str| format!("missed 01T{time}: no Job was made within 300 s of its time");
    assert_eq!(look(false), [missed("04:00:00"), missed("06:00:00")]);
    assert_eq!(look(true), [missed("06:00:00")], "a failed one makes place for a later one");
}

#[test]
fn each_job_is_counted_since_the_term_began_with_what_its_cronjob_says_of_the_last_success() {
    let mut world = World::since("01T00:30:00");
    world.cronjob_with(hourly(), json!({"lastSuccessfulTime": "2026-03-01T00:10:00Z"}));
    let tally = |world: &World| world.known.tallies().remove(0);
    let (first, since) = tally(&world);
    assert_eq!((first.last_success, since), (Some(at("01T00:10:00")), at("01T00:30:00")));
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.runs(&job, "01T01:00:02");
    world.look(at("01T01:00:03"));
    assert_eq!(tally(&world).0.active, 1);
    world.ends(&job, "Complete", "", "01T01:00:12");
    world.look(at("01T02:05:10"));
    let (last, _) = tally(&world);
    assert_eq!((last.active, last.last_duration), (0, Some(10.0)));
    assert_eq!(last.last_success, Some(at("01T01:00:12")));
    let once = [State::Started, State::Succeeded, State::Missed, State::Scheduled];
    assert_eq!(last.counts, once.map(|state| (state, 1)).into());
}
