//! The API server as its administrator sees it, for what is too much for kubectl: thousands of objects.
//!
//! In: a kubeconfig. Out: requests over a few connections of its own. Always: it runs in a thread that has entered the
//! cluster's network; the rest of the program stays outside.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::{TryStreamExt, stream};
use http::{Method, Request};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, Error};
use serde_json::Value;
use tokio::time::sleep;

use crate::netns;

/// So many requests are under way at once.
const AT_ONCE: usize = 16;
/// So often a collection's deletion is asked for.
const DELETIONS: usize = 10;

/// A connection.
#[derive(Clone)]
pub(crate) struct Admin {
    client: Client,
}

/// Does something inside the cluster's network, in a thread of its own.
pub(crate) fn inside<T: Send>(
    kubeconfig: &Path,
    work: impl AsyncFnOnce(Admin) -> Result<T> + Send,
) -> Result<T> {
    let thread = || -> Result<T> {
        netns::enter()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { work(Admin::connect(kubeconfig).await?).await })
    };
    std::thread::scope(|scope| scope.spawn(thread).join())
        .map_err(|_panic| anyhow!("the thread inside the cluster's network panicked"))?
}

impl Admin {
    async fn connect(kubeconfig: &Path) -> Result<Self> {
        let read = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)? })
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value> {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, kind)
            .body(body.to_string().into_bytes())?;
        let answer = self.client.request::<Value>(request).await;
        answer.with_context(|| format!("{method} {path}"))
    }

    /// Creates an object; one that is there already is left as it is.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<()> {
        match self.send(Method::POST, path, "application/json", object).await {
            Err(error) if is(&error, 409) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Changes an object, or its status, by a merge patch.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Result<()> {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch).await.map(drop)
    }

    /// Deletes a whole collection. It may take longer than the API server gives a request, so it is asked again until it is done.
    pub(crate) async fn delete_all(&self, path: &str, options: &Value) -> Result<()> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.send(Method::DELETE, path, "application/json", options).await {
                Err(error) if is(&error, 404) => return Ok(()),
                Err(error) if attempts == DELETIONS => return Err(error),
                Err(_error) => sleep(Duration::from_secs(1)).await,
                Ok(_status) => return Ok(()),
            }
        }
    }

    /// Does the same for each of many, some at once, and stops at the first error.
    pub(crate) async fn each<T>(
        many: impl IntoIterator<Item = T>,
        work: impl AsyncFn(T) -> Result<()>,
    ) -> Result<()> {
        let work = &work;
        let many = stream::iter(many.into_iter().map(Ok));
        many.try_for_each_concurrent(AT_ONCE, move |one| work(one)).await
    }
}

fn is(error: &anyhow::Error, code: u16) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Api(status)) if status.code == code)
}
