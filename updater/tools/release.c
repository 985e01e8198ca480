/* flotilla-updater release sign|verify|inspect: documents by hand. */
#include "updater/tools/tools.h"

#include <string.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "base/host/json.h"

/* ---- sign ---- */

static int sign(const char *const *paths, const char *key_path, bool wants_json,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *body = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_buf envelope = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    struct flo_digest digest;
    size_t bytes = 0;
    int rv = flo_file_read(paths[0], FLO_RELEASE_BYTES_MAX, &body, &bytes, err);

    if (rv == 0) {
        rv = flo_key_load(key_path, &key, err);
    }
    if (rv == 0) {
        rv = flo_release_sign(body, bytes, key, &envelope, err);
    }
    if (rv == 0) {
        rv = flo_file_write(paths[1], envelope.data, envelope.bytes, 0644, err);
    }
    if (rv == 0) {
        char text[FLO_DIGEST_TEXT];
        flo_sha256(body, bytes, &digest);
        flo_digest_text(&digest, text);
        tool_answer(wants_json,
                    json_pack("{s:o,s:s}", "digest", tool_digest(&digest),
                              "keyid", flo_key_public(key)->keyid),
                    "%s: release %s\n", paths[1], text);
    }
    flo_buf_deinit(&envelope);
    return rv;
}

static int command_sign(int argc, char **argv)
{
    const char *key = NULL;
    const char *json = NULL;
    const struct tool_option options[] = {{"--key", false, &key},
                                          {"--json", true, &json}};
    const char *paths[2];
    struct flo_err err = {0};
    static const char usage[] =
        "release sign DOCUMENT.json ENVELOPE.json --key FILE [--json]";
    int rv = tool_args(argc, argv, options, FLO_COUNT(options), paths,
                       FLO_COUNT(paths), usage, &err);

    if (rv == 0 && key == NULL) {
        rv = flo_fail(&err, FLO_E_USAGE, "usage: flotilla-updater %s", usage);
    }
    if (rv == 0) {
        rv = sign(paths, key, json != NULL, &err);
    }
    return rv == 0 ? 0 : tool_fail(json != NULL, &err);
}

/* ---- verify ---- */

static int verify(const char *path, const char *trust_path, bool wants_json,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *envelope = NULL;
    struct flo_trust *trust = NULL;
    struct flo_release_verified verified;
    char title[2 * FLO_NAME_MAX + 2];
    size_t bytes = 0;
    int rv = flo_trust_load(trust_path, &trust, err);

    if (rv == 0) {
        rv =
            flo_file_read(path, FLO_ENVELOPE_BYTES_MAX, &envelope, &bytes, err);
    }
    if (rv == 0) {
        rv = flo_release_verify(envelope, bytes, trust, &verified, err);
    }
    flo_trust_free(trust);
    if (rv < 0) {
        return rv;
    }
    flo_release_title(&verified.release, title);
    tool_answer(wants_json,
                json_pack("{s:s,s:I,s:o,s:s}", "release", title, "number",
                          (json_int_t)verified.release.number, "digest",
                          tool_digest(&verified.digest), "keyid",
                          verified.keyid),
                "%s: %s, signed by %.16s\n", path, title, verified.keyid);
    flo_release_verified_deinit(&verified);
    return 0;
}

static int command_verify(int argc, char **argv)
{
    return tool_verify(
        argc, argv, "release verify ENVELOPE.json --trust TRUST.json [--json]",
        verify);
}

/* ---- inspect ---- */

/* The document as it is, for people; says that nobody verified it. */
static int inspect(const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *document = NULL;
    struct flo_envelope envelope = {0};
    struct flo_buf out = {0};
    json_t *keyids = json_array();
    size_t bytes = 0;
    int rv = flo_file_read(path, FLO_ENVELOPE_BYTES_MAX, &text, &bytes, err);

    if (rv == 0) {
        rv = flo_envelope_parse(text, bytes, FLO_TYPE_RELEASE, &envelope, err);
    }
    if (rv == 0) {
        rv = flo_json_parse(envelope.body, envelope.body_bytes,
                            FLO_RELEASE_BYTES_MAX, &document, err);
    }
    for (size_t i = 0; rv == 0 && i < envelope.signature_count; i++) {
        json_array_append_new(keyids,
                              json_string(envelope.signatures[i].keyid));
    }
    flo_envelope_deinit(&envelope);
    if (rv < 0) {
        json_decref(keyids);
        return rv;
    }
    json_t *shown = json_pack("{s:b,s:o,s:O}", "verified", 0, "keyids", keyids,
                              "document", document);
    flo_json_dump_pretty(shown, &out);
    json_decref(shown);
    if (!out.failed) {
        (void)printf("%s\n", out.data);
    }
    flo_buf_deinit(&out);
    return 0;
}

static int command_inspect(int argc, char **argv)
{
    const char *json = NULL; /* it always is */
    const struct tool_option options[] = {{"--json", true, &json}};
    const char *path = NULL;
    struct flo_err err = {0};
    int rv = tool_args(argc, argv, options, FLO_COUNT(options), &path, 1,
                       "release inspect ENVELOPE.json", &err);

    if (rv == 0) {
        rv = inspect(path, &err);
    }
    return rv == 0 ? 0 : tool_fail(json != NULL, &err);
}

int tool_release(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"sign", command_sign},
                    {"verify", command_verify},
                    {"inspect", command_inspect}};
    struct flo_err err = {0};

    for (size_t i = 0; argc > 0 && i < FLO_COUNT(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)flo_fail(&err, FLO_E_USAGE,
                   "usage: flotilla-updater release sign|verify|inspect ...");
    return flo_err_print(stderr, &err);
}
