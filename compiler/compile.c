/* SPDX-License-Identifier: Apache-2.0 */
/* The driver: import, retype, simplify, fold, batch; then each program's graphs through simplify
 * and fold; then the lowering. Every stage has a name that --print-after knows. */
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compiler/compiled.h"
#include "compiler/random.h"
#include "compiler/trainable.h"
#include "passes/passes.h"

double wall_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Numbers are written and read with a decimal point, whatever locale the caller's program is in. */
bool guarded_call(void (*fn)(void *), void *arg, AdjError *e)
{
    AdjError ignored;
    e = e ? e : &ignored;
    e->msg[0] = 0;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t callers = uselocale(plain); /* of this thread; kept if there is no plain one */
    bool ok = err_guard(fn, arg, e->msg, sizeof e->msg);
    uselocale(callers);
    if (plain) freelocale(plain);
    return ok;
}

/* ---- stages ---- */

static const Graph *stage(AdjCompiled *c, const char *name, const Graph *g)
{
    str_fmt(&c->stages, "%s%s", c->stages.n ? ", " : "", name);
    if (c->opt.print_after && !strcmp(c->opt.print_after, name)) {
        c->printed = true;
        Str s = {0};
        graph_print(&s, g);
        fputs(s.s, stderr);
        str_free(&s);
    }
    return g;
}

static Graph *settle(AdjCompiled *c, const Graph *g)
{
    Graph *s = pass_simplify(c->arena, g);
    s = pass_fold(c->arena, s);
    s = pass_simplify(c->arena, s);
    return pass_fold(c->arena, s);
}

/* "H=224,W=224" */
static void take_dims(AdjCompiled *c, OnnxOptions *oo)
{
    char *list = arena_strdup(c->arena, c->opt.dims ? c->opt.dims : ""), *rest = list, *end;
    for (char *one; (one = strsep(&rest, ","));) {
        char *eq = strrchr(one, '=');
        if (!*one) continue;
        if (oo->ndims == ONNX_MAX_DIMS) err("--dim", "more than %d dimensions", ONNX_MAX_DIMS);
        long long v = eq ? strtoll(eq + 1, &end, 10) : 0;
        if (!eq || eq == one || *end || v < 1 || v > 1 << 20)
            err("--dim", "%s is not NAME=EXTENT", one);
        *eq = 0;
        oo->dims[oo->ndims++] = (OnnxDim){one, v};
    }
}

/* Constants of the caller's, copied. */
static void take_consts(AdjCompiled *c)
{
    OnnxFixed *fixed = NEW_N(c->arena, OnnxFixed, c->opt.nconsts + 1);
    for (int i = 0; i < c->opt.nconsts; i++) {
        const AdjArray *a = &c->opt.consts[i];
        Type t = type_of((DType)a->dtype, a->rank, a->dim);
        Graph *one = graph_new(c->arena, "const");
        fixed[i].name = arena_strdup(c->arena, a->name);
        if (!type_count(t)) continue;
        Ref r = graph_const(one, t, a->data);
        fixed[i].value = one->node[r].value;
    }
    c->fixed = fixed;
    c->opt.consts = NULL;
}

static OnnxOptions import_options(AdjCompiled *c)
{
    const AdjOptions *o = &c->opt;
    OnnxOptions oo = {.nmean = o->nmean,
                      .nstd = o->nstd,
                      .scale = o->scale,
                      .nhwc = o->nhwc,
                      .weights = o->weights_file,
                      .image = &c->image,
                      .keep_batch = o->batch == BATCH_NONE,
                      .fixed = c->fixed,
                      .nfixed = o->nconsts};
    memcpy(oo.mean, o->mean, sizeof oo.mean);
    memcpy(oo.std, o->std, sizeof oo.std);
    take_dims(c, &oo);
    return oo;
}

static void import(AdjCompiled *c)
{
    const AdjOptions *o = &c->opt;
    take_consts(c);
    OnnxOptions oo = import_options(c);
    double start = wall_seconds();
    c->imported = stage(c, "import", onnx_import(c->arena, o->model, &oo));
    c->times.import = wall_seconds() - start;
}

static Ref find_image(const Graph *g)
{
    Ref x = graph_find_input(g, "x");
    if (x == NOREF) err(NULL, "the model has no input");
    return x;
}

