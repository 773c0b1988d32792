//! Connections to other control ports, and what a failed one proves.
//!
//! Owns the dialling: a plain TCP connect that can tell "refused" (nobody listens there: the process is gone) from everything else, and
//! gRPC over the connection that was made. Invariant: only a refusal by every address of the host counts as proof.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::metadata::Address;

/// Longest wait for a connection to be made.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Largest message on the control port: one entry may be [`crate::raft::MAX_COMMAND_BYTES`], and an append carries several.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 << 20;
const WINDOW_BYTES: u32 = 4 << 20;

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Every address of the host refused: no process listens on that port.
    #[error("connection refused")]
    Refused,
    /// Nothing is known about the process there.
    #[error("{0}")]
    Unreachable(String),
}

/// Opens a TCP connection. The name is resolved anew each time, since a restarted container may have another address.
pub(crate) async fn dial(address: &Address) -> Result<TcpStream, ConnectError> {
    timeout(CONNECT_TIMEOUT, dial_any(address))
        .await
        .unwrap_or_else(|_| Err(ConnectError::Unreachable("timed out".to_owned())))
}

async fn dial_any(address: &Address) -> Result<TcpStream, ConnectError> {
    let candidates = lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(|error| ConnectError::Unreachable(error.to_string()))?;
    let mut refused = false;
    let mut no_route = false;
    for candidate in candidates {
        match TcpStream::connect(candidate).await {
            Ok(stream) => return Ok(stream),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => refused = true,
                // This machine has no way to that address family at all, which says nothing about the process.
                io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkUnreachable => {
                    no_route = true;
                }
                _ => return Err(ConnectError::Unreachable(error.to_string())),
            },
        }
    }
    match (refused, no_route) {
        (true, _) => Err(ConnectError::Refused),
        (false, true) => Err(ConnectError::Unreachable("no route to the host".to_owned())),
        (false, false) => Err(ConnectError::Unreachable("the host has no address".to_owned())),
    }
}

/// Opens a gRPC channel over one TCP connection. The channel does not reconnect: whoever sees it fail drops it.
pub(crate) async fn connect(address: &Address) -> Result<Channel, ConnectError> {
    let stream = dial(address).await?;
    // Latency counts here and the messages are small; a failure to set it costs only time.
    let _ = stream.set_nodelay(true);
    let unreachable = |error: tonic::transport::Error| ConnectError::Unreachable(error.to_string());
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(unreachable)?
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    timeout(CONNECT_TIMEOUT, endpoint.connect_with_connector(Once(Some(stream))))
        .await
        .map_err(|_| ConnectError::Unreachable("timed out".to_owned()))?
        .map_err(unreachable)
}

/// A connector that has its connection already, and only that one.
struct Once(Option<TcpStream>);

impl Service<Uri> for Once {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let stream = self.0.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        Box::pin(async move { stream.map(TokioIo::new) })
    }
}
