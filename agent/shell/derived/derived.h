/* Derived artifacts: files that this device makes to serve a model faster.
 *
 * A sandboxed engine process writes packed weights, this one hashes the file
 * and gives it its name in the store.  Engines keep prefixes themselves.
 * After any failure the model serves from its own rows.  agent/core/derived.c
 * decides the tries, their number and their time. */
#ifndef FLOTILLA_AGENT_DERIVED_H
#define FLOTILLA_AGENT_DERIVED_H

#include "agent/shell/report/report.h"

struct flo_deriving;
struct flo_derived_wish {
    int fd;                          /* the model's file; open until the end */
    struct flo_digest model;         /* SHA-256 of that file */
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    void *context;
    /* A step of it begins, or gets on. */
    void (*gets_on)(void *context);
    /* The end, perhaps within the call: the packed weights (taken), 0: none. */
    void (*done)(void *context, int packed_fd);
};

/* Have the packed weights of a model: checked, made or none.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_shell_derive(struct flo_shell *shell, const struct flo_derived_wish *wish,
                                  struct flo_deriving **out, struct flo_err *err);
/* Stop without a report.  NULL is fine. */
void flo_shell_derive_cancel(struct flo_deriving *deriving);
/* The file for the prefix of its prompts; 0: none is wanted, or can be had. */
int flo_shell_prefix_open(struct flo_shell *shell, const struct flo_digest *release);

/* The engine said that the packed file is not the model's: remove it. */
void flo_shell_packed_refused(struct flo_shell *shell, const struct flo_digest *model);
/* For plans: would a new model be packed, as far as is known?  Does an engine
 * get a file for prefixes? */
bool flo_shell_packs(const struct flo_shell *shell);
bool flo_shell_keeps_prefixes(const struct flo_shell *shell);

#endif
