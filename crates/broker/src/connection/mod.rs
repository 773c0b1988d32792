//! One client connection: reads frames, hands each to the handler as soon as it is whole, and answers strictly in the order of the requests.
//!
//! Owns order, back-pressure and the bounds of one connection. A request is decoded and handled on this task; what has to wait (acks, a
//! long poll) is a future in the queue of answers, and reading goes on up to [`MAX_IN_FLIGHT`] of them. A request that is a
//! [`Pipelining::Barrier`] holds back those behind it until it is answered, which is how Kafka treats every request.
//! Never reads more while answers cannot be sent: a client that does not read is not read from.

mod reader;
mod writer;

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::config::listeners::Listener;
use reader::{FrameReader, Next};
use writer::ResponseWriter;

pub use reader::FrameError;

/// Requests of one connection that may wait for their answers at once.
pub const MAX_IN_FLIGHT: usize = 128;

/// Bytes of answers that may wait for a client to read them before its next request is taken.
pub const MAX_UNSENT_BYTES: usize = 1 << 20;

/// Frames and reads of one connection before its answers are written and others have their turn.
const STEPS_PER_TURN: usize = 32;

/// A frame that has begun and does not grow for this long ends its connection: it holds memory that others wait for.
const FRAME_STALL: Duration = Duration::from_secs(30);

/// Who is at the other end, and by which listener it came.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The listener, whose advertised address this client is answered with.
    pub listener: Arc<Listener>,
    /// The client's address.
    pub address: SocketAddr,
}

/// One whole frame, without its length.
#[derive(Debug)]
pub struct Request {
    /// Header and body.
    pub frame: Bytes,
    /// Who sent it.
    pub peer: Peer,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The answer, length included, in pieces that are sent one after the other.
    Respond(Vec<Bytes>),
    /// No answer is due (acks=0).
    Nothing,
    /// The connection ends, with the reason for the log.
    Close(String),
}

/// An answer that may have to wait.
pub type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Whether requests behind this one may be handled before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipelining {
    /// They may: this one has had its effect when its future was first polled, or has none.
    Open,
    /// They wait.
    Barrier,
    /// They wait, perhaps for minutes: what this one needs of its frame was copied at the first poll, and the frame's memory is free from then on.
    LongBarrier,
}

/// A request that was understood.
pub struct Accepted {
    /// Its answer; the first poll happens at once, on the connection's task.
    pub answer: Answer,
    /// What it means for those behind it.
    pub pipelining: Pipelining,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("pipelining", &self.pipelining).finish_non_exhaustive()
    }
}

/// Decodes a request and starts it. An error closes the connection and is the line in the log.
pub type Handler = dyn Fn(Request) -> Result<Accepted, String> + Send + Sync;

/// Limits and shared budgets of connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest frame in bytes (`socket.request.max.bytes`).
    pub max_request_bytes: usize,
    /// Longest silence (`connections.max.idle.ms`).
    pub max_idle: Duration,
    /// Bytes of larger frames that all connections together may hold; one permit is one byte.
    pub request_bytes: Arc<Semaphore>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// The client closed it.
    #[error("closed by the client")]
    ByClient,
    /// The client was silent for too long.
    #[error("idle")]
    Idle,
    /// This broker stops.
    #[error("this broker stops")]
    Stopping,
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The bytes are no Kafka frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The request was refused.
    #[error("{0}")]
    Refused(String),
}

impl Closed {
    /// Says whether the client did something wrong, which is worth a line.
    #[must_use]
    pub fn is_clients_fault(&self) -> bool {
        match self {
            Self::Frame(_) | Self::Refused(_) => true,
            Self::ByClient | Self::Idle | Self::Stopping | Self::Io(_) => false,
        }
    }
}

/// Serves one connection until it ends. When `drain` is cancelled no further request is taken; those in flight are answered.
pub async fn serve(
    stream: TcpStream,
    peer: Peer,
    limits: &Limits,
    handler: &Handler,
    drain: CancellationToken,
) -> Closed {
    let mut connection = Connection {
        reader: FrameReader::new(limits.max_request_bytes, Arc::clone(&limits.request_bytes)),
        writer: ResponseWriter::default(),
        pending: FuturesOrdered::new(),
        barrier: false,
        end: None,
        active_at: Instant::now(),
        stream,
        peer,
    };
    let mut idle = pin!(tokio::time::sleep(limits.max_idle.min(FRAME_STALL)));
    let mut cancelled = pin!(drain.cancelled_owned());
    loop {
        if let Err(closed) = connection.turn(handler) {
            return closed;
        }
        if connection.pending.is_empty()
            && connection.writer.is_empty()
            && let Some(end) = connection.end
        {
            return match end {
                End::Drain => Closed::Stopping,
                End::Client => Closed::ByClient,
            };
        }
        let wake = poll_fn(|context| {
            connection.poll_wake(context, idle.as_mut(), cancelled.as_mut(), limits.max_idle)
        });
        match wake.await {
            Wake::Transport => {}
            Wake::Answer(outcome) => {
                if let Err(closed) = connection.finish(outcome) {
                    return closed;
                }
            }
            Wake::Idle => return Closed::Idle,
            Wake::Drain => connection.end = Some(End::Drain),
        }
    }
}

