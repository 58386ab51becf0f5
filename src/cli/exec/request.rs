//! Requests, read strictly: a field that is duplicate, unknown, missing or ill-typed is refused before anything is done.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::answer::Problem;
use super::tree::{self, Tree};
use crate::cli::json;
use crate::error::{Error, Invalid};
use crate::{KeyRange, LeaseId, Revision, from_key, prefix};

/// A line of input, read.
#[derive(Debug)]
pub(super) struct Line {
    /// What the answer repeats: a string or an integer.
    pub(super) id: Option<Value>,
    /// The line's number, where the answer has no better name.
    pub(super) number: Option<u64>,
    /// Whose request it is.
    pub(super) client: u8,
    /// What is asked for, or why that cannot be understood.
    pub(super) request: Result<Request, Problem>,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) cmd: String,
    /// What the command has to take, all of it.
    pub(super) fields: Fields,
}

impl Line {
    /// Reads a line that is not blank.
    pub(super) fn read(line: &[u8], number: u64) -> Line {
        match tree::parse(line) {
            Ok(Tree::Object(fields)) => Line::of(fields, number),
            Ok(_) => Line::unreadable(number, Problem::invalid("a request must be a JSON object")),
            Err(what) => {
                let problem = Problem::Invalid(format!("a request must be a JSON object: {what}"));
                match tree::parse_only(line, &["id", "client"]) {
                    Some(fields) => Line::with(&fields, number, Err(problem)),
                    None => Line::unreadable(number, problem),
                }
            }
        }
    }

    /// A line without a request in it; its answer comes in the order of client 0.
    pub(super) fn unreadable(number: u64, problem: Problem) -> Line {
        Line { id: None, number: Some(number), client: 0, request: Err(problem) }
    }

    fn of(fields: Vec<(String, Tree)>, number: u64) -> Line {
        let unread = Line::with(&fields, number, Err(missing("cmd")));
        let request = Request::of(fields);
        let number = unread.number.filter(|_| request.is_err());
        Line { number, request, ..unread }
    }

    /// Also the answer to a request that is refused repeats its id and comes in its client's order, if it has them.
    fn with(fields: &[(String, Tree)], number: u64, request: Result<Request, Problem>) -> Line {
        let first = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        let id = match first("id") {
            Some(Tree::Text(text)) => Some(Value::from(text.as_str())),
            Some(Tree::Integer(number)) => Some(Value::from(*number)),
            _ => None,
        };
        let client = match first("client") {
            Some(Tree::Integer(client)) => u8::try_from(*client).unwrap_or(0),
            _ => 0,
        };
        let number = (id.is_none() && request.is_err()).then_some(number);
        Line { id, number, client, request }
    }
}

impl Request {
    fn of(fields: Vec<(String, Tree)>) -> Result<Request, Problem> {
        let mut fields = Fields::new(fields)?;
        match fields.take("id") {
            None | Some(Tree::Text(_) | Tree::Integer(_)) => {}
            Some(_) => return Err(ill_typed("id", "a string or an integer of 64 bits")),
        }
        if !matches!(fields.integer("client")?, None | Some(0..=255)) {
            return Err(ill_typed("client", "an integer from 0 to 255"));
        }
        Ok(Request { cmd: fields.text("cmd")?.ok_or_else(|| missing("cmd"))?, fields })
    }
}

/// The fields of an object that have not been taken yet.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, Tree)>);

