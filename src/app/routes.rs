//! The handler table: which function answers which method on which path.
//!
//! The table itself answers HEAD, OPTIONS and 405. Paths are compared segment by segment, and decoded
//! only after they were split, so `%2F` is never taken for a slash.

use std::fmt;

use super::request::Parameters;
use super::{Context, Reply, Request};
use crate::http::{Method, percent_decode};
use crate::ledger::Label;
use crate::planted::{Bug, planted};

/// A function that answers requests. It must not block; what blocks goes into [`Reply::later`].
pub type Handler = Box<dyn Fn(&Request<'_>, &mut Context<'_>) -> Reply>;

/// Which requests a row of the table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Requests with this method; if it is GET, HEAD as well.
    One(Method),
    /// All requests, also those with methods that have no name here. The handler answers from the head alone: a
    /// body is not asked for, not read, and not limited, and the connection ends after the answer, since the
    /// server cannot know whether the body follows. The handler must answer at once.
    Any,
}

impl From<Method> for Methods {
    fn from(method: Method) -> Self {
        Self::One(method)
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One(method) => method.as_str(),
            Self::Any => "ANY",
        })
    }
}

/// The table.
#[derive(Default)]
pub struct Routes {
    rows: Vec<Row>,
    /// Rows without parameters, by the length of their path: comparing a few of the same length costs
    /// less than hashing.
    fixed: Vec<Vec<usize>>,
    /// Rows with parameters, in the order in which they were added.
    patterns: Vec<usize>,
}

struct Row {
    path: String,
    handlers: [Option<(Handler, Label)>; Method::COUNT],
    /// For the methods without a handler of their own.
    any: Option<(Handler, Label)>,
}

/// What the table says about a request.
pub enum Found<'r> {
    /// This function answers it.
    Handler {
        /// The function.
        handler: &'r Handler,
        /// Its row's name in the ledger.
        label: Label,
        /// The values of the path's parameters.
        parameters: Parameters<'r>,
        /// It wants the body, if there is one.
        reads_body: bool,
    },
    /// An OPTIONS request without a handler of its own; these methods are allowed.
    Options(String),
    /// The path is known, but not with this method; these are allowed.
    NotAllowed(String),
    /// The method has no name here, and the path has no row for any method.
    NotImplemented,
    /// No row has this path.
    Nothing,
}

impl Routes {
    /// Adds a row. `path` may have `{name}` as a whole segment. A row for the same method and path
    /// is replaced, so that an embedder can answer `GET /` in its own way. A row for one method takes precedence
    /// over a row for any method.
    ///
    /// # Panics
    /// If `path` does not begin with a slash, or the method has no name: those are mistakes in the program.
    pub fn on(&mut self, methods: impl Into<Methods>, path: &str, label: Label, handler: Handler) {
        assert!(
            path.starts_with('/'),
            "a path begins with a slash: {path:?}"
        );
        let row = self
            .rows
            .iter()
            .position(|row| row.path == path)
            .unwrap_or_else(|| {
                self.rows.push(Row {
                    path: path.to_owned(),
                    handlers: Default::default(),
                    any: None,
                });
                self.rows.len() - 1
            });
        let place = match methods.into() {
            Methods::One(method) => &mut self.rows[row].handlers[method.index()],
            Methods::Any => &mut self.rows[row].any,
        };
        *place = Some((handler, label));
        if path.contains('{') {
            if !self.patterns.contains(&row) {
                self.patterns.push(row);
            }
        } else {
            if self.fixed.len() <= path.len() {
                self.fixed.resize(path.len() + 1, Vec::new());
            }
            let alike = &mut self.fixed[path.len()];
            if !alike.contains(&row) {
                alike.push(row);
            }
        }
    }

    /// What the table says about `method` on `path`, which is still percent-encoded.
    #[must_use]
    pub fn find<'r>(&'r self, method: Method, path: &'r str) -> Found<'r> {
        if path == "*" {
            return Found::Options(allow(self.rows.iter()));
        }
        let alike = self.fixed.get(path.len()).map_or(&[][..], Vec::as_slice);
        let mut rows = alike.iter().map(|row| &self.rows[*row]);
        let (row, parameters) = match rows.find(|row| row.path == path) {
            Some(row) => (row, Parameters::new()),
            None => match self.find_by_segments(path) {
                Some(found) => found,
                None if method == Method::Other => return Found::NotImplemented,
                None => return Found::Nothing,
            },
        };
        let handler = |method: Method| row.handlers.get(method.index())?.as_ref();
        let found = match method {
            Method::Head => handler(Method::Head).or_else(|| handler(Method::Get)),
            other => handler(other),
        };
        match found.or(row.any.as_ref()) {
            Some((handler, label)) => Found::Handler {
                handler,
                label: *label,
                parameters,
                reads_body: found.is_some(),
            },
            None if method == Method::Other => Found::NotImplemented,
            None if method == Method::Options => Found::Options(allow(std::iter::once(row))),
            None => Found::NotAllowed(allow(std::iter::once(row))),
        }
    }

    /// The first row that fits when its path and this one are compared segment by segment.
    fn find_by_segments<'r>(&'r self, path: &'r str) -> Option<(&'r Row, Parameters<'r>)> {
        let fits = |row: &'r Row| Some((row, matches(&row.path, path)?));
        if path.contains('%') {
            // If it is percent-encoded, it may match any of them.
            return self.rows.iter().find_map(fits);
        }
        let mut patterns = self.patterns.iter().map(|row| &self.rows[*row]);
        patterns.find_map(fits)
    }
}

