//! What only a group of members can do: this build has none, and says so.

use std::ffi::OsString;

use clap::Subcommand;

use super::Outcome;
use super::exit::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Members of a group: needs the feature `replicate`
    Member {
        /// What is to be done with them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Hand leadership to another member: needs the feature `replicate`
    MoveLeader {
        /// To whom
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

impl GroupCommand {
    pub(super) fn run(self) -> Outcome {
        let name = match self {
            GroupCommand::Member { .. } => "member",
            GroupCommand::MoveLeader { .. } => "move-leader",
        };
        Err(Failure::Unsupported(format!(
            "{name} needs the feature `replicate`, which this build does not have: the store is its own only member"
        )))
    }
}
