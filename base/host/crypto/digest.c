/* Digests: computes SHA-256 by libcrypto, in memory and over files. */
#define OPENSSL_SUPPRESS_DEPRECATED /* hash() uses SHA256_Init(), which is deprecated */
#include "base/host/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <flotilla/errors/io.h>

enum { READ_BYTES = 256 << 10 };

static const EVP_MD *fetched;

static void fetch(void)
{
    EVP_MD *found = EVP_MD_fetch(NULL, "SHA256", NULL);

    fetched = found != NULL ? found : EVP_sha256();
}

/* Returns the algorithm, which is fetched once.  With EVP_sha256() OpenSSL 3
 * would look it up in each call, a third of the time for a short text. */
static const EVP_MD *sha256(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch);
    return fetched;
}

int flo_sha256_init(struct flo_sha256 *sha, struct flo_err *err)
{
    if (sha->context == NULL) {
        sha->context = EVP_MD_CTX_new();
    }
    if (sha->context == NULL || EVP_DigestInit_ex(sha->context, sha256(), NULL) != 1) {
        flo_sha256_deinit(sha);
        return flo_fail(err, FLO_E_MEMORY, "no SHA-256 context");
    }
    return 0;
}

void flo_sha256_update(struct flo_sha256 *sha, const void *data, size_t bytes)
{
    /* The call fails only on a context that was not initialised, which is a
     * bug. */
    if (EVP_DigestUpdate(sha->context, data, bytes) != 1) {
        abort();
    }
}

void flo_sha256_final(struct flo_sha256 *sha, struct flo_digest *out)
{
    if (EVP_DigestFinal_ex(sha->context, out->bytes, NULL) != 1) {
        abort();
    }
}

void flo_sha256_deinit(struct flo_sha256 *sha)
{
    EVP_MD_CTX_free(sha->context);
    sha->context = NULL;
}

#define BLOCK 64 /* bytes of a block of SHA-256 */

/* Hashes `pad`, if it is not NULL, then the pieces.
 *
 * The old API is used because it allocates no memory and so cannot fail.  EVP
 * needs a context, and a wrong digest must never be returned. */
static void hash(const uint8_t *pad, const struct flo_hmac_piece *pieces, size_t count,
                 struct flo_digest *out)
{
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, pad, pad == NULL ? 0 : BLOCK);
    for (size_t i = 0; i < count; i++) {
        SHA256_Update(&context, pieces[i].data, pieces[i].bytes);
    }
    SHA256_Final(out->bytes, &context);
    /* The context may still hold the state of a key. */
    OPENSSL_cleanse(&context, sizeof(context));
}

void flo_sha256(const void *data, size_t bytes, struct flo_digest *out)
{
    hash(NULL, &(struct flo_hmac_piece){data, bytes}, 1, out);
}

void flo_hmac_sha256(const void *key, size_t key_bytes, const struct flo_hmac_piece *pieces,
                     size_t count, struct flo_digest *out)
{
    uint8_t inner[BLOCK] = {0};
    uint8_t outer[BLOCK];
    struct flo_digest digest;

    if (key_bytes > BLOCK) {
        flo_sha256(key, key_bytes, &digest);
        memcpy(inner, digest.bytes, sizeof(digest.bytes));
    } else {
        memcpy(inner, key, key_bytes);
    }
    for (size_t i = 0; i < BLOCK; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    hash(inner, pieces, count, &digest);
    hash(outer, &(struct flo_hmac_piece){digest.bytes, sizeof(digest.bytes)}, 1, out);
    OPENSSL_cleanse(inner, sizeof(inner));
    OPENSSL_cleanse(outer, sizeof(outer));
}

int flo_sha256_fd(int fd, struct flo_digest *out, uint64_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};
    FLO_CLEANUP(flo_free_cleanup) uint8_t *block = malloc(READ_BYTES);
    uint64_t offset = 0;

    if (block == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%d bytes to read in", (int)READ_BYTES);
    }
    FLO_TRY(flo_sha256_init(&sha, err));
    for (;;) {
        ssize_t got = pread(fd, block, READ_BYTES, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return flo_fail_errno(err, FLO_E_IO_READ, "read at offset %llu",
                                  (unsigned long long)offset);
        }
        if (got == 0) {
            break;
        }
        flo_sha256_update(&sha, block, (size_t)got);
        offset += (uint64_t)got;
    }
    flo_sha256_final(&sha, out);
    if (bytes != NULL) {
        *bytes = offset;
    }
    return 0;
}

int flo_sha256_file(const char *path, struct flo_digest *out, uint64_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    struct stat st;

    if (fd < 0) {
        int code = errno == ENOENT  ? FLO_E_ABSENT
                   : errno == ELOOP ? FLO_E_IO_SYMLINK
                                    : FLO_E_IO_OPEN;
        return flo_fail_errno(err, code, "%s", path);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s: not a regular file", path);
    }
    int rv = flo_sha256_fd(fd, out, bytes, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}
