/* Check: runs a program that computes one golden case and ends, for a runtime
 * without a server.
 *
 * Each run has namespaces, a scratch folder and a keeper of its own.  A process
 * between the proxy and the keeper enters the namespaces, because a process can
 * do so only once.  It reports by a pipe: "M<bytes>" peak memory of a process,
 * "K" the cgroup killed a process, "E<text>" it did not start, "W<text>" the
 * end of its stderr. */
#include "engine/proxy/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/infer.h>
#include <flotilla/errors/runtime.h>

#define SAID_MAX 1024
#define STATUS_UNKNOWN 255

/* ---- the process between ---- */

static volatile sig_atomic_t is_ended;

static void on_end(int number)
{
    (void)number;
    is_ended = 1;
}

static void say(int report, char kind, const char *text)
{
    dprintf(report, "%c%s\n", kind, text);
}

static void say_words(const struct flo_runtime_process *process, int report)
{
    char text[200];
    size_t skip = process->n_words > 150 ? process->n_words - 150 : 0;

    if (process->n_words > 0) {
        flo_text_clean(process->words + skip, process->n_words - skip, text, sizeof(text));
        say(report, 'W', text);
    }
}

static void say_memory(int report)
{
    struct rusage usage;
    char text[32];

    if (getrusage(RUSAGE_CHILDREN, &usage) == 0) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)usage.ru_maxrss * 1024);
        say(report, 'M', text);
    }
}

/* Waits until the keeper has exited.  If a stop is asked for, it ends the run
 * first. */
static int wait_for(struct flo_runtime_process *process, struct flo_err *err)
{
    int status = 0;

    for (;;) {
        struct pollfd wait = {.fd = process->errors, .events = POLLIN};
        int rv = flo_runtime_listen(process, err);
        if (rv < 0 || is_ended != 0) {
            flo_runtime_stop(process, 0);
            FLO_TRY(rv);
            return STATUS_UNKNOWN;
        }
        if (waitpid(process->pid, &status, WNOHANG) != 0) {
            process->pid = 0;
            FLO_TRY(flo_runtime_listen(process, err));
            return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_UNKNOWN;
        }
        poll(&wait, 1, process->errors < 0 ? 5 : 20);
    }
}

