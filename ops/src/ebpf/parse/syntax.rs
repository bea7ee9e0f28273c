// SPDX-License-Identifier: GPL-2.0-or-later
//! The syntax of one instruction, by recursive descent.

use std::ops::RangeInclusive;

use super::super::display::IMM64_KINDS;
use super::super::insn::{
    AluOp, AtomicOp, CallTarget, Cond, EndKind, Insn, Operand, PAYLOAD_BITS, Size, Width,
};
use super::super::register::Reg;
use super::cursor::{Cursor, Failure, I16, I32, Use, named};

/// An instruction, and the label that its offset is still to be taken from.
type Parsed<'a> = (Insn, Option<Use<'a>>);

/// The left side of an assignment.
#[derive(Clone, Copy)]
struct Target {
    width: Width,
    register: Reg,
    at: usize,
}

impl Target {
    /// Fails unless the target is named as `width` has it.
    fn require(self, width: Width) -> Result<(), Failure> {
        match (self.width == width, width) {
            (true, _) => Ok(()),
            (false, Width::W32) => Err(Failure::expected(self.at, "a 32-bit register, w0 to w10")),
            (false, Width::W64) => Err(Failure::expected(self.at, "a 64-bit register, r0 to r10")),
        }
    }

    /// Fails unless the target may receive a zero-extended value of `size`: smaller ones go by either name.
    fn require_for(self, size: Size) -> Result<(), Failure> {
        if size == Size::B8 { self.require(Width::W64) } else { Ok(()) }
    }
}

/// The size that a type such as `u8` or `s32` names, and whether it is signed.
fn access_type(name: &str) -> Option<(Size, bool)> {
    match name {
        "u8" => Some((Size::B1, false)),
        "u16" => Some((Size::B2, false)),
        "u32" => Some((Size::B4, false)),
        "u64" => Some((Size::B8, false)),
        "s8" => Some((Size::B1, true)),
        "s16" => Some((Size::B2, true)),
        "s32" => Some((Size::B4, true)),
        _ => None,
    }
}

/// What an immediate may be: 32-bit operations take it unsigned, too, since its extension does not matter there.
fn immediates(width: Width) -> RangeInclusive<i128> {
    match width {
        Width::W32 => i32::MIN.into()..=u32::MAX.into(),
        Width::W64 => I32,
    }
}

/// How an atomic function names its memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// LLVM's exchanges: the size is in the name.
    Sized(Size),
    /// LLVM's fetches and bpftool's 32-bit forms: a pointer type says the size.
    Typed,
    /// bpftool's 64-bit forms: both.
    Typed64,
}

fn atomic_function(name: &str) -> Option<(AtomicOp, Naming)> {
    match name {
        "xchg_64" => return Some((AtomicOp::Xchg, Naming::Sized(Size::B8))),
        "xchg32_32" => return Some((AtomicOp::Xchg, Naming::Sized(Size::B4))),
        "cmpxchg_64" => return Some((AtomicOp::CmpXchg, Naming::Sized(Size::B8))),
        "cmpxchg32_32" => return Some((AtomicOp::CmpXchg, Naming::Sized(Size::B4))),
        _ => {}
    }
    let typed = name.strip_prefix("atomic_").map(|symbol| (symbol, Naming::Typed));
    let (symbol, naming) =
        typed.or(name.strip_prefix("atomic64_").map(|symbol| (symbol, Naming::Typed64)))?;
    let functions = [
        AtomicOp::FetchAdd,
        AtomicOp::FetchOr,
        AtomicOp::FetchAnd,
        AtomicOp::FetchXor,
        AtomicOp::Xchg,
        AtomicOp::CmpXchg,
    ];
    functions.into_iter().find(|op| op.symbol() == symbol).map(|op| (op, naming))
}

