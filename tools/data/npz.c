/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy .npz: a zip file of .npy members. libzip knows zip; a member is believed no more than an
 * .npy file. libzip writes a temporary file and renames it when it closes. */
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "format.h"

#define MEMBER_MAX ((zip_uint64_t)4 << 30)

bool npz_probe(const char *path)
{
    char head[4];
    return file_head(path, head, sizeof head) == sizeof head &&
           (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "PK\5\6", 4));
}

static zip_t *open_zip(const char *path, int flags, DataError *e)
{
    int code;
    zip_t *z = zip_open(path, flags, &code);
    if (z) return z;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    data_fail(e, "%s: %s", path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return NULL;
}

/* ---- reading ---- */

/* `what` names file and member in messages. */
static bool read_bytes(zip_t *z, zip_uint64_t index, const char *what, Bytes *out, DataError *e)
{
    zip_stat_t st;
    if (zip_stat_index(z, index, 0, &st) || !(st.valid & ZIP_STAT_SIZE) || st.size > MEMBER_MAX)
        return data_fail(e, "%s: larger than 4 GiB", what);
    zip_file_t *f = zip_fopen_index(z, index, 0);
    if (!f) return data_fail(e, "%s: %s", what, zip_strerror(z));
    uint8_t *p = malloc((size_t)st.size + 1);
    zip_int64_t n = p ? zip_fread(f, p, st.size) : -1;
    const char *why = p ? zip_file_strerror(f) : "out of memory";
    *out = (Bytes){.p = p, .n = n < 0 ? 0 : (size_t)n};
    if (n < 0 || (zip_uint64_t)n != st.size) data_fail(e, "%s: damaged (%s)", what, why);
    zip_fclose(f);
    return n >= 0 && (zip_uint64_t)n == st.size;
}

static zip_int64_t find_member(zip_t *z, const char *path, const char *name, DataError *e)
{
    char member[512];
    snprintf(member, sizeof member, "%s.npy", name);
    zip_int64_t at = zip_name_locate(z, member, 0);
    if (at < 0 && zip_get_num_entries(z, 0) == 1) at = 0;
    if (at < 0) data_fail(e, "%s: holds no array '%s'", path, name);
    return at;
}

bool npz_read(const char *path, const char *name, NpyArray *out, DataError *e)
{
    Bytes b = {0};
    char what[600];
    *out = (NpyArray){0};
    zip_t *z = open_zip(path, ZIP_RDONLY, e);
    zip_int64_t at = z ? find_member(z, path, name, e) : -1;
    bool ok = at >= 0;
    if (ok) {
        snprintf(what, sizeof what, "%s: %s", path, zip_get_name(z, (zip_uint64_t)at, 0));
        ok = read_bytes(z, (zip_uint64_t)at, what, &b, e) && npy_parse(&b, what, out, e);
    }
    free((void *)b.p);
    if (z) zip_discard(z);
    return ok;
}

/* ---- writing ---- */

/* The source's two parts, head and elements, must live until the file is closed. */
static bool add_member(zip_t *z, const char *path, const NpzMember *m, char *head, DataError *e)
{
    char name[512];
    zip_error_t error;
    size_t bytes, n = npy_format_head(path, head, m->type, m->rank, m->shape, &bytes, e);
    zip_buffer_fragment_t part[2] = {{(zip_uint8_t *)head, n}, {(void *)m->data, bytes}};
    if (!n) return false;
    zip_error_init(&error);
    zip_source_t *s = zip_source_buffer_fragment_create(part, 2, 0, &error);
    if (!s) return data_fail(e, "%s: %s", path, zip_error_strerror(&error));
    snprintf(name, sizeof name, "%s.npy", m->name);
    zip_int64_t at = zip_file_add(z, name, s, ZIP_FL_ENC_UTF_8);
    if (at < 0) {
        zip_source_free(s);
        return data_fail(e, "%s: %s: %s", path, name, zip_strerror(z));
    }
    zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_STORE, 0);
    zip_file_set_dostime(z, (zip_uint64_t)at, 0, 0x21, 0); /* 1980-01-01, where its time starts */
    return true;
}

bool npz_write(const char *path, int n, const NpzMember *member, DataError *e)
{
    char *heads = calloc((size_t)n + 1, NPY_HEAD_MAX);
    zip_t *z = heads ? open_zip(path, ZIP_CREATE | ZIP_TRUNCATE, e) : NULL;
    bool ok = z != NULL;
    if (!heads) data_fail(e, "%s: out of memory", path);
    for (int i = 0; i < n && ok; i++)
        ok = add_member(z, path, &member[i], heads + (size_t)i * NPY_HEAD_MAX, e);
    if (ok && zip_close(z)) ok = data_fail(e, "%s: %s", path, zip_strerror(z));
    if (!ok && z) zip_discard(z);
    free(heads);
    return ok;
}
