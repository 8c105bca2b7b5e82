//! What the host's protocols counted.

use hawsepipe_host::net_counters::{self, NetCounters};

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::points::Points;
use crate::settings::Globs;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "netstat",
    about: "What the protocols of the host's network counted, by the kernel's names (RFC 1213, and Linux' own). \
            There are hundreds; these are the few that tell of trouble and of load. No receiver of the Collector \
            tells it; the names are ours",
    reads: &["/proc/1/net/snmp", "/proc/1/net/netstat", "/proc/1/net/snmp6"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: Some("counters by protocol and name (`TcpExt.Listen*`)"),
    top: None,
    new: |options| Box::new(Netstat { select: options.select.clone() }),
};

metrics! {
    /// What the protocol counted: segments, datagrams, messages, or octets where the name says so
    COUNTERS: Counter Int "system.linux.netstat" "{event}" ["protocol", "name"] on;
    /// TCP connections that are open (established, or closed by the other side alone)
    OPEN: UpDownCounter Int "system.linux.netstat.tcp.open" "{connection}" [] on;
}

/// The counters that are told: those of node_exporter, by which dashboards know them. A `*` ends what begins so.
const TOLD: [(&str, &[&str]); 11] = [
    ("Ip", &["InErrors"]),
    ("Ip6", &["InErrors", "InOctets", "OutOctets"]),
    ("IpExt", &["InOctets", "OutOctets"]),
    ("Icmp", &["InErrors", "InMsgs", "OutMsgs"]),
    ("Icmp6", &["InErrors", "InMsgs", "OutMsgs"]),
    (
        "Tcp",
        &["ActiveOpens", "PassiveOpens", "InSegs", "OutSegs", "InErrs", "OutRsts", "RetransSegs"],
    ),
    (
        "TcpExt",
        &["Listen*", "Syncookies*", "TCPSynRetrans", "TCPTimeouts", "TCPOFOQueue", "TCPRcvQDrop"],
    ),
    (
        "Udp",
        &["InDatagrams", "OutDatagrams", "InErrors", "NoPorts", "RcvbufErrors", "SndbufErrors"],
    ),
    (
        "Udp6",
        &["InDatagrams", "OutDatagrams", "InErrors", "NoPorts", "RcvbufErrors", "SndbufErrors"],
    ),
    ("UdpLite", &["InErrors"]),
    ("UdpLite6", &["InErrors"]),
];

struct Netstat {
    select: Globs,
}

impl Collect for Netstat {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let read = tick.read(net_counters::snmp);
        let snmp = read.map_err(|error| error.or_unavailable("the host has no IPv4"))?;
        let others = [
            tick.read_if_there(net_counters::netstat)?,
            // A host without IPv6.
            tick.read_if_there(net_counters::snmp6)?,
        ];
        let all = || std::iter::once(&snmp).chain(others.iter().flatten());
        let mut series = out.metric(&COUNTERS);
        for (protocol, name, value) in all().flat_map(|of| of.iter()) {
            let whole = || format!("{protocol}.{name}");
            if is_told(protocol, name)
                && self.select.take(&whole())
                && let Ok(value) = u64::try_from(value)
            {
                series.push(value, &[protocol, name]);
            }
        }
        out.metric(&OPEN).maybe(open(&snmp), &[]);
        Ok(())
    }
}

fn is_told(protocol: &str, name: &str) -> bool {
    let told = TOLD.iter().find(|(of, _)| *of == protocol).map_or(&[][..], |(_, names)| names);
    told.iter().any(|told| told.strip_suffix('*').map_or(*told == name, |it| name.starts_with(it)))
}

fn open(snmp: &NetCounters) -> Option<u64> {
    u64::try_from(snmp.get("Tcp", "CurrEstab")?).ok()
}
