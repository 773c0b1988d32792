//! A connection of one's own to a coordinator: of a member to that of its group, of a transactional producer to that of its id.
//!
//! Not one of the client's shared connections: a broker answers in order, so a heartbeat or a commit would wait behind a fetch that waits for records,
//! and everything would wait behind a JoinGroup, which takes as long as the rebalance.

use std::time::Duration;

use protocol::ApiRequest;

use crate::client::Client;
use crate::connection::Connection;
use crate::connection_slot::ConnectionSlot;
use crate::error::{Error, RequestError};
use crate::groups::coordinators::CoordinatorKey;

/// The connection; opened when it is needed, and looked for again after a failure.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    key: CoordinatorKey,
    /// Silence after which a broker is given up.
    patience: Duration,
    connection: ConnectionSlot,
}

impl Link {
    pub(crate) fn new(client: Client, key: CoordinatorKey, patience: Duration) -> Self {
        Self { client, key, patience, connection: ConnectionSlot::default() }
    }

    /// Asks the coordinator once; the answer may take `extra_time` longer than the patience. `check` takes the error out of
    /// the answer: when that says that the coordinator is elsewhere, the next question looks for it.
    ///
    /// # Errors
    /// [`Error`] of the request, or what `check` makes of the answer.
    pub(crate) async fn ask<R: ApiRequest, T>(
        &self,
        request: &R,
        extra_time: Duration,
        check: impl FnOnce(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.ask_up_to(i16::MAX, request, extra_time, check).await
    }

    /// The same in a version that is not newer than `newest`.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(crate) async fn ask_up_to<R: ApiRequest, T>(
        &self,
        newest: i16,
        request: &R,
        extra_time: Duration,
        check: impl FnOnce(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let connection = self.connection().await?;
        let answer = match self.ask_on(&connection, newest, request, extra_time).await {
            Ok(response) => check(response),
            Err(error) => Err(error.into()),
        };
        if answer.as_ref().is_err_and(Error::is_retriable_at_coordinator) {
            connection.close("the coordinator is looked for again");
        }
        answer
    }

    async fn ask_on<R: ApiRequest>(
        &self,
        connection: &Connection,
        newest: i16,
        request: &R,
        extra_time: Duration,
    ) -> Result<R::Response, RequestError> {
        let pending = connection.submit_up_to(newest, request, extra_time).await?;
        pending.within(self.patience + extra_time).response().await
    }

    /// Returns the connection, opened when there is none.
    ///
    /// # Errors
    /// [`Error`] of the search for the coordinator, or of the way to it.
    pub(crate) async fn connection(&self) -> Result<Connection, Error> {
        let (client, key, patience) = (self.client.clone(), self.key.clone(), self.patience);
        let opening = async move { open(&client, &key, patience).await };
        let opened = self.connection.get(self.client.tasks(), opening).await;
        opened.unwrap_or(Err(Error::Stopped))
    }
}

async fn open(
    client: &Client,
    key: &CoordinatorKey,
    patience: Duration,
) -> Result<Connection, Error> {
    let names = std::slice::from_ref(&key.name);
    let mut found = client.find_coordinators_once(key.kind, names, patience).await?;
    let coordinator =
        found.remove(&key.name).unwrap_or_else(|| Err(Error::unnamed(key.subject())))?;
    Ok(Connection::open(&coordinator.address, client.config(), client.tasks()).await?)
}
