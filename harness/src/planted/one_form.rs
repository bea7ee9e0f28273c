// SPDX-License-Identifier: GPL-2.0-or-later
//! A part of an operation: what a test of one form runs on.

use kop_ops::ebpf::Insn;
use kop_ops::{
    Arch, Contract, Emission, EmitRequest, Fault, Features, Form, Kop, Limits, Reject, Site, State,
};

/// An operation with one of its forms only.
pub struct OneForm<'k> {
    kop: &'k dyn Kop,
    forms: Vec<Form>,
}

impl<'k> OneForm<'k> {
    /// The operation with the form called `form`.
    pub fn new(kop: &'k dyn Kop, form: &str) -> Self {
        Self { kop, forms: kop.forms().iter().filter(|own| own.name == form).cloned().collect() }
    }
}

impl Kop for OneForm<'_> {
    fn name(&self) -> &str {
        self.kop.name()
    }
    fn summary(&self) -> &str {
        self.kop.summary()
    }
    fn unseen_purpose(&self) -> Option<&str> {
        self.kop.unseen_purpose()
    }
    fn source(&self) -> &str {
        self.kop.source()
    }
    fn forms(&self) -> &[Form] {
        &self.forms
    }
    fn admits(&self, site: &Site) -> Result<(), Reject> {
        self.kop.admits(site)
    }
    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        self.kop.model(site, state)
    }
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        self.kop.proof(site)
    }
    fn contract(&self, site: &Site) -> Contract {
        self.kop.contract(site)
    }
    fn features(&self, arch: Arch) -> Features {
        self.kop.features(arch)
    }
    fn limits(&self, form: &Form) -> Limits {
        self.kop.limits(form)
    }
    fn interesting_values(&self, form: &Form) -> &[u64] {
        self.kop.interesting_values(form)
    }
    fn instantiate(&self, form: &Form, payload: u64) -> Result<Vec<Insn>, Reject> {
        self.kop.instantiate(form, payload)
    }
    fn emit(&self, form: &Form, request: &EmitRequest) -> Result<Emission, Reject> {
        self.kop.emit(form, request)
    }
}
