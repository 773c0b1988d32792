//! Brokers that are broken on purpose: which deliberate bug this process has. Compiled only with the cargo feature `mutations`, which no release has.
//!
//! Owns the names and what they turn on; the bugs themselves belong to the crates that they break. `STEADFAST_MUTATION=<name>` at the start of the process chooses one, for
//! as long as it lives; without it the broker is whole. Checks of invariants inside the process are off then, so that the damage gets out to where clients see it.
//!
//! What each breaks, and how a client of the cluster comes to see it (`acks=all`, idempotent producers, three replicas, the defaults of topics):
//!
//! | Name | What is broken | Fault | Anomaly |
//! |---|---|---|---|
//! | `ack-before-flush` | records count once appended, not once flushed | power loss of all brokers at once under load; sooner with a slow disk | lost-write |
//! | `flush-without-sync` | a flush of a partition syncs nothing (Raft and checkpoints do) | power loss of all brokers, or of one after the other | lost-write |
//! | `acks-all-on-leader-alone` | `acks=all` waits for the leader's disk alone | followers hang or the leader is cut off from them, then the leader dies (a kill alone leaves too small a window) | lost-write, then inconsistent-offsets |
//! | `truncate-to-high-watermark` | a new follower cuts what it does not know committed (KIP-101) | two changes of leader in quick succession, kills | lost-write |
//! | `divergence-by-length` | a follower keeps records that the leader does not have | leader cut off from the brokers but not from clients, then healed, then elected again | inconsistent-offsets, lost-write |
//! | `election-outside-isr` | any live replica may lead | broker away until it left the ISR, back, and the leader killed at once | lost-write |
//! | `lost-replica-stays` | a replica whose directory was lost stays in the ISR | a broker's disk wiped while it was down, then the others killed | lost-write |
//! | `uncommitted-reads` | consumers read up to the log end | leader cut off from the brokers but not from clients | vanished-read, inconsistent-offsets |
//! | `full-disk-acknowledged` | a batch that found no room is acknowledged | full disk | lost-write |
//! | `sequences-unchecked` | an idempotent producer's sequences are ignored | anything that makes producers send again: kills, pauses, partitions | duplicate, reorder |
//! | `followers-forget-producers` | a follower does not note what producers wrote, so a new leader accepts any sequence | change of leader with requests in flight | duplicate, reorder |
//! | `open-transactions-ignored` | the last stable offset is the high watermark | transactions that take a while | aborted records are read (G1a) |
//! | `abort-index-lost` | a truncation takes the transaction index of the segment that it cuts | change of leader between aborts | aborted records are read (G1a) |
//! | `verification-skipped` | a transactional batch needs no verification | a late batch of a producer that was fenced or aborted | readers of what is committed stand still |
//! | `commit-not-written` | a group's offsets are kept in memory alone | coordinator killed, or its leadership moved | committed-offset-regress |
//! | `commit-before-write` | a group's commit is answered before it is replicated | coordinator cut off from the brokers but not from clients, or killed | committed-offset-regress |
//! | `markers-forgotten-at-load` | a decision that a coordinator finds in its log is left as it is | transaction's coordinator killed between decision and markers | readers of what is committed stand still |
//! | `marker-dropped` | one partition of a decision has no marker, and counts as if it had | none is needed | readers of what is committed stand still |
//! | `repeated-end-accepted` | a delayed EndTxn ends the next transaction (KAFKA-17754) | requests delayed on their way to the coordinator | a transaction is torn |
//! | `predecessor-not-fenced` | a newcomer of a transactional id has its predecessor's epoch | producer paused past a restart under its name | records of a zombie are read |
//! | `commit-of-any-generation` | a member that was thrown out may still commit | group member paused past its session | committed-offset-regress |

use controller::metadata::{self as metadata_machine, Mutation as MetadataMutation};
use coordinator::group::mutation::{self as group_machine, Mutation as GroupMutation};
use coordinator::transaction::mutation::{
    self as transaction_machine, Mutation as TransactionMutation,
};
use log_storage::mutation::{self as storage, Mutation as StorageMutation};
use replication::partition::mutation::{self as partition_machine, Mutation as PartitionMutation};

/// Environment variable that names the deliberate bug of this process.
pub(crate) const MUTATION_VARIABLE: &str = "STEADFAST_MUTATION";

/// Where a deliberate bug is.
#[derive(Clone, Copy, Debug)]
enum Bug {
    Storage(StorageMutation),
    Partition(PartitionMutation),
    Metadata(MetadataMutation),
    Group(GroupMutation),
    Transaction(TransactionMutation),
}

