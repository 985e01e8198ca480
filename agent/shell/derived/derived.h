/* Derived artifacts: files that this device makes to serve a model faster.
 *
 * A sandboxed engine process writes the packed weights.  The agent hashes that
 * file and names it in the store.  Prefix files are written by the engines
 * themselves.  After any failure the model is served from its original weights.
 * agent/core/derived.c decides how many attempts there are, and when. */
#ifndef FLOTILLA_AGENT_DERIVED_H
#define FLOTILLA_AGENT_DERIVED_H

#include "agent/shell/report/report.h"

struct flo_deriving;
struct flo_derived_spec {
    int fd;                  /* descriptor of the model's file, which stays open until `done` */
    struct flo_digest model; /* SHA-256 of the model's file */
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    void *context;
    /* Called when a step begins or makes progress. */
    void (*gets_on)(void *context);
    /* Called once at the end, perhaps from within flo_shell_derive().
     * `packed_fd` is the packed weights, which the callee owns; 0: there are
     * none. */
    void (*done)(void *context, int packed_fd);
};

/* Gets the packed weights of a model: verifies the stored ones or makes new
 * ones.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_shell_derive(struct flo_shell *shell, const struct flo_derived_spec *spec,
                                  struct flo_deriving **out, struct flo_err *err);
/* Stops without calling `done`.  NULL is fine. */
void flo_shell_derive_cancel(struct flo_deriving *deriving);
/* Opens the prefix cache file of a release. 0: none is wanted, or it cannot be
 * opened. */
int flo_shell_prefix_open(struct flo_shell *shell, const struct flo_digest *release);

/* Removes packed weights that an engine refused because they do not fit the
 * model. */
void flo_shell_packed_refused(struct flo_shell *shell, const struct flo_digest *model);
/* Return, for memory plans, whether a new model is expected to be packed, and
 * whether an engine gets a prefix file. */
bool flo_shell_packs(const struct flo_shell *shell);
bool flo_shell_keeps_prefixes(const struct flo_shell *shell);

#endif
