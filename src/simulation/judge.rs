//! Answers, judged: does each belong to what was asked, and is it true?

use super::answers::{Answer, take_answer};
use super::clients::{Asked, Client, Mode, What};
use super::truth::{Known, Must, Standing};
use super::world::World;

/// Nanoseconds after which a connection that is cut within a request may have run into a deadline.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Nanoseconds after which a stream whose session has ended is cut, with all that its client has not
/// taken yet.
const LINGER_NS: u64 = 1_900_000_000;

impl World {
    /// The client takes up to so many bytes of what it was sent, and makes of them what it can.
    pub(super) fn client_takes(&mut self, at: usize, at_most: usize) -> Result<usize, String> {
        let wire = self.clients[at].wire;
        let bytes = self.network.take(wire, at_most);
        let count = bytes.len();
        self.digest.add(&bytes);
        if count > 0 || self.network.is_over(wire) {
            let took_ns = std::mem::replace(&mut self.clients[at].took_ns, self.now_ns);
            self.clients[at].was_slow |= self.now_ns - took_ns > PATIENCE_NS;
        }
        self.clients[at].inbox.extend_from_slice(&bytes);
        if count > 0 {
            self.story
                .say(|| format!("client {wire} takes {count} bytes"));
        }
        let understood = self.understand(at);
        understood.map_err(|why| format!("client {wire}: {why}"))?;
        if !self.clients[at].over && self.network.is_over(wire) {
            self.connection_ended(at)
                .map_err(|why| format!("client {wire}: {why}"))?;
        }
        Ok(count)
    }

    fn understand(&mut self, at: usize) -> Result<(), String> {
        loop {
            let client = &mut self.clients[at];
            let understood = match &client.mode {
                Mode::Http => self.take_one_answer(at)?,
                Mode::Events(_) => self.take_one_event(at)?,
            };
            if !understood {
                return Ok(());
            }
        }
    }

    fn take_one_answer(&mut self, at: usize) -> Result<bool, String> {
        let client = &mut self.clients[at];
        if client.inbox.is_empty() {
            return Ok(false);
        }
        let stream = matches!(client.asked.front(), Some(asked) if matches!(asked.what, What::Follow { .. }));
        let answer = take_answer(&mut client.inbox, stream).map_err(|why| why.to_string())?;
        let Some(answer) = answer else {
            return Ok(false);
        };
        let wire = client.wire;
        self.story.say(|| {
            let text = answer.text();
            let text: String = text.trim_end().chars().take(100).collect();
            format!("client {wire} is answered {} {text}", answer.status)
        });
        if self.clients[at].told_end {
            return Err(format!("an answer after the last: {answer:?}"));
        }
        self.clients[at].told_end = answer.closes();
        let code = answer.json()["code"].as_str().map(str::to_owned);
        let cut = matches!(
            code.as_deref(),
            Some("too_many_connections" | "restarting" | "overloaded")
        );
        let Some(asked) = self.clients[at].asked.pop_front() else {
            if cut || answer.status == 408 {
                return Ok(true);
            }
            return Err(format!("an answer that nobody asked for: {answer:?}"));
        };
        if cut {
            self.never_answered(&asked);
            return Ok(true);
        }
        let waited_ns = self.now_ns - asked.sent_ns;
        if answer.status == 408 {
            if waited_ns < PATIENCE_NS {
                return Err(format!(
                    "who asked {} is timed out after {waited_ns} ns",
                    asked.what
                ));
            }
            self.never_answered(&asked);
            return Ok(true);
        }
        self.clients[at].streamed = matches!(asked.what, What::Stream(..));
        let what = asked.what.clone();
        self.judge(at, asked, &answer).map_err(|why| {
            format!(
                "{what:?} was answered {} {}: {why}",
                answer.status,
                answer.text()
            )
        })?;
        Ok(true)
    }

