/* flotilla-updater bundle create|verify: the file that a USB stick carries. */
#include "updater/tools/tools.h"

#include <inttypes.h>
#include <string.h>

/* ---- verify ---- */

struct listing {
    json_t *blobs;
    const char *without; /* a file that may be left out */
    json_t *lacks;       /* names of files that a device must have */
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

static int list_lacking(void *context, const struct flo_release_file *file,
                        struct flo_err *err)
{
    struct listing *listing = context;

    if (listing->without == NULL || strcmp(listing->without, file->name) != 0) {
        return flo_fail(err, FLO_E_BUNDLE_MISSING,
                        "the bundle has no blob for %s of %s; where devices "
                        "have it, --without %s says so",
                        file->name, listing->title, file->name);
    }
    json_array_append_new(listing->lacks, json_string(file->name));
    return 0;
}

static int verify(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *path = line->args.words[0];
    struct flo_trust *trust = NULL;
    struct flo_bundle_facts facts;
    struct listing listing = {
        .blobs = json_array(), .lacks = json_array(), .without = line->without};
    const struct flo_bundle_handlers handlers = {.context = &listing,
                                                 .on_release = list_release,
                                                 .on_lacking = list_lacking,
                                                 .on_blob_end = list_blob};
    int rv = tool_load_trust(&trust, err);

    if (rv == 0) {
        rv = flo_bundle_read(path, trust, &handlers, &facts, err);
    }
    flo_trust_free(trust);
    if (rv < 0) {
        json_decref(listing.blobs);
        json_decref(listing.lacks);
        return rv;
    }
    json_t *json =
        json_pack("{s:s,s:o,s:s,s:o,s:o,s:I,s:b}", "release", listing.title,
                  "digest", tool_digest(&facts.release), "keyid", listing.keyid,
                  "blobs", listing.blobs, "lacks", listing.lacks, "bytes",
                  (json_int_t)facts.bytes, "compressed", (int)facts.compressed);
    const char *lacks =
        json_string_value(json_array_get(listing.lacks, 0)); /* json has it */
    char more[FLO_FILE_NAME_MAX + 48] = "";

    if (lacks != NULL) {
        (void)snprintf(more, sizeof more, "; the device must have %s", lacks);
    }
    tool_answer(
        json, "%s: %s, %u blobs of %" PRIu64 " bytes, signed by %.16s%s\n",
        path, listing.title, facts.blobs, facts.bytes, listing.keyid, more);
    return 0;
}

static const struct flo_flag verify_flags[] = {
    {"without", "FILE", "this file may be left out: devices have it",
     FLO_TEXT(struct tool_line, without)},
    FLO_FLAGS_END,
};
const struct flo_verb tool_bundle_verify = {
    .name = "bundle verify",
    .usage = "FILE --trust TRUST.json [--without FILE] [--json]",
    .help = "what a bundle holds, and who signed it",
    .flags = {tool_flags_trust, verify_flags, FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = verify,
};

/* ---- create ---- */

static int create(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *path = line->args.words[0];
    FLO_CLEANUP(flo_free_cleanup) char *envelope = NULL;
    struct flo_bundle_facts facts;
    size_t bytes = 0;
    int rv = flo_file_read(line->release, FLO_ENVELOPE_BYTES_MAX, &envelope,
                           &bytes, err);

    if (rv < 0) {
        return rv;
    }
    const char *without[] = {line->without};
    const struct flo_bundle_spec spec = {.envelope = envelope,
                                         .envelope_bytes = bytes,
                                         .blob_dir = line->blobs,
                                         .variant = line->variant,
                                         .without = without,
                                         .without_count = line->without != NULL,
                                         .compress = line->is_compressed};
    rv = flo_bundle_create(path, &spec, &facts, err);
    if (rv < 0) {
        return rv;
    }
    json_t *json =
        json_pack("{s:o,s:i,s:I,s:b}", "digest", tool_digest(&facts.release),
                  "blobs", (int)facts.blobs, "bytes", (json_int_t)facts.bytes,
                  "compressed", (int)facts.compressed);
    tool_answer(json, "%s: %u blobs of %" PRIu64 " bytes\n", path, facts.blobs,
                facts.bytes);
    return 0;
}

static const struct flo_flag create_flags[] = {
    {"release", "ENVELOPE.json", "the signed release",
     FLO_TEXT(struct tool_line, release), .is_needed = true},
    {"blobs", "DIR", "its artifacts, named by digest",
     FLO_TEXT(struct tool_line, blobs), .is_needed = true},
    {"variant", "NAME", "the files of this variant alone",
     FLO_TEXT(struct tool_line, variant)},
    {"without", "FILE", "not this file: devices have it",
     FLO_TEXT(struct tool_line, without)},
    {"compress", NULL, "tar.zst instead of tar",
     FLO_SWITCH(struct tool_line, is_compressed)},
    FLO_FLAGS_END,
};
const struct flo_verb tool_bundle_create = {
    .name = "bundle create",
    .usage = "OUT --release ENVELOPE.json --blobs DIR [--variant NAME] "
             "[--without FILE] [--compress] [--json]",
    .help = "a release and its artifacts in one file",
    .flags = {create_flags, FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = create,
};
