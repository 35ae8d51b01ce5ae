/* SPDX-License-Identifier: Apache-2.0 */
/* The shared tables and their values. */
#include "tools/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/array.h"
#include "tools/numbers.h"
#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/sched_file.h"

/* ---- tables ---- */

static struct {
    char *batch, *max_arena, *cpu, *precision, *weights, *mean, *std, *scale, *layout, *print_after,
        *dim, *winograd, *tiles, *depth_first, *max_error, *sched;
    char **consts, **inputs;
    char *preset;
    int generic;
    char *entry, *target, *prefix, *layer, *train;
    char *labels, *limit, *first;
    char *threads, *seed, *eot;
} given;

#define TEXT(name, field, help, unit)                                                              \
    {                                                                                              \
        name, 0, POPT_ARG_STRING, &given.field, 0, help, unit                                      \
    }

struct poptOption model_table[] = {
    TEXT("batch", batch,
         "samples that a worker holds at once (default 8); none: the file's own "
         "shape, without the proof that samples are independent",
         "N"),
    TEXT("max-arena", max_arena,
         "memory of one worker; where it is short, values are computed again instead of kept "
         "(default: any)",
         "BYTES"),
    TEXT("dim", dim, "extents of symbolic dimensions, e.g. H=224,W=224", "NAME=N"),
    {"const", 0, POPT_ARG_ARGV, &given.consts, 0,
     "give an input of the file a constant before compiling, a shape say: .npy, .npz or ONNX "
     "tensor (.pb); may be repeated",
     "NAME=FILE"},
    TEXT("cpu", cpu,
         "CPU to compile for (default: this one, or the target's baseline); several, as in "
         "x86-64,haswell,znver4: one object that runs the last of them that the machine can",
         "NAMES"),
    TEXT("precision", precision,
         "f32 (default), f64, or bf16: convolutions and matrix products read bf16 and sum in f32",
         "TYPE"),
    TEXT("weights", weights, "embed (default) or file: beside the object", "WHERE"),
    TEXT(
        "preset", preset,
        "what image models are fed, printed when used. imagenet: PNG and JPEG resized to a shorter "
        "side of 256, the centre of 224, --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225; "
        "cifar: --mean 0.4914,0.4822,0.4465 --std 0.2471,0.2435,0.2616",
        "NAME"),
    TEXT("mean", mean, "the model is fed (pixel * scale - mean) / std; one a channel, or one",
         "M,M,M"),
    TEXT("std", std, "see --mean; in the units after --scale", "S,S,S"),
    TEXT("scale", scale, "see --mean; 255 for a model that wants 0..255 (default 1)", "S"),
    TEXT("layout", layout, "of the model's own input: nchw (default) or nhwc", "ORDER"),
    TEXT("winograd", winograd, "auto (default): where it is faster; off: direct only", "WHEN"),
    TEXT("tiles", tiles,
         "what matrix tiles (AMX) multiply where the CPU has them: bf16 (default), f32 too, in "
         "three parts of bf16, where that is faster, or off",
         "TYPES"),
    TEXT("depth-first", depth_first,
         "auto (default): kernels whose samples exceed the L2 cache run for some of a batch "
         "before the others; off: each for all. The results are the same",
         "WHEN"),
    TEXT("max-error", max_error,
         "leave out forms of Winograd that err by more, in units of a kernel's largest result: "
         "F(4,3) 3e-6, F(2,3) 1e-6; and f32 in three parts of bf16, 1.5e-6 (default: all are "
         "allowed)",
         "E"),
    TEXT(
        "sched", sched,
        "how convolutions are run, as lines that `tune` or `inspect --print-sched` wrote; none: by "
        "the heuristic alone (default: lines measured before, else the heuristic)",
        "FILE"),
    {"generic", 0, POPT_ARG_NONE, &given.generic, 0,
     "no hand-tuned kernels: everything by the generic lowering (slow; for comparison)", NULL},
    TEXT("print-after", print_after, "print the graph after this stage to standard error", "STAGE"),
    POPT_TABLEEND};

