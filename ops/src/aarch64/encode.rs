// SPDX-License-Identifier: GPL-2.0-or-later
//! The A64 encodings (Arm ARM, C4.1): an instruction becomes its word, or the reason why it has none.

use super::insn::{
    BitfieldOp, Cond, CondOperand, CondSelectOp, Extend, FmovLane, Group, Hint, Insn, Logical, LogicalImm,
    Mem, MoveWide, PmullForm, Shift, SysReg,
};
use super::register::{Arrangement, Gpr, Scalar, Size, V, Width};

/// Why an instruction has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A number is outside of its field's range.
    #[error("{operand} {value} is not in {min}..={max}")]
    Range {
        /// What the number is.
        operand: &'static str,
        /// The number.
        value: i64,
        /// The least that fits.
        min: i64,
        /// The greatest that fits.
        max: i64,
    },
    /// A number is in range but its field drops low bits that it has.
    #[error("{operand} {value} is not a multiple of {multiple}")]
    Multiple {
        /// What the number is.
        operand: &'static str,
        /// The number.
        value: i64,
        /// What it has to be a multiple of.
        multiple: i64,
    },
    /// An immediate is no repeated and rotated run of ones.
    #[error("{value:#x} is no bitmask immediate of {bits} bits")]
    Bitmask {
        /// The immediate.
        value: u64,
        /// The width of the operation.
        bits: u32,
    },
    /// A register cannot stand at this operand.
    #[error("{operand} cannot be {register}")]
    Register {
        /// The operand.
        operand: &'static str,
        /// The register.
        register: Gpr,
    },
    /// The architecture lacks this combination of operands.
    #[error("{0}")]
    Form(&'static str),
    /// The combination has an encoding whose effect is CONSTRAINED UNPREDICTABLE (Arm ARM, K1).
    #[error("unpredictable: {0}")]
    Unpredictable(&'static str),
}

type Result<T> = std::result::Result<T, EncodeError>;

/// The `N:immr:imms` fields of a bitmask immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bitmask {
    /// Whether the element has 64 bits.
    pub n: bool,
    /// How far the run of ones is rotated to the right, 0 to 63.
    pub immr: u8,
    /// The element's size and the length of the run, 0 to 63.
    pub imms: u8,
}

/// The fields of `value` as the bitmask immediate of a logical instruction (Arm ARM, DecodeBitMasks): an element of 2,
/// 4, 8, 16, 32 or 64 bits that holds a rotated run of ones, neither empty nor full, repeated over the width.
///
/// None when `value` is no such pattern, or has bits above the width.
pub fn encode_bitmask(value: u64, width: Width) -> Option<Bitmask> {
    if value & !width.mask() != 0 {
        return None;
    }
    let value = match width {
        Width::W => value | value << 32,
        Width::X => value,
    };
    if value == 0 || value == u64::MAX {
        return None;
    }
    let size = [2, 4, 8, 16, 32, 64].into_iter().find(|&size| value.rotate_right(size) == value)?;
    let mask = u64::MAX >> (64 - size);
    let element = value & mask;
    // A run that wraps around the element is the complement of one that does not.
    let wraps = element & 1 == 1 && element >> (size - 1) == 1;
    let run = if wraps { !element & mask } else { element };
    let (start, length) = (run.trailing_zeros(), run.count_ones());
    if run >> start != u64::MAX >> (64 - length) {
        return None;
    }
    let (first, ones) = if wraps { (start + length, size - length) } else { (start, length) };
    Some(Bitmask {
        n: size == 64,
        immr: ((size - first) % size) as u8,
        imms: ((!(size * 2 - 1) & 0x3f) | (ones - 1)) as u8,
    })
}

/// The fewest of MOVZ, MOVN, MOVK and ORR of a bitmask that set `rd` to `value`: one to four instructions.
///
/// W takes the lower 32 bits of `value`. X uses the W forms too, since they clear the upper half.
pub fn mov_imm(width: Width, rd: Gpr, value: u64) -> Vec<Insn> {
    let value = value & width.mask();
    if let Some(first) = one_mov(width, rd, value) {
        return vec![first];
    }
    let halfwords = width.bits() as usize / 16;
    // Halfwords that MOVK sets afterwards are free in what comes first. To make it a bitmask it is enough to try zeros,
    // ones, and copies of the others: a run of ones that ends inside a free halfword can as well end at its edge.
    for free in (1..1u8 << halfwords).filter(|free| free.count_ones() == 1) {
        if let Some(insns) = mov_around(width, rd, value, free) {
            return insns;
        }
    }
    for free in (1..1u8 << halfwords).filter(|free| free.count_ones() == 2) {
        if let Some(insns) = mov_around(width, rd, value, free) {
            return insns;
        }
    }
    let low = Insn::MoveWide { op: MoveWide::Movz, width, rd, imm: halfword(value, 0), shift: 0 };
    let rest = (1..halfwords).map(|i| movk(width, rd, value, i));
    std::iter::once(low).chain(rest).collect()
}

/// The instruction that sets `rd` to `value` alone, if there is one.
fn one_mov(width: Width, rd: Gpr, value: u64) -> Option<Insn> {
    // Every value below 2^32 that an X form reaches, a W form reaches too.
    let width = if value <= Width::W.mask() { Width::W } else { width };
    for shift in (0..width.bits() as u8).step_by(16) {
        if value & !(0xffff << shift) == 0 {
            return Some(Insn::MoveWide {
                op: MoveWide::Movz,
                width,
                rd,
                imm: (value >> shift) as u16,
                shift,
            });
        }
    }
    let inverse = !value & width.mask();
    for shift in (0..width.bits() as u8).step_by(16) {
        if inverse & !(0xffff << shift) == 0 {
            return Some(Insn::MoveWide {
                op: MoveWide::Movn,
                width,
                rd,
                imm: (inverse >> shift) as u16,
                shift,
            });
        }
    }
    encode_bitmask(value, width).map(|_| Insn::LogicalImm {
        op: LogicalImm::Orr,
        width,
        rd,
        rn: Gpr::Xzr,
        imm: value,
    })
}

/// One instruction for the halfwords outside of `free`, and a MOVK for each halfword in it.
fn mov_around(width: Width, rd: Gpr, value: u64, free: u8) -> Option<Vec<Insn>> {
    let halfwords = width.bits() as usize / 16;
    let freed: Vec<usize> = (0..halfwords).filter(|i| free >> i & 1 == 1).collect();
    let mut fillings = vec![0, 0xffff];
    fillings.extend((0..halfwords).filter(|i| free >> i & 1 == 0).map(|i| halfword(value, i)));
    let choices = fillings.len().pow(freed.len() as u32);
    let first = (0..choices).find_map(|mut choice| {
        let mut start = value;
        for &i in &freed {
            start = start & !(0xffff << (16 * i)) | u64::from(fillings[choice % fillings.len()]) << (16 * i);
            choice /= fillings.len();
        }
        one_mov(width, rd, start)
    })?;
    Some(std::iter::once(first).chain(freed.iter().map(|&i| movk(width, rd, value, i))).collect())
}

