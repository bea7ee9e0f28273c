// SPDX-License-Identifier: GPL-2.0-or-later
//! Which ladders become lookups, and which stay.

use kop_ops::{Catalog, ProgramKind};

use crate::rewrite::tests::{assert_made, rewritten_as};
use crate::rewrite::{Branch, Branches, Options, Planted, Profile, Rewritten};

fn rewritten(text: &str, options: &Options) -> Rewritten {
    rewritten_as(text, ProgramKind::Raw, options)
}

fn all(text: &str) -> Rewritten {
    let catalog = Catalog::einsn();
    rewritten(text, &Options { branches: Branches::All, ..Options::new(&catalog) })
}

/// The program becomes `wanted`, with these sites where it has none.
#[track_caller]
fn becomes(text: &str, sites: &[&str], wanted: &str) {
    assert_made(text, &all(text), sites, wanted);
}

#[track_caller]
fn misses(text: &str, reason: &str) {
    let rewritten = all(text);
    assert!(rewritten.found.iter().all(|found| found.kop != "table_lookup"), "{text}\n{:?}", rewritten.found);
    let said = rewritten.misses.iter().find(|miss| miss.kop == "table_lookup");
    assert!(said.is_some_and(|miss| miss.reason.contains(reason)), "{text}\n{:?}", rewritten.misses);
}

/// `switch (x) { case 0: 5; case 1: 9; case 2: 5; default: 2 }`, where arms lie behind the comparisons.
const SWITCH: &str = "if r1 == 0 goto +4\nif r1 == 1 goto +5\nif r1 == 2 goto +2\nr0 = 2\ngoto +3\n\
                      r0 = 5\ngoto +1\nr0 = 9\nexit";

#[test]
fn switches_over_small_constants_become_lookups() {
    becomes(
        SWITCH,
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=2"],
        "r0 = 0x2222222222222595 ll\nexit",
    );
    // Whatever the order of comparisons and arms, and where each arm returns.
    becomes(
        "if r1 == 2 goto +6\nif r1 == 0 goto +5\nif r1 != 1 goto +2\nr0 = 9\nexit\nr0 = 2\nexit\nr0 = 5\nexit",
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=2"],
        "r0 = 0x2222222222222595 ll\nexit",
    );
}

#[test]
fn trees_of_comparisons_become_lookups() {
    // Less than 4: 7; less than 8: 1; then 10 alone: 3; else 0.
    becomes(
        "if w1 > 7 goto +5\nif w1 > 3 goto +2\nw0 = 7\nexit\nw0 = 1\ngoto +3\nif w1 == 10 goto +3\nw0 = 0\nexit\n\
         exit\nw0 = 3\ngoto -3",
        &["table_lookup.nibble32 dst=r0 index=r1 table=r0 other=0"],
        "r0 = 0x30011117777 ll\nexit",
    );
}

#[test]
fn what_is_set_before_is_what_stays() {
    becomes(
        "r0 = 1\nif r1 == 3 goto +2\nif r1 == 4 goto +1\nr0 = 0\nexit",
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=0"],
        "r0 = 1\nr0 = 0x11000 ll\nexit",
    );
    misses(
        "if r1 == 3 goto +3\nif r1 == 4 goto +2\nif r1 == 7 goto +1\nr0 = 0\nexit",
        "r0 stays what it is where the number is 0x3",
    );
}

#[test]
fn numbers_may_begin_anywhere_and_have_low_bits_in_common() {
    // From 100 on.
    becomes(
        "r0 = 4\nif r1 == 100 goto +3\nr0 = 9\nif r1 == 107 goto +1\nr0 = 0\nexit",
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=0"],
        "r0 = 4\nr1 += -100\nr0 = 0x90000004 ll\nexit",
    );
    // Multiples of 8, and one more.
    becomes(
        "r0 = 4\nif w1 == 17 goto +3\nr0 = 9\nif w1 == 97 goto +1\nr0 = 0\nexit",
        &[
            "rotate.imm32 dst=r1 src=r1 tmp=r2 amount=28",
            "table_lookup.nibble32 dst=r0 index=r1 table=r0 other=0",
        ],
        "r0 = 4\nw1 += -1\nr0 = 0x9000040 ll\nexit",
    );
    // Around 0: the numbers are on a circle.
    becomes(
        "r0 = 4\nif r1 == -2 goto +3\nr0 = 9\nif r1 == 3 goto +1\nr0 = 0\nexit",
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=0"],
        "r0 = 4\nr1 += 2\nr0 = 0x900004 ll\nexit",
    );
}

#[test]
fn values_may_be_any_that_nibbles_count() {
    // 80 and 120 from 40 on in steps of 40, where the default is 40.
    becomes(
        "r0 = 80\nif r1 == 1 goto +3\nr0 = 120\nif r1 == 2 goto +1\nr0 = 40\nexit",
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=1"],
        "r0 = 80\nr0 = 0x1111111111111321 ll\nr0 *= 40\nexit",
    );
    // -1, 0 and 1.
    becomes(
        "w0 = -1\nif r1 == 1 goto +3\nw0 = 1\nif r1 == 2 goto +1\nw0 = 0\nexit",
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=1"],
        "w0 = -1\nr0 = 0x1111111111111201 ll\nw0 += -1\nexit",
    );
    // A default that has no room.
    becomes(
        "r0 = 1\nif r1 == 1 goto +3\nr0 = 15\nif r1 == 2 goto +1\nr0 = 8\nexit",
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=0"],
        "r0 = 1\nr0 = 0x790 ll\nr0 ^= 8\nexit",
    );
}

