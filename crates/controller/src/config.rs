//! Configuration keys of the controller: what the metadata machine decides by, and the control plane's timings.
//!
//! Owns the table. A topic key without synonyms has its cluster-wide default under its own name. Keys of cluster scope live in the metadata image; a server's file seeds them when the cluster is formed, and nothing else.

use model::config::{ConfigKey, ConfigKind, ConfigScope, ConfigUpdate};

/// The controller's keys, by name.
pub const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "auto.create.topics.enable",
        kind: ConfigKind::Boolean,
        default: Some("true"),
        scope: ConfigScope::Cluster,
        update: ConfigUpdate::Dynamic,
        documentation: "Whether a topic is created when a client first asks for it.",
        synonyms: &[],
    },
    ConfigKey {
        name: "auto.leader.rebalance.enable",
        kind: ConfigKind::Boolean,
        default: Some("true"),
        scope: ConfigScope::Cluster,
        update: ConfigUpdate::Dynamic,
        documentation: "Whether the controller moves leadership back to preferred replicas that are in sync again.",
        synonyms: &[],
    },
    ConfigKey {
        name: "broker.heartbeat.interval.ms",
        kind: ConfigKind::Int { min: 10, max: i32::MAX },
        default: Some("300"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How often a broker sends a heartbeat to the controller.",
        synonyms: &[],
    },
    ConfigKey {
        name: "broker.session.timeout.ms",
        kind: ConfigKind::Int { min: 50, max: i32::MAX },
        default: Some("1000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How long the controller waits for a heartbeat before it fences a broker against which it has no other evidence.",
        synonyms: &[],
    },
    ConfigKey {
        name: "default.replication.factor",
        kind: ConfigKind::Int { min: 1, max: 32_767 },
        default: Some("3"),
        scope: ConfigScope::Cluster,
        update: ConfigUpdate::Dynamic,
        documentation: "Replicas of a topic that is created without saying how many; never more than the cluster has brokers, fenced ones included.",
        synonyms: &[],
    },
    ConfigKey {
        name: "delete.topic.enable",
        kind: ConfigKind::Boolean,
        default: Some("true"),
        scope: ConfigScope::Cluster,
        update: ConfigUpdate::Dynamic,
        documentation: "Whether topics may be deleted.",
        synonyms: &[],
    },
    ConfigKey {
        name: "leader.imbalance.check.interval.seconds",
        kind: ConfigKind::Long { min: 1, max: i64::MAX },
        default: Some("300"),
        scope: ConfigScope::Cluster,
        update: ConfigUpdate::Dynamic,
        documentation: "How often the controller looks for partitions that their preferred replica could lead.",
        synonyms: &[],
    },
    ConfigKey {
        name: "min.insync.replicas",
        kind: ConfigKind::Int { min: 1, max: 32_767 },
        default: Some("2"),
        scope: ConfigScope::Topic,
        update: ConfigUpdate::Dynamic,
        documentation: "Replicas that must hold a record before it is acknowledged to acks=all; also the floor below which only loss shrinks an ISR. More than a partition has replicas counts as all of them.",
        synonyms: &[],
    },
    ConfigKey {
        name: "num.partitions",
        kind: ConfigKind::Int { min: 1, max: 10_000 },
        default: Some("1"),
        scope: ConfigScope::Cluster,
        update: ConfigUpdate::Dynamic,
        documentation: "Partitions of a topic that is created without saying how many.",
        synonyms: &[],
    },
    ConfigKey {
        name: "unclean.leader.election.enable",
        kind: ConfigKind::Enum { allowed: &["false"] },
        default: Some("false"),
        scope: ConfigScope::Topic,
        update: ConfigUpdate::Dynamic,
        documentation: "Whether a replica outside the ISR may lead; only false is served, since such an election loses acknowledged records.",
        synonyms: &[],
    },
];
