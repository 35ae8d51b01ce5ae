/* SPDX-License-Identifier: Apache-2.0 */
/* train-gradient and train-update, one behind the other, are train-step bit for bit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tests/e2e/e2e.h"

enum { BATCH = 4, PIXELS = 5 * 5, CLASSES = 4, ROOM = 4096 };
static const char model[] = "halves.onnx";
static const char parts[] =
    "attack=l2-min,attack_norm=batch,penalty=lipschitz,optimiser=adamw,average=ema";

/* Every tensor by its name, in one place for all entries. */
typedef struct Memory {
    const char *name;
    double at[ROOM / 8];
} Memory;

static Memory memory[40];

static void *place(const char *name)
{
    int i = 0;
    while (memory[i].name && strcmp(memory[i].name, name)) i++;
    memory[i].name = name;
    return memory[i].at;
}

static void fill_inputs(void)
{
    float *x = place("x");
    int64_t *y = place("y"), *pick = place("pick"), *attacked = place("attacked");
    for (int i = 0; i < BATCH * PIXELS; i++) x[i] = (float)((i * i * 31 + i * 17) % 256) / 255;
    for (int k = 0; k < BATCH; k++) {
        y[k] = k % CLASSES;
        pick[k] = k - 1;
        attacked[k] = k % 2;
    }
}

static AdjStatus call(const Net *net, const char *entry)
{
    const AdjEntry *e = adj_entry(net->model, entry);
    Run r = {.n = 1, .steps = 3};
    for (int i = 0; e && i < e->nio; i++)
        run_bind(net, entry, &r, e->io[i].name, place(e->io[i].name));
    net_run(net, entry, &r);
    return r.status;
}

static void take(const char *to, const char *from)
{
    memcpy(place(to), place(from), ROOM);
}

static void compare(Count *k, const char *kept, const char *now)
{
    count_check(k, !memcmp(place(kept), place(now), ROOM), "%s is that of train-step", now);
}

int main(void)
{
    static const char *const out[] = {"new_params",  "new_mean",          "new_square",
                                      "new_average", "new_average_stats", "new_stats",
                                      "new_control", "new_count"};
    static const char *const kept[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    Count k = {.name = "train_halves"};
    AdjError e;
    AdjResnet small = {.depth = 6,
                       .nstage = 2,
                       .widths = {2, 2},
                       .classes = CLASSES,
                       .channels = 1,
                       .height = 5,
                       .width = 5,
                       .preact = true,
                       .half_huber = true};
    AdjOptions o = {.model = model,
                    .entries = "train-step,train-gradient,train-update",
                    .train = parts,
                    .batch = BATCH};
    if (!adj_new_resnet(&small, model, &e)) return 1;
    Net net = net_open(&o);
    if (!adj_train_start(net.c, place("params"), place("stats"), &e)) return 1;
    fill_inputs();
    AdjStatus s = call(&net, "train-step");
    /* three steps of l2-min and its last evaluation; then one forward, the input gradient and what
     * is differentiated through it, and the gradient in the weights */
    count_check(&k, s.forwards == 5 * BATCH && s.backwards == 7 * BATCH,
                "counts %lld forwards, %lld backwards", (long long)s.forwards,
                (long long)s.backwards);
    for (int i = 0; i < 8; i++) take(kept[i], out[i]);
    for (int i = 0; i < 8; i++) memset(place(out[i]), 0, ROOM);
    call(&net, "train-gradient");
    take("stats", "new_stats"); /* the average is of those behind the gradient */
    call(&net, "train-update");
    for (int i = 0; i < 8; i++) compare(&k, kept[i], out[i]);
    net_close(&net);
    remove(model);
    return count_close(&k);
}
