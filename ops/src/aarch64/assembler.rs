// SPDX-License-Identifier: GPL-2.0-or-later
//! Collects A64 instructions under their manual's names, resolves labels, and yields position-independent bytes.

use std::fmt;

use super::encode::{EncodeError, mov_imm};
use super::insn::{
    AddSub, AtomicOp, BarrierScope, BitPermuteOp, BitfieldOp, CarryOp, Cond, CondCompareOp, CondOperand,
    CondSelectOp, Extend, FmovLane, Hint, Insn, Logical, LogicalImm, Mem, MoveWide, MulAddLongOp, MulAddOp,
    OneSourceOp, Order, PmullForm, Prefetch, Shift, SysReg, TwoSourceOp, VLogical,
};
use super::register::{Arrangement, Gpr, Scalar, Size, V, Width};

/// A place in the code, made by [`Assembler::label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(u32);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".L{}", self.0)
    }
}

/// One element of what an assembler collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// An instruction that is complete.
    Insn(Insn),
    /// The place of a label: before the next instruction.
    Bind(Label),
    /// An instruction whose distance, see [`Insn::offset`], becomes the one to a label.
    Branch {
        /// The instruction; its own distance is ignored.
        insn: Insn,
        /// Where it goes.
        target: Label,
    },
}

/// Why a list of instructions cannot be assembled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// An instruction's operands do not fit its encoding.
    #[error("instruction {index}, `{text}`: {source}")]
    Encode {
        /// Its position among the instructions.
        index: usize,
        /// Its text, or its name where the operands make no instruction.
        text: String,
        /// What does not fit.
        source: EncodeError,
    },
    /// A label is used and bound nowhere.
    #[error("label {0} is used but bound nowhere")]
    Unbound(Label),
    /// A label is bound at two places.
    #[error("label {0} is bound twice")]
    BoundTwice(Label),
    /// An instruction that has no distance was given a label.
    #[error("instruction {index}, `{text}`, takes no label")]
    NoOffset {
        /// Its position among the instructions.
        index: usize,
        /// Its text.
        text: String,
    },
}

/// Assembled code, the same wherever it is placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// The instructions, little-endian words.
    pub bytes: Vec<u8>,
    /// Every instruction with its offset in `bytes`; distances are resolved.
    pub insns: Vec<(usize, Insn)>,
}

impl Assembled {
    /// The instruction words.
    pub fn words(&self) -> impl Iterator<Item = u32> {
        self.bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    }

    /// Every instruction's offset in bytes and text.
    pub fn listing(&self) -> Vec<(usize, String)> {
        self.insns.iter().map(|(offset, insn)| (*offset, insn.to_string())).collect()
    }
}

/// Collects instructions and labels; [`Assembler::finish`] makes code of them.
///
/// The methods are named for the manual's instructions and take the operands in the manual's order. What does not fit is
/// remembered and reported by [`Assembler::finish`], so that an emit reads as assembly.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    items: Vec<Item>,
    labels: u32,
    refused: Option<AssembleError>,
}

impl Assembler {
    /// An empty assembler.
    pub fn new() -> Self {
        Self::default()
    }

    /// An assembler that holds `insns`.
    pub fn from_insns(insns: impl IntoIterator<Item = Insn>) -> Self {
        Self::from_items(insns.into_iter().map(Item::Insn).collect())
    }

    /// An assembler that holds `items`, as [`Assembler::items`] returned them.
    pub fn from_items(items: Vec<Item>) -> Self {
        let labels = items.iter().map(|item| match item {
            Item::Insn(_) => 0,
            Item::Bind(Label(number)) | Item::Branch { target: Label(number), .. } => {
                number.saturating_add(1)
            }
        });
        let labels = labels.max().unwrap_or(0);
        Self { items, labels, refused: None }
    }

    /// What was collected, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The instructions that were collected, in order; distances to labels are not resolved yet.
    pub fn insns(&self) -> impl Iterator<Item = Insn> {
        self.items.iter().filter_map(|item| match item {
            Item::Insn(insn) | Item::Branch { insn, .. } => Some(*insn),
            Item::Bind(_) => None,
        })
    }

    /// The number of instructions that were collected.
    pub fn len(&self) -> usize {
        self.insns().count()
    }

    /// Whether no instruction was collected.
    pub fn is_empty(&self) -> bool {
        self.insns().next().is_none()
    }

    /// Appends `insn`.
    pub fn push(&mut self, insn: Insn) {
        self.items.push(Item::Insn(insn));
    }

    /// Appends `insn` with its distance, see [`Insn::offset`], going to `target`.
    pub fn push_to(&mut self, insn: Insn, target: Label) {
        self.items.push(Item::Branch { insn, target });
    }

    /// A new label, bound nowhere yet.
    pub fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// Binds `label` here: before the next instruction.
    pub fn bind(&mut self, label: Label) {
        self.items.push(Item::Bind(label));
    }

    /// The code of what was collected.
    ///
    /// A conditional branch whose label is out of reach becomes its inverse around a B, which reaches 128 MiB.
    ///
    /// # Errors
    /// The first instruction whose operands do not fit, a label that is used but not bound or bound twice, or a label
    /// out of reach.
    pub fn finish(&self) -> Result<Assembled, AssembleError> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        let layout = Layout::of(&self.items)?;
        let mut assembled = Assembled::default();
        for (item, &expanded) in self.items.iter().zip(&layout.expanded) {
            match *item {
                Item::Bind(_) => {}
                Item::Insn(insn) => assembled.append(insn)?,
                Item::Branch { insn, target } => {
                    let target = layout.place(target)?;
                    let inverse = insn.inverse_branch().filter(|_| expanded);
                    if let Some(inverse) = inverse {
                        assembled.append(inverse.with_offset(8))?;
                    }
                    let last = if expanded { Insn::B { offset: 0 } } else { insn };
                    assembled.append(last.with_offset(distance(assembled.bytes.len(), target)))?;
                }
            }
        }
        Ok(assembled)
    }

    /// Appends an alias's instruction, or remembers why there is none.
    fn alias(&mut self, name: &str, insn: Result<Insn, EncodeError>) {
        match insn {
            Ok(insn) => self.push(insn),
            Err(source) => {
                let error = AssembleError::Encode { index: self.len(), text: name.to_owned(), source };
                self.refused.get_or_insert(error);
            }
        }
    }
}

impl Assembled {
    fn append(&mut self, insn: Insn) -> Result<(), AssembleError> {
        let word = insn.encode().map_err(|source| AssembleError::Encode {
            index: self.insns.len(),
            text: insn.to_string(),
            source,
        })?;
        self.insns.push((self.bytes.len(), insn));
        self.bytes.extend(word.to_le_bytes());
        Ok(())
    }
}

/// Where the items are placed.
struct Layout {
    /// The offset of each label.
    places: Vec<Option<usize>>,
    /// For each item, whether it is a branch that goes around a B to reach its label.
    expanded: Vec<bool>,
}

impl Layout {
    fn of(items: &[Item]) -> Result<Self, AssembleError> {
        let mut layout = Layout { places: Vec::new(), expanded: vec![false; items.len()] };
        layout.check(items)?;
        // Expanding a branch only moves labels further apart, so this ends.
        while layout.expand(items)? {}
        Ok(layout)
    }

    /// Refuses labels bound twice and instructions that take none; makes room for every label.
    fn check(&mut self, items: &[Item]) -> Result<(), AssembleError> {
        let mut index = 0;
        for item in items {
            match item {
                Item::Insn(_) => index += 1,
                Item::Branch { insn, .. } => {
                    if insn.offset().is_none() {
                        return Err(AssembleError::NoOffset { index, text: insn.to_string() });
                    }
                    index += 1;
                }
                Item::Bind(label) => {
                    let number = label.0 as usize;
                    if self.places.len() <= number {
                        self.places.resize(number + 1, None);
                    }
                    if self.places[number].replace(0).is_some() {
                        return Err(AssembleError::BoundTwice(*label));
                    }
                }
            }
        }
        Ok(())
    }

    /// Places the labels and expands the branches that are out of reach; whether there were any.
    fn expand(&mut self, items: &[Item]) -> Result<bool, AssembleError> {
        let mut offset = 0;
        for (item, &expanded) in items.iter().zip(&self.expanded) {
            match item {
                Item::Bind(label) => self.places[label.0 as usize] = Some(offset),
                _ => offset += size(item, expanded),
            }
        }
        let mut grown = false;
        offset = 0;
        for (i, item) in items.iter().enumerate() {
            if let Item::Branch { insn, target } = item
                && !self.expanded[i]
                && expandable(insn)
                && !insn.reaches(distance(offset, self.place(*target)?))
            {
                self.expanded[i] = true;
                grown = true;
            }
            offset += size(item, self.expanded[i]);
        }
        Ok(grown)
    }

    fn place(&self, label: Label) -> Result<usize, AssembleError> {
        self.places.get(label.0 as usize).copied().flatten().ok_or(AssembleError::Unbound(label))
    }
}

/// Whether a branch can be written as its inverse around a B, or as a B where it always branches.
fn expandable(insn: &Insn) -> bool {
    matches!(insn, Insn::BCond { .. } | Insn::CompareBranch { .. } | Insn::TestBranch { .. })
}

/// The bytes that an item takes.
fn size(item: &Item, expanded: bool) -> usize {
    match item {
        Item::Bind(_) => 0,
        Item::Branch { insn, .. } if expanded && insn.inverse_branch().is_some() => 8,
        Item::Insn(_) | Item::Branch { .. } => 4,
    }
}

/// The distance from one offset to another; one that no instruction reaches when it does not fit.
fn distance(from: usize, to: usize) -> i32 {
    let distance = to as i64 - from as i64;
    i32::try_from(distance).unwrap_or(if distance < 0 { i32::MIN } else { i32::MAX - 3 })
}

