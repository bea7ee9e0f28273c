// SPDX-License-Identifier: GPL-2.0-or-later
//! The instructions' text in Intel syntax, as Keystone and GNU as read it.

use std::fmt;

use super::insn::{Amount, Base, Insn, Mem, Operand, Rel, StringOp, XmmRm};
use super::register::Size;

/// Prints the instruction in Intel syntax, in lower case; a relative branch's target is written relative to the
/// instruction's own address, `.`.
impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::Mov { size, dst, src } => two(f, "mov", size, dst, src),
            Insn::Movabs { dst, imm } => write!(f, "movabs {dst}, {imm:#x}"),
            Insn::Movzx { size, dst, src_size, src } => {
                write!(f, "movzx {}, {}", dst.name(size), Sized(src.into(), src_size))
            }
            Insn::Movsx { size, dst, src_size, src } => {
                let mnemonic = if src_size == Size::B4 { "movsxd" } else { "movsx" };
                write!(f, "{mnemonic} {}, {}", dst.name(size), Sized(src.into(), src_size))
            }
            Insn::Lea { size, dst, mem } => write!(f, "lea {}, {mem}", dst.name(size)),
            Insn::Alu { op, size, dst, src } => two(f, op.mnemonic(), size, dst, src),
            Insn::Test { size, dst, src } => two(f, "test", size, dst, src),
            Insn::Unary { op, size, dst } => write!(f, "{} {}", op.mnemonic(), Sized(dst.into(), size)),
            Insn::Imul { size, dst, src } => two(f, "imul", size, dst, src),
            Insn::ImulImm { size, dst, src, imm } => {
                two(f, "imul", size, dst, src)?;
                write!(f, ", {imm}")
            }
            Insn::Shift { op, size, dst, amount } => {
                write!(f, "{} {}, {amount}", op.mnemonic(), Sized(dst.into(), size))
            }
            Insn::DoubleShift { op, size, dst, src, amount } => {
                two(f, op.mnemonic(), size, dst, src)?;
                write!(f, ", {amount}")
            }
            Insn::BmiRmv { op, size, dst, src, control } => {
                two(f, op.mnemonic(), size, dst, src)?;
                write!(f, ", {}", control.name(size))
            }
            Insn::BmiRvm { op, size, dst, src1, src2 } => {
                two(f, op.mnemonic(), size, dst, src1)?;
                write!(f, ", {}", Sized(src2.into(), size))
            }
            Insn::BmiVm { op, size, dst, src } => two(f, op.mnemonic(), size, dst, src),
            Insn::Rorx { size, dst, src, amount } => {
                two(f, "rorx", size, dst, src)?;
                write!(f, ", {amount}")
            }
            Insn::Count { op, size, dst, src } => two(f, op.mnemonic(), size, dst, src),
            Insn::Bswap { size, dst } => write!(f, "bswap {}", dst.name(size)),
            Insn::MovbeLoad { size, dst, src } => two(f, "movbe", size, dst, src),
            Insn::MovbeStore { size, dst, src } => two(f, "movbe", size, dst, src),
            Insn::Cmov { cond, size, dst, src } => {
                write!(f, "cmov{} {}, {}", cond.suffix(), dst.name(size), Sized(src.into(), size))
            }
            Insn::Setcc { cond, dst } => write!(f, "set{} {}", cond.suffix(), Sized(dst.into(), Size::B1)),
            Insn::Xchg { size, dst, src } => two(f, "xchg", size, dst, src),
            Insn::Locked { op, size, dst, src } => {
                f.write_str("lock ")?;
                two(f, op.mnemonic(), size, dst, src)
            }
            Insn::Push { src } => write!(f, "push {}", Sized(src, Size::B8)),
            Insn::Pop { dst } => write!(f, "pop {}", Sized(dst.into(), Size::B8)),
            Insn::JmpRm { target } => write!(f, "jmp {}", Sized(target.into(), Size::B8)),
            Insn::CallRm { target } => write!(f, "call {}", Sized(target.into(), Size::B8)),
            Insn::JmpRel { rel, disp } => branch(f, "jmp", "", rel, disp, 5),
            Insn::JccRel { cond, rel, disp } => branch(f, "j", cond.suffix(), rel, disp, 6),
            Insn::CallRel { disp } => branch(f, "call", "", Rel::Near, disp, 5),
            Insn::String { op, size, rep } => string(f, op, size, rep),
            Insn::Nullary(nullary) => f.write_str(nullary.mnemonic()),
            Insn::Prefetch { op, mem } => write!(f, "{} byte ptr {mem}", op.mnemonic()),
            Insn::Crc32 { size, dst, src } => {
                let dst_size = size.max(Size::B4);
                write!(f, "crc32 {}, {}", dst.name(dst_size), Sized(src.into(), size))
            }
            Insn::MovToXmm { size, dst, src } => {
                write!(f, "mov{} {dst}, {}", lane(size), Sized(src.into(), size))
            }
            Insn::MovFromXmm { size, dst, src } => {
                write!(f, "mov{} {}, {src}", lane(size), Sized(dst.into(), size))
            }
            Insn::Movdqu { dst, src } => write!(f, "movdqu {dst}, {src}"),
            Insn::MovdquStore { dst, src } => write!(f, "movdqu xmmword ptr {dst}, {src}"),
            Insn::Sse { op, dst, src } => write!(f, "{} {dst}, {src}", op.mnemonic()),
            Insn::SseImm { op, dst, src, imm } => write!(f, "{} {dst}, {src}, {imm}", op.mnemonic()),
            Insn::SseShift { op, dst, amount } => write!(f, "{} {dst}, {amount}", op.mnemonic()),
            Insn::Vpopcnt { size, dst, src } => write!(f, "vpopcnt{} {dst}, {src}", lane(size)),
            Insn::Pextr { size, dst, src, lane: index } => {
                write!(f, "pextr{} {}, {src}, {index}", lane(size), Sized(dst.into(), size))
            }
            Insn::Pinsr { size, dst, src, lane: index } => {
                write!(f, "pinsr{} {dst}, {}, {index}", lane(size), Sized(src.into(), size))
            }
        }
    }
}

