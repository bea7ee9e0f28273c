// SPDX-License-Identifier: GPL-2.0-or-later
//! The oracle of the operations' targets: the campaign's, on one payload, with engines that live as long as the process.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kop_emulators::engines::EngineKind;
use kop_emulators::rbpf::RbpfEngine;
use kop_ops::{Arch, Kop};

use super::feedback::{self, Feedback};
use super::foreign;
use super::input::{Input, decode};
use crate::case;
use crate::describe;
use crate::finding::Finding;
use crate::rig::Rig;
use crate::subject::Scope;

/// One thread's engines.
struct Engines {
    rig: Rig,
    /// For the path through the proof.
    proofs: RbpfEngine,
}

impl Engines {
    fn new() -> Self {
        static HERE: LazyLock<Vec<&EngineKind>> = LazyLock::new(|| crate::selection::available().0);
        let rig = Rig::new(&HERE).unwrap_or_else(|reason| panic!("{reason}"));
        Self { rig, proofs: RbpfEngine::new().unwrap_or_else(|reason| panic!("{reason}")) }
    }
}

thread_local! {
    static ENGINES: RefCell<Engines> = RefCell::new(Engines::new());
}

/// One input to check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check<'a> {
    /// The name of the target.
    pub target: &'a str,
    /// The input.
    pub bytes: &'a [u8],
    /// Where findings are written.
    pub findings: &'a Path,
}

impl Check<'_> {
    /// Checks the payload and the states that the bytes mean to a target about `kops`.
    ///
    /// # Panics
    /// With a report when something diverges.
    pub fn run(self, kops: &[&dyn Kop], feedback: Feedback) {
        let input = decode(kops, self.bytes);
        let mut findings = input.prepared.findings.clone();
        ENGINES.with_borrow_mut(|engines| {
            if let Some(load) = input.load() {
                let path = engines.proofs.path(&load.subject.proof, &input.state());
                feedback::tell(load.subject, &input, path.as_deref(), feedback);
                let outcome = engines.rig.run(&input.memory, &[load]);
                findings.extend(outcome.findings.into_iter().map(|(finding, _)| finding));
            }
            if !findings.is_empty() {
                self.report(&mut engines.rig, kops, &input, &findings);
            }
        });
    }

    /// Writes the findings down, then says what they are, then panics.
    fn report(self, rig: &mut Rig, kops: &[&dyn Kop], input: &Input, findings: &[Finding]) -> ! {
        let saved: Vec<Option<PathBuf>> = findings.iter().map(|finding| self.save(input, finding)).collect();
        for (finding, saved) in findings.iter().zip(&saved) {
            let directory = saved.as_ref().map(|_| self.findings);
            eprintln!("{}", explain(rig, input, finding, directory));
            if let Some(case) = saved {
                let bytes = case.with_extension("bytes");
                eprintln!("  shorten    {}", self.again("tmin", kops, &bytes));
                eprintln!("  run again  {}\n", self.again("run", kops, &bytes));
            }
        }
        panic!("{} divergence(s), the first: {}", findings.len(), findings[0].message);
    }

    /// The command that gives the bytes to the target again.
    fn again(self, command: &str, kops: &[&dyn Kop], bytes: &Path) -> String {
        let environment = foreign::environment_of(kops);
        format!("{environment}cargo fuzz {command} --sanitizer none {} {}", self.target, bytes.display())
    }

    /// Writes the case as found, and the bytes beside it; returns the path of the case.
    fn save(self, input: &Input, finding: &Finding) -> Option<PathBuf> {
        let case = describe::raw_case(input.kop, input.form, finding);
        let saved = case::save(self.findings, &case, &finding.cause()).and_then(|path| {
            fs::write(path.with_extension("bytes"), self.bytes)?;
            Ok(path)
        });
        saved.inspect_err(|error| eprintln!("kop: the finding could not be saved: {error}")).ok()
    }
}

/// The divergence as `kop check` reports it, minimised; the minimised case takes the place of the saved one.
fn explain(rig: &mut Rig, input: &Input, finding: &Finding, directory: Option<&Path>) -> String {
    let arch = finding.arch.unwrap_or(Arch::X86_64);
    let scope = Scope::default();
    let found = match describe::divergence(rig, input.kop, input.form, finding, 1, arch, &scope, directory) {
        Ok(found) => found,
        Err(error) => return format!("{} (not minimised: {error})", finding.message),
    };
    let row = kop_reports::Row::of_case(input.kop.name(), &input.form.name, arch.name());
    kop_reports::divergence(&found, &row, kop_reports::Style { color: false, width: 110 })
}
