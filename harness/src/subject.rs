// SPDX-License-Identifier: GPL-2.0-or-later
//! What is tested: one payload with its proof sequence and its native codes, and everything that can be said of them
//! before any of them runs.

use kop_emulators::NativeCode;
use kop_emulators::inspect::{Profile, inspect};
use kop_ops::ebpf::{Insn, Reg, RegSet, shape};
use kop_ops::payload::PAYLOAD_BITS;
use kop_ops::{
    Access, Arch, Contract, Emission, EmitRequest, Features, Form, Kop, MemoryUse, Operands, Pass, Reject,
    Role, Site,
};
use kop_reports::{Blame, Difference, Kind};

use crate::finding::Finding;

/// What is asked of a preparation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The architectures.
    pub archs: Vec<Arch>,
    /// Whether emits may use SIMD registers.
    pub simd: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self { archs: Arch::ALL.to_vec(), simd: true }
    }
}

impl Scope {
    /// The feature sets that an operation's emits for `arch` are asked for, the fullest first.
    pub fn feature_sets(&self, kop: &dyn Kop, arch: Arch) -> Vec<Features> {
        let features = kop.features(arch);
        if self.simd { features.subsets() } else { features.without_simd().subsets() }
    }
}

/// One payload, ready to run.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// The payload.
    pub payload: u64,
    /// Its operands.
    pub operands: Operands,
    /// The proof sequence.
    pub proof: Vec<Insn>,
    /// Registers that the contract declares dead.
    pub dead: RegSet,
    /// The accesses whose base registers are inputs.
    pub memory: Vec<MemoryUse>,
    /// The native codes, distinct ones only.
    pub variants: Vec<Variant>,
    /// Architectures and features for which there is no native code, so that the proof is compiled.
    pub absent: Vec<(Arch, Features)>,
}

/// The native code for some CPU features.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The fullest set of features for which the operation emits it.
    pub features: Features,
    /// The code.
    pub code: NativeCode,
    /// Whether it touches memory or SIMD registers, so that running it alone shows more than running it in a row.
    pub observable: bool,
    /// Whether it branches backwards, so that it may never end.
    pub loops: bool,
    /// The features that its instructions need.
    pub needs: Features,
}

impl<'a> Subject<'a> {
    /// The site, for the features given.
    pub fn site(&self, features: Features) -> Site<'a> {
        Site { form: self.form, operands: self.operands, features }
    }

    /// The registers that the operands or the proof name; at least one besides r10.
    pub fn named(&self) -> RegSet {
        let mut named = self.form.layout.registers(&self.operands);
        for insn in &self.proof {
            named = named.union(insn.reads()).union(insn.writes());
        }
        if named.minus(RegSet::from(Reg::R10)).is_empty() {
            named.insert(Reg::R0);
        }
        named
    }

    /// Whether the proof stores to memory.
    pub fn stores(&self) -> bool {
        self.proof.iter().any(|insn| matches!(insn, Insn::Store { .. } | Insn::Atomic { .. }))
    }

    /// The registers that the proof writes.
    pub fn proof_writes(&self) -> RegSet {
        self.proof.iter().fold(RegSet::EMPTY, |set, insn| set.union(insn.writes()))
    }

    /// The operands that `reg` is, as `dst` or `a=b`, or a word for a register that no operand names.
    pub fn role_name(&self, reg: Reg) -> String {
        let names: Vec<&str> = self.operand_fields(reg).map(|field| &*field.name).collect();
        if names.is_empty() { "unnamed register".to_owned() } else { names.join("=") }
    }

    /// Whether an operand in the role of a destination names `reg`.
    pub fn is_destination(&self, reg: Reg) -> bool {
        self.operand_fields(reg).any(|field| field.role() == Some(Role::Destination))
    }

    fn operand_fields(&self, reg: Reg) -> impl Iterator<Item = &'a kop_ops::Field> {
        let values = self.operands;
        self.form.layout.fields().iter().enumerate().filter_map(move |(i, field)| {
            (field.is_register() && values.values()[i] == reg.index() as i64).then_some(field)
        })
    }
}

/// The outcome of a preparation.
#[derive(Debug, Default)]
pub struct Prepared<'a> {
    /// The payload, when the proof accepts it; codes that must not run are left out.
    pub subject: Option<Subject<'a>>,
    /// What is wrong already.
    pub findings: Vec<Finding>,
}

