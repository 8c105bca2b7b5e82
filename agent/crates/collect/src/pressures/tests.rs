//! Groups that wait, tick by tick, on a tree of files that the test writes as the kernel would.

use std::fs;

use hawsepipe_host::HostRoot;
use proptest::prelude::*;

use super::*;

const CLASS: &str = "/kubepods/burstable";

/// What waited how long, by pod and container.
struct Node {
    folder: tempfile::TempDir,
    cgroups: Cgroups,
    pressures: Pressures,
    begun: Instant,
    seconds: u64,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("sys/fs/cgroup");
        fs::create_dir_all(&top).unwrap();
        fs::write(top.join("cgroup.controllers"), "cpu memory\n").unwrap();
        let root = HostRoot::new(folder.path().join("proc"), folder.path().join("sys"), None);
        let cgroups = Cgroups::find(&root).unwrap();
        Self { folder, cgroups, pressures: Pressures::default(), begun: Instant::now(), seconds: 0 }
    }

    fn file(&self, path: &str, kind: PressureKind) -> std::path::PathBuf {
        let name = format!("{}.pressure", kind.name());
        self.folder.path().join("sys/fs/cgroup").join(path.trim_start_matches('/')).join(name)
    }

    /// The group has waited for so many microseconds; so many percent are its average.
    fn waited(&self, path: &str, kind: PressureKind, some: u64) {
        let file = self.file(path, kind);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let stall = format!("avg10={some}.00 avg60=0.00 avg300=0.00");
        fs::write(file, format!("some {stall} total={some}\nfull {stall} total={}\n", some / 2))
            .unwrap();
    }

    /// Asks in a tick that is so many seconds after the first. The group above a container is its pod.
    fn ask(&mut self, path: &str, kind: PressureKind, averages: bool) -> Option<Pressure> {
        let tick = self.begun + Duration::from_secs(self.seconds);
        let asked = Asked { tick, cgroups: &self.cgroups, kind, averages };
        let path = CgroupPath::new(path);
        let parent = path.parent();
        let above = if parent.as_str() == CLASS {
            vec![parent]
        } else {
            vec![CgroupPath::new(CLASS), parent]
        };
        self.pressures.read(asked, &above.iter().collect::<Vec<_>>(), &path).unwrap()
    }

    /// What is told, in microseconds.
    fn told(&mut self, path: &str, kind: PressureKind) -> Option<u64> {
        let pressure = self.ask(path, kind, false)?;
        let [some, full] =
            [pressure.some, pressure.full].map(|stall| (stall.unwrap().total * 1e6).round() as u64);
        assert_eq!(full, some / 2, "both are of one reading");
        Some(some)
    }
}

#[test]
fn a_group_is_read_when_those_above_it_waited_and_once_a_minute_whatever_they_show() {
    let (pod, container) = ("/kubepods/burstable/pod1", "/kubepods/burstable/pod1/c");
    let mut node = Node::new();
    // The numbers of what is not read are none that a kernel shows: they show that it is not read.
    for (seconds, class, of_pod, of_container, told, why) in [
        (0, 10, 10, 10, (10, 10), "they are new"),
        (15, 10, 11, 11, (10, 10), "nothing in the class waited"),
        (30, 12, 10, 11, (10, 10), "another pod did"),
        (45, 13, 12, 12, (12, 12), "both above it did"),
        (60, 13, 13, 13, (12, 12), "nothing did, and they were read just now"),
        (90, 13, 14, 14, (12, 12), "not yet a minute"),
        (105, 13, 15, 15, (15, 15), "a minute ago"),
        (120, 14, 16, 16, (16, 16), "both above it waited again"),
        (500, 14, 16, 17, (16, 17), "after a long time it is new"),
    ] {
        node.seconds = seconds;
        for (path, total) in [(CLASS, class), (pod, of_pod), (container, of_container)] {
            node.waited(path, PressureKind::Cpu, total);
        }
        let container = node.told(container, PressureKind::Cpu);
        let pod = node.told(pod, PressureKind::Cpu);
        assert_eq!((pod, container), (Some(told.0), Some(told.1)), "at {seconds} s: {why}");
    }
}

