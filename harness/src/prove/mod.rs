// SPDX-License-Identifier: GPL-2.0-or-later
//! Proofs: for every form of every operation and both architectures, all payloads as formulas over all inputs. What the prover
//! refutes is shown on the engines.

mod cache;
mod confirm;
pub mod jit;
mod record;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kop_emulators::engines::EngineKind;
use kop_ops::choices::Seeded;
use kop_ops::ebpf::Insn;
use kop_ops::{Arch, Catalog, Emission, EmitRequest, Features, Form, Kop, Pass, Reject};
use kop_prover::certificate;
use kop_prover::statement::Options;
use kop_prover::sweep::{Certified, Claims, Inspection, Row, Tally};
use rayon::prelude::*;

use crate::check::{DEFAULT_STATES, Progress};
use crate::finding::Finding;
use crate::generate::{invalid_payload, plan, random_operands};
use crate::prepare;
use crate::rig::Rig;
use crate::subject::Scope;

pub use cache::Cache;
pub use record::record;

/// How a run of the prover is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Architectures and SIMD.
    pub scope: Scope,
    /// The payloads to prove; all of each form when there are none.
    pub payloads: Vec<u64>,
    /// The time that one formula may take.
    pub limit: Duration,
    /// Where certificates are written.
    pub certificates: Option<PathBuf>,
    /// Where it stands what earlier runs proved, and what this one proves is added.
    pub cache: Option<PathBuf>,
    /// The engines that counterexamples are shown on.
    pub engines: Vec<&'static EngineKind>,
    /// Threads.
    pub jobs: usize,
}

/// Spaces of more combinations than this are not covered whole where each payload has to be asked for in another process.
const MOST_ASKED: u64 = 1 << 20;

/// The states that a check runs: what the payloads of a space that is not covered whole are planned for.
const PLANNED_STATES: usize = DEFAULT_STATES;

/// How many payloads are proved between two looks at what became of them; few at first, as what is wrong often is so everywhere.
pub(crate) const FIRST_CHUNK: u64 = 64;
pub(crate) const MOST_PER_CHUNK: u64 = 1 << 14;

/// A row and what the prover says of it.
pub struct Proved<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// The architecture.
    pub arch: Arch,
    /// What is known.
    pub tally: Tally,
    /// Whether all payloads were to be looked at.
    pub whole: bool,
    /// A counterexample, as the engines show it, or that they do not.
    pub finding: Option<Finding>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Payloads that a form's layout or rules refuse, and that both sides have to refuse, per row: a sample of what is no number.
const INVALID_PAYLOADS: usize = 1000;

/// Which payloads are proved.
pub(crate) enum Space {
    /// All combinations of operands, and behind them these payloads, which are none.
    All(u64, Vec<u64>),
    /// These payloads.
    Some(Vec<u64>),
}

impl Space {
    pub(crate) fn of(kop: &dyn Kop, form: &Form, (arch, scope): (Arch, &Scope), wanted: &[u64]) -> Self {
        if !wanted.is_empty() {
            let features = scope.feature_sets(kop, arch);
            kop.expect(wanted, &features);
            let is_taken = |payload: &u64| is_accepted(kop, form, arch, &features, *payload);
            return Space::Some(wanted.iter().copied().filter(is_taken).collect());
        }
        let mut choices = Seeded::new(0);
        let invalid = |choices: &mut Seeded| {
            invalid_payload(form, choices, |choices| random_operands(kop, form, choices))
        };
        let mut others: Vec<u64> = (0..INVALID_PAYLOADS).map(|_| invalid(&mut choices)).collect();
        others.extend(kop.noted_payloads(form));
        others.sort_unstable();
        others.dedup();
        let combinations = form.layout.combinations();
        if kop.arguments().is_empty() || combinations <= MOST_ASKED {
            others.retain(|payload| form.layout.decode(*payload).is_err());
            return Space::All(combinations, others);
        }
        let planned = plan(kop, form, PLANNED_STATES, &mut choices);
        others.extend(planned.iter().map(|planned| form.layout.pack(&planned.operands)));
        others.sort_unstable();
        others.dedup();
        Space::Some(others)
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Space::All(combinations, others) => combinations + others.len() as u64,
            Space::Some(payloads) => payloads.len() as u64,
        }
    }

    /// The payloads from number `from` to number `to`.
    pub(crate) fn payloads(&self, form: &Form, from: u64, to: u64) -> Vec<u64> {
        match self {
            Space::All(combinations, others) => (from..to)
                .into_par_iter()
                .filter_map(|number| match number.checked_sub(*combinations) {
                    Some(other) => Some(others[other as usize]),
                    None => form.layout.encode(&form.layout.combination(number)).ok(),
                })
                .collect(),
            Space::Some(payloads) => payloads[from as usize..to as usize].to_vec(),
        }
    }
}

