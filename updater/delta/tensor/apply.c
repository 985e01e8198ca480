/* Typed-delta decoder: makes the parts one after the other, and verifies each
 * by its hash before output.  After a power cut it verifies and keeps the
 * complete parts.  See format.h. */
#include "updater/delta/tensor/format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include <flotilla/errors/patch.h>

struct apply {
    const struct flo_delta_job *job;
    struct delta_sink *sink;
    struct tensor_head head;
    uint8_t *index; /* [head.index_bytes] */
    struct tensor_needs needs;
    /* old bytes of the current part, with room for needs.old_bytes and at least
     * DELTA_PIECE_BYTES */
    uint8_t *old;
    uint8_t *fresh;   /* [needs.new_bytes] */
    uint8_t *payload; /* [needs.payload_bytes] */
    struct tensor_model *model;
    struct range_coder coder;
    bool is_in_group;
    bool is_followed; /* the current group of parts is predicted by row directions (directions.h) */
    ZSTD_DCtx *zstd;
};

/* Reads bytes of the patch, which may still be downloading. */
static int read_patch(const struct apply *apply, void *out, size_t bytes, uint64_t at,
                      struct flo_err *err)
{
    const struct flo_delta_job *job = apply->job;
    int rv = job->on_need == NULL ? 0 : job->on_need(job->context, at + bytes, err);

    if (rv == 0) {
        rv = flo_fd_pread_all(job->patch_fd, out, bytes, at, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "patch") : 0;
}

/* ---- head and index ---- */

static bool lacks_memory(size_t result)
{
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation;
}

/* Checks that the bytes are exactly one zstd frame, which decodes to `size`
 * bytes. */
static bool is_one_frame(const uint8_t *data, size_t bytes, uint64_t size)
{
    return ZSTD_getFrameContentSize(data, bytes) == size &&
           ZSTD_findFrameCompressedSize(data, bytes) == bytes;
}

static int check_files(const struct apply *apply, struct flo_err *err)
{
    const struct flo_delta_job *job = apply->job;
    const struct tensor_head *head = &apply->head;
    struct flo_digest found;
    uint64_t base_bytes = 0;

    if (head->new_bytes != job->new_bytes || head->memory_bytes > job->memory_bytes_max ||
        TENSOR_MEMORY_BYTES > job->memory_bytes_max) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "the patch makes %" PRIu64 " bytes in %u of memory; "
                        "expected are %" PRIu64 " in at most %" PRIu64,
                        head->new_bytes,
                        head->memory_bytes > TENSOR_MEMORY_BYTES ? head->memory_bytes
                                                                 : TENSOR_MEMORY_BYTES,
                        job->new_bytes, job->memory_bytes_max);
    }
    if (job->new_digest != NULL && !flo_digest_equal(job->new_digest, &head->new_digest)) {
        return flo_fail(err, FLO_E_TARGET_HASH, "the patch makes another file than expected");
    }
    apply->sink->named = head->new_digest;
    apply->sink->has_named = true;
    FLO_TRY(flo_delta_file_bytes(job->base_fd, "base", &base_bytes, err));
    if (job->base_digest != NULL) { /* the caller has verified the base against this digest */
        found = *job->base_digest;
    } else {
        FLO_TRY(flo_sha256_fd(job->base_fd, &found, NULL, err));
    }
    if (base_bytes != head->old_bytes || !flo_digest_equal(&found, &head->old_digest)) {
        char expected[FLO_DIGEST_TEXT];
        char text[FLO_DIGEST_TEXT];
        flo_digest_text(&head->old_digest, expected);
        flo_digest_text(&found, text);
        return flo_fail(err, FLO_E_PATCH_BASE, "the patch is for %s, the base is %s", expected,
                        text);
    }
    return 0;
}

static int unpack_index(struct apply *apply, struct flo_err *err)
{
    const struct tensor_head *head = &apply->head;
    struct flo_digest found;
    FLO_CLEANUP(flo_free_cleanup)
    uint8_t *packed = malloc((size_t)head->packed_bytes + 1);

    apply->index = malloc((size_t)head->index_bytes + 1);
    if (packed == NULL || apply->index == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the patch's index");
    }
    FLO_TRY(read_patch(apply, packed, head->packed_bytes, TENSOR_HEAD_BYTES, err));
    flo_sha256(packed, head->packed_bytes, &found);
    if (!flo_digest_equal(&found, &head->index_digest)) {
        return flo_fail(err, FLO_E_PATCH_STREAM, "the index of the patch is damaged");
    }
    if (head->packed_bytes == head->index_bytes) {
        memcpy(apply->index, packed, head->index_bytes);
        return 0;
    }
    size_t got = 0;
    if (is_one_frame(packed, head->packed_bytes, head->index_bytes)) {
        got = ZSTD_decompressDCtx(apply->zstd, apply->index, head->index_bytes, packed,
                                  head->packed_bytes);
    }
    if (lacks_memory(got)) {
        return flo_fail(err, FLO_E_MEMORY, "the index of the patch");
    }
    if (ZSTD_isError(got) || got != head->index_bytes) {
        return flo_fail(err, FLO_E_PATCH_STREAM,
                        "the index of the patch does not unpack to %u bytes", head->index_bytes);
    }
    return 0;
}

