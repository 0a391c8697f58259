//! The handshake with which a WebSocket begins.

use std::rc::Rc;

use super::caller::{Caller, caller_of_socket};
use super::reply::{Socket, Upgrade};
use super::{Context, Reply, Request};
use crate::http::{Method, Response, Status};
use crate::websocket::{self, Message};

/// A function that handles messages.
pub(crate) type Listener = dyn Fn(Message, &mut Socket<'_>);

/// The handler of a WebSocket's path. It needs no session; if there is one, it knows the user.
pub(crate) fn endpoint(
    conversation: Rc<Listener>,
) -> impl Fn(&Request<'_>, &mut Context<'_>) -> Result<Reply, Reply> {
    move |request, cx| {
        let head = handshake(request)?;
        let caller = caller_of_socket(request, cx)?;
        Ok(Reply::WebSocket(Box::new(Upgrade {
            head,
            conversation: Box::new(Rc::clone(&conversation)),
            message_bytes_max: cx.app.config.limits.websocket_bytes_max,
            caller: caller.map(|Caller { hash, session, .. }| (session.user_id, hash)),
            events: None,
        })))
    }
}

/// Whether the client asks for a WebSocket, rightly or not.
pub(super) fn is_asked_for(request: &Request<'_>) -> bool {
    request
        .list("upgrade")
        .any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// The answer to a handshake (RFC 6455, section 4.2).
///
/// # Errors
/// 426 with the version that this server supports, or 400.
pub(super) fn handshake(request: &Request<'_>) -> Result<Response, Reply> {
    let upgrades = request.offers_upgrade() && is_asked_for(request);
    if request.method() != Method::Get || !upgrades {
        let detail =
            "this is a WebSocket: ask for it with Connection: Upgrade and Upgrade: websocket";
        return Err(upgrade_required("upgrade_required", detail));
    }
    // From a client it is not a list, and must not come twice (section 11.3.5).
    let mut versions = request.headers("sec-websocket-version");
    if (versions.next(), versions.next()) != (Some(b"13"), None) {
        let detail = "this server speaks version 13 of the WebSocket protocol (RFC 6455)";
        return Err(upgrade_required("websocket_version", detail));
    }
    let mut keys = request.headers("sec-websocket-key");
    let accept = match (keys.next(), keys.next()) {
        (Some(key), None) => websocket::accept(key),
        _ => None,
    };
    let Some(accept) = accept else {
        let detail = "Sec-WebSocket-Key must be there once, and be 16 bytes in base64";
        return Err(Reply::problem(
            Status::BAD_REQUEST,
            "malformed_handshake",
            detail,
        ));
    };
    Ok(Response::new(Status::SWITCHING_PROTOCOLS)
        .with_header("Upgrade", "websocket")
        .with_header("Sec-WebSocket-Accept", accept))
}

fn upgrade_required(code: &str, detail: &str) -> Reply {
    Reply::Now(
        Response::problem(Status::UPGRADE_REQUIRED, code, detail)
            .with_header("Upgrade", "websocket")
            .with_header("Sec-WebSocket-Version", "13"),
    )
}
