//! A fake API server: it speaks the protocol of lists, watches, bookmarks and 410 to `kube`'s client in memory, and can
//! go away, refuse, forget its history and go back to a backup, and takes writes by their version. It is a mock: what it shows is how this crate behaves, not how Kubernetes
//! does. The same promises are tested on a real API server in the end-to-end tests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{FutureExt, StreamExt};
use hawsepipe_cluster::Client;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use tower::BoxError;

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// No test asks so often unless something is a busy loop.
const TOO_MANY: usize = 1_000;

/// The fake API server. Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    version: u64,
    objects: Vec<Value>,
    /// What happened: resource version, collection, the line of the watch.
    history: Vec<(u64, String, String)>,
    /// Events up to this version are forgotten.
    compacted: u64,
    watches: Vec<(String, UnboundedSender<Result<Bytes, BoxError>>)>,
    requests: Vec<String>,
    /// What was accepted, by request.
    accepted: Vec<String>,
    streams: Streams,
    /// The next page that is not the first is forgotten.
    forget_page: bool,
    /// It is throttled: so many seconds.
    throttle_page: Option<u32>,
    /// The next requests for a list or a watch are answered with 429, each asking for so many seconds.
    throttled: Vec<u32>,
    away: bool,
    forbidden: BTreeSet<String>,
    /// Watches end as soon as they begin.
    hang_up: bool,
    /// Watches are refused with this code.
    refuse_watches: Option<u16>,
    /// Paths that this server does not know.
    missing: Vec<String>,
}

/// What becomes of the wish for a streamed list.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Streams {
    /// It is refused: 422.
    #[default]
    Refused,
    /// It begins, and ends with what an older etcd lacks: 500.
    Lacking,
    /// It is served.
    Served,
    /// It is not known: the watch is like any other.
    Ignored,
    /// It has no end, and begins with silence.
    Silent,
}

