//! What is asked of the API server to follow a kind.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{AsyncBufReadExt, Stream};
use kube::Client;
use kube::api::{ListParams, Request, WatchParams};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::super::kind::ObjectKind;
use crate::event::PageMeta;
use crate::failure::Failure;
use crate::object::or_default;

/// How long a page may take, and a watch until it begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Objects of a page; client-go's pager takes as many.
const PAGE: u32 = 500;
/// How long the API server lets a watch run.
const WATCH_SECONDS: u32 = 290;

/// What a watch gives, line by line.
pub(super) type Events = Pin<Box<dyn Stream<Item = io::Result<String>> + Send>>;

/// A page of a list. Objects are read one by one: one that is odd does not hide the others.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMeta,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) items: Vec<Box<RawValue>>,
}

/// The requests of a kind.
pub(super) struct Requests<'a> {
    pub(super) client: &'a Client,
    pub(super) kind: ObjectKind,
}

impl Requests<'_> {
    /// All objects as they are now, then what happens to them.
    pub(super) async fn streamed_list(&self) -> Result<Events, Failure> {
        self.begin(WatchParams::default().initial_events(), "").await
    }

    /// What happens behind this version.
    pub(super) async fn watch(&self, version: u64) -> Result<Events, Failure> {
        self.begin(WatchParams::default(), &version.to_string()).await
    }

    /// The page of a list that `next` of the page before names; the first for none.
    pub(super) async fn page(&self, next: &str) -> Result<Page, Failure> {
        let mut params = ListParams::default().limit(PAGE);
        if !next.is_empty() {
            params = params.continue_token(next);
        }
        let request = Request::new(self.kind.path());
        let request = if self.kind.metadata_only() {
            request.list_metadata(&params)
        } else {
            request.list(&params)
        };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let page = timeout(ANSWER_WITHIN, self.client.request(request)).await;
        Ok(page.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN))??)
    }

    async fn begin(&self, params: WatchParams, version: &str) -> Result<Events, Failure> {
        // Bookmarks are on by default.
        let params = params.timeout(WATCH_SECONDS);
        let request = Request::new(self.kind.path());
        let request = if self.kind.metadata_only() {
            request.watch_metadata(&params, version)
        } else {
            request.watch(&params, version)
        };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let begun = timeout(ANSWER_WITHIN, self.client.request_stream(request)).await;
        let stream = begun.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN))??;
        Ok(Box::pin(stream.lines()))
    }
}
