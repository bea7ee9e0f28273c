// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers that are assembled from loads of bytes, with an operation for them of the test's own: its proof loads byte by byte.

use std::sync::LazyLock;

use kop_ops::ebpf::{AluOp, Insn, Size};
use kop_ops::payload::{Layout, Role};
use kop_ops::state::State;
use kop_ops::{Catalog, Fault, Form, Kop, Limits, Object, Reject, Site};

use super::tests::{Sampled, rest};
use super::{Options, Planted, Rewritten, rewrite};
use crate::tests::program;

struct Wide;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        let registers = Layout::new().register("dst", Role::Destination).register("base", Role::Any);
        registers.register("tmp", Role::Temporary).signed("off", 9)
    };
    ["le16", "le32", "be16", "be32"].map(|name| Form::new(name, "a number of bytes", layout())).into()
});

impl Kop for Wide {
    fn name(&self) -> &str {
        "wide_load"
    }

    fn summary(&self) -> &str {
        "load a number byte by byte"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, _site: &Site, _state: &mut State) -> Option<Result<(), Fault>> {
        None
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, base, tmp) = (site.reg("dst"), site.reg("base"), site.reg("tmp"));
        let off = site.imm("off") as i16;
        let count = if site.form.name.ends_with("16") { 2 } else { 4 };
        let at =
            |rank: i16| if site.form.name.starts_with("be") { off + count - 1 - rank } else { off + rank };
        let byte = |to, rank| Insn::load(Size::B1, to, base, at(rank));
        if dst == base && count == 2 {
            let shift = Insn::alu64(AluOp::Lsh, dst, 8);
            return Ok(vec![byte(tmp, 0), byte(dst, 1), shift, Insn::alu64(AluOp::Or, dst, tmp)]);
        }
        if dst == base {
            return Err(Reject::operands("dst must not be base"));
        }
        let mut proof = vec![byte(dst, 0)];
        for rank in 1..count {
            let shift = Insn::alu64(AluOp::Lsh, tmp, 8 * i32::from(rank));
            proof.extend([byte(tmp, rank), shift, Insn::alu64(AluOp::Or, dst, tmp)]);
        }
        Ok(proof)
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 10, max_emit_bytes: 0 }
    }
}

fn rewritten(text: &str, planted: Option<Planted>, checked: bool) -> Rewritten {
    let catalog = Catalog::with(&Wide);
    let object = Object { programs: vec![program(text)], ..Object::default() };
    rewrite(&object, &Options { planted, checked, ..Options::new(&catalog) }, &mut Sampled)
}

#[track_caller]
fn becomes(text: &str, site: &str, wanted: &str) {
    let rewritten = rewritten(text, None, true);
    let found = rewritten.found.iter();
    let sites: Vec<String> = found.map(|found| format!("{} {}", found.form, found.operands)).collect();
    assert_eq!(sites, [site], "{text}\n{:?}", rewritten.misses);
    assert_eq!(rest(&rewritten.object.programs[0]), wanted, "{text}");
}

#[track_caller]
fn misses(text: &str, reason: &str) {
    let rewritten = rewritten(text, None, true);
    assert!(rewritten.found.is_empty(), "{text}\n{:?}", rewritten.found);
    assert!(rewritten.misses.iter().any(|miss| miss.reason.contains(reason)), "{:?}", rewritten.misses);
}

/// As clang has a packed number; the last load overwrites its base.
const FOUR: &str = "r0 = *(u8 *)(r4 + 7)\nw0 <<= 8\nr5 = *(u8 *)(r4 + 6)\nw0 |= w5\nr5 = *(u8 *)(r4 + 9)\nw5 <<= 8\n\
                    r4 = *(u8 *)(r4 + 8)\nw5 |= w4\nw5 <<= 16\nw5 |= w0\nr0 = r5\nexit";

#[test]
fn numbers_assembled_from_bytes_are_found() {
    becomes(
        "r2 = *(u8 *)(r1 + 5)\nr2 <<= 8\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2\nexit",
        "le16 dst=r0 base=r1 tmp=r2 off=4",
        "exit",
    );
    becomes(FOUR, "le32 dst=r0 base=r4 tmp=r5 off=6", "exit");
    becomes(
        "r0 = *(u8 *)(r1 + 0)\nr0 <<= 8\nr3 += 5\nr1 = *(u8 *)(r1 + 1)\nr0 |= r1\nr0 += r3\nexit",
        "be16 dst=r0 base=r1 tmp=r2 off=0",
        "r3 += 5\nr0 += r3\nexit",
    );
    // The stack may be where the bytes are, as far as the code shows.
    misses(
        "r0 = *(u8 *)(r1 + 0)\nr0 <<= 8\n*(u64 *)(r10 - 8) = r3\nr1 = *(u8 *)(r1 + 1)\nr0 |= r1\nexit",
        "differs",
    );
}

#[test]
fn what_is_stored_in_between_decides_where_a_site_stands() {
    let between = |store: &str| {
        format!("r0 = *(u8 *)(r1 + 0)\nr0 <<= 8\n{store} = r3\nr2 = *(u8 *)(r1 + 1)\nr0 |= r2\nexit")
    };
    let (first, second, both) = ("*(u8 *)(r1 + 0)", "*(u8 *)(r1 + 1)", "*(u16 *)(r1 + 0)");
    let at = |store: &str| {
        let rewritten = rewritten(&between(store), None, true);
        rewritten.found.iter().map(|found| found.at).collect::<Vec<_>>()
    };
    // Before what overwrites the first byte, behind what writes the second, nowhere.
    assert_eq!(at(first), [0]);
    assert!(matches!(at(second)[..], [3 | 4]), "{:?}", at(second));
    misses(&between(both), "differs");
}

#[test]
fn what_is_loaded_behind_a_way_out_is_not_loaded_before_it() {
    becomes(
        "r0 = *(u8 *)(r1 + 0)\nif r5 > r4 goto +4\nr2 = *(u8 *)(r1 + 1)\nr2 <<= 8\nr0 |= r2\nexit\nr0 = 7\nexit",
        "le16 dst=r0 base=r1 tmp=r2 off=0",
        "if r5 > r4 goto +3\nexit\nr0 = 7\nexit",
    );
    let way_out = "r0 = *(u8 *)(r1 + 0)\nif r0 == 5 goto +3\nr2 = *(u8 *)(r1 + 1)\nr2 <<= 8\nr0 |= r2\nexit";
    misses(way_out, "could go");
}

#[test]
fn bytes_that_are_needed_stay_where_they_are() {
    misses("r2 = *(u8 *)(r1 + 5)\nr2 <<= 8\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2\nr0 += r2\nexit", "could go");
}

#[test]
fn an_offset_that_is_wrong_is_refused() {
    let refused = rewritten(FOUR, Some(Planted::WrongAmount), true);
    assert!(refused.found.is_empty() && !refused.misses.is_empty(), "{refused:?}");
    assert!(!rewritten(FOUR, Some(Planted::WrongAmount), false).found.is_empty());
}
