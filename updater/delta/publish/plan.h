/* Delta plan: where in the old file each part of the new file comes from.
 * Publisher only. */
#ifndef FLOTILLA_PUBLISH_PLAN_H
#define FLOTILLA_PUBLISH_PLAN_H

#include "updater/delta/tensor/format.h"

/* Parts of the new file in order, before their payloads are made.  The encoder
 * may later choose a simpler form for a part: packed instead of tensor values,
 * or plain instead of packed. */
struct tensor_plan {
    const struct delta_input *input;
    struct tensor_entry *parts;
    size_t count;
    size_t room;
    uint64_t index_bytes; /* estimated size of entries and hashes, in bytes */
    bool failed;          /* no memory */
};

void flo_tensor_plan_deinit(struct tensor_plan *plan);
/* Appends the next part to the plan. */
void flo_tensor_plan_add(struct tensor_plan *plan, const struct tensor_entry *part);
/* Appends a copy of old bytes.  A copy that continues the last part is merged
 * with it. */
void flo_tensor_plan_copy(struct tensor_plan *plan, uint64_t new_at, uint64_t old_at,
                          uint64_t bytes);

/* Block matcher: finds equal bytes in the old file with a table of the hashes
 * of its blocks. */
struct tensor_match;
FLO_MUST_USE int flo_tensor_match_open(const struct delta_input *input, struct tensor_match **out,
                                       struct flo_err *err);
void flo_tensor_match_close(struct tensor_match *match);
/* Plans new bytes that belong to no tensor.  `near` is the offset in the old
 * file where similar bytes are most likely.  The number of parts is limited so
 * that the index has room for a file of 20 GiB. */
void flo_tensor_match_plan(struct tensor_match *match, struct tensor_plan *plan, uint64_t new_at,
                           uint64_t bytes, uint64_t near);

/* Plans the whole new file. */
FLO_MUST_USE int flo_tensor_plan_make(const struct delta_input *input, struct tensor_plan *plan,
                                      struct flo_err *err);

#endif
