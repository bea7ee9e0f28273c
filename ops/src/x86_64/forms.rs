// SPDX-License-Identifier: GPL-2.0-or-later
//! Every form of every instruction, once: enumerated with each register and boundary value for the check against
//! independent assemblers, and drawn at random.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::insn::{
    AluOp, Amount, Base, BmiRmvOp, BmiRvmOp, BmiVmOp, Cond, CountOp, DoubleShiftOp, Insn, LockedOp, Mem,
    Nullary, Operand, PrefetchOp, Rel, Rm, Scale, ShiftOp, SseImmOp, SseOp, SseShiftOp, StringOp, UnaryOp,
    XmmRm,
};
use super::register::{Gpr, Size, Xmm};
use crate::choices::Choices;

/// Every form with its operands varied one at a time over every register and over boundary immediates, displacements and
/// addressing modes, and with every pair of registers; in a fixed order, each instruction once.
pub fn samples() -> Vec<Insn> {
    let mut samples: Vec<Insn> = FORMS.iter().flat_map(|form| enumerate(form.as_ref())).collect();
    samples.extend(every_address().map(|mem| load(Gpr::R9, mem)));
    samples.extend(accumulator_moves());
    samples.sort_unstable();
    samples.dedup();
    samples
}

/// A random instruction that has an encoding, every form being equally likely.
pub fn random(choices: &mut impl Choices) -> Insn {
    let form = &FORMS[choices.below(FORMS.len() as u64) as usize];
    form(&mut Random(choices))
}

/// Instructions that have no encoding, for every rule that an instruction can break.
pub fn invalid() -> Vec<Insn> {
    let mut invalid = bad_sizes();
    invalid.extend(bad_addresses());
    invalid.extend(bad_immediates());
    invalid.extend(bad_combinations());
    invalid
}

/// The independent assembler that an instruction's encoding is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// Keystone 0.9, in-process.
    Keystone,
    /// GNU as, for what Keystone refuses or assembles to something else.
    GnuAs,
}

/// The assembler that judges `insn`: Keystone unless it has a fault there.
pub fn reference(insn: &Insn) -> Reference {
    if keystone_fault(insn).is_some() { Reference::GnuAs } else { Reference::Keystone }
}

/// What Keystone 0.9 does not do as we and GNU as do for `insn`, or `None` where all three agree.
pub fn keystone_fault(insn: &Insn) -> Option<&'static str> {
    match *insn {
        _ if names_absolute(insn, 0..=i32::MAX) => {
            Some("a non-negative absolute address becomes relative to rip, with a wrong displacement")
        }
        Insn::Mov { dst: Rm::Reg(Gpr::Rax), .. } | Insn::Mov { src: Operand::Reg(Gpr::Rax), .. }
            if names_absolute(insn, i32::MIN..=-1) =>
        {
            Some("a move between rax and an absolute address takes the longer form with a 64-bit address")
        }
        Insn::JmpRel { .. } | Insn::JccRel { .. } | Insn::CallRel { .. } => {
            Some("a target relative to the instruction, `.+8`, is refused")
        }
        Insn::Nullary(Nullary::Endbr64) | Insn::Vpopcnt { .. } => Some("unknown mnemonic"),
        Insn::String { op: StringOp::Movs, size: Size::B4, .. } => {
            Some("`movsd` is known with two operands only, as the SSE2 instruction")
        }
        Insn::String { size: Size::B2, rep: true, .. } => Some("`rep` is put before the operand size prefix"),
        Insn::Locked { size: Size::B2, .. } => Some("`lock` is put before the operand size prefix"),
        Insn::Push { src: Operand::Imm(0xff80..=0xffff) } => {
            Some("an immediate that is a small negative number in 16 bits is taken for that number")
        }
        _ => None,
    }
}

/// Whether the instruction names `[disp]` with a displacement in `range`.
fn names_absolute(insn: &Insn, range: RangeInclusive<i32>) -> bool {
    matches!(insn.mem(), Some(Mem { base: Base::Zero, index: None, disp }) if range.contains(&disp))
}

/// Where a form takes its operands from.
trait Source {
    fn gpr(&mut self) -> Gpr;
    fn xmm(&mut self) -> Xmm;
    fn mem(&mut self) -> Mem;
    /// A signed immediate of an operand of `size`.
    fn imm(&mut self, size: Size) -> i32;
    fn imm64(&mut self) -> u64;
    /// A number in `0..limit`.
    fn below(&mut self, limit: u16) -> u8;

