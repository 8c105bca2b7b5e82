//! Every collector over a host made of files, and over the machine that the test runs on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use hawsepipe_collect::reading::{Number, Reading, read};
use hawsepipe_collect::{
    Choice, CollectError, Globs, Metric, Scope, Sources, ValueType, find, list, list_of,
};
use hawsepipe_host::HostRoot;
use hawsepipe_model::otlp::Instrument;

const BOOT: u64 = 1_700_000_000;

/// A host with one or two of everything.
const FILES: &[(&str, &str)] = &[
    (
        "proc/stat",
        "cpu  300 20 100 5000 40 6 7 8 0 0\n\
         cpu0 200 10 60 2500 30 4 5 6 0 0\n\
         cpu1 100 10 40 2500 10 2 2 2 0 0\n\
         intr 1\nctxt 2\nbtime 1700000000\nprocesses 4321\nprocs_running 3\nprocs_blocked 1\n\
         softirq 99 11 12 13 14 15 16 17 18 19 20\n",
    ),
    ("proc/loadavg", "0.50 1.25 2.00 3/100 999\n"),
    ("proc/uptime", "1234.50 2000.00\n"),
    (
        "proc/meminfo",
        "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nBuffers: 50 kB\nCached: 300 kB\n\
         Shmem: 20 kB\nSReclaimable: 30 kB\nSUnreclaim: 10 kB\nDirty: 5 kB\nHugePages_Total: 4\n\
         HugePages_Free: 3\nHugePages_Rsvd: 1\nHugePages_Surp: 0\nHugepagesize: 2048 kB\n",
    ),
    (
        "proc/vmstat",
        "pgpgin 400\npgpgout 800\npswpin 3\npswpout 4\npgfault 1000\npgmajfault 10\noom_kill 6\n",
    ),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb1 partition 1024 256 -2\n"),
    (
        "proc/diskstats",
        "   8 0 sda 10 1 2000 30 20 2 4000 60 5 70 80 0 0 0 0 0 0\n\
         \x20  8 16 sdb 1 0 8 1 1 0 8 1 0 1 1 11 12 13 14 16 17\n\
         \x20  7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n",
    ),
    ("proc/filesystems", "nodev\tproc\n\text4\n"),
    (
        "proc/1/mountinfo",
        "20 1 0:5 / /proc rw - proc proc rw\n\
         21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
         22 21 8:1 /var/lib/kubelet /bound rw - ext4 /dev/sda1 rw\n",
    ),
    (
        "proc/1/net/dev",
        "Inter-|   Receive   |  Transmit\n face |bytes packets|bytes packets\n\
         eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 9 0 0\n  lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n",
    ),
    (
        "proc/1/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue\n\
         \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n",
    ),
    (
        "proc/1/net/tcp6",
        "  sl  local_address rem_address   st tx_queue rx_queue\n\
         \x20  0: 0000:1F90 0000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n",
    ),
    (
        "proc/1/net/arp",
        "IP address HW type Flags HW address Mask Device\n\
         10.0.0.1 0x1 0x2 02:00:00:00:00:01 * eth0\n10.0.0.2 0x1 0x0 00:00:00:00:00:00 * eth0\n",
    ),
    ("proc/1/net/ip_vs_stats", "Total\nConns\n 1 2 3 4 ff\n"),
    ("proc/1/net/snmp", "Tcp: MaxConn ActiveOpens CurrEstab RetransSegs\nTcp: -1 5 6 7\n"),
    (
        "proc/1/net/netstat",
        "TcpExt: ListenDrops TCPPureAcks\nTcpExt: 8 9\nIpExt: InOctets\nIpExt: 10\n",
    ),
    ("proc/1/net/snmp6", "Udp6InDatagrams 11\n"),
    ("proc/1/net/sockstat", "sockets: used 30\nTCP: inuse 12 orphan 1 tw 3 alloc 19 mem 2\n"),
    ("proc/1/net/sockstat6", "UDP6: inuse 4\n"),
    (
        "proc/1/net/udp",
        "  sl  local_address rem_address   st tx_queue rx_queue\n\
         \x20  0: 0100007F:1F90 00000000:0000 07 00000010:00000020 00:0 0 0 0 1 2 3 5\n",
    ),
    ("proc/1/net/softnet_stat", "0a 0b 0c 0 0 0 0 0 0 0d 0e 0f 1\n"),
    ("proc/schedstat", "version 15\ncpu0 0 0 0 0 0 0 2000000000 3000000000 7\n"),
    (
        "proc/mdstat",
        "Personalities : [raid1]\nmd0 : active raid1 sda1[0] sdb1[1](F)\n\
         \x20     1000 blocks [2/1] [U_]\n      [=>...]  recovery =  8.5% (1/2) finish=1min\n\
         md1 : inactive raid1 sdc1[0] sdd1[1](S)\n      1000 blocks [2/2] [UU]\n",
    ),
    (
        "proc/spl/kstat/zfs/arcstats",
        "h\nh\nhits 4 5\nmisses 4 6\nsize 4 700\nc 4 800\nc_min 4 1\nc_max 4 900\n",
    ),
    ("proc/sys/kernel/ostype", "Linux\n"),
    ("proc/sys/kernel/osrelease", "6.18.0\n"),
    ("proc/sys/kernel/version", "#1\n"),
    ("proc/sys/kernel/pid_max", "4194304\n"),
    ("proc/sys/kernel/threads-max", "1000\n"),
    ("proc/sys/kernel/hung_task_detect_count", "1\n"),
    ("proc/sys/kernel/random/entropy_avail", "256\n"),
    ("proc/sys/kernel/random/poolsize", "256\n"),
    ("proc/1/net/stat/nf_conntrack", "entries searched found\n0000000a 0 1\n0000000a 0 2\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    (
        "proc/1/net/rpc/nfs",
        "net 30 10 20 2\nrpc 100 3 4\nproc3 22 0 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n\
         proc4 3 0 11 12\n",
    ),
    (
        "proc/1/net/rpc/nfsd",
        "rc 1 2 3\nfh 4 0 0 0 0\nio 500 600\nth 8 0\nnet 9 4 5 6\nrpc 70 6 1 2 3\n\
         proc3 22 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nproc4 2 1 19\nproc4ops 5 0 0 0 21 22\n",
    ),
    ("proc/sys/fs/file-nr", "1024 0 9000\n"),
    (
        "proc/pressure/cpu",
        "some avg10=1.00 avg60=2.00 avg300=3.00 total=4000000\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ),
    (
        "proc/pressure/memory",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=5000000\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=6000000\n",
    ),
    (
        "proc/pressure/io",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=7000000\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=8000000\n",
    ),
    (
        "proc/1/stat",
        "1 (in it) S 0 1 1 0 -1 4194560 100 200 5 300 1000 500 0 0 20 0 3 0 200 8192 2 0 0 0\n",
    ),
    (
        "proc/1/status",
        "Name:\tin it\nUid:\t0\t0\t0\t0\nSigQ:\t0/100\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t8\n",
    ),
    ("proc/1/cmdline", "/sbin/init\0--secret\0"),
    (
        "proc/1/io",
        "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 0\n",
    ),
    ("proc/1/fd/0", ""),
    ("sys/devices/system/cpu/online", "0-1\n"),
    ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
    ("sys/devices/system/cpu/cpu1/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu1/topology/core_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "3000000\n"),
    ("sys/devices/system/edac/mc/mc0/ce_count", "3\n"),
    ("sys/devices/system/edac/mc/mc0/ue_count", "1\n"),
    ("sys/devices/system/edac/mc/mc0/ce_noinfo_count", "4\n"),
    ("sys/devices/system/edac/mc/mc0/csrow1/ce_count", "2\n"),
    ("sys/devices/system/edac/mc/mc0/csrow1/ue_count", "1\n"),
    ("sys/devices/system/node/node0/meminfo", "Node 0 MemFree: 7 kB\nNode 0 HugePages_Total: 9\n"),
    ("sys/devices/system/node/node0/numastat", "numa_hit 8\nnuma_miss 0\n"),
    ("sys/class/net/bonding_masters", "bond0\n"),
    ("sys/class/net/bond0/bonding/slaves", "eth0 eth1\n"),
    ("sys/class/net/eth0/bonding_slave/mii_status", "up\n"),
    ("sys/class/net/eth0/operstate", "up\n"),
    ("sys/class/net/eth0/carrier", "1\n"),
    ("sys/class/net/eth0/carrier_changes", "2\n"),
    ("sys/class/net/eth0/speed", "10000\n"),
    ("sys/class/net/eth0/mtu", "1500\n"),
    ("sys/class/net/eth0/tx_queue_len", "1000\n"),
    ("sys/class/nvme/nvme0/model", "Fast\n"),
    ("sys/class/nvme/nvme0/state", "resetting\n"),
    ("sys/class/watchdog/watchdog0/bootstatus", "32\n"),
    ("sys/class/watchdog/watchdog0/timeout", "60\n"),
    ("sys/class/dmi/id/sys_vendor", "Someone\n"),
    ("sys/class/dmi/id/product_name", "Something\n"),
    ("sys/class/dmi/id/bios_version", "1.2\n"),
    ("sys/fs/selinux/enforce", "1\n"),
    ("sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n"),
    ("sys/class/infiniband/mlx5_0/ports/1/rate", "100 Gb/sec (4X EDR)\n"),
    ("sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data", "1000\n"),
    ("sys/class/infiniband/mlx5_0/ports/1/counters/port_xmit_packets", "3\n"),
    ("sys/class/infiniband/mlx5_0/ports/1/counters/link_downed", "4\n"),
    ("sys/class/fc_host/host0/port_state", "Online\n"),
    ("sys/class/fc_host/host0/statistics/rx_words", "0x10\n"),
    ("sys/class/fc_host/host0/statistics/tx_frames", "0x11\n"),
    ("sys/class/fc_host/host0/statistics/invalid_crc_count", "0x12\n"),
    ("sys/class/hwmon/hwmon0/name", "chip\n"),
    ("sys/class/hwmon/hwmon0/temp1_input", "48000\n"),
    ("sys/class/hwmon/hwmon0/temp1_label", "Core 0\n"),
    ("sys/class/hwmon/hwmon0/temp1_crit", "100000\n"),
    ("sys/class/hwmon/hwmon0/fan1_input", "1200\n"),
    ("sys/class/hwmon/hwmon0/humidity1_input", "40000\n"),
    ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
    ("sys/class/thermal/thermal_zone0/temp", "27800\n"),
    ("sys/class/thermal/cooling_device0/type", "Processor\n"),
    ("sys/class/thermal/cooling_device0/cur_state", "1\n"),
    ("sys/class/thermal/cooling_device0/max_state", "3\n"),
    ("sys/class/power_supply/BAT0/type", "Battery\n"),
    ("sys/class/power_supply/BAT0/online", "1\n"),
    ("sys/class/power_supply/BAT0/capacity", "80\n"),
    ("sys/class/power_supply/BAT0/voltage_now", "12000000\n"),
    ("sys/class/power_supply/BAT0/current_now", "2000000\n"),
    ("sys/class/power_supply/BAT0/power_now", "24000000\n"),
    ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
    ("sys/class/powercap/intel-rapl:0/energy_uj", "2500000\n"),
    ("sys/fs/xfs/sda1/stats/stats", "extent_alloc 1 2 3 4\ndir 5 6 7 8\nrw 9 10\nxpc 11 12 13\n"),
    ("sys/fs/btrfs/0abb23a9/allocation/global_rsv_size", "16\n"),
    ("sys/fs/btrfs/0abb23a9/allocation/data/total_bytes", "100\n"),
    ("sys/fs/btrfs/0abb23a9/allocation/data/bytes_used", "60\n"),
    ("sys/fs/btrfs/0abb23a9/allocation/data/disk_total", "200\n"),
    ("sys/fs/btrfs/0abb23a9/devinfo/1/error_stats", "write_errs 1\nread_errs 2\n"),
];

fn host() -> (tempfile::TempDir, HostRoot) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in FILES {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = at(folder.path());
    (folder, root)
}

fn at(folder: &Path) -> HostRoot {
    HostRoot::new(folder.join("proc"), folder.join("sys"), Some(folder.into()))
}

/// What these read is on every Linux: that it is missing is a failure. It is none for the others.
const ON_EVERY_HOST: [&str; 11] = [
    "cpu",
    "disk",
    "file_handles",
    "kernel",
    "load",
    "memory",
    "network",
    "paging",
    "process",
    "processes",
    "system",
];

/// What is told of pods and of jobs has tests of its own (`pods.rs`, `heartbeats.rs`).
const NOT_OF_FILES: [&str; 4] = ["container", "job", "kubelet", "pod"];

/// Every other collector with every metric.
fn everything() -> Vec<Choice> {
    let all = list_of(Scope::Node).filter(|collector| !NOT_OF_FILES.contains(&collector.name));
    let all = all.map(|collector| Choice {
        wanted: vec![true; collector.metrics.len()],
        ..Choice::of(collector, Duration::from_secs(15))
    });
    all.collect()
}

fn read_all(root: HostRoot, choices: &[Choice]) -> Vec<Reading> {
    read(Sources::new(root), choices, Duration::from_millis(20))
}

/// Values by `metric{value,value}`.
fn by_series(readings: &[Reading]) -> BTreeMap<String, f64> {
    let points = readings.iter().flat_map(|reading| &reading.points);
    let named = points.map(|point| {
        let values: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
        let value = hawsepipe_collect::reading::as_f64(point.value);
        (format!("{}{{{}}}", point.metric.name, values.join(",")), value)
    });
    let (all, count) =
        (named.collect::<Vec<_>>(), readings.iter().map(|it| it.points.len()).sum::<usize>());
    let map: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(map.len(), count, "a series twice");
    map
}

#[test]
fn every_collector_tells_what_it_declares_of_a_host_that_has_it_all() {
    let (_folder, root) = host();
    let readings = read_all(root, &everything());
    assert_eq!(readings.len(), list_of(Scope::Node).count() - NOT_OF_FILES.len());
    for reading in &readings {
        let name = reading.collector.name;
        assert!(reading.problem.is_none(), "{name}: {:?}", reading.problem);
        let told: BTreeSet<_> = reading.points.iter().map(|point| point.metric.name).collect();
        let mut declared: BTreeSet<_> =
            reading.collector.metrics.iter().map(|metric| metric.name).collect();
        // Nothing moves in a folder of files: no time passed on its CPUs.
        declared.remove("system.cpu.utilization");
        assert_eq!(told, declared, "{name}");
        for point in &reading.points {
            let Metric { name, attributes, value, instrument, .. } = *point.metric;
            let keys: Vec<_> = point.attributes.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, attributes, "{name}");
            assert!(point.attributes.iter().all(|(_, value)| !value.is_empty()), "{name}");
            let kind = match point.value {
                Number::Int(_) => ValueType::Int,
                Number::Double(_) => ValueType::Double,
            };
            assert_eq!(kind, value, "{name}");
            let started = if point.resource.is_some() { BOOT + 2 } else { BOOT };
            let start = if instrument == Instrument::Gauge { 0 } else { started * 1_000_000_000 };
            assert_eq!(point.start_unix_nano, start, "{name}");
        }
    }
}

#[test]
fn the_numbers_are_those_of_the_files() {
    let (_folder, root) = host();
    let series = by_series(&read_all(root, &everything()));
    for (name, value) in [
        ("system.cpu.time{cpu0,user}", 2.0),
        ("system.cpu.time{cpu1,wait}", 0.1),
        ("system.cpu.time{cpu0,interrupt}", 0.04),
        ("system.cpu.frequency{cpu0}", 2e9),
        ("system.cpu.logical.count{}", 2.0),
        ("system.cpu.physical.count{}", 1.0),
        ("system.cpu.load_average.5m{}", 1.25),
        ("system.memory.usage{used}", 400.0 * 1024.0),
        ("system.memory.usage{cached}", 330.0 * 1024.0),
        ("system.memory.utilization{used}", 0.4),
        ("system.memory.linux.hugepages.usage{used}", 1.0),
        ("system.memory.linux.hugepages.utilization{free}", 0.75),
        ("system.paging.usage{/dev/sdb1,used}", 256.0 * 1024.0),
        ("system.paging.utilization{/dev/sdb1,free}", 0.75),
        ("system.paging.operations{page_in,major}", 3.0),
        ("system.paging.faults{minor}", 990.0),
        ("system.disk.io{sda,read}", 2000.0 * 512.0),
        ("system.disk.operation_time{sda,write}", 0.06),
        ("system.disk.io_time{sda}", 0.07),
        ("system.disk.pending_operations{sda}", 5.0),
        ("system.disk.merged{sda,write}", 2.0),
        ("system.network.io{eth0,transmit}", 500.0),
        ("system.network.dropped{eth0,receive}", 4.0),
        ("system.network.errors{eth0,transmit}", 7.0),
        ("system.network.connections{tcp,LISTEN}", 2.0),
        ("system.network.connections{tcp,ESTABLISHED}", 0.0),
        ("system.linux.arp.entries{eth0}", 2.0),
        ("system.linux.bonding.members{bond0,down}", 1.0),
        ("system.linux.btrfs.usage{0abb23a9,data,free}", 40.0),
        ("system.linux.btrfs.disk.usage{0abb23a9,data}", 200.0),
        ("system.linux.btrfs.device.errors{0abb23a9,1,read}", 2.0),
        ("system.linux.conntrack.events{found}", 3.0),
        ("system.linux.cpu.frequency.limit{cpu0,max}", 3e9),
        ("system.linux.disk.operations{sdb,flush}", 16.0),
        ("system.linux.disk.discarded{sdb}", 13.0 * 512.0),
        ("system.linux.disk.operation_time{sdb,discard}", 0.014),
        ("system.linux.meminfo{Shmem}", 20.0 * 1024.0),
        ("system.linux.network.events{eth0,transmit,collisions}", 9.0),
        ("hw.errors{mc0,memory,corrected}", 3.0),
        ("system.linux.edac.row.errors{mc0,csrow1,corrected}", 2.0),
        ("system.linux.edac.row.errors{mc0,unknown,corrected}", 4.0),
        ("system.linux.fibre_channel.io{host0,receive}", 64.0),
        ("system.linux.fibre_channel.frames{host0,transmit}", 17.0),
        ("system.linux.fibre_channel.errors{host0,invalid_crc_count}", 18.0),
        ("hw.status{nvme0,physical_disk,Fast,degraded}", 1.0),
        ("hw.status{nvme0,physical_disk,Fast,ok}", 0.0),
        ("system.linux.watchdog.boot_status{watchdog0}", 32.0),
        ("system.linux.machine{Someone,Something,1.2}", 1.0),
        ("system.linux.infiniband.io{mlx5_0,1,receive}", 4000.0),
        ("system.linux.infiniband.speed{mlx5_0,1}", 1e11),
        ("system.linux.infiniband.events{mlx5_0,1,link_downed}", 4.0),
        ("system.linux.network.up{eth0}", 1.0),
        ("system.linux.network.speed{eth0}", 1e10),
        ("system.linux.ipvs.connections{}", 1.0),
        ("system.linux.ipvs.io{transmit}", 255.0),
        ("system.linux.context_switches{}", 2.0),
        ("system.linux.soft_interrupts{NET_RX}", 14.0),
        ("system.linux.memory.oom_kills{}", 6.0),
        ("system.linux.hung_tasks{}", 1.0),
        ("system.linux.md.state{md0,recovery}", 1.0),
        ("system.linux.md.disks{md0,failed}", 1.0),
        ("system.linux.md.disks{md0,active}", 1.0),
        ("system.linux.md.disks{md1,active}", 0.0),
        ("system.linux.md.state{md1,inactive}", 1.0),
        ("system.linux.md.disks.required{md0}", 2.0),
        ("system.linux.md.limit{md0}", 1000.0 * 1024.0),
        ("system.linux.md.progress{md0}", 0.085),
        ("system.linux.netstat{Tcp,RetransSegs}", 7.0),
        ("system.linux.netstat{TcpExt,ListenDrops}", 8.0),
        ("system.linux.netstat{Udp6,InDatagrams}", 11.0),
        ("system.linux.netstat.tcp.open{}", 6.0),
        ("system.linux.numa.memory{0,MemFree}", 7.0 * 1024.0),
        ("system.linux.numa.pages{0,hit}", 8.0),
        ("system.linux.schedstat.time{cpu0,waiting}", 3.0),
        ("hw.temperature{hwmon0/temperature 1,Core 0}", 48.0),
        ("hw.temperature{thermal_zone0,acpitz}", 27.8),
        ("hw.temperature.limit{hwmon0/temperature 1,Core 0,high.critical}", 100.0),
        ("hw.fan.speed{hwmon0/fan 1,chip}", 1200.0),
        ("hw.voltage{BAT0,Battery}", 12.0),
        ("hw.energy{intel-rapl:0,package-0}", 2.5),
        ("hw.battery.charge{BAT0,Battery}", 0.8),
        ("hw.humidity{hwmon0/humidity 1,chip}", 0.4),
        ("system.linux.cooling.level{cooling_device0,Processor}", 1.0),
        ("system.linux.sockets.used{}", 30.0),
        ("system.linux.sockets.count{TCP,time_wait}", 3.0),
        ("system.linux.sockets.count{UDP6,in_use}", 4.0),
        ("system.linux.sockets.udp.queued{UDP,receive}", 32.0),
        ("system.linux.sockets.udp.dropped{UDP}", 5.0),
        ("system.linux.softnet.dropped{cpu1}", 11.0),
        ("system.linux.softnet.backlog{cpu1}", 15.0),
        ("system.linux.xfs.io{sda1,write}", 12.0),
        ("system.linux.xfs.directory.operations{sda1,remove}", 7.0),
        ("system.linux.xfs.extents{sda1,freed}", 3.0),
        ("system.linux.zfs.arc.requests{hit}", 5.0),
        ("system.linux.zfs.arc.limit{max}", 900.0),
        ("system.network.conntrack.count{}", 10.0),
        ("system.network.conntrack.max{}", 262_144.0),
        ("system.processes.count{running}", 3.0),
        ("system.processes.count{sleeping}", 1.0),
        ("system.processes.created{}", 4321.0),
        ("system.uptime{}", 1234.5),
        ("system.linux.pressure.time{memory,full}", 6.0),
        ("system.linux.pressure.average{cpu,some,300s}", 0.03),
        ("system.linux.file_handles.count{}", 1024.0),
        ("nfs.client.net.count{tcp}", 20.0),
        ("nfs.client.rpc.retransmit.count{}", 3.0),
        ("nfs.client.procedure.count{3,GETATTR}", 7.0),
        ("nfs.client.operation.count{4,WRITE}", 12.0),
        ("nfs.server.procedure.count{4,COMPOUND}", 19.0),
        ("nfs.server.operation.count{4,CLOSE}", 22.0),
        ("nfs.server.io{receive}", 500.0),
        ("nfs.server.rpc.count{client}", 3.0),
        ("nfs.server.repcache.requests{nocache}", 3.0),
        ("nfs.server.thread.count{}", 8.0),
        ("process.cpu.time{user}", 10.0),
        ("process.memory.virtual{}", 8192.0),
        ("process.disk.io{write}", 6.0),
        ("process.uptime{}", 1232.5),
    ] {
        let found = series.get(name).unwrap_or_else(|| panic!("no {name} in {series:#?}"));
        assert!((found - value).abs() < 1e-9, "{name} is {found}, not {value}");
    }
    assert!(!series.keys().any(|name| name.contains("TCPPureAcks")), "a counter of many");
    assert!(!series.keys().any(|name| name.contains("loop0")), "a device that does nothing");
    assert!(!series.keys().any(|name| name.contains("/bound")), "a folder mounted a second time");
}

#[test]
fn a_process_is_named_by_its_resource_and_its_arguments_are_not_told() {
    let (_folder, root) = host();
    let process = Choice::of(find("process").unwrap(), Duration::from_secs(15));
    let readings = read_all(root, &[process]);
    let resource = readings[0].points[0].resource.clone().unwrap();
    assert_eq!(resource.str("process.executable.name"), Some("in it"));
    assert_eq!(resource.str("process.command"), Some("/sbin/init"));
    assert!(!format!("{resource:?}").contains("secret"));
}

#[test]
fn what_is_not_wanted_is_not_told() {
    let (_folder, root) = host();
    let defaults = Choice::defaults(Scope::Node, Duration::from_secs(15));
    for reading in read_all(root, &defaults) {
        assert!(reading.collector.default);
        assert!(reading.points.iter().all(|point| point.metric.default));
    }
    let (_folder, root) = host();
    let mut network = Choice::of(find("network").unwrap(), Duration::from_secs(15));
    network.options.select = Globs::new(&[], &["lo".to_owned()]).unwrap();
    let series = by_series(&read_all(root, &[network]));
    assert!(series.contains_key("system.network.io{eth0,receive}"));
    assert!(!series.contains_key("system.network.io{lo,receive}"));
}

#[test]
fn a_host_without_any_of_it_costs_each_collector_itself_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let root = HostRoot::new(folder.path().join("proc"), folder.path().join("sys"), None);
    for reading in read_all(root, &everything()) {
        assert!(reading.points.is_empty());
        let name = reading.collector.name;
        let problem = reading.problem.unwrap_or_else(|| panic!("{name} says nothing"));
        let fails = !matches!(problem, CollectError::Unavailable(_));
        assert_eq!(fails, ON_EVERY_HOST.contains(&name), "{name}");
    }
}

