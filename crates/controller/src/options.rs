//! What a control plane is started with, and what a broker proves when it registers.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log_storage::FileSystem;
use model::{BrokerEpoch, BrokerId, Clock, ClusterId, TopicIdPartition};

use crate::metadata::{Address, Endpoint, LastShutdown};

/// What a control plane is started with.
#[derive(Debug)]
pub struct ControllerConfig {
    /// Kafka's `node.id`.
    pub broker_id: BrokerId,
    /// `cluster.id`, when the file has one: such a node forms or joins that cluster alone.
    pub cluster_id: Option<ClusterId>,
    /// `controller.quorum.voters`: control addresses; at least one.
    pub voters: Vec<Voter>,
    /// The control port, bound by the caller, who may have let the system choose the number.
    pub listener: TcpListener,
    /// Where other brokers reach the control port.
    pub advertised_address: Address,
    /// The data directory, on which the caller holds the lock. It holds `meta.properties`, the vote, Raft's log and the materialised image.
    pub data_dir: PathBuf,
    /// Where all of that but the materialised image is read and written.
    pub file_system: Arc<dyn FileSystem>,
    /// Whether the image is also kept in sled, so that a clean restart need not replay the log.
    pub materialization: Materialization,
    /// The clock of this process.
    pub clock: Clock,
    /// Keys of cluster scope as this broker's file has them: the forming broker's seed the cluster's, others are only compared.
    pub cluster_configs: BTreeMap<String, String>,
    /// Kafka's `broker.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// Kafka's `broker.session.timeout.ms`.
    pub session_timeout: Duration,
}

/// Whether the image is kept in sled as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Materialization {
    /// In `metadata.sled/`, written behind the image, trusted after a clean stop alone.
    Sled,
    /// Not at all: every start replays the log. What a simulated disk needs, which sled cannot use.
    Off,
}

/// A configured voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// The voter's `node.id`.
    pub broker_id: BrokerId,
    /// Its control port.
    pub address: Address,
}

/// What a broker proves of its disk when it registers, after all its logs were opened and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationProof {
    /// The broker epoch that the directory holds; `None` in a fresh one.
    pub stored_broker_epoch: Option<BrokerEpoch>,
    /// Whether the last run on this directory ended with the clean-shutdown mark.
    pub last_shutdown: LastShutdown,
    /// Replicas whose logs end below their checkpointed high watermark, or whose directories are missing.
    pub lost_replicas: Vec<TopicIdPartition>,
    /// Where clients reach the broker.
    pub endpoints: Vec<Endpoint>,
    /// Where replicas reach it.
    pub replication_address: Address,
    /// Kafka's `broker.rack`.
    pub rack: Option<String>,
}
