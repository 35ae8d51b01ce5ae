/* SPDX-License-Identifier: Apache-2.0 */
/* in_locale MODEL OUT: compiles as a program does that took its user's locale, which the command
 * does not. Exits 3 if the environment names a locale that is not there. */
#include <locale.h>
#include <stdio.h>

#include "compiler/adjoint.h"

int main(int argc, char **argv)
{
    AdjError e;
    if (argc != 3 || !setlocale(LC_ALL, "")) return 3;
    AdjOptions o = {.model = argv[1], .entries = "forward,pgd-linf", .prefix = "m", .batch = 1};
    AdjCompiled *c = adj_compile(&o, &e);
    if (c && adj_write(c, argv[2], ADJ_EMIT_OBJ, &e)) {
        adj_compiled_free(c);
        return 0;
    }
    fprintf(stderr, "in_locale: %s\n", e.msg);
    adj_compiled_free(c);
    return 1;
}
