/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks by MPI, or the one there is without it. */
#define _GNU_SOURCE
#include "tools/ranks.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/say.h"

static struct {
    int count, index, here;
    bool any_thread;
} ranks = {1, 0, 1, true};

int ranks_count(void)
{
    return ranks.count;
}

int ranks_index(void)
{
    return ranks.index;
}

int ranks_here(void)
{
    return ranks.here;
}

bool ranks_any_thread(void)
{
    return ranks.any_thread;
}

/* How many ranks the launcher says it started: Open MPI's, MPICH's. */
static int started(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (int i = 0; i < 2; i++)
        if (getenv(names[i])) return atoi(getenv(names[i]));
    return 1;
}

#ifdef ADJ_MPI
#    include <mpi.h>
#    include <signal.h>
#    include <sys/prctl.h>

static void part(void)
{
    MPI_Finalize();
}

/* Ranks must not outlive a launcher that was killed: they would go on writing the checkpoint. */
static void die_with_launcher(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void count_here(void)
{
    MPI_Comm machine;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    MPI_Comm_size(machine, &ranks.here);
    MPI_Comm_free(&machine);
}

int ranks_join(int asked)
{
    static bool joined;
    int threads;
    if (joined || (!asked && started() < 2)) return 0;
    joined = true;
    die_with_launcher();
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &threads)) return fail_input("no MPI");
    ranks.any_thread = threads >= MPI_THREAD_SERIALIZED;
    atexit(part);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks.count);
    MPI_Comm_rank(MPI_COMM_WORLD, &ranks.index);
    count_here();
    if (!ranks.index) return 0;
    say_keep();
    return freopen("/dev/null", "w", stdout) ? 0 : STATUS_INPUT;
}

int ranks_agree(int status)
{
    char line[SAY_LINE] = "";
    int mine = status ? ranks.index : ranks.count, first;
    if (ranks.count == 1) return status;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (first == ranks.count) return 0;
    if (ranks.index == first) snprintf(line, sizeof line, "%s", say_kept());
    MPI_Bcast(&status, 1, MPI_INT, first, MPI_COMM_WORLD);
    MPI_Bcast(line, sizeof line, MPI_CHAR, first, MPI_COMM_WORLD);
    if (!ranks.index && first) note("rank %d: %s", first, line);
    return status;
}

#    define DEFINE_REDUCE(Number, name, type, operation)                                           \
        Number ranks_##name(Number v)                                                              \
        {                                                                                          \
            if (ranks.count > 1)                                                                   \
                MPI_Allreduce(MPI_IN_PLACE, &v, 1, type, operation, MPI_COMM_WORLD);               \
            return v;                                                                              \
        }

static int share_of(int rank, size_t share, size_t bytes)
{
    size_t before = share * (size_t)rank;
    return before >= bytes ? 0 : (int)(bytes - before < share ? bytes - before : share);
}

void ranks_gather(void *array, size_t share, size_t bytes)
{
    int *size = calloc((size_t)ranks.count * 2, sizeof *size), *at = size + ranks.count;
    if (!size) abort();
    for (int i = 0; i < ranks.count; i++) {
        size[i] = share_of(i, share, bytes);
        at[i] = size[i] ? (int)(share * (size_t)i) : 0;
    }
    if (ranks.count > 1)
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_BYTE, array, size, at, MPI_BYTE, MPI_COMM_WORLD);
    free(size);
}

void ranks_spread(void *array, size_t bytes)
{
    if (ranks.count > 1) MPI_Bcast(array, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
}

#else

int ranks_join(int asked)
{
    if (!asked && started() < 2) return 0;
    return fail_usage("--mpi: this adjoint is built without MPI (no Open MPI was there when it was "
                      "configured); run it without mpirun");
}

int ranks_agree(int status)
{
    return status;
}

#    define DEFINE_REDUCE(Number, name, type, operation)                                           \
        Number ranks_##name(Number v)                                                              \
        {                                                                                          \
            return v;                                                                              \
        }

void ranks_gather(void *array, size_t share, size_t bytes)
{
    (void)array, (void)share, (void)bytes;
}

void ranks_spread(void *array, size_t bytes)
{
    (void)array, (void)bytes;
}
#endif

DEFINE_REDUCE(int64_t, least, MPI_INT64_T, MPI_MIN)
DEFINE_REDUCE(int64_t, most, MPI_INT64_T, MPI_MAX)
DEFINE_REDUCE(int64_t, sum, MPI_INT64_T, MPI_SUM)
DEFINE_REDUCE(double, slowest, MPI_DOUBLE, MPI_MAX)
