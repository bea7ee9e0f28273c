// SPDX-License-Identifier: GPL-2.0-or-later
//! SSE instructions, and VPOPCNTD and VPOPCNTQ of 128 bits; those on MMX registers share mnemonics and are refused, since their
//! operands are no XMM registers.

use iced_x86::{Code, EncodingKind, Mnemonic as M, Register};
use kop_ops::x86_64::Size::{self, B1, B2, B4, B8};

use super::operands::Operands;
use crate::x86_64::vector::{LaneOp, LaneShift, Logic, Shuffled, VectorInsn as V};

/// What the instruction does, by groups of mnemonics.
pub(super) fn operation(o: Operands) -> Option<V> {
    match o.insn.encoding() {
        EncodingKind::Legacy => {}
        EncodingKind::EVEX => return evex(o),
        _ => return None,
    }
    moves(o)
        .or_else(|| halves(o))
        .or_else(|| logic(o))
        .or_else(|| lanes(o))
        .or_else(|| shifts(o))
        .or_else(|| orders(o))
        .or_else(|| single_lanes(o))
        .or_else(|| widening(o))
        .or_else(|| others(o))
}

/// On registers 0 to 15, without a mask.
fn evex(o: Operands) -> Option<V> {
    let size = match o.insn.code() {
        Code::EVEX_Vpopcntd_xmm_k1z_xmmm128b32 => B4,
        Code::EVEX_Vpopcntq_xmm_k1z_xmmm128b64 => B8,
        _ => return None,
    };
    let unmasked = o.insn.op_mask() == Register::None && !o.insn.zeroing_masking();
    unmasked.then_some(V::CountOnes { size, dst: o.xmm(0)?, src: o.xmm(1)? })
}

fn moves(o: Operands) -> Option<V> {
    let aligned = match o.mnemonic() {
        M::Movdqa | M::Movaps | M::Movapd | M::Movntdq | M::Movntdqa | M::Movntps | M::Movntpd => true,
        M::Movdqu | M::Movups | M::Movupd | M::Lddqu => false,
        M::Movd => return general_move(o, B4),
        M::Movq => return general_move(o, B8),
        _ => return None,
    };
    match (o.xmm(0), o.xmm(1)) {
        (Some(dst), _) => Some(V::Load { dst, src: o.xmm_or_mem(1)?, aligned }),
        (None, Some(src)) => Some(V::Store { dst: o.mem(0)?, src, aligned }),
        (None, None) => None,
    }
}

fn general_move(o: Operands, size: Size) -> Option<V> {
    match (o.xmm(0), o.xmm(1)) {
        (Some(dst), Some(src)) => Some(V::LowHalf { dst, src }),
        (Some(dst), None) => Some(V::FromGeneral { size, dst, src: o.place(1)? }),
        (None, Some(src)) => Some(V::ToGeneral { size, dst: o.place(0)?, src }),
        (None, None) => None,
    }
}

fn halves(o: Operands) -> Option<V> {
    let (to_high, from_high) = match o.mnemonic() {
        M::Movlps | M::Movlpd => (false, false),
        M::Movhps | M::Movhpd => (true, true),
        M::Movhlps => (false, true),
        M::Movlhps => (true, false),
        _ => return None,
    };
    match o.xmm(0) {
        Some(dst) => Some(V::LoadHalf { dst, to_high, src: o.xmm_or_mem(1)?, from_high }),
        None => Some(V::StoreHalf { dst: o.mem(0)?, src: o.xmm(1)?, from_high }),
    }
}

fn logic(o: Operands) -> Option<V> {
    let op = match o.mnemonic() {
        M::Pand | M::Andps | M::Andpd => Logic::And,
        M::Pandn | M::Andnps | M::Andnpd => Logic::AndNot,
        M::Por | M::Orps | M::Orpd => Logic::Or,
        M::Pxor | M::Xorps | M::Xorpd => Logic::Xor,
        _ => return None,
    };
    Some(V::Logic { op, dst: o.xmm(0)?, src: o.xmm_or_mem(1)? })
}

fn lanes(o: Operands) -> Option<V> {
    let (op, size) = match o.mnemonic() {
        M::Paddb => (LaneOp::Add, B1),
        M::Paddw => (LaneOp::Add, B2),
        M::Paddd => (LaneOp::Add, B4),
        M::Paddq => (LaneOp::Add, B8),
        M::Psubb => (LaneOp::Sub, B1),
        M::Psubw => (LaneOp::Sub, B2),
        M::Psubd => (LaneOp::Sub, B4),
        M::Psubq => (LaneOp::Sub, B8),
        M::Pcmpeqb => (LaneOp::Equal, B1),
        M::Pcmpeqw => (LaneOp::Equal, B2),
        M::Pcmpeqd => (LaneOp::Equal, B4),
        M::Pcmpeqq => (LaneOp::Equal, B8),
        M::Pcmpgtb => (LaneOp::Greater, B1),
        M::Pcmpgtw => (LaneOp::Greater, B2),
        M::Pcmpgtd => (LaneOp::Greater, B4),
        M::Pcmpgtq => (LaneOp::Greater, B8),
        M::Pmullw => (LaneOp::MultiplyLow, B2),
        M::Pmulld => (LaneOp::MultiplyLow, B4),
        M::Pminub => (LaneOp::MinUnsigned, B1),
        M::Pminuw => (LaneOp::MinUnsigned, B2),
        M::Pminud => (LaneOp::MinUnsigned, B4),
        M::Pmaxub => (LaneOp::MaxUnsigned, B1),
        M::Pmaxuw => (LaneOp::MaxUnsigned, B2),
        M::Pmaxud => (LaneOp::MaxUnsigned, B4),
        M::Pminsb => (LaneOp::MinSigned, B1),
        M::Pminsw => (LaneOp::MinSigned, B2),
        M::Pminsd => (LaneOp::MinSigned, B4),
        M::Pmaxsb => (LaneOp::MaxSigned, B1),
        M::Pmaxsw => (LaneOp::MaxSigned, B2),
        M::Pmaxsd => (LaneOp::MaxSigned, B4),
        M::Pabsb => (LaneOp::Absolute, B1),
        M::Pabsw => (LaneOp::Absolute, B2),
        M::Pabsd => (LaneOp::Absolute, B4),
        _ => return None,
    };
    Some(V::Lanes { op, size, dst: o.xmm(0)?, src: o.xmm_or_mem(1)? })
}

