/* Keyring: seals and opens its document, which is a text:
 *
 *   {"v":1,"fleet":F,"number":N,"ephemeral":PEM,"for":{KEYID:KEY},
 *    "sealed":BYTES,"signature":BYTES}
 *
 * BYTES are base64.  "sealed" holds {"files":{},"controllers":{}} under a key
 * of this document alone.  KEY is that key, sealed under the agreement of the
 * ephemeral key and the controller's.  The signature is an authority's, over
 * all the rest. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/keys.h>
#include <flotilla/errors/sig.h>

#include "base/host/digest.h"
#include "server-stub/state/keyring/keyring.h"
#include "server-stub/state/pki/pki.h"

#define PURPOSE "flotilla keyring 1"
#define CONTEXT "flotilla keyring 1\n"
#define KEY_BYTES (FLO_DIGEST_BYTES + FLO_SEALED_MORE)

void flo_keyring_deinit(struct flo_keyring *keyring)
{
    flo_json_secret_cleanup(&keyring->files);
    flo_json_cleanup(&keyring->controllers);
}

void flo_keyring_cleanup(struct flo_keyring *keyring)
{
    flo_keyring_deinit(keyring);
}

static bool ends_with(const char *name, const char *end)
{
    size_t chars = strlen(name), last = strlen(end);

    return chars > last && strcmp(name + chars - last, end) == 0;
}

bool flo_keyring_has_name(const char *name)
{
    static const char *const names[] = {"pki/ca.pem",
                                        "pki/ca.key",
                                        "keys/order.key",
                                        "keys/order-next.key",
                                        "keys/order-before.key",
                                        "keys/audit.key",
                                        "keys/rows.sealed",
                                        FLO_KEYRING_DISMISSED};
    const char *file = strchr(name, '/');

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return file != NULL && strchr(file + 1, '/') == NULL && strlen(name) < 128 &&
           ((strncmp(name, "pki/ca-", 7) == 0 && ends_with(name, ".key")) ||
            (strncmp(name, "trust/release-", 14) == 0 && ends_with(name, ".pem")));
}

int flo_keyring_digest(const json_t *files, char out[FLO_KEYRING_DIGEST], struct flo_err *err)
{
    FLO_CLEANUP(flo_secret_buf_deinit) struct flo_buf text = {0};
    struct flo_digest digest;

    flo_json_secret_dump(files, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "keyring");
    }
    flo_sha256(text.data, text.bytes, &digest);
    flo_hex_encode(digest.bytes, FLO_DIGEST_BYTES, out);
    return 0;
}

/* ---- bytes ---- */

static int set_bytes(json_t *object, const char *name, const void *data, size_t bytes,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *text = malloc(4 * ((bytes + 2) / 3) + 1);

    if (text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "keyring");
    }
    flo_base64_encode(data, bytes, text);
    return json_object_set_new(object, name, json_string(text)) == 0
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "keyring");
}

/* Decodes the base64 member `name`; the caller frees *out. */
static int get_bytes(const json_t *object, const char *name, uint8_t **out, size_t *bytes,
                     struct flo_err *err)
{
    const char *text;

    FLO_TRY(flo_json_get_text(object, name, FLO_KEYRING_BYTES_MAX, &text, err));
    uint8_t *data = malloc(3 * (strlen(text) / 4) + 1);
    ptrdiff_t count = data != NULL ? flo_base64_decode(text, strlen(text), data) : 0;
    if (data == NULL || count < 0) {
        free(data);
        return data == NULL ? flo_fail(err, FLO_E_MEMORY, "keyring")
                            : flo_fail(err, FLO_E_META_SCHEMA, "field `%.64s` is no base64", name);
    }
    *out = data;
    *bytes = (size_t)count;
    return 0;
}

/* Builds the text that is signed: the name CONTEXT, and then the document
 * without its signature. */
static int signed_text(json_t *document, struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rest = json_copy(document);

    json_object_del(rest, "signature");
    flo_buf_text(out, CONTEXT);
    flo_json_dump_canonical(rest, out);
    return rest == NULL || out->failed ? flo_fail(err, FLO_E_MEMORY, "keyring") : 0;
}

/* ---- sealing ---- */

static int seal_for(json_t *list, const char *keyid, const json_t *one,
                    const struct flo_key *ephemeral, const uint8_t *key, struct flo_err *err)
{
    uint8_t secret[FLO_DIGEST_BYTES], sealed[KEY_BYTES];
    struct flo_public_key reader;
    const char *pem;

    FLO_TRY(flo_json_get_text(one, "key", FLO_PUBLIC_KEY_PEM_MAX, &pem, err));
    FLO_TRY(flo_public_key_parse(pem, strlen(pem), &reader, err));
    FLO_TRY(flo_key_agree(ephemeral, &reader, PURPOSE, secret, err));
    int rv = flo_sealed_make(secret, keyid, key, FLO_DIGEST_BYTES, sealed, err);
    flo_secret_wipe(secret, sizeof(secret));
    FLO_TRY(rv);
    return set_bytes(list, keyid, sealed, sizeof(sealed), err);
}

