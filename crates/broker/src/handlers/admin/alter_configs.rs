//! AlterConfigs: replaces a resource's whole configuration. Old, but still sent.

use std::collections::BTreeMap;

use controller::metadata::{ConfigAlteration, ConfigChange, Refusal};
use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::configs::{self, Altered, Wanted};
use super::proposal::Mode;
use crate::context::{Call, Context};
use crate::topics::internal;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
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
    AlterConfigsResponse { responses: responses.collect(), ..AlterConfigsResponse::default() }
}

fn change(resource: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let target = configs::resource(resource.resource_type, &resource.resource_name)?;
    let mut values = BTreeMap::new();
    for config in &resource.configs {
        let Some(value) = &config.value else {
            let text = format!("{} has no value", &*config.name);
            return Err(Refusal::new(ErrorCode::InvalidConfig, text));
        };
        configs::check_value(&target, &config.name, value)?;
        values.insert(String::from(&config.name), String::from(value));
    }
    // What is not named goes back to its default; what commits depend on stays.
    if configs::is_internal_topic(&target) {
        internal::complete(&mut values);
    }
    Ok(ConfigChange { resource: target, alteration: ConfigAlteration::Replace(values) })
}
