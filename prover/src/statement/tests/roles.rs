// SPDX-License-Identifier: GPL-2.0-or-later
//! Keys are the same where claims differ in the names of registers alone, and nowhere else.

use std::collections::HashMap;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::kop::{EmitRequest, Pass};
use kop_ops::x86_64::{Gpr, Size};
use kop_ops::{Catalog, Features, Form, Kop, Site, registers};

use super::*;

fn key_of(proof: &[Insn], code: &[u8], arch: Arch, dead: RegSet, vectors: Vectors) -> Key {
    let decoded = Decoded::new(arch, code).expect("there are semantics");
    key(&Statement { proof, code, arch, dead, vectors, grants: Grants::default() }, &decoded)
}

fn add(dst: Reg, src: Reg, imm: i32) -> Key {
    use kop_ops::ebpf::AluOp;
    let proof = [Insn::alu64(AluOp::Add, dst, src), Insn::alu64(AluOp::Xor, dst, imm)];
    let (arch, code) = x86(|a| {
        a.add(Size::B8, registers::x86_64(dst), registers::x86_64(src));
        a.xor(Size::B8, registers::x86_64(dst), imm);
    });
    key_of(&proof, &code, arch, RegSet::EMPTY, Vectors::default())
}

#[test]
fn renamed_claims_have_one_key() {
    assert_eq!(add(Reg::R1, Reg::R2, 5), add(Reg::R7, Reg::R0, 5));
    assert_eq!(add(Reg::R3, Reg::R3, 5), add(Reg::R9, Reg::R9, 5));
    let keys = [add(Reg::R1, Reg::R2, 5), add(Reg::R1, Reg::R1, 5), add(Reg::R1, Reg::R2, 6)];
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
}

#[test]
fn a_register_of_an_instruction_without_operands_has_its_role() {
    let proof = |dst| [Insn::mov64(dst, 0)];
    let clear = |register: Gpr| {
        x86(move |a| {
            a.mov(Size::B8, Gpr::R10, Gpr::Rax);
            a.xor(Size::B4, Gpr::Rax, Gpr::Rax);
            a.cdqe();
            a.mov(Size::B8, register, Gpr::Rax);
            a.mov(Size::B8, Gpr::Rax, Gpr::R10);
        })
    };
    let key = |reg, register| {
        let (arch, code) = clear(register);
        key_of(&proof(reg), &code, arch, RegSet::EMPTY, Vectors::default())
    };
    assert_eq!(key(Reg::R1, Gpr::Rdi), key(Reg::R6, Gpr::Rbx));
    // Where r0 is the destination, rax is it.
    assert_ne!(key(Reg::R1, Gpr::Rdi), key(Reg::R0, Gpr::Rax));
    // A register that the proof sequence does not name makes the claim another.
    assert_ne!(key(Reg::R1, Gpr::Rdi), key(Reg::R1, Gpr::Rbx));
}

#[test]
fn dead_registers_and_declared_simd_registers_are_part_of_the_key() {
    let (arch, code) = x86(|a| a.mov(Size::B8, Gpr::Rax, Gpr::Rdi));
    let proof = [Insn::mov64(Reg::R0, Reg::R1)];
    let key = |dead: &[Reg], vectors| key_of(&proof, &code, arch, RegSet::of(dead), vectors);
    let plain = key(&[], Vectors::default());
    assert_ne!(plain, key(&[Reg::R1], Vectors::default()));
    assert_ne!(plain, key(&[], Vectors { x86_64: 1, aarch64: 0 }));
    assert_eq!(plain, key(&[Reg::R8], Vectors::default()), "nobody names r8");
}

/// For a hash of which each step can be undone, constants that make it the same are found in a moment: of these two claims, the first of
/// which holds and the second does not, all 128 bits of such a key were the same.
#[test]
fn no_constants_make_two_keys_collide() {
    let load = |[a, b]: [u64; 2]| {
        [(Reg::R1, a), (Reg::R2, b)].map(|(dst, imm)| Insn::LoadImm64 { dst, kind: 0, imm })
    };
    let right = [0x2aff_3bd1_a2d0_ad1b, 0x48ca_40fa_6948_4277];
    let wrong = [0xa081_2dde_85ce_d9a7, 0xb124_ab04_00b0_2c08];
    let (arch, code) = x86(|a| {
        a.movabs(Gpr::Rdi, right[0]);
        a.movabs(Gpr::Rsi, right[1]);
    });
    let key = |imms| key_of(&load(imms), &code, arch, RegSet::EMPTY, Vectors::default());
    assert_ne!(key(right), key(wrong));
    proved(verdict(&load(right), (arch, code.clone())));
    refuted(verdict(&load(wrong), (arch, code)));
}

/// An instruction of both instruction sets: which, two registers, a number.
type Both = (u64, Reg, Reg, i32);

/// The same with registers numbered by their first use.
fn renamed(insns: &[Both]) -> Vec<(u64, usize, usize, i32)> {
    let mut seen: Vec<Reg> = Vec::new();
    let mut number = |register: Reg| match seen.iter().position(|other| *other == register) {
        Some(number) => number,
        None => {
            seen.push(register);
            seen.len() - 1
        }
    };
    insns.iter().map(|&(kind, a, b, imm)| (kind, number(a), number(b), imm)).collect()
}