struct poptOption train_table[] = {
    TEXT("train", train,
         "parts of a step of training, as in attack=pgd-linf,loss=trades (see docs/train.md)",
         "PARTS"),
    POPT_TABLEEND};

struct poptOption artefact_table[] = {
    TEXT("entry", entry, "programs to compile, with commas (default forward)", "NAMES"),
    TEXT("target", target, "target triple (default: this machine's)", "TRIPLE"),
    TEXT("prefix", prefix, "of the exported symbols (default: from the file's name)", "NAME"),
    TEXT("layer", layer,
         "the ONNX node that entry grad-cam looks at (default: the last convolution over places)",
         "NODE"),
    {NULL, 0, POPT_ARG_INCLUDE_TABLE, train_table, 0, NULL, NULL},
    POPT_TABLEEND};

struct poptOption data_table[] = {
    TEXT("labels", labels, "labels: .npy, IDX, or text with one integer a line", "FILE"),
    TEXT("limit", limit, "use at most this many images", "N"),
    TEXT("first", first, "start at this image, counted from 0", "N"), POPT_TABLEEND};

struct poptOption input_table[] = {
    {"input", 0, POPT_ARG_ARGV, &given.inputs, 0,
     "data of an input, samples along the first axis, elements taken as they are: .npy, .npz or "
     "ONNX tensor (.pb); may be repeated",
     "NAME=FILE"},
    POPT_TABLEEND};

struct poptOption run_table[] = {
    TEXT("threads", threads, "threads (default: one for each CPU online; shared among ranks)", "N"),
    POPT_TABLEEND};

struct poptOption seed_table[] = {TEXT("seed", seed, "of the random numbers (default 0)", "N"),
                                  POPT_TABLEEND};

struct poptOption eot_table[] = {
    TEXT(
        "eot", eot,
        "a step of an attack goes along the mean of so many gradients, for models that draw random "
        "numbers (default: one gradient)",
        "K"),
    POPT_TABLEEND};

/* ---- the command line ---- */

static int wants_help;

static void print_help(poptContext context, const Syntax *s)
{
    poptPrintHelp(context, stdout, 0);
    printf("\n%s", s->notes);
    exit(fflush(stdout) || ferror(stdout) ? STATUS_INPUT : 0);
}

static int take_arguments(poptContext context, const Syntax *s, const char **argument)
{
    int n = 0;
    for (const char *a; (a = poptGetArg(context)); n++) {
        if (n == s->most) return fail_usage("%s: one argument too many: '%s'", s->name + 8, a);
        argument[n] = a;
    }
    if (n >= s->least) return 0;
    return fail_usage("%s: missing argument, see %s --help: %s", s->name + 8, s->name,
                      s->arguments);
}

int options_parse(const Syntax *s, int argc, const char **argv, const char **argument)
{
    struct poptOption table[] = {
        {NULL, 0, POPT_ARG_INCLUDE_TABLE, s->table, 0, NULL, NULL},
        {"help", 'h', POPT_ARG_NONE, &wants_help, 0, "show this help", NULL},
        POPT_TABLEEND};
    static poptContext context; /* stays: the arguments belong to it */
    char synopsis[256];
    argv[0] = s->name;
    memset(argument, 0, sizeof *argument * (size_t)s->most);
    context = poptGetContext(NULL, argc, argv, table, 0);
    snprintf(synopsis, sizeof synopsis, "%s [OPTION...]", s->arguments);
    poptSetOtherOptionHelp(context, synopsis);
    int rc = poptGetNextOpt(context);
    if (rc < -1)
        return fail_usage("%s: %s: %s", s->name + 8, poptBadOption(context, 0), poptStrerror(rc));
    if (wants_help) print_help(context, s);
    return take_arguments(context, s, argument);
}

