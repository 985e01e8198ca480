/* Golden prompts: checks, makes or plays the prompts of a new release before
 * the release is signed. */
#include "server-stub/cli/create/create.h"

#include <string.h>
#include <sys/wait.h>

#include <flotilla/errors/probe.h>
#include <flotilla/golden.h>

static int run_model(const char *const *words, struct flo_err *err)
{
    int status = 0;

    FLO_TRY(flo_create_run_model(words, &status, err));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    return flo_fail(err, FLO_E_PROBE_GOLDEN,
                    "the model does not do as the golden prompts say: its "
                    "lines stand above (flotilla-model %s %s, %s %d)",
                    words[0], words[1], WIFEXITED(status) ? "exit code" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* Checks golden prompts with the reader that devices use. */
int flo_create_golden_check(const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_golden golden;
    size_t bytes;
    int rv = flo_file_read(path, FLO_GOLDEN_BYTES_MAX, &text, &bytes, err);

    if (rv == 0) {
        rv = flo_golden_read(text, bytes, &golden, err);
    }
    if (rv < 0) {
        flo_wrap(err, rv, "%s", path);
        return flo_err_fix(err, "correct the file: docs/reference/golden.md, "
                                "or let flotilla-model golden make it");
    }
    flo_golden_deinit(&golden);
    return 0;
}

/* Downloads the base's model and names the adapter, for adapters that are
 * played on it. */
static int take_player(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const struct flo_parts *parts = &create->parts;
    const struct flo_release_file *model;
    struct flo_ticker ticker;
    size_t at = 0;

    if (parts->adapter == NULL || create->player[0] != '\0') {
        return 0;
    }
    model = flo_release_entry(parts->base, &parts->base->variants[0]);
    snprintf(create->player, sizeof(create->player), "%s/base.gguf", create->dir);
    while (parts->files[at].path != parts->adapter) {
        at++;
    }
    snprintf(create->lora, sizeof(create->lora), "%s:%g", parts->adapter,
             parts->files[at].scale_ppm / (double)FLO_SCALE_PPM);
    flo_ticker_start(&ticker, "   fetching the base's model");
    int rv = flo_api_get_blob(cli, &model->digest, create->player, err);
    flo_ticker_stop(&ticker);
    return rv;
}

/* Appends to `words`, from `count` on, the flags of the model that plays the
 * prompts.  This is `model`, or for an adapter the model of --base with it,
 * which shows whether they fit. */
static int add_player(struct flo_cli *cli, struct flo_create *create, const char *model,
                      const char **words, size_t *count, struct flo_err *err)
{
    FLO_TRY(take_player(cli, create, err));
    if (flo_args_has(&cli->args, "accept-inexact")) {
        words[(*count)++] = "--accept-inexact";
    }
    words[(*count)++] = "--model";
    words[(*count)++] = create->player[0] != '\0' ? create->player : model;
    if (create->lora[0] != '\0') {
        words[(*count)++] = "--lora";
        words[(*count)++] = create->lora;
    }
    return 0;
}

/* Appends the models of the variants that share the golden prompts with the
 * first model, each once. */
static void add_others(const struct flo_create *create, const char **words, size_t *count)
{
    for (size_t i = 0; i < create->author.variant_count; i++) {
        const struct flo_author_variant *variant = &create->author.variants[i];
        const char *model = flo_create_model_of(create, variant);
        bool is_new = flo_create_is_native(variant) && model != NULL &&
                      flo_create_holds(create, variant, create->golden);

        for (size_t w = 0; is_new && w < *count; w++) {
            is_new = strcmp(words[w], model) != 0;
        }
        if (is_new) {
            words[(*count)++] = "--for";
            words[(*count)++] = model;
        }
    }
}

/* Adds the cache that the release asks for, where answers depend on it. */
static void add_cache(const struct flo_create *create, const char **words, size_t *count)
{
    if (strcmp(create->parts.serve.cache, "q4_0") == 0) {
        words[(*count)++] = "--kv";
        words[(*count)++] = "q4_0";
    }
}

static int make_golden(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const char *prompts = flo_args_text(&cli->args, "prompts", NULL);
    const char *context = flo_args_text(&cli->args, "context", NULL);
    const char *words[FLO_CREATE_WORDS_MAX + 1] = {"golden", "create", create->golden};
    size_t n = 3;

    FLO_TRY(add_player(cli, create, create->files[0].path, words, &n, err));
    snprintf(create->golden, sizeof(create->golden), "%s/golden.json", create->dir);
    add_cache(create, words, &n);
    if (prompts != NULL) {
        words[n++] = "--prompts";
        words[n++] = prompts;
    }
    if (context != NULL) {
        words[n++] = "--ctx";
        words[n++] = context;
    }
    if (create->lora[0] == '\0') {
        add_others(create, words, &n);
    }
    flo_out_say(cli, "   making       golden prompts, %s",
                prompts != NULL ? prompts : "the built-in set");
    FLO_TRY(run_model(words, err));
    return flo_create_golden_check(create->golden, err);
}

/* Fails because golden prompts are not given and cannot be made. */
static int refuse_to_make(const struct flo_parts *parts, struct flo_err *err)
{
    if (parts->auto_runtime == NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--prompts makes golden prompts of a model alone; give "
                        "them with --golden");
    }
    flo_fail(err, FLO_E_USAGE,
             "--prompts makes golden prompts of token ids, which runtime %s does not report",
             parts->auto_runtime);
    return flo_err_fix(err, "give cases of format 2 with --golden: docs/reference/golden.md");
}

/* Tells whether flotilla-model plays some case of a file.  Texts to embed,
 * speech and files are for devices alone. */
static bool is_playable(const char *path)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_golden golden = {0};
    bool is_found = false;
    size_t bytes;

    if (flo_file_read(path, FLO_GOLDEN_BYTES_MAX, &text, &bytes, NULL) == 0 &&
        flo_golden_read(text, bytes, &golden, NULL) == 0) {
        for (uint32_t i = 0; i < golden.n_cases; i++) {
            is_found = is_found || golden.cases[i].input < FLO_GOLDEN_TEXT;
        }
        flo_golden_deinit(&golden);
    }
    return is_found;
}

