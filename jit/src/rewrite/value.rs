// SPDX-License-Identifier: GPL-2.0-or-later
//! What registers hold, as a graph of values: moves leave no trace in it, and equal computations are one value.

use std::collections::HashMap;

use kop_ops::ebpf::{AluOp, AtomicOp, EndKind, Insn, Operand, Reg, Size, Width};
use kop_semantics::Integers;
use kop_semantics::ebpf::{Machine, step};

use super::region::{Item, Region};

/// A value of 64 bits. Those that it is computed from have smaller numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Value(u32);

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// What a register holds where the region begins.
    Entry(Reg),
    /// What the load at this index of the program loads.
    Load {
        /// The index.
        at: usize,
        /// Bytes loaded.
        size: Size,
        /// Whether the value is sign-extended.
        signed: bool,
        /// The address, less the offset.
        base: Value,
        /// The offset.
        off: i16,
    },
    /// What the instruction, or the site in place of the instruction, at this index leaves in a register; nothing is known of it.
    Opaque(usize, Reg),
    /// The address of a map or another object: an `ld_imm64` of this kind and immediate.
    Reference(u8, u64),
    /// A number.
    Constant(u64),
    /// What this instruction makes of r0 and r1 in r0, where they hold these values.
    Computed(Insn, Value, Value),
}

/// The values of one program.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// For each value the bits that may be set.
    masks: Vec<u64>,
    known: HashMap<Node, Value>,
}

/// What every register holds.
pub(super) type Registers = [Value; 11];

impl Graph {
    /// Where the value comes from.
    pub fn node(&self, value: Value) -> Node {
        self.nodes[value.0 as usize]
    }

    /// The value without numbers that are added to it: addresses at a known distance have it in common.
    pub fn object(&self, mut value: Value) -> Value {
        while let Node::Computed(Insn::Alu { op: AluOp::Add, width: Width::W64, .. }, of, by) =
            self.node(value)
            && matches!(self.node(by), Node::Constant(_))
        {
            value = of;
        }
        value
    }

    /// The bits of the value that may be set.
    pub fn mask(&self, value: Value) -> u64 {
        self.masks[value.0 as usize]
    }

    /// The value of this origin.
    pub fn value(&mut self, node: Node) -> Value {
        if let Some(known) = self.known.get(&node) {
            return *known;
        }
        let mask = self.mask_of(node);
        let value = Value(self.nodes.len() as u32);
        self.nodes.push(node);
        self.masks.push(mask);
        self.known.insert(node, value);
        value
    }

    /// What registers hold where a region begins.
    pub fn entry(&mut self) -> Registers {
        Reg::ALL.map(|register| self.value(Node::Entry(register)))
    }

    /// What registers hold before each item of a region, and behind the last.
    pub fn states(&mut self, region: &Region, start: Registers) -> Vec<Registers> {
        let mut states = Vec::with_capacity(region.items.len() + 1);
        let mut now = start;
        for item in &region.items {
            states.push(now);
            self.pass(region, item, &mut now);
        }
        states.push(now);
        states
    }

    /// Changes registers as an item does.
    pub fn pass(&mut self, region: &Region, item: &Item, registers: &mut Registers) {
        match item {
            Item::Kept(origin) => self.pass_insn(&region.flow.insns()[*origin], *origin, registers),
            Item::Move { to, from, .. } => registers[to.index()] = registers[from.index()],
            Item::Site(site) => {
                for register in site.dead.iter() {
                    registers[register.index()] = self.value(Node::Opaque(site.at, register));
                }
                for register in site.results().iter() {
                    let known = site.values.iter().find(|(result, _)| *result == register);
                    registers[register.index()] = match known {
                        Some((_, value)) => *value,
                        None => self.value(Node::Opaque(site.at, register)),
                    };
                }
            }
        }
    }

    fn pass_insn(&mut self, insn: &Insn, at: usize, registers: &mut Registers) {
        let result = match *insn {
            Insn::Alu { op, width, dst, src } => {
                let right = match src {
                    Operand::Reg(register) => registers[register.index()],
                    Operand::Imm(imm) => self.immediate(width, imm),
                };
                Some((dst, self.alu(op, width, registers[dst.index()], right)))
            }
            Insn::Neg { width, dst } => {
                let value = registers[dst.index()];
                Some((dst, self.computed(Insn::Neg { width, dst: Reg::R0 }, value, value)))
            }
            Insn::End { kind, bits, dst } => {
                let value = registers[dst.index()];
                // The host order is little-endian.
                let is_move = kind == EndKind::ToLe && bits == 64;
                let insn = Insn::End { kind, bits, dst: Reg::R0 };
                Some((dst, if is_move { value } else { self.computed(insn, value, value) }))
            }
            Insn::LoadImm64 { dst, kind, imm } => Some((
                dst,
                self.value(if kind == 0 { Node::Constant(imm) } else { Node::Reference(kind, imm) }),
            )),
            Insn::Load { size, signed, dst, base, off } => {
                let base = registers[base.index()];
                Some((dst, self.value(Node::Load { at, size, signed, base, off })))
            }
            _ => None,
        };
        match result {
            Some((dst, value)) => registers[dst.index()] = value,
            None => {
                for register in insn.writes().iter() {
                    registers[register.index()] = self.value(Node::Opaque(at, register));
                }
            }
        }
    }

