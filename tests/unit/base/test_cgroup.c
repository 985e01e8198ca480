/* Groups of processes, in a tree of files that stands for the kernel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

#include "base/cgroup.h"

#include "unit/remove_tree.h"

struct world {
    char root[64];
    struct flo_cgroup own;
};

static void put(const char *folder, const char *name, const char *text)
{
    char path[FLO_CGROUP_PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_text(const char *folder, const char *name, const char *expected)
{
    char path[FLO_CGROUP_PATH_MAX + 64], text[64] = "";

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) >= 0);
    close(fd);
    assert_string_equal(text, expected);
}

/* A group `unit` that was given to us, with the files that the kernel makes. */
static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char leaf[FLO_CGROUP_PATH_MAX + 8];

    strcpy(world->root, "/tmp/flo-cgroup-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    snprintf(world->own.folder, sizeof(world->own.folder), "%s/unit", world->root);
    snprintf(leaf, sizeof(leaf), "%s/agent", world->own.folder);
    assert_int_equal(mkdir(world->own.folder, 0755), 0);
    assert_int_equal(mkdir(leaf, 0755), 0);
    put(world->own.folder, "cgroup.controllers", "cpu memory pids\n");
    put(world->own.folder, "cgroup.subtree_control", "");
    put(leaf, "cgroup.procs", "");
    put(world->own.folder, "cgroup.procs", "77\n");
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    remove_tree(world->root);
    free(world);
    return 0;
}

static void give(const struct world *world)
{
    if (geteuid() == 0 && setxattr(world->own.folder, "trusted.delegate", "1", 1, 0) < 0) {
        skip(); /* no such file system below /tmp */
    }
}

static void the_group_above_the_leaf_is_found(void **state)
{
    struct flo_cgroup group;
    struct flo_err err = {0};
    bool is_leaf = false;

    (void)state;
    assert_int_equal(
        flo_cgroup_find("/g", "4:memory:/x\n0::/system.slice/a.service\n", &group, &is_leaf, &err),
        0);
    assert_string_equal(group.folder, "/g/system.slice/a.service");
    assert_false(is_leaf);
    assert_int_equal(flo_cgroup_find("/g", "0::/a.service/agent\n", &group, &is_leaf, &err), 0);
    assert_string_equal(group.folder, "/g/a.service");
    assert_true(is_leaf);
    assert_int_equal(flo_cgroup_find("/g", "0::/\n", &group, &is_leaf, &err), 0);
    assert_string_equal(group.folder, "/g");
    assert_int_equal(flo_cgroup_find("/g", "4:memory:/x\n", &group, &is_leaf, &err), FLO_E_ABSENT);
}

static void a_group_that_was_given_is_prepared(void **state)
{
    struct world *world = *state;
    char leaf[FLO_CGROUP_PATH_MAX + 8], stale[FLO_CGROUP_PATH_MAX + 16];
    struct flo_err err = {0};

    snprintf(leaf, sizeof(leaf), "%s/agent", world->own.folder);
    snprintf(stale, sizeof(stale), "%s/runtime-x-1", world->own.folder);
    assert_int_equal(mkdir(stale, 0755), 0);
    give(world);
    assert_int_equal(flo_cgroup_prepare(&world->own, &err), 0);
    assert_text(leaf, "cgroup.procs", "0");
    assert_int_equal(access(stale, F_OK), -1);
    put(world->own.folder, "cgroup.subtree_control", "memory pids\n");
    assert_true(flo_cgroup_is_prepared(&world->own));
}

static void a_group_that_was_not_given_is_left_alone(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};

    if (geteuid() != 0) {
        assert_int_equal(chmod(world->own.folder, 0755), 0);
        return; /* its folder is ours */
    }
    assert_int_equal(flo_cgroup_prepare(&world->own, &err), FLO_E_ABSENT);
    assert_text(world->own.folder, "cgroup.subtree_control", "");
    assert_false(flo_cgroup_is_prepared(&world->own));
}

static void without_a_memory_controller_nothing_is_moved(void **state)
{
    struct world *world = *state;
    char leaf[FLO_CGROUP_PATH_MAX + 8];
    struct flo_err err = {0};

    snprintf(leaf, sizeof(leaf), "%s/agent", world->own.folder);
    give(world);
    put(world->own.folder, "cgroup.controllers", "cpu memory_x\n");
    assert_int_equal(flo_cgroup_prepare(&world->own, &err), FLO_E_ABSENT);
    assert_non_null(strstr(err.what, "memory controller"));
    assert_text(leaf, "cgroup.procs", "");
}

static void a_group_with_other_processes_is_left_alone(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};

    give(world);
    put(world->own.folder, "cgroup.procs", "77\n78\n");
    assert_int_equal(flo_cgroup_prepare(&world->own, &err), FLO_E_ABSENT);
    assert_text(world->own.folder, "cgroup.subtree_control", "");
}

static void a_group_has_its_limits_and_tells_its_kills(void **state)
{
    static const char *const files[] = {"memory.max", "memory.swap.max", "memory.oom.group",
                                        "pids.max",   "cgroup.kill",     "cgroup.procs"};
    struct world *world = *state;
    struct flo_cgroup group;
    struct flo_err err = {0};
    char folder[FLO_CGROUP_PATH_MAX];

    snprintf(folder, sizeof(folder), "%.900s/runtime-npu-7", world->own.folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    for (size_t i = 0; i < FLO_COUNT(files); i++) {
        put(folder, files[i], "");
    }
    assert_int_equal(flo_cgroup_make(&world->own, "npu-7", 1 << 20, 99, &group, &err), 0);
    assert_string_equal(group.folder, folder);
    assert_text(folder, "memory.max", "1048576");
    assert_text(folder, "memory.swap.max", "0");
    assert_text(folder, "memory.oom.group", "1");
    assert_text(folder, "pids.max", "99");
    assert_int_equal(flo_cgroup_kills(&group), 0);
    put(folder, "memory.events", "low 0\nmax 31\noom 2\noom_kill 3\n");
    assert_int_equal(flo_cgroup_kills(&group), 3);
    flo_cgroup_end(&group);
    assert_text(folder, "cgroup.kill", "1");
    assert_int_equal(group.folder[0], '\0');
}

static void a_group_without_limits_is_not_made(void **state)
{
    struct world *world = *state;
    struct flo_cgroup group;
    struct flo_err err = {0};

    /* The kernel makes no files in a folder of a plain file system. */
    assert_int_equal(flo_cgroup_make(&world->own, "npu-8", 1 << 20, 99, &group, &err),
                     FLO_E_PROCESS);
    assert_int_equal(group.folder[0], '\0');
    assert_int_equal(flo_cgroup_kills(&group), 0);
    flo_cgroup_end(&group);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_group_above_the_leaf_is_found),
        TEST(a_group_that_was_given_is_prepared),
        TEST(a_group_that_was_not_given_is_left_alone),
        TEST(without_a_memory_controller_nothing_is_moved),
        TEST(a_group_with_other_processes_is_left_alone),
        TEST(a_group_has_its_limits_and_tells_its_kills),
        TEST(a_group_without_limits_is_not_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
