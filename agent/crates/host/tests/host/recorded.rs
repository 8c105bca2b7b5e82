//! The node's readers on a recorded tree and on one of an old kernel, number by number.

use hawsepipe_host::diskstats::{Flushes, Transfers};
use hawsepipe_host::pressure::PressureKind;
use hawsepipe_host::stat::CpuTimes;
use hawsepipe_host::*;

use crate::support::fixture;

fn recorded() -> HostRoot {
    fixture("linux-6.18-hybrid")
}

fn old() -> HostRoot {
    fixture("linux-3.10-v1-docker")
}

#[test]
fn what_the_cpus_did() {
    let stat = stat::read(&recorded()).expect("read");
    let total = CpuTimes {
        user: 9011.28,
        nice: 1780.36,
        system: 5356.68,
        idle: 9488.82,
        iowait: 200.93,
        irq: 0.0,
        softirq: 56.23,
        steal: 34.18,
        guest: 0.0,
        guest_nice: 0.0,
    };
    assert_eq!(stat.total, total);
    assert_eq!(
        stat.cpus.iter().map(|cpu| (cpu.number, cpu.times.user)).collect::<Vec<_>>(),
        [(0, 4446.48), (1, 4564.8)]
    );
    assert_eq!((stat.interrupts, stat.context_switches), (Some(84_538_816), Some(327_461_863)));
    assert_eq!((stat.boot_time, stat.processes_created), (Some(1_795_544_379), Some(859_152)));
    assert_eq!((stat.running, stat.blocked), (Some(17), Some(0)));
    let softirqs = stat.softirqs.expect("softirq");
    assert_eq!(softirqs.total, 12_637_629);
    assert_eq!(
        softirqs.by_kind,
        [0, 1_523_959, 1226, 2_583_958, 1_812_867, 0, 5598, 2_054_303, 96_682, 4_559_036]
    );
    assert_eq!(stat.skipped, Skipped::default());
    let guests = stat::read(&old()).expect("read").total;
    assert_eq!((guests.user, guests.guest), (101_321.53, 1756.28));
}

#[test]
fn where_the_memory_is() {
    let memory = meminfo::read(&recorded()).expect("read");
    assert_eq!(memory.total(), Some(24_684_084 * 1024));
    assert_eq!(memory.free(), Some(20_069_244 * 1024));
    assert_eq!(memory.available(), Some(22_670_200 * 1024));
    assert_eq!(memory.buffers(), Some(54_720 * 1024));
    assert_eq!(memory.cached(), Some(2_613_092 * 1024));
    assert_eq!(memory.swap_total(), Some(0));
    assert_eq!(memory.iter().next(), Some(("MemTotal", 24_684_084 * 1024)));
    assert_eq!(memory.skipped.lines, 0);
    let old = meminfo::read(&old()).expect("read");
    assert_eq!((old.available(), old.slab_reclaimable()), (None, Some(123_456 * 1024)));
    assert_eq!(
        (old.hugepages_total(), old.hugepages_free(), old.hugepages_reserved()),
        (Some(4), Some(3), Some(1))
    );
    assert_eq!(old.hugepage_size(), Some(2 << 20));
}

#[test]
fn load_and_uptime() {
    let load = loadavg::read(&recorded()).expect("read");
    assert_eq!((load.one_minute, load.five_minutes, load.fifteen_minutes), (6.17, 4.65, 3.48));
    assert_eq!((load.runnable, load.threads), (Some(18), Some(778)));
    let uptime = uptime::read(&recorded()).expect("read");
    assert_eq!((uptime.up, uptime.idle), (13144.79, Some(9488.82)));
}

#[test]
fn how_many_cpus_there_are() {
    let topology = cpu_topology::read(&recorded()).expect("read");
    assert_eq!((topology.logical, topology.packages), (2, Some(1)));
    assert_eq!(cpufreq::read(&recorded()).expect("read"), []);
}

#[test]
fn what_the_disks_did() {
    let disks = diskstats::read(&recorded()).expect("read");
    assert_eq!((disks.disks.len(), disks.skipped.lines), (10, 0));
    let vda = disks.disks.iter().find(|disk| &*disk.name == "vda").expect("vda");
    assert_eq!((vda.major, vda.minor, vda.in_flight), (254, 0, 0));
    let read = Transfers {
        operations: 3_834_474,
        merged: 149_018,
        bytes: 184_307_050 * 512,
        time: 14_204.002,
    };
    let write = Transfers {
        operations: 855_871,
        merged: 736_010,
        bytes: 250_299_144 * 512,
        time: 2122.153,
    };
    let discard =
        Transfers { operations: 466_035, merged: 53, bytes: 225_163_688 * 512, time: 101.721 };
    assert_eq!((vda.read, vda.write, vda.discard), (read, write, Some(discard)));
    assert_eq!((vda.io_time, vda.weighted_io_time), (542.704, 16_442.665));
    assert_eq!(vda.flush, Some(Flushes { operations: 147_976, time: 14.787 }));
    let old = diskstats::read(&old()).expect("read").disks;
    assert_eq!((old.len(), old[2].in_flight, old[0].discard, old[0].flush), (3, 2, None, None));
}

