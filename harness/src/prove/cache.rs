// SPDX-License-Identifier: GPL-2.0-or-later
//! What earlier runs proved: the keys of claims, in a file in the user's cache directory. A key stands for a proof sequence, native
//! bytes and a contract, whatever registers they name; the file's name says with which version of the semantics they were proved.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kop_emulators::NativeCode;
use kop_ops::ebpf::{Insn, RegSet};
use kop_prover::VERSION;
use kop_prover::statement::{Decoded, Grants, Key, Statement, key};

use crate::check::Proofs;

/// The first bytes of the file; keys of 16 bytes follow, ascending.
const MAGIC: &[u8; 16] = b"kop-proofs 1\0\0\0\n";

/// Claims that are proved.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    keys: HashSet<Key>,
}

impl Cache {
    /// Where the user's cache is: in the directory that `KOP_CACHE` names, or else in that of the platform; none where there is
    /// neither.
    pub fn path() -> Option<PathBuf> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable("KOP_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("kop")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/kop")))?;
        Some(folder.join(format!("proofs-{VERSION}")))
    }

    /// What is in a file; nothing when there is no such file, or when it is none that [`Cache::store`] wrote.
    pub fn load(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let keys = bytes.strip_prefix(MAGIC).filter(|keys| keys.len() % 16 == 0).unwrap_or_default();
        let key = |bytes: &[u8]| Key::from_bits(u128::from_le_bytes(bytes.try_into().expect("16 bytes")));
        Self { keys: keys.chunks_exact(16).map(key).collect() }
    }

    /// Writes these keys, and what is there already, to a file: whole or not at all.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn store(path: &Path, proved: &[Key]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut keys: Vec<u128> =
            Self::load(path).keys.into_iter().chain(proved.iter().copied()).map(Key::bits).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let mut bytes = MAGIC.to_vec();
        keys.iter().for_each(|key| bytes.extend(key.to_le_bytes()));
        file.write_all(&bytes)?;
        file.persist(path)?;
        Ok(())
    }

    /// The claims.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys.iter().copied()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Proofs for Cache {
    fn knows(&self, proof: &[Insn], code: &NativeCode, dead: RegSet) -> bool {
        let NativeCode { arch, ref bytes, vectors, .. } = *code;
        let statement = Statement { proof, code: bytes, arch, dead, vectors, grants: Grants::default() };
        Decoded::new(arch, bytes).is_ok_and(|decoded| self.keys.contains(&key(&statement, &decoded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_added_to_what_was_there() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("below/proofs");
        assert!(Cache::load(&path).is_empty());
        let keys = [7_u128, 1 << 100, u128::MAX].map(Key::from_bits);
        Cache::store(&path, &keys[..2]).expect("it can be written");
        Cache::store(&path, &keys[1..]).expect("it can be written");
        let mut known: Vec<Key> = Cache::load(&path).keys().collect();
        known.sort_unstable();
        let mut expected = keys.to_vec();
        expected.sort_unstable();
        assert_eq!(known, expected);
    }

    #[test]
    fn what_is_no_cache_holds_nothing() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("proofs");
        let whole = [&MAGIC[..], &[1; 16]].concat();
        for bytes in [&[][..], b"kop-proofs 2\0\0\0\n", &whole[..20], &[0; 64]] {
            fs::write(&path, bytes).expect("it can be written");
            assert!(Cache::load(&path).is_empty(), "{bytes:?}");
        }
        fs::write(&path, &whole).expect("it can be written");
        assert_eq!(Cache::load(&path).keys().count(), 1);
    }
}
