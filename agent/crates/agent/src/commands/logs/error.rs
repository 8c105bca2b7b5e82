//! Why `hawsepipe logs` cannot show anything: what, where, and what to do.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use tonic::{Code, Status};

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    /// There is no key.
    #[error(
        "no key for the receiver; name its file with --key-file or HAWSEPIPE_KEY_FILE (in a \
         cluster: kubectl get secret)"
    )]
    NoKeyFile,
    /// The key file cannot be read.
    #[error("cannot read the key file {}: {source}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    /// The key file holds no key.
    #[error("the key file {} must hold one line of visible ASCII characters", path.display())]
    NoKey { path: PathBuf },
    /// The CA file cannot be read.
    #[error("cannot read the CA file {}: {source}", path.display())]
    CaFile { path: PathBuf, source: io::Error },
    /// The endpoint is none.
    #[error("--endpoint {url}: {reason}; write for instance http://127.0.0.1:4317")]
    Endpoint { url: String, reason: String },
    /// Nobody answers.
    #[error(
        "cannot reach the receiver at {url}: {reason}; does it run there (kubectl port-forward?), \
         and is that its gRPC port? Give it with --endpoint or HAWSEPIPE_ENDPOINT"
    )]
    Unreachable { url: String, reason: String },
    /// The key is wrong.
    #[error("the receiver at {url} refuses the key from {}: {reason}", key_file.display())]
    Key { url: String, key_file: PathBuf, reason: String },
    /// A pattern is wrong.
    #[error("{reason}")]
    Pattern { reason: String },
    /// Something answers that is no receiver.
    #[error(
        "{url} answers, but has no hawsepipe.v1.LogQuery ({reason}); --endpoint must name the gRPC \
         port of a `hawsepipe receive`"
    )]
    NoReceiver { url: String, reason: String },
    /// The answer broke off.
    #[error("the answer of the receiver at {url} broke off: {reason}; what was printed is not all")]
    BrokenOff { url: String, reason: String },
    /// There is nothing under these names.
    #[error("the receiver has no logs of {what}; `hawsepipe logs -A --tail 20` shows what it has")]
    Nothing { what: String },
    /// The lines cannot be printed.
    #[error("cannot write to stdout: {source}")]
    Output { source: io::Error },
}

impl LogsError {
    /// What `status` of the receiver at `url` means.
    pub(super) fn answer(url: &str, key_file: Option<&Path>, status: &Status) -> Self {
        let (url, reason) = (url.to_owned(), status.message().to_owned());
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => {
                Self::Key { url, key_file: key_file.unwrap_or(Path::new("")).to_owned(), reason }
            }
            Code::InvalidArgument => Self::Pattern { reason },
            Code::Unimplemented => Self::NoReceiver { url, reason },
            _ => Self::BrokenOff { url, reason: chain(status) },
        }
    }
}

/// An error with its causes: tonic's own text for most of them is "transport error".
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        cause = error.source();
    }
    text
}