fn shifts(o: Operands) -> Option<V> {
    let (op, size) = match o.mnemonic() {
        M::Psllw => (LaneShift::Left, B2),
        M::Pslld => (LaneShift::Left, B4),
        M::Psllq => (LaneShift::Left, B8),
        M::Psrlw => (LaneShift::Right, B2),
        M::Psrld => (LaneShift::Right, B4),
        M::Psrlq => (LaneShift::Right, B8),
        M::Psraw => (LaneShift::RightSigned, B2),
        M::Psrad => (LaneShift::RightSigned, B4),
        M::Pslldq => return Some(V::ShiftBytes { left: true, dst: o.xmm(0)?, amount: o.imm8(1)? }),
        M::Psrldq => return Some(V::ShiftBytes { left: false, dst: o.xmm(0)?, amount: o.imm8(1)? }),
        _ => return None,
    };
    let dst = o.xmm(0)?;
    match o.imm8(1) {
        Some(amount) => Some(V::Shift { op, size, dst, amount }),
        None => Some(V::ShiftBy { op, size, dst, src: o.xmm_or_mem(1)? }),
    }
}

/// Interleavings and shuffles.
fn orders(o: Operands) -> Option<V> {
    let unpack = |high, size| Some(V::Unpack { high, size, dst: o.xmm(0)?, src: o.xmm_or_mem(1)? });
    let shuffle =
        |lanes| Some(V::Shuffle { lanes, dst: o.xmm(0)?, src: o.xmm_or_mem(1)?, order: o.imm8(2)? });
    match o.mnemonic() {
        M::Punpcklbw => unpack(false, B1),
        M::Punpcklwd => unpack(false, B2),
        M::Punpckldq | M::Unpcklps => unpack(false, B4),
        M::Punpcklqdq | M::Unpcklpd => unpack(false, B8),
        M::Punpckhbw => unpack(true, B1),
        M::Punpckhwd => unpack(true, B2),
        M::Punpckhdq | M::Unpckhps => unpack(true, B4),
        M::Punpckhqdq | M::Unpckhpd => unpack(true, B8),
        M::Pshufd => shuffle(Shuffled::Doublewords),
        M::Pshuflw => shuffle(Shuffled::LowWords),
        M::Pshufhw => shuffle(Shuffled::HighWords),
        M::Pshufb => Some(V::ShuffleBytes { dst: o.xmm(0)?, src: o.xmm_or_mem(1)? }),
        M::Palignr => Some(V::AlignRight { dst: o.xmm(0)?, src: o.xmm_or_mem(1)?, amount: o.imm8(2)? }),
        _ => None,
    }
}

fn single_lanes(o: Operands) -> Option<V> {
    let extract = |size| Some(V::ExtractLane { size, dst: o.place(0)?, src: o.xmm(1)?, lane: o.imm8(2)? });
    let insert = |size| Some(V::InsertLane { size, dst: o.xmm(0)?, src: o.place(1)?, lane: o.imm8(2)? });
    match o.mnemonic() {
        M::Pextrb => extract(B1),
        M::Pextrw => extract(B2),
        M::Pextrd => extract(B4),
        M::Pextrq => extract(B8),
        M::Pinsrb => insert(B1),
        M::Pinsrw => insert(B2),
        M::Pinsrd => insert(B4),
        M::Pinsrq => insert(B8),
        M::Pmovmskb => Some(V::ByteMask { dst: o.gpr(0)?, src: o.xmm(1)? }),
        _ => None,
    }
}

fn widening(o: Operands) -> Option<V> {
    let (signed, from, to) = match o.mnemonic() {
        M::Pmovzxbw => (false, B1, B2),
        M::Pmovzxbd => (false, B1, B4),
        M::Pmovzxbq => (false, B1, B8),
        M::Pmovzxwd => (false, B2, B4),
        M::Pmovzxwq => (false, B2, B8),
        M::Pmovzxdq => (false, B4, B8),
        M::Pmovsxbw => (true, B1, B2),
        M::Pmovsxbd => (true, B1, B4),
        M::Pmovsxbq => (true, B1, B8),
        M::Pmovsxwd => (true, B2, B4),
        M::Pmovsxwq => (true, B2, B8),
        M::Pmovsxdq => (true, B4, B8),
        _ => return None,
    };
    Some(V::Widen { signed, from, to, dst: o.xmm(0)?, src: o.xmm_or_mem(1)? })
}

fn others(o: Operands) -> Option<V> {
    let (dst, src) = (o.xmm(0)?, o.xmm_or_mem(1)?);
    Some(match o.mnemonic() {
        M::Pmuludq => V::MultiplyEven { signed: false, dst, src },
        M::Pmuldq => V::MultiplyEven { signed: true, dst, src },
        M::Pclmulqdq => V::CarrylessMultiply { dst, src, halves: o.imm8(2)? },
        M::Ptest => V::Test { dst, src },
        _ => return None,
    })
}
