// SPDX-License-Identifier: GPL-2.0-or-later
//! The rules of x86-64 emits, over iced-x86's decoder and its tables (Intel SDM vol. 2, AMD APM vol. 3).

use std::cell::RefCell;

use iced_x86::{
    CpuidFeature as Cpuid, Decoder, DecoderOptions, EncodingKind, FlowControl, Formatter, Instruction,
    InstructionInfo, InstructionInfoFactory, IntelFormatter, Mnemonic, OpAccess, OpKind, Register,
    RflagsBits,
};
use kop_ops::Feature;

use super::{BAD, Branch, BreachKind, Broken, Line, Need, Profile, Writes};

thread_local! {
    /// The factory's two lists are reused by all inspections of a thread.
    static FACTORY: RefCell<InstructionInfoFactory> = RefCell::new(InstructionInfoFactory::new());
}

pub(super) fn inspect(bytes: &[u8]) -> Result<Profile, Broken> {
    FACTORY.with_borrow_mut(|factory| inspect_with(factory, bytes))
}

fn inspect_with(factory: &mut InstructionInfoFactory, bytes: &[u8]) -> Result<Profile, Broken> {
    let mut profile = Profile::default();
    let mut branches = Vec::new();
    // Where the direction flag is set and not cleared again.
    let mut direction = None;
    let mut decoder = decoder(bytes, 0);
    let mut insn = Instruction::default();
    while decoder.can_decode() {
        let offset = decoder.position();
        decoder.decode_out(&mut insn);
        let broken = |kind| (offset, kind);
        if insn.is_invalid() {
            return Err(broken(undecoded(bytes, offset)));
        }
        check_kind(&insn).map_err(broken)?;
        match insn.mnemonic() {
            Mnemonic::Std => direction = Some(offset),
            Mnemonic::Cld => direction = None,
            _ => {}
        }
        let info = factory.info(&insn);
        check_registers(&insn, info).map_err(broken)?;
        check_memory(&insn, info).map_err(broken)?;
        check_features(&insn, info, &mut profile).map_err(broken)?;
        profile.writes = profile.writes.union(written(&insn, info));
        if is_direct_branch(&insn) {
            check_prefixes(&bytes[offset..]).map_err(broken)?;
            branches.push(Branch { offset, target: insn.near_branch_target() as i64 });
        }
    }
    if let Some(offset) = direction {
        return Err((offset, BreachKind::DirectionFlag));
    }
    profile.backward_branch = branches.iter().any(|branch| branch.goes_back());
    check_branches(bytes, &branches)?;
    Ok(profile)
}

/// What the instructions up to the first that does not decode write.
pub(super) fn writes(bytes: &[u8]) -> Writes {
    FACTORY.with_borrow_mut(|factory| {
        decoder(bytes, 0)
            .into_iter()
            .take_while(|insn| !insn.is_invalid())
            .fold(Writes::default(), |all, insn| all.union(written(&insn, factory.info(&insn))))
    })
}

/// What one instruction writes.
fn written(insn: &Instruction, info: &InstructionInfo) -> Writes {
    let mut written = Writes { flags: insn.rflags_modified() != RflagsBits::NONE, ..Writes::default() };
    for used in info.used_registers().iter().filter(|used| is_write(used.access())) {
        let register = used.register();
        if register.is_gpr() && register.full_register() != Register::RSP {
            written.general |= 1 << register.full_register().number();
        } else if register.is_vector_register() {
            written.vectors |= 1 << register.number();
        } else if register.is_k() {
            written.predicates |= 1 << register.number();
        }
    }
    written
}

fn decoder(bytes: &[u8], offset: usize) -> Decoder<'_> {
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    decoder.set_position(offset).expect("the offset is within the bytes");
    decoder.set_ip(offset as u64);
    decoder
}

