/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do, for the benches of claims. */
#ifndef ADJ_TESTS_PEAK_H
#define ADJ_TESTS_PEAK_H

double cpu_seconds(void); /* of this thread: other programs take time on the clock, not here */
/* Flops a second of independent chains, in a few microseconds' time; to be compiled with the
 * machine's own flags and contraction to fma. */
double peak_flops(void);

#endif
