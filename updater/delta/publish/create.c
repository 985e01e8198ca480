/* Typed-delta encoder: plans the parts of the new file, encodes groups of parts
 * on all cores, and writes index and header.  Publishers only.
 *
 * The coding threads take the groups in the order of the plan.  The calling
 * thread writes them in the same order, so the bytes do not depend on the
 * number of threads. */
#include "updater/delta/publish/group.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/patch.h>

/* Most threads.  Each needs 3.5 MiB; with zstd and the plan the total stays
 * below 64 MiB. */
#define THREADS_MAX 12
#define INDEX_LEVEL 12

struct create {
    const struct delta_input *input;
    struct tensor_plan plan;
    struct tensor_packer packer;
    int fd;
    struct flo_buf entries;
    struct flo_buf hashes;
    uint32_t part_count;
    unsigned predictor; /* lowest predictor version that can decode all parts */
    uint64_t old_end;
    uint64_t done; /* bytes of the new file that are coded so far */
};

/* ---- groups, one after the other ---- */

static void write_entry(struct create *create, struct tensor_entry part)
{
    bool has_old = part.op != TENSOR_ZERO && part.op != TENSOR_PLAIN;

    if (part.op == TENSOR_PACKED && part.old_bytes == 0) {
        part.old_at = create->old_end; /* encodes shortest */
    }
    flo_tensor_entry_write(&part, create->old_end, &create->entries);
    create->part_count++;
    unsigned needed = flo_tensor_predictor_of(&part);
    create->predictor = needed > create->predictor ? needed : create->predictor;
    create->done += part.new_bytes;
    create->old_end = has_old ? part.old_at + part.old_bytes : create->old_end;
}

static int write_group(struct create *create, const struct tensor_group *group, struct flo_err *err)
{
    const struct flo_delta_making *making = create->input->making;

    for (size_t i = 0; i < group->made.count; i++) {
        write_entry(create, group->made.parts[i]);
    }
    flo_buf_add(&create->hashes, group->hashes.data, group->hashes.bytes);
    int rv = flo_fd_write_all(create->fd, group->payload.data, group->payload.bytes, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "patch");
    }
    if (making != NULL && making->on_progress != NULL) {
        making->on_progress(making->context, create->done, create->input->new_bytes);
    }
    return 0;
}

/* ---- groups, side by side ---- */

/* Work queue of groups.  Group n is in slot n modulo `slot_count`. */
struct shop {
    struct create *create;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t next_part; /* index of the first part that no thread has taken yet */
    size_t taken;     /* groups */
    size_t written;   /* groups */
    size_t slot_count;
    bool is_stopped;
    struct slot {
        struct tensor_group group;
        bool is_made;
        int rv;
        struct flo_err err;
    } slots[THREADS_MAX + 2];
};

/* Takes the next group once its slot is free.  Returns NULL when no work is
 * left. */
static struct slot *take(struct shop *shop)
{
    const struct tensor_plan *plan = &shop->create->plan;
    struct slot *slot = NULL;

    (void)pthread_mutex_lock(&shop->lock);
    while (!shop->is_stopped && shop->next_part < plan->count &&
           shop->taken - shop->written >= shop->slot_count) {
        (void)pthread_cond_wait(&shop->changed, &shop->lock);
    }
    if (!shop->is_stopped && shop->next_part < plan->count) {
        slot = &shop->slots[shop->taken++ % shop->slot_count];
        *slot = (struct slot){.group.first = shop->next_part};
        shop->next_part = flo_tensor_group_end(plan, shop->next_part);
        slot->group.end = shop->next_part;
    }
    (void)pthread_mutex_unlock(&shop->lock);
    return slot;
}

static void *work(void *context)
{
    struct shop *shop = context;
    struct tensor_desk desk;
    struct slot *slot;
    struct flo_err err = {0};
    int rv = flo_tensor_desk_init(&desk, &shop->create->plan, &shop->create->packer, &err);

    while ((slot = take(shop)) != NULL) {
        if (rv == 0) {
            slot->rv = flo_tensor_group_make(&desk, &slot->group, &slot->err);
        } else {
            slot->rv = rv;
            slot->err = err;
        }
        (void)pthread_mutex_lock(&shop->lock);
        slot->is_made = true;
        (void)pthread_cond_broadcast(&shop->changed);
        (void)pthread_mutex_unlock(&shop->lock);
    }
    flo_tensor_desk_deinit(&desk);
    return NULL;
}

/* Waits until the next group in the plan's order is coded, and writes it. */
static int write_next(struct shop *shop, struct flo_err *err)
{
    struct slot *slot = &shop->slots[shop->written % shop->slot_count];

    (void)pthread_mutex_lock(&shop->lock);
    while (shop->written == shop->taken || !slot->is_made) {
        (void)pthread_cond_wait(&shop->changed, &shop->lock);
    }
    (void)pthread_mutex_unlock(&shop->lock);
    int rv = slot->rv;
    if (rv == 0) {
        rv = write_group(shop->create, &slot->group, err);
    } else if (err != NULL) {
        *err = slot->err;
    }
    flo_tensor_group_deinit(&slot->group);
    (void)pthread_mutex_lock(&shop->lock);
    shop->written++;
    slot->is_made = false;
    shop->is_stopped = rv < 0;
    (void)pthread_cond_broadcast(&shop->changed);
    (void)pthread_mutex_unlock(&shop->lock);
    return rv;
}

