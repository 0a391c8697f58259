//! A WebSocket, as handlers see it: a handshake, then a conversation.

use std::rc::Rc;

use super::caller::{Caller, caller_of_socket};
use super::reply::Upgrade;
use super::{Context, FeedId, Interest, Reply, Request};
use crate::http::{Method, Response, Status};
use crate::reactor::Token;
use crate::websocket::{self, Message};

/// What is done with the messages of one WebSocket.
pub trait Conversation {
    /// The peer sent a message. It must not block.
    fn heard(&mut self, message: Message, socket: &mut Socket<'_>);
}

/// One function serves all sockets of a path.
impl<F: Fn(Message, &mut Socket<'_>) + ?Sized> Conversation for Rc<F> {
    fn heard(&mut self, message: Message, socket: &mut Socket<'_>) {
        self(message, socket);
    }
}

/// A WebSocket while one of its messages is handled. What is sent leaves at the end of the turn, in
/// one write.
pub struct Socket<'s> {
    /// The application, as handlers see it.
    pub cx: Context<'s>,
    pub(crate) id: Token,
    pub(crate) user_id: Option<i64>,
    pub(crate) feed: Option<FeedId>,
    pub(crate) out: &'s mut Vec<u8>,
    pub(crate) replies: Vec<Reply>,
    pub(crate) close: Option<(u16, String)>,
}

impl Socket<'_> {
    /// Sends a message.
    pub fn send(&mut self, message: impl Into<Message>) {
        websocket::encode_message(&message.into(), self.out);
    }

    /// Closes with a code (RFC 6455, section 7.4) and a reason of at most 123 bytes, after what was
    /// sent before.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.close = Some((code, reason.to_owned()));
    }

    /// Tells this socket from all others, past and present.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id.as_u64()
    }

    /// Whose session came with the handshake, if one did. The socket is closed when that ends.
    #[must_use]
    pub fn user_id(&self) -> Option<i64> {
        self.user_id
    }

    /// What this socket's peer wants of the events, where it gets some.
    pub(super) fn interest(&mut self) -> Option<&mut Interest> {
        let feed = self.cx.app.hub.feed(self.feed?)?;
        Some(feed.interest_mut())
    }

    /// Does what `reply` says; the body of its answer is sent as a text message, after those of all replies
    /// before it. What blocks in it must be a commit: the order in which those come back is known.
    pub(super) fn reply(&mut self, reply: Reply) {
        self.replies.push(reply);
    }
}

impl std::fmt::Debug for Socket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.id)
    }
}

/// A function that deals with messages.
pub(crate) type Listener = dyn Fn(Message, &mut Socket<'_>);

/// The handler of a WebSocket's path: one that needs no session, and knows whose it is if there is one.
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
/// 426 with what this server speaks, or 400.
pub(super) fn handshake(request: &Request<'_>) -> Result<Response, Reply> {
    let upgrades = request.offers_upgrade() && is_asked_for(request);
    if request.method() != Method::Get || !upgrades {
        let detail =
            "this is a WebSocket: ask for it with Connection: Upgrade and Upgrade: websocket";
        return Err(upgrade_required("upgrade_required", detail));
    }
    // Of a client it is no list, and must not come twice (section 11.3.5).
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
