//! Flags of etcdctl's that say how to reach a server. Scripts have them, so they are taken, and mean nothing here.
//!
//! Their ids have a prefix, as the ids of shared flags must differ from those of all commands' arguments.

use clap::{ArgAction, Args};

#[derive(Clone, Debug, Args)]
pub(super) struct ServerFlags {
    #[arg(id = "server_endpoints", long = "endpoints", global = true, hide = true)]
    endpoints: Option<String>,
    #[arg(id = "server_dial_timeout", long = "dial-timeout", global = true, hide = true)]
    dial_timeout: Option<String>,
    #[arg(id = "server_command_timeout", long = "command-timeout", global = true, hide = true)]
    command_timeout: Option<String>,
    #[arg(id = "server_keepalive_time", long = "keepalive-time", global = true, hide = true)]
    keepalive_time: Option<String>,
    #[arg(id = "server_keepalive_timeout", long = "keepalive-timeout", global = true, hide = true)]
    keepalive_timeout: Option<String>,
    #[arg(id = "server_cacert", long = "cacert", global = true, hide = true)]
    cacert: Option<String>,
    #[arg(id = "server_cert", long = "cert", global = true, hide = true)]
    cert: Option<String>,
    #[arg(id = "server_key", long = "key", global = true, hide = true)]
    key: Option<String>,
    #[arg(id = "server_user", long = "user", global = true, hide = true)]
    user: Option<String>,
    #[arg(id = "server_password", long = "password", global = true, hide = true)]
    password: Option<String>,
    #[arg(id = "server_debug", long = "debug", global = true, hide = true, action = ArgAction::SetTrue)]
    debug: bool,
    #[arg(id = "server_insecure_transport", long = "insecure-transport", global = true, hide = true, num_args = 0..=1, require_equals = true)]
    insecure_transport: Option<Option<String>>,
    #[arg(id = "server_insecure_skip_tls_verify", long = "insecure-skip-tls-verify", global = true, hide = true, num_args = 0..=1, require_equals = true)]
    insecure_skip_tls_verify: Option<Option<String>>,
}

/// Those whose value may be the next word.
pub(super) const TAKES_A_VALUE: [&str; 10] = [
    "--endpoints",
    "--dial-timeout",
    "--command-timeout",
    "--keepalive-time",
    "--keepalive-timeout",
    "--cacert",
    "--cert",
    "--key",
    "--user",
    "--password",
];