#[test]
fn wide_tables_and_values_take_several_lookups() {
    becomes(
        "r0 = 4\nif r1 == 0 goto +3\nr0 = 9\nif r1 == 17 goto +1\nr0 = 0\nexit",
        &[
            "table_lookup.nibble64 dst=r0 index=r1 table=r0 other=0",
            "table_lookup.nibble64 dst=r2 index=r1 table=r2 other=0",
        ],
        "r0 = 4\nr0 = 0x4 ll\nr1 += -17\nr2 = 0x9 ll\nr0 |= r2\nexit",
    );
    becomes(
        "r0 = 4\nif r1 == 0 goto +3\nr0 = 99\nif r1 == 7 goto +1\nr0 = 0\nexit",
        &[
            "table_lookup.nibble64 dst=r0 index=r1 table=r0 other=0",
            "table_lookup.nibble64 dst=r2 index=r1 table=r2 other=0",
        ],
        "r0 = 4\nr0 = 0x30000004 ll\nr2 = 0x60000000 ll\nr2 <<= 4\nr0 |= r2\nexit",
    );
}

#[test]
fn arms_may_set_several_registers_and_what_is_compared() {
    becomes(
        "r0 = 1\nr2 = 2\nif r1 == 0 goto +4\nr2 = 7\nif r1 == 5 goto +2\nr0 = 0\nr2 = 0\nr0 += r2\nexit",
        &[
            "table_lookup.nibble64 dst=r0 index=r1 table=r0 other=0",
            "table_lookup.nibble64 dst=r2 index=r1 table=r2 other=0",
        ],
        "r0 = 1\nr2 = 2\nr0 = 0x100001 ll\nr2 = 0x700002 ll\nr0 += r2\nexit",
    );
    becomes(
        "if r1 == 0 goto +3\nif r1 == 5 goto +4\nr1 = 0\ngoto +3\nr1 = 3\ngoto +1\nr1 = 4\nr0 = r1\nexit",
        &["table_lookup.nibble64 dst=r1 index=r1 table=r0 other=0"],
        "r0 = 0x400003 ll\nr0 = r1\nexit",
    );
}

#[test]
fn what_others_come_to_stays() {
    let text = "if r2 == 9 goto +5\nif r1 == 0 goto +5\nif r1 == 1 goto +4\nif r1 == 4 goto +3\nr0 = 2\nexit\n\
                r0 = 3\nr0 = 5\nexit";
    becomes(
        text,
        &["table_lookup.nibble64 dst=r0 index=r1 table=r0 other=2"],
        "if r2 == 9 goto +5\nr0 = 0x2222222222252255 ll\nexit\nr0 = 3\nr0 = 5\nexit",
    );
}

#[test]
fn what_is_no_table_is_said() {
    let call = SWITCH.replacen("r0 = 5", "r0 += r3", 1);
    misses(&call, "do not only set registers and meet");
    let far = "if r1 s> 5 goto +4\nif r1 s> -1000 goto +5\nif r1 s> -3000 goto +6\nr0 = 5\nexit\n\
               r0 = 6\nexit\nr0 = 7\nexit\nr0 = 8\nexit";
    misses(far, "more than 128");
    let wide = "r0 = 0x01234567\nif r1 == 0 goto +5\nr0 = 0x76543211\nif r1 == 1 goto +3\nr0 = 5\n\
                if r1 == 2 goto +1\nr0 = 0\nexit";
    misses(wide, "lookups would be in its place");
}

#[test]
fn a_profile_decides_about_all_branches_together() {
    let catalog = Catalog::einsn();
    let with = |branches| rewritten(SWITCH, &Options { branches, ..Options::new(&catalog) });
    let left = with(Branches::Left);
    assert!(
        left.found.is_empty() && left.misses[0].reason.contains("there is no profile"),
        "{:?}",
        left.misses
    );
    let profile = |wrong| {
        let branch = |taken, not_taken| Branch { taken, not_taken, mispredicted: wrong };
        Profile {
            branches: [((0, 0), branch(300, 600)), ((0, 1), branch(300, 300)), ((0, 2), branch(100, 200))]
                .into(),
        }
    };
    let (few, many) = (profile(10), profile(150));
    let foreseen = with(Branches::Profile(&few));
    assert!(foreseen.found.is_empty(), "{:?}", foreseen.found);
    assert!(
        foreseen.misses[0].reason.contains("in 900 runs 30 predictions were wrong"),
        "{:?}",
        foreseen.misses
    );
    assert_eq!(with(Branches::Profile(&many)).found.len(), 1);
}

#[test]
fn mistakes_about_tables_are_refused_when_they_are_made() {
    let catalog = Catalog::einsn();
    let needed = SWITCH.replacen("exit", "r0 += r1\nexit", 1).replace("r1 == 2", "r1 == 17");
    for (planted, text) in [(Planted::WrongDefault, SWITCH), (Planted::IgnoredLiveness, &*needed)] {
        let options = Options { branches: Branches::All, planted: Some(planted), ..Options::new(&catalog) };
        let refused = rewritten(text, &options);
        let is_lookup = |kop: &str| kop == "table_lookup";
        assert!(!refused.found.iter().any(|found| is_lookup(&found.kop)), "{}", planted.name());
        assert!(refused.misses.iter().any(|miss| is_lookup(&miss.kop)), "{}: {refused:?}", planted.name());
        let made = rewritten(text, &Options { checked: false, ..options });
        assert!(made.found.iter().any(|found| is_lookup(&found.kop)), "{} is made", planted.name());
    }
}
