// SPDX-License-Identifier: GPL-2.0-or-later
//! The smallest ELF executable that Linux starts: one read-execute segment that holds the whole file (System
//! V ABI, chapters 4 and 5).

/// Bytes of the headers that [`executable`] writes; the contents follow.
pub(super) const HEADERS: u64 = FILE_HEADER + 2 * PROGRAM_HEADER;

const FILE_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

const ET_EXEC: u16 = 2;
const EM_X86_64: u16 = 62;
const EV_CURRENT: u8 = 1;
const ELFCLASS64: u8 = 2;
const ELFDATA2LSB: u8 = 1;
const PT_LOAD: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
const PAGE: u64 = 4096;

/// The file that is mapped at `base`, a multiple of the page size, with `contents` at `base + HEADERS`, and
/// that starts at the address `entry`.
///
/// The second program header asks for a stack that is not executable; without it older kernels make every
/// readable mapping of the process executable.
pub(super) fn executable(base: u64, entry: u64, contents: &[u8]) -> Vec<u8> {
    let size = HEADERS + contents.len() as u64;
    let mut file = Vec::with_capacity(size as usize);
    file.extend(b"\x7fELF");
    file.extend([ELFCLASS64, ELFDATA2LSB, EV_CURRENT]);
    file.resize(16, 0);
    file.extend(ET_EXEC.to_le_bytes());
    file.extend(EM_X86_64.to_le_bytes());
    file.extend(u32::from(EV_CURRENT).to_le_bytes());
    file.extend(entry.to_le_bytes());
    file.extend(FILE_HEADER.to_le_bytes()); // where the program headers are
    file.extend(0u64.to_le_bytes()); // no section headers
    file.extend(0u32.to_le_bytes()); // no processor flags
    for half in [FILE_HEADER, PROGRAM_HEADER, 2, 0, 0, 0] {
        file.extend((half as u16).to_le_bytes());
    }
    file.extend(program_header(PT_LOAD, PF_R | PF_X, base, size));
    file.extend(program_header(PT_GNU_STACK, PF_R | PF_W, 0, 0));
    file.extend(contents);
    file
}

/// A segment that starts at the file's first byte.
fn program_header(kind: u32, flags: u32, address: u64, size: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(PROGRAM_HEADER as usize);
    header.extend(kind.to_le_bytes());
    header.extend(flags.to_le_bytes());
    // offset, virtual and physical address, size in the file and in memory, alignment
    for word in [0, address, address, size, size, PAGE] {
        header.extend(word.to_le_bytes());
    }
    header
}
