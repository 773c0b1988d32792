//! `steadfast config`: show and change configuration of topics and brokers.

use client::admin::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, Mode};
use model::BrokerId;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::Options;
use super::output::Output;
use super::values::parse_pair;

/// Arguments of `steadfast config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what is set; with --all, defaults too.
    Describe {
        #[command(flatten)]
        resource: Resource,
        /// Show keys that have their default.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Change keys, all or none.
    Alter {
        #[command(flatten)]
        resource: Resource,
        /// Set a key; may be given several times.
        #[arg(long = "set", value_parser = parse_pair, value_name = "KEY=VALUE")]
        set: Vec<(String, String)>,
        /// Set a key back to its default; may be given several times.
        #[arg(long = "delete", value_name = "KEY")]
        delete: Vec<String>,
        /// Add to a list; may be given several times.
        #[arg(long = "append", value_parser = parse_pair, value_name = "KEY=VALUE")]
        append: Vec<(String, String)>,
        /// Take out of a list; may be given several times.
        #[arg(long = "subtract", value_parser = parse_pair, value_name = "KEY=VALUE")]
        subtract: Vec<(String, String)>,
        /// Check only, and change nothing.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Resource {
    /// A topic.
    #[arg(long)]
    topic: Option<String>,
    /// A broker, by id.
    #[arg(long)]
    broker: Option<i32>,
    /// What holds for all brokers.
    #[arg(long)]
    all_brokers: bool,
}

/// Runs `steadfast config`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Describe { resource, all, options } => {
            let resource = resource.into_resource();
            let mut entries = options
                .client()?
                .describe_configs(&resource)
                .await
                .map_err(Failure::cluster(format!("cannot describe {resource}")))?;
            let own = match resource {
                ConfigResource::Topic(_) => &[ConfigSource::Topic][..],
                ConfigResource::Broker(_) | ConfigResource::AllBrokers => &[
                    ConfigSource::DynamicBroker,
                    ConfigSource::DynamicDefaultBroker,
                    ConfigSource::StaticBroker,
                ],
            };
            entries.retain(|entry| all || own.contains(&entry.source));
            entries.sort_by(|one, other| one.name.cmp(&other.name));
            show(options.output(), &entries)
        }
        Action::Alter { resource, set, delete, append, subtract, validate_only, options } => {
            let resource = resource.into_resource();
            let set = set.into_iter().map(|(key, value)| ConfigChange::Set(key, value));
            let append = append.into_iter().map(|(key, value)| ConfigChange::Append(key, value));
            let subtract =
                subtract.into_iter().map(|(key, value)| ConfigChange::Subtract(key, value));
            let delete = delete.into_iter().map(ConfigChange::Delete);
            let changes: Vec<_> = set.chain(append).chain(subtract).chain(delete).collect();
            if changes.is_empty() {
                let message = "nothing to change: give --set, --delete, --append or --subtract";
                return Err(Failure::Usage(message.to_owned()));
            }
            let mode = if validate_only { Mode::ValidateOnly } else { Mode::Apply };
            options
                .client()?
                .alter_configs(&resource, &changes, mode)
                .await
                .map_err(Failure::cluster(format!("cannot change {resource}")))?;
            let done = if validate_only { "valid" } else { "changed" };
            let mut output = options.output();
            output.outcome("resource", &resource.to_string(), done)?;
            output.flush()
        }
    }
}

fn show(mut output: Output, entries: &[ConfigEntry]) -> Result<(), Failure> {
    let value = || -> Value {
        let entries = entries.iter().map(|entry| {
            json!({
                "name": entry.name,
                "value": entry.value,
                "source": source(entry.source),
                "read_only": entry.is_read_only,
                "sensitive": entry.is_sensitive,
            })
        });
        entries.collect()
    };
    output.answer(value, |output| {
        let rows = entries.iter().map(|entry| {
            let value = shown_value(entry).to_owned();
            vec![entry.name.clone(), value, source(entry.source).to_owned()]
        });
        let rows: Vec<_> = rows.collect();
        output.table(&["KEY", "VALUE", "SOURCE"], &rows)
    })?;
    output.flush()
}

/// Returns a value for a reader: brokers keep secrets to themselves.
pub(super) fn shown_value(entry: &ConfigEntry) -> &str {
    entry.value.as_deref().unwrap_or(if entry.is_sensitive { "(secret)" } else { "-" })
}

fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::DynamicBroker => "broker",
        ConfigSource::DynamicDefaultBroker => "all brokers",
        ConfigSource::StaticBroker => "broker's file",
        ConfigSource::Default => "default",
        ConfigSource::Other => "other",
    }
}

impl Resource {
    fn into_resource(self) -> ConfigResource {
        match (self.topic, self.broker) {
            (Some(topic), _) => ConfigResource::Topic(topic),
            (None, Some(broker)) => ConfigResource::Broker(BrokerId(broker)),
            (None, None) => ConfigResource::AllBrokers,
        }
    }
}
