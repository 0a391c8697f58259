//! Whether what came back is what had to come.

use crate::answers::{Answer, Transcript};
use crate::rows::{Check, End, Row};

/// Which server is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Exact statuses and codes, one answer to what is refused.
    Loopgate,
    /// Anything that the RFCs allow a server.
    Another,
}

/// The request that a connection is asked with whether it is still of use.
pub(crate) const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// What follows a request that is refused, and is never to be answered.
pub(crate) const HIDDEN: &[u8] = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

/// Judges what came back for a row, the answer to [`PROBE`] included.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn judge(row: &Row, seen: &Transcript, who: Who) -> Result<(), String> {
    if seen.answers.iter().any(|answer| answer.body == "hidden") {
        return Err("a hidden request was answered".into());
    }
    let mut answers = &seen.answers[..];
    let probed = answers.last().is_some_and(|last| last.body == "probe");
    if probed {
        answers = &answers[..answers.len() - 1];
    }
    if row.end == End::Refused && who == Who::Another {
        return match answers {
            _ if !seen.rest.is_empty() => Err("half an answer".into()),
            [] if probed => Err("ignored".into()),
            [] => Ok(()),
            [answer] if answer.status >= 400 => Ok(()),
            [_] if row.closes && seen.ended && !probed => Ok(()),
            [answer] => Err(format!("answered with {}", answer.status)),
            _ => Err("several answers".into()),
        };
    }
    for (index, want) in row.wants.iter().enumerate() {
        let Some(answer) = answers.get(index) else {
            return Err(format!("answer {} is missing", index + 1));
        };
        let allowed = match who {
            Who::Loopgate => answer.status == want.status,
            Who::Another => want.allowed.iter().any(|r| r.contains(&answer.status)),
        };
        if !allowed {
            return Err(format!("answer {} is {}", index + 1, answer.status));
        }
        for check in &want.checks {
            holds(check, answer, who).map_err(|why| format!("answer {}: {why}", index + 1))?;
        }
    }
    // A server that does not need a body may answer before it is there.
    let early = who == Who::Another && row.end == End::Waits;
    if answers.len() > row.wants.len() && !early {
        return Err(format!(
            "{} answers too many",
            answers.len() - row.wants.len()
        ));
    }
    if row.end != End::Switched && !seen.rest.is_empty() {
        return Err("bytes behind the last answer".into());
    }
    if who == Who::Loopgate {
        answers.iter().try_for_each(well_formed)?;
    }
    match row.end {
        End::Open if !probed => Err("the next request is not answered".into()),
        End::Closed | End::Refused if probed => Err("the connection goes on".into()),
        End::Closed | End::Refused if !seen.ended => Err("the connection stays open".into()),
        End::Waits | End::Switched if seen.ended && !early => {
            Err("the connection was closed".into())
        }
        _ => Ok(()),
    }
}

fn holds(check: &Check, answer: &Answer, who: Who) -> Result<(), String> {
    let good = match check {
        Check::Has(name) => answer.field(name).is_some(),
        Check::Lacks(name) => answer.field(name).is_none(),
        Check::Is(name, value) => {
            // Rows are words, so values are compared without their spaces.
            let found = answer.field(name).map(|found| found.replace(' ', ""));
            found.is_some_and(|found| found.eq_ignore_ascii_case(value))
        }
        // Not every server can say what it read; that it read it shows in what follows.
        Check::Body(_) | Check::Code(_) if who == Who::Another => true,
        Check::Body(body) => answer.body == *body,
        Check::Code(code) => answer.body.contains(&format!("\"code\":\"{code}\"")),
    };
    if good {
        Ok(())
    } else {
        Err(format!("{check:?} does not hold"))
    }
}

/// What holds of every answer (RFC 9110, sections 6.6.1 and 8.6; RFC 9112, section 6).
fn well_formed(answer: &Answer) -> Result<(), String> {
    let has = |name| answer.field(name).is_some();
    let once = |name: &str| {
        let fields = answer.fields.iter();
        fields.filter(|(known, _)| known == name).count() <= 1
    };
    let bodiless = answer.status < 200 || answer.status == 204;
    for (rule, good) in [
        ("it is dated", has("date") || answer.status < 200),
        (
            "one framing",
            !(has("content-length") && has("transfer-encoding")),
        ),
        (
            "no framing without a body",
            !(bodiless && (has("content-length") || has("transfer-encoding"))),
        ),
        (
            "fields that stand once",
            ["date", "content-length", "connection", "content-type"]
                .into_iter()
                .all(once),
        ),
        (
            "a challenge",
            answer.status != 401 || has("www-authenticate"),
        ),
        ("what is allowed", answer.status != 405 || has("allow")),
        (
            "a type of what there is",
            answer.body.is_empty() || has("content-type"),
        ),
    ] {
        if !good {
            return Err(format!("{answer:?}: {rule}"));
        }
    }
    Ok(())
}
