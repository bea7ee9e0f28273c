// SPDX-License-Identifier: GPL-2.0-or-later
//! The fault that the environment variable `KOP_PLANT` names, in place of the sound operation: a test of everything that
//! is done with findings.
//!
//! | `KOP_PLANT` | fault |
//! |---|---|
//! | `rare` | native code is wrong for some values that chance rarely meets |
//! | `unending-emit-loops` | an emit does not return for one operand in 64 |
//! | `unending-emit-takes-memory` | the same emit takes a hundred megabytes a second |
//! | a name of [`planted::all`] | a mistake of one form |
//!
//! Nothing else plants one, and a process that has one says so.

use kop_ops::Kop;

use super::foreign::{Environment, StartError};
use super::rare::{self, Rare};
use crate::planted;

/// The variable.
const VARIABLE: &str = "KOP_PLANT";

/// The operation with the fault that the environment names, if it names one.
///
/// # Errors
/// [`StartError::Value`] when there is no such fault.
pub(super) fn planted(environment: Environment) -> Result<Option<Box<dyn Kop>>, StartError> {
    let Some(name) = environment(VARIABLE) else { return Ok(None) };
    let name = name.to_string_lossy();
    if name == rare::NAME {
        return Ok(Some(Box::new(Rare::default())));
    }
    let unending = || planted::unending().iter().find(|planted| planted.name == name);
    let planted = planted::find(&name).or_else(unending);
    planted.map(|planted| Some(planted.kop())).ok_or_else(|| StartError::Value {
        variable: VARIABLE,
        reason: format!("there is no planted fault `{name}`"),
    })
}

/// What a process says whose operations are those of [`planted()`].
pub(super) fn warning(kop: &dyn Kop, environment: Environment) -> String {
    let name = environment(VARIABLE).unwrap_or_default();
    format!(
        "kop: {VARIABLE}={}: a fault is planted in {}, on purpose; what is found may be nothing else",
        name.to_string_lossy(),
        kop.name()
    )
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn planted_as(name: &str) -> Result<Option<Box<dyn Kop>>, StartError> {
        planted(&|variable| (variable == "KOP_PLANT").then(|| OsString::from(name)))
    }

    #[test]
    fn a_fault_is_planted_only_by_its_name() {
        let kop = planted_as("unending-emit-loops").expect("it exists").expect("a fault");
        assert_eq!(kop.name(), "rotate");
        assert_eq!(planted_as("rare").expect("it exists").expect("a fault").name(), "clmul");
        assert!(planted(&|_| None).expect("nothing is wrong").is_none());
        for name in ["", "rotat", "RARE"] {
            let error = planted_as(name).map(drop).expect_err("there is none").to_string();
            assert_eq!(error, format!("KOP_PLANT: there is no planted fault `{name}`"));
        }
    }

    #[test]
    fn a_process_with_a_fault_says_so() {
        let environment = |variable: &str| (variable == "KOP_PLANT").then(|| OsString::from("rare"));
        let kop = planted(&environment).expect("it exists").expect("a fault");
        let said = warning(&*kop, &environment);
        assert!(said.starts_with("kop: KOP_PLANT=rare: a fault is planted in clmul, on purpose"), "{said}");
    }
}
