//! What wakes the log thread: file system events, and the wish to stop.
//!
//! Events only say where to look; what is there is always read from the file system. So they can be merged, and
//! lost: a slow rescan makes a lost one harmless. What is kept of them is one entry a folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::{Condvar, Mutex};

/// What happened in a folder since it was last asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dirty {
    /// Writes to its files.
    pub(crate) writes: u32,
    /// Whether files came, went or changed their names.
    pub(crate) names: bool,
}

#[derive(Debug, Default)]
struct State {
    dirty: HashMap<PathBuf, Dirty>,
    /// The kernel's queue overflowed: anything may have happened.
    rescan: bool,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    woken: Condvar,
}

/// Wakes the thread from outside.
#[derive(Debug, Clone)]
pub(crate) struct Waker(Arc<Shared>);

impl Waker {
    /// Asks the thread to finish.
    pub(crate) fn stop(&self) {
        self.0.state.lock().stop = true;
        self.0.woken.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.state.lock().stop
    }
}

/// The folders that are watched and what happened in them.
pub(crate) struct Wake {
    shared: Arc<Shared>,
    watcher: Option<RecommendedWatcher>,
    refused: bool,
}

impl Wake {
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let events = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event| note(&events, event));
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "cannot watch log folders, looking at them in turn instead; \
                     raise fs.inotify.max_user_instances"
                );
            })
            .ok();
        Self { shared, watcher, refused: false }
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.shared))
    }

    /// Watches a folder; false when that is not possible and it must be looked at in turn.
    pub(crate) fn watch(&mut self, dir: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        match watcher.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => true,
            Err(error) => {
                let gone = matches!(error.kind, notify::ErrorKind::PathNotFound) || !dir.exists();
                if !gone && !self.refused {
                    self.refused = true;
                    tracing::warn!(
                        %error,
                        dir = %dir.display(),
                        "cannot watch more folders, looking at the rest in turn instead; \
                         raise fs.inotify.max_user_watches"
                    );
                }
                false
            }
        }
    }

    /// Ends the watch of a folder, if there is one.
    pub(crate) fn unwatch(&mut self, dir: &Path) {
        if let Some(watcher) = &mut self.watcher {
            // It is not there any more when the folder is gone.
            drop(watcher.unwatch(dir));
        }
    }

    /// Waits until something happens or `timeout` has passed; false when the thread is to stop.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        while state.dirty.is_empty() && !state.rescan && !state.stop {
            if self.shared.woken.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        !state.stop
    }

    /// What happened, by folder, and whether anything else may have.
    pub(crate) fn take(&self) -> (HashMap<PathBuf, Dirty>, bool) {
        let mut state = self.shared.state.lock();
        (std::mem::take(&mut state.dirty), std::mem::take(&mut state.rescan))
    }
}

/// Runs on the watcher's thread.
fn note(shared: &Shared, event: notify::Result<Event>) {
    let Ok(event) = event else {
        shared.state.lock().rescan = true;
        shared.woken.notify_all();
        return;
    };
    let names = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            true
        }
        EventKind::Modify(ModifyKind::Data(_))
        | EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        _ if event.need_rescan() => {
            shared.state.lock().rescan = true;
            shared.woken.notify_all();
            return;
        }
        // Our own opening and reading, and changes of attributes.
        _ => return,
    };
    let mut state = shared.state.lock();
    for path in &event.paths {
        let Some(dir) = path.parent() else { continue };
        if !state.dirty.contains_key(dir) {
            state.dirty.insert(dir.to_owned(), Dirty::default());
        }
        if let Some(dirty) = state.dirty.get_mut(dir) {
            dirty.names |= names;
            dirty.writes = dirty.writes.saturating_add(u32::from(!names));
        }
    }
    drop(state);
    shared.woken.notify_all();
}
