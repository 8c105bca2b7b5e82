//! A logs request in parts, without decoding it.
//!
//! In: the bytes of an `ExportLogsServiceRequest` from anyone. Out: requests with some of its records, a record with a
//! shorter body, and whose records they are. What always holds:
//!
//! - resource, scope and schema URL of a record are copied to whatever part the record goes to, byte for byte, with
//!   fields that nobody here knows;
//! - the records of consecutive parts, in order, are the request's records;
//! - bytes that are no such request are an error, never a panic. Of a record only the frame is looked at.

use std::collections::BTreeMap;
use std::ops::Range;

use super::logs::put_truncated;
use super::wire::{Fields, OPEN_LEN, WireError, close_len, open_len, put_bytes};

/// More pods than this are not told apart in one request; the rest is told of by namespace.
const MAX_ORIGINS: usize = 256;

/// The longest name in Kubernetes (a DNS subdomain, RFC 1123); what claims to be longer is cut here.
const MAX_NAME: usize = 253;

/// A key of one byte and a length that [`open_len`] leaves room for.
const OPEN: usize = 1 + OPEN_LEN;

/// The two attributes that say of a record that it was cut, at most.
const MARKS: usize = 128;

/// The records of a request, in order.
#[derive(Debug)]
pub struct Records<'a> {
    /// Fields of the request that are no `resource_logs`.
    fields: Vec<&'a [u8]>,
    blocks: Vec<Block<'a>>,
    /// Each whole `log_records` field.
    records: Vec<&'a [u8]>,
}

/// A `ResourceLogs` with at least one record.
#[derive(Debug)]
struct Block<'a> {
    /// All but `scope_logs`.
    fields: Vec<&'a [u8]>,
    scopes: Vec<Scope<'a>>,
}

/// A `ScopeLogs` with at least one record.
#[derive(Debug)]
struct Scope<'a> {
    /// All but `log_records`.
    fields: Vec<&'a [u8]>,
    records: Range<usize>,
}

fn total(fields: &[&[u8]]) -> usize {
    fields.iter().map(|field| field.len()).sum()
}

impl<'a> Records<'a> {
    /// Finds the records of a request.
    ///
    /// # Errors
    /// When the bytes are no request, down to where its records begin and end.
    pub fn read(request: &'a [u8]) -> Result<Self, WireError> {
        let mut found = Self { fields: Vec::new(), blocks: Vec::new(), records: Vec::new() };
        for field in Fields(request) {
            let field = field?;
            match field.message(1) {
                Some(block) => found.read_block(block)?,
                None => found.fields.push(field.raw),
            }
        }
        Ok(found)
    }

    fn read_block(&mut self, block: &'a [u8]) -> Result<(), WireError> {
        let mut fields = Vec::new();
        let mut scopes = Vec::new();
        for field in Fields(block) {
            let field = field?;
            let Some(scope) = field.message(2) else {
                fields.push(field.raw);
                continue;
            };
            let first = self.records.len();
            let mut of_scope = Vec::new();
            for field in Fields(scope) {
                let field = field?;
                let list =
                    if field.message(2).is_some() { &mut self.records } else { &mut of_scope };
                list.push(field.raw);
            }
            if self.records.len() > first {
                scopes.push(Scope { fields: of_scope, records: first..self.records.len() });
            }
        }
        if !scopes.is_empty() {
            self.blocks.push(Block { fields, scopes });
        }
        Ok(())
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A request with the records `range`, as far as there are such.
    #[must_use]
    pub fn encode(&self, range: Range<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        for field in &self.fields {
            out.extend_from_slice(field);
        }
        for block in &self.blocks {
            let mut open = None;
            for scope in &block.scopes {
                let from = scope.records.start.max(range.start);
                let to = scope.records.end.min(range.end);
                if from >= to {
                    continue;
                }
                let opened = *open.get_or_insert_with(|| {
                    let opened = open_len(&mut out, 1); // resource_logs
                    block.fields.iter().for_each(|field| out.extend_from_slice(field));
                    opened
                });
                open = Some(opened);
                let inner = open_len(&mut out, 2); // scope_logs
                scope.fields.iter().for_each(|field| out.extend_from_slice(field));
                self.records[from..to].iter().for_each(|record| out.extend_from_slice(record));
                close_len(&mut out, inner);
            }
            if let Some(opened) = open {
                close_len(&mut out, opened);
            }
        }
        out
    }

    /// Two ranges of about as many records each; one or none when there is nothing to halve.
    #[must_use]
    pub fn halves(&self) -> Vec<Range<usize>> {
        let middle = self.len().div_ceil(2);
        [0..middle, middle..self.len()].into_iter().filter(|range| !range.is_empty()).collect()
    }

    /// Ranges that take at most `max` bytes each when they are encoded; a record that needs more stands alone.
    #[must_use]
    pub fn fitting(&self, max: usize) -> Vec<Range<usize>> {
        let empty = total(&self.fields);
        let mut ranges = Vec::new();
        let mut first = 0;
        let mut size = empty;
        for block in &self.blocks {
            let for_block = total(&block.fields) + OPEN;
            let mut block_is_open = false;
            for scope in &block.scopes {
                let for_scope = total(&scope.fields) + OPEN;
                let mut scope_is_open = false;
                for index in scope.records.clone() {
                    let record = self.records[index].len();
                    let mut need = record;
                    need += if scope_is_open { 0 } else { for_scope };
                    need += if block_is_open { 0 } else { for_block };
                    if size + need > max && index > first {
                        ranges.push(first..index);
                        first = index;
                        size = empty;
                        need = record + for_scope + for_block;
                    }
                    (block_is_open, scope_is_open) = (true, true);
                    size += need;
                }
            }
        }
        if first < self.len() {
            ranges.push(first..self.len());
        }
        ranges
    }

    /// Whose records these are: lines and bytes by pod, for whoever counts what is lost. Names are taken from the
    /// resource (`k8s.namespace.name`, `k8s.pod.name`); at most 256 pods are told apart, then namespaces.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        let mut found: BTreeMap<(Option<String>, Option<String>), (u64, u64)> = BTreeMap::new();
        for block in &self.blocks {
            let mut key = names(&block.fields);
            if found.len() >= MAX_ORIGINS && !found.contains_key(&key) {
                key.1 = None;
            }
            if found.len() >= 2 * MAX_ORIGINS && !found.contains_key(&key) {
                key.0 = None;
            }
            let (records, bytes) = found.entry(key).or_default();
            for scope in &block.scopes {
                *records += scope.records.len() as u64;
                *bytes += self.records[scope.records.clone()]
                    .iter()
                    .map(|record| body_of(record).map_or(0, |body| body.len() as u64))
                    .sum::<u64>();
            }
        }
        let origin =
            |((namespace, pod), (records, bytes))| Origin { namespace, pod, records, bytes };
        found.into_iter().map(origin).collect()
    }
}

