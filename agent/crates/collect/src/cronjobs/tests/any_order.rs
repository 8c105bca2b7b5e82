//! Any schedule, any order, any change of leader.

use super::*;

/// What the controller does for a time, and when that is seen here.
#[derive(Debug, Clone, Copy)]
enum Made {
    Not,
    /// Seconds after its time; seconds after that.
    After(i64, i64),
}

fn made(seen_within: i64) -> impl Strategy<Value = Made> {
    prop_oneof![
        Just(Made::Not),
        (0..280_i64, 0..seen_within).prop_map(|(made, seen)| Made::After(made, seen)),
        (312..900_i64, 0..seen_within).prop_map(|(made, seen)| Made::After(made, seen)),
    ]
}

const SCHEDULES: [(&str, &str); 6] = [
    ("*/7 * * * *", "UTC"),
    ("3,4,50 * * * *", "Europe/Berlin"),
    ("*/20 1-4 * * *", "Europe/Berlin"),
    ("0 */2 * * *", "Asia/Kolkata"),
    ("@every 11m", "UTC"),
    ("15 2 * * *", "America/New_York"),
];

/// Lets a controller make Jobs as said, and tells each heartbeat of a scheduled time. `leaders`: when there is another one.
fn play(
    (text, zone): (&str, &str),
    made: &[Made],
    cronjob_seen: i64,
    look_every: i64,
    leaders: &[i64],
) -> (BTreeSet<Timestamp>, Vec<(String, State, Timestamp)>) {
    // The night in which Berlin's clock is put forward.
    let begin = at("28T22:00:00");
    let schedule = Schedule::parse(text, zone).unwrap();
    let mut times = Vec::new();
    while times.len() < made.len() {
        times.push(schedule.next(times.last().copied().unwrap_or(begin)).unwrap());
    }
    let end = *times.last().unwrap();
    let mut object = cronjob(json!({"schedule": text, "timeZone": zone}), json!({}));
    object["metadata"]["creationTimestamp"] = json!(begin.to_string());
    let mut arrivals = vec![(begin + secs(cronjob_seen), ObjectKind::CronJobs, object)];
    for (scheduled, made) in times.iter().zip(made) {
        if let Made::After(made, seen) = made {
            let created = *scheduled + secs(*made);
            let object = job(*scheduled, created);
            arrivals.push((created + secs(*seen), ObjectKind::Jobs, object));
        }
    }
    arrivals.sort_by_key(|(at, ..)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut seen: Vec<(ObjectKind, Value)> = Vec::new();
    let mut world = World::new(Some(begin));
    let mut told = Vec::new();
    let (mut now, mut leaders) = (begin, leaders.iter().copied().peekable());
    while now <= end + secs(1500) {
        while let Some((_, kind, object)) = arrivals.next_if(|(at, ..)| *at <= now) {
            seen.push((kind, object.clone()));
            world.apply(kind, object);
        }
        if leaders.next_if(|leader| begin + secs(*leader) <= now).is_some() {
            world = World::new(Some(told_by(now).max(begin)));
            for (kind, object) in &seen {
                world.apply(*kind, object.clone());
            }
        }
        for Due { heartbeat, .. } in world.due(now) {
            if matches!(heartbeat.state, State::Scheduled | State::Missed) {
                assert_eq!(heartbeat.times, 1);
                told.push((heartbeat.id.unwrap(), heartbeat.state, heartbeat.scheduled.unwrap()));
            }
        }
        now += secs(look_every);
        if times.iter().all(|time| now < *time || *time + secs(1500) < now) {
            // Nothing happens for a while.
            now = times.iter().copied().find(|time| *time > now).unwrap_or(now);
        }
    }
    told.retain(|(_, _, scheduled)| *scheduled <= end);
    (times.into_iter().collect(), told)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_every_time_is_told_once_as_scheduled_or_missed_whatever_order_objects_come_in(
        schedule in prop::sample::select(SCHEDULES.to_vec()),
        made in prop::collection::vec(made(800), 1..12),
        cronjob_seen in 0..290_i64,
        look_every in 1..120_i64,
    ) {
        let (times, told) = play(schedule, &made, cronjob_seen, look_every, &[]);
        let told: Vec<_> = told.into_iter().map(|(_, _, scheduled)| scheduled).collect();
        prop_assert_eq!(told.len(), times.len(), "once: {:?}", told);
        prop_assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), times);
    }

    #[test]
    fn prop_whoever_leads_every_time_is_told_and_what_comes_twice_is_the_same(
        schedule in prop::sample::select(SCHEDULES.to_vec()),
        made in prop::collection::vec(made(9), 1..12),
        look_every in 1..9_i64,
        mut leaders in prop::collection::vec(0..20_000_i64, 0..6),
    ) {
        leaders.sort_unstable();
        let (times, told) = play(schedule, &made, 0, look_every, &leaders);
        let distinct: BTreeMap<_, _> = told.into_iter().map(|(id, _, at)| (id, at)).collect();
        prop_assert_eq!(distinct.len(), times.len(), "one state each: {:?}", distinct);
        prop_assert_eq!(distinct.into_values().collect::<BTreeSet<_>>(), times);
    }
}