/// Calls every callback for a payload and compares what they say.
pub fn prepare<'a>(kop: &'a dyn Kop, form: &'a Form, payload: u64, scope: &Scope) -> Prepared<'a> {
    let mut prepared = Prepared::default();
    let proof = kop.instantiate(form, payload);
    let mut emits = Vec::new();
    for &arch in &scope.archs {
        for features in scope.feature_sets(kop, arch) {
            let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: ADDRESSES[0] };
            emits.push((request, kop.emit(form, &request)));
        }
    }
    let static_finding = |request: &EmitRequest, kind, place: &str, message: String| Finding {
        kind,
        engine: "-".to_owned(),
        arch: Some(request.arch),
        features: request.features,
        payload,
        blame: Blame::Emit,
        reason: "the callbacks tell, nothing was run".to_owned(),
        message,
        difference: None,
        place: place.to_owned(),
        run: None,
        sides: Vec::new(),
    };
    // What layout and rules declare tells which of two callbacks that disagree is wrong.
    let declared = Site::decode(form, payload, Features::NONE).and_then(|site| kop.admits(&site)).is_ok();
    let (validity_blame, validity_reason) = if proof.is_ok() == declared {
        (Blame::Emit, "layout and rules agree with the proof")
    } else {
        (Blame::Proof, "layout and rules agree with the emit")
    };
    let validity_finding = |finding: Finding| Finding {
        blame: validity_blame.clone(),
        reason: validity_reason.to_owned(),
        ..finding
    };
    let mut sound = Vec::new();
    let mut absent = Vec::new();
    for (request, emitted) in emits {
        match (&proof, emitted) {
            (_, Err(Reject::NoEmit { .. })) => absent.push((request.arch, request.features)),
            (Err(_), Err(_)) => (),
            (Ok(_), Err(reject)) => prepared.findings.push(validity_finding(static_finding(
                &request,
                Kind::Validity,
                "emit rejects",
                format!("the proof accepts the payload, the {} emit rejects it: {reject}", request.arch),
            ))),
            (Err(reject), Ok(_)) => prepared.findings.push(validity_finding(static_finding(
                &request,
                Kind::Validity,
                "proof rejects",
                format!("the {} emit accepts the payload, the proof rejects it: {reject}", request.arch),
            ))),
            (Ok(_), Ok(emission)) => {
                let faults = encoding_faults(kop, form, &request, &emission);
                for (place, message) in faults {
                    prepared.findings.push(static_finding(&request, Kind::Encoding, place, message));
                }
                sound.push((request, emission));
            }
        }
    }
    let Ok(proof) = proof else { return prepared };
    let limits = kop.limits(form);
    if let Err(error) = shape::check(&proof, usize::from(limits.max_insn_cnt)) {
        let mut finding = Finding {
            kind: Kind::Shape,
            blame: Blame::Proof,
            reason: "the kernel would refuse the sequence before it is verified".to_owned(),
            arch: None,
            ..static_finding(&EMPTY_REQUEST, Kind::Shape, "shape", error.to_string())
        };
        finding.features = Features::NONE;
        prepared.findings.push(finding);
        return prepared;
    }
    let operands = form.layout.decode(payload).unwrap_or_default();
    let mut subject = Subject {
        kop,
        form,
        payload,
        operands,
        dead: RegSet::EMPTY,
        memory: memory_uses(&proof),
        proof,
        variants: Vec::new(),
        absent,
    };
    subject.dead = kop.contract(&subject.site(Features::NONE)).dead;
    let mut refused: Vec<(Arch, Vec<u8>)> = Vec::new();
    for (request, emission) in sound {
        let is_own = |arch: Arch, bytes: &[u8]| arch == request.arch && bytes == emission.bytes;
        let known = subject.variants.iter().find(|own| is_own(own.code.arch, &own.code.bytes));
        if refused.iter().any(|(arch, bytes)| is_own(*arch, bytes)) {
            continue;
        }
        let inspected = match known {
            Some(known) => Ok(known.needs),
            None => inspect(request.arch, &emission.bytes).map(|profile| {
                let contract = kop.contract(&subject.site(request.features));
                let needs = profile.features;
                subject.variants.push(variant(&request, emission.clone(), profile, &contract));
                needs
            }),
        };
        match inspected {
            Ok(needs) => {
                if let Some((place, message)) = undeclared_features(kop, &request, needs) {
                    prepared.findings.push(static_finding(&request, Kind::Frame, place, message));
                }
            }
            Err(breach) => {
                let message = breach.to_string();
                prepared.findings.push(static_finding(&request, Kind::Frame, "inspection", message));
                refused.push((request.arch, emission.bytes));
            }
        }
    }
    prepared.subject = Some(subject);
    prepared
}

const ADDRESSES: [u64; 3] = [0xffff_ffff_c000_1000, 0xffff_ffff_c000_1003, 0x4000_0000];

const EMPTY_REQUEST: EmitRequest =
    EmitRequest { arch: Arch::X86_64, features: Features::NONE, payload: 0, pass: Pass::Size, address: 0 };

