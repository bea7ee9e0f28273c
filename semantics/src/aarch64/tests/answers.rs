// SPDX-License-Identifier: GPL-2.0-or-later
//! Results that follow from the manual's definitions by arithmetic, corner cases first.

use kop_ops::aarch64::{
    AddSub, Arrangement, AtomicOp, BitfieldOp, CarryOp, Cond, CondCompareOp, CondOperand, CondSelectOp,
    Extend, FmovLane, MoveWide, OneSourceOp, Order, PmullForm, Scalar, Shift, Size, TwoSourceOp, Width,
};

use super::*;

const N: u8 = 8;
const Z: u8 = 4;
const C: u8 = 2;
const OVERFLOW: u8 = 1;

/// A machine whose registers and flags are zero.
fn zeroed() -> Small<Integers> {
    let (general, vectors) = (vec![0; 32], vec![[0; 2]; 32]);
    Small::new(Integers, &Start { general, flags: 0, vectors, memory: 0 }, |_, bits| bits, |value| value)
}

fn run(machine: &mut Small<Integers>, insn: &Insn) -> Next<u64> {
    run_word(machine, insn.encode().expect("it has an encoding"))
}

fn run_word(machine: &mut Small<Integers>, word: u32) -> Next<u64> {
    let decoded = decode(&word.to_le_bytes()).expect("it is covered")[0];
    step(machine, &decoded).expect("nothing faults")
}

/// X0 and the flags, as NZCV, after an instruction on X1, X2, X3 and the flags.
fn x0(insn: Insn, sources: [u64; 3], flags: u8) -> (u64, u8) {
    let mut machine = zeroed();
    machine.general[..4].copy_from_slice(&[0x5555_5555_5555_5555, sources[0], sources[1], sources[2]]);
    machine.flags = (0..4).map(|below| u64::from(flags >> (3 - below) & 1)).collect();
    run(&mut machine, &insn);
    (machine.general[0], machine.flags.iter().fold(0, |all, &flag| all << 1 | flag as u8))
}

const RD: Gpr = Gpr::X0;
const RN: Gpr = Gpr::X1;
const RM: Gpr = Gpr::X2;
const RA: Gpr = Gpr::X3;

/// -1 and the least number.
const ONES: u64 = u64::MAX;
const LEAST: u64 = 1 << 63;

#[test]
fn sums_and_differences_set_flags() {
    let plain =
        |op, width| Insn::AddSubShifted { op, width, rd: RD, rn: RN, rm: RM, shift: Shift::Lsl, amount: 0 };
    let carry = |op, width| Insn::AddSubCarry { op, width, rd: RD, rn: RN, rm: RM };
    let (w, x) = (Width::W, Width::X);
    for (insn, a, b, before, result, flags) in [
        (plain(AddSub::Adds, w), 0x7fff_ffff, 1, 0, 0x8000_0000, N | OVERFLOW),
        (plain(AddSub::Adds, w), 0xffff_ffff_ffff_ffff, 1, 0, 0, Z | C),
        (plain(AddSub::Adds, x), LEAST, LEAST, 0, 0, Z | C | OVERFLOW),
        (plain(AddSub::Add, x), LEAST, LEAST, N | C, 0, N | C),
        (plain(AddSub::Subs, x), 0, 1, 0, ONES, N),
        (plain(AddSub::Subs, x), 7, 7, 0, 0, Z | C),
        (plain(AddSub::Subs, x), LEAST, 1, 0, LEAST - 1, C | OVERFLOW),
        (plain(AddSub::Subs, w), 0, 0x8000_0000, 0, 0x8000_0000, N | OVERFLOW),
        (carry(CarryOp::Adcs, x), ONES, 0, C, 0, Z | C),
        (carry(CarryOp::Adcs, x), ONES, ONES, C, ONES, N | C),
        (carry(CarryOp::Adc, w), 1, 2, C, 4, C),
        (carry(CarryOp::Sbcs, x), 0, 0, 0, ONES, N),
        (carry(CarryOp::Sbcs, x), 0, 0, C, 0, Z | C),
        (carry(CarryOp::Sbcs, w), 0x8000_0000, 0, 0, 0x7fff_ffff, C | OVERFLOW),
    ] {
        assert_eq!(x0(insn, [a, b, 0], before), (result, flags), "{insn} of {a:#x} and {b:#x}");
    }
}

