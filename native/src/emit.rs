// SPDX-License-Identifier: GPL-2.0-or-later
//! Cranelift's part: machine code of a function, with the marks that say which instruction it belongs to.

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, FinalizedMachReloc};
use kop_ops::code::Mark;
use kop_ops::{Arch, Code, Feature};

use crate::error::CompileError;
use crate::planted::Planted;
use crate::translate::Translated;
use crate::{Options, conditions, invariants, loops, pairs, thunk, twins};

/// Where functions start: what back ends align them to.
const ALIGNMENT: usize = 16;

fn back_end(error: impl ToString) -> CompileError {
    CompileError::BackEnd(error.to_string())
}

/// The instruction set with the features of the options; with the back end's own optimisation, or without.
pub(crate) fn isa(options: &Options, optimises: bool) -> Result<OwnedTargetIsa, CompileError> {
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", if optimises { "speed" } else { "none" }),
        ("enable_verifier", "true"),
        ("unwind_info", "false"),
        ("enable_probestack", "false"),
        ("enable_heap_access_spectre_mitigation", "false"),
        ("enable_table_access_spectre_mitigation", "false"),
    ] {
        flags.set(name, value).map_err(back_end)?;
    }
    let triple = match options.arch {
        Arch::X86_64 => "x86_64-unknown-linux-gnu",
        Arch::Aarch64 => "aarch64-unknown-linux-gnu",
    };
    let mut builder = isa::lookup_by_name(triple).map_err(back_end)?;
    for (feature, name) in [
        (Feature::Popcnt, "has_popcnt"),
        (Feature::Lzcnt, "has_lzcnt"),
        (Feature::Bmi1, "has_bmi1"),
        (Feature::Bmi2, "has_bmi2"),
        (Feature::Lse, "has_lse"),
    ] {
        if feature.arch() == options.arch && options.features.has(feature) {
            builder.set(name, "true").map_err(back_end)?;
        }
    }
    builder.finish(settings::Flags::new(flags)).map_err(back_end)
}

/// Compiles the function.
pub(crate) fn emit(
    translated: Translated,
    isa: &dyn TargetIsa,
    options: &Options,
    planted: Option<Planted>,
) -> Result<Code, CompileError> {
    let Translated { mut function, helpers, frame } = translated;
    invariants::hoist(&mut function, frame, planted);
    let mut context = Context::for_function(function);
    let control = &mut ControlPlane::default();
    context.optimize(isa, control).map_err(|error| back_end(format!("{error:?}")))?;
    twins::join_twins(&mut context.func, None);
    loops::compare_what_goes_on(&mut context.func);
    if options.arch == Arch::X86_64 {
        conditions::select_constants(&mut context.func, planted);
    }
    pairs::join_selections(&mut context.func);
    // What is optimised stays as it is now.
    let plain = self::isa(options, false)?;
    let compiled = context.compile(&*plain, control);
    let compiled = compiled.map_err(|error| back_end(format!("{:?}", error.inner)))?;
    let mut bytes = compiled.code_buffer().to_vec();
    let mut marks = Vec::new();
    let mut end = 0;
    for location in compiled.buffer.get_srclocs_sorted() {
        if location.start > end {
            marks.push(Mark { offset: end, index: Mark::NONE });
        }
        marks.push(Mark { offset: location.start, index: location.loc.bits() });
        end = location.end;
    }
    if (end as usize) < bytes.len() {
        marks.push(Mark { offset: end, index: Mark::NONE });
    }
    let relocations = compiled.buffer.relocs();
    if !relocations.is_empty() {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let at = bytes.len();
        marks.push(Mark { offset: at as u32, index: Mark::NONE });
        bytes.extend(thunk::tail_call(options.arch));
        relocations.iter().try_for_each(|relocation| link(&mut bytes, relocation, at))?;
    }
    Ok(Code {
        arch: options.arch,
        bytes,
        entry: 0,
        marks,
        helpers,
        features: options.features,
        guarded: false,
        observing: false,
        sites: Vec::new(),
    })
}

/// Puts the distance to the thunk, which stands at `target`, into a call.
fn link(bytes: &mut [u8], relocation: &FinalizedMachReloc, target: usize) -> Result<(), CompileError> {
    let at = relocation.offset as usize;
    let distance = target as i64 + relocation.addend - at as i64;
    let far = || back_end("the thunk is too far away");
    let word: &mut [u8; 4] = bytes[at..].first_chunk_mut().ok_or_else(far)?;
    match relocation.kind {
        Reloc::X86CallPCRel4 => *word = i32::try_from(distance).map_err(|_| far())?.to_le_bytes(),
        Reloc::Arm64Call => {
            let words = distance / 4;
            if !(-(1 << 25)..1 << 25).contains(&words) {
                return Err(far());
            }
            let insn = u32::from_le_bytes(*word) & !0x03ff_ffff | words as u32 & 0x03ff_ffff;
            *word = insn.to_le_bytes();
        }
        other => return Err(back_end(format!("an unexpected relocation, {other:?}"))),
    }
    Ok(())
}