static void prepare_model(AdjCompiled *c)
{
    const Graph *g = c->imported;
    DType d = c->opt.f64 ? DT_F64 : DT_F32;
    if (d == DT_F64) g = stage(c, "retype", pass_retype(c->arena, g, DT_F32, DT_F64));
    const Graph *file = g;
    int64_t b = c->opt.batch;
    /* The proof is of what the file says: in one sample, simplify takes a mean over samples for the
     * sample. */
    if (b != BATCH_NONE) pass_batch(c->arena, g, 2);
    g = stage(c, "fold", settle(c, g));
    if (b == BATCH_NONE)
        b = g->node[find_image(g)].type.dim[0];
    else
        g = stage(c, "batch", pass_simplify(c->arena, pass_batch(c->arena, g, b)));
    if (!g->nout) err(c->opt.model, "the model has no output");
    c->model = (Model){.g = g,
                       .b = b,
                       .dtype = d,
                       .x = find_image(g),
                       .logits = g->out[0].ref,
                       .file = file,
                       .layer = c->opt.layer,
                       .train = c->opt.train,
                       .arena = c->arena,
                       .owner = c};
    c->model.random = graph_find_input(g, RNG_DRAW) != NOREF;
    c->model.eot = c->opt.eot;
    if (g->node[c->model.x].type.dtype != d)
        err(c->opt.model, "the image input is %s; f32 is what can be compiled",
            dtype_name(g->node[c->model.x].type.dtype));
}

/* A model is imported once more where its weights are arguments. */
const Trainable *model_trainable(const Model *m)
{
    AdjCompiled *c = m->owner;
    OnnxOptions oo = import_options(c);
    if (c->opt.bf16) err("--precision", "training is in f32 or f64");
    if (!c->trainable) c->trainable = trainable_new(m, c->opt.model, &oo, c->opt.batch);
    return c->trainable;
}

/* ---- programs ---- */

static Graph *settle_phase(AdjCompiled *c, Graph *g)
{
    if (!g) return NULL;
    stage(c, arena_printf(c->arena, "%s.raw", g->name), g);
    g = settle(c, g);
    if (c->opt.bf16) g = pass_bf16(c->arena, g);
    stage(c, g->name, g);
    return g;
}

static void add_program(AdjCompiled *c, const char *name)
{
    const ProgramRow *row = program_find(name);
    if (!row) {
        Str known = {0};
        for (int i = 0; i < nprogram_rows; i++)
            str_fmt(&known, "%s%s", i ? ", " : "", program_rows[i].name);
        const char *list = arena_strdup(c->arena, known.s);
        str_free(&known);
        err("--entry", "unknown entry %s; known: %s", name, list);
    }
    for (int i = 0; i < c->nspec; i++)
        if (!strcmp(c->spec[i].name, row->name)) err("--entry", "names %s twice", name);
    if (c->nspec == MAX_ENTRIES) err("--entry", "more than %d entries", MAX_ENTRIES);
    ProgramSpec *s = &c->spec[c->nspec++];
    s->name = row->name;
    s->slots = (int)c->model.b;
    s->whole = c->opt.batch == BATCH_NONE && s->slots > 1;
    row->build(&c->model, s);
    program_settle(&c->model, s);
    spec_other_inputs(s, &c->model);
    s->init = settle_phase(c, s->init);
    s->step = settle_phase(c, s->step);
    s->judge = settle_phase(c, s->judge);
    s->finish = settle_phase(c, s->finish);
}

static bool any_expects(const AdjCompiled *c)
{
    for (int i = 0; i < c->nspec; i++)
        if (spec_hyper_find(&c->spec[i], "eot")) return true;
    return false;
}

static void add_programs(AdjCompiled *c)
{
    char *list = arena_strdup(c->arena, c->opt.entries), *rest = list;
    for (char *name; (name = strsep(&rest, ","));)
        if (*name) add_program(c, name);
    if (!c->nspec) err("--entry", "names no entry");
    if (c->opt.eot && !any_expects(c)) err("--eot", "no entry takes steps along gradients");
}

/* ---- lowering ---- */