static int seal_key(const struct flo_keyring *keyring, json_t *document, const uint8_t *key,
                    struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *ephemeral = NULL;
    json_t *list = json_object(), *one;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    const char *keyid;
    int rv = flo_key_generate(&ephemeral, err);

    json_object_set_new(document, "for", list);
    FLO_TRY(rv);
    flo_public_key_pem(flo_key_public(ephemeral), pem);
    json_object_set_new(document, "ephemeral", json_string(pem));
    json_object_foreach(keyring->controllers, keyid, one)
    {
        if (rv == 0) {
            rv = seal_for(list, keyid, one, ephemeral, key, err);
        }
    }
    return rv;
}

static int seal_files(const struct flo_keyring *keyring, json_t *document, const uint8_t *key,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_secret_buf_deinit) struct flo_buf text = {0};
    FLO_CLEANUP(flo_free_cleanup) uint8_t *sealed = NULL;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *inside =
        json_pack("{s:O,s:O}", "files", keyring->files, "controllers", keyring->controllers);

    flo_json_secret_dump(inside, &text);
    sealed = text.failed ? NULL : malloc(text.bytes + FLO_SEALED_MORE);
    if (inside == NULL || sealed == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "keyring");
    }
    FLO_TRY(flo_sealed_make(key, keyring->fleet, text.data, text.bytes, sealed, err));
    return set_bytes(document, "sealed", sealed, text.bytes + FLO_SEALED_MORE, err);
}

int flo_keyring_seal(const struct flo_keyring *keyring, const struct flo_key *authority,
                     struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    FLO_CLEANUP(flo_json_cleanup)
    json_t *document = json_pack("{s:i,s:s,s:I}", "v", 1, "fleet", keyring->fleet, "number",
                                 (json_int_t)keyring->number);
    uint8_t key[FLO_DIGEST_BYTES], signature[FLO_SIGNATURE_BYTES];

    flo_random(key, sizeof(key));
    int rv = document == NULL ? flo_fail(err, FLO_E_MEMORY, "keyring")
                              : seal_key(keyring, document, key, err);
    if (rv == 0) {
        rv = seal_files(keyring, document, key, err);
    }
    flo_secret_wipe(key, sizeof(key));
    if (rv == 0) {
        rv = signed_text(document, &text, err);
    }
    if (rv == 0) {
        rv = flo_sign(authority, text.data, text.bytes, signature, err);
    }
    if (rv == 0) {
        rv = set_bytes(document, "signature", signature, sizeof(signature), err);
    }
    if (rv == 0) {
        flo_json_dump_canonical(document, out);
        rv = out->failed ? flo_fail(err, FLO_E_MEMORY, "keyring") : 0;
    }
    return rv;
}

/* ---- opening ---- */

static int open_key(const json_t *document, const struct flo_key *own,
                    uint8_t key[FLO_DIGEST_BYTES], struct flo_err *err)
{
    const char *keyid = flo_key_public(own)->keyid;
    FLO_CLEANUP(flo_free_cleanup) uint8_t *sealed = NULL;
    uint8_t secret[FLO_DIGEST_BYTES];
    struct flo_public_key ephemeral;
    const char *pem;
    json_t *list;
    size_t bytes;

    FLO_TRY(flo_json_get_object(document, "for", &list, err));
    if (json_object_get(list, keyid) == NULL) {
        flo_fail(err, FLO_E_KEYS_ABSENT,
                 "the fleet's keys are not sealed for this controller's key "
                 "%.64s",
                 keyid);
        return flo_err_fix(err, "flotilla controller admit %.64s", keyid);
    }
    FLO_TRY(flo_json_get_text(document, "ephemeral", FLO_PUBLIC_KEY_PEM_MAX, &pem, err));
    FLO_TRY(flo_public_key_parse(pem, strlen(pem), &ephemeral, err));
    int rv = get_bytes(list, keyid, &sealed, &bytes, err);
    if (rv == 0 && bytes != KEY_BYTES) {
        rv = flo_fail(err, FLO_E_META_SCHEMA,
                      "a sealed key has %zu bytes, %d "
                      "are expected",
                      bytes, KEY_BYTES);
    }
    if (rv == 0) {
        rv = flo_key_agree(own, &ephemeral, PURPOSE, secret, err);
    }
    if (rv == 0) {
        rv = flo_sealed_open(secret, keyid, sealed, bytes, key, err);
        flo_secret_wipe(secret, sizeof(secret));
    }
    return rv;
}

static int check_files(json_t *files, struct flo_err *err)
{
    const char *name;
    json_t *text;

    if (json_object_size(files) > FLO_KEYRING_FILES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "%zu files, at most %d", json_object_size(files),
                        FLO_KEYRING_FILES_MAX);
    }
    json_object_foreach(files, name, text)
    {
        if (!flo_keyring_has_name(name) || !json_is_string(text)) {
            return flo_fail(err, FLO_E_META_SCHEMA, "`%.64s` is no file of a keyring", name);
        }
    }
    return 0;
}

