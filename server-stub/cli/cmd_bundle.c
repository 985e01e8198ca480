/* Bundle: packs published releases into one file for devices without
 * network. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/bundle.h>
#include <flotilla/newest.h>
#include <flotilla/plural.h>
#include <flotilla/release.h>

#include "base/host/digest.h"
#include "base/scratch.h"
#include "base/ticker.h"
#include "server-stub/cli/cli.h"

/* Downloads a blob, unless another release has the same file. */
static int fetch_blob(struct flo_cli *cli, const char *dir, const struct flo_digest *digest,
                      struct flo_err *err)
{
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char path[1200];

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    snprintf(path, sizeof(path), "%.1000s/sha256-%s", dir, hex);
    return access(path, F_OK) == 0 ? 0 : flo_api_get_blob(cli, digest, path, err);
}

/* Downloads the files of a release into the bundle's folder. */
static int fetch(struct flo_cli *cli, const struct flo_release *release,
                 const struct flo_bundle_spec *spec, struct flo_err *err)
{
    for (uint32_t i = 0; i < release->file_count; i++) {
        const struct flo_release_file *file = &release->files[i];
        const struct flo_way *way = flo_release_full_way(file);
        if (!flo_bundle_takes(spec, release, i)) {
            continue;
        }
        if (way == NULL) {
            return flo_fail(err, FLO_E_BUNDLE_MISSING, "%s has no way without a base", file->name);
        }
        FLO_TRY(fetch_blob(cli, spec->blob_dir, &way->digest, err));
        if (file->chunk_bytes > 0 && flo_digest_equal(&way->digest, &file->digest)) {
            FLO_TRY(fetch_blob(cli, spec->blob_dir, &file->chunk_list, err));
        }
    }
    return 0;
}

/* Gets a release's signed document as it was published, and parses it. */
static int fetch_document(struct flo_cli *cli, const char *title, json_t *ids,
                          struct flo_buf *envelope, struct flo_release **release,
                          struct flo_err *err)
{
    char path[256];
    struct flo_digest id;
    struct flo_digest found;
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope parts = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;

    snprintf(path, sizeof(path), "/v1/releases/%.130s", title);
    FLO_TRY(flo_api_get(cli, path, &answer, err));
    if (!flo_digest_parse(flo_out_text(answer, "digest", ""), &id)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "the controller gave no digest");
    }
    json_array_append(ids, json_object_get(answer, "digest"));
    FLO_TRY(flo_api_get_envelope(cli, &id, envelope, err));
    FLO_TRY(flo_envelope_parse(envelope->data, envelope->bytes, FLO_TYPE_RELEASE, &parts, err));
    flo_sha256(parts.body, parts.body_bytes, &found);
    return flo_digest_equal(&found, &id)
               ? flo_release_new(parts.body, parts.body_bytes, NULL, release, err)
               : flo_fail(err, FLO_E_TARGET_HASH, "the controller sent another document than %s",
                          title);
}

/* Releases and trust that the bundle will contain, until its file is
 * written. */
struct wanted {
    size_t count;
    json_t *ids; /* ids of the releases */
    struct flo_buf envelopes[FLO_BUNDLE_RELEASES_MAX];
    struct flo_release *releases[FLO_BUNDLE_RELEASES_MAX];
    struct flo_bundle_document documents[FLO_BUNDLE_RELEASES_MAX];
    struct flo_buf trust;
    struct flo_bundle_document statements;
    uint64_t until_ms; /* devices refuse the bundle from then on; 0: never */
};

/* Gets the statement by which devices know that the bundle is not too old. */
static int fetch_newest(struct flo_cli *cli, struct wanted *wanted, json_t *trust,
                        struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL, *answer = NULL;
    uint64_t days;

    FLO_TRY(flo_args_u64(&cli->args, "days", 0, FLO_NEWEST_DAYS_MAX, FLO_NEWEST_DAYS, &days, err));
    if (days == 0) {
        return 0;
    }
    body = json_pack("{s:O,s:I}", "releases", wanted->ids, "days", (json_int_t)days);
    if (flo_api_call(cli, "POST", "/v1/trust/bundles", body, &answer, err) < 0) {
        return flo_err_fix(err, "--days 0 makes a bundle without a newest statement");
    }
    json_object_set(trust, "newest", json_object_get(answer, "newest"));
    wanted->until_ms = (uint64_t)json_integer_value(json_object_get(answer, "expires_at_ms"));
    return 0;
}

/* Adds the trust statements, because a device without network gets new keys
 * only by the bundle. */
