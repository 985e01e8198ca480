/* Sidecar: computes, checks and maps a sidecar (sidecar.h), which has this
 * format.
 *
 *   head, 64 bytes
 *    0 "FLOPACK\n"
 *    8 u32 format of this file
 *   12 u32 layout of the strips
 *   16 u64 bytes of this file
 *   24 u64 bytes of the model file
 *   32 u32 rows of the table
 *   36 zeros
 *   row of the table, 128 bytes; rows are in the order of the model file
 *    0 name, zeros behind it
 *   64 u32 type id
 *   68 u32 crc32c of 256 bytes in the middle of the tensor
 *   72 u64 columns
 *   80 u64 rows
 *   88 u64 offset in the model file
 *   96 u64 offset in this file
 *  104 u64 bytes in this file
 *  112 zeros */
#include "engine/pack/rows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/model.h>

#include "base/quant/quant.h"
#include "engine/kernel/pack.h"

#define FORMAT 1u
#define HEAD_BYTES 64u
#define ROW_BYTES 128u
#define ALIGN 4096u
#define SAMPLE_BYTES 256u

static const char magic[8] = {'F', 'L', 'O', 'P', 'A', 'C', 'K', '\n'};

/* ---- what is packed ---- */

/* Returns the rows of a matrix, or those of all its experts. */
static uint64_t rows_of(const struct flo_gguf_tensor *tensor)
{
    uint64_t rows;

    return flo_mul_u64(tensor->dims[1], tensor->dims[2], &rows) ? rows : UINT64_MAX;
}

static bool is_packed(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor)
{
    const uint64_t *dims = tensor->dims;

    if (dims[1] < 2 || dims[3] != 1 || dims[0] > INT32_MAX || rows_of(tensor) > INT32_MAX) {
        return false;
    }
    if (dims[2] != 1 && dims[1] % FLO_STRIP_ROWS != 0) {
        return false; /* an expert would begin inside a strip */
    }
    if (strcmp(tensor->name, "token_embd.weight") == 0 &&
        flo_gguf_tensor_find(gguf, "output.weight") != NULL) {
        return false;
    }
    if (strcmp(tensor->name, "cls.output.weight") == 0) {
        /* the ranking head stays unpacked, because it is read only once per
         * text, as floats */
        return false;
    }
    return flo_pack_strip_bytes(tensor->type, (size_t)dims[0]) > 0;
}

static int compare_rows(const void *a, const void *b)
{
    uint64_t x = ((const struct flo_sidecar_row *)a)->tensor->offset;
    uint64_t y = ((const struct flo_sidecar_row *)b)->tensor->offset;

    return (x > y) - (x < y);
}

static bool align_up(uint64_t *bytes)
{
    return flo_add_u64(*bytes, (ALIGN - *bytes % ALIGN) % ALIGN, bytes);
}

uint64_t flo_sidecar_strips(const struct flo_sidecar_row *row)
{
    return (row->rows + FLO_STRIP_ROWS - 1) / FLO_STRIP_ROWS;
}

static void choose_rows(struct flo_sidecar *s)
{
    for (size_t i = 0; i < flo_gguf_tensor_count(s->gguf); i++) {
        const struct flo_gguf_tensor *t = flo_gguf_tensor_at(s->gguf, i);

        if (is_packed(s->gguf, t)) {
            s->has_experts |= t->dims[2] > 1;
            s->rows[s->count++] = (struct flo_sidecar_row){
                .tensor = t,
                .rows = rows_of(t),
                .source = flo_gguf_tensor_data(s->gguf, t),
                .row_bytes = flo_quant_bytes(flo_quant_type(t->type), (size_t)t->dims[0]),
                .strip_bytes = flo_pack_strip_bytes(t->type, (size_t)t->dims[0]),
            };
        }
    }
    qsort(s->rows, s->count, sizeof(*s->rows), compare_rows);
}

static int place_rows(struct flo_sidecar *s, struct flo_err *err)
{
    s->head_bytes = HEAD_BYTES + s->count * ROW_BYTES;
    s->bytes = s->head_bytes;
    for (size_t i = 0; i < s->count; i++) {
        struct flo_sidecar_row *row = &s->rows[i];
        bool is_embedding = strcmp(row->tensor->name, "token_embd.weight") == 0;

        if (!align_up(&s->bytes) ||
            !flo_mul_u64(flo_sidecar_strips(row), row->strip_bytes, &row->bytes) ||
            !flo_add_u64(s->bytes, row->bytes, &s->bytes) || s->bytes > INT64_MAX) {
            return flo_fail(err, FLO_E_MEMORY, "the packed weights overflow");
        }
        row->offset = s->bytes - row->bytes;
        s->replaced += is_embedding ? 0 : row->tensor->bytes;
    }
    return align_up(&s->bytes) ? 0 : flo_fail(err, FLO_E_MEMORY, "the packed weights overflow");
}

/* ---- the head ---- */

static int sample(const struct flo_sidecar_row *row, int fd, uint32_t *crc, struct flo_err *err)
{
    uint8_t bytes[SAMPLE_BYTES];
    const struct flo_gguf_tensor *t = row->tensor;
    size_t count = t->bytes < SAMPLE_BYTES ? (size_t)t->bytes : SAMPLE_BYTES;
    /* A read does not keep pages in memory, as access through the mapping
     * would. */
    int rv = flo_fd_pread_all(fd, bytes, count, t->offset + (t->bytes - count) / 2, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "tensor %s", t->name);
    }
    *crc = flo_crc32c(0, bytes, count);
    return 0;
}

