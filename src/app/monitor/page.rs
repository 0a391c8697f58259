//! `GET /` of the monitor: the live page, and the files that it is made of. They are part of the program, so the page
//! needs nothing but the server whose loop it shows.

use super::super::{Context, Reply, Request, page};
use crate::http::Status;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_bytes!(concat!("page/", $name)))
    };
}

/// Name, type and content.
const FILES: [(&str, &str, &[u8]); 12] = [
    file!("live.html", HTML),
    file!("live.css", "text/css; charset=utf-8"),
    file!("live.mjs", SCRIPT),
    file!("feed.mjs", SCRIPT),
    file!("record.mjs", SCRIPT),
    file!("player.mjs", SCRIPT),
    file!("sentence.mjs", SCRIPT),
    file!("time.mjs", SCRIPT),
    file!("ring.mjs", SCRIPT),
    file!("lanes.mjs", SCRIPT),
    file!("strips.mjs", SCRIPT),
    file!("tables.mjs", SCRIPT),
];

pub(super) fn live(_: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    file("live.html")
}

pub(super) fn part(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    file(request.parameter("name").unwrap_or_default())
}

fn file(name: &str) -> Result<Reply, Reply> {
    let found = FILES.iter().find(|(known, _, _)| *known == name);
    let Some((_, kind, bytes)) = found else {
        let detail = "the page has no such part";
        return Err(Reply::problem(Status::NOT_FOUND, "not_found", detail));
    };
    let part = if *kind == HTML {
        page::page(Status::OK, page::policy!("'none'"), bytes)
    } else {
        page::part(Status::OK, kind, bytes)
    };
    Ok(Reply::Now(part))
}

/// For a user who follows a link from another site's page: that page must not make the loop work, but a click on
/// this page is the user's own decision.
pub(super) fn doorstep() -> Reply {
    let text =
        b"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>loopgate</title>\n\
        <p>A link on another site led here. <a href=\"/\">Open the live page</a></p>\n</html>\n";
    Reply::Now(page::page(Status::FORBIDDEN, page::policy!("'none'"), text))
}
