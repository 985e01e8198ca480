/* flotilla release create: from a model to a signed release on the controller.
 *
 * Checks that can fail at once come first: the flags, the key, the releases of
 * that name on the controller, the golden prompts.  Then everything is
 * computed, and uploaded. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/golden.h>
#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "base/ticker.h"
#include "server-stub/cli/cli.h"
#include "server-stub/cli/create/parts.h"

#define SPEED_RATIO_DEFAULT 1.5
#define SAID_BYTES_MIN (16u << 20) /* smaller files take no time */

struct create {
    char model_name[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char fleet[FLO_NAME_MAX + 1];
    char dir[1024];
    char bases[FLO_AUTHOR_BASES_MAX][1200];
    char base_names[FLO_AUTHOR_BASES_MAX][FLO_NAME_MAX + 1];
    char golden[1200];       /* where its prompts are, given or made */
    char player[1200];       /* the base's model, fetched */
    char lora[1200];         /* the adapter and its scale */
    struct flo_key *key;     /* that signs */
    struct flo_digest model; /* of the file */
    struct flo_digest given; /* of the golden prompts; zero: none given */
    struct flo_parts parts;  /* beyond one model and its golden prompts */
    bool has_golden;         /* files[1] has the golden prompts */
    struct flo_author_file files[FLO_RELEASE_FILES_MAX];
    struct flo_author_variant variant; /* needs of each variant */
    struct flo_author author;
    struct flo_ticker ticker; /* while the downloads are made */
};

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

static int add_base(struct flo_cli *cli, struct create *create,
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

static void tell_progress(void *context, const char *what, uint64_t seconds)
{
    struct create *create = context;
    char line[160];

    (void)seconds; /* the ticker's own begin before the first step */
    (void)snprintf(line, sizeof(line), "   computing    %s", what);
    flo_ticker_tell(&create->ticker, line, 0, 0);
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
    if ((rv = flo_parts_read(cli, &create->parts, err)) < 0) {
        return rv;
    }
    create->files[0].name = "model.gguf";
    create->files[0].role = "model";
    create->files[0].path = flo_args_text(args, "model-file", NULL);
    create->files[1].name = "golden.json";
    create->files[1].role = "golden";
    create->files[1].path = create->golden;
    if (!flo_args_has(args, "sign-with") ||
        (create->files[0].path == NULL && !create->parts.is_used)) {
        return flo_fail(err, FLO_E_USAGE,
                        "release create needs --model-file and --sign-with");
    }
    if (golden != NULL && flo_args_has(args, "prompts")) {
        return flo_fail(err, FLO_E_USAGE,
                        "--golden and --prompts exclude each other: the golden "
                        "prompts are there, or they are made");
    }
    if (golden != NULL && strlen(golden) >= sizeof(create->golden)) {
        return flo_fail(err, FLO_E_USAGE, "--golden: the path is too long");
    }
    snprintf(create->golden, sizeof(create->golden), "%s",
             golden != NULL ? golden : "");
    create->has_golden = !create->parts.is_used || golden != NULL ||
                         flo_args_has(args, "prompts");
    create->variant = (struct flo_author_variant){.name = "default",
                                                  .memory_bytes = memory,
                                                  .context = (uint32_t)context};
    create->author = (struct flo_author){
        .fleet = create->fleet,
        .model = create->model_name,
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
        .progress = tell_progress,
        .progress_context = create,
    };
    return 0;
}

/* The first file is the one that deltas are made for: the model, the adapter,
 * or what was named first.  The golden prompts are the second one. */
static int add_parts(struct create *create, struct flo_err *err)
{
    struct flo_parts *parts = &create->parts;
    bool has_model = create->files[0].path != NULL;
    size_t count = 1;
    size_t taken = 0;

    if (has_model && parts->adapter != NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--model-file and --base exclude each other: the base "
                        "has the model");
    }
    if (!has_model && parts->file_count == 0) {
        return flo_fail(err, FLO_E_USAGE, "no file: --file NAME=PATH[:ROLE]");
    }
    if (!has_model) {
        create->files[0] = parts->files[taken++];
    }
    if (create->has_golden) {
        count = 2;
    }
    if (parts->file_count - taken > FLO_RELEASE_FILES_MAX - count) {
        return flo_fail(err, FLO_E_USAGE, "a release has at most %d files",
                        FLO_RELEASE_FILES_MAX);
    }
    while (taken < parts->file_count) {
        create->files[count++] = parts->files[taken++];
    }
    create->author.file_count = count;
    for (size_t i = 0; i < parts->variant_count; i++) {
        struct flo_author_variant *variant = &parts->variants[i];
        if (variant->memory_bytes == 0) {
            variant->memory_bytes = create->variant.memory_bytes;
        }
        if (variant->context == 0) {
            variant->context = create->variant.context;
        }
    }
    create->author.variants = parts->variants;
    create->author.variant_count = parts->variant_count;
    create->author.serve = &parts->serve;
    create->author.floor = parts->floor;
    create->author.base_release = parts->base_id;
    create->author.base_number = parts->base != NULL ? parts->base->number : 0;
    return 0;
}

/* Printed before a step that takes time. */
static void say_bytes(const struct flo_cli *cli, const char *what,
                      const char *file, uint64_t bytes)
{
    char size[32];

    if (bytes >= SAID_BYTES_MIN) {
        flo_out_bytes(bytes, size);
        flo_out_say(cli, "   %-12s %s, %s", what, file, size);
    }
}

static int upload(struct flo_cli *cli, struct create *create,
                  const struct flo_author_result *made, json_t **release,
                  struct flo_err *err)
{
    struct flo_buf envelope = {0};
    uint64_t sent_bytes = 0;
    int rv = flo_release_sign(made->body.data, made->body.bytes, create->key,
                              &envelope, err);

