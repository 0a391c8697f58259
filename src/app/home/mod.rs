//! `GET /`: a page to log in, see one's sessions and events, and log out. The script makes the page nicer; without
//! it the page works as well, and the forms answer with JSON.

use std::sync::LazyLock;

use super::caller::caller;
use super::{Context, Reply, Request, page};
use crate::http::Status;

/// For a user that is not logged in.
const PAGE: &str = include_str!("home.html");
/// For a user that is logged in: the script need not ask.
static PAGE_INSIDE: LazyLock<String> =
    LazyLock::new(|| PAGE.replacen("<body>", "<body data-session>", 1));
const STYLE: &[u8] = include_bytes!("home.css");
const SCRIPT: &[u8] = include_bytes!("home.js");

pub(super) fn home(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let text = match caller(request, cx) {
        Ok(_) => &**PAGE_INSIDE,
        Err(_) => PAGE,
    };
    Ok(Reply::Now(
        page::page(Status::OK, page::policy!("'self'"), text.as_bytes())
            .with_header("Referrer-Policy", "same-origin")
            .with_header("Vary", "Cookie"),
    ))
}

pub(super) fn style(_request: &Request<'_>, _cx: &mut Context<'_>) -> Result<Reply, Reply> {
    Ok(Reply::Now(page::part(
        Status::OK,
        "text/css; charset=utf-8",
        STYLE,
    )))
}

pub(super) fn script(_request: &Request<'_>, _cx: &mut Context<'_>) -> Result<Reply, Reply> {
    Ok(Reply::Now(page::part(
        Status::OK,
        "text/javascript; charset=utf-8",
        SCRIPT,
    )))
}
