/* Make a typed delta: plan the parts, code their payloads, write index and
 * head.  Publishers only. */
#include "updater/delta/publish/plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

/* Typed parts that save less than this part of their bytes are packed. */
#define SAVES_ONE_IN 32
#define LEVEL_PREFIX 12
#define LEVEL_ALONE 5

struct create {
    const struct delta_input *input;
    struct tensor_plan plan;
    struct tensor_model *model;
    ZSTD_CCtx *zstd;
    uint8_t *payload; /* [TENSOR_PART_BYTES_MAX] */
    int fd;
    struct flo_buf entries;
    struct flo_buf hashes;
    uint32_t part_count;
    uint64_t old_end;
};

static void add_hash(struct flo_buf *out, const uint8_t *data, size_t bytes)
{
    struct flo_digest hash;

    flo_sha256(data, bytes, &hash);
    flo_buf_add(out, &hash, TENSOR_HASH_BYTES);
}

/* The payload goes out, the entry and its hashes into the index. */
static int emit(struct create *create, const struct tensor_entry *part,
                const uint8_t *payload, struct flo_err *err)
{
    flo_tensor_entry_write(part, create->old_end, &create->entries);
    create->part_count++;
    if (part->op != TENSOR_ZERO && part->op != TENSOR_PLAIN) {
        create->old_end = part->old_at + part->old_bytes;
    }
    if (part->op != TENSOR_COPY && part->op != TENSOR_ZERO) {
        add_hash(&create->hashes, create->input->new + part->new_at,
                 (size_t)part->new_bytes);
    }
    if (part->op == TENSOR_PACKED || part->op == TENSOR_TYPED) {
        add_hash(&create->hashes, payload, part->payload_bytes);
    }
    int rv =
        part->payload_bytes == 0
            ? 0
            : flo_fd_write_all(create->fd, payload, part->payload_bytes, err);
    return rv < 0 ? flo_wrap(err, rv, "patch") : 0;
}

/* ---- packed and plain ---- */

