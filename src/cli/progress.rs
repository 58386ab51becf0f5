//! A bar on stderr while something long runs: only if stderr is a terminal, and never with `-q`.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::context::Context;

/// What a bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Entries, lines, steps.
    Items,
    /// Bytes.
    Bytes,
}

/// A bar that goes away when it is dropped, so that an error behind it stands on a line of its own.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(context: &Context, what: &'static str, unit: Unit) -> Progress {
        let shown = !context.global.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = match unit {
            Unit::Items => "{msg} [{wide_bar}] {human_pos}/{human_len} {eta}",
            Unit::Bytes => "{msg} [{wide_bar}] {bytes}/{total_bytes} {eta}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        Progress { bar }
    }

    /// Shows how much is done, and about how much there is.
    pub(super) fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total.max(done));
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
