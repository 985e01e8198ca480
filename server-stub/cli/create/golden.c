/* Golden prompts: checks, makes or plays the prompts of a new release before
 * the release is signed. */
#include "server-stub/cli/create/create.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/probe.h>
#include <flotilla/golden.h>

/* Runs a command of the program flotilla-model, which prints its own progress
 * on stderr. */
static int run_model(const char *const *words, struct flo_err *err)
{
    char program[4096];
    const char *argv[16] = {program};
    int status = 0;
    pid_t pid;

    /* The program with llama.cpp's library is preferred, because it also plays
     * the architectures of that library. */
    if (!flo_process_has_sibling("flotilla-model-llama", program, sizeof(program)) &&
        !flo_process_has_sibling("flotilla-model", program, sizeof(program))) {
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
    FLO_TRY(flo_process_spawn(argv, -1, &pid, err));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    return flo_fail(err, FLO_E_PROBE_GOLDEN,
                    "the model does not do as the golden prompts say: its "
                    "lines stand above (flotilla-model %s %s, %s %d)",
                    words[0], words[1], WIFEXITED(status) ? "exit code" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* Tells whether a runtime without token ids can judge some case. */
static bool has_case_for_runtime(const struct flo_golden *golden)
{
    const unsigned without = 1u << FLO_GOLDEN_TOKENS | 1u << FLO_GOLDEN_EXIT;

    for (uint32_t i = 0; i < golden->n_cases; i++) {
        if (flo_golden_count(&golden->cases[i], without) > 0) {
            return true;
        }
    }
    return false;
}

/* Checks golden prompts with the reader that devices use. */
int flo_create_golden_check(const char *path, const char *runtime, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_golden golden;
    size_t bytes;
    int rv = flo_file_read(path, FLO_GOLDEN_BYTES_MAX, &text, &bytes, err);

    rv = rv == 0 ? flo_golden_read(text, bytes, &golden, err) : rv;
    if (rv < 0) {
        flo_wrap(err, rv, "%s", path);
        return flo_err_fix(err, "correct the file: docs/reference/golden.md, "
                                "or let flotilla-model golden make it");
    }
    bool is_fine = runtime == NULL || has_case_for_runtime(&golden);
    flo_golden_deinit(&golden);
    if (!is_fine) {
        flo_fail(err, FLO_E_PROBE_GOLDEN,
                 "%s: all cases have token ids alone, which runtime %s does not report", path,
                 runtime);
        return flo_err_fix(err, "add cases of format 2: docs/reference/golden.md");
    }
    return 0;
}

/* Chooses the model that plays the prompts.  This is the release's own model,
 * or for an adapter the model of --base with it, which shows whether they fit.
 * Appends its flags to `words` from `count` on. */
static int add_player(struct flo_cli *cli, struct flo_create *create, const char **words,
                      size_t *count, struct flo_err *err)
{
    const struct flo_parts *parts = &create->parts;
    const struct flo_release_file *model;
    struct flo_ticker ticker;
    size_t at = 0;

    if (flo_args_has(&cli->args, "accept-inexact")) {
        words[(*count)++] = "--accept-inexact";
    }
    words[(*count)++] = "--model";
    if (parts->adapter == NULL) {
        words[(*count)++] = create->files[0].path;
        return 0;
    }
    model = flo_release_entry(parts->base, &parts->base->variants[0]);
    snprintf(create->player, sizeof(create->player), "%s/base.gguf", create->dir);
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

static int make_golden(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const char *prompts = flo_args_text(&cli->args, "prompts", NULL);
    const char *context = flo_args_text(&cli->args, "context", NULL);
    const char *words[16] = {"golden", "create", create->golden};
    size_t n = 3;

    FLO_TRY(add_player(cli, create, words, &n, err));
    snprintf(create->golden, sizeof(create->golden), "%s/golden.json", create->dir);
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
    FLO_TRY(run_model(words, err));
    return flo_create_golden_check(create->golden, NULL, err);
}

/* Says which variants of the release are not played here. */
static void say_not_played(struct flo_cli *cli, const struct flo_create *create, const char *why)
{
    const struct flo_parts *parts = &create->parts;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf names = {0};

    for (size_t i = 0; parts->auto_runtime != NULL && i < parts->variant_count; i++) {
        if (parts->variants[i].runtime != NULL || why[0] != '\0') {
            flo_buf_printf(&names, "%s%s", names.bytes > 0 ? ", " : " by ",
                           parts->variants[i].name);
        }
    }
    flo_out_say(cli, "   not played   %s%s%s: the device plays it first", create->golden,
                names.data != NULL ? names.data : "", why);
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

/* Tells whether a file of golden prompts has format 1, the only one that
 * flotilla-model plays. */
static bool is_format_1(const char *path)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    size_t bytes;

    return flo_file_read(path, FLO_GOLDEN_BYTES_MAX, &text, &bytes, NULL) == 0 &&
           flo_json_parse(text, bytes, FLO_GOLDEN_BYTES_MAX, &root, NULL) == 0 &&
           strcmp(flo_json_text(root, "format", ""), "flotilla-golden-1") == 0;
}

/* Returns why nothing is played on this machine; NULL: the model is played. */
static const char *why_unplayed(const struct flo_cli *cli, const struct flo_create *create)
{
    if (!create->parts.is_native) {
        return "";
    }
    if (flo_args_has(&cli->args, "skip-play")) {
        return " (--skip-play)";
    }
    if (create->is_unknown) {
        return " (nothing here computes the model)";
    }
    return create->parts.auto_runtime != NULL && !is_format_1(create->golden) ? " (format 2)"
                                                                              : NULL;
}

int flo_create_golden(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const struct flo_parts *parts = &create->parts;
    const char *words[16] = {"golden", "play", create->golden};
    const char *why = create->has_golden ? why_unplayed(cli, create) : NULL;
    size_t n = 3;

    if (!create->has_golden) {
        return 0;
    }
    if (create->golden[0] == '\0') {
        return parts->is_native && parts->auto_runtime == NULL ? make_golden(cli, create, err)
                                                               : refuse_to_make(parts, err);
    }
    if (why != NULL) {
        say_not_played(cli, create, why);
        return 0;
    }
    flo_out_say(cli, "   playing      %s", create->golden);
    FLO_TRY(add_player(cli, create, words, &n, err));
    FLO_TRY(run_model(words, err));
    if (parts->auto_runtime != NULL) {
        say_not_played(cli, create, "");
    }
    return 0;
}
