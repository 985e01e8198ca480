/* Derived artifacts: files that this device makes to serve a model faster.
 *
 * A sandboxed engine process writes the packed weights.  The agent hashes that
 * file and names it in the store.  The engines themselves write prefix files.
 * After any failure the model is served from its original weights.
 * agent/core/derived.c decides how often the agent tries, and when. */
#ifndef FLOTILLA_AGENT_DERIVED_H
#define FLOTILLA_AGENT_DERIVED_H

#include "agent/shell/report/report.h"

struct flo_deriving;
struct flo_derived_spec {
    int fd;                  /* descriptor of the model's file, which stays open until `done` */
    struct flo_digest model; /* SHA-256 of the model's file */
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    void *context;
    /* Called when a step of the work begins, and when the work makes
     * progress. */
    void (*gets_on)(void *context);
    /* Called once at the end, perhaps from within flo_shell_derive().
     * `packed_fd` is the descriptor of the packed weights, which the callee
     * owns; 0: there are none. */
    void (*done)(void *context, int packed_fd);
};

/* Gets the packed weights of a model: verifies the stored file, or makes a new
 * one.
 * FLO_E_MEMORY  no memory */
FLO_MUST_USE int flo_shell_derive(struct flo_shell *shell, const struct flo_derived_spec *spec,
                                  struct flo_deriving **out, struct flo_err *err);
/* Stops the work without calling `done`.  NULL is allowed. */
void flo_shell_derive_cancel(struct flo_deriving *deriving);
/* Opens the file for the prefix cache of a release, and returns its descriptor.
 * Returns 0 when no file is wanted or it cannot be opened. */
int flo_shell_prefix_open(struct flo_shell *shell, const struct flo_digest *release);

/* Says whether an updater runs.  Meanwhile no new prefix file is made. */
void flo_shell_prefix_hold(struct flo_shell *shell, bool is_held);

/* Records what became of packed weights (agent/core/derived.c): a model's file is
 * not there, an engine that used one was lost, or one accepted them. */
bool flo_shell_packed_is_lacking(const struct flo_shell *shell, const struct flo_digest *model);
void flo_shell_packed_doubt(struct flo_shell *shell);
void flo_shell_packed_accepted(struct flo_shell *shell);
/* Removes the packed weights of a model, which an engine refused because they
 * do not fit it. */
void flo_shell_packed_refused(struct flo_shell *shell, const struct flo_digest *model);
/* Tells whether a new model is expected to be packed, for memory plans. */
bool flo_shell_packs(const struct flo_shell *shell);
/* Tells whether an engine gets a prefix file, for memory plans. */
bool flo_shell_keeps_prefixes(const struct flo_shell *shell);

#endif
