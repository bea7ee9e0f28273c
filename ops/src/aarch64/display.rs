// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions as assembly that both GNU as and LLVM's assemblers accept, with the aliases that disassemblers prefer.

use std::fmt;

use super::encode::fits_scaled;
use super::insn::{
    AddSub, BitfieldOp, Cond, CondOperand, CondSelectOp, Extend, FmovLane, Group, Insn, Logical, LogicalImm,
    Mem, MoveWide, MulAddLongOp, MulAddOp, PmullForm, Shift, TwoSourceOp,
};
use super::register::{Arrangement, Gpr, Scalar, Size, V, Width};

impl fmt::Display for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cond::Eq => "eq",
            Cond::Ne => "ne",
            Cond::Hs => "hs",
            Cond::Lo => "lo",
            Cond::Mi => "mi",
            Cond::Pl => "pl",
            Cond::Vs => "vs",
            Cond::Vc => "vc",
            Cond::Hi => "hi",
            Cond::Ls => "ls",
            Cond::Ge => "ge",
            Cond::Lt => "lt",
            Cond::Gt => "gt",
            Cond::Le => "le",
            Cond::Al => "al",
            Cond::Nv => "nv",
        })
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shift::Lsl => "lsl",
            Shift::Lsr => "lsr",
            Shift::Asr => "asr",
            Shift::Ror => "ror",
        })
    }
}

impl fmt::Display for Extend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Extend::Uxtb => "uxtb",
            Extend::Uxth => "uxth",
            Extend::Uxtw => "uxtw",
            Extend::Uxtx => "uxtx",
            Extend::Sxtb => "sxtb",
            Extend::Sxth => "sxth",
            Extend::Sxtw => "sxtw",
            Extend::Sxtx => "sxtx",
        })
    }
}

impl Mem {
    /// The address of an access of `1 << log2` bytes.
    fn sized(self, log2: u32) -> SizedMem {
        SizedMem { mem: self, log2 }
    }

    fn is_unscaled(self) -> bool {
        matches!(self, Mem::Unscaled { .. })
    }
}

struct SizedMem {
    mem: Mem,
    log2: u32,
}

impl fmt::Display for SizedMem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mem {
            Mem::Offset { base, offset: 0 } | Mem::Unscaled { base, offset: 0 } => write!(f, "[{base}]"),
            Mem::Offset { base, offset } | Mem::Unscaled { base, offset } => write!(f, "[{base}, #{offset}]"),
            Mem::PreIndex { base, offset } => write!(f, "[{base}, #{offset}]!"),
            Mem::PostIndex { base, offset } => write!(f, "[{base}], #{offset}"),
            Mem::Register { base, index, extend, scaled } => {
                write!(f, "[{base}, {}", index.named(index_width(extend)))?;
                match (extend, scaled) {
                    (Extend::Uxtx, false) => {}
                    (Extend::Uxtx, true) => write!(f, ", lsl #{}", self.log2)?,
                    (_, false) => write!(f, ", {extend}")?,
                    (_, true) => write!(f, ", {extend} #{}", self.log2)?,
                }
                f.write_str("]")
            }
        }
    }
}

/// The width in which assembly names an extended register.
fn index_width(extend: Extend) -> Width {
    match extend {
        Extend::Uxtx | Extend::Sxtx => Width::X,
        _ => Width::W,
    }
}

/// A distance from the instruction, as the location counter plus a constant.
struct Target(i64);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{:+}", self.0)
    }
}

/// A SIMD register in an arrangement, `v0.8b`.
struct Vector(V, Arrangement);

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1.name())
    }
}

/// One lane of a SIMD register, `v0.b[1]`.
struct Lane(V, Scalar, u8);

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}[{}]", self.0, self.1.letter(), self.2)
    }
}

/// A scalar in a SIMD register, `d0`.
struct ScalarName(V, Scalar);

impl fmt::Display for ScalarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.1.letter(), self.0.number())
    }
}

/// `b` and `h`, which accesses of one and two bytes have in their names.
fn suffix(size: Size) -> &'static str {
    match size {
        Size::B1 => "b",
        Size::B2 => "h",
        Size::B4 | Size::B8 => "",
    }
}

