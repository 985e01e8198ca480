/* Pair: a device's key and its certificate, in one file.
 *
 *   flotilla-pair 1 NUMBER ISSUED_MS TAKEN_MS
 *   -----BEGIN CERTIFICATE----- ...
 *   -----BEGIN EC PRIVATE KEY----- ...
 *
 * There are two places, identity/device-a.pem and device-b.pem.  A renewal
 * writes the place that is not in use, and the pair with the highest number
 * counts.  So at any instant a usable pair is on the disk, and a job that
 * began with the older one ends with it, or begins again when it is refused. */
#ifndef FLOTILLA_AGENT_PAIR_H
#define FLOTILLA_AGENT_PAIR_H

#include <flotilla/base.h>

#include "base/host/crypto.h"

#define FLO_PAIRS 2
/* Symbolic link to the file of the pair in use, below the state directory, for
 * programs that outlive a renewal. */
#define FLO_PAIR_LINK "identity/device.pem"
#define FLO_PAIR_HEAD "flotilla-pair 1 "

struct flo_pair {
    bool is_there;
    /* number of the pair; each new pair has a higher one, and the first has
     * 1 */
    uint64_t number;
    uint64_t issued_ms; /* time at which its certificate was issued, by the controller's clock */
    uint64_t taken_ms;  /* time at which its certificate arrived, by this device's clock */
    struct flo_certificate facts;
};
struct flo_identity_pairs {
    struct flo_pair list[FLO_PAIRS];
    char files[FLO_PAIRS][4200];
    char link[4200]; /* path of FLO_PAIR_LINK */
};

/* Reads a pair (pair.c).  It must be of `device`; NULL: of any device.
 * FLO_E_SIG_FORMAT  no pair, or certificate and key do not match
 * FLO_E_NET_TLS  the certificate is of another device */
FLO_MUST_USE int flo_pair_read(const char *data, size_t bytes, const char *device,
                               struct flo_pair *out, struct flo_err *err);
/* Reads the pairs in both places of a state directory (pairs.c).  A damaged
 * pair counts as absent while the other one is intact.
 * FLO_E_ABSENT  there is no pair
 * FLO_E_CFG_PERM  others may read a pair */
FLO_MUST_USE int flo_pairs_open(const char *state_dir, const char *device,
                                struct flo_identity_pairs *out, struct flo_err *err);
/* Returns the place of the pair with the highest number. */
size_t flo_pairs_newest(const struct flo_identity_pairs *pairs);
/* Writes a pair into the place that is not `in_use`, and returns that place in
 * *place.  If no place is in use, `in_use` is FLO_PAIRS.  Then the first place
 * is written and the second one is emptied. */
FLO_MUST_USE int flo_pairs_write(struct flo_identity_pairs *pairs, size_t in_use,
                                 const struct flo_key *key, const char *certificate,
                                 uint64_t issued_ms, uint64_t taken_ms, size_t *place,
                                 struct flo_err *err);
/* Makes FLO_PAIR_LINK a link to the pair at this place, in one step.  Nothing is
 * synced: the agent makes the link at each start.  FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_pairs_link(const struct flo_identity_pairs *pairs, size_t place,
                                struct flo_err *err);
/* Fills in the paths of both places, and reads nothing. */
FLO_MUST_USE int flo_pairs_name(const char *state_dir, struct flo_identity_pairs *out,
                                struct flo_err *err);

#endif
