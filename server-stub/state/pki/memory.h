/* Shared by the files of the PKI; not for others. */
#ifndef FLOTILLA_SERVER_STATE_PKI_INSIDE_H
#define FLOTILLA_SERVER_STATE_PKI_INSIDE_H

#include "server-stub/state/controller.h"

static inline bool flo_pki_in_memory(const struct flo_controller *controller)
{
    return controller->dir[0] == ':'; /* ":memory:" */
}
/* Below DIR; `out` holds 4096. */
FLO_MUST_USE int flo_pki_path(const struct flo_controller *controller, const char *name, char *out,
                              struct flo_err *err);
/* The key of a file below DIR; made when there is none.  `path` (4096) becomes
 * the file's. */
FLO_MUST_USE int flo_pki_key(const struct flo_controller *controller, const char *name, char *path,
                             struct flo_key **out, struct flo_err *err);
/* authorities.c: read those that are there, or make the first one.
 * FLO_E_KEYS_ABSENT: one has no key. */
FLO_MUST_USE int flo_pki_authorities_open(struct flo_controller *controller, struct flo_err *err);
void flo_pki_authorities_close(struct flo_pki *pki);

#endif