/// How many records of a request are whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `k8s.namespace.name` of the resource.
    pub namespace: Option<String>,
    /// `k8s.pod.name` of the resource.
    pub pod: Option<String>,
    /// Records.
    pub records: u64,
    /// Bytes of their bodies: of the text, or of what else stands there as it is encoded.
    pub bytes: u64,
}

/// A request whose one record was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortened {
    /// The request.
    pub request: Vec<u8>,
    /// Bytes that were cut off the body.
    pub cut: u64,
}

/// Cuts the body of the one record of a request so that the request takes at most `max` bytes. The record is marked
/// as one that was cut when it was read: `hawsepipe.log.truncated` and `hawsepipe.log.original_bytes`, which stays if
/// it is there. `None` when there is not exactly one record, its body is no text, or nothing of it would be left.
///
/// # Errors
/// When the bytes are no request.
pub fn shorten(request: &[u8], max: usize) -> Result<Option<Shortened>, WireError> {
    let records = Records::read(request)?;
    let [record] = records.records[..] else { return Ok(None) };
    let Some(body) = text_of(record) else { return Ok(None) };
    // Lengths may be written longer than they were.
    let spare = MARKS + 5 * OPEN;
    let excess = (request.len() + spare).saturating_sub(max);
    let mut keep = body.len().saturating_sub(excess);
    // UTF-8: bytes 10xxxxxx go on with a character.
    while keep > 0 && body.get(keep).is_some_and(|byte| byte & 0xc0 == 0x80) {
        keep -= 1;
    }
    if keep == 0 || keep >= body.len() {
        return Ok(None);
    }
    let mut short = Vec::with_capacity(max);
    let opened = open_len(&mut short, 2); // log_records
    let mut marked = false;
    for field in Fields(content(record)) {
        let field = field?;
        if field.number != 5 {
            short.extend_from_slice(field.raw);
            let key = field.message(6).and_then(|pair| last_message(pair, 1));
            marked |= key == Some(b"hawsepipe.log.original_bytes");
        }
    }
    let any = open_len(&mut short, 5); // body
    put_bytes(&mut short, 1, &body[..keep]); // string_value
    close_len(&mut short, any);
    if !marked {
        put_truncated(&mut short, body.len() as u64);
    }
    close_len(&mut short, opened);
    let cut = (body.len() - keep) as u64;
    let shortened = Records { records: vec![&short], ..records };
    Ok(Some(Shortened { request: shortened.encode(0..1), cut }))
}

/// The content of a field that [`Fields`] gave as length-delimited.
fn content(raw: &[u8]) -> &[u8] {
    Fields(raw).next().and_then(Result::ok).and_then(|field| field.content).unwrap_or_default()
}

/// The last field `number` of a message, which is the one that counts; broken bytes end the search.
fn last_message(message: &[u8], number: u32) -> Option<&[u8]> {
    Fields(message).map_while(Result::ok).filter_map(|field| field.message(number)).last()
}

/// The body of a `log_records` field: its text, else the encoded `AnyValue`.
fn body_of(record: &[u8]) -> Option<&[u8]> {
    let any = last_message(content(record), 5)?;
    Some(last_message(any, 1).unwrap_or(any))
}

/// The body of a `log_records` field if it is nothing but one text.
fn text_of(record: &[u8]) -> Option<&[u8]> {
    let fields = Fields(content(record)).map_while(Result::ok);
    let mut bodies = fields.filter_map(|field| field.message(5));
    let (body, more) = (bodies.next()?, bodies.next());
    let mut values = Fields(body);
    let text = values.next()?.ok()?.message(1);
    text.filter(|_| more.is_none() && values.next().is_none())
}

/// `k8s.namespace.name` and `k8s.pod.name` of the resource among a block's fields.
fn names(fields: &[&[u8]]) -> (Option<String>, Option<String>) {
    let (mut namespace, mut pod) = (None, None);
    for raw in fields {
        let Some(Ok(resource)) = Fields(raw).next() else { continue };
        let Some(attributes) = resource.message(1) else { continue };
        for pair in Fields(attributes).map_while(Result::ok).filter_map(|field| field.message(1)) {
            let slot = match last_message(pair, 1) {
                Some(b"k8s.namespace.name") => &mut namespace,
                Some(b"k8s.pod.name") => &mut pod,
                _ => continue,
            };
            let text = last_message(pair, 2).and_then(|any| last_message(any, 1));
            *slot = text.map(|text| {
                let text = String::from_utf8_lossy(text);
                text.chars().take(MAX_NAME).collect()
            });
        }
    }
    (namespace, pod)
}

#[cfg(test)]
mod tests;
