//! Administrative requests: topics, configuration, the cluster itself and its elections.
//!
//! Requests go to the broker that metadata names as the controller, which forwards them where it must. Each is tried again while the errors say so, after a
//! look for the controller; `TOPIC_ALREADY_EXISTS` after an attempt whose outcome is unknown is returned as it is.

mod cluster;
mod configs;
mod topics;

#[cfg(test)]
mod tests;

use std::time::Duration;

use protocol::ApiRequest;

use crate::client::Client;
use crate::connection::Connection;
use crate::error::Error;
use crate::metadata::Topics;
use crate::wire::millis;

pub use cluster::{BrokerDescription, ClusterDescription, Elected, Election};
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use topics::{CreatedTopic, NewTopic};

/// What a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Check, and do it.
    Apply,
    /// Check only.
    ValidateOnly,
}

impl Client {
    /// Asks the controller until it answers about the subject; `read` takes the error out of the answer.
    async fn operate<R: ApiRequest, T>(
        &self,
        request: &R,
        read: impl Fn(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let read = &read;
        let attempt = || async move {
            let answer = match self.controller_connection().await?.request(request).await {
                Ok(response) => read(response),
                Err(error) => Err(error.into()),
            };
            if answer.as_ref().is_err_and(Error::is_retriable_operation) {
                // The controller may have moved. Where nobody can say, the answer says more.
                let _ = self.refresh_metadata(Topics::None).await;
            }
            answer
        };
        self.backoff().run(Error::is_retriable_operation, attempt).await
    }

    async fn controller_connection(&self) -> Result<Connection, Error> {
        let mut metadata = self.metadata();
        if metadata.controller.is_none() {
            metadata = self.refresh_metadata(Topics::None).await?;
        }
        if let Some(controller) = metadata.controller
            && let Ok(connection) = self.connection(controller).await
        {
            return Ok(connection);
        }
        Ok(self.any_connection().await?)
    }

    /// Time that the broker may take for an operation: a little less than the response may take.
    fn operation_timeout_ms(&self) -> i32 {
        let margin = Duration::from_secs(1);
        let timeout = self.config().request_timeout.saturating_sub(margin).max(margin);
        millis(timeout)
    }
}
