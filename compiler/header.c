/* SPDX-License-Identifier: Apache-2.0 */
/* The generated header: what the entries take and give, sizes as constants, a ten-line example, and
 * the text of the ABI header, so that one file is all a caller needs. C99 and C++. */
#include <ctype.h>
#include <string.h>

#include "compiler/compiled.h"

extern const char adjoint_abi_text[]; /* runtime/adjoint_abi.h, made into a string by the build */

static const char *upper(Arena *a, const char *s)
{
    char *u = arena_strdup(a, s);
    for (char *p = u; *p; p++) *p = (char)toupper((unsigned char)*p);
    return u;
}

static void put_dims(Str *s, const ProgIO *io)
{
    str_fmt(s, "%s[n", dtype_name(io->dtype));
    for (int d = 0; d < io->rank; d++) str_fmt(s, ",%lld", (long long)io->dim[d]);
    str_put(s, "]");
}

static void put_io(Str *s, const Program *p)
{
    for (int k = 0; k < p->nio; k++) {
        const ProgIO *io = &p->io[k];
        str_fmt(s, " *   io[%d]    %-8s ", k, io->name);
        put_dims(s, io);
        str_fmt(s, " %s%s: %s\n", io->output ? "out" : "in",
                io->output || io->alias >= 0 ? ", may be NULL" : "", io->help);
    }
    for (int k = 0; k < p->nhyper; k++) {
        const ProgHyper *h = &p->hyper[k];
        str_fmt(s, " *   hyper[%d] %-8s %s, default ", k, h->name, dtype_name(h->dtype));
        str_double(s, h->value);
        str_fmt(s, ": %s\n", h->help);
    }
}

static const char *c_type(DType d)
{
    static const char *const names[DT_COUNT] = {
        [DT_F64] = "double",   [DT_F32] = "float",    [DT_I64] = "int64_t",
        [DT_I32] = "int32_t",  [DT_I8] = "int8_t",    [DT_U8] = "uint8_t",
        [DT_BOOL] = "uint8_t", [DT_F16] = "uint16_t", [DT_BF16] = "uint16_t"};
    return names[d];
}

static int64_t sample_elements(const ProgIO *io)
{
    int64_t n = 1;
    for (int d = 0; d < io->rank; d++) n *= io->dim[d];
    return n;
}

/* Static buffers for one sample and a call: compiles as it stands. */
static void put_example(AdjCompiled *c, Str *s, const char *base, const Program *p)
{
    const char *name = compiled_c_name(c, p->name), *up = upper(c->arena, c->opt.prefix);
    str_fmt(s, "/* Example: one sample through %s.\n *\n", p->name);
    str_fmt(s, " *   #include \"%s.h\"\n", base);
    for (int k = 0; k < p->nio; k++)
        str_fmt(s, " *   static %s %s[%lld];\n", c_type(p->io[k].dtype), p->io[k].name,
                (long long)sample_elements(&p->io[k]));
    str_fmt(s,
            " *   static union { char bytes[%s_%s_ARENA(1)]; long double align; } arena[1]"
            " __attribute__((aligned(64)));\n",
            up, upper(c->arena, name));
    str_put(s, " *   int run(void) {\n *       void *io[] = {");
    for (int k = 0; k < p->nio; k++) str_fmt(s, "%s%s", k ? ", " : "", p->io[k].name);
    str_put(s, "};\n *       AdjCall call = {0};\n");
    str_put(s, " *       call.size = sizeof call; call.n = 1; call.io = io;\n");
    if (p->loop) str_put(s, " *       call.steps = 10;\n");
    if (!c->module->embed)
        str_put(s, " *       call.weights = the bytes of the .weights file, 64-byte aligned;\n");
    str_put(s, " *       call.arena = arena; call.arena_bytes = sizeof arena;\n");
    str_fmt(s, " *       return %s_%s(NULL, &call);\n *   }\n */\n", c->opt.prefix, name);
}

/* One name of an enum of indices. Names that differ only in what C does not allow get a number. */
static void put_index(AdjCompiled *c, Str *s, const char *head,
                      const char *(*name)(const Program *, int), const Program *p, int k)
{
    const char *own = compiled_c_name(c, name(p, k));
    bool again = false;
    for (int i = 0; i < k; i++) again |= !strcmp(own, compiled_c_name(c, name(p, i)));
    if (again) own = arena_printf(c->arena, "%s_%d", own, k);
    str_fmt(s, "    %s_%s,\n", head, upper(c->arena, own));
}

static const char *io_name(const Program *p, int k)
{
    return p->io[k].name;
}

static const char *hyper_name(const Program *p, int k)
{
    return p->hyper[k].name;
}

/* Where things are in io and hyper, so that callers need not count. */
static void put_indices(AdjCompiled *c, Str *s, const Program *p, const char *up)
{
    str_put(s, "enum {\n");
    for (int k = 0; k < p->nio; k++)
        put_index(c, s, arena_printf(c->arena, "%s_IO", up), io_name, p, k);
    str_fmt(s, "    %s_NIO\n};\n", up);
    if (!p->nhyper) return;
    str_put(s, "enum {\n");
    for (int k = 0; k < p->nhyper; k++)
        put_index(c, s, arena_printf(c->arena, "%s_HYPER", up), hyper_name, p, k);
    str_fmt(s, "    %s_NHYPER\n};\n", up);
}

static void put_entry(AdjCompiled *c, Str *s, int i)
{
    const Program *p = &c->module->program[i];
    const char *name = compiled_c_name(c, p->name);
    const char *up = upper(c->arena, arena_printf(c->arena, "%s_%s", c->opt.prefix, name));
    str_fmt(s, "\n/* %s%s\n", p->name, p->loop ? ", call->steps steps" : "");
    put_io(s, p);
    str_put(s, " */\n");
    str_fmt(s, "#define %s_SLOTS %d\n", up, p->slots);
    str_fmt(s, "#define %s_ARENA(workers) (%lldu + (size_t)(workers) * %lldu) /* bytes */\n", up,
            (long long)p->shared_bytes, (long long)p->worker_bytes);
    str_fmt(s, "#define %s_STACK %lldu /* bytes */\n", up, (long long)c->stack[i]);
    put_indices(c, s, p, up);
    str_fmt(s, "int %s_%s(const AdjEnv *env, const AdjCall *call);\n", c->opt.prefix, name);
}

void header_text(AdjCompiled *c, Str *s, const char *base)
{
    const char *up = upper(c->arena, c->opt.prefix);
    const Module *m = c->module;
    compiled_object(c); /* which tells the stack that entries need */
    str_fmt(s, "/* %s compiled for %s, %s. Written by adjoint; do not edit. */\n", m->source,
            c->target->triple, c->cpus);
    str_fmt(s, "#ifndef ADJ_MODEL_%s_H\n#define ADJ_MODEL_%s_H\n\n", up, up);
    str_put(s, adjoint_abi_text);
    str_put(s, "\n");
    put_example(c, s, base, &m->program[0]);
    str_put(s, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    str_fmt(s, "extern const AdjModel %s_model;\n", m->prefix);
    if (!m->embed) str_fmt(s, "#define %s_WEIGHTS_BYTES %lldu\n", up, (long long)m->const_bytes);
    for (int i = 0; i < m->nprogram; i++) put_entry(c, s, i);
    str_put(s, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}
