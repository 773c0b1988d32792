//! How actions and state read in a script's output.

use std::collections::BTreeSet;

use model::BrokerId;

use crate::partition::{
    Action, AlterIsr, AnswerBody, FollowerFetch, Isr, LossReason, OfflineReason, Partition,
    ReplicaRole,
};

pub(super) fn action(action: &Action) -> String {
    match action {
        Action::BecomeLeader { leader_epoch, epoch_start_offset } => {
            format!("become leader epoch={leader_epoch} start={epoch_start_offset}")
        }
        Action::BecomeFollower { leader, leader_epoch } => {
            format!("become follower of {leader} epoch={leader_epoch}")
        }
        Action::BecomeOffline { reason } => format!("become offline: {}", offline(reason)),
        Action::CompleteProduce { id, result: Ok(()) } => format!("complete {} ok", id.0),
        Action::CompleteProduce { id, result: Err(code) } => format!("complete {} {code}", id.0),
        Action::AdvanceHighWatermark { high_watermark } => {
            format!("high watermark {high_watermark}")
        }
        Action::AlterIsr(alter_isr) => alter(alter_isr),
        Action::RequestElection { leader_epoch, broker_epoch } => {
            format!("request election epoch={leader_epoch} broker_epoch={broker_epoch}")
        }
        Action::DeclareReplicaLost { reason, leader_epoch, broker_epoch } => {
            let reason = loss(reason);
            format!("declare lost: {reason} epoch={leader_epoch} broker_epoch={broker_epoch}")
        }
        Action::Fetch { leader, fetch } => format!("fetch from {leader}: {}", self::fetch(fetch)),
        Action::AnswerFetch { follower, follower_broker_epoch, fetch_offset, answer } => format!(
            "answer {follower}/{follower_broker_epoch} epoch={} generation={} offset={fetch_offset}: {}",
            answer.leader_epoch,
            answer.generation.0,
            body(&answer.body)
        ),
        Action::Truncate { offset, high_watermark } => {
            format!("truncate to {offset} high_watermark={high_watermark}")
        }
        Action::RestartAt { offset } => format!("restart at {offset}"),
        Action::AdvanceLogStart { offset } => format!("advance log start to {offset}"),
    }
}

pub(super) fn fetch(fetch: &FollowerFetch) -> String {
    let epoch =
        fetch.last_fetched_epoch.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
    format!(
        "epoch={} generation={} offset={} last_epoch={epoch} flushed={} start={} broker_epoch={}",
        fetch.leader_epoch,
        fetch.generation.0,
        fetch.fetch_offset,
        fetch.flushed_offset,
        fetch.log_start_offset,
        fetch.broker_epoch
    )
}

pub(super) fn state(partition: &Partition) -> String {
    let role = match partition.role() {
        ReplicaRole::Leader(epoch) => format!("leader epoch={epoch}"),
        ReplicaRole::Follower(leader, epoch) => format!("follower of {leader} epoch={epoch}"),
        ReplicaRole::Offline(reason) => format!("offline: {}", offline(&reason)),
    };
    let log = partition.log();
    let isr = partition.isr().map(isr).unwrap_or_default();
    format!(
        "{role}; log {}..{} flushed={} generation={}; high watermark {}{isr}",
        log.log_start_offset,
        log.log_end_offset,
        log.flushed_offset,
        log.truncation_generation.0,
        partition.high_watermark()
    )
}

fn isr(isr: &Isr) -> String {
    let committed = set(isr.committed());
    match isr {
        Isr::Committed { .. } => format!("; isr {committed}"),
        Isr::Expanding { joining, .. } => format!("; isr {committed} joining {}", set(joining)),
        Isr::Shrinking { proposal, .. } => {
            let to = proposal.alter_isr.new_isr.iter().map(|(broker, _)| *broker).collect();
            format!("; isr {committed} shrinking to {}", set(&to))
        }
    }
}

fn set(brokers: &BTreeSet<BrokerId>) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn alter(alter_isr: &AlterIsr) -> String {
    let members: Vec<_> =
        alter_isr.new_isr.iter().map(|(broker, epoch)| format!("{broker}/{epoch}")).collect();
    format!(
        "alter isr to {} by {}/{} epoch={} partition_epoch={}",
        members.join(","),
        alter_isr.leader,
        alter_isr.broker_epoch,
        alter_isr.leader_epoch,
        alter_isr.partition_epoch
    )
}

fn body(body: &AnswerBody) -> String {
    match body {
        AnswerBody::Progress { high_watermark, log_start_offset } => {
            format!("progress high_watermark={high_watermark} start={log_start_offset}")
        }
        AnswerBody::Diverging { epoch, end_offset, fetch_offset, last_fetched_epoch } => {
            let echo =
                last_fetched_epoch.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
            format!("diverging epoch={epoch} end={end_offset} echo={fetch_offset}@{echo}")
        }
        AnswerBody::OutOfRange { log_start_offset, fetch_offset } => {
            format!("out of range start={log_start_offset} echo={fetch_offset}")
        }
    }
}

fn offline(reason: &OfflineReason) -> String {
    match reason {
        OfflineReason::NotRegistered => "not registered".to_owned(),
        OfflineReason::NotAssigned => "not assigned".to_owned(),
        OfflineReason::NoLeader => "no leader".to_owned(),
        OfflineReason::Lost(reason) => format!("lost, {}", loss(reason)),
    }
}

fn loss(reason: &LossReason) -> String {
    match reason {
        LossReason::DivergenceBelowHighWatermark { diverges_at, high_watermark } => {
            format!("diverges at {diverges_at} below the high watermark {high_watermark}")
        }
        LossReason::Corruption { offset } => format!("corrupt from {offset}"),
    }
}
