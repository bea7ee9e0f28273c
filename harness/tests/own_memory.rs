// SPDX-License-Identifier: GPL-2.0-or-later
//! Addresses at which an engine for native code has memory and a proof sequence has none: code that is right there is told to
//! be, and what an engine cannot tell is counted.

use std::collections::BTreeMap;

use kop_emulators::arena::Region;
use kop_emulators::engines::HOST;
use kop_emulators::native::PROBE_CODES;
use kop_harness::ops::ebpf::{Reg, RegSet};
use kop_harness::ops::{Catalog, Slot, State};
use kop_harness::rig::Load;
use kop_harness::subject::{Scope, Subject, prepare};
use kop_harness::{Rig, selection};

/// `dst = be64 at base + off`, the one access of it.
fn load(rig: &mut Rig, base: u64) -> Vec<String> {
    with_subject(|subject| {
        let mut state = State::zeroed(Slot::default());
        state.set(Reg::R3, base);
        let findings = rig.judge(subject, &state, 0x5eed);
        findings.iter().map(|found| format!("{base:#x}: {}: {}", found.engine, found.message)).collect()
    })
}

fn with_subject<T>(with: impl FnOnce(&Subject) -> T) -> T {
    let catalog = Catalog::einsn();
    let kop = catalog.get("swapped_load").expect("it is in the catalog");
    let form = kop.forms().iter().find(|form| form.name == "be64").expect("it has the form");
    let operands = form.layout.parse([("dst", "r0"), ("base", "r3"), ("off", "0")]).expect("operands");
    let payload = form.layout.encode(&operands).expect("parsed operands are valid");
    let subject = prepare(kop, form, payload, &Scope::default()).subject.expect("it is admitted");
    with(&subject)
}

/// The first, a middle and the last address from which eight bytes of each region can be read.
fn addresses() -> Vec<u64> {
    let slot = Slot::default();
    let others = Region::all().filter(|region| {
        let theirs = [Region::Window(slot), Region::Stack(slot)];
        !theirs.contains(region)
    });
    others
        .flat_map(|region| {
            let (start, size) = (region.address(), region.size() as u64);
            [start, start + size / 2 - 16, start + size / 2, start + size / 2 + 16, start + size - 8]
        })
        // Where the code under test itself stands.
        .chain([PROBE_CODES.start])
        .collect()
}

/// Addresses that are not canonical (Intel SDM vol. 1, section 3.3.7.1), those among them whose low bits are the window's.
fn not_canonical() -> Vec<u64> {
    let window = Slot::default().window();
    let mut addresses: Vec<u64> = (47..64).flat_map(|bit| [1 << bit, 1 << bit | window]).collect();
    addresses.extend([
        0x7fff_ffff_ffff_fff8,
        0x0000_8000_0000_0000,
        0xffff_7fff_ffff_fff8,
        0x8000 << 48 | window,
    ]);
    addresses
}

#[test]
fn an_access_to_what_an_engine_has_for_itself_is_no_difference() {
    let mut rig = Rig::new(&selection::available().0).expect("the engines start");
    let found: Vec<String> = addresses().into_iter().flat_map(|base| load(&mut rig, base)).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn an_address_that_is_not_canonical_faults_everywhere() {
    let mut rig = Rig::new(&selection::available().0).expect("the engines start");
    let found: Vec<String> = not_canonical().into_iter().flat_map(|base| load(&mut rig, base)).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn what_an_engine_cannot_tell_is_counted() {
    let mut rig = Rig::new(&selection::available().0).expect("the engines start");
    let slot = Slot::default();
    let outcome = with_subject(|subject| {
        let inputs = RegSet::of(&[Reg::R3]);
        // Two of them are memory of engines, one is that of the state, one nobody's.
        let states = vec![Region::Code.address(), slot.window(), Region::Rows.address(), 8];
        let background = [State::zeroed(slot).registers; 2];
        let load = Load { subject, inputs, states, background, garbage: 0x5eed, sampled: true };
        rig.run(&State::zeroed(slot).memory, &[load])
    });
    assert_eq!(outcome.findings.len(), 0);
    // Each of the two is run once for every variant of the code for this machine.
    let variants =
        with_subject(|subject| subject.variants.iter().filter(|own| own.code.arch == HOST).count());
    let expected = BTreeMap::from([((HOST, "host"), 2 * variants as u64)]);
    assert_eq!(outcome.unjudged, expected);
    assert_eq!(outcome.refused, BTreeMap::new());
}
