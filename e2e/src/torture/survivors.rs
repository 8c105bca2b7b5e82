//! The truth on a node whose power is cut: what was on its disk when it came up again.
//!
//! What the runtime wrote and the kernel had not yet written back is gone from the file too: nobody can
//! read it any more, and whether the agent had read it before decides if it arrives. So a watcher that
//! notes what it saw would demand lines that cannot be had. What can honestly be demanded is this: each
//! line that was in a file when the node came up, before anything else ran, and each line that is in one
//! at the end, is at the receiver or in the ledger. Not seen here: lines of files that were written,
//! read and deleted between two boots; the ledger may hold more than is missing for that reason. And a
//! line at the receiver that no file holds any more cannot be told from one that was never written,
//! except by its form: it must be whole, or the beginning of one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::torture::watcher;
use crate::torture::written::Written;

/// Reads what was found at each boot, folders like /var/log/pods: the union of it.
pub(crate) fn read(found: &Path, namespace: &str) -> Result<Written> {
    let mut written = Written::default();
    for entry in std::fs::read_dir(found).with_context(|| found.display().to_string())? {
        let folder: PathBuf = entry?.path();
        // One that is not complete: the power was cut once more while it was copied.
        if folder.extension().is_none_or(|extension| extension != "new") {
            written = watcher::read_once(folder, namespace, written)?;
        }
    }
    Ok(written)
}
