// SPDX-License-Identifier: GPL-2.0-or-later
//! That each fault is there: what is planted differs from what is sound, in its form and row alone.

use std::collections::BTreeSet;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::kop::{EmitRequest, Pass};
use kop_ops::state::Slot;
use kop_ops::{Arch, Catalog, Features, Form, Kop, Operands, Site, State};
use kop_reports::Kind;

use super::*;

/// Operands at random; coinciding registers and remarkable immediates are frequent.
fn draw(form: &Form, choices: &mut Seeded) -> Operands {
    let mut values: Vec<i64> = Vec::new();
    for field in form.layout.fields() {
        let (min, max) = field.range();
        let remarkable = [min, max, 0, 1, 8, 32, 64, 127, 128, -128, 16384, -257];
        values.push(match choices.below(3) {
            0 if field.is_register() && !values.is_empty() => *choices.pick(&values),
            0 => *choices.pick(&remarkable),
            _ => min + choices.below(field.count()) as i64,
        });
        let last = values.last_mut().expect("one was pushed");
        *last = (*last).clamp(min, max);
    }
    Operands::new(&values)
}

/// A payload, valid or not.
fn payload(form: &Form, choices: &mut Seeded) -> u64 {
    let valid = form.layout.pack(&draw(form, choices));
    if choices.one_in(8) { valid | 1 << choices.below(52) } else { valid }
}

/// Everything that the callbacks for `arch` say of a payload, each emit called three times in a row.
fn answers(kop: &dyn Kop, form: &Form, payload: u64, arch: Arch) -> String {
    let mut answers = format!("{:?}\n", kop.instantiate(form, payload).map_err(|_| ()));
    for features in kop.features(arch).subsets() {
        let calls = [
            (Pass::Write, 1 << 40),
            (Pass::Size, 1 << 40),
            (Pass::Write, 1 << 40),
            (Pass::Write, (1 << 40) + 1),
            (Pass::Write, 1 << 20),
        ];
        for (pass, address) in calls {
            let request = EmitRequest { arch, features, payload, pass, address };
            answers += &format!("{:?}\n", kop.emit(form, &request).map_err(|_| ()));
        }
    }
    if let Ok(site) = Site::decode(form, payload, Features::all(arch)) {
        answers += &format!("{:?}\n", kop.contract(&site));
        let slot = Slot::default();
        for value in [0, 1, 0xff, 1 << 32, u64::MAX, 1 << 63, 0x8123_4567_89ab_cdef] {
            let mut state = State::zeroed(slot);
            state.memory.window.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8 | 0x80);
            for (i, register) in state.registers.iter_mut().enumerate().take(10) {
                *register = u64::wrapping_mul(value, 2 * i as u64 + 1);
            }
            if let Some(base) = form.layout.index("base").map(|index| site.operands.values()[index] as usize)
            {
                let off = form.layout.index("off").map_or(0, |index| site.operands.values()[index]);
                if base < 10 {
                    state.registers[base] = (slot.window() + 64).wrapping_add_signed(-off);
                }
            }
            answers += &format!("{:?} {:x?}\n", kop.model(&site, &mut state), state.registers);
        }
    }
    answers
}

fn differs(planted: &Planted, form: &str, arch: Arch, attempts: usize) -> bool {
    let sound = Catalog::einsn().get(planted.kop).expect("in the catalog");
    let broken = planted.kop();
    let form = sound.forms().iter().find(|own| own.name == form).expect("a form of the operation");
    let mut choices = Seeded::new(7);
    (0..attempts).any(|_| {
        let payload = payload(form, &mut choices);
        answers(sound, form, payload, arch) != answers(&*broken, form, payload, arch)
    })
}

#[test]
fn the_table_covers_everything() {
    let names: BTreeSet<_> = all().iter().map(|planted| planted.name).collect();
    let engines = engines();
    let total: BTreeSet<_> = names.iter().copied().chain(engines.iter().map(|engine| engine.name)).collect();
    assert_eq!(total.len(), all().len() + engines.len(), "names are unique");
    assert!(total.len() >= 75, "{}", total.len());
    for name in total {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
    }
    let rows: BTreeSet<_> = all().iter().map(|planted| (planted.kop, planted.arch)).collect();
    let kinds: BTreeSet<_> = all().iter().map(|planted| planted.kind).collect();
    for kop in Catalog::einsn().kops() {
        for arch in Arch::ALL {
            assert!(rows.contains(&(kop.name(), arch)), "{} {arch}", kop.name());
        }
    }
    for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Callback) {
        assert!(kinds.contains(&kind), "{kind}");
    }
    assert!(names.iter().all(|name| find(name).is_some_and(|planted| planted.name == *name)));
    assert!(find("sound").is_none());
}

#[test]
fn every_fault_is_there() {
    let silent: Vec<_> = all()
        .iter()
        .filter(|planted| !differs(planted, planted.form, planted.arch, 20_000))
        .map(|planted| planted.name)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn other_forms_and_architectures_are_sound() {
    for planted in all() {
        let catalog = Catalog::einsn();
        let kop = catalog.get(planted.kop).expect("in the catalog");
        for form in kop.forms().iter().filter(|form| form.name != planted.form) {
            for arch in Arch::ALL {
                assert!(!differs(planted, &form.name, arch, 20), "{} {} {arch}", planted.name, form.name);
            }
        }
    }
}
