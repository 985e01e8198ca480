/* Upload: sends a new release to the controller, and lists the release's
 * downloads. */
#include "server-stub/cli/create/create.h"

#include <inttypes.h>
#include <string.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"

#define SAID_BYTES_MIN (16u << 20) /* size in bytes from which on an upload is announced */

/* Prints what is done to a file and its size, if the size is large enough to
 * take time. */
static void say_bytes(const struct flo_cli *cli, const char *what, const char *file, uint64_t bytes)
{
    char size[32];

    if (bytes >= SAID_BYTES_MIN) {
        flo_out_bytes(bytes, size);
        flo_out_say(cli, "   %-12s %s, %s", what, file, size);
    }
}

static int put_blob(struct flo_cli *cli, const struct flo_create *create,
                    const struct flo_author_blob *blob, struct flo_err *err)
{
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char path[1200];
    struct flo_ticker ticker;

    flo_hex_encode(blob->digest.bytes, FLO_DIGEST_BYTES, hex);
    snprintf(path, sizeof(path), "%s/sha256-%s", create->dir, hex);
    say_bytes(cli, "uploading", blob->file, blob->bytes);
    flo_ticker_start(&ticker, "   uploading");
    int rv = flo_api_put_blob(cli, &blob->digest, path, err);
    flo_ticker_stop(&ticker);
    return rv;
}

/* Tells whether the controller needs the blob.  `release` is the controller's
 * answer to the release document; NULL: there is no answer yet. */
static int is_needed(struct flo_cli *cli, const struct flo_author_blob *blob, const json_t *release,
                     bool *out, struct flo_err *err)
{
    bool is_there = true;
    int rv = 0;

    if (release != NULL) {
        is_there = !flo_create_is_listed(json_object_get(release, "missing"), &blob->digest);
    } else if (blob->kept) {
        rv = flo_api_has_blob(cli, &blob->digest, &is_there, err);
    }
    *out = blob->kept && !is_there;
    return rv;
}

/* Uploads the blobs that the controller needs.  Called before the release's
 * document is sent, and once more after it.  A file that no release names yet
 * may be deleted in between; then the controller's answer lists it as
 * missing. */
static int put_blobs(struct flo_cli *cli, const struct flo_create *create,
                     const struct flo_author_result *made, const json_t *release,
                     struct flo_err *err)
{
    uint64_t sent_bytes = 0;
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < made->blob_count; i++) {
        const struct flo_author_blob *blob = &made->blobs[i];
        bool needed = false;
        rv = is_needed(cli, blob, release, &needed, err);
        if (rv == 0 && needed) {
            rv = put_blob(cli, create, blob, err);
            sent_bytes += blob->bytes;
        }
    }
    if (rv == 0 && (release == NULL || sent_bytes > 0)) {
        char text[32];
        flo_out_bytes(sent_bytes, text);
        flo_out_say(cli, " ✓ uploaded     %s", text);
    }
    return rv;
}

int flo_create_upload(struct flo_cli *cli, struct flo_create *create,
                      const struct flo_author_result *made, json_t **release, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf envelope = {0};

    FLO_TRY(flo_release_sign(made->body.data, made->body.bytes, create->key, &envelope, err));
    FLO_TRY(put_blobs(cli, create, made, NULL, err));
    FLO_TRY(flo_api_send(cli, "/v1/releases", envelope.data, envelope.bytes, release, err));
    return put_blobs(cli, create, made, *release, err);
}

/* Returns the size of a file when it is unpacked. */
static uint64_t file_bytes(const struct flo_author_result *made, const char *name)
{
    for (size_t i = 0; i < made->blob_count; i++) {
        if (made->blobs[i].codec == FLO_CODEC_RAW && !made->blobs[i].is_chunk_list &&
            strcmp(made->blobs[i].file, name) == 0) {
            return made->blobs[i].bytes;
        }
    }
    return 1;
}

/* Returns the size of a file's smallest download for a device without a
 * base. */
static uint64_t best_full_bytes(const struct flo_author_result *made, const char *name)
{
    uint64_t best = file_bytes(made, name);

    for (size_t i = 0; i < made->blob_count; i++) {
        const struct flo_author_blob *blob = &made->blobs[i];
        if (blob->kept && !blob->is_chunk_list && blob->bytes < best &&
            flo_digest_is_zero(&blob->base) && strcmp(blob->file, name) == 0) {
            best = blob->bytes;
        }
    }
    return best;
}

