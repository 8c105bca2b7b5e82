//! Cgroups of every driver, runtime and version.

use std::fs;

use hawsepipe_host::ReadError;
use hawsepipe_host::cgroup::{
    CgroupMode, CgroupPath, Cgroups, CpuStats, DeviceIo, IoStats, MemoryStats, PodCgroup, Qos,
};
use hawsepipe_host::pressure::PressureKind;

use crate::support::{Tree, fixture};

fn found(name: &str) -> (Cgroups, Vec<PodCgroup>) {
    let mut cgroups = Cgroups::find(&fixture(name)).expect("there are cgroups");
    let pods = cgroups.pods().expect("they can be listed");
    (cgroups, pods)
}

/// Pods as `UID class: the first digits of its containers`.
fn told(pods: &[PodCgroup]) -> Vec<String> {
    pods.iter()
        .map(|pod| {
            let ids: Vec<&str> =
                pod.containers.iter().map(|container| &container.id[..2]).collect();
            format!("{} {:?}: {}", pod.uid, pod.qos, ids.join(" "))
        })
        .collect()
}

fn container(pods: &[PodCgroup], id: &str) -> CgroupPath {
    let mut containers = pods.iter().flat_map(|pod| &pod.containers);
    containers.find(|container| container.id.starts_with(id)).expect("the container").path.clone()
}

#[test]
fn containerd_under_systemd_with_pods_of_every_class_and_a_static_one() {
    let (cgroups, pods) = found("cgroup-v2-containerd");
    assert_eq!(cgroups.mode(), CgroupMode::V2);
    let expected = [
        "8d2c4a10-51be-4b37-a7a1-2c8e9d0f3b22 BestEffort: d3",
        "3a1f6f0e-7a52-4be0-9a3e-0d5c2f1b7e11 Burstable: aa b1",
        "b9d2f7a3f0e6c1d4a5b8e7f60123abcd Burstable: c2",
        "5e6f7a8b-9c0d-4e1f-8a2b-3c4d5e6f7a8b Guaranteed: e4",
    ];
    assert_eq!(told(&pods), expected);
    let path = container(&pods, "b1");
    assert!(path.as_str().starts_with(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3a1f6f0e_7a52"
    ));
}

#[test]
fn a_container_of_version_2_tells_what_it_used_to_the_byte() {
    let (cgroups, pods) = found("cgroup-v2-containerd");
    let path = container(&pods, "b1");
    let cpu = CpuStats {
        usage_ns: 12_345_678_000,
        periods: Some(1200),
        throttled_periods: Some(345),
        throttled_ns: Some(6_789_012_000),
    };
    assert_eq!(cgroups.cpu(&path).expect("read"), cpu);
    let memory = MemoryStats {
        usage: 59_768_832,
        working_set: 59_768_832 - 5_242_880,
        rss: 39_845_888,
        cache: 17_825_792,
        mapped_file: 9_437_184,
        inactive_file: 5_242_880,
        swap: Some(0),
        page_faults: 6543,
        major_page_faults: 12,
    };
    assert_eq!(cgroups.memory(&path).expect("read"), memory);
    assert_eq!(cgroups.cpu_time(&path).expect("read"), cpu.usage_ns);
    assert_eq!(cgroups.oom_kills(&path).expect("read"), 2);
    let io = cgroups.io(&path, true).expect("read");
    let nvme = DeviceIo {
        major: 259,
        minor: 0,
        read_bytes: 1_048_576,
        write_bytes: 4096,
        read_operations: 25,
        write_operations: 1,
    };
    let dm = DeviceIo {
        major: 253,
        minor: 3,
        read_bytes: 8192,
        read_operations: 2,
        ..DeviceIo::default()
    };
    assert_eq!(io.devices, [nvme, dm]);
    assert_eq!(cgroups.pids(&path).expect("read"), 9);
    assert_eq!(cgroups.memory_limit(&path).expect("read"), Some(134_217_728));
    for (kind, total) in
        [(PressureKind::Cpu, 0.000_8), (PressureKind::Memory, 0.001_6), (PressureKind::Io, 0.002_4)]
    {
        let pressure = cgroups.pressure(&path, kind).expect("read");
        assert_eq!(pressure.some.map(|some| (some.average_10s, some.total)), Some((0.0125, total)));
        assert_eq!(pressure.full.map(|full| full.total), Some(total / 2.0));
    }
    assert!(cgroups.pressure(&path, PressureKind::Irq).expect("read").some.is_none());
}

