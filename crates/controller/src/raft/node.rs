//! The facade over openraft: what the rest of the crate may ask of consensus.
//!
//! Owns one Raft node with its storage thread. Says of every failed proposal whether it may have been written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use log_storage::{FatalHandler, FileSystem};
use model::{BrokerId, Clock};
use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::raft::ClientWriteResponse;
use openraft::{ChangeMembers, ServerState};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Raft;
use super::codec;
use super::config::raft_config;
use super::membership::Members;
use super::rpc::network::Network;
use super::state_machine::StateMachine;
use super::state_machine::materialized::Materialized;
use super::state_machine::snapshot::SnapshotStore;
use super::storage::log_store::LogStore;
use super::storage::raft_log::RaftLog;
use super::storage::small_file::CommittedFile;
use super::storage::storage_thread::{Job, StorageThread};
use super::types::{EncodedCommand, LogId, Node, Types};
use crate::error::StartError;
use crate::failure::{Alive, Failure};
use crate::image_feed::ImageFeed;
use crate::metadata::{Outcome, RaftId};
use crate::metrics::Metrics;
use crate::options::Materialization;
use crate::peers::address_book::AddressBook;

type ServerMetrics = openraft::type_config::alias::WatchReceiverOf<Types, RaftServerMetrics<Types>>;

/// What a node is started with.
pub(crate) struct RaftOptions {
    pub(crate) raft_id: RaftId,
    pub(crate) data_dir: PathBuf,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) materialization: Materialization,
    pub(crate) clock: Clock,
    pub(crate) addresses: Arc<AddressBook>,
    pub(crate) feed: Arc<ImageFeed>,
    pub(crate) failure: Failure,
    pub(crate) metrics: Metrics,
    /// Told of brokers whose control port refused Raft.
    pub(crate) refused: mpsc::Sender<BrokerId>,
    pub(crate) alive: Alive,
}

/// A running node.
pub(crate) struct RaftNode {
    raft_id: RaftId,
    raft: Raft,
    server_metrics: ServerMetrics,
    jobs: mpsc::Sender<Job>,
    storage: Mutex<Option<JoinHandle<()>>>,
    materialized: Mutex<Option<Materialized>>,
}

/// Who leads, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RaftStatus {
    pub(crate) term: u64,
    pub(crate) leader: Option<(RaftId, BrokerId)>,
    pub(crate) is_leader: bool,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proposed {
    /// It is applied on this node.
    Applied { index: u64, outcome: Outcome },
    /// It was not written: this node does not lead, or may not write just now.
    NotWritten,
    /// It may have been written.
    Unknown,
}

/// How a hand-over of leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferOutcome {
    /// Another node leads, or this one did not.
    Done,
    /// Nobody took over in time.
    StillLeading,
}

impl RaftNode {
    /// Opens the storage and starts the node on the current runtime.
    pub(crate) async fn start(options: RaftOptions) -> Result<Self, StartError> {
        let config =
            raft_config("steadfast").map_err(|error| StartError::Config(error.to_string()))?;
        let materialized = match options.materialization {
            Materialization::Sled => {
                Some(Materialized::open(&options.data_dir, options.alive.clone())?)
            }
            Materialization::Off => None,
        };
        let (log_store, storage) = open_log_store(&options)?;
        let state_machine = StateMachine::new(
            Arc::clone(&options.feed),
            SnapshotStore::new(Arc::clone(&options.fs), &options.data_dir),
            options.failure.clone(),
            materialized.as_ref(),
            log_store.last_log_id(),
        );
        let jobs = log_store.jobs();
        let network = Network::new(
            options.raft_id.0,
            Arc::clone(&options.addresses),
            Arc::clone(&options.feed),
            options.refused.clone(),
        );
        let raft =
            Raft::new(options.raft_id.0, Arc::new(config), network, log_store, state_machine)
                .await
                .map_err(|error| StartError::Unreadable(error.to_string()))?;
        Ok(Self {
            raft_id: options.raft_id,
            server_metrics: raft.server_metrics(),
            raft,
            jobs,
            storage: Mutex::new(Some(storage)),
            materialized: Mutex::new(materialized),
        })
    }

    /// Returns the serving side for other nodes, which hands nothing to openraft once `stop` is cancelled.
    pub(crate) fn service(
        &self,
        feed: Arc<ImageFeed>,
        stop: CancellationToken,
    ) -> super::rpc::service::Service {
        super::rpc::service::Service {
            raft_id: self.raft_id.0,
            raft: self.raft.clone(),
            feed,
            stop,
        }
    }

