//! Scripts of etcdctl's run unchanged.

use crate::store::{Store, bash};

/// The commands of a well-known tutorial, under `alias etcdctl=etclite`.
const TUTORIAL: &str = r#"
shopt -s expand_aliases
alias etcdctl=etclite
export ETCLITE_DB=app.etcl ETCDCTL_API=3
set -e
etcdctl put q1mi dsb2
etcdctl del q1mi
etcdctl put q1mi dsb3
etcdctl get --prefix q1mi
etcdctl get q1mi --print-value-only
lease=$(etcdctl lease grant 500 | cut -d' ' -f2)
etcdctl put /nazha/ dsb --lease=$lease
etcdctl lease timetolive $lease --keys | sed 's/remaining([0-9]*s)/remaining/; s/^lease [0-9a-f]* //'
etcdctl lease revoke $lease >/dev/null
etcdctl get /nazha/
etcdctl lock mylock echo "under the lock"
etcdctl --endpoints=http://127.0.0.1:2379 --command-timeout=5s put q1mi dsb4
etcdctl --endpoints $ENDPOINTS get q1mi
etcdctl --user root:secret del --prefix q1
"#;

#[test]
fn ct_01_the_tutorials_commands_run_under_an_alias() {
    let store = Store::new();
    let script = format!("ENDPOINTS=127.0.0.1:2379,127.0.0.1:22379{TUTORIAL}");
    let expected = "OK\n1\nOK\nq1mi\ndsb3\ndsb3\nOK\ngranted with TTL(500s), remaining, attached keys([/nazha/])\n\
                    under the lock\nOK\nq1mi\ndsb4\n1\n";
    assert_eq!(bash(&script, &store.beside("")).out(), expected);
}

#[test]
fn a_loop_over_keys_and_a_pipe_into_put() {
    let script = r#"
export ETCLITE_DB=app.etcl
set -e
for i in 1 2 3; do echo -n "value $i" | etclite put key$i > /dev/null; done
etclite get --prefix key --keys-only | grep . | while read -r key; do etclite get $key --print-value-only; done
etclite get none -e || echo "missing: $?"
etclite get key1 -w json | jq -r '.kvs[0].value | @base64d'
"#;
    let store = Store::new();
    assert_eq!(bash(script, &store.beside("")).out(), "value 1\nvalue 2\nvalue 3\nmissing: 3\nvalue 1\n");
}

#[test]
fn flags_and_variables_of_etcdctl_are_understood() {
    let script = r#"
export ETCLITE_DB=app.etcl
set -e
etclite put a 1 && etclite put ab 2
etclite get a --prefix=true --keys-only=true --limit 5 --limit=1
etclite get a --prefix=false
printf '\nget a --prefix=true --count-only=true\n\n\n' | etclite txn
etclite compact 2
ETCDCTL_WRITE_OUT=json etclite del none | jq -c .deleted
ETCDCTL_WRITE_OUT=json etclite -w simple del none
ETCDCTL_WRITE_OUT=json ETCLITE_WRITE_OUT=simple etclite del none -w simple
ETCDCTL_HEX=true etclite get a
"#;
    let store = Store::new();
    let expected = "OK\nOK\na\n\na\n1\nSUCCESS\n\n2\ncompacted revision 2\n0\n0\n0\n\\x61\n\\x31\n";
    assert_eq!(bash(script, &store.beside("")).out(), expected);
}