#[test]
fn each_kind_is_read_for_its_own_sake() {
    let pod = "/kubepods/burstable/pod1";
    let mut node = Node::new();
    let ask = |node: &mut Node| KINDS.map(|kind| node.told(pod, kind).unwrap());
    for kind in KINDS {
        node.waited(CLASS, kind, 10);
        node.waited(pod, kind, 10);
    }
    assert_eq!(ask(&mut node), [10; 3]);
    node.seconds = 15;
    for kind in KINDS {
        node.waited(pod, kind, 20);
    }
    node.waited(CLASS, PressureKind::Memory, 20);
    assert_eq!(ask(&mut node), [10, 20, 10]);
}

#[test]
fn averages_are_of_this_tick() {
    let pod = "/kubepods/burstable/pod1";
    let mut node = Node::new();
    node.waited(CLASS, PressureKind::Io, 10);
    for seconds in [0, 1, 2, 3] {
        node.seconds = seconds;
        node.waited(pod, PressureKind::Io, seconds);
        let read = node.ask(pod, PressureKind::Io, true).unwrap().some.unwrap();
        assert_eq!(read.average_10s * 100.0, seconds as f64);
    }
}

#[test]
fn a_group_is_read_once_in_a_tick_whoever_asks() {
    let (pod, container) = ("/kubepods/burstable/pod1", "/kubepods/burstable/pod1/c");
    let mut node = Node::new();
    for path in [CLASS, pod, container] {
        node.waited(path, PressureKind::Cpu, 10);
    }
    assert_eq!(node.told(container, PressureKind::Cpu), Some(10));
    for path in [CLASS, pod, container] {
        node.waited(path, PressureKind::Cpu, 11);
    }
    assert_eq!(node.told(pod, PressureKind::Cpu), Some(10), "the containers' collector read it");
    node.seconds = 1;
    assert_eq!(node.told(pod, PressureKind::Cpu), Some(11));
}

#[test]
fn what_a_kernel_does_not_have_is_asked_for_once_a_minute_and_what_is_below_it_in_each_tick() {
    let (pod, container) = ("/kubepods/burstable/pod1", "/kubepods/burstable/pod1/c");
    let mut node = Node::new();
    node.waited(CLASS, PressureKind::Cpu, 10);
    node.waited(pod, PressureKind::Cpu, 10);
    node.waited(container, PressureKind::Cpu, 10);
    // As `cgroup.pressure` switches it off for one group.
    fs::remove_file(node.file(pod, PressureKind::Cpu)).unwrap();
    assert_eq!(node.told(pod, PressureKind::Cpu), None);
    for (seconds, told) in [(1, None), (30, None), (59, Some(10))] {
        node.seconds = seconds;
        node.waited(CLASS, PressureKind::Cpu, 10 + seconds);
        node.waited(container, PressureKind::Cpu, 10 + seconds);
        assert_eq!(node.told(container, PressureKind::Cpu), Some(10 + seconds));
        node.waited(pod, PressureKind::Cpu, 10);
        assert_eq!(node.told(pod, PressureKind::Cpu), told, "at {seconds} s");
    }
}

#[test]
fn who_has_ended_is_forgotten_and_is_an_error_only_where_it_is_asked_for() {
    let mut node = Node::new();
    node.waited(CLASS, PressureKind::Cpu, 10);
    for seconds in 0..1000 {
        node.seconds = seconds;
        let pod = format!("/kubepods/burstable/pod{seconds}");
        node.waited(&pod, PressureKind::Cpu, seconds);
        assert_eq!(node.told(&pod, PressureKind::Cpu), Some(seconds));
    }
    let most = FORGOTTEN_AFTER.as_secs() as usize + 1;
    assert!(node.pressures.groups.len() <= most, "{}", node.pressures.groups.len());
    let (cgroups, tick) = (node.cgroups.clone(), node.begun);
    let asked = Asked { tick, cgroups: &cgroups, kind: PressureKind::Cpu, averages: false };
    let gone = CgroupPath::new("/kubepods/burstable/gone/c");
    let error = node.pressures.read(asked, &[&gone.parent()], &gone).unwrap_err();
    assert!(error.is_gone() && error.path().ends_with("gone/c/cpu.pressure"), "{error}");
}

