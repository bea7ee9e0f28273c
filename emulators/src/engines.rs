// SPDX-License-Identifier: GPL-2.0-or-later
//! The list of engines: which are here, which are not, why, and how to get them.

use kop_ops::{Arch, Features};

use crate::engine::{Engine, Executes};
use crate::model::{self, ModelEngine};
use crate::native::aarch64::Aarch64;
use crate::native::x86_64::X86_64;
use crate::rbpf::{self, RbpfEngine};
use crate::semantics::{Native, SemanticsEngine};
use crate::spec::{self, SpecEngine};

/// One engine of the list.
#[derive(Clone, Copy, Debug)]
pub struct EngineKind {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// What it executes.
    pub executes: Executes,
    /// One line: through what.
    pub through: &'static str,
    /// Whether it takes part only where it is asked for by name.
    pub on_request: bool,
    make: fn() -> Result<Box<dyn Engine>, String>,
}

impl EngineKind {
    /// A new engine; each thread has its own.
    ///
    /// # Errors
    /// Why it is absent and how to get it, in one line.
    pub fn make(&self) -> Result<Box<dyn Engine>, String> {
        (self.make)()
    }

    /// Whether it is here.
    ///
    /// # Errors
    /// As [`EngineKind::make`].
    pub fn available(&self) -> Result<(), String> {
        self.make().map(drop)
    }
}

/// Every engine, in the order of reports.
pub const ENGINES: &[EngineKind] = &[
    EngineKind {
        name: rbpf::NAME,
        executes: Executes::Proof,
        through: "rbpf's interpreter: the reference",
        on_request: false,
        make: || Ok(Box::new(RbpfEngine::new()?)),
    },
    EngineKind {
        name: spec::NAME,
        executes: Executes::Proof,
        through: "the semantics of this project, interpreted",
        on_request: false,
        make: || Ok(Box::new(SpecEngine)),
    },
    EngineKind {
        name: model::NAME,
        executes: Executes::Model,
        through: "the operation's plain Rust model",
        on_request: false,
        make: || Ok(Box::new(ModelEngine)),
    },
    EngineKind {
        name: "unicorn-x86_64",
        executes: Executes::Native(Arch::X86_64),
        through: "Unicorn, emulated x86-64",
        on_request: false,
        make: unicorn_x86_64,
    },
    EngineKind {
        name: "unicorn-aarch64",
        executes: Executes::Native(Arch::Aarch64),
        through: "Unicorn, emulated AArch64",
        on_request: false,
        make: unicorn_aarch64,
    },
    EngineKind {
        name: <X86_64 as Native>::NAME,
        executes: Executes::Native(Arch::X86_64),
        through: "the semantics of this project, x86-64",
        on_request: false,
        make: || Ok(Box::new(SemanticsEngine::<X86_64>::new())),
    },
    EngineKind {
        name: <Aarch64 as Native>::NAME,
        executes: Executes::Native(Arch::Aarch64),
        through: "the semantics of this project, AArch64",
        on_request: false,
        make: || Ok(Box::new(SemanticsEngine::<Aarch64>::new())),
    },
    EngineKind {
        name: "host",
        executes: Executes::Native(HOST),
        through: "this CPU, in a child process",
        on_request: false,
        make: host,
    },
    EngineKind {
        name: "qemu-aarch64",
        executes: Executes::Native(Arch::Aarch64),
        through: "qemu-user, an emulated process on AArch64: slow, but with SVE2",
        // A new code may take a new process, and all but SVE2 runs on Unicorn.
        on_request: true,
        make: qemu_aarch64,
    },
];

/// The engine called `name`.
pub fn find(name: &str) -> Option<&'static EngineKind> {
    ENGINES.iter().find(|engine| engine.name == name)
}

/// The architecture of the engine `host`.
pub const HOST: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

#[cfg(feature = "unicorn")]
fn unicorn_x86_64() -> Result<Box<dyn Engine>, String> {
    use crate::{native_engine::NativeEngine, unicorn};
    let machine = unicorn::UnicornMachine::new(Arch::X86_64)?;
    let capabilities = unicorn::capabilities(Arch::X86_64);
    Ok(Box::new(NativeEngine::<_, X86_64>::new("unicorn-x86_64", machine, capabilities)))
}

