/* The walls of the process that starts a runtime, once it has started it: what a parser
 * that was taken over could make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/un.h>

#include "engine/proxy/proxy.h"
#include "unit/escapes.h"

/* Things of a guard: keeper and parser, and a folder with the runtime's socket. */
struct scene {
    struct flo_runtime_process process;
    pid_t parser;
    bool has_user;
    int inside, outside, hidden; /* who listens in the folder, at another path, at no path */
    char path[64];
    struct sockaddr_un no_path;
};

static pid_t pause_in_a_child(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            pause();
        }
    }
    return pid;
}

static int enter(void *context)
{
    struct scene *scene = context;

    return flo_guard_confine(&scene->process, scene->has_user, scene->parser, FLO_SANDBOX_REQUIRED,
                             NULL) == 0
               ? 1
               : -1;
}

static int listen_at(struct sockaddr_un *at, size_t bytes)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at->sun_family = AF_UNIX;
    assert_int_equal(bind(fd, (const struct sockaddr *)at, (socklen_t)bytes), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int listen_at_path(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    return listen_at(&at, sizeof(at));
}

static int set_up(void **state)
{
    static struct scene scene;

    if (!flo_sandbox_is_built() || flo_sandbox_lacks() != NULL) {
        print_message("no sandbox in this build or kernel: skipped\n");
        return 0;
    }
    scene = (struct scene){.process.pid = pause_in_a_child(), .parser = pause_in_a_child()};
    strcpy(scene.process.scratch, "/tmp/flo-guard-XXXXXX");
    assert_non_null(mkdtemp(scene.process.scratch));
    snprintf(scene.process.socket, sizeof(scene.process.socket), "%.80s/http.sock",
             scene.process.scratch);
    snprintf(scene.path, sizeof(scene.path), "%.40s.sock", scene.process.scratch);
    scene.inside = listen_at_path(scene.process.socket);
    scene.outside = listen_at_path(scene.path);
    /* an address without a path begins with a zero */
    snprintf(scene.no_path.sun_path + 1, 64, "flo-guard-%ld", (long)getpid());
    scene.hidden = listen_at(&scene.no_path, sizeof(scene.no_path));
    *state = &scene;
    return 0;
}

static struct scene *scene_of(void **state)
{
    if (*state == NULL) {
        skip();
    }
    return *state;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    if (scene == NULL) {
        return 0;
    }
    const pid_t pids[] = {scene->process.pid, scene->parser};
    for (size_t i = 0; i < FLO_COUNT(pids); i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    close(scene->inside);
    close(scene->outside);
    close(scene->hidden);
    unlink(scene->path);
    unlink(scene->process.socket);
    rmdir(scene->process.scratch);
    return 0;
}

/* The status with which a confined process ends that does this; -1: a call killed it. */
static int do_confined(struct scene *scene, int (*act)(struct scene *))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(enter(scene) == 1 ? act(scene) : 254);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGSYS);
        return -1;
    }
    return WEXITSTATUS(status);
}

static void nothing_leaves_the_guard_but_its_socket(void **state)
{
    struct scene port, *scene = scene_of(state);

    assert_int_equal(escapes_try(FROM_GUARD, enter, scene), 0);
    port = *scene;
    port.process.socket[0] = '\0';
    port.process.port = 1;
    assert_int_equal(escapes_try(FROM_ENGINE, enter, &port), 0);
}

/* A runtime of another user has a socket that root may enter by one right alone. */
static void the_guard_keeps_no_right_but_that_to_connect(void **state)
{
    struct scene other, *scene = scene_of(state);

    assert_int_equal(rights_left(enter, scene), 0);
    other = *scene;
    other.has_user = true;
    assert_int_equal(rights_left(enter, &other), geteuid() == 0 ? 1 << CAP_DAC_OVERRIDE : 0);
    other.process.socket[0] = '\0';
    assert_int_equal(rights_left(enter, &other), 0);
}

static int signal_both(struct scene *scene)
{
    return kill(scene->process.pid, 0) == 0 && kill(scene->parser, 0) == 0 ? 0 : errno;
}

static int signal_another(struct scene *scene)
{
    (void)scene;
    return kill(getpid(), 0); /* not even itself */
}

static void the_guard_signals_keeper_and_parser_alone(void **state)
{
    struct scene *scene = scene_of(state);

    assert_int_equal(do_confined(scene, signal_both), 0);
    assert_int_equal(do_confined(scene, signal_another), -1);
}

