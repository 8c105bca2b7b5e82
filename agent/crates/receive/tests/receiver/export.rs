//! What senders get: taken, or told why not.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::fs;
use std::io::Write;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use hawsepipe_receive::{Running, TlsFiles};

use crate::harness::*;

struct Answered {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Answered {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// POSTs to the HTTP port with the right key, unless `headers` hold another.
async fn post(
    running: &Running,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answered {
    let mut request = http::Request::post(format!("http://{}{path}", running.http_addr()));
    if !headers.iter().any(|(name, _)| matches!(*name, "x-api-key" | "authorization")) {
        request = request.header("x-api-key", KEY);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = request.body(Full::new(body.into())).unwrap();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    Answered {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[tokio::test]
async fn logs_are_taken_over_grpc_plain_gzip_and_zstd() {
    let rig = Rig::new();
    let running = rig.start().await;
    for (pod, encoding) in [
        ("plain", None),
        ("gzip", Some(CompressionEncoding::Gzip)),
        ("zstd", Some(CompressionEncoding::Zstd)),
    ] {
        let mut client = logs_client(&running).await;
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        client.export(request(&format!("ns/{pod}/c"), ["one", "two"])).await.unwrap();
    }
    assert_eq!(
        lines(&running, all()).await,
        ["plain: one", "plain: two", "gzip: one", "gzip: two", "zstd: one", "zstd: two"]
    );
    let received = running.status().received["logs"];
    assert_eq!((received.requests, received.records), (3, 6));
}

#[tokio::test]
async fn logs_are_taken_over_http_in_every_encoding() {
    let rig = Rig::new();
    let running = rig.start().await;
    let body = |pod: &str| request(&format!("ns/{pod}/c"), ["a line"]).encode_to_vec();
    let cases = [
        ("plain", None, body("plain")),
        ("gzip", Some("gzip"), gzip(&body("gzip"))),
        ("zstd", Some("zstd"), zstd::encode_all(&body("zstd")[..], 1).unwrap()),
    ];
    for (pod, encoding, body) in cases {
        let mut headers = vec![PROTOBUF];
        headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
        let answered = post(&running, "/v1/logs", &headers, body).await;
        assert_eq!(answered.status, 200, "{pod}: {}", answered.text());
        assert_eq!(answered.headers["content-type"], "application/x-protobuf");
        assert!(answered.body.is_empty());
    }
    // As the OTLP/JSON example of opentelemetry-proto writes it: times as strings, keys in lowerCamelCase, enums
    // as numbers, fields that nobody knows.
    let json = r#"{"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "k8s.namespace.name", "value": {"stringValue": "ns"}},
            {"key": "k8s.pod.name", "value": {"stringValue": "json"}},
            {"key": "k8s.container.name", "value": {"stringValue": "c"}}
        ]},
        "scopeLogs": [{"scope": {"name": "s", "version": "1"}, "logRecords": [{
            "timeUnixNano": "1544712660300000000", "observedTimeUnixNano": "1544712660300000001",
            "severityNumber": 10, "severityText": "Information", "notAField": [1, 2],
            "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
            "body": {"stringValue": "a line"},
            "attributes": [
                {"key": "n", "value": {"intValue": "10"}},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}]}}}
            ]
        }]}]
    }]}"#;
    let headers = [("content-type", "application/json; charset=utf-8")];
    let answered = post(&running, "/v1/logs", &headers, json).await;
    assert_eq!((answered.status, answered.text().as_str()), (200, "{}"));
    assert_eq!(
        lines(&running, all()).await,
        ["plain: a line", "gzip: a line", "zstd: a line", "json: a line"]
    );
}

