// SPDX-License-Identifier: GPL-2.0-or-later
//! The JSON schema of a record, which is made from its types.

use std::path::Path;

use serde_json::{Value, json};

use crate::record::{Record, SCHEMA};

/// `schema/kop-report-1.schema.json` is what the types say. `KOP_BLESS=1` writes it anew.
#[test]
fn the_schema_in_the_repository_is_that_of_the_types() {
    let mut schema: Value = schemars::schema_for!(Record).into();
    schema["title"] = json!(SCHEMA);
    schema["properties"]["schema"]["const"] = json!(SCHEMA);
    let text = format!("{schema:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/kop-report-1.schema.json");
    if std::env::var_os("KOP_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the schema can be written");
    }
    let there = std::fs::read_to_string(&path).expect("the schema is there");
    assert!(there == text, "{} is not what the types say; KOP_BLESS=1 writes it", path.display());
}
