/* Assets folder: shows the assets of the models in the owner's folder; see
 * folder.h. */
#include "agent/shell/assets/folder.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/agent.h>
#include <flotilla/plural.h>
#include <flotilla/rows.h>

#include "base/host/steady.h"

/* Time for which programs can read on in a tree that its model has left, and
 * between two tries after a failure. */
#define KEEP_MS 60000

/* A model in the folder. */
struct row {
    char model[FLO_NAME_MAX + 1]; /* "": free */
    struct flo_asset_list list;
    bool is_due;  /* the folder does not show the list yet */
    bool is_gone; /* the last try failed, so the folder shows nothing */
};

struct flo_assets_folder {
    struct flo_store *store;
    const char *path;
    pthread_t thread;
    /* The lock protects all below. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct row rows[FLO_AGENT_MODELS_MAX];
    bool is_complete; /* every model of the device has its row */
    bool is_to_end;
    bool is_sweep_due; /* the folder may show what it must not */
    uint64_t sweep_ms; /* time of the next sweep; 0: none is needed */
    uint64_t again_ms; /* time at which rows that failed are due again; 0: none failed */
    int failure;       /* last error code that was logged; 0: none since a success */
};

/* ---- on the thread ---- */

static struct row *next_due(struct flo_assets_folder *folder)
{
    for (size_t i = 0; i < FLO_COUNT(folder->rows); i++) {
        if (folder->rows[i].is_due) {
            return &folder->rows[i];
        }
    }
    return NULL;
}

static int show(struct flo_assets_folder *folder, const struct row *row, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_store_assets_open(folder->path, &fd, err));
    return flo_store_assets_show(folder->store, fd, row->model, &row->list, err);
}

static void sweep(const struct flo_assets_folder *folder, const char (*models)[FLO_NAME_MAX + 1],
                  size_t count)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    if (flo_store_assets_open(folder->path, &fd, NULL) == 0) {
        flo_store_assets_sweep(fd, models, count);
    }
}

/* Shows one row.  If that fails, nothing is shown: another release's files would
 * be wrong. */
static void take_row(struct flo_assets_folder *folder, struct row *row)
{
    static struct row copy; /* large, and there is one thread */
    struct flo_err err = {0};

    row->is_due = false;
    copy = *row;
    pthread_mutex_unlock(&folder->lock);
    int rv = show(folder, &copy, &err);
    pthread_mutex_lock(&folder->lock);
    row->is_gone = rv < 0;
    if (rv < 0) {
        folder->is_sweep_due = true;
        folder->again_ms = flo_now_ms() + KEEP_MS;
        if (folder->failure != rv) {
            flo_log_err(FLO_LOG_ERROR, "assets", &err);
        }
    } else {
        folder->sweep_ms = flo_now_ms() + KEEP_MS;
        flo_log(FLO_LOG_INFO, "assets", "%s: the folder shows its assets, %u file%s", copy.model,
                copy.list.count, flo_s(copy.list.count));
    }
    folder->failure = rv;
}

static void take_sweep(struct flo_assets_folder *folder)
{
    static char models[FLO_AGENT_MODELS_MAX][FLO_NAME_MAX + 1];
    size_t count = 0;

    for (size_t i = 0; i < FLO_COUNT(folder->rows); i++) {
        const struct row *row = &folder->rows[i];
        if (row->model[0] != '\0' && !row->is_gone) {
            memcpy(models[count++], row->model, sizeof(row->model));
        }
    }
    folder->sweep_ms = 0;
    folder->is_sweep_due = false;
    pthread_mutex_unlock(&folder->lock);
    sweep(folder, (const char(*)[FLO_NAME_MAX + 1]) models, count);
    pthread_mutex_lock(&folder->lock);
}

static void take_again(struct flo_assets_folder *folder)
{
    folder->again_ms = 0;
    for (size_t i = 0; i < FLO_COUNT(folder->rows); i++) {
        folder->rows[i].is_due = folder->rows[i].is_due || folder->rows[i].is_gone;
    }
}