/* ---- values ---- */

static const char program_names[] =
#define PROGRAM(program, builder, help) " " program
#include "compiler/programs.def"
#undef PROGRAM
    ;

bool program_exists(const char *name)
{
#define PROGRAM(program, builder, help)                                                            \
    if (!strcmp(name, program)) return true;
#include "compiler/programs.def"
#undef PROGRAM
    return false;
}

/* True if the n characters at p stand in the list before it as well. */
static bool listed_before(const char *list, const char *p, size_t n)
{
    for (const char *q = list; q < p; q = strchr(q, ',') + 1)
        if (strcspn(q, ",") == n && !strncmp(q, p, n)) return true;
    return false;
}

int options_entries(const char *list)
{
    char name[64];
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < 63 ? n : 63), p);
        if (listed_before(list, p, n)) return fail_usage("--entry: '%s' twice", name);
        if (!program_exists(name))
            return fail_usage("--entry: '%s' is none of:%s", name, program_names);
    }
    return 0;
}

static int check_layer(const char *layer, const char *entries)
{
    const char *at = entries ? strstr(entries, "grad-cam") : NULL;
    return !layer || at ? 0 : fail_usage("--layer: is for --entry grad-cam");
}

static int check_prefix(const char *p)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    if (!p || (*p && strchr(letters, *p) && !p[strspn(p, all)])) return 0;
    return fail_usage("--prefix: '%s' is not a C identifier", p);
}

static int take_words(AdjOptions *o)
{
    static const char *const precisions[] = {"f32", "f64", "bf16", NULL};
    static const char *const places[] = {"embed", "file", NULL};
    static const char *const tile_words[] = {"bf16", "f32", "off", NULL}; /* ADJ_TILES_ */
    static const char *const auto_off[] = {"auto", "off", NULL};
    static const char *const layouts[] = {"nchw", "nhwc", NULL};
    int precision = 0, weights = 0, layout = 0, winograd = 0, tiles = 0, depth_first = 0, e;
    if ((e = option_word("--precision", given.precision, precisions, &precision)) ||
        (e = option_word("--weights", given.weights, places, &weights)) ||
        (e = option_word("--winograd", given.winograd, auto_off, &winograd)) ||
        (e = option_word("--tiles", given.tiles, tile_words, &tiles)) ||
        (e = option_word("--depth-first", given.depth_first, auto_off, &depth_first)) ||
        (e = option_word("--layout", given.layout, layouts, &layout)) ||
        (e = option_number("--max-error", given.max_error, 0, 1, &o->max_error)))
        return e;
    o->f64 = precision == 1;
    o->bf16 = precision == 2;
    o->weights_file = weights == 1;
    o->nhwc = layout == 1;
    o->no_winograd = winograd == 1;
    o->tiles = tiles;
    o->no_depth = depth_first == 1;
    return 0;
}

/* ---- presets ---- */

typedef struct Preset {
    const char *name, *mean, *std;
    DataResize resize;
} Preset;

static const Preset presets[] = {
    {"imagenet", "0.485,0.456,0.406", "0.229,0.224,0.225", {256, 224}},
    {"cifar", "0.4914,0.4822,0.4465", "0.2471,0.2435,0.2616", {0, 0}},
};
enum { NPRESETS = sizeof presets / sizeof *presets };

/* NULL: none was asked for. */
static int find_preset(const Preset **out)
{
    const char *words[NPRESETS + 1] = {NULL};
    int at = 0;
    for (int i = 0; i < NPRESETS; i++) words[i] = presets[i].name;
    int e = option_word("--preset", given.preset, words, &at);
    *out = given.preset && !e ? &presets[at] : NULL;
    return e;
}