#[test]
fn operands_are_extended_and_shifted() {
    let extended = |extend, amount| {
        let (op, width) = (AddSub::Add, Width::X);
        Insn::AddSubExtended { op, width, rd: RD, rn: RN, rm: RM, extend, amount }
    };
    for (insn, b, result) in [
        (extended(Extend::Uxtb, 4), 0x1ff, 0xff0),
        (extended(Extend::Sxtb, 4), 0x180, 0u64.wrapping_sub(0x800)),
        (extended(Extend::Sxth, 0), 0x8000, 0u64.wrapping_sub(0x8000)),
        (extended(Extend::Sxtw, 2), 0x8000_0000, 0u64.wrapping_sub(0x2_0000_0000)),
        (extended(Extend::Uxtx, 1), LEAST | 3, 6),
    ] {
        assert_eq!(x0(insn, [0, b, 0], 0).0, result, "{insn}");
    }
}

#[test]
fn divisions_have_no_errors() {
    let divide = |op, width| Insn::TwoSource { op, width, rd: RD, rn: RN, rm: RM };
    for (insn, a, b, result) in [
        (divide(TwoSourceOp::Udiv, Width::X), 7, 0, 0),
        (divide(TwoSourceOp::Sdiv, Width::X), ONES, 0, 0),
        (divide(TwoSourceOp::Sdiv, Width::X), LEAST, ONES, LEAST),
        (divide(TwoSourceOp::Sdiv, Width::W), 0x8000_0000, 0xffff_ffff, 0x8000_0000),
        (divide(TwoSourceOp::Sdiv, Width::X), 0u64.wrapping_sub(7), 2, 0u64.wrapping_sub(3)),
        (divide(TwoSourceOp::Rorv, Width::W), 0x8000_0001, 33, 0xc000_0000),
        (divide(TwoSourceOp::Lslv, Width::X), 1, 64, 1),
        (divide(TwoSourceOp::Asrv, Width::X), LEAST, 63, ONES),
    ] {
        assert_eq!(x0(insn, [a, b, 0], 0).0, result, "{insn} of {a:#x} and {b:#x}");
    }
}

#[test]
fn products_have_high_halves() {
    let high = |signed| Insn::MulHigh { signed, rd: RD, rn: RN, rm: RM };
    assert_eq!(x0(high(true), [ONES, ONES, 0], 0).0, 0);
    assert_eq!(x0(high(false), [ONES, ONES, 0], 0).0, ONES - 1);
    assert_eq!(x0(high(true), [LEAST, 2, 0], 0).0, ONES);
    let op = kop_ops::aarch64::MulAddLongOp::Smsubl;
    let long = Insn::MulAddLong { op, rd: RD, rn: RN, rm: RM, ra: RA };
    // 10 - (-1 * 3), from the low halves.
    assert_eq!(x0(long, [0x7_ffff_ffff, 3, 10], 0).0, 13);
}

