//! This broker's session with the active controller, wherever that is.
//!
//! Owns the connection: finds the controller, opens a session (in process when the controller is this node), sends heartbeats, wishes and
//! proposals, and hands the answers on. A session that breaks is a suspicion, which `controller_loss` turns into proof or lays to rest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use model::{BrokerId, ErrorCode};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::broker_id_claim::BrokerIdClaim;
use super::controller_loss::ControllerLoss;
use super::proposal_queue::{Applied, ProposalQueue};
use super::wish::Wish;
use crate::active::service::{BROKER_ID_IN_USE, Service, SessionAnswer};
use crate::error::ProposeError;
use crate::failure::Failure;
use crate::image_feed::ImageFeed;
use crate::metadata::{Outcome, RaftId, Refusal};
use crate::peers::address_book::AddressBook;
use crate::peers::connect::{MAX_MESSAGE_BYTES, connect};
use crate::proto::controller as proto;
use crate::proto::controller::controller_client::ControllerClient;
use crate::raft::{RaftNode, StatusWatch};
use crate::settings::Settings;
use crate::suspicions::Suspicions;

/// Messages that wait for the wire.
const MAX_REQUESTS: usize = 512;
/// Of those, kept free for heartbeats.
const HEARTBEAT_ROOM: usize = 8;
/// Pause before another attempt at a controller that answered and would not have this session.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Time between two heartbeats while something is awaited of the controller.
const EAGER_INTERVAL: Duration = Duration::from_millis(20);

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Another node leads now.
    LeaderChanged,
    /// The connection broke, was refused, or fell silent.
    Broken,
    /// This node stops.
    Stopped,
}

/// Keeps this broker's session, and what it works with.
pub(crate) struct SessionKeeper {
    pub(crate) settings: Arc<Settings>,
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) feed: Arc<ImageFeed>,
    pub(crate) addresses: Arc<AddressBook>,
    pub(crate) suspicions: Arc<Suspicions>,
    pub(crate) queue: Arc<ProposalQueue>,
    pub(crate) wish: watch::Receiver<Wish>,
    /// Told who leads.
    pub(crate) active_controller: watch::Sender<Option<BrokerId>>,
    /// Serves this broker when this node leads.
    pub(crate) service: Service,
    pub(crate) claim: BrokerIdClaim,
    pub(crate) failure: Failure,
    pub(crate) cancel: CancellationToken,
}

impl SessionKeeper {
    /// Keeps a session with whoever leads, until this node stops.
    pub(crate) async fn run(self) {
        let mut watch = self.raft.watch();
        loop {
            let status = watch.status();
            let active = status.leader.map(|(_, broker_id)| broker_id);
            self.active_controller.send_if_modified(|now| {
                let is_new = *now != active;
                *now = active;
                is_new
            });
            let end = match status.leader {
                None => {
                    tokio::select! {
                        () = self.cancel.cancelled() => End::Stopped,
                        alive = watch.changed() => if alive { End::LeaderChanged } else { End::Stopped },
                    }
                }
                Some((raft_id, _)) if raft_id == self.settings.raft_id() => {
                    self.local_session(&mut watch, raft_id).await
                }
                Some((raft_id, broker_id)) => {
                    self.remote_session(&mut watch, raft_id, broker_id).await
                }
            };
            self.queue.session_lost(self.settings.clock.now());
            match (end, status.leader) {
                (End::Stopped, _) => {
                    if !self.cancel.is_cancelled() {
                        let reason = self.raft.stop_reason().unwrap_or_default();
                        self.failure.set(format!("consensus has stopped: {reason}"));
                    }
                    return;
                }
                (End::Broken, Some((raft_id, broker_id))) if raft_id != self.settings.raft_id() => {
                    self.suspicions.broken(broker_id);
                    let loss = ControllerLoss {
                        own: self.settings.broker_id(),
                        raft: &self.raft,
                        addresses: &self.addresses,
                        cancel: &self.cancel,
                    };
                    loss.judge(&mut watch, &status).await;
                }
                (End::Broken, _) => sleep(RETRY_PAUSE).await,
                (End::LeaderChanged, _) => {}
            }
        }
    }

