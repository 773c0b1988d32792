//! `steadfast group reset-offsets`: a plan first, and the commit with `--execute`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::OffsetAt;
use client::groups::{CommittedOffset, GroupState};
use client::{Client, Error, Topics};
use model::clock::Clock;
use model::{ErrorCode, Offset, TopicPartition, UnixMillis};
use serde_json::{Value, json};

use super::plan::{Known, Move, Target};
use super::{TopicChoice, parse_topic_choice};
use crate::cli::date_time::parse_time;
use crate::cli::failure::Failure;
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::cli::partitions::offsets;
use crate::cli::values::parse_long_duration;

/// Arguments of `steadfast group reset-offsets`.
#[derive(Debug, clap::Args)]
pub(super) struct Reset {
    /// The group.
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// A topic, or partitions of one as TOPIC:0,1; may be given several times.
    #[arg(long = "topic", required_unless_present = "all_topics", value_parser = parse_topic_choice, value_name = "TOPIC[:PARTITION,...]")]
    topics: Vec<TopicChoice>,
    /// All topics that the group has committed offsets of.
    #[arg(long, conflicts_with = "topics")]
    all_topics: bool,
    #[command(flatten)]
    target: TargetArguments,
    /// Do it; without this, only show what would be done.
    #[arg(long)]
    execute: bool,
    /// Only show what would be done; this is what happens anyhow.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TargetArguments {
    /// To the first offset that is kept.
    #[arg(long)]
    to_earliest: bool,
    /// To the end.
    #[arg(long)]
    to_latest: bool,
    /// To where the group is: commits it again.
    #[arg(long)]
    to_current: bool,
    /// To an offset.
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// So many offsets further, or back when negative.
    #[arg(long, allow_negative_numbers = true, value_name = "COUNT")]
    shift_by: Option<i64>,
    /// To the first record of this time or later: 2026-01-31T12:00:00.000 (UTC, or with +HH:MM), or @MS.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    to_datetime: Option<UnixMillis>,
    /// To the first record of so long ago or later: 90m, 2h, 7d, or PT2H.
    #[arg(long, value_parser = parse_long_duration, value_name = "DURATION")]
    by_duration: Option<Duration>,
}

impl TargetArguments {
    fn target(&self) -> Target {
        if let Some(offset) = self.to_offset {
            return Target::Offset(offset);
        }
        if let Some(count) = self.shift_by {
            return Target::ShiftBy(count);
        }
        if let Some(time) = self.to_datetime {
            return Target::Time(time);
        }
        if let Some(ago) = self.by_duration {
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            return Target::Time(UnixMillis(Clock::start().wall().0.saturating_sub(ago).max(0)));
        }
        match (self.to_earliest, self.to_latest) {
            (true, _) => Target::Earliest,
            (_, true) => Target::Latest,
            // The group of arguments requires one.
            _ => Target::Current,
        }
    }
}

type Plan = BTreeMap<TopicPartition, (Option<Offset>, Move)>;

