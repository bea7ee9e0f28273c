// SPDX-License-Identifier: GPL-2.0-or-later
//! Every form of every instruction, once: enumerated with each register and boundary value for the check against
//! independent assemblers, and drawn at random.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::encode::EncodeError;
use super::insn::{
    AddSub, AtomicOp, BarrierScope, BitPermuteOp, BitfieldOp, CarryOp, Cond, CondCompareOp, CondOperand,
    CondSelectOp, Extend, FmovLane, Hint, Insn, Logical, LogicalImm, Mem, MoveWide, MulAddLongOp, MulAddOp,
    OneSourceOp, Order, PmullForm, Prefetch, Shift, SysReg, TwoSourceOp, VLogical,
};
use super::register::{Arrangement, Gpr, Scalar, Size, V, Width};
use crate::choices::Choices;

/// Every form with its operands varied one at a time over every register and over all or boundary numbers, and with every
/// pair of registers; in a fixed order, each instruction once.
pub fn samples() -> Vec<Insn> {
    let mut seen = HashSet::new();
    let samples = FORMS.iter().flat_map(|form| enumerate(form.as_ref()));
    samples.filter(|insn| !is_unpredictable(insn) && seen.insert(*insn)).collect()
}

/// A random instruction that has an encoding, every form being equally likely.
pub fn random(choices: &mut impl Choices) -> Insn {
    let form = &FORMS[choices.below(FORMS.len() as u64) as usize];
    // Few combinations of registers are unpredictable, so that one of some draws is not.
    for _ in 0..16 {
        let insn = form(&mut Random(choices));
        if !is_unpredictable(&insn) {
            return insn;
        }
    }
    Insn::Hint(Hint::Nop)
}

/// Instructions that have no encoding, for every rule that an instruction can break.
pub fn invalid() -> Vec<Insn> {
    let mut invalid = bad_registers();
    invalid.extend(bad_immediates());
    invalid.extend(bad_distances());
    invalid.extend(bad_offsets());
    invalid.extend(bad_combinations());
    invalid.extend(bad_simd());
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
    match insn {
        Insn::Udf { .. } => Some("`udf` is an unknown mnemonic"),
        Insn::Hint(Hint::Bti | Hint::BtiC | Hint::BtiJ | Hint::BtiJc) => Some("`bti` is an unknown mnemonic"),
        Insn::Sb => Some("`sb` is an unknown mnemonic"),
        Insn::LoadAcquirePc { .. } => Some("`ldapr` is an unknown mnemonic"),
        Insn::Atomic { .. } | Insn::Cas { .. } => Some("FEAT_LSE is not enabled"),
        Insn::Pmull { form: PmullForm::Doubleword, .. } => Some("FEAT_PMULL is not enabled"),
        Insn::BitPermute { .. } => Some("SVE is unknown"),
        _ => None,
    }
}

fn is_unpredictable(insn: &Insn) -> bool {
    matches!(insn.encode(), Err(EncodeError::Unpredictable(_)))
}

/// Where a form takes its operands from.
trait Source {
    /// A number in `0..count`, which selects a register if `is_register`.
    fn index(&mut self, count: usize, is_register: bool) -> usize;

    /// A multiple of `step` in `min..=max`, of which both are multiples.
    fn number(&mut self, min: i64, max: i64, step: i64) -> i64;
}

impl dyn Source + '_ {
    /// X0 to X30 or XZR.
    fn gpr(&mut self) -> Gpr {
        Gpr::from_number(self.index(32, true) as u8).unwrap_or(Gpr::Xzr)
    }

    /// X0 to X30 or SP.
    fn gpr_or_sp(&mut self) -> Gpr {
        Gpr::from_number(self.index(32, true) as u8).unwrap_or(Gpr::Sp)
    }

    /// What `rd` can be where 31 is SP unless the flags are set.
    fn destination(&mut self, sets_flags: bool) -> Gpr {
        if sets_flags { self.gpr() } else { self.gpr_or_sp() }
    }

    fn v(&mut self) -> V {
        V::ALL[self.index(V::ALL.len(), true)]
    }

    fn cond(&mut self) -> Cond {
        Cond::ALL[self.index(Cond::ALL.len(), false)]
    }

    /// `0..limit`.
    fn below(&mut self, limit: u32) -> u8 {
        self.number(0, i64::from(limit) - 1, 1) as u8
    }

    fn imm16(&mut self) -> u16 {
        self.number(0, 0xffff, 1) as u16
    }

    /// A distance of `bits` bits.
    fn offset(&mut self, bits: u32, step: i64) -> i32 {
        let limit = 1i64 << (bits - 1);
        self.number(-limit, limit - step, step) as i32
    }

    /// A bitmask immediate.
    fn bitmask(&mut self, width: Width) -> u64 {
        let masks = match width {
            Width::W => &BITMASKS[0],
            Width::X => &BITMASKS[1],
        };
        masks[self.index(masks.len(), false)]
    }

    /// An address for an access of `1 << log2` bytes.
    fn mem(&mut self, mode: Mode, log2: u32) -> Mem {
        let base = self.gpr_or_sp();
        match mode {
            Mode::Scaled => Mem::Offset { base, offset: self.number(0, 0xfff << log2, 1 << log2) as i32 },
            Mode::Either => Mem::Offset { base, offset: self.offset(9, 1) },
            Mode::Unscaled => Mem::Unscaled { base, offset: self.offset(9, 1) },
            Mode::Pre => Mem::PreIndex { base, offset: self.offset(9, 1) },
            Mode::Post => Mem::PostIndex { base, offset: self.offset(9, 1) },
            Mode::Index(extend, scaled) => Mem::Register { base, index: self.gpr(), extend, scaled },
        }
    }

    /// An address for a pair of `1 << log2` bytes each.
    fn pair(&mut self, mode: fn(Gpr, i32) -> Mem, log2: u32) -> Mem {
        mode(self.gpr_or_sp(), self.offset(7 + log2, 1 << log2))
    }
}

