// SPDX-License-Identifier: GPL-2.0-or-later
//! Where engines for native code have memory that a state has not: an access there is a fault, is told as one to the native
//! stack, or the engine says that it cannot tell.

#![cfg(all(target_os = "linux", feature = "unicorn", feature = "native"))]

use kop_emulators::arena::Region;
use kop_emulators::engines::ENGINES;
use kop_emulators::native::PROBE_CODES;
use kop_emulators::{Engine, Executes, NativeCode, Observation, Probe, Program};
use kop_ops::ebpf::Reg;
use kop_ops::{Access, Arch, Fault, Features, Slot, State, Vectors, aarch64, x86_64};

const SLOT: Slot = Slot::of_batch(3);

/// Every engine for native code, with code of its architecture that loads r2 from where r1 points to, or stores it there.
fn engines(access: Access) -> impl Iterator<Item = (Box<dyn Engine>, NativeCode)> {
    ENGINES.iter().filter_map(move |kind| {
        let Executes::Native(arch) = kind.executes else { return None };
        let engine = kind.make().unwrap_or_else(|reason| panic!("{}: {reason}", kind.name));
        Some((engine, code(arch, access)))
    })
}

fn code(arch: Arch, access: Access) -> NativeCode {
    let bytes = match arch {
        Arch::X86_64 => {
            use x86_64::{Assembler, Gpr, Mem, Size};
            let mut asm = Assembler::new();
            match access {
                Access::Write => asm.mov(Size::B8, Mem::at(Gpr::Rdi, 0), Gpr::Rsi),
                _ => asm.mov(Size::B8, Gpr::Rsi, Mem::at(Gpr::Rdi, 0)),
            }
            asm.finish().expect("it has an encoding").bytes
        }
        Arch::Aarch64 => {
            use aarch64::{Assembler, Gpr, Mem, Width};
            let mut asm = Assembler::new();
            match access {
                Access::Write => asm.str(Width::X, Gpr::X1, Mem::base(Gpr::X0)),
                _ => asm.ldr(Width::X, Gpr::X1, Mem::base(Gpr::X0)),
            }
            asm.finish().expect("it has an encoding").bytes
        }
    };
    let (features, vectors) = (Features::default(), Vectors::default());
    NativeCode { arch, bytes, features, other_features: Vec::new(), vex_vector: false, vectors }
}

fn probe(engine: &mut dyn Engine, code: &NativeCode, address: u64) -> Observation {
    let mut state = State::zeroed(SLOT);
    state.set(Reg::R1, address);
    engine.probe(&Probe { program: Program::Native(code), state: &state, garbage: 7 })
}

/// Whether an observation tells that memory was accessed which a state has not.
fn tells(observation: &Observation, access: Access, address: u64) -> bool {
    let in_stack =
        observation.native_stack.iter().any(|record| record.access == access && record.covers(address));
    in_stack
        || observation.fault.is_some_and(|fault| fault.same_kind(Fault::Memory { access, address: None }))
}

#[test]
fn an_access_to_memory_of_an_engine_is_told() {
    let of_state = [Region::Window(SLOT), Region::Stack(SLOT)];
    let mut addresses: Vec<u64> = Region::all()
        .filter(|region| !of_state.contains(region))
        .flat_map(|region| {
            [0, 8, region.size() as u64 / 2, region.size() as u64 - 8].map(|at| region.address() + at)
        })
        .collect();
    // Where code under test itself stands.
    addresses.push(PROBE_CODES.start);
    for access in [Access::Read, Access::Write] {
        for (mut engine, code) in engines(access) {
            for &address in &addresses {
                let told = tells(&probe(&mut *engine, &code, address), access, address);
                let hidden = engine.hides_fault_at(SLOT, address);
                assert!(told || hidden, "{}: {access:?} at {address:#x}", engine.name());
                // Nothing that can be told is left to the engines that cannot, which run code in a process and do not watch it.
                let is_process = ["host", "qemu-aarch64"].contains(&engine.name());
                assert!(!hidden || is_process, "{}: {address:#x}", engine.name());
            }
            // It is as it was.
            let inside = probe(&mut *engine, &code, SLOT.window());
            assert_eq!(inside.fault, None, "{}", engine.name());
            assert_eq!(inside.native_stack, [], "{}", engine.name());
        }
    }
}

#[test]
fn an_engine_says_of_no_other_address_that_it_cannot_tell() {
    let ends = |region: Region| [region.address() - 1, region.address() + region.size() as u64];
    let inside = |address: u64| Region::all().any(|region| region.range().contains(&address));
    let around = Region::all().flat_map(ends).filter(|&address| !inside(address));
    let addresses: Vec<u64> =
        around.chain([0, 8, SLOT.window(), SLOT.window_end() - 1, SLOT.stack_end() - 1, u64::MAX]).collect();
    for (engine, _) in engines(Access::Read) {
        for &address in &addresses {
            assert!(!engine.hides_fault_at(SLOT, address), "{}: {address:#x}", engine.name());
        }
    }
}

#[test]
fn an_address_that_is_not_canonical_faults() {
    // Bits 63 to 47 are not all equal (Intel SDM vol. 1, section 3.3.7.1); where the rest is that of the window, too.
    let bits = (47..64).flat_map(|bit| [1 << bit, !0 ^ 1 << bit]);
    let addresses: Vec<u64> = bits.flat_map(|high: u64| [high, high & !0 << 47 | SLOT.window()]).collect();
    for access in [Access::Read, Access::Write] {
        for (mut engine, code) in engines(access) {
            for &address in addresses.iter().filter(|address| **address != SLOT.window()) {
                let told = tells(&probe(&mut *engine, &code, address), access, address);
                let hidden = engine.hides_fault_at(SLOT, address);
                assert!(told || hidden, "{}: {access:?} at {address:#x}", engine.name());
            }
        }
    }
}
