// SPDX-License-Identifier: GPL-2.0-or-later
//! What registers hold that nobody may rely on: the same for every run, and different at each call in it.

use super::driver::{RegisterFile, WORDS};

/// One register file of garbage: the upper and the lower half of each word are not zero, and no word is near an address
/// that is mapped.
pub(super) const GARBAGE: RegisterFile = make();

const fn make() -> RegisterFile {
    let mut file = [0; WORDS];
    let mut state: u64 = 0x243f_6a88_85a3_08d3; // the digits of pi
    let mut i = 0;
    while i < WORDS {
        // Numbers of a linear congruential generator (Knuth's MMIX), with the upper half's top bit set.
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        file[i] = state | 0x8000_0000_0000_0001;
        i += 1;
    }
    file
}

/// Garbage that changes from call to call.
pub(super) struct Garbage {
    file: RegisterFile,
}

impl Garbage {
    pub(super) fn new() -> Self {
        Self { file: GARBAGE }
    }

    pub(super) fn file(&self) -> &RegisterFile {
        &self.file
    }

    /// Other garbage.
    pub(super) fn advance(&mut self) {
        self.file.rotate_left(1);
    }
}
