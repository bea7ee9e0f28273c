// SPDX-License-Identifier: GPL-2.0-or-later
//! A finding as a report shows it: minimised, saved, with both listings and the command that reproduces it.

use std::collections::BTreeMap;
use std::path::Path;

use kop_emulators::inspect;
use kop_ops::{Arch, EmitRequest, Features, Form, Kop, Pass};
use kop_reports::{Divergence, ListingLine};

use crate::case::{self, Case};
use crate::finding::Finding;
use crate::minimise::minimise;
use crate::rig::Rig;
use crate::subject::Scope;

/// Payload spaces up to this size are counted exactly.
const COUNTED: u64 = 200_000;

/// How many payloads the form has; the number of operand combinations where there are too many to count.
pub fn payloads_total(kop: &dyn Kop, form: &Form) -> u64 {
    let combinations = form.layout.combinations();
    if combinations > COUNTED {
        return combinations;
    }
    crate::generate::every_operands(kop, form).count() as u64
}

/// The case of a finding as it was found.
pub fn raw_case(kop: &dyn Kop, form: &Form, finding: &Finding) -> Case {
    let zeroed = kop_ops::State::zeroed(kop_ops::Slot::default());
    let (state, garbage) = finding.run.as_ref().map_or((&zeroed, 0), |(state, garbage)| (state, *garbage));
    let mut case = Case::new(kop, form, finding.payload, state);
    case.garbage = garbage;
    label(&mut case, finding);
    if finding.run.is_some() {
        case.comment.push(case::AS_FOUND.to_owned());
    }
    case
}

fn label(case: &mut Case, finding: &Finding) {
    case.comment = vec![
        finding.message.clone(),
        format!("kind {}, speaks against: {} ({})", finding.kind, finding.blame, finding.reason),
    ];
    case.arch = finding.arch;
    case.features = finding.arch.map(|_| finding.features);
}

/// Writes a finding's case into `dir`, before anything else is done with it.
///
/// # Errors
/// The path and what the operating system says.
pub fn save_raw(dir: &Path, kop: &dyn Kop, form: &Form, finding: &Finding) -> Result<(), String> {
    let case = raw_case(kop, form, finding);
    case::save(dir, &case, &finding.cause()).map(drop).map_err(|error| format!("{}: {error}", dir.display()))
}

/// The divergence of a finding in the row of `arch`.
///
/// # Errors
/// Why the minimised case cannot be written.
#[expect(clippy::too_many_arguments, reason = "a finding, where it belongs, and what to do with it")]
pub fn divergence(
    rig: &mut Rig,
    kop: &dyn Kop,
    form: &Form,
    finding: &Finding,
    occurrences: u64,
    arch: Arch,
    scope: &Scope,
    save: Option<&Path>,
) -> Result<Divergence, String> {
    let (case, mut shown) = minimised(rig, kop, form, finding, scope, &|| false).expect("nobody stops it");
    let path = match save {
        None => None,
        Some(dir) => Some(
            case::save_minimised(dir, &case, &finding.cause())
                .map_err(|error| format!("{}: {error}", dir.display()))?,
        ),
    };
    // What is told of the features is what the code was emitted for when it was found.
    shown.features = finding.features;
    Ok(of_case(kop, form, &shown, &case, path.as_deref(), occurrences, arch))
}

/// The smallest case of a finding, and the finding as that shows it: what was found, where it cannot be made smaller. `None` when
/// `stop` became true before the end.
pub fn minimised(
    rig: &mut Rig,
    kop: &dyn Kop,
    form: &Form,
    finding: &Finding,
    scope: &Scope,
    stop: &dyn Fn() -> bool,
) -> Option<(Case, Finding)> {
    let Some(minimal) = minimise(rig, kop, form, finding, scope, stop).ok()? else {
        return Some((raw_case(kop, form, finding), finding.clone()));
    };
    let mut case = Case::new(kop, form, minimal.payload, &minimal.state);
    case.garbage = minimal.garbage;
    label(&mut case, &minimal.finding);
    Some((case, minimal.finding))
}

/// The divergence that a case shows in the row of `arch`, when it is in the file `path`.
pub fn of_case(
    kop: &dyn Kop,
    form: &Form,
    finding: &Finding,
    case: &Case,
    path: Option<&Path>,
    occurrences: u64,
    arch: Arch,
) -> Divergence {
    let operands = case.operands().map_or_else(
        |_| BTreeMap::new(),
        |operands| {
            let fields = form.layout.fields().iter().zip(operands.values());
            fields.map(|(field, &value)| (field.name.to_string(), field.show(value))).collect()
        },
    );
    let reproduce = path.map(|path| {
        let path = shell_word(&path.display().to_string());
        format!("kop repro {path}{}", arguments(kop))
    });
    Divergence {
        kind: finding.kind,
        engine: finding.engine.clone(),
        payload: format!("{:#x}", case.payload),
        operands,
        first_difference: finding.difference.clone(),
        case: path.map(|path| path.display().to_string()),
        message: finding.message.clone(),
        blame: finding.blame.clone(),
        blame_reason: finding.reason.clone(),
        cause: Some(finding.cause()),
        features: finding.features.to_string(),
        occurrences,
        reproduce,
        minimised: finding.run.as_ref().map(|_| case.to_string()),
        sides: finding.sides.clone(),
        proof: proof_listing(kop, form, case.payload),
        native: native_listing(kop, form, case.payload, arch, finding.features),
        known: None,
    }
}

/// What a command needs to find the operation again, each word after a space and quoted for a shell where that is needed:
/// ` --module rotate.c`; empty for the catalog's own.
pub fn arguments(kop: &dyn Kop) -> String {
    kop.arguments().iter().map(|word| format!(" {}", shell_word(word))).collect()
}

/// A word as a shell reads it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The proof sequence, an instruction a line, or why there is none.
pub fn proof_listing(kop: &dyn Kop, form: &Form, payload: u64) -> Vec<String> {
    match kop.instantiate(form, payload) {
        Ok(proof) => proof.iter().map(ToString::to_string).collect(),
        Err(reject) => vec![format!("rejected: {reject}")],
    }
}

/// The native code with its bytes; empty when there is none.
pub fn native_listing(
    kop: &dyn Kop,
    form: &Form,
    payload: u64,
    arch: Arch,
    features: Features,
) -> Vec<ListingLine> {
    let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
    let Ok(emission) = kop.emit(form, &request) else { return Vec::new() };
    inspect::listing(arch, &emission.bytes)
        .into_iter()
        .map(|line| ListingLine {
            offset: line.offset,
            bytes: line.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
            text: line.text,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        for (word, expected) in [
            ("rotate.c", "rotate.c"),
            ("--module", "--module"),
            ("dead=payload[8:11]", "'dead=payload[8:11]'"),
            ("my op.c", "'my op.c'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), expected);
        }
    }
}
