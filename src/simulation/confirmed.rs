//! Checks what answers say about sessions: that a session has begun, its state, that it has ended.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::answers::Answer;
use super::clients::{Asked, Client, What};
use super::truth::{Claims, End, Known, Must, Standing, expiries};
use super::verdict::{expect, says, time_s};
use super::world::World;

/// The body of an answer that must be a 200; `None` for HEAD.
fn body_of(asked: &Asked, answer: &Answer) -> Result<Option<Value>, String> {
    expect(answer.status, 200)?;
    Ok((!asked.head).then(|| answer.json()))
}

impl World {
    pub(super) fn logged_in(
        &mut self,
        at: usize,
        name: &str,
        right: bool,
        asked: &Asked,
        answer: &Answer,
        code: &str,
    ) -> Result<(), String> {
        match (answer.status, right) {
            (401, false) if code == "invalid_credentials" => return Ok(()),
            (200, true) => {}
            (200, false) => return Err("with a wrong name or password".into()),
            (_, true) => return Err("with the right password".into()),
            _ => return Err("neither in nor out".into()),
        }
        let user = self.users.iter().position(|user| user.name == name);
        let user = user.ok_or("no user has that name")?;
        let body = answer.json();
        let sign = body["user_sign"].as_str().ok_or("no user_sign")?;
        let claims = self.claims(sign, user, asked)?;
        let lasts_s = self.lasting.idle_s.min(self.lasting.absolute_s);
        if time_s(&body["expires_at"]) != Some(claims.issued_s + lasts_s) {
            return Err("expires_at is not when it expires".into());
        }
        let due = json!({
            "message": "login confirmed",
            "user_id": self.users[user].id.to_string(),
            "user_sign": sign,
            "expires_at": null,
        });
        says(&body, &due)?;
        if self
            .sessions
            .iter()
            .any(|known| known.sign == sign || known.sid == claims.sid)
        {
            return Err("a session that was confirmed before".into());
        }
        let address = format!("192.0.2.{}", 1 + self.clients[at].wire % 5);
        let Some(life) = self.history.life(&claims.sid) else {
            return Err("its event is not on the disk".into());
        };
        if life.user_id != self.users[user].id
            || life.began_s != claims.issued_s
            || life.address != address
        {
            return Err(format!("its event says otherwise: {life:?}"));
        }
        let mut known = Known::new(sign, claims, user, asked.during, self.step);
        let ending = |asked: &Asked| match &asked.what {
            What::Logout {
                session,
                everywhere: Some(_),
            } => self.sessions[*session].user == user,
            _ => false,
        };
        let under_way = |client: &Client| client.asked.iter().any(ending);
        let made_room = matches!(life.ended, Some((_, End::MadeRoom)));
        if let Some((_, End::Swept)) = life.ended {
            known.standing = Standing::Ended { step: self.step };
        } else if made_room
            || self.everywhere[user] >= asked.step
            || self.clients.iter().any(under_way)
        {
            known.standing = Standing::Unsure;
        }
        let began = life.began;
        self.sessions.push(known);
        self.check_room(user, began, asked)
    }

    /// A session that began with that event is confirmed: checks that the sessions that made room for it have ended,
    /// and that no more than allowed are left.
    fn check_room(&mut self, user: usize, began: u64, asked: &Asked) -> Result<(), String> {
        let max = self.config.limits.sessions_per_user_max;
        let mut holding = 0;
        for at in 0..self.sessions.len() {
            let known = &self.sessions[at];
            if known.user != user {
                continue;
            }
            let ended = self.history.life(&known.sid).and_then(|life| life.ended);
            if matches!(ended, Some((event, End::MadeRoom)) if event < began) {
                self.sessions[at].ends(self.step);
                continue;
            }
            let retires_s = self.retires_s(known.key_id);
            let must = known.must(self.lasting, self.step, asked.during, retires_s, None);
            holding += usize::from(must == Must::Hold);
        }
        if max > 0 && holding > max {
            return Err(format!("{holding} sessions hold, and there may be {max}"));
        }
        Ok(())
    }

