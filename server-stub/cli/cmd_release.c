/* Commands about models and releases: from a GGUF file to a published one. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "server-stub/cli/cli.h"

int flo_cmd_model_import(struct flo_cli *cli, struct flo_err *err)
{
    const char *path;
    struct flo_digest digest;
    uint64_t bytes;
    char text[FLO_DIGEST_TEXT];
    char size[32];
    bool sent = false;
    int rv = flo_args_word(&cli->args, "GGUF file", &path, err);

    if (rv < 0) {
        return rv;
    }
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = -1;
    rv = flo_file_open(path, &fd, err);
    if (rv < 0) {
        return rv;
    }
    rv = flo_model_scan(fd, &digest, &bytes, err);
    if (rv == 0) {
        rv = flo_api_put_blob(cli, &digest, path, &sent, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    flo_digest_text(&digest, text);
    flo_out_bytes(bytes, size);
    flo_out_done(cli,
                 json_pack("{s:s,s:I,s:b}", "digest", text, "bytes",
                           (json_int_t)bytes, "stored", sent),
                 "%s  %s  %s\n", text, size, sent ? "stored" : "was there");
    return 0;
}

static const struct flo_column release_columns[] = {
    {"MODEL", "model", CELL_TEXT},   {"VERSION", "version", CELL_TEXT},
    {"NUMBER", "number", CELL_TEXT}, {"STATE", "state", CELL_TEXT},
    {"DIGEST", "digest", CELL_TEXT},
};

int flo_cmd_release_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    int rv = flo_api_list(cli, "/v1/releases", &items, err);

    if (rv == 0) {
        flo_out_table(cli, items, release_columns, FLO_COUNT(release_columns));
    }
    return rv;
}

/* "/v1/releases/<model@version><rest>" of the one positional word. */
static int release_path(const struct flo_cli *cli, const char *rest, char *out,
                        size_t bytes, const char **title, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    int rv = flo_args_word(&cli->args, "release (model@version)", title, err);

    if (rv == 0) {
        rv = flo_release_title_parse(*title, model, version, err);
    }
    if (rv == 0) {
        snprintf(out, bytes, "/v1/releases/%s@%s%s", model, version, rest);
    }
    return rv;
}

int flo_cmd_release_get(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *title;
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *one = json_array();
    int rv = release_path(cli, "", path, sizeof(path), &title, err);

    if (rv == 0) {
        rv = flo_api_get(cli, path, &release, err);
    }
    if (rv == 0 && cli->json) {
        flo_out_json(release);
    } else if (rv == 0) {
        json_array_append(one, release);
        flo_out_table(cli, one, release_columns, FLO_COUNT(release_columns));
    }
    return rv;
}

int flo_cmd_release_publish(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *title;
    int rv = release_path(cli, "/publish", path, sizeof(path), &title, err);

    if (rv == 0) {
        rv = flo_api_call(cli, "POST", path, NULL, NULL, err);
    }
    if (rv == 0) {
        flo_out_done(
            cli, json_pack("{s:s,s:s}", "release", title, "state", "published"),
            "published %s\n", title);
    }
    return rv;
}

static int change_state(struct flo_cli *cli, const char *verb,
                        const char *question, const char *state,
                        struct flo_err *err)
{
    char path[256];
    const char *title;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s}", "reason", flo_args_text(&cli->args, "reason", ""));
    int rv = release_path(cli, verb, path, sizeof(path), &title, err);

    if (rv == 0) {
        rv = flo_out_confirm(cli, question, title, err);
    }
    if (rv == 0) {
        rv = flo_api_call(cli, "POST", path, body, NULL, err);
    }
    if (rv == 0) {
        flo_out_done(cli,
                     json_pack("{s:s,s:s}", "release", title, "state", state),
                     "%s %s\n", state, title);
    }
    return rv;
}

int flo_cmd_release_yank(struct flo_cli *cli, struct flo_err *err)
{
    return change_state(cli, "/yank",
                        "No device will start this release again.", "yanked",
                        err);
}

