// SPDX-License-Identifier: GPL-2.0-or-later
//! The record of a check, `kop-report/1`: what is written as JSON and what every rendering starts from.
//!
//! Fields may be added; those there are keep their meaning. Numbers of 64 bits are hexadecimal strings.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::known::Known;
use crate::mutation::Mutation;
use crate::standing::Standing;

/// The schema's name and version.
pub const SCHEMA: &str = "kop-report/1";

/// The kind of a divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An eBPF register differs.
    Register,
    /// Memory differs, or native code writes memory that the proof does not.
    Memory,
    /// One side faults and the other does not, or they fault differently.
    Fault,
    /// A rule of the frame is broken: a preserved register, the stack, where control goes, what may be executed.
    Frame,
    /// The proof writes a register that native code leaves, and no contract declares it dead.
    Temporary,
    /// One form or architecture accepts a payload that the other rejects.
    Validity,
    /// Sizing and emitting differ, the emit is over its limit, or differs between calls or addresses.
    Encoding,
    /// The proof sequence breaks the kernel's rules.
    Shape,
    /// A module's callback crashed, hung, overran a buffer or lied about what it wrote.
    Callback,
    /// The references disagree with each other.
    Reference,
}

impl Kind {
    /// Every kind, in the order of reports.
    pub const ALL: [Kind; 10] = [
        Kind::Register,
        Kind::Memory,
        Kind::Fault,
        Kind::Frame,
        Kind::Temporary,
        Kind::Validity,
        Kind::Encoding,
        Kind::Shape,
        Kind::Callback,
        Kind::Reference,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::Memory => "memory",
            Kind::Fault => "fault",
            Kind::Frame => "frame",
            Kind::Temporary => "temporary",
            Kind::Validity => "validity",
            Kind::Encoding => "encoding",
            Kind::Shape => "shape",
            Kind::Callback => "callback",
            Kind::Reference => "reference",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The side that a divergence speaks against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The native emit.
    Emit,
    /// The proof sequence.
    Proof,
    /// The model.
    Model,
    /// One engine, against another that ran the same code.
    Engine(String),
    /// The engines do not tell.
    Undecided,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blame::Emit => f.write_str("emit"),
            Blame::Proof => f.write_str("proof"),
            Blame::Model => f.write_str("model"),
            Blame::Engine(name) => write!(f, "engine {name}"),
            Blame::Undecided => f.write_str("undecided"),
        }
    }
}

/// The verdict of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No row diverges.
    Equivalent,
    /// A row diverges.
    Divergent,
}

/// The verdict of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RowVerdict {
    /// No divergence was found.
    Equivalent,
    /// A divergence was found.
    Divergent,
    /// No engine here can run it; `untested` of the row says why.
    Untested,
}

impl RowVerdict {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            RowVerdict::Equivalent => "equivalent",
            RowVerdict::Divergent => "divergent",
            RowVerdict::Untested => "untested",
        }
    }
}

/// What the prover says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ProofVerdict {
    /// Every payload is equal for every input.
    Proved,
    /// Every payload that was looked at is, and not all were.
    Partial,
    /// A payload has an input for which the two forms differ.
    Refuted,
    /// No formula can be made of some payload.
    Unsupported,
    /// Some payload was not decided in time.
    Timeout,
}

impl ProofVerdict {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ProofVerdict::Proved => "proved",
            ProofVerdict::Partial => "partial",
            ProofVerdict::Refuted => "refuted",
            ProofVerdict::Unsupported => "unsupported",
            ProofVerdict::Timeout => "timeout",
        }
    }
}

/// What the prover says of a row, and what that rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Proof {
    /// The verdict.
    pub verdict: ProofVerdict,
    /// How many payloads are proved.
    pub payloads: u64,
    /// How many payloads there are; 0 where that is more than can be counted.
    pub payloads_total: u64,
    /// How many different formulas all of these payloads come to.
    pub formulas: u64,
    /// How many of the formulas needed more than normalising.
    pub solved: u64,
    /// How many codes were known from the proofs of earlier runs (a cache).
    #[serde(default)]
    pub recalled: u64,
    /// The algebraic steps that were taken, which no solver's proof shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algebra: Vec<String>,
    /// Why it is unsupported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The record of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The seed.
    pub seed: u64,
    /// Every engine that was asked for.
    pub engines: Vec<Engine>,
    /// The rows, in the order of the catalog.
    pub ops: Vec<Row>,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// How many threads it used.
    pub jobs: usize,
    /// Where the time went, for operations that were loaded from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// How fast it was, over its time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// What became of faults that were planted on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<Mutation>,
}

