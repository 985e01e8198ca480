/* Signing documents: publishers' releases, the controller's orders. */
#include <flotilla/release.h>

#include <stdlib.h>
#include <string.h>

#include "base/host/crypto.h"

/* Put body, type and one signature into an envelope. */
static int sign_body(const char *type, const char *body, size_t bytes, const struct flo_key *key,
                     struct flo_buf *out, struct flo_err *err)
{
    struct flo_buf message = {.bytes_max = FLO_ENVELOPE_BYTES_MAX + 256};
    struct flo_envelope envelope = {.signature_count = 1};

    flo_envelope_signed_bytes(type, body, bytes, &message);
    envelope.body = malloc(bytes + 1);
    if (message.failed || envelope.body == NULL) {
        flo_envelope_deinit(&envelope);
        flo_buf_deinit(&message);
        return flo_fail(err, FLO_E_MEMORY, "no memory to sign");
    }
    memcpy(envelope.body, body, bytes);
    envelope.body[bytes] = '\0';
    envelope.body_bytes = bytes;
    (void)snprintf(envelope.type, sizeof envelope.type, "%s", type);
    memcpy(envelope.signatures[0].keyid, flo_key_public(key)->keyid, FLO_KEYID_TEXT);
    int rv = flo_sign(key, message.data, message.bytes, envelope.signatures[0].signature, err);
    if (rv == 0) {
        flo_envelope_write(&envelope, out);
    }
    flo_envelope_deinit(&envelope);
    flo_buf_deinit(&message);
    if (rv == 0 && out->failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory for the envelope");
    }
    return rv;
}

int flo_release_sign(const char *body, size_t bytes, const struct flo_key *key, struct flo_buf *out,
                     struct flo_err *err)
{
    struct flo_release *release = NULL;
    int rv = flo_release_new(body, bytes, NULL, &release, err);

    if (rv < 0) {
        return rv;
    }
    const char *type = release->is_first ? FLO_TYPE_RELEASE_1 : FLO_TYPE_RELEASE;
    flo_release_free(release);
    return sign_body(type, body, bytes, key, out, err);
}

int flo_order_sign(const char *body, size_t bytes, const struct flo_key *key, struct flo_buf *out,
                   struct flo_err *err)
{
    struct flo_order order = {0};
    int rv = flo_order_parse(body, bytes, NULL, &order, err);

    return rv < 0 ? rv : sign_body(FLO_TYPE_ORDER, body, bytes, key, out, err);
}
