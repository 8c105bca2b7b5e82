//! What sysfs says of devices, on trees made by its formats: most of it is on no virtual machine.

use std::fs;
use std::os::unix::fs::symlink;

use hawsepipe_host::btrfs::{Allocation, BtrfsDevice};
use hawsepipe_host::edac::{MemoryController, MemoryRow};
use hawsepipe_host::hardware::Selinux;
use hawsepipe_host::hwmon::SensorKind;
use hawsepipe_host::numa::Allocations;
use hawsepipe_host::thermal::{Cooler, Zone};
use hawsepipe_host::*;

use crate::support::{Tree, fixture};

fn with(files: &[(&str, &str)]) -> Tree {
    let tree = Tree::new();
    for (path, text) in files {
        tree.write(path, format!("{text}\n"));
    }
    tree
}

#[test]
fn interfaces_tell_what_they_know() {
    let recorded = net_class::read(&fixture("linux-6.18-hybrid")).expect("read");
    let [eth0, lo] = &recorded[..] else { panic!("two: {recorded:?}") };
    assert_eq!((&*lo.name, lo.state.as_deref(), lo.is_up()), ("lo", Some("unknown"), true));
    assert_eq!((lo.mtu, lo.speed, lo.kind), (Some(65_536), None, Some(772)));
    assert_eq!((eth0.is_up(), eth0.carrier, eth0.mtu), (true, Some(true), Some(1400)));
    let tree = with(&[
        ("sys/class/net/bonding_masters", "bond0"),
        ("sys/class/net/eth1/speed", "25000"),
        ("sys/class/net/eth1/operstate", "down"),
        ("sys/class/net/eth1/carrier", "0"),
        ("sys/class/net/eth1/duplex", "full"),
        ("sys/class/net/eth1/carrier_changes", "7"),
        ("sys/class/net/eth2/speed", "-1"),
        ("sys/class/net/eth2/duplex", "unknown"),
    ]);
    let read = net_class::read(&tree.root()).expect("read");
    let [eth1, eth2] = &read[..] else { panic!("the list of bonds is none: {read:?}") };
    assert_eq!(
        (eth1.speed, eth1.is_up(), eth1.carrier),
        (Some(25_000_000_000), false, Some(false))
    );
    assert_eq!((eth1.duplex.as_deref(), eth1.carrier_changes), (Some("full"), Some(7)));
    assert_eq!((eth2.speed, eth2.duplex.as_deref(), eth2.carrier), (None, None, None));
}

#[test]
fn bonds_tell_which_of_their_links_are_up() {
    let tree = with(&[
        ("sys/class/net/bonding_masters", "bond1 bond0"),
        ("sys/class/net/bond0/bonding/slaves", "eth0 eth1"),
        ("sys/class/net/eth0/bonding_slave/mii_status", "up"),
        ("sys/class/net/eth1/bonding_slave/mii_status", "down"),
        ("sys/class/net/bond1/bonding/slaves", ""),
    ]);
    let bonds = bonding::read(&tree.root()).expect("read");
    assert_eq!(bonds.iter().map(|bond| &*bond.name).collect::<Vec<_>>(), ["bond0", "bond1"]);
    let members: Vec<_> = bonds[0].members.iter().map(|one| (&*one.name, one.is_up)).collect();
    assert_eq!(members, [("eth0", true), ("eth1", false)]);
    assert!(bonds[1].members.is_empty());
    assert!(bonding::read(&fixture("linux-6.18-hybrid")).expect_err("no bonds").is_missing());
}