    /// Talks to the controller in this process, by the code that serves the others.
    async fn local_session(&self, watch: &mut StatusWatch, leader: RaftId) -> End {
        let (requests, queue) = mpsc::channel(MAX_REQUESTS);
        let answers = self.service.serve(ReceiverStream::new(queue).map(Ok));
        Session::new(self, requests, leader).run(answers, watch).await
    }

    async fn remote_session(
        &self,
        watch: &mut StatusWatch,
        leader: RaftId,
        broker_id: BrokerId,
    ) -> End {
        let Some(address) = self.addresses.address_of(broker_id) else { return End::Broken };
        let Ok(channel) = connect(&address).await else { return End::Broken };
        let mut client = ControllerClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (requests, queue) = mpsc::channel(MAX_REQUESTS);
        let session = Session::new(self, requests, leader);
        let opened = tokio::time::timeout(
            self.settings.session_timeout,
            client.session(ReceiverStream::new(queue)),
        );
        match opened.await {
            Ok(Ok(answers)) => {
                let end = session.run(answers.into_inner(), watch).await;
                if end == End::LeaderChanged {
                    self.suspicions.heard(broker_id);
                }
                end
            }
            Ok(Err(_)) | Err(_) => End::Broken,
        }
    }
}

/// An open session, this broker's side.
struct Session<'a> {
    keeper: &'a SessionKeeper,
    requests: mpsc::Sender<proto::SessionRequest>,
    leader: RaftId,
    wish: watch::Receiver<Wish>,
    applied: watch::Receiver<Option<u64>>,
    next_heartbeat: Instant,
    silence: Instant,
}

impl<'a> Session<'a> {
    fn new(
        keeper: &'a SessionKeeper,
        requests: mpsc::Sender<proto::SessionRequest>,
        leader: RaftId,
    ) -> Self {
        let now = Instant::now();
        Self {
            keeper,
            requests,
            leader,
            wish: keeper.wish.clone(),
            applied: keeper.feed.applied(),
            next_heartbeat: now,
            silence: now + keeper.settings.session_timeout,
        }
    }

    async fn run(
        mut self,
        answers: impl Stream<Item = SessionAnswer> + Send,
        watch: &mut StatusWatch,
    ) -> End {
        let mut answers = std::pin::pin!(answers);
        if self.send(proto::session_request::Kind::Opening(self.opening())).is_err() {
            return End::Broken;
        }
        loop {
            if self.next_heartbeat <= Instant::now() && self.heartbeat().is_err() {
                return End::Broken;
            }
            if self.send_proposals().is_err() {
                return End::Broken;
            }
            let is_awaiting = self.is_awaiting();
            tokio::select! {
                () = self.keeper.cancel.cancelled() => return End::Stopped,
                alive = watch.changed() => {
                    let leader = watch.status().leader.map(|(raft_id, _)| raft_id);
                    match (alive, leader == Some(self.leader)) {
                        (false, _) => return End::Stopped,
                        (true, false) => return End::LeaderChanged,
                        (true, true) => {}
                    }
                }
                answer = answers.next() => match answer {
                    Some(Ok(answer)) => self.handle(answer),
                    Some(Err(status)) => {
                        if status.code() == BROKER_ID_IN_USE {
                            self.keeper.claim.is_in_use();
                        }
                        return End::Broken;
                    }
                    None => return End::Broken,
                },
                () = self.keeper.queue.to_send() => {}
                // Nothing is wished any more once the handle is gone.
                Ok(()) = self.wish.changed() => self.next_heartbeat = Instant::now(),
                _ = self.applied.changed(), if is_awaiting => self.next_heartbeat = Instant::now(),
                () = sleep_until(self.next_heartbeat) => {}
                () = sleep_until(self.silence) => return End::Broken,
            }
        }
    }

