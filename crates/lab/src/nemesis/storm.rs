//! Many connections to one node, from clients that say nothing or garbage.
//!
//! Bounded: so many connections at once and in all, and over when it is ended or dropped.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Connections open at once: below the usual limit of 1024 files, of which the lab itself needs some.
const MAX_OPEN: usize = 300;
/// Connections in all.
const MAX_OPENED: usize = 5_000;
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_millis(200);

/// A storm that goes on.
#[derive(Debug)]
pub(super) struct Storm {
    /// Dropped to end it.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Tally>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    opened: usize,
    refused: usize,
}

impl Storm {
    pub(super) fn begin(address: SocketAddr, draw: u64) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("storm".to_owned())
            .spawn(move || blow(address, &stopped, StdRng::seed_from_u64(draw)))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Closes all connections; returns what happened, for the report.
    pub(super) fn end(mut self) -> String {
        let Tally { opened, refused } = self.join();
        format!("{opened} connections opened, {refused} attempts failed")
    }

    fn join(&mut self) -> Tally {
        self.stop = None;
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.join();
    }
}

fn blow(address: SocketAddr, stopped: &Receiver<()>, mut rng: StdRng) -> Tally {
    let mut open = Vec::with_capacity(MAX_OPEN);
    let mut tally = Tally::default();
    while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        if tally.opened + tally.refused >= MAX_OPENED {
            continue;
        }
        if open.len() == MAX_OPEN {
            open.swap_remove(rng.random_range(0..MAX_OPEN));
        }
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut connection) => {
                tally.opened += 1;
                // A node may well close such a connection at once; that is no failure of the storm.
                let _ = connection.set_write_timeout(Some(PATIENCE));
                let _ = connection.write_all(&said(&mut rng));
                open.push(connection);
            }
            Err(_) => tally.refused += 1,
        }
    }
    tally
}

/// What a stranger says: nothing, noise, a request of nearly 2 GiB of which no more comes, or HTTP.
fn said(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => Vec::new(),
        1 => (0..rng.random_range(1..256)).map(|_| rng.random()).collect(),
        2 => vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        _ => b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
    }
}