static int fetch_trust(struct flo_cli *cli, struct wanted *wanted, struct flo_bundle_spec *spec,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;

    FLO_TRY(flo_api_get(cli, "/v1/trust/statements", &answer, err));
    FLO_TRY(fetch_newest(cli, wanted, answer, err));
    if (json_array_size(json_object_get(answer, "statements")) == 0 && wanted->until_ms == 0) {
        return 0;
    }
    flo_json_dump(answer, &wanted->trust);
    wanted->statements = (struct flo_bundle_document){wanted->trust.data, wanted->trust.bytes};
    spec->trust = &wanted->statements;
    return wanted->trust.failed || wanted->trust.bytes > FLO_BUNDLE_TRUST_BYTES_MAX
               ? flo_fail(err, FLO_E_META_TOO_LARGE, "the trust statements have more than %d bytes",
                          FLO_BUNDLE_TRUST_BYTES_MAX)
               : 0;
}

static int fetch_all(struct flo_cli *cli, struct wanted *wanted, struct flo_bundle_spec *spec,
                     struct flo_err *err)
{
    if (cli->args.word_count > FLO_BUNDLE_RELEASES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "a bundle has at most %d releases",
                        FLO_BUNDLE_RELEASES_MAX);
    }
    for (size_t i = 0; i < cli->args.word_count; i++) {
        struct flo_buf *envelope = &wanted->envelopes[i];
        FLO_TRY(fetch_document(cli, cli->args.words[i], wanted->ids, envelope, &wanted->releases[i],
                               err));
        wanted->documents[i] = (struct flo_bundle_document){envelope->data, envelope->bytes};
        wanted->count++;
    }
    FLO_TRY(flo_bundle_check(spec, (const struct flo_release *const *)wanted->releases,
                             wanted->count, err));
    for (size_t i = 0; i < wanted->count; i++) {
        FLO_TRY(fetch(cli, wanted->releases[i], spec, err));
    }
    spec->documents = wanted->documents;
    spec->document_count = wanted->count;
    return 0;
}

static void wanted_free(struct wanted *wanted)
{
    flo_buf_deinit(&wanted->trust);
    json_decref(wanted->ids);
    for (size_t i = 0; i < FLO_BUNDLE_RELEASES_MAX; i++) {
        flo_release_free(wanted->releases[i]);
        flo_buf_deinit(&wanted->envelopes[i]);
    }
    free(wanted);
}

static void show_bundle(const struct flo_cli *cli, const char *to,
                        const struct flo_bundle_facts *facts, uint64_t until_ms)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf titles = {0};
    json_t *list = json_array();
    char text[32];

    for (size_t i = 0; i < cli->args.word_count; i++) {
        json_array_append_new(list, json_string(cli->args.words[i]));
        flo_buf_printf(&titles, "%s%s", i > 0 ? ", " : "", cli->args.words[i]);
    }
    flo_out_bytes(facts->bytes, text);
    flo_out_done(cli,
                 json_pack("{s:s,s:I,s:I,s:s,s:o,s:I}", "file", to, "bytes",
                           (json_int_t)facts->bytes, "blobs", (json_int_t)facts->blobs, "release",
                           cli->args.words[0], "releases", list, "until_ms", (json_int_t)until_ms),
                 "%s  %s in %u artifact%s of %s\n", to, text, facts->blobs, flo_s(facts->blobs),
                 titles.data);
}

int flo_cmd_bundle_create(struct flo_cli *cli, struct flo_err *err)
{
    char dir[FLO_SCRATCH_BYTES];
    struct wanted *wanted = calloc(1, sizeof *wanted);
    const char *without[FLO_RELEASE_FILES_MAX];
    struct flo_bundle_spec spec = {.blob_dir = dir,
                                   .variant = flo_args_text(&cli->args, "variant", NULL),
                                   .without = without,
                                   .compress = flo_args_has(&cli->args, "compress")};
    struct flo_bundle_facts facts;
    struct flo_ticker ticker;
    const char *to = flo_args_text(&cli->args, "to", NULL);
    const char *value;

    if (wanted == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a bundle");
    }
    while (spec.without_count < FLO_COUNT(without) &&
           flo_args_each(&cli->args, "without", spec.without_count, &value)) {
        without[spec.without_count++] = value;
    }
    wanted->ids = json_array();
    flo_ticker_start(&ticker, "bundle create");
    int rv = flo_interrupt_folder(dir, err);
    if (rv == 0) {
        rv = fetch_all(cli, wanted, &spec, err);
    }
    if (rv == 0) {
        rv = fetch_trust(cli, wanted, &spec, err);
    }
    if (rv == 0) {
        rv = flo_bundle_create(to, &spec, &facts, err);
    }
    flo_ticker_stop(&ticker);
    if (rv == 0) {
        show_bundle(cli, to, &facts, wanted->until_ms);
    }
    flo_interrupt_folder_end(dir);
    wanted_free(wanted);
    return rv;
}
