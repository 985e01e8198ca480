/* Digests: SHA-256 at the speed of the machine (libcrypto inside).
 *
 * libcrypto is linked anyway (MQTT, HTTP).  For SHA-256 it is 4 to 10 times as
 * fast as mbedTLS, which matters for artifacts of gigabytes. */
#ifndef FLOTILLA_HOST_DIGEST_H
#define FLOTILLA_HOST_DIGEST_H

#include <flotilla/base.h>

/* A running SHA-256.  Zero-initialise.  The library owns `context`. */
struct flo_sha256 {
    void *context;
};

/* Begins a hash.  A struct that was used before begins again.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_sha256_init(struct flo_sha256 *sha, struct flo_err *err);
void flo_sha256_update(struct flo_sha256 *sha, const void *data, size_t bytes);
/* Writes the digest.  Afterwards only init or deinit may be called on `sha`. */
void flo_sha256_final(struct flo_sha256 *sha, struct flo_digest *out);
/* Frees the state, which may be zeroed or finished.  Usable with
 * FLO_CLEANUP. */
void flo_sha256_deinit(struct flo_sha256 *sha);

/* Computes the digest of one piece of memory. */
void flo_sha256(const void *data, size_t bytes, struct flo_digest *out);

/* A piece of the data for HMAC-SHA256 (RFC 2104).  The pieces are hashed in
 * order. */
struct flo_hmac_piece {
    const void *data;
    size_t bytes;
};
void flo_hmac_sha256(const void *key, size_t key_bytes, const struct flo_hmac_piece *pieces,
                     size_t count, struct flo_digest *out);

/* Computes digest and length of a whole regular file.  `bytes` may be NULL.
 * FLO_E_ABSENT, FLO_E_IO_SYMLINK (the path's last name is a link),
 * FLO_E_IO_OPEN, FLO_E_IO_READ. */
FLO_MUST_USE int flo_sha256_file(const char *path, struct flo_digest *out, uint64_t *bytes,
                                 struct flo_err *err);
/* Computes digest and length of an open file from offset 0 on, as
 * flo_sha256_file() does.  The descriptor's position is neither used nor
 * changed. */
FLO_MUST_USE int flo_sha256_fd(int fd, struct flo_digest *out, uint64_t *bytes,
                               struct flo_err *err);

#endif
