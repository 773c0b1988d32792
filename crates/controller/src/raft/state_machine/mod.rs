//! Applies committed entries: commands go through `metadata::apply`, the image is published, and whoever proposed gets the outcome.
//!
//! Owns the one image that changes. The published image moves before any answer is sent, so that who is answered here sees what was
//! answered. Invariant: the image is a function of the entries alone; one that this version cannot read stops the node.

pub(super) mod materialized;
pub(super) mod snapshot;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use model::ErrorCode;
use openraft::storage::{
    ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot,
};
use openraft::{EntryPayload, OptionalSend};

use crate::failure::Failure;
use crate::image_feed::ImageFeed;
use crate::metadata::{self, Changes, Command, DecodeError, Image, Outcome, Refusal};
use crate::raft::types::{EncodedCommand, LogId, Reply, SnapshotMeta, StoredMembership, Types};
use materialized::{Materialized, Writer};
use snapshot::{SnapshotFile, SnapshotStore};

type SnapshotOf = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

/// Openraft's state machine.
pub(crate) struct StateMachine {
    image: Image,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    feed: Arc<ImageFeed>,
    store: Option<Writer>,
    snapshots: SnapshotStore,
    failure: Failure,
}

impl StateMachine {
    /// Starts from what a clean stop left, if the log covers it, else from nothing: openraft then replays the log.
    pub(crate) fn new(
        feed: Arc<ImageFeed>,
        snapshots: SnapshotStore,
        failure: Failure,
        materialized: Option<&Materialized>,
        last_log_id: Option<LogId>,
    ) -> Self {
        let mut machine = Self {
            image: Image::default(),
            last_applied: None,
            membership: StoredMembership::default(),
            feed,
            store: materialized.map(Materialized::writer),
            snapshots,
            failure,
        };
        if let Some(found) = materialized.and_then(Materialized::take_found) {
            if found.meta.last_log_id <= last_log_id {
                machine.image = found.image;
                machine.last_applied = found.meta.last_log_id;
                machine.membership = found.meta.last_membership;
                machine.publish(&Changes::default());
            } else if let Some(store) = &machine.store {
                store.replace(&Arc::new(Image::default()), SnapshotMeta::default());
            }
        }
        machine
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() }
    }

    fn publish(&self, changes: &Changes) {
        let Some(last) = self.last_applied else { return };
        let image = Arc::new(self.image.clone());
        self.feed.publish(Arc::clone(&image), last.index(), changes);
        if let Some(store) = &self.store {
            store.write(&image, self.meta(), changes.records.iter().cloned());
        }
    }

    fn apply_command(
        &mut self,
        id: LogId,
        command: &EncodedCommand,
        changes: &mut Changes,
    ) -> io::Result<Outcome> {
        match Command::decode(&command.0) {
            Ok(command) => {
                let applied = metadata::apply(&mut self.image, id.index(), &command);
                changes.merge(applied.changes);
                Ok(applied.outcome)
            }
            Err(error @ DecodeError::NewerVersion(_)) => {
                let reason =
                    format!("the metadata log needs a newer version of this software: {error}");
                self.failure.set(reason.clone());
                Err(io::Error::other(reason))
            }
            // Proposals are read before they are proposed, so such bytes can only be a proposer's bug; they are refused alike everywhere.
            Err(error) => {
                Ok(Outcome::Refused(Refusal::new(ErrorCode::InvalidRequest, error.to_string())))
            }
        }
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut changes = Changes::default();
        let mut answers: Vec<(ApplyResponder<Types>, Reply)> = Vec::new();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let id = entry.log_id;
            let reply = match entry.payload {
                EntryPayload::Blank => Reply::default(),
                EntryPayload::Normal(command) => {
                    Reply { outcome: Some(self.apply_command(id, &command, &mut changes)?) }
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(id), membership);
                    Reply::default()
                }
            };
            self.last_applied = Some(id);
            answers.extend(responder.map(|responder| (responder, reply)));
        }
        self.publish(&changes);
        for (responder, reply) in answers {
            responder.send(reply);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            image: self.image.clone(),
            meta: self.meta(),
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let damaged =
            |error: DecodeError| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        let image = Image::from_snapshot(&snapshot.0).map_err(damaged)?;
        self.snapshots.write(meta, &snapshot.0)?;
        let mut changes = everything(&self.image);
        changes.merge(everything(&image));
        self.image = image;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.publish(&changes);
        if let Some(store) = &self.store {
            store.replace(&Arc::new(self.image.clone()), self.meta());
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf>, io::Error> {
        let found = self.snapshots.read()?;
        Ok(found.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// All that an image holds, as changes: what another image may differ in.
fn everything(image: &Image) -> Changes {
    Changes {
        partitions: image.partitions().map(|(partition, _)| partition).collect(),
        topics: image.topics().map(|topic| topic.topic_id).collect(),
        brokers: image.brokers().map(|broker| broker.broker_id).collect(),
        records: image.record_keys().collect(),
        ..Changes::default()
    }
}

/// Writes a snapshot of the image as it was.
pub(crate) struct SnapshotBuilder {
    image: Image,
    meta: SnapshotMeta,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf, io::Error> {
        let image = Bytes::from(self.image.to_snapshot());
        self.snapshots.write(&self.meta, &image)?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: SnapshotFile(image) })
    }
}
