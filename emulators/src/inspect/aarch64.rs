// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of A64 emits, over disarm64's decoder (Arm ARM, DDI 0487, chapters C4 to C7).
//!
//! disarm64 decodes by fixed bits alone and leaves reserved field values to its user; those of general-register
//! instructions, where the words in the field may come from arithmetic gone wrong, are refused here.

use disarm64::{InsnDisplay, InsnOpcode, Opcode, decoder};
use disarm64_defn::{InsnClass as Class, InsnFeatureSet as Set, InsnOperandClass as Operand};
use kop_ops::Feature;

use super::{BAD, Branch, BreachKind, Broken, Line, Need, Profile, Writes};

const SP: u32 = 31;

pub(super) fn inspect(bytes: &[u8]) -> Result<Profile, Broken> {
    let mut profile = Profile::default();
    let mut branches = Vec::new();
    for (index, chunk) in bytes.chunks(4).enumerate() {
        let offset = 4 * index;
        let broken = |kind| (offset, kind);
        let word = Word(u32::from_le_bytes(chunk.try_into().map_err(|_| broken(BreachKind::Truncated))?));
        let insn = decoder::decode(word.0).ok_or(broken(BreachKind::Undecodable))?;
        check(word, &insn).map_err(broken)?;
        if let Some(distance) = word.branch_distance(insn.definition().class) {
            branches.push(Branch { offset, target: offset as i64 + distance });
        }
        word.note(&insn, &mut profile).map_err(broken)?;
    }
    profile.backward_branch = branches.iter().any(|branch| branch.goes_back());
    for branch in branches {
        branch.check(bytes.len(), |target| target % 4 == 0).map_err(|kind| (branch.offset, kind))?;
    }
    Ok(profile)
}

/// What the words that decode write.
pub(super) fn writes(bytes: &[u8]) -> Writes {
    bytes
        .chunks_exact(4)
        .map(|chunk| Word(u32::from_le_bytes(chunk.try_into().expect("four bytes"))))
        .filter_map(|word| Some(word.writes(&decoder::decode(word.0)?)))
        .fold(Writes::default(), Writes::union)
}

fn check(word: Word, insn: &Opcode) -> Result<(), BreachKind> {
    let definition = insn.definition();
    match definition.class {
        Class::IC_SYSTEM => return word.check_system(definition.mnemonic),
        Class::EXCEPTION => return Err(exception(definition.mnemonic)),
        Class::BRANCH_REG => return Err(branch_to_register(definition.mnemonic)),
        Class::BRANCH_IMM if definition.mnemonic == "bl" => return Err(BreachKind::Leaves),
        Class::PCRELADDR | Class::LOADLIT => return Err(BreachKind::Position),
        Class::LDST_UNPRIV | Class::GCS | Class::THE => return Err(BreachKind::SystemState),
        // disarm64 takes the bit above the shift for a part of it.
        Class::ADDSUB_IMM if definition.feature_set == Set::V8 && word.bit(23) => {
            return Err(BreachKind::Undecodable);
        }
        _ => {}
    }
    if word.is_reserved(definition.class) {
        return Err(BreachKind::Undecodable);
    }
    if word.is_unpredictable(definition.class, definition.mnemonic) {
        return Err(BreachKind::NotDeterministic);
    }
    if definition.feature_set == Set::MOPS && word.copies_unprivileged(definition.mnemonic) {
        return Err(BreachKind::SystemState);
    }
    if word.moves_stack_away(definition.class) || word.is_below_stack(definition.class) {
        return Err(BreachKind::StackPointer);
    }
    Ok(())
}

fn exception(mnemonic: &str) -> BreachKind {
    match mnemonic {
        "svc" | "hvc" | "smc" => BreachKind::KernelEntry,
        "brk" | "hlt" | "udf" => BreachKind::Trap,
        _ => BreachKind::Privileged,
    }
}

fn branch_to_register(mnemonic: &str) -> BreachKind {
    if mnemonic.starts_with("eret") || mnemonic == "drps" {
        BreachKind::Privileged
    } else {
        BreachKind::Leaves
    }
}

