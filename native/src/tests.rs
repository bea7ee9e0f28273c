// SPDX-License-Identifier: GPL-2.0-or-later
//! What becomes of programs: how many loads, stores, jumps and divisions are left of them. Whether they are right is for the oracle.

use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Function, InstructionData, Opcode};
use cranelift_codegen::loop_analysis::LoopAnalysis;
use cranelift_codegen::{settings, verify_function};
use kop_ops::ebpf::parse_program;
use kop_ops::{Flow, ProgramKind};

use super::*;
use kop_ops::{Feature, MapKind, Slot};

fn program(text: &str) -> Program {
    let flow = Flow::new(parse_program(text).expect("the text parses")).expect("it is a program");
    Program { name: "test".to_owned(), kind: ProgramKind::Raw, flow }
}

fn with<T>(arch: Arch, action: impl FnOnce(&Options) -> T) -> T {
    let addresses = MapAddresses::default();
    let features = Features::of(&[Feature::Popcnt, Feature::Lzcnt]);
    let features = if arch == Arch::X86_64 { features } else { Features::NONE };
    action(&Options { back_end: BackEnd::Cranelift, arch, features, maps: &[], addresses: &addresses })
}

/// What the back end gets of a program.
pub(crate) fn optimised_program(program: &Program) -> Function {
    with(Arch::X86_64, |options| {
        let isa = emit::isa(options, true).expect("there is a back end");
        optimised(program, options, &*isa, None).expect("it is compiled").function
    })
}

fn function(text: &str) -> Function {
    optimised_program(&program(text))
}

/// The opcodes that are left, without those that make constants.
fn opcodes(text: &str) -> Vec<Opcode> {
    let function = function(text);
    let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    let opcodes = insts.map(|inst| function.dfg.insts[inst].opcode());
    opcodes.filter(|opcode| *opcode != Opcode::Iconst).collect()
}

fn count(text: &str, opcode: Opcode) -> usize {
    opcodes(text).into_iter().filter(|found| *found == opcode).count()
}

fn refusal(text: &str) -> String {
    with(Arch::X86_64, |options| compile(&program(text), options)).expect_err("it is refused").to_string()
}

#[test]
fn a_program_is_code_for_both_architectures() {
    let text = "r0 = *(u32 *)(r1 + 4)\ncall 7\nr6 = r0\ncall 7\nr0 += r6\nexit";
    for arch in Arch::ALL {
        let code = with(arch, |options| compile(&program(text), options)).expect("it is compiled");
        assert_eq!((code.helpers.as_slice(), code.guarded, code.observing), (&[7][..], false, false));
        let offsets: Vec<u32> = code.marks.iter().map(|mark| mark.offset).collect();
        assert!(offsets.is_sorted() && !code.bytes.is_empty(), "{:?}", code.marks);
        assert!(code.marks.iter().any(|mark| mark.index == 3), "{:?}", code.marks);
    }
}

#[test]
fn what_only_loads_and_stores_touch_of_the_stack_is_no_memory() {
    let text = "*(u64 *)(r10 - 8) = r1\n*(u32 *)(r10 - 16) = 7\nr0 = *(u64 *)(r10 - 8)\nr2 = *(u32 *)(r10 - 16)\n\
                r0 += r2\nexit";
    assert_eq!(count(text, Opcode::Store), 0);
    assert_eq!(count(text, Opcode::Load), 1, "r1");
}

#[test]
fn an_index_with_a_bound_leaves_the_rest_of_the_stack_alone() {
    let access = |bound: &str| {
        format!(
            "*(u64 *)(r10 - 8) = r1\nr2 &= {bound}\nr3 = r10\nr3 += -40\nr3 += r2\n*(u8 *)(r3 + 0) = 1\n\
             r0 = *(u64 *)(r10 - 8)\nexit"
        )
    };
    assert_eq!(opcodes(&access("31")).iter().filter(|opcode| opcode.can_store()).count(), 1);
    assert_eq!(opcodes(&access("63")).iter().filter(|opcode| opcode.can_store()).count(), 2);
}

