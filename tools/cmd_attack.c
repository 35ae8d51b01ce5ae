/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint attack: the options of an attack. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/attack.h"
#include "tools/commands.h"
#include "tools/compat.h"
#include "tools/numbers.h"
#include "tools/say.h"
#include "tools/sequence.h"

static struct {
    char *attack, *eps, *step, *steps, *start, *targeted, *stop, *out, *json, *csv, *png;
    char *loss, *keep, *mu, *set, *compat;
    char *norm, *checkpoint;
    int no_random, box, resume;
} given;

static struct poptOption table[] = {
    {"attack", 0, POPT_ARG_STRING, &given.attack, 0,
     "pgd-linf (default); docs/attacks.md has the list. autoattack, autoattack-plus, "
     "autoattack-rand: a sequence of "
     "attacks with the settings of its authors, each on the images that are left",
     "NAME"},
    {"norm", 0, POPT_ARG_STRING, &given.norm, 0,
     "of a sequence: linf (default) or l2; other attacks have theirs in the name", "NORM"},
    {"eps", 0, POPT_ARG_STRING, &given.eps, 0,
     "radius of the ball, in the norm of the attack, pixels in [0,1] (default: the attack's; 8/255 "
     "for Linf)",
     "EPS"},
    {"step", 0, POPT_ARG_STRING, &given.step, 0,
     "step size, in the same units (default: the attack's)", "STEP"},
    {"steps", 0, POPT_ARG_STRING, &given.steps, 0, "number of steps (default 10)", "N"},
    {"start", 0, POPT_ARG_STRING, &given.start, 0,
     "first iterates, one for each of the images; no random start", "X0.npy"},
    {"no-random-start", 0, POPT_ARG_NONE, &given.no_random, 0, "start at the image itself", NULL},
    {"targeted", 0, POPT_ARG_STRING, &given.targeted, 0,
     "reach this class, or the classes in a file (one for each of the images)", "CLASS|FILE"},
    {"stop", 0, POPT_ARG_STRING, &given.stop, 0,
     "never (default); success: at the first iterate that fools; cycle: when iterates repeat, "
     "with the result that all steps would give",
     "WHEN"},
    {"loss", 0, POPT_ARG_STRING, &given.loss, 0,
     "ce (default), margin, dlr; targeted-dlr (with --targeted)", "NAME"},
    {"keep", 0, POPT_ARG_STRING, &given.keep, 0,
     "the iterate to return: last (default), best (loss), first (that fools)", "WHICH"},
    {"mu", 0, POPT_ARG_STRING, &given.mu, 0, "momentum, where the attack has one", "MU"},
    {"box", 0, POPT_ARG_NONE, &given.box, 0,
     "stay in [0,1], for the attacks that do not by themselves (l2-min, btr, g-explain)", NULL},
    {"compat", 0, POPT_ARG_STRING, &given.compat, 0,
     "defaults of another tool, for what is not given: torchattacks, foolbox, madry, paper, "
     "autoattack",
     "TOOL"},
    {"set", 0, POPT_ARG_STRING, &given.set, 0,
     "other parameters of the attack, by the names in docs/attacks.md", "NAME=VALUE,..."},
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "write the adversarial images, [N,C,H,W]",
     "ADV.npy"},
    {"png", 0, POPT_ARG_STRING, &given.png, 0,
     "write them as 8-bit PNG too, and say how many still fool the model", "FOLDER"},
    {"csv", 0, POPT_ARG_STRING, &given.csv, 0,
     "write a line for each image: classes, success, distances", "FILE"},
    {"json", 0, POPT_ARG_STRING, &given.json, 0, "write the report as JSON", "FILE"},
    {"checkpoint", 0, POPT_ARG_STRING, &given.checkpoint, 0,
     "of a sequence: keep what is done there until all is", "FILE"},
    {"resume", 0, POPT_ARG_NONE, &given.resume, 0,
     "go on from the checkpoint; from the beginning if there is none", NULL},
    EOT_OPTION,
    SEED_OPTION,
    DATA_OPTIONS,
    RUN_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint attack",
    "model.onnx images",
    2,
    2,
    "Labels are needed. Robust accuracy counts the images that are right before and after the\n"
    "attack; the success rate is over those that were right before. Distances are of pixels in\n"
    "[0,1]. Results do not depend on threads, batch or --first.\n\n"
    "Examples:\n"
    "  adjoint attack model.onnx test_batch.bin --eps 8/255 --step 2/255 --steps 10 --limit 1000\n"
    "  adjoint attack model.onnx x.npy --labels y.npy --targeted 3 --stop success -o adv.npy\n"
    "  adjoint attack noisy.onnx x.npy --labels y.npy --attack apgd-ce --eot 20 --steps 100\n"
    "  adjoint attack model.onnx x.npy --labels y.npy --attack l2-min --steps 450 --eps 20\n"
    "  adjoint attack model.onnx test_batch.bin --attack autoattack --eps 8/255 --limit 1000 \\\n"
    "      --csv aa.csv --checkpoint aa.part --resume\n",
    table};

