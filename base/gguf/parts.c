/* Parts: a model in several files, NAME-00001-of-0000N.gguf, which is one by any of them.
 *
 * The first part has the keys; each has tensors of its own.  All files are mapped one
 * behind the other, behind a header that names the tensors of all.  So the rest of the
 * program sees one file.
 *
 * Source: llama.cpp, tools/gguf-split (keys split.no, split.count, split.tensors.count). */
#include "base/gguf/open_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/io.h>

#define PARTS_MAX 1000u
#define PATH_BYTES 4096
#define PAGE_MASK 65535u /* a multiple of every machine's pages */
#define ENDING "-00001-of-00001.gguf"
#define ENDING_BYTES (sizeof(ENDING) - 1)

struct part {
    struct flo_gguf *gguf;
    int fd;
    uint64_t place; /* where the file lies in the mapping of all */
};
struct parts {
    struct part items[PARTS_MAX];
    uint32_t count;
    struct flo_gguf_tensor *tensors; /* those of all files, by part */
    size_t tensor_count;
    uint64_t bytes; /* size of the mapping */
};

static void parts_deinit(struct parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        flo_gguf_close(parts->items[i].gguf);
        flo_fd_cleanup(&parts->items[i].fd);
    }
    free(parts->tensors);
}

/* Makes the path of part `number` of the same model. */
static int path_of(const char *path, uint32_t number, uint32_t count, char out[PATH_BYTES],
                   struct flo_err *err)
{
    size_t bytes = strlen(path);
    unsigned here = 0, all = 0;
    char ending[ENDING_BYTES + 1];

    if (bytes >= ENDING_BYTES && bytes < PATH_BYTES) {
        sscanf(path + bytes - ENDING_BYTES, "-%5u-of-%5u.gguf", &here, &all);
        snprintf(ending, sizeof(ending), "-%05u-of-%05u.gguf", here % 100000, all % 100000);
        if (all == count && strcmp(path + bytes - ENDING_BYTES, ending) == 0) {
            snprintf(out, PATH_BYTES, "%.*s-%05u-of-%05u.gguf", (int)(bytes - ENDING_BYTES), path,
                     number, count);
            return 0;
        }
    }
    flo_fail(err, FLO_E_GGUF_MISSING,
             "it is one of %u parts of a model, and its name does not end with -00001-of-%05u.gguf",
             count, count);
    return flo_err_fix(err, "name the parts as they were, so that the others are found");
}

/* Opens part `number`, counted from 1, and checks that it belongs to the first. */
static int open_part(struct parts *parts, const char *path, uint32_t number, struct flo_err *err)
{
    struct part *part = &parts->items[number - 1];
    uint32_t here = UINT32_MAX, all = 0, tensors = 0;
    char name[PATH_BYTES];

    FLO_TRY(path_of(path, number, parts->count, name, err));
    int rv = flo_file_open(name, &part->fd, err);
    if (rv == FLO_E_ABSENT) {
        return flo_err_fix(err, "put all %u parts of the model into one folder", parts->count);
    }
    FLO_TRY(rv);
    rv = flo_gguf_open_fd(part->fd, &part->gguf, err);
    if (rv == 0) {
        rv = flo_gguf_u32(part->gguf, "split.no", &here, err);
    }
    if (rv == 0) {
        rv = flo_gguf_u32(part->gguf, "split.count", &all, err);
    }
    if (rv == 0) {
        rv = flo_gguf_u32(part->gguf, "split.tensors.count", &tensors, err);
    }
    if (rv == 0 && (here != number - 1 || all != parts->count || tensors != parts->tensor_count ||
                    part->gguf->alignment != parts->items[0].gguf->alignment)) {
        rv = flo_fail(err, FLO_E_GGUF_MISSING,
                      "part %u of %u with %u tensors, not %u of %u with %zu of one model", here + 1,
                      all, tensors, number, parts->count, parts->tensor_count);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", name) : 0;
}

/* Lists the tensors of all parts, with their places in the mapping. */
static int list_tensors(struct parts *parts, struct flo_err *err)
{
    size_t count = 0;

    parts->tensors = calloc(parts->tensor_count + 1, sizeof(*parts->tensors));
    if (parts->tensors == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", parts->tensor_count);
    }
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->items[i];
        for (size_t t = 0; t < part->gguf->tensor_count; t++, count++) {
            if (count < parts->tensor_count) {
                parts->tensors[count] = part->gguf->tensors[t];
                parts->tensors[count].offset += part->place;
            }
        }
    }
    return count == parts->tensor_count
               ? 0
               : flo_fail(err, FLO_E_GGUF_MISSING,
                          "the parts have %zu tensors, not %zu of one model", count,
                          parts->tensor_count);
}