    /// Whether this broker wishes to be unfenced and its image says that it is not.
    fn is_awaiting(&self) -> bool {
        self.wish.borrow().is_ready
            && !self.keeper.feed.image().is_unfenced(self.keeper.settings.broker_id())
    }

    fn opening(&self) -> proto::Opening {
        let SessionKeeper { settings, feed, .. } = self.keeper;
        let identity = &settings.identity;
        let address = &settings.advertised_address;
        proto::Opening {
            cluster_id: feed.image().cluster_id().map(|id| id.0.clone()).unwrap_or_default(),
            broker_id: identity.broker_id.0,
            raft_id: identity.raft_id.0,
            directory_id: identity.directory_id.to_bytes().to_vec().into(),
            broker_epoch: self.wish.borrow().broker_epoch.map(|epoch| epoch.0),
            control_host: address.host.clone(),
            control_port: u32::from(address.port),
        }
    }

    fn heartbeat(&mut self) -> Result<(), ()> {
        let wish = *self.wish.borrow_and_update();
        let heartbeat = proto::Heartbeat {
            applied_index: *self.applied.borrow_and_update(),
            broker_epoch: wish.broker_epoch.map(|epoch| epoch.0),
            wants_unfenced: wish.is_ready,
        };
        let pause = if self.is_awaiting() {
            EAGER_INTERVAL
        } else {
            self.keeper.settings.heartbeat_interval
        };
        self.next_heartbeat = Instant::now() + pause;
        self.send(proto::session_request::Kind::Heartbeat(heartbeat))
    }

    fn send_proposals(&self) -> Result<(), ()> {
        let room = self.requests.capacity().saturating_sub(HEARTBEAT_ROOM);
        for (id, command) in self.keeper.queue.take_unsent(self.keeper.settings.clock.now(), room) {
            let proposal = proto::Proposal { id, command };
            self.send(proto::session_request::Kind::Proposal(proposal))?;
        }
        Ok(())
    }

    fn send(&self, kind: proto::session_request::Kind) -> Result<(), ()> {
        // The queue is full only when the connection has stood still for hundreds of messages: it counts as broken.
        self.requests.try_send(proto::SessionRequest { kind: Some(kind) }).map_err(|_| ())
    }

    fn handle(&mut self, answer: proto::SessionResponse) {
        self.silence = Instant::now() + self.keeper.settings.session_timeout;
        match answer.kind {
            Some(proto::session_response::Kind::Opened(_)) => {
                if let Some((_, broker_id)) = self.keeper.raft.status().leader {
                    self.keeper.suspicions.heard(broker_id);
                    self.keeper.suspicions.publish(&BTreeSet::new());
                }
            }
            Some(proto::session_response::Kind::Heartbeat(heartbeat)) => {
                let suspects = heartbeat.suspected.into_iter().map(BrokerId).collect();
                self.keeper.suspicions.take_word(&suspects);
            }
            Some(proto::session_response::Kind::Answer(answer)) => self.handle_answer(answer),
            None => {}
        }
    }

    fn handle_answer(&self, answer: proto::ProposalAnswer) {
        let proposals = &self.keeper.queue;
        let now = self.keeper.settings.clock.now();
        match answer.result {
            Some(proto::proposal_answer::Result::Applied(applied)) => {
                let outcome = Outcome::decode(&applied.outcome);
                let applied = outcome.map(|outcome| Applied { index: applied.index, outcome });
                proposals.answer(answer.id, applied.map_err(|_| ProposeError::OutcomeUnknown));
            }
            Some(proto::proposal_answer::Result::NotProposed(_)) => {
                proposals.not_written(answer.id, now);
            }
            Some(proto::proposal_answer::Result::OutcomeUnknown(_)) | None => {
                proposals.outcome_unknown(answer.id, now);
            }
            Some(proto::proposal_answer::Result::Refused(reason)) => {
                let refusal = Refusal::new(ErrorCode::InvalidRequest, reason);
                let applied = Applied { index: 0, outcome: Outcome::Refused(refusal) };
                proposals.answer(answer.id, Ok(applied));
            }
        }
    }
}