static int take_target(AttackPlan *p)
{
    p->targeted = given.targeted != NULL;
    if (!p->targeted) return 0;
    if (!integer_parse(given.targeted, &p->target))
        p->targets = given.targeted;
    else if (p->target < 0)
        return fail_usage("--targeted: %s is no class", given.targeted);
    return 0;
}

/* eps and step are checked here too, before anything is compiled. */
static int take_numbers(AttackPlan *p)
{
    static const char *const stops[] = {"never", "success", "cycle", NULL};
    int64_t steps = 10;
    double unused;
    int e;
    if ((e = option_number("--eps", given.eps, 0, INFINITY, &unused)) ||
        (e = option_number("--step", given.step, 0, INFINITY, &unused)) ||
        (e = option_integer("--steps", given.steps, 0, INT32_MAX, &steps)) ||
        (e = option_word("--stop", given.stop, stops, &p->stop)))
        return e;
    p->steps = (int32_t)steps;
    return take_target(p);
}

/* A later setting of the same name takes the place of an earlier one. */
static int add_setting(AttackPlan *p, const char *option, const char *name, double value)
{
    int k = 0;
    while (k < p->nsetting && strcmp(p->setting[k].name, name)) k++;
    if (k == MAX_SETTINGS) return fail_usage("--set: more than %d", MAX_SETTINGS);
    Setting *s = &p->setting[k];
    if (k == p->nsetting) p->nsetting++;
    *s = (Setting){.option = option, .value = value};
    snprintf(s->name, sizeof s->name, "%.31s", name);
    return 0;
}

static int take_word(AttackPlan *p, const char *option, const char *text, const char *const *words)
{
    int which = 0, e = option_word(option, text, words, &which);
    return e || !text ? e : add_setting(p, option, option + 2, which);
}

/* One NAME=VALUE of n characters. */
static int take_pair(AttackPlan *p, const char *pair, size_t n)
{
    char text[96], *eq;
    double value;
    snprintf(text, sizeof text, "%.*s", (int)n, pair);
    eq = strchr(text, '=');
    if (n >= sizeof text || !eq || eq == text || eq - text > 31 || !number_parse(eq + 1, &value))
        return fail_usage("--set: '%s' is not NAME=VALUE", text);
    *eq = 0;
    return add_setting(p, "--set", text, value);
}

static int take_pairs(AttackPlan *p, const char *list)
{
    int e = 0;
    for (const char *at = list; at && !e; at = at[strcspn(at, ",")] ? strchr(at, ',') + 1 : NULL)
        e = take_pair(p, at, strcspn(at, ","));
    return e;
}

/* Before everything that was given, which then has the last word. */
static int take_compat(AttackPlan *p)
{
    if (!given.compat) return 0;
    const Compat *c = compat_find(given.compat, p->attack);
    if (!c) return STATUS_USAGE;
    p->compat = c->tool;
    if (!p->eps) p->eps = c->eps;
    if (!p->step) p->step = c->step;
    if (!given.steps) p->steps = c->steps < 0 ? -c->steps : c->steps;
    p->share = c->steps < 0 ? c->share / p->steps : c->share;
    p->random &= c->random;
    return take_pairs(p, c->settings);
}

static int take_settings(AttackPlan *p)
{
    static const char *const losses[] = {"ce", "margin", "dlr", "targeted-dlr", NULL};
    static const char *const keeps[] = {"last", "best", "first", NULL};
    double mu = 0;
    int e;
    if ((e = take_word(p, "--loss", given.loss, losses)) ||
        (e = take_word(p, "--keep", given.keep, keeps)) ||
        (e = option_number("--mu", given.mu, 0, INFINITY, &mu)))
        return e;
    if (given.mu && (e = add_setting(p, "--mu", "mu", mu))) return e;
    if (given.box && (e = add_setting(p, "--box", "box", 1))) return e;
    if (given.loss && !strcmp(given.loss, "targeted-dlr") && !given.targeted)
        return fail_usage("--loss: targeted-dlr needs --targeted");
    return take_pairs(p, given.set);
}

