/* Part group: encodes a group by the method that gives the smallest payload;
 * see group.h. */
#include "updater/delta/publish/group.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* A part of tensor values must save at least one byte in SAVES_ONE_IN;
 * otherwise zstd packs it. */
#define SAVES_ONE_IN 32
#define LEVEL_PREFIX 12
#define LEVEL_ALONE 5
/* A piece of at most NEAR_BYTES_MAX is first packed with only the similar old
 * bytes.  If the result is below 1 / NEAR_ONE_IN of the piece, the wider range
 * of old bytes is not tried. */
#define NEAR_BYTES_MAX (64u << 10)
#define NEAR_ONE_IN 32
#define LEVEL_NEAR 19
/* A part is packed with old bytes as dictionary, then without.  If the first
 * try shrinks it below 1 / ALONE_ONE_IN, the second is not made. */
#define ALONE_ONE_IN 4
/* zstd packs at most 3 MiB at once, so tables of 16 MiB are enough. */
#define WINDOW_LOG 22
#define TABLE_LOG 21
/* Tables of zstd from this size on are mapped and given back, because their
 * size changes with each part.  Else each thread would keep its own tables in
 * the allocator's pool. */
#define MAPPED_BYTES_MIN (1 << 20)

/* ---- the tools of a thread ---- */

int flo_tensor_packer_init(struct tensor_packer *packer, struct flo_err *err)
{
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    packer->zstd = ZSTD_createCCtx();
    packer->bytes = malloc(TENSOR_PART_BYTES_MAX);
    (void)pthread_mutex_init(&packer->lock, NULL);
    return packer->zstd != NULL && packer->bytes != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "no memory to make a patch");
}

void flo_tensor_packer_deinit(struct tensor_packer *packer)
{
    ZSTD_freeCCtx(packer->zstd);
    free(packer->bytes);
    (void)pthread_mutex_destroy(&packer->lock);
}

int flo_tensor_desk_init(struct tensor_desk *desk, const struct tensor_plan *plan,
                         struct tensor_packer *packer, struct flo_err *err)
{
    *desk = (struct tensor_desk){.plan = plan,
                                 .packer = packer,
                                 .model = flo_tensor_model_new(),
                                 .payload = malloc(TENSOR_PART_BYTES_MAX)};
    return desk->model != NULL && desk->payload != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "no memory to make a patch");
}

void flo_tensor_desk_deinit(struct tensor_desk *desk)
{
    flo_tensor_model_free(desk->model);
    free(desk->payload);
}

void flo_tensor_group_deinit(struct tensor_group *group)
{
    flo_tensor_plan_deinit(&group->made);
    flo_buf_deinit(&group->hashes);
    flo_buf_deinit(&group->payload);
}

static void add_hash(struct flo_buf *out, const uint8_t *data, size_t bytes)
{
    struct flo_digest hash;

    flo_sha256(data, bytes, &hash);
    flo_buf_add(out, &hash, TENSOR_HASH_BYTES);
}

static void add(const struct tensor_desk *desk, struct tensor_group *group,
                const struct tensor_entry *part, const uint8_t *payload)
{
    flo_tensor_plan_add(&group->made, part);
    if (part->op != TENSOR_COPY && part->op != TENSOR_ZERO) {
        add_hash(&group->hashes, desk->plan->input->new + part->new_at, (size_t)part->new_bytes);
    }
    if (part->op == TENSOR_PACKED || tensor_op_begins(part->op)) {
        add_hash(&group->hashes, payload, part->payload_bytes);
    }
    flo_buf_add(&group->payload, payload, part->payload_bytes);
}

/* ---- packed and plain ---- */

/* zstd's search parameters.  `enough` is the match length that ends a search.
 * 0: the default of the level. */
struct search {
    int level;
    int strategy;
    int enough;
};
static const struct search search_prefix = {LEVEL_PREFIX, 0, 0};
static const struct search search_alone = {LEVEL_ALONE, 0, 0};
static const struct search searches_near[] = {{LEVEL_PREFIX, 0, 0}, {LEVEL_NEAR, ZSTD_btultra, 16}};

