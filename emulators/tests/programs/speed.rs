// SPDX-License-Identifier: GPL-2.0-or-later
//! How many programs a second the engines for code run: `cargo test --release -p kop-emulators --test programs -- --ignored
//! --nocapture`.

use std::time::{Duration, Instant};

use kop_emulators::program::ProgramEngine;
use kop_ops::code::runtime;
use kop_ops::{Arch, Code, aarch64, x86_64};

use super::{code, engines, run_conforming};

fn x86_64(number: i32) -> Code {
    use x86_64::{Assembler, Gpr, Mem, Size};
    let mut a = Assembler::new();
    a.pushq(Gpr::Rbx);
    a.mov(Size::B8, Gpr::Rbx, Gpr::Rdi);
    (0..50).for_each(|_| a.add(Size::B8, Gpr::Rdi, number));
    for _ in 0..number % 2 {
        a.call_rm(Mem::at(Gpr::Rbx, runtime::HELPERS));
    }
    a.popq(Gpr::Rbx);
    a.ret();
    let assembled = a.finish().expect("it has an encoding");
    code(Arch::X86_64, assembled.bytes, assembled.insns.iter().map(|insn| insn.0))
}

fn aarch64(number: i32) -> Code {
    use aarch64::{Assembler, Gpr, Mem, Width};
    let mut a = Assembler::new();
    a.stp(Width::X, Gpr::X19, Gpr::X30, Mem::pre(Gpr::Sp, -16));
    (0..50).for_each(|_| a.add_imm(Width::X, Gpr::X1, Gpr::X1, number as u32 % 4000));
    for _ in 0..number % 2 {
        a.ldr(Width::X, Gpr::X9, Mem::offset(Gpr::X0, runtime::HELPERS));
        a.blr(Gpr::X9);
    }
    a.ldp(Width::X, Gpr::X19, Gpr::X30, Mem::post(Gpr::Sp, 16));
    a.ret();
    let assembled = a.finish().expect("it has an encoding");
    code(Arch::Aarch64, assembled.bytes, assembled.insns.iter().map(|insn| insn.0))
}

/// Runs for a while; returns runs a second.
fn rate(engine: &mut dyn ProgramEngine, mut code: impl FnMut(usize) -> Code) -> f64 {
    let (start, mut runs, mut spent) = (Instant::now(), 0, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(1) {
        let code = code(runs);
        let before = Instant::now();
        run_conforming(engine, &code, 100).end.expect("it ends");
        spent += before.elapsed();
        runs += 1;
    }
    runs as f64 / spent.as_secs_f64()
}

#[test]
#[ignore = "it measures, and shows nothing where the machine is busy"]
fn speed() {
    for (arch, make) in [(Arch::X86_64, x86_64 as fn(i32) -> Code), (Arch::Aarch64, aarch64)] {
        for mut engine in engines(arch) {
            let same = [make(0), make(1)];
            let again = rate(engine.as_mut(), |_| same[0].clone());
            let helper = rate(engine.as_mut(), |_| same[1].clone());
            let fresh = rate(engine.as_mut(), |i| make(2 * i as i32));
            println!(
                "{:16} {again:7.0} runs/s of one program, {helper:7.0} with a helper call, {fresh:7.0} of new ones",
                engine.name()
            );
        }
    }
}
