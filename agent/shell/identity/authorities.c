/* Authorities: reads and writes the certificate authorities that this device
 * trusts, in identity/ca.pem. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/net.h>

#include "agent/shell/identity/identity.h"
#include "base/host/crypto.h"

int flo_authorities_read(const char *pem, size_t bytes, struct flo_authority_names *out,
                         struct flo_err *err)
{
    struct flo_pem_part parts[FLO_AUTHORITIES_MAX];
    struct flo_authority_names names = {0};

    FLO_TRY(flo_certificates_split(pem, bytes, parts, FLO_COUNT(parts), &names.count, err));
    for (size_t i = 0; i < names.count; i++) {
        struct flo_certificate facts;
        char hex[2 * FLO_DIGEST_BYTES + 1];
        FLO_TRY(flo_certificate_read(parts[i].pem, parts[i].bytes, &facts, err));
        if (!facts.is_authority) {
            return flo_fail(err, FLO_E_NET_TLS, "`%s` is no authority", facts.common_name);
        }
        flo_hex_encode(facts.fingerprint.bytes, FLO_DIGEST_BYTES, hex);
        snprintf(names.list[i], FLO_AUTHORITY_TEXT, "%.16s", hex);
    }
    *out = names;
    return 0;
}

static bool is_same(const struct flo_identity *identity, const struct flo_buf *text)
{
    FLO_CLEANUP(flo_free_cleanup) char *before = NULL;
    size_t bytes = 0;

    return flo_file_read(identity->ca_file, FLO_PEM_BYTES_MAX, &before, &bytes, NULL) == 0 &&
           bytes == text->bytes && memcmp(before, text->data, bytes) == 0;
}

int flo_authorities_write(const struct flo_identity *identity, const char *const *pems,
                          size_t count, bool *is_news, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {.bytes_max = FLO_PEM_BYTES_MAX};
    struct flo_authority_names names;

    for (size_t i = 0; i < count; i++) {
        flo_buf_text(&text, pems[i]);
        if (text.bytes > 0 && !text.failed && text.data[text.bytes - 1] != '\n') {
            flo_buf_text(&text, "\n");
        }
    }
    if (text.failed || text.bytes == 0) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "%zu authorities", count);
    }
    int rv = flo_authorities_read(text.data, text.bytes, &names, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "authorities");
    }
    *is_news = !is_same(identity, &text);
    return *is_news ? flo_file_write(identity->ca_file, text.data, text.bytes, 0644, err) : 0;
}
