// SPDX-License-Identifier: GPL-2.0-or-later
//! Code in this process, called as a function: for benchmarks, which measure nanoseconds. Nothing contains it; code that has
//! not been checked belongs to the engine `host`.

use std::io;
use std::ptr::NonNull;

use kop_ops::{Arch, Code};

use crate::engines::HOST;
use crate::program::RuntimeBlock;

/// Why code cannot be called here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is for another architecture.
    #[error("this machine runs {HOST} code, and this is {0} code")]
    Arch(Arch),
    /// There is none.
    #[error("there is no code")]
    Empty,
    /// The entry is not in the code.
    #[error("the entry {0:#x} lies behind the end of the code")]
    Entry(usize),
    /// The operating system refused memory.
    #[error("no memory that can be executed: {0}")]
    Os(#[from] io::Error),
}

/// Bytes that this process can execute, and nobody can write.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: the bytes are never written after the mapping is made, and it belongs to this value alone.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(parts: &[&[u8]]) -> Result<(Self, Vec<usize>), LoadError> {
        let mut starts = Vec::with_capacity(parts.len());
        let mut bytes = Vec::new();
        for part in parts {
            starts.push(bytes.len());
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        }
        if bytes.is_empty() {
            return Err(LoadError::Empty);
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes.len(), protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        let base = NonNull::new(base.cast::<u8>()).expect("mmap without MAP_FIXED never returns address 0");
        let mapping = Self { base, size: bytes.len() };
        // SAFETY: the mapping has that many bytes, is writable, and nobody else knows of it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.as_ptr(), bytes.len()) };
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the mapping is ours, and there is no reference to its bytes.
        if unsafe { libc::mprotect(base.as_ptr().cast(), bytes.len(), protection) } != 0 {
            return Err(io::Error::last_os_error().into());
        }
        synchronize(base.as_ptr(), bytes.len());
        Ok((mapping, starts))
    }

    fn at(&self, offset: usize) -> *const u8 {
        debug_assert!(offset < self.size, "an entry lies in the code");
        // SAFETY: the offset was checked when the mapping was made.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no call runs in it: a call borrows the value that owns it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

const ALIGNMENT: usize = 64;

/// Makes written code visible to instruction fetches; x86-64 processors do so themselves (Intel SDM vol. 3, 13.1.3).
#[cfg(not(target_arch = "aarch64"))]
fn synchronize(_start: *const u8, _size: usize) {}

/// Makes written code visible to instruction fetches (Arm ARM, B2.4.4).
#[cfg(target_arch = "aarch64")]
pub(crate) fn synchronize(start: *const u8, size: usize) {
    // The smallest line that there is.
    const LINE: usize = 16;
    let lines = || (start as usize & !(LINE - 1)..start as usize + size).step_by(LINE);
    for line in lines() {
        // SAFETY: cleaning a cache line of mapped memory changes nothing that a program sees.
        unsafe { std::arch::asm!("dc cvau, {}", in(reg) line) };
    }
    // SAFETY: barriers and invalidation of instructions change nothing that a program sees.
    unsafe { std::arch::asm!("dsb ish") };
    for line in lines() {
        // SAFETY: as above.
        unsafe { std::arch::asm!("ic ivau, {}", in(reg) line) };
    }
    // SAFETY: as above.
    unsafe { std::arch::asm!("dsb ish", "isb") };
}

#[cfg(target_arch = "x86_64")]
type Entry = unsafe extern "sysv64" fn(*mut RuntimeBlock) -> u64;
#[cfg(not(target_arch = "x86_64"))]
type Entry = unsafe extern "C" fn(*mut RuntimeBlock) -> u64;

#[cfg(target_arch = "x86_64")]
type KernelEntry = unsafe extern "sysv64" fn(u64, u64) -> u64;
#[cfg(not(target_arch = "x86_64"))]
type KernelEntry = unsafe extern "C" fn(u64, u64) -> u64;

/// Compiled programs, loaded into this process.
#[derive(Debug)]
pub struct Loaded {
    mapping: Mapping,
    entries: Vec<usize>,
}

impl Loaded {
    /// Loads code for this machine.
    ///
    /// # Errors
    /// [`LoadError`] for code of another architecture, code without an entry, and when memory is refused.
    pub fn new(codes: &[Code]) -> Result<Self, LoadError> {
        for code in codes {
            if code.arch != HOST {
                return Err(LoadError::Arch(code.arch));
            }
            if code.entry >= code.bytes.len() {
                return Err(LoadError::Entry(code.entry));
            }
        }
        let parts: Vec<&[u8]> = codes.iter().map(|code| &code.bytes[..]).collect();
        let (mapping, starts) = Mapping::new(&parts)?;
        let entries = starts.into_iter().zip(codes).map(|(start, code)| start + code.entry).collect();
        Ok(Self { mapping, entries })
    }

    /// The address of a program's entry, for a table of helper functions.
    ///
    /// # Panics
    /// For a program that there is not.
    pub fn entry(&self, program: usize) -> u64 {
        self.mapping.at(self.entries[program]) as u64
    }

    /// Calls the first program; returns its r0.
    ///
    /// # Safety
    /// The code keeps the platform's ABI, ends, and touches no memory but the block and what the block's registers,
    /// ranges and helper functions lead it to, to which nothing else has a reference. Guarded code does so if its ranges are
    /// such; other code does if a verifier accepted its program and the registers are what it was accepted for.
    pub unsafe fn call(&self, block: &mut RuntimeBlock) -> u64 {
        // SAFETY: the entry is a function of this type, as `Code::entry` says; the rest is the caller's promise.
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(self.mapping.at(self.entries[0])) };
        // SAFETY: the caller's promise.
        unsafe { entry(block) }
    }
}

