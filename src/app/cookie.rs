//! How a session is presented: by the cookie `session` or in `Authorization: Bearer`.

use crate::planted::{Bug, planted};

/// The name of the cookie.
pub(super) const NAME: &str = "session";

/// What a request presents in one of the two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented<'r> {
    /// Nothing: the other place may have something.
    Nothing,
    /// This token, which may be anything.
    Token(&'r [u8]),
    /// More than one token, or something that cannot be a token. A server that guesses which one is meant may
    /// take an attacker's token for the user's. So the request has no session, no matter what the other place says.
    Unclear,
}

/// What the `Cookie` fields say (RFC 6265, section 4.2): several fields are one list, the name is
/// case-sensitive, and the same token twice counts once.
///
/// Two different ones are [`Presented::Unclear`]: a neighbouring subdomain can set a second cookie
/// of this name, and the order of the two proves nothing.
pub(super) fn session_cookie<'r>(headers: impl Iterator<Item = &'r [u8]>) -> Presented<'r> {
    let mut presented = Presented::Nothing;
    for pair in headers.flat_map(|header| header.split(|byte| *byte == b';')) {
        let Some(token) = pair
            .trim_ascii_start()
            .strip_prefix(NAME.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .map(<[u8]>::trim_ascii_end)
        else {
            continue;
        };
        match presented {
            Presented::Nothing => presented = Presented::Token(token),
            Presented::Token(former) if former == token || planted(Bug::FirstCookie) => {}
            Presented::Token(_) | Presented::Unclear => return Presented::Unclear,
        }
    }
    presented
}

/// What the `Authorization` fields say (RFC 6750, section 2.1). Another scheme is nothing, since
/// it may be meant for a proxy; the scheme's case does not count (RFC 9110, section 11.1).
///
/// Two fields are [`Presented::Unclear`], and so is `Bearer` with anything but one `token68`.
pub(super) fn bearer<'r>(mut headers: impl Iterator<Item = &'r [u8]>) -> Presented<'r> {
    let Some(header) = headers.next() else {
        return Presented::Nothing;
    };
    if headers.next().is_some() {
        return Presented::Unclear;
    }
    let header = header.trim_ascii();
    let scheme_end = header.iter().position(|byte| *byte == b' ');
    let (scheme, token) = header.split_at(scheme_end.unwrap_or(header.len()));
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Presented::Nothing;
    }
    let token = token.trim_ascii_start();
    if is_token68(token) {
        Presented::Token(token)
    } else {
        Presented::Unclear
    }
}

/// `token68` of RFC 9110, section 11.2: at least one character of a kind, then perhaps `=`.
fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let (characters, _) = token.split_at(token.len() - padding);
    // No early exit: nearly all tokens are valid to the end, so the result is tested once.
    let good = |all, byte: &u8| all & TOKEN68_BYTES[usize::from(*byte)];
    !characters.is_empty() && characters.iter().fold(true, good)
}

/// A table, since signatures are hundreds of bytes long.
static TOKEN68_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        let c = byte as u8;
        table[byte] =
            c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    table
};

/// The value of `Set-Cookie` that presents `token` for `max_age_s` seconds. `secure` is for sites
/// behind TLS: over plain HTTP a browser would drop such a cookie.
///
/// `HttpOnly` hides it from scripts. With `SameSite=Lax` the browser does not send it along with requests
/// that other sites cause, except when the user follows a link.
#[must_use]
pub(super) fn set_cookie(token: &str, max_age_s: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    let max_age_s = max_age_s.max(0);
    if planted(Bug::OpenCookie) {
        return format!("{NAME}={token}; Path=/; Max-Age={max_age_s}; SameSite=Lax{secure}");
    }
    format!("{NAME}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}")
}

/// The value of `Set-Cookie` that has the browser forget the token. It needs no `Secure`: a site
/// behind TLS may replace its own secure cookies without.
#[must_use]
pub(super) fn clear_cookie() -> String {
    set_cookie("", 0, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Presented::{Nothing, Token, Unclear};

    #[test]
    fn the_session_cookie_is_found_among_others() {
        for (headers, expected) in [
            (&[][..], Nothing),
            (&[""], Nothing),
            (&["session"], Nothing),
            (&["theme=dark; lang=en"], Nothing),
            (&["session=abc"], Token(b"abc")),
            (&["theme=dark; session=abc; lang=en"], Token(b"abc")),
            (&["theme=dark;session=abc"], Token(b"abc")),
            (&["theme=dark; \tsession=abc "], Token(b"abc")),
            (&["a=1", "session=abc", "b=2"], Token(b"abc")),
            (&["session=a=b"], Token(b"a=b")),
            (&["session="], Token(b"")),
            (&["session=\"abc\""], Token(b"\"abc\"")),
            // other names
            (&["Session=abc; SESSION=abc"], Nothing),
            (&["xsession=abc; session2=abc; my-session=abc"], Nothing),
            (&["session =abc"], Nothing),
            (&["x=session=abc"], Nothing),
            // more than one
            (&["session=abc; session=abc"], Token(b"abc")),
            (&["session=abc", "session=abc"], Token(b"abc")),
            (&["session=abc; session=abd"], Unclear),
            (&["session=abc", "x=1; session=abd"], Unclear),
            (&["session=; session=abc"], Unclear),
            (&["session=a; session=b; session=a"], Unclear),
        ] {
            let found = session_cookie(headers.iter().map(|header| header.as_bytes()));
            assert_eq!(found, expected, "{headers:?}");
        }
    }

    #[test]
    fn one_bearer_token_is_read_and_nothing_else() {
        for (headers, expected) in [
            (&[][..], Nothing),
            (&[""], Nothing),
            (&["Basic dXNlcjpwYXNz"], Nothing),
            (&["Bearerabc"], Nothing),
            (&["Bearer abc"], Token(b"abc")),
            (&["bearer abc"], Token(b"abc")),
            (&["BEARER   abc "], Token(b"abc")),
            (&["Bearer aZ09-._~+/=="], Token(b"aZ09-._~+/==")),
            (&["Bearer"], Unclear),
            (&["Bearer "], Unclear),
            (&["Bearer =="], Unclear),
            (&["Bearer a=b"], Unclear),
            (&["Bearer a b"], Unclear),
            (&["Bearer a,b"], Unclear),
            (&["Bearer \"abc\""], Unclear),
            (&["Bearer abc\u{e9}"], Unclear),
            (&["Bearer a\tb"], Unclear),
            (&["Bearer abc", "Bearer abc"], Unclear),
            (&["Basic x", "Bearer abc"], Unclear),
        ] {
            let found = bearer(headers.iter().map(|header| header.as_bytes()));
            assert_eq!(found, expected, "{headers:?}");
        }
    }

    #[test]
    fn cookies_are_written_so_that_scripts_and_other_sites_cannot_use_them() {
        assert_eq!(
            set_cookie("abc", 60, false),
            "session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            set_cookie("abc", -1, true),
            "session=abc; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            clear_cookie(),
            "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }
}
