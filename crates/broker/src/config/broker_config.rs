//! The broker's own settings in typed form.
//!
//! Owns the rules between keys (which default follows from which other key); single values were checked when they were read.

use std::path::PathBuf;
use std::time::Duration;

use model::{BrokerId, ClusterId};

use super::Settings;
use super::listeners::{
    HostPort, Listener, ListenerError, is_every_interface, parse_host_port, parse_listeners,
    parse_voters,
};

/// What one broker process is told by its configuration.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `cluster.id`, when the operator chose one.
    pub cluster_id: Option<ClusterId>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `log.dirs`: the one data directory.
    pub data_dir: PathBuf,
    /// `listeners` with `advertised.listeners`; never empty.
    pub listeners: Vec<Listener>,
    /// `replication.listener`.
    pub replication_listener: HostPort,
    /// `control.listener`.
    pub control_listener: HostPort,
    /// `http.listener`.
    pub http_listener: HostPort,
    /// `internal.advertised.host`.
    pub internal_host: String,
    /// `controller.quorum.voters`; never empty.
    pub voters: Vec<(BrokerId, HostPort)>,
    /// `num.network.threads`, at least 1.
    pub network_threads: usize,
    /// `socket.request.max.bytes`.
    pub max_request_bytes: usize,
    /// `max.connections`.
    pub max_connections: usize,
    /// `connections.max.idle.ms`.
    pub max_idle: Duration,
    /// `queued.max.request.bytes`, at least `socket.request.max.bytes`.
    pub queued_max_request_bytes: usize,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: i32,
    /// All values, for the tables of the other crates.
    pub settings: Settings,
}

/// Why settings that are right one by one are wrong together.
#[derive(Debug, thiserror::Error)]
pub enum BrokerConfigError {
    /// A listener key.
    #[error("{key}: {error}")]
    Listener {
        /// The key.
        key: &'static str,
        /// What is wrong.
        error: ListenerError,
    },
    /// More than one data directory.
    #[error("log.dirs: {0} directories are named, one is served")]
    LogDirs(usize),
    /// A cluster id of another length.
    #[error("cluster.id: {0:?} is not 22 characters of URL-safe base64")]
    ClusterId(String),
}

impl BrokerConfig {
    /// Reads the broker's keys out of the settings.
    ///
    /// # Errors
    /// [`BrokerConfigError`] names the key that is wrong.
    pub fn from_settings(settings: Settings) -> Result<Self, BrokerConfigError> {
        let text = |key: &'static str| settings.get(key).unwrap_or_default();
        let address = |key: &'static str| {
            parse_host_port(text(key)).map_err(|error| BrokerConfigError::Listener { key, error })
        };
        let node_id = BrokerId(i32::try_from(integer(&settings, "node.id")).unwrap_or(i32::MAX));
        let own_host = host_name();
        let listeners = parse_listeners(
            text("listeners"),
            settings.explicit("advertised.listeners"),
            text("listener.security.protocol.map"),
            &own_host,
        )
        .map_err(|error| BrokerConfigError::Listener { key: "listeners", error })?;
        let control_listener = address("control.listener")?;
        let voters = voters(&settings, node_id, &control_listener)?;
        let named_by_voters = voters.iter().find(|(id, _)| *id == node_id);
        let internal_host = settings
            .explicit("internal.advertised.host")
            .map(str::to_owned)
            .or_else(|| named_by_voters.map(|(_, address)| address.host.clone()))
            .unwrap_or(own_host);
        let max_request_bytes = settings.size("socket.request.max.bytes");
        Ok(Self {
            node_id,
            cluster_id: cluster_id(&settings)?,
            rack: settings
                .explicit("broker.rack")
                .filter(|rack| !rack.is_empty())
                .map(str::to_owned),
            data_dir: data_dir(text("log.dirs"))?,
            listeners,
            replication_listener: address("replication.listener")?,
            control_listener,
            http_listener: address("http.listener")?,
            internal_host,
            voters,
            network_threads: network_threads(&settings),
            max_request_bytes,
            max_connections: settings.size("max.connections"),
            max_idle: max_idle(&settings),
            queued_max_request_bytes: settings
                .size("queued.max.request.bytes")
                .max(max_request_bytes),
            listen_backlog: i32::try_from(integer(&settings, "socket.listen.backlog.size"))
                .unwrap_or(i32::MAX),
            settings,
        })
    }
}

/// This machine's name, which is what Kafka advertises where nothing else is said.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn integer(settings: &Settings, key: &'static str) -> i64 {
    settings.integer(key).unwrap_or_default()
}

/// A negative time is Kafka's "never"; a year is as good and no sum of times overflows.
fn max_idle(settings: &Settings) -> Duration {
    const YEAR: Duration = Duration::from_secs(31_536_000);
    u64::try_from(integer(settings, "connections.max.idle.ms"))
        .map_or(YEAR, |millis| Duration::from_millis(millis).min(YEAR))
}

fn voters(
    settings: &Settings,
    node_id: BrokerId,
    control: &HostPort,
) -> Result<Vec<(BrokerId, HostPort)>, BrokerConfigError> {
    let key = "controller.quorum.voters";
    let text = settings.explicit(key).unwrap_or_default();
    let voters = parse_voters(text).map_err(|error| BrokerConfigError::Listener { key, error })?;
    if !voters.is_empty() {
        return Ok(voters);
    }
    let host = if is_every_interface(&control.host) { "localhost" } else { &control.host };
    Ok(vec![(node_id, HostPort { host: host.to_owned(), port: control.port })])
}

fn cluster_id(settings: &Settings) -> Result<Option<ClusterId>, BrokerConfigError> {
    let Some(text) = settings.explicit("cluster.id").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let legal = text.len() == 22
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !legal {
        return Err(BrokerConfigError::ClusterId(text.to_owned()));
    }
    Ok(Some(ClusterId(text.to_owned())))
}

fn data_dir(text: &str) -> Result<PathBuf, BrokerConfigError> {
    let mut named = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    match (named.next(), named.count()) {
        (Some(one), 0) => Ok(PathBuf::from(one)),
        (first, rest) => Err(BrokerConfigError::LogDirs(usize::from(first.is_some()) + rest)),
    }
}

fn network_threads(settings: &Settings) -> usize {
    match settings.integer("num.network.threads") {
        Some(count) => usize::try_from(count).unwrap_or(1).max(1),
        None => std::thread::available_parallelism().map_or(1, usize::from).min(3),
    }
}
