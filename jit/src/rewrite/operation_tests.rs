// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations that compute: what compilers make of them, and what only looks like it.

use kop_ops::{Catalog, ProgramKind};

use super::tests::{rest, rewritten_as};
use super::{Options, Planted, Rewritten};

fn rewritten_with(text: &str, planted: Option<Planted>, checked: bool) -> Rewritten {
    let catalog = Catalog::einsn();
    rewritten_as(text, ProgramKind::Raw, &Options { planted, checked, ..Options::new(&catalog) })
}

/// The sites, each without its temporaries, and what is left of the program besides.
fn sites(text: &str) -> (Vec<String>, String) {
    let rewritten = rewritten_with(text, None, true);
    let found = rewritten.found.iter().map(|found| {
        let operands = found.operands.split(' ').filter(|operand| !operand.starts_with("tmp"));
        let operands: Vec<&str> = operands.collect();
        format!("{}.{} {}", found.kop, found.form, operands.join(" "))
    });
    (found.collect(), rest(&rewritten.object.programs[0]))
}

#[track_caller]
fn becomes(text: &str, site: &str, wanted: &str) {
    let (found, rest) = sites(text);
    let why = rewritten_with(text, None, true).misses;
    assert_eq!((found, &*rest), (vec![site.to_owned()], wanted), "{text}\n{why:?}");
}

#[track_caller]
fn is_none(text: &str, kop: &str) {
    let (found, _) = sites(text);
    assert!(!found.iter().any(|site| site.starts_with(kop)), "{text}\n{found:?}");
}

#[test]
fn lowest_bits_are_found() {
    for (parts, form) in [
        ("r2 = r1\nr2 = -r2\nr2 &= r1", "isolate64"),
        ("w2 = w1\nw2 = -w2\nw2 &= w1", "isolate32"),
        ("r2 = r1\nr2 += -1\nr2 &= r1", "clear64"),
        ("w2 = w1\nw2 -= 1\nw2 &= w1", "clear32"),
        ("r2 = r1\nr2 += -1\nr2 ^= r1", "mask64"),
        ("w2 = w1\nw2 += -1\nw2 ^= w1", "mask32"),
        // x & ~(x - 1).
        ("r2 = r1\nr2 += -1\nr2 ^= -1\nr2 &= r1", "isolate64"),
    ] {
        becomes(&format!("{parts}\nr0 = r2\nexit"), &format!("lowest_bit.{form} dst=r0 src=r1"), "exit");
    }
    for parts in ["r2 = r1\nr2 += -2\nr2 &= r1", "r2 = r1\nr2 += 1\nr2 &= r1", "w2 = w1\nr2 = -r2\nw2 |= w1"]
    {
        is_none(&format!("{parts}\nr0 = r2\nexit"), "lowest_bit");
    }
    // What is taken away elsewhere as well stays.
    is_none("r2 = r1\nr2 += -1\nr3 = r2\nr2 &= r1\nr0 = r2\nr0 += r3\nexit", "lowest_bit");
}

#[test]
fn a_loop_that_takes_bits_away_is_left_whole() {
    is_none("r0 = 0\nr2 = r1\nr2 += -1\nr1 &= r2\nr0 += 2\nif r1 != 0 goto -5\nexit", "lowest_bit");
}

#[test]
fn magnitudes_are_found() {
    for parts in ["r2 = r1\nr2 s>>= 63\nr1 += r2\nr1 ^= r2", "r2 = r1\nr2 s>>= 63\nr1 ^= r2\nr1 -= r2"] {
        becomes(&format!("{parts}\nr0 = r1\nexit"), "absolute.abs64 dst=r0 src=r1", "exit");
    }
    let narrow = "w0 = w1\nw1 s>>= 31\nw0 += w1\nw0 ^= w1\nexit";
    becomes(narrow, "absolute.abs32 dst=r0 src=r1", "exit");
    is_none("r2 = r1\nr2 s>>= 62\nr1 += r2\nr1 ^= r2\nr0 = r1\nexit", "absolute");
    is_none("r2 = r1\nr2 >>= 63\nr1 += r2\nr1 ^= r2\nr0 = r1\nexit", "absolute");
}

