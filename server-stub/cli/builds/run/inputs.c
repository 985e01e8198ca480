/* Inputs: digests of the files that a build reads. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/given.h"
#include "base/host/digest.h"
#include "base/ticker.h"
#include "server-stub/cli/builds/run/run.h"
#include "server-stub/cli/create/create.h"

#define FOLDER_DEPTH_MAX 2 /* `1_Pooling/config.json` of embedders */
#define FOLDER_FILES_MAX 4096

/* A folder whose files are hashed. */
struct folder {
    const char *path;
    struct flo_sha256 sha;
    size_t files;
};

static int hash_file(const char *path, struct flo_digest *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_file_open(path, &fd, err));
    int rv = flo_sha256_fd(fd, out, NULL, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

static int hash_entry(struct folder *folder, const char *inside, const char *name, int depth,
                      struct flo_err *err);

/* Hashes names and digests of a folder's files, sorted by name.  Hidden ones are
 * those of git and of downloads, so they are left out.  `inside`: the part of the
 * folder, "" or "1_Pooling". */
static int hash_folder(struct folder *folder, const char *inside, int depth, struct flo_err *err)
{
    char path[4096];
    struct dirent **names = NULL;
    int count = flo_path_join(path, sizeof(path), folder->path, inside)
                    ? scandir(path, &names, NULL, alphasort)
                    : -1;
    int rv = 0;

    if (count < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    for (int i = 0; i < count; i++) {
        if (rv == 0 && names[i]->d_name[0] != '.') {
            rv = hash_entry(folder, inside, names[i]->d_name, depth, err);
        }
        free(names[i]);
    }
    free(names);
    return rv;
}

static int hash_entry(struct folder *folder, const char *inside, const char *name, int depth,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct stat status;
    struct flo_digest digest;
    char full[4096], within[600];

    snprintf(within, sizeof(within), "%s%s%s", inside, inside[0] == '\0' ? "" : "/", name);
    if (!flo_path_join(full, sizeof(full), folder->path, within) || stat(full, &status) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s/%s", folder->path, within);
    }
    if (S_ISDIR(status.st_mode) && depth + 1 < FOLDER_DEPTH_MAX) {
        flo_sha256_update(&folder->sha, name, strlen(name) + 1);
        return hash_folder(folder, within, depth + 1, err);
    }
    if (!S_ISREG(status.st_mode)) {
        return 0;
    }
    if (++folder->files > FOLDER_FILES_MAX) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s: it has more than %d files, so it is no model",
                        folder->path, FOLDER_FILES_MAX);
    }
    FLO_TRY(flo_given_open(folder->path, within, &fd, err));
    int rv = flo_sha256_fd(fd, &digest, NULL, err);
    FLO_TRY(rv < 0 ? flo_wrap(err, rv, "%s", full) : 0);
    flo_sha256_update(&folder->sha, name, strlen(name) + 1);
    flo_sha256_update(&folder->sha, digest.bytes, sizeof(digest.bytes));
    return 0;
}

static int hash_model(const struct flo_build_spec *spec, struct flo_build_digests *out,
                      struct flo_err *err)
{
    const char *path = spec->from;
    struct folder folder = {.path = path};
    struct stat status;

    if (stat(path, &status) < 0) {
        return flo_fail_errno(err, errno == ENOENT ? FLO_E_ABSENT : FLO_E_IO_OPEN, "`from`: %s",
                              path);
    }
    out->is_folder = S_ISDIR(status.st_mode);
    if (!out->is_folder) {
        return hash_file(path, &out->from, err);
    }
    FLO_TRY(flo_sha256_init(&folder.sha, err));
    int rv = hash_folder(&folder, "", 0, err);
    flo_sha256_final(&folder.sha, &out->from);
    flo_sha256_deinit(&folder.sha);
    return rv;
}

/* Hashes a file that a field names, if it names one. */
static int hash_named(const char *field, const char *path, struct flo_digest *out,
                      struct flo_err *err)
{
    if (path == NULL || strcmp(path, FLO_BUILD_CORPUS_BUILTIN) == 0) {
        return 0;
    }
    int rv = hash_file(path, out, err);
    return rv < 0 ? flo_wrap(err, rv, "`%s`", field) : 0;
}

static int hash_program(struct flo_digest *out, struct flo_err *err)
{
    char program[4096];

    if (!flo_create_model_program(program, sizeof(program))) {
        flo_fail(err, FLO_E_ABSENT,
                 "the program flotilla-model, which makes models, is not installed");
        return flo_err_fix(err, "install it next to flotilla");
    }
    return hash_file(program, out, err);
}

static int hash_all(const struct flo_build_spec *spec, struct flo_build_digests *out,
                    struct flo_err *err)
{
    struct flo_digest other;

    FLO_TRY(hash_program(&out->program, err));
    FLO_TRY(hash_named("calibrate", spec->calibrate, &out->calibrate, err));
    FLO_TRY(hash_named("evaluate.suite", spec->evaluate.suite, &out->suite, err));
    FLO_TRY(hash_named("golden.prompts", spec->golden.prompts, &out->golden, err));
    FLO_TRY(hash_named("golden.file", spec->golden.file, &out->golden, err));
    for (size_t i = 0; i < spec->assets.count; i++) {
        FLO_TRY(hash_named("assets", spec->assets.values[i], &other, err));
    }
    for (size_t i = 0; i < spec->serve.count; i++) {
        const char *value = spec->serve.values[i];
        FLO_TRY(hash_named("serve", value[0] == '@' ? value + 1 : NULL, &other, err));
    }
    return hash_model(spec, out, err);
}

int flo_build_inputs(const struct flo_build_spec *spec, struct flo_build_digests *out,
                     struct flo_err *err)
{
    struct flo_ticker ticker;

    *out = (struct flo_build_digests){0};
    flo_ticker_start(&ticker, "   reading      the inputs");
    int rv = hash_all(spec, out, err);
    flo_ticker_stop(&ticker);
    return rv;
}
