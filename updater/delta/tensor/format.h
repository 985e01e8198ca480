/* The container of a typed delta: head, index of parts, payloads.
 *
 * Little-endian.  docs/internals/delta.md has every byte.  Everything that a
 * reader allocates or follows is checked against the limits below first. */
#ifndef FLOTILLA_TENSOR_FORMAT_H
#define FLOTILLA_TENSOR_FORMAT_H

#include "updater/delta/internal.h"

#include "updater/delta/tensor/model.h"

#define TENSOR_HEAD_BYTES 160
#define TENSOR_FORMAT 1
/* New bytes of a part that is decoded, old bytes of a typed one, payload. */
#define TENSOR_PART_BYTES_MAX (1u << 20)
/* Old bytes that a packed part may look into. */
#define TENSOR_PREFIX_BYTES_MAX (2u << 20)
#define TENSOR_INDEX_BYTES_MAX (1u << 20)
#define TENSOR_PARTS_MAX (1u << 18)
#define TENSOR_HASH_BYTES 16
/* Private memory of a decoder, whatever the patch: index 1 MiB (twice while it
 * is unpacked), old 2, new 1, payload 1, model and zstd 1.5. */
#define TENSOR_MEMORY_BYTES (8u << 20)

/* How the bytes of a part are made. */
enum tensor_op {
    TENSOR_COPY,     /* old bytes as they are, any count */
    TENSOR_ZERO,     /* zeros, any count */
    TENSOR_PLAIN,    /* the payload */
    TENSOR_PACKED,   /* a zstd frame; old bytes are its prefix */
    TENSOR_TYPED,    /* values of a tensor; begins a payload and a fresh model */
    TENSOR_MORE,     /* typed; goes on in the payload and with the model */
    TENSOR_FOLLOWED, /* as typed, for a group whose rows move together */
    TENSOR_OPS
};

struct tensor_head {
    unsigned predictor; /* FLO_TENSOR_PREDICTOR, _FOLLOWS, _INTEGERS */
    uint64_t old_bytes;
    uint64_t new_bytes;
    struct flo_digest old_digest;
    struct flo_digest new_digest;
    uint32_t memory_bytes;
    uint32_t part_count;
    uint32_t index_bytes;
    uint32_t packed_bytes; /* index in the file; same: not packed */
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
    uint64_t old_at; /* not of zero and plain */
    uint64_t old_bytes;
    uint64_t payload_at;
    uint32_t payload_bytes; /* 0: none of its own */
    uint8_t old_id;         /* typed: tensor types, values, values of a row */
    uint8_t new_id;
    uint32_t columns;
    uint64_t values;
    uint64_t near_bytes;         /* publishers: from old_at to the place of its like */
    const uint8_t *new_hash;     /* NULL: copy and zero have none */
    const uint8_t *payload_hash; /* NULL: none */
};

/* Values of a tensor; and does the part begin their group? */
static inline bool tensor_op_is_typed(enum tensor_op op)
{
    return op == TENSOR_TYPED || op == TENSOR_MORE || op == TENSOR_FOLLOWED;
}

static inline bool tensor_op_begins(enum tensor_op op)
{
    return op == TENSOR_TYPED || op == TENSOR_FOLLOWED;
}

/* The predictor that a device needs for it. */
unsigned flo_tensor_predictor_of(const struct tensor_entry *entry);

/* The walk over an index in memory. */
struct tensor_index {
    const struct tensor_head *head;
    const uint8_t *data;
    size_t at;      /* place of the next entry */
    size_t hash_at; /* place of the next hash; 0: hashes are not read */
    uint32_t count; /* entries that were read */
    uint64_t new_end;
    uint64_t old_end;
    uint64_t payload_end;
};
void flo_tensor_index_begin(struct tensor_index *index, const struct tensor_head *head,
                            const uint8_t *data);
/* The next entry, checked against all that it touches; false at the end.
 * FLO_E_PATCH_BOUNDS, _FORMAT, _LIMIT, _TRUNCATED. */
FLO_MUST_USE int flo_tensor_index_next(struct tensor_index *index, struct tensor_entry *out,
                                       bool *is_end, struct flo_err *err);
/* A check finds this for the walks that follow: where the hashes begin, and the
 * most bytes of a part that is decoded. */
struct tensor_needs {
    size_t hash_at;
    size_t old_bytes;
    size_t new_bytes;
    size_t payload_bytes;
};
/* Walk it all: every entry is sound, the parts make new_bytes, the payloads
 * end with the patch. */
FLO_MUST_USE int flo_tensor_index_check(const struct tensor_head *head, const uint8_t *data,
                                        uint64_t patch_bytes, struct tensor_needs *out,
                                        struct flo_err *err);
/* Append an entry; `old_end` is that of the one before. */
void flo_tensor_entry_write(const struct tensor_entry *entry, uint64_t old_end,
                            struct flo_buf *out);

/* The head alone, for the inspector. */
bool flo_tensor_magic_is(const uint8_t *data, size_t bytes);

#endif
