//! What scripts written for etcdctl have and we would not: flags that say how to reach a server, which are taken and
//! mean nothing here; flags with a value, as in `--prefix=true`; and its variables.

use std::ffi::OsString;

use clap::{ArgAction, Args, Subcommand};

use super::Outcome;
use super::args::first_word;
use super::exit::Failure;

/// The words as we have them: what etcdctl's variables ask for comes first, so that a flag wins, and a flag that is said
/// to be true or false is there or not. A command behind `--` or `lock NAME` has its words to itself.
pub(super) fn translate(args: Vec<OsString>) -> Vec<OsString> {
    let command = first_word(&args);
    let mut words = args.into_iter().enumerate();
    let mut translated: Vec<OsString> = words.next().map(|(_, program)| program).into_iter().collect();
    for (variable, ours, flag) in VARIABLES {
        if let Some(value) = std::env::var_os(variable).filter(|_| std::env::var_os(ours).is_none()) {
            let mut word = OsString::from(flag);
            word.push(value);
            translated.extend(plain(word));
        }
    }
    for (at, word) in words.by_ref() {
        let ends = word == "--" || (word == "lock" && Some(at) == command);
        translated.extend(plain(word));
        if ends {
            break;
        }
    }
    translated.extend(words.map(|(_, word)| word));
    translated
}

/// A flag without its truth: nothing if it is false.
pub(super) fn plain(word: OsString) -> Option<OsString> {
    let text = word.to_str().and_then(|text| text.strip_prefix("--")).and_then(|text| text.split_once('='));
    match text {
        Some((name, "true" | "1")) if FLAGS.contains(&name) => Some(format!("--{name}").into()),
        Some((name, "false" | "0")) if FLAGS.contains(&name) => None,
        _ => Some(word),
    }
}

/// etcdctl's variables that mean something here, ours that go before them, and the flags.
const VARIABLES: [(&str, &str, &str); 2] =
    [("ETCDCTL_WRITE_OUT", "ETCLITE_WRITE_OUT", "--write-out="), ("ETCDCTL_HEX", "ETCLITE_HEX", "--hex=")];

/// etcdctl's flags that are there or not.
const FLAGS: [&str; 17] = [
    "count-only",
    "debug",
    "from-key",
    "hex",
    "ignore-lease",
    "ignore-value",
    "interactive",
    "keys",
    "keys-only",
    "listen",
    "once",
    "physical",
    "prefix",
    "prev-kv",
    "print-value-only",
    "progress-notify",
    "range",
];

// The ids have a prefix, as the ids of shared flags must differ from those of all commands' arguments.
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
    #[arg(id = "server_discovery_srv", long = "discovery-srv", global = true, hide = true)]
    discovery_srv: Option<String>,
    #[arg(id = "server_discovery_srv_name", long = "discovery-srv-name", global = true, hide = true)]
    discovery_srv_name: Option<String>,
    #[arg(id = "server_auth_jwt_token", long = "auth-jwt-token", global = true, hide = true)]
    auth_jwt_token: Option<String>,
    #[arg(id = "server_max_request_bytes", long = "max-request-bytes", global = true, hide = true)]
    max_request_bytes: Option<String>,
    #[arg(id = "server_max_recv_bytes", long = "max-recv-bytes", global = true, hide = true)]
    max_recv_bytes: Option<String>,
    #[arg(id = "server_insecure_discovery", long = "insecure-discovery", global = true, hide = true, num_args = 0..=1, require_equals = true)]
    insecure_discovery: Option<Option<String>>,
    #[arg(id = "server_debug", long = "debug", global = true, hide = true, action = ArgAction::SetTrue)]
    debug: bool,
    #[arg(id = "server_insecure_transport", long = "insecure-transport", global = true, hide = true, num_args = 0..=1, require_equals = true)]
    insecure_transport: Option<Option<String>>,
    #[arg(id = "server_insecure_skip_tls_verify", long = "insecure-skip-tls-verify", global = true, hide = true, num_args = 0..=1, require_equals = true)]
    insecure_skip_tls_verify: Option<Option<String>>,
}

/// Those whose value may be the next word.
pub(super) const TAKES_A_VALUE: [&str; 15] = [
    "--discovery-srv",
    "--discovery-srv-name",
    "--auth-jwt-token",
    "--max-request-bytes",
    "--max-recv-bytes",
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

/// What etcdctl has and a local store has no use for, or has under another name: taken so that it is no store's name.
#[derive(Debug, Subcommand)]
pub(super) enum ElsewhereCommand {
    #[command(hide = true)]
    User(Words),
    #[command(hide = true)]
    Role(Words),
    #[command(hide = true)]
    Auth(Words),
    #[command(hide = true)]
    Alarm(Words),
    #[command(hide = true)]
    Defrag(Words),
    #[command(hide = true)]
    Snapshot(Words),
    #[command(hide = true)]
    MakeMirror(Words),
    #[command(hide = true)]
    Downgrade(Words),
}

/// Words that are not looked at.
#[derive(Debug, Args)]
pub(super) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl ElsewhereCommand {
    pub(super) fn run(self) -> Outcome {
        let what = match self {
            Self::User(_) | Self::Role(_) | Self::Auth(_) => {
                "a local store has no users: who may open its directory may use it"
            }
            Self::Alarm(_) => "a local store raises no alarms: see `status` and `check`",
            Self::Defrag(_) => "a local store gives space back by itself: see `compaction --physical`",
            Self::Snapshot(_) => "a snapshot of a local store is a `backup`, and `restore` takes it back",
            Self::MakeMirror(_) => "a local store is copied by `backup`, or by `dump` and `load`",
            Self::Downgrade(_) => "a local store has no cluster version to lower",
        };
        Err(Failure::Unsupported(what.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_may_say_that_it_is_true() {
        let words = |args: &[&str]| translate(args.iter().map(OsString::from).collect());
        assert_eq!(
            words(&["etclite", "get", "--prefix=true", "--keys-only=false", "a"]),
            ["etclite", "get", "--prefix", "a"]
        );
        assert_eq!(words(&["etclite", "get", "--limit=1", "--hex=no"]), ["etclite", "get", "--limit=1", "--hex=no"]);
        assert_eq!(words(&["etclite", "get", "lock", "--prefix=1"]), ["etclite", "get", "lock", "--prefix"]);
        let untouched = ["etclite", "put", "k", "--", "--prefix=true"];
        assert_eq!(words(&untouched), untouched);
        let untouched = ["etclite", "lock", "n", "grep", "--prefix=true"];
        assert_eq!(words(&untouched), untouched);
    }
}
