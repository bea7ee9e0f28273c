// SPDX-License-Identifier: GPL-2.0-or-later
//! The native code around a whole program: it enters the program's code as a function of the platform's ABI, and
//! leaves it at each call of a helper function, to be entered again with the answer. One file per architecture, mirrored.
//!
//! A call of a helper function is an end of a machine's run like the return of the program: the registers are put down,
//! the engine does what the helper does, and another run takes them up. So every machine has helper calls without knowing
//! of them, and what a helper may clobber can be set to anything.

use kop_ops::Arch;

use crate::arena::Region;
use crate::native::STACK_POINTER;

/// Places in the control region that the drivers of programs use.
pub mod control {
    use super::WORDS;
    use crate::arena::Region;

    /// Where the machine's stack pointer and link register are kept.
    pub const SAVED: u64 = Region::Control.address();
    /// The end of a few words of stack for moving flags.
    pub const FLAG_STACK: u64 = Region::Control.address() + 0x100;
    /// Why the code was left: one of [`status`].
    pub const STATUS: u64 = Region::Control.address() + 0x200;
    /// Which function was called: the number of its slot, or its id, in the low 32 bits.
    pub const CALLEE: u64 = Region::Control.address() + 0x208;
    /// Where the program's code starts.
    pub const ENTRY: u64 = Region::Control.address() + 0x210;
    /// The registers that it starts with.
    pub const BEFORE: u64 = Region::Control.address() + 0x400;
    /// The registers at a call.
    pub const CALL: u64 = Region::Control.address() + 0x600;
    /// The registers after a call.
    pub const RESUME: u64 = Region::Control.address() + 0x800;
    /// The registers after the program's return.
    pub const AFTER: u64 = Region::Control.address() + 0xa00;

    const _: () = assert!(8 * WORDS <= 0x200);

    /// Values of [`STATUS`].
    pub mod status {
        /// The program returned.
        pub const FINISHED: i32 = 1;
        /// It called the function of a slot.
        pub const SLOT: i32 = 2;
        /// It called a function by its id.
        pub const GATE: i32 = 3;
    }
}

/// The words of a register file.
pub const WORDS: usize = 48;

/// The word of the flags, after the general registers and, on AArch64, the stack pointer.
pub const FLAGS: usize = 32;

/// The word of the first SIMD register whose lower half must be preserved, on AArch64: v8 to v15.
pub const VECTORS: usize = 33;

/// General registers by number, flags, and what else must be preserved.
pub type RegisterFile = [u64; WORDS];

/// The code of a driver, and where its parts are.
#[derive(Clone, Debug)]
pub struct DriverCode {
    /// The bytes, to be placed at the start of the code region.
    pub bytes: Vec<u8>,
    /// Enters the program.
    pub start: u64,
    /// Goes on after a call.
    pub resume: u64,
    /// The return to the machine.
    pub exit: u64,
    /// The function of calls by register.
    pub gate: u64,
    /// The function of each slot.
    pub slots: Vec<u64>,
}

/// What an architecture's drivers offer; both modules implement it, so that the engine is written once.
pub trait ProgramDriver: Copy + Send + Sync + 'static {
    /// The architecture.
    const ARCH: Arch;
    /// What its platform's ABI says.
    const ABI: &'static Abi;

    /// The code.
    fn code() -> DriverCode;
}

/// What the platform's ABI says of functions, in words of a register file.
#[derive(Debug)]
pub struct Abi {
    /// The first five arguments.
    pub arguments: [usize; 5],
    /// The result.
    pub result: usize,
    /// The stack pointer.
    pub stack_pointer: usize,
    /// How many bytes the stack pointer is short of a multiple of 16 where a function starts.
    pub return_bytes: u64,
    /// Where r10 lives.
    pub frame_pointer: usize,
    /// The link register, where the return address is not on the stack.
    pub link: Option<usize>,
    /// What a function preserves besides the stack pointer, with names.
    pub preserved: &'static [(usize, &'static str)],
    /// The flags that garbage may set.
    pub any_flags: u64,
    /// The flags that are always set.
    pub set_flags: u64,
    /// The direction flag, where there is one: it is clear where functions start and end.
    pub direction_flag: u64,
}

/// The address of a word of the register file at `base`.
pub const fn word(base: u64, number: usize) -> u64 {
    base + 8 * number as u64
}

/// The stack pointer that programs start with; the words above it are the caller's.
pub const PROGRAM_STACK: u64 = STACK_POINTER;

const _: () = assert!(PROGRAM_STACK.is_multiple_of(16));

/// Where drivers stand.
pub const PLACE: u64 = Region::Code.address();