    /// The claims of the signature, if they are correct and the right key has signed it.
    fn claims(&self, sign: &str, user: usize, asked: &Asked) -> Result<Claims, String> {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let parts: Vec<&str> = sign.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err("the signature has not three parts".into());
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        let read = |part| serde_json::from_slice::<Value>(&decode(part)).unwrap_or_default();
        let (header, claims) = (read(header), read(payload));
        let kid = header["kid"].as_str().unwrap_or_default();
        let key = self
            .keys
            .iter()
            .find(|key| format!("{:08x}", key.id) == kid);
        let key = key.ok_or("a key that there is not")?;
        says(&header, &json!({"alg": "HS256", "typ": "JWT", "kid": kid}))?;
        if key.until_step.is_some_and(|until| until < asked.step) {
            return Err("a former key signed it".into());
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.secret).map_err(|why| why.to_string())?;
        mac.update(&sign.as_bytes()[..sign.len() - signature.len() - 1]);
        if mac.verify_slice(&decode(signature)).is_err() {
            return Err("its key did not sign it".into());
        }
        let issued_s = claims["iat"].as_i64().unwrap_or_default();
        let sid = claims["sid"].as_str().unwrap_or_default();
        let due = json!({
            "iss": self.config.issuer,
            "sub": self.users[user].id.to_string(),
            "sid": sid,
            "iat": issued_s,
            "exp": issued_s + self.lasting.absolute_s,
        });
        says(&claims, &due)?;
        if !asked.during.has(issued_s) {
            return Err(format!(
                "it was issued at {issued_s}, not in {:?}",
                asked.during
            ));
        }
        if decode(sid).len() != 16 {
            return Err("the sid is not 16 bytes".into());
        }
        Ok(Claims {
            sid: sid.to_owned(),
            key_id: key.id,
            issued_s,
        })
    }

    /// Checks an answer of `GET /session`.
    pub(super) fn shown(
        &self,
        session: usize,
        asked: &Asked,
        answer: &Answer,
    ) -> Result<(), String> {
        let Some(body) = body_of(asked, answer)? else {
            return Ok(());
        };
        let known = &self.sessions[session];
        let user = &self.users[known.user];
        let due = json!({
            "user_id": user.id.to_string(),
            "username": user.name,
            "role": user.role,
            "issued_at": null,
            "expires_at": null,
        });
        says(&body, &due)?;
        self.check_times(&body, known, asked, true)
    }

    /// Checks that an answer says when the session began, and when it ends unless it is used.
    fn check_times(
        &self,
        said: &Value,
        known: &Known,
        asked: &Asked,
        used: bool,
    ) -> Result<(), String> {
        if time_s(&said["issued_at"]) != Some(known.issued_s) {
            return Err("issued_at is not when it began".into());
        }
        let last_use = known.last_use(used.then_some(asked.during), asked.step);
        let expires = known.expires(self.lasting, last_use);
        match time_s(&said["expires_at"]) {
            Some(time_s) if (expires.min_s..=expires.max_s).contains(&time_s) => Ok(()),
            said_s => Err(format!("expires_at is {said_s:?}, and not in {expires:?}")),
        }
    }

    /// Checks an answer of `GET /sessions`.
    pub(super) fn listed(
        &self,
        session: usize,
        asked: &Asked,
        answer: &Answer,
    ) -> Result<(), String> {
        let Some(body) = body_of(asked, answer)? else {
            return Ok(());
        };
        let listed = body["sessions"].as_array().ok_or("no sessions")?;
        says(&body, &json!({"sessions": null, "total": listed.len()}))?;
        let user = self.sessions[session].user;
        let mut before = (1, i64::MAX);
        for said in listed {
            let sid = said["id"].as_str().unwrap_or_default();
            let current = self.sessions[session].sid == sid;
            let due = json!({
                "id": sid,
                "issued_at": null,
                "last_used_at": null,
                "expires_at": null,
                "current": current,
            });
            says(said, &due)?;
            let life = self
                .history
                .life(sid)
                .ok_or("a session that there is not")?;
            if life.user_id != self.users[user].id {
                return Err(format!("session {sid} is another user's"));
            }
            let order = life.age(self.began_after);
            if order > before || (order.0 == 1 && order == before) {
                return Err("the newest does not come first".into());
            }
            before = order;
            let Some(known) = self.sessions.iter().find(|known| known.sid == sid) else {
                continue; // its login was never answered
            };
            let retires_s = self.retires_s(known.key_id);
            if known.must(self.lasting, asked.step, asked.during, retires_s, None) == Must::BeGone {
                return Err(format!("session {sid} has ended"));
            }
            self.check_times(said, known, asked, current)?;
            let last_use = known.last_use(current.then_some(asked.during), asked.step);
            let used_s = time_s(&said["last_used_at"]).unwrap_or_default();
            if !(last_use.min_s..=last_use.max_s).contains(&used_s) {
                return Err(format!("last_used_at is {used_s}, and not in {last_use:?}"));
            }
        }
        let is_listed = |known: &Known| listed.iter().any(|said| said["id"] == *known.sid);
        let missing = self.sessions.iter().find(|known| {
            let retires_s = self.retires_s(known.key_id);
            let must = known.must(self.lasting, asked.step, asked.during, retires_s, None);
            known.user == user
                && known.confirmed < asked.step
                && must == Must::Hold
                && !is_listed(known)
        });
        match missing {
            Some(known) => Err(format!("session {} is missing", known.sid)),
            None => Ok(()),
        }
    }

