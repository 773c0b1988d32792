//! What a member has to do about what the coordinator says.

use model::ErrorCode;

use crate::error::Error;

/// What a member has to do.
#[derive(Clone, Debug)]
pub(super) enum Signal {
    /// Nothing.
    Fine,
    /// Join again: the group rebalances.
    Rejoin,
    /// Join anew: the group does not know this member any more.
    Lost,
    /// End.
    Final(Error),
}

impl Signal {
    /// Says what a refused heartbeat, commit or sync means for a member; [`Signal::Fine`] for what passes by itself.
    pub(super) fn of(failure: Error) -> Self {
        match failure.code() {
            Some(ErrorCode::RebalanceInProgress) => Self::Rejoin,
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => Self::Lost,
            _ if failure.is_retriable_at_coordinator() => Self::Fine,
            _ => Self::Final(failure),
        }
    }
}
