#!/bin/bash -eu
# SPDX-License-Identifier: GPL-2.0-or-later
# What the services call, with OUT, SRC and SANITIZER set.
exec "$SRC/kop/scripts/fuzz-out"
