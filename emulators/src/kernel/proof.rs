// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether the running kernel's verifier accepts a proof sequence.
//!
//! The sequence is loaded in the middle of a socket filter whose start hands it registers that the verifier knows nothing
//! of, and pointers that its accesses stay in bounds with; nothing is attached or run.

use kop_ops::contract::MemoryUse;
use kop_ops::ebpf::{AluOp, CallTarget, Insn, Reg, RegSet, Size, encode_program};
use kop_ops::{Kop, Role, Site};

use super::KernelError;
use super::load::{SOCKET_FILTER, verdict_of};

/// What the verifier knows of the registers where a proof sequence starts; r10 is the frame pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Registers of r0 to r9 that hold numbers of which nothing is known.
    pub scalars: RegSet,
    /// Accesses that must be in bounds: their base registers point into the stack. A base goes before a scalar. What is
    /// neither base nor scalar is not initialised, and the verifier refuses to read it.
    pub accesses: Vec<MemoryUse>,
    /// What the verifier wants accesses to the stack to be a multiple of: the bytes of the longest of the sequence, or 0
    /// where it is not known, and each of [`Entry::accesses`] is one access.
    pub alignment: u32,
}

/// The stack that a proof sequence finds initialised with unknown bytes: from r10 - 448 to r10. The kernel's limit of 512
/// bytes covers another frame beside it.
const STACK: i32 = 448;

/// Where the lowest access through a register other than r10 goes, from the frame pointer: clear of the slots that
/// scalars are loaded from, and aligned for every size.
const TARGET: i32 = -256;

impl Entry {
    /// What a site needs: its operands as numbers, the temporaries among them not initialised, and its memory.
    pub fn of_site(kop: &dyn Kop, site: &Site) -> Self {
        let fields = site.form.layout.fields().iter().zip(site.operands.values());
        let scalars = fields
            .filter(|(field, _)| field.role().is_some_and(|role| role != Role::Temporary))
            .filter_map(|(_, &number)| Reg::new(number as u8))
            .filter(|register| *register != Reg::R10)
            .collect();
        let proof = kop.proof(site).unwrap_or_default();
        let alignment = proof.iter().filter_map(size_of_access).max().unwrap_or(0);
        Self { scalars, accesses: kop.contract(site).memory, alignment }
    }

    /// Whether every access can be in bounds and aligned, as the verifier wants accesses to the stack; always so for one
    /// access through another register than r10.
    pub fn fits(&self) -> bool {
        self.accesses.iter().all(|access| {
            let start = i64::from(self.base(access.base)) + i64::from(access.offset);
            let size = i64::from(access.size);
            let alignment = if self.alignment == 0 { size.clamp(1, 8) } else { self.alignment.into() };
            start >= -i64::from(STACK) && start + size <= 0 && start % alignment == 0
        })
    }

    /// Where the register points, from the frame pointer.
    fn base(&self, register: Reg) -> i32 {
        if register == Reg::R10 {
            return 0;
        }
        let offsets =
            self.accesses.iter().filter(|access| access.base == register).map(|access| access.offset);
        TARGET.saturating_sub(offsets.min().unwrap_or(0))
    }

    fn pointers(&self) -> RegSet {
        self.accesses.iter().map(|access| access.base).filter(|base| *base != Reg::R10).collect()
    }

    /// The instructions that lead to this entry. `to_return` slots lie between their end and a lone `exit`.
    fn prologue(&self, to_return: usize) -> Vec<Insn> {
        // The length of the packet is a number that the verifier knows nothing of, but for its upper half: two of them
        // make 64 unknown bits, without a relation between the registers that are loaded from different places.
        let mut prologue = vec![Insn::load(Size::B4, Reg::R2, Reg::R1, 0)];
        prologue.extend((1..=STACK / 4).map(|i| Insn::store(Size::B4, Reg::R10, -4 * i as i16, Reg::R2)));
        let mut load = Vec::new();
        let pointers = self.pointers();
        for register in self.scalars.minus(pointers).minus(Reg::R10.into()).iter() {
            load.push(Insn::load(Size::B8, register, Reg::R10, -8 * (register.index() as i16 + 1)));
        }
        for register in pointers.iter() {
            load.push(Insn::mov64(register, Reg::R10));
            load.push(Insn::alu64(AluOp::Add, register, self.base(register)));
        }
        // A call makes r1 to r5 unreadable again, and one that returns nothing leaves r0 so.
        let to_exit = (load.len() + to_return) as i32;
        prologue.push(Insn::Call { target: CallTarget::Local(to_exit) });
        prologue.append(&mut load);
        prologue
    }

    /// A whole program around the proof sequence.
    fn program(&self, proof: &[Insn]) -> Vec<Insn> {
        let end = [Insn::mov64(Reg::R0, 0), Insn::Exit];
        let between = proof.iter().chain(&end).map(Insn::slots).sum();
        let mut program = self.prologue(between);
        program.extend_from_slice(proof);
        program.extend(end);
        program.push(Insn::Exit);
        program
    }
}

