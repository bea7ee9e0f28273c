// SPDX-License-Identifier: GPL-2.0-or-later
//! One thread that stops what does not end: Unicorn's own time limit takes a thread for every run, which looks at the clock
//! all the time.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use unicorn_engine_sys::{uc_emu_stop, uc_engine};

/// How often the thread looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// The instances that are watched, for the life of the process.
static WATCHED: OnceLock<Mutex<Vec<Arc<Mutex<Run>>>>> = OnceLock::new();

/// What is known of an instance's run.
struct Run {
    /// The instance; none once it is gone.
    instance: Option<Instance>,
    /// When the present run has to end.
    deadline: Option<Instant>,
    /// Whether it was stopped.
    stopped: bool,
}

struct Instance(*mut uc_engine);

// SAFETY: the handle is used by the watchdog's thread alone, under the lock of its `Run`, for `uc_emu_stop`, which is made to
// be called from another thread; `Limit::drop` takes it out under that lock before the instance is closed.
unsafe impl Send for Instance {}

/// The time limit of an instance. It has to be dropped before the instance.
pub(super) struct Limit(Arc<Mutex<Run>>);

impl Limit {
    /// A limit for the instance.
    pub(super) fn new(instance: *mut uc_engine) -> Self {
        let run = Run { instance: Some(Instance(instance)), deadline: None, stopped: false };
        let run = Arc::new(Mutex::new(run));
        let watched = WATCHED.get_or_init(|| {
            std::thread::Builder::new()
                .name("unicorn-watchdog".to_owned())
                .spawn(watch)
                .expect("a process that emulates has room for a thread");
            Mutex::default()
        });
        lock(watched).push(Arc::clone(&run));
        Self(run)
    }

    /// Runs something for at most `time`; the second value is whether it was stopped.
    pub(super) fn run<T>(&self, time: Duration, run: impl FnOnce() -> T) -> (T, bool) {
        {
            let mut own = lock(&self.0);
            own.deadline = Some(Instant::now() + time);
            own.stopped = false;
        }
        let result = run();
        let mut own = lock(&self.0);
        own.deadline = None;
        (result, own.stopped)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        lock(&self.0).instance = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() {
    loop {
        std::thread::sleep(INTERVAL);
        let Some(watched) = WATCHED.get() else { continue };
        lock(watched).retain(|run| {
            let mut run = lock(run);
            let is_late = run.deadline.is_some_and(|deadline| deadline < Instant::now());
            match &run.instance {
                None => return false,
                // SAFETY: the instance is open, see `Instance`.
                Some(instance) if is_late => unsafe {
                    // It can only fail before an instance has run anything.
                    let _ = uc_emu_stop(instance.0);
                },
                Some(_) => return true,
            }
            run.stopped = true;
            true
        });
    }
}
