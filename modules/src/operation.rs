// SPDX-License-Identifier: GPL-2.0-or-later
//! An operation of a module as an `impl Kop`: answers come from its callbacks, once for each payload.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kop_ops::ebpf::{Insn, decode_program};
use kop_ops::{
    Arch, Callback, CallbackFault, CallbackFaultKind, Contract, Emission, EmitRequest, Fault, Features, Form,
    Kop, Limits, Pass, Reject, Site, State,
};

use crate::callbacks::{Answer, Asked, Callbacks, NO_EMIT, Reply};
use crate::contract::Condition;
use crate::error::ModuleError;
use crate::learn::{Learned, LearnedForm, learn};
use crate::module::{Group, Options, Timings};

/// How many answers are remembered; all are forgotten when there are more.
const REMEMBERED: usize = 1 << 14;

/// How many payloads of each kind are pointed out to a check.
const MOST_NOTED: usize = 24;

/// What every member answered to a payload, on a CPU with some features.
type Remembered = HashMap<(u64, Features), Arc<[Answer]>>;

/// An operation that kernel modules register. It is made by [`crate::load`].
#[derive(Debug)]
pub struct ModuleKop {
    name: String,
    summary: String,
    source: String,
    sources: Vec<PathBuf>,
    members: Vec<Arc<dyn Callbacks>>,
    forms: Vec<Form>,
    /// What became known of its payloads; its forms are those of `forms`.
    learned: Learned,
    warnings: Vec<String>,
    conditions: Vec<Condition>,
    declared: Vec<String>,
    arguments: Vec<String>,
    timings: Timings,
    answers: Mutex<Remembered>,
    /// What was answered to payloads that are noted, before a callback fails so often that it is called no more.
    noted: Remembered,
}

impl ModuleKop {
    pub(crate) fn new(
        group: Group,
        options: &Options,
        conditions: &[Condition],
        compile: Duration,
    ) -> Result<Self, ModuleError> {
        let start = Instant::now();
        let callbacks: Vec<&dyn Callbacks> =
            group.members.iter().map(|member| &**member as &dyn Callbacks).collect();
        let learned = learn(&callbacks, &options.payloads).map_err(|error| ModuleError::Payloads {
            path: group.sources[0].clone(),
            reason: error.to_string(),
        })?;
        group.members.iter().for_each(|member| member.forgive());
        let forms: Vec<Form> = learned.forms.iter().map(|learned| learned.form.clone()).collect();
        let conditions: Vec<Condition> =
            conditions.iter().filter(|condition| condition.fits(&group.name, &forms)).cloned().collect();
        let list = |paths: &[PathBuf]| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        };
        let mut kop = Self {
            summary: format!("registered by {}", list(&group.sources)),
            source: list(&group.sources),
            declared: conditions.iter().map(|condition| condition.text().to_owned()).collect(),
            arguments: arguments(&group.sources, options, &conditions),
            name: group.name,
            sources: group.sources,
            members: group.members.into_iter().map(|member| member as Arc<dyn Callbacks>).collect(),
            forms,
            learned,
            warnings: group.warnings,
            conditions,
            timings: Timings { compile, learn: start.elapsed() },
            answers: Mutex::default(),
            noted: Remembered::default(),
        };
        kop.note();
        Ok(kop)
    }

    /// Asks about some of the payloads that failed while they were looked for, with everything that can be told.
    fn note(&mut self) {
        let failed: Vec<u64> = self.learned.failed.iter().copied().take(MOST_NOTED).collect();
        for features in [Features::NONE, self.learned.features] {
            let answers = self.ask(features, &failed);
            self.noted.extend(failed.iter().map(|payload| (*payload, features)).zip(answers));
        }
    }

    /// The name under which it is registered.
    pub fn registered_name(&self) -> &str {
        &self.name
    }

    /// The files that register it.
    pub fn sources(&self) -> &[PathBuf] {
        &self.sources
    }

    /// How long it took to get here.
    pub const fn timings(&self) -> Timings {
        self.timings
    }

    /// What the compiler warned of in its files, as it said it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What became known of its payloads, for people.
    pub const fn learned(&self) -> &Learned {
        &self.learned
    }

    /// The callbacks of each file, as it was compiled for one architecture, that registers it.
    pub fn callbacks(&self) -> impl Iterator<Item = &dyn Callbacks> {
        self.members.iter().map(|member| &**member)
    }

    /// The callbacks of its builds, to have others in their place that answer the same. What the present ones answered is
    /// forgotten: where one crashed, the other is to crash in its own way.
    pub(crate) fn members_mut(&mut self) -> &mut [Arc<dyn Callbacks>] {
        self.noted.clear();
        self.remembered().clear();
        &mut self.members
    }

    /// Whether `condition` is part of its contract.
    pub(crate) fn is_bound_by(&self, condition: &Condition) -> bool {
        self.conditions.contains(condition)
    }

    /// What became known of `form`, whose first callback's proof is the operation's.
    fn part(&self, form: &Form) -> &LearnedForm {
        let index = self.forms.iter().position(|own| own.name == form.name);
        &self.learned.forms[index.expect("a form is one of its own operation")]
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The features of a set that a callback looks at: the others change no answer.
    fn relevant(&self, features: Features) -> Features {
        features.iter().filter(|feature| self.learned.features.has(*feature)).collect()
    }

    /// What all members answer to a payload, on a CPU with `features`.
    fn answers(&self, payload: u64, features: Features) -> Arc<[Answer]> {
        let features = self.relevant(features);
        if let Some(noted) = self.noted.get(&(payload, features)) {
            return Arc::clone(noted);
        }
        let known = self.remembered().get(&(payload, features)).cloned();
        known.unwrap_or_else(|| self.ask(features, &[payload]).remove(0))
    }

    /// Asks all members about payloads at once, and remembers what they answer.
    fn ask(&self, features: Features, payloads: &[u64]) -> Vec<Arc<[Answer]>> {
        let mut of_members: Vec<_> = self
            .members
            .iter()
            .map(|member| member.ask(Asked::Everything, features, payloads).into_iter())
            .collect();
        let mut next =
            || of_members.iter_mut().map(|answers| answers.next().expect("one for each")).collect();
        let answers: Vec<Arc<[Answer]>> = payloads.iter().map(|_| next()).collect();
        let mut remembered = self.remembered();
        if remembered.len() + answers.len() > REMEMBERED {
            remembered.clear();
        }
        let keys = payloads.iter().map(|payload| (*payload, features));
        remembered.extend(keys.zip(answers.iter().cloned()));
        answers
    }

    /// The member whose emit for `arch` a form has.
    fn member(&self, part: &LearnedForm, arch: Arch) -> Option<usize> {
        part.callbacks.iter().copied().find(|&member| self.members[member].descriptor().archs.contains(&arch))
    }

    fn proof_of(&self, member: usize, payload: u64) -> Result<Vec<Insn>, Reject> {
        let answers = self.answers(payload, Features::NONE);
        let proof = accepted(&answers[member].proof, Callback::Proof)?;
        decode_program(proof)
            .map_err(|error| Reject::Operands(Cow::Owned(format!("the proof is no eBPF: {error}"))))
    }

    fn file(&self, member: usize) -> String {
        self.members[member].descriptor().source.display().to_string()
    }

    /// Where the proof is no sequence of instructions.
    fn proof_faults(&self, part: &LearnedForm, answers: &[Answer]) -> Vec<CallbackFault> {
        let fault = |kind, place: &str, message| CallbackFault {
            callback: Callback::Proof,
            kind,
            place: place.to_owned(),
            message,
        };
        let mut faults = Vec::new();
        for &member in &part.callbacks {
            let Reply::Accepted(proof) = &answers[member].proof else { continue };
            if let Err(error) = decode_program(proof) {
                let message =
                    format!("instantiate_insn of {} wrote what is no eBPF: {error}", self.file(member));
                faults.push(fault(CallbackFaultKind::Shape, "undecodable proof", message));
            }
        }
        faults
    }
}

