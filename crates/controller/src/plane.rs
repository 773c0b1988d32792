//! What the tasks of the control thread share.
//!
//! Owns no behaviour of its own: the Raft node, the image's feed, this run's identity and wishes, and what is believed of other brokers.
//! All locks in here are held for a few instructions and never across an await.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use log_storage::FileSystem;
use model::{BrokerEpoch, BrokerId, Clock, ClusterId, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::active::roster::Leadership;
use crate::broker_lifecycle::proposal_queue::Proposals;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::image_feed::ImageFeed;
use crate::metadata::Address;
use crate::metrics::Metrics;
use crate::options::Voter;
use crate::peers::address_book::AddressBook;
use crate::raft::RaftNode;

/// Configuration that outlives the start.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) cluster_id: Option<ClusterId>,
    pub(crate) voters: Vec<Voter>,
    pub(crate) advertised_address: Address,
    pub(crate) data_dir: PathBuf,
    pub(crate) cluster_configs: BTreeMap<String, String>,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) session_timeout: Duration,
}

/// What the handle and the control thread share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) feed: Arc<ImageFeed>,
    pub(crate) addresses: Arc<AddressBook>,
    pub(crate) metrics: Metrics,
    pub(crate) failure: Failure,
    pub(crate) proposals: Proposals,
    pub(crate) wish: watch::Sender<Wish>,
    /// Who leads, for the handle.
    pub(crate) active_controller: watch::Sender<Option<BrokerId>>,
    /// Brokers whose connection broke and that were not heard from since.
    pub(crate) suspects: ArcSwap<BTreeSet<BrokerId>>,
}

/// What this run wants of the active controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The epoch of this run's registration.
    pub(crate) broker_epoch: Option<BrokerEpoch>,
    /// Whether it wants to be unfenced under that epoch.
    pub(crate) is_ready: bool,
}

/// What the control thread's tasks share.
pub(crate) struct Plane {
    pub(crate) shared: Arc<Shared>,
    pub(crate) raft: RaftNode,
    pub(crate) leadership: Leadership,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    /// When a connection to a broker broke that was not heard from since, as this node saw it.
    broken: Mutex<BTreeMap<BrokerId, Timestamp>>,
}

impl Plane {
    pub(crate) fn new(shared: Arc<Shared>, raft: RaftNode) -> Self {
        let leadership = Leadership::new(shared.settings.session_timeout);
        Self {
            shared,
            raft,
            leadership,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
            broken: Mutex::default(),
        }
    }

    pub(crate) fn broker_id(&self) -> BrokerId {
        self.shared.identity.broker_id
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Returns the runtime's instant of a timestamp, to arm a timer with.
    pub(crate) fn instant_of(&self, timestamp: Timestamp) -> Instant {
        Instant::from_std(self.shared.clock.instant_of(timestamp))
    }

    /// Notes that the connection to a broker broke; the first time counts.
    pub(crate) fn note_broken(&self, broker_id: BrokerId) {
        let now = self.now();
        self.lock_broken().entry(broker_id).or_insert(now);
        self.publish_suspects(&BTreeSet::from([broker_id]));
    }

    /// Notes that a broker was heard.
    pub(crate) fn note_heard(&self, broker_id: BrokerId) {
        self.lock_broken().remove(&broker_id);
    }

    /// Takes the active controller's word for who is suspected; what this node saw of others is older.
    pub(crate) fn take_suspects(&self, suspects: &BTreeSet<BrokerId>) {
        self.lock_broken().retain(|broker_id, _| suspects.contains(broker_id));
        self.publish_suspects(suspects);
    }

    /// Returns the brokers whose connection to this node broke, with the time.
    pub(crate) fn broken(&self) -> BTreeMap<BrokerId, Timestamp> {
        self.lock_broken().clone()
    }

    /// Publishes suspects for the handle: those given and those whose connection to this node broke.
    pub(crate) fn publish_suspects(&self, suspects: &BTreeSet<BrokerId>) {
        let mut all = suspects.clone();
        all.extend(self.lock_broken().keys());
        if **self.shared.suspects.load() != all {
            self.shared.suspects.store(Arc::new(all));
        }
    }

    fn lock_broken(&self) -> MutexGuard<'_, BTreeMap<BrokerId, Timestamp>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
