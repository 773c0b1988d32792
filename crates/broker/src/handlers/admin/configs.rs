//! Configurations in requests: resources and values are checked against the joined tables of keys, and changes are proposed as one command.

use std::collections::BTreeMap;

use controller::metadata::{AlterConfigs, Command, ConfigChange, ConfigResource, Outcome, Refusal};
use model::config::{ConfigKey, ConfigScope};
use model::{BrokerId, ErrorCode};
use protocol::KafkaString;

use super::proposal::{self, Mode};
use crate::config;
use crate::context::{Call, Context};
use crate::topics::internal::{self, is_internal};

/// What a client asks to become of one resource, or why it cannot.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Kafka's number of the resource's type.
    pub(super) resource_type: i8,
    /// The resource, as the client names it.
    pub(super) resource_name: KafkaString,
    /// The change.
    pub(super) change: Result<ConfigChange, Refusal>,
}

/// What became of one resource, as both AlterConfigs and IncrementalAlterConfigs answer.
#[derive(Debug)]
pub(super) struct Altered {
    pub(super) error_code: ErrorCode,
    pub(super) error_message: Option<KafkaString>,
    pub(super) resource_type: i8,
    pub(super) resource_name: KafkaString,
}

/// Proposes the changes that are sound as one command, and answers for each resource, in the order of the request.
pub(super) async fn alter(
    context: &Context,
    call: &Call,
    mode: Mode,
    wanted: Vec<Wanted>,
) -> Vec<Altered> {
    let sound = wanted.iter().filter_map(|wanted| wanted.change.as_ref().ok().cloned());
    let changes: Vec<ConfigChange> = sound.collect();
    let outcome = if changes.is_empty() {
        Ok(Outcomes::new())
    } else {
        let command = Command::AlterConfigs(AlterConfigs { changes });
        match proposal::propose(context, mode, command).await {
            // Of a resource that is named twice, what came first is told.
            Ok(Outcome::ConfigsAltered(altered)) => Ok(altered.into_iter().rev().collect()),
            Ok(_) => Err(proposal::unexpected()),
            Err(refusal) => Err(refusal),
        }
    };
    let altered = wanted.into_iter().map(|wanted| {
        let Wanted { resource_type, resource_name, change } = wanted;
        let result = change.and_then(|change| result_of(&outcome, &change.resource));
        let (error_code, error_message) = proposal::told(result);
        context.count_error(call.api_key, error_code);
        Altered { error_code, error_message, resource_type, resource_name }
    });
    altered.collect()
}

/// What became of each resource, as the controller answers.
type Outcomes = BTreeMap<ConfigResource, Result<(), Refusal>>;

fn result_of(
    outcome: &Result<Outcomes, Refusal>,
    resource: &ConfigResource,
) -> Result<(), Refusal> {
    match outcome {
        Ok(altered) => {
            altered.get(resource).cloned().unwrap_or_else(|| Err(proposal::unexpected()))
        }
        Err(refusal) => Err(refusal.clone()),
    }
}

/// Reads a resource of a configuration request.
pub(super) fn resource(resource_type: i8, name: &str) -> Result<ConfigResource, Refusal> {
    let invalid = |text: String| Refusal::new(ErrorCode::InvalidRequest, text);
    match resource_type {
        TOPIC_RESOURCE => Ok(ConfigResource::Topic(name.to_owned())),
        BROKER_RESOURCE if name.is_empty() => Ok(ConfigResource::Cluster),
        BROKER_RESOURCE => match name.parse() {
            Ok(id) => Ok(ConfigResource::Broker(BrokerId(id))),
            Err(_) => Err(invalid(format!("{name:?} is no broker id"))),
        },
        other => Err(invalid(format!("resource type {other} has no configuration here"))),
    }
}

/// Finds the declaration of a key for a resource.
pub(super) fn declaration(
    resource: &ConfigResource,
    name: &str,
) -> Result<&'static ConfigKey, Refusal> {
    let invalid = |text: String| Refusal::new(ErrorCode::InvalidConfig, text);
    match resource {
        ConfigResource::Topic(_) => config::find_topic_key(name)
            .ok_or_else(|| invalid(format!("Unknown topic config name: {name}"))),
        ConfigResource::Broker(_) | ConfigResource::Cluster => {
            let setting = config::find_setting(name)
                .ok_or_else(|| invalid(format!("Unknown broker config name: {name}")))?;
            if setting.scope == ConfigScope::Cluster {
                return Ok(setting.key);
            }
            let text = format!("{name} belongs to one server's file and takes effect at its start");
            Err(Refusal::new(ErrorCode::InvalidRequest, text))
        }
    }
}

/// Checks one value against its declaration.
pub(super) fn check_value(
    resource: &ConfigResource,
    name: &str,
    value: &str,
) -> Result<(), Refusal> {
    let checked = declaration(resource, name)?.validate(value);
    checked.map_err(|error| Refusal::new(ErrorCode::InvalidConfig, error.to_string()))?;
    check_internal(resource, name, Some(value))
}

/// Checks what an internal topic cannot do without; `None` is a key that is left to the cluster's default.
pub(super) fn check_internal(
    resource: &ConfigResource,
    name: &str,
    value: Option<&str>,
) -> Result<(), Refusal> {
    if !is_internal_topic(resource) {
        return Ok(());
    }
    let checked = internal::check_config(name, value);
    checked.map_err(|text| Refusal::new(ErrorCode::InvalidConfig, text))
}

/// Says whether a resource is an internal topic.
pub(super) fn is_internal_topic(resource: &ConfigResource) -> bool {
    matches!(resource, ConfigResource::Topic(name) if is_internal(name))
}

/// Checks the configuration of a new topic; keys with a null value have their default.
pub(super) fn topic_configs<'a>(
    topic: &str,
    entries: impl Iterator<Item = (&'a KafkaString, Option<&'a KafkaString>)>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let resource = ConfigResource::Topic(topic.to_owned());
    let mut configs = BTreeMap::new();
    for (name, value) in entries {
        let Some(value) = value else {
            declaration(&resource, name)?;
            continue;
        };
        check_value(&resource, name, value)?;
        configs.insert(String::from(name), String::from(value));
    }
    if is_internal_topic(&resource) {
        internal::complete(&mut configs);
    }
    Ok(configs)
}

/// Kafka's number of the resource type "topic".
const TOPIC_RESOURCE: i8 = 2;
/// Kafka's number of the resource type "broker".
const BROKER_RESOURCE: i8 = 4;