/// The name of a load or store, with the `u` of the unscaled form in its place.
fn access(stem: &str, mem: Mem, suffix: &str) -> String {
    format!("{stem}{}r{suffix}", if mem.is_unscaled() { "u" } else { "" })
}

impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group() {
            Group::Immediate => self.print_immediate(f),
            Group::Register => self.print_register(f),
            Group::LoadStore => self.print_load_store(f),
            Group::Atomic => self.print_atomic(f),
            Group::BranchOrSystem => self.print_branch_or_system(f),
            Group::Simd => self.print_simd(f),
        }
    }
}

/// The text of each group; the other groups' instructions print nothing.
impl Insn {
    fn print_immediate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::MoveWide { op, width, rd, imm, shift } => {
                write!(f, "{} {}, #{imm:#x}", op.mnemonic(), rd.named(width))?;
                if shift != 0 || op == MoveWide::Movk {
                    write!(f, ", lsl #{shift}")?;
                }
                Ok(())
            }
            Insn::AddSubImm { op, width, rd, rn, imm } => add_sub_imm(f, op, width, rd, rn, imm),
            Insn::LogicalImm { op: LogicalImm::Ands, width, rd: Gpr::Xzr, rn, imm } => {
                write!(f, "tst {}, #{imm:#x}", rn.named(width))
            }
            Insn::LogicalImm { op, width, rd, rn, imm } => {
                write!(f, "{} {}, {}, #{imm:#x}", op.mnemonic(), rd.named(width), rn.named(width))
            }
            Insn::Bitfield { op, width, rd, rn, immr, imms } => bitfield(f, op, width, rd, rn, immr, imms),
            Insn::Extract { width, rd, rn, rm, lsb } if rn == rm => {
                write!(f, "ror {}, {}, #{lsb}", rd.named(width), rn.named(width))
            }
            Insn::Extract { width, rd, rn, rm, lsb } => {
                write!(f, "extr {}, {}, {}, #{lsb}", rd.named(width), rn.named(width), rm.named(width))
            }
            Insn::Adr { rd, offset } => write!(f, "adr {rd}, {}", Target(offset.into())),
            Insn::Adrp { rd, offset } => write!(f, "adrp {rd}, {}", Target(offset)),
            _ => Ok(()),
        }
    }

    fn print_register(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::AddSubShifted { op, width, rd, rn, rm, shift, amount } => {
                let operand = Shifted { width, rm, shift, amount };
                match (op, rd, rn) {
                    (AddSub::Adds, Gpr::Xzr, _) => write!(f, "cmn {}, {operand}", rn.named(width)),
                    (AddSub::Subs, Gpr::Xzr, _) => write!(f, "cmp {}, {operand}", rn.named(width)),
                    (AddSub::Sub, _, Gpr::Xzr) => write!(f, "neg {}, {operand}", rd.named(width)),
                    (AddSub::Subs, _, Gpr::Xzr) => write!(f, "negs {}, {operand}", rd.named(width)),
                    _ => write!(f, "{} {}, {}, {operand}", op.mnemonic(), rd.named(width), rn.named(width)),
                }
            }
            Insn::AddSubExtended { op, width, rd, rn, rm, extend, amount } => {
                match (op, rd) {
                    (AddSub::Adds, Gpr::Xzr) => write!(f, "cmn {}", rn.named(width))?,
                    (AddSub::Subs, Gpr::Xzr) => write!(f, "cmp {}", rn.named(width))?,
                    _ => write!(f, "{} {}, {}", op.mnemonic(), rd.named(width), rn.named(width))?,
                }
                write!(f, ", {}, {extend}", rm.named(width.min(index_width(extend))))?;
                if amount == 0 { Ok(()) } else { write!(f, " #{amount}") }
            }
            Insn::AddSubCarry { op, width, rd, rn, rm } => three(f, op.mnemonic(), width, [rd, rn, rm]),
            Insn::LogicalShifted { op, width, rd, rn, rm, shift, amount } => {
                let operand = Shifted { width, rm, shift, amount };
                match (op, rd, rn) {
                    (Logical::Ands, Gpr::Xzr, _) => write!(f, "tst {}, {operand}", rn.named(width)),
                    (Logical::Orn, _, Gpr::Xzr) => write!(f, "mvn {}, {operand}", rd.named(width)),
                    (Logical::Orr, _, Gpr::Xzr) if shift == Shift::Lsl && amount == 0 => {
                        write!(f, "mov {}, {operand}", rd.named(width))
                    }
                    _ => write!(f, "{} {}, {}, {operand}", op.mnemonic(), rd.named(width), rn.named(width)),
                }
            }
            Insn::OneSource { op, width, rd, rn } => {
                write!(f, "{} {}, {}", op.mnemonic(), rd.named(width), rn.named(width))
            }
            Insn::TwoSource { op, width, rd, rn, rm } => {
                let name = match op {
                    TwoSourceOp::Lslv => "lsl",
                    TwoSourceOp::Lsrv => "lsr",
                    TwoSourceOp::Asrv => "asr",
                    TwoSourceOp::Rorv => "ror",
                    TwoSourceOp::Udiv | TwoSourceOp::Sdiv => op.mnemonic(),
                };
                three(f, name, width, [rd, rn, rm])
            }
            Insn::Crc32 { castagnoli, size, rd, rn, rm } => {
                let c = if castagnoli { "c" } else { "" };
                let size_letter = ["b", "h", "w", "x"][size as usize];
                let data = rm.named(size.width());
                write!(f, "crc32{c}{size_letter} {}, {}, {data}", rd.named(Width::W), rn.named(Width::W))
            }
            Insn::MulAdd { op, width, rd, rn, rm, ra: Gpr::Xzr } => {
                three(f, if op == MulAddOp::Madd { "mul" } else { "mneg" }, width, [rd, rn, rm])
            }
            Insn::MulAdd { op, width, rd, rn, rm, ra } => {
                three(f, op.mnemonic(), width, [rd, rn, rm])?;
                write!(f, ", {}", ra.named(width))
            }
            Insn::MulAddLong { op, rd, rn, rm, ra } => {
                let alias = match op {
                    MulAddLongOp::Smaddl => "smull",
                    MulAddLongOp::Smsubl => "smnegl",
                    MulAddLongOp::Umaddl => "umull",
                    MulAddLongOp::Umsubl => "umnegl",
                };
                let name = if ra == Gpr::Xzr { alias } else { op.mnemonic() };
                write!(f, "{name} {rd}, {}, {}", rn.named(Width::W), rm.named(Width::W))?;
                if ra == Gpr::Xzr { Ok(()) } else { write!(f, ", {ra}") }
            }
            Insn::MulHigh { signed, rd, rn, rm } => {
                three(f, if signed { "smulh" } else { "umulh" }, Width::X, [rd, rn, rm])
            }
            Insn::CondSelect { op, width, rd, rn, rm, cond } => cond_select(f, op, width, rd, rn, rm, cond),
            Insn::CondCompare { op, width, rn, operand, nzcv, cond } => {
                write!(f, "{} {}, ", op.mnemonic(), rn.named(width))?;
                match operand {
                    CondOperand::Reg(rm) => write!(f, "{}", rm.named(width))?,
                    CondOperand::Imm(imm) => write!(f, "#{imm}")?,
                }
                write!(f, ", #{nzcv}, {cond}")
            }
            _ => Ok(()),
        }
    }

    fn print_load_store(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::Load { size, rt, mem } => {
                let name = access("ld", mem, suffix(size));
                write!(f, "{name} {}, {}", rt.named(size.width()), mem.sized(size.log2()))
            }
            Insn::LoadSigned { width, size, rt, mem } => {
                let suffix = ["sb", "sh", "sw", "sx"][size as usize];
                let name = access("ld", mem, suffix);
                write!(f, "{name} {}, {}", rt.named(width), mem.sized(size.log2()))
            }
            Insn::Store { size, rt, mem } => {
                let name = access("st", mem, suffix(size));
                write!(f, "{name} {}, {}", rt.named(size.width()), mem.sized(size.log2()))
            }
            Insn::Prfm { op, mem } => {
                // Keystone takes the name for the form that it says, unlike those of loads and stores.
                let scaled = match mem {
                    Mem::Offset { offset, .. } => fits_scaled(offset, 8),
                    _ => !mem.is_unscaled(),
                };
                let name = if scaled { "prfm" } else { "prfum" };
                write!(f, "{name} {}, {}", op.mnemonic(), mem.sized(3))
            }
            Insn::LoadPair { width, rt, rt2, mem } => {
                write!(f, "ldp {}, {}, {}", rt.named(width), rt2.named(width), mem.sized(0))
            }
            Insn::StorePair { width, rt, rt2, mem } => {
                write!(f, "stp {}, {}, {}", rt.named(width), rt2.named(width), mem.sized(0))
            }
            Insn::LoadLiteral { width, rt, offset } => {
                write!(f, "ldr {}, {}", rt.named(width), Target(offset.into()))
            }
            Insn::LoadSignedLiteral { rt, offset } => write!(f, "ldrsw {rt}, {}", Target(offset.into())),
            Insn::VLoad { size, vt, mem } => {
                write!(f, "{} {}, {}", access("ld", mem, ""), ScalarName(vt, size), mem.sized(size.log2()))
            }
            Insn::VStore { size, vt, mem } => {
                write!(f, "{} {}, {}", access("st", mem, ""), ScalarName(vt, size), mem.sized(size.log2()))
            }
            Insn::VLoadPair { size, vt, vt2, mem } => {
                write!(f, "ldp {}, {}, {}", ScalarName(vt, size), ScalarName(vt2, size), mem.sized(0))
            }
            Insn::VStorePair { size, vt, vt2, mem } => {
                write!(f, "stp {}, {}, {}", ScalarName(vt, size), ScalarName(vt2, size), mem.sized(0))
            }
            _ => Ok(()),
        }
    }

    fn print_atomic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stem, size, rs, rt, base) = match *self {
            Insn::LoadExclusive { size, acquire, rt, base } => {
                (if acquire { "ldaxr" } else { "ldxr" }, size, None, rt, base)
            }
            Insn::StoreExclusive { size, release, rs, rt, base } => {
                (if release { "stlxr" } else { "stxr" }, size, Some(rs.named(Width::W)), rt, base)
            }
            Insn::LoadAcquire { size, rt, base } => ("ldar", size, None, rt, base),
            Insn::LoadAcquirePc { size, rt, base } => ("ldapr", size, None, rt, base),
            Insn::StoreRelease { size, rt, base } => ("stlr", size, None, rt, base),
            Insn::Atomic { op, size, order, rs, rt, base } => {
                f.write_str(op.mnemonic())?;
                (order.mnemonic(), size, Some(rs.named(size.width())), rt, base)
            }
            Insn::Cas { size, order, rs, rt, base } => {
                f.write_str("cas")?;
                (order.mnemonic(), size, Some(rs.named(size.width())), rt, base)
            }
            _ => return Ok(()),
        };
        write!(f, "{stem}{} ", suffix(size))?;
        if let Some(rs) = rs {
            write!(f, "{rs}, ")?;
        }
        write!(f, "{}, [{base}]", rt.named(size.width()))
    }

    fn print_branch_or_system(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::B { offset } => write!(f, "b {}", Target(offset.into())),
            Insn::Bl { offset } => write!(f, "bl {}", Target(offset.into())),
            Insn::BCond { cond, offset } => write!(f, "b.{cond} {}", Target(offset.into())),
            Insn::CompareBranch { nonzero, width, rt, offset } => {
                let name = if nonzero { "cbnz" } else { "cbz" };
                write!(f, "{name} {}, {}", rt.named(width), Target(offset.into()))
            }
            Insn::TestBranch { nonzero, rt, bit, offset } => {
                let name = if nonzero { "tbnz" } else { "tbz" };
                let width = if bit < 32 { Width::W } else { Width::X };
                write!(f, "{name} {}, #{bit}, {}", rt.named(width), Target(offset.into()))
            }
            Insn::Br { rn } => write!(f, "br {rn}"),
            Insn::Blr { rn } => write!(f, "blr {rn}"),
            Insn::Ret { rn: Gpr::X30 } => f.write_str("ret"),
            Insn::Ret { rn } => write!(f, "ret {rn}"),
            Insn::Svc { imm } => write!(f, "svc #{imm}"),
            Insn::Brk { imm } => write!(f, "brk #{imm}"),
            Insn::Udf { imm } => write!(f, "udf #{imm}"),
            Insn::Hint(hint) => f.write_str(hint.mnemonic()),
            Insn::Dmb(scope) => write!(f, "dmb {}", scope.mnemonic()),
            Insn::Dsb(scope) => write!(f, "dsb {}", scope.mnemonic()),
            Insn::Isb => f.write_str("isb"),
            Insn::Sb => f.write_str("sb"),
            Insn::Mrs { rt, register } => write!(f, "mrs {rt}, {}", register.mnemonic()),
            Insn::Msr { register, rt } => write!(f, "msr {}, {rt}", register.mnemonic()),
            _ => Ok(()),
        }
    }

    fn print_simd(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::FmovToGpr { lane, rd, vn } => {
                write!(f, "fmov {}, ", rd.named(lane.width()))?;
                fmov_lane(f, lane, vn)
            }
            Insn::FmovFromGpr { lane, vd, rn } => {
                f.write_str("fmov ")?;
                fmov_lane(f, lane, vd)?;
                write!(f, ", {}", rn.named(lane.width()))
            }
            Insn::Cnt { arrangement, vd, vn } => {
                write!(f, "cnt {}, {}", Vector(vd, arrangement), Vector(vn, arrangement))
            }
            Insn::Addv { arrangement, vd, vn } => {
                write!(f, "addv {}, {}", ScalarName(vd, arrangement.lane()), Vector(vn, arrangement))
            }
            Insn::Uaddlv { arrangement, vd, vn } => {
                let wide = Scalar::ALL[(arrangement.lane() as usize + 1).min(3)];
                write!(f, "uaddlv {}, {}", ScalarName(vd, wide), Vector(vn, arrangement))
            }
            Insn::Pmull { form, upper, vd, vn, vm } => {
                let arrangement = match (form, upper) {
                    (PmullForm::Bytes, false) => Arrangement::B8,
                    (PmullForm::Bytes, true) => Arrangement::B16,
                    (PmullForm::Doubleword, false) => Arrangement::D1,
                    (PmullForm::Doubleword, true) => Arrangement::D2,
                };
                let name = if upper { "pmull2" } else { "pmull" };
                let (n, m) = (Vector(vn, arrangement), Vector(vm, arrangement));
                write!(f, "{name} {vd}.{}, {n}, {m}", form.mnemonic())
            }
            Insn::BitPermute { op, lane, zd, zn, zm } => {
                let z = |register: V| {
                    fmt::from_fn(move |f| write!(f, "z{}.{}", register.number(), lane.letter()))
                };
                write!(f, "{} {}, {}, {}", op.mnemonic(), z(zd), z(zn), z(zm))
            }
            Insn::Umov { lane, rd, vn, index } => {
                let width = if lane == Scalar::D { Width::X } else { Width::W };
                write!(f, "umov {}, {}", rd.named(width), Lane(vn, lane, index))
            }
            Insn::InsGpr { lane, vd, index, rn } => {
                let width = if lane == Scalar::D { Width::X } else { Width::W };
                write!(f, "ins {}, {}", Lane(vd, lane, index), rn.named(width))
            }
            Insn::InsLane { lane, vd, index, vn, from } => {
                write!(f, "ins {}, {}", Lane(vd, lane, index), Lane(vn, lane, from))
            }
            Insn::DupGpr { arrangement, vd, rn } => {
                let width = if arrangement.lane() == Scalar::D { Width::X } else { Width::W };
                write!(f, "dup {}, {}", Vector(vd, arrangement), rn.named(width))
            }
            Insn::DupLane { arrangement, vd, vn, index } => {
                write!(f, "dup {}, {}", Vector(vd, arrangement), Lane(vn, arrangement.lane(), index))
            }
            Insn::Movi { vd, imm: 0 } => write!(f, "movi {vd}.2d, #0"),
            Insn::Movi { vd, imm } => write!(f, "movi {vd}.2d, #{imm:#x}"),
            Insn::VLogical { op, arrangement, vd, vn, vm } => {
                let [d, n, m] = [vd, vn, vm].map(|v| Vector(v, arrangement));
                write!(f, "{} {d}, {n}, {m}", op.mnemonic())
            }
            Insn::Ext { arrangement, vd, vn, vm, index } => {
                let [d, n, m] = [vd, vn, vm].map(|v| Vector(v, arrangement));
                write!(f, "ext {d}, {n}, {m}, #{index}")
            }
            _ => Ok(()),
        }
    }
}

