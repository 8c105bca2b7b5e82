//! What readers get: what they selected, in order, without gap or repetition.

use std::time::Duration;

use hawsepipe_proto::v1::QueryRequest;
use hawsepipe_receive::Running;
use hawsepipe_receive::store::MIN_MAX_BYTES;
use tonic::Code;

use crate::harness::*;

async fn send(running: &Running, pod: &str, lines: &[&str]) {
    let mut client = logs_client(running).await;
    client.export(request(pod, lines.iter().copied())).await.unwrap();
}

#[tokio::test]
async fn a_query_selects_by_names_time_and_text() {
    let rig = Rig::new();
    let running = rig.start().await;
    send(&running, "shop/web-1/app", &["a1", "a2", "a3"]).await;
    send(&running, "shop/web-1/proxy", &["p1"]).await;
    send(&running, "shop/web-2/app", &["b1"]).await;
    send(&running, "other/web-1/app", &["o1"]).await;
    let select = |namespace: &str, pod: &str, container: &str| QueryRequest {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
        ..all()
    };
    for (query, expected) in [
        (select("shop", "web-1", "app"), vec!["web-1: a1", "web-1: a2", "web-1: a3"]),
        (select("shop", "web-1", "p*"), vec!["web-1: p1"]),
        (select("", "web-[2-9]", ""), vec!["web-2: b1"]),
        (select("{other,none}", "", ""), vec!["web-1: o1"]),
        (select("shop", "web", ""), vec![]),
        (QueryRequest { since_unix_nano: 2, until_unix_nano: 3, ..all() }, vec!["web-1: a2"]),
        (QueryRequest { grep: "^[bo]1$".to_owned(), ..all() }, vec!["web-2: b1", "web-1: o1"]),
        (
            QueryRequest { tail: Some(2), ..select("shop", "web-1", "app") },
            vec!["web-1: a2", "web-1: a3"],
        ),
        (
            QueryRequest { tail: Some(2), grep: "1".to_owned(), ..select("shop", "", "") },
            vec!["web-1: p1", "web-2: b1"],
        ),
        (QueryRequest { tail: Some(0), ..all() }, vec![]),
    ] {
        assert_eq!(lines(&running, query.clone()).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn what_a_container_wrote_and_the_events_about_it_are_told_apart() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut about = request("shop/web/app", ["it is slow"]);
    about.resource_logs[0].scope_logs[0].log_records[0].event_name = "k8s.event".to_owned();
    logs_client(&running).await.export(about).await.unwrap();
    send(&running, "shop/web/app", &["hello"]).await;
    let events = QueryRequest { events: true, ..all() };
    assert_eq!(lines(&running, all()).await, ["web: hello"]);
    assert_eq!(lines(&running, events.clone()).await, ["web: it is slow"]);
    let named = QueryRequest { pod: "web".to_owned(), ..events };
    assert_eq!(lines(&running, named.clone()).await, ["web: it is slow"]);
    let none = QueryRequest { pod: "w".to_owned(), ..named.clone() };
    assert!(Answer::new(&running, none).await.unwrap().selection.containers.is_empty());
    let selection = Answer::new(&running, named).await.unwrap().selection;
    assert_eq!(selection.containers.len(), 1);
}

#[tokio::test]
async fn an_answer_names_its_containers_and_describes_each_source_once() {
    let rig = Rig::new();
    let running = rig.start().await;
    for _ in 0..3 {
        send(&running, "ns/pod/c", &["one", "two"]).await;
    }
    let mut answer = Answer::new(&running, all()).await.unwrap();
    assert!(answer.selection.complete);
    let [container] = &answer.selection.containers[..] else {
        panic!("{:?}", answer.selection);
    };
    assert_eq!((&*container.pod, &*container.container), ("pod", "c"));
    while answer.next().await.unwrap().is_some() {}
    let [source] = &answer.sources[..] else {
        panic!("{:?}", answer.sources);
    };
    assert_eq!(source.pod_uid, "uid-of-pod");
    assert_eq!(source.attributes.len(), 4);
}

#[tokio::test]
async fn more_sources_than_have_numbers_are_told_apart() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    let mut together = request("ns/pod-0/c", ["line 0"]);
    for n in 1..3000 {
        let one = request(&format!("ns/pod-{n}/c"), [format!("line {n}")]);
        together.resource_logs.extend(one.resource_logs);
    }
    client.export(together).await.unwrap();
    let expected: Vec<String> = (0..3000).map(|n| format!("pod-{n}: line {n}")).collect();
    assert_eq!(lines(&running, all()).await, expected);
    // More than a frame names: still found.
    let one = QueryRequest { pod: "pod-2999".to_owned(), ..all() };
    let answer = Answer::new(&running, one.clone()).await.unwrap();
    assert!(!answer.selection.complete);
    assert_eq!(lines(&running, one).await, ["pod-2999: line 2999"]);
}

#[tokio::test]
async fn following_goes_from_history_into_live_without_gap_or_repetition() {
    let mut rig = Rig::new();
    // Small, so that segments change while the reader is under way.
    rig.settings.store.max_bytes = 2 * MIN_MAX_BYTES;
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    let writer = tokio::spawn(async move {
        for n in 0..400_u64 {
            let lines = (0..5).map(|m| format!("{} {}", n * 5 + m, noise(n, 8).concat()));
            client.export(request("ns/pod/c", lines)).await.unwrap();
        }
    });
    let follow = QueryRequest { follow: true, ..all() };
    // Begun while the writer writes.
    let mut answer = Answer::new(&running, follow).await.unwrap();
    for n in 0..2000 {
        let line = answer.next().await.unwrap().unwrap();
        assert!(line.starts_with(&format!("pod: {n} ")), "{n}: {line}");
    }
    writer.await.unwrap();
    assert_eq!(answer.gaps, 0);
    assert!(running.status().store.segments > 1);
}

#[tokio::test]
async fn following_with_a_tail_gives_the_last_and_then_the_new() {
    let rig = Rig::new();
    let running = rig.start().await;
    send(&running, "ns/pod/c", &["1", "2", "3"]).await;
    let tail = |tail| QueryRequest { follow: true, tail: Some(tail), ..all() };
    let mut last = Answer::new(&running, tail(1)).await.unwrap();
    let mut new = Answer::new(&running, tail(0)).await.unwrap();
    // The first response says that a query has begun, and from where.
    send(&running, "ns/pod/c", &["4"]).await;
    assert_eq!(last.next().await.unwrap().unwrap(), "pod: 3");
    assert_eq!(last.next().await.unwrap().unwrap(), "pod: 4");
    assert_eq!(new.next().await.unwrap().unwrap(), "pod: 4");
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_no_sender_and_is_told_what_it_missed() {
    let mut rig = Rig::new();
    rig.settings.store.max_bytes = 4 * MIN_MAX_BYTES;
    let running = rig.start().await;
    send(&running, "ns/pod/c", &["first"]).await;
    let follow = QueryRequest { follow: true, ..all() };
    let mut answer = Answer::new(&running, follow).await.unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap(), "pod: first");
    let mut client = logs_client(&running).await;
    for seed in 0..20 {
        // 7 MB after compression: more than the store holds, more than any window between.
        let export = client.export(request("ns/pod/c", noise(seed, 10_000)));
        let exported = tokio::time::timeout(Duration::from_secs(30), export).await;
        exported.expect("senders are not held up").unwrap();
    }
    client.export(request("ns/pod/c", ["last"])).await.unwrap();
    let mut read = 0;
    while answer.next().await.unwrap().unwrap() != "pod: last" {
        read += 1;
    }
    assert!(read < 200_000);
    assert!(answer.gaps > 0);
}

#[tokio::test]
async fn a_wrong_pattern_or_key_is_refused_with_a_reason() {
    let rig = Rig::new();
    let running = rig.start().await;
    for query in [
        QueryRequest { grep: "a(".to_owned(), ..all() },
        QueryRequest { pod: "web-[".to_owned(), ..all() },
    ] {
        let status = Answer::new(&running, query).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let channel = channel(&running).await;
    let mut client = hawsepipe_proto::v1::log_query_client::LogQueryClient::new(channel);
    let status = client.query(all()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_shutdown_ends_followers_with_a_reason() {
    let rig = Rig::new();
    let running = rig.start().await;
    let follow = QueryRequest { follow: true, ..all() };
    let mut answer = Answer::new(&running, follow).await.unwrap();
    let stopped = tokio::spawn(running.shutdown());
    let status = answer.next().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    stopped.await.unwrap();
}
