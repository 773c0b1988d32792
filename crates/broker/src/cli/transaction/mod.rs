//! `steadfast transaction`: list, describe, producers, find-hanging, abort, terminate.

mod abort;
mod describe;
mod hanging;
mod producers;

use std::time::Duration;

use client::Client;
use client::transactions::{TransactionFilter, TransactionListing, TransactionState};
use model::ProducerId;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::Options;
use super::output::Output;
use super::values::parse_duration;

/// Arguments of `steadfast transaction`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the transactional ids and their states.
    List(List),
    /// Show what transactional ids do: state, timeout, since when, and in which partitions.
    Describe {
        /// The transactional ids.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Show the producers that a partition knows, and where their open transactions begin.
    Producers(producers::Producers),
    /// Find transactions that are open in a partition although no coordinator will end them.
    FindHanging(hanging::FindHanging),
    /// Abort a hanging transaction in one partition.
    Abort(abort::Abort),
    /// Fence the producer of a transactional id and abort its open transaction.
    Terminate {
        /// The transactional id.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only transactional ids in one of these states.
    #[arg(long, value_delimiter = ',', value_parser = parse_state, value_name = "STATE,...")]
    state: Vec<TransactionState>,
    /// Only those of this producer id; may be given several times.
    #[arg(long = "producer-id", value_name = "NUMBER")]
    producer_ids: Vec<i64>,
    /// Only those whose transaction has been running for longer than this.
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    running_longer_than: Option<Duration>,
    /// Only those that this regular expression matches from end to end.
    #[arg(long, value_name = "REGEX")]
    pattern: Option<String>,
    #[command(flatten)]
    options: Options,
}

fn parse_state(text: &str) -> Result<TransactionState, String> {
    let state = TransactionState::from_name(text);
    let names = TransactionState::names();
    if names.contains(&state.name()) {
        return Ok(state);
    }
    Err(format!("'{text}' is no state: give {}", names.join(", ")))
}

/// Runs `steadfast transaction`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::List(arguments) => arguments.run().await,
        Action::Describe { ids, options } => {
            describe::show(options.output(), &options.client()?, &ids).await
        }
        Action::Producers(arguments) => arguments.run().await,
        Action::FindHanging(arguments) => arguments.run().await,
        Action::Abort(arguments) => arguments.run().await,
        Action::Terminate { id, options } => {
            let what = format!("cannot terminate the transaction of {id}");
            let client = options.client()?;
            client.fence_producer(&id).await.map_err(Failure::cluster(what))?;
            let mut output = options.output();
            output.outcome("transactional_id", &id, "terminated")?;
            output.flush()
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let filter = TransactionFilter {
            states: self.state,
            producer_ids: self.producer_ids.into_iter().map(ProducerId).collect(),
            running_longer_than: self.running_longer_than,
            pattern: self.pattern,
        };
        let listed = list(&self.options.client()?, &filter).await?;
        show_list(self.options.output(), &listed)
    }
}

async fn list(
    client: &Client,
    filter: &TransactionFilter,
) -> Result<Vec<TransactionListing>, Failure> {
    let listed = client.list_transactions(filter).await;
    listed.map_err(Failure::cluster("cannot list transactions"))
}

fn show_list(mut output: Output, listed: &[TransactionListing]) -> Result<(), Failure> {
    let value = || -> Value {
        let listed = listed.iter().map(|it| {
            json!({
                "transactional_id": it.transactional_id,
                "coordinator": it.coordinator.0,
                "producer_id": it.producer_id.0,
                "state": it.state.name(),
            })
        });
        listed.collect()
    };
    output.answer(value, |output| {
        let rows = listed.iter().map(|it| {
            vec![
                it.transactional_id.clone(),
                it.coordinator.to_string(),
                it.producer_id.to_string(),
                it.state.name().to_owned(),
            ]
        });
        let rows: Vec<_> = rows.collect();
        output.table(&["TRANSACTIONAL-ID", "COORDINATOR", "PRODUCER-ID", "STATE"], &rows)
    })?;
    output.flush()
}

/// Shows a number, or a dash where there is none.
fn or_dash<T: ToString>(number: Option<T>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_known_in_any_case() {
        assert_eq!(parse_state("ongoing").unwrap().name(), "Ongoing");
        assert_eq!(parse_state("PREPAREABORT").unwrap().name(), "PrepareAbort");
        let error = parse_state("hanging").unwrap_err();
        assert!(error.contains("CompleteCommit"), "{error}");
    }
}
