/* Assets: files of releases under their names, for other programs of the
 * device; see updater.h.
 *
 *   <model>                    symlink to the tree that the model shows
 *   .<model>.<hex>[.2]/<name>  a tree; <hex> is the digest of the list of its files
 *   .<model>.new/              a tree that is being made; nothing points to it
 *   .<model>.link              a symlink that is about to be renamed
 *
 * A tree never changes once it has its name.  One that was damaged is made again
 * under the other of its two names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>

#include "base/host/digest.h"
#include "updater/store/store.h"

#define HEX_CHARS 64
#define TREE_NAME (FLO_NAME_MAX + HEX_CHARS + 8)

/* ---- names ---- */

static void tree_name(const char *model, const struct flo_asset_list *assets, char out[TREE_NAME])
{
    struct flo_buf text = {0};
    struct flo_digest digest;
    char hex[HEX_CHARS + 1];

    for (uint32_t i = 0; i < assets->count; i++) {
        flo_hex_encode(assets->files[i].digest.bytes, sizeof(digest.bytes), hex);
        flo_buf_printf(&text, "%s %s\n", hex, assets->files[i].name);
    }
    flo_sha256(text.data, text.bytes, &digest);
    flo_buf_deinit(&text);
    flo_hex_encode(digest.bytes, sizeof(digest.bytes), hex);
    snprintf(out, TREE_NAME, ".%s.%s", model, hex);
}

/* Reads the model of a name that this file makes, ".<model>.<rest>".  Returns
 * the rest, or NULL for a name of somebody else. */
static const char *name_read(const char *name, char model[FLO_NAME_MAX + 1])
{
    struct flo_digest digest;
    char hex[HEX_CHARS + 3];
    const char *dot = strrchr(name, '.');

    if (dot != NULL && dot > name && strcmp(dot, ".2") == 0) {
        do { /* a digest has no dot */
            dot--;
        } while (dot > name && *dot != '.');
    }
    if (name[0] != '.' || dot == NULL || dot == name || dot - name - 1 > FLO_NAME_MAX) {
        return NULL;
    }
    memcpy(model, name + 1, (size_t)(dot - name - 1));
    model[dot - name - 1] = '\0';
    snprintf(hex, sizeof(hex), "%s", dot + 1);
    if (strlen(dot + 1) == HEX_CHARS + 2) {
        hex[HEX_CHARS] = '\0'; /* without ".2" */
    }
    return flo_name_is_valid(model) && (strcmp(dot, ".new") == 0 || strcmp(dot, ".link") == 0 ||
                                        flo_hex_decode(hex, digest.bytes, sizeof(digest.bytes)))
               ? dot + 1
               : NULL;
}

static void shown(int folder, const char *model, char out[TREE_NAME])
{
    ssize_t n = readlinkat(folder, model, out, TREE_NAME - 1);

    out[n > 0 ? n : 0] = '\0';
}

/* ---- removal ---- */

/* Removes the names for which `is_kept` returns false. */
static void remove_trees(int folder, bool (*is_kept)(const void *context, const char *name),
                         const void *context)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (!is_kept(context, entry->d_name) && unlinkat(folder, entry->d_name, 0) < 0) {
            flo_store_folder_remove(folder, entry->d_name);
        }
    }
    (void)(dir != NULL ? closedir(dir) : close(fd));
}

struct pair {
    const char *model, *now, *before;
};

static bool is_of_pair(const void *context, const char *name)
{
    const struct pair *pair = context;
    char model[FLO_NAME_MAX + 1];

    return name_read(name, model) == NULL || strcmp(model, pair->model) != 0 ||
           strcmp(name, pair->now) == 0 || strcmp(name, pair->before) == 0;
}

struct sweep {
    int folder;
    const char (*models)[FLO_NAME_MAX + 1];
    size_t count;
};

