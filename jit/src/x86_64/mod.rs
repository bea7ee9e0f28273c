// SPDX-License-Identifier: GPL-2.0-or-later
//! The x86-64 back end: eBPF registers live where the Linux JIT has them, r9, r10 and r11 are scratch within an
//! instruction, and r12 holds the address of the runtime block where it is needed.

mod alu;
mod atomic;
mod branch;
mod call;
mod divide;
mod frame;
mod guard;
mod imm;
mod layout;
mod memory;
mod sum;
#[cfg(test)]
mod tests;

use kop_ops::code::Mark;
use kop_ops::ebpf::{Insn, Reg, RegSet, Width};
use kop_ops::x86_64::{Buffer, Gpr, Size};
use kop_ops::{Arch, Code, Feature, Features, registers};

use crate::analysis::{Analysis, Function};
use crate::body::Body;
use crate::error::CompileError;
use crate::planted::Planted;
use crate::{Options, helpers::Helpers};

use frame::Frame;
use guard::Stub;
use layout::{Elastic, Place};

/// Holds the address of the runtime block.
const RUNTIME: Gpr = Gpr::R12;

/// Compiles a program.
pub(crate) fn compile<const PLANTED: bool>(
    body: &Body,
    analysis: &Analysis,
    options: &Options,
    planted: Option<Planted>,
) -> Result<Code, CompileError> {
    let count = body.insns.len();
    let mut compiler = Compiler::<PLANTED> {
        body,
        analysis,
        options,
        planted,
        code: Buffer::with_capacity(count * 6 + 256),
        places: vec![Place::UNBOUND; count + analysis.functions.len()],
        elastics: Vec::with_capacity(count / 4 + 16),
        plain: Vec::with_capacity(analysis.functions.len() + 1),
        stubs: Vec::new(),
        checks: [None; 8],
        helpers: Helpers::default(),
        used: if options.observe { RegSet::ALL } else { analysis.used },
        frame: Frame::default(),
        features: Features::NONE,
        failed: None,
    };
    compiler.program();
    match compiler.failed {
        Some(error) => Err(error),
        None => Ok(compiler.finish()),
    }
}

