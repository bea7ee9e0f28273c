// SPDX-License-Identifier: GPL-2.0-or-later
//! The collector of instructions that an emit writes to: one method per instruction, labels, and short branches where
//! they reach.

use std::collections::HashMap;
use std::fmt;

use super::encode::{EncodeError, Encoding, MAX_INSN_BYTES};
use super::insn::{
    AluOp, Amount, BmiRmvOp, BmiRvmOp, BmiVmOp, Cond, CountOp, DoubleShiftOp, Insn, LockedOp, Mem, Nullary,
    Operand, PrefetchOp, Rel, Rm, ShiftOp, SseImmOp, SseOp, SseShiftOp, StringOp, UnaryOp, XmmRm,
};
use super::register::{Gpr, Size, Xmm};

/// A place in the code that branches name before or after it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(u32);

/// Prints `.L0`.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".L{}", self.0)
    }
}

/// What kind of branch goes to a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BranchKind {
    /// `jmp`.
    Jmp,
    /// `jcc`.
    Jcc(Cond),
    /// `call`.
    Call,
}

impl BranchKind {
    /// The width to start from: a call has no short form.
    fn shortest(self) -> Rel {
        if self == BranchKind::Call { Rel::Near } else { Rel::Short }
    }

    /// The instruction's length in bytes.
    fn bytes(self, rel: Rel) -> usize {
        match (self, rel) {
            (BranchKind::Jmp | BranchKind::Jcc(_), Rel::Short) => 2,
            (BranchKind::Jmp | BranchKind::Call, _) => 5,
            (BranchKind::Jcc(_), Rel::Near) => 6,
        }
    }

    /// The instruction.
    fn insn(self, rel: Rel, disp: i32) -> Insn {
        match self {
            BranchKind::Jmp => Insn::JmpRel { rel, disp },
            BranchKind::Jcc(cond) => Insn::JccRel { cond, rel, disp },
            BranchKind::Call => Insn::CallRel { disp },
        }
    }
}

/// One entry of an [`Assembler`]: what a test reads, patches and assembles again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// An instruction.
    Insn(Insn),
    /// A label's place.
    Bind(Label),
    /// A branch to a label; its width is chosen when everything is known.
    Branch {
        /// What kind of branch.
        kind: BranchKind,
        /// Where to.
        label: Label,
    },
}

/// Prints an instruction's text, `.L0:` or `jne .L0`.
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Insn(insn) => insn.fmt(f),
            Item::Bind(label) => write!(f, "{label}:"),
            Item::Branch { kind: BranchKind::Jmp, label } => write!(f, "jmp {label}"),
            Item::Branch { kind: BranchKind::Jcc(cond), label } => write!(f, "j{} {label}", cond.suffix()),
            Item::Branch { kind: BranchKind::Call, label } => write!(f, "call {label}"),
        }
    }
}

/// Why a list of items has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// An instruction has no encoding.
    #[error("item {index}, `{insn}`: {source}")]
    Encode {
        /// The item's position.
        index: usize,
        /// The instruction.
        insn: Box<Insn>,
        /// Why.
        source: EncodeError,
    },
    /// A branch names a label that is bound nowhere.
    #[error("item {index} branches to {label}, which is not bound")]
    Unbound {
        /// The item's position.
        index: usize,
        /// The label.
        label: Label,
    },
    /// A label is bound twice.
    #[error("item {index} binds {label} a second time")]
    BoundTwice {
        /// The item's position.
        index: usize,
        /// The label.
        label: Label,
    },
    /// The code is longer than a branch can span.
    #[error("{bytes} bytes of code are more than a branch can span")]
    TooLong {
        /// The upper bound of the code's length that was exceeded.
        bytes: usize,
    },
}

/// Finished code: position independent, the same wherever it is placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// The machine code.
    pub bytes: Vec<u8>,
    /// Every instruction with its offset in bytes, branches resolved.
    pub insns: Vec<(usize, Insn)>,
}

impl Assembled {
    /// Every instruction's offset in bytes and its text.
    pub fn listing(&self) -> Vec<(usize, String)> {
        self.insns.iter().map(|(offset, insn)| (*offset, insn.to_string())).collect()
    }
}

/// Collects instructions and assembles them.
///
/// Operands are destination first, as in Intel's manuals. An operand that does not fit is reported by
/// [`Assembler::finish`], not by the method that adds the instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembler {
    items: Vec<Item>,
    labels: u32,
}

impl Assembler {
    /// An assembler without instructions.
    pub fn new() -> Self {
        Self::default()
    }

    /// An assembler that holds `items`; labels in them stay valid.
    pub fn from_items(items: Vec<Item>) -> Self {
        let count = |item: &Item| match item {
            Item::Insn(_) => 0,
            Item::Bind(label) | Item::Branch { label, .. } => label.0.saturating_add(1),
        };
        let labels = items.iter().map(count).max().unwrap_or(0);
        Self { items, labels }
    }

    /// An assembler that holds `insns` and no labels.
    pub fn from_insns(insns: impl IntoIterator<Item = Insn>) -> Self {
        Self { items: insns.into_iter().map(Item::Insn).collect(), labels: 0 }
    }

