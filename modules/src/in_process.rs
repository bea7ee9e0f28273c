// SPDX-License-Identifier: GPL-2.0-or-later
//! Callbacks of a module that is loaded into this process: for fuzzers, which see the branches that a module takes and
//! report its crashes as their own.
//!
//! Each call is checked by the C code that the contained runner uses too (`runner/calls.c`): buffers that end where memory
//! ends, patterns that tell what was written, sizing, second calls. What the runner does to survive is left out.
//!
//! Whether a module is instrumented depends on the process that loads it: with coverage where it has the functions of
//! LLVM's SanitizerCoverage, as libFuzzer's have, and with AddressSanitizer where it runs under it.

mod coverage;
mod crash;
mod module;

use std::ffi::{CStr, CString, c_char, c_void};
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use kop_ops::Features;

pub use self::coverage::for_each_edge;
pub use self::crash::{Crash, Hook, watch};
pub use self::module::{Sanitizers, build, is_plain_object, load};
use crate::callbacks::{Answer, Asked, Callbacks, Descriptor};
use crate::contained::{Record, answer_of, callback_mask, feature_bits};

// `runner/in_process.c`.
unsafe extern "C" {
    fn in_process_new(module: *mut c_void) -> *mut c_void;
    fn in_process_find(in_process: *const c_void, name: *const c_char) -> *const c_void;
    fn in_process_answer_max() -> usize;
    fn in_process_answer(
        in_process: *mut c_void,
        descriptor: *const c_void,
        mask: u32,
        asked: u32,
        features: u64,
        payload: u64,
        out: *mut u8,
    ) -> usize;
    fn in_process_calling(in_process: *const c_void) -> *const u32;
}

/// A shared object that this process has loaded, for good: what it registered points into it.
#[derive(Debug)]
pub(super) struct Loaded {
    /// `struct in_process`, and room for an answer. One call at a time: modules keep state, and so do buffers.
    calls: Mutex<Calls>,
}

#[derive(Debug)]
struct Calls {
    in_process: NonNull<c_void>,
    answer: Vec<u64>,
}

// SAFETY: the pointer is to memory that lives as long as the process, and is used under the lock alone.
unsafe impl Send for Calls {}

impl Loaded {
    /// Loads the shared object at `path` and runs its init function.
    ///
    /// # Errors
    /// What the dynamic linker says, or that there is no module in it. A module that was loaded in a child before has
    /// neither fault.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        // SAFETY: the name is a C string. What the object's constructors and its init function do is the caller's wish.
        let object = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        let Some(object) = NonNull::new(object) else { return Err(linker_error()) };
        let module =
            symbol(object, c"kop_module").ok_or("it was not built with the headers of this project")?;
        let init = symbol(object, c"init_module").ok_or("it has no module_init")?;
        // SAFETY: the shipped <linux/init.h> declares `int init_module(void)`.
        let init = unsafe { std::mem::transmute::<NonNull<c_void>, extern "C" fn() -> i32>(init) };
        let error = init();
        if error != 0 {
            return Err(format!("its init function returned {error}"));
        }
        // SAFETY: the module is laid out by the shipped headers and stays loaded.
        let in_process = NonNull::new(unsafe { in_process_new(module.as_ptr()) });
        let in_process = in_process.ok_or_else(|| io::Error::last_os_error().to_string())?;
        if let Some(counters) = symbol(object, c"kop_coverage") {
            // SAFETY: the shipped <kop/module.h> lays it out, and the object stays loaded.
            unsafe { coverage::add(counters) };
        }
        // SAFETY: the function has no arguments and no effect.
        let answer = vec![0; unsafe { in_process_answer_max() }.div_ceil(8)];
        Ok(Self { calls: Mutex::new(Calls { in_process, answer }) })
    }
}

fn symbol(object: NonNull<c_void>, name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the handle is one of `dlopen`'s, and the name a C string.
    NonNull::new(unsafe { libc::dlsym(object.as_ptr(), name.as_ptr()) })
}

fn linker_error() -> String {
    // SAFETY: the text, if there is one, is valid until the next call for the linker by this thread.
    let error = unsafe { libc::dlerror().as_ref().map(|error| CStr::from_ptr(error)) };
    error.map_or_else(|| "it cannot be loaded".to_owned(), |error| error.to_string_lossy().into_owned())
}

/// The callbacks of one operation of a module in this process.
#[derive(Debug)]
pub struct InProcess {
    loaded: Arc<Loaded>,
    /// Leaked: a handler of signals may look at it at any time.
    descriptor: &'static Descriptor,
    /// `struct descriptor`.
    callbacks: NonNull<c_void>,
}

// SAFETY: the pointer is to constant data of an object that stays loaded.
unsafe impl Send for InProcess {}
// SAFETY: as above; what is called through it is called under the lock of `Loaded`.
unsafe impl Sync for InProcess {}

impl InProcess {
    /// The callbacks of what the object registered as `descriptor`'s name, for the architectures of `descriptor`; `None` when
    /// there is no such name.
    pub(super) fn new(loaded: Arc<Loaded>, descriptor: &Descriptor) -> Option<Self> {
        let name = CString::new(&*descriptor.name).ok()?;
        let calls = loaded.calls.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the name is a C string, and the object is loaded.
        let callbacks = unsafe { in_process_find(calls.in_process.as_ptr(), name.as_ptr()) };
        drop(calls);
        let callbacks = NonNull::new(callbacks.cast_mut())?;
        Some(Self { loaded, descriptor: Box::leak(Box::new(descriptor.clone())), callbacks })
    }

    fn answer(&self, calls: &mut Calls, asked: Asked, features: Features, payload: u64) -> Answer {
        // SAFETY: the pointer is to a field of what lives as long as the process.
        let calling = unsafe { in_process_calling(calls.in_process.as_ptr()) };
        let running = crash::Running::new(self.descriptor, payload, calling);
        let out = calls.answer.as_mut_ptr().cast::<u8>();
        // SAFETY: all of these belong together, and `out` has the room that is asked for. The callbacks themselves may do
        // anything, for which whoever loads them into a process has to be prepared.
        let size = unsafe {
            in_process_answer(
                calls.in_process.as_ptr(),
                self.callbacks.as_ptr(),
                callback_mask(self.descriptor),
                asked as u32,
                feature_bits(features),
                payload,
                out,
            )
        };
        drop(running);
        // SAFETY: so many bytes were just written there.
        let bytes = unsafe { std::slice::from_raw_parts(out, size) };
        answer_of(Record::read(bytes).expect("an answer of our own code is whole"))
    }
}

impl Callbacks for InProcess {
    fn descriptor(&self) -> &Descriptor {
        self.descriptor
    }

    fn ask(&self, asked: Asked, features: Features, payloads: &[u64]) -> Vec<Answer> {
        let mut calls = self.loaded.calls.lock().unwrap_or_else(PoisonError::into_inner);
        payloads.iter().map(|&payload| self.answer(&mut calls, asked, features, payload)).collect()
    }
}
