/* Parts: reads the flags of release create for more than one model: --file,
 * --adapter, --base, --runtime, --variant, --needs, --entry, --serve,
 * --floor. */
#include "server-stub/cli/create/parts.h"

#include <stdlib.h>
#include <string.h>

/* Copies a text, which lives as long as the parts.  Returns NULL if there are
 * too many texts, or without memory. */
static char *keep(struct flo_parts *parts, const char *text, size_t bytes, struct flo_err *err)
{
    char *copy = parts->text_count < FLO_PARTS_TEXTS_MAX ? strndup(text, bytes) : NULL;

    if (copy == NULL) {
        flo_fail(err, FLO_E_USAGE, "more than %d words in these flags", FLO_PARTS_TEXTS_MAX);
        return NULL;
    }
    parts->texts[parts->text_count++] = copy;
    return copy;
}

static int usage(const char *flag, const char *value, const char *form, struct flo_err *err)
{
    return flo_fail(err, FLO_E_USAGE, "--%s %.200s: it is written %s", flag, value, form);
}

static int read_number(const char *flag, const char *text, uint64_t most, uint64_t *out,
                       struct flo_err *err)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value > INT64_MAX) {
        return usage(flag, text, "as a whole number", err);
    }
    if (value > most) {
        return flo_fail(err, FLO_E_USAGE, "--%s %s: it is at most %llu", flag, text,
                        (unsigned long long)most);
    }
    *out = value;
    return 0;
}

/* ---- files ---- */

static struct flo_author_file *add_file(struct flo_parts *parts, struct flo_err *err)
{
    if (parts->file_count == FLO_COUNT(parts->files)) {
        flo_fail(err, FLO_E_USAGE, "a release has at most %d files", FLO_RELEASE_FILES_MAX);
        return NULL;
    }
    return &parts->files[parts->file_count++];
}

/* Reads the value of --file, NAME=PATH[:ROLE].  A role has no slash. */
static int read_file(struct flo_parts *parts, const char *value, struct flo_err *err)
{
    const char *path = strchr(value, '=');
    const char *colon = path != NULL ? strrchr(path, ':') : NULL;
    struct flo_author_file *file = add_file(parts, err);

    if (file == NULL) {
        return FLO_E_USAGE;
    }
    if (path == NULL || path[1] == '\0') {
        return usage("file", value, "NAME=PATH[:ROLE]", err);
    }
    bool has_role = colon != NULL && flo_name_is_valid(colon + 1);
    size_t bytes = has_role ? (size_t)(colon - path - 1) : strlen(path + 1);
    file->name = keep(parts, value, (size_t)(path - value), err);
    file->path = keep(parts, path + 1, bytes, err);
    file->role = has_role ? keep(parts, colon + 1, strlen(colon + 1), err) : "asset";
    return file->name == NULL || file->path == NULL || file->role == NULL ? FLO_E_USAGE : 0;
}

/* Reads the value of --adapter, FILE[:SCALE].  The scale is 1 by default. */
static int read_adapter(struct flo_parts *parts, const char *value, struct flo_err *err)
{
    const char *colon = strrchr(value, ':');
    struct flo_author_file *file = add_file(parts, err);
    double scale = 1;

    if (file == NULL) {
        return FLO_E_USAGE;
    }
    if (colon != NULL) {
        char *end;
        scale = strtod(colon + 1, &end);
        if (end == colon + 1 || *end != '\0' || !(scale > 0) ||
            scale > (double)FLO_SCALE_PPM_MAX / FLO_SCALE_PPM) {
            return usage("adapter", value, "FILE[:SCALE], SCALE up to 10", err);
        }
    }
    file->name = "adapter.gguf";
    file->role = "adapter";
    file->scale_ppm = (uint32_t)(scale * FLO_SCALE_PPM + 0.5);
    file->path = keep(parts, value, colon != NULL ? (size_t)(colon - value) : strlen(value), err);
    parts->adapter = file->path;
    return file->path == NULL ? FLO_E_USAGE : 0;
}

/* ---- variants ---- */

