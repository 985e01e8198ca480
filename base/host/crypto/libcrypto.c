/* libcrypto: watches its memory, and handles its error messages and the PEM
 * texts that it reads. */
#include "base/host/crypto/key.h"

#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <flotilla/errors/sig.h>

/* ---- no memory ---- */

/* true: an allocation of libcrypto failed.  libcrypto does not always report
 * that: a certificate then is "not in PEM", and a signature "bad".  So its
 * allocator is replaced by one that records failures. */
static _Thread_local bool lacks;

static void *allocate(size_t bytes, const char *file, int line)
{
    void *data = bytes == 0 ? NULL : malloc(bytes);

    (void)file, (void)line;
    lacks = lacks || (data == NULL && bytes > 0);
    return data;
}

static void *allocate_again(void *old, size_t bytes, const char *file, int line)
{
    void *data = realloc(old, bytes);

    (void)file, (void)line;
    lacks = lacks || (data == NULL && bytes > 0);
    return data;
}

static void forget(void *data, const char *file, int line)
{
    (void)file, (void)line;
    free(data);
}

/* Replaces libcrypto's allocator, which is possible only before its first
 * allocation.  Later libcrypto refuses, and only its own error codes are
 * left. */
__attribute__((constructor)) static void watch(void)
{
    (void)CRYPTO_set_mem_functions(allocate, allocate_again, forget);
}

bool flo_x509_lacks(void)
{
    return lacks;
}

/* Clears older errors, so that the next error belongs to the call that
 * follows. */
static void begin(void)
{
    ERR_clear_error();
    lacks = false;
}

int flo_x509_fail(struct flo_err *err, int code, const char *what)
{
    unsigned long last = ERR_peek_last_error();
    const char *why = ERR_reason_error_string(last);

    if (lacks || ERR_GET_REASON(last) == ERR_R_MALLOC_FAILURE) {
        code = FLO_E_MEMORY;
        why = "no memory";
    }
    begin();
    return flo_fail(err, code, "%s (%s)", what, why == NULL ? "libcrypto" : why);
}

/* ---- texts ---- */

int flo_pem_open(const char *pem, size_t bytes, BIO **out, struct flo_err *err)
{
    if (bytes > FLO_PEM_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "PEM of %zu bytes, limit %d", bytes,
                        (int)FLO_PEM_BYTES_MAX);
    }
    begin();
    *out = BIO_new_mem_buf(pem, (int)bytes);
    return *out == NULL ? flo_fail(err, FLO_E_MEMORY, "%zu bytes", bytes) : 0;
}

int flo_x509_key_look(const char *pem, size_t bytes, struct flo_err *err)
{
    BIO *bio;

    FLO_TRY(flo_pem_open(pem, bytes, &bio, err));
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    bool is_one = key != NULL;
    BIO_free(bio);
    EVP_PKEY_free(key);
    return !is_one ? flo_x509_fail(err, FLO_E_SIG_FORMAT, "not a private key in PEM") : 0;
}