fn halfword(value: u64, i: usize) -> u16 {
    (value >> (16 * i)) as u16
}

fn movk(width: Width, rd: Gpr, value: u64, i: usize) -> Insn {
    Insn::MoveWide { op: MoveWide::Movk, width, rd, imm: halfword(value, i), shift: 16 * i as u8 }
}

/// Aliases whose operands have limits of their own (Arm ARM, C6.2 under each name).
impl Insn {
    /// `mov rd, rn`: ORR with the zero register, or ADD of zero where one of them is SP.
    pub const fn mov(width: Width, rd: Gpr, rn: Gpr) -> Insn {
        if matches!(rd, Gpr::Sp) || matches!(rn, Gpr::Sp) {
            Insn::AddSubImm { op: super::insn::AddSub::Add, width, rd, rn, imm: 0 }
        } else {
            let (shift, amount) = (Shift::Lsl, 0);
            Insn::LogicalShifted { op: Logical::Orr, width, rd, rn: Gpr::Xzr, rm: rn, shift, amount }
        }
    }

    /// `lsl rd, rn, #amount`, refused unless `amount` is below the width.
    pub fn lsl_imm(width: Width, rd: Gpr, rn: Gpr, amount: u8) -> Result<Insn> {
        let amount = below_width("amount", amount, width)?;
        let top = width.bits() - 1;
        Ok(bitfield(BitfieldOp::Ubfm, width, rd, rn, (width.bits() - amount) & top, top - amount))
    }

    /// `lsr rd, rn, #amount`, refused unless `amount` is below the width.
    pub fn lsr_imm(width: Width, rd: Gpr, rn: Gpr, amount: u8) -> Result<Insn> {
        let amount = below_width("amount", amount, width)?;
        Ok(bitfield(BitfieldOp::Ubfm, width, rd, rn, amount, width.bits() - 1))
    }

    /// `asr rd, rn, #amount`, refused unless `amount` is below the width.
    pub fn asr_imm(width: Width, rd: Gpr, rn: Gpr, amount: u8) -> Result<Insn> {
        let amount = below_width("amount", amount, width)?;
        Ok(bitfield(BitfieldOp::Sbfm, width, rd, rn, amount, width.bits() - 1))
    }

    /// `ror rd, rn, #amount`: EXTR of the register with itself, refused unless `amount` is below the width.
    pub fn ror_imm(width: Width, rd: Gpr, rn: Gpr, amount: u8) -> Result<Insn> {
        below_width("amount", amount, width)?;
        Ok(Insn::Extract { width, rd, rn, rm: rn, lsb: amount })
    }

    /// `ubfx rd, rn, #lsb, #bits`, refused unless at least one bit and all of them are within the width.
    pub fn ubfx(width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) -> Result<Insn> {
        let (lsb, bits) = field(width, lsb, bits)?;
        Ok(bitfield(BitfieldOp::Ubfm, width, rd, rn, lsb, lsb + bits - 1))
    }

    /// `sbfx rd, rn, #lsb, #bits`, refused unless at least one bit and all of them are within the width.
    pub fn sbfx(width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) -> Result<Insn> {
        let (lsb, bits) = field(width, lsb, bits)?;
        Ok(bitfield(BitfieldOp::Sbfm, width, rd, rn, lsb, lsb + bits - 1))
    }

    /// `bfxil rd, rn, #lsb, #bits`, refused unless at least one bit and all of them are within the width.
    pub fn bfxil(width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) -> Result<Insn> {
        let (lsb, bits) = field(width, lsb, bits)?;
        Ok(bitfield(BitfieldOp::Bfm, width, rd, rn, lsb, lsb + bits - 1))
    }

    /// `ubfiz rd, rn, #lsb, #bits`, refused unless at least one bit and all of them are within the width.
    pub fn ubfiz(width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) -> Result<Insn> {
        let (lsb, bits) = field(width, lsb, bits)?;
        Ok(bitfield(BitfieldOp::Ubfm, width, rd, rn, (width.bits() - lsb) & (width.bits() - 1), bits - 1))
    }

    /// `sbfiz rd, rn, #lsb, #bits`, refused unless at least one bit and all of them are within the width.
    pub fn sbfiz(width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) -> Result<Insn> {
        let (lsb, bits) = field(width, lsb, bits)?;
        Ok(bitfield(BitfieldOp::Sbfm, width, rd, rn, (width.bits() - lsb) & (width.bits() - 1), bits - 1))
    }

    /// `bfi rd, rn, #lsb, #bits`, refused unless at least one bit and all of them are within the width.
    pub fn bfi(width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) -> Result<Insn> {
        let (lsb, bits) = field(width, lsb, bits)?;
        Ok(bitfield(BitfieldOp::Bfm, width, rd, rn, (width.bits() - lsb) & (width.bits() - 1), bits - 1))
    }

    /// `cset rd, cond`, refused for the conditions that always hold.
    pub fn cset(width: Width, rd: Gpr, cond: Cond) -> Result<Insn> {
        let (op, cond) = (CondSelectOp::Csinc, inverse(cond)?);
        Ok(Insn::CondSelect { op, width, rd, rn: Gpr::Xzr, rm: Gpr::Xzr, cond })
    }

    /// `csetm rd, cond`, refused for the conditions that always hold.
    pub fn csetm(width: Width, rd: Gpr, cond: Cond) -> Result<Insn> {
        let (op, cond) = (CondSelectOp::Csinv, inverse(cond)?);
        Ok(Insn::CondSelect { op, width, rd, rn: Gpr::Xzr, rm: Gpr::Xzr, cond })
    }
}

fn bitfield(op: BitfieldOp, width: Width, rd: Gpr, rn: Gpr, immr: u32, imms: u32) -> Insn {
    Insn::Bitfield { op, width, rd, rn, immr: immr as u8, imms: imms as u8 }
}

fn inverse(cond: Cond) -> Result<Cond> {
    cond.inverse().ok_or(EncodeError::Form("a condition that always holds has no inverse"))
}

/// A bit field's position and size, both within the width.
fn field(width: Width, lsb: u8, bits: u8) -> Result<(u32, u32)> {
    let lsb = below_width("lsb", lsb, width)?;
    let bits = unsigned("bits", u32::from(bits), 1, width.bits() - lsb)?;
    Ok((lsb, bits))
}

