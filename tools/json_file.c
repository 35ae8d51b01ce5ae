/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/json_file.h"

#include "tools/data/format.h"
#include "tools/say.h"

int json_write(const char *path, json_t *j)
{
    if (!j) return fail_input("%s: cannot be written: a name is not UTF-8", path);
    NewFile file;
    DataError e;
    bool ok = file_create(path, &file, &e);
    if (ok) {
        bool good = !json_dumpf(j, file.f, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
        fputc('\n', file.f);
        ok = file_commit(&file, good, &e);
    }
    json_decref(j);
    return ok ? 0 : fail_input("%s", e.msg);
}
