/* LoRAs: opens the adapter files of `flotilla-agent serve`; see loras.h.
 *
 * Inode, size and time identify a file, which stays open while it is loaded.
 * So an engine that replaces another one gets the same bytes, even if the name
 * refers to a new file by then. */
#include "agent/serve/standalone/loras.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".gguf"

void flo_loras_deinit(struct lora_list *list)
{
    while (list->count > 0) {
        flo_fd_cleanup(&list->files[--list->count].fd);
    }
}

/* Returns the index of an adapter in the list; `count`: it is not in the
 * list. */
static uint32_t find(const struct lora_list *list, const char *name)
{
    uint32_t i = 0;
    while (i < list->count && strcmp(list->files[i].name, name) != 0) {
        i++;
    }
    return i;
}

struct lora_file *flo_loras_find(struct lora_list *list, const char *name)
{
    uint32_t i = find(list, name);
    return i < list->count ? &list->files[i] : NULL;
}

/* ---- what there is ---- */

int flo_loras_name(struct lora_source *source, const char *text, struct flo_err *err)
{
    uint32_t n = source->count;
    size_t chars = strcspn(text, "=");
    if (n == FLO_SERVE_ADAPTERS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d --lora", FLO_SERVE_ADAPTERS_MAX);
    }
    snprintf(source->named[n].name, sizeof(source->named[n].name), "%.*s",
             chars > FLO_NAME_MAX ? 0 : (int)chars, text);
    if (text[chars] != '=' || text[chars + 1] == '\0' ||
        !flo_name_is_valid(source->named[n].name)) {
        return flo_fail(err, FLO_E_USAGE, "--lora %.80s is not NAME=FILE", text);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(source->named[i].name, source->named[n].name) == 0) {
            return flo_fail(err, FLO_E_USAGE, "--lora %s twice", source->named[n].name);
        }
    }
    source->named[n].path = text + chars + 1;
    source->count++;
    return 0;
}

static int add(struct lora_list *list, const char *name, const char *path, struct flo_err *err)
{
    struct lora_file *file = &list->files[list->count];
    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_META_NAME, "adapter %.80s", name);
    }
    if (find(list, name) < list->count) {
        return flo_fail(err, FLO_E_USAGE,
                        "adapter %s: another file has its "
                        "name",
                        name);
    }
    if (list->count == FLO_SERVE_ADAPTERS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "adapter %s: more than %d", name, FLO_SERVE_ADAPTERS_MAX);
    }
    *file = (struct lora_file){.fd = -1};
    int rv = flo_file_open(path, &file->fd, err);
    if (rv == 0 && fstat(file->fd, &file->stat) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
        flo_fd_cleanup(&file->fd);
    }
    if (rv == 0) {
        strcpy(file->name, name);
        list->count++;
    }
    return rv;
}

static int is_adapter(const struct dirent *entry)
{
    size_t chars = strlen(entry->d_name), suffix = strlen(SUFFIX);
    return entry->d_name[0] != '.' && chars > suffix &&
           strcmp(entry->d_name + chars - suffix, SUFFIX) == 0;
}

static int add_entry(const char *folder, const char *entry, struct lora_list *list,
                     struct flo_err *err)
{
    char name[256], path[4096];
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(entry) - strlen(SUFFIX)), entry);
    if (snprintf(path, sizeof(path), "%s/./%s", folder, entry) >= (int)sizeof(path)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%.80s: the path is too long", folder);
    }
    return add(list, name, path, err);
}

/* Returns the error `rv` if the list is strict.  Otherwise logs and ignores
 * it. */
static int bear(int rv, bool is_strict, struct flo_err *err)
{
    if (rv < 0 && !is_strict) {
        flo_log_err(FLO_LOG_WARN, "serve", err);
        *err = (struct flo_err){0};
        return 0;
    }
    return rv;
}

static int open_folder(const char *folder, bool is_strict, struct lora_list *list,
                       struct flo_err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_adapter, alphasort);
    int rv = 0;
    if (count < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", folder);
    }
    for (int i = 0; i < count; i++) {
        if (rv == 0) {
            rv = bear(add_entry(folder, entries[i]->d_name, list, err), is_strict, err);
        }
        free(entries[i]);
    }
    free(entries);
    return rv;
}

int flo_loras_open(const struct lora_source *source, bool is_strict, struct lora_list *list,
                   struct flo_err *err)
{
    int rv = 0;
    list->count = 0;
    for (uint32_t i = 0; rv == 0 && i < source->count; i++) {
        rv = bear(add(list, source->named[i].name, source->named[i].path, err), is_strict, err);
    }
    if (rv == 0 && source->folder != NULL) {
        rv = open_folder(source->folder, is_strict, list, err);
    }
    if (rv < 0) {
        flo_loras_deinit(list);
    }
    return rv;
}

/* ---- changes to make ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

const struct lora_file *flo_loras_to_drop(const struct lora_list *loaded,
                                          const struct lora_list *wanted)
{
    for (uint32_t i = 0; i < loaded->count; i++) {
        if (find(wanted, loaded->files[i].name) == wanted->count) {
            return &loaded->files[i];
        }
    }
    return NULL;
}

struct lora_file *flo_loras_to_load(const struct lora_list *loaded, struct lora_list *wanted)
{
    for (uint32_t i = 0; i < wanted->count; i++) {
        struct lora_file *file = &wanted->files[i];
        uint32_t old = find(loaded, file->name);
        if (!file->is_refused &&
            (old == loaded->count || !is_same(&loaded->files[old].stat, &file->stat))) {
            return file;
        }
    }
    return NULL;
}

void flo_loras_put(struct lora_list *loaded, struct lora_file *file)
{
    struct lora_file *place = flo_loras_find(loaded, file->name);
    if (place == NULL) {
        if (loaded->count == FLO_SERVE_ADAPTERS_MAX) {
            return;
        }
        place = &loaded->files[loaded->count++];
        place->fd = -1;
    }
    flo_fd_cleanup(&place->fd);
    *place = *file;
    file->fd = -1;
}

void flo_loras_remove(struct lora_list *loaded, const char *name)
{
    struct lora_file *file = flo_loras_find(loaded, name);
    if (file != NULL) {
        flo_fd_cleanup(&file->fd);
        *file = loaded->files[--loaded->count];
    }
}
