// SPDX-License-Identifier: GPL-2.0-or-later
//! What becomes a site and what does not, with edits tried on numbers in place of proofs.

use std::collections::BTreeMap;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{AtomicOp, Insn, Reg, Size};
use kop_ops::{Catalog, Object, Program, ProgramKind};
use kop_semantics::Integers;
use kop_semantics::ebpf::{Machine, Next, step};

use super::{Claim, Options, Planted, Rewritten, Validator, rewrite};
use crate::tests::program;

/// Runs both sides of a claim from the same states.
pub(super) struct Sampled;

/// Registers, and memory that holds a hash of the address where nothing was stored.
struct Runner {
    registers: [u64; 11],
    stored: BTreeMap<u64, u8>,
    domain: Integers,
}

impl Machine for Runner {
    type Domain = Integers;
    type Stop = String;

    fn domain(&mut self) -> &mut Integers {
        &mut self.domain
    }

    fn get(&mut self, register: Reg) -> u64 {
        self.registers[register.index()]
    }

    fn set(&mut self, register: Reg, value: u64) {
        self.registers[register.index()] = value;
    }

    fn load(&mut self, size: Size, address: u64) -> Result<u64, String> {
        let byte = |at: u64| {
            let at = address.wrapping_add(at);
            self.stored.get(&at).copied().unwrap_or((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        };
        Ok((0..size.bytes() as u64).rev().fold(0, |number, at| number << 8 | u64::from(byte(at))))
    }

    fn store(&mut self, size: Size, address: u64, value: u64) -> Result<(), String> {
        for at in 0..size.bytes() as u64 {
            self.stored.insert(address.wrapping_add(at), (value >> (8 * at)) as u8);
        }
        Ok(())
    }

    fn begin_atomic(&mut self, _op: AtomicOp, _size: Size, _address: u64) -> Result<(), String> {
        Ok(())
    }

    fn reference(&mut self, _kind: u8, _imm: u64) -> Result<u64, String> {
        Err("a reference".to_owned())
    }
}

impl Runner {
    fn run(&mut self, insns: &[Insn]) -> Result<(), String> {
        let mut index = 0;
        while let Some(insn) = insns.get(index) {
            let jumps = match step(self, insn)? {
                Next::Fall => false,
                Next::Jump => true,
                Next::Branch(taken) => taken == 1,
                _ => return Err(format!("`{insn}` in a claim")),
            };
            index += 1;
            let mut slots = if jumps { insn.branch_offset().expect("a jump") } else { 0 };
            while slots > 0 {
                slots -= insns[index].slots() as i32;
                index += 1;
            }
        }
        Ok(())
    }
}

impl Validator for Sampled {
    fn validate(&mut self, claim: &Claim) -> Result<String, String> {
        for seed in 0..300 {
            let mut choices = Seeded::new(seed);
            let registers = std::array::from_fn(|_| match choices.below(3) {
                0 => choices.below(70),
                1 => choices.bits() & choices.bits(),
                _ => choices.bits(),
            });
            let start = || Runner { registers, stored: BTreeMap::new(), domain: Integers };
            let (mut one, mut other) = (start(), start());
            one.run(&claim.fragment)?;
            other.run(&claim.replacement)?;
            let differs =
                |register: &Reg| one.registers[register.index()] != other.registers[register.index()];
            if let Some(register) = claim.live.iter().find(differs) {
                return Err(format!("{register} differs"));
            }
            if one.stored != other.stored {
                return Err("memory differs".to_owned());
            }
        }
        Ok("300 states".to_owned())
    }
}

fn object(program: Program) -> Object {
    Object { programs: vec![program], ..Object::default() }
}

fn rewritten(text: &str) -> Rewritten {
    let catalog = Catalog::einsn();
    rewrite(&object(program(text)), &Options::new(&catalog), &mut Sampled)
}

/// What is left of a program besides sites.
pub(super) fn rest(program: &Program) -> String {
    let plain = |insn: &&Insn| !matches!(insn, Insn::Sidecar { .. }) && !insn.is_call();
    program.flow.insns().iter().filter(plain).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The sites of a program as `rotate.imm64 dst=r0 ..`, and what is left of it besides.
fn sites(text: &str) -> (Vec<String>, String) {
    let rewritten = rewritten(text);
    let found = rewritten.found.iter();
    let sites = found.map(|found| format!("{}.{} {}", found.kop, found.form, found.operands)).collect();
    (sites, rest(&rewritten.object.programs[0]))
}

#[track_caller]
fn becomes(text: &str, site: &str, rest: &str) {
    assert_eq!(sites(text), (vec![site.to_owned()], rest.to_owned()), "{text}");
}

#[track_caller]
fn misses(text: &str, kop: &str, reason: &str) {
    let rewritten = rewritten(text);
    assert!(rewritten.found.is_empty(), "{text}\n{:?}", rewritten.found);
    assert_eq!(rewritten.object.programs[0], program(text), "nothing changes");
    let said = |miss: &super::Miss| miss.kop == kop && miss.reason.contains(reason);
    assert!(rewritten.misses.iter().any(said), "{text}\n{:?}", rewritten.misses);
}

/// A program of this kind, rewritten.
pub(in crate::rewrite) fn rewritten_as(text: &str, kind: ProgramKind, options: &Options) -> Rewritten {
    let object = Object { programs: vec![Program { kind, ..program(text) }], ..Object::default() };
    rewrite(&object, options, &mut Sampled)
}

/// These sites are made, and the rest of the program is `wanted`.
#[track_caller]
pub(in crate::rewrite) fn assert_made(text: &str, rewritten: &Rewritten, sites: &[&str], wanted: &str) {
    let found = rewritten.found.iter();
    let made: Vec<String> =
        found.map(|found| format!("{}.{} {}", found.kop, found.form, found.operands)).collect();
    assert_eq!(made, sites, "{text}\n{:?}", rewritten.misses);
    assert_eq!(rest(&rewritten.object.programs[0]), wanted, "{text}");
}

/// There is neither a site nor a near miss.
#[track_caller]
pub(in crate::rewrite) fn assert_nothing(text: &str, rewritten: &Rewritten) {
    assert!(rewritten.found.is_empty() && rewritten.misses.is_empty(), "{text}\n{rewritten:?}");
}

#[test]
fn rotates_by_a_number_are_found_however_they_are_written() {
    let end = "r0 = r3\nexit";
    let site = "rotate.imm64 dst=r0 src=r1 tmp=r2 amount=13";
    for body in [
        "r3 = r1\nr3 <<= 13\nr2 = r1\nr2 >>= 51\nr3 |= r2",
        "r2 = r1\nr3 = r1\nr2 >>= 51\nr3 <<= 13\nr3 += r2",
        "r2 = r1\nr2 <<= 13\nr3 = r1\nr3 >>= 51\nr3 ^= r2",
        "r2 = r1\nr2 <<= 6\nr2 <<= 7\nr3 = r1\nr3 >>= 51\nr3 |= r2",
    ] {
        becomes(&format!("{body}\n{end}"), site, "exit");
    }
    // The value itself is shifted last.
    becomes(
        "r2 = r1\nr2 <<= 8\nr1 >>= 56\nr1 |= r2\nr0 = r1\nexit",
        "rotate.imm64 dst=r0 src=r1 tmp=r2 amount=8",
        "exit",
    );
}

#[test]
fn rotates_of_32_bits_are_found_in_both_widths() {
    becomes(
        "w2 = w1\nw2 <<= 7\nw1 >>= 25\nw1 |= w2\nr0 = r1\nexit",
        "rotate.imm32 dst=r0 src=r1 tmp=r2 amount=7",
        "exit",
    );
    // As code for the first instruction set has it.
    becomes(
        "r1 <<= 32\nr1 >>= 32\nr2 = r1\nr2 <<= 7\nr1 >>= 25\nr1 |= r2\nr1 <<= 32\nr1 >>= 32\nr0 = r1\nexit",
        "rotate.imm32 dst=r0 src=r1 tmp=r2 amount=7",
        "exit",
    );
}

#[test]
fn what_stays_in_between_keeps_its_order() {
    becomes(
        "r3 = r1\nr3 <<= 13\n*(u64 *)(r10 - 8) = r4\nr1 >>= 51\nr5 = *(u64 *)(r10 - 8)\nr3 |= r1\nr0 = r3\nr0 += r5\nexit",
        "rotate.imm64 dst=r0 src=r1 tmp=r3 amount=13",
        "*(u64 *)(r10 - 8) = r4\nr5 = *(u64 *)(r10 - 8)\nr0 += r5\nexit",
    );
    // A way out on which no part is needed.
    becomes(
        "r3 = r1\nr3 <<= 13\nif r4 == 0 goto +4\nr1 >>= 51\nr3 |= r1\nr0 = r3\nexit\nr0 = 1\nexit",
        "rotate.imm64 dst=r0 src=r1 tmp=r3 amount=13",
        "if r4 == 0 goto +3\nexit\nr0 = 1\nexit",
    );
}

#[test]
fn rotates_by_a_register_are_found() {
    for amount in [
        "r4 = 64\nr4 -= r3",
        "r4 = r3\nr4 = -r4",
        "r4 = r3\nr4 ^= 63\nr4 += 1",
        "r4 = r3\nr4 = -r4\nr4 &= 63",
    ] {
        becomes(
            &format!("r2 = r1\n{amount}\nr1 >>= r4\nr2 <<= r3\nr2 |= r1\nr0 = r2\nexit"),
            "rotate.reg64 dst=r0 src=r1 amount=r3 tmp=r2",
            "exit",
        );
    }
    becomes(
        "w2 = w1\nw3 &= 31\nw2 <<= w3\nw3 = -w3\nw1 >>= w3\nw2 |= w1\nr0 = r2\nexit",
        "rotate.reg32 dst=r0 src=r1 amount=r3 tmp=r2",
        "exit",
    );
}

#[test]
fn a_rotate_to_the_right_takes_the_amount_of_its_left_half() {
    let (found, rest) = sites("r4 = 64\nr4 -= r3\nr2 = r1\nr1 >>= r3\nr2 <<= r4\nr2 |= r1\nr0 = r2\nexit");
    assert_eq!(found, ["rotate.reg64 dst=r0 src=r1 amount=r4 tmp=r2"]);
    assert_eq!(rest, "r4 = 64\nr4 -= r3\nexit");
}

#[test]
fn a_sum_of_shifts_is_no_rotate_by_zero() {
    for op in ["+=", "^="] {
        let text = format!("r2 = r1\nr4 = r3\nr4 = -r4\nr1 >>= r4\nr2 <<= r3\nr2 {op} r1\nr0 = r2\nexit");
        misses(&text, "rotate", "r0 differs");
    }
}

#[test]
fn parts_that_are_needed_keep_their_instructions() {
    let text = "r3 = r1\nr3 <<= 13\nr2 = r1\nr2 >>= 51\nr4 = r3\nr3 |= r2\nr0 = r3\nr0 += r4\nr0 += r2\nexit";
    misses(text, "rotate", "could go");
    // Needed on a way out.
    let text = "r3 = r1\nr3 <<= 13\nif r4 == 0 goto +4\nr1 >>= 51\nr3 |= r1\nr0 = r3\nexit\nr0 = r3\nexit";
    let (found, rest) = sites(text);
    assert_eq!(found, ["rotate.imm64 dst=r0 src=r1 tmp=r3 amount=13"]);
    assert!(rest.starts_with("r3 = r1\nr3 <<= 13\nif r4"), "{rest}");
}

#[test]
fn registers_are_left_to_be_temporaries_or_there_is_no_site() {
    let sum: String = (1..10).map(|register| format!("r0 += r{register}\n")).collect();
    let text = format!("r3 = r1\nr3 <<= 13\nr2 = r1\nr2 >>= 51\nr3 |= r2\nr2 = 5\n{sum}exit");
    // Nothing but r2 is free, as it is written behind.
    becomes(&text, "rotate.imm64 dst=r3 src=r1 tmp=r2 amount=13", &format!("r2 = 5\n{sum}exit"));
    let text = format!("r3 = r1\nr3 >>= 51\nr1 <<= 13\nr1 |= r3\nr3 = r1\n{sum}exit");
    becomes(&text, "rotate.imm64 dst=r1 src=r1 tmp=r3 amount=13", &format!("r3 = r1\n{sum}exit"));
}

#[test]
fn nothing_is_taken_from_where_a_jump_goes() {
    let text = "r3 = r1\nr3 <<= 13\nif r4 == 0 goto +1\nr1 = 7\nr1 >>= 51\nr3 |= r1\nr0 = r3\nexit";
    let rewritten = rewritten(text);
    assert!(rewritten.found.is_empty(), "{:?}", rewritten.found);
}

#[test]
fn a_jump_into_an_operation_is_said() {
    let text = "r3 = 5\nif r4 == 0 goto +2\nr3 = r1\nr3 <<= 13\nr1 >>= 51\nr3 |= r1\nr0 = r3\nexit";
    misses(text, "rotate", "a jump goes to instruction 4, into the middle of it");
}

#[test]
fn jumps_to_code_that_goes_lead_to_its_site() {
    becomes(
        "r0 = 0\nr2 = r1\nr2 <<= 8\nr1 >>= 56\nr1 |= r2\nr0 += r1\nif r1 != 5 goto -6\nexit",
        "rotate.imm64 dst=r1 src=r1 tmp=r2 amount=8",
        "r0 = 0\nr0 += r1\nif r1 != 5 goto -4\nexit",
    );
}

#[test]
fn fields_are_found() {
    becomes("r0 = r1\nr0 >>= 5\nr0 &= 511\nexit", "extract.unsigned dst=r0 src=r1 start=5 length=9", "exit");
    becomes("r0 = r1\nr0 <<= 50\nr0 s>>= 55\nexit", "extract.signed dst=r0 src=r1 start=5 length=9", "exit");
    becomes("r0 = r1\nr0 <<= 32\nr0 s>>= 32\nexit", "extract.signed dst=r0 src=r1 start=0 length=32", "exit");
    // One instruction is no better than another.
    assert!(rewritten("r0 &= 255\nexit").found.is_empty());
    assert!(rewritten("r0 = r1\nr0 >>= 8\nexit").found.is_empty());
}

#[test]
fn swapped_loads_are_found() {
    for swap in ["r0 = be16 r0", "r0 = bswap16 r0", "r2 = r0\nr2 >>= 8\nr0 <<= 8\nr0 |= r2\nr0 &= 65535"] {
        becomes(
            &format!("r0 = *(u16 *)(r1 + 12)\n{swap}\nexit"),
            "swapped_load.be16 dst=r0 base=r1 off=12",
            "exit",
        );
    }
    // The base is gone where the bytes are swapped.
    becomes(
        "r1 = *(u64 *)(r1 + 0)\nr2 = 7\n*(u64 *)(r10 - 8) = r2\nr1 = be64 r1\nr0 = r1\nexit",
        "swapped_load.be64 dst=r1 base=r1 off=0",
        "r2 = 7\n*(u64 *)(r10 - 8) = r2\nr0 = r1\nexit",
    );
    misses("r0 = *(u16 *)(r1 + 12)\nr2 = r0\nr0 = be16 r0\nr0 += r2\nexit", "swapped_load", "could go");
}

#[test]
fn contexts_are_left_alone() {
    let xdp = |text: &str| {
        let catalog = Catalog::einsn();
        let program = Program { kind: ProgramKind::Xdp, ..program(text) };
        rewrite(&object(program), &Options::new(&catalog), &mut Sampled)
    };
    let found = xdp("r6 = r1\nr0 = *(u32 *)(r6 + 16)\nr0 = be32 r0\nexit");
    assert!(found.found.is_empty() && found.misses[0].reason.contains("context"), "{found:?}");
    let found = xdp("r2 = *(u32 *)(r1 + 0)\nr0 = *(u32 *)(r2 + 16)\nr0 = be32 r0\nexit");
    assert_eq!(found.found.len(), 1, "packets are the program's own: {found:?}");
    let found =
        xdp("*(u64 *)(r10 - 8) = r1\nr2 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r2 + 16)\nr0 = be32 r0\nexit");
    assert!(found.found.is_empty(), "a context that was put aside: {found:?}");
}

#[test]
fn counts_of_ones_are_found() {
    let masks = "r3 = 0x5555555555555555 ll\nr4 = 0x3333333333333333 ll\nr5 = 0x0f0f0f0f0f0f0f0f ll\n\
                 r6 = 0x0101010101010101 ll\n";
    let text = format!(
        "{masks}r2 = r1\nr2 >>= 1\nr2 &= r3\nr1 -= r2\nr2 = r1\nr2 &= r4\nr1 >>= 2\nr1 &= r4\nr1 += r2\n\
         r2 = r1\nr2 >>= 4\nr1 += r2\nr1 &= r5\nr1 *= r6\nr1 >>= 56\nr0 = r1\nexit"
    );
    becomes(&text, "popcount.pop64 dst=r0 src=r1 tmp=r2", "exit");
}

/// A popcount of r1 in r1, with r2 for garbage and the masks in r3 to r6.
const COUNT: &str = "r2 = r1\nr2 >>= 1\nr2 &= r3\nr1 -= r2\nr2 = r1\nr2 &= r4\nr1 >>= 2\nr1 &= r4\nr1 += r2\n\
                     r2 = r1\nr2 >>= 4\nr1 += r2\nr1 &= r5\nr1 *= r6\nr1 >>= 56\n";

const MASKS: &str = "r3 = 0x5555555555555555 ll\nr4 = 0x3333333333333333 ll\nr5 = 0x0f0f0f0f0f0f0f0f ll\n\
                     r6 = 0x0101010101010101 ll\n";

#[test]
fn masks_that_were_loaded_before_a_loop_are_known_in_it() {
    let text = format!("{MASKS}r0 = 0\nr1 += r7\n{COUNT}r0 += r1\nr7 += -1\nif r7 != 0 goto -19\nexit");
    let (found, rest) = sites(&text);
    assert_eq!(found, ["popcount.pop64 dst=r1 src=r1 tmp=r2"]);
    assert!(rest.ends_with("r1 += r7\nr0 += r1\nr7 += -1\nif r7 != 0 goto -6\nexit"), "{rest}");
    // One of two ways loads another.
    let text = format!("{MASKS}if r7 == 0 goto +2\nr4 = 0x3333333333333332 ll\n{COUNT}r0 = r1\nexit");
    assert!(sites(&text).0.is_empty());
}

#[test]
fn a_site_stands_where_its_input_ends_and_a_move_where_its_result_is_wanted() {
    // Between the two, r0 to r2 are used for something else.
    let between = "r9 = r1\nr0 = r7\nr8 += r0\nr1 = r7\nr8 += r1\nr2 = r7\nr8 += r2\n";
    let count = COUNT.replace("r1 *= r6\nr1 >>= 56\n", between);
    let text = format!("{MASKS}{count}r9 *= r6\nr9 >>= 56\nr0 = r9\nr0 += r8\nexit");
    becomes(
        &text,
        "popcount.pop64 dst=r9 src=r1 tmp=r2",
        "r0 = r7\nr8 += r0\nr1 = r7\nr8 += r1\nr2 = r7\nr8 += r2\nr0 = r9\nr0 += r8\nexit",
    );
}

#[test]
fn every_mistake_is_refused_when_it_is_made() {
    let catalog = Catalog::einsn();
    let texts = [
        (Planted::WrongAmount, "r3 = r1\nr3 <<= 13\nr1 >>= 51\nr3 |= r1\nr0 = r3\nexit"),
        (
            Planted::IgnoredLiveness,
            "r3 = r1\nr3 <<= 13\nr1 >>= 51\nif r4 == 0 goto +3\nr3 |= r1\nr0 = r3\nexit\nr0 = r3\nr0 += r1\nexit",
        ),
        (
            Planted::IgnoredTarget,
            "r3 = 5\nif r4 == 0 goto +2\nr3 = r1\nr3 <<= 13\nr1 >>= 51\nr3 |= r1\nr0 = r3\nexit",
        ),
    ];
    for (planted, text) in texts {
        let rewrite = |checked| {
            let options = Options { planted: Some(planted), checked, ..Options::new(&catalog) };
            rewrite(&object(program(text)), &options, &mut Sampled)
        };
        let refused = rewrite(true);
        assert!(refused.found.is_empty() && !refused.misses.is_empty(), "{}: {refused:?}", planted.name());
        assert!(!rewrite(false).found.is_empty(), "{} is made where nobody looks", planted.name());
    }
}
