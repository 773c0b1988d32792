//! How far groups are behind: read off committed offsets and high watermarks at each scrape.
//!
//! Bounded: of a broker with very many offsets the page shows a part, and says how many offsets are in none of its sums.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use controller::Controller;
use controller::metadata::Image;
use coordinator::group::ids::{GroupId, TopicName};
use coordinator::runtime::GroupCoordinator;
use model::{Offset, TopicIdPartition};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use replication::Replicas;

/// Most series, one for each group and topic.
const MAX_SERIES: usize = 2_000;

/// Most bytes of the series' labels together: groups have names of up to 32 KiB.
const MAX_LABEL_BYTES: usize = 1 << 20;

/// Most committed offsets that are looked at for one page.
const MAX_OFFSETS: usize = 100_000;

/// The lag of the groups that this broker coordinates, in the partitions that it has a replica of.
pub(super) struct GroupLag {
    groups: Arc<GroupCoordinator>,
    replicas: Arc<Replicas>,
    controller: Controller,
}

impl fmt::Debug for GroupLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupLag")
    }
}

/// Sums by group and topic.
#[derive(Debug, Default)]
struct Sums {
    lags: BTreeMap<(GroupId, TopicName), i64>,
    label_bytes: usize,
    omitted_count: usize,
}

impl Sums {
    /// Adds one partition; one that no replica here knows the end of is left out.
    fn add(&mut self, group: &GroupId, topic: &TopicName, lag: Option<i64>) {
        let label_bytes = self.label_bytes + group.as_str().len() + topic.as_str().len();
        let has_room = self.lags.len() < MAX_SERIES && label_bytes <= MAX_LABEL_BYTES;
        let Some(lag) = lag else {
            self.omitted_count += 1;
            return;
        };
        match self.lags.entry((group.clone(), topic.clone())) {
            Entry::Occupied(mut sum) => *sum.get_mut() = sum.get().saturating_add(lag),
            Entry::Vacant(new) if has_room => {
                self.label_bytes = label_bytes;
                new.insert(lag);
            }
            Entry::Vacant(_) => self.omitted_count += 1,
        }
    }
}

impl GroupLag {
    pub(super) fn new(
        groups: Arc<GroupCoordinator>,
        replicas: Arc<Replicas>,
        controller: Controller,
    ) -> Self {
        Self { groups, replicas, controller }
    }

    fn sums(&self) -> Sums {
        let image = self.controller.image();
        let mut sums = Sums::default();
        let mut seen = 0_usize;
        self.groups.for_each_committed(MAX_OFFSETS, |position| {
            seen += 1;
            let end = self.high_watermark(&image, position.topic, position.partition);
            let lag = end.map(|end| (end.0 - position.offset.0).max(0));
            sums.add(position.group_id, position.topic, lag);
        });
        sums.omitted_count += self.groups.counts().offset_count.saturating_sub(seen);
        sums
    }

    fn high_watermark(&self, image: &Image, topic: &TopicName, partition: i32) -> Option<Offset> {
        let topic_id = image.topic_id(topic.as_str())?;
        let replica = self.replicas.get(&TopicIdPartition { topic_id, partition })?;
        Some(replica.high_watermark())
    }
}

impl Collector for GroupLag {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sums = self.sums();
        let kind = ConstGauge::new(0_i64);
        let help = "Records behind a group's committed offsets, summed over the partitions of a topic that have a replica here; for groups coordinated here";
        let mut family =
            encoder.encode_descriptor("steadfast_group_lag", help, None, kind.metric_type())?;
        for ((group, topic), lag) in &sums.lags {
            let labels = [("group", group.as_str()), ("topic", topic.as_str())];
            ConstGauge::new(*lag).encode(family.encode_family(&labels)?)?;
        }
        let name = "steadfast_group_lag_omitted_offsets";
        let help = "Committed offsets of groups coordinated here that no steadfast_group_lag counts: beyond its bounds, or of a partition without a replica here";
        let omitted = ConstGauge::new(i64::try_from(sums.omitted_count).unwrap_or(i64::MAX));
        let metric = encoder.encode_descriptor(name, help, None, omitted.metric_type())?;
        omitted.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_bounded_and_say_what_they_leave_out() {
        let mut sums = Sums::default();
        let topic = TopicName::from("t");
        sums.add(&"g".into(), &topic, Some(3));
        sums.add(&"g".into(), &topic, Some(4));
        sums.add(&"g".into(), &topic, None);
        assert_eq!(sums.lags.get(&("g".into(), topic.clone())), Some(&7));
        assert_eq!(sums.omitted_count, 1);
        for index in 0..MAX_SERIES {
            sums.add(&format!("group-{index}").as_str().into(), &topic, Some(1));
        }
        assert_eq!(sums.lags.len(), MAX_SERIES);
        assert_eq!(sums.omitted_count, 2);
        sums.add(&"g".into(), &topic, Some(1));
        assert_eq!(sums.lags.get(&("g".into(), topic)), Some(&8));
    }

    #[test]
    fn long_names_do_not_make_a_long_page() {
        let mut sums = Sums::default();
        let topic = TopicName::from("t");
        for index in 0..40 {
            let name = format!("{index}{}", "x".repeat(32_000));
            sums.add(&name.as_str().into(), &topic, Some(1));
        }
        sums.add(&"short".into(), &topic, Some(1));
        assert_eq!(sums.lags.len(), 33);
        assert_eq!(sums.omitted_count, 8);
        assert!(sums.label_bytes <= MAX_LABEL_BYTES);
    }
}