impl Insn {
    /// The instruction's word.
    ///
    /// # Errors
    /// An operand that the encoding cannot hold, with the range that it can; a combination that the architecture lacks
    /// or leaves unpredictable.
    pub fn encode(&self) -> Result<u32> {
        match self.group() {
            Group::Immediate => self.encode_immediate(),
            Group::Register => self.encode_register(),
            Group::LoadStore => self.encode_load_store(),
            Group::Atomic => self.encode_atomic(),
            Group::BranchOrSystem => self.encode_branch_or_system(),
            Group::Simd => self.encode_simd(),
        }
    }

    /// Whether `offset` is a distance that this branch, ADR or literal load can hold.
    pub fn reaches(&self, offset: i32) -> bool {
        let bits = match self {
            Insn::B { .. } | Insn::Bl { .. } => 28,
            Insn::BCond { .. }
            | Insn::CompareBranch { .. }
            | Insn::LoadLiteral { .. }
            | Insn::LoadSignedLiteral { .. } => 21,
            Insn::TestBranch { .. } => 16,
            Insn::Adr { .. } => return signed("offset", i64::from(offset), 21, 1).is_ok(),
            _ => return false,
        };
        signed("offset", i64::from(offset), bits, 4).is_ok()
    }

    /// Data processing with an immediate (Arm ARM, C4.1).
    #[inline(always)]
    pub(super) fn encode_immediate(&self) -> Result<u32> {
        Ok(match *self {
            Insn::MoveWide { op, width, rd, imm, shift } => {
                let opc = match op {
                    MoveWide::Movn => 0,
                    MoveWide::Movz => 2,
                    MoveWide::Movk => 3,
                };
                let hw = scaled("shift", u32::from(shift), 16, width.bits() / 16 - 1)?;
                0x1280_0000 | sf(width) | opc << 29 | hw << 21 | u32::from(imm) << 5 | zr("rd", rd)?
            }
            Insn::AddSubImm { op, width, rd, rn, imm } => {
                let rd = if op as u32 & 1 == 1 { zr("rd", rd)? } else { sp("rd", rd)? };
                let (sh, imm12) = match imm {
                    0..=0xfff => (0, imm),
                    _ => (1, scaled("immediate", imm, 0x1000, 0xfff)?),
                };
                0x1100_0000 | sf(width) | (op as u32) << 29 | sh << 22 | imm12 << 10 | sp("rn", rn)? << 5 | rd
            }
            Insn::LogicalImm { op, width, rd, rn, imm } => {
                let rd = if op == LogicalImm::Ands { zr("rd", rd)? } else { sp("rd", rd)? };
                let Bitmask { n, immr, imms } = encode_bitmask(imm, width)
                    .ok_or(EncodeError::Bitmask { value: imm, bits: width.bits() })?;
                let fields = u32::from(n) << 22 | u32::from(immr) << 16 | u32::from(imms) << 10;
                0x1200_0000 | sf(width) | (op as u32) << 29 | fields | zr("rn", rn)? << 5 | rd
            }
            Insn::Bitfield { op, width, rd, rn, immr, imms } => {
                let immr = below_width("immr", immr, width)?;
                let imms = below_width("imms", imms, width)?;
                let sizes = sf(width) | width.sf() << 22;
                0x1300_0000 | sizes | (op as u32) << 29 | immr << 16 | imms << 10 | rd_rn(rd, rn)?
            }
            Insn::Extract { width, rd, rn, rm, lsb } => {
                let lsb = below_width("lsb", lsb, width)?;
                0x1380_0000 | sf(width) | width.sf() << 22 | zr("rm", rm)? << 16 | lsb << 10 | rd_rn(rd, rn)?
            }
            Insn::Adr { rd, offset } => adr(0x1000_0000, rd, signed("offset", i64::from(offset), 21, 1)?)?,
            Insn::Adrp { rd, offset } => adr(0x9000_0000, rd, signed("offset", offset, 33, 0x1000)?)?,
            _ => return Err(MISPLACED),
        })
    }

    /// Data processing on registers (Arm ARM, C4.1).
    #[inline(always)]
    pub(super) fn encode_register(&self) -> Result<u32> {
        Ok(match *self {
            Insn::AddSubShifted { op, width, rd, rn, rm, shift, amount } => {
                if shift == Shift::Ror {
                    return Err(EncodeError::Form("addition and subtraction cannot rotate their operand"));
                }
                let shift = (shift as u32) << 22 | below_width("amount", amount, width)? << 10;
                0x0b00_0000 | sf(width) | (op as u32) << 29 | shift | rd_rn_rm(rd, rn, rm)?
            }
            Insn::AddSubExtended { op, width, rd, rn, rm, extend, amount } => {
                let rd = if op as u32 & 1 == 1 { zr("rd", rd)? } else { sp("rd", rd)? };
                let extend = (extend as u32) << 13 | unsigned("amount", u32::from(amount), 0, 4)? << 10;
                let registers = zr("rm", rm)? << 16 | sp("rn", rn)? << 5 | rd;
                0x0b20_0000 | sf(width) | (op as u32) << 29 | extend | registers
            }
            Insn::AddSubCarry { op, width, rd, rn, rm } => {
                0x1a00_0000 | sf(width) | (op as u32) << 29 | rd_rn_rm(rd, rn, rm)?
            }
            Insn::LogicalShifted { op, width, rd, rn, rm, shift, amount } => {
                let op = (op as u32 >> 1) << 29 | (op as u32 & 1) << 21;
                let shift = (shift as u32) << 22 | below_width("amount", amount, width)? << 10;
                0x0a00_0000 | sf(width) | op | shift | rd_rn_rm(rd, rn, rm)?
            }
            Insn::OneSource { op, width, rd, rn } => one_source(op, width)? | rd_rn(rd, rn)?,
            Insn::TwoSource { op, width, rd, rn, rm } => {
                use super::insn::TwoSourceOp::{Asrv, Lslv, Lsrv, Rorv, Sdiv, Udiv};
                let opcode = match op {
                    Udiv => 2,
                    Sdiv => 3,
                    Lslv => 8,
                    Lsrv => 9,
                    Asrv => 10,
                    Rorv => 11,
                };
                0x1ac0_0000 | sf(width) | opcode << 10 | rd_rn_rm(rd, rn, rm)?
            }
            Insn::Crc32 { castagnoli, size, rd, rn, rm } => {
                let opcode = 0x10 | u32::from(castagnoli) << 2 | size.log2();
                0x1ac0_0000 | sf(size.width()) | opcode << 10 | rd_rn_rm(rd, rn, rm)?
            }
            Insn::MulAdd { op, width, rd, rn, rm, ra } => {
                0x1b00_0000 | sf(width) | (op as u32) << 15 | zr("ra", ra)? << 10 | rd_rn_rm(rd, rn, rm)?
            }
            Insn::MulAddLong { op, rd, rn, rm, ra } => {
                let op = (op as u32 >> 1) << 23 | (op as u32 & 1) << 15;
                0x9b20_0000 | op | zr("ra", ra)? << 10 | rd_rn_rm(rd, rn, rm)?
            }
            Insn::MulHigh { signed, rd, rn, rm } => {
                0x9b40_7c00 | u32::from(!signed) << 23 | rd_rn_rm(rd, rn, rm)?
            }
            Insn::CondSelect { op, width, rd, rn, rm, cond } => {
                let op = (op as u32 >> 1) << 30 | (op as u32 & 1) << 10;
                0x1a80_0000 | sf(width) | op | cond.number() << 12 | rd_rn_rm(rd, rn, rm)?
            }
            Insn::CondCompare { op, width, rn, operand, nzcv, cond } => {
                let operand = match operand {
                    CondOperand::Reg(rm) => zr("rm", rm)? << 16,
                    CondOperand::Imm(imm) => unsigned("immediate", u32::from(imm), 0, 31)? << 16 | 1 << 11,
                };
                let nzcv = unsigned("nzcv", u32::from(nzcv), 0, 15)?;
                let cond = cond.number() << 12;
                0x3a40_0000 | sf(width) | (op as u32) << 30 | operand | cond | zr("rn", rn)? << 5 | nzcv
            }
            _ => return Err(MISPLACED),
        })
    }

