/* SPDX-License-Identifier: Apache-2.0 */
/* Image files: one, a folder of them, or a folder of class folders whose order by name gives the
 * labels. All have one size, or are resized to one; if any is in colour, the grey ones are read as
 * colour too. Opening looks at every header; pixels are decoded when they are read. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "format.h"
#include "resize.h"

#define IMAGE_MAX ((int64_t)4 << 30) /* bytes of one decoded image */

static const ImageCodec *const codecs[] = {&codec_png, &codec_jpeg};
static const char *const suffixes[] = {".png", ".jpg", ".jpeg"};

typedef struct {
    PathList files;
    int64_t *labels; /* beside files, where there are class folders */
    ImageSize size;
} Images;

static const ImageCodec *codec_of(const Bytes *b)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (codecs[i]->probe(b)) return codecs[i];
    return NULL;
}

static bool probe(const Data *d)
{
    return d->folder || codec_of(&d->bytes);
}

static void free_images(void *state)
{
    Images *im = state;
    path_list_free(&im->files);
    free(im->labels);
    free(im);
}

/* ---- which files ---- */

static bool named_image(const char *path)
{
    const char *dot = strrchr(path_name(path), '.');
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof *suffixes; i++)
        if (!strcasecmp(dot, suffixes[i])) return true;
    return false;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Keeps the paths that `keep` likes. */
static void filter(PathList *l, bool (*keep)(const char *))
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (keep(l->path[i]))
            l->path[n++] = l->path[i];
        else
            free(l->path[i]);
    l->n = n;
}

static bool list_of(const char *folder, bool (*keep)(const char *), PathList *out, DataError *e)
{
    if (!file_list(folder, out, e)) return false;
    filter(out, keep);
    return true;
}

/* Moves the paths of `from` behind those of the set and labels them. */
static bool add_class(Images *im, PathList *from, int64_t label)
{
    size_t n = im->files.n + from->n;
    char **path = realloc(im->files.path, (n + 1) * sizeof *path);
    if (path) im->files.path = path;
    int64_t *labels = realloc(im->labels, (n + 1) * sizeof *labels);
    if (labels) im->labels = labels;
    if (!path || !labels) return false;
    for (size_t i = im->files.n; i < n; i++) {
        path[i] = from->path[i - im->files.n];
        labels[i] = label;
    }
    im->files.n = im->files.cap = n;
    from->n = 0;
    return true;
}

static bool list_classes(Images *im, const PathList *folders, DataError *e)
{
    for (size_t i = 0; i < folders->n; i++) {
        PathList l;
        if (!list_of(folders->path[i], named_image, &l, e)) return false;
        bool ok = add_class(im, &l, (int64_t)i);
        path_list_free(&l);
        if (!ok) return data_fail(e, "%s: out of memory", folders->path[i]);
    }
    return true;
}

static bool list_images(Images *im, const char *folder, DataError *e)
{
    PathList folders;
    if (!list_of(folder, named_image, &im->files, e)) return false;
    if (!list_of(folder, is_folder, &folders, e)) return false;
    bool ok = true;
    if (im->files.n && folders.n)
        ok = data_fail(e, "%s: holds both images and folders; it must be one or the other", folder);
    else if (folders.n)
        ok = list_classes(im, &folders, e);
    path_list_free(&folders);
    if (ok && !im->files.n) ok = data_fail(e, "%s: no PNG or JPEG files in it", folder);
    return ok;
}

/* ---- their size ---- */

static bool size_of(const char *path, ImageSize *out, DataError *e)
{
    Bytes b;
    if (!file_load(path, &b, e)) return false;
    const ImageCodec *codec = codec_of(&b);
    bool ok = codec ? codec->size(&b, path, out, e)
                    : data_fail(e, "%s: neither PNG nor JPEG, whatever its name says", path);
    file_unload(&b);
    if (ok && (out->height < 1 || out->width < 1)) ok = data_fail(e, "%s: an empty image", path);
    return ok;
}