/// Why there is no instruction at `offset`: whether more bytes would make one.
fn undecoded(bytes: &[u8], offset: usize) -> BreachKind {
    const LONGEST: usize = 15;
    let rest = &bytes[offset..];
    let mut padded = [0; 2 * LONGEST];
    let known = rest.len().min(LONGEST);
    padded[..known].copy_from_slice(&rest[..known]);
    let insn = decoder(&padded, 0).decode();
    if !insn.is_invalid() && insn.len() > known { BreachKind::Truncated } else { BreachKind::Undecodable }
}

/// The rules that the instruction breaks whatever its operands are.
fn check_kind(insn: &Instruction) -> Result<(), BreachKind> {
    if insn.is_privileged() {
        return Err(BreachKind::Privileged);
    }
    if let Some(kind) = refused(insn.mnemonic()) {
        return Err(kind);
    }
    match insn.flow_control() {
        FlowControl::Next | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => Ok(()),
        FlowControl::IndirectBranch | FlowControl::Return | FlowControl::Call | FlowControl::IndirectCall => {
            Err(BreachKind::Leaves)
        }
        FlowControl::XbeginXabortXend => Err(BreachKind::NotDeterministic),
        FlowControl::Interrupt => Err(BreachKind::KernelEntry),
        FlowControl::Exception => Err(BreachKind::Trap),
    }?;
    let flags = insn.rflags_set() | insn.rflags_written();
    // What STD sets may be cleared again.
    let sets = flags & RflagsBits::DF != 0 && insn.mnemonic() != Mnemonic::Std;
    if sets { Err(BreachKind::DirectionFlag) } else { Ok(()) }
}

/// The rule that an instruction breaks by its name, for those that iced-x86's tables do not tell apart.
fn refused(mnemonic: Mnemonic) -> Option<BreachKind> {
    use Mnemonic as M;
    Some(match mnemonic {
        M::Sgdt | M::Sidt | M::Sldt | M::Str | M::Smsw | M::Iret | M::Iretd | M::Iretq => {
            BreachKind::Privileged
        }
        M::Syscall | M::Sysenter | M::Vmcall | M::Vmmcall | M::Vmgexit | M::Vmfunc | M::Enclu | M::Tdcall => {
            BreachKind::KernelEntry
        }
        M::Int1 | M::Int3 => BreachKind::Trap,
        M::Rdtsc
        | M::Rdtscp
        | M::Rdpmc
        | M::Rdpru
        | M::Rdrand
        | M::Rdseed
        | M::Cpuid
        | M::Rdpid
        | M::Xgetbv => BreachKind::NotDeterministic,
        M::Xtest | M::Monitor | M::Monitorx | M::Mwait | M::Mwaitx | M::Umonitor | M::Umwait | M::Tpause => {
            BreachKind::NotDeterministic
        }
        M::Lar | M::Lsl | M::Verr | M::Verw => BreachKind::Segment,
        M::Ldmxcsr | M::Stmxcsr | M::Vldmxcsr | M::Vstmxcsr => BreachKind::SystemState,
        M::Enter | M::Leave => BreachKind::StackPointer,
        M::Wait => BreachKind::X87,
        _ => return None,
    })
}

fn check_registers(insn: &Instruction, info: &InstructionInfo) -> Result<(), BreachKind> {
    for used in info.used_registers() {
        let register = used.register();
        if register.is_segment_register() {
            return Err(BreachKind::Segment);
        }
        if register.is_cr() || register.is_dr() || register.is_tr() {
            return Err(BreachKind::Privileged);
        }
        if register.is_st() || register.is_mm() {
            return Err(BreachKind::X87);
        }
        if register.full_register() == Register::RSP && is_write(used.access()) && !moves_stack_soundly(insn)
        {
            return Err(BreachKind::StackPointer);
        }
    }
    match insn.segment_prefix() {
        Register::FS | Register::GS => Err(BreachKind::Segment),
        _ => Ok(()),
    }
}

