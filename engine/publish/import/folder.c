#include "engine/publish/import/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/given.h"
#include "engine/publish/import/config.h"

#define INDEX "model.safetensors.index.json"
#define INDEX_BYTES_MAX (64u << 20)

int flo_folder_read(const struct flo_folder *folder, const char *name, size_t bytes_max,
                    char **data, size_t *bytes, struct flo_err *err)
{
    struct flo_err absent = {0};
    *data = NULL;
    *bytes = 0;
    int rv = flo_given_read(folder->path, name, bytes_max, data, bytes, &absent);
    if (rv == FLO_E_ABSENT) {
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = absent;
    }
    return rv;
}

/* ---- shards ---- */

/* Tells whether a name is that of a file in the folder itself. */
static bool is_inside(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL && strlen(name) < 200;
}

static int grow(struct flo_folder *folder, size_t more, struct flo_err *err)
{
    if (folder->count + more > FLO_FOLDER_TENSORS_MAX) {
        return flo_folder_fail(err, "%zu tensors, at most %u are read", folder->count + more,
                               FLO_FOLDER_TENSORS_MAX);
    }
    struct flo_folder_tensor *tensors =
        realloc(folder->tensors, (folder->count + more + 1) * sizeof(*tensors));
    if (tensors == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", folder->count + more);
    }
    folder->tensors = tensors;
    return 0;
}

/* Adds the tensors of one open shard. */
static int add_tensors(struct flo_folder *folder, const struct flo_safetensors *shard, int fd,
                       const char *prefix, struct flo_err *err)
{
    size_t count = flo_safetensors_count(shard);
    FLO_TRY(grow(folder, count, err));
    for (size_t i = 0; i < count; i++) {
        struct flo_folder_tensor *tensor = &folder->tensors[folder->count];
        size_t bytes = strlen(prefix) + strlen(flo_safetensors_at(shard, i)->name) + 1;
        char *name = malloc(bytes);
        if (name == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "a tensor's name");
        }
        *tensor = (struct flo_folder_tensor){
            .at = *flo_safetensors_at(shard, i), .fd = fd, .order = (uint32_t)folder->count};
        snprintf(name, bytes, "%s%s", prefix, tensor->at.name);
        tensor->at.name = name;
        tensor->values = 1;
        for (uint32_t d = 0; d < tensor->at.dim_count; d++) {
            tensor->values *= tensor->at.dims[d]; /* the reader checked the product */
        }
        folder->bytes += tensor->at.bytes;
        folder->count++;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct flo_folder_tensor *x = a, *y = b;
    return strcmp(x->at.name, y->at.name);
}

static int sort_tensors(struct flo_folder *folder, struct flo_err *err)
{
    qsort(folder->tensors, folder->count, sizeof(*folder->tensors), by_name);
    for (size_t i = 1; i < folder->count; i++) {
        if (by_name(&folder->tensors[i - 1], &folder->tensors[i]) == 0) {
            return flo_folder_fail(err, "tensor '%.64s' is there twice",
                                   folder->tensors[i].at.name);
        }
    }
    return 0;
}

static int open_shard(struct flo_folder *folder, const char *name, const char *prefix,
                      struct flo_err *err)
{
    size_t at = folder->shard_count;
    if (at == FLO_FOLDER_SHARDS_MAX) {
        return flo_folder_fail(err, "more than %d files of weights", FLO_FOLDER_SHARDS_MAX);
    }
    int rv = flo_given_open(folder->path, name, &folder->fds[at], err);
    if (rv == FLO_E_ABSENT) {
        rv = flo_folder_fail(err, "%s is missing", name);
    }
    FLO_TRY(rv);
    folder->shard_count++;
    rv = flo_safetensors_open_fd(folder->fds[at], &folder->shards[at], err);
    return rv < 0 ? flo_wrap(err, rv, "%s", name)
                  : add_tensors(folder, folder->shards[at], folder->fds[at], prefix, err);
}

int flo_folder_add(struct flo_folder *folder, const char *name, const char *prefix,
                   struct flo_err *err)
{
    FLO_TRY(open_shard(folder, name, prefix, err));
    return sort_tensors(folder, err);
}

/* ---- the index ---- */

/* Opens each file that the index names, once. */
static int open_indexed(struct flo_folder *folder, const struct flo_tree_node *map,
                        struct flo_err *err)
{
    const char *opened[FLO_FOLDER_SHARDS_MAX];
    for (const struct flo_tree_node *node = flo_tree_first(map); node != NULL; node = node->next) {
        size_t i = 0;
        if (node->kind != FLO_TREE_STRING || !is_inside(node->text)) {
            return flo_folder_fail(err, "the index puts tensor '%.64s' outside the folder",
                                   node->key);
        }
        while (i < folder->shard_count && strcmp(opened[i], node->text) != 0) {
            i++;
        }
        if (i == folder->shard_count) {
            FLO_TRY(open_shard(folder, node->text, "", err));
            opened[i] = node->text;
        }
    }
    return sort_tensors(folder, err);
}

static int check_indexed(const struct flo_folder *folder, const struct flo_tree_node *map,
                         struct flo_err *err)
{
    size_t count = 0;
    for (const struct flo_tree_node *node = flo_tree_first(map); node != NULL; node = node->next) {
        count++;
        if (flo_folder_find(folder, node->key) == NULL) {
            return flo_folder_fail(err, "tensor '%.64s' of the index is not in %s", node->key,
                                   node->text);
        }
    }
    return count == folder->count
               ? 0
               : flo_folder_fail(err, "%zu tensors, and the index names %zu", folder->count, count);
}

