/* Typed-delta header and index: parsing, with all checks. See format.h and
 * docs/internals/delta.md. */
#include "updater/delta/tensor/format.h"

#include <inttypes.h>
#include <string.h>

#include <flotilla/errors/patch.h>

/* ---- head ---- */

void flo_tensor_head_write(const struct tensor_head *head, uint8_t out[TENSOR_HEAD_BYTES])
{
    struct flo_digest own;

    memset(out, 0, TENSOR_HEAD_BYTES);
    memcpy(out, TENSOR_MAGIC, TENSOR_MAGIC_BYTES);
    flo_put_u16(out + 8, TENSOR_FORMAT);
    flo_put_u16(out + 10, (uint16_t)head->predictor);
    flo_put_u64(out + 16, head->old_bytes);
    flo_put_u64(out + 24, head->new_bytes);
    memcpy(out + 32, &head->old_digest, 32);
    memcpy(out + 64, &head->new_digest, 32);
    flo_put_u32(out + 96, head->memory_bytes);
    flo_put_u32(out + 100, head->part_count);
    flo_put_u32(out + 104, head->index_bytes);
    flo_put_u32(out + 108, head->packed_bytes);
    memcpy(out + 112, &head->index_digest, 32);
    flo_sha256(out, 144, &own);
    memcpy(out + 144, &own, TENSOR_HASH_BYTES);
}

static int check_versions(const uint8_t *data, struct flo_err *err)
{
    unsigned format = flo_get_u16(data + 8);
    unsigned predictor = flo_get_u16(data + 10);

    if (format != TENSOR_FORMAT || predictor < FLO_TENSOR_PREDICTOR ||
        predictor > FLO_TENSOR_PREDICTOR_INTEGERS || flo_get_u32(data + 12) != 0) {
        return flo_fail(err, FLO_E_PATCH_FORMAT,
                        "the typed delta has format %u, predictor %u, flags "
                        "0x%x; known are %u, %u to %u, 0",
                        format, predictor, (unsigned)flo_get_u32(data + 12), TENSOR_FORMAT,
                        FLO_TENSOR_PREDICTOR, FLO_TENSOR_PREDICTOR_INTEGERS);
    }
    return 0;
}

static int check_head(const struct tensor_head *head, uint64_t patch_bytes, struct flo_err *err)
{
    if (head->index_bytes > TENSOR_INDEX_BYTES_MAX || head->packed_bytes > head->index_bytes ||
        head->part_count > TENSOR_PARTS_MAX) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "an index of %u parts, %u bytes (%u packed); allowed "
                        "are %u parts, %u bytes",
                        head->part_count, head->index_bytes, head->packed_bytes, TENSOR_PARTS_MAX,
                        TENSOR_INDEX_BYTES_MAX);
    }
    if (head->old_bytes > INT64_MAX || head->new_bytes > INT64_MAX) {
        return flo_fail(err, FLO_E_PATCH_LIMIT, "files of %" PRIu64 " and %" PRIu64 " bytes",
                        head->old_bytes, head->new_bytes);
    }
    if (patch_bytes < TENSOR_HEAD_BYTES + (uint64_t)head->packed_bytes) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED,
                        "the patch has %" PRIu64 " bytes and ends in its index", patch_bytes);
    }
    return 0;
}

int flo_tensor_head_read(const uint8_t *data, size_t bytes, uint64_t patch_bytes,
                         struct tensor_head *out, struct flo_err *err)
{
    struct flo_digest own;

