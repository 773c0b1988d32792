//! The vocabulary of the tests: a broker's coordinator over a log in memory, and the requests of a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coordinator::config::CoordinatorConfig;
use coordinator::group::ids::TopicIdentity;
use coordinator::group::request::{
    CommitOffsets, FetchOffsets, FirstJoin, JoinGroup, JoinProtocol, MemberRef, OffsetToCommit,
    Request, SkipAssignment, Stability, SyncGroup,
};
use coordinator::group::response::{JoinAnswer, Response};
use coordinator::runtime::{
    CoordinatorParts, GroupCoordinator, GroupMetrics, Leadership, PartitionWriter, Refusal,
};
use model::{ErrorCode, Offset, TopicId};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::memory_log::MemoryLog;

/// The partition that a test uses when it needs only one.
pub(crate) const PARTITION: i32 = 3;

/// One broker's coordinator.
pub(crate) struct Broker {
    pub(crate) coordinator: Arc<GroupCoordinator>,
    pub(crate) metrics: GroupMetrics,
    pub(crate) tasks: TaskTracker,
}

impl Broker {
    /// Starts a coordinator over a log.
    pub(crate) fn start(log: &Arc<MemoryLog>) -> Self {
        Self::with_config(log, CoordinatorConfig::default())
    }

    pub(crate) fn with_config(log: &Arc<MemoryLog>, config: CoordinatorConfig) -> Self {
        let writer: Arc<dyn PartitionWriter> = Arc::<MemoryLog>::clone(log);
        let (metrics, tasks) = (GroupMetrics::default(), TaskTracker::new());
        let parts = CoordinatorParts {
            writer,
            config,
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        };
        Self { coordinator: GroupCoordinator::start(parts), metrics, tasks }
    }

    /// Starts a coordinator that is elected in `leader_epoch` and has loaded.
    pub(crate) async fn leading(log: &Arc<MemoryLog>, leader_epoch: i32) -> Self {
        let broker = Self::start(log);
        broker.lead(log, leader_epoch).await;
        broker
    }

    /// Elects it, and waits until it has loaded.
    pub(crate) async fn lead(&self, log: &MemoryLog, leader_epoch: i32) -> Leadership {
        let leadership = log.elect(PARTITION, leader_epoch);
        self.coordinator.elected(leadership);
        self.loaded(PARTITION).await;
        leadership
    }

    /// Waits until a partition answers.
    pub(crate) async fn loaded(&self, partition: i32) {
        until("the shard is loaded", async || {
            let heartbeat = Request::Describe("nobody".into());
            self.coordinator.handle(partition, heartbeat).await.is_ok()
        })
        .await;
    }

    pub(crate) async fn handle(&self, request: Request) -> Result<Response, Refusal> {
        self.coordinator.handle(PARTITION, request).await
    }

    /// Sends a request without waiting for its answer, and lets it get as far as it can.
    pub(crate) async fn send(&self, request: Request) -> JoinHandle<Result<Response, Refusal>> {
        let coordinator = Arc::clone(&self.coordinator);
        let sent = self.tasks.spawn(async move { coordinator.handle(PARTITION, request).await });
        settle().await;
        sent
    }

    /// Commits one offset as a simple consumer.
    pub(crate) async fn commit(&self, group: &str, offset: i64) -> Result<(), Refusal> {
        match self.handle(commit(group, "orders", 0, offset)).await? {
            Response::CommitOffsets(codes) => assert_eq!(codes, [ErrorCode::None]),
            other => panic!("not the answer to a commit: {other:?}"),
        }
        Ok(())
    }

    /// Returns a group's committed offset of `orders-0`.
    pub(crate) async fn committed(&self, group: &str) -> Result<Option<i64>, Refusal> {
        let Response::FetchOffsets(answer) = self.handle(fetch(group)).await? else {
            panic!("not the answer to a fetch")
        };
        assert_eq!(answer.error, ErrorCode::None);
        let of_orders = answer.offsets.iter().find(|offset| {
            (offset.topic.as_str(), offset.partition) == ("orders", 0) && offset.committed.is_some()
        });
        Ok(of_orders.and_then(|offset| offset.committed.as_ref()).map(|value| value.offset.0))
    }

    /// Forms a group of one member, which is its leader, and returns its id.
    pub(crate) async fn form_group(&self, group: &str) -> MemberRef {
        let answer = joined(self.handle(join(group, "")).await.unwrap());
        assert_eq!(answer.error, ErrorCode::None);
        let member = MemberRef {
            group_id: group.into(),
            member_id: answer.member_id.clone(),
            group_instance_id: None,
            generation_id: answer.generation_id,
        };
        let sync = Request::Sync(SyncGroup {
            member: member.clone(),
            protocol_type: None,
            protocol_name: None,
            assignments: vec![(answer.member_id, Bytes::from_static(b"everything"))],
        });
        let Response::Sync(answer) = self.handle(sync).await.unwrap() else {
            panic!("not the answer to a sync")
        };
        assert_eq!((answer.error, &answer.assignment[..]), (ErrorCode::None, &b"everything"[..]));
        member
    }

    /// Stops it, and waits until nothing of it is left.
    pub(crate) async fn stop(self) {
        self.coordinator.stop();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

pub(crate) fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> Request {
    Request::CommitOffsets(CommitOffsets {
        member: MemberRef {
            group_id: group.into(),
            member_id: "".into(),
            group_instance_id: None,
            generation_id: None,
        },
        offsets: vec![OffsetToCommit {
            topic: topic.into(),
            topic_id: None,
            partition,
            offset: Offset(offset),
            leader_epoch: None,
            metadata: String::new(),
        }],
        retention: None,
    })
}

/// A topic of a number of its own.
pub(crate) fn topic(name: &str, number: u128) -> TopicIdentity {
    TopicIdentity { name: name.into(), id: Some(TopicId(Uuid::from_u128(number))) }
}

/// Commits an offset of a topic with an id.
pub(crate) fn commit_of(group: &str, topic: &TopicIdentity, offset: i64) -> Request {
    let Request::CommitOffsets(mut request) = commit(group, topic.name.as_str(), 0, offset) else {
        unreachable!("it is a commit")
    };
    request.offsets[0].topic_id = topic.id;
    Request::CommitOffsets(request)
}

pub(crate) fn fetch(group: &str) -> Request {
    Request::FetchOffsets(FetchOffsets {
        group_id: group.into(),
        partitions: None,
        stability: Stability::Any,
    })
}

/// A member that joins without further ado.
pub(crate) fn join(group: &str, member_id: &str) -> Request {
    Request::Join(JoinGroup {
        group_id: group.into(),
        member_id: member_id.into(),
        drawn_member_id: "".into(),
        group_instance_id: None,
        first_join: FirstJoin::Directly,
        skip_assignment: SkipAssignment::Unknown,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinProtocol { name: "range".to_owned(), metadata: Bytes::new() }],
    })
}

pub(crate) fn joined(response: Response) -> JoinAnswer {
    match response {
        Response::Join(answer) => answer,
        other => panic!("not the answer to a join: {other:?}"),
    }
}

/// Waits for a condition, for a minute of the tests' time at most.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Lets every task run until it waits, without moving time.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