impl FakeApi {
    /// A client of this server.
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().now_or_never().expect("the body is in memory");
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                if api.state().requests.len() > TOO_MANY {
                    // A busy loop would keep the paused clock from moving on: let it wait, and be counted.
                    std::future::pending::<()>().await;
                }
                let accept = parts.headers.get(http::header::ACCEPT);
                let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
                api.state().accepted.push(accept);
                api.answer(parts.method.as_str(), &parts.uri.to_string(), &body)
            }
        });
        Client::new(service, "default")
    }

    /// All requests for `path` so far.
    pub(crate) fn requests(&self, path: &str) -> Vec<String> {
        self.state().requests.iter().filter(|uri| uri.starts_with(path)).cloned().collect()
    }

    /// What was accepted by all requests for `path` so far.
    pub(crate) fn accepted(&self, path: &str) -> Vec<String> {
        let state = self.state();
        let both = state.requests.iter().zip(&state.accepted);
        both.filter(|(uri, _)| uri.starts_with(path)).map(|(_, it)| it.clone()).collect()
    }

    /// What becomes of streamed lists.
    pub(crate) fn stream_lists(&self, streams: Streams) {
        self.state().streams = streams;
    }

    /// The next list in pages is forgotten in the middle of it: 410.
    pub(crate) fn forget_next_page(&self) {
        self.state().forget_page = true;
    }

    /// The next page that is not the first of a list is throttled: 429, with so many seconds to wait.
    pub(crate) fn throttle_next_page(&self, seconds: u32) {
        self.state().throttle_page = Some(seconds);
    }

    /// The next request is throttled: 429, with so many seconds to wait.
    pub(crate) fn throttle_next(&self, seconds: u32) {
        self.state().throttled.push(seconds);
    }

    /// Tells the watches of `collection` this line.
    pub(crate) fn say(&self, collection: &str, line: &Value) {
        for (_, watch) in self.state().watches.iter().filter(|(watched, _)| watched == collection) {
            drop(watch.unbounded_send(Ok(Bytes::from(format!("{line}\n")))));
        }
    }

    /// Adds or changes an object of `collection` (`pods`, `nodes`, ..); tells the watches.
    pub(crate) fn put(&self, collection: &str, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        object["kind"] = json!(collection);
        let uid = object["metadata"]["uid"].clone();
        let known = state.objects.iter().position(|known| known["metadata"]["uid"] == uid);
        let event = match known {
            Some(position) => {
                state.objects[position] = object.clone();
                "MODIFIED"
            }
            None => {
                state.objects.push(object.clone());
                "ADDED"
            }
        };
        state.tell(collection, event, &object);
    }

    /// Deletes the object with this UID; tells the watches.
    pub(crate) fn delete(&self, uid: &str) {
        let mut state = self.state();
        let mut object = state.remove(uid);
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let collection = object["kind"].as_str().expect("put sets it").to_owned();
        state.tell(&collection, "DELETED", &object);
    }

    /// Deletes the object with this UID and tells nobody, as when the event was missed.
    pub(crate) fn lose(&self, uid: &str) {
        self.state().remove(uid);
    }

    /// Forgets its history, and says so to all watches: 410.
    pub(crate) fn expire(&self) {
        let mut state = self.state();
        state.version += 1;
        state.compacted = state.version;
        state.history.clear();
        for (_, watch) in state.watches.drain(..) {
            drop(watch.unbounded_send(Ok(Bytes::from(gone_event()))));
        }
    }

    /// Moves on to `version`, and tells the watches of `collection` by a bookmark.
    pub(crate) fn bookmark(&self, collection: &str, version: u64) {
        let mut state = self.state();
        state.version = version;
        let meta = json!({"resourceVersion": version.to_string()});
        let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": meta});
        let line = format!("{}\n", json!({"type": "BOOKMARK", "object": object}));
        for (_, watch) in state.watches.iter().filter(|(watched, _)| watched == collection) {
            drop(watch.unbounded_send(Ok(Bytes::from(line.clone()))));
        }
    }

    /// Ends all watches, as after their time is over.
    pub(crate) fn end_watches(&self) {
        self.state().watches.clear();
    }

    /// Nobody listens any more; what was open breaks.
    pub(crate) fn go_away(&self) {
        let mut state = self.state();
        state.away = true;
        for (_, watch) in state.watches.drain(..) {
            drop(watch.unbounded_send(Err("connection reset by peer".into())));
        }
    }

    /// It is there again.
    pub(crate) fn come_back(&self) {
        self.state().away = false;
    }

    /// Forbids or allows a collection.
    pub(crate) fn forbid(&self, collection: &str, forbidden: bool) {
        let mut state = self.state();
        if forbidden {
            state.forbidden.insert(collection.to_owned());
        } else {
            state.forbidden.remove(collection);
        }
    }

    /// Whether watches end as soon as they begin.
    pub(crate) fn hang_up(&self, hang_up: bool) {
        self.state().hang_up = hang_up;
    }

    /// Whether watches are refused, and with which code.
    pub(crate) fn refuse_watches(&self, code: Option<u16>) {
        self.state().refuse_watches = code;
    }

    /// This server does not know what begins with `path`.
    pub(crate) fn lacks(&self, path: &str) {
        self.state().missing.push(path.to_owned());
    }

    /// A backup is restored: it is at `version` again, and ends all watches.
    pub(crate) fn restore(&self, version: u64) {
        let mut state = self.state();
        state.version = version;
        state.watches.clear();
        state.history.clear();
        let kept = |object: &Value| {
            let of = object["metadata"]["resourceVersion"].as_str().and_then(|it| it.parse().ok());
            of.is_none_or(|of: u64| of <= version)
        };
        state.objects.retain(kept);
    }

    /// The object of `collection` with this name.
    pub(crate) fn object(&self, collection: &str, name: &str) -> Option<Value> {
        let state = self.state();
        let named = |it: &&Value| it["kind"] == collection && it["metadata"]["name"] == name;
        state.objects.iter().find(named).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn answer(&self, method: &str, uri: &str, body: &[u8]) -> Result<Response<Body>, BoxError> {
        let mut state = self.state();
        state.requests.push(uri.to_owned());
        if state.away {
            return Err("tcp connect error: Connection refused".into());
        }
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        if path.ends_with("/selfsubjectaccessreviews") {
            return Ok(state.review(body));
        }
        if state.missing.iter().any(|missing| path.starts_with(missing)) {
            return Ok(status(404, "NotFound", "the server could not find the requested resource"));
        }
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        let collections = [
            "pods",
            "nodes",
            "namespaces",
            "jobs",
            "events",
            "leases",
            "replicasets",
            "services",
            "horizontalpodautoscalers",
        ];
        let position = segments.iter().rposition(|segment| collections.contains(segment));
        let position = position.expect("a known collection");
        let collection = segments[position];
        if state.forbidden.contains(collection) {
            return Ok(status(403, "Forbidden", "cannot list resource: RBAC"));
        }
        if method != "GET" {
            return Ok(state.write(method == "POST", collection, body));
        }
        if let Some(name) = segments.get(position + 1) {
            return Ok(state.get(collection, name));
        }
        if let Some(seconds) = state.throttled.pop() {
            return Ok(throttled(seconds));
        }
        if parameter(query, "sendInitialEvents") == Some("true") {
            return Ok(state.stream(collection));
        }
        if parameter(query, "watch") == Some("true") {
            return Ok(state.watch(collection, query));
        }
        Ok(state.list(collection, query))
    }
}

