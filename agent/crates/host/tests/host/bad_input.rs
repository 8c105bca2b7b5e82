//! Files that are missing, empty or anything else than what they should be.

use hawsepipe_host::pressure::PressureKind;
use hawsepipe_host::*;
use proptest::prelude::*;

use crate::support::Tree;

/// Each reader: the file it reads, and its error if there is one.
type Reader = (&'static str, fn(&HostRoot) -> Option<ReadError>);

const READERS: [Reader; 31] = [
    ("proc/stat", |root| stat::read(root).err()),
    ("proc/meminfo", |root| meminfo::read(root).err()),
    ("proc/loadavg", |root| loadavg::read(root).err()),
    ("proc/uptime", |root| uptime::read(root).err()),
    ("proc/diskstats", |root| diskstats::read(root).err()),
    ("proc/1/mountinfo", |root| mounts::read(root).err()),
    ("proc/filesystems", |root| mounts::device_types(root).err()),
    ("proc/vmstat", |root| vmstat::read(root).err()),
    ("proc/swaps", |root| swaps::read(root).err()),
    ("proc/pressure/memory", |root| pressure::read(root, PressureKind::Memory).err()),
    ("proc/sys/fs/file-nr", |root| file_handles::read(root).err()),
    ("proc/sys/kernel/random/entropy_avail", |root| entropy::read(root).err()),
    ("proc/1/net/dev", |root| net_dev::read(root).err()),
    ("proc/1/net/snmp", |root| net_counters::snmp(root).err()),
    ("proc/1/net/netstat", |root| net_counters::netstat(root).err()),
    ("proc/1/net/snmp6", |root| net_counters::snmp6(root).err()),
    ("proc/1/net/tcp", |root| sockets::tcp4(root).err()),
    ("proc/1/net/tcp6", |root| sockets::tcp6(root).err()),
    ("proc/1/net/udp", |root| sockets::udp4(root).err()),
    ("proc/1/net/udp6", |root| sockets::udp6(root).err()),
    ("proc/1/net/sockstat", |root| sockstat::read(root).err()),
    ("proc/1/net/sockstat6", |root| sockstat::read6(root).err()),
    ("proc/1/net/softnet_stat", |root| softnet::read(root).err()),
    ("proc/1/net/arp", |root| arp::read(root).err()),
    ("proc/1/net/ip_vs_stats", |root| ipvs::read(root).err()),
    ("proc/1/net/rpc/nfs", |root| nfs::client(root).err()),
    ("proc/1/net/rpc/nfsd", |root| nfs::server(root).err()),
    ("proc/schedstat", |root| schedstat::read(root).err()),
    ("proc/mdstat", |root| mdstat::read(root).err()),
    ("proc/spl/kstat/zfs/arcstats", |root| zfs::read(root).err()),
    ("proc/1/net/stat/nf_conntrack", |root| conntrack::read(root).err()),
];

/// Files whose lines come and go: an empty one, or one of which nothing is understood, is a host without them, with a
/// count.
const LISTS: [&str; 7] = [
    "proc/1/net/arp",
    "proc/1/mountinfo",
    "proc/filesystems",
    "proc/1/net/tcp",
    "proc/1/net/tcp6",
    "proc/1/net/udp",
    "proc/1/net/udp6",
];

#[test]
fn a_file_that_is_not_there_is_missing_and_named() {
    let tree = Tree::new();
    for (path, read) in READERS {
        let error = read(&tree.root()).unwrap_or_else(|| panic!("{path} is not there"));
        assert!(error.is_missing(), "{path}: {error}");
        assert_eq!(error.path(), tree.path(path));
        assert_eq!(error.to_string(), format!("{}: not there", tree.path(path).display()));
    }
}

#[test]
fn a_file_that_is_empty_or_garbage_is_an_error_with_line_and_field() {
    for garbage in
        ["", "\n", "\u{0}\u{0}\u{0}", "<html>\n<body>502 Bad Gateway</body>\n", "-1 -1 -1\n"]
    {
        let tree = Tree::new();
        for (path, read) in READERS {
            tree.write(path, garbage);
            match read(&tree.root()) {
                Some(ReadError::Parse { path: named, source }) => {
                    assert_eq!(named, tree.path(path));
                    assert!(source.line > 0 && !source.field.is_empty(), "{path}: {source}");
                }
                Some(error) => panic!("{path} with {garbage:?}: {error}"),
                // A host without disks has an empty file.
                None if path == "proc/diskstats" && garbage.is_empty() => {}
                None => assert!(
                    LISTS.contains(&path),
                    "{path} with {garbage:?} is taken for what it should be"
                ),
            }
        }
    }
}

#[test]
fn a_folder_in_the_place_of_a_file_is_an_error_that_names_it() {
    let tree = Tree::new();
    for (path, read) in READERS {
        tree.write(&format!("{path}/inside"), "");
        let error = read(&tree.root()).unwrap_or_else(|| panic!("{path} is a folder"));
        assert!(matches!(error, ReadError::Io { .. }), "{path}: {error}");
        assert_eq!(error.path(), tree.path(path));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Bytes made of what the files are made of, so that they get past the first field.
    #[test]
    fn prop_nothing_makes_a_parser_panic(
        bytes in "(cpu[0-9]*|MemTotal:|some|full|avg10=|total=|sl|Tcp:|[0-9]{1,25}|-|/|:|,|\\(|\\)|kB|[ \t\n]{1,3}|\\PC){0,60}",
    ) {
        let bytes = bytes.as_bytes();
        let _ = stat::parse(bytes);
        let _ = meminfo::parse(bytes);
        let _ = loadavg::parse(bytes);
        let _ = uptime::parse(bytes);
        let _ = diskstats::parse(bytes);
        let _ = mounts::parse(bytes);
        let _ = vmstat::parse(bytes);
        let _ = swaps::parse(bytes);
        let _ = pressure::parse(bytes);
        let _ = file_handles::parse(bytes);
        let _ = net_dev::parse(bytes);
        let _ = net_counters::parse(bytes);
        let _ = net_counters::parse_snmp6(bytes);
        let _ = sockets::parse_tcp(bytes);
        let _ = sockets::parse_udp(bytes);
        let _ = sockstat::parse(bytes);
        let _ = conntrack::parse(bytes);
        let _ = process::parse_stat(bytes);
        let _ = softnet::parse(bytes);
        let _ = arp::parse(bytes);
        let _ = ipvs::parse(bytes);
        let _ = nfs::parse_client(bytes);
        let _ = nfs::parse_server(bytes);
        let _ = schedstat::parse(bytes);
        let _ = mdstat::parse(bytes);
        let _ = zfs::parse(bytes);
        let _ = xfs::parse(bytes);
        let _ = os_release::parse(bytes);
    }

    /// A damaged file of a real kernel gives what is left of it, or says what is wrong.
    #[test]
    fn prop_a_flipped_byte_costs_a_line_at_the_most(at in 0_usize..1 << 20, with in any::<u8>()) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/linux-6.18-hybrid/proc/");
        let damaged = |name: &str| {
            let mut bytes = std::fs::read(format!("{folder}{name}")).expect("read");
            let at = at % bytes.len();
            // A line's end more or less makes other lines.
            if bytes[at] != b'\n' && with != b'\n' {
                bytes[at] = with;
            }
            bytes
        };
        let whole = |name: &str| std::fs::read(format!("{folder}{name}")).expect("read");
        if let Ok(memory) = meminfo::parse(&damaged("meminfo")) {
            let before = meminfo::parse(&whole("meminfo")).expect("parsed").iter().count();
            prop_assert!(memory.iter().count() + memory.skipped.lines as usize == before);
            prop_assert!(memory.skipped.lines <= 1);
        }
        let vmstat_before = vmstat::parse(&whole("vmstat")).expect("parsed").iter().count();
        let vmstat = vmstat::parse(&damaged("vmstat")).expect("parsed");
        prop_assert!(vmstat.iter().count() + vmstat.skipped.lines as usize == vmstat_before);
        let disks = diskstats::parse(&damaged("diskstats")).expect("parsed");
        prop_assert!(disks.disks.len() + disks.skipped.lines as usize == 10);
    }
}
