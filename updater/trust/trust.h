/* Trusted keys, internals: the structs, for verify.c and the files of this
 * folder. */
#ifndef FLOTILLA_TRUST_TRUST_H
#define FLOTILLA_TRUST_TRUST_H

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/json.h"

/* Field of a statement that older agents must not pass over. */
#define FLO_TRUST_PUBLISHERS "crit_publishers"

struct trusted_key {
    struct flo_public_key key;
    unsigned roles; /* bits of enum flo_role */
    char name[FLO_NAME_MAX + 1];
};

struct flo_trust {
    char fleet[FLO_NAME_MAX + 1];
    uint64_t number; /* number of the statement; 1: the unsigned list */
    uint32_t epoch;
    uint64_t issued_at_ms;
    /* root signatures that the successor needs; 0: the unsigned list needs
     * none */
    uint32_t threshold;
    size_t count;
    struct trusted_key keys[FLO_TRUST_KEYS_MAX];
    size_t revoked_key_count;
    char revoked_keys[FLO_TRUST_REVOKED_MAX][FLO_KEYID_TEXT];
    size_t revoked_release_count;
    struct flo_digest revoked_releases[FLO_TRUST_REVOKED_MAX];
    size_t floor_count;
    struct {
        char model[FLO_NAME_MAX + 1];
        uint64_t number;
    } floors[FLO_TRUST_FLOORS_MAX];
    /* publishers that must sign a release, by a model's name or its beginning
     * and `*`; elsewhere one is enough */
    size_t publisher_count;
    struct {
        char model[FLO_NAME_MAX + 2];
        uint32_t needed;
    } publishers[FLO_TRUST_PUBLISHERS_MAX];
    size_t ca_count;
    char *ca[FLO_TRUST_CA_MAX];
    /* The envelope of the statement, and the digest of its body. */
    struct flo_envelope envelope;
    struct flo_digest digest;
};

/* Returns the trusted key with that id, or NULL when there is none. */
const struct trusted_key *flo_trust_find(const struct flo_trust *trust, const char *keyid);
/* Parses a complete statement, which enough of its own root keys have
 * signed. */
int flo_trust_statement_parse(const char *text, size_t bytes, struct flo_trust **out,
                              struct flo_err *err);
/* Lists the revoked keys and releases. */
void flo_trust_revoked(const struct flo_trust *trust, json_t **keys, json_t **releases);
/* Returns the lowest epoch that the statement `next` may have. */
uint32_t flo_trust_epoch_after(const struct flo_trust *held, const struct flo_trust *next);

#endif
