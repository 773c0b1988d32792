//! AlterConfigs: replaces a resource's whole configuration. Old, but still sent.

use std::collections::BTreeMap;

use controller::metadata::{
    AlterConfigs, Command, ConfigAlteration, ConfigChange, ConfigResource, Outcome, Refusal,
};
use model::ErrorCode;
use protocol::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use protocol::{KafkaString, VersionRange};

use super::proposal::{self, Mode};
use crate::context::{Call, Context};
use crate::topics::internal;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

/// What became of one resource, as the controller answers.
type Altered = (ConfigResource, Result<(), Refusal>);

/// A resource as a request names it: type and name.
pub(super) type Named = (i8, KafkaString);

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let changes = request.resources.iter().map(|resource| {
        ((resource.resource_type, resource.resource_name.clone()), change(resource))
    });
    let mode = Mode::from_wire(request.validate_only);
    let results = alter(context, mode, changes.collect()).await;
    let responses = results.into_iter().map(|((resource_type, resource_name), result)| {
        let (error_code, message) = match result {
            Ok(()) => (ErrorCode::None, String::new()),
            Err(refusal) => (refusal.code, refusal.message),
        };
        context.count_error(call.api_key, error_code);
        let error_message = proposal::text(&message);
        AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    AlterConfigsResponse { responses: responses.collect(), ..AlterConfigsResponse::default() }
}

fn change(resource: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let target = proposal::resource(resource.resource_type, &resource.resource_name)?;
    let mut configs = BTreeMap::new();
    for config in &resource.configs {
        let Some(value) = &config.value else {
            let text = format!("{} has no value", &*config.name);
            return Err(Refusal::new(ErrorCode::InvalidConfig, text));
        };
        proposal::check_value(&target, &config.name, value)?;
        configs.insert(String::from(&config.name), String::from(value));
    }
    // What is not named goes back to its default; what commits depend on stays.
    if proposal::is_internal_topic(&target) {
        internal::complete(&mut configs);
    }
    Ok(ConfigChange { resource: target, alteration: ConfigAlteration::Replace(configs) })
}

/// Proposes the changes that are sound as one command, and answers for each resource, in the order of the request.
pub(super) async fn alter(
    context: &Context,
    mode: Mode,
    changes: Vec<(Named, Result<ConfigChange, Refusal>)>,
) -> Vec<(Named, Result<(), Refusal>)> {
    let sound: Vec<ConfigChange> =
        changes.iter().filter_map(|(_, change)| change.as_ref().ok().cloned()).collect();
    let outcome = if sound.is_empty() {
        Ok(Vec::new())
    } else {
        let command = Command::AlterConfigs(AlterConfigs { changes: sound });
        match proposal::propose(context, mode, command).await {
            Ok(Outcome::ConfigsAltered(altered)) => Ok(altered),
            Ok(_) => Err(proposal::unexpected()),
            Err(refusal) => Err(refusal),
        }
    };
    changes
        .into_iter()
        .map(|(named, change)| {
            let result = change.and_then(|change| result_of(&outcome, &change.resource));
            (named, result)
        })
        .collect()
}

fn result_of(
    outcome: &Result<Vec<Altered>, Refusal>,
    resource: &ConfigResource,
) -> Result<(), Refusal> {
    match outcome {
        Ok(altered) => altered
            .iter()
            .find(|(other, _)| other == resource)
            .map_or_else(|| Err(proposal::unexpected()), |(_, result)| result.clone()),
        Err(refusal) => Err(refusal.clone()),
    }
}