/// Moves.
impl Assembler {
    /// `movz rd, #imm, lsl #shift`: the rest becomes zero; `shift` is a multiple of 16 below the width.
    pub fn movz(&mut self, width: Width, rd: Gpr, imm: u16, shift: u8) {
        self.push(Insn::MoveWide { op: MoveWide::Movz, width, rd, imm, shift });
    }

    /// `movn rd, #imm, lsl #shift`: the inverse of what [`Assembler::movz`] gives.
    pub fn movn(&mut self, width: Width, rd: Gpr, imm: u16, shift: u8) {
        self.push(Insn::MoveWide { op: MoveWide::Movn, width, rd, imm, shift });
    }

    /// `movk rd, #imm, lsl #shift`: the rest stays; `shift` is a multiple of 16 below the width.
    pub fn movk(&mut self, width: Width, rd: Gpr, imm: u16, shift: u8) {
        self.push(Insn::MoveWide { op: MoveWide::Movk, width, rd, imm, shift });
    }

    /// `mov rd, rn`; either can be SP.
    pub fn mov(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.push(Insn::mov(width, rd, rn));
    }

    /// `mvn rd, rm`: the inverse.
    pub fn mvn(&mut self, width: Width, rd: Gpr, rm: Gpr) {
        self.orn(width, rd, Gpr::Xzr, rm);
    }

    /// Sets `rd` to `value` in the fewest of MOVZ, MOVN, MOVK and ORR of a bitmask: one to four instructions; W takes
    /// the lower 32 bits of `value` and clears the upper half of `rd`.
    pub fn mov_imm(&mut self, width: Width, rd: Gpr, value: u64) {
        for insn in mov_imm(width, rd, value) {
            self.push(insn);
        }
    }

    /// Sets `rd` to `value` in the fewest of MOVZ, MOVN, MOVK and ORR of a bitmask: one to four instructions.
    pub fn mov_imm64(&mut self, rd: Gpr, value: u64) {
        self.mov_imm(Width::X, rd, value);
    }
}

/// Addition and subtraction.
impl Assembler {
    /// `add rd, rn, rm`: addition.
    pub fn add(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.add_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `add rd, rn, #imm`: 0 to 4095, or a multiple of 4096 up to 4095 * 4096; `rd` and `rn` can be SP.
    pub fn add_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u32) {
        self.push(Insn::AddSubImm { op: AddSub::Add, width, rd, rn, imm });
    }

    /// `add rd, rn, rm, shift #amount`: LSL, LSR or ASR by an amount below the width.
    pub fn add_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::AddSubShifted { op: AddSub::Add, width, rd, rn, rm, shift, amount });
    }

    /// `add rd, rn, rm, extend #amount`: shifted left by 0 to 4 after the extension; `rd` and `rn` can be SP.
    pub fn add_extended(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, extend: Extend, amount: u8) {
        self.push(Insn::AddSubExtended { op: AddSub::Add, width, rd, rn, rm, extend, amount });
    }

    /// `adds rd, rn, rm`: addition that sets the flags.
    pub fn adds(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.adds_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `adds rd, rn, #imm`: 0 to 4095, or a multiple of 4096 up to 4095 * 4096; `rn` can be SP.
    pub fn adds_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u32) {
        self.push(Insn::AddSubImm { op: AddSub::Adds, width, rd, rn, imm });
    }

    /// `adds rd, rn, rm, shift #amount`: LSL, LSR or ASR by an amount below the width.
    pub fn adds_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::AddSubShifted { op: AddSub::Adds, width, rd, rn, rm, shift, amount });
    }

    /// `adds rd, rn, rm, extend #amount`: shifted left by 0 to 4 after the extension; `rn` can be SP.
    pub fn adds_extended(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, extend: Extend, amount: u8) {
        self.push(Insn::AddSubExtended { op: AddSub::Adds, width, rd, rn, rm, extend, amount });
    }

    /// `sub rd, rn, rm`: subtraction.
    pub fn sub(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.sub_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `sub rd, rn, #imm`: 0 to 4095, or a multiple of 4096 up to 4095 * 4096; `rd` and `rn` can be SP.
    pub fn sub_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u32) {
        self.push(Insn::AddSubImm { op: AddSub::Sub, width, rd, rn, imm });
    }

    /// `sub rd, rn, rm, shift #amount`: LSL, LSR or ASR by an amount below the width.
    pub fn sub_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::AddSubShifted { op: AddSub::Sub, width, rd, rn, rm, shift, amount });
    }

    /// `sub rd, rn, rm, extend #amount`: shifted left by 0 to 4 after the extension; `rd` and `rn` can be SP.
    pub fn sub_extended(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, extend: Extend, amount: u8) {
        self.push(Insn::AddSubExtended { op: AddSub::Sub, width, rd, rn, rm, extend, amount });
    }

    /// `subs rd, rn, rm`: subtraction that sets the flags.
    pub fn subs(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.subs_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `subs rd, rn, #imm`: 0 to 4095, or a multiple of 4096 up to 4095 * 4096; `rn` can be SP.
    pub fn subs_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u32) {
        self.push(Insn::AddSubImm { op: AddSub::Subs, width, rd, rn, imm });
    }

    /// `subs rd, rn, rm, shift #amount`: LSL, LSR or ASR by an amount below the width.
    pub fn subs_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::AddSubShifted { op: AddSub::Subs, width, rd, rn, rm, shift, amount });
    }

    /// `subs rd, rn, rm, extend #amount`: shifted left by 0 to 4 after the extension; `rn` can be SP.
    pub fn subs_extended(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, extend: Extend, amount: u8) {
        self.push(Insn::AddSubExtended { op: AddSub::Subs, width, rd, rn, rm, extend, amount });
    }

    /// `cmp rn, rm`: sets the flags of a subtraction.
    pub fn cmp(&mut self, width: Width, rn: Gpr, rm: Gpr) {
        self.subs(width, Gpr::Xzr, rn, rm);
    }

    /// `cmp rn, #imm`: sets the flags of a subtraction; 0 to 4095, or a multiple of 4096 up to 4095 * 4096.
    pub fn cmp_imm(&mut self, width: Width, rn: Gpr, imm: u32) {
        self.subs_imm(width, Gpr::Xzr, rn, imm);
    }

    /// `cmp rn, rm, extend #amount`: sets the flags of a subtraction.
    pub fn cmp_extended(&mut self, width: Width, rn: Gpr, rm: Gpr, extend: Extend, amount: u8) {
        self.subs_extended(width, Gpr::Xzr, rn, rm, extend, amount);
    }

    /// `cmn rn, rm`: sets the flags of an addition.
    pub fn cmn(&mut self, width: Width, rn: Gpr, rm: Gpr) {
        self.adds(width, Gpr::Xzr, rn, rm);
    }

    /// `cmn rn, #imm`: sets the flags of an addition; 0 to 4095, or a multiple of 4096 up to 4095 * 4096.
    pub fn cmn_imm(&mut self, width: Width, rn: Gpr, imm: u32) {
        self.adds_imm(width, Gpr::Xzr, rn, imm);
    }

    /// `cmn rn, rm, extend #amount`: sets the flags of an addition.
    pub fn cmn_extended(&mut self, width: Width, rn: Gpr, rm: Gpr, extend: Extend, amount: u8) {
        self.adds_extended(width, Gpr::Xzr, rn, rm, extend, amount);
    }

    /// `neg rd, rm`: the two's complement.
    pub fn neg(&mut self, width: Width, rd: Gpr, rm: Gpr) {
        self.sub(width, rd, Gpr::Xzr, rm);
    }

    /// `negs rd, rm`: the two's complement, setting the flags.
    pub fn negs(&mut self, width: Width, rd: Gpr, rm: Gpr) {
        self.subs(width, rd, Gpr::Xzr, rm);
    }

    /// `adc rd, rn, rm`: addition with carry.
    pub fn adc(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::AddSubCarry { op: CarryOp::Adc, width, rd, rn, rm });
    }

    /// `adcs rd, rn, rm`: addition with carry that sets the flags.
    pub fn adcs(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::AddSubCarry { op: CarryOp::Adcs, width, rd, rn, rm });
    }

    /// `sbc rd, rn, rm`: subtraction where a clear carry is a borrow.
    pub fn sbc(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::AddSubCarry { op: CarryOp::Sbc, width, rd, rn, rm });
    }

    /// `sbcs rd, rn, rm`: subtraction where a clear carry is a borrow, setting the flags.
    pub fn sbcs(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::AddSubCarry { op: CarryOp::Sbcs, width, rd, rn, rm });
    }
}

