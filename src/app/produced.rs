//! Parses the lines of producers.

use serde::Deserialize;
use serde_json::Value;

use crate::event::{NewEvent, is_name, is_reserved};

/// The name of an event that was a line of text.
const LINE: &str = "line";

/// What a producer may say about an event. Unlike an event from the network it may name the sender too:
/// the operator started the producer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    name: String,
    #[serde(default)]
    data: Value,
    sender: Option<String>,
    user_id: Option<String>,
}

/// The event that a line stands for: `{"name", "data", "sender", "user_id"}`, of which only the name is
/// needed, or any other text, which becomes the `data` of an event called `line`.
///
/// # Errors
/// Why the line is not an event, for the log.
pub fn event_of_line(line: &str, sender: &str, unix_ms: u64) -> Result<NewEvent, &'static str> {
    let text = || Said {
        name: LINE.to_owned(),
        data: Value::String(line.to_owned()),
        sender: None,
        user_id: None,
    };
    // Only an object: serde would accept an array for one, too.
    let said = match line.starts_with('{').then(|| serde_json::from_str(line)) {
        Some(Ok(said)) => said,
        _ => text(),
    };
    if !is_name(&said.name) {
        return Err("its name is not 1 to 128 letters, digits and . _ - : / in ASCII");
    }
    if is_reserved(&said.name) {
        return Err("user.*, session.*, server.*, error and gap are the server's own names");
    }
    let user_id = match said.user_id.map(|id| id.parse()) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err("its user_id is not a number in a string"),
    };
    Ok(NewEvent {
        unix_ms,
        name: said.name.into(),
        sender: said.sender.unwrap_or_else(|| sender.to_owned()).into(),
        user_id,
        data: said.data,
    })
}

/// The name of a command: the file name of the program that it runs.
#[must_use]
pub fn name_of_command(command: &str) -> &str {
    let is_program = |word: &&str| *word != "exec" && !word.contains('=');
    let program = command.split_whitespace().find(is_program).unwrap_or("sh");
    program
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_an_event_or_text() {
        for (line, name, sender, user_id, data) in [
            (
                r#"{"name":"a.b","data":[1]}"#,
                "a.b",
                "prog",
                None,
                json!([1]),
            ),
            (r#"{"name":"x"}"#, "x", "prog", None, Value::Null),
            (
                r#"{"name":"button_clicked","sender":"Button","user_id":"7","data":{"n":1}}"#,
                "button_clicked",
                "Button",
                Some(7),
                json!({"n": 1}),
            ),
            ("hello there", LINE, "prog", None, json!("hello there")),
            (r#"["a",2]"#, LINE, "prog", None, json!(r#"["a",2]"#)),
            (
                r#"{"no":"name"}"#,
                LINE,
                "prog",
                None,
                json!(r#"{"no":"name"}"#),
            ),
        ] {
            let event = event_of_line(line, "prog", 5).expect(line);
            assert_eq!((&*event.name, &*event.sender), (name, sender), "{line}");
            assert_eq!((event.user_id, event.data), (user_id, data), "{line}");
        }
        for line in [
            r#"{"name":"user.logged_in"}"#,
            r#"{"name":"error"}"#,
            r#"{"name":"a b"}"#,
            r#"{"name":"a","user_id":"alice"}"#,
        ] {
            assert!(event_of_line(line, "prog", 5).is_err(), "{line}");
        }
    }

    #[test]
    fn a_command_is_called_by_its_file_name() {
        for (command, name) in [
            ("cat", "cat"),
            ("/usr/bin/python3 x.py --flag", "python3"),
            ("  ./tool", "tool"),
            ("exec sleep 1", "sleep"),
            ("LANG=C A=b exec /bin/cat -", "cat"),
            ("", "sh"),
            ("dir/", "dir/"),
        ] {
            assert_eq!(name_of_command(command), name);
        }
    }
}
