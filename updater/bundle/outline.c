/* Release outline: compares an existing release with the inputs of a new one.
 *
 * Number, time and downloads of the release are not compared, because they are
 * made later. */
#include <flotilla/release.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "updater/bundle/author.h"

int flo_release_outline(const struct flo_author *author, struct flo_release **out,
                        struct flo_err *err)
{
    struct author_build *build = calloc(1, sizeof *build);

    if (build == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release");
    }
    build->author = author;
    flo_release_serve_init(&build->release.serve);
    int rv = flo_author_fill(build, err);
    struct flo_release *release = malloc(sizeof *release);
    if (rv == 0 && release == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory for a release");
    }
    if (rv < 0) {
        flo_release_deinit(&build->release);
        free(release);
    } else {
        *release = build->release;
        *out = release;
    }
    free(build);
    return rv;
}

/* ---- what differs ---- */

static bool is_same_number(double a, double b)
{
    return a - b < 1e-9 && b - a < 1e-9;
}

/* Compares two files.  A file without a digest does not exist yet and equals
 * any other. */
static bool is_same_file(const struct flo_release_file *there,
                         const struct flo_release_file *wanted)
{
    return strcmp(there->role, wanted->role) == 0 && there->scale_ppm == wanted->scale_ppm &&
           (flo_digest_is_zero(&wanted->digest) ||
            flo_digest_equal(&there->digest, &wanted->digest));
}

static bool is_same_needs(const struct flo_release_variant *a, const struct flo_release_variant *b)
{
#define FLO_RELEASE_WORDS(name, meaning) memcmp(a->name, b->name, sizeof a->name) == 0 &&
#define FLO_RELEASE_NEED(name, type, most, key, meaning) a->name == b->name &&
    return
#include "proto/release.def"
        strcmp(a->runtime, b->runtime) == 0;
}

/* Compares files by name, because their order in the documents may differ. */
static bool has_same_files(const struct flo_release *there, const struct flo_release_variant *a,
                           const struct flo_release *wanted, const struct flo_release_variant *b)
{
    for (uint32_t i = 0; i < b->file_count; i++) {
        const char *name = wanted->files[b->files[i]].name;
        uint32_t at = 0;
        while (at < a->file_count && strcmp(there->files[a->files[at]].name, name) != 0) {
            at++;
        }
        if (at == a->file_count) {
            return false;
        }
    }
    const struct flo_release_file *x = flo_release_entry(there, a);
    const struct flo_release_file *y = flo_release_entry(wanted, b);
    return a->file_count == b->file_count && (x == NULL) == (y == NULL) &&
           (x == NULL || strcmp(x->name, y->name) == 0);
}

static bool is_same_serve(const struct flo_release_serve *a, const struct flo_release_serve *b)
{
    bool is_same =
        a->context == b->context && a->sessions == b->sessions && strcmp(a->cache, b->cache) == 0 &&
        strcmp(a->split_of, b->split_of) == 0 && a->split_pct == b->split_pct &&
        strcmp(a->system != NULL ? a->system : "", b->system != NULL ? b->system : "") == 0;

#define FLO_SAMPLING(name, max, meaning) is_same = is_same && a->sampling.name == b->sampling.name;
#include "proto/sampling.def"
    return is_same;
}

static bool say(char *out, size_t out_bytes, const char *what, const char *name)
{
    (void)snprintf(out, out_bytes, "%s%s", what, name);
    return true;
}

static const char *noun_of(const char *role)
{
    return strcmp(role, "model") == 0          ? "the model "
           : strcmp(role, "adapter") == 0      ? "the adapter "
           : strcmp(role, "golden") == 0       ? "the golden prompts "
           : strcmp(role, FLO_ROLE_DRAFT) == 0 ? "the draft "
                                               : "the file ";
}

/* Counts the files of a release, without intermediate ones (role `step`), which
 * are not inputs. */
static uint32_t count_files(const struct flo_release *release)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < release->file_count; i++) {
        count += flo_release_is_step(&release->files[i]) ? 0 : 1;
    }
    return count;
}

static bool files_differ(const struct flo_release *there, const struct flo_release *wanted,
                         char *out, size_t out_bytes)
{
    for (uint32_t i = 0; i < wanted->file_count; i++) {
        const struct flo_release_file *file = flo_release_find(there, wanted->files[i].name);
        if (file == NULL || !is_same_file(file, &wanted->files[i])) {
            return say(out, out_bytes, noun_of(wanted->files[i].role), wanted->files[i].name);
        }
    }
    return count_files(there) != count_files(wanted)
               ? say(out, out_bytes, "the number of files", "")
               : false;
}

static bool variants_differ(const struct flo_release *there, const struct flo_release *wanted,
                            char *out, size_t out_bytes)
{
    if (there->variant_count != wanted->variant_count) {
        return say(out, out_bytes, "the number of variants", "");
    }
    for (uint32_t i = 0; i < wanted->variant_count; i++) {
        const struct flo_release_variant *a = &there->variants[i];
        const struct flo_release_variant *b = &wanted->variants[i];
        if (strcmp(a->name, b->name) != 0 || !is_same_needs(a, b) ||
            !has_same_files(there, a, wanted, b)) {
            return say(out, out_bytes, "the variant ", b->name);
        }
    }
    return false;
}

bool flo_release_differs(const struct flo_release *there, const struct flo_release *wanted,
                         char *out, size_t out_bytes)
{
    const char *what = NULL;

    if (files_differ(there, wanted, out, out_bytes) ||
        variants_differ(there, wanted, out, out_bytes)) {
        return true;
    }
#define FLO_RELEASE_TEXT(name, bytes, value, meaning)                                              \
    if (strcmp(there->name, wanted->name) != 0) {                                                  \
        return say(out, out_bytes, "the " #name, "");                                              \
    }
#include "proto/release.def"
    if (there->floor != wanted->floor) {
        what = "the floor";
    } else if (!flo_digest_equal(&there->base, &wanted->base)) {
        what = "the base";
    } else if (!is_same_serve(&there->serve, &wanted->serve)) {
        what = "--serve";
    } else if (!is_same_number(there->probe_speed_ratio_max, wanted->probe_speed_ratio_max)) {
        what = "--speed-ratio";
    } else if (there->probe_memory_bytes_max != wanted->probe_memory_bytes_max) {
        what = "the memory of the probe";
    }
    return what != NULL && say(out, out_bytes, what, "");
}