static Module *lower_for(AdjCompiled *c, const Target *target)
{
    Module *m = module_new(c->arena, c->opt.prefix);
    const char *slash = strrchr(c->opt.model, '/');
    m->source = slash ? slash + 1 : c->opt.model;
    m->precision = c->model.dtype;
    m->embed = !c->opt.weights_file;
    m->trace = c->opt.trace;
    for (int i = 0; i < c->nspec; i++)
        lower_program_within(m, target, &c->spec[i], c->opt.max_arena);
    module_finish(m);
    return m;
}

static void lower(AdjCompiled *c)
{
    double start = wall_seconds();
    for (int i = 0; i < c->nvariant; i++) c->variant[i].module = lower_for(c, c->variant[i].target);
    variants_join(c);
    uint64_t hash = model_hash(c);
    for (int i = 0; i < c->nvariant; i++) c->variant[i].module->hash = hash;
    if (c->opt.print_after && !strcmp(c->opt.print_after, "lower")) {
        c->printed = true;
        Str s = {0};
        module_print(&s, c->module);
        fputs(s.s, stderr);
        str_free(&s);
    }
    c->times.lower = wall_seconds() - start;
}

static void compile(void *arg)
{
    AdjCompiled *c = arg;
    variants_open(c);
    import(c);
    double start = wall_seconds();
    prepare_model(c);
    add_programs(c);
    c->times.passes = wall_seconds() - start;
    lower(c);
    if (c->opt.print_after && !c->printed)
        err("--print-after", "no stage %s; there are: %s, lower", c->opt.print_after, c->stages.s);
}

/* ---- options ---- */

/* A C identifier out of a file name: "my-net.onnx" -> "my_net". */
static const char *default_prefix(Arena *a, const char *model)
{
    const char *slash = strrchr(model, '/');
    char *name = arena_printf(a, "%s", slash ? slash + 1 : model);
    char *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = 0;
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p)) *p = '_';
    return isdigit((unsigned char)*name) ? arena_printf(a, "m_%s", name) : name;
}

static void check_options(void *arg)
{
    AdjCompiled *c = arg;
    AdjOptions *o = &c->opt;
    if (!o->model) err(NULL, "no model given");
    if (o->batch != BATCH_NONE && (o->batch < 1 || o->batch > 4096))
        err("--batch", "must be between 1 and 4096");
    if (o->f64 && o->bf16) err("--precision", "is one of f64 and bf16");
    if (o->eot < 0 || o->eot > MOST_EOT) err("--eot", "must be between 1 and %d", MOST_EOT);
    for (const char *p = o->prefix; *p; p++)
        if (!(isalpha((unsigned char)*p) || *p == '_' ||
              (p > o->prefix && isdigit((unsigned char)*p))))
            err("--prefix", "%s is not a C identifier", o->prefix);
    for (int i = 0; i < o->nstd; i++)
        if (!(fabs(o->std[i]) > 0) || !isfinite(o->std[i]))
            err("--std", "must be finite and not zero");
}

