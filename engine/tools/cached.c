/* Cached: makes a model's packed weights when a person first uses the model,
 * and keeps them in a folder of limited size (base/system/packs.c).  If that
 * fails, the engine uses the model's own weights, and one line tells the
 * reason. */
#include <unistd.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/state.h>

#include "engine/model/file/packed.h"
#include "engine/tools/common.h"

#define PERCENT 100
#define MB 1e6

struct caching {
    struct flo_packs *cache;
    int model_fd;
    struct flo_packing packing;
    uint64_t started_us;
};

static void show(void *context, uint64_t done, uint64_t total)
{
    const struct caching *c = context;

    flo_tool_progress("packed, percent", done * PERCENT / total, PERCENT, c->started_us);
}

static int make(struct caching *c, const struct flo_tool *tool, const char *folder,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t bytes = flo_sidecar_bytes(c->packing.sidecar);
    uint32_t threads =
        tool->threads > 0 && tool->threads <= 64 ? (uint32_t)tool->threads : flo_cpus_allowed();
    FLO_TRY(flo_packs_begin(c->cache, c->model_fd, bytes, &fd, err));
    fprintf(stderr, "packing the weights once: %.0f MB into %s (--packed none)\n",
            (double)bytes / MB, folder);
    c->started_us = flo_now_us();
    FLO_TRY(flo_sidecar_write(c->packing.sidecar, fd, threads, show, c, err));
    return flo_packs_commit(c->cache, fd, c->model_fd, err);
}

static int find_or_make(struct caching *c, const struct flo_tool *tool, int *out,
                        struct flo_err *err)
{
    char folder[3000];

    FLO_TRY(flo_packs_folder(folder, sizeof(folder), err));
    if (folder[0] == '\0') {
        return 0;
    }
    FLO_TRY(flo_packs_open(folder, FLO_PACKS_BYTES_MAX, &c->cache, err));
    int rv = flo_packs_find(c->cache, c->model_fd, out, err);
    if (rv != FLO_E_ABSENT) {
        return rv;
    }
    FLO_TRY(flo_packing_open(c->model_fd, true, &c->packing, err));
    rv = make(c, tool, folder, err);
    flo_packing_close(&c->packing);
    FLO_TRY(rv);
    return flo_packs_find(c->cache, c->model_fd, out, err);
}

int flo_tool_cached(const struct flo_tool *tool)
{
    struct caching c = {.model_fd = -1};
    struct flo_err err = {0};
    char beside[4096];
    int fd = -1;
    int chars = snprintf(beside, sizeof(beside), "%s%s", tool->model, FLO_SIDECAR_SUFFIX);

    if (chars >= (int)sizeof(beside) || access(beside, F_OK) == 0 ||
        flo_file_open(tool->model, &c.model_fd, NULL) < 0) {
        return -1;
    }
    /* Errors of the model's file are not printed here; opening the model
     * reports them. */
    int rv = find_or_make(&c, tool, &fd, &err);
    if (rv < 0 && (rv == FLO_E_DISK_FULL || rv == FLO_E_STATE_LOCKED || rv == FLO_E_CFG_PERM ||
                   rv == FLO_E_IO_OPEN || rv == FLO_E_IO_WRITE)) {
        fprintf(stderr, "the weights are not packed: %s\n", err.what);
    }
    flo_packs_close(c.cache);
    flo_fd_cleanup(&c.model_fd);
    return fd;
}

void flo_tool_uncache(const struct flo_tool *tool)
{
    FLO_CLEANUP(flo_fd_cleanup) int model_fd = -1;
    struct flo_packs *cache = NULL;
    char folder[3000];

    if (flo_file_open(tool->model, &model_fd, NULL) == 0 &&
        flo_packs_folder(folder, sizeof(folder), NULL) == 0 && folder[0] != '\0' &&
        flo_packs_open(folder, FLO_PACKS_BYTES_MAX, &cache, NULL) == 0) {
        flo_packs_remove(cache, model_fd);
        flo_packs_close(cache);
    }
}
