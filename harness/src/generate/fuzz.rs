// SPDX-License-Identifier: GPL-2.0-or-later
//! A fuzzer's bytes as decisions: the same generators run from them as from a seed.

use arbitrary::{Arbitrary, Unstructured};
use kop_ops::choices::{Choices, Seeded};

/// Decisions taken from bytes, a few at a time; when they run out, a sequence that they determine goes on.
pub struct ByteChoices<'a> {
    bytes: Unstructured<'a>,
    rest: Seeded,
}

impl<'a> ByteChoices<'a> {
    /// Decisions from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        // FNV-1a: the continuation depends on every byte.
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { bytes: Unstructured::new(bytes), rest: Seeded::new(hash) }
    }

    /// The continuation alone: what states beyond the ones spelled out in the bytes are made from.
    pub fn continuation(&self) -> Seeded {
        self.rest.clone()
    }
}

impl Choices for ByteChoices<'_> {
    fn bits(&mut self) -> u64 {
        if self.bytes.len() < 8 {
            return self.rest.bits();
        }
        self.bytes.arbitrary().unwrap_or_default()
    }

    fn below(&mut self, n: u64) -> u64 {
        if self.bytes.is_empty() || n <= 1 {
            return self.rest.below(n);
        }
        self.bytes.int_in_range(0..=n - 1).unwrap_or_default()
    }
}

/// A fuzzer's input: every byte string is one, the empty one too.
#[derive(Clone, Copy, Debug)]
pub struct FuzzInput<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> Arbitrary<'a> for FuzzInput<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let bytes = u.bytes(u.len())?;
        Ok(Self { bytes })
    }

    fn arbitrary_take_rest(u: Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self { bytes: u.take_rest() })
    }

    fn size_hint(_depth: usize) -> (usize, Option<usize>) {
        // An input shorter than the lower bound would be rejected before it is looked at.
        (0, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_first() {
        let mut choices = ByteChoices::new(&[3, 200]);
        assert_eq!((choices.below(10), choices.below(256)), (3, 200));
    }

    #[test]
    fn running_dry_goes_on_and_depends_on_the_bytes() {
        let first = |bytes: &[u8]| {
            let mut choices = ByteChoices::new(bytes);
            let _ = choices.below(256);
            choices.bits()
        };
        assert_ne!(first(&[1]), first(&[2]));
        assert_eq!(first(&[]), first(&[]));
    }

    #[test]
    fn no_input_is_rejected() {
        assert!(FuzzInput::arbitrary_take_rest(Unstructured::new(&[])).is_ok());
        assert_eq!(FuzzInput::size_hint(0).0, 0);
    }
}
