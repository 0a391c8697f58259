//! `GET /healthz` and `GET /readyz`: for supervisors, balancers and benchmarks.

use super::{Context, Reply, Request};
use crate::http::{Response, Status};

const JSON: &str = "application/json";

/// The loop turns, or this would not be answered.
pub(super) fn healthz(_request: &Request<'_>, _cx: &mut Context<'_>) -> Result<Reply, Reply> {
    Ok(Reply::Now(Response::static_body(
        Status::OK,
        JSON,
        b"{\"status\":\"ok\"}\n",
    )))
}

/// Whether to send more requests here.
pub(super) fn readyz(_request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    if cx.app.draining {
        let detail = "the server is shutting down; send requests elsewhere";
        return Err(Reply::problem(
            Status::SERVICE_UNAVAILABLE,
            "draining",
            detail,
        ));
    }
    Ok(Reply::Now(Response::static_body(
        Status::OK,
        JSON,
        b"{\"status\":\"ready\"}\n",
    )))
}
