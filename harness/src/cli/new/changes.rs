// SPDX-License-Identifier: GPL-2.0-or-later
//! Files to write: all of them, or none.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Failure;

/// The new text of some files.
#[derive(Debug, Default)]
pub struct Changes {
    files: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    path: PathBuf,
    text: String,
    /// What the file holds now; `None` for a file that is new.
    before: Option<String>,
}

impl Changes {
    /// Adds a file that must not be there yet; its folder is made if need be.
    ///
    /// # Errors
    /// [`Failure::Usage`] when it is there.
    pub fn create(&mut self, path: PathBuf, text: String) -> Result<(), Failure> {
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::path(&path, "is there already; choose another name, or delete it"));
        }
        self.files.push(Change { path, text, before: None });
        Ok(())
    }

    /// Adds a file whose text `edit` changes.
    ///
    /// # Errors
    /// [`Failure::Usage`] when it cannot be read, or with what `edit` says.
    pub fn edit(
        &mut self,
        path: PathBuf,
        edit: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<(), Failure> {
        let before = fs::read_to_string(&path).map_err(|error| Failure::path(&path, error))?;
        let text = edit(&before).map_err(|error| Failure::path(&path, error))?;
        self.files.push(Change { path, text, before: Some(before) });
        Ok(())
    }

    /// The files, in the order in which they were added.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|change| &*change.path)
    }

    /// Whether a file is to be created.
    pub fn is_new(&self, path: &Path) -> bool {
        self.files.iter().any(|change| change.path == path && change.before.is_none())
    }

    /// Writes everything; whatever cannot be written, nothing is left behind.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the path that cannot be written.
    pub fn apply(&self) -> Result<(), Failure> {
        let mut made = Vec::new();
        let mut written = 0;
        self.try_apply(&mut made, &mut written).inspect_err(|_| {
            for change in &self.files[..written] {
                // There is nothing better to do about a file that cannot be put back than to go on with the others.
                let _ = match &change.before {
                    Some(before) => fs::write(&change.path, before),
                    None => fs::remove_file(&change.path),
                };
            }
            for folder in made.iter().rev() {
                let _ = fs::remove_dir(folder);
            }
        })
    }

    fn try_apply(&self, made: &mut Vec<PathBuf>, written: &mut usize) -> Result<(), Failure> {
        let mut staged = Vec::new();
        for change in &self.files {
            let file = make_folder(&change.path, made).and_then(|()| change.stage());
            staged.push(file.map_err(|error| Failure::path(&change.path, error))?);
        }
        for (change, file) in self.files.iter().zip(staged) {
            let persisted = if change.before.is_some() {
                file.persist(&change.path)
            } else {
                file.persist_noclobber(&change.path)
            };
            persisted.map_err(|refused| Failure::path(&change.path, refused.error))?;
            *written += 1;
        }
        Ok(())
    }
}

impl Change {
    /// The text in a file beside the one that it will become.
    fn stage(&self) -> io::Result<tempfile::NamedTempFile> {
        let permissions = match &self.before {
            Some(_) => fs::metadata(&self.path)?.permissions(),
            None => Permissions::from_mode(0o644),
        };
        let folder = self.path.parent().expect("a file is in a folder");
        let mut file = tempfile::Builder::new()
            .prefix(".")
            .suffix(".tmp")
            .permissions(permissions)
            .tempfile_in(folder)?;
        file.write_all(self.text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

/// Makes the folders above `path` that are missing, and notes them.
fn make_folder(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let folder = path.parent().expect("a file is in a folder");
    // The folder above a relative path is the current one, and called nothing.
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let mut missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    while let Some(folder) = missing.pop() {
        fs::create_dir(folder)?;
        made.push(folder.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn everything_is_written_or_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path();
        fs::write(root.join("list"), "a\n").expect("writable");
        let changes = || {
            let mut changes = Changes::default();
            changes.create(root.join("new/deep/file"), "text".to_owned()).expect("new");
            changes.edit(root.join("list"), |text| Ok(format!("{text}b\n"))).expect("there");
            changes
        };
        let mut failing = changes();
        failing.create(root.join("other"), "text".to_owned()).expect("new");
        // Somebody else writes it in between.
        fs::write(root.join("other"), "theirs").expect("writable");
        let Err(Failure::Usage(message)) = failing.apply() else { panic!("it is there") };
        assert!(message.contains("other"), "{message}");
        assert_eq!(entries(root), ["list", "other"]);
        assert_eq!(fs::read_to_string(root.join("list")).expect("readable"), "a\n");

        changes().apply().expect("written");
        assert_eq!(fs::read_to_string(root.join("list")).expect("readable"), "a\nb\n");
        assert_eq!(fs::read_to_string(root.join("new/deep/file")).expect("readable"), "text");
        assert_eq!(entries(&root.join("new/deep")), ["file"]);
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        fs::write(&path, "theirs").expect("writable");
        assert!(Changes::default().create(path, String::new()).is_err());
    }
}
