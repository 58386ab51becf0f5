//! Messages by their definitions alone, without generated code: from JSON, to JSON, whatever their kind. So what the library
//! reads and writes is held against the definitions, and those, by vectors that etcd wrote, against etcd's.

use std::path::Path;
use std::sync::OnceLock;

use protox::prost_reflect::prost::Message;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::{Map, Value as Json};

/// How JSON spells bytes, numbers and headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As `tests/fixtures/etcd/record.py`: bytes are characters up to U+00FF, numbers are bare, enums have names, and of a
    /// header only the revision is told, in its place.
    Recorded,
    /// As the vectors for Go: bytes are hexadecimal digits, numbers and enums are strings of digits.
    Golden,
}

/// A kind of message, by its full name.
pub(crate) fn kind(name: &str) -> MessageDescriptor {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto/definitions");
        let files = protox::compile(["etclitepb.proto"], [&definitions]).expect("the definitions compile");
        DescriptorPool::from_file_descriptor_set(files).expect("the definitions are whole")
    });
    pool.get_message_by_name(name).unwrap_or_else(|| panic!("no message {name}"))
}

/// Bytes of the message that `json` describes.
pub(crate) fn encode(name: &str, json: &Json, style: Style) -> Vec<u8> {
    style.message(&kind(name), json).encode_to_vec()
}

/// What the message says. It has no field that the definitions do not know.
pub(crate) fn decode(name: &str, bytes: &[u8], style: Style) -> Json {
    let message = DynamicMessage::decode(kind(name), bytes).expect("a message of that kind");
    assert_eq!(message.unknown_fields().count(), 0, "{name} has only fields that are defined");
    style.json(&message)
}

impl Style {
    fn message(self, kind: &MessageDescriptor, json: &Json) -> DynamicMessage {
        let mut message = DynamicMessage::new(kind.clone());
        for (name, json) in json.as_object().expect("an object") {
            let field = kind.get_field_by_name(name).unwrap_or_else(|| panic!("{} has no {name}", kind.full_name()));
            let value = match json {
                Json::Array(list) => Value::List(list.iter().flat_map(|json| self.repeated(&field, json)).collect()),
                json => self.value(&field, json),
            };
            message.set_field(&field, value);
        }
        message
    }

    /// Recordings say `"times": n` for an element that is there so often.
    fn repeated(self, field: &FieldDescriptor, json: &Json) -> Vec<Value> {
        let mut json = json.clone();
        let times = json.as_object_mut().and_then(|object| object.remove("times"));
        let times = times.map_or(1, |times| times.as_u64().expect("a count"));
        (0..times).map(|_| self.value(field, &json)).collect()
    }

    fn value(self, field: &FieldDescriptor, json: &Json) -> Value {
        match field.kind() {
            Kind::Bool => Value::Bool(json.as_bool().expect("a boolean")),
            Kind::String => Value::String(json.as_str().expect("a string").to_owned()),
            Kind::Bytes => Value::Bytes(self.bytes(json.as_str().expect("a string")).into()),
            Kind::Message(kind) => Value::Message(self.message(&kind, json)),
            Kind::Enum(kind) => Value::EnumNumber(match json.as_str().map(|name| kind.get_value_by_name(name)) {
                Some(Some(value)) => value.number(),
                _ => i32::try_from(integer(json)).expect("an enum's number"),
            }),
            Kind::Int64 => Value::I64(i64::try_from(integer(json)).expect("64 bits")),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::try_from(integer(json)).expect("64 bits")),
            Kind::Uint32 => Value::U32(u32::try_from(integer(json)).expect("32 bits")),
            other => panic!("no field is {other:?}"),
        }
    }

    fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            Style::Recorded => text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect(),
            Style::Golden => {
                let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
                (0..text.len()).step_by(2).map(digits).collect()
            }
        }
    }

    fn json(self, message: &DynamicMessage) -> Json {
        let mut object = Map::new();
        for (field, value) in message.fields().filter(|(field, _)| message.has_field(field)) {
            match value {
                Value::Message(header) if field.name() == "header" && self == Style::Recorded => {
                    let revision = header.get_field_by_name("revision").expect("a header has one");
                    object.extend(revision.as_i64().filter(|r| *r != 0).map(|r| ("revision".to_owned(), r.into())));
                }
                value => {
                    object.insert(field.name().to_owned(), self.json_value(&field, value));
                }
            }
        }
        object.into()
    }

    fn json_value(self, field: &FieldDescriptor, value: &Value) -> Json {
        let number = |number: i128| match self {
            Style::Golden => number.to_string().into(),
            Style::Recorded => i64::try_from(number).expect("recorded numbers are small").into(),
        };
        match value {
            Value::Bool(flag) => (*flag).into(),
            Value::String(text) => text.as_str().into(),
            Value::Bytes(bytes) if self == Style::Golden => hex(bytes).into(),
            Value::Bytes(bytes) => bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into(),
            Value::Message(message) => self.json(message),
            Value::List(list) => list.iter().map(|value| self.json_value(field, value)).collect(),
            Value::EnumNumber(value) if self == Style::Recorded => {
                let kind = field.kind();
                kind.as_enum().and_then(|kind| kind.get_value(*value)).expect("a known value").name().into()
            }
            Value::EnumNumber(value) => number((*value).into()),
            Value::I64(value) => number((*value).into()),
            Value::U64(value) => number((*value).into()),
            Value::U32(value) => number((*value).into()),
            other => panic!("no field is {other:?}"),
        }
    }
}

fn integer(json: &Json) -> i128 {
    let digits = |text: &str| text.parse().expect("a number");
    json.as_str().map_or_else(|| digits(&json.to_string()), digits)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
