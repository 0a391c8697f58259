//! `GET /`: a page to log in and out with, for those who open the server in a browser.

use super::{Context, Reply, Request};
use crate::http::{Response, Status};

const PAGE: &[u8] = include_bytes!("home.html");

pub(super) fn home(_request: &Request<'_>, _cx: &mut Context<'_>) -> Result<Reply, Reply> {
    // Nothing is loaded from anywhere, and no other site can frame the page.
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    Ok(Reply::Now(
        Response::static_body(Status::OK, "text/html; charset=utf-8", PAGE)
            .with_header("Content-Security-Policy", policy)
            .with_header("X-Content-Type-Options", "nosniff")
            .with_header("Referrer-Policy", "same-origin"),
    ))
}