#[test]
fn without_a_limit_there_is_none() {
    let (cgroups, _) = found("cgroup-v2-containerd");
    let containerd = CgroupPath::new("/system.slice/containerd.service");
    assert_eq!(cgroups.memory_limit(&containerd).expect("read"), None);
    assert_eq!(cgroups.pids(&containerd).expect("read"), 66);
}

#[test]
fn the_host_as_a_whole_and_its_slices_are_cgroups_too() {
    let (cgroups, _) = found("cgroup-v2-containerd");
    let slices = cgroups.children(&CgroupPath::root()).expect("listed");
    let slices: Vec<&str> = slices.iter().map(CgroupPath::as_str).collect();
    assert_eq!(slices, ["/init.scope", "/kubepods.slice", "/system.slice", "/user.slice"]);
    let services = cgroups.children(&CgroupPath::new("system.slice")).expect("listed");
    let names: Vec<&str> = services.iter().map(CgroupPath::name).collect();
    assert_eq!(names, ["containerd.service", "kubelet.service"]);
    assert_eq!(
        cgroups.cpu(&CgroupPath::new("/system.slice")).expect("read").usage_ns,
        1_700_000_000_000
    );
    // The top has no memory.current: what version 1 would say is the sum.
    let top = cgroups.memory(&CgroupPath::root()).expect("read");
    assert_eq!((top.usage, top.working_set), (12_000_000_000, 7_000_000_000));
    assert_eq!(top.swap, None);
    assert!(cgroups.oom_kills(&CgroupPath::root()).expect_err("the top has none").is_missing());
    let cpu = cgroups.cpu(&CgroupPath::root()).expect("read");
    assert_eq!((cpu.usage_ns, cpu.periods), (9_000_000_000_000, None));
    assert!(cgroups.pids(&CgroupPath::root()).expect_err("the top has no number").is_missing());
    assert!(cgroups.memory_limit(&CgroupPath::root()).expect_err("the top has none").is_missing());
}

#[test]
fn cri_o_has_monitors_which_are_no_containers_and_a_cgroup_inside_which_is_none_either() {
    let (cgroups, pods) = found("cgroup-v2-crio");
    assert_eq!(told(&pods), ["11112222-3333-4444-5555-666677778888 Burstable: f0 f1"]);
    let path = container(&pods, "f0");
    let memory = cgroups.memory(&path).expect("read");
    // More cache than usage: the working set does not go below zero.
    assert_eq!(
        (memory.usage, memory.inactive_file, memory.working_set),
        (20_000_000, 12_000_000, 8_000_000)
    );
    assert_eq!(memory.swap, Some(4096));
}

#[test]
fn the_working_set_is_never_below_zero() {
    let tree = Tree::copy_of("cgroup-v2-crio");
    let mut cgroups = Cgroups::find(&tree.root()).expect("there are cgroups");
    let path = container(&cgroups.pods().expect("listed"), "f0");
    tree.write(&format!("sys/fs/cgroup{path}/memory.current"), "4096\n");
    let memory = cgroups.memory(&path).expect("read");
    assert_eq!((memory.usage, memory.working_set), (4096, 0));
}

#[test]
fn k3s_with_plain_names() {
    let (cgroups, pods) = found("cgroup-v2-k3s");
    let expected = [
        "99990000-aaaa-4bbb-8ccc-ddddeeee0001 BestEffort: 93",
        "99990000-aaaa-4bbb-8ccc-ddddeeeeffff Burstable: 91 92",
        "99990000-aaaa-4bbb-8ccc-ddddeeee0002 Guaranteed: 94",
    ];
    assert_eq!(told(&pods), expected);
    assert_eq!(cgroups.cpu(&container(&pods, "91")).expect("read").usage_ns, 777_000);
}

#[test]
fn nodes_that_are_containers_are_found_wherever_they_are() {
    let (cgroups, pods) = found("cgroup-v2-nested");
    assert_eq!(cgroups.mode(), CgroupMode::V2);
    let expected = [
        "12345678-1234-4234-8234-123456789abc Burstable: a1",
        "12345678-1234-4234-8234-123456789abd Guaranteed: a2",
        "12345678-1234-4234-8234-123456789abe BestEffort: b2",
    ];
    assert_eq!(told(&pods), expected);
    assert_eq!(cgroups.memory(&container(&pods, "a1")).expect("read").usage, 8192);
}

