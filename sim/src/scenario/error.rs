//! Errors of a scenario file: where, what, and what was probably meant.

use std::fmt;
use std::ops::Range;

/// Why a scenario file is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError {
    pub file: String,
    /// From 1; 0 when no place is known.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ScenarioError {}

/// The text being read, for turning places into lines.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    pub fn error(&self, at: Option<Range<usize>>, message: impl Into<String>) -> ScenarioError {
        let line = at.map_or(0, |span| 1 + self.text.bytes().take(span.start).filter(|&byte| byte == b'\n').count());
        ScenarioError { file: self.file.to_owned(), line, message: message.into() }
    }

    /// Turns the parser's error into ours; an unknown key gets a suggestion.
    pub fn syntax(&self, error: &toml::de::Error) -> ScenarioError {
        let message = error.message();
        let message = match unknown_field(message) {
            Some((key, known)) => format!("unknown key `{key}`{}", suggest(&key, known.iter().map(String::as_str))),
            None => wrong_type(message).unwrap_or_else(|| message.replace('\n', " ")),
        };
        self.error(error.span(), message)
    }
}

/// `; did you mean …` or the whole list.
pub(super) fn suggest<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let best = known.clone().map(|name| (strsim::jaro_winkler(given, name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, name)) if likeness > 0.75 => format!("; did you mean `{name}`?"),
        _ => format!("; known: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Says in words what serde says in types.
fn wrong_type(message: &str) -> Option<String> {
    let (found, expected) = message.strip_prefix("invalid type: ")?.split_once(", expected ")?;
    Some(match (found.split(' ').next()?, expected) {
        ("map", "a sequence" | "a boolean" | "a string" | "i64" | "u32") => {
            "a table does not belong here; a value that is left to the seed is { draw = … } or { span = … }".to_owned()
        }
        ("integer", "a string") => {
            let number = found.trim_start_matches("integer ").trim_matches('`');
            format!("{number} is a bare number: this takes text in quotes, such as \"{number}s\" where a duration is meant")
        }
        ("string", "i64" | "u32") => {
            format!("{} is text: this takes a number without quotes", found.trim_start_matches("string "))
        }
        ("floating", "i64" | "u32") => "this takes a whole number".to_owned(),
        (_, "a sequence") => format!("{found} stands alone: this takes a list, such as [ … ]"),
        _ => return None,
    })
}

/// Takes serde's sentence apart: "unknown field `x`, expected one of `a`, `b`".
pub(super) fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((key.to_owned(), known))
}
