// SPDX-License-Identifier: GPL-2.0-or-later
//! The trait that an operation implements, and the two callbacks, proof and emit, that its users see.

use std::borrow::Cow;
use std::fmt;

use crate::arch::{Arch, Features};
use crate::contract::Contract;
use crate::ebpf::{Insn, Reg};
use crate::payload::{Form, Operands, PayloadError};
use crate::state::{Fault, State};
use crate::{aarch64, registers, x86_64};

/// One use of an operation: a form, its operands, and the CPU it is compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The operation's form.
    pub form: &'a Form,
    /// The operands that the payload holds.
    pub operands: Operands,
    /// The features that the CPU has; proofs and models do not depend on them.
    pub features: Features,
}

impl<'a> Site<'a> {
    /// The site of `payload`.
    ///
    /// # Errors
    /// [`Reject::Payload`] when the form's layout refuses the payload.
    pub fn decode(form: &'a Form, payload: u64, features: Features) -> Result<Self, Reject> {
        Ok(Self { form, operands: form.layout.decode(payload)?, features })
    }

    /// The value of the operand called `name`.
    ///
    /// # Panics
    /// When the form has no such operand: only an operation's own code names operands.
    pub fn imm(&self, name: &str) -> i64 {
        let index = self.form.layout.index(name).expect("an operation names its own operands");
        self.operands.values()[index]
    }

    /// The register operand called `name`.
    ///
    /// # Panics
    /// As [`Site::imm`], or when the operand is no register.
    pub fn reg(&self, name: &str) -> Reg {
        Reg::new(self.imm(name) as u8).expect("the layout admits register numbers only")
    }

    /// The x86-64 register of the operand called `name`.
    pub fn gpr(&self, name: &str) -> x86_64::Gpr {
        registers::x86_64(self.reg(name))
    }

    /// The AArch64 register of the operand called `name`.
    pub fn x(&self, name: &str) -> aarch64::Gpr {
        registers::aarch64(self.reg(name))
    }
}

/// Why a proof or an emit refuses a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The layout refuses it.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The operands do not go together.
    #[error("{0}")]
    Operands(Cow<'static, str>),
    /// There is no native form for this CPU, so that the proof sequence is compiled; this is no verdict on the payload.
    #[error("no {arch} emit for a CPU with features: {features}")]
    NoEmit {
        /// The architecture.
        arch: Arch,
        /// The features the CPU has.
        features: Features,
    },
    /// The emit asks for an instruction that cannot be encoded.
    #[error("emit does not encode: {0}")]
    Encode(String),
}

impl Reject {
    /// A refusal of operands that do not go together.
    pub fn operands(reason: &'static str) -> Self {
        Reject::Operands(Cow::Borrowed(reason))
    }
}

/// What an emit is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The size alone is asked for.
    Size,
    /// The bytes are asked for.
    Write,
}

/// One call of an emit.
#[derive(Clone, Copy, Debug)]
pub struct EmitRequest {
    /// The architecture.
    pub arch: Arch,
    /// The features that the CPU has.
    pub features: Features,
    /// The site's payload.
    pub payload: u64,
    /// Sizing or writing.
    pub pass: Pass,
    /// Where the code will stand; a right emit does not look at it.
    pub address: u64,
}

/// What an emit answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The size that it says, in bytes.
    pub size: usize,
    /// What it wrote; empty when it was asked for the size.
    pub bytes: Vec<u8>,
}

/// The sizes that a form declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most instruction slots of its proof sequence.
    pub max_insn_cnt: u16,
    /// The most bytes of its emit, on every architecture.
    pub max_emit_bytes: u16,
}

/// What a callback did beside answering: crashed, hung, wrote where it must not, lied about what it wrote.
///
/// Only operations that come as foreign code have any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallbackFault {
    /// The callback.
    pub callback: Callback,
    /// What is wrong.
    pub kind: CallbackFaultKind,
    /// What faults of one cause have in common, such as `crash in emit_x86`; it does not depend on the payload.
    pub place: String,
    /// What happened, in one line with its numbers.
    pub message: String,
}

/// A function of an operation that is called with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Callback {
    /// The one that writes the proof sequence: `instantiate_insn`.
    Proof,
    /// The one that writes native code: `emit_x86` or `emit_arm64`.
    Emit(Arch),
}

