/* What a worker can still open behind its sandbox. */
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/remove_tree.h"
#include "updater/run/run.h"

#define LINK "/etc/resolv.conf"

struct world {
    char dir[64];
    char folder[96];  /* of whoever writes the resolver's file */
    char private[96]; /* a file of nobody's business */
    char state_dir[96];
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-sandbox-XXXXXX");
    if (mkdtemp(world->dir) == NULL) {
        return -1;
    }
    snprintf(world->folder, sizeof(world->folder), "%s/connman", world->dir);
    snprintf(world->state_dir, sizeof(world->state_dir), "%s/state",
             world->dir);
    snprintf(world->private, sizeof(world->private), "%s/private", world->dir);
    close(open(world->private, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    *state = world;
    return mkdir(world->folder, 0700) + mkdir(world->state_dir, 0700);
}

static int tear_down(void **state)
{
    struct world *world = *state;
    int rv = remove_tree(world->dir);

    free(world);
    return rv;
}

static bool can_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0,
                   LANDLOCK_CREATE_RULESET_VERSION) >= 2;
}

enum answer { OPENED, REFUSED, OPENED_MORE, NO_RIGHT };

/* In a child whose /etc has nothing but a link to that file: can the file be
 * read through it in the sandbox, and nothing else beside it? */
static enum answer resolve(const struct world *world, const char *target)
{
    const struct flo_job job = {.state_dir = world->state_dir,
                                .memory_bytes_max = 32 << 20};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/etc", "tmpfs", 0, NULL) < 0 ||
            symlink(target, LINK) < 0) {
            _exit(NO_RIGHT);
        }
        flo_sandbox_enter(&job);
        _exit(!can_open(LINK)            ? REFUSED
              : can_open(world->private) ? OPENED_MORE
                                         : OPENED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_RIGHT || !has_landlock()) {
        print_message("no mount namespace or no landlock here: skipped\n");
        skip();
    }
    return WEXITSTATUS(status);
}

static void the_resolver_is_read_where_its_link_leads(void **state)
{
    struct world *world = *state;
    char target[128];

    snprintf(target, sizeof(target), "%s/resolv.conf", world->folder);
    close(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));

    assert_int_equal(resolve(world, target), OPENED);
}

/* A folder of everybody's is not opened for one file of it. */
static void of_a_shared_folder_only_the_file_is_read(void **state)
{
    struct world *world = *state;
    char target[] = "/tmp/flo-resolv-XXXXXX";
    int fd = mkstemp(target);

    assert_true(fd >= 0);
    close(fd);
    enum answer answer = resolve(world, target);
    unlink(target);

    assert_int_equal(answer, OPENED);
}

#define with_world(test)                                                       \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(the_resolver_is_read_where_its_link_leads),
        with_world(of_a_shared_folder_only_the_file_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