/* Adds facts about the base of a delta: the newest release that has the base,
 * and the number of devices with such a release.  If the base belongs to
 * another model of this release, its name is added. */
static void add_base_facts(json_t *way, const struct flo_create *create,
                           const struct flo_author_result *made, const struct flo_author_blob *blob)
{
    uint64_t full_bytes = best_full_bytes(made, blob->file);
    const char *base = "?";
    uint64_t devices = 0;

    for (size_t i = 0; i < made->blob_count; i++) {
        if (made->blobs[i].codec == FLO_CODEC_RAW &&
            flo_digest_equal(&made->blobs[i].digest, &blob->base)) {
            base = made->blobs[i].file;
        }
    }
    size_t at = flo_create_base_at(create, &blob->base);
    if (at < create->base_count) {
        base = create->bases[at].version;
        devices = create->bases[at].devices;
    }
    json_object_set_new(way, "base", json_string(base));
    json_object_set_new(way, "devices", json_integer((json_int_t)devices));
    json_object_set_new(way, "ratio",
                        json_real((double)blob->bytes / (double)file_bytes(made, blob->file)));
    if (blob->kept && blob->bytes < full_bytes) {
        json_object_set_new(way, "saves_bytes",
                            json_integer((json_int_t)(devices * (full_bytes - blob->bytes))));
    }
}

/* Formats the saving of a delta, such as " · 1240 devices, 1.9 GiB less on
 * their way". */
static void saving(const json_t *way, char *out, size_t bytes)
{
    uint64_t devices = flo_out_u64(way, "devices");
    char size[32];

    flo_out_bytes(flo_out_u64(way, "saves_bytes"), size);
    (void)snprintf(out, bytes, devices == 0 ? "" : " · %" PRIu64 " device%s, %s less on their way",
                   devices, devices == 1 ? "" : "s", size);
}

json_t *flo_create_ways(const struct flo_create *create, const struct flo_author_result *made)
{
    json_t *ways = json_array();

    for (size_t i = 0; i < made->blob_count; i++) {
        const struct flo_author_blob *blob = &made->blobs[i];
        if (blob->is_chunk_list) {
            continue;
        }
        json_t *way = json_pack("{s:s,s:s,s:I,s:b,s:I}", "file", blob->file, "codec",
                                flo_codec_word(blob->codec), "bytes", (json_int_t)blob->bytes,
                                "kept", blob->kept, "create_ms", (json_int_t)blob->create_ms);
        if (!flo_digest_is_zero(&blob->base)) {
            add_base_facts(way, create, made, blob);
        }
        json_array_append_new(ways, way);
    }
    return ways;
}

/* Tells whether the listed deltas are for more than one file. */
static bool are_of_several(const json_t *ways)
{
    const char *first = NULL;

    for (size_t i = 0; i < json_array_size(ways); i++) {
        const json_t *way = json_array_get(ways, i);
        const char *file = flo_out_text(way, "file", "");
        if (json_object_get(way, "base") == NULL) {
            continue;
        }
        if (first != NULL && strcmp(first, file) != 0) {
            return true;
        }
        first = file;
    }
    return false;
}

void flo_create_show_ways(const struct flo_cli *cli, const json_t *ways)
{
    bool has_several = are_of_several(ways);

    for (size_t i = 0; i < json_array_size(ways); i++) {
        const json_t *way = json_array_get(ways, i);
        char size[32];
        char saved[80];
        const char *base = flo_out_text(way, "base", NULL);
        flo_out_bytes(flo_out_u64(way, "bytes"), size);
        if (base != NULL) {
            saving(way, saved, sizeof(saved));
            flo_out_say(cli, " %s %-12s from %s: %s, %.1f %% (%s)%s",
                        json_is_true(json_object_get(way, "kept")) ? "✓" : "–",
                        has_several ? flo_out_text(way, "file", "") : "delta", base, size,
                        100 * json_real_value(json_object_get(way, "ratio")),
                        flo_out_text(way, "codec", "?"),
                        json_is_true(json_object_get(way, "kept")) ? saved : "");
        } else if (json_is_true(json_object_get(way, "kept"))) {
            flo_out_say(cli, " ✓ %-12s %s (%s)", flo_out_text(way, "file", ""), size,
                        flo_out_text(way, "codec", "?"));
        }
    }
}
