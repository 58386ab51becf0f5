//! The threads of the driver: one reads lines, one per client answers them.

use std::io::{self, BufRead};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use super::Driver;
use super::answer::{self, Outcome, Problem};
use super::board::End;
use super::commands::{self, Call};
use super::request::Line;
use crate::cli::exit::Failure;
use crate::error::Error;

/// The longest line that is taken: 64 MiB.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Lines may nest, and so do the calls that read them.
const STACK_BYTES: usize = 8 << 20;

/// Starts the thread that reads requests. It is never waited for: nothing but input ends a read of stdin.
pub(super) fn start_reader(driver: &Arc<Driver>) -> io::Result<()> {
    let driver = driver.clone();
    let read = move || {
        let ended = read_lines(&driver, &mut io::stdin().lock());
        let failed = |error| Failure::Outside("cannot read standard input".into(), error);
        driver.board.end(End::Input(ended.map_err(failed)));
    };
    thread::Builder::new().name("reader".into()).stack_size(STACK_BYTES).spawn(read).map(drop)
}

fn read_lines(driver: &Arc<Driver>, input: &mut impl BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        line.shrink_to(KEPT_BYTES);
        let Some(len) = read_line(input, &mut line)? else { break };
        let read = if len > line.len() {
            let too_large = Error::TooLarge { what: "request line", len: len as u64, max: LINE_BYTES_MAX as u64 };
            Line::unreadable(number, too_large.into())
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            Line::read(&line, number)
        };
        match driver.board.put(read, |client| start_client(driver, client)) {
            Ok(true) => {}
            Ok(false) => break,
            Err(unheard) => {
                let (line, error) = *unheard;
                let error = Error::io("start a thread for", "a client", error);
                driver.tell(answer::line(line.id, line.number, Err(error.into())));
            }
        }
    }
    Ok(())
}

/// How much memory is kept from line to line.
const KEPT_BYTES: usize = 1 << 20;

/// Reads a line without its end, and gives its length; of one that is too long, nothing. `None` at the end of input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut len = 0usize;
    loop {
        let part = match input.fill_buf() {
            Ok([]) => return Ok((len > 0).then_some(len)),
            Ok(part) => part,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = part.iter().position(|&byte| byte == b'\n');
        let text = &part[..end.unwrap_or(part.len())];
        len = len.saturating_add(text.len());
        if len > LINE_BYTES_MAX {
            *line = Vec::new();
        } else {
            line.extend_from_slice(text);
        }
        let used = text.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(len));
        }
    }
}

fn start_client(driver: &Arc<Driver>, client: u8) -> io::Result<()> {
    let hired = driver.clone();
    let work = move || {
        while let Some(line) = hired.board.take(client) {
            serve(&hired, client, line);
            hired.board.answered(client);
        }
    };
    let thread = thread::Builder::new().name(format!("client {client}")).stack_size(STACK_BYTES).spawn(work)?;
    driver.clients.lock().push(thread);
    Ok(())
}

fn serve(driver: &Driver, client: u8, line: Line) {
    let Line { id, number, request, .. } = line;
    let outcome = match request {
        _ if driver.board.is_canceled() => Err(Problem::Canceled),
        Err(problem) => Err(problem),
        Ok(request) => guarded(|| commands::run(&Call { driver, client }, request)),
    };
    // At the end of input waits are canceled by us, which is no failure of the script.
    let is_failure = !matches!(outcome, Ok(_) | Err(Problem::Canceled));
    if is_failure && driver.stop_on_error {
        // Before it is printed: nothing starts any more once it can be read.
        driver.board.end(End::Error);
    }
    driver.tell(answer::line(id, number, outcome));
}

/// A bug must not leave a request without an answer.
fn guarded(run: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Problem::Panicked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_they_end() {
        let mut input = io::BufReader::with_capacity(3, &b"abcdef\n\ngh\r\ni"[..]);
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while let Some(len) = read_line(&mut input, &mut line).expect("memory can be read") {
            assert_eq!(len, line.len());
            lines.push(String::from_utf8(std::mem::take(&mut line)).expect("text"));
        }
        assert_eq!(lines, ["abcdef", "", "gh\r", "i"]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_no_memory() {
        let long = io::Read::take(io::repeat(b'x'), LINE_BYTES_MAX as u64 + 5);
        let mut input = io::BufReader::new(io::Read::chain(long, &b"\nshort\n"[..]));
        let mut line = Vec::new();
        assert_eq!(read_line(&mut input, &mut line).expect("read"), Some(LINE_BYTES_MAX + 5));
        assert!(line.is_empty() && line.capacity() == 0);
        assert_eq!(read_line(&mut input, &mut line).expect("read"), Some(5));
        assert_eq!(line, b"short");
    }
}
