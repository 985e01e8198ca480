/* Keys, requests, certificates and DER signatures from outside. */
#include <stdlib.h>
#include <string.h>

#include "base/host/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* An authority made once: issuing for hostile requests must never do more
 * than refuse or issue what was wished. */
static struct flo_key *authority;
static struct flo_buf authority_pem;

static void set_up(void)
{
    struct flo_certificate_spec spec = {.common_name = "ca", .days = 1};

    if (authority == NULL && (flo_key_generate(&authority, NULL) < 0 ||
                              flo_authority_make(authority, &spec, &authority_pem, NULL) < 0)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 1};
    struct flo_certificate certificate;
    struct flo_public_key key;
    struct flo_key *private_key = NULL;
    struct flo_buf pem = {0};
    struct flo_err err = {0};

    set_up();
    (void)flo_public_key_parse(text, bytes, &key, &err);
    if (flo_key_parse(text, bytes, &private_key, &err) == 0) {
        flo_key_free(private_key);
    }
    (void)flo_certificate_read(text, bytes, &certificate, &err);
    if (flo_certificate_issue(authority, authority_pem.data, authority_pem.bytes, text, bytes,
                              &spec, &pem, &err) == 0 &&
        (flo_certificate_read(pem.data, pem.bytes, &certificate, &err) < 0 ||
         strcmp(certificate.common_name, "dev") != 0 || certificate.is_authority)) {
        abort();
    }
    flo_buf_deinit(&pem);
    return 0;
}
