/* Plan: the steps of a build and their keys. */
#include "server-stub/cli/builds/plan.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "base/host/digest.h"

#define TEXT_BYTES_MAX 8192

/* A plan that is being made. */
struct maker {
    const struct flo_build_spec *spec;
    const struct flo_build_digests *digests;
    const char *work;
    struct flo_build_plan *plan;
    struct flo_buf key; /* text whose digest is the key of the step that is being made */
    size_t word_count;
    /* keys of what later steps read */
    const char *original_key, *model_keys[FLO_BUILD_VARIANTS_MAX];
    bool failed; /* no memory for a text */
};

FLO_PRINTF(2, 3)
static const char *text(struct maker *maker, const char *format, ...)
{
    char line[TEXT_BYTES_MAX];
    va_list values;

    va_start(values, format);
    vsnprintf(line, sizeof(line), format, values);
    va_end(values);
    json_t *kept = json_string(line);
    if (json_array_append_new(maker->plan->texts, kept) != 0) {
        maker->failed = true;
        return "";
    }
    return json_string_value(kept);
}

/* ---- a step ---- */

static struct flo_build_step *begin(struct maker *maker, enum flo_build_step_kind kind,
                                    const char *name)
{
    struct flo_build_step *step = &maker->plan->steps[maker->plan->count++];
    char program[FLO_DIGEST_TEXT];

    assert(maker->plan->count <= FLO_BUILD_STEPS_MAX);
    step->kind = kind;
    step->name = name;
    flo_digest_text(&maker->digests->program, program);
    maker->key.bytes = 0;
    flo_buf_printf(&maker->key, "build 1\nkind %d\nprogram %s\n", (int)kind, program);
    maker->word_count = 0;
    return step;
}

static void put(struct maker *maker, const char *word)
{
    struct flo_build_step *step = &maker->plan->steps[maker->plan->count - 1];

    assert(maker->word_count < FLO_BUILD_WORDS_MAX);
    step->words[maker->word_count++] = word;
}

/* Adds an option, which the result depends on. */
static void put_option(struct maker *maker, const char *flag, const char *value)
{
    if (value != NULL) {
        put(maker, flag);
        put(maker, value);
        flo_buf_printf(&maker->key, "option %s %s\n", flag, value);
    }
}

/* Adds an input to the key: the key of an earlier step's result, or a file. */
static void depend(struct maker *maker, const char *what, const char *key)
{
    flo_buf_printf(&maker->key, "%s %s\n", what, key);
}

static void depend_file(struct maker *maker, const char *what, const struct flo_digest *digest)
{
    char hex[FLO_DIGEST_TEXT];

    flo_digest_text(digest, hex);
    depend(maker, what, hex);
}

/* Names the result's folder by the key, once it has all its parts. */
static void name_folder(struct maker *maker, struct flo_build_step *step, const char *result)
{
    static const char *const kinds[] = {"import", "quantize", "evaluate", "golden"};
    struct flo_digest digest;
    const char *hex;

    flo_sha256(maker->key.data != NULL ? maker->key.data : "", maker->key.bytes, &digest);
    flo_digest_text(&digest, step->key);
    hex = strchr(step->key, ':') != NULL ? strchr(step->key, ':') + 1 : step->key;
    step->folder = text(maker, "%s/%s-%.16s", maker->work, kinds[step->kind], hex);
    step->result = text(maker, "%s/%s", step->folder, result);
}

/* ---- the steps ---- */

static void plan_import(struct maker *maker)
{
    if (!maker->digests->is_folder) {
        maker->plan->original = maker->spec->from;
        char hex[FLO_DIGEST_TEXT];
        flo_digest_text(&maker->digests->from, hex);
        maker->original_key = text(maker, "%s", hex);
        return;
    }
    struct flo_build_step *step = begin(maker, FLO_BUILD_IMPORT, "import");
    depend_file(maker, "folder", &maker->digests->from);
    name_folder(maker, step, "model.gguf");
    put(maker, "import");
    put(maker, maker->spec->from);
    put(maker, "--to");
    put(maker, step->result);
    maker->plan->original = step->result;
    maker->original_key = step->key;
}

static void plan_variant(struct maker *maker, size_t at)
{
    const struct flo_build_spec *spec = maker->spec;
    const struct flo_build_variant *variant = &spec->variants[at];

    if (variant->type == NULL && variant->fit == NULL && variant->loss == NULL) {
        maker->plan->models[at] = maker->plan->original;
        maker->model_keys[at] = maker->original_key;
        return;
    }
    struct flo_build_step *step =
        begin(maker, FLO_BUILD_QUANTIZE, text(maker, "quantize %s", variant->name));
    bool is_file =
        spec->calibrate != NULL && strcmp(spec->calibrate, FLO_BUILD_CORPUS_BUILTIN) != 0;
    /* The words come in the order of the command, and two of them have the
     * folder's name; so the key is completed first. */
    depend(maker, "model", maker->original_key);
    depend(maker, "type", variant->type != NULL ? variant->type : "-");
    depend(maker, "fit", variant->fit != NULL ? variant->fit : "-");
    depend(maker, "loss", variant->loss != NULL ? variant->loss : "-");
    depend(maker, "calibrate", spec->calibrate == NULL ? "-" : is_file ? "file" : "builtin");
    if (is_file) {
        depend_file(maker, "text", &maker->digests->calibrate);
    }
    name_folder(maker, step, "model.gguf");
    put(maker, "quantize");
    put(maker, maker->plan->original);
    put(maker, step->result);
    if (variant->type != NULL) {
        put(maker, variant->type);
    }
    put_option(maker, "--fit", variant->fit);
    put_option(maker, "--loss", variant->loss);
    put_option(maker, "--calibrate", spec->calibrate);
    maker->plan->models[at] = step->result;
    maker->model_keys[at] = step->key;
}

