// SPDX-License-Identifier: GPL-2.0-or-later
//! Everything that can be said of a payload before its code runs: what the callbacks accept, how they answer, what they do
//! besides, the shape of the proof sequence, and what native code may not contain.

use kop_emulators::NativeCode;
use kop_emulators::inspect::{Profile, inspect};
use kop_ops::ebpf::{Insn, RegSet, shape};
use kop_ops::{
    Arch, Callback, CallbackFault, CallbackFaultKind, Contract, Emission, EmitRequest, Features, Form, Kop,
    Pass, Reject, Site,
};
use kop_reports::{Blame, Kind};

use crate::finding::Finding;
use crate::generate::constants;
use crate::pointers::pointers;
use crate::subject::{Scope, Subject, Variant};

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
    let calls = Calls::make(kop, form, payload, scope);
    let mut findings = calls.fault_findings();
    findings.extend(calls.validity_findings());
    findings.extend(calls.encoding_findings());
    let Ok(proof) = &calls.proof else { return Prepared { subject: None, findings } };
    if let Some(finding) = calls.shape_finding(proof) {
        findings.push(finding);
        return Prepared { subject: None, findings };
    }
    let subject = calls.subject(proof, &mut findings);
    Prepared { subject: Some(subject), findings }
}

/// The first thing that is wrong with a payload that the proof and the emit for `arch` accept, and the CPU that it is wrong for: all that
/// [`prepare`] finds in callbacks and code, for one architecture and without describing it.
///
/// `emissions` are what the emit wrote for each set of CPU features.
#[cfg(feature = "prover")]
pub fn fault(
    kop: &dyn Kop,
    form: &Form,
    (arch, payload): (Arch, u64),
    proof: &[Insn],
    emissions: &[(Features, Emission)],
) -> Option<(Features, String)> {
    let none = |message: String| (Features::NONE, message);
    let mut faults = kop.callback_faults(form, payload).into_iter();
    if let Some(fault) = faults.find(|fault| fault.callback.arch().is_none_or(|own| own == arch)) {
        return Some(none(fault.message));
    }
    if let Some(message) = proof_fault(kop, form, payload, proof) {
        return Some(none(message));
    }
    let mut looked_at: Option<(&Emission, Features)> = None;
    emissions.iter().find_map(|(features, emission)| {
        let features = *features;
        let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: ADDRESSES[0] };
        let needs = match looked_at {
            Some((known, needs)) if known == emission => needs,
            _ => match inspect(arch, &emission.bytes) {
                Ok(profile) => profile.features,
                Err(breach) => return Some((features, breach.to_string())),
            },
        };
        looked_at = Some((emission, needs));
        let fault = undeclared_features(kop, &request, needs)
            .or_else(|| encoding_faults(kop, form, &request, emission).into_iter().next());
        fault.map(|(_, message)| (features, message))
    })
}

/// What is wrong with a proof sequence by itself.
#[cfg(feature = "prover")]
pub fn proof_fault(kop: &dyn Kop, form: &Form, payload: u64, proof: &[Insn]) -> Option<String> {
    match shape::check(proof, usize::from(kop.limits(form).max_insn_cnt)) {
        Err(error) => Some(error.to_string()),
        Ok(()) => other_proof(kop, form, payload, proof),
    }
}

/// Where the files of one operation have different proofs.
#[cfg(feature = "prover")]
fn other_proof(kop: &dyn Kop, form: &Form, payload: u64, proof: &[Insn]) -> Option<String> {
    Arch::ALL.into_iter().find_map(|arch| match kop.own_proof(arch, form, payload)? {
        Ok(own) if own == proof => None,
        Ok(_) => Some(format!("the file of the {arch} emit has another proof sequence for this payload")),
        Err(reject) => {
            Some(format!("the proof in the file of the {arch} emit refuses the payload: {reject}"))
        }
    })
}

/// Where code is said to stand: in a module's memory, beside it, and far away.
pub const ADDRESSES: [u64; 3] = [0xffff_ffff_c000_1000, 0xffff_ffff_c000_1003, 0x4000_0000];

/// What the callbacks answered to one payload.
struct Calls<'a> {
    kop: &'a dyn Kop,
    form: &'a Form,
    payload: u64,
    archs: Vec<Arch>,
    proof: Result<Vec<Insn>, Reject>,
    emits: Vec<(EmitRequest, Result<Emission, Reject>)>,
    faults: Vec<CallbackFault>,
}

