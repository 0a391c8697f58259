//! The state that a session must have: there, gone, or either.

use sha2::{Digest as _, Sha256};

use super::{SLACK_S, Span};

/// What is known about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Standing {
    /// Its login was confirmed, and no request to end it was sent.
    Holds,
    /// A client may have ended it, without an answer.
    Unsure,
    /// Its end was confirmed.
    Ended {
        /// In this step.
        step: u64,
    },
}

/// A session that was confirmed to a client.
#[derive(Debug)]
pub(in crate::simulation) struct Known {
    pub(in crate::simulation) sign: String,
    /// The step in which its login was confirmed.
    pub(in crate::simulation) confirmed: u64,
    /// The hash of its signature, as on the disk.
    pub(in crate::simulation) hash: [u8; 32],
    pub(in crate::simulation) sid: String,
    pub(in crate::simulation) user: usize,
    /// The key that signed it.
    pub(in crate::simulation) key_id: u32,
    /// When it began, as its signature says.
    pub(in crate::simulation) issued_s: i64,
    pub(in crate::simulation) standing: Standing,
    /// Requests under way that may end it.
    pub(in crate::simulation) endings: usize,
    /// Its key had retired, or nearly, when a server began.
    forfeit: bool,
    /// Requests that have presented it, and those of them that are under way.
    asks: u64,
    under_way: usize,
    /// The last time at which it was certainly used.
    used_s: i64,
    /// The step in which that became known.
    used_step: u64,
    /// The last certain use at some time before.
    noted_s: i64,
    /// The last time at which it may have been used.
    maybe_used_s: i64,
    /// The latest time that the wall clock has shown since then: at that time it may have expired.
    latest_s: i64,
}

/// What a client must be told about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Must {
    Hold,
    BeGone,
    BeEither,
}

/// How long sessions last, in seconds.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulation) struct Lasting {
    pub(in crate::simulation) idle_s: i64,
    pub(in crate::simulation) absolute_s: i64,
}

impl Known {
    pub(in crate::simulation) fn new(
        sign: &str,
        claims: Claims,
        user: usize,
        during: Span,
        step: u64,
    ) -> Self {
        Self {
            hash: Sha256::digest(sign.as_bytes()).into(),
            sign: sign.to_owned(),
            confirmed: step,
            sid: claims.sid,
            user,
            key_id: claims.key_id,
            issued_s: claims.issued_s,
            standing: Standing::Holds,
            endings: 0,
            forfeit: false,
            asks: 0,
            under_way: 0,
            used_s: claims.issued_s,
            used_step: step,
            noted_s: claims.issued_s,
            maybe_used_s: claims.issued_s,
            latest_s: during.max_s,
        }
    }

    /// A request presents it. If no other one is under way, returns how many there have been, and the last time at
    /// which it may have been used before.
    pub(in crate::simulation) fn is_asked(&mut self) -> Option<(u64, i64)> {
        self.asks += 1;
        self.under_way += 1;
        (self.under_way == 1).then_some((self.asks, self.maybe_used_s))
    }

