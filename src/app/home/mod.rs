//! `GET /`: a page to log in with, see one's sessions and events, and log out. It works without its script, which
//! makes it better: then the forms answer with JSON.

use std::sync::LazyLock;

use super::caller::caller;
use super::{Context, Reply, Request};
use crate::http::{Response, Status};

/// For whoever is not logged in.
const PAGE: &str = include_str!("home.html");
/// For whoever is: the script need not ask.
static PAGE_INSIDE: LazyLock<String> =
    LazyLock::new(|| PAGE.replacen("<body>", "<body data-session>", 1));
const STYLE: &[u8] = include_bytes!("home.css");
const SCRIPT: &[u8] = include_bytes!("home.js");

pub(super) fn page(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let page = match caller(request, cx) {
        Ok(_) => &**PAGE_INSIDE,
        Err(_) => PAGE,
    };
    // Everything comes from here, nothing of it is inline, and no other site can frame the page.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                  img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    Ok(Reply::Now(
        file("text/html; charset=utf-8", page.as_bytes())
            .with_header("Content-Security-Policy", policy)
            .with_header("Referrer-Policy", "same-origin")
            .with_header("Vary", "Cookie"),
    ))
}

pub(super) fn style(_request: &Request<'_>, _cx: &mut Context<'_>) -> Result<Reply, Reply> {
    Ok(Reply::Now(file("text/css; charset=utf-8", STYLE)))
}

pub(super) fn script(_request: &Request<'_>, _cx: &mut Context<'_>) -> Result<Reply, Reply> {
    Ok(Reply::Now(file("text/javascript; charset=utf-8", SCRIPT)))
}

/// A part of the program. Asked for again each time, since another version may have another.
fn file(kind: &'static str, bytes: &'static [u8]) -> Response {
    Response::static_body(Status::OK, kind, bytes)
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("Cache-Control", "no-cache")
}
