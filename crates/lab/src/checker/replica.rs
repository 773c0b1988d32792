//! Replicas: that the logs on the disks of a stopped cluster are the same.

use super::findings::Kind as Anomaly;
use super::state::Checker;
use crate::history::{Event, OperationId, Partition};

/// What a disk had of a partition.
#[derive(Clone, Debug)]
pub(super) struct ReplicaLog {
    node: u32,
    /// One beyond its last offset.
    to: i64,
    digest: String,
    op: OperationId,
}

impl Checker {
    /// A replica's log was read.
    pub(super) fn replica_read(
        &mut self,
        event: &Event,
        partition: &Partition,
        (node, to, digest): (u32, i64, &str),
    ) {
        let partition = self.partition(partition);
        let log = ReplicaLog { node, to, digest: digest.to_owned(), op: event.op };
        self.partitions[partition].replicas.push(log);
    }

    /// Compares each replica with the first, and with what the final read found.
    pub(super) fn judge_replicas(&mut self) {
        for partition in &self.partitions {
            let name = &partition.name;
            let first = partition.replicas.first();
            for replica in &partition.replicas {
                let node = replica.node;
                if let Some(first) = first.filter(|first| first.digest != replica.digest) {
                    let ops = [first.op, replica.op];
                    self.findings.anomaly(Anomaly::ReplicaDivergence, &ops, || {
                        format!("{name}: the logs of node {} and node {node} differ", first.node)
                    });
                }
                let longest = partition.read_throughs.iter().max_by_key(|read| read.to);
                if let Some(read) = longest.filter(|read| read.to > replica.to) {
                    let ops = [read.op, replica.op];
                    self.findings.anomaly(Anomaly::ReplicaDivergence, &ops, || {
                        let (end, to) = (replica.to, read.to);
                        format!("{name}: node {node} has offsets up to {end}, the final read came to {to}")
                    });
                }
            }
        }
    }
}