#[test]
fn fields_move() {
    let field = |op, width, immr, imms| Insn::Bitfield { op, width, rd: RD, rn: RN, immr, imms };
    let source = 0x8765_4321_fedc_ba98;
    for (insn, result) in [
        // UBFX of 8 bits from bit 4, LSR 60, LSL 60, UBFIZ of 4 bits to bit 8.
        (field(BitfieldOp::Ubfm, Width::X, 4, 11), 0xa9),
        (field(BitfieldOp::Ubfm, Width::X, 60, 63), 8),
        (field(BitfieldOp::Ubfm, Width::X, 4, 3), 8 << 60),
        (field(BitfieldOp::Ubfm, Width::X, 56, 3), 0x800),
        // SBFX of 8 bits from bit 4, SXTB, SBFIZ of 4 bits to bit 8, ASR 28 of 32 bits.
        (field(BitfieldOp::Sbfm, Width::X, 4, 11), 0xffff_ffff_ffff_ffa9),
        (field(BitfieldOp::Sbfm, Width::W, 0, 7), 0xffff_ff98),
        (field(BitfieldOp::Sbfm, Width::X, 56, 3), 0xffff_ffff_ffff_f800),
        (field(BitfieldOp::Sbfm, Width::W, 28, 31), 0xffff_ffff),
        // BFXIL of 8 bits from bit 4, BFI of 4 bits to bit 8; the upper half is cleared at 32 bits.
        (field(BitfieldOp::Bfm, Width::X, 4, 11), 0x5555_5555_5555_55a9),
        (field(BitfieldOp::Bfm, Width::W, 24, 3), 0x5555_5855),
    ] {
        assert_eq!(x0(insn, [source, 0, 0], 0).0, result, "{insn}");
    }
    let extract = |width, lsb| Insn::Extract { width, rd: RD, rn: RN, rm: RM, lsb };
    assert_eq!(x0(extract(Width::X, 4), [0xf, 0x123, 0], 0).0, 0xf000_0000_0000_0012);
    assert_eq!(x0(extract(Width::X, 0), [0xf, 0x123, 0], 0).0, 0x123);
    let keep = Insn::MoveWide { op: MoveWide::Movk, width: Width::X, rd: RD, imm: 0xabcd, shift: 32 };
    assert_eq!(x0(keep, [0; 3], 0).0, 0x5555_abcd_5555_5555);
}

#[test]
fn bits_are_counted_and_reversed() {
    let one = |op, width| Insn::OneSource { op, width, rd: RD, rn: RN };
    for (insn, source, result) in [
        (one(OneSourceOp::Clz, Width::X), 0, 64),
        (one(OneSourceOp::Clz, Width::W), ONES << 32 | 1, 31),
        (one(OneSourceOp::Cls, Width::X), 0, 63),
        (one(OneSourceOp::Cls, Width::X), ONES, 63),
        (one(OneSourceOp::Cls, Width::W), 0xe000_0000, 2),
        (one(OneSourceOp::Rbit, Width::W), 0x8000_0002, 0x4000_0001),
        (one(OneSourceOp::Rev, Width::X), 0x0102_0304_0506_0708, 0x0807_0605_0403_0201),
        (one(OneSourceOp::Rev32, Width::X), 0x0102_0304_0506_0708, 0x0403_0201_0807_0605),
        (one(OneSourceOp::Rev16, Width::X), 0x0102_0304_0506_0708, 0x0201_0403_0605_0807),
    ] {
        assert_eq!(x0(insn, [source, 0, 0], 0).0, result, "{insn} of {source:#x}");
    }
}

#[test]
fn conditions_look_at_flags() {
    let select = |op, cond| Insn::CondSelect { op, width: Width::X, rd: RD, rn: RN, rm: RM, cond };
    for (cond, holds) in [
        (Cond::Hi, [C].as_slice()),
        (Cond::Ls, &[0, Z, Z | C]),
        (Cond::Ge, &[0, N | OVERFLOW]),
        (Cond::Lt, &[N, OVERFLOW]),
        (Cond::Gt, &[0, N | OVERFLOW]),
        (Cond::Le, &[Z, N, OVERFLOW, Z | N | OVERFLOW]),
        (Cond::Nv, &[0, 15]),
    ] {
        for &flags in holds {
            assert_eq!(x0(select(CondSelectOp::Csinc, cond), [1, 2, 0], flags).0, 1, "{cond:?} {flags:04b}");
            if let Some(inverse) = cond.inverse() {
                assert_eq!(x0(select(CondSelectOp::Csinc, inverse), [1, 2, 0], flags).0, 3, "{inverse:?}");
            }
        }
    }
    let compare = |cond| {
        let (op, operand) = (CondCompareOp::Ccmp, CondOperand::Imm(5));
        Insn::CondCompare { op, width: Width::W, rn: RN, operand, nzcv: 0b1001, cond }
    };
    assert_eq!(x0(compare(Cond::Eq), [5, 0, 0], Z).1, Z | C);
    assert_eq!(x0(compare(Cond::Eq), [5, 0, 0], 0).1, N | OVERFLOW);
}

