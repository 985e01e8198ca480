/* Start: starts a runtime, with its arguments, scratch folder and
 * namespaces. */
#include "engine/proxy/proxy.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/runtime.h>

#define ARG_BYTES_MAX 4096
/* Factor and addition for the limit of a process's writable memory, used
 * without a cgroup.  It stops a leak that grows faster than the memory checks.
 * Programs reserve more than they use. */
#define DATA_FACTOR 4
#define DATA_SPARE (1ull << 30)
#define PROCESSES_MAX 1024
#define LOOK_MS 500  /* most milliseconds that the keeper takes to tell its figures */
#define READS_MAX 32 /* most reads in a call, which take more than a pipe holds */

static int bad(struct flo_err *err, const char *what)
{
    return flo_fail_errno(err, FLO_E_RUNTIME_START, "%s", what);
}

/* ---- namespaces ---- */

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_good = fd >= 0 && write(fd, text, strlen(text)) > 0;

    if (fd >= 0) {
        close(fd);
    }
    return is_good;
}

/* Enters namespaces.  If that is not allowed, it makes a new user namespace,
 * which maps this user, and enters them inside.  Returns whether it
 * succeeded. */
static bool enter(int flags)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(flags) == 0) {
        return true;
    }
    if (unshare(flags | CLONE_NEWUSER) < 0) {
        return false;
    }
    write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)uid, (unsigned)uid);
    bool is_good = write_text("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)gid, (unsigned)gid);
    return write_text("/proc/self/gid_map", map) && is_good;
}

static bool raise_loopback(void)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(request.ifr_name, "lo");
    bool is_good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is_good;
}

/* Tells whether the keeper will be able to mount a /proc.  A process that then
 * ends tries it. */
static bool can_show_processes(void)
{
    int status = 1;

    fflush(NULL);
    pid_t trial = fork();
    if (trial == 0) {
        pid_t first = enter(CLONE_NEWNET | CLONE_NEWPID) ? fork() : -1;
        if (first == 0) {
            _exit(flo_keeper_show_processes() ? 0 : 1);
        }
        _exit(first > 0 && waitpid(first, &status, 0) == first && status == 0 ? 0 : 1);
    }
    return trial > 0 && waitpid(trial, &status, 0) == trial && status == 0;
}

/* Enters the namespaces for the runtime.  The proxy enters the network
 * namespace too, so that it reaches the runtime's port. */
static int isolate(const struct flo_runtime *runtime, bool uses_port, enum flo_sandbox_mode mode,
                   struct flo_err *err)
{
    int processes = runtime->devices[0] == NULL || can_show_processes() ? CLONE_NEWPID : 0;

    if (runtime->has_network) {
        (void)(processes != 0 && enter(processes)); /* may fail: the keeper works without it */
        return 0;
    }
    if ((enter(CLONE_NEWNET | processes) || enter(CLONE_NEWNET)) && raise_loopback()) {
        return 0;
    }
    if (!uses_port && mode == FLO_SANDBOX_PREFERRED) {
        flo_log(FLO_LOG_WARN, "runtime", "%s: no network namespace, works without one",
                runtime->name);
        return 0;
    }
    flo_fail_errno(err, FLO_E_RUNTIME_START, "no network namespace for %s", runtime->name);
    return flo_err_fix(err, "allow user namespaces, or write `network: host` "
                            "in its file of runtimes.d");
}

/* ---- names in arguments ---- */

struct names {
    const char *tree, *entry;
    const struct flo_runtime *runtime;
    const struct flo_runtime_process *process;
};

/* Writes the value of the name "{word}" at `p`.  Returns the length of the
 * name, or 0 if it is unknown. */
static size_t name_at(const char *p, const struct names *names, char *out, size_t out_bytes)
{
    static const char *const words[] = {"{tree}",    "{entry}",    "{socket}",
                                        "{port}",    "{context}",  "{threads}",
                                        "{scratch}", "{sessions}", "{file}"};
    size_t i = 0;

    while (i < FLO_COUNT(words) && strncmp(p, words[i], strlen(words[i])) != 0) {
        i++;
    }
    switch (i) {
    case 0:
        snprintf(out, out_bytes, "%s", names->tree);
        break;
    case 1:
        snprintf(out, out_bytes, "%s%s%s", names->tree, names->entry[0] != '\0' ? "/" : "",
                 names->entry);
        break;
    case 2:
        snprintf(out, out_bytes, "%s", names->process->socket);
        break;
    case 3:
        snprintf(out, out_bytes, "%u", names->process->port);
        break;
    case 4:
        snprintf(out, out_bytes, "%u", names->runtime->context);
        break;
    case 5:
        snprintf(out, out_bytes, "%u", names->runtime->threads);
        break;
    case 6:
        snprintf(out, out_bytes, "%s", names->process->scratch);
        break;
    case 7:
        snprintf(out, out_bytes, "%u", names->runtime->sessions);
        break;
    case 8:
        snprintf(out, out_bytes, "%s/%s", names->tree, names->process->file);
        break;
    default:
        return 0;
    }
    return strlen(words[i]);
}