    fn rm(&mut self, place: Place) -> Rm {
        match place {
            Place::Register => self.gpr().into(),
            Place::Memory => self.mem().into(),
        }
    }

    fn xmm_rm(&mut self, place: Place) -> XmmRm {
        match place {
            Place::Register => self.xmm().into(),
            Place::Memory => self.mem().into(),
        }
    }

    fn amount(&mut self, size: Size) -> Amount {
        Amount::Imm(self.below(if size == Size::B8 { 64 } else { 32 }))
    }
}

/// Where an operand is that may be in either.
#[derive(Clone, Copy)]
enum Place {
    Register,
    Memory,
}

const PLACES: [Place; 2] = [Place::Register, Place::Memory];
const WORDS: [Size; 3] = [Size::B2, Size::B4, Size::B8];
const DOUBLEWORDS: [Size; 2] = [Size::B4, Size::B8];

type Form = Box<dyn Fn(&mut dyn Source) -> Insn + Send + Sync>;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let mut forms = Forms(Vec::new());
    forms.moves();
    forms.arithmetic();
    forms.multiplications();
    forms.shifts();
    forms.bits();
    forms.conditionals();
    forms.atomics();
    forms.control_flow();
    forms.without_operands();
    forms.simd();
    forms.0
});

struct Forms(Vec<Form>);

impl Forms {
    fn add(&mut self, form: impl Fn(&mut dyn Source) -> Insn + Send + Sync + 'static) {
        self.0.push(Box::new(form));
    }

    /// The five combinations of a destination in a register or in memory and a register, memory or immediate source.
    fn two_operands(
        &mut self,
        size: Size,
        insn: impl Fn(Rm, Operand) -> Insn + Copy + Send + Sync + 'static,
    ) {
        for place in PLACES {
            self.add(move |s| insn(s.rm(place), s.gpr().into()));
            self.add(move |s| insn(s.rm(place), s.imm(size).into()));
        }
        self.add(move |s| insn(s.gpr().into(), s.mem().into()));
    }

    fn moves(&mut self) {
        for size in Size::ALL {
            self.two_operands(size, move |dst, src| Insn::Mov { size, dst, src });
        }
        self.add(|s| Insn::Movabs { dst: s.gpr(), imm: s.imm64() });
        for place in PLACES {
            for (src_size, size) in larger_sizes() {
                if src_size != Size::B4 {
                    self.add(move |s| Insn::Movzx { size, dst: s.gpr(), src_size, src: s.rm(place) });
                }
                if src_size != Size::B4 || size == Size::B8 {
                    self.add(move |s| Insn::Movsx { size, dst: s.gpr(), src_size, src: s.rm(place) });
                }
            }
        }
        for size in WORDS {
            self.add(move |s| Insn::Lea { size, dst: s.gpr(), mem: s.mem() });
            self.add(move |s| Insn::MovbeLoad { size, dst: s.gpr(), src: s.mem() });
            self.add(move |s| Insn::MovbeStore { size, dst: s.mem(), src: s.gpr() });
        }
    }

    fn arithmetic(&mut self) {
        for size in Size::ALL {
            for &op in AluOp::ALL {
                self.two_operands(size, move |dst, src| Insn::Alu { op, size, dst, src });
            }
            for place in PLACES {
                self.add(move |s| Insn::Test { size, dst: s.rm(place), src: s.gpr().into() });
                self.add(move |s| Insn::Test { size, dst: s.rm(place), src: s.imm(size).into() });
                for &op in UnaryOp::ALL {
                    self.add(move |s| Insn::Unary { op, size, dst: s.rm(place) });
                }
            }
        }
    }

    fn multiplications(&mut self) {
        for (size, place) in product(&WORDS) {
            self.add(move |s| Insn::Imul { size, dst: s.gpr(), src: s.rm(place) });
            self.add(move |s| Insn::ImulImm { size, dst: s.gpr(), src: s.rm(place), imm: s.imm(size) });
        }
    }

