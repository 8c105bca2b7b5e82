//! What the host asks of NFS servers, and what it answers as one.

use hawsepipe_host::nfs::{self, Net, NfsClient, NfsServer};

use crate::collector::{CollectError, Collector, Need};
use crate::points::{Points, Series};
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "nfs",
    about: "What the host asks of NFS servers, and what it answers as one. A host that does neither tells nothing",
    reads: &["/proc/1/net/rpc/nfs", "/proc/1/net/rpc/nfsd"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Packets of the client
    CLIENT_NET: Counter Int "nfs.client.net.count" "{record}" ["network.transport"] on;
    /// TCP connections of the client
    CLIENT_CONNECTIONS: Counter Int "nfs.client.net.tcp.connection.accepted" "{connection}" [] on;
    /// Calls of the client
    CLIENT_CALLS: Counter Int "nfs.client.rpc.count" "{request}" [] on;
    /// Calls that the client sent again
    CLIENT_RETRANSMITS: Counter Int "nfs.client.rpc.retransmit.count" "{retransmit}" [] on;
    /// Times that the client's credentials were made anew
    CLIENT_REFRESHES: Counter Int "nfs.client.rpc.authrefresh.count" "{authrefresh}" [] on;
    /// Calls of the client in version 3, by procedure
    CLIENT_PROCEDURES: Counter Int "nfs.client.procedure.count" "{procedure}"
        ["onc_rpc.version", "onc_rpc.procedure.name"] on;
    /// Operations of the client in version 4
    CLIENT_OPERATIONS: Counter Int "nfs.client.operation.count" "{operation}"
        ["onc_rpc.version", "nfs.operation.name"] on;
    /// Packets of the server
    SERVER_NET: Counter Int "nfs.server.net.count" "{request}" ["network.transport"] on;
    /// TCP connections that the server accepted
    SERVER_CONNECTIONS: Counter Int "nfs.server.net.tcp.connection.accepted" "{connection}" [] on;
    /// Calls that the server refused, by what was wrong with them
    SERVER_CALLS: Counter Int "nfs.server.rpc.count" "{request}" ["error.type"] on;
    /// Calls that the server answered, by procedure
    SERVER_PROCEDURES: Counter Int "nfs.server.procedure.count" "{procedure}"
        ["onc_rpc.version", "onc_rpc.procedure.name"] on;
    /// Operations that the server did in version 4
    SERVER_OPERATIONS: Counter Int "nfs.server.operation.count" "{operation}"
        ["onc_rpc.version", "nfs.operation.name"] on;
    /// Bytes that the server read from disks (`receive`) and wrote to them (`transmit`)
    SERVER_IO: Counter Int "nfs.server.io" "By" ["network.io.direction"] on;
    /// Calls by whether their answer was kept from the same call before
    SERVER_CACHE: Counter Int "nfs.server.repcache.requests" "{request}"
        ["nfs.server.repcache.status"] on;
    /// Handles of files that are gone
    SERVER_STALE: Counter Int "nfs.server.fh.stale.count" "{fh}" [] on;
    /// Threads of the server
    SERVER_THREADS: UpDownCounter Int "nfs.server.thread.count" "{thread}" [] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let (client, server) = (tick.read(nfs::client), tick.read(nfs::server));
    if let (Err(CollectError::Read(client)), Err(CollectError::Read(server))) = (&client, &server)
        && client.is_missing()
        && server.is_missing()
    {
        let reason = "the host is neither client nor server of NFS".to_owned();
        return Err(CollectError::Unavailable(reason));
    }
    match client {
        Ok(client) => tell_client(&client, out),
        Err(error) => problem(error, out),
    }
    match server {
        Ok(server) => tell_server(&server, out),
        Err(error) => problem(error, out),
    }
    Ok(())
}

/// A host that is one of the two has the other's file not.
fn problem(error: CollectError, out: &mut Points) {
    if !matches!(&error, CollectError::Read(read) if read.is_missing()) {
        out.problem(error);
    }
}

fn tell_client(client: &NfsClient, out: &mut Points) {
    tell_net(out.metric(&CLIENT_NET), &client.net);
    out.metric(&CLIENT_CONNECTIONS).push(client.net.tcp_connections, &[]);
    out.metric(&CLIENT_CALLS).push(client.calls, &[]);
    out.metric(&CLIENT_RETRANSMITS).push(client.retransmissions, &[]);
    out.metric(&CLIENT_REFRESHES).push(client.credential_refreshes, &[]);
    tell_calls(&mut out.metric(&CLIENT_PROCEDURES), "3", client.procedures.version_3());
    tell_calls(&mut out.metric(&CLIENT_OPERATIONS), "4", client.procedures.client_operations());
}

fn tell_server(server: &NfsServer, out: &mut Points) {
    tell_net(out.metric(&SERVER_NET), &server.net);
    out.metric(&SERVER_CONNECTIONS).push(server.net.tcp_connections, &[]);
    let mut calls = out.metric(&SERVER_CALLS);
    calls.push(server.bad_format, &["format"]);
    calls.push(server.bad_authentication, &["auth"]);
    calls.push(server.bad_client, &["client"]);
    let mut procedures = out.metric(&SERVER_PROCEDURES);
    tell_calls(&mut procedures, "3", server.procedures.version_3());
    let of_4 = ["null", "compound"].into_iter().zip(server.procedures.version_4.iter().copied());
    tell_calls(&mut procedures, "4", of_4);
    // The first three numbers have no operation.
    let operations = server.operations().filter(|(name, _)| !["op0", "op1", "op2"].contains(name));
    tell_calls(&mut out.metric(&SERVER_OPERATIONS), "4", operations);
    let mut io = out.metric(&SERVER_IO);
    io.push(server.read_bytes, &["receive"]);
    io.push(server.written_bytes, &["transmit"]);
    let mut cache = out.metric(&SERVER_CACHE);
    cache.push(server.cache_hits, &["hit"]);
    cache.push(server.cache_misses, &["miss"]);
    cache.push(server.not_cached, &["nocache"]);
    out.metric(&SERVER_STALE).push(server.stale_handles, &[]);
    out.metric(&SERVER_THREADS).push(server.threads, &[]);
}

fn tell_net(mut series: Series<'_>, net: &Net) {
    series.push(net.udp, &["udp"]);
    series.push(net.tcp, &["tcp"]);
}

/// By their names in the Collector's nfs scraper, which has them in capitals.
fn tell_calls(
    series: &mut Series<'_>,
    version: &str,
    calls: impl Iterator<Item = (&'static str, u64)>,
) {
    for (name, count) in calls {
        series.push(count, &[version, &name.to_ascii_uppercase()]);
    }
}
