//! The command line; `etclite::cli` is all of it.

fn main() -> std::process::ExitCode {
    etclite::cli::main()
}
