/* The publisher's half of a typed delta: which bytes of the new file come from
 * where in the old one. */
#ifndef FLOTILLA_PUBLISH_PLAN_H
#define FLOTILLA_PUBLISH_PLAN_H

#include "updater/delta/tensor/format.h"

/* Parts of the new file in its order; payloads are not made yet.  A part of
 * TENSOR_PACKED may become plain, a typed one packed. */
struct tensor_plan {
    const struct delta_input *input;
    struct tensor_entry *parts;
    size_t count;
    size_t room;
    uint64_t index_bytes; /* about: entries and hashes */
    bool failed;          /* no memory */
};

void flo_tensor_plan_deinit(struct tensor_plan *plan);
/* Append the next part; a copy that goes on where the last one ended becomes
 * one with it. */
void flo_tensor_plan_add(struct tensor_plan *plan, const struct tensor_entry *part);
void flo_tensor_plan_copy(struct tensor_plan *plan, uint64_t new_at, uint64_t old_at,
                          uint64_t bytes);

/* Where the old file has the same bytes: a table of its blocks' hashes. */
struct tensor_match;
FLO_MUST_USE int flo_tensor_match_open(const struct delta_input *input, struct tensor_match **out,
                                       struct flo_err *err);
void flo_tensor_match_close(struct tensor_match *match);
/* Plan new bytes that no tensor explains.  `near` is where their like begins in
 * the old file, as far as one knows.  Parts stay so few that the index has room
 * for a file of 20 GiB. */
void flo_tensor_match_plan(struct tensor_match *match, struct tensor_plan *plan, uint64_t new_at,
                           uint64_t bytes, uint64_t near);

/* Plan the whole new file. */
FLO_MUST_USE int flo_tensor_plan_make(const struct delta_input *input, struct tensor_plan *plan,
                                      struct flo_err *err);

#endif
