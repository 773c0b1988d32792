//! Experiments: what is started, for how long it runs, and what is made of it.
//!
//! Owns the order of a run: target, topics, clients, faults, quiet, final read, judgement, report. Invariants: every run is bounded in time;
//! whatever happens, the target is healed or stopped, and the history ends whole.

mod aftermath;
mod chaos;
mod clients;
mod cluster;
mod comparison;
mod durability;
mod judge;
mod live_view;
mod machine;
mod observer;
mod run_directory;
mod schedule_choice;
mod target_choice;
mod waiting;

pub(crate) use chaos::{ChaosOptions, run as chaos};
pub(crate) use clients::Client;
pub(crate) use comparison::run as comparison;
pub(crate) use durability::{DurabilityOptions, Loss, run as durability};
pub(crate) use judge::judge;
pub(crate) use target_choice::TargetOptions;

use std::path::PathBuf;

use crate::checker::CheckError;
use crate::history::ReadError;
use crate::target::{SandboxError, TargetError};
use crate::workload::WorkloadError;

/// Why an experiment did not come to a verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExperimentError {
    #[error("{0}")]
    Usage(String),
    /// A condition that did not come about.
    #[error("{0}")]
    Waited(String),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Check(#[from] CheckError),
}