/* The original comes first, because distances are measured from it.  A command
 * compares at least two models, so the original stands there twice if no other
 * is released. */
static void plan_evaluation(struct maker *maker)
{
    const struct flo_build_spec *spec = maker->spec;
    size_t count = 1;

    if (spec->evaluate.suite == NULL) {
        return;
    }
    struct flo_build_step *step = begin(maker, FLO_BUILD_EVALUATE, "evaluate");
    put(maker, "compare");
    put(maker, spec->evaluate.suite);
    put(maker, maker->plan->original);
    depend_file(maker, "suite", &maker->digests->suite);
    depend(maker, "model", maker->original_key);
    for (size_t i = 0; i < spec->variant_count; i++) {
        if (maker->plan->models[i] != maker->plan->original) {
            maker->plan->places[i] = count++;
            put(maker, maker->plan->models[i]);
            depend(maker, "model", maker->model_keys[i]);
        }
    }
    if (count == 1) {
        put(maker, maker->plan->original);
    }
    if (spec->evaluate.tokens > 0) {
        put_option(maker, "--n", text(maker, "%llu", (unsigned long long)spec->evaluate.tokens));
    }
    name_folder(maker, step, "report.json");
    maker->plan->report = step->stdout_path = step->result;
    maker->plan->page = text(maker, "%s/page.html", step->folder);
    put(maker, "--page");
    put(maker, maker->plan->page);
    put(maker, "--json");
}

/* Returns the least context that a variant needs; NULL: none needs one. */
static const char *least_context(const struct flo_build_spec *spec)
{
    const char *least = NULL;

    for (size_t i = 0; i < spec->variant_count; i++) {
        const struct flo_build_pairs *needs = &spec->variants[i].needs;
        for (size_t n = 0; n < needs->count; n++) {
            const char *value = needs->values[n];
            bool is_less = least == NULL || strlen(value) < strlen(least) ||
                           (strlen(value) == strlen(least) && strcmp(value, least) < 0);
            if (strcmp(needs->names[n], "context") == 0 && is_less) {
                least = value;
            }
        }
    }
    return least;
}

/* The prompts are made with the original, so that cases which a type breaks are
 * left out. */
static void plan_golden(struct maker *maker)
{
    const struct flo_build_spec *spec = maker->spec;

    if (spec->golden.file != NULL) {
        maker->plan->golden = spec->golden.file;
        return;
    }
    struct flo_build_step *step = begin(maker, FLO_BUILD_GOLDEN, "golden");
    put(maker, "golden");
    put(maker, "create");
    put(maker, NULL); /* the result, whose path is not known yet */
    put(maker, "--model");
    put(maker, maker->plan->original);
    depend(maker, "model", maker->original_key);
    for (size_t i = 0; i < spec->variant_count; i++) {
        if (maker->plan->models[i] != maker->plan->original) {
            put(maker, "--for");
            put(maker, maker->plan->models[i]);
            depend(maker, "for", maker->model_keys[i]);
        }
    }
    if (spec->golden.prompts != NULL) {
        put(maker, "--prompts");
        put(maker, spec->golden.prompts);
        depend_file(maker, "prompts", &maker->digests->golden);
    }
    put_option(maker, "--ctx", least_context(spec));
    name_folder(maker, step, "golden.json");
    step->words[2] = step->result;
    maker->plan->golden = step->result;
}

int flo_build_plan(const struct flo_build_spec *spec, const struct flo_build_digests *digests,
                   const char *work, struct flo_build_plan *out, struct flo_err *err)
{
    struct maker maker = {.spec = spec, .digests = digests, .work = work, .plan = out};

    *out = (struct flo_build_plan){.texts = json_array()};
    if (out->texts == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a plan");
    }
    plan_import(&maker);
    for (size_t i = 0; i < spec->variant_count; i++) {
        plan_variant(&maker, i);
    }
    plan_evaluation(&maker);
    plan_golden(&maker);
    bool failed = maker.failed || maker.key.failed;
    flo_buf_deinit(&maker.key);
    if (failed) {
        flo_build_plan_deinit(out);
        return flo_fail(err, FLO_E_MEMORY, "a plan");
    }
    return 0;
}

void flo_build_plan_deinit(struct flo_build_plan *plan)
{
    json_decref(plan->texts);
    *plan = (struct flo_build_plan){0};
}