    /// Returns who leads.
    pub(crate) fn status(&self) -> RaftStatus {
        status_of(&self.server_metrics.borrow_watched())
    }

    /// Follows who leads.
    pub(crate) fn watch(&self) -> StatusWatch {
        StatusWatch { metrics: self.server_metrics.clone() }
    }

    /// Says whether this node's log is empty: it belongs to no cluster.
    pub(crate) fn is_blank(&self) -> bool {
        self.raft.metrics().borrow_watched().last_log_index.is_none()
    }

    /// Returns why the node has stopped, when it has.
    pub(crate) fn stop_reason(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.running_state.as_ref().err().map(ToString::to_string)
    }

    /// Returns the index of the last entry known to be committed, and of the last one applied here.
    pub(crate) fn progress(&self) -> (Option<u64>, Option<u64>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: &LogId| id.index();
        (metrics.cluster_committed.as_ref().map(index), metrics.last_applied.as_ref().map(index))
    }

    /// Waits until the first entry of this node's own term is applied, so that its image holds everything committed before.
    /// `false` when it lost its leadership meanwhile.
    pub(crate) async fn lead(&self) -> bool {
        let mut metrics = self.raft.metrics();
        loop {
            {
                let now = metrics.borrow_and_update();
                if now.state != ServerState::Leader {
                    return false;
                }
                if now.last_applied.is_some_and(|id| codec::term_of(&id) == now.current_term) {
                    return true;
                }
            }
            if metrics.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Proposes an encoded command and waits until it is applied here.
    pub(crate) async fn propose(&self, command: Bytes) -> Proposed {
        match self.raft.client_write(EncodedCommand(command)).await {
            Ok(ClientWriteResponse { log_id, data, .. }) => match data.outcome {
                Some(outcome) => Proposed::Applied { index: log_id.index(), outcome },
                None => Proposed::Unknown,
            },
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Proposed::NotWritten,
            Err(_) => Proposed::Unknown,
        }
    }

    /// Makes these nodes, which are all blank, a cluster. Only one node may do this, once.
    pub(crate) async fn initialize(
        &self,
        voters: &BTreeMap<RaftId, BrokerId>,
    ) -> Result<(), String> {
        let nodes: BTreeMap<u64, Node> =
            voters.iter().map(|(id, broker)| (id.0, Node::new(*broker))).collect();
        match self.raft.initialize(nodes).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns the effective membership.
    pub(crate) fn members(&self) -> Members {
        let metrics = self.server_metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let mut members =
            Members { is_joint: membership.get_joint_config().len() > 1, ..Members::default() };
        for (raft_id, node) in membership.nodes() {
            let of_its_kind =
                if voters.contains(raft_id) { &mut members.voters } else { &mut members.learners };
            of_its_kind.insert(RaftId(*raft_id), node.broker_id());
        }
        members
    }

    /// Returns the members whose logs end within `distance` entries of this leader's. Empty when this node does not lead.
    pub(crate) fn caught_up(&self, distance: u64) -> BTreeSet<RaftId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let replication = metrics.replication.iter().flatten();
        replication
            .filter(|(_, matched)| {
                matched.is_some_and(|matched| matched.index() + distance >= last)
            })
            .map(|(raft_id, _)| RaftId(*raft_id))
            .collect()
    }

    /// Returns the members that have answered this leader within `age`.
    pub(crate) fn answering(&self, age: Duration) -> BTreeSet<RaftId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let heartbeats = metrics.heartbeat.iter().flatten();
        heartbeats
            .filter(|(_, acked)| acked.as_ref().is_some_and(|acked| acked.elapsed() <= age))
            .map(|(raft_id, _)| RaftId(*raft_id))
            .collect()
    }

    /// Adds a node that listens.
    pub(crate) async fn add_learner(
        &self,
        raft_id: RaftId,
        broker_id: BrokerId,
    ) -> Result<(), String> {
        let added = self.raft.add_learner(raft_id.0, Node::new(broker_id), false).await;
        added.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Replaces the voters in one joint change; voters that leave are dropped from the membership.
    pub(crate) async fn change_voters(&self, voters: &BTreeSet<RaftId>) -> Result<(), String> {
        let voters: BTreeSet<u64> = voters.iter().map(|id| id.0).collect();
        let changed =
            self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false).await;
        changed.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Drops learners.
    pub(crate) async fn remove_learners(&self, learners: &BTreeSet<RaftId>) -> Result<(), String> {
        let learners: BTreeSet<u64> = learners.iter().map(|id| id.0).collect();
        let changed =
            self.raft.change_membership(ChangeMembers::RemoveNodes(learners), false).await;
        changed.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Tries to be elected after the leader of `term`, if a pre-vote says that it would be. Ignored while that leader's lease runs, and once
    /// this node's vote has left that term: a candidacy has begun then, which another one would replace.
    pub(crate) async fn succeed(&self, term: u64) {
        // Openraft itself is asked, as it answers behind a vote that it is saving; the status does not show that vote before it is durable.
        let now = self.raft.with_raft_state(|state| state.vote_ref().leader_id.term).await;
        // An error says that the node has stopped, which its owner learns elsewhere.
        if now.is_ok_and(|now| now == term) {
            let _ = self.raft.trigger().elect(true).await;
        }
    }

    /// Hands leadership to the voter whose log is nearest, and waits until another node leads.
    pub(crate) async fn transfer_leadership(&self, limit: Duration) -> TransferOutcome {
        if !self.status().is_leader {
            return TransferOutcome::Done;
        }
        let heir = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters: BTreeSet<u64> =
                metrics.membership_config.membership().voter_ids().collect();
            let replication = metrics.replication.iter().flatten();
            replication
                .filter(|(raft_id, _)| voters.contains(raft_id) && **raft_id != self.raft_id.0)
                .max_by_key(|(_, matched)| **matched)
                .map(|(raft_id, _)| *raft_id)
        };
        let Some(heir) = heir else { return TransferOutcome::StillLeading };
        if self.raft.trigger().transfer_leader(heir).await.is_err() {
            return TransferOutcome::Done;
        }
        let mut watch = self.watch();
        let replaced = async {
            loop {
                let status = watch.status();
                if !status.is_leader && status.leader.is_some_and(|(id, _)| id != self.raft_id) {
                    return;
                }
                if !watch.changed().await {
                    return;
                }
            }
        };
        match timeout(limit, replaced).await {
            Ok(()) => TransferOutcome::Done,
            Err(_) => TransferOutcome::StillLeading,
        }
    }

    /// Stops the node, its storage thread and the store behind the image, which gets its clean mark.
    pub(crate) async fn shutdown(&self) {
        let _ = self.raft.shutdown().await;
        // Openraft has stopped, so that nothing can follow.
        let _ = self.jobs.send(Job::Stop).await;
        let storage = lock(&self.storage).take();
        let materialized = lock(&self.materialized).take();
        let stopped = tokio::task::spawn_blocking(move || {
            if let Some(storage) = storage {
                let _ = storage.join();
            }
            if let Some(materialized) = materialized {
                materialized.close();
            }
        });
        let _ = stopped.await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows who leads.
pub(crate) struct StatusWatch {
    metrics: ServerMetrics,
}

impl StatusWatch {
    /// Returns who leads now, and counts it as seen.
    pub(crate) fn status(&mut self) -> RaftStatus {
        status_of(&self.metrics.borrow_and_update())
    }

    /// Waits for a change of leader, term or membership. `false` when the node has stopped.
    pub(crate) async fn changed(&mut self) -> bool {
        self.metrics.changed().await.is_ok()
    }
}

fn status_of(metrics: &RaftServerMetrics<Types>) -> RaftStatus {
    let membership = metrics.membership_config.membership();
    let leader = metrics.current_leader.and_then(|raft_id| {
        let node = membership.get_node(&raft_id)?;
        Some((RaftId(raft_id), node.broker_id()))
    });
    RaftStatus {
        term: metrics.vote.leader_id.term,
        leader,
        is_leader: metrics.state == ServerState::Leader,
    }
}

fn open_log_store(options: &RaftOptions) -> Result<(LogStore, JoinHandle<()>), StartError> {
    let io = |what: &str| {
        let what = format!("{what} in {}", options.data_dir.display());
        move |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::InvalidData => StartError::Unreadable(source.to_string()),
            _ => StartError::Io { what, source },
        }
    };
    let failure = options.failure.clone();
    let fatal = FatalHandler::new(move |error| failure.set(format!("{error}: {}", error.source)));
    let log = RaftLog::open(Arc::clone(&options.fs), &options.data_dir, options.clock, fatal)
        .map_err(io("open Raft's log"))?;
    let committed = CommittedFile::open(options.fs.as_ref(), &options.data_dir)
        .map_err(io("open the committed index"))?;
    let thread = StorageThread {
        log,
        committed,
        fs: Arc::clone(&options.fs),
        data_dir: options.data_dir.clone(),
        failure: options.failure.clone(),
        metrics: options.metrics.clone(),
        alive: options.alive.clone(),
    };
    LogStore::start(thread).map_err(io("read Raft's storage"))
}
