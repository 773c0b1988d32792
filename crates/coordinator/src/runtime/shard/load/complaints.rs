//! What is told of a load that does not end: each kind at once, and again each minute for as long as it lasts.

use std::time::Duration;

use model::Offset;
use tokio::time::Instant;

use super::LoadError;
use crate::runtime::machine::Machine;
use crate::runtime::shard::ShardHandle;

/// When each kind was told last.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    damage: Reminder,
    delay: Reminder,
}

impl Complaints {
    pub(super) fn failed<M: Machine>(&mut self, shard: &ShardHandle<M>, error: &LoadError) {
        let partition = shard.name();
        if error.is_damage() {
            if self.damage.is_due(Instant::now()) {
                let cause = causes(error);
                tracing::error!(%partition, cause, "the log of a coordinator cannot be read, so what it coordinates is not served: stop this broker, so that another replica leads; if that one cannot read it either, keep the partition's directory and report this line");
            }
        } else if self.delay.is_due(Instant::now()) {
            let cause = causes(error);
            tracing::warn!(%partition, cause, "the load of a coordinator failed, trying again");
        }
    }

    pub(super) fn not_committed<M: Machine>(&mut self, shard: &ShardHandle<M>, end_offset: Offset) {
        if self.delay.is_due(Instant::now()) {
            let partition = shard.name();
            tracing::warn!(%partition, %end_offset, "a coordinator waits for replicas to commit its log's end, and does not serve before: see which of the partition's replicas are not in sync");
        }
    }
}

/// Lets something be told at first, then once a while.
#[derive(Debug, Default)]
struct Reminder {
    told_at: Option<Instant>,
}

impl Reminder {
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.told_at.is_none_or(|at| now.duration_since(at) >= REMINDER_INTERVAL);
        if is_due {
            self.told_at = Some(now);
        }
        is_due
    }
}

/// Returns an error with all its causes, on one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How often one is reminded of what lasts.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record_format;

    #[test]
    fn what_lasts_is_told_at_once_and_then_each_minute() {
        let (mut reminder, start) = (Reminder::default(), Instant::now());
        let told = [0, 1, 59, 60, 61, 119, 120, 500]
            .map(|seconds| reminder.is_due(start + Duration::from_secs(seconds)));
        assert_eq!(told, [true, false, false, true, false, false, true, true]);
    }

    #[test]
    fn a_damaged_record_is_named_with_its_offset_and_what_is_wrong_with_it() {
        let mut builder = model::record_batch::BatchBuilder::new(Default::default());
        let record = model::record_batch::NewRecord { key: Some(&[0, 1, 0]), ..Default::default() };
        builder.append(&record).expect("a record of three bytes fits");
        let batch = Bytes::from(builder.build().expect("so does its batch"));
        let error = record_format::decode(&batch).find_map(Result::err).expect("half a key");
        let error = LoadError::Record(Box::new(error));
        assert!(error.is_damage());
        let cause = causes(&error);
        let place = "a record is damaged: the key of the record at offset 0 cannot be read: ";
        let what = cause.strip_prefix(place).expect("it says where");
        assert!(what.starts_with("OffsetCommitKey.group"), "and what: {what}");
    }
}
