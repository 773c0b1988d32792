//! What does not change while this process runs: who it is, how it was configured, and its clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::{BrokerId, Clock, ClusterId};

use crate::identity::Identity;
use crate::metadata::{Address, RaftId};
use crate::options::Voter;

/// The constants of this run; the meaning of the configured ones stands at [`crate::ControllerConfig`].
#[derive(Debug)]
pub(crate) struct Settings {
    /// As the disk had it at the start.
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) cluster_id: Option<ClusterId>,
    pub(crate) voters: Vec<Voter>,
    pub(crate) advertised_address: Address,
    pub(crate) data_dir: PathBuf,
    pub(crate) cluster_configs: BTreeMap<String, String>,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) session_timeout: Duration,
}

impl Settings {
    pub(crate) fn broker_id(&self) -> BrokerId {
        self.identity.broker_id
    }

    pub(crate) fn raft_id(&self) -> RaftId {
        self.identity.raft_id
    }
}
