//! DescribeConfigs: values of topics and brokers, where each comes from, and what it overrides.
//!
//! Everything shown comes from the joined tables of keys and the metadata image; a server's own keys only from that server.

use controller::metadata::{ConfigResource, Image, Refusal};
use model::ErrorCode;
use model::config::{ConfigKey, ConfigKind, ConfigScope, ConfigUpdate};
use protocol::VersionRange;
use protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::{configs, proposal};
use crate::config;
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

/// Kafka's `ConfigSource`.
const FROM_TOPIC: i8 = 1;
const FROM_CLUSTER: i8 = 3;
const FROM_FILE: i8 = 4;
const FROM_DEFAULT: i8 = 5;

/// A key, and where values of it are set, strongest first.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// The declaration.
    pub(super) key: &'static ConfigKey,
    /// Name, value and source of each place.
    set: Vec<(&'static str, String, i8)>,
    read_only: bool,
}

impl Value {
    /// Returns the value that holds.
    pub(super) fn effective(&self) -> Option<&str> {
        self.set.first().map(|(_, value, _)| value.as_str())
    }

    /// Returns where it comes from.
    pub(super) fn source(&self) -> i8 {
        self.set.first().map_or(FROM_DEFAULT, |(_, _, source)| *source)
    }
}

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let image = context.controller.image();
    let results = request.resources.iter().map(|resource| {
        let described = describe(context, &image, &request, resource);
        let (configs, result) = match described {
            Ok(configs) => (configs, Ok(())),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        let (error_code, error_message) = proposal::told(result);
        context.count_error(call.api_key, error_code);
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs,
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }
}

fn describe(
    context: &Context,
    image: &Image,
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let values: Vec<Value> =
        match configs::resource(resource.resource_type, &resource.resource_name)? {
            ConfigResource::Topic(name) => {
                let topic = image.topic_by_name(&name).ok_or_else(|| {
                    Refusal::new(ErrorCode::UnknownTopicOrPartition, "no such topic")
                })?;
                topic_values(image, |key| topic.configs.get(key).map(String::as_str)).collect()
            }
            // Kafka shows of the cluster-wide defaults only those that are set.
            ConfigResource::Cluster => {
                cluster_values(image).filter(|value| value.source() == FROM_CLUSTER).collect()
            }
            ConfigResource::Broker(id) if id == context.broker_id() => {
                cluster_values(image).chain(server_values(context)).collect()
            }
            ConfigResource::Broker(id) => {
                let text =
                    format!("broker {id} must be asked itself; this is {}", context.broker_id());
                return Err(Refusal::new(ErrorCode::InvalidRequest, text));
            }
        };
    let wanted = |value: &&Value| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.iter().any(|key| *key == value.key.name))
    };
    Ok(values.iter().filter(wanted).map(|value| row(value, request)).collect())
}

/// Returns every key of topics with what is set for one topic.
pub(super) fn topic_values<'a>(
    image: &'a Image,
    own: impl Fn(&str) -> Option<&'a str> + 'a,
) -> impl Iterator<Item = Value> + 'a {
    let keys = config::all_keys().filter(|key| key.scope == ConfigScope::Topic);
    keys.map(move |key| {
        let mut set = Vec::new();
        if let Some(value) = own(key.name) {
            set.push((key.name, value.to_owned(), FROM_TOPIC));
        }
        set.extend(cluster_wide(image, key));
        Value { key, set, read_only: false }
    })
}

/// Returns what the cluster says for a key of topics, under its synonyms, and the default.
fn cluster_wide(image: &Image, key: &'static ConfigKey) -> Vec<(&'static str, String, i8)> {
    let names = std::iter::once(key.name).chain(key.synonyms.iter().copied());
    let mut set: Vec<(&'static str, String, i8)> = Vec::new();
    for name in names {
        if let Some(value) = image.cluster_configs().get(name)
            && !set.iter().any(|(other, _, _)| *other == name)
        {
            set.push((name, in_unit_of_topic(name, value), FROM_CLUSTER));
        }
    }
    if let Some(default) = key.default {
        set.push((
            key.synonyms.first().copied().unwrap_or(key.name),
            default.to_owned(),
            FROM_DEFAULT,
        ));
    }
    set
}

/// Kafka's older spellings have their unit in the name; topics count in milliseconds.
fn in_unit_of_topic(name: &str, value: &str) -> String {
    let factor: i64 = match name.rsplit('.').next() {
        Some("hours") => 3_600_000,
        Some("minutes") => 60_000,
        _ => return value.to_owned(),
    };
    value
        .parse::<i64>()
        .map_or_else(|_| value.to_owned(), |number| number.saturating_mul(factor).to_string())
}

fn cluster_values(image: &Image) -> impl Iterator<Item = Value> + '_ {
    let own = config::all_keys().filter(|key| key.scope == ConfigScope::Cluster).map(|key| {
        let mut set = Vec::new();
        if let Some(value) = image.cluster_configs().get(key.name) {
            set.push((key.name, value.clone(), FROM_CLUSTER));
        }
        set.extend(key.default.map(|default| (key.name, default.to_owned(), FROM_DEFAULT)));
        Value { key, set, read_only: false }
    });
    // Keys whose cluster-wide default has the topic key's own name.
    let shared = config::all_keys()
        .filter(|key| key.scope == ConfigScope::Topic)
        .filter(|key| key.synonyms.is_empty() || key.synonyms.contains(&key.name))
        .map(|key| Value { key, set: cluster_wide(image, key), read_only: false });
    own.chain(shared)
}

fn server_values(context: &Context) -> impl Iterator<Item = Value> + '_ {
    let settings = &context.config.settings;
    config::all_keys().filter(|key| key.scope == ConfigScope::Server).map(|key| {
        let mut set = Vec::new();
        if let Some(value) = settings.explicit(key.name) {
            set.push((key.name, value.to_owned(), FROM_FILE));
        }
        set.extend(key.default.map(|default| (key.name, default.to_owned(), FROM_DEFAULT)));
        Value { key, set, read_only: key.update == ConfigUpdate::Restart }
    })
}

fn row(value: &Value, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = value.set.iter().map(|(name, value, source)| DescribeConfigsSynonym {
        name: (*name).into(),
        value: Some(value.as_str().into()),
        source: *source,
    });
    let documentation = value.key.documentation;
    DescribeConfigsResourceResult {
        name: value.key.name.into(),
        value: value.effective().map(Into::into),
        read_only: value.read_only,
        is_default: value.source() == FROM_DEFAULT,
        config_source: value.source(),
        is_sensitive: false,
        synonyms: if request.include_synonyms { synonyms.collect() } else { Vec::new() },
        config_type: type_number(&value.key.kind),
        documentation: request.include_documentation.then(|| documentation.into()),
    }
}

/// Kafka's `ConfigType`.
fn type_number(kind: &ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::Text | ConfigKind::Enum { .. } => 2,
        ConfigKind::Int { .. } => 3,
        ConfigKind::Long { .. } => 5,
        ConfigKind::Double { .. } => 6,
        ConfigKind::List { .. } => 7,
    }
}
