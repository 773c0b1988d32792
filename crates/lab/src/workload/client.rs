//! How every client is configured, and how clients are named. What matters is set, librdkafka's defaults or not, so that a report can say
//! what was measured; short backoffs let a gap show the cluster and not the client.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::plan::Isolation;

/// Longest time that one question to the cluster (positions, watermarks, metadata) may take.
pub(super) const QUESTION_PATIENCE: Duration = Duration::from_secs(2);

/// How long a broker may leave a request without an answer before the client gives the connection up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that answers nothing and drops librdkafka's log: errors that matter come back from calls and in delivery reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// What all clients have in common.
pub(super) fn common(bootstrap: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", client_id)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "500")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("topic.metadata.refresh.fast.interval.ms", "100")
        .set("socket.timeout.ms", millis(REQUEST_TIMEOUT))
        .set("socket.connection.setup.timeout.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

/// What all clients that poll have in common; `group` is never joined by a client that assigns partitions to itself.
pub(super) fn reading(
    bootstrap: &str,
    client_id: &str,
    group: &str,
    isolation: Isolation,
) -> ClientConfig {
    let isolation = match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    };
    let mut config = common(bootstrap, client_id);
    config
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A position that is out of range is an event to write down, not one to pass over.
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.min.bytes", "1")
        .set("fetch.error.backoff.ms", "50")
        .set("queued.min.messages", "10000")
        .set("queued.max.messages.kbytes", "16384");
    config
}

/// What all clients that send have in common. `request.timeout.ms` is what the broker is told; the connection's own timeout must be longer.
pub(super) fn sending(bootstrap: &str, client_id: &str, delivery: Duration) -> ClientConfig {
    let mut config = common(bootstrap, client_id);
    config
        .set("delivery.timeout.ms", millis(delivery))
        .set("request.timeout.ms", millis(REQUEST_TIMEOUT.saturating_sub(Duration::from_secs(1))))
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "65536");
    config
}

pub(super) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// A client's name: it goes on as `name.2`, `name.3`, ... after a crash.
pub(super) fn process_name(name: &str, generation: u32) -> Arc<str> {
    match generation {
        1 => Arc::from(name),
        _ => Arc::from(format!("{name}.{generation}")),
    }
}