#[cfg(feature = "unicorn")]
fn unicorn_aarch64() -> Result<Box<dyn Engine>, String> {
    use crate::{native_engine::NativeEngine, unicorn};
    let machine = unicorn::UnicornMachine::new(Arch::Aarch64)?;
    let capabilities = unicorn::capabilities(Arch::Aarch64);
    Ok(Box::new(NativeEngine::<_, Aarch64>::new("unicorn-aarch64", machine, capabilities)))
}

#[cfg(not(feature = "unicorn"))]
fn unicorn_x86_64() -> Result<Box<dyn Engine>, String> {
    Err("built without it: enable the cargo feature `unicorn`".to_owned())
}

#[cfg(not(feature = "unicorn"))]
fn unicorn_aarch64() -> Result<Box<dyn Engine>, String> {
    unicorn_x86_64()
}

#[cfg(feature = "native")]
fn host() -> Result<Box<dyn Engine>, String> {
    use crate::native_engine::NativeEngine;
    let machine = crate::host::HostMachine::new().map_err(|error| error.to_string())?;
    Ok(Box::new(NativeEngine::<_, X86_64>::new("host", machine, host_capabilities())))
}

#[cfg(feature = "native")]
fn qemu_aarch64() -> Result<Box<dyn Engine>, String> {
    use crate::host::{HostMachine, Platform};
    use crate::native_engine::NativeEngine;
    let machine = HostMachine::on(Platform::QemuAarch64).map_err(|error| error.to_string())?;
    Ok(Box::new(NativeEngine::<_, Aarch64>::new("qemu-aarch64", machine, qemu_capabilities())))
}

/// What this CPU can execute.
#[cfg(feature = "native")]
pub fn host_capabilities() -> crate::native_engine::Capabilities {
    crate::native_engine::Capabilities {
        features: host_features(),
        vex_vector: host_has_avx(),
        others: host_others(),
        mistake: crate::mistakes::none,
    }
}

#[cfg(not(feature = "native"))]
fn host() -> Result<Box<dyn Engine>, String> {
    Err("built without it: enable the cargo feature `native`".to_owned())
}

#[cfg(not(feature = "native"))]
fn qemu_aarch64() -> Result<Box<dyn Engine>, String> {
    host()
}

/// What `qemu-aarch64` emulates unless it is told otherwise: a CPU with every feature.
#[cfg(feature = "native")]
pub fn qemu_capabilities() -> crate::native_engine::Capabilities {
    crate::native_engine::Capabilities {
        features: Features::all(Arch::Aarch64),
        vex_vector: false,
        others: &[],
        mistake: crate::mistakes::aarch64::qemu,
    }
}

/// The optional features that this CPU has.
pub fn host_features() -> Features {
    use kop_ops::Feature;
    Feature::ALL.into_iter().filter(|&feature| host_has(feature)).collect()
}

#[cfg(target_arch = "x86_64")]
fn host_has(feature: kop_ops::Feature) -> bool {
    use kop_ops::Feature;
    match feature {
        Feature::Popcnt => std::is_x86_feature_detected!("popcnt"),
        Feature::Lzcnt => std::is_x86_feature_detected!("lzcnt"),
        Feature::Bmi1 => std::is_x86_feature_detected!("bmi1"),
        Feature::Bmi2 => std::is_x86_feature_detected!("bmi2"),
        Feature::Movbe => std::is_x86_feature_detected!("movbe"),
        Feature::Pclmulqdq => std::is_x86_feature_detected!("pclmulqdq"),
        Feature::Sse2 => true,
        Feature::Sse42 => std::is_x86_feature_detected!("sse4.2"),
        Feature::Avx512Vl => std::is_x86_feature_detected!("avx512vl"),
        Feature::Avx512Vpopcntdq => std::is_x86_feature_detected!("avx512vpopcntdq"),
        Feature::AdvSimd
        | Feature::Pmull
        | Feature::Lse
        | Feature::Sb
        | Feature::Crc32
        | Feature::SveBitperm => false,
    }
}

#[cfg(all(target_arch = "x86_64", feature = "native"))]
fn host_has_avx() -> bool {
    std::is_x86_feature_detected!("avx2")
}

