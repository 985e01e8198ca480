/* Serving: carries out the core's actions on the engines of agent/serve, and
 * reports their events to the core. */
#ifndef FLOTILLA_AGENT_SERVING_SERVING_H
#define FLOTILLA_AGENT_SERVING_SERVING_H

#include <flotilla/golden.h>

#include "agent/shell/report/report.h"

/* Opens agent/serve, which runs the engines (engines.c). */
FLO_MUST_USE int flo_shell_serve_open(struct flo_shell *shell, struct flo_err *err);
void flo_shell_load(struct flo_shell *shell, const struct flo_agent_action *action);
/* Loads a release into an engine of its own (hosted.c and opening.c). */
void flo_shell_load_alone(struct flo_shell *shell, const struct flo_agent_action *action);
void flo_shell_probe(struct flo_shell *shell, const struct flo_agent_action *action);

/* Reads the golden cases of a release that is on this device (probing.c).
 * FLO_E_PROBE_GOLDEN  the release has none */
FLO_MUST_USE int flo_shell_golden_read(struct flo_shell *shell, const struct flo_digest *release,
                                       struct flo_golden *golden, struct flo_err *err);
/* Measures the golden scores that are missing for live releases (scoring.c). */
void flo_shell_score_look(struct flo_shell *shell);

/* Starts a load when the memory plan is known and memory is free
 * (pending.c). */
void flo_shell_pending(struct flo_shell *shell, const struct flo_agent_action *action);
/* Cancels the pending load of a role. */
void flo_shell_pending_leave(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);
/* Moves the pending load of the second engine to the current role. */
void flo_shell_pending_promote(struct flo_shell *shell, uint32_t model);
/* Makes a new memory plan if the releases have changed or an engine has ended.
 * The core is informed, and waiting loads begin. */
void flo_shell_pending_look(struct flo_shell *shell);
void flo_shell_pending_close(struct flo_shell *shell);

/* Collects the models on the device and the memory of each (memory.c).  Returns
 * false when one has not been measured yet. */
bool flo_shell_memory_inputs(struct flo_shell *shell);
/* Returns the release that the memory plan counts for a model; zero: none. */
const struct flo_digest *flo_shell_memory_release(const struct flo_slots *slots);
/* Returns the model's index in the memory plan; FLO_MEMORY_MODELS_MAX: it is
 * not in the plan. */
size_t flo_shell_memory_index(const struct flo_shell *shell, uint32_t model);
/* Gives the planner's numbers of a candidate.  Returns false when there are
 * none. */
bool flo_shell_memory_candidate(struct flo_shell *shell, uint32_t model,
                                const struct flo_digest *release, struct flo_memory_model *out);
enum flo_serve_cache flo_shell_cache(const struct flo_memory_rung *rung);
/* Sets context, sessions and cache of a model to its planned degradation
 * level. */
void flo_shell_rung_set(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                        struct flo_serve_model *out);

/* Makes the memory plan invalid, so that it is made again. */
void flo_shell_plan_again(struct flo_shell *shell);

struct flo_shell_measured {
    struct flo_digest release;
    bool is_known; /* true: the engine measured the release; false: it could not */
    uint64_t weights_bytes;
    uint64_t private_bytes[FLO_MEMORY_RUNGS]; /* without the bytes of the draft's file */
};
/* Returns the measured memory of a release at each degradation level
 * (measuring.c); NULL: it has not been measured yet. */
const struct flo_shell_measured *flo_shell_measured(const struct flo_shell *shell,
                                                    const struct flo_digest *release);
/* Asks an engine to measure the memory of a release.  Its answer makes the
 * pending loads be checked again. */
void flo_shell_measure(struct flo_shell *shell, const struct flo_digest *release);

/* Tells whether the release has no model of its own on this device, and only
 * takes a share of another model's requests. */
bool flo_shell_is_split(struct flo_shell *shell, const struct flo_digest *release);
bool flo_shell_fits_both(struct flo_shell *shell, uint32_t model, const struct flo_digest *beside);
/* Checks whether memory holds the release, in place of its model's current one,
 * together with the other models.  On a device without another model any
 * release may be tried.
 * FLO_E_MEMORY_BUDGET  memory is too small; the text has all numbers */
FLO_MUST_USE int flo_shell_memory_check(struct flo_shell *shell, uint32_t model,
                                        const struct flo_digest *release, struct flo_err *err);

/* Records that memory does not hold a release.  The drift shows that until
 * another release is assigned or the plan has room. */
void flo_shell_memory_refuse(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release, const struct flo_err *why);
/* Finds the releases for which the new plan has no memory.  `why`: the
 * planner's error when the plan does not fit. */
void flo_shell_memory_judge(struct flo_shell *shell, const struct flo_err *why);

/* Sets the release that answers a model's requests (routes.c). */
void flo_shell_route(struct flo_shell *shell, uint32_t model, const struct flo_release_ref *release,
                     enum flo_serve_route_state state);

/* Sets the release that answers a model's requests, and the role whose engine
 * gets them. */
FLO_MUST_USE int flo_shell_flip(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                                const struct flo_release_ref *release, struct flo_err *err);

/* Numbers with which an engine is opened; 0: the engine decides. */
struct flo_shell_asked {
    uint32_t context, sessions;
    enum flo_serve_cache cache;
};
/* Returns the context that the release asks for, at least what its variant
 * needs. */
uint32_t flo_shell_context_asked(const struct flo_release *release,
                                 const struct flo_release_variant *variant);
