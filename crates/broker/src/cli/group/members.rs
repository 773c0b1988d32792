//! `steadfast group members`: who is in a group.

use std::collections::BTreeMap;

use client::groups::{GroupDescription, GroupMember};
use model::TopicPartition;
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// Shows the members of groups.
pub(super) fn show(
    mut output: Output,
    groups: &[GroupDescription],
    is_verbose: bool,
) -> Result<(), Failure> {
    let value = || -> Value {
        let groups = groups.iter().map(|group| {
            json!({
                "group": group.group_id,
                "state": group.state.name(),
                "members": group.members.iter().map(member_json).collect::<Value>(),
            })
        });
        groups.collect()
    };
    output.answer(value, |output| print(output, groups, is_verbose))?;
    output.flush()
}

fn print(
    output: &mut Output,
    groups: &[GroupDescription],
    is_verbose: bool,
) -> Result<(), Failure> {
    let mut head = vec!["GROUP", "MEMBER", "INSTANCE", "HOST", "CLIENT", "PARTITIONS"];
    if is_verbose {
        head.extend(["TOPICS", "ASSIGNMENT"]);
    }
    let mut rows = Vec::new();
    for group in groups {
        for member in &group.members {
            let mut row = vec![
                group.group_id.clone(),
                member.member_id.clone(),
                member.group_instance_id.clone().unwrap_or_else(|| "-".to_owned()),
                member.client_host.clone(),
                member.client_id.clone(),
                member.assignment.len().to_string(),
            ];
            if is_verbose {
                let topics = member.subscription.as_ref().map(|it| it.topics.join(","));
                row.push(topics.unwrap_or_else(|| "-".to_owned()));
                row.push(short(&member.assignment));
            }
            rows.push(row);
        }
    }
    output.table(&head, &rows)
}

fn member_json(member: &GroupMember) -> Value {
    let assignment: Value = member
        .assignment
        .iter()
        .map(|at| json!({ "topic": at.topic, "partition": at.partition }))
        .collect();
    json!({
        "member_id": member.member_id,
        "group_instance_id": member.group_instance_id,
        "host": member.client_host,
        "client_id": member.client_id,
        "topics": member.subscription.as_ref().map(|subscription| &subscription.topics),
        "assignment": assignment,
    })
}

/// Writes partitions as `t:0,1 u:3`, the form that `--topic` takes.
fn short(partitions: &[TopicPartition]) -> String {
    let mut topics = BTreeMap::<_, Vec<_>>::new();
    for at in partitions {
        topics.entry(&at.topic).or_default().push(at.partition.to_string());
    }
    if topics.is_empty() {
        return "-".to_owned();
    }
    let topics: Vec<_> = topics
        .into_iter()
        .map(|(topic, partitions)| format!("{topic}:{}", partitions.join(",")))
        .collect();
    topics.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_written_as_the_options_read_it() {
        let at = |topic: &str, partition| TopicPartition { topic: topic.to_owned(), partition };
        assert_eq!(short(&[at("t", 0), at("u", 3), at("t", 1)]), "t:0,1 u:3");
        assert_eq!(short(&[]), "-");
    }
}
