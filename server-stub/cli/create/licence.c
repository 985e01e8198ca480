/* Licence: the licence of a new release, and whether it is allowed.
 *
 * It comes from --license, or else from the models: a GGUF file names its own.
 * The licence that a model names must be allowed, too, so that no flag hides
 * it. */
#include <string.h>
#include <sys/stat.h>

#include <flotilla/errors/release.h>

#include "base/gguf/gguf.h"
#include "proto/license.h"
#include "server-stub/cli/create/create.h"

#define FILE_BYTES_MAX (1u << 20)

/* Reads the id that a licence file names.  A value of --license that is no
 * file is the id itself. */
static int read_given(struct flo_create *create, const char *given, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct stat status;
    size_t bytes;

    if (stat(given, &status) < 0 || !S_ISREG(status.st_mode)) {
        return 0;
    }
    FLO_TRY(flo_file_read(given, FILE_BYTES_MAX, &text, &bytes, err));
    if (!flo_license_find(text, create->license, sizeof(create->license))) {
        flo_fail(err, FLO_E_USAGE, "--license %s: it has no line SPDX-License-Identifier", given);
        return flo_err_fix(err, "add the line, or give the id: --license apache-2.0");
    }
    create->author.license = create->license;
    return 0;
}

/* Copies the licence that a GGUF file names; "": it is no GGUF file, or names
 * none. */
static void read_named(const char *path, char *out, size_t out_bytes)
{
    struct flo_gguf *gguf = NULL;

    out[0] = '\0';
    if (flo_gguf_open_path(path, &gguf, NULL) == 0) {
        flo_gguf_copy_string(gguf, "general.license", out, out_bytes);
    }
    flo_gguf_close(gguf);
}

/* Takes over the licence of a model, when none is given: `A AND B` for two
 * models with different ones. */
static int add_named(struct flo_create *create, const char *path, const char *named,
                     struct flo_err *err)
{
    size_t used = strlen(create->license);
    size_t room = sizeof(create->license) - used;

    if (strcasestr(create->license, named) != NULL) {
        return 0;
    }
    int bytes = snprintf(create->license + used, room, "%s%s", used > 0 ? " AND " : "", named);
    if (bytes < 0 || (size_t)bytes >= room) {
        flo_fail(err, FLO_E_USAGE, "%s: the licences of all models have more than %d bytes", path,
                 FLO_LICENSE_BYTES_MAX);
        return flo_err_fix(err, "give the release's licence with --license");
    }
    create->author.license = create->license;
    return 0;
}

static int refuse(const char *what, const char *refused, const char *list, struct flo_err *err)
{
    return refused[0] == '\0'
               ? flo_fail(err, FLO_E_RELEASE_LICENCE, "%s names no licence; allowed are %s", what,
                          list)
               : flo_fail(err, FLO_E_RELEASE_LICENCE, "%s has the licence %s; allowed are %s", what,
                          refused, list);
}

static bool is_model(const struct flo_author_file *file)
{
    return file->path != NULL &&
           (strcmp(file->role, "model") == 0 || strcmp(file->role, "adapter") == 0 ||
            strcmp(file->role, FLO_ROLE_DRAFT) == 0);
}

int flo_create_license(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const char *given = flo_args_text(&cli->args, "license", NULL);
    char named[FLO_LICENSE_BYTES_MAX + 1];

    if (given != NULL) {
        return read_given(create, given, err);
    }
    for (size_t i = 0; i < create->author.file_count; i++) {
        const struct flo_author_file *file = &create->files[i];
        if (is_model(file)) {
            read_named(file->path, named, sizeof(named));
            if (named[0] != '\0') {
                FLO_TRY(add_named(create, file->path, named, err));
            }
        }
    }
    return 0;
}

/* Checks the licence that a model names itself.  Copies it to `named`. */
static int check_named(const char *path, const char *list, char *named, size_t bytes,
                       struct flo_err *err)
{
    char refused[FLO_LICENSE_BYTES_MAX + 1];

    read_named(path, named, bytes);
    if (named[0] != '\0' && !flo_license_is_allowed(list, named, refused, sizeof(refused))) {
        return refuse(path, refused, list, err);
    }
    return 0;
}

static int check_release(const char *license, const char *list, struct flo_err *err)
{
    char refused[FLO_LICENSE_BYTES_MAX + 1];

    return flo_license_is_allowed(list, license, refused, sizeof(refused))
               ? 0
               : refuse("the release", refused, list, err);
}

int flo_create_check_model_license(const char *path, const char *given, const char *list,
                                   struct flo_err *err)
{
    char named[FLO_LICENSE_BYTES_MAX + 1];

    if (list == NULL || list[0] == '\0') {
        return 0;
    }
    FLO_TRY(check_named(path, list, named, sizeof(named), err));
    return check_release(given != NULL ? given : named, list, err);
}

int flo_create_check_license(const struct flo_create *create, const char *list, struct flo_err *err)
{
    char named[FLO_LICENSE_BYTES_MAX + 1];

    if (list == NULL || list[0] == '\0') {
        return 0;
    }
    for (size_t i = 0; i < create->author.file_count; i++) {
        if (is_model(&create->files[i])) {
            FLO_TRY(check_named(create->files[i].path, list, named, sizeof(named), err));
        }
    }
    return check_release(create->author.license != NULL ? create->author.license : "", list, err);
}
