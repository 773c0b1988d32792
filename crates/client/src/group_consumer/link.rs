//! A connection of a member's own to the coordinator of its group.
//!
//! Not one of the client's shared connections: a broker answers in order, so a heartbeat or a commit would wait behind a fetch that waits for records,
//! and everything would wait behind a JoinGroup, which takes as long as the rebalance.

use std::time::Duration;

use protocol::ApiRequest;

use crate::client::Client;
use crate::connection::Connection;
use crate::connection_slot::ConnectionSlot;
use crate::error::{Error, RequestError};
use crate::groups::subject;

/// The connection; opened when it is needed, and looked for again after a failure.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    group_id: String,
    /// Silence after which a broker is given up.
    patience: Duration,
    connection: ConnectionSlot,
}

impl Link {
    pub(super) fn new(client: Client, group_id: String, patience: Duration) -> Self {
        Self { client, group_id, patience, connection: ConnectionSlot::default() }
    }

    /// Asks the coordinator once; the answer may take `extra_time` longer than the patience. `check` takes the error out of
    /// the answer: when that says that the coordinator is elsewhere, the next question looks for it.
    ///
    /// # Errors
    /// [`Error`] of the request, or what `check` makes of the answer.
    pub(super) async fn ask<R: ApiRequest, T>(
        &self,
        request: &R,
        extra_time: Duration,
        check: impl FnOnce(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let connection = self.connection().await?;
        let answer = match self.ask_on(&connection, request, extra_time).await {
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
        request: &R,
        extra_time: Duration,
    ) -> Result<R::Response, RequestError> {
        let pending = connection.submit(request, extra_time).await?;
        pending.within(self.patience + extra_time).response().await
    }

    async fn connection(&self) -> Result<Connection, Error> {
        let (client, group_id, patience) =
            (self.client.clone(), self.group_id.clone(), self.patience);
        let opening = async move { open(&client, &group_id, patience).await };
        let opened = self.connection.get(self.client.tasks(), opening).await;
        opened.unwrap_or(Err(Error::Stopped))
    }
}

async fn open(client: &Client, group_id: &String, patience: Duration) -> Result<Connection, Error> {
    let group = std::slice::from_ref(group_id);
    let mut found = client.find_coordinators_once(group, patience).await?;
    let coordinator =
        found.remove(group_id).unwrap_or_else(|| Err(Error::unnamed(subject(group_id))))?;
    Ok(Connection::open(&coordinator.address, client.config(), client.tasks()).await?)
}
