//! A destination that is killed, hangs, talks nonsense or hangs up: nothing is lost while the agent lives.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;

use crate::agent::Settings;
use crate::process::wait_until;
use crate::rig::Rig;

/// A frame whose acknowledgement was lost with the receiver is sent again: that OTLP cannot tell apart from a new one.
/// So lines may come twice here, but none may be missing, and the first time they come they are in order.
#[test]
fn no_line_is_lost_while_the_receiver_is_killed_and_started_again() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let address = receiver.grpc;
    let mut web = rig.pod("web");
    let mut agent = rig.agent(&Settings::to(address));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                web.lines(20);
                std::thread::sleep(Duration::from_millis(2));
            }
            web
        })
    };
    for _ in 0..2 {
        receiver.wait_for_records(1000);
        receiver.process.signal(Signal::KILL);
        receiver.process.wait();
        agent.wait_for_retries(2);
        receiver = rig.receiver_at(address, "data");
    }
    receiver.wait_for_records(1000);
    stop.store(true, Ordering::Relaxed);
    let web = writer.join().unwrap();
    agent.wait_until_read(web.bytes());
    agent.stop();

    let mut seen = BTreeSet::new();
    let mut first = web.numbers(&receiver.records());
    first.retain(|number| seen.insert(*number));
    assert!(first.is_sorted(), "out of order");
    assert_eq!(first, Vec::from_iter(0..web.written()));
}

#[test]
fn a_destination_that_hangs_talks_nonsense_or_hangs_up_costs_no_line() {
    let rig = Rig::new();
    let address = rig.dead_port();
    let mut web = rig.pod("web");
    web.lines(1000);
    let hang = Fake::serve(address, |mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let mut agent = rig.agent(&Settings::to(address));
    // The time limit of a request, which is 2 s here.
    let met = |fake: &Fake| {
        wait_until("the destination is tried", || fake.connections() > 0);
        agent.wait_for_retries(1);
        let reason = agent.destination("main")["reason"].clone();
        assert!(reason.as_str().is_some_and(|reason| reason.contains("127.")), "{reason}");
    };
    met(&hang);
    hang.end();
    web.lines(100);
    let nonsense = Fake::serve(address, |mut stream| {
        drop(stream.write_all(&b"\xff\x00garbage".repeat(100)));
    });
    met(&nonsense);
    nonsense.end();
    web.lines(100);
    let hang_up = Fake::serve(address, |mut stream| drop(stream.read(&mut [0; 24])));
    met(&hang_up);
    hang_up.end();
    web.lines(100);

    let mut receiver = rig.receiver_at(address, "data");
    receiver.wait_for_records(web.written());
    agent.stop();
    web.assert_exact(&receiver.records());
}

/// A server that is none.
struct Fake {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Fake {
    /// Gives each connection to `answer`; what it leaves open stays open until the client ends it.
    fn serve(address: SocketAddr, answer: fn(TcpStream)) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (connections, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counter, over) = (Arc::clone(&connections), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                let stream = stream.unwrap();
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { address, connections, ended, thread }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Listens no more.
    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        // One more connection makes it look.
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap();
    }
}
