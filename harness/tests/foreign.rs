// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations that come from outside: what their callbacks do besides answering, which rows they have, what is declared for
//! them, and what their native code clobbers. The operations are fakes, so that no compiler is needed.

use std::path::Path;

use kop_harness::check::{Quiet, Settings, check};
use kop_harness::reports::{Kind, Record, Row, RowVerdict};
use kop_harness::{Case, Rig, case, replay, selection};
use kop_ops::ebpf::{Insn, Reg, RegSet, Size};
use kop_ops::{
    Arch, Callback, CallbackFault, CallbackFaultKind, Catalog, Contract, Emission, EmitRequest, Fault,
    Features, Form, Kop, Layout, Limits, Pass, Reject, Role, Site, State, aarch64, registers, x86_64,
};

type Faults = Box<dyn Fn(u64) -> Vec<CallbackFault> + Send + Sync>;

/// An operation `dst = src` with everything that a foreign one can get wrong.
#[derive(Default)]
struct Foreign {
    forms: Vec<Form>,
    archs: Vec<Arch>,
    arguments: Vec<String>,
    declared: Vec<String>,
    dead: Option<fn(&Site) -> RegSet>,
    remarks: Vec<String>,
    faults: Option<Faults>,
    proof: Option<fn(&Site) -> Vec<Insn>>,
    x86_64: Option<fn(&Site, &mut x86_64::Assembler)>,
    aarch64: Option<fn(&Site, &mut aarch64::Assembler)>,
    rejecting: Option<Arch>,
    /// An operand that differs from two others.
    distinct: Option<(&'static str, [&'static str; 2])>,
}

fn foreign() -> Foreign {
    let layout = Layout::new().register("dst", Role::Destination).register("src", Role::Source);
    Foreign {
        forms: vec![Form::new("payload", "learned", layout)],
        archs: Arch::ALL.to_vec(),
        arguments: vec!["--module".to_owned(), "my op.c".to_owned()],
        ..Foreign::default()
    }
}

impl Foreign {
    fn failed(&self, payload: u64, callback: Callback) -> bool {
        let faults = self.faults.as_ref().map_or_else(Vec::new, |faults| faults(payload));
        faults.iter().any(|fault| fault.callback == callback && fault.kind == CallbackFaultKind::Callback)
    }
}

impl Kop for Foreign {
    fn name(&self) -> &str {
        "bpf_copy"
    }
    fn summary(&self) -> &str {
        "copy a register"
    }
    fn source(&self) -> &str {
        "my op.c"
    }
    fn forms(&self) -> &[Form] {
        &self.forms
    }
    fn admits(&self, site: &Site) -> Result<(), Reject> {
        match self.distinct {
            Some((one, others)) if others.iter().any(|other| site.reg(one) == site.reg(other)) => {
                Err(Reject::operands("operands coincide"))
            }
            _ => Ok(()),
        }
    }
    fn model(&self, _: &Site, _: &mut State) -> Option<Result<(), Fault>> {
        None
    }
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let copy = || vec![Insn::mov64(site.reg("dst"), site.reg("src"))];
        Ok(self.proof.map_or_else(copy, |proof| proof(site)))
    }
    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        match self.x86_64 {
            Some(emit) => emit(site, asm),
            None => asm.mov(x86_64::Size::B8, site.gpr("dst"), site.gpr("src")),
        }
        Ok(())
    }
    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        match self.aarch64 {
            Some(emit) => emit(site, asm),
            None => asm.mov(aarch64::Width::X, site.x("dst"), site.x("src")),
        }
        Ok(())
    }
    fn contract(&self, site: &Site) -> Contract {
        Contract::with_dead(self.dead.map_or(RegSet::EMPTY, |dead| dead(site)))
    }
    fn archs(&self, _: &Form) -> &[Arch] {
        &self.archs
    }
    fn limits(&self, _: &Form) -> Limits {
        Limits { max_insn_cnt: 256, max_emit_bytes: 512 }
    }
    fn callback_faults(&self, _: &Form, payload: u64) -> Vec<CallbackFault> {
        self.faults.as_ref().map_or_else(Vec::new, |faults| faults(payload))
    }
    fn arguments(&self) -> &[String] {
        &self.arguments
    }
    fn declared_contract(&self) -> &[String] {
        &self.declared
    }
    fn remarks(&self, _: &Form) -> Vec<String> {
        self.remarks.clone()
    }
    fn instantiate(&self, form: &Form, payload: u64) -> Result<Vec<Insn>, Reject> {
        if self.failed(payload, Callback::Proof) {
            return Err(Reject::operands("the callback failed"));
        }
        let site = Site::decode(form, payload, Features::NONE)?;
        self.admits(&site)?;
        self.proof(&site)
    }
    fn own_proof(&self, arch: Arch, form: &Form, payload: u64) -> Option<Result<Vec<Insn>, Reject>> {
        let rejecting = self.rejecting?;
        if rejecting == arch && payload & 0xf == 5 {
            return Some(Err(Reject::operands("no r5 here")));
        }
        Some(self.instantiate(form, payload))
    }
    fn emit(&self, form: &Form, request: &EmitRequest) -> Result<Emission, Reject> {
        if self.failed(request.payload, Callback::Emit(request.arch)) {
            return Err(Reject::operands("the callback failed"));
        }
        let site = Site::decode(form, request.payload, request.features)?;
        self.admits(&site)?;
        let mut bytes = match request.arch {
            Arch::X86_64 => {
                let mut asm = x86_64::Assembler::new();
                self.x86_64(&site, &mut asm)?;
                asm.finish().expect("encodes").bytes
            }
            Arch::Aarch64 => {
                let mut asm = aarch64::Assembler::new();
                self.aarch64(&site, &mut asm)?;
                asm.finish().expect("encodes").bytes
            }
        };
        let size = bytes.len();
        if request.pass == Pass::Size {
            bytes.clear();
        }
        Ok(Emission { size, bytes })
    }
}

