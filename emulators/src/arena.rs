// SPDX-License-Identifier: GPL-2.0-or-later
//! The memory that native code runs in: one shared file whose parts every engine maps at the same fixed addresses.
//!
//! Nothing here is mapped writable and executable at once: the side that writes code maps it read-write, the side that
//! runs it maps it read-execute.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use kop_ops::state::{CONTEXT_SIZE, MAPS_SIZE, SLOTS, STACK_SIZE, Slot, WINDOW_SIZE};

/// A part of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Drivers and the code under test; executable, not writable, for the code that runs.
    Code,
    /// States and results of a chunk.
    Rows,
    /// Probe blocks, residues and what the runner of the host engine leaves behind.
    Control,
    /// The stack of native code.
    NativeStack,
    /// The data window of a slot.
    Window(Slot),
    /// The eBPF stack of a slot.
    Stack(Slot),
    /// The code of whole programs; executable, not writable, for the code that runs.
    Programs,
    /// The runtime block of a whole program.
    Runtime,
    /// The context of a slot.
    Context(Slot),
    /// The map values of a slot.
    Maps(Slot),
}

/// What code that runs may do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Read and execute.
    ReadExecute,
    /// Read and write.
    ReadWrite,
}

const MIB: usize = 1 << 20;
const KIB: usize = 1 << 10;
const PAGE: usize = 4 * KIB;

impl Region {
    /// Every region.
    pub fn all() -> impl Iterator<Item = Region> {
        let of_slot =
            |slot| [Region::Window(slot), Region::Stack(slot), Region::Context(slot), Region::Maps(slot)];
        [Region::Code, Region::Rows, Region::Control, Region::NativeStack, Region::Programs, Region::Runtime]
            .into_iter()
            .chain(Slot::all().flat_map(of_slot))
    }

    /// The address of its first byte for the code that runs; all regions but windows and stacks of [high slots](Slot::is_high) lie below
    /// 0x7fff0000, so that x86-64 code reaches them by 32-bit displacements.
    pub const fn address(self) -> u64 {
        match self {
            Region::Code => 0x4000_0000,
            Region::Rows => 0x4800_0000,
            Region::Control => 0x5000_0000,
            Region::NativeStack => 0x5800_0000,
            Region::Window(slot) => slot.window(),
            Region::Stack(slot) => slot.stack(),
            Region::Programs => 0x4100_0000,
            Region::Runtime => 0x5400_0000,
            Region::Context(slot) => slot.context(),
            Region::Maps(slot) => slot.maps(),
        }
    }

    /// Its size in bytes, a multiple of the page size.
    pub const fn size(self) -> usize {
        match self {
            Region::Code => 4 * MIB,
            Region::Rows => 8 * MIB,
            Region::Control | Region::NativeStack => 64 * KIB,
            Region::Window(_) => WINDOW_SIZE,
            Region::Stack(_) => STACK_SIZE,
            Region::Programs => 32 * MIB,
            Region::Runtime => PAGE,
            Region::Context(_) => CONTEXT_SIZE,
            Region::Maps(_) => MAPS_SIZE,
        }
    }

    /// Its addresses.
    pub const fn range(self) -> std::ops::Range<u64> {
        self.address()..self.address() + self.size() as u64
    }

    /// Where it lies in the shared file.
    pub const fn file_offset(self) -> usize {
        match self {
            Region::Code => 0,
            Region::Rows => 4 * MIB,
            Region::Control => 12 * MIB,
            Region::NativeStack => 12 * MIB + 64 * KIB,
            Region::Window(slot) => SLOTS_OFFSET + slot.index() * (WINDOW_SIZE + STACK_SIZE),
            Region::Stack(slot) => SLOTS_OFFSET + slot.index() * (WINDOW_SIZE + STACK_SIZE) + WINDOW_SIZE,
            Region::Context(slot) => CONTEXTS_OFFSET + slot.index() * CONTEXT_SIZE,
            Region::Runtime => CONTEXTS_OFFSET + SLOTS * CONTEXT_SIZE,
            Region::Programs => PROGRAMS_OFFSET,
            Region::Maps(slot) => MAPS_OFFSET + slot.index() * MAPS_SIZE,
        }
    }

    /// What code that runs may do with it.
    pub const fn protection(self) -> Protection {
        match self {
            Region::Code | Region::Programs => Protection::ReadExecute,
            _ => Protection::ReadWrite,
        }
    }
}

