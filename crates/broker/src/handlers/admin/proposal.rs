//! Proposing a command for an administrator, and what is told of its outcome.
//!
//! Before a handler answers, this broker's own image holds what the answer says, so that the next request on the same connection finds it.

use std::time::Duration;

use controller::metadata::{Command, Outcome, Refusal, preview};
use model::ErrorCode;
use protocol::KafkaString;

use crate::context::Context;
use crate::error_code::ToErrorCode as _;
use crate::handlers::answer_text::answer_text;

/// Whether a command is applied or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Applied.
    Apply,
    /// Tried on a copy of this broker's image (`validate_only`).
    Validate,
}

impl Mode {
    pub(super) fn from_wire(validate_only: bool) -> Self {
        if validate_only { Self::Validate } else { Self::Apply }
    }
}

/// Proposes a command and returns its outcome, or the code for the whole request with a text.
pub(super) async fn propose(
    context: &Context,
    mode: Mode,
    command: Command,
) -> Result<Outcome, Refusal> {
    let outcome = match mode {
        Mode::Validate => {
            let image = context.controller.image();
            let next = context.controller.applied_index().map_or(0, |index| index + 1);
            preview(&image, next, &command)
        }
        Mode::Apply => {
            let failed = |error: controller::ProposeError| {
                Refusal::new(error.error_code(), error.to_string())
            };
            let applied = context.controller.propose(command).await.map_err(failed)?;
            context.controller.wait_for(applied.index).await.map_err(failed)?;
            applied.outcome
        }
    };
    match outcome {
        Outcome::Refused(refusal) => Err(refusal),
        other => Ok(other),
    }
}

/// Says that a command got an outcome of another kind, which only a defect can make.
pub(super) fn unexpected() -> Refusal {
    Refusal::new(ErrorCode::UnknownServerError, "the controller gave an answer of another kind")
}

/// Bounds the wait that a request asks for.
pub(super) async fn within<T>(
    timeout_ms: i32,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    // A client that does not want to wait still wants the change: Kafka answers it with a time-out and goes on.
    let millis = u64::try_from(timeout_ms).unwrap_or(0).max(100);
    match tokio::time::timeout(Duration::from_millis(millis), work).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::new(ErrorCode::RequestTimedOut, "the outcome is not known yet")),
    }
}

/// Splits what became of a command into code and text, as responses have them.
pub(super) fn told(result: Result<(), Refusal>) -> (ErrorCode, Option<KafkaString>) {
    match result {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, text(&refusal.message)),
    }
}

/// Turns a text into the wire's.
pub(super) fn text(message: &str) -> Option<KafkaString> {
    (!message.is_empty()).then(|| answer_text(message))
}
