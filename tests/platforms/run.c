/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one entry and writes its outputs: run ENTRY N OUT [IN]. IN has the inputs that must be
 * given, dense, one after the other; without it they are made. */
#include "call.h"

static const AdjEntry *find(const char *name)
{
    uint32_t i;
    for (i = 0; i < m_model.nentry; i++)
        if (!strcmp(m_model.entry[i].name, name)) return &m_model.entry[i];
    fprintf(stderr, "no entry %s\n", name);
    exit(2);
}

static int transfer(const char *path, const AdjEntry *e, Io *io, int output)
{
    FILE *f = fopen(path, output ? "wb" : "rb");
    int k, bad = !f;
    for (k = 0; !bad && k < e->nio; k++) {
        if (!e->io[k].output != !output || !io->at[k]) continue;
        bad = output ? fwrite(io->at[k], 1, io->bytes[k], f) != io->bytes[k]
                     : fread(io->at[k], 1, io->bytes[k], f) != io->bytes[k];
    }
    if (f && fclose(f)) bad = 1;
    if (bad) fprintf(stderr, "%s: cannot be %s\n", path, output ? "written" : "read");
    return bad;
}

int main(int argc, char **argv)
{
    const AdjEntry *e;
    AdjCall call;
    Io io;
    int code;
    if (argc < 4) return 2;
    e = find(argv[1]);
    io = make_io(e, atoi(argv[2]));
    if (argc > 4 && transfer(argv[4], e, &io, 0)) return 2;
    call = make_call(e, &io, atoi(argv[2]));
    code = e->run(NULL, &call);
    if (code) fprintf(stderr, "%s returned %d\n", argv[1], code);
    if (!code && transfer(argv[3], e, &io, 1)) code = 2;
    free_call(&io, &call);
    return code != 0;
}