    fn immediate(&mut self, width: Width, imm: i32) -> Value {
        self.value(Node::Constant(match width {
            Width::W64 => imm as i64 as u64,
            Width::W32 => u64::from(imm as u32),
        }))
    }

    fn alu(&mut self, op: AluOp, width: Width, left: Value, right: Value) -> Value {
        if op == AluOp::Mov && (width == Width::W64 || self.mask(right) >> 32 == 0) {
            return right;
        }
        let left = if op.is_move() { right } else { left };
        let src = if op.is_move() { Reg::R0 } else { Reg::R1 };
        self.computed(Insn::alu(op, width, Reg::R0, src), left, right)
    }

    fn computed(&mut self, insn: Insn, left: Value, right: Value) -> Value {
        if let (Node::Constant(a), Node::Constant(b)) = (self.node(left), self.node(right)) {
            return self.value(Node::Constant(run(&insn, a, b)));
        }
        self.value(Node::Computed(insn, left, right))
    }

    /// The bits that may be set, as far as one step shows.
    fn mask_of(&self, node: Node) -> u64 {
        match node {
            Node::Constant(number) => number,
            Node::Load { size, signed: false, .. } => low(size.bits()),
            Node::Computed(insn, left, right) => self.mask_of_computed(&insn, left, right),
            _ => u64::MAX,
        }
    }

    fn mask_of_computed(&self, insn: &Insn, left: Value, right: Value) -> u64 {
        let (a, b) = (self.mask(left), self.mask(right));
        match *insn {
            Insn::End { bits, .. } => low(bits.into()),
            Insn::Neg { width, .. } => low(width.bits()),
            Insn::Alu { op, width, .. } => {
                let amount = match self.node(right) {
                    Node::Constant(number) => Some(number as u32 & (width.bits() - 1)),
                    _ => None,
                };
                let all = low(width.bits());
                all & match (op, amount) {
                    (AluOp::Mov, _) => a,
                    (AluOp::And, _) => a & b,
                    (AluOp::Or | AluOp::Xor, _) => a | b,
                    (AluOp::Rsh, Some(amount)) => (a & all) >> amount,
                    (AluOp::Lsh, Some(amount)) => a << amount,
                    _ => u64::MAX,
                }
            }
            _ => u64::MAX,
        }
    }
}

/// The number whose `bits` lowest bits are set, 1 to 64.
pub(super) fn low(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

/// Whether an instruction computes what it writes from registers and numbers alone.
pub(super) fn is_pure(insn: &Insn) -> bool {
    matches!(insn, Insn::Alu { .. } | Insn::Neg { .. } | Insn::End { .. } | Insn::LoadImm64 { .. })
}

/// What `insn` leaves in r0.
pub(super) fn run(insn: &Insn, r0: u64, r1: u64) -> u64 {
    let mut calculator = Calculator { registers: [r0, r1], domain: Integers };
    match step(&mut calculator, insn) {
        Ok(_) => calculator.registers[0],
        Err(NoMemory) => unreachable!("what is computed accesses no memory"),
    }
}

/// r0 and r1.
struct Calculator {
    registers: [u64; 2],
    domain: Integers,
}

struct NoMemory;

impl Machine for Calculator {
    type Domain = Integers;
    type Stop = NoMemory;

    fn domain(&mut self) -> &mut Integers {
        &mut self.domain
    }

    fn get(&mut self, register: Reg) -> u64 {
        self.registers[register.index()]
    }

    fn set(&mut self, register: Reg, value: u64) {
        self.registers[register.index()] = value;
    }

    fn load(&mut self, _size: Size, _address: u64) -> Result<u64, NoMemory> {
        Err(NoMemory)
    }

    fn store(&mut self, _size: Size, _address: u64, _value: u64) -> Result<(), NoMemory> {
        Err(NoMemory)
    }

    fn begin_atomic(&mut self, _op: AtomicOp, _size: Size, _address: u64) -> Result<(), NoMemory> {
        Err(NoMemory)
    }

    fn reference(&mut self, _kind: u8, _imm: u64) -> Result<u64, NoMemory> {
        Err(NoMemory)
    }
}
