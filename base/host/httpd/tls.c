/* HTTP server: TLS of a listener, and the name of a client's certificate. */
#include "base/host/httpd/internal.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

static int tls_fail(struct flo_err *err, const char *what, const char *file)
{
    char why[128];
    unsigned long code = ERR_peek_last_error();
    ERR_error_string_n(code, why, sizeof(why));
    ERR_clear_error();
    flo_fail(err, FLO_E_NET_TLS, "%s %s cannot be used", what, file);
    flo_err_why(err, "%s", why);
    return FLO_E_NET_TLS;
}

int flo_httpd_tls_make(const struct flo_httpd_tls *tls, SSL_CTX **out,
                       struct flo_err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for TLS");
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    int rv = 0;
    if (SSL_CTX_use_certificate_chain_file(context, tls->cert_file) != 1) {
        rv = tls_fail(err, "certificate", tls->cert_file);
    } else if (SSL_CTX_use_PrivateKey_file(context, tls->key_file,
                                           SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(context) != 1) {
        rv = tls_fail(err, "key", tls->key_file);
    } else if (tls->client_ca_file != NULL) {
        STACK_OF(X509_NAME) *names =
            SSL_load_client_CA_file(tls->client_ca_file);
        if (names == NULL || SSL_CTX_load_verify_locations(
                                 context, tls->client_ca_file, NULL) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            rv = tls_fail(err, "client CA", tls->client_ca_file);
        } else {
            SSL_CTX_set_client_CA_list(context, names);
            SSL_CTX_set_verify(context,
                               SSL_VERIFY_PEER |
                                   (tls->client_cert_required
                                        ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                        : 0),
                               NULL);
        }
    }
    if (rv < 0) {
        SSL_CTX_free(context);
        return rv;
    }
    *out = context;
    return 0;
}

void flo_httpd_tls_peer_name(struct bufferevent *bev, char *out, size_t bytes)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    X509 *certificate = ssl == NULL ? NULL : SSL_get1_peer_certificate(ssl);
    out[0] = '\0';
    if (certificate == NULL) {
        return;
    }
    if (SSL_get_verify_result(ssl) == X509_V_OK) {
        int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                                          NID_commonName, out, (int)bytes);
        /* A NUL inside, or a name that was cut, is no name. */
        if (n <= 0 || (size_t)n >= bytes - 1 || strlen(out) != (size_t)n) {
            out[0] = '\0';
        }
    }
    X509_free(certificate);
}
