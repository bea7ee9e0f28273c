// SPDX-License-Identifier: GPL-2.0-or-later
//! A case as a C program: the fixed part is `reproducer.c`, and this writes the data that it works on.

use std::fmt::Write;

use kop_emulators::arena::Region;
use kop_emulators::native::aarch64::Aarch64;
use kop_emulators::native::x86_64::X86_64;
use kop_emulators::native::{Drivers, RegisterFile};
use kop_ops::registers::{AARCH64, AARCH64_PRESERVED, X86_64 as X86_64_MAP, X86_64_PRESERVED};
use kop_ops::state::{STACK_SIZE, WINDOW_SIZE};
use kop_ops::x86_64::Size;
use kop_ops::{Arch, Fault, Memory, Vectors};

use super::{Reproducer, comment};
use crate::case::{rebase, rows};
use crate::subject::Variant;

const PROGRAM: &str = include_str!("reproducer.c");

/// What an architecture's part of the program holds.
struct Machine {
    arch: Arch,
    /// The macro that compilers define.
    condition: &'static str,
    /// The native numbers of r0..r10.
    map: Vec<u32>,
    /// Preserved registers with their numbers in a register file.
    preserved: Vec<(String, u32)>,
    file: RegisterFile,
    /// The SIMD registers of a contract.
    vectors: fn(&Vectors) -> u32,
}

pub(super) fn text(reproducer: &Reproducer) -> String {
    let mut lines = reproducer.description();
    lines.extend([
        String::new(),
        "gcc -O1 -Wall -o reproducer reproducer.c && ./reproducer".to_owned(),
        "exit status: 0 equal, 1 different, 3 could not run".to_owned(),
    ]);
    let mut data = String::new();
    write_data(reproducer, &mut data).expect("writing to a string does not fail");
    let (licence, rest) = PROGRAM.split_once("@COMMENT@\n").expect("the program has a place for a comment");
    let (before, after) = rest.split_once("@CASE@").expect("the program has a place for the case");
    format!("{licence}{}{before}{}{after}", comment(&lines), data.trim_end())
}

fn write_data(reproducer: &Reproducer, out: &mut String) -> std::fmt::Result {
    let slot = reproducer.case.state.memory.slot;
    let expected = rebase(reproducer.expected, slot);
    let (fault, fault_text) = match reproducer.fault {
        None => ("NO_FAULT", "no fault".to_owned()),
        Some(fault) => (fault_name(fault), fault.show(reproducer.expected.memory.slot)),
    };
    writeln!(out, "#define TITLE {}", string(&reproducer.case.title()))?;
    writeln!(out, "#define WINDOW UINT64_C({:#x})", slot.window())?;
    writeln!(out, "#define WINDOW_SIZE {WINDOW_SIZE}")?;
    writeln!(out, "#define STACK UINT64_C({:#x})", slot.stack())?;
    writeln!(out, "#define STACK_SIZE {STACK_SIZE}")?;
    writeln!(out, "#define NATIVE_STACK UINT64_C({:#x})", Region::NativeStack.address())?;
    writeln!(out, "#define NATIVE_STACK_SIZE {}", Region::NativeStack.size())?;
    writeln!(out, "#define EXPECTED_FAULT {fault}")?;
    writeln!(out, "#define EXPECTED_FAULT_TEXT {}", string(&fault_text))?;
    let dead = reproducer.dead.iter().fold(0, |bits, register| bits | 1u32 << register.index());
    writeln!(out, "/* The registers that the contract declares dead, by bits. */\n#define DEAD {dead:#x}")?;
    writeln!(out, "static const uint64_t expected_registers[11] = {};", words(&expected.registers))?;
    write_memory(out, "memory_before", &reproducer.case.state.memory)?;
    write_memory(out, "memory_expected", &expected.memory)?;
    let mut condition = "#if";
    for machine in machines(reproducer) {
        writeln!(out, "\n{condition} defined({})", machine.condition)?;
        write_machine(out, reproducer, &machine)?;
        condition = "#elif";
    }
    writeln!(out, "\n#else\n#error \"this program is for x86-64 and AArch64\"\n#endif")
}