    if (!flo_tensor_magic_is(data, bytes)) {
        return flo_fail(err, FLO_E_PATCH_FORMAT, "the file does not begin as a typed delta");
    }
    if (bytes < TENSOR_HEAD_BYTES) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED, "%zu bytes are no head of a typed delta",
                        bytes);
    }
    FLO_TRY(check_versions(data, err));
    flo_sha256(data, 144, &own);
    if (memcmp(&own, data + 144, TENSOR_HASH_BYTES) != 0) {
        return flo_fail(err, FLO_E_PATCH_FORMAT, "the head of the typed delta is damaged");
    }
    *out = (struct tensor_head){
        .predictor = flo_get_u16(data + 10),
        .old_bytes = flo_get_u64(data + 16),
        .new_bytes = flo_get_u64(data + 24),
        .memory_bytes = flo_get_u32(data + 96),
        .part_count = flo_get_u32(data + 100),
        .index_bytes = flo_get_u32(data + 104),
        .packed_bytes = flo_get_u32(data + 108),
    };
    memcpy(&out->old_digest, data + 32, 32);
    memcpy(&out->new_digest, data + 64, 32);
    memcpy(&out->index_digest, data + 112, 32);
    return check_head(out, patch_bytes, err);
}

/* ---- entries ---- */

static bool has_old(enum tensor_op op)
{
    return op != TENSOR_ZERO && op != TENSOR_PLAIN;
}

static void put_number(struct flo_buf *out, uint64_t value)
{
    while (value >= 128) {
        uint8_t byte = (uint8_t)(value | 128);
        flo_buf_add(out, &byte, 1);
        value >>= 7;
    }
    flo_buf_add(out, &value, 1);
}

void flo_tensor_entry_write(const struct tensor_entry *entry, uint64_t old_end, struct flo_buf *out)
{
    uint8_t op = (uint8_t)entry->op;

    flo_buf_add(out, &op, 1);
    if (tensor_op_is_typed(entry->op)) {
        flo_buf_add(out, &entry->old_id, 1);
        flo_buf_add(out, &entry->new_id, 1);
        put_number(out, entry->columns);
        put_number(out, entry->values);
    } else {
        put_number(out, entry->new_bytes);
    }
    if (has_old(entry->op)) {
        uint64_t move = entry->old_at - old_end;
        put_number(out, move << 1 ^ (0 - (move >> 63)));
    }
    if (entry->op == TENSOR_PACKED) {
        put_number(out, entry->old_bytes);
    }
    if (entry->op == TENSOR_PACKED || tensor_op_begins(entry->op)) {
        put_number(out, entry->payload_bytes);
    }
}

void flo_tensor_index_begin(struct tensor_index *index, const struct tensor_head *head,
                            const uint8_t *data)
{
    *index = (struct tensor_index){.head = head,
                                   .data = data,
                                   .payload_end = TENSOR_HEAD_BYTES + (uint64_t)head->packed_bytes};
}

static bool get_byte(struct tensor_index *index, uint8_t *out)
{
    if (index->at >= index->head->index_bytes) {
        return false;
    }
    *out = index->data[index->at++];
    return true;
}

/* Reads a base-128 number of at most 63 bits, low groups first. */
static bool get_number(struct tensor_index *index, uint64_t *out)
{
    uint64_t value = 0;
    uint8_t byte = 128;

    for (unsigned shift = 0; (byte & 128) != 0; shift += 7) {
        if (shift > 56 || !get_byte(index, &byte)) {
            return false;
        }
        value |= (uint64_t)(byte & 127) << shift;
    }
    *out = value;
    return true;
}

static int fail_entry(const struct tensor_index *index, int code, const char *what,
                      struct flo_err *err)
{
    return flo_fail(err, code, "part %u, byte %" PRIu64 " of the new file: %s", index->count,
                    index->new_end, what);
}

static int read_typed(struct tensor_index *index, struct tensor_entry *out, struct flo_err *err)
{
    uint64_t columns;

    if (!get_byte(index, &out->old_id) || !get_byte(index, &out->new_id) ||
        !get_number(index, &columns) || !get_number(index, &out->values)) {
        return fail_entry(index, FLO_E_PATCH_TRUNCATED, "the index ends", err);
    }
    const struct block_type *old_type = flo_block_type(out->old_id);
    const struct block_type *new_type = flo_block_type(out->new_id);
    /* The limit is eight values per byte, the most of any type. */
    if (columns > UINT32_MAX || out->values > 8 * TENSOR_PART_BYTES_MAX ||
        !flo_tensor_part_is_sound(old_type, new_type, out->values, (uint32_t)columns)) {
        return fail_entry(index, FLO_E_PATCH_FORMAT, "types, values and row do not fit", err);
    }
    out->columns = (uint32_t)columns;
    out->new_bytes = flo_tensor_bytes(new_type, out->values);
    out->old_bytes = flo_tensor_bytes(old_type, out->values);
    if (out->old_bytes > TENSOR_PART_BYTES_MAX) {
        return fail_entry(index, FLO_E_PATCH_LIMIT, "too many old bytes", err);
    }
    return 0;
}

