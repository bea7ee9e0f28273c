/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <uapi/linux/bpf_common.h>