static size_t pack(const struct tensor_desk *desk, const struct tensor_entry *part,
                   const struct search *search)
{
    const struct delta_input *input = desk->plan->input;
    ZSTD_CCtx *zstd = desk->packer->zstd;

    (void)ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, search->level);
    (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_strategy, search->strategy);
    (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_targetLength, search->enough);
    (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, WINDOW_LOG);
    if (search->level == LEVEL_PREFIX) {
        (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, TABLE_LOG);
        (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_chainLog, TABLE_LOG);
    }
    (void)ZSTD_CCtx_refPrefix(zstd, input->old + part->old_at, (size_t)part->old_bytes);
    return ZSTD_compress2(zstd, desk->packer->bytes, TENSOR_PART_BYTES_MAX,
                          input->new + part->new_at, (size_t)part->new_bytes);
}

/* Tells whether zstd's result of `packed` bytes, with its hash of 32, is
 * smaller than the `bytes` plain ones. */
static bool is_below(size_t packed, uint64_t bytes)
{
    return !ZSTD_isError(packed) && packed + 32 < bytes;
}

static void add_made(const struct tensor_desk *desk, struct tensor_group *group,
                     struct tensor_entry part, size_t packed)
{
    part.op = TENSOR_PACKED;
    part.payload_bytes = (uint32_t)packed;
    add(desk, group, &part, desk->packer->bytes);
}

/* Packs a short part with only those old bytes that should be similar.  Returns
 * false when the result is not small enough. */
static bool add_near(const struct tensor_desk *desk, struct tensor_group *group,
                     struct tensor_entry part)
{
    if (part.op != TENSOR_PACKED || part.new_bytes > NEAR_BYTES_MAX ||
        part.near_bytes >= part.old_bytes) {
        return false;
    }
    part.old_at += part.near_bytes;
    part.old_bytes -= part.near_bytes;
    part.old_bytes = part.old_bytes < part.new_bytes ? part.old_bytes : part.new_bytes;
    size_t least = SIZE_MAX;
    size_t best = 0;
    for (size_t i = 0; i < FLO_COUNT(searches_near); i++) {
        size_t packed = pack(desk, &part, &searches_near[i]);
        if (!ZSTD_isError(packed) && packed < least) {
            least = packed;
            best = i;
        }
    }
    if (least > part.new_bytes / NEAR_ONE_IN) {
        return false;
    }
    if (best + 1 < FLO_COUNT(searches_near)) {
        least = pack(desk, &part, &searches_near[best]); /* once more */
    }
    add_made(desk, group, part, least);
    return true;
}

static void add_packed(const struct tensor_desk *desk, struct tensor_group *group,
                       struct tensor_entry part)
{
    struct tensor_entry lone = part;
    size_t with_old = SIZE_MAX;

    if (part.old_bytes > 0) {
        with_old = pack(desk, &part, &search_prefix);
    }
    if (!is_below(with_old, part.new_bytes / ALONE_ONE_IN)) {
        lone.old_bytes = 0;
        size_t alone = pack(desk, &lone, &search_alone);
        uint64_t least = is_below(alone, part.new_bytes) ? alone : part.new_bytes;
        if (least < part.new_bytes && !is_below(with_old, least)) {
            add_made(desk, group, lone, alone);
            return;
        }
        if (!is_below(with_old, least)) {
            part.op = TENSOR_PLAIN;
            part.payload_bytes = (uint32_t)part.new_bytes;
            add(desk, group, &part, desk->plan->input->new + part.new_at);
            return;
        }
        with_old = pack(desk, &part, &search_prefix); /* once more */
    }
    add_made(desk, group, part, with_old);
}

static void pack_part(const struct tensor_desk *desk, struct tensor_group *group,
                      const struct tensor_entry *part)
{
    (void)pthread_mutex_lock(&desk->packer->lock);
    if (!add_near(desk, group, *part)) {
        add_packed(desk, group, *part);
    }
    (void)pthread_mutex_unlock(&desk->packer->lock);
}

/* ---- typed parts ---- */

static struct tensor_part typed_part(const struct tensor_desk *desk,
                                     const struct tensor_entry *part)
{
    return (struct tensor_part){
        .old_type = flo_block_type(part->old_id),
        .new_type = flo_block_type(part->new_id),
        .old = desk->plan->input->old + part->old_at,
        .values = part->values,
        .columns = part->columns,
    };
}

