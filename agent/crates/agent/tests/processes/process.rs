//! Processes of the program under test, and waiting for what they do.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What a condition may take on a busy machine; only a broken program takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `holds`.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// The program, with nothing taken from the environment of the tests.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hawsepipe"));
    for name in ["ENDPOINT", "KEY_FILE", "CA_FILE", "CONFIG"] {
        command.env_remove(format!("HAWSEPIPE_{name}"));
    }
    command
}

/// What is done with each line that a process writes to stderr.
pub(crate) type OnLine = Box<dyn FnMut(&str) + Send>;

/// A running process; what it says is kept. It is gone when the test is.
pub(crate) struct Process {
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, Box::new(|_line| {}))
    }

    pub(crate) fn start_with(command: &mut Command, on_stderr: OnLine) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            keep(child.stdout.take().unwrap(), &stdout, Box::new(|_line| {})),
            keep(child.stderr.take().unwrap(), &stderr, on_stderr),
        ];
        Self { child, stdout, stderr, readers }
    }

    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    pub(crate) fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// A file of the process below `/proc`.
    pub(crate) fn proc(&self, name: &str) -> String {
        let bytes = std::fs::read(format!("/proc/{}/{name}", self.child.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has the file open that is under this path now.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let mut targets = fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
        targets.any(|target| target == path)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; after that everything that it said is there.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = wait_for("the process ends", || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub(crate) fn ends_well(&mut self) {
        let status = self.wait();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            for line in self.stderr() {
                // The test runner shows it beside the failure.
                println!("stderr of {}: {line}", self.child.id());
            }
        }
    }
}

fn keep(
    from: impl Read + Send + 'static,
    into: &Arc<Mutex<Vec<String>>>,
    mut on_line: OnLine,
) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let line = line.unwrap();
            on_line(&line);
            into.lock().unwrap().push(line);
        }
    })
}
