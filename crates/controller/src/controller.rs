//! The handle that a broker holds on its control plane.
//!
//! Owns the way in, and the patience with which this run registers and takes its leave; everything else runs on the control plane's own thread.
//! All methods may be called from any runtime.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker_lifecycle::proposal_queue::{Applied, ProposalQueue};
use crate::broker_lifecycle::wish::Wish;
use crate::control_thread::{ControlThread, Shared};
use crate::error::{ProposeError, RegisterError, StartError};
use crate::failure::{Alive, Ended, Failure};
use crate::identity::Identity;
use crate::image_feed::{ImageChanges, ImageFeed};
use crate::metadata::{
    BrokerRegistered, Command, ControlledShutdown, Image, LiveSet, Outcome, RaftId, RegisterBroker,
};
use crate::metrics::Metrics;
use crate::options::{ControllerConfig, RegistrationProof};
use crate::settings::Settings;
use crate::suspicions::Suspicions;

/// How long a proposal waits for an active controller.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Session timeouts for which a registration is refused because another process holds this broker id, before that counts as final: the session
/// of a process that died ends within one.
const DUPLICATE_PATIENCE: u32 = 3;
/// How long a registration is refused because the cluster is not formed, before that counts as final: the controller that refuses it
/// forms the cluster by its first command.
const FORMATION_PATIENCE: Duration = Duration::from_secs(60);
/// Before a registration that had no lasting answer is proposed again.
const REGISTER_PAUSE: Duration = Duration::from_millis(100);
/// Between two requests to move this broker's leaderships away.
const SHUTDOWN_PAUSE: Duration = Duration::from_millis(50);

/// A running control plane: cheap to clone, safe to use from any thread. When the last clone is dropped, the control plane ends at once, as
/// by a kill; [`Controller::shutdown`] ends it in order.
#[derive(Clone)]
pub struct Controller {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Shared,
    wish: watch::Sender<Wish>,
    active_controller: watch::Receiver<Option<BrokerId>>,
    stop: CancellationToken,
    kill: CancellationToken,
    ended: Ended,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("broker_id", &self.inner.shared.settings.broker_id())
            .finish_non_exhaustive()
    }
}

impl Controller {
    /// Opens (or formats) the storage, replays what is committed, and starts the control thread and its listener. Blocks meanwhile.
    ///
    /// Forming, joining, electing and the session with the active controller then go on by themselves.
    ///
    /// # Errors
    /// [`StartError`] when the storage is unreadable, belongs elsewhere, or cannot be written.
    pub fn start(config: ControllerConfig) -> Result<Self, StartError> {
        if config.voters.is_empty() {
            return Err(StartError::Config("controller.quorum.voters names nobody".to_owned()));
        }
        let identity = Identity::load_or_format(
            config.file_system.as_ref(),
            &config.data_dir,
            config.broker_id,
            config.cluster_id.as_ref(),
        )?;
        let clock = config.clock;
        let shared = Shared {
            settings: Arc::new(Settings {
                identity,
                clock,
                cluster_id: config.cluster_id,
                voters: config.voters,
                advertised_address: config.advertised_address,
                data_dir: config.data_dir,
                cluster_configs: config.cluster_configs,
                heartbeat_interval: config.heartbeat_interval,
                session_timeout: config.session_timeout,
            }),
            feed: Arc::new(ImageFeed::new(Arc::new(Image::default()), None)),
            queue: Arc::new(ProposalQueue::new()),
            suspicions: Arc::new(Suspicions::new(clock)),
            metrics: Metrics::new(),
            failure: Failure::new(),
        };
        let (wish, wished) = watch::channel(Wish::default());
        let (known, active_controller) = watch::channel(None);
        let (alive, ended) = Alive::new();
        let stop = CancellationToken::new();
        let kill = CancellationToken::new();
        let thread = ControlThread {
            shared: shared.clone(),
            fs: config.file_system,
            listener: config.listener,
            materialization: config.materialization,
            wish: wished,
            active_controller: known,
            stop: stop.clone(),
            kill: kill.clone(),
            alive,
        };
        let (started, start) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || thread.run(&started))
            .map_err(|source| StartError::Io { what: "start a thread".to_owned(), source })?;
        match start.recv() {
            Ok(Ok(())) => {
                let inner = Inner { shared, wish, active_controller, stop, kill, ended };
                Ok(Self { inner: Arc::new(inner) })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Config("the control thread ended".to_owned())),
        }
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Returns this broker's id.
    #[must_use]
    pub fn broker_id(&self) -> BrokerId {
        self.shared().settings.broker_id()
    }