_Noreturn static void run(const struct flo_proxy *proxy, pid_t parent, const char *file, int output,
                          int report)
{
    struct flo_runtime_process process = {
        .output = output, .report = -1, .errors = -1, .keeper = -1};
    struct flo_err err = {0};
    struct sigaction action;
    int status;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_end;
    sigaction(SIGTERM, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* the proxy has exited already, so its end would not end this process */
    if (getppid() != parent) {
        _exit(STATUS_UNKNOWN);
    }
    close(proxy->socket);
    snprintf(process.file, sizeof(process.file), "%s", file);
    status = flo_runtime_start(&proxy->runtime, proxy->tree, (struct flo_wire_text){NULL, 0},
                               proxy->mode, &process, &err);
    close(output);
    status = status < 0 ? status : wait_for(&process, &err);
    if (process.figures.kills > 0) {
        say(report, 'K', "");
    }
    flo_runtime_stop(&process, 0);
    if (status < 0) {
        say(report, 'E', err.what);
        if (err.fix[0] != '\0') {
            say(report, 'W', err.fix);
        }
        _exit(STATUS_UNKNOWN);
    }
    say_words(&process, report);
    say_memory(report);
    _exit(status);
}

/* ---- one run ---- */

static void close_all(struct flo_check *check)
{
    flo_fd_cleanup(&check->output);
    flo_fd_cleanup(&check->report);
    check->output = check->report = -1;
    flo_buf_deinit(&check->text);
    flo_buf_deinit(&check->said);
    check->text = (struct flo_buf){.bytes_max = FLO_CHECK_BYTES_MAX};
    check->said = (struct flo_buf){.bytes_max = SAID_MAX};
    check->pid = 0;
}

/* Ends the process between proxy and keeper, which ends the keeper and the
 * run. */
void flo_check_end(struct flo_check *check)
{
    if (check->pid > 0) {
        kill(check->pid, SIGTERM);
        while (waitpid(check->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    close_all(check);
}

static void fail(struct flo_proxy *proxy, uint32_t id, const struct flo_err *err)
{
    flo_proxy_fail(proxy, id, err);
    flo_check_end(&proxy->check);
}

static bool is_file(const struct flo_proxy *proxy, const char *name)
{
    struct stat st;

    return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL &&
           fstatat(proxy->tree, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int start(struct flo_proxy *proxy, const char *file, struct flo_err *err)
{
    struct flo_check *check = &proxy->check;
    pid_t self = getpid();
    int output[2], report[2];

    close_all(check);
    if (pipe2(output, O_CLOEXEC) < 0) {
        return flo_fail_errno(err, FLO_E_RUNTIME_START, "a pipe");
    }
    if (pipe2(report, O_CLOEXEC) < 0) {
        close(output[0]);
        close(output[1]);
        return flo_fail_errno(err, FLO_E_RUNTIME_START, "a pipe");
    }
    fflush(NULL);
    check->pid = fork();
    if (check->pid == 0) {
        run(proxy, self, file, output[1], report[1]);
    }
    close(output[1]);
    close(report[1]);
    check->output = output[0];
    check->report = report[0];
    fcntl(check->output, F_SETFL, O_NONBLOCK);
    fcntl(check->report, F_SETFL, O_NONBLOCK);
    if (check->pid < 0) {
        check->pid = 0;
        return flo_fail_errno(err, FLO_E_RUNTIME_START, "a process");
    }
    return 0;
}

void flo_check_take(struct flo_proxy *proxy, const struct flo_wire_message *message)
{
    struct flo_check *check = &proxy->check;
    const struct flo_wire_text *named = &message->generate.file;
    char file[sizeof(proxy->process.file)] = "";
    struct flo_err err = {0};

    if (message->type != FLO_WIRE_GENERATE || named->bytes == 0) {
        flo_fail(&err, FLO_E_INFER_NO_API, "the runtime %s plays files and answers no requests",
                 proxy->runtime.name);
        flo_proxy_fail(proxy, message->request, &err);
        return;
    }
    if (check->pid > 0) {
        flo_fail(&err, FLO_E_INFER_BUSY, "a check of %s runs already", proxy->runtime.name);
        flo_proxy_fail(proxy, message->request, &err);
        return;
    }
    if (named->bytes < sizeof(file)) {
        memcpy(file, named->data, named->bytes);
    }
    if (strlen(file) != named->bytes || !is_file(proxy, file)) {
        flo_fail(&err, FLO_E_META_SCHEMA, "the release has no file `%.80s`", file);
        flo_proxy_fail(proxy, message->request, &err);
        return;
    }
    if (start(proxy, file, &err) < 0) {
        fail(proxy, message->request, &err);
        return;
    }
    check->id = message->request;
    check->began_us = flo_now_us();
}

/* ---- how it went ---- */

/* Reads as much as fits.  If the other end is closed, the descriptor is closed
 * too; poll() would report it forever. */
static void read_all(int *fd, struct flo_buf *out)
{
    char data[8192];
    ssize_t n = -1;

    while (*fd >= 0 && !out->failed && (n = read(*fd, data, sizeof(data))) > 0) {
        flo_buf_add(out, data, (size_t)n);
    }
    if (n == 0) {
        flo_fd_cleanup(fd);
        *fd = -1;
    }
}

/* Returns the text after the letter `kind` in the first line that begins with
 * it.  Returns NULL if there is none. */
static char *said(struct flo_check *check, char kind)
{
    char *line = check->said.data;

    while (line != NULL && *line != '\0' && *line != kind) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return line == NULL || *line == '\0' ? NULL : line + 1;
}

static void copy_line(const char *line, char *out, size_t bytes)
{
    snprintf(out, bytes, "%.*s", line == NULL ? 0 : (int)strcspn(line, "\n"),
             line == NULL ? "" : line);
}

/* Checks that the run started and used at most 1.25 times the planned
 * memory. */
static int judge(struct flo_proxy *proxy, struct flo_err *err)
{
    struct flo_check *check = &proxy->check;
    uint64_t planned = proxy->runtime.memory_bytes;
    const char *memory = said(check, 'M');
    uint64_t peak = memory == NULL ? 0 : strtoull(memory, NULL, 10);
    char text[256], words[256];

    copy_line(said(check, 'E'), text, sizeof(text));
    copy_line(said(check, 'W'), words, sizeof(words));
    if (text[0] != '\0') {
        flo_fail(err, FLO_E_RUNTIME_START, "the check of %s: %s", proxy->runtime.name, text);
        return words[0] == '\0' ? err->code : flo_err_why(err, "%s", words);
    }
    if (peak > proxy->rss_bytes_peak) {
        proxy->rss_bytes_peak = peak;
    }
    if (said(check, 'K') != NULL) {
        return flo_fail(
            err, FLO_E_RUNTIME_MEMORY, "the check of %s was ended by its cgroup at %llu bytes",
            proxy->runtime.name, (unsigned long long)flo_runtime_limit(&proxy->runtime));
    }
    if (peak > planned + planned / 4) {
        return flo_fail(err, FLO_E_RUNTIME_MEMORY,
                        "the check of %s used %llu bytes, %llu are planned", proxy->runtime.name,
                        (unsigned long long)peak, (unsigned long long)planned);
    }
    if (words[0] != '\0') {
        flo_log(FLO_LOG_INFO, "runtime", "the check of %s wrote: %s", proxy->runtime.name, words);
    }
    return 0;
}

static void answer(struct flo_proxy *proxy, int status)
{
    struct flo_check *check = &proxy->check;
    struct flo_wire_message token = {.type = FLO_WIRE_TOKEN, .request = check->id};
    struct flo_wire_message done = {.type = FLO_WIRE_DONE, .request = check->id};

    if (check->text.bytes > 0) {
        token.token.is_finite = true;
        token.token.text = (struct flo_wire_text){check->text.data, check->text.bytes};
        flo_proxy_put(proxy, &token);
    }
    done.done.exit_status = (uint32_t)status;
    done.done.answer_us = flo_now_us() - check->began_us;
    flo_proxy_put(proxy, &done);
    proxy->n_requests++;
    close_all(check);
}

void flo_check_go_on(struct flo_proxy *proxy)
{
    struct flo_check *check = &proxy->check;
    struct flo_err err = {0};
    int status;
    pid_t pid;

    if (check->pid <= 0) {
        return;
    }
    pid = waitpid(check->pid, &status, WNOHANG);
    read_all(&check->output, &check->text);
    read_all(&check->report, &check->said);
    if (check->text.failed) {
        flo_fail(&err, FLO_E_RUNTIME_ANSWER, "the check of %s wrote more than %d bytes",
                 proxy->runtime.name, FLO_CHECK_BYTES_MAX);
        check->pid = pid == 0 ? check->pid : 0;
        fail(proxy, check->id, &err);
        return;
    }
    if (pid == 0) {
        return;
    }
    check->pid = 0;
    flo_buf_add(&check->said, "", 1);
    if (judge(proxy, &err) < 0) {
        fail(proxy, check->id, &err);
        return;
    }
    answer(proxy, WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_UNKNOWN);
}

void flo_check_cancel(struct flo_proxy *proxy, uint32_t id)
{
    const struct flo_wire_message done = {
        .type = FLO_WIRE_DONE, .request = id, .done = {.reason = FLO_WIRE_CANCELLED}};

    if (proxy->check.pid > 0 && proxy->check.id == id) {
        flo_check_end(&proxy->check);
        flo_proxy_put(proxy, &done);
    }
}