/// An addressing mode.
#[derive(Clone, Copy)]
enum Mode {
    Scaled,
    Either,
    Unscaled,
    Pre,
    Post,
    Index(Extend, bool),
}

/// The addressing modes without an update of the base.
const PLAIN: [Mode; 11] = [
    Mode::Scaled,
    Mode::Either,
    Mode::Unscaled,
    Mode::Index(Extend::Uxtw, false),
    Mode::Index(Extend::Uxtw, true),
    Mode::Index(Extend::Uxtx, false),
    Mode::Index(Extend::Uxtx, true),
    Mode::Index(Extend::Sxtw, false),
    Mode::Index(Extend::Sxtw, true),
    Mode::Index(Extend::Sxtx, false),
    Mode::Index(Extend::Sxtx, true),
];

const PAIR_MODES: [fn(Gpr, i32) -> Mem; 3] = [Mem::offset, Mem::pre, Mem::post];

/// The arrangements of a sum across lanes.
const ACROSS: [Arrangement; 5] =
    [Arrangement::B8, Arrangement::B16, Arrangement::H4, Arrangement::H8, Arrangement::S4];

const BYTES: [Arrangement; 2] = [Arrangement::B8, Arrangement::B16];

/// The bitmask immediates of each width: every run of ones, rotated, in every size of element.
static BITMASKS: LazyLock<[Vec<u64>; 2]> = LazyLock::new(|| {
    [Width::W, Width::X].map(|width| {
        let sizes = [2u32, 4, 8, 16, 32, 64].into_iter().filter(|size| *size <= width.bits());
        let elements =
            sizes.flat_map(|size| (1..size).flat_map(move |ones| (0..size).map(move |r| (size, ones, r))));
        elements.map(|(size, ones, rotation)| bitmask(width, size, ones, rotation)).collect()
    })
});

/// A run of `ones` in every element of `size` bits, from bit `rotation` on.
fn bitmask(width: Width, size: u32, ones: u32, rotation: u32) -> u64 {
    let bit = |i: u32| u64::from((i + size - rotation) % size < ones) << i;
    (0..width.bits()).map(bit).sum()
}

type Form = Box<dyn Fn(&mut dyn Source) -> Insn + Send + Sync>;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let mut forms = Forms(Vec::new());
    forms.immediates();
    forms.additions();
    forms.logicals();
    forms.computations();
    forms.conditionals();
    forms.accesses();
    forms.pairs();
    forms.atomics();
    forms.branches();
    forms.system();
    forms.simd_moves();
    forms.simd_computations();
    forms.0
});

struct Forms(Vec<Form>);

impl Forms {
    fn add(&mut self, form: impl Fn(&mut dyn Source) -> Insn + Send + Sync + 'static) {
        self.0.push(Box::new(form));
    }

    fn immediates(&mut self) {
        for width in Width::ALL {
            for &op in MoveWide::ALL {
                self.add(move |s| {
                    let (rd, imm) = (s.gpr(), s.imm16());
                    Insn::MoveWide { op, width, rd, imm, shift: 16 * s.below(width.bits() / 16) }
                });
            }
            for &op in AddSub::ALL {
                let flags = matches!(op, AddSub::Adds | AddSub::Subs);
                for step in [1, 0x1000] {
                    self.add(move |s| {
                        let (rd, rn) = (s.destination(flags), s.gpr_or_sp());
                        Insn::AddSubImm { op, width, rd, rn, imm: s.number(0, 0xfff * step, step) as u32 }
                    });
                }
            }
            for &op in LogicalImm::ALL {
                self.add(move |s| {
                    let (rd, rn) = (s.destination(op == LogicalImm::Ands), s.gpr());
                    Insn::LogicalImm { op, width, rd, rn, imm: s.bitmask(width) }
                });
            }
            for &op in BitfieldOp::ALL {
                self.add(move |s| {
                    let (rd, rn) = (s.gpr(), s.gpr());
                    let (immr, imms) = (s.below(width.bits()), s.below(width.bits()));
                    Insn::Bitfield { op, width, rd, rn, immr, imms }
                });
                // Each pair of numbers, which alone says which alias it is.
                for immr in 0..width.bits() as u8 {
                    self.add(move |s| {
                        let imms = s.below(width.bits());
                        Insn::Bitfield { op, width, rd: Gpr::X1, rn: Gpr::X2, immr, imms }
                    });
                }
            }
            self.add(move |s| {
                let (rd, rn, rm) = (s.gpr(), s.gpr(), s.gpr());
                Insn::Extract { width, rd, rn, rm, lsb: s.below(width.bits()) }
            });
            self.add(move |s| {
                let (rd, rn) = (s.gpr(), s.gpr());
                Insn::Extract { width, rd, rn, rm: rn, lsb: s.below(width.bits()) }
            });
        }
        self.add(|s| Insn::Adr { rd: s.gpr(), offset: s.offset(21, 1) });
        self.add(|s| Insn::Adrp { rd: s.gpr(), offset: s.number(-(1 << 32), (1 << 32) - 0x1000, 0x1000) });
    }

    fn additions(&mut self) {
        for (width, &op) in product(&Width::ALL, AddSub::ALL) {
            let flags = matches!(op, AddSub::Adds | AddSub::Subs);
            for shift in [Shift::Lsl, Shift::Lsr, Shift::Asr] {
                self.add(move |s| {
                    let (rd, rn, rm) = (s.gpr(), s.gpr(), s.gpr());
                    Insn::AddSubShifted { op, width, rd, rn, rm, shift, amount: s.below(width.bits()) }
                });
            }
            for extend in Extend::ALL {
                self.add(move |s| {
                    let (rd, rn, rm) = (s.destination(flags), s.gpr_or_sp(), s.gpr());
                    Insn::AddSubExtended { op, width, rd, rn, rm, extend, amount: s.below(5) }
                });
            }
        }
        for (width, &op) in product(&Width::ALL, CarryOp::ALL) {
            self.add(move |s| Insn::AddSubCarry { op, width, rd: s.gpr(), rn: s.gpr(), rm: s.gpr() });
        }
    }