/// Prints `[rax + rcx*4 - 8]`.
impl fmt::Display for Mem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        match self.base {
            Base::Zero => {}
            Base::Reg(reg) => write!(f, "{reg}")?,
            Base::Rip => f.write_str("rip")?,
        }
        if let Some(index) = self.index {
            let plus = if self.base == Base::Zero { "" } else { " + " };
            write!(f, "{plus}{}*{}", index.reg, index.scale.factor())?;
        }
        match (self.base, self.index) {
            (Base::Zero, None) => write!(f, "{}", self.disp)?,
            _ if self.disp < 0 => write!(f, " - {}", self.disp.unsigned_abs())?,
            _ if self.disp > 0 => write!(f, " + {}", self.disp)?,
            _ => {}
        }
        f.write_str("]")
    }
}

/// Prints the register, or the memory as `xmmword ptr`.
impl fmt::Display for XmmRm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XmmRm::Xmm(xmm) => xmm.fmt(f),
            XmmRm::Mem(mem) => write!(f, "xmmword ptr {mem}"),
        }
    }
}

/// Prints the number of bits, or `cl`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Imm(bits) => bits.fmt(f),
            Amount::Cl => f.write_str("cl"),
        }
    }
}

/// An operand as text of its size.
struct Sized(Operand, Size);

impl fmt::Display for Sized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Operand::Reg(reg) => f.write_str(reg.name(self.1)),
            Operand::Mem(mem) => write!(f, "{} ptr {mem}", keyword(self.1)),
            Operand::Imm(imm) => imm.fmt(f),
        }
    }
}

fn keyword(size: Size) -> &'static str {
    match size {
        Size::B1 => "byte",
        Size::B2 => "word",
        Size::B4 => "dword",
        Size::B8 => "qword",
    }
}

fn two(
    f: &mut fmt::Formatter<'_>,
    mnemonic: &str,
    size: Size,
    dst: impl Into<Operand>,
    src: impl Into<Operand>,
) -> fmt::Result {
    write!(f, "{mnemonic} {}, {}", Sized(dst.into(), size), Sized(src.into(), size))
}

/// The letter of an SSE lane's size in a mnemonic.
fn lane(size: Size) -> &'static str {
    match size {
        Size::B1 => "b",
        Size::B2 => "w",
        Size::B4 => "d",
        Size::B8 => "q",
    }
}

fn string(f: &mut fmt::Formatter<'_>, op: StringOp, size: Size, rep: bool) -> fmt::Result {
    let rep = if rep { "rep " } else { "" };
    write!(f, "{rep}{}{}", op.mnemonic(), lane(size))
}

/// A branch to `disp` bytes after its own end; `near` is the length of its near form, which has to be asked for where
/// the short one would reach.
fn branch(
    f: &mut fmt::Formatter<'_>,
    stem: &str,
    suffix: &str,
    rel: Rel,
    disp: i32,
    near: i64,
) -> fmt::Result {
    const SHORT: i64 = 2;
    let target = i64::from(disp) + if rel == Rel::Short { SHORT } else { near };
    if rel == Rel::Near && stem != "call" && i8::try_from(target - SHORT).is_ok() {
        f.write_str("{disp32} ")?;
    }
    write!(f, "{stem}{suffix} .{target:+}")
}

#[cfg(test)]
mod tests {
    use super::super::insn::{Cond, Nullary, Scale};
    use super::super::register::Gpr;
    use super::*;

    #[test]
    fn text_is_intel_syntax() {
        let mem = Mem::at(Gpr::Rdi, 8);
        let indexed = Mem::at(Gpr::Rbx, -1).index(Gpr::R9, Scale::S4);
        let dst = Gpr::Rax;
        let table = [
            (Insn::Mov { size: Size::B4, dst: dst.into(), src: mem.into() }, "mov eax, dword ptr [rdi + 8]"),
            (Insn::Lea { size: Size::B8, dst, mem: indexed }, "lea rax, [rbx + r9*4 - 1]"),
            (Insn::Lea { size: Size::B8, dst, mem: Mem::rip(0) }, "lea rax, [rip]"),
            (Insn::Lea { size: Size::B8, dst, mem: Mem::absolute(-8) }, "lea rax, [-8]"),
            (Insn::Movabs { dst, imm: 255 }, "movabs rax, 0xff"),
            (Insn::Setcc { cond: Cond::Ne, dst: Gpr::Rsi.into() }, "setne sil"),
            (Insn::JmpRel { rel: Rel::Short, disp: -2 }, "jmp .+0"),
            (Insn::JccRel { cond: Cond::E, rel: Rel::Near, disp: 0 }, "{disp32} je .+6"),
            (Insn::CallRel { disp: 1000 }, "call .+1005"),
            (Insn::String { op: StringOp::Movs, size: Size::B8, rep: true }, "rep movsq"),
            (Insn::Nullary(Nullary::Cqo), "cqo"),
        ];
        for (insn, text) in table {
            assert_eq!(insn.to_string(), text);
        }
    }
}
