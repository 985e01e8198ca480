/* Document signing: signs publishers' releases and the controller's orders. */
#include <flotilla/release.h>

#include <flotilla/newest.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/sig.h>

#include "base/host/crypto.h"

int flo_envelope_sign(struct flo_envelope *envelope, const struct flo_key *key, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf message = {.bytes_max = FLO_ENVELOPE_BYTES_MAX + 256};
    const char *keyid = flo_key_public(key)->keyid;
    uint8_t signature[FLO_SIGNATURE_BYTES];
    size_t at = 0;

    while (at < envelope->signature_count && strcmp(envelope->signatures[at].keyid, keyid) < 0) {
        at++;
    }
    bool is_there =
        at < envelope->signature_count && strcmp(envelope->signatures[at].keyid, keyid) == 0;
    if (!is_there && envelope->signature_count == FLO_SIGNATURES_MAX) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "more than %d signatures", FLO_SIGNATURES_MAX);
    }
    flo_envelope_signed_bytes(envelope->type, envelope->body, envelope->body_bytes, &message);
    FLO_TRY(message.failed ? flo_fail(err, FLO_E_MEMORY, "no memory to sign")
                           : flo_sign(key, message.data, message.bytes, signature, err));
    if (!is_there) {
        memmove(&envelope->signatures[at + 1], &envelope->signatures[at],
                (envelope->signature_count - at) * sizeof(envelope->signatures[0]));
        envelope->signature_count++;
        memcpy(envelope->signatures[at].keyid, keyid, FLO_KEYID_TEXT);
    }
    memcpy(envelope->signatures[at].signature, signature, sizeof(signature));
    return 0;
}

/* Makes an envelope of a body, its type and one signature. */
static int sign_body(const char *type, const char *body, size_t bytes, const struct flo_key *key,
                     struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {.body_bytes = bytes};

    envelope.body = malloc(bytes + 1);
    if (envelope.body == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to sign");
    }
    memcpy(envelope.body, body, bytes);
    envelope.body[bytes] = '\0';
    (void)snprintf(envelope.type, sizeof envelope.type, "%s", type);
    FLO_TRY(flo_envelope_sign(&envelope, key, err));
    flo_envelope_write(&envelope, out);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "no memory for the envelope") : 0;
}

int flo_release_sign(const char *body, size_t bytes, const struct flo_key *key, struct flo_buf *out,
                     struct flo_err *err)
{
    struct flo_release *release = NULL;

    FLO_TRY(flo_release_new(body, bytes, NULL, &release, err));
    const char *type = release->is_first ? FLO_TYPE_RELEASE_1 : FLO_TYPE_RELEASE;
    flo_release_free(release);
    return sign_body(type, body, bytes, key, out, err);
}

int flo_order_sign(const char *body, size_t bytes, const struct flo_key *key, struct flo_buf *out,
                   struct flo_err *err)
{
    struct flo_order order = {0};

    FLO_TRY(flo_order_parse(body, bytes, NULL, &order, err));
    return sign_body(FLO_TYPE_ORDER, body, bytes, key, out, err);
}

int flo_newest_sign(const struct flo_newest *newest, const struct flo_key *key, struct flo_buf *out,
                    struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {0};

    flo_newest_write(newest, &body);
    return body.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for a newest statement")
                       : sign_body(FLO_TYPE_NEWEST, body.data, body.bytes, key, out, err);
}