/* ---- sockets ---- */

static int connect_inside(struct scene *scene)
{
    return flo_exchange_connect(scene->process.socket, 0) >= 0 ? 0 : errno;
}

static int connect_outside(struct scene *scene)
{
    return flo_exchange_connect(scene->path, 0) >= 0 ? 0 : errno;
}

static int connect_hidden(struct scene *scene)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return connect(fd, (const struct sockaddr *)&scene->no_path, sizeof(scene->no_path)) == 0
               ? 0
               : errno;
}

/* The agent's own sockets are open to its user. */
static void no_socket_but_the_runtimes_is_reached(void **state)
{
    struct scene *scene = scene_of(state);

    assert_int_equal(do_confined(scene, connect_inside), 0);
    assert_int_equal(do_confined(scene, connect_outside), geteuid() == 0 ? ENOENT : 0);
    assert_int_equal(do_confined(scene, connect_hidden), EPERM);
}

static int connect_by_port(struct scene *scene)
{
    struct scene port = *scene;

    return flo_exchange_connect("", port.process.port) >= 0 ? 0 : errno;
}

static void a_guard_has_the_kind_of_socket_of_its_runtime(void **state)
{
    struct scene port, *scene = scene_of(state);

    assert_int_equal(do_confined(scene, connect_by_port), -1);
    port = *scene;
    port.process.socket[0] = '\0';
    port.process.port = 1; /* nobody listens there: it is refused later */
    assert_int_equal(do_confined(&port, connect_by_port), 0);
    assert_int_equal(do_confined(&port, connect_outside), -1);
}

/* A line of a file of /proc after a word. */
static void line_of(pid_t pid, const char *file, const char *word, char *out, size_t bytes)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    char path[64];
    size_t length;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file);
    assert_int_equal(flo_file_read(path, 64 << 10, &text, &length, NULL), 0);
    const char *at = strstr(text, word);
    assert_non_null(at);
    at += strlen(word) + strspn(at + strlen(word), " \t");
    snprintf(out, bytes, "%.*s", (int)strcspn(at, " \t\n"), at);
}

/* Whether a process of the same user, without rights, reads the map of another one. */
static bool is_read(pid_t pid)
{
    int status = 0;
    pid_t reader = fork();

    if (reader == 0) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%ld/maps", (long)pid);
        _exit(flo_sandbox_keep_rights(0, 0, NULL) == 0 && open(path, O_RDONLY | O_CLOEXEC) >= 0);
    }
    assert_int_equal(waitpid(reader, &status, 0), reader);
    return WEXITSTATUS(status) == 1;
}

static int drop(void *context)
{
    (void)context;
    return flo_sandbox_keep_rights(0, 0, NULL) == 0 ? 1 : -1;
}

/* A process that stands still once `act` has returned 1; it ends with *end. */
static pid_t still(int (*act)(void *), void *context, int *end)
{
    char word;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        if (act(context) == 1 && write(pair[1], "e", 1) == 1) {
            (void)!read(pair[1], &word, 1);
        }
        _exit(0);
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], &word, 1), 1);
    *end = pair[0];
    return pid;
}

static void a_guard_is_closed_to_its_user(void **state)
{
    struct scene *scene = scene_of(state);
    char word[128];
    int end, end_of_open;
    pid_t pid = still(enter, scene, &end);
    pid_t open_one = still(drop, NULL, &end_of_open);

    line_of(pid, "status", "NoNewPrivs:", word, sizeof(word));
    assert_string_equal(word, "1");
    line_of(pid, "status", "Seccomp:", word, sizeof(word));
    assert_string_equal(word, "2");
    line_of(pid, "limits", "Max core file size", word, sizeof(word));
    assert_string_equal(word, "0");
    line_of(pid, "limits", "Max open files", word, sizeof(word));
    assert_string_equal(word, "32");
    assert_false(is_read(pid));
    assert_true(is_read(open_one));
    close(end);
    close(end_of_open);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(waitpid(open_one, NULL, 0), open_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_leaves_the_guard_but_its_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_guard_keeps_no_right_but_that_to_connect, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_guard_signals_keeper_and_parser_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_socket_but_the_runtimes_is_reached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_guard_has_the_kind_of_socket_of_its_runtime, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_guard_is_closed_to_its_user, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
