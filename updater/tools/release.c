/* flotilla-updater release sign|verify|inspect: signs and checks documents by
 * hand. */
#include "updater/tools/tools.h"

#include <string.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "base/host/json.h"

/* ---- sign ---- */

static int sign(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *const *paths = line->args.words;
    FLO_CLEANUP(flo_free_cleanup) char *body = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf envelope = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    struct flo_digest digest;
    size_t bytes = 0;

    FLO_TRY(flo_file_read(paths[0], FLO_RELEASE_BYTES_MAX, &body, &bytes, err));
    FLO_TRY(flo_key_load(line->key, &key, err));
    FLO_TRY(flo_release_sign(body, bytes, key, &envelope, err));
    FLO_TRY(flo_file_write(paths[1], envelope.data, envelope.bytes, 0644, err));
    char text[FLO_DIGEST_TEXT];
    flo_sha256(body, bytes, &digest);
    flo_digest_text(&digest, text);
    tool_answer(
        json_pack("{s:o,s:s}", "digest", tool_digest(&digest), "keyid", flo_key_public(key)->keyid),
        "%s: release %s\n", paths[1], text);
    return 0;
}

static const struct flo_flag sign_flags[] = {
    {"key", "FILE", "private key", FLO_TEXT(struct tool_line, key), .is_needed = true},
    FLO_FLAGS_END,
};
const struct flo_verb tool_release_sign = {
    .name = "release sign",
    .usage = "DOCUMENT.json ENVELOPE.json --key FILE [--json]",
    .help = "sign a release document",
    .flags = {sign_flags, FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = sign,
    .example = "body.json release.json --key publisher.key",
};

/* ---- verify ---- */

static int verify(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *path = line->args.words[0];
    FLO_CLEANUP(flo_free_cleanup) char *envelope = NULL;
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *trust = NULL;
    struct flo_release_verified verified;
    char title[2 * FLO_NAME_MAX + 2];
    size_t bytes = 0;

    FLO_TRY(tool_load_trust(&trust, err));
    FLO_TRY(flo_file_read(path, FLO_ENVELOPE_BYTES_MAX, &envelope, &bytes, err));
    FLO_TRY(flo_release_verify(envelope, bytes, trust, &verified, err));
    flo_release_title(&verified.release, title);
    tool_answer(json_pack("{s:s,s:I,s:o,s:s}", "release", title, "number",
                          (json_int_t)verified.release.number, "digest",
                          tool_digest(&verified.digest), "keyid", verified.keyid),
                "%s: %s, signed by %.16s\n", path, title, verified.keyid);
    flo_release_verified_deinit(&verified);
    return 0;
}

const struct flo_verb tool_release_verify = {
    .name = "release verify",
    .usage = "ENVELOPE.json --trust TRUST.json [--json]",
    .help = "who signed a release, and whether that key may",
    .flags = {tool_flags_trust, FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = verify,
    .example = "release.json --trust trust.json",
};

/* ---- inspect ---- */

static void show_json(const json_t *document, json_t *keyids)
{
    struct flo_buf out = {0};
    json_t *shown =
        json_pack("{s:b,s:O,s:O}", "verified", 0, "keyids", keyids, "document", document);

    flo_json_dump_pretty(shown, &out);
    json_decref(shown);
    if (!out.failed) {
        (void)printf("%s\n", out.data);
    }
    flo_buf_deinit(&out);
}

/* Prints the release as a device reads it. */
static int show_text(const struct flo_envelope *envelope, struct flo_err *err)
{
    struct flo_release *release = NULL;
    struct flo_buf out = {0};

    FLO_TRY(flo_release_new(envelope->body, envelope->body_bytes, NULL, &release, err));
    flo_buf_text(&out, "not verified; signed by");
    for (size_t i = 0; i < envelope->signature_count; i++) {
        flo_buf_printf(&out, " %.16s", envelope->signatures[i].keyid);
    }
    flo_buf_text(&out, "\n");
    flo_release_show(release, &out);
    if (!out.failed) {
        (void)fputs(out.data, stdout);
    }
    flo_buf_deinit(&out);
    flo_release_free(release);
    return 0;
}

/* Prints the document, and a note that it was not verified. */
static int inspect(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *path = line->args.words[0];
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *document = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *keyids = json_array();
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {0};
    size_t bytes = 0;

    FLO_TRY(flo_file_read(path, FLO_ENVELOPE_BYTES_MAX, &text, &bytes, err));
    FLO_TRY(flo_envelope_parse(text, bytes, FLO_TYPE_RELEASE, &envelope, err));
    FLO_TRY(
        flo_json_parse(envelope.body, envelope.body_bytes, FLO_RELEASE_BYTES_MAX, &document, err));
    for (size_t i = 0; i < envelope.signature_count; i++) {
        json_array_append_new(keyids, json_string(envelope.signatures[i].keyid));
    }
    if (line->args.is_json) {
        show_json(document, keyids);
        return 0;
    }
    return show_text(&envelope, err);
}

const struct flo_verb tool_release_inspect = {
    .name = "release inspect",
    .usage = "ENVELOPE.json [--json]",
    .help = "every field of a signed release, not verified",
    .flags = {FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = inspect,
    .example = "release.json",
};