/* NAME=FILE,FILE,… */
static int read_variant(struct flo_parts *parts, const char *value, struct flo_err *err)
{
    const char *equals = strchr(value, '=');
    size_t count = 0;

    if (equals == NULL || equals[1] == '\0') {
        return usage("variant", value, "NAME=FILE,FILE", err);
    }
    if (parts->variant_count == FLO_COUNT(parts->variants)) {
        return flo_fail(err, FLO_E_USAGE, "a release has at most %d variants",
                        FLO_RELEASE_VARIANTS_MAX);
    }
    struct flo_author_variant *variant = &parts->variants[parts->variant_count++];
    variant->name = keep(parts, value, (size_t)(equals - value), err);
    for (const char *file = equals + 1; file != NULL && variant->name != NULL;) {
        const char *comma = strchr(file, ',');
        size_t bytes = comma != NULL ? (size_t)(comma - file) : strlen(file);
        if (count == FLO_RELEASE_FILES_MAX) {
            return usage("variant", value, "with at most 64 files", err);
        }
        variant->files[count] = keep(parts, file, bytes, err);
        if (variant->files[count++] == NULL) {
            return FLO_E_USAGE;
        }
        file = comma != NULL ? comma + 1 : NULL;
    }
    return variant->name == NULL ? FLO_E_USAGE : 0;
}

static int set_word(const char **words, const char *value, struct flo_err *err)
{
    for (size_t i = 0; i < 4; i++) {
        if (words[i] == NULL) {
            words[i] = value;
            return 0;
        }
    }
    return usage("needs", value, "with at most 4 words of one kind", err);
}

static int set_need(struct flo_author_variant *variant, const char *key, const char *value,
                    struct flo_err *err)
{
    uint64_t number;

    if (strcmp(key, "runtime") == 0) {
        variant->runtime = value;
        return 0;
    }
#define FLO_RELEASE_WORDS(name, meaning)                                                           \
    if (strcmp(key, #name) == 0) {                                                                 \
        return set_word(variant->name, value, err);                                                \
    }
#define FLO_RELEASE_NEED(name, type, most, word, meaning)                                          \
    if (strcmp(key, word) == 0) {                                                                  \
        FLO_TRY(read_number("needs", value, most, &number, err));                                  \
        variant->name = (type)number;                                                              \
        return 0;                                                                                  \
    }
#include "proto/release.def"
    return usage("needs", key, "with a key of these: runtime"
#define FLO_RELEASE_WORDS(name, meaning) " " #name
#define FLO_RELEASE_NEED(name, type, most, word, meaning) " " word
#include "proto/release.def"
                 ,
                 err);
}

/* Reads the value of --needs, [VARIANT:]KEY=VALUE.  Without a variant's name it
 * applies to each variant. */
static int read_needs(struct flo_parts *parts, const char *typed, struct flo_err *err)
{
    char *text = keep(parts, typed, strlen(typed), err);
    char *equals = text != NULL ? strchr(text, '=') : NULL;

    if (equals == NULL) {
        return usage("needs", typed, "[VARIANT:]KEY=VALUE", err);
    }
    *equals = '\0';
    char *colon = strchr(text, ':');
    const char *key = colon != NULL ? colon + 1 : text;
    bool is_found = false;

    if (colon != NULL) {
        *colon = '\0';
    }
    for (size_t i = 0; i < parts->variant_count; i++) {
        if (colon == NULL || strcmp(parts->variants[i].name, text) == 0) {
            is_found = true;
            FLO_TRY(set_need(&parts->variants[i], key, equals + 1, err));
        }
    }
    return is_found ? 0 : flo_fail(err, FLO_E_USAGE, "--needs %.100s: no such variant", typed);
}

/* ---- serve ---- */

/* Reads the value of --serve, KEY=VALUE with the keys of the document.
 * `system` may be @FILE. */
static int read_serve(struct flo_parts *parts, const char *typed, struct flo_err *err)
{
    static const char *const texts[] = {"cache", "system"};
    const char *equals = strchr(typed, '=');
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = json_object();
    struct flo_buf line = {0};
    char key[64];
    int rv = 0;

    if (equals == NULL || (size_t)(equals - typed) >= sizeof(key)) {
        return usage("serve", typed, "KEY=VALUE", err);
    }
    snprintf(key, sizeof(key), "%.*s", (int)(equals - typed), typed);
    bool is_text = strcmp(key, texts[0]) == 0 || strcmp(key, texts[1]) == 0;
    bool is_head = strcmp(key, "context") == 0 || strcmp(key, "sessions") == 0;
    json_t *value;
    if (is_text && equals[1] == '@') {
        size_t bytes;
        rv = flo_file_read(equals + 2, FLO_SERVE_SYSTEM_BYTES_MAX, &text, &bytes, err);
        value = rv == 0 ? json_string(text) : NULL;
    } else if (is_text) {
        value = json_string(equals + 1);
    } else {
        uint64_t number = 0;
        rv = read_number("serve", equals + 1, INT64_MAX, &number, err);
        value = json_integer((json_int_t)number);
    }
    if (is_text || is_head) {
        json_object_set_new(json, key, value);
    } else {
        json_object_set_new(json, "sampling", json_pack("{s:o}", key, value));
    }
    flo_json_dump(json, &line);
    if (rv == 0 && !line.failed) {
        rv = flo_release_serve_parse(line.data, line.bytes, &parts->serve, err);
        if (rv < 0) {
            flo_wrap(err, rv, "--serve %.100s", key);
        }
    }
    flo_buf_deinit(&line);
    return rv;
}

/* Reads the value of --split-of, MODEL=20%: the share of that model's requests
 * for this release. */
static int read_split(struct flo_parts *parts, const char *typed, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1], rest[2] = "";
    unsigned pct = 0;

