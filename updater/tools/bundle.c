/* flotilla-updater bundle create|verify: makes and checks bundle files, for
 * example for a USB stick. */
#include "updater/tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/bundle.h>
#include <flotilla/plural.h>

/* ---- verify ---- */

struct listing {
    json_t *releases;
    json_t *blobs;
    const char *without; /* name of a file that the bundle may lack */
    json_t *lacks;       /* names of files that a device must already have */
    struct flo_buf text; /* the releases as text */
};

static int list_release(void *context, const struct flo_release_verified *verified,
                        const void *envelope, size_t envelope_bytes, struct flo_err *err)
{
    struct listing *listing = context;
    char title[2 * FLO_NAME_MAX + 2];

    (void)envelope, (void)envelope_bytes, (void)err;
    flo_release_title(&verified->release, title);
    json_array_append_new(listing->releases,
                          json_pack("{s:s,s:I,s:o,s:s}", "release", title, "number",
                                    (json_int_t)verified->release.number, "digest",
                                    tool_digest(&verified->digest), "keyid", verified->keyid));
    flo_buf_printf(&listing->text, "%s%s signed by %.16s", listing->text.bytes > 0 ? ", " : "",
                   title, verified->keyid);
    return 0;
}

static int list_blob(void *context, const struct flo_digest *digest, struct flo_err *err)
{
    struct listing *listing = context;

    (void)err;
    json_array_append_new(listing->blobs, tool_digest(digest));
    return 0;
}

static int list_lacking(void *context, const struct flo_release *release,
                        const struct flo_release_file *file, struct flo_err *err)
{
    struct listing *listing = context;

    if (listing->without == NULL || strcmp(listing->without, file->name) != 0) {
        return flo_fail(err, FLO_E_BUNDLE_MISSING,
                        "the bundle has no blob for %s of %s@%s; where devices "
                        "have it, --without %s says so",
                        file->name, release->model, release->version, file->name);
    }
    json_array_append_new(listing->lacks, json_string(file->name));
    return 0;
}

static void show_listing(const char *path, const struct listing *listing,
                         const struct flo_bundle_facts *facts)
{
    const json_t *first = json_array_get(listing->releases, 0);
    json_t *json = json_pack(
        "{s:O,s:O,s:O,s:O,s:O,s:O,s:I,s:b}", "release", json_object_get(first, "release"), "digest",
        json_object_get(first, "digest"), "keyid", json_object_get(first, "keyid"), "releases",
        listing->releases, "blobs", listing->blobs, "lacks", listing->lacks, "bytes",
        (json_int_t)facts->bytes, "compressed", (int)facts->compressed);
    /* borrowed from `json` */
    const char *lacks = json_string_value(json_array_get(listing->lacks, 0));
    char more[FLO_FILE_NAME_MAX + 48] = "";

    if (lacks != NULL) {
        (void)snprintf(more, sizeof more, "; the device must have %s", lacks);
    }
    tool_answer(json, "%s: %s; %u blob%s of %" PRIu64 " bytes%s\n", path, listing->text.data,
                facts->blobs, flo_s(facts->blobs), facts->bytes, more);
}

static int verify(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *path = line->args.words[0];
    struct flo_trust *trust = NULL;
    struct flo_bundle_facts facts;
    struct listing listing = {.releases = json_array(),
                              .blobs = json_array(),
                              .lacks = json_array(),
                              .without = line->without};
    const struct flo_bundle_handlers handlers = {.context = &listing,
                                                 .on_release = list_release,
                                                 .on_lacking = list_lacking,
                                                 .on_blob_end = list_blob};
    int rv = tool_load_trust(&trust, err);

    if (rv == 0) {
        rv = flo_bundle_read(path, trust, &handlers, &facts, err);
    }
    flo_trust_free(trust);
    if (rv == 0) {
        show_listing(path, &listing, &facts);
    }
    json_decref(listing.releases);
    json_decref(listing.blobs);
    json_decref(listing.lacks);
    flo_buf_deinit(&listing.text);
    return rv;
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
    .example = "helpdesk.bundle --trust trust.json",
};

/* ---- create ---- */

static int read_documents(const struct flo_args *args, struct flo_bundle_document *out,
                          char **texts, size_t *count, struct flo_err *err)
{
    const char *path;
    int rv = 0;

    for (*count = 0; rv == 0 && flo_args_each(args, "release", *count, &path);) {
        if (*count == FLO_BUNDLE_RELEASES_MAX) {
            return flo_fail(err, FLO_E_USAGE, "a bundle has at most %d releases",
                            FLO_BUNDLE_RELEASES_MAX);
        }
        rv = flo_file_read(path, FLO_ENVELOPE_BYTES_MAX, &texts[*count], &out[*count].bytes, err);
        out[*count].envelope = texts[*count];
        *count += rv == 0;
    }
    return rv;
}

static void show_created(const char *path, const struct flo_bundle_facts *facts)
{
    json_t *releases = json_array();

    for (uint32_t i = 0; i < facts->release_count; i++) {
        json_array_append_new(releases, tool_digest(&facts->releases[i]));
    }
    tool_answer(json_pack("{s:o,s:o,s:i,s:I,s:b}", "digest", tool_digest(&facts->releases[0]),
                          "releases", releases, "blobs", (int)facts->blobs, "bytes",
                          (json_int_t)facts->bytes, "compressed", (int)facts->compressed),
                "%s: %u release%s, %u blob%s of %" PRIu64 " bytes\n", path, facts->release_count,
                flo_s(facts->release_count), facts->blobs, flo_s(facts->blobs), facts->bytes);
}

static int create(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *path = line->args.words[0];
    struct flo_bundle_document documents[FLO_BUNDLE_RELEASES_MAX];
    char *texts[FLO_BUNDLE_RELEASES_MAX] = {NULL};
    const char *without[] = {line->without};
    struct flo_bundle_spec spec = {.documents = documents,
                                   .blob_dir = line->blobs,
                                   .variant = line->variant,
                                   .without = without,
                                   .without_count = line->without != NULL,
                                   .compress = line->is_compressed};
    struct flo_bundle_facts facts;
    int rv = read_documents(&line->args, documents, texts, &spec.document_count, err);

    if (rv == 0) {
        rv = flo_bundle_create(path, &spec, &facts, err);
    }
    if (rv == 0) {
        show_created(path, &facts);
    }
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        free(texts[i]);
    }
    return rv;
}

static const struct flo_flag create_flags[] = {
    {"release", "ENVELOPE.json", "a signed release; up to 8, in any order", FLO_ASKED,
     .is_needed = true},
    {"blobs", "DIR", "its artifacts, named by digest", FLO_TEXT(struct tool_line, blobs),
     .is_needed = true},
    {"variant", "NAME", "the files of this variant alone", FLO_TEXT(struct tool_line, variant)},
    {"without", "FILE", "not this file: devices have it", FLO_TEXT(struct tool_line, without)},
    {"compress", NULL, "tar.zst instead of tar", FLO_SWITCH(struct tool_line, is_compressed)},
    FLO_FLAGS_END,
};
const struct flo_verb tool_bundle_create = {
    .name = "bundle create",
    .usage = "OUT --release ENVELOPE.json... --blobs DIR [--variant NAME] "
             "[--without FILE] [--compress] [--json]",
    .help = "releases and their artifacts in one file",
    .flags = {create_flags, FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = create,
    .example = "helpdesk.bundle --release release.json --blobs blobs",
};