/* Returns what the release asks for, within the device's configuration
 * (asked.c). */
struct flo_shell_asked flo_shell_asked(const struct flo_shell *shell,
                                       const struct flo_release *release,
                                       const struct flo_release_variant *variant);
/* Gets the release's defaults for requests.  Returns false when the owner does
 * not let them count. */
bool flo_shell_defaults(const struct flo_shell *shell, const struct flo_release *release,
                        struct flo_serve_defaults *out);

/* Size of an adapter's name in its engine: "r." and 16 digits of the digest. */
#define FLO_ADAPTER_NAME 19
/* Files of a release (adapters.c).  `adapter` or `draft` NULL: the release has
 * none.  `model` NULL: the release is for a runtime.  All but the draft are on
 * this device. */
struct flo_shell_files {
    struct flo_release *release;
    const struct flo_release_variant *variant;
    const struct flo_release_file *model, *adapter, *draft;
    char adapter_name[FLO_ADAPTER_NAME];
    double adapter_scale;
};
/* Finds the files of a release.
 * FLO_E_BLOB_ABSENT  a file is missing
 * FLO_E_NOT_BUILT  the release has several adapters */
FLO_MUST_USE int flo_shell_files_get(struct flo_shell *shell, const struct flo_digest *release,
                                     struct flo_shell_files *out, struct flo_err *err);
/* Finds the files for the engine of the action's role.  During an exchange of
 * variants, the second engine has another variant. */
FLO_MUST_USE int flo_shell_files_of(struct flo_shell *shell, const struct flo_agent_action *action,
                                    struct flo_shell_files *out, struct flo_err *err);
void flo_shell_files_free(struct flo_shell_files *files);
/* Begins the telemetry window of the action's release, and variant, which serves
 * from now on. */
void flo_shell_window_begin(struct flo_shell *shell, const struct flo_agent_action *action);
/* Verifies the adapter of `files`, and adds it to the model that an engine will
 * open.  The memory for one more adapter is added too. */
FLO_MUST_USE int flo_shell_adapter_add(struct flo_shell *shell, const struct flo_shell_files *files,
                                       struct flo_serve_model *model, struct flo_err *err);

/* Opens the draft of `files` for the model that an engine will open (draft.c).
 * A draft that cannot be opened is left out.  With `reason` (NULL: none) it is
 * left out, too. */
void flo_shell_draft_add(struct flo_shell *shell, const struct flo_shell_files *files,
                         const char *reason, struct flo_serve_model *model);
/* Leaves the draft out, for a reason that the log and the status show. */
void flo_shell_draft_leave(struct flo_serve_model *model, const char *why);

/* Moves a candidate that serves from its own process into the current engine,
 * if that has the same base model and memory for the adapter (hosted.c).  The
 * candidate's process then ends. */
void flo_shell_host_flipped(struct flo_shell *shell, const struct flo_agent_action *action);
/* Handles the answers to flo_serve_adapter_load() and
 * flo_serve_adapter_drop(). */
void flo_shell_host_adapter(struct flo_shell *shell, uint32_t model, const char *name,
                            const struct flo_err *err);
void flo_shell_host_unloaded(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);
void flo_shell_host_promoted(struct flo_shell *shell, uint32_t model);

/* Reports to clients that no engine could be loaded from the disk, or that
 * several engines were lost in a row, while the core waits before its next try
 * (lost.c). */
void flo_shell_down_look(struct flo_shell *shell);
void flo_shell_lost(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                    const struct flo_err *err);

/* releases.c */
FLO_MUST_USE int flo_shell_release_get(struct flo_shell *shell, const struct flo_digest *digest,
                                       struct flo_release **out, struct flo_err *err);
void flo_shell_release_free(struct flo_release **release);
/* Finds the model file of the staged variant; NULL: no variant has all its
 * files here. */
const struct flo_release_file *flo_shell_model_file(struct flo_shell *shell,
                                                    const struct flo_digest *digest,
                                                    const struct flo_release *release,
                                                    const struct flo_release_variant **variant);
/* Returns the name of the variant that the model's job must stage; NULL: the
 * updater's plan chooses. */
const char *flo_shell_variant_wanted(const struct flo_shell *shell, uint32_t place);
/* Gives the digest of a release's model file.  Returns false when the file is
 * not on the device. */
bool flo_shell_model_digest(struct flo_shell *shell, const struct flo_digest *release_digest,
                            struct flo_digest *out);
void flo_shell_ref(struct flo_shell *shell, const struct flo_digest *digest,
                   struct flo_release_ref *out);

/* loading.c */
/* SHA-256 digests that the files of a model must have. */
struct flo_shell_digests {
    struct flo_digest model, draft;
};
/* Loads a model (its descriptors are taken) after its file and its draft have
 * been hashed; is_fresh skips the hashing.  If packed weights pay off, they are
 * taken from the store, or made first. */
void flo_shell_load_model(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                          const struct flo_serve_model *source,
                          const struct flo_shell_digests *digests, bool is_fresh);
/* Loads a release for a runtime after its files have been hashed.  source->fd
 * is the folder of the files, which is taken. */
void flo_shell_load_runtime(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                            const struct flo_serve_model *source, const struct flo_digest *files,
                            uint32_t n_files);
/* Cancels the load in progress of the role. */
void flo_shell_load_cancel(struct flo_shell *shell, uint32_t model, enum flo_agent_role role);

#endif
