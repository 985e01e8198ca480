/* The models of /v1/models. */
#ifndef FLOTILLA_SERVE_MODELS_H
#define FLOTILLA_SERVE_MODELS_H

#include "agent/serve/engines/engines.h"

/* All that the token may use, as a list; false: none is there yet. */
bool flo_models_list(const struct flo_serve *serve, int token,
                     struct flo_buf *out);
/* One of them; adapter NULL: the model itself, else that adapter of it, under
 * its name alone or the model's and its own. */
void flo_models_add(const struct serve_place *place, const char *adapter,
                    bool is_whole, struct flo_buf *out);

#endif