    /// Is this the answer?
    fn judge(&mut self, at: usize, asked: Asked, answer: &Answer) -> Result<(), String> {
        let wrong = |why: &str| Err(why.to_owned());
        let status = answer.status;
        for session in asked.what.ends() {
            self.sessions[session].endings -= 1;
        }
        if status == 503 && answer.field("retry-after").is_some() {
            if answer.json()["code"] == "logout_incomplete" {
                self.incompletely_logged_out(&asked);
            }
            return Ok(()); // busy, or the disk: nothing was done
        }
        let must = asked
            .what
            .session()
            .map(|session| self.sessions[session].must(self.lasting, asked.step, asked.during));
        if let (Some(session), Some(must)) = (asked.what.session(), must) {
            if status == 401 {
                if must == Must::Hold {
                    return wrong("the session holds");
                }
                // If it has expired, a clock that is set back may bring it back.
                self.sessions[session].unless_ended();
                return Ok(());
            }
            if must == Must::BeGone {
                return wrong("the session has ended");
            }
            self.sessions[session].was_used(asked.during);
        }
        match &asked.what {
            What::Health => expect(status, 200),
            What::Echo(number) | What::Later(number) => {
                expect(status, 200)?;
                if answer.text() != number.to_string() {
                    return wrong("it is the answer to something else");
                }
                Ok(())
            }
            What::Stream(number, pieces) => {
                expect(status, 200)?;
                if answer.text() != format!("{number}\n").repeat(*pieces) {
                    return wrong("it is not what was streamed");
                }
                Ok(())
            }
            What::Panic | What::PanicLater => expect(status, 500),
            What::Garbage(refusal) => expect(status, *refusal),
            What::Drip => expect(status, 408),
            What::Login { user, right } => self.logged_in(*user, *right, &asked, answer),
            What::Session(session) => {
                expect(status, 200)?;
                let name = self.users[self.sessions[*session].user].name;
                if answer.json()["username"] != name {
                    return wrong("it is somebody else's session");
                }
                Ok(())
            }
            What::Verify(_) => expect(status, 204),
            What::Logout { .. } => self.logged_out(&asked, status),
            What::Revoke { by, session } => self.revoked(*by, *session, &asked, status),
            What::Publish { session, number } => {
                if !self.users[self.sessions[*session].user].admin {
                    return expect(status, 403);
                }
                expect(status, 202)?;
                let id = answer.json()["id"].as_u64().ok_or("no id")?;
                self.events.promise(id, *number);
                Ok(())
            }
            What::Poll { session, since, .. } => self.polled(*session, *since, answer),
            What::Follow { .. } => self.followed(at, &asked, answer),
        }
    }

    fn logged_out(&mut self, asked: &Asked, status: u16) -> Result<(), String> {
        expect(status, 200)?;
        if let What::Logout {
            session,
            everywhere: Some(_),
        } = &asked.what
        {
            let user = self.sessions[*session].user;
            self.everywhere[user] = self.step;
            // Those that others were told of meanwhile may or may not have gone with them.
            for known in self.sessions.iter_mut().filter(|known| known.user == user) {
                known.unless_ended();
            }
        }
        let lasting = self.lasting;
        for ended in asked.what.ends() {
            let known = &mut self.sessions[ended];
            // One of the others that has expired is not there to be ended. It may be on the disk.
            if asked.what.session() != Some(ended) && known.may_have_expired(lasting, asked.during)
            {
                known.unless_ended();
            } else {
                known.standing = Standing::Ended { step: self.step };
            }
        }
        Ok(())
    }

    /// Some sessions of the user have ended, and others not.
    fn incompletely_logged_out(&mut self, asked: &Asked) {
        if let Some(session) = asked.what.session() {
            let user = self.sessions[session].user;
            self.everywhere[user] = self.step;
            for known in self.sessions.iter_mut().filter(|known| known.user == user) {
                known.unless_ended();
            }
        }
    }

    fn revoked(
        &mut self,
        by: usize,
        session: usize,
        asked: &Asked,
        status: u16,
    ) -> Result<(), String> {
        let known = &mut self.sessions[session];
        let must = known.must(self.lasting, asked.step, asked.during);
        match status {
            // One that has expired may be ended as long as nobody came by to remove it.
            200 if known.had_ended(asked.step) => Err("the other session has ended before".into()),
            404 if must == Must::Hold => Err("the other session holds".into()),
            404 if by == session => Err("a session that does not know itself".into()),
            200 => {
                known.standing = Standing::Ended { step: self.step };
                Ok(())
            }
            404 => {
                // If it has expired and the disk fails, it is still to be removed.
                known.unless_ended();
                Ok(())
            }
            _ => Err("neither 200 nor 404".into()),
        }
    }

