// SPDX-License-Identifier: GPL-2.0-or-later
//! The oracle for whole programs: `spec` and every other engine, on compiled code of both kinds, have to agree.

use std::cell::LazyCell;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kop_emulators::program::{Job, PROGRAM_ENGINES, Precision, ProgramEngine, Runs};
use kop_jit::{LowerError, Lowered, Options, Planted};
use kop_ops::ebpf::RegSet;
use kop_ops::program::MapAddresses;
use kop_ops::{Arch, Catalog, Code, Fault, Feature, Features, Program, Slot};
use kop_reports::Kind;
use kop_semantics::spec::{Interpreter, Start as SpecStart};
use kop_semantics::world::SetupError;
use kop_semantics::{Outcome, Run, Trap, spec};

use super::compare::{Difference, Terms};
use super::unshared::Unshared;
use super::witness::Witness;
use super::{ProgramCase, Start};
use crate::tier::{self, NativePlanted, Tier, Whole};

/// The engines that programs are run on.
pub struct ProgramRig {
    engines: Vec<Box<dyn ProgramEngine>>,
    absent: Vec<(&'static str, String)>,
    planted: Option<Planted>,
    planted_native: Option<NativePlanted>,
    /// The compilers of whole programs that are held against the reference.
    whole: Vec<Tier>,
    /// Of how many programs LLVM compiles one.
    llvm_one_in: Option<u64>,
    /// Of how many programs the kernel is asked of one.
    kernel_one_in: u64,
    /// The one engine that runs, while a case is minimised.
    only: Option<&'static str>,
}

/// Who is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The compiler for this architecture: every engine that ran its code says the same.
    Jit(Arch),
    /// The native tier for this architecture, with the back end of [`Tier::Native`] or [`Tier::Llvm`].
    Native(Tier, Arch),
    /// The emit of an operation: with proof sequences in place of emits there is no difference. A mistake of the compiler that
    /// depends on distances in the code can look like this.
    Emit(Arch),
    /// One engine, which another engine with the same code contradicts.
    Engine(&'static str),
    /// The reference: all others contradict it.
    Spec,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blame::Jit(arch) => write!(f, "jit {arch}"),
            Blame::Native(Tier::Llvm, arch) => write!(f, "native tier with LLVM {arch}"),
            Blame::Native(_, arch) => write!(f, "native tier {arch}"),
            Blame::Emit(arch) => write!(f, "emit {arch}"),
            Blame::Engine(name) => write!(f, "engine {name}"),
            Blame::Spec => f.write_str("spec"),
        }
    }
}

/// How code was made for an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The compiler.
    pub tier: Tier,
    /// The architecture.
    pub arch: Arch,
    /// Whether it checks accesses and fuel.
    pub guarded: bool,
    /// Whether operations' emits are used.
    pub emits: bool,
}

/// A difference between an engine and the reference.
#[derive(Clone, Debug)]
pub struct ProgramFinding {
    /// The engine.
    pub engine: &'static str,
    /// The code it ran; `None` for eBPF.
    pub made: Option<Made>,
    /// The difference.
    pub difference: Difference,
    /// Who is wrong.
    pub blame: Blame,
}

impl ProgramFinding {
    /// What findings of one cause have in common.
    pub fn cause(&self) -> String {
        format!("{}/{}/{}", self.blame, self.difference.kind, self.difference.place)
    }

    /// Whether `other` is the same kind of divergence, which minimising has to keep.
    pub fn is_like(&self, other: &ProgramFinding) -> bool {
        let made = |finding: &ProgramFinding| finding.made.map(|made| (made.tier, made.guarded));
        self.blame == other.blame
            && self.difference.kind == other.difference.kind
            && made(self) == made(other)
    }
}

impl fmt::Display for ProgramFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { kind, place, expected, actual } = &self.difference;
        let made = self.made.map_or("eBPF".to_owned(), |made| {
            let guarded = if made.guarded { "guarded" } else { "unguarded" };
            let emits = match (made.emits, made.tier) {
                (true, _) | (false, Tier::Native | Tier::Llvm) => "",
                (false, Tier::Jit | Tier::Auto) => ", proof sequences in place of emits",
            };
            let tier = match made.tier {
                Tier::Native => " of the native tier",
                Tier::Llvm => " of the native tier with LLVM",
                Tier::Jit | Tier::Auto => "",
            };
            format!("{guarded} {} code{tier}{emits}", made.arch)
        });
        write!(
            f,
            "{kind} at {place}: spec {expected}, {} on {made}: {actual}; blame: {}",
            self.engine, self.blame
        )
    }
}

