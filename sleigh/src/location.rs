// SPDX-License-Identifier: GPL-2.0-or-later
//! What is compared after an instruction, register by register, and where SLEIGH has it.

use kop_ops::Arch;
use kop_ops::{aarch64, x86_64};
use kop_semantics::{aarch64::Flag as ArmFlag, x86_64::Flag};

/// A register, half of one, or a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its name in messages.
    pub name: String,
    /// Its width in the semantics, in bits: 64, 1, or 2 for two flags in one byte.
    pub width: u32,
    /// The SLEIGH register that holds it, and from which byte on. Flags are bytes there, 0 or 1.
    pub register: (String, u64),
}

impl Location {
    fn new(name: String, width: u32, register: &str, byte: u64) -> Self {
        Location { name, width, register: (register.to_owned(), byte) }
    }

    /// How many bytes it has in SLEIGH.
    pub const fn bytes(&self) -> u32 {
        self.width.div_ceil(8)
    }

    /// Whether it is a flag, or two.
    pub const fn is_flag(&self) -> bool {
        self.width < 8
    }
}

/// Everything that is compared.
pub fn locations(arch: Arch) -> Vec<Location> {
    match arch {
        Arch::X86_64 => x86_64_locations(),
        Arch::Aarch64 => aarch64_locations(),
    }
}

/// The flags of x86-64 by SLEIGH's names, with those of the semantics, the lowest first.
pub const X86_64_FLAGS: [(&str, &[Flag]); 13] = [
    ("CF", &[Flag::Carry]),
    ("PF", &[Flag::Parity]),
    ("AF", &[Flag::Adjust]),
    ("ZF", &[Flag::Zero]),
    ("SF", &[Flag::Sign]),
    ("TF", &[Flag::Trap]),
    ("IF", &[Flag::Interrupt]),
    ("DF", &[Flag::Direction]),
    ("OF", &[Flag::Overflow]),
    ("IOPL", &[Flag::IoLow, Flag::IoHigh]),
    ("NT", &[Flag::Nested]),
    ("AC", &[Flag::Alignment]),
    ("ID", &[Flag::Identification]),
];

/// The flags of AArch64 by SLEIGH's names.
pub const AARCH64_FLAGS: [(&str, ArmFlag); 4] =
    [("NG", ArmFlag::N), ("ZR", ArmFlag::Z), ("CY", ArmFlag::C), ("OV", ArmFlag::V)];

fn x86_64_locations() -> Vec<Location> {
    let general = x86_64::Gpr::ALL.iter().map(|register| {
        let name = format!("{register:?}");
        Location::new(name.to_lowercase(), 64, &name.to_uppercase(), 0)
    });
    let flags = X86_64_FLAGS
        .iter()
        .map(|(name, flags)| Location::new((*name).to_owned(), flags.len() as u32, name, 0));
    let vectors =
        x86_64::Xmm::ALL.iter().flat_map(|register| halves("xmm", "XMM", u32::from(register.code())));
    general.chain(flags).chain(vectors).collect()
}

fn aarch64_locations() -> Vec<Location> {
    let general = aarch64::Gpr::ALL.iter().map(|register| {
        let name = format!("x{}", register.number());
        Location::new(name.clone(), 64, &name, 0)
    });
    let general = general.chain([Location::new("sp".to_owned(), 64, "sp", 0)]);
    let flags = AARCH64_FLAGS.iter().map(|(name, flag)| Location::new(format!("{flag:?}"), 1, name, 0));
    let vectors = aarch64::V::ALL.iter().flat_map(|register| halves("v", "q", register.number()));
    general.chain(flags).chain(vectors).collect()
}

/// The halves of a vector register.
fn halves(name: &str, register: &str, number: u32) -> [Location; 2] {
    [("low", 0), ("high", 8)].map(|(half, byte)| {
        Location::new(format!("{name}{number} {half}"), 64, &format!("{register}{number}"), byte)
    })
}
