//! Hands out producer ids, out of blocks that the controller gives to this broker.
//!
//! Invariant: no id is handed out twice, in any run of any broker: a block that is not used up is forgotten at the end.

use std::sync::Mutex;

use controller::metadata::{AllocateProducerIds, Command, Outcome, ProducerIdBlock};
use controller::{Controller, ProposeError};
use model::{BrokerEpoch, BrokerId, ErrorCode, ProducerId};

use crate::error_code::ToErrorCode as _;

/// The block that is in use.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<Option<ProducerIdBlock>>,
    /// Held while a block is asked for, so that a burst of producers asks for one.
    asking: tokio::sync::Mutex<()>,
}

impl ProducerIds {
    /// Returns an id that nobody else has.
    ///
    /// # Errors
    /// A retriable code while no controller answers.
    pub async fn next(
        &self,
        controller: &Controller,
        broker_id: BrokerId,
    ) -> Result<ProducerId, ErrorCode> {
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let _asking = self.asking.lock().await;
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let image = controller.image();
        let broker_epoch = image.broker(broker_id).map(|broker| broker.broker_epoch);
        let broker_epoch = broker_epoch.ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let block = ask(controller, broker_id, broker_epoch).await?;
        if let Ok(mut held) = self.block.lock() {
            *held = Some(block);
        }
        self.take().ok_or(ErrorCode::CoordinatorLoadInProgress)
    }

    fn take(&self) -> Option<ProducerId> {
        // A panic ends the process, so the lock is never poisoned.
        let mut held = self.block.lock().ok()?;
        let block = held.as_mut().filter(|block| block.count > 0)?;
        let id = block.first;
        block.first = ProducerId(id.0 + 1);
        block.count -= 1;
        Some(id)
    }
}

async fn ask(
    controller: &Controller,
    broker_id: BrokerId,
    broker_epoch: BrokerEpoch,
) -> Result<ProducerIdBlock, ErrorCode> {
    let command = Command::AllocateProducerIds(AllocateProducerIds { broker_id, broker_epoch });
    let applied = controller.propose(command).await;
    match applied.map(|applied| applied.outcome) {
        Ok(Outcome::ProducerIdsAllocated(block)) => Ok(block),
        Ok(Outcome::Refused(refusal)) => Err(refusal.code),
        Ok(_) => Err(ErrorCode::UnknownServerError),
        // Clients try InitProducerId again for this code, and not for the controller's own.
        Err(ProposeError::NoController) => Err(ErrorCode::CoordinatorNotAvailable),
        Err(error) => Err(error.error_code()),
    }
}
