/* Fronts: finds the front, which is the set of functions that answer a path. */
#ifndef FLOTILLA_SERVE_FRONTS_H
#define FLOTILLA_SERVE_FRONTS_H

#include "agent/serve/front/front.h"
#include "base/host/httpd.h"

/* Returns path `i` of all API paths; NULL: there are no more. */
const char *flo_fronts_path(size_t i);
/* Tells whether the path is enabled on this server. */
bool flo_fronts_is_on(const struct flo_serve *serve, const char *path);
/* Returns the front, which is the set of functions that answer a path; NULL: no
 * API has this path. */
const struct serve_front *flo_fronts_of(const char *path);
/* Writes an error that occurred before the body was read, in the form of the
 * API to which the path belongs.  Unknown paths get OpenAI's form. */
void flo_fronts_error_body(const struct flo_httpd_request *request, const struct flo_err *err,
                           int status, struct flo_buf *body);

#endif
