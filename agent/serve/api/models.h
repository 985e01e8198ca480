/* Models: the list of /v1/models. */
#ifndef FLOTILLA_SERVE_MODELS_H
#define FLOTILLA_SERVE_MODELS_H

#include "agent/serve/engines/engines.h"

/* A model as clients see it: by its route, or without one by the live
 * engine. */
struct models_shown {
    const char *model, *version, *state;
    const struct flo_digest *release;
    uint64_t created_s;
    uint32_t context; /* context size in tokens; 0: unknown, because there is no engine */
};
/* Fills in the model as shown; false: it is not visible. */
bool flo_models_show(const struct serve_place *place, struct models_shown *out);
/* Lists all models that the token may use; false: there is none yet. */
bool flo_models_list(const struct flo_serve *serve, int token, struct flo_buf *out);
/* Adds one entry.  adapter NULL: the model itself; else that adapter, under its
 * own name or as model:adapter. */
void flo_models_add(const struct serve_place *place, const char *adapter, bool is_whole,
                    struct flo_buf *out);

#endif