    fn logicals(&mut self) {
        for (width, &op) in product(&Width::ALL, Logical::ALL) {
            for shift in Shift::ALL {
                self.add(move |s| {
                    let (rd, rn, rm) = (s.gpr(), s.gpr(), s.gpr());
                    Insn::LogicalShifted { op, width, rd, rn, rm, shift, amount: s.below(width.bits()) }
                });
            }
        }
        for width in Width::ALL {
            self.add(move |s| Insn::mov(width, s.gpr(), s.gpr()));
            self.add(move |s| Insn::mov(width, Gpr::Sp, s.gpr_or_sp()));
            self.add(move |s| Insn::mov(width, s.gpr_or_sp(), Gpr::Sp));
        }
    }

    fn computations(&mut self) {
        for (width, &op) in product(&Width::ALL, OneSourceOp::ALL) {
            if op != OneSourceOp::Rev32 || width == Width::X {
                self.add(move |s| Insn::OneSource { op, width, rd: s.gpr(), rn: s.gpr() });
            }
        }
        for (width, &op) in product(&Width::ALL, TwoSourceOp::ALL) {
            self.add(move |s| Insn::TwoSource { op, width, rd: s.gpr(), rn: s.gpr(), rm: s.gpr() });
        }
        for (size, &castagnoli) in product(&Size::ALL, &[false, true]) {
            self.add(move |s| Insn::Crc32 { castagnoli, size, rd: s.gpr(), rn: s.gpr(), rm: s.gpr() });
        }
        for (width, &op) in product(&Width::ALL, MulAddOp::ALL) {
            self.add(move |s| {
                let (rd, rn, rm) = (s.gpr(), s.gpr(), s.gpr());
                Insn::MulAdd { op, width, rd, rn, rm, ra: s.gpr() }
            });
        }
        for &op in MulAddLongOp::ALL {
            self.add(move |s| Insn::MulAddLong { op, rd: s.gpr(), rn: s.gpr(), rm: s.gpr(), ra: s.gpr() });
        }
        for signed in [false, true] {
            self.add(move |s| Insn::MulHigh { signed, rd: s.gpr(), rn: s.gpr(), rm: s.gpr() });
        }
    }

    fn conditionals(&mut self) {
        for (width, &op) in product(&Width::ALL, CondSelectOp::ALL) {
            self.add(move |s| {
                let (rd, rn, rm) = (s.gpr(), s.gpr(), s.gpr());
                Insn::CondSelect { op, width, rd, rn, rm, cond: s.cond() }
            });
            self.add(move |s| {
                let (rd, rn) = (s.gpr(), s.gpr());
                Insn::CondSelect { op, width, rd, rn, rm: rn, cond: s.cond() }
            });
            self.add(move |s| {
                let (rn, rm) = (Gpr::Xzr, Gpr::Xzr);
                Insn::CondSelect { op, width, rd: s.gpr(), rn, rm, cond: s.cond() }
            });
        }
        for (width, &op) in product(&Width::ALL, CondCompareOp::ALL) {
            self.add(move |s| {
                let (rn, operand, nzcv) = (s.gpr(), CondOperand::Reg(s.gpr()), s.below(16));
                Insn::CondCompare { op, width, rn, operand, nzcv, cond: s.cond() }
            });
            self.add(move |s| {
                let (rn, operand, nzcv) = (s.gpr(), CondOperand::Imm(s.below(32)), s.below(16));
                Insn::CondCompare { op, width, rn, operand, nzcv, cond: s.cond() }
            });
        }
    }

    fn accesses(&mut self) {
        for mode in PLAIN.into_iter().chain([Mode::Pre, Mode::Post]) {
            for size in Size::ALL {
                let log2 = size.log2();
                self.add(move |s| Insn::Load { size, rt: s.gpr(), mem: s.mem(mode, log2) });
                self.add(move |s| Insn::Store { size, rt: s.gpr(), mem: s.mem(mode, log2) });
                for width in Width::ALL.into_iter().filter(|width| size < Size::from(*width)) {
                    self.add(move |s| Insn::LoadSigned { width, size, rt: s.gpr(), mem: s.mem(mode, log2) });
                }
            }
            for size in Scalar::ALL {
                let log2 = size.log2();
                self.add(move |s| Insn::VLoad { size, vt: s.v(), mem: s.mem(mode, log2) });
                self.add(move |s| Insn::VStore { size, vt: s.v(), mem: s.mem(mode, log2) });
            }
        }
        for mode in PLAIN {
            self.add(move |s| {
                let op = Prefetch::ALL[s.index(Prefetch::ALL.len(), false)];
                Insn::Prfm { op, mem: s.mem(mode, 3) }
            });
        }
        for width in Width::ALL {
            self.add(move |s| Insn::LoadLiteral { width, rt: s.gpr(), offset: s.offset(21, 4) });
        }
        self.add(|s| Insn::LoadSignedLiteral { rt: s.gpr(), offset: s.offset(21, 4) });
    }

    fn pairs(&mut self) {
        for mode in PAIR_MODES {
            for width in Width::ALL {
                let log2 = Size::from(width).log2();
                self.add(move |s| Insn::LoadPair {
                    width,
                    rt: s.gpr(),
                    rt2: s.gpr(),
                    mem: s.pair(mode, log2),
                });
                self.add(move |s| Insn::StorePair {
                    width,
                    rt: s.gpr(),
                    rt2: s.gpr(),
                    mem: s.pair(mode, log2),
                });
            }
            for size in [Scalar::S, Scalar::D, Scalar::Q] {
                let log2 = size.log2();
                self.add(move |s| Insn::VLoadPair { size, vt: s.v(), vt2: s.v(), mem: s.pair(mode, log2) });
                self.add(move |s| Insn::VStorePair { size, vt: s.v(), vt2: s.v(), mem: s.pair(mode, log2) });
            }
        }
    }

