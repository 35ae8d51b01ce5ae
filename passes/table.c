/* SPDX-License-Identifier: Apache-2.0 */
/* The passes by name, for the tools that run them one by one: adjopt and adjtest. A row parses what
 * stands after "name=". */
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

static Graph *run_simplify(Arena *a, const Graph *g, const char *arg)
{
    (void)arg;
    return pass_simplify(a, g);
}

static Graph *run_fold(Arena *a, const Graph *g, const char *arg)
{
    (void)arg;
    return pass_fold(a, g);
}

static Graph *run_dce(Arena *a, const Graph *g, const char *arg)
{
    (void)arg;
    return pass_dce(a, g);
}

static Graph *run_verify(Arena *a, const Graph *g, const char *arg)
{
    (void)arg;
    graph_verify(g, "verify");
    return pass_dce(a, g);
}

static long long number(const char *name, const char *arg)
{
    char *end;
    long long n = strtoll(arg, &end, 10);
    if (*end || end == arg) err(NULL, "%s=%s: not a number", name, arg);
    return n;
}

static Graph *run_batch(Arena *a, const Graph *g, const char *arg)
{
    return pass_batch(a, g, number("batch", arg));
}

static Graph *run_channels(Arena *a, const Graph *g, const char *arg)
{
    double *macs;
    long long lanes = number("channels", arg);
    if (lanes < 1 || lanes > 64) err(NULL, "channels=%s: 1 to 64 lanes", arg);
    return pass_channels(a, g, lanes, &macs);
}

/* "f64" retypes f32; "i64:i32" says both. */
static Graph *run_retype(Arena *a, const Graph *g, const char *arg)
{
    const char *colon = strchr(arg, ':');
    char *name = arena_strdup(a, arg);
    DType from = DT_F32, to;
    if (colon) name[colon - arg] = 0;
    bool known = dtype_by_name(colon ? colon + 1 : arg, &to);
    if (!known || (colon && !dtype_by_name(name, &from)))
        err(NULL, "retype=%s: not an element type", arg);
    return pass_retype(a, g, from, to);
}

static Graph *run_bf16(Arena *a, const Graph *g, const char *arg)
{
    (void)arg;
    return pass_bf16(a, g);
}

static Graph *run_grad(Arena *a, const Graph *src, const char *arg)
{
    Graph *g = pass_dce(a, src);
    char *out_name = arena_strdup(a, arg), *in_name = strchr(out_name, ':');
    if (!in_name) err(NULL, "grad=%s: two names are needed, OUT:IN", arg);
    *in_name++ = 0;
    Ref out = graph_find_output(g, out_name), in = graph_find_input(g, in_name), grad;
    if (out == NOREF) err(NULL, "grad=%s: there is no output %s", arg, out_name);
    if (in == NOREF) err(NULL, "grad=%s: there is no input %s", arg, in_name);
    grad_append(g, 1, &out, NULL, 1, &in, &grad);
    graph_output(g, graph_find_output(g, "grad") == NOREF ? "grad" : arena_printf(a, "d_%s", arg),
                 grad);
    return g;
}

const PassRow pass_rows[] = {
    {"simplify", NULL, run_simplify, "algebra, composition of views, dead code"},
    {"fold", NULL, run_fold, "constants, and batch normalisation into convolutions"},
    {"dce", NULL, run_dce, "dead code only"},
    {"batch", "B", run_batch, "batch extent 1 becomes B, if samples are independent"},
    {"retype", "[FROM:]TO", run_retype, "one dtype becomes another; FROM is f32 if not given"},
    {"bf16", NULL, run_bf16, "what contractions read is rounded to bf16"},
    {"channels", "LANES", run_channels, "channels that do not fill vectors get empty ones beside"},
    {"grad", "OUT:IN", run_grad, "adds the output grad = d sum(OUT) / d IN"},
    {"verify", NULL, run_verify, "checks the graph, changes nothing"},
};
const int pass_nrows = COUNT(pass_rows);

const PassRow *pass_find(const char *spec)
{
    size_t n = strcspn(spec, "=");
    for (int i = 0; i < pass_nrows; i++)
        if (strlen(pass_rows[i].name) == n && !strncmp(pass_rows[i].name, spec, n))
            return &pass_rows[i];
    return NULL;
}

Graph *pass_by_spec(Arena *a, const Graph *g, const char *spec)
{
    const PassRow *row = pass_find(spec);
    const char *arg = strchr(spec, '=');
    if (!row) err(NULL, "%s: no such pass", spec);
    if (!arg != !row->arg) err(NULL, "%s: %s", spec, row->arg ? "needs a value" : "takes no value");
    return row->run(a, g, arg ? arg + 1 : NULL);
}
