//! `GET /` of the monitor: the live page, and the files that it is made of. They are parts of the program: a page that
//! shows how a loop turns needs nothing but that loop's server.

use super::super::{Context, Reply, Request};
use crate::http::{Response, Status};

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_bytes!(concat!("page/", $name)))
    };
}

/// Name, type and content.
const FILES: [(&str, &str, &[u8]); 12] = [
    file!("live.html", "text/html; charset=utf-8"),
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

pub(super) fn page(_: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
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
    // Everything comes from here, nothing of it is inline, and no other site can frame the page.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                  img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
    Ok(Reply::Now(
        Response::static_body(Status::OK, kind, bytes)
            .with_header("Content-Security-Policy", policy)
            .with_header("X-Content-Type-Options", "nosniff")
            .with_header("Cache-Control", "no-cache"),
    ))
}
