//! Where an instance of a service is, and how etcd's clients write that down: a line of JSON.
//!
//! Only as much JSON is read here as it takes to find two fields of an object and to skip the rest.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Where an instance of a service is, and what else is told of it; as etcd's `endpoints.Endpoint`.
///
/// Its value is etcd's: `{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}`, the metadata being `null` or an object. Of the
/// latter, values that are no strings are given as the JSON that they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The address, in whatever form its clients understand.
    pub addr: String,
    /// What else is told.
    pub metadata: BTreeMap<String, String>,
}

impl Endpoint {
    /// An endpoint without metadata.
    pub fn new(addr: impl Into<String>) -> Self {
        Endpoint { addr: addr.into(), metadata: BTreeMap::new() }
    }

    /// Adds to what is told.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// As etcd's clients read it.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::from("{\"Op\":0,\"Addr\":");
        push_text(&mut json, &self.addr);
        json.push_str(",\"Metadata\":");
        if self.metadata.is_empty() {
            json.push_str("null}");
            return json;
        }
        for (place, (name, value)) in self.metadata.iter().enumerate() {
            json.push(if place == 0 { '{' } else { ',' });
            push_text(&mut json, name);
            json.push(':');
            push_text(&mut json, value);
        }
        json.push_str("}}");
        json
    }

    /// `None` for what is no such object.
    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        let mut text = Text { rest: std::str::from_utf8(json).ok()? };
        let mut endpoint = Endpoint::default();
        let mut found = false;
        text.object(&mut |name, text| {
            match name.as_str() {
                "Addr" => {
                    endpoint.addr = text.string()?;
                    found = true;
                }
                "Metadata" if text.peek() == Some('{') => text.object(&mut |name, text| {
                    let value = if text.peek() == Some('"') { text.string()? } else { text.skipped(0)?.to_owned() };
                    endpoint.metadata.insert(name, value);
                    Some(())
                })?,
                _ => drop(text.skipped(0)?),
            }
            Some(())
        })?;
        (found && text.peek().is_none()).then_some(endpoint)
    }
}

/// As etcd's Go writes a string, but for what Go escapes for the sake of HTML.
fn push_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => write!(json, "\\u{:04x}", u32::from(c)).expect("a string takes everything"),
            c => json.push(c),
        }
    }
    json.push('"');
}

/// How deep what is skipped may nest, so that no value exhausts the stack.
const DEPTH_MAX: usize = 64;

/// What is left of a JSON text. `None` from any of these says that it is none.
struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        (self.peek()? == wanted).then(|| self.rest = &self.rest[wanted.len_utf8()..])
    }

    fn object(&mut self, field: &mut dyn FnMut(String, &mut Text<'a>) -> Option<()>) -> Option<()> {
        self.take('{')?;
        if self.peek()? == '}' {
            return self.take('}');
        }
        loop {
            let name = self.string()?;
            self.take(':')?;
            self.peek()?;
            field(name, self)?;
            if self.peek()? == '}' {
                return self.take('}');
            }
            self.take(',')?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        loop {
            let (at, c) = chars.next()?;
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                '\\' => text.push(escaped(&mut chars)?),
                c if c < ' ' => return None,
                c => text.push(c),
            }
        }
    }

    /// Skips any value and gives its text.
    fn skipped(&mut self, depth: usize) -> Option<&'a str> {
        let start = { self.peek().map(|_| self.rest)? };
        match self.peek()? {
            _ if depth > DEPTH_MAX => return None,
            '"' => drop(self.string()?),
            '{' => self.object(&mut |_, text| text.skipped(depth + 1).map(drop))?,
            '[' => self.skip_array(depth)?,
            _ => {
                let end = self.rest.find([',', '}', ']', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                let known = matches!(word, "null" | "true" | "false") || word.parse::<f64>().is_ok();
                known.then(|| self.rest = rest)?;
            }
        }
        Some(&start[..start.len() - self.rest.len()])
    }

    fn skip_array(&mut self, depth: usize) -> Option<()> {
        self.take('[')?;
        if self.peek()? == ']' {
            return self.take(']');
        }
        loop {
            self.skipped(depth + 1)?;
            if self.peek()? == ']' {
                return self.take(']');
            }
            self.take(',')?;
        }
    }
}

/// The character behind a backslash.
fn escaped(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    let unit = |chars: &mut std::str::CharIndices<'_>| {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + chars.next()?.1.to_digit(16)?))
    };
    match chars.next()?.1 {
        c @ ('"' | '\\' | '/') => Some(c),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => {
            let high = unit(chars)?;
            if !(0xd800..0xdc00).contains(&high) {
                return char::from_u32(high);
            }
            let marked = chars.next()?.1 == '\\' && chars.next()?.1 == 'u';
            let low = marked.then(|| unit(chars))??.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_etcds() {
        assert_eq!(Endpoint::new("a:1").to_json(), r#"{"Op":0,"Addr":"a:1","Metadata":null}"#);
        let endpoint = Endpoint::new("\"\\\n").with("zone", "b").with("a", "ü\u{1f600}");
        let json = "{\"Op\":0,\"Addr\":\"\\\"\\\\\\u000a\",\"Metadata\":{\"a\":\"ü\u{1f600}\",\"zone\":\"b\"}}";
        assert_eq!(endpoint.to_json(), json);
        assert_eq!(Endpoint::from_json(json.as_bytes()), Some(endpoint));
    }

    #[test]
    fn what_others_write_is_read() {
        let read = |json: &str| Endpoint::from_json(json.as_bytes());
        let spaced = " { \"Metadata\" : {\"w\": 7, \"o\" : {\"x\":[1, {}]}, \"s\":\"\"} , \"Addr\":\"a\\u0041\\ud83d\\ude00\\/\" } ";
        let expected = Endpoint::new("aA\u{1f600}/").with("w", "7").with("o", "{\"x\":[1, {}]}").with("s", "");
        assert_eq!(read(spaced), Some(expected));
        assert_eq!(read(r#"{"Op":1,"Addr":"","Metadata":"text","More":[]}"#), Some(Endpoint::new("")));
    }

    #[test]
    fn what_is_no_endpoint_is_none() {
        let deep = format!("{{\"Addr\":\"a\",\"x\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let none = [
            "",
            "a",
            "{",
            "{}",
            "[]",
            "null",
            "{\"Addr\":1}",
            "{\"Addr\":\"a\"",
            "{\"Addr\":\"a\"}}",
            "{\"Addr\":\"a\",}",
            "{\"Addr\":\"\\x\"}",
            "{\"Addr\":\"\\ud800\"}",
            "{\"Addr\":\"\\ud800\\u0041\"}",
            "{\"Addr\":\"\n\"}",
            "{\"Addr\":\"a\",\"x\":nil}",
            "{\"Addr\":\"a\" \"x\":1}",
            "{\"Addr\":\"\\u12\"}",
            &deep,
        ];
        for json in none {
            assert_eq!(Endpoint::from_json(json.as_bytes()), None, "{}", &json[..json.len().min(60)]);
        }
        assert_eq!(Endpoint::from_json(b"{\"Addr\":\"\xff\"}"), None);
    }
}