#[test]
fn a_write_of_32_bits_clears_the_rest_and_sp_is_not_zero() {
    let add = |rd, rn| Insn::AddSubImm { op: AddSub::Add, width: Width::W, rd, rn, imm: 1 };
    let mut machine = zeroed();
    machine.general[31] = ONES - 1;
    run(&mut machine, &add(Gpr::X5, Gpr::Sp));
    assert_eq!(machine.general[5], 0xffff_ffff);
    run(&mut machine, &add(Gpr::Sp, Gpr::X5));
    assert_eq!(machine.general[31], 0);
    // The shifted form has the zero register, and loses what goes there.
    let (op, width, shift) = (AddSub::Sub, Width::X, Shift::Lsl);
    machine.general[31] = 7;
    let minus = |rd, rn, rm| Insn::AddSubShifted { op, width, rd, rn, rm, shift, amount: 0 };
    run(&mut machine, &minus(Gpr::X5, Gpr::Xzr, Gpr::X5));
    run(&mut machine, &minus(Gpr::Xzr, Gpr::Xzr, Gpr::X5));
    assert_eq!((machine.general[5], machine.general[31]), (0u64.wrapping_sub(0xffff_ffff), 7));
}

/// Memory that starts with the bytes 0x80, 0x81, 0x82, ...
fn with_bytes() -> Small<Integers> {
    let mut machine = zeroed();
    machine.memory = u128::from_le_bytes(std::array::from_fn(|i| 0x80 + i as u8));
    machine
}

#[test]
fn loads_extend_and_bases_move() {
    let mut machine = with_bytes();
    let byte = |width, mem| Insn::LoadSigned { width, size: Size::B1, rt: RD, mem };
    run(&mut machine, &byte(Width::W, Mem::pre(RN, 3)));
    assert_eq!(machine.general[..2], [0xffff_ff83, 3]);
    run(&mut machine, &byte(Width::X, Mem::post(RN, -2)));
    assert_eq!(machine.general[..2], [0xffff_ffff_ffff_ff83, 1]);
    machine.general[2] = ONES << 32 | 0xffff_ffff;
    let index = Mem::Register { base: RN, index: RM, extend: Extend::Sxtw, scaled: true };
    machine.general[1] = 4;
    run(&mut machine, &Insn::Load { size: Size::B4, rt: RD, mem: index });
    assert_eq!(machine.general[0], 0x8382_8180);
    run(&mut machine, &Insn::LoadPair { width: Width::X, rt: RD, rt2: RM, mem: Mem::offset(RA, 0) });
    assert_eq!((machine.general[0], machine.general[2]), (0x8786_8584_8382_8180, 0x8f8e_8d8c_8b8a_8988));
}

#[test]
fn a_load_leaves_zeros_above_a_scalar() {
    let mut machine = with_bytes();
    machine.vectors[1] = [ONES; 2];
    run(&mut machine, &Insn::VLoad { size: Scalar::H, vt: V::V1, mem: Mem::base(RN) });
    assert_eq!(machine.vectors[1], [0x8180, 0]);
    run(&mut machine, &Insn::VLoad { size: Scalar::Q, vt: V::V1, mem: Mem::base(RN) });
    assert_eq!(machine.vectors[1], [0x8786_8584_8382_8180, 0x8f8e_8d8c_8b8a_8988]);
}

#[test]
fn a_store_exclusive_wants_its_load() {
    let (size, base) = (Size::B8, RN);
    let load = Insn::LoadExclusive { size, acquire: false, rt: RM, base };
    let store = Insn::StoreExclusive { size, release: false, rs: RD, rt: RA, base };
    let mut machine = zeroed();
    machine.general[3] = 9;
    let status = |machine: &mut Small<Integers>, insn: &Insn| {
        machine.memory = 0;
        run(machine, insn);
        (machine.general[0], machine.memory)
    };
    assert_eq!(status(&mut machine, &store), (1, 0), "without a load");
    run(&mut machine, &load);
    assert_eq!(status(&mut machine, &store), (0, 9));
    assert_eq!(status(&mut machine, &store), (1, 0), "once alone");
    run(&mut machine, &load);
    machine.general[1] = 8;
    assert_eq!(status(&mut machine, &store), (1, 0), "elsewhere");
    run(&mut machine, &load);
    let narrow = Insn::StoreExclusive { size: Size::B4, release: false, rs: RD, rt: RA, base };
    assert_eq!(status(&mut machine, &narrow), (1, 0), "of another size");
    run(&mut machine, &load);
    let clrex = 0xd503_3f5f;
    run_word(&mut machine, clrex);
    assert_eq!(status(&mut machine, &store), (1, 0), "after CLREX");
}

