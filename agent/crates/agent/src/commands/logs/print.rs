//! Records as lines: text as `kubectl logs` prints it, or JSON.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{self, Write};

use hawsepipe_proto::attributes_to_json;
use hawsepipe_proto::v1::gap::Reason;
use hawsepipe_proto::v1::{Container, Gap, QueryResponse, Record, Source, Value};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value as Json};

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) json: bool,
    pub(super) timestamps: bool,
    /// They are events, and say what they are about.
    pub(super) events: bool,
    /// No prefix as long as there is one container only.
    pub(super) bare: bool,
}

/// Prints what the receiver answers.
#[derive(Debug)]
pub(super) struct Printer<W> {
    out: W,
    style: Style,
    sources: HashMap<u32, Known>,
    /// By namespace, pod and container: the selected containers and those that came along. One source after another of the
    /// same names (a pod of a StatefulSet that was replaced) is one container.
    containers: BTreeSet<(String, String, String)>,
}

/// A source, made ready to print.
#[derive(Debug)]
struct Known {
    names: Container,
    prefix: String,
    attributes: Map<String, Json>,
}

/// A line of `-o json`.
#[derive(Debug, Serialize)]
struct JsonLine<'a> {
    time: String,
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
    stream: &'a str,
    body: Json,
    attributes: Map<String, Json>,
    resource: &'a Map<String, Json>,
}

// === impl Printer ===

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, style: Style) -> Self {
        Self { out, style, sources: HashMap::new(), containers: BTreeSet::new() }
    }

    /// Prints a part of the answer, and sees that it is out.
    pub(super) fn print(&mut self, answer: QueryResponse) -> io::Result<()> {
        for container in answer.selection.into_iter().flat_map(|selection| selection.containers) {
            self.note(container);
        }
        for gap in &answer.gaps {
            self.out.flush()?;
            // A closed stderr has no reader to tell.
            drop(writeln!(io::stderr(), "hawsepipe: {}", describe(gap)));
        }
        for source in answer.sources {
            self.note(source.container.clone().unwrap_or_default());
            self.sources.insert(source.id, Known::new(source));
        }
        for record in &answer.records {
            if self.style.json {
                self.json(record)?;
            } else {
                self.text(record)?;
            }
        }
        self.out.flush()
    }

    fn note(&mut self, names: Container) {
        self.containers.insert((names.namespace, names.pod, names.container));
    }

    fn text(&mut self, record: &Record) -> io::Result<()> {
        let bare = self.style.bare && self.containers.len() < 2;
        if self.style.events {
            // Before the time: it is one of the columns.
            write!(self.out, "{}", Event { source: self.sources.get(&record.source), record })?;
        } else if !bare && let Some(source) = self.sources.get(&record.source) {
            self.out.write_all(source.prefix.as_bytes())?;
        }
        if self.style.timestamps {
            write!(self.out, "{} ", time(record))?;
        }
        let body = record.body.as_ref().map_or(Cow::Borrowed(""), Value::to_text);
        self.out.write_all(body.as_bytes())?;
        self.out.write_all(b"\n")
    }

    fn json(&mut self, record: &Record) -> io::Result<()> {
        let unknown = Known::new(Source::default());
        let source = self.sources.get(&record.source).unwrap_or(&unknown);
        let line = JsonLine {
            time: time(record),
            namespace: &source.names.namespace,
            pod: &source.names.pod,
            container: &source.names.container,
            stream: &record.stream,
            body: record.body.as_ref().map_or(Json::Null, Value::to_json),
            attributes: attributes_to_json(&record.attributes),
            resource: &source.attributes,
        };
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")
    }
}

/// What an event says beside its words, as `kubectl get events` does: `shop Warning BackOff Pod/web: `; of what is not
/// Kubernetes' the host.
struct Event<'a> {
    source: Option<&'a Known>,
    record: &'a Record,
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, record } = self;
        let of_source = |key: &str| {
            let value = source.and_then(|source| source.attributes.get(key));
            value.and_then(Json::as_str)
        };
        let of_object = |key: &str| of_source(key).unwrap_or("-");
        let severity = if record.severity_text.is_empty() { "-" } else { &record.severity_text };
        if of_source("k8s.object.kind").is_none() {
            // Not of Kubernetes: a heartbeat, say.
            let about =
                ["host.name", "k8s.node.name", "service.name"].into_iter().find_map(of_source);
            return write!(f, "{} {severity}: ", about.unwrap_or("-"));
        }
        let attribute = |key: &str| {
            let found = record.attributes.iter().find(|attribute| attribute.key == key);
            let value = found.and_then(|attribute| attribute.value.as_ref());
            value.map_or(Cow::Borrowed("-"), Value::to_text)
        };
        write!(
            f,
            "{} {severity} {} {}/{}: ",
            attribute("k8s.namespace.name"),
            attribute("k8s.event.reason"),
            of_object("k8s.object.kind"),
            of_object("k8s.object.name"),
        )
    }
}

// === impl Known ===

impl Known {
    fn new(source: Source) -> Self {
        let names = source.container.unwrap_or_default();
        let attributes = attributes_to_json(&source.attributes);
        let prefix = if names.pod.is_empty() {
            // No container wrote it: an application that sends its logs itself.
            let service = attributes.get("service.name").and_then(Json::as_str);
            format!("[{}] ", service.unwrap_or("-"))
        } else {
            format!("[{}/{}/{}] ", names.namespace, names.pod, names.container)
        };
        Self { names, prefix, attributes }
    }
}

