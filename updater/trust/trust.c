/* Trusted keys: public keys with their roles, and the other contents of a trust
 * statement. */
#include "updater/trust/trust.h"

#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

static const struct {
    const char *word;
    unsigned role;
} roles[] = {{"release", FLO_ROLE_RELEASE},
             {"order", FLO_ROLE_ORDER},
             {"emergency", FLO_ROLE_EMERGENCY},
             {"root", FLO_ROLE_ROOT}};

struct flo_trust *flo_trust_new(const char *fleet)
{
    struct flo_trust *trust = calloc(1, sizeof *trust);

    if (trust != NULL) {
        (void)snprintf(trust->fleet, sizeof trust->fleet, "%s", fleet);
        trust->epoch = 1;
        trust->number = 1;
    }
    return trust;
}

void flo_trust_free(struct flo_trust *trust)
{
    if (trust == NULL) {
        return;
    }
    flo_trust_clear_ca(trust);
    flo_envelope_deinit(&trust->envelope);
    free(trust);
}

void flo_trust_cleanup(struct flo_trust **trust)
{
    flo_trust_free(*trust);
}

void flo_trust_clear_ca(struct flo_trust *trust)
{
    for (size_t i = 0; i < trust->ca_count; i++) {
        free(trust->ca[i]);
        trust->ca[i] = NULL;
    }
    trust->ca_count = 0;
}

/* ---- questions ---- */

uint32_t flo_trust_epoch(const struct flo_trust *trust)
{
    return trust->epoch;
}

const char *flo_trust_fleet(const struct flo_trust *trust)
{
    return trust->fleet;
}

size_t flo_trust_count(const struct flo_trust *trust)
{
    return trust->count;
}

uint64_t flo_trust_number(const struct flo_trust *trust)
{
    return trust->number;
}

const struct flo_digest *flo_trust_digest(const struct flo_trust *trust)
{
    return &trust->digest;
}

bool flo_trust_is_signed(const struct flo_trust *trust)
{
    return trust->envelope.body != NULL;
}

bool flo_trust_has_signed(const struct flo_trust *trust, const char *keyid)
{
    for (size_t i = 0; i < trust->envelope.signature_count; i++) {
        if (strcmp(trust->envelope.signatures[i].keyid, keyid) == 0) {
            return true;
        }
    }
    return false;
}

size_t flo_trust_ca_count(const struct flo_trust *trust)
{
    return trust->ca_count;
}

const char *flo_trust_ca(const struct flo_trust *trust, size_t index)
{
    return index < trust->ca_count ? trust->ca[index] : NULL;
}

uint64_t flo_trust_floor(const struct flo_trust *trust, const char *model)
{
    for (size_t i = 0; i < trust->floor_count; i++) {
        if (strcmp(trust->floors[i].model, model) == 0) {
            return trust->floors[i].number;
        }
    }
    return 0;
}

bool flo_trust_is_release_revoked(const struct flo_trust *trust, const struct flo_digest *release)
{
    return flo_digest_is_among(release, trust->revoked_releases, trust->revoked_release_count);
}

bool flo_trust_is_key_revoked(const struct flo_trust *trust, const char *keyid)
{
    for (size_t i = 0; i < trust->revoked_key_count; i++) {
        if (strcmp(trust->revoked_keys[i], keyid) == 0) {
            return true;
        }
    }
    return false;
}

void flo_trust_key(const struct flo_trust *trust, size_t index, struct flo_trust_key *out)
{
    const struct trusted_key *key = &trust->keys[index];

    out->keyid = key->key.keyid;
    out->name = key->name;
    out->roles = key->roles;
    flo_public_key_pem(&key->key, out->pem);
}

bool flo_trust_key_with(const struct flo_trust *trust, unsigned roles_wanted,
                        struct flo_trust_key *out)
{
    for (size_t i = 0; i < flo_trust_count(trust); i++) {
        if ((trust->keys[i].roles & roles_wanted) != 0) {
            flo_trust_key(trust, i, out);
            return true;
        }
    }
    return false;
}

