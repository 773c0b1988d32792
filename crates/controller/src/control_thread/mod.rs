//! The thread that everything behind the handle runs on.
//!
//! Owns the runtime, the order of start and stop, and which task is given what. It takes no partition lock and does no data I/O; Raft's files have
//! a thread of their own.

mod control_port;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use log_storage::FileSystem;
use model::BrokerId;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::active::driver::Driver;
use crate::active::evidence::Evidence;
use crate::active::membership_keeper::MembershipKeeper;
use crate::active::proposer::Proposer;
use crate::active::roster::Roster;
use crate::active::service::Service;
use crate::broker_lifecycle::broker_id_claim::BrokerIdClaim;
use crate::broker_lifecycle::formation::Greeter;
use crate::broker_lifecycle::proposal_queue::{ProposalQueue, keep_deadlines};
use crate::broker_lifecycle::self_watch::SelfWatch;
use crate::broker_lifecycle::session::SessionKeeper;
use crate::broker_lifecycle::wish::Wish;
use crate::error::StartError;
use crate::failure::{Alive, Failure};
use crate::image_feed::ImageFeed;
use crate::metrics::Metrics;
use crate::options::Materialization;
use crate::peers::address_book::AddressBook;
use crate::raft::{RaftNode, RaftOptions, TransferOutcome};
use crate::settings::Settings;
use crate::suspicions::Suspicions;

/// How long a stopping leader waits for a successor.
const HANDOVER_LIMIT: Duration = Duration::from_secs(1);
/// How long a stop waits for tasks that do not end.
const TASKS_LIMIT: Duration = Duration::from_millis(500);
/// Refused connections that wait to be looked at.
const MAX_EVIDENCE: usize = 64;

/// What the handle and the thread have in common; each task is given of it what it needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) feed: Arc<ImageFeed>,
    pub(crate) queue: Arc<ProposalQueue>,
    pub(crate) suspicions: Arc<Suspicions>,
    pub(crate) metrics: Metrics,
    pub(crate) failure: Failure,
}

/// What the thread is started with.
pub(crate) struct ControlThread {
    pub(crate) shared: Shared,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) listener: TcpListener,
    pub(crate) materialization: Materialization,
    pub(crate) wish: watch::Receiver<Wish>,
    pub(crate) active_controller: watch::Sender<Option<BrokerId>>,
    /// Asks for an orderly stop.
    pub(crate) stop: CancellationToken,
    /// Ends everything at once, as a kill would.
    pub(crate) kill: CancellationToken,
    pub(crate) alive: Alive,
}

/// What runs: the foundations from which each task is given what it needs, and what a stop ends in order.
struct Running {
    shared: Shared,
    raft: Arc<RaftNode>,
    addresses: Arc<AddressBook>,
    roster: Arc<Roster>,
    claim: BrokerIdClaim,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl ControlThread {
    /// Runs until a stop or a kill; `started` hears how the start went.
    pub(crate) fn run(self, started: &SyncSender<Result<(), StartError>>) {
        let Shared { queue, feed, .. } = self.shared.clone();
        // Whoever waits for the end of this thread finds its sockets closed and its queue answered.
        let _alive = self.alive.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => self.run_on(runtime, started),
            Err(source) => {
                let what = "start the control plane's runtime".to_owned();
                // The starter is gone only when the process ends.
                let _ = started.send(Err(StartError::Io { what, source }));
            }
        }
        queue.close();
        feed.close();
    }

    fn run_on(self, runtime: Runtime, started: &SyncSender<Result<(), StartError>>) {
        let kill = self.kill.clone();
        runtime.block_on(async {
            tokio::select! {
                () = kill.cancelled() => {}
                () = self.serve(started) => {}
            }
        });
        // Closes every socket; what still blocks on a disk is left behind.
        runtime.shutdown_background();
    }

