// SPDX-License-Identifier: GPL-2.0-or-later
//! Random programs over the whole instruction set that end and stay within their memory.
//!
//! The generator keeps track of what registers and stack hold, as the verifier does, so that the verifier accepts nearly all
//! of them: numbers, pointers with the bytes they may access, and what is not set. Pointers never get to where values are
//! compared, as they differ between the kernel and user space: not into maps, packets or numbers.
//!
//! A program stores every number that it has into the first map when it ends, and returns a mix of them.

mod body;
mod calls;
mod code;
mod statements;
mod types;
mod values;
mod wild;

use std::collections::BTreeMap;

use kop_ops::Catalog;
use kop_ops::choices::Choices;
use kop_ops::ebpf::{Insn, Reg, RegSet, Size};
use kop_ops::program::{Flow, MapKind, MapSpec, Object, Program, ProgramKind};
use kop_ops::state::WINDOW_SIZE;

use crate::program::ProgramCase;
use body::{Body, Generator};
use types::{Pointer, Region, Sizes, Slot, Value};

/// The index of the map that programs leave their numbers in: r0 to r9, eight bytes each, and more.
pub const RESULT_MAP: usize = 0;

/// The index of a map with one value, of data.
const DATA_MAP: usize = 1;

/// The BTF id of the first form of the catalog in Kop calls.
const SITE_IDS: i32 = 1000;

/// Stack slots of eight bytes that a program uses; with those of local functions they stay below the kernel's 512 bytes.
const MAIN_SLOTS: usize = 24;

/// What kind of programs are made.
#[derive(Clone, Debug)]
pub struct ProgramPlan<'a> {
    /// The operations whose sites occur; an empty catalog for none.
    pub catalog: &'a Catalog<'a>,
    /// The kinds among which is chosen. Every other raw program has everything that the instruction set defines and the
    /// verifier refuses, such as shifts by more than the width.
    pub kinds: &'a [ProgramKind],
    /// The most statements.
    pub statements: u32,
    /// Whether there may be stretches of code that short branches do not reach over.
    pub long: bool,
    /// Whether programs are broken in a few places, so that they touch what is not theirs, or do not end.
    pub wild: bool,
}

/// Fuel of programs that may not end.
const WILD_FUEL: u64 = 20_000;

impl<'a> ProgramPlan<'a> {
    /// Programs of these kinds that end and keep to their memory.
    pub fn new(catalog: &'a Catalog<'a>, kinds: &'a [ProgramKind]) -> Self {
        Self { catalog, kinds, statements: 60, long: false, wild: false }
    }

    /// One program with all that it finds.
    pub fn generate(&self, choices: &mut impl Choices) -> ProgramCase {
        let kind = *choices.pick(self.kinds);
        let packet_length = match kind {
            ProgramKind::Raw => 8 + choices.below(WINDOW_SIZE as u64 - 7),
            // The kernel wants an Ethernet header at least.
            _ => *choices.pick(&[14, 15, 16, 20, 34, 42, 54, 60, 64, 80, 128, 256]),
        } as usize;
        let strict = kind != ProgramKind::Raw || choices.one_in(2);
        let clocks = choices.one_in(4);
        let tail_calls = kind != ProgramKind::Raw && choices.one_in(6);
        let maps = maps(tail_calls, choices);
        let mut sites = Vec::new();
        let mut programs = Vec::new();
        for (name, tails) in [("main", tail_calls), ("next", false)] {
            if name == "next" && !tail_calls {
                break;
            }
            let mut generator = Generator {
                catalog: self.catalog,
                kind,
                strict,
                clocks,
                sizes: Sizes {
                    values: maps.iter().map(|map| map.value_size).collect(),
                    window: packet_length as u32,
                },
                maps: &maps,
                budget: 4 + choices.below(u64::from(self.statements)) as u32,
                functions: Vec::new(),
                sites: std::mem::take(&mut sites),
                origins: 0,
                long: self.long && choices.one_in(8),
                tail_calls: tails.then_some(maps.len() - 1),
                choices: &mut *choices,
            };
            let insns = generator.program();
            sites = generator.sites;
            let mut flow = Flow::new(insns).expect("the generator keeps the rules of control flow");
            if self.wild {
                flow = wild::spoil(flow, choices);
            }
            programs.push(Program { name: name.to_owned(), kind, flow });
        }
        let object = Object { programs, maps: maps.into(), operations: sites, license: "GPL".to_owned() };
        let packet = values::bytes(choices, packet_length);
        let case = ProgramCase { packet, garbage: choices.bits(), ..ProgramCase::of(object) };
        if self.wild {
            ProgramCase { fuel: WILD_FUEL, ..case }
        } else {
            ProgramCase { verified: true, ..case }
        }
    }
}

/// A 64-bit number, half of them from the places where mistakes are.
pub fn wide_value(choices: &mut impl Choices) -> u64 {
    values::wide(choices)
}

/// An offset of an access, of every class that compilers tell apart.
pub fn wild_offset(choices: &mut impl Choices) -> i16 {
    let bounds =
        [0, 8, -8, 127, 128, -128, -129, 255, 256, -256, -257, 4095, 4096, 32760, i16::MAX, i16::MIN];
    match choices.below(3) {
        0 => choices.bits() as i16,
        1 => 8 * (choices.below(64) as i16 - 32),
        _ => *choices.pick(&bounds),
    }
}