    fn atomics(&mut self) {
        for size in Size::ALL {
            for ordered in [false, true] {
                self.add(move |s| {
                    let (rt, base) = (s.gpr(), s.gpr_or_sp());
                    Insn::LoadExclusive { size, acquire: ordered, rt, base }
                });
                self.add(move |s| {
                    let (rs, rt, base) = (s.gpr(), s.gpr(), s.gpr_or_sp());
                    Insn::StoreExclusive { size, release: ordered, rs, rt, base }
                });
            }
            self.add(move |s| Insn::LoadAcquire { size, rt: s.gpr(), base: s.gpr_or_sp() });
            self.add(move |s| Insn::LoadAcquirePc { size, rt: s.gpr(), base: s.gpr_or_sp() });
            self.add(move |s| Insn::StoreRelease { size, rt: s.gpr(), base: s.gpr_or_sp() });
            for &order in Order::ALL {
                for &op in AtomicOp::ALL {
                    self.add(move |s| {
                        let (rs, rt, base) = (s.gpr(), s.gpr(), s.gpr_or_sp());
                        Insn::Atomic { op, size, order, rs, rt, base }
                    });
                }
                self.add(move |s| {
                    let (rs, rt, base) = (s.gpr(), s.gpr(), s.gpr_or_sp());
                    Insn::Cas { size, order, rs, rt, base }
                });
            }
        }
    }

    fn branches(&mut self) {
        self.add(|s| Insn::B { offset: s.offset(28, 4) });
        self.add(|s| Insn::Bl { offset: s.offset(28, 4) });
        self.add(|s| Insn::BCond { cond: s.cond(), offset: s.offset(21, 4) });
        for nonzero in [false, true] {
            for width in Width::ALL {
                self.add(move |s| Insn::CompareBranch {
                    nonzero,
                    width,
                    rt: s.gpr(),
                    offset: s.offset(21, 4),
                });
            }
            self.add(move |s| {
                let (rt, bit) = (s.gpr(), s.below(64));
                Insn::TestBranch { nonzero, rt, bit, offset: s.offset(16, 4) }
            });
        }
        self.add(|s| Insn::Br { rn: s.gpr() });
        self.add(|s| Insn::Blr { rn: s.gpr() });
        self.add(|s| Insn::Ret { rn: s.gpr() });
    }

    fn system(&mut self) {
        self.add(|s| Insn::Svc { imm: s.imm16() });
        self.add(|s| Insn::Brk { imm: s.imm16() });
        self.add(|s| Insn::Udf { imm: s.imm16() });
        for &hint in Hint::ALL {
            self.add(move |_| Insn::Hint(hint));
        }
        for &scope in BarrierScope::ALL {
            self.add(move |_| Insn::Dmb(scope));
            self.add(move |_| Insn::Dsb(scope));
        }
        self.add(|_| Insn::Isb);
        self.add(|_| Insn::Sb);
        for &register in SysReg::ALL {
            self.add(move |s| Insn::Mrs { rt: s.gpr(), register });
            self.add(move |s| Insn::Msr { register, rt: s.gpr() });
        }
    }

    fn simd_moves(&mut self) {
        for lane in FmovLane::ALL {
            self.add(move |s| Insn::FmovToGpr { lane, rd: s.gpr(), vn: s.v() });
            self.add(move |s| Insn::FmovFromGpr { lane, vd: s.v(), rn: s.gpr() });
        }
        for lane in Scalar::LANES {
            let lanes = 16 / lane.bytes();
            self.add(move |s| Insn::Umov { lane, rd: s.gpr(), vn: s.v(), index: s.below(lanes) });
            self.add(move |s| Insn::InsGpr { lane, vd: s.v(), index: s.below(lanes), rn: s.gpr() });
            self.add(move |s| {
                let (vd, index, vn) = (s.v(), s.below(lanes), s.v());
                Insn::InsLane { lane, vd, index, vn, from: s.below(lanes) }
            });
        }
        for arrangement in Arrangement::ALL.into_iter().filter(|a| *a != Arrangement::D1) {
            let lanes = 16 / arrangement.lane().bytes();
            self.add(move |s| Insn::DupGpr { arrangement, vd: s.v(), rn: s.gpr() });
            self.add(move |s| Insn::DupLane { arrangement, vd: s.v(), vn: s.v(), index: s.below(lanes) });
        }
        self.add(|s| {
            let (vd, bytes) = (s.v(), s.index(256, false));
            let imm = (0..8).filter(|i| bytes >> i & 1 == 1).map(|i| 0xff << (8 * i)).sum();
            Insn::Movi { vd, imm }
        });
    }

    fn simd_computations(&mut self) {
        for arrangement in BYTES {
            self.add(move |s| Insn::Cnt { arrangement, vd: s.v(), vn: s.v() });
            for &op in VLogical::ALL {
                self.add(move |s| Insn::VLogical { op, arrangement, vd: s.v(), vn: s.v(), vm: s.v() });
            }
            self.add(move |s| {
                let (vd, vn, vm) = (s.v(), s.v(), s.v());
                Insn::Ext { arrangement, vd, vn, vm, index: s.below(8 + 8 * arrangement.q()) }
            });
        }
        for arrangement in ACROSS {
            self.add(move |s| Insn::Addv { arrangement, vd: s.v(), vn: s.v() });
            self.add(move |s| Insn::Uaddlv { arrangement, vd: s.v(), vn: s.v() });
        }
        for (lane, &op) in product(&Scalar::LANES, BitPermuteOp::ALL) {
            self.add(move |s| Insn::BitPermute { op, lane, zd: s.v(), zn: s.v(), zm: s.v() });
        }
        for (upper, &form) in product(&[false, true], PmullForm::ALL) {
            self.add(move |s| Insn::Pmull { form, upper, vd: s.v(), vn: s.v(), vm: s.v() });
        }
    }
}