    /// What was added so far, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What was added, in order, to be changed and given to [`Assembler::from_items`].
    pub fn into_items(self) -> Vec<Item> {
        self.items
    }

    /// The instructions added so far, in order, without labels and branches to them.
    pub fn insns(&self) -> impl Iterator<Item = &Insn> {
        self.items.iter().filter_map(|item| match item {
            Item::Insn(insn) => Some(insn),
            Item::Bind(_) | Item::Branch { .. } => None,
        })
    }

    /// Adds an instruction.
    pub fn push(&mut self, insn: Insn) {
        self.items.push(Item::Insn(insn));
    }

    /// A new label, bound nowhere yet.
    pub fn label(&mut self) -> Label {
        let label = Label(self.labels);
        self.labels += 1;
        label
    }

    /// Puts `label` here.
    pub fn bind(&mut self, label: Label) {
        self.items.push(Item::Bind(label));
    }

    /// `jmp label`, short where it reaches.
    pub fn jmp(&mut self, label: Label) {
        self.items.push(Item::Branch { kind: BranchKind::Jmp, label });
    }

    /// `jcc label`, short where it reaches.
    pub fn jcc(&mut self, cond: Cond, label: Label) {
        self.items.push(Item::Branch { kind: BranchKind::Jcc(cond), label });
    }

    /// `call label`.
    pub fn call(&mut self, label: Label) {
        self.items.push(Item::Branch { kind: BranchKind::Call, label });
    }

    /// Encodes everything.
    ///
    /// Branches start short and grow until all reach, so the result is the smallest that growing finds and depends on
    /// the items alone.
    ///
    /// # Errors
    /// When an instruction has no encoding, when a label is not bound or bound twice, and when the code is longer than a
    /// branch can span.
    pub fn finish(&self) -> Result<Assembled, AssembleError> {
        let limit = self.items.len().saturating_mul(MAX_INSN_BYTES);
        if i32::try_from(limit).is_err() {
            return Err(AssembleError::TooLong { bytes: limit });
        }
        let mut layout = Layout::new(&self.items)?;
        while layout.grow() {}
        layout.write()
    }
}

