// SPDX-License-Identifier: GPL-2.0-or-later
//! Verdicts against runs over integers: emits of the catalog are changed in one bit, and what is refuted differs in the state of the
//! counterexample, while what is proved differs in no random state.

use std::collections::HashMap;
use std::time::Duration;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{AtomicOp, Insn, Reg, Size};
use kop_ops::kop::{EmitRequest, Pass};
use kop_ops::{Arch, Catalog, Features, Form, Kop, Site, aarch64 as a64, registers, x86_64 as x86};
use kop_prover::statement::{Counterexample, Decoded, Grants, Options, Prover, Statement, Verdict};
use kop_semantics::native::Next;
use kop_semantics::{Integers, aarch64, ebpf, x86_64};
use rayon::prelude::*;

/// Registers, flags and memory as numbers. What nobody set comes from `background`, a function of its name.
#[derive(Clone, Default)]
struct State {
    integers: Integers,
    registers: HashMap<String, u64>,
    memory: HashMap<u64, u8>,
    background: u64,
    written: HashMap<u64, u8>,
    monitor: Option<aarch64::Monitor<u64>>,
    undefined: u64,
}

fn hashed(name: &str, seed: u64) -> u64 {
    name.bytes().fold(seed, |hash, byte| kop_ops::choices::mix(hash ^ u64::from(byte)))
}

impl State {
    fn get(&self, name: &str) -> u64 {
        self.registers
            .get(name)
            .copied()
            .unwrap_or_else(|| if self.background == 0 { 0 } else { hashed(name, self.background) })
    }

    fn set(&mut self, name: &str, value: u64) {
        self.registers.insert(name.to_owned(), value);
    }

    fn byte(&self, address: u64) -> u8 {
        let before = || self.memory.get(&address).copied();
        let random =
            || if self.background == 0 { 0 } else { hashed("byte", self.background ^ address) as u8 };
        self.written.get(&address).copied().or_else(before).unwrap_or_else(random)
    }

    fn load(&self, bytes: u32, address: u64) -> u64 {
        (0..u64::from(bytes))
            .rev()
            .fold(0, |value, i| value << 8 | u64::from(self.byte(address.wrapping_add(i))))
    }

    fn store(&mut self, bytes: u32, address: u64, value: u64) {
        for i in 0..u64::from(bytes) {
            self.written.insert(address.wrapping_add(i), (value >> (8 * i)) as u8);
        }
    }
}

/// A step that goes on as if nothing had stopped it.
type Never = std::convert::Infallible;

struct Ebpf(State);

impl ebpf::Machine for Ebpf {
    type Domain = Integers;
    type Stop = Never;

    fn domain(&mut self) -> &mut Integers {
        &mut self.0.integers
    }

    fn get(&mut self, register: Reg) -> u64 {
        self.0.get(&register.to_string())
    }

    fn set(&mut self, register: Reg, value: u64) {
        self.0.set(&register.to_string(), value);
    }

    fn load(&mut self, size: Size, address: u64) -> Result<u64, Never> {
        Ok(self.0.load(size.bytes() as u32, address))
    }

    fn store(&mut self, size: Size, address: u64, value: u64) -> Result<(), Never> {
        self.0.store(size.bytes() as u32, address, value);
        Ok(())
    }

    fn begin_atomic(&mut self, _op: AtomicOp, _size: Size, _address: u64) -> Result<(), Never> {
        Ok(())
    }

    fn reference(&mut self, _kind: u8, _imm: u64) -> Result<u64, Never> {
        panic!("no operation of the catalog has references")
    }
}

fn run_proof(proof: &[Insn], state: State) -> State {
    let mut machine = Ebpf(state);
    let mut starts: Vec<i64> = vec![0];
    proof.iter().for_each(|insn| starts.push(starts[starts.len() - 1] + insn.slots() as i64));
    let (mut at, end) = (0, starts[proof.len()]);
    while at < end {
        let index = starts.binary_search(&at).expect("jumps go to instructions");
        let insn = &proof[index];
        let Ok(next) = ebpf::step(&mut machine, insn);
        at += insn.slots() as i64;
        if matches!(next, ebpf::Next::Jump | ebpf::Next::Branch(1)) {
            at += i64::from(insn.branch_offset().expect("it jumps"));
        }
    }
    machine.0
}

/// A native register's name: that of the eBPF register it holds, if it does.
fn name<G: PartialEq + std::fmt::Debug>(map: &[G; 11], register: &G) -> String {
    match map.iter().position(|other| other == register) {
        Some(number) => format!("r{number}"),
        None => format!("native {register:?}").to_lowercase(),
    }
}

struct Native(State);

