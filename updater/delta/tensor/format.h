/* Typed-delta container: head, index of parts, payloads.  Little-endian.
 *
 * docs/internals/delta.md has every byte.  A reader checks each size and offset
 * against the limits below before it allocates memory for it or reads there. */
#ifndef FLOTILLA_TENSOR_FORMAT_H
#define FLOTILLA_TENSOR_FORMAT_H

#include "updater/delta/sink.h"

#include <string.h>

#include "updater/delta/tensor/model.h"

#define TENSOR_MAGIC "FLTPD\r\n\x1a"
#define TENSOR_MAGIC_BYTES 8
#define TENSOR_HEAD_BYTES 160
#define TENSOR_FORMAT 1
/* Most bytes of each: new bytes of a decoded part, old bytes of a typed part,
 * and a payload. */
#define TENSOR_PART_BYTES_MAX (1u << 20)
/* Most old bytes that a packed part may refer to. */
#define TENSOR_PREFIX_BYTES_MAX (2u << 20)
#define TENSOR_INDEX_BYTES_MAX (1u << 20)
#define TENSOR_PARTS_MAX (1u << 18)
#define TENSOR_HASH_BYTES 16
/* Private memory of a decoder, the same for every patch.  The index has 1 MiB
 * (twice while it is unpacked), old bytes 2, new bytes 1, payload 1, model and
 * zstd 1.5. */
#define TENSOR_MEMORY_BYTES (8u << 20)

/* Operations that make a part's bytes. */
enum tensor_op {
    TENSOR_COPY,   /* a copy of old bytes, of any length */
    TENSOR_ZERO,   /* zeros, of any length */
    TENSOR_PLAIN,  /* the payload is the new bytes themselves */
    TENSOR_PACKED, /* a zstd frame with the old bytes as prefix */
    /* tensor values; begins a payload, with a predictor that has learned
     * nothing yet */
    TENSOR_TYPED,
    /* tensor values; continues the payload and the predictor's state of the
     * part before */
    TENSOR_MORE,
    TENSOR_FOLLOWED, /* as TENSOR_TYPED, for a group whose rows share directions */
    TENSOR_OPS
};

struct tensor_head {
    /* lowest version of the predictor that can decode the patch:
     * FLO_TENSOR_PREDICTOR, _FOLLOWS or _INTEGERS */
    unsigned predictor;
    uint64_t old_bytes;
    uint64_t new_bytes;
    struct flo_digest old_digest;
    struct flo_digest new_digest;
    uint32_t memory_bytes;
    uint32_t part_count;
    uint32_t index_bytes;
    /* size of the index in the file; equal to index_bytes if the index is not
     * packed */
    uint32_t packed_bytes;
    struct flo_digest index_digest;
};
void flo_tensor_head_write(const struct tensor_head *head, uint8_t out[TENSOR_HEAD_BYTES]);
/* FLO_E_PATCH_FORMAT, _TRUNCATED, _LIMIT. */
FLO_MUST_USE int flo_tensor_head_read(const uint8_t *data, size_t bytes, uint64_t patch_bytes,
                                      struct tensor_head *out, struct flo_err *err);

struct tensor_entry {
    enum tensor_op op;
    uint64_t new_at;
    uint64_t new_bytes;
    uint64_t old_at; /* unused for zero and plain parts */
    uint64_t old_bytes;
    uint64_t payload_at;
    uint32_t payload_bytes; /* 0: the part has no payload, or continues an earlier one */
    /* id of the old tensor's type; this field and the next three are used only
     * in parts with tensor values */
    uint8_t old_id;
    uint8_t new_id;
    uint32_t columns;
    uint64_t values;
    uint64_t near_bytes; /* distance from old_at to the similar bytes; publisher only */
    /* hash of the part's new bytes; NULL for copied bytes and for zeros */
    const uint8_t *new_hash;
    const uint8_t *payload_hash; /* NULL: none */
};

/* Tells whether a part has tensor values. */
static inline bool tensor_op_is_typed(enum tensor_op op)
{
    return op == TENSOR_TYPED || op == TENSOR_MORE || op == TENSOR_FOLLOWED;
}

/* Tells whether a part begins a group of tensor values. */
static inline bool tensor_op_begins(enum tensor_op op)
{
    return op == TENSOR_TYPED || op == TENSOR_FOLLOWED;
}

/* Returns the lowest predictor version that can decode the entry. */
unsigned flo_tensor_predictor_of(const struct tensor_entry *entry);

/* Iterator over the entries of an index in memory. */
struct tensor_index {
    const struct tensor_head *head;
    const uint8_t *data;
    size_t at;      /* offset of the next entry */
    size_t hash_at; /* offset of the next hash; 0: hashes are not read */
    uint32_t count; /* entries read so far */
    uint64_t new_end;
    uint64_t old_end;
    uint64_t payload_end;
};
void flo_tensor_index_begin(struct tensor_index *index, const struct tensor_head *head,
                            const uint8_t *data);
/* Reads the next entry and checks all offsets and sizes in it.  Sets *is_end
 * when no entry is left.  FLO_E_PATCH_BOUNDS, _FORMAT, _LIMIT, _TRUNCATED. */
FLO_MUST_USE int flo_tensor_index_next(struct tensor_index *index, struct tensor_entry *out,
                                       bool *is_end, struct flo_err *err);
/* Results of flo_tensor_index_check: where the hashes begin, and the sizes of
 * the largest decoded parts. */
struct tensor_needs {
    size_t hash_at;
    size_t old_bytes;
    size_t new_bytes;
    size_t payload_bytes;
};
/* Checks the whole index: every entry is valid, the parts sum to new_bytes, the
 * payloads end with the patch. */
FLO_MUST_USE int flo_tensor_index_check(const struct tensor_head *head, const uint8_t *data,
                                        uint64_t patch_bytes, struct tensor_needs *out,
                                        struct flo_err *err);
/* Appends an entry to the index; `old_end` is where the old bytes of the
 * previous entry end. */
void flo_tensor_entry_write(const struct tensor_entry *entry, uint64_t old_end,
                            struct flo_buf *out);

/* Tells whether a file begins with the magic number of a typed delta. */
static inline bool flo_tensor_magic_is(const uint8_t *data, size_t bytes)
{
    return bytes >= TENSOR_MAGIC_BYTES && memcmp(data, TENSOR_MAGIC, TENSOR_MAGIC_BYTES) == 0;
}

#endif
