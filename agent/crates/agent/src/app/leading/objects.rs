//! The state of the cluster's objects, followed and told while this process leads.
//!
//! In: the API server's objects of the kinds that the chosen collectors need. Out: their metrics, in the lane `sampled`.
//! Always: what is known of the objects lives for a term; when that is over its memory goes.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hawsepipe_cluster::objects::{ObjectKind, ObjectStore, ObjectsStatus};
use hawsepipe_cluster::{Connection, Duty, NoCluster, Progress};
use hawsepipe_collect::{self as collect, Choice, CollectorStatus};
use hawsepipe_model::{Attributes, FrameSink, PreferredCodec};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the first points wait for the cluster's UID: with it and without they would be of two series.
const METADATA_WITHIN: Duration = Duration::from_secs(10);

/// What is collected of the cluster's objects, and where it goes.
pub(super) struct ObjectSettings {
    pub(super) choices: Vec<Choice>,
    pub(super) interval: Duration,
    /// Sets the moments of the ticks: the same for whoever leads, so that points stay evenly spaced.
    pub(super) name: String,
    /// Attributes that are added to everything; they win.
    pub(super) attributes: Attributes,
    pub(super) sink: Arc<dyn FrameSink>,
    pub(super) codec: Arc<PreferredCodec>,
    pub(super) metrics: collect::Metrics,
}

/// Tells of the cluster's objects, as the [`Duty`] of a leader.
pub(crate) struct Objects {
    settings: ObjectSettings,
    connection: Connection,
    kinds: Vec<ObjectKind>,
    term: Mutex<Option<Term>>,
}

/// What there is while this process leads.
struct Term {
    store: Arc<ObjectStore>,
    collectors: collect::Status,
}

/// Says that a term is over, also when it ends in the middle.
struct Ends<'a>(&'a Mutex<Option<Term>>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

// === impl Objects ===

impl Objects {
    pub(super) fn new(settings: ObjectSettings, connection: Connection) -> Self {
        let kinds = Choice::kinds(&settings.choices);
        Self { settings, connection, kinds, term: Mutex::default() }
    }

    /// What is known of each kind. `None`: this process does not lead.
    pub(crate) fn status(&self) -> Option<ObjectsStatus> {
        self.term.lock().as_ref().map(|term| term.store.status())
    }

    /// How the collectors do; none when this process does not lead.
    pub(crate) fn collectors(&self) -> Vec<CollectorStatus> {
        self.term.lock().as_ref().map(|term| term.collectors.get()).unwrap_or_default()
    }

    fn collection(
        &self,
        store: &Arc<ObjectStore>,
        uid: &Arc<OnceLock<String>>,
    ) -> collect::Collection {
        let ObjectSettings { choices, interval, name, attributes, sink, codec, metrics } =
            &self.settings;
        let connection = self.connection.clone();
        let settings = collect::Settings {
            sources: collect::Sources::of_cluster(Arc::clone(store), Arc::clone(uid))
                .with_api_server(move || connection.is_reachable()),
            choices: choices.clone(),
            interval: *interval,
            node_name: name.clone(),
            attributes: attributes.clone(),
        };
        let nobody = Arc::new(NoCluster::new(""));
        let (sink, codec) = (Arc::clone(sink), Arc::clone(codec));
        collect::Collection::new(settings, sink, nobody, codec, metrics.clone())
    }
}

impl Duty for Objects {
    fn lead(
        &self,
        _since: Option<Progress>,
        retire: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let (store, uid) = (Arc::new(ObjectStore::new()), Arc::new(OnceLock::new()));
            let collection = self.collection(&store, &uid);
            let collectors = collection.status();
            *self.term.lock() = Some(Term { store: Arc::clone(&store), collectors });
            let _ends = Ends(&self.term);
            let (known, wait) = (CancellationToken::new(), retire.clone());
            let learn = async {
                if let Some(found) = self.connection.cluster_uid().await {
                    uid.get_or_init(|| found);
                }
                known.cancel();
            };
            let tell = async {
                drop(timeout(METADATA_WITHIN, known.cancelled()).await);
                collection.run(wait).await;
            };
            tokio::select! {
                () = retire.cancelled() => {}
                _ = async { tokio::join!(self.connection.objects(&self.kinds).run(store), learn, tell) } => {}
            }
        })
    }

    /// A state is told as it is: nobody has to go on anywhere.
    fn progress(&self) -> Option<Progress> {
        None
    }
}