/// What both architectures do alike.
macro_rules! alike {
    ($registers:expr, $gpr:ty, $vector:ty, $flag:ty, $prefix:literal, $number:ident) => {
        type Domain = Integers;
        type Stop = Never;

        fn domain(&mut self) -> &mut Integers {
            &mut self.0.integers
        }

        fn get(&mut self, register: $gpr) -> u64 {
            self.0.get(&name(&$registers, &register))
        }

        fn set(&mut self, register: $gpr, value: u64) {
            self.0.set(&name(&$registers, &register), value);
        }

        fn flag(&mut self, flag: $flag) -> u64 {
            self.0.get(&format!("{flag:?} flag")) & 1
        }

        fn set_flag(&mut self, flag: $flag, value: u64) {
            self.0.set(&format!("{flag:?} flag"), value);
        }

        fn vector(&mut self, register: $vector) -> [u64; 2] {
            ["low", "high"].map(|half| self.0.get(&format!("{}{} {half}", $prefix, register.$number())))
        }

        fn set_vector(&mut self, register: $vector, [low, high]: [u64; 2]) {
            self.0.set(&format!("{}{} low", $prefix, register.$number()), low);
            self.0.set(&format!("{}{} high", $prefix, register.$number()), high);
        }

        fn load(&mut self, bytes: u32, address: u64) -> Result<u64, Never> {
            Ok(self.0.load(bytes, address))
        }

        fn store(&mut self, bytes: u32, address: u64, value: u64) -> Result<(), Never> {
            self.0.store(bytes, address, value);
            Ok(())
        }

        fn undefined(&mut self, width: u32) -> u64 {
            self.0.undefined += 1;
            let value = hashed("undefined", self.0.background ^ self.0.undefined);
            if self.0.background == 0 { 0 } else { value & (u64::MAX >> (64 - width)) }
        }

        fn decide(&mut self, bit: u64) -> Result<bool, Never> {
            Ok(bit == 1)
        }

        fn code_address(&mut self, offset: i64) -> u64 {
            self.0.get("code").wrapping_add_signed(offset)
        }
    };
}

impl x86_64::Machine for Native {
    alike!(registers::X86_64, x86::Gpr, x86::Xmm, x86_64::Flag, "xmm", code);

    fn begin_wide(&mut self, _address: u64, _store: bool, _aligned: bool) -> Result<(), Never> {
        Ok(())
    }
}

impl aarch64::Machine for Native {
    alike!(registers::AARCH64, a64::Gpr, a64::V, aarch64::Flag, "v", number);

    fn begin_atomic(&mut self, _bytes: u32, _address: u64) -> Result<(), Never> {
        Ok(())
    }

    fn monitor(&mut self) -> Option<aarch64::Monitor<u64>> {
        self.0.monitor
    }

    fn set_monitor(&mut self, monitor: Option<aarch64::Monitor<u64>>) {
        self.0.monitor = monitor;
    }
}

/// The state at the end; none when the code leaves, traps or does not stop.
fn run_native(code: &Decoded, length: usize, mut state: State) -> Option<State> {
    state.registers.insert("Direction flag".to_owned(), 0);
    let mut machine = Native(state);
    let mut at = 0;
    for _ in 0..10_000 {
        if at == length {
            return Some(machine.0);
        }
        let (next, following) = match code {
            Decoded::X86_64(code) => {
                let insn = code.iter().find(|insn| insn.offset == at)?;
                let Ok(next) = x86_64::step(&mut machine, insn);
                (next, insn.offset + insn.len)
            }
            Decoded::Aarch64(code) => {
                let insn = code.iter().find(|insn| insn.offset == at)?;
                let Ok(next) = aarch64::step(&mut machine, insn);
                (next, insn.offset + insn.len)
            }
        };
        at = match next {
            Next::Fall | Next::Branch { taken: 0, .. } => following,
            Next::Jump(target) | Next::Branch { target, .. } => usize::try_from(target).ok()?,
            Next::Indirect(_) | Next::Trap => return None,
        };
    }
    None
}

/// Whether both sides do the same from a state: registers that are not dead, and bytes that either wrote.
fn agree(statement: &Statement, code: &Decoded, state: &State) -> bool {
    let proof = run_proof(statement.proof, state.clone());
    let Some(native) = run_native(code, statement.code.len(), state.clone()) else { return false };
    let registers = Reg::ALL.into_iter().filter(|register| !statement.dead.has(*register));
    let kept = native.registers.iter().filter(|(name, _)| is_kept(statement, name));
    let stack = state.get(if statement.arch == Arch::X86_64 { "native rsp" } else { "native sp" });
    let private = |address: u64| stack.wrapping_sub(address).wrapping_sub(1) < 4096;
    registers.map(|register| register.to_string()).all(|name| proof.get(&name) == native.get(&name))
        && kept
            .into_iter()
            .all(|(name, value)| name == "Direction flag" && *value == 0 || state.get(name) == *value)
        && proof
            .written
            .keys()
            .chain(native.written.keys())
            .filter(|a| !private(**a))
            .all(|address| proof.byte(*address) == native.byte(*address))
}

