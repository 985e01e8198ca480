/* TLS ends of connections to the broker: paho tells an alert only while it connects,
 * but with TLS 1.3 a broker refuses a certificate after the handshake. */
#include "base/host/mqtt/client.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static _Thread_local bool is_refused;

static void on_state(const SSL *ssl, int where, int value)
{
    (void)ssl;
    switch ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT ? value & 0xff : -1) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED:
    case SSL_AD_DECRYPT_ERROR: /* the authority has a known name and another key */
        is_refused = true;
        break;
    default:
        break;
    }
}

/* Called for each new connection. */
static void on_connection(void *ssl, void *data, CRYPTO_EX_DATA *all, int index, long number,
                          void *context)
{
    (void)data, (void)all, (void)index, (void)number, (void)context;
    SSL_set_info_callback(ssl, on_state);
}

static void begin(void)
{
    (void)CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, on_connection, NULL, NULL);
}

void flo_mqtt_tls_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, begin);
}

bool flo_mqtt_tls_is_gone(const char *line)
{
    const char *at = strstr(line, ":error:");
    unsigned long code = at == NULL ? 0 : strtoul(at + strlen(":error:"), NULL, 16);

    return ERR_SYSTEM_ERROR(code) || (ERR_GET_LIB(code) == ERR_LIB_SSL &&
                                      ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
}

bool flo_mqtt_tls_is_refused(void)
{
    bool was = is_refused;

    is_refused = false;
    return was;
}
