//! The services of the replication port, told apart by the path of a call: replication itself, and whatever else the broker serves to brokers.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};

use super::leader_end::ReplicationService;
use super::proto::replication_server::ReplicationServer;

/// A generated gRPC server.
pub trait GrpcService:
    Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future = BoxFuture<Response<Body>, Infallible>,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> GrpcService for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<Response<Body>, Infallible>,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// No other service: each call of one is answered "unimplemented".
#[derive(Clone, Copy, Debug)]
pub struct NoOtherService;

impl Service<Request<Body>> for NoOtherService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Body>) -> Self::Future {
        Box::pin(std::future::ready(Ok(Status::unimplemented("no such service").into_http())))
    }
}

/// Replication, and the rest.
#[derive(Clone)]
pub(crate) struct Services<S> {
    replication: ReplicationServer<ReplicationService>,
    others: S,
}

impl<S> Services<S> {
    pub(crate) fn new(replication: ReplicationServer<ReplicationService>, others: S) -> Self {
        Self { replication, others }
    }
}

impl<S: GrpcService> Service<Request<Body>> for Services<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/steadfast.replication.v1.Replication/") {
            self.replication.call(request)
        } else {
            self.others.call(request)
        }
    }
}