impl State {
    fn remove(&mut self, uid: &str) -> Value {
        let position = self.objects.iter().position(|object| object["metadata"]["uid"] == uid);
        self.objects.remove(position.expect("the object is there"))
    }

    fn tell(&mut self, collection: &str, event: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": event, "object": object}));
        for (_, watch) in self.watches.iter().filter(|(watched, _)| watched == collection) {
            drop(watch.unbounded_send(Ok(Bytes::from(line.clone()))));
        }
        self.history.push((self.version, collection.to_owned(), line));
    }

    fn list(&mut self, collection: &str, query: &str) -> Response<Body> {
        if parameter(query, "continue").is_some()
            && let Some(seconds) = self.throttle_page.take()
        {
            return throttled(seconds);
        }
        if self.forget_page && parameter(query, "continue").is_some() {
            self.forget_page = false;
            return status(410, "Expired", "The provided continue parameter is too old");
        }
        let all: Vec<_> =
            self.objects.iter().filter(|object| object["kind"] == collection).collect();
        let from = parameter(query, "continue").map_or(0, |from| from.parse().unwrap());
        let limit = parameter(query, "limit").map_or(all.len(), |limit| limit.parse().unwrap());
        let items: Vec<_> = all.iter().skip(from).take(limit).collect();
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        let remaining = all.len().saturating_sub(from + items.len());
        if remaining > 0 {
            metadata["continue"] = json!((from + items.len()).to_string());
            metadata["remainingItemCount"] = json!(remaining);
        }
        json_body(200, &json!({"kind": "List", "metadata": metadata, "items": items}))
    }

