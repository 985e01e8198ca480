/* Model scan: reads a file once, computes its digest, and checks its structure
 * and that it has no NaN or infinity. */
#include <flotilla/release.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gguf/gguf.h"
#include "base/host/digest.h"
#include "base/safetensors/safetensors.h"

#define PIECE_BYTES (256u << 10)

/* Reads and hashes all bytes even after the scan has found a fault, so that the
 * caller can name the bad file by its digest. */
static int read_pass(int fd, uint64_t bytes, struct flo_finite *scan, struct flo_sha256 *sha,
                     uint8_t *piece, struct flo_err *err)
{
    int verdict = 0;

    for (uint64_t offset = 0; offset < bytes;) {
        uint64_t left = bytes - offset;
        size_t count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        FLO_TRY(flo_fd_pread_all(fd, piece, count, offset, err));
        flo_sha256_update(sha, piece, count);
        if (verdict == 0) {
            verdict = flo_finite_add(scan, piece, count, err);
        }
        offset += count;
    }
    return verdict < 0 ? verdict : flo_finite_finish(scan, err);
}

static int read_opened(int fd, uint64_t total, struct flo_finite *scan, struct flo_digest *digest,
                       uint64_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(PIECE_BYTES);
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};
    struct flo_digest found;

    if (piece == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to scan a model");
    }
    FLO_TRY(flo_sha256_init(&sha, err));
    int rv = read_pass(fd, total, scan, &sha, piece, err);
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

int flo_model_scan(int fd, struct flo_digest *digest, uint64_t *bytes, struct flo_err *err)
{
    struct flo_finite scan;
    struct flo_gguf *gguf = NULL;
    int rv = flo_gguf_open_fd(fd, &gguf, err);

    if (rv == 0) {
        flo_gguf_scan_init(&scan, gguf);
        rv = read_opened(fd, flo_gguf_file_bytes(gguf), &scan, digest, bytes, err);
    }
    flo_gguf_close(gguf);
    return rv;
}

static int scan_safetensors(int fd, struct flo_digest *digest, uint64_t *bytes, struct flo_err *err)
{
    struct flo_finite scan;
    struct flo_safetensors *file = NULL;
    int rv = flo_safetensors_open_fd(fd, &file, err);

    if (rv == 0) {
        flo_safetensors_scan_init(&scan, file);
        rv = read_opened(fd, flo_safetensors_file_bytes(file), &scan, digest, bytes, err);
    }
    flo_safetensors_close(file);
    return rv;
}

int flo_file_scan(int fd, const char *name, struct flo_digest *digest, uint64_t *bytes,
                  struct flo_err *err)
{
    struct flo_digest found;
    struct stat status = {0};
    char head[9] = "";
    ssize_t count = pread(fd, head, sizeof head, 0);
    size_t head_bytes = count > 0 ? (size_t)count : 0;

    if (head_bytes >= 4 && memcmp(head, "GGUF", 4) == 0) {
        return flo_model_scan(fd, digest, bytes, err);
    }
    if (flo_text_ends(name, ".safetensors") ||
        (fstat(fd, &status) == 0 &&
         flo_safetensors_looks_like(head, head_bytes, (uint64_t)status.st_size))) {
        return scan_safetensors(fd, digest, bytes, err);
    }
    return flo_sha256_fd(fd, digest != NULL ? digest : &found, bytes, err);
}
