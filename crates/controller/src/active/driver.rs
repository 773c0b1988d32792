//! The task of the active controller: idle while another node leads, else it drives the liveness machine of its term.
//!
//! Owns the term's routine: it takes over when its own term's first entry is applied (all that was committed before is in its image then),
//! forms the cluster, turns the liveness machine's wishes into proposals, looks again at leaderless partitions,
//! moves leaderships back to preferred replicas, and tells the log what it saw.

use std::sync::Arc;
use std::time::Duration;

use model::{BrokerId, ClusterId};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::election_report::ElectionReport;
use super::evidence::Evidence;
use super::liveness::{Action, Event, FenceReason, Registered};
use super::membership_keeper::MembershipKeeper;
use super::proposer::Proposer;
use super::roster::Roster;
use crate::failure::Failure;
use crate::image_feed::{ImageChange, ImageFeed};
use crate::metadata::{
    Command, ElectLeaders, Election, FenceBroker, FormCluster, Image, LiveSet, Outcome,
    UnfenceBroker,
};
use crate::metrics::Metrics;
use crate::raft::{Proposed, RaftNode};
use crate::settings::Settings;

/// Before a wish whose command was refused stands again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// The active controller's task, and what it works with.
pub(crate) struct Driver {
    pub(crate) settings: Arc<Settings>,
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) proposer: Proposer,
    pub(crate) evidence: Evidence,
    pub(crate) membership: MembershipKeeper,
    pub(crate) feed: Arc<ImageFeed>,
    pub(crate) metrics: Metrics,
    pub(crate) failure: Failure,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

impl Driver {
    /// Serves as the active controller whenever this node leads, until it stops.
    pub(crate) async fn run(self) {
        let mut watch = self.raft.watch();
        loop {
            if watch.status().is_leader {
                if self.raft.lead().await {
                    self.serve_term().await;
                }
            } else {
                tokio::select! {
                    () = self.cancel.cancelled() => return,
                    alive = watch.changed() => if !alive { return },
                }
            }
            if self.cancel.is_cancelled() {
                return;
            }
        }
    }

    async fn serve_term(&self) {
        let broker_id = self.settings.broker_id();
        let term = self.raft.status().term;
        tracing::info!("broker {broker_id} is the active controller, term {term}");
        self.metrics.active_controller.set(1);
        self.roster.begin();
        let membership = self.cancel.child_token();
        self.tasks.spawn(self.membership.clone().run(membership.clone()));
        let mut office = TermOfOffice {
            driver: self,
            term,
            report: ElectionReport::new(self.feed.image(), self.metrics.election.clone()),
            next_balance: None,
            looks_again: true,
        };
        office.run().await;
        membership.cancel();
        self.roster.end();
        self.metrics.active_controller.set(0);
        tracing::info!("broker {broker_id} is no longer the active controller");
    }
}

struct TermOfOffice<'a> {
    driver: &'a Driver,
    term: u64,
    report: ElectionReport,
    next_balance: Option<Instant>,
    /// Whether a look at leaderless partitions is owed.
    looks_again: bool,
}

