// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions as the text that LLVM's disassembler prints for them (`llvm-objdump -d --mcpu=v4`).
//!
//! What LLVM has no text for is written so that it parses back:
//!
//! | instruction | text |
//! |---|---|
//! | 64-bit immediate, `BPF_PSEUDO_*` | `r1 = map_by_fd(5) ll`, `r1 = map_val_by_fd(5, 8) ll`; RFC 9669's words, high half last |
//! | local call | `call pc+3` (bpftool's form) |
//! | kernel function | `call kfunc 5`, `call kfunc 5 off 1` |
//! | packet load at a register and an immediate | `r0 = *(u8 *)skb[r5 + 3]` |
//! | Kop site | `sidecar 0x123`, `call kop 5 slot 2` |

use std::fmt;

use super::insn::{AluOp, AtomicOp, CallTarget, Cond, EndKind, Insn, Operand, Size, Width};
use super::register::Reg;

/// The names of a 64-bit immediate's kinds, by the value of the source field; an integer has none.
pub(super) const IMM64_KINDS: [&str; 7] =
    ["", "map_by_fd", "map_val_by_fd", "var_addr", "code_addr", "map_by_idx", "map_val_by_idx"];

impl Width {
    /// The letter that a register's number follows: `w` or `r`.
    pub(super) const fn letter(self) -> char {
        match self {
            Width::W32 => 'w',
            Width::W64 => 'r',
        }
    }

    /// The width that text gives a register that is loaded or stored with `size`.
    const fn of_access(size: Size) -> Self {
        match size {
            Size::B1 | Size::B2 | Size::B4 => Width::W32,
            Size::B8 => Width::W64,
        }
    }
}

impl AluOp {
    /// The operation's part of `dst op= src`; empty for the moves.
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            AluOp::Add => "+",
            AluOp::Sub => "-",
            AluOp::Mul => "*",
            AluOp::Div => "/",
            AluOp::SDiv => "s/",
            AluOp::Or => "|",
            AluOp::And => "&",
            AluOp::Lsh => "<<",
            AluOp::Rsh => ">>",
            AluOp::Mod => "%",
            AluOp::SMod => "s%",
            AluOp::Xor => "^",
            AluOp::Arsh => "s>>",
            AluOp::Mov | AluOp::MovSx8 | AluOp::MovSx16 | AluOp::MovSx32 => "",
        }
    }

    const fn cast(self) -> &'static str {
        match self {
            AluOp::MovSx8 => "(s8)",
            AluOp::MovSx16 => "(s16)",
            AluOp::MovSx32 => "(s32)",
            _ => "",
        }
    }
}

impl Cond {
    /// The comparison between a conditional jump's operands.
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Cond::Eq => "==",
            Cond::Gt => ">",
            Cond::Ge => ">=",
            Cond::Set => "&",
            Cond::Ne => "!=",
            Cond::SGt => "s>",
            Cond::SGe => "s>=",
            Cond::Lt => "<",
            Cond::Le => "<=",
            Cond::SLt => "s<",
            Cond::SLe => "s<=",
        }
    }
}

impl AtomicOp {
    /// The operator of an update of memory, or the name of what returns the old or new value.
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            AtomicOp::Add => "+",
            AtomicOp::Or => "|",
            AtomicOp::And => "&",
            AtomicOp::Xor => "^",
            AtomicOp::FetchAdd => "fetch_add",
            AtomicOp::FetchOr => "fetch_or",
            AtomicOp::FetchAnd => "fetch_and",
            AtomicOp::FetchXor => "fetch_xor",
            AtomicOp::Xchg => "xchg",
            AtomicOp::CmpXchg => "cmpxchg",
            AtomicOp::LoadAcquire => "load_acquire",
            AtomicOp::StoreRelease => "store_release",
        }
    }
}

impl EndKind {
    /// The conversion's name, which the number of bits follows.
    pub(super) const fn name(self) -> &'static str {
        match self {
            EndKind::ToLe => "le",
            EndKind::ToBe => "be",
            EndKind::Swap => "bswap",
        }
    }
}

/// A register under the name that says its width.
struct Named(Width, Reg);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.letter(), self.1.index())
    }
}

/// A source operand at a width.
struct Source(Width, Operand);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Reg(register) => Named(self.0, register).fmt(f),
            Operand::Imm(imm) => write!(f, "{imm}"),
        }
    }
}

/// An address as `r2 + 8`.
struct Address(Reg, i32);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.1 < 0 { '-' } else { '+' };
        write!(f, "{} {sign} {}", self.0, self.1.unsigned_abs())
    }
}