    async fn serve(self, started: &SyncSender<Result<(), StartError>>) {
        let stop = self.stop.clone();
        let running = match self.start().await {
            Ok(running) => running,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let _ = started.send(Ok(()));
        stop.cancelled().await;
        let Running { shared, raft, roster, tasks, cancel, .. } = running;
        if raft.transfer_leadership(HANDOVER_LIMIT).await == TransferOutcome::StillLeading {
            tracing::info!(
                "nobody took over the metadata quorum's leadership: the other voters elect once this one is gone"
            );
        }
        cancel.cancel();
        roster.end();
        shared.queue.close();
        raft.shutdown().await;
        tasks.close();
        let _ = timeout(TASKS_LIMIT, tasks.wait()).await;
    }

    async fn start(self) -> Result<Running, StartError> {
        let Shared { settings, feed, suspicions, metrics, failure, .. } = &self.shared;
        let addresses = Arc::new(AddressBook::new(&settings.voters, Arc::clone(feed)));
        let (refused, refusals) = mpsc::channel(MAX_EVIDENCE);
        let raft = RaftNode::start(RaftOptions {
            raft_id: settings.raft_id(),
            data_dir: settings.data_dir.clone(),
            fs: Arc::clone(&self.fs),
            materialization: self.materialization,
            clock: settings.clock,
            addresses: Arc::clone(&addresses),
            feed: Arc::clone(feed),
            failure: failure.clone(),
            metrics: metrics.clone(),
            refused,
            alive: self.alive,
        });
        let roster = Roster::new(settings.session_timeout, settings.clock, Arc::clone(suspicions));
        let (own, session_timeout) = (settings.broker_id(), settings.session_timeout);
        let claim = BrokerIdClaim::new(own, session_timeout, failure.clone());
        let running = Running {
            raft: Arc::new(raft.await?),
            shared: self.shared,
            addresses,
            roster: Arc::new(roster),
            claim,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        let service = running.start_active_side(refusals);
        running.listen(self.listener, service.clone())?;
        running.start_session(service, self.wish.clone(), self.active_controller);
        running.start_lifecycle(self.fs, self.wish);
        Ok(running)
    }
}

impl Running {
    /// Starts what the active controller does, which is idle while another node leads, and returns the serving side of sessions.
    fn start_active_side(&self, refusals: mpsc::Receiver<BrokerId>) -> Service {
        let Shared { settings, feed, metrics, failure, .. } = self.shared.clone();
        let (raft, roster) = (Arc::clone(&self.raft), Arc::clone(&self.roster));
        let proposer = Proposer { raft: Arc::clone(&raft), roster: Arc::clone(&roster) };
        let evidence = Evidence {
            roster: Arc::clone(&roster),
            addresses: Arc::clone(&self.addresses),
            clock: settings.clock,
        };
        self.tasks.spawn(evidence.clone().gather(refusals, self.cancel.clone()));
        let membership = MembershipKeeper {
            raft: Arc::clone(&raft),
            roster: Arc::clone(&roster),
            proposer: proposer.clone(),
            feed: Arc::clone(&feed),
            configured: settings.voters.iter().map(|voter| voter.broker_id).collect(),
        };
        let driver = Driver {
            settings: Arc::clone(&settings),
            raft: Arc::clone(&raft),
            roster: Arc::clone(&roster),
            proposer: proposer.clone(),
            evidence,
            membership,
            feed: Arc::clone(&feed),
            metrics,
            failure,
            tasks: self.tasks.clone(),
            cancel: self.cancel.clone(),
        };
        self.tasks.spawn(driver.run());
        let addresses = Arc::clone(&self.addresses);
        let tasks = self.tasks.clone();
        Service { settings, raft, roster, proposer, feed, addresses, tasks }
    }

    fn listen(&self, listener: TcpListener, service: Service) -> Result<(), StartError> {
        let raft = self.raft.service(Arc::clone(&self.shared.feed), self.cancel.clone());
        let port = control_port::listen(listener, raft, service)
            .map_err(|source| StartError::Io { what: "use the control port".to_owned(), source })?;
        let (cancel, failure) = (self.cancel.clone(), self.shared.failure.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                result = port => if let Err(error) = result {
                    failure.set(format!("the control port failed: {error}"));
                }
            }
        });
        Ok(())
    }

    /// Starts this broker's session with the active controller, by which it lives and proposes.
    fn start_session(
        &self,
        service: Service,
        wish: watch::Receiver<Wish>,
        active_controller: watch::Sender<Option<BrokerId>>,
    ) {
        let Shared { settings, feed, queue, suspicions, failure, .. } = self.shared.clone();
        let deadlines = keep_deadlines(Arc::clone(&queue), settings.clock, self.cancel.clone());
        self.tasks.spawn(deadlines);
        let session = SessionKeeper {
            settings,
            raft: Arc::clone(&self.raft),
            feed,
            addresses: Arc::clone(&self.addresses),
            suspicions,
            queue,
            wish,
            active_controller,
            service,
            claim: self.claim.clone(),
            failure,
            cancel: self.cancel.clone(),
        };
        self.tasks.spawn(session.run());
    }

    /// Starts the rest of what every broker does: it forms or joins a cluster, and watches its own image.
    fn start_lifecycle(&self, fs: Arc<dyn FileSystem>, wish: watch::Receiver<Wish>) {
        let Shared { settings, feed, metrics, failure, .. } = self.shared.clone();
        let greeter = Greeter {
            settings: Arc::clone(&settings),
            raft: Arc::clone(&self.raft),
            claim: self.claim.clone(),
            failure: failure.clone(),
            cancel: self.cancel.clone(),
        };
        self.tasks.spawn(greeter.clone().form_or_join());
        self.tasks.spawn(greeter.seek_controller());
        let self_watch = SelfWatch {
            settings,
            fs,
            raft: Arc::clone(&self.raft),
            feed,
            wish,
            metrics,
            failure,
            cancel: self.cancel.clone(),
        };
        self.tasks.spawn(self_watch.run());
    }
}
