/* Releases: finds existing releases on the controller: those with bases of
 * deltas, and the one with the new release's name. */
#include "server-stub/cli/create/create.h"

#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

/* Gets the digest of the file in a release that has the name and role of `of`.
 * With `is_first` the name may differ if no file has it: then the first file
 * with the role counts.  `release` is JSON from the API. */
static bool digest_of(const json_t *release, const struct flo_author_file *of, bool is_first,
                      struct flo_digest *out)
{
    const json_t *files = json_object_get(json_object_get(release, "document"), "files");
    const char *found = NULL;

    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        bool is_named = strcmp(flo_out_text(file, "name", ""), of->name) == 0;
        if (strcmp(flo_out_text(file, "role", ""), of->role) == 0 &&
            (is_named || (is_first && found == NULL))) {
            found = flo_out_text(file, "digest", "");
            if (is_named) {
                break;
            }
        }
    }
    return found != NULL && flo_digest_parse(found, out);
}

/* Counts the devices that run the release now. */
static int count_devices(struct flo_cli *cli, const char *title, uint64_t *devices,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    char path[256];

    snprintf(path, sizeof(path), "/v1/devices?limit=1&fields=id&release=%.130s", title);
    int rv = flo_api_get(cli, path, &page, err);
    *devices = rv < 0 ? 0 : flo_out_u64(page, "total");
    return rv;
}

/* Downloads the base of one file, unless the base of another file is equal. */
static int fetch_base(struct flo_cli *cli, struct flo_create *create, struct flo_author_file *file,
                      const struct flo_create_base *facts, struct flo_err *err)
{
    size_t at = flo_create_base_at(create, &facts->digest);
    struct flo_create_base *base = at < create->base_count ? &create->bases[at] : NULL;
    struct flo_ticker ticker;
    int rv = 0;

    if (base != NULL && strcmp(base->version, facts->version) != 0) {
        base->devices += facts->devices;
    }
    if (base == NULL && create->base_count < FLO_CREATE_BASES_MAX) {
        base = &create->bases[create->base_count];
        *base = *facts;
        snprintf(base->path, sizeof(base->path), "%s/base-%zu", create->dir, create->base_count);
        flo_ticker_start(&ticker, "   fetching what deltas begin with");
        rv = flo_api_get_blob(cli, &base->digest, base->path, err);
        flo_ticker_stop(&ticker);
        create->base_count += rv == 0 ? 1 : 0;
    }
    if (rv == 0 && base != NULL) {
        file->base_paths[file->base_count++] = base->path;
    }
    return rv;
}

static bool is_model_here(const struct flo_author_file *file)
{
    return strcmp(file->role, "model") == 0 && file->published == NULL && file->path != NULL &&
           file->path[0] != '\0';
}

/* Adds an earlier release's files as bases: one for the new release's first
 * file, and one for each further model in it. */
static int add_base(struct flo_cli *cli, struct flo_create *create, const char *version,
                    struct flo_err *err)
{
    char title[2 * FLO_NAME_MAX + 2];
    char path[256];
    struct flo_create_base facts = {.devices = 0};
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;

    if (create->files[0].base_count == FLO_AUTHOR_BASES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "at most %d releases to delta from",
                        FLO_AUTHOR_BASES_MAX);
    }
    snprintf(title, sizeof(title), "%s@%.64s", create->model_name, version);
    snprintf(path, sizeof(path), "/v1/releases/%s", title);
    FLO_TRY(flo_api_get(cli, path, &release, err));
    FLO_TRY(count_devices(cli, title, &facts.devices, err));
    FLO_TRY(flo_create_keep_old(create, release, err));
    snprintf(facts.version, sizeof(facts.version), "%.64s", version);
    for (size_t i = 0; i < create->author.file_count; i++) {
        struct flo_author_file *file = &create->files[i];
        if ((i == 0 || is_model_here(file)) && file->base_count < FLO_AUTHOR_BASES_MAX &&
            digest_of(release, file, i == 0, &facts.digest)) {
            FLO_TRY(fetch_base(cli, create, file, &facts, err));
        }
    }
    return 0;
}

/* A release of the model whose files may be bases. */
struct candidate {
    const json_t *release;
    uint64_t number;
    uint64_t devices;
};

/* Largest number of newest releases that are considered. */
#define CANDIDATES_MAX 64
#define NEWEST_WANTED 2
#define BASES_WANTED 4

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct candidate *)a)->number;
    uint64_t y = ((const struct candidate *)b)->number;

    return x < y ? 1 : x > y ? -1 : 0;
}

static int by_devices(const void *a, const void *b)
{
    uint64_t x = ((const struct candidate *)a)->devices;
    uint64_t y = ((const struct candidate *)b)->devices;

    return x < y ? 1 : x > y ? -1 : by_number(a, b);
}

/* Finds the published releases of the model, newest first, and the number of
 * the new release.  The caller frees *out. */