fn settings() -> Settings {
    Settings { states: 3000, jobs: 2, ..Settings::default() }
}

fn record_into(kop: &Foreign, save: Option<&Path>) -> Record {
    let catalog = Catalog::with(kop);
    let settings = settings();
    let checked = check(&catalog, &settings, &Quiet, &|_, _, _| ()).expect("the engines are here");
    checked.record(&settings, save).expect("rows")
}

fn record(kop: &Foreign) -> Record {
    record_into(kop, None)
}

/// The rows as `arch: kind place-of-message`, one divergence in a line.
fn divergences(record: &Record) -> Vec<(String, Kind, String)> {
    let of_row = |row: &Row| {
        let arch = row.arch.clone();
        row.divergences
            .iter()
            .map(move |found| (arch.clone(), found.kind, found.message.clone()))
            .collect::<Vec<_>>()
    };
    record.ops.iter().flat_map(of_row).collect()
}

/// A fault of `callback` for the payloads that `is_hit` says.
fn when(is_hit: fn(u64) -> bool, callback: Callback, kind: CallbackFaultKind) -> Faults {
    let message = format!("{callback}: what happened, with 3 numbers");
    let fault = CallbackFault { callback, kind, place: format!("fault in {callback}"), message };
    Box::new(move |payload| Vec::from_iter(is_hit(payload).then(|| fault.clone())))
}

#[test]
fn a_sound_foreign_operation_is_clean_in_every_row() {
    let record = record(&foreign());
    let rows: Vec<_> = record.ops.iter().map(|row| (row.arch.as_str(), row.verdict, row.states)).collect();
    assert_eq!(rows, [("x86_64", RowVerdict::Equivalent, 3000), ("aarch64", RowVerdict::Equivalent, 3000)]);
}

#[test]
fn faults_of_callbacks_are_divergences_of_their_kind_and_row() {
    for (callback, kind, expected) in [
        (Callback::Proof, CallbackFaultKind::Callback, Kind::Callback),
        (Callback::Proof, CallbackFaultKind::Shape, Kind::Shape),
        (Callback::Emit(Arch::X86_64), CallbackFaultKind::Callback, Kind::Callback),
        (Callback::Emit(Arch::Aarch64), CallbackFaultKind::Encoding, Kind::Encoding),
    ] {
        let faults = when(|payload| payload & 0xf == 3, callback, kind);
        let record = record(&Foreign { faults: Some(faults), ..foreign() });
        let message = format!("{callback}: what happened, with 3 numbers");
        let expected: Vec<_> = Arch::ALL
            .into_iter()
            .filter(|arch| callback.arch().is_none_or(|own| own == *arch))
            .map(|arch| (arch.name().to_owned(), expected, message.clone()))
            .collect();
        assert_eq!(divergences(&record), expected);
        // The fewest bits that show it.
        let found = record.ops.iter().flat_map(|row| &row.divergences);
        assert!(found.clone().all(|found| found.payload == "0x3" && found.engine == "-"), "{callback}");
    }
}