/// Whether either side accepts a payload.
fn is_accepted(kop: &dyn Kop, form: &Form, arch: Arch, features: &[Features], payload: u64) -> bool {
    let emits = |features: &Features| {
        let (pass, address) = (Pass::Write, prepare::ADDRESSES[0]);
        let request = EmitRequest { arch, features: *features, payload, pass, address };
        matches!(kop.emit(form, &request), Ok(_) | Err(Reject::NoEmit { .. }))
    };
    kop.instantiate(form, payload).is_ok() || features.iter().any(emits)
}

/// Looks at callbacks and code as a check does.
pub(crate) struct AsChecked;

impl Inspection for AsChecked {
    fn fault(
        &self,
        row: Row,
        payload: u64,
        proof: &[Insn],
        emissions: &[(Features, Emission)],
    ) -> Option<(Features, String)> {
        prepare::fault(row.kop, row.form, (row.arch, payload), proof, emissions)
    }
}

/// Proves the rows of a catalog, one after another, each on all threads.
///
/// `found` is called with what the engines make of each counterexample, at once.
///
/// # Errors
/// Why an engine cannot be made or a certificate cannot be written, in one line.
pub fn prove<'a>(
    catalog: &Catalog<'a>,
    settings: &Settings,
    progress: &dyn Progress,
    found: &dyn Fn(&dyn Kop, &Form, &Finding),
) -> Result<Vec<Proved<'a>>, String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(settings.jobs.max(1))
        // Terms are deep where code is long.
        .stack_size(STACK)
        .build()
        .map_err(|error| error.to_string())?;
    let options = Options { limit: settings.limit, keep: settings.certificates.is_some() };
    let claims = Claims::new(options);
    // What is only remembered has no certificate.
    let cache = settings.cache.as_ref().filter(|_| settings.certificates.is_none());
    if let Some(path) = cache {
        claims.recall(Cache::load(path).keys());
    }
    let rows: Vec<(&'a dyn Kop, &'a Form, Arch)> = catalog
        .forms()
        .flat_map(|(kop, form)| {
            settings.scope.archs_of(kop, form).into_iter().map(move |arch| (kop, form, arch))
        })
        .collect();
    let spaces: Vec<Space> = pool.install(|| {
        rows.par_iter()
            .map(|&(kop, form, arch)| Space::of(kop, form, (arch, &settings.scope), &settings.payloads))
            .collect()
    });
    progress.round(spaces.iter().map(|space| space.len() as usize).sum());
    let mut proved = Vec::new();
    let mut rig = None;
    for ((kop, form, arch), space) in rows.into_iter().zip(spaces) {
        // None of the payloads that were named is one of the form.
        if space.len() == 0 {
            continue;
        }
        let start = Instant::now();
        let at = Row { kop, form, arch };
        let mut sweep = Sweep { claims: &claims, row: at, space: &space, settings, progress, next: 0 };
        let mut tally = pool.install(|| sweep.go_on())?;
        let mut finding = None;
        for _ in 0..UNCONFIRMED_TRIED {
            let Some(failure) = tally.failure.clone() else { break };
            let rig = match &mut rig {
                Some(rig) => rig,
                None => rig.insert(Rig::new(&settings.engines)?),
            };
            let rest = tally.failures.iter().skip(1).map(|failure| claims.explain(at, failure));
            finding = confirm::finding(rig, at, std::iter::once(failure).chain(rest), &settings.scope);
            let is_confirmed = finding.as_ref().is_none_or(confirm::is_confirmed);
            if is_confirmed || sweep.is_over() {
                break;
            }
            let more = pool.install(|| sweep.go_on())?;
            let is_new = !more.failures.is_empty();
            tally = if is_new {
                more.and(Tally { failure: None, failures: Vec::new(), ..tally })
            } else {
                tally.and(more)
            };
            if !is_new {
                break;
            }
        }
        if let Some(finding) = &finding {
            found(kop, form, finding);
        }
        let whole = matches!(space, Space::All(..));
        proved.push(Proved { kop, form, arch, tally, whole, finding, elapsed: start.elapsed() });
    }
    if let Some(path) = cache {
        // Without it the next run takes longer, and says the same.
        let _unwritable = Cache::store(path, &claims.proved());
    }
    Ok(proved)
}

