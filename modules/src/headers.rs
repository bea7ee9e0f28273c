// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel headers that modules are compiled against: our own, under `modules/include`, carried in the library.

use std::fs;
use std::io;
use std::path::Path;

macro_rules! header {
    ($path:literal) => {
        ($path, include_str!(concat!("../include/", $path)))
    };
}

/// Every header: its path below the folder, and its text.
pub const HEADERS: &[(&str, &str)] = &[
    header!("asm/bug.h"),
    header!("asm/byteorder.h"),
    header!("asm/cpucaps.h"),
    header!("asm/cpufeature.h"),
    header!("asm/cpufeatures.h"),
    header!("asm/hwcap.h"),
    header!("asm/lse.h"),
    header!("asm/processor.h"),
    header!("asm/unaligned.h"),
    header!("kop/module.h"),
    header!("linux/align.h"),
    header!("linux/array_size.h"),
    header!("linux/atomic.h"),
    header!("linux/bitfield.h"),
    header!("linux/bitops.h"),
    header!("linux/bits.h"),
    header!("linux/bpf.h"),
    header!("linux/bpf_common.h"),
    header!("linux/btf.h"),
    header!("linux/btf_ids.h"),
    header!("linux/bug.h"),
    header!("linux/build_bug.h"),
    header!("linux/byteorder/generic.h"),
    header!("linux/byteorder/little_endian.h"),
    header!("linux/compiler.h"),
    header!("linux/compiler_attributes.h"),
    header!("linux/compiler_types.h"),
    header!("linux/container_of.h"),
    header!("linux/cpufeature.h"),
    header!("linux/err.h"),
    header!("linux/errno.h"),
    header!("linux/export.h"),
    header!("linux/filter.h"),
    header!("linux/gfp.h"),
    header!("linux/init.h"),
    header!("linux/kconfig.h"),
    header!("linux/kernel.h"),
    header!("linux/kstrtox.h"),
    header!("linux/ktime.h"),
    header!("linux/limits.h"),
    header!("linux/list.h"),
    header!("linux/lockdep.h"),
    header!("linux/log2.h"),
    header!("linux/math.h"),
    header!("linux/math64.h"),
    header!("linux/minmax.h"),
    header!("linux/mm.h"),
    header!("linux/module.h"),
    header!("linux/moduleparam.h"),
    header!("linux/mutex.h"),
    header!("linux/overflow.h"),
    header!("linux/preempt.h"),
    header!("linux/printk.h"),
    header!("linux/rcupdate.h"),
    header!("linux/slab.h"),
    header!("linux/spinlock.h"),
    header!("linux/stdarg.h"),
    header!("linux/stddef.h"),
    header!("linux/string.h"),
    header!("linux/stringify.h"),
    header!("linux/swab.h"),
    header!("linux/types.h"),
    header!("linux/unaligned.h"),
    header!("linux/vmalloc.h"),
    header!("uapi/linux/bpf.h"),
    header!("uapi/linux/bpf_common.h"),
    header!("uapi/linux/errno.h"),
    header!("uapi/linux/types.h"),
];

/// Writes all headers below `folder`, which is made when it is not there. What has their names is overwritten.
///
/// # Errors
/// When a folder or a file cannot be written.
pub fn write_to(folder: &Path) -> io::Result<()> {
    for (path, text) in HEADERS {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
