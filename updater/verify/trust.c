/* Trusted keys: a small list of public keys with the roles that they may sign.
 */
#include "updater/verify/trust.h"

#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"
#include "base/host/json.h"

#define TRUST_BYTES_MAX (256 << 10)

static const struct {
    const char *word;
    unsigned role;
} roles[] = {{"release", FLO_ROLE_RELEASE},
             {"order", FLO_ROLE_ORDER},
             {"emergency", FLO_ROLE_EMERGENCY}};

struct flo_trust *flo_trust_new(const char *fleet)
{
    struct flo_trust *trust = calloc(1, sizeof *trust);

    if (trust != NULL) {
        (void)snprintf(trust->fleet, sizeof trust->fleet, "%s", fleet);
        trust->epoch = 1;
    }
    return trust;
}

void flo_trust_free(struct flo_trust *trust)
{
    free(trust);
}

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

const struct trusted_key *flo_trust_find(const struct flo_trust *trust,
                                         const char *keyid)
{
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(trust->keys[i].key.keyid, keyid) == 0) {
            return &trust->keys[i];
        }
    }
    return NULL;
}

int flo_trust_add(struct flo_trust *trust, const char *pem, unsigned role_bits,
                  struct flo_err *err)
{
    struct flo_public_key key;
    int rv = flo_public_key_parse(pem, strlen(pem), &key, err);

    if (rv < 0) {
        return rv;
    }
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(trust->keys[i].key.keyid, key.keyid) == 0) {
            trust->keys[i].roles |= role_bits;
            return 0;
        }
    }
    if (trust->count == FLO_TRUST_KEYS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "more than %d trusted keys",
                        FLO_TRUST_KEYS_MAX);
    }
    trust->keys[trust->count].key = key;
    trust->keys[trust->count].roles = role_bits;
    trust->count++;
    return 0;
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
        if ((trust->keys[i].roles & (FLO_ROLE_ORDER | FLO_ROLE_EMERGENCY)) !=
            0) {
            strcpy(keyids[count++], trust->keys[i].key.keyid);
        }
    }
    qsort(keyids, count, sizeof(keyids[0]), by_text);
    flo_sha256(keyids, count * sizeof(keyids[0]), out);
}

/* ---- trust.json ---- */

/* Unknown roles are skipped: a later version may know more. */
static int read_roles(const json_t *entry, unsigned *out, struct flo_err *err)
{
    json_t *list = NULL;
    int rv = flo_json_get_array(entry, "roles", 16, &list, err);

    *out = 0;
    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word == NULL) {
            return flo_fail(err, FLO_E_META_SCHEMA, "roles[%zu] is no text", i);
        }
        for (size_t j = 0; j < FLO_COUNT(roles); j++) {
            if (strcmp(word, roles[j].word) == 0) {
                *out |= roles[j].role;
            }
        }
    }
    return rv;
}

/* A key may be named as well; then by its own id. */
static int check_keyid(const json_t *entry, const char *pem,
                       struct flo_err *err)
{
    struct flo_public_key key;
    const char *keyid = NULL;
    int rv = flo_json_opt_text(entry, "keyid", FLO_KEYID_TEXT - 1, NULL, &keyid,
                               err);

    if (rv < 0 || keyid == NULL) {
        return rv;
    }
    rv = flo_public_key_parse(pem, strlen(pem), &key, err);
    if (rv == 0 && strcmp(key.keyid, keyid) != 0) {
        rv = flo_fail(err, FLO_E_META_KEYID, "key %.16s is called %.16s",
                      key.keyid, keyid);
    }
    return rv;
}

static int read_key(struct flo_trust *trust, const json_t *entry,
                    struct flo_err *err)
{
    const char *pem = NULL;
    unsigned role_bits = 0;
    int rv = flo_json_get_text(entry, "pem", FLO_PEM_BYTES_MAX, &pem, err);

    if (rv == 0) {
        rv = read_roles(entry, &role_bits, err);
    }
    if (rv == 0) {
        rv = check_keyid(entry, pem, err);
    }
    return rv < 0 ? rv : flo_trust_add(trust, pem, role_bits, err);
}

static int read_trust(struct flo_trust *trust, const json_t *root,
                      struct flo_err *err)
{
    const char *fleet = NULL;
    json_t *keys = NULL;
    uint64_t version;
    uint64_t epoch = 1;
    uint64_t threshold;
    int rv = flo_json_check_critical(root, err);

    if (rv == 0) {
        rv = flo_json_get_u64(root, "v", 1, 1, &version, err);
    }

    if (rv == 0) {
        rv = flo_json_get_name(root, "fleet", &fleet, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_u64(root, "epoch", 1, UINT32_MAX, 1, &epoch, err);
    }
    if (rv == 0) { /* a document that asks for more must not get one */
        rv = flo_json_opt_u64(root, "threshold", 1, 1, 1, &threshold, err);
    }
    if (rv == 0) {
        trust->epoch = (uint32_t)epoch;
        (void)snprintf(trust->fleet, sizeof trust->fleet, "%s", fleet);
        rv = flo_json_get_array(root, "keys", FLO_TRUST_KEYS_MAX, &keys, err);
    }
    for (size_t i = 0; rv == 0 && i < json_array_size(keys); i++) {
        rv = read_key(trust, json_array_get(keys, i), err);
        if (rv < 0) {
            rv = flo_wrap(err, rv, "keys[%zu]", i);
        }
    }
    return rv;
}

int flo_trust_parse(const char *json, size_t bytes, struct flo_trust **out,
                    struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    int rv = flo_json_parse(json, bytes, TRUST_BYTES_MAX, &root, err);

    if (rv < 0) {
        return rv;
    }
    struct flo_trust *trust = flo_trust_new("");
    if (trust == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the trusted keys");
    }
    rv = read_trust(trust, root, err);
    if (rv < 0) {
        flo_trust_free(trust);
        return rv;
    }
    *out = trust;
    return 0;
}

int flo_trust_load(const char *path, struct flo_trust **out,
                   struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *json = NULL;
    size_t bytes = 0;
    int rv = flo_file_read(path, TRUST_BYTES_MAX, &json, &bytes, err);

    if (rv < 0) {
        return rv;
    }
    rv = flo_trust_parse(json, bytes, out, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

void flo_trust_json(const struct flo_trust *trust, struct flo_buf *out)
{
    flo_buf_printf(out, "{\"v\":1,\"fleet\":\"%s\",\"epoch\":%u,\"keys\":[",
                   trust->fleet, trust->epoch);
    for (size_t i = 0; i < trust->count; i++) {
        char pem[FLO_PUBLIC_KEY_PEM_MAX];
        const char *comma = "";
        flo_public_key_pem(&trust->keys[i].key, pem);
        flo_buf_printf(out, "%s{\"pem\":\"", i > 0 ? "," : "");
        flo_buf_json_text(out, pem, strlen(pem));
        flo_buf_text(out, "\",\"roles\":[");
        for (size_t j = 0; j < FLO_COUNT(roles); j++) {
            if ((trust->keys[i].roles & roles[j].role) != 0) {
                flo_buf_printf(out, "%s\"%s\"", comma, roles[j].word);
                comma = ",";
            }
        }
        flo_buf_text(out, "]}");
    }
    flo_buf_text(out, "]}");
}