impl<'a> Calls<'a> {
    fn make(kop: &'a dyn Kop, form: &'a Form, payload: u64, scope: &Scope) -> Self {
        let proof = kop.instantiate(form, payload);
        let archs = scope.archs_of(kop, form);
        let mut emits = Vec::new();
        for &arch in &archs {
            for features in scope.feature_sets(kop, arch) {
                let request =
                    EmitRequest { arch, features, payload, pass: Pass::Write, address: ADDRESSES[0] };
                emits.push((request, kop.emit(form, &request)));
            }
        }
        let mut faults = kop.callback_faults(form, payload);
        faults.retain(|fault| fault.callback.arch().is_none_or(|arch| archs.contains(&arch)));
        Self { kop, form, payload, archs, proof, emits, faults }
    }

    /// Whether something is wrong with the callback itself, so that its answer says nothing more.
    fn is_faulty(&self, callback: Callback) -> bool {
        self.faults.iter().any(|fault| fault.callback == callback)
    }

    /// A finding about the emit that `request` called.
    fn finding(&self, request: &EmitRequest, kind: Kind, place: &str, message: String) -> Finding {
        Finding {
            kind,
            engine: "-".to_owned(),
            arch: Some(request.arch),
            features: request.features,
            payload: self.payload,
            blame: Blame::Emit,
            reason: "the callbacks tell, nothing was run".to_owned(),
            message,
            difference: None,
            place: place.to_owned(),
            run: None,
            sides: Vec::new(),
        }
    }

    /// A finding about the proof, which belongs to every row.
    fn proof_finding(&self, kind: Kind, place: &str, message: String, reason: &str) -> Finding {
        Finding {
            arch: None,
            features: Features::NONE,
            blame: Blame::Proof,
            reason: reason.to_owned(),
            ..self.finding(&EMPTY_REQUEST, kind, place, message)
        }
    }

    /// What the callbacks did besides answering.
    fn fault_findings(&self) -> Vec<Finding> {
        const REASON: &str = "what it does besides answering is its own doing";
        self.faults
            .iter()
            .map(|fault| {
                let kind = match fault.kind {
                    CallbackFaultKind::Callback => Kind::Callback,
                    CallbackFaultKind::Encoding => Kind::Encoding,
                    CallbackFaultKind::Shape => Kind::Shape,
                };
                let message = fault.message.clone();
                let Some(arch) = fault.callback.arch() else {
                    return self.proof_finding(kind, &fault.place, message, REASON);
                };
                // The fullest set of features: its code is what a report can show.
                let own = self.emits.iter().find(|(request, _)| request.arch == arch);
                let features = own.map_or(Features::NONE, |(request, _)| request.features);
                let request = EmitRequest { arch, features, ..EMPTY_REQUEST };
                Finding { reason: REASON.to_owned(), ..self.finding(&request, kind, &fault.place, message) }
            })
            .collect()
    }

    /// Where one callback accepts what another rejects.
    fn validity_findings(&self) -> Vec<Finding> {
        let mut findings = self.file_findings();
        if self.is_faulty(Callback::Proof) {
            return findings;
        }
        // What layout and rules declare tells which of two callbacks that disagree is wrong.
        let declared = Site::decode(self.form, self.payload, Features::NONE)
            .and_then(|site| self.kop.admits(&site))
            .is_ok();
        let (blame, reason) = if self.proof.is_ok() == declared {
            (Blame::Emit, "layout and rules agree with the proof")
        } else {
            (Blame::Proof, "layout and rules agree with the emit")
        };
        for (request, emitted) in &self.emits {
            let arch = request.arch;
            let (place, message) = match (&self.proof, emitted) {
                _ if self.is_faulty(Callback::Emit(arch)) => continue,
                (_, Err(Reject::NoEmit { .. })) | (Err(_), Err(_)) | (Ok(_), Ok(_)) => continue,
                (Ok(_), Err(reject)) => (
                    "emit rejects",
                    format!("the proof accepts the payload, the {arch} emit rejects it: {reject}"),
                ),
                (Err(reject), Ok(_)) => (
                    "proof rejects",
                    format!("the {arch} emit accepts the payload, the proof rejects it: {reject}"),
                ),
            };
            findings.push(Finding {
                blame: blame.clone(),
                reason: reason.to_owned(),
                ..self.finding(request, Kind::Validity, place, message)
            });
        }
        findings
    }

