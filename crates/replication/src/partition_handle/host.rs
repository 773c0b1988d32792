//! The broker as the partitions on it see it: all that a driver reaches out to beyond its own partition.

use model::{BrokerId, Clock};

use super::follow::Outboxes;
use super::timers::Timers;
use crate::metrics::ReplicationMetrics;
use crate::requests::Requests;
use crate::storage::Storage;

/// What the partitions of a broker stand on. Whatever has a lock of its own in here is touched after the partition's lock is released.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) broker_id: BrokerId,
    pub(crate) clock: Clock,
    pub(crate) metrics: ReplicationMetrics,
    pub(crate) storage: Storage,
    /// Wakes machines.
    pub(crate) timers: Timers,
    /// What machines ask of the controller.
    pub(crate) requests: Requests,
    /// What machines say to their leaders.
    pub(crate) outboxes: Outboxes,
}
