// SPDX-License-Identifier: GPL-2.0-or-later
//! A whole record as text.

use super::{Style, divergence, mutation, proof_header, proof_line, proof_summary, row_line, summary};
use crate::record::{Record, Row};

/// A record as text: a line for each row, with what the prover says of rows that it alone has looked at in a table of their
/// own, then the divergences, what the run came to, and what became of planted faults.
pub fn report(record: &Record, style: Style) -> String {
    let (proved, checked): (Vec<&Row>, Vec<&Row>) = record.ops.iter().partition(|row| row.is_proof_alone());
    let mut parts: Vec<String> = Vec::new();
    if !checked.is_empty() {
        parts.push(checked.iter().map(|row| row_line(row, style) + "\n").collect());
    }
    if !proved.is_empty() {
        let lines = proved.iter().map(|row| proof_line(row, style) + "\n");
        parts.push(std::iter::once(proof_header(style) + "\n").chain(lines).collect());
    }
    parts.extend(record.divergences().map(|(row, found)| divergence(found, row, style)));
    if !checked.is_empty() || (proved.is_empty() && record.mutation.is_none()) {
        parts.push(summary(record, style));
    }
    if !proved.is_empty() {
        parts.push(proof_summary(
            &Record { ops: proved.into_iter().cloned().collect(), ..record.clone() },
            style,
        ));
    }
    parts.extend(record.mutation.as_ref().map(|found| mutation::summary(found, style)));
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Divergence;
    use crate::samples::{divergent, mutation, proved, record, register_divergence, row};

    fn lines_of(record: &Record) -> Vec<String> {
        report(record, Style::default()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_check_reads_from_rows_to_summary() {
        let lines = lines_of(&record(vec![divergent(vec![register_divergence()]), row("a", "b", "aarch64")]));
        let at = |start: &str| lines.iter().position(|line| line.starts_with(start)).expect(start);
        let order =
            ["FAIL  rotate", "ok    a", "register divergence: rotate imm64", "1 row equivalent, 1 divergent"];
        assert!(order.map(at).is_sorted(), "{lines:#?}");
    }

    #[test]
    fn what_concerns_no_architecture_alone_is_told_once() {
        let of =
            |cause: Option<&str>| Divergence { cause: cause.map(str::to_owned), ..register_divergence() };
        let any = Some("any/shape/emit/proof");
        let first = divergent(vec![of(any), of(Some("x86_64/register/emit/r3")), of(None)]);
        let arm = |name: &str, causes: &[Option<&str>]| Row {
            divergences: causes.iter().map(|cause| of(*cause)).collect(),
            ..Row { name: name.to_owned(), arch: "aarch64".to_owned(), ..first.clone() }
        };
        let second = arm(&first.name, &[any, Some("aarch64/register/emit/r3"), None]);
        let other = arm("other", &[any]);
        let record = record(vec![first.clone(), second, other]);
        let told = record.divergences().map(|(row, found)| (&*row.name, &*row.arch, found.cause.as_deref()));
        let (name, x86) = (&*first.name, &*first.arch);
        let expected = [
            (name, x86, any),
            (name, x86, Some("x86_64/register/emit/r3")),
            (name, x86, None),
            (name, "aarch64", Some("aarch64/register/emit/r3")),
            (name, "aarch64", None),
            ("other", "aarch64", any),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        let shown = lines_of(&record).iter().filter(|line| line.contains(" divergence: ")).count();
        assert_eq!(shown, expected.len());
    }

    #[test]
    fn rows_of_a_prover_have_a_table_of_their_own() {
        let lines = lines_of(&record(vec![row("a", "b", "aarch64"), proved("rotate", "imm64", "x86_64")]));
        for start in
            ["ok    a ", "proved       rotate ", "2 rows equivalent, 0 divergent", "1 row proved, 0 refuted"]
        {
            assert!(lines.iter().any(|line| line.starts_with(start)), "{start} is not in {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.starts_with("ok    rotate")), "{lines:#?}");
    }

    #[test]
    fn a_record_of_mutants_alone_has_no_summary_of_rows() {
        let lines = lines_of(&Record { mutation: Some(mutation()), ..record(Vec::new()) });
        assert!(lines[0].starts_with("11 of 12 mutants killed"), "{lines:#?}");
        assert!(lines_of(&record(Vec::new()))[0].starts_with("0 rows equivalent"));
    }
}