/// Logical operations.
impl Assembler {
    /// `and rd, rn, rm`: and.
    pub fn and(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.and_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `and rd, rn, rm, shift #amount`: and, shifted by an amount below the width.
    pub fn and_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::And, width, rd, rn, rm, shift, amount });
    }

    /// `and rd, rn, #imm`: and; a bitmask immediate, see [`encode_bitmask`](super::encode_bitmask).
    pub fn and_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u64) {
        self.push(Insn::LogicalImm { op: LogicalImm::And, width, rd, rn, imm });
    }

    /// `bic rd, rn, rm`: and with the inverse of `rm`.
    pub fn bic(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.bic_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `bic rd, rn, rm, shift #amount`: and with the inverse of `rm`, shifted by an amount below the width.
    pub fn bic_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::Bic, width, rd, rn, rm, shift, amount });
    }

    /// `orr rd, rn, rm`: or.
    pub fn orr(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.orr_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `orr rd, rn, rm, shift #amount`: or, shifted by an amount below the width.
    pub fn orr_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::Orr, width, rd, rn, rm, shift, amount });
    }

    /// `orr rd, rn, #imm`: or; a bitmask immediate, see [`encode_bitmask`](super::encode_bitmask).
    pub fn orr_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u64) {
        self.push(Insn::LogicalImm { op: LogicalImm::Orr, width, rd, rn, imm });
    }

    /// `orn rd, rn, rm`: or with the inverse of `rm`.
    pub fn orn(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.orn_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `orn rd, rn, rm, shift #amount`: or with the inverse of `rm`, shifted by an amount below the width.
    pub fn orn_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::Orn, width, rd, rn, rm, shift, amount });
    }

    /// `eor rd, rn, rm`: exclusive or.
    pub fn eor(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.eor_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `eor rd, rn, rm, shift #amount`: exclusive or, shifted by an amount below the width.
    pub fn eor_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::Eor, width, rd, rn, rm, shift, amount });
    }

    /// `eor rd, rn, #imm`: exclusive or; a bitmask immediate, see [`encode_bitmask`](super::encode_bitmask).
    pub fn eor_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u64) {
        self.push(Insn::LogicalImm { op: LogicalImm::Eor, width, rd, rn, imm });
    }

    /// `eon rd, rn, rm`: exclusive or with the inverse of `rm`.
    pub fn eon(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.eon_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `eon rd, rn, rm, shift #amount`: exclusive or with the inverse of `rm`, shifted by an amount below the width.
    pub fn eon_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::Eon, width, rd, rn, rm, shift, amount });
    }

    /// `ands rd, rn, rm`: and, setting the flags.
    pub fn ands(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.ands_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `ands rd, rn, rm, shift #amount`: and, setting the flags, shifted by an amount below the width.
    pub fn ands_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::Ands, width, rd, rn, rm, shift, amount });
    }

    /// `ands rd, rn, #imm`: and, setting the flags; a bitmask immediate, see [`encode_bitmask`](super::encode_bitmask).
    pub fn ands_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, imm: u64) {
        self.push(Insn::LogicalImm { op: LogicalImm::Ands, width, rd, rn, imm });
    }

    /// `bics rd, rn, rm`: and with the inverse of `rm`, setting the flags.
    pub fn bics(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.bics_shifted(width, rd, rn, rm, Shift::Lsl, 0);
    }

    /// `bics rd, rn, rm, shift #amount`: and with the inverse of `rm`, setting the flags, shifted by an amount below the width.
    pub fn bics_shifted(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8) {
        self.push(Insn::LogicalShifted { op: Logical::Bics, width, rd, rn, rm, shift, amount });
    }

    /// `tst rn, rm`: sets the flags of an and.
    pub fn tst(&mut self, width: Width, rn: Gpr, rm: Gpr) {
        self.ands(width, Gpr::Xzr, rn, rm);
    }

    /// `tst rn, #imm`: sets the flags of an and with a bitmask immediate.
    pub fn tst_imm(&mut self, width: Width, rn: Gpr, imm: u64) {
        self.ands_imm(width, Gpr::Xzr, rn, imm);
    }
}

/// Shifts, bit fields and bit counts.
impl Assembler {
    /// `lsl rd, rn, rm`: logical shift left by `rm` modulo the width.
    pub fn lsl(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::TwoSource { op: TwoSourceOp::Lslv, width, rd, rn, rm });
    }

    /// `lsl rd, rn, #amount`: logical shift left by an amount below the width.
    pub fn lsl_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, amount: u8) {
        self.alias("lsl", Insn::lsl_imm(width, rd, rn, amount));
    }

    /// `lsr rd, rn, rm`: logical shift right by `rm` modulo the width.
    pub fn lsr(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::TwoSource { op: TwoSourceOp::Lsrv, width, rd, rn, rm });
    }

    /// `lsr rd, rn, #amount`: logical shift right by an amount below the width.
    pub fn lsr_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, amount: u8) {
        self.alias("lsr", Insn::lsr_imm(width, rd, rn, amount));
    }

    /// `asr rd, rn, rm`: arithmetic shift right by `rm` modulo the width.
    pub fn asr(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::TwoSource { op: TwoSourceOp::Asrv, width, rd, rn, rm });
    }

    /// `asr rd, rn, #amount`: arithmetic shift right by an amount below the width.
    pub fn asr_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, amount: u8) {
        self.alias("asr", Insn::asr_imm(width, rd, rn, amount));
    }

    /// `ror rd, rn, rm`: rotation to the right by `rm` modulo the width.
    pub fn ror(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::TwoSource { op: TwoSourceOp::Rorv, width, rd, rn, rm });
    }

    /// `ror rd, rn, #amount`: rotation to the right by an amount below the width.
    pub fn ror_imm(&mut self, width: Width, rd: Gpr, rn: Gpr, amount: u8) {
        self.alias("ror", Insn::ror_imm(width, rd, rn, amount));
    }

    /// `sbfm rd, rn, #immr, #imms`: the signed bit-field move that SBFX, ASR, SXTB and others are aliases of.
    pub fn sbfm(&mut self, width: Width, rd: Gpr, rn: Gpr, immr: u8, imms: u8) {
        self.push(Insn::Bitfield { op: BitfieldOp::Sbfm, width, rd, rn, immr, imms });
    }

    /// `bfm rd, rn, #immr, #imms`: the bit-field move that BFI and BFXIL are aliases of.
    pub fn bfm(&mut self, width: Width, rd: Gpr, rn: Gpr, immr: u8, imms: u8) {
        self.push(Insn::Bitfield { op: BitfieldOp::Bfm, width, rd, rn, immr, imms });
    }

    /// `ubfm rd, rn, #immr, #imms`: the unsigned bit-field move that UBFX, LSL, LSR and others are aliases of.
    pub fn ubfm(&mut self, width: Width, rd: Gpr, rn: Gpr, immr: u8, imms: u8) {
        self.push(Insn::Bitfield { op: BitfieldOp::Ubfm, width, rd, rn, immr, imms });
    }

    /// `ubfx rd, rn, #lsb, #bits`: `bits` bits of `rn` from `lsb` on, zero-extended.
    pub fn ubfx(&mut self, width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) {
        self.alias("ubfx", Insn::ubfx(width, rd, rn, lsb, bits));
    }

    /// `sbfx rd, rn, #lsb, #bits`: `bits` bits of `rn` from `lsb` on, sign-extended.
    pub fn sbfx(&mut self, width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) {
        self.alias("sbfx", Insn::sbfx(width, rd, rn, lsb, bits));
    }

    /// `bfxil rd, rn, #lsb, #bits`: the lowest `bits` bits of `rd` become those of `rn` from `lsb` on.
    pub fn bfxil(&mut self, width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) {
        self.alias("bfxil", Insn::bfxil(width, rd, rn, lsb, bits));
    }

    /// `ubfiz rd, rn, #lsb, #bits`: the lowest `bits` bits of `rn` moved up to `lsb`, zeros around.
    pub fn ubfiz(&mut self, width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) {
        self.alias("ubfiz", Insn::ubfiz(width, rd, rn, lsb, bits));
    }

    /// `sbfiz rd, rn, #lsb, #bits`: the lowest `bits` bits of `rn` sign-extended and shifted left by `lsb`.
    pub fn sbfiz(&mut self, width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) {
        self.alias("sbfiz", Insn::sbfiz(width, rd, rn, lsb, bits));
    }

    /// `bfi rd, rn, #lsb, #bits`: `bits` bits of `rd` from `lsb` on become the lowest of `rn`.
    pub fn bfi(&mut self, width: Width, rd: Gpr, rn: Gpr, lsb: u8, bits: u8) {
        self.alias("bfi", Insn::bfi(width, rd, rn, lsb, bits));
    }

    /// `sxtb rd, rn`: the lowest 8 bits, sign-extended.
    pub fn sxtb(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.sbfm(width, rd, rn, 0, 7);
    }

    /// `sxth rd, rn`: the lowest 16 bits, sign-extended.
    pub fn sxth(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.sbfm(width, rd, rn, 0, 15);
    }

    /// `sxtw rd, rn`: the lowest 32 bits, sign-extended.
    pub fn sxtw(&mut self, rd: Gpr, rn: Gpr) {
        self.sbfm(Width::X, rd, rn, 0, 31);
    }

    /// `uxtb rd, rn`: the lowest 8 bits, zero-extended.
    pub fn uxtb(&mut self, rd: Gpr, rn: Gpr) {
        self.ubfm(Width::W, rd, rn, 0, 7);
    }

    /// `uxth rd, rn`: the lowest 16 bits, zero-extended.
    pub fn uxth(&mut self, rd: Gpr, rn: Gpr) {
        self.ubfm(Width::W, rd, rn, 0, 15);
    }

    /// `mov wd, wn`: the lowest 32 bits, zero-extended.
    pub fn uxtw(&mut self, rd: Gpr, rn: Gpr) {
        self.mov(Width::W, rd, rn);
    }

    /// `extr rd, rn, rm, #lsb`: a register's width of bits of `rn:rm` from `lsb` on.
    pub fn extr(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, lsb: u8) {
        self.push(Insn::Extract { width, rd, rn, rm, lsb });
    }

    /// `rbit rd, rn`: the bits in reverse order.
    pub fn rbit(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.push(Insn::OneSource { op: OneSourceOp::Rbit, width, rd, rn });
    }

    /// `rev16 rd, rn`: the bytes of each halfword in reverse order.
    pub fn rev16(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.push(Insn::OneSource { op: OneSourceOp::Rev16, width, rd, rn });
    }

    /// `rev rd, rn`: the bytes in reverse order.
    pub fn rev(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.push(Insn::OneSource { op: OneSourceOp::Rev, width, rd, rn });
    }

    /// `clz rd, rn`: the number of leading zeros.
    pub fn clz(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.push(Insn::OneSource { op: OneSourceOp::Clz, width, rd, rn });
    }

    /// `cls rd, rn`: the number of leading bits after the sign bit that equal it.
    pub fn cls(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.push(Insn::OneSource { op: OneSourceOp::Cls, width, rd, rn });
    }

    /// `rev32 xd, xn`: the bytes of each word in reverse order.
    pub fn rev32(&mut self, rd: Gpr, rn: Gpr) {
        self.push(Insn::OneSource { op: OneSourceOp::Rev32, width: Width::X, rd, rn });
    }

    /// `crc32b` to `crc32x wd, wn, rm`: the checksum `rn` continued over `size` bytes of `rm` (FEAT_CRC32).
    pub fn crc32(&mut self, size: Size, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::Crc32 { castagnoli: false, size, rd, rn, rm });
    }

    /// `crc32cb` to `crc32cx wd, wn, rm`: the checksum `rn` continued over `size` bytes of `rm` (FEAT_CRC32).
    pub fn crc32c(&mut self, size: Size, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::Crc32 { castagnoli: true, size, rd, rn, rm });
    }
}