/// The arguments of the command line that find the operation again.
fn arguments(sources: &[PathBuf], options: &Options, conditions: &[Condition]) -> Vec<String> {
    let path = |path: &PathBuf| path.display().to_string();
    let mut arguments = Vec::new();
    let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    sources.iter().for_each(|source| add("--module", path(source)));
    options.includes.iter().for_each(|folder| add("--include", path(folder)));
    options.cflags.iter().for_each(|flag| add("--cflag", flag.clone()));
    conditions.iter().for_each(|condition| add("--contract", condition.text().to_owned()));
    options.payloads.iter().for_each(|payload| add("--payload", format!("{payload:#x}")));
    arguments
}

/// The name of an errno that a refusal returns, where it is a usual one.
fn errno(returned: i32) -> String {
    const NAMES: [(i32, &str); 8] = [
        (-1, "EPERM"),
        (-2, "ENOENT"),
        (-7, "E2BIG"),
        (-12, "ENOMEM"),
        (-22, "EINVAL"),
        (-28, "ENOSPC"),
        (-34, "ERANGE"),
        (-95, "EOPNOTSUPP"),
    ];
    match NAMES.iter().find(|(number, _)| *number == returned) {
        Some((_, name)) => format!("{returned} (-{name})"),
        None => returned.to_string(),
    }
}

fn refusal(callback: Callback, returned: i32) -> Reject {
    Reject::Operands(Cow::Owned(format!("{callback} returned {}", errno(returned))))
}

fn failure(callback: Callback) -> Reject {
    Reject::Operands(Cow::Owned(format!("{callback} failed")))
}

fn accepted<T>(reply: &Reply<T>, callback: Callback) -> Result<&T, Reject> {
    match reply {
        Reply::Accepted(value) => Ok(value),
        Reply::Rejected(returned) => Err(refusal(callback, *returned)),
        Reply::Failed => Err(failure(callback)),
    }
}

impl Kop for ModuleKop {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> &str {
        &self.summary
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn forms(&self) -> &[Form] {
        &self.forms
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        self.proof(site).map(drop)
    }

