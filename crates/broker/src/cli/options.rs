//! The options that every client command has: which cluster, how patiently, and in which form to answer.

use std::time::Duration;

use client::{AutoCreation, Client, ClientConfig, Tasks};

use super::failure::Failure;
use super::output::{Form, Output};
use super::values::parse_duration;

/// What every client command can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print JSON, one value per line.
    #[arg(long)]
    json: bool,
    /// Brokers to begin with, separated by commas; one that lives is enough.
    #[arg(
        short = 'b',
        long = "bootstrap-servers",
        alias = "bootstrap-server",
        env = "STEADFAST_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092",
        value_name = "HOST:PORT,..."
    )]
    bootstrap_servers: String,
    /// How long an operation goes on trying.
    #[arg(long, default_value = "15s", value_parser = parse_duration, value_name = "TIME")]
    timeout: Duration,
}

impl Options {
    /// Makes the client; nothing is connected yet. It creates no topic by naming it.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        self.client_with(AutoCreation::Denied)
    }

    /// Makes the client.
    pub(super) fn client_with(&self, auto_creation: AutoCreation) -> Result<Client, Failure> {
        let config = ClientConfig::new(&self.bootstrap_servers)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let config = ClientConfig {
            client_id: "steadfast-cli".to_owned(),
            api_timeout: self.timeout,
            auto_creation,
            ..config
        };
        Ok(Client::new(config, Tasks::default()))
    }

    /// Makes the writer of the command's answer.
    pub(super) fn output(&self) -> Output {
        Output::new(if self.json { Form::Json } else { Form::Text })
    }

    /// Returns how long an operation goes on trying.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the brokers to begin with, as they were given.
    pub(super) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}
