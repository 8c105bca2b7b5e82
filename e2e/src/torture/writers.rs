//! The pods that write: of different loudness, for different troubles.

use serde_json::{Value, json};

use crate::torture::line::Voice;
use crate::workload::{self, STAY, container, once, pod_spec};

/// How a workload behaves, besides being loud or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Writes until the end and stays.
    Long,
    /// Ends every so many lines, and is started again by the kubelet.
    Crashing { lines: u64 },
}

/// A workload.
struct Writer {
    name: &'static str,
    voice: Voice,
    life: Life,
}

const fn voice(per_second: u64, length: usize) -> Voice {
    Voice { per_second, beats: 10, length, both: false }
}

const fn slow(per_second: u64, length: usize) -> Voice {
    Voice { per_second, beats: 1, length, both: false }
}

/// 1.2 MB/s and 4,500 lines/s together: more than five million lines in twenty minutes.
const NODE: &[Writer] = &[
    Writer { name: "loud", voice: voice(2_700, 380), life: Life::Long },
    Writer { name: "medium-a", voice: voice(500, 120), life: Life::Long },
    Writer { name: "medium-b", voice: voice(500, 120), life: Life::Long },
    Writer { name: "medium-c", voice: voice(400, 120), life: Life::Long },
    // Both streams in one file, between each other.
    Writer { name: "both", voice: Voice { both: true, ..voice(150, 100) }, life: Life::Long },
    // Each line is three pieces of at most 16 KiB.
    Writer { name: "long-lines", voice: voice(4, 40_000), life: Life::Long },
    // The pieces of two streams between each other.
    Writer { name: "long-both", voice: Voice { both: true, ..voice(1, 20_000) }, life: Life::Long },
    Writer { name: "quiet-a", voice: voice(2, 100), life: Life::Long },
    Writer { name: "quiet-b", voice: voice(1, 100), life: Life::Long },
    Writer { name: "crashing", voice: voice(0, 200), life: Life::Crashing { lines: 300 } },
];

/// The same for a node on which a system call takes 65 µs: 20 KB/s and 120 lines/s.
const SLOW_NODE: &[Writer] = &[
    Writer { name: "loud", voice: slow(60, 250), life: Life::Long },
    Writer { name: "medium", voice: slow(20, 120), life: Life::Long },
    Writer { name: "both", voice: Voice { both: true, ..slow(10, 100) }, life: Life::Long },
    Writer { name: "long-lines", voice: slow(1, 40_000), life: Life::Long },
    Writer { name: "quiet", voice: slow(1, 100), life: Life::Long },
];

/// The pods that write until `end` (seconds since 1970), on the node of that name.
pub(crate) fn pods(node: &str, end: u64, is_slow: bool) -> Vec<Value> {
    let of = |writer: &Writer| {
        let script = match writer.life {
            Life::Long => format!("{}; {STAY}", writer.voice.until(end)),
            Life::Crashing { lines } => format!(
                "[ $(date +%s) -lt {end} ] || {{ {STAY}; }}; {}; sleep 5; exit 1",
                writer.voice.burst(lines)
            ),
        };
        pod(writer.name, node, &script)
    };
    if is_slow { SLOW_NODE } else { NODE }.iter().map(of).collect()
}

/// A pod that is deleted while it writes.
pub(crate) fn victim(name: &str, node: &str, end: u64, is_slow: bool) -> Value {
    let voice = if is_slow { slow(20, 150) } else { voice(200, 150) };
    pod(name, node, &format!("{}; {STAY}", voice.until(end)))
}

/// A pod that is gone as soon as it has written.
pub(crate) fn short_lived(name: &str, node: &str, lines: u64) -> Value {
    let mut pod = pod(name, node, &voice(0, 150).burst(lines));
    pod["spec"] = once(pod["spec"].take());
    pod
}

fn pod(name: &str, node: &str, script: &str) -> Value {
    let mut spec = pod_spec(&[container("c", script)]);
    // Whoever is deleted writes until it is killed.
    spec["terminationGracePeriodSeconds"] = json!(1);
    let mut pod = workload::pod(name, &json!({"torture": "yes"}), &spec);
    workload::pin(&mut pod, node);
    pod
}