static bool has_come(uint64_t at_ms)
{
    return at_ms != 0 && flo_now_ms() >= at_ms;
}

static bool sweeps_now(const struct flo_assets_folder *folder)
{
    return folder->is_complete && (folder->is_sweep_due || has_come(folder->sweep_ms));
}

/* Waits for a change, or for the next sweep or try. */
static void wait_for_work(struct flo_assets_folder *folder)
{
    uint64_t now = flo_now_ms();
    uint64_t at = folder->is_complete ? folder->sweep_ms : 0;

    if (at == 0 || (folder->again_ms != 0 && folder->again_ms < at)) {
        at = folder->again_ms;
    }
    if (at == 0) {
        pthread_cond_wait(&folder->changed, &folder->lock);
    } else if (at > now) {
        (void)flo_steady_wait(&folder->changed, &folder->lock, at - now);
    }
}

static void *run(void *context)
{
    struct flo_assets_folder *folder = context;
    struct row *row;

    pthread_mutex_lock(&folder->lock);
    while (!folder->is_to_end) {
        row = next_due(folder);
        if (row != NULL) {
            take_row(folder, row);
        } else if (sweeps_now(folder)) {
            take_sweep(folder);
        } else if (has_come(folder->again_ms)) {
            take_again(folder);
        } else {
            wait_for_work(folder);
        }
    }
    pthread_mutex_unlock(&folder->lock);
    return NULL;
}

/* ---- on the agent's loop ---- */

/* Finds the row of a model, or a free one (""). */
static struct row *row_of(struct flo_assets_folder *folder, const char *model)
{
    return FLO_FIND_TEXT(model, folder->rows, FLO_COUNT(folder->rows), model);
}

void flo_assets_folder_show(struct flo_assets_folder *folder, const char *model,
                            const struct flo_asset_list *assets)
{
    pthread_mutex_lock(&folder->lock);
    struct row *row = row_of(folder, model);
    if (row == NULL && assets != NULL) {
        row = row_of(folder, "");
    }
    if (row != NULL && assets != NULL) {
        snprintf(row->model, sizeof(row->model), "%s", model);
        row->list = *assets;
        row->is_due = true;
    } else if (row != NULL) {
        memset(row, 0, sizeof(*row));
        folder->is_sweep_due = true;
    }
    pthread_cond_signal(&folder->changed);
    pthread_mutex_unlock(&folder->lock);
}

void flo_assets_folder_begin(struct flo_assets_folder *folder)
{
    pthread_mutex_lock(&folder->lock);
    folder->is_complete = true;
    folder->is_sweep_due = true;
    pthread_cond_signal(&folder->changed);
    pthread_mutex_unlock(&folder->lock);
}

int flo_assets_folder_open(struct flo_store *store, const char *path,
                           struct flo_assets_folder **out, struct flo_err *err)
{
    struct flo_assets_folder *folder = calloc(1, sizeof(*folder));
    sigset_t all, before;

    if (folder == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the folder of assets");
    }
    folder->store = store;
    folder->path = path;
    pthread_mutex_init(&folder->lock, NULL);
    flo_steady_init(&folder->changed);
    /* all signals are blocked in the new thread, because the agent's loop handles
     * them */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&folder->thread, NULL, run, folder);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        pthread_cond_destroy(&folder->changed);
        pthread_mutex_destroy(&folder->lock);
        free(folder);
        return flo_fail(err, FLO_E_MEMORY, "no thread for assets");
    }
    *out = folder;
    return 0;
}

void flo_assets_folder_close(struct flo_assets_folder *folder)
{
    pthread_mutex_lock(&folder->lock);
    folder->is_to_end = true;
    pthread_cond_signal(&folder->changed);
    pthread_mutex_unlock(&folder->lock);
    pthread_join(folder->thread, NULL);
    pthread_cond_destroy(&folder->changed);
    pthread_mutex_destroy(&folder->lock);
    free(folder);
}