struct Connection {
    stream: TcpStream,
    peer: Peer,
    reader: FrameReader,
    writer: ResponseWriter,
    pending: FuturesOrdered<InFlight>,
    /// A barrier is in flight; it is always the last of `pending`.
    barrier: bool,
    /// Set when no further request is taken; the connection ends once all are answered.
    end: Option<End>,
    active_at: Instant,
}

/// Why no further request is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The broker stops.
    Drain,
    /// The client has sent its last; it may still read.
    Client,
}

enum Wake {
    /// The socket may be readable or writable, or memory for a frame came free.
    Transport,
    Answer(Outcome),
    Idle,
    Drain,
}

/// An answer with the memory that its request holds.
struct InFlight {
    answer: Answer,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Future for InFlight {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        self.answer.as_mut().poll(context)
    }
}

impl Connection {
    /// Takes what is whole, collects what is answered, and writes once.
    fn turn(&mut self, handler: &Handler) -> Result<(), Closed> {
        // The bound lets the other connections of this thread have their turn; what is left makes the next wake immediate.
        for _ in 0..STEPS_PER_TURN {
            self.collect_answers()?;
            if !self.takes_requests() {
                break;
            }
            match self.reader.next(&self.stream)? {
                Next::Frame(frame, memory) => {
                    self.active_at = Instant::now();
                    self.handle(frame, memory, handler)?;
                }
                Next::More => self.active_at = Instant::now(),
                Next::Blocked => break,
                Next::End => self.end = Some(End::Client),
            }
        }
        if self.writer.flush(&self.stream)? {
            self.active_at = Instant::now();
        }
        Ok(())
    }

    fn takes_requests(&self) -> bool {
        self.end.is_none()
            && !self.barrier
            && self.pending.len() < MAX_IN_FLIGHT
            && self.writer.unsent_bytes() < MAX_UNSENT_BYTES
    }

    fn handle(
        &mut self,
        frame: Bytes,
        memory: Option<OwnedSemaphorePermit>,
        handler: &Handler,
    ) -> Result<(), Closed> {
        let request = Request { frame, peer: self.peer.clone() };
        let Accepted { mut answer, pipelining } = handler(request).map_err(Closed::Refused)?;
        // Most requests are answered by the first poll; a waker is only needed by those that are not, and the queue polls them again.
        let first = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match first {
            Poll::Ready(outcome) if self.pending.is_empty() => self.finish(outcome),
            Poll::Ready(outcome) => {
                let answer = Box::pin(std::future::ready(outcome));
                self.pending.push_back(InFlight { answer, _memory: None });
                Ok(())
            }
            Poll::Pending => {
                self.barrier = pipelining != Pipelining::Open;
                let memory = memory.filter(|_| pipelining != Pipelining::LongBarrier);
                self.pending.push_back(InFlight { answer, _memory: memory });
                Ok(())
            }
        }
    }

    /// Moves the answers at the head of the queue that are complete to the writer. Wakers are registered by [`Self::poll_wake`].
    fn collect_answers(&mut self) -> Result<(), Closed> {
        let mut context = Context::from_waker(Waker::noop());
        while !self.pending.is_empty() {
            match self.pending.poll_next_unpin(&mut context) {
                Poll::Ready(Some(outcome)) => self.finish(outcome)?,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), Closed> {
        if self.pending.is_empty() {
            self.barrier = false;
        }
        match outcome {
            Outcome::Respond(pieces) => self.writer.push(pieces),
            Outcome::Nothing => {}
            Outcome::Close(reason) => return Err(Closed::Refused(reason)),
        }
        Ok(())
    }

    fn poll_wake(
        &mut self,
        context: &mut Context<'_>,
        mut idle: Pin<&mut Sleep>,
        cancelled: Pin<&mut impl Future<Output = ()>>,
        max_idle: Duration,
    ) -> Poll<Wake> {
        if !self.pending.is_empty()
            && let Poll::Ready(Some(outcome)) = self.pending.poll_next_unpin(context)
        {
            return Poll::Ready(Wake::Answer(outcome));
        }
        if self.takes_requests() && self.reader.poll_progress(&self.stream, context).is_ready() {
            return Poll::Ready(Wake::Transport);
        }
        if !self.writer.is_empty() && self.stream.poll_write_ready(context).is_ready() {
            return Poll::Ready(Wake::Transport);
        }
        if self.end.is_none() && cancelled.poll(context).is_ready() {
            return Poll::Ready(Wake::Drain);
        }
        while idle.as_mut().poll(context).is_ready() {
            let silence = if self.reader.is_within_frame() { FRAME_STALL } else { max_idle };
            let deadline = self.active_at + silence.min(max_idle);
            if deadline <= Instant::now() && (self.pending.is_empty() || !self.writer.is_empty()) {
                return Poll::Ready(Wake::Idle);
            }
            let again = deadline.max(Instant::now() + Duration::from_millis(100));
            idle.as_mut().reset(again.into());
        }
        Poll::Pending
    }
}
