/* Shared by the commands on trust statements. */
#ifndef FLOTILLA_CLI_TRUST_TRUST_H
#define FLOTILLA_CLI_TRUST_TRUST_H

#include <flotilla/release.h>

#include "server-stub/cli/cli.h"

#define FLO_PAIR_PATH 1024

struct flo_key; /* base/host/crypto.h */
/* DIR/NAME.key (0600) and DIR/NAME.pub, both or neither; `path` is the first
 * one's.  FLO_E_STATE: one of them is there already. */
FLO_MUST_USE int flo_pair_create(const char *dir, const char *name, char path[FLO_PAIR_PATH],
                                 struct flo_key **out, struct flo_err *err);

/* The statement, or list, that devices hold: --from FILE, else the
 * controller's. */
FLO_MUST_USE int flo_trust_held(struct flo_cli *cli, struct flo_trust **out, struct flo_err *err);
/* A file that is passed round, with the signatures it has so far; also a
 * finished statement. */
FLO_MUST_USE int flo_trust_file(const char *path, struct flo_trust **out, struct flo_err *err);
/* The draft at --to, to go on with, or a new one after `held`.
 * FLO_E_STATE: it has signatures already, or follows another statement. */
FLO_MUST_USE int flo_trust_begin(struct flo_cli *cli, const struct flo_trust *held,
                                 struct flo_trust **out, struct flo_err *err);
/* Write it to --to, and say what comes next. */
FLO_MUST_USE int flo_trust_end(struct flo_cli *cli, const struct flo_trust *held,
                               struct flo_trust *draft, struct flo_err *err);
/* Add the public key, or the certificate of an authority, of a file. */
FLO_MUST_USE int flo_trust_add_file(struct flo_trust *draft, const char *path, unsigned role,
                                    struct flo_err *err);
FLO_MUST_USE int flo_trust_add_authority(struct flo_trust *draft, const char *path,
                                         struct flo_err *err);
/* The id of MODEL@VERSION at the controller. */
FLO_MUST_USE int flo_trust_find_release(struct flo_cli *cli, const char *title,
                                        struct flo_digest *out, struct flo_err *err);
/* The statement's keys as rows of a table. */
json_t *flo_trust_rows(const struct flo_trust *trust);

#endif
