/* Typed deltas.  The first byte says what the rest is:
 *   0  a whole patch file
 *   1  entries of an index, a length in front, and payloads; head, digests and
 *      the payloads' hashes are made here, so that the checks behind them are
 *      reached
 *   2  one part after the other with one coder: types, values, columns, and
 *      the payload; the hashes of results would stop a patch after the first
 * The mutator changes one of these pieces and keeps the lengths right. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/release.h>

#include "updater/delta/tensor/contexts.h"
#include "updater/delta/tensor/format.h"

#define OLD_BYTES 40000
#define NEW_BYTES_MAX (128u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room) __attribute__((weak));

static uint8_t old_file[OLD_BYTES];
static struct flo_digest old_digest;
static int old_fd = -1;
static int patch_fd = -1;

static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

static void write_file(int fd, const void *data, size_t bytes)
{
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, bytes, 0) != (ssize_t)bytes) {
        abort();
    }
}

static void begin(void)
{
    for (size_t i = 0; i < sizeof old_file; i++) {
        old_file[i] = (uint8_t)(i * i >> 3);
    }
    flo_sha256(old_file, sizeof old_file, &old_digest);
    old_fd = memfd_create("old", MFD_CLOEXEC);
    patch_fd = memfd_create("patch", MFD_CLOEXEC);
    write_file(old_fd, old_file, sizeof old_file);
}

static void apply(const void *patch, size_t bytes)
{
    struct flo_delta_facts facts;
    uint64_t written = 0;
    uint64_t new_bytes = 6200;

    write_file(patch_fd, patch, bytes);
    if (flo_delta_inspect(patch_fd, &facts, NULL) == 0 && facts.new_bytes <= NEW_BYTES_MAX) {
        new_bytes = facts.new_bytes;
    }
    const struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .base_digest = &old_digest,
                                      .new_bytes = new_bytes,
                                      .on_data = on_data,
                                      .context = &written};
    int rv = flo_delta_apply(&job, NULL, NULL);
    if (written > new_bytes || (rv == 0 && written != new_bytes)) {
        abort();
    }
}

/* A patch with this index and these payloads. */
static void apply_index(const uint8_t *entries, size_t entry_bytes, const uint8_t *payloads,
                        size_t payload_bytes)
{
    struct tensor_head head = {.predictor = FLO_TENSOR_PREDICTOR_INTEGERS,
                               .old_bytes = OLD_BYTES,
                               .new_bytes = NEW_BYTES_MAX,
                               .old_digest = old_digest,
                               .memory_bytes = TENSOR_MEMORY_BYTES,
                               .part_count = TENSOR_PARTS_MAX,
                               .index_bytes = (uint32_t)entry_bytes};
    struct tensor_index index;
    struct tensor_entry entry;
    struct flo_buf patch = {0};
    struct flo_buf hashes = {0};
    uint8_t bytes[TENSOR_HEAD_BYTES];
    bool is_end = false;

    flo_tensor_index_begin(&index, &head, entries);
    while (index.at < entry_bytes && flo_tensor_index_next(&index, &entry, &is_end, NULL) == 0) {
        struct flo_digest hash = {0};
        uint64_t at = entry.payload_at - TENSOR_HEAD_BYTES;
        if (entry.op == TENSOR_COPY || entry.op == TENSOR_ZERO) {
            continue;
        }
        flo_buf_add(&hashes, &hash, TENSOR_HASH_BYTES);
        if (entry.op == TENSOR_PLAIN || entry.op == TENSOR_MORE) {
            continue;
        }
        if (at + entry.payload_bytes <= payload_bytes) {
            flo_sha256(payloads + at, entry.payload_bytes, &hash);
        }
        flo_buf_add(&hashes, &hash, TENSOR_HASH_BYTES);
    }
    head.part_count = index.count;
    head.new_bytes = index.new_end;
    head.index_bytes = (uint32_t)(entry_bytes + hashes.bytes);
    head.packed_bytes = head.index_bytes;
    flo_buf_add(&patch, bytes, sizeof bytes);
    flo_buf_add(&patch, entries, entry_bytes);
    flo_buf_add(&patch, hashes.data, hashes.bytes);
    flo_sha256(patch.data + sizeof bytes, head.index_bytes, &head.index_digest);
    flo_buf_add(&patch, payloads, payload_bytes);
    flo_tensor_head_write(&head, bytes);
    memcpy(patch.data, bytes, sizeof bytes);
    apply(patch.data, patch.bytes);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&hashes);
}