    fn shifts(&mut self) {
        for (size, place) in product(&Size::ALL) {
            for &op in ShiftOp::ALL {
                self.add(move |s| Insn::Shift { op, size, dst: s.rm(place), amount: s.amount(size) });
                self.add(move |s| Insn::Shift { op, size, dst: s.rm(place), amount: Amount::Cl });
            }
        }
        for (size, place) in product(&WORDS) {
            for &op in DoubleShiftOp::ALL {
                self.add(move |s| {
                    let (dst, src) = (s.rm(place), s.gpr());
                    Insn::DoubleShift { op, size, dst, src, amount: s.amount(size) }
                });
                self.add(move |s| Insn::DoubleShift {
                    op,
                    size,
                    dst: s.rm(place),
                    src: s.gpr(),
                    amount: Amount::Cl,
                });
            }
        }
        for (size, place) in product(&DOUBLEWORDS) {
            self.add(move |s| {
                let (dst, src) = (s.gpr(), s.rm(place));
                Insn::Rorx { size, dst, src, amount: s.below(if size == Size::B8 { 64 } else { 32 }) }
            });
        }
    }

    fn bits(&mut self) {
        for (size, place) in product(&DOUBLEWORDS) {
            for &op in BmiRmvOp::ALL {
                self.add(move |s| Insn::BmiRmv {
                    op,
                    size,
                    dst: s.gpr(),
                    src: s.rm(place),
                    control: s.gpr(),
                });
            }
            for &op in BmiRvmOp::ALL {
                self.add(move |s| Insn::BmiRvm { op, size, dst: s.gpr(), src1: s.gpr(), src2: s.rm(place) });
            }
            for &op in BmiVmOp::ALL {
                self.add(move |s| Insn::BmiVm { op, size, dst: s.gpr(), src: s.rm(place) });
            }
        }
        for (size, place) in product(&WORDS) {
            for &op in CountOp::ALL {
                self.add(move |s| Insn::Count { op, size, dst: s.gpr(), src: s.rm(place) });
            }
        }
        for (size, place) in product(&Size::ALL) {
            self.add(move |s| Insn::Crc32 { size, dst: s.gpr(), src: s.rm(place) });
        }
        for size in DOUBLEWORDS {
            self.add(move |s| Insn::Bswap { size, dst: s.gpr() });
        }
    }

    fn conditionals(&mut self) {
        for cond in Cond::ALL {
            for (size, place) in product(&WORDS) {
                self.add(move |s| Insn::Cmov { cond, size, dst: s.gpr(), src: s.rm(place) });
            }
            for place in PLACES {
                self.add(move |s| Insn::Setcc { cond, dst: s.rm(place) });
            }
            self.add(move |s| Insn::JccRel { cond, rel: Rel::Short, disp: s.imm(Size::B1) });
            self.add(move |s| Insn::JccRel { cond, rel: Rel::Near, disp: s.imm(Size::B4) });
        }
    }

    fn atomics(&mut self) {
        for size in Size::ALL {
            for place in PLACES {
                self.add(move |s| Insn::Xchg { size, dst: s.rm(place), src: s.gpr() });
            }
            for &op in LockedOp::ALL {
                self.add(move |s| Insn::Locked { op, size, dst: s.mem(), src: s.gpr() });
            }
        }
    }

    fn control_flow(&mut self) {
        for place in PLACES {
            self.add(move |s| Insn::Push { src: s.rm(place).into() });
            self.add(move |s| Insn::Pop { dst: s.rm(place) });
            self.add(move |s| Insn::JmpRm { target: s.rm(place) });
            self.add(move |s| Insn::CallRm { target: s.rm(place) });
        }
        self.add(|s| Insn::Push { src: s.imm(Size::B8).into() });
        self.add(|s| Insn::JmpRel { rel: Rel::Short, disp: s.imm(Size::B1) });
        self.add(|s| Insn::JmpRel { rel: Rel::Near, disp: s.imm(Size::B4) });
        self.add(|s| Insn::CallRel { disp: s.imm(Size::B4) });
    }

    fn without_operands(&mut self) {
        for &nullary in Nullary::ALL {
            self.add(move |_| Insn::Nullary(nullary));
        }
        for &op in StringOp::ALL {
            for size in Size::ALL {
                self.add(move |_| Insn::String { op, size, rep: false });
                self.add(move |_| Insn::String { op, size, rep: true });
            }
        }
        for &op in PrefetchOp::ALL {
            self.add(move |s| Insn::Prefetch { op, mem: s.mem() });
        }
    }

