/* flotilla-updater bundle create|verify: what a USB stick carries. */
#include "updater/tools/tools.h"

#include <inttypes.h>
#include <string.h>

/* ---- verify ---- */

struct listing {
    json_t *blobs;
    char title[2 * FLO_NAME_MAX + 2];
    char keyid[FLO_KEYID_TEXT];
};

static int list_release(void *context,
                        const struct flo_release_verified *verified,
                        const void *envelope, size_t envelope_bytes,
                        struct flo_err *err)
{
    struct listing *listing = context;

    (void)envelope;
    (void)envelope_bytes;
    (void)err;
    flo_release_title(&verified->release, listing->title);
    memcpy(listing->keyid, verified->keyid, sizeof listing->keyid);
    return 0;
}

static int list_blob(void *context, const struct flo_digest *digest,
                     struct flo_err *err)
{
    struct listing *listing = context;

    (void)err;
    json_array_append_new(listing->blobs, tool_digest(digest));
    return 0;
}

static int verify(const char *path, const char *trust_path, bool wants_json,
                  struct flo_err *err)
{
    struct flo_trust *trust = NULL;
    struct flo_bundle_facts facts;
    struct listing listing = {.blobs = json_array()};
    const struct flo_bundle_handlers handlers = {.context = &listing,
                                                 .on_release = list_release,
                                                 .on_blob_end = list_blob};
    int rv = flo_trust_load(trust_path, &trust, err);

    if (rv == 0) {
        rv = flo_bundle_read(path, trust, &handlers, &facts, err);
    }
    flo_trust_free(trust);
    if (rv < 0) {
        json_decref(listing.blobs);
        return rv;
    }
    json_t *json =
        json_pack("{s:s,s:o,s:s,s:o,s:I,s:b}", "release", listing.title,
                  "digest", tool_digest(&facts.release), "keyid", listing.keyid,
                  "blobs", listing.blobs, "bytes", (json_int_t)facts.bytes,
                  "compressed", (int)facts.compressed);
    tool_answer(wants_json, json,
                "%s: %s, %u blobs of %" PRIu64 " bytes, signed by %.16s\n",
                path, listing.title, facts.blobs, facts.bytes, listing.keyid);
    return 0;
}

static int command_verify(int argc, char **argv)
{
    return tool_verify(
        argc, argv, "bundle verify FILE --trust TRUST.json [--json]", verify);
}

/* ---- create ---- */

struct create_options {
    const char *release;
    const char *blobs;
    const char *compress;
    const char *json;
};

static int create(const char *path, const struct create_options *options,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *envelope = NULL;
    struct flo_bundle_facts facts;
    size_t bytes = 0;
    int rv = flo_file_read(options->release, FLO_ENVELOPE_BYTES_MAX, &envelope,
                           &bytes, err);

    if (rv < 0) {
        return rv;
    }
    const struct flo_bundle_spec spec = {.envelope = envelope,
                                         .envelope_bytes = bytes,
                                         .blob_dir = options->blobs,
                                         .compress = options->compress != NULL};
    rv = flo_bundle_create(path, &spec, &facts, err);
    if (rv < 0) {
        return rv;
    }
    json_t *json =
        json_pack("{s:o,s:i,s:I,s:b}", "digest", tool_digest(&facts.release),
                  "blobs", (int)facts.blobs, "bytes", (json_int_t)facts.bytes,
                  "compressed", (int)facts.compressed);
    tool_answer(options->json != NULL, json,
                "%s: %u blobs of %" PRIu64 " bytes\n", path, facts.blobs,
                facts.bytes);
    return 0;
}

static int command_create(int argc, char **argv)
{
    struct create_options values = {0};
    const struct tool_option options[] = {
        {"--release", false, &values.release},
        {"--blobs", false, &values.blobs},
        {"--compress", true, &values.compress},
        {"--json", true, &values.json}};
    const char *path = NULL;
    struct flo_err err = {0};
    static const char usage[] = "bundle create OUT --release ENVELOPE.json "
                                "--blobs DIR [--compress] [--json]";
    int rv = tool_args(argc, argv, options, FLO_COUNT(options), &path, 1, usage,
                       &err);

    if (rv == 0 && (values.release == NULL || values.blobs == NULL)) {
        rv = flo_fail(&err, FLO_E_USAGE, "usage: flotilla-updater %s", usage);
    }
    if (rv == 0) {
        rv = create(path, &values, &err);
    }
    return rv == 0 ? 0 : tool_fail(values.json != NULL, &err);
}

int tool_bundle(int argc, char **argv)
{
    struct flo_err err = {0};

    if (argc > 0 && strcmp(argv[0], "verify") == 0) {
        return command_verify(argc - 1, argv + 1);
    }
    if (argc > 0 && strcmp(argv[0], "create") == 0) {
        return command_create(argc - 1, argv + 1);
    }
    (void)flo_fail(&err, FLO_E_USAGE,
                   "usage: flotilla-updater bundle create|verify ...");
    return flo_err_print(stderr, &err);
}