/// The image that the kernel's JIT made of a program, loaded into this process: a function of the context's address and
/// that of the instructions, which it ignores, and which returns r0.
#[derive(Debug)]
pub struct KernelImage {
    mapping: Mapping,
}

impl KernelImage {
    /// Loads an image whose calls and jumps all stay inside of it: the jump to a return thunk at its end, and calls of the
    /// kernel's functions, have to be replaced before.
    ///
    /// # Errors
    /// [`LoadError::Empty`] and [`LoadError::Os`].
    pub fn new(bytes: &[u8]) -> Result<Self, LoadError> {
        Ok(Self { mapping: Mapping::new(&[bytes])?.0 })
    }

    /// Calls it with the address of a context.
    ///
    /// # Safety
    /// As [`Loaded::call`]: the image is a function of the platform's ABI and touches no memory but what `context` leads it
    /// to.
    pub unsafe fn call(&self, context: u64) -> u64 {
        // SAFETY: the start of an image is a function of this type; the rest is the caller's promise.
        let entry = unsafe { std::mem::transmute::<*const u8, KernelEntry>(self.mapping.at(0)) };
        // SAFETY: the caller's promise.
        unsafe { entry(context, 0) }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use kop_ops::Features;
    use kop_ops::code::runtime;
    use kop_ops::x86_64::{Assembler, Gpr, Mem, Size};

    use super::*;

    fn bytes(write: impl FnOnce(&mut Assembler)) -> Vec<u8> {
        let mut a = Assembler::new();
        write(&mut a);
        a.finish().expect("it has an encoding").bytes
    }

    fn code(arch: Arch, entry: usize, bytes: Vec<u8>) -> Code {
        Code {
            arch,
            bytes,
            entry,
            marks: Vec::new(),
            helpers: Vec::new(),
            features: Features::NONE,
            guarded: false,
            observing: false,
            sites: Vec::new(),
        }
    }

    #[test]
    fn programs_are_called_again_and_again() {
        let double = bytes(|a| {
            a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdi, runtime::REGISTERS + 8));
            a.add(Size::B8, Gpr::Rax, Gpr::Rax);
            a.mov(Size::B8, Mem::at(Gpr::Rdi, runtime::REGISTERS + 8), Gpr::Rax);
            a.ret();
        });
        let loaded = Loaded::new(&[code(Arch::X86_64, 0, double)]).expect("memory is there");
        let mut block = RuntimeBlock::new();
        block.set_registers(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for expected in [6, 12, 24] {
            // SAFETY: the code reads and writes the block alone.
            assert_eq!(unsafe { loaded.call(&mut block) }, expected);
        }
    }

    #[test]
    fn images_are_called_with_their_context() {
        let sum = bytes(|a| {
            a.mov(Size::B8, Gpr::Rax, Gpr::Rdi);
            a.add(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 8));
            a.ret();
        });
        let image = KernelImage::new(&sum).expect("memory is there");
        let context = [0u64, 5];
        let address = context.as_ptr() as u64;
        // SAFETY: the code reads the context alone.
        assert_eq!(unsafe { image.call(address) }, address + 5);
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        assert!(matches!(Loaded::new(&[]), Err(LoadError::Empty)));
        assert!(matches!(KernelImage::new(&[]), Err(LoadError::Empty)));
        assert!(matches!(Loaded::new(&[code(Arch::X86_64, 1, vec![0])]), Err(LoadError::Entry(1))));
        let foreign = Loaded::new(&[code(Arch::Aarch64, 0, vec![0; 4])]);
        assert!(matches!(foreign, Err(LoadError::Arch(Arch::Aarch64))));
    }
}