#[test]
fn docker_of_version_1_on_an_old_kernel() {
    let (cgroups, pods) = found("linux-3.10-v1-docker");
    assert_eq!(cgroups.mode(), CgroupMode::V1);
    assert_eq!(told(&pods), ["aabbccdd-0011-2233-4455-66778899aabb Burstable: 5a"]);
    let path = container(&pods, "5a");
    let cpu = CpuStats {
        usage_ns: 98_765_432_109,
        periods: Some(500),
        throttled_periods: Some(20),
        throttled_ns: Some(123_456_789),
    };
    assert_eq!(cgroups.cpu(&path).expect("read"), cpu);
    let memory = MemoryStats {
        usage: 52_428_800,
        working_set: 39_845_888,
        rss: 31_457_280,
        cache: 20_971_520,
        mapped_file: 4_194_304,
        inactive_file: 12_582_912,
        swap: Some(1_048_576),
        page_faults: 33_333,
        major_page_faults: 44,
    };
    assert_eq!(cgroups.memory(&path).expect("read"), memory);
    assert_eq!(cgroups.cpu_time(&path).expect("read"), cpu.usage_ns);
    assert!(cgroups.oom_kills(&path).expect_err("an old kernel does not say").is_missing());
    let dm = DeviceIo {
        major: 253,
        minor: 0,
        read_bytes: 8192,
        write_bytes: 4096,
        read_operations: 2,
        write_operations: 1,
    };
    let sda = DeviceIo {
        major: 8,
        minor: 0,
        read_bytes: 8192,
        read_operations: 2,
        ..DeviceIo::default()
    };
    assert_eq!(cgroups.io(&path, true).expect("read").devices, [dm, sda]);
    assert_eq!(cgroups.pids(&path).expect("read"), 4);
    assert_eq!(cgroups.memory_limit(&path).expect("read"), Some(104_857_600));
    assert!(cgroups.may_be_throttled(&path).expect("read"), "150000");
    // The pod has none: a number that no machine has, and -1.
    assert_eq!(cgroups.memory_limit(&pods[0].path).expect("read"), None);
    assert!(!cgroups.may_be_throttled(&pods[0].path).expect("read"), "-1");
    assert!(
        cgroups.pressure(&path, PressureKind::Cpu).expect_err("version 1 has none").is_missing()
    );
}

#[test]
fn both_versions_at_once_give_resources_from_one_and_pressure_from_the_other() {
    let (cgroups, pods) = found("linux-6.18-hybrid");
    assert_eq!(cgroups.mode(), CgroupMode::Hybrid);
    assert_eq!(told(&pods), ["2182d3a3-ee62-4d43-9583-6098ae3fe46f Burstable: 81 8a"]);
    for container in &pods[0].containers {
        let cpu = cgroups.cpu(&container.path).expect("read");
        assert!(cpu.usage_ns > 0 && cpu.periods.is_some(), "{cpu:?}");
        let memory = cgroups.memory(&container.path).expect("read");
        assert_eq!(cgroups.oom_kills(&container.path).expect("read"), 0);
        assert_eq!(memory.working_set, memory.usage - memory.inactive_file);
        let pressure = cgroups.pressure(&container.path, PressureKind::Memory).expect("read");
        assert!(pressure.some.is_some() && pressure.full.is_some());
        cgroups.io(&container.path, true).expect("read");
        assert!(cgroups.pids(&container.path).expect("read") > 0);
    }
}

#[test]
fn how_many_transfers_there_were_is_read_only_for_who_asks() {
    let tree = Tree::copy_of("linux-6.18-hybrid");
    let mut cgroups = Cgroups::find(&tree.root()).expect("there are cgroups");
    let pods = cgroups.pods().expect("listed");
    let path = &pods[0].path;
    let folder = format!("sys/fs/cgroup/blkio{path}/blkio.throttle");
    let file = |name: &str| format!("{folder}.{name}_recursive");
    tree.write(&file("io_service_bytes"), "8:0 Read 4096\n8:0 Write 8192\nTotal 12288\n");
    tree.write(&file("io_serviced"), "8:0 Read 1\n8:0 Write 2\nTotal 3\n");
    let bytes =
        DeviceIo { major: 8, minor: 0, read_bytes: 4096, write_bytes: 8192, ..DeviceIo::default() };
    let both = DeviceIo { read_operations: 1, write_operations: 2, ..bytes };
    assert_eq!(cgroups.io(path, true).expect("read").devices, [both]);
    tree.write(&file("io_serviced"), "8:0 Read many\n");
    let skipped = |stats: IoStats| stats.skipped.lines;
    assert_eq!(cgroups.io(path, true).map(skipped).expect("read"), 1);
    let io = cgroups.io(path, false).expect("read");
    assert_eq!((io.devices.as_slice(), io.skipped.lines), ([bytes].as_slice(), 0));
}

