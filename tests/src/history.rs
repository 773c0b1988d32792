//! What a producer was told and what the log holds: records by number, and the judgement of one against the other.
//!
//! A record's number is its place in the producer's order. It travels in a header, so that values may repeat. Owns no
//! connection: [`crate::load`] fills a history and reads the log back.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What became of a record, as the producer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent; nothing is known yet.
    Pending,
    /// Acknowledged, at this offset if the broker told one (not with acks=0).
    Acked(Option<i64>),
    /// Given up with an error: it may be in the log or not.
    Failed,
}

/// All records of one producer.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By number.
    pub records: Vec<Sent>,
    /// How often each error was returned.
    pub errors: BTreeMap<String, u64>,
    /// The longest time between two acknowledgements of a partition, by partition.
    pub longest_gaps: Vec<Duration>,
    /// From the first send to the last outcome.
    pub elapsed: Duration,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The partition it was sent to.
    pub partition: i32,
    /// What became of it.
    pub outcome: Outcome,
}

/// A record as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its number; `None` when it bears none.
    pub number: Option<u64>,
    /// Whether key and value are those that were sent under that number.
    pub intact: bool,
}

/// The judgement. All of [`Verdict::is_clean`] is zero on a log that keeps its promises to an idempotent producer with acks=all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records that were sent.
    pub sent: u64,
    /// Records that were acknowledged.
    pub acked: u64,
    /// Records that failed with an error.
    pub failed: u64,
    /// Records in the log.
    pub read: u64,
    /// Acknowledged and not in the log.
    pub lost: u64,
    /// Copies beyond the first.
    pub duplicated: u64,
    /// Records behind one that was sent later to the same partition.
    pub out_of_order: u64,
    /// In the log, but nowhere at the offset that was acknowledged.
    pub misplaced: u64,
    /// In the log with another key, value or partition than was sent, or never sent at all.
    pub foreign: u64,
    /// The longest time between two acknowledgements of one partition.
    pub longest_gap: Duration,
    /// Numbers of some records that were lost, for the search.
    pub lost_numbers: Vec<u64>,
}

impl Verdict {
    /// Whether nothing acknowledged is lost, and nothing is in the log twice, elsewhere, out of order or altered.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        [self.lost, self.duplicated, self.out_of_order, self.misplaced, self.foreign]
            .iter()
            .all(|count| *count == 0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "sent {}, acked {}, failed {}, read {}, lost {}, duplicated {}, out of order {}, longest gap {} ms",
            self.sent,
            self.acked,
            self.failed,
            self.read,
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.longest_gap.as_millis(),
        )?;
        if self.misplaced + self.foreign > 0 {
            write!(formatter, ", misplaced {}, foreign {}", self.misplaced, self.foreign)?;
        }
        if !self.lost_numbers.is_empty() {
            write!(formatter, ", lost first: {:?}", self.lost_numbers)?;
        }
        Ok(())
    }
}