/// The maps that programs find.
fn maps(tail_calls: bool, choices: &mut impl Choices) -> Vec<MapSpec> {
    let map = |name: &str, kind, key_size, value_size, max_entries| MapSpec {
        name: name.to_owned(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        initial: Vec::new(),
    };
    let mut maps = vec![
        map("result", MapKind::Array, 4, 128, 1),
        map("data", MapKind::Array, 4, 64, 1),
        map("table", MapKind::Array, 4, 16, 3),
        map("hash", MapKind::Hash, *choices.pick(&[4, 8]), 16, 4),
    ];
    for map in &mut maps[DATA_MAP..] {
        let (key, value) = (map.key_size as usize, map.value_size as usize);
        for number in 0..map.max_entries.min(3) {
            let number = u64::from(number).to_le_bytes();
            map.initial.push((number[..key].to_vec(), values::bytes(choices, value)));
        }
    }
    if tail_calls {
        let mut programs = map("programs", MapKind::ProgramArray, 4, 4, 3);
        programs.initial.push((1u32.to_le_bytes().to_vec(), 1u32.to_le_bytes().to_vec()));
        maps.push(programs);
    }
    maps
}

impl<C: Choices> Generator<'_, C> {
    /// The instructions of a program with its local functions.
    fn program(&mut self) -> Vec<Insn> {
        let mut body = Body::new(MAIN_SLOTS, 1);
        self.start(&mut body);
        let count = 2 + self.choices.below(u64::from(self.budget));
        if !self.block(&mut body, count) {
            self.end(&mut body);
        }
        let functions = self.functions.drain(..).map(|function| function.expect("it is complete").code);
        let mut codes = vec![body.code];
        // The first of the local functions has number 0; the program itself has none.
        codes.extend(functions);
        code::link(codes)
    }

    /// What a program does first: keeps its context, and sets some registers.
    fn start(&mut self, body: &mut Body) {
        let argument = |region| Value::Pointer(Pointer { region, offset: 0, slack: 0 });
        if self.kind == ProgramKind::Raw {
            body.state.set(Reg::R1, argument(Region::Window));
            body.state.set(Reg::R2, Value::Scalar);
        } else {
            body.state.set(Reg::R1, argument(Region::Context));
        }
        let first = Pointer {
            region: if self.kind == ProgramKind::Raw { Region::Window } else { Region::Context },
            offset: 0,
            slack: 0,
        };
        if !self.choices.one_in(4) {
            let dst = *self.choices.pick(&[Reg::R6, Reg::R7, Reg::R8, Reg::R9]);
            body.pointer(dst, Insn::mov64(dst, Reg::R1), first);
        }
        if self.choices.one_in(2) {
            let slot = self.choices.below(MAIN_SLOTS as u64) as usize;
            body.push(Insn::store(Size::B8, Reg::R10, -8 * (slot as i16 + 1), Reg::R1));
            body.state.slots[slot] = Slot::Spill(first);
        }
        for _ in 0..self.choices.below(4) {
            let unset: RegSet = Reg::WRITABLE
                .into_iter()
                .filter(|register| body.state.get(*register) == Value::Unset)
                .collect();
            if let Some(register) = self.any(unset) {
                let value = values::wide(self.choices);
                body.number(register, Insn::load_imm64(register, value));
            }
        }
        if self.kind != ProgramKind::Raw && self.choices.one_in(2) {
            self.check_packet(body);
        }
    }
}

/// How often each kind of instruction occurs in programs, by the first word of its text: shows what a generator leaves out.
pub fn tally<'a>(cases: impl IntoIterator<Item = &'a ProgramCase>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for case in cases {
        for insn in case.object.programs.iter().flat_map(|program| program.flow.insns()) {
            *tally.entry(kind_of(insn)).or_default() += 1;
        }
    }
    tally
}

/// What kind of instruction it is, by all but registers and numbers.
pub(crate) fn kind_of(insn: &Insn) -> String {
    match *insn {
        Insn::Alu { op, width, src, .. } => format!("{op:?} {width:?} {}", form(src.reg().is_some())),
        Insn::Neg { width, .. } => format!("Neg {width:?}"),
        Insn::End { kind, bits, .. } => format!("{kind:?} {bits}"),
        Insn::LoadImm64 { kind, .. } => format!("LoadImm64 {kind}"),
        Insn::Load { size, signed, .. } => format!("Load {size:?} signed={signed}"),
        Insn::Store { size, src, .. } => format!("Store {size:?} {}", form(src.reg().is_some())),
        Insn::Atomic { op, size, .. } => format!("Atomic {op:?} {size:?}"),
        Insn::Jump { cond, width, src, .. } => {
            format!("Jump {cond:?} {width:?} {}", form(src.reg().is_some()))
        }
        Insn::Ja { .. } => "Ja".to_owned(),
        Insn::Gotol { .. } => "Gotol".to_owned(),
        Insn::MayGoto { .. } => "MayGoto".to_owned(),
        Insn::Call { target: kop_ops::ebpf::CallTarget::Helper(id) } => format!("Helper {id}"),
        Insn::Call { target: kop_ops::ebpf::CallTarget::Local(_) } => "Call local".to_owned(),
        Insn::Call { target: kop_ops::ebpf::CallTarget::Register(_) } => "Call register".to_owned(),
        Insn::Call { target: kop_ops::ebpf::CallTarget::Kop { id, .. } } => format!("Kop site {id}"),
        Insn::Sidecar { .. } => "Sidecar".to_owned(),
        Insn::Exit => "Exit".to_owned(),
        other => format!("{other:?}"),
    }
}

fn form(register: bool) -> &'static str {
    if register { "X" } else { "K" }
}