static int read_numbers(struct tensor_index *index, struct tensor_entry *out, struct flo_err *err)
{
    uint64_t move = 0;
    uint64_t payload = 0;
    bool is_read = true;

    if (tensor_op_is_typed(out->op)) {
        int rv = read_typed(index, out, err);
        FLO_TRY(rv);
    } else {
        is_read = get_number(index, &out->new_bytes);
    }
    if (is_read && has_old(out->op)) {
        is_read = get_number(index, &move);
        out->old_at = index->old_end + (move >> 1 ^ (0 - (move & 1)));
    }
    if (is_read && out->op == TENSOR_PACKED) {
        is_read = get_number(index, &out->old_bytes);
    }
    if (is_read && (out->op == TENSOR_PACKED || tensor_op_begins(out->op))) {
        is_read = get_number(index, &payload);
    }
    if (!is_read) {
        return fail_entry(index, FLO_E_PATCH_TRUNCATED, "the index ends or has a number of 64 bits",
                          err);
    }
    if (out->op == TENSOR_COPY) {
        out->old_bytes = out->new_bytes;
    } else if (out->op == TENSOR_PLAIN) {
        payload = out->new_bytes;
    }
    if (payload > TENSOR_PART_BYTES_MAX) {
        return fail_entry(index, FLO_E_PATCH_LIMIT, "the payload is too long", err);
    }
    out->payload_bytes = (uint32_t)payload;
    return 0;
}

static int check_entry(const struct tensor_index *index, const struct tensor_entry *entry,
                       struct flo_err *err)
{
    const struct tensor_head *head = index->head;

    if (entry->new_bytes == 0 || entry->new_bytes > head->new_bytes - index->new_end) {
        return fail_entry(index, FLO_E_PATCH_BOUNDS, "it is empty or ends behind the new file",
                          err);
    }
    if (has_old(entry->op) &&
        (entry->old_at > head->old_bytes || entry->old_bytes > head->old_bytes - entry->old_at)) {
        return fail_entry(index, FLO_E_PATCH_BOUNDS, "it reads outside the old file", err);
    }
    if (entry->op != TENSOR_COPY && entry->op != TENSOR_ZERO &&
        entry->new_bytes > TENSOR_PART_BYTES_MAX) {
        return fail_entry(index, FLO_E_PATCH_LIMIT, "it has too many new bytes", err);
    }
    if (entry->op == TENSOR_PACKED && entry->old_bytes > TENSOR_PREFIX_BYTES_MAX) {
        return fail_entry(index, FLO_E_PATCH_LIMIT, "too many old bytes", err);
    }
    return 0;
}

/* Takes the next hash of the index.  Hashes come after all entries, in the
 * order of the parts. */
static bool take_hash(struct tensor_index *index, const uint8_t **out)
{
    if (index->head->index_bytes - index->hash_at < TENSOR_HASH_BYTES) {
        return false;
    }
    *out = index->data + index->hash_at;
    index->hash_at += TENSOR_HASH_BYTES;
    return true;
}

static int take_hashes(struct tensor_index *index, struct tensor_entry *entry, struct flo_err *err)
{
    bool is_there = true;

    if (entry->op != TENSOR_COPY && entry->op != TENSOR_ZERO) {
        is_there = take_hash(index, &entry->new_hash);
    }
    if (is_there && (entry->op == TENSOR_PACKED || tensor_op_begins(entry->op))) {
        is_there = take_hash(index, &entry->payload_hash);
    }
    return is_there ? 0
                    : fail_entry(index, FLO_E_PATCH_TRUNCATED, "the index has no hash for it", err);
}

