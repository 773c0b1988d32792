//! What a connect to a broker's control port proves, for the liveness machine.
//!
//! Owns the probes. A broken connection is a suspicion; a plain TCP connect decides: refused says that no process is there. A refused
//! connection of Raft's own is the same proof.

use std::sync::Arc;

use model::{BrokerId, Clock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::liveness::{Event, ProbeResult};
use super::roster::Roster;
use crate::peers::address_book::AddressBook;
use crate::peers::connect::{ConnectError, dial};

/// Gathers evidence about brokers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Evidence {
    pub(crate) roster: Arc<Roster>,
    pub(crate) addresses: Arc<AddressBook>,
    pub(crate) clock: Clock,
}

impl Evidence {
    /// Looks at a broker's control port.
    pub(crate) async fn probe(self, broker_id: BrokerId) {
        let asked_at = self.clock.now();
        let result = match self.addresses.address_of(broker_id) {
            Some(address) => match dial(&address).await {
                Err(ConnectError::Refused) => ProbeResult::Refused,
                Ok(_) | Err(ConnectError::Unreachable(_)) => ProbeResult::Inconclusive,
            },
            None => ProbeResult::Inconclusive,
        };
        self.roster.step(Event::Probed { broker_id, asked_at, result });
    }

    /// Takes in which brokers refused Raft, until this node stops.
    pub(crate) async fn gather(
        self,
        mut refusals: mpsc::Receiver<BrokerId>,
        cancel: CancellationToken,
    ) {
        loop {
            let refused = tokio::select! {
                () = cancel.cancelled() => return,
                refused = refusals.recv() => refused,
            };
            let Some(broker_id) = refused else { return };
            let asked_at = self.clock.now();
            let result = ProbeResult::Refused;
            self.roster.step(Event::Probed { broker_id, asked_at, result });
        }
    }
}