    fn simd(&mut self) {
        for (size, place) in product(&DOUBLEWORDS) {
            let lanes = if size == Size::B8 { 2 } else { 4 };
            self.add(move |s| Insn::MovToXmm { size, dst: s.xmm(), src: s.rm(place) });
            self.add(move |s| Insn::MovFromXmm { size, dst: s.rm(place), src: s.xmm() });
            self.add(move |s| Insn::Pextr { size, dst: s.rm(place), src: s.xmm(), lane: s.below(lanes) });
            self.add(move |s| Insn::Pinsr { size, dst: s.xmm(), src: s.rm(place), lane: s.below(lanes) });
        }
        for place in PLACES {
            self.add(move |s| Insn::Movdqu { dst: s.xmm(), src: s.xmm_rm(place) });
            for &op in SseOp::ALL {
                self.add(move |s| Insn::Sse { op, dst: s.xmm(), src: s.xmm_rm(place) });
            }
            for &op in SseImmOp::ALL {
                self.add(move |s| Insn::SseImm { op, dst: s.xmm(), src: s.xmm_rm(place), imm: s.below(256) });
            }
        }
        for size in DOUBLEWORDS {
            self.add(move |s| Insn::Vpopcnt { size, dst: s.xmm(), src: s.xmm() });
        }
        self.add(|s| Insn::MovdquStore { dst: s.mem(), src: s.xmm() });
        for &op in SseShiftOp::ALL {
            self.add(move |s| Insn::SseShift { op, dst: s.xmm(), amount: s.below(256) });
        }
    }
}

fn product(sizes: &[Size]) -> impl Iterator<Item = (Size, Place)> {
    sizes.iter().flat_map(|&size| PLACES.map(|place| (size, place)))
}

/// Every size with every larger one.
fn larger_sizes() -> impl Iterator<Item = (Size, Size)> {
    let pairs = Size::ALL.into_iter().flat_map(|small| Size::ALL.map(|large| (small, large)));
    pairs.filter(|(small, large)| small < large)
}

fn load(dst: Gpr, mem: Mem) -> Insn {
    Insn::Mov { size: Size::B8, dst: dst.into(), src: mem.into() }
}

/// The instructions of one form: each operand through all its values while the others keep theirs, and each pair of
/// registers.
fn enumerate(form: &dyn Fn(&mut dyn Source) -> Insn) -> Vec<Insn> {
    let mut numbered = Numbered::default();
    let mut insns = vec![form(&mut numbered)];
    let operands = numbered.operands;
    let mut run = |values: &[(usize, usize)]| {
        let mut numbered = Numbered { values: values.to_vec(), operands: Vec::new() };
        insns.push(form(&mut numbered));
    };
    for (i, one) in operands.iter().enumerate() {
        (0..one.values).for_each(|v| run(&[(i, v)]));
        for (j, two) in operands.iter().enumerate().skip(i + 1) {
            if one.is_register && two.is_register {
                (0..one.values).for_each(|v| (0..two.values).for_each(|w| run(&[(i, v), (j, w)])));
            }
        }
    }
    insns
}

/// What a form asked for as one operand.
struct Asked {
    values: usize,
    is_register: bool,
}

/// Gives the operands by number, and keeps what was asked for.
#[derive(Default)]
struct Numbered {
    /// Position and value; the other operands get different values in the middle of their ranges.
    values: Vec<(usize, usize)>,
    operands: Vec<Asked>,
}

impl Numbered {
    fn next(&mut self, values: usize, is_register: bool) -> usize {
        let position = self.operands.len();
        self.operands.push(Asked { values, is_register });
        let chosen = self.values.iter().find(|(operand, _)| *operand == position);
        chosen.map_or((position * 6 + 1) % values, |(_, value)| *value)
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.next(values.len(), false)]
    }
}

impl Source for Numbered {
    fn gpr(&mut self) -> Gpr {
        Gpr::ALL[self.next(Gpr::ALL.len(), true)]
    }

    fn xmm(&mut self) -> Xmm {
        Xmm::ALL[self.next(Xmm::ALL.len(), true)]
    }

    fn mem(&mut self) -> Mem {
        self.of(&ADDRESSES)
    }

    fn imm(&mut self, size: Size) -> i32 {
        let fitting: Vec<i32> = BOUNDARIES.into_iter().filter(|&imm| fits(size, imm)).collect();
        self.of(&fitting)
    }

