/* Draft: adds the file of --draft to a release, and refuses one that no device
 * could use. */
#include <string.h>
#include <sys/wait.h>

#include <flotilla/errors/draft.h>

#include "server-stub/cli/create/create.h"

#define TABLE "FLODRAFT" /* first bytes of a table */
#define GGUF "GGUF"

/* ---- the flag ---- */

/* Finds the name of a draft in the release: its ending tells the kind, as its
 * first bytes do. */
static int find_name(const char *path, const char **name, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char head[sizeof(TABLE)] = "";

    FLO_TRY(flo_file_open(path, &fd, err));
    bool is_read = flo_fd_pread_all(fd, head, sizeof(TABLE) - 1, 0, NULL) == 0;
    *name = is_read && strcmp(head, TABLE) == 0                 ? "draft.table"
            : is_read && strncmp(head, GGUF, strlen(GGUF)) == 0 ? "draft.gguf"
                                                                : NULL;
    return *name != NULL
               ? 0
               : flo_fail(err, FLO_E_DRAFT_UNFIT,
                          "it begins neither with " TABLE ", as a table does, nor with " GGUF);
}

int flo_create_read_draft(const struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    struct flo_author_file *draft = &create->draft;
    const char *path, *second;

    if (!flo_args_each(&cli->args, "draft", 0, &path)) {
        return 0;
    }
    if (flo_args_each(&cli->args, "draft", 1, &second)) {
        flo_fail(err, FLO_E_USAGE, "--draft %.100s and --draft %.100s: one is for all variants",
                 path, second);
        return flo_err_fix(err, "give each variant its own: --file NAME=PATH:draft, and NAME in "
                                "--variant");
    }
    if (create->parts.adapter != NULL) {
        flo_fail(err, FLO_E_USAGE, "--draft and --adapter exclude each other");
        return flo_err_fix(err, "make the draft a part of the base: an adapter's release has its "
                                "base's draft");
    }
    int rv = find_name(path, &draft->name, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "--draft %.200s", path);
    }
    draft->role = FLO_ROLE_DRAFT;
    draft->path = path;
    return 0;
}

/* ---- the variants ---- */

static bool is_draft(const struct flo_author_file *file)
{
    return strcmp(file->role, FLO_ROLE_DRAFT) == 0;
}

/* Names the files of a variant that named none: all files but drafts. */
static void name_files(const struct flo_create *create, struct flo_author_variant *variant)
{
    size_t count = 0;

    for (size_t i = 0; i < create->author.file_count; i++) {
        if (!is_draft(&create->files[i])) {
            variant->files[count++] = create->files[i].name;
        }
    }
}

static size_t count_drafts(const struct flo_create *create,
                           const struct flo_author_variant *variant)
{
    const struct flo_author_file *file;
    size_t count = 0;

    for (size_t i = 0; (file = flo_create_file_at(create, variant, i)) != NULL; i++) {
        count += is_draft(file) ? 1 : 0;
    }
    return count;
}

/* Gives the draft `name` to a variant of our engine that has none of its own.
 * The other variants do not get it. */
static int share(const struct flo_create *create, struct flo_author_variant *variant,
                 const char *name, struct flo_err *err)
{
    bool has_all = variant->files[0] == NULL;

    if (!flo_create_is_native(variant)) {
        if (has_all) {
            name_files(create, variant);
        }
        return 0;
    }
    return has_all || count_drafts(create, variant) > 0
               ? 0
               : flo_create_append(variant, name, "a draft", err);
}

/* Finds the draft for all variants: that of --draft, or of an adapter's base. */
static const struct flo_author_file *find_shared(const struct flo_create *create)
{
    for (size_t i = 0; i < create->author.file_count; i++) {
        const struct flo_author_file *file = &create->files[i];
        if (is_draft(file) && (file->published != NULL || file->path == create->draft.path)) {
            return file;
        }
    }
    return NULL;
}

int flo_create_add_draft(struct flo_create *create, struct flo_err *err)
{
    if (create->draft.path != NULL) {
        if (create->author.file_count == FLO_RELEASE_FILES_MAX) {
            return flo_fail(err, FLO_E_USAGE, "a release has at most %d files",
                            FLO_RELEASE_FILES_MAX);
        }
        create->files[create->author.file_count++] = create->draft;
    }
    const struct flo_author_file *shared = find_shared(create);
    for (size_t i = 0; shared != NULL && create->parts.is_used && i < create->parts.variant_count;
         i++) {
        FLO_TRY(share(create, &create->parts.variants[i], shared->name, err));
    }
    return 0;
}

/* ---- checks ---- */

/* Checks that a variant of our engine has at most one draft, and any other
 * variant none. */
static int check_variant(const struct flo_create *create, const struct flo_author_variant *variant,
                         struct flo_err *err)
{
    size_t count = count_drafts(create, variant);

    if (count > 1) {
        flo_fail(err, FLO_E_USAGE, "variant %s has %zu drafts, 1 is allowed", variant->name, count);
        return flo_err_fix(err, "name one of them in --variant");
    }
    if (count > 0 && !flo_create_is_native(variant)) {
        flo_fail(err, FLO_E_USAGE, "variant %s has a draft, which runtime %s cannot read",
                 variant->name, variant->runtime);
        return flo_err_fix(err, "leave the draft out: it is for variants of Flotilla's own engine");
    }
    return 0;
}

/* Returns the path of the variant's draft; NULL: it has none, or it is
 * published. */
static const char *draft_of(const struct flo_create *create,
                            const struct flo_author_variant *variant)
{
    const struct flo_author_file *file;
    size_t i = 0;

    while ((file = flo_create_file_at(create, variant, i)) != NULL && !is_draft(file)) {
        i++;
    }
    return file != NULL ? file->path : NULL;
}

/* Lets the engine compare a draft with its model. */
static int compare(const char *model, const char *draft, struct flo_err *err)
{
    const char *const words[] = {"draft", model, draft, NULL};
    int status = 0;

    FLO_TRY(flo_create_run_engine(words, &status, err));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : flo_fail(err, FLO_E_DRAFT_UNFIT, "%s is no draft for %s; the reason stands above",
                          draft, model);
}

/* Tells whether an earlier variant has the same model and draft. */
static bool is_repeated(const struct flo_create *create, size_t variant, const char *model,
                        const char *draft)
{
    for (size_t i = 0; i < variant; i++) {
        const struct flo_author_variant *other = &create->author.variants[i];
        if (draft_of(create, other) == draft && flo_create_model_of(create, other) == model) {
            return true;
        }
    }
    return false;
}

int flo_create_check_drafts(const struct flo_cli *cli, const struct flo_create *create,
                            struct flo_err *err)
{
    bool is_used = create->draft.path == NULL;

    for (size_t i = 0; i < create->author.variant_count; i++) {
        const struct flo_author_variant *variant = &create->author.variants[i];
        const char *draft = draft_of(create, variant);
        const char *model = flo_create_model_of(create, variant);
        FLO_TRY(check_variant(create, variant, err));
        is_used = is_used || draft == create->draft.path;
        if (draft != NULL && model != NULL && !flo_args_has(&cli->args, "skip-play") &&
            !is_repeated(create, i, model, draft)) {
            FLO_TRY(compare(model, draft, err));
        }
    }
    if (!is_used) {
        flo_fail(err, FLO_E_USAGE, "--draft %.200s: no variant is for Flotilla's own engine",
                 create->draft.path);
        return flo_err_fix(err, "leave it out: no other runtime reads drafts");
    }
    return 0;
}
