// SPDX-License-Identifier: GPL-2.0-or-later
//! Which branches a predictor does not foresee, as runs on packets showed.

use std::collections::BTreeMap;

/// What became of the conditional jumps of a file's programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// By the index of the program and of the instruction.
    pub branches: BTreeMap<(usize, usize), Branch>,
}

/// How often a conditional jump ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// How often it was taken.
    pub taken: u64,
    /// How often it was not.
    pub not_taken: u64,
    /// How often a modelled predictor was wrong about it.
    pub mispredicted: u64,
}

impl Branch {
    /// A branch that ran less often says nothing about the predictor.
    pub const FEWEST: u64 = 64;

    /// A select pays when one in so many predictions is wrong. A wrong one costs some 16 cycles on x86-64 and AArch64 cores of the
    /// last decade; a select makes what comes behind wait for the comparison and for both sides, some two cycles.
    pub const ONE_IN: u64 = 8;

    /// Cycles that a wrong prediction costs.
    pub const WRONG: u64 = 16;

    /// How often it ran.
    pub const fn runs(&self) -> u64 {
        self.taken + self.not_taken
    }
}

impl Profile {
    /// Whether it pays to do without the branch.
    ///
    /// # Errors
    /// Why not.
    pub fn is_unpredictable(&self, program: usize, index: usize) -> Result<(), String> {
        let Some(branch) = self.branches.get(&(program, index)) else {
            return Err("it is left a branch: the profile has not seen it run".to_owned());
        };
        let (runs, wrong) = (branch.runs(), branch.mispredicted);
        if runs < Branch::FEWEST {
            return Err(format!("it is left a branch: it ran {runs} times alone"));
        }
        if wrong * Branch::ONE_IN < runs {
            return Err(format!("it is left a branch: of {runs} predictions {wrong} were wrong"));
        }
        Ok(())
    }

    /// The same for two branches of which the second comes behind the first, where control still goes two ways: to one of them where the
    /// second is taken, if `both`, else where it is not.
    ///
    /// # Errors
    /// Why not.
    pub fn pair_pays(
        &self,
        program: usize,
        branches: [usize; 2],
        both: Option<bool>,
        cycles: u64,
    ) -> Result<(), String> {
        let of = |index: usize| self.branches.get(&(program, index)).copied().unwrap_or_default();
        let [first, second] = branches.map(of);
        let wrong = first.mispredicted + second.mispredicted;
        // A predictor is wrong at most as often as the rarer way is gone.
        let left = both.map_or(0, |taken| {
            let both = if taken { second.taken } else { second.not_taken };
            both.min(first.runs().saturating_sub(both)).min(wrong)
        });
        let more = (left * Branch::WRONG).div_ceil(first.runs().max(1));
        self.pays(program, (branches[0], &branches), cycles + more)
    }

    /// Whether code that takes so many cycles pays in place of several branches, of which the first is at `head`: each costs a cycle,
    /// and more where its prediction is wrong.
    ///
    /// # Errors
    /// Why not.
    pub fn pays(
        &self,
        program: usize,
        (head, branches): (usize, &[usize]),
        cycles: u64,
    ) -> Result<(), String> {
        let of = |index: usize| self.branches.get(&(program, index)).copied().unwrap_or_default();
        let runs = of(head).runs();
        if runs < Branch::FEWEST {
            return Err(format!("its branches stay: the first ran {runs} times alone"));
        }
        let wrong: u64 = branches.iter().map(|index| of(*index).mispredicted).sum();
        let spent = branches.iter().map(|index| of(*index).runs()).sum::<u64>() + wrong * Branch::WRONG;
        if spent <= runs.saturating_mul(cycles) {
            return Err(format!("its branches stay: in {runs} runs {wrong} predictions were wrong"));
        }
        Ok(())
    }
}

/// What happens to branches that a select can stand for.
#[derive(Clone, Copy, Debug, Default)]
pub enum Branches<'a> {
    /// They stay.
    #[default]
    Left,
    /// Those go that a profile says are not foreseen.
    Profile(&'a Profile),
    /// All go: for tests, where what pays does not matter.
    All,
}

impl Branches<'_> {
    /// Whether the branch may go.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn allows(&self, program: usize, index: usize) -> Result<(), String> {
        match self {
            Branches::Left => {
                Err("it is left a branch: there is no profile that says that it is unpredictable".to_owned())
            }
            Branches::Profile(profile) => profile.is_unpredictable(program, index),
            Branches::All => Ok(()),
        }
    }

    /// Whether two branches may go for one, or for none: [`Profile::pair_pays`].
    ///
    /// # Errors
    /// Why not.
    pub(super) fn allow_pair(
        &self,
        program: usize,
        branches: [usize; 2],
        both: Option<bool>,
        cycles: u64,
    ) -> Result<(), String> {
        match self {
            Branches::Profile(profile) => profile.pair_pays(program, branches, both, cycles),
            _ => self.allow_all(program, (branches[0], &branches), cycles),
        }
    }

    /// Whether several branches may go for code that takes so many cycles; that at `head` is the first of them.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn allow_all(
        &self,
        program: usize,
        branches: (usize, &[usize]),
        cycles: u64,
    ) -> Result<(), String> {
        match self {
            Branches::Left => {
                Err("its branches stay: there is no profile that says that they are unpredictable".to_owned())
            }
            Branches::Profile(profile) => profile.pays(program, branches, cycles),
            Branches::All => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_foreseen_or_seldom_runs_stays() {
        let branch = |taken, not_taken, mispredicted| Branch { taken, not_taken, mispredicted };
        let branches = [(3, branch(50, 50, 13)), (4, branch(50, 50, 12)), (5, branch(30, 30, 30))];
        let profile = Profile { branches: branches.map(|(index, branch)| ((0, index), branch)).into() };
        assert_eq!(profile.is_unpredictable(0, 3), Ok(()), "13 of 100 is more than one in 8");
        for (index, reason) in [(4, "12 were wrong"), (5, "60 times alone"), (6, "not seen it run")] {
            let said = profile.is_unpredictable(0, index).expect_err("it stays");
            assert!(said.contains(reason), "{said}");
        }
        assert!(profile.is_unpredictable(1, 3).is_err(), "another program");
    }

    #[test]
    fn several_branches_stay_where_they_are_cheaper() {
        let branch = |taken, not_taken, mispredicted| Branch { taken, not_taken, mispredicted };
        // 100 runs, 160 branches, 10 wrong predictions: 320 cycles.
        let branches = [(3, branch(40, 60, 2)), (4, branch(10, 50, 8)), (5, branch(0, 20, 0))];
        let profile = Profile { branches: branches.map(|(index, branch)| ((0, index), branch)).into() };
        assert_eq!(profile.pays(0, (3, &[3, 4]), 3), Ok(()));
        let said = profile.pays(0, (3, &[3, 4]), 4).expect_err("as many");
        assert!(said.contains("in 100 runs 10 predictions"), "{said}");
        assert!(profile.pays(0, (5, &[5]), 0).expect_err("it ran seldom").contains("20 times alone"));
        assert!(profile.pays(0, (9, &[9]), 0).is_err(), "it never ran");
    }
}
