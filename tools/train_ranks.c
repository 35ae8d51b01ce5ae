/* SPDX-License-Identifier: Apache-2.0 */
/* Training in several ranks (mpirun): each takes its share of the batch, and what their gradients,
 * numbers and running statistics come to is the mean over ranks, summed in the order of ranks, so
 * that every rank has the same bits and a run the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "tools/ranks.h"
#include "tools/say.h"
#include "tools/train_run.h"

int train_mean(const Train *t, void *vector, int64_t n)
{
    int count = ranks_count();
    size_t each = t->image.dtype == ADJ_F64 ? 8 : 4, bytes = (size_t)n * each;
    if (count == 1) return 0;
    char *all = malloc(bytes * (size_t)count);
    int e = ranks_agree(all ? 0 : fail_input("%s: no memory to train it", t->p->model));
    if (e) return e;
    memcpy(all + bytes * (size_t)ranks_index(), vector, bytes);
    ranks_gather(all, bytes, bytes * (size_t)count);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int r = 0; r < count; r++) sum += train_number(t, all, r * n + i);
        element_store(t->image.dtype, vector, i, sum / count);
    }
    free(all);
    return 0;
}

int train_bring_together(Train *t)
{
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
