/* Named files: makes the folders of a file's name, and removes a folder with
 * all that is in it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/store/store.h"

#define DEPTH_MAX 8 /* deepest folder; names have at most 4 parts */

int flo_store_folders_make(int tree, const char *name, struct flo_err *err)
{
    char path[FLO_FILE_NAME_MAX + 1];

    if (!flo_release_name_is_valid(name)) { /* such a name could lead out of the tree */
        return flo_fail(err, FLO_E_META_NAME, "`%.128s` is no name of a file", name);
    }
    for (const char *p = strchr(name, '/'); p != NULL; p = strchr(p + 1, '/')) {
        size_t chars = (size_t)(p - name);
        memcpy(path, name, chars);
        path[chars] = '\0';
        if (mkdirat(tree, path, 0700) < 0 && errno != EEXIST) {
            return flo_fail_errno(err, FLO_E_IO_WRITE, "folder %s", path);
        }
    }
    return 0;
}

static void remove_below(int dir_fd, const char *name, int depth)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(fd, entry->d_name, 0) < 0 && depth < DEPTH_MAX) {
            remove_below(fd, entry->d_name, depth + 1);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    } else if (fd >= 0) {
        close(fd);
    }
    unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void flo_store_folder_remove(int dir_fd, const char *name)
{
    remove_below(dir_fd, name, 0);
}