/// Multiplication and division.
impl Assembler {
    /// `madd rd, rn, rm, ra`: `ra + rn * rm`.
    pub fn madd(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr) {
        self.push(Insn::MulAdd { op: MulAddOp::Madd, width, rd, rn, rm, ra });
    }

    /// `msub rd, rn, rm, ra`: `ra - rn * rm`.
    pub fn msub(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr) {
        self.push(Insn::MulAdd { op: MulAddOp::Msub, width, rd, rn, rm, ra });
    }

    /// `mul rd, rn, rm`: the lower half of the product.
    pub fn mul(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.madd(width, rd, rn, rm, Gpr::Xzr);
    }

    /// `mneg rd, rn, rm`: the lower half of the negated product.
    pub fn mneg(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.msub(width, rd, rn, rm, Gpr::Xzr);
    }

    /// `smaddl xd, wn, wm, xa`: signed, `xa + wn * wm`.
    pub fn smaddl(&mut self, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr) {
        self.push(Insn::MulAddLong { op: MulAddLongOp::Smaddl, rd, rn, rm, ra });
    }

    /// `smsubl xd, wn, wm, xa`: signed, `xa - wn * wm`.
    pub fn smsubl(&mut self, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr) {
        self.push(Insn::MulAddLong { op: MulAddLongOp::Smsubl, rd, rn, rm, ra });
    }

    /// `umaddl xd, wn, wm, xa`: unsigned, `xa + wn * wm`.
    pub fn umaddl(&mut self, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr) {
        self.push(Insn::MulAddLong { op: MulAddLongOp::Umaddl, rd, rn, rm, ra });
    }

    /// `umsubl xd, wn, wm, xa`: unsigned, `xa - wn * wm`.
    pub fn umsubl(&mut self, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr) {
        self.push(Insn::MulAddLong { op: MulAddLongOp::Umsubl, rd, rn, rm, ra });
    }

    /// `smull xd, wn, wm`: the whole signed product.
    pub fn smull(&mut self, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.smaddl(rd, rn, rm, Gpr::Xzr);
    }

    /// `umull xd, wn, wm`: the whole unsigned product.
    pub fn umull(&mut self, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.umaddl(rd, rn, rm, Gpr::Xzr);
    }

    /// `smulh xd, xn, xm`: the upper half of the signed product.
    pub fn smulh(&mut self, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::MulHigh { signed: true, rd, rn, rm });
    }

    /// `umulh xd, xn, xm`: the upper half of the unsigned product.
    pub fn umulh(&mut self, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::MulHigh { signed: false, rd, rn, rm });
    }

    /// `udiv rd, rn, rm`: unsigned division; by zero it gives zero.
    pub fn udiv(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::TwoSource { op: TwoSourceOp::Udiv, width, rd, rn, rm });
    }

    /// `sdiv rd, rn, rm`: signed division; by zero it gives zero.
    pub fn sdiv(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.push(Insn::TwoSource { op: TwoSourceOp::Sdiv, width, rd, rn, rm });
    }
}

/// Conditions.
impl Assembler {
    /// `csel rd, rn, rm, cond`: `rn` when `cond` holds, else `rm`.
    pub fn csel(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, cond: Cond) {
        self.push(Insn::CondSelect { op: CondSelectOp::Csel, width, rd, rn, rm, cond });
    }

    /// `csinc rd, rn, rm, cond`: `rn` when `cond` holds, else `rm` plus one.
    pub fn csinc(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, cond: Cond) {
        self.push(Insn::CondSelect { op: CondSelectOp::Csinc, width, rd, rn, rm, cond });
    }

    /// `csinv rd, rn, rm, cond`: `rn` when `cond` holds, else the inverse of `rm`.
    pub fn csinv(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, cond: Cond) {
        self.push(Insn::CondSelect { op: CondSelectOp::Csinv, width, rd, rn, rm, cond });
    }

    /// `csneg rd, rn, rm, cond`: `rn` when `cond` holds, else the negated `rm`.
    pub fn csneg(&mut self, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, cond: Cond) {
        self.push(Insn::CondSelect { op: CondSelectOp::Csneg, width, rd, rn, rm, cond });
    }

    /// `cset rd, cond`: one when `cond` holds, else zero; AL and NV are refused.
    pub fn cset(&mut self, width: Width, rd: Gpr, cond: Cond) {
        self.alias("cset", Insn::cset(width, rd, cond));
    }

    /// `csetm rd, cond`: all ones when `cond` holds, else zero; AL and NV are refused.
    pub fn csetm(&mut self, width: Width, rd: Gpr, cond: Cond) {
        self.alias("csetm", Insn::csetm(width, rd, cond));
    }

    /// `ccmp rn, rm, #nzcv, cond`: compares when `cond` holds, else sets the flags to `nzcv`, 0 to 15.
    pub fn ccmp(&mut self, width: Width, rn: Gpr, rm: Gpr, nzcv: u8, cond: Cond) {
        let operand = CondOperand::Reg(rm);
        self.push(Insn::CondCompare { op: CondCompareOp::Ccmp, width, rn, operand, nzcv, cond });
    }

    /// `ccmp rn, #imm, #nzcv, cond`: compares with 0 to 31 when `cond` holds, else sets the flags to `nzcv`, 0 to 15.
    pub fn ccmp_imm(&mut self, width: Width, rn: Gpr, imm: u8, nzcv: u8, cond: Cond) {
        let operand = CondOperand::Imm(imm);
        self.push(Insn::CondCompare { op: CondCompareOp::Ccmp, width, rn, operand, nzcv, cond });
    }

    /// `ccmn rn, rm, #nzcv, cond`: compares with the negative when `cond` holds, else sets the flags to `nzcv`, 0 to 15.
    pub fn ccmn(&mut self, width: Width, rn: Gpr, rm: Gpr, nzcv: u8, cond: Cond) {
        let operand = CondOperand::Reg(rm);
        self.push(Insn::CondCompare { op: CondCompareOp::Ccmn, width, rn, operand, nzcv, cond });
    }

    /// `ccmn rn, #imm, #nzcv, cond`: compares with the negative with 0 to 31 when `cond` holds, else sets the flags to `nzcv`, 0 to 15.
    pub fn ccmn_imm(&mut self, width: Width, rn: Gpr, imm: u8, nzcv: u8, cond: Cond) {
        let operand = CondOperand::Imm(imm);
        self.push(Insn::CondCompare { op: CondCompareOp::Ccmn, width, rn, operand, nzcv, cond });
    }
}

/// Loads and stores.
impl Assembler {
    /// LDRB, LDRH or LDR: a zero-extending load of `size`.
    pub fn load(&mut self, size: Size, rt: Gpr, mem: Mem) {
        self.push(Insn::Load { size, rt, mem });
    }

    /// LDRSB, LDRSH or LDRSW: a load of `size` sign-extended to `width`, which is wider.
    pub fn load_signed(&mut self, width: Width, size: Size, rt: Gpr, mem: Mem) {
        self.push(Insn::LoadSigned { width, size, rt, mem });
    }

    /// STRB, STRH or STR: a store of `size`.
    pub fn store(&mut self, size: Size, rt: Gpr, mem: Mem) {
        self.push(Insn::Store { size, rt, mem });
    }

    /// `ldr rt, mem`.
    pub fn ldr(&mut self, width: Width, rt: Gpr, mem: Mem) {
        self.load(width.into(), rt, mem);
    }

    /// `ldrb wt, mem`.
    pub fn ldrb(&mut self, rt: Gpr, mem: Mem) {
        self.load(Size::B1, rt, mem);
    }

    /// `ldrh wt, mem`.
    pub fn ldrh(&mut self, rt: Gpr, mem: Mem) {
        self.load(Size::B2, rt, mem);
    }

    /// `ldrsb rt, mem`.
    pub fn ldrsb(&mut self, width: Width, rt: Gpr, mem: Mem) {
        self.load_signed(width, Size::B1, rt, mem);
    }

    /// `ldrsh rt, mem`.
    pub fn ldrsh(&mut self, width: Width, rt: Gpr, mem: Mem) {
        self.load_signed(width, Size::B2, rt, mem);
    }

    /// `ldrsw xt, mem`.
    pub fn ldrsw(&mut self, rt: Gpr, mem: Mem) {
        self.load_signed(Width::X, Size::B4, rt, mem);
    }

    /// `str rt, mem`.
    pub fn str(&mut self, width: Width, rt: Gpr, mem: Mem) {
        self.store(width.into(), rt, mem);
    }

    /// `strb wt, mem`.
    pub fn strb(&mut self, rt: Gpr, mem: Mem) {
        self.store(Size::B1, rt, mem);
    }

    /// `strh wt, mem`.
    pub fn strh(&mut self, rt: Gpr, mem: Mem) {
        self.store(Size::B2, rt, mem);
    }

    /// `ldp rt, rt2, mem`: an offset, pre- or post-indexed.
    pub fn ldp(&mut self, width: Width, rt: Gpr, rt2: Gpr, mem: Mem) {
        self.push(Insn::LoadPair { width, rt, rt2, mem });
    }