#[test]
fn sensors_are_read_in_units_and_those_that_sleep_are_left_out() {
    let tree = with(&[
        ("sys/class/hwmon/hwmon1/name", "coretemp"),
        ("sys/class/hwmon/hwmon1/temp10_input", "-1500"),
        ("sys/class/hwmon/hwmon1/temp2_input", "48000"),
        ("sys/class/hwmon/hwmon1/temp2_label", "Core 0"),
        ("sys/class/hwmon/hwmon1/temp2_max", "80000"),
        ("sys/class/hwmon/hwmon1/temp2_crit", "100000"),
        ("sys/class/hwmon/hwmon1/temp3_input", ""),
        ("sys/class/hwmon/hwmon1/temp2_crit_alarm", "0"),
        ("sys/class/hwmon/hwmon1/fan1_input", "1200"),
        ("sys/class/hwmon/hwmon1/in0_input", "1250"),
        ("sys/class/hwmon/hwmon1/power1_average", "65000000"),
        ("sys/class/hwmon/hwmon1/uevent_input", "1"),
        ("sys/class/hwmon/hwmon2/name", "empty"),
        ("sys/devices/platform/old.7/temp1_input", "20000"),
    ]);
    fs::create_dir_all(tree.path("sys/class/hwmon/hwmon0")).expect("made");
    symlink("../../../devices/platform/old.7", tree.path("sys/class/hwmon/hwmon0/device"))
        .expect("linked");
    let chips = hwmon::read(&tree.root()).expect("read");
    let [old, core] = &chips[..] else { panic!("two: {chips:?}") };
    assert_eq!(
        (&*old.name, old.driver.as_deref(), old.device.as_deref()),
        ("hwmon0", None, Some("old.7"))
    );
    assert_eq!(old.sensors[0].value, 20.0);
    assert_eq!(core.driver.as_deref(), Some("coretemp"));
    let sensors: Vec<_> =
        core.sensors.iter().map(|one| (one.kind, one.number, one.value)).collect();
    let expected = [
        (SensorKind::Temperature, 2, 48.0),
        (SensorKind::Temperature, 10, -1.5),
        (SensorKind::Fan, 1, 1200.0),
        (SensorKind::Voltage, 0, 1.25),
        (SensorKind::Power, 1, 65.0),
    ];
    assert_eq!(sensors, expected);
    let first = &core.sensors[0];
    assert_eq!(
        (first.label.as_deref(), first.max, first.critical),
        (Some("Core 0"), Some(80.0), Some(100.0))
    );
}

#[test]
fn zones_and_coolers_are_read() {
    let tree = with(&[
        ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp"),
        ("sys/class/thermal/thermal_zone0/temp", "53500"),
        ("sys/class/thermal/thermal_zone1/type", "asleep"),
        ("sys/class/thermal/cooling_device0/type", "Processor"),
        ("sys/class/thermal/cooling_device0/cur_state", "2"),
        ("sys/class/thermal/cooling_device0/max_state", "10"),
    ]);
    let thermal = thermal::read(&tree.root()).expect("read");
    let zone =
        Zone { name: "thermal_zone0".into(), kind: "x86_pkg_temp".into(), temperature: 53.5 };
    assert_eq!(thermal.zones, [zone]);
    let cooler = Cooler {
        name: "cooling_device0".into(),
        kind: "Processor".into(),
        state: Some(2),
        max_state: Some(10),
    };
    assert_eq!(thermal.coolers, [cooler]);
}

#[test]
fn errors_of_memory_are_read_by_controller_and_row() {
    let tree = with(&[
        ("sys/devices/system/edac/mc/mc10/ce_count", "1"),
        ("sys/devices/system/edac/mc/mc10/ue_count", "0"),
        ("sys/devices/system/edac/mc/mc2/ce_count", "5"),
        ("sys/devices/system/edac/mc/mc2/ue_count", "2"),
        ("sys/devices/system/edac/mc/mc2/ce_noinfo_count", "3"),
        ("sys/devices/system/edac/mc/mc2/csrow0/ce_count", "4"),
        ("sys/devices/system/edac/mc/mc2/csrow0/ue_count", "1"),
        ("sys/devices/system/edac/mc/mc2/csrow1/ce_count", "x"),
        ("sys/devices/system/edac/mc/power/control", "auto"),
    ]);
    let controllers = edac::read(&tree.root()).expect("read");
    let second = MemoryController {
        number: 2,
        corrected: 5,
        uncorrected: 2,
        corrected_elsewhere: Some(3),
        uncorrected_elsewhere: None,
        rows: vec![MemoryRow { number: 0, corrected: 4, uncorrected: 1 }],
    };
    assert_eq!(controllers[0], second);
    assert_eq!(controllers[1].number, 10);
}