/// An instruction word and its fields.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    fn field(self, low: u32, width: u32) -> u32 {
        self.0 >> low & ((1 << width) - 1)
    }

    fn signed(self, low: u32, width: u32) -> i64 {
        i64::from((self.field(low, width) << (32 - width)) as i32 >> (32 - width))
    }

    fn bit(self, index: u32) -> bool {
        self.field(index, 1) == 1
    }

    fn rd(self) -> u32 {
        self.field(0, 5)
    }

    fn rn(self) -> u32 {
        self.field(5, 5)
    }

    /// From the instruction to the target of a direct branch, in bytes (Arm ARM C4.1, branches).
    fn branch_distance(self, class: Class) -> Option<i64> {
        Some(match class {
            Class::BRANCH_IMM => 4 * self.signed(0, 26),
            Class::TESTBRANCH => 4 * self.signed(5, 14),
            Class::CONDBRANCH => 4 * self.signed(5, 19),
            // CBZ and CBNZ, and else those of FEAT_CMPBR.
            Class::COMPBRANCH if self.field(25, 6) == 0b011010 => 4 * self.signed(5, 19),
            Class::COMPBRANCH => 4 * self.signed(5, 9),
            _ => return None,
        })
    }

    /// The rules for hints, barriers, flag manipulation and system registers.
    fn check_system(self, mnemonic: &str) -> Result<(), BreachKind> {
        match mnemonic {
            "hint" => self.check_hint(),
            "mrs" | "msr" => self.check_system_register(),
            "dmb" | "dsb" | "isb" | "sb" | "clrex" => Ok(()),
            "cfinv" | "rmif" | "setf8" | "setf16" => Ok(()),
            "wfet" | "wfit" => Err(BreachKind::NotDeterministic),
            "sys" | "sysl" | "sysp" => Err(BreachKind::Privileged),
            _ => Err(BreachKind::SystemState),
        }
    }

    /// Hints by CRm:op2 (Arm ARM C4.1.94); one that is not allocated is a no-operation until it is.
    fn check_hint(self) -> Result<(), BreachKind> {
        match self.field(5, 7) {
            // NOP to DGH, ESB, PSB, TSB, GCSB, CSDB, CLRBHB, BTI.
            0..=6 | 16..=20 | 22 | 32 | 34 | 36 | 38 => Ok(()),
            // XPACLRI, PACIA1716 and its like, PACIAZ to AUTIBSP.
            7 | 8..=15 | 24..=31 => Err(BreachKind::NotDeterministic),
            _ => Err(BreachKind::SystemState),
        }
    }

    /// MRS and MSR by op0:op1:CRn:CRm:op2: the condition flags are all that an operation owns.
    fn check_system_register(self) -> Result<(), BreachKind> {
        const NZCV: u32 = system_register(3, 3, 4, 2, 0);
        const RNDR: u32 = system_register(3, 3, 2, 4, 0);
        const RNDRRS: u32 = system_register(3, 3, 2, 4, 1);
        // MSR of an immediate to a PSTATE field.
        if self.field(19, 2) == 0 {
            return Err(BreachKind::Privileged);
        }
        match self.field(5, 16) {
            NZCV => Ok(()),
            RNDR | RNDRRS => Err(BreachKind::NotDeterministic),
            // The performance monitors and the generic timer, whatever their exception level.
            register if matches!(register >> 7 & 0b1111, 9 | 14) => Err(BreachKind::NotDeterministic),
            _ => Err(BreachKind::SystemState),
        }
    }

    /// Whether a field of a general-register instruction has a reserved value (Arm ARM C4.1.92 to C4.1.96).
    fn is_reserved(self, class: Class) -> bool {
        let narrow = !self.bit(31);
        match class {
            Class::ADDSUB_SHIFT => self.field(22, 2) == 3 || narrow && self.bit(15),
            Class::LOG_SHIFT => narrow && self.bit(15),
            Class::ADDSUB_EXT => self.field(10, 3) > 4,
            Class::BITFIELD => self.bit(22) == narrow || narrow && (self.bit(21) || self.bit(15)),
            Class::EXTRACT => self.bit(22) == narrow || narrow && self.bit(15),
            Class::MOVEWIDE => narrow && self.bit(22),
            Class::LOG_IMM => narrow && self.bit(22) || !self.is_bitmask(),
            // Of the extensions, UXTW, LSL, SXTW and SXTX.
            Class::LDST_REGOFF => !self.bit(14),
            // FMOV between register files goes between W and S, X and D, X and the upper half of V, or to and from H (C7.2, FMOV
            // (general)); FJCVTZS has its number.
            Class::FLOAT2INT if self.field(17, 2) == 0b11 => !matches!(
                (self.field(31, 1), self.field(22, 2), self.field(19, 2)),
                (0, 0, 0) | (1, 1, 0) | (1, 2, 1) | (_, 3, 0) | (0, 1, 3)
            ),
            // The size of a scalar shift by an immediate.
            Class::ASISDSHF => self.field(19, 4) == 0,
            _ => false,
        }
    }

    /// Whether N:immr:imms is a bitmask immediate (Arm ARM, DecodeBitMasks).
    fn is_bitmask(self) -> bool {
        let pattern = self.field(22, 1) << 6 | !self.field(10, 6) & 0x3f;
        let Some(length) = pattern.checked_ilog2().filter(|length| *length > 0) else {
            return false;
        };
        let ones = (1 << length) - 1;
        self.field(10, 6) & ones != ones
    }

    /// Whether the architecture leaves the behaviour open: a base that is written back and transferred at once, a pair of
    /// loads into one register, a store-exclusive whose status is one of its operands (Arm ARM, K1).
    fn is_unpredictable(self, class: Class, mnemonic: &str) -> bool {
        let (rt, rn, rt2, rs) = (self.rd(), self.rn(), self.field(10, 5), self.field(16, 5));
        let vector = self.bit(26);
        match class {
            Class::LDST_IMM9 => !vector && rn == rt && rn != SP,
            Class::LDSTPAIR_INDEXED | Class::LDSTPAIR_OFF | Class::LDSTNAPAIR_OFFS => {
                let writes_back = class == Class::LDSTPAIR_INDEXED;
                self.bit(22) && rt == rt2 || writes_back && !vector && rn != SP && (rn == rt || rn == rt2)
            }
            Class::LDSTEXCL if mnemonic.contains("xp") && self.bit(22) => rt == rt2,
            Class::LDSTEXCL if mnemonic.starts_with("stx") || mnemonic.starts_with("stlx") => {
                let pair = mnemonic.contains("xp");
                rs == rt || pair && rs == rt2 || rs == rn && rn != SP
            }
            _ => false,
        }
    }

    /// Whether a FEAT_MOPS instruction reads or writes with user space's permissions.
    fn copies_unprivileged(self, mnemonic: &str) -> bool {
        if mnemonic.starts_with("cpy") { self.field(12, 2) != 0 } else { self.bit(12) }
    }

    /// Whether SP becomes anything but SP plus a constant.
    fn moves_stack_away(self, class: Class) -> bool {
        let sets_flags = self.bit(29);
        match class {
            Class::ADDSUB_IMM => !sets_flags && self.rd() == SP && !(self.rn() == SP && self.bit(31)),
            Class::ADDSUB_EXT => !sets_flags && self.rd() == SP,
            Class::LOG_IMM => self.field(29, 2) != 0b11 && self.rd() == SP,
            _ => false,
        }
    }

    /// Whether memory at a negative constant offset from SP is touched.
    fn is_below_stack(self, class: Class) -> bool {
        if self.rn() != SP {
            return false;
        }
        match class {
            Class::LDST_UNSCALED => self.signed(12, 9) < 0,
            Class::LDSTPAIR_OFF | Class::LDSTNAPAIR_OFFS => self.signed(15, 7) < 0,
            _ => false,
        }
    }

    /// Notes what the instruction needs and touches.
    fn note(self, insn: &Opcode, profile: &mut Profile) -> Result<(), BreachKind> {
        let definition = insn.definition();
        profile.need(need(definition.feature_set, definition.mnemonic)?);
        if self.is_simd(definition.class) {
            profile.simd = true;
            profile.need(Need::Feature(Feature::AdvSimd));
        }
        let (reads, writes) = self.accesses(definition.class, definition.mnemonic);
        profile.reads_memory |= reads;
        profile.writes_memory |= writes;
        profile.writes = profile.writes.union(self.writes(insn));
        Ok(())
    }

    /// The registers that the instruction writes.
    fn writes(self, insn: &Opcode) -> Writes {
        let definition = insn.definition();
        let (class, mnemonic) = (definition.class, definition.mnemonic);
        let mut writes = Writes { flags: self.sets_flags(class, mnemonic), ..Writes::default() };
        if self.is_load_store() {
            self.transfer_writes(class, mnemonic, &mut writes);
            return writes;
        }
        match class {
            Class::BRANCH_IMM | Class::BRANCH_REG | Class::COMPBRANCH | Class::CONDBRANCH => return writes,
            Class::TESTBRANCH | Class::CONDCMP_IMM | Class::CONDCMP_REG | Class::EXCEPTION => return writes,
            Class::IC_SYSTEM if mnemonic != "mrs" => return writes,
            _ => {}
        }
        // The first operand is the destination, if there is one. Comparisons name sources alone.
        match definition.operands.first().map(|operand| operand.class) {
            Some(Operand::INT_REG) => writes.general |= numbered(self.rd()),
            _ if self.is_sve() && mnemonic.starts_with("st") => {}
            Some(Operand::PRED_REG) => writes.predicates |= 1 << self.field(0, 4),
            Some(Operand::IMMEDIATE | Operand::SYSTEM | Operand::ADDRESS | Operand::COND) | None => {}
            Some(_) if matches!(class, Class::FLOATCMP | Class::FLOATCCMP) => {}
            Some(_) => writes.vectors |= 1 << self.rd(),
        }
        writes
    }

    /// Whether the condition flags are written.
    fn sets_flags(self, class: Class, mnemonic: &str) -> bool {
        match class {
            Class::ADDSUB_CARRY | Class::ADDSUB_EXT | Class::ADDSUB_IMM | Class::ADDSUB_SHIFT => self.bit(29),
            Class::LOG_IMM | Class::LOG_SHIFT => self.field(29, 2) == 0b11,
            Class::CONDCMP_IMM | Class::CONDCMP_REG | Class::FLOATCMP | Class::FLOATCCMP => true,
            Class::IC_SYSTEM => matches!(mnemonic, "msr" | "cfinv" | "rmif" | "setf8" | "setf16"),
            // Those that write predicates, and comparisons of scalars: flags in most of them.
            _ => self.is_sve() && (self.field(29, 3) == 0b001 || mnemonic.starts_with("cterm")),
        }
    }

    /// What loads, stores and atomics write besides memory.
    fn transfer_writes(self, class: Class, mnemonic: &str, writes: &mut Writes) {
        let (rt, rn, rt2, rs) = (self.rd(), self.rn(), self.field(10, 5), self.field(16, 5));
        if class == Class::AARCH64_MISC {
            // Memory copies and sets count their operands on.
            writes.general |=
                numbered(rt) | numbered(rn) | if mnemonic.starts_with("cpy") { numbered(rs) } else { 0 };
            return;
        }
        let indexed = [Class::LDST_IMM9, Class::LDSTPAIR_INDEXED, Class::ASISDLSEP, Class::ASISDLSOP];
        if indexed.contains(&class) {
            writes.general |= numbered(rn);
        }
        let loads = mnemonic.starts_with("ld");
        let loaded = match class {
            Class::ASISDLSE | Class::ASISDLSEP | Class::ASISDLSO | Class::ASISDLSOP if loads => {
                (0..self.listed(class)).fold(0, |bits, step| bits | 1 << ((rt + step) % 32))
            }
            Class::LSE_ATOMIC if mnemonic.starts_with("casp") => numbered(rs) | numbered(rs + 1),
            Class::LSE_ATOMIC if mnemonic.starts_with("cas") => numbered(rs),
            Class::LSE_ATOMIC => numbered(rt),
            Class::LSE128_ATOMIC => numbered(rt) | numbered(rs),
            // The status of a store-exclusive.
            Class::LDSTEXCL if mnemonic.starts_with("stx") || mnemonic.starts_with("stlx") => numbered(rs),
            Class::LDSTPAIR_INDEXED | Class::LDSTPAIR_OFF | Class::LDSTNAPAIR_OFFS if loads => {
                self.transferred(rt) | self.transferred(rt2)
            }
            Class::LDSTEXCL if mnemonic.contains("xp") && loads => numbered(rt) | numbered(rt2),
            Class::RCPC3 if loads => self.transferred(rt) | self.transferred(rt2),
            _ if loads => self.transferred(rt),
            _ => 0,
        };
        if self.bit(26) {
            writes.vectors |= loaded;
        } else {
            writes.general |= loaded;
        }
    }

    /// The bit of a register of the file that a load or store transfers.
    fn transferred(self, number: u32) -> u32 {
        if self.bit(26) { 1 << number } else { numbered(number) }
    }

    /// How many registers are in the list of an Advanced SIMD structure load (Arm ARM C4.1.94).
    fn listed(self, class: Class) -> u32 {
        if matches!(class, Class::ASISDLSO | Class::ASISDLSOP) {
            return (self.field(13, 1) << 1 | self.field(21, 1)) + 1;
        }
        match self.field(12, 4) {
            0b0000 | 0b0010 => 4,
            0b0100 | 0b0110 => 3,
            0b1000 | 0b1010 => 2,
            _ => 1,
        }
    }

    /// Whether the word is in the encoding space of loads and stores (Arm ARM C4.1, op0 = x1x0).
    fn is_load_store(self) -> bool {
        self.bit(27) && !self.bit(25)
    }

    /// Whether the word is in the encoding space of SVE (op0 = 0010).
    fn is_sve(self) -> bool {
        self.field(25, 4) == 0b0010
    }

    /// Whether the word is in the encoding space of SIMD, floating point and SVE, or a load or store of their registers.
    fn is_simd(self, class: Class) -> bool {
        let data_processing = self.field(25, 3) == 0b111;
        // Bit 26 tells load and stores of SIMD registers from others, but not memory copies and sets (AARCH64_MISC).
        let transfer = self.is_load_store() && self.bit(26) && class != Class::AARCH64_MISC;
        data_processing || self.is_sve() || transfer
    }

    /// Whether memory is read, and written.
    fn accesses(self, class: Class, mnemonic: &str) -> (bool, bool) {
        match class {
            Class::LSE_ATOMIC | Class::LSE128_ATOMIC => (true, true),
            _ if mnemonic.starts_with("cpy") && self.is_load_store() => (true, true),
            _ if mnemonic.starts_with("set") && self.is_load_store() => (false, true),
            _ if self.is_load_store() || self.is_sve() => {
                (mnemonic.starts_with("ld"), mnemonic.starts_with("st"))
            }
            _ => (false, false),
        }
    }
}