/* Makes the header of all in a file without a name, so that its pages can be dropped. */
static int make_header(const struct parts *parts, size_t bytes, int *out, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {.bytes_max = bytes};

    flo_gguf_join_header(&text, parts->items[0].gguf, parts->tensors, parts->tensor_count);
    *out = memfd_create("flotilla-parts", MFD_CLOEXEC);
    if (text.failed || *out < 0 || ftruncate(*out, (off_t)bytes) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "the header of %u parts", parts->count);
    }
    return flo_fd_write_all(*out, text.data, text.bytes, err);
}

static bool map_at(uint8_t *base, uint64_t place, uint64_t bytes, int fd)
{
    return mmap(base + place, (size_t)bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) !=
           MAP_FAILED;
}

static int map_all(const struct parts *parts, int header, struct flo_gguf **out,
                   struct flo_err *err)
{
    void *base = mmap(NULL, (size_t)parts->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool is_mapped = base != MAP_FAILED && map_at(base, 0, parts->items[0].place, header);

    for (uint32_t i = 0; is_mapped && i < parts->count; i++) {
        is_mapped = map_at(base, parts->items[i].place, parts->items[i].gguf->file_bytes,
                           parts->items[i].fd);
    }
    int rv = is_mapped ? flo_gguf_open(base, (size_t)parts->bytes, out, err)
                       : flo_fail_errno(err, FLO_E_IO_MAPPING, "%" PRIu64 " bytes of a model",
                                        parts->bytes);
    if (rv == 0) {
        (*out)->is_mapped = true;
    } else if (base != MAP_FAILED) {
        munmap(base, (size_t)parts->bytes);
    }
    return rv;
}

static uint64_t whole_pages(uint64_t bytes)
{
    return (bytes + PAGE_MASK) & ~(uint64_t)PAGE_MASK;
}

static int join(struct parts *parts, const char *path, struct flo_gguf **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int header = -1;

    for (uint32_t i = 1; i <= parts->count; i++) {
        FLO_TRY(open_part(parts, path, i, err));
        parts->bytes += parts->items[i - 1].gguf->data_offset; /* the sum of all headers */
    }
    /* The header of all has the keys of the first, and the tensors' names of each. */
    uint64_t place = whole_pages(parts->bytes);
    size_t header_bytes = (size_t)place;
    for (uint32_t i = 0; i < parts->count; i++) {
        parts->items[i].place = place;
        parts->bytes = place + parts->items[i].gguf->file_bytes;
        place = whole_pages(parts->bytes);
    }
    if (parts->bytes > SIZE_MAX / 2) { /* 32-bit machines */
        return flo_fail(err, FLO_E_IO_MAPPING, "a model of %" PRIu64 " bytes", parts->bytes);
    }
    FLO_TRY(list_tensors(parts, err));
    FLO_TRY(make_header(parts, header_bytes, &header, err));
    return map_all(parts, header, out, err);
}

int flo_gguf_open_named(int fd, const char *path, struct flo_gguf **out, struct flo_err *err)
{
    uint32_t count = 0, tensors = 0;
    struct flo_gguf *gguf = NULL;

    FLO_TRY(flo_gguf_open_fd(fd, &gguf, err));
    int rv = flo_gguf_u32(gguf, "split.count", &count, err);
    if (rv == 0) {
        rv = flo_gguf_u32(gguf, "split.tensors.count", &tensors, err);
    }
    if (rv == 0 && count <= 1) {
        *out = gguf;
        return 0;
    }
    flo_gguf_close(gguf);
    FLO_TRY(rv);
    if (count > PARTS_MAX || tensors > FLO_GGUF_TENSOR_COUNT_MAX) {
        return flo_fail(err, FLO_E_GGUF_HPARAM, "%u parts with %u tensors, at most %u with %u",
                        count, tensors, PARTS_MAX, FLO_GGUF_TENSOR_COUNT_MAX);
    }
    if (path == NULL) {
        flo_fail(err, FLO_E_GGUF_MISSING, "it is one of %u parts of a model", count);
        return flo_err_fix(err, "flotilla-model import PART --to FILE joins them");
    }
    struct parts *parts = calloc(1, sizeof(*parts));
    if (parts == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u parts", count);
    }
    parts->count = count;
    parts->tensor_count = tensors;
    for (uint32_t i = 0; i < count; i++) {
        parts->items[i].fd = -1;
    }
    rv = join(parts, path, out, err);
    parts_deinit(parts);
    free(parts);
    return rv;
}

int flo_gguf_open_path(const char *path, struct flo_gguf **out, struct flo_err *err)
{
    int fd;
    FLO_TRY(flo_file_open(path, &fd, err));
    int rv = flo_gguf_open_named(fd, path, out, err);
    flo_fd_cleanup(&fd);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}