#[test]
fn memory_is_read_by_node() {
    let tree = with(&[
        (
            "sys/devices/system/node/node1/meminfo",
            "Node 1 MemTotal:       2048 kB\nNode 1 MemUsed: 24 kB\nNode 1 HugePages_Total:     5",
        ),
        ("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       1024 kB\nNode 0 garbage"),
        (
            "sys/devices/system/node/node0/numastat",
            "numa_hit 1\nnuma_miss 2\nnuma_foreign 3\ninterleave_hit 4\nlocal_node 5\nother_node 6",
        ),
        ("sys/devices/system/node/possible", "0-1"),
    ]);
    let nodes = numa::read(&tree.root()).expect("read");
    let [first, second] = &nodes[..] else { panic!("two: {nodes:?}") };
    assert_eq!(
        (first.number, first.memory.total(), first.memory.skipped.lines),
        (0, Some(1 << 20), 1)
    );
    let allocations =
        Allocations { hit: 1, miss: 2, foreign: 3, interleave_hit: 4, local: 5, other: 6 };
    assert_eq!((first.allocations, second.allocations), (Some(allocations), None));
    assert_eq!(
        (second.memory.get("MemUsed"), second.memory.hugepages_total()),
        (Some(24 * 1024), Some(5))
    );
}

#[test]
fn power_is_read_in_units() {
    let tree = with(&[
        ("sys/class/power_supply/BAT0/type", "Battery"),
        ("sys/class/power_supply/BAT0/status", "Discharging"),
        ("sys/class/power_supply/BAT0/capacity", "87"),
        ("sys/class/power_supply/BAT0/voltage_now", "12150000"),
        ("sys/class/power_supply/BAT0/current_now", "-2500000"),
        ("sys/class/power_supply/BAT0/energy_now", "36580000"),
        ("sys/class/power_supply/AC/type", "Mains"),
        ("sys/class/power_supply/AC/online", "1"),
        ("sys/class/powercap/intel-rapl/enabled", "1"),
        ("sys/class/powercap/intel-rapl:0/name", "package-0"),
        ("sys/class/powercap/intel-rapl:0/energy_uj", "240422366267"),
        ("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850"),
    ]);
    let supplies = power::supplies(&tree.root()).expect("read");
    let [mains, battery] = &supplies[..] else { panic!("two: {supplies:?}") };
    assert_eq!((&*mains.kind, mains.is_online, mains.capacity), ("Mains", Some(true), None));
    assert_eq!(
        (battery.capacity, battery.voltage, battery.current),
        (Some(0.87), Some(12.15), Some(-2.5))
    );
    assert_eq!((battery.energy, battery.status.as_deref()), (Some(36.58), Some("Discharging")));
    let zones = power::energy(&tree.root()).expect("read");
    assert_eq!(zones.len(), 1);
    assert_eq!((&*zones[0].name, zones[0].energy_uj), ("package-0", 240_422_366_267));
    assert_eq!(zones[0].max_energy_uj, Some(262_143_328_850));
}

