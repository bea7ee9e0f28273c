/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_PREEMPT_H
#define _LINUX_PREEMPT_H

#define preempt_disable() do {} while (0)
#define preempt_enable() do {} while (0)
#define migrate_disable() do {} while (0)
#define migrate_enable() do {} while (0)
#define in_interrupt() 0
#define in_task() 1

#endif /* _LINUX_PREEMPT_H */
