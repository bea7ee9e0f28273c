// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line of `kop-plugin`, which the suite's runner dictates: memory first, an empty argument where it has nothing
//! to say, and all options of its own `--plugin_options` in one argument.

use std::ffi::OsString;

use super::PluginError;

/// What `--help` prints.
pub(super) const HELP: &str = "\
Runs one eBPF program for the bpf_conformance suite and prints r0 in hexadecimal

Usage: kop-plugin [MEMORY] [OPTIONS] < PROGRAM

MEMORY and PROGRAM are bytes in hexadecimal, separated by blanks. r1 points to the memory, r2 is its length.

Options:
      --program HEX    the program, instead of standard input
      --engine ENGINE  spec, jit, unicorn-x86_64, unicorn-aarch64 or qemu-aarch64 [default: jit]
  -h, --help           this text
  -V, --version        the version

Examples:
  kop-plugin '2a 00' --program '71 10 00 00 00 00 00 00 95 00 00 00 00 00 00 00'
  bpf_conformance_runner --test_file_directory tests --plugin_path kop-plugin --plugin_options '--engine spec'

Exit codes:
  0  r0 was printed
  1  the program faults
  2  bad usage, or bytes that are no program
  3  the engine is not here";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The help text.
    Help,
    /// The version.
    Version,
    /// A run.
    Run(Request),
}

/// A run that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The engine's name on the command line.
    pub engine: String,
    /// The program's bytes; from standard input when it is `None`.
    pub program: Option<Vec<u8>>,
    /// The memory's bytes.
    pub memory: Vec<u8>,
}

impl Arguments {
    /// Reads the arguments after the command's name.
    ///
    /// # Errors
    /// [`PluginError::Usage`] for an unknown or incomplete option, a second memory, or bytes that are none.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, PluginError> {
        let usage = |text: String| PluginError::Usage(text);
        let mut request = Request { engine: "jit".to_owned(), program: None, memory: Vec::new() };
        let mut memory = None;
        let mut args = words(args)?.into_iter();
        while let Some(arg) = args.next() {
            let (name, given) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (arg.clone(), None),
            };
            let mut value = || {
                given.clone().or_else(|| args.next()).ok_or_else(|| usage(format!("{name} takes a value")))
            };
            match name.as_str() {
                "-h" | "--help" => return Ok(Arguments::Help),
                "-V" | "--version" => return Ok(Arguments::Version),
                "--engine" => request.engine = value()?,
                "--program" => {
                    let bytes = parse_hex(&value()?).map_err(|error| usage(format!("--program: {error}")))?;
                    request.program = Some(bytes);
                }
                option if option.starts_with('-') => return Err(usage(format!("unknown option `{option}`"))),
                "" => {}
                _ if memory.is_some() => return Err(usage("memory is given twice".to_owned())),
                bytes => {
                    memory = Some(parse_hex(bytes).map_err(|error| usage(format!("the memory: {error}")))?);
                }
            }
        }
        request.memory = memory.unwrap_or_default();
        Ok(Arguments::Run(request))
    }
}

/// The arguments as text; one that holds several options is taken apart at its blanks.
fn words(args: impl Iterator<Item = OsString>) -> Result<Vec<String>, PluginError> {
    let mut words = Vec::new();
    for arg in args {
        let text = arg.into_string().map_err(|arg| {
            PluginError::Usage(format!("the argument `{}` is no text", arg.to_string_lossy()))
        })?;
        if text.starts_with("--") && !text.contains('=') {
            words.extend(text.split_whitespace().map(str::to_owned));
        } else {
            words.push(text.trim().to_owned());
        }
    }
    Ok(words)
}

/// Bytes of two hexadecimal digits each, separated by blanks or not.
///
/// # Errors
/// The piece that is none, in a line.
pub fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 3 + 1);
    for piece in text.split_whitespace() {
        let pairs = piece.as_bytes().chunks(2);
        for pair in pairs {
            let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
            let plain = digits.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let byte = plain.and_then(|pair| u8::from_str_radix(pair, 16).ok());
            let shown = || piece.chars().take(20).collect::<String>();
            bytes.push(byte.ok_or_else(|| format!("`{}` is no byte in two hexadecimal digits", shown()))?);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Arguments, PluginError> {
        Arguments::parse(args.iter().map(OsString::from))
    }

    fn request(engine: &str, program: Option<&[u8]>, memory: &[u8]) -> Result<Arguments, PluginError> {
        let request = Request {
            engine: engine.to_owned(),
            program: program.map(<[u8]>::to_vec),
            memory: memory.to_vec(),
        };
        Ok(Arguments::Run(request))
    }

    /// What the suite's runner passes, and what people write.
    #[test]
    fn arguments_come_in_any_order() {
        assert_eq!(parse(&[]), request("jit", None, &[]));
        assert_eq!(parse(&["", ""]), request("jit", None, &[]));
        assert_eq!(parse(&["aa  bb  ", "--engine spec"]), request("spec", None, &[0xaa, 0xbb]));
        assert_eq!(parse(&["--program", "95 00", "01", "--engine=x"]), request("x", Some(&[0x95, 0]), &[1]));
        assert_eq!(parse(&["--program=95 00"]), request("jit", Some(&[0x95, 0]), &[]));
        assert_eq!(parse(&["--engine", "spec", "--help"]), Ok(Arguments::Help));
        assert_eq!(parse(&["-V"]), Ok(Arguments::Version));
    }

    #[test]
    fn bad_arguments_are_named() {
        for (args, named) in [
            (&["--debug"][..], "--debug"),
            (&["-x"], "-x"),
            (&["--engine"], "--engine"),
            (&["01", "02"], "twice"),
            (&["0x01"], "0x01"),
            (&["1"], "`1`"),
            (&["--program", "zz"], "zz"),
            (&["--engine spec --elf"], "--elf"),
        ] {
            let error = parse(args).expect_err("it is refused").to_string();
            assert!(error.contains(named) && error.ends_with("(kop-plugin --help)"), "{error}");
        }
    }

    #[test]
    fn bytes_have_two_digits() {
        assert_eq!(parse_hex(" 00 fF\n7a"), Ok(vec![0, 0xff, 0x7a]));
        assert_eq!(parse_hex("00ff"), Ok(vec![0, 0xff]));
        for bad in ["0", "000", "+1", "0x", "é", "0g"] {
            assert!(parse_hex(bad).is_err(), "{bad}");
        }
    }
}
