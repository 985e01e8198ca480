/* HTTP server's TLS: contexts of listeners, and the name in a client's
 * certificate. */
#include "base/host/httpd/connection.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/net.h>

#include "base/host/tls_ciphers.h"

static int tls_fail(struct flo_err *err, const char *what, const char *file)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    flo_fail(err, FLO_E_NET_TLS, "%s %s cannot be used", what, file);
    flo_err_why(err, "%s", why != NULL ? why : "libssl gives no reason");
    return FLO_E_NET_TLS;
}

static int load_revoked(SSL_CTX *context, const char *file, struct flo_err *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

    if (lookup == NULL || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) <= 0 ||
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) != 1) {
        return tls_fail(err, "list of revoked certificates", file);
    }
    return 0;
}

/* Accepts an expired client certificate.  The error stays as the result of the
 * verification, where it is read later. */
static int admit_out_of_date(int good, X509_STORE_CTX *store)
{
    int problem = X509_STORE_CTX_get_error(store);
    bool is_clients = X509_STORE_CTX_get_error_depth(store) == 0;

    return good == 1 || (is_clients && (problem == X509_V_ERR_CERT_HAS_EXPIRED ||
                                        problem == X509_V_ERR_CERT_NOT_YET_VALID));
}

int flo_httpd_tls_make(const struct flo_httpd_tls *tls, SSL_CTX **out, struct flo_err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for TLS");
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_cipher_list(context, FLO_TLS_CIPHERS);
    SSL_CTX_set_options(context,
                        SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    int rv = 0;
    if (SSL_CTX_use_certificate_chain_file(context, tls->cert_file) != 1) {
        rv = tls_fail(err, "certificate", tls->cert_file);
    } else if (SSL_CTX_use_PrivateKey_file(context, tls->key_file, SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(context) != 1) {
        rv = tls_fail(err, "key", tls->key_file);
    } else if (tls->client_ca_file != NULL) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(tls->client_ca_file);
        if (names == NULL ||
            SSL_CTX_load_verify_locations(context, tls->client_ca_file, NULL) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            rv = tls_fail(err, "client CA", tls->client_ca_file);
        } else {
            SSL_CTX_set_client_CA_list(context, names);
            SSL_CTX_set_verify(
                context,
                SSL_VERIFY_PEER | (tls->client_cert_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                tls->admits_out_of_date ? admit_out_of_date : NULL);
        }
    }
    if (rv == 0 && tls->revoked_file != NULL) {
        rv = load_revoked(context, tls->revoked_file, err);
    }
    if (rv < 0) {
        SSL_CTX_free(context);
        return rv;
    }
    *out = context;
    return 0;
}

static bool read_peer(const X509 *certificate, struct flo_httpd_peer *out)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    size_t serial_bytes = (size_t)ASN1_STRING_length(serial);
    size_t room = sizeof(out->name);
    int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, out->name,
                                      (int)room);

    if (serial_bytes * 2 < sizeof(out->serial)) {
        flo_hex_encode(ASN1_STRING_get0_data(serial), serial_bytes, out->serial);
    }
    /* A name with a NUL inside, or a truncated one, is invalid. */
    return n > 0 && (size_t)n < room - 1 && strlen(out->name) == (size_t)n;
}

void flo_httpd_tls_peer(struct bufferevent *bev, struct flo_httpd_peer *out)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    X509 *certificate = ssl == NULL ? NULL : SSL_get1_peer_certificate(ssl);

    *out = (struct flo_httpd_peer){0};
    if (certificate == NULL) {
        return;
    }
    long problem = SSL_get_verify_result(ssl);
    out->is_out_of_date =
        problem == X509_V_ERR_CERT_HAS_EXPIRED || problem == X509_V_ERR_CERT_NOT_YET_VALID;
    if ((problem != X509_V_OK && !out->is_out_of_date) || !read_peer(certificate, out)) {
        *out = (struct flo_httpd_peer){0};
    }
    X509_free(certificate);
}

int flo_httpd_peer_pem(const struct flo_httpd_request *request, struct flo_buf *out,
                       struct flo_err *err)
{
    SSL *ssl = bufferevent_openssl_get_ssl(request->connection->bev);
    X509 *certificate = ssl == NULL ? NULL : SSL_get1_peer_certificate(ssl);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (certificate != NULL && bio != NULL && PEM_write_bio_X509(bio, certificate) == 1) {
        long bytes = BIO_get_mem_data(bio, &text);
        flo_buf_add(out, text, (size_t)bytes);
    }
    BIO_free(bio);
    X509_free(certificate);
    return text == NULL || out->failed ? flo_fail(err, FLO_E_MEMORY, "certificate") : 0;
}

bool flo_httpd_tls_admits(SSL_CTX *context, SSL *ssl)
{
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    bool is_admitted = SSL_is_init_finished(ssl) && certificate == NULL;

    if (certificate != NULL && check != NULL &&
        X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), certificate,
                            SSL_get_peer_cert_chain(ssl)) == 1) {
        X509_STORE_CTX_set_default(check, "ssl_client");
        if (SSL_CTX_get_verify_callback(context) != NULL) {
            X509_STORE_CTX_set_verify_cb(check, SSL_CTX_get_verify_callback(context));
        }
        is_admitted = X509_verify_cert(check) == 1;
    }
    ERR_clear_error();
    X509_STORE_CTX_free(check);
    X509_free(certificate);
    return is_admitted;
}

/* ---- files that are read again ---- */

int flo_httpd_tls_keep(struct flo_httpd_tls *to, const struct flo_httpd_tls *from,
                       struct flo_err *err)
{
    bool has_ca = from->client_ca_file != NULL;
    bool has_list = from->revoked_file != NULL;

    *to = *from;
    to->cert_file = strdup(from->cert_file);
    to->key_file = strdup(from->key_file);
    to->client_ca_file = has_ca ? strdup(from->client_ca_file) : NULL;
    to->revoked_file = has_list ? strdup(from->revoked_file) : NULL;
    return to->cert_file != NULL && to->key_file != NULL &&
                   (to->client_ca_file != NULL) == has_ca && (to->revoked_file != NULL) == has_list
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "no memory for TLS");
}

void flo_httpd_tls_forget(struct flo_httpd_tls *files)
{
    free((void *)(uintptr_t)files->cert_file);
    free((void *)(uintptr_t)files->key_file);
    free((void *)(uintptr_t)files->client_ca_file);
    free((void *)(uintptr_t)files->revoked_file);
}