static void print_preset(const Preset *p)
{
    char size[160] = "";
    if (p->resize.shorter)
        snprintf(size, sizeof size,
                 "PNG and JPEG resized to a shorter side of %lld (bilinear, antialiased), the "
                 "centre of %lld x %lld; ",
                 (long long)p->resize.shorter, (long long)p->resize.crop,
                 (long long)p->resize.crop);
    note("preset %s: %smean %s, std %s", p->name, size, p->mean, p->std);
}

/* A preset stands for --mean and --std. */
static int take_preset(void)
{
    const Preset *p;
    int e = find_preset(&p);
    if (e || !p) return e;
    if (given.mean || given.std || given.scale)
        return fail_usage("--preset: not together with --mean, --std or --scale");
    given.mean = (char *)p->mean;
    given.std = (char *)p->std;
    print_preset(p);
    return 0;
}

static int take_preprocessing(AdjOptions *o)
{
    int e = take_preset();
    if (e) return e;
    if ((e = option_numbers("--mean", given.mean, 4, o->mean, &o->nmean)) ||
        (e = option_numbers("--std", given.std, 4, o->std, &o->nstd)) ||
        (e = option_number("--scale", given.scale, -1e9, 1e9, &o->scale)))
        return e;
    for (int i = 0; i < o->nstd; i++)
        if (!(o->std[i] > 0)) return fail_usage("--std: %s is not above 0", given.std);
    if (given.scale && o->scale == 0) return fail_usage("--scale: 0 would hide the image");
    return 0;
}

static int take_batch(AdjOptions *o)
{
    if (given.batch && !strcmp(given.batch, "none")) {
        o->batch = -1;
        return 0;
    }
    return option_integer("--batch", given.batch, 1, 4096, &o->batch);
}

static int take_eot(AdjOptions *o)
{
    int64_t eot = 0;
    int e = option_integer("--eot", given.eot, 1, 1 << 16, &eot);
    o->eot = (int32_t)eot;
    return e;
}

static Arrays consts; /* options point to them */

static int take_consts(AdjOptions *o)
{
    int e = arrays_read("--const", given.consts, &consts);
    o->nconsts = consts.n;
    o->consts = consts.a;
    return e;
}

int options_model(const char *model, AdjOptions *o)
{
    int e;
    *o = (AdjOptions){.model = model,
                      .entries = given.entry,
                      .prefix = given.prefix,
                      .target = given.target,
                      .cpu = given.cpu,
                      .dims = given.dim,
                      .layer = given.layer,
                      .train = given.train,
                      .generic = given.generic,
                      .print_after = given.print_after};
    if ((e = options_entries(given.entry)) || (e = check_prefix(given.prefix)) ||
        (e = check_layer(given.layer, given.entry)) || (e = take_batch(o)) ||
        (given.max_arena &&
         (e = option_integer("--max-arena", given.max_arena, 1, INT64_MAX, &o->max_arena))) ||
        (e = take_words(o)) || (e = take_consts(o)) || (e = take_eot(o)) ||
        (e = sched_take(given.sched, o)))
        return e;
    return take_preprocessing(o);
}

int options_data(DataRange *r)
{
    int e;
    const Preset *p;
    if ((e = find_preset(&p))) return e;
    *r = (DataRange){given.labels, 0, INT64_MAX, {0, 0}};
    if (p) r->resize = p->resize;
    if ((e = option_integer("--first", given.first, 0, INT64_MAX, &r->first))) return e;
    return option_integer("--limit", given.limit, 1, INT64_MAX, &r->limit);
}

char *const *options_inputs(void)
{
    return given.inputs;
}

int options_run(RunChoice *r)
{
    int e;
    int64_t threads = sysconf(_SC_NPROCESSORS_ONLN) / ranks_here(), seed = 0;
    if (threads < 1) threads = 1;
    if ((e = option_integer("--threads", given.threads, 1, 1024, &threads)) ||
        (e = option_integer("--seed", given.seed, 0, INT64_MAX, &seed)))
        return e;
    *r = (RunChoice){(int)threads, (uint64_t)seed};
    return 0;
}