impl Fields {
    /// Refuses duplicates. A field that is null counts as absent.
    fn new(mut fields: Vec<(String, Tree)>) -> Result<Fields, Problem> {
        let mut seen = BTreeSet::new();
        if let Some((name, _)) = fields.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            return Err(Problem::Invalid(format!("duplicate field {}", shown(name))));
        }
        fields.retain(|(_, value)| *value != Tree::Null);
        Ok(Fields(fields))
    }

    /// To be called once all fields have been taken: what is left is unknown.
    pub(super) fn finish(&self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::Invalid(format!("unknown field {}", shown(name)))),
        }
    }

    fn take(&mut self, name: &str) -> Option<Tree> {
        let at = self.0.iter().position(|(field, _)| field == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Whether a field is there that has not been taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Tree::Text(text)) => Ok(Some(text)),
            Some(_) => Err(ill_typed(name, "a string")),
        }
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Err(Problem::Invalid(format!("field `{name}` must be one of: {}", words.join(" "))))
            }
        }
    }

    /// Bytes: text under the name, or base64 under `name_b64`.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        let encoded = format!("{name}_b64");
        match (self.text(name)?, self.text(&encoded)?) {
            (None, None) => Ok(None),
            (Some(text), None) => Ok(Some(text.into_bytes())),
            (None, Some(text)) => match json::from_base64(&text) {
                Some(bytes) => Ok(Some(bytes)),
                None => Err(ill_typed(&encoded, "standard base64 with padding")),
            },
            (Some(_), Some(_)) => Err(Problem::Invalid(format!("both `{name}` and `{encoded}` are given"))),
        }
    }

    pub(super) fn need_bytes(&mut self, name: &str) -> Result<Vec<u8>, Problem> {
        self.bytes(name)?.ok_or_else(|| missing(name))
    }

    /// False unless given.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        self.flag_or(name, false)
    }

    pub(super) fn flag_or(&mut self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(default),
            Some(Tree::Bool(flag)) => Ok(flag),
            Some(_) => Err(ill_typed(name, "true or false")),
        }
    }

    /// Any integer of 64 bits.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Tree::Integer(number)) => Ok(Some(number)),
            Some(_) => Err(ill_typed(name, "an integer of 64 bits")),
        }
    }

    /// An integer that is not negative.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        match self.integer(name)?.map(u64::try_from) {
            None => Ok(None),
            Some(Ok(count)) => Ok(Some(count)),
            Some(Err(_)) => Err(ill_typed(name, "zero or more")),
        }
    }

    pub(super) fn need_count(&mut self, name: &str) -> Result<u64, Problem> {
        self.count(name)?.ok_or_else(|| missing(name))
    }

    /// Zero unless given.
    pub(super) fn revision(&mut self, name: &str) -> Result<Revision, Problem> {
        Ok(Revision::new(self.count(name)?.unwrap_or(0)))
    }

    pub(super) fn need_revision(&mut self, name: &str) -> Result<Revision, Problem> {
        self.need_count(name).map(Revision::new)
    }

    /// Milliseconds.
    pub(super) fn duration(&mut self, name: &str) -> Result<Option<Duration>, Problem> {
        Ok(self.count(name)?.map(Duration::from_millis))
    }

    pub(super) fn need_duration(&mut self, name: &str) -> Result<Duration, Problem> {
        self.duration(name)?.ok_or_else(|| missing(name))
    }

    /// How long a wait lasts: `None` is for ever, the default.
    pub(super) fn patience(&mut self) -> Result<Option<Duration>, Problem> {
        match self.integer("timeout_ms")? {
            None | Some(-1) => Ok(None),
            Some(millis) => match u64::try_from(millis) {
                Ok(millis) => Ok(Some(Duration::from_millis(millis))),
                Err(_) => Err(ill_typed("timeout_ms", "-1 or more")),
            },
        }
    }

    /// A lease id: lowercase hex; `"0"`, the default, is none.
    pub(super) fn lease(&mut self, name: &str) -> Result<LeaseId, Problem> {
        let Some(text) = self.text(name)? else { return Ok(LeaseId::NONE) };
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let pattern = if text.chars().all(is_hex) { u64::from_str_radix(&text, 16).ok() } else { None };
        match pattern {
            Some(pattern) => Ok(LeaseId::new(pattern.cast_signed())),
            None => Err(ill_typed(name, "64 bits in lowercase hex")),
        }
    }

    pub(super) fn need_lease(&mut self, name: &str) -> Result<LeaseId, Problem> {
        if self.has(name) { self.lease(name) } else { Err(missing(name)) }
    }

    /// The number of a handle.
    pub(super) fn handle(&mut self, name: &str) -> Result<u64, Problem> {
        self.optional_handle(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn optional_handle(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        match self.integer(name)?.map(u64::try_from) {
            None => Ok(None),
            Some(Ok(number)) if number > 0 => Ok(Some(number)),
            Some(_) => Err(ill_typed(name, "a positive integer")),
        }
    }

    /// A list of objects; empty unless given.
    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Fields>, Problem> {
        let list = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Tree::List(list)) => list,
            Some(_) => return Err(ill_typed(name, "a list of objects")),
        };
        list.into_iter().map(|item| object(name, item)).collect()
    }

    /// One object, or a list of them; empty unless given.
    pub(super) fn one_or_more(&mut self, name: &str) -> Result<Vec<Fields>, Problem> {
        match self.take(name) {
            Some(Tree::Object(fields)) => Ok(vec![Fields::new(fields)?]),
            Some(list) => {
                self.0.push((name.to_owned(), list));
                self.objects(name)
            }
            None => Ok(Vec::new()),
        }
    }

    /// One object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Fields>, Problem> {
        self.take(name).map(|item| object(name, item)).transpose()
    }

    /// A target: a key alone, or with one of `end`, `prefix`, `from_key`.
    pub(super) fn target(&mut self) -> Result<KeyRange, Problem> {
        let key = self.need_bytes("key")?;
        let (end, is_prefix, is_from) = (self.bytes("end")?, self.flag("prefix")?, self.flag("from_key")?);
        match (end, is_prefix, is_from) {
            (None, true, false) => Ok(prefix(key)),
            (None, false, true) => Ok(from_key(key)),
            // Only these two take the empty key for everything (watches of the library do too).
            _ if key.is_empty() => Err(Problem::Store(Error::InvalidArgument(Invalid::EmptyKey))),
            (None, false, false) => Ok(KeyRange::key(key)),
            (Some(end), false, false) if end.is_empty() => Err(Problem::invalid("field `end` must not be empty")),
            (Some(end), false, false) => Ok(KeyRange::from_wire(key, end)),
            _ => Err(Problem::invalid("at most one of `end`, `prefix` and `from_key` may be given")),
        }
    }
}

fn object(name: &str, item: Tree) -> Result<Fields, Problem> {
    match item {
        Tree::Object(fields) => Fields::new(fields),
        _ => Err(ill_typed(name, "made of objects")),
    }
}

pub(super) fn missing(name: &str) -> Problem {
    Problem::Invalid(format!("field `{name}` is missing"))
}

pub(super) fn ill_typed(name: &str, what: &str) -> Problem {
    Problem::Invalid(format!("field `{name}` must be {what}"))
}

/// A field's name, unless it is so odd that it must be something else.
fn shown(name: &str) -> String {
    let is_name = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_name { format!("`{name}`") } else { "with an odd name".to_owned() }
}