    /// Loads and stores (Arm ARM, C4.1).
    #[inline(always)]
    pub(super) fn encode_load_store(&self) -> Result<u32> {
        Ok(match *self {
            Insn::Load { size, rt, mem } => {
                refuse_written_back(rt, mem)?;
                size.log2() << 30 | 1 << 22 | address(mem, size.log2())? | zr("rt", rt)?
            }
            Insn::LoadSigned { width, size, rt, mem } => {
                if size.bytes() * 8 >= width.bits() {
                    return Err(EncodeError::Form("a sign-extending load is narrower than its register"));
                }
                refuse_written_back(rt, mem)?;
                let opc = 3 - width.sf();
                size.log2() << 30 | opc << 22 | address(mem, size.log2())? | zr("rt", rt)?
            }
            Insn::Store { size, rt, mem } => {
                refuse_written_back(rt, mem)?;
                size.log2() << 30 | address(mem, size.log2())? | zr("rt", rt)?
            }
            Insn::Prfm { op, mem } => {
                if mem.writes_back() {
                    return Err(EncodeError::Form("prfm has no pre- or post-indexed form"));
                }
                // Two streaming choices for each of three levels for each of three kinds; level 4 is reserved.
                let op = op as u32;
                let prfop = ((op / 6) << 3) | (op % 6);
                3 << 30 | 2 << 22 | address(mem, 3)? | prfop
            }
            Insn::LoadPair { width, rt, rt2, mem } => {
                if rt == rt2 {
                    return Err(EncodeError::Unpredictable("a pair is loaded into one register"));
                }
                width.sf() << 31 | 1 << 22 | gpr_pair(rt, rt2, mem, width)?
            }
            Insn::StorePair { width, rt, rt2, mem } => width.sf() << 31 | gpr_pair(rt, rt2, mem, width)?,
            Insn::LoadLiteral { width, rt, offset } => 0x1800_0000 | width.sf() << 30 | literal(rt, offset)?,
            Insn::LoadSignedLiteral { rt, offset } => 0x9800_0000 | literal(rt, offset)?,
            Insn::VLoad { size, vt, mem } => scalar_access(size, mem)? | 1 << 22 | vt.number(),
            Insn::VStore { size, vt, mem } => scalar_access(size, mem)? | vt.number(),
            Insn::VLoadPair { size, vt, vt2, mem } => {
                if vt == vt2 {
                    return Err(EncodeError::Unpredictable("a pair is loaded into one register"));
                }
                1 << 22 | scalar_pair(size, vt, vt2, mem)?
            }
            Insn::VStorePair { size, vt, vt2, mem } => scalar_pair(size, vt, vt2, mem)?,
            _ => return Err(MISPLACED),
        })
    }

    /// Exclusive, ordered and atomic accesses (Arm ARM, C4.1).
    #[inline(always)]
    pub(super) fn encode_atomic(&self) -> Result<u32> {
        Ok(match *self {
            Insn::LoadExclusive { size, acquire, rt, base } => {
                0x085f_7c00 | size.log2() << 30 | u32::from(acquire) << 15 | base_rt(base, rt)?
            }
            Insn::StoreExclusive { size, release, rs, rt, base } => {
                if rs == rt || rs == base {
                    return Err(EncodeError::Unpredictable(
                        "the status register of an exclusive store is an operand",
                    ));
                }
                let rs = zr("rs", rs)? << 16;
                0x0800_7c00 | size.log2() << 30 | rs | u32::from(release) << 15 | base_rt(base, rt)?
            }
            Insn::LoadAcquire { size, rt, base } => 0x08df_fc00 | size.log2() << 30 | base_rt(base, rt)?,
            Insn::StoreRelease { size, rt, base } => 0x089f_fc00 | size.log2() << 30 | base_rt(base, rt)?,
            Insn::LoadAcquirePc { size, rt, base } => 0x38bf_c000 | size.log2() << 30 | base_rt(base, rt)?,
            Insn::Atomic { op, size, order, rs, rt, base } => {
                // SWP follows the eight operations: it is opcode 0 with the bit above set.
                let op = (op as u32) << 12;
                let order = (order as u32 & 1) << 23 | (order as u32 >> 1) << 22;
                0x3820_0000 | size.log2() << 30 | order | zr("rs", rs)? << 16 | op | base_rt(base, rt)?
            }
            Insn::Cas { size, order, rs, rt, base } => {
                let order = (order as u32 & 1) << 22 | (order as u32 >> 1) << 15;
                0x08a0_7c00 | size.log2() << 30 | order | zr("rs", rs)? << 16 | base_rt(base, rt)?
            }
            _ => return Err(MISPLACED),
        })
    }

