/* SPDX-License-Identifier: Apache-2.0 */
/* Files of schedules (--sched): their text, and what is said of lines that nothing wanted. */
#ifndef ADJ_TOOLS_SCHED_FILE_H
#define ADJ_TOOLS_SCHED_FILE_H

#include "compiler/adjoint.h"

/* The text of a file, kept until the process ends; an exit status. "none" stands for no schedules
 * at all, not even measured ones; NULL for nothing. */
int sched_take(const char *path, AdjOptions *);
void sched_warn_unused(AdjCompiled *);

#endif
