//! The thread that everything behind the handle runs on.
//!
//! Owns the runtime and the order of start and stop. It takes no partition lock and does no data I/O; Raft's files have a thread of their own.

mod control_port;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::active::driver::lead;
use crate::active::liveness::{Event, ProbeResult};
use crate::active::service::Service;
use crate::broker_lifecycle::formation::{form_or_join, seek_controller};
use crate::broker_lifecycle::self_watch::watch_self;
use crate::broker_lifecycle::session::{keep_deadlines, keep_session};
use crate::control_thread::control_port::ControlPort;
use crate::error::StartError;
use crate::failure::Alive;
use crate::options::Materialization;
use crate::peers::connect::MAX_MESSAGE_BYTES;
use crate::plane::{Plane, Shared};
use crate::proto::controller::controller_server::ControllerServer;
use crate::proto::raft::raft_server::RaftServer;
use crate::raft::{RaftNode, RaftOptions, TransferOutcome};

/// How long a stopping leader waits for a successor.
const HANDOVER_LIMIT: Duration = Duration::from_secs(1);
/// How long a stop waits for tasks that do not end.
const TASKS_LIMIT: Duration = Duration::from_millis(500);
const WINDOW_BYTES: u32 = 4 << 20;
/// Calls and streams of one connection at a time.
const MAX_STREAMS: u32 = 64;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Refused connections that wait to be looked at.
const MAX_EVIDENCE: usize = 64;

/// What the thread is started with.
pub(crate) struct ControlThread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listener: Option<TcpListener>,
    pub(crate) materialization: Materialization,
    /// Asks for an orderly stop.
    pub(crate) stop: CancellationToken,
    /// Ends everything at once, as a kill would.
    pub(crate) kill: CancellationToken,
    pub(crate) alive: Alive,
}

impl ControlThread {
    /// Runs until a stop or a kill; `started` hears how the start went.
    pub(crate) fn run(self, started: &SyncSender<Result<(), StartError>>) {
        let shared = Arc::clone(&self.shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => self.run_on(runtime, started),
            Err(source) => {
                let what = "start the control plane's runtime".to_owned();
                // The starter is gone only when the process ends.
                let _ = started.send(Err(StartError::Io { what, source }));
            }
        }
        shared.proposals.close();
        shared.feed.close();
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

    async fn serve(mut self, started: &SyncSender<Result<(), StartError>>) {
        let plane = match self.start().await {
            Ok(plane) => plane,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let _ = started.send(Ok(()));
        self.stop.cancelled().await;
        if plane.raft.transfer_leadership(HANDOVER_LIMIT).await == TransferOutcome::StillLeading {
            tracing::info!("nobody took over the metadata quorum's leadership");
        }
        plane.cancel.cancel();
        plane.leadership.end();
        plane.shared.proposals.close();
        plane.raft.shutdown().await;
        plane.tasks.close();
        let _ = timeout(TASKS_LIMIT, plane.tasks.wait()).await;
    }

    async fn start(&mut self) -> Result<Arc<Plane>, StartError> {
        let shared = Arc::clone(&self.shared);
        let (refused, refusals) = mpsc::channel(MAX_EVIDENCE);
        let raft = RaftNode::start(RaftOptions {
            raft_id: shared.identity.raft_id,
            data_dir: shared.settings.data_dir.clone(),
            fs: Arc::clone(&shared.fs),
            materialization: self.materialization,
            clock: shared.clock,
            addresses: Arc::clone(&shared.addresses),
            feed: Arc::clone(&shared.feed),
            failure: shared.failure.clone(),
            metrics: shared.metrics.clone(),
            refused,
            alive: self.alive.clone(),
        })
        .await?;
        let plane = Arc::new(Plane::new(shared, raft));
        self.listen(&plane)?;
        plane.tasks.spawn(form_or_join(Arc::clone(&plane)));
        plane.tasks.spawn(seek_controller(Arc::clone(&plane)));
        plane.tasks.spawn(keep_session(Arc::clone(&plane)));
        plane.tasks.spawn(keep_deadlines(Arc::clone(&plane)));
        plane.tasks.spawn(lead(Arc::clone(&plane)));
        plane.tasks.spawn(watch_self(Arc::clone(&plane)));
        plane.tasks.spawn(gather_evidence(Arc::clone(&plane), refusals));
        Ok(plane)
    }

    fn listen(&mut self, plane: &Arc<Plane>) -> Result<(), StartError> {
        let failed = |source| StartError::Io { what: "use the control port".to_owned(), source };
        let Some(listener) = self.listener.take() else { return Ok(()) };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let feed = Arc::clone(&plane.shared.feed);
        let raft = RaftServer::new(plane.raft.service(feed, plane.cancel.clone()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let controller = ControllerServer::new(Service { plane: Arc::clone(plane) })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let server = Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(MAX_STREAMS)
            // A connection whose other end vanished without a word is not kept for ever.
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .serve_with_incoming(ControlPort { raft, controller }, incoming);
        let plane = Arc::clone(plane);
        plane.tasks.clone().spawn(async move {
            tokio::select! {
                () = plane.cancel.cancelled() => {}
                result = server => if let Err(error) = result {
                    plane.shared.failure.set(format!("the control port failed: {error}"));
                }
            }
        });
        Ok(())
    }
}

/// Feeds the liveness machine with what other connections have shown.
async fn gather_evidence(plane: Arc<Plane>, mut refusals: mpsc::Receiver<model::BrokerId>) {
    loop {
        tokio::select! {
            () = plane.cancel.cancelled() => return,
            Some(broker_id) = refusals.recv() => {
                let now = plane.now();
                let result = ProbeResult::Refused;
                plane.leadership.step(now, Event::Probed { broker_id, asked_at: now, result });
            }
            else => return,
        }
    }
}
