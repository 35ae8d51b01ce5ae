/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors of a training entry, for who calls it: where they start, and the file that they make
 * of the model. */
#include <string.h>

#include "compiler/compiled.h"
#include "compiler/onnx_train.h"
#include "compiler/trainable.h"

typedef struct Vectors {
    AdjCompiled *c;
    AdjTrain *list;
    void *params, *stats;
    const char *path;
} Vectors;

static void list_tensors(AdjTrainTensor *to, const TrainTensor *t, int n, int statistic)
{
    for (int i = 0; i < n; i++) {
        to[i] = (AdjTrainTensor){.name = t[i].name,
                                 .offset = t[i].offset,
                                 .count = t[i].count,
                                 .rank = t[i].type.rank,
                                 .statistic = statistic};
        memcpy(to[i].dim, t[i].type.dim, sizeof to[i].dim);
    }
}

static void list_all(void *arg)
{
    Vectors *v = arg;
    const Trainable *t = model_trainable(&v->c->model);
    AdjTrainTensor *all = NEW_N(v->c->arena, AdjTrainTensor, t->nparam + t->nstat + 1);
    list_tensors(all, t->param, t->nparam, 0);
    list_tensors(all + t->nparam, t->stat, t->nstat, 1);
    *v->list = (AdjTrain){t->nparam + t->nstat, all, t->params, t->decayed, t->stats};
}

bool adj_train(AdjCompiled *c, AdjTrain *out, AdjError *e)
{
    Vectors v = {.c = c, .list = out};
    return guarded_call(list_all, &v, e);
}

/* ---- where they start ---- */

static void put(const TrainTensor *t, int n, DType d, void *to)
{
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < t[k].count; i++)
            elem_set(d, to, t[k].offset + i,
                     elem_get(t[k].type.dtype, t[k].start->data, t[k].start->splat ? 0 : i));
}

static void start(void *arg)
{
    Vectors *v = arg;
    const Trainable *t = model_trainable(&v->c->model);
    put(t->param, t->nparam, t->dtype, v->params);
    put(t->stat, t->nstat, t->dtype, v->stats);
}

bool adj_train_start(AdjCompiled *c, void *params, void *stats, AdjError *e)
{
    Vectors v = {.c = c, .params = params, .stats = stats};
    return guarded_call(start, &v, e);
}

/* ---- the file ---- */

static double single(const OnnxValue *v, int64_t i)
{
    return ((const float *)v->data)[i];
}

static double exact(const OnnxValue *v, int64_t i)
{
    return ((const double *)v->data)[i];
}

static void name_values(OnnxValue *to, const TrainTensor *t, int n, DType d, const void *from)
{
    for (int i = 0; i < n; i++) {
        const char *at = (const char *)from + t[i].offset * dtype_bytes(d);
        to[i] = (OnnxValue){t[i].name, t[i].count, d == DT_F64 ? exact : single, at};
    }
}

static void save(void *arg)
{
    Vectors *v = arg;
    const Trainable *t = model_trainable(&v->c->model);
    int n = t->nparam + t->nstat;
    OnnxValue *value = NEW_N(t->arena, OnnxValue, n + 1);
    name_values(value, t->param, t->nparam, t->dtype, v->params);
    name_values(value + t->nparam, t->stat, t->nstat, t->dtype, v->stats);
    onnx_save(v->c->opt.model, v->path, n, value);
}

bool adj_train_save(AdjCompiled *c, const void *params, const void *stats, const char *path,
                    AdjError *e)
{
    Vectors v = {.c = c, .params = (void *)params, .stats = (void *)stats, .path = path};
    return guarded_call(save, &v, e);
}
