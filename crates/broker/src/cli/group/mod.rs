//! `steadfast group`: list, describe, members, reset-offsets, delete, delete-offsets.

mod delete;
mod describe;
mod members;
mod plan;
mod reset;

use client::groups::{GroupDescription, GroupListing, GroupState};
use client::{Client, Error};
use model::ErrorCode;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::Connect;
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
        common: Common,
    },
    /// Show state, committed offsets and lag, and who reads what.
    Describe {
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        common: Common,
    },
    /// Show the members.
    Members {
        #[command(flatten)]
        names: Names,
        /// Show which partitions each member has.
        #[arg(long, short = 'v')]
        verbose: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Move the committed offsets of a group that has no members: shows what would be done, --execute does it.
    ResetOffsets(reset::Reset),
    /// Delete groups without members, and all that they have committed.
    Delete {
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        common: Common,
    },
    /// Delete what a group has committed for topics that no member reads.
    DeleteOffsets(delete::DeleteOffsets),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
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
    let mut output = Output::new();
    match arguments.action {
        Action::List { state, long, common } => {
            let client = common.connect.client()?;
            let is_long = long || state.is_some();
            let groups = list(&client, &state.unwrap_or_default()).await?;
            show_list(&mut output, &groups, is_long, common.json)?;
        }
        Action::Describe { names, common } => {
            let client = common.connect.client()?;
            let names = names.resolve(&client).await?;
            describe::run(&mut output, &client, &names, common.json).await?;
        }
        Action::Members { names, verbose, common } => {
            let client = common.connect.client()?;
            let names = names.resolve(&client).await?;
            let groups = described(&client, &names).await?;
            members::show(&mut output, &groups, verbose, common.json)?;
        }
        Action::ResetOffsets(reset) => reset.run(&mut output).await?,
        Action::Delete { names, common } => {
            let client = common.connect.client()?;
            for group in names.resolve(&client).await? {
                let what = format!("cannot delete group {group}");
                client.delete_group(&group).await.map_err(Failure::cluster(what))?;
                if common.json {
                    output.json(&json!({ "group": group, "result": "deleted" }))?;
                } else {
                    output.line(&format!("deleted {group}"))?;
                }
            }
        }
        Action::DeleteOffsets(deletion) => deletion.run(&mut output).await?,
    }
    output.flush()
}

async fn list(client: &Client, states: &[GroupState]) -> Result<Vec<GroupListing>, Failure> {
    client.list_groups(states).await.map_err(Failure::cluster("cannot list groups"))
}

fn show_list(
    output: &mut Output,
    groups: &[GroupListing],
    is_long: bool,
    json: bool,
) -> Result<(), Failure> {
    let state = |group: &GroupListing| group.state.as_ref().map(ToString::to_string);
    if json {
        let groups: Value = groups
            .iter()
            .map(|group| {
                json!({
                    "group": group.group_id,
                    "state": state(group),
                    "type": group.group_type,
                    "protocol_type": group.protocol_type,
                })
            })
            .collect();
        return output.json(&groups);
    }
    if !is_long {
        return groups.iter().try_for_each(|group| output.line(&group.group_id));
    }
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows: Vec<_> = groups
        .iter()
        .map(|group| {
            let state = or_dash(state(group));
            vec![group.group_id.clone(), state, or_dash(group.group_type.clone())]
        })
        .collect();
    output.table(&["GROUP", "STATE", "TYPE"], &rows)
}

/// Describes groups that must exist, in the order in which they are named.
async fn described(client: &Client, names: &[String]) -> Result<Vec<GroupDescription>, Failure> {
    let mut answers = client.describe_groups(names).await;
    let mut groups = Vec::with_capacity(names.len());
    for name in names {
        // A name that was given twice is shown once.
        let Some(answer) = answers.remove(name) else { continue };
        let group = answer.and_then(|group| match group.state {
            GroupState::Dead => Err(unknown_group(name)),
            _ => Ok(group),
        });
        groups.push(group.map_err(Failure::cluster(format!("cannot describe group {name}")))?);
    }
    Ok(groups)
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