/// The record's own time, else when it was observed, else when it was received; RFC 3339 to the nanosecond.
fn time(record: &Record) -> String {
    let times = [record.time_unix_nano, record.observed_time_unix_nano, record.received_unix_nano];
    let nanos = times.into_iter().find(|nanos| *nanos > 0).unwrap_or(0);
    // Every u64 of nanoseconds is a time that jiff can show (up to the year 2554).
    Timestamp::from_nanosecond(nanos.into())
        .map_or_else(|_| nanos.to_string(), |at| format!("{at:.9}"))
}

fn describe(gap: &Gap) -> String {
    let how_many = match gap.records {
        0 => "some records".to_owned(),
        records => format!("{records} records"),
    };
    match gap.reason() {
        Reason::Damaged => format!("{how_many} are missing here: the receiver's store is damaged"),
        Reason::Deleted => format!(
            "{how_many} are missing here: the receiver's store was full and let them go before they \
             were read"
        ),
        Reason::Unspecified => format!("{how_many} are missing here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hawsepipe_proto::v1::value::Value as Kind;
    use hawsepipe_proto::v1::{Attribute, Selection};

    fn text(text: &str) -> Option<Value> {
        Some(Value { value: Some(Kind::StringValue(text.to_owned())) })
    }

    fn source(id: u32, names: &str) -> Source {
        let names: Vec<&str> = names.split('/').collect();
        let container = Container {
            namespace: names[0].to_owned(),
            pod: names[1].to_owned(),
            container: names[2].to_owned(),
        };
        let attribute = Attribute { key: "k8s.pod.name".to_owned(), value: text(names[1]) };
        Source { id, container: Some(container), attributes: vec![attribute], ..Source::default() }
    }

    fn record(source: u32, body: &str) -> Record {
        Record {
            source,
            time_unix_nano: 1_700_000_000_000_000_001,
            stream: "stdout".to_owned(),
            body: text(body),
            ..Record::default()
        }
    }

    fn printed(style: Style, answers: Vec<QueryResponse>) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, style);
        for answer in answers {
            printer.print(answer).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    const BARE: Style = Style { json: false, timestamps: false, events: false, bare: true };

    fn answer(sources: Vec<Source>, records: Vec<Record>) -> QueryResponse {
        QueryResponse { sources, records, ..QueryResponse::default() }
    }

    #[test]
    fn an_event_says_what_it_is_about() {
        let attribute =
            |key: &str, value: &str| Attribute { key: key.to_owned(), value: text(value) };
        let mut about = source(0, "shop/web/app");
        about.attributes =
            vec![attribute("k8s.object.kind", "Pod"), attribute("k8s.object.name", "web")];
        let event = Record {
            severity_text: "Warning".to_owned(),
            attributes: vec![
                attribute("k8s.namespace.name", "shop"),
                attribute("k8s.event.reason", "BackOff"),
            ],
            ..record(0, "it is slow")
        };
        let style = Style { events: true, ..BARE };
        let mut host = source(1, "//");
        host.attributes = vec![attribute("host.name", "db-1")];
        let beat = Record { severity_text: "INFO".to_owned(), ..record(1, "backup started") };
        let records = vec![event, beat, record(7, "of nothing")];
        let answers = vec![answer(vec![about, host], records)];
        let lines = "shop Warning BackOff Pod/web: it is slow\ndb-1 INFO: backup started\n- -: of nothing\n";
        assert_eq!(printed(style, answers), lines);
    }

    #[test]
    fn one_container_is_printed_as_it_wrote() {
        let answers = vec![answer(vec![source(0, "n/p/c")], vec![record(0, "a"), record(0, "")])];
        assert_eq!(printed(BARE, answers), "a\n\n");
    }

    #[test]
    fn lines_of_several_containers_say_where_they_are_from() {
        let selected = ["n/p/c", "n/p/d"].map(|names| source(0, names).container.unwrap());
        let selection = Selection { containers: selected.into(), complete: true };
        let first = QueryResponse { selection: Some(selection), ..QueryResponse::default() };
        let then = answer(vec![source(0, "n/p/c")], vec![record(0, "a")]);
        assert_eq!(printed(BARE, vec![first, then]), "[n/p/c] a\n");
    }

    #[test]
    fn a_container_that_comes_later_brings_the_prefix() {
        let answers = vec![
            answer(vec![source(0, "n/p/c")], vec![record(0, "a")]),
            answer(vec![source(1, "n/p/d")], vec![record(1, "b"), record(0, "c")]),
        ];
        assert_eq!(printed(BARE, answers), "a\n[n/p/d] b\n[n/p/c] c\n");
    }

    #[test]
    fn a_source_takes_the_place_of_the_one_with_its_number() {
        let style = Style { bare: false, ..BARE };
        let answers = vec![
            answer(vec![source(0, "n/p/c")], vec![record(0, "a")]),
            answer(vec![source(0, "n/q/c")], vec![record(0, "b")]),
        ];
        assert_eq!(printed(style, answers), "[n/p/c] a\n[n/q/c] b\n");
    }

    #[test]
    fn times_are_rfc_3339_to_the_nanosecond() {
        let style = Style { timestamps: true, ..BARE };
        let answers = vec![answer(vec![source(0, "n/p/c")], vec![record(0, "a")])];
        assert_eq!(printed(style, answers), "2023-11-14T22:13:20.000000001Z a\n");
    }

    #[test]
    fn json_has_everything_that_is_known_of_a_line() {
        let style = Style { json: true, ..BARE };
        let answers = vec![answer(vec![source(0, "n/p/c")], vec![record(0, "a \"b\"")])];
        assert_eq!(
            printed(style, answers),
            concat!(
                r#"{"time":"2023-11-14T22:13:20.000000001Z","namespace":"n","pod":"p","#,
                r#""container":"c","stream":"stdout","body":"a \"b\"","attributes":{},"#,
                r#""resource":{"k8s.pod.name":"p"}}"#,
                "\n"
            )
        );
    }
}
