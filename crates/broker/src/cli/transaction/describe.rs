//! `steadfast transaction describe`: what transactional ids do.

use client::Client;
use client::transactions::TransactionDescription;
use model::Clock;
use serde_json::{Value, json};

use super::or_dash;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// Shows transactional ids, which must exist.
pub(super) async fn show(
    mut output: Output,
    client: &Client,
    ids: &[String],
) -> Result<(), Failure> {
    let mut answers = client.describe_transactions(ids).await;
    let now = Clock::start().wall().0;
    let mut values = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        // One that was given twice is shown once.
        let Some(answer) = answers.remove(id) else { continue };
        let what = format!("cannot describe transactional id {id}");
        let described = answer.map_err(Failure::cluster(what))?;
        if output.is_json() {
            values.push(json_of(&described, now));
            continue;
        }
        if index > 0 {
            output.line("")?;
        }
        print(&mut output, &described, now)?;
    }
    if output.is_json() {
        output.json(&Value::from(values))?;
    }
    output.flush()
}

/// Returns for how many milliseconds the transaction has been running.
fn running_ms(described: &TransactionDescription, now: i64) -> Option<i64> {
    described.started_at.map(|started| (now - started.0).max(0))
}

fn json_of(described: &TransactionDescription, now: i64) -> Value {
    let partitions = described.partitions.iter();
    let partitions: Value =
        partitions.map(|at| json!({ "topic": at.topic, "partition": at.partition })).collect();
    json!({
        "transactional_id": described.transactional_id,
        "coordinator": {
            "id": described.coordinator.broker.0,
            "address": described.coordinator.address,
        },
        "producer_id": described.producer_id.0,
        "producer_epoch": described.producer_epoch,
        "state": described.state.name(),
        "timeout_ms": u64::try_from(described.timeout.as_millis()).ok(),
        "start_time_ms": described.started_at.map(|started| started.0),
        "running_ms": running_ms(described, now),
        "partitions": partitions,
    })
}

fn print(output: &mut Output, described: &TransactionDescription, now: i64) -> Result<(), Failure> {
    output.line(&format!(
        "transactional id {}  {}  producer {} epoch {}  timeout {} ms  running {} ms  coordinator {} at {}",
        described.transactional_id,
        described.state.name(),
        described.producer_id,
        described.producer_epoch,
        described.timeout.as_millis(),
        or_dash(running_ms(described, now)),
        described.coordinator.broker,
        described.coordinator.address,
    ))?;
    if described.partitions.is_empty() {
        return Ok(());
    }
    let partitions = described.partitions.iter();
    let rows: Vec<_> =
        partitions.map(|at| vec![format!("  {}", at.topic), at.partition.to_string()]).collect();
    output.table(&["  TOPIC", "PARTITION"], &rows)
}
