//! Pages that are parts of the program, the server's own and the monitor's: what a browser is told about all of them.

use crate::http::{Response, Status};

/// What a page may do: everything comes from here, nothing of it is inline, and no other site can frame it. The
/// argument is where its forms may lead.
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

/// A page or a part of one. No other site's page holds on to its window, or puts it into its own (HTML Standard,
/// section 7.1.3; Fetch Standard, section 3.7). Asked for again each time, since another version may have another.
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
