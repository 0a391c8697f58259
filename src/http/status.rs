//! Status codes and their status lines (RFC 9110, section 15).
//!
//! One table holds code, name and reason; status lines are made at compile time, so that the encoder
//! only copies them.

/// A status code from 100 to 599.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal;)+) => {
        impl Status {
            $(
                #[doc = concat!($code, " ", $reason, ".")]
                pub const $name: Self = Self($code);
            )+

            /// Every status with a name, in ascending order.
            pub const NAMED: &'static [Self] = &[$(Self::$name),+];

            /// The reason phrase; empty for a code without a name here.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)+
                    _ => "",
                }
            }

            /// The whole status line with its line end, for a code with a name.
            pub(super) const fn line(self) -> Option<&'static [u8]> {
                match self.0 {
                    $($code => Some(concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n").as_bytes()),)+
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    CONTINUE = 100 "Continue";
    SWITCHING_PROTOCOLS = 101 "Switching Protocols";
    OK = 200 "OK";
    CREATED = 201 "Created";
    ACCEPTED = 202 "Accepted";
    NO_CONTENT = 204 "No Content";
    RESET_CONTENT = 205 "Reset Content";
    PARTIAL_CONTENT = 206 "Partial Content";
    MOVED_PERMANENTLY = 301 "Moved Permanently";
    FOUND = 302 "Found";
    SEE_OTHER = 303 "See Other";
    NOT_MODIFIED = 304 "Not Modified";
    TEMPORARY_REDIRECT = 307 "Temporary Redirect";
    PERMANENT_REDIRECT = 308 "Permanent Redirect";
    BAD_REQUEST = 400 "Bad Request";
    UNAUTHORIZED = 401 "Unauthorized";
    FORBIDDEN = 403 "Forbidden";
    NOT_FOUND = 404 "Not Found";
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    NOT_ACCEPTABLE = 406 "Not Acceptable";
    REQUEST_TIMEOUT = 408 "Request Timeout";
    CONFLICT = 409 "Conflict";
    GONE = 410 "Gone";
    LENGTH_REQUIRED = 411 "Length Required";
    PRECONDITION_FAILED = 412 "Precondition Failed";
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    URI_TOO_LONG = 414 "URI Too Long";
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type";
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable";
    EXPECTATION_FAILED = 417 "Expectation Failed";
    MISDIRECTED_REQUEST = 421 "Misdirected Request";
    UNPROCESSABLE_CONTENT = 422 "Unprocessable Content";
    UPGRADE_REQUIRED = 426 "Upgrade Required";
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    HEADER_FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large";
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    NOT_IMPLEMENTED = 501 "Not Implemented";
    BAD_GATEWAY = 502 "Bad Gateway";
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    GATEWAY_TIMEOUT = 504 "Gateway Timeout";
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
    INSUFFICIENT_STORAGE = 507 "Insufficient Storage";
}

impl Status {
    /// The three digits as a number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 100 to 199: not the final answer.
    #[must_use]
    pub const fn is_informational(self) -> bool {
        self.0 < 200
    }

    /// Whether an answer with this status may carry content and say how long it is (RFC 9110,
    /// section 8.6; RFC 9112, section 6.3).
    #[must_use]
    pub const fn allows_content(self) -> bool {
        !(self.is_informational() || self.0 == 204 || self.0 == 304)
    }
}

/// A number outside 100 to 599 is not a status and becomes 500: a handler that returns it has a bug that
/// the peer must not have to parse.
impl From<u16> for Status {
    fn from(code: u16) -> Self {
        if (100..600).contains(&code) {
            Self(code)
        } else {
            Self::INTERNAL_SERVER_ERROR
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ascends_and_its_lines_are_well_formed() {
        assert!(Status::NAMED.is_sorted_by(|a, b| a.code() < b.code()));
        for status in Status::NAMED {
            let line = std::str::from_utf8(status.line().unwrap()).unwrap();
            assert_eq!(
                line,
                format!("HTTP/1.1 {} {}\r\n", status.code(), status.reason())
            );
        }
    }

    #[test]
    fn numbers_that_are_no_status_become_500() {
        for code in [0, 7, 99, 600, 999, u16::MAX] {
            assert_eq!(Status::from(code), Status::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(Status::from(404), Status::NOT_FOUND);
        assert_eq!(Status::from(299).reason(), "");
    }
}