static int read_inside(const char *text, size_t bytes, struct flo_keyring *keyring,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_json_secret_cleanup) json_t *inside = NULL;
    json_t *files, *controllers;

    FLO_TRY(flo_json_secret_parse(text, bytes, FLO_KEYRING_BYTES_MAX, &inside, err));
    FLO_TRY(flo_json_get_object(inside, "files", &files, err));
    FLO_TRY(flo_json_get_object(inside, "controllers", &controllers, err));
    FLO_TRY(check_files(files, err));
    keyring->files = json_incref(files);
    keyring->controllers = json_incref(controllers);
    return 0;
}

static int open_files(const json_t *document, const uint8_t *key, struct flo_keyring *keyring,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *sealed = NULL;
    FLO_CLEANUP(flo_free_cleanup) uint8_t *text = NULL;
    size_t bytes = 0;
    int rv = get_bytes(document, "sealed", &sealed, &bytes, err);

    if (rv == 0 && (text = malloc(bytes + 1)) == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "keyring");
    }
    if (rv == 0) {
        rv = flo_sealed_open(key, keyring->fleet, sealed, bytes, text, err);
    }
    if (rv == 0) {
        size_t inside = bytes - FLO_SEALED_MORE;
        rv = read_inside((const char *)text, inside, keyring, err);
        flo_secret_wipe(text, inside);
    }
    return rv;
}

/* Checks that one of these certificates signed the document.  With a
 * fingerprint, only the certificate with it may have signed. */
static int is_by(const struct flo_pem_part *parts, size_t count, const char *fingerprint,
                 const struct flo_buf *text, const uint8_t *signature, size_t bytes,
                 struct flo_err *err)
{
    struct flo_certificate facts;
    char hex[65];
    int rv = flo_fail(err, FLO_E_SIG_UNKNOWN_KEY,
                      "the keyring is signed by no authority that this "
                      "controller knows");

    for (size_t i = 0; i < count; i++) {
        if (flo_certificate_read(parts[i].pem, parts[i].bytes, &facts, NULL) < 0) {
            continue;
        }
        flo_hex_encode(facts.fingerprint.bytes, FLO_DIGEST_BYTES, hex);
        if ((fingerprint == NULL || strcmp(hex, fingerprint) == 0) &&
            flo_verify(&facts.key, text->data, text->bytes, signature, bytes, NULL) == 0) {
            return 0;
        }
    }
    return rv;
}

static int check_signature(json_t *document, const struct flo_keyring *keyring,
                           const char *authorities, const char *joins, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *signature = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_pem_part parts[FLO_AUTHORITIES_MAX];
    const char *pem = authorities;
    size_t bytes = 0, count = 0;

    if (pem == NULL) {
        pem = json_string_value(json_object_get(keyring->files, "pki/ca.pem"));
    }
    FLO_TRY(pem == NULL ? flo_fail(err, FLO_E_META_SCHEMA, "the keyring has no pki/ca.pem")
                        : get_bytes(document, "signature", &signature, &bytes, err));
    FLO_TRY(signed_text(document, &text, err));
    FLO_TRY(flo_certificates_split(pem, strlen(pem), parts, FLO_COUNT(parts), &count, err));
    return is_by(parts, count, authorities == NULL ? joins : NULL, &text, signature, bytes, err);
}

static int read_head(const json_t *document, struct flo_keyring *keyring, struct flo_err *err)
{
    const char *fleet;
    uint64_t v;

    FLO_TRY(flo_json_get_u64(document, "v", 1, 1, &v, err));
    FLO_TRY(flo_json_get_name(document, "fleet", &fleet, err));
    FLO_TRY(flo_json_get_u64(document, "number", 1, INT64_MAX, &keyring->number, err));
    snprintf(keyring->fleet, sizeof(keyring->fleet), "%s", fleet);
    return 0;
}

int flo_keyring_open(const char *text, size_t bytes, const struct flo_key *own,
                     const char *authorities, const char *joins, struct flo_keyring *out,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *document = NULL;
    struct flo_keyring keyring = {.number = 0};
    uint8_t key[FLO_DIGEST_BYTES];
    int rv = flo_json_parse(text, bytes, FLO_KEYRING_BYTES_MAX, &document, err);

    if (rv == 0) {
        rv = read_head(document, &keyring, err);
    }
    if (rv == 0) {
        rv = open_key(document, own, key, err);
    }
    if (rv == 0) {
        rv = open_files(document, key, &keyring, err);
        flo_secret_wipe(key, sizeof(key));
    }
    if (rv == 0) {
        rv = check_signature(document, &keyring, authorities, joins, err);
    }
    if (rv < 0) {
        flo_keyring_deinit(&keyring);
        return rv;
    }
    *out = keyring;
    return 0;
}
