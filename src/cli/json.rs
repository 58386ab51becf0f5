//! Bytes, keys and errors as JSON objects, in the form that `-w jsonl`, dumps and the driver share.
//!
//! A field `f` of bytes holds text; if the bytes are not UTF-8, or base64 is asked for throughout, `f_b64` holds standard
//! base64 with padding instead. Text is never replaced, only moved to `_b64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::error::{Applied, Code, Error};
use crate::{KeyValue, LeaseId};

/// A JSON object whose fields keep their order.
pub(super) type Object = Map<String, Value>;

/// Whether bytes that are text are shown as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    /// Text where they are UTF-8, base64 otherwise.
    Text,
    /// Base64 always.
    Base64,
}

/// Adds bytes under `name` or `name_b64`.
pub(super) fn set_bytes(object: &mut Object, name: &str, bytes: &[u8], form: Bytes) {
    match std::str::from_utf8(bytes) {
        Ok(text) if form == Bytes::Text => object.insert(name.to_owned(), text.into()),
        _ => object.insert(format!("{name}_b64"), base64(bytes).into()),
    };
}

/// Which part of a key-value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// All but the value.
    NoValue,
    /// Key and mod revision: all that a delete event has.
    Deleted,
}

/// A key-value; `lease` is absent if there is none.
pub(super) fn kv_object(kv: &KeyValue, part: Part, form: Bytes) -> Value {
    let mut object = Object::new();
    set_bytes(&mut object, "key", &kv.key, form);
    if part == Part::Whole {
        set_bytes(&mut object, "value", &kv.value, form);
    }
    if part != Part::Deleted {
        object.insert("create_revision".into(), kv.create_revision.get().into());
    }
    object.insert("mod_revision".into(), kv.mod_revision.get().into());
    if part != Part::Deleted {
        object.insert("version".into(), kv.version.into());
        if kv.lease != LeaseId::NONE {
            object.insert("lease".into(), lease_text(kv.lease).into());
        }
    }
    Value::Object(object)
}

/// A lease id as it is written everywhere: lowercase hex, a negative one as its 64-bit pattern.
pub(super) fn lease_text(lease: LeaseId) -> String {
    format!("{:x}", lease.get())
}

/// Standard base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of standard base64 with padding.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The fields of an error: `ok`, `code`, `number`, `applied`, `message`, `detail`.
pub(super) fn error_object(error: &Error) -> Value {
    let mut object = Object::new();
    set_error(&mut object, error);
    Value::Object(object)
}

/// Adds the fields of an error to what is known of the request.
pub(super) fn set_error(object: &mut Object, error: &Error) {
    set_failure(object, error.code(), error.applied(), &with_cause(error));
    if let Some(detail) = detail(error) {
        object.insert("detail".into(), detail);
    }
}

/// An error with what caused it, on one line.
pub(super) fn with_cause(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line
}

/// Adds the fields of a failure that the store knows nothing of.
pub(super) fn set_failure(object: &mut Object, code: Code, applied: Applied, message: &str) {
    object.insert("ok".into(), false.into());
    object.insert("code".into(), code.name.into());
    object.insert("number".into(), code.number.into());
    let applied = match applied {
        Applied::No => "no",
        Applied::Yes => "yes",
        Applied::Unknown => "unknown",
    };
    object.insert("applied".into(), applied.into());
    object.insert("message".into(), message.into());
}

fn detail(error: &Error) -> Option<Value> {
    Some(match error {
        Error::Compacted { compacted } => json!({ "compact_revision": compacted.get() }),
        Error::FutureRevision { current } => json!({ "revision": current.get() }),
        Error::CursorMoved { position } => json!({ "position": position.get() }),
        Error::Locked { holder: Some(holder) } => json!({ "pid": holder.pid, "program": holder.program }),
        Error::Corrupt { file, offset, .. } => json!({ "file": file.to_string_lossy(), "offset": offset }),
        Error::Io { source, .. } => json!({ "os_error": source.raw_os_error()? }),
        Error::TooLarge { what, max, .. } | Error::Full { what, max } => json!({ "what": what, "max": max }),
        _ => return None,
    })
}
