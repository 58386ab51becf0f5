//! Go's quoted strings, as `%q` writes and reads them: etcdctl prints, and takes in txns, keys and values in this form.

/// Bytes as a Go string literal in double quotes: what is printable stays, bytes that are no UTF-8 become `\xNN`.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| quote_char(&mut text, c));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text.push('"');
    text
}

fn quote_char(text: &mut String, c: char) {
    match c {
        '"' | '\\' => text.extend(['\\', c]),
        '\u{7}' => text.push_str("\\a"),
        '\u{8}' => text.push_str("\\b"),
        '\u{c}' => text.push_str("\\f"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\u{b}' => text.push_str("\\v"),
        '\0'..='\u{1f}' | '\u{7f}' => text.push_str(&format!("\\x{:02x}", u32::from(c))),
        _ if is_printable(c) => text.push(c),
        '\u{10000}'.. => text.push_str(&format!("\\U{:08x}", u32::from(c))),
        _ => text.push_str(&format!("\\u{:04x}", u32::from(c))),
    }
}

/// As Go's `unicode.IsPrint`. The standard library tells it only through what it escapes; behind another character, for
/// a combining mark alone is escaped for a reason of its own.
pub(super) fn is_printable(c: char) -> bool {
    let mut behind = [b'a'; 5];
    let len = c.encode_utf8(&mut behind[1..]).len() + 1;
    let text = std::str::from_utf8(&behind[..len]).expect("a letter and a character");
    c == '\\' || c == '"' || c == '\'' || text.escape_debug().nth(1) != Some('\\')
}

/// Reads one Go string literal, in double or back quotes, from the start of `text`; returns its bytes and the rest.
pub(super) fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    match text.split_first()? {
        (b'`', rest) => {
            let end = rest.iter().position(|&byte| byte == b'`')?;
            // Go drops carriage returns here.
            Some((rest[..end].iter().copied().filter(|&byte| byte != b'\r').collect(), &rest[end + 1..]))
        }
        (b'"', rest) => unquote_double(rest),
        _ => None,
    }
}

fn unquote_double(mut text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bytes = Vec::new();
    loop {
        let (&byte, rest) = text.split_first()?;
        text = rest;
        match byte {
            b'"' => return Some((bytes, text)),
            b'\n' => return None,
            b'\\' => text = unescape(text, &mut bytes)?,
            _ => bytes.push(byte),
        }
    }
}

/// What follows a backslash; returns what is left.
fn unescape<'t>(text: &'t [u8], bytes: &mut Vec<u8>) -> Option<&'t [u8]> {
    let (&kind, rest) = text.split_first()?;
    let simple = match kind {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' | b'"' => kind,
        b'x' => return digits(rest, 2, 16).and_then(|(n, rest)| push_byte(bytes, n, rest)),
        b'0'..=b'7' => return digits(text, 3, 8).and_then(|(n, rest)| push_byte(bytes, n, rest)),
        b'u' => return digits(rest, 4, 16).and_then(|(n, rest)| push_char(bytes, n, rest)),
        b'U' => return digits(rest, 8, 16).and_then(|(n, rest)| push_char(bytes, n, rest)),
        _ => return None,
    };
    bytes.push(simple);
    Some(rest)
}

fn digits(text: &[u8], count: usize, radix: u32) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let number =
        digits.iter().try_fold(0, |n, &d| Some(n * u64::from(radix) + u64::from(char::from(d).to_digit(radix)?)));
    Some((u32::try_from(number?).ok()?, rest))
}

fn push_byte<'t>(bytes: &mut Vec<u8>, number: u32, rest: &'t [u8]) -> Option<&'t [u8]> {
    bytes.push(u8::try_from(number).ok()?);
    Some(rest)
}

fn push_char<'t>(bytes: &mut Vec<u8>, number: u32, rest: &'t [u8]) -> Option<&'t [u8]> {
    bytes.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go() {
        assert_eq!(quote(b"a \"b\"\\ \x07\n\x01\x7f\xff"), r#""a \"b\"\\ \a\n\x01\x7f\xff""#);
        assert_eq!(quote("日本 é e\u{301}".as_bytes()), "\"日本 é e\u{301}\"");
        assert_eq!(quote("\u{a0}\u{200b}\u{fffd}\u{e0001}".as_bytes()), "\"\\u00a0\\u200b\u{fffd}\\U000e0001\"");
        assert_eq!(quote("it's".as_bytes()), "\"it's\"");
    }

    #[test]
    fn reads_what_it_writes_and_the_rest() {
        let all: Vec<u8> = (0..=255).collect();
        let text = quote(&all) + ") > 1";
        assert_eq!(unquote(text.as_bytes()), Some((all, &b") > 1"[..])));
        assert_eq!(unquote(br#""\x41\101\u00e9\U0001f600""#), Some(("AAé😀".as_bytes().to_vec(), &b""[..])));
        assert_eq!(unquote(b"`a\\n`b"), Some((b"a\\n".to_vec(), &b"b"[..])));
    }

    #[test]
    fn what_is_no_go_string_is_none() {
        for text in [
            "",
            "a",
            "\"",
            "\"a",
            "\"\\",
            "\"\\q\"",
            "\"\\x4\"",
            "\"\\400\"",
            "\"\\ud800\"",
            "\"\\'\"",
            "`",
            "\"a\nb\"",
        ] {
            assert_eq!(unquote(text.as_bytes()), None, "{text}");
        }
    }
}