    fn imm64(&mut self) -> u64 {
        let wide =
            [1 << 31, u64::from(u32::MAX), 1 << 32, 1 << 63, i64::MAX.cast_unsigned(), 0x0123_4567_89ab_cdef];
        let narrow = BOUNDARIES.map(|imm| i64::from(imm).cast_unsigned());
        self.of(&[&wide[..], &narrow[..]].concat())
    }

    fn below(&mut self, limit: u16) -> u8 {
        u8::try_from(self.next(limit.into(), false)).unwrap_or(u8::MAX)
    }
}

/// The values at which an immediate's or a displacement's encoding changes, and one without symmetry.
const BOUNDARIES: [i32; 19] = [
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    -128,
    -129,
    256,
    32767,
    32768,
    65535,
    -32768,
    -32769,
    i32::MAX,
    i32::MIN,
    i32::MIN + 1,
    0x1234_5678,
];

fn fits(size: Size, imm: i32) -> bool {
    match size {
        Size::B1 => i8::try_from(imm).is_ok(),
        Size::B2 => i16::try_from(imm).is_ok(),
        Size::B4 | Size::B8 => true,
    }
}

/// Every register as base and as index, every scale, and every kind of address with boundary displacements.
static ADDRESSES: LazyLock<Vec<Mem>> = LazyLock::new(|| {
    let bases = Gpr::ALL.into_iter().flat_map(|base| [0, -8].map(|disp| Mem::at(base, disp)));
    let indexed = Gpr::ALL.into_iter().flat_map(|base| {
        [Mem::at(base, 0).index(Gpr::R9, Scale::S1), Mem::at(base, 0x400).index(Gpr::Rbx, Scale::S8)]
    });
    let indices = indices()
        .flat_map(|reg| [Mem::at(Gpr::Rcx, 8).index(reg, Scale::S2), Mem::absolute(8).index(reg, Scale::S4)]);
    let scales = Scale::ALL.into_iter().map(|scale| Mem::at(Gpr::R13, 0).index(Gpr::R12, scale));
    let displaced = BOUNDARIES.into_iter().flat_map(|disp| {
        let indexed = Mem::at(Gpr::Rax, disp).index(Gpr::Rbp, Scale::S4);
        [Mem::at(Gpr::Rdx, disp), indexed, Mem::absolute(disp), Mem::rip(disp)]
    });
    bases.chain(indexed).chain(indices).chain(scales).chain(displaced).collect()
});

/// The registers that may be an index.
fn indices() -> impl Iterator<Item = Gpr> {
    Gpr::ALL.into_iter().filter(|&reg| reg != Gpr::Rsp)
}

/// Every base, none and `rip` included, with every index and scale, none included, and displacements of every length.
fn every_address() -> impl Iterator<Item = Mem> {
    let bases = Gpr::ALL.into_iter().map(Base::Reg).chain([Base::Zero, Base::Rip]);
    let plain = bases.flat_map(|base| [0, 1, -300].map(|disp| Mem { base, index: None, disp }));
    plain.flat_map(|mem| {
        let scaled = indices().flat_map(move |reg| Scale::ALL.map(|scale| mem.index(reg, scale)));
        scaled.filter(|mem| mem.base != Base::Rip).chain([mem])
    })
}

/// Moves between `rax` and absolute addresses, for which there are forms of their own that are longer.
fn accumulator_moves() -> impl Iterator<Item = Insn> {
    let moves = |size| BOUNDARIES.map(|disp| [(size, disp, true), (size, disp, false)]);
    Size::ALL.into_iter().flat_map(moves).flatten().map(|(size, disp, load)| {
        let (reg, mem) = (Gpr::Rax, Mem::absolute(disp));
        match load {
            true => Insn::Mov { size, dst: reg.into(), src: mem.into() },
            false => Insn::Mov { size, dst: mem.into(), src: reg.into() },
        }
    })
}

/// Draws operands; boundary values half of the time.
struct Random<'a, C>(&'a mut C);

impl<C: Choices> Random<'_, C> {
    fn disp(&mut self) -> i32 {
        match self.0.below(3) {
            0 => 0,
            1 => self.imm(Size::B1),
            _ => self.imm(Size::B4),
        }
    }
}

