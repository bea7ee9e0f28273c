// SPDX-License-Identifier: GPL-2.0-or-later
//! The eleven eBPF registers, and sets of them.

use std::fmt;
use std::str::FromStr;

/// An eBPF register (RFC 9669 section 2.2): r0 returns values, r1-r5 carry arguments, r6-r9 survive calls, and r10 is
/// the read-only frame pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reg {
    /// Return value of functions, exit value of programs.
    R0,
    /// First argument; the context when a program starts.
    R1,
    /// Second argument.
    R2,
    /// Third argument.
    R3,
    /// Fourth argument.
    R4,
    /// Fifth argument.
    R5,
    /// Preserved across calls; the context of legacy packet loads.
    R6,
    /// Preserved across calls.
    R7,
    /// Preserved across calls.
    R8,
    /// Preserved across calls.
    R9,
    /// The frame pointer, which programs may not write.
    R10,
}

impl Reg {
    /// Every register, in ascending order.
    pub const ALL: [Reg; 11] =
        [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R6, Reg::R7, Reg::R8, Reg::R9, Reg::R10];

    /// The registers that a program may write, r0 to r9, in ascending order.
    pub const WRITABLE: [Reg; 10] =
        [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R6, Reg::R7, Reg::R8, Reg::R9];

    /// The register with `number`, or `None` when that is over 10.
    pub const fn new(number: u8) -> Option<Reg> {
        if (number as usize) < Reg::ALL.len() { Some(Reg::ALL[number as usize]) } else { None }
    }

    /// The register's number, 0 to 10.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 11] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10"];
        f.pad(NAMES[self.index()])
    }
}

/// A name that is no eBPF register.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown register `{0}` (r0 to r10)")]
pub struct UnknownReg(pub String);

impl FromStr for Reg {
    type Err = UnknownReg;

    fn from_str(name: &str) -> Result<Self, UnknownReg> {
        numbered(name, 'r').ok_or_else(|| UnknownReg(name.to_owned()))
    }
}

/// The register that `name` gives as `prefix` and a decimal number without leading zeros.
pub(super) fn numbered(name: &str, prefix: char) -> Option<Reg> {
    match name.strip_prefix(prefix)?.as_bytes() {
        [digit @ b'0'..=b'9'] => Reg::new(digit - b'0'),
        b"10" => Some(Reg::R10),
        _ => None,
    }
}

/// A set of eBPF registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegSet(u16);

impl RegSet {
    /// The empty set.
    pub const EMPTY: RegSet = RegSet(0);

    /// The set of all eleven registers.
    pub const ALL: RegSet = RegSet::of(&Reg::ALL);

    /// The set of `registers`.
    #[inline]
    pub const fn of(registers: &[Reg]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < registers.len() {
            bits |= 1 << registers[i] as u16;
            i += 1;
        }
        RegSet(bits)
    }

    /// Whether `register` is in the set.
    #[inline]
    pub const fn has(self, register: Reg) -> bool {
        self.0 & (1 << register as u16) != 0
    }

    /// Adds `register`; returns whether it was missing.
    #[inline]
    pub const fn insert(&mut self, register: Reg) -> bool {
        let missing = !self.has(register);
        self.0 |= 1 << register as u16;
        missing
    }

    /// Takes `register` out; returns whether it was in the set.
    #[inline]
    pub const fn remove(&mut self, register: Reg) -> bool {
        let present = self.has(register);
        self.0 &= !(1 << register as u16);
        present
    }

    /// The registers in either set.
    #[inline]
    pub const fn union(self, other: RegSet) -> Self {
        RegSet(self.0 | other.0)
    }

    /// The registers of this set that are not in `other`.
    #[inline]
    pub const fn minus(self, other: RegSet) -> Self {
        RegSet(self.0 & !other.0)
    }

    /// The registers in both sets.
    #[inline]
    pub const fn intersect(self, other: RegSet) -> Self {
        RegSet(self.0 & other.0)
    }

    /// How many registers are in the set, 0 to 11.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The registers in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        Reg::ALL.into_iter().filter(move |register| self.has(*register))
    }
}

impl FromIterator<Reg> for RegSet {
    fn from_iter<I: IntoIterator<Item = Reg>>(registers: I) -> Self {
        registers.into_iter().fold(RegSet::EMPTY, |set, register| set.union(register.into()))
    }
}

impl From<Reg> for RegSet {
    fn from(register: Reg) -> Self {
        RegSet::of(&[register])
    }
}

impl fmt::Display for RegSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, register) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{register}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_roundtrip() {
        for (number, register) in Reg::ALL.into_iter().enumerate() {
            assert_eq!(register.index(), number);
            assert_eq!(Reg::new(number as u8), Some(register));
            assert_eq!(register.to_string(), format!("r{number}"));
            assert_eq!(register.to_string().parse(), Ok(register));
        }
        assert_eq!(Reg::new(11), None);
    }

    #[test]
    fn other_names_are_no_registers() {
        for name in ["", "r", "r11", "r00", "r010", "r-1", "w1", "R1", "r1 ", "10"] {
            assert_eq!(name.parse::<Reg>(), Err(UnknownReg(name.to_owned())));
        }
    }

    #[test]
    fn writable_is_all_but_the_frame_pointer() {
        assert_eq!(RegSet::of(&Reg::WRITABLE), RegSet::ALL.minus(Reg::R10.into()));
    }

    #[test]
    fn insert_and_remove_say_whether_they_changed_the_set() {
        let mut set = RegSet::EMPTY;
        assert!(set.insert(Reg::R10) && !set.insert(Reg::R10) && set.has(Reg::R10));
        assert!(set.remove(Reg::R10) && !set.remove(Reg::R10) && set.is_empty());
    }

    #[test]
    fn set_operations_follow_membership() {
        let a: RegSet = [Reg::R0, Reg::R3].into_iter().collect();
        let b = RegSet::of(&[Reg::R3, Reg::R9]);
        assert_eq!(a.union(b), RegSet::of(&[Reg::R0, Reg::R3, Reg::R9]));
        assert_eq!(a.intersect(b), Reg::R3.into());
        assert_eq!(a.minus(b), Reg::R0.into());
        assert_eq!((RegSet::ALL.len(), a.len(), RegSet::EMPTY.len()), (11, 2, 0));
        assert_eq!(b.iter().collect::<Vec<_>>(), [Reg::R3, Reg::R9]);
    }

    #[test]
    fn sets_print_in_ascending_order() {
        assert_eq!(RegSet::of(&[Reg::R3, Reg::R0]).to_string(), "{r0, r3}");
        assert_eq!(RegSet::EMPTY.to_string(), "{}");
    }
}