/// The last operand of an instruction on shifted registers.
struct Shifted {
    width: Width,
    rm: Gpr,
    shift: Shift,
    amount: u8,
}

impl fmt::Display for Shifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rm.named(self.width))?;
        if self.shift == Shift::Lsl && self.amount == 0 {
            return Ok(());
        }
        write!(f, ", {} #{}", self.shift, self.amount)
    }
}

fn three(f: &mut fmt::Formatter<'_>, name: &str, width: Width, registers: [Gpr; 3]) -> fmt::Result {
    let [rd, rn, rm] = registers.map(|register| register.named(width));
    write!(f, "{name} {rd}, {rn}, {rm}")
}

fn add_sub_imm(
    f: &mut fmt::Formatter<'_>,
    op: AddSub,
    width: Width,
    rd: Gpr,
    rn: Gpr,
    imm: u32,
) -> fmt::Result {
    let (rd_name, rn_name) = (rd.named(width), rn.named(width));
    match (op, rd) {
        (AddSub::Add, _) if imm == 0 && (rd == Gpr::Sp || rn == Gpr::Sp) => {
            return write!(f, "mov {rd_name}, {rn_name}");
        }
        (AddSub::Adds, Gpr::Xzr) => write!(f, "cmn {rn_name}")?,
        (AddSub::Subs, Gpr::Xzr) => write!(f, "cmp {rn_name}")?,
        _ => write!(f, "{} {rd_name}, {rn_name}", op.mnemonic())?,
    }
    if imm > 0xfff && imm & 0xfff == 0 {
        write!(f, ", #{}, lsl #12", imm >> 12)
    } else {
        write!(f, ", #{imm}")
    }
}