/* Returns why a variant does not play a file on this machine; NULL: it plays
 * it. */
static const char *why_unplayed(const struct flo_cli *cli, const struct flo_create *create,
                                const struct flo_author_variant *variant, const char *golden)
{
    if (!flo_create_is_native(variant)) {
        return "";
    }
    if (flo_args_has(&cli->args, "skip-play")) {
        return " (--skip-play)";
    }
    if (create->is_unknown) {
        return " (nothing here computes the model)";
    }
    return is_playable(golden) ? NULL : " (no case that a model alone can play)";
}

/* A variant's play of one file of golden prompts. */
struct play {
    const struct flo_author_variant *variant;
    const char *model, *golden;
};

/* Tells whether an earlier variant plays the same file on the same model, or the
 * prompts were made with this model. */
static bool is_repeated(const struct flo_create *create, const struct play *play, size_t variant)
{
    bool is_made = create->is_made && play->golden == create->golden &&
                   play->model == create->files[0].path && play->variant->context == 0;

    for (size_t i = 0; !is_made && i < variant; i++) {
        const struct flo_author_variant *other = &create->author.variants[i];
        is_made = other->context == play->variant->context &&
                  flo_create_model_of(create, other) == play->model &&
                  flo_create_holds(create, other, play->golden) && flo_create_is_native(other);
    }
    return is_made;
}

static int play_one(struct flo_cli *cli, struct flo_create *create, const struct play *play,
                    struct flo_err *err)
{
    const char *words[FLO_CREATE_WORDS_MAX + 1] = {"golden", "play", play->golden};
    bool is_only = create->author.variant_count == 1;
    const char *name = play->variant->name;
    char context[16];
    size_t n = 3;

    flo_out_say(cli, "   playing      %s%s%s", play->golden, is_only ? "" : " by ",
                is_only ? "" : name);
    FLO_TRY(add_player(cli, create, play->model, words, &n, err));
    add_cache(create, words, &n);
    if (play->variant->context > 0) {
        snprintf(context, sizeof(context), "%u", play->variant->context);
        words[n++] = "--ctx";
        words[n++] = context;
    }
    int rv = run_model(words, err);
    return rv < 0 && !is_only ? flo_wrap(err, rv, "variant %s", name) : rv;
}

/* Plays one file by each variant that has it.  Names the variants that do not
 * play it here. */
static int play_file(struct flo_cli *cli, struct flo_create *create, const char *golden,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf names = {0};
    const char *reason = NULL;

    for (size_t i = 0; i < create->author.variant_count; i++) {
        const struct flo_author_variant *variant = &create->author.variants[i];
        struct play play = {variant, flo_create_model_of(create, variant), golden};
        const char *why = why_unplayed(cli, create, variant, golden);
        if (!flo_create_holds(create, variant, golden)) {
            continue;
        }
        if (why != NULL) {
            reason = reason == NULL || why[0] != '\0' ? why : reason;
            flo_buf_printf(&names, "%s%s", names.bytes > 0 ? ", " : " by ", variant->name);
        } else if (!is_repeated(create, &play, i)) {
            FLO_TRY(play_one(cli, create, &play, err));
        }
    }
    if (reason != NULL) {
        flo_out_say(cli, "   not played   %s%s%s: the device plays it first", golden,
                    create->author.variant_count > 1 && names.data != NULL ? names.data : "",
                    reason);
    }
    return 0;
}

/* Refuses what each device would refuse.  A release without golden prompts may
 * be for devices with a program of their own, so --skip-play lets it pass. */
static int check_devices(struct flo_cli *cli, const struct flo_create *create, struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = flo_create_devices(create, &why);

    if (rv == FLO_E_PROBE_GOLDEN && !create->has_golden && flo_args_has(&cli->args, "skip-play")) {
        flo_out_say(cli, "   not for      devices with flotilla-agent: %s", why.what);
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = why;
    }
    return rv;
}

int flo_create_golden(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const struct flo_parts *parts = &create->parts;

    create->is_made = create->has_golden && create->golden[0] == '\0';
    if (create->is_made) {
        FLO_TRY(parts->is_native && parts->auto_runtime == NULL ? make_golden(cli, create, err)
                                                                : refuse_to_make(parts, err));
    }
    FLO_TRY(check_devices(cli, create, err));
    for (size_t i = 0; i < create->author.file_count; i++) {
        if (strcmp(create->files[i].role, "golden") == 0) {
            FLO_TRY(play_file(cli, create, create->files[i].path, err));
        }
    }
    return 0;
}
