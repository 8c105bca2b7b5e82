//! Where things are kept: one folder outside the tree, `$XDG_CACHE_HOME/hawsepipe-e2e` (or
//! `~/.cache/hawsepipe-e2e`). Tools stay there by version; `run/` belongs to the running cluster
//! and is gone after `down`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cluster::Flavor;
use crate::process::Process;

/// The work folder.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    root: PathBuf,
}

/// What `down` must know, also when the run that wrote it was killed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The cluster that is (being) started.
    pub(crate) flavor: Flavor,
    /// Set once everything runs.
    pub(crate) ready: bool,
    /// Every process that was started, in order.
    pub(crate) processes: Vec<Process>,
    /// Paths outside the work folder that did not exist before: they go with the cluster.
    pub(crate) absent_before: Vec<PathBuf>,
    /// Network namespaces named `cni-*` that were there before.
    pub(crate) foreign_namespaces: Vec<String>,
}

impl Work {
    /// Opens the folder, making it when it is missing.
    pub(crate) fn open() -> Result<Self> {
        let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
            Some(cache) => PathBuf::from(cache),
            None => PathBuf::from(
                std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?,
            )
            .join(".cache"),
        };
        let root = cache.join("hawsepipe-e2e");
        fs::create_dir_all(&root).with_context(|| format!("{}", root.display()))?;
        Ok(Self { root })
    }

    /// Where a tool of one version lives.
    pub(crate) fn tool(&self, name: &str, version: &str) -> PathBuf {
        self.root.join(format!("{name}-{version}"))
    }

    /// The running cluster's folder.
    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// A folder below [`Work::run`], made when missing.
    pub(crate) fn run_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.run().join(name);
        fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(folder)
    }

    /// Writes a file below [`Work::run`] and gives its path.
    pub(crate) fn run_file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.run().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, content).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// The log file of a component.
    pub(crate) fn log(&self, name: &str) -> Result<PathBuf> {
        Ok(self.run_folder("log")?.join(format!("{name}.log")))
    }

    /// What the last `up` noted, if it is not down.
    pub(crate) fn state(&self) -> Result<Option<State>> {
        let path = self.run().join("state.json");
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{}", path.display())),
        }
    }

    /// Notes it, whole or not at all.
    pub(crate) fn save(&self, state: &State) -> Result<()> {
        let new = self.run_file("state.json.new", serde_json::to_vec_pretty(state)?)?;
        fs::rename(&new, self.run().join("state.json"))?;
        Ok(())
    }

    /// The repository's top folder (where the chart and the Dockerfile are).
    pub(crate) fn repository() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }
}
