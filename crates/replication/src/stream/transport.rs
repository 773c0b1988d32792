//! How the connections under the streams are set up, the same at both ends.

use std::time::Duration;

use tonic::transport::{Endpoint, Server};

/// Sets a server up as the streams want it. What it is served from must set `TCP_NODELAY` itself.
pub(crate) fn tune_server(server: Server) -> Server {
    server
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
}

/// Sets a client's endpoint up as the streams want it.
pub(super) fn tune_endpoint(endpoint: Endpoint) -> Endpoint {
    endpoint
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .max_frame_size(MAX_FRAME_BYTES)
}

/// Largest message: above any batch that a request of at most `socket.request.max.bytes` (100 MiB) can bring.
pub(super) const MAX_MESSAGE_BYTES: usize = 128 << 20;

/// HTTP/2 window of one stream, both ways: a few messages in flight.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;

/// HTTP/2 window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Largest HTTP/2 frame: with the windows, what makes the streams fast.
const MAX_FRAME_BYTES: u32 = 1 << 20;

/// How often a connection is asked whether it lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(500);

/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);
