// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs around an instruction, and the code that becomes of it there: exactly the bytes that the compiler's marks say are its own.

use std::sync::LazyLock;

use kop_jit::{CompileError, Options, Planted, compile, compile_planted};
use kop_ops::code::Mark;
use kop_ops::ebpf::{AtomicOp, Cond, Insn, Reg, RegSet, Size};
use kop_ops::program::MapAddresses;
use kop_ops::{Arch, Catalog, Code, Features, Flow, Program, ProgramKind};

/// Which compiler is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compiler {
    pub arch: Arch,
    pub features: Features,
    pub planted: Option<Planted>,
}

/// The code of an instruction in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub code: Vec<u8>,
    /// Where its jump goes, in bytes from its first byte.
    pub exit: Option<i64>,
    /// The registers that nothing looks at behind it.
    pub dead: RegSet,
}

impl Compiler {
    fn compile(self, insns: Vec<Insn>) -> Result<Code, CompileError> {
        static CATALOG: LazyLock<Catalog<'static>> = LazyLock::new(Catalog::einsn);
        static ADDRESSES: LazyLock<MapAddresses> = LazyLock::new(MapAddresses::default);
        let flow = Flow::new(insns).expect("jumps go to instructions, and it ends with an exit");
        let program = Program { name: "instruction".to_owned(), kind: ProgramKind::Raw, flow };
        let options = Options {
            arch: self.arch,
            features: self.features,
            guarded: false,
            observe: false,
            catalog: &CATALOG,
            operations: &[],
            emits: true,
            addresses: &ADDRESSES,
        };
        match self.planted {
            Some(planted) => compile_planted(&program, &options, planted),
            None => compile(&program, &options),
        }
    }

    /// The code of instructions that do not jump: in a program of which they are all, where only what they name is alive, and in one
    /// that goes on to use every register.
    pub fn straight(self, insns: &[Insn]) -> Result<[Cut; 2], CompileError> {
        let alone = [insns, &[Insn::Exit]].concat();
        let stores = Reg::ALL.map(|register| Insn::store(Size::B8, Reg::R10, -8, register));
        let among = [insns, &stores, &[Insn::Exit]].concat();
        Ok([
            Cut { dead: caller_saved().minus(named(insns)), ..self.first(alone, insns.len())? },
            self.first(among, insns.len())?,
        ])
    }

    /// The code of instructions in a program that jumps to the one at `second`: of those before it, and from there on.
    pub fn apart(self, insns: &[Insn], second: usize) -> Result<[Cut; 2], CompileError> {
        let slots = slots(&insns[second..]) as i16;
        let back = Insn::jump(Cond::Eq, Reg::R0, 0, -(slots + 1));
        let code = self.compile([insns, &[back, Insn::Exit]].concat())?;
        let starts = Starts::of(&code);
        let unnamed = caller_saved().minus(named(insns));
        let cut = |part: std::ops::Range<usize>, dead: RegSet| {
            let code = code.bytes[starts.get(part.start)..starts.get(part.end)].to_vec();
            Cut { code, exit: None, dead }
        };
        let replaced = unnamed.union(replaced(&insns[second..]));
        Ok([cut(0..second, replaced), cut(second..insns.len(), unnamed)])
    }

    /// The code of a jump over an unconditional one, which goes on to behind `between`, and back to before it.
    pub fn jumps_over(self, jump: Insn, between: &[Insn]) -> Result<[Cut; 2], CompileError> {
        let slots = slots(between) as i16;
        let on = [&[jump, Insn::Ja { off: slots }], between, &[Insn::Exit]].concat();
        let back = [between, &[jump, Insn::Ja { off: -(slots + 2) }, Insn::Exit]].concat();
        let cut = |insns: Vec<Insn>, at: usize, target: usize| {
            let code = self.compile(insns)?;
            let starts = Starts::of(&code);
            let start = starts.get(at);
            let exit = Some(starts.get(target) as i64 - start as i64);
            Ok(Cut { code: code.bytes[start..starts.get(at + 2)].to_vec(), exit, dead: RegSet::EMPTY })
        };
        Ok([cut(on, 0, between.len() + 2)?, cut(back, between.len(), 0)?])
    }

    /// The code of the first `count` instructions of a program.
    fn first(self, insns: Vec<Insn>, count: usize) -> Result<Cut, CompileError> {
        let code = self.compile(insns)?;
        let starts = Starts::of(&code);
        let bytes = code.bytes[starts.get(0)..starts.get(count)].to_vec();
        Ok(Cut { code: bytes, exit: None, dead: RegSet::EMPTY })
    }

    /// The code of jumps in a row that go on to behind `between`.
    pub fn jumps_on(self, jumps: &[Insn], between: &[Insn]) -> Result<Vec<Cut>, CompileError> {
        let slots = slots(between);
        let placed = jumps.iter().enumerate().map(|(at, jump)| to(jump, slots + jumps.len() - 1 - at, 1));
        let mut insns: Vec<Insn> = placed.collect();
        insns.extend(between);
        let target = insns.len();
        insns.push(Insn::Exit);
        let code = self.compile(insns)?;
        Ok(cut_jumps(&code, 0..jumps.len(), target))
    }

