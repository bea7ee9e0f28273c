// SPDX-License-Identifier: GPL-2.0-or-later
//! A record as SARIF 2.1.0 (OASIS): the rules are the kinds of divergences, a result is a divergence at the line on which
//! its operation is written.
//!
//! The few objects that are used are written down in `sarif/log.rs`. The crate `serde-sarif` has all of them, but generates
//! some hundred types from the schema whenever it is built, with a dozen more crates; tests hold ours against that schema.

mod log;

use std::collections::BTreeMap;

use log::{
    ArtifactLocation, Configuration, Driver, Invocation, Location, Log, LogicalLocation, Message,
    PhysicalLocation, Region, Rule, Run, SarifResult, Suppression, Tool,
};

use crate::markdown::inline;
use crate::record::{Divergence, Kind, Record, Row, Source};
use crate::text::{Style, divergence};

/// Where the schema is published.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What relative paths are relative to: the root of the repository, as GitHub has it.
const ROOT: &str = "%SRCROOT%";

/// The record as SARIF 2.1.0, indented, with a newline at the end.
///
/// # Panics
/// Never: every field serialises.
pub fn sarif(record: &Record) -> String {
    let results =
        record.ops.iter().flat_map(|row| row.divergences.iter().map(move |found| result(row, found)));
    let run = Run {
        tool: Tool { driver: driver() },
        invocations: [Invocation { execution_successful: true }],
        column_kind: "utf16CodeUnits",
        results: results.collect(),
    };
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run] };
    let mut json = serde_json::to_string_pretty(&log).expect("logs hold plain data");
    json.push('\n');
    json
}

fn driver() -> Driver {
    let rule = |kind: Kind| Rule {
        id: kind.name(),
        name: name(kind),
        short_description: Message::text(summary(kind)),
        default_configuration: Configuration { level: "error" },
    };
    Driver { name: "kop", semantic_version: env!("CARGO_PKG_VERSION"), rules: Kind::ALL.map(rule).into() }
}

/// A rule's readable name.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Register => "RegisterDivergence",
        Kind::Memory => "MemoryDivergence",
        Kind::Fault => "FaultDivergence",
        Kind::Frame => "FrameDivergence",
        Kind::Temporary => "TemporaryDivergence",
        Kind::Validity => "ValidityDivergence",
        Kind::Encoding => "EncodingDivergence",
        Kind::Shape => "ShapeDivergence",
        Kind::Callback => "CallbackDivergence",
        Kind::Reference => "ReferenceDivergence",
    }
}

/// What a kind means, in a sentence.
const fn summary(kind: Kind) -> &'static str {
    match kind {
        Kind::Register => "Native code and proof sequence leave different values in an eBPF register.",
        Kind::Memory => "Native code and proof sequence leave different memory.",
        Kind::Fault => {
            "Native code or proof sequence faults and the other does not, or they fault differently."
        }
        Kind::Frame => "Native code breaks a rule of the frame it runs in.",
        Kind::Temporary => {
            "The proof sequence writes a register that native code leaves, and no contract declares it dead."
        }
        Kind::Validity => "One form or architecture accepts a payload that the other rejects.",
        Kind::Encoding => "Sizing and emitting differ, or the emit is too long or not always the same.",
        Kind::Shape => "The proof sequence breaks the kernel's rules.",
        Kind::Callback => "A module's callback crashed, hung, overran a buffer or lied about what it wrote.",
        Kind::Reference => "The references disagree with each other.",
    }
}