/* Verifies the head by its signed digest.  The head has the digests that verify
 * the rest of the patch. */
static int check_head(const struct flo_delta_job *job, const uint8_t *data, size_t bytes,
                      struct flo_err *err)
{
    struct flo_digest found;

    if (job->head == NULL) {
        return 0;
    }
    flo_sha256(data, bytes, &found);
    return flo_digest_equal(&found, job->head)
               ? 0
               : flo_fail(err, FLO_E_PATCH_STREAM,
                          "the head of the patch is not the one that is "
                          "signed");
}

static int read_plan(struct apply *apply, uint64_t patch_bytes, struct flo_err *err)
{
    uint8_t data[TENSOR_HEAD_BYTES];
    size_t bytes = patch_bytes < sizeof data ? (size_t)patch_bytes : sizeof data;

    FLO_TRY(read_patch(apply, data, bytes, 0, err));
    FLO_TRY(check_head(apply->job, data, bytes, err));
    FLO_TRY(flo_tensor_head_read(data, bytes, patch_bytes, &apply->head, err));
    FLO_TRY(check_files(apply, err));
    FLO_TRY(unpack_index(apply, err));
    return flo_tensor_index_check(&apply->head, apply->index, patch_bytes, &apply->needs, err);
}

static void begin_walk(const struct apply *apply, struct tensor_index *index)
{
    flo_tensor_index_begin(index, &apply->head, apply->index);
    index->hash_at = apply->needs.hash_at;
}

/* ---- parts ---- */

static bool is_hash(const uint8_t *data, size_t bytes, const uint8_t *hash)
{
    struct flo_digest found;

    flo_sha256(data, bytes, &found);
    return memcmp(&found, hash, TENSOR_HASH_BYTES) == 0;
}

static int fail_part(const struct tensor_entry *entry, const char *what, struct flo_err *err)
{
    return flo_fail(err, FLO_E_PATCH_STREAM,
                    "%" PRIu64 " bytes from byte %" PRIu64 " of the new file on: %s",
                    entry->new_bytes, entry->new_at, what);
}

static int read_payload(struct apply *apply, const struct tensor_entry *entry, struct flo_err *err)
{
    FLO_TRY(read_patch(apply, apply->payload, entry->payload_bytes, entry->payload_at, err));
    if (entry->payload_hash != NULL &&
        !is_hash(apply->payload, entry->payload_bytes, entry->payload_hash)) {
        return fail_part(entry, "the payload is damaged", err);
    }
    return 0;
}

static int read_old(struct apply *apply, const struct tensor_entry *entry, struct flo_err *err)
{
    int rv = flo_fd_pread_all(apply->job->base_fd, apply->old, (size_t)entry->old_bytes,
                              entry->old_at, err);

    return rv < 0 ? flo_wrap(err, rv, "base") : 0;
}

/* Checks that a group's payload was read to its end. */
static int end_group(struct apply *apply, const struct tensor_entry *next, struct flo_err *err)
{
    bool is_spent = !apply->is_in_group || range_is_spent(&apply->coder);

    apply->is_in_group = false;
    return is_spent ? 0
                    : fail_part(next,
                                "the payload before it has other bytes "
                                "than its parts take",
                                err);
}

static int make_typed(struct apply *apply, const struct tensor_entry *entry, struct flo_err *err)
{
    if (tensor_op_begins(entry->op)) {
        FLO_TRY(end_group(apply, entry, err));
        FLO_TRY(read_payload(apply, entry, err));
        flo_tensor_model_reset(apply->model);
        range_decode_begin(&apply->coder, apply->payload, entry->payload_bytes);
        apply->is_in_group = true;
        apply->is_followed = entry->op == TENSOR_FOLLOWED;
    }
    FLO_TRY(read_old(apply, entry, err));
    struct tensor_part part = {
        .old_type = flo_block_type(entry->old_id),
        .new_type = flo_block_type(entry->new_id),
        .old = apply->old,
        .values = entry->values,
        .columns = entry->columns,
    };
    part.is_followed = apply->is_followed && flo_tensor_part_can_follow(&part);
    return flo_tensor_decode(apply->model, &apply->coder, &part, apply->fresh)
               ? 0
               : fail_part(entry, "the payload ends too early", err);
}

