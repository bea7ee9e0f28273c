// SPDX-License-Identifier: GPL-2.0-or-later
//! Reports against the schemas of their formats: SARIF's of OASIS, JUnit's of Jenkins, and the record's own.

use std::process::Command;

use boon::{Compiler, SchemaIndex, Schemas};
use kop_reports::{Date, Divergence, Kind, KnownList, Record, Row, Source, junit, sarif, svg};
use serde_json::{Value, json};

const SAMPLE: &str = include_str!("records/sample.json");
const RECORD_SCHEMA: &str = include_str!("../schema/kop-report-1.schema.json");
const JUNIT: Option<&str> = Some("junit-10.xsd");
const SARIF_SCHEMA: &str = include_str!("schemas/sarif-schema-2.1.0.json");

fn sample() -> Record {
    Record::from_json(SAMPLE).expect("a record")
}

/// A schema that is ready to judge.
struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    fn new(schema: &str) -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        let schema = serde_json::from_str(schema).expect("JSON");
        compiler.add_resource("schema.json", schema).expect("a resource");
        let index = compiler.compile("schema.json", &mut schemas).expect("a schema");
        Self { schemas, index }
    }

    fn accepts(&self, value: &Value) -> Result<(), String> {
        self.schemas.validate(value, self.index).map_err(|error| format!("{error:#}"))
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

/// Records of every shape that SARIF and JUnit have a word for.
fn records() -> Vec<Record> {
    let mut known = sample();
    let row = known.ops.iter().find(|row| !row.divergences.is_empty()).expect("a divergent row");
    let (name, form, arch, kind) = (&row.name, &row.form, &row.arch, row.divergences[0].kind);
    let list = format!(
        "[[known]]\noperation = {name:?}\nform = {form:?}\narch = {arch:?}\nkind = \"{kind}\"\nreason = \"r\"\n\
         expires = \"2027-01-31\""
    );
    let today = Date::try_from("2026-12-01".to_owned()).expect("a day");
    assert_eq!(KnownList::parse(&list).expect("a list").apply(&mut known, today).complaints, [""; 0]);
    let mut kinds = sample();
    let template = kinds.ops.iter().flat_map(|row| &row.divergences).next().expect("a divergence").clone();
    kinds.ops = [Some("/tmp/a b.c"), Some("ops/x.rs"), None]
        .map(|file| {
            let source = file.map(|file| Source { file: file.to_owned(), line: 0 });
            let of_kind = |kind| Divergence {
                kind,
                occurrences: 0,
                message: "\u{1}<&\"]]>".to_owned(),
                ..template.clone()
            };
            let divergences = Kind::ALL.map(of_kind).into();
            Row { source, divergences, ..Row::of_case("a<b>&\u{7}\"", "f", "none") }
        })
        .into();
    let empty = Record { ops: Vec::new(), mutation: None, ..sample() };
    vec![sample(), known, kinds, empty]
}

#[test]
fn sarif_is_valid() {
    let judge = Judge::new(SARIF_SCHEMA);
    for record in records() {
        let log = parsed(&sarif(&record));
        let divergences: usize = record.ops.iter().map(|row| row.divergences.len()).sum();
        assert_eq!(log["runs"][0]["results"].as_array().map(Vec::len), Some(divergences));
        assert_eq!(judge.accepts(&log), Ok(()));
    }
    for (place, value) in [
        ("/version", json!("2.2.0")),
        ("/runs/0/results/0/message", json!({})),
        ("/runs/0/results/0/level", json!("fatal")),
        ("/runs/0/results/0/ruleIndex", json!(-2)),
    ] {
        let mut log = parsed(&sarif(&sample()));
        *log.pointer_mut(place).expect(place) = value;
        assert!(judge.accepts(&log).is_err(), "{place}");
    }
}

#[test]
fn a_record_is_valid() {
    let judge = Judge::new(RECORD_SCHEMA);
    assert_eq!(judge.accepts(&parsed(SAMPLE)), Ok(()));
    for record in records() {
        assert_eq!(judge.accepts(&parsed(&record.to_json())), Ok(()));
    }
    for (place, value) in [
        ("/schema", json!("kop-report/2")),
        ("/verdict", json!("maybe")),
        ("/seed", json!(-1)),
        ("/ops/0/name", json!(1)),
        ("/ops/0/classes", json!({"dst=r0": "many"})),
    ] {
        let mut record = parsed(SAMPLE);
        *record.pointer_mut(place).expect(place) = value;
        assert!(judge.accepts(&record).is_err(), "{place}");
    }
    let mut later = parsed(SAMPLE);
    later["later"] = json!([1]);
    assert_eq!(judge.accepts(&later), Ok(()), "fields may be added");
}

/// What xmllint (Debian's libxml2-utils) says of `xml`: whether it is well formed, and as the schema, if there is one, says.
fn xmllint(xml: &str, schema: Option<&str>) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("report.xml");
    std::fs::write(&path, xml).expect("a file");
    let schema = schema.map(|name| format!("{}/tests/schemas/{name}", env!("CARGO_MANIFEST_DIR")));
    let schema = schema.iter().flat_map(|path| ["--schema", path]);
    let output = Command::new("xmllint").args(["--noout", "--nonet"]).args(schema).arg(&path).output();
    let output = output
        .unwrap_or_else(|error| panic!("xmllint cannot be run ({error}): scripts/deps --tests installs it"));
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn junit_xml_is_valid() {
    for record in records() {
        assert_eq!(xmllint(&junit(&record), JUNIT), Ok(()));
    }
    let xml = junit(&sample());
    for (text, other) in [("<failure ", "<failed "), (" tests=", " test="), ("<?xml", "<xml")] {
        assert!(xml.contains(text), "{text}");
        assert!(xmllint(&xml.replace(text, other), JUNIT).is_err(), "{text}");
    }
}

#[test]
fn pictures_are_well_formed() {
    let picture = svg(&sample()).expect("the record has samples");
    assert_eq!(xmllint(&picture, None), Ok(()));
    assert_eq!(picture.matches("<polyline").count(), 3, "memory, speed and new behaviour");
    assert!(xmllint(&picture.replace("</title>", ""), None).is_err());
}
