//! The links between brokers and to the controller: streams that delay, duplicate, reorder and break.
//!
//! A replication stream is a connection of two processes. What is lost breaks it; what was sent before may still arrive, even after
//! its successor was opened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{BrokerId, Timestamp};

use crate::simulator::random::Random;

/// One stream from a follower's process to a leader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) follower_incarnation: u64,
    pub(super) leader_incarnation: u64,
    /// When the last message of each direction arrives: without a reordering, none overtakes it.
    last_arrival: [Timestamp; 2],
}

/// Which way a message goes on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToLeader = 0,
    ToFollower = 1,
}

/// When copies of a message arrive: none if it is lost, two if it is duplicated.
pub(super) type Arrivals = Vec<Timestamp>;

/// State of all links.
#[derive(Debug)]
pub(super) struct Network {
    /// Open streams by (follower, leader).
    pub(super) streams: BTreeMap<(BrokerId, BrokerId), Connection>,
    /// Pairs that cannot reach one another, each in both orders.
    pub(super) cut: BTreeSet<(BrokerId, BrokerId)>,
    /// Brokers that cannot reach the controller.
    pub(super) cut_from_controller: BTreeSet<BrokerId>,
    /// Brokers that reach the controller but get no images from it.
    pub(super) without_images: BTreeSet<BrokerId>,
    /// Longest usual delay in microseconds.
    pub(super) latency_micros: u64,
    /// Messages of a hundred thousand that break their stream, arrive twice, or overtake others.
    pub(super) loss: u64,
    pub(super) duplication: u64,
    pub(super) reordering: u64,
    next_connection: u64,
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            streams: BTreeMap::new(),
            cut: BTreeSet::new(),
            cut_from_controller: BTreeSet::new(),
            without_images: BTreeSet::new(),
            latency_micros: 1_000,
            loss: 0,
            duplication: 0,
            reordering: 0,
            next_connection: 1,
        }
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.cut_from_controller.clear();
        self.without_images.clear();
        self.latency_micros = 1_000;
        (self.loss, self.duplication, self.reordering) = (0, 0, 0);
    }

    pub(super) fn cut(&mut self, one: BrokerId, other: BrokerId) {
        self.cut.insert((one, other));
        self.cut.insert((other, one));
    }

    pub(super) fn mend(&mut self, one: BrokerId, other: BrokerId) {
        self.cut.remove(&(one, other));
        self.cut.remove(&(other, one));
    }

    /// Opens a stream between two processes, in place of the last.
    pub(super) fn connect(
        &mut self,
        follower: (BrokerId, u64),
        leader: (BrokerId, u64),
    ) -> Connection {
        let connection = Connection {
            id: self.next_connection,
            follower_incarnation: follower.1,
            leader_incarnation: leader.1,
            last_arrival: [Timestamp::ZERO; 2],
        };
        self.next_connection += 1;
        self.streams.insert((follower.0, leader.0), connection);
        connection
    }

    /// Breaks every stream of a broker.
    pub(super) fn break_streams_of(&mut self, broker: BrokerId) {
        self.streams.retain(|(follower, leader), _| *follower != broker && *leader != broker);
    }

    /// Sends a message on a stream. `None` says that it broke the stream instead.
    pub(super) fn send(
        &mut self,
        now: Timestamp,
        stream: (BrokerId, BrokerId),
        direction: Direction,
        random: &mut Random,
    ) -> Option<Arrivals> {
        let is_lost = self.cut.contains(&stream) || random.below(100_000) < self.loss;
        if is_lost {
            self.streams.remove(&stream);
            return None;
        }
        let connection = self.streams.get_mut(&stream)?;
        let mut arrival = now + random.micros(50, self.latency_micros.max(100));
        let last = &mut connection.last_arrival[direction as usize];
        if random.below(100_000) >= self.reordering {
            arrival = arrival.max(*last);
            *last = arrival;
        }
        let mut arrivals = vec![arrival];
        if random.below(100_000) < self.duplication {
            arrivals.push(arrival + random.millis(0, 300));
        }
        Some(arrivals)
    }

    /// Sends a request or an answer outside the streams.
    pub(super) fn send_datagram(&self, now: Timestamp, random: &mut Random) -> Arrivals {
        if random.below(100_000) < self.loss * 3 {
            return Vec::new();
        }
        let mut arrivals = vec![now + random.micros(50, self.latency_micros.max(100))];
        if random.below(100_000) < self.duplication * 3 {
            arrivals.push(now + random.millis(1, 1500) + Duration::from_micros(1));
            if random.percent(50) {
                // Not twice, but late.
                arrivals.remove(0);
            }
        }
        arrivals
    }
}
