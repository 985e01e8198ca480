/* Serving: carries out the core's actions on the engines in agent/serve, and
 * reports their events. */
#ifndef FLOTILLA_AGENT_SERVING_SERVING_H
#define FLOTILLA_AGENT_SERVING_SERVING_H

#include <flotilla/golden.h>

#include "agent/shell/report/report.h"

/* The functions of engines.c, hosted.c, opening.c and probing.c open, load and
 * probe engines. */
FLO_MUST_USE int flo_shell_serve_open(struct flo_shell *shell, struct flo_err *err);
void flo_shell_load(struct flo_shell *shell, const struct flo_agent_action *action);
/* Loads a release into a separate engine. */
void flo_shell_load_alone(struct flo_shell *shell, const struct flo_agent_action *action);
void flo_shell_probe(struct flo_shell *shell, const struct flo_agent_action *action);

/* probing.c: reads the golden cases of a release that is on this device.
 * FLO_E_PROBE_GOLDEN: the release has none. */
FLO_MUST_USE int flo_shell_golden_read(struct flo_shell *shell, const struct flo_digest *release,
                                       struct flo_golden *golden, struct flo_err *err);
/* scoring.c: measures the live releases that have no score yet. */
void flo_shell_score_look(struct flo_shell *shell);

/* pending.c: starts the load when the plan is known and there is room. */
void flo_shell_pending(struct flo_shell *shell, const struct flo_agent_action *action);
/* Drops the pending load of a role. */
void flo_shell_pending_leave(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);
/* Makes the second engine the current one. */
void flo_shell_pending_promote(struct flo_shell *shell, uint32_t model);
/* Plans again where the releases differ from the planned ones or an engine has
 * ended.  The core is told, and waiting loads begin. */
void flo_shell_pending_look(struct flo_shell *shell);
void flo_shell_pending_close(struct flo_shell *shell);

/* memory.c: collects the models on the device and the memory of each; false:
 * one is not measured yet. */
bool flo_shell_memory_inputs(struct flo_shell *shell);
/* Returns the release that the plan counts for a model; zero: none. */
const struct flo_digest *flo_shell_memory_release(const struct flo_slots *slots);
/* Returns the model's index in the plan; FLO_MEMORY_MODELS_MAX: it is not in
 * the plan. */
size_t flo_shell_memory_index(const struct flo_shell *shell, uint32_t model);
/* Gives the memory of a candidate, as if it took its model's place. */
bool flo_shell_memory_candidate(struct flo_shell *shell, uint32_t model,
                                const struct flo_digest *release, struct flo_memory_model *out);
enum flo_serve_cache flo_shell_cache(const struct flo_memory_rung *rung);
/* Sets the context, sessions and cache of the planned degradation level. */
void flo_shell_rung_set(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                        struct flo_serve_model *out);

/* measuring.c: returns the memory of a release at each degradation level; NULL:
 * not measured yet. */
const struct flo_shell_measured *flo_shell_measured(const struct flo_shell *shell,
                                                    const struct flo_digest *release);
/* Has an engine measure the release.  Pending loads are checked again after the
 * answer. */
void flo_shell_measure(struct flo_shell *shell, const struct flo_digest *release);

/* The functions of memory.c find out whether there is memory for a release next
 * to all others. */
/* Tests for a release without a model of its own, which only takes a share of
 * another model's requests. */
bool flo_shell_is_split(struct flo_shell *shell, const struct flo_digest *release);
bool flo_shell_fits_both(struct flo_shell *shell, uint32_t model, const struct flo_digest *beside);
/* Checks the memory next to the other models, in place of the model's current
 * release.  FLO_E_MEMORY_BUDGET, with all numbers.  On a device without another
 * model any release may be tried. */
FLO_MUST_USE int flo_shell_memory_check(struct flo_shell *shell, uint32_t model,
                                        const struct flo_digest *release, struct flo_err *err);

/* Notes that there is no memory for a release.  The drift reports it until
 * another release is assigned or the plan has room. */
void flo_shell_memory_refuse(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release, const struct flo_err *why);
/* Finds, after a plan, the release that has no room.  `why`: the planner's
 * error where the plan does not fit. */
void flo_shell_memory_judge(struct flo_shell *shell, const struct flo_err *why);

/* routes.c: flo_shell_route() gives a release the requests for a model;
 * flo_shell_flip() also selects the engine of a role. */
