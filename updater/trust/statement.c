/* Trust statements: parses the body strictly and writes it canonically.
 *
 * Each key has one role here.  A root key that also signed releases would have
 * to be in use for each of them.  An order key that was also an emergency key
 * could not stop an attacker who has taken the controller. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/trust.h>

#include "base/host/digest.h"
#include "updater/trust/trust.h"

/* ---- read ---- */

static int add_once(struct flo_trust *trust, const char *pem, unsigned role, const char *name,
                    struct flo_err *err)
{
    size_t count = trust->count;

    FLO_TRY(flo_trust_add(trust, pem, role, name, err));
    if (trust->count == count) {
        return flo_fail(err, FLO_E_META_SCHEMA, "the key stands twice; a key has one role");
    }
    const char *keyid = trust->keys[count].key.keyid;
    return flo_trust_is_key_revoked(trust, keyid)
               ? flo_fail(err, FLO_E_META_SCHEMA, "key %.16s is trusted and revoked", keyid)
               : 0;
}

static int read_roots(const json_t *body, struct flo_trust *out, struct flo_err *err)
{
    json_t *root = NULL;
    json_t *keys = NULL;
    uint64_t threshold = 0;

    FLO_TRY(flo_json_get_object(body, "root", &root, err));
    FLO_TRY(flo_json_get_array(root, "keys", FLO_TRUST_ROOTS_MAX, &keys, err));
    FLO_TRY(flo_json_get_u64(root, "threshold", 1, FLO_TRUST_THRESHOLD_MAX, &threshold, err));
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *pem = json_string_value(json_array_get(keys, i));
        int rv = pem == NULL ? flo_fail(err, FLO_E_META_SCHEMA, "it is no text")
                             : add_once(out, pem, FLO_ROLE_ROOT, NULL, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "root.keys[%zu]", i);
        }
    }
    if (json_array_size(keys) < threshold) {
        return flo_fail(err, FLO_E_META_SCHEMA, "root: %zu keys cannot reach a threshold of %llu",
                        json_array_size(keys), (unsigned long long)threshold);
    }
    out->threshold = (uint32_t)threshold;
    return 0;
}

static int read_key(const json_t *entry, struct flo_trust *out, struct flo_err *err)
{
    const char *pem = NULL;
    const char *word = NULL;
    const char *name = NULL;

    FLO_TRY(flo_json_get_text(entry, "pem", FLO_PEM_BYTES_MAX, &pem, err));
    FLO_TRY(flo_json_get_text(entry, "role", FLO_NAME_MAX, &word, err));
    FLO_TRY(flo_json_opt_name(entry, "name", NULL, &name, err));
    unsigned role = flo_trust_role(word);
    if (role == FLO_ROLE_ROOT) {
        return flo_fail(err, FLO_E_META_SCHEMA, "root keys stand in `root`");
    }
    /* An unknown role, of a later version, has no effect here. */
    return role == 0 ? 0 : add_once(out, pem, role, name, err);
}

static int read_keys(const json_t *body, struct flo_trust *out, struct flo_err *err)
{
    json_t *keys = NULL;
    bool has_order = false;
    int rv = flo_json_get_array(body, "keys", FLO_TRUST_KEYS_MAX, &keys, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(keys); i++) {
        rv = read_key(json_array_get(keys, i), out, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "keys[%zu]", i);
        }
    }
    for (size_t i = 0; i < out->count; i++) {
        has_order = has_order || out->keys[i].roles == FLO_ROLE_ORDER;
    }
    if (rv == 0 && !has_order) {
        rv = flo_fail(err, FLO_E_META_SCHEMA,
                      "no key has the role order: nobody could steer the "
                      "devices");
    }
    return rv;
}

static int read_revoked(const json_t *body, struct flo_trust *out, struct flo_err *err)
{
    json_t *revoked = NULL;
    json_t *keys = NULL;
    json_t *releases = NULL;
    uint8_t hash[32];

    FLO_TRY(flo_json_opt_object(body, "revoked", &revoked, err));
    FLO_TRY(flo_json_opt_array(revoked, "keys", FLO_TRUST_REVOKED_MAX, &keys, err));
    FLO_TRY(flo_json_opt_array(revoked, "releases", FLO_TRUST_REVOKED_MAX, &releases, err));
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *keyid = json_string_value(json_array_get(keys, i));
        if (keyid == NULL || !flo_hex_decode(keyid, hash, sizeof(hash))) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "revoked.keys[%zu] is not 64 lower-case hex digits", i);
        }
        strcpy(out->revoked_keys[out->revoked_key_count++], keyid);
    }
    for (size_t i = 0; i < json_array_size(releases); i++) {
        const char *text = json_string_value(json_array_get(releases, i));
        if (text == NULL ||
            !flo_digest_parse(text, &out->revoked_releases[out->revoked_release_count])) {
            return flo_fail(err, FLO_E_META_SCHEMA, "revoked.releases[%zu] is no digest", i);
        }
        out->revoked_release_count++;
    }
    return 0;
}

static int read_floors(const json_t *body, struct flo_trust *out, struct flo_err *err)
{
    json_t *floors = NULL;
    int rv = flo_json_opt_array(body, "floors", FLO_TRUST_FLOORS_MAX, &floors, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(floors); i++) {
        const json_t *entry = json_array_get(floors, i);
        const char *model = NULL;
        uint64_t number = 0;
        rv = flo_json_get_name(entry, "model", &model, err);
        if (rv == 0) {
            rv = flo_json_get_u64(entry, "number", 1, INT64_MAX, &number, err);
        }
        if (rv == 0 && flo_trust_floor(out, model) != 0) {
            rv = flo_fail(err, FLO_E_META_SCHEMA, "model %s stands twice", model);
        }
        if (rv == 0) {
            rv = flo_trust_raise_floor(out, model, number, err);
        }
        if (rv < 0) {
            return flo_wrap(err, rv, "floors[%zu]", i);
        }
    }
    return rv;
}