static int make_packed(struct apply *apply, const struct tensor_entry *entry, struct flo_err *err)
{
    FLO_TRY(end_group(apply, entry, err));
    FLO_TRY(read_payload(apply, entry, err));
    FLO_TRY(read_old(apply, entry, err));
    if (!is_one_frame(apply->payload, entry->payload_bytes, entry->new_bytes)) {
        return fail_part(entry, "it is not one zstd frame of its size", err);
    }
    size_t got = ZSTD_DCtx_refPrefix(apply->zstd, apply->old, (size_t)entry->old_bytes);
    if (!ZSTD_isError(got)) {
        got = ZSTD_decompressDCtx(apply->zstd, apply->fresh, (size_t)entry->new_bytes,
                                  apply->payload, entry->payload_bytes);
    }
    if (lacks_memory(got)) {
        return flo_fail(err, FLO_E_MEMORY, "a part of the patch");
    }
    return !ZSTD_isError(got) && got == entry->new_bytes
               ? 0
               : fail_part(entry, "its zstd frame is damaged", err);
}

/* Fills apply->fresh with a piece of a part that is copied from the old file or
 * is all zeros. */
static int make_piece(struct apply *apply, const struct tensor_entry *entry, uint64_t at,
                      size_t bytes, struct flo_err *err)
{
    if (entry->op == TENSOR_ZERO) {
        memset(apply->fresh, 0, bytes);
        return 0;
    }
    int rv = flo_fd_pread_all(apply->job->base_fd, apply->fresh, bytes, entry->old_at + at, err);
    return rv < 0 ? flo_wrap(err, rv, "base") : 0;
}

static size_t piece_bytes(uint64_t left)
{
    return left < DELTA_PIECE_BYTES ? (size_t)left : DELTA_PIECE_BYTES;
}

static int copy_part(struct apply *apply, const struct tensor_entry *entry, struct flo_err *err)
{
    for (uint64_t at = 0; at < entry->new_bytes;) {
        size_t bytes = piece_bytes(entry->new_bytes - at);
        FLO_TRY(make_piece(apply, entry, at, bytes, err));
        FLO_TRY(flo_delta_sink_write(apply->sink, apply->fresh, bytes, err));
        at += bytes;
    }
    return 0;
}

static int make_plain(struct apply *apply, const struct tensor_entry *entry, struct flo_err *err)
{
    FLO_TRY(end_group(apply, entry, err));
    return read_patch(apply, apply->fresh, entry->payload_bytes, entry->payload_at, err);
}

static int make_part(struct apply *apply, const struct tensor_entry *entry, struct flo_err *err)
{
    switch (entry->op) {
    case TENSOR_PLAIN:
        FLO_TRY(make_plain(apply, entry, err));
        break;
    case TENSOR_PACKED:
        FLO_TRY(make_packed(apply, entry, err));
        break;
    case TENSOR_TYPED:
    case TENSOR_MORE:
    case TENSOR_FOLLOWED:
        FLO_TRY(make_typed(apply, entry, err));
        break;
    default:
        return copy_part(apply, entry, err);
    }
    if (!is_hash(apply->fresh, (size_t)entry->new_bytes, entry->new_hash)) {
        return fail_part(entry, "the result has another hash", err);
    }
    return flo_delta_sink_write(apply->sink, apply->fresh, (size_t)entry->new_bytes, err);
}

/* ---- what is there already ---- */

static int is_piece_there(struct apply *apply, const struct tensor_entry *entry, uint64_t at,
                          size_t bytes, bool *is_there, struct flo_err *err)
{
    FLO_TRY(flo_fd_pread_all(apply->job->done_fd, apply->old, bytes, entry->new_at + at, err));
    FLO_TRY(make_piece(apply, entry, at, bytes, err));
    *is_there = memcmp(apply->old, apply->fresh, bytes) == 0;
    return 0;
}

static int is_part_there(struct apply *apply, const struct tensor_entry *entry, bool *is_there,
                         struct flo_err *err)
{
    int rv = 0;

