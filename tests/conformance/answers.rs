//! What came back on a connection, taken apart.

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, in the order in which they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_final(&self) -> bool {
        self.status >= 200 || self.status == 101
    }
}

/// Everything that came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) answers: Vec<Answer>,
    /// Bytes behind the last whole answer.
    pub(crate) rest: Vec<u8>,
    /// The server ended the connection.
    pub(crate) ended: bool,
}

impl Transcript {
    /// `heads` says of each final answer whether it belongs to a HEAD.
    pub(crate) fn of(mut bytes: &[u8], ended: bool, heads: &[bool]) -> Self {
        let mut answers: Vec<Answer> = Vec::new();
        while !bytes.is_empty() {
            let finals = answers.iter().filter(|answer| answer.is_final()).count();
            let to_head = heads.get(finals).copied().unwrap_or(false);
            let Some((answer, length)) = answer(bytes, ended, to_head) else {
                break;
            };
            bytes = &bytes[length..];
            let switched = answer.status == 101;
            answers.push(answer);
            if switched {
                break;
            }
        }
        Self {
            answers,
            rest: bytes.to_vec(),
            ended,
        }
    }

    /// The same without what depends on the time of day.
    pub(crate) fn timeless(mut self) -> Self {
        for answer in &mut self.answers {
            answer.fields.retain(|(name, _)| name != "date");
        }
        self
    }
}

/// The first answer, if it is whole, and how many bytes it has.
fn answer(bytes: &[u8], ended: bool, to_head: bool) -> Option<(Answer, usize)> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let version = words.next()?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let mut answer = Answer {
        status: words.next()?.parse().ok()?,
        ..Answer::default()
    };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let field = (name.to_ascii_lowercase(), value.trim().to_owned());
        answer.fields.push(field);
    }
    let start = end + 4;
    let rest = &bytes[start..];
    let (body, length) = if to_head || answer.status < 200 || [204, 304].contains(&answer.status) {
        (Vec::new(), 0)
    } else if answer.field("transfer-encoding") == Some("chunked") {
        chunks(rest)?
    } else if let Some(length) = answer.field("content-length") {
        let length: usize = length.parse().ok()?;
        (rest.get(..length)?.to_vec(), length)
    } else if ended {
        (rest.to_vec(), rest.len())
    } else {
        return None;
    };
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Some((answer, start + length))
}

fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        body.extend(bytes.get(at..at + size)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