/// What became of a case.
#[derive(Debug, Default)]
pub struct Judged {
    /// How it ended on `spec`, without addresses: `returns`, or the fault.
    pub end: String,
    /// Differences.
    pub findings: Vec<ProgramFinding>,
    /// How many runs were compared with `spec`, by engine.
    pub ran: Vec<&'static str>,
    /// Engines that did not take part, and why.
    pub passed_over: Vec<(&'static str, String)>,
}

/// Why a case is none.
#[derive(Debug, thiserror::Error)]
pub enum CaseProblem {
    /// Its Kop sites are wrong.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// Its maps or its packet are wrong.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It holds instructions that no engine of user space runs.
    #[error(transparent)]
    Unsupported(#[from] spec::Unsupported),
    /// It reads what a call left undefined, so that engines may differ.
    #[error("the program reads a register that a call or a Kop site left undefined")]
    Undefined,
}

/// A case on the reference.
struct Reference<'a> {
    case: &'a ProgramCase,
    lowered: Lowered,
    start: Start,
    outcome: Outcome,
    /// How many instructions ran.
    executed: u64,
    defined: RegSet,
    addresses: MapAddresses,
}

const SLOT: Slot = Slot::of_batch(0);

/// Whether a case is among one in so many, by its instructions.
fn is_sampled(case: &ProgramCase, one_in: u64) -> bool {
    let insns = case.object.programs.iter().flat_map(|program| program.flow.insns());
    let mut hasher = DefaultHasher::new();
    insns.for_each(|insn| insn.hash(&mut hasher));
    hasher.finish().is_multiple_of(one_in)
}

impl ProgramRig {
    /// Every engine that is here; the others are kept with their reasons.
    pub fn available() -> Self {
        Self::with(|_| true)
    }

    /// The engines whose names `wanted` is true of, as far as they are here; `spec` is the reference and always here.
    pub fn with(wanted: impl Fn(&str) -> bool) -> Self {
        let mut rig = Self {
            engines: Vec::new(),
            absent: Vec::new(),
            planted: None,
            planted_native: None,
            whole: Vec::from(if tier::HAS_NATIVE { &[Tier::Native][..] } else { &[] }),
            llvm_one_in: None,
            kernel_one_in: 1,
            only: None,
        };
        for kind in PROGRAM_ENGINES.iter().filter(|kind| kind.name != "spec" && wanted(kind.name)) {
            match kind.make() {
                Ok(engine) => rig.engines.push(engine),
                Err(reason) => rig.absent.push((kind.name, reason)),
            }
        }
        rig
    }

    /// Compiles with this mistake from now on.
    pub fn plant(&mut self, planted: Option<Planted>) {
        self.planted = planted;
    }

    /// Has the native tier make this mistake from now on.
    pub fn plant_native(&mut self, planted: Option<NativePlanted>) {
        self.planted_native = planted;
    }

    /// Holds these compilers of whole programs against the reference from now on, in place of [`Tier::Native`] alone. LLVM is a process
    /// for each program and architecture.
    pub fn compile_whole(&mut self, tiers: &[Tier]) {
        self.whole = tiers.to_vec();
    }

    /// Holds LLVM against the reference, too, on one in so many programs, which their instructions choose; where it is not here, that is
    /// one more of what is absent.
    pub fn sample_llvm(&mut self, one_in: u64) {
        match Tier::Llvm.is_here() {
            Ok(()) => self.llvm_one_in = Some(one_in.max(1)),
            Err(reason) => self.absent.push(("llvm", reason)),
        }
    }

    /// Asks the kernel of one in so many programs, which their instructions choose: its verifier takes half a second to give up on a loop that
    /// it finds no end of.
    pub fn sample_kernel(&mut self, one_in: u64) {
        self.kernel_one_in = one_in.max(1);
    }

    /// The compilers of whole programs for a case.
    fn whole(&self, case: &ProgramCase) -> Vec<Tier> {
        let sampled = self.llvm_one_in.is_some_and(|one_in| is_sampled(case, one_in)).then_some(Tier::Llvm);
        self.whole.iter().copied().chain(sampled).collect()
    }

    /// The engines that are not here, and why.
    pub fn absent(&self) -> &[(&'static str, String)] {
        &self.absent
    }

    /// The names of the engines that are here.
    pub fn names(&self) -> Vec<&'static str> {
        self.engines.iter().map(|engine| engine.name()).collect()
    }

