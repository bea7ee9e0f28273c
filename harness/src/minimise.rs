// SPDX-License-Identifier: GPL-2.0-or-later
//! Making a finding small: fewest non-default registers, operands and bytes that still show the same kind of divergence.

use std::time::{Duration, Instant};

use kop_ops::ebpf::Reg;
use kop_ops::state::{STACK_SIZE, WINDOW_SIZE};
use kop_ops::{Features, Form, Kop, Operands, Site, State};

use crate::case::rebase;
use crate::finding::Finding;
use crate::rig::Rig;
use crate::subject::{Scope, prepare};

/// The most cases that are tried for one finding.
const ATTEMPTS: usize = 400;

/// A case that shows a divergence.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The payload.
    pub payload: u64,
    /// Registers and memory before.
    pub state: State,
    /// The seed of everything else.
    pub garbage: u64,
    /// The finding, as this case shows it.
    pub finding: Finding,
}

/// A callback that takes longer than this on a payload hangs: no further payloads are tried.
const PATIENCE: Duration = Duration::from_millis(50);

/// Somebody wants to wait no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// The smallest case found that shows what `finding` shows; `None` when not even its own case does, or when what ran does
/// not end. Where nothing ran, the payload is the case.
///
/// Smaller means, in this order: slot 0, no garbage, memory zero, registers at their defaults, operands at the low end.
///
/// # Errors
/// [`Stopped`] when `stop` became true before the end.
pub fn minimise(
    rig: &mut Rig,
    kop: &dyn Kop,
    form: &Form,
    finding: &Finding,
    scope: &Scope,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Shown>, Stopped> {
    let Some((state, garbage)) = finding.run.as_ref() else {
        return Ok(Some(smallest_payload(kop, form, finding, scope)));
    };
    if finding.is_endless() {
        return Ok(None);
    }
    let mut search = Search { rig, kop, form, scope, wanted: finding, left: ATTEMPTS, stop, stopped: false };
    let Some(mut best) = search.attempt(finding.payload, state, *garbage) else {
        return if search.stopped { Err(Stopped) } else { Ok(None) };
    };
    let moved = rebase(&best.state, kop_ops::Slot::default());
    search.keep(&mut best, |shown| shown.state = moved);
    search.keep(&mut best, |shown| shown.garbage = 0);
    search.memory(&mut best);
    search.registers(&mut best);
    search.operands(&mut best);
    search.registers(&mut best);
    if search.stopped { Err(Stopped) } else { Ok(Some(best)) }
}

/// The finding with a payload of the fewest bits that still shows it, as far as callbacks answer quickly.
fn smallest_payload(kop: &dyn Kop, form: &Form, finding: &Finding, scope: &Scope) -> Shown {
    let mut best = finding.clone();
    for bit in (0..u64::BITS).rev().map(|bit| 1u64 << bit) {
        if best.payload & bit == 0 {
            continue;
        }
        let start = Instant::now();
        let shown = prepare(kop, form, best.payload & !bit, scope)
            .findings
            .into_iter()
            .find(|found| found.cause() == finding.cause() && found.features == finding.features);
        if let Some(shown) = shown {
            best = shown;
        }
        if start.elapsed() > PATIENCE {
            break;
        }
    }
    let state = State::zeroed(kop_ops::Slot::default());
    Shown { payload: best.payload, state, garbage: 0, finding: best }
}

struct Search<'r, 'k> {
    rig: &'r mut Rig,
    kop: &'k dyn Kop,
    form: &'k Form,
    scope: &'r Scope,
    wanted: &'r Finding,
    left: usize,
    stop: &'r dyn Fn() -> bool,
    stopped: bool,
}

impl Search<'_, '_> {
    fn attempt(&mut self, payload: u64, state: &State, garbage: u64) -> Option<Shown> {
        self.stopped |= (self.stop)();
        if self.stopped {
            self.left = 0;
        }
        self.left = self.left.checked_sub(1)?;
        let subject = prepare(self.kop, self.form, payload, self.scope).subject?;
        let findings = self.rig.judge(&subject, state, garbage);
        let wanted = self.wanted;
        let finding = findings.into_iter().find(|found| {
            found.kind == wanted.kind
                && found.arch == wanted.arch
                && found.blame == wanted.blame
                && found.features == wanted.features
        })?;
        Some(Shown { payload, state: state.clone(), garbage, finding })
    }

    /// Makes a change if the divergence survives it.
    fn keep(&mut self, best: &mut Shown, change: impl FnOnce(&mut Shown)) -> bool {
        let mut changed = best.clone();
        change(&mut changed);
        if changed.payload == best.payload && changed.state == best.state && changed.garbage == best.garbage {
            return false;
        }
        match self.attempt(changed.payload, &changed.state, changed.garbage) {
            Some(shown) => {
                *best = shown;
                true
            }
            None => false,
        }
    }

    /// Zeroes memory in pieces, from everything down to eight bytes.
    fn memory(&mut self, best: &mut Shown) {
        let mut piece = WINDOW_SIZE.max(STACK_SIZE);
        if self.keep(best, |shown| {
            shown.state.memory.window.fill(0);
            shown.state.memory.stack.fill(0);
        }) {
            return;
        }
        while piece >= 8 && self.left > ATTEMPTS / 2 {
            for start in (0..WINDOW_SIZE).step_by(piece) {
                self.keep(best, |shown| shown.state.memory.window[start..start + piece].fill(0));
                self.keep(best, |shown| shown.state.memory.stack[start..start + piece].fill(0));
            }
            piece /= 4;
        }
    }

    fn registers(&mut self, best: &mut Shown) {
        let defaults = State::zeroed(best.state.memory.slot);
        self.keep(best, |shown| shown.state.registers = defaults.registers);
        for reg in Reg::ALL {
            for simpler in [defaults.get(reg), 1, u64::MAX] {
                if best.state.get(reg) == simpler || self.keep(best, |shown| shown.state.set(reg, simpler)) {
                    break;
                }
            }
            // Fewer ones, from the top.
            for bit in (0..64).rev().map(|bit| 1u64 << bit) {
                let value = best.state.get(reg);
                let is_address = best.state.memory.slot.show(value).starts_with(['w', 's']);
                if value & bit != 0 && !is_address && value.count_ones() > 1 && self.left > ATTEMPTS / 8 {
                    self.keep(best, |shown| shown.state.set(reg, value & !bit));
                }
            }
        }
    }

    fn operands(&mut self, best: &mut Shown) {
        let Ok(mut operands) = self.form.layout.decode(best.payload) else { return };
        for (index, field) in self.form.layout.fields().iter().enumerate() {
            let (min, max) = field.range();
            let lower = (min..=max.min(min + 10)).chain([0]).filter(|&value| value >= min);
            for value in lower.filter(|&value| value.unsigned_abs() < operands.values()[index].unsigned_abs())
            {
                let candidate = self.renamed(&operands, index, value);
                let Some((payload, registers)) = candidate.and_then(|c| self.encode(best, &operands, c))
                else {
                    continue;
                };
                let kept = self.keep(best, |shown| {
                    shown.payload = payload;
                    shown.state.registers = registers;
                });
                if kept {
                    operands = self.form.layout.decode(best.payload).unwrap_or(operands);
                    break;
                }
            }
        }
    }

    /// The operands with field `index` at `value`; a register is renamed wherever it occurs, so that aliases survive.
    fn renamed(&self, operands: &Operands, index: usize, value: i64) -> Option<Operands> {
        let old = operands.values()[index];
        let mut renamed = *operands;
        let fields = self.form.layout.fields();
        if !fields[index].is_register() {
            renamed.values_mut()[index] = value;
            return Some(renamed);
        }
        for (field, slot) in fields.iter().zip(renamed.values_mut()) {
            if field.is_register() && *slot == old {
                *slot = value;
            } else if field.is_register() && *slot == value {
                *slot = old;
            }
        }
        Some(renamed)
    }

    /// The payload, and the registers with the values of the two that were exchanged.
    fn encode(
        &self,
        best: &Shown,
        before: &Operands,
        after: Operands,
    ) -> Option<(u64, kop_ops::state::Registers)> {
        let site = Site { form: self.form, operands: after, features: Features::NONE };
        self.kop.admits(&site).ok()?;
        let payload = self.form.layout.encode(&after).ok()?;
        let mut registers = best.state.registers;
        for ((field, &old), &new) in self.form.layout.fields().iter().zip(before.values()).zip(after.values())
        {
            if field.is_register() && old < 10 && new < 10 {
                registers[new as usize] = best.state.registers[old as usize];
            }
        }
        Some((payload, registers))
    }
}
