// SPDX-License-Identifier: GPL-2.0-or-later
//! The seccomp filter of the runner, in classic BPF: its own code may read, write and exit; any other system
//! call, and any from elsewhere, is answered with SIGSYS (`linux/seccomp.h`, `linux/bpf_common.h`,
//! `linux/audit.h`).

use std::ops::Range;

use kop_ops::Arch;

use super::abi::{audit_arch, calls};

/// Instructions in the filter.
pub(super) const LENGTH: u64 = 13;

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const RET_TRAP: u32 = 0x0003_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const INSTRUCTION_POINTER: u32 = 8;

/// Where the two returns are.
const TRAP: u8 = 11;
const ALLOW: u8 = 12;

/// One `struct sock_filter`.
#[derive(Clone, Copy)]
struct Insn {
    code: u16,
    /// How many instructions to skip when the comparison holds, and when it does not.
    skip: [u8; 2],
    k: u32,
}

/// The filter that allows system calls from `code`, as the kernel's array of `struct sock_filter`.
///
/// The kernel tells the address behind the instruction, so `code` has to start before the first one.
pub(super) fn filter(arch: Arch, code: Range<u32>) -> Vec<u8> {
    let nr = calls(arch);
    let program: [Insn; LENGTH as usize] = [
        load(ARCH),
        unless(1, JUMP_IF_EQUAL, audit_arch(arch), TRAP),
        load(INSTRUCTION_POINTER + 4),
        unless(3, JUMP_IF_EQUAL, 0, TRAP),
        load(INSTRUCTION_POINTER),
        unless(5, JUMP_IF_AT_LEAST, code.start, TRAP),
        when(6, JUMP_IF_AT_LEAST, code.end, TRAP),
        load(NUMBER),
        when(8, JUMP_IF_EQUAL, nr.read, ALLOW),
        when(9, JUMP_IF_EQUAL, nr.write, ALLOW),
        when(10, JUMP_IF_EQUAL, nr.exit_group, ALLOW),
        Insn { code: RETURN, skip: [0, 0], k: RET_TRAP },
        Insn { code: RETURN, skip: [0, 0], k: RET_ALLOW },
    ];
    program.iter().flat_map(|insn| insn.bytes()).collect()
}

/// Load a word of `struct seccomp_data`.
fn load(offset: u32) -> Insn {
    Insn { code: LOAD_WORD, skip: [0, 0], k: offset }
}

/// The instruction at `position` that goes to `target` when the comparison holds.
fn when(position: u8, code: u16, k: u32, target: u8) -> Insn {
    Insn { code, skip: [target - position - 1, 0], k }
}

/// The instruction at `position` that goes to `target` when the comparison does not hold.
fn unless(position: u8, code: u16, k: u32, target: u8) -> Insn {
    Insn { code, skip: [0, target - position - 1], k }
}

impl Insn {
    fn bytes(self) -> [u8; 8] {
        let [c0, c1] = self.code.to_le_bytes();
        let [k0, k1, k2, k3] = self.k.to_le_bytes();
        [c0, c1, self.skip[0], self.skip[1], k0, k1, k2, k3]
    }
}