static int open_by_index(struct flo_folder *folder, char *text, size_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    int rv = flo_folder_tree(text, bytes, FLO_FOLDER_TENSORS_MAX * 2, &tree, err);
    if (rv == 0) {
        const struct flo_tree_node *map = flo_tree_member(tree.nodes, "weight_map");
        rv = map == NULL || map->kind != FLO_TREE_OBJECT || tree.has_odd
                 ? flo_folder_fail(err, "it has no weight_map of plain names")
                 : open_indexed(folder, map, err);
        if (rv == 0) {
            rv = check_indexed(folder, map, err);
        }
    }
    return rv < 0 ? flo_wrap(err, rv, INDEX) : 0;
}

/* ---- the folder ---- */

/* Files that may have weights, by the end of their names. */
static const struct {
    const char *ending, *what, *fix;
} weights[] = {
    {".bin", "a pickle can run a program when it is read", NULL},
    {".pt", "a pickle can run a program when it is read", NULL},
    {".pth", "a pickle can run a program when it is read", NULL},
    {".pkl", "a pickle can run a program when it is read", NULL},
    {".ckpt", "a pickle can run a program when it is read", NULL},
    {".gguf", "that file is a model by itself", "name the file, not the folder"},
    {"consolidated.safetensors", "its tensors have the names of another program (params.json)",
     "take the files of the folder that transformers reads (model.safetensors)"},
    {".safetensors", "nothing says that it is the model", "name it model.safetensors"},
};

/* Returns the row of a file with weights, or -1. */
static int find_weights(const char *name)
{
    for (size_t i = 0; i < FLO_COUNT(weights); i++) {
        if (flo_text_ends(name, weights[i].ending)) {
            return (int)i;
        }
    }
    return -1;
}

/* Says why a folder without safetensors is refused. */
static int refuse(const struct flo_folder *folder, struct flo_err *err)
{
    char found[NAME_MAX + 1] = "";
    int row = -1;
    DIR *dir = opendir(folder->path);
    if (dir == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", folder->path);
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        int here = find_weights(entry->d_name);
        if (here >= 0 && (row < 0 || here < row)) {
            row = here;
            snprintf(found, sizeof(found), "%s", entry->d_name);
        }
    }
    closedir(dir);
    if (row < 0) {
        return flo_folder_fail(err, "it has no model.safetensors and no " INDEX);
    }
    flo_folder_fail(err, "its weights are in '%.64s': %s", found, weights[row].what);
    return flo_err_fix(err, "%s",
                       weights[row].fix != NULL
                           ? weights[row].fix
                           : "take the folder's safetensors; or load it where you trust it, and "
                             "save it with safe_serialization=True");
}

static bool is_taken(const struct flo_folder *folder, const struct stat *file)
{
    bool is_taken = false;
    for (size_t i = 0; i < folder->shard_count; i++) {
        struct stat shard;
        is_taken = is_taken || (fstat(folder->fds[i], &shard) == 0 &&
                                shard.st_ino == file->st_ino && shard.st_dev == file->st_dev);
    }
    return is_taken;
}

void flo_folder_left(const struct flo_folder *folder, struct flo_buf *report)
{
    struct stat file;
    DIR *dir = opendir(folder->path);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        bool is_original = strcmp(entry->d_name, "original") == 0;
        char name[256];
        if ((find_weights(entry->d_name) >= 0 || is_original) &&
            fstatat(dirfd(dir), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
            !is_taken(folder, &file)) {
            flo_text_clean(entry->d_name, strlen(entry->d_name), name, sizeof(name));
            flo_buf_printf(report,
                           "passed\t.\t%s%s\t\t"
                           "the weights are those of %s\n",
                           name, is_original ? "/" : "",
                           folder->shard_count == 1 ? "model.safetensors" : INDEX);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

int flo_folder_open(struct flo_folder *folder, struct flo_err *err)
{
    char *text;
    size_t bytes;
    FLO_TRY(flo_folder_read(folder, INDEX, INDEX_BYTES_MAX, &text, &bytes, err));
    if (text != NULL) {
        int rv = open_by_index(folder, text, bytes, err);
        free(text);
        return rv;
    }
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    int rv = flo_given_open(folder->path, "model.safetensors", &fd, NULL);
    return rv == FLO_E_ABSENT ? refuse(folder, err)
                              : flo_folder_add(folder, "model.safetensors", "", err);
}

void flo_folder_close(struct flo_folder *folder)
{
    for (size_t i = 0; i < folder->shard_count; i++) {
        flo_safetensors_close(folder->shards[i]);
        close(folder->fds[i]);
    }
    for (size_t i = 0; i < folder->count; i++) {
        free((void *)(uintptr_t)folder->tensors[i].at.name);
        free(folder->tensors[i].packed);
    }
    free(folder->tensors);
    folder->tensors = NULL;
    folder->count = folder->shard_count = 0;
}

const struct flo_folder_tensor *flo_folder_find(const struct flo_folder *folder, const char *name)
{
    const struct flo_folder_tensor key = {.at.name = name};
    return folder->count == 0
               ? NULL
               : bsearch(&key, folder->tensors, folder->count, sizeof(*folder->tensors), by_name);
}
