//! How scripts show what the machine wants done.

use bytes::Bytes;
use model::record_batch::EndTransactionMarker;
use model::{ErrorCode, LeaderEpoch};
use protocol::consumer_protocol::ConsumerProtocolSubscription;

use crate::group::record::{GroupMetadataRecord, GroupRecord, TransactionBatch};
use crate::group::request::CompleteTransaction;
use crate::group::response::{FetchedOffset, GroupDescription, JoinAnswer, Response, SyncAnswer};
use crate::group::{Action, WriteId};

pub(super) fn action(action: &Action) -> Vec<String> {
    match action {
        Action::Append(WriteId(write), records) => {
            records.iter().map(|it| format!("append {write}: {}", record(it))).collect()
        }
        Action::AppendOfTransaction(WriteId(write), batch) => match batch {
            TransactionBatch::Offsets { producer_id, producer_epoch, records, .. } => {
                let of = format!("append {write} of {producer_id}/{producer_epoch}");
                records.iter().map(|it| format!("{of}: {}", record(it))).collect()
            }
            TransactionBatch::Marker(CompleteTransaction {
                producer_id,
                producer_epoch,
                marker,
                ..
            }) => {
                let EndTransactionMarker { result, coordinator_epoch } = marker;
                let of = format!("append {write} of {producer_id}/{producer_epoch}");
                vec![format!("{of}: marker {result:?} coordinator={coordinator_epoch}")]
            }
        },
        Action::Reply(id, answer, depends_on) => {
            let after =
                depends_on.map_or_else(String::new, |WriteId(write)| format!(" after {write}"));
            vec![format!("reply {}{after}: {}", id.0, response(answer))]
        }
    }
}

pub(super) fn record(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Offset { group_id, topic, partition, value } => {
            let value = value.as_ref().map_or_else(
                || "tombstone".to_owned(),
                |value| {
                    let expires = value.expire_time.map(|time| format!(" expires {}", time.0));
                    let said = said(value.leader_epoch, &value.metadata);
                    let expires = expires.unwrap_or_default();
                    let id = value.topic_id.map(|id| format!(" id={}", id.0.as_u128()));
                    let id = id.unwrap_or_default();
                    format!("{} at {}{said}{expires}{id}", value.offset, value.commit_time.0)
                },
            );
            format!("offset {group_id} {topic}-{partition}: {value}")
        }
        GroupRecord::Group { group_id, value } => {
            let value = value.as_ref().map_or_else(|| "tombstone".to_owned(), metadata);
            format!("group {group_id}: {value}")
        }
    }
}

fn metadata(value: &GroupMetadataRecord) -> String {
    let members: Vec<_> = value
        .members
        .iter()
        .map(|member| {
            let name = static_name(member.group_instance_id.as_ref());
            let (subscription, assignment) =
                (bytes(&member.subscription), bytes(&member.assignment));
            format!("{}{name} says {subscription} has {assignment}", member.member_id)
        })
        .collect();
    format!(
        "generation={} type={} protocol={} leader={} since={} members=[{}]",
        value.generation_id,
        text(&value.protocol_type),
        option(value.protocol_name.as_ref()),
        option(value.leader.as_ref()),
        option(value.state_since.map(|since| since.0)),
        members.join("; ")
    )
}

