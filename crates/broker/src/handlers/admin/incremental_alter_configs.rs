//! IncrementalAlterConfigs: changes single keys (KIP-339).

use controller::metadata::{ConfigAlteration, ConfigChange, ConfigOperation, Refusal};
use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::configs::{self, Altered, Wanted};
use super::proposal::Mode;
use super::twice::named_twice;
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mode = Mode::from_wire(request.validate_only);
    let wanted = request.resources.into_iter().map(|resource| Wanted {
        change: change(&resource),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    });
    let altered = configs::alter(context, call, mode, wanted.collect()).await;
    let responses = altered.into_iter().map(|altered| {
        let Altered { error_code, error_message, resource_type, resource_name } = altered;
        AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}

fn change(resource: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let target = configs::resource(resource.resource_type, &resource.resource_name)?;
    let twice = named_twice(resource.configs.iter().map(|config| config.name.as_str()));
    if let Some(name) = twice.first() {
        let text = format!("{name} is changed twice");
        return Err(Refusal::new(ErrorCode::InvalidRequest, text));
    }
    let mut operations = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        configs::declaration(&target, &config.name)?;
        let operation = operation(config)?;
        match &operation {
            ConfigOperation::Set(value) => configs::check_value(&target, &config.name, value)?,
            _ => configs::check_internal(&target, &config.name, None)?,
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
