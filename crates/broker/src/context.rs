//! What every handler sees: the parts of the running broker, and the request that it answers.
//!
//! Owns nothing by itself and decides nothing; it is the one bundle that is handed to handlers, so that their signatures stay short.

use std::net::IpAddr;
use std::sync::Arc;

use controller::Controller;
use model::{BrokerId, ErrorCode};
use protocol::ApiKey;
use replication::Replicas;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::BrokerConfig;
use crate::config::listeners::Listener;
use crate::coordinators::Coordinators;
use crate::metrics::{ErrorLabel, Metrics};
use crate::producer_ids::ProducerIds;
use crate::topics::AutoTopics;

/// The running broker, as handlers see it.
#[derive(Debug)]
pub(crate) struct Context {
    /// This broker's configuration.
    pub(crate) config: Arc<BrokerConfig>,
    /// The control plane.
    pub(crate) controller: Controller,
    /// This broker's partitions.
    pub(crate) replicas: Arc<Replicas>,
    /// All metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Creates topics that clients ask for.
    pub(crate) auto_topics: AutoTopics,
    /// Consumer groups.
    pub(crate) coordinators: Arc<Coordinators>,
    /// Hands out producer ids.
    pub(crate) producer_ids: Arc<ProducerIds>,
    /// Record bytes that answers to consumers may hold at once, from the read until the client has taken them; one permit is one byte.
    pub(crate) answer_bytes: Arc<Semaphore>,
    /// Cancelled when the broker stops and no longer waits for replicas on behalf of producers.
    pub(crate) no_more_acks: CancellationToken,
}

/// One request, as its handler sees it beside its body.
#[derive(Debug)]
pub(crate) struct Call {
    /// The API.
    pub(crate) api_key: ApiKey,
    /// The version of request and response.
    pub(crate) version: i16,
    /// What the client calls itself; empty when it says nothing. A copy: it must not keep the frame of a request that waits for long.
    pub(crate) client_id: Arc<str>,
    /// The client's address.
    pub(crate) client_address: IpAddr,
    /// The listener by which the client came.
    pub(crate) listener: Arc<Listener>,
}

impl Context {
    /// Returns this broker's id.
    #[must_use]
    pub(crate) fn broker_id(&self) -> BrokerId {
        self.config.node_id
    }

    /// Counts an error code of an answer; no error is not counted.
    pub(crate) fn count_error(&self, api_key: ApiKey, error: ErrorCode) {
        if error.is_error() {
            let label = ErrorLabel { api: api_key.name(), error: error.name() };
            self.metrics.requests.errors.get_or_create(&label).inc();
        }
    }
}
