/* Document signing: signs publishers' releases and the controller's orders. */
#include <flotilla/release.h>

#include <stdlib.h>
#include <string.h>

#include "base/host/crypto.h"

/* Makes an envelope of a body, its type and one signature. */
static int sign_body(const char *type, const char *body, size_t bytes, const struct flo_key *key,
                     struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf message = {.bytes_max = FLO_ENVELOPE_BYTES_MAX + 256};
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {.signature_count = 1};

    flo_envelope_signed_bytes(type, body, bytes, &message);
    envelope.body = malloc(bytes + 1);
    if (message.failed || envelope.body == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to sign");
    }
    memcpy(envelope.body, body, bytes);
    envelope.body[bytes] = '\0';
    envelope.body_bytes = bytes;
    (void)snprintf(envelope.type, sizeof envelope.type, "%s", type);
    memcpy(envelope.signatures[0].keyid, flo_key_public(key)->keyid, FLO_KEYID_TEXT);
    FLO_TRY(flo_sign(key, message.data, message.bytes, envelope.signatures[0].signature, err));
    flo_envelope_write(&envelope, out);
    if (out->failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the envelope");
    }
    return 0;
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