static const char *keep(Arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

static void copy_options(AdjCompiled *c, const AdjOptions *o)
{
    Arena *a = c->arena;
    c->opt = *o;
    c->opt.model = keep(a, o->model);
    c->opt.entries = keep(a, o->entries ? o->entries : "forward");
    c->opt.dims = keep(a, o->dims);
    c->opt.layer = keep(a, o->layer);
    c->opt.train = keep(a, o->train);
    c->opt.target = keep(a, o->target);
    c->opt.cpu = keep(a, o->cpu);
    c->opt.print_after = keep(a, o->print_after);
    c->opt.schedule = keep(a, o->schedule);
    c->opt.schedule_name = keep(a, o->schedule_name ? o->schedule_name : "schedule");
    c->opt.prefix = o->prefix ? keep(a, o->prefix) : o->model ? default_prefix(a, o->model) : "";
    if (!o->batch) c->opt.batch = DEFAULT_BATCH;
}

static bool names(const AdjError *e, const char *file)
{
    size_t n = strlen(file);
    return !strncmp(e->msg, file, n) && e->msg[n] == ':';
}

/* A fault found behind the importer is the file's too, unless it is an option's or a schedule's. */
static void name_model(const AdjOptions *o, AdjError *e)
{
    char msg[sizeof e->msg];
    if (!strncmp(e->msg, "--", 2) || names(e, o->model) || names(e, o->schedule_name)) return;
    memcpy(msg, e->msg, sizeof msg);
    snprintf(e->msg, sizeof e->msg, "%.400s: %.600s", o->model, msg);
}

typedef struct Begin {
    const AdjOptions *options;
    AdjCompiled *c;
} Begin;

static void release_arena(void *a)
{
    arena_free(a);
}

static void begin(void *arg)
{
    Begin *b = arg;
    Arena *a = arena_new();
    err_defer(release_arena, a);
    AdjCompiled *c = NEW(a, AdjCompiled);
    c->arena = a;
    copy_options(c, b->options);
    err_keep(a);
    b->c = c;
}

AdjCompiled *adj_compile(const AdjOptions *o, AdjError *e)
{
    Begin b = {.options = o};
    if (!guarded_call(begin, &b, e)) return NULL;
    AdjCompiled *c = b.c;
    if (guarded_call(check_options, c, e)) {
        if (guarded_call(compile, c, e)) return c;
        if (e) name_model(&c->opt, e);
    }
    adj_compiled_free(c);
    return NULL;
}

void adj_compiled_free(AdjCompiled *c)
{
    if (!c) return;
    if (c->loaded) object_unload(c->loaded);
    bytes_free(&c->object);
    str_free(&c->stages);
    arena_free(c->arena);
}

const char *adj_file_name(const AdjCompiled *c, const char *tensor)
{
    const Graph *g = c->imported;
    if (!strcmp(tensor, "x")) return c->image;
    if (!strcmp(tensor, "logits") && g->nout) return g->out[0].name;
    if (graph_find_input(g, tensor) != NOREF) return strcmp(tensor, "x_") ? tensor : "x";
    for (uint32_t i = 1; i < g->nout; i++)
        if (!strcmp(g->out[i].name, tensor)) return tensor;
    return NULL;
}

AdjTimes adj_times(const AdjCompiled *c)
{
    return c->times;
}

/* ---- code ---- */

const Bytes *compiled_object(AdjCompiled *c)
{
    if (c->object.data) return &c->object;
    double start = wall_seconds();
    c->object = variants_emit(c, EMIT_OBJ, c->stack);
    c->times.emit = wall_seconds() - start;
    return &c->object;
}

int64_t compiled_object_bytes(AdjCompiled *c)
{
    return (int64_t)compiled_object(c)->size + (c->module->embed ? c->module->const_bytes : 0);
}

static void free_bytes(void *b)
{
    bytes_free(b);
}

static void *load_whole(AdjCompiled *c, const char *symbol)
{
    Bytes whole = *compiled_object(c);
    void *address = NULL;
    whole.data = malloc(whole.size);
    if (!whole.data) err(NULL, "out of memory (%zu bytes wanted)", whole.size);
    err_defer(free_bytes, &whole);
    memcpy(whole.data, c->object.data, whole.size);
    weights_append(&whole, c->module);
    c->loaded = object_load(&whole, symbol, &address);
    err_keep(&whole);
    bytes_free(&whole);
    return address;
}

static void load(void *arg)
{
    AdjCompiled *c = arg;
    if (c->target->gpu) err("--target", "%s code cannot be loaded here", c->target->triple);
    void *address = NULL;
    const char *symbol = arena_printf(c->arena, "%s_model", c->opt.prefix);
    if (c->module->embed) {
        address = load_whole(c, symbol);
    } else {
        module_hold(c->module);
        c->loaded = object_load(compiled_object(c), symbol, &address);
    }
    c->here = address;
}

const AdjModel *adj_load_here(AdjCompiled *c, AdjError *e)
{
    if (!c->here && !guarded_call(load, c, e)) return NULL;
    return c->here;
}

const void *adj_weights(const AdjCompiled *c, uint64_t *bytes)
{
    if (bytes) *bytes = (uint64_t)c->module->const_bytes;
    return c->module->embed ? NULL : c->module->consts;
}

const char *compiled_c_name(AdjCompiled *c, const char *program)
{
    char *s = arena_strdup(c->arena, program);
    for (char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p)) *p = '_';
    return s;
}