/// The alias that says what a bit-field move does, in the order of preference of the Arm ARM, C6.2 under SBFM, BFM, UBFM.
fn bitfield(
    f: &mut fmt::Formatter<'_>,
    op: BitfieldOp,
    width: Width,
    rd: Gpr,
    rn: Gpr,
    immr: u8,
    imms: u8,
) -> fmt::Result {
    let (rd_name, rn_name) = (rd.named(width), rn.named(width));
    let top = width.bits() as u8 - 1;
    if immr > top || imms > top {
        return write!(f, "{} {rd_name}, {rn_name}, #{immr}, #{imms}", op.mnemonic());
    }
    let low = rn.named(Width::W);
    let inserted = imms < immr;
    match (op, immr, imms) {
        (BitfieldOp::Sbfm, _, _) if imms == top => write!(f, "asr {rd_name}, {rn_name}, #{immr}"),
        (BitfieldOp::Ubfm, _, _) if imms == top => write!(f, "lsr {rd_name}, {rn_name}, #{immr}"),
        (BitfieldOp::Ubfm, _, _) if imms + 1 == immr => {
            write!(f, "lsl {rd_name}, {rn_name}, #{}", top - imms)
        }
        (BitfieldOp::Sbfm, 0, 7) => write!(f, "sxtb {rd_name}, {low}"),
        (BitfieldOp::Sbfm, 0, 15) => write!(f, "sxth {rd_name}, {low}"),
        (BitfieldOp::Sbfm, 0, 31) => write!(f, "sxtw {rd_name}, {low}"),
        (BitfieldOp::Ubfm, 0, 7) if width == Width::W => write!(f, "uxtb {rd_name}, {low}"),
        (BitfieldOp::Ubfm, 0, 15) if width == Width::W => write!(f, "uxth {rd_name}, {low}"),
        _ => {
            let name = match (op, inserted) {
                (BitfieldOp::Sbfm, true) => "sbfiz",
                (BitfieldOp::Sbfm, false) => "sbfx",
                (BitfieldOp::Bfm, true) => "bfi",
                (BitfieldOp::Bfm, false) => "bfxil",
                (BitfieldOp::Ubfm, true) => "ubfiz",
                (BitfieldOp::Ubfm, false) => "ubfx",
            };
            let (lsb, bits) = if inserted { (top + 1 - immr, imms + 1) } else { (immr, imms - immr + 1) };
            write!(f, "{name} {rd_name}, {rn_name}, #{lsb}, #{bits}")
        }
    }
}

