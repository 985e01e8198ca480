/* Program: runs the commands of flotilla-model, which makes and judges models,
 * and of flotilla-engine. */
#include "server-stub/cli/create/create.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/model.h>
#include <flotilla/errors/process.h>

bool flo_create_model_program(char *path, size_t bytes)
{
    /* The program with llama.cpp's library also plays the architectures of that
     * library. */
    return flo_process_has_sibling("flotilla-model-llama", path, bytes) ||
           flo_process_has_sibling("flotilla-model", path, bytes);
}

static int run(const char *program, const char *const *words, int *status, struct flo_err *err)
{
    const char *argv[FLO_CREATE_WORDS_MAX + 2] = {program};

    for (size_t i = 0; i < FLO_CREATE_WORDS_MAX && words[i] != NULL; i++) {
        argv[i + 1] = words[i];
    }
    (void)fflush(stdout);
    return flo_interrupt_run(argv, status, err);
}

/* Runs a program with its stdout at `fd`; -1: at ours. */
static int run_to(const char *program, const char *const *words, int fd, int *status,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int kept = -1;

    if (fd >= 0) {
        (void)fflush(stdout);
        kept = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        if (kept < 0 || dup2(fd, STDOUT_FILENO) < 0) {
            return flo_fail_errno(err, FLO_E_PROCESS, "stdout");
        }
    }
    int rv = run(program, words, status, err);
    if (kept >= 0 && dup2(kept, STDOUT_FILENO) < 0 && rv == 0) {
        rv = flo_fail_errno(err, FLO_E_PROCESS, "stdout");
    }
    return rv;
}

int flo_create_run_model_to(const char *const *words, int fd, int *status, struct flo_err *err)
{
    char program[4096];

    if (!flo_create_model_program(program, sizeof(program))) {
        flo_fail(err, FLO_E_ABSENT,
                 "the program flotilla-model, which reads models, is not installed");
        flo_err_fix(err, "install it, or sign what nobody played with "
                         "--golden FILE --skip-play");
        return FLO_E_ABSENT;
    }
    return run_to(program, words, fd, status, err);
}

int flo_create_run_model(const char *const *words, int *status, struct flo_err *err)
{
    return flo_create_run_model_to(words, -1, status, err);
}

int flo_create_run_engine(const char *const *words, int *status, struct flo_err *err)
{
    char program[4096];

    if (!flo_process_has_sibling("flotilla-engine", program, sizeof(program))) {
        flo_fail(err, FLO_E_ABSENT,
                 "the program flotilla-engine, which checks drafts, is not installed");
        return flo_err_fix(err, "install it, or leave the check to devices with --skip-play");
    }
    return run_to(program, words, STDERR_FILENO, status, err);
}

int flo_create_run_model_shown(const struct flo_cli *cli, const char *const *words, int *status,
                               struct flo_err *err)
{
    return flo_create_run_model_to(words, flo_out_is_data(cli) ? STDERR_FILENO : -1, status, err);
}

int flo_create_made(int status, const char *of, struct flo_err *err)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : flo_fail(err, FLO_E_MODEL_FOLDER,
                          "%s: no model was made of it; the reason stands above", of);
}