/// Whether an instruction that writes RSP pushes, pops, or adds a constant.
fn moves_stack_soundly(insn: &Instruction) -> bool {
    let to_rsp = insn.op0_kind() == OpKind::Register && insn.op0_register().full_register() == Register::RSP;
    match insn.mnemonic() {
        Mnemonic::Push | Mnemonic::Pushf | Mnemonic::Pushfd | Mnemonic::Pushfq => true,
        Mnemonic::Pop => !to_rsp,
        Mnemonic::Add | Mnemonic::Sub => {
            insn.op0_register() == Register::RSP && is_immediate(insn.op1_kind())
        }
        Mnemonic::Lea => {
            insn.op0_register() == Register::RSP
                && insn.memory_base() == Register::RSP
                && insn.memory_index() == Register::None
        }
        _ => false,
    }
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate8to64 | OpKind::Immediate32to64)
}

fn is_write(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn reads(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

/// The rules for explicit memory operands.
fn check_memory(insn: &Instruction, info: &InstructionInfo) -> Result<(), BreachKind> {
    for operand in 0..insn.op_count() {
        if insn.op_kind(operand) != OpKind::Memory || insn.mnemonic() == Mnemonic::Nop {
            continue;
        }
        if insn.is_ip_rel_memory_operand() {
            return Err(BreachKind::Position);
        }
        let below_stack = insn.memory_base().full_register() == Register::RSP
            && insn.memory_index() == Register::None
            && (insn.memory_displacement64() as i64) < 0;
        if below_stack && info.op_access(operand) != OpAccess::NoMemAccess {
            return Err(BreachKind::StackPointer);
        }
    }
    Ok(())
}

/// Notes what the instruction needs.
fn check_features(
    insn: &Instruction,
    info: &InstructionInfo,
    profile: &mut Profile,
) -> Result<(), BreachKind> {
    for &feature in insn.cpuid_features() {
        profile.need(need(feature)?);
    }
    let simd = info
        .used_registers()
        .iter()
        .any(|used| used.register().is_vector_register() || used.register().is_k());
    profile.simd |= simd;
    profile.vex_vector |= simd && insn.encoding() != EncodingKind::Legacy;
    for memory in info.used_memory() {
        profile.reads_memory |= reads(memory.access());
        profile.writes_memory |= is_write(memory.access());
    }
    Ok(())
}

/// What a CPUID feature means for an emit; one that is not listed is no business of an emit.
fn need(feature: Cpuid) -> Result<Need, BreachKind> {
    macro_rules! others {
        ($($name:ident)*) => {
            match feature {
                $(Cpuid::$name => Ok(Need::Other(stringify!($name).into())),)*
                _ => Err(BreachKind::SystemState),
            }
        };
    }
    match feature {
        Cpuid::INTEL8086
        | Cpuid::INTEL186
        | Cpuid::INTEL286
        | Cpuid::INTEL386
        | Cpuid::INTEL486
        | Cpuid::X64 => Ok(Need::Baseline),
        Cpuid::CMOV
        | Cpuid::CX8
        | Cpuid::MULTIBYTENOP
        | Cpuid::PAUSE
        | Cpuid::SSE
        | Cpuid::SSE2
        | Cpuid::CLFSH => Ok(Need::Baseline),
        // A no-operation where it means nothing.
        Cpuid::CET_IBT => Ok(Need::Baseline),
        Cpuid::POPCNT => Ok(Need::Feature(Feature::Popcnt)),
        Cpuid::LZCNT => Ok(Need::Feature(Feature::Lzcnt)),
        Cpuid::BMI1 => Ok(Need::Feature(Feature::Bmi1)),
        Cpuid::BMI2 => Ok(Need::Feature(Feature::Bmi2)),
        Cpuid::MOVBE => Ok(Need::Feature(Feature::Movbe)),
        Cpuid::PCLMULQDQ => Ok(Need::Feature(Feature::Pclmulqdq)),
        Cpuid::SSE4_2 => Ok(Need::Feature(Feature::Sse42)),
        Cpuid::AVX512VL => Ok(Need::Feature(Feature::Avx512Vl)),
        Cpuid::AVX512_VPOPCNTDQ => Ok(Need::Feature(Feature::Avx512Vpopcntdq)),
        Cpuid::FPU
        | Cpuid::FPU287
        | Cpuid::FPU387
        | Cpuid::MMX
        | Cpuid::D3NOW
        | Cpuid::D3NOWEXT
        | Cpuid::FXSR => Err(BreachKind::X87),
        Cpuid::XSAVE | Cpuid::XSAVEC | Cpuid::XSAVEOPT | Cpuid::XSAVES => Err(BreachKind::X87),
        Cpuid::FSGSBASE => Err(BreachKind::Segment),
        Cpuid::RTM | Cpuid::HLE | Cpuid::HLE_or_RTM | Cpuid::TSXLDTRK => Err(BreachKind::NotDeterministic),
        _ => others! {
            ADX AES AVX AVX2 AVX512BW AVX512CD AVX512DQ AVX512F AVX512_BF16 AVX512_BITALG AVX512_FP16
            AVX512_IFMA AVX512_VBMI AVX512_VBMI2 AVX512_VNNI AVX512_VP2INTERSECT AVX_IFMA
            AVX_NE_CONVERT AVX_VNNI AVX_VNNI_INT16 AVX_VNNI_INT8 CLDEMOTE CLFLUSHOPT CLWB CMPCCXADD CMPXCHG16B F16C FMA
            FMA4 GFNI MOVDIR64B MOVDIRI PREFETCHITI PREFETCHW PREFETCHWT1 RAO_INT SERIALIZE SHA SHA512 SM3 SM4 SSE3
            SSE4A SSE4_1 SSSE3 TBM VAES VPCLMULQDQ XOP
        },
    }
}

fn is_direct_branch(insn: &Instruction) -> bool {
    insn.op_count() > 0 && insn.op0_kind() == OpKind::NearBranch64
}

/// Refuses the operand-size prefix of a branch: with it, AMD processors cut the target to 16 bits and Intel's do not.
fn check_prefixes(bytes: &[u8]) -> Result<(), BreachKind> {
    let mut prefixes = bytes.iter().take_while(
        |byte| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3 | 0x40..=0x4f),
    );
    if prefixes.any(|&byte| byte == 0x66) { Err(BreachKind::NotDeterministic) } else { Ok(()) }
}

fn check_branches(bytes: &[u8], branches: &[Branch]) -> Result<(), Broken> {
    if branches.is_empty() {
        return Ok(());
    }
    let mut starts = vec![false; bytes.len()];
    let mut decoder = decoder(bytes, 0);
    let mut insn = Instruction::default();
    while decoder.can_decode() {
        starts[decoder.position()] = true;
        decoder.decode_out(&mut insn);
    }
    for branch in branches {
        branch.check(bytes.len(), |target| starts[target]).map_err(|kind| (branch.offset, kind))?;
    }
    Ok(())
}

/// The instruction at `offset`, which is within `bytes`.
pub(super) fn line(bytes: &[u8], offset: usize) -> Line {
    let insn = decoder(bytes, offset).decode();
    if !insn.is_invalid() {
        return Line { offset, bytes: bytes[offset..offset + insn.len()].to_vec(), text: text(&insn) };
    }
    // A truncated instruction takes what is left, a bad one a single byte, as in other disassemblers.
    let end = if undecoded(bytes, offset) == BreachKind::Truncated { bytes.len() } else { offset + 1 };
    Line { offset, bytes: bytes[offset..end].to_vec(), text: BAD.to_owned() }
}

fn text(insn: &Instruction) -> String {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_space_after_operand_separator(true);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    options.set_rip_relative_addresses(true);
    let mut text = String::new();
    formatter.format(insn, &mut text);
    text
}
