// SPDX-License-Identifier: GPL-2.0-or-later
//! Where code ends up: branches are written long and become short where they reach, and loops start in the first half of a line.

use kop_ops::x86_64::{BranchKind, Insn, Rel};

use super::Compiler;
use crate::planted::Planted;

/// Bytes of a line: what processors fetch code by, and what the op cache of AMD's has its entries of. How quickly a short loop runs
/// is a matter of how many of them it lies in, by a factor of up to 1.6 on Zen 3.
const LINE: u32 = 64;

/// The most bytes of padding. Loops whose heads stand in the first half of a line stay where they are: on the way into a loop, and
/// in one around it, padding is run.
const MOST_PADDING: u32 = 32;

/// A place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes before it.
    pub offset: u32,
    /// Elastic parts before it.
    elastics: u32,
}

impl Place {
    /// Not known yet.
    pub const UNBOUND: Place = Place { offset: 0, elastics: 0 };
}

/// A part of the code whose length is chosen in the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elastic {
    /// The offset of its first byte, everything in its longest form.
    offset: u32,
    /// What it is.
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A branch to a place, and whether it is written in its short form.
    Branch { kind: BranchKind, place: u32, short: bool },
    /// So many bytes that do nothing.
    Padding(u32),
}

impl Elastic {
    /// Bytes of its longest form.
    fn longest(&self) -> u32 {
        match self.part {
            Part::Branch { kind: BranchKind::Jcc(_), .. } => 6,
            Part::Branch { .. } => 5,
            Part::Padding(_) => MOST_PADDING,
        }
    }

    /// Bytes that it takes as things are.
    fn len(&self) -> u32 {
        match self.part {
            Part::Branch { short: true, .. } => 2,
            Part::Branch { .. } => self.longest(),
            Part::Padding(bytes) => bytes,
        }
    }

    /// How many bytes it takes less than its longest form.
    fn saved(&self) -> u32 {
        self.longest() - self.len()
    }
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// Here.
    pub(super) fn here(&self) -> Place {
        Place { offset: self.code.len() as u32, elastics: self.elastics.len() as u32 }
    }

    /// Puts a place here.
    #[inline(always)]
    pub(super) fn bind(&mut self, place: usize) {
        self.places[place] = self.here();
    }

    /// A new place, bound nowhere yet.
    pub(super) fn new_place(&mut self) -> u32 {
        self.places.push(Place::UNBOUND);
        self.places.len() as u32 - 1
    }

    /// Code that belongs to no instruction starts here.
    pub(super) fn mark_plain(&mut self) {
        self.plain.push(self.here());
    }

    /// A branch to a place.
    pub(super) fn branch(&mut self, kind: BranchKind, place: u32) {
        let short = kind != BranchKind::Call;
        self.elastics
            .push(Elastic { offset: self.code.len() as u32, part: Part::Branch { kind, place, short } });
        self.code.push(branch(kind, Rel::Near, 0));
    }

    /// What comes next is the head of a loop.
    pub(super) fn align_loop(&mut self) {
        let padding = Elastic { offset: self.code.len() as u32, part: Part::Padding(0) };
        self.elastics.push(padding);
        self.code.push_bytes(&[0; MOST_PADDING as usize]);
    }

    /// Chooses the length of everything elastic, moves the code together, and puts places where they are then.
    pub(super) fn settle(&mut self) {
        let saved = self.choose_lengths();
        for place in self.places.iter_mut().chain(&mut self.plain) {
            place.offset -= saved[place.elastics as usize];
        }
        let (mut from, mut to) = (0, 0);
        for elastic in &self.elastics {
            let start = elastic.offset as usize;
            self.code.pull(from, to, start - from);
            to += start - from;
            from = start + elastic.longest() as usize;
            let len = elastic.len() as usize;
            match elastic.part {
                Part::Branch { kind, place, short } => {
                    let target = self.places[place as usize].offset;
                    let disp = i64::from(target) - (to + len) as i64;
                    let mut disp = i32::try_from(disp).expect("code is below 2 GiB");
                    if short && self.planted(Planted::ShortBranchRange) {
                        disp = i32::from(disp as i8);
                    }
                    let rel = if short { Rel::Short } else { Rel::Near };
                    self.code.replace(to, branch(kind, rel, disp));
                }
                Part::Padding(_) => self.code.replace_with_nops(to, len),
            }
            to += len;
        }
        let rest = self.code.len() - from;
        self.code.pull(from, to, rest);
        self.code.truncate(to + rest);
    }

    /// Makes branches long that do not reach, from all short, until all reach; returns for each number of elastic parts how
    /// many bytes they save together.
    fn choose_lengths(&mut self) -> Vec<u32> {
        let reach = if self.planted(Planted::ShortBranchRange) { -132..=131 } else { -128..=127 };
        let mut saved = vec![0; self.elastics.len() + 1];
        loop {
            let mut sum = 0;
            for (slot, elastic) in saved[1..].iter_mut().zip(&mut self.elastics) {
                if let Part::Padding(bytes) = &mut elastic.part {
                    let start = elastic.offset - sum;
                    let missing = start.next_multiple_of(LINE) - start;
                    *bytes = if missing > MOST_PADDING { 0 } else { missing };
                }
                sum += elastic.saved();
                *slot = sum;
            }
            let mut grown = false;
            for (number, elastic) in self.elastics.iter_mut().enumerate() {
                let end = elastic.offset + elastic.longest() - saved[number + 1];
                let Part::Branch { place, short: short @ true, .. } = &mut elastic.part else { continue };
                let place = self.places[*place as usize];
                let target = place.offset - saved[place.elastics as usize];
                if !reach.contains(&(i64::from(target) - i64::from(end))) {
                    *short = false;
                    grown = true;
                }
            }
            if !grown {
                return saved;
            }
        }
    }
}

fn branch(kind: BranchKind, rel: Rel, disp: i32) -> Insn {
    match kind {
        BranchKind::Jmp => Insn::JmpRel { rel, disp },
        BranchKind::Jcc(cond) => Insn::JccRel { cond, rel, disp },
        BranchKind::Call => Insn::CallRel { disp },
    }
}
