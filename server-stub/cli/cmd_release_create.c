/* flotilla release create: from a model to a signed release on the controller.
 *
 * Quick checks come first: the flags, the key, the releases of that name on the
 * controller, the golden prompts.  Then everything is computed and uploaded. */
#include "server-stub/cli/create/create.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/release.h>

#include "base/host/digest.h"

static void tell_progress(void *context, const char *what, uint64_t seconds)
{
    struct flo_create *create = context;
    char line[160];

    (void)seconds; /* the ticker itself counts the seconds */
    (void)snprintf(line, sizeof(line), "   computing    %s", what);
    flo_ticker_tell(&create->ticker, line, 0, 0);
}

static int read_flags(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const struct flo_args *args = &cli->args;
    const char *golden = flo_args_text(args, "golden", NULL);
    const char *ratio = flo_args_text(args, "speed-ratio", NULL);
    uint64_t context;
    uint64_t memory;

    FLO_TRY(flo_args_u64(args, "context", 0, 1 << 20, 0, &context, err));
    FLO_TRY(flo_args_u64(args, "memory", 0, UINT64_C(1) << 44, 0, &memory, err));
    FLO_TRY(flo_parts_read(cli, &create->parts, err));
    FLO_TRY(flo_create_read_draft(cli, create, err));
    create->files[0].name = "model.gguf";
    create->files[0].role = "model";
    create->files[0].path = flo_args_text(args, "model-file", NULL);
    create->files[1].name = "golden.json";
    create->files[1].role = "golden";
    create->files[1].path = create->golden;
    if (!flo_args_has(args, "sign-with") ||
        (create->files[0].path == NULL && !create->parts.is_used)) {
        return flo_fail(err, FLO_E_USAGE, "release create needs --model-file and --sign-with");
    }
    if (golden != NULL && flo_args_has(args, "prompts")) {
        return flo_fail(err, FLO_E_USAGE,
                        "--golden and --prompts exclude each other: the golden "
                        "prompts are there, or they are made");
    }
    if (golden != NULL && strlen(golden) >= sizeof(create->golden)) {
        return flo_fail(err, FLO_E_USAGE, "--golden: the path is too long");
    }
    snprintf(create->golden, sizeof(create->golden), "%s", golden != NULL ? golden : "");
    create->has_golden = !create->parts.is_used || golden != NULL || flo_args_has(args, "prompts");
    create->variant = (struct flo_author_variant){
        .name = "default", .memory_bytes = memory, .context = (uint32_t)context};
    create->author = (struct flo_author){
        .fleet = create->fleet,
        .model = create->model_name,
        .version = create->version,
        .number = 1,
#define FLO_RELEASE_TEXT(name, bytes, value, meaning) .name = flo_args_text(args, #name, NULL),
#include "proto/release.def"
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

/* Finds the main file of a release's parts: the adapter, the first model, or
 * the first file. */
static size_t find_main(const struct flo_parts *parts)
{
    for (size_t i = 0; parts->adapter == NULL && i < parts->file_count; i++) {
        if (strcmp(parts->files[i].role, "model") == 0) {
            return i;
        }
    }
    return 0;
}

/* Adds the parts of the release.  The first file is the one that is run and
 * scanned: the model, the adapter, or the first one given.  The golden prompts
 * are the second file. */
static int add_parts(struct flo_create *create, struct flo_err *err)
{
    struct flo_parts *parts = &create->parts;
    bool has_model = create->files[0].path != NULL;
    size_t count = 1;
    size_t chosen = SIZE_MAX;

    if (has_model && parts->adapter != NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--model-file and --base exclude each other: the base "
                        "has the model");
    }
    if (!has_model && parts->file_count == 0) {
        return flo_fail(err, FLO_E_USAGE, "no file: --file NAME=PATH[:ROLE]");
    }
    if (!has_model) {
        chosen = find_main(parts);
        create->files[0] = parts->files[chosen];
    }
    if (create->has_golden) {
        count = 2;
    }
    if (parts->file_count - (has_model ? 0 : 1) > FLO_RELEASE_FILES_MAX - count) {
        return flo_fail(err, FLO_E_USAGE, "a release has at most %d files", FLO_RELEASE_FILES_MAX);
    }
    for (size_t i = 0; i < parts->file_count; i++) {
        if (i != chosen) {
            create->files[count++] = parts->files[i];
        }
    }
    create->author.file_count = count;
    FLO_TRY(flo_create_share_golden(create, err));
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

static int publish(struct flo_cli *cli, const char *title, json_t *release, struct flo_err *err)
{
    char path[256];

    snprintf(path, sizeof(path), "/v1/releases/%.130s/publish", title);
    FLO_TRY(flo_api_call(cli, "POST", path, NULL, NULL, err));
    json_object_set_new(release, "state", json_string("published"));
    return 0;
}

static int build_and_upload(struct flo_cli *cli, struct flo_create *create, const char *title,
                            json_t **release, struct flo_err *err)
{
    FLO_CLEANUP(flo_author_result_deinit) struct flo_author_result made = {0};

    if (!flo_args_has(&cli->args, "quiet")) {
        flo_out_say(cli, "   computing    the downloads");
        flo_ticker_start(&create->ticker, "   computing    the downloads");
    }
    int rv = flo_release_build(&create->author, create->dir, &made, err);
    flo_ticker_stop(&create->ticker);
    FLO_TRY(rv);
    FLO_CLEANUP(flo_json_cleanup) json_t *ways = flo_create_ways(create, &made);
    flo_create_show_ways(cli, ways);
    FLO_TRY(flo_create_upload(cli, create, &made, release, err));
    json_object_set(*release, "ways", ways);
    return flo_args_has(&cli->args, "publish") ? publish(cli, title, *release, err) : 0;
}

/* Checks the new release's name.  *out becomes the release if the controller has
 * the same one already, so that there is nothing to do. */
static int look_at_name(struct flo_cli *cli, const struct flo_create *create, const char *title,
                        json_t **out, struct flo_err *err)
{
    char path[256];
    struct flo_err why = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    char other[FLO_FILE_NAME_MAX + 32];
    int rv;

    snprintf(path, sizeof(path), "/v1/releases/%.130s", title);
    rv = flo_api_get(cli, path, &release, &why);
    if (rv == FLO_E_RELEASE_ABSENT || rv == FLO_E_ABSENT) {
        return 0;
    }
    if (rv < 0) {
        *err = why;
        return rv;
    }
    FLO_TRY(flo_create_difference(create, json_object_get(release, "document"), other,
                                  sizeof(other), err));
    if (other[0] != '\0') {
        return flo_fail(err, FLO_E_RELEASE_EXISTS, "%s is there, and %s is another", title, other);
    }
    flo_out_say(cli, " ✓ %s is there already, made of the same", title);
    if (flo_args_has(&cli->args, "publish") &&
        strcmp(flo_out_text(release, "state", ""), "draft") == 0) {
        FLO_TRY(publish(cli, title, release, err));
    }
    json_object_set_new(release, "existed", json_true());
    *out = json_incref(release);
    return 0;
}

/* Checks the model by the functions that devices use. */
static int check_model(struct flo_create *create, const struct flo_author_file *file,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    bool is_native = false;
    struct flo_ticker ticker;

    for (size_t i = 0; i < create->author.variant_count; i++) {
        const struct flo_author_variant *variant = &create->author.variants[i];
        is_native = is_native || (flo_create_is_native(variant) &&
                                  flo_create_holds(create, variant, file->path));
    }
    FLO_TRY(flo_file_open(file->path, &fd, err));
    flo_ticker_start(&ticker, "   looking at the model");
    int rv = create->author.allow_nonfinite ? 0
             : is_native                    ? flo_model_scan(fd, NULL, NULL, err)
                                            : flo_file_scan(fd, file->name, NULL, NULL, err);
    flo_ticker_stop(&ticker);
    return rv < 0 ? flo_wrap(err, rv, "%s", file->path) : 0;
}

/* Checks all inputs whose check needs no long computing. */
static int check_inputs(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
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
        FLO_TRY(flo_create_golden_check(create->golden, err));
    }
    FLO_TRY(flo_parts_take_base(cli, &create->parts, err));
    if (create->parts.is_used) {
        FLO_TRY(add_parts(create, err));
    }
    FLO_TRY(flo_create_add_draft(create, err));
    flo_create_sampling(create);
    FLO_TRY(flo_create_license(cli, create, err));
    FLO_TRY(
        flo_create_check_license(create, flo_args_text(&cli->args, "allow-licence", NULL), err));
    FLO_TRY(flo_create_known(cli, create, err));
    FLO_TRY(check_model(create, &create->files[0], err));
    return flo_create_check_drafts(cli, create, err);
}

static int make_folder(struct flo_create *create, const char *to, struct flo_err *err)
{
    if (to != NULL) {
        snprintf(create->dir, sizeof(create->dir), "%s", to);
        flo_interrupt_text("flotilla release create: interrupted; what was made is in %s\n", to);
        return flo_dir_make(create->dir, 0755, err);
    }
    return flo_interrupt_folder(create->dir, err);
}

static int create_in_folder(struct flo_cli *cli, struct flo_create *create, const char *title,
                            json_t **release, struct flo_err *err)
{
    FLO_TRY(flo_create_golden(cli, create, err));
    FLO_TRY(flo_create_find_bases(cli, create, err));
    return build_and_upload(cli, create, title, release, err);
}

static int create_new(struct flo_cli *cli, struct flo_create *create, const char *title,
                      json_t **release, struct flo_err *err)
{
    const char *to = flo_args_text(&cli->args, "to", NULL);

    FLO_TRY(make_folder(create, to, err));
    int rv = create_in_folder(cli, create, title, release, err);
    flo_create_forget_old(create);
    if (to == NULL) {
        flo_interrupt_folder_end(create->dir);
    }
    return rv;
}

static int create_release(struct flo_cli *cli, struct flo_create *create, json_t **release,
                          struct flo_err *err)
{
    const char *title = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;
    FLO_TRY(flo_release_title_parse(title, create->model_name, create->version, err));
    FLO_TRY(read_flags(cli, create, err));
    FLO_TRY(flo_create_import(cli, create, err));
    FLO_TRY(check_inputs(cli, create, err));
    FLO_TRY(flo_api_get(cli, "/v1/version", &version, err));
    snprintf(create->fleet, sizeof(create->fleet), "%s", flo_out_text(version, "fleet", ""));
    FLO_TRY(flo_create_check_license(create, flo_out_text(version, "licences", ""), err));
    FLO_TRY(look_at_name(cli, create, title, release, err));
    return *release != NULL ? 0 : create_new(cli, create, title, release, err);
}

int flo_create_release(struct flo_cli *cli, json_t **release, struct flo_err *err)
{
    struct flo_create *create = calloc(1, sizeof(*create));
    int rv;

    if (create == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release");
    }
    flo_interrupt_text("flotilla release create: interrupted; nothing was kept here\n");
    rv = create_release(cli, create, release, err);
    flo_interrupt_text("%s", "");
    flo_create_import_end(create);
    flo_parts_deinit(&create->parts);
    flo_key_free(create->key);
    free(create);
    return rv;
}

static void show_end(const struct flo_cli *cli, const char *title, const json_t *release)
{
    if (flo_out_is_data(cli)) {
        flo_out_object(cli, release, FLO_COLUMNS(release));
        return;
    }
    printf("%s %s %s\n", flo_out_text(release, "state", "draft"), title,
           flo_out_text(release, "digest", "?"));
}

int flo_cmd_release_create(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;

    FLO_TRY(flo_create_release(cli, &release, err));
    show_end(cli, cli->args.words[0], release);
    return 0;
}
