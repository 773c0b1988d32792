//! One connection to one broker: frames out and in, in order, with many requests under way.
//!
//! A writer task and a reader task own the socket. Kafka answers in the order of the requests, so the reader pairs each
//! response with the oldest request that waits; anything else ends the connection. Invariant: a response is given to the
//! request with its correlation id or to nobody.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use model::ErrorCode;
use protocol::frame::{Frame, frame_length, take_frame};
use protocol::header::{decode_response, encode_request};
use protocol::messages::ApiVersionsRequest;
use protocol::{ApiKey, ApiRequest, VersionRange};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{ClientConfig, Tasks};
use crate::error::RequestError;
use crate::versions::spoken;

/// A connection; clones share it. It closes when the last clone is dropped, on the first failure, or with the client's token.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Outgoing>,
}

#[derive(Debug)]
struct Shared {
    address: String,
    client_id: String,
    request_timeout: Duration,
    max_response_bytes: usize,
    next_correlation_id: AtomicI32,
    waiting: Mutex<VecDeque<Waiting>>,
    versions: OnceLock<BTreeMap<i16, VersionRange>>,
    /// Levels of the features that the cluster has agreed on.
    features: OnceLock<BTreeMap<String, i16>>,
    closed: CancellationToken,
    reason: OnceLock<String>,
}

#[derive(Debug)]
struct Outgoing {
    frame: Frame,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    correlation_id: i32,
    response: oneshot::Sender<Bytes>,
}

/// A request that is under way.
#[derive(Debug)]
pub struct Pending<R> {
    connection: Connection,
    version: i16,
    submitted_at: Instant,
    patience: Duration,
    response: oneshot::Receiver<Bytes>,
    request: PhantomData<fn() -> R>,
}