    for (size_t i = 0; rv == 0 && i < made->blob_count; i++) {
        const struct flo_author_blob *blob = &made->blobs[i];
        char hex[2 * FLO_DIGEST_BYTES + 1];
        char path[1200];
        struct flo_ticker ticker;
        bool sent;
        if (!blob->kept) {
            continue;
        }
        flo_hex_encode(blob->digest.bytes, FLO_DIGEST_BYTES, hex);
        snprintf(path, sizeof(path), "%s/sha256-%s", create->dir, hex);
        say_bytes(cli, "uploading", blob->file, blob->bytes);
        flo_ticker_start(&ticker, "   uploading");
        rv = flo_api_put_blob(cli, &blob->digest, path, &sent, err);
        flo_ticker_stop(&ticker);
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
        if (blob->is_chunk_list) {
            continue;
        }
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

static uint64_t first_bytes(const struct create *create,
                            const struct flo_author_result *made)
{
    for (size_t i = 0; i < made->blob_count; i++) {
        if (made->blobs[i].codec == FLO_CODEC_RAW &&
            !made->blobs[i].is_chunk_list &&
            strcmp(made->blobs[i].file, create->files[0].name) == 0) {
            return made->blobs[i].bytes;
        }
    }
    return 1;
}

static int publish(struct flo_cli *cli, const char *title, json_t *release,
                   struct flo_err *err)
{
    char path[256];
    int rv;

    snprintf(path, sizeof(path), "/v1/releases/%.130s/publish", title);
    rv = flo_api_call(cli, "POST", path, NULL, NULL, err);
    if (rv == 0) {
        json_object_set_new(release, "state", json_string("published"));
    }
    return rv;
}

static void show_end(const struct flo_cli *cli, const char *title,
                     const json_t *release)
{
    if (cli->args.is_json) {
        flo_out_json(release);
        return;
    }
    printf("%s %s %s\n", flo_out_text(release, "state", "draft"), title,
           flo_out_text(release, "digest", "?"));
}

static int build_and_upload(struct flo_cli *cli, struct create *create,
                            const char *title, struct flo_err *err)
{
    struct flo_author_result made = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    int rv;

    if (!flo_args_has(&cli->args, "quiet")) {
        flo_out_say(cli, "   computing    the downloads");
        flo_ticker_start(&create->ticker, "   computing    the downloads");
    }
    rv = flo_release_build(&create->author, create->dir, &made, err);
    flo_ticker_stop(&create->ticker);
    if (rv == 0) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *ways = ways_json(create, &made, first_bytes(create, &made));
        show_ways(cli, ways);
        rv = upload(cli, create, &made, &release, err);
        if (rv == 0) {
            json_object_set(release, "ways", ways);
        }
    }
    if (rv == 0 && flo_args_has(&cli->args, "publish")) {
        rv = publish(cli, title, release, err);
    }
    if (rv == 0) {
        show_end(cli, title, release);
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

/* ---- what is there already -------------------------------------- */

static bool is_text(const json_t *document, const char *key, const char *given)
{
    return strcmp(flo_out_text(document, key, ""),
                  given != NULL ? given : "") == 0;
}

static bool has_file(const json_t *document, const char *role,
                     const struct flo_digest *digest)
{
    const json_t *files = json_object_get(document, "files");
    struct flo_digest there;

    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (strcmp(flo_out_text(file, "role", ""), role) == 0 &&
            flo_digest_parse(flo_out_text(file, "digest", ""), &there) &&
            flo_digest_equal(&there, digest)) {
            return true;
        }
    }
    return false;
}

static double ratio_of(const json_t *document)
{
    const json_t *ratio = flo_out_at(document, "probe.speed_ratio_max");

    return ratio != NULL ? json_number_value(ratio) : SPEED_RATIO_DEFAULT;
}

/* The input that differs from the release that is there; NULL: none. */
static const char *difference(const struct create *create,
                              const json_t *document)
{
    const struct flo_author *author = &create->author;
    const json_t *variant =
        json_array_get(json_object_get(document, "variants"), 0);
    double ratio = author->speed_ratio_max > 0 ? author->speed_ratio_max
                                               : SPEED_RATIO_DEFAULT;
    double apart = ratio - ratio_of(document);

    if (create->parts.is_used) {
        return "one of its parts, perhaps";
    }
    if (!has_file(document, "model", &create->model)) {
        return "the model";
    }
    if (!flo_digest_is_zero(&create->given) &&
        !has_file(document, "golden", &create->given)) {
        return "the golden prompts";
    }
    if (!is_text(document, "label", author->label)) {
        return "the label";
    }
    if (!is_text(document, "license", author->license)) {
        return "the license";
    }
    const json_t *needs = json_object_get(variant, "needs");
    if (flo_out_u64(needs, "memory_bytes") != create->variant.memory_bytes ||
        flo_out_u64(needs, "context") != create->variant.context) {
        return "--memory or --context";
    }
    return apart < -1e-9 || apart > 1e-9 ? "--speed-ratio" : NULL;
}

/* *is_there: it was made of the same before, nothing is left to do. */
static int look_at_name(struct flo_cli *cli, const struct create *create,
                        const char *title, bool *is_there, struct flo_err *err)
{
    char path[256];
    struct flo_err why = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    const char *other;
    int rv;

    *is_there = false;
    snprintf(path, sizeof(path), "/v1/releases/%.130s", title);
    rv = flo_api_get(cli, path, &release, &why);
    if (rv == FLO_E_RELEASE_ABSENT || rv == FLO_E_ABSENT) {
        return 0;
    }
    if (rv < 0) {
        *err = why;
        return rv;
    }
    other = difference(create, json_object_get(release, "document"));
    if (other != NULL) {
        return flo_fail(err, FLO_E_RELEASE_EXISTS,
                        "%s is there, and %s is another", title, other);
    }
    *is_there = true;
    flo_out_say(cli, " ✓ %s is there already, made of the same", title);
    if (flo_args_has(&cli->args, "publish") &&
        strcmp(flo_out_text(release, "state", ""), "draft") == 0) {
        rv = publish(cli, title, release, err);
    }
    if (rv == 0) {
        json_object_set_new(release, "existed", json_true());
        show_end(cli, title, release);
    }
    return rv;
}

/* ---- golden prompts --------------------------------------------- */

/* A command of flotilla-model; it tells its story on stderr itself. */
static int run_model(const char *const *words, struct flo_err *err)
{
    char program[4096];
    const char *argv[16] = {program};
    int status = 0;
    pid_t pid;
    int rv;

    if (!flo_process_sibling("flotilla-model", program, sizeof(program)) ||
        access(program, X_OK) != 0) {
        flo_fail(err, FLO_E_ABSENT,
                 "the program flotilla-model, which plays the golden prompts, "
                 "is not installed");
        flo_err_fix(err, "install it, or sign what nobody played with "
                         "--golden FILE --skip-play");
        return FLO_E_ABSENT;
    }
    for (size_t i = 0; i + 2 < FLO_COUNT(argv) && words[i] != NULL; i++) {
        argv[i + 1] = words[i];
    }
    (void)fflush(stdout);
    rv = flo_process_spawn(argv, -1, &pid, err);
    if (rv < 0) {
        return rv;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    return flo_fail(err, FLO_E_PROBE_GOLDEN,
                    "flotilla-model %s %s said so (%s %d)", words[0], words[1],
                    WIFEXITED(status) ? "exit code" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* The same reader as on the device. */
static int read_golden(const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_golden golden;
    size_t bytes;
    int rv = flo_file_read(path, FLO_GOLDEN_BYTES_MAX, &text, &bytes, err);

    rv = rv < 0 ? rv : flo_golden_read(text, bytes, &golden, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    flo_golden_deinit(&golden);
    return 0;
}

/* The model that plays: the one of the release, or of --base with the adapter,
 * which shows whether they fit.  `words` grows from `count` on. */
static int add_player(struct flo_cli *cli, struct create *create,
                      const char **words, size_t *count, struct flo_err *err)
{
    const struct flo_parts *parts = &create->parts;
    const struct flo_release_file *model;
    struct flo_ticker ticker;
    size_t at = 0;

    words[(*count)++] = "--model";
    if (parts->adapter == NULL) {
        words[(*count)++] = create->files[0].path;
        return 0;
    }
    model = flo_release_entry(parts->base, &parts->base->variants[0]);
    snprintf(create->player, sizeof(create->player), "%s/base.gguf",
             create->dir);
    while (parts->files[at].path != parts->adapter) {
        at++;
    }
    snprintf(create->lora, sizeof(create->lora), "%s:%g", parts->adapter,
             parts->files[at].scale_ppm / (double)FLO_SCALE_PPM);
    words[(*count)++] = create->player;
    words[(*count)++] = "--lora";
    words[(*count)++] = create->lora;
    flo_ticker_start(&ticker, "   fetching the base's model");
    int rv = flo_api_get_blob(cli, &model->digest, create->player, err);
    flo_ticker_stop(&ticker);
    return rv;
}

static int make_golden(struct flo_cli *cli, struct create *create,
                       struct flo_err *err)
{
    const char *prompts = flo_args_text(&cli->args, "prompts", NULL);
    const char *context = flo_args_text(&cli->args, "context", NULL);
    const char *words[16] = {"golden", "create", create->golden};
    size_t n = 3;
    int rv = add_player(cli, create, words, &n, err);

    if (rv < 0) {
        return rv;
    }
    snprintf(create->golden, sizeof(create->golden), "%s/golden.json",
             create->dir);
    if (prompts != NULL) {
        words[n++] = "--prompts";
        words[n++] = prompts;
    }
    if (context != NULL) {
        words[n++] = "--ctx";
        words[n++] = context;
    }
    flo_out_say(cli, "   making       golden prompts, %s",
                prompts != NULL ? prompts : "the built-in set");
    rv = run_model(words, err);
    return rv < 0 ? rv : read_golden(create->golden, err);
}

static int prepare_golden(struct flo_cli *cli, struct create *create,
                          struct flo_err *err)
{
    const char *words[16] = {"golden", "play", create->golden};
    size_t n = 3;
    bool is_played = create->parts.is_native;

    if (!create->has_golden) {
        return 0;
    }
    if (create->golden[0] == '\0' && is_played) {
        return make_golden(cli, create, err);
    }
    if (create->golden[0] == '\0') {
        return flo_fail(err, FLO_E_USAGE,
                        "--prompts makes golden prompts of a model alone; give "
                        "them with --golden");
    }
    if (!is_played) {
        flo_out_say(cli, "   not played   %s: the device plays it first",
                    create->golden);
    }
    if (!is_played || flo_args_has(&cli->args, "skip-play")) {
        return 0;
    }
    flo_out_say(cli, "   playing      %s", create->golden);
    int rv = add_player(cli, create, words, &n, err);
    return rv < 0 ? rv : run_model(words, err);
}

/* ---- the command ------------------------------------------------ */

/* As devices look at it. */
static int check_model(struct create *create, const char *path,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_ticker ticker;
    int rv = flo_file_open(path, &fd, err);

    if (rv < 0) {
        return rv;
    }
    flo_ticker_start(&ticker, "   looking at the model");
    rv = create->author.allow_nonfinite
             ? flo_sha256_fd(fd, &create->model, NULL, err)
         : create->parts.is_native
             ? flo_model_scan(fd, &create->model, NULL, err)
             : flo_file_scan(fd, &create->model, NULL, err);
    flo_ticker_stop(&ticker);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

/* Check all inputs that need no minutes of computing. */
static int check_inputs(struct flo_cli *cli, struct create *create,
                        struct flo_err *err)
{
    const char *key = flo_args_text(&cli->args, "sign-with", NULL);
    const char *prompts = flo_args_text(&cli->args, "prompts", NULL);
    int rv = flo_key_load(key, &create->key, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "sign with %s", key);
    }
    if (prompts != NULL && access(prompts, R_OK) != 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", prompts);
    }
    if (create->golden[0] != '\0') {
        rv = read_golden(create->golden, err);
        rv = rv < 0
                 ? rv
                 : flo_sha256_file(create->golden, &create->given, NULL, err);
    }
    if (rv == 0) {
        rv = flo_parts_take_base(cli, &create->parts, err);
    }
    if (rv == 0 && create->parts.is_used) {
        rv = add_parts(create, err);
    }
    return rv < 0 ? rv : check_model(create, create->files[0].path, err);
}

static int make_folder(struct create *create, const char *to,
                       struct flo_err *err)
{
    const char *tmp = getenv("TMPDIR");

    if (to != NULL) {
        snprintf(create->dir, sizeof(create->dir), "%s", to);
        return flo_dir_make(create->dir, 0755, err);
    }
    snprintf(create->dir, sizeof(create->dir), "%.900s/flotilla-XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    return mkdtemp(create->dir) != NULL
               ? 0
               : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", create->dir);
}

static int create_in_folder(struct flo_cli *cli, struct create *create,
                            const char *title, struct flo_err *err)
{
    int rv = prepare_golden(cli, create, err);

    rv = rv < 0 ? rv : look_at_releases(cli, create, err);
    return rv < 0 ? rv : build_and_upload(cli, create, title, err);
}

static int create_new(struct flo_cli *cli, struct create *create,
                      const char *title, struct flo_err *err)
{
    const char *to = flo_args_text(&cli->args, "to", NULL);
    int rv = make_folder(create, to, err);

    if (rv == 0) {
        rv = create_in_folder(cli, create, title, err);
        if (to == NULL) {
            remove_scratch(create->dir);
        }
    }
    return rv;
}

static int create_release(struct flo_cli *cli, struct create *create,
                          struct flo_err *err)
{
    const char *title = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;
    bool is_there = false;
    int rv = flo_release_title_parse(title, create->model_name, create->version,
                                     err);
    if (rv == 0) {
        rv = read_flags(cli, create, err);
    }
    if (rv == 0) {
        rv = check_inputs(cli, create, err);
    }
    if (rv == 0) {
        rv = flo_api_get(cli, "/v1/version", &version, err);
    }
    if (rv == 0) {
        snprintf(create->fleet, sizeof(create->fleet), "%s",
                 flo_out_text(version, "fleet", ""));
        rv = look_at_name(cli, create, title, &is_there, err);
    }
    return rv < 0 || is_there ? rv : create_new(cli, create, title, err);
}

int flo_cmd_release_create(struct flo_cli *cli, struct flo_err *err)
{
    struct create *create = calloc(1, sizeof(*create));
    int rv;

    if (create == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release");
    }
    rv = create_release(cli, create, err);
    flo_parts_deinit(&create->parts);
    flo_key_free(create->key);
    free(create);
    return rv;
}