fn response(response: &Response) -> String {
    match response {
        Response::Join(answer) => join(answer),
        Response::Sync(answer) => sync(answer),
        Response::Heartbeat(code) => format!("heartbeat {code}"),
        Response::Leave(answer) => {
            format!("leave {} members=[{}]", answer.error, codes(&answer.members))
        }
        Response::CommitTransactionalOffsets(answer) => format!("txn-commit [{}]", codes(answer)),
        Response::CompleteTransaction(code) => format!("marker {code}"),
        Response::CommitOffsets(answer) => format!("commit [{}]", codes(answer)),
        Response::FetchOffsets(answer) => {
            let offsets: Vec<_> = answer.offsets.iter().map(fetched).collect();
            format!("fetch {} [{}]", answer.error, offsets.join("; "))
        }
        Response::DeleteOffsets(answer) => {
            format!("delete offsets {} [{}]", answer.error, codes(&answer.partitions))
        }
        Response::Describe(None) => "describe: no such group".to_owned(),
        Response::Describe(Some(group)) => describe(group),
        Response::List(groups) => {
            let groups: Vec<_> = groups
                .iter()
                .map(|group| {
                    format!("{} {} {}", group.group_id, text(&group.protocol_type), group.state)
                })
                .collect();
            format!("list [{}]", groups.join("; "))
        }
        Response::Delete(code) => format!("delete {code}"),
    }
}

fn join(answer: &JoinAnswer) -> String {
    if answer.error != ErrorCode::None {
        return format!("join {} member={}", answer.error, text(answer.member_id.as_str()));
    }
    let members: Vec<_> = answer
        .members
        .iter()
        .map(|member| {
            let name = static_name(member.group_instance_id.as_ref());
            format!("{}{name} says {}", member.member_id, bytes(&member.metadata))
        })
        .collect();
    let skip = if answer.skip_assignment { " skip-assignment" } else { "" };
    format!(
        "join ok member={} generation={} type={} protocol={} leader={}{skip} members=[{}]",
        answer.member_id,
        option(answer.generation_id),
        option(answer.protocol_type.as_ref()),
        option(answer.protocol_name.as_ref()),
        answer.leader,
        members.join("; ")
    )
}

fn sync(answer: &SyncAnswer) -> String {
    if answer.error != ErrorCode::None {
        return format!("sync {}", answer.error);
    }
    format!(
        "sync ok type={} protocol={} has {}",
        option(answer.protocol_type.as_ref()),
        option(answer.protocol_name.as_ref()),
        bytes(&answer.assignment)
    )
}

fn fetched(offset: &FetchedOffset) -> String {
    let committed = offset.committed.as_ref().map(|committed| {
        format!("{}{}", committed.offset, said(committed.leader_epoch, &committed.metadata))
    });
    let told = match offset.error {
        ErrorCode::None => option(committed),
        error => error.to_string(),
    };
    format!("{}-{}: {told}", offset.topic, offset.partition)
}

/// What a client told beside the offset; a long text by its length.
fn said(leader_epoch: Option<LeaderEpoch>, metadata: &str) -> String {
    let epoch = leader_epoch.map(|epoch| format!(" epoch={epoch}")).unwrap_or_default();
    let words = match metadata.chars().count() {
        0 => String::new(),
        1..40 => format!(" says {metadata}"),
        count => format!(" says {count} characters"),
    };
    epoch + &words
}

fn describe(group: &GroupDescription) -> String {
    let members: Vec<_> = group
        .members
        .iter()
        .map(|member| {
            let name = static_name(member.group_instance_id.as_ref());
            let (metadata, assignment) = (bytes(&member.metadata), bytes(&member.assignment));
            format!("{}{name} says {metadata} has {assignment}", member.member_id)
        })
        .collect();
    format!(
        "describe {} {} type={} protocol={} members=[{}]",
        group.group_id,
        group.state,
        text(&group.protocol_type),
        text(&group.protocol_name),
        members.join("; ")
    )
}

fn codes(codes: &[ErrorCode]) -> String {
    codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn static_name(name: Option<&crate::group::ids::GroupInstanceId>) -> String {
    name.map_or_else(String::new, |name| format!("/{name}"))
}

fn bytes(bytes: &Bytes) -> String {
    match ConsumerProtocolSubscription::decode(bytes.clone()) {
        Ok(subscription) => {
            let topics: Vec<_> = subscription.topics.iter().map(|topic| &**topic).collect();
            format!("topics[{}]", topics.join(", "))
        }
        Err(_) => text(&String::from_utf8_lossy(bytes)).to_owned(),
    }
}

fn text(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

fn option(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