const char *flo_role_word(unsigned bits)
{
    for (size_t i = 0; i < FLO_COUNT(roles); i++) {
        if ((bits & roles[i].role) != 0) {
            return roles[i].word;
        }
    }
    return "none";
}

unsigned flo_trust_role(const char *word)
{
    for (size_t i = 0; i < FLO_COUNT(roles); i++) {
        if (strcmp(word, roles[i].word) == 0) {
            return roles[i].role;
        }
    }
    return 0;
}

const struct trusted_key *flo_trust_find(const struct flo_trust *trust, const char *keyid)
{
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(trust->keys[i].key.keyid, keyid) == 0) {
            return &trust->keys[i];
        }
    }
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

void flo_trust_order_keys(const struct flo_trust *trust, struct flo_digest *out)
{
    char keyids[FLO_TRUST_KEYS_MAX][sizeof(trust->keys[0].key.keyid)] = {{0}};
    size_t count = 0;

    for (size_t i = 0; i < trust->count; i++) {
        if ((trust->keys[i].roles & (FLO_ROLE_ORDER | FLO_ROLE_EMERGENCY)) != 0) {
            strcpy(keyids[count++], trust->keys[i].key.keyid);
        }
    }
    qsort(keyids, count, sizeof(keyids[0]), by_text);
    flo_sha256(keyids, count * sizeof(keyids[0]), out);
}

/* ---- changes ---- */

int flo_trust_add(struct flo_trust *trust, const char *pem, unsigned role_bits, const char *name,
                  struct flo_err *err)
{
    struct flo_public_key key;
    struct trusted_key *place = NULL;

    FLO_TRY(flo_public_key_parse(pem, strlen(pem), &key, err));
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(trust->keys[i].key.keyid, key.keyid) == 0) {
            place = &trust->keys[i];
        }
    }
    if (place == NULL && trust->count == FLO_TRUST_KEYS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "more than %d trusted keys", FLO_TRUST_KEYS_MAX);
    }
    if (place == NULL) {
        place = &trust->keys[trust->count++];
        memset(place, 0, sizeof(*place));
        place->key = key;
    }
    place->roles |= role_bits;
    if (name != NULL) {
        snprintf(place->name, sizeof(place->name), "%s", name);
    }
    return 0;
}

int flo_trust_drop(struct flo_trust *trust, const char *keyid, struct flo_err *err)
{
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(trust->keys[i].key.keyid, keyid) == 0) {
            trust->count--;
            memmove(&trust->keys[i], &trust->keys[i + 1],
                    (trust->count - i) * sizeof(trust->keys[0]));
            return 0;
        }
    }
    return flo_fail(err, FLO_E_ABSENT, "no trusted key has the id %.16s", keyid);
}

static int is_full(const char *what, struct flo_err *err)
{
    flo_fail(err, FLO_E_META_SCHEMA, "more than %d revoked %s", FLO_TRUST_REVOKED_MAX, what);
    return flo_err_fix(err, "a key that is not listed is not trusted either: "
                            "leave out the oldest");
}

int flo_trust_revoke_key(struct flo_trust *trust, const char *keyid, struct flo_err *err)
{
    uint8_t hash[32];

    if (!flo_hex_decode(keyid, hash, sizeof(hash))) {
        return flo_fail(err, FLO_E_USAGE, "key `%.70s`: its id is 64 lower-case hex digits", keyid);
    }
    FLO_TRY(flo_trust_find(trust, keyid) == NULL ? 0 : flo_trust_drop(trust, keyid, err));
    if (flo_trust_is_key_revoked(trust, keyid)) {
        return 0;
    }
    if (trust->revoked_key_count == FLO_TRUST_REVOKED_MAX) {
        return is_full("keys", err);
    }
    strcpy(trust->revoked_keys[trust->revoked_key_count++], keyid);
    return 0;
}

