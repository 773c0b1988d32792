//! The leader's end of the streams: who may open one, what followers say, and what they are sent.

pub(crate) mod follower_stream;
pub(crate) mod service;