#[test]
fn complements_are_found() {
    for (op, name) in [("&=", "and"), ("|=", "or")] {
        becomes(
            &format!("r2 ^= -1\nr2 {op} r1\nr0 = r2\nexit"),
            &format!("bitwise_not.{name}64 dst=r0 a=r1 b=r2"),
            "exit",
        );
        becomes(
            &format!("w3 = w2\nw3 ^= -1\nw3 {op} w1\nr0 = r3\nexit"),
            &format!("bitwise_not.{name}32 dst=r0 a=r1 b=r2"),
            "exit",
        );
    }
    becomes("r2 ^= r1\nr2 ^= -1\nr0 = r2\nexit", "bitwise_not.xor64 dst=r0 a=r1 b=r2", "exit");
    // The other one is computed in between.
    becomes(
        "r2 ^= -1\nr3 = r4\nr3 *= 7\nr2 &= r3\nr0 = r2\nexit",
        "bitwise_not.and64 dst=r0 a=r3 b=r2",
        "r3 = r4\nr3 *= 7\nexit",
    );
    // Halves that were cleared far before need not be known, nor cleared.
    becomes(
        "w1 = w1\nw2 = w2\nr3 += r4\nr3 *= r5\nr3 += r4\nr3 *= r5\nr3 += r4\nr3 *= r5\nr3 += r4\nw2 ^= -1\nw2 &= w1\nr0 = r3\nr0 += r2\nexit",
        "bitwise_not.and32 dst=r2 a=r1 b=r2",
        "r3 += r4\nr3 *= r5\nr3 += r4\nr3 *= r5\nr3 += r4\nr3 *= r5\nr3 += r4\nr0 = r3\nr0 += r2\nexit",
    );
    is_none("r2 ^= -2\nr2 &= r1\nr0 = r2\nexit", "bitwise_not");
    is_none("w2 ^= -1\nr2 &= r1\nr0 = r2\nexit", "bitwise_not.and64");
}

#[test]
fn the_smaller_and_the_larger_are_found() {
    // Of numbers of 32 bits, by the sign of the difference.
    let difference = "w1 = w1\nw2 = w2\nr3 = r1\nr3 -= r2\nr4 = r3\nr4 s>>= 63\nr3 &= r4\n";
    let (found, _) = sites(&format!("{difference}r3 += r2\nr0 = r3\nexit"));
    assert!(found.len() == 1 && found[0].starts_with("min_max.umin"), "{found:?}");
    let (found, _) = sites(&format!("{difference}r1 -= r3\nr0 = r1\nexit"));
    assert!(found.len() == 1 && found[0].starts_with("min_max.umax"), "{found:?}");
    // A difference of 64 bits may overflow.
    is_none("r3 = r1\nr3 -= r2\nr4 = r3\nr4 s>>= 63\nr3 &= r4\nr3 += r2\nr0 = r3\nexit", "min_max");
}

const SPREAD: &str = "r2 = 0x0000ffff0000ffff ll\nr3 = 0x00ff00ff00ff00ff ll\nr4 = 0x0f0f0f0f0f0f0f0f ll\n\
     r5 = 0x3333333333333333 ll\nr6 = 0x5555555555555555 ll\n";

#[test]
fn bits_are_put_apart_and_together() {
    let mut apart = format!("{SPREAD}w1 = w1\n");
    for (shift, mask) in [(16, 2), (8, 3), (4, 4), (2, 5), (1, 6)] {
        apart += &format!("r7 = r1\nr7 <<= {shift}\nr1 |= r7\nr1 &= r{mask}\n");
    }
    let (found, rest) = sites(&format!("{apart}r0 = r1\nexit"));
    assert_eq!(found, ["bit_deposit.stride dst=r0 src=r1 log=1 offset=0"]);
    assert!(!rest.contains("r7"), "{rest}");
    let wrong = apart.replace("r7 <<= 2", "r7 <<= 3");
    is_none(&format!("{wrong}r0 = r1\nexit"), "bit_deposit");
    let mut together = format!("{SPREAD}r1 >>= 1\nr1 &= r6\n");
    for (shift, mask) in [(1, 5), (2, 4), (4, 3), (8, 2)] {
        together += &format!("r7 = r1\nr7 >>= {shift}\nr1 |= r7\nr1 &= r{mask}\n");
    }
    together += "r7 = r1\nr7 >>= 16\nw1 |= w7\n";
    let (found, rest) = sites(&format!("{together}r0 = r1\nexit"));
    assert_eq!(found, ["bit_extract.stride dst=r0 src=r1 log=1 offset=1"]);
    assert!(!rest.contains("r7"), "{rest}");
}

#[test]
fn halfwords_are_put_apart_on_32_bits() {
    let mut apart = String::from("r1 = *(u16 *)(r1 + 0)\n");
    for (shift, mask) in [(8, 0x00ff_00ff), (4, 0x0f0f_0f0f), (2, 0x3333_3333), (1, 0x5555_5555)] {
        apart += &format!("w2 = w1\nw2 <<= {shift}\nw1 |= w2\nw1 &= {mask}\n");
    }
    becomes(
        &format!("{apart}r0 = r1\nexit"),
        "bit_deposit.stride dst=r0 src=r1 log=1 offset=0",
        "w1 = *(u16 *)(r1 + 0)\nexit",
    );
}

