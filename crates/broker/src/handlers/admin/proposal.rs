//! What administrative handlers share: proposing a command, and checking configurations against the joined tables.
//!
//! Any broker takes any administrative request; the command is what travels to the active controller. Before a handler answers, this
//! broker's own image holds what the answer says, so that the next request on the same connection finds it.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::metadata::{Command, ConfigResource, Outcome, Refusal, preview};
use model::config::{ConfigKey, ConfigScope};
use model::{BrokerId, ErrorCode};
use protocol::KafkaString;

use crate::config;
use crate::context::Context;
use crate::error_code::ToErrorCode as _;
use crate::topics::internal::{self, is_internal};

/// Kafka's number of the resource type "topic".
pub(super) const TOPIC_RESOURCE: i8 = 2;
/// Kafka's number of the resource type "broker".
pub(super) const BROKER_RESOURCE: i8 = 4;

/// Whether a command is applied or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Applied.
    Apply,
    /// Tried on a copy of this broker's image (`validate_only`).
    Validate,
}

impl Mode {
    pub(super) fn from_wire(validate_only: bool) -> Self {
        if validate_only { Self::Validate } else { Self::Apply }
    }
}

/// Proposes a command and returns its outcome, or the code for the whole request with a text.
pub(super) async fn propose(
    context: &Context,
    mode: Mode,
    command: Command,
) -> Result<Outcome, Refusal> {
    let outcome = match mode {
        Mode::Validate => {
            let image = context.controller.image();
            let next = context.controller.applied_index().map_or(0, |index| index + 1);
            preview(&image, next, &command)
        }
        Mode::Apply => {
            let failed = |error: controller::ProposeError| {
                Refusal::new(error.error_code(), error.to_string())
            };
            let applied = context.controller.propose(command).await.map_err(failed)?;
            context.controller.wait_for(applied.index).await.map_err(failed)?;
            applied.outcome
        }
    };
    match outcome {
        Outcome::Refused(refusal) => Err(refusal),
        other => Ok(other),
    }
}

/// Says that a command got an outcome of another kind, which only a defect can make.
pub(super) fn unexpected() -> Refusal {
    Refusal::new(ErrorCode::UnknownServerError, "the controller gave an answer of another kind")
}

/// Bounds the wait that a request asks for.
pub(super) async fn within<T>(
    timeout_ms: i32,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    // A client that does not want to wait still wants the change: Kafka answers it with a time-out and goes on.
    let millis = u64::try_from(timeout_ms).unwrap_or(0).max(100);
    match tokio::time::timeout(Duration::from_millis(millis), work).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::new(ErrorCode::RequestTimedOut, "the outcome is not known yet")),
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

/// Turns a text into the wire's.
pub(super) fn text(message: &str) -> Option<KafkaString> {
    (!message.is_empty()).then(|| message.into())
}
