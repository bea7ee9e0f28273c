// SPDX-License-Identifier: GPL-2.0-or-later
//! What two runs of an instruction differ in, but for what the manual leaves undefined.

use kop_emulators::native::RegisterFile;
use kop_ops::Memory;
use kop_ops::x86_64::{Gpr, Xmm};
use kop_semantics::x86_64::Flag;

use super::run::After;

/// What the semantics say: runs with zeros and with ones for what is undefined.
pub struct Expected {
    /// With zeros.
    pub zeros: After,
    /// With ones.
    pub ones: After,
}

/// The first difference, or `None`. Of an instruction that faults, registers are not known, and `memory_after_faults` tells
/// whether memory is compared.
pub fn difference(expected: &Expected, actual: &After, memory_after_faults: bool) -> Option<String> {
    let (zeros, ones) = (&expected.zeros, &expected.ones);
    let faulted = match (&zeros.end, &ones.end, &actual.end) {
        (Ok(zeros), Ok(ones), Ok(actual)) => {
            if let Some(text) = files(zeros, ones, actual) {
                return Some(text);
            }
            false
        }
        (Err(expected), Err(_), Err(actual)) if expected.same_kind(*actual) => true,
        (expected, _, actual) => return Some(format!("{} instead of {}", shown(actual), shown(expected))),
    };
    if faulted && !memory_after_faults {
        return None;
    }
    let pairs = |after: &After| [memory_bytes(&after.memory), after.native_stack.to_vec()].concat();
    let (zeros, ones, actual) = (pairs(zeros), pairs(ones), pairs(actual));
    if zeros == ones && zeros == actual {
        return None;
    }
    let bytes = zeros.iter().zip(&ones).zip(&actual).enumerate();
    let mut differing = bytes
        .filter(|(_, ((zero, one), actual))| differs((**zero).into(), (**one).into(), (**actual).into()));
    differing
        .next()
        .map(|(i, ((zero, _), actual))| format!("memory +{i:#x}: {actual:#x} instead of {zero:#x}"))
}

fn memory_bytes(memory: &Memory) -> Vec<u8> {
    [&memory.window[..], &memory.stack[..]].concat()
}

fn shown(end: &Result<RegisterFile, kop_ops::Fault>) -> String {
    end.as_ref().map_or_else(ToString::to_string, |_| "no fault".to_owned())
}

/// Whether a bit differs that is the same with zeros and with ones.
fn differs(zeros: u128, ones: u128, actual: u128) -> bool {
    !(zeros ^ ones) & (zeros ^ actual) != 0
}

/// The first register or flag that differs.
fn files(zeros: &RegisterFile, ones: &RegisterFile, actual: &RegisterFile) -> Option<String> {
    let compare = |name: String, of: &dyn Fn(&RegisterFile) -> u128| {
        let [zeros, ones, actual] = [zeros, ones, actual].map(of);
        differs(zeros, ones, actual).then(|| format!("{name}: {actual:#x} instead of {zeros:#x}"))
    };
    let general = Gpr::ALL
        .into_iter()
        .find_map(|gpr| compare(gpr.to_string(), &|file| file.general[usize::from(gpr.code())].into()));
    let vector = || {
        let mut all = Xmm::ALL.into_iter();
        all.find_map(|xmm| compare(xmm.to_string(), &|file| file.vectors[usize::from(xmm.code())]))
    };
    let flag = || {
        let mut all = Flag::ALL.into_iter();
        all.find_map(|flag| compare(format!("{flag:?}"), &|file| (file.flags >> flag.position() & 1).into()))
    };
    general.or_else(vector).or_else(flag)
}
