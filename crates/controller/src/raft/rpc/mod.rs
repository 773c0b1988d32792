//! Raft between nodes, over gRPC on their control ports: `network` is openraft's way out, `service` its way in.

pub(super) mod network;
pub(super) mod service;
