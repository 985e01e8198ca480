/* Figures of the memory planner: of a release's variant, and as a device's
 * report has them.  The device and the controller use both, so a plan that the
 * controller shows is the one that the device will make.  Pure. */
#ifndef FLOTILLA_PROTO_MEMORY_FIGURES_H
#define FLOTILLA_PROTO_MEMORY_FIGURES_H

#include <flotilla/proto.h>

#include "base/host/json.h"

#include "proto/memory/memory.h"

/* An engine's least private memory, while nobody has measured it. */
#define FLO_MEMORY_PRIVATE_MIN (UINT64_C(16) << 20)

/* Room for an adapter in an engine: its file while it is read, and its values
 * as f32.  0 for NULL. */
uint64_t flo_memory_adapter_bytes(const struct flo_release_file *adapter);

/* A native variant that serves `file`.  measured_or_null: private bytes at each
 * rung as an engine said them for this release, or for the current one of its
 * model, without an adapter; NULL: the release's own figure counts.  Name,
 * weight and pin of `out` stay. */
void flo_memory_figures(const struct flo_release *release,
                        const struct flo_release_variant *variant,
                        const struct flo_release_file *file, const uint64_t *measured_or_null,
                        struct flo_memory_model *out);

/* A model in `reported` (contracts/messages.md section 3). */
struct flo_memory_told {
    struct flo_memory_model model;
    uint64_t adapter_bytes; /* the adapters' part of the private bytes */
    bool is_measured;       /* an engine said the private bytes */
    bool is_resident;
};
/* New reference. */
json_t *flo_memory_told_json(const struct flo_memory_told *told);
/* A device may say anything: FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_memory_told_read(const json_t *json, const char *name,
                                      struct flo_memory_told *out, struct flo_err *err);
/* A release's private bytes at each rung without the adapter, for another of
 * the model; false: nobody measured them. */
bool flo_memory_told_measured(const struct flo_memory_told *told, uint64_t out[FLO_MEMORY_RUNGS]);

#endif
