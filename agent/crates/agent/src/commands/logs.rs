//! `hawsepipe logs`: pod logs from a receiver, as `kubectl logs` would show them, of all nodes and of pods that are
//! gone.
//!
//! In: what to read, and from where. Out: lines on stdout, in the order in which the receiver got them; what a person
//! should know besides goes to stderr.

mod error;
mod print;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use hawsepipe_proto::v1::log_query_client::LogQueryClient;
use hawsepipe_proto::v1::{QueryRequest, Selection};
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use self::error::LogsError;
use self::print::{Printer, Style};
use crate::config::text::parse_span;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A follower notices that the receiver is gone, though nothing is sent, after this time and as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Options of `hawsepipe logs`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // they are switches
pub(crate) struct LogsArgs {
    /// The pod: its name or a glob, as in 'web-*'. All pods if left out.
    #[arg(value_name = "POD")]
    pod: Option<String>,
    /// The namespace: its name or a glob.
    #[arg(short, long, value_name = "NS", default_value = "default", conflicts_with = "all")]
    namespace: String,
    /// All namespaces.
    #[arg(short = 'A', long = "all-namespaces", id = "all")]
    all_namespaces: bool,
    /// The container: its name or a glob. All containers if left out.
    #[arg(short, long, value_name = "CONTAINER")]
    container: Option<String>,
    /// Shows events instead: what Kubernetes says about pods and other objects.
    #[arg(long)]
    events: bool,
    /// Goes on with new lines, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Only lines younger than this: 30s, 5m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = span)]
    since: Option<Duration>,
    /// Only the last N of the selected lines.
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Only lines that match this regular expression.
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Puts the time before each line.
    #[arg(long)]
    timestamps: bool,
    /// Lines as they were written, or one JSON object for each.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// The receiver's gRPC port.
    #[arg(long, value_name = "URL", env = "HAWSEPIPE_ENDPOINT")]
    #[arg(default_value = "http://127.0.0.1:4317")]
    endpoint: String,
    /// The file with the receiver's key.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// The CA that signed the receiver's certificate, in PEM, for https. Default: the system's.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// As it was written.
    Text,
    /// One JSON object.
    Json,
}

/// Prints until the end, or with `--follow` until `stop`.
///
/// # Errors
/// When the receiver cannot be asked, or has nothing under the given names.
pub(crate) async fn run(args: LogsArgs, stop: CancellationToken) -> Result<(), LogsError> {
    tokio::select! {
        outcome = query(&args) => outcome,
        () = stop.cancelled() => Ok(()),
    }
}

async fn query(args: &LogsArgs) -> Result<(), LogsError> {
    let key = read_key(args)?;
    let mut client = LogQueryClient::new(connect(args).await?)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
        // A record may be as large as the receiver took it.
        .max_decoding_message_size(usize::MAX);
    let mut request = Request::new(args.request());
    request.metadata_mut().insert("x-api-key", key);
    let failed =
        |status: Status| LogsError::answer(&args.endpoint, args.key_file.as_deref(), &status);
    let mut answers = client.query(request).await.map_err(failed)?.into_inner();
    let style = Style {
        json: args.output == Output::Json,
        timestamps: args.timestamps,
        events: args.events,
        // Names that can only mean one container need no prefix.
        bare: args.pod.as_deref().is_some_and(|pod| !is_glob(pod)),
    };
    let mut printer = Printer::new(BufWriter::with_capacity(64 << 10, io::stdout()), style);
    while let Some(answer) = answers.message().await.map_err(failed)? {
        if let Some(selection) = &answer.selection {
            args.expect_some(selection)?;
        }
        match printer.print(answer) {
            Ok(()) => {}
            // Whoever read has had enough, as `head` has.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(source) => return Err(LogsError::Output { source }),
        }
    }
    Ok(())
}

// === impl LogsArgs ===

impl LogsArgs {
    fn request(&self) -> QueryRequest {
        let since = self.since.map_or(0, |since| {
            let since = SystemTime::now().checked_sub(since);
            let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
            since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
        });
        QueryRequest {
            namespace: if self.all_namespaces { String::new() } else { self.namespace.clone() },
            pod: self.pod.clone().unwrap_or_default(),
            container: self.container.clone().unwrap_or_default(),
            since_unix_nano: since,
            until_unix_nano: 0,
            tail: self.tail,
            grep: self.grep.clone().unwrap_or_default(),
            follow: self.follow,
            events: self.events,
        }
    }

    /// Says so if the receiver has nothing under these names: with `--follow` it may come, else it is an error, as of a
    /// name that is misspelt.
    fn expect_some(&self, selection: &Selection) -> Result<(), LogsError> {
        if !selection.containers.is_empty() || !selection.complete {
            return Ok(());
        }
        let nothing = LogsError::Nothing { what: self.describe() };
        if !self.follow {
            return Err(nothing);
        }
        // A closed stderr has no reader to tell.
        drop(writeln!(io::stderr(), "hawsepipe: {nothing}; waiting"));
        Ok(())
    }

    fn describe(&self) -> String {
        let of = if self.events { "events of " } else { "" };
        let mut what = of.to_owned();
        what += &match &self.pod {
            Some(pod) => format!("pod {pod}"),
            None => "any pod".to_owned(),
        };
        if let Some(container) = &self.container {
            what += &format!(", container {container}");
        }
        if !self.all_namespaces {
            what += &format!(", in namespace {}", self.namespace);
        }
        what
    }
}

fn read_key(args: &LogsArgs) -> Result<MetadataValue<Ascii>, LogsError> {
    let path = args.key_file.clone().ok_or(LogsError::NoKeyFile)?;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(LogsError::KeyFile { path, source }),
    };
    match text.trim().parse::<MetadataValue<Ascii>>() {
        Ok(mut key) if !key.is_empty() => {
            key.set_sensitive(true);
            Ok(key)
        }
        _ => Err(LogsError::NoKey { path }),
    }
}

async fn connect(args: &LogsArgs) -> Result<Channel, LogsError> {
    let url = args.endpoint.as_str();
    let wrong = |reason: &str| LogsError::Endpoint { url: url.to_owned(), reason: reason.into() };
    let plain = url.starts_with("http://");
    if !plain && !url.starts_with("https://") {
        return Err(wrong("it must begin with http:// or https://"));
    }
    let endpoint = Endpoint::from_shared(url.to_owned());
    let mut endpoint = endpoint
        .map_err(|error| wrong(&error.to_string()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .user_agent(concat!("hawsepipe/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| wrong(&error.to_string()))?;
    if !plain {
        let tls = match &args.ca_file {
            None => ClientTlsConfig::new().with_native_roots(),
            Some(path) => {
                let pem = std::fs::read(path)
                    .map_err(|source| LogsError::CaFile { path: path.clone(), source })?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
            }
        };
        endpoint = endpoint.tls_config(tls).map_err(|error| wrong(&error::chain(&error)))?;
    }
    endpoint.connect().await.map_err(|error| LogsError::Unreachable {
        url: url.to_owned(),
        reason: error::chain(&error),
    })
}

/// Whether the receiver takes `name` for a glob; no Kubernetes name holds any of these.
fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '[', '{', '\\'])
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).ok_or_else(|| "no time; write for instance 30s, 5m or 2h".to_owned())
}
