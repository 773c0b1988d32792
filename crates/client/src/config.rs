//! What a client is made with.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where the client's tasks run and what ends them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// Waits for all tasks at a stop.
    pub tracker: TaskTracker,
    /// Ends all tasks.
    pub token: CancellationToken,
}

/// Settings of a [`Client`](crate::Client). The names are Kafka's.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `bootstrap.servers`: addresses `host:port` of brokers, at least one; any live one is enough.
    pub bootstrap_servers: Vec<String>,
    /// `client.id`: the client's name for itself in requests.
    pub client_id: String,
    /// `request.timeout.ms`: how long a response may take before the connection is given up. 30 s by default.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`: how long connecting to one address may take. 3 s by default.
    pub connect_timeout: Duration,
    /// `default.api.timeout.ms`: how long an operation goes on trying. 60 s by default.
    pub api_timeout: Duration,
    /// `retry.backoff.ms`: first wait between attempts; it doubles up to one second. 50 ms by default.
    pub retry_backoff: Duration,
    /// `metadata.max.age.ms`: age at which metadata is asked for again without a reason. 5 min by default.
    pub metadata_max_age: Duration,
    /// `allow.auto.create.topics`: whether naming a topic that does not exist may create it. Denied by default.
    pub auto_creation: AutoCreation,
    /// Largest response that is accepted, in bytes. 128 MiB by default.
    pub max_response_bytes: usize,
}

/// Whether topics may come into being by being named, where the cluster allows that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCreation {
    /// They may.
    Allowed,
    /// They may not.
    Denied,
}

impl ClientConfig {
    /// Makes the default settings for a comma-separated list of `host:port`; a host without a port means Kafka's port 9092.
    ///
    /// # Errors
    /// [`InvalidBootstrapServers`] names the part that is no address.
    pub fn new(bootstrap_servers: &str) -> Result<Self, InvalidBootstrapServers> {
        let bootstrap_servers = bootstrap_servers
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(parse_address)
            .collect::<Result<Vec<_>, _>>()?;
        if bootstrap_servers.is_empty() {
            return Err(InvalidBootstrapServers(String::new()));
        }
        Ok(Self {
            bootstrap_servers,
            client_id: "steadfast-client".to_owned(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(3),
            api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(50),
            metadata_max_age: Duration::from_secs(300),
            auto_creation: AutoCreation::Denied,
            max_response_bytes: 128 << 20,
        })
    }
}

/// A list of bootstrap servers that holds something that is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no bootstrap server: give host:port, several separated by commas")]
pub struct InvalidBootstrapServers(pub String);

fn parse_address(server: &str) -> Result<String, InvalidBootstrapServers> {
    let invalid = || InvalidBootstrapServers(server.to_owned());
    // A colon behind the closing bracket, if there is one, separates the port: "[::1]:9092".
    let behind_host = server.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = server[behind_host..].rfind(':') else {
        return Ok(format!("{server}:{DEFAULT_PORT}"));
    };
    let (host, port) = server.split_at(behind_host + colon);
    if host.is_empty() || port[1..].parse::<u16>().is_err() {
        return Err(invalid());
    }
    Ok(server.to_owned())
}

const DEFAULT_PORT: u16 = 9092;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_servers_are_addresses_with_kafkas_port_by_default() {
        let table: [(&str, &[&str]); 4] = [
            ("localhost:9092", &["localhost:9092"]),
            ("a, b:1 ,", &["a:9092", "b:1"]),
            ("[::1]:9093", &["[::1]:9093"]),
            ("[::1]", &["[::1]:9092"]),
        ];
        for (text, expected) in table {
            assert_eq!(ClientConfig::new(text).unwrap().bootstrap_servers, expected, "{text}");
        }
        for text in ["", ",", ":9092", "host:port", "host:70000"] {
            assert!(ClientConfig::new(text).is_err(), "{text}");
        }
    }
}