impl fmt::Display for Insn {
    /// One instruction on one line, without its address; [`parse`](str::parse) reads it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Insn::Alu { op, width, dst, src } => {
                write!(f, "{} {}= {}{}", Named(width, dst), op.symbol(), op.cast(), Source(width, src))
            }
            Insn::Neg { width, dst } => write!(f, "{0} = -{0}", Named(width, dst)),
            Insn::End { kind, bits, dst } => write!(f, "{dst} = {}{bits} {dst}", kind.name()),
            Insn::LoadImm64 { dst, kind, imm } => fmt_load_imm64(f, dst, kind, imm),
            Insn::Load { size, signed: false, dst, base, off } => {
                let dst = Named(Width::of_access(size), dst);
                write!(f, "{dst} = *(u{} *)({})", size.bits(), Address(base, off.into()))
            }
            Insn::Load { size, signed: true, dst, base, off } => {
                write!(f, "{dst} = *(s{} *)({})", size.bits(), Address(base, off.into()))
            }
            Insn::Store { size, base, off, src } => {
                let src = Source(Width::of_access(size), src);
                write!(f, "*(u{} *)({}) = {src}", size.bits(), Address(base, off.into()))
            }
            Insn::Atomic { op, size, base, off, src } => {
                fmt_atomic(f, op, size, Address(base, off.into()), Named(Width::of_access(size), src))
            }
            Insn::LoadAbs { size, imm } => write!(f, "r0 = *(u{} *)skb[{imm}]", size.bits()),
            Insn::LoadInd { size, src, imm: 0 } => write!(f, "r0 = *(u{} *)skb[{src}]", size.bits()),
            Insn::LoadInd { size, src, imm } => {
                write!(f, "r0 = *(u{} *)skb[{}]", size.bits(), Address(src, imm))
            }
            Insn::Jump { cond, width, dst, src, off } => {
                let (dst, src) = (Named(width, dst), Source(width, src));
                write!(f, "if {dst} {} {src} goto {off:+}", cond.symbol())
            }
            Insn::Ja { off } => write!(f, "goto {off:+}"),
            Insn::Gotol { off } => write!(f, "gotol {off:+}"),
            Insn::MayGoto { off } => write!(f, "may_goto {off:+}"),
            Insn::Call { target } => fmt_call(f, target),
            Insn::Sidecar { payload } => write!(f, "sidecar {payload:#x}"),
            Insn::Exit => f.write_str("exit"),
        }
    }
}

fn fmt_load_imm64(f: &mut fmt::Formatter<'_>, dst: Reg, kind: u8, imm: u64) -> fmt::Result {
    let (low, high) = (imm as i32, (imm >> 32) as i32);
    match IMM64_KINDS.get(usize::from(kind)) {
        Some(&"") => write!(f, "{dst} = {imm:#x} ll"),
        Some(name) if high == 0 => write!(f, "{dst} = {name}({low}) ll"),
        Some(name) => write!(f, "{dst} = {name}({low}, {high}) ll"),
        None => write!(f, "{dst} = kind{kind}({low}, {high}) ll"),
    }
}

fn fmt_atomic(f: &mut fmt::Formatter<'_>, op: AtomicOp, size: Size, at: Address, src: Named) -> fmt::Result {
    let bits = size.bits();
    // LLVM's 32-bit exchanges are `xchg32_32` and `cmpxchg32_32`, the 64-bit ones `xchg_64` and `cmpxchg_64`.
    let exchange = if size == Size::B8 { "" } else { "32" };
    match op {
        AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => {
            write!(f, "lock *(u{bits} *)({at}) {}= {src}", op.symbol())
        }
        AtomicOp::FetchAdd | AtomicOp::FetchOr | AtomicOp::FetchAnd | AtomicOp::FetchXor => {
            write!(f, "{src} = atomic_{}((u{bits} *)({at}), {src})", op.symbol())
        }
        AtomicOp::Xchg => write!(f, "{src} = {}{exchange}_{bits}({at}, {src})", op.symbol()),
        AtomicOp::CmpXchg => {
            let old = Named(src.0, Reg::R0);
            write!(f, "{old} = {}{exchange}_{bits}({at}, {old}, {src})", op.symbol())
        }
        AtomicOp::LoadAcquire => write!(f, "{src} = {}((u{bits} *)({at}))", op.symbol()),
        AtomicOp::StoreRelease => write!(f, "{}((u{bits} *)({at}), {src})", op.symbol()),
    }
}

