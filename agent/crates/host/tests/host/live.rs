//! The machine that the test runs on: not which numbers there are, but how they stand to each other.

use std::path::Path;
use std::time::Duration;

use hawsepipe_host::cgroup::{CgroupPath, Cgroups};
use hawsepipe_host::filesystems::FileSystems;
use hawsepipe_host::pressure::PressureKind;
use hawsepipe_host::*;

fn here() -> HostRoot {
    HostRoot::here()
}

/// What a machine need not have.
fn if_there<T>(result: Result<T, ReadError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(ReadError::Missing { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn cpus_add_up_and_time_goes_on() {
    let stat = stat::read(&here()).expect("read");
    let topology = cpu_topology::read(&here()).expect("read");
    assert_eq!(stat.skipped, Skipped::default());
    assert_eq!(stat.cpus.len() as u64, topology.logical);
    assert!(topology.physical.is_none_or(|cores| cores <= topology.logical), "{topology:?}");
    let sum: f64 = stat.cpus.iter().map(|cpu| cpu.times.user).sum();
    // The kernel cuts each CPU's ticks and their sum on its own.
    let ticks = 0.01 * (stat.cpus.len() + 1) as f64;
    assert!((stat.total.user - sum).abs() <= ticks, "{} {sum}", stat.total.user);
    let uptime = uptime::read(&here()).expect("read");
    assert!(uptime.up > 0.0);
    let later = stat::read(&here()).expect("read");
    assert!(later.context_switches >= stat.context_switches && later.total.user >= stat.total.user);
    assert!(loadavg::read(&here()).expect("read").threads > Some(0));
    cpufreq::read(&here()).expect("read");
}

#[test]
fn memory_is_not_more_than_there_is() {
    let memory = meminfo::read(&here()).expect("read");
    assert_eq!(memory.skipped, Skipped::default());
    let total = memory.total().expect("total");
    for part in [memory.free(), memory.available(), memory.cached(), memory.slab()] {
        assert!(part.expect("there") <= total);
    }
    let swaps = if_there(swaps::read(&here())).unwrap_or_default();
    let size: u64 = swaps.swaps.iter().map(|swap| swap.size).sum();
    assert_eq!(size, memory.swap_total().unwrap_or(0));
    let vmstat = vmstat::read(&here()).expect("read");
    assert!(vmstat.page_faults() >= vmstat.major_page_faults());
    assert_eq!(vmstat.skipped, Skipped::default());
}

#[test]
fn every_line_of_this_kernel_is_understood() {
    let skipped = [
        diskstats::read(&here()).expect("read").skipped,
        mounts::read(&here()).expect("read").skipped,
        net_dev::read(&here()).expect("read").skipped,
        net_counters::snmp(&here()).expect("read").skipped,
        net_counters::netstat(&here()).expect("read").skipped,
        sockets::tcp4(&here()).expect("read").skipped,
        sockets::udp4(&here()).expect("read").skipped,
        sockstat::read(&here()).expect("read").skipped,
        if_there(net_counters::snmp6(&here())).unwrap_or_default().skipped,
        if_there(sockets::tcp6(&here())).unwrap_or_default().skipped,
        process::read(&here()).expect("read").scanned.skipped,
    ];
    assert_eq!(skipped, [Skipped::default(); 11]);
    for kind in PressureKind::ALL {
        if_there(pressure::read(&here(), kind));
    }
    if_there(conntrack::read(&here()));
    assert!(entropy::read(&here()).expect("read").available > 0);
    let files = file_handles::read(&here()).expect("read");
    assert!(files.allocated > 0 && files.allocated < files.max);
}

#[test]
fn this_process_is_among_the_processes() {
    let pid = std::process::id();
    let mut seen = 0;
    let scanned =
        process::scan(&here(), |process| seen += u32::from(process.pid == pid)).expect("read");
    assert_eq!(seen, 1);
    assert!(scanned.processes > 1);
    let (parent, memory) =
        process::read_one(&here(), pid, |own| (own.parent, own.resident_memory)).expect("read");
    assert_eq!(parent, std::os::unix::process::parent_id());
    assert!(memory > 1 << 20, "{memory}");
    assert!(process::status(&here(), pid).expect("read").resident_memory > Some(1 << 20));
    assert!(process::open_files(&here(), pid).expect("read") >= 3);
    process::io(&here(), pid).expect("read");
    assert!(!process::command_line(&here(), pid, 4096).expect("read").is_empty());
}

#[test]
fn the_loopback_is_among_the_interfaces() {
    let counted = net_dev::read(&here()).expect("read").interfaces;
    assert!(counted.iter().any(|one| &*one.name == "lo"), "{counted:?}");
    let classes = net_class::read(&here()).expect("read");
    let lo = classes.iter().find(|one| &*one.name == "lo").expect("every machine has one");
    assert!(lo.is_up() && lo.mtu > Some(0));
}

#[test]
fn the_rest_is_read_or_is_not_there() {
    let kernel = kernel::read(&here()).expect("read");
    assert_eq!(&*kernel.os_type, "Linux");
    assert!(!softnet::read(&here()).expect("read").cpus.is_empty());
    assert_eq!(arp::read(&here()).expect("read").skipped, Skipped::default());
    if_there(numa::read(&here()));
    if_there(hwmon::read(&here()));
    if_there(thermal::read(&here()));
    if_there(edac::read(&here()));
    if_there(schedstat::read(&here()));
    if_there(mdstat::read(&here()));
    if_there(bonding::read(&here()));
    if_there(power::supplies(&here()));
    if_there(hardware::machine(&here()));
    if_there(hardware::nvme(&here()));
    if_there(hardware::watchdogs(&here()));
    if_there(hardware::selinux(&here()));
    if_there(xfs::read(&here()));
    if_there(btrfs::read(&here()));
    if_there(infiniband::read(&here()));
    if_there(fibre_channel::read(&here()));
    if_there(zfs::read(&here()));
    if_there(ipvs::read(&here()));
    if_there(nfs::client(&here()));
    if_there(nfs::server(&here()));
    if_there(os_release::read(&here()));
}

#[test]
fn the_root_is_mounted_and_answers() {
    let mounts = mounts::read_kept(&here(), |_, mount_point| mount_point == "/").expect("read");
    assert!(!mounts.mounts.is_empty());
    let mut systems = FileSystems::new(1);
    let top = here().file("/").expect("the root is here");
    assert!(systems.read(Path::new(&top), Duration::from_secs(30)).expect("it answers").total > 0);
}

#[test]
fn cgroups_of_this_machine_are_read_where_it_has_them() {
    let Some(mut cgroups) = if_there(Cgroups::find(&here())) else { return };
    for pod in cgroups.pods().expect("listed") {
        for container in pod.containers {
            // Other tests may run pods here: what ends meanwhile is gone.
            match cgroups.memory(&container.path) {
                Ok(memory) => {
                    assert!(memory.working_set <= memory.usage, "{container:?} {memory:?}")
                }
                Err(error) => assert!(error.is_gone(), "{error}"),
            }
            match cgroups.cpu(&container.path) {
                Ok(_) => {}
                Err(error) => assert!(error.is_gone(), "{error}"),
            }
        }
    }
    if let Some(cpu) = if_there(cgroups.cpu(&CgroupPath::root())) {
        assert!(cpu.usage_ns > 0);
    }
}
