/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT and SIGTERM in long runs: the first is noted, to be heeded where all is whole; the second
 * ends the process at once. */
#ifndef ADJ_TOOLS_SIGNALS_H
#define ADJ_TOOLS_SIGNALS_H

#include <stdbool.h>

void signals_heed(bool say); /* from now on; says so when one comes */
int signals_seen(void);      /* the signal's number, or 0 */
int signals_tick(void *);    /* AdjEnv.tick: stops a call between steps */

#endif