#[test]
fn garbage_in_every_file_makes_no_collector_panic() {
    for garbage in ["", "\0\0\0", "cpu x\n", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", "-1\n"]
    {
        let (folder, root) = host();
        for (path, _) in FILES {
            fs::write(folder.path().join(path), garbage).unwrap();
        }
        for reading in read_all(root, &everything()) {
            let problem = reading.problem.map(|problem| problem.to_string()).unwrap_or_default();
            assert!(!problem.contains("panicked"), "{}: {problem}", reading.collector.name);
        }
    }
}

#[test]
fn this_machine_is_told_of_without_a_problem() {
    let readings = read_all(HostRoot::here(), &everything());
    let problems: Vec<_> =
        readings.iter().filter_map(|it| Some((it.collector.name, it.problem.as_ref()?))).collect();
    let failed = problems.iter().filter(|(_, it)| !matches!(it, CollectError::Unavailable(_)));
    assert_eq!(failed.count(), 0, "{problems:?}");
    let points = readings.iter().filter(|it| it.collector.name != "process");
    let series = by_series(&points.map(clone).collect::<Vec<_>>());
    assert!(series["system.uptime{}"] > 0.0);
    assert!(series["system.memory.utilization{used}"] < 1.0);
    let utilization = |(name, value): (&String, &f64)| {
        name.starts_with("system.cpu.utilization{cpu0,").then_some(*value)
    };
    let whole: f64 = series.iter().filter_map(utilization).sum();
    assert!((whole - 1.0).abs() < 0.01 || whole == 0.0, "the states of a CPU add up: {whole}");
}

fn clone(reading: &Reading) -> Reading {
    Reading {
        collector: reading.collector,
        points: reading.points.clone(),
        problem: reading.problem.clone(),
    }
}

#[test]
fn declarations_are_in_order() {
    let (mut names, mut on) = (BTreeSet::new(), BTreeSet::new());
    for collector in list() {
        let needs_nothing = collector.name == "job";
        assert!(!collector.reads.is_empty(), "{}", collector.name);
        assert_eq!(collector.needs.is_empty(), needs_nothing, "{}", collector.name);
        for metric in collector.metrics {
            let named = (metric.name, collector.scope() == Scope::Cluster);
            assert!(names.insert(named), "{} is declared twice", metric.name);
            // What a node tells and the leader tells, too, would count twice; the jobs of hosts are none of the cluster's.
            let others = collector.name == "cluster_heartbeats";
            let is_on = collector.default && metric.default && !others;
            let first = !is_on || on.insert(metric.name);
            assert!(first, "{} is on twice", metric.name);
            assert!(metric.description().len() > 10, "{}", metric.name);
            assert!(!metric.description().ends_with('.'), "{}", metric.name);
        }
    }
    let sorted: Vec<_> = list().iter().map(|collector| collector.name).collect();
    assert!(sorted.is_sorted(), "{sorted:?}");
}

/// Recorded from the Collector; what its numbers mean differently stands in `agent/docs/COLLECTOR.md`.
#[test]
fn what_the_collector_sends_is_declared_as_there_and_on_where_it_is_on_there() {
    let recorded = include_str!("fixtures/collector-0.159.0.txt");
    let mut compared = 0;
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let [name, instrument, value, unit, attributes, on] = *line.split(' ').collect::<Vec<_>>()
        else {
            panic!("six words: {line}")
        };
        let mut all = list().iter().flat_map(|collector| collector.metrics);
        let metric = all.find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not declared"));
        let mut keys = metric.attributes.to_vec();
        keys.sort_unstable();
        let keys = if keys.is_empty() { "-".to_owned() } else { keys.join(",") };
        assert_eq!(
            (metric.instrument.name(), metric.value.name(), metric.unit, keys.as_str()),
            (instrument, value, unit, attributes),
            "{name}"
        );
        assert!(metric.default || on == "off", "{name} is on there");
        compared += 1;
    }
    assert_eq!(compared, 139);
}
