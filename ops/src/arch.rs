// SPDX-License-Identifier: GPL-2.0-or-later
//! The two architectures that operations are emitted for, and the optional CPU features that an emit may need.

use std::fmt;
use std::str::FromStr;

/// A native instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// x86-64 in 64-bit mode (Intel SDM, AMD APM).
    X86_64,
    /// A64 in little-endian AArch64 state (Arm ARM, DDI 0487).
    Aarch64,
}

impl Arch {
    /// Both architectures, in the order of every table and report.
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// The name on the command line and in reports: `x86_64` or `aarch64`.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no architecture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}` (x86_64 or aarch64)")]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, UnknownArch> {
        match name {
            "x86_64" | "x86-64" | "amd64" => Ok(Arch::X86_64),
            "aarch64" | "arm64" => Ok(Arch::Aarch64),
            _ => Err(UnknownArch(name.to_owned())),
        }
    }
}

/// One optional CPU feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Feature {
    /// x86 POPCNT (CPUID.01H:ECX\[23\]).
    Popcnt,
    /// x86 LZCNT (CPUID.80000001H:ECX.ABM\[5\]).
    Lzcnt,
    /// x86 BMI1: TZCNT, BEXTR, ANDN, BLSI (CPUID.07H:EBX\[3\]).
    Bmi1,
    /// x86 BMI2: RORX, SHLX, PDEP, PEXT (CPUID.07H:EBX\[8\]).
    Bmi2,
    /// x86 MOVBE (CPUID.01H:ECX\[22\]).
    Movbe,
    /// x86 PCLMULQDQ, which works on XMM registers (CPUID.01H:ECX\[1\]).
    Pclmulqdq,
    /// x86 SSE4.2: CRC32, which works on general registers (CPUID.01H:ECX\[20\]).
    Sse42,
    /// x86 AVX512VL: EVEX instructions on XMM and YMM registers (CPUID.07H:EBX\[31\]).
    Avx512Vl,
    /// x86 AVX512_VPOPCNTDQ: VPOPCNTQ (CPUID.07H:ECX\[14\]).
    Avx512Vpopcntdq,
    /// AArch64 Advanced SIMD registers and instructions (ID_AA64PFR0_EL1.AdvSIMD).
    AdvSimd,
    /// AArch64 FEAT_PMULL: PMULL to 1Q (ID_AA64ISAR0_EL1.AES = 2).
    Pmull,
    /// AArch64 FEAT_LSE: LDADD, SWP, CAS and their kin (ID_AA64ISAR0_EL1.Atomic = 2).
    Lse,
    /// AArch64 FEAT_SB: SB (ID_AA64ISAR1_EL1.SB = 1).
    Sb,
    /// AArch64 FEAT_CRC32: CRC32B to CRC32CX (ID_AA64ISAR0_EL1.CRC32).
    Crc32,
    /// AArch64 FEAT_SVE_BitPerm: BEXT, BDEP and BGRP on Z registers (ID_AA64ZFR0_EL1.BitPerm).
    SveBitperm,
    /// x86 SSE2, which every x86-64 processor has and kernel code has not (CPUID.01H:EDX\[26\]).
    Sse2,
}

impl Feature {
    /// Every feature, in declaration order.
    pub const ALL: [Feature; 16] = [
        Feature::Popcnt,
        Feature::Lzcnt,
        Feature::Bmi1,
        Feature::Bmi2,
        Feature::Movbe,
        Feature::Pclmulqdq,
        Feature::Sse42,
        Feature::Avx512Vl,
        Feature::Avx512Vpopcntdq,
        Feature::AdvSimd,
        Feature::Pmull,
        Feature::Lse,
        Feature::Sb,
        Feature::Crc32,
        Feature::SveBitperm,
        Feature::Sse2,
    ];