#[test]
fn what_is_mounted() {
    let mounts = mounts::read(&recorded()).expect("read");
    assert_eq!((mounts.mounts.len(), mounts.skipped.lines), (19, 0));
    let devices = mounts::device_types(&recorded()).expect("read");
    assert!(
        devices.contains("ext4") && devices.contains("btrfs") && !devices.contains("tmpfs"),
        "{devices:?}"
    );
    let on_devices =
        mounts::read_kept(&recorded(), |fs_type, _| devices.contains(fs_type)).expect("read");
    let [top] = &on_devices.mounts[..] else { panic!("one: {on_devices:?}") };
    assert_eq!(
        (&*top.mount_point, &*top.source, &*top.fs_type, top.device),
        ("/", "/dev/vda", "ext4", (254, 0))
    );
    assert!(!top.is_read_only());
    let old = mounts::read(&old()).expect("read").mounts;
    let nfs = old.iter().find(|mount| &*mount.fs_type == "nfs4").expect("the share");
    assert_eq!(
        (&*nfs.mount_point, &*nfs.source, nfs.is_read_only()),
        ("/mnt/my share", "nas:/export", true)
    );
}

#[test]
fn what_the_network_did() {
    let root = recorded();
    let interfaces = net_dev::read(&root).expect("read").interfaces;
    assert_eq!(
        interfaces.iter().map(|one| &*one.name).collect::<Vec<_>>(),
        ["lo", "ifb0", "ifb1", "eth0"]
    );
    let eth0 = &interfaces[3];
    assert_eq!((eth0.receive.bytes, eth0.receive.packets), (781_195_307, 45_251));
    assert_eq!((eth0.transmit.bytes, eth0.transmit.packets), (3_273_645, 31_512));
    let snmp = net_counters::snmp(&root).expect("read");
    assert_eq!(snmp.get("Tcp", "RetransSegs"), Some(373));
    assert_eq!(snmp.get("Tcp", "MaxConn"), Some(-1));
    let netstat = net_counters::netstat(&root).expect("read");
    assert_eq!((netstat.get("TcpExt", "TW"), netstat.skipped.lines), (Some(32_594), 0));
    assert_eq!(net_counters::snmp6(&root).expect("read").get("Ip6", "InReceives"), Some(3));
    let states: Vec<_> =
        sockets::tcp4(&root).expect("read").iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(states, [("LISTEN", 1)]);
    assert_eq!(sockets::tcp6(&root).expect("read").states, [0; 12]);
    assert_eq!(sockets::udp4(&root).expect("read").sockets, 0);
    let sockstat = sockstat::read(&root).expect("read");
    assert_eq!(
        (sockstat.used, sockstat.get("TCP").and_then(|tcp| tcp.allocated)),
        (Some(15), Some(159))
    );
    assert_eq!(
        sockstat::read6(&root).expect("read").get("UDP6").and_then(|udp| udp.in_use),
        Some(0)
    );
    let softnet = softnet::read(&root).expect("read");
    let processed: Vec<_> = softnet.cpus.iter().map(|cpu| (cpu.cpu, cpu.dropped)).collect();
    assert_eq!(processed, [(0, 0), (1, 0)]);
    assert_eq!(
        arp::read(&root).expect("read").entries.into_iter().collect::<Vec<_>>(),
        [("eth0".into(), 1)]
    );
    let conntrack = conntrack::read(&root).expect("read");
    assert_eq!((conntrack.entries, conntrack.max), (0, Some(262_144)));
}

#[test]
fn paging_and_swap() {
    let vmstat = vmstat::read(&recorded()).expect("read");
    assert_eq!(
        (vmstat.page_faults(), vmstat.major_page_faults()),
        (Some(372_912_766), Some(126_458))
    );
    assert_eq!(vmstat.paged_in_bytes(), Some(92_203_804 * 1024));
    assert_eq!(
        (vmstat.swapped_in_pages(), vmstat.oom_kills(), vmstat.skipped.lines),
        (Some(0), Some(0), 0)
    );
    assert!(swaps::read(&recorded()).expect("read").swaps.is_empty());
    let swap = &swaps::read(&old()).expect("read").swaps[0];
    assert_eq!((&*swap.name, swap.size, swap.used), ("/dev/dm-1", 2_097_148 * 1024, 0));
}

#[test]
fn what_is_waited_for_and_what_is_short() {
    let root = recorded();
    let cpu = pressure::read(&root, PressureKind::Cpu).expect("read");
    let some = cpu.some.expect("some");
    assert_eq!(some.total, 4_245.938_252);
    assert!((some.average_10s - 0.7647).abs() < 1e-12);
    assert!(pressure::read(&root, PressureKind::Irq).expect_err("not in this kernel").is_missing());
    let files = file_handles::read(&root).expect("read");
    assert_eq!((files.allocated, files.max), (2607, 2_466_170));
    let entropy = entropy::read(&root).expect("read");
    assert_eq!((entropy.available, entropy.pool), (256, Some(256)));
}