/* 8 bytes for each of up to 8 parts: types, values / 256, columns / 32.  At
 * most 1,024 values each: a run is short, and ends of rows are reached.
 */
#define PART_BYTES 8

static void decode_parts(const uint8_t *data, size_t bytes)
{
    static struct tensor_model *unused, *model;
    static uint8_t fresh[256 << 10];
    struct range_coder coder;
    size_t count = data[0] & 7;

    data++;
    bytes--;
    if (bytes < count * PART_BYTES) {
        return;
    }
    if (model == NULL) {
        unused = flo_tensor_model_new();
        model = flo_tensor_model_new();
        flo_tensor_model_reset(unused);
    }
    memcpy(model, unused, sizeof *model); /* a reset is half a run's time */
    range_decode_begin(&coder, data + count * PART_BYTES, bytes - count * PART_BYTES);
    for (size_t i = 0; i < count; i++, data += PART_BYTES) {
        struct tensor_part part = {
            .old_type = flo_block_type(data[0]),
            .new_type = flo_block_type(data[1]),
            .old = old_file + data[4],
            .values = (flo_get_u16(data + 2) + 3u) % 4 * 256 + 256,
            .columns = flo_get_u16(data + 6) % 64 * 32u,
        };
        part.is_followed =
            (data[5] & 1) != 0 &&
            flo_tensor_part_is_sound(part.old_type, part.new_type, part.values, part.columns) &&
            flo_tensor_part_can_follow(&part);
        if (!flo_tensor_part_is_sound(part.old_type, part.new_type, part.values, part.columns) ||
            flo_tensor_bytes(part.old_type, part.values) + 256 > OLD_BYTES ||
            flo_tensor_bytes(part.new_type, part.values) > sizeof fresh ||
            !flo_tensor_decode(model, &coder, &part, fresh)) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (old_fd < 0) {
        begin();
    }
    if (bytes < 4) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        apply(data + 1, bytes - 1);
        break;
    case 1: {
        size_t entry_bytes = flo_get_u16(data + 1);
        size_t left = bytes - 3;
        entry_bytes = entry_bytes < left ? entry_bytes : left;
        apply_index(data + 3, entry_bytes, data + 3 + entry_bytes, left - entry_bytes);
        break;
    }
    default:
        decode_parts(data + 1, bytes - 1);
        break;
    }
    return 0;
}

/* One piece of `bytes` at `at` becomes another, what stands behind it moves. */
static size_t mutate_piece(uint8_t *data, size_t bytes, size_t room, size_t at, size_t piece_bytes)
{
    uint8_t *piece = malloc(room);
    size_t behind = bytes - at - piece_bytes;
    size_t most = room - at - behind;

    memcpy(piece, data + at, piece_bytes);
    size_t got = LLVMFuzzerMutate(piece, piece_bytes, most);
    memmove(data + at + got, data + at + piece_bytes, behind);
    memcpy(data + at, piece, got);
    free(piece);
    return got;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed)
{
    if (bytes < 4 || seed % 16 == 0 || data[0] % 3 == 0) {
        return LLVMFuzzerMutate(data, bytes, room);
    }
    if (data[0] % 3 == 2) { /* a part's numbers, or the payload */
        size_t head = 2 + (size_t)(data[1] & 7) * PART_BYTES;
        head = head < bytes ? head : bytes;
        if (seed % 2 == 0 && head > 2) {
            (void)LLVMFuzzerMutate(data + 2, head - 2, head - 2);
            return bytes;
        }
        return head + mutate_piece(data, bytes, room, head, bytes - head);
    }
    size_t entries = flo_get_u16(data + 1);
    entries = entries < bytes - 3 ? entries : bytes - 3;
    if (seed % 2 == 0) {
        size_t got = mutate_piece(data, bytes, room < 65000 ? room : 65000, 3, entries);
        flo_put_u16(data + 1, (uint16_t)got);
        return bytes - entries + got;
    }
    return 3 + entries + mutate_piece(data, bytes, room, 3 + entries, bytes - 3 - entries);
}
