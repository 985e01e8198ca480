/* Tags: writes models and version in the form of Ollama's API. */
#ifndef FLOTILLA_SERVE_TAGS_H
#define FLOTILLA_SERVE_TAGS_H

#include "agent/serve/engines/engines.h"

/* Lists the models that the token may use.  only_live: only those in memory. */
void flo_tags_list(const struct flo_serve *serve, int token, bool only_live, struct flo_buf *out);
/* Shows the model that a body of /api/show names.
 * FLO_E_REST_SCHEMA, FLO_E_INFER_PARAM, FLO_E_INFER_MODEL  no valid body, or no
 * such model */
FLO_MUST_USE int flo_tags_show(struct flo_serve *serve, int token, const char *body, size_t bytes,
                               struct flo_buf *out, struct flo_err *err);
void flo_tags_version(struct flo_buf *out);

#endif