/// As clang has the product of halves: r1 times r2, with the result in r0.
const PRODUCT: &str = "r4 = r1\nr4 <<= 32\nr4 >>= 32\nr1 >>= 32\nr3 = r2\nr3 <<= 32\nr3 >>= 32\nr5 = r3\nr5 *= r1\n\
     r3 *= r4\nr3 >>= 32\nr3 += r5\nr2 >>= 32\nr5 = r2\nr5 *= r1\nr0 = r3\nr0 >>= 32\nr0 += r5\nr2 *= r4\nr3 <<= 32\n\
     r3 >>= 32\nr3 += r2\nr3 >>= 32\nr0 += r3\n";

#[test]
fn high_halves_of_products_are_found() {
    let (found, rest) = sites(&format!("{PRODUCT}exit"));
    assert_eq!((found, &*rest), (vec!["multiply_high.unsigned dst=r0 a=r2 b=r1".to_owned()], "exit"));
    // With shifts that keep the sign.
    let signed = PRODUCT.replace("r1 >>= 32", "r1 s>>= 32").replace("r2 >>= 32", "r2 s>>= 32");
    let signed =
        signed.replace("r0 >>= 32", "r0 s>>= 32").replace("r3 += r2\nr3 >>= 32", "r3 += r2\nr3 s>>= 32");
    let (found, _) = sites(&format!("{signed}exit"));
    assert_eq!(found, ["multiply_high.signed dst=r0 a=r2 b=r1"]);
    // A carry that is lost.
    is_none(&format!("{}exit", PRODUCT.replace("r3 += r5", "w3 += w5")), "multiply_high");
    is_none(&format!("{}exit", PRODUCT.replace("r0 += r3", "r0 -= r3")), "multiply_high");
}

#[test]
fn a_number_that_was_taken_apart_is_put_together() {
    // 0x5555555555555556 times r1, with what r1 held taken for the result.
    let text = "r2 = r1\nr2 >>= 32\nr3 = r1\nw3 = w3\nr4 = r3\nr4 *= 1431655766\nr4 >>= 32\nr5 = r2\nr5 *= 1431655766\n\
                r5 += r4\nr3 *= 1431655765\nw4 = w5\nr3 += r4\nr2 *= 1431655765\nr5 >>= 32\nr2 += r5\nr3 >>= 32\n\
                r1 = r2\nr1 += r3\nr0 = r1\nexit";
    let rewritten = rewritten_with(text, None, true);
    let found = &rewritten.found[..];
    assert!(matches!(found, [found] if found.kop == "multiply_high"), "{rewritten:?}");
    let left = rest(&rewritten.object.programs[0]);
    assert!(left.contains("0x5555555555555556 ll") && left.ends_with("ll\nexit"), "{left}");
    // With the result where the factor is.
    let text = text.replace("r0 = r1\nexit", "r0 = 5\nr0 += r1\nexit");
    let rewritten = rewritten_with(&text, None, true);
    assert_eq!(rewritten.found.len(), 1, "{rewritten:?}");
    let left = rest(&rewritten.object.programs[0]);
    assert!(left.contains(" = r1\n") && left.ends_with("r0 = 5\nr0 += r1\nexit"), "{left}");
}

#[test]
fn steps_of_a_checksum_are_found() {
    let step = "w0 = w2\nw0 >>= 1\nw2 &= 1\nw2 = -w2\nw2 &= -2097792136\nw2 ^= w0\n";
    let steps = |count| format!("r2 = *(u8 *)(r1 + 0)\nw2 ^= w3\n{}", step.repeat(count));
    let text = steps(8);
    let (found, rest) = sites(&format!("{text}r0 = r2\nexit"));
    assert_eq!(found, ["crc32c.u8 dst=r0 crc=r3 data=r2"]);
    assert_eq!(rest, "w2 = *(u8 *)(r1 + 0)\nexit");
    // Another generator, and too few steps.
    is_none(&format!("{}r0 = r2\nexit", text.replace("-2097792136", "-306674912")), "crc32c");
    is_none(&format!("{}r0 = r2\nexit", steps(7)), "crc32c");
}

#[test]
fn inputs_that_are_exchanged_are_refused() {
    let text = "r2 ^= -1\nr2 &= r1\nr0 = r2\nexit";
    let refused = rewritten_with(text, Some(Planted::ExchangedInputs), true);
    assert!(refused.found.is_empty() && !refused.misses.is_empty(), "{refused:?}");
    assert!(!rewritten_with(text, Some(Planted::ExchangedInputs), false).found.is_empty());
}
