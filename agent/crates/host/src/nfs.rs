//! `/proc/1/net/rpc/nfs` and `nfsd`: what the host asked of NFS servers, and what it answered as one.
//!
//! Written by `net/sunrpc/stats.c`, `fs/nfsd/stats.c`. A kernel without the module has no file. Names are those of
//! the RFCs, in lower case; how many there are of each version depends on the kernel, so an operation that is newer
//! than this list is counted and has no name.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// What the host asked as a client, since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NfsClient {
    /// Packets.
    pub net: Net,
    /// Calls.
    pub calls: u64,
    /// Calls that were sent again.
    pub retransmissions: u64,
    /// Times that credentials were made anew.
    pub credential_refreshes: u64,
    /// Calls by version and procedure; of version 4, by operation.
    pub procedures: Procedures,
    /// What was not understood.
    pub skipped: Skipped,
}

/// What the host answered as a server, since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NfsServer {
    /// Packets.
    pub net: Net,
    /// Calls.
    pub calls: u64,
    /// Calls that were refused: of a wrong form, without right, from a client that is not known (`badfmt`, `badauth`,
    /// `badclnt`).
    pub bad_format: u64,
    /// See `bad_format`.
    pub bad_authentication: u64,
    /// See `bad_format`; always 0 in today's kernels.
    pub bad_client: u64,
    /// Answers that were there from the same call before.
    pub cache_hits: u64,
    /// Calls for which there was none.
    pub cache_misses: u64,
    /// Calls for which none is kept.
    pub not_cached: u64,
    /// Handles of files that are gone.
    pub stale_handles: u64,
    /// Bytes read from disks.
    pub read_bytes: u64,
    /// Bytes written to disks.
    pub written_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Calls by version and procedure.
    pub procedures: Procedures,
    /// Operations inside the calls of version 4, in the order of [`SERVER_OPERATIONS`].
    pub operations: Vec<u64>,
    /// What was not understood.
    pub skipped: Skipped,
}

impl NfsServer {
    /// Operations of version 4 with their names.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(&SERVER_OPERATIONS, &self.operations)
    }
}

/// Packets of RPC, since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Net {
    /// All of them.
    pub packets: u64,
    /// Over UDP.
    pub udp: u64,
    /// Over TCP.
    pub tcp: u64,
    /// TCP connections.
    pub tcp_connections: u64,
}

/// Calls by version, in the order of [`PROCEDURES_2`], [`PROCEDURES_3`], and for a client [`CLIENT_OPERATIONS`].
/// Empty for a version that the kernel does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Procedures {
    /// Of version 2.
    pub version_2: Vec<u64>,
    /// Of version 3.
    pub version_3: Vec<u64>,
    /// Of version 4: a client's operations; a server's `null` and `compound`.
    pub version_4: Vec<u64>,
}

impl Procedures {
    /// Procedures of version 2 with their names.
    pub fn version_2(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(&PROCEDURES_2, &self.version_2)
    }

    /// Procedures of version 3 with their names.
    pub fn version_3(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(&PROCEDURES_3, &self.version_3)
    }

    /// Operations of a client's version 4 with their names.
    pub fn client_operations(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(&CLIENT_OPERATIONS, &self.version_4)
    }
}

fn named(
    names: &'static [&'static str],
    counts: &[u64],
) -> impl Iterator<Item = (&'static str, u64)> {
    names.iter().copied().zip(counts.iter().copied())
}

/// Reads what the host did as a client.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn client(root: &HostRoot) -> Result<NfsClient, ReadError> {
    file::parse(root.net("rpc/nfs"), parse_client)
}

/// Reads what the host did as a server.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn server(root: &HostRoot) -> Result<NfsServer, ReadError> {
    file::parse(root.net("rpc/nfsd"), parse_server)
}

/// Parses the text of `/proc/net/rpc/nfs`.
///
/// # Errors
/// When there is no line `rpc`.
pub fn parse_client(bytes: &[u8]) -> Result<NfsClient, ParseError> {
    let mut client = NfsClient::default();
    let mut is_client = false;
    for mut line in text::lines(bytes) {
        let read = match line.next() {
            Some(b"rpc") => {
                is_client = true;
                take(
                    &mut line,
                    [
                        &mut client.calls,
                        &mut client.retransmissions,
                        &mut client.credential_refreshes,
                    ],
                )
            }
            Some(b"net") => net(&mut line, &mut client.net),
            Some(b"proc2") => counts(&mut line).map(|counts| client.procedures.version_2 = counts),
            Some(b"proc3") => counts(&mut line).map(|counts| client.procedures.version_3 = counts),
            Some(b"proc4") => counts(&mut line).map(|counts| client.procedures.version_4 = counts),
            _ => Ok(()),
        };
        client.skipped.keep(read);
    }
    let missing = ParseError { line: 1, field: "rpc", problem: Problem::Missing };
    if is_client { Ok(client) } else { Err(missing) }
}