fn machines(reproducer: &Reproducer) -> [Machine; 2] {
    let (registers, garbage) = (&reproducer.case.state.registers, reproducer.case.garbage);
    [
        Machine {
            arch: Arch::X86_64,
            condition: "__x86_64__",
            map: X86_64_MAP.iter().map(|gpr| gpr.code().into()).collect(),
            preserved: X86_64_PRESERVED
                .iter()
                .map(|gpr| (gpr.name(Size::B8).to_owned(), gpr.code().into()))
                .collect(),
            file: X86_64::register_file(registers, garbage),
            vectors: |vectors| vectors.x86_64.into(),
        },
        Machine {
            arch: Arch::Aarch64,
            condition: "__aarch64__",
            map: AARCH64.iter().map(|gpr| gpr.number()).collect(),
            preserved: AARCH64_PRESERVED
                .iter()
                .map(|gpr| (format!("x{}", gpr.number()), gpr.number()))
                .chain([("sp".to_owned(), 31)])
                .collect(),
            file: Aarch64::register_file(registers, garbage),
            vectors: |vectors| vectors.aarch64,
        },
    ]
}

fn write_machine(out: &mut String, reproducer: &Reproducer, machine: &Machine) -> std::fmt::Result {
    let code: Vec<_> = reproducer.code.iter().filter(|variant| variant.code.arch == machine.arch).collect();
    if code.is_empty() {
        return write!(out, "#error \"the case has no code for this CPU\"");
    }
    let map: Vec<_> = machine.map.iter().map(u32::to_string).collect();
    writeln!(out, "static const unsigned ebpf_registers[11] = {{ {} }};", map.join(", "))?;
    writeln!(out, "static const struct {{ const char *name; unsigned number; }} preserved[] = {{")?;
    for (name, number) in &machine.preserved {
        writeln!(out, "\t{{ \"{name}\", {number} }},")?;
    }
    writeln!(out, "}};")?;
    let RegisterFile { general, flags, vectors } = &machine.file;
    let halves = vectors.iter().flat_map(|vector| [*vector as u64, (vector >> 64) as u64]);
    let file: Vec<u64> = general.iter().copied().chain([*flags, 0]).chain(halves).collect();
    writeln!(out, "SHARED uint64_t initial[WORDS] = {};", words(&file))?;
    for (number, variant) in code.iter().enumerate() {
        let bytes: Vec<_> = variant.code.bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
        writeln!(out, "EMIT(emit_{number}, \"{}\");", directive(&bytes))?;
    }
    writeln!(out, "static const struct variant variants[] = {{")?;
    for (number, Variant { features, code, .. }) in code.into_iter().enumerate() {
        let needs: Vec<_> = code
            .other_features
            .iter()
            .map(String::as_str)
            .chain(code.features.iter().map(|feature| feature.name()))
            .collect();
        let (size, vectors) = (code.bytes.len(), (machine.vectors)(&code.vectors));
        writeln!(
            out,
            "\t{{ \"{features}\", \"{}\", {size}, {vectors:#x}, emit_{number} }},",
            needs.join(",")
        )?;
    }
    write!(out, "}};")
}

/// The assembler's directive for bytes; none for no bytes.
fn directive(bytes: &[String]) -> String {
    if bytes.is_empty() { String::new() } else { format!(".byte {}", bytes.join(", ")) }
}

fn write_memory(out: &mut String, name: &str, memory: &Memory) -> std::fmt::Result {
    writeln!(out, "static const struct row {name}[] = {{")?;
    for (address, bytes) in rows(memory) {
        let list: Vec<_> = bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
        let place = memory.slot.show(address);
        writeln!(out, "\t{{ {address:#x}, {}, {{ {} }} }}, /* {place} */", bytes.len(), list.join(", "))?;
    }
    writeln!(out, "\t{{ 0, 0, {{ 0 }} }},\n}};")
}

