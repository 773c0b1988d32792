//! The controller's gRPC service: the active controller's side of `Session`, and `Hello`, which every node answers.
//!
//! Owns the translation of messages and one loop per session. Each proposal is worked on by a task of its own, bounded per session; the
//! answers go back as they come. Invariant: a session of another cluster, or at a node that does not lead, is refused with its first message.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use model::{BrokerEpoch, BrokerId};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status, Streaming};

use super::liveness::{Heartbeat, SessionId};
use super::proposer::Proposer;
use super::roster::Roster;
use crate::image_feed::ImageFeed;
use crate::metadata::{Address, Command, RaftId};
use crate::peers::address_book::AddressBook;
use crate::proto::controller as proto;
use crate::proto::controller::controller_server::Controller as ControllerService;
use crate::raft::{Proposed, RaftNode};
use crate::settings::Settings;

/// Proposals of one session that are worked on at a time; a broker has no more unanswered.
pub(crate) const MAX_PROPOSALS: usize = 256;
/// Answers of one session that wait for the wire.
const MAX_ANSWERS: usize = 2 * MAX_PROPOSALS;

/// Longest legal name of a host.
const MAX_HOST_BYTES: usize = 255;

/// How long a session waits for the term of a controller that has just been elected.
const TERM_PATIENCE: Duration = Duration::from_millis(500);

/// Refuses a session of a storage that is in no membership while another storage has a session under its broker id.
pub(crate) const BROKER_ID_IN_USE: Code = Code::AlreadyExists;

/// What travels to a session's broker.
pub(crate) type SessionAnswer = Result<proto::SessionResponse, Status>;

/// What became of a node's wish to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Welcome {
    /// It is a member, or will be added.
    Noted,
    /// Another process has its broker id.
    BrokerIdInUse,
}

/// Serves `Hello` and `Session`. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) settings: Arc<Settings>,
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) proposer: Proposer,
    pub(crate) feed: Arc<ImageFeed>,
    pub(crate) addresses: Arc<AddressBook>,
    pub(crate) tasks: TaskTracker,
}

#[tonic::async_trait]
impl ControllerService for Service {
    type SessionStream = Pin<Box<dyn Stream<Item = SessionAnswer> + Send + 'static>>;

    async fn hello(
        &self,
        request: Request<proto::HelloRequest>,
    ) -> Result<Response<proto::HelloResponse>, Status> {
        let request = request.into_inner();
        let cluster_id = self.cluster_id();
        let same_cluster = request.cluster_id.is_empty() || request.cluster_id == cluster_id;
        let caller = BrokerId(request.broker_id);
        let mut broker_id_in_use = false;
        if same_cluster {
            let address = address(request.control_host, request.control_port)?;
            self.addresses.announce(caller, address);
            let raft_id = RaftId(request.raft_id);
            // A member hears so too: one that slipped in while the other was silent would wait for a log that goes to the other's address.
            broker_id_in_use = self.greet(raft_id, caller) == Welcome::BrokerIdInUse;
        }
        let active_controller = self.raft.status().leader.and_then(|(_, broker_id)| {
            let address = self.addresses.address_of(broker_id)?;
            Some(proto::ActiveController {
                control_host: address.host,
                control_port: u32::from(address.port),
            })
        });
        Ok(Response::new(proto::HelloResponse {
            broker_id: self.settings.broker_id().0,
            raft_id: self.settings.raft_id().0,
            cluster_id,
            blank: self.raft.is_blank(),
            active_controller,
            broker_id_in_use,
        }))
    }

    async fn session(
        &self,
        request: Request<Streaming<proto::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Ok(Response::new(Box::pin(self.serve(request.into_inner()))))
    }
}

impl Service {
    /// Serves a session on a task of its own, and returns the answers to its broker.
    pub(crate) fn serve(
        &self,
        requests: impl Stream<Item = Result<proto::SessionRequest, Status>> + Send + 'static,
    ) -> ReceiverStream<SessionAnswer> {
        let (answers, queue) = mpsc::channel(MAX_ANSWERS);
        let service = self.clone();
        self.tasks.spawn(async move {
            if let Err(status) = service.serve_to_its_end(requests, answers.clone()).await {
                // A broker that hung up does not hear why.
                let _ = answers.send(Err(status)).await;
            }
        });
        ReceiverStream::new(queue)
    }

    /// The session's end is the broker's, this term's, or the broker's silence.
    async fn serve_to_its_end(
        &self,
        requests: impl Stream<Item = Result<proto::SessionRequest, Status>> + Send,
        answers: mpsc::Sender<SessionAnswer>,
    ) -> Result<(), Status> {
        let mut requests = std::pin::pin!(requests);
        let opening = match requests.next().await {
            Some(Ok(proto::SessionRequest {
                kind: Some(proto::session_request::Kind::Opening(it)),
            })) => it,
            Some(Err(status)) => return Err(status),
            Some(Ok(_)) | None => return Err(Status::invalid_argument("no opening")),
        };
        let broker_id = BrokerId(opening.broker_id);
        if self.raft.status().is_leader {
            // Elected, and about to begin its term: the broker need not come again.
            let _ = timeout(TERM_PATIENCE, self.roster.begun()).await;
        }
        let (session, cancel) = self.open(opening)?;
        let opened = proto::session_response::Kind::Opened(proto::Opened {});
        let _ = answers.send(Ok(proto::SessionResponse { kind: Some(opened) })).await;
        let serving = Serving {
            service: self,
            session,
            broker_id,
            answers,
            permits: Arc::new(Semaphore::new(MAX_PROPOSALS)),
        };
        let result = serving.run(requests.as_mut(), &cancel).await;
        self.roster.close(session);
        result
    }