/// How far a run was at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rate {
    /// Seconds from the start.
    pub at_s: f64,
    /// The states of all rows that had been run by then, each once whatever the number of engines.
    pub states: u64,
    /// The resident memory of the process and its children at that time, in KiB, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_kib: Option<u64>,
    /// How many behaviours were known by then, where they are counted: a campaign does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behaviours: Option<u64>,
}

impl Rate {
    /// States alone.
    pub fn new(at_s: f64, states: u64) -> Self {
        Self { at_s, states, memory_kib: None, behaviours: None }
    }
}

/// Where the time of a run went, in seconds; what did not take place is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timings {
    /// Compiling the sources of operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile_s: Option<f64>,
    /// Learning which payloads they take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn_s: Option<f64>,
    /// The check itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_s: Option<f64>,
}

/// An engine of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Engine {
    /// Its name.
    pub name: String,
    /// Whether it took part.
    pub available: bool,
    /// Why not, and the way to get it.
    pub reason: Option<String>,
}

/// A row: one form of an operation on one architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// The operation.
    pub name: String,
    /// The form.
    pub form: String,
    /// `x86_64`, `aarch64`, or `none` for an operation without any emit.
    pub arch: String,
    /// The engines that the verdict rests on.
    pub engines: Vec<String>,
    /// How many payloads were run.
    pub payloads: u64,
    /// How many payloads there are, where they can be enumerated.
    pub payloads_total: u64,
    /// How many payloads, valid and invalid, had their callbacks compared without being run.
    pub payloads_inspected: u64,
    /// How many states were run, each on every engine.
    pub states: u64,
    /// How many of them were run alone with every access observed.
    pub observed: u64,
    /// The verdict.
    pub verdict: RowVerdict,
    /// Why it is untested.
    pub untested: Option<String>,
    /// The native codes by CPU features.
    pub variants: Vec<Variant>,
    /// Conditions of the site that were declared from outside of the operation, such as `dead=r3`: what they exempt was not
    /// compared.
    #[serde(default)]
    pub contract: Vec<String>,
    /// What the operation is for that neither registers nor memory show, so that no verdict says anything of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_purpose: Option<String>,
    /// What native code writes that is no eBPF register: scratch registers, flags, SIMD registers; `(restored)` behind a
    /// register that must be preserved and was.
    #[serde(default)]
    pub clobbers: Vec<String>,
    /// Remarks that are no divergences.
    pub warnings: Vec<String>,
    /// The divergences, equal causes once.
    pub divergences: Vec<Divergence>,
    /// How often each class of operands and values occurred (`kop check -v` shows it).
    pub classes: BTreeMap<String, u64>,
    /// What the prover says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Where the operation is written, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Source {
    /// The path: relative to the root of the repository for operations of the catalog, otherwise as the user gave it.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
}

impl Row {
    /// The row of one divergent case, for a title.
    pub fn of_case(name: &str, form: &str, arch: &str) -> Self {
        Self {
            name: name.to_owned(),
            form: form.to_owned(),
            arch: arch.to_owned(),
            engines: Vec::new(),
            payloads: 1,
            payloads_total: 0,
            payloads_inspected: 0,
            states: 1,
            observed: 0,
            verdict: RowVerdict::Divergent,
            untested: None,
            variants: Vec::new(),
            contract: Vec::new(),
            unseen_purpose: None,
            clobbers: Vec::new(),
            warnings: Vec::new(),
            divergences: Vec::new(),
            classes: BTreeMap::new(),
            proof: None,
            source: None,
        }
    }

    /// The row by name, as `rotate imm64 x86_64`.
    pub fn title(&self) -> String {
        format!("{} {} {}", self.name, self.form, self.arch)
    }

    /// Whether the row is a prover's alone: no engine ran a state of it.
    pub fn is_proof_alone(&self) -> bool {
        self.proof.is_some() && self.states == 0
    }
}

/// The native code for one set of CPU features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Variant {
    /// The features, as `popcnt,bmi1` or `none`.
    pub features: String,
    /// How many states ran on it.
    pub states: u64,
    /// Why it did not run: no emit for these features (the proof is compiled), or no engine for it.
    pub untested: Option<String>,
}

