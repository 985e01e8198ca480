/* Models: writes the list of models for /v1/models. */
#ifndef FLOTILLA_SERVE_MODELS_H
#define FLOTILLA_SERVE_MODELS_H

#include "agent/serve/engines/engines.h"

/* A model as clients see it.  Its names are those that the agent has set in the
 * model's route, or without a route those of its live engine. */
struct models_shown {
    const char *model, *version, *state;
    const struct flo_digest *release;
    uint64_t created_s;
    uint32_t context; /* context of the engine in tokens; 0: unknown, because there is no engine */
};
/* Fills in how clients see the model.  Returns false when they do not see
 * it. */
bool flo_models_show(const struct serve_place *place, struct models_shown *out);
/* Lists the models that the token may use.  Returns false when there are none
 * yet. */
bool flo_models_list(const struct flo_serve *serve, int token, struct flo_buf *out);
/* Adds an entry to the list of models.  `adapter`: the adapter of the model
 * that the entry is for; NULL: the entry is for the model itself.  `is_whole`:
 * an adapter's entry is named model:adapter, not only adapter. */
void flo_models_add(const struct serve_place *place, const char *adapter, bool is_whole,
                    struct flo_buf *out);

#endif