#[test]
fn a_lookup_in_an_array_is_no_call() {
    let array = MapSpec {
        name: "array".to_owned(),
        kind: MapKind::Array,
        key_size: 4,
        value_size: 12,
        max_entries: 5,
        flags: 0,
        initial: Vec::new(),
    };
    let maps = [array.clone(), MapSpec { kind: MapKind::Hash, ..array }];
    let addresses = MapAddresses::new(&maps, Slot::default()).expect("there is room");
    let opcodes = |map: usize| {
        let text =
            format!("*(u32 *)(r10 - 4) = 3\nr1 = map_by_idx({map}) ll\nr2 = r10\nr2 += -4\ncall 1\nexit");
        let (arch, features) = (Arch::X86_64, Features::NONE);
        let options =
            Options { back_end: BackEnd::Cranelift, arch, features, maps: &maps, addresses: &addresses };
        let isa = emit::isa(&options, true).expect("there is a back end");
        let function = optimised(&program(&text), &options, &*isa, None).expect("it is compiled").function;
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        insts.map(|inst| function.dfg.insts[inst].opcode()).collect::<Vec<_>>()
    };
    let array = opcodes(0);
    assert!(!array.iter().any(|opcode| opcode.is_call() || opcode.can_store()), "{array:?}");
    let hash = opcodes(1);
    assert!(hash.iter().any(|opcode| opcode.is_call()), "{hash:?}");
}

#[test]
fn a_loop_with_a_bound_leaves_the_rest_of_the_stack_alone() {
    let text = "*(u64 *)(r10 - 8) = r1\nr2 = 0\nr3 = r10\nr3 += -40\nr3 += r2\n*(u64 *)(r3 + 0) = 1\nr2 += 8\n\
                if r2 != 32 goto -6\nr0 = *(u64 *)(r10 - 8)\nexit";
    assert_eq!(count(text, Opcode::Store), 1);
}

#[test]
fn a_helper_function_finds_what_it_is_given_in_memory() {
    let text = "*(u32 *)(r10 - 4) = 1\nr1 = r10\nr1 += -4\nr2 = 4\n*(u64 *)(r10 - 16) = 5\ncall 6\n\
                r0 = *(u64 *)(r10 - 16)\nexit";
    assert_eq!(count(text, Opcode::Store), 1, "the four bytes that are printed");
}

#[test]
fn bytes_become_integers_in_both_orders() {
    let little = "r2 = *(u8 *)(r1 + 0)\nr3 = *(u8 *)(r1 + 1)\nr3 <<= 8\nr2 |= r3\nr0 = r2\nexit";
    assert_eq!((count(little, Opcode::Uload8), count(little, Opcode::Bswap)), (0, 0));
    let big = "r2 = *(u8 *)(r1 + 0)\nr3 = *(u8 *)(r1 + 1)\nr2 <<= 8\nr2 |= r3\nr0 = r2\nexit";
    assert_eq!((count(big, Opcode::Uload8), count(big, Opcode::Bswap)), (0, 1));
    let apart = "r2 = *(u8 *)(r1 + 0)\nr3 = *(u8 *)(r1 + 2)\nr2 <<= 8\nr2 |= r3\nr0 = r2\nexit";
    assert_eq!(count(apart, Opcode::Uload8), 2);
    let stored =
        "r2 = *(u8 *)(r1 + 0)\n*(u8 *)(r1 + 1) = 7\nr3 = *(u8 *)(r1 + 1)\nr2 <<= 8\nr2 |= r3\nr0 = r2\nexit";
    assert_eq!(count(stored, Opcode::Uload8), 2);
}

