// SPDX-License-Identifier: GPL-2.0-or-later
//! A case as a cargo test.

use kop_ops::Catalog;

use super::{Reproducer, comment};

pub(super) fn text(reproducer: &Reproducer) -> String {
    let case = reproducer.case;
    let mut lines = reproducer.description();
    lines.extend([
        String::new(),
        "To be pasted into a test of a crate with this in its Cargo.toml:".to_owned(),
        "  [dev-dependencies]".to_owned(),
        "  kop-harness = { path = \"..\" }".to_owned(),
    ]);
    let catalog = if Catalog::einsn().get(&case.kop).is_ok() {
        "    let catalog = Catalog::einsn();\n".to_owned()
    } else {
        lines.push(format!(
            "Put the value that implements Kop for {:?} in the place of `Operation`.",
            case.kop
        ));
        "    let catalog = Catalog::with(&Operation);\n".to_owned()
    };
    let (name, literal) = (identifier(reproducer), literal(&case.to_string()));
    let head = comment(&lines);
    format!(
        r#"{head}use kop_harness::ops::Catalog;
use kop_harness::{{Case, Rig, replay, selection}};

#[test]
fn {name}() {{
{catalog}    let case = Case::parse(CASE, &catalog).expect("the text is a case");
    let mut rig = Rig::new(&selection::available().0).expect("the engines start");
    let findings = replay(&mut rig, &catalog, &case).expect("the catalog has the operation").findings;
    assert!(findings.is_empty(), "{{findings:#?}}");
}}

const CASE: &str = {literal};
"#
    )
}

/// A function's name from operation, form and payload.
fn identifier(reproducer: &Reproducer) -> String {
    let case = reproducer.case;
    let name = format!("regression_{}_{}_{:#x}", case.kop, case.form.name, case.payload);
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// A string literal that reads as the text does: raw, with as many `#` as it takes.
fn literal(text: &str) -> String {
    if text.contains('\r') {
        return format!("{text:?}");
    }
    let longest = text.split('"').skip(1).map(|rest| rest.len() - rest.trim_start_matches('#').len()).max();
    let hashes = "#".repeat(longest.map_or(0, |longest| longest + 1));
    format!("r{hashes}\"{text}\"{hashes}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Parts, ROTATE};
    use super::*;
    use crate::case::Case;

    #[test]
    fn the_test_holds_the_case() {
        let parts = Parts::of(ROTATE);
        let text = parts.reproducer().rust_test();
        let (_, rest) = text.split_once("const CASE: &str = r\"").expect("a raw literal");
        let (case, _) = rest.split_once("\";\n").expect("its end");
        assert_eq!(Case::parse(case, &Catalog::einsn()).as_ref(), Ok(&parts.case));
        for expected in [
            "// rotate by zero forgot to zero-extend \\.\n// rotate imm32 dst=r6 src=r3 tmp=r2 amount=13\n",
            "//   w2 >>= 19\n",
            "// x86_64, features bmi2:\n",
            "// aarch64, features none:\n",
            "fn regression_rotate_imm32_0xd236() {\n    let catalog = Catalog::einsn();\n",
        ] {
            assert!(text.contains(expected), "{expected} is missing from\n{text}");
        }
    }

    #[test]
    fn an_operation_of_ones_own_is_to_be_named() {
        let mut parts = Parts::of(ROTATE);
        parts.case.kop = "mine".to_owned();
        let text = parts.reproducer().rust_test();
        assert!(
            text.contains("Catalog::with(&Operation)") && text.contains("implements Kop for \"mine\""),
            "{text}"
        );
    }

    #[test]
    fn literals_enclose_any_text() {
        for (text, expected) in [
            ("plain \\n", "r\"plain \\n\""),
            ("a \"b\"", "r#\"a \"b\"\"#"),
            ("a \"# \"### #####", "r####\"a \"# \"### #####\"####"),
            ("a\rb\"", "\"a\\rb\\\"\""),
        ] {
            assert_eq!(literal(text), expected);
        }
    }
}
