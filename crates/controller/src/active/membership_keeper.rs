//! Keeps Raft's membership as it should be, while this node leads.
//!
//! Owns the order of changes, one at a time: newcomers become learners; a configured voter that was formatted anew replaces its old self;
//! learners that will never answer again are dropped; the image is told who votes. It waits for commits, so it is a task of its own: without a
//! quorum it stands still, and fencing must not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::BrokerId;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::metadata::{Command, RaftId, UpdateVoters};
use crate::plane::Plane;

/// A learner this near to the log's end may become a voter.
const CAUGHT_UP_DISTANCE: u64 = 64;
/// Between two looks while something is not as wanted and may soon be.
const EAGER_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks otherwise, when nobody came.
const IDLE_PAUSE: Duration = Duration::from_secs(5);

/// How long a learner whose broker has come back under another id is kept without an answer from it.
const SILENT_LEARNER_AGE: Duration = Duration::from_secs(10);

/// What a look at the membership found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing is to be done until somebody comes.
    Settled,
    /// Something was done, or waits for a node to catch up.
    Unsettled,
}

/// Keeps the membership until the term ends.
pub(crate) async fn keep_membership(plane: Arc<Plane>, term: CancellationToken) {
    let configured: BTreeSet<BrokerId> =
        plane.settings().voters.iter().map(|voter| voter.broker_id).collect();
    let mut silent_since = BTreeMap::new();
    loop {
        let found = tokio::select! {
            () = term.cancelled() => return,
            found = look(&plane, &configured, &mut silent_since) => found,
        };
        let pause = match found {
            Found::Settled => IDLE_PAUSE,
            Found::Unsettled => EAGER_PAUSE,
        };
        tokio::select! {
            () = term.cancelled() => return,
            () = plane.leadership.newcomers() => {}
            () = sleep(pause) => {}
        }
    }
}

async fn look(
    plane: &Arc<Plane>,
    configured: &BTreeSet<BrokerId>,
    silent_since: &mut BTreeMap<RaftId, Instant>,
) -> Found {
    let mut found = welcome(plane).await;
    let members = plane.raft.members();
    let present = plane.leadership.present();
    let caught_up = plane.raft.caught_up(CAUGHT_UP_DISTANCE);
    let changed = if let Some(voters) = members.wanted_voters(configured, &present, &caught_up) {
        found = Found::Unsettled;
        let changed = plane.raft.change_voters(&voters).await;
        if changed.is_ok() {
            let brokers = plane.raft.members().voters_by_broker();
            tracing::info!("the voters of the metadata quorum are brokers {:?}", brokers.keys());
        }
        changed
    } else {
        let stale = long_silent(plane, members.stale_learners(&present), silent_since);
        if stale.is_empty() { Ok(()) } else { plane.raft.remove_learners(&stale).await }
    };
    if let Err(error) = changed {
        tracing::debug!(%error, "the membership cannot be changed yet");
        found = Found::Unsettled;
    }
    if record_voters(plane).await == Found::Unsettled || awaits_voter(plane, configured, &present) {
        found = Found::Unsettled;
    }
    found
}

/// Keeps of the stale learners those that have been silent for long: another process under the same broker id answers, and must first hear that
/// it is one too many.
fn long_silent(
    plane: &Plane,
    stale: BTreeSet<RaftId>,
    silent_since: &mut BTreeMap<RaftId, Instant>,
) -> BTreeSet<RaftId> {
    let answering = plane.raft.answering(SILENT_LEARNER_AGE);
    let now = Instant::now();
    silent_since.retain(|raft_id, _| stale.contains(raft_id) && !answering.contains(raft_id));
    let mut long = BTreeSet::new();
    for raft_id in stale.difference(&answering) {
        let since = *silent_since.entry(*raft_id).or_insert(now);
        if now.duration_since(since) >= SILENT_LEARNER_AGE {
            long.insert(*raft_id);
        }
    }
    long
}

/// Adds newcomers as learners.
async fn welcome(plane: &Arc<Plane>) -> Found {
    let mut found = Found::Settled;
    for (raft_id, broker_id) in plane.leadership.take_strangers() {
        if plane.raft.members().contains(raft_id) {
            continue;
        }
        found = Found::Unsettled;
        match plane.raft.add_learner(raft_id, broker_id).await {
            Ok(()) => tracing::info!("broker {broker_id} listens to the metadata quorum"),
            Err(error) => {
                // It says hello again.
                tracing::debug!(%error, "broker {broker_id} could not be added");
            }
        }
    }
    found
}

/// Whether a configured voter is there under an id that does not vote yet, and none is missing without which the voters would not change.
fn awaits_voter(
    plane: &Plane,
    configured: &BTreeSet<BrokerId>,
    present: &BTreeMap<BrokerId, RaftId>,
) -> bool {
    let members = plane.raft.members();
    let voters = members.voters_by_broker();
    let is_possible =
        configured.iter().all(|id| voters.contains_key(id) || present.contains_key(id));
    is_possible
        && configured.iter().any(|broker_id| {
            present.get(broker_id).is_some_and(|raft_id| voters.get(broker_id) != Some(raft_id))
        })
}

/// Records in the image who votes.
async fn record_voters(plane: &Arc<Plane>) -> Found {
    let image = plane.shared.feed.image();
    let members = plane.raft.members();
    let voters = members.voters_by_broker();
    let recorded = image.voters();
    let is_recorded = recorded.len() == voters.len()
        && voters.iter().all(|(broker_id, raft_id)| recorded.get(broker_id) == Some(raft_id));
    if is_recorded {
        return Found::Settled;
    }
    // The first command gives the cluster its identity and records the voters itself.
    if image.cluster_id().is_some() && !members.is_joint {
        let _ = plane.propose_here(Command::UpdateVoters(UpdateVoters { voters }), None).await;
    }
    Found::Unsettled
}