    /// The engines that are here, with what they run.
    pub fn runs(&self) -> impl Iterator<Item = (&'static str, Runs)> + '_ {
        self.engines.iter().map(|engine| (engine.name(), engine.runs()))
    }

    /// Runs a case on all engines.
    ///
    /// # Errors
    /// [`CaseProblem`] when there is nothing to compare.
    pub fn judge(&mut self, case: &ProgramCase, catalog: &Catalog) -> Result<Judged, CaseProblem> {
        let reference = Reference::new(case, catalog)?;
        let mut judged = Judged { end: reference.end(), ..Judged::default() };
        self.run_ebpf(&reference, &mut judged);
        for arch in Arch::ALL {
            self.run_code(&reference, catalog, arch, &mut judged);
        }
        blame_the_reference(&mut judged);
        Ok(judged)
    }

    /// As [`ProgramRig::judge`], for a case that was found before: LLVM and the kernel run it if they run any, since a case that was made
    /// small is not among the sample for its instructions.
    ///
    /// # Errors
    /// As [`ProgramRig::judge`].
    pub fn judge_found(&mut self, case: &ProgramCase, catalog: &Catalog) -> Result<Judged, CaseProblem> {
        let sampled = (self.llvm_one_in, self.kernel_one_in);
        (self.llvm_one_in, self.kernel_one_in) = (sampled.0.map(|_| 1), 1);
        let judged = self.judge(case, catalog);
        (self.llvm_one_in, self.kernel_one_in) = sampled;
        judged
    }

    /// As [`ProgramRig::judge`], as far as it takes to see `finding` again: on one engine where that is enough.
    ///
    /// # Errors
    /// As [`ProgramRig::judge`].
    pub(super) fn judge_like(
        &mut self,
        case: &ProgramCase,
        catalog: &Catalog,
        finding: &ProgramFinding,
    ) -> Result<Judged, CaseProblem> {
        let (Blame::Jit(_) | Blame::Native(..) | Blame::Emit(_), Some(made)) = (&finding.blame, finding.made)
        else {
            let sampled = std::mem::replace(&mut self.kernel_one_in, 1);
            let judged = self.judge(case, catalog);
            self.kernel_one_in = sampled;
            return judged;
        };
        let reference = Reference::new(case, catalog)?;
        let mut judged = Judged::default();
        if made.guarded || reference.outcome.end.is_ok() {
            self.only = Some(finding.engine);
            self.run_guard(&reference, catalog, made, &mut judged);
            self.only = None;
        }
        Ok(judged)
    }

    /// Whether the kernel's verifier accepts the program of a case; `None` where there is no kernel to ask, and for a case without a meaning.
    pub(super) fn verifies(&mut self, case: &ProgramCase, catalog: &Catalog) -> Option<bool> {
        let kernel = self.engines.iter_mut().find(|engine| engine.name() == "kernel")?;
        let reference = Reference::new(case, catalog).ok()?;
        Some(reference.difference(&mut **kernel, None, &[]).is_ok())
    }

    fn run_ebpf(&mut self, reference: &Reference, judged: &mut Judged) {
        let asks_kernel = is_sampled(reference.case, self.kernel_one_in);
        for engine in self.engines.iter_mut().filter(|engine| engine.runs() == Runs::Ebpf) {
            let name = engine.name();
            if name == "kernel" && !asks_kernel {
                let reason = format!("it is asked of one in {} programs", self.kernel_one_in);
                judged.passed_over.push((name, reason));
                continue;
            }
            match reference.difference(&mut **engine, None, &[]) {
                Err(reason) => judged.passed_over.push((name, reason)),
                Ok(None) => judged.ran.push(name),
                Ok(Some(difference)) => {
                    judged.ran.push(name);
                    let blame = Blame::Engine(name);
                    judged.findings.push(ProgramFinding { engine: name, made: None, difference, blame });
                }
            }
        }
    }

    /// Guarded and unguarded code for one architecture on each of its engines.
    fn run_code(&mut self, reference: &Reference, catalog: &Catalog, arch: Arch, judged: &mut Judged) {
        // Code without checks is for programs that a verifier has accepted.
        let guards: &[bool] = if reference.outcome.end.is_ok() { &[true, false] } else { &[true] };
        for &guarded in guards {
            let made = Made { tier: Tier::Jit, arch, guarded, emits: true };
            self.run_guard(reference, catalog, made, judged);
        }
        if reference.case.verified && reference.outcome.end.is_ok() {
            for tier in self.whole(reference.case) {
                let made = Made { tier, arch, guarded: false, emits: false };
                self.run_guard(reference, catalog, made, judged);
            }
        }
    }

    /// Code of one kind on each of its engines, and who is to blame where they differ.
    fn run_guard(&mut self, reference: &Reference, catalog: &Catalog, made: Made, judged: &mut Judged) {
        let found = self.run_made(reference, catalog, made, judged);
        let differing = found.iter().filter(|(_, difference)| difference.is_some()).count();
        let all = differing == found.len();
        let emit_is_wrong = differing > 0 && all && made.emits && reference.has_sites() && {
            let plain = Made { emits: false, ..made };
            let again = self.run_made(reference, catalog, plain, &mut Judged::default());
            again.iter().all(|(_, difference)| difference.is_none())
        };
        for (engine, difference) in found {
            judged.ran.push(engine);
            let Some(difference) = difference else { continue };
            let blame = match (all, emit_is_wrong) {
                (_, true) => Blame::Emit(made.arch),
                (true, false) if made.tier.is_whole() => Blame::Native(made.tier, made.arch),
                (true, false) => Blame::Jit(made.arch),
                (false, false) => Blame::Engine(engine),
            };
            judged.findings.push(ProgramFinding { engine, made: Some(made), difference, blame });
        }
    }

    /// What each engine for the architecture makes of code.
    fn run_made(
        &mut self,
        reference: &Reference,
        catalog: &Catalog,
        made: Made,
        judged: &mut Judged,
    ) -> Vec<(&'static str, Option<Difference>)> {
        let mut found = Vec::new();
        let planted = (self.planted, self.planted_native);
        // What most CPUs have, and what all have. Both back ends count ones of AArch64 with SIMD registers.
        let most = Features::all(made.arch).without_simd();
        let all = match (made.tier, made.arch) {
            (Tier::Native | Tier::Llvm, Arch::Aarch64) => most.union(Features::of(&[Feature::AdvSimd])),
            _ => most,
        };
        // The second is made where an engine refuses the first.
        let codes = [all, Features::NONE]
            .map(|features| LazyCell::new(move || reference.compile(catalog, made, features, planted)));
        let only = self.only;
        for engine in self.engines.iter_mut().filter(|engine| engine.runs() == Runs::Code(made.arch)) {
            let name = engine.name();
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let mut reasons = Vec::new();
            for codes in &codes {
                let codes = match &**codes {
                    Ok(codes) => codes,
                    Err(error) => {
                        reasons.push(error.clone());
                        continue;
                    }
                };
                match reference.difference(&mut **engine, Some(made.tier), codes) {
                    Ok(difference) => {
                        found.push((name, difference));
                        reasons.clear();
                        break;
                    }
                    Err(reason) => reasons.push(reason),
                }
            }
            judged.passed_over.extend(reasons.pop().map(|reason| (name, reason)));
        }
        found
    }
}

impl<'a> Reference<'a> {
    fn new(case: &'a ProgramCase, catalog: &Catalog) -> Result<Self, CaseProblem> {
        let lowered = kop_jit::lower(&case.object, catalog)?;
        spec::check(&lowered.object)?;
        let start = case.start(SLOT)?;
        let mut witness = Witness::new(&case.object, &lowered, catalog);
        let (mut world, mut image) = (start.world.clone(), start.image.clone());
        let interpreter = Interpreter::new(&lowered.object, SLOT);
        let from = SpecStart { entry: 0, registers: start.registers, fuel: case.fuel };
        let stopped = interpreter.run(from, &mut world, &mut image, &mut witness);
        if let Err(Trap { program, at: Some(at), fault }) = stopped.end
            && fault != Fault::RunAway
        {
            let insn = &lowered.object.programs[program].flow.insns()[at];
            witness.stopped_at(program, at, insn, &stopped.registers);
        }
        let defined = witness.defined();
        if witness.read_undefined() {
            return Err(CaseProblem::Undefined);
        }
        let outcome = Outcome {
            end: stopped.end,
            registers: Some(stopped.registers),
            defined: stopped.defined,
            world,
            image,
        };
        let addresses = start.world.addresses().clone();
        Ok(Self { case, lowered, start, outcome, executed: stopped.executed, defined, addresses })
    }

