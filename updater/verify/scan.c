/* A model file in one pass: digest, structure, no NaN and no infinity. */
#include <flotilla/release.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/gguf/gguf.h"
#include "base/host/digest.h"

#define PIECE_BYTES (256u << 10)

/* Hash to the end whatever the scan says, so that the caller can name the
 * bytes that are bad. */
static int read_pass(int fd, uint64_t bytes, struct flo_gguf_scan *scan,
                     struct flo_sha256 *sha, uint8_t *piece,
                     struct flo_err *err)
{
    int verdict = 0;

    for (uint64_t offset = 0; offset < bytes;) {
        uint64_t left = bytes - offset;
        size_t count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        int rv = flo_fd_pread_all(fd, piece, count, offset, err);
        if (rv < 0) {
            return rv;
        }
        flo_sha256_update(sha, piece, count);
        if (verdict == 0) {
            verdict = flo_gguf_scan_add(scan, piece, count, err);
        }
        offset += count;
    }
    return verdict < 0 ? verdict : flo_gguf_scan_finish(scan, err);
}

int flo_model_scan(int fd, struct flo_digest *digest, uint64_t *bytes,
                   struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(PIECE_BYTES);
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};
    struct flo_gguf_scan scan;
    struct flo_gguf *gguf = NULL;
    struct flo_digest found;

    if (piece == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to scan a model");
    }
    int rv = flo_sha256_init(&sha, err);
    if (rv == 0) {
        rv = flo_gguf_open_fd(fd, &gguf, err);
    }
    if (rv < 0) {
        return rv;
    }
    uint64_t total = flo_gguf_file_bytes(gguf);
    flo_gguf_scan_init(&scan, gguf);
    rv = read_pass(fd, total, &scan, &sha, piece, err);
    flo_gguf_close(gguf);
    flo_sha256_final(&sha, &found);
    if (rv == 0 || rv == FLO_E_MODEL_NONFINITE) {
        if (digest != NULL) {
            *digest = found;
        }
        if (bytes != NULL) {
            *bytes = total;
        }
    }
    return rv;
}

int flo_file_scan(int fd, struct flo_digest *digest, uint64_t *bytes,
                  struct flo_err *err)
{
    struct flo_digest found;
    char magic[4] = "";

    if (pread(fd, magic, sizeof magic, 0) == sizeof magic &&
        memcmp(magic, "GGUF", sizeof magic) == 0) {
        return flo_model_scan(fd, digest, bytes, err);
    }
    return flo_sha256_fd(fd, digest != NULL ? digest : &found, bytes, err);
}
