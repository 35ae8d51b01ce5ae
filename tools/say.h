/* SPDX-License-Identifier: Apache-2.0 */
/* What the command says on standard error: one line, opening with "adjoint: ".
 *
 * Functions of the command that can fail return its exit status: 0, STATUS_INPUT for the user's
 * model, data or files, STATUS_USAGE for the command line. Who finds the fault says the line. */
#ifndef ADJ_TOOLS_SAY_H
#define ADJ_TOOLS_SAY_H

enum { STATUS_INPUT = 1, STATUS_USAGE = 2 };
enum { SAY_LINE = 2048 }; /* the longest, cut off there */

#define SAY_PRINTF __attribute__((format(printf, 1, 2)))

SAY_PRINTF int fail_input(const char *format, ...); /* returns STATUS_INPUT */
SAY_PRINTF int fail_usage(const char *format, ...); /* returns STATUS_USAGE */
SAY_PRINTF void note(const char *format, ...);      /* what the user should know that is no fault */
SAY_PRINTF void warn(const char *format, ...);

/* From now on lines are kept instead of printed, the last one at a time: for a process that has
 * another one say them. */
void say_keep(void);
const char *say_kept(void);

#endif
