/* SPDX-License-Identifier: Apache-2.0 */
/* What makes the result of a sequence doubtful, as AutoAttack's code checks it: warnings, no
 * errors. Whether a model takes gradients of itself cannot be in an ONNX file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tools/chunk.h"
#include "tools/say.h"
#include "tools/sequence.h"

static int call(Harness *h, Buffers *b, void *x, int64_t n, uint64_t seed)
{
    int e = buffers_lend(b, "x", x);
    AdjCall c = {.n = n, .seed = seed, .io = b->io};
    return e ? e : harness_call(h, b->entry, &c, NULL);
}

/* ---- randomness, probabilities ---- */

static double length(const AdjTensor *t, const void *z, int64_t i)
{
    int64_t k = tensor_elements(t);
    double sum = 1e-20;
    for (int64_t j = i * k; j < (i + 1) * k; j++) sum += pow(tensor_value(t, z, j), 2);
    return sqrt(sum);
}

/* Logits of unit length are farther apart than 1e-4 for one of n images. */
static bool differ(const AdjTensor *t, const void *a, const void *b, int64_t n)
{
    int64_t k = tensor_elements(t);
    for (int64_t i = 0; i < n; i++) {
        double la = length(t, a, i), lb = length(t, b, i), sum = 0;
        for (int64_t j = i * k; j < (i + 1) * k; j++)
            sum += pow(tensor_value(t, a, j) / la - tensor_value(t, b, j) / lb, 2);
        if (sqrt(sum) > 1e-4) return true;
    }
    return false;
}

static int check_outputs(Harness *h, SequenceResult *r, void *x, int64_t n, uint64_t seed)
{
    Buffers b = {.entry = harness_entry(h, "forward"), .samples = n};
    int e = buffers_add(&b, "logits");
    const AdjTensor *t = buffers_tensor(&b, "logits");
    size_t bytes = tensor_bytes(t) * (size_t)n;
    void *first = e ? NULL : malloc(bytes + 1);
    if (first && !(e = call(h, &b, x, n, seed))) {
        memcpy(first, buffers_data(&b, "logits"), bytes);
        if (score_probabilities(t, first, n))
            warn("%s: its outputs look like probabilities; attacks want logits", h->path);
        e = call(h, &b, x, n, seed + 1);
    }
    r->random = first && !e && differ(t, first, buffers_data(&b, "logits"), n);
    if (r->random && !r->stage[0].gradients)
        warn("%s: its outputs are random; autoattack-rand is for such models", h->path);
    free(first);
    buffers_free(&b);
    return e;
}

/* ---- gradients ---- */

static int check_gradients(Harness *h, void *x, int64_t *y, int64_t n, uint64_t seed)
{
    Buffers b = {.entry = harness_entry(h, "gradient"), .samples = n};
    int64_t zero = 0;
    int e;
    if (!(e = buffers_add(&b, "grad")) && !(e = buffers_lend(&b, "y", y)))
        e = call(h, &b, x, n, seed);
    if (!e) {
        const AdjTensor *t = buffers_tensor(&b, "grad");
        int64_t k = tensor_elements(t), j;
        for (int64_t i = 0; i < n; i++) {
            for (j = 0; j < k && tensor_value(t, buffers_data(&b, "grad"), i * k + j) == 0; j++) {
            }
            zero += j == k;
        }
    }
    if (zero)
        warn("%s: the gradient is zero at %lld of %lld images: attacks that go by it may fail",
             h->path, (long long)zero, (long long)n);
    buffers_free(&b);
    return e;
}

int sequence_check_model(Harness *h, SequenceResult *r, void *x, int64_t *y, int64_t n,
                         uint64_t seed)
{
    int e = check_outputs(h, r, x, n, seed);
    return e ? e : check_gradients(h, x, y, n, seed);
}

/* ---- classes, search ---- */

void sequence_check_classes(SequenceResult *r, int64_t classes)
{
    for (int k = 0; k < r->nstages; k++) {
        Stage *s = &r->stage[k];
        if (s->targets < classes) continue;
        warn("%s: %d targets are more than the %lld other classes", s->name, s->targets,
             (long long)classes - 1);
        s->targets = (int)classes - 1;
    }
}

void sequence_check_search(const SequenceResult *r)
{
    int last = r->nstages - 1;
    if (last < 1 || strcmp(r->stage[last].name, "square")) return;
    int64_t lost = r->robust[last - 1] - r->robust[last];
    if ((double)lost > 0.002 * (double)r->n)
        warn("square broke %lld images that gradients did not: the result may be unreliable; more "
             "restarts or an adaptive attack may break others",
             (long long)lost);
}
