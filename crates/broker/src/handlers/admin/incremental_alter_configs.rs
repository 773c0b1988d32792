//! IncrementalAlterConfigs: changes single keys (KIP-339).

use controller::metadata::{ConfigAlteration, ConfigChange, ConfigOperation, Refusal};
use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::alter_configs::alter;
use super::proposal::{self, Mode};
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}

fn change(resource: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let target = proposal::resource(resource.resource_type, &resource.resource_name)?;
    let mut operations = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        let twice = resource.configs.iter().filter(|other| other.name == config.name).count() > 1;
        if twice {
            let text = format!("{} is changed twice", &*config.name);
            return Err(Refusal::new(ErrorCode::InvalidRequest, text));
        }
        proposal::declaration(&target, &config.name)?;
        let operation = operation(config)?;
        match &operation {
            ConfigOperation::Set(value) => proposal::check_value(&target, &config.name, value)?,
            _ => proposal::check_internal(&target, &config.name, None)?,
        }
        operations.push((String::from(&config.name), operation));
    }
    Ok(ConfigChange { resource: target, alteration: ConfigAlteration::Incremental(operations) })
}

fn operation(config: &AlterableConfig) -> Result<ConfigOperation, Refusal> {
    let invalid = |text: String| Refusal::new(ErrorCode::InvalidRequest, text);
    if config.config_operation == 1 {
        return Ok(ConfigOperation::Delete);
    }
    let Some(value) = &config.value else {
        return Err(invalid(format!("{} has no value", &*config.name)));
    };
    let value = String::from(value);
    match config.config_operation {
        0 => Ok(ConfigOperation::Set(value)),
        2 => Ok(ConfigOperation::Append(value)),
        3 => Ok(ConfigOperation::Subtract(value)),
        other => Err(invalid(format!("there is no operation {other}"))),
    }
}
