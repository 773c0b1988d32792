//! `steadfast group`: list, describe, members, reset-offsets, delete, delete-offsets.

mod delete_offsets;
mod describe;
mod members;
mod plan;
mod reset;

use client::groups::{GroupDescription, GroupListing, GroupState};
use client::{Client, Error};
use model::ErrorCode;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::Options;
use super::output::Output;

/// Arguments of `steadfast group`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the names of the groups.
    List {
        /// Show states; with a value, only groups in one of these states.
        #[arg(long, num_args = 0..=1, value_delimiter = ',', value_parser = parse_state, value_name = "STATE,...")]
        state: Option<Vec<GroupState>>,
        /// Show states and types.
        #[arg(long, short = 'l')]
        long: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Show state, committed offsets and lag, and who reads what.
    Describe {
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        options: Options,
    },
    /// Show the members.
    Members {
        #[command(flatten)]
        names: Names,
        /// Show which partitions each member has.
        #[arg(long, short = 'v')]
        verbose: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Move the committed offsets of a group that has no members: shows what would be done, --execute does it.
    ResetOffsets(reset::Reset),
    /// Delete groups without members, and all that they have committed.
    Delete {
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        options: Options,
    },
    /// Delete what a group has committed for topics that no member reads.
    DeleteOffsets(delete_offsets::DeleteOffsets),
}

/// Which groups a command is about.
#[derive(Debug, clap::Args)]
struct Names {
    /// The groups.
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    /// A group, too; may be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    more: Vec<String>,
    /// All groups.
    #[arg(long = "all", alias = "all-groups", conflicts_with_all = ["groups", "more"])]
    all: bool,
}

impl Names {
    /// Returns the groups in the order in which they were named, or all of them.
    async fn resolve(self, client: &Client) -> Result<Vec<String>, Failure> {
        if self.all {
            let listed = list(client, &[]).await?;
            return Ok(listed.into_iter().map(|group| group.group_id).collect());
        }
        let groups: Vec<_> = self.groups.into_iter().chain(self.more).collect();
        if groups.is_empty() {
            let message = "which group? Name one or more, or give --all";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(groups)
    }

    /// Describes the groups, which must exist. Of all groups, those that cannot be described because they are not classic are left out, and named.
    async fn describe(self, client: &Client) -> Result<Vec<GroupDescription>, Failure> {
        let is_all = self.all;
        let names = self.resolve(client).await?;
        let mut answers = client.describe_groups(&names).await;
        let mut groups = Vec::with_capacity(names.len());
        for name in &names {
            // A name that was given twice is shown once.
            let Some(answer) = answers.remove(name) else { continue };
            let group = answer.and_then(|group| match group.state {
                GroupState::Dead => Err(unknown_group(name)),
                _ => Ok(group),
            });
            match group {
                Err(error @ Error::GroupType { .. }) if is_all => {
                    eprintln!("steadfast: leaving out what cannot be described: {error}");
                }
                group => {
                    let what = format!("cannot describe group {name}");
                    groups.push(group.map_err(Failure::cluster(what))?);
                }
            }
        }
        Ok(groups)
    }
}

/// Topics, or partitions of a topic, as `TOPIC` or `TOPIC:0,1`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TopicChoice {
    topic: String,
    /// Empty for all.
    partitions: Vec<i32>,
}

fn parse_topic_choice(text: &str) -> Result<TopicChoice, String> {
    let (topic, partitions) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((topic, list)) => {
            let number = |part: &str| part.parse::<i32>().ok().filter(|number| *number >= 0);
            let partitions = list.split(',').map(number).collect::<Option<Vec<_>>>();
            let invalid = || format!("'{text}' is neither TOPIC nor TOPIC:0,1");
            (topic, partitions.ok_or_else(invalid)?)
        }
    };
    if topic.is_empty() {
        return Err(format!("'{text}' names no topic"));
    }
    Ok(TopicChoice { topic: topic.to_owned(), partitions })
}

fn parse_state(text: &str) -> Result<GroupState, String> {
    let known = [
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
        GroupState::Empty,
        GroupState::Dead,
        GroupState::Other("Assigning".to_owned()),
        GroupState::Other("Reconciling".to_owned()),
    ];
    let names: Vec<_> = known.iter().map(ToString::to_string).collect();
    known
        .into_iter()
        .find(|state| state.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("'{text}' is no state: give {}", names.join(", ")))
}

/// Runs `steadfast group`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::List { state, long, options } => {
            let is_long = long || state.is_some();
            let groups = list(&options.client()?, &state.unwrap_or_default()).await?;
            show_list(options.output(), &groups, is_long)
        }
        Action::Describe { names, options } => {
            let client = options.client()?;
            let groups = names.describe(&client).await?;
            describe::show(options.output(), &client, &groups).await
        }
        Action::Members { names, verbose, options } => {
            let groups = names.describe(&options.client()?).await?;
            members::show(options.output(), &groups, verbose)
        }
        Action::ResetOffsets(reset) => reset.run().await,
        Action::Delete { names, options } => {
            let (client, mut output) = (options.client()?, options.output());
            for group in names.resolve(&client).await? {
                let what = format!("cannot delete group {group}");
                client.delete_group(&group).await.map_err(Failure::cluster(what))?;
                output.outcome("group", &group, "deleted")?;
            }
            output.flush()
        }
        Action::DeleteOffsets(deletion) => deletion.run().await,
    }
}

async fn list(client: &Client, states: &[GroupState]) -> Result<Vec<GroupListing>, Failure> {
    client.list_groups(states).await.map_err(Failure::cluster("cannot list groups"))
}

fn show_list(mut output: Output, groups: &[GroupListing], is_long: bool) -> Result<(), Failure> {
    let state = |group: &GroupListing| group.state.as_ref().map(ToString::to_string);
    let value = || -> Value {
        let groups = groups.iter().map(|group| {
            json!({
                "group": group.group_id,
                "state": state(group),
                "type": group.group_type,
                "protocol_type": group.protocol_type,
            })
        });
        groups.collect()
    };
    output.answer(value, |output| {
        if !is_long {
            return groups.iter().try_for_each(|group| output.line(&group.group_id));
        }
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let rows = groups.iter().map(|group| {
            let state = or_dash(state(group));
            vec![group.group_id.clone(), state, or_dash(group.group_type.clone())]
        });
        let rows: Vec<_> = rows.collect();
        output.table(&["GROUP", "STATE", "TYPE"], &rows)
    })?;
    output.flush()
}

/// The error of a group that does not exist; older brokers describe such a group as dead.
fn unknown_group(group: &str) -> Error {
    let code = ErrorCode::GroupIdNotFound;
    Error::Broker { subject: format!("group {group}"), code, message: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_name_its_partitions() {
        let table: [(&str, &[i32]); 3] = [("t", &[]), ("t:0", &[0]), ("t:3,1", &[3, 1])];
        for (text, partitions) in table {
            let choice = parse_topic_choice(text).unwrap();
            assert_eq!((choice.topic.as_str(), &*choice.partitions), ("t", partitions), "{text}");
        }
        for text in ["", ":1", "t:", "t:x", "t:-1", "t:1,"] {
            assert!(parse_topic_choice(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_state_is_known_in_any_case() {
        assert_eq!(parse_state("stable"), Ok(GroupState::Stable));
        assert_eq!(parse_state("Reconciling"), Ok(GroupState::Other("Reconciling".to_owned())));
        let error = parse_state("sleepy").unwrap_err();
        assert!(error.contains("CompletingRebalance"), "{error}");
    }
}