/// The bytes that an instruction accesses at once.
fn size_of_access(insn: &Insn) -> Option<u32> {
    match insn {
        Insn::Load { size, .. } | Insn::Store { size, .. } | Insn::Atomic { size, .. } => {
            Some(size.bytes() as u32)
        }
        _ => None,
    }
}

/// Asks the kernel's verifier about a proof sequence: it is loaded within a program and unloaded at once.
///
/// # Errors
/// [`KernelError::Refused`] with the end of the verifier's log, which counts from the start of that program, or
/// [`KernelError::Failed`] when there is no verdict.
pub fn verify(proof: &[Insn], entry: &Entry) -> Result<(), KernelError> {
    let code = encode_program(&entry.program(proof));
    verdict_of(SOCKET_FILTER, &code)
}

#[cfg(test)]
mod tests {
    use super::super::available;
    use super::*;
    use kop_ops::Access;
    use kop_ops::ebpf::Cond;

    /// Whether the test cannot be done here, which it then says.
    fn skipped() -> bool {
        available().inspect_err(|reason| eprintln!("skipped: {reason}")).is_err()
    }

    fn refusal(proof: &[Insn], entry: &Entry) -> String {
        match verify(proof, entry) {
            Err(KernelError::Refused(verdict)) => verdict.tail,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn what_breaks_the_rules_is_refused_with_the_reason() {
        if skipped() {
            return;
        }
        let known = Entry { scalars: RegSet::of(&Reg::WRITABLE), accesses: Vec::new(), alignment: 0 };
        let none = Entry::default();
        let pointer = |offset| Entry {
            scalars: RegSet::EMPTY,
            accesses: vec![MemoryUse { access: Access::Read, base: Reg::R3, offset, size: 8 }],
            alignment: 0,
        };
        let load = |base, off| Insn::load(Size::B8, Reg::R0, base, off);
        for register in Reg::WRITABLE {
            let read = Insn::mov64(Reg::R10, register);
            assert!(refusal(&[read], &known).contains("frame pointer is read only"), "{register}");
            let read = Insn::alu64(AluOp::Add, register, 1);
            assert!(refusal(&[read], &none).contains("!read_ok"), "{register}");
            assert!(verify(&[read], &known).is_ok(), "{register}");
            // Nothing is known: both ways of any branch are looked at.
            let branch = [Insn::jump(Cond::SGt, register, -1, 1), Insn::mov64(Reg::R10, 0)];
            assert!(refusal(&branch, &known).contains("frame pointer is read only"), "{register}");
            let branch = [Insn::jump(Cond::SLt, register, 0, 1), Insn::mov64(Reg::R10, 0)];
            assert!(refusal(&branch, &known).contains("frame pointer is read only"), "{register}");
            let other = if register == Reg::R5 { Reg::R4 } else { Reg::R5 };
            let related = [Insn::jump(Cond::Eq, register, other, 1), Insn::mov64(Reg::R10, 0)];
            assert!(refusal(&related, &known).contains("frame pointer is read only"), "{register}");
            let unrelated = [Insn::jump(Cond::Ne, register, other, 1), Insn::mov64(Reg::R10, 0)];
            assert!(refusal(&unrelated, &known).contains("frame pointer is read only"), "{register}");
        }
        assert!(
            refusal(&[Insn::alu64(AluOp::Mul, Reg::R10, 3)], &known).contains("frame pointer is read only")
        );
        assert!(refusal(&[load(Reg::R1, 0)], &known).contains("invalid mem access 'scalar'"));
        assert!(refusal(&[load(Reg::R10, 0)], &known).contains("invalid read from stack"));
        assert!(refusal(&[Insn::jump(Cond::Ne, Reg::R1, 0, -1)], &known).contains("infinite loop"));
        for offset in [0, 1, -1, i16::MIN, i16::MAX] {
            assert!(verify(&[load(Reg::R3, offset)], &pointer(offset.into())).is_ok(), "{offset}");
            assert!(pointer(offset.into()).fits());
        }
        assert!(refusal(&[load(Reg::R3, 0)], &pointer(3)).contains("misaligned"));
        assert!(refusal(&[load(Reg::R3, 0)], &pointer(-256)).contains("invalid read from stack"));
    }

    #[test]
    fn the_frame_pointer_reaches_a_bounded_stack() {
        let entry = |offset, size| {
            let access = MemoryUse { access: Access::Read, base: Reg::R10, offset, size };
            Entry { scalars: RegSet::EMPTY, accesses: vec![access], alignment: 0 }
        };
        for (offset, size, fits) in [
            (-8, 8, true),
            (-448, 8, true),
            (-449, 1, false),
            (-6, 4, false),
            (-4, 4, true),
            (-2, 4, false),
            (0, 1, false),
        ] {
            assert_eq!(entry(offset, size).fits(), fits, "{offset} {size}");
        }
    }
}