/* Returns a copy of the text with the values of its names.  The caller frees
 * it. */
static char *replaced(const char *text, const struct names *names)
{
    struct flo_buf out = {.bytes_max = 2 * ARG_BYTES_MAX};
    char value[ARG_BYTES_MAX];

    flo_buf_text(&out, "");
    for (const char *p = text; *p != '\0';) {
        size_t taken = name_at(p, names, value, sizeof(value));
        if (taken > 0) {
            flo_buf_text(&out, value);
            p += taken;
        } else {
            flo_buf_add(&out, p++, 1);
        }
    }
    return out.failed ? NULL : out.data != NULL ? out.data : strdup("");
}

static bool uses(const struct flo_runtime *runtime, const char *word)
{
    for (size_t i = 0; runtime->exec[i] != NULL; i++) {
        if (strstr(runtime->exec[i], word) != NULL) {
            return true;
        }
    }
    for (uint32_t i = 0; i < runtime->n_env; i++) {
        if (strstr(runtime->env[i][1], word) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- its files ---- */

static size_t list_paths(const struct flo_runtime *runtime, const char *tree, const char *scratch,
                         struct flo_sandbox_path *out)
{
    static const char *const run[] = {"/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/opt"};
    static const char *const see[] = {"/etc/ld.so.cache",
                                      "/etc/ld.so.conf",
                                      "/etc/ld.so.conf.d",
                                      "/etc/localtime",
                                      "/proc/cpuinfo",
                                      "/proc/meminfo",
                                      "/proc/stat",
                                      "/proc/sys/vm",
                                      "/sys/devices/system/cpu",
                                      "/sys/devices/system/node",
                                      "/dev/random",
                                      "/dev/urandom"};
    static const char *const change[] = {"/dev/null", "/dev/zero"};
    size_t n = 0;

    for (size_t i = 0; i < FLO_COUNT(run); i++) {
        out[n++] = (struct flo_sandbox_path){run[i], FLO_SANDBOX_RUN};
    }
    for (size_t i = 0; i < FLO_COUNT(see); i++) {
        out[n++] = (struct flo_sandbox_path){see[i], FLO_SANDBOX_READ};
    }
    for (size_t i = 0; i < FLO_COUNT(change); i++) {
        out[n++] = (struct flo_sandbox_path){change[i], FLO_SANDBOX_DEVICE};
    }
    /* A GPU's driver writes the names of its threads there. */
    out[n++] = (struct flo_sandbox_path){
        "/proc/self", runtime->devices[0] != NULL ? FLO_SANDBOX_OWN : FLO_SANDBOX_READ};
    out[n++] = (struct flo_sandbox_path){runtime->exec[0], FLO_SANDBOX_RUN};
    out[n++] = (struct flo_sandbox_path){tree, FLO_SANDBOX_READ};
    out[n++] = (struct flo_sandbox_path){scratch, FLO_SANDBOX_SCRATCH};
    for (size_t i = 0; runtime->read[i] != NULL; i++) {
        out[n++] = (struct flo_sandbox_path){runtime->read[i], FLO_SANDBOX_RUN};
    }
    for (size_t i = 0; runtime->devices[i] != NULL; i++) {
        out[n++] = (struct flo_sandbox_path){runtime->devices[i], FLO_SANDBOX_DEVICE};
    }
    return n;
}

/* ---- start ---- */

/* Chooses a port that is free now.  Inside a network namespace nobody else can
 * take it. */
static int choose_port(uint16_t *port, struct flo_err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) < 0) {
        return bad(err, "no free port");
    }
    *port = ntohs(address.sin_port);
    return 0;
}

/* Finds the path of the folder with the descriptor `fd`, as the runtime sees
 * it. */
static int path_of(int fd, char *out, size_t bytes, struct flo_err *err)
{
    char link[64];
    struct stat st;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, bytes - 1);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || n <= 0 || (size_t)n >= bytes - 1) {
        return flo_fail(err, FLO_E_RUNTIME_START, "its files are no folder of a short name");
    }
    out[n] = '\0';
    return 0;
}

