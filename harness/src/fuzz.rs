// SPDX-License-Identifier: GPL-2.0-or-later
//! What fuzz targets call: a fuzzer's bytes become a case and many states derived from it, and a divergence is a panic with
//! a report. Feedback that libFuzzer cannot see by itself, since the code under test is emulated, goes through counters.

use std::cell::RefCell;
use std::sync::OnceLock;

use kop_emulators::engines::EngineKind;
use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{Insn, RegSet};
use kop_ops::state::Slot;
use kop_ops::{Catalog, Form, Kop, Memory, State};

use crate::case::Case;
use crate::describe;
use crate::generate::{ByteChoices, StateClasses, StatePlan, alias_pattern, random_operands};
use crate::rig::{Load, Rig};
use crate::subject::{Prepared, Scope, Subject, prepare};

/// States derived from one input: two odd halves.
const STATES: usize = 14;

/// A counter array that libFuzzer reads as coverage: see [`Feedback`].
pub const COUNTERS: usize = 4096;

/// Where feedback goes: marks one of [`COUNTERS`] features as seen by this input.
pub type Feedback<'f> = &'f dyn Fn(usize);

/// What an input means.
#[derive(Debug)]
pub struct Input<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// The payload.
    pub payload: u64,
    /// The states, derived from the bytes: values of the subject's named registers.
    pub states: Vec<u64>,
    background: [kop_ops::state::Registers; 2],
    garbage: u64,
    inputs: RegSet,
    memory: Memory,
}

/// Reads a fuzzer's bytes as a payload of one of `kops`' forms and states for it; every byte string means something.
///
/// `None` only when a form has no valid payload.
pub fn decode<'a>(kops: &[&'a dyn Kop], bytes: &[u8]) -> Option<Input<'a>> {
    let mut choices = ByteChoices::new(bytes);
    let kop = *choices.pick(kops);
    let form = choices.pick(kop.forms());
    let operands = random_operands(kop, form, &mut choices)?;
    let payload = form.layout.encode(&operands).ok()?;
    let proof = kop.instantiate(form, payload).unwrap_or_default();
    let subject = Subject {
        kop,
        form,
        payload,
        operands,
        proof,
        dead: RegSet::EMPTY,
        memory: Vec::new(),
        variants: Vec::new(),
        absent: Vec::new(),
    };
    let memory_uses = crate::subject::memory_uses(&subject.proof);
    let slot = Slot::default();
    let plan = StatePlan {
        inputs: subject.named(),
        memory: &memory_uses,
        interesting: kop.interesting_values(form),
        slot,
    };
    let mut states = Vec::new();
    let mut classes = StateClasses::default();
    plan.generate(&mut choices, &mut classes, &mut states);
    let mut rest = choices.continuation();
    for _ in 1..STATES {
        plan.generate(&mut rest, &mut classes, &mut states);
    }
    let background = plan.background(&mut rest);
    let mut memory = Memory::zeroed(slot);
    fill(&mut memory, &mut rest);
    Some(Input { kop, form, payload, states, background, garbage: rest.bits(), inputs: subject.named(), memory })
}

fn fill(memory: &mut Memory, choices: &mut Seeded) {
    for bytes in [&mut memory.window, &mut memory.stack] {
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&choices.bits().to_le_bytes());
        }
    }
}

impl Input<'_> {
    /// The input's first state as a case.
    pub fn case(&self) -> Case {
        let mut state = State { registers: self.background[0], memory: self.memory.clone() };
        for (reg, &value) in self.inputs.iter().zip(&self.states) {
            state.set(reg, value);
        }
        let mut case = Case::new(self.kop, self.form, self.payload, &state);
        case.garbage = self.garbage;
        case
    }
}

thread_local! {
    static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
}

static ENGINES: OnceLock<Vec<&'static EngineKind>> = OnceLock::new();

