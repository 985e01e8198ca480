/* Stored: handles calls that name a response by its id, whether it is stored or
 * still running. */
#ifndef FLOTILLA_SERVE_STORED_H
#define FLOTILLA_SERVE_STORED_H

#include "agent/serve/state.h"

struct flo_buf;

/* Page of a list that a client asks for.  A member is NULL if the client gave
 * no value for it. */
struct stored_page {
    const char *limit, *order, *after;
};

/* Lists the stored responses that a party sees: their ids, bytes, and for the
 * device's owner whose they are.
 * FLO_E_INFER_PARAM  the page is invalid */
FLO_MUST_USE int flo_stored_list(const struct flo_serve *serve, uint64_t asks,
                                 const struct stored_page *page, struct flo_buf *out,
                                 struct flo_err *err);
/* Writes a response.  If the party may not see it, fails with
 * FLO_E_REST_NOT_FOUND, as if the response did not exist. */
FLO_MUST_USE int flo_stored_show(const struct flo_serve *serve, uint64_t asks, const char *id,
                                 struct flo_buf *out, struct flo_err *err);
/* Deletes a response that the party sees, and writes the answer. */
FLO_MUST_USE int flo_stored_delete(struct flo_serve *serve, uint64_t asks, const char *id,
                                   struct flo_buf *out, struct flo_err *err);
/* Lists the input items of a response.
 * FLO_E_INFER_PARAM  the page is invalid */
FLO_MUST_USE int flo_stored_list_input(const struct flo_serve *serve, uint64_t asks, const char *id,
                                       const struct stored_page *page, struct flo_buf *out,
                                       struct flo_err *err);
/* Cancels a running response; the client that waits for it gets it in its
 * cancelled form, too.  A response that has ended is only shown. */
FLO_MUST_USE int flo_stored_cancel(struct flo_serve *serve, uint64_t asks, const char *id,
                                   struct flo_buf *out, struct flo_err *err);

#endif
