// SPDX-License-Identifier: GPL-2.0-or-later
//! Which searches for a bit become counts of zeros, and which stay.

use kop_ops::{Catalog, Object};

use crate::rewrite::tests::{Sampled, rest};
use crate::rewrite::{Options, Planted, Rewritten, rewrite};
use crate::tests::program;

/// Without a profile.
fn rewritten(text: &str, planted: Option<Planted>, checked: bool) -> Rewritten {
    let catalog = Catalog::einsn();
    let object = Object { programs: vec![program(text)], ..Object::default() };
    rewrite(&object, &Options { planted, checked, ..Options::new(&catalog) }, &mut Sampled)
}

#[track_caller]
fn becomes(text: &str, site: &str, wanted: &str) {
    let rewritten = rewritten(text, None, true);
    let found =
        rewritten.found.iter().map(|found| format!("{}.{} {}", found.kop, found.form, found.operands));
    assert_eq!(found.collect::<Vec<_>>(), [site], "{text}\n{:?}", rewritten.misses);
    assert_eq!(rest(&rewritten.object.programs[0]), wanted, "{text}");
}

/// The leading zeros of the low half of r1; 32 for 0.
fn leading() -> String {
    let halves = [16, 8, 4, 2, 1]
        .map(|half| format!("if w1 > {} goto +2\nr0 += {half}\nw1 <<= {half}\n", (u32::MAX >> half) as i32));
    format!("r0 = 0\n{}if w1 != 0 goto +1\nr0 += 1\nexit", halves.concat())
}

/// The place of the highest one of r1, and 0 for 0, as `log2` of the BPF tools has it.
const LOG2: &str = "w0 = 16\nif w1 > 65535 goto +1\nw0 = 0\nw1 >>= w0\nw2 = 8\nif w1 > 255 goto +1\nw2 = 0\nw1 >>= w2\nw0 |= w2\n\
                    w2 = 4\nif w1 > 15 goto +1\nw2 = 0\nw1 >>= w2\nw0 |= w2\nw2 = 2\nif w1 > 3 goto +1\nw2 = 0\nw1 >>= w2\nw0 |= w2\n\
                    w1 >>= 1\nw0 |= w1\nexit";

/// The trailing zeros of r1; 63 for 0.
fn trailing() -> String {
    let halves = [32u32, 16, 8, 4, 2].map(|half| {
        let test = match half {
            32 => "if w1 != 0 goto +2".to_owned(),
            half => format!("if w1 & {} goto +2", (1u64 << half) - 1),
        };
        format!("{test}\nr0 += {half}\nr1 >>= {half}\n")
    });
    format!("r0 = 0\n{}if w1 & 1 goto +1\nr0 += 1\nexit", halves.concat())
}

#[test]
fn searches_become_counts() {
    becomes(&leading(), "count_zeros.leading32 dst=r0 src=r1 tmp=r3", "exit");
    becomes(LOG2, "count_zeros.leading32 dst=r0 src=r2 tmp=r3", "w2 = w1\nw2 |= 1\nr0 = -r0\nr0 += 31\nexit");
    becomes(
        &trailing(),
        "count_zeros.trailing64 dst=r0 src=r2 tmp=r3",
        "r2 = r1\nr3 = 0x8000000000000000 ll\nr2 |= r3\nexit",
    );
}

#[test]
fn searches_that_find_something_else_stay() {
    for (from, to) in [
        ("w2 = 4", "w2 = 5"),
        ("w1 > 15", "w1 > 14"),
        ("w1 >>= 1\nw0 |= w1", "w0 |= 1"),
        ("w0 |= w1\nexit", "w0 |= w1\nr0 += r1\nexit"),
        ("w0 |= w1\nexit", "w0 |= w1\nr0 += r2\nexit"),
    ] {
        let text = LOG2.replacen(from, to, 1);
        assert_ne!(text, LOG2);
        let rewritten = rewritten(&text, None, true);
        let count = rewritten.found.iter().find(|found| found.kop == "count_zeros");
        assert!(count.is_none(), "{text}: {count:?}");
    }
}

#[test]
fn mistakes_about_searches_are_refused_when_they_are_made() {
    let leading = leading().replacen("exit", "r0 += r3\nr0 += r2\nexit", 1);
    for (planted, text) in [(Planted::WrongStep, LOG2), (Planted::IgnoredLiveness, &*leading)] {
        let is_count = |kop: &str| kop == "count_zeros";
        let refused = rewritten(text, Some(planted), true);
        assert!(!refused.found.iter().any(|found| is_count(&found.kop)), "{}", planted.name());
        assert!(refused.misses.iter().any(|miss| is_count(&miss.kop)), "{}: {refused:?}", planted.name());
        let made = rewritten(text, Some(planted), false);
        assert!(made.found.iter().any(|found| is_count(&found.kop)), "{} is made", planted.name());
    }
}