#[test]
fn atomic_accesses_return_what_was_there() {
    let (order, base) = (Order::AcquireRelease, RN);
    let mut machine = zeroed();
    machine.memory = 0x80;
    machine.general[2] = 1;
    let atomic = |op, size| Insn::Atomic { op, size, order, rs: RM, rt: RD, base };
    for (op, size, old, new) in [
        (AtomicOp::Smax, Size::B1, 0x80, 1),
        (AtomicOp::Umax, Size::B1, 1, 1),
        (AtomicOp::Add, Size::B8, 1, 2),
        (AtomicOp::Set, Size::B2, 2, 3),
        (AtomicOp::Clr, Size::B2, 3, 2),
        (AtomicOp::Eor, Size::B4, 2, 3),
        (AtomicOp::Umin, Size::B4, 3, 1),
        (AtomicOp::Swp, Size::B8, 1, 1),
    ] {
        run(&mut machine, &atomic(op, size));
        assert_eq!((machine.general[0], machine.memory), (old, new), "{op:?}");
    }
    let cas = Insn::Cas { size: Size::B1, order, rs: RM, rt: RA, base };
    (machine.general[2], machine.general[3]) = (0x101, 7);
    run(&mut machine, &cas);
    assert_eq!((machine.general[2], machine.memory), (1, 7), "equal in its byte");
    run(&mut machine, &cas);
    assert_eq!((machine.general[2], machine.memory), (7, 7), "not equal");
}

#[test]
fn control_goes_where_the_manual_says() {
    let mut machine = zeroed();
    machine.general[1] = 1 << 63;
    let branch = |nonzero, width| Insn::CompareBranch { nonzero, width, rt: RN, offset: -8 };
    let test = |bit| Insn::TestBranch { nonzero: true, rt: RN, bit, offset: 12 };
    let taken = |taken, target| Next::Branch { taken, target };
    for (insn, next) in [
        (branch(true, Width::X), taken(1, -8)),
        (branch(true, Width::W), taken(0, -8)),
        (branch(false, Width::W), taken(1, -8)),
        (test(63), taken(1, 12)),
        (test(62), taken(0, 12)),
        (Insn::BCond { cond: Cond::Eq, offset: 8 }, taken(0, 8)),
        (Insn::BCond { cond: Cond::Nv, offset: 8 }, Next::Jump(8)),
        (Insn::B { offset: -4 }, Next::Jump(-4)),
        (Insn::Br { rn: RN }, Next::Indirect(1 << 63)),
        (Insn::Brk { imm: 0 }, Next::Trap),
        (Insn::Dmb(kop_ops::aarch64::BarrierScope::Sy), Next::Fall),
    ] {
        assert_eq!(run(&mut machine, &insn), next, "{insn}");
    }
    assert_eq!(run(&mut machine, &Insn::Bl { offset: 64 }), Next::Jump(64));
    assert_eq!(machine.general[30], CODE + 4);
    // BLR of X30 goes to the old value.
    machine.general[30] = 0x1230;
    assert_eq!(run(&mut machine, &Insn::Blr { rn: Gpr::X30 }), Next::Indirect(0x1230));
    run(&mut machine, &Insn::Adrp { rd: RD, offset: 0x3000 });
    assert_eq!(machine.general[0], (CODE & !0xfff) + 0x3000);
}

