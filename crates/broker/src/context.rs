//! What every handler sees: configuration, the control plane, this broker's replicas, counters.
//!
//! Owns nothing by itself; it is the one bundle that is handed to handlers, so that their signatures stay short.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controller::Controller;
use controller::metadata::{BrokerRegistration, Endpoint, Image};
use model::{BrokerId, Clock, ErrorCode, TopicId, TopicIdPartition};
use protocol::ApiKey;
use replication::Replicas;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::topics::AutoTopics;
use crate::config::BrokerConfig;
use crate::config::listeners::Listener;
use crate::coordinators::Coordinators;
use crate::metrics::{ErrorLabel, Metrics};
use crate::producer_ids::ProducerIds;

/// Longest wait for the replicas of a new topic.
const CREATION: Duration = Duration::from_millis(500);

/// Longest wait for a topic that this broker does not know: another one may have told a client of it a moment ago.
const NEWS_OF_TOPICS: Duration = Duration::from_millis(100);

/// How often it is looked for them.
const CREATION_POLL: Duration = Duration::from_millis(2);

/// The running broker, as handlers see it.
#[derive(Debug)]
pub struct Context {
    /// This broker's configuration.
    pub config: Arc<BrokerConfig>,
    /// The control plane.
    pub controller: Controller,
    /// This broker's partitions.
    pub replicas: Arc<Replicas>,
    /// The broker's clock.
    pub clock: Clock,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Creates topics that clients ask for.
    pub auto_topics: AutoTopics,
    /// Consumer groups.
    pub coordinators: Arc<Coordinators>,
    /// Hands out producer ids.
    pub producer_ids: ProducerIds,
    /// Record bytes that answers to consumers may hold at once, from the read until the client has taken them; one permit is one byte.
    pub answer_bytes: Arc<Semaphore>,
    /// Cancelled when the broker stops and no longer waits for replicas on behalf of producers.
    pub no_more_acks: CancellationToken,
}

/// One request, as handlers see it beside its body.
#[derive(Clone, Debug)]
pub struct Call {
    /// The API.
    pub api_key: ApiKey,
    /// The version of request and response.
    pub version: i16,
    /// The client's number for this request.
    pub correlation_id: i32,
    /// What the client calls itself; empty when it says nothing. A copy: it must not keep the frame of a request that waits for long.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_address: IpAddr,
    /// The listener by which the client came.
    pub listener: Arc<Listener>,
}

impl Context {
    /// Returns this broker's id.
    #[must_use]
    pub fn broker_id(&self) -> BrokerId {
        self.config.node_id
    }

    /// Counts an error code of an answer; no error is not counted.
    pub fn count_error(&self, api_key: ApiKey, error: ErrorCode) {
        if error.is_error() {
            let label = ErrorLabel { api: api_key.name(), error: error.name() };
            self.metrics.requests.errors.get_or_create(&label).inc();
        }
    }

    /// Says whether a leader may be dead: its connection broke, or the image has it fenced.
    #[must_use]
    pub fn is_doubtful(&self, image: &Image, leader: BrokerId) -> bool {
        leader != self.broker_id()
            && (!image.is_unfenced(leader) || self.controller.is_suspected(leader))
    }

    /// Waits until the replicas of a new topic that this broker leads are there, so that a client that goes on at once finds them. Bounded:
    /// a client that comes too early is told to try again anyway.
    pub async fn until_led(&self, topic: &str) {
        let deadline = Instant::now() + CREATION;
        while Instant::now() < deadline {
            let image = self.controller.image();
            let missing = image.topic_id(topic).is_some_and(|topic_id| {
                let own = Some(self.broker_id());
                let mut led =
                    image.partitions_of(topic_id).filter(|(_, state)| state.leader == own);
                led.any(|(id, _)| self.replicas.get(&id).is_none())
            });
            if !missing {
                return;
            }
            tokio::time::sleep(CREATION_POLL).await;
        }
    }

    /// Waits until this broker's image knows what a client asks about. Bounded: most unknown topics do not exist.
    pub async fn until_known(&self, is_known: impl Fn(&Image) -> bool) {
        let deadline = Instant::now() + NEWS_OF_TOPICS;
        while !is_known(&self.controller.image()) && Instant::now() < deadline {
            tokio::time::sleep(CREATION_POLL).await;
        }
    }

    /// Waits until this broker's replica of a new partition is there. Bounded as [`Self::until_led`].
    pub async fn until_there(&self, topic_id: TopicId, partition: i32) {
        let id = TopicIdPartition { topic_id, partition };
        let deadline = Instant::now() + CREATION;
        while self.replicas.get(&id).is_none() && Instant::now() < deadline {
            tokio::time::sleep(CREATION_POLL).await;
        }
    }

    /// Returns the broker that clients are told to send administrative requests to. Any broker takes them; the active controller saves a
    /// hop, and a broker that is not served on the client's listener, or may be dead, is never named.
    #[must_use]
    pub fn controller_id(&self, image: &Image, listener: &str) -> Option<BrokerId> {
        let serves = |broker: &BrokerId| {
            image.is_unfenced(*broker)
                && !self.is_doubtful(image, *broker)
                && image.broker(*broker).is_some_and(|known| known.endpoint(listener).is_some())
        };
        let first = self.controller.active_controller().filter(serves);
        let own = || Some(self.broker_id()).filter(serves);
        let any = || image.brokers().map(|broker| broker.broker_id).find(serves);
        first.or_else(own).or_else(any)
    }
}

/// Returns the unfenced brokers that are reached by a listener, with their addresses there.
pub(crate) fn live_brokers<'a>(
    image: &'a Image,
    listener: &'a str,
) -> impl Iterator<Item = (&'a BrokerRegistration, &'a Endpoint)> {
    image
        .brokers()
        .filter(|broker| !broker.is_fenced())
        .filter_map(|broker| Some((broker, broker.endpoint(listener)?)))
}
