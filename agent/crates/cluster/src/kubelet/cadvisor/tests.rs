//! Text as kubelets write it, and as nobody does.

use proptest::prelude::*;

use super::*;

const TEXT: &str = include_str!("../../../tests/fixtures/cadvisor.txt");
const UID: &str = "3a1f6f0e-7a52-4be0-9a3e-0d5c2f1b7e11";

fn read(text: &[u8], piece: usize) -> Result<Cadvisor, KubeletError> {
    let mut reader = Reader::default();
    for piece in text.chunks(piece) {
        reader.take(piece);
    }
    reader.finish()
}

fn checkout(all: &Cadvisor) -> Option<&CadvisorContainer> {
    all.container("shop", "checkout-1", UID, "checkout", None)
}

#[test]
fn of_the_last_run_of_a_container_everything_is_read_to_the_last_digit() {
    let all = Cadvisor::parse(TEXT.as_bytes()).unwrap();
    let disk = DiskIo {
        read_bytes: Some(1_048_576),
        write_bytes: Some(4096),
        reads: Some(25),
        writes: Some(1),
    };
    let expected = CadvisorContainer {
        namespace: "shop".into(),
        pod: "checkout-1".into(),
        container: "checkout".into(),
        started: 1_700_000_100.0,
        periods: Some(1200),
        throttled_periods: Some(345),
        throttled_ns: Some(6_789_012_000),
        oom_kills: Some(2),
        threads: Some(9),
        waiting_ns: [Some(800_000), Some(1_600_000), Some(2_400_000)],
        stalled_ns: [Some(400_000), Some(800_000), Some(1_200_000)],
        disks: BTreeMap::from([("nvme0n1".into(), disk)]),
    };
    assert_eq!(checkout(&all), Some(&expected));
    assert_eq!((all.containers.len(), all.skipped), (2, 0), "two runs; no pod, sandbox, slice");
    assert_eq!(all.container("shop", "checkout-1", "another", "checkout", None), None);
    assert_eq!(all.container("other", "checkout-1", UID, "checkout", None), None);
    assert_eq!(all.container("shop", "checkout-1", UID, "side", None), None);
}

/// What a kubelet 1.34.4 said, trimmed, on a host with cgroup v1, whose cAdvisor did not find containerd's socket.
const NAMELESS: &str = include_str!("../../../tests/fixtures/cadvisor-1.34.4-nameless.txt");
const THROTTLED: (&str, &str) = (
    "1c974e71-332a-448c-a0a1-3ad7acd6dbcd",
    "29381dd9dbdcc7588ba6463a629196927d1f1ec4981e4da9f855fefc467ea8fa",
);
const KILLED: (&str, &str) = (
    "2be8f361-bca3-44a2-8b1d-5af3695d4777",
    "9335a2491d6ae38fe60788b24e14edf6ea5ef9d632f2a1af87b133858c67c8d8",
);

#[test]
fn where_cadvisor_names_no_containers_they_are_known_by_their_ids() {
    let all = Cadvisor::parse(NAMELESS.as_bytes()).unwrap();
    let of = |pod, (uid, id)| all.container("shop", pod, uid, "c", Some(id)).unwrap();
    let throttled = of("throttled", THROTTLED);
    assert_eq!((throttled.periods, throttled.throttled_periods), (Some(1045), Some(1040)));
    assert_eq!(throttled.throttled_ns, Some(86_232_137_841));
    assert_eq!((throttled.threads, throttled.oom_kills), (Some(1), Some(0)));
    let killed = of("killed", KILLED);
    assert_eq!((killed.threads, killed.oom_kills, killed.periods), (Some(2), Some(6), None));
    assert_eq!(all.skipped, 0);
    let (uid, id) = THROTTLED;
    assert_eq!(all.container("shop", "throttled", uid, "c", None), None, "nobody knows its id");
    assert_eq!(all.container("shop", "throttled", KILLED.0, "c", Some(id)), None);
}

#[test]
fn pressure_that_nothing_counts_is_not_told_as_none_that_was_waited() {
    let (uid, id) = THROTTLED;
    let waiting = |text: &str| {
        let all = Cadvisor::parse(text.as_bytes()).unwrap();
        let of = all.container("shop", "throttled", uid, "c", Some(id)).unwrap();
        (of.waiting_ns, of.stalled_ns[0])
    };
    assert_eq!(waiting(NAMELESS), ([None; 3], None), "cgroup v1 has none");
    // Somebody on the node waited: it is counted, and who shows 0 has not.
    let root = "container_pressure_io_waiting_seconds_total{container=\"\",id=\"/\",image=\"\",name=\"\",namespace=\"\",pod=\"\"} 0";
    assert!(NAMELESS.contains(root));
    let counted = NAMELESS.replace(root, &format!("{root}.5"));
    assert_eq!(waiting(&counted), ([Some(0); 3], Some(0)));
}