static bool fits_memory(ImageSize s, const char *path, DataError *e)
{
    int64_t dims[3] = {s.height, s.width, s.channels}, bytes;
    if (shape_product(dims, 3, &bytes) && bytes <= IMAGE_MAX) return true;
    return data_fail(e, "%s: larger than 4 GiB decoded", path);
}

/* Sizes must agree, unless all become one. */
static bool add_size(ImageSize *all, ImageSize one, bool any, const char *path, const char *first,
                     DataError *e)
{
    if (!any && (one.height != all->height || one.width != all->width))
        return data_fail(e, "%s: %lld x %lld pixels, but %s has %lld x %lld", path,
                         (long long)one.width, (long long)one.height, path_name(first),
                         (long long)all->width, (long long)all->height);
    if (one.channels > all->channels) all->channels = one.channels;
    return true;
}

static bool common_size(Images *im, DataResize r, DataError *e)
{
    char *const *path = im->files.path;
    for (size_t i = 0; i < im->files.n; i++) {
        ImageSize one;
        if (!size_of(path[i], &one, e)) return false;
        if (i == 0) im->size = one;
        if (!add_size(&im->size, one, r.shorter, path[i], path[0], e)) return false;
    }
    if (r.shorter) im->size.height = im->size.width = r.crop;
    return fits_memory(im->size, path[0], e);
}

/* ---- the set format ---- */

/* Decodes at the file's own size, resizes, crops. */
static bool decode_resized(const Data *d, const ImageCodec *codec, const Bytes *b, const char *path,
                           uint8_t *out, DataError *e)
{
    ImageSize own;
    if (!codec->size(b, path, &own, e)) return false;
    own.channels = (int)d->shape[2];
    ImageSize to = resize_shorter(own, d->resize.shorter);
    if (!fits_memory(own, path, e) || !fits_memory(to, path, e)) return false;
    uint8_t *whole = malloc((size_t)(own.height * own.width * own.channels));
    uint8_t *small = malloc((size_t)(to.height * to.width * to.channels));
    bool ok = whole && small ? true : data_fail(e, "%s: out of memory for an image", path);
    ok = ok && codec->decode(b, path, own, whole, e) &&
         resize_bilinear(path, whole, own, small, to, e);
    if (ok) crop_centre(small, to, d->resize.crop, out);
    free(whole);
    free(small);
    return ok;
}

static bool decode(const Data *d, const Bytes *b, const char *path, uint8_t *out, DataError *e)
{
    const Images *im = d->state;
    const ImageCodec *codec = codec_of(b);
    if (!codec) return data_fail(e, "%s: the file changed while it was open", path);
    if (d->resize.shorter) return decode_resized(d, codec, b, path, out, e);
    return codec->decode(b, path, im->size, out, e);
}

static bool fetch(Data *d, int64_t i, uint8_t *out, DataError *e)
{
    const Images *im = d->state;
    const char *path = im->files.path[i];
    Bytes b;
    if (!file_load(path, &b, e)) return false;
    bool ok = decode(d, &b, path, out, e);
    file_unload(&b);
    return ok;
}

static bool list_single(Images *im, const char *path, DataError *e)
{
    im->files.path = malloc(sizeof *im->files.path);
    char *copy = strdup(path);
    if (!im->files.path || !copy) {
        free(copy);
        return data_fail(e, "%s: out of memory", path);
    }
    im->files.path[0] = copy;
    im->files.n = im->files.cap = 1;
    return true;
}

static bool open_images(Data *d, DataError *e)
{
    Images *im = calloc(1, sizeof *im);
    if (!im) return data_fail(e, "%s: out of memory", d->path);
    d->state = im;
    d->free_state = free_images;
    if (d->folder ? !list_images(im, d->path, e) : !list_single(im, d->path, e)) return false;
    if (!common_size(im, d->resize, e)) return false;
    d->type = NPY_U8;
    d->hwc = true;
    d->count = (int64_t)im->files.n;
    d->rank = 3;
    d->shape[0] = im->size.height;
    d->shape[1] = im->size.width;
    d->shape[2] = im->size.channels;
    d->fetch = fetch;
    d->labels = im->labels;
    im->labels = NULL;
    return true;
}

const Format format_images = {"png/jpeg", probe, open_images};