/// One divergence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Divergence {
    /// Its kind.
    pub kind: Kind,
    /// The engine that showed it, or `-` when none ran.
    pub engine: String,
    /// The payload.
    pub payload: String,
    /// The operands by name; empty when the payload does not decode.
    pub operands: BTreeMap<String, String>,
    /// The first difference; `None` where there is no pair of values.
    pub first_difference: Option<Difference>,
    /// The saved case, when it was saved.
    pub case: Option<String>,
    /// One line that says what happened.
    pub message: String,
    /// The side that it speaks against.
    pub blame: Blame,
    /// Why that side, in one line.
    pub blame_reason: String,
    /// What divergences of one row with the same cause have in common, in words that do not depend on payload and state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The CPU features that the code was emitted for.
    pub features: String,
    /// How many states or payloads showed the same cause.
    pub occurrences: u64,
    /// The command that reproduces it.
    pub reproduce: Option<String>,
    /// The minimised case in the notation of case files.
    pub minimised: Option<String>,
    /// What each side did with it, the reference first.
    pub sides: Vec<Side>,
    /// The proof sequence, instruction by instruction.
    pub proof: Vec<String>,
    /// The native code.
    pub native: Vec<ListingLine>,
    /// Why it is no failure: somebody knows it and has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
}

impl Divergence {
    /// What divergences of one row with the same cause have in common. Where it was not recorded, it is made of the kind, the
    /// place and the message without the numbers in them, which change from run to run.
    pub fn cause_key(&self) -> String {
        self.cause.clone().unwrap_or_else(|| {
            let place = self.first_difference.as_ref().map_or("", |difference| difference.r#where.as_str());
            format!("{}/{}/{}", self.kind, without_numbers(place), without_numbers(&self.message))
        })
    }
}

/// `text` without its hexadecimal numbers and the signs before them: `stack` for `stack-0x88`.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut rest = parts.next().unwrap_or("").to_owned();
    for part in parts {
        rest.truncate(rest.trim_end_matches(['+', '-']).len());
        rest.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    rest
}

/// The first place in which two results differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// `r3`, `window+0x10`, `fault`, or a native register.
    pub r#where: String,
    /// What the reference says.
    pub expected: String,
    /// What was found.
    pub actual: String,
}

/// What one engine made of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Side {
    /// The engine.
    pub engine: String,
    /// r0 to r10 before and after, as reports print values.
    pub registers: Vec<RegisterPair>,
    /// Bytes of memory that changed: address text, before, after.
    pub memory: Vec<(String, String, String)>,
    /// The fault.
    pub fault: Option<String>,
    /// Broken rules of the frame.
    pub frame: Vec<String>,
}

/// A register before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RegisterPair {
    /// Its name.
    pub name: String,
    /// Its value before.
    pub before: String,
    /// Its value after.
    pub after: String,
}

/// One instruction of native code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListingLine {
    /// Its offset in bytes.
    pub offset: usize,
    /// Its bytes, as hexadecimal digits.
    pub bytes: String,
    /// Its text.
    pub text: String,
}