impl Callback {
    /// The architecture of an emit.
    pub const fn arch(self) -> Option<Arch> {
        match self {
            Callback::Proof => None,
            Callback::Emit(arch) => Some(arch),
        }
    }
}

impl fmt::Display for Callback {
    /// The name in the C interface.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Callback::Proof => "instantiate_insn",
            Callback::Emit(Arch::X86_64) => "emit_x86",
            Callback::Emit(Arch::Aarch64) => "emit_arm64",
        })
    }
}

/// What a [`CallbackFault`] is reported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallbackFaultKind {
    /// It crashed, hung, overran a buffer, or broke its calling convention.
    Callback,
    /// Sizing and writing, the offset and the bytes, or two calls do not go together.
    Encoding,
    /// What it wrote is no sequence of eBPF instructions.
    Shape,
}

/// A result that is known from elsewhere: the manual, or arithmetic.
#[derive(Clone, Debug)]
pub struct KnownAnswer {
    /// The form's name.
    pub form: &'static str,
    /// Its operands as `name=value` texts.
    pub operands: &'static str,
    /// Registers before, in the notation of cases.
    pub before: &'static [(Reg, u64)],
    /// Bytes in memory before: address text (`window+0x10`) and contents.
    pub memory: &'static [(&'static str, &'static [u8])],
    /// The registers after that matter.
    pub after: &'static [(Reg, u64)],
}

/// A result in memory that is known from elsewhere.
#[derive(Clone, Debug)]
pub struct KnownStore {
    /// Form, operands, what there is before, and registers after.
    pub answer: KnownAnswer,
    /// Bytes in memory after: address text and contents. No others may change.
    pub stored: &'static [(&'static str, &'static [u8])],
}

/// An operation: its forms, their meaning, and both their implementations.
///
/// An operation of the catalog implements [`model`](Kop::model), [`proof`](Kop::proof), [`x86_64`](Kop::x86_64) and
/// [`aarch64`](Kop::aarch64) over decoded operands. One that comes as callbacks over raw payloads, such as a kernel
/// module, implements [`instantiate`](Kop::instantiate) and [`emit`](Kop::emit) instead.
pub trait Kop: Send + Sync {
    /// The operation's name: lower case, unique in a catalog.
    fn name(&self) -> &str;

    /// One line: what it is.
    fn summary(&self) -> &str;

    /// The source file of the operation, for reports.
    fn source(&self) -> &str;

    /// Its forms; their order is that of every table.
    fn forms(&self) -> &[Form];

    /// The rules between operands, beyond those of the layout.
    ///
    /// # Errors
    /// [`Reject::Operands`] with the rule that the operands break.
    fn admits(&self, site: &Site) -> Result<(), Reject> {
        let _ = site;
        Ok(())
    }

    /// For each of `payloads`, whether layout and rules admit it: [`Kop::admits`] of many, where one by one takes long.
    fn admitted(&self, form: &Form, payloads: &[u64]) -> Vec<bool> {
        let admits = |payload: &u64| {
            Site::decode(form, *payload, Features::NONE).and_then(|site| self.admits(&site)).is_ok()
        };
        payloads.iter().map(admits).collect()
    }

    /// What it is for that neither registers nor memory show, such as that memory is in a cache: no comparison of states, and
    /// so no verdict and no proof, says anything of that. Every report names it. `None` where the result is the purpose.
    fn unseen_purpose(&self) -> Option<&str> {
        None
    }

    /// Its meaning in plain Rust, written from the definition and from neither implementation; `None` when it has no
    /// model.
    ///
    /// # Errors
    /// The [`Fault`] that a bad memory access causes.
    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>>;

    /// The proof sequence.
    ///
    /// # Errors
    /// [`Reject`] when the operands are not admitted.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject>;