static int read_publishers(const json_t *body, struct flo_trust *out, struct flo_err *err)
{
    json_t *list = NULL;
    uint64_t keys = 0;
    int rv = flo_json_opt_array(body, FLO_TRUST_PUBLISHERS, FLO_TRUST_PUBLISHERS_MAX, &list, err);

    for (size_t i = 0; i < out->count; i++) {
        keys += out->keys[i].roles == FLO_ROLE_RELEASE;
    }
    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *model = NULL;
        uint64_t needed = 0;
        rv = flo_json_get_text(entry, "model", FLO_NAME_MAX + 1, &model, err);
        if (rv == 0) {
            rv = flo_json_get_u64(entry, "needed", 2, FLO_TRUST_THRESHOLD_MAX, &needed, err);
        }
        if (rv == 0) {
            rv = flo_trust_ask_publishers(out, model, needed, err);
        }
        if (rv == 0 && (out->publisher_count != i + 1 || needed > keys)) {
            rv = flo_fail(err, FLO_E_META_SCHEMA,
                          needed > keys ? "%s: %llu release keys cannot give %llu signatures"
                                        : "model %s stands twice",
                          model, (unsigned long long)keys, (unsigned long long)needed);
        }
        if (rv < 0) {
            return flo_wrap(err, rv, "%s[%zu]", FLO_TRUST_PUBLISHERS, i);
        }
    }
    return rv;
}

static int read_ca(const json_t *body, struct flo_trust *out, struct flo_err *err)
{
    json_t *list = NULL;
    int rv = flo_json_opt_array(body, "ca", FLO_TRUST_CA_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        const char *pem = json_string_value(json_array_get(list, i));
        rv = pem == NULL ? flo_fail(err, FLO_E_META_SCHEMA, "it is no text")
                         : flo_trust_add_ca(out, pem, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "ca[%zu]", i);
        }
    }
    return rv;
}

static int read_head(const json_t *body, struct flo_trust *out, struct flo_err *err)
{
    const char *fleet = NULL;
    uint64_t version;
    uint64_t epoch = 0;

    FLO_TRY(flo_json_check_critical(body, FLO_TRUST_PUBLISHERS, err));
    FLO_TRY(flo_json_get_u64(body, "v", 1, 1, &version, err));
    FLO_TRY(flo_json_get_name(body, "fleet", &fleet, err));
    /* The first statement has number 2, because the unsigned list counts as
     * 1. */
    FLO_TRY(flo_json_get_u64(body, "number", 2, INT64_MAX, &out->number, err));
    FLO_TRY(flo_json_get_u64(body, "epoch", 1, UINT32_MAX, &epoch, err));
    FLO_TRY(flo_json_opt_u64(body, "issued_at_ms", 0, INT64_MAX, 0, &out->issued_at_ms, err));
    strcpy(out->fleet, fleet);
    out->epoch = (uint32_t)epoch;
    return 0;
}

static int read_body(const char *body, size_t bytes, struct flo_trust *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;

    FLO_TRY(flo_json_parse(body, bytes, FLO_TRUST_BODY_BYTES_MAX, &root, err));
    FLO_TRY(read_head(root, out, err));
    /* Revoked keys are read first, because the other keys must not include
     * them. */
    FLO_TRY(read_revoked(root, out, err));
    FLO_TRY(read_roots(root, out, err));
    FLO_TRY(read_keys(root, out, err));
    FLO_TRY(read_floors(root, out, err));
    FLO_TRY(read_publishers(root, out, err));
    return read_ca(root, out, err);
}

/* ---- the whole ---- */

static int parse(const char *text, size_t bytes, bool is_draft, struct flo_trust **out,
                 struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *trust = flo_trust_new("");
    struct flo_trust_counters counters;

    if (trust == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a trust statement");
    }
    if (bytes > FLO_TRUST_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE,
                        "the trust statement has %zu bytes, allowed are %d", bytes,
                        FLO_TRUST_BYTES_MAX);
    }
    FLO_TRY((is_draft ? flo_envelope_parse_draft : flo_envelope_parse)(text, bytes, FLO_TYPE_TRUST,
                                                                       &trust->envelope, err));
    FLO_TRY(read_body(trust->envelope.body, trust->envelope.body_bytes, trust, err));
    FLO_TRY(flo_trust_count_up(trust, NULL, &counters, err));
    if (!is_draft && counters.own < counters.own_needed) {
        return flo_fail(err, FLO_E_TRUST_THRESHOLD,
                        "trust statement %llu: %u of its own root keys signed, "
                        "it asks for %u",
                        (unsigned long long)trust->number, counters.own, counters.own_needed);
    }
    flo_sha256(trust->envelope.body, trust->envelope.body_bytes, &trust->digest);
    *out = trust;
    trust = NULL;
    return 0;
}

int flo_trust_statement_parse(const char *text, size_t bytes, struct flo_trust **out,
                              struct flo_err *err)
{
    return parse(text, bytes, false, out, err);
}

int flo_trust_draft_parse(const char *json, size_t bytes, struct flo_trust **out,
                          struct flo_err *err)
{
    return parse(json, bytes, true, out, err);
}
