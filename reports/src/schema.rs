// SPDX-License-Identifier: GPL-2.0-or-later
//! The JSON schemas of records, which are made from their types.

use std::path::Path;

use serde_json::{Value, json};

use crate::bench::{BENCH_SCHEMA, Bench};
use crate::record::{Record, SCHEMA};

/// The schemas under `schema` are what the types say. `KOP_BLESS=1` writes them anew.
#[test]
fn the_schemas_in_the_repository_are_those_of_the_types() {
    for (mut schema, name, file) in [
        (Value::from(schemars::schema_for!(Record)), SCHEMA, "kop-report-1.schema.json"),
        (Value::from(schemars::schema_for!(Bench)), BENCH_SCHEMA, "kop-bench-1.schema.json"),
    ] {
        schema["title"] = json!(name);
        schema["properties"]["schema"]["const"] = json!(name);
        let text = format!("{schema:#}\n");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(file);
        if std::env::var_os("KOP_BLESS").is_some() {
            std::fs::write(&path, &text).expect("the schema can be written");
        }
        let there = std::fs::read_to_string(&path).expect("the schema is there");
        assert!(there == text, "{} is not what the types say; KOP_BLESS=1 writes it", path.display());
    }
}