impl History {
    /// Number of records that were acknowledged.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.count(|outcome| matches!(outcome, Outcome::Acked(_)))
    }

    /// Number of records that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.count(|outcome| outcome == Outcome::Failed)
    }

    fn count(&self, wanted: impl Fn(Outcome) -> bool) -> u64 {
        as_count(self.records.iter().filter(|record| wanted(record.outcome)).count())
    }

    /// Judges what was found in the log; `found` is in the order of offsets within each partition.
    #[must_use]
    pub fn judge(&self, found: &[Found]) -> Verdict {
        let mut verdict = Verdict {
            sent: as_count(self.records.len()),
            acked: self.acked(),
            failed: self.failed(),
            read: as_count(found.len()),
            longest_gap: self.longest_gaps.iter().copied().max().unwrap_or_default(),
            ..Verdict::default()
        };
        let mut seen = vec![Seen::default(); self.records.len()];
        let mut newest = BTreeMap::<i32, u64>::new();
        for record in found {
            let sent = record.number.and_then(|number| {
                let index = usize::try_from(number).ok()?;
                Some((number, self.records.get(index)?, &mut seen[index]))
            });
            let Some((number, sent, seen)) = sent else {
                verdict.foreign += 1;
                continue;
            };
            if sent.partition != record.partition || !record.intact {
                verdict.foreign += 1;
                continue;
            }
            if seen.copies > 0 {
                verdict.duplicated += 1;
            } else {
                let newest = newest.entry(record.partition).or_insert(number);
                verdict.out_of_order += u64::from(number < *newest);
                *newest = (*newest).max(number);
            }
            seen.copies += 1;
            seen.in_place |= sent.outcome == Outcome::Acked(Some(record.offset));
        }
        for ((sent, seen), number) in self.records.iter().zip(&seen).zip(0_u64..) {
            let Outcome::Acked(offset) = sent.outcome else { continue };
            if seen.copies == 0 {
                verdict.lost += 1;
                if verdict.lost_numbers.len() < SHOWN_LOSSES {
                    verdict.lost_numbers.push(number);
                }
            } else if offset.is_some() && !seen.in_place {
                verdict.misplaced += 1;
            }
        }
        verdict
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    copies: u32,
    in_place: bool,
}

fn as_count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

/// Numbers of lost records that a verdict shows.
const SHOWN_LOSSES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn history(outcomes: &[Outcome]) -> History {
        let records =
            outcomes.iter().map(|outcome| Sent { partition: 0, outcome: *outcome }).collect();
        History { records, ..History::default() }
    }

    fn found(placed: &[(i64, u64)]) -> Vec<Found> {
        let record =
            |(offset, number)| Found { partition: 0, offset, number: Some(number), intact: true };
        placed.iter().copied().map(record).collect()
    }

    const ACKED: [Outcome; 3] =
        [Outcome::Acked(Some(0)), Outcome::Acked(Some(1)), Outcome::Acked(Some(2))];

    #[test]
    fn a_log_that_holds_everything_once_and_in_order_is_clean() {
        let verdict = history(&ACKED).judge(&found(&[(0, 0), (1, 1), (2, 2)]));
        assert!(verdict.is_clean(), "{verdict}");
        assert_eq!((verdict.sent, verdict.acked, verdict.read), (3, 3, 3));
    }

    #[test]
    fn an_acknowledged_record_that_is_not_there_is_lost_and_a_failed_one_is_not() {
        let mut outcomes = ACKED.to_vec();
        outcomes.push(Outcome::Failed);
        let verdict = history(&outcomes).judge(&found(&[(0, 0), (2, 2)]));
        assert_eq!((verdict.lost, verdict.lost_numbers.as_slice()), (1, &[1][..]));
        assert_eq!((verdict.failed, verdict.out_of_order), (1, 0));
    }

    #[test]
    fn a_second_copy_is_a_duplicate_and_does_not_count_as_order() {
        let verdict = history(&ACKED).judge(&found(&[(0, 0), (1, 1), (2, 2), (3, 0)]));
        assert_eq!((verdict.duplicated, verdict.out_of_order, verdict.lost), (1, 0, 0));
    }

    #[test]
    fn a_record_behind_a_later_one_is_out_of_order_and_not_where_it_was_acknowledged() {
        let verdict = history(&ACKED).judge(&found(&[(0, 0), (1, 2), (2, 1)]));
        assert_eq!((verdict.out_of_order, verdict.misplaced), (1, 2));
    }

    #[test]
    fn what_nobody_sent_or_what_was_altered_is_foreign() {
        let mut log = found(&[(0, 0), (1, 1), (2, 2), (3, 99)]);
        log[1].intact = false;
        log.push(Found { number: None, ..log[0] });
        log.push(Found { partition: 1, ..log[0] });
        let verdict = history(&ACKED).judge(&log);
        assert_eq!((verdict.foreign, verdict.lost), (4, 1));
    }
}