/// The state of a compilation. It is generic over whether it may be asked for a mistake.
struct Compiler<'a, const PLANTED: bool> {
    body: &'a Body<'a>,
    analysis: &'a Analysis,
    options: &'a Options<'a>,
    planted: Option<Planted>,
    code: Buffer,
    /// Where instructions stand, by index; behind them where functions start, and other places that branches go to.
    places: Vec<Place>,
    /// Every part of the code whose length is chosen in the end, by ascending offset.
    elastics: Vec<Elastic>,
    /// Where code that belongs to no instruction starts: the prologue of each function, then what is behind them all.
    plain: Vec<Place>,
    /// Ends of checks, to be written behind the program.
    stubs: Vec<Stub>,
    /// The places of the range checks that are called, by [`guard::check_number`].
    checks: [Option<u32>; 8],
    helpers: Helpers,
    /// The eBPF registers whose values matter somewhere.
    used: RegSet,
    /// The frame of the function that is being written.
    frame: Frame,
    /// The CPU features that the code needs.
    features: Features,
    /// The first instruction that cannot be compiled.
    failed: Option<CompileError>,
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// Whether this mistake is to be made.
    #[inline(always)]
    fn planted(&self, mistake: Planted) -> bool {
        PLANTED && self.planted == Some(mistake)
    }

    /// Whether the CPU has `feature`, which the code then needs.
    fn feature(&mut self, feature: Feature) -> bool {
        let has = self.options.features.has(feature);
        if has {
            self.features = self.features.union(Features::of(&[feature]));
        }
        has
    }

    /// Writes the whole program.
    fn program(&mut self) {
        for (number, function) in self.analysis.functions.iter().enumerate() {
            self.function(number, function);
        }
        self.shared_ends();
    }

    fn function(&mut self, number: usize, function: &Function) {
        let entry = self.body.insns.len() + number;
        self.bind(entry);
        self.mark_plain();
        self.enter(number, function);
        let mut index = function.start;
        while index < function.end {
            if self.analysis.is_loop_head[index] && !self.options.guarded {
                self.align_loop();
            }
            self.bind(index);
            let done = index + self.insn(index);
            // What faults is the access, whose code starts with that of the sum which is its address.
            let access = self.body.access_in(index..done).unwrap_or(index);
            for fused in index + 1..done {
                if fused <= access {
                    self.places[fused] = self.places[index];
                } else {
                    self.bind(fused);
                }
            }
            index = done;
        }
    }

    /// Writes the instruction `index`, and those after it that become one with it; returns how many.
    fn insn(&mut self, index: usize) -> usize {
        match self.body.insns[index] {
            Insn::Alu { op, width, dst, src } => return self.alu(index, op, width, dst, src),
            Insn::Neg { width, dst } => self.negate(width, dst),
            Insn::End { kind, bits, dst } => self.byte_order(kind, bits, gpr(dst)),
            Insn::LoadImm64 { dst, kind, imm } => self.load_imm64(index, dst, kind, imm),
            Insn::Load { size, signed, dst, base, off } => {
                return self.load(index, size, signed, dst, base, off);
            }
            Insn::Store { size, base, off, src } => self.store(index, size, base, off, src),
            Insn::Atomic { op, size, base, off, src } => self.atomic(index, op, size, base, off, src),
            Insn::Jump { cond, width, dst, src, .. } => return self.jump(index, cond, width, dst, src),
            Insn::Ja { .. } | Insn::Gotol { .. } => self.jump_always(index),
            Insn::MayGoto { .. } => self.may_goto(index),
            Insn::Sidecar { .. } => {
                let native = self.body.native(index).expect("a site without native code is no site any more");
                self.code.push_bytes(&native.bytes);
                return 2;
            }
            Insn::Call { target } => self.call(index, target),
            Insn::Exit => self.exit(),
            Insn::LoadAbs { .. } | Insn::LoadInd { .. } => {
                self.fail(index, "legacy packet loads are not compiled; load from the packet instead");
            }
        }
        1
    }

    /// The instruction `index` cannot be compiled.
    #[cold]
    fn fail(&mut self, index: usize, reason: &str) {
        let reason = format!("`{}`: {reason}", self.body.insns[index]);
        let error = CompileError::unsupported(self.body.origin(index) as usize, reason);
        self.failed.get_or_insert(error);
    }

    /// The instruction after `index`, where it can become one with it: nothing jumps to it.
    fn next(&self, index: usize) -> Option<Insn> {
        let next = index + 1;
        let apart = *self.analysis.is_target.get(next)? && !self.planted(Planted::FusedTarget);
        (!apart).then(|| self.body.insns[next])
    }

    /// The code with everything known about it.
    fn finish(mut self) -> Code {
        self.settle();
        Code {
            arch: Arch::X86_64,
            entry: 0,
            marks: self.marks(),
            features: self.features.union(self.native_features()),
            helpers: self.helpers.into_ids(),
            guarded: self.options.guarded,
            observing: self.options.observe,
            sites: self.body.sites.clone(),
            bytes: self.code.into_bytes(),
        }
    }

    /// The features that emits may have made use of: all that they were offered.
    fn native_features(&self) -> Features {
        if self.body.has_natives() { self.options.features } else { Features::NONE }
    }

    /// Where every instruction starts; [`Compiler::settle`] has moved the places by then.
    fn marks(&self) -> Vec<Mark> {
        let none = |place: &Place| Mark { offset: place.offset, index: Mark::NONE };
        let mut marks = Vec::with_capacity(self.body.insns.len() + self.plain.len());
        for (function, entry) in self.analysis.functions.iter().zip(&self.plain) {
            marks.push(none(entry));
            let places = self.places[function.start..function.end].iter().zip(function.start..);
            if self.body.is_as_written() {
                marks.extend(places.map(|(place, index)| Mark { offset: place.offset, index: index as u32 }));
            } else {
                marks.extend(
                    places
                        .map(|(place, index)| Mark { offset: place.offset, index: self.body.origin(index) }),
                );
            }
        }
        marks.extend(self.plain[self.analysis.functions.len()..].iter().map(none));
        marks
    }
}

/// The native register of an eBPF register.
fn gpr(register: Reg) -> Gpr {
    registers::x86_64(register)
}

/// The operand size of a width.
fn size_of(width: Width) -> Size {
    match width {
        Width::W32 => Size::B4,
        Width::W64 => Size::B8,
    }
}