fn result(row: &Row, found: &Divergence) -> SarifResult {
    let difference = found.first_difference.as_ref().map_or_else(String::new, |difference| {
        format!("; {}: expected {}, found {}", difference.r#where, difference.expected, difference.actual)
    });
    let said = format!("{}{difference}", found.message);
    let block = divergence(found, row, Style::default());
    SarifResult {
        rule_id: found.kind.name(),
        rule_index: Kind::ALL.iter().position(|kind| *kind == found.kind).unwrap_or(0),
        level: "error",
        message: Message {
            text: format!("{}: {said}\n\n{block}", row.title()),
            markdown: Some(format!(
                "**{}**: {}\n\n{}",
                inline(&row.title()),
                inline(&said),
                indented(&block)
            )),
        },
        locations: [location(row)],
        partial_fingerprints: BTreeMap::from([("kopCause/v1", fingerprint(row, found))]),
        occurrence_count: found.occurrences.max(1),
        suppressions: found.known.as_ref().map(|known| {
            let justification = format!("until {}: {}", known.expires, known.reason);
            vec![Suppression { kind: "external", status: "accepted", justification }]
        }),
        properties: properties(found),
    }
}

/// A block of code in Markdown, whatever it holds.
fn indented(block: &str) -> String {
    block.lines().map(|line| format!("    {line}\n")).collect()
}

fn location(row: &Row) -> Location {
    let kind = "function";
    Location {
        physical_location: row.source.as_ref().map(physical),
        logical_locations: [LogicalLocation { fully_qualified_name: row.title(), kind }],
    }
}

fn physical(source: &Source) -> PhysicalLocation {
    let is_absolute = source.file.starts_with('/');
    let uri = uri(&source.file);
    PhysicalLocation {
        artifact_location: ArtifactLocation {
            uri: if is_absolute { format!("file://{uri}") } else { uri },
            uri_base_id: (!is_absolute).then_some(ROOT),
        },
        region: Region { start_line: source.line.max(1) },
    }
}

/// A path as part of a URI: what is neither unreserved nor a slash is percent-encoded (RFC 3986 section 2).
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// What makes two results one: the row and the cause, without values that change from run to run.
fn fingerprint(row: &Row, found: &Divergence) -> String {
    format!("{} {}", row.title(), found.cause_key())
}

fn properties(found: &Divergence) -> BTreeMap<&'static str, String> {
    let operands: Vec<String> =
        found.operands.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let given = [
        ("engine", Some(found.engine.clone())),
        ("payload", Some(found.payload.clone())),
        ("operands", Some(operands.join(", ")).filter(|text| !text.is_empty())),
        ("features", Some(found.features.clone()).filter(|text| !text.is_empty())),
        ("blame", Some(found.blame.to_string())),
        ("case", found.case.clone()),
        ("minimised", found.minimised.clone()),
        ("reproduce", found.reproduce.clone()),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::known::{Date, KnownList};
    use crate::samples::{KNOWN, divergent, fault_divergence, record, register_divergence};

    fn log(record: &Record) -> Value {
        serde_json::from_str(&sarif(record)).expect("JSON")
    }

    fn sourced(file: &str) -> Record {
        let source = Some(Source { file: file.to_owned(), line: 17 });
        record(vec![Row { source, ..divergent(vec![register_divergence(), fault_divergence()]) }])
    }

    #[test]
    fn a_result_points_at_the_line_of_its_operation() {
        let log = log(&sourced("ops/src/kops/rotate.rs"));
        let results = log["runs"][0]["results"].as_array().expect("results");
        assert_eq!(results.len(), 2);
        let expected = json!({
            "artifactLocation": {"uri": "ops/src/kops/rotate.rs", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 17}
        });
        assert_eq!(results[0]["locations"][0]["physicalLocation"], expected);
        for (result, kind) in results.iter().zip(["register", "fault"]) {
            let index = result["ruleIndex"].as_u64().expect("an index") as usize;
            assert_eq!((&result["ruleId"], &result["suppressions"]), (&json!(kind), &Value::Null));
            assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][index]["id"], kind);
        }
        let text = results[0]["message"]["text"].as_str().expect("text");
        let start = "rotate imm64 x86_64: r3 differs after the site; r3: expected 0x2000, found 0x1000\n";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn paths_become_uris() {
        for (file, uri, base) in [
            ("./my op_x86.c", "my%20op_x86.c", json!("%SRCROOT%")),
            ("/tmp/a#b.c", "file:///tmp/a%23b.c", Value::Null),
            ("\u{e9}.toml", "%C3%A9.toml", json!("%SRCROOT%")),
        ] {
            let log = log(&sourced(file));
            let found = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
            assert_eq!((&found["uri"], &found["uriBaseId"]), (&json!(uri), &base), "{file}");
        }
    }

    #[test]
    fn what_is_known_is_suppressed_with_its_reason() {
        let mut record = sourced("a.rs");
        let today = Date::try_from("2026-12-01".to_owned()).expect("a day");
        KnownList::parse(KNOWN).expect("a list").apply(&mut record, today);
        let log = log(&record);
        let justification = "until 2027-01-31: fixed soon";
        let expected = json!([{"kind": "external", "status": "accepted", "justification": justification}]);
        assert_eq!(log["runs"][0]["results"][0]["suppressions"], expected);
        assert_eq!(log["runs"][0]["results"][1]["suppressions"], Value::Null);
    }

    #[test]
    fn fingerprints_do_not_change_with_values() {
        let mut later = sourced("a.rs");
        later.ops[0].divergences[0].payload = "0x1".to_owned();
        later.ops[0].divergences[0].occurrences = 3;
        let of =
            |record: &Record, i: usize| log(record)["runs"][0]["results"][i]["partialFingerprints"].clone();
        assert_eq!(of(&later, 0), of(&sourced("a.rs"), 0));
        assert_ne!(of(&later, 0), of(&later, 1));
    }
}