static size_t pack(struct create *create, const struct tensor_entry *part,
                   uint64_t old_bytes)
{
    (void)ZSTD_CCtx_reset(create->zstd, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(create->zstd, ZSTD_c_compressionLevel,
                                 old_bytes > 0 ? LEVEL_PREFIX : LEVEL_ALONE);
    (void)ZSTD_CCtx_setParameter(create->zstd, ZSTD_c_windowLog, 22);
    (void)ZSTD_CCtx_refPrefix(create->zstd, create->input->old + part->old_at,
                              (size_t)old_bytes);
    return ZSTD_compress2(create->zstd, create->payload, TENSOR_PART_BYTES_MAX,
                          create->input->new + part->new_at,
                          (size_t)part->new_bytes);
}

static int emit_packed(struct create *create, struct tensor_entry part,
                       struct flo_err *err)
{
    const uint8_t *fresh = create->input->new + part.new_at;
    size_t alone = pack(create, &part, 0);
    /* The hash costs as well. */
    size_t least = ZSTD_isError(alone) || alone + 32 > part.new_bytes
                       ? (size_t)part.new_bytes
                       : alone;

    part.op = TENSOR_PACKED;
    if (part.old_bytes > 0) {
        size_t bytes = pack(create, &part, part.old_bytes);
        if (!ZSTD_isError(bytes) && bytes + 32 < least) {
            part.payload_bytes = (uint32_t)bytes;
            return emit(create, &part, create->payload, err);
        }
    }
    part.payload_bytes = (uint32_t)least;
    if (least < part.new_bytes) {
        part.old_at = create->old_end;
        part.old_bytes = 0;
        (void)pack(create, &part, 0);
        return emit(create, &part, create->payload, err);
    }
    part.op = TENSOR_PLAIN;
    return emit(create, &part, fresh, err);
}

/* ---- groups of typed parts ---- */

static struct tensor_part typed_part(const struct create *create,
                                     const struct tensor_entry *part)
{
    return (struct tensor_part){
        .old_type = flo_block_type(part->old_id),
        .new_type = flo_block_type(part->new_id),
        .old = create->input->old + part->old_at,
        .values = part->values,
        .columns = part->columns,
    };
}

static bool is_typed(const struct tensor_entry *part)
{
    return part->op == TENSOR_TYPED || part->op == TENSOR_MORE;
}

/* Parts from `first` on that share a payload: the index behind them. */
static size_t group_end(const struct create *create, size_t first)
{
    uint64_t bytes = 0;
    size_t end = first;

    for (size_t i = first; i < create->plan.count; i++) {
        const struct tensor_entry *part = &create->plan.parts[i];
        bytes += is_typed(part) ? part->new_bytes : 0;
        if (bytes > TENSOR_PART_BYTES_MAX || part->op == TENSOR_PACKED ||
            part->op == TENSOR_PLAIN) {
            break;
        }
        end = is_typed(part) ? i + 1 : end;
    }
    return end > first ? end : first + 1;
}

/* Bytes of the payload; 0: it would save too little. */
static size_t code_group(struct create *create, size_t first, size_t end)
{
    struct range_coder coder;
    uint64_t bytes = 0;

    flo_tensor_model_reset(create->model);
    range_encode_begin(&coder, create->payload, TENSOR_PART_BYTES_MAX);
    for (size_t i = first; i < end; i++) {
        const struct tensor_entry *entry = &create->plan.parts[i];
        if (is_typed(entry)) {
            struct tensor_part part = typed_part(create, entry);
            flo_tensor_encode(create->model, &coder, &part,
                              create->input->new + entry->new_at);
            bytes += entry->new_bytes;
        }
    }
    size_t payload = range_encode_end(&coder);
    return coder.is_full || payload > bytes - bytes / SAVES_ONE_IN ? 0
                                                                   : payload;
}

static int emit_group(struct create *create, size_t first, size_t end,
                      struct flo_err *err)
{
    size_t bytes = code_group(create, first, end);
    int rv = 0;

    if (bytes == 0 && end - first > 1) { /* who of them is it? */
        for (size_t i = first; rv == 0 && i < end; i++) {
            rv = is_typed(&create->plan.parts[i])
                     ? emit_group(create, i, i + 1, err)
                     : emit(create, &create->plan.parts[i], NULL, err);
        }
        return rv;
    }
    if (bytes == 0) {
        return emit_packed(create, create->plan.parts[first], err);
    }
    for (size_t i = first; rv == 0 && i < end; i++) {
        struct tensor_entry part = create->plan.parts[i];
        if (is_typed(&part)) {
            part.op = i == first ? TENSOR_TYPED : TENSOR_MORE;
            part.payload_bytes = i == first ? (uint32_t)bytes : 0;
        }
        rv = emit(create, &part, create->payload, err);
    }
    return rv;
}

static int emit_all(struct create *create, struct flo_err *err)
{
    size_t end;
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < create->plan.count; i = end) {
        const struct tensor_entry *part = &create->plan.parts[i];
        end = i + 1;
        if (is_typed(part)) {
            end = group_end(create, i);
            rv = emit_group(create, i, end, err);
        } else if (part->op == TENSOR_PACKED) {
            rv = emit_packed(create, *part, err);
        } else {
            rv = emit(create, part, NULL, err);
        }
    }
    return rv;
}

/* ---- the file ---- */

/* The index is whole only after the last payload and stands before the first:
 * payloads wait in a scratch file. */
static int move_payloads(int from, int to, uint64_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(DELTA_PIECE_BYTES);
    int rv =
        piece == NULL ? flo_fail(err, FLO_E_MEMORY, "no memory to copy") : 0;

    for (uint64_t at = 0; rv == 0 && at < bytes;) {
        uint64_t left = bytes - at;
        size_t count =
            left < DELTA_PIECE_BYTES ? (size_t)left : DELTA_PIECE_BYTES;
        rv = flo_fd_pread_all(from, piece, count, at, err);
        if (rv == 0) {
            rv = flo_fd_write_all(to, piece, count, err);
        }
        at += count;
    }
    return rv;
}