/// Compares segment by segment; returns the values of the parameters if all segments match.
fn matches<'r>(pattern: &'r str, path: &'r str) -> Option<Parameters<'r>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut parameters = Parameters::new();
    loop {
        let (wanted, given) = match (wanted.next(), given.next()) {
            (None, None) => return Some(parameters),
            (Some(wanted), Some(given)) => (wanted, percent_decode(given).ok()?),
            _ => return None,
        };
        match wanted
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
        {
            Some(_) if given.is_empty() => return None,
            Some(name) => parameters.push((name, given)),
            None if wanted == given => {}
            None => return None,
        }
    }
}

/// The methods that some row answers, as the value of `Allow`.
fn allow<'r>(rows: impl Iterator<Item = &'r Row> + Clone) -> String {
    let answered = |method: Method| {
        rows.clone()
            .any(|row| row.handlers[method.index()].is_some())
    };
    let allowed = Method::ALL.into_iter().filter(|method| match method {
        Method::Options => true,
        Method::Head if planted(Bug::HeadUnsaid) => answered(Method::Head),
        Method::Head => answered(Method::Head) || answered(Method::Get),
        other => answered(*other),
    });
    allowed.map(Method::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.rows.iter().map(|row| &row.path))
            .finish()
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler {
                parameters,
                reads_body,
                ..
            } => {
                let body = if *reads_body { "" } else { ", from the head" };
                write!(f, "Handler({parameters:?}{body})")
            }
            Self::Options(allow) => write!(f, "Options({allow})"),
            Self::NotAllowed(allow) => write!(f, "NotAllowed({allow})"),
            Self::NotImplemented => f.write_str("NotImplemented"),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Routes {
        let mut routes = Routes::default();
        for (method, path) in [
            (Method::Get, "/"),
            (Method::Get, "/sessions"),
            (Method::Delete, "/sessions/{id}"),
            (Method::Get, "/users/{user}/notes/{note}"),
            (Method::Post, "/login"),
        ] {
            routes.on(
                method,
                path,
                Label::NONE,
                Box::new(|_, _| Reply::empty(204)),
            );
        }
        for (methods, path) in [
            (Methods::Any, "/verify"),
            (Methods::Any, "/mixed/{name}"),
            (Methods::One(Method::Get), "/mixed/{name}"),
        ] {
            let handler = Box::new(|_: &Request<'_>, _: &mut Context<'_>| Reply::empty(204));
            routes.on(methods, path, Label::NONE, handler);
        }
        routes
    }

    #[test]
    fn the_table_answers_what_it_can_and_says_what_it_cannot() {
        for (method, path, answer) in [
            (Method::Get, "/", "Handler([])"),
            (Method::Head, "/sessions", "Handler([])"),
            (Method::Delete, "/sessions/7", r#"Handler([("id", "7")])"#),
            (
                Method::Delete,
                "/sessions/a%2Fb",
                r#"Handler([("id", "a/b")])"#,
            ),
            (
                Method::Get,
                "/users/a%20b/notes/2",
                r#"Handler([("user", "a b"), ("note", "2")])"#,
            ),
            (Method::Post, "/%6Cogin", "Handler([])"),
            (Method::Get, "/login", "NotAllowed(POST, OPTIONS)"),
            (Method::Post, "/sessions", "NotAllowed(GET, HEAD, OPTIONS)"),
            (Method::Options, "/login", "Options(POST, OPTIONS)"),
            (
                Method::Options,
                "*",
                "Options(GET, HEAD, POST, DELETE, OPTIONS)",
            ),
            (Method::Get, "/verify", "Handler([], from the head)"),
            (Method::Head, "/verify", "Handler([], from the head)"),
            (Method::Options, "/verify", "Handler([], from the head)"),
            (Method::Trace, "/%76erify", "Handler([], from the head)"),
            (Method::Other, "/verify", "Handler([], from the head)"),
            (Method::Get, "/mixed/a", r#"Handler([("name", "a")])"#),
            (Method::Head, "/mixed/a", r#"Handler([("name", "a")])"#),
            (
                Method::Post,
                "/mixed/a",
                r#"Handler([("name", "a")], from the head)"#,
            ),
            (Method::Other, "/login", "NotImplemented"),
            (Method::Other, "/nothing", "NotImplemented"),
            (Method::Other, "/verify/", "NotImplemented"),
            (Method::Delete, "/sessions/", "Nothing"),
            (Method::Delete, "/sessions/7/8", "Nothing"),
            (Method::Get, "/sessions%2F7", "Nothing"),
            (Method::Get, "/nothing", "Nothing"),
            (Method::Get, "/login/", "Nothing"),
        ] {
            assert_eq!(
                format!("{:?}", table().find(method, path)),
                answer,
                "{method:?} {path}"
            );
        }
    }

    #[test]
    fn a_later_row_replaces_an_earlier_one() {
        let mut routes = table();
        let mut ledger = crate::ledger::Ledger::default();
        let mine = ledger.label("mine");
        routes.on(Method::Get, "/", mine, Box::new(|_, _| Reply::empty(204)));
        let Found::Handler { label, .. } = routes.find(Method::Get, "/") else {
            panic!()
        };
        assert_eq!(label, mine);
    }
}
