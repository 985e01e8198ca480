/* Inputs of the memory planner: from a release's variant, or from a device's
 * report.  Device and controller share this code, so the controller shows the
 * plan that the device will make.  All functions are pure. */
#ifndef FLOTILLA_PROTO_MEMORY_FIGURES_H
#define FLOTILLA_PROTO_MEMORY_FIGURES_H

#include <flotilla/proto.h>

#include "base/host/json.h"

#include "proto/memory/memory.h"

/* Least private memory of an engine, before it is measured. */
#define FLO_MEMORY_PRIVATE_MIN (UINT64_C(16) << 20)

/* Returns the memory of an adapter in an engine: its file while it is read, and
 * its values as f32.  Returns 0 for NULL. */
uint64_t flo_memory_adapter_bytes(const struct flo_release_file *adapter);

/* Returns the memory of the variant's draft at rung 0: the bytes of its file.
 * An engine at a higher rung has no draft.  Returns 0 without a draft. */
uint64_t flo_memory_draft_bytes(const struct flo_release *release,
                                const struct flo_release_variant *variant);

/* Fills `out` with the memory figures of a native variant that serves `file`;
 * name, weight and pin of `out` stay.  measured_or_null has private bytes
 * without adapter and draft for each degradation level (rung), as an engine
 * measured them.  NULL: the figure in the release is used. */
void flo_memory_figures(const struct flo_release *release,
                        const struct flo_release_variant *variant,
                        const struct flo_release_file *file, const uint64_t *measured_or_null,
                        struct flo_memory_model *out);

/* A model in a device's `reported` document (contracts/messages.md section
 * 3). */
struct flo_memory_told {
    struct flo_memory_model model;
    uint64_t adapter_bytes; /* private bytes that adapters use */
    uint64_t draft_bytes;   /* private bytes that the draft uses at rung 0 */
    bool is_measured;       /* true: an engine has measured the private bytes */
    bool is_resident;
};
/* New reference. */
json_t *flo_memory_told_json(const struct flo_memory_told *told);
/* Reads a model from a device's report, which is untrusted.
 * FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_memory_told_read(const json_t *json, const char *name,
                                      struct flo_memory_told *out, struct flo_err *err);
/* Writes the private bytes of a model's release at each degradation level,
 * without adapter and draft, as an engine measured them.  They serve as an estimate
 * for the model's next release.  Returns false when no engine has measured
 * them. */
bool flo_memory_told_measured(const struct flo_memory_told *told, uint64_t out[FLO_MEMORY_RUNGS]);

#endif
