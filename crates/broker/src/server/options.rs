//! From one broker's configuration to the options of the crates that it joins.
//!
//! Pure. Single values were checked when they were read; each key's meaning belongs to the crate whose option it is.

use std::net::TcpListener;
use std::sync::Arc;

use controller::metadata::{Address, Endpoint, SecurityProtocol};
use controller::{ControllerConfig, Materialization, RegistrationProof, Voter};
use log_storage::FileSystem;
use model::{BrokerId, Clock, TopicIdPartition};
use replication::{CleanerConfig, ReplicationConfig};

use super::data_directory::LastRun;
use crate::config::listeners::HostPort;
use crate::config::{BrokerConfig, Settings};

/// The control plane's.
///
/// # Errors
/// When the listener has no address.
pub(super) fn controller_config(
    config: &BrokerConfig,
    listener: TcpListener,
    file_system: Arc<dyn FileSystem>,
    clock: Clock,
) -> std::io::Result<ControllerConfig> {
    let settings = &config.settings;
    let port = listener.local_addr()?.port();
    let voter = |(broker_id, address): &(BrokerId, HostPort)| Voter {
        broker_id: *broker_id,
        address: Address { host: address.host.clone(), port: address.port },
    };
    Ok(ControllerConfig {
        broker_id: config.node_id,
        cluster_id: config.cluster_id.clone(),
        voters: config.voters.iter().map(voter).collect(),
        listener,
        advertised_address: Address { host: config.internal_host.clone(), port },
        data_dir: config.data_dir.clone(),
        file_system,
        materialization: Materialization::Sled,
        clock,
        cluster_configs: settings.cluster_values(),
        heartbeat_interval: settings.millis("broker.heartbeat.interval.ms"),
        session_timeout: settings.millis("broker.session.timeout.ms"),
    })
}

/// The replicas'.
pub(super) fn replication_config(settings: &Settings) -> ReplicationConfig {
    ReplicationConfig {
        replica_lag_time_max: settings.millis("replica.lag.time.max.ms"),
        replica_fetch_max_bytes: settings.size("replica.fetch.max.bytes"),
        replica_fetch_response_max_bytes: settings.size("replica.fetch.response.max.bytes"),
        connect_timeout: settings.millis("replica.socket.timeout.ms"),
        reconnect_backoff_max: settings.millis("replica.fetch.backoff.ms"),
        high_watermark_checkpoint_interval: settings
            .millis("replica.high.watermark.checkpoint.interval.ms"),
        flush_checkpoint_interval: settings.millis("log.flush.offset.checkpoint.interval.ms"),
        log_start_checkpoint_interval: settings
            .millis("log.flush.start.offset.checkpoint.interval.ms"),
        retention_check_interval: settings.millis("log.retention.check.interval.ms"),
        cleaner: cleaner_config(settings),
        broker_session_timeout: settings.millis("broker.session.timeout.ms"),
    }
}

fn cleaner_config(settings: &Settings) -> CleanerConfig {
    let is_enabled = settings.get("log.cleaner.enable") != Some("false");
    let rate = settings.get("log.cleaner.io.max.bytes.per.second");
    CleanerConfig {
        threads: if is_enabled { settings.size("log.cleaner.threads") } else { 0 },
        backoff: settings.millis("log.cleaner.backoff.ms"),
        dedupe_buffer_bytes: settings.size("log.cleaner.dedupe.buffer.size"),
        io_max_bytes_per_second: rate.and_then(|rate| rate.parse().ok()).unwrap_or(f64::MAX),
    }
}

/// What the registration says of this broker and of its disk.
pub(super) fn registration_proof(
    config: &BrokerConfig,
    last_run: LastRun,
    lost_replicas: Vec<TopicIdPartition>,
) -> RegistrationProof {
    let endpoints = config.listeners.iter().map(|one| Endpoint {
        listener: one.name.clone(),
        address: Address { host: one.advertised.host.clone(), port: one.advertised.port },
        security_protocol: SecurityProtocol::Plaintext,
    });
    RegistrationProof {
        stored_broker_epoch: last_run.broker_epoch,
        last_shutdown: last_run.shutdown,
        lost_replicas,
        endpoints: endpoints.collect(),
        replication_address: Address {
            host: config.internal_host.clone(),
            port: config.replication_listener.port,
        },
        rack: config.rack.clone(),
    }
}