/// The conversion that a name such as `be16` or `bswap64` stands for.
fn conversion(name: &str) -> Option<(EndKind, u8)> {
    EndKind::ALL.into_iter().find_map(|kind| match name.strip_prefix(kind.name())? {
        "16" => Some((kind, 16)),
        "32" => Some((kind, 32)),
        "64" => Some((kind, 64)),
        _ => None,
    })
}

impl<'a> Cursor<'a> {
    /// One instruction.
    pub(super) fn instruction(&mut self) -> Result<Parsed<'a>, Failure> {
        let at = self.position();
        if self.eat("*") {
            return Ok((self.store()?, None));
        }
        let word = self.word();
        if let Some((width, register)) = named(word) {
            return Ok((self.assignment(Target { width, register, at })?, None));
        }
        let insn = match word {
            "if" => return self.conditional_jump(),
            "goto" => return self.jump(Insn::Ja { off: 0 }),
            "gotol" => return self.jump(Insn::Gotol { off: 0 }),
            "may_goto" => return self.jump(Insn::MayGoto { off: 0 }),
            "call" => return self.call(),
            "callx" => Insn::Call { target: CallTarget::Register(self.register(Width::W64)?) },
            "lock" => self.update()?,
            "store_release" => self.store_release()?,
            "sidecar" => {
                Insn::Sidecar { payload: self.number("a payload", 0..=(1 << PAYLOAD_BITS) - 1)? as u64 }
            }
            "exit" => Insn::Exit,
            _ => return Err(Failure::expected(at, "an instruction")),
        };
        Ok((insn, None))
    }

    fn conditional_jump(&mut self) -> Result<Parsed<'a>, Failure> {
        let (width, dst) = self.any_register()?;
        let Some(cond) = self.longest(Cond::ALL, Cond::symbol) else {
            return self.expected("a comparison such as `==` or `s<`");
        };
        let src = self.operand(width)?;
        self.expect_word("goto")?;
        self.jump(Insn::Jump { cond, width, dst, src, off: 0 })
    }

    /// The target of `insn`, a jump: an offset, or a label. What llvm-objdump prints after it in `<>` is skipped.
    fn jump(&mut self, insn: Insn) -> Result<Parsed<'a>, Failure> {
        const TARGET: &str = "a jump offset such as `+3`, or a label";
        let at = self.position();
        let parsed = if self.eat_word("pc") || self.starts_with("+") || self.starts_with("-") {
            let offset = self.signed("a jump offset", I32)? as i32;
            let insn = insn.with_branch_offset(offset);
            (insn.ok_or_else(|| Failure::range(at, "a jump offset", I16))?, None)
        } else {
            (insn, Some(self.label_use(TARGET)?))
        };
        if self.eat("<") {
            self.skip_past('>');
        }
        Ok(parsed)
    }

    fn label_use(&mut self, what: &str) -> Result<Use<'a>, Failure> {
        let at = self.position();
        let name = self.word();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Failure::expected(at, what));
        }
        Ok(Use { name, at })
    }

    fn call(&mut self) -> Result<Parsed<'a>, Failure> {
        let target = if self.eat_word("pc") {
            CallTarget::Local(self.signed("a call offset", I32)? as i32)
        } else if self.eat_word("kfunc") {
            let id = self.number_i32("a BTF id")?;
            let off = if self.eat_word("off") { self.number_i16("an index of a BTF")? } else { 0 };
            CallTarget::Kfunc { id, off }
        } else if self.eat_word("kop") {
            let id = self.number_i32("a BTF id")?;
            self.expect_word("slot")?;
            CallTarget::Kop { id, slot: self.number_i16("a descriptor slot")? }
        } else if self.starts_with("-") || self.rest_is_number() {
            CallTarget::Helper(self.number_i32("a helper id")?)
        } else {
            let label = self.label_use("a helper id, `pc+N`, `kfunc N`, `kop N slot N`, or a label")?;
            return Ok((Insn::Call { target: CallTarget::Local(0) }, Some(label)));
        };
        Ok((Insn::Call { target }, None))
    }

    fn rest_is_number(&mut self) -> bool {
        self.peek_word().starts_with(|c: char| c.is_ascii_digit())
    }

    fn number_i32(&mut self, what: &'static str) -> Result<i32, Failure> {
        Ok(self.number(what, I32)? as i32)
    }

    fn number_i16(&mut self, what: &'static str) -> Result<i16, Failure> {
        Ok(self.number(what, I16)? as i16)
    }

    fn immediate(&mut self, width: Width) -> Result<i32, Failure> {
        Ok(self.number("a register or an immediate", immediates(width))? as i32)
    }

    /// A source operand at `width`.
    fn operand(&mut self, width: Width) -> Result<Operand, Failure> {
        match named(self.peek_word()) {
            Some(_) => Ok(Operand::Reg(self.register(width)?)),
            None => Ok(Operand::Imm(self.immediate(width)?)),
        }
    }

    /// A register that holds a value of `size`; smaller ones go by either name.
    fn value_register(&mut self, size: Size) -> Result<Reg, Failure> {
        if size == Size::B8 { self.register(Width::W64) } else { Ok(self.any_register()?.1) }
    }

    /// `(u64 *)`: the size, and whether the type is signed.
    fn pointer(&mut self) -> Result<(Size, bool), Failure> {
        self.expect("(")?;
        let pointee = self.word_meaning("a type, u8 to u64 or s8 to s32", access_type)?;
        self.expect("*")?;
        self.expect(")")?;
        Ok(pointee)
    }

    /// `(u64 *)` of an unsigned type of at least `least`.
    fn unsigned_pointer(&mut self, least: Size) -> Result<Size, Failure> {
        let at = self.position();
        match self.pointer()? {
            (size, false) if size >= least => Ok(size),
            _ => Err(Failure::expected(
                at,
                match least {
                    Size::B1 => "a pointer to u8, u16, u32 or u64",
                    Size::B2 => "a pointer to u16, u32 or u64",
                    Size::B4 => "a pointer to u32 or u64",
                    Size::B8 => "a pointer to u64",
                },
            )),
        }
    }

    /// `r2 + 8`, the offset optional.
    fn address(&mut self) -> Result<(Reg, i16), Failure> {
        let base = self.register(Width::W64)?;
        let has_offset = self.starts_with("+") || self.starts_with("-");
        let off = if has_offset { self.signed("an address offset", I16)? as i16 } else { 0 };
        Ok((base, off))
    }

    fn parenthesised_address(&mut self) -> Result<(Reg, i16), Failure> {
        self.expect("(")?;
        let address = self.address()?;
        self.expect(")")?;
        Ok(address)
    }

    /// `(u64 *)(r1 + 0) = r2`, after the star.
    fn store(&mut self) -> Result<Insn, Failure> {
        let size = self.unsigned_pointer(Size::B1)?;
        let (base, off) = self.parenthesised_address()?;
        self.expect("=")?;
        let src = match named(self.peek_word()) {
            Some(_) => Operand::Reg(self.value_register(size)?),
            None if size == Size::B8 => Operand::Imm(self.immediate(Width::W64)?),
            None => Operand::Imm(self.immediate(Width::W32)?),
        };
        Ok(Insn::Store { size, base, off, src })
    }

    /// `*(u64 *)(r1 + 0) += r2`, after `lock`.
    fn update(&mut self) -> Result<Insn, Failure> {
        self.expect("*")?;
        let size = self.unsigned_pointer(Size::B4)?;
        let (base, off) = self.parenthesised_address()?;
        let updates = [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor];
        let Some(op) = self.longest(updates, AtomicOp::symbol) else {
            return self.expected("`+=`, `|=`, `&=` or `^=`");
        };
        self.expect("=")?;
        Ok(Insn::Atomic { op, size, base, off, src: self.value_register(size)? })
    }

    fn store_release(&mut self) -> Result<Insn, Failure> {
        self.expect("(")?;
        let size = self.unsigned_pointer(Size::B1)?;
        let (base, off) = self.parenthesised_address()?;
        self.expect(",")?;
        let src = self.value_register(size)?;
        self.expect(")")?;
        Ok(Insn::Atomic { op: AtomicOp::StoreRelease, size, base, off, src })
    }

    /// What follows the register on the left of an assignment.
    fn assignment(&mut self, dst: Target) -> Result<Insn, Failure> {
        let at = self.position();
        let ops = AluOp::ALL.into_iter().filter(|op| !op.is_sign_extension());
        let op = self.longest(ops, AluOp::symbol).unwrap_or(AluOp::Mov);
        if !self.eat("=") {
            return Err(Failure::expected(at, "an assignment such as `=` or `+=`"));
        }
        if op == AluOp::Mov {
            return self.value(dst);
        }
        Ok(Insn::alu(op, dst.width, dst.register, self.operand(dst.width)?))
    }

    /// What follows `=` after a register.
    fn value(&mut self, dst: Target) -> Result<Insn, Failure> {
        let at = self.position();
        if self.eat("*") {
            return self.load(dst);
        }
        if self.eat("(") {
            return self.sign_extension(dst);
        }
        if self.eat("-") && named(self.peek_word()).is_some() {
            self.destination(dst)?;
            return Ok(Insn::Neg { width: dst.width, dst: dst.register });
        }
        self.return_to(at);
        if named(self.peek_word()).is_some() {
            let src = self.register(dst.width)?;
            return Ok(Insn::alu(AluOp::Mov, dst.width, dst.register, src));
        }
        if self.peek_word().starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.function(dst)
        } else {
            self.constant(dst)
        }
    }

    /// The destination once more.
    fn destination(&mut self, dst: Target) -> Result<(), Failure> {
        let at = self.position();
        if self.any_register()? == (dst.width, dst.register) {
            return Ok(());
        }
        let name = format!("`{}{}`, the destination", dst.width.letter(), dst.register.index());
        Err(Failure::expected(at, name))
    }

    /// An immediate of a move, or of a 64-bit load where `ll` follows.
    fn constant(&mut self, dst: Target) -> Result<Insn, Failure> {
        let at = self.position();
        let number = self.number("a value", i64::MIN.into()..=u64::MAX.into())?;
        if self.eat_word("ll") {
            dst.require(Width::W64)?;
            return Ok(Insn::load_imm64(dst.register, number as u64));
        }
        let range = immediates(dst.width);
        if !range.contains(&number) {
            return Err(Failure::range(at, "an immediate without `ll`", range));
        }
        Ok(Insn::alu(AluOp::Mov, dst.width, dst.register, number as i32))
    }

    /// `s8)r2`, after the parenthesis.
    fn sign_extension(&mut self, dst: Target) -> Result<Insn, Failure> {
        let op = self.word_meaning("s8, s16 or s32", |name| match name {
            "s8" => Some(AluOp::MovSx8),
            "s16" => Some(AluOp::MovSx16),
            "s32" => Some(AluOp::MovSx32),
            _ => None,
        })?;
        if op == AluOp::MovSx32 {
            dst.require(Width::W64)?;
        }
        self.expect(")")?;
        let src = self.register(dst.width)?;
        Ok(Insn::alu(op, dst.width, dst.register, src))
    }

    /// `(u64 *)(r2 + 8)` or `(u8 *)skb[5]`, after the star.
    fn load(&mut self, dst: Target) -> Result<Insn, Failure> {
        let at = self.position();
        let (size, signed) = self.pointer()?;
        if self.eat_word("skb") {
            if signed || size == Size::B8 {
                return Err(Failure::expected(at, "a pointer to u8, u16 or u32"));
            }
            return self.packet_load(dst, size);
        }
        if signed {
            dst.require(Width::W64)?;
        }
        dst.require_for(size)?;
        let (base, off) = self.parenthesised_address()?;
        Ok(Insn::Load { size, signed, dst: dst.register, base, off })
    }

    /// `[5]` or `[r5 + 3]`.
    fn packet_load(&mut self, dst: Target, size: Size) -> Result<Insn, Failure> {
        if (dst.width, dst.register) != (Width::W64, Reg::R0) {
            return Err(Failure::expected(dst.at, "`r0`"));
        }
        self.expect("[")?;
        let insn = if named(self.peek_word()).is_some() {
            let src = self.register(Width::W64)?;
            let imm = if self.starts_with("]") { 0 } else { self.signed("a packet offset", I32)? as i32 };
            Insn::LoadInd { size, src, imm }
        } else {
            Insn::LoadAbs { size, imm: self.number_i32("a register or a packet offset")? }
        };
        self.expect("]")?;
        Ok(insn)
    }

    /// A value that is written as a word with operands.
    fn function(&mut self, dst: Target) -> Result<Insn, Failure> {
        let at = self.position();
        let name = self.word();
        if let Some((kind, bits)) = conversion(name) {
            dst.require(Width::W64)?;
            self.destination(dst)?;
            return Ok(Insn::End { kind, bits, dst: dst.register });
        }
        if let Some(kind) = IMM64_KINDS.into_iter().position(|kind| kind == name) {
            dst.require(Width::W64)?;
            return self.pseudo_imm64(dst.register, kind as u8);
        }
        if let Some((op, naming)) = atomic_function(name) {
            return self.atomic(dst, op, naming);
        }
        if name == AtomicOp::LoadAcquire.symbol() {
            return self.load_acquire(dst);
        }
        Err(Failure::expected(at, "a value"))
    }

    /// `(5) ll` or `(5, 8) ll`.
    fn pseudo_imm64(&mut self, dst: Reg, kind: u8) -> Result<Insn, Failure> {
        self.expect("(")?;
        let low = self.number_i32("an immediate")?;
        let high = if self.eat(",") { self.number_i32("an immediate")? } else { 0 };
        self.expect(")")?;
        self.expect_word("ll")?;
        let imm = u64::from(high as u32) << 32 | u64::from(low as u32);
        Ok(Insn::LoadImm64 { dst, kind, imm })
    }

    fn load_acquire(&mut self, dst: Target) -> Result<Insn, Failure> {
        self.expect("(")?;
        let size = self.unsigned_pointer(Size::B1)?;
        dst.require_for(size)?;
        let (base, off) = self.parenthesised_address()?;
        self.expect(")")?;
        Ok(Insn::Atomic { op: AtomicOp::LoadAcquire, size, base, off, src: dst.register })
    }

    /// The arguments of an atomic function: address, r0 for a compare-and-exchange, and value, which is the destination
    /// of all others.
    fn atomic(&mut self, dst: Target, op: AtomicOp, naming: Naming) -> Result<Insn, Failure> {
        self.expect("(")?;
        let (size, (base, off)) = match naming {
            Naming::Sized(size) => (size, self.address()?),
            Naming::Typed => (self.unsigned_pointer(Size::B4)?, self.parenthesised_address()?),
            Naming::Typed64 => (self.unsigned_pointer(Size::B8)?, self.parenthesised_address()?),
        };
        dst.require_for(size)?;
        self.expect(",")?;
        if op == AtomicOp::CmpXchg {
            if dst.register != Reg::R0 {
                return Err(Failure::expected(dst.at, "register 0, which a compare-and-exchange returns"));
            }
            self.destination(dst)?;
            self.expect(",")?;
        }
        let at = self.position();
        let src = self.value_register(size)?;
        if op != AtomicOp::CmpXchg && src != dst.register {
            self.return_to(at);
            self.destination(dst)?;
        }
        self.expect(")")?;
        Ok(Insn::Atomic { op, size, base, off, src })
    }
}
