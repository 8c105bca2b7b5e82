//! Every line arrives once, in order, with what the path and the configuration say of it.

use crate::agent::Settings;
use crate::rig::Rig;

#[test]
fn lines_arrive_once_and_in_order_from_before_the_start_and_through_rotation_and_restart() {
    let rig = Rig::new();
    let mut web = rig.pod("web");
    web.lines(200);
    web.rotate();
    web.lines(200);
    let mut receiver = rig.receiver();
    let mut agent = rig.agent(&Settings::to(receiver.grpc));
    receiver.wait_for_records(400);

    // Born while the agent runs.
    let mut worker = rig.pod("worker");
    for _ in 0..3 {
        web.lines(100);
        web.rotate();
        worker.lines(100);
    }
    worker.restart();
    worker.lines(50);
    web.lines(50);
    receiver.wait_for_records(400 + 700);
    agent.stop();

    let records = receiver.records();
    web.assert_exact(&records);
    worker.assert_exact(&records);
    for record in &records {
        assert_eq!(record["namespace"], "shop", "{record}");
        assert_eq!(record["container"], "app", "{record}");
        assert_eq!(record["stream"], "stdout", "{record}");
        let resource = &record["resource"];
        let pod = record["pod"].as_str().unwrap();
        assert_eq!(resource["k8s.pod.uid"], format!("uid-of-{pod}"), "{record}");
        assert_eq!(resource["k8s.cluster.name"], "test", "{record}");
        assert_eq!(resource["k8s.node.name"], "node-1", "{record}");
        assert_eq!(resource["team"], "core", "{record}");
    }
    let restarts = |record: &serde_json::Value| {
        record["resource"]["k8s.container.restart_count"].as_u64().unwrap()
    };
    let of_worker = records.iter().filter(|record| record["pod"] == "worker");
    let of_worker: Vec<_> = of_worker.map(restarts).collect();
    assert_eq!(of_worker, [[0; 300].as_slice(), &[1; 50]].concat());
}

#[test]
fn pieces_are_joined_for_each_output_apart() {
    let rig = Rig::new();
    let mut web = rig.pod("web");
    let mut receiver = rig.receiver();
    let mut agent = rig.agent(&Settings::to(receiver.grpc));
    for _ in 0..100 {
        let (out, err) = (web.number(), web.number());
        web.piece("stdout", 'P', &format!("{out} first "));
        web.piece("stderr", 'P', &format!("{err} other "));
        web.piece("stdout", 'P', "second ");
        web.piece("stdout", 'F', "third");
        web.piece("stderr", 'F', "end");
    }
    receiver.wait_for_records(200);
    agent.stop();
    let records = receiver.records();
    web.assert_exact(&records);
    for record in &records {
        let body = record["body"].as_str().unwrap();
        let end = if record["stream"] == "stdout" { " first second third" } else { " other end" };
        assert!(body.ends_with(end), "{record}");
    }
}