static int fill_head(struct flo_sidecar *s, int fd, struct flo_err *err)
{
    memcpy(s->head, magic, sizeof(magic));
    flo_put_u32(s->head + 8, FORMAT);
    flo_put_u32(s->head + 12, FLO_PACK_LAYOUT);
    flo_put_u64(s->head + 16, s->bytes);
    flo_put_u64(s->head + 24, flo_gguf_file_bytes(s->gguf));
    flo_put_u32(s->head + 32, (uint32_t)s->count);
    for (size_t i = 0; i < s->count; i++) {
        const struct flo_sidecar_row *row = &s->rows[i];
        uint8_t *out = s->head + HEAD_BYTES + i * ROW_BYTES;
        uint32_t crc = 0;

        FLO_TRY(sample(row, fd, &crc, err));
        memcpy(out, row->tensor->name, strlen(row->tensor->name));
        flo_put_u32(out + 64, row->tensor->type);
        flo_put_u32(out + 68, crc);
        flo_put_u64(out + 72, row->tensor->dims[0]);
        flo_put_u64(out + 80, row->rows);
        flo_put_u64(out + 88, row->tensor->offset);
        flo_put_u64(out + 96, row->offset);
        flo_put_u64(out + 104, row->bytes);
    }
    return 0;
}

int flo_sidecar_new(const struct flo_gguf *gguf, int model_fd, struct flo_sidecar **out,
                    struct flo_err *err)
{
    struct flo_sidecar *s = calloc(1, sizeof(*s));
    size_t count = flo_gguf_tensor_count(gguf);

    if (s != NULL) {
        s->gguf = gguf;
        s->rows = calloc(count + 1, sizeof(*s->rows));
        s->head = calloc(HEAD_BYTES + count * ROW_BYTES, 1);
    }
    if (s == NULL || s->rows == NULL || s->head == NULL) {
        flo_sidecar_free(s);
        return flo_fail(err, FLO_E_MEMORY, "packed weights of %zu tensors", count);
    }
    choose_rows(s);
    int rv = s->count > 0 ? place_rows(s, err)
                          : flo_fail(err, FLO_E_NOT_BUILT, "no tensor is of a type that is packed");
    if (rv == 0) {
        rv = fill_head(s, model_fd, err);
    }
    if (rv < 0) {
        flo_sidecar_free(s);
        return rv;
    }
    *out = s;
    return 0;
}

void flo_sidecar_free(struct flo_sidecar *s)
{
    if (s == NULL) {
        return;
    }
    if (s->data != NULL) {
        munmap((void *)(uintptr_t)s->data, (size_t)s->bytes);
    }
    free(s->rows);
    free(s->head);
    free(s);
}

uint64_t flo_sidecar_bytes(const struct flo_sidecar *s)
{
    return s->bytes;
}

uint64_t flo_sidecar_bytes_replaced(const struct flo_sidecar *s)
{
    return s->replaced;
}

size_t flo_sidecar_tensors(const struct flo_sidecar *s)
{
    return s->count;
}

/* ---- reading ---- */

static int check_head(const uint8_t *head, struct flo_err *err)
{
    uint32_t format = flo_get_u32(head + 8), layout = flo_get_u32(head + 12);

    if (memcmp(head, magic, sizeof(magic)) != 0) {
        return flo_fail(err, FLO_E_PACKED, "the file holds no packed weights");
    }
    if (format != FORMAT || layout != FLO_PACK_LAYOUT) {
        return flo_fail(err, FLO_E_PACKED,
                        "packed weights of format %u, layout %u; this program "
                        "reads %u, %u",
                        format, layout, FORMAT, FLO_PACK_LAYOUT);
    }
    return 0;
}

int flo_sidecar_check_size(const struct flo_sidecar *s, int fd, struct flo_err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "the packed weights");
    }
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)HEAD_BYTES) {
        return flo_fail(err, FLO_E_PACKED, "the file holds no packed weights");
    }
    if ((uint64_t)st.st_size != s->bytes) {
        return flo_fail(err, FLO_E_PACKED, "%lld bytes of packed weights, this model has %llu",
                        (long long)st.st_size, (unsigned long long)s->bytes);
    }
    return 0;
}

int flo_sidecar_map(struct flo_sidecar *s, int fd, struct flo_err *err)
{
    uint8_t head[HEAD_BYTES] = {0};
    size_t bytes = (size_t)s->bytes;

    FLO_TRY(flo_sidecar_check_size(s, fd, err));
    FLO_TRY(flo_fd_pread_all(fd, head, sizeof(head), 0, err));
    FLO_TRY(check_head(head, err));
    void *data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        return flo_fail_errno(err, FLO_E_IO_MAPPING, "%zu packed bytes", bytes);
    }
    if (!s->has_experts) {
        /* Linux then reads missing bytes in pages of 2 MiB, if it can.  With
         * experts it would also read those that no token uses. */
        (void)madvise(data, bytes, MADV_HUGEPAGE);
    }
    if (memcmp(data, s->head, s->head_bytes) != 0) {
        munmap(data, bytes);
        return flo_fail(err, FLO_E_PACKED,
                        "the packed weights are those of another model, or "
                        "damaged");
    }
    s->data = data;
    return 0;
}

uint64_t flo_sidecar_find(const struct flo_sidecar *s, const struct flo_gguf_tensor *tensor,
                          uint32_t first, size_t *strip_bytes)
{
    const struct flo_sidecar_row *row = s->rows, *end = s->rows + s->count;

    while (row < end && row->tensor != tensor) {
        row++;
    }
    if (row == end || first % FLO_STRIP_ROWS != 0) {
        return 0;
    }
    *strip_bytes = row->strip_bytes;
    return row->offset + first / FLO_STRIP_ROWS * row->strip_bytes;
}

const uint8_t *flo_sidecar_at(const struct flo_sidecar *s, uint64_t offset)
{
    return s->data + offset;
}