/// One method per instruction; the instruction's variant of [`Insn`] says which sizes and operands exist.
impl Assembler {
    /// `mov dst, src`; an eight-byte immediate is sign-extended from 32 bits, a four-byte write clears the upper half.
    pub fn mov(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Mov { size, dst: dst.into(), src: src.into() });
    }

    /// `movabs dst, imm`: the full 64-bit immediate, always ten bytes.
    pub fn movabs(&mut self, dst: Gpr, imm: u64) {
        self.push(Insn::Movabs { dst, imm });
    }

    /// `movzx dst, src`: zero-extend `src_size` to `size`, which is 1 or 2 bytes.
    pub fn movzx(&mut self, size: Size, dst: Gpr, src_size: Size, src: impl Into<Rm>) {
        self.push(Insn::Movzx { size, dst, src_size, src: src.into() });
    }

    /// `movsx dst, src`, or `movsxd` from four bytes: sign-extend `src_size` to `size`.
    pub fn movsx(&mut self, size: Size, dst: Gpr, src_size: Size, src: impl Into<Rm>) {
        self.push(Insn::Movsx { size, dst, src_size, src: src.into() });
    }

    /// `lea dst, [mem]`: the address alone.
    pub fn lea(&mut self, size: Size, dst: Gpr, mem: Mem) {
        self.push(Insn::Lea { size, dst, mem });
    }

    /// `add dst, src`: add.
    pub fn add(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::Add, size, dst: dst.into(), src: src.into() });
    }

    /// `or dst, src`: inclusive or.
    pub fn or(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::Or, size, dst: dst.into(), src: src.into() });
    }

    /// `adc dst, src`: add with carry.
    pub fn adc(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::Adc, size, dst: dst.into(), src: src.into() });
    }

    /// `sbb dst, src`: subtract with borrow.
    pub fn sbb(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::Sbb, size, dst: dst.into(), src: src.into() });
    }

    /// `and dst, src`: and.
    pub fn and(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::And, size, dst: dst.into(), src: src.into() });
    }

    /// `sub dst, src`: subtract.
    pub fn sub(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::Sub, size, dst: dst.into(), src: src.into() });
    }

    /// `xor dst, src`: exclusive or.
    pub fn xor(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::Xor, size, dst: dst.into(), src: src.into() });
    }

    /// `cmp dst, src`: subtract for the flags alone.
    pub fn cmp(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Alu { op: AluOp::Cmp, size, dst: dst.into(), src: src.into() });
    }

    /// `test dst, src`: and, for the flags alone.
    pub fn test(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.push(Insn::Test { size, dst: dst.into(), src: src.into() });
    }

    /// `inc dst`: add one, leaving the carry flag.
    pub fn inc(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Inc, size, dst: dst.into() });
    }

    /// `dec dst`: subtract one, leaving the carry flag.
    pub fn dec(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Dec, size, dst: dst.into() });
    }

    /// `not dst`: complement, leaving the flags.
    pub fn not(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Not, size, dst: dst.into() });
    }

    /// `neg dst`: negate.
    pub fn neg(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Neg, size, dst: dst.into() });
    }

    /// `mul dst`: `rdx:rax = rax * dst`, unsigned.
    pub fn mul(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Mul, size, dst: dst.into() });
    }

    /// `imul dst`: `rdx:rax = rax * dst`, signed.
    pub fn imul1(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Imul, size, dst: dst.into() });
    }

    /// `div dst`: `rax`, `rdx` = quotient and remainder of `rdx:rax / dst`, unsigned.
    pub fn div(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Div, size, dst: dst.into() });
    }

    /// `idiv dst`: `rax`, `rdx` = quotient and remainder of `rdx:rax / dst`, signed.
    pub fn idiv(&mut self, size: Size, dst: impl Into<Rm>) {
        self.push(Insn::Unary { op: UnaryOp::Idiv, size, dst: dst.into() });
    }

    /// `imul dst, src`.
    pub fn imul(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Imul { size, dst, src: src.into() });
    }

    /// `imul dst, src, imm`.
    pub fn imul_imm(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, imm: i32) {
        self.push(Insn::ImulImm { size, dst, src: src.into(), imm });
    }

    /// `rol dst, amount`: rotate left.
    pub fn rol(&mut self, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.push(Insn::Shift { op: ShiftOp::Rol, size, dst: dst.into(), amount: amount.into() });
    }

    /// `ror dst, amount`: rotate right.
    pub fn ror(&mut self, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.push(Insn::Shift { op: ShiftOp::Ror, size, dst: dst.into(), amount: amount.into() });
    }

    /// `rcl dst, amount`: rotate left through the carry flag.
    pub fn rcl(&mut self, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.push(Insn::Shift { op: ShiftOp::Rcl, size, dst: dst.into(), amount: amount.into() });
    }

    /// `rcr dst, amount`: rotate right through the carry flag.
    pub fn rcr(&mut self, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.push(Insn::Shift { op: ShiftOp::Rcr, size, dst: dst.into(), amount: amount.into() });
    }

    /// `shl dst, amount`: shift left.
    pub fn shl(&mut self, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.push(Insn::Shift { op: ShiftOp::Shl, size, dst: dst.into(), amount: amount.into() });
    }

    /// `shr dst, amount`: shift right, zeros coming in.
    pub fn shr(&mut self, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.push(Insn::Shift { op: ShiftOp::Shr, size, dst: dst.into(), amount: amount.into() });
    }

    /// `sar dst, amount`: shift right, the sign coming in.
    pub fn sar(&mut self, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.push(Insn::Shift { op: ShiftOp::Sar, size, dst: dst.into(), amount: amount.into() });
    }

    /// `shld dst, src, amount`: shift left, the upper bits of `src` coming in.
    pub fn shld(&mut self, size: Size, dst: impl Into<Rm>, src: Gpr, amount: impl Into<Amount>) {
        self.push(Insn::DoubleShift {
            op: DoubleShiftOp::Shld,
            size,
            dst: dst.into(),
            src,
            amount: amount.into(),
        });
    }

    /// `shrd dst, src, amount`: shift right, the lower bits of `src` coming in.
    pub fn shrd(&mut self, size: Size, dst: impl Into<Rm>, src: Gpr, amount: impl Into<Amount>) {
        self.push(Insn::DoubleShift {
            op: DoubleShiftOp::Shrd,
            size,
            dst: dst.into(),
            src,
            amount: amount.into(),
        });
    }

    /// `bextr dst, src, control`: extract `control[15:8]` bits from bit `control[7:0]` on (BMI1).
    pub fn bextr(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, control: Gpr) {
        self.push(Insn::BmiRmv { op: BmiRmvOp::Bextr, size, dst, src: src.into(), control });
    }

    /// `bzhi dst, src, control`: zero the bits from `control[7:0]` on (BMI2).
    pub fn bzhi(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, control: Gpr) {
        self.push(Insn::BmiRmv { op: BmiRmvOp::Bzhi, size, dst, src: src.into(), control });
    }

    /// `sarx dst, src, control`: shift right with sign, no flags (BMI2).
    pub fn sarx(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, control: Gpr) {
        self.push(Insn::BmiRmv { op: BmiRmvOp::Sarx, size, dst, src: src.into(), control });
    }

    /// `shlx dst, src, control`: shift left, no flags (BMI2).
    pub fn shlx(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, control: Gpr) {
        self.push(Insn::BmiRmv { op: BmiRmvOp::Shlx, size, dst, src: src.into(), control });
    }

    /// `shrx dst, src, control`: shift right, no flags (BMI2).
    pub fn shrx(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, control: Gpr) {
        self.push(Insn::BmiRmv { op: BmiRmvOp::Shrx, size, dst, src: src.into(), control });
    }

    /// `andn dst, src1, src2`: `!src1 & src2` (BMI1).
    pub fn andn(&mut self, size: Size, dst: Gpr, src1: Gpr, src2: impl Into<Rm>) {
        self.push(Insn::BmiRvm { op: BmiRvmOp::Andn, size, dst, src1, src2: src2.into() });
    }

    /// `pdep dst, src1, src2`: deposit the low bits of `src1` where `src2` is set (BMI2).
    pub fn pdep(&mut self, size: Size, dst: Gpr, src1: Gpr, src2: impl Into<Rm>) {
        self.push(Insn::BmiRvm { op: BmiRvmOp::Pdep, size, dst, src1, src2: src2.into() });
    }

    /// `pext dst, src1, src2`: extract the bits of `src1` where `src2` is set (BMI2).
    pub fn pext(&mut self, size: Size, dst: Gpr, src1: Gpr, src2: impl Into<Rm>) {
        self.push(Insn::BmiRvm { op: BmiRvmOp::Pext, size, dst, src1, src2: src2.into() });
    }

    /// `mulx high, low, src`: `high:low = rdx * src`, no flags (BMI2).
    pub fn mulx(&mut self, size: Size, high: Gpr, low: Gpr, src: impl Into<Rm>) {
        self.push(Insn::BmiRvm { op: BmiRvmOp::Mulx, size, dst: high, src1: low, src2: src.into() });
    }

    /// `blsr dst, src`: reset the lowest set bit (BMI1).
    pub fn blsr(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::BmiVm { op: BmiVmOp::Blsr, size, dst, src: src.into() });
    }

    /// `blsmsk dst, src`: the mask up to the lowest set bit (BMI1).
    pub fn blsmsk(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::BmiVm { op: BmiVmOp::Blsmsk, size, dst, src: src.into() });
    }

    /// `blsi dst, src`: isolate the lowest set bit (BMI1).
    pub fn blsi(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::BmiVm { op: BmiVmOp::Blsi, size, dst, src: src.into() });
    }

    /// `rorx dst, src, amount`: rotate right, no flags (BMI2).
    pub fn rorx(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, amount: u8) {
        self.push(Insn::Rorx { size, dst, src: src.into(), amount });
    }

    /// `bsf dst, src`: index of the lowest set bit, undefined for zero.
    pub fn bsf(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Count { op: CountOp::Bsf, size, dst, src: src.into() });
    }

    /// `bsr dst, src`: index of the highest set bit, undefined for zero.
    pub fn bsr(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Count { op: CountOp::Bsr, size, dst, src: src.into() });
    }

    /// `popcnt dst, src`: number of set bits (POPCNT).
    pub fn popcnt(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Count { op: CountOp::Popcnt, size, dst, src: src.into() });
    }

    /// `tzcnt dst, src`: number of trailing zeros (BMI1).
    pub fn tzcnt(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Count { op: CountOp::Tzcnt, size, dst, src: src.into() });
    }

    /// `lzcnt dst, src`: number of leading zeros (LZCNT).
    pub fn lzcnt(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Count { op: CountOp::Lzcnt, size, dst, src: src.into() });
    }

    /// `bswap dst`: four or eight bytes.
    pub fn bswap(&mut self, size: Size, dst: Gpr) {
        self.push(Insn::Bswap { size, dst });
    }

    /// `movbe dst, [src]`: load with the bytes swapped (MOVBE).
    pub fn movbe_load(&mut self, size: Size, dst: Gpr, src: Mem) {
        self.push(Insn::MovbeLoad { size, dst, src });
    }

    /// `movbe [dst], src`: store with the bytes swapped (MOVBE).
    pub fn movbe_store(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::MovbeStore { size, dst, src });
    }

    /// `cmovcc dst, src`; four bytes clear the upper half even when nothing is moved.
    pub fn cmov(&mut self, cond: Cond, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Cmov { cond, size, dst, src: src.into() });
    }

    /// `setcc dst`: one byte, 1 or 0.
    pub fn setcc(&mut self, cond: Cond, dst: impl Into<Rm>) {
        self.push(Insn::Setcc { cond, dst: dst.into() });
    }

    /// `xchg dst, src`; on memory it locks.
    pub fn xchg(&mut self, size: Size, dst: impl Into<Rm>, src: Gpr) {
        self.push(Insn::Xchg { size, dst: dst.into(), src });
    }

    /// `lock add [dst], src`: add.
    pub fn lock_add(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::Add, size, dst, src });
    }

    /// `lock or [dst], src`: inclusive or.
    pub fn lock_or(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::Or, size, dst, src });
    }

    /// `lock and [dst], src`: and.
    pub fn lock_and(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::And, size, dst, src });
    }

    /// `lock sub [dst], src`: subtract.
    pub fn lock_sub(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::Sub, size, dst, src });
    }

    /// `lock xor [dst], src`: exclusive or.
    pub fn lock_xor(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::Xor, size, dst, src });
    }

    /// `lock xadd [dst], src`: add, the old value to `src`.
    pub fn lock_xadd(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::Xadd, size, dst, src });
    }

    /// `lock cmpxchg [dst], src`: store `src` if memory equals `rax`, which receives the old value otherwise.
    pub fn lock_cmpxchg(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::Cmpxchg, size, dst, src });
    }

    /// `lock xchg [dst], src`: exchange.
    pub fn lock_xchg(&mut self, size: Size, dst: Mem, src: Gpr) {
        self.push(Insn::Locked { op: LockedOp::Xchg, size, dst, src });
    }

    /// `push src`: eight bytes, an immediate sign-extended.
    pub fn pushq(&mut self, src: impl Into<Operand>) {
        self.push(Insn::Push { src: src.into() });
    }

    /// `pop dst`: eight bytes.
    pub fn popq(&mut self, dst: impl Into<Rm>) {
        self.push(Insn::Pop { dst: dst.into() });
    }

    /// `jmp target`: to the address in a register or in memory.
    pub fn jmp_rm(&mut self, target: impl Into<Rm>) {
        self.push(Insn::JmpRm { target: target.into() });
    }

    /// `call target`: the address in a register or in memory.
    pub fn call_rm(&mut self, target: impl Into<Rm>) {
        self.push(Insn::CallRm { target: target.into() });
    }

    /// `jmp` near by `disp` bytes from the next instruction.
    pub fn jmp_rel(&mut self, disp: i32) {
        self.push(Insn::JmpRel { rel: Rel::Near, disp });
    }

    /// `jcc` near by `disp` bytes from the next instruction.
    pub fn jcc_rel(&mut self, cond: Cond, disp: i32) {
        self.push(Insn::JccRel { cond, rel: Rel::Near, disp });
    }

    /// `call` by `disp` bytes from the next instruction.
    pub fn call_rel(&mut self, disp: i32) {
        self.push(Insn::CallRel { disp });
    }

    /// `movsb` and its like: `[rdi] = [rsi]`, and the pointers advance.
    pub fn movs(&mut self, size: Size) {
        self.push(Insn::String { op: StringOp::Movs, size, rep: false });
    }

    /// `stosb` and its like: `[rdi] = rax`, and the pointers advance.
    pub fn stos(&mut self, size: Size) {
        self.push(Insn::String { op: StringOp::Stos, size, rep: false });
    }

    /// `lodsb` and its like: `rax = [rsi]`, and the pointers advance.
    pub fn lods(&mut self, size: Size) {
        self.push(Insn::String { op: StringOp::Lods, size, rep: false });
    }

    /// `rep movsb` and its like: repeated `rcx` times.
    pub fn rep_movs(&mut self, size: Size) {
        self.push(Insn::String { op: StringOp::Movs, size, rep: true });
    }

    /// `rep stosb` and its like: repeated `rcx` times.
    pub fn rep_stos(&mut self, size: Size) {
        self.push(Insn::String { op: StringOp::Stos, size, rep: true });
    }

    /// `ret`: return to the address on the stack.
    pub fn ret(&mut self) {
        self.push(Insn::Nullary(Nullary::Ret));
    }

    /// `nop`: no operation, one byte.
    pub fn nop(&mut self) {
        self.push(Insn::Nullary(Nullary::Nop));
    }

    /// `int3`: breakpoint.
    pub fn int3(&mut self) {
        self.push(Insn::Nullary(Nullary::Int3));
    }

    /// `ud2`: undefined instruction.
    pub fn ud2(&mut self) {
        self.push(Insn::Nullary(Nullary::Ud2));
    }

    /// `syscall`: call the operating system.
    pub fn syscall(&mut self) {
        self.push(Insn::Nullary(Nullary::Syscall));
    }

    /// `cwde`: sign-extend `ax` into `eax`.
    pub fn cwde(&mut self) {
        self.push(Insn::Nullary(Nullary::Cwde));
    }

    /// `cdqe`: sign-extend `eax` into `rax`.
    pub fn cdqe(&mut self) {
        self.push(Insn::Nullary(Nullary::Cdqe));
    }

    /// `cwd`: sign-extend `ax` into `dx:ax`.
    pub fn cwd(&mut self) {
        self.push(Insn::Nullary(Nullary::Cwd));
    }

    /// `cdq`: sign-extend `eax` into `edx:eax`.
    pub fn cdq(&mut self) {
        self.push(Insn::Nullary(Nullary::Cdq));
    }

    /// `cqo`: sign-extend `rax` into `rdx:rax`.
    pub fn cqo(&mut self) {
        self.push(Insn::Nullary(Nullary::Cqo));
    }

    /// `clc`: clear the carry flag.
    pub fn clc(&mut self) {
        self.push(Insn::Nullary(Nullary::Clc));
    }

    /// `stc`: set the carry flag.
    pub fn stc(&mut self) {
        self.push(Insn::Nullary(Nullary::Stc));
    }

    /// `cmc`: complement the carry flag.
    pub fn cmc(&mut self) {
        self.push(Insn::Nullary(Nullary::Cmc));
    }

    /// `cld`: clear the direction flag.
    pub fn cld(&mut self) {
        self.push(Insn::Nullary(Nullary::Cld));
    }

    /// `std`: set the direction flag.
    pub fn std(&mut self) {
        self.push(Insn::Nullary(Nullary::Std));
    }

    /// `pushfq`: push the flags.
    pub fn pushfq(&mut self) {
        self.push(Insn::Nullary(Nullary::Pushfq));
    }

    /// `popfq`: pop the flags.
    pub fn popfq(&mut self) {
        self.push(Insn::Nullary(Nullary::Popfq));
    }

    /// `leave`: leave the frame.
    pub fn leave(&mut self) {
        self.push(Insn::Nullary(Nullary::Leave));
    }

    /// `pause`: hint of a spin-wait loop.
    pub fn pause(&mut self) {
        self.push(Insn::Nullary(Nullary::Pause));
    }

    /// `lfence`: load fence.
    pub fn lfence(&mut self) {
        self.push(Insn::Nullary(Nullary::Lfence));
    }

    /// `mfence`: memory fence.
    pub fn mfence(&mut self) {
        self.push(Insn::Nullary(Nullary::Mfence));
    }

    /// `sfence`: store fence.
    pub fn sfence(&mut self) {
        self.push(Insn::Nullary(Nullary::Sfence));
    }

    /// `endbr64`: mark the target of an indirect branch.
    pub fn endbr64(&mut self) {
        self.push(Insn::Nullary(Nullary::Endbr64));
    }

    /// `prefetcht0 [mem]` and its like.
    pub fn prefetch(&mut self, op: PrefetchOp, mem: Mem) {
        self.push(Insn::Prefetch { op, mem });
    }

    /// `crc32 dst, src`: the CRC-32C step over a source of `size` (SSE4.2).
    pub fn crc32(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.push(Insn::Crc32 { size, dst, src: src.into() });
    }

    /// `movd dst, src` or `movq`: from a general register or memory, zero-extended.
    pub fn mov_to_xmm(&mut self, size: Size, dst: Xmm, src: impl Into<Rm>) {
        self.push(Insn::MovToXmm { size, dst, src: src.into() });
    }

    /// `movd dst, src` or `movq`: to a general register or memory.
    pub fn mov_from_xmm(&mut self, size: Size, dst: impl Into<Rm>, src: Xmm) {
        self.push(Insn::MovFromXmm { size, dst: dst.into(), src });
    }

    /// `movdqu dst, src`: 16 bytes, unaligned.
    pub fn movdqu(&mut self, dst: Xmm, src: impl Into<XmmRm>) {
        self.push(Insn::Movdqu { dst, src: src.into() });
    }

    /// `movdqu [dst], src`: 16 bytes, unaligned.
    pub fn movdqu_store(&mut self, dst: Mem, src: Xmm) {
        self.push(Insn::MovdquStore { dst, src });
    }

    /// `pxor dst, src`: exclusive or.
    pub fn pxor(&mut self, dst: Xmm, src: impl Into<XmmRm>) {
        self.push(Insn::Sse { op: SseOp::Pxor, dst, src: src.into() });
    }

    /// `pand dst, src`: and.
    pub fn pand(&mut self, dst: Xmm, src: impl Into<XmmRm>) {
        self.push(Insn::Sse { op: SseOp::Pand, dst, src: src.into() });
    }

    /// `por dst, src`: inclusive or.
    pub fn por(&mut self, dst: Xmm, src: impl Into<XmmRm>) {
        self.push(Insn::Sse { op: SseOp::Por, dst, src: src.into() });
    }

    /// `paddq dst, src`: add quadwords.
    pub fn paddq(&mut self, dst: Xmm, src: impl Into<XmmRm>) {
        self.push(Insn::Sse { op: SseOp::Paddq, dst, src: src.into() });
    }

    /// `punpcklqdq dst, src`: interleave the low quadwords.
    pub fn punpcklqdq(&mut self, dst: Xmm, src: impl Into<XmmRm>) {
        self.push(Insn::Sse { op: SseOp::Punpcklqdq, dst, src: src.into() });
    }

    /// `punpckhqdq dst, src`: interleave the high quadwords.
    pub fn punpckhqdq(&mut self, dst: Xmm, src: impl Into<XmmRm>) {
        self.push(Insn::Sse { op: SseOp::Punpckhqdq, dst, src: src.into() });
    }

    /// `pshufd dst, src, imm`: shuffle doublewords.
    pub fn pshufd(&mut self, dst: Xmm, src: impl Into<XmmRm>, imm: u8) {
        self.push(Insn::SseImm { op: SseImmOp::Pshufd, dst, src: src.into(), imm });
    }

    /// `pclmulqdq dst, src, imm`: carry-less multiply of the quadwords that bits 0 and 4 choose.
    pub fn pclmulqdq(&mut self, dst: Xmm, src: impl Into<XmmRm>, imm: u8) {
        self.push(Insn::SseImm { op: SseImmOp::Pclmulqdq, dst, src: src.into(), imm });
    }

    /// `psrldq dst, amount`: right by bytes.
    pub fn psrldq(&mut self, dst: Xmm, amount: u8) {
        self.push(Insn::SseShift { op: SseShiftOp::Psrldq, dst, amount });
    }

    /// `pslldq dst, amount`: left by bytes.
    pub fn pslldq(&mut self, dst: Xmm, amount: u8) {
        self.push(Insn::SseShift { op: SseShiftOp::Pslldq, dst, amount });
    }

    /// `psrlq dst, amount`: each quadword right by bits.
    pub fn psrlq(&mut self, dst: Xmm, amount: u8) {
        self.push(Insn::SseShift { op: SseShiftOp::Psrlq, dst, amount });
    }

    /// `psllq dst, amount`: each quadword left by bits.
    pub fn psllq(&mut self, dst: Xmm, amount: u8) {
        self.push(Insn::SseShift { op: SseShiftOp::Psllq, dst, amount });
    }

    /// `vpopcntq dst, src`, or `vpopcntd`: the ones in each lane (AVX512_VPOPCNTDQ and AVX512VL).
    pub fn vpopcnt(&mut self, size: Size, dst: Xmm, src: Xmm) {
        self.push(Insn::Vpopcnt { size, dst, src });
    }

    /// `pextrq dst, src, lane`, or `pextrd` (SSE4.1).
    pub fn pextr(&mut self, size: Size, dst: impl Into<Rm>, src: Xmm, lane: u8) {
        self.push(Insn::Pextr { size, dst: dst.into(), src, lane });
    }

    /// `pinsrq dst, src, lane`, or `pinsrd` (SSE4.1).
    pub fn pinsr(&mut self, size: Size, dst: Xmm, src: impl Into<Rm>, lane: u8) {
        self.push(Insn::Pinsr { size, dst, src: src.into(), lane });
    }
}

