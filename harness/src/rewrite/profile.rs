// SPDX-License-Identifier: GPL-2.0-or-later
//! Profiles of branches: how often each conditional jump was taken while a program ran on packets, and how often a predictor would
//! have been wrong about it.
//!
//! The predictor is modelled: two tables of two-bit counters, one by the branch alone and one by the branch and the last twelve
//! outcomes (gshare), and of each branch the better of the two counts. Those of CPUs are better still, so that what is called
//! unpredictable here is mostly so there, where the packets are like those that were run on.
//!
//! A profile is text:
//!
//! ```text
//! kop-profile 1
//! program NAME HASH
//! branch INDEX taken NUMBER not-taken NUMBER mispredicted NUMBER
//! ```
//!
//! HASH is of the program's instructions: a profile of other instructions is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kop_jit::rewrite::{Branch, Profile};
use kop_jit::{LowerError, Lowered, lower};
use kop_ops::ebpf::{Insn, encode_program};
use kop_ops::state::Registers;
use kop_ops::{Catalog, Object, Program};
use kop_semantics::spec::{self, Observer};
use kop_semantics::{Image, Outcome, Run, World};

/// The first line.
const HEAD: &str = "kop-profile 1";

/// Bits of history that outcomes are told apart by.
const HISTORY: u32 = 12;

/// Counters of two bits: from 2 on they say that a branch is taken.
#[derive(Clone, Debug)]
struct Counters(Vec<u8>);

impl Counters {
    fn new() -> Self {
        Self(vec![1; 1 << 14])
    }

    /// Whether the prediction was wrong; it learns what was right.
    fn is_wrong(&mut self, at: u64, taken: bool) -> bool {
        let count = self.0.len();
        let counter = &mut self.0[at as usize % count];
        let predicted = *counter >= 2;
        *counter = if taken { (*counter + 1).min(3) } else { counter.saturating_sub(1) };
        predicted != taken
    }
}

/// Counts the branches of runs.
#[derive(Clone, Debug)]
pub struct Counter<'a> {
    object: &'a Object,
    lowered: Lowered,
    by_branch: Counters,
    by_history: Counters,
    history: u64,
    /// The branch that ran last, whose outcome the next instruction shows.
    pending: Option<(usize, usize)>,
    /// With how often each predictor was wrong.
    branches: BTreeMap<(usize, usize), (Branch, [u64; 2])>,
}

impl<'a> Counter<'a> {
    /// A counter that has seen nothing.
    ///
    /// # Errors
    /// [`LowerError`] for a Kop site that is wrong.
    pub fn new(object: &'a Object, catalog: &Catalog) -> Result<Self, LowerError> {
        Ok(Self {
            object,
            lowered: lower(object, catalog)?,
            by_branch: Counters::new(),
            by_history: Counters::new(),
            history: 0,
            pending: None,
            branches: BTreeMap::new(),
        })
    }

    /// Runs a program on `spec` from this world and memory, and counts.
    pub fn run(&mut self, entry: usize, world: &World, image: &Image, fuel: u64) -> Outcome {
        self.pending = None;
        let object = self.lowered.object.clone();
        let registers = world.registers();
        let run = Run { object: &object, entry, world, image, registers: &registers, fuel };
        spec::observed(&run, self)
    }

    /// What was counted.
    pub fn profile(&self) -> Profile {
        let branch = |(at, (branch, wrong)): (&(usize, usize), &(Branch, [u64; 2]))| {
            (*at, Branch { mispredicted: wrong[0].min(wrong[1]), ..*branch })
        };
        Profile { branches: self.branches.iter().map(branch).collect() }
    }

    fn count(&mut self, (program, lowered): (usize, usize), taken: bool) {
        let place = (program as u64) << 20 | lowered as u64;
        let wrong = [
            self.by_branch.is_wrong(place.wrapping_mul(0x9e37_79b9) >> 3, taken),
            self.by_history.is_wrong(place.wrapping_mul(0x9e37_79b9) >> 3 ^ self.history, taken),
        ];
        self.history = (self.history << 1 | u64::from(taken)) & ((1 << HISTORY) - 1);
        let index = self.lowered.origin(program, lowered);
        // Jumps of proof sequences are no branches of the program.
        if !matches!(self.object.programs[program].flow.insns()[index], Insn::Jump { .. }) {
            return;
        }
        let (branch, wrongs) = self.branches.entry((program, index)).or_default();
        if taken {
            branch.taken += 1
        } else {
            branch.not_taken += 1
        }
        for (count, wrong) in wrongs.iter_mut().zip(wrong) {
            *count += u64::from(wrong);
        }
    }
}

impl Observer for Counter<'_> {
    fn executed(&mut self, program: usize, index: usize, insn: &Insn, _registers: &Registers) {
        if let Some((of, at)) = self.pending.take() {
            self.count((of, at), index != at + 1);
        }
        if matches!(insn, Insn::Jump { off, .. } if *off != 0) {
            self.pending = Some((program, index));
        }
    }
}

/// Why text is no profile of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It is none at all, or of another version.
    #[error("no profile: the first line is not `{HEAD}`")]
    Head,
    /// A line that says nothing.
    #[error("line {0}: not `program NAME HASH` or `branch INDEX taken N not-taken N mispredicted N`")]
    Line(usize),
    /// The file has no program of that name.
    #[error("line {0}: there is no program `{1}`")]
    Program(usize, String),
    /// It is of other instructions.
    #[error("line {0}: the profile is of other instructions than those of `{1}`: collect it again")]
    Changed(usize, String),
    /// There is no branch.
    #[error("line {0}: instruction {1} is no conditional jump")]
    Branch(usize, usize),
}