#[test]
fn the_machine_and_its_guards_are_read() {
    let tree = with(&[
        ("sys/class/dmi/id/sys_vendor", "Example Corp"),
        ("sys/class/dmi/id/product_version", ""),
        ("sys/class/nvme/nvme0/model", "EXAMPLE 1TB            "),
        ("sys/class/nvme/nvme0/state", "live"),
        ("sys/class/watchdog/watchdog0/identity", "iTCO_wdt"),
        ("sys/class/watchdog/watchdog0/timeout", "60"),
        ("sys/class/watchdog/watchdog0/bootstatus", "32"),
        ("sys/fs/selinux/enforce", "1"),
        ("sys/fs/selinux/policyvers", "33"),
    ]);
    let root = tree.root();
    let machine = hardware::machine(&root).expect("read");
    assert_eq!(
        (machine.vendor.as_deref(), machine.product_version, machine.board),
        (Some("Example Corp"), None, None)
    );
    let nvme = hardware::nvme(&root).expect("read");
    assert_eq!(
        (nvme[0].model.as_deref(), nvme[0].state.as_deref()),
        (Some("EXAMPLE 1TB"), Some("live"))
    );
    let watchdogs = hardware::watchdogs(&root).expect("read");
    assert_eq!(
        (watchdogs[0].timeout, watchdogs[0].time_left, watchdogs[0].boot_status),
        (Some(60), None, Some(32))
    );
    let selinux = Selinux { is_enforcing: true, policy_version: Some(33) };
    assert_eq!(hardware::selinux(&root).expect("read"), selinux);
}

#[test]
fn file_systems_of_xfs_are_read_by_device() {
    let tree = with(&[
        ("sys/fs/xfs/sda1/stats/stats", "rw 3 4\nxpc 1 2 3"),
        ("sys/fs/xfs/debug/bug_on_assert", "1"),
        ("sys/fs/xfs/stats/stats", "rw 9 9"),
    ]);
    let read = xfs::read(&tree.root()).expect("read");
    assert_eq!(read.len(), 1);
    assert_eq!((&*read[0].device, read[0].write_calls, read[0].read_bytes), ("sda1", 3, 3));
}

#[test]
fn ports_of_fabrics_are_read_with_their_counters() {
    let tree = with(&[
        ("sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE"),
        ("sys/class/infiniband/mlx5_0/ports/1/phys_state", "5: LinkUp"),
        ("sys/class/infiniband/mlx5_0/ports/1/rate", "100 Gb/sec (4X EDR)"),
        ("sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data", "1000"),
        ("sys/class/infiniband/mlx5_0/ports/1/counters/port_xmit_data", "3"),
        ("sys/class/infiniband/mlx5_0/ports/1/counters/VL15_dropped", "N/A (no PMA)"),
        ("sys/class/infiniband/mlx5_0/ports/1/hw_counters/out_of_sequence", "7"),
        ("sys/class/infiniband/mlx5_0/ports/1/hw_counters/lifespan", "12"),
        ("sys/class/infiniband/mlx5_0/ports/2/state", "1: DOWN"),
        ("sys/class/infiniband/mlx5_0/ports/2/rate", "2.5 Gb/sec (1X SDR)"),
        ("sys/class/fc_host/host0/port_state", "Online"),
        ("sys/class/fc_host/host0/speed", "16 Gbit"),
        ("sys/class/fc_host/host0/statistics/rx_words", "0x1f"),
        ("sys/class/fc_host/host0/statistics/nos_count", "0xffffffffffffffff"),
        ("sys/class/fc_host/host0/statistics/reset_statistics", ""),
    ]);
    let ports = infiniband::read(&tree.root()).expect("read");
    let [first, second] = &ports[..] else { panic!("two: {ports:?}") };
    assert_eq!(
        (&*first.device, first.number, first.state.as_deref()),
        ("mlx5_0", 1, Some("ACTIVE"))
    );
    assert_eq!((first.link.as_deref(), first.rate), (Some("LinkUp"), Some(100_000_000_000)));
    assert_eq!((first.received_bytes(), first.transmitted_bytes()), (Some(4000), Some(12)));
    assert_eq!(first.iter().count(), 3);
    assert_eq!(first.get("out_of_sequence"), Some(7));
    assert_eq!((second.state.as_deref(), second.rate), (Some("DOWN"), Some(2_500_000_000)));
    let hosts = fibre_channel::read(&tree.root()).expect("read");
    assert_eq!((&*hosts[0].name, hosts[0].state.as_deref()), ("host0", Some("Online")));
    assert_eq!(hosts[0].iter().collect::<Vec<_>>(), [("rx_words", 31)]);
}