    if (sscanf(typed, "%64[^=]=%2u%1s", model, &pct, rest) != 3 || strcmp(rest, "%") != 0 ||
        strchr(typed, '%')[1] != '\0' || !flo_name_is_valid(model) || pct == 0) {
        flo_fail(err, FLO_E_USAGE, "--split-of %.100s: it takes MODEL=N%%, N from 1 to %d", typed,
                 FLO_SPLIT_PCT_MAX);
        return flo_err_fix(err, "--split-of tiny=20%%");
    }
    snprintf(parts->serve.split_of, sizeof(parts->serve.split_of), "%s", model);
    parts->serve.split_pct = pct;
    return 0;
}

/* ---- all of them ---- */

typedef int (*read_fn)(struct flo_parts *parts, const char *value, struct flo_err *err);

static int read_each(const struct flo_cli *cli, struct flo_parts *parts, const char *flag,
                     read_fn read, struct flo_err *err)
{
    const char *value;
    int rv = 0;

    for (size_t i = 0; rv == 0 && flo_args_each(&cli->args, flag, i, &value); i++) {
        parts->is_used = true;
        rv = read(parts, value, err);
    }
    return rv;
}

static int read_variants(const struct flo_cli *cli, struct flo_parts *parts, struct flo_err *err)
{
    const char *runtime = flo_args_text(&cli->args, "runtime", NULL);
    const char *entry = flo_args_text(&cli->args, "entry", NULL);
    bool is_auto = flo_auto_is(runtime);
    int rv = is_auto ? flo_auto_read(cli, runtime, parts, err)
                     : read_each(cli, parts, "variant", read_variant, err);

    parts->is_used = parts->is_used || runtime != NULL || entry != NULL;
    if (rv == 0 && parts->variant_count == 0) {
        parts->variants[parts->variant_count++].name = "default";
    }
    for (size_t i = 0; !is_auto && i < parts->variant_count; i++) {
        parts->variants[i].runtime = runtime;
        parts->variants[i].entry = entry;
    }
    if (rv == 0) {
        rv = read_each(cli, parts, "needs", read_needs, err);
    }
    parts->is_native = false;
    for (size_t i = 0; i < parts->variant_count; i++) {
        const char *named = parts->variants[i].runtime;
        parts->is_native =
            parts->is_native || named == NULL || strcmp(named, FLO_RUNTIME_NATIVE) == 0;
    }
    return rv;
}