    /// Branches, exceptions, hints, barriers and system registers (Arm ARM, C4.1).
    #[inline(always)]
    pub(super) fn encode_branch_or_system(&self) -> Result<u32> {
        Ok(match *self {
            Insn::B { offset } => 0x1400_0000 | signed("offset", i64::from(offset), 28, 4)?,
            Insn::Bl { offset } => 0x9400_0000 | signed("offset", i64::from(offset), 28, 4)?,
            Insn::BCond { cond, offset } => {
                0x5400_0000 | signed("offset", i64::from(offset), 21, 4)? << 5 | cond.number()
            }
            Insn::CompareBranch { nonzero, width, rt, offset } => {
                0x3400_0000 | sf(width) | u32::from(nonzero) << 24 | literal(rt, offset)?
            }
            Insn::TestBranch { nonzero, rt, bit, offset } => {
                let bit = unsigned("bit", u32::from(bit), 0, 63)?;
                let bit = bit >> 5 << 31 | (bit & 31) << 19;
                let imm14 = signed("offset", i64::from(offset), 16, 4)? << 5;
                0x3600_0000 | u32::from(nonzero) << 24 | bit | imm14 | zr("rt", rt)?
            }
            Insn::Br { rn } => 0xd61f_0000 | zr("rn", rn)? << 5,
            Insn::Blr { rn } => 0xd63f_0000 | zr("rn", rn)? << 5,
            Insn::Ret { rn } => 0xd65f_0000 | zr("rn", rn)? << 5,
            Insn::Svc { imm } => 0xd400_0001 | u32::from(imm) << 5,
            Insn::Brk { imm } => 0xd420_0000 | u32::from(imm) << 5,
            Insn::Udf { imm } => u32::from(imm),
            Insn::Hint(hint) => {
                let number = match hint {
                    Hint::Nop => 0,
                    Hint::Yield => 1,
                    Hint::Bti => 32,
                    Hint::BtiC => 34,
                    Hint::BtiJ => 36,
                    Hint::BtiJc => 38,
                };
                0xd503_201f | number << 5
            }
            Insn::Dmb(scope) => 0xd503_30bf | crm(scope) << 8,
            Insn::Dsb(scope) => 0xd503_309f | crm(scope) << 8,
            Insn::Isb => 0xd503_3fdf,
            Insn::Sb => 0xd503_30ff,
            Insn::Mrs { rt, register } => 0xd530_0000 | system_register(register) << 5 | zr("rt", rt)?,
            Insn::Msr { register, rt } => 0xd510_0000 | system_register(register) << 5 | zr("rt", rt)?,
            _ => return Err(MISPLACED),
        })
    }

    /// SIMD registers (Arm ARM, C4.1).
    fn encode_simd(&self) -> Result<u32> {
        Ok(match *self {
            Insn::FmovToGpr { lane, rd, vn } => fmov(lane) | vn.number() << 5 | zr("rd", rd)?,
            Insn::FmovFromGpr { lane, vd, rn } => fmov(lane) | 1 << 16 | zr("rn", rn)? << 5 | vd.number(),
            Insn::Cnt { arrangement, vd, vn } => 0x0e20_5800 | bytes(arrangement)? | vd_vn(vd, vn),
            Insn::Addv { arrangement, vd, vn } => 0x0e31_b800 | across(arrangement)? | vd_vn(vd, vn),
            Insn::Uaddlv { arrangement, vd, vn } => 0x2e30_3800 | across(arrangement)? | vd_vn(vd, vn),
            Insn::Pmull { form, upper, vd, vn, vm } => {
                let size = match form {
                    PmullForm::Bytes => 0,
                    PmullForm::Doubleword => 3,
                };
                0x0e20_e000 | u32::from(upper) << 30 | size << 22 | vd_vn_vm(vd, vn, vm)
            }
            Insn::BitPermute { op, lane, zd, zn, zm } => {
                if lane == Scalar::Q {
                    return Err(EncodeError::Form("BEXT and BDEP have no lanes of 128 bits"));
                }
                0x4500_b000 | (op as u32) << 10 | lane.log2() << 22 | vd_vn_vm(zd, zn, zm)
            }
            Insn::Umov { lane, rd, vn, index } => {
                let q = u32::from(lane == Scalar::D) << 30;
                0x0e00_3c00 | q | lane_index("index", lane, index)? << 16 | vn.number() << 5 | zr("rd", rd)?
            }
            Insn::InsGpr { lane, vd, index, rn } => {
                0x4e00_1c00 | lane_index("index", lane, index)? << 16 | zr("rn", rn)? << 5 | vd.number()
            }
            Insn::InsLane { lane, vd, index, vn, from } => {
                lane_index("from", lane, from)?;
                let from = u32::from(from) << lane.log2() << 11;
                0x6e00_0400 | lane_index("index", lane, index)? << 16 | from | vd_vn(vd, vn)
            }
            Insn::DupGpr { arrangement, vd, rn } => {
                let imm5 = duplicated(arrangement, 0)?;
                0x0e00_0c00 | arrangement.q() << 30 | imm5 << 16 | zr("rn", rn)? << 5 | vd.number()
            }
            Insn::DupLane { arrangement, vd, vn, index } => {
                let imm5 = duplicated(arrangement, index)?;
                0x0e00_0400 | arrangement.q() << 30 | imm5 << 16 | vd_vn(vd, vn)
            }
            Insn::Movi { vd, imm } => {
                let imm8 = byte_mask(imm)?;
                0x6f00_e400 | imm8 >> 5 << 16 | (imm8 & 31) << 5 | vd.number()
            }
            Insn::VLogical { op, arrangement, vd, vn, vm } => {
                let op = (op as u32 >> 2) << 29 | (op as u32 & 3) << 22;
                0x0e20_1c00 | op | bytes(arrangement)? | vd_vn_vm(vd, vn, vm)
            }
            Insn::Ext { arrangement, vd, vn, vm, index } => {
                let bytes = bytes(arrangement)?;
                let index = unsigned("index", u32::from(index), 0, 7 + 8 * arrangement.q())?;
                0x2e00_0000 | bytes | index << 11 | vd_vn_vm(vd, vn, vm)
            }
            _ => return Err(MISPLACED),
        })
    }
}

/// What no call can cause: [`Insn::encode`] goes by [`Insn::group`].
const MISPLACED: EncodeError = EncodeError::Form("the instruction is of another group");

#[inline]
fn sf(width: Width) -> u32 {
    width.sf() << 31
}

/// The number of a register where 31 is the zero register.
#[inline]
fn zr(operand: &'static str, register: Gpr) -> Result<u32> {
    match register {
        Gpr::Sp => Err(EncodeError::Register { operand, register }),
        _ => Ok(register.number()),
    }
}

/// The number of a register where 31 is the stack pointer.
#[inline]
fn sp(operand: &'static str, register: Gpr) -> Result<u32> {
    match register {
        Gpr::Xzr => Err(EncodeError::Register { operand, register }),
        _ => Ok(register.number()),
    }
}

#[inline]
fn rd_rn(rd: Gpr, rn: Gpr) -> Result<u32> {
    Ok(zr("rn", rn)? << 5 | zr("rd", rd)?)
}

