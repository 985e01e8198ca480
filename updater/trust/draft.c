/* Trust drafts: makes drafts of trust statements and signs them. */
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"
#include "updater/trust/trust.h"

/* ---- drafts ---- */

int flo_trust_next(const struct flo_trust *held, uint64_t now_ms, struct flo_trust **out,
                   struct flo_err *err)
{
    struct flo_trust *next = flo_trust_new(held->fleet);
    int rv = 0;

    if (next == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a trust statement");
    }
    *next = *held;
    next->number++;
    next->issued_at_ms = now_ms;
    next->envelope = (struct flo_envelope){.body = NULL};
    memset(&next->digest, 0, sizeof(next->digest));
    memset(next->ca, 0, sizeof(next->ca));
    next->ca_count = 0;
    for (size_t i = 0; rv == 0 && i < held->ca_count; i++) {
        rv = flo_trust_add_ca(next, held->ca[i], err);
    }
    if (rv < 0) {
        flo_trust_free(next);
        return rv;
    }
    *out = next;
    return 0;
}

static json_t *key_json(const struct trusted_key *key)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(&key->key, pem);
    if (key->roles == FLO_ROLE_ROOT) {
        return json_string(pem);
    }
    json_t *json = json_pack("{s:s, s:s}", "pem", pem, "role", flo_role_word(key->roles));
    flo_json_put_text(json, "name", key->name);
    return json;
}

static json_t *keys_json(const struct flo_trust *trust, bool are_roots)
{
    json_t *list = json_array();

    for (size_t i = 0; i < trust->count; i++) {
        if ((trust->keys[i].roles == FLO_ROLE_ROOT) == are_roots) {
            json_array_append_new(list, key_json(&trust->keys[i]));
        }
    }
    return list;
}

static json_t *body_json(const struct flo_trust *trust)
{
    json_t *floors = json_array();
    json_t *ca = json_array();
    FLO_CLEANUP(flo_json_cleanup) json_t *publishers = json_array();

    for (size_t i = 0; i < trust->floor_count; i++) {
        json_array_append_new(floors, json_pack("{s:s, s:I}", "model", trust->floors[i].model,
                                                "number", (json_int_t)trust->floors[i].number));
    }
    for (size_t i = 0; i < trust->ca_count; i++) {
        json_array_append_new(ca, json_string(trust->ca[i]));
    }
    for (size_t i = 0; i < trust->publisher_count; i++) {
        json_array_append_new(publishers,
                              json_pack("{s:s, s:I}", "model", trust->publishers[i].model, "needed",
                                        (json_int_t)trust->publishers[i].needed));
    }
    json_t *keys, *releases;
    flo_trust_revoked(trust, &keys, &releases);
    json_t *body =
        json_pack("{s:i, s:s, s:I, s:I, s:I, s:{s:I, s:o}, s:o, s:{s:o, s:o}, s:o, s:o}", "v", 1,
                  "fleet", trust->fleet, "number", (json_int_t)trust->number, "epoch",
                  (json_int_t)trust->epoch, "issued_at_ms", (json_int_t)trust->issued_at_ms, "root",
                  "threshold", (json_int_t)trust->threshold, "keys", keys_json(trust, true), "keys",
                  keys_json(trust, false), "revoked", "keys", keys, "releases", releases, "floors",
                  floors, "ca", ca);
    if (trust->publisher_count > 0) { /* agents that do not know the field refuse it */
        json_object_set(body, FLO_TRUST_PUBLISHERS, publishers);
    }
    return body;
}

static int check_roles(const struct flo_trust *trust, struct flo_err *err)
{
    for (size_t i = 0; i < trust->count; i++) {
        unsigned bits = trust->keys[i].roles;
        if (bits == 0 || (bits & (bits - 1)) != 0) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "key %.16s has %s role; in a statement it has one",
                            trust->keys[i].key.keyid, bits == 0 ? "no" : "more than one");
        }
    }
    return 0;
}

int flo_trust_draft(struct flo_trust *draft, const struct flo_trust *held, struct flo_buf *out,
                    struct flo_err *err)
{
    struct flo_envelope envelope = {.type = FLO_TYPE_TRUST};
    struct flo_buf body = {.bytes_max = FLO_TRUST_BODY_BYTES_MAX};
    struct flo_trust *read = NULL;
    json_t *json = NULL;

    FLO_TRY(check_roles(draft, err));
    if (draft->epoch == held->epoch) {
        draft->epoch = flo_trust_epoch_after(held, draft);
    }
    json = body_json(draft);
    if (json != NULL) {
        flo_json_dump_canonical(json, &body);
    }
    json_decref(json);
    if (json == NULL || body.failed) {
        flo_buf_deinit(&body);
        return flo_fail(err, FLO_E_META_TOO_LARGE, "the trust statement has more than %d bytes",
                        FLO_TRUST_BODY_BYTES_MAX);
    }
    envelope.body = (char *)body.data;
    envelope.body_bytes = body.bytes;
    flo_envelope_write(&envelope, out);
    flo_buf_deinit(&body);
    int rv = out->failed ? flo_fail(err, FLO_E_MEMORY, "no memory for a draft")
                         : flo_trust_draft_parse((const char *)out->data, out->bytes, &read, err);
    flo_trust_free(read);
    return rv;
}

/* ---- signatures ---- */

int flo_trust_sign(struct flo_trust *draft, const struct flo_key *key, struct flo_err *err)
{
    return flo_envelope_sign(&draft->envelope, key, err);
}
