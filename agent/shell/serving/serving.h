/* Engines: the core's wishes to agent/serve, and its reports. */
#ifndef FLOTILLA_AGENT_SERVING_SERVING_H
#define FLOTILLA_AGENT_SERVING_SERVING_H

#include <flotilla/golden.h>

#include "agent/shell/report/report.h"

/* engines.c, hosted.c, opening.c, probing.c */
FLO_MUST_USE int flo_shell_serve_open(struct flo_shell *shell, struct flo_err *err);
void flo_shell_load(struct flo_shell *shell, const struct flo_agent_action *action);
/* In an engine of its own. */
void flo_shell_load_alone(struct flo_shell *shell, const struct flo_agent_action *action);
void flo_shell_probe(struct flo_shell *shell, const struct flo_agent_action *action);

/* probing.c: the golden cases of a release that is on this device.
 * FLO_E_PROBE_GOLDEN: it brings none. */
FLO_MUST_USE int flo_shell_golden_read(struct flo_shell *shell, const struct flo_digest *release,
                                       struct flo_golden *golden, struct flo_err *err);
/* scoring.c: measure the live releases that were not measured yet. */
void flo_shell_score_look(struct flo_shell *shell);

/* seats.c: load it once the plan is known and there is room. */
void flo_shell_seat(struct flo_shell *shell, const struct flo_agent_action *action);
/* The model's load is not wanted any more. */
void flo_shell_seat_leave(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);
/* The engine next to the current one is the current one now. */
void flo_shell_seat_promote(struct flo_shell *shell, uint32_t model);
/* Other releases are here than planned, or an engine left: plan, tell the core,
 * seat who waits. */
void flo_shell_seats_look(struct flo_shell *shell);
void flo_shell_seats_close(struct flo_shell *shell);

/* memory.c: the models here and what each takes; false: one is not measured
 * yet. */
bool flo_shell_memory_inputs(struct flo_shell *shell);
/* The release that the plan counts for a model; zero: none. */
const struct flo_digest *flo_shell_memory_release(const struct flo_slots *slots);
/* The index in the plan; FLO_MEMORY_MODELS_MAX: it is not in it. */
size_t flo_shell_memory_index(const struct flo_shell *shell, uint32_t model);
/* The candidate, in the place of its model. */
bool flo_shell_memory_candidate(struct flo_shell *shell, uint32_t model,
                                const struct flo_digest *release, struct flo_memory_model *out);
enum flo_serve_cache flo_shell_cache(const struct flo_memory_rung *rung);
/* Context, sessions and cache of that rung. */
void flo_shell_rung_set(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                        struct flo_serve_model *out);

/* measuring.c: what a release takes at each rung; NULL: not asked yet. */
const struct flo_shell_measured *flo_shell_measured(const struct flo_shell *shell,
                                                    const struct flo_digest *release);
/* Ask an engine for it; the seats are looked at when it has answered. */
void flo_shell_measure(struct flo_shell *shell, const struct flo_digest *release);

/* memory.c: is there memory for this release next to all that is here? */
/* The release only shares the requests of another model. */
bool flo_shell_is_split(struct flo_shell *shell, const struct flo_digest *release);
bool flo_shell_fits_both(struct flo_shell *shell, uint32_t model, const struct flo_digest *beside);
/* ... next to the other models, in place of its own current release?
 * FLO_E_MEMORY_BUDGET, with all numbers.  A device without another model may
 * try any release. */
FLO_MUST_USE int flo_shell_memory_check(struct flo_shell *shell, uint32_t model,
                                        const struct flo_digest *release, struct flo_err *err);

/* There is no memory for this release: drift says so until it is not assigned
 * any more, or the plan has room. */
void flo_shell_memory_refuse(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release, const struct flo_err *why);
/* After a plan: whose release has no room?  `why`: what the plan said, when it
 * does not fit. */
void flo_shell_memory_judge(struct flo_shell *shell, const struct flo_err *why);

/* routes.c: requests for the model get this release from now on; flip: and
 * from the engine of this role. */
void flo_shell_route(struct flo_shell *shell, uint32_t model, const struct flo_release_ref *release,
                     enum flo_serve_route_state state);