#[inline]
fn rd_rn_rm(rd: Gpr, rn: Gpr, rm: Gpr) -> Result<u32> {
    Ok(zr("rm", rm)? << 16 | rd_rn(rd, rn)?)
}

#[inline]
fn base_rt(base: Gpr, rt: Gpr) -> Result<u32> {
    Ok(sp("base", base)? << 5 | zr("rt", rt)?)
}

fn vd_vn(vd: V, vn: V) -> u32 {
    vn.number() << 5 | vd.number()
}

fn vd_vn_vm(vd: V, vn: V, vm: V) -> u32 {
    vm.number() << 16 | vd_vn(vd, vn)
}

#[inline]
fn unsigned(operand: &'static str, value: u32, min: u32, max: u32) -> Result<u32> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(EncodeError::Range { operand, value: value.into(), min: min.into(), max: max.into() })
}

#[inline]
fn below_width(operand: &'static str, value: u8, width: Width) -> Result<u32> {
    unsigned(operand, u32::from(value), 0, width.bits() - 1)
}

/// An unsigned field in units of `unit`, 0 to `max` of them.
#[inline]
fn scaled(operand: &'static str, value: u32, unit: u32, max: u32) -> Result<u32> {
    unsigned(operand, value, 0, unit * max)?;
    if !value.is_multiple_of(unit) {
        return Err(EncodeError::Multiple { operand, value: value.into(), multiple: unit.into() });
    }
    Ok(value / unit)
}

/// A signed number of `bits` bits, in units of `unit`: the field, which has as many bits fewer as `unit` has zeros.
#[inline]
fn signed(operand: &'static str, value: i64, bits: u32, unit: i64) -> Result<u32> {
    let limit = 1i64 << (bits - 1);
    let (min, max) = (-limit, limit - unit);
    if !(min..limit).contains(&value) {
        return Err(EncodeError::Range { operand, value, min, max });
    }
    if value % unit != 0 {
        return Err(EncodeError::Multiple { operand, value, multiple: unit });
    }
    let field = bits - unit.trailing_zeros();
    Ok((value / unit) as u32 & ((1 << field) - 1))
}

fn adr(opcode: u32, rd: Gpr, imm21: u32) -> Result<u32> {
    Ok(opcode | (imm21 & 3) << 29 | imm21 >> 2 << 5 | zr("rd", rd)?)
}

#[inline]
fn one_source(op: super::insn::OneSourceOp, width: Width) -> Result<u32> {
    use super::insn::OneSourceOp::{Cls, Clz, Rbit, Rev, Rev16, Rev32};
    let opcode = match (op, width) {
        (Rbit, _) => 0,
        (Rev16, _) => 1,
        (Rev, Width::W) | (Rev32, Width::X) => 2,
        (Rev, Width::X) => 3,
        (Rev32, Width::W) => return Err(EncodeError::Form("rev32 takes X registers")),
        (Clz, _) => 4,
        (Cls, _) => 5,
    };
    Ok(0x5ac0_0000 | sf(width) | opcode << 10)
}

/// A label within 1 MiB, and the register before it.
fn literal(rt: Gpr, offset: i32) -> Result<u32> {
    Ok(signed("offset", i64::from(offset), 21, 4)? << 5 | zr("rt", rt)?)
}

#[inline]
fn refuse_written_back(rt: Gpr, mem: Mem) -> Result<()> {
    if mem.writes_back() && rt == mem.base_register() && rt.is_numbered() {
        return Err(EncodeError::Unpredictable("the base that is updated is transferred too"));
    }
    Ok(())
}

/// The addressing mode of an access of `1 << log2` bytes, with the bits that all accesses share.
#[inline]
fn address(mem: Mem, log2: u32) -> Result<u32> {
    let bytes = 1 << log2;
    let base = sp("base", mem.base_register())? << 5;
    let mode = match mem {
        Mem::Offset { offset, .. } => offset_field(offset, bytes)?,
        Mem::Unscaled { offset, .. } => imm9(offset)?,
        Mem::PostIndex { offset, .. } => imm9(offset)? | 1 << 10,
        Mem::PreIndex { offset, .. } => imm9(offset)? | 3 << 10,
        Mem::Register { index, extend, scaled, .. } => {
            if !Extend::INDEX.contains(&extend) {
                return Err(EncodeError::Form("an index is extended by uxtw, lsl, sxtw or sxtx"));
            }
            let index = zr("index", index)? << 16;
            1 << 21 | index | (extend as u32) << 13 | u32::from(scaled) << 12 | 2 << 10
        }
    };
    Ok(0x3800_0000 | mode | base)
}

/// Whether an offset fits the scaled form of an access of `bytes`.
pub(super) fn fits_scaled(offset: i32, bytes: i32) -> bool {
    offset >= 0 && offset % bytes == 0 && offset / bytes <= 0xfff
}

/// The scaled form where the offset fits it, else the unscaled one.
fn offset_field(offset: i32, bytes: i32) -> Result<u32> {
    if fits_scaled(offset, bytes) {
        return Ok(1 << 24 | ((offset / bytes) as u32) << 10);
    }
    if (-256..=255).contains(&offset) {
        return imm9(offset);
    }
    let (value, max) = (i64::from(offset), i64::from(0xfff * bytes));
    Err(if (256..=max).contains(&value) {
        EncodeError::Multiple { operand: "offset", value, multiple: bytes.into() }
    } else {
        EncodeError::Range { operand: "offset", value, min: -256, max }
    })
}

fn imm9(offset: i32) -> Result<u32> {
    Ok(signed("offset", i64::from(offset), 9, 1)? << 12)
}

/// The addressing mode of a pair of `1 << log2` bytes each, with the bits that all pairs share.
fn pair_address(mem: Mem, log2: u32) -> Result<u32> {
    let (mode, base, offset) = match mem {
        Mem::PostIndex { base, offset } => (1, base, offset),
        Mem::Offset { base, offset } => (2, base, offset),
        Mem::PreIndex { base, offset } => (3, base, offset),
        Mem::Unscaled { .. } | Mem::Register { .. } => {
            return Err(EncodeError::Form("a pair is addressed by an offset, pre- or post-indexed"));
        }
    };
    let imm7 = signed("offset", i64::from(offset), 7 + log2, 1 << log2)?;
    Ok(0x2800_0000 | mode << 23 | imm7 << 15 | sp("base", base)? << 5)
}

#[inline]
fn gpr_pair(rt: Gpr, rt2: Gpr, mem: Mem, width: Width) -> Result<u32> {
    refuse_written_back(rt, mem)?;
    refuse_written_back(rt2, mem)?;
    Ok(pair_address(mem, Size::from(width).log2())? | zr("rt2", rt2)? << 10 | zr("rt", rt)?)
}