    fn open(&self, opening: proto::Opening) -> Result<(SessionId, CancellationToken), Status> {
        let own = self.cluster_id();
        if !opening.cluster_id.is_empty() && !own.is_empty() && opening.cluster_id != own {
            return Err(Status::failed_precondition(format!("this is cluster {own}")));
        }
        let broker_id = BrokerId(opening.broker_id);
        let raft_id = RaftId(opening.raft_id);
        let address = address(opening.control_host, opening.control_port)?;
        self.addresses.announce(broker_id, address);
        if !self.raft.members().contains(raft_id) {
            return Err(match self.greet(raft_id, broker_id) {
                Welcome::BrokerIdInUse => {
                    Status::new(BROKER_ID_IN_USE, "another process has this broker id")
                }
                Welcome::Noted => Status::unavailable("the node is not yet in the membership"),
            });
        }
        let broker_epoch = opening.broker_epoch.map(BrokerEpoch);
        self.roster
            .open(broker_id, raft_id, broker_epoch)
            .ok_or_else(|| Status::unavailable("this node is not the active controller"))
    }

    /// Notes a node that is in no membership yet. Says whether another process has its broker id; a node that does not lead cannot know.
    fn greet(&self, raft_id: RaftId, broker_id: BrokerId) -> Welcome {
        if self.roster.is_in_use(broker_id, raft_id) {
            return Welcome::BrokerIdInUse;
        }
        if !self.raft.members().contains(raft_id) {
            self.roster.note_stranger(raft_id, broker_id);
        }
        Welcome::Noted
    }

    fn cluster_id(&self) -> String {
        self.feed.image().cluster_id().map(|id| id.0.clone()).unwrap_or_default()
    }
}

/// An open session, the controller's side.
struct Serving<'a> {
    service: &'a Service,
    session: SessionId,
    broker_id: BrokerId,
    answers: mpsc::Sender<SessionAnswer>,
    permits: Arc<Semaphore>,
}

impl Serving<'_> {
    async fn run(
        &self,
        mut requests: Pin<&mut (impl Stream<Item = Result<proto::SessionRequest, Status>> + Send)>,
        cancel: &CancellationToken,
    ) -> Result<(), Status> {
        let mut suspects = self.service.roster.watch_suspects();
        loop {
            let request = tokio::select! {
                () = cancel.cancelled() => {
                    return Err(Status::unavailable("the session has ended"));
                }
                _ = suspects.changed() => {
                    self.tell_suspects();
                    continue;
                }
                request = requests.next() => request,
            };
            match request {
                Some(Ok(request)) => self.handle(request).await?,
                Some(Err(_)) | None => return Ok(()),
            }
        }
    }

    async fn handle(&self, request: proto::SessionRequest) -> Result<(), Status> {
        match request.kind {
            Some(proto::session_request::Kind::Heartbeat(heartbeat)) => {
                self.heartbeat(&heartbeat);
                Ok(())
            }
            Some(proto::session_request::Kind::Proposal(proposal)) => {
                self.proposal(proposal).await;
                Ok(())
            }
            Some(proto::session_request::Kind::Opening(_)) | None => {
                Err(Status::invalid_argument("neither heartbeat nor proposal"))
            }
        }
    }

    fn heartbeat(&self, heartbeat: &proto::Heartbeat) {
        let heartbeat = Heartbeat {
            broker_epoch: heartbeat.broker_epoch.map(BrokerEpoch),
            applied_index: heartbeat.applied_index,
            wants_unfenced: heartbeat.wants_unfenced,
        };
        self.service.roster.heard(self.session, self.broker_id, heartbeat);
        self.tell_suspects();
    }

    fn tell_suspects(&self) {
        let suspected =
            self.service.roster.suspected().into_keys().map(|broker| broker.0).collect();
        let answer = proto::HeartbeatAnswer { suspected };
        let kind = proto::session_response::Kind::Heartbeat(answer);
        // A full queue holds answers enough to prove that this controller lives.
        let _ = self.answers.try_send(Ok(proto::SessionResponse { kind: Some(kind) }));
    }

    /// Proposes on a task of its own. A broker that has more unanswered than it should waits for room, its heartbeats too.
    async fn proposal(&self, proposal: proto::Proposal) {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
        let proposer = self.service.proposer.clone();
        let answers = self.answers.clone();
        let session = self.session;
        self.service.tasks.spawn(async move {
            let result = match Command::decode(&proposal.command) {
                Ok(command) => match proposer.propose(command, Some(session)).await {
                    Proposed::Applied { index, outcome } => {
                        let outcome = outcome.encode().into();
                        proto::proposal_answer::Result::Applied(proto::Applied { index, outcome })
                    }
                    Proposed::NotWritten => {
                        proto::proposal_answer::Result::NotProposed(proto::NotProposed {})
                    }
                    Proposed::Unknown => {
                        proto::proposal_answer::Result::OutcomeUnknown(proto::OutcomeUnknown {})
                    }
                },
                Err(error) => proto::proposal_answer::Result::Refused(error.to_string()),
            };
            let answer = proto::ProposalAnswer { id: proposal.id, result: Some(result) };
            let kind = proto::session_response::Kind::Answer(answer);
            let _ = answers.send(Ok(proto::SessionResponse { kind: Some(kind) })).await;
            drop(permit);
        });
    }
}

fn address(host: String, port: u32) -> Result<Address, Status> {
    match u16::try_from(port) {
        Ok(port) if (1..=MAX_HOST_BYTES).contains(&host.len()) => Ok(Address { host, port }),
        _ => Err(Status::invalid_argument("no such control port")),
    }
}