    /// A request that presented it is answered, or never will be.
    pub(in crate::simulation) fn is_answered(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// What a request must find that was sent in that step and answered within that time, if its key retires
    /// then. `alone` is the result of [`is_asked`](Self::is_asked), if only this request presented it.
    pub(in crate::simulation) fn must(
        &self,
        lasting: Lasting,
        asked_step: u64,
        during: Span,
        retires_s: Option<i64>,
        alone: Option<(u64, i64)>,
    ) -> Must {
        let retires_s = retires_s.unwrap_or(i64::MAX - SLACK_S);
        let before = alone.filter(|(asks, _)| *asks == self.asks);
        let maybe_used_s = before.map_or(self.maybe_used_s, |(_, used_s)| used_s);
        let last_end_s = (maybe_used_s + lasting.idle_s).min(self.issued_s + lasting.absolute_s);
        let over_s = last_end_s.min(retires_s);
        if self.had_ended(asked_step) || during.min_s > over_s + SLACK_S {
            Must::BeGone
        } else if self.standing == Standing::Holds
            && self.endings == 0
            && !self.may_have_expired(lasting, during)
            && during.max_s < retires_s - SLACK_S
        {
            Must::Hold
        } else {
            Must::BeEither
        }
    }

    /// Whether it may have expired by then.
    pub(in crate::simulation) fn may_have_expired(&self, lasting: Lasting, during: Span) -> bool {
        let first_end_s = (self.used_s + lasting.idle_s).min(self.issued_s + lasting.absolute_s);
        self.forfeit || during.max_s.max(self.latest_s) >= first_end_s - SLACK_S
    }

    /// The times of last use that an answer may contain, if the request was handled within that time and counts
    /// as a use. Other requests that were answered after that step may have been later uses.
    pub(in crate::simulation) fn last_use(&self, during: Option<Span>, asked_step: u64) -> Span {
        let (first_s, last_s) = during.map_or((i64::MIN / 2, i64::MIN / 2), |during| {
            (during.min_s, during.max_s)
        });
        let used_s = if self.used_step < asked_step {
            self.used_s
        } else {
            self.issued_s
        };
        Span {
            min_s: used_s.max(first_s) - SLACK_S,
            max_s: self.maybe_used_s.max(last_s) + SLACK_S,
        }
    }

    /// The expiry times that an answer may contain, if that was its last use.
    pub(in crate::simulation) fn expires(&self, lasting: Lasting, last_use: Span) -> Span {
        let absolute_s = self.issued_s + lasting.absolute_s;
        Span {
            min_s: (last_use.min_s + lasting.idle_s).min(absolute_s),
            max_s: (last_use.max_s + lasting.idle_s).min(absolute_s),
        }
    }

    /// Its end was confirmed before that step.
    pub(in crate::simulation) fn had_ended(&self, step: u64) -> bool {
        matches!(self.standing, Standing::Ended { step: ended } if ended < step)
    }

    /// A server begins that no longer has its key: the session is over, independent of the clock.
    pub(in crate::simulation) fn forfeits(&mut self) {
        self.forfeit = true;
    }

    /// Its end was confirmed in that step, if not before.
    pub(in crate::simulation) fn ends(&mut self, step: u64) {
        if !matches!(self.standing, Standing::Ended { .. }) {
            self.standing = Standing::Ended { step };
        }
    }

    /// A client may have ended it.
    pub(in crate::simulation) fn unless_ended(&mut self) {
        if self.standing == Standing::Holds {
            self.standing = Standing::Unsure;
        }
    }

    /// Nothing is under way that concerns it, and this is its state.
    /// `highest_s` is the latest time that the wall clock has ever shown.
    pub(in crate::simulation) fn turns_out(&mut self, exists: bool, step: u64, highest_s: i64) {
        self.maybe_used_s = self.maybe_used_s.min(highest_s);
        if self.standing == Standing::Unsure {
            self.standing = if exists {
                Standing::Holds
            } else {
                Standing::Ended { step }
            };
        }
    }

    /// A request that presents it is under way: it may count as a use at any moment.
    pub(in crate::simulation) fn may_be_used(&mut self, now_s: i64) {
        self.maybe_used_s = self.maybe_used_s.max(now_s);
    }

    /// It was used within that time. If the clock was set back, the last use counts, not the one with the latest time.
    pub(in crate::simulation) fn was_used(&mut self, during: Span, step: u64) {
        self.used_step = step;
        self.used_s = during.min_s;
        self.latest_s = during.max_s;
    }

    /// The wall clock shows this.
    pub(in crate::simulation) fn time_moved(&mut self, now_s: i64) {
        self.latest_s = self.latest_s.max(now_s);
    }

    /// Its uses up to now are about to be stored.
    pub(in crate::simulation) fn note_use(&mut self) {
        self.noted_s = self.used_s;
    }

    /// Whether that can be its last use on the disk, when all noted uses have been stored.
    pub(in crate::simulation) fn was_written(&self, last_used_s: i64) -> bool {
        (self.noted_s - SLACK_S..=self.maybe_used_s + SLACK_S).contains(&last_used_s)
    }

    /// Checks that its row matches its signature.
    pub(in crate::simulation) fn check_row(
        &self,
        hash: [u8; 32],
        key_id: u32,
        issued_s: i64,
        last_used_s: i64,
    ) -> Result<(), String> {
        let used = self.issued_s..=self.maybe_used_s + SLACK_S;
        let is = (hash, key_id, issued_s) == (self.hash, self.key_id, self.issued_s);
        if is && used.contains(&last_used_s) {
            return Ok(());
        }
        Err(format!(
            "session {} is on the disk as of key {key_id}, from {issued_s}, used {last_used_s}, and is {self:?}",
            self.sid
        ))
    }

    /// The server was killed: the next one knows the last use only as far as it was stored.
    pub(in crate::simulation) fn remembered(&mut self, last_used_s: i64) {
        self.used_s = self.used_s.min(last_used_s);
    }
}

/// The claims of a signature about its session.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Claims {
    pub(in crate::simulation) sid: String,
    pub(in crate::simulation) key_id: u32,
    pub(in crate::simulation) issued_s: i64,
}
