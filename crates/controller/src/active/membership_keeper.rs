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

use super::proposer::Proposer;
use super::roster::Roster;
use crate::image_feed::ImageFeed;
use crate::metadata::{Command, RaftId, UpdateVoters};
use crate::raft::RaftNode;

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

/// Keeps the membership. Cheap to clone; one runs per term.
#[derive(Clone)]
pub(crate) struct MembershipKeeper {
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) proposer: Proposer,
    pub(crate) feed: Arc<ImageFeed>,
    /// The voters that this broker's file names.
    pub(crate) configured: BTreeSet<BrokerId>,
}

impl MembershipKeeper {
    /// Works until the term ends.
    pub(crate) async fn run(self, term: CancellationToken) {
        let mut silent_since = BTreeMap::new();
        loop {
            let found = tokio::select! {
                () = term.cancelled() => return,
                found = self.look(&mut silent_since) => found,
            };
            let pause = match found {
                Found::Settled => IDLE_PAUSE,
                Found::Unsettled => EAGER_PAUSE,
            };
            tokio::select! {
                () = term.cancelled() => return,
                () = self.roster.newcomers() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn look(&self, silent_since: &mut BTreeMap<RaftId, Instant>) -> Found {
        let mut found = self.welcome().await;
        let members = self.raft.members();
        let present = self.roster.present();
        let caught_up = self.raft.caught_up(CAUGHT_UP_DISTANCE);
        let changed =
            if let Some(voters) = members.wanted_voters(&self.configured, &present, &caught_up) {
                found = Found::Unsettled;
                let changed = self.raft.change_voters(&voters).await;
                if changed.is_ok() {
                    let brokers = self.raft.members().voters_by_broker();
                    tracing::info!(
                        "the voters of the metadata quorum are brokers {:?}",
                        brokers.keys()
                    );
                }
                changed
            } else {
                let stale = self.long_silent(members.stale_learners(&present), silent_since);
                if stale.is_empty() { Ok(()) } else { self.raft.remove_learners(&stale).await }
            };
        if let Err(error) = changed {
            tracing::debug!(%error, "the membership cannot be changed yet");
            found = Found::Unsettled;
        }
        if self.record_voters().await == Found::Unsettled || self.awaits_voter(&present) {
            found = Found::Unsettled;
        }
        found
    }

    /// Keeps of the stale learners those that have been silent for long: another process under the same broker id answers, and must first hear that
    /// it is one too many.
    fn long_silent(
        &self,
        stale: BTreeSet<RaftId>,
        silent_since: &mut BTreeMap<RaftId, Instant>,
    ) -> BTreeSet<RaftId> {
        let answering = self.raft.answering(SILENT_LEARNER_AGE);
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
    async fn welcome(&self) -> Found {
        let mut found = Found::Settled;
        for (raft_id, broker_id) in self.roster.take_strangers() {
            if self.raft.members().contains(raft_id) {
                continue;
            }
            found = Found::Unsettled;
            match self.raft.add_learner(raft_id, broker_id).await {
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
    fn awaits_voter(&self, present: &BTreeMap<BrokerId, RaftId>) -> bool {
        let members = self.raft.members();
        let voters = members.voters_by_broker();
        let is_possible =
            self.configured.iter().all(|id| voters.contains_key(id) || present.contains_key(id));
        is_possible
            && self.configured.iter().any(|broker_id| {
                present.get(broker_id).is_some_and(|raft_id| voters.get(broker_id) != Some(raft_id))
            })
    }

    /// Records in the image who votes.
    async fn record_voters(&self) -> Found {
        let image = self.feed.image();
        let members = self.raft.members();
        let voters = members.voters_by_broker();
        let recorded = image.voters();
        let is_recorded = recorded.len() == voters.len()
            && voters.iter().all(|(broker_id, raft_id)| recorded.get(broker_id) == Some(raft_id));
        if is_recorded {
            return Found::Settled;
        }
        // The first command gives the cluster its identity and records the voters itself.
        if image.cluster_id().is_some() && !members.is_joint {
            let _ =
                self.proposer.propose(Command::UpdateVoters(UpdateVoters { voters }), None).await;
        }
        Found::Unsettled
    }
}