fn fmt_call(f: &mut fmt::Formatter<'_>, target: CallTarget) -> fmt::Result {
    match target {
        CallTarget::Helper(id) => write!(f, "call {id}"),
        CallTarget::Local(offset) => write!(f, "call pc{offset:+}"),
        CallTarget::Kfunc { id, off: 0 } => write!(f, "call kfunc {id}"),
        CallTarget::Kfunc { id, off } => write!(f, "call kfunc {id} off {off}"),
        CallTarget::Register(register) => write!(f, "callx {register}"),
        CallTarget::Kop { id, slot } => write!(f, "call kop {id} slot {slot}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: [Reg; 11] = Reg::ALL;

    /// Texts that LLVM 22's `llvm-mc --disassemble -triple=bpfel -mcpu=v4` gives for the instructions' bytes, but for
    /// `0x` in 64-bit immediates, which its objdump prints.
    #[test]
    fn texts_are_llvms() {
        let atomic = |op, size| Insn::atomic(op, size, R[1], -8, R[2]);
        let table = [
            (Insn::alu64(AluOp::Lsh, R[0], 13), "r0 <<= 13"),
            (Insn::alu32(AluOp::Add, R[0], R[1]), "w0 += w1"),
            (Insn::alu64(AluOp::Sub, R[1], -5), "r1 -= -5"),
            (Insn::alu64(AluOp::Mul, R[10], i32::MIN), "r10 *= -2147483648"),
            (Insn::alu64(AluOp::Div, R[1], R[2]), "r1 /= r2"),
            (Insn::alu64(AluOp::SDiv, R[1], R[2]), "r1 s/= r2"),
            (Insn::alu32(AluOp::Mod, R[1], 7), "w1 %= 7"),
            (Insn::alu32(AluOp::SMod, R[1], 7), "w1 s%= 7"),
            (Insn::alu64(AluOp::Or, R[1], R[2]), "r1 |= r2"),
            (Insn::alu64(AluOp::And, R[1], R[2]), "r1 &= r2"),
            (Insn::alu64(AluOp::Xor, R[1], R[2]), "r1 ^= r2"),
            (Insn::alu64(AluOp::Rsh, R[1], R[2]), "r1 >>= r2"),
            (Insn::alu32(AluOp::Arsh, R[1], 3), "w1 s>>= 3"),
            (Insn::mov64(R[1], R[2]), "r1 = r2"),
            (Insn::mov32(R[1], -1), "w1 = -1"),
            (Insn::alu64(AluOp::MovSx8, R[1], R[2]), "r1 = (s8)r2"),
            (Insn::alu32(AluOp::MovSx16, R[1], R[2]), "w1 = (s16)w2"),
            (Insn::alu64(AluOp::MovSx32, R[1], R[2]), "r1 = (s32)r2"),
            (Insn::neg64(R[1]), "r1 = -r1"),
            (Insn::neg32(R[1]), "w1 = -w1"),
            (Insn::to_be(R[1], 16), "r1 = be16 r1"),
            (Insn::to_le(R[1], 32), "r1 = le32 r1"),
            (Insn::bswap(R[1], 64), "r1 = bswap64 r1"),
            (Insn::load_imm64(R[1], 0x123), "r1 = 0x123 ll"),
            (Insn::load(Size::B8, R[1], R[2], 8), "r1 = *(u64 *)(r2 + 8)"),
            (Insn::load(Size::B4, R[1], R[2], -8), "w1 = *(u32 *)(r2 - 8)"),
            (Insn::load(Size::B1, R[1], R[2], i16::MIN), "w1 = *(u8 *)(r2 - 32768)"),
            (Insn::load_sx(Size::B2, R[1], R[2], 0), "r1 = *(s16 *)(r2 + 0)"),
            (Insn::store(Size::B4, R[10], -4, R[1]), "*(u32 *)(r10 - 4) = w1"),
            (Insn::store(Size::B8, R[10], -8, R[1]), "*(u64 *)(r10 - 8) = r1"),
            (Insn::store(Size::B2, R[1], 2, -7), "*(u16 *)(r1 + 2) = -7"),
            (atomic(AtomicOp::Add, Size::B8), "lock *(u64 *)(r1 - 8) += r2"),
            (atomic(AtomicOp::Or, Size::B4), "lock *(u32 *)(r1 - 8) |= w2"),
            (atomic(AtomicOp::And, Size::B8), "lock *(u64 *)(r1 - 8) &= r2"),
            (atomic(AtomicOp::Xor, Size::B8), "lock *(u64 *)(r1 - 8) ^= r2"),
            (atomic(AtomicOp::FetchAdd, Size::B8), "r2 = atomic_fetch_add((u64 *)(r1 - 8), r2)"),
            (atomic(AtomicOp::FetchOr, Size::B4), "w2 = atomic_fetch_or((u32 *)(r1 - 8), w2)"),
            (atomic(AtomicOp::FetchAnd, Size::B4), "w2 = atomic_fetch_and((u32 *)(r1 - 8), w2)"),
            (atomic(AtomicOp::FetchXor, Size::B8), "r2 = atomic_fetch_xor((u64 *)(r1 - 8), r2)"),
            (atomic(AtomicOp::Xchg, Size::B8), "r2 = xchg_64(r1 - 8, r2)"),
            (atomic(AtomicOp::Xchg, Size::B4), "w2 = xchg32_32(r1 - 8, w2)"),
            (atomic(AtomicOp::CmpXchg, Size::B8), "r0 = cmpxchg_64(r1 - 8, r0, r2)"),
            (atomic(AtomicOp::CmpXchg, Size::B4), "w0 = cmpxchg32_32(r1 - 8, w0, w2)"),
            (atomic(AtomicOp::LoadAcquire, Size::B1), "w2 = load_acquire((u8 *)(r1 - 8))"),
            (atomic(AtomicOp::LoadAcquire, Size::B8), "r2 = load_acquire((u64 *)(r1 - 8))"),
            (atomic(AtomicOp::StoreRelease, Size::B2), "store_release((u16 *)(r1 - 8), w2)"),
            (Insn::LoadAbs { size: Size::B2, imm: 12 }, "r0 = *(u16 *)skb[12]"),
            (Insn::LoadInd { size: Size::B1, src: R[5], imm: 0 }, "r0 = *(u8 *)skb[r5]"),
            (Insn::jump(Cond::SGt, R[1], -5, 3), "if r1 s> -5 goto +3"),
            (Insn::jump32(Cond::Set, R[1], R[2], -3), "if w1 & w2 goto -3"),
            (Insn::jump(Cond::Eq, R[1], R[2], 0), "if r1 == r2 goto +0"),
            (Insn::jump(Cond::Ne, R[1], 0, 1), "if r1 != 0 goto +1"),
            (Insn::jump(Cond::Gt, R[1], 0, 1), "if r1 > 0 goto +1"),
            (Insn::jump(Cond::Ge, R[1], 0, 1), "if r1 >= 0 goto +1"),
            (Insn::jump(Cond::Lt, R[1], 0, 1), "if r1 < 0 goto +1"),
            (Insn::jump(Cond::Le, R[1], 0, 1), "if r1 <= 0 goto +1"),
            (Insn::jump(Cond::SGe, R[1], 0, 1), "if r1 s>= 0 goto +1"),
            (Insn::jump(Cond::SLt, R[1], 0, 1), "if r1 s< 0 goto +1"),
            (Insn::jump(Cond::SLe, R[1], 0, 1), "if r1 s<= 0 goto +1"),
            (Insn::ja(3), "goto +3"),
            (Insn::Gotol { off: -70_000 }, "gotol -70000"),
            (Insn::MayGoto { off: 2 }, "may_goto +2"),
            (Insn::call_helper(5), "call 5"),
            (Insn::Call { target: CallTarget::Register(R[3]) }, "callx r3"),
            (Insn::Exit, "exit"),
        ];
        for (insn, text) in table {
            assert_eq!(insn.to_string(), text);
        }
    }

    #[test]
    fn what_llvm_has_no_text_for_is_printed_as_documented() {
        let imm64 = |kind, imm| Insn::LoadImm64 { dst: R[1], kind, imm };
        let call = |target| Insn::Call { target };
        let table = [
            (imm64(1, 5), "r1 = map_by_fd(5) ll"),
            (imm64(2, 8 << 32 | 5), "r1 = map_val_by_fd(5, 8) ll"),
            (imm64(3, 5), "r1 = var_addr(5) ll"),
            (imm64(4, 0xffff_fffe), "r1 = code_addr(-2) ll"),
            (imm64(5, 0), "r1 = map_by_idx(0) ll"),
            (imm64(6, 8 << 32), "r1 = map_val_by_idx(0, 8) ll"),
            (call(CallTarget::Local(3)), "call pc+3"),
            (call(CallTarget::Local(-3)), "call pc-3"),
            (call(CallTarget::Kfunc { id: 5, off: 0 }), "call kfunc 5"),
            (call(CallTarget::Kfunc { id: 5, off: 1 }), "call kfunc 5 off 1"),
            (call(CallTarget::Kop { id: 5, slot: 2 }), "call kop 5 slot 2"),
            (Insn::Sidecar { payload: 0x123 }, "sidecar 0x123"),
            (Insn::LoadInd { size: Size::B1, src: R[5], imm: -3 }, "r0 = *(u8 *)skb[r5 - 3]"),
        ];
        for (insn, text) in table {
            assert_eq!(insn.to_string(), text);
        }
    }
}