#[test]
fn a_fault_for_a_payload_that_is_refused_is_found() {
    // In a decoder that looks at bits which no valid payload has.
    let faults = when(|payload| payload >> 40 & 0xf == 9, Callback::Proof, CallbackFaultKind::Callback);
    let record = record(&Foreign { faults: Some(faults), ..foreign() });
    assert_eq!(record.ops[0].divergences.len(), 1, "{:#?}", divergences(&record));
    assert_eq!(record.ops[0].divergences[0].payload, format!("{:#x}", 9u64 << 40));
}

#[test]
fn a_fault_is_saved_and_replayed() {
    let dir = tempfile::tempdir().expect("a directory");
    let emit = Callback::Emit(Arch::X86_64);
    let faults = when(|payload| payload & 0xff == 0x63, emit, CallbackFaultKind::Callback);
    let kop = Foreign { faults: Some(faults), ..foreign() };
    let record = record_into(&kop, Some(dir.path()));
    let found = &record.ops[0].divergences[0];
    let (path, reproduce) = (found.case.clone().expect("saved"), found.reproduce.clone().expect("saved"));
    assert_eq!(reproduce, format!("kop repro {path} --module 'my op.c'"));
    let catalog = Catalog::with(&kop);
    let case: Case = case::load(Path::new(&path), &catalog).expect("a case");
    assert_eq!(case.payload, 0x63);
    let mut rig = Rig::new(&selection::available().0).expect("the engines are here");
    let replayed = replay(&mut rig, &catalog, &case).expect("the operation is there");
    assert_eq!(replayed.findings.iter().map(|found| found.kind).collect::<Vec<_>>(), [Kind::Callback]);
}

#[test]
fn there_are_rows_for_emits_alone() {
    let only = record(&Foreign { archs: vec![Arch::Aarch64], ..foreign() });
    assert_eq!(only.ops.iter().map(|row| row.arch.as_str()).collect::<Vec<_>>(), ["aarch64"]);
    let bare = record(&Foreign { archs: Vec::new(), ..foreign() });
    let rows: Vec<_> = bare.ops.iter().map(|row| (row.arch.as_str(), row.verdict)).collect();
    assert_eq!(rows, [("none", RowVerdict::Untested)]);
    assert!(bare.ops[0].untested.as_ref().is_some_and(|reason| reason.contains("no emit")));
}

#[test]
fn remarks_and_declarations_are_in_every_row() {
    let kop = Foreign {
        remarks: vec!["payload bits 0xff00 are ignored".to_owned()],
        declared: vec!["dead=r3".to_owned()],
        ..foreign()
    };
    for row in record(&kop).ops {
        assert_eq!(row.contract, ["dead=r3"]);
        assert!(row.warnings.contains(&kop.remarks[0]), "{:?}", row.warnings);
    }
}

/// `src = dst; dst = src` in the proof with r3 as a temporary, which native code never writes.
fn proof_with_r3(site: &Site) -> Vec<Insn> {
    vec![Insn::mov64(Reg::R3, site.reg("src")), Insn::mov64(site.reg("dst"), Reg::R3)]
}

#[test]
fn an_undeclared_temporary_comes_with_its_declaration() {
    let kop = Foreign { proof: Some(proof_with_r3), ..foreign() };
    for row in record(&kop).ops {
        let found: Vec<_> = row.divergences.iter().map(|found| found.kind).collect();
        assert!(found.contains(&Kind::Temporary), "{found:?}");
        let message =
            &row.divergences[found.iter().position(|kind| *kind == Kind::Temporary).expect("there")].message;
        assert!(message.contains("sound only where r3 is dead after the site"), "{message}");
        assert!(message.contains("declare it with --contract dead=r3"), "{message}");
    }
}

