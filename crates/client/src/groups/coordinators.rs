//! Finds the brokers that keep groups or transactional ids, and asks them until they answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use model::BrokerId;
use protocol::ApiKey;
use protocol::codec::KafkaString;
use protocol::messages::find_coordinator::{GROUP_KEY_TYPE, TRANSACTION_KEY_TYPE};
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use tokio::time::timeout_at;

use super::{Coordinator, subject};
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, RequestError};
use crate::wire::address;

/// One result for each group, or transactional id, that was asked about.
pub(crate) type ByGroup<T> = BTreeMap<String, Result<T, Error>>;

/// What a coordinator keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CoordinatorKind {
    /// Groups.
    Group,
    /// Transactional ids.
    Transaction,
}

/// A group or a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoordinatorKey {
    pub(crate) kind: CoordinatorKind,
    pub(crate) name: String,
}

impl CoordinatorKind {
    fn key_type(self) -> i8 {
        match self {
            Self::Group => GROUP_KEY_TYPE,
            Self::Transaction => TRANSACTION_KEY_TYPE,
        }
    }

    /// Names one in an error.
    pub(crate) fn subject(self, name: &str) -> String {
        match self {
            Self::Group => subject(name),
            Self::Transaction => format!("transactional id {name}"),
        }
    }
}

impl CoordinatorKey {
    pub(crate) fn of_group(group: &str) -> Self {
        Self { kind: CoordinatorKind::Group, name: group.to_owned() }
    }

    pub(crate) fn of_transactional_id(id: &str) -> Self {
        Self { kind: CoordinatorKind::Transaction, name: id.to_owned() }
    }

    /// Names it in an error.
    pub(crate) fn subject(&self) -> String {
        self.kind.subject(&self.name)
    }
}

impl Client {
    /// Returns the coordinators of groups. Asking creates the topic of the offsets where it does not exist yet.
    ///
    /// # Errors
    /// [`Error::Broker`] of the first group whose coordinator cannot be told, [`Error::GaveUp`].
    pub async fn find_coordinators(
        &self,
        groups: &[String],
    ) -> Result<BTreeMap<String, Coordinator>, Error> {
        let backoff = self.backoff();
        let deadline = backoff.deadline();
        let attempt = backoff.run(Error::is_retriable_at_coordinator, || async {
            let found = self
                .find_coordinators_once(CoordinatorKind::Group, groups, self.patience())
                .await?;
            found.into_iter().map(|(group, found)| Ok((group, found?))).collect()
        });
        timeout_at(deadline, attempt).await.unwrap_or_else(|_| Err(self.out_of_time(None)))
    }

    /// Asks once, for many keys in one request where the broker takes that; a broker that does not answer within `patience` is given up.
    pub(crate) async fn find_coordinators_once(
        &self,
        kind: CoordinatorKind,
        groups: &[String],
        patience: Duration,
    ) -> Result<ByGroup<Coordinator>, Error> {
        let connection = self.any_connection().await?;
        let version = connection.version(ApiKey::FindCoordinator)?;
        if version < FIRST_WITH_KEY_TYPE && kind != CoordinatorKind::Group {
            let address = connection.address().to_owned();
            return Err(RequestError::Unsupported { address, api: ApiKey::FindCoordinator }.into());
        }
        let key_type = kind.key_type();
        let mut found = BTreeMap::new();
        if version >= FIRST_OF_MANY_KEYS {
            for groups in groups.chunks(GROUPS_PER_REQUEST) {
                let coordinator_keys = groups.iter().map(KafkaString::from).collect();
                let request = FindCoordinatorRequest {
                    key_type,
                    coordinator_keys,
                    ..FindCoordinatorRequest::default()
                };
                let response = find(&connection, &request, patience).await?;
                found.extend(many_found(kind, &response));
            }
        } else {
            for group in groups {
                let key = group.into();
                let request =
                    FindCoordinatorRequest { key, key_type, ..FindCoordinatorRequest::default() };
                let response = find(&connection, &request, patience).await?;
                found.insert(group.clone(), one_found(kind, group, &response));
            }
        }
        // A group that the answer leaves out must not be forgotten.
        for group in groups {
            let missing = || Err(Error::unnamed(kind.subject(group)));
            found.entry(group.clone()).or_insert_with(missing);
        }
        Ok(found)
    }

    /// Asks the coordinators about groups: `ask` gets a connection and the groups that are kept there, at most [`GROUPS_PER_REQUEST`], and returns
    /// one result for each. A group whose result says that its coordinator is elsewhere or not ready is asked about again until the time is up.
    pub(super) async fn ask_coordinators<T, F>(
        &self,
        groups: &[String],
        ask: impl Fn(Connection, Coordinator, Vec<String>) -> F,
    ) -> ByGroup<T>
    where
        F: Future<Output = Result<ByGroup<T>, Error>>,
    {
        self.ask_coordinators_of(CoordinatorKind::Group, groups, ask).await
    }

