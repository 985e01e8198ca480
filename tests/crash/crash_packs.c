/* crash_packs STATE_DIR CACHE MODEL_FILE N: a device packs the weights of a model
 * again, as release N of its engine; with N = 1 a person's command packs too. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/updater.h>

#include "base/host/digest.h"

#define BYTES 6000

static int of_device(const char *state_dir, const char *data, struct flo_err *err)
{
    static const struct flo_digest model = {.bytes = {1}};
    struct flo_store *store = NULL;
    struct flo_digest digest;
    int fd = -1;
    int rv = flo_store_open(state_dir, true, &store, err);

    flo_sha256(data, BYTES, &digest);
    rv = rv == 0 ? flo_store_packed_create(store, BYTES, &fd, err) : rv;
    rv = rv == 0 ? flo_fd_pwrite_all(fd, data, BYTES, 0, err) : rv;
    rv = rv == 0 ? flo_store_packed_publish(store, fd, &model, &digest, err) : rv;
    flo_fd_cleanup(&fd);
    flo_store_close(store);
    return rv;
}

static int of_person(const char *path, const char *model, const char *data, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int model_fd = open(model, O_RDONLY | O_CLOEXEC);
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_packs *cache = NULL;
    int rv = flo_packs_open(path, 1 << 20, &cache, err);

    rv = rv == 0 ? flo_packs_begin(cache, model_fd, BYTES, &fd, err) : rv;
    rv = rv == 0 ? flo_fd_pwrite_all(fd, data, BYTES, 0, err) : rv;
    rv = rv == 0 ? flo_packs_commit(cache, fd, model_fd, err) : rv;
    flo_packs_close(cache);
    return rv;
}

int main(int argc, char **argv)
{
    static char data[BYTES];
    struct flo_err err = {0};

    if (argc != 5) {
        return 2;
    }
    memset(data, argv[4][0], sizeof(data));
    int rv = of_device(argv[1], data, &err);
    if (rv == 0 && argv[4][0] == '1') {
        rv = of_person(argv[2], argv[3], data, &err);
    }
    if (rv < 0) {
        fprintf(stderr, "%s: %s\n", flo_error_id(err.code), err.what);
        return 1;
    }
    return 0;
}
