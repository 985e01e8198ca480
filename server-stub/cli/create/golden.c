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

/* Checks golden prompts with the reader that devices use. */
int flo_create_golden_check(const char *path, struct flo_err *err)
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
    flo_golden_deinit(&golden);
    return 0;
}

/* Chooses the model that plays the prompts: the release's own model, or the one
 * of --base with the adapter, which shows whether they fit.  Appends its flags
 * to `words` from `count` on. */
static int add_player(struct flo_cli *cli, struct flo_create *create, const char **words,
                      size_t *count, struct flo_err *err)
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
    return flo_create_golden_check(create->golden, err);
}

int flo_create_golden(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const char *words[16] = {"golden", "play", create->golden};
    size_t n = 3;
    bool is_native = create->parts.is_native;

    if (!create->has_golden) {
        return 0;
    }
    if (create->golden[0] == '\0' && is_native) {
        return make_golden(cli, create, err);
    }
    if (create->golden[0] == '\0') {
        return flo_fail(err, FLO_E_USAGE,
                        "--prompts makes golden prompts of a model alone; give "
                        "them with --golden");
    }
    if (!is_native || flo_args_has(&cli->args, "skip-play")) {
        flo_out_say(cli, "   not played   %s%s: the device plays it first", create->golden,
                    is_native ? " (--skip-play)" : "");
        return 0;
    }
    flo_out_say(cli, "   playing      %s", create->golden);
    FLO_TRY(add_player(cli, create, words, &n, err));
    return run_model(words, err);
}
