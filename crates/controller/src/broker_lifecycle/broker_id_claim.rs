//! This process's claim to its broker id: it gives up when the active controller says for long that another process has it.
//!
//! Both may come to hear so: a second process that was given the first one's id, and a process that slept while another storage took its
//! place. Neither may wait for ever, because nothing but its operator will help it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::BrokerId;
use tokio::time::Instant;

use crate::failure::Failure;

/// Session timeouts after which the session of a process that died has ended, with room to spare.
const PATIENCE_SESSIONS: u32 = 3;

/// Counts for how long the broker id has been in use elsewhere. Cheap to clone.
#[derive(Clone)]
pub(crate) struct BrokerIdClaim {
    broker_id: BrokerId,
    session_timeout: Duration,
    failure: Failure,
    told: Arc<Mutex<Option<Told>>>,
}

#[derive(Clone, Copy)]
struct Told {
    first: Instant,
    last: Instant,
}

impl BrokerIdClaim {
    pub(crate) fn new(broker_id: BrokerId, session_timeout: Duration, failure: Failure) -> Self {
        Self { broker_id, session_timeout, failure, told: Arc::default() }
    }

    /// Takes in the active controller's word that another process has a session under this broker id. Word older than a session timeout is
    /// forgotten: that process may have gone since. The run fails when it has been heard for three of them.
    pub(crate) fn is_in_use(&self) {
        self.is_in_use_at(Instant::now());
    }

    fn is_in_use_at(&self, now: Instant) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match *told {
            Some(before) if now.duration_since(before.last) <= self.session_timeout => before.first,
            Some(_) | None => now,
        };
        *told = Some(Told { first, last: now });
        if now.duration_since(first) > self.session_timeout * PATIENCE_SESSIONS {
            let broker_id = self.broker_id;
            self.failure.set(format!(
                "another process of the cluster has node.id {broker_id}: give each broker its own"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(1);

    fn claim() -> BrokerIdClaim {
        BrokerIdClaim::new(BrokerId(2), SESSION, Failure::new())
    }

    #[test]
    fn word_that_keeps_coming_ends_the_run_after_three_session_timeouts() {
        let claim = claim();
        let begun = Instant::now();
        for seconds in 0..=3 {
            claim.is_in_use_at(begun + SESSION * seconds);
            assert!(!claim.failure.is_set());
        }
        claim.is_in_use_at(begun + SESSION * 4);
        assert!(claim.failure.is_set());
    }

    #[test]
    fn word_of_a_process_that_has_gone_since_is_forgotten() {
        let claim = claim();
        let begun = Instant::now();
        for round in 0..10 {
            claim.is_in_use_at(begun + (SESSION + Duration::from_millis(1)) * round);
        }
        assert!(!claim.failure.is_set());
    }
}
