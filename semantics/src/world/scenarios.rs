// SPDX-License-Identifier: GPL-2.0-or-later
//! Small programs that ask maps and helper functions for what is easy to get wrong, with what Linux answers. They are
//! data: the tests here run them on `spec`, and whoever has a kernel runs them there and compares.

use std::sync::Arc;

use kop_ops::ebpf::{AluOp, Cond, Insn, Reg, Size};
use kop_ops::program::{MAP_INDEX, MAP_VALUE_INDEX};
use kop_ops::{Flow, MapKind, MapSpec, Object, Program, ProgramKind};

/// A program that takes steps and keeps what each answers.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it shows.
    pub name: &'static str,
    /// The kind of program: XDP or tc.
    pub kind: ProgramKind,
    /// Kind, bytes of a key, and entries of each map; values have eight bytes.
    pub maps: &'static [(MapKind, u32, u32)],
    /// The packet.
    pub packet: &'static [u8],
    /// What it does, and what each step gives.
    pub steps: &'static [(Step, i64)],
    /// The packet after.
    pub after: &'static [u8],
}

/// Something that a program does.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Looks a key up; gives the value or [`ABSENT`].
    Lookup(usize, u64),
    /// Writes a value with flags: map, key, value, flags.
    Update(usize, u64, u64, i32),
    /// Deletes a key.
    Delete(usize, u64),
    /// Looks a key up, writes another value to it, and gives what the pointer shows: map, key, value.
    Stale(usize, u64, u64),
    /// Calls a helper function.
    Call(i32, &'static [Arg]),
    /// Calls a helper function that fills a buffer of eight bytes, and gives the buffer.
    Fill(i32, &'static [Arg]),
    /// Calls an element of a program array that is not there; gives 0, as a failed tail call leaves r0 unspecified.
    TailCall(usize, i32),
    /// The packet's length, from the context's pointers.
    Length,
}

/// An argument of a helper function.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// The context.
    Context,
    /// A map.
    Map(usize),
    /// A number.
    Number(i32),
    /// The address of up to 16 bytes, a multiple of four.
    Bytes(&'static [u8]),
    /// The address of the buffer, which holds -1 before.
    Buffer,
}

/// What a lookup gives for a key that is not there.
pub const ABSENT: i64 = -1;

/// The index of the map with the results, an array with one value of eight bytes for each step.
pub const RESULTS: usize = 0;

use Arg::{Buffer, Bytes, Context, Map, Number};
use Step::{Call, Delete, Fill, Length, Lookup, Stale, TailCall, Update};

/// An Ethernet header with IPv4 behind it, whose checksum is right.
const FRAME: &[u8] = &[
    0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0,
    0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
];

/// [`FRAME`] with the source 192.168.0.2 and the checksum b860, as RFC 1624 computes it.
const CHANGED: &[u8] = &[
    0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x60, 0xc0,
    0xa8, 0, 2, 0xc0, 0xa8, 0, 0xc7,
];

/// A key of a trie: length of the prefix and four bytes, the first one lowest.
const fn prefix(length: u32, bytes: [u8; 4]) -> u64 {
    length as u64 | (u32::from_le_bytes(bytes) as u64) << 32
}

const fn xdp(
    name: &'static str,
    maps: &'static [(MapKind, u32, u32)],
    steps: &'static [(Step, i64)],
) -> Scenario {
    Scenario { name, kind: ProgramKind::Xdp, maps, packet: FRAME, steps, after: FRAME }
}

const fn tc(name: &'static str, steps: &'static [(Step, i64)]) -> Scenario {
    Scenario { name, kind: ProgramKind::Tc, maps: &[], packet: FRAME, steps, after: FRAME }
}

/// Every scenario. The maps of a scenario are numbered from 1: [`RESULTS`] comes before them.
pub const SCENARIOS: &[Scenario] = &[
    xdp(
        "hash: flags",
        &[(MapKind::Hash, 4, 2)],
        &[
            (Lookup(1, 7), ABSENT),
            (Update(1, 7, 70, 2), -2),
            (Update(1, 7, 70, 1), 0),
            (Update(1, 7, 71, 1), -17),
            (Lookup(1, 7), 70),
            (Update(1, 7, 72, 2), 0),
            (Update(1, 7, 73, 3), -22),
            (Update(1, 7, 73, 4), -22),
            (Lookup(1, 7), 72),
            (Delete(1, 7), 0),
            (Delete(1, 7), -2),
            (Lookup(1, 7), ABSENT),
        ],
    ),
    xdp(
        "hash: a full map refuses new keys alone",
        &[(MapKind::Hash, 4, 2)],
        &[
            (Update(1, 1, 10, 0), 0),
            (Update(1, 2, 20, 0), 0),
            (Update(1, 3, 30, 0), -7),
            (Update(1, 2, 21, 0), 0),
            (Delete(1, 1), 0),
            (Update(1, 3, 30, 0), 0),
            (Lookup(1, 1), ABSENT),
            (Lookup(1, 2), 21),
            (Lookup(1, 3), 30),
        ],
    ),
    xdp(
        "hash: a pointer shows the value that was replaced",
        &[(MapKind::Hash, 8, 4)],
        &[(Update(1, 1, 10, 0), 0), (Stale(1, 1, 11), 10), (Lookup(1, 1), 11)],
    ),
    xdp(
        "percpu hash: a pointer shows the new value",
        &[(MapKind::PercpuHash, 8, 4)],
        &[
            (Update(1, 1, 10, 0), 0),
            (Stale(1, 1, 11), 11),
            (Update(1, 1, 12, 1), -17),
            (Update(1, 2, 12, 2), -2),
            (Lookup(1, 1), 11),
        ],
    ),
    xdp(
        "array: flags and bounds",
        &[(MapKind::Array, 4, 3)],
        &[
            (Lookup(1, 2), 0),
            (Lookup(1, 3), ABSENT),
            (Update(1, 2, 5, 0), 0),
            (Update(1, 3, 5, 0), -7),
            (Update(1, 3, 5, 1), -7),
            (Update(1, 2, 6, 1), -17),
            (Update(1, 3, 6, 3), -22),
            (Update(1, 2, 7, 2), 0),
            (Lookup(1, 2), 7),
            (Delete(1, 2), -22),
            (Stale(1, 1, 9), 9),
        ],
    ),
    xdp(
        "percpu array: flags and bounds",
        &[(MapKind::PercpuArray, 4, 2)],
        &[
            (Update(1, 1, 5, 0), 0),
            (Update(1, 1, 6, 1), -17),
            (Update(1, 2, 6, 0), -7),
            (Lookup(1, 1), 5),
            (Lookup(1, 2), ABSENT),
            (Delete(1, 1), -22),
        ],
    ),
    xdp(
        "lru hash: flags",
        &[(MapKind::LruHash, 4, 64)],
        &[
            (Update(1, 1, 5, 2), -2),
            (Update(1, 1, 5, 1), 0),
            (Update(1, 1, 6, 1), -17),
            (Stale(1, 1, 7), 5),
            (Lookup(1, 1), 7),
            (Delete(1, 1), 0),
            (Delete(1, 1), -2),
        ],
    ),
    xdp(
        "trie: the longest prefix wins",
        &[(MapKind::LpmTrie, 8, 4)],
        &[
            (Update(1, prefix(8, [10, 0, 0, 0]), 8, 0), 0),
            (Update(1, prefix(16, [10, 1, 0, 0]), 16, 0), 0),
            (Update(1, prefix(32, [10, 1, 2, 3]), 32, 0), 0),
            (Lookup(1, prefix(32, [10, 1, 2, 3])), 32),
            (Lookup(1, prefix(32, [10, 1, 2, 4])), 16),
            (Lookup(1, prefix(31, [10, 1, 2, 3])), 16),
            (Lookup(1, prefix(32, [10, 2, 0, 0])), 8),
            (Lookup(1, prefix(7, [10, 0, 0, 0])), ABSENT),
            (Lookup(1, prefix(32, [11, 0, 0, 0])), ABSENT),
            (Lookup(1, prefix(33, [10, 1, 2, 3])), ABSENT),
            (Update(1, prefix(0, [99, 0, 0, 0]), 0, 0), 0),
            (Lookup(1, prefix(32, [11, 0, 0, 0])), 0),
            (Update(1, prefix(24, [1, 2, 3, 0]), 1, 0), -28),
            (Update(1, prefix(16, [10, 1, 77, 77]), 17, 0), 0),
            (Lookup(1, prefix(32, [10, 1, 9, 9])), 17),
        ],
    ),
    xdp(
        "trie: flags and deletion",
        &[(MapKind::LpmTrie, 8, 4)],
        &[
            (Update(1, prefix(8, [10, 0, 0, 0]), 8, 2), -2),
            (Update(1, prefix(8, [10, 0, 0, 0]), 8, 1), 0),
            (Update(1, prefix(8, [10, 9, 9, 9]), 9, 1), -17),
            (Update(1, prefix(8, [10, 0, 0, 0]), 9, 3), -22),
            (Update(1, prefix(33, [10, 0, 0, 0]), 9, 0), -22),
            (Delete(1, prefix(9, [10, 0, 0, 0])), -2),
            (Delete(1, prefix(33, [10, 0, 0, 0])), -22),
            (Delete(1, prefix(8, [10, 1, 1, 1])), 0),
            (Lookup(1, prefix(32, [10, 0, 0, 0])), ABSENT),
        ],
    ),
    xdp(
        "redirect_map: the action where there is no element",
        &[(MapKind::DevMap, 4, 4)],
        &[
            (Call(51, &[Map(1), Number(0), Number(2)]), 2),
            (Call(51, &[Map(1), Number(9), Number(0)]), 0),
            (Call(51, &[Map(1), Number(0), Number(64)]), 0),
        ],
    ),
    xdp(
        "redirect: flags must be zero",
        &[],
        &[(Call(23, &[Number(1), Number(1)]), 0), (Call(23, &[Number(1), Number(0)]), 4)],
    ),
    xdp(
        "tail call: an empty element goes on",
        &[(MapKind::ProgramArray, 4, 4)],
        &[(TailCall(1, 0), 0), (TailCall(1, 4), 0), (Length, 34)],
    ),
    Scenario {
        after: &[],
        ..xdp(
            "xdp_adjust_head: bounds",
            &[],
            &[
                (Call(44, &[Context, Number(21)]), -22),
                (Call(44, &[Context, Number(-217)]), -22),
                (Call(44, &[Context, Number(-216)]), 0),
                (Length, 250),
                (Call(44, &[Context, Number(236)]), 0),
                (Length, 14),
                (Call(44, &[Context, Number(-20)]), 0),
                (Length, 34),
            ],
        )
    },
    Scenario {
        after: &[],
        ..xdp(
            "xdp_adjust_tail: bounds, and zeros where it grows",
            &[],
            &[
                (Call(65, &[Context, Number(-21)]), -22),
                (Call(65, &[Context, Number(-4)]), 0),
                (Length, 30),
                (Call(65, &[Context, Number(4)]), 0),
                (Fill(189, &[Context, Number(26), Buffer, Number(8)]), 0x0100_a8c0),
                (Call(65, &[Context, Number(3487)]), -22),
                (Call(65, &[Context, Number(3486)]), 0),
                (Length, 3520),
                (Call(188, &[Context]), 3520),
            ],
        )
    },
    xdp(
        "xdp_adjust_meta: alignment and bounds",
        &[],
        &[
            (Call(54, &[Context, Number(4)]), -22),
            (Call(54, &[Context, Number(-2)]), -13),
            (Call(54, &[Context, Number(-217)]), -22),
            (Call(54, &[Context, Number(-8)]), 0),
            (Call(44, &[Context, Number(-212)]), -22),
            (Call(54, &[Context, Number(8)]), 0),
        ],
    ),
    xdp(
        "xdp_load_bytes: bounds",
        &[],
        &[
            (Fill(189, &[Context, Number(26), Buffer, Number(8)]), 0xc700_a8c0_0100_a8c0_u64 as i64),
            (Call(189, &[Context, Number(27), Buffer, Number(8)]), -22),
            (Call(189, &[Context, Number(0x1_0000), Buffer, Number(8)]), -14),
            (Call(190, &[Context, Number(30), Bytes(&[0xc0, 0xa8, 0, 0xc7]), Number(4)]), 0),
            (Call(190, &[Context, Number(31), Bytes(&[1, 2, 3, 4]), Number(4)]), -22),
        ],
    ),
    xdp(
        "csum_diff: folded sums",
        &[],
        &[
            (Call(28, &[Number(0), Number(0), Bytes(&[1, 0, 0, 0]), Number(4), Number(0)]), 1),
            (Call(28, &[Number(0), Number(0), Bytes(&[0xff; 8]), Number(8), Number(0)]), 0xffff),
            (Call(28, &[Bytes(&[1, 0, 0, 0]), Number(4), Number(0), Number(0), Number(0)]), 0xfffe),
            (Call(28, &[Bytes(&[1, 0, 0, 0]), Number(4), Number(0), Number(0), Number(3)]), 2),
            (Call(28, &[Number(0), Number(0), Bytes(&[0; 4]), Number(4), Number(0x1_0002)]), 3),
        ],
    ),
    tc(
        "skb_load_bytes: bounds, and zeros where it fails",
        &[
            (Fill(26, &[Context, Number(26), Buffer, Number(8)]), 0xc700_a8c0_0100_a8c0_u64 as i64),
            (Call(26, &[Context, Number(27), Buffer, Number(8)]), -14),
            (Fill(26, &[Context, Number(27), Buffer, Number(8)]), 0),
            (Fill(26, &[Context, Number(-1), Buffer, Number(8)]), 0),
            (
                Fill(68, &[Context, Number(12), Buffer, Number(8), Number(1)]),
                0xc700_a8c0_0100_a8c0_u64 as i64,
            ),
            (Call(68, &[Context, Number(12), Buffer, Number(8), Number(2)]), -14),
            (Call(68, &[Context, Number(13), Buffer, Number(8), Number(1)]), -14),
        ],
    ),
    Scenario {
        after: CHANGED,
        ..tc(
            "a new source address with its checksum",
            &[
                (Call(10, &[Context, Number(24), Number(0x0100_a8c0), Number(0x0200_a8c0), Number(4)]), 0),
                (Call(9, &[Context, Number(26), Bytes(&[0xc0, 0xa8, 0, 2]), Number(4), Number(0)]), 0),
                (Call(9, &[Context, Number(26), Bytes(&[0xc0, 0xa8, 0, 2]), Number(4), Number(4)]), -22),
                (Call(9, &[Context, Number(32), Bytes(&[0xc0, 0xa8, 0, 2]), Number(4), Number(0)]), -14),
                (Call(10, &[Context, Number(25), Number(0), Number(0), Number(4)]), -14),
                (Call(10, &[Context, Number(34), Number(0), Number(0), Number(4)]), -14),
                (Call(10, &[Context, Number(24), Number(0), Number(0), Number(3)]), -22),
                (Call(10, &[Context, Number(24), Number(0), Number(0), Number(16)]), -22),
                (Call(10, &[Context, Number(24), Number(1), Number(0), Number(0)]), -22),
            ],
        )
    },
    Scenario {
        after: CHANGED,
        ..tc(
            "the same through l4_csum_replace and a difference",
            &[
                (Call(11, &[Context, Number(24), Number(0), Number(0x0100_0000), Number(0x10)]), 0),
                (Call(9, &[Context, Number(26), Bytes(&[0xc0, 0xa8, 0, 2]), Number(4), Number(1)]), 0),
                (Call(11, &[Context, Number(18), Number(0), Number(5), Number(0x20)]), 0),
                (Call(11, &[Context, Number(18), Number(0), Number(5), Number(0x100)]), -22),
            ],
        )
    },
    Scenario {
        after: &[],
        ..tc(
            "tails of skbs",
            &[
                (Call(38, &[Context, Number(13), Number(0)]), -22),
                (Call(38, &[Context, Number(30), Number(1)]), -22),
                (Call(38, &[Context, Number(30), Number(0)]), 0),
                (Call(39, &[Context, Number(30)]), 0),
                (Call(39, &[Context, Number(31)]), -12),
                (Call(39, &[Context, Number(0)]), 0),
                (Length, 30),
            ],
        )
    },
    tc(
        "small answers",
        &[
            (Call(32, &[Context, Number(4)]), -22),
            (Call(32, &[Context, Number(3)]), 0),
            (Call(40, &[Context, Number(1)]), -524),
            (Call(48, &[Context, Number(77)]), 0),
            (Call(34, &[Context]), 77),
            (Call(23, &[Number(1), Number(2)]), 2),
            (Call(23, &[Number(1), Number(1)]), 7),
        ],
    ),
    xdp(
        "ring buffers fill up",
        &[(MapKind::RingBuf, 0, 4096)],
        &[
            (Call(130, &[Map(1), Bytes(&[1, 2, 3, 4]), Number(4), Number(0)]), 0),
            (Call(130, &[Map(1), Bytes(&[1, 2, 3, 4]), Number(4), Number(4)]), -22),
            (Call(134, &[Map(1), Number(0)]), 16),
            (Call(134, &[Map(1), Number(1)]), 4096),
            (Call(134, &[Map(1), Number(2)]), 0),
            (Call(134, &[Map(1), Number(3)]), 16),
            (Call(134, &[Map(1), Number(9)]), 0),
        ],
    ),
];

/// What the program returns: `XDP_PASS` or `TC_ACT_OK`.
pub const fn result(kind: ProgramKind) -> u64 {
    match kind {
        ProgramKind::Xdp => 2,
        _ => 0,
    }
}

const CTX: Reg = Reg::R6;
const KEY: i16 = -8;
const VALUE: i16 = -16;
const BUFFER: i16 = -24;
const BYTES: i16 = -40;
const PARAMETERS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

impl Scenario {
    /// The object, with its one program.
    pub fn object(&self) -> Object {
        let mut insns = vec![Insn::mov64(CTX, Reg::R1)];
        for (number, (step, _)) in self.steps.iter().enumerate() {
            self.step(&mut insns, step);
            insns.push(Insn::LoadImm64 {
                dst: Reg::R1,
                kind: MAP_VALUE_INDEX,
                imm: RESULTS as u64 | (number as u64 * 8) << 32,
            });
            insns.push(Insn::store(Size::B8, Reg::R1, 0, Reg::R0));
        }
        insns.push(Insn::mov64(Reg::R0, result(self.kind) as i32));
        insns.push(Insn::Exit);
        let flow = Flow::new(insns).expect("steps are straight-line code");
        let program = Program { name: "scenario".to_owned(), kind: self.kind, flow };
        Object {
            programs: vec![program],
            maps: self.maps(),
            operations: Vec::new(),
            license: "GPL".to_owned(),
        }
    }

    fn maps(&self) -> Arc<[MapSpec]> {
        let results = self.steps.len() as u32 * 8;
        let mut maps = vec![spec("results".to_owned(), MapKind::Array, 4, results, 1)];
        for (index, (kind, key_size, entries)) in self.maps.iter().enumerate() {
            let value_size = match kind {
                MapKind::RingBuf => 0,
                MapKind::DevMap | MapKind::ProgramArray => 4,
                _ => 8,
            };
            maps.push(spec(format!("m{}", index + 1), *kind, *key_size, value_size, *entries));
        }
        maps.into()
    }

    fn step(&self, insns: &mut Vec<Insn>, step: &Step) {
        match *step {
            Lookup(map, key) => {
                self.on_map(insns, 1, map, key);
                insns.push(Insn::mov64(Reg::R1, ABSENT as i32));
                insns.push(Insn::jump(Cond::Eq, Reg::R0, 0, 1));
                insns.push(Insn::load(Size::B8, Reg::R1, Reg::R0, 0));
                insns.push(Insn::mov64(Reg::R0, Reg::R1));
            }
            Update(map, key, value, flags) => self.update(insns, map, key, value, flags),
            Delete(map, key) => self.on_map(insns, 3, map, key),
            Stale(map, key, value) => {
                self.on_map(insns, 1, map, key);
                let mut changed = Vec::new();
                self.update(&mut changed, map, key, value, 0);
                let skip = changed.iter().map(Insn::slots).sum::<usize>() + 2;
                insns.push(Insn::jump(Cond::Eq, Reg::R0, 0, skip as i16));
                insns.push(Insn::mov64(Reg::R7, Reg::R0));
                insns.append(&mut changed);
                insns.push(Insn::load(Size::B8, Reg::R0, Reg::R7, 0));
            }
            Call(id, arguments) => call(insns, id, arguments),
            Fill(id, arguments) => {
                call(insns, id, arguments);
                insns.push(Insn::load(Size::B8, Reg::R0, Reg::R10, BUFFER));
            }
            TailCall(map, index) => {
                call(insns, 12, &[Context, Map(map), Number(index)]);
                insns.push(Insn::mov64(Reg::R0, 0));
            }
            Length => {
                let (data, end) = if self.kind == ProgramKind::Xdp { (0, 4) } else { (76, 80) };
                insns.push(Insn::load(Size::B4, Reg::R1, CTX, data));
                insns.push(Insn::load(Size::B4, Reg::R0, CTX, end));
                insns.push(Insn::alu64(AluOp::Sub, Reg::R0, Reg::R1));
            }
        }
    }

    fn on_map(&self, insns: &mut Vec<Insn>, id: i32, map: usize, key: u64) {
        put(insns, KEY, key);
        insns.push(Insn::LoadImm64 { dst: Reg::R1, kind: MAP_INDEX, imm: map as u64 });
        address(insns, Reg::R2, KEY);
        insns.push(Insn::call_helper(id));
    }

    fn update(&self, insns: &mut Vec<Insn>, map: usize, key: u64, value: u64, flags: i32) {
        put(insns, VALUE, value);
        address(insns, Reg::R3, VALUE);
        insns.push(Insn::mov64(Reg::R4, flags));
        self.on_map(insns, 2, map, key);
    }
}

fn spec(name: String, kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    let flags = u32::from(kind == MapKind::LpmTrie);
    MapSpec { name, kind, key_size, value_size, max_entries, flags, initial: Vec::new() }
}

/// Stores eight bytes of the stack.
fn put(insns: &mut Vec<Insn>, offset: i16, value: u64) {
    insns.push(Insn::load_imm64(Reg::R1, value));
    insns.push(Insn::store(Size::B8, Reg::R10, offset, Reg::R1));
}

fn address(insns: &mut Vec<Insn>, register: Reg, offset: i16) {
    insns.push(Insn::mov64(register, Reg::R10));
    insns.push(Insn::alu64(AluOp::Add, register, i32::from(offset)));
}

fn call(insns: &mut Vec<Insn>, id: i32, arguments: &[Arg]) {
    put(insns, BUFFER, u64::MAX);
    for argument in arguments {
        if let Bytes(bytes) = argument {
            for (index, word) in bytes.chunks(8).enumerate() {
                let mut padded = [0; 8];
                padded[..word.len()].copy_from_slice(word);
                put(insns, BYTES + 8 * index as i16, u64::from_le_bytes(padded));
            }
        }
    }
    for (register, argument) in PARAMETERS.into_iter().zip(arguments) {
        match *argument {
            Context => insns.push(Insn::mov64(register, CTX)),
            Map(map) => insns.push(Insn::LoadImm64 { dst: register, kind: MAP_INDEX, imm: map as u64 }),
            Number(number) => insns.push(Insn::mov64(register, number)),
            Bytes(_) => address(insns, register, BYTES),
            Buffer => address(insns, register, BUFFER),
        }
    }
    insns.push(Insn::call_helper(id));
}
