/* Stored: handles calls about a response by its id, both stored and running
 * ones. */
#ifndef FLOTILLA_SERVE_STORED_H
#define FLOTILLA_SERVE_STORED_H

#include "agent/serve/state.h"

struct flo_buf;

/* A page of a list, as OpenAI's clients ask for it; NULL: not given. */
struct stored_page {
    const char *limit, *order, *after;
};

/* Show, delete and list responses; each appends its answer to `out`.  A client
 * other than the owner gets FLO_E_REST_NOT_FOUND, as if the response did not
 * exist. */
FLO_MUST_USE int flo_stored_show(const struct flo_serve *serve, uint64_t owner, const char *id,
                                 struct flo_buf *out, struct flo_err *err);
FLO_MUST_USE int flo_stored_delete(struct flo_serve *serve, uint64_t owner, const char *id,
                                   struct flo_buf *out, struct flo_err *err);
/* Lists a response's input items.  FLO_E_INFER_PARAM: the page is invalid. */
FLO_MUST_USE int flo_stored_list_input(const struct flo_serve *serve, uint64_t owner,
                                       const char *id, const struct stored_page *page,
                                       struct flo_buf *out, struct flo_err *err);
/* Cancels a running response, also for clients that wait for it; a finished one
 * is only shown. */
FLO_MUST_USE int flo_stored_cancel(struct flo_serve *serve, uint64_t owner, const char *id,
                                   struct flo_buf *out, struct flo_err *err);

#endif