int flo_cmd_release_unyank(struct flo_cli *cli, struct flo_err *err)
{
    return change_state(cli, "/unyank",
                        "New rollouts may bring this release again.",
                        "published", err);
}

/* Sign the document `body` with the key in a file. */
static int sign_with(const char *key_path, const char *body, size_t bytes,
                     struct flo_buf *out, struct flo_err *err)
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
    const char *path;
    FLO_CLEANUP(flo_free_cleanup) char *body = NULL;
    size_t bytes;
    struct flo_buf out = {0};
    const char *key = flo_args_text(&cli->args, "key", NULL);
    const char *to = flo_args_text(&cli->args, "to", NULL);
    int rv = flo_args_word(&cli->args, "release document", &path, err);

    if (rv == 0 && (key == NULL || to == NULL)) {
        rv = flo_fail(err, FLO_E_USAGE, "release sign needs --key and --to");
    }
    if (rv == 0) {
        rv = flo_file_read(path, FLO_RELEASE_BYTES_MAX, &body, &bytes, err);
    }
    if (rv == 0) {
        rv = sign_with(key, body, bytes, &out, err);
    }
    if (rv == 0) {
        rv = flo_file_write(to, out.data, out.bytes, 0644, err);
    }
    flo_buf_deinit(&out);
    return rv;
}

/* ---- create ------------------------------------------------------------- */

struct create {
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char fleet[FLO_NAME_MAX + 1];
    char dir[1024];
    char bases[FLO_AUTHOR_BASES_MAX][1200];
    char base_names[FLO_AUTHOR_BASES_MAX][FLO_NAME_MAX + 1];
    struct flo_author_file files[2];
    struct flo_author_variant variant;
    struct flo_author author;
};

/* Digest of the model artifact in a release as the REST answers it. */
static bool model_digest(const json_t *release, struct flo_digest *out)
{
    const json_t *files =
        json_object_get(json_object_get(release, "document"), "files");

    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (strcmp(flo_out_text(file, "role", ""), "model") == 0) {
            return flo_digest_parse(flo_out_text(file, "digest", ""), out);
        }
    }
    return false;
}

static int add_base(struct flo_cli *cli, struct create *create,
                    const char *version, struct flo_err *err)
{
    char path[256];
    struct flo_digest digest;
    struct flo_author_file *file = &create->files[0];
    size_t n = file->base_count;
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;

    if (n == FLO_AUTHOR_BASES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "at most %d releases to delta from",
                        FLO_AUTHOR_BASES_MAX);
    }
    snprintf(path, sizeof(path), "/v1/releases/%s@%.64s", create->model,
             version);
    int rv = flo_api_get(cli, path, &release, err);
    if (rv < 0) {
        return rv;
    }
    if (!model_digest(release, &digest)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s has no model file", path);
    }
    snprintf(create->bases[n], sizeof(create->bases[n]), "%s/base-%zu",
             create->dir, n);
    snprintf(create->base_names[n], sizeof(create->base_names[n]), "%.64s",
             version);
    rv = flo_api_get_blob(cli, &digest, create->bases[n], err);
    if (rv == 0) {
        file->base_paths[n] = create->bases[n];
        file->base_count++;
    }
    return rv;
}

/* Number of the new release, and the two newest published ones as bases when
 * --delta-from is auto. */