static int write_patch(struct create *create, int payload_fd, int fd,
                       struct flo_err *err)
{
    struct tensor_head head = {.old_bytes = create->input->old_bytes,
                               .new_bytes = create->input->new_bytes,
                               .memory_bytes = TENSOR_MEMORY_BYTES,
                               .part_count = create->part_count};
    uint8_t bytes[TENSOR_HEAD_BYTES];
    uint64_t payload_bytes = 0;
    struct flo_buf *index = &create->entries;

    flo_buf_add(index, create->hashes.data, create->hashes.bytes);
    if (index->failed || create->hashes.failed ||
        index->bytes > TENSOR_INDEX_BYTES_MAX ||
        create->part_count > TENSOR_PARTS_MAX) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "%u parts need an index of %zu bytes; allowed are %u",
                        create->part_count, index->bytes,
                        TENSOR_INDEX_BYTES_MAX);
    }
    (void)ZSTD_CCtx_reset(create->zstd, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(create->zstd, ZSTD_c_compressionLevel,
                                 LEVEL_PREFIX);
    size_t packed =
        ZSTD_compress2(create->zstd, create->payload, TENSOR_PART_BYTES_MAX,
                       index->data, index->bytes);
    bool is_packed = !ZSTD_isError(packed) && packed < index->bytes;
    const void *data =
        is_packed ? (const void *)create->payload : (const void *)index->data;
    head.index_bytes = (uint32_t)index->bytes;
    head.packed_bytes = is_packed ? (uint32_t)packed : head.index_bytes;
    flo_sha256(create->input->old, (size_t)head.old_bytes, &head.old_digest);
    flo_sha256(create->input->new, (size_t)head.new_bytes, &head.new_digest);
    flo_sha256(data == NULL ? bytes : data, head.packed_bytes,
               &head.index_digest);
    flo_tensor_head_write(&head, bytes);
    int rv = flo_fd_write_all(fd, bytes, sizeof bytes, err);
    if (rv == 0 && head.packed_bytes > 0) {
        rv = flo_fd_write_all(fd, data, head.packed_bytes, err);
    }
    if (rv == 0) {
        rv = flo_delta_file_bytes(payload_fd, "payloads", &payload_bytes, err);
    }
    if (rv == 0) {
        rv = move_payloads(payload_fd, fd, payload_bytes, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "patch") : 0;
}

static void deinit(struct create *create)
{
    flo_tensor_plan_deinit(&create->plan);
    flo_tensor_model_free(create->model);
    ZSTD_freeCCtx(create->zstd);
    free(create->payload);
    flo_buf_deinit(&create->entries);
    flo_buf_deinit(&create->hashes);
}

int flo_delta_tensor1_create(const struct delta_input *input, int fd,
                             struct flo_err *err)
{
    struct create create = {.input = input};
    FLO_CLEANUP(flo_fd_cleanup) int scratch = flo_delta_scratch_open(err);

    if (scratch < 0) {
        return scratch;
    }
    create.fd = scratch;
    create.model = flo_tensor_model_new();
    create.zstd = ZSTD_createCCtx();
    create.payload = malloc(TENSOR_PART_BYTES_MAX);
    int rv =
        create.model == NULL || create.zstd == NULL || create.payload == NULL
            ? flo_fail(err, FLO_E_MEMORY, "no memory to make a patch")
            : flo_tensor_plan_make(input, &create.plan, err);
    if (rv == 0) {
        rv = emit_all(&create, err);
    }
    if (rv == 0) {
        rv = write_patch(&create, scratch, fd, err);
    }
    deinit(&create);
    return rv;
}
