// SPDX-License-Identifier: GPL-2.0-or-later
//! Words in the encoding spaces of what is covered, so that encodings occur that our assembler does not choose or does not
//! have.

use kop_ops::choices::Choices;

/// A space: its name, the bits that are fixed, and those that are free.
pub type Space = (&'static str, u32, u32);

/// The spaces (Arm ARM, C4.1), and by themselves those instructions that few words of a space are.
pub const SPACES: &[Space] = &[
    ("data processing with an immediate", 0x1000_0000, 0xe3ff_ffff),
    ("data processing on registers", 0x0a00_0000, 0xf1ff_ffff),
    ("branches and system", 0x1400_0000, 0xe3ff_ffff),
    ("hints", 0xd503_201f, 0x0000_0fe0),
    ("barriers", 0xd503_301f, 0x0000_0fe0),
    ("MRS and MSR of NZCV", 0xd51b_4200, 0x0020_001f),
    ("CFINV", 0xd500_401f, 0),
    ("RMIF", 0xba00_0400, 0x001f_83ef),
    ("SETF8 and SETF16", 0x3a00_080d, 0x0000_43e0),
    ("exclusive and ordered accesses, and CAS", 0x0800_0000, 0xc0ff_ffff),
    ("those without a status and a second register", 0x081f_7c00, 0xc0e0_83ff),
    ("those without a second register", 0x0800_7c00, 0xc0ff_83ff),
    ("exclusive pairs without a status", 0x083f_0000, 0xc040_ffff),
    ("pairs", 0x2800_0000, 0xc5ff_ffff),
    ("literals", 0x1800_0000, 0xc4ff_ffff),
    ("atomic accesses", 0x3820_0000, 0xc0df_f3ff),
    ("loads and stores", 0x3800_0000, 0xc7ff_ffff),
    ("vectors", 0x0e00_0000, 0x61ff_ffff),
    ("three vectors of the same size", 0x0e20_0400, 0x60df_fbff),
    ("three vectors of two sizes", 0x0e20_0000, 0x60df_f3ff),
    ("two vectors", 0x0e20_0800, 0x60c1_f3ff),
    ("a vector and a scalar", 0x0e30_0800, 0x60c1_f3ff),
    ("permutations", 0x0e00_0800, 0x40df_73ff),
    ("tables", 0x0e00_0000, 0x401f_73ff),
    ("doublewords", 0x5ee0_0400, 0x201f_fbff),
    ("doublewords alone", 0x5ee0_0800, 0x2001_f3ff),
    ("shifts of doublewords", 0x5f40_0400, 0x203f_fbff),
    ("lanes as scalars", 0x5e00_0400, 0x001f_03ff),
    ("ADDP of doublewords", 0x5ef1_b800, 0x0000_03ff),
    ("immediates and shifts of vectors", 0x0f00_0400, 0x60ff_fbff),
    ("lanes", 0x0e00_0400, 0x601f_7bff),
    ("FMOV to and from general registers", 0x1e26_0000, 0x80d9_03ff),
    ("FMOV of scalars", 0x1e20_4000, 0x00c0_03ff),
];

/// A word of a space.
pub fn word(choices: &mut impl Choices, (_, fixed, free): &Space) -> u32 {
    fixed | choices.bits() as u32 & free
}