impl Connection {
    /// Connects to `address` (`host:port`) and asks for the broker's versions.
    ///
    /// # Errors
    /// [`RequestError::Connect`], and all others of the first request.
    pub async fn open(
        address: &str,
        config: &ClientConfig,
        tasks: &Tasks,
    ) -> Result<Self, RequestError> {
        let refused =
            |reason: String| RequestError::Connect { address: address.to_owned(), reason };
        let stream = timeout(config.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| {
                refused(format!("no answer within {} ms", config.connect_timeout.as_millis()))
            })?
            .map_err(|error| refused(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| refused(error.to_string()))?;
        let (read_half, write_half) = stream.into_split();
        let (outgoing, to_write) = mpsc::channel(OUTGOING_REQUESTS);
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout,
            max_response_bytes: config.max_response_bytes,
            next_correlation_id: AtomicI32::new(0),
            waiting: Mutex::default(),
            versions: OnceLock::new(),
            features: OnceLock::new(),
            closed: tasks.token.child_token(),
            reason: OnceLock::new(),
        });
        tasks.tracker.spawn(write_frames(shared.clone(), write_half, to_write));
        tasks.tracker.spawn(read_frames(shared.clone(), read_half));
        let connection = Self { shared, outgoing };
        match connection.ask_versions().await {
            Ok(()) => Ok(connection),
            // Whatever listens there, no request of the caller's has reached it.
            Err(RequestError::Closed { reason, .. }) => {
                Err(refused(format!("it does not answer as a Kafka broker does: {reason}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the address.
    #[must_use]
    pub(crate) fn address(&self) -> &str {
        &self.shared.address
    }

    /// Says whether the connection is of no more use.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }

    /// Closes the connection; requests that wait fail.
    pub(crate) fn close(&self, reason: &str) {
        self.shared.close(reason);
    }

    /// Returns the newest version of an API that the broker and this client speak.
    ///
    /// # Errors
    /// [`RequestError::Unsupported`].
    pub fn version(&self, api: ApiKey) -> Result<i16, RequestError> {
        let theirs = self.shared.versions.get().and_then(|versions| versions.get(&api.to_wire()));
        theirs
            .and_then(|theirs| spoken(api).newest_common(*theirs))
            .ok_or_else(|| RequestError::Unsupported { address: self.address().to_owned(), api })
    }

    /// Returns the level of a feature that the cluster has agreed on (KIP-584); 0 where the broker names none.
    #[must_use]
    pub fn feature_level(&self, feature: &str) -> i16 {
        self.shared.features.get().and_then(|levels| levels.get(feature)).copied().unwrap_or(0)
    }

    /// Sends a request and waits for the response.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn request<R: ApiRequest>(&self, request: &R) -> Result<R::Response, RequestError> {
        self.submit(request, Duration::ZERO).await?.response().await
    }

    /// Sends a request and returns as soon as it is queued: what is submitted first is answered first. The response may take `extra_time` longer than the
    /// request timeout, for requests that ask the broker to wait.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn submit<R: ApiRequest>(
        &self,
        request: &R,
        extra_time: Duration,
    ) -> Result<Pending<R>, RequestError> {
        let patience = self.shared.request_timeout + extra_time;
        self.submit_in(self.version(R::API)?, request, patience).await
    }

    /// The same in a version that is not newer than `newest`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub(crate) async fn submit_up_to<R: ApiRequest>(
        &self,
        newest: i16,
        request: &R,
        extra_time: Duration,
    ) -> Result<Pending<R>, RequestError> {
        let patience = self.shared.request_timeout + extra_time;
        self.submit_in(self.version(R::API)?.min(newest), request, patience).await
    }

    async fn submit_in<R: ApiRequest>(
        &self,
        version: i16,
        request: &R,
        patience: Duration,
    ) -> Result<Pending<R>, RequestError> {
        let (correlation_id, frame) = self.encode(version, request)?;
        let (sender, response) = oneshot::channel();
        let waiting = Waiting { correlation_id, response: sender };
        self.send(Outgoing { frame, waiting: Some(waiting) }).await?;
        Ok(Pending {
            connection: self.clone(),
            version,
            submitted_at: Instant::now(),
            patience,
            response,
            request: PhantomData,
        })
    }

    /// Sends a request that has no response: Produce with acks 0.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn send_unanswered<R: ApiRequest>(&self, request: &R) -> Result<(), RequestError> {
        let (_, frame) = self.encode(self.version(R::API)?, request)?;
        self.send(Outgoing { frame, waiting: None }).await
    }

    fn encode<R: ApiRequest>(
        &self,
        version: i16,
        request: &R,
    ) -> Result<(i32, Frame), RequestError> {
        let correlation_id = self.shared.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = encode_request(correlation_id, Some(&self.shared.client_id), version, request)?;
        Ok((correlation_id, frame))
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(), RequestError> {
        tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => Err(self.shared.closed_error()),
            sent = self.outgoing.send(outgoing) => sent.map_err(|_| self.shared.closed_error()),
        }
    }

    /// Asks for the broker's versions, in an older version when it does not know the newest one (KIP-511).
    async fn ask_versions(&self) -> Result<(), RequestError> {
        let request = ApiVersionsRequest {
            client_software_name: "steadfast".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut version = ApiKey::ApiVersions.versions().max;
        let patience = self.shared.request_timeout;
        loop {
            let response = self.submit_in(version, &request, patience).await?.response().await?;
            let key = ApiKey::ApiVersions.to_wire();
            if response.error_code == ErrorCode::UnsupportedVersion && version > 0 {
                let offered = response.api_keys.iter().find(|api| api.api_key == key);
                version = offered.map_or(0, |api| api.max_version.clamp(0, version - 1));
                continue;
            }
            if response.error_code.is_error() {
                self.close("the broker does not tell its versions");
                return Err(self.shared.closed_error());
            }
            let versions = response.api_keys.iter().map(|api| {
                (api.api_key, VersionRange { min: api.min_version, max: api.max_version })
            });
            let _ = self.shared.versions.set(versions.collect());
            if response.finalized_features_epoch >= 0 {
                let levels = response.finalized_features.iter();
                let levels = levels.map(|it| (String::from(&it.name), it.max_version_level));
                let _ = self.shared.features.set(levels.collect());
            }
            return Ok(());
        }
    }
}

impl<R: ApiRequest> Pending<R> {
    /// Waits for at most this long, if that is less than the request timeout.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = self.patience.min(patience);
        self
    }

    /// Waits for the response. A response that is late closes the connection, since those behind it would be late too.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn response(self) -> Result<R::Response, RequestError> {
        let shared = &self.connection.shared;
        match timeout_at(self.submitted_at + self.patience, self.response).await {
            Ok(Ok(frame)) => match decode_response::<R>(self.version, frame) {
                Ok((_, response)) => Ok(response),
                Err(problem) => {
                    shared.close("a response could not be read");
                    Err(RequestError::Decode { address: shared.address.clone(), problem })
                }
            },
            Ok(Err(_)) => Err(shared.closed_error()),
            Err(_) => {
                shared.close("a response is late");
                Err(RequestError::Timeout {
                    address: shared.address.clone(),
                    api: R::API,
                    after: self.patience,
                })
            }
        }
    }
}

