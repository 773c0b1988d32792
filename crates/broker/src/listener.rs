//! Accepts client connections: several listeners, one bound on the number of connections of all together.
//!
//! Owns sockets until they are handed to [`crate::connection`]. A connection beyond the bound stays in the kernel's backlog instead of
//! being accepted and closed. Lines about clients' faults are limited in rate, so that none of them can fill a disk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::listeners::{HostPort, Listener, is_every_interface};
use crate::connection::{self, Closed, Handler, Limits, Peer};
use crate::logging::LineLimit;
use crate::metrics::ConnectionMetrics;

/// How long a port may still belong to a process that was killed.
const PREDECESSOR: Duration = Duration::from_secs(1);
const PREDECESSOR_POLL: Duration = Duration::from_millis(10);

/// What all listeners of a broker share.
#[derive(Clone)]
pub struct Shared {
    /// Limits of each connection.
    pub limits: Limits,
    /// One permit per connection (`max.connections`).
    pub connections: Arc<Semaphore>,
    /// Decodes and starts requests.
    pub handler: Arc<Handler>,
    /// Counters.
    pub metrics: Arc<ConnectionMetrics>,
    /// Where the tasks live.
    pub tasks: TaskTracker,
    /// Cancelled when no further connection is accepted and no further request is taken.
    pub drain: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address as configured.
    pub address: String,
    /// What the system says.
    #[source]
    pub source: std::io::Error,
}

/// Opens a listening socket; an empty host is every interface, IPv6 included where the machine has it.
///
/// # Errors
/// [`BindError`] when the name does not resolve or the port is taken.
pub async fn bind(address: &HostPort, backlog: i32) -> Result<TcpListener, BindError> {
    listen(reserve(address).await?, address, backlog)
}

/// Takes a port without listening on it: clients are refused until [`listen`], and go to another broker. A port that is taken is tried again for
/// a second: a process that was killed a moment ago holds its own until its last thread has ended.
///
/// # Errors
/// [`BindError`] when the name does not resolve or the port stays taken.
pub async fn reserve(address: &HostPort) -> Result<Socket, BindError> {
    let deadline = Instant::now() + PREDECESSOR;
    loop {
        match try_reserve(address).await {
            Err(error)
                if error.source.kind() == std::io::ErrorKind::AddrInUse
                    && Instant::now() < deadline =>
            {
                tokio::time::sleep(PREDECESSOR_POLL).await;
            }
            result => return result,
        }
    }
}

async fn try_reserve(address: &HostPort) -> Result<Socket, BindError> {
    let failed = |source| BindError { address: address.to_string(), source };
    if is_every_interface(&address.host) {
        let v6 = SocketAddr::from(([0_u16; 8], address.port));
        let v4 = SocketAddr::from(([0_u8; 4], address.port));
        // A machine without IPv6 cannot make the first socket.
        return match open(v6) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(failed(error)),
            Ok(socket) => Ok(socket),
            Err(_) => open(v4).map_err(failed),
        };
    }
    let found = lookup_host((address.host.as_str(), address.port)).await.map_err(failed)?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let first = found.first().copied();
    let first = first.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
    open(first).map_err(failed)
}

/// Listens on a port that was taken before.
///
/// # Errors
/// [`BindError`] when another process listens on it.
pub fn listen(socket: Socket, address: &HostPort, backlog: i32) -> Result<TcpListener, BindError> {
    let listening = || {
        socket.listen(backlog)?;
        TcpListener::from_std(socket.into())
    };
    listening().map_err(|source| BindError { address: address.to_string(), source })
}

fn open(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts connections of one listener until the drain begins.
pub async fn run(socket: TcpListener, listener: Arc<Listener>, shared: Shared) {
    let full = LineLimit::new(Duration::from_secs(10));
    loop {
        let permit = tokio::select! {
            permit = connection_permit(&shared, &full) => permit,
            () = shared.drain.cancelled() => return,
        };
        let Some(permit) = permit else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = shared.drain.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer { listener: Arc::clone(&listener), address };
                let task = serve(stream, peer, shared.clone(), permit);
                shared.tasks.spawn(task);
            }
            Err(error) => {
                // Out of files or memory: the next try would fail, too, and must not spin.
                if let Some(held_back) = full.permit() {
                    tracing::warn!(held_back, "cannot accept a connection: {error}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection_permit(shared: &Shared, full: &LineLimit) -> Option<OwnedSemaphorePermit> {
    let connections = Arc::clone(&shared.connections);
    if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
        return Some(permit);
    }
    shared.metrics.deferred.inc();
    if let Some(held_back) = full.permit() {
        tracing::warn!(held_back, "max.connections is reached, further clients wait");
    }
    connections.acquire_owned().await.ok()
}

async fn serve(stream: TcpStream, peer: Peer, shared: Shared, permit: OwnedSemaphorePermit) {
    let metrics = Arc::clone(&shared.metrics);
    metrics.accepted.inc();
    metrics.open.inc();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(client = %peer.address, "cannot set TCP_NODELAY: {error}");
    }
    let address = peer.address;
    let closed =
        connection::serve(stream, peer, &shared.limits, &*shared.handler, shared.drain).await;
    metrics.open.dec();
    drop(permit);
    report(&closed, address, &metrics);
}

/// One line per second at most for clients' faults; the rest is for debugging.
fn report(closed: &Closed, client: SocketAddr, metrics: &ConnectionMetrics) {
    static FAULTS: LineLimit = LineLimit::new(Duration::from_secs(1));
    if !closed.is_clients_fault() {
        tracing::debug!(%client, "connection ended: {closed}");
        return;
    }
    metrics.faulty.inc();
    if let Some(held_back) = FAULTS.permit() {
        tracing::warn!(%client, held_back, "connection closed: {closed}");
    }
}