int flo_trust_revoke_release(struct flo_trust *trust, const struct flo_digest *release,
                             struct flo_err *err)
{
    if (flo_trust_is_release_revoked(trust, release)) {
        return 0;
    }
    if (trust->revoked_release_count == FLO_TRUST_REVOKED_MAX) {
        return is_full("releases", err);
    }
    trust->revoked_releases[trust->revoked_release_count++] = *release;
    return 0;
}

int flo_trust_raise_floor(struct flo_trust *trust, const char *model, uint64_t number,
                          struct flo_err *err)
{
    size_t i = 0;

    while (i < trust->floor_count && strcmp(trust->floors[i].model, model) != 0) {
        i++;
    }
    if (i == FLO_TRUST_FLOORS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "more than %d floors", FLO_TRUST_FLOORS_MAX);
    }
    if (i == trust->floor_count) {
        trust->floor_count++;
        trust->floors[i].number = 0;
        snprintf(trust->floors[i].model, sizeof(trust->floors[i].model), "%s", model);
    }
    if (number > trust->floors[i].number) {
        trust->floors[i].number = number;
    }
    return 0;
}

int flo_trust_add_ca(struct flo_trust *trust, const char *pem, struct flo_err *err)
{
    struct flo_certificate facts;

    FLO_TRY(flo_certificate_read(pem, strlen(pem), &facts, err));
    if (!facts.is_authority) {
        return flo_fail(err, FLO_E_META_SCHEMA, "certificate %s is no authority's",
                        facts.common_name);
    }
    if (trust->ca_count == FLO_TRUST_CA_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "more than %d certificates", FLO_TRUST_CA_MAX);
    }
    char *copy = strdup(pem);
    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a certificate");
    }
    trust->ca[trust->ca_count++] = copy;
    return 0;
}

void flo_trust_set_threshold(struct flo_trust *trust, uint32_t threshold)
{
    trust->threshold = threshold;
}

int flo_trust_ask_publishers(struct flo_trust *trust, const char *pattern, uint64_t needed,
                             struct flo_err *err)
{
    char name[FLO_NAME_MAX + 2];
    size_t i = 0, chars = strcspn(pattern, "*");

    snprintf(name, sizeof(name), "%.*s", (int)(chars <= FLO_NAME_MAX ? chars : 0), pattern);
    if ((chars > 0 && !flo_name_is_valid(name)) || pattern[0] == '\0' ||
        strlen(pattern + chars) > 1 || needed < 1 || needed > FLO_TRUST_THRESHOLD_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "`%.80s` is no model and no beginning of one with *, or not 1 to %d "
                        "publishers",
                        pattern, FLO_TRUST_THRESHOLD_MAX);
    }
    while (i < trust->publisher_count && strcmp(trust->publishers[i].model, pattern) != 0) {
        i++;
    }
    if (i == FLO_TRUST_PUBLISHERS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "more than %d rows of publishers", (int)i);
    }
    trust->publisher_count += i == trust->publisher_count;
    strcpy(trust->publishers[i].model, pattern);
    trust->publishers[i].needed = (uint32_t)needed;
    if (needed == 1) {
        trust->publishers[i] = trust->publishers[--trust->publisher_count];
    }
    return 0;
}

uint32_t flo_trust_publishers(const struct flo_trust *trust, const char *model)
{
    uint32_t needed = 1;

    for (size_t i = 0; i < trust->publisher_count; i++) {
        const char *pattern = trust->publishers[i].model;
        size_t chars = strcspn(pattern, "*");
        bool fits =
            strncmp(model, pattern, chars) == 0 && (pattern[chars] == '*' || model[chars] == '\0');
        needed =
            fits && trust->publishers[i].needed > needed ? trust->publishers[i].needed : needed;
    }
    return needed;
}
