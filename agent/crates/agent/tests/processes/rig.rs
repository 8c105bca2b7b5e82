//! A place of its own for each test: a folder, and an address of the loopback network that nobody else uses, so that a
//! port that is free stays free until the test takes it again.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use crate::pods::Container;

/// The key that receivers want.
pub(crate) const KEY: &str = "the-right-key-of-the-test";

pub(crate) struct Rig {
    folder: TempDir,
    ip: IpAddr,
}

impl Rig {
    /// The folder holds the key in the file `key`, and an empty folder `pods`.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        // 127.0.x.y is left to others.
        let ip = Ipv4Addr::new(127, high.max(1), low, COUNT.fetch_add(1, Ordering::Relaxed));
        let rig = Self { folder: tempfile::tempdir().unwrap(), ip: ip.into() };
        rig.write("key", &format!("{KEY}\n"));
        fs::create_dir(rig.pods()).unwrap();
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where pods log.
    pub(crate) fn pods(&self) -> PathBuf {
        self.path("pods")
    }

    /// A new pod that logs.
    pub(crate) fn pod(&self, name: &str) -> Container {
        Container::create(&self.pods(), name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Takes a port.
    pub(crate) fn listen(&self) -> TcpListener {
        TcpListener::bind((self.ip, 0)).unwrap()
    }

    /// The address of any port.
    pub(crate) fn any_port(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 0)
    }

    /// A port that nobody listens on: whoever connects is refused.
    pub(crate) fn dead_port(&self) -> SocketAddr {
        self.listen().local_addr().unwrap()
    }
}
