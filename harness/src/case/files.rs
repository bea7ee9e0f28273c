// SPDX-License-Identifier: GPL-2.0-or-later
//! Files of cases: names that depend on the cause alone, writing that leaves a whole file or none, and reading that
//! trusts nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kop_ops::choices::mix;
use kop_ops::{Arch, Catalog};

use super::{Case, CaseError};

/// The extension of the files.
const EXTENSION: &str = "kop";

/// The largest file that is read, in bytes; a case with all memory written out takes a thirtieth of it.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

impl Case {
    /// The name of the case's file: `imm32-x86_64-0123456789abcdef.kop`.
    ///
    /// The digits depend on operation, form, architecture and `cause`, so that equal causes share a file; with an empty
    /// `cause` they depend on the text without its comment.
    pub fn file_name(&self, cause: &str) -> String {
        let arch = self.arch.map_or("any", Arch::name);
        let text;
        let key = if cause.is_empty() {
            text = Case { comment: Vec::new(), ..self.clone() }.to_string();
            &text
        } else {
            cause
        };
        let hash = fnv1a([&*self.kop, &*self.form.name, arch, key]);
        format!("{}-{arch}-{hash:016x}.{EXTENSION}", safe_name(&self.form.name))
    }
}

/// FNV-1a on 64 bits (draft-eastlake-fnv), over the texts and a zero byte after each, then mixed, as FNV leaves the upper
/// bits of short texts alike.
fn fnv1a<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let bytes = texts.into_iter().flat_map(|text| text.bytes().chain([0]));
    mix(bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
}

/// The name as a part of a path: what a module of somebody else's calls itself must not lead elsewhere.
fn safe_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' })
        .collect();
    if safe.is_empty() { "_".to_owned() } else { safe }
}

/// Where [`save`] writes a case, from its directory on.
pub fn path(case: &Case, cause: &str) -> PathBuf {
    Path::new(&safe_name(&case.kop)).join(case.file_name(cause))
}

/// Writes a case to `dir`, in a folder by the operation's name, and returns the file's path.
///
/// The file is there whole or not at all, even when the machine stops in between. One of the same name, which has the same
/// `cause`, is kept as it is.
///
/// # Errors
/// What creating, writing and synchronising report, with the path in the message.
pub fn save(dir: &Path, case: &Case, cause: &str) -> io::Result<PathBuf> {
    let path = dir.join(self::path(case, cause));
    let folder = path.parent().expect("a case is in a folder");
    let name_it = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    write_new(folder, &path, &case.to_string()).map_err(name_it)?;
    Ok(path)
}

/// The comment line of a case that was written down as it was found.
pub const AS_FOUND: &str = "as found, not minimised";

/// Like [`save`], but a file that says [`AS_FOUND`] in its comment gives way.
///
/// # Errors
/// As [`save`].
pub fn save_minimised(dir: &Path, case: &Case, cause: &str) -> io::Result<PathBuf> {
    let path = save(dir, case, cause)?;
    let raw =
        fs::read_to_string(&path).is_ok_and(|text| text.lines().any(|line| line == format!("# {AS_FOUND}")));
    if raw {
        let folder = path.parent().expect("a case is in a folder");
        let file = temporary(folder, &case.to_string())?;
        file.persist(&path).map_err(|refused| refused.error)?;
        File::open(folder)?.sync_all()?;
    }
    Ok(path)
}

fn temporary(folder: &Path, text: &str) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn write_new(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let file = temporary(folder, text)?;
    match file.persist_noclobber(path) {
        // Somebody else was first; the temporary file goes with the error.
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(refused) => return Err(refused.error),
        Ok(_) => {}
    }
    // The name is on disk once its folder is, and the folder once the one above is.
    File::open(folder)?.sync_all()?;
    folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}

/// Reads the case in a file.
///
/// # Errors
/// [`CaseError`], which does not repeat the path, when the file cannot be read, is larger than [`MAX_FILE_BYTES`], is not
/// UTF-8, or holds no case.
pub fn load(path: &Path, catalog: &Catalog) -> Result<Case, CaseError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(CaseError::whole(format!("larger than {MAX_FILE_BYTES} bytes; no case is")));
    }
    let text = str::from_utf8(&bytes).map_err(|error| {
        let at = error.valid_up_to();
        let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        CaseError::at_line(line, format!("byte {:#04x} is not UTF-8 text", bytes[at]))
    })?;
    Case::parse(text, catalog)
}

