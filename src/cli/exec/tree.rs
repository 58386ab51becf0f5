//! JSON as it was written: duplicate fields are kept, integers stay integers.
//!
//! `serde_json::Value` would let the last of two equal fields win, silently; the driver must refuse them. So a line is
//! read into a tree of its own, with a bound on its depth that admits the deepest txn which the store takes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    /// An integer of 64 bits with its sign.
    Integer(i64),
    /// Any other number: too large, with a fraction or an exponent.
    Number,
    Text(String),
    List(Vec<Tree>),
    /// The fields in the order in which they were written, duplicates included.
    Object(Vec<(String, Tree)>),
}

/// How deep a request may nest: a txn costs two levels, and 128 of them may nest.
const DEPTH_MAX: usize = 300;

/// Reads one JSON value that is all of `line`.
///
/// # Errors
/// What is wrong with it, without a word of what it holds.
pub(super) fn parse(line: &[u8]) -> Result<Tree, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    deserializer.disable_recursion_limit();
    let tree = Level { left: DEPTH_MAX }.deserialize(&mut deserializer).and_then(|tree| {
        deserializer.end()?;
        Ok(tree)
    });
    tree.map_err(|error| error.to_string())
}

/// Reads of a line that [`parse`] refuses, but that is an object in JSON's grammar, only these fields: others may hold
/// what cannot be kept, such as a number beyond all range or half of a surrogate pair.
pub(super) fn parse_only(line: &[u8], names: &[&str]) -> Option<Vec<(String, Tree)>> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    deserializer.disable_recursion_limit();
    let fields = deserializer.deserialize_map(Only(names)).ok()?;
    deserializer.end().ok()?;
    Some(fields)
}

/// Passes over all fields but these.
struct Only<'n>(&'n [&'n str]);

impl<'de> Visitor<'de> for Only<'_> {
    type Value = Vec<(String, Tree)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            if self.0.contains(&name.as_str()) {
                kept.push((name, fields.next_value_seed(Level { left: 1 })?));
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kept)
    }
}

/// Reads a value that may nest so many levels deeper.
struct Level {
    left: usize,
}

impl Level {
    fn below<E: Error>(&self) -> Result<Level, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Level { left }),
            None => Err(E::custom("nested too deep")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(i64::try_from(value).map_or(Tree::Number, Tree::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.below()?)? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            object.push((name, fields.next_value_seed(self.below()?)?));
        }
        Ok(Tree::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_integers_are_kept() {
        let tree = parse(br#"{"a":1,"a":-9223372036854775808,"b":[9223372036854775808,1.0,"\u00e9",null]}"#);
        let list = vec![Tree::Number, Tree::Number, Tree::Text("é".into()), Tree::Null];
        let fields = [("a", Tree::Integer(1)), ("a", Tree::Integer(i64::MIN)), ("b", Tree::List(list))];
        assert_eq!(tree, Ok(Tree::Object(fields.map(|(name, tree)| (name.to_owned(), tree)).into())));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(DEPTH_MAX + 2)).map_err(|e| e.starts_with("nested too deep")), Err(true));
        assert!(parse(&[b'['; 1 << 20]).is_err());
    }

    #[test]
    fn fields_are_found_beside_what_cannot_be_kept() {
        let only = |line: &str| parse_only(line.as_bytes(), &["id"]);
        let id = |tree| Some(vec![("id".to_owned(), tree)]);
        assert_eq!(only(r#"{"a":1e999,"id":7,"b":["\ud800",{}]}"#), id(Tree::Integer(7)));
        assert_eq!(only(r#"{"id":"x","a":"\udc00"}"#), id(Tree::Text("x".into())));
        for line in [r#"{"id":1e999}"#, r#"{"id":1,"a":}"#, r#"{"id":1} {}"#, "[1]", r#"{"id":1"#] {
            assert_eq!(only(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_without_its_content() {
        for line in [&b"{\"secret\":}"[..], b"secret", b"{} {}", b"\"secret", b"\"\xff\"", b"", br#""\ud800""#] {
            let error = parse(line).expect_err("no JSON");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