/// The aliases of a selection between a register and itself, which hold for the inverse condition.
fn cond_select(
    f: &mut fmt::Formatter<'_>,
    op: CondSelectOp,
    width: Width,
    rd: Gpr,
    rn: Gpr,
    rm: Gpr,
    cond: Cond,
) -> fmt::Result {
    let (rd_name, rn_name) = (rd.named(width), rn.named(width));
    let alias = cond.inverse().filter(|_| rn == rm).and_then(|inverse| match (op, rn) {
        (CondSelectOp::Csel, _) => None,
        (CondSelectOp::Csinc, Gpr::Xzr) => Some((inverse, "cset")),
        (CondSelectOp::Csinv, Gpr::Xzr) => Some((inverse, "csetm")),
        (CondSelectOp::Csinc, _) => Some((inverse, "cinc")),
        (CondSelectOp::Csinv, _) => Some((inverse, "cinv")),
        (CondSelectOp::Csneg, _) => Some((inverse, "cneg")),
    });
    match alias {
        Some((inverse, name @ ("cset" | "csetm"))) => write!(f, "{name} {rd_name}, {inverse}"),
        Some((inverse, name)) => write!(f, "{name} {rd_name}, {rn_name}, {inverse}"),
        None => write!(f, "{} {rd_name}, {rn_name}, {}, {cond}", op.mnemonic(), rm.named(width)),
    }
}

