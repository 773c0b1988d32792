//! The last look: after all faults have ended and all sends have completed, a fresh client reads every partition from its first record to
//! its high watermark. What it does not find is not there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;

use super::client::{self, QUESTION_PATIENCE, Quiet};
use super::consumer::reader_settings;
use super::plan::{Isolation, TopicPlan};
use super::{WorkloadError, member, numbers, record};
use crate::history::{Action, Kind, Partition, Read, Recorder, Role};

const NAME: &str = "final-reader";
const POLL_RECORDS: usize = 500;
const POLL_TIME: Duration = Duration::from_millis(200);
const NAP: Duration = Duration::from_millis(100);

/// Reads each partition of these topics through, as far as transactions are committed, and marks each one that is read.
///
/// # Errors
/// [`WorkloadError::Impatient`] when a partition could not be read through in time; those before it are marked.
pub(crate) fn final_read(
    bootstrap: &str,
    topics: &[TopicPlan],
    recorder: &Recorder,
    patience: Duration,
) -> Result<(), WorkloadError> {
    let client = |isolation| -> Result<BaseConsumer<Quiet>, WorkloadError> {
        client::reading(bootstrap, NAME, "lab-final-reader", isolation)
            .set("enable.partition.eof", "true")
            .create_with_context(Quiet)
            .map_err(|source| WorkloadError::Client { client: NAME.to_owned(), source })
    };
    let process: Arc<str> = Arc::from(NAME);
    let final_reader = FinalReader {
        reader: client(Isolation::ReadCommitted)?,
        asker: client(Isolation::ReadUncommitted)?,
        recorder,
        deadline: Instant::now() + patience,
        process: Arc::clone(&process),
    };
    let settings = reader_settings(Role::FinalReader, Isolation::ReadCommitted, None);
    recorder.mark(&process, Action::Start { settings });
    let mut partitions =
        topics.iter().flat_map(|topic| numbers::partitions(&topic.name, topic.partitions));
    let read = partitions.try_for_each(|partition| {
        final_reader.read_through(&partition).map_err(|reason| WorkloadError::Impatient {
            what: format!("the final read of {partition}"),
            seconds: patience.as_secs(),
            reason,
        })
    });
    recorder.mark(&process, Action::Stop);
    read
}

struct FinalReader<'a> {
    reader: BaseConsumer<Quiet>,
    asker: BaseConsumer<Quiet>,
    recorder: &'a Recorder,
    deadline: Instant,
    process: Arc<str>,
}

impl FinalReader<'_> {
    fn read_through(&self, partition: &Partition) -> Result<(), String> {
        let (from, to) = self.bounds(partition)?;
        self.assign(partition, from).map_err(|error| error.to_string())?;
        let mut next = from;
        let mut ends_seen = 0;
        let mut reason = String::from("no record came");
        while next < to {
            if Instant::now() >= self.deadline {
                return Err(format!("it stands at {next} of {to}: {reason}"));
            }
            let (records, trouble) = self.poll(partition);
            if let Some((offset, _)) = records.last() {
                next = offset + 1;
            }
            self.record(partition, records);
            match trouble {
                // Markers of transactions and what was aborted have offsets and are never handed out. A first end may be that of a
                // leader that did not know the high watermark yet; the second, looked for when it does, is the end.
                Some(KafkaError::PartitionEOF(_)) if next < to => {
                    ends_seen += 1;
                    if ends_seen > 1 {
                        break;
                    }
                    self.committed_up_to(partition, to)?;
                    self.reassign(partition, next).map_err(|error| error.to_string())?;
                }
                Some(error) => reason = error.to_string(),
                None => {}
            }
        }
        let partition = partition.clone();
        self.recorder.mark(&self.process, Action::ReadThrough { partition, from, to });
        Ok(())
    }

    /// The first offset, and the high watermark once every transaction below it has ended.
    fn bounds(&self, partition: &Partition) -> Result<(i64, i64), String> {
        let (low, high) = self.until_told(|| self.watermarks(&self.asker, partition))?;
        self.committed_up_to(partition, high)?;
        Ok((low, high))
    }

    /// Waits until the last stable offset has reached an offset.
    fn committed_up_to(&self, partition: &Partition, offset: i64) -> Result<(), String> {
        loop {
            let (_, stable) = self.until_told(|| self.watermarks(&self.reader, partition))?;
            if stable >= offset {
                return Ok(());
            }
            if Instant::now() >= self.deadline {
                return Err(format!("an open transaction holds it at {stable} of {offset}"));
            }
            std::thread::sleep(NAP);
        }
    }

    fn watermarks(
        &self,
        client: &BaseConsumer<Quiet>,
        partition: &Partition,
    ) -> KafkaResult<(i64, i64)> {
        client.fetch_watermarks(&partition.topic, partition.number, QUESTION_PATIENCE)
    }

    fn until_told<T>(&self, ask: impl Fn() -> KafkaResult<T>) -> Result<T, String> {
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) if Instant::now() >= self.deadline => return Err(error.to_string()),
                Err(_) => std::thread::sleep(NAP),
            }
        }
    }

    fn assign(&self, partition: &Partition, offset: i64) -> KafkaResult<()> {
        self.reassign(partition, offset)?;
        let positions = vec![(partition.clone(), offset)];
        self.recorder.mark(&self.process, Action::Assign { positions });
        Ok(())
    }

    fn reassign(&self, partition: &Partition, offset: i64) -> KafkaResult<()> {
        self.reader.assign(&TopicPartitionList::new())?;
        let position = member::Positions::from([(partition.clone(), offset)]);
        self.reader.assign(&member::list(&position).unwrap_or_default())
    }

    /// What came within a short time, and what ended that.
    fn poll(&self, partition: &Partition) -> (Vec<(i64, u64)>, Option<KafkaError>) {
        let mut records = Vec::new();
        let until = Instant::now() + POLL_TIME;
        while records.len() < POLL_RECORDS {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.reader.poll(left) {
                Some(Ok(message)) => {
                    let value = record::decode(partition, message.payload());
                    records.push((message.offset(), value));
                }
                Some(Err(error)) => return (records, Some(error)),
                None => {}
            }
        }
        (records, None)
    }

    fn record(&self, partition: &Partition, records: Vec<(i64, u64)>) {
        if records.is_empty() {
            return;
        }
        let read = Read { partition: partition.clone(), records };
        let damage = member::damage(&read);
        let action = |reads| Action::Poll { reads, transaction: None };
        let op = self.recorder.invoke(&self.process, action(Vec::new()));
        self.recorder.complete(op, &self.process, (Kind::Ok, damage), action(vec![read]));
    }
}
