//! Request methods (RFC 9110, section 9.3; PATCH is RFC 5789).

/// The methods this server knows by name, and one for all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Method {
    /// Transfer a representation of the target.
    Get,
    /// The same without the content.
    Head,
    /// Let the target act on the content.
    Post,
    /// Replace the target by the content.
    Put,
    /// Change the target as the content says.
    Patch,
    /// Remove the target.
    Delete,
    /// Describe how the target can be used.
    Options,
    /// Loop the request back.
    Trace,
    /// Open a tunnel. [`parse_head`](super::parse_head) never lets it through.
    Connect,
    /// Any other token: a method of an extension (`PROPFIND` of RFC 4918), or a meaningless one. Only handlers for any
    /// method get it; otherwise the answer is 501.
    Other,
}

impl Method {
    /// How many methods have a name: the length of an array indexed by [`Method::index`].
    pub const COUNT: usize = Self::ALL.len();

    /// Every method that has a name, in the order of [`Method::index`].
    pub const ALL: [Self; 9] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
        Self::Trace,
        Self::Connect,
    ];

    /// A number below [`Method::COUNT`], for tables; [`Method::Other`] stands behind them.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name as it stands in a request line; `OTHER` for methods without a name here.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Connect => "CONNECT",
            Self::Other => "OTHER",
        }
    }

    /// The method of that name; names are case-sensitive (RFC 9110, section 9.1).
    #[must_use]
    pub const fn from_bytes(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => return None,
        })
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name_and_stands_at_its_index() {
        for (index, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method.index(), index);
            assert_eq!(Method::from_bytes(method.as_str().as_bytes()), Some(method));
        }
    }

    #[test]
    fn names_are_case_sensitive_and_whole() {
        for name in ["get", "Get", "GE", "GETS", "", "PRI"] {
            assert_eq!(Method::from_bytes(name.as_bytes()), None, "{name:?}");
        }
    }
}