int flo_parts_read(struct flo_cli *cli, struct flo_parts *parts, struct flo_err *err)
{
    bool has_base = flo_args_has(&cli->args, "base");

    flo_release_serve_init(&parts->serve);
    FLO_TRY(read_each(cli, parts, "adapter", read_adapter, err));
    FLO_TRY(read_each(cli, parts, "file", read_file, err));
    FLO_TRY(read_variants(cli, parts, err));
    FLO_TRY(read_each(cli, parts, "serve", read_serve, err));
    FLO_TRY(read_each(cli, parts, "split-of", read_split, err));
    FLO_TRY(flo_args_u64(&cli->args, "floor", 0, UINT64_C(1) << 52, 0, &parts->floor, err));
    parts->is_used = parts->is_used || parts->floor > 0 || has_base;
    return has_base != (parts->adapter != NULL)
               ? flo_fail(err, FLO_E_USAGE,
                          "--base and --adapter belong together: the release "
                          "that the adapter is for, and the adapter")
               : 0;
}

/* ---- the base ---- */

int flo_parts_read_document(const json_t *document, struct flo_release **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {0};

    flo_json_dump_canonical(document, &body);
    return body.failed ? flo_fail(err, FLO_E_MEMORY, "a release document")
                       : flo_release_new(body.data, body.bytes, NULL, out, err);
}

static int parse_base(struct flo_parts *parts, const json_t *release, const char *title,
                      struct flo_err *err)
{
    int rv = flo_parts_read_document(json_object_get(release, "document"), &parts->base, err);

    if (rv == 0 && !flo_digest_parse(flo_out_text(release, "digest", ""), &parts->base_id)) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "it has no id");
    }
    return rv < 0 ? flo_wrap(err, rv, "--base %.130s", title) : 0;
}

/* Adds the draft of the base, if it has one, so that an engine can serve both
 * releases. */
static int take_draft(struct flo_parts *parts, struct flo_err *err)
{
    const struct flo_release_file *draft =
        flo_release_variant_file(parts->base, &parts->base->variants[0], FLO_ROLE_DRAFT);
    struct flo_author_file *file = draft != NULL ? add_file(parts, err) : NULL;

    if (file != NULL) {
        *file = (struct flo_author_file){
            .name = draft->name, .role = FLO_ROLE_DRAFT, .published = draft};
    }
    return draft != NULL && file == NULL ? FLO_E_USAGE : 0;
}

int flo_parts_take_base(struct flo_cli *cli, struct flo_parts *parts, struct flo_err *err)
{
    const char *title = flo_args_text(&cli->args, "base", NULL);
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    char path[256];

    if (title == NULL) {
        return 0;
    }
    snprintf(path, sizeof(path), "/v1/releases/%.130s", title);
    FLO_TRY(flo_api_get(cli, path, &release, err));
    FLO_TRY(parse_base(parts, release, title, err));
    const struct flo_release_file *model =
        flo_release_entry(parts->base, &parts->base->variants[0]);
    struct flo_author_file *file = add_file(parts, err);
    if (model == NULL || file == NULL) {
        return model == NULL ? flo_fail(err, FLO_E_USAGE, "--base %.130s: it has no model", title)
                             : FLO_E_USAGE;
    }
    *file = (struct flo_author_file){.name = model->name, .role = "model", .published = model};
    FLO_TRY(take_draft(parts, err));
    for (size_t i = 0; i < parts->variant_count; i++) {
        struct flo_author_variant *variant = &parts->variants[i];
        bool is_said = variant->engine[0] != NULL;
        for (size_t w = 0; !is_said && w < 4; w++) {
            const char *word = parts->base->variants[0].engine[w];
            variant->engine[w] = word[0] != '\0' ? word : NULL;
        }
    }
    return 0;
}

void flo_parts_deinit(struct flo_parts *parts)
{
    for (size_t i = 0; i < parts->text_count; i++) {
        free(parts->texts[i]);
    }
    flo_release_serve_deinit(&parts->serve);
    flo_release_free(parts->base);
}