impl<C: Choices> Source for Random<'_, C> {
    fn gpr(&mut self) -> Gpr {
        *self.0.pick(&Gpr::ALL)
    }

    fn xmm(&mut self) -> Xmm {
        *self.0.pick(&Xmm::ALL)
    }

    fn mem(&mut self) -> Mem {
        let disp = self.disp();
        let base = match self.0.below(10) {
            0 => return Mem::rip(disp),
            1 => Base::Zero,
            _ => Base::Reg(self.gpr()),
        };
        let mem = Mem { base, index: None, disp };
        let index = self.gpr();
        if index == Gpr::Rsp || self.0.one_in(2) {
            return mem;
        }
        mem.index(index, *self.0.pick(&Scale::ALL))
    }

    fn imm(&mut self, size: Size) -> i32 {
        let boundary = *self.0.pick(&BOUNDARIES);
        if self.0.one_in(2) && fits(size, boundary) {
            return boundary;
        }
        let bits = self.0.bits().cast_signed();
        match size {
            Size::B1 => (bits >> 56) as i32,
            Size::B2 => (bits >> 48) as i32,
            Size::B4 | Size::B8 => (bits >> 32) as i32,
        }
    }

    fn imm64(&mut self) -> u64 {
        let shift = self.0.below(64);
        self.0.bits() >> shift
    }

    fn below(&mut self, limit: u16) -> u8 {
        u8::try_from(self.0.below(limit.into())).unwrap_or(u8::MAX)
    }
}

/// Operand sizes that do not exist.
fn bad_sizes() -> Vec<Insn> {
    let (dst, reg, mem) = (Gpr::Rcx, Rm::Reg(Gpr::Rdx), Mem::at(Gpr::Rdx, 0));
    let xmm = Xmm::ALL[3];
    let mut bad = Vec::new();
    for size in [Size::B1, Size::B2] {
        bad.push(Insn::Bswap { size, dst });
        bad.push(Insn::Rorx { size, dst, src: reg, amount: 1 });
        bad.push(Insn::MovToXmm { size, dst: xmm, src: reg });
        bad.push(Insn::MovFromXmm { size, dst: reg, src: xmm });
        bad.push(Insn::Pextr { size, dst: reg, src: xmm, lane: 0 });
        bad.push(Insn::Vpopcnt { size, dst: xmm, src: xmm });
        bad.push(Insn::Pinsr { size, dst: xmm, src: reg, lane: 0 });
        bad.extend(BmiRmvOp::ALL.iter().map(|&op| Insn::BmiRmv { op, size, dst, src: reg, control: dst }));
        bad.extend(BmiRvmOp::ALL.iter().map(|&op| Insn::BmiRvm { op, size, dst, src1: dst, src2: reg }));
        bad.extend(BmiVmOp::ALL.iter().map(|&op| Insn::BmiVm { op, size, dst, src: reg }));
    }
    let size = Size::B1;
    bad.push(Insn::Lea { size, dst, mem });
    bad.push(Insn::MovbeLoad { size, dst, src: mem });
    bad.push(Insn::MovbeStore { size, dst: mem, src: dst });
    bad.push(Insn::Imul { size, dst, src: reg });
    bad.push(Insn::ImulImm { size, dst, src: reg, imm: 1 });
    bad.push(Insn::Cmov { cond: Cond::E, size, dst, src: reg });
    bad.extend(CountOp::ALL.iter().map(|&op| Insn::Count { op, size, dst, src: reg }));
    for &op in DoubleShiftOp::ALL {
        bad.push(Insn::DoubleShift { op, size, dst: reg, src: dst, amount: Amount::Cl });
        bad.push(Insn::DoubleShift { op, size, dst: reg, src: dst, amount: Amount::Imm(1) });
    }
    for (size, src_size) in Size::ALL.into_iter().flat_map(|size| Size::ALL.map(|src_size| (size, src_size)))
    {
        if src_size >= Size::B4 || size <= src_size {
            bad.push(Insn::Movzx { size, dst, src_size, src: reg });
        }
        if src_size == Size::B8 || size <= src_size {
            bad.push(Insn::Movsx { size, dst, src_size, src: reg });
        }
    }
    bad
}

/// Addresses that do not exist.
fn bad_addresses() -> Vec<Insn> {
    let mut addresses: Vec<Mem> = Gpr::ALL.into_iter().map(|reg| Mem::rip(8).index(reg, Scale::S1)).collect();
    for scale in Scale::ALL {
        addresses
            .extend([Mem::at(Gpr::Rax, 0).index(Gpr::Rsp, scale), Mem::absolute(0).index(Gpr::Rsp, scale)]);
    }
    let insns = |mem: Mem| {
        let xmm = Xmm::ALL[0];
        [
            load(Gpr::Rax, mem),
            Insn::Lea { size: Size::B8, dst: Gpr::Rax, mem },
            Insn::MovbeStore { size: Size::B8, dst: mem, src: Gpr::Rax },
            Insn::BmiVm { op: BmiVmOp::Blsi, size: Size::B8, dst: Gpr::Rax, src: mem.into() },
            Insn::Sse { op: SseOp::Pxor, dst: xmm, src: mem.into() },
        ]
    };
    addresses.into_iter().flat_map(insns).collect()
}

