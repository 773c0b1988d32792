//! A connection of a member's own to the coordinator of its group.
//!
//! Not one of the client's membership connections: a broker answers in order, so a heartbeat or a commit would wait behind a fetch that waits for records,
//! and everything would wait behind a JoinGroup, which takes as long as the rebalance.

use std::sync::Arc;
use std::time::Duration;

use protocol::ApiRequest;
use tokio::sync::Mutex;

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, RequestError};
use crate::groups::subject;

/// The connection; opened when it is needed, and looked for again after a failure.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    group_id: String,
    /// Silence after which a broker is given up.
    patience: Duration,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Link {
    pub(super) fn new(client: Client, group_id: String, patience: Duration) -> Self {
        Self { client, group_id, patience, connection: Arc::default() }
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

    /// Returns the open connection, or opens one in a task: those who share the link wait for it, and whoever began it may not poll for a while.
    async fn connection(&self) -> Result<Connection, Error> {
        if let Ok(slot) = self.connection.try_lock()
            && let Some(open) = slot.as_ref().filter(|open| !open.is_closed())
        {
            return Ok(open.clone());
        }
        let (client, group_id) = (self.client.clone(), self.group_id.clone());
        let (patience, connection) = (self.patience, self.connection.clone());
        let opening = self.client.tasks().tracker.spawn(async move {
            let mut slot = connection.lock().await;
            if let Some(open) = slot.as_ref().filter(|open| !open.is_closed()) {
                return Ok(open.clone());
            }
            let opened = open(&client, &group_id, patience).await?;
            *slot = Some(opened.clone());
            Ok(opened)
        });
        opening.await.unwrap_or(Err(Error::Stopped))
    }
}

async fn open(client: &Client, group_id: &String, patience: Duration) -> Result<Connection, Error> {
    let group = std::slice::from_ref(group_id);
    let mut found = client.find_coordinators_once(group, patience).await?;
    let coordinator =
        found.remove(group_id).unwrap_or_else(|| Err(Error::unnamed(subject(group_id))))?;
    Ok(Connection::open(&coordinator.address, client.config(), client.tasks()).await?)
}
