/* Fronts: finds the front that answers a path. */
#ifndef FLOTILLA_SERVE_FRONTS_H
#define FLOTILLA_SERVE_FRONTS_H

#include "agent/serve/front/front.h"
#include "base/host/httpd.h"

/* Returns path i of all fronts; NULL after the last. */
const char *flo_fronts_path(size_t i);
/* Is the path enabled on this server? */
bool flo_fronts_is_on(const struct flo_serve *serve, const char *path);
/* Returns the front of a path; NULL: none. */
const struct serve_front *flo_fronts_of(const char *path);
/* Writes errors that come before any request exists, in the form of the path's
 * API; other paths get OpenAI's. */
void flo_fronts_error_body(const struct flo_httpd_request *request, const struct flo_err *err,
                           int status, struct flo_buf *body);

#endif