size_t flo_tensor_group_end(const struct tensor_plan *plan, size_t first)
{
    uint64_t bytes = 0;
    size_t end = first;

    if (!tensor_op_is_typed(plan->parts[first].op)) {
        return first + 1;
    }
    for (size_t i = first; i < plan->count; i++) {
        const struct tensor_entry *part = &plan->parts[i];
        bytes += tensor_op_is_typed(part->op) ? part->new_bytes : 0;
        if (bytes > TENSOR_PART_BYTES_MAX || part->op == TENSOR_PACKED ||
            part->op == TENSOR_PLAIN) {
            break;
        }
        end = tensor_op_is_typed(part->op) ? i + 1 : end;
    }
    return end > first ? end : first + 1;
}

/* Result of one method of coding a group. */
struct coding {
    bool is_followed;
    size_t bytes; /* bytes of the payload; 0: the method saves too little */
};

static void code_parts(struct tensor_desk *desk, size_t first, size_t end, struct coding *coding)
{
    struct range_coder coder;
    uint64_t bytes = 0;

    coding->bytes = 0;
    flo_tensor_model_reset(desk->model);
    range_encode_begin(&coder, desk->payload, TENSOR_PART_BYTES_MAX);
    for (size_t i = first; i < end; i++) {
        const struct tensor_entry *entry = &desk->plan->parts[i];
        if (!tensor_op_is_typed(entry->op)) {
            continue;
        }
        struct tensor_part part = typed_part(desk, entry);
        part.is_followed = coding->is_followed && flo_tensor_part_can_follow(&part);
        if (!flo_tensor_encode(desk->model, &coder, &part,
                               desk->plan->input->new + entry->new_at)) {
            return;
        }
        bytes += entry->new_bytes;
    }
    size_t payload = range_encode_end(&coder);
    if (!coder.is_full && payload <= bytes - bytes / SAVES_ONE_IN &&
        (!coding->is_followed || flo_tensor_follows_well(desk->model))) {
        coding->bytes = payload;
    }
}

static bool can_follow(const struct tensor_desk *desk, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct tensor_entry *entry = &desk->plan->parts[i];
        if (tensor_op_is_typed(entry->op)) {
            struct tensor_part part = typed_part(desk, entry);
            if (flo_tensor_part_can_follow(&part)) {
                return true;
            }
        }
    }
    return false;
}

static struct coding code_typed(struct tensor_desk *desk, size_t first, size_t end)
{
    struct coding coding = {.is_followed = can_follow(desk, first, end)};

    if (coding.is_followed) {
        code_parts(desk, first, end, &coding);
    }
    if (coding.bytes == 0) {
        coding.is_followed = false;
        code_parts(desk, first, end, &coding);
    }
    return coding;
}

static void add_typed(struct tensor_desk *desk, struct tensor_group *group, size_t first,
                      size_t end, const struct coding *coding)
{
    for (size_t i = first; i < end; i++) {
        struct tensor_entry part = desk->plan->parts[i];
        if (tensor_op_is_typed(part.op)) {
            part.op = i > first             ? TENSOR_MORE
                      : coding->is_followed ? TENSOR_FOLLOWED
                                            : TENSOR_TYPED;
            part.payload_bytes = i == first ? (uint32_t)coding->bytes : 0;
        }
        add(desk, group, &part, desk->payload);
    }
}

static void make(struct tensor_desk *desk, struct tensor_group *group, size_t first, size_t end)
{
    const struct tensor_entry *part = &desk->plan->parts[first];

    if (part->op == TENSOR_PACKED) {
        pack_part(desk, group, part);
        return;
    }
    if (!tensor_op_is_typed(part->op)) {
        add(desk, group, part, NULL);
        return;
    }
    const struct coding coding = code_typed(desk, first, end);
    if (coding.bytes > 0) {
        add_typed(desk, group, first, end, &coding);
    } else if (end - first == 1) {
        pack_part(desk, group, part);
    } else { /* the group saves too little, so each part is tried alone */
        for (size_t i = first; i < end; i++) {
            make(desk, group, i, i + 1);
        }
    }
}

int flo_tensor_group_make(struct tensor_desk *desk, struct tensor_group *group, struct flo_err *err)
{
    make(desk, group, group->first, group->end);
    return group->made.failed || group->hashes.failed || group->payload.failed
               ? flo_fail(err, FLO_E_MEMORY, "no memory to make a patch")
               : 0;
}
