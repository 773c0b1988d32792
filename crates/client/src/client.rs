//! Connections to the brokers and the metadata that says which broker to ask.
//!
//! One connection per broker, opened when it is first needed and again when it broke. Metadata is refreshed by one
//! request at a time; whoever comes meanwhile shares its result.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{BrokerId, ErrorCode, TopicPartition};
use protocol::messages::MetadataRequest;
use protocol::messages::metadata::MetadataRequestTopic;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::config::{AutoCreation, ClientConfig, Tasks};
use crate::connection::Connection;
use crate::connection_slot::ConnectionSlot;
use crate::error::{Error, RequestError};
use crate::metadata::{Metadata, Topics};

/// A client of one cluster; clones share connections and metadata.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    tasks: Tasks,
    /// By address: one is connected to once, and does not hold up the others.
    connections: Mutex<BTreeMap<String, ConnectionSlot>>,
    cache: Mutex<Cache>,
    refreshing: AsyncMutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Cache {
    metadata: Arc<Metadata>,
    /// Grows with every response.
    generation: u64,
    refreshed_at: Option<Instant>,
}

impl Client {
    /// Makes a client; nothing is connected yet.
    #[must_use]
    pub fn new(config: ClientConfig, tasks: Tasks) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                tasks,
                connections: Mutex::default(),
                cache: Mutex::default(),
                refreshing: AsyncMutex::default(),
            }),
        }
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Returns where tasks run.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.shared.tasks
    }

    /// Returns the metadata as it is known, without a request.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        self.cache().metadata
    }

    /// Says whether the metadata is older than `metadata.max.age.ms`, or was never asked for.
    #[must_use]
    pub(crate) fn is_metadata_old(&self) -> bool {
        let max_age = self.shared.config.metadata_max_age;
        self.cache().refreshed_at.is_none_or(|at| at.elapsed() >= max_age)
    }

    /// Asks a live broker for metadata and takes it in.
    ///
    /// # Errors
    /// [`RequestError`] of the last broker that was tried. Errors of single topics are in the metadata.
    pub async fn refresh_metadata(&self, topics: Topics<'_>) -> Result<Arc<Metadata>, Error> {
        let (client, tracker) = (self.clone(), &self.shared.tasks.tracker);
        // In a task: callers keep futures that they do not poll for a while, and one of those that holds the lock would hold up everybody behind it.
        let refreshing = match topics {
            Topics::All => tracker.spawn(async move { client.refresh(Topics::All).await }),
            Topics::None => tracker.spawn(async move { client.refresh(Topics::None).await }),
            Topics::Named(names) => {
                let names = names.to_vec();
                tracker.spawn(async move { client.refresh(Topics::Named(&names)).await })
            }
        };
        refreshing.await.unwrap_or(Err(Error::Stopped))
    }

    async fn refresh(&self, topics: Topics<'_>) -> Result<Arc<Metadata>, Error> {
        let asked_at = self.cache().generation;
        let _refreshing = self.shared.refreshing.lock().await;
        let cache = self.cache();
        let is_shared = cache.generation != asked_at && topics_known(&cache.metadata, topics);
        if is_shared {
            return Ok(cache.metadata);
        }
        let connection = self.any_connection().await?;
        // In version 0 an empty list means all topics, so "none" takes version 1.
        let names = match topics {
            Topics::All => None,
            Topics::None => Some(&[][..]),
            Topics::Named(names) => Some(names),
        };
        let request = MetadataRequest {
            topics: names.map(|names| {
                let topic = |name: &String| MetadataRequestTopic {
                    name: Some(name.into()),
                    ..MetadataRequestTopic::default()
                };
                names.iter().map(topic).collect()
            }),
            allow_auto_topic_creation: matches!(topics, Topics::Named(_))
                && self.shared.config.auto_creation == AutoCreation::Allowed,
            ..MetadataRequest::default()
        };
        let response = connection.request(&request).await?;
        Error::check("metadata", response.error_code, None)?;
        let mut cache = self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metadata = Metadata::clone(&cache.metadata);
        metadata.merge(&response, topics);
        cache.metadata = Arc::new(metadata);
        cache.generation += 1;
        cache.refreshed_at = Some(Instant::now());
        Ok(cache.metadata.clone())
    }

    /// Returns metadata that holds these topics, from the cache while it is young enough, and waits for topics that are not there yet.
    ///
    /// # Errors
    /// [`Error::Broker`] for a topic that stays unknown or may not be seen, [`Error::GaveUp`].
    pub async fn topics(&self, names: &[String]) -> Result<Arc<Metadata>, Error> {
        let cache = self.cache();
        let is_young =
            cache.refreshed_at.is_some_and(|at| at.elapsed() < self.shared.config.metadata_max_age);
        if is_young && check_topics(&cache.metadata, names).is_ok() {
            return Ok(cache.metadata);
        }
        let config = &self.shared.config;
        let time = match config.auto_creation {
            AutoCreation::Allowed => config.api_timeout,
            // A topic that was just made is known everywhere after moments; one that nobody made never comes.
            AutoCreation::Denied => config.api_timeout.min(UNKNOWN_TOPIC_PATIENCE),
        };
        Backoff::new(config.retry_backoff, time)
            .run(Error::is_retriable, || async {
                let metadata = self.refresh_metadata(Topics::Named(names)).await?;
                check_topics(&metadata, names)?;
                Ok(metadata)
            })
            .await
    }

    /// Returns the leader of a partition and its leader epoch as it is known, refreshed when there is none.
    ///
    /// # Errors
    /// [`Error::Broker`] when the partition does not exist or has no leader now; try again.
    pub(crate) async fn leader(&self, partition: &TopicPartition) -> Result<BrokerId, Error> {
        let known = |metadata: &Metadata| {
            metadata
                .partition(&partition.topic, partition.partition)
                .and_then(|partition| partition.leader)
        };
        if let Some(leader) = known(&self.metadata()) {
            return Ok(leader);
        }
        let names = [partition.topic.clone()];
        let metadata = self.refresh_metadata(Topics::Named(&names)).await?;
        check_topics(&metadata, &names)?;
        known(&metadata).ok_or_else(|| {
            let exists = metadata.partition(&partition.topic, partition.partition).is_some();
            let code = if exists {
                ErrorCode::LeaderNotAvailable
            } else {
                ErrorCode::UnknownTopicOrPartition
            };
            Error::Broker { subject: partition.to_string(), code, message: None }
        })
    }

    /// Returns a connection to a broker.
    ///
    /// # Errors
    /// [`RequestError::UnknownBroker`] when metadata does not know it, [`RequestError::Connect`].
    pub(crate) async fn connection(&self, broker: BrokerId) -> Result<Connection, RequestError> {
        let metadata = self.metadata();
        let Some(known) = metadata.brokers.get(&broker) else {
            return Err(RequestError::UnknownBroker { broker });
        };
        self.connect(&known.address).await
    }

    /// Returns the connection to a broker if it is open, without waiting for one.
    #[must_use]
    pub(crate) fn open_connection(&self, broker: BrokerId) -> Option<Connection> {
        let metadata = self.metadata();
        self.slot(&metadata.brokers.get(&broker)?.address).open_now()
    }

    /// Returns a connection to any live broker: one that is open, else the first that can be opened, known brokers before the bootstrap servers.
    ///
    /// # Errors
    /// The error of the last address, when none can be connected to.
    pub(crate) async fn any_connection(&self) -> Result<Connection, RequestError> {
        let metadata = self.metadata();
        let known = metadata.brokers.values().map(|broker| &broker.address);
        let addresses: Vec<_> =
            known.chain(&self.shared.config.bootstrap_servers).cloned().collect();
        let open = addresses.iter().find_map(|address| self.slot(address).open_now());
        if let Some(connection) = open {
            return Ok(connection);
        }
        let mut last = None;
        for address in &addresses {
            match self.connect(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| RequestError::Connect {
            address: "the cluster".to_owned(),
            reason: "no bootstrap server is configured".to_owned(),
        }))
    }

    /// Runs an operation until it succeeds, fails for good, or `default.api.timeout.ms` is over.
    ///
    /// # Errors
    /// The operation's last, or [`Error::GaveUp`] around it.
    pub async fn retry<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        self.backoff().run(Error::is_retriable, attempt).await
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.shared.config.retry_backoff, self.shared.config.api_timeout)
    }

    /// Returns the connection to an address, opened when there is none.
    pub(crate) async fn connect(&self, address: &str) -> Result<Connection, RequestError> {
        let (client, wanted) = (self.clone(), address.to_owned());
        let opening = async move {
            let (config, tasks) = (&client.shared.config, &client.shared.tasks);
            Connection::open(&wanted, config, tasks).await
        };
        let opened = self.slot(address).get(&self.shared.tasks, opening).await;
        opened.unwrap_or_else(|_| {
            let reason = "the client is stopped".to_owned();
            Err(RequestError::Connect { address: address.to_owned(), reason })
        })
    }

    fn slot(&self, address: &str) -> ConnectionSlot {
        let mut connections =
            self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.entry(address.to_owned()).or_default().clone()
    }

    fn cache(&self) -> Cache {
        self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How long a topic that is unknown is asked for, unless it may be created by that.
const UNKNOWN_TOPIC_PATIENCE: Duration = Duration::from_secs(5);

fn topics_known(metadata: &Metadata, topics: Topics<'_>) -> bool {
    match topics {
        Topics::All => false,
        Topics::None => true,
        Topics::Named(names) => names.iter().all(|name| metadata.topics.contains_key(name)),
    }
}

fn check_topics(metadata: &Metadata, names: &[String]) -> Result<(), Error> {
    for name in names {
        let code = metadata
            .topics
            .get(name)
            .map_or(ErrorCode::UnknownTopicOrPartition, |topic| topic.error_code);
        Error::check(format!("topic {name}"), code, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::time::timeout;

    use super::*;
    use crate::fake_broker::{FakeBroker, Faults, TOPIC};

    /// Polls a future once, as far as it gets without waiting.
    async fn poll_once<F: Future + Unpin>(future: &mut F) {
        std::future::poll_fn(|context| {
            let _state = std::pin::Pin::new(&mut *future).poll(context);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_request_that_nobody_polls_any_more_holds_up_no_other() {
        let broker = FakeBroker::start(1, Faults::default()).await;
        let client = broker.client();
        let names = [TOPIC.to_owned()];
        // They stop in the middle of connecting, as a consumer's fetches do while its user works.
        let mut connecting = Box::pin(client.any_connection());
        poll_once(&mut connecting).await;
        let mut refreshing = Box::pin(client.refresh_metadata(Topics::Named(&names)));
        poll_once(&mut refreshing).await;
        let asked = timeout(Duration::from_secs(10), client.refresh_metadata(Topics::All));
        asked.await.expect("nothing is held up").unwrap();
        drop((connecting, refreshing));
    }
}
