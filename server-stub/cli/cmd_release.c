/* Commands about models and releases: from a GGUF file to a published one. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "base/ticker.h"
#include "server-stub/cli/live/live.h"

int flo_cmd_model_import(struct flo_cli *cli, struct flo_err *err)
{
    const char *path = cli->args.words[0];
    struct flo_digest digest;
    uint64_t bytes;
    char text[FLO_DIGEST_TEXT];
    char size[32];
    bool is_there = false;
    struct flo_ticker ticker;
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_file_open(path, &fd, err));
    flo_ticker_start(&ticker, "model import");
    int rv = flo_model_scan(fd, &digest, &bytes, err);
    if (rv == 0) {
        rv = flo_api_has_blob(cli, &digest, &is_there, err);
    }
    if (rv == 0 && !is_there) {
        rv = flo_api_put_blob(cli, &digest, path, err);
    }
    flo_ticker_stop(&ticker);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    flo_digest_text(&digest, text);
    flo_out_bytes(bytes, size);
    flo_out_done(
        cli,
        json_pack("{s:s,s:I,s:b}", "digest", text, "bytes", (json_int_t)bytes, "stored", !is_there),
        "%s  %s  %s\n", text, size, is_there ? "was there" : "stored");
    return 0;
}

static int show_release_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;

    FLO_TRY(flo_api_list_model(cli, "/v1/releases", &items, err));
    flo_out_table(cli, items, FLO_COLUMNS(release));
    return 0;
}

int flo_cmd_release_list(struct flo_cli *cli, struct flo_err *err)
{
    return flo_follow(cli, "release", show_release_list, err);
}

/* Builds "/v1/releases/<model@version><rest>" from the command's first
 * argument. */
static int release_path(const struct flo_cli *cli, const char *rest, char *out, size_t bytes,
                        const char **title, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    *title = cli->args.words[0];
    FLO_TRY(flo_release_title_parse(*title, model, version, err));
    snprintf(out, bytes, "/v1/releases/%s@%s%s", model, version, rest);
    return 0;
}

/* Prints the release's document as a device reads it. */
static int show_document(const json_t *release, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    struct flo_release *document = NULL;

    flo_json_dump(json_object_get(release, "document"), &body);
    if (body.failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release");
    }
    FLO_TRY(flo_release_new(body.data, body.bytes, NULL, &document, err));
    flo_release_show(document, &out);
    flo_release_free(document);
    if (!out.failed) {
        (void)printf("\n%s", (const char *)out.data);
    }
    size_t collected = json_array_size(json_object_get(release, "collected"));
    if (collected > 0) {
        (void)printf("collected   %zu of its deltas: no device had a file that "
                     "they begin with\n",
                     collected);
    }
    return 0;
}

int flo_cmd_release_get(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *title;
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *one = json_array();

    FLO_TRY(release_path(cli, "", path, sizeof(path), &title, err));
    FLO_TRY(flo_api_get(cli, path, &release, err));
    if (flo_out_is_data(cli)) {
        flo_out_object(cli, release, FLO_COLUMNS(release));
    } else {
        json_array_append(one, release);
        flo_out_table(cli, one, FLO_COLUMNS(release));
        FLO_TRY(show_document(release, err));
    }
    return 0;
}

/* Adds a signature to a release.  The body does not change, so the release's id
 * stays. */
int flo_cmd_release_resign(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf old = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope parts = {0};
    struct flo_digest id;
    char path[256];
    const char *title;

    FLO_TRY(release_path(cli, "", path, sizeof(path), &title, err));
    FLO_TRY(flo_api_get(cli, path, &release, err));
    if (!flo_digest_parse(flo_out_text(release, "digest", ""), &id)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s has no digest", title);
    }
    FLO_TRY(flo_api_get_envelope(cli, &id, &old, err));
    FLO_TRY(flo_envelope_parse(old.data, old.bytes, FLO_TYPE_RELEASE, &parts, err));
    FLO_TRY(flo_key_load(flo_args_text(&cli->args, "key", ""), &key, err));
    FLO_TRY(flo_envelope_sign(&parts, key, err));
    flo_envelope_write(&parts, &out);
    FLO_TRY(out.failed ? flo_fail(err, FLO_E_MEMORY, "an envelope") : 0);
    FLO_TRY(flo_api_send(cli, "/v1/releases", out.data, out.bytes, NULL, err));
    flo_out_done(cli, json_pack("{s:s,s:s}", "release", title, "keyid", flo_key_public(key)->keyid),
                 "%s is signed by %.16s…, and by %zu other keys\n", title,
                 flo_key_public(key)->keyid, parts.signature_count - 1);
    return 0;
}

int flo_cmd_release_publish(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *title;

    FLO_TRY(release_path(cli, "/publish", path, sizeof(path), &title, err));
    FLO_TRY(flo_api_call(cli, "POST", path, NULL, NULL, err));
    flo_out_done(cli, json_pack("{s:s,s:s}", "release", title, "state", "published"),
                 "published %s\n", title);
    return 0;
}

static int change_state(struct flo_cli *cli, const char *verb, const char *question,
                        const char *state, struct flo_err *err)
{
    char path[256];
    const char *title;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s}", "reason", flo_args_text(&cli->args, "reason", ""));
    FLO_TRY(release_path(cli, verb, path, sizeof(path), &title, err));
    FLO_TRY(flo_out_confirm(cli, question, title, err));
    FLO_TRY(flo_api_call(cli, "POST", path, body, NULL, err));
    flo_out_done(cli, json_pack("{s:s,s:s}", "release", title, "state", state), "%s %s\n", state,
                 title);
    return 0;
}

int flo_cmd_release_yank(struct flo_cli *cli, struct flo_err *err)
{
    return change_state(cli, "/yank", "No device will start this release again.", "yanked", err);
}

int flo_cmd_release_unyank(struct flo_cli *cli, struct flo_err *err)
{
    return change_state(cli, "/unyank", "New rollouts may bring this release again.", "published",
                        err);
}

/* Signs the document `body` with the key in the file `key_path`. */
static int sign_with(const char *key_path, const char *body, size_t bytes, struct flo_buf *out,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    int rv = flo_key_load(key_path, &key, err);

    if (rv == 0) {
        rv = flo_release_sign(body, bytes, key, out, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "sign with %s", key_path) : 0;
}

int flo_cmd_release_sign(struct flo_cli *cli, struct flo_err *err)
{
    const char *path = cli->args.words[0];
    FLO_CLEANUP(flo_free_cleanup) char *body = NULL;
    size_t bytes;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    const char *key = flo_args_text(&cli->args, "key", NULL);
    const char *to = flo_args_text(&cli->args, "to", NULL);

    FLO_TRY(flo_file_read(path, FLO_RELEASE_BYTES_MAX, &body, &bytes, err));
    FLO_TRY(sign_with(key, body, bytes, &out, err));
    FLO_TRY(flo_file_write(to, out.data, out.bytes, 0644, err));
    flo_out_done(cli, json_pack("{s:s}", "file", to), "%s is signed\n", to);
    return 0;
}
