//! Hands out producer ids, out of blocks that the controller gives to this broker.
//!
//! Invariant: no id is handed out twice, in any run of any broker: a block that is not used up is forgotten at the end.

use std::sync::Mutex;

use controller::metadata::{AllocateProducerIds, Command, Outcome, ProducerIdBlock};
use controller::{Controller, ProposeError};
use model::{ErrorCode, ProducerId};

use crate::error_code::ToErrorCode as _;

/// The block that is in use.
#[derive(Debug)]
pub(crate) struct ProducerIds {
    controller: Controller,
    block: Mutex<Option<ProducerIdBlock>>,
    /// Held while a block is asked for, so that a burst of producers asks for one.
    asking: tokio::sync::Mutex<()>,
}

impl ProducerIds {
    pub(crate) fn new(controller: Controller) -> Self {
        Self { controller, block: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Returns an id that nobody else has.
    ///
    /// # Errors
    /// A retriable code while no controller answers.
    pub(crate) async fn next(&self) -> Result<ProducerId, ErrorCode> {
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let _asking = self.asking.lock().await;
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let block = ask(&self.controller).await?;
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

async fn ask(controller: &Controller) -> Result<ProducerIdBlock, ErrorCode> {
    let broker_id = controller.broker_id();
    let registered = controller.image().broker(broker_id).map(|broker| broker.broker_epoch);
    let broker_epoch = registered.ok_or(ErrorCode::CoordinatorNotAvailable)?;
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
