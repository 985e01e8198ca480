/* Several: settings of `flotilla-agent serve` with several models, which share
 * the memory. */
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
    uint32_t memory_mib; /* memory budget in MiB; 0: it follows from the machine's memory */
    struct flo_door door;
    const char *chat_template; /* chat template of all models; NULL: each model has its own */
    uint32_t context, sessions, threads;
};
/* Adds a model from an argument of the command line, which must stay valid.
 * FLO_E_USAGE  the argument is invalid */
FLO_MUST_USE int flo_several_model(struct several_spec *spec, const char *text,
                                   struct flo_err *err);
FLO_MUST_USE int flo_several_pin(struct several_spec *spec, const char *text, struct flo_err *err);
FLO_MUST_USE int flo_several_weight(struct several_spec *spec, const char *text,
                                    struct flo_err *err);
/* Plans the memory of the models, then serves until SIGINT or SIGTERM. */
FLO_MUST_USE int flo_several_run(const struct several_spec *spec, struct flo_err *err);

#endif
