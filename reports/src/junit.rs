// SPDX-License-Identifier: GPL-2.0-or-later
//! A record as JUnit XML: an operation is a suite, a row a case.
//!
//! A divergent row is a failure with the whole text of its divergences; an untested one is skipped with the reason, as is one
//! whose divergences are all known. Mutants are a suite of their own, with a failure where one survived.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::mutation::{Mutation, MutationRow};
use crate::record::{Record, Row};
use crate::standing::Standing;
use crate::text::{Style, divergence, verbose_classes};
use crate::words::{number, plural};

/// The record as JUnit XML, in the dialect of Jenkins.
///
/// # Panics
/// Never: texts are made fit for XML, and memory can be written.
pub fn junit(record: &Record) -> String {
    let mut report = Report::new("kop");
    report.set_time(seconds(record.elapsed_s));
    let mut suites: Vec<TestSuite> = Vec::new();
    for row in &record.ops {
        let at = match suites.iter().position(|suite| suite.name.as_str() == row.name) {
            Some(at) => at,
            None => {
                suites.push(suite(&row.name, record));
                suites.len() - 1
            }
        };
        suites[at].add_test_case(case(row));
    }
    if let Some(mutation) = &record.mutation {
        let mut mutants = suite("mutants", record);
        mutants.add_test_cases(mutation.rows.iter().map(|row| mutant_case(row, mutation)));
        suites.push(mutants);
    }
    report.add_test_suites(suites);
    let mut xml = without_total(&report.to_string().expect("writing to memory succeeds"));
    if !xml.ends_with('\n') {
        xml.push('\n');
    }
    xml
}

/// The XML without the number of skipped cases of all suites, which Jenkins' schema does not know; suites keep theirs.
fn without_total(xml: &str) -> String {
    let start = xml.find("<testsuites ").unwrap_or(0);
    let end = xml[start..].find('>').map_or(xml.len(), |end| start + end);
    match xml[start..end].find(" skipped=\"") {
        Some(from) => {
            let from = start + from;
            let value = from + " skipped=\"".len();
            let after = xml[value..].find('"').map_or(xml.len(), |quote| value + quote + 1);
            format!("{}{}", &xml[..from], &xml[after..])
        }
        None => xml.to_owned(),
    }
}

fn suite(name: &str, record: &Record) -> TestSuite {
    let engines: Vec<&str> =
        record.engines.iter().filter(|engine| engine.available).map(|engine| engine.name.as_str()).collect();
    let mut suite = TestSuite::new(name);
    suite.add_property(Property::new("seed", record.seed.to_string()));
    suite.add_property(Property::new("engines", engines.join(",")));
    suite
}

fn case(row: &Row) -> TestCase {
    let mut case = TestCase::new(format!("{} {}", row.form, row.arch), status(row));
    case.set_classname(format!("kop.{}", row.name));
    if let Some(proof) = &row.proof {
        case.set_time(seconds(proof.seconds));
    }
    let mut output = if row.is_proof_alone() { String::new() } else { verbose_classes(row) };
    for warning in &row.warnings {
        output += &format!("warning: {warning}\n");
    }
    if !output.is_empty() {
        case.set_system_out(output);
    }
    case
}

fn status(row: &Row) -> TestCaseStatus {
    match row.standing() {
        Standing::Equivalent => TestCaseStatus::success(),
        Standing::Untested => skipped(row.untested.as_deref().unwrap_or("no reason was recorded")),
        Standing::Known => {
            let known = row.divergences.iter().filter_map(|found| found.known.as_ref());
            let known: Vec<String> =
                known.map(|known| format!("known until {}: {}", known.expires, known.reason)).collect();
            let mut status = skipped(&known.join("; "));
            status.set_description(whole_text(row));
            status
        }
        Standing::Divergent => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let new = row.divergences.iter().find(|found| found.known.is_none());
            status.set_type(new.map_or("divergence", |found| found.kind.name()));
            status.set_message(new.map_or("divergent", |found| found.message.as_str()));
            status.set_description(whole_text(row));
            status
        }
    }
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

fn whole_text(row: &Row) -> String {
    let blocks = row.divergences.iter().map(|found| divergence(found, row, Style::default()));
    blocks.collect::<Vec<_>>().join("\n")
}

