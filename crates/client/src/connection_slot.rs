//! A connection that several share: whoever finds it closed opens it, and the others wait for that one.
//!
//! It is opened in a task. Callers keep futures that they do not poll for a while; one of those that holds the lock, or stands in the queue for it, would hold
//! up everybody behind it.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinError;

use crate::config::Tasks;
use crate::connection::Connection;

/// The place of a connection; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionSlot {
    connection: Arc<Mutex<Option<Connection>>>,
}

impl ConnectionSlot {
    /// Returns the connection if it is open, without waiting for one.
    pub(crate) fn open_now(&self) -> Option<Connection> {
        let connection = self.connection.try_lock().ok()?;
        connection.as_ref().filter(|open| !open.is_closed()).cloned()
    }

    /// Returns the open connection, or what `open` makes.
    ///
    /// # Errors
    /// [`JoinError`] when the tasks are ended from outside.
    pub(crate) async fn get<E: Send + 'static>(
        &self,
        tasks: &Tasks,
        open: impl Future<Output = Result<Connection, E>> + Send + 'static,
    ) -> Result<Result<Connection, E>, JoinError> {
        if let Some(connection) = self.open_now() {
            return Ok(Ok(connection));
        }
        let slot = self.connection.clone();
        let opening = tasks.tracker.spawn(async move {
            let mut slot = slot.lock().await;
            if let Some(connection) = slot.as_ref().filter(|open| !open.is_closed()) {
                return Ok(connection.clone());
            }
            let connection = open.await?;
            *slot = Some(connection.clone());
            Ok(connection)
        });
        opening.await
    }
}