    /// Returns the identity of the data directory, drawn when it was formatted.
    #[must_use]
    pub fn directory_id(&self) -> DirectoryId {
        self.shared().settings.identity.directory_id
    }

    /// Returns the identity of the Raft storage, drawn when it was formatted.
    #[must_use]
    pub fn raft_id(&self) -> RaftId {
        self.shared().settings.raft_id()
    }

    /// Returns the latest image that this broker has applied. Costs one atomic load.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        self.shared().feed.image()
    }

    /// Follows the image. The first item is the present image with empty changes; later ones say what changed since the item before, merged.
    #[must_use]
    pub fn changes(&self) -> ImageChanges {
        self.shared().feed.subscribe()
    }

    /// Returns the index of the last command in this broker's image.
    #[must_use]
    pub fn applied_index(&self) -> Option<u64> {
        self.shared().feed.published().applied_index
    }

    /// Waits until this broker's image holds the command at `index`.
    ///
    /// # Errors
    /// [`ProposeError::Stopped`] when the control plane stops first.
    pub async fn wait_for(&self, index: u64) -> Result<(), ProposeError> {
        let mut applied = self.shared().feed.applied();
        tokio::select! {
            reached = applied.wait_for(|applied| applied.is_some_and(|applied| applied >= index)) => {
                reached.map(|_| ()).map_err(|_| ProposeError::Stopped)
            }
            () = self.inner.ended.wait() => Err(ProposeError::Stopped),
        }
    }

    /// Proposes a command, here or at the active controller, and waits until it is applied there.
    ///
    /// Elections are waited out for up to five seconds. Fields named `live` and `open_session` are filled in by the active
    /// controller, which alone knows them; leave them at their defaults.
    ///
    /// # Errors
    /// [`ProposeError`]; a refusal by `apply` is an [`Outcome`], not an error.
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        let shared = self.shared();
        let deadline = shared.settings.clock.now() + PROPOSE_TIMEOUT;
        let answer = shared.queue.push(&command, deadline)?;
        answer.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// Registers this run, and waits for as long as it takes: until a cluster is formed or joined and a controller answers.
    /// On return this broker's image holds the registration, fenced.
    ///
    /// # Errors
    /// [`RegisterError`] when waiting would not help; the process must stop.
    pub async fn register(
        &self,
        proof: RegistrationProof,
    ) -> Result<BrokerRegistered, RegisterError> {
        tokio::select! {
            reason = self.shared().failure.wait() => Err(RegisterError::Failed(reason)),
            registered = self.register_until_answered(proof) => registered,
        }
    }

    async fn register_until_answered(
        &self,
        proof: RegistrationProof,
    ) -> Result<BrokerRegistered, RegisterError> {
        let identity = &self.shared().settings.identity;
        let command = Command::RegisterBroker(RegisterBroker {
            broker_id: identity.broker_id,
            incarnation_id: identity.incarnation_id,
            directory_id: identity.directory_id,
            raft_id: identity.raft_id,
            stored_broker_epoch: proof.stored_broker_epoch,
            last_shutdown: proof.last_shutdown,
            lost_replicas: proof.lost_replicas,
            endpoints: proof.endpoints,
            replication_address: proof.replication_address,
            control_address: self.shared().settings.advertised_address.clone(),
            rack: proof.rack,
            open_session: None,
            live: LiveSet::default(),
        });
        let clock = self.shared().settings.clock;
        let session_timeout = self.shared().settings.session_timeout;
        let mut first_refusal = None;
        loop {
            match self.propose(command.clone()).await {
                Ok(Applied { outcome: Outcome::BrokerRegistered(registered), index }) => {
                    self.wait_for(index).await.map_err(|_| RegisterError::Stopped)?;
                    let broker_epoch = Some(registered.broker_epoch);
                    self.inner.wish.send_replace(Wish { broker_epoch, is_ready: false });
                    return Ok(registered);
                }
                Ok(Applied { outcome: Outcome::Refused(refusal), .. }) => {
                    let now = clock.now();
                    let since = match first_refusal {
                        Some((code, since)) if code == refusal.code => since,
                        _ => now,
                    };
                    first_refusal = Some((refusal.code, since));
                    let patience = patience_with(refusal.code, session_timeout);
                    if patience.is_none_or(|patience| now.since(since) > patience) {
                        return Err(RegisterError::Refused(refusal));
                    }
                    sleep(REGISTER_PAUSE).await;
                }
                Ok(_) | Err(ProposeError::OutcomeUnknown | ProposeError::NoController) => {
                    // A full queue answers at once.
                    sleep(REGISTER_PAUSE).await;
                }
                Err(ProposeError::Stopped) => return Err(RegisterError::Stopped),
                Err(error @ ProposeError::TooLarge { .. }) => {
                    return Err(RegisterError::Failed(error.to_string()));
                }
            }
        }
    }

    /// Says that this run may be unfenced: its broker epoch is on disk and its image is applied. The wish holds until the run ends.
    pub fn set_ready(&self, broker_epoch: BrokerEpoch) {
        self.inner.wish.send_replace(Wish { broker_epoch: Some(broker_epoch), is_ready: true });
    }

    /// Says whether a broker's connection broke and nothing was heard from it since: a suspicion, no proof.
    #[must_use]
    pub fn is_suspected(&self, broker_id: BrokerId) -> bool {
        self.shared().suspicions.contains(broker_id)
    }

    /// Returns the active controller, when one is known.
    #[must_use]
    pub fn active_controller(&self) -> Option<BrokerId> {
        *self.inner.active_controller.borrow()
    }

    /// Says whether this broker is configured as a voter of the metadata quorum and its storage does not vote yet, so that the loss of one more
    /// voter could stop the quorum.
    #[must_use]
    pub fn awaits_vote(&self) -> bool {
        let shared = self.shared();
        let own = shared.settings.broker_id();
        let is_configured = shared.settings.voters.iter().any(|voter| voter.broker_id == own);
        is_configured && shared.feed.image().voters().get(&own) != Some(&shared.settings.raft_id())
    }

    /// Moves this broker's leaderships to others, and waits until it leads nothing that another could lead, or `deadline` passes.
    /// Returns how many leaderships are left. One that is not registered leads nothing.
    ///
    /// # Errors
    /// [`ProposeError`] when no controller could be asked.
    pub async fn controlled_shutdown(&self, deadline: Duration) -> Result<u32, ProposeError> {
        let Some(broker_epoch) = self.inner.wish.borrow().broker_epoch else { return Ok(0) };
        let clock = self.shared().settings.clock;
        let until = clock.now() + deadline;
        loop {
            let command = Command::ControlledShutdown(ControlledShutdown {
                broker_id: self.broker_id(),
                broker_epoch,
                live: LiveSet::default(),
            });
            let applied = self.propose(command).await?;
            // Refused: superseded or fenced, so that nothing is led any more.
            let Outcome::ShuttingDown { leaderships_left } = applied.outcome else { return Ok(0) };
            if leaderships_left == 0 || clock.now() >= until {
                self.wait_for(applied.index).await?;
                return Ok(leaderships_left);
            }
            sleep(SHUTDOWN_PAUSE).await;
        }
    }

    /// Hands over Raft's leadership (waits at most a second for another leader), writes the materialised image to its end and stops.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.ended.wait().await;
    }

    /// Ends the control plane at once, as a kill of the process would: nothing is handed over, marked or flushed. For tests of failover.
    pub async fn kill(&self) {
        self.inner.kill.cancel();
        self.inner.ended.wait().await;
    }

    /// Waits until the control plane has failed: a write or fsync of its own did, this run was superseded, or the cluster is not the configured
    /// one. Answers with one line for the operator, upon which the process must end. Pending for ever otherwise.
    pub async fn failed(&self) -> String {
        self.shared().failure.wait().await
    }

    /// Registers the control plane's metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared().metrics.register(registry);
    }
}

/// How long a registration is proposed again after this refusal; `None` when it is final at once.
fn patience_with(refusal: ErrorCode, session_timeout: Duration) -> Option<Duration> {
    match refusal {
        ErrorCode::DuplicateBrokerRegistration => Some(session_timeout * DUPLICATE_PATIENCE),
        ErrorCode::NotController => Some(FORMATION_PATIENCE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_registration_is_repeated_only_while_the_refusal_may_pass() {
        let session_timeout = Duration::from_secs(2);
        let patience = |refusal| patience_with(refusal, session_timeout);
        assert_eq!(patience(ErrorCode::DuplicateBrokerRegistration), Some(Duration::from_secs(6)));
        assert_eq!(patience(ErrorCode::NotController), Some(FORMATION_PATIENCE));
        assert_eq!(patience(ErrorCode::InconsistentClusterId), None);
    }
}
