// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's native code, read back and run in this process.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use kop_emulators::kernel::{Loaded, Reference, TestRun, xdp_buff};
use kop_ops::program::MapSpec;
use kop_ops::{MapKind, Object, ProgramKind};

use super::support::{parsed, skipped};

/// Code that this process may run.
struct Executable {
    address: *mut libc::c_void,
    size: usize,
}

impl Executable {
    fn new(code: &[u8]) -> Self {
        let size = code.len().next_multiple_of(4096);
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let address = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        assert_ne!(address, libc::MAP_FAILED);
        // SAFETY: the mapping is as large as the code, and nobody else knows it.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), address.cast(), code.len()) };
        // SAFETY: the mapping is ours.
        let result = unsafe { libc::mprotect(address, size, libc::PROT_READ | libc::PROT_EXEC) };
        assert_eq!(result, 0);
        Self { address, size }
    }

    /// Calls the code with one argument.
    ///
    /// # Safety
    /// The code is that of a verified program, which finds what it takes at `context`.
    unsafe fn call(&self, context: *const u64) -> u64 {
        // SAFETY: the code keeps the platform's ABI and takes one pointer, as programs in the kernel do.
        let function: extern "C" fn(*const u64) -> u64 = unsafe { std::mem::transmute(self.address) };
        function(context)
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing runs in it any more.
        unsafe { libc::munmap(self.address, self.size) };
    }
}

/// Sums bytes of the packet in a subprogram, mixes in a wide constant and a word of read-only data, and counts in a map.
const PROGRAM: &str = "
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 64
    r0 = 0
    if r4 > r3 goto end
    r1 = r2
    call sum
    r6 = 0x123456789abcdef ll
    r0 ^= r6
    r6 = 0xffffffff87654321 ll
    r0 += r6
    r7 = map_val_by_idx(0, 8) ll
    r8 = *(u64 *)(r7 + 0)
    r0 += r8
    r7 = map_val_by_idx(1) ll
    r8 = *(u64 *)(r7 + 0)
    r8 += 1
    *(u64 *)(r7 + 0) = r8
    end: exit
    sum: r0 = 0
    r2 = 64
    loop: r3 = *(u8 *)(r1 + 0)
    r0 += r3
    r0 *= 31
    r1 += 1
    r2 += -1
    if r2 != 0 goto loop
    exit";

fn program() -> Object {
    let map = |name: &str, flags, value: u64| MapSpec {
        name: name.to_owned(),
        kind: MapKind::Array,
        key_size: 4,
        value_size: 16,
        max_entries: 1,
        flags,
        initial: vec![(vec![0; 4], [[0; 8], value.to_le_bytes()].concat())],
    };
    let maps = [map(".rodata", 1 << 7, 0x8877_6655_4433_2211), map(".bss", 0, 0)].into();
    Object { maps, ..parsed(ProgramKind::Xdp, PROGRAM) }
}

#[test]
fn code_runs_elsewhere_as_in_the_kernel() {
    if skipped() || !cfg!(target_arch = "x86_64") {
        return;
    }
    let loaded = Loaded::new(&program(), 0, 0, false).expect("the verifier accepts it");
    let image = loaded.image().expect("root sees it");
    assert_eq!(image.functions.len(), 2);
    let maps = [0_u64, 0x8877_6655_4433_2211, 0, 0].map(AtomicU64::new);
    let at = |reference| match reference {
        Reference::Map { index, offset } => maps.as_ptr() as u64 + 16 * index as u64 + u64::from(offset),
        other => panic!("{other:?} in a program that is loaded as it is"),
    };
    let code = Executable::new(&image.relocated(at).expect("it needs nothing of the kernel"));
    for seed in 0..8_u8 {
        let packet: Vec<u8> = (0..64_u8).map(|i| i.wrapping_mul(7).wrapping_add(seed)).collect();
        let kernel = loaded.run(&TestRun { packet: &packet, context: &[], repeat: 1 }).expect("it runs");
        let start = packet.as_ptr() as u64;
        let context = xdp_buff(start, start, start, start + 64);
        // SAFETY: a verified program with its packet and the values of its maps.
        let here = unsafe { code.call(context.as_ptr()) };
        assert_eq!(here as u32, kernel.r0 as u32);
    }
    assert_eq!(maps[2].load(Ordering::Relaxed), 8, "the counter of this process");
    let counter = loaded.entries(1, 0).expect("maps are read").expect("it is an array");
    assert_eq!(counter[0].1[..8], 8_u64.to_le_bytes(), "the counter of the kernel");
}

#[test]
fn code_that_needs_the_kernel_is_not_relocated() {
    if skipped() || !cfg!(target_arch = "x86_64") {
        return;
    }
    let clock = parsed(ProgramKind::Xdp, "call 5\nexit");
    let image = Loaded::new(&clock, 0, 0, false).expect("it is accepted").image().expect("root sees it");
    let error = image.relocated(|_| 0).expect_err("it calls a helper function");
    assert!(error.to_string().contains("calls into the kernel"), "{error}");
}

#[test]
fn runs_are_timed() {
    if skipped() {
        return;
    }
    let loop_of =
        |count| format!("r0 = 0\nr2 = {count}\nloop: r0 += r2\nr2 += -1\nif r2 != 0 goto loop\nexit");
    let time = |count| {
        let object = parsed(ProgramKind::Xdp, &loop_of(count));
        let loaded = Loaded::new(&object, 0, 0, false).expect("the verifier accepts it");
        let test = TestRun { packet: &[0; 64], context: &[], repeat: 2000 };
        (0..5).map(|_| loaded.run(&test).expect("it runs").result.nanoseconds).min()
    };
    let (short, long) = (time(10), time(10_000));
    println!("10 rounds {short:?} ns, 10,000 rounds {long:?} ns");
    assert!(long > short);
}