/// Checks the payload and the states that a fuzzer's bytes mean.
///
/// # Panics
/// With a report when something diverges: libFuzzer's way to hear of it.
pub fn check_bytes(catalog: &Catalog, kops: &[&dyn Kop], bytes: &[u8], feedback: Feedback) {
    let Some(input) = decode(kops, bytes) else { return };
    let scope = Scope::default();
    let Prepared { subject, mut findings } = prepare(input.kop, input.form, input.payload, &scope);
    RIG.with_borrow_mut(|rig| {
        let engines = ENGINES.get_or_init(|| crate::selection::available().0);
        let rig = rig.get_or_insert_with(|| Rig::new(engines).unwrap_or_else(|reason| panic!("{reason}")));
        if let Some(subject) = &subject {
            tell(catalog, subject, &input, feedback);
            let load = Load {
                subject,
                inputs: input.inputs,
                states: input.states.clone(),
                background: input.background,
                garbage: input.garbage,
            };
            let outcome = rig.run(&input.memory, &[load]);
            findings.extend(outcome.findings.into_iter().map(|(finding, _)| finding));
        }
        if !findings.is_empty() {
            report(rig, &input, &findings, &scope);
        }
    });
}

fn report(rig: &mut Rig, input: &Input, findings: &[crate::Finding], scope: &Scope) -> ! {
    let dir = std::env::var_os("KOP_FINDINGS").map(std::path::PathBuf::from);
    for finding in findings {
        if let Some(dir) = &dir
            && let Err(error) = describe::save_raw(dir, input.kop, input.form, finding)
        {
            eprintln!("kop: the finding is not saved: {error}");
        }
    }
    for finding in findings {
        let arch = finding.arch.unwrap_or(kop_ops::Arch::X86_64);
        let found =
            describe::divergence(rig, input.kop, input.form, finding, 1, arch, scope, dir.as_deref());
        match found {
            Ok(found) => {
                let style = kop_reports::Style { color: false, width: 110 };
                eprintln!("{} {} on {arch}", input.kop.name(), input.form.name);
                eprintln!("{}", kop_reports::divergence_block(&found, style));
            }
            Err(error) => eprintln!("kop: {error}"),
        }
    }
    panic!("{} divergence(s): {}", findings.len(), findings[0].message);
}

/// Tells the fuzzer what it cannot see: the form and its aliasing, which jumps of the proof each state took, which code was
/// emitted.
fn tell(catalog: &Catalog, subject: &Subject, input: &Input, feedback: Feedback) {
    let number = catalog.forms().position(|(kop, form)| {
        kop.name() == subject.kop.name() && form.name == subject.form.name
    });
    let mut hash = Seeded::new(number.unwrap_or(0) as u64).bits();
    let mut mark = |label: &str, value: u64| {
        let mut key = Seeded::derived(hash, &[label.len() as u64, value]);
        for byte in label.bytes() {
            key = Seeded::derived(key.bits(), &[u64::from(byte)]);
        }
        feedback(key.below(COUNTERS as u64) as usize);
    };
    mark("form", 0);
    mark(&alias_pattern(subject.form, &subject.operands), 0);
    for (index, (field, &value)) in subject.form.layout.fields().iter().zip(subject.operands.values()).enumerate() {
        let class = if field.count() <= 128 { value as u64 } else { u64::from(value.unsigned_abs().ilog2_or_zero()) };
        mark(&field.name, class << 8 | index as u64);
    }
    for variant in &subject.variants {
        mark("code", variant.code.bytes.len() as u64);
    }
    hash ^= 1;
    let _ = hash;
    for state in input.states.chunks_exact(input.inputs.len()) {
        mark("path", proof_path(&subject.proof, input.inputs, state));
    }
}

trait Magnitude {
    fn ilog2_or_zero(self) -> u32;
}

impl Magnitude for u64 {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().map_or(0, |log| log + 1)
    }
}

/// A number for the values that the state's registers belong to: zero, sign, magnitude.
fn proof_path(_proof: &[Insn], inputs: RegSet, state: &[u64]) -> u64 {
    inputs.iter().zip(state).fold(0, |path, (_, &value)| path * 67 + u64::from(value.ilog2_or_zero()))
}
