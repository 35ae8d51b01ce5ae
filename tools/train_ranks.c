/* SPDX-License-Identifier: Apache-2.0 */
/* Training in several ranks (mpirun). With local statistics each takes a batch of its own, and what
 * their gradients, numbers and running statistics come to is the mean over ranks; synchronised, the
 * compiled step asks for sums over ranks wherever it needs them. Sums are made in the order of
 * ranks, so that every rank has the same bits and a run the same bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/train_run.h"

/* Sums n numbers over ranks and divides by `by`. all: room for those of all ranks. */
static void sum_over_ranks(void *vector, int64_t n, int dtype, double by, char *all)
{
    int count = ranks_count();
    AdjTensor t = {.dtype = dtype};
    size_t bytes = (size_t)n * tensor_bytes(&t);
    memcpy(all + bytes * (size_t)ranks_index(), vector, bytes);
    ranks_gather(all, bytes, bytes * (size_t)count);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int r = 0; r < count; r++) sum += tensor_value(&t, all, r * n + i);
        element_store(dtype, vector, i, sum / by);
    }
}

static char *room_for_all(int64_t n)
{
    return malloc((size_t)n * sizeof(double) * (size_t)ranks_count());
}

int train_mean(const Train *t, void *vector, int64_t n)
{
    if (ranks_count() == 1) return 0;
    char *all = room_for_all(n);
    int e = ranks_agree(all ? 0 : fail_input("%s: no memory to train it", t->p->model));
    if (!e) sum_over_ranks(vector, n, t->image.dtype, ranks_count(), all);
    free(all);
    return e;
}

/* The others wait: a rank that cannot go on ends the job. */
int train_allreduce(void *user, void *data, size_t count, int dtype)
{
    char *all = room_for_all((int64_t)count);
    (void)user;
    if (!all) {
        fputs("adjoint: no memory for sums over ranks\n", stderr);
        abort();
    }
    sum_over_ranks(data, (int64_t)count, dtype, 1, all);
    free(all);
    return 0;
}

int train_bring_together(Train *t)
{
    if (!t->update) return 0;
    int e = train_mean(t, t->grad, t->list.params);
    for (int i = 0; i < NUMS && !e; i++) e = train_mean(t, &t->num[i], 1);
    for (int i = 0; i < t->st.nvec && !e; i++)
        if (!t->st.vec[i].late) e = train_mean(t, t->st.vec[i].next, t->st.vec[i].n);
    return e;
}

int train_save(const Train *t)
{
    return ranks_agree(ranks_index() ? 0 : state_save(t->p->checkpoint, &t->st));
}

/* What rank 0 has read. */
int train_spread(Train *t, int status)
{
    int e = ranks_agree(status);
    if (e) return e;
    ranks_spread(&t->st.epoch, sizeof t->st.epoch);
    ranks_spread(&t->st.step, sizeof t->st.step);
    for (int i = 0; i < t->st.nvec; i++) ranks_spread(t->st.vec[i].now, t->st.vec[i].bytes);
    return 0;
}
