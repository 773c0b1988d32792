//! How scripts show what the machine wants done.

use std::fmt::Display;

use model::{ErrorCode, TopicPartition};

use crate::transaction::ids::ProducerIdAndEpoch;
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::response::{Response, TransactionDescription};
use crate::transaction::state::TransactionResult;
use crate::transaction::{Action, MarkersToWrite, WriteId};

pub(super) fn action(action: &Action) -> Vec<String> {
    match action {
        Action::Append(WriteId(write), records) => {
            records.iter().map(|it| format!("append {write}: {}", record(it))).collect()
        }
        Action::Reply(id, answer, depends_on) => {
            vec![format!("reply {}{}: {}", id.0, after(*depends_on), response(answer))]
        }
        Action::WriteMarkers(wanted, depends_on) => {
            vec![format!("write markers{}: {}", after(*depends_on), markers(wanted))]
        }
        Action::DrawProducerId => vec!["draw a producer id".to_owned()],
    }
}

fn after(depends_on: Option<WriteId>) -> String {
    depends_on.map_or_else(String::new, |WriteId(write)| format!(" after {write}"))
}

fn markers(wanted: &MarkersToWrite) -> String {
    let MarkersToWrite { transactional_id, decision, producer, result, version, partitions } =
        wanted;
    let result = match result {
        TransactionResult::Commit => "commit",
        TransactionResult::Abort => "abort",
    };
    format!(
        "{transactional_id} {result} {producer} version={} decision={} {}",
        version.level(),
        decision.0,
        list(partitions)
    )
}

pub(super) fn record(record: &TransactionRecord) -> String {
    let value = record.value.as_ref().map_or_else(|| "tombstone".to_owned(), metadata);
    format!("{} {value}", record.transactional_id)
}

fn metadata(value: &TransactionMetadataRecord) -> String {
    let previous = value.previous_producer_id.filter(|id| *id != value.producer_id);
    format!(
        "{} {}/{}{}{} {} timeout={}ms updated={} started={} version={}",
        value.state,
        value.producer_id,
        value.producer_epoch,
        previous.map_or_else(String::new, |id| format!(" previous={id}")),
        value.next_producer_id.map_or_else(String::new, |id| format!(" next={id}")),
        list(&value.partitions),
        value.transaction_timeout.as_millis(),
        value.updated_at.0,
        option(value.started_at.map(|at| at.0)),
        value.client_version.level(),
    )
}

fn response(response: &Response) -> String {
    match response {
        Response::InitProducerId(result) => format!("init {}", identity(result)),
        Response::AddPartitions(code) => format!("add {code}"),
        Response::VerifyPartitions(codes) => format!("verify {}", list(codes)),
        Response::End(result) => format!("end {}", identity(result)),
        Response::Describe(None) => "describe: no such id".to_owned(),
        Response::Describe(Some(description)) => describe(description),
        Response::List(listed) => {
            let each = listed
                .iter()
                .map(|one| format!("{} {} {}", one.transactional_id, one.producer_id, one.state));
            format!("list {}", list(each))
        }
        Response::NeedsProducerId => "needs a producer id".to_owned(),
    }
}

fn identity(result: &Result<ProducerIdAndEpoch, ErrorCode>) -> String {
    match result {
        Ok(identity) => identity.to_string(),
        Err(code) => code.to_string(),
    }
}

fn describe(description: &TransactionDescription) -> String {
    let TransactionDescription {
        transactional_id,
        state,
        producer,
        transaction_timeout,
        started_at,
        partitions,
    } = description;
    format!(
        "describe {transactional_id} {state} {producer} timeout={}ms started={} {}",
        transaction_timeout.as_millis(),
        option(started_at.map(|at| at.0)),
        list(partitions)
    )
}

pub(super) fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn option(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// Reads `topic-number`.
pub(super) fn partition(text: &str) -> TopicPartition {
    let (topic, partition) = text.rsplit_once('-').expect("a topic, a dash and a number");
    let partition = partition.parse().expect("a partition's number");
    TopicPartition { topic: topic.to_owned(), partition }
}