fn product<'a, A: Copy, B>(first: &'a [A], second: &'a [B]) -> impl Iterator<Item = (A, &'a B)> {
    first.iter().flat_map(move |&a| second.iter().map(move |b| (a, b)))
}

/// The instructions of one form: each operand through all its values while the others keep theirs; each pair of registers
/// where the form has two, and each pair of equal ones where it has more.
fn enumerate(form: &dyn Fn(&mut dyn Source) -> Insn) -> Vec<Insn> {
    let mut numbered = Numbered::default();
    let mut insns = vec![form(&mut numbered)];
    let operands = numbered.operands;
    let mut run = |values: &[(usize, usize)]| {
        insns.push(form(&mut Numbered { values: values.to_vec(), operands: Vec::new() }));
    };
    for (i, operand) in operands.iter().enumerate() {
        (0..operand.values).for_each(|v| run(&[(i, v)]));
    }
    let registers: Vec<usize> = (0..operands.len()).filter(|&i| operands[i].is_register).collect();
    for (position, &i) in registers.iter().enumerate() {
        for &j in &registers[position + 1..] {
            for v in 0..operands[i].values {
                if registers.len() == 2 {
                    (0..operands[j].values).for_each(|w| run(&[(i, v), (j, w)]));
                } else {
                    run(&[(i, v), (j, v)]);
                }
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
    /// Position and value; the other operands get different values from the lower part of their ranges.
    values: Vec<(usize, usize)>,
    operands: Vec<Asked>,
}

impl Source for Numbered {
    fn index(&mut self, count: usize, is_register: bool) -> usize {
        let position = self.operands.len();
        self.operands.push(Asked { values: count, is_register });
        let chosen = self.values.iter().find(|(operand, _)| *operand == position);
        chosen.map_or((position * 6 + 1) % count, |(_, value)| *value)
    }

    fn number(&mut self, min: i64, max: i64, step: i64) -> i64 {
        let numbers = boundaries(min, max, step);
        numbers[self.index(numbers.len(), false)]
    }
}

/// All numbers where they are few; else those next to the limits, to zero and to powers of two, and one without symmetry.
fn boundaries(min: i64, max: i64, step: i64) -> Vec<i64> {
    if (max - min) / step < 64 {
        return (min..=max).step_by(step as usize).collect();
    }
    let powers = (0..40).map(|bit| step << bit).flat_map(|power| [power - step, power, power + step]);
    let signed = powers.flat_map(|power| [power, -power]);
    let mut numbers = vec![0x1234_5678 / step * step % max];
    numbers.extend([min, min + step, max - step, max].into_iter().chain(signed));
    numbers.retain(|number| (min..=max).contains(number));
    numbers
}

/// Draws operands; boundary numbers half of the time.
struct Random<'a, C>(&'a mut C);

impl<C: Choices> Source for Random<'_, C> {
    fn index(&mut self, count: usize, _is_register: bool) -> usize {
        self.0.below(count as u64) as usize
    }

    fn number(&mut self, min: i64, max: i64, step: i64) -> i64 {
        if self.0.one_in(2) {
            return *self.0.pick(&boundaries(min, max, step));
        }
        let steps = (max - min) / step + 1;
        min + step * self.0.below(steps as u64) as i64
    }
}

/// SP where the zero register stands, and the zero register where SP does.
fn bad_registers() -> Vec<Insn> {
    let (width, x, sp, xzr) = (Width::X, Gpr::X5, Gpr::Sp, Gpr::Xzr);
    let (shift, amount, imm) = (Shift::Lsl, 0, 1);
    let mut bad = vec![
        Insn::MoveWide { op: MoveWide::Movz, width, rd: sp, imm: 0, shift: 0 },
        Insn::Bitfield { op: BitfieldOp::Ubfm, width, rd: sp, rn: x, immr: 0, imms: 0 },
        Insn::Bitfield { op: BitfieldOp::Ubfm, width, rd: x, rn: sp, immr: 0, imms: 0 },
        Insn::LogicalImm { op: LogicalImm::And, width, rd: xzr, rn: x, imm: 1 },
        Insn::LogicalImm { op: LogicalImm::And, width, rd: x, rn: sp, imm: 1 },
        Insn::LogicalImm { op: LogicalImm::Ands, width, rd: sp, rn: x, imm: 1 },
        Insn::AddSubImm { op: AddSub::Add, width, rd: xzr, rn: x, imm },
        Insn::AddSubImm { op: AddSub::Adds, width, rd: sp, rn: x, imm },
        Insn::AddSubImm { op: AddSub::Sub, width, rd: x, rn: xzr, imm },
        Insn::OneSource { op: OneSourceOp::Clz, width, rd: sp, rn: x },
        Insn::OneSource { op: OneSourceOp::Clz, width, rd: x, rn: sp },
        Insn::CondCompare {
            op: CondCompareOp::Ccmp,
            width,
            rn: sp,
            operand: CondOperand::Imm(0),
            nzcv: 0,
            cond: Cond::Eq,
        },
        Insn::CondCompare {
            op: CondCompareOp::Ccmp,
            width,
            rn: x,
            operand: CondOperand::Reg(sp),
            nzcv: 0,
            cond: Cond::Eq,
        },
        Insn::Adr { rd: sp, offset: 0 },
        Insn::Adrp { rd: sp, offset: 0 },
        Insn::CompareBranch { nonzero: false, width, rt: sp, offset: 0 },
        Insn::TestBranch { nonzero: false, rt: sp, bit: 0, offset: 0 },
        Insn::Br { rn: sp },
        Insn::Blr { rn: sp },
        Insn::Ret { rn: sp },
        Insn::Mrs { rt: sp, register: SysReg::Nzcv },
        Insn::Msr { register: SysReg::Nzcv, rt: sp },
        Insn::FmovToGpr { lane: FmovLane::D, rd: sp, vn: V::V0 },
        Insn::FmovFromGpr { lane: FmovLane::D, vd: V::V0, rn: sp },
        Insn::Umov { lane: Scalar::D, rd: sp, vn: V::V0, index: 0 },
        Insn::InsGpr { lane: Scalar::D, vd: V::V0, index: 0, rn: sp },
        Insn::DupGpr { arrangement: Arrangement::D2, vd: V::V0, rn: sp },
        Insn::LoadLiteral { width, rt: sp, offset: 0 },
        Insn::LoadSignedLiteral { rt: sp, offset: 0 },
    ];
    // SP at each place in turn of what takes three registers.
    for (rd, rn, rm) in [(sp, x, x), (x, sp, x), (x, x, sp)] {
        bad.push(Insn::AddSubShifted { op: AddSub::Add, width, rd, rn, rm, shift, amount });
        bad.push(Insn::AddSubCarry { op: CarryOp::Adc, width, rd, rn, rm });
        bad.push(Insn::LogicalShifted { op: Logical::Orr, width, rd, rn, rm, shift, amount });
        bad.push(Insn::Extract { width, rd, rn, rm, lsb: 0 });
        bad.push(Insn::TwoSource { op: TwoSourceOp::Rorv, width, rd, rn, rm });
        bad.push(Insn::Crc32 { castagnoli: true, size: Size::B8, rd, rn, rm });
        bad.push(Insn::MulAdd { op: MulAddOp::Madd, width, rd, rn, rm, ra: x });
        bad.push(Insn::MulAddLong { op: MulAddLongOp::Smaddl, rd, rn, rm, ra: x });
        bad.push(Insn::MulHigh { signed: false, rd, rn, rm });
        bad.push(Insn::CondSelect { op: CondSelectOp::Csel, width, rd, rn, rm, cond: Cond::Eq });
    }
    bad.push(Insn::MulAdd { op: MulAddOp::Msub, width, rd: x, rn: x, rm: x, ra: sp });
    bad.push(Insn::MulAddLong { op: MulAddLongOp::Umsubl, rd: x, rn: x, rm: x, ra: sp });
    for extend in Extend::ALL {
        bad.push(Insn::AddSubExtended { op: AddSub::Add, width, rd: xzr, rn: x, rm: x, extend, amount });
        bad.push(Insn::AddSubExtended { op: AddSub::Subs, width, rd: sp, rn: x, rm: x, extend, amount });
        bad.push(Insn::AddSubExtended { op: AddSub::Sub, width, rd: x, rn: xzr, rm: x, extend, amount });
        bad.push(Insn::AddSubExtended { op: AddSub::Adds, width, rd: x, rn: x, rm: sp, extend, amount });
    }
    let size = Size::B8;
    for (rt, mem) in [
        (sp, Mem::base(x)),
        (x, Mem::base(xzr)),
        (x, Mem::Unscaled { base: xzr, offset: 0 }),
        (x, Mem::pre(xzr, 0)),
        (x, Mem::post(xzr, 0)),
        (x, Mem::index(xzr, x)),
        (x, Mem::index(x, sp)),
    ] {
        bad.push(Insn::Load { size, rt, mem });
        bad.push(Insn::LoadSigned { width, size: Size::B4, rt, mem });
        bad.push(Insn::Store { size, rt, mem });
    }
    for (rt, rt2, base) in [(sp, x, x), (x, sp, x), (x, Gpr::X6, xzr)] {
        bad.push(Insn::LoadPair { width, rt, rt2, mem: Mem::base(base) });
        bad.push(Insn::StorePair { width, rt, rt2, mem: Mem::base(base) });
    }
    for (rt, base) in [(sp, x), (x, xzr)] {
        let rs = Gpr::X6;
        bad.push(Insn::LoadExclusive { size, acquire: false, rt, base });
        bad.push(Insn::LoadAcquire { size, rt, base });
        bad.push(Insn::LoadAcquirePc { size, rt, base });
        bad.push(Insn::StoreRelease { size, rt, base });
        bad.push(Insn::StoreExclusive { size, release: false, rs, rt, base });
        bad.push(Insn::Atomic { op: AtomicOp::Add, size, order: Order::Relaxed, rs, rt, base });
        bad.push(Insn::Cas { size, order: Order::Relaxed, rs, rt, base });
    }
    bad.push(Insn::StoreExclusive { size, release: false, rs: sp, rt: x, base: x });
    bad.push(Insn::Atomic { op: AtomicOp::Swp, size, order: Order::Relaxed, rs: sp, rt: x, base: x });
    bad.push(Insn::Cas { size, order: Order::Relaxed, rs: sp, rt: x, base: x });
    bad
}

/// Immediates, amounts and indices out of range.
fn bad_immediates() -> Vec<Insn> {
    let (rd, rn, rm) = (Gpr::X3, Gpr::X4, Gpr::X5);
    let mut bad = Vec::new();
    for width in Width::ALL {
        let above = width.bits() as u8;
        for shift in [above, 1, 8, 17, 15, 255] {
            bad.extend(MoveWide::ALL.iter().map(|&op| Insn::MoveWide { op, width, rd, imm: 1, shift }));
        }
        for imm in [0x1001, 0x1fff, 0xff_ffff, 0x100_0000, 0x100_1000, u32::MAX, 1 << 31] {
            bad.extend(AddSub::ALL.iter().map(|&op| Insn::AddSubImm { op, width, rd, rn, imm }));
        }
        for imm in [0, width.mask(), u64::MAX, 5, 0xf0f0_f0f1, 0x1_0000_0002, 0x1234_5678_9abc_def0] {
            bad.extend(LogicalImm::ALL.iter().map(|&op| Insn::LogicalImm { op, width, rd, rn, imm }));
        }
        for amount in [above, 64, 255] {
            for shift in Shift::ALL {
                bad.push(Insn::AddSubShifted { op: AddSub::Add, width, rd, rn, rm, shift, amount });
                bad.push(Insn::LogicalShifted { op: Logical::And, width, rd, rn, rm, shift, amount });
            }
            for &op in BitfieldOp::ALL {
                bad.push(Insn::Bitfield { op, width, rd, rn, immr: amount, imms: 0 });
                bad.push(Insn::Bitfield { op, width, rd, rn, immr: 0, imms: amount });
            }
            bad.push(Insn::Extract { width, rd, rn, rm, lsb: amount });
        }
        for amount in [5, 8, 255] {
            let insn = |extend| Insn::AddSubExtended { op: AddSub::Add, width, rd, rn, rm, extend, amount };
            bad.extend(Extend::ALL.map(insn));
        }
        for (imm, nzcv) in [(32, 0), (255, 0), (0, 16), (31, 255)] {
            let operand = CondOperand::Imm(imm);
            let insn = |&op| Insn::CondCompare { op, width, rn, operand, nzcv, cond: Cond::Eq };
            bad.extend(CondCompareOp::ALL.iter().map(insn));
        }
    }
    bad.extend([64, 255].map(|bit| Insn::TestBranch { nonzero: true, rt: rd, bit, offset: 0 }));
    bad
}

/// Distances just out of range, and between the multiples that fit.
fn bad_distances() -> Vec<Insn> {
    let rt = Gpr::X3;
    let mut bad = Vec::new();
    for offset in [1 << 27, -(1 << 27) - 4, 1, -2, 3, i32::MAX, i32::MIN] {
        bad.extend([Insn::B { offset }, Insn::Bl { offset }]);
    }
    for offset in [1 << 20, -(1 << 20) - 4, 1, -2, 3, i32::MAX, i32::MIN] {
        bad.push(Insn::BCond { cond: Cond::Ne, offset });
        bad.push(Insn::CompareBranch { nonzero: false, width: Width::X, rt, offset });
        bad.push(Insn::LoadLiteral { width: Width::X, rt, offset });
        bad.push(Insn::LoadSignedLiteral { rt, offset });
    }
    for offset in [1 << 15, -(1 << 15) - 4, 1, -2, 3, i32::MAX, i32::MIN] {
        bad.push(Insn::TestBranch { nonzero: false, rt, bit: 1, offset });
    }
    bad.extend([1 << 20, -(1 << 20) - 1, i32::MAX, i32::MIN].map(|offset| Insn::Adr { rd: rt, offset }));
    let pages = [1 << 32, -(1 << 32) - 0x1000, 1, 0x800, i64::MAX, i64::MIN];
    bad.extend(pages.map(|offset| Insn::Adrp { rd: rt, offset }));
    bad
}

/// Offsets of addresses just out of range, and between the multiples that fit.
fn bad_offsets() -> Vec<Insn> {
    let base = Gpr::X5;
    let mut bad = Vec::new();
    for size in Scalar::ALL {
        let bytes = size.bytes() as i32;
        for offset in [-257, 256, i32::MAX, i32::MIN] {
            bad.extend(accesses(size, Mem::Unscaled { base, offset }));
            bad.extend(accesses(size, Mem::pre(base, offset)));
            bad.extend(accesses(size, Mem::post(base, offset)));
        }
        for offset in [-257, 0x1000 * bytes, 0xfff * bytes + 1, i32::MAX, i32::MIN] {
            bad.extend(accesses(size, Mem::offset(base, offset)));
        }
        if bytes > 1 {
            bad.extend(accesses(size, Mem::offset(base, 256 + bytes / 2)));
        }
        for (offset, mode) in
            product(&[64 * bytes, -65 * bytes, 1, bytes / 2, i32::MAX, i32::MIN], &PAIR_MODES)
        {
            bad.extend(pairs(size, mode(base, offset)));
        }
    }
    bad
}

/// Every access of `size` to `mem`.
fn accesses(size: Scalar, mem: Mem) -> Vec<Insn> {
    let (vt, rt) = (V::V1, Gpr::X3);
    let mut insns = vec![Insn::VLoad { size, vt, mem }, Insn::VStore { size, vt, mem }];
    if let Some(&size) = Size::ALL.get(size.log2() as usize) {
        insns.extend([Insn::Load { size, rt, mem }, Insn::Store { size, rt, mem }]);
        insns.push(match size {
            Size::B8 => Insn::Prfm { op: Prefetch::PldL1Keep, mem },
            _ => Insn::LoadSigned { width: Width::X, size, rt, mem },
        });
    }
    insns
}

/// Every access of a pair of `size` to `mem`.
fn pairs(size: Scalar, mem: Mem) -> Vec<Insn> {
    let (vt, vt2, rt, rt2) = (V::V1, V::V2, Gpr::X3, Gpr::X4);
    let mut insns = vec![Insn::VLoadPair { size, vt, vt2, mem }, Insn::VStorePair { size, vt, vt2, mem }];
    let width = match size {
        Scalar::S => Width::W,
        Scalar::D => Width::X,
        Scalar::B | Scalar::H | Scalar::Q => return insns,
    };
    insns.extend([Insn::LoadPair { width, rt, rt2, mem }, Insn::StorePair { width, rt, rt2, mem }]);
    insns
}

/// Combinations that the architecture lacks or leaves unpredictable.
fn bad_combinations() -> Vec<Insn> {
    let (x, y, z) = (Gpr::X3, Gpr::X4, Gpr::X5);
    let mut bad = vec![Insn::OneSource { op: OneSourceOp::Rev32, width: Width::W, rd: x, rn: y }];
    for (width, &op) in product(&Width::ALL, AddSub::ALL) {
        bad.push(Insn::AddSubShifted { op, width, rd: x, rn: y, rm: z, shift: Shift::Ror, amount: 1 });
    }
    for (width, size) in [(Width::W, Size::B4), (Width::W, Size::B8), (Width::X, Size::B8)] {
        bad.push(Insn::LoadSigned { width, size, rt: x, mem: Mem::base(y) });
    }
    for extend in [Extend::Uxtb, Extend::Uxth, Extend::Sxtb, Extend::Sxth] {
        let mem = Mem::Register { base: x, index: y, extend, scaled: false };
        bad.extend(Size::ALL.map(|size| Insn::Load { size, rt: z, mem }));
    }
    for mem in [Mem::pre(x, 8), Mem::post(x, 8)] {
        bad.push(Insn::Prfm { op: Prefetch::PldL1Keep, mem });
        bad.extend(Size::ALL.map(|size| Insn::Load { size, rt: x, mem }));
        bad.extend(Size::ALL.map(|size| Insn::Store { size, rt: x, mem }));
        bad.push(Insn::LoadSigned { width: Width::X, size: Size::B4, rt: x, mem });
        for (width, (rt, rt2)) in product(&Width::ALL, &[(x, y), (y, x)]).map(|(width, pair)| (width, *pair))
        {
            bad.push(Insn::LoadPair { width, rt, rt2, mem });
            bad.push(Insn::StorePair { width, rt, rt2, mem });
        }
    }
    for width in Width::ALL {
        bad.push(Insn::LoadPair { width, rt: x, rt2: x, mem: Mem::base(y) });
        bad.push(Insn::LoadPair { width, rt: x, rt2: y, mem: Mem::index(z, z) });
        bad.push(Insn::StorePair { width, rt: x, rt2: y, mem: Mem::Unscaled { base: z, offset: 0 } });
    }
    for (size, release) in product(&Size::ALL, &[false, true]).map(|(size, release)| (size, *release)) {
        bad.push(Insn::StoreExclusive { size, release, rs: x, rt: x, base: y });
        bad.push(Insn::StoreExclusive { size, release, rs: x, rt: y, base: x });
    }
    bad
}

/// SIMD forms that do not exist.
fn bad_simd() -> Vec<Insn> {
    let (vd, vn, vm, rn) = (V::V1, V::V2, V::V3, Gpr::X4);
    let mut bad = Vec::new();
    for arrangement in Arrangement::ALL {
        if !BYTES.contains(&arrangement) {
            bad.push(Insn::Cnt { arrangement, vd, vn });
            bad.push(Insn::VLogical { op: VLogical::Eor, arrangement, vd, vn, vm });
            bad.push(Insn::Ext { arrangement, vd, vn, vm, index: 0 });
        }
        if !ACROSS.contains(&arrangement) {
            bad.push(Insn::Addv { arrangement, vd, vn });
            bad.push(Insn::Uaddlv { arrangement, vd, vn });
        }
        for index in [16 / arrangement.lane().bytes() as u8, 16, 255] {
            bad.push(Insn::DupLane { arrangement, vd, vn, index });
        }
    }
    bad.push(Insn::DupGpr { arrangement: Arrangement::D1, vd, rn });
    bad.push(Insn::DupLane { arrangement: Arrangement::D1, vd, vn, index: 0 });
    for lane in Scalar::ALL {
        for index in [16 / lane.bytes() as u8, 16, 255] {
            bad.push(Insn::Umov { lane, rd: rn, vn, index });
            bad.push(Insn::InsGpr { lane, vd, index, rn });
            bad.push(Insn::InsLane { lane, vd, index, vn, from: 0 });
            bad.push(Insn::InsLane { lane, vd, index: 0, vn, from: index });
        }
    }
    bad.push(Insn::Umov { lane: Scalar::Q, rd: rn, vn, index: 0 });
    bad.extend([1, 0xfe, 0xff00_0000_0000_0001, 0x80 << 56].map(|imm| Insn::Movi { vd, imm }));
    bad.push(Insn::Ext { arrangement: Arrangement::B8, vd, vn, vm, index: 8 });
    bad.push(Insn::Ext { arrangement: Arrangement::B16, vd, vn, vm, index: 16 });
    for size in [Scalar::B, Scalar::H] {
        bad.push(Insn::VLoadPair { size, vt: vd, vt2: vn, mem: Mem::base(rn) });
        bad.push(Insn::VStorePair { size, vt: vd, vt2: vn, mem: Mem::base(rn) });
    }
    bad.push(Insn::VLoadPair { size: Scalar::Q, vt: vd, vt2: vd, mem: Mem::base(rn) });
    bad.push(Insn::VLoadPair { size: Scalar::D, vt: vd, vt2: vn, mem: Mem::index(rn, rn) });
    bad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Seeded;

    #[test]
    fn random_instructions_have_an_encoding() {
        let mut choices = Seeded::new(3);
        for _ in 0..50_000 {
            let insn = random(&mut choices);
            assert!(insn.encode().is_ok(), "{insn:?}: {:?}", insn.encode());
        }
    }

    #[test]
    fn invalid_instructions_are_refused() {
        for insn in invalid() {
            assert!(insn.encode().is_err(), "{insn:?}");
        }
    }

    #[test]
    fn numbers_include_both_limits() {
        for (min, max, step) in
            [(0, 4095, 1), (-256, 255, 1), (-512, 504, 8), (-(1 << 32), (1 << 32) - 4096, 4096)]
        {
            let numbers = boundaries(min, max, step);
            assert!(numbers.iter().all(|number| (min..=max).contains(number) && number % step == 0));
            assert!([min, max, 0, step].iter().all(|number| numbers.contains(number)));
        }
    }
}