static bool is_entry(const char *entry)
{
    return entry[0] != '/' && strstr(entry, "..") == NULL;
}

/* Builds the runtime's variables and arguments.  They are freed when the
 * process exits. */
static bool make_words(const struct flo_runtime *runtime, const struct names *names,
                       const char **argv, char **environment)
{
    char value[2 * ARG_BYTES_MAX + 64];
    size_t n = 0;

    for (size_t i = 0; runtime->exec[i] != NULL; i++) {
        argv[i] = replaced(runtime->exec[i], names);
        if (argv[i] == NULL) {
            return false;
        }
    }
    environment[n++] = strdup("PATH=/usr/local/bin:/usr/bin:/bin");
    environment[n++] = strdup("LANG=C.UTF-8");
    snprintf(value, sizeof(value), "HOME=%s", names->process->scratch);
    environment[n++] = strdup(value);
    snprintf(value, sizeof(value), "TMPDIR=%s", names->process->scratch);
    environment[n++] = strdup(value);
    for (uint32_t i = 0; i < runtime->n_env; i++) {
        FLO_CLEANUP(flo_free_cleanup)
        char *text = replaced(runtime->env[i][1], names);
        if (text == NULL) {
            return false;
        }
        snprintf(value, sizeof(value), "%.60s=%s", runtime->env[i][0], text);
        environment[n++] = strdup(value);
    }
    return true;
}

static void start_keeper(const struct flo_keeping *keeping, struct flo_runtime_process *process)
{
    fflush(NULL);
    process->pid = fork();
    if (process->pid == 0) {
        close(process->keeper);
        flo_keeper_run(keeping);
    }
}

static int make_scratch(struct flo_runtime_process *process, bool uses_port, struct flo_err *err)
{
    FLO_TRY(flo_scratch_folder("/tmp", process->scratch, &process->lock, err));
    if (uses_port) {
        return choose_port(&process->port, err);
    }
    snprintf(process->socket, sizeof(process->socket), "%.80s" FLO_RUNTIME_SOCKET,
             process->scratch);
    return 0;
}

static int start(const struct flo_runtime *runtime, const struct names *names, bool uses_port,
                 enum flo_sandbox_mode mode, struct flo_runtime_process *process,
                 struct flo_err *err)
{
    static const char *argv[FLO_RUNTIME_ARGS_MAX + 1];
    static char *environment[FLO_RUNTIME_ENV_MAX + 5];
    static struct flo_sandbox_path paths[32 + 2 * FLO_RUNTIME_PATHS_MAX];
    int report[2], errors[2], words[2];
    struct flo_keeping keeping = {
        .argv = argv,
        .environment = environment,
        .scratch = process->scratch,
        .paths = paths,
        .n_paths = list_paths(runtime, names->tree, process->scratch, paths),
        .stop_ms = runtime->stop_ms,
        .needs_files = mode == FLO_SANDBOX_REQUIRED && flo_sandbox_is_built(),
        .connects = runtime->has_network || uses_port,
        .group = &process->group,
        .data_bytes_max =
            process->group.folder[0] != '\0' ? 0 : DATA_SPARE + DATA_FACTOR * runtime->memory_bytes,
        .has_user = runtime->has_user,
        .uid = runtime->uid,
        .gid = runtime->gid,
        .output = process->output > 0 ? process->output : -1,
        .proxy = getpid(),
    };

    if (!make_words(runtime, names, argv, environment)) {
        return flo_fail(err, FLO_E_RUNTIME_START, "an argument is longer than %d bytes",
                        ARG_BYTES_MAX);
    }
    if (pipe2(report, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, words) < 0) {
        return bad(err, "a pipe"); /* this process ends, and closes the others */
    }
    keeping.report = report[1];
    keeping.errors = errors[1];
    keeping.guard = words[1];
    process->keeper = words[0];
    start_keeper(&keeping, process);
    close(report[1]);
    close(errors[1]);
    close(words[1]);
    fcntl(report[0], F_SETFL, O_NONBLOCK);
    process->report = report[0];
    process->errors = errors[0];
    process->is_sandboxed = flo_sandbox_has_landlock();
    return process->pid < 0 ? bad(err, "a process") : 0;
}