/// An item while branches grow.
#[derive(Clone, Copy)]
enum Piece {
    /// An instruction of known length.
    Insn(Insn, Encoding),
    /// A label.
    Bind,
    /// A branch and the position of the item that binds its label.
    Branch { kind: BranchKind, target: usize, rel: Rel },
}

impl Piece {
    fn bytes(&self) -> usize {
        match self {
            Piece::Insn(_, encoding) => encoding.len(),
            Piece::Bind => 0,
            Piece::Branch { kind, rel, .. } => kind.bytes(*rel),
        }
    }
}

/// All items while branches grow.
struct Layout {
    pieces: Vec<Piece>,
}

impl Layout {
    fn new(items: &[Item]) -> Result<Self, AssembleError> {
        let bound = bound(items)?;
        let piece = |(index, item): (usize, &Item)| match *item {
            Item::Insn(insn) => Ok(Piece::Insn(insn, encode(index, &insn)?)),
            Item::Bind(_) => Ok(Piece::Bind),
            Item::Branch { kind, label } => {
                let target = *bound.get(&label).ok_or(AssembleError::Unbound { index, label })?;
                Ok(Piece::Branch { kind, target, rel: kind.shortest() })
            }
        };
        Ok(Self { pieces: items.iter().enumerate().map(piece).collect::<Result<_, _>>()? })
    }