    /// The same of groups or transactional ids.
    pub(crate) async fn ask_coordinators_of<T, F>(
        &self,
        kind: CoordinatorKind,
        groups: &[String],
        ask: impl Fn(Connection, Coordinator, Vec<String>) -> F,
    ) -> ByGroup<T>
    where
        F: Future<Output = Result<ByGroup<T>, Error>>,
    {
        let mut backoff = self.backoff();
        let deadline = backoff.deadline();
        let mut done = BTreeMap::new();
        let mut open: Vec<String> = groups.to_vec();
        let mut last = None;
        while !open.is_empty() {
            let round = timeout_at(deadline, self.ask_once(kind, &open, &ask)).await;
            let Ok(answers) = round else {
                let failure = self.out_of_time(last);
                done.extend(open.drain(..).map(|group| (group, Err(failure.clone()))));
                break;
            };
            open.clear();
            for (group, answer) in answers {
                match answer {
                    Err(failure) if failure.is_retriable_at_coordinator() => {
                        open.push(group);
                        last = Some(failure);
                    }
                    answer => {
                        done.insert(group, answer);
                    }
                }
            }
            if let Some(failure) = last.clone()
                && !open.is_empty()
                && let Err(failure) = backoff.after(failure).await
            {
                done.extend(open.drain(..).map(|group| (group, Err(failure.clone()))));
            }
        }
        done
    }

    async fn ask_once<T, F>(
        &self,
        kind: CoordinatorKind,
        groups: &[String],
        ask: &impl Fn(Connection, Coordinator, Vec<String>) -> F,
    ) -> ByGroup<T>
    where
        F: Future<Output = Result<ByGroup<T>, Error>>,
    {
        let found = match self.find_coordinators_once(kind, groups, self.patience()).await {
            Ok(found) => found,
            Err(failure) => {
                return groups.iter().map(|group| (group.clone(), Err(failure.clone()))).collect();
            }
        };
        let mut answers = BTreeMap::new();
        let mut by_coordinator = BTreeMap::<Coordinator, Vec<String>>::new();
        for (group, coordinator) in found {
            match coordinator {
                Ok(coordinator) => by_coordinator.entry(coordinator).or_default().push(group),
                Err(failure) => {
                    answers.insert(group, Err(failure));
                }
            }
        }
        let asked = by_coordinator
            .into_iter()
            .map(|(coordinator, groups)| self.ask_coordinator(kind, coordinator, groups, ask));
        answers.extend(join_all(asked).await.into_iter().flatten());
        answers
    }

    async fn ask_coordinator<T, F>(
        &self,
        kind: CoordinatorKind,
        coordinator: Coordinator,
        groups: Vec<String>,
        ask: &impl Fn(Connection, Coordinator, Vec<String>) -> F,
    ) -> ByGroup<T>
    where
        F: Future<Output = Result<ByGroup<T>, Error>>,
    {
        let mut answers = BTreeMap::new();
        for groups in groups.chunks(GROUPS_PER_REQUEST) {
            let answer = match self.connect(&coordinator.address).await {
                Ok(connection) => ask(connection, coordinator.clone(), groups.to_vec()).await,
                Err(error) => Err(error.into()),
            };
            match answer {
                Ok(answer) => answers.extend(answer),
                Err(failure) => {
                    answers
                        .extend(groups.iter().map(|group| (group.clone(), Err(failure.clone()))));
                }
            }
            for group in groups {
                let missing = || Err(Error::unnamed(kind.subject(group)));
                answers.entry(group.clone()).or_insert_with(missing);
            }
        }
        answers
    }

    /// Asks the coordinator of one group.
    pub(super) async fn ask_about<T, F>(
        &self,
        group: &str,
        ask: impl Fn(Connection) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let ask = &ask;
        let mut answers = self
            .ask_coordinators(&[group.to_owned()], |connection, _, _| async move {
                Ok(BTreeMap::from([(group.to_owned(), ask(connection).await)]))
            })
            .await;
        answers.remove(group).unwrap_or_else(|| Err(Error::unnamed(subject(group))))
    }

    /// How long one of several brokers may be silent: short enough to ask another one in time.
    pub(crate) fn patience(&self) -> Duration {
        self.config().request_timeout.min(self.config().api_timeout / 3)
    }

    fn out_of_time(&self, last: Option<Error>) -> Error {
        let after = self.config().api_timeout;
        let silence = || {
            let address = "the coordinator".to_owned();
            RequestError::Timeout { address, api: ApiKey::FindCoordinator, after }.into()
        };
        Error::GaveUp { after, last: Box::new(last.unwrap_or_else(silence)) }
    }
}

async fn find(
    connection: &Connection,
    request: &FindCoordinatorRequest,
    patience: Duration,
) -> Result<FindCoordinatorResponse, RequestError> {
    connection.submit(request, Duration::ZERO).await?.within(patience).response().await
}

fn many_found(
    kind: CoordinatorKind,
    response: &FindCoordinatorResponse,
) -> impl Iterator<Item = (String, Result<Coordinator, Error>)> {
    response.coordinators.iter().map(move |found| {
        let group = String::from(&found.key);
        let message = found.error_message.as_deref();
        let coordinator = Error::check(kind.subject(&group), found.error_code, message)
            .map(|()| coordinator(found.node_id, &found.host, found.port));
        (group, coordinator)
    })
}

fn one_found(
    kind: CoordinatorKind,
    group: &str,
    response: &FindCoordinatorResponse,
) -> Result<Coordinator, Error> {
    let message = response.error_message.as_deref();
    Error::check(kind.subject(group), response.error_code, message)?;
    Ok(coordinator(response.node_id, &response.host, response.port))
}

fn coordinator(node_id: i32, host: &KafkaString, port: i32) -> Coordinator {
    Coordinator { broker: BrokerId(node_id), address: address(host, port) }
}

/// From version 1 on a request says what its keys are.
const FIRST_WITH_KEY_TYPE: i16 = 1;

/// From version 4 on a request names many keys (KIP-699).
const FIRST_OF_MANY_KEYS: i16 = 4;

/// Groups that one request names, so that an answer about many stays small; the rest waits for it.
const GROUPS_PER_REQUEST: usize = 500;