    /// Creates or updates, as an API server does: not what is there already, not by an old version.
    fn write(&mut self, create: bool, collection: &str, body: &[u8]) -> Response<Body> {
        let mut object: Value = serde_json::from_slice(body).unwrap();
        let named = |it: &Value| {
            it["kind"] == collection && it["metadata"]["name"] == object["metadata"]["name"]
        };
        let known = self.objects.iter().position(named);
        match known {
            Some(_) if create => return status(409, "AlreadyExists", "it exists"),
            None if !create => return status(404, "NotFound", "not found"),
            Some(at)
                if self.objects[at]["metadata"]["resourceVersion"]
                    != object["metadata"]["resourceVersion"] =>
            {
                return status(409, "Conflict", "the object has been modified");
            }
            _ => {}
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["uid"] = object["metadata"]["name"].clone();
        object["kind"] = json!(collection);
        match known {
            Some(at) => self.objects[at] = object.clone(),
            None => self.objects.push(object.clone()),
        }
        json_body(if create { 201 } else { 200 }, &typed(&object))
    }

    fn get(&self, collection: &str, name: &str) -> Response<Body> {
        let found = self
            .objects
            .iter()
            .find(|object| object["kind"] == collection && object["metadata"]["name"] == name);
        found.map_or_else(|| status(404, "NotFound", "not found"), |it| json_body(200, &typed(it)))
    }

    /// All objects, then the bookmark that ends them, then what happens.
    fn stream(&mut self, collection: &str) -> Response<Body> {
        let (sender, receiver) = unbounded();
        let send = |kind: &str, object: &Value| {
            let line = format!("{}\n", json!({"type": kind, "object": object}));
            drop(sender.unbounded_send(Ok(Bytes::from(line))));
        };
        if self.streams == Streams::Refused {
            return status(422, "Invalid", "sendInitialEvents: Forbidden");
        }
        if self.streams == Streams::Lacking {
            let message = "the required storage feature RequestWatchProgress is disabled";
            send(
                "ERROR",
                &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                                  "message": message, "reason": "InternalError", "code": 500}),
            );
            let body = StreamBody::new(receiver.map(|chunk| chunk.map(Frame::data)));
            return Response::new(body.boxed_unsync());
        }
        if self.streams != Streams::Silent {
            for object in self.objects.iter().filter(|object| object["kind"] == collection) {
                send("ADDED", object);
            }
            let mut meta = json!({"resourceVersion": self.version.to_string(), "annotations": {}});
            if self.streams == Streams::Served {
                meta["annotations"]["k8s.io/initial-events-end"] = json!("true");
            }
            send("BOOKMARK", &json!({"kind": "Any", "apiVersion": "v1", "metadata": meta}));
        }
        self.watches.push((collection.to_owned(), sender));
        let body = StreamBody::new(receiver.map(|chunk| chunk.map(Frame::data)));
        Response::new(body.boxed_unsync())
    }

    fn watch(&mut self, collection: &str, query: &str) -> Response<Body> {
        if let Some(code) = self.refuse_watches {
            return status(code, "Timeout", "Too large resource version");
        }
        let from: u64 = parameter(query, "resourceVersion").unwrap().parse().unwrap();
        let (sender, receiver) = unbounded();
        if from < self.compacted {
            drop(sender.unbounded_send(Ok(Bytes::from(gone_event()))));
        } else {
            let missed = |(version, watched, _): &&(u64, String, String)| {
                *version > from && watched == collection
            };
            for (_, _, line) in self.history.iter().filter(missed) {
                drop(sender.unbounded_send(Ok(Bytes::from(line.clone()))));
            }
            if !self.hang_up {
                self.watches.push((collection.to_owned(), sender));
            }
        }
        let body = StreamBody::new(receiver.map(|chunk| chunk.map(Frame::data)));
        Response::new(body.boxed_unsync())
    }

    fn review(&self, body: &[u8]) -> Response<Body> {
        let mut review: Value = serde_json::from_slice(body).unwrap();
        let resource = review["spec"]["resourceAttributes"]["resource"].as_str().unwrap();
        let allowed = !self.forbidden.contains(resource);
        review["status"] = json!({"allowed": allowed});
        json_body(201, &review)
    }
}

/// A Lease is read by its type; others are read for their fields alone.
fn typed(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] == "leases" {
        object["kind"] = json!("Lease");
        object["apiVersion"] = json!("coordination.k8s.io/v1");
    }
    object
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn gone_event() -> String {
    let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "status": "Failure",
        "message": "too old resource version"});
    format!("{}\n", json!({"type": "ERROR", "object": status}))
}

fn throttled(seconds: u32) -> Response<Body> {
    json_body(
        429,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
            "reason": "TooManyRequests", "message": "slow down", "details": {"retryAfterSeconds": seconds}}),
    )
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    json_body(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": reason, "message": message}),
    )
}

fn json_body(code: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {});
    Response::builder().status(code).body(body.boxed_unsync()).unwrap()
}