#[test]
fn a_cgroup_that_ended_is_gone_and_a_file_that_the_kernel_lacks_is_missing() {
    let tree = Tree::copy_of("cgroup-v2-containerd");
    let mut cgroups = Cgroups::find(&tree.root()).expect("there are cgroups");
    let pods = cgroups.pods().expect("listed");
    let (kept, ended) = (container(&pods, "b1"), container(&pods, "d3"));
    fs::remove_dir_all(tree.path(&format!("sys/fs/cgroup{ended}"))).expect("it ends");
    let gone = |error: ReadError| error.is_gone();
    assert!(cgroups.cpu(&ended).is_err_and(gone));
    assert!(cgroups.cpu_time(&ended).is_err_and(gone));
    assert!(cgroups.oom_kills(&ended).is_err_and(gone));
    assert!(cgroups.memory(&ended).is_err_and(gone));
    assert!(cgroups.io(&ended, true).is_err_and(gone));
    assert!(cgroups.pids(&ended).is_err_and(gone));
    assert!(cgroups.memory_limit(&ended).is_err_and(gone));
    assert!(cgroups.pressure(&ended, PressureKind::Cpu).is_err_and(gone));
    assert!(cgroups.seen_since(&ended).is_err_and(gone));
    assert!(cgroups.children(&ended).is_err_and(gone));
    for file in ["io.stat", "cpu.pressure", "pids.current", "memory.current"] {
        fs::remove_file(tree.path(&format!("sys/fs/cgroup{kept}/{file}")))
            .expect("an older kernel");
    }
    let missing = |error: ReadError| error.is_missing();
    assert!(cgroups.io(&kept, true).is_err_and(missing));
    assert!(cgroups.pressure(&kept, PressureKind::Cpu).is_err_and(missing));
    assert!(cgroups.pids(&kept).is_err_and(missing));
    assert!(
        cgroups.memory(&kept).is_err_and(missing),
        "no number is made up for what is not the top"
    );
    cgroups.seen_since(&kept).expect("it is there");
}

#[test]
fn garbage_in_a_file_is_an_error_that_names_it() {
    let tree = Tree::copy_of("cgroup-v2-containerd");
    let mut cgroups = Cgroups::find(&tree.root()).expect("there are cgroups");
    let path = container(&cgroups.pods().expect("listed"), "b1");
    for garbage in ["", "\u{0}\u{1}\u{2}", "<html>"] {
        for file in ["cpu.stat", "memory.current", "pids.current"] {
            tree.write(&format!("sys/fs/cgroup{path}/{file}"), garbage);
        }
        let errors = [
            ("cpu.stat: line 1: field usage_usec", cgroups.cpu(&path).expect_err("garbage")),
            ("memory.current: line 1: field value", cgroups.memory(&path).expect_err("garbage")),
            ("pids.current: line 1: field value", cgroups.pids(&path).expect_err("garbage")),
        ];
        for (words, error) in errors {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn pods_that_come_with_another_driver_are_found_and_ended_ones_are_not_listed() {
    let tree = Tree::copy_of("cgroup-v2-k3s");
    let mut cgroups = Cgroups::find(&tree.root()).expect("there are cgroups");
    assert_eq!(cgroups.pods().expect("listed").len(), 3);
    let besteffort = tree.path("sys/fs/cgroup/kubepods/besteffort");
    fs::remove_dir_all(&besteffort).expect("they end");
    assert_eq!(
        cgroups.pods().expect("listed").iter().filter(|pod| pod.qos == Qos::BestEffort).count(),
        0
    );
    fs::remove_dir_all(tree.path("sys/fs/cgroup/kubepods")).expect("the kubelet goes");
    assert!(cgroups.pods().expect("listed").is_empty());
    let id = "77".repeat(32);
    tree.write(
        &format!("sys/fs/cgroup/kubepods.slice/kubepods-poda_b.slice/cri-containerd-{id}.scope/cgroup.procs"),
        "",
    );
    assert_eq!(told(&cgroups.pods().expect("listed")), ["a-b Guaranteed: 77"]);
}

#[test]
fn a_host_without_cgroups_says_so() {
    let tree = Tree::new();
    tree.write("proc/1/mountinfo", "21 30 0:20 / /sys rw - sysfs sysfs rw\n");
    let error = Cgroups::find(&tree.root()).expect_err("none");
    assert!(error.is_missing());
    assert_eq!(error.path(), tree.path("sys/fs/cgroup"));
}