static int look_at_releases(struct flo_cli *cli, struct create *create,
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
        if (strcmp(flo_out_text(item, "model", ""), create->model) != 0) {
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

static int read_flags(struct flo_cli *cli, struct create *create,
                      struct flo_err *err)
{
    const struct flo_args *args = &cli->args;
    const char *golden = flo_args_text(args, "golden", NULL);
    const char *ratio = flo_args_text(args, "speed-ratio", NULL);
    uint64_t context;
    uint64_t memory;
    int rv = flo_args_u64(args, "context", 0, 1 << 20, 0, &context, err);

    if (rv == 0) {
        rv =
            flo_args_u64(args, "memory", 0, UINT64_C(1) << 44, 0, &memory, err);
    }
    if (rv < 0) {
        return rv;
    }
    create->files[0].name = "model.gguf";
    create->files[0].role = "model";
    create->files[0].path = flo_args_text(args, "model-file", NULL);
    create->files[1].name = "golden.json";
    create->files[1].role = "golden";
    create->files[1].path = golden;
    if (create->files[0].path == NULL || golden == NULL ||
        !flo_args_has(args, "sign-with")) {
        return flo_fail(
            err, FLO_E_USAGE,
            "release create needs --model-file, --golden and --sign-with");
    }
    create->variant = (struct flo_author_variant){.name = "default",
                                                  .memory_bytes = memory,
                                                  .context = (uint32_t)context};
    create->author = (struct flo_author){
        .fleet = create->fleet,
        .model = create->model,
        .version = create->version,
        .number = 1,
        .label = flo_args_text(args, "label", NULL),
        .license = flo_args_text(args, "license", NULL),
        .created_at_ms = flo_wall_ms(),
        .files = create->files,
        .file_count = 2,
        .variants = &create->variant,
        .variant_count = 1,
        .speed_ratio_max = ratio != NULL ? strtod(ratio, NULL) : 0,
        .allow_nonfinite = flo_args_has(args, "skip-scan"),
    };
    return 0;
}

static int upload(struct flo_cli *cli, struct create *create,
                  const struct flo_author_result *made, json_t **release,
                  struct flo_err *err)
{
    struct flo_buf envelope = {0};
    uint64_t sent_bytes = 0;
    int rv = sign_with(flo_args_text(&cli->args, "sign-with", NULL),
                       made->body.data, made->body.bytes, &envelope, err);

    for (size_t i = 0; rv == 0 && i < made->blob_count; i++) {
        const struct flo_author_blob *blob = &made->blobs[i];
        char hex[2 * FLO_DIGEST_BYTES + 1];
        char path[1200];
        bool sent;
        if (!blob->kept) {
            continue;
        }
        flo_hex_encode(blob->digest.bytes, FLO_DIGEST_BYTES, hex);
        snprintf(path, sizeof(path), "%s/sha256-%s", create->dir, hex);
        rv = flo_api_put_blob(cli, &blob->digest, path, &sent, err);
        sent_bytes += rv == 0 && sent ? blob->bytes : 0;
    }
    if (rv == 0) {
        char text[32];
        flo_out_bytes(sent_bytes, text);
        flo_out_say(cli, " ✓ uploaded     %s", text);
        rv = flo_api_send(cli, "/v1/releases", envelope.data, envelope.bytes,
                          release, err);
    }
    flo_buf_deinit(&envelope);
    return rv;
}

/* Name of the release that a delta starts from, by its place. */
static const char *base_name(const struct create *create,
                             const struct flo_author_blob *blob)
{
    for (size_t i = 0; i < create->files[0].base_count; i++) {
        struct flo_digest digest;
        if (flo_sha256_file(create->bases[i], &digest, NULL, NULL) == 0 &&
            flo_digest_equal(&digest, &blob->base)) {
            return create->base_names[i];
        }
    }
    return "?";
}

static json_t *ways_json(const struct create *create,
                         const struct flo_author_result *made,
                         uint64_t full_bytes)
{
    json_t *ways = json_array();

    for (size_t i = 0; i < made->blob_count; i++) {
        const struct flo_author_blob *blob = &made->blobs[i];
        json_t *way = json_pack("{s:s,s:s,s:I,s:b,s:I}", "file", blob->file,
                                "codec", flo_codec_word(blob->codec), "bytes",
                                (json_int_t)blob->bytes, "kept", blob->kept,
                                "create_ms", (json_int_t)blob->create_ms);
        if (!flo_digest_is_zero(&blob->base)) {
            json_object_set_new(way, "base",
                                json_string(base_name(create, blob)));
            json_object_set_new(
                way, "ratio",
                json_real((double)blob->bytes / (double)full_bytes));
        }
        json_array_append_new(ways, way);
    }
    return ways;
}

static void show_ways(const struct flo_cli *cli, const json_t *ways)
{
    for (size_t i = 0; i < json_array_size(ways); i++) {
        const json_t *way = json_array_get(ways, i);
        char size[32];
        const char *base = flo_out_text(way, "base", NULL);
        flo_out_bytes(flo_out_u64(way, "bytes"), size);
        if (base != NULL) {
            flo_out_say(cli, " %s delta        from %s: %s, %.1f %% (%s)",
                        json_is_true(json_object_get(way, "kept")) ? "✓" : "–",
                        base, size,
                        100 * json_real_value(json_object_get(way, "ratio")),
                        flo_out_text(way, "codec", "?"));
        } else if (json_is_true(json_object_get(way, "kept"))) {
            flo_out_say(cli, " ✓ %-12s %s (%s)", flo_out_text(way, "file", ""),
                        size, flo_out_text(way, "codec", "?"));
        }
    }
}

static uint64_t model_bytes(const struct flo_author_result *made)
{
    for (size_t i = 0; i < made->blob_count; i++) {
        if (made->blobs[i].codec == FLO_CODEC_RAW &&
            strcmp(made->blobs[i].file, "model.gguf") == 0) {
            return made->blobs[i].bytes;
        }
    }
    return 1;
}

static int build_and_upload(struct flo_cli *cli, struct create *create,
                            const char *title, struct flo_err *err)
{
    struct flo_author_result made = {0};
    char path[256];
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    int rv = flo_release_build(&create->author, create->dir, &made, err);

    if (rv == 0) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *ways = ways_json(create, &made, model_bytes(&made));
        show_ways(cli, ways);
        rv = upload(cli, create, &made, &release, err);
        if (rv == 0) {
            json_object_set(release, "ways", ways);
        }
    }
    if (rv == 0 && flo_args_has(&cli->args, "publish")) {
        snprintf(path, sizeof(path), "/v1/releases/%.130s/publish", title);
        rv = flo_api_call(cli, "POST", path, NULL, NULL, err);
        if (rv == 0) {
            json_object_set_new(release, "state", json_string("published"));
        }
    }
    if (rv == 0 && cli->json) {
        flo_out_json(release);
    } else if (rv == 0) {
        printf("%s %s %s\n", flo_out_text(release, "state", "draft"), title,
               flo_out_text(release, "digest", "?"));
    }
    flo_author_result_deinit(&made);
    return rv;
}

/* Remove a scratch folder: flat, made by us. */
static void remove_scratch(const char *path)
{
    DIR *dir = opendir(path);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(path);
}

int flo_cmd_release_create(struct flo_cli *cli, struct flo_err *err)
{
    const char *title;
    FLO_CLEANUP(flo_free_cleanup)
    struct create *create = calloc(1, sizeof(*create));
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;
    const char *to = flo_args_text(&cli->args, "to", NULL);
    int rv = flo_args_word(&cli->args, "release (model@version)", &title, err);

    if (create == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release");
    }
    if (rv == 0) {
        rv =
            flo_release_title_parse(title, create->model, create->version, err);
    }
    if (rv == 0) {
        rv = read_flags(cli, create, err);
    }
    if (rv == 0) {
        rv = flo_api_get(cli, "/v1/version", &version, err);
    }
    if (rv < 0) {
        return rv;
    }
    snprintf(create->fleet, sizeof(create->fleet), "%s",
             flo_out_text(version, "fleet", ""));
    if (to != NULL) {
        snprintf(create->dir, sizeof(create->dir), "%s", to);
        rv = flo_dir_make(create->dir, 0755, err);
    } else {
        const char *tmp = getenv("TMPDIR");
        snprintf(create->dir, sizeof(create->dir), "%.900s/flotilla-XXXXXX",
                 tmp != NULL ? tmp : "/tmp");
        rv = mkdtemp(create->dir) != NULL
                 ? 0
                 : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", create->dir);
    }
    if (rv == 0) {
        rv = look_at_releases(cli, create, err);
    }
    if (rv == 0) {
        rv = build_and_upload(cli, create, title, err);
    }
    if (to == NULL) {
        remove_scratch(create->dir);
    }
    return rv;
}
