//! A machine with 256 CPUs, 128 cores and two sockets, made by its kernel's formats.

use std::fmt::Write;

use hawsepipe_host::{cpu_topology, cpufreq, stat};

use crate::support::Tree;

const CPUS: u32 = 256;

fn machine() -> Tree {
    let tree = Tree::new();
    let mut stat = format!("cpu  {} 0 {} {} 0 0 0 0 0 0\n", 100 * CPUS, 200 * CPUS, 300 * CPUS);
    for cpu in 0..CPUS {
        writeln!(stat, "cpu{cpu} 100 0 200 {} 0 0 0 0 0 0", 300 + cpu).expect("written");
        let core = cpu % 128;
        let folder = format!("sys/devices/system/cpu/cpu{cpu}");
        tree.write(&format!("{folder}/topology/core_id"), format!("{}\n", core % 64));
        tree.write(&format!("{folder}/topology/physical_package_id"), format!("{}\n", core / 64));
        tree.write(&format!("{folder}/cpufreq/scaling_cur_freq"), format!("{}\n", 1_500_000 + cpu));
        tree.write(&format!("{folder}/cpufreq/cpuinfo_max_freq"), "3500000\n");
        tree.write(&format!("{folder}/cpufreq/scaling_governor"), "performance\n");
    }
    // A number for each interrupt: tens of KiB in one line.
    writeln!(stat, "intr 987654321{}", " 12345678".repeat(8_000)).expect("written");
    stat.push_str("ctxt 42\nbtime 1700000000\nprocesses 7\nprocs_running 3\nprocs_blocked 1\nsoftirq 1 0 0 0 0 0 0 0 0 0 1\n");
    tree.write("proc/stat", stat);
    tree.write("sys/devices/system/cpu/online", "0-255\n");
    tree.write("sys/devices/system/cpu/cpuidle/current_driver", "acpi_idle\n");
    tree
}

#[test]
fn every_cpu_is_read_in_order() {
    let stat = stat::read(&machine().root()).expect("read");
    assert_eq!(stat.skipped.lines, 0);
    assert_eq!(stat.total.user, f64::from(CPUS));
    let read: Vec<_> = stat.cpus.iter().map(|cpu| (cpu.number, cpu.times.idle)).collect();
    let expected: Vec<_> = (0..CPUS).map(|cpu| (cpu, f64::from(300 + cpu) / 100.0)).collect();
    assert_eq!(read, expected);
    assert_eq!(
        (stat.interrupts, stat.context_switches, stat.blocked),
        (Some(987_654_321), Some(42), Some(1))
    );
}

#[test]
fn cores_and_sockets_are_counted_once() {
    let topology = cpu_topology::read(&machine().root()).expect("read");
    assert_eq!((topology.logical, topology.physical, topology.packages), (256, Some(128), Some(2)));
}

#[test]
fn frequencies_are_read_in_order_of_the_numbers() {
    let read = cpufreq::read(&machine().root()).expect("read");
    assert_eq!(read.len(), 256);
    assert_eq!((read[10].number, read[10].current), (10, Some(1_500_010_000)));
    assert_eq!((read[10].hardware_max, read[10].scaling_min), (Some(3_500_000_000), None));
    assert_eq!(read[10].governor.as_deref(), Some("performance"));
}