    /// Makes every short branch that does not reach a near one; whether there was one.
    fn grow(&mut self) -> bool {
        let offsets = self.offsets();
        let mut grown = false;
        for (index, piece) in self.pieces.iter_mut().enumerate() {
            if let Piece::Branch { target, rel: rel @ Rel::Short, .. } = piece
                && i8::try_from(displacement(&offsets, index, *target)).is_err()
            {
                *rel = Rel::Near;
                grown = true;
            }
        }
        grown
    }

    fn write(&self) -> Result<Assembled, AssembleError> {
        let offsets = self.offsets();
        let mut assembled = Assembled::default();
        for (index, piece) in self.pieces.iter().enumerate() {
            let (insn, encoding) = match *piece {
                Piece::Insn(insn, encoding) => (insn, encoding),
                Piece::Bind => continue,
                Piece::Branch { kind, target, rel } => {
                    let insn = kind.insn(rel, displacement(&offsets, index, target));
                    (insn, encode(index, &insn)?)
                }
            };
            assembled.insns.push((assembled.bytes.len(), insn));
            assembled.bytes.extend_from_slice(&encoding);
        }
        Ok(assembled)
    }

    /// The offset of every item, and of the end.
    fn offsets(&self) -> Vec<i32> {
        let mut offset = 0;
        let mut offsets = vec![offset];
        for piece in &self.pieces {
            offset += i32::try_from(piece.bytes()).expect("an instruction is at most 15 bytes");
            offsets.push(offset);
        }
        offsets
    }
}