static int find_candidates(struct flo_create *create, const json_t *items, struct candidate **out,
                           size_t *out_count, struct flo_err *err)
{
    size_t room = json_array_size(items);
    struct candidate *list = calloc(room + 1, sizeof(*list));
    size_t count = 0;

    if (list == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu releases", room);
    }
    for (size_t i = 0; i < room; i++) {
        const json_t *item = json_array_get(items, i);
        uint64_t number = flo_out_u64(item, "number");
        if (strcmp(flo_out_text(item, "model", ""), create->model_name) != 0) {
            continue;
        }
        if (number >= create->author.number) {
            create->author.number = number + 1;
        }
        if (strcmp(flo_out_text(item, "state", ""), "published") == 0) {
            list[count++] = (struct candidate){item, number, 0};
        }
    }
    qsort(list, count, sizeof(*list), by_number);
    *out = list;
    *out_count = count < CANDIDATES_MAX ? count : CANDIDATES_MAX;
    return 0;
}

/* Warns if the new version is lower than an existing one.  Devices compare the
 * numbers that releases get when they are created.  A device that ran the new
 * release thus refuses a release with a higher version that was created
 * before. */
static void tell_order(struct flo_cli *cli, const struct flo_create *create, const json_t *items)
{
    const char *highest = create->version;
    uint64_t number = 0;
    const json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        const char *version = flo_out_text(item, "version", "");
        if (strcmp(flo_out_text(item, "model", ""), create->model_name) == 0 &&
            strcmp(flo_out_text(item, "state", ""), "yanked") != 0 &&
            flo_natural_compare(version, strlen(version), highest, strlen(highest)) > 0) {
            highest = version;
            number = flo_out_u64(item, "number");
        }
    }
    if (number > 0) {
        flo_out_say(cli,
                    "%s has number %llu, above %s (number %llu): numbers "
                    "follow the order of making, so devices that run %s will "
                    "refuse %s until it is made again",
                    create->version, (unsigned long long)create->author.number, highest,
                    (unsigned long long)number, create->version, highest);
    }
}

/* Adds the newest release, which new devices will have, and those releases that
 * most devices have now. */
static int add_best(struct flo_cli *cli, struct flo_create *create, struct candidate *list,
                    size_t count, struct flo_err *err)
{
    char title[2 * FLO_NAME_MAX + 2];
    size_t newest = count < NEWEST_WANTED ? count : NEWEST_WANTED;
    int rv = 0;

    for (size_t i = newest; rv == 0 && i < count; i++) {
        snprintf(title, sizeof(title), "%s@%.64s", create->model_name,
                 flo_out_text(list[i].release, "version", ""));
        rv = count_devices(cli, title, &list[i].devices, err);
    }
    qsort(list + newest, count - newest, sizeof(*list), by_devices);
    for (size_t i = 0; rv == 0 && i < count && i < BASES_WANTED; i++) {
        if (i < newest || list[i].devices > 0) {
            rv = add_base(cli, create, flo_out_text(list[i].release, "version", ""), err);
        }
    }
    return rv;
}

int flo_create_find_bases(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const char *choice = flo_args_text(&cli->args, "delta-from", "auto");
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    FLO_CLEANUP(flo_free_cleanup) struct candidate *list = NULL;
    size_t count = 0;

    FLO_TRY(flo_api_list(cli, "/v1/releases", &items, err));
    FLO_TRY(find_candidates(create, items, &list, &count, err));
    tell_order(cli, create, items);
    if (strcmp(choice, "none") == 0) {
        return 0;
    }
    if (strcmp(choice, "auto") == 0) {
        FLO_TRY(add_best(cli, create, list, count, err));
        flo_create_add_steps(create);
        return 0;
    }
    char words[512];
    snprintf(words, sizeof(words), "%s", choice);
    for (char *save, *v = strtok_r(words, ",", &save); v != NULL; v = strtok_r(NULL, ",", &save)) {
        FLO_TRY(add_base(cli, create, v, err));
    }
    flo_create_add_steps(create);
    return 0;
}

int flo_create_difference(const struct flo_create *create, const json_t *document, char *out,
                          size_t out_bytes, struct flo_err *err)
{
    struct flo_release *there = NULL;
    struct flo_release *outline = NULL;

    out[0] = '\0';
    int rv = flo_parts_read_document(document, &there, err);
    if (rv == 0) {
        rv = flo_release_outline(&create->author, &outline, err);
    }
    if (rv == 0) {
        /* Releases of older versions lack the licence that their model names. */
        if (create->license[0] != '\0' && there->license[0] == '\0') {
            outline->license[0] = '\0';
        }
        /* Measured figures differ with the machine; the model's bytes are compared. */
        if (create->quality[0] != '\0' && create->author.quality == create->quality) {
            memcpy(outline->quality, there->quality, sizeof(outline->quality));
        }
        (void)flo_release_differs(there, outline, out, out_bytes);
    }
    flo_release_free(there);
    flo_release_free(outline);
    return rv;
}
