// SPDX-License-Identifier: GPL-2.0-or-later
//! Which branches become selects, and which stay.

use kop_ops::{Catalog, Object};

use crate::rewrite::tests::{Sampled, rest};
use crate::rewrite::{Branch, Branches, Options, Planted, Profile, Rewritten, rewrite};
use crate::tests::program;

fn rewritten(text: &str, branches: Branches, planted: Option<Planted>, checked: bool) -> Rewritten {
    let catalog = Catalog::einsn();
    let object = Object { programs: vec![program(text)], ..Object::default() };
    let options = Options { branches, planted, checked, ..Options::new(&catalog) };
    rewrite(&object, &options, &mut Sampled)
}

#[track_caller]
fn becomes(text: &str, site: &str, wanted: &str) {
    let rewritten = rewritten(text, Branches::All, None, true);
    let found = rewritten.found.iter();
    let sites: Vec<String> =
        found.map(|found| format!("{}.{} {}", found.kop, found.form, found.operands)).collect();
    assert_eq!(sites, [site], "{text}\n{:?}", rewritten.misses);
    assert_eq!(rest(&rewritten.object.programs[0]), wanted, "{text}");
}

#[track_caller]
fn misses(text: &str, branches: Branches, reason: &str) {
    let rewritten = rewritten(text, branches, None, true);
    assert!(rewritten.found.is_empty(), "{text}\n{:?}", rewritten.found);
    assert!(
        rewritten.misses.iter().any(|miss| miss.kop == "select" && miss.reason.contains(reason)),
        "{:?}",
        rewritten.misses
    );
}

#[test]
fn triangles_become_selects() {
    becomes(
        "r0 = 5\nif r1 > r2 goto +1\nr0 = 7\nexit",
        "select.compare64 dst=r0 left=r1 right=r2 a=r3 when=8",
        "r0 = 5\nr3 = 7\nexit",
    );
    // The smaller of two, and an absolute value.
    becomes(
        "if w1 <= w2 goto +1\nr1 = r2\nr0 = r1\nexit",
        "select.compare32 dst=r1 left=r1 right=r2 a=r2 when=1",
        "r0 = r1\nexit",
    );
    becomes(
        "if r1 s> -1 goto +1\nr1 = -r1\nr0 = r1\nexit",
        "select.number64 dst=r1 left=r1 number=-1 a=r0 when=10",
        "r0 = r1\nr0 = -r0\nr0 = r1\nexit",
    );
}

#[test]
fn diamonds_become_selects() {
    becomes(
        "if r1 == 0 goto +2\nr0 = r2\ngoto +1\nr0 = r3\nexit",
        "select.test64 dst=r0 cond=r1 a=r2 b=r3",
        "exit",
    );
    becomes(
        "if w1 & 24 goto +3\nr0 = r2\nr0 += 1\ngoto +2\nr0 = r2\nr0 <<= 3\nexit",
        "select.number32 dst=r0 left=r1 number=24 a=r4 when=3",
        "r3 = r2\nr3 += 1\nr4 = r2\nr4 <<= 3\nr0 = r3\nexit",
    );
    // A number for which the form has no room.
    becomes(
        "if r1 < 1000 goto +1\nr0 = r2\nexit",
        "select.compare64 dst=r0 left=r1 right=r3 a=r2 when=2",
        "r3 = 1000\nexit",
    );
}

#[test]
fn jumps_from_elsewhere_lead_where_they_did() {
    becomes(
        "r0 = 0\nif r1 > r2 goto +1\nr0 += 7\nr1 += 1\nif r1 != 5 goto -4\nexit",
        "select.compare64 dst=r0 left=r1 right=r2 a=r3 when=8",
        "r0 = 0\nr3 = r0\nr3 += 7\nr1 += 1\nif r1 != 5 goto -6\nexit",
    );
}

#[test]
fn what_cannot_be_selected_is_said() {
    let null = "if r1 == 0 goto +1\nr1 += 8\nr0 = r1\nexit";
    misses(null, Branches::All, "would come before the comparison");
    let two = "if r1 > r2 goto +2\nr3 = 7\nr4 = 8\nr0 = r3\nr0 += r4\nexit";
    misses(two, Branches::All, "one register is selected at a time");
    let entered = "if r4 == 0 goto +1\nr0 = 1\nif r1 > r2 goto +1\nr0 = 7\nexit";
    assert_eq!(rewritten(entered, Branches::All, None, true).found.len(), 2, "a jump to the branch itself");
    let inside = "r0 = 1\nif r4 == 0 goto +1\nif r1 > r2 goto +1\nr0 = 7\nexit";
    misses(inside, Branches::All, "a jump goes to instruction 3");
    let slow = "if r1 > r2 goto +1\nr0 /= 7\nexit";
    misses(slow, Branches::All, "takes longer");
    let all: String = (0..10).filter(|register| *register != 1).map(|r| format!("r1 += r{r}\n")).collect();
    let full = format!("if r1 > r2 goto +1\nr0 += 7\n{all}r0 = r1\nexit");
    misses(&full, Branches::All, "no register is free");
}

