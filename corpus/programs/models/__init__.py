# SPDX-License-Identifier: GPL-2.0-or-later
"""A model in Python for each program."""
