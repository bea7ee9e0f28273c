// SPDX-License-Identifier: GPL-2.0-or-later
//! Many comparisons, and what they come to by kinds of instructions.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::time::Duration;

use kop_ops::Arch;

use crate::compare::{Comparison, Effort, LIMIT, Outcome};
use crate::disagreements::{DISAGREEMENTS, Seen, UNDECIDED};
use crate::lift::LiftError;
use crate::samples::Sample;

/// What the solver gets for what is known to be too hard for it.
const SHORT: Duration = Duration::from_millis(100);

/// What comparisons came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many instructions are equal, by what it took.
    pub equal: BTreeMap<Effort, usize>,
    /// Mnemonics that SLEIGH has, and no semantics for.
    pub not_modelled: BTreeSet<String>,
    /// Operations that SLEIGH does not decode.
    pub not_decoded: BTreeSet<String>,
    /// Mnemonics and sizes of which something was not decided.
    pub undecided: BTreeSet<String>,
    /// The numbers of the disagreements that were seen, and how often.
    pub known: BTreeMap<usize, usize>,
    /// What is on no list.
    pub unexpected: Vec<String>,
}

/// Compares the samples on all cores, and sorts what does not agree.
///
/// # Errors
/// libsla's, of its specification.
///
/// # Panics
/// When a comparison does, which is a bug here.
pub fn run(arch: Arch, samples: &[Sample]) -> Result<Report, LiftError> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let reports: Vec<_> = std::thread::scope(|scope| {
        // libsla's models belong to one thread.
        let share = |worker| scope.spawn(move || some(arch, samples.iter().skip(worker).step_by(workers)));
        let threads: Vec<_> = (0..workers).map(share).collect();
        threads.into_iter().map(|thread| thread.join().expect("comparisons do not panic")).collect()
    });
    reports.into_iter().try_fold(Report::default(), |all, report| Ok(all.with(report?)))
}

fn some<'a>(arch: Arch, samples: impl Iterator<Item = &'a Sample>) -> Result<Report, LiftError> {
    let comparison = Comparison::new(arch)?;
    let mut report = Report::default();
    for sample in samples {
        report.add(arch, &comparison, sample);
    }
    Ok(report)
}

impl Report {
    /// Both reports in one.
    fn with(mut self, other: Report) -> Report {
        for (effort, count) in other.equal {
            *self.equal.entry(effort).or_default() += count;
        }
        for (number, count) in other.known {
            *self.known.entry(number).or_default() += count;
        }
        self.not_modelled.extend(other.not_modelled);
        self.not_decoded.extend(other.not_decoded);
        self.undecided.extend(other.undecided);
        self.unexpected.extend(other.unexpected);
        self
    }

    fn add(&mut self, arch: Arch, comparison: &Comparison, sample: &Sample) {
        // A lock is no operation of its own.
        let mnemonic = comparison.mnemonic(&sample.bytes).unwrap_or_default().replace(".lock", "");
        let sized = format!("{mnemonic} {}", size(&sample.shape));
        let is_hard = UNDECIDED.contains(&(arch, &sized));
        let limit = if is_hard { SHORT } else { LIMIT };
        match comparison.compare(&sample.bytes, &sample.insn, limit) {
            Outcome::Equal(effort) => *self.equal.entry(effort).or_default() += 1,
            Outcome::NotModelled(_) | Outcome::Exception => drop(self.not_modelled.insert(mnemonic)),
            Outcome::NotDecoded(_) => drop(self.not_decoded.insert(operation(&sample.shape))),
            Outcome::Undecided(_) => drop(self.undecided.insert(sized)),
            Outcome::Differs(differences) => {
                for difference in differences {
                    let seen = Seen {
                        arch,
                        bytes: &sample.bytes,
                        mnemonic: &mnemonic,
                        insn: &sample.insn,
                        difference: &difference,
                    };
                    match DISAGREEMENTS.iter().position(|known| known.arch == arch && (known.is)(&seen)) {
                        Some(number) => *self.known.entry(number).or_default() += 1,
                        None => self.unexpected.push(line(sample, &mnemonic, &format!("{difference:?}"))),
                    }
                }
            }
            other => self.unexpected.push(line(sample, &mnemonic, &format!("{other:?}"))),
        }
    }
}

/// The kind of an operation: its variant, and what it does.
fn operation(shape: &str) -> String {
    let end = shape.find([',', '}']).unwrap_or(shape.len());
    shape[..end]
        .replace("Vector(", "")
        .replace("Insn(", "")
        .replace(" { ", " ")
        .replace("op: ", "")
        .trim()
        .to_owned()
}

/// The size of the operands, as the semantics print it: `B1` to `B8`.
fn size(shape: &str) -> &str {
    shape.split_once("size: ").and_then(|(_, after)| after.get(..2)).unwrap_or_default()
}

fn line(sample: &Sample, mnemonic: &str, what: &str) -> String {
    let bytes: Vec<String> = sample.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{mnemonic} ({}) {}: {what}", bytes.join(" "), sample.insn.text())
}
