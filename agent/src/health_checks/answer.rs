//! What is said of a service over HTTP, as kube-proxy says it
//! (`pkg/proxy/healthcheck/service_health.go`).

use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use serde_json::{Value, json};

use crate::store::{HealthCheck, HealthChecks};

/// What answers follow from.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub checks: HealthChecks,
    /// The agent is ready, and not stopping.
    pub healthy: bool,
}

impl State {
    /// The answer at a port, whatever was asked for.
    pub(super) fn answer(&self, port: u16) -> Response<String> {
        let Some(HealthCheck { namespace, name, ready }) = self.checks.get(&port) else {
            return with_status(StatusCode::SERVICE_UNAVAILABLE, String::new());
        };
        let body = json!({
            "service": { "namespace": namespace, "name": name },
            "localEndpoints": ready,
            "serviceProxyHealthy": self.healthy,
        });
        let mut response = json_answer(self.healthy && *ready > 0, &body);
        response.headers_mut().insert(WEIGHT, HeaderValue::from(*ready));
        response
    }
}

/// 200 or 503, with a body that says why.
pub(super) fn json_answer(healthy: bool, body: &Value) -> Response<String> {
    let status = match healthy {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = with_status(status, body.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn with_status(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// By which load balancers may weigh nodes.
const WEIGHT: &str = "x-load-balancing-endpoint-weight";
