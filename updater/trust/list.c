/* Trust list: trust.json, which is the unsigned list of trusted keys or the
 * signed statement that replaced it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/meta.h>

#include "updater/trust/trust.h"

#define LIST_BYTES_MAX (256 << 10)

/* Reads the roles of a key.  Unknown roles are skipped, because a later version
 * may have more. */
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
        *out |= flo_trust_role(word) & ~(unsigned)FLO_ROLE_ROOT;
    }
    return rv;
}

/* Checks an optional keyid, which must be the id of the key. */
static int check_keyid(const json_t *entry, const char *pem, struct flo_err *err)
{
    struct flo_public_key key;
    const char *keyid = NULL;

    FLO_TRY(flo_json_opt_text(entry, "keyid", FLO_KEYID_TEXT - 1, NULL, &keyid, err));
    if (keyid == NULL) {
        return 0;
    }
    FLO_TRY(flo_public_key_parse(pem, strlen(pem), &key, err));
    if (strcmp(key.keyid, keyid) != 0) {
        return flo_fail(err, FLO_E_META_KEYID, "key %.16s is called %.16s", key.keyid, keyid);
    }
    return 0;
}

static int read_key(struct flo_trust *trust, const json_t *entry, struct flo_err *err)
{
    const char *pem = NULL;
    unsigned role_bits = 0;

    FLO_TRY(flo_json_get_text(entry, "pem", FLO_PEM_BYTES_MAX, &pem, err));
    FLO_TRY(read_roles(entry, &role_bits, err));
    FLO_TRY(check_keyid(entry, pem, err));
    return flo_trust_add(trust, pem, role_bits, NULL, err);
}

static int read_trust(struct flo_trust *trust, const json_t *root, struct flo_err *err)
{
    const char *fleet = NULL;
    json_t *keys = NULL;
    uint64_t version;
    uint64_t epoch = 1;
    uint64_t threshold;

    FLO_TRY(flo_json_check_critical(root, NULL, err));
    FLO_TRY(flo_json_get_u64(root, "v", 1, 1, &version, err));
    FLO_TRY(flo_json_get_name(root, "fleet", &fleet, err));
    FLO_TRY(flo_json_opt_u64(root, "epoch", 1, UINT32_MAX, 1, &epoch, err));
    /* a list that asks for more than one signature is refused */
    FLO_TRY(flo_json_opt_u64(root, "threshold", 1, 1, 1, &threshold, err));
    trust->epoch = (uint32_t)epoch;
    (void)snprintf(trust->fleet, sizeof trust->fleet, "%s", fleet);
    FLO_TRY(flo_json_get_array(root, "keys", FLO_TRUST_KEYS_MAX, &keys, err));
    for (size_t i = 0; i < json_array_size(keys); i++) {
        int rv = read_key(trust, json_array_get(keys, i), err);
        if (rv < 0) {
            return flo_wrap(err, rv, "keys[%zu]", i);
        }
    }
    return 0;
}

static int parse_list(const json_t *root, struct flo_trust **out, struct flo_err *err)
{
    struct flo_trust *trust = flo_trust_new("");
    int rv;

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

int flo_trust_parse(const char *json, size_t bytes, struct flo_trust **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;

    FLO_TRY(flo_json_parse(json, bytes, LIST_BYTES_MAX, &root, err));
    return json_object_get(root, "payload") != NULL
               ? flo_trust_statement_parse(json, bytes, out, err)
               : parse_list(root, out, err);
}

static int load(const char *path, struct flo_trust **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *json = NULL;
    size_t bytes = 0;

    FLO_TRY(flo_file_read(path, LIST_BYTES_MAX, &json, &bytes, err));
    int rv = flo_trust_parse(json, bytes, out, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

static void before_of(const char *path, char out[4300])
{
    snprintf(out, 4300, "%.4200s.before", path);
}

int flo_trust_load(const char *path, struct flo_trust **out, struct flo_err *err)
{
    char before[4300];
    int rv = load(path, out, err);

    before_of(path, before);
    return rv < 0 && load(before, out, NULL) == 0 ? 0 : rv;
}

int flo_trust_store(const char *path, const struct flo_trust *trust, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char before[4300];

    flo_trust_text(trust, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the trusted keys");
    }
    /* The old file gets a second name before it is replaced.  If that fails, a
     * damaged new file has no older one to fall back to. */
    before_of(path, before);
    if (unlink(before) < 0 && errno != ENOENT) {
        flo_log(FLO_LOG_WARN, "trust", "%s stays", before);
    } else if (link(path, before) < 0 && errno != ENOENT) {
        flo_log(FLO_LOG_WARN, "trust", "%s is not kept as %s", path, before);
    }
    return flo_file_write(path, text.data, text.bytes, 0644, err);
}

static void write_list(const struct flo_trust *trust, struct flo_buf *out)
{
    flo_buf_printf(out, "{\"v\":1,\"fleet\":\"%s\",\"epoch\":%u,\"keys\":[", trust->fleet,
                   trust->epoch);
    for (size_t i = 0; i < trust->count; i++) {
        char pem[FLO_PUBLIC_KEY_PEM_MAX];
        const char *comma = "";
        flo_public_key_pem(&trust->keys[i].key, pem);
        flo_buf_printf(out, "%s{\"pem\":\"", i > 0 ? "," : "");
        flo_buf_json_text(out, pem, strlen(pem));
        flo_buf_text(out, "\",\"roles\":[");
        for (unsigned bit = FLO_ROLE_RELEASE; bit < FLO_ROLE_ROOT; bit <<= 1) {
            if ((trust->keys[i].roles & bit) != 0) {
                flo_buf_printf(out, "%s\"%s\"", comma, flo_role_word(bit));
                comma = ",";
            }
        }
        flo_buf_text(out, "]}");
    }
    flo_buf_text(out, "]}");
}

void flo_trust_text(const struct flo_trust *trust, struct flo_buf *out)
{
    if (trust->envelope.body != NULL) {
        flo_envelope_write(&trust->envelope, out);
    } else {
        write_list(trust, out);
    }
}
