// SPDX-License-Identifier: GPL-2.0-or-later
//! What a choice by measuring takes: in a process of its own, as code is timed in children of it, which keep what it has open.
#![cfg(target_arch = "x86_64")]

use kop_emulators::kernel::Verifier;
use kop_harness::bench::{Trial, Tried};
use kop_harness::tier::Tier;
use kop_ops::ebpf::parse_program;
use kop_ops::x86_64::{Assembler, Cond, Gpr, Size};
use kop_ops::{Arch, Code, Features, Flow, Object, Program, ProgramKind};
use kop_semantics::Input;

/// Code that returns `result` after counting down from `turns`.
fn code(result: i32, turns: i32) -> [Code; 1] {
    let mut a = Assembler::new();
    a.mov(Size::B4, Gpr::Rcx, turns);
    let again = a.label();
    a.bind(again);
    a.dec(Size::B8, Gpr::Rcx);
    a.jcc(Cond::Ne, again);
    a.mov(Size::B4, Gpr::Rax, result);
    a.ret();
    let bytes = a.finish().expect("every operand fits").bytes;
    [Code {
        arch: Arch::X86_64,
        bytes,
        entry: 0,
        marks: Vec::new(),
        features: Features::NONE,
        helpers: Vec::new(),
        guarded: false,
        observing: false,
        sites: Vec::new(),
    }]
}

fn object(kind: ProgramKind, text: &str) -> Object {
    let flow = Flow::new(parse_program(text).expect("it parses")).expect("it is a program");
    let program = Program { name: "main".to_owned(), kind, flow };
    Object { programs: vec![program], license: "GPL".to_owned(), ..Object::default() }
}

fn among(object: &Object, made: &[(Tier, &[Code])]) -> Result<Tried, String> {
    let (input, packets) = (Input::default(), [vec![7; 64], vec![8; 64]]);
    Trial { object, index: 0, input: &input, packets: &packets }.among(made)
}

#[test]
fn what_takes_long_or_returns_something_else_is_not_taken() {
    let (slow, quick, wrong) = (code(7, 20_000), code(7, 500), code(8, 1));
    let alone = object(ProgramKind::Xdp, "r0 = 7\nexit");
    let tried = among(&alone, &[(Tier::Jit, &slow), (Tier::Native, &quick)]).expect("it can be timed");
    assert_eq!(tried.tier, Tier::Native, "{tried:?}");
    // No loop is as quick as the two instructions that the kernel makes of it.
    assert_eq!(tried.kernel_stays, tried.times.contains("kernel "), "{tried:?}");
    if Verifier::new().is_err() {
        return;
    }
    // A program that changes its packet is delivered each anew, as one is whose code returns something else.
    let text = "r2 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\nr3 = r1\nr3 += 1\nr0 = 7\nif r3 > r2 goto +1\n\
                *(u8 *)(r1 + 0) = 3\nexit";
    let changing = object(ProgramKind::Xdp, text);
    for object in [&changing, &alone] {
        let made = [(Tier::Jit, &slow[..]), (Tier::Native, &quick), (Tier::Llvm, &wrong)];
        let tried = among(object, &made).expect("it can be timed");
        assert_eq!((tried.tier, tried.kernel_stays), (Tier::Native, false), "{tried:?}");
        assert!(tried.times.contains("llvm -"), "{tried:?}");
    }
    let none = among(&alone, &[(Tier::Jit, &wrong)]);
    assert!(none.is_err_and(|reason| reason.contains("none of them")));
}

#[test]
fn what_cannot_be_run_is_not_measured() {
    let quick = code(7, 1);
    let reason = |text: &str, code: &[Code]| {
        among(&object(ProgramKind::Xdp, text), &[(Tier::Jit, code)]).expect_err("it cannot be measured")
    };
    let elsewhere = quick.clone().map(|code| Code { arch: Arch::Aarch64, ..code });
    assert!(reason("r0 = 7\nexit", &elsewhere).contains("this CPU"));
    assert!(reason("r0 = *(u64 *)(r1 + 4096)\nexit", &quick).contains("bad read"));
    let unverified = reason("call 5\nr1 = 0\nr0 = *(u8 *)(r1 + 0)\nexit", &quick);
    assert!(unverified.contains("verif"), "{unverified}");
}
