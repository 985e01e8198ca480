/* Derived artifacts: what this device makes of a model to serve it faster.
 *
 * Packed weights are made once, if engines of this machine read them faster: a
 * sandboxed engine process writes the file, this one hashes it and gives it its
 * name in the store.  Prefixes are kept by engines themselves.  Both are a
 * luxury: whatever fails, the model is served from its own rows.  Packing that
 * failed is not tried again in this life of the agent; where it wrote to the
 * disk or took its time twice, not by this version either. */
#ifndef FLOTILLA_AGENT_DERIVED_H
#define FLOTILLA_AGENT_DERIVED_H

#include "agent/shell/report/report.h"

struct flo_deriving;
struct flo_derived_wish {
    int fd;                          /* the model's file; open until the end */
    struct flo_digest model;         /* of that file */
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    void *context;
    /* A step of it begins, or gets on. */
    void (*gets_on)(void *context);
    /* The end, perhaps within the call: the packed weights (taken), 0: none. */
    void (*done)(void *context, int packed_fd);
};

/* Have the packed weights of a model: checked, made or none.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_derived_get(struct flo_shell *shell,
                                 const struct flo_derived_wish *wish,
                                 struct flo_deriving **out,
                                 struct flo_err *err);
/* Nobody waits any more, and is told.  NULL is fine. */
void flo_derived_cancel(struct flo_deriving *deriving);
/* The file for the prefix of its prompts; 0: none is wanted, or can be had. */
int flo_derived_prefix(struct flo_shell *shell,
                       const struct flo_digest *release);

/* What engines said: an engine was lost, so files are hashed again; the packed
 * file is not the model's, so it is removed (made again once, then done
 * without); it serves. */
void flo_derived_doubt(struct flo_shell *shell);
void flo_derived_refused(struct flo_shell *shell,
                         const struct flo_digest *model);
void flo_derived_accepted(struct flo_shell *shell);

/* For plans: would a new model be packed, as far as is known?  Does an engine
 * get a file for prefixes?  Could it be faster than it is? */
bool flo_derived_packs(const struct flo_shell *shell);
bool flo_derived_keeps_prefixes(const struct flo_shell *shell);
bool flo_derived_is_lacking(const struct flo_shell *shell,
                            const struct flo_digest *model);

#endif