/// Parses the text of `/proc/net/rpc/nfsd`.
///
/// # Errors
/// When there is no line `rpc`.
pub fn parse_server(bytes: &[u8]) -> Result<NfsServer, ParseError> {
    let mut server = NfsServer::default();
    let mut is_server = false;
    for mut line in text::lines(bytes) {
        let read = match line.next() {
            Some(b"rc") => take(
                &mut line,
                [&mut server.cache_hits, &mut server.cache_misses, &mut server.not_cached],
            ),
            Some(b"fh") => take(&mut line, [&mut server.stale_handles]),
            Some(b"io") => take(&mut line, [&mut server.read_bytes, &mut server.written_bytes]),
            Some(b"th") => take(&mut line, [&mut server.threads]),
            Some(b"net") => net(&mut line, &mut server.net),
            Some(b"rpc") => {
                is_server = true;
                let mut all_bad = 0;
                let refused = [
                    &mut server.bad_format,
                    &mut server.bad_authentication,
                    &mut server.bad_client,
                ];
                let [format, authentication, client] = refused;
                take(&mut line, [&mut server.calls, &mut all_bad, format, authentication, client])
            }
            Some(b"proc2") => counts(&mut line).map(|counts| server.procedures.version_2 = counts),
            Some(b"proc3") => counts(&mut line).map(|counts| server.procedures.version_3 = counts),
            Some(b"proc4") => counts(&mut line).map(|counts| server.procedures.version_4 = counts),
            Some(b"proc4ops") => counts(&mut line).map(|counts| server.operations = counts),
            _ => Ok(()),
        };
        server.skipped.keep(read);
    }
    let missing = ParseError { line: 1, field: "rpc", problem: Problem::Missing };
    if is_server { Ok(server) } else { Err(missing) }
}

fn net(line: &mut Fields<'_>, net: &mut Net) -> Result<(), ParseError> {
    take(line, [&mut net.packets, &mut net.udp, &mut net.tcp, &mut net.tcp_connections])
}

fn take<const N: usize>(line: &mut Fields<'_>, places: [&mut u64; N]) -> Result<(), ParseError> {
    for place in places {
        *place = line.u64("count")?;
    }
    Ok(())
}

/// How many follow, and those.
fn counts(line: &mut Fields<'_>) -> Result<Vec<u64>, ParseError> {
    line.u64("number of counts")?;
    let mut counts = Vec::new();
    while let Some(word) = line.next() {
        counts.push(text::u64(word).ok_or_else(|| line.error("count", Problem::NotANumber))?);
    }
    Ok(counts)
}

/// Procedures of version 2 (RFC 1094).
pub const PROCEDURES_2: [&str; 18] = [
    "null", "getattr", "setattr", "root", "lookup", "readlink", "read", "wrcache", "write",
    "create", "remove", "rename", "link", "symlink", "mkdir", "rmdir", "readdir", "fsstat",
];

/// Procedures of version 3 (RFC 1813).
pub const PROCEDURES_3: [&str; 22] = [
    "null",
    "getattr",
    "setattr",
    "lookup",
    "access",
    "readlink",
    "read",
    "write",
    "create",
    "mkdir",
    "symlink",
    "mknod",
    "remove",
    "rmdir",
    "rename",
    "link",
    "readdir",
    "readdirplus",
    "fsstat",
    "fsinfo",
    "pathconf",
    "commit",
];

/// Operations of a client's version 4, in the order of `NFSPROC4_CLNT_*` in `include/linux/nfs4.h`.
pub const CLIENT_OPERATIONS: [&str; 69] = [
    "null",
    "read",
    "write",
    "commit",
    "open",
    "open_confirm",
    "open_noattr",
    "open_downgrade",
    "close",
    "setattr",
    "fsinfo",
    "renew",
    "setclientid",
    "setclientid_confirm",
    "lock",
    "lockt",
    "locku",
    "access",
    "getattr",
    "lookup",
    "lookup_root",
    "remove",
    "rename",
    "link",
    "symlink",
    "create",
    "pathconf",
    "statfs",
    "readlink",
    "readdir",
    "server_caps",
    "delegreturn",
    "getacl",
    "setacl",
    "fs_locations",
    "release_lockowner",
    "secinfo",
    "fsid_present",
    "exchange_id",
    "create_session",
    "destroy_session",
    "sequence",
    "get_lease_time",
    "reclaim_complete",
    "layoutget",
    "getdeviceinfo",
    "layoutcommit",
    "layoutreturn",
    "secinfo_no_name",
    "test_stateid",
    "free_stateid",
    "getdevicelist",
    "bind_conn_to_session",
    "destroy_clientid",
    "seek",
    "allocate",
    "deallocate",
    "layoutstats",
    "clone",
    "copy",
    "offload_cancel",
    "lookupp",
    "layouterror",
    "copy_notify",
    "getxattr",
    "setxattr",
    "listxattrs",
    "removexattr",
    "read_plus",
];