#[test]
fn a_line_that_is_not_understood_is_counted_and_costs_no_other() {
    let labels = format!("id=\"/kubepods/pod{UID}/x\",namespace=\"shop\",pod=\"checkout-1\"");
    let good = format!("container_threads{{container=\"checkout\",{labels}}} 7\n");
    let line = |behind: &str| format!("container_oom_events_total{behind}\n");
    let bad = [
        line(""),
        line(" 1"),
        line("{"),
        line("{container}"),
        line("{container=\"checkout} 1"),
        line("{container=\"check\\out\"} 1"),
        line("{container=\"checkout\"pod=\"x\"} 1"),
        line("{container=\"checkout\"}"),
        line(&format!("{{container=\"checkout\",{labels}}} NaN")),
        line(&format!("{{container=\"checkout\",{labels}}} +Inf")),
        line(&format!("{{container=\"checkout\",{labels}}} -1")),
        line(&format!("{{container=\"checkout\",{labels}}} 1 soon")),
        line(&format!("{{container=\"checkout\",{labels}}} 1 2 3")),
        line(&format!("{{image=\"{}", "x".repeat(LONGEST_LINE))),
    ];
    let text = format!("{good}{}", bad.concat());
    // The last one has no end: who knows how the number goes on.
    let text = format!("{text}container_oom_events_total{{container=\"checkout\",{labels}}} 1");
    for piece in [1, 100, text.len()] {
        let all = read(text.as_bytes(), piece).unwrap();
        let of = checkout(&all).unwrap();
        assert_eq!((of.threads, of.oom_kills), (Some(7), None), "in pieces of {piece}");
        assert_eq!(all.skipped, bad.len() as u64 + 1);
    }
    let mut text = text.into_bytes();
    text.extend_from_slice(b"0\ncontainer_threads{container=\"\xff\"} 1\n");
    let all = read(&text, 1000).unwrap();
    assert_eq!(checkout(&all).unwrap().oom_kills, Some(10));
    assert_eq!(all.skipped, bad.len() as u64 + 1);
}

#[test]
fn a_line_without_an_end_is_not_held() {
    let mut reader = Reader::default();
    for _ in 0..10 {
        reader.take(&[b'x'; LONGEST_LINE / 2]);
        assert!(reader.half.len() <= LONGEST_LINE);
    }
    reader.take(b"\ncontainer_threads{container=\"checkout\"} 1\n");
    assert_eq!(reader.finish().unwrap().skipped, 1);
}

#[test]
fn labels_are_read_and_not_searched_for() {
    let id = format!("/kubepods/pod{UID}/x");
    let text = format!(
        "container_threads{{ name=\"pod=\\\"other\\\",\\\\\\n\" , container=\"check\\\"out\",id=\"{id}\",\
         namespace=\"shop\",pod=\"checkout-1\", }} 3e0\n"
    );
    let all = read(text.as_bytes(), 7).unwrap();
    let of = all.container("shop", "checkout-1", UID, "check\"out", None).unwrap();
    assert_eq!((of.threads, all.skipped), (Some(3), 0));
}

#[test]
fn what_is_not_about_containers_is_refused_with_its_beginning() {
    for (text, says) in [
        ("", "it begins ``"),
        ("<html>\n<body>Welcome", "it begins `<html> <body>Welcome`"),
        ("# HELP go_goroutines x\ngo_goroutines 1\n", "nothing of containers"),
    ] {
        let error = read(text.as_bytes(), 5).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

proptest! {
    #[test]
    fn prop_any_pieces_give_the_same(piece in 1..3000_usize) {
        let (all, whole) = (read(TEXT.as_bytes(), piece).unwrap(), Cadvisor::parse(TEXT.as_bytes()).unwrap());
        prop_assert_eq!(all.containers, whole.containers);
        prop_assert_eq!(all.skipped, 0);
    }

    #[test]
    fn prop_no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        behind in "container_(threads|oom_events_total)\\{((container|pod|id)=\"\\PC{0,5}\"?,?){0,4}\\}? ?\\PC{0,12}\n?",
        piece in 1..40_usize,
    ) {
        let mut reader = Reader::default();
        for piece in bytes.chunks(piece).chain(behind.as_bytes().chunks(piece)) {
            reader.take(piece);
        }
        drop(reader.finish());
    }

    #[test]
    fn prop_any_label_comes_back(name in "\\PC{1,20}", count in 0..1_u64 << 53) {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("{{container=\"{escaped}\",id=\"/x\"}} {count}.0 1795000000123");
        let sample = Sample::parse(&text).unwrap();
        prop_assert_eq!(&*sample.container, &*name);
        prop_assert_eq!(whole(sample.value), count);
    }
}
