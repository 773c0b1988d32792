//! What this node learns about itself from its own image.
//!
//! Owns no decision about others: it keeps the metrics, writes down the cluster it has joined, warns once about a file that differs from the
//! cluster's configuration, and notices that another process has taken this broker's place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{MissedTickBehavior, interval};

use crate::image_feed::ImageChange;
use crate::metadata::Image;
use crate::plane::Plane;

/// Between two readings of the gauges that no change sets.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// Follows this node's image until it stops.
pub(crate) async fn watch_self(plane: Arc<Plane>) {
    let mut changes = plane.shared.feed.subscribe();
    let mut watch = SelfWatch { plane: &plane, previous: Arc::default(), is_known: false };
    let mut gauges = interval(GAUGE_INTERVAL);
    gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = plane.cancel.cancelled() => return,
            change = changes.next() => match change {
                Some(change) => watch.image_changed(&change).await,
                None => return,
            },
            _ = gauges.tick() => set_lag(&plane, &plane.shared.metrics.applied_index_lag),
        }
    }
}

fn set_lag(plane: &Plane, gauge: &Gauge) {
    let (committed, applied) = plane.raft.progress();
    let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
    let lag = next(committed).saturating_sub(next(applied));
    gauge.set(i64::try_from(lag).unwrap_or(i64::MAX));
}

struct SelfWatch<'a> {
    plane: &'a Arc<Plane>,
    previous: Arc<Image>,
    /// Whether the cluster's id was compared and written down.
    is_known: bool,
}

impl SelfWatch<'_> {
    async fn image_changed(&mut self, change: &ImageChange) {
        let metrics = &self.plane.shared.metrics;
        let image = &change.image;
        let moved = change.changes.partitions.iter().filter(|partition| {
            let epoch =
                |image: &Image| image.partition(**partition).map(|state| state.leader_epoch);
            let before = epoch(&self.previous);
            before.is_some() && epoch(image) > before
        });
        metrics.leader_elections.inc_by(u64::try_from(moved.count()).unwrap_or(0));
        let fenced = image.brokers().filter(|broker| broker.is_fenced()).count();
        metrics.fenced_brokers.set(i64::try_from(fenced).unwrap_or(i64::MAX));
        if !self.is_known {
            self.meet_cluster(image).await;
        }
        self.look_for_successor(image);
        self.previous = Arc::clone(image);
    }

    /// Compares the cluster with what this node is configured for, and writes its id down.
    async fn meet_cluster(&mut self, image: &Image) {
        let Some(cluster_id) = image.cluster_id() else { return };
        self.is_known = true;
        let shared = &self.plane.shared;
        let expected = shared.settings.cluster_id.as_ref().or(shared.identity.cluster_id.as_ref());
        if let Some(expected) = expected
            && expected != cluster_id
        {
            shared.failure.set(format!(
                "this broker belongs to cluster {expected}, but the metadata is cluster {cluster_id}'s"
            ));
            return;
        }
        warn_of_differences(&shared.settings.cluster_configs, image);
        if shared.identity.cluster_id.as_ref() == Some(cluster_id) {
            return;
        }
        let mut identity = shared.identity.clone();
        identity.cluster_id = Some(cluster_id.clone());
        let fs = Arc::clone(&shared.fs);
        let data_dir = shared.settings.data_dir.clone();
        let saved = tokio::task::spawn_blocking(move || identity.save(fs.as_ref(), &data_dir));
        if let Ok(Err(error)) = saved.await {
            shared.failure.set(format!("cannot write meta.properties: {error}"));
        }
    }

    /// Ends this run when another incarnation of the broker has registered after it.
    fn look_for_successor(&self, image: &Image) {
        let shared = &self.plane.shared;
        let own_epoch = shared.wish.borrow().broker_epoch;
        let registered = image.broker(self.plane.broker_id());
        if let (Some(own_epoch), Some(registered)) = (own_epoch, registered)
            && registered.broker_epoch > own_epoch
            && registered.incarnation_id != shared.identity.incarnation_id
        {
            shared.failure.set(format!(
                "another process has registered as broker {}: this one has been superseded",
                self.plane.broker_id()
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