unsigned flo_tensor_predictor_of(const struct tensor_entry *entry)
{
    if (tensor_op_is_typed(entry->op) &&
        flo_block_type(entry->new_id)->is_float == BLOCK_INTEGERS) {
        return FLO_TENSOR_PREDICTOR_INTEGERS;
    }
    return entry->op == TENSOR_FOLLOWED ? FLO_TENSOR_PREDICTOR_FOLLOWS : FLO_TENSOR_PREDICTOR;
}

static int read_entry(struct tensor_index *index, struct tensor_entry *out, struct flo_err *err)
{
    uint8_t op = TENSOR_OPS;

    *out = (struct tensor_entry){.new_at = index->new_end};
    if (!get_byte(index, &op)) {
        return fail_entry(index, FLO_E_PATCH_TRUNCATED, "the index ends", err);
    }
    if (op >= TENSOR_OPS) {
        return fail_entry(index, FLO_E_PATCH_FORMAT, "unknown kind of part", err);
    }
    out->op = (enum tensor_op)op;
    FLO_TRY(read_numbers(index, out, err));
    if (flo_tensor_predictor_of(out) > index->head->predictor) {
        return fail_entry(index, FLO_E_PATCH_FORMAT,
                          "a kind of part that its predictor does not have", err);
    }
    FLO_TRY(check_entry(index, out, err));
    out->payload_at = index->payload_end;
    index->payload_end += out->payload_bytes;
    index->new_end += out->new_bytes;
    index->old_end = has_old(out->op) ? out->old_at + out->old_bytes : index->old_end;
    index->count++;
    return 0;
}

int flo_tensor_index_next(struct tensor_index *index, struct tensor_entry *out, bool *is_end,
                          struct flo_err *err)
{
    *is_end = index->count == index->head->part_count;
    if (*is_end) {
        return 0;
    }
    FLO_TRY(read_entry(index, out, err));
    return index->hash_at == 0 ? 0 : take_hashes(index, out, err);
}

static void grow(size_t *most, uint64_t bytes)
{
    *most = bytes > *most ? (size_t)bytes : *most;
}

int flo_tensor_index_check(const struct tensor_head *head, const uint8_t *data,
                           uint64_t patch_bytes, struct tensor_needs *out, struct flo_err *err)
{
    struct tensor_index index;
    struct tensor_entry entry;
    bool is_end = false;
    bool is_in_group = false;
    uint64_t hashes = 0;
    struct tensor_needs needs = {0};

    flo_tensor_index_begin(&index, head, data);
    for (;;) {
        FLO_TRY(flo_tensor_index_next(&index, &entry, &is_end, err));
        if (is_end) {
            break;
        }
        if (entry.op == TENSOR_MORE && !is_in_group) {
            return fail_entry(&index, FLO_E_PATCH_FORMAT,
                              "it goes on with a payload that is not there", err);
        }
        is_in_group = tensor_op_is_typed(entry.op) || (is_in_group && entry.payload_bytes == 0);
        hashes += entry.op != TENSOR_COPY && entry.op != TENSOR_ZERO;
        hashes += entry.op == TENSOR_PACKED || tensor_op_begins(entry.op);
        if (entry.op != TENSOR_COPY && entry.op != TENSOR_ZERO) {
            grow(&needs.old_bytes, entry.old_bytes);
            grow(&needs.new_bytes, entry.new_bytes);
            grow(&needs.payload_bytes, entry.payload_bytes);
        }
    }
    if (index.new_end != head->new_bytes ||
        index.at + hashes * TENSOR_HASH_BYTES != head->index_bytes) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "the parts make %" PRIu64 " of %" PRIu64
                        " bytes, or the index has other hashes than parts",
                        index.new_end, head->new_bytes);
    }
    if (index.payload_end != patch_bytes) {
        return flo_fail(
            err, patch_bytes < index.payload_end ? FLO_E_PATCH_TRUNCATED : FLO_E_PATCH_STREAM,
            "the patch has %" PRIu64 " bytes and its parts end at "
            "%" PRIu64,
            patch_bytes, index.payload_end);
    }
    needs.hash_at = index.at;
    *out = needs;
    return 0;
}