/// A profile as text.
pub fn to_text(profile: &Profile, object: &Object) -> String {
    let mut text = format!("{HEAD}\n");
    for (number, program) in object.programs.iter().enumerate() {
        let of_program = profile.branches.range((number, 0)..(number + 1, 0));
        let mut lines = String::new();
        for ((_, index), branch) in of_program {
            let Branch { taken, not_taken, mispredicted } = branch;
            let _ = writeln!(
                lines,
                "branch {index} taken {taken} not-taken {not_taken} mispredicted {mispredicted}"
            );
        }
        if !lines.is_empty() {
            let _ = write!(text, "program {} {}\n{lines}", program.name, hash(program));
        }
    }
    text
}

/// Reads a profile of the programs of `object`.
///
/// # Errors
/// [`ProfileError`] with the line.
pub fn from_text(text: &str, object: &Object) -> Result<Profile, ProfileError> {
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    if lines.next().is_none_or(|(_, line)| line != HEAD) {
        return Err(ProfileError::Head);
    }
    let mut profile = Profile::default();
    let mut program = None;
    for (number, line) in lines {
        let wrong = || ProfileError::Line(number);
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["program", name, hashed] => {
                let index = object.programs.iter().position(|program| program.name == name);
                let index = index.ok_or_else(|| ProfileError::Program(number, name.to_owned()))?;
                if hash(&object.programs[index]) != hashed {
                    return Err(ProfileError::Changed(number, name.to_owned()));
                }
                program = Some(index);
            }
            ["branch", index, "taken", taken, "not-taken", not_taken, "mispredicted", mispredicted] => {
                let program = program.ok_or_else(wrong)?;
                let count = |text: &str| text.parse::<u64>().map_err(|_| wrong());
                let index = count(index)? as usize;
                let insn = object.programs[program].flow.insns().get(index);
                if !matches!(insn, Some(Insn::Jump { .. })) {
                    return Err(ProfileError::Branch(number, index));
                }
                let (taken, not_taken) = (count(taken)?, count(not_taken)?);
                let branch = Branch { taken, not_taken, mispredicted: count(mispredicted)? };
                profile.branches.insert((program, index), branch);
            }
            [] => {}
            _ => return Err(wrong()),
        }
    }
    Ok(profile)
}

/// What the instructions of a program are told by.
fn hash(program: &Program) -> String {
    blake3::hash(&encode_program(program.flow.insns())).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use kop_ops::Flow;
    use kop_ops::ebpf::parse_program;
    use kop_ops::state::Slot;
    use kop_semantics::Input;

    use super::*;

    /// Sums the bytes of the packet that are odd.
    const TEXT: &str = "r0 = 0\nr3 = *(u8 *)(r1 + 0)\nr3 &= 1\nif r3 == 0 goto +1\nr0 += 1\nr1 += 1\nr2 -= 1\nif r2 != 0 goto -7\nexit";

    fn object() -> Object {
        let flow = Flow::new(parse_program(TEXT).expect("the text parses")).expect("it is a program");
        let program = Program { name: "odd".to_owned(), kind: kop_ops::ProgramKind::Raw, flow };
        Object { programs: vec![program], ..Object::default() }
    }

    fn profile(packet: Vec<u8>) -> Profile {
        let object = object();
        let input = Input { packet, ..Input::default() };
        let (world, image) = World::new(&object, 0, Slot::default(), &input).expect("a world");
        let mut counter = Counter::new(&object, &Catalog::einsn()).expect("no sites");
        counter.run(0, &world, &image, 1 << 20).end.expect("it returns");
        counter.profile()
    }

    #[test]
    fn what_is_random_is_mispredicted_and_a_pattern_is_not() {
        let mut state = 1_u64;
        let noise = (0..2000).map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as u8
        });
        let random = profile(noise.collect());
        let branch = random.branches[&(0, 3)];
        assert_eq!(branch.runs(), 2000);
        assert!((600..1400).contains(&branch.mispredicted), "about a half: {branch:?}");
        assert!(random.is_unpredictable(0, 3).is_ok() && random.is_unpredictable(0, 7).is_err());
        assert_eq!(
            random.branches[&(0, 7)],
            Branch { taken: 1999, not_taken: 1, ..random.branches[&(0, 7)] }
        );
        let pattern = profile((0..2000).map(|index| u8::from(index % 3 == 0)).collect());
        assert!(pattern.branches[&(0, 3)].mispredicted < 100, "{pattern:?}");
    }

    #[test]
    fn a_profile_is_read_as_it_is_written_and_only_for_its_program() {
        let (object, profile) = (object(), profile(vec![1, 2, 3, 5]));
        let text = to_text(&profile, &object);
        assert!(text.contains("\nbranch 3 taken 1 not-taken 3 mispredicted "), "{text}");
        assert_eq!(from_text(&text, &object), Ok(profile));
        let mut other = object.clone();
        let changed = TEXT.replace("r3 &= 1", "r3 &= 2");
        other.programs[0].flow = Flow::new(parse_program(&changed).expect("it parses")).expect("a program");
        assert_eq!(from_text(&text, &other), Err(ProfileError::Changed(2, "odd".to_owned())));
        other.programs[0].name = "even".to_owned();
        assert_eq!(from_text(&text, &other), Err(ProfileError::Program(2, "odd".to_owned())));
        for (from, to, error) in [
            ("kop-profile 1", "kop-profile 2", ProfileError::Head),
            ("branch 3", "branch 4", ProfileError::Branch(3, 4)),
            ("taken 1", "taken -1", ProfileError::Line(3)),
        ] {
            assert_eq!(from_text(&text.replacen(from, to, 1), &object), Err(error));
        }
    }
}
