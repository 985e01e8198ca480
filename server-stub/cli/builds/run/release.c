/* Release of a build: its parts as flags of `release create`, whose code makes
 * it, and the draft of the rollout. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/host/yaml.h"
#include "server-stub/cli/builds/run/run.h"
#include "server-stub/cli/create/create.h"

#define VALUE_BYTES_MAX 8192

/* The command line of `release create` that is being made. */
struct line {
    struct flo_args args;
    json_t *texts; /* texts of its values */
    bool failed;   /* no room for a flag */
};

static const struct flo_flag *flag_named(const char *name)
{
    const struct flo_flag *flag = flo_flags_release_create;

    while (flag->name != NULL && strcmp(flag->name, name) != 0) {
        flag++;
    }
    return flag->name != NULL ? flag : NULL;
}

FLO_PRINTF(3, 4)
static void put(struct line *line, const char *name, const char *format, ...)
{
    const struct flo_flag *flag = flag_named(name);
    char text[VALUE_BYTES_MAX];
    va_list values;

    va_start(values, format);
    int bytes = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    json_t *kept = json_string(text);
    if (json_array_append_new(line->texts, kept) != 0 || flag == NULL ||
        bytes >= (int)sizeof(text) || line->args.flag_count == FLO_ARGS_MAX) {
        line->failed = true;
        return;
    }
    line->args.flags[line->args.flag_count] = flag;
    line->args.values[line->args.flag_count++] = json_string_value(kept);
}

static void put_if(struct line *line, const char *name, const char *value)
{
    if (value != NULL) {
        put(line, name, "%s", value);
    }
}

static const struct flo_verb *verb_named(const struct flo_args_program *program, const char *name)
{
    for (size_t i = 0; i < program->count; i++) {
        if (strcmp(program->verbs[i]->name, name) == 0) {
            return program->verbs[i];
        }
    }
    return NULL;
}

/* Returns the first variant with the same model, whose name the file has. */
static size_t file_of(const struct flo_build_run *run, size_t variant)
{
    size_t at = 0;

    while (strcmp(run->plan.models[at], run->plan.models[variant]) != 0) {
        at++;
    }
    return at;
}

static void put_needs(struct line *line, const struct flo_build_variant *variant, bool is_only)
{
    for (size_t i = 0; i < variant->needs.count; i++) {
        put(line, "needs", "%s%s%s=%s", is_only ? "" : variant->name, is_only ? "" : ":",
            variant->needs.names[i], variant->needs.values[i]);
    }
}

/* Puts each model once, and each variant with its model and all assets. */
static void put_variants(struct line *line, const struct flo_build_run *run)
{
    const struct flo_build_spec *spec = run->spec;

    for (size_t i = 0; i < spec->variant_count; i++) {
        if (file_of(run, i) == i) {
            put(line, "file", "%s.gguf=%s:model", spec->variants[i].name, run->plan.models[i]);
        }
    }
    for (size_t i = 0; i < spec->variant_count; i++) {
        FLO_CLEANUP(flo_buf_deinit) struct flo_buf files = {.bytes_max = VALUE_BYTES_MAX};
        flo_buf_printf(&files, "%s.gguf", spec->variants[file_of(run, i)].name);
        for (size_t a = 0; a < spec->assets.count; a++) {
            flo_buf_printf(&files, ",%s", spec->assets.names[a]);
        }
        put(line, "variant", "%s=%s", spec->variants[i].name, files.failed ? "" : files.data);
    }
    for (size_t i = 0; i < spec->variant_count; i++) {
        put_needs(line, &spec->variants[i], false);
    }
}

/* Puts what makes the release's contents.  One model without more is what
 * `--model-file` makes. */
static void put_contents(struct line *line, const struct flo_build_run *run)
{
    const struct flo_build_spec *spec = run->spec;
    char quality[FLO_COUNT(((struct flo_create *)0)->quality)];

    if (spec->variant_count == 1) {
        put(line, "model-file", "%s", run->plan.models[0]);
        put_needs(line, &spec->variants[0], true);
    } else {
        put_variants(line, run);
    }
    for (size_t i = 0; i < spec->assets.count; i++) {
        put(line, "file", "%s=%s:asset", spec->assets.names[i], spec->assets.values[i]);
    }
    for (size_t i = 0; i < spec->serve.count; i++) {
        put(line, "serve", "%s=%s", spec->serve.names[i], spec->serve.values[i]);
    }
    put(line, "golden", "%s", run->plan.golden);
    if (run->report != NULL) {
        flo_build_quality(spec, &run->plan, run->report, quality, sizeof(quality));
        put_if(line, "quality", quality[0] != '\0' ? quality : NULL);
    }
}

/* The flags of the whole program, such as --controller, stay as they were
 * given. */
static void put_globals(struct line *line, const struct flo_args *given)
{
    for (size_t i = 0; i < given->flag_count; i++) {
        const struct flo_flag *flag = flo_global_flags;
        while (flag->name != NULL && flag != given->flags[i]) {
            flag++;
        }
        if (flag->name != NULL) {
            line->args.flags[line->args.flag_count] = flag;
            line->args.values[line->args.flag_count++] = given->values[i];
        }
    }
}

static int make_line(const struct flo_build_run *run, struct line *line, struct flo_err *err)
{
    const struct flo_build_spec *spec = run->spec;
    const struct flo_args *given = &run->cli->args;

    *line = (struct line){.texts = json_array()};
    line->args.program = given->program;
    line->args.verb = verb_named(given->program, "release create");
    line->args.is_json = given->is_json;
    line->args.words[line->args.word_count++] = spec->release;
    put_globals(line, given);
    put_contents(line, run);
    put(line, "sign-with", "%s", spec->sign_with);
    put_if(line, "label", spec->label);
    put_if(line, "license", spec->license);
    put_if(line, "allow-licence", spec->allowed);
    put_if(line, "delta-from", spec->delta_from);
    if (spec->publish) {
        put(line, "publish", "%s", "");
    }
    return line->failed ? flo_fail(err, FLO_E_CFG_RANGE,
                                   "the files, needs and options of the release are more than the "
                                   "%d flags of a command",
                                   FLO_ARGS_MAX)
                        : 0;
}

int flo_build_release_check(struct flo_build_run *run, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;
    struct flo_key *key = NULL;

    if (run->spec->sign_with == NULL) {
        return 0;
    }
    int rv = flo_key_load(run->spec->sign_with, &key, err);
    flo_key_free(key);
    if (rv < 0) {
        return flo_wrap(err, rv, "sign with %s", run->spec->sign_with);
    }
    FLO_TRY(flo_context_load(run->cli, err));
    return flo_api_get(run->cli, "/v1/version", &version, err);
}

int flo_build_release(struct flo_build_run *run, json_t **release, struct flo_err *err)
{
    struct flo_args given = run->cli->args;
    struct line line;

    int rv = make_line(run, &line, err);
    if (rv == 0) {
        run->cli->args = line.args;
        rv = flo_create_release(run->cli, release, err);
        run->cli->args = given;
    }
    json_decref(line.texts);
    return rv;
}

int flo_build_rollout(const struct flo_build_run *run, char *path, size_t bytes,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    path[0] = '\0';
    if (run->spec->rollout == NULL) {
        return 0;
    }
    if (!flo_path_join(path, bytes, run->work.path, "rollout.yaml")) {
        return flo_fail(err, FLO_E_USAGE, "%s: the path is too long", run->work.path);
    }
    flo_yaml_dump(run->spec->rollout, &text);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "rollout.yaml")
                       : flo_file_write(path, text.data, text.bytes, 0644, err);
}
