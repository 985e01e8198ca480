/* Secrets: compares and wipes them, and reads files that hold secrets. */
#include "base/host/crypto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>

bool flo_secret_equal(const void *a, const void *b, size_t bytes)
{
    const volatile uint8_t *p = a;
    const volatile uint8_t *q = b;
    uint8_t difference = 0;

    for (size_t i = 0; i < bytes; i++) {
        difference = (uint8_t)(difference | (p[i] ^ q[i]));
    }
    return difference == 0;
}

void flo_secret_wipe(void *data, size_t bytes)
{
    explicit_bzero(data, bytes);
}

__attribute__((noinline)) void flo_secret_stack_wipe(void)
{
    char below[64 << 10];

    explicit_bzero(below, sizeof(below));
}

void flo_secret_buf_deinit(struct flo_buf *buf)
{
    if (buf->data != NULL) {
        flo_secret_wipe(buf->data, buf->capacity);
    }
    flo_buf_deinit(buf);
}

/* Checks owner and mode of a secret file.  With `from_others` root may also
 * read another user's file. */
static int check_closed(const char *path, const struct stat *st, bool from_others,
                        struct flo_err *err)
{
    uid_t us = geteuid();

    if ((st->st_mode & 077) != 0) {
        flo_fail(err, FLO_E_CFG_PERM, "%s: mode %04o lets group or others in", path,
                 (unsigned)(st->st_mode & 07777));
        const char *ending = strrchr(path, '.');
        if (ending != NULL && strcmp(ending, ".pub") == 0) {
            flo_err_fix(err, "this is the public half; %.*s.key belongs here", (int)(ending - path),
                        path);
        } else {
            flo_err_fix(err, "chmod 0600 %s", path);
        }
        return FLO_E_CFG_PERM;
    }
    if (st->st_uid != us && st->st_uid != 0 && (us != 0 || !from_others)) {
        return flo_fail(err, FLO_E_CFG_PERM, "%s: owned by user %ld, not %ld", path,
                        (long)st->st_uid, (long)us);
    }
    return 0;
}

static int read_closed(const char *path, size_t bytes_max, bool from_others, char **data,
                       size_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct stat st;

    FLO_TRY(flo_file_open(path, &fd, err));
    if (fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", path);
    }
    FLO_TRY(check_closed(path, &st, from_others, err));
    if ((uint64_t)st.st_size > bytes_max) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "%s: %llu bytes, limit %zu", path,
                        (unsigned long long)st.st_size, bytes_max);
    }
    size_t size = (size_t)st.st_size;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%s: %zu bytes", path, size);
    }
    int rv = flo_fd_pread_all(fd, text, size, 0, err);
    if (rv < 0) {
        flo_secret_wipe(text, size);
        free(text);
        return flo_wrap(err, rv, "%s", path);
    }
    text[size] = '\0';
    *data = text;
    *bytes = size;
    return 0;
}

int flo_secret_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                    struct flo_err *err)
{
    return read_closed(path, bytes_max, false, data, bytes, err);
}

int flo_token_read(const char *path, char *out, size_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *data = NULL;
    size_t size;
    int rv = read_closed(path, bytes - 1, true, &data, &size, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "token file");
    }
    size_t chars = strcspn(data, "\r\n");
    memcpy(out, data, chars);
    out[chars] = '\0';
    flo_secret_wipe(data, size);
    return 0;
}
