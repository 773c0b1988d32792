//! What the active controller does: one task, idle while another node leads.
//!
//! Owns the term's routine: it takes over when its own term's first entry is applied (all that was committed before is in its image then),
//! forms the cluster, turns the liveness machine's wishes into proposals, looks again at leaderless partitions,
//! moves leaderships back to preferred replicas, and tells the log what it saw.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{BrokerId, ClusterId};
use tokio::time::{Instant, sleep, sleep_until};

use crate::active::election_report::ElectionReport;
use crate::active::evidence::probe;
use crate::active::liveness::{Action, Event, FenceReason, Registered};
use crate::active::membership_keeper::keep_membership;
use crate::image_feed::ImageChange;
use crate::metadata::{
    Command, ElectLeaders, Election, FenceBroker, FormCluster, Image, LiveSet, Outcome,
    UnfenceBroker,
};
use crate::plane::Plane;
use crate::raft::Proposed;

/// Before a wish whose command was refused stands again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Serves as the active controller whenever this node leads, until it stops.
pub(crate) async fn lead(plane: Arc<Plane>) {
    let mut watch = plane.raft.watch();
    loop {
        if watch.status().is_leader {
            if plane.raft.lead().await {
                serve_term(&plane).await;
            }
        } else {
            tokio::select! {
                () = plane.cancel.cancelled() => return,
                alive = watch.changed() => if !alive { return },
            }
        }
        if plane.cancel.is_cancelled() {
            return;
        }
    }
}

async fn serve_term(plane: &Arc<Plane>) {
    let status = plane.raft.status();
    tracing::info!("broker {} is the active controller, term {}", plane.broker_id(), status.term);
    plane.shared.metrics.active_controller.set(1);
    plane.leadership.begin(plane.now(), &plane.broken());
    let mut term = TermOfOffice {
        plane,
        term: status.term,
        report: ElectionReport::new(
            plane.shared.feed.image(),
            plane.shared.metrics.election.clone(),
        ),
        next_balance: None,
        looks_again: true,
    };
    let membership = plane.cancel.child_token();
    plane.tasks.spawn(keep_membership(Arc::clone(plane), membership.clone()));
    term.run().await;
    membership.cancel();
    plane.leadership.end();
    plane.shared.metrics.active_controller.set(0);
    tracing::info!("broker {} is no longer the active controller", plane.broker_id());
}

struct TermOfOffice<'a> {
    plane: &'a Arc<Plane>,
    term: u64,
    report: ElectionReport,
    next_balance: Option<Instant>,
    /// Whether a look at leaderless partitions is owed.
    looks_again: bool,
}

impl TermOfOffice<'_> {
    async fn run(&mut self) {
        let plane = self.plane;
        let mut watch = plane.raft.watch();
        let mut changes = plane.shared.feed.subscribe();
        self.tell_registrations(&plane.shared.feed.image());
        self.form_cluster();
        loop {
            self.act();
            self.look_again();
            let timer = plane.leadership.poll_timeout().map(|at| plane.instant_of(at));
            let timer = timer.unwrap_or_else(Instant::now);
            tokio::select! {
                () = plane.cancel.cancelled() => return,
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
                () = plane.leadership.woken() => {}
                () = sleep_until(timer) => plane.leadership.step(plane.now(), Event::TimeReached),
                () = sleep_until(self.balance_due()) => self.balance(),
            }
        }
    }

    fn tell_registrations(&self, image: &Image) {
        let registered = image.brokers().map(|broker| Registered {
            broker_id: broker.broker_id,
            broker_epoch: broker.broker_epoch,
            is_fenced: broker.is_fenced(),
            fence_count: broker.fence_count,
        });
        let event = Event::Registrations(registered.collect());
        self.plane.leadership.step(self.plane.now(), event);
    }

    fn image_changed(&mut self, change: &ImageChange) {
        let plane = self.plane;
        if !change.changes.brokers.is_empty() {
            self.tell_registrations(&change.image);
        }
        let suspected = plane.leadership.suspected();
        self.report.report(change, plane.now(), |broker_id| suspected.get(&broker_id).copied());
        if !change.changes.partitions.is_empty() || !change.changes.brokers.is_empty() {
            self.looks_again = true;
        }
    }

    /// Proposes the first command, when the cluster has no identity yet.
    fn form_cluster(&self) {
        let plane = Arc::clone(self.plane);
        if plane.shared.feed.image().cluster_id().is_some() {
            return;
        }
        let drawn = || ClusterId::from_random(uuid::Uuid::new_v4().into_bytes());
        let command = Command::FormCluster(FormCluster {
            cluster_id: plane.settings().cluster_id.clone().unwrap_or_else(drawn),
            voters: plane.raft.members().voters_by_broker(),
            configs: plane.settings().cluster_configs.clone(),
        });
        self.plane.tasks.spawn(async move {
            while plane.leadership.is_active() && plane.shared.feed.image().cluster_id().is_none() {
                match plane.propose_here(command.clone(), None).await {
                    Proposed::Applied { outcome: Outcome::Refused(refusal), .. } => {
                        let reason = format!("the cluster cannot be formed: {refusal}");
                        plane.shared.failure.set(reason);
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
        let plane = self.plane;
        for action in plane.leadership.take_actions() {
            match action {
                Action::Probe { broker_id } => {
                    plane.tasks.spawn(probe(Arc::clone(plane), broker_id));
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
        let suspected: BTreeSet<BrokerId> = plane.leadership.suspected().into_keys().collect();
        plane.leadership.tell_suspects(&suspected);
        plane.publish_suspects(&suspected);
    }

    fn spawn_command(&self, broker_id: BrokerId, command: Command, reason: Option<FenceReason>) {
        let plane = Arc::clone(self.plane);
        self.plane.tasks.spawn(async move {
            match plane.propose_here(command, None).await {
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
            let image = plane.shared.feed.image();
            let registered = image.brokers().map(|broker| Registered {
                broker_id: broker.broker_id,
                broker_epoch: broker.broker_epoch,
                is_fenced: broker.is_fenced(),
                fence_count: broker.fence_count,
            });
            let now = plane.now();
            plane.leadership.step(now, Event::Registrations(registered.collect()));
            plane.leadership.step(now, Event::Answered { broker_id });
        });
    }

    /// Elects leaders where there is none and somebody live could lead.
    fn look_again(&mut self) {
        if !std::mem::take(&mut self.looks_again) {
            return;
        }
        let live = self.plane.leadership.live();
        let partitions = self.plane.shared.feed.image().electable_partitions(&live);
        self.spawn_election(Election::Available, partitions);
    }

    fn spawn_election(&self, election: Election, partitions: Vec<model::TopicIdPartition>) {
        if partitions.is_empty() {
            return;
        }
        let live = LiveSet::default();
        let partitions = Some(partitions);
        let command = Command::ElectLeaders(ElectLeaders { election, partitions, live });
        let plane = Arc::clone(self.plane);
        self.plane.tasks.spawn(async move {
            // What fails is looked at again with the next change.
            let _ = plane.propose_here(command, None).await;
        });
    }

    /// When leaderships are balanced next; far away where that is switched off.
    fn balance_due(&mut self) -> Instant {
        const FAR: Duration = Duration::from_secs(86_400);
        let image = self.plane.shared.feed.image();
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
        let live = self.plane.leadership.live();
        let partitions = self.plane.shared.feed.image().imbalanced_partitions(&live);
        self.spawn_election(Election::Preferred, partitions);
    }
}
