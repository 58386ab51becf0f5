//! `txn`: etcdctl's three blocks from standard input, each of lines, each ended by an empty line.
//!
//! ```text
//! mod("key1") > "0"          compares: ver, create, mod, val, lease; = != < >
//!
//! put key1 "overwritten"     what runs if all hold: put, get, del with their flags
//! get key1
//!
//! put key1 "created"         what runs if one fails
//!
//! ```
//!
//! Words are quoted as in Go or by single quotes. A block that is not ended is refused, for what a cut pipe delivered
//! must not run. No line is repeated in an error, as it may hold a value.

use std::ffi::OsString;
use std::io::BufRead;

use clap::{Args, Parser};

use super::Outcome;
use super::args::Format;
use super::context::{Context, Create};
use super::etcdctl::plain;
use super::exit::{Failure, tell};
use super::kv::{DelArgs, GetArgs, PutArgs};
use super::print::{Asked, Printer};
use super::quote::unquote;
use super::words::{IdForm, TEXT_BYTES_MAX, os_string, read_line};
use crate::{Compare, CompareOn, CompareResult, Error, KeyRange, LeaseId, Op, OpResponse, Txn};

/// Run one transaction, read from standard input
///
/// Three blocks of lines, each ended by an empty line: conditions, what runs if all hold, what runs if one fails.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct TxnArgs {
    /// Print what is to be typed
    #[arg(short, long)]
    interactive: bool,
}

const EXAMPLE: &str = r#"Example:
  etclite app.etcl txn <<'END'
  mod("key1") > "0"

  put key1 "overwritten"

  put key1 "created"
  put key2 "some extra key"

  END
Conditions: version("k"), create("k"), mod("k"), value("k"), lease("k"),
then = != < >, then a quoted operand; leases in hex.
Requests: put, get, del with their flags. Words are quoted as in Go."#;

impl TxnArgs {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let mut input = Input { lines: std::io::stdin().lock(), line: 0, bytes_left: TEXT_BYTES_MAX };
        self.prompt(context, "compares:")?;
        let compares = input.block(compare)?;
        self.prompt(context, "success requests (get, put, del):")?;
        let then = input.block(request)?;
        self.prompt(context, "failure requests (get, put, del):")?;
        let or_else = input.block(request)?;

        let (then, asked_then): (Vec<Op>, Vec<Asked>) = then.into_iter().unzip();
        let (or_else, asked_else): (Vec<Op>, Vec<Asked>) = or_else.into_iter().unzip();
        let db = context.open(Create::Never)?;
        let answer = db.execute(Txn::new().when(compares).then(then).or_else(or_else))?;
        if answer.responses.iter().any(|response| !matches!(response, OpResponse::Range(_))) {
            context.changed();
        }
        let asked = if answer.succeeded { asked_then } else { asked_else };
        let printer = Printer::new(context, &db);
        printer.print(answer.revision, |form, text, header| form.txn(text, header, &answer, &asked))?;
        Ok(context.yes_or_no(answer.succeeded))
    }

    fn prompt(&self, context: &Context, what: &str) -> Result<(), Failure> {
        match context.global.write_out {
            _ if !self.interactive => Ok(()),
            // What is printed is for programs then; with json etcdctl prompts all the same.
            Format::Jsonl => {
                tell(what);
                Ok(())
            }
            _ => context.out.line_now(what),
        }
    }
}

/// Lines with their numbers, for errors.
struct Input<R> {
    lines: R,
    line: usize,
    /// How much more is read.
    bytes_left: u64,
}

impl<R: BufRead> Input<R> {
    fn block<T>(&mut self, parse: impl Fn(&[u8]) -> Result<T, &'static str>) -> Result<Vec<T>, Failure> {
        let mut block = Vec::new();
        loop {
            let line = read_line(&mut self.lines, self.bytes_left)?;
            self.bytes_left -= line.len() as u64;
            self.line += 1;
            if line.last() != Some(&b'\n') {
                let what = "standard input ended inside a block; each of the three ends with an empty line";
                return Err(Failure::Usage(what.into()));
            }
            match line.trim_ascii() {
                [] => return Ok(block),
                _ if block.len() == BLOCK_LINES_MAX => {
                    let max = BLOCK_LINES_MAX as u64;
                    return Err(Error::TooLarge { what: "number of lines in a block", len: max + 1, max }.into());
                }
                text => {
                    let parsed = parse(text).map_err(|what| Failure::Usage(format!("line {}: {what}", self.line)))?;
                    block.push(parsed);
                }
            }
        }
    }
}