/// Features beyond [`Features`] that this CPU has, by the names of the decoder.
#[cfg(all(target_arch = "x86_64", feature = "native"))]
fn host_others() -> &'static [&'static str] {
    static OTHERS: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
        let detected = [
            ("SSE3", std::is_x86_feature_detected!("sse3")),
            ("SSSE3", std::is_x86_feature_detected!("ssse3")),
            ("SSE4_1", std::is_x86_feature_detected!("sse4.1")),
            ("AES", std::is_x86_feature_detected!("aes")),
            ("ADX", std::is_x86_feature_detected!("adx")),
            ("AVX", std::is_x86_feature_detected!("avx")),
            ("AVX2", std::is_x86_feature_detected!("avx2")),
            ("AVX512F", std::is_x86_feature_detected!("avx512f")),
            ("AVX512BW", std::is_x86_feature_detected!("avx512bw")),
            ("AVX512DQ", std::is_x86_feature_detected!("avx512dq")),
        ];
        detected.into_iter().filter_map(|(name, here)| here.then_some(name)).collect()
    });
    &OTHERS
}

#[cfg(all(not(target_arch = "x86_64"), feature = "native"))]
fn host_has_avx() -> bool {
    false
}

#[cfg(all(not(target_arch = "x86_64"), feature = "native"))]
fn host_others() -> &'static [&'static str] {
    &[]
}

#[cfg(not(target_arch = "x86_64"))]
fn host_has(_feature: kop_ops::Feature) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{NativeCode, Program};
    use crate::inspect::inspect;
    use kop_ops::x86_64::{Assembler, Gpr, Size};

    /// What writes an instruction.
    type Write = fn(&mut Assembler);

    fn admitted(engine: &str, write: impl FnOnce(&mut Assembler)) -> Result<(), String> {
        let mut asm = Assembler::new();
        write(&mut asm);
        let bytes = asm.finish().expect("the instruction has an encoding").bytes;
        let profile = inspect(Arch::X86_64, &bytes).expect("the instruction is sound");
        let code = NativeCode {
            arch: Arch::X86_64,
            bytes,
            features: profile.features,
            other_features: profile.other_features,
            vex_vector: profile.vex_vector,
            vectors: kop_ops::Vectors::default(),
        };
        let engine = find(engine).expect("in the list").make().expect("it is here");
        engine.admits(&Program::Native(&code))
    }

    #[cfg(feature = "unicorn")]
    #[test]
    fn unicorn_refuses_what_it_gets_wrong() {
        let wrong: [(&str, Write); 5] = [
            ("BZHI", |a| a.bzhi(Size::B8, Gpr::Rax, Gpr::Rdi, Gpr::Rsi)),
            ("BEXTR", |a| a.bextr(Size::B4, Gpr::Rax, Gpr::Rdi, Gpr::Rsi)),
            ("BEXTR", |a| a.bextr(Size::B8, Gpr::Rax, Gpr::Rdi, Gpr::Rsi)),
            ("PDEP", |a| a.pdep(Size::B4, Gpr::Rax, Gpr::Rdi, Gpr::Rsi)),
            ("BLSI", |a| a.blsi(Size::B8, Gpr::Rax, Gpr::Rdi)),
        ];
        for (name, write) in wrong {
            let refused = admitted("unicorn-x86_64", write).expect_err("Unicorn gets it wrong");
            assert!(refused.contains(name), "{name}: {refused}");
            assert_eq!(admitted("semantics-x86_64", write), Ok(()));
        }
        assert_eq!(admitted("unicorn-x86_64", |a| a.pdep(Size::B8, Gpr::Rax, Gpr::Rdi, Gpr::Rsi)), Ok(()));
        assert_eq!(admitted("unicorn-x86_64", |a| a.andn(Size::B8, Gpr::Rax, Gpr::Rdi, Gpr::Rsi)), Ok(()));
        assert_eq!(admitted("unicorn-x86_64", |a| a.rorx(Size::B8, Gpr::Rax, Gpr::Rdi, 3)), Ok(()));
    }

    #[test]
    fn the_list_has_each_engine_once() {
        for (index, engine) in ENGINES.iter().enumerate() {
            assert_eq!(ENGINES.iter().position(|other| other.name == engine.name), Some(index));
        }
    }
}
