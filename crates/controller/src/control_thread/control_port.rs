//! The control port: one listener, and the two gRPC services behind it, told apart by the path of a call.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::peers::connect::MAX_MESSAGE_BYTES;
use crate::proto::controller::controller_server::ControllerServer;
use crate::proto::raft::raft_server::RaftServer;

const WINDOW_BYTES: u32 = 4 << 20;
/// Calls and streams of one connection at a time.
const MAX_STREAMS: u32 = 64;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Begins to listen on the current runtime; the future serves until it is dropped, or the port fails.
pub(super) fn listen(
    listener: TcpListener,
    raft: crate::raft::Service,
    controller: crate::active::service::Service,
) -> io::Result<impl Future<Output = Result<(), tonic::transport::Error>>> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let services = Services {
        raft: RaftServer::new(raft)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
        controller: ControllerServer::new(controller)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
    };
    let server = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        // A connection whose other end vanished without a word is not kept for ever.
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .serve_with_incoming(services, incoming);
    Ok(server)
}

/// Both services.
#[derive(Clone)]
struct Services {
    raft: RaftServer<crate::raft::Service>,
    controller: ControllerServer<crate::active::service::Service>,
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // A path that neither knows is answered "unimplemented" by the one it is given to.
        if request.uri().path().starts_with("/steadfast.raft.v1.Raft/") {
            Box::pin(self.raft.call(request))
        } else {
            Box::pin(self.controller.call(request))
        }
    }
}