fn fmov_lane(f: &mut fmt::Formatter<'_>, lane: FmovLane, v: V) -> fmt::Result {
    match lane {
        FmovLane::S => write!(f, "{}", ScalarName(v, Scalar::S)),
        FmovLane::D => write!(f, "{}", ScalarName(v, Scalar::D)),
        FmovLane::UpperD => write!(f, "{}", Lane(v, Scalar::D, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_say_what_is_done() {
        let (x, w) = (Width::X, Width::W);
        let (x0, x1) = (Gpr::X0, Gpr::X1);
        let texts = [
            (Insn::lsl_imm(x, x0, x1, 3), "lsl x0, x1, #3"),
            (Insn::lsr_imm(w, x0, x1, 31), "lsr w0, w1, #31"),
            (Insn::asr_imm(x, x0, x1, 63), "asr x0, x1, #63"),
            (Insn::ror_imm(x, x0, x1, 13), "ror x0, x1, #13"),
            (Insn::ubfx(x, x0, x1, 8, 16), "ubfx x0, x1, #8, #16"),
            (Insn::sbfx(x, x0, x1, 0, 32), "sxtw x0, w1"),
            (Insn::bfi(w, x0, x1, 4, 8), "bfi w0, w1, #4, #8"),
            (Insn::bfxil(w, x0, x1, 4, 8), "bfxil w0, w1, #4, #8"),
            (Insn::ubfiz(x, x0, x1, 4, 8), "ubfiz x0, x1, #4, #8"),
            (Insn::cset(w, x0, Cond::Ne), "cset w0, ne"),
            (Insn::csetm(x, x0, Cond::Lo), "csetm x0, lo"),
            (Ok(Insn::mov(x, x0, Gpr::Sp)), "mov x0, sp"),
            (Ok(Insn::mov(w, x0, Gpr::Xzr)), "mov w0, wzr"),
            (
                Ok(Insn::AddSubImm { op: AddSub::Subs, width: x, rd: Gpr::Xzr, rn: x1, imm: 0x5000 }),
                "cmp x1, #5, lsl #12",
            ),
            (Ok(Insn::B { offset: -8 }), "b .-8"),
        ];
        for (insn, text) in texts {
            assert_eq!(insn.map(|insn| insn.to_string()).as_deref(), Ok(text));
        }
    }
}
