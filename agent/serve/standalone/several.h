/* Several: several models of `flotilla-agent serve`, which share the memory. */
#ifndef FLOTILLA_SERVE_SEVERAL_H
#define FLOTILLA_SERVE_SEVERAL_H

#include "agent/serve/standalone/door.h"

struct several_spec {
    uint32_t n_models;
    struct {
        const char *path;
        char name[FLO_NAME_MAX + 1];
    } models[FLO_SERVE_MODELS_MAX];
    uint32_t n_pins, n_weights;
    const char *pins[FLO_SERVE_MODELS_MAX];
    struct {
        char name[FLO_NAME_MAX + 1];
        uint32_t weight;
    } weights[FLO_SERVE_MODELS_MAX];
    uint32_t memory_mib; /* memory budget; 0: by the machine's memory */
    struct flo_door door;
    const char *chat_template; /* chat template; NULL: each model's own */
    uint32_t context, sessions, threads;
};
/* Adds a model from a text of the command line, which must stay valid.
 * FLO_E_USAGE. */
FLO_MUST_USE int flo_several_model(struct several_spec *spec, const char *text,
                                   struct flo_err *err);
FLO_MUST_USE int flo_several_pin(struct several_spec *spec, const char *text, struct flo_err *err);
FLO_MUST_USE int flo_several_weight(struct several_spec *spec, const char *text,
                                    struct flo_err *err);
/* Plans memory, then serves until SIGINT or SIGTERM. */
FLO_MUST_USE int flo_several_run(const struct several_spec *spec, struct flo_err *err);

#endif