    /// The native form for x86-64.
    ///
    /// # Errors
    /// [`Reject`] when the operands are not admitted, or when there is none for this CPU.
    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let _ = asm;
        Err(Reject::NoEmit { arch: Arch::X86_64, features: site.features })
    }

    /// The native form for AArch64.
    ///
    /// # Errors
    /// As [`Kop::x86_64`].
    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        let _ = asm;
        Err(Reject::NoEmit { arch: Arch::Aarch64, features: site.features })
    }

    /// The site's contract.
    fn contract(&self, site: &Site) -> Contract {
        Contract::with_dead(site.form.layout.temporaries(&site.operands))
    }

    /// The architectures for which `form` has an emit at all; there is no row for the others.
    fn archs(&self, form: &Form) -> &[Arch] {
        let _ = form;
        &Arch::ALL
    }

    /// What went wrong inside the callbacks for `payload`, apart from what they answer; nothing where the callbacks are Rust.
    ///
    /// After a fault of [`CallbackFaultKind::Callback`] the callback counts as one that rejects the payload.
    fn callback_faults(&self, form: &Form, payload: u64) -> Vec<CallbackFault> {
        let _ = (form, payload);
        Vec::new()
    }

    /// Says that these payloads will be asked about next, on CPUs with each of the sets of features. An operation whose callbacks
    /// live in another process asks them all at once.
    fn expect(&self, payloads: &[u64], features: &[Features]) {
        let _ = (payloads, features);
    }

    /// Payloads, valid or not, that a check of `form` has to look at whatever else it does: those for which callbacks are
    /// known to fail, or to disagree.
    fn noted_payloads(&self, form: &Form) -> Vec<u64> {
        let _ = form;
        Vec::new()
    }

    /// What the command line needs to find the operation again, such as `--module rotate.c`; empty for the catalog's own.
    fn arguments(&self) -> &[String] {
        &[]
    }

    /// The conditions that were declared from outside of the operation, as texts that reports repeat: `dead=r3`.
    fn declared_contract(&self) -> &[String] {
        &[]
    }

    /// Remarks on the operation as a whole that belong into every report, such as payload bits that it ignores.
    fn remarks(&self, form: &Form) -> Vec<String> {
        let _ = form;
        Vec::new()
    }

    /// The CPU features that the emits for `arch` look at.
    fn features(&self, arch: Arch) -> Features {
        let _ = arch;
        Features::NONE
    }

    /// The sizes that `form` declares.
    fn limits(&self, form: &Form) -> Limits {
        let _ = form;
        Limits { max_insn_cnt: 64, max_emit_bytes: 64 }
    }

    /// Values worth putting into the form's source registers, beyond those every operation gets.
    fn interesting_values(&self, form: &Form) -> &[u64] {
        let _ = form;
        &[]
    }

    /// Results known from elsewhere.
    fn known_answers(&self) -> Vec<KnownAnswer> {
        Vec::new()
    }

    /// Results in memory that are known from elsewhere.
    fn known_stores(&self) -> Vec<KnownStore> {
        Vec::new()
    }

    /// The proof callback: the proof sequence of a raw payload.
    ///
    /// # Errors
    /// [`Reject`] when the payload is not valid.
    fn instantiate(&self, form: &Form, payload: u64) -> Result<Vec<Insn>, Reject> {
        let site = Site::decode(form, payload, Features::NONE)?;
        self.admits(&site)?;
        self.proof(&site)
    }

    /// What the proof callback that comes in one file with the emit for `arch` says, where each architecture has a file of its
    /// own; `None` where one proof serves both.
    ///
    /// Files of one operation must accept the same payloads.
    ///
    /// # Errors
    /// As [`Kop::instantiate`], in the inner result.
    fn own_proof(&self, arch: Arch, form: &Form, payload: u64) -> Option<Result<Vec<Insn>, Reject>> {
        let _ = (arch, form, payload);
        None
    }

    /// The emit callback: the native code of a raw payload.
    ///
    /// # Errors
    /// [`Reject`] when the payload is not valid, or [`Reject::NoEmit`] when there is no code for this CPU.
    fn emit(&self, form: &Form, request: &EmitRequest) -> Result<Emission, Reject> {
        let site = Site::decode(form, request.payload, request.features)?;
        self.admits(&site)?;
        let mut bytes = match request.arch {
            Arch::X86_64 => {
                let mut asm = x86_64::Assembler::new();
                self.x86_64(&site, &mut asm)?;
                asm.finish().map_err(|error| Reject::Encode(error.to_string()))?.bytes
            }
            Arch::Aarch64 => {
                let mut asm = aarch64::Assembler::new();
                self.aarch64(&site, &mut asm)?;
                asm.finish().map_err(|error| Reject::Encode(error.to_string()))?.bytes
            }
        };
        let size = bytes.len();
        if request.pass == Pass::Size {
            bytes.clear();
        }
        Ok(Emission { size, bytes })
    }
}

impl fmt::Debug for dyn Kop + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
