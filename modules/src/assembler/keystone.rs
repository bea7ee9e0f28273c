// SPDX-License-Identifier: GPL-2.0-or-later
//! Keystone, the assembler that grew out of LLVM's: in-process, one instruction or many per call.

use std::sync::{Mutex, PoisonError};

use keystone_engine as engine;
use kop_ops::Arch;

use super::AssemblerError;

/// Keystone keeps process-wide tables that it sets up and uses without locks, so all calls take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Keystone for one architecture, with Intel syntax on x86-64.
#[derive(Debug)]
pub struct Keystone {
    engine: engine::Keystone,
}

impl Keystone {
    /// Keystone for `arch`.
    ///
    /// # Errors
    /// [`AssemblerError::Keystone`] when the library refuses to open.
    pub fn new(arch: Arch) -> Result<Self, AssemblerError> {
        let (arch, mode) = match arch {
            Arch::X86_64 => (engine::Arch::X86, engine::Mode::MODE_64),
            Arch::Aarch64 => (engine::Arch::ARM64, engine::Mode::LITTLE_ENDIAN),
        };
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = engine::Keystone::new(arch, mode);
        opened.map(|engine| Self { engine }).map_err(|error| AssemblerError::Keystone(error.to_string()))
    }

    /// The bytes of one instruction, placed at address 0.
    ///
    /// # Errors
    /// [`AssemblerError::Refused`] when Keystone does not accept `text`.
    pub fn assemble(&self, text: &str) -> Result<Vec<u8>, AssemblerError> {
        let refused = |message: String| AssemblerError::Refused {
            assembler: "Keystone",
            text: text.lines().next().unwrap_or_default().to_owned(),
            message,
        };
        if text.contains('\0') {
            return Err(refused("a NUL character".to_owned()));
        }
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let output = self.engine.asm(text.to_owned(), 0).map_err(|error| refused(words(error)))?;
        Ok(output.bytes)
    }

    /// The concatenated bytes of many instructions, the first at address 0; much faster than one call for each.
    ///
    /// # Errors
    /// [`AssemblerError::Refused`] when Keystone does not accept one of `texts`; it does not say which.
    pub fn assemble_all<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<u8>, AssemblerError> {
        let lines: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.assemble(&lines.join("\n"))
    }
}

/// What Keystone says, without the binding's own words.
fn words(error: engine::KeystoneError) -> String {
    match error {
        engine::KeystoneError::Engine(error) => error.to_string(),
        engine::KeystoneError::Misc(error) => error.to_string(),
    }
}
