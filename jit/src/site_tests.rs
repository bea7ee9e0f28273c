// SPDX-License-Identifier: GPL-2.0-or-later
//! Kop sites: what lowering and the x86-64 back end make of them.

use kop_ops::ebpf::{Insn, parse_program};
use kop_ops::program::SiteTarget;
use kop_ops::{Catalog, Code, Feature, Features, Object, Operands};

use crate::tests::{options, program};
use crate::{LowerError, Options, compile, lower};

const ID: i32 = 7;

/// A site of `form` as text.
fn site(kop: &str, form: &str, operands: &[i64]) -> String {
    let catalog = Catalog::einsn();
    let kop = catalog.get(kop).expect("it is in the catalog");
    let form = kop.forms().iter().find(|other| other.name == form).expect("it has the form");
    let payload = form.layout.encode(&Operands::new(operands)).expect("the operands are in range");
    format!("sidecar {payload:#x}\ncall kop {ID} slot 0\n")
}

fn target(kop: &str, form: &str) -> Vec<SiteTarget> {
    vec![SiteTarget { id: ID, kop: kop.to_owned(), form: form.to_owned() }]
}

fn compiled(text: &str, operations: &[SiteTarget], options: Options) -> Code {
    compile(&program(text), &Options { operations, ..options }).expect("it compiles")
}

fn object(text: &str, operations: Vec<SiteTarget>) -> Object {
    Object { programs: vec![program(text)], operations, ..Object::default() }
}

#[test]
fn an_emit_stands_in_the_code_and_its_registers_are_saved() {
    let rotate = site("rotate", "imm64", &[7, 6, 8, 13]);
    let code =
        compiled(&format!("r6 = 1\n{rotate}r0 = r7\nexit"), &target("rotate", "imm64"), options(false));
    // push rbx; push r13; push r14; mov r13, [rdi + 56]; mov ebx, 1; mov r13, rbx; rol r13, 13: r7 comes in, as it is not
    // known here that the emit writes it.
    let prologue = [0x53, 0x41, 0x55, 0x41, 0x56, 0x4c, 0x8b, 0x6f, 56];
    let emit = [0xbb, 1, 0, 0, 0, 0x49, 0x89, 0xdd, 0x49, 0xc1, 0xc5, 13];
    assert_eq!(code.bytes[..prologue.len() + emit.len()], [&prologue[..], &emit].concat());
    assert_eq!((code.sites[0].index, &code.sites[0].fallback), (1, &None));
}

#[test]
fn the_proof_is_compiled_where_the_emit_cannot_be_used() {
    let text = format!("{}exit", site("popcount", "pop64", &[0, 1, 2]));
    let operations = target("popcount", "pop64");
    let fallback = |options| compiled(&text, &operations, options).sites[0].fallback.clone();
    assert!(fallback(options(false)).is_some_and(|reason| reason.contains("no x86_64 emit")));
    let popcnt = Features::of(&[Feature::Popcnt]);
    assert_eq!(fallback(Options { features: popcnt, ..options(false) }), None);
    let off = Options { features: popcnt, emits: false, ..options(false) };
    assert!(fallback(off).is_some_and(|reason| reason.contains("turned off")));

    let text = format!("{}exit", site("swapped_load", "be32", &[0, 1, 4]));
    let operations = target("swapped_load", "be32");
    assert_eq!(compiled(&text, &operations, options(false)).sites[0].fallback, None);
    let guarded = compiled(&text, &operations, options(true)).sites[0].fallback.clone();
    assert!(guarded.is_some_and(|reason| reason.contains("cannot be checked")));
}

#[test]
fn code_of_a_proof_belongs_to_the_sidecar() {
    let text = format!("r1 = 5\n{}exit", site("popcount", "pop64", &[0, 1, 2]));
    let code = compiled(&text, &target("popcount", "pop64"), options(false));
    let exit = code.marks.last().expect("the exit has a mark");
    assert_eq!((exit.index, code.insn_at(exit.offset as usize - 1)), (3, Some(1)));
}

#[test]
fn lowering_puts_proofs_in_place_and_moves_jumps() {
    let rotate = site("rotate", "imm64", &[0, 1, 2, 13]);
    let object = object(&format!("if r1 == 0 goto +2\n{rotate}r1 += 1\nexit"), target("rotate", "imm64"));
    let lowered = lower(&object, &Catalog::einsn()).expect("it lowers");
    let insns = lowered.object.programs[0].flow.insns();
    let proof = insns.len() - 3;
    assert!(proof > 1 && !insns.iter().any(|insn| matches!(insn, Insn::Sidecar { .. })));
    assert_eq!(insns[0], parse_program(&format!("if r1 == 0 goto +{proof}")).expect("it parses")[0]);
    let origins: Vec<usize> = (0..insns.len()).map(|index| lowered.origin(0, index)).collect();
    assert_eq!((origins[0], origins[1], origins[proof], origins[proof + 1]), (0, 1, 1, 3));
}

#[test]
fn a_jump_that_gets_too_long_becomes_a_gotol_or_is_named() {
    let rotate = site("rotate", "imm64", &[0, 1, 2, 13]);
    let far = |jump: &str| {
        let text = format!("{jump} +32767\n{rotate}{}r0 = 0\nexit", "r1 = r1\n".repeat(32765));
        lower(&object(&text, target("rotate", "imm64")), &Catalog::einsn())
    };
    let lowered = far("goto").expect("it lowers");
    assert!(matches!(lowered.object.programs[0].flow.insns()[0], Insn::Gotol { off: 32768.. }));
    assert!(matches!(far("if r1 == 0 goto"), Err(LowerError::TooFar { index: 0, .. })));
}

#[test]
fn sites_that_mean_nothing_are_named() {
    let rotate = site("rotate", "imm64", &[0, 1, 2, 13]);
    let reason = |operations: Vec<SiteTarget>| {
        let error = lower(&object(&format!("{rotate}exit"), operations), &Catalog::einsn());
        error.expect_err("it does not lower").to_string()
    };
    assert!(reason(Vec::new()).contains("no operation has the id 7"));
    assert!(reason(target("rotates", "imm64")).contains("rotates"));
    assert!(reason(target("rotate", "imm65")).contains("no form `imm65`"));
    // A rotation's amount stands where a count of ones has unused bits.
    assert!(reason(target("popcount", "pop64")).contains("refuses payload"));
}
