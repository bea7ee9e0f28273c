// SPDX-License-Identifier: GPL-2.0-or-later
//! What the verifier says.

use std::time::Instant;

use kop_emulators::kernel::Verifier;
use kop_ops::ProgramKind;

use super::support::{parsed, skipped};

#[test]
fn refusals_have_a_class_and_a_tail() {
    if skipped() {
        return;
    }
    let mut verifier = Verifier::new().expect("maps can be created");
    for (text, class) in [
        ("r0 = 1\nexit", None),
        ("r0 = *(u64 *)(r1 + 4088)\nexit", None),
        ("r0 = *(u64 *)(r1 + 4089)\nexit", Some("invalid access to map value, value_size=# off=# size=#")),
        ("r0 = r3\nexit", Some("R# !read_ok")),
        ("exit", Some("R# !read_ok")),
        ("r0 = 0\nif r0 == 0 goto -2\nexit", Some("infinite loop detected at insn #")),
    ] {
        let verdict = verifier.verify(&parsed(ProgramKind::Raw, text), 0, 64).expect("a verdict");
        assert_eq!(verdict.accepted, class.is_none(), "{text}: {verdict:?}");
        assert_eq!(verdict.class, class.unwrap_or_default(), "{text}: {verdict:?}");
        assert_eq!(verdict.prologue, 3);
    }
    // What the verifier gives up on after a million instructions has its reason alone, without the instructions.
    let endless = parsed(ProgramKind::Raw, "r0 = 0\nr0 += 1\nif r0 < 2000000 goto -2\nexit");
    let verdict = verifier.verify(&endless, 0, 64).expect("a verdict");
    assert!(!verdict.accepted, "{verdict:?}");
    assert_eq!(verdict.tail, "BPF program is too large. Processed 1000001 insn");
    assert_eq!(verdict.class, "BPF program is too large. Processed # insn");
    let log = verifier.log(&parsed(ProgramKind::Raw, "r0 = 1\nexit"), 0, 64).expect("a log");
    assert!(log.contains("processed "), "{log}");
}

#[test]
fn programs_are_judged_by_the_thousand() {
    if skipped() {
        return;
    }
    let mut verifier = Verifier::new().expect("maps can be created");
    let good = parsed(ProgramKind::Raw, "r0 = *(u64 *)(r1 + 8)\nr0 += r2\nexit");
    let bad = parsed(ProgramKind::Raw, "r0 = r9\nexit");
    let start = Instant::now();
    let rounds = 200;
    for _ in 0..rounds {
        assert!(verifier.verify(&good, 0, 64).expect("a verdict").accepted);
        assert!(!verifier.verify(&bad, 0, 64).expect("a verdict").accepted);
    }
    let rate = 2.0 * f64::from(rounds) / start.elapsed().as_secs_f64();
    println!("{rate:.0} verdicts a second");
    assert!(rate > 500.0, "{rate:.0} verdicts a second");
}