const SLOTS_OFFSET: usize = 12 * MIB + 128 * KIB;
const CONTEXTS_OFFSET: usize = SLOTS_OFFSET + SLOTS * (WINDOW_SIZE + STACK_SIZE);
const PROGRAMS_OFFSET: usize = 13 * MIB;
const MAPS_OFFSET: usize = PROGRAMS_OFFSET + 32 * MIB;
/// Most of it is never touched, and takes no memory.
const FILE_SIZE: usize = MAPS_OFFSET + SLOTS * MAPS_SIZE;

/// A shared memory file with all regions, mapped read-write into this process at an address of the kernel's choice.
pub struct Arena {
    file: OwnedFd,
    base: NonNull<u8>,
}

// SAFETY: the mapping belongs to this value alone, and its bytes are reached through `&self` and `&mut self` only.
unsafe impl Send for Arena {}

impl Arena {
    /// An arena of zeroes.
    ///
    /// # Errors
    /// What memfd_create(2), ftruncate(2) or mmap(2) report.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the name is a valid C string; the call touches no memory of ours.
        let raw = unsafe { libc::memfd_create(c"kop-arena".as_ptr(), libc::MFD_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just created and nothing else owns it.
        let file = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: plain system call on a descriptor that we own.
        if unsafe { libc::ftruncate(raw, FILE_SIZE as libc::off_t) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), FILE_SIZE, protection, libc::MAP_SHARED, raw, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("mmap without MAP_FIXED never returns address 0");
        Ok(Self { file, base })
    }

    /// The shared file, of which [`Region::file_offset`] tells the parts.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The bytes of a region.
    pub fn bytes(&self, region: Region) -> &[u8] {
        // SAFETY: every region lies within the file, which stays mapped as long as `self` lives. Another process may write
        // to it only between a request to it and its answer, and the engine that sends it waits without holding a borrow.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(region.file_offset()), region.size()) }
    }

    /// The bytes of a region, to write to them.
    pub fn bytes_mut(&mut self, region: Region) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes the borrow the only one in this process.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(region.file_offset()), region.size()) }
    }

    /// The address of a region in this process.
    pub fn pointer(&self, region: Region) -> *mut u8 {
        // SAFETY: the offset lies within the mapping.
        unsafe { self.base.as_ptr().add(region.file_offset()) }
    }

    /// Maps a region into this process at its fixed address too, read-write, for as long as the process lives.
    ///
    /// # Errors
    /// What mmap(2) reports; EEXIST when something else lives there.
    pub fn map_fixed(&self, region: Region) -> io::Result<()> {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: MAP_FIXED_NOREPLACE never replaces an existing mapping.
        let mapped = unsafe {
            libc::mmap(
                region.address() as *mut libc::c_void,
                region.size(),
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                self.file.as_raw_fd(),
                region.file_offset() as libc::off_t,
            )
        };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no borrow of it can outlive `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), FILE_SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_overlap() {
        let spans = |of: fn(Region) -> (u64, u64)| {
            let mut spans: Vec<_> = Region::all().map(of).collect();
            spans.sort_unstable();
            assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            spans
        };
        let addresses = spans(|region| (region.address(), region.address() + region.size() as u64));
        let low = addresses.iter().filter(|(_, end)| *end <= 0x7fff_0000);
        assert_eq!(addresses.len() - low.count(), 2 * Slot::all().filter(|slot| slot.is_high()).count());
        // What is cut to 32 bits reaches nothing.
        let cut = |(start, end): &(u64, u64)| (start & 0xffff_ffff, end & 0xffff_ffff);
        let mut high = addresses.iter().filter(|(_, end)| *end > 0x7fff_0000).map(cut);
        assert!(high.all(|(start, end)| addresses.iter().all(|own| end <= own.0 || own.1 <= start)));
        let offsets =
            spans(|region| (region.file_offset() as u64, (region.file_offset() + region.size()) as u64));
        assert_eq!(offsets.last().expect("there are regions").1, FILE_SIZE as u64);
    }

    #[test]
    fn regions_hold_what_is_written() {
        let mut arena = Arena::new().expect("memfd works on Linux");
        for (i, region) in Region::all().enumerate() {
            arena.bytes_mut(region).fill(i as u8);
        }
        for (i, region) in Region::all().enumerate() {
            assert!(arena.bytes(region).iter().all(|&byte| byte == i as u8), "{region:?}");
        }
    }
}
