//! Where members read: what the group has committed is asked for when partitions come, and committed while they are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{ErrorCode, Offset, TopicPartition};
use tokio::time::{Instant, timeout_at};

use super::membership::Membership;
use crate::backoff::Backoff;
use crate::consumer::OffsetReset;
use crate::error::Error;
use crate::groups::CommittedOffset;
use crate::groups::offset_messages::{self, Stability};
use crate::partition_offsets::OffsetAt;

/// Offsets by partition.
pub(super) type Offsets = BTreeMap<TopicPartition, Offset>;

/// Where to begin to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    /// What the group has committed.
    pub(super) committed: Offsets,
    /// Where it has committed nothing: the place that `auto.offset.reset` names.
    pub(super) reset: Offsets,
}

/// Returns where to begin to read partitions that were assigned.
///
/// # Errors
/// [`Error`], also where nothing is committed and no reset is wanted.
pub(super) async fn find(
    membership: Arc<Membership>,
    partitions: Vec<TopicPartition>,
) -> Result<Positions, Error> {
    let group_id = &membership.config.group_id;
    let request = offset_messages::offset_fetch(group_id, Some(&partitions), Stability::Required);
    let attempt = || async {
        let check = |response| offset_messages::fetched_offsets(group_id, &response);
        membership.link.ask(&request, Duration::ZERO, check).await
    };
    let committed =
        membership.client.backoff().run(Error::is_retriable_at_coordinator, attempt).await?;
    let mut positions = Positions::default();
    for partition in &partitions {
        if let Some(committed) = committed.get(partition) {
            positions.committed.insert(partition.clone(), committed.offset);
        }
    }
    let missing: Vec<_> = partitions
        .into_iter()
        .filter(|partition| !positions.committed.contains_key(partition))
        .collect();
    let Some(first) = missing.first() else { return Ok(positions) };
    let at = match membership.config.offset_reset {
        OffsetReset::Earliest => OffsetAt::Earliest,
        OffsetReset::Latest => membership.config.fetch.isolation_level.end(),
        OffsetReset::Fail => return Err(nothing_committed(first)),
    };
    for (partition, offset) in membership.client.list_offsets(&missing, at).await {
        positions.reset.insert(partition, offset?.unwrap_or(Offset::ZERO));
    }
    Ok(positions)
}

fn nothing_committed(partition: &TopicPartition) -> Error {
    Error::Broker {
        subject: partition.to_string(),
        code: ErrorCode::OffsetOutOfRange,
        message: Some("the group has committed no offset, and no reset is set".to_owned()),
    }
}

/// Commits offsets as the member that this is now; tried again while the coordinator moves, for at most `time`.
///
/// # Errors
/// [`Error::Broker`] with the code of the first partition that was refused, [`Error::GaveUp`].
pub(super) async fn commit(
    membership: Arc<Membership>,
    offsets: Offsets,
    time: Duration,
) -> Result<Offsets, Error> {
    let committer = membership.committer();
    let commits: BTreeMap<_, _> = offsets
        .iter()
        .map(|(partition, offset)| (partition.clone(), CommittedOffset::at(*offset)))
        .collect();
    let request =
        offset_messages::offset_commit(&membership.config.group_id, Some(&committer), &commits);
    let attempt = Backoff::new(membership.client.config().retry_backoff, time).run(
        Error::is_retriable_at_coordinator,
        || async {
            let check = |response| offset_messages::committed(&response);
            membership.link.ask(&request, Duration::ZERO, check).await
        },
    );
    match timeout_at(Instant::now() + time, attempt).await {
        Ok(result) => result.map(|()| offsets),
        Err(_) => {
            let silence = Error::Broker {
                subject: membership.subject(),
                code: ErrorCode::RequestTimedOut,
                message: Some("the commit may or may not have been taken".to_owned()),
            };
            Err(Error::GaveUp { after: time, last: Box::new(silence) })
        }
    }
}