impl Record {
    /// The record as JSON, indented, with a newline at the end.
    ///
    /// # Panics
    /// Never: every field serialises.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("records hold plain data");
        json.push('\n');
        json
    }

    /// The record that [`Record::to_json`] wrote; fields that it does not know are passed over.
    ///
    /// # Errors
    /// One line, when the text is no JSON, has no schema or another than [`SCHEMA`], or lacks a field.
    pub fn from_json(json: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Header {
            schema: Option<String>,
        }
        let header: Header = serde_json::from_str(json).map_err(|error| format!("not a report: {error}"))?;
        match header.schema.as_deref() {
            Some(SCHEMA) => {
                serde_json::from_str(json).map_err(|error| format!("not a valid {SCHEMA} report: {error}"))
            }
            Some(other) => Err(format!("report of the schema {other:?}, but only {SCHEMA:?} is understood")),
            None => Err(format!("not a report: the field \"schema\" is missing; it should be {SCHEMA:?}")),
        }
    }

    /// The divergences with their rows, in the order of the rows. What is wrong on no architecture alone (a proof, a reference) is
    /// in the rows of all and comes once, with the first.
    pub fn divergences(&self) -> impl Iterator<Item = (&Row, &Divergence)> {
        self.ops.iter().enumerate().flat_map(move |(number, row)| {
            let is_told = move |found: &Divergence| {
                let same = |other: &&Row| (&other.name, &other.form) == (&row.name, &row.form);
                let mut told = self.ops[..number].iter().filter(same).flat_map(|other| &other.divergences);
                // A cause names the architecture, if there is one.
                found.cause.is_some() && told.any(|known| known.cause == found.cause)
            };
            row.divergences.iter().filter(move |found| !is_told(found)).map(move |found| (row, found))
        })
    }

    /// The verdict that the rows give; known divergences are none.
    pub fn verdict_of(rows: &[Row]) -> Verdict {
        if rows.iter().any(|row| row.standing() == Standing::Divergent) {
            Verdict::Divergent
        } else {
            Verdict::Equivalent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let engine =
            Engine { name: "host".to_owned(), available: false, reason: Some("not built".to_owned()) };
        Record {
            schema: SCHEMA.to_owned(),
            verdict: Verdict::Equivalent,
            seed: u64::MAX,
            engines: vec![engine],
            ops: Vec::new(),
            elapsed_s: 1.5,
            jobs: 2,
            timings: None,
            rates: Vec::new(),
            mutation: None,
        }
    }

    #[test]
    fn a_record_survives_json() {
        let timings = Timings { compile_s: Some(0.25), learn_s: None, check_s: Some(1.5) };
        let mut row = Row::of_case("rotate", "imm64", "x86_64");
        row.contract = vec!["dead=r3".to_owned()];
        row.clobbers = vec!["r11".to_owned(), "flags".to_owned()];
        let rates = vec![Rate { memory_kib: Some(1 << 20), behaviours: Some(7), ..Rate::new(0.5, 1 << 40) }];
        let mutation = Some(Mutation { detection_ms: vec![0.5, 2.25], ..Mutation::default() });
        let full = Record { timings: Some(timings), ops: vec![row], rates, mutation, ..record() };
        for record in [record(), full] {
            assert_eq!(Record::from_json(&record.to_json()), Ok(record));
        }
    }

    #[test]
    fn a_report_without_what_was_added_later_is_understood() {
        let mut record = record();
        record.ops.push(Row::of_case("rotate", "imm64", "x86_64"));
        let mut json: serde_json::Value = serde_json::from_str(&record.to_json()).expect("JSON");
        let row = json["ops"][0].as_object_mut().expect("a row");
        assert!(row.remove("contract").is_some() && row.remove("clobbers").is_some());
        assert!(json.get("timings").is_none());
        assert_eq!(Record::from_json(&json.to_string()), Ok(record));
    }

    #[test]
    fn a_cause_does_not_depend_on_addresses() {
        let at = |place: &str, cause: Option<&str>| Divergence {
            message: format!("the byte at {place} differs"),
            first_difference: Some(Difference {
                r#where: place.to_owned(),
                expected: "0x1".to_owned(),
                actual: "0x2".to_owned(),
            }),
            cause: cause.map(str::to_owned),
            ..crate::samples::register_divergence()
        };
        assert_eq!(at("stack-0x88", None).cause_key(), "register/stack/the byte at stack differs");
        assert_eq!(at("stack-0x88", None).cause_key(), at("stack+0xfFc", None).cause_key());
        assert_ne!(at("stack-0x88", None).cause_key(), at("window", None).cause_key());
        assert_eq!(at("stack-0x88", Some("a")).cause_key(), at("window", Some("a")).cause_key());
    }

    #[test]
    fn fields_added_later_are_passed_over() {
        let json = record().to_json().replacen('{', "{\"later\": [1],", 1);
        assert_eq!(Record::from_json(&json), Ok(record()));
    }

    #[test]
    fn another_schema_is_one_clear_line() {
        let json = r#"{"schema": "kop-report/2", "rows": 3}"#;
        let error = r#"report of the schema "kop-report/2", but only "kop-report/1" is understood"#;
        assert_eq!(Record::from_json(json), Err(error.to_owned()));
        let error = r#"not a report: the field "schema" is missing; it should be "kop-report/1""#;
        assert_eq!(Record::from_json("{}"), Err(error.to_owned()));
    }

    #[test]
    fn what_is_no_record_is_told_on_one_line() {
        let incomplete = r#"{"schema": "kop-report/1", "verdict": "equivalent"}"#;
        for (json, start) in [
            ("", "not a report: "),
            ("[]", "not a report: "),
            (r#"{"schema": 1}"#, "not a report: "),
            (incomplete, "not a valid kop-report/1 report: missing field `seed`"),
        ] {
            let error = Record::from_json(json).expect_err(json);
            assert!(error.starts_with(start), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