#[test]
fn simd_registers_hold_lanes() {
    let (v0, v1, v2) = (V::V0, V::V1, V::V2);
    let mut machine = zeroed();
    machine.vectors[0] = [ONES; 2];
    machine.vectors[1] = [0xff01_0000_0000_0003, 0x0f00_0000_0000_0000];
    machine.vectors[2] = [0x0303_0303_0303_0303, 3];
    let mut after = |insn: Insn| {
        machine.vectors[0] = [ONES; 2];
        run(&mut machine, &insn);
        machine.vectors[0]
    };
    let cnt = |arrangement| Insn::Cnt { arrangement, vd: v0, vn: v1 };
    assert_eq!(after(cnt(Arrangement::B16)), [0x0801_0000_0000_0002, 0x0400_0000_0000_0000]);
    assert_eq!(after(cnt(Arrangement::B8)), [0x0801_0000_0000_0002, 0]);
    assert_eq!(after(Insn::Addv { arrangement: Arrangement::B16, vd: v0, vn: v1 }), [0x12, 0]);
    assert_eq!(after(Insn::Uaddlv { arrangement: Arrangement::B16, vd: v0, vn: v1 }), [0x112, 0]);
    let pmull = |form, upper| Insn::Pmull { form, upper, vd: v0, vn: v1, vm: v2 };
    // (x + 1)^2 is x^2 + 1; 0xff times x + 1 is x^8 + 1.
    assert_eq!(after(pmull(PmullForm::Bytes, false)), [5, 0x0101_0003_0000_0000]);
    assert_eq!(after(pmull(PmullForm::Doubleword, true)), [0x1100_0000_0000_0000, 0]);
    let ext = Insn::Ext { arrangement: Arrangement::B16, vd: v0, vn: v1, vm: v2, index: 15 };
    assert_eq!(after(ext), [0x0303_0303_0303_030f, 0x303]);
    assert_eq!(after(Insn::FmovFromGpr { lane: FmovLane::UpperD, vd: v0, rn: Gpr::Xzr }), [ONES, 0]);
    assert_eq!(after(Insn::FmovFromGpr { lane: FmovLane::S, vd: v0, rn: Gpr::Xzr }), [0, 0]);
}

#[test]
fn what_is_not_covered_is_named_with_its_bytes() {
    let code = [Insn::Hint(kop_ops::aarch64::Hint::Nop), Insn::Svc { imm: 0 }];
    let bytes: Vec<u8> = code.iter().flat_map(|insn| insn.encode().expect("it fits").to_le_bytes()).collect();
    let unsupported = decode(&bytes).expect_err("it enters the kernel");
    assert_eq!(unsupported.to_string(), "no semantics for `svc #0x0` (01 00 00 d4) at +0x4");
    let cut = decode(&bytes[..6]).expect_err("half of it is missing");
    assert_eq!(cut.to_string(), "no semantics for `a part of a word` (01 00) at +0x4");
}

#[test]
fn reserved_and_unpredictable_words_are_refused() {
    for (name, word) in [
        ("add, with a bit that is none of its shift", 0x1180_0000),
        ("add of a register, rotated", 0x0bc2_0020),
        ("add of a word, shifted by 32", 0x0b02_8020),
        ("add, extended and shifted by 5", 0x8b22_1420),
        ("ubfm of a word with N", 0x5340_0020),
        ("and with all ones", 0x9240_fc20),
        ("movz of a word to bit 32", 0x52c0_0000),
        ("ldr of a register into its base", 0xf840_8421),
        ("ldp of one register twice", 0xa940_0421),
        ("ldr with an index of bytes", 0xf862_0820),
        ("stxr with its status in its base", 0xc801_7c22),
        ("casp of an odd register", 0x4821_7c02),
        ("rev32 of doublewords", 0x2ee0_0820),
        ("fmov of half precision", 0x1ee6_0020),
        ("paciasp", 0xd503_233f),
        ("mrs of the virtual counter", 0xd53b_e040),
        ("dc zva", 0xd50b_7420),
        ("ldtr", 0xf840_0820),
        ("fadd", 0x1e62_2820),
    ] {
        assert!(decode(&u32::to_le_bytes(word)).is_err(), "{name}");
    }
}