/// `dst = src` by way of an operand that nothing says is a temporary.
fn with_temporary() -> Foreign {
    let layout = Layout::new().register("dst", Role::Destination).register("src", Role::Source).field_at(
        "tmp",
        kop_ops::FieldKind::Register(Role::Destination),
        16,
        4,
    );
    let proof = |site: &Site| {
        vec![Insn::mov64(site.reg("tmp"), site.reg("src")), Insn::mov64(site.reg("dst"), site.reg("tmp"))]
    };
    Foreign { forms: vec![Form::new("payload", "learned", layout)], proof: Some(proof), ..foreign() }
}

#[test]
fn an_operand_that_native_code_never_writes_is_a_temporary_whatever_was_learned() {
    for row in record(&with_temporary()).ops {
        assert!(!row.divergences.is_empty(), "{row:?}");
        for found in row.divergences {
            assert_eq!(found.kind, Kind::Temporary, "{}", found.message);
            assert!(
                found.message.ends_with("(declare it with --contract dead=payload[16:19])"),
                "{}",
                found.message
            );
        }
    }
}

#[test]
fn a_temporary_that_is_saved_in_between_is_still_never_written() {
    let x86_64 = |site: &Site, asm: &mut x86_64::Assembler| {
        asm.pushq(x86_64::Gpr::Rcx);
        asm.mov(x86_64::Size::B8, x86_64::Gpr::Rcx, site.gpr("src"));
        asm.mov(x86_64::Size::B8, x86_64::Gpr::R11, x86_64::Gpr::Rcx);
        asm.popq(x86_64::Gpr::Rcx);
        asm.mov(x86_64::Size::B8, site.gpr("dst"), x86_64::Gpr::R11);
    };
    let record = record(&Foreign { x86_64: Some(x86_64), ..with_temporary() });
    let kinds: Vec<_> = record.ops[0].divergences.iter().map(|found| found.kind).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == Kind::Temporary), "{kinds:?}");
}

#[test]
fn a_declared_temporary_is_not_compared() {
    let kop = Foreign {
        dead: Some(|site| RegSet::from(site.reg("tmp"))),
        declared: vec!["dead=payload[16:19]".to_owned()],
        ..with_temporary()
    };
    for row in record(&kop).ops {
        assert_eq!((row.verdict, row.contract.len()), (RowVerdict::Equivalent, 1), "{:?}", row.divergences);
    }
}

#[test]
fn a_destination_that_is_forgotten_for_one_payload_is_a_register() {
    let kop = Foreign {
        x86_64: Some(|site, asm| {
            // Forgotten for one pair of registers.
            if (site.reg("dst"), site.reg("src")) == (Reg::R6, Reg::R2) {
                return asm.nop();
            }
            asm.mov(x86_64::Size::B8, site.gpr("dst"), site.gpr("src"));
        }),
        ..foreign()
    };
    let found: Vec<_> = divergences(&record(&kop)).into_iter().map(|(arch, kind, _)| (arch, kind)).collect();
    assert_eq!(found, [("x86_64".to_owned(), Kind::Register)]);
}

/// A copy of `length` bytes from `src` to `dst`, upwards byte by byte; the last byte stays in `last`.
fn copy(length: u32) -> Foreign {
    let layout = Layout::new()
        .register("dst", Role::Any)
        .register("src", Role::Any)
        .register("last", Role::Destination)
        .unsigned("length", length, length);
    let proof = |site: &Site| {
        let (dst, src, last) = (site.reg("dst"), site.reg("src"), site.reg("last"));
        let byte =
            |i: i64| [Insn::load(Size::B1, last, src, i as i16), Insn::store(Size::B1, dst, i as i16, last)];
        (0..site.imm("length")).flat_map(byte).collect()
    };
    Foreign {
        forms: vec![Form::new("payload", "learned", layout)],
        archs: vec![Arch::X86_64],
        proof: Some(proof),
        distinct: Some(("last", ["dst", "src"])),
        ..foreign()
    }
}