    *is_there = entry->new_bytes <= apply->job->done_bytes - entry->new_at;
    if (*is_there && entry->new_hash != NULL) {
        rv = flo_fd_pread_all(apply->job->done_fd, apply->fresh, (size_t)entry->new_bytes,
                              entry->new_at, err);
        *is_there = rv == 0 && is_hash(apply->fresh, (size_t)entry->new_bytes, entry->new_hash);
        return rv;
    }
    for (uint64_t at = 0; rv == 0 && *is_there && at < entry->new_bytes;) {
        size_t bytes = piece_bytes(entry->new_bytes - at);
        rv = is_piece_there(apply, entry, at, bytes, is_there, err);
        at += bytes;
    }
    return rv;
}

/* Skips the parts that the file `done_fd` already has.  Afterwards `index` is
 * before the first part to make, which begins a group or belongs to none. */
static int skip_done(struct apply *apply, struct tensor_index *index, struct flo_err *err)
{
    struct tensor_index at = *index;
    struct tensor_entry entry;
    bool is_end = false;
    bool is_there = true;

    while (is_there) {
        struct tensor_index before = at;

        FLO_TRY(flo_tensor_index_next(&at, &entry, &is_end, err));
        /* Decoding can begin only at the first part of a group, so *index moves
         * only there. */
        if (is_end ||
            (entry.op != TENSOR_MORE && entry.op != TENSOR_COPY && entry.op != TENSOR_ZERO)) {
            *index = before;
        }
        if (is_end || entry.new_at >= apply->job->done_bytes) {
            return 0;
        }
        FLO_TRY(is_part_there(apply, &entry, &is_there, err));
    }
    return 0;
}

/* Hashes the bytes that the device has already, and tells the receiver where to
 * continue. */
static int keep_done(struct apply *apply, struct tensor_index *index, struct flo_err *err)
{
    const struct flo_delta_job *job = apply->job;

    FLO_TRY(skip_done(apply, index, err));
    for (uint64_t at = 0; at < index->new_end;) {
        size_t bytes = piece_bytes(index->new_end - at);
        FLO_TRY(flo_fd_pread_all(job->done_fd, apply->fresh, bytes, at, err));
        flo_sha256_update(&apply->sink->sha, apply->fresh, bytes);
        apply->sink->done += bytes;
        at += bytes;
    }
    return job->on_resume != NULL ? job->on_resume(job->context, index->new_end, err) : 0;
}

/* ---- all parts ---- */

static int make_all(struct apply *apply, struct flo_err *err)
{
    struct tensor_index index;
    struct tensor_entry entry = {0};
    bool is_end = false;
    int rv = 0;

    begin_walk(apply, &index);
    if (apply->job->done_bytes > 0) {
        rv = keep_done(apply, &index, err);
    }
    while (rv == 0) {
        rv = flo_tensor_index_next(&index, &entry, &is_end, err);
        if (rv < 0 || is_end) {
            break;
        }
        rv = make_part(apply, &entry, err);
    }
    FLO_TRY(rv);
    return end_group(apply, &entry, err);
}

/* Allocates the buffers, each for the largest part or for one piece of copied
 * bytes. */
static int make_room(struct apply *apply, struct flo_err *err)
{
    const struct tensor_needs *needs = &apply->needs;
    size_t least = DELTA_PIECE_BYTES;

    apply->old = malloc(needs->old_bytes > least ? needs->old_bytes : least);
    apply->fresh = malloc(needs->new_bytes > least ? needs->new_bytes : least);
    apply->payload = malloc(needs->payload_bytes + 1);
    apply->model = flo_tensor_model_new();
    return apply->old != NULL && apply->fresh != NULL && apply->payload != NULL &&
                   apply->model != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "no memory to apply a typed delta");
}

static void deinit(struct apply *apply)
{
    free(apply->index);
    free(apply->old);
    free(apply->fresh);
    free(apply->payload);
    flo_tensor_model_free(apply->model);
    ZSTD_freeDCtx(apply->zstd);
}

static int apply_tensor1(const struct flo_delta_job *job, uint64_t patch_bytes,
                         struct delta_sink *sink, struct flo_err *err)
{
    FLO_CLEANUP(deinit) struct apply apply = {.job = job, .sink = sink};

    apply.zstd = ZSTD_createDCtx();
    if (apply.zstd == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to apply a typed delta");
    }
    FLO_TRY(read_plan(&apply, patch_bytes, err));
    FLO_TRY(make_room(&apply, err));
    return make_all(&apply, err);
}

const struct delta_decoder flo_delta_tensor1 = {.apply = apply_tensor1, .has_base = true};
