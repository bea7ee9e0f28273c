// SPDX-License-Identifier: GPL-2.0-or-later
//! What a program finds around it: memory, maps, the context and its packet, and the helper functions that act on them.
//!
//! The bytes that a program can address are an [`Image`], or wherever an engine keeps them; everything else is a [`World`].
//! Helper functions are implemented here once, over [`GuestMemory`], and every engine of user space calls them.

mod image;

use kop_ops::Fault;
use kop_ops::state::Registers;

pub use image::{Image, MAX_REGIONS};

/// The memory that a program addresses, as helper functions reach it.
pub trait GuestMemory {
    /// Reads the bytes at `address`.
    ///
    /// # Errors
    /// [`Fault::Memory`] when one of them is not mapped.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Writes the bytes at `address`; nothing when one of them cannot be written.
    ///
    /// # Errors
    /// [`Fault::Memory`] when one of them is not mapped.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault>;
}

/// Everything around a program that is not memory: what maps hold besides values, the packet's bounds, the clock, random
/// numbers, and what the program sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {}

/// What a helper function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It returns this in r0.
    Return(u64),
    /// It does not return: the program of the object with this index goes on in the caller's frame.
    TailCall(usize),
}

impl World {
    /// Calls the helper function `id` (`enum bpf_func_id`) with r1..r5.
    ///
    /// # Errors
    /// [`Fault::Helper`] for a function that there is not, or not for this kind of program, and [`Fault::Memory`] for an
    /// argument that points to memory which is not the program's.
    pub fn call(
        &mut self,
        memory: &mut dyn GuestMemory,
        id: i32,
        arguments: [u64; 5],
    ) -> Result<Reply, Fault> {
        let _ = (memory, arguments);
        Err(Fault::Helper { id })
    }

    /// The registers at the entry of a program: r1 is the context (r1 and r2 window and length for a raw program), r10 the
    /// end of the stack, the others zero.
    pub fn registers(&self) -> Registers {
        [0; 11]
    }
}