/// What calling the emit again tells: sizes, limits, and whether the bytes depend on the address or on the call.
fn encoding_faults(
    kop: &dyn Kop,
    form: &Form,
    request: &EmitRequest,
    first: &Emission,
) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let length = first.bytes.len();
    let limit = usize::from(kop.limits(form).max_emit_bytes);
    if first.size != length {
        faults.push(("says", format!("it says {} bytes and writes {length}", first.size)));
    }
    if length > limit || first.size > limit {
        faults.push((
            "limit",
            format!("{} bytes are over the declared limit of {limit}", length.max(first.size)),
        ));
    }
    if length == 0 {
        faults.push(("empty", "it emits nothing".to_owned()));
    }
    if request.arch == Arch::Aarch64 && !length.is_multiple_of(4) {
        faults.push(("words", format!("{length} bytes are no whole number of instructions")));
    }
    let mut again =
        |pass, address, place, what: &str| match kop.emit(form, &EmitRequest { pass, address, ..*request }) {
            Err(reject) => faults.push((place, format!("{what} is rejected: {reject}"))),
            Ok(next) if pass == Pass::Size && next.size != length => {
                faults.push((place, format!("{what} says {} bytes, writing gives {length}", next.size)));
            }
            Ok(next) if pass == Pass::Size && !next.bytes.is_empty() => {
                faults.push((place, format!("{what} writes {} bytes", next.bytes.len())));
            }
            Ok(next) if pass == Pass::Write && next.bytes != first.bytes => {
                let (old, new) = (hex(&first.bytes), hex(&next.bytes));
                faults.push((place, format!("{what} gives other bytes: {new} after {old}")));
            }
            Ok(_) => (),
        };
    again(Pass::Size, ADDRESSES[0], "sizing", "sizing");
    again(Pass::Write, ADDRESSES[0], "second call", "a second call");
    again(Pass::Write, ADDRESSES[1], "address", "a call for another address");
    again(Pass::Write, ADDRESSES[2], "address", "a call for another address");
    faults
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn undeclared_features(
    kop: &dyn Kop,
    request: &EmitRequest,
    needs: Features,
) -> Option<(&'static str, String)> {
    let beyond = needs.minus(request.features);
    if beyond.is_empty() {
        return None;
    }
    let declared = kop.features(request.arch);
    let what =
        if declared.contains(beyond) { "the CPU is said to lack" } else { "the operation does not declare" };
    Some(("features", format!("the code needs {beyond}, which {what}")))
}

fn variant(request: &EmitRequest, emission: Emission, profile: Profile, contract: &Contract) -> Variant {
    Variant {
        features: request.features,
        loops: profile.backward_branch,
        needs: profile.features,
        observable: profile.simd || profile.reads_memory || profile.writes_memory,
        code: NativeCode {
            arch: request.arch,
            bytes: emission.bytes,
            features: profile.features,
            other_features: profile.other_features,
            vex_vector: profile.vex_vector,
            vectors: contract.vectors,
        },
    }
}

/// The accesses of a proof whose base register still holds what it held at the start.
pub fn memory_uses(proof: &[Insn]) -> Vec<MemoryUse> {
    let mut written = RegSet::EMPTY;
    let mut uses = Vec::new();
    for insn in proof {
        let found = match *insn {
            Insn::Load { size, base, off, .. } => Some((Access::Read, base, off, size)),
            Insn::Store { size, base, off, .. } => Some((Access::Write, base, off, size)),
            Insn::Atomic { size, base, off, .. } => Some((Access::Write, base, off, size)),
            _ => None,
        };
        if let Some((access, base, off, size)) = found.filter(|(_, base, ..)| !written.has(*base)) {
            uses.push(MemoryUse { access, base, offset: i32::from(off), size: size.bytes() as u32 });
        }
        written = written.union(insn.writes());
    }
    uses
}

/// Bits of a valid payload that both forms ignore: flipping them changes nothing.
pub fn ignored_bits(kop: &dyn Kop, form: &Form, payload: u64, scope: &Scope) -> u64 {
    let answers = |payload| {
        let emits: Vec<_> = scope
            .archs
            .iter()
            .flat_map(|&arch| scope.feature_sets(kop, arch).into_iter().map(move |features| (arch, features)))
            .map(|(arch, features)| {
                let request =
                    EmitRequest { arch, features, payload, pass: Pass::Write, address: ADDRESSES[0] };
                kop.emit(form, &request).map(|emission| emission.bytes).ok()
            })
            .collect();
        (kop.instantiate(form, payload).ok(), emits)
    };
    let original = answers(payload);
    if original.0.is_none() {
        return 0;
    }
    (0..PAYLOAD_BITS).map(|bit| 1 << bit).filter(|bit| answers(payload ^ bit) == original).sum()
}

/// A difference between two texts.
pub fn difference(
    place: impl Into<String>,
    expected: impl Into<String>,
    actual: impl Into<String>,
) -> Difference {
    Difference { r#where: place.into(), expected: expected.into(), actual: actual.into() }
}
