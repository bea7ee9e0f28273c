// SPDX-License-Identifier: GPL-2.0-or-later
//! Proofs about the JIT: for every form of eBPF instruction, the bytes that the compiler makes of it do what the instruction says,
//! for every state. Each instruction stands in programs in which it is compiled in every way that there is.

mod claims;
mod forms;
mod fused;
mod operands;
mod place;
mod record;

use std::time::{Duration, Instant};

use kop_jit::Planted;
use kop_ops::ebpf::{Insn, Operand, Reg, forms as all};
use kop_ops::{Arch, Features};
use kop_prover::statement::Options;
use rayon::prelude::*;

use crate::check::Progress;
use claims::Claims;
use fused::Fused;
use place::{Compiler, FAR_JUMPS, distances, edges, far};

pub use claims::{Failure, FailureKind};
pub use record::record;

/// How instructions are proved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The architectures.
    pub archs: Vec<Arch>,
    /// The time that one formula may take.
    pub limit: Duration,
    /// Threads.
    pub jobs: usize,
    /// A mistake that the compiler is to make.
    pub planted: Option<Planted>,
}

/// A form of instruction on one architecture, and what is known of it.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The name of the form: `add64_imm`.
    pub form: String,
    /// The architecture.
    pub arch: Arch,
    /// Why it is not looked at by itself.
    pub listed: Option<&'static str>,
    /// Instructions that are proved for every place and set of features.
    pub insns: u64,
    /// Instructions that there are of this form.
    pub insns_total: u64,
    /// Whether those that were looked at are all that there are, but for the distances of jumps.
    pub whole: bool,
    /// Claims that were decided: those that differ in the names of registers alone count once.
    pub claims: u64,
    /// Claims that needed more than normalising.
    pub formulas: u64,
    /// The algebraic steps that were taken, each once.
    pub algebra: Vec<&'static str>,
    /// The first failure.
    pub failure: Option<Failure>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Proved {
    /// Whether everything that was looked at is proved, or it is listed with the reason.
    pub const fn holds(&self) -> bool {
        self.failure.is_none()
    }
}

/// What a row is about.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// One instruction.
    One(Insn),
    /// Several that may become one.
    Fused(Fused),
}

impl Form {
    /// Every form, in the order of the instruction set.
    fn all() -> Vec<Form> {
        let ones = all::forms().into_iter().map(Form::One);
        ones.chain(Fused::ALL.map(Form::Fused)).collect()
    }

    fn name(self) -> String {
        match self {
            Form::One(insn) => forms::name(&insn),
            Form::Fused(fused) => fused.name(),
        }
    }

    fn listed(self) -> Option<&'static str> {
        match self {
            Form::One(insn) => forms::listed(&insn),
            Form::Fused(_) => None,
        }
    }

    /// How many there are, and whether all of them are looked at.
    fn space(self) -> (u64, bool) {
        match self {
            Form::One(insn) => forms::space(&insn),
            Form::Fused(fused) => (fused.space(), false),
        }
    }
}

/// The names of all forms, in the order of rows.
pub fn form_names() -> Vec<String> {
    Form::all().into_iter().map(Form::name).collect()
}

/// Proves the forms that `wanted` says, on all threads.
///
/// # Errors
/// Why threads cannot be started, in one line.
pub fn prove(
    settings: &Settings,
    wanted: impl Fn(&str) -> bool,
    progress: &dyn Progress,
) -> Result<Vec<Proved>, String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(settings.jobs.max(1))
        .stack_size(super::STACK)
        .build()
        .map_err(|error| error.to_string())?;
    let rows: Vec<(Form, Arch)> = Form::all()
        .into_iter()
        .filter(|form| wanted(&form.name()))
        .flat_map(|form| settings.archs.iter().map(move |&arch| (form, arch)))
        .collect();
    progress.round(rows.len());
    let one = |&(form, arch): &(Form, Arch)| {
        let proved = prove_form(settings, form, arch);
        progress.unit(&proved.form);
        proved
    };
    Ok(pool.install(|| rows.par_iter().with_max_len(1).map(one).collect()))
}

/// The sets of features that code is compiled for: none, and all that do not touch SIMD registers.
fn feature_sets(arch: Arch) -> [Features; 2] {
    [Features::NONE, Features::all(arch).without_simd()]
}