/// The key of a claim that some instructions of a proof sequence do what some others of x86-64 do.
fn key_of_both((proof, native): (&[Both], &[Both]), dead: RegSet) -> Key {
    use kop_ops::ebpf::{AluOp, Size as Bytes};
    let proof = proof.iter().map(|&(kind, a, b, imm)| match kind {
        0 => Insn::alu64(AluOp::Add, a, b),
        1 => Insn::alu32(AluOp::Xor, a, b),
        2 => Insn::alu64(AluOp::Add, a, imm),
        3 => Insn::load(Bytes::B4, a, b, imm as i16),
        4 => Insn::store(Bytes::B2, a, imm as i16, b),
        _ => Insn::LoadImm64 { dst: a, kind: 0, imm: imm as u64 },
    });
    let (arch, code) = x86(|asm| {
        for &(kind, a, b, imm) in native {
            let (a, b) = (registers::x86_64(a), registers::x86_64(b));
            match kind {
                0 => asm.add(Size::B8, a, b),
                1 => asm.xor(Size::B4, a, b),
                2 => asm.add(Size::B8, a, imm),
                3 => asm.mov(Size::B4, a, kop_ops::x86_64::Mem::at(b, imm)),
                4 => asm.mov(Size::B2, kop_ops::x86_64::Mem::at(a, imm), b),
                _ => asm.movabs(a, (imm as u64) << 32 | 1),
            }
        }
    });
    key_of(&proof.collect::<Vec<_>>(), &code, arch, dead, Vectors::default())
}

#[test]
fn different_claims_never_have_one_key() {
    let mut choices = Seeded::new(5);
    let (mut by_key, mut by_claim) = (HashMap::new(), HashMap::new());
    let mut insns: Vec<Both> = Vec::new();
    for _ in 0..100_000 {
        // Long ones seldom repeat, short ones do.
        let (proof, native) = (choices.below(4) as usize, choices.below(3) as usize);
        insns.clear();
        for _ in 0..proof + native {
            let [a, b] = [(); 2].map(|()| Reg::new(choices.below(4) as u8).expect("it is below 11"));
            // An instruction has the operands that it has.
            insns.push(match choices.below(6) {
                kind @ (0 | 1) => (kind, a, b, 0),
                kind @ (3 | 4) => (kind, a, b, choices.below(3) as i32),
                kind => (kind, a, a, choices.below(3) as i32 + 1),
            });
        }
        let is_dead = choices.one_in(2) && !insns.is_empty();
        let dead = if is_dead { RegSet::of(&[insns[0].1]) } else { RegSet::EMPTY };
        let claim = (proof, is_dead, renamed(&insns));
        let key = key_of_both(insns.split_at(proof), dead);
        assert_eq!(*by_key.entry(key).or_insert_with(|| claim.clone()), claim);
        assert_eq!(*by_claim.entry(claim).or_insert(key), key);
    }
    assert!((10_000..90_000).contains(&by_key.len()), "{}", by_key.len());
}

/// Every claim of a sample of the catalog gets the verdict of the first one with its key.
#[test]
fn claims_with_one_key_have_one_verdict() {
    // A fault that depends on registers by name: where the destination is r6, one more instruction.
    let faulty = |kop: &dyn Kop, form: &Form, payload: u64, arch| {
        let features = Features::all(arch);
        let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
        let mut code = kop.emit(form, &request).ok()?.bytes;
        let site = Site::decode(form, payload, features).ok()?;
        if site.reg("dst") == Reg::R6 {
            let (_, more) = match arch {
                Arch::X86_64 => x86(|a| a.xor(Size::B8, site.gpr("dst"), 1)),
                Arch::Aarch64 => {
                    arm(|a| a.eor_imm(kop_ops::aarch64::Width::X, site.x("dst"), site.x("dst"), 1))
                }
            };
            code.extend(more);
        }
        Some((code, kop.contract(&site)))
    };
    let mut verdicts: HashMap<Key, &'static str> = HashMap::new();
    let (mut prover, mut repeated, mut refuted) = (Prover::default(), 0, 0);
    let catalog = Catalog::einsn();
    for (kop, form) in catalog.forms().filter(|(kop, _)| ["select", "rotate"].contains(&kop.name())) {
        for arch in Arch::ALL {
            let total = form.layout.combinations();
            for index in (0..total).step_by((total / 50) as usize | 1) {
                let Ok(payload) = form.layout.encode(&form.layout.combination(index)) else { continue };
                let Ok(proof) = kop.instantiate(form, payload) else { continue };
                let Some((code, contract)) = faulty(kop, form, payload, arch) else { continue };
                let (dead, vectors) = (contract.dead, contract.vectors);
                let key = key_of(&proof, &code, arch, dead, vectors);
                let name = prover
                    .prove(&Statement {
                        proof: &proof,
                        code: &code,
                        arch,
                        dead,
                        vectors,
                        grants: Grants::default(),
                    })
                    .name();
                repeated += usize::from(verdicts.contains_key(&key));
                refuted += usize::from(name == "refuted");
                assert_eq!(*verdicts.entry(key).or_insert(name), name);
            }
        }
    }
    assert!(repeated > 60 && refuted > 10, "{repeated} {refuted}");
}
