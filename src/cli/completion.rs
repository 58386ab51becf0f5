//! `completion`: a script that teaches a shell the commands and flags.

use clap::Subcommand;
use clap_complete::{Shell, generate};

use super::Outcome;
use super::args::grammar;
use super::context::Context;
use super::exit::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum CompletionCommand {
    /// Print the script that completes commands and flags in a shell
    ///
    /// For bash: `source <(etclite completion bash)`.
    Completion {
        /// Which shell
        shell: Shell,
    },
}

impl CompletionCommand {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let CompletionCommand::Completion { shell } = self;
        let mut script = Vec::new();
        generate(shell, &mut grammar(), "etclite", &mut script);
        context.out.bytes(&script)?;
        Ok(Exit::Done)
    }
}
