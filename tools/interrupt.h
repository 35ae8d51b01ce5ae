/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT and SIGTERM ask a long run to stop; a second one ends the process at once. */
#ifndef ADJ_TOOLS_INTERRUPT_H
#define ADJ_TOOLS_INTERRUPT_H

void interrupt_heed(void);
int interrupt_signal(void);     /* the signal that came, 0 if none */
int interrupt_tick(void *user); /* AdjEnv.tick: stops a call between steps */

#endif