static int take_plan(AttackPlan *p)
{
    int e;
    p->attack = given.attack ? given.attack : "pgd-linf";
    p->eps = given.eps;
    p->step = given.step;
    p->start = given.start;
    p->random = !given.start && !given.no_random;
    p->out = given.out;
    p->png = given.png;
    if (!program_exists(p->attack) || !strcmp(p->attack, "forward"))
        return fail_usage("--attack: no attack '%s'", p->attack);
    if (given.start && given.no_random)
        return fail_usage("--no-random-start: --start says where to start already");
    if ((e = take_numbers(p)) || (e = take_compat(p)) || (e = take_settings(p)) ||
        (e = options_data(&p->range)))
        return e;
    return options_run(&p->run);
}

/* ---- a sequence ---- */

/* A sequence has settings of its own, and what it alone has means nothing elsewhere. */
static int check_alien(const char *attack, bool sequence)
{
    const struct {
        const char *option;
        bool given, sequence;
    } rows[] = {
        {"--step", given.step, false},
        {"--steps", given.steps, false},
        {"--start", given.start, false},
        {"--no-random-start", given.no_random, false},
        {"--targeted", given.targeted, false},
        {"--stop", given.stop, false},
        {"--loss", given.loss, false},
        {"--keep", given.keep, false},
        {"--mu", given.mu, false},
        {"--box", given.box, false},
        {"--compat", given.compat, false},
        {"--set", given.set, false},
        {"--png", given.png, false},
        {"--norm", given.norm, true},
        {"--checkpoint", given.checkpoint, true},
        {"--resume", given.resume, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i].given || rows[i].sequence == sequence) continue;
        if (sequence) return fail_usage("%s: the stages of %s set it", rows[i].option, attack);
        return fail_usage("%s: is of sequences such as autoattack, not of %s", rows[i].option,
                          attack);
    }
    return 0;
}

static int take_sequence(SequencePlan *p)
{
    static const char *const norms[] = {"linf", "l2", NULL};
    int norm = 0, e;
    if ((e = check_alien(p->sequence, true)) ||
        (e = option_word("--norm", given.norm, norms, &norm)))
        return e;
    p->norm = norms[norm];
    p->eps = norm ? 0.5 : 8.0 / 255;
    p->out = given.out;
    p->csv = given.csv;
    p->json = given.json;
    p->checkpoint = given.checkpoint;
    p->resume = given.resume;
    if (given.resume && !given.checkpoint) return fail_usage("--resume: needs --checkpoint");
    if ((e = option_number("--eps", given.eps, 0, norm ? 1e4 : 1, &p->eps)) ||
        (e = options_data(&p->range)))
        return e;
    return options_run(&p->run);
}

static int run_sequence(const char **argument, const AdjOptions *o)
{
    SequencePlan plan = {.sequence = given.attack, .model = argument[0], .images = argument[1]};
    SequenceResult r;
    int e;
    if ((e = take_sequence(&plan)) || (e = output_check(given.out)) ||
        (e = output_check(given.json)) || (e = output_check(given.csv)) ||
        (e = output_check(given.checkpoint)))
        return e;
    e = sequence_run(&plan, o, &r);
    if (!e) sequence_print(&plan, &r);
    sequence_release(&r);
    return e;
}

/* ---- one attack ---- */

static int run_attack(const char **argument, AdjOptions *o)
{
    char entries[96];
    AttackPlan plan = {.model = argument[0], .images = argument[1]};
    AttackResult r;
    int e;
    if ((e = take_plan(&plan)) || (o->eot && (e = add_setting(&plan, "--eot", "eot", o->eot))) ||
        (e = check_alien(plan.attack, false)) || (e = output_check(given.out)) ||
        (e = output_check(given.json)) || (e = output_check(given.csv)))
        return e;
    snprintf(entries, sizeof entries, "forward,%s", plan.attack);
    o->entries = entries;
    e = attack_run(&plan, o, &r);
    if (!e) attack_print(&plan, &r);
    if (!e && given.json) e = attack_write_json(given.json, &plan, &r);
    if (!e && given.csv) e = attack_write_csv(given.csv, &plan, &r);
    attack_free(&r);
    return e;
}

int cmd_attack(int argc, const char **argv)
{
    const char *argument[2];
    AdjOptions o;
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument)) || (e = options_model(argument[0], &o)))
        return e;
    if (given.attack && sequence_exists(given.attack)) return run_sequence(argument, &o);
    return run_attack(argument, &o);
}