fn unreadable(error: &io::Error) -> CaseError {
    CaseError::whole(format!("cannot be read: {error}"))
}

/// Reads every case under `paths`, sorted by path, each file once.
///
/// A path may be a file, whatever its name, or a directory, of which every `*.kop` below it is read; links to directories
/// are not followed there. What cannot be read is an entry with an error, and so is everything that is no case.
pub fn load_tree<P: AsRef<Path>>(paths: &[P], catalog: &Catalog) -> Vec<(PathBuf, Result<Case, CaseError>)> {
    let mut found = BTreeMap::new();
    for path in paths {
        let path = path.as_ref();
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => walk(path, &mut found),
            Ok(_) => drop(found.insert(path.to_owned(), Ok(()))),
            Err(error) => drop(found.insert(path.to_owned(), Err(unreadable(&error)))),
        }
    }
    let read = |(path, found): (PathBuf, Result<(), CaseError>)| {
        let case = found.and_then(|()| load(&path, catalog));
        (path, case)
    };
    found.into_iter().map(read).collect()
}

fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Result<(), CaseError>>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            found.insert(folder.to_owned(), Err(unreadable(&error)));
            return;
        }
    };
    for entry in entries {
        let path = match &entry {
            Ok(entry) => entry.path(),
            Err(_) => folder.to_owned(),
        };
        match entry.and_then(|entry| entry.file_type()) {
            Err(error) => drop(found.insert(path, Err(unreadable(&error)))),
            Ok(kind) if kind.is_dir() => walk(&path, found),
            Ok(_) if path.extension().is_none_or(|extension| extension != EXTENSION) => {}
            Ok(_) => {
                let regular = regular(&path);
                found.insert(path, regular);
            }
        }
    }
}