    fn logged_in(
        &mut self,
        user: usize,
        right: bool,
        asked: &Asked,
        answer: &Answer,
    ) -> Result<(), String> {
        match (answer.status, right) {
            (429, _) | (401, false) => return Ok(()),
            (200, true) => {}
            (200, false) => return Err("with the wrong password".into()),
            _ => return Err("with the right password".into()),
        }
        let body = answer.json();
        let (Some(sign), Some(id)) = (body["user_sign"].as_str(), body["user_id"].as_str()) else {
            return Err("no user_sign or user_id".into());
        };
        if id != self.users[user].id.to_string() {
            return Err("it is somebody else's confirmation".into());
        }
        if self.sessions.iter().any(|known| known.sign == sign) {
            return Err("a signature that was given before".into());
        }
        let claims = sign.split('.').nth(1).unwrap_or_default();
        let sid = sid_of(claims).ok_or("no sid in the signature")?;
        let mut known = Known::new(sign.to_owned(), sid, user, asked.during);
        let ending = |asked: &Asked| match &asked.what {
            What::Logout {
                session,
                everywhere: Some(_),
            } => self.sessions[*session].user == user,
            _ => false,
        };
        let under_way = |client: &Client| client.asked.iter().any(ending);
        if self.everywhere[user] >= asked.step || self.clients.iter().any(under_way) {
            known.standing = Standing::Unsure;
        }
        self.sessions.push(known);
        Ok(())
    }

    /// The server has ended its side, and there is nothing more to take.
    fn connection_ended(&mut self, at: usize) -> Result<(), String> {
        let client = &mut self.clients[at];
        client.over = true;
        let wire = client.wire;
        let asked = std::mem::take(&mut client.asked);
        let (told_end, was_slow, shut) = (client.told_end, client.was_slow, client.shut);
        let (streamed, draining) = (client.streamed, self.draining);
        let leftover = client.inbox.len();
        let is_http = matches!(client.mode, Mode::Http);
        let hurried = |asked: &Asked| {
            matches!(asked.what, What::Follow { .. }) && self.now_ns - asked.sent_ns > LINGER_NS
        };
        let was_slow = was_slow || asked.iter().any(hurried);
        self.network.reset(wire);
        self.story
            .say(|| format!("client {wire} sees the end of its connection"));
        if let Mode::Events(following) = &self.clients[at].mode {
            let follower = &following.follower;
            follower.check(follower.last(), &self.events)?;
        }
        if let Some(first) = asked.front()
            && !told_end
            && !was_slow
            && !(streamed && draining)
            && first.what != What::Drip
            // A WebSocket with one side is none.
            && !(shut && matches!(first.what, What::Follow { websocket: true, .. }))
            && self.now_ns - first.sent_ns < PATIENCE_NS
        {
            return Err(format!(
                "the connection ended without an answer to who asked {}",
                first.what
            ));
        }
        if is_http && leftover > 0 && !told_end && !was_slow {
            return Err("the connection ended within an answer".into());
        }
        for asked in &asked {
            self.never_answered(asked);
        }
        Ok(())
    }

    /// Nobody will know what came of it.
    pub(super) fn never_answered(&mut self, asked: &Asked) {
        for session in asked.what.ends() {
            let known = &mut self.sessions[session];
            known.endings -= 1;
            known.unless_ended();
        }
        if let Some(session) = asked.what.session() {
            // It may be read at any time, and count as a use then.
            self.sessions[session].may_be_used(i64::MAX / 2);
        }
        if let What::Logout {
            session,
            everywhere: Some(_),
        } = &asked.what
        {
            let user = self.sessions[*session].user;
            self.everywhere[user] = u64::MAX;
            for known in self.sessions.iter_mut().filter(|known| known.user == user) {
                known.unless_ended();
            }
        }
    }
}

pub(super) fn expect(status: u16, expected: u16) -> Result<(), String> {
    if status == expected {
        Ok(())
    } else {
        Err(format!("{expected} was due"))
    }
}

/// The claim `sid`, from the middle part of a signature.
fn sid_of(claims: &str) -> Option<String> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let json = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&json).ok()?;
    claims["sid"].as_str().map(str::to_owned)
}
