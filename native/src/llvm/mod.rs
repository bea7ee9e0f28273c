// SPDX-License-Identifier: GPL-2.0-or-later
//! LLVM's part: the function as LLVM's IR ([`text`]), which clang compiles ([`clang`]), and what of its object file is code ([`file`]).
//!
//! clang runs as a process of its own. It takes some thirty milliseconds a program, where Cranelift takes one, and looks further:
//! across jumps, at what memory holds, and at what loops compute.

mod clang;
mod file;
mod text;

use kop_ops::{Arch, Code, Feature};

use crate::Options;
use crate::error::CompileError;
use crate::planted::Planted;
use crate::translate::Translated;

pub use clang::version;

/// The function's name in what clang reads and writes.
const NAME: &str = "kop_program";

/// The name of the function that does tail calls.
const THUNK: &str = "kop_tail_call";

/// Compiles the function.
pub(crate) fn emit(
    translated: Translated,
    options: &Options,
    planted: Option<Planted>,
) -> Result<Code, CompileError> {
    let Translated { mut function, helpers, .. } = translated;
    function.dfg.resolve_all_aliases();
    let text = text::text(&function, options, clang::pointers().map_err(CompileError::BackEnd)?, planted)
        .map_err(CompileError::BackEnd)?;
    let object = clang::compile(&text, options.arch).map_err(CompileError::BackEnd)?;
    let linked = file::link(&object, options.arch).map_err(CompileError::BackEnd)?;
    Ok(Code {
        arch: options.arch,
        bytes: linked.bytes,
        entry: linked.entry,
        marks: linked.marks,
        helpers,
        features: options.features,
        guarded: false,
        observing: false,
        sites: Vec::new(),
    })
}

/// The features as clang calls them; without those of SIMD, in general registers alone.
fn features(options: &Options) -> String {
    let has = |feature: Feature| options.features.has(feature);
    let named: &[(&str, bool)] = match options.arch {
        Arch::X86_64 => &[
            ("popcnt", has(Feature::Popcnt)),
            ("lzcnt", has(Feature::Lzcnt)),
            ("bmi", has(Feature::Bmi1)),
            ("bmi2", has(Feature::Bmi2)),
            // The kernel's code and that of Kops leave them alone.
            ("x87", false),
            ("mmx", false),
            ("sse", false),
            ("sse2", false),
        ],
        Arch::Aarch64 => &[
            ("lse", has(Feature::Lse)),
            ("outline-atomics", false),
            // The platform's own.
            ("reserve-x18", true),
            ("neon", has(Feature::AdvSimd)),
            ("fp-armv8", has(Feature::AdvSimd)),
        ],
    };
    let signed = named.iter().map(|(name, is_there)| format!("{}{name}", if *is_there { '+' } else { '-' }));
    signed.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use kop_ops::code::Mark;
    use kop_ops::ebpf::parse_program;
    use kop_ops::program::MapAddresses;
    use kop_ops::{Features, Flow, Program, ProgramKind};

    use super::*;
    use crate::BackEnd;

    fn with<T>(arch: Arch, text: &str, action: impl FnOnce(&Program, &Options) -> T) -> T {
        let flow = Flow::new(parse_program(text).expect("the text parses")).expect("it is a program");
        let program = Program { name: "test".to_owned(), kind: ProgramKind::Raw, flow };
        let addresses = MapAddresses::default();
        let features = Features::all(arch).without_simd();
        let back_end = BackEnd::Llvm;
        action(&program, &Options { back_end, arch, features, maps: &[], addresses: &addresses })
    }

    fn ir(text: &str) -> String {
        with(Arch::X86_64, text, |program, options| {
            let isa = crate::emit::isa(options, true).expect("there is a back end");
            let translated = crate::optimised(program, options, &*isa, None).expect("it is translated");
            let mut function = translated.function;
            function.dfg.resolve_all_aliases();
            text::text(&function, options, text::Pointers::Untyped, None).expect("it is written")
        })
    }

    fn code(arch: Arch, text: &str) -> Code {
        with(arch, text, crate::compile).expect("it is compiled")
    }

    #[test]
    fn nothing_is_left_undefined() {
        let shift = ir("r0 <<= r1\nexit");
        assert!(shift.contains("and i64 %v4, 63"), "{shift}");
        let text = ir("r0 = *(u64 *)(r1 + 8)\nr0 += r2\n*(u64 *)(r1 + 0) = r0\nexit");
        assert!(text.contains(", i64 8\n") || text.contains(", i64 8, !dbg"), "{text}");
        for promise in ["nsw", "nuw", "inbounds", "mustprogress"] {
            assert!(!text.contains(promise), "{promise}: {text}");
        }
        let of_program = text.lines().filter(|line| line.contains("!dbg") && line.contains("align"));
        assert!(
            of_program.clone().count() == 2 && of_program.clone().all(|line| line.contains("align 1,")),
            "{text}"
        );
    }

    #[test]
    fn the_same_base_is_seen_behind_sums() {
        let text = ir("r1 += 40\nr0 = *(u64 *)(r1 + 8)\nexit");
        assert!(text.contains(", i64 48"), "{text}");
    }

    #[test]
    fn the_stack_and_the_rest_are_apart() {
        let text =
            ir("r2 &= 31\nr3 = r10\nr3 += -40\nr3 += r2\n*(u8 *)(r3 + 0) = 1\nr0 = *(u64 *)(r1 + 8)\nexit");
        assert!(text.contains("!alias.scope !11, !noalias !12"), "{text}");
        assert!(text.contains("!alias.scope !12, !noalias !11"), "{text}");
    }

    #[test]
    fn marks_name_the_instructions() {
        for arch in Arch::ALL {
            let code = code(arch, "r0 = *(u32 *)(r1 + 4)\ncall 7\nr6 = r0\ncall 7\nr0 += r6\nexit");
            assert_eq!((code.helpers.as_slice(), code.guarded, code.entry), (&[7][..], false, 0));
            assert!(code.marks.iter().map(|mark| mark.offset).is_sorted(), "{:?}", code.marks);
            assert!(code.marks.iter().any(|mark| mark.index == 3), "{:?}", code.marks);
        }
    }

    #[test]
    fn a_tail_call_goes_through_the_thunk() {
        for arch in Arch::ALL {
            let code = code(arch, "r3 = 1\ncall 12\nr0 = 5\nexit");
            let thunk = crate::thunk::tail_call(arch);
            assert!(code.bytes.windows(thunk.len()).any(|bytes| bytes == thunk), "{arch}");
        }
    }

    #[test]
    fn tables_stand_behind_the_instructions() {
        let mut text = "r0 = 0\nr1 = *(u8 *)(r1 + 0)\n".to_owned();
        for number in 0..12 {
            text +=
                &format!("if r1 != {number} goto +2\nr0 = {}\nexit\n", 7919 * (number * number + 3) % 1000);
        }
        text += "exit";
        for arch in Arch::ALL {
            let code = code(arch, &text);
            assert_eq!(
                code.marks.last().map(|mark| mark.index),
                Some(Mark::NONE),
                "{arch}: {:?}",
                code.marks
            );
        }
    }
}
