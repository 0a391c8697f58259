//! What is kept of a request until it is answered.

use super::access_log::{AccessRecord, Answer};
use super::call::Call;
use super::service::Service;
use crate::http::{Head, Method, Status, Version, WireOptions};
use crate::ledger::Label;
use crate::reactor::{Moment, Reason};

/// How a connection ends once the outbox is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) reason: Reason,
    /// The peer may still be sending: our side is shut, and what comes is discarded.
    pub(super) linger: bool,
}

/// A request that a handler has seen and that is not answered yet.
#[derive(Debug)]
pub(super) struct Exchange {
    head_only: bool,
    /// The row of the handler table, once it is found.
    pub(super) route: Label,
    /// What its line in the access log needs; `None` if it gets none.
    pub(super) access: Option<Box<AccessRecord>>,
    pub(super) version: Version,
    /// The client wants to keep the connection.
    pub(super) keep_alive: bool,
    /// Why the connection ends with the answer even if the client wants to keep it.
    pub(super) end: Option<Reason>,
    pub(super) began: Moment,
}

impl Exchange {
    pub(super) fn new(head: &Head<'_>, access: Option<Box<AccessRecord>>, began: Moment) -> Self {
        Self {
            head_only: head.method == Method::Head,
            route: Label::NONE,
            access,
            version: head.version,
            keep_alive: head.keep_alive,
            end: None,
            began,
        }
    }

    /// An exchange for bytes that are not a valid request. The connection ends with the answer.
    pub(super) fn unknown(access: Option<Box<AccessRecord>>, end: Reason, began: Moment) -> Self {
        Self {
            head_only: false,
            route: Label::NONE,
            access,
            version: Version::Http11,
            keep_alive: false,
            end: Some(end),
            began,
        }
    }

    /// Its line names this user, if it is known.
    #[inline]
    pub(super) fn is_of(&mut self, user: Option<i64>) {
        if let Some(access) = &mut self.access
            && user.is_some()
        {
            access.user = user;
        }
    }

    pub(super) fn head_only(&self) -> bool {
        self.head_only
    }

    /// Whether the client understands a body in chunks (RFC 9112, section 6.1).
    pub(super) fn can_be_chunked(&self) -> bool {
        self.version == Version::Http11
    }

    /// How the connection ends with the answer, if it does.
    pub(super) fn how_it_ends(&self) -> End {
        End {
            reason: self.end.unwrap_or(Reason("as agreed")),
            // A client that meant to keep the connection may already have sent its next request, or the rest of
            // this one.
            linger: self.keep_alive || self.end.is_some(),
        }
    }

    /// How the answer is framed, and the fields of every answer on its connection.
    pub(super) fn wire<'f>(&self, close: bool, fields: &'f [u8]) -> WireOptions<'f> {
        WireOptions {
            version: self.version,
            head_only: self.head_only,
            close,
            fields,
        }
    }

    /// Counts the answer, whose content has so many bytes, and writes its line in the access log, if there is one: the
    /// clock is read only then.
    #[inline]
    pub(super) fn answered(&self, status: Status, bytes: usize, call: &mut Call<'_, '_>) {
        call.turn.ledger().answered(self.route, status.code());
        if let Some(access) = &self.access {
            let took_us = call.turn.measure().ns_since(self.began) / 1000;
            let unix_ms = call.turn.unix_ms();
            let Service {
                access_log, app, ..
            } = &mut *call.service;
            let user = access.user.and_then(|id| app.users.get(id));
            let answer = Answer {
                status,
                bytes: if self.head_only { 0 } else { bytes },
                took_us,
                user: user.map(|user| &*user.name),
                unix_ms,
            };
            access_log.answered(access, &answer);
        }
    }
}
