//! What goes over Fibre Channel.

use hawsepipe_host::fibre_channel;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "fibre_channel",
    about: "What goes over the ports of Fibre Channel adapters. No receiver of the Collector tells it; the names \
            are ours",
    reads: &["/sys/class/fc_host"],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Whether the port is online: 1 or 0
    ONLINE: Gauge Int "system.linux.fibre_channel.online" "1" ["device"] on;
    /// Bytes received and sent
    IO: Counter Int "system.linux.fibre_channel.io" "By" ["device", "direction"] on;
    /// Frames received and sent
    FRAMES: Counter Int "system.linux.fibre_channel.frames" "{frame}" ["device", "direction"] on;
    /// What went wrong, by the kernel's names of it
    ERRORS: Counter Int "system.linux.fibre_channel.errors" "{error}" ["device", "error.type"] on;
}

/// A word of Fibre Channel, in bytes (FC-FS, "transmission word").
const WORD: u64 = 4;
/// Counters that tell of no trouble.
const NO_ERRORS: [&str; 2] = ["lip_count", "seconds_since_last_reset"];

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(fibre_channel::read);
    let ports = read.map_err(|error| error.or_unavailable("the host has no such adapter"))?;
    let mut online = out.metric(&ONLINE);
    for port in ports.iter() {
        online.push(u64::from(port.state.as_deref() == Some("Online")), &[&port.name]);
    }
    let mut io = out.metric(&IO);
    for port in ports.iter() {
        let bytes = |words: &str| port.get(words).map(|words| words.saturating_mul(WORD));
        io.maybe(bytes("rx_words"), &[&port.name, "receive"]);
        io.maybe(bytes("tx_words"), &[&port.name, "transmit"]);
    }
    let mut frames = out.metric(&FRAMES);
    for port in ports.iter() {
        frames.maybe(port.get("rx_frames"), &[&port.name, "receive"]);
        frames.maybe(port.get("tx_frames"), &[&port.name, "transmit"]);
    }
    let mut errors = out.metric(&ERRORS);
    for port in ports.iter() {
        let is_traffic = |name: &str| name.starts_with("rx_") || name.starts_with("tx_");
        // Requests and megabytes of FCP are traffic too (`fcp_input_requests`), its aborts are not.
        let is_fcp = |name: &str| name.starts_with("fcp_") && name != "fcp_packet_aborts";
        for (name, count) in port.iter() {
            if !is_traffic(name) && !is_fcp(name) && !NO_ERRORS.contains(&name) {
                errors.push(count, &[&port.name, name]);
            }
        }
    }
    Ok(())
}
