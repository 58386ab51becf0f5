//! Results of the commands of our own: names with values, in every format, and tables as etcdctl draws them.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle, presets};
use serde_json::Value;

use super::args::Format;
use super::context::Context;
use super::exit::Failure;
use super::json::Object;

/// Names with values, in the order in which they were added.
///
/// ```text
/// simple   revision: 7          json, jsonl   {"revision":7,"compact_revision":0}
///          compact_revision: 0  fields        "revision" : 7
/// ```
#[derive(Debug, Default)]
pub(super) struct Report {
    object: Object,
}

impl Report {
    pub(super) fn new() -> Report {
        Report::default()
    }

    /// Adds a value.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Report {
        self.object.insert(name.to_owned(), value.into());
        self
    }

    /// The values as a JSON object.
    pub(super) fn into_object(self) -> Object {
        self.object
    }

    /// Prints it in the format that is asked for.
    pub(super) fn print(self, context: &Context) -> Result<(), Failure> {
        let out = &context.out;
        match context.global.write_out {
            Format::Json | Format::Jsonl => out.line(Value::Object(self.object).to_string()),
            Format::Simple => {
                self.object.iter().try_for_each(|(name, value)| out.line(format!("{name}: {}", plain(value))))
            }
            Format::Fields => {
                self.object.iter().try_for_each(|(name, value)| out.line(format!("\"{name}\" : {value}")))
            }
            Format::Table => {
                let rows = self.object.iter().map(|(name, value)| vec![name.clone(), plain(value)]).collect();
                table(context, &["name", "value"], rows)
            }
        }
    }
}

/// The lines that etcdctl draws.
pub(super) const STYLE: TableStyle = presets::ASCII_FULL_CONDENSED.header_separator(LineStyle::new('+', '-', '+', '+'));

/// A value as people read it: text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Makes a table fit a terminal. One that does not know its width, as over a serial line, says 0.
pub(super) fn fit(table: &mut Table, is_terminal: bool) {
    let fits = is_terminal && table.width().is_some_and(|width| width > 0);
    table.set_content_arrangement(if fits { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
}

/// Draws a table as etcdctl does; on a terminal it is made to fit.
pub(super) fn table(context: &Context, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header.iter().map(|name| name.to_uppercase()));
    fit(&mut table, std::io::stdout().is_terminal());
    for row in rows {
        table.add_row(row);
    }
    context.out.line(table.to_string())
}
