//! `hawsepipe.v1.LogQuery`: reads the store for `hawsepipe logs`.
//!
//! In: a request. Out: a stream of responses, made by a [`Cursor`] on blocking threads and held back by the client's
//! reading: between the store and a slow client wait a few responses, whatever there is to send.

mod answer;
mod convert;
mod cursor;
mod filter;

use std::collections::BTreeSet;
use std::sync::Arc;

use hawsepipe_proto::v1::log_query_server::LogQuery;
use hawsepipe_proto::v1::{QueryRequest, QueryResponse, Selection};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::cursor::{Cursor, Step};
use self::filter::Filter;
use crate::metrics::Metrics;
use crate::store::{ContainerName, Store, StoreError};

/// Responses that wait for the client.
const WAITING: usize = 2;

/// The query service over a store.
#[derive(Debug)]
pub(crate) struct QueryService {
    store: Store,
    metrics: Metrics,
    stop: CancellationToken,
}

type Answers = mpsc::Sender<Result<QueryResponse, Status>>;

// === impl QueryService ===

impl QueryService {
    /// Serves `store` until `stop`.
    pub(crate) fn new(store: Store, metrics: Metrics, stop: CancellationToken) -> Self {
        Self { store, metrics, stop }
    }
}

#[tonic::async_trait]
impl LogQuery for QueryService {
    type QueryStream = ReceiverStream<Result<QueryResponse, Status>>;

    async fn query(
        &self,
        request: Request<QueryRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        let request = request.into_inner();
        let filter = Filter::new(&request);
        let filter = filter.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (answers, stream) = mpsc::channel(WAITING);
        let store = self.store.clone();
        let active = Active::new(&self.metrics);
        let stop = self.stop.child_token();
        tokio::spawn(async move {
            let _active = active;
            // Tells the threads that look back through the store, once the client is gone.
            let _left = stop.clone().drop_guard();
            let outcome = tokio::select! {
                outcome = run(store, filter, &request, &answers, &stop) => outcome,
                () = answers.closed() => Ok(()),
                () = stop.cancelled() => Err(Status::unavailable("the receiver shuts down")),
            };
            if let Err(status) = outcome {
                // The client may be gone, and then needs no reason.
                answers.try_send(Err(status)).ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn run(
    store: Store,
    filter: Filter,
    request: &QueryRequest,
    answers: &Answers,
    stop: &CancellationToken,
) -> Result<(), Status> {
    let mut head = store.head();
    let mut up_to = *head.borrow_and_update();
    let first =
        QueryResponse { selection: Some(selection(&store, &filter)), ..QueryResponse::default() };
    if answers.send(Ok(first)).await.is_err() {
        return Ok(());
    }
    let (tail, stop) = (request.tail, stop.clone());
    let mut cursor = blocking(move || Cursor::new(store, filter, tail, up_to, &stop)).await?;
    loop {
        let step;
        (cursor, step) = blocking(move || {
            let step = cursor.step(up_to)?;
            Ok((cursor, step))
        })
        .await?;
        match step {
            Step::Responses(responses) => {
                for response in responses {
                    if answers.send(Ok(response)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Step::CaughtUp if !request.follow => return Ok(()),
            Step::CaughtUp => {
                if head.changed().await.is_err() {
                    return Ok(());
                }
                up_to = *head.borrow_and_update();
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Status> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Status::internal(error.to_string())),
        Err(error) => Err(Status::internal(format!("the query broke off: {error}"))),
    }
}

/// The containers that the store holds under the request's names.
fn selection(store: &Store, filter: &Filter) -> Selection {
    let mut complete = true;
    let names: BTreeSet<Arc<ContainerName>> = store.segments(|segments| {
        complete = !segments.iter().any(|segment| segment.more_containers);
        let names = segments.iter().flat_map(|segment| &segment.containers);
        names.filter(|name| filter.names(name)).cloned().collect()
    });
    Selection { containers: names.iter().map(|name| convert::container(name)).collect(), complete }
}

/// Counts a query for as long as it runs.
struct Active(Metrics);

impl Active {
    fn new(metrics: &Metrics) -> Self {
        metrics.queries.inc();
        metrics.queries_active.inc();
        Self(metrics.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.queries_active.dec();
    }
}
