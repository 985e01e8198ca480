/* Trusted time for TLS: see tls_time.h.
 *
 * OpenSSL calls the constructors of "extra data" at the start of each chain
 * verification, when its context is set up and nothing has been checked.  One
 * such constructor, registered once, sets time and callback.  A test at start
 * makes sure that this OpenSSL calls it. */
#include "base/host/tls_time.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

/* The believed time minus the uptime, in milliseconds; 0: not set. */
static _Atomic int64_t ahead_ms;
static atomic_bool is_kept_right;
static _Atomic uint64_t peer_from_ms;
static _Atomic uint64_t peer_until_ms;
static atomic_int problem; /* X509_V_ERR_... */
/* start of validity of the certificate that was refused last */
static _Atomic uint64_t refused_from_ms;
static _Atomic uint64_t refused_until_ms;

static uint64_t believed(void)
{
    int64_t ahead = atomic_load(&ahead_ms);

    return ahead == 0 ? 0 : flo_now_ms() + (uint64_t)ahead;
}

static uint64_t ms_of(const ASN1_TIME *time)
{
    struct tm parts;

    if (ASN1_TIME_to_tm(time, &parts) != 1) {
        return 0;
    }
    time_t seconds = timegm(&parts);
    return seconds < 0 ? 0 : (uint64_t)seconds * 1000;
}

static void note_peer(const X509 *certificate)
{
    atomic_store(&peer_from_ms, ms_of(X509_get0_notBefore(certificate)));
    atomic_store(&peer_until_ms, ms_of(X509_get0_notAfter(certificate)));
}

static int on_verify(int good, X509_STORE_CTX *store)
{
    bool is_sure = believed() == 0 || atomic_load(&is_kept_right);

    if (good == 0 && !is_sure && X509_STORE_CTX_get_error(store) == X509_V_ERR_CERT_NOT_YET_VALID) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        good = 1;
    }
    const X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    if (good == 0 && certificate != NULL) {
        atomic_store(&refused_from_ms, ms_of(X509_get0_notBefore(certificate)));
        atomic_store(&refused_until_ms, ms_of(X509_get0_notAfter(certificate)));
    }
    if (good == 0) {
        atomic_store(&problem, X509_STORE_CTX_get_error(store));
    }
    if (good == 1 && X509_STORE_CTX_get_error_depth(store) == 0) {
        note_peer(X509_STORE_CTX_get_current_cert(store));
    }
    return good;
}

static void on_begin(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number,
                     void *context)
{
    X509_STORE_CTX *store = parent;
    uint64_t now_ms = believed();

    (void)pointer, (void)data, (void)index, (void)number, (void)context;
    if (X509_STORE_CTX_get0_param(store) == NULL) {
        return;
    }
    if (now_ms != 0) {
        X509_STORE_CTX_set_time(store, 0, (time_t)(now_ms / 1000));
    }
    X509_STORE_CTX_set_verify_cb(store, on_verify);
}

static bool is_registered;

static void begin(void)
{
    is_registered =
        CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_X509_STORE_CTX, 0, NULL, on_begin, NULL, NULL) >= 0;
}

/* Tells whether a new verification context has our callback. */
static bool is_working(void)
{
    X509_STORE *anchors = X509_STORE_new();
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    bool works = anchors != NULL && store != NULL &&
                 X509_STORE_CTX_init(store, anchors, NULL, NULL) == 1 &&
                 X509_STORE_CTX_get_verify_cb(store) == on_verify;

    X509_STORE_CTX_free(store);
    X509_STORE_free(anchors);
    return works;
}

void flo_tls_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, begin);
}

int flo_tls_time_set(uint64_t now_ms, bool is_synchronised, struct flo_err *err)
{
    flo_tls_watch();
    atomic_store(&is_kept_right, is_synchronised);
    atomic_store(&ahead_ms, now_ms == 0 ? 0 : (int64_t)now_ms - (int64_t)flo_now_ms());
    if (now_ms != 0 && (!is_registered || !is_working())) {
        return flo_fail(err, FLO_E_INTERNAL, "OpenSSL takes no time but the clock's");
    }
    return 0;
}

bool flo_tls_time_peer(uint64_t *from_ms, uint64_t *until_ms)
{
    *from_ms = atomic_load(&peer_from_ms);
    *until_ms = atomic_load(&peer_until_ms);
    return *until_ms != 0;
}

void flo_tls_problem_text(int code, uint64_t from_ms, uint64_t until_ms,
                          char out[FLO_TLS_PROBLEM_BYTES])
{
    const char *words = X509_verify_cert_error_string(code);
    char from[25], until[25], now[25];

    if (code != X509_V_ERR_CERT_HAS_EXPIRED && code != X509_V_ERR_CERT_NOT_YET_VALID) {
        snprintf(out, FLO_TLS_PROBLEM_BYTES, "%s", words);
        return;
    }
    uint64_t now_ms = believed();
    flo_time_text(from_ms, from);
    flo_time_text(until_ms, until);
    flo_time_text(now_ms != 0 ? now_ms : flo_wall_ms(), now);
    snprintf(out, FLO_TLS_PROBLEM_BYTES,
             "%s: it holds from %s to %s, and this machine's clock says %s, "
             "which may be wrong",
             words, from, until, now);
}

bool flo_tls_problem(char out[FLO_TLS_PROBLEM_BYTES])
{
    int code = atomic_load(&problem);

    if (code == X509_V_OK) {
        return false;
    }
    flo_tls_problem_text(code, atomic_load(&refused_from_ms), atomic_load(&refused_until_ms), out);
    return true;
}

void flo_tls_problem_clear(void)
{
    atomic_store(&problem, X509_V_OK);
}