/// As many keys as a txn may change.
const BLOCK_LINES_MAX: usize = 1_000_000;

/// `target("key") op "operand"`.
fn compare(line: &[u8]) -> Result<Compare, &'static str> {
    const MALFORMED: &str = "malformed comparison, expected one such as mod(\"key\") > \"0\"";
    let at = line.iter().position(|&byte| byte == b'(').ok_or(MALFORMED)?;
    let (target, rest) = (&line[..at], line[at + 1..].trim_ascii_start());
    let (key, rest) = unquote(rest).ok_or(MALFORMED)?;
    let rest = rest.strip_prefix(b")").ok_or(MALFORMED)?.trim_ascii_start();
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'`') || byte.is_ascii_whitespace());
    let (op, rest) = rest.split_at(end.ok_or(MALFORMED)?);
    let (operand, rest) = unquote(rest.trim_ascii_start()).ok_or(MALFORMED)?;
    let result = match op {
        b"=" => CompareResult::Equal,
        b"!=" => CompareResult::NotEqual,
        b">" => CompareResult::Greater,
        b"<" => CompareResult::Less,
        _ => return Err("malformed comparison, expected one of = != < >"),
    };
    if !rest.is_empty() {
        return Err(MALFORMED);
    }
    condition(target, KeyRange::key(key), result, &operand)
}

fn condition(target: &[u8], key: KeyRange, result: CompareResult, operand: &[u8]) -> Result<Compare, &'static str> {
    let number = |on: CompareOn<i64>| {
        let number: Option<i64> = std::str::from_utf8(operand).ok().and_then(|text| text.parse().ok());
        Ok(numbers(on, result, number.ok_or("the operand is no number")?))
    };
    match target {
        b"ver" | b"version" => number(Compare::version(key)),
        b"c" | b"create" => number(Compare::create_revision(key)),
        b"m" | b"mod" => number(Compare::mod_revision(key)),
        b"lease" => {
            let text = std::str::from_utf8(operand).map_err(|_| "the operand is no lease id")?;
            let id: LeaseId = IdForm { decimal: false }.lease(text).map_err(|_| "the operand is no lease id in hex")?;
            Ok(numbers(Compare::lease(key), result, id.get()))
        }
        b"val" | b"value" => Ok(match result {
            CompareResult::Equal => Compare::value(key).eq(operand),
            CompareResult::NotEqual => Compare::value(key).ne(operand),
            CompareResult::Greater => Compare::value(key).gt(operand),
            CompareResult::Less => Compare::value(key).lt(operand),
        }),
        _ => Err("unknown comparison, expected one of version, create, mod, value, lease"),
    }
}

fn numbers(on: CompareOn<i64>, result: CompareResult, number: i64) -> Compare {
    match result {
        CompareResult::Equal => on.eq(number),
        CompareResult::NotEqual => on.ne(number),
        CompareResult::Greater => on.gt(number),
        CompareResult::Less => on.lt(number),
    }
}

/// The commands that a txn may hold, with the flags that they have outside.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true, args_override_self = true)]
enum Request {
    Put(PutArgs),
    Get(GetArgs),
    Del(DelArgs),
}

fn request(line: &[u8]) -> Result<(Op, Asked), &'static str> {
    let words = words(line).ok_or("a quoted word is not ended, or not as Go quotes")?;
    // clap's own words would repeat the line.
    let request = Request::try_parse_from(words).map_err(|_| "invalid request, expected put, get or del as outside")?;
    match request {
        Request::Put(args) => {
            let put = args.op().map_err(|_| "a put in a txn needs a value, and a lease in hex")?;
            Ok((put.into(), Asked::default()))
        }
        Request::Get(args) => {
            args.check().map_err(|_| "the minimum of a revision is above its maximum")?;
            let asked = args.asked();
            Ok((args.range().into(), asked))
        }
        Request::Del(args) => {
            let asked = args.asked();
            Ok((args.delete().into(), asked))
        }
    }
}