    /// The code of jumps in a row that go back to before `between`.
    pub fn jumps_back(self, jumps: &[Insn], between: &[Insn]) -> Result<Vec<Cut>, CompileError> {
        let slots = slots(between);
        let mut insns = between.to_vec();
        insns.extend(jumps.iter().enumerate().map(|(at, jump)| to(jump, slots + at + 1, -1)));
        insns.push(Insn::Exit);
        let code = self.compile(insns)?;
        Ok(cut_jumps(&code, between.len()..between.len() + jumps.len(), 0))
    }
}

/// The registers that something looks at: those of the instructions, and what a program returns.
fn named(insns: &[Insn]) -> RegSet {
    insns.iter().fold(RegSet::of(&[Reg::R0]), |set, insn| set.union(insn.reads()).union(insn.writes()))
}

/// The registers whose values instructions replace before they look at them.
fn replaced(insns: &[Insn]) -> RegSet {
    let (mut read, mut replaced) = (RegSet::EMPTY, RegSet::EMPTY);
    for insn in insns {
        read = read.union(insn.reads().minus(replaced));
        replaced = replaced.union(insn.writes().minus(read));
    }
    replaced
}

/// The registers that a function need not keep.
fn caller_saved() -> RegSet {
    RegSet::of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5])
}

fn slots(insns: &[Insn]) -> usize {
    insns.iter().map(Insn::slots).sum()
}

fn to(jump: &Insn, slots: usize, sign: i32) -> Insn {
    let offset = sign * i32::try_from(slots).expect("a program is short");
    jump.with_branch_offset(offset).expect("it is a jump, and in reach")
}

fn cut_jumps(code: &Code, jumps: std::ops::Range<usize>, target: usize) -> Vec<Cut> {
    let starts = Starts::of(code);
    let cut = |at: usize| {
        let start = starts.get(at);
        let exit = starts.get(target) as i64 - start as i64;
        let bytes = code.bytes[start..starts.get(at + 1)].to_vec();
        Cut { code: bytes, exit: Some(exit), dead: RegSet::EMPTY }
    };
    jumps.map(cut).collect()
}

/// Where the code of each instruction starts.
struct Starts(Vec<usize>);

impl Starts {
    fn of(code: &Code) -> Self {
        let own = code.marks.iter().filter(|mark| mark.index != Mark::NONE);
        Starts(own.map(|mark| mark.offset as usize).collect())
    }

    fn get(&self, index: usize) -> usize {
        self.0[index]
    }
}

/// What stands between a jump and its target: a little, and more than a short branch of x86-64 reaches.
pub(super) fn distances() -> Vec<Vec<Insn>> {
    vec![vec![Insn::mov64(Reg::R0, 1)], bytes_x86_64(140)]
}

/// What reaches to the ends of branches' ranges, byte by byte or instruction by instruction: short ones of x86-64; of AArch64 those that
/// test a bit, and the other conditional ones.
pub(super) fn edges(arch: Arch) -> Vec<Vec<Insn>> {
    match arch {
        Arch::X86_64 => (110..140).map(bytes_x86_64).collect(),
        Arch::Aarch64 => {
            let ends = [0x80, 0x8000, 0x10_0000];
            ends.into_iter().flat_map(|end| (end - 64..end + 24).step_by(4)).map(bytes_aarch64).collect()
        }
    }
}

/// An instruction that becomes [`EXCHANGE_BYTES`] on AArch64 without features.
const EXCHANGE: Insn = Insn::atomic(AtomicOp::CmpXchg, Size::B8, Reg::R1, 0x7ff1, Reg::R2);

/// Nine instructions: an address in two, the loop of five, a barrier and a move.
const EXCHANGE_BYTES: usize = 36;

/// Instructions that become so many bytes on AArch64.
fn bytes_aarch64(count: usize) -> Vec<Insn> {
    let mut insns = vec![EXCHANGE; count / EXCHANGE_BYTES];
    insns.extend(vec![Insn::mov32(Reg::R0, Reg::R0); count % EXCHANGE_BYTES / 4]);
    insns
}

/// Instructions that become so many bytes on x86-64, at least 30.
fn bytes_x86_64(count: usize) -> Vec<Insn> {
    const WIDE: Insn = Insn::load_imm64(Reg::R0, 0x0123_4567_89ab_cdef);
    let threes = count % 2;
    let tens = (count - 3 * threes) / 10;
    let twos = (count - 3 * threes - 10 * tens) / 2;
    let mut insns = vec![WIDE; tens];
    insns.extend(vec![Insn::mov32(Reg::R0, Reg::R0); twos]);
    insns.extend(vec![Insn::mov64(Reg::R7, Reg::R6); threes]);
    insns
}

/// More than a conditional branch of AArch64 reaches, a mebibyte, in fewer slots than a jump of eBPF does. x86-64 has no other form of
/// branch for that.
pub(super) fn far() -> Vec<Insn> {
    vec![EXCHANGE; 0x10_0000 / EXCHANGE_BYTES + 100]
}

/// How many jumps can stand before or behind [`far`].
pub(super) const FAR_JUMPS: usize = 2_000;
