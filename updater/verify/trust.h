/* The trusted keys, as verify.c looks at them. */
#ifndef FLOTILLA_VERIFY_TRUST_H
#define FLOTILLA_VERIFY_TRUST_H

#include <flotilla/release.h>

#include "base/host/crypto.h"

struct trusted_key {
    struct flo_public_key key;
    unsigned roles; /* enum flo_role */
};

struct flo_trust {
    char fleet[FLO_NAME_MAX + 1];
    uint32_t epoch;
    size_t count;
    struct trusted_key keys[FLO_TRUST_KEYS_MAX];
};

/* NULL when no key of that id is trusted for anything. */
const struct trusted_key *flo_trust_find(const struct flo_trust *trust,
                                         const char *keyid);

#endif
