//! What this node learns about itself from its own image.
//!
//! Owns no decision about others: it keeps the metrics, writes down the cluster it has joined, warns once about a file that differs from the
//! cluster's configuration, and notices that another process has taken this broker's place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use log_storage::FileSystem;
use model::ClusterId;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::wish::Wish;
use crate::failure::Failure;
use crate::identity::{Identity, META_FILE};
use crate::image_feed::{ImageChange, ImageFeed};
use crate::metadata::Image;
use crate::metrics::Metrics;
use crate::raft::RaftNode;
use crate::settings::Settings;

/// Between two readings of the gauges that no change sets.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// Follows this node's image, and what it works with.
pub(crate) struct SelfWatch {
    pub(crate) settings: Arc<Settings>,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) feed: Arc<ImageFeed>,
    pub(crate) wish: watch::Receiver<Wish>,
    pub(crate) metrics: Metrics,
    pub(crate) failure: Failure,
    pub(crate) cancel: CancellationToken,
}

impl SelfWatch {
    /// Watches until this node stops.
    pub(crate) async fn run(self) {
        let mut changes = self.feed.subscribe();
        let mut previous: Arc<Image> = Arc::default();
        let mut has_met_cluster = false;
        let mut gauges = interval(GAUGE_INTERVAL);
        gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                change = changes.next() => {
                    let Some(change) = change else { return };
                    self.count(&change, &previous);
                    if !has_met_cluster && let Some(cluster_id) = change.image.cluster_id() {
                        has_met_cluster = true;
                        self.meet_cluster(cluster_id, &change.image).await;
                    }
                    self.look_for_successor(&change.image);
                    previous = change.image;
                }
                _ = gauges.tick() => self.set_lag(),
            }
        }
    }

    fn set_lag(&self) {
        let (committed, applied) = self.raft.progress();
        let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let lag = next(committed).saturating_sub(next(applied));
        self.metrics.applied_index_lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
    }

    /// Counts elections and fenced brokers.
    fn count(&self, change: &ImageChange, previous: &Image) {
        let moved = change.changes.partitions.iter().filter(|partition| {
            let epoch =
                |image: &Image| image.partition(**partition).map(|state| state.leader_epoch);
            let before = epoch(previous);
            before.is_some() && epoch(&change.image) > before
        });
        self.metrics.leader_elections.inc_by(u64::try_from(moved.count()).unwrap_or(0));
        let fenced = change.image.brokers().filter(|broker| broker.is_fenced()).count();
        self.metrics.fenced_brokers.set(i64::try_from(fenced).unwrap_or(i64::MAX));
    }

    /// Compares the cluster with what this node is configured for, and writes its id down.
    async fn meet_cluster(&self, cluster_id: &ClusterId, image: &Image) {
        let identity = &self.settings.identity;
        let expected = self.settings.cluster_id.as_ref().or(identity.cluster_id.as_ref());
        if let Some(expected) = expected
            && expected != cluster_id
        {
            self.failure.set(format!(
                "this broker belongs to cluster {expected}, but the metadata is cluster {cluster_id}'s: correct \
                 controller.quorum.voters, or cluster.id and log.dirs"
            ));
            return;
        }
        warn_of_differences(&self.settings.cluster_configs, image);
        if identity.cluster_id.as_ref() == Some(cluster_id) {
            return;
        }
        let identity = Identity { cluster_id: Some(cluster_id.clone()), ..identity.clone() };
        let fs = Arc::clone(&self.fs);
        let data_dir = self.settings.data_dir.clone();
        let saved = tokio::task::spawn_blocking(move || identity.save(fs.as_ref(), &data_dir));
        if let Ok(Err(error)) = saved.await {
            let path = self.settings.data_dir.join(META_FILE);
            self.failure.set(format!("cannot write {}: {error}", path.display()));
        }
    }

    /// Ends this run when another incarnation of the broker has registered after it.
    fn look_for_successor(&self, image: &Image) {
        let broker_id = self.settings.broker_id();
        let own_epoch = self.wish.borrow().broker_epoch;
        if let (Some(own_epoch), Some(registered)) = (own_epoch, image.broker(broker_id))
            && registered.broker_epoch > own_epoch
            && registered.incarnation_id != self.settings.identity.incarnation_id
        {
            self.failure.set(format!(
                "another process has registered as broker {broker_id}, and this one has been superseded: \
                 give each process a node.id of its own"
            ));
        }
    }
}

/// The cluster's values live in the metadata; a file that says otherwise changes nothing, and its owner should know.
fn warn_of_differences(file: &BTreeMap<String, String>, image: &Image) {
    for (key, value) in file {
        let cluster = image.cluster_config(key);
        if let Some(cluster) = cluster
            && cluster != value
        {
            tracing::warn!(
                "{key} is {cluster} in the cluster, and {value} in this broker's file, which is ignored: \
                 to change the cluster's, run: steadfast config alter --all-brokers --set {key}={value}"
            );
        }
    }
}
