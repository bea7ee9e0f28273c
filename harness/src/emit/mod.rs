// SPDX-License-Identifier: GPL-2.0-or-later
//! Runnable reproducers of a case: a Rust test for a crate that depends on this one, and a C program that depends on
//! nothing.

mod c;
mod rust_test;

use kop_ops::ebpf::Insn;
use kop_ops::{Arch, Contract, Fault, Features, State};

use crate::case::Case;

/// A case with everything that a reproducer of it needs.
#[derive(Clone, Copy, Debug)]
pub struct Reproducer<'a> {
    /// The case.
    pub case: &'a Case,
    /// The native code to run: every distinct emit with the features of its CPU.
    pub code: &'a [(Arch, Features, Vec<u8>)],
    /// The proof sequence; empty when the payload has none.
    pub proof: &'a [Insn],
    /// The site's contract.
    pub contract: &'a Contract,
    /// The state after the proof sequence, in any slot.
    pub expected: &'a State,
    /// The fault that ends the proof sequence instead.
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
        for (arch, features, code) in self.code {
            lines.push(format!("{arch}, features {features}:"));
            for row in code.chunks(16) {
                let bytes: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
                lines.push(format!("  {}", bytes.join(" ")));
            }
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
    use kop_ops::choices::{Choices, Seeded};
    use kop_ops::{Catalog, EmitRequest, Kop, Pass, Slot};

    /// A reproducer's parts, with the proof's effect taken from the model.
    pub(super) struct Parts {
        pub case: Case,
        pub code: Vec<(Arch, Features, Vec<u8>)>,
        pub proof: Vec<Insn>,
        pub contract: Contract,
        pub expected: State,
        pub fault: Option<Fault>,
    }

    impl Parts {
        pub fn of(text: &str) -> Self {
            let catalog = Catalog::einsn();
            let case = Case::parse(text, &catalog).expect("a valid case");
            let kop = catalog.get(&case.kop).expect("known");
            let site = case.site(Features::NONE).expect("decodes");
            let mut expected = rebase(&case.state, Slot::of_batch(3));
            let fault = kop.model(&site, &mut expected).expect("has a model").err();
            let code = Arch::ALL
                .into_iter()
                .filter(|&arch| case.is_about(arch))
                .flat_map(|arch| emits(kop, &case, arch));
            Self {
                code: code.collect(),
                proof: kop.proof(&site).expect("admitted"),
                contract: kop.contract(&site),
                expected,
                fault,
                case,
            }
        }

        pub fn reproducer(&self) -> Reproducer<'_> {
            Reproducer {
                case: &self.case,
                code: &self.code,
                proof: &self.proof,
                contract: &self.contract,
                expected: &self.expected,
                fault: self.fault,
            }
        }
    }

    fn emits(kop: &dyn Kop, case: &Case, arch: Arch) -> Vec<(Arch, Features, Vec<u8>)> {
        let sets = case.features.map_or_else(|| kop.features(arch).subsets(), |features| vec![features]);
        let emit = |features| {
            let request =
                EmitRequest { arch, features, payload: case.payload, pass: Pass::Write, address: 0 };
            Some((arch, features, kop.emit(&case.form, &request).ok()?.bytes))
        };
        sets.into_iter().filter_map(emit).collect()
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
