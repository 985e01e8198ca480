/* Releases that the controller already has: bases of deltas, and the one with
 * the name of the new release. */
#include "server-stub/cli/create/create.h"

#include <string.h>

#include "base/host/digest.h"

/* Digest of the first file of that role in a release as the REST answers it. */
static bool digest_of(const json_t *release, const char *role,
                      struct flo_digest *out)
{
    const json_t *files =
        json_object_get(json_object_get(release, "document"), "files");

    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (strcmp(flo_out_text(file, "role", ""), role) == 0) {
            return flo_digest_parse(flo_out_text(file, "digest", ""), out);
        }
    }
    return false;
}

static int add_base(struct flo_cli *cli, struct flo_create *create,
                    const char *version, struct flo_err *err)
{
    char path[256];
    struct flo_digest digest;
    struct flo_author_file *file = &create->files[0];
    struct flo_ticker ticker;
    size_t n = file->base_count;
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;

    if (n == FLO_AUTHOR_BASES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "at most %d releases to delta from",
                        FLO_AUTHOR_BASES_MAX);
    }
    snprintf(path, sizeof(path), "/v1/releases/%s@%.64s", create->model_name,
             version);
    int rv = flo_api_get(cli, path, &release, err);
    if (rv < 0) {
        return rv;
    }
    if (!digest_of(release, file->role, &digest)) {
        return 0; /* of another kind: there is nothing to begin with */
    }
    snprintf(create->bases[n], sizeof(create->bases[n]), "%s/base-%zu",
             create->dir, n);
    snprintf(create->base_names[n], sizeof(create->base_names[n]), "%.64s",
             version);
    flo_ticker_start(&ticker, "   fetching what deltas begin with");
    rv = flo_api_get_blob(cli, &digest, create->bases[n], err);
    flo_ticker_stop(&ticker);
    if (rv == 0) {
        file->base_paths[n] = create->bases[n];
        file->base_count++;
    }
    return rv;
}

/* Number of the new release, and the two newest published ones as bases when
 * --delta-from is auto. */
int flo_create_find_bases(struct flo_cli *cli, struct flo_create *create,
                          struct flo_err *err)
{
    const char *choice = flo_args_text(&cli->args, "delta-from", "auto");
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    const char *newest[2] = {NULL, NULL};
    uint64_t numbers[2] = {0, 0};
    int rv = flo_api_list(cli, "/v1/releases", &items, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        uint64_t number = flo_out_u64(item, "number");
        if (strcmp(flo_out_text(item, "model", ""), create->model_name) != 0) {
            continue;
        }
        if (number >= create->author.number) {
            create->author.number = number + 1;
        }
        if (strcmp(flo_out_text(item, "state", ""), "published") == 0 &&
            number > numbers[1]) {
            size_t at = number > numbers[0] ? 0 : 1;
            if (at == 0) {
                newest[1] = newest[0];
                numbers[1] = numbers[0];
            }
            newest[at] = flo_out_text(item, "version", "");
            numbers[at] = number;
        }
    }
    if (rv < 0 || strcmp(choice, "none") == 0) {
        return rv;
    }
    if (strcmp(choice, "auto") == 0) {
        for (size_t i = 0; rv == 0 && i < 2 && newest[i] != NULL; i++) {
            rv = add_base(cli, create, newest[i], err);
        }
        return rv;
    }
    char list[512];
    snprintf(list, sizeof(list), "%s", choice);
    for (char *save, *v = strtok_r(list, ",", &save); rv == 0 && v != NULL;
         v = strtok_r(NULL, ",", &save)) {
        rv = add_base(cli, create, v, err);
    }
    return rv;
}

int flo_create_difference(const struct flo_create *create,
                          const json_t *document, char *out, size_t out_bytes,
                          struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {0};
    struct flo_release *there = NULL;
    struct flo_release *outline = NULL;

    out[0] = '\0';
    flo_json_dump_canonical(document, &body);
    int rv = body.failed
                 ? flo_fail(err, FLO_E_MEMORY, "a release document")
                 : flo_release_new(body.data, body.bytes, NULL, &there, err);
    if (rv == 0) {
        rv = flo_release_outline(&create->author, &outline, err);
    }
    if (rv == 0) {
        (void)flo_release_differs(there, outline, out, out_bytes);
    }
    flo_release_free(there);
    flo_release_free(outline);
    return rv;
}
