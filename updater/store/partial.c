/* Partial files: decides which downloads and unfinished files in partial/ to
 * keep. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>

#include "updater/store/store.h"

struct sweep {
    struct flo_store *store;
    const struct flo_digest *keep;
    size_t keep_count;
    const struct flo_digest_list *others;
    uint64_t bytes; /* disk space of the files that stay because `keep` lists them */
};

static bool has_part(const struct flo_store *store, const struct flo_digest *digest,
                     const char *suffix)
{
    char name[FLO_PART_NAME];
    struct stat st;

    flo_store_part_name(digest, suffix, name);
    return flo_store_stat(store->partial_fd, name, &st);
}

/* Reads the digest in a file name of partial/, and the kind of file. */
static bool read_name(const char *name, struct flo_digest *out, bool *is_map)
{
    char hex[65] = "";

    if (strlen(name) < 64) {
        return false;
    }
    memcpy(hex, name, 64);
    *is_map = strcmp(name + 64, ".map") == 0;
    return (*is_map || strcmp(name + 64, ".part") == 0 || strcmp(name + 64, ".made") == 0) &&
           flo_hex_decode(hex, out->bytes, sizeof(out->bytes));
}

static int look(void *context, const char *name)
{
    struct sweep *sweep = context;
    int dir_fd = sweep->store->partial_fd;
    struct flo_digest digest;
    bool is_map = false;
    struct stat st;

    bool is_named = read_name(name, &digest, &is_map);
    bool is_ours = is_named && flo_digest_is_among(&digest, sweep->keep, sweep->keep_count);
    /* A map (.map) is useless when its download (.part) is missing. */
    bool stays = (is_ours || (is_named && flo_digest_is_among(&digest, sweep->others->items,
                                                              sweep->others->count))) &&
                 (!is_map || has_part(sweep->store, &digest, ".part"));
    if (!stays) {
        unlinkat(dir_fd, name, 0);
    } else if (is_ours && flo_store_stat(dir_fd, name, &st)) {
        sweep->bytes += (uint64_t)st.st_blocks * 512;
    }
    return 0;
}

/* Looks at a damaged blob.  Its space becomes free when it is removed, unless
 * it has another hard link. */
static int look_at_rotten(void *context, const char *name)
{
    struct sweep *sweep = context;
    int dir_fd = sweep->store->blobs_fd;
    struct flo_digest digest;
    const char *ending = flo_store_name_read(name, &digest);
    struct stat st;

    if (ending == NULL || !flo_store_rotten_ending(ending)) {
        return 0;
    }
    if (flo_digest_is_among(&digest, sweep->keep, sweep->keep_count)) {
        sweep->bytes += flo_store_stat(dir_fd, name, &st) && st.st_nlink == 1
                            ? (uint64_t)st.st_blocks * 512
                            : 0;
    } else if (!flo_digest_is_among(&digest, sweep->others->items, sweep->others->count)) {
        unlinkat(dir_fd, name, 0);
    }
    return 0;
}

bool flo_store_part_is_damaged(struct flo_store *store, const struct flo_digest *digest)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int rotten = flo_store_rotten_open(store, digest);

    return rotten >= 0 || (has_part(store, digest, ".part") && !has_part(store, digest, ".map"));
}

uint64_t flo_store_partials_keep(struct flo_store *store, const struct flo_digest *keep,
                                 size_t keep_count, const struct flo_digest_list *others)
{
    struct sweep sweep = {store, keep, keep_count, others, 0};

    (void)flo_store_each_name(store->partial_fd, look, &sweep);
    (void)flo_store_each_name(store->blobs_fd, look_at_rotten, &sweep);
    return sweep.bytes;
}

/* Adds the digests of all files of a release, of their downloads and of their
 * chunk lists, if the release's document is on disk. */
static void add_ways(struct flo_store *store, const struct flo_digest *digest,
                     struct flo_release *scratch, struct flo_digest_list *out)
{
    if (flo_store_release_load(store, digest, scratch, NULL) < 0) {
        return;
    }
    for (uint32_t i = 0; i < scratch->file_count; i++) {
        const struct flo_release_file *file = &scratch->files[i];
        for (uint32_t w = 0; w < file->way_count; w++) {
            flo_digest_list_add(out, &file->ways[w].digest);
        }
        flo_digest_list_add(out, &file->digest);
        flo_digest_list_add(out, &file->chunk_list);
    }
    flo_release_deinit(scratch);
}

void flo_store_others_want(struct flo_store *store, const struct flo_digest *release,
                           struct flo_digest_list *out)
{
    char(*models)[FLO_NAME_MAX + 1] = calloc(FLO_MODELS_MAX, sizeof(*models));
    struct flo_release *scratch = calloc(1, sizeof(*scratch));
    struct flo_slots *slots = calloc(1, sizeof(*slots));

    if (models != NULL && scratch != NULL && slots != NULL) {
        size_t count = 0;
        (void)!flo_store_models(store, models, FLO_MODELS_MAX, &count, NULL);
        for (size_t i = 0; i < count; i++) {
            if (flo_store_slots_read(store, models[i], slots, NULL) == 0 &&
                slots->stated.outcome == FLO_STATED_OPEN &&
                !flo_digest_is_zero(&slots->stated.target) &&
                !flo_digest_equal(&slots->stated.target, release)) {
                add_ways(store, &slots->stated.target, scratch, out);
            }
        }
    }
    free(models);
    free(scratch);
    free(slots);
}

int flo_store_partials_lock(struct flo_store *store, struct flo_err *err)
{
    if (flock(store->partial_fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    if (errno == EWOULDBLOCK) {
        return flo_fail(err, FLO_E_STATE_LOCKED, "another worker downloads into %s/partial",
                        store->path);
    }
    return flo_fail_errno(err, FLO_E_STATE_LOCKED, "%s/partial", store->path);
}