    /// The name as Linux prints it in `/proc/cpuinfo`.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::Popcnt => "popcnt",
            Feature::Lzcnt => "lzcnt",
            Feature::Bmi1 => "bmi1",
            Feature::Bmi2 => "bmi2",
            Feature::Movbe => "movbe",
            Feature::Pclmulqdq => "pclmulqdq",
            Feature::Sse42 => "sse4_2",
            Feature::Avx512Vl => "avx512vl",
            Feature::Avx512Vpopcntdq => "avx512_vpopcntdq",
            Feature::AdvSimd => "asimd",
            Feature::Pmull => "pmull",
            Feature::Lse => "atomics",
            Feature::Sb => "sb",
            Feature::Crc32 => "crc32",
            Feature::SveBitperm => "svebitperm",
            Feature::Sse2 => "sse2",
        }
    }

    /// The architecture that has the feature.
    pub const fn arch(self) -> Arch {
        match self {
            Feature::AdvSimd
            | Feature::Pmull
            | Feature::Lse
            | Feature::Sb
            | Feature::Crc32
            | Feature::SveBitperm => Arch::Aarch64,
            _ => Arch::X86_64,
        }
    }

    /// Whether using it touches SIMD registers, which kernel code has only when it saves them.
    pub const fn is_simd(self) -> bool {
        matches!(
            self,
            Feature::Sse2
                | Feature::Pclmulqdq
                | Feature::Avx512Vl
                | Feature::Avx512Vpopcntdq
                | Feature::AdvSimd
                | Feature::Pmull
                | Feature::SveBitperm
        )
    }
}

/// A set of CPU features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Features(u32);

impl Features {
    /// The empty set.
    pub const NONE: Features = Features(0);

    /// The set of `features`.
    pub const fn of(features: &[Feature]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < features.len() {
            bits |= 1 << features[i] as u32;
            i += 1;
        }
        Features(bits)
    }

    /// Every feature of `arch`.
    pub fn all(arch: Arch) -> Self {
        Feature::ALL.into_iter().filter(|feature| feature.arch() == arch).collect()
    }

    /// Whether `feature` is in the set.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u32) != 0
    }

    /// Whether every feature of `other` is in this set.
    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The features in either set.
    pub const fn union(self, other: Features) -> Self {
        Features(self.0 | other.0)
    }

    /// The features of this set that are not in `other`.
    pub const fn minus(self, other: Features) -> Self {
        Features(self.0 & !other.0)
    }

    /// The set without the features that touch SIMD registers.
    pub fn without_simd(self) -> Self {
        self.iter().filter(|feature| !feature.is_simd()).collect()
    }

    /// Whether a feature of the set touches SIMD registers.
    pub fn uses_simd(self) -> bool {
        self.iter().any(Feature::is_simd)
    }

    /// The features in declaration order.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(move |feature| self.has(*feature))
    }

    /// Every subset of the set, the whole set first and the empty set last.
    pub fn subsets(self) -> Vec<Features> {
        let members: Vec<Feature> = self.iter().collect();
        (0..1u32 << members.len())
            .rev()
            .map(|mask| (0..members.len()).filter(|i| mask >> i & 1 == 1).map(|i| members[i]).collect())
            .collect()
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        Features(features.into_iter().fold(0, |bits, feature| bits | 1 << feature as u32))
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, feature) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", feature.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_start_whole_and_end_empty() {
        let set = Features::of(&[Feature::Bmi1, Feature::Movbe]);
        let subsets = set.subsets();
        assert_eq!((subsets.len(), subsets[0], subsets[3]), (4, set, Features::NONE));
    }

    #[test]
    fn simd_is_separated() {
        let all = Features::all(Arch::Aarch64);
        assert!(all.uses_simd());
        assert_eq!(all.without_simd(), Features::of(&[Feature::Lse, Feature::Sb, Feature::Crc32]));
        assert!(!Features::of(&[Feature::Popcnt]).uses_simd());
    }

    #[test]
    fn feature_order_matches_the_table() {
        for (i, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(feature as usize, i);
        }
    }
}
