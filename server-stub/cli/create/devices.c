/* Devices: refuses before signing what each device would refuse, by the
 * functions and with the words of devices.
 *
 * These checks are left to the device, because their answers differ: trust in
 * the signing key, revoked and older releases, the needs of a variant (arch,
 * runtime, accelerator, memory, disk, rate), the runtime's program, its own
 * context and chat template, and speed and memory of the probe. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/probe.h>
#include <flotilla/golden.h>
#include <flotilla/plural.h>

#include "server-stub/cli/create/create.h"

/* ---- files of a variant ---- */

static const struct flo_author_file *find_file(const struct flo_create *create, const char *name)
{
    for (size_t i = 0; i < create->author.file_count; i++) {
        if (strcmp(create->files[i].name, name) == 0) {
            return &create->files[i];
        }
    }
    return NULL;
}

const struct flo_author_file *flo_create_file_at(const struct flo_create *create,
                                                 const struct flo_author_variant *variant,
                                                 size_t index)
{
    if (variant->files[0] == NULL) {
        return index < create->author.file_count ? &create->files[index] : NULL;
    }
    return variant->files[index] != NULL ? find_file(create, variant->files[index]) : NULL;
}

bool flo_create_holds(const struct flo_create *create, const struct flo_author_variant *variant,
                      const char *path)
{
    const struct flo_author_file *file;

    for (size_t i = 0; (file = flo_create_file_at(create, variant, i)) != NULL; i++) {
        if (file->path == path) {
            return true;
        }
    }
    return false;
}

bool flo_create_is_native(const struct flo_author_variant *variant)
{
    return variant->runtime == NULL || strcmp(variant->runtime, FLO_RUNTIME_NATIVE) == 0;
}

static const struct flo_author_file *find_role(const struct flo_create *create,
                                               const struct flo_author_variant *variant,
                                               const char *role)
{
    const struct flo_author_file *file;
    size_t i = 0;

    while ((file = flo_create_file_at(create, variant, i)) != NULL &&
           strcmp(file->role, role) != 0) {
        i++;
    }
    return file;
}

const char *flo_create_model_of(const struct flo_create *create,
                                const struct flo_author_variant *variant)
{
    const struct flo_author_file *file =
        variant->entry != NULL ? find_file(create, variant->entry) : NULL;

    file = file != NULL ? file : find_role(create, variant, "model");
    return file != NULL ? file->path : NULL;
}

int flo_create_append(struct flo_author_variant *variant, const char *name, const char *what,
                      struct flo_err *err)
{
    size_t count = 0;

    while (variant->files[count] != NULL) {
        count++;
    }
    if (count == FLO_RELEASE_FILES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "variant %s has %d files, and no room for %s",
                        variant->name, FLO_RELEASE_FILES_MAX, what);
    }
    variant->files[count] = name;
    return 0;
}

int flo_create_share_golden(struct flo_create *create, struct flo_err *err)
{
    for (size_t i = 0; create->has_golden && i < create->parts.variant_count; i++) {
        struct flo_author_variant *variant = &create->parts.variants[i];

        if (variant->files[0] == NULL || find_role(create, variant, "golden") != NULL) {
            continue;
        }
        FLO_TRY(flo_create_append(variant, create->files[1].name, "--golden", err));
    }
    return 0;
}

/* ---- what a device reads ---- */

struct source {
    const struct flo_create *create;
    const struct flo_release *release;
    const struct flo_release_variant *variant;
};

static int read_file(void *context, const char *name, size_t bytes_max, char **data, size_t *bytes,
                     struct flo_err *err)
{
    const struct source *source = context;
    const struct flo_release_file *file;

    FLO_TRY(flo_release_golden_file(source->release, source->variant, name, bytes_max, &file, err));
    return flo_file_read(find_file(source->create, name)->path, bytes_max, data, bytes, err);
}

/* Tells whether some device's runtime, or our engine, can judge the case. */
static bool is_playable(const struct flo_golden_case *c, bool is_native)
{
    bool is_file = c->input == FLO_GOLDEN_FILE;
    unsigned without = is_file ? 0 : 1u << FLO_GOLDEN_EXIT;

    without |=
        is_native ? 0 : 1u << FLO_GOLDEN_TOKENS | 1u << FLO_GOLDEN_LOSSES | 1u << FLO_GOLDEN_RIVALS;
    return !(is_native && (is_file || c->input == FLO_GOLDEN_AUDIO)) &&
           flo_golden_count(c, without) > 0;
}

static int check_cases(const struct flo_golden *golden, const struct source *source,
                       struct flo_err *err)
{
    bool is_native = flo_release_is_native(source->variant);
    uint32_t count = golden->n_cases;

    for (uint32_t i = 0; i < count; i++) {
        if (is_playable(&golden->cases[i], is_native)) {
            return 0;
        }
    }
    flo_fail(err, FLO_E_PROBE_GOLDEN,
             "none of %u golden case%s can be played on the runtime of %s@%s%s", count,
             flo_s(count), source->release->model, source->release->version,
             is_native ? "" : ": a runtime reports no token ids");
    return flo_err_fix(err, is_native ? "add a case with a prompt: docs/reference/golden.md"
                                      : "add cases of format 2: docs/reference/golden.md");
}

static int check_variant(const struct source *source, struct flo_err *err)
{
    const struct flo_golden_files files = {read_file, (void *)(uintptr_t)source};
    const struct flo_release_file *adapter;
    struct flo_golden golden;

    if (flo_release_is_native(source->variant)) {
        FLO_TRY(flo_release_adapter(source->release, source->variant, &adapter, err));
    }
    int rv = flo_release_golden(source->release, source->variant, &files, &golden, err);
    if (rv == FLO_E_PROBE_GOLDEN) {
        flo_err_fix(err, "give --golden, or name a file of golden prompts in --variant");
    }
    FLO_TRY(rv);
    rv = flo_golden_load(&golden, &files, err);
    if (rv == 0) {
        rv = check_cases(&golden, source, err);
    }
    flo_golden_deinit(&golden);
    return rv;
}

/* Makes the release as devices see it, without reading its files. */
static int outline(const struct flo_create *create, struct flo_release **out, struct flo_err *err)
{
    struct flo_author author = create->author;
    struct flo_author_file files[FLO_RELEASE_FILES_MAX];
    struct flo_author_variant variants[FLO_RELEASE_VARIANTS_MAX];

    memcpy(files, author.files, author.file_count * sizeof(files[0]));
    memcpy(variants, author.variants, author.variant_count * sizeof(variants[0]));
    for (size_t i = 0; i < author.file_count; i++) {
        files[i].path = "";
    }
    for (size_t i = 0; i < author.variant_count; i++) {
        variants[i].engine[0] = variants[i].engine[0] != NULL ? variants[i].engine[0] : "any";
    }
    author.files = files;
    author.variants = variants;
    return flo_release_outline(&author, out, err);
}

int flo_create_devices(const struct flo_create *create, struct flo_err *err)
{
    struct flo_release *release = NULL;

    FLO_TRY(outline(create, &release, err));
    int rv = 0;
    for (uint32_t i = 0; rv == 0 && i < release->variant_count; i++) {
        const struct source source = {create, release, &release->variants[i]};
        rv = check_variant(&source, err);
        if (rv < 0 && release->variant_count > 1) {
            flo_wrap(err, rv, "variant %s", release->variants[i].name);
        }
    }
    flo_release_free(release);
    return rv;
}
