// SPDX-License-Identifier: GPL-2.0-or-later
//! What a campaign divides its time among: forms of operations, kinds of programs, instructions in the JIT.

use std::collections::BTreeMap;
use std::fmt;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{Insn, forms};
use kop_ops::{Catalog, Form, Kop, ProgramKind};

use crate::behaviour::hash;
use crate::generate::{ProgramPlan, idioms, kind_of};
use crate::program::{Instructions, ProgramCase};

/// A subject.
#[derive(Clone)]
pub enum Subject<'a> {
    /// A form of an operation, on all architectures.
    Form(&'a dyn Kop, &'a Form),
    /// Random programs.
    Program(Profile),
    /// Programs of what an optimising compiler looks for.
    Idioms,
    /// One kind of instruction in the JIT, with the forms that it has.
    Instruction(String, Vec<Insn>),
    /// Random instructions of all kinds, pairs among them.
    Instructions,
}

/// A kind of random programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    kind: ProgramKind,
    /// An index of [`MANNERS`].
    manner: usize,
}

/// What else tells programs apart: sound ones, broken ones, and those with stretches that short branches do not reach over.
const MANNERS: [&str; 3] = ["sound", "wild", "long"];

/// What subjects of a kind share, for progress and for shares of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Operations.
    Operations,
    /// Programs.
    Programs,
    /// Instructions.
    Instructions,
}

/// The name of the rows of programs, and of the folder of their cases.
pub const PROGRAM: &str = "program";

/// The name of the rows of instructions, and of the folder of their cases.
pub const INSTRUCTION: &str = "jit_instruction";

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.label(), self.form())
    }
}

impl<'a> Subject<'a> {
    /// Every subject: the forms of the catalog, then, unless they are left out, programs and instructions.
    pub fn list(catalog: &Catalog<'a>, programs: bool) -> Vec<Self> {
        let mut subjects: Vec<Self> = catalog.forms().map(|(kop, form)| Subject::Form(kop, form)).collect();
        if programs {
            for kind in ProgramKind::ALL {
                let profiles = (0..MANNERS.len()).map(|manner| Profile { kind, manner });
                subjects.extend(profiles.map(Subject::Program));
            }
            subjects.push(Subject::Idioms);
            let mut kinds: BTreeMap<String, Vec<Insn>> = BTreeMap::new();
            for &form in forms::all() {
                // What is not tested alone has no program.
                if Instructions::of_form(form, &mut Seeded::new(0)).is_some() {
                    kinds.entry(kind_of(&form)).or_default().push(form);
                }
            }
            subjects.extend(kinds.into_iter().map(|(kind, forms)| Subject::Instruction(kind, forms)));
            subjects.push(Subject::Instructions);
        }
        subjects
    }

    /// The name of the row and of the bar.
    pub fn label(&self) -> &str {
        match self {
            Subject::Form(kop, _) => kop.name(),
            Subject::Program(_) | Subject::Idioms => PROGRAM,
            Subject::Instruction(..) | Subject::Instructions => INSTRUCTION,
        }
    }

    /// The form of the row.
    pub fn form(&self) -> String {
        match self {
            Subject::Form(_, form) => form.name.to_string(),
            Subject::Program(profile) => format!("{} {}", profile.kind.name(), MANNERS[profile.manner]),
            Subject::Idioms => "idioms".to_owned(),
            Subject::Instruction(kind, _) => kind.clone(),
            Subject::Instructions => "mixed".to_owned(),
        }
    }

    /// The group.
    pub fn group(&self) -> Group {
        match self {
            Subject::Form(..) => Group::Operations,
            Subject::Program(_) | Subject::Idioms => Group::Programs,
            Subject::Instruction(..) | Subject::Instructions => Group::Instructions,
        }
    }

    /// The seed of a round. Nothing else decides what the round does.
    pub fn seed(&self, seed: u64, round: u64) -> u64 {
        Seeded::derived(seed, &[hash([self.to_string().as_bytes()]), round]).bits()
    }

    /// The program with this number in a round; `None` for an operation.
    pub fn program(&self, catalog: &Catalog, seed: u64, number: u64) -> Option<ProgramCase> {
        let choices = &mut Seeded::derived(seed, &[number]);
        match self {
            Subject::Form(..) => None,
            Subject::Program(Profile { kind, manner }) => {
                let kinds = [*kind];
                let (wild, long) = (MANNERS[*manner] == "wild", MANNERS[*manner] == "long");
                Some(ProgramPlan { wild, long, ..ProgramPlan::new(catalog, &kinds) }.generate(choices))
            }
            Subject::Idioms => Some(idioms(choices)),
            Subject::Instruction(_, forms) => {
                Instructions::of_form(forms[number as usize % forms.len()], choices)
            }
            Subject::Instructions => Some(Instructions::random(choices)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn subjects_have_names_of_their_own() {
        let catalog = Catalog::einsn();
        let subjects = Subject::list(&catalog, true);
        let names: BTreeSet<String> = subjects.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), subjects.len());
        for name in [
            "rotate imm64",
            "program xdp wild",
            "program idioms",
            "jit_instruction mixed",
            "jit_instruction Ja",
        ] {
            assert!(names.contains(name), "{name} is missing of {names:?}");
        }
        let forms = subjects.iter().filter(|subject| subject.group() == Group::Operations).count();
        assert_eq!(forms, catalog.forms().count());
        assert_eq!(Subject::list(&catalog, false).len(), forms);
    }

    #[test]
    fn every_instruction_has_programs_and_a_round_is_what_its_seed_says() {
        let catalog = Catalog::einsn();
        for subject in Subject::list(&catalog, true) {
            let seeds: BTreeSet<u64> = (0..50).map(|round| subject.seed(7, round)).collect();
            assert_eq!(seeds.len(), 50, "{subject}");
            assert!(!seeds.contains(&subject.seed(8, 0)));
            if subject.group() != Group::Operations {
                let program = |round| subject.program(&catalog, subject.seed(7, round), 0);
                assert!(program(1).is_some(), "{subject}");
                assert_eq!(program(1), program(1));
                assert_ne!(program(1), program(2), "{subject}");
            }
        }
    }
}