    fn admitted(&self, form: &Form, payloads: &[u64]) -> Vec<bool> {
        let first = &self.members[self.part(form).callbacks[0]];
        let decodes = payloads.iter().map(|payload| form.layout.decode(*payload).is_ok());
        let answers = first.ask(Asked::Acceptance, Features::NONE, payloads);
        decodes.zip(answers).map(|(decodes, answer)| decodes && answer.proof.accepted().is_some()).collect()
    }

    fn model(&self, _site: &Site, _state: &mut State) -> Option<Result<(), Fault>> {
        None
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        self.instantiate(site.form, site.form.layout.pack(&site.operands))
    }

    fn contract(&self, site: &Site) -> Contract {
        let layout = &site.form.layout;
        let payload = layout.pack(&site.operands);
        let declared = self.conditions.iter().map(|condition| condition.dead(layout, payload));
        Contract::with_dead(declared.fold(layout.temporaries(&site.operands), |all, dead| all.union(dead)))
    }

    fn archs(&self, form: &Form) -> &[Arch] {
        &self.part(form).archs
    }

    fn callback_faults(&self, form: &Form, payload: u64) -> Vec<CallbackFault> {
        let part = self.part(form);
        let mut faults: Vec<CallbackFault> = Vec::new();
        for features in [Features::NONE, self.learned.features] {
            let answers = self.answers(payload, features);
            let own = part.callbacks.iter().flat_map(|member| answers[*member].faults.iter().cloned());
            for fault in own.chain(self.proof_faults(part, &answers)) {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
        faults
    }

    fn expect(&self, payloads: &[u64], features: &[Features]) {
        // Faults are looked for on the least and on the best CPU.
        let mut sets: Vec<Features> = features.iter().map(|set| self.relevant(*set)).collect();
        sets.extend([Features::NONE, self.learned.features]);
        sets.sort_unstable();
        sets.dedup();
        for features in sets {
            let unknown: Vec<u64> = {
                let remembered = self.remembered();
                let is_new = |payload: &&u64| !remembered.contains_key(&(**payload, features));
                payloads.iter().filter(is_new).copied().collect()
            };
            for some in unknown.chunks(REMEMBERED / 2) {
                self.ask(features, some);
            }
        }
    }

    fn noted_payloads(&self, form: &Form) -> Vec<u64> {
        let first = &self.forms[0].name;
        let holds = |form: &Form, payload| form.layout.decode(payload).is_ok();
        let belongs = |payload: &u64| {
            let homeless = || form.name == *first && !self.forms.iter().any(|form| holds(form, *payload));
            holds(form, *payload) || homeless()
        };
        let noted =
            |payloads: &[u64]| payloads.iter().copied().filter(belongs).take(MOST_NOTED).collect::<Vec<_>>();
        [noted(&self.learned.failed), noted(&self.learned.disputed)].concat()
    }

    fn arguments(&self) -> &[String] {
        &self.arguments
    }

    fn declared_contract(&self) -> &[String] {
        &self.declared
    }

    fn remarks(&self, form: &Form) -> Vec<String> {
        self.learned.remarks.iter().chain(&self.part(form).remarks).cloned().collect()
    }

    fn features(&self, arch: Arch) -> Features {
        self.learned.features.iter().filter(|feature| feature.arch() == arch).collect()
    }

    fn limits(&self, form: &Form) -> Limits {
        let descriptors = self.part(form).callbacks.iter().map(|member| self.members[*member].descriptor());
        descriptors.fold(Limits { max_insn_cnt: 0, max_emit_bytes: 0 }, |most, own| Limits {
            max_insn_cnt: most.max_insn_cnt.max(own.max_insn_cnt),
            max_emit_bytes: most.max_emit_bytes.max(own.max_emit_bytes),
        })
    }

    fn instantiate(&self, form: &Form, payload: u64) -> Result<Vec<Insn>, Reject> {
        self.proof_of(self.part(form).callbacks[0], payload)
    }

    fn own_proof(&self, arch: Arch, _form: &Form, payload: u64) -> Option<Result<Vec<Insn>, Reject>> {
        if self.members.len() < 2 {
            return None;
        }
        // Forms of the other architecture count as well: what one file accepts, the other must accept in some form.
        let member = self.members.iter().position(|own| own.descriptor().archs.contains(&arch))?;
        Some(self.proof_of(member, payload))
    }

    fn emit(&self, form: &Form, request: &EmitRequest) -> Result<Emission, Reject> {
        let (arch, features) = (request.arch, request.features);
        let part = self.part(form);
        let Some(member) = self.member(part, arch) else { return Err(Reject::NoEmit { arch, features }) };
        let answers = self.answers(request.payload, features);
        let answer = &answers[member];
        let reply = answer.emit(arch).expect("the member has this emit");
        if *reply == Reply::Rejected(NO_EMIT) && !answer.looked_at.minus(features).is_empty() {
            return Err(Reject::NoEmit { arch, features });
        }
        let emitted = accepted(reply, Callback::Emit(arch))?;
        match request.pass {
            Pass::Size => Ok(Emission { size: emitted.sized, bytes: Vec::new() }),
            Pass::Write => Ok(Emission { size: emitted.size, bytes: emitted.bytes.clone() }),
        }
    }
}