/// Operations of a server's version 4, by their numbers (RFC 7530, 8881, 7862, 8276); the first three are none.
pub const SERVER_OPERATIONS: [&str; 76] = [
    "op0",
    "op1",
    "op2",
    "access",
    "close",
    "commit",
    "create",
    "delegpurge",
    "delegreturn",
    "getattr",
    "getfh",
    "link",
    "lock",
    "lockt",
    "locku",
    "lookup",
    "lookupp",
    "nverify",
    "open",
    "openattr",
    "open_confirm",
    "open_downgrade",
    "putfh",
    "putpubfh",
    "putrootfh",
    "read",
    "readdir",
    "readlink",
    "remove",
    "rename",
    "renew",
    "restorefh",
    "savefh",
    "secinfo",
    "setattr",
    "setclientid",
    "setclientid_confirm",
    "verify",
    "write",
    "release_lockowner",
    "backchannel_ctl",
    "bind_conn_to_session",
    "exchange_id",
    "create_session",
    "destroy_session",
    "free_stateid",
    "get_dir_delegation",
    "getdeviceinfo",
    "getdevicelist",
    "layoutcommit",
    "layoutget",
    "layoutreturn",
    "secinfo_no_name",
    "sequence",
    "set_ssv",
    "test_stateid",
    "want_delegation",
    "destroy_clientid",
    "reclaim_complete",
    "allocate",
    "copy",
    "copy_notify",
    "deallocate",
    "io_advise",
    "layouterror",
    "layoutstats",
    "offload_cancel",
    "offload_status",
    "read_plus",
    "seek",
    "write_same",
    "clone",
    "getxattr",
    "setxattr",
    "listxattrs",
    "removexattr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_tells_what_it_asked() {
        let client = parse_client(
            b"net 18628 1 18627 6\nrpc 4329785 7 4338291\nproc2 18 2 69 0 0 4410 0 0 0 0 0 0 0 0 0 0 0 99 2\n\
            proc3 22 1 4084749 29200 94754 32580 186 47747 7981 8639 0 6356 0 6962 0 7958 0 0 241 4 4 2 39\nproc4 3 0 98 51\nproc5 x\n",
        )
        .expect("parsed");
        assert_eq!(client.net, Net { packets: 18_628, udp: 1, tcp: 18_627, tcp_connections: 6 });
        assert_eq!(
            (client.calls, client.retransmissions, client.credential_refreshes),
            (4_329_785, 7, 4_338_291)
        );
        let of = |mut all: Box<dyn Iterator<Item = (&'static str, u64)> + '_>, name| {
            all.find(|(known, _)| *known == name).map(|(_, count)| count)
        };
        assert_eq!(of(Box::new(client.procedures.version_2()), "readdir"), Some(99));
        assert_eq!(of(Box::new(client.procedures.version_3()), "commit"), Some(39));
        assert_eq!(of(Box::new(client.procedures.client_operations()), "write"), Some(51));
        assert_eq!(client.skipped.lines, 0);
        assert_eq!(
            parse_client(b"net 1 2 3\nrpc 1 2 3\n").map(|client| client.skipped.lines),
            Ok(1)
        );
        assert!(parse_client(b"").is_err());
    }

    #[test]
    fn a_server_tells_what_it_answered() {
        let server = parse_server(
            b"rc 0 6 18622\nfh 5 0 0 0 0\nio 157286400 4096\nth 8 0 0.000\nra 32 0\nnet 18628 0 18628 6\nrpc 18628 3 1 2 0\n\
            proc3 3 2 112 0\nproc4 2 2 10853\nproc4ops 76 0 0 0 1098 2\n",
        )
        .expect("parsed");
        assert_eq!((server.cache_hits, server.cache_misses, server.not_cached), (0, 6, 18_622));
        assert_eq!((server.stale_handles, server.threads), (5, 8));
        assert_eq!((server.read_bytes, server.written_bytes), (157_286_400, 4096));
        assert_eq!((server.calls, server.bad_format, server.bad_authentication), (18_628, 1, 2));
        assert_eq!(server.procedures.version_4, [2, 10_853]);
        assert_eq!(
            server.operations().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
            [("access", 1098), ("close", 2)]
        );
    }

    #[test]
    fn operations_have_their_rfcs_numbers() {
        let number = |name| SERVER_OPERATIONS.iter().position(|known| *known == name);
        assert_eq!(
            (number("access"), number("write"), number("reclaim_complete")),
            (Some(3), Some(38), Some(58))
        );
        assert_eq!((number("clone"), number("removexattr")), (Some(71), Some(75)));
    }
}