impl Reset {
    /// Makes the plan, shows it, and carries it out if that was asked for.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (client, mut output) = (self.options.client()?, self.options.output());
        let members = self.member_count(&client).await?;
        if self.execute && members > 0 {
            return Err(Failure::Failed(self.refusal(members)));
        }
        let plan = self.plan(&client).await?;
        for (partition, (_, to)) in &plan {
            if let Some(wanted) = to.clamped_from {
                eprintln!(
                    "steadfast: {partition}: the log does not hold offset {wanted}, taking {}",
                    to.to
                );
            }
        }
        if self.execute {
            self.carry_out(&client, &plan).await?;
        }
        self.show(&mut output, &plan)?;
        output.flush()?;
        if !self.execute {
            eprintln!("steadfast: nothing was changed; --execute does it");
            if members > 0 {
                eprintln!("steadfast: {}", self.refusal(members));
            }
        }
        Ok(())
    }

    fn refusal(&self, members: usize) -> String {
        let group = &self.group;
        let members =
            if members == 1 { "a member".to_owned() } else { format!("{members} members") };
        format!(
            "group {group} has {members}, and offsets are reset only while nobody reads: stop what `steadfast group members {group}` shows"
        )
    }

    /// Returns how many members the group has; a group that does not exist has none, and is made by the commit.
    async fn member_count(&self, client: &Client) -> Result<usize, Failure> {
        let mut answers = client.describe_groups(std::slice::from_ref(&self.group)).await;
        match answers.remove(&self.group) {
            Some(Ok(group)) if matches!(group.state, GroupState::Empty | GroupState::Dead) => Ok(0),
            Some(Ok(group)) => Ok(group.members.len().max(1)),
            // Its coordinator knows whether it has members, and refuses the commit then.
            Some(Err(Error::GroupType { .. })) => Ok(0),
            Some(Err(failure)) if failure.code() != Some(ErrorCode::GroupIdNotFound) => {
                Err(Failure::cluster(format!("cannot describe group {}", self.group))(failure))
            }
            Some(Err(_)) | None => Ok(0),
        }
    }

    async fn plan(&self, client: &Client) -> Result<Plan, Failure> {
        let what = format!("cannot reset offsets of group {}", self.group);
        let committed = client
            .group_offsets(&self.group, None)
            .await
            .map_err(Failure::cluster(format!("cannot read offsets of group {}", self.group)))?;
        let partitions = self.partitions(client, &committed).await?;
        let target = self.target.target();
        let earliest = offsets(client, &partitions, OffsetAt::Earliest).await?;
        let latest = offsets(client, &partitions, OffsetAt::Latest).await?;
        let at_time = match target.question() {
            Some(question) => offsets(client, &partitions, question).await?,
            None => BTreeMap::new(),
        };
        let mut plan = Plan::new();
        for partition in partitions {
            let committed = committed.get(&partition).map(|committed| committed.offset);
            let known = Known {
                committed,
                earliest: earliest.get(&partition).copied().unwrap_or(Offset::ZERO),
                latest: latest.get(&partition).copied().unwrap_or(Offset::ZERO),
                at_time: at_time.get(&partition).copied(),
            };
            let to = target.apply(known).ok_or_else(|| {
                Failure::Failed(format!(
                    "{what}: it has committed nothing for {partition} to shift from; give --to-offset, --to-earliest or --to-latest"
                ))
            })?;
            plan.insert(partition, (committed, to));
        }
        Ok(plan)
    }

    /// Returns the partitions that the arguments name.
    async fn partitions(
        &self,
        client: &Client,
        committed: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<Vec<TopicPartition>, Failure> {
        if self.all_topics && committed.is_empty() {
            let group = &self.group;
            return Err(Failure::Failed(format!(
                "group {group} has committed nothing, so --all-topics names none; give --topic"
            )));
        }
        let choices = if self.all_topics {
            let topics: BTreeSet<_> = committed.keys().map(|at| &at.topic).collect();
            let all = |topic: &String| TopicChoice { topic: topic.clone(), partitions: Vec::new() };
            topics.into_iter().map(all).collect()
        } else {
            self.topics.clone()
        };
        let names: Vec<_> = choices.iter().map(|choice| choice.topic.clone()).collect();
        let metadata = client
            .retry(|| client.refresh_metadata(Topics::Named(&names)))
            .await
            .map_err(Failure::cluster("cannot ask for topics"))?;
        let mut partitions = Vec::new();
        for choice in choices {
            let topic = metadata.topics.get(&choice.topic);
            let code = topic.map_or(ErrorCode::UnknownTopicOrPartition, |topic| topic.error_code);
            if self.all_topics && code == ErrorCode::UnknownTopicOrPartition {
                // A topic that is gone has no offsets to move to.
                eprintln!(
                    "steadfast: topic {} does not exist any more, leaving it out",
                    choice.topic
                );
                continue;
            }
            let what = format!("cannot reset offsets of group {}", self.group);
            Error::check(format!("topic {}", choice.topic), code, None)
                .map_err(Failure::cluster(what.clone()))?;
            let known: BTreeSet<_> =
                topic.map(|topic| topic.partitions.keys().copied().collect()).unwrap_or_default();
            if let Some(unknown) = choice.partitions.iter().find(|wanted| !known.contains(wanted)) {
                return Err(Failure::Failed(format!(
                    "{what}: topic {} has no partition {unknown}, only {}",
                    choice.topic,
                    known.len()
                )));
            }
            let all = choice.partitions.is_empty();
            let wanted = if all { known.into_iter().collect() } else { choice.partitions };
            partitions.extend(
                wanted
                    .into_iter()
                    .map(|partition| TopicPartition { topic: choice.topic.clone(), partition }),
            );
        }
        Ok(partitions)
    }

    async fn carry_out(&self, client: &Client, plan: &Plan) -> Result<(), Failure> {
        let offsets = plan
            .iter()
            .map(|(partition, (_, to))| (partition.clone(), CommittedOffset::at(to.to)))
            .collect();
        let result = client.commit_group_offsets(&self.group, &offsets).await;
        match result {
            // Somebody joined since we looked.
            Err(error) if error.code() == Some(ErrorCode::UnknownMemberId) => {
                Err(Failure::Failed(self.refusal(1)))
            }
            result => {
                let what = format!("cannot commit offsets of group {}", self.group);
                result.map_err(Failure::cluster(what))
            }
        }
    }

    fn show(&self, output: &mut Output, plan: &Plan) -> Result<(), Failure> {
        let value = || {
            let offsets: Value = plan
                .iter()
                .map(|(at, (committed, to))| {
                    json!({
                        "topic": at.topic,
                        "partition": at.partition,
                        "current_offset": committed.map(|offset| offset.0),
                        "new_offset": to.to.0,
                        "clamped_from": to.clamped_from,
                    })
                })
                .collect();
            json!({ "group": self.group, "executed": self.execute, "offsets": offsets })
        };
        output.answer(value, |output| {
            let rows = plan.iter().map(|(at, (committed, to))| {
                let current = committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
                vec![at.topic.clone(), at.partition.to_string(), current, to.to.to_string()]
            });
            let rows: Vec<_> = rows.collect();
            output.table(&["TOPIC", "PARTITION", "CURRENT", "NEW"], &rows)
        })
    }
}
