//! What a leader knows of one follower, and how it judges "caught up" by time.
//!
//! A follower was caught up at the latest sample of the leader's log end that its countable offset has reached. (Kafka compares with the end as of
//! the previous fetch, which fails where acknowledgements are coalesced within microseconds while an fsync takes milliseconds.)

use std::collections::VecDeque;
use std::time::Duration;

use model::{BrokerEpoch, Offset, Timestamp};

use super::event::{FollowerFetch, Generation};
use super::metadata::FlushPolicy;

/// How many samples, keep-alives and repeats fit in `replica.lag.time.max.ms`.
pub(super) const TICKS_PER_LAG: u32 = 10;

/// One follower as its leader knows it, in this leader epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FollowerProgress {
    /// Registration whose messages count; `None` until the image or a message names one.
    pub(super) broker_epoch: Option<BrokerEpoch>,
    /// Newest generation that was seen; older ones are dropped.
    pub(super) generation: Option<Generation>,
    /// What it has, once a position of it passed the divergence check in this leader epoch.
    pub(super) reported: Option<Reported>,
    /// When it last had all that the leader had. Never goes back in an epoch.
    pub(super) caught_up_at: Option<Timestamp>,
    /// When its flushed offset last grew.
    pub(super) flushed_at: Option<Timestamp>,
}

/// What a follower said it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    /// Its log end offset.
    pub(super) log_end_offset: Offset,
    /// Its flushed offset, at most the log end offset.
    pub(super) flushed_offset: Offset,
    /// Its log start offset.
    pub(super) log_start_offset: Offset,
}

impl Reported {
    /// Returns the offset that counts under the policy.
    pub(super) fn countable(&self, policy: FlushPolicy) -> Offset {
        match policy {
            FlushPolicy::EachMessage => self.flushed_offset,
            FlushPolicy::Deferred => self.log_end_offset,
        }
    }
}

impl From<&FollowerFetch> for Reported {
    fn from(fetch: &FollowerFetch) -> Self {
        Self {
            log_end_offset: fetch.fetch_offset,
            flushed_offset: fetch.flushed_offset.min(fetch.fetch_offset),
            log_start_offset: fetch.log_start_offset,
        }
    }
}

impl FollowerProgress {
    /// Knows nothing yet; a member of the ISR gets the lag time from the election on to show itself.
    pub(super) fn new(broker_epoch: Option<BrokerEpoch>, caught_up_at: Option<Timestamp>) -> Self {
        Self { broker_epoch, generation: None, reported: None, caught_up_at, flushed_at: None }
    }

    /// Forgets what an earlier registration reported. When it was caught up stays: time does not depend on who asks.
    pub(super) fn reset(&mut self, broker_epoch: Option<BrokerEpoch>) {
        *self = Self::new(broker_epoch, self.caught_up_at);
    }

    /// Takes in a position that passed the divergence check: it replaces what was known.
    pub(super) fn open(&mut self, fetch: &FollowerFetch) {
        self.generation = Some(fetch.generation);
        self.reported = Some(Reported::from(fetch));
    }

    /// Takes in a position or acknowledgement that failed the check: the generation is known, nothing counts.
    pub(super) fn refuse(&mut self, generation: Generation) {
        self.generation = Some(generation);
        self.reported = None;
    }

    /// Takes in an acknowledgement of the open generation. Within one, offsets only grow, so an overtaken one changes nothing.
    pub(super) fn acknowledge(&mut self, now: Timestamp, fetch: &FollowerFetch) {
        let new = Reported::from(fetch);
        let Some(reported) = self.reported.as_mut() else { return };
        if new.flushed_offset > reported.flushed_offset {
            self.flushed_at = Some(now);
        }
        reported.log_end_offset = reported.log_end_offset.max(new.log_end_offset);
        reported.flushed_offset = reported.flushed_offset.max(new.flushed_offset);
        reported.log_start_offset = reported.log_start_offset.max(new.log_start_offset);
    }

    /// Notes when the follower was caught up, by what it has now.
    pub(super) fn note_caught_up(&mut self, now: Timestamp, view: &LeaderView<'_>) {
        let Some(reported) = self.reported else { return };
        let countable = reported.countable(view.flush_policy);
        let at = if countable >= view.log_end_offset {
            Some(now)
        } else {
            view.samples.latest_reached(countable)
        };
        self.caught_up_at = self.caught_up_at.max(at);
    }

    /// Says whether the follower was caught up within the last `lag`.
    pub(super) fn is_caught_up(&self, now: Timestamp, lag: Duration) -> bool {
        self.caught_up_at.is_some_and(|at| now.since(at) <= lag)
    }
}

/// What a follower's progress is judged against.
#[derive(Debug)]
pub(super) struct LeaderView<'a> {
    pub(super) log_end_offset: Offset,
    pub(super) flush_policy: FlushPolicy,
    pub(super) samples: &'a LogEndSamples,
}

/// A ring of (time, log end offset): until that time, the leader's log ended there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogEndSamples {
    spacing: Duration,
    ring: VecDeque<(Timestamp, Offset)>,
}

impl LogEndSamples {
    /// Keeps samples over one `lag`.
    pub(super) fn new(lag: Duration) -> Self {
        Self { spacing: lag / TICKS_PER_LAG, ring: VecDeque::new() }
    }

    /// Notes where the log ends until `now`, right before it grows; once per spacing.
    pub(super) fn before_append(&mut self, now: Timestamp, log_end_offset: Offset) {
        if self.ring.back().is_some_and(|(at, _)| now.since(*at) < self.spacing) {
            return;
        }
        if self.ring.len() > TICKS_PER_LAG as usize {
            self.ring.pop_front();
        }
        self.ring.push_back((now, log_end_offset));
    }

    /// Returns the time of the latest sample that the offset has reached.
    fn latest_reached(&self, offset: Offset) -> Option<Timestamp> {
        self.ring.iter().rev().find(|(_, end)| *end <= offset).map(|(at, _)| *at)
    }
}