fn prove_form(settings: &Settings, form: Form, arch: Arch) -> Proved {
    let start = Instant::now();
    let listed = form.listed();
    let (insns_total, whole) = form.space();
    let mut proved = Proved {
        form: form.name(),
        arch,
        listed,
        insns: 0,
        insns_total,
        whole,
        claims: 0,
        formulas: 0,
        algebra: Vec::new(),
        failure: None,
        elapsed: Duration::ZERO,
    };
    if listed.is_none() {
        let mut claims = Claims::new(Options { limit: settings.limit, keep: false });
        let compilers =
            feature_sets(arch).map(|features| Compiler { arch, features, planted: settings.planted });
        let result = match form {
            Form::One(insn) => decide_form(&mut claims, compilers, insn, &mut proved.insns),
            Form::Fused(Fused::Jumps) => decide_jumps_over(&mut claims, compilers, &mut proved.insns),
            Form::Fused(fused) => decide_fused(&mut claims, compilers, fused, &mut proved.insns),
        };
        proved.failure = result.err().map(|failure| *failure);
        (proved.claims, proved.formulas) = (claims.decided, claims.formulas);
        proved.algebra = claims.algebra.into_iter().collect();
    }
    proved.elapsed = start.elapsed();
    proved
}

/// Decides everything about several instructions, up to the first failure; counts them as one.
fn decide_fused(
    claims: &mut Claims,
    compilers: [Compiler; 2],
    fused: Fused,
    proved: &mut u64,
) -> Result<(), Box<Failure>> {
    for insns in fused.instances() {
        for compiler in compilers {
            claims.decide_straight(compiler, &insns)?;
            for second in 1..insns.len() {
                claims.decide_apart(compiler, &insns, second)?;
            }
        }
        *proved += 1;
    }
    Ok(())
}

/// Decides jumps over an unconditional one that goes on and back, up to the first failure; counts them.
fn decide_jumps_over(
    claims: &mut Claims,
    compilers: [Compiler; 2],
    proved: &mut u64,
) -> Result<(), Box<Failure>> {
    for jump in fused::jumps() {
        for compiler in compilers {
            for between in distances() {
                claims.decide_jump_over(compiler, jump, &between)?;
            }
        }
        *proved += 1;
    }
    Ok(())
}

/// Decides everything about a form, up to the first failure; counts instructions.
fn decide_form(
    claims: &mut Claims,
    compilers: [Compiler; 2],
    form: Insn,
    proved: &mut u64,
) -> Result<(), Box<Failure>> {
    let jumps = form.branch_offset().is_some();
    let insns = operands::instances(form);
    for insn in &insns {
        for compiler in compilers {
            if jumps {
                claims.decide_jump(compiler, *insn, &distances())?;
            } else {
                claims.decide_straight(compiler, &[*insn])?;
            }
        }
        *proved += u64::from(forms::is_admitted(insn));
    }
    if jumps { decide_branches(claims, compilers[0], &insns) } else { Ok(()) }
}

/// Decides jumps over distances at which branches change; what a branch looks like depends on its distance and on what it tests,
/// but not on which register that is.
fn decide_branches(claims: &mut Claims, compiler: Compiler, insns: &[Insn]) -> Result<(), Box<Failure>> {
    let some: Vec<Insn> = insns.iter().copied().filter(has_plain_registers).collect();
    let few: Vec<Insn> = some.iter().copied().filter(has_plain_number).collect();
    for between in edges(compiler.arch) {
        claims.decide_jumps(compiler, &few, &between)?;
    }
    if compiler.arch == Arch::Aarch64 {
        for some in some.chunks(FAR_JUMPS) {
            claims.decide_jumps(compiler, some, &far())?;
        }
    }
    Ok(())
}

fn has_plain_registers(insn: &Insn) -> bool {
    match *insn {
        Insn::Jump { dst, src: Operand::Reg(src), .. } => dst == Reg::R1 && [Reg::R1, Reg::R2].contains(&src),
        Insn::Jump { dst, src: Operand::Imm(_), .. } => dst == Reg::R0,
        _ => true,
    }
}

/// Comparisons that AArch64 makes by the flags, by a register as a whole, and by one bit of it.
fn has_plain_number(insn: &Insn) -> bool {
    match *insn {
        Insn::Jump { src: Operand::Imm(imm), .. } => [5, 0, 1, 8, -1].contains(&imm),
        _ => true,
    }
}
