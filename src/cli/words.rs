//! What the words of several commands stand for: bytes, ranges of keys, lease ids, values from standard input.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};

use clap::Args;

use super::exit::Failure;
use crate::{Error, KeyRange, LeaseId};

/// The bytes of an argument, which need not be text.
pub(super) fn bytes(word: OsString) -> Vec<u8> {
    word.into_encoded_bytes()
}

/// An argument of any bytes. Where the system's arguments are text, bytes that are none become U+FFFD.
pub(super) fn os_string(bytes: Vec<u8>) -> OsString {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStringExt::from_vec(bytes);
    #[cfg(not(unix))]
    return String::from_utf8_lossy(&bytes).into_owned().into();
}

/// The keys that `KEY [END]` with `--prefix` or `--from-key` names, as etcdctl reads it.
pub(super) fn key_range(key: OsString, end: Option<OsString>, prefix: bool, from_key: bool) -> KeyRange {
    let key = bytes(key);
    match end {
        Some(end) => KeyRange::from_wire(key, bytes(end)),
        None if prefix => KeyRange::prefix(key),
        None if from_key => KeyRange::from_key(key),
        None => KeyRange::key(key),
    }
}

/// The keys that `get` and `del` are about.
#[derive(Debug, Args)]
pub(super) struct Keys {
    /// The key, or where the range begins
    key: OsString,
    /// Where the range ends, exclusive
    #[arg(conflicts_with_all = ["prefix", "from_key"])]
    end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long, conflicts_with = "from_key")]
    prefix: bool,
    /// All keys from KEY on
    #[arg(long)]
    from_key: bool,
}

impl Keys {
    pub(super) fn range(self) -> KeyRange {
        key_range(self.key, self.end, self.prefix, self.from_key)
    }
}

/// How a lease id is written.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct IdForm {
    /// The lease id is decimal, as -w json and -w fields print it
    #[arg(long)]
    pub(super) decimal: bool,
}

impl IdForm {
    /// A lease id in any form that we print: hex, with or without 0x, zeros and sign; decimal if asked for.
    pub(super) fn lease(self, text: &str) -> Result<LeaseId, Failure> {
        let id = if self.decimal { text.parse().ok() } else { hex_id(text) };
        let form = if self.decimal { "decimal" } else { "hex" };
        id.map(LeaseId::new).ok_or_else(|| Failure::Usage(format!("`{text}` is no lease id in {form}")))
    }
}

fn hex_id(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
    if digits.starts_with(['+', '-']) {
        return None;
    }
    // A negative id may also come as its 64-bit pattern.
    let pattern = u64::from_str_radix(digits, 16).ok()?;
    if negative { i64::try_from(pattern).ok().map(|id| -id) } else { Some(pattern.cast_signed()) }
}

/// The value that a command is given, or that comes from standard input.
pub(super) fn value_or_stdin(value: Option<OsString>, command: &str) -> Result<Vec<u8>, Failure> {
    match value {
        Some(value) => Ok(bytes(value)),
        None => match read_value(&mut io::stdin().lock(), VALUE_BYTES_MAX)? {
            value if value.is_empty() => {
                Err(Failure::Usage(format!("{command} needs a value, as an argument or on standard input")))
            }
            value => Ok(value),
        },
    }
}

/// Reads a line of standard input, with its end if it has one; of none that is too long is more kept than shows that.
pub(super) fn read_line(from: &mut impl BufRead, max: u64) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    let read = from.take(max + 1).read_until(b'\n', &mut line);
    let len = read.map_err(|error| Failure::Outside("cannot read standard input".into(), error))? as u64;
    if len > max { Err(Error::TooLarge { what: "text on standard input", len, max }.into()) } else { Ok(line) }
}

/// The longest text that is read from standard input to be parsed: a line, or a txn. The largest request has room in it,
/// quoted.
pub(super) const TEXT_BYTES_MAX: u64 = 256 << 20;

/// Reads to the end, but keeps no more than could be stored.
fn read_value(from: &mut impl Read, max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::Outside("cannot read standard input".into(), error);
    let mut value = Vec::new();
    from.take(max + 1).read_to_end(&mut value).map_err(failed)?;
    if value.len() as u64 <= max {
        return Ok(value);
    }
    let rest = io::copy(from, &mut io::sink()).map_err(failed)?;
    Err(Error::TooLarge { what: "value from standard input", len: value.len() as u64 + rest, max }.into())
}

/// The largest request there is; the store itself decides by the whole request.
const VALUE_BYTES_MAX: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_form_that_is_printed() {
        let hex = IdForm { decimal: false };
        for (text, id) in
            [("77", 0x77), ("0000000000000077", 0x77), ("0x7F", 0x7f), ("-7", -7), ("-000000000000007", -7)]
        {
            assert_eq!(hex.lease(text).ok(), Some(LeaseId::new(id)), "{text}");
        }
        assert_eq!(hex.lease("fffffffffffffff9").ok(), Some(LeaseId::new(-7)));
        assert_eq!(IdForm { decimal: true }.lease("-77").ok(), Some(LeaseId::new(-77)));
        for text in ["", "0x", "g", "+7", "--7", "-0x-7", "10000000000000000"] {
            assert!(hex.lease(text).is_err(), "{text}");
        }
        assert!(IdForm { decimal: true }.lease("7f").is_err());
    }

    #[test]
    fn a_line_has_its_end_and_a_bound() {
        let mut input = &b"abc\n\nabcd\n"[..];
        assert_eq!(read_line(&mut input, 4).ok(), Some(b"abc\n".to_vec()));
        assert_eq!(read_line(&mut input, 4).ok(), Some(b"\n".to_vec()));
        assert!(matches!(read_line(&mut input, 4), Err(Failure::Store(Error::TooLarge { max: 4, .. }))));
        assert_eq!(read_line(&mut &b"abcd"[..], 4).ok(), Some(b"abcd".to_vec()));
        assert_eq!(read_line(&mut &b""[..], 4).ok(), Some(Vec::new()));
    }

    #[test]
    fn a_value_that_cannot_be_stored_is_counted_not_kept() {
        assert_eq!(read_value(&mut &b"1234"[..], 4).ok(), Some(b"1234".to_vec()));
        let refused = read_value(&mut io::repeat(0).take(100), 4);
        assert!(matches!(refused, Err(Failure::Store(Error::TooLarge { len: 100, max: 4, .. }))));
    }
}
