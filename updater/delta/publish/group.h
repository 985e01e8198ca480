/* The publisher's work on one group of a plan's parts, alone on a thread: parts
 * become entries of the index, hashes and payloads. */
#ifndef FLOTILLA_PUBLISH_GROUP_H
#define FLOTILLA_PUBLISH_GROUP_H

#include <pthread.h>

#include <zstd.h>

#include "updater/delta/publish/plan.h"

/* zstd, which takes more memory than all else: one for all threads. */
struct tensor_packer {
    ZSTD_CCtx *zstd;
    uint8_t *bytes; /* [TENSOR_PART_BYTES_MAX] */
    pthread_mutex_t lock;
};
FLO_MUST_USE int flo_tensor_packer_init(struct tensor_packer *packer, struct flo_err *err);
void flo_tensor_packer_deinit(struct tensor_packer *packer);

/* The tools of one thread. */
struct tensor_desk {
    const struct tensor_plan *plan;
    struct tensor_packer *packer;
    struct tensor_model *model;
    uint8_t *payload; /* [TENSOR_PART_BYTES_MAX] */
};
FLO_MUST_USE int flo_tensor_desk_init(struct tensor_desk *desk, const struct tensor_plan *plan,
                                      struct tensor_packer *packer, struct flo_err *err);
void flo_tensor_desk_deinit(struct tensor_desk *desk);

/* Parts first..end of the plan, and their entries, hashes and payload. */
struct tensor_group {
    size_t first;
    size_t end;
    struct tensor_plan made; /* entries; those without old bytes lack old_at */
    struct flo_buf hashes;
    struct flo_buf payload;
};
/* Parts from `first` on that belong together: the index behind them. */
size_t flo_tensor_group_end(const struct tensor_plan *plan, size_t first);
/* FLO_E_MEMORY.  The outcome depends on the plan alone. */
FLO_MUST_USE int flo_tensor_group_make(struct tensor_desk *desk, struct tensor_group *group,
                                       struct flo_err *err);
void flo_tensor_group_deinit(struct tensor_group *group);

#endif