/// How often it is gone on with payloads behind those whose counterexamples no engine confirms.
const UNCONFIRMED_TRIED: usize = 8;

/// The stack of a thread, in bytes.
pub(crate) const STACK: usize = 64 << 20;

/// A row's payloads on their way.
struct Sweep<'s> {
    claims: &'s Claims,
    row: Row<'s>,
    space: &'s Space,
    settings: &'s Settings,
    progress: &'s dyn Progress,
    /// The number of the next payload.
    next: u64,
}

impl Sweep<'_> {
    fn is_over(&self) -> bool {
        self.next >= self.space.len()
    }

    /// Proves payloads up to the end, or to the chunk in which one fails.
    fn go_on(&mut self) -> Result<Tally, String> {
        let Row { kop, form, arch } = self.row;
        let features = self.settings.scope.feature_sets(kop, arch);
        let (mut tally, mut chunk) = (Tally::default(), FIRST_CHUNK);
        while !self.is_over() && tally.failures.is_empty() {
            let to = self.space.len().min(self.next + chunk);
            let payloads = self.space.payloads(form, self.next, to);
            kop.expect(&payloads, &features);
            let mut more =
                self.claims.prove_payloads(self.row, &features, &AsChecked, payloads.par_iter().copied());
            for certified in std::mem::take(&mut more.certified) {
                write_certificate(self.settings, self.row, &certified)?;
            }
            tally = tally.and(more);
            for _ in self.next..to {
                self.progress.unit(kop.name());
            }
            (self.next, chunk) = (to, (chunk * 4).min(MOST_PER_CHUNK));
        }
        Ok(tally)
    }
}

fn write_certificate(settings: &Settings, row: Row, certified: &Certified) -> Result<(), String> {
    let Some(folder) = &settings.certificates else { return Ok(()) };
    let Row { kop, form, arch } = row;
    let payload = certified.payload;
    let name = format!("{}-{}-{arch}-{payload:#x}", kop.name(), form.name);
    let bytes: String = certified.code.iter().map(|byte| format!("{byte:02x}")).collect();
    let facts = [
        ("operation", kop.name().to_owned()),
        ("form", form.name.to_string()),
        ("architecture", arch.to_string()),
        ("features", certified.features.to_string()),
        ("payload", format!("{payload:#x}")),
        ("bytes", bytes),
        ("proof", certified.proof.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        ("cases", certified.evidence.cases.to_string()),
        ("cases by normalising", certified.evidence.by_terms.to_string()),
    ];
    let steps: Vec<String> = certified.evidence.algebra.iter().map(|&step| step.to_owned()).collect();
    let refutations: Vec<_> = certified.evidence.refutations.iter().collect();
    certificate::write(folder, &name, &facts, &steps, &refutations).map_err(|error| error.to_string())
}

/// Makes sure that certificates can be written, before the work starts.
///
/// # Errors
/// The path and what the operating system says.
pub fn open_certificates(folder: &std::path::Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    tempfile::NamedTempFile::new_in(folder).map(drop).map_err(failed)
}
