/* The models of /v1/models. */
#ifndef FLOTILLA_SERVE_MODELS_H
#define FLOTILLA_SERVE_MODELS_H

#include "agent/serve/engines/engines.h"

/* The model as a client sees it: by its route, or by the live engine without
 * one. */
struct models_shown {
    const char *model, *version, *state;
    const struct flo_digest *release;
    uint64_t created_s;
    uint32_t context; /* 0: no engine is there that knows it */
};
/* false: nothing is to be seen. */
bool flo_models_show(const struct serve_place *place, struct models_shown *out);
/* All that the token may use, as a list; false: none is there yet. */
bool flo_models_list(const struct flo_serve *serve, int token, struct flo_buf *out);
/* One of them; adapter NULL: the model itself, else that adapter of it, under
 * its name alone or the model's and its own. */
void flo_models_add(const struct serve_place *place, const char *adapter, bool is_whole,
                    struct flo_buf *out);

#endif
