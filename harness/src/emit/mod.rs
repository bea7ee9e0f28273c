// SPDX-License-Identifier: GPL-2.0-or-later
//! Runnable reproducers of a case: a Rust test for a crate that depends on this one, and a C program that depends on
//! nothing.

mod c;
mod rust_test;

use kop_emulators::inspect;
use kop_ops::ebpf::{Insn, RegSet};
use kop_ops::{Fault, State};

use crate::case::Case;
use crate::subject::{Variant, hex};

/// A case with everything that a reproducer of it needs.
#[derive(Clone, Copy, Debug)]
pub struct Reproducer<'a> {
    /// The case.
    pub case: &'a Case,
    /// The native codes to run.
    pub code: &'a [Variant],
    /// The proof sequence; empty when the payload has none.
    pub proof: &'a [Insn],
    /// The registers that the contract declares dead, which are not compared.
    pub dead: RegSet,
    /// The state after the proof sequence, in any slot.
    pub expected: &'a State,
    /// The fault that ended the proof sequence; registers and memory are not compared then.
    pub fault: Option<Fault>,
}

impl Reproducer<'_> {
    /// A cargo test, to be pasted into a crate that depends on `kop-harness`: it replays the case, written out in it, and
    /// fails on a divergence.
    pub fn rust_test(&self) -> String {
        rust_test::text(self)
    }

    /// A C program for Linux on x86-64 and AArch64, as far as there is code: it runs every emit that the CPU has the
    /// features for and prints registers before, after and as expected.
    ///
    /// Its exit status is 0 when all agree, 1 on a difference, and 3 when it could not run.
    pub fn c(&self) -> String {
        c::text(self)
    }

    /// What both say about the case in comments, line by line.
    fn description(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.case.comment.iter().flat_map(|text| text.lines().map(plain)).collect();
        lines.push(plain(&self.case.title()));
        lines.push(String::new());
        lines.push("proof sequence:".to_owned());
        lines.extend(self.proof.iter().map(|insn| format!("  {insn}")));
        if self.proof.is_empty() {
            lines.push("  none, the payload is refused".to_owned());
        }
        for Variant { features, code, .. } in self.code {
            lines.push(format!("{}, features {features}:", code.arch));
            let listing = inspect::listing(code.arch, &code.bytes);
            let width = listing.iter().map(|line| 3 * line.bytes.len()).max().unwrap_or(0);
            lines.extend(
                listing.iter().map(|line| plain(&format!("  {:width$} {}", hex(&line.bytes), line.text))),
            );
        }
        lines
    }
}

/// Text of other people as a line of a comment: without control characters, and without a backslash at its end, which
/// would continue a comment in C.
fn plain(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.trim_end().len());
    if line.ends_with('\\') {
        line.push('.');
    }
    line
}

/// Lines as a comment of `//`, which C and Rust share.
fn comment(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", format!("// {line}").trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::rebase;
    use crate::subject::{Scope, prepare};
    use kop_ops::choices::{Choices, Seeded};
    use kop_ops::{Catalog, Features, Slot};

    /// A reproducer's parts, with the proof's effect taken from the model.
    pub(super) struct Parts {
        pub case: Case,
        pub code: Vec<Variant>,
        pub proof: Vec<Insn>,
        pub dead: RegSet,
        pub expected: State,
        pub fault: Option<Fault>,
    }

    impl Parts {
        pub fn of(text: &str) -> Self {
            let catalog = Catalog::einsn();
            let case = Case::parse(text, &catalog).expect("a valid case");
            let kop = catalog.get(&case.kop).expect("known");
            let mut expected = rebase(&case.state, Slot::of_batch(3));
            let site = case.site(Features::NONE).expect("decodes");
            let fault = kop.model(&site, &mut expected).expect("has a model").err();
            let subject =
                prepare(kop, &case.form, case.payload, &Scope::default()).subject.expect("admitted");
            let wanted = |variant: &Variant| {
                case.is_about(variant.code.arch)
                    && case.features.is_none_or(|features| features == variant.features)
            };
            let code = subject.variants.iter().filter(|variant| wanted(variant)).cloned().collect();
            let (proof, dead) = (subject.proof, subject.dead);
            Self { code, proof, dead, expected, fault, case }
        }

        pub fn reproducer(&self) -> Reproducer<'_> {
            Reproducer {
                case: &self.case,
                code: &self.code,
                proof: &self.proof,
                dead: self.dead,
                expected: &self.expected,
                fault: self.fault,
            }
        }
    }

    pub(super) const ROTATE: &str = "# rotate by zero forgot to zero-extend \\\nkop-case 1\noperation rotate\nform imm32\n\
        operand dst r6\noperand src r3\noperand tmp r2\noperand amount 13\nr2 = 5\nr3 = 0x123456789abcdef0\n\
        r7 = window+0x10\nwindow+0x10: 01 02 03 ff\nstack-0x8: 00 11\ngarbage 9\n";

    #[test]
    fn comments_cannot_be_broken_out_of() {
        assert_eq!(plain("a\u{1b}[31m\rb\t \\ "), "a [31m b  \\.");
        assert_eq!(comment(&[String::new(), "x".to_owned()]), "//\n// x\n");
        let mut choices = Seeded::new(5);
        for _ in 0..1_000 {
            let text: String =
                (0..choices.below(6)).map(|_| *choices.pick(&['\\', ' ', '\n', '\r', 'x', '?'])).collect();
            let line = plain(&text);
            assert!(!line.ends_with('\\') && !line.contains(['\n', '\r']), "{line:?}");
        }
    }
}
