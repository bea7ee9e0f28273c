// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations as text: a TOML file with operands, the proof in eBPF assembly, and native forms in the assembly of x86-64
//! and AArch64, which Keystone assembles. `docs/operations-as-text.md` has the format and a tutorial.
//!
//! `document` is TOML with places, `expression` what stands in conditions and braces, `template` text with braces,
//! `native` Keystone and what is kept from it; `operands` and `form` read the file, `trial` tries what was read, and
//! `operation` is the outcome.

mod document;
mod expression;
mod form;
mod native;
mod operands;
mod operation;
mod template;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use toml::de::DeTable;

use self::document::{SourceFile, Table, Value};
use self::form::FormText;

pub use self::document::TextError;
pub use self::operation::TextKop;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The name of an operation's only form.
const ONLY_FORM: &str = "payload";

/// The operations of the file at `path`; at present a file has one.
///
/// # Errors
/// [`TextError`] when the file cannot be read, is not as the format wants it, or holds assembly that no assembler takes.
pub fn load(path: &Path) -> Result<Vec<TextKop>, TextError> {
    let name = path.display().to_string();
    let whole = |what: String| TextError { path: name.clone(), place: None, what };
    let length = fs::metadata(path).map_err(|error| whole(error.to_string()))?.len();
    if length > LARGEST {
        return Err(whole(format!("{length} bytes are too many: an operation has at most {LARGEST}")));
    }
    let bytes = fs::read(path).map_err(|error| whole(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| whole("the file is not UTF-8".to_owned()))?;
    Ok(vec![parse(&name, &text)?])
}

/// The operation that `text` describes; `path` is what messages and [`kop_ops::Kop::arguments`] call the file.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &str, text: &str) -> Result<TextKop, TextError> {
    let source = SourceFile { path: path.to_owned(), text: text.replace("\r\n", "\n") };
    let document = DeTable::parse(&source.text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        source.error(at, error.message().lines().collect::<Vec<_>>().join(", "))
    })?;
    let mut table = Table::new(&source, document.get_ref(), 0);
    let name = table.require("name", "the operation's name")?;
    let summary = table.require("summary", "one line that says what the operation is")?.line()?;
    let (forms, name) = (read_forms(&source, &mut table, &summary)?, word(&name)?);
    table.finish()?;
    let mut remarks = Vec::new();
    for (form, at) in &forms {
        remarks.push(trial::try_form(&source, form, *at)?);
    }
    let texts: Vec<FormText> = forms.into_iter().map(|(form, _)| form).collect();
    let mut declared: Vec<String> = texts.iter().flat_map(|text| text.declared.iter().cloned()).collect();
    declared.sort_unstable();
    declared.dedup();
    Ok(TextKop {
        name,
        summary,
        arguments: vec!["--file".to_owned(), path.to_owned()],
        forms: texts.iter().map(|text| text.form.clone()).collect(),
        texts,
        declared,
        remarks,
        codes: Mutex::new(HashMap::new()),
        source: source.clone(),
    })
}

/// The forms with the bytes where they start: the tables `form`, or the whole file as one.
fn read_forms(
    source: &SourceFile,
    table: &mut Table,
    summary: &str,
) -> Result<Vec<(FormText, usize)>, TextError> {
    let Some(value) = table.take("form") else {
        return Ok(vec![(form::read(source, table, ONLY_FORM.to_owned(), summary)?, table.at)]);
    };
    let mut names = BTreeSet::new();
    let mut forms = Vec::new();
    for value in value.one_or_many()? {
        let mut table = value.table()?;
        let name_value = table.require("name", "the form's name")?;
        let name = word(&name_value)?;
        if !names.insert(name.clone()) {
            return Err(name_value.error(format!("there are two forms `{name}`")));
        }
        forms.push((form::read(source, &mut table, name, summary)?, table.at));
        table.finish()?;
    }
    if forms.is_empty() {
        return Err(value.error("the list is empty"));
    }
    Ok(forms)
}

/// A name: lower-case letters, digits and `_`.
fn word(value: &Value) -> Result<String, TextError> {
    let text = value.string()?.text;
    let is_word = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_word {
        return Ok(text);
    }
    Err(value.error(format!("`{text}` is no name: lower-case letters, digits and `_`, a letter first")))
}