    /// `stp rt, rt2, mem`: an offset, pre- or post-indexed.
    pub fn stp(&mut self, width: Width, rt: Gpr, rt2: Gpr, mem: Mem) {
        self.push(Insn::StorePair { width, rt, rt2, mem });
    }

    /// `prfm op, mem`.
    pub fn prfm(&mut self, op: Prefetch, mem: Mem) {
        self.push(Insn::Prfm { op, mem });
    }

    /// `ldr rt, target`: within 1 MiB.
    pub fn ldr_literal(&mut self, width: Width, rt: Gpr, target: Label) {
        self.push_to(Insn::LoadLiteral { width, rt, offset: 0 }, target);
    }

    /// `adr xd, target`: within 1 MiB.
    pub fn adr(&mut self, rd: Gpr, target: Label) {
        self.push_to(Insn::Adr { rd, offset: 0 }, target);
    }
}

/// Atomic and ordered accesses; `base` can be SP.
impl Assembler {
    /// `ldxr rt, [base]`: an exclusive load.
    pub fn ldxr(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::LoadExclusive { size, acquire: false, rt, base });
    }

    /// `ldaxr rt, [base]`: an exclusive load that is an acquire.
    pub fn ldaxr(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::LoadExclusive { size, acquire: true, rt, base });
    }

    /// `ldar rt, [base]`: a load that is an acquire.
    pub fn ldar(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::LoadAcquire { size, rt, base });
    }

    /// `ldapr rt, [base]`: a load that is an acquire for another location's release (FEAT_LRCPC).
    pub fn ldapr(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::LoadAcquirePc { size, rt, base });
    }

    /// `stlr rt, [base]`: a store that is a release.
    pub fn stlr(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::StoreRelease { size, rt, base });
    }

    /// `stxr ws, rt, [base]`: an exclusive store; `rs` becomes 0 when it succeeded, else 1.
    pub fn stxr(&mut self, size: Size, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::StoreExclusive { size, release: false, rs, rt, base });
    }

    /// `stlxr ws, rt, [base]`: an exclusive store that is a release; `rs` becomes 0 when it succeeded, else 1.
    pub fn stlxr(&mut self, size: Size, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::StoreExclusive { size, release: true, rs, rt, base });
    }

    /// `ldadd rs, rt, [base]`: adds `rs` to memory; `rt` becomes the old value (FEAT_LSE).
    pub fn ldadd(&mut self, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Atomic { op: AtomicOp::Add, size, order, rs, rt, base });
    }

    /// `ldclr rs, rt, [base]`: clears the bits of `rs` in memory; `rt` becomes the old value (FEAT_LSE).
    pub fn ldclr(&mut self, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Atomic { op: AtomicOp::Clr, size, order, rs, rt, base });
    }

    /// `ldeor rs, rt, [base]`: exclusive or of `rs` into memory; `rt` becomes the old value (FEAT_LSE).
    pub fn ldeor(&mut self, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Atomic { op: AtomicOp::Eor, size, order, rs, rt, base });
    }

    /// `ldset rs, rt, [base]`: sets the bits of `rs` in memory; `rt` becomes the old value (FEAT_LSE).
    pub fn ldset(&mut self, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Atomic { op: AtomicOp::Set, size, order, rs, rt, base });
    }

    /// `swp rs, rt, [base]`: stores `rs`; `rt` becomes the old value (FEAT_LSE).
    pub fn swp(&mut self, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Atomic { op: AtomicOp::Swp, size, order, rs, rt, base });
    }

    /// `cas rs, rt, [base]`: stores `rt` where memory equals `rs`; `rs` becomes the old value (FEAT_LSE).
    pub fn cas(&mut self, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Cas { size, order, rs, rt, base });
    }

    /// `dmb scope`.
    pub fn dmb(&mut self, scope: BarrierScope) {
        self.push(Insn::Dmb(scope));
    }

    /// `dsb scope`.
    pub fn dsb(&mut self, scope: BarrierScope) {
        self.push(Insn::Dsb(scope));
    }

    /// `isb`.
    pub fn isb(&mut self) {
        self.push(Insn::Isb);
    }

    /// `sb`: a speculation barrier (FEAT_SB).
    pub fn sb(&mut self) {
        self.push(Insn::Sb);
    }
}

/// Branches.
impl Assembler {
    /// `b target`: within 128 MiB.
    pub fn b(&mut self, target: Label) {
        self.push_to(Insn::B { offset: 0 }, target);
    }

    /// `bl target`: within 128 MiB.
    pub fn bl(&mut self, target: Label) {
        self.push_to(Insn::Bl { offset: 0 }, target);
    }

    /// `b.cond target`.
    pub fn b_cond(&mut self, cond: Cond, target: Label) {
        self.push_to(Insn::BCond { cond, offset: 0 }, target);
    }

    /// `cbz rt, target`.
    pub fn cbz(&mut self, width: Width, rt: Gpr, target: Label) {
        self.push_to(Insn::CompareBranch { nonzero: false, width, rt, offset: 0 }, target);
    }

    /// `cbnz rt, target`.
    pub fn cbnz(&mut self, width: Width, rt: Gpr, target: Label) {
        self.push_to(Insn::CompareBranch { nonzero: true, width, rt, offset: 0 }, target);
    }

    /// `tbz rt, #bit, target`: a bit from 0 to 63.
    pub fn tbz(&mut self, rt: Gpr, bit: u8, target: Label) {
        self.push_to(Insn::TestBranch { nonzero: false, rt, bit, offset: 0 }, target);
    }

    /// `tbnz rt, #bit, target`: a bit from 0 to 63.
    pub fn tbnz(&mut self, rt: Gpr, bit: u8, target: Label) {
        self.push_to(Insn::TestBranch { nonzero: true, rt, bit, offset: 0 }, target);
    }

    /// `br xn`.
    pub fn br(&mut self, rn: Gpr) {
        self.push(Insn::Br { rn });
    }

    /// `blr xn`.
    pub fn blr(&mut self, rn: Gpr) {
        self.push(Insn::Blr { rn });
    }

    /// `ret`: to the address in X30.
    pub fn ret(&mut self) {
        self.push(Insn::Ret { rn: Gpr::X30 });
    }
}

/// System.
impl Assembler {
    /// `nop`.
    pub fn nop(&mut self) {
        self.hint(Hint::Nop);
    }

    /// NOP, YIELD or BTI.
    pub fn hint(&mut self, hint: Hint) {
        self.push(Insn::Hint(hint));
    }

    /// `svc #imm`.
    pub fn svc(&mut self, imm: u16) {
        self.push(Insn::Svc { imm });
    }

    /// `brk #imm`.
    pub fn brk(&mut self, imm: u16) {
        self.push(Insn::Brk { imm });
    }

    /// `mrs xt, register`.
    pub fn mrs(&mut self, rt: Gpr, register: SysReg) {
        self.push(Insn::Mrs { rt, register });
    }

    /// `msr register, xt`.
    pub fn msr(&mut self, register: SysReg, rt: Gpr) {
        self.push(Insn::Msr { register, rt });
    }
}

/// SIMD.
impl Assembler {
    /// `fmov wd, sn`, `fmov xd, dn` or `fmov xd, vn.d[1]`.
    pub fn fmov_to_gpr(&mut self, lane: FmovLane, rd: Gpr, vn: V) {
        self.push(Insn::FmovToGpr { lane, rd, vn });
    }

    /// `fmov sd, wn` or `fmov dd, xn`, which clear the rest, or `fmov vd.d[1], xn`.
    pub fn fmov_from_gpr(&mut self, lane: FmovLane, vd: V, rn: Gpr) {
        self.push(Insn::FmovFromGpr { lane, vd, rn });
    }

    /// `cnt vd, vn`: the set bits of each byte; 8B or 16B.
    pub fn cnt(&mut self, arrangement: Arrangement, vd: V, vn: V) {
        self.push(Insn::Cnt { arrangement, vd, vn });
    }

    /// `addv bd, vn`: the sum of the lanes modulo their size.
    pub fn addv(&mut self, arrangement: Arrangement, vd: V, vn: V) {
        self.push(Insn::Addv { arrangement, vd, vn });
    }

    /// `uaddlv hd, vn`: the sum of the lanes in twice their size.
    pub fn uaddlv(&mut self, arrangement: Arrangement, vd: V, vn: V) {
        self.push(Insn::Uaddlv { arrangement, vd, vn });
    }

    /// `pmull vd, vn, vm`: carry-less products of the lower halves.
    pub fn pmull(&mut self, form: PmullForm, vd: V, vn: V, vm: V) {
        self.push(Insn::Pmull { form, upper: false, vd, vn, vm });
    }

    /// `pmull2 vd, vn, vm`: carry-less products of the upper halves.
    pub fn pmull2(&mut self, form: PmullForm, vd: V, vn: V, vm: V) {
        self.push(Insn::Pmull { form, upper: true, vd, vn, vm });
    }

    /// `bext zd.d, zn.d, zm.d` and its like: bits chosen by masks, in each lane (FEAT_SVE_BitPerm).
    pub fn bit_permute(&mut self, op: BitPermuteOp, lane: Scalar, zd: V, zn: V, zm: V) {
        self.push(Insn::BitPermute { op, lane, zd, zn, zm });
    }

    /// `umov rd, vn.lane[index]`: a lane, zero-extended.
    pub fn umov(&mut self, lane: Scalar, rd: Gpr, vn: V, index: u8) {
        self.push(Insn::Umov { lane, rd, vn, index });
    }

    /// `ins vd.lane[index], rn`: the other lanes stay.
    pub fn ins_gpr(&mut self, lane: Scalar, vd: V, index: u8, rn: Gpr) {
        self.push(Insn::InsGpr { lane, vd, index, rn });
    }

    /// `ins vd.lane[index], vn.lane[from]`: the other lanes stay.
    pub fn ins_lane(&mut self, lane: Scalar, vd: V, index: u8, vn: V, from: u8) {
        self.push(Insn::InsLane { lane, vd, index, vn, from });
    }