/// Opening a pipe or a device that happens to be there could block or do worse.
fn regular(path: &Path) -> Result<(), CaseError> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(&error))?;
    if metadata.is_file() { Ok(()) } else { Err(CaseError::whole("not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{random, sample};
    use super::*;
    use kop_ops::choices::Seeded;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("readable");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn fnv1a_matches_the_published_vector() {
        // draft-eastlake-fnv, appendix C: "foobar", here without the zero byte that ends a text.
        let hash = b"foobar".iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        assert_eq!(hash, 0x8594_4171_f739_67e8);
        assert_eq!(fnv1a(["foobar"]), mix(hash.wrapping_mul(0x100_0000_01b3)));
        assert_ne!(fnv1a(["ab", "c"]), fnv1a(["a", "bc"]));
    }

    #[test]
    fn equal_causes_share_a_name() {
        let case = sample();
        let mut other = sample();
        other.state.registers[4] = 1;
        other.comment.clear();
        assert_eq!(case.file_name("register r3"), other.file_name("register r3"));
        assert_ne!(case.file_name("register r3"), case.file_name("register r4"));
        assert_ne!(case.file_name(""), other.file_name(""));
        other.state = case.state.clone();
        assert_eq!(case.file_name(""), other.file_name(""));
        other.arch = None;
        assert_ne!(case.file_name("register r3"), other.file_name("register r3"));
        let name = case.file_name("register r3");
        assert!(name.starts_with("imm32-x86_64-") && name.len() == "imm32-x86_64-.kop".len() + 16, "{name}");
    }

    #[test]
    fn names_never_lead_elsewhere() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut case = sample();
        case.kop = "../../escape".to_owned();
        case.form.name = "a/b".into();
        let path = save(dir.path(), &case, "x").expect("writable");
        assert_eq!(path.parent().and_then(Path::file_name), Some("______escape".as_ref()));
        assert!(path.starts_with(dir.path()) && path.is_file());
    }

    #[test]
    fn saving_leaves_one_whole_file_and_keeps_the_first() {
        let catalog = Catalog::einsn();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = sample();
        let path = save(dir.path(), &first, "cause").expect("writable");
        let mut second = sample();
        second.garbage = 99;
        assert_eq!(save(dir.path(), &second, "cause").expect("writable"), path);
        assert_eq!(load(&path, &catalog), Ok(first.clone()));
        assert_eq!(names(&dir.path().join("rotate")), [first.file_name("cause")]);
        let elsewhere = save(dir.path(), &second, "another").expect("writable");
        assert_eq!(load(&elsewhere, &catalog), Ok(second));
        assert_eq!(names(&dir.path().join("rotate")).len(), 2);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o600, 0o600);
    }

    #[test]
    fn saving_at_once_leaves_one_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::thread::scope(|scope| {
            for garbage in 0..8 {
                let dir = dir.path();
                scope.spawn(move || save(dir, &Case { garbage, ..sample() }, "cause").expect("writable"));
            }
        });
        let found = load_tree(&[dir.path()], &Catalog::einsn());
        assert_eq!((found.len(), found[0].1.is_ok()), (1, true));
        assert_eq!(names(&dir.path().join("rotate")).len(), 1);
    }

    #[test]
    fn saving_to_an_impossible_place_names_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("rotate"), "a file").expect("writable");
        let error = save(dir.path(), &sample(), "cause").expect_err("a file is in the way");
        assert!(error.to_string().contains("rotate/imm32-x86_64-"), "{error}");
    }

    #[test]
    fn a_tree_is_read_in_order_and_every_bad_file_is_named() {
        let catalog = Catalog::einsn();
        let names: Vec<&str> = catalog.kops().iter().map(|kop| kop.name()).collect();
        let unknown = format!("line 3, column 11: unknown operation `rot` (known: {})", names.join(", "));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("b/deep.kop")).expect("writable");
        let mut big = sample().to_string();
        big.push_str(&"# more\n".repeat(MAX_FILE_BYTES as usize / 7));
        let text = sample().to_string();
        let files: [(&str, &[u8]); 8] = [
            ("z.kop", text.as_bytes()),
            ("b/deep.kop/a.kop", text.as_bytes()),
            ("b/notes.txt", b"not a case"),
            ("b/empty.kop", b""),
            ("b/short.kop", &text.as_bytes()[..63]),
            ("b/latin.kop", b"# caf\xc3\xa9\nkop-case 1\n# caf\xe9\n"),
            ("b/big.kop", big.as_bytes()),
            ("b/.hidden.tmp", b"left over"),
        ];
        for (name, contents) in files {
            fs::write(at(name), contents).expect("writable");
        }
        symlink(dir.path(), at("b/loop")).expect("writable");
        symlink(dir.path(), at("b/loop.kop")).expect("writable");
        symlink("nowhere", at("b/dangling.kop")).expect("writable");
        let found = load_tree(&[dir.path(), &at("z.kop"), &at("b/notes.txt"), &at("missing")], &catalog);
        let shown: Vec<_> = found
            .iter()
            .map(|(path, case)| {
                let name = path.strip_prefix(dir.path()).expect("below").to_str().expect("UTF-8");
                (name, case.as_ref().map_or_else(ToString::to_string, |_| "ok".to_owned()))
            })
            .collect();
        let expected = [
            ("b/big.kop", "larger than 1048576 bytes; no case is"),
            ("b/dangling.kop", "cannot be read: No such file or directory (os error 2)"),
            ("b/deep.kop/a.kop", "ok"),
            ("b/empty.kop", "empty; a case starts with `kop-case 1`"),
            ("b/latin.kop", "line 3: byte 0xe9 is not UTF-8 text"),
            ("b/loop.kop", "not a regular file"),
            ("b/notes.txt", "line 1, column 1: a case starts with `kop-case 1`, not with `not a case`"),
            ("b/short.kop", &*unknown),
            ("missing", "cannot be read: No such file or directory (os error 2)"),
            ("z.kop", "ok"),
        ];
        assert_eq!(shown, expected.map(|(name, result)| (name, result.to_owned())));
    }

    #[test]
    fn every_random_case_survives_the_disk() {
        let catalog = Catalog::einsn();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut choices = Seeded::new(7);
        for _ in 0..50 {
            let case = random(&catalog, &mut choices);
            let path = save(dir.path(), &case, "").expect("writable");
            assert_eq!(load(&path, &catalog), Ok(case));
        }
    }
}
