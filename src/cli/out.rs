//! The one writer of stdout.
//!
//! Rust ignores SIGPIPE, and `println!` panics when the reader of a pipe is gone. Everything that the command line prints
//! goes through here instead: a reader that went away ends the command quietly, any other failure is told.

use std::io::{self, BufWriter, Stdout, Write};

use parking_lot::Mutex;

use super::exit::Failure;

/// Standard output, buffered; shared by the threads of a command.
pub(super) struct Out {
    writer: Mutex<BufWriter<Stdout>>,
}

impl Out {
    pub(super) fn new() -> Out {
        Out { writer: Mutex::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())) }
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.lock().write_all(bytes).map_err(failed)
    }

    /// Writes text and a newline.
    pub(super) fn line(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut writer = self.writer.lock();
        writer.write_all(text.as_ref()).and_then(|()| writer.write_all(b"\n")).map_err(failed)
    }

    /// Writes text and a newline, and hands it to whoever reads at once.
    pub(super) fn line_now(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut writer = self.writer.lock();
        writer
            .write_all(text.as_ref())
            .and_then(|()| writer.write_all(b"\n"))
            .and_then(|()| writer.flush())
            .map_err(failed)
    }

    /// Hands over what is buffered. Every command ends with it.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        self.writer.lock().flush().map_err(failed)
    }
}

fn failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Outside("cannot write to standard output".into(), error),
    }
}

const BUFFER_BYTES: usize = 64 << 10;