void flo_shell_route(struct flo_shell *shell, uint32_t model, const struct flo_release_ref *release,
                     enum flo_serve_route_state state);

FLO_MUST_USE int flo_shell_flip(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                                const struct flo_release_ref *release, struct flo_err *err);

/* The functions of adapters.c are for releases that consist of a model file and
 * an adapter for it. */

/* Length of an adapter's name in its engine: "r." and 16 digits of the digest.
 */
#define FLO_ADAPTER_NAME 19
/* Files of a release that are on this device.  `adapter` NULL: there is none;
 * `model` NULL: the release is for a runtime. */
struct flo_shell_files {
    struct flo_release *release;
    const struct flo_release_variant *variant;
    const struct flo_release_file *model, *adapter;
    char adapter_name[FLO_ADAPTER_NAME];
    double adapter_scale;
};
/* Finds the files of a release.  FLO_E_BLOB_ABSENT: a file is missing;
 * FLO_E_NOT_BUILT: the release has several adapters. */
FLO_MUST_USE int flo_shell_files_get(struct flo_shell *shell, const struct flo_digest *release,
                                     struct flo_shell_files *out, struct flo_err *err);
/* Finds the files for the engine of the action's role.  In a switch of
 * variants, the second engine has another variant. */
FLO_MUST_USE int flo_shell_files_of(struct flo_shell *shell, const struct flo_agent_action *action,
                                    struct flo_shell_files *out, struct flo_err *err);
void flo_shell_files_free(struct flo_shell_files *files);
/* Verifies the adapter of `files` and adds it to the model that an engine is to
 * open, with room for one more adapter. */
FLO_MUST_USE int flo_shell_adapter_add(struct flo_shell *shell, const struct flo_shell_files *files,
                                       struct flo_serve_model *model, struct flo_err *err);

/* The functions of hosted.c let the engine of one release serve another with
 * the same base model. */

/* Handles a live candidate that has its own process.  Where the current engine
 * has the same base and room, the adapter is loaded there and the process ends.
 */
void flo_shell_host_flipped(struct flo_shell *shell, const struct flo_agent_action *action);
/* Takes the answers of flo_serve_adapter_load and flo_serve_adapter_drop. */
void flo_shell_host_adapter(struct flo_shell *shell, uint32_t model, const char *name,
                            const struct flo_err *err);
void flo_shell_host_unloaded(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);
void flo_shell_host_promoted(struct flo_shell *shell, uint32_t model);

/* The functions of lost.c report once that an engine was lost or did not
 * start. */
/* Tells clients that the disk gave no engine, or that several were lost in a
 * row, while the core waits to try again. */
void flo_shell_down_look(struct flo_shell *shell);
void flo_shell_lost(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                    const struct flo_err *err);

/* releases.c */
FLO_MUST_USE int flo_shell_release_get(struct flo_shell *shell, const struct flo_digest *digest,
                                       struct flo_release **out, struct flo_err *err);
void flo_shell_release_free(struct flo_release **release);
/* Finds the model file of the staged variant; NULL: no variant is complete. */
const struct flo_release_file *flo_shell_model_file(struct flo_shell *shell,
                                                    const struct flo_digest *digest,
                                                    const struct flo_release *release,
                                                    const struct flo_release_variant **variant);
/* Returns the variant that the model's job must stage; NULL: the plan chooses.
 */
const char *flo_shell_variant_wanted(const struct flo_shell *shell, uint32_t place);
/* Gives the digest of the model's file; false: the file is not on the device.
 */
bool flo_shell_model_digest(struct flo_shell *shell, const struct flo_digest *release_digest,
                            struct flo_digest *out);
void flo_shell_ref(struct flo_shell *shell, const struct flo_digest *digest,
                   struct flo_release_ref *out);

/* loading.c */
/* Loads a model (its descriptor is taken) after its file was hashed.  `digest`
 * is the expected hash; is_fresh skips the hashing.  Where packed weights pay,
 * they are taken from the store, or made first. */
void flo_shell_load_model(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                          const struct flo_serve_model *source, const struct flo_digest *digest,
                          bool is_fresh);
/* Loads a release for a runtime, after its files were hashed. source->fd is its
 * folder, which is taken. */
void flo_shell_load_runtime(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                            const struct flo_serve_model *source, const struct flo_digest *files,
                            uint32_t n_files);
/* Cancels the load of the role. */
void flo_shell_load_cancel(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);

#endif
