// SPDX-License-Identifier: GPL-2.0-or-later
//! The search of the target `module`: whenever an input takes a branch of the module that none took before, the payloads that
//! differ from its payload in one field are tried next.
//!
//! A decoder looks at one field after the other, so that a payload which passes one check more than all before it is the one to
//! go on from. A fuzzer's own mutations find that out by chance, among thousands of inputs that reached something new in the
//! harness; here it takes some hundred inputs a check. Each is an input like any other: what is found is reproduced by its
//! bytes.

use std::collections::{HashSet, VecDeque};

use kop_modules::in_process;
use kop_ops::Kop;
use kop_ops::payload::PAYLOAD_BITS;

use super::input::{site_of, spelled_out};

/// How wide the fields are that are changed, in bits, and how far apart they start.
const NARROW: u32 = 4;
const WIDE: u32 = 8;
const STEP: u32 = 4;

/// The fuzzer's own mutations keep one input in so many.
const FUZZERS_SHARE: u32 = 4;

/// A payload whose neighbours are tried, and how far that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Around {
    operation: usize,
    payload: u64,
    width: u32,
    next: u32,
}

impl Around {
    /// The next neighbour: every other value of one field after the other.
    fn advance(&mut self) -> Option<u64> {
        let others = (1 << self.width) - 1;
        let low = self.next / others * STEP;
        if low + self.width > PAYLOAD_BITS {
            return None;
        }
        let difference = u64::from(self.next % others + 1);
        self.next += 1;
        Some(self.payload ^ difference << low)
    }
}

/// What branches were taken so far, and which payloads are to be tried.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    edges: HashSet<usize>,
    /// Payloads of which the narrow fields are changed, and after these the wide ones.
    narrow: VecDeque<Around>,
    wide: VecDeque<Around>,
    /// How many operations there are.
    operations: usize,
}

impl Neighbours {
    /// Looks at what the input that just ran went through in the modules.
    pub(super) fn look(&mut self, kops: &[&dyn Kop], bytes: &[u8]) {
        let mut is_new = false;
        in_process::for_each_edge(|edge| is_new |= self.edges.insert(edge));
        if is_new {
            let (operation, _, payload) = site_of(kops, bytes);
            self.operations = kops.len();
            self.search_around(operation, payload);
        }
    }

    fn search_around(&mut self, operation: usize, payload: u64) {
        self.narrow.push_front(Around { operation, payload, width: NARROW, next: 0 });
        self.wide.push_front(Around { operation, payload, width: WIDE, next: 0 });
    }

    /// The operation and payload to try next.
    fn pop(&mut self) -> Option<(usize, u64)> {
        for queue in [&mut self.narrow, &mut self.wide] {
            while let Some(around) = queue.front_mut() {
                if let Some(payload) = around.advance() {
                    return Some((around.operation, payload));
                }
                queue.pop_front();
            }
        }
        None
    }

    /// Writes the next neighbour's payload into an input of `size` bytes, keeping the states behind it, and returns the size of
    /// the whole; `None` when it is the fuzzer's turn.
    pub(super) fn next(&mut self, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
        let room = max_size.min(data.len());
        if seed.is_multiple_of(FUZZERS_SHARE) || room < spelled_out(0, self.operations.max(1), 0).len() {
            return None;
        }
        let (operation, payload) = self.pop()?;
        let prefix = spelled_out(operation, self.operations, payload);
        data[..prefix.len()].copy_from_slice(&prefix);
        Some(size.clamp(prefix.len(), room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_differ_in_one_field_and_come_once() {
        let mut search = Neighbours { operations: 1, ..Neighbours::default() };
        search.search_around(0, 0x000f_0000_1234_5678);
        let narrow: Vec<u64> = std::iter::from_fn(|| search.pop().map(|(_, payload)| payload)).collect();
        let (first, rest) = narrow.split_at(13 * 15);
        let distinct: HashSet<u64> = first.iter().copied().collect();
        assert_eq!(distinct.len(), 13 * 15);
        assert_eq!(rest.len(), 12 * 255);
        for payload in narrow {
            let difference = payload ^ 0x000f_0000_1234_5678;
            assert!(difference != 0 && difference >> PAYLOAD_BITS == 0);
            assert!(difference >> (difference.trailing_zeros() / 4 * 4) < 0x100, "{difference:#x}");
        }
    }

    /// Five checks, one behind the other, of four bits each: the neighbours of what passed one pass the next.
    #[test]
    fn what_passes_one_check_more_is_gone_on_from() {
        let wanted = 0x000b_6d90_0000_0007_u64;
        let passed = |payload: u64| {
            [36, 40, 44, 48, 0].iter().take_while(|&&low| (payload ^ wanted) >> low & 0xf == 0).count()
        };
        let mut search = Neighbours { operations: 1, ..Neighbours::default() };
        let (mut deepest, mut tried) = (0, 0);
        search.search_around(0, 0x3210);
        while deepest < 5 {
            let (_, payload) = search.pop().expect("it is found before the neighbours run out");
            tried += 1;
            if passed(payload) > deepest {
                deepest = passed(payload);
                search.search_around(0, payload);
            }
        }
        assert!(tried < 6 * 13 * 15, "{tried} payloads");
    }

    #[test]
    fn the_newest_comes_first_and_the_fuzzer_gets_its_share() {
        let mut search = Neighbours { operations: 3, ..Neighbours::default() };
        search.search_around(0, 1);
        search.search_around(2, 0x50);
        let mut data = [0xaa; 32];
        assert_eq!(search.next(&mut data, 20, 32, 0), None, "the fuzzer's turn");
        assert_eq!(search.next(&mut data, 20, 9, 1), None, "no room");
        assert_eq!(search.next(&mut data, 20, 32, 1), Some(20));
        assert_eq!(data[..11], [2, 0, 0x51, 0, 0, 0, 0, 0, 0, 0, 0xaa]);
        assert_eq!(search.next(&mut data, 4, 32, 2), Some(10));
        assert_eq!(data[..3], [2, 0, 0x52]);
        let mut none = Neighbours::default();
        assert_eq!(none.next(&mut data, 20, 32, 1), None);
    }
}