FLO_MUST_USE int flo_shell_flip(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                                const struct flo_release_ref *release, struct flo_err *err);

/* adapters.c: releases that are a model file and an adapter of it */

/* The name of an adapter in its engine: "r." and 16 digits of its digest. */
#define FLO_ADAPTER_NAME 19
/* Parts of a release that are on this device; `adapter` NULL: it has none;
 * `model` NULL: it is for a runtime. */
struct flo_shell_files {
    struct flo_release *release;
    const struct flo_release_variant *variant;
    const struct flo_release_file *model, *adapter;
    char adapter_name[FLO_ADAPTER_NAME];
    double adapter_scale;
};
/* FLO_E_BLOB_ABSENT; FLO_E_NOT_BUILT: several adapters. */
FLO_MUST_USE int flo_shell_files_get(struct flo_shell *shell, const struct flo_digest *release,
                                     struct flo_shell_files *out, struct flo_err *err);
/* As the engine of the action's role needs it: in an exchange the second one
 * has another variant. */
FLO_MUST_USE int flo_shell_files_of(struct flo_shell *shell, const struct flo_agent_action *action,
                                    struct flo_shell_files *out, struct flo_err *err);
void flo_shell_files_free(struct flo_shell_files *files);
/* The adapter of `files`, its bytes checked, into the model that an engine is
 * to open, with room for the next one. */
FLO_MUST_USE int flo_shell_adapter_add(struct flo_shell *shell, const struct flo_shell_files *files,
                                       struct flo_serve_model *model, struct flo_err *err);

/* hosted.c: a release in the engine of another one with the same base */

/* The candidate is live, in a process of its own: where the current engine has
 * its base and room, the adapter moves in there and the process ends. */
void flo_shell_host_flipped(struct flo_shell *shell, const struct flo_agent_action *action);
/* Answers of flo_serve_adapter_load and _drop. */
void flo_shell_host_adapter(struct flo_shell *shell, uint32_t model, const char *name,
                            const struct flo_err *err);
void flo_shell_host_unloaded(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);
void flo_shell_host_promoted(struct flo_shell *shell, uint32_t model);

/* lost.c: an engine is lost, or could not be had; told once. */
/* The disk gave no engine, or several were lost in a row, and the core waits to
 * try again: clients are told. */
void flo_shell_down_look(struct flo_shell *shell);
void flo_shell_lost(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                    const struct flo_err *err);
/* The disk gave no engine, or several were lost in a row, and the core waits to
 * try again: clients are told. */
void flo_shell_down_look(struct flo_shell *shell);

/* releases.c */
FLO_MUST_USE int flo_shell_release_get(struct flo_shell *shell, const struct flo_digest *digest,
                                       struct flo_release **out, struct flo_err *err);
void flo_shell_release_free(struct flo_release **release);
/* Model file of the variant that was chosen when it was staged; NULL: none is
 * whole. */
const struct flo_release_file *flo_shell_model_file(struct flo_shell *shell,
                                                    const struct flo_digest *digest,
                                                    const struct flo_release *release,
                                                    const struct flo_release_variant **variant);
/* The variant that the model's job must stage; NULL: as the plan chooses. */
const char *flo_shell_variant_wanted(const struct flo_shell *shell, uint32_t place);
/* Digest of the model's file; false: it is not here. */
bool flo_shell_model_digest(struct flo_shell *shell, const struct flo_digest *release_digest,
                            struct flo_digest *out);
void flo_shell_ref(struct flo_shell *shell, const struct flo_digest *digest,
                   struct flo_release_ref *out);

/* loading.c */
/* Load a model (its descriptor is taken) after its file was hashed; `digest` is
 * the expected one, is_fresh skips the hash.  Where packing pays, the packed
 * weights come from the store, or are made first. */
void flo_shell_load_model(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                          const struct flo_serve_model *source, const struct flo_digest *digest,
                          bool is_fresh);
/* Load a release for a runtime: source->fd is its tree, which is taken.  These
 * files are hashed before. */
void flo_shell_load_runtime(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                            const struct flo_serve_model *source, const struct flo_digest *files,
                            uint32_t n_files);
/* The load of the role is not wanted any more. */
void flo_shell_load_cancel(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);

#endif