    /// `dup vd, rn`: every lane becomes `rn`.
    pub fn dup_gpr(&mut self, arrangement: Arrangement, vd: V, rn: Gpr) {
        self.push(Insn::DupGpr { arrangement, vd, rn });
    }

    /// `dup vd, vn.lane[index]`: every lane becomes that one.
    pub fn dup_lane(&mut self, arrangement: Arrangement, vd: V, vn: V, index: u8) {
        self.push(Insn::DupLane { arrangement, vd, vn, index });
    }

    /// `movi vd.2d, #0`.
    pub fn movi_zero(&mut self, vd: V) {
        self.push(Insn::Movi { vd, imm: 0 });
    }

    /// AND, BIC, ORR, ORN, EOR, BSL, BIT or BIF; 8B or 16B.
    pub fn v_logical(&mut self, op: VLogical, arrangement: Arrangement, vd: V, vn: V, vm: V) {
        self.push(Insn::VLogical { op, arrangement, vd, vn, vm });
    }

    /// `ext vd, vn, vm, #index`: the bytes of `vm:vn` from `index` on; 8B or 16B.
    pub fn ext(&mut self, arrangement: Arrangement, vd: V, vn: V, vm: V, index: u8) {
        self.push(Insn::Ext { arrangement, vd, vn, vm, index });
    }

    /// `ldr vt, mem`, which clears the rest of the register.
    pub fn v_load(&mut self, size: Scalar, vt: V, mem: Mem) {
        self.push(Insn::VLoad { size, vt, mem });
    }

    /// `str vt, mem`.
    pub fn v_store(&mut self, size: Scalar, vt: V, mem: Mem) {
        self.push(Insn::VStore { size, vt, mem });
    }

    /// `ldp vt, vt2, mem`: S, D or Q.
    pub fn v_load_pair(&mut self, size: Scalar, vt: V, vt2: V, mem: Mem) {
        self.push(Insn::VLoadPair { size, vt, vt2, mem });
    }

