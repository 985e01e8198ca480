/* Trust: functions that the commands on trust statements share. */
#ifndef FLOTILLA_CLI_TRUST_TRUST_H
#define FLOTILLA_CLI_TRUST_TRUST_H

#include <flotilla/release.h>

#include "server-stub/cli/cli.h"

#define FLO_PAIR_PATH 1024

struct flo_key; /* base/host/crypto.h */
/* Creates DIR/NAME.key (0600) and DIR/NAME.pub, both or neither.  `path`
 * becomes the path of the key.  FLO_E_STATE: one of the files exists. */
FLO_MUST_USE int flo_pair_create(const char *dir, const char *name, char path[FLO_PAIR_PATH],
                                 struct flo_key **out, struct flo_err *err);

/* Gets the statement, or the unsigned list, that devices hold: from the file of
 * --from, or else from the controller. */
FLO_MUST_USE int flo_trust_held(struct flo_cli *cli, struct flo_trust **out, struct flo_err *err);
/* Reads a trust statement from a file: a draft with its signatures so far, or a
 * finished statement. */
FLO_MUST_USE int flo_trust_file(const char *path, struct flo_trust **out, struct flo_err *err);
/* Gets the draft at --to, if it exists, or else a new one that follows `held`.
 * FLO_E_STATE: the draft has signatures already, or follows another
 * statement. */
FLO_MUST_USE int flo_trust_begin(struct flo_cli *cli, const struct flo_trust *held,
                                 struct flo_trust **out, struct flo_err *err);
/* Writes the draft to the file of --to, and prints the next step. */
FLO_MUST_USE int flo_trust_end(struct flo_cli *cli, const struct flo_trust *held,
                               struct flo_trust *draft, struct flo_err *err);
/* Adds a public key, or the certificate of an authority, from a file to the
 * draft. */
FLO_MUST_USE int flo_trust_add_file(struct flo_trust *draft, const char *path, unsigned role,
                                    struct flo_err *err);
FLO_MUST_USE int flo_trust_add_authority(struct flo_trust *draft, const char *path,
                                         struct flo_err *err);
/* Gets the id of the release MODEL@VERSION from the controller. */
FLO_MUST_USE int flo_trust_find_release(struct flo_cli *cli, const char *title,
                                        struct flo_digest *out, struct flo_err *err);
/* Returns the keys of a statement as rows of a table. */
json_t *flo_trust_rows(const struct flo_trust *trust);

#endif