static int write_all(struct shop *shop, struct flo_err *err)
{
    const struct tensor_plan *plan = &shop->create->plan;
    size_t groups = 0;
    int rv = 0;

    for (size_t i = 0; i < plan->count; i = flo_tensor_group_end(plan, i)) {
        groups++;
    }
    for (size_t i = 0; rv == 0 && i < groups; i++) {
        rv = write_next(shop, err);
    }
    return rv;
}

static size_t thread_count(const struct delta_input *input)
{
    size_t wanted = input->making == NULL ? 0 : input->making->threads;

    wanted = wanted == 0 ? flo_cpus_allowed() : wanted;
    return wanted < 1 ? 1 : wanted < THREADS_MAX ? wanted : THREADS_MAX;
}

static int make_groups(struct create *create, struct flo_err *err)
{
    struct shop shop = {.create = create};
    pthread_t threads[THREADS_MAX];
    size_t wanted = thread_count(create->input);
    size_t count = 0;
    int rv;

    shop.slot_count = wanted + 2;
    (void)pthread_mutex_init(&shop.lock, NULL);
    (void)pthread_cond_init(&shop.changed, NULL);
    while (count < wanted && pthread_create(&threads[count], NULL, work, &shop) == 0) {
        count++;
    }
    rv = count > 0 ? write_all(&shop, err)
                   : flo_fail(err, FLO_E_MEMORY, "no thread to make a patch");
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < shop.slot_count; i++) { /* groups that are left over after an error */
        flo_tensor_group_deinit(&shop.slots[i].group);
    }
    (void)pthread_cond_destroy(&shop.changed);
    (void)pthread_mutex_destroy(&shop.lock);
    return rv;
}

/* ---- the file ---- */

/* Copies the payloads from a scratch file to the patch.  The index comes before
 * them in the patch, but it is complete only after the last payload. */
static int move_payloads(int from, int to, uint64_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(DELTA_PIECE_BYTES);

    FLO_TRY(piece == NULL ? flo_fail(err, FLO_E_MEMORY, "no memory to copy") : 0);
    for (uint64_t at = 0; at < bytes;) {
        uint64_t left = bytes - at;
        size_t count = left < DELTA_PIECE_BYTES ? (size_t)left : DELTA_PIECE_BYTES;
        FLO_TRY(flo_fd_pread_all(from, piece, count, at, err));
        FLO_TRY(flo_fd_write_all(to, piece, count, err));
        at += count;
    }
    return 0;
}

static int write_patch(struct create *create, int payload_fd, int fd, struct flo_err *err)
{
    struct tensor_head head = {.predictor = create->predictor,
                               .old_bytes = create->input->old_bytes,
                               .new_bytes = create->input->new_bytes,
                               .memory_bytes = TENSOR_MEMORY_BYTES,
                               .part_count = create->part_count};
    uint8_t bytes[TENSOR_HEAD_BYTES];
    uint64_t payload_bytes = 0;
    struct flo_buf *index = &create->entries;

    flo_buf_add(index, create->hashes.data, create->hashes.bytes);
    if (index->failed || create->hashes.failed || index->bytes > TENSOR_INDEX_BYTES_MAX ||
        create->part_count > TENSOR_PARTS_MAX) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "%u parts need an index of %zu bytes; allowed are %u", create->part_count,
                        index->bytes, TENSOR_INDEX_BYTES_MAX);
    }
    ZSTD_CCtx *zstd = create->packer.zstd;
    (void)ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, INDEX_LEVEL);
    size_t packed = ZSTD_compress2(zstd, create->packer.bytes, TENSOR_PART_BYTES_MAX, index->data,
                                   index->bytes);
    bool is_packed = !ZSTD_isError(packed) && packed < index->bytes;
    const void *data = is_packed ? (const void *)create->packer.bytes : (const void *)index->data;
    head.index_bytes = (uint32_t)index->bytes;
    head.packed_bytes = is_packed ? (uint32_t)packed : head.index_bytes;
    head.old_digest = create->input->old_digest;
    head.new_digest = create->input->new_digest;
    flo_sha256(data == NULL ? bytes : data, head.packed_bytes, &head.index_digest);
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

int flo_delta_tensor1_create(const struct delta_input *input, int fd, struct flo_err *err)
{
    struct create create = {.input = input, .predictor = FLO_TENSOR_PREDICTOR};
    FLO_CLEANUP(flo_fd_cleanup) int scratch = flo_delta_scratch_open(err);

    if (scratch < 0) {
        return scratch;
    }
    create.fd = scratch;
    int rv = flo_tensor_packer_init(&create.packer, err);
    if (rv == 0) {
        rv = flo_tensor_plan_make(input, &create.plan, err);
    }
    if (rv == 0) {
        rv = make_groups(&create, err);
    }
    if (rv == 0) {
        rv = write_patch(&create, scratch, fd, err);
    }
    flo_tensor_plan_deinit(&create.plan);
    flo_tensor_packer_deinit(&create.packer);
    flo_buf_deinit(&create.entries);
    flo_buf_deinit(&create.hashes);
    return rv;
}
