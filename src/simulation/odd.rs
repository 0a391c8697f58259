//! Requests that always have the same answer: unknown paths and methods, invalid logins, pages of other
//! sites, missing sessions.

/// One such request, and its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Odd {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    /// The type of the body, and other fields.
    pub(super) fields: &'static str,
    pub(super) body: &'static str,
    pub(super) status: u16,
    pub(super) code: &'static str,
    /// The methods in `Allow`; empty, if the answer does not have that field.
    pub(super) allow: &'static str,
}

const fn table(method: &'static str, target: &'static str, allow: &'static str) -> Odd {
    let options = method.len() == 7;
    Odd {
        method,
        target,
        fields: "",
        body: "",
        status: if options { 204 } else { 405 },
        code: if options { "" } else { "method_not_allowed" },
        allow,
    }
}

const fn nothing(method: &'static str, target: &'static str) -> Odd {
    let status = 404;
    answered(method, target, "", "", status, "not_found")
}

const fn answered(
    method: &'static str,
    target: &'static str,
    fields: &'static str,
    body: &'static str,
    status: u16,
    code: &'static str,
) -> Odd {
    Odd {
        method,
        target,
        fields,
        body,
        status,
        code,
        allow: "",
    }
}

const fn stranger(method: &'static str, target: &'static str, fields: &'static str) -> Odd {
    answered(method, target, fields, "", 401, "no_session")
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const ALICE: &str = "username=alice&password=alice";

const fn login(fields: &'static str, body: &'static str, status: u16, code: &'static str) -> Odd {
    answered("POST", "/login", fields, body, status, code)
}

/// A good login, on a page of another site.
const fn elsewhere(fields: &'static str) -> Odd {
    login(fields, ALICE, 403, "cross_site")
}

pub(super) const ODD: [Odd; 38] = [
    table("OPTIONS", "/login", "POST, OPTIONS"),
    table("OPTIONS", "/session", "GET, HEAD, OPTIONS"),
    table("OPTIONS", "/events", "GET, HEAD, POST, OPTIONS"),
    table("OPTIONS", "/sessions/x", "DELETE, OPTIONS"),
    table("OPTIONS", "*", "GET, HEAD, POST, DELETE, OPTIONS"),
    table("GET", "/login", "POST, OPTIONS"),
    table("GET", "/logout", "POST, OPTIONS"),
    table("DELETE", "/session", "GET, HEAD, OPTIONS"),
    table("POST", "/sessions", "GET, HEAD, OPTIONS"),
    table("GET", "/sessions/x", "DELETE, OPTIONS"),
    nothing("GET", "/nothing"),
    nothing("POST", "/login/"),
    nothing("DELETE", "/sessions/"),
    nothing("GET", "/Session"),
    login(
        "Content-Type: text/plain\r\n",
        ALICE,
        415,
        "unsupported_media_type",
    ),
    login(FORM, "username=alice", 400, "malformed_form"),
    login(
        FORM,
        "username=a&username=b&password=c",
        400,
        "malformed_form",
    ),
    login(
        FORM,
        "username=%20alice&password=alice",
        400,
        "invalid_username",
    ),
    login(FORM, "username=alice&password=", 400, "invalid_password"),
    login(JSON, "[\"alice\",\"alice\"]", 400, "malformed_json"),
    login(JSON, ALICE, 400, "malformed_json"),
    elsewhere("Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: cross-site\r\n"),
    elsewhere("Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-site\r\n"),
    elsewhere("Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://h.example\r\n"),
    elsewhere("Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://h:81\r\n"),
    elsewhere("Content-Type: application/x-www-form-urlencoded\r\nOrigin: null\r\n"),
    answered(
        "POST",
        "/logout?everywhere=perhaps",
        "",
        "",
        400,
        "malformed_query",
    ),
    stranger("GET", "/session", ""),
    stranger("GET", "/sessions", "Cookie: session=\r\n"),
    stranger("GET", "/verify", "Authorization: Bearer x\r\n"),
    stranger("OPTIONS", "/verify", ""),
    stranger("POST", "/verify", "Cookie: session=x\r\n"),
    stranger("POST", "/logout", "Cookie: Session=x\r\n"),
    stranger("POST", "/logout?everywhere=true", ""),
    stranger("DELETE", "/sessions/x", "Authorization: Basic eDp4\r\n"),
    stranger("GET", "/events", ""),
    stranger("POST", "/events", ""),
    stranger(
        "GET",
        "/events",
        "Accept: text/event-stream\r\nCookie: session=x\r\n",
    ),
];