/// The copy in pieces of eight bytes.
fn in_words(site: &Site, asm: &mut x86_64::Assembler) {
    for at in (0..site.imm("length") as i32).step_by(8) {
        asm.mov(x86_64::Size::B8, x86_64::Gpr::R11, x86_64::Mem::at(site.gpr("src"), at));
        asm.mov(x86_64::Size::B8, x86_64::Mem::at(site.gpr("dst"), at), x86_64::Gpr::R11);
    }
    let end = site.imm("length") as i32 - 1;
    asm.movzx(x86_64::Size::B4, site.gpr("last"), x86_64::Size::B1, x86_64::Mem::at(site.gpr("dst"), end));
}

/// The copy byte by byte.
fn in_bytes(site: &Site, asm: &mut x86_64::Assembler) {
    let last = site.gpr("last");
    for at in 0..site.imm("length") as i32 {
        asm.movzx(x86_64::Size::B4, last, x86_64::Size::B1, x86_64::Mem::at(site.gpr("src"), at));
        asm.mov(x86_64::Size::B1, x86_64::Mem::at(site.gpr("dst"), at), last);
    }
}

#[test]
fn a_wide_copy_over_overlapping_ranges_is_found_and_a_narrow_one_is_clean() {
    for (length, emit, expected) in [
        (8, in_bytes as fn(&Site, &mut x86_64::Assembler), None),
        (32, in_bytes, None),
        (8, in_words, Some(Kind::Memory)),
        (32, in_words, Some(Kind::Memory)),
    ] {
        let record = record(&Foreign { x86_64: Some(emit), ..copy(length) });
        let row = &record.ops[0];
        let kinds: Vec<_> = row.divergences.iter().map(|found| found.kind).collect();
        match expected {
            None => assert_eq!(row.verdict, RowVerdict::Equivalent, "{:#?}", row.divergences),
            // The last byte is left in a register as well, where it is often the first difference.
            Some(kind) => {
                assert!(kinds.contains(&kind) || kinds.contains(&Kind::Register), "{length}: {kinds:?}")
            }
        }
        for class in ["equal", "adjacent", "overlap forward", "overlap backward"] {
            // 65 distances at the most: each occurs some 30 times.
            assert!(row.classes[&format!("pointers {class}")] > 15, "{class}: {:?}", row.classes);
        }
    }
}

#[test]
fn clobbers_are_listed_by_row() {
    let kop = Foreign {
        x86_64: Some(|site, asm| {
            asm.pushq(x86_64::Gpr::R12);
            asm.mov(x86_64::Size::B8, x86_64::Gpr::R12, site.gpr("src"));
            asm.mov(x86_64::Size::B8, x86_64::Gpr::R11, x86_64::Gpr::R12);
            asm.mov(x86_64::Size::B8, site.gpr("dst"), x86_64::Gpr::R11);
            asm.popq(x86_64::Gpr::R12);
        }),
        aarch64: Some(|site, asm| {
            asm.mov(aarch64::Width::X, registers::AARCH64_SCRATCH[0], site.x("src"));
            asm.mov(aarch64::Width::X, aarch64::Gpr::X18, site.x("src"));
            asm.mov(aarch64::Width::X, site.x("dst"), registers::AARCH64_SCRATCH[0]);
        }),
        ..foreign()
    };
    let record = record(&kop);
    assert_eq!(record.ops[0].clobbers, ["r11", "r12 (restored)"]);
    assert_eq!(record.ops[1].clobbers, ["x9", "x18"]);
    let kinds: Vec<_> = divergences(&record).into_iter().map(|(arch, kind, _)| (arch, kind)).collect();
    assert_eq!(kinds, [("aarch64".to_owned(), Kind::Frame)]);
}

#[test]
fn files_that_accept_different_payloads_are_a_divergence_of_validity() {
    for rejecting in Arch::ALL {
        let record = record(&Foreign { rejecting: Some(rejecting), ..foreign() });
        let found = divergences(&record);
        assert!(!found.is_empty() && found.iter().all(|(_, kind, _)| *kind == Kind::Validity), "{found:#?}");
        assert!(found[0].2.contains(&format!("{rejecting} emit rejects it: no r5 here")), "{found:#?}");
    }
}
