//! The leader's end of the streams: who may open one, what followers say, and what they are sent.

mod follower_stream;
mod service;
mod streams;
mod updates;

pub(crate) use service::ReplicationService;
pub(crate) use streams::Streams;