// === A model ===

/// The kernel adds up for each group by itself: up to so many microseconds show in one and not in the one above it.
const ROUNDING: u64 = 50;
const GROUPS: [(&str, &str); 6] =
    [("pod1", ""), ("pod1", "/a"), ("pod1", "/b"), ("pod2", ""), ("pod2", "/c"), ("pod2", "/d")];

/// How far what waited shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    InItself,
    InItsPod,
    Everywhere,
}

fn a_wait() -> impl Strategy<Value = (usize, u64, Shows)> {
    let container = prop_oneof![Just(1_usize), Just(2), Just(4), Just(5)];
    let rounded =
        prop_oneof![Just(Shows::InItself), Just(Shows::InItsPod), Just(Shows::Everywhere)];
    prop_oneof![
        (container.clone(), 1..=ROUNDING, rounded),
        (container, ROUNDING..1_000_000, Just(Shows::Everywhere)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What is told of a group is never ahead of it nor goes back; it is exact in a tick in which all above it moved,
    /// behind by nothing but what did not show above, and exact once a minute.
    #[test]
    fn prop_what_is_told_is_what_was_waited_but_for_what_shows_in_no_group_above(
        ticks in proptest::collection::vec((1..30_u64, proptest::collection::vec(a_wait(), 0..4)), 1..40),
        pods_first in any::<bool>(),
    ) {
        let mut node = Node::new();
        let mut class = 0;
        let mut waited = [0_u64; GROUPS.len()];
        let mut told = [0; GROUPS.len()];
        let mut hidden = [0; GROUPS.len()];
        let mut exact_at = [0; GROUPS.len()];
        for (passed, waits) in ticks {
            node.seconds += passed;
            let (mut class_moved, mut moved) = (false, [false; GROUPS.len()]);
            for (at, time, shows) in waits {
                let pod = at / 3 * 3;
                waited[at] += time;
                hidden[at] += if shows == Shows::Everywhere { 0 } else { time };
                if shows != Shows::InItself {
                    waited[pod] += time;
                    moved[pod] = true;
                    hidden[pod] += if shows == Shows::Everywhere { 0 } else { time };
                }
                if shows == Shows::Everywhere {
                    // An average over all CPUs that were not idle.
                    class += time.div_ceil(4);
                    class_moved = true;
                }
            }
            node.waited(CLASS, PressureKind::Io, class);
            for ((pod, container), waited) in GROUPS.iter().zip(waited) {
                node.waited(&format!("{CLASS}/{pod}{container}"), PressureKind::Io, waited);
            }
            let mut order: Vec<_> = (0..GROUPS.len()).collect();
            order.sort_by_key(|at| (at % 3 == 0) != pods_first);
            for at in order {
                let (pod, container) = GROUPS[at];
                let now = node.told(&format!("{CLASS}/{pod}{container}"), PressureKind::Io).unwrap();
                prop_assert!(now <= waited[at], "{at} is ahead: {now} of {}", waited[at]);
                prop_assert!(now >= told[at], "{at} went back: from {} to {now}", told[at]);
                let behind = waited[at] - now;
                prop_assert!(behind <= hidden[at], "{at} is {behind} behind, {} did not show", hidden[at]);
                if class_moved && (at % 3 == 0 || moved[at / 3 * 3]) {
                    prop_assert_eq!(behind, 0, "{} is behind, and all above it moved", at);
                }
                if behind == 0 {
                    (hidden[at], exact_at[at]) = (0, node.seconds);
                }
                let since = Duration::from_secs(node.seconds - exact_at[at]);
                prop_assert!(since < ANYWAY_EVERY, "{at} is behind for {since:?}");
                told[at] = now;
            }
        }
    }
}
