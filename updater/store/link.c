/* Model links: paths by which programs find the files of a release that answers
 * no requests.
 *
 *   links/<model>    symlink to ../trees/sha256-<hex of the release>
 *   links/.<model>   symlink whose text is no path: "<runtime> pending", or
 *                    "<runtime> sha256-<hex>" once the hook ran for that link
 *
 * The marker says "pending" before the link changes.  So after a power cut at
 * any time the marker does not match the link, and the hook runs again.  A
 * marker without a link means that the link was removed and its hook did not
 * run. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "updater/store/store.h"

#define TARGET "../trees/"
#define TEXT_MAX 160
#define PENDING "pending"

static int links_open(const struct flo_store *store, bool makes)
{
    bool is_made = makes && mkdirat(store->dir_fd, "links", 0755) == 0;
    return is_made && flo_store_sync_dir(store->dir_fd, "links", NULL) < 0
               ? -1
               : openat(store->dir_fd, "links", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- text ---- */

static bool read_text(int links, const char *name, char out[TEXT_MAX])
{
    ssize_t n = readlinkat(links, name, out, TEXT_MAX - 1);

    out[n > 0 ? n : 0] = '\0';
    return n > 0 && n < TEXT_MAX - 1;
}

static bool read_digest(const char *text, struct flo_digest *out)
{
    const char *rest = flo_store_name_read(text, out);

    return rest != NULL && *rest == '\0';
}

static void read_mark(const char *text, struct flo_link *out)
{
    const char *blank = strchr(text, ' ');
    size_t chars = blank == NULL ? 0 : (size_t)(blank - text);

    if (chars == 0 || chars >= sizeof(out->runtime)) {
        return;
    }
    memcpy(out->runtime, text, chars);
    out->runtime[chars] = '\0';
    out->has_mark = true;
    if (!read_digest(blank + 1, &out->hooked)) {
        memset(&out->hooked, 0, sizeof(out->hooked));
    }
}

static void look(int links, const char *model, struct flo_link *out)
{
    char name[FLO_NAME_MAX + 2];
    char text[TEXT_MAX];

    memset(out, 0, sizeof(*out));
    if (read_text(links, model, text)) {
        out->has_link = true;
        if (strncmp(text, TARGET, strlen(TARGET)) != 0 ||
            !read_digest(text + strlen(TARGET), &out->release)) {
            memset(&out->release, 0, sizeof(out->release));
        }
    }
    snprintf(name, sizeof(name), ".%s", model);
    if (read_text(links, name, text)) {
        read_mark(text, out);
    }
}

/* ---- writing ---- */

/* Replaces a symlink in one step, by renaming a new one over it. */
static int put(int links, const char *name, const char *text, struct flo_err *err)
{
    static const char *const fresh = "+new"; /* a temporary name; no model can have it */

    unlinkat(links, fresh, 0);
    if (symlinkat(text, links, fresh) < 0 || renameat(links, fresh, links, name) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "links/%s", name);
    }
    return 0;
}

static int put_mark(int links, const char *model, const char *runtime, const char *word,
                    struct flo_err *err)
{
    char name[FLO_NAME_MAX + 2];
    char text[TEXT_MAX];

    snprintf(name, sizeof(name), ".%s", model);
    snprintf(text, sizeof(text), "%.31s %s", runtime, word);
    return put(links, name, text, err);
}

static int take_away(int links, const char *name, struct flo_err *err)
{
    return unlinkat(links, name, 0) == 0 || errno == ENOENT
               ? 0
               : flo_fail_errno(err, FLO_E_IO_WRITE, "links/%s", name);
}

int flo_store_link_get(struct flo_store *store, const char *model, struct flo_link *out,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int links = links_open(store, false);

    memset(out, 0, sizeof(*out));
    if (links < 0) {
        return errno == ENOENT ? 0 : flo_fail_errno(err, FLO_E_IO_OPEN, "%s/links", store->path);
    }
    look(links, model, out);
    return 0;
}

int flo_store_link_set(struct flo_store *store, const char *model, const char *runtime,
                       const struct flo_digest *release, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int links = links_open(store, true);
    char target[sizeof(TARGET) + FLO_BLOB_NAME] = TARGET;

    if (links < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s/links", store->path);
    }
    FLO_TRY(put_mark(links, model, runtime, PENDING, err));
    FLO_TRY(flo_store_sync_dir(links, "links", err));
    if (release != NULL) {
        flo_store_blob_name(release, target + strlen(TARGET));
        FLO_TRY(put(links, model, target, err));
    } else {
        FLO_TRY(take_away(links, model, err));
    }
    return flo_store_sync_dir(links, "links", err);
}

int flo_store_link_done(struct flo_store *store, const char *model, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int links = links_open(store, true);
    char name[FLO_NAME_MAX + 2];
    char word[FLO_BLOB_NAME];
    struct flo_link link;

    if (links < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s/links", store->path);
    }
    look(links, model, &link);
    if (link.has_link) {
        flo_store_blob_name(&link.release, word);
        FLO_TRY(put_mark(links, model, link.runtime, word, err));
    } else {
        snprintf(name, sizeof(name), ".%s", model);
        FLO_TRY(take_away(links, name, err));
    }
    return flo_store_sync_dir(links, "links", err);
}

size_t flo_store_links(struct flo_store *store, char (*models)[FLO_NAME_MAX + 1], size_t models_max)
{
    FLO_CLEANUP(flo_fd_cleanup) int links = links_open(store, false);
    int copy = links < 0 ? -1 : dup(links);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;
    size_t count = 0;

    while (dir != NULL && count < models_max && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name + (entry->d_name[0] == '.');
        size_t i = 0;
        if (!flo_name_is_valid(name)) {
            continue;
        }
        while (i < count && strcmp(models[i], name) != 0) {
            i++;
        }
        if (i == count) {
            memcpy(models[count++], name, strlen(name) + 1);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}
