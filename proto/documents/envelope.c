/* DSSE envelopes: parses and writes them, without cryptography.
 *
 * Format: docs/internals/contracts/documents.md section 2.  The signed bytes
 * are the pre-authentication encoding of DSSE v1.  An envelope has one
 * canonical text: the parser writes what it read and compares.  This one rule
 * refuses blanks, escapes, unknown keys and another order. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/sig.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

static bool is_hex64(const char *text)
{
    uint8_t bytes[32];
    return flo_hex_decode(text, bytes, sizeof(bytes));
}

static int read_signature(const json_t *entry, size_t index, struct flo_envelope *out,
                          struct flo_err *err)
{
    const char *keyid;
    const char *text;
    uint8_t raw[96];

    FLO_TRY(flo_json_get_text(entry, "keyid", 64, &keyid, err));
    if (!is_hex64(keyid)) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "keyid is not 64 lower-case hex digits");
    }
    if (json_string_length(json_object_get(entry, "sig")) > 4 * 24) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "signature has %zu characters, 88 expected",
                        json_string_length(json_object_get(entry, "sig")));
    }
    FLO_TRY(flo_json_get_text(entry, "sig", 4 * 24, &text, err));
    ptrdiff_t bytes = flo_base64_decode(text, strlen(text), raw);
    if (bytes != (ptrdiff_t)sizeof(out->signatures[0].signature)) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "signature is not 64 bytes in base64");
    }
    memcpy(out->signatures[index].keyid, keyid, 65);
    memcpy(out->signatures[index].signature, raw, 64);
    return 0;
}

static int read_signatures(const json_t *root, bool is_draft, struct flo_envelope *out,
                           struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_get_array(root, "signatures", FLO_SIGNATURES_MAX, &list, err);

    FLO_TRY(rv);
    if (json_array_size(list) == 0 && !is_draft) {
        return flo_fail(err, FLO_E_SIG_MISSING, "document has no signature");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        rv = read_signature(json_array_get(list, i), i, out, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "signatures[%zu]", i);
        }
    }
    out->signature_count = json_array_size(list);
    return 0;
}

static int read_payload(const json_t *root, struct flo_envelope *out, struct flo_err *err)
{
    const char *text;

    FLO_TRY(flo_json_get_text(root, "payload", FLO_ENVELOPE_BYTES_MAX, &text, err));
    size_t chars = strlen(text);
    out->body = malloc(3 * (chars / 4) + 1);
    if (out->body == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu bytes", chars);
    }
    ptrdiff_t bytes = flo_base64_decode(text, chars, out->body);
    if (bytes < 0) {
        return flo_fail(err, FLO_E_META_SCHEMA, "payload is not base64");
    }
    out->body[bytes] = '\0';
    out->body_bytes = (size_t)bytes;
    return 0;
}

static int check_order(const struct flo_envelope *envelope, struct flo_err *err)
{
    for (size_t i = 1; i < envelope->signature_count; i++) {
        int order = strcmp(envelope->signatures[i - 1].keyid, envelope->signatures[i].keyid);
        if (order >= 0) {
            return flo_fail(err, FLO_E_SIG_FORMAT, "signatures[%zu]: key %.16s %s", i,
                            envelope->signatures[i].keyid,
                            order == 0 ? "stands twice" : "is not behind a smaller keyid");
        }
    }
    return 0;
}

static int check_canonical(const struct flo_envelope *envelope, const char *text, size_t bytes,
                           struct flo_err *err)
{
    struct flo_buf again = {.bytes_max = FLO_ENVELOPE_BYTES_MAX + 1};
    size_t at = 0;
    int rv = check_order(envelope, err);

    FLO_TRY(rv);
    flo_envelope_write(envelope, &again);
    if (again.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory to compare an envelope");
    } else if (again.bytes != bytes || memcmp(again.data, text, bytes) != 0) {
        while (at < bytes && at < again.bytes && text[at] == again.data[at]) {
            at++;
        }
        rv = flo_fail(err, FLO_E_SIG_FORMAT,
                      "the envelope is not canonical from byte %zu on (keys "
                      "sorted, no blanks, no other keys)",
                      at);
        flo_err_fix(err, "publish the file as it was signed");
    }
    flo_buf_deinit(&again);
    return rv;
}

/* Tells whether an envelope has the wanted type; releases of version 1 are read
 * as those of version 2. */
static bool is_type(const char *found, const char *wanted)
{
    return strcmp(found, wanted) == 0 ||
           (strcmp(wanted, FLO_TYPE_RELEASE) == 0 && strcmp(found, FLO_TYPE_RELEASE_1) == 0);
}

static int parse(const char *text, size_t bytes, const char *type, bool is_draft,
                 struct flo_envelope *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    struct flo_envelope parsed = {0};
    const char *found;

    FLO_TRY(flo_json_parse(text, bytes, FLO_ENVELOPE_BYTES_MAX, &root, err));
    FLO_TRY(flo_json_get_text(root, "payloadType", sizeof(parsed.type) - 1, &found, err));
    if (!is_type(found, type)) {
        return flo_fail(err, FLO_E_META_WRONG_TYPE, "document is a `%s`, a `%s` was expected",
                        found, type);
    }
    strcpy(parsed.type, found);
    int rv = read_signatures(root, is_draft, &parsed, err);
    if (rv == 0) {
        rv = read_payload(root, &parsed, err);
    }
    if (rv == 0) {
        rv = check_canonical(&parsed, text, bytes, err);
    }
    if (rv < 0) {
        flo_envelope_deinit(&parsed);
        return rv;
    }
    *out = parsed;
    return 0;
}

int flo_envelope_parse(const char *text, size_t bytes, const char *type, struct flo_envelope *out,
                       struct flo_err *err)
{
    return parse(text, bytes, type, false, out, err);
}

int flo_envelope_parse_draft(const char *text, size_t bytes, const char *type,
                             struct flo_envelope *out, struct flo_err *err)
{
    return parse(text, bytes, type, true, out, err);
}

void flo_envelope_deinit(struct flo_envelope *envelope)
{
    free(envelope->body);
    envelope->body = NULL;
    envelope->body_bytes = 0;
}

void flo_envelope_signed_bytes(const char *type, const void *body, size_t body_bytes,
                               struct flo_buf *out)
{
    flo_buf_printf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, body_bytes);
    flo_buf_add(out, body, body_bytes);
}

static void add_base64(struct flo_buf *out, const void *data, size_t bytes)
{
    char *text = malloc(4 * ((bytes + 2) / 3) + 1);

    if (text == NULL) {
        out->failed = true;
        return;
    }
    flo_base64_encode(data, bytes, text);
    flo_buf_text(out, text);
    free(text);
}

void flo_envelope_write(const struct flo_envelope *envelope, struct flo_buf *out)
{
    flo_buf_text(out, "{\"payload\":\"");
    add_base64(out, envelope->body, envelope->body_bytes);
    flo_buf_printf(out, "\",\"payloadType\":\"%s\",\"signatures\":[", envelope->type);
    for (size_t i = 0; i < envelope->signature_count; i++) {
        flo_buf_printf(out, "%s{\"keyid\":\"%s\",\"sig\":\"", i > 0 ? "," : "",
                       envelope->signatures[i].keyid);
        add_base64(out, envelope->signatures[i].signature, 64);
        flo_buf_text(out, "\"}");
    }
    flo_buf_text(out, "]}");
}
