/* Golden cases of a release: reads what a device plays for a variant, with the
 * files that the cases name.  A device's probe and `flotilla release create`
 * both use these functions, so that they refuse the same releases. */
#include <flotilla/golden.h>
#include <flotilla/proto.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/probe.h>

static bool is_of(const struct flo_release_variant *variant, size_t file)
{
    return memchr(variant->files, (int)file, variant->file_count) != NULL;
}

int flo_release_golden_file(const struct flo_release *release,
                            const struct flo_release_variant *variant, const char *name,
                            size_t bytes_max, const struct flo_release_file **out,
                            struct flo_err *err)
{
    const struct flo_release_file *file = flo_release_find(release, name);

    if (file == NULL || file->bytes > bytes_max ||
        !is_of(variant, (size_t)(file - release->files))) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "the release has no file %.100s of at most %zu bytes", name, bytes_max);
    }
    *out = file;
    return 0;
}

/* Appends the cases in one golden file to the list. */
static int add_golden(const struct flo_golden_files *files, const char *name,
                      struct flo_golden *golden, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_golden more;
    size_t bytes = 0;
    int rv = files->read(files->context, name, FLO_GOLDEN_BYTES_MAX, &text, &bytes, err);

    if (rv == 0) {
        rv = flo_golden_read(text, bytes, &more, err);
    }
    if (rv == 0 && golden->n_cases == 0) {
        *golden = more;
    } else if (rv == 0) {
        rv = flo_golden_join(golden, &more, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", name) : 0;
}

int flo_release_golden(const struct flo_release *release, const struct flo_release_variant *variant,
                       const struct flo_golden_files *files, struct flo_golden *golden,
                       struct flo_err *err)
{
    int rv = 0;

    memset(golden, 0, sizeof(*golden));
    for (uint32_t i = 0; rv == 0 && i < release->golden_count; i++) {
        if (is_of(variant, release->golden[i])) {
            rv = add_golden(files, release->files[release->golden[i]].name, golden, err);
        }
    }
    if (rv == 0 && golden->n_cases == 0) {
        rv = flo_fail(err, FLO_E_PROBE_GOLDEN, "%s@%s brings no golden prompts", release->model,
                      release->version);
    }
    if (rv < 0) {
        flo_golden_deinit(golden);
    }
    return rv;
}

int flo_release_adapter(const struct flo_release *release,
                        const struct flo_release_variant *variant,
                        const struct flo_release_file **out, struct flo_err *err)
{
    uint32_t count = 0;

    *out = NULL;
    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_release_file *file = &release->files[variant->files[i]];
        if (strcmp(file->role, "adapter") == 0) {
            *out = file;
            count++;
        }
    }
    return count > 1
               ? flo_fail(err, FLO_E_NOT_BUILT, "%s@%s: %u adapters at once are not built yet",
                          release->model, release->version, count)
               : 0;
}