/// Immediates, amounts, lanes and displacements just out of range.
fn bad_immediates() -> Vec<Insn> {
    let (dst, mem, xmm) = (Gpr::Rcx, Mem::at(Gpr::Rdx, 0), Xmm::ALL[3]);
    let mut bad = Vec::new();
    for (size, imm) in [(Size::B1, 128), (Size::B1, -129), (Size::B2, 32768), (Size::B2, -32769)] {
        for dst in [Rm::Reg(Gpr::Rax), dst.into(), mem.into()] {
            let src = Operand::Imm(imm);
            bad.push(Insn::Mov { size, dst, src });
            bad.push(Insn::Test { size, dst, src });
            bad.extend(AluOp::ALL.iter().map(|&op| Insn::Alu { op, size, dst, src }));
        }
        bad.push(Insn::ImulImm { size, dst, src: dst.into(), imm });
    }
    for (size, limit) in [(Size::B1, 32), (Size::B2, 32), (Size::B4, 32), (Size::B8, 64)] {
        for bits in [limit, u8::MAX] {
            let amount = Amount::Imm(bits);
            bad.extend(ShiftOp::ALL.iter().map(|&op| Insn::Shift { op, size, dst: dst.into(), amount }));
            let double = |&op| Insn::DoubleShift { op, size, dst: dst.into(), src: dst, amount };
            bad.extend(DoubleShiftOp::ALL.iter().map(double));
            bad.push(Insn::Rorx { size, dst, src: dst.into(), amount: bits });
        }
    }
    for (size, limit) in [(Size::B4, 4), (Size::B8, 2)] {
        for lane in [limit, u8::MAX] {
            bad.push(Insn::Pextr { size, dst: dst.into(), src: xmm, lane });
            bad.push(Insn::Pinsr { size, dst: xmm, src: dst.into(), lane });
        }
    }
    for disp in [128, -129, i32::MAX, i32::MIN] {
        bad.push(Insn::JmpRel { rel: Rel::Short, disp });
        bad.extend(Cond::ALL.map(|cond| Insn::JccRel { cond, rel: Rel::Short, disp }));
    }
    bad
}

/// Operands that do not go together.
fn bad_combinations() -> Vec<Insn> {
    let mem = Mem::at(Gpr::Rdx, 0);
    let mut bad = Vec::new();
    for size in Size::ALL {
        let (dst, src) = (Rm::Mem(mem), Operand::Mem(mem));
        bad.push(Insn::Mov { size, dst, src });
        bad.push(Insn::Test { size, dst, src });
        bad.push(Insn::Test { size, dst: Gpr::Rcx.into(), src });
        bad.extend(AluOp::ALL.iter().map(|&op| Insn::Alu { op, size, dst, src }));
    }
    bad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Seeded;

    #[test]
    fn samples_and_random_instructions_have_encodings() {
        let mut choices = Seeded::new(1);
        let random = (0..20_000).map(|_| random(&mut choices));
        for insn in samples().into_iter().chain(random) {
            assert!(insn.encode().is_ok(), "{insn}: {:?}", insn.encode());
        }
    }

    #[test]
    fn invalid_instructions_are_refused() {
        for insn in invalid() {
            assert!(insn.encode().is_err(), "{insn} is {:02x?}", insn.encode());
        }
    }

    #[test]
    fn two_samples_never_share_their_bytes_unless_they_are_the_same_instruction() {
        // `xchg` of two registers is symmetric, and its one-byte form hides which one is written first.
        let mut seen = std::collections::HashMap::new();
        for insn in samples() {
            let bytes = insn.encode().expect("a sample has an encoding").to_vec();
            if let Some(other) = seen.insert(bytes, insn) {
                let symmetric = matches!((insn, other), (Insn::Xchg { .. }, Insn::Xchg { .. }));
                assert!(symmetric, "{insn} and {other}");
            }
        }
    }
}