/// Splits a line as etcdctl does: words in double quotes are Go's, those in single quotes are as they stand, and others
/// end at a space.
pub(super) fn words(mut line: &[u8]) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    loop {
        line = line.trim_ascii_start();
        let quoted = matches!(line.first(), Some(b'"' | b'\''));
        let (word, rest) = match line.first() {
            None => return Some(words),
            Some(b'"') => unquote(line)?,
            Some(b'\'') => {
                let end = line[1..].iter().position(|&byte| byte == b'\'')?;
                (line[1..=end].to_vec(), &line[end + 2..])
            }
            Some(_) => {
                let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
                (line[..end].to_vec(), &line[end..])
            }
        };
        let word = os_string(word);
        words.extend(if quoted { Some(word) } else { plain(word) });
        line = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        words(line.as_bytes()).map(|words| words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn words_are_split_as_etcdctl_splits_them() {
        let expect = |line: &str, words: &[&str]| assert_eq!(split(line).expect("well formed"), words, "{line}");
        expect("put a b", &["put", "a", "b"]);
        expect(r#"put  "a \"b\"" '$c "d"' --lease=7"#, &["put", "a \"b\"", "$c \"d\"", "--lease=7"]);
        expect(r#"put "\x41" it's"#, &["put", "A", "it's"]);
        expect("put ''", &["put", ""]);
        assert_eq!(split("put \"a"), None);
        assert_eq!(split("put 'a"), None);
    }

    #[test]
    fn comparisons_have_etcdctls_grammar() {
        let key = || KeyRange::key("foo1");
        let expect = |line: &str, expected: Compare| assert_eq!(compare(line.as_bytes()), Ok(expected), "{line}");
        expect(r#"mod("foo1") > "0""#, Compare::mod_revision(key()).gt(0));
        expect(r#"m("foo1") < "-1""#, Compare::mod_revision(key()).lt(-1));
        expect(r#"ver("foo1") = "3""#, Compare::version(key()).eq(3));
        expect(r#"c("foo1") != "3""#, Compare::create_revision(key()).ne(3));
        expect(r#"val("foo1") = "a\x00 b""#, Compare::value(key()).eq("a\0 b"));
        expect("value(`foo1`) > `a`", Compare::value(key()).gt("a"));
        expect(r#"lease("foo1") = "AF""#, Compare::lease(key()).eq(175));
        expect(r#"lease("foo1")="2d8257079fa1bc0c""#, Compare::lease(key()).eq(0x2d82_5707_9fa1_bc0c_i64));
    }

    #[test]
    fn what_is_no_comparison_is_refused() {
        for line in [
            "",
            "foo",
            "mod(foo) > \"0\"",
            "mod(\"foo\" > \"0\"",
            "mod(\"foo\") > 0",
            "mod(\"foo\") >= \"0\"",
            "mod(\"foo\") > \"x\"",
            "mod(\"foo\") > \"0\" x",
            "lease(\"foo\") > \"g\"",
            "size(\"foo\") > \"0\"",
            "mod(\"foo\")",
            "mod(\"foo\") >",
        ] {
            assert!(compare(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn no_line_is_too_odd() {
        const PIECES: [&str; 24] = [
            "\"", "\\", "'", "`", "(", ")", "=", "<", ">", "!", " ", "\\x", "\\u", "0", "f", "9", "mod", "val",
            "lease", "put ", "get ", "del ", "--prefix", "\u{e9}",
        ];
        // A small generator of its own: the same lines each time.
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).expect("31 bits")
        };
        for _ in 0..20_000 {
            let len = next() % 12;
            let mut line: Vec<u8> = (0..len).flat_map(|_| PIECES[next() % PIECES.len()].bytes()).collect();
            if next() % 8 == 0 {
                line.push(0xff);
            }
            // Whatever it says, it is an answer.
            let _ = (compare(&line), words(&line), request(&line));
        }
    }
}