#[test]
fn file_systems_of_btrfs_tell_how_they_share_out_their_disks() {
    let top = "sys/fs/btrfs/0abb23a9-579b-43e6-ad30-227ef47fcb9d";
    let tree = Tree::new();
    for (path, text) in [
        ("label", "pool"),
        ("allocation/global_rsv_size", "16777216"),
        ("allocation/data/total_bytes", "2147483648"),
        ("allocation/data/bytes_used", "808189952"),
        ("allocation/data/disk_total", "4294967296"),
        ("allocation/metadata/total_bytes", "cut"),
        (
            "devinfo/10/error_stats",
            "write_errs 1\nread_errs 2\nflush_errs 3\ncorruption_errs 4\ngeneration_errs 5",
        ),
        ("devinfo/2/error_stats", "write_errs 0"),
    ] {
        tree.write(&format!("{top}/{path}"), format!("{text}\n"));
    }
    tree.write("sys/fs/btrfs/features/big_metadata", "1\n");
    let all = btrfs::read(&tree.root()).expect("read");
    let [pool] = &all[..] else { panic!("one: {all:?}") };
    assert_eq!((&*pool.label, pool.reserve, pool.metadata), ("pool", Some(16 << 20), None));
    let data = Allocation { total: 2_147_483_648, used: 808_189_952, disk_total: 4_294_967_296 };
    assert_eq!(pool.data, Some(data));
    let errors = BtrfsDevice {
        number: 10,
        write_errors: 1,
        read_errors: 2,
        flush_errors: 3,
        corruption_errors: 4,
        generation_errors: 5,
    };
    assert_eq!(pool.devices, [BtrfsDevice { number: 2, ..BtrfsDevice::default() }, errors]);
}

#[test]
fn the_kernel_and_the_distribution_are_read() {
    let tree = with(&[
        ("proc/sys/kernel/ostype", "Linux"),
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64"),
        ("proc/sys/kernel/version", "#1 SMP"),
        ("proc/sys/kernel/pid_max", "4194304"),
        ("host/etc/os-release", "ID=debian\nVERSION_ID=\"12\""),
    ]);
    let kernel = kernel::read(&tree.root()).expect("read");
    assert_eq!(
        (&*kernel.release, kernel.pid_max, kernel.hung_tasks),
        ("6.1.0-18-amd64", Some(4_194_304), None)
    );
    assert!(
        os_release::read(&tree.root()).expect_err("the host's files are not mounted").is_missing()
    );
    let root = HostRoot::new(tree.path("proc"), tree.path("sys"), Some(tree.path("host")));
    let release = os_release::read(&root).expect("read");
    assert_eq!(release.get("VERSION_ID").map(|version| &**version), Some("12"));
    tree.write("host/usr/lib/os-release", "ID=fedora\n");
    let release = os_release::read(&root).expect("read");
    assert_eq!(release.get("ID").map(|id| &**id), Some("fedora"));
}

#[test]
fn a_machine_without_any_of_it_says_so_and_that_is_no_failure() {
    let tree = Tree::new();
    let root = tree.root();
    let errors = [
        net_class::read(&root).err(),
        hwmon::read(&root).err(),
        thermal::read(&root).err(),
        edac::read(&root).err(),
        numa::read(&root).err(),
        bonding::read(&root).err(),
        power::supplies(&root).err(),
        power::energy(&root).err(),
        hardware::machine(&root).err(),
        hardware::nvme(&root).err(),
        hardware::watchdogs(&root).err(),
        hardware::selinux(&root).err(),
        xfs::read(&root).err(),
        btrfs::read(&root).err(),
        infiniband::read(&root).err(),
        fibre_channel::read(&root).err(),
        kernel::read(&root).err(),
        cpufreq::read(&root).err(),
        cpu_topology::read(&root).err(),
    ];
    for error in errors {
        let error = error.expect("nothing is there");
        assert!(error.is_missing(), "{error}");
    }
}