static bool is_listed(const struct sweep *sweep, const char *model)
{
    for (size_t i = 0; i < sweep->count; i++) {
        if (strcmp(sweep->models[i], model) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_needed(const void *context, const char *name)
{
    const struct sweep *sweep = context;
    char model[FLO_NAME_MAX + 1], target[TREE_NAME];

    if (name[0] == '.') {
        if (name_read(name, model) == NULL) {
            return true;
        }
        shown(sweep->folder, model, target);
        return is_listed(sweep, model) && strcmp(name, target) == 0;
    }
    shown(sweep->folder, name, target);
    return is_listed(sweep, name) || name_read(target, model) == NULL || strcmp(model, name) != 0;
}

void flo_store_assets_sweep(int folder, const char (*models)[FLO_NAME_MAX + 1], size_t count)
{
    const struct sweep sweep = {.folder = folder, .models = models, .count = count};

    remove_trees(folder, is_needed, &sweep);
    (void)!flo_store_sync_dir(folder, "assets", NULL);
}

/* ---- the folder ---- */

int flo_store_assets_open(const char *path, int *fd, struct flo_err *err)
{
    struct stat st;
    bool is_made = mkdir(path, 0700) == 0;
    FLO_CLEANUP(flo_fd_cleanup)
    int opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (opened < 0 || (is_made && fchmod(opened, 0750) < 0) || fstat(opened, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    FLO_CLEANUP(flo_fd_cleanup)
    int above = is_made ? openat(opened, "..", O_RDONLY | O_CLOEXEC) : -1;
    FLO_TRY(above < 0 ? 0 : flo_store_sync_dir(above, path, err));
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        flo_fail(err, FLO_E_CFG_PERM,
                 "%s: owner %u, mode %04o; only the agent's user %u may write it", path,
                 (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777), (unsigned)geteuid());
        return flo_err_fix(err, "chown %u %s && chmod go-w %s", (unsigned)geteuid(), path, path);
    }
    *fd = opened;
    opened = -1;
    return 0;
}

/* Replaces the model's symlink in one step.  The tree's name is durable before,
 * also if a process was killed that made it. */
static int point(int folder, const char *model, const char *name, struct flo_err *err)
{
    char fresh[TREE_NAME];

    FLO_TRY(flo_store_sync_dir(folder, "assets", err));
    snprintf(fresh, sizeof(fresh), ".%s.link", model);
    unlinkat(folder, fresh, 0);
    if (symlinkat(name, folder, fresh) < 0 || renameat(folder, fresh, folder, model) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", model);
    }
    return flo_store_sync_dir(folder, "assets", err);
}

static int make(const struct flo_store *store, int folder, const char *model, const char *name,
                const struct flo_asset_list *assets, struct flo_err *err)
{
    char fresh[TREE_NAME];

    snprintf(fresh, sizeof(fresh), ".%s.new", model);
    FLO_TRY(flo_store_asset_tree_make(store, folder, fresh, assets, err));
    flo_store_folder_remove(folder, name);
    return renameat(folder, fresh, folder, name) == 0
               ? 0
               : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", name);
}

int flo_store_assets_show(const struct flo_store *store, int folder, const char *model,
                          const struct flo_asset_list *assets, struct flo_err *err)
{
    char name[TREE_NAME], before[TREE_NAME];
    const struct pair pair = {model, name, before};

    if (!flo_name_is_valid(model)) {
        return flo_fail(err, FLO_E_META_NAME, "`%.64s` is no name of a model", model);
    }
    tree_name(model, assets, name);
    shown(folder, model, before);
    if (strncmp(before, name, strlen(name)) == 0 &&
        flo_store_asset_tree_is_whole(store, folder, before, assets)) {
        return 0;
    }
    if (strcmp(before, name) == 0) { /* the tree is damaged, and its other name is free */
        strcat(name, ".2");
    }
    if (!flo_store_asset_tree_is_whole(store, folder, name, assets)) {
        FLO_TRY(make(store, folder, model, name, assets, err));
    }
    FLO_TRY(point(folder, model, name, err));
    remove_trees(folder, is_of_pair, &pair);
    return 0;
}