    fn end(&self) -> String {
        match self.outcome.end {
            Ok(_) => "returns".to_owned(),
            Err(Trap { fault: Fault::Memory { access, .. }, .. }) => {
                Fault::Memory { access, address: None }.to_string()
            }
            Err(Trap { fault, .. }) => fault.to_string(),
        }
    }

    fn has_sites(&self) -> bool {
        !self.case.object.operations.is_empty()
    }

    fn compile(
        &self,
        catalog: &Catalog,
        made: Made,
        features: Features,
        (planted, planted_native): (Option<Planted>, Option<NativePlanted>),
    ) -> Result<Vec<Code>, String> {
        if made.tier.is_whole() {
            let whole = Whole {
                tier: made.tier,
                target: (made.arch, features),
                addresses: &self.addresses,
                planted: planted_native,
            };
            return whole.all(&self.lowered);
        }
        // What is not observed loads and saves fewer registers: half of the unguarded codes are such.
        let is_even = self.case.object.programs.iter().all(|program| program.flow.insns().len() % 2 == 0);
        let options = Options {
            arch: made.arch,
            features,
            guarded: made.guarded,
            observe: made.guarded || is_even,
            catalog,
            operations: &self.case.object.operations,
            emits: made.emits,
            addresses: &self.addresses,
        };
        let compile = |program: &Program| match planted {
            None => kop_jit::compile(program, &options),
            Some(planted) => kop_jit::compile_planted(program, &options, planted),
        };
        let codes = self.case.object.programs.iter().map(compile);
        codes.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// Fuel for compiled code, which pays for a loop before its jump back and for a function before its first instruction, what
    /// is jumped over among them: each instruction that runs costs the longest program at most. So what ends on the reference
    /// ends there; what does not end must not end with more either.
    fn prepaid_fuel(&self) -> u64 {
        if self.runs_away() {
            return self.case.fuel;
        }
        let lengths = self.case.object.programs.iter().map(|program| program.flow.insns().len() as u64);
        let longest = lengths.max().unwrap_or(0);
        (self.executed + 1).saturating_mul(longest).max(self.case.fuel)
    }

    /// The first difference on an engine, which runs code of a compiler or eBPF.
    ///
    /// # Errors
    /// Why the engine does not run it.
    fn difference(
        &self,
        engine: &mut dyn ProgramEngine,
        tier: Option<Tier>,
        codes: &[Code],
    ) -> Result<Option<Difference>, String> {
        let is_lowered = tier.is_none();
        let run = Run {
            object: &self.lowered.object,
            entry: 0,
            world: &self.start.world,
            image: &self.start.image,
            registers: &self.start.registers,
            fuel: if is_lowered { self.case.fuel } else { self.prepaid_fuel() },
        };
        let job = Job { run, codes };
        if engine.precision() == Precision::Contents && self.runs_away() {
            return Err("it counts no instructions, and the program uses up its fuel".to_owned());
        }
        engine.admits(&job)?;
        let outcome = engine.run(&job);
        if let Some(reason) = engine.undone() {
            return Err(reason);
        }
        let terms = Terms {
            precision: engine.precision(),
            defined: self.defined,
            lowered: &self.lowered,
            is_lowered: [true, is_lowered],
            // What the native tier has in registers is not in the stack.
            compares_stack: !tier.is_some_and(Tier::is_whole),
            slot: SLOT,
        };
        let difference = terms.compare(&self.outcome, &outcome);
        if difference.is_some() && engine.precision() == Precision::Contents && self.depends_on_unshared() {
            return Err("what is compared depends on addresses or on what the stack held, which are its own"
                .to_owned());
        }
        Ok(difference)
    }

    fn runs_away(&self) -> bool {
        matches!(self.outcome.end, Err(Trap { fault: Fault::RunAway, .. }))
    }

    /// Whether what engines do not share reaches what an engine with memory of its own is compared by.
    fn depends_on_unshared(&self) -> bool {
        let mut unshared = Unshared::new(&self.start.world, &self.start.registers);
        let run = Run {
            object: &self.lowered.object,
            entry: 0,
            world: &self.start.world,
            image: &self.start.image,
            registers: &self.start.registers,
            fuel: self.case.fuel,
        };
        let outcome = spec::observed(&run, &mut unshared);
        unshared.reaches_contents(&outcome)
    }
}

/// Where nobody agrees with the reference and there are at least two kinds of others, it is the reference that is wrong.
fn blame_the_reference(judged: &mut Judged) {
    let mut differing: Vec<&str> = judged.findings.iter().map(|finding| finding.engine).collect();
    differing.dedup();
    let all = judged.ran.iter().all(|engine| differing.contains(engine));
    let archs: Vec<_> = judged.findings.iter().map(|finding| finding.made.map(|made| made.arch)).collect();
    if all && archs.iter().any(|arch| *arch != archs[0]) {
        for finding in &mut judged.findings {
            finding.blame = Blame::Spec;
            if finding.difference.kind == Kind::Register {
                finding.difference.kind = Kind::Reference;
            }
        }
    }
}