#[test]
fn bytes_are_stored_as_integers_in_both_orders() {
    let little = "*(u8 *)(r1 + 0) = r2\nr3 = r2\nr3 >>= 8\n*(u8 *)(r1 + 1) = r3\nr0 = 0\nexit";
    assert_eq!((count(little, Opcode::Istore8), count(little, Opcode::Bswap)), (0, 0));
    let big = "*(u8 *)(r1 + 1) = r2\nr3 = r2\nr3 >>= 8\n*(u8 *)(r1 + 0) = r3\nr0 = 0\nexit";
    assert_eq!((count(big, Opcode::Istore8), count(big, Opcode::Bswap)), (0, 1));
    let read = "*(u8 *)(r1 + 0) = r2\nr3 = r2\nr3 >>= 8\nr0 = *(u8 *)(r4 + 0)\n*(u8 *)(r1 + 1) = r3\nexit";
    assert_eq!(count(read, Opcode::Istore8), 2);
}

#[test]
fn jumps_that_go_one_way_are_none() {
    let text = "r2 &= 15\nif r2 > 15 goto +2\nr0 = 1\nexit\nr0 = 2\nexit";
    assert_eq!(count(text, Opcode::Brif), 0);
    let open = "r2 &= 15\nif r2 > 14 goto +2\nr0 = 1\nexit\nr0 = 2\nexit";
    assert_eq!(count(open, Opcode::Brif), 1);
}

#[test]
fn a_comparison_of_lower_halves_says_nothing_of_the_upper_one() {
    let text = "r2 = 0x100000005 ll\nw3 = *(u32 *)(r1 + 0)\nif w3 != w2 goto +3\nif r2 > 5 goto +2\nr0 = 1\nexit\n\
                r0 = 2\nexit\nr0 = 3\nexit";
    let function = function(text);
    let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    let constants = insts.filter_map(|inst| match function.dfg.insts[inst] {
        InstructionData::UnaryImm { imm, .. } => Some(imm.bits()),
        _ => None,
    });
    assert!(constants.into_iter().all(|constant| constant != 1), "r2 is above 5");
}

#[test]
fn a_division_of_small_numbers_is_one_of_32_bits() {
    let text = "r1 &= 255\nr2 &= 15\nr2 += 1\nr1 /= r2\nr0 = r1\nexit";
    let function = function(text);
    let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    let mut divisions = insts.filter(|inst| function.dfg.insts[*inst].opcode() == Opcode::Udiv);
    let division = divisions.next().expect("there is one");
    assert_eq!(function.dfg.value_type(function.dfg.first_result(division)).bits(), 32);
    assert!(matches!(function.dfg.insts[division], InstructionData::Binary { .. }));
    assert_eq!(count(text, Opcode::Select), 0, "the divisor is not zero");
}

#[test]
fn sums_whose_upper_half_does_not_matter_are_of_32_bits() {
    let text = "r0 = r1\nr0 += r2\n*(u32 *)(r3 + 0) = r0\nr0 = 0\nexit";
    let function = function(text);
    let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    let sum = insts.into_iter().find(|inst| function.dfg.insts[*inst].opcode() == Opcode::Iadd);
    let sum = function.dfg.first_result(sum.expect("there is a sum"));
    assert_eq!(function.dfg.value_type(sum).bits(), 32);
}

