// SPDX-License-Identifier: GPL-2.0-or-later
//! Reading files that a user names, which may be anything: a disk image, or a device without an end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes of a file of programs; the kernel takes a million instructions of eight bytes.
pub const MAX_PROGRAM_FILE: u64 = 64 << 20;

/// The most bytes of a capture.
pub const MAX_CAPTURE: u64 = 256 << 20;

/// The most bytes of a fuzzer's input; libFuzzer's own are smaller by far.
pub const MAX_FUZZER_INPUT: u64 = 16 << 20;

/// The contents of a file of at most `most` bytes.
///
/// # Errors
/// What the operating system says, or [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("larger than {most} bytes, which is the most that is read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_up_to_the_limit_are_read() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), [7; 100]).expect("writable");
        assert_eq!(read(file.path(), 100).expect("it fits"), [7; 100]);
        let error = read(file.path(), 99).expect_err("it does not fit");
        assert_eq!(error.to_string(), "larger than 99 bytes, which is the most that is read");
        assert_eq!(
            read(Path::new("/dev/zero"), 1 << 16).expect_err("endless").kind(),
            io::ErrorKind::FileTooLarge
        );
        assert_eq!(read(Path::new("/no/such/file"), 1).expect_err("missing").kind(), io::ErrorKind::NotFound);
    }
}
