//! Who leads each partition and who is in its ISR, by consensus.
//!
//! Owns the cluster's metadata ([`metadata`], a pure machine), its replication by Raft, broker liveness and the control port.
//! [`Controller`] is the handle that a broker holds: the image, its changes, proposals, registration. Everything behind the handle runs on
//! one thread of its own, which takes no partition lock and does no data I/O, so that a stalled disk never fences a broker.

pub mod config;
pub mod metadata;

mod active;
mod broker_lifecycle;
mod control_thread;
mod controller;
mod error;
mod failure;
mod identity;
mod image_feed;
mod metrics;
mod options;
mod peers;
mod proto;
mod raft;
mod settings;
mod suspicions;

pub use broker_lifecycle::proposal_queue::Applied;
pub use controller::Controller;
pub use error::{ProposeError, RegisterError, StartError};
pub use image_feed::{ImageChange, ImageChanges};
pub use options::{ControllerConfig, Materialization, RegistrationProof, Voter};
