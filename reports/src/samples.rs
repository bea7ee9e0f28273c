// SPDX-License-Identifier: GPL-2.0-or-later
//! Rows, divergences and mutants that the tests print.

use std::collections::BTreeMap;

use crate::mutation::{Mutant, MutatedSide, Mutation, MutationRow};
use crate::record::{
    Blame, Difference, Divergence, Engine, Kind, ListingLine, Proof, ProofVerdict, Record, RegisterPair, Row,
    RowVerdict, SCHEMA, Side, Verdict,
};

pub(crate) fn row(name: &str, form: &str, arch: &str) -> Row {
    Row {
        name: name.to_owned(),
        form: form.to_owned(),
        arch: arch.to_owned(),
        engines: ["rbpf", "model", "unicorn-x86_64", "host"].map(str::to_owned).to_vec(),
        payloads: 1408,
        payloads_total: 85_184,
        payloads_inspected: 90_000,
        states: 20_000,
        observed: 312,
        verdict: RowVerdict::Equivalent,
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

pub(crate) fn untested(name: &str, form: &str, reason: &str) -> Row {
    Row {
        verdict: RowVerdict::Untested,
        untested: Some(reason.to_owned()),
        engines: Vec::new(),
        payloads: 0,
        states: 0,
        ..row(name, form, "aarch64")
    }
}

pub(crate) fn divergent(divergences: Vec<Divergence>) -> Row {
    Row { verdict: RowVerdict::Divergent, divergences, ..row("rotate", "imm64", "x86_64") }
}

pub(crate) fn engine(name: &str, reason: Option<&str>) -> Engine {
    Engine { name: name.to_owned(), available: reason.is_none(), reason: reason.map(str::to_owned) }
}

pub(crate) fn record(ops: Vec<Row>) -> Record {
    Record {
        schema: SCHEMA.to_owned(),
        verdict: Verdict::Divergent,
        seed: 42,
        engines: vec![
            engine("rbpf", None),
            engine("unicorn-x86_64", None),
            engine("unicorn-aarch64", Some("built without Unicorn; build with --features unicorn")),
        ],
        ops,
        elapsed_s: 12.34,
        jobs: 2,
        timings: None,
        rates: Vec::new(),
        mutation: None,
    }
}

/// A side whose registers are given as name, before and after.
pub(crate) fn side(engine: &str, registers: &[(&str, &str, &str)]) -> Side {
    let pair = |&(name, before, after): &(&str, &str, &str)| RegisterPair {
        name: name.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    Side {
        engine: engine.to_owned(),
        registers: registers.iter().map(pair).collect(),
        memory: Vec::new(),
        fault: None,
        frame: Vec::new(),
    }
}

/// A byte of memory that changed, as a side lists it.
pub(crate) fn byte(address: &str, before: &str, after: &str) -> (String, String, String) {
    (address.to_owned(), before.to_owned(), after.to_owned())
}

pub(crate) fn native(lines: &[(usize, &str, &str)]) -> Vec<ListingLine> {
    let line = |&(offset, bytes, text): &(usize, &str, &str)| ListingLine {
        offset,
        bytes: bytes.to_owned(),
        text: text.to_owned(),
    };
    lines.iter().map(line).collect()
}

/// An emit that rotates by one bit less than its payload says.
pub(crate) fn register_divergence() -> Divergence {
    let operands = [("amount", "13"), ("dst", "r3"), ("src", "r1"), ("tmp", "r5")];
    let right = [("r1", "0x1", "0x1"), ("r3", "0xffffffffffffffff", "0x2000"), ("r5", "0x7", "0x0")];
    let wrong = [("r1", "0x1", "0x1"), ("r3", "0xffffffffffffffff", "0x1000"), ("r5", "0x7", "0x7")];
    Divergence {
        kind: Kind::Register,
        engine: "unicorn-x86_64".to_owned(),
        payload: "0xd513".to_owned(),
        operands: operands.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        first_difference: Some(Difference {
            r#where: "r3".to_owned(),
            expected: "0x2000".to_owned(),
            actual: "0x1000".to_owned(),
        }),
        case: Some("findings/rotate/register-1f3a.kop".to_owned()),
        message: "r3 differs after the site".to_owned(),
        blame: Blame::Emit,
        blame_reason: "rbpf and model agree; unicorn-x86_64 and host agree against them".to_owned(),
        cause: None,
        features: "none".to_owned(),
        occurrences: 1312,
        reproduce: Some("kop repro findings/rotate/register-1f3a.kop".to_owned()),
        minimised: Some("kop-case 1\noperation rotate imm64\n\nr1 = 0x1\n".to_owned()),
        sides: vec![
            side("rbpf", &right),
            side(
                "model",
                &[("r1", "0x1", "0x1"), ("r3", "0xffffffffffffffff", "0x2000"), ("r5", "0x7", "0x7")],
            ),
            side("unicorn-x86_64", &wrong),
            side("host", &wrong),
        ],
        proof: ["r3 = r1", "r3 <<= 13", "r5 = r1", "r5 >>= 51", "r3 |= r5"].map(str::to_owned).to_vec(),
        native: native(&[(0, "4889fa", "mov rdx, rdi"), (3, "48c1c20c", "rol rdx, 12")]),
        known: None,
    }
}

/// A load that reads beyond the window, on one side only.
pub(crate) fn fault_divergence() -> Divergence {
    let mut native_side = side("host", &[("r0", "0x0", "0x0"), ("r2", "window+0xffc", "window+0xffc")]);
    native_side.fault = Some("bad read at window+0x1000".to_owned());
    Divergence {
        kind: Kind::Fault,
        engine: "host".to_owned(),
        operands: [("base".to_owned(), "r2".to_owned()), ("dst".to_owned(), "r0".to_owned())].into(),
        first_difference: Some(Difference {
            r#where: "fault".to_owned(),
            expected: "none".to_owned(),
            actual: "bad read at window+0x1000".to_owned(),
        }),
        case: None,
        message: "native code faults where the proof does not".to_owned(),
        blame: Blame::Undecided,
        blame_reason: String::new(),
        occurrences: 1,
        reproduce: None,
        minimised: None,
        sides: vec![
            side("rbpf", &[("r0", "0x0", "0x78563412"), ("r2", "window+0xffc", "window+0xffc")]),
            native_side,
        ],
        proof: ["w0 = *(u32 *)(r2 + 0)", "r0 = be32 r0"].map(str::to_owned).to_vec(),
        native: native(&[(0, "488b06", "mov rax, qword ptr [rsi]"), (3, "0fc8", "bswap eax")]),
        ..register_divergence()
    }
}

/// Lines, each with its newline.
pub(crate) fn lines<S: AsRef<str>>(lines: &[S]) -> String {
    lines.iter().map(|line| format!("{}\n", line.as_ref())).collect()
}

/// `text` without ANSI's SGR sequences.
pub(crate) fn without_escapes(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or("").to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').expect("SGR sequences end in m").1)
}

/// A row that a prover alone has looked at.
pub(crate) fn proved(name: &str, form: &str, arch: &str) -> Row {
    let proof = Proof {
        verdict: ProofVerdict::Proved,
        payloads: 85_184,
        payloads_total: 85_184,
        formulas: 191,
        solved: 3,
        recalled: 0,
        algebra: Vec::new(),
        reason: None,
        seconds: 0.5,
    };
    Row {
        payloads: 85_184,
        payloads_total: 85_184,
        states: 0,
        verdict: RowVerdict::Equivalent,
        proof: Some(proof),
        ..Row::of_case(name, form, arch)
    }
}

/// Fourteen mutants, of which one survives.
pub(crate) fn mutation() -> Mutation {
    let row = |side, mutants, killed, equivalent, survived| MutationRow {
        name: "rotate".to_owned(),
        form: "imm64".to_owned(),
        arch: "x86_64".to_owned(),
        side,
        mutants,
        killed,
        equivalent,
        survived,
        ..MutationRow::default()
    };
    let survivor = Mutant {
        name: "rotate".to_owned(),
        form: "imm64".to_owned(),
        arch: "x86_64".to_owned(),
        side: MutatedSide::Emit,
        operator: "immediate".to_owned(),
        change: "1: rol rdx, 13 -> rol rdx, 77".to_owned(),
        payload: "0x8d13".to_owned(),
        killed_by: None,
        detection_ms: None,
        undecided: Some("the solver's time was over".to_owned()),
    };
    let slowest = Mutant {
        side: MutatedSide::Proof,
        operator: "drop".to_owned(),
        change: "4: r3 |= r5 -> nothing".to_owned(),
        payload: "0xd513".to_owned(),
        killed_by: Some("register on unicorn-x86_64".to_owned()),
        detection_ms: Some(1200.0),
        undecided: None,
        ..survivor.clone()
    };
    Mutation {
        rows: vec![row(MutatedSide::Emit, 8, 5, 2, 1), row(MutatedSide::Proof, 6, 6, 0, 0)],
        survivors: vec![survivor],
        slowest: vec![slowest],
        detection_ms: vec![0.4, 0.5, 0.5, 0.9, 1.5, 2.0, 2.5, 8.0, 15.0, 40.0, 1200.0],
        ..Mutation::default()
    }
}

/// A list of known divergences that has [`register_divergence`] in [`divergent`]'s row.
pub(crate) const KNOWN: &str = r#"
[[known]]
operation = "rotate"
form = "imm64"
arch = "x86_64"
kind = "register"
reason = "fixed soon"
expires = "2027-01-31"
"#;
