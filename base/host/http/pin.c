/* Pinning a server by its CA's fingerprint: see pin.h.
 *
 * libcurl can pin only the public key of the leaf certificate.  So this file
 * replaces the check of the chain: the certificate with the right fingerprint
 * becomes the only trust anchor, then OpenSSL verifies as usual. */
#include "base/host/http/pin.h"

#include <string.h>

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <flotilla/base.h>

bool flo_http_fingerprint_is_valid(const char *hex)
{
    size_t digits = strspn(hex, "0123456789abcdef");

    return hex[digits] == '\0' && digits >= 32 && digits <= 64;
}

static bool has_fingerprint(X509 *certificate, const char *hex)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1];
    unsigned bytes = 0;

    if (X509_digest(certificate, EVP_sha256(), digest, &bytes) != 1) {
        return false;
    }
    flo_hex_encode(digest, bytes, text);
    return strncmp(text, hex, strlen(hex)) == 0;
}

/* Returns the CA certificate with that fingerprint in the server's chain,
 * or NULL when it has none. */
static X509 *find_anchor(X509_STORE_CTX *store, const char *hex)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);

    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i);
        if (X509_check_ca(certificate) == 1 && has_fingerprint(certificate, hex)) {
            return certificate;
        }
    }
    return NULL;
}

static int verify_chain(X509_STORE_CTX *store, void *context)
{
    STACK_OF(X509) *anchors = sk_X509_new_null();
    X509 *anchor = find_anchor(store, context);
    int good = 0;

    if (anchors == NULL || anchor == NULL || sk_X509_push(anchors, anchor) == 0) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    } else {
        X509_STORE_CTX_set0_trusted_stack(store, anchors);
        /* The flag is needed because the pinned CA may be an intermediate
         * one. */
        X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(store), X509_V_FLAG_PARTIAL_CHAIN);
        good = X509_verify_cert(store);
    }
    sk_X509_free(anchors);
    return good == 1;
}

static CURLcode on_context(CURL *curl, void *context, void *hex)
{
    (void)curl;
    SSL_CTX_set_cert_verify_callback(context, verify_chain, hex);
    return CURLE_OK;
}

void flo_http_pin(void *curl, const char *hex)
{
    void *context;

    memcpy(&context, &hex, sizeof context);
    curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_context);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, context);
}

/* Requires a client certificate of the peer.  A server's certificate is
 * refused, so that neither kind passes for the other. */
static CURLcode on_device(CURL *curl, void *context, void *unused)
{
    (void)curl, (void)unused;
    return SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT) == 1 ? CURLE_OK
                                                                      : CURLE_SSL_CERTPROBLEM;
}

void flo_http_meet_device(void *curl)
{
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_device);
}