int flo_runtime_start(const struct flo_runtime *runtime, int tree, struct flo_wire_text entry,
                      enum flo_sandbox_mode mode, struct flo_runtime_process *process,
                      struct flo_err *err)
{
    char path[2048], file[256];
    bool uses_port = uses(runtime, "{port}");
    struct names names = {path, file, runtime, process};
    int rv = path_of(tree, path, sizeof(path), err);

    snprintf(file, sizeof(file), "%.*s", (int)entry.bytes, entry.bytes > 0 ? entry.data : "");
    if (rv == 0 && (entry.bytes >= sizeof(file) || !is_entry(file))) {
        rv = flo_fail(err, FLO_E_RUNTIME_START, "its entry %.60s is no name", file);
    }
    if (rv == 0 && !uses_port && runtime->api != FLO_RUNTIME_NONE && !uses(runtime, "{socket}")) {
        rv = flo_fail(err, FLO_E_RUNTIME_START,
                      "`exec` and `env` of %s name neither {socket} nor {port}", runtime->name);
    }
    if (rv == 0) {
        flo_runtime_group(runtime, process);
    }
    if (rv == 0) {
        rv = isolate(runtime, uses_port, mode, err);
    }
    if (rv == 0) {
        rv = make_scratch(process, uses_port, err);
    }
    if (rv == 0 && runtime->has_user) {
        rv = flo_runtime_own_user(runtime, tree, process, path, sizeof(path), err);
    }
    if (rv == 0) {
        rv = start(runtime, &names, uses_port, mode, process, err);
    }
    if (rv < 0 && process->scratch[0] != '\0') {
        flo_scratch_remove(process->scratch);
        process->scratch[0] = '\0';
    }
    if (rv < 0) {
        flo_cgroup_end(&process->group);
    }
    return rv;
}

/* ---- its pipes ---- */

static void keep_words(struct flo_runtime_process *process, const char *data, size_t bytes)
{
    size_t room = sizeof(process->words);

    if (bytes > room) {
        data += bytes - room;
        bytes = room;
    }
    if (process->n_words + bytes > room) {
        size_t drop = process->n_words + bytes - room;
        memmove(process->words, process->words + drop, process->n_words - drop);
        process->n_words -= drop;
    }
    memcpy(process->words + process->n_words, data, bytes);
    process->n_words += bytes;
}

static void take_figures(struct flo_runtime_process *process)
{
    while (recv(process->keeper, &process->figures, sizeof(process->figures), MSG_DONTWAIT) > 0) {
    }
}

void flo_runtime_look(struct flo_runtime_process *process)
{
    struct pollfd wait = {.fd = process->keeper, .events = POLLIN};

    take_figures(process); /* a late answer */
    if (send(process->keeper, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
        (void)poll(&wait, 1, LOOK_MS);
    }
    take_figures(process);
}

int flo_runtime_listen(struct flo_runtime_process *process, struct flo_err *err)
{
    char data[4096];
    ssize_t n = -1;

    take_figures(process);
    for (int reads = 0; process->errors >= 0 && reads < READS_MAX &&
                        (n = read(process->errors, data, sizeof(data))) > 0;
         reads++) { /* a runtime that writes without end must not block the proxy */
        keep_words(process, data, (size_t)n);
    }
    if (process->errors >= 0 && n == 0) {
        flo_fd_cleanup(&process->errors);
    }
    n = process->report < 0 ? -1 : read(process->report, data, 400);
    if (n == 0) {
        flo_fd_cleanup(&process->report);
    }
    return n > 0 ? flo_fail(err, FLO_E_RUNTIME_START, "%.*s", (int)n, data) : 0;
}

void flo_runtime_stop(struct flo_runtime_process *process, uint64_t stop_ms)
{
    uint64_t until_ms = flo_now_ms() + stop_ms + 2000;

    if (process->pid > 0) {
        kill(process->pid, SIGTERM);
    }
    while (process->pid > 0 && waitpid(process->pid, NULL, WNOHANG) == 0) {
        if (flo_now_ms() > until_ms) {
            kill(process->pid, SIGKILL);
        }
        poll(NULL, 0, 5);
    }
    process->pid = 0;
}
