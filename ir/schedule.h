/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of contractions as text, a line each: on one CPU, for one contraction, the words of the
 * target's own plan. Passes know nothing of them; a target looks them up when it bids.
 *
 *   znver4 conv 64x64 k3 s1 p1 56x56 b8: winograd tile=14x2 block=28 unroll=4
 *
 * Before the colon: the CPU row, the face (conv, conv_dx, conv_dw), and of the forward convolution
 * input x output channels, kernel, stride, padding, input rows x columns, batch. k, s, p and d
 * (dilation) take two numbers where axes differ (k7x1), p four where sides do (top, left, bottom,
 * right). Of s1, p0, d1, g1 (groups) and f32 nothing is said; f64 is, and `varies` (Contract). '#'
 * begins a comment. */
#ifndef ADJ_IR_SCHEDULE_H
#define ADJ_IR_SCHEDULE_H

#include "kernel.h"

typedef struct ScheduleLine {
    const char *where; /* "m.sched:3", for messages; NULL: of a list that nobody sees */
    const char *cpu;
    Contract contract;
    const char *plan; /* behind the colon, one space between words */
    bool asked;       /* a bid looked for it */
} ScheduleLine;

typedef struct Schedule {
    uint32_t n, cap;
    ScheduleLine *line;
} Schedule;

/* Appends the lines of a text. name: of the file, NULL if the user has not written it. err()s at a
 * line that cannot be read, or whose contraction an earlier line of that name has. */
void schedule_read(Arena *, Schedule *, const char *name, const char *text);
/* The first line for it, or NULL. */
ScheduleLine *schedule_find(const Schedule *, const char *cpu, const Contract *);

/* "conv 64x64 k3 s1 p1 56x56 b8" */
void contract_text(Str *, const Contract *);
bool contract_eq(const Contract *, const Contract *);

#endif
