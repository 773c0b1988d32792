//! The simulator sees what it is there to see: each deliberate bug of the machines is caught within a bounded number of seeds.
//!
//! Built with the cargo feature `mutations` only.

#![cfg(feature = "mutations")]

use std::panic;
use std::sync::{Mutex, PoisonError};

use cluster_tests::simulation::{Failure, Lines};
use cluster_tests::{group_simulation, simulation};
use controller::metadata as metadata_machine;
use coordinator::group::mutation as group_machine;
use replication::partition::mutation as partition_machine;

use group_machine::Mutation as GroupMutation;
use metadata_machine::Mutation as MetadataMutation;
use partition_machine::Mutation as PartitionMutation;

/// How many seeds a bug may survive.
const SEEDS: u64 = 6000;

/// Runs one seed; says how it failed.
type Simulate = fn(u64) -> Option<Box<Failure>>;

fn of_partitions(seed: u64) -> Option<Box<Failure>> {
    simulation::simulate(seed, Lines::Off).err()
}

fn of_groups(seed: u64) -> Option<Box<Failure>> {
    group_simulation::simulate(seed, Lines::Off).err()
}

/// Held while panics are silent: the hook is one for all threads.
static HOOK: Mutex<()> = Mutex::new(());

/// Says for each bug whether it was caught. Panics of the machines are expected here, and silent.
fn survivors<M: Copy + std::fmt::Debug>(
    simulate: Simulate,
    bugs: &[M],
    activate: fn(Option<M>),
) -> Vec<M> {
    let _guard = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut survivors = Vec::new();
    let mut report = String::new();
    for bug in bugs {
        activate(Some(*bug));
        match (0..SEEDS).find_map(simulate) {
            Some(failure) => {
                let what = failure.what.lines().next().unwrap_or_default().to_owned();
                report += &format!("{bug:?}: seed {}: {what}\n", failure.seed);
            }
            None => survivors.push(*bug),
        }
    }
    activate(None);
    panic::set_hook(hook);
    eprintln!("{report}");
    survivors
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
    assert_eq!(survivors(of_partitions, &bugs, partition_machine::activate), []);
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
    assert_eq!(survivors(of_partitions, &bugs, metadata_machine::activate), []);
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
    ];
    assert_eq!(survivors(of_groups, &bugs, group_machine::activate), []);
}
