// SPDX-License-Identifier: GPL-2.0-or-later
//! Keystone does not depend on what the heap held: constructors in it leave members as they find them (scripts/native-libs mends those that matter).

use kop_modules::assembler::Keystone;
use kop_ops::Arch;

/// Numbers in decimal and none at all, a branch, data: what depends on the base, on the error, on the layout.
const CASES: [(Arch, &str, &[u8]); 8] = [
    (Arch::X86_64, "btr rsi, 56", &[0x48, 0x0f, 0xba, 0xf6, 56]),
    (Arch::X86_64, "mov rax, qword ptr [rdi + 24]", &[0x48, 0x8b, 0x47, 24]),
    (Arch::X86_64, "jmp l\nnop\nl: nop", &[0xeb, 1, 0x90, 0x90]),
    (Arch::X86_64, ".byte 10, 20", &[10, 20]),
    (Arch::Aarch64, "and x4, x4, #-4503599627370497", &[0x84, 0xf8, 0x4b, 0x92]),
    (Arch::Aarch64, "add x0, x1, #100", &[0x20, 0x90, 0x01, 0x91]),
    (Arch::Aarch64, "b l\nnop\nl: nop", &[2, 0, 0, 0x14, 0x1f, 0x20, 0x03, 0xd5, 0x1f, 0x20, 0x03, 0xd5]),
    (Arch::Aarch64, ".word 10", &[10, 0, 0, 0]),
];

/// Frees blocks of all sizes up to a page with this word all over them: what is allocated next holds it.
fn leave_behind(word: u32) {
    let blocks: Vec<Vec<u32>> = (2..1024).flat_map(|words| vec![vec![word; words]; 10]).collect();
    drop(std::hint::black_box(blocks));
}

#[test]
fn what_the_heap_held_does_not_matter() {
    for word in [1, 2, 8, 16, 512, 0x0101_0101, u32::MAX] {
        for (arch, text, bytes) in CASES {
            leave_behind(word);
            let keystone = Keystone::new(arch).expect("it opens");
            leave_behind(word);
            let found = keystone.assemble(text);
            assert_eq!(found.as_deref(), Ok(bytes), "{text:?}, after {word:#x}");
        }
    }
}