fn mutant_case(row: &MutationRow, mutation: &Mutation) -> TestCase {
    let survivors = mutation.survivors.iter().filter(|mutant| {
        (&mutant.name, &mutant.form, &mutant.arch, mutant.side) == (&row.name, &row.form, &row.arch, row.side)
    });
    let survivors: Vec<String> = survivors
        .map(|mutant| format!("{}: {}, payload {}", mutant.operator, mutant.change, mutant.payload))
        .collect();
    let title = row.title();
    let drop = mutation.dropped.iter().find_map(|line| line.strip_prefix(&title)?.strip_prefix(": "));
    let failure = |kind: &str, message: String, text: String| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type(kind).set_message(message).set_description(text);
        status
    };
    let status = match drop {
        _ if row.survived > 0 => {
            failure("survivor", format!("{} survived", plural(row.survived, "mutant")), survivors.join("\n"))
        }
        Some(drop) => failure("score", format!("the mutation score dropped: {drop}"), drop.to_owned()),
        None => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(format!("{} {} {}", row.form, row.arch, row.side.name()), status);
    case.set_classname(format!("kop.mutants.{}", row.name));
    let (killed, equivalent) = (number(row.killed), number(row.equivalent));
    case.set_system_out(format!(
        "{}: {killed} killed, {equivalent} equivalent, {} left out",
        plural(row.mutants, "mutant"),
        number(row.left_out)
    ));
    case
}

/// A time as JUnit has it; what is no time is none.
fn seconds(seconds: f64) -> std::time::Duration {
    std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::{Date, KnownList};
    use crate::samples::{KNOWN, divergent, mutation, record, register_divergence, row, untested};

    fn parsed(record: &Record) -> Report {
        Report::deserialize_from_str(&junit(record)).expect("well-formed")
    }

    #[test]
    fn a_row_is_a_case_of_its_operation() {
        let rows = vec![
            divergent(vec![register_divergence()]),
            row("select", "test64", "x86_64"),
            untested("rotate", "imm32", "no engine here"),
        ];
        let report = parsed(&record(rows));
        let counts: Vec<_> = report
            .test_suites
            .iter()
            .map(|suite| (suite.name.as_str(), suite.tests, suite.failures, suite.skipped))
            .collect();
        assert_eq!(counts, [("rotate", 2, 1, 1), ("select", 1, 0, 0)]);
        assert_eq!((report.tests, report.failures, report.errors), (3, 1, 0));
        let TestCaseStatus::NonSuccess { message, ty, description, .. } =
            &report.test_suites[0].test_cases[0].status
        else {
            panic!("a failure");
        };
        assert_eq!(message.as_ref().map(|text| text.as_str()), Some("r3 differs after the site"));
        assert_eq!(ty.as_ref().map(|text| text.as_str()), Some("register"));
        let text = description.as_ref().expect("the text").as_str();
        for part in
            ["expected 0x2000, found 0x1000", "rol rdx, 12", "kop repro findings/rotate/register-1f3a.kop"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let TestCaseStatus::Skipped { message, .. } = &report.test_suites[0].test_cases[1].status else {
            panic!("skipped");
        };
        assert_eq!(message.as_ref().map(|text| text.as_str()), Some("no engine here"));
    }

    #[test]
    fn what_is_known_is_skipped_with_its_reason() {
        let mut record = record(vec![divergent(vec![register_divergence()])]);
        let today = Date::try_from("2026-12-01".to_owned()).expect("a day");
        KnownList::parse(KNOWN).expect("a list").apply(&mut record, today);
        let report = parsed(&record);
        assert_eq!((report.tests, report.failures), (1, 0));
        assert!(junit(&record).contains("known until 2027-01-31: fixed soon"));
    }

    #[test]
    fn a_survivor_fails_the_case_of_its_row() {
        let report = parsed(&Record { mutation: Some(mutation()), ..record(Vec::new()) });
        let suite = &report.test_suites[0];
        assert_eq!((suite.name.as_str(), suite.tests, suite.failures), ("mutants", 2, 1));
    }

    #[test]
    fn what_xml_cannot_hold_is_left_out() {
        let xml = junit(&record(vec![row("a<b>&\u{1}\u{1b}[31m\"]]>", "f", "none")]));
        assert!(!xml.contains(['\u{1}', '\u{1b}']) && xml.contains("a&lt;b&gt;&amp;"), "{xml}");
        Report::deserialize_from_str(&xml).expect("well-formed");
    }
}
