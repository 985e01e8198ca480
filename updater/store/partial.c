/* partial/: which downloads under way are worth keeping. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/store/store.h"

struct sweep {
    struct flo_store *store;
    const struct flo_digest *keep;
    size_t keep_count;
    uint64_t bytes; /* on disk, of the files that stay */
};

static bool has_part(const struct flo_store *store,
                     const struct flo_digest *digest, const char *suffix)
{
    char name[FLO_PART_NAME];
    struct stat st;

    flo_store_part_name(digest, suffix, name);
    return flo_store_stat(store->partial_fd, name, &st);
}

static bool is_kept(const struct sweep *sweep, const char *name)
{
    struct flo_digest digest;
    char hex[65] = "";

    if (strlen(name) < 64) {
        return false;
    }
    memcpy(hex, name, 64);
    bool is_map = strcmp(name + 64, ".map") == 0;
    if ((!is_map && strcmp(name + 64, ".part") != 0) ||
        !flo_hex_decode(hex, digest.bytes, sizeof(digest.bytes))) {
        return false;
    }
    for (size_t i = 0; i < sweep->keep_count; i++) {
        if (flo_digest_equal(&sweep->keep[i], &digest)) {
            /* A map without its file says nothing. */
            return !is_map || has_part(sweep->store, &digest, ".part");
        }
    }
    return false;
}

static int look(void *context, const char *name)
{
    struct sweep *sweep = context;
    int dir_fd = sweep->store->partial_fd;
    struct stat st;

    if (!is_kept(sweep, name)) {
        unlinkat(dir_fd, name, 0);
    } else if (flo_store_stat(dir_fd, name, &st)) {
        sweep->bytes += (uint64_t)st.st_blocks * 512;
    }
    return 0;
}

bool flo_store_part_is_damaged(struct flo_store *store,
                               const struct flo_digest *digest)
{
    return has_part(store, digest, ".part") && !has_part(store, digest, ".map");
}

uint64_t flo_store_partials_keep(struct flo_store *store,
                                 const struct flo_digest *keep,
                                 size_t keep_count)
{
    struct sweep sweep = {store, keep, keep_count, 0};

    (void)flo_store_each_name(store->partial_fd, look, &sweep);
    return sweep.bytes;
}

int flo_store_partials_lock(struct flo_store *store, struct flo_err *err)
{
    if (flock(store->partial_fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    if (errno == EWOULDBLOCK) {
        return flo_fail(err, FLO_E_STATE_LOCKED,
                        "another worker downloads into %s/partial",
                        store->path);
    }
    return flo_fail_errno(err, FLO_E_STATE_LOCKED, "%s/partial", store->path);
}
