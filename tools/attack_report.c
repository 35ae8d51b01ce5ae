/* SPDX-License-Identifier: Apache-2.0 */
/* What an attack's result says, to people and as JSON. Timings stand apart from what is the same on
 * every run. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "tools/attack.h"
#include "tools/data/format.h"
#include "tools/say.h"
#include "tools/json_file.h"

static const char *const stops[] = {"never", "success", "cycle"};

/* Passes that an image-step is counted by: backward ones, where the attack has any. */
static double image_steps(const AttackResult *r)
{
    return (double)(r->backwards ? r->backwards : r->forwards);
}

static double share(int64_t part, int64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void print_share(const char *what, int64_t part, int64_t whole, const char *note)
{
    printf("%-16s %.4f (%" PRId64 " of %" PRId64 "%s)\n", what, share(part, whole), part, whole,
           note);
}

static void print_setting(const AttackPlan *p, const AttackResult *r)
{
    printf("%-16s %s", "attack", p->attack);
    if (p->compat) printf(" as %s", p->compat);
    if (!isnan(r->eps)) printf(", eps %.6g", r->eps);
    if (!isnan(r->step)) printf(", step %.6g", r->step);
    for (int i = 0; i < p->nsetting; i++)
        printf(", %s %.6g", p->setting[i].name, p->setting[i].value);
    printf(", %d steps, start %s, seed %" PRIu64 ", %s\n", p->steps, r->start, p->run.seed,
           p->targeted ? "targeted" : "untargeted");
}

static void print_spread(const char *norm, const Spread *s)
{
    printf("%-16s mean %.6g, quartiles %.6g %.6g %.6g, max %.6g (pixels in [0,1])\n", norm, s->mean,
           s->q1, s->median, s->q3, s->max);
}

void attack_print(const AttackPlan *p, const AttackResult *r)
{
    double n = (double)r->n;
    print_setting(p, r);
    print_share("clean accuracy", r->correct, r->n, "");
    print_share("robust accuracy", r->robust, r->n, "");
    print_share("success rate", r->correct - r->robust, r->correct, " that were right before");
    if (p->targeted) print_share("target reached", r->reached, r->n, "");
    if (p->png) print_share("as 8-bit PNG", r->robust8, r->n, " robust");
    print_spread("Linf", &r->linf);
    print_spread("L2", &r->l2);
    print_spread("RMSE", &r->rmse);
    printf("%-16s %.3f forwards, %.3f backwards a sample\n", "cost", (double)r->forwards / n,
           (double)r->backwards / n);
    printf("%-16s %.0f image-steps/s (%.3f s, %d threads; compiled in %.2f s)\n", "speed",
           image_steps(r) / r->seconds, r->seconds, p->run.threads, r->compile_seconds);
}

static json_t *number_or_null(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *given_json(const AttackPlan *p)
{
    json_t *j = json_object();
    for (int i = 0; i < p->nsetting; i++)
        json_object_set_new(j, p->setting[i].name, json_real(p->setting[i].value));
    return j;
}

static json_t *setting_json(const AttackPlan *p, const AttackResult *r)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:i, s:I, s:s, s:s?, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:i}",
        "attack", p->attack, "eps", number_or_null(r->eps), "step", number_or_null(r->step),
        "parameters", given_json(p), "steps", (int)p->steps, "seed", (json_int_t)p->run.seed,
        "start", r->start, "start_file", p->start, "targeted", p->targeted, "stop", stops[p->stop],
        "model", p->model, "hash", hash, "precision", r->precision, "target", r->target, "cpu",
        r->cpu, "batch", r->slots);
}

static json_t *spread_json(const Spread *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "mean", s->mean, "q1", s->q1, "median", s->median,
                     "q3", s->q3, "max", s->max);
}

static json_t *result_json(const AttackPlan *p, const AttackResult *r)
{
    json_t *j =
        json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:{s:o, s:o, s:o}, s:f, s:f}", "images",
                  p->images, "first", (json_int_t)p->range.first, "n", (json_int_t)r->n,
                  "clean_accuracy", share(r->correct, r->n), "robust_accuracy",
                  share(r->robust, r->n), "success_rate", share(r->correct - r->robust, r->correct),
                  "distances", "linf", spread_json(&r->linf), "l2", spread_json(&r->l2), "rmse",
                  spread_json(&r->rmse), "forwards_per_sample", (double)r->forwards / (double)r->n,
                  "backwards_per_sample", (double)r->backwards / (double)r->n);
    if (p->png) json_object_set_new(j, "robust_accuracy_8bit", json_real(share(r->robust8, r->n)));
    if (p->targeted) json_object_set_new(j, "target_rate", json_real(share(r->reached, r->n)));
    return j;
}

static json_t *timing_json(const AttackPlan *p, const AttackResult *r)
{
    return json_pack("{s:f, s:f, s:f, s:i}", "attack_seconds", r->seconds, "image_steps_per_second",
                     image_steps(r) / r->seconds, "compile_seconds", r->compile_seconds, "threads",
                     p->run.threads);
}

int attack_write_json(const char *path, const AttackPlan *p, const AttackResult *r)
{
    json_t *j =
        json_pack("{s:o, s:o, s:o, s:s}", "settings", setting_json(p, r), "results",
                  result_json(p, r), "timings", timing_json(p, r), "units",
                  "pixels in [0,1]; eps, step: in the norm of the attack; accuracies: shares");
    return json_write(path, j);
}
