//! `GET /healthz` and `GET /readyz`: for supervisors, balancers and benchmarks.

use std::rc::Rc;

use super::{Context, Reply, Request};
use crate::http::{Prepared, Response, Status};

/// The answers while all is well.
pub(super) struct Answers {
    healthz: Rc<Prepared>,
    readyz: Rc<Prepared>,
}

impl Default for Answers {
    fn default() -> Self {
        let json = |text: &'static [u8]| {
            let response = Response::static_body(Status::OK, "application/json", text);
            Rc::new(Prepared::new(response))
        };
        Self {
            healthz: json(b"{\"status\":\"ok\"}\n"),
            readyz: json(b"{\"status\":\"ready\"}\n"),
        }
    }
}

/// An answer shows that the loop turns.
pub(super) fn healthz(_request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    Ok((&cx.app.answers.healthz).into())
}

/// Whether a balancer should send more requests to this server.
pub(super) fn readyz(_request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    if cx.app.draining {
        let detail = "the server is shutting down; send requests elsewhere";
        return Err(Reply::problem(
            Status::SERVICE_UNAVAILABLE,
            "draining",
            detail,
        ));
    }
    Ok((&cx.app.answers.readyz).into())
}