fn scalar_pair(size: Scalar, vt: V, vt2: V, mem: Mem) -> Result<u32> {
    if matches!(size, Scalar::B | Scalar::H) {
        return Err(EncodeError::Form("a pair of SIMD registers is transferred as S, D or Q"));
    }
    let opc = (size.log2() - 2) << 30;
    Ok(opc | 1 << 26 | pair_address(mem, size.log2())? | vt2.number() << 10 | vt.number())
}

/// The access of a SIMD register as a store; 16 bytes are size 0 with the upper bit of `opc` set.
fn scalar_access(size: Scalar, mem: Mem) -> Result<u32> {
    let log2 = size.log2();
    let size = if size == Scalar::Q { 1 << 23 } else { log2 << 30 };
    Ok(size | 1 << 26 | address(mem, log2)?)
}

/// The `CRm` field of a barrier: three scopes, of which 0 is no barrier, for each of four domains.
fn crm(scope: super::insn::BarrierScope) -> u32 {
    let scope = scope as u32;
    ((scope / 3) << 2) | (scope % 3 + 1)
}

/// The `op0:op1:CRn:CRm:op2` fields of a system register (Arm ARM, MRS and the register's own page).
fn system_register(register: SysReg) -> u32 {
    let (op1, crn, crm, op2) = match register {
        SysReg::Nzcv => (3, 4, 2, 0),
        SysReg::Fpcr => (3, 4, 4, 0),
        SysReg::Fpsr => (3, 4, 4, 1),
        SysReg::TpidrEl0 => (3, 13, 0, 2),
    };
    1 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// FMOV to a general-purpose register; one more in the opcode is the other direction.
fn fmov(lane: FmovLane) -> u32 {
    match lane {
        FmovLane::S => 0x1e26_0000,
        FmovLane::D => 0x9e66_0000,
        FmovLane::UpperD => 0x9eae_0000,
    }
}

/// The `Q` bit of 8B and 16B.
fn bytes(arrangement: Arrangement) -> Result<u32> {
    match arrangement.lane() {
        Scalar::B => Ok(arrangement.q() << 30),
        _ => Err(EncodeError::Form("the arrangement is 8b or 16b")),
    }
}

/// The `Q` and `size` bits of a sum across lanes.
fn across(arrangement: Arrangement) -> Result<u32> {
    use Arrangement::{B8, B16, H4, H8, S4};
    match arrangement {
        B8 | B16 | H4 | H8 | S4 => Ok(arrangement.q() << 30 | arrangement.lane().log2() << 22),
        _ => Err(EncodeError::Form("the arrangement of a sum across lanes is 8b, 16b, 4h, 8h or 4s")),
    }
}

/// The `imm5` field: a lane's size and its index.
fn lane_index(operand: &'static str, lane: Scalar, index: u8) -> Result<u32> {
    if lane == Scalar::Q {
        return Err(EncodeError::Form("a lane is b, h, s or d"));
    }
    let index = unsigned(operand, u32::from(index), 0, 16 / lane.bytes() - 1)?;
    Ok(index << (lane.log2() + 1) | 1 << lane.log2())
}

fn duplicated(arrangement: Arrangement, index: u8) -> Result<u32> {
    if arrangement == Arrangement::D1 {
        return Err(EncodeError::Form("dup has no arrangement 1d"));
    }
    lane_index("index", arrangement.lane(), index)
}

/// One bit for each byte of `imm`, which is 0 or 0xff.
fn byte_mask(imm: u64) -> Result<u32> {
    let mut imm8 = 0;
    for (i, byte) in imm.to_le_bytes().into_iter().enumerate() {
        match byte {
            0 => {}
            0xff => imm8 |= 1 << i,
            _ => return Err(EncodeError::Form("each byte of movi's immediate is 0 or 0xff")),
        }
    }
    Ok(imm8)
}

#[cfg(test)]
mod tests {
    use super::super::insn::{AddSub, AtomicOp, Order, Prefetch};
    use super::*;
    use crate::choices::{Choices, Seeded};

    /// What a sequence of MOVZ, MOVN, MOVK and ORR of a bitmask leaves in a register that held garbage.
    fn evaluate(insns: &[Insn]) -> u64 {
        insns.iter().fold(0xdead_beef_dead_beef, |old, insn| match *insn {
            Insn::MoveWide { op, width, imm, shift, .. } => {
                let imm = u64::from(imm) << shift;
                let result = match op {
                    MoveWide::Movz => imm,
                    MoveWide::Movn => !imm,
                    MoveWide::Movk => old & !(0xffff << shift) | imm,
                };
                result & width.mask()
            }
            Insn::LogicalImm { op: LogicalImm::Orr, rn: Gpr::Xzr, imm, .. } => imm,
            _ => panic!("{insn} is no move of an immediate"),
        })
    }

    /// Values of which each halfword is drawn from the same few, and neighbours of single bits and of runs.
    fn values() -> Vec<u64> {
        let mut values = vec![];
        let halfwords = [0u64, 0xffff, 1, 0x8000, 0x5555, 0x1234, 0xf0f0, 0xff00];
        for i in 0..4096usize {
            let pick = |shift: usize| halfwords[i >> shift & 7];
            values.push(pick(0) | pick(3) << 16 | pick(6) << 32 | pick(9) << 48);
        }
        for a in 0..64 {
            for b in 0..64 {
                let run = (u64::MAX >> a).rotate_right(b);
                values.extend([run, run.wrapping_add(1), run ^ 1 << 13, run & u64::from(u32::MAX)]);
            }
        }
        let mut choices = Seeded::new(1);
        values.extend((0..4096).map(|_| choices.bits()));
        values
    }

    #[test]
    fn moved_immediates_evaluate_to_their_value() {
        for value in values() {
            for width in Width::ALL {
                let insns = mov_imm(width, Gpr::X9, value);
                assert_eq!(evaluate(&insns), value & width.mask(), "{value:#x} {width:?}");
                assert!(insns.iter().all(|insn| insn.encode().is_ok()), "{insns:?}");
                assert!(insns.len() <= width.bits() as usize / 16, "{value:#x} {width:?}");
            }
        }
    }

    #[test]
    fn moved_immediates_are_minimal() {
        let length = |value: u64| mov_imm(Width::X, Gpr::X0, value).len();
        let zeros_and_ones = |value: u64| {
            let count = |piece: u16| (0..4).filter(|i| halfword(value, *i) != piece).count().max(1);
            count(0).min(count(0xffff))
        };
        for value in values() {
            assert!(length(value) <= zeros_and_ones(value), "{value:#x}");
            if length(value) == 1 {
                continue;
            }
            // Two instructions: whatever the second one sets, the first one is alone. All 65536 values are tried.
            if length(value) == 3 && value % 61 == 0 {
                for i in 0..4 {
                    for free in 0..=0xffffu64 {
                        let start = value & !(0xffff << (16 * i)) | free << (16 * i);
                        assert_eq!(one_mov(Width::X, Gpr::X0, start), None, "{value:#x} after {start:#x}");
                    }
                }
            }
        }
        let known = [
            (0, 1),
            (0xffff_1234, 1),
            (0xf0f0_f0f0, 1),
            (u64::MAX, 1),
            (0xffff_ffff_1234_ffff, 1),
            (0x0000_ffff_0000_ffff, 1),
            (0x1234_5678, 2),
            (0x1234_5555_5555_5555, 2),
            (0x1234_0000_f0f0_f0f0, 2),
            (0x1234_5678_5555_5555, 3),
            (0x1234_5678_9abc_def0, 4),
        ];
        for (value, expected) in known {
            assert_eq!(length(value), expected, "{value:#x}");
        }
    }

    /// Encodings that the Arm ARM or its examples of use give in full.
    #[test]
    fn known_words() {
        let known = [
            (Insn::Hint(Hint::Nop), 0xd503_201f),
            (Insn::Ret { rn: Gpr::X30 }, 0xd65f_03c0),
            (Insn::Svc { imm: 0 }, 0xd400_0001),
            (Insn::mov(Width::X, Gpr::X29, Gpr::Sp), 0x9100_03fd),
            (Insn::mov(Width::X, Gpr::X0, Gpr::X1), 0xaa01_03e0),
            (
                Insn::StorePair { width: Width::X, rt: Gpr::X29, rt2: Gpr::X30, mem: Mem::pre(Gpr::Sp, -16) },
                0xa9bf_7bfd,
            ),
            (
                Insn::LoadPair { width: Width::X, rt: Gpr::X29, rt2: Gpr::X30, mem: Mem::post(Gpr::Sp, 16) },
                0xa8c1_7bfd,
            ),
            (
                Insn::AddSubImm { op: AddSub::Sub, width: Width::X, rd: Gpr::Sp, rn: Gpr::Sp, imm: 32 },
                0xd100_83ff,
            ),
            (Insn::Dmb(super::super::insn::BarrierScope::Ish), 0xd503_3bbf),
            (Insn::Mrs { rt: Gpr::X0, register: SysReg::Nzcv }, 0xd53b_4200),
            (
                Insn::Atomic {
                    op: AtomicOp::Add,
                    size: Size::B8,
                    order: Order::AcquireRelease,
                    rs: Gpr::X1,
                    rt: Gpr::X2,
                    base: Gpr::X3,
                },
                0xf8e1_0062,
            ),
            (Insn::Prfm { op: Prefetch::PstL1Strm, mem: Mem::base(Gpr::X0) }, 0xf980_0011),
        ];
        for (insn, word) in known {
            assert_eq!(insn.encode(), Ok(word), "{insn}");
        }
    }

    #[test]
    fn boundaries_fit_and_their_neighbours_are_refused() {
        let load = |size, offset| Insn::Load { size, rt: Gpr::X0, mem: Mem::offset(Gpr::X1, offset) };
        let pair = |offset| Insn::LoadPair {
            width: Width::X,
            rt: Gpr::X0,
            rt2: Gpr::X1,
            mem: Mem::offset(Gpr::X2, offset),
        };
        let add = |imm| Insn::AddSubImm { op: AddSub::Add, width: Width::X, rd: Gpr::X0, rn: Gpr::X0, imm };
        let fits = [
            load(Size::B8, 32760),
            load(Size::B8, 255),
            load(Size::B8, -256),
            load(Size::B1, 4095),
            pair(504),
            pair(-512),
            add(0xfff),
            add(0xff_f000),
            Insn::B { offset: -(1 << 27) },
            Insn::BCond { cond: Cond::Eq, offset: (1 << 20) - 4 },
            Insn::TestBranch { nonzero: false, rt: Gpr::X0, bit: 63, offset: -32768 },
        ];
        for insn in fits {
            assert!(insn.encode().is_ok(), "{insn}");
        }
        let refused = [
            load(Size::B8, 32768),
            load(Size::B8, 257),
            load(Size::B8, -257),
            load(Size::B1, 4096),
            pair(512),
            pair(-520),
            pair(4),
            add(0x1001),
            add(0x100_0000),
            Insn::B { offset: 1 << 27 },
            Insn::B { offset: 2 },
            Insn::BCond { cond: Cond::Eq, offset: 1 << 20 },
            Insn::TestBranch { nonzero: false, rt: Gpr::X0, bit: 64, offset: 0 },
            Insn::TestBranch { nonzero: false, rt: Gpr::X0, bit: 0, offset: 32768 },
        ];
        for insn in refused {
            assert!(insn.encode().is_err(), "{insn}");
        }
    }

    #[test]
    fn refusals_name_the_range() {
        let refused = [
            (Insn::ubfx(Width::W, Gpr::X0, Gpr::X1, 30, 3).unwrap_err(), "bits 3 is not in 1..=2"),
            (Insn::lsl_imm(Width::X, Gpr::X0, Gpr::X1, 64).unwrap_err(), "amount 64 is not in 0..=63"),
            (Insn::B { offset: 6 }.encode().unwrap_err(), "offset 6 is not a multiple of 4"),
            (
                Insn::TestBranch { nonzero: true, rt: Gpr::X0, bit: 1, offset: 32768 }.encode().unwrap_err(),
                "offset 32768 is not in -32768..=32764",
            ),
            (
                Insn::MulHigh { signed: false, rd: Gpr::X0, rn: Gpr::Sp, rm: Gpr::X1 }.encode().unwrap_err(),
                "rn cannot be sp",
            ),
        ];
        for (error, text) in refused {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn bitmasks_have_one_run_in_each_element() {
        assert_eq!(
            encode_bitmask(0x5555_5555, Width::W),
            Some(Bitmask { n: false, immr: 0, imms: 0b111100 })
        );
        assert_eq!(encode_bitmask(0xff, Width::X), Some(Bitmask { n: true, immr: 0, imms: 7 }));
        assert_eq!(encode_bitmask(1 << 63, Width::X), Some(Bitmask { n: true, immr: 1, imms: 0 }));
        for none in [0, u64::MAX, 5, 0x1234, 0x8000_0000_0000_0101, 0x0001_0001_0001_0003] {
            assert_eq!(encode_bitmask(none, Width::X), None, "{none:#x}");
        }
        for none in [0, 0xffff_ffff, 0x1_0000_0001] {
            assert_eq!(encode_bitmask(none, Width::W), None, "{none:#x}");
        }
    }
}
