//! A coordinator that takes over many groups serves them soon: `STEADFAST_TEST_GROUPS` groups (1,000; the full measure is 10,000) with a hundred committed offsets each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::groups::CommittedOffset;
use client::{Client, ClientConfig};
use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::report::{measured, millis};
use futures_util::stream::{self, StreamExt as _};
use model::{Offset, TopicPartition};

use crate::{LIMIT, number_from};

/// Committed offsets of one group.
const OFFSETS: usize = 100;

/// Groups that are asked at the same time.
const CONCURRENCY: usize = 32;

/// The longest load that passes, on a machine that is busy with other things. The printed figure tells the truth.
const LONGEST_LOAD: Duration = Duration::from_secs(20);

/// A client that waits longer than others do: so much is asked at once.
fn patient(bootstrap: &str) -> Admin {
    Admin::with_config(ClientConfig {
        request_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(1),
        api_timeout: Duration::from_secs(60),
        ..ClientConfig::new(bootstrap).expect("a list of servers")
    })
}

fn name(group: u64) -> String {
    format!("billing-{group}")
}

async fn commit_all(client: &Client, topic: &str, groups: u64) {
    let offsets: BTreeMap<TopicPartition, CommittedOffset> = (0..OFFSETS)
        .map(|number| {
            let partition = i32::try_from(number).expect("a small number");
            let at = TopicPartition { topic: topic.to_owned(), partition };
            let offset = Offset(i64::from(partition) * 1_000);
            (at, CommittedOffset { offset, leader_epoch: None, metadata: String::new() })
        })
        .collect();
    let commit = |group| {
        let offsets = &offsets;
        async move {
            let done = client.commit_group_offsets(&name(group), offsets).await;
            done.unwrap_or_else(|error| panic!("{}: {error}", name(group)));
        }
    };
    stream::iter(0..groups).map(commit).buffer_unordered(CONCURRENCY).collect::<()>().await;
}

/// Asks for one offset of each group: answered only by a coordinator that has loaded it.
async fn ask_all(client: &Client, topic: &str, groups: u64) {
    let partition = TopicPartition { topic: topic.to_owned(), partition: 42 };
    let ask = |group| {
        let partition = &partition;
        async move {
            let asked = std::slice::from_ref(partition);
            let found = client.group_offsets(&name(group), Some(asked)).await;
            let found = found.unwrap_or_else(|error| panic!("{}: {error}", name(group)));
            assert_eq!(found[partition].offset, Offset(42_000), "{}", name(group));
        }
    };
    stream::iter(0..groups).map(ask).buffer_unordered(CONCURRENCY).collect::<()>().await;
}

#[test]
fn many_groups_are_served_soon_after_a_coordinators_death() {
    let groups = number_from("STEADFAST_TEST_GROUPS", 1_000);
    let mut cluster = Cluster::start(3);
    let admin = patient(&cluster.bootstrap());
    admin.create_topic("ledger", i32::try_from(OFFSETS).expect("a small number"));
    admin.block_on(commit_all(admin.client(), "ledger", groups));
    let timed = || {
        let asked = Instant::now();
        admin.block_on(ask_all(admin.client(), "ledger", groups));
        asked.elapsed()
    };
    let usual = timed();
    cluster.kill(1);
    let after_one = timed();
    cluster.restart_broker(1);
    admin.wait_for_full_isr("__consumer_offsets", LIMIT);
    cluster.kill_all();
    let ready = cluster.launch_without_waiting();
    cluster.wait_for_launch(&ready);
    let after_all = timed();
    let what = format!("{groups} groups of {OFFSETS} offsets");
    let figure = |took| format!("{} ms (without a failure {} ms)", millis(took), millis(usual));
    measured(
        &format!("{what}: one coordinator killed, until every group was answered"),
        figure(after_one),
    );
    measured(
        &format!("{what}: all killed, from ready until every group was answered"),
        figure(after_all),
    );
    assert!(after_one.max(after_all) < LONGEST_LOAD, "{after_one:?}, {after_all:?}");
}
