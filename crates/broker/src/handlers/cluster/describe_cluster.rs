//! DescribeCluster: the brokers, for administrators (KIP-700).

use controller::metadata::{BrokerRegistration, Endpoint};
use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::describe_cluster::DescribeClusterBroker;
use protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use crate::context::{Call, Context};
use crate::handlers::{authorized_operations, brokers};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

/// Kafka's number for the addresses of brokers.
const BROKERS: i8 = 1;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: ErrorCode::MismatchedEndpointType,
            error_message: Some("this is a broker's listener".into()),
            endpoint_type: request.endpoint_type,
            ..DescribeClusterResponse::default()
        };
    }
    let image = context.controller.image();
    let listener = &call.listener.name;
    let shown = image
        .brokers()
        .filter(|broker| request.include_fenced_brokers || !broker.is_fenced())
        .filter_map(|broker| Some(describe(broker, broker.endpoint(listener)?)));
    let operations = if request.include_cluster_authorized_operations {
        authorized_operations::CLUSTER
    } else {
        authorized_operations::NOT_ASKED
    };
    DescribeClusterResponse {
        cluster_id: image.cluster_id().map_or_else(Default::default, |id| id.0.as_str().into()),
        controller_id: brokers::controller_id(context, &image, listener).map_or(-1, |id| id.0),
        brokers: shown.collect(),
        cluster_authorized_operations: operations,
        ..DescribeClusterResponse::default()
    }
}

fn describe(broker: &BrokerRegistration, endpoint: &Endpoint) -> DescribeClusterBroker {
    DescribeClusterBroker {
        broker_id: broker.broker_id.0,
        host: endpoint.address.host.as_str().into(),
        port: i32::from(endpoint.address.port),
        rack: broker.rack.as_deref().map(Into::into),
        is_fenced: broker.is_fenced(),
    }
}