    /// Where files of one operation, one for each architecture, do not go together.
    fn file_findings(&self) -> Vec<Finding> {
        const REASON: &str = "the files of one operation must accept the same payloads";
        if self.is_faulty(Callback::Proof) {
            return Vec::new();
        }
        let proofs: Vec<(Arch, Result<Vec<Insn>, Reject>)> = Arch::ALL
            .into_iter()
            .filter_map(|arch| Some((arch, self.kop.own_proof(arch, self.form, self.payload)?)))
            .collect();
        let accepting = proofs.iter().find(|(_, proof)| proof.is_ok());
        let rejecting = proofs.iter().find_map(|(arch, proof)| Some((*arch, proof.as_ref().err()?)));
        if let (Some((accepts, _)), Some((rejects, reject))) = (accepting, rejecting) {
            let message = format!(
                "the proof in the file of the {accepts} emit accepts the payload, that in the file of the {rejects} \
                 emit rejects it: {reject}"
            );
            return vec![self.proof_finding(Kind::Validity, "proofs of two files", message, REASON)];
        }
        // A row is held to one proof: another one for the same form would go unchecked.
        let other = proofs.into_iter().find(|(arch, proof)| {
            self.archs.contains(arch) && proof.is_ok() && self.proof.is_ok() && *proof != self.proof
        });
        let finding = other.map(|(arch, _)| {
            let message = format!(
                "the file of the {arch} emit has another proof sequence for this payload, which is not compared: \
                 check each file alone"
            );
            self.proof_finding(Kind::Validity, "another proof in another file", message, REASON)
        });
        finding.into_iter().collect()
    }

    /// What calling the emits again tells.
    fn encoding_findings(&self) -> Vec<Finding> {
        let sound = self
            .emits
            .iter()
            .filter(|(request, _)| self.proof.is_ok() && !self.is_faulty(Callback::Emit(request.arch)));
        sound
            .filter_map(|(request, emitted)| Some((request, emitted.as_ref().ok()?)))
            .flat_map(|(request, emission)| {
                encoding_faults(self.kop, self.form, request, emission)
                    .into_iter()
                    .map(|(place, message)| self.finding(request, Kind::Encoding, place, message))
            })
            .collect()
    }

    fn shape_finding(&self, proof: &[Insn]) -> Option<Finding> {
        let limit = usize::from(self.kop.limits(self.form).max_insn_cnt);
        let error = shape::check(proof, limit).err()?;
        let reason = "the kernel would refuse the sequence before it is verified";
        Some(self.proof_finding(Kind::Shape, "shape", error.to_string(), reason))
    }

    /// The payload ready to run, without codes that must not run.
    fn subject(&self, proof: &[Insn], findings: &mut Vec<Finding>) -> Subject<'a> {
        let mut subject = Subject {
            kop: self.kop,
            form: self.form,
            payload: self.payload,
            operands: self.form.layout.decode(self.payload).unwrap_or_default(),
            dead: RegSet::EMPTY,
            memory: pointers(proof),
            constants: constants(proof),
            proof: proof.to_vec(),
            variants: Vec::new(),
            absent: Vec::new(),
        };
        subject.dead = self.kop.contract(&subject.site(Features::NONE)).dead;
        let mut refused: Vec<(Arch, &[u8])> = Vec::new();
        for (request, emitted) in &self.emits {
            let emission = match emitted {
                Ok(emission) => emission,
                Err(Reject::NoEmit { .. }) => {
                    subject.absent.push((request.arch, request.features));
                    continue;
                }
                Err(_) => continue,
            };
            if refused.contains(&(request.arch, &emission.bytes)) {
                continue;
            }
            match self.variant(request, emission, &mut subject) {
                Ok(needs) => {
                    if let Some((place, message)) = undeclared_features(self.kop, request, needs) {
                        findings.push(self.finding(request, Kind::Frame, place, message));
                    }
                }
                Err(message) => {
                    findings.push(self.finding(request, Kind::Frame, "inspection", message));
                    refused.push((request.arch, &emission.bytes));
                }
            }
        }
        subject
    }

    /// Adds native code to the subject unless it has the same already; the features that the code needs, or why it must
    /// not run.
    fn variant(
        &self,
        request: &EmitRequest,
        emission: &Emission,
        subject: &mut Subject,
    ) -> Result<Features, String> {
        let known = subject
            .variants
            .iter()
            .find(|own| own.code.arch == request.arch && own.code.bytes == emission.bytes);
        if let Some(known) = known {
            return Ok(known.needs);
        }
        let profile = inspect(request.arch, &emission.bytes).map_err(|breach| breach.to_string())?;
        let contract = self.kop.contract(&subject.site(request.features));
        let needs = profile.features;
        subject.variants.push(variant(request, emission.clone(), profile, &contract));
        Ok(needs)
    }
}

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
        writes: profile.writes,
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