    pub(super) fn logged_out(&mut self, asked: &Asked, answer: &Answer) -> Result<(), String> {
        expect(answer.status, 200)?;
        let What::Logout {
            session,
            everywhere,
        } = &asked.what
        else {
            return Err("no logout was asked for".into());
        };
        let (sid, user) = (
            self.sessions[*session].sid.clone(),
            self.sessions[*session].user,
        );
        let user_id = self.users[user].id;
        let body = answer.json();
        let due = json!({
            "message": "logout confirmed",
            "user_id": user_id.to_string(),
            "revoked": null,
            "streams_closed": null,
        });
        says(&body, &due)?;
        let revoked = body["revoked"].as_u64().unwrap_or_default() as usize;
        if everywhere.is_none() {
            self.check_streams(&body, asked, &[*session])?;
            let how = self.history.life(&sid).and_then(|life| life.ended);
            if !matches!(how, Some((_, End::LoggedOut))) || revoked != 1 {
                return Err(format!("{revoked} have ended, and of this is said {how:?}"));
            }
            self.sessions[*session].standing = Standing::Ended { step: self.step };
            return Ok(());
        }
        let of_user = |at: &usize| self.sessions[*at].user == user;
        let theirs: Vec<usize> = (0..self.sessions.len()).filter(of_user).collect();
        self.check_streams(&body, asked, &theirs)?;
        self.everywhere[user] = self.step;
        let expired = expiries(
            &self.sessions,
            self.began_after,
            self.lasting,
            asked.during,
            self.clock_was_set,
        );
        let event = self.history.swept_by(&sid, expired);
        let (event, least) = event.ok_or("no event tells of it")?;
        let most = self.history.alive_at(user_id, event);
        if !(least.max(1)..=most).contains(&revoked) {
            return Err(format!(
                "{revoked} have ended, and it should be {least} to {most}"
            ));
        }
        let step = self.step;
        for known in self.sessions.iter_mut().filter(|known| known.user == user) {
            let life = self.history.life(&known.sid);
            // Sessions that began after it are not affected.
            if life.is_some_and(|life| life.began > event) {
                continue;
            }
            // An expired session cannot be ended. It may still be on the disk.
            if life.is_some_and(|life| life.ended.is_some()) {
                known.ends(step);
            } else {
                known.unless_ended();
            }
        }
        Ok(())
    }

    /// Checks that no more streams have ended than there were.
    fn check_streams(&self, body: &Value, asked: &Asked, of: &[usize]) -> Result<(), String> {
        let open = of
            .iter()
            .map(|session| self.places.open(*session, asked.step, None));
        let most: usize = open.sum();
        match body["streams_closed"].as_u64() {
            Some(closed) if closed as usize <= most => Ok(()),
            closed => Err(format!("{closed:?} streams have ended, of {most}")),
        }
    }

    fn all_unsure(&mut self, user: usize) {
        for known in self.sessions.iter_mut().filter(|known| known.user == user) {
            known.unless_ended();
        }
    }

    /// Some sessions of the user have ended, and others not.
    pub(super) fn incompletely_logged_out(&mut self, asked: &Asked) {
        if let Some(session) = asked.what.session() {
            let user = self.sessions[session].user;
            self.everywhere[user] = self.step;
            self.all_unsure(user);
        }
    }

    pub(super) fn revoked(
        &mut self,
        asked: &Asked,
        answer: &Answer,
        code: &str,
    ) -> Result<(), String> {
        let What::Revoke {
            by,
            session,
            stranger,
        } = asked.what
        else {
            return Err("no session was to be revoked".into());
        };
        let known = &self.sessions[session];
        let retires_s = self.retires_s(known.key_id);
        let must = known.must(self.lasting, asked.step, asked.during, retires_s, None);
        match answer.status {
            200 if stranger => Err("it is another user's".into()),
            // An expired session may be ended as long as it has not been removed.
            200 if known.had_ended(asked.step) => Err("the other session has ended before".into()),
            404 if code != "no_such_session" => Err("no_such_session was due".into()),
            404 if stranger => Ok(()),
            404 if must == Must::Hold => Err("the other session holds".into()),
            404 if by == session => Err("a session that does not know itself".into()),
            200 => {
                let body = answer.json();
                let due = json!({
                    "message": "session revoked",
                    "user_id": self.users[known.user].id.to_string(),
                    "revoked": 1,
                    "streams_closed": null,
                });
                says(&body, &due)?;
                self.check_streams(&body, asked, &[session])?;
                let how = self.history.life(&known.sid).and_then(|life| life.ended);
                if !matches!(how, Some((_, End::Revoked))) {
                    return Err(format!("of its end is said {how:?}"));
                }
                self.sessions[session].standing = Standing::Ended { step: self.step };
                Ok(())
            }
            404 => {
                // If it has expired and the disk fails, it is still to be removed.
                self.sessions[session].unless_ended();
                Ok(())
            }
            _ => Err("neither 200 nor 404".into()),
        }
    }
}