    /// `stp vt, vt2, mem`: S, D or Q.
    pub fn v_store_pair(&mut self, size: Scalar, vt: V, vt2: V, mem: Mem) {
        self.push(Insn::VStorePair { size, vt, vt2, mem });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insns(assembler: &Assembler) -> Vec<Insn> {
        assembler.finish().expect("it assembles").insns.into_iter().map(|(_, insn)| insn).collect()
    }

    #[test]
    fn labels_go_forward_and_backward() {
        let mut a = Assembler::new();
        let (top, end) = (a.label(), a.label());
        a.bind(top);
        a.cbz(Width::X, Gpr::X0, end);
        a.sub_imm(Width::X, Gpr::X0, Gpr::X0, 1);
        a.b(top);
        a.bind(end);
        a.ret();
        let code = a.finish().expect("it assembles");
        let listing = code.listing();
        let listing: Vec<_> = listing.iter().map(|(offset, text)| (*offset, text.as_str())).collect();
        assert_eq!(listing, [(0, "cbz x0, .+12"), (4, "sub x0, x0, #1"), (8, "b .-8"), (12, "ret")]);
        assert_eq!(code.words().collect::<Vec<_>>(), [0xb400_0060, 0xd100_0400, 0x17ff_fffe, 0xd65f_03c0]);
    }

    #[test]
    fn a_label_binds_before_the_next_instruction_and_at_the_end() {
        let mut a = Assembler::new();
        let (here, end) = (a.label(), a.label());
        a.bind(here);
        a.adr(Gpr::X0, here);
        a.adr(Gpr::X1, end);
        a.bind(end);
        assert_eq!(insns(&a), [Insn::Adr { rd: Gpr::X0, offset: 0 }, Insn::Adr { rd: Gpr::X1, offset: 4 }]);
    }

    #[test]
    fn wrong_labels_are_errors() {
        let mut a = Assembler::new();
        let label = a.label();
        a.b(label);
        assert_eq!(a.finish(), Err(AssembleError::Unbound(label)));
        a.bind(label);
        assert!(a.finish().is_ok());
        a.bind(label);
        assert_eq!(a.finish(), Err(AssembleError::BoundTwice(label)));
        let mut a = Assembler::new();
        let label = a.label();
        a.bind(label);
        a.push_to(Insn::Isb, label);
        assert_eq!(a.finish(), Err(AssembleError::NoOffset { index: 0, text: "isb".to_owned() }));
    }

    #[test]
    fn a_branch_out_of_reach_goes_around_a_b() {
        // TBZ reaches 32764 bytes, so 8190 instructions between it and its label are the most.
        for (between, expanded) in [(8190, false), (8191, true)] {
            let mut a = Assembler::new();
            let far = a.label();
            a.tbz(Gpr::X3, 40, far);
            for _ in 0..between {
                a.nop();
            }
            a.bind(far);
            a.ret();
            let insns = insns(&a);
            let distance = 4 * (between + 1);
            if expanded {
                let around = Insn::TestBranch { nonzero: true, rt: Gpr::X3, bit: 40, offset: 8 };
                assert_eq!(insns[..2], [around, Insn::B { offset: distance }]);
            } else {
                let direct = Insn::TestBranch { nonzero: false, rt: Gpr::X3, bit: 40, offset: distance };
                assert_eq!(insns[..2], [direct, Insn::Hint(Hint::Nop)]);
            }
        }
    }

    #[test]
    fn one_expansion_pushes_another_out_of_reach() {
        // The inner branch is just within reach until the outer one, between it and its label, takes another word.
        let mut a = Assembler::new();
        let (back, far) = (a.label(), a.label());
        a.bind(back);
        for _ in 0..8190 {
            a.nop();
        }
        a.tbz(Gpr::X0, 0, far);
        a.nop();
        a.tbnz(Gpr::X1, 1, back);
        for _ in 0..8192 {
            a.nop();
        }
        a.bind(far);
        let insns = insns(&a);
        assert_eq!(insns.len(), 8190 + 2 + 1 + 2 + 8192);
        assert_eq!(insns[8191], Insn::B { offset: 4 * (1 + 1 + 2 + 8192) });
        assert_eq!(insns[8194], Insn::B { offset: -4 * 8194 });
    }

    #[test]
    fn a_far_branch_that_always_branches_becomes_a_b() {
        let mut a = Assembler::new();
        let far = a.label();
        a.b_cond(Cond::Al, far);
        for _ in 0..1 << 18 {
            a.nop();
        }
        a.bind(far);
        assert_eq!(insns(&a)[..2], [Insn::B { offset: (1 << 20) + 4 }, Insn::Hint(Hint::Nop)]);
    }

    #[test]
    fn refused_operands_are_reported_with_their_place() {
        let mut a = Assembler::new();
        a.nop();
        a.add_imm(Width::X, Gpr::X0, Gpr::X1, 4097);
        let message = a.finish().unwrap_err().to_string();
        assert_eq!(message, "instruction 1, `add x0, x1, #4097`: immediate 4097 is not a multiple of 4096");
        let mut a = Assembler::new();
        a.nop();
        a.ror_imm(Width::W, Gpr::X0, Gpr::X1, 32);
        a.nop();
        let message = a.finish().unwrap_err().to_string();
        assert_eq!(message, "instruction 1, `ror`: amount 32 is not in 0..=31");
    }

    #[test]
    fn instructions_can_be_taken_out_patched_and_put_back() {
        let mut a = Assembler::new();
        let end = a.label();
        a.cbnz(Width::W, Gpr::X2, end);
        a.mov_imm64(Gpr::X0, 0x1234_5678_9abc_def0);
        a.bind(end);
        a.ret();
        let again = Assembler::from_items(a.items().to_vec());
        assert_eq!(again.finish(), a.finish());
        let resolved = insns(&a);
        assert_eq!(Assembler::from_insns(resolved.clone()).finish(), a.finish());
        assert_eq!((a.len(), resolved.len(), a.is_empty()), (6, 6, false));
        let mut fresh = Assembler::from_items(a.items().to_vec());
        assert_ne!(fresh.label(), end);
    }

    /// Every method by the text of what it appends; `here` is bound right before.
    #[test]
    fn methods_append_what_they_are_named_for() {
        type Call = fn(&mut Assembler, Label);
        #[rustfmt::skip]
        let calls: &[(Call, &str)] = &[
            (|a, _| a.movz(Width::X, Gpr::X1, 0x1234, 16), "movz x1, #0x1234, lsl #16"),
            (|a, _| a.movn(Width::W, Gpr::X1, 1, 0), "movn w1, #0x1"),
            (|a, _| a.movk(Width::X, Gpr::X1, 1, 0), "movk x1, #0x1, lsl #0"),
            (|a, _| a.mov(Width::X, Gpr::X1, Gpr::X2), "mov x1, x2"),
            (|a, _| a.mvn(Width::X, Gpr::X1, Gpr::X2), "mvn x1, x2"),
            (|a, _| a.mov_imm(Width::W, Gpr::X1, 0xffff_ffff_0000_0005), "movz w1, #0x5"),
            (|a, _| a.mov_imm64(Gpr::X1, 1 << 40), "movz x1, #0x100, lsl #32"),
            (|a, _| a.add(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "add x1, x2, x3"),
            (|a, _| a.add_imm(Width::X, Gpr::X1, Gpr::Sp, 16), "add x1, sp, #16"),
            (|a, _| a.add_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsr, 5), "add x1, x2, x3, lsr #5"),
            (|a, _| a.add_extended(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Extend::Uxtb, 2), "add x1, x2, w3, uxtb #2"),
            (|a, _| a.adds(Width::W, Gpr::X1, Gpr::X2, Gpr::X3), "adds w1, w2, w3"),
            (|a, _| a.adds_imm(Width::W, Gpr::X1, Gpr::X2, 1), "adds w1, w2, #1"),
            (|a, _| a.adds_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Asr, 5), "adds x1, x2, x3, asr #5"),
            (|a, _| a.adds_extended(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Extend::Sxtw, 0), "adds x1, x2, w3, sxtw"),
            (|a, _| a.sub(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "sub x1, x2, x3"),
            (|a, _| a.sub_imm(Width::X, Gpr::X1, Gpr::X2, 0x5000), "sub x1, x2, #5, lsl #12"),
            (|a, _| a.sub_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 5), "sub x1, x2, x3, lsl #5"),
            (|a, _| a.sub_extended(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Extend::Uxtx, 0), "sub x1, x2, x3, uxtx"),
            (|a, _| a.subs(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "subs x1, x2, x3"),
            (|a, _| a.subs_imm(Width::X, Gpr::X1, Gpr::X2, 2), "subs x1, x2, #2"),
            (|a, _| a.subs_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 5), "subs x1, x2, x3, lsl #5"),
            (|a, _| a.subs_extended(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Extend::Uxth, 1), "subs x1, x2, w3, uxth #1"),
            (|a, _| a.cmp(Width::X, Gpr::X1, Gpr::X2), "cmp x1, x2"),
            (|a, _| a.cmp_imm(Width::X, Gpr::X1, 3), "cmp x1, #3"),
            (|a, _| a.cmp_extended(Width::X, Gpr::X1, Gpr::X2, Extend::Sxtb, 0), "cmp x1, w2, sxtb"),
            (|a, _| a.cmn(Width::X, Gpr::X1, Gpr::X2), "cmn x1, x2"),
            (|a, _| a.cmn_imm(Width::X, Gpr::X1, 3), "cmn x1, #3"),
            (|a, _| a.cmn_extended(Width::X, Gpr::X1, Gpr::X2, Extend::Sxth, 0), "cmn x1, w2, sxth"),
            (|a, _| a.neg(Width::X, Gpr::X1, Gpr::X2), "neg x1, x2"),
            (|a, _| a.negs(Width::X, Gpr::X1, Gpr::X2), "negs x1, x2"),
            (|a, _| a.adc(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "adc x1, x2, x3"),
            (|a, _| a.adcs(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "adcs x1, x2, x3"),
            (|a, _| a.sbc(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "sbc x1, x2, x3"),
            (|a, _| a.sbcs(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "sbcs x1, x2, x3"),
            (|a, _| a.and(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "and x1, x2, x3"),
            (|a, _| a.and_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Ror, 5), "and x1, x2, x3, ror #5"),
            (|a, _| a.and_imm(Width::X, Gpr::X1, Gpr::X2, 0xff), "and x1, x2, #0xff"),
            (|a, _| a.bic(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "bic x1, x2, x3"),
            (|a, _| a.bic_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Ror, 5), "bic x1, x2, x3, ror #5"),
            (|a, _| a.orr(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "orr x1, x2, x3"),
            (|a, _| a.orr_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 32), "orr x1, x2, x3, lsl #32"),
            (|a, _| a.orr_imm(Width::W, Gpr::X1, Gpr::X2, 0x5555_5555), "orr w1, w2, #0x55555555"),
            (|a, _| a.orn(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "orn x1, x2, x3"),
            (|a, _| a.orn_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 1), "orn x1, x2, x3, lsl #1"),
            (|a, _| a.eor(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "eor x1, x2, x3"),
            (|a, _| a.eor_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 1), "eor x1, x2, x3, lsl #1"),
            (|a, _| a.eor_imm(Width::X, Gpr::X1, Gpr::X2, 1), "eor x1, x2, #0x1"),
            (|a, _| a.eon(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "eon x1, x2, x3"),
            (|a, _| a.eon_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 1), "eon x1, x2, x3, lsl #1"),
            (|a, _| a.ands(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "ands x1, x2, x3"),
            (|a, _| a.ands_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 1), "ands x1, x2, x3, lsl #1"),
            (|a, _| a.ands_imm(Width::X, Gpr::X1, Gpr::X2, 1), "ands x1, x2, #0x1"),
            (|a, _| a.bics(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "bics x1, x2, x3"),
            (|a, _| a.bics_shifted(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Shift::Lsl, 1), "bics x1, x2, x3, lsl #1"),
            (|a, _| a.tst(Width::X, Gpr::X1, Gpr::X2), "tst x1, x2"),
            (|a, _| a.tst_imm(Width::X, Gpr::X1, 2), "tst x1, #0x2"),
            (|a, _| a.lsl(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "lsl x1, x2, x3"),
            (|a, _| a.lsr(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "lsr x1, x2, x3"),
            (|a, _| a.asr(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "asr x1, x2, x3"),
            (|a, _| a.ror(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "ror x1, x2, x3"),
            (|a, _| a.lsl_imm(Width::X, Gpr::X1, Gpr::X2, 3), "lsl x1, x2, #3"),
            (|a, _| a.lsr_imm(Width::X, Gpr::X1, Gpr::X2, 3), "lsr x1, x2, #3"),
            (|a, _| a.asr_imm(Width::X, Gpr::X1, Gpr::X2, 3), "asr x1, x2, #3"),
            (|a, _| a.ror_imm(Width::X, Gpr::X1, Gpr::X2, 3), "ror x1, x2, #3"),
            (|a, _| a.sbfm(Width::X, Gpr::X1, Gpr::X2, 3, 5), "sbfx x1, x2, #3, #3"),
            (|a, _| a.bfm(Width::X, Gpr::X1, Gpr::X2, 3, 5), "bfxil x1, x2, #3, #3"),
            (|a, _| a.ubfm(Width::X, Gpr::X1, Gpr::X2, 3, 5), "ubfx x1, x2, #3, #3"),
            (|a, _| a.ubfx(Width::X, Gpr::X1, Gpr::X2, 3, 5), "ubfx x1, x2, #3, #5"),
            (|a, _| a.sbfx(Width::X, Gpr::X1, Gpr::X2, 3, 5), "sbfx x1, x2, #3, #5"),
            (|a, _| a.bfxil(Width::X, Gpr::X1, Gpr::X2, 3, 5), "bfxil x1, x2, #3, #5"),
            (|a, _| a.ubfiz(Width::X, Gpr::X1, Gpr::X2, 3, 5), "ubfiz x1, x2, #3, #5"),
            (|a, _| a.sbfiz(Width::X, Gpr::X1, Gpr::X2, 3, 5), "sbfiz x1, x2, #3, #5"),
            (|a, _| a.bfi(Width::X, Gpr::X1, Gpr::X2, 3, 5), "bfi x1, x2, #3, #5"),
            (|a, _| a.sxtb(Width::X, Gpr::X1, Gpr::X2), "sxtb x1, w2"),
            (|a, _| a.sxth(Width::W, Gpr::X1, Gpr::X2), "sxth w1, w2"),
            (|a, _| a.sxtw(Gpr::X1, Gpr::X2), "sxtw x1, w2"),
            (|a, _| a.uxtb(Gpr::X1, Gpr::X2), "uxtb w1, w2"),
            (|a, _| a.uxth(Gpr::X1, Gpr::X2), "uxth w1, w2"),
            (|a, _| a.uxtw(Gpr::X1, Gpr::X2), "mov w1, w2"),
            (|a, _| a.extr(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, 7), "extr x1, x2, x3, #7"),
            (|a, _| a.rbit(Width::X, Gpr::X1, Gpr::X2), "rbit x1, x2"),
            (|a, _| a.rev16(Width::X, Gpr::X1, Gpr::X2), "rev16 x1, x2"),
            (|a, _| a.rev(Width::X, Gpr::X1, Gpr::X2), "rev x1, x2"),
            (|a, _| a.rev32(Gpr::X1, Gpr::X2), "rev32 x1, x2"),
            (|a, _| a.clz(Width::X, Gpr::X1, Gpr::X2), "clz x1, x2"),
            (|a, _| a.cls(Width::X, Gpr::X1, Gpr::X2), "cls x1, x2"),
            (|a, _| a.crc32(Size::B8, Gpr::X1, Gpr::X2, Gpr::X3), "crc32x w1, w2, x3"),
            (|a, _| a.crc32c(Size::B2, Gpr::X1, Gpr::X2, Gpr::X3), "crc32ch w1, w2, w3"),
            (|a, _| a.madd(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4), "madd x1, x2, x3, x4"),
            (|a, _| a.msub(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4), "msub x1, x2, x3, x4"),
            (|a, _| a.mul(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "mul x1, x2, x3"),
            (|a, _| a.mneg(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "mneg x1, x2, x3"),
            (|a, _| a.smaddl(Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4), "smaddl x1, w2, w3, x4"),
            (|a, _| a.smsubl(Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4), "smsubl x1, w2, w3, x4"),
            (|a, _| a.umaddl(Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4), "umaddl x1, w2, w3, x4"),
            (|a, _| a.umsubl(Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4), "umsubl x1, w2, w3, x4"),
            (|a, _| a.smull(Gpr::X1, Gpr::X2, Gpr::X3), "smull x1, w2, w3"),
            (|a, _| a.umull(Gpr::X1, Gpr::X2, Gpr::X3), "umull x1, w2, w3"),
            (|a, _| a.smulh(Gpr::X1, Gpr::X2, Gpr::X3), "smulh x1, x2, x3"),
            (|a, _| a.umulh(Gpr::X1, Gpr::X2, Gpr::X3), "umulh x1, x2, x3"),
            (|a, _| a.udiv(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "udiv x1, x2, x3"),
            (|a, _| a.sdiv(Width::X, Gpr::X1, Gpr::X2, Gpr::X3), "sdiv x1, x2, x3"),
            (|a, _| a.csel(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Cond::Hi), "csel x1, x2, x3, hi"),
            (|a, _| a.csinc(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Cond::Hi), "csinc x1, x2, x3, hi"),
            (|a, _| a.csinv(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Cond::Hi), "csinv x1, x2, x3, hi"),
            (|a, _| a.csneg(Width::X, Gpr::X1, Gpr::X2, Gpr::X3, Cond::Hi), "csneg x1, x2, x3, hi"),
            (|a, _| a.cset(Width::X, Gpr::X1, Cond::Hi), "cset x1, hi"),
            (|a, _| a.csetm(Width::X, Gpr::X1, Cond::Hi), "csetm x1, hi"),
            (|a, _| a.ccmp(Width::X, Gpr::X1, Gpr::X2, 3, Cond::Eq), "ccmp x1, x2, #3, eq"),
            (|a, _| a.ccmp_imm(Width::X, Gpr::X1, 2, 3, Cond::Eq), "ccmp x1, #2, #3, eq"),
            (|a, _| a.ccmn(Width::X, Gpr::X1, Gpr::X2, 3, Cond::Eq), "ccmn x1, x2, #3, eq"),
            (|a, _| a.ccmn_imm(Width::X, Gpr::X1, 2, 3, Cond::Eq), "ccmn x1, #2, #3, eq"),
            (|a, _| a.load(Size::B4, Gpr::X1, Mem::base(Gpr::X2)), "ldr w1, [x2]"),
            (|a, _| a.load_signed(Width::W, Size::B2, Gpr::X1, Mem::base(Gpr::X2)), "ldrsh w1, [x2]"),
            (|a, _| a.store(Size::B8, Gpr::X1, Mem::base(Gpr::X2)), "str x1, [x2]"),
            (|a, _| a.ldr(Width::X, Gpr::X1, Mem::offset(Gpr::X2, -8)), "ldr x1, [x2, #-8]"),
            (|a, _| a.ldrb(Gpr::X1, Mem::index(Gpr::X2, Gpr::X3)), "ldrb w1, [x2, x3]"),
            (|a, _| a.ldrh(Gpr::X1, Mem::base(Gpr::X2)), "ldrh w1, [x2]"),
            (|a, _| a.ldrsb(Width::X, Gpr::X1, Mem::base(Gpr::X2)), "ldrsb x1, [x2]"),
            (|a, _| a.ldrsh(Width::X, Gpr::X1, Mem::base(Gpr::X2)), "ldrsh x1, [x2]"),
            (|a, _| a.ldrsw(Gpr::X1, Mem::base(Gpr::X2)), "ldrsw x1, [x2]"),
            (|a, _| a.str(Width::W, Gpr::X1, Mem::base(Gpr::X2)), "str w1, [x2]"),
            (|a, _| a.strb(Gpr::X1, Mem::base(Gpr::X2)), "strb w1, [x2]"),
            (|a, _| a.strh(Gpr::X1, Mem::base(Gpr::X2)), "strh w1, [x2]"),
            (|a, _| a.ldp(Width::X, Gpr::X1, Gpr::X2, Mem::post(Gpr::X3, 16)), "ldp x1, x2, [x3], #16"),
            (|a, _| a.stp(Width::X, Gpr::X1, Gpr::X2, Mem::pre(Gpr::X3, -16)), "stp x1, x2, [x3, #-16]!"),
            (|a, _| a.prfm(Prefetch::PstL2Keep, Mem::base(Gpr::X2)), "prfm pstl2keep, [x2]"),
            (|a, _| a.ldxr(Size::B8, Gpr::X1, Gpr::X2), "ldxr x1, [x2]"),
            (|a, _| a.ldaxr(Size::B1, Gpr::X1, Gpr::X2), "ldaxrb w1, [x2]"),
            (|a, _| a.ldar(Size::B2, Gpr::X1, Gpr::X2), "ldarh w1, [x2]"),
            (|a, _| a.ldapr(Size::B4, Gpr::X1, Gpr::X2), "ldapr w1, [x2]"),
            (|a, _| a.stlr(Size::B8, Gpr::X1, Gpr::X2), "stlr x1, [x2]"),
            (|a, _| a.stxr(Size::B8, Gpr::X1, Gpr::X2, Gpr::X3), "stxr w1, x2, [x3]"),
            (|a, _| a.stlxr(Size::B8, Gpr::X1, Gpr::X2, Gpr::X3), "stlxr w1, x2, [x3]"),
            (|a, _| a.ldadd(Size::B8, Order::Relaxed, Gpr::X1, Gpr::X2, Gpr::X3), "ldadd x1, x2, [x3]"),
            (|a, _| a.ldclr(Size::B4, Order::Acquire, Gpr::X1, Gpr::X2, Gpr::X3), "ldclra w1, w2, [x3]"),
            (|a, _| a.ldeor(Size::B1, Order::Release, Gpr::X1, Gpr::X2, Gpr::X3), "ldeorlb w1, w2, [x3]"),
            (|a, _| a.ldset(Size::B8, Order::AcquireRelease, Gpr::X1, Gpr::X2, Gpr::X3), "ldsetal x1, x2, [x3]"),
            (|a, _| a.swp(Size::B8, Order::Relaxed, Gpr::X1, Gpr::X2, Gpr::X3), "swp x1, x2, [x3]"),
            (|a, _| a.cas(Size::B8, Order::AcquireRelease, Gpr::X1, Gpr::X2, Gpr::X3), "casal x1, x2, [x3]"),
            (|a, _| a.dmb(BarrierScope::Ish), "dmb ish"),
            (|a, _| a.dsb(BarrierScope::Sy), "dsb sy"),
            (|a, _| a.isb(), "isb"),
            (|a, _| a.sb(), "sb"),
            (|a, here| a.ldr_literal(Width::X, Gpr::X1, here), "ldr x1, .+0"),
            (|a, here| a.adr(Gpr::X1, here), "adr x1, .+0"),
            (|a, here| a.b(here), "b .+0"),
            (|a, here| a.bl(here), "bl .+0"),
            (|a, here| a.b_cond(Cond::Ne, here), "b.ne .+0"),
            (|a, here| a.cbz(Width::X, Gpr::X1, here), "cbz x1, .+0"),
            (|a, here| a.cbnz(Width::W, Gpr::X1, here), "cbnz w1, .+0"),
            (|a, here| a.tbz(Gpr::X1, 31, here), "tbz w1, #31, .+0"),
            (|a, here| a.tbnz(Gpr::X1, 32, here), "tbnz x1, #32, .+0"),
            (|a, _| a.br(Gpr::X1), "br x1"),
            (|a, _| a.blr(Gpr::X1), "blr x1"),
            (|a, _| a.ret(), "ret"),
            (|a, _| a.nop(), "nop"),
            (|a, _| a.hint(Hint::BtiC), "bti c"),
            (|a, _| a.svc(0), "svc #0"),
            (|a, _| a.brk(5), "brk #5"),
            (|a, _| a.mrs(Gpr::X1, SysReg::Nzcv), "mrs x1, nzcv"),
            (|a, _| a.msr(SysReg::Nzcv, Gpr::X1), "msr nzcv, x1"),
            (|a, _| a.fmov_to_gpr(FmovLane::D, Gpr::X1, V::V2), "fmov x1, d2"),
            (|a, _| a.fmov_from_gpr(FmovLane::UpperD, V::V1, Gpr::X2), "fmov v1.d[1], x2"),
            (|a, _| a.cnt(Arrangement::B8, V::V1, V::V2), "cnt v1.8b, v2.8b"),
            (|a, _| a.addv(Arrangement::B8, V::V1, V::V2), "addv b1, v2.8b"),
            (|a, _| a.uaddlv(Arrangement::B16, V::V1, V::V2), "uaddlv h1, v2.16b"),
            (|a, _| a.pmull(PmullForm::Doubleword, V::V1, V::V2, V::V3), "pmull v1.1q, v2.1d, v3.1d"),
            (|a, _| a.pmull2(PmullForm::Bytes, V::V1, V::V2, V::V3), "pmull2 v1.8h, v2.16b, v3.16b"),
            (|a, _| a.umov(Scalar::H, Gpr::X1, V::V2, 3), "umov w1, v2.h[3]"),
            (|a, _| a.ins_gpr(Scalar::D, V::V1, 1, Gpr::X2), "ins v1.d[1], x2"),
            (|a, _| a.ins_lane(Scalar::S, V::V1, 1, V::V2, 3), "ins v1.s[1], v2.s[3]"),
            (|a, _| a.dup_gpr(Arrangement::D2, V::V1, Gpr::X2), "dup v1.2d, x2"),
            (|a, _| a.dup_lane(Arrangement::H8, V::V1, V::V2, 7), "dup v1.8h, v2.h[7]"),
            (|a, _| a.movi_zero(V::V1), "movi v1.2d, #0"),
            (|a, _| a.v_logical(VLogical::Eor, Arrangement::B16, V::V1, V::V2, V::V3), "eor v1.16b, v2.16b, v3.16b"),
            (|a, _| a.ext(Arrangement::B16, V::V1, V::V2, V::V3, 8), "ext v1.16b, v2.16b, v3.16b, #8"),
            (|a, _| a.v_load(Scalar::Q, V::V1, Mem::base(Gpr::X2)), "ldr q1, [x2]"),
            (|a, _| a.v_store(Scalar::D, V::V1, Mem::base(Gpr::X2)), "str d1, [x2]"),
            (|a, _| a.v_load_pair(Scalar::D, V::V1, V::V2, Mem::base(Gpr::X3)), "ldp d1, d2, [x3]"),
            (|a, _| a.v_store_pair(Scalar::S, V::V1, V::V2, Mem::base(Gpr::X3)), "stp s1, s2, [x3]"),
        ];
        for (call, text) in calls {
            let mut a = Assembler::new();
            let here = a.label();
            a.bind(here);
            call(&mut a, here);
            let texts: Vec<String> = insns(&a).iter().map(Insn::to_string).collect();
            assert_eq!(texts, [*text]);
        }
    }
}
