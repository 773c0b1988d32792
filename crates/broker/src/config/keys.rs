//! The broker's own configuration keys: what one process needs to know before it can ask the metadata anything.
//!
//! Owns the table of server scope. Keys of topics and of the cluster belong to the crates that give them meaning.

use model::config::{ConfigKey, ConfigKind, ConfigScope, ConfigUpdate};

const fn server(
    name: &'static str,
    kind: ConfigKind,
    default: Option<&'static str>,
    documentation: &'static str,
    synonyms: &'static [&'static str],
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default,
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation,
        synonyms,
    }
}

/// Keys of one server's file that the broker itself reads, sorted by name.
pub(crate) const KEYS: &[ConfigKey] = &[
    server(
        "advertised.listeners",
        ConfigKind::Text,
        None,
        "Addresses that clients are told to connect to, one per listener; by default those of `listeners`, with this machine's host name where they name none.",
        &[],
    ),
    server(
        "broker.rack",
        ConfigKind::Text,
        None,
        "Rack of this broker: replicas of one partition are spread over racks.",
        &[],
    ),
    server(
        "cluster.id",
        ConfigKind::Text,
        None,
        "Cluster to form or to join, 22 characters; without it the forming broker draws one and others join the cluster of their voters.",
        &[],
    ),
    server(
        "connections.max.idle.ms",
        ConfigKind::Long { min: -1, max: i64::MAX },
        Some("600000"),
        "A client connection without a request for so long is closed; -1 is never.",
        &[],
    ),
    server(
        "control.listener",
        ConfigKind::Text,
        Some(":9392"),
        "Address (host:port, an empty host is every interface) on which brokers reach this one for Raft, registration and heartbeats.",
        &[],
    ),
    server(
        "controller.quorum.voters",
        ConfigKind::Text,
        None,
        "Voters of the metadata quorum as id@host:port of their control listeners; by default this broker alone.",
        &[],
    ),
    server(
        "http.listener",
        ConfigKind::Text,
        Some(":9292"),
        "Address (host:port) of metrics and health.",
        &[],
    ),
    server(
        "internal.advertised.host",
        ConfigKind::Text,
        None,
        "Host under which other brokers reach this one's control and replication listeners; by default the one that `controller.quorum.voters` names for this broker, else this machine's host name.",
        &[],
    ),
    server(
        "listener.security.protocol.map",
        ConfigKind::Text,
        Some("PLAINTEXT:PLAINTEXT"),
        "Security protocol of each listener by name; a name that is not here must itself be a protocol. PLAINTEXT alone is served.",
        &[],
    ),
    server(
        "listeners",
        ConfigKind::Text,
        Some("PLAINTEXT://:9092"),
        "Addresses on which clients are served, as NAME://host:port; an empty host is every interface.",
        &[],
    ),
    server(
        "log.dirs",
        ConfigKind::Text,
        Some("data"),
        "Directory of all data of this broker. One directory is served.",
        &["log.dir"],
    ),
    server(
        "max.connections",
        ConfigKind::Int { min: 1, max: i32::MAX },
        Some("4096"),
        "Client connections served at once; further ones wait in the backlog. Lowered at the start to what the limit on open files leaves.",
        &[],
    ),
    server(
        "node.id",
        ConfigKind::Int { min: 0, max: i32::MAX },
        Some("1"),
        "Id of this broker, unique in the cluster.",
        &["broker.id"],
    ),
    server(
        "num.network.threads",
        ConfigKind::Int { min: 1, max: 256 },
        None,
        "Threads that read, handle and answer requests; by default the number of cores, at most 3.",
        &[],
    ),
    server(
        "queued.max.request.bytes",
        ConfigKind::Long { min: 1_048_576, max: i64::MAX },
        Some("268435456"),
        "Bytes of larger requests that may be in memory at once, and as many again of records on their way to consumers; what comes beyond waits until there is room.",
        &[],
    ),
    server(
        "replication.listener",
        ConfigKind::Text,
        Some(":9192"),
        "Address (host:port) on which other brokers follow this one's partitions.",
        &[],
    ),
    server(
        "socket.listen.backlog.size",
        ConfigKind::Int { min: 1, max: 65_535 },
        Some("512"),
        "Connections that the kernel keeps waiting to be accepted, per listener.",
        &[],
    ),
    server(
        "socket.request.max.bytes",
        ConfigKind::Int { min: 1_024, max: 1_073_741_824 },
        Some("104857600"),
        "Largest request in bytes; a connection that announces a larger one is closed.",
        &[],
    ),
];