/// All that can be chosen.
const BUGS: [(&str, Bug); 21] = [
    ("ack-before-flush", Bug::Partition(PartitionMutation::AckBeforeFlush)),
    ("flush-without-sync", Bug::Storage(StorageMutation::FlushWithoutSync)),
    ("acks-all-on-leader-alone", Bug::Partition(PartitionMutation::AcksAllOnLeaderAlone)),
    ("truncate-to-high-watermark", Bug::Partition(PartitionMutation::TruncateToHighWatermark)),
    ("divergence-by-length", Bug::Partition(PartitionMutation::DivergenceByLength)),
    ("election-outside-isr", Bug::Metadata(MetadataMutation::ElectionOutsideIsr)),
    ("lost-replica-stays", Bug::Metadata(MetadataMutation::LostReplicaStays)),
    ("uncommitted-reads", Bug::Partition(PartitionMutation::UncommittedReads)),
    ("full-disk-acknowledged", Bug::Partition(PartitionMutation::FullDiskAcknowledged)),
    ("sequences-unchecked", Bug::Storage(StorageMutation::SequencesUnchecked)),
    ("followers-forget-producers", Bug::Storage(StorageMutation::FollowersForgetProducers)),
    ("open-transactions-ignored", Bug::Storage(StorageMutation::OpenTransactionsIgnored)),
    ("abort-index-lost", Bug::Storage(StorageMutation::AbortIndexLostAtTruncation)),
    ("verification-skipped", Bug::Storage(StorageMutation::VerificationSkipped)),
    ("commit-not-written", Bug::Group(GroupMutation::CommitNotWritten)),
    ("commit-before-write", Bug::Group(GroupMutation::AnswerBeforeWrite)),
    ("commit-of-any-generation", Bug::Group(GroupMutation::CommitOfAnyGeneration)),
    ("markers-forgotten-at-load", Bug::Transaction(TransactionMutation::MarkersForgottenAtLoad)),
    ("marker-dropped", Bug::Transaction(TransactionMutation::MarkerDropped)),
    ("repeated-end-accepted", Bug::Transaction(TransactionMutation::RepeatedEndAccepted)),
    ("predecessor-not-fenced", Bug::Transaction(TransactionMutation::PredecessorNotFenced)),
];

/// A name that no deliberate bug has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "environment variable {MUTATION_VARIABLE}: there is no mutation {name:?}; use one of {}",
    names()
)]
pub(crate) struct UnknownMutation {
    name: String,
}

/// Turns on what the environment names, and returns its name.
///
/// # Errors
/// [`UnknownMutation`]: nothing was turned on.
pub(crate) fn activate_from_environment() -> Result<Option<&'static str>, UnknownMutation> {
    let Some(name) = std::env::var_os(MUTATION_VARIABLE) else {
        return Ok(None);
    };
    let (name, bug) = find(&name.to_string_lossy())?;
    match bug {
        Bug::Storage(mutation) => storage::activate_in_process(mutation),
        Bug::Partition(mutation) => partition_machine::activate_in_process(mutation),
        Bug::Metadata(mutation) => metadata_machine::activate_in_process(mutation),
        Bug::Group(mutation) => group_machine::activate_in_process(mutation),
        Bug::Transaction(mutation) => transaction_machine::activate_in_process(mutation),
    }
    partition_machine::silence_invariants();
    group_machine::silence_invariants();
    Ok(Some(name))
}

fn find(name: &str) -> Result<(&'static str, Bug), UnknownMutation> {
    let found = BUGS.iter().find(|(known, _)| *known == name);
    found.copied().ok_or_else(|| UnknownMutation { name: name.to_owned() })
}

fn names() -> String {
    BUGS.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_of_one_bug() {
        let names: BTreeSet<&str> = BUGS.iter().map(|(name, _)| *name).collect();
        let bugs: BTreeSet<String> = BUGS.iter().map(|(_, bug)| format!("{bug:?}")).collect();
        assert_eq!((names.len(), bugs.len()), (BUGS.len(), BUGS.len()));
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_there_are() {
        let error = find("ack-before-flash").unwrap_err().to_string();
        assert!(error.contains("\"ack-before-flash\"") && error.contains("ack-before-flush, "));
        assert_eq!(error.lines().count(), 1);
        assert_eq!(find("ack-before-flush").unwrap().0, "ack-before-flush");
    }
}
