//! Waits until groups have come to the end, so that a record which none of their members got can be told from one that is on its way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;

use super::client::{self, QUESTION_PATIENCE, Quiet};
use super::plan::{Isolation, TopicPlan};
use super::{WorkloadError, member, numbers};
use crate::history::{Action, Partition, Recorder};

const NAME: &str = "group-ends";
const NAP: Duration = Duration::from_millis(100);

/// Waits until a group has committed the end of each partition of a topic to which nobody writes any more, for at most so long; then notes
/// that it should have.
///
/// # Errors
/// [`WorkloadError::Client`], and [`WorkloadError::Impatient`] when the cluster does not even tell what is committed.
pub(crate) fn await_group(
    bootstrap: &str,
    group: &str,
    topic: &TopicPlan,
    recorder: &Recorder,
    patience: Duration,
) -> Result<(), WorkloadError> {
    let deadline = Instant::now() + patience;
    // It never joins: it only asks.
    let asker: BaseConsumer<Quiet> =
        client::reading(bootstrap, NAME, group, Isolation::ReadUncommitted)
            .create_with_context(Quiet)
            .map_err(|source| WorkloadError::Client { client: NAME.to_owned(), source })?;
    for partition in numbers::partitions(&topic.name, topic.partitions) {
        loop {
            let is_late = Instant::now() >= deadline;
            match has_ended(&asker, &partition) {
                Ok(false) if !is_late => std::thread::sleep(NAP),
                Ok(_) => break,
                Err(error) if is_late => {
                    return Err(WorkloadError::Impatient {
                        what: format!("the delivery of {partition} to group {group}"),
                        seconds: patience.as_secs(),
                        reason: error.to_string(),
                    });
                }
                Err(_) => std::thread::sleep(NAP),
            }
        }
        let action = Action::GroupEnd { group: group.to_owned(), partition };
        recorder.mark(&Arc::from(NAME), action);
    }
    Ok(())
}

fn has_ended(asker: &BaseConsumer<Quiet>, partition: &Partition) -> KafkaResult<bool> {
    let (low, high) =
        asker.fetch_watermarks(&partition.topic, partition.number, QUESTION_PATIENCE)?;
    let mut list = TopicPartitionList::new();
    list.add_partition(&partition.topic, partition.number);
    let committed = asker.committed_offsets(list, QUESTION_PATIENCE)?;
    let offset = member::offset_of(&committed)?;
    Ok(high <= low || offset.is_some_and(|offset| offset >= high))
}
