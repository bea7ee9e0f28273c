// SPDX-License-Identifier: GPL-2.0-or-later
//! Which chains of comparisons become one, and which stay.

use kop_ops::{Catalog, Object};

use crate::rewrite::tests::{Sampled, rest};
use crate::rewrite::{Branch, Branches, Options, Planted, Profile, Rewritten, rewrite};
use crate::tests::program;

fn rewritten(text: &str, options: &Options) -> Rewritten {
    let object = Object { programs: vec![program(text)], ..Object::default() };
    rewrite(&object, options, &mut Sampled)
}

#[track_caller]
fn becomes(text: &str, site: &str, wanted: &str) {
    let catalog = Catalog::einsn();
    let rewritten = rewritten(text, &Options { branches: Branches::All, ..Options::new(&catalog) });
    let found =
        rewritten.found.iter().map(|found| format!("{}.{} {}", found.kop, found.form, found.operands));
    assert_eq!(found.collect::<Vec<_>>(), [site], "{text}\n{:?}", rewritten.misses);
    assert_eq!(rest(&rewritten.object.programs[0]), wanted, "{text}");
}

#[track_caller]
fn misses(text: &str, reason: &str) {
    let catalog = Catalog::einsn();
    let rewritten = rewritten(text, &Options { branches: Branches::All, ..Options::new(&catalog) });
    let is_chain = |kop: &str| kop == "compare_chain";
    assert!(!rewritten.found.iter().any(|found| is_chain(&found.kop)), "{text}\n{:?}", rewritten.found);
    let said = rewritten.misses.iter().find(|miss| is_chain(&miss.kop));
    assert!(said.is_some_and(|miss| miss.reason.contains(reason)), "{text}\n{:?}", rewritten.misses);
}

/// Goes one way where r1 is r2 and r3 less than r4.
const BOTH: &str = "if w1 != w2 goto +3\nif w3 >= w4 goto +2\nr5 /= 3\ngoto +1\nr5 /= 5\nr0 = r5\nexit";

#[test]
fn two_ways_are_chosen_by_one_comparison() {
    becomes(
        BOTH,
        "compare_chain.both32 dst=r0 b=r2 c=r3 d=r4 first=0 second=2",
        "w0 = w1\nif r0 == 0 goto +2\nr5 /= 3\ngoto +1\nr5 /= 5\nr0 = r5\nexit",
    );
    // As `||` is compiled: where one does not hold it goes on behind.
    becomes(
        "if w1 == w2 goto +1\nif w3 s<= 7 goto +2\nr5 /= 3\ngoto +1\nr5 /= 5\nr0 = r5\nexit",
        "compare_chain.both32 dst=r0 b=r2 c=r3 d=r4 first=1 second=3",
        "w0 = w1\nw4 = 8\nif r0 != 0 goto +2\nr5 /= 3\ngoto +1\nr5 /= 5\nr0 = r5\nexit",
    );
}

#[test]
fn flags_need_no_branch() {
    becomes(
        "r0 = 0\nif w1 != 6 goto +2\nif w2 & 16 goto +1\nr0 = 1\nexit",
        "compare_chain.both32 dst=r0 b=r1 c=r3 d=r4 first=0 second=0",
        "r0 = 0\nw0 = 6\nw3 = w2\nw3 &= 16\nw4 = 0\nexit",
    );
    // A range that is too long for a table; the flag is 0 in it.
    becomes(
        "if w1 < 1000 goto +3\nif w1 > 2000 goto +2\nr1 = 0\ngoto +1\nr1 = 1\nr0 = r1\nexit",
        "compare_chain.both32 dst=r0 b=r1 c=r1 d=r2 first=2 second=2",
        "w0 = 999\nw2 = 2001\nr1 = r0\nr1 ^= 1\nr0 = r1\nexit",
    );
}

#[test]
fn what_runs_in_between_comes_before() {
    becomes(
        "if w1 != w2 goto +6\nr3 >>= 8\nr3 &= 15\nif w3 == 5 goto +3\nr5 /= 3\ngoto +2\nexit\nr5 /= 5\nr0 = r5\nexit",
        "compare_chain.both32 dst=r0 b=r2 c=r3 d=r4 first=0 second=1",
        "r3 >>= 8\nr3 &= 15\nw0 = w1\nw4 = 5\nif r0 == 0 goto +3\nr5 /= 3\ngoto +2\nexit\nr5 /= 5\nr0 = r5\nexit",
    );
}

#[test]
fn what_is_no_chain_is_said() {
    misses(&BOTH.replace('w', "r"), "may be a pointer");
    misses(&BOTH.replace("w3 >= w4", "w3 > w4"), "there is no relation for `if w3 > w4");
    misses(
        &format!("r3 >>= 1\nr4 >>= 1\n{}", BOTH.replace("w3 >= w4", "r3 >= r4")),
        "of 64 bits and the other of 32",
    );
    let needed = "if w1 != w2 goto +3\nr5 += 1\nif w3 == 7 goto +1\nr5 /= 3\nr0 = r5\nexit";
    misses(needed, "r5 is written between the comparisons");
}

#[test]
fn a_profile_decides_about_both_branches() {
    let catalog = Catalog::einsn();
    let with = |branches| rewritten(BOTH, &Options { branches, ..Options::new(&catalog) });
    let left = with(Branches::Left);
    assert!(
        left.found.is_empty() && left.misses[0].reason.contains("there is no profile"),
        "{:?}",
        left.misses
    );
    let profile = |first, second| Profile {
        branches: [
            ((0, 0), Branch { taken: 500, not_taken: 500, mispredicted: first }),
            ((0, 1), Branch { taken: 250, not_taken: 250, mispredicted: second }),
        ]
        .into(),
    };
    // 750 wrong predictions become 250 at most.
    let (wrong, right, rare) = (profile(500, 250), profile(20, 20), profile(250, 0));
    assert_eq!(with(Branches::Profile(&wrong)).found.len(), 1);
    for profile in [&right, &rare] {
        let stays = with(Branches::Profile(profile));
        assert!(stays.found.is_empty() && stays.misses[0].reason.contains("its branches stay"), "{stays:?}");
    }
}

#[test]
fn mistakes_about_chains_are_refused_when_they_are_made() {
    let catalog = Catalog::einsn();
    let needed = BOTH.replacen("r0 = r5", "r0 += r5", 1);
    for (planted, text) in [(Planted::SwappedSides, BOTH), (Planted::IgnoredLiveness, &*needed)] {
        let options = Options { branches: Branches::All, planted: Some(planted), ..Options::new(&catalog) };
        let is_chain = |kop: &str| kop == "compare_chain";
        let refused = rewritten(text, &options);
        assert!(!refused.found.iter().any(|found| is_chain(&found.kop)), "{}", planted.name());
        assert!(refused.misses.iter().any(|miss| is_chain(&miss.kop)), "{}: {refused:?}", planted.name());
        let made = rewritten(text, &Options { checked: false, ..options });
        assert!(made.found.iter().any(|found| is_chain(&found.kop)), "{} is made", planted.name());
    }
}
