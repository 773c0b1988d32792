//! `steadfast group describe`: state, offsets, lag, and who reads what.

use std::collections::{BTreeMap, BTreeSet};

use client::OffsetAt;
use client::groups::{CommittedOffset, GroupDescription, GroupMember};
use client::{Client, Topics};
use model::{Offset, TopicPartition};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::partitions::offsets;

/// A partition that a group has committed or reads.
struct Row<'a> {
    partition: TopicPartition,
    committed: Option<Offset>,
    /// `None` when the partition is gone or nobody leads it.
    end: Option<Offset>,
    member: Option<&'a GroupMember>,
}

impl Row<'_> {
    /// Returns how many offsets are left to read. An offset behind the end, left by a topic that was made anew, leaves none.
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

/// Shows groups.
pub(super) async fn show(
    mut output: Output,
    client: &Client,
    groups: &[GroupDescription],
) -> Result<(), Failure> {
    let mut values = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let committed = client.group_offsets(&group.group_id, None).await.map_err(
            Failure::cluster(format!("cannot read offsets of group {}", group.group_id)),
        )?;
        let rows = rows(client, group, &committed).await?;
        if output.is_json() {
            values.push(group_json(group, &rows));
            continue;
        }
        if index > 0 {
            output.line("")?;
        }
        print(&mut output, group, &rows)?;
    }
    if output.is_json() {
        output.json(&Value::from(values))?;
    }
    output.flush()
}

async fn rows<'a>(
    client: &Client,
    group: &'a GroupDescription,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<Vec<Row<'a>>, Failure> {
    let mut readers = BTreeMap::new();
    for member in &group.members {
        readers.extend(member.assignment.iter().map(|partition| (partition, member)));
    }
    let partitions: BTreeSet<_> =
        committed.keys().chain(readers.keys().copied()).cloned().collect();
    let ends = ends(client, &partitions).await?;
    let row = |partition: TopicPartition| Row {
        committed: committed.get(&partition).map(|committed| committed.offset),
        end: ends.get(&partition).copied(),
        member: readers.get(&partition).copied(),
        partition,
    };
    Ok(partitions.into_iter().map(row).collect())
}

/// Asks for the ends of those partitions that exist and are led: the others have none, and must not hold up the answer.
async fn ends(
    client: &Client,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    let what = "cannot ask for the ends of partitions";
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let topics: BTreeSet<_> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let metadata = client
        .retry(|| client.refresh_metadata(Topics::Named(&topics)))
        .await
        .map_err(Failure::cluster(what))?;
    let is_led = |at: &&TopicPartition| {
        metadata.topics.get(&at.topic).is_some_and(|topic| !topic.error_code.is_error())
            && metadata
                .partition(&at.topic, at.partition)
                .is_some_and(|known| known.leader.is_some())
    };
    let led: Vec<_> = partitions.iter().filter(is_led).cloned().collect();
    offsets(client, &led, OffsetAt::Latest).await
}

fn group_json(group: &GroupDescription, rows: &[Row<'_>]) -> Value {
    let partitions: Value = rows
        .iter()
        .map(|row| {
            json!({
                "topic": row.partition.topic,
                "partition": row.partition.partition,
                "current_offset": row.committed.map(|offset| offset.0),
                "log_end_offset": row.end.map(|offset| offset.0),
                "lag": row.lag(),
                "member_id": row.member.map(|member| &member.member_id),
                "group_instance_id": row.member.and_then(|member| member.group_instance_id.as_ref()),
                "host": row.member.map(|member| &member.client_host),
                "client_id": row.member.map(|member| &member.client_id),
            })
        })
        .collect();
    json!({
        "group": group.group_id,
        "state": group.state.name(),
        "strategy": group.protocol,
        "protocol_type": group.protocol_type,
        "coordinator": { "id": group.coordinator.broker.0, "address": group.coordinator.address },
        "members": group.members.len(),
        "lag": rows.iter().filter_map(Row::lag).sum::<i64>(),
        "partitions": partitions,
    })
}

fn print(output: &mut Output, group: &GroupDescription, rows: &[Row<'_>]) -> Result<(), Failure> {
    let strategy = if group.protocol.is_empty() { "-" } else { &group.protocol };
    output.line(&format!(
        "group {}  {}  strategy {strategy}  members {}  coordinator {} at {}  lag {}",
        group.group_id,
        group.state,
        group.members.len(),
        group.coordinator.broker,
        group.coordinator.address,
        rows.iter().filter_map(Row::lag).sum::<i64>(),
    ))?;
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let of_member = |member: Option<&GroupMember>| match member {
        Some(member) => {
            [member.member_id.clone(), member.client_host.clone(), member.client_id.clone()]
        }
        None => ["-", "-", "-"].map(str::to_owned),
    };
    let mut table: Vec<Vec<String>> = Vec::new();
    for row in rows {
        let mut cells = vec![
            format!("  {}", row.partition.topic),
            row.partition.partition.to_string(),
            number(row.committed.map(|offset| offset.0)),
            number(row.end.map(|offset| offset.0)),
            number(row.lag()),
        ];
        cells.extend(of_member(row.member));
        table.push(cells);
    }
    for idle in group.members.iter().filter(|member| member.assignment.is_empty()) {
        let mut cells = ["  -", "-", "-", "-", "-"].map(str::to_owned).to_vec();
        cells.extend(of_member(Some(idle)));
        table.push(cells);
    }
    if table.is_empty() {
        return Ok(());
    }
    let head = ["  TOPIC", "PARTITION", "CURRENT", "END", "LAG", "MEMBER", "HOST", "CLIENT"];
    output.table(&head, &table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_left_to_read_where_both_ends_are_known() {
        let row = |committed: Option<i64>, end: Option<i64>| Row {
            partition: TopicPartition { topic: "t".to_owned(), partition: 0 },
            committed: committed.map(Offset),
            end: end.map(Offset),
            member: None,
        };
        assert_eq!(row(Some(3), Some(10)).lag(), Some(7));
        assert_eq!(row(Some(12), Some(10)).lag(), Some(0));
        assert_eq!(row(None, Some(10)).lag(), None);
        assert_eq!(row(Some(3), None).lag(), None);
    }
}
