/* Part group: encodes one group of a plan's parts into index entries, hashes
 * and payloads, on one thread. */
#ifndef FLOTILLA_PUBLISH_GROUP_H
#define FLOTILLA_PUBLISH_GROUP_H

#include <pthread.h>

#include <zstd.h>

#include "updater/delta/publish/plan.h"

/* The zstd compressor, shared by all threads because it needs the most
 * memory. */
struct tensor_packer {
    ZSTD_CCtx *zstd;
    uint8_t *bytes; /* [TENSOR_PART_BYTES_MAX] */
    pthread_mutex_t lock;
};
FLO_MUST_USE int flo_tensor_packer_init(struct tensor_packer *packer, struct flo_err *err);
void flo_tensor_packer_deinit(struct tensor_packer *packer);

/* Buffers and coders of one thread. */
struct tensor_desk {
    const struct tensor_plan *plan;
    struct tensor_packer *packer;
    struct tensor_model *model;
    uint8_t *payload; /* [TENSOR_PART_BYTES_MAX] */
};
FLO_MUST_USE int flo_tensor_desk_init(struct tensor_desk *desk, const struct tensor_plan *plan,
                                      struct tensor_packer *packer, struct flo_err *err);
void flo_tensor_desk_deinit(struct tensor_desk *desk);

/* Parts `first` to `end` - 1 of the plan, with their entries, hashes and
 * payload. */
struct tensor_group {
    size_t first;
    size_t end;
    /* finished index entries; old_at is set only in entries that use old
     * bytes */
    struct tensor_plan made;
    struct flo_buf hashes;
    struct flo_buf payload;
};
/* Returns the index after the last part that belongs to the same group as part
 * `first`. */
size_t flo_tensor_group_end(const struct tensor_plan *plan, size_t first);
/* Encodes the group.  The result depends on the plan alone.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_tensor_group_make(struct tensor_desk *desk, struct tensor_group *group,
                                       struct flo_err *err);
void flo_tensor_group_deinit(struct tensor_group *group);

#endif
