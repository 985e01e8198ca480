/* Store: members of a large rollout, as one text until their rows are made.
 *
 * As in store.h, one thread calls, and all changes happen between begin and
 * commit. */
#ifndef FLOTILLA_SERVER_STORE_DRAFTS_H
#define FLOTILLA_SERVER_STORE_DRAFTS_H

#include "server-stub/store/store.h"

/* Stores the members of a rollout as one text, in place of an earlier text. */
FLO_MUST_USE int flo_fleet_draft_put(struct flo_fleet_store *store, const char *rollout,
                                     const char *members, struct flo_err *err);
/* Calls `fn` with the rollout's text, or not at all when there is none. */
FLO_MUST_USE int flo_fleet_draft_get(struct flo_fleet_store *store, const char *rollout,
                                     flo_fleet_text_fn fn, void *context, struct flo_err *err);
FLO_MUST_USE int flo_fleet_draft_remove(struct flo_fleet_store *store, const char *rollout,
                                        struct flo_err *err);

#endif