#[tokio::test]
async fn metrics_and_traces_are_taken_and_counted() {
    let rig = Rig::new();
    let running = rig.start().await;
    let traces = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![Span::default(), Span::default()],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let mut client = TraceServiceClient::with_interceptor(channel(&running).await, key(KEY));
    client.export(traces.clone()).await.unwrap();
    let answered = post(&running, "/v1/traces", &[PROTOBUF], traces.encode_to_vec()).await;
    assert_eq!(answered.status, 200);
    let metrics = r#"{"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asDouble": 1.5}]}},
        {"name": "s", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
                              "dataPoints": [{"asInt": "3"}, {"asInt": "4"}]}}
    ]}]}]}"#;
    let answered = post(&running, "/v1/metrics", &[JSON], metrics).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let empty = ExportMetricsServiceRequest::default().encode_to_vec();
    assert_eq!(post(&running, "/v1/metrics", &[PROTOBUF], empty).await.status, 200);
    let received = running.status().received;
    assert_eq!(received["traces"].records, 4);
    assert_eq!(received["metrics"].records, 3);
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_on_both_ports_with_the_header_to_use() {
    let rig = Rig::new();
    let running = rig.start().await;
    let send = request("ns/pod/c", ["secret"]);
    let says_so = |message: &str| {
        assert!(message.contains("x-api-key"), "{message}");
        assert!(!message.contains(KEY), "{message}");
    };

    let mut keyless = LogsServiceClient::new(channel(&running).await);
    let status = keyless.export(send.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    says_so(status.message());

    let channel = channel(&running).await;
    let mut wrong = LogsServiceClient::with_interceptor(channel, key("the-key-of-the-tesT"));
    let status = wrong.export(send.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    says_so(status.message());

    for path in ["/v1/logs", "/nowhere"] {
        for headers in [[PROTOBUF, ("x-api-key", "no")], [PROTOBUF, ("authorization", "Basic x")]] {
            let answered = post(&running, path, &headers, send.encode_to_vec()).await;
            assert_eq!(answered.status, 401);
            let status = RpcStatus::decode(answered.body).unwrap();
            assert_eq!(status.code, Code::Unauthenticated as i32);
            says_so(&status.message);
        }
    }
    let answered = post(&running, "/v1/logs", &[JSON, ("x-api-key", "no")], "{}").await;
    assert_eq!(answered.status, 401);
    assert!(answered.text().starts_with(r#"{"code":16,"message":"#), "{}", answered.text());

    let mut bearer = [PROTOBUF, ("authorization", "")];
    let token = format!("Bearer {KEY}");
    bearer[1].1 = &token;
    assert_eq!(post(&running, "/v1/logs", &bearer, send.encode_to_vec()).await.status, 200);
    assert_eq!(lines(&running, all()).await, ["pod: secret"]);
    let refused = running.status().refused;
    assert_eq!((refused["key_missing"], refused["key_wrong"]), (3, 4));
}

#[tokio::test]
async fn a_key_that_changes_in_its_file_holds_for_the_next_request() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    client.export(request("ns/pod/c", ["one"])).await.unwrap();
    let next = rig.folder.path().join("key.next");
    fs::write(&next, "another-key").unwrap();
    fs::rename(&next, &rig.settings.key_file).unwrap();
    let status = client.export(request("ns/pod/c", ["two"])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let channel = channel(&running).await;
    let mut client = LogsServiceClient::with_interceptor(channel, key("another-key"));
    client.export(request("ns/pod/c", ["three"])).await.unwrap();
}

#[tokio::test]
async fn garbage_is_answered_with_a_status_that_is_final() {
    let rig = Rig::new();
    let running = rig.start().await;
    for (headers, body, http) in [
        (vec![PROTOBUF], "\u{1}garbage", 400),
        (vec![JSON], "{\"resourceLogs\": 7}", 400),
        (vec![JSON], "{", 400),
        (vec![PROTOBUF, ("content-encoding", "gzip")], "no gzip", 400),
        (vec![PROTOBUF, ("content-encoding", "zstd")], "no zstd", 400),
        (vec![PROTOBUF, ("content-encoding", "br")], "brotli", 415),
        (vec![("content-type", "text/plain")], "a line", 415),
        (vec![], "a line", 415),
    ] {
        let answered = post(&running, "/v1/logs", &headers, body).await;
        assert_eq!(answered.status, http, "{headers:?} {body}");
        let code = Code::InvalidArgument as i32;
        if headers.contains(&PROTOBUF) {
            let status = RpcStatus::decode(answered.body).unwrap();
            assert_eq!(status.code, code);
            assert!(!status.message.is_empty());
        } else {
            let status: serde_json::Value = serde_json::from_slice(&answered.body).unwrap();
            assert_eq!(status["code"], code, "{status}");
        }
    }
    assert_eq!(post(&running, "/v1/nothing", &[PROTOBUF], "").await.status, 404);

    // Over gRPC: bytes that are no request, sent as one.
    let mut grpc = tonic::client::Grpc::new(channel(&running).await);
    grpc.ready().await.unwrap();
    let mut garbage = tonic::Request::new(tonic_garbage());
    garbage.metadata_mut().insert("x-api-key", KEY.parse().unwrap());
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<RpcStatus, RpcStatus>::default();
    let status = grpc.unary(garbage, path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert_eq!(running.status().refused["malformed"], 6);
    assert_eq!(lines(&running, all()).await, [""; 0]);
}

/// A message whose field 1 is a number where an export request has resource logs.
fn tonic_garbage() -> RpcStatus {
    RpcStatus { code: 7, message: String::new() }
}

#[tokio::test]
async fn an_unknown_compression_over_grpc_is_answered_with_those_that_are_known() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut client = logs_client(&running).await.send_compressed(CompressionEncoding::Deflate);
    let status = client.export(request("ns/pod/c", ["one"])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let known = status.metadata().get("grpc-accept-encoding").unwrap();
    assert_eq!(known, "gzip,zstd,identity");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_for_good_also_when_it_is_packed() {
    let mut rig = Rig::new();
    rig.settings.max_message_bytes = 100_000;
    let running = rig.start().await;
    let large = request("ns/pod/c", ["x".repeat(200_000)]);
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut client = logs_client(&running).await;
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let status = client.export(large.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding:?}: {status}");
    }
    let raw = large.encode_to_vec();
    let packed = zstd::encode_all(&raw[..], 1).unwrap();
    for (headers, body) in [
        (vec![PROTOBUF], raw.clone()),
        (vec![PROTOBUF, ("content-encoding", "gzip")], gzip(&raw)),
        (vec![PROTOBUF, ("content-encoding", "zstd")], packed),
    ] {
        let answered = post(&running, "/v1/logs", &headers, body).await;
        assert_eq!(answered.status, 413);
        let status = RpcStatus::decode(answered.body).unwrap();
        assert!(status.message.contains("100000 bytes"), "{}", status.message);
    }
    assert_eq!(running.status().refused["too_large"], 6);
    assert_eq!(lines(&running, all()).await, [""; 0]);
}

#[tokio::test]
async fn both_ports_speak_tls_and_take_a_new_certificate_without_a_restart() {
    let mut rig = Rig::new();
    let cert_file = rig.folder.path().join("tls.crt");
    let key_file = rig.folder.path().join("tls.key");
    let issue = || {
        let made = rcgen::generate_simple_self_signed(["receiver.test".to_owned()]).unwrap();
        fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
        fs::write(&cert_file, made.cert.pem()).unwrap();
        Certificate::from_pem(made.cert.pem())
    };
    let first = issue();
    rig.settings.tls = Some(TlsFiles { cert_file: cert_file.clone(), key_file: key_file.clone() });
    let running = rig.start().await;
    let connect = async |port: std::net::SocketAddr, ca: &Certificate| {
        let tls = ClientTlsConfig::new().ca_certificate(ca.clone()).domain_name("receiver.test");
        let endpoint = Channel::from_shared(format!("https://{port}")).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    };
    let channel = connect(running.grpc_addr(), &first).await.unwrap();
    let mut client = LogsServiceClient::with_interceptor(channel, key(KEY));
    client.export(request("ns/pod/c", ["over TLS"])).await.unwrap();
    connect(running.http_addr(), &first).await.unwrap();

    let second = issue();
    connect(running.grpc_addr(), &second).await.unwrap();
    connect(running.grpc_addr(), &first).await.unwrap_err();
    // A connection that was there stays.
    client.export(request("ns/pod/c", ["still"])).await.unwrap();
    assert_eq!(running.status().store.records, 2);
}

#[tokio::test]
async fn an_empty_request_asks_whether_we_are_there_and_is_not_stored() {
    let rig = Rig::new();
    let running = rig.start().await;
    let mut client = logs_client(&running).await;
    client.export(ExportLogsServiceRequest::default()).await.unwrap();
    assert_eq!(running.status().store.segments, 0);
    assert_eq!(running.status().received["logs"].requests, 1);
}
