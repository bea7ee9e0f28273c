// SPDX-License-Identifier: GPL-2.0-or-later
//! Certificates: a folder with formulas and proofs that anybody can check again without this project.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::aig::Clauses;
use crate::sat::{Refutation, solver_name};

/// A certificate that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct CertificateError {
    path: PathBuf,
    source: io::Error,
}

/// A formula in the format of the DIMACS challenge.
pub fn dimacs(formula: &Clauses) -> String {
    let mut text = format!("p cnf {} {}\n", formula.variables, formula.clauses.len());
    for clause in &formula.clauses {
        for literal in clause {
            write!(text, "{literal} ").expect("a string takes everything");
        }
        text.push_str("0\n");
    }
    text
}

/// Writes `NAME-0.cnf`, `NAME-0.lrat`, `NAME-1.cnf`, .. and `NAME.txt`, the manifest, into `folder`, which is made if it is not
/// there.
///
/// The manifest repeats `facts`, one `key: value` a line (the operation, its payload, its bytes), then the version of this crate,
/// the steps that are no matter of clauses, and the files.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    folder: &Path,
    name: &str,
    facts: &[(&str, String)],
    steps: &[String],
    refutations: &[&Refutation],
) -> Result<(), CertificateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut manifest = String::from("format: kop-prover certificate 1\n");
    let mut line = |key: &str, value: &str| {
        manifest.push_str(&format!("{key}: {value}\n"));
    };
    facts.iter().for_each(|(key, value)| line(key, value));
    line("prover", &format!("{} ({})", env!("CARGO_PKG_VERSION"), crate::VERSION));
    line("solver", &solver_name());
    steps.iter().for_each(|step| line("step", step));
    for (number, refutation) in refutations.iter().enumerate() {
        let file = format!("{name}-{number}");
        line("formula", &format!("{file}.cnf is unsatisfiable by {file}.lrat"));
        for (suffix, text) in [("cnf", dimacs(&refutation.formula)), ("lrat", refutation.proof.to_string())] {
            let path = folder.join(format!("{file}.{suffix}"));
            fs::write(&path, text).map_err(failed(&path))?;
        }
    }
    let path = folder.join(format!("{name}.txt"));
    fs::write(&path, manifest).map_err(failed(&path))
}
