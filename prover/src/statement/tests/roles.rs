// SPDX-License-Identifier: GPL-2.0-or-later
//! Keys are the same where claims differ in the names of registers alone, and nowhere else.

use std::collections::HashMap;

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