fn is_kept(statement: &Statement, name: &str) -> bool {
    let scratch = match statement.arch {
        Arch::X86_64 => registers::X86_64_SCRATCH
            .map(|r| format!("native {r:?}").to_lowercase())
            .contains(&name.to_owned()),
        Arch::Aarch64 => registers::AARCH64_SCRATCH
            .map(|r| format!("native {r:?}").to_lowercase())
            .contains(&name.to_owned()),
    };
    let status = ["Carry", "Parity", "Adjust", "Zero", "Sign", "Overflow", "N", "Z", "C", "V"];
    let is_status = name.strip_suffix(" flag").is_some_and(|flag| status.contains(&flag));
    let vector = |prefix: &str, set: u32| {
        let number = name.strip_prefix(prefix).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        number.is_some_and(|number| set >> number & 1 == 1)
    };
    let declared = vector("xmm", statement.vectors.x86_64.into()) || vector("v", statement.vectors.aarch64);
    let ebpf = name.starts_with('r');
    !(scratch || is_status || declared || ebpf)
}

fn of_counterexample(found: &Counterexample) -> State {
    let mut state = State::default();
    for register in Reg::ALL {
        state.set(&register.to_string(), found.register(register));
    }
    // Far from any address of a state, unless it is a part of the counterexample.
    ["native rsp", "native sp"].into_iter().for_each(|stack| state.set(stack, 1 << 62));
    found.others.iter().for_each(|(name, value)| state.set(name, *value));
    state.memory.extend(found.memory.iter().copied());
    state
}

fn random_state(choices: &mut Seeded) -> State {
    let mut state = State { background: choices.bits() | 1, ..State::default() };
    for register in Reg::ALL {
        let value = if choices.one_in(2) { choices.bits() } else { choices.bits() >> choices.below(64) };
        state.set(&register.to_string(), value);
    }
    state
}

/// How many changed emits came to what.
#[derive(Debug, Default)]
struct Counts {
    proved: u32,
    refuted: u32,
    /// Refuted for an access or an exception that runs over integers do not show.
    unseen: u32,
    unsupported: u32,
    timeouts: u32,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            proved: self.proved + other.proved,
            refuted: self.refuted + other.refuted,
            unseen: self.unseen + other.unseen,
            unsupported: self.unsupported + other.unsupported,
            timeouts: self.timeouts + other.timeouts,
        }
    }
}

fn check(prover: &mut Prover, statement: &Statement, choices: &mut Seeded, counts: &mut Counts) {
    let Ok(code) = Decoded::new(statement.arch, statement.code) else { return counts.unsupported += 1 };
    match prover.prove_decoded(statement, &code) {
        Verdict::Proved(_) => {
            counts.proved += 1;
            for _ in 0..40 {
                let state = random_state(choices);
                assert!(agree(statement, &code, &state), "{statement:?} is proved");
            }
        }
        Verdict::Refuted(found) => {
            counts.refuted += 1;
            let seen = !agree(statement, &code, &of_counterexample(&found));
            let about_accesses =
                ["reads", "writes", "below the stack", "gives up", "not aligned", "changes the"];
            let is_about_accesses = about_accesses.iter().any(|text| found.what.contains(text));
            // What is undefined has values of its own in a model.
            let undefined = found.others.iter().any(|(name, _)| name.starts_with("undefined"));
            assert!(seen || is_about_accesses || undefined, "{statement:?} {found:?}");
            counts.unseen += u32::from(!seen);
        }
        Verdict::Unsupported(_) => counts.unsupported += 1,
        Verdict::Timeout => counts.timeouts += 1,
    }
}

/// Emits of one form on one architecture, each changed in a bit.
fn check_changed((kop, form, arch): (&dyn Kop, &Form, Arch), choices: &mut Seeded) -> Counts {
    let mut prover = Prover::new(Options { limit: Duration::from_secs(5), keep: false });
    let mut counts = Counts::default();
    let mut left = 24;
    while left > 0 {
        let index = choices.below(form.layout.combinations());
        let Ok(payload) = form.layout.encode(&form.layout.combination(index)) else { continue };
        let Ok(proof) = kop.instantiate(form, payload) else { continue };
        let features = Features::all(arch);
        let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
        let Ok(emission) = kop.emit(form, &request) else { continue };
        let site = Site::decode(form, payload, features).expect("it was admitted");
        let contract = kop.contract(&site);
        let mut code = emission.bytes;
        let bit = choices.below(8 * code.len() as u64) as usize;
        code[bit / 8] ^= 1 << (bit % 8);
        let statement = Statement {
            proof: &proof,
            code: &code,
            arch,
            dead: contract.dead,
            vectors: contract.vectors,
            grants: Grants::default(),
        };
        check(&mut prover, &statement, choices, &mut counts);
        left -= 1;
    }
    counts
}

#[test]
fn verdicts_on_changed_emits_agree_with_runs_over_integers() {
    let catalog = Catalog::einsn();
    let rows: Vec<_> =
        catalog.forms().flat_map(|(kop, form)| Arch::ALL.map(|arch| (kop, form, arch))).collect();
    let counts = rows
        .par_iter()
        .enumerate()
        .map(|(number, row)| check_changed(*row, &mut Seeded::derived(13, &[number as u64])))
        .reduce(Counts::default, Counts::plus);
    println!("{counts:?}");
    assert!(counts.proved > 10 && counts.refuted > 200, "{counts:?}");
    assert!(counts.unseen < counts.refuted / 2, "{counts:?}");
}
