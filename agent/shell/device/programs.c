/* Programs: looks in PATH and among libraries for programs that could serve a
 * model, and for the devices that they would use.  No program is run. */
#include "agent/shell/device/programs.h"

#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Copies the first entry of a ':' list.  Returns the beginning of the next
 * entry; NULL: there is none. */
static const char *part_of(const char *list, char *out, size_t bytes)
{
    size_t n = strcspn(list, ":");

    snprintf(out, bytes, "%.*s", (int)(n < bytes ? n : 0), list);
    return list[n] == ':' ? list + n + 1 : NULL;
}

static bool find_program(const char *name, const char *path, const char *root,
                         struct flo_program_found *out)
{
    char folder[256], whole[1024];

    while (path != NULL) {
        path = part_of(path, folder, sizeof(folder));
        snprintf(out->path, sizeof(out->path), "%s/%s", folder, name);
        snprintf(whole, sizeof(whole), "%s%s", root, out->path);
        if (flo_server_path_is_plain(out->path) && is_program(whole)) {
            return true;
        }
    }
    return false;
}

/* Lists at most `most` paths below `root` that match a pattern, without `root`
 * in the result.  Returns their number. */
static size_t match(const char *pattern, const char *root, char (*out)[512], size_t most)
{
    char whole[1024];
    glob_t found;
    size_t n = 0;

    snprintf(whole, sizeof(whole), "%s%s", root, pattern);
    if (glob(whole, 0, NULL, &found) != 0) {
        return 0;
    }
    for (size_t i = 0; i < found.gl_pathc && n < most; i++) {
        const char *path = found.gl_pathv[i] + strlen(root);
        if (strlen(path) < sizeof(out[0]) && flo_server_path_is_plain(path)) {
            strcpy(out[n++], path);
        }
    }
    globfree(&found);
    return n;
}

static bool find_files(const char *patterns, const char *root, struct flo_program_found *out)
{
    char pattern[256], path[1][512];

    while (patterns != NULL) {
        patterns = part_of(patterns, pattern, sizeof(pattern));
        if (pattern[0] != '\0' && match(pattern, root, path, 1) == 1) {
            strcpy(out->path, path[0]);
            return true;
        }
    }
    return false;
}

size_t flo_programs_find(const char *path, const char *root,
                         struct flo_program_found out[FLO_PROGRAMS_MAX])
{
    const struct flo_server_program *rows;
    size_t count = flo_server_programs(&rows), n = 0;

    for (size_t i = 0; i < count && n < FLO_PROGRAMS_MAX; i++) {
        out[n].program = &rows[i];
        n += rows[i].program[0] != '\0' ? find_program(rows[i].program, path, root, &out[n])
                                        : find_files(rows[i].files, root, &out[n]);
    }
    return n;
}

void flo_program_found_write(const struct flo_program_found *found, const char *root,
                             struct flo_buf *out)
{
    static const char *const patterns[] = {"/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm",
                                           "/dev/dri",          "/dev/kfd",       "/dev/accel"};
    char paths[FLO_PROGRAM_DEVICES_MAX][512];
    const char *devices[FLO_PROGRAM_DEVICES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < FLO_COUNT(patterns); i++) {
        n += match(patterns[i], root, &paths[n], FLO_PROGRAM_DEVICES_MAX - n);
    }
    for (size_t i = 0; i < n; i++) {
        devices[i] = paths[i];
    }
    flo_server_write(found->program, found->path, devices, n, out);
}