#[test]
fn a_profile_decides() {
    let text = "r0 = 5\nif r1 > r2 goto +1\nr0 = 7\nexit";
    misses(text, Branches::Left, "there is no profile");
    let profile = |mispredicted| {
        let branch = Branch { taken: 500, not_taken: 500, mispredicted };
        Profile { branches: [((0, 1), branch)].into() }
    };
    misses(text, Branches::Profile(&profile(10)), "10 were wrong");
    assert_eq!(rewritten(text, Branches::Profile(&profile(400)), None, true).found.len(), 1);
}

#[test]
fn a_branch_is_named_as_it_was_before_straight_code_was_rewritten() {
    let text = "r0 = r1\nr0 >>= 5\nr0 &= 511\nif r1 > r2 goto +1\nr0 = 7\nexit";
    let branch = Branch { taken: 500, not_taken: 500, mispredicted: 500 };
    let profile = Profile { branches: [((0, 3), branch)].into() };
    let rewritten = rewritten(text, Branches::Profile(&profile), None, true);
    let found: Vec<(usize, &str, &[usize])> =
        rewritten.found.iter().map(|found| (found.at, &*found.kop, &*found.removed)).collect();
    assert_eq!(found, [(2, "extract", &[0, 1, 2][..]), (3, "select", &[3, 4][..])]);
}

#[test]
fn every_mistake_about_branches_is_refused_when_it_is_made() {
    for (planted, text) in [
        (Planted::SwappedSides, "r0 = 5\nif r1 > r2 goto +1\nr0 = 7\nexit"),
        (Planted::WrongStep, "r3 = r1\nr3 += -1\nr1 &= r3\nw0 += 2\nif r1 != 0 goto -5\nexit"),
        (Planted::IgnoredLiveness, "r0 = 5\nif r1 > r2 goto +1\nr0 = 7\nr0 += r3\nexit"),
    ] {
        let refused = rewritten(text, Branches::All, Some(planted), true);
        assert!(refused.found.is_empty() && !refused.misses.is_empty(), "{}: {refused:?}", planted.name());
        let made = rewritten(text, Branches::All, Some(planted), false);
        assert!(!made.found.is_empty(), "{} is made where nobody looks", planted.name());
    }
}

#[test]
fn loops_over_bits_become_counts() {
    becomes(
        "w0 = 0\nr3 = r1\nr3 += -1\nr1 &= r3\nw0 += 1\nif r1 != 0 goto -5\nexit",
        "popcount.pop64 dst=r2 src=r1 tmp=r4",
        "w0 = 0\nif r1 != 0 goto +1\nr2 = 1\nw0 += w2\nexit",
    );
    becomes(
        "r0 += 1\nw1 >>= 1\nif w1 != 0 goto -3\nexit",
        "count_zeros.leading32 dst=r2 src=r1 tmp=r3",
        "r2 = -r2\nr2 += 32\nif w1 != 0 goto +1\nr2 = 1\nr0 += r2\nexit",
    );
}

/// As clang has it: a copy that is carried along, and a bound that the verifier asks for.
const BOUNDED: &str = "r5 = r1\nw0 = 0\nif r5 == 0 goto +8\nr6 = r5\n\
                       w7 = w0\nr6 += -1\nr6 &= r5\nw0 += 1\nif r6 == 0 goto +2\nr5 = r6\nif w7 < 63 goto -7\nexit";

#[test]
fn a_bound_that_is_never_reached_first_is_no_hindrance() {
    becomes(
        BOUNDED,
        "popcount.pop64 dst=r1 src=r5 tmp=r2",
        "r5 = r1\nw0 = 0\nif r5 == 0 goto +6\nr6 = r5\nif r5 != 0 goto +1\nr1 = 1\nw0 += w1\nexit",
    );
    for (from, to) in [
        ("w7 < 63", "w7 < 62"),
        ("w0 = 0", "w0 = 1"),
        ("r6 = r5\n", "r6 = r2\n"),
        ("w0 += 1", "w0 += 2"),
        ("r6 += -1", "r6 += -2"),
        ("goto +2\nr5 = r6", "goto +2\nr5 = r7"),
    ] {
        let text = BOUNDED.replacen(from, to, 1);
        assert_ne!(text, BOUNDED);
        let rewritten = rewritten(&text, Branches::All, None, true);
        assert!(rewritten.found.is_empty(), "{text}: {:?}", rewritten.found);
        assert!(!rewritten.misses.is_empty(), "{text}");
    }
}

#[test]
fn loops_that_are_needed_otherwise_stay() {
    let text = "r3 = r1\nr3 += -1\nr1 &= r3\nw0 += 1\nif r1 != 0 goto -5\nr0 += r3\nexit";
    let rewritten = rewritten(text, Branches::All, None, true);
    assert!(rewritten.found.is_empty() && rewritten.misses[0].reason.contains("r3"), "{rewritten:?}");
}