/// From the end of item `index` to the start of item `target`, in bytes.
fn displacement(offsets: &[i32], index: usize, target: usize) -> i32 {
    offsets[target] - offsets[index + 1]
}

/// The position of the item that binds each label.
fn bound(items: &[Item]) -> Result<HashMap<Label, usize>, AssembleError> {
    let mut bound = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if let Item::Bind(label) = *item
            && bound.insert(label, index).is_some()
        {
            return Err(AssembleError::BoundTwice { index, label });
        }
    }
    Ok(bound)
}

fn encode(index: usize, insn: &Insn) -> Result<Encoding, AssembleError> {
    insn.encode().map_err(|source| AssembleError::Encode { index, insn: Box::new(*insn), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nops(a: &mut Assembler, count: usize) {
        (0..count).for_each(|_| a.nop());
    }

    /// A branch over `count` bytes to a label behind them.
    fn forward(branch: impl Fn(&mut Assembler, Label), count: usize) -> Vec<u8> {
        let mut a = Assembler::new();
        let end = a.label();
        branch(&mut a, end);
        nops(&mut a, count);
        a.bind(end);
        a.finish().expect("the label is bound").bytes
    }

    /// A branch over `count` bytes back to a label before them.
    fn backward(branch: impl Fn(&mut Assembler, Label), count: usize) -> Vec<u8> {
        let mut a = Assembler::new();
        let start = a.label();
        a.bind(start);
        nops(&mut a, count);
        branch(&mut a, start);
        a.finish().expect("the label is bound").bytes.split_off(count)
    }

    #[test]
    fn forward_branches_are_short_up_to_127_bytes() {
        let jmp = |a: &mut Assembler, label| a.jmp(label);
        let jne = |a: &mut Assembler, label| a.jcc(Cond::Ne, label);
        assert_eq!(forward(jmp, 0)[..2], [0xeb, 0]);
        assert_eq!(forward(jmp, 127)[..2], [0xeb, 127]);
        assert_eq!(forward(jmp, 128)[..5], [0xe9, 128, 0, 0, 0]);
        assert_eq!(forward(jne, 127)[..2], [0x75, 127]);
        assert_eq!(forward(jne, 128)[..6], [0x0f, 0x85, 128, 0, 0, 0]);
    }

    #[test]
    fn backward_branches_are_short_down_to_minus_128_bytes() {
        let jmp = |a: &mut Assembler, label| a.jmp(label);
        let jne = |a: &mut Assembler, label| a.jcc(Cond::Ne, label);
        assert_eq!(backward(jmp, 0), [0xeb, 0xfe]);
        assert_eq!(backward(jmp, 126), [0xeb, 0x80]);
        assert_eq!(backward(jmp, 127), [0xe9, 0x7c, 0xff, 0xff, 0xff]);
        assert_eq!(backward(jne, 126), [0x75, 0x80]);
        assert_eq!(backward(jne, 127), [0x0f, 0x85, 0x7b, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_call_has_no_short_form() {
        let call = |a: &mut Assembler, label| a.call(label);
        assert_eq!(forward(call, 1), [0xe8, 1, 0, 0, 0, 0x90]);
        assert_eq!(backward(call, 0), [0xe8, 0xfb, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_branch_that_grows_makes_another_grow() {
        let mut a = Assembler::new();
        let (first, second) = (a.label(), a.label());
        a.jmp(first);
        nops(&mut a, 60);
        a.jmp(second);
        nops(&mut a, 65);
        a.bind(first);
        nops(&mut a, 63);
        a.bind(second);
        // With both short, the first spans 127 bytes and reaches, the second spans 128 and does not.
        let code = a.finish().expect("the labels are bound");
        assert_eq!(code.bytes[..5], [0xe9, 130, 0, 0, 0]);
        assert_eq!(code.bytes[65..70], [0xe9, 128, 0, 0, 0]);
        assert_eq!(code.bytes.len(), 5 + 60 + 5 + 65 + 63);
    }

    #[test]
    fn the_listing_has_offsets_and_resolved_branches() {
        let mut a = Assembler::new();
        let end = a.label();
        a.test(Size::B8, Gpr::Rax, Gpr::Rax);
        a.jcc(Cond::E, end);
        a.mov(Size::B4, Gpr::Rax, 1);
        a.bind(end);
        a.ret();
        let code = a.finish().expect("the label is bound");
        let listing = [(0, "test rax, rax"), (3, "je .+7"), (5, "mov eax, 1"), (10, "ret")];
        assert_eq!(code.listing(), listing.map(|(offset, text)| (offset, text.to_owned())));
        let joined: Vec<u8> =
            code.insns.iter().flat_map(|(_, insn)| insn.encode().unwrap().to_vec()).collect();
        assert_eq!(joined, code.bytes);
    }

    #[test]
    fn items_can_be_patched_and_assembled_again() {
        let mut a = Assembler::new();
        let end = a.label();
        a.jmp(end);
        a.nop();
        a.bind(end);
        let mut items = a.clone().into_items();
        assert_eq!(items.iter().map(Item::to_string).collect::<Vec<_>>(), ["jmp .L0", "nop", ".L0:"]);
        items[1] = Item::Insn(Insn::Nullary(Nullary::Ud2));
        let mut patched = Assembler::from_items(items);
        assert_ne!(patched.label(), end);
        assert_eq!(patched.finish().map(|code| code.bytes), Ok(vec![0xeb, 2, 0x0f, 0x0b]));
        assert_eq!(Assembler::from_items(a.items().to_vec()), a);
    }

    #[test]
    fn errors_name_the_item() {
        let mut a = Assembler::new();
        let label = a.label();
        a.nop();
        a.jmp(label);
        assert_eq!(a.finish(), Err(AssembleError::Unbound { index: 1, label }));
        a.bind(label);
        a.bind(label);
        assert_eq!(a.finish(), Err(AssembleError::BoundTwice { index: 3, label }));

        let mut a = Assembler::new();
        a.rol(Size::B8, Gpr::Rax, 64);
        let message = "item 0, `rol rax, 64`: shift amount 64 is not in 0..=63";
        assert_eq!(a.finish().unwrap_err().to_string(), message);
    }
}