/// An initialiser with four numbers in a line.
fn words(words: &[u64]) -> String {
    let lines: Vec<String> = words
        .chunks(4)
        .map(|row| row.iter().map(|word| format!("UINT64_C({word:#x}),")).collect::<Vec<_>>().join(" "))
        .collect();
    format!("{{\n\t{}\n}}", lines.join("\n\t"))
}

/// The kinds of faults that signals tell apart.
fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Memory { .. } => "BAD_ACCESS",
        Fault::Illegal => "ILLEGAL",
        Fault::Trap => "TRAP",
        Fault::Divide => "DIVIDE",
        Fault::RunAway => "RAN_AWAY",
        Fault::Escape { .. }
        | Fault::Frame { .. }
        | Fault::Other(_)
        | Fault::CallDepth
        | Fault::Helper { .. } => "ANY_FAULT",
    }
}

/// A string literal.
fn string(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()) {
        // `??` could start a trigraph.
        if matches!(c, '"' | '\\' | '?') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal + "\""
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Parts, ROTATE};
    use super::*;
    use kop_ops::{Feature, Features};
    use std::fs;
    use std::process::{Command, Output};

    /// Compiles and runs the program; `None`, with a word about it, where it cannot.
    fn run(parts: &Parts) -> Option<Output> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64"))
            || Command::new("gcc").arg("--version").output().is_err()
        {
            eprintln!("skipped: compiling and running the program takes gcc on x86-64 Linux");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (source, program) = (dir.path().join("reproducer.c"), dir.path().join("reproducer"));
        fs::write(&source, parts.reproducer().c()).expect("writable");
        let flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-o"];
        let compiled =
            Command::new("gcc").args(flags).arg(&program).arg(&source).output().expect("gcc starts");
        let messages = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{messages}");
        Some(Command::new(&program).output().expect("the program starts"))
    }

    /// Whether the program's exit status and text are as expected.
    fn check(parts: &Parts, status: i32, texts: &[&str]) {
        let Some(output) = run(parts) else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{text}{output:?}");
        for expected in texts {
            assert!(text.contains(expected), "`{expected}` is missing from\n{text}");
        }
    }

    fn with_code(text: &str, write: impl FnOnce(&mut kop_ops::x86_64::Assembler)) -> Parts {
        let mut asm = kop_ops::x86_64::Assembler::new();
        write(&mut asm);
        let bytes = asm.finish().expect("encodes").bytes;
        let mut parts = Parts::of(text);
        parts.code[0].code.bytes = bytes;
        parts
    }

    const LOAD: &str = "kop-case 1\noperation swapped_load\nform be32\narch x86_64\nfeatures none\noperand dst r0\n\
                        operand base r6\noperand off -2\nr6 = window+0x12\nwindow+0x10: 01 02 03 04 05\n";

    #[test]
    fn sound_emits_are_equal() {
        check(&Parts::of(ROTATE), 0, &["0x0000000000000005  0x", "(dead)", "features none", "equal"]);
        check(
            &Parts::of(LOAD),
            0,
            &["  r0     0x0000000000000000  0x0000000001020304  0x0000000001020304\n", "equal"],
        );
        for kop in ["extract", "select", "popcount", "count_zeros", "clmul", "rotate"] {
            for number in 0..4 {
                if let Some(text) = some_case(kop, number) {
                    check(&Parts::of(&text), 0, &["equal"]);
                }
            }
        }
    }

    /// A case of the operation's form with that number, if there is one.
    fn some_case(kop: &str, number: usize) -> Option<String> {
        let catalog = kop_ops::Catalog::einsn();
        let kop = catalog.get(kop).expect("known");
        let form = kop.forms().get(number)?;
        let admitted = (0..form.layout.combinations()).find_map(|index| {
            let operands = form.layout.combination(index * 7919 % form.layout.combinations());
            let payload = form.layout.encode(&operands).ok()?;
            kop.instantiate(form, payload).ok().map(|_| payload)
        })?;
        let state = kop_ops::State::zeroed(kop_ops::Slot::default());
        let mut case = crate::case::Case::new(kop, form, admitted, &state);
        for (register, value) in case.state.registers.iter_mut().take(10).enumerate() {
            *value = kop_ops::choices::mix(register as u64 + 1);
        }
        Some(case.to_string())
    }

    #[test]
    fn a_wrong_register_is_different() {
        let mut parts = Parts::of(ROTATE);
        parts.expected.registers[6] ^= 1 << 63;
        check(&parts, 1, &["  <-- differs\n", "different"]);
        parts = Parts::of(ROTATE);
        parts.expected.registers[2] ^= 1;
        check(&parts, 0, &["equal"]);
    }

    #[test]
    fn stray_stores_and_broken_frames_are_different() {
        use kop_ops::x86_64::{Gpr, Mem, Size};
        let store = with_code(LOAD, |a| a.mov(Size::B1, Mem::at(Gpr::Rbx, -1), Gpr::Rbx));
        check(&store, 1, &["  window+17 is 0x12, expected 0x02  <-- differs"]);
        let stack = with_code(LOAD, |a| a.mov(Size::B8, Mem::at(Gpr::Rbp, -8), Gpr::Rbx));
        check(&stack, 1, &["  stack-8 is 0x12, expected 0x00  <-- differs"]);
        let preserved = with_code(LOAD, |a| a.mov(Size::B8, Gpr::R12, Gpr::Rbx));
        check(&preserved, 1, &["r12 must be preserved: it was 0x"]);
        let pushed = with_code(LOAD, |a| a.pushq(Gpr::Rbx));
        check(&pushed, 1, &["rsp must be preserved: it was 0x58008000 and is 0x58007ff8"]);
        let callers = with_code(LOAD, |a| a.mov(Size::B8, Mem::at(Gpr::Rsp, 16), Gpr::Rbx));
        check(&callers, 1, &["the caller's stack changed at 0x58008010"]);
        let vector = with_code(LOAD, |a| a.mov_to_xmm(Size::B8, kop_ops::x86_64::Xmm::ALL[3], Gpr::Rbx));
        check(&vector, 1, &["SIMD register 3 changed, and the contract does not declare it"]);
    }

    #[test]
    fn faults_are_results() {
        let outside = LOAD.replace("window+0x12", "window+0x1000");
        check(
            &Parts::of(&outside),
            0,
            &["stopped: Segmentation fault", "expected: bad read at window+0x1000", "equal"],
        );
        let mut parts = Parts::of(&outside);
        parts.fault = None;
        check(&parts, 1, &["expected: no fault  <-- differs", "different"]);
        parts = Parts::of(LOAD);
        parts.fault = Some(Fault::Divide);
        check(&parts, 1, &["ran to its end; expected: division error  <-- differs"]);
        let endless = with_code(LOAD, |a| {
            a.push(kop_ops::x86_64::Insn::JmpRel { rel: kop_ops::x86_64::Rel::Short, disp: -2 })
        });
        check(&endless, 1, &["stopped: Alarm clock", "different"]);
    }

    #[test]
    fn code_for_another_cpu_does_not_run() {
        let mut parts = Parts::of(LOAD);
        parts.code[0].code.features = Features::of(&[Feature::Pmull]);
        check(&parts, 3, &["skipped the code for features none: this CPU has not all of: pmull"]);
        parts.code.clear();
        assert!(parts.reproducer().c().contains("#error \"the case has no code for this CPU\""));
    }

    #[test]
    fn the_program_knows_every_feature() {
        for feature in Feature::ALL {
            assert!(PROGRAM.contains(&format!("{{ \"{}\", ", feature.name())), "{}", feature.name());
        }
    }

    #[test]
    fn string_literals_hold_any_text() {
        assert_eq!(string("a \"b\"\\\n??/ %d"), "\"a \\\"b\\\"\\\\\\?\\?/ %d\"");
    }
}
