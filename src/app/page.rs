//! The header fields of pages that are part of the program, for the server's own pages and the monitor's.

use crate::http::{Response, Status};

/// What a page may do: everything is loaded from this server, nothing is inline, and no other site can frame it.
/// The argument says where its forms may lead.
macro_rules! policy {
    ($forms:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action ",
            $forms,
            "; base-uri 'none'; frame-ancestors 'none'"
        )
    };
}
pub(super) use policy;

/// A page or a part of one. No page of another site keeps a reference to its window, or embeds it (HTML Standard,
/// section 7.1.3; Fetch Standard, section 3.7). Browsers request it again each time, since another version of the
/// program may have another one.
pub(super) fn part(status: Status, kind: &'static str, bytes: &'static [u8]) -> Response {
    Response::static_body(status, kind, bytes)
        .with_header("Cross-Origin-Opener-Policy", "same-origin")
        .with_header("Cross-Origin-Resource-Policy", "same-origin")
        .with_header("Cache-Control", "no-cache")
}

/// The page itself.
pub(super) fn page(status: Status, policy: &'static str, bytes: &'static [u8]) -> Response {
    part(status, "text/html; charset=utf-8", bytes).with_header("Content-Security-Policy", policy)
}