/// The bit of the general register `number`; none for the zero register and the stack pointer.
const fn numbered(number: u32) -> u32 {
    if number < SP { 1 << number } else { 0 }
}

/// The number of a system register as MRS and MSR hold it (Arm ARM C5.3).
const fn system_register(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// What an extension means for an emit; those with state or permissions of their own are refused.
fn need(set: Set, mnemonic: &str) -> Result<Need, BreachKind> {
    let name = match set {
        Set::V8 | Set::LOR => return Ok(Need::Baseline),
        Set::FP | Set::SIMD => return Ok(Need::Feature(Feature::AdvSimd)),
        Set::LSE => return Ok(Need::Feature(Feature::Lse)),
        Set::SB => return Ok(Need::Feature(Feature::Sb)),
        Set::CRC => return Ok(Need::Feature(Feature::Crc32)),
        Set::SVE2BITPERM => return Ok(Need::Feature(Feature::SveBitperm)),
        Set::AES if mnemonic.starts_with("pmull") => return Ok(Need::Feature(Feature::Pmull)),
        Set::PAUTH | Set::TME | Set::TEV => return Err(BreachKind::NotDeterministic),
        Set::MEMTAG | Set::MOPS_MEMTAG | Set::MOPS_GO | Set::D128 | Set::LSUI | Set::LSUI_FP => {
            return Err(BreachKind::SystemState);
        }
        Set::POE2 | Set::CHK | Set::LS64 => return Err(BreachKind::SystemState),
        Set::RCPC => "LRCPC",
        Set::RCPC2 => "LRCPC2",
        Set::RCPC3 => "LRCPC3",
        Set::SHA2 if mnemonic.starts_with("sha1") => "SHA1",
        Set::SHA2 => "SHA256",
        Set::SHA3 if mnemonic.starts_with("sha512") => "SHA512",
        Set::DOTPROD => "DotProd",
        Set::FP_F16 | Set::SIMD_F16 | Set::FP_16_V8_2A => "FP16",
        Set::RDMA => "RDM",
        Set::FLAGM => "FlagM",
        Set::FLAGMANIP => "FlagM2",
        Set::BFLOAT16 => "BF16",
        Set::COMPNUM => "FCMA",
        _ => return other(set),
    };
    Ok(Need::Other(name.into()))
}

/// A feature set under disarm64's name; the sets that need streaming mode or the ZA array are refused.
fn other(set: Set) -> Result<Need, BreachKind> {
    let name = set.to_string();
    if name.starts_with("SME") { Err(BreachKind::SystemState) } else { Ok(Need::Other(name.into())) }
}

/// The instruction at `offset`, which is within `bytes`.
pub(super) fn line(bytes: &[u8], offset: usize) -> Line {
    let rest = &bytes[offset..];
    let bytes = rest[..rest.len().min(4)].to_vec();
    let text = match bytes.as_slice().try_into() {
        Ok(word) => text(u32::from_le_bytes(word), offset),
        Err(_) => BAD.to_owned(),
    };
    Line { offset, bytes, text }
}

fn text(word: u32, offset: usize) -> String {
    let Some(insn) = decoder::decode(word).filter(|insn| has_text(word, insn.definition().class)) else {
        return BAD.to_owned();
    };
    // The library aligns operands with tabs.
    insn.display_at(offset as u64).to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether disarm64 can print the instruction: the amount of a scalar shift of a reserved size overflows in it.
fn has_text(word: u32, class: Class) -> bool {
    class != Class::ASISDSHF || !Word(word).is_reserved(class)
}
