//! The two gRPC services of the control port, told apart by the path of a call.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};

use crate::proto::controller::controller_server::ControllerServer;
use crate::proto::raft::raft_server::RaftServer;

/// Both services.
#[derive(Clone)]
pub(crate) struct ControlPort {
    pub(crate) raft: RaftServer<crate::raft::Service>,
    pub(crate) controller: ControllerServer<crate::active::service::Service>,
}

impl Service<Request<Body>> for ControlPort {
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