impl Shared {
    fn close(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.closed.cancel();
        // Dropping the senders tells those who wait.
        self.waiting().clear();
    }

    fn closed_error(&self) -> RequestError {
        let reason = self.reason.get().map_or("the client is stopped", String::as_str);
        RequestError::Closed { address: self.address.clone(), reason: reason.to_owned() }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes requests in their order until the last handle is gone or the connection closes.
async fn write_frames(
    shared: Arc<Shared>,
    mut socket: OwnedWriteHalf,
    mut to_write: mpsc::Receiver<Outgoing>,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = shared.closed.cancelled() => break,
            next = to_write.recv() => next,
        };
        let Some(Outgoing { mut frame, waiting }) = next else {
            shared.close("no longer used");
            break;
        };
        // Before the write: the response may come before the write returns.
        if let Some(waiting) = waiting {
            shared.waiting().push_back(waiting);
        }
        let written = tokio::select! {
            () = shared.closed.cancelled() => break,
            written = socket.write_all_buf(&mut frame) => written,
        };
        if let Err(error) = written {
            shared.close(&error.to_string());
            break;
        }
    }
    // A request that was queued after the close must not wait for ever.
    shared.waiting().clear();
}

/// Reads responses and gives each to the request that waits for it.
async fn read_frames(shared: Arc<Shared>, mut socket: OwnedReadHalf) {
    let mut received = BytesMut::with_capacity(READ_BYTES);
    loop {
        match take_frame(&mut received, shared.max_response_bytes) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                if let Err(reason) = deliver(&shared, frame) {
                    return shared.close(reason);
                }
                continue;
            }
            Err(error) => return shared.close(&error.to_string()),
        }
        if let Some(prefix) = received.first_chunk()
            && let Ok(length) = frame_length(*prefix, shared.max_response_bytes)
        {
            received.reserve(length + prefix.len() - received.len());
        } else {
            received.reserve(READ_BYTES);
        }
        let read = tokio::select! {
            () = shared.closed.cancelled() => return,
            read = socket.read_buf(&mut received) => read,
        };
        match read {
            Ok(0) => return shared.close("closed by the broker"),
            Ok(_) => {}
            Err(error) => return shared.close(&error.to_string()),
        }
    }
}

fn deliver(shared: &Shared, frame: Bytes) -> Result<(), &'static str> {
    let correlation_id = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
    let waiting = shared.waiting().pop_front();
    match waiting {
        Some(waiting) if Some(waiting.correlation_id) == correlation_id => {
            // Whoever waited may have given up; then nobody wants the response.
            let _ = waiting.response.send(frame);
            Ok(())
        }
        _ => Err("a response came that nobody waits for"),
    }
}

/// Requests that wait for the socket, per connection; more make their callers wait.
const OUTGOING_REQUESTS: usize = 16;

/// Bytes to make room for when the size of what comes is not known.
const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
