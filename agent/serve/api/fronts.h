/* Which front answers which path. */
#ifndef FLOTILLA_SERVE_FRONTS_H
#define FLOTILLA_SERVE_FRONTS_H

#include "agent/serve/front/front.h"
#include "base/host/httpd.h"

/* Path i of a front; NULL: that was all. */
const char *flo_fronts_path(size_t i);
/* Does no switch of this server leave the path out? */
bool flo_fronts_is_on(const struct flo_serve *serve, const char *path);
/* The front of a path; NULL: it has none. */
const struct serve_front *flo_fronts_of(const char *path);
/* Errors that have no request yet, in the form of the path's API; other paths
 * get OpenAI's. */
void flo_fronts_error_body(const struct flo_httpd_request *request, const struct flo_err *err,
                           int status, struct flo_buf *body);

#endif
