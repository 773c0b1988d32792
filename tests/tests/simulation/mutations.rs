//! The simulations see what they are there to see: each deliberate bug of the machines is caught within a bounded number of seeds.

use std::cell::Cell;
use std::fmt::Debug;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster_tests::simulator::Lines;
use cluster_tests::simulator::seeds::{Simulate, on_all_processors};
use cluster_tests::{group_simulation, simulation, transaction_simulation};
use controller::metadata as metadata_machine;
use coordinator::group::mutation as group_machine;
use coordinator::transaction::mutation as transaction_machine;
use replication::partition::mutation as partition_machine;

use group_machine::Mutation as GroupMutation;
use metadata_machine::Mutation as MetadataMutation;
use partition_machine::Mutation as PartitionMutation;
use transaction_machine::Mutation as TransactionMutation;

/// How many seeds a bug may survive.
const SEEDS: u64 = 6000;

thread_local! {
    /// Whether panics of this thread are expected, and silent.
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

fn silence_expected_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_SILENT.get() {
                usual(panic);
            }
        }));
    });
}

/// Returns the bugs that no seed catches. A bug is active on its worker's thread alone.
fn survivors<M: Copy + Debug + Send + Sync, S>(
    simulate: Simulate<S>,
    bugs: &[M],
    activate: fn(Option<M>),
) -> Vec<M> {
    silence_expected_panics();
    let next = AtomicUsize::new(0);
    let catch = || {
        let mut survivors = Vec::new();
        IS_SILENT.set(true);
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            activate(Some(*bug));
            match (0..SEEDS).find_map(|seed| simulate(seed, Lines::Off).err()) {
                Some(failure) => {
                    let what = failure.what.lines().next().unwrap_or_default();
                    eprintln!("{bug:?}: seed {}: {what}", failure.seed);
                }
                None => survivors.push(*bug),
            }
        }
        survivors
    };
    on_all_processors(catch).concat()
}

#[test]
fn every_bug_of_the_partition_machine_is_caught() {
    let bugs = [
        PartitionMutation::AckBeforeFlush,
        PartitionMutation::HighWatermarkFromCommittedIsr,
        PartitionMutation::TruncateToHighWatermark,
        PartitionMutation::JoinWithoutFetchInEpoch,
        PartitionMutation::OldImageAfterRestart,
        PartitionMutation::LateFlushCounts,
        PartitionMutation::CutBeforeLeavingIsr,
        PartitionMutation::NewerPositionDropped,
        PartitionMutation::NoStrictMinIsr,
        PartitionMutation::ProposalForgotten,
        PartitionMutation::OldGenerationCounts,
        PartitionMutation::AcksAllOnLeaderAlone,
    ];
    assert_eq!(survivors(simulation::simulate, &bugs, partition_machine::activate), []);
}

#[test]
fn every_bug_of_the_metadata_machine_is_caught() {
    let bugs = [
        MetadataMutation::RefusedProposalKeepsPartitionEpoch,
        MetadataMutation::StaleIncarnationJoins,
        MetadataMutation::NoFloor,
        MetadataMutation::FencedMembersCount,
        MetadataMutation::LostReplicaStays,
        MetadataMutation::OldIncarnationLeadsOn,
        MetadataMutation::ElectionOutsideIsr,
    ];
    assert_eq!(survivors(simulation::simulate, &bugs, metadata_machine::activate), []);
}

/// `ParkedMemberExpires` is not among them: it breaks no promise, only patience, and a golden script sees it.
#[test]
fn every_bug_of_the_group_machine_is_caught() {
    let bugs = [
        GroupMutation::AnswerBeforeWrite,
        GroupMutation::NoFencing,
        GroupMutation::GenerationStays,
        GroupMutation::LeaverStays,
        GroupMutation::TombstoneIgnored,
        GroupMutation::ReplacementNotWritten,
        GroupMutation::AssignmentNotWritten,
        GroupMutation::CommitOfAnyGeneration,
        GroupMutation::CommitNotWritten,
        GroupMutation::OffsetsVisibleBeforeMarker,
        GroupMutation::PendingOffsetsLostAtLoad,
        GroupMutation::RewriteAbovePending,
    ];
    assert_eq!(survivors(group_simulation::simulate, &bugs, group_machine::activate), []);
}

#[test]
fn every_bug_of_the_transaction_machine_is_caught() {
    let bugs = TransactionMutation::ALL;
    assert_eq!(
        survivors(transaction_simulation::simulate, &bugs, transaction_machine::activate),
        []
    );
}