#[test]
fn what_the_verifier_refuses_is_refused() {
    for (text, reason) in [
        ("call pc-1\nexit", "calls itself"),
        ("callx r6\nexit", "by register"),
        ("r0 = *(u8 *)skb[0]\nexit", "no such instruction"),
    ] {
        let error = refusal(text);
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_jump_to_a_jump_is_one_jump() {
    let text = "r0 = 0\nr0 += 1\nif r0 == 9 goto +1\ngoto -3\nexit";
    assert_eq!(function(text).layout.blocks().count(), 4, "the entry, the start, the loop, the end");
}

#[test]
fn copies_that_a_loop_carries_are_one() {
    let text = |other: &str| {
        format!(
            "r3 = r1\n{other}\nr4 += -1\nr3 = *(u64 *)(r3 + 0)\nr2 = *(u64 *)(r2 + 0)\nr2 = r3\nif r4 != 0 goto -5\nr0 = r2\nr0 += r3\nexit"
        )
    };
    let carried = |text: &str| {
        let function = function(text);
        let params = function.layout.blocks().skip(1).map(|block| function.dfg.block_params(block).len());
        params.max().expect("there are blocks")
    };
    assert_eq!(carried(&text("r2 = r1")), 2);
    assert_eq!(carried(&text("r2 = r5")), 3);
}

/// A loop that takes a one away each turn, and may end at a bound.
fn counting(start: &str, step: &str, bound: &str) -> String {
    format!(
        "r2 = {start}\nif r1 == 0 goto +6\nr3 = r1\nr3 += {step}\nr1 &= r3\nr2 += 1\nif r1 == 0 goto +1\n{bound}\nr0 = r2\nexit"
    )
}

#[test]
fn a_loop_that_counts_ones_is_one_instruction() {
    let found = |text: &str| count(text, Opcode::Popcnt);
    assert_eq!(found(&counting("0", "-1", "if r2 < 64 goto -6")), 1);
    assert_eq!(found(&counting("r4", "-1", "goto -6")), 1);
    assert_eq!(found(&counting("0", "-1", "if r2 < 63 goto -6")), 0, "it may end before");
    assert_eq!(found(&counting("r4", "-1", "if r2 < 64 goto -6")), 0, "it may start at the bound");
    assert_eq!(found(&counting("0", "-2", "if r2 < 64 goto -6")), 0);
    let length = "r2 = r4\nr1 >>= 1\nr2 += 1\nif r1 != 0 goto -3\nr0 = r2\nexit";
    assert_eq!(count(length, Opcode::Clz), 1);
}

/// Four comparisons that choose numbers; `last` is the number that is compared with last.
fn ladder(last: i32) -> String {
    format!(
        "r0 = 1\nif r1 == 3 goto +7\nr0 = 2\nif r1 == 5 goto +5\nr0 = 7\nif r1 == 8 goto +3\nr0 = 4\nif r1 == {last} goto +1\nr0 = 0\nexit"
    )
}

#[test]
fn a_ladder_that_chooses_numbers_is_a_table() {
    assert_eq!(count(&ladder(66), Opcode::Brif), 0, "64 values from 3 on");
    assert_ne!(count(&ladder(67), Opcode::Brif), 0);
    let large = ladder(66).replace("r0 = 7", "r0 = 64");
    assert_ne!(count(&large, Opcode::Brif), 0);
}

/// Checks that `first` and `second` bytes are there from where `start` puts r2, and takes r3 for the end.
fn checks(start: &str, between: &str, first: u32, second: u32) -> String {
    format!(
        "{start}\nr3 = *(u32 *)(r1 + 4)\nr0 = 0\nr4 = r2\nr4 += {first}\nif r4 > r3 goto +9\n{between}\nr0 = *(u8 *)(r2 + 0)\n\
         r4 = r2\nr4 += {second}\nif r3 >= r4 goto +1\nexit\nr5 = *(u8 *)(r2 + 1)\nr0 += r5\nr0 += 1\nexit"
    )
}

#[test]
fn a_check_that_one_for_more_bytes_dominates_is_none() {
    let packet = "r2 = *(u32 *)(r1 + 0)";
    let left = |text: &str| count(text, Opcode::Brif);
    assert_eq!(left(&checks(packet, "r0 = r0", 34, 34)), 1);
    assert_eq!(left(&checks(packet, "r0 = r0", 54, 34)), 1);
    assert_eq!(left(&checks(packet, "r0 = r0", 34, 54)), 2, "for fewer bytes");
    let inner = "r2 = *(u32 *)(r1 + 0)\nr5 = *(u8 *)(r1 + 8)\nr5 &= 15\nr5 <<= 2\nr2 += r5";
    assert_eq!(left(&checks(inner, "r0 = r0", 20, 8)), 1, "behind a header of some length");
    assert_eq!(left(&checks("r2 = *(u64 *)(r1 + 0)", "r0 = r0", 54, 34)), 2, "it may wrap around");
    assert_eq!(left(&checks(packet, "r2 += 4", 54, 34)), 1, "the start has moved by less");
    assert_eq!(left(&checks(packet, "r2 += 24", 54, 34)), 2);
    let again = "r3 = *(u32 *)(r1 + 4)";
    assert_eq!(left(&checks(packet, again, 54, 34)), 1, "the end is loaded once more");
    let between = checks(packet, "*(u8 *)(r1 + 9) = 1\nr3 = *(u32 *)(r1 + 4)", 54, 34);
    assert_eq!(left(&between), 2, "the end may be another one");
}

#[test]
fn a_check_says_nothing_where_it_did_not_hold() {
    let text = "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 54\nr0 = 0\nif r4 > r3 goto +1\nr0 = *(u8 *)(r2 + 53)\n\
                r4 = r2\nr4 += 34\nif r4 > r3 goto +1\nr0 += 7\nexit";
    let function = function(text);
    let compares = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    let compares = compares.filter(|inst| function.dfg.insts[*inst].opcode() == Opcode::Icmp);
    assert_eq!(compares.count(), 2);
}

#[test]
fn the_same_comparison_is_decided_once() {
    let twice = |first: &str, second: &str| {
        let text = format!(
            "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr0 = 0\nif {first} goto +4\nr0 = *(u8 *)(r1 + 16)\nif {second} goto +2\n\
             *(u8 *)(r1 + 17) = 3\nr0 = 3\nexit"
        );
        count(&text, Opcode::Brif)
    };
    assert_eq!(twice("r2 > r3", "r2 > r3"), 1);
    assert_eq!(twice("r2 > r3", "r3 >= r2"), 1);
    assert_eq!(twice("r2 > r3", "r3 < r2"), 1);
    assert_eq!(twice("r2 s> r3", "r3 s>= r2"), 1);
    assert_eq!(twice("r2 == r3", "r2 != r3"), 1);
    assert_eq!(twice("r2 != r3", "r2 s< r3"), 1);
    assert_eq!(twice("r2 > r3", "r2 s> r3"), 2, "of other numbers");
    assert_eq!(twice("r2 >= r3", "r2 == r3"), 1);
    assert_eq!(twice("r2 > r3", "r2 == r3"), 2);
    assert_eq!(twice("w2 > w3", "r2 > r3"), 2, "of the lower halves");
    assert_eq!(twice("w2 > w3", "w2 > w3"), 1);
    assert_eq!(twice("r2 & r3", "r2 & r3"), 1);
}

#[test]
fn what_others_may_write_is_compared_anew() {
    let twice = |from: &str| {
        let text = format!(
            "{from}\nr2 = *(u32 *)(r6 + 4)\nr0 = 0\nif r2 > 15 goto +5\nr0 = *(u8 *)(r1 + 16)\nr3 = *(u32 *)(r6 + 4)\nif r3 > 15 goto +2\n\
             *(u8 *)(r1 + 17) = 3\nr0 = r3\nexit"
        );
        count(&text, Opcode::Brif)
    };
    assert_eq!(twice("r6 = r1"), 1);
    assert_eq!(twice("r6 = *(u64 *)(r1 + 8)"), 2);
}

/// How many loads are in loops once those that may are in front of them.
fn loads_in_loops(text: &str) -> usize {
    let translated = with(Arch::X86_64, |options| {
        let isa = emit::isa(options, true).expect("there is a back end");
        optimised(&program(text), options, &*isa, None).expect("it is compiled")
    });
    let translate::Translated { mut function, frame, .. } = translated;
    invariants::hoist(&mut function, frame, None);
    let cfg = ControlFlowGraph::with_function(&function);
    let tree = DominatorTree::with_function(&function, &cfg);
    let mut loops = LoopAnalysis::new();
    loops.compute(&function, &cfg, &tree);
    verify_function(&function, &settings::Flags::new(settings::builder())).expect("it is sound");
    let blocks = function.layout.blocks().filter(|block| loops.innermost_loop(*block).is_some());
    let insts = blocks.flat_map(|block| function.layout.block_insts(block));
    insts.filter(|inst| function.dfg.insts[*inst].opcode().can_load()).count()
}

#[test]
fn loads_of_what_no_turn_changes_stand_in_front_of_the_loop() {
    let turns = |body: &str, count: i16| {
        loads_in_loops(&format!(
            "r6 = r1\nr0 = 0\nr2 = 0\n{body}\nr0 += r3\nr2 += 1\nif r2 != 5 goto -{}\nexit",
            count + 3
        ))
    };
    assert_eq!(turns("r3 = *(u32 *)(r6 + 8)", 1), 0);
    assert_eq!(turns("r3 = *(u32 *)(r6 + 8)\n*(u8 *)(r6 + 12) = r0", 2), 0, "beside it");
    assert_eq!(turns("r3 = *(u32 *)(r6 + 8)\n*(u8 *)(r6 + 11) = r0", 2), 1, "into it");
    assert_eq!(turns("r3 = *(u32 *)(r6 + 8)\n*(u32 *)(r6 + 5) = r0", 2), 1);
    assert_eq!(turns("r3 = *(u32 *)(r6 + 8)\nr4 = r6\nr4 += 12\n*(u8 *)(r4 + 0) = r0", 4), 0);
    assert_eq!(turns("r3 = *(u32 *)(r6 + 8)\nr4 = r6\nr4 += r2\n*(u8 *)(r4 + 40) = r0", 4), 1, "who knows");
    assert_eq!(turns("r3 = *(u32 *)(r6 + 8)\nr4 = r10\nr4 += -40\nr4 += r2\n*(u8 *)(r4 + 0) = r0", 5), 0);
    assert_eq!(turns("r3 = *(u64 *)(r6 + 8)\nlock *(u64 *)(r6 + 16) += r0", 2), 2);
    assert_eq!(turns("r3 = r6\nr3 += 8\nr3 = *(u32 *)(r3 + 0)\nr3 = *(u8 *)(r3 + 1)", 4), 0, "of a packet");
    assert_eq!(
        turns("r3 = r6\nr3 += 8\nr3 = *(u64 *)(r3 + 0)\nr3 = *(u8 *)(r3 + 1)", 4),
        1,
        "of what others may write"
    );
    assert_eq!(turns("r3 = r6\nr3 += r2\nr3 = *(u8 *)(r3 + 0)", 3), 1, "each turn another");
}

#[test]
fn loads_stay_where_a_helper_function_is_called() {
    let text = "r6 = r1\nr8 = 0\nr7 = *(u32 *)(r6 + 8)\ncall 7\nr8 += r7\nr8 += r0\nif r8 < 99 goto -5\nr0 = r8\nexit";
    assert_eq!(loads_in_loops(text), 2, "the helper's address");
}

#[test]
fn a_load_that_may_not_run_stays() {
    let text = |skip: &str| {
        format!(
            "r6 = r1\nr0 = *(u8 *)(r6 + 0)\nr2 = 0\n{skip}\nr3 = *(u32 *)(r6 + 8)\nr0 += r3\nr2 += 1\nif r2 != 5 goto -5\nexit"
        )
    };
    assert_eq!(loads_in_loops(&text("r0 += 7")), 0);
    assert_eq!(loads_in_loops(&text("if r2 == r0 goto +4")), 1);
    assert_eq!(loads_in_loops(&text("if r2 == r0 goto +2")), 1);
}
