//! grpc.health.v1: serving while the node is ready.

use proto::v1::{dataplane_server, observe_server};
use tokio::sync::watch;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

/// The service, and what keeps it up to date.
pub(super) async fn service(
    mut ready: watch::Receiver<bool>,
) -> (HealthServer<impl Health>, impl Future<Output = ()>) {
    let reporter = HealthReporter::new();
    let now = *ready.borrow_and_update();
    report(&reporter, now).await;
    let service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
    let following = async move {
        while ready.changed().await.is_ok() {
            let now = *ready.borrow_and_update();
            report(&reporter, now).await;
        }
    };
    (HealthServer::new(service), following)
}

async fn report(reporter: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}

/// The empty name is the server as a whole.
const NAMES: [&str; 3] = ["", dataplane_server::SERVICE_NAME, observe_server::SERVICE_NAME];
