//! Cuts the bytes of a connection into frames.
//!
//! Owns the receive buffer and the memory that a large frame needs before it is read. Invariant: a length is checked against the limit
//! before anything is reserved for it, and a frame above [`SMALL_FRAME_BYTES`] is not read before the shared budget has room for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use protocol::frame::{LENGTH_BYTES, frame_length};
use tokio::net::TcpStream;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Frames up to this size need no share of the common budget: what they can hold is bounded by the number of connections.
pub(super) const SMALL_FRAME_BYTES: usize = 64 << 10;

/// The receive buffer starts at this size and grows, while a client fills it, up to [`MAX_BUFFER_BYTES`].
const MIN_BUFFER_BYTES: usize = 8 << 10;

/// A buffer of this size stays in a core's cache; larger frames have a buffer of their own size.
const MAX_BUFFER_BYTES: usize = 256 << 10;

/// Bytes that are no Kafka frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An HTTP request.
    #[error("an HTTP request on a Kafka listener; metrics and health are on the HTTP port")]
    Http,
    /// A TLS handshake.
    #[error("a TLS handshake on a listener that speaks PLAINTEXT")]
    Tls,
    /// A length that no request has.
    #[error("{0} (socket.request.max.bytes)")]
    Length(protocol::frame::FrameError),
}

/// One step of reading.
pub(super) enum Next {
    /// A whole frame, with the share of the budget that it holds.
    Frame(Bytes, Option<OwnedSemaphorePermit>),
    /// Some bytes came, no frame is whole yet.
    More,
    /// Nothing to do before the socket is readable or memory comes free.
    Blocked,
    /// The client closed the connection.
    End,
}

type Reservation = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// Progress of the share that the frame at the head of the buffer needs.
enum Memory {
    NotNeeded,
    Waiting(Reservation),
    Reserved(OwnedSemaphorePermit),
}

/// Receive buffer of one connection.
pub(super) struct FrameReader {
    buffer: BytesMut,
    capacity: usize,
    limit: usize,
    budget: Arc<Semaphore>,
    memory: Memory,
}

impl FrameReader {
    pub(super) fn new(limit: usize, budget: Arc<Semaphore>) -> Self {
        Self {
            buffer: BytesMut::new(),
            capacity: MIN_BUFFER_BYTES,
            limit,
            budget,
            memory: Memory::NotNeeded,
        }
    }

    /// Says whether a frame has begun that is not whole.
    pub(super) fn is_within_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes the next frame out of the buffer, or reads once.
    pub(super) fn next(&mut self, stream: &TcpStream) -> Result<Next, super::Closed> {
        let length = self.frame_length()?;
        if let Some(length) = length {
            if self.buffer.len() >= LENGTH_BYTES + length {
                self.buffer.advance(LENGTH_BYTES);
                let frame = self.buffer.split_to(length).freeze();
                let permit = match std::mem::replace(&mut self.memory, Memory::NotNeeded) {
                    Memory::Reserved(permit) => Some(permit),
                    Memory::NotNeeded | Memory::Waiting(_) => None,
                };
                return Ok(Next::Frame(frame, permit));
            }
            if !self.has_memory(length) {
                return Ok(Next::Blocked);
            }
        }
        self.make_room(length);
        let room = self.buffer.capacity() - self.buffer.len();
        match stream.try_read_buf(&mut self.buffer) {
            Ok(0) => Ok(Next::End),
            Ok(count) => {
                if count == room {
                    self.capacity = (self.capacity * 2).min(MAX_BUFFER_BYTES);
                }
                Ok(Next::More)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.release_idle_buffer();
                Ok(Next::Blocked)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Becomes ready when [`Self::next`] may do something: a whole frame, memory for one, or a readable socket.
    pub(super) fn poll_progress(
        &mut self,
        stream: &TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if let Memory::Waiting(reservation) = &mut self.memory {
            return match reservation.as_mut().poll(context) {
                Poll::Ready(Ok(permit)) => {
                    self.memory = Memory::Reserved(permit);
                    Poll::Ready(())
                }
                // The budget is never closed; a closed one would only mean that this broker has stopped.
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
            };
        }
        match self.frame_length() {
            Ok(Some(length)) if self.buffer.len() >= LENGTH_BYTES + length => Poll::Ready(()),
            Ok(_) => stream.poll_read_ready(context).map(|_| ()),
            Err(_) => Poll::Ready(()),
        }
    }

    /// Reads the length of the frame at the head of the buffer.
    fn frame_length(&self) -> Result<Option<usize>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        match head {
            b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" | b"DELE" | b"PRI " => {
                return Err(FrameError::Http);
            }
            [0x16, 0x03, ..] => return Err(FrameError::Tls),
            _ => {}
        }
        frame_length(*head, self.limit).map(Some).map_err(FrameError::Length)
    }

    fn has_memory(&mut self, length: usize) -> bool {
        if length <= SMALL_FRAME_BYTES || matches!(self.memory, Memory::Reserved(_)) {
            return true;
        }
        if matches!(self.memory, Memory::Waiting(_)) {
            return false;
        }
        let permits = u32::try_from(length).unwrap_or(u32::MAX);
        match Arc::clone(&self.budget).try_acquire_many_owned(permits) {
            Ok(permit) => {
                self.memory = Memory::Reserved(permit);
                true
            }
            Err(_) => {
                let budget = Arc::clone(&self.budget);
                self.memory = Memory::Waiting(Box::pin(budget.acquire_many_owned(permits)));
                false
            }
        }
    }

    /// Makes room for the rest of the frame at the head of the buffer, and for more while the client fills what it is given.
    fn make_room(&mut self, length: Option<usize>) {
        let frame = length.map_or(0, |length| LENGTH_BYTES + length);
        let missing = frame.saturating_sub(self.buffer.len());
        let room = self.buffer.capacity() - self.buffer.len();
        if room < missing.max(1) {
            self.buffer.reserve(missing.max(self.capacity));
        }
    }

    /// An idle connection holds no buffer; one that was large is let go, too.
    fn release_idle_buffer(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}