impl TermOfOffice<'_> {
    async fn run(&mut self) {
        let Driver { raft, roster, feed, cancel, .. } = self.driver;
        let mut watch = raft.watch();
        let mut changes = feed.subscribe();
        roster.step(registrations(&feed.image()));
        self.form_cluster();
        loop {
            self.act();
            self.look_again();
            tokio::select! {
                () = cancel.cancelled() => return,
                alive = watch.changed() => {
                    let status = watch.status();
                    if !alive || !status.is_leader || status.term != self.term {
                        return;
                    }
                }
                change = changes.next() => match change {
                    Some(change) => self.image_changed(&change),
                    None => return,
                },
                () = roster.woken() => {}
                () = sleep_until(roster.next_step()) => roster.step(Event::TimeReached),
                () = sleep_until(self.balance_due()) => self.balance(),
            }
        }
    }

    fn image_changed(&mut self, change: &ImageChange) {
        let Driver { roster, settings, .. } = self.driver;
        if !change.changes.brokers.is_empty() {
            roster.step(registrations(&change.image));
        }
        let suspected = roster.suspected();
        let broken_at = |broker_id| suspected.get(&broker_id).copied();
        self.report.report(change, settings.clock.now(), broken_at);
        if !change.changes.partitions.is_empty() || !change.changes.brokers.is_empty() {
            self.looks_again = true;
        }
    }

    /// Proposes the first command, when the cluster has no identity yet.
    fn form_cluster(&self) {
        let Driver { settings, feed, raft, .. } = self.driver;
        if feed.image().cluster_id().is_some() {
            return;
        }
        let drawn = || ClusterId::from_random(uuid::Uuid::new_v4().into_bytes());
        let command = Command::FormCluster(FormCluster {
            cluster_id: settings.cluster_id.clone().unwrap_or_else(drawn),
            voters: raft.members().voters_by_broker(),
            configs: settings.cluster_configs.clone(),
        });
        let (roster, feed) = (Arc::clone(&self.driver.roster), Arc::clone(feed));
        let (proposer, failure) = (self.driver.proposer.clone(), self.driver.failure.clone());
        self.driver.tasks.spawn(async move {
            while roster.is_open() && feed.image().cluster_id().is_none() {
                match proposer.propose(command.clone(), None).await {
                    Proposed::Applied { outcome: Outcome::Refused(refusal), .. } => {
                        failure.set(format!("the cluster cannot be formed: {refusal}"));
                        return;
                    }
                    Proposed::Applied { .. } => return,
                    Proposed::NotWritten | Proposed::Unknown => sleep(REFUSED_PAUSE).await,
                }
            }
        });
    }

    /// Does what the liveness machine wishes.
    fn act(&mut self) {
        for action in self.driver.roster.take_actions() {
            match action {
                Action::Probe { broker_id } => {
                    let probe = self.driver.evidence.clone().probe(broker_id);
                    self.driver.tasks.spawn(probe);
                }
                Action::Fence { broker_id, broker_epoch, fence_count, reason } => {
                    let live = LiveSet::default();
                    let command = FenceBroker { broker_id, broker_epoch, fence_count, live };
                    self.spawn_command(broker_id, Command::FenceBroker(command), Some(reason));
                }
                Action::Unfence { broker_id, broker_epoch } => {
                    let live = LiveSet::default();
                    let command = UnfenceBroker { broker_id, broker_epoch, live };
                    self.spawn_command(broker_id, Command::UnfenceBroker(command), None);
                }
                Action::LookAgain => self.looks_again = true,
                // The sessions' keeper has done it.
                Action::Close { .. } => {}
            }
        }
        self.driver.roster.publish_suspects();
    }

    fn spawn_command(&self, broker_id: BrokerId, command: Command, reason: Option<FenceReason>) {
        let proposer = self.driver.proposer.clone();
        let (roster, feed) = (Arc::clone(&self.driver.roster), Arc::clone(&self.driver.feed));
        self.driver.tasks.spawn(async move {
            match proposer.propose(command, None).await {
                Proposed::Applied { outcome: Outcome::BrokerFenced, .. } => {
                    if let Some(reason) = reason {
                        tracing::warn!("broker {broker_id} fenced: {reason}");
                    }
                }
                Proposed::Applied { outcome: Outcome::BrokerUnfenced, .. } => {
                    tracing::info!("broker {broker_id} unfenced");
                }
                Proposed::Applied { outcome, .. } => {
                    tracing::debug!("broker {broker_id} stays as it is: {outcome:?}");
                    sleep(REFUSED_PAUSE).await;
                }
                Proposed::NotWritten | Proposed::Unknown => sleep(REFUSED_PAUSE).await,
            }
            // The image first, so that the wish is not repeated for a state that has changed.
            roster.step(registrations(&feed.image()));
            roster.step(Event::Answered { broker_id });
        });
    }

    /// Elects leaders where there is none and somebody live could lead.
    fn look_again(&mut self) {
        if !std::mem::take(&mut self.looks_again) {
            return;
        }
        let live = self.driver.roster.live();
        let partitions = self.driver.feed.image().electable_partitions(&live);
        self.spawn_election(Election::Available, partitions);
    }

    fn spawn_election(&self, election: Election, partitions: Vec<model::TopicIdPartition>) {
        if partitions.is_empty() {
            return;
        }
        let live = LiveSet::default();
        let partitions = Some(partitions);
        let command = Command::ElectLeaders(ElectLeaders { election, partitions, live });
        let proposer = self.driver.proposer.clone();
        self.driver.tasks.spawn(async move {
            // What fails is looked at again with the next change.
            let _ = proposer.propose(command, None).await;
        });
    }

    /// When leaderships are balanced next; far away where that is switched off.
    fn balance_due(&mut self) -> Instant {
        const FAR: Duration = Duration::from_secs(86_400);
        let image = self.driver.feed.image();
        let is_on = image.cluster_config("auto.leader.rebalance.enable") != Some("false");
        let seconds = image
            .cluster_config("leader.imbalance.check.interval.seconds")
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(300);
        if !is_on {
            return Instant::now() + FAR;
        }
        let interval = Duration::from_secs(seconds).min(FAR);
        *self.next_balance.get_or_insert_with(|| Instant::now() + interval)
    }

    /// Moves leaderships to preferred replicas that are in sync and alive.
    fn balance(&mut self) {
        self.next_balance = None;
        let live = self.driver.roster.live();
        let partitions = self.driver.feed.image().imbalanced_partitions(&live);
        self.spawn_election(Election::Preferred, partitions);
    }
}

/// What the image says of all brokers, for the liveness machine.
fn registrations(image: &Image) -> Event {
    let registered = image.brokers().map(|broker| Registered {
        broker_id: broker.broker_id,
        broker_epoch: broker.broker_epoch,
        is_fenced: broker.is_fenced(),
        fence_count: broker.fence_count,
    });
    Event::Registrations(registered.collect())
}
