// SPDX-License-Identifier: GPL-2.0-or-later
//! The smallest ELF executable that Linux starts: one read-execute segment that holds the whole file (System
//! V ABI, chapters 4 and 5).

use kop_ops::Arch;
use object::Endianness;
use object::elf::{ELFOSABI_NONE, EM_AARCH64, EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_LOAD};
use object::write::elf::{FileHeader, ProgramHeader, Writer};

/// Bytes of the headers that [`executable`] writes; the contents follow.
pub(super) const HEADERS: u64 = 64 + 2 * 56;

const PAGE: u64 = 4096;

/// The file that is mapped at `base`, a multiple of the page size, with `contents` at `base + HEADERS`, and
/// that starts at the address `entry`.
///
/// The second program header asks for a stack that is not executable; without it older kernels make every
/// readable mapping of the process executable.
pub(super) fn executable(arch: Arch, base: u64, entry: u64, contents: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(Endianness::Little, true, &mut file);
    writer.reserve_file_header();
    writer.reserve_program_headers(2);
    writer.reserve(contents.len(), 1);
    let header = FileHeader {
        os_abi: ELFOSABI_NONE,
        abi_version: 0,
        e_type: ET_EXEC,
        e_machine: match arch {
            Arch::X86_64 => EM_X86_64,
            Arch::Aarch64 => EM_AARCH64,
        },
        e_entry: entry,
        e_flags: 0,
    };
    writer.write_file_header(&header).expect("a vector takes what there is memory for");
    let segment = |kind, flags, address, size| ProgramHeader {
        p_type: kind,
        p_flags: flags,
        p_offset: 0,
        p_vaddr: address,
        p_paddr: address,
        p_filesz: size,
        p_memsz: size,
        p_align: PAGE,
    };
    writer.write_program_header(&segment(PT_LOAD, PF_R | PF_X, base, HEADERS + contents.len() as u64));
    writer.write_program_header(&segment(PT_GNU_STACK, PF_R | PF_W, 0, 0));
    writer.write(contents);
    file
}
