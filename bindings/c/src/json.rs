//! Reports in JSON: as much of it as they need.

use std::fmt::{Display, Write};

/// An object: its fields in the order in which they are given.
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Object(String::from("{"))
    }

    /// A field whose value is JSON already: a number, true or false, an object.
    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write(&mut self.0, format_args!("{}:{value}", string(name)));
        self
    }

    pub(crate) fn done(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// An array of values that are JSON already.
pub(crate) fn array(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<String> = values.into_iter().collect();
    format!("[{}]", values.join(","))
}

/// A text as a string.
pub(crate) fn string(text: &str) -> String {
    let mut string = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => string.extend(['\\', char]),
            '\0'..='\x1f' => write(&mut string, format_args!("\\u{:04x}", u32::from(char))),
            _ => string.push(char),
        }
    }
    string.push('"');
    string
}

fn write(string: &mut String, what: std::fmt::Arguments<'_>) {
    string.write_fmt(what).expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_reserves_is_escaped() {
        assert_eq!(string("a\"b\\c\n\u{1}\u{7f}ü"), "\"a\\\"b\\\\c\\u000a\\u0001\u{7f}ü\"");
        let inner = Object::new().with("k", string("v")).done();
        let outer = Object::new().with("a", 1).with("b", true).with("c", array([inner.clone(), inner]));
        assert_eq!(outer.done(), r#"{"a":1,"b":true,"c":[{"k":"v"},{"k":"v"}]}"#);
        assert_eq!((Object::new().done(), array([])), ("{}".to_owned(), "[]".to_owned()));
    }
}
