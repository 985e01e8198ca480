/* Limits of this process's groups, in a tree of files that stands for the kernel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/base.h>

#include "base/cgroup.h"

#include "unit/remove_tree.h"

/* A file's path below the root, and its text; up to the first without a path. */
struct file {
    const char *path, *text;
};

static void put(const char *root, const struct file *file)
{
    char path[256];

    snprintf(path, sizeof(path), "%s%s", root, file->path);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(path, 0755);
        *at = '/';
    }
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(file->text, out);
    assert_int_equal(fclose(out), 0);
}

#define SELF "/proc/self/cgroup"
#define GROUPS "/sys/fs/cgroup"
#define BARE "9223372036854771712\n"

static const struct {
    const char *name;
    struct file files[8];
    struct flo_cgroup_limits wanted;
} rows[] = {
    {"nothing can be read", {{0}}, {0, 0, 0}},
    {"a line that is none", {{SELF, "garbage\n:\n::\n0:x\n"}}, {0, 0, 0}},
    {"version 2 without limits",
     {{SELF, "0::/a\n"}, {GROUPS "/a/memory.max", "max\n"}, {GROUPS "/a/cpu.max", "max 100000\n"}},
     {0, 0, 0}},
    {"version 2, the tightest of all above",
     {{SELF, "0::/a/b\n"},
      {GROUPS "/a/b/memory.max", "9000\n"},
      {GROUPS "/a/b/cpu.max", "400000 100000\n"},
      {GROUPS "/a/memory.max", "8000\n"},
      {GROUPS "/a/memory.current", "5000\n"},
      {GROUPS "/a/memory.stat", "anon 4000\ninactive_file 1000\n"},
      {GROUPS "/a/cpu.max", "250000 100000\n"}},
     {8000, 4000, 2}},
    {"the root group",
     {{SELF, "0::/\n"}, {GROUPS "/memory.max", "7000\n"}, {GROUPS "/cpu.max", "5000 100000\n"}},
     {7000, 0, 1}},
    {"a container's group, whose name is the host's",
     {{SELF, "0::/docker/abc\n"}, {GROUPS "/memory.max", "7000\n"}},
     {7000, 0, 0}},
    {"version 1 without limits",
     {{SELF, "4:memory:/a\n5:cpu,cpuacct:/a\n"},
      {GROUPS "/memory/a/memory.limit_in_bytes", BARE},
      {GROUPS "/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"},
      {GROUPS "/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     {0, 0, 0}},
    {"version 1 beside an empty version 2",
     {{SELF, "9:name=systemd:/x\n5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/x\n"},
      {GROUPS "/memory/a/memory.limit_in_bytes", "8000\n"},
      {GROUPS "/memory/a/memory.usage_in_bytes", "6000\n"},
      {GROUPS "/memory/a/memory.stat", "cache 1\ntotal_inactive_file 500\n"},
      {GROUPS "/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n"},
      {GROUPS "/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     {8000, 5500, 3}},
    {"version 1 in a container",
     {{SELF, "4:memory:/docker/abc\n5:cpu:/docker/abc\n"},
      {GROUPS "/memory/memory.limit_in_bytes", "8000\n"},
      {GROUPS "/cpu/cpu.cfs_quota_us", "50000\n"},
      {GROUPS "/cpu/cpu.cfs_period_us", "100000\n"}},
     {8000, 0, 1}},
    {"numbers that are none",
     {{SELF, "0::/a\n"},
      {GROUPS "/a/memory.max", "-5\n"},
      {GROUPS "/a/cpu.max", "1 0\n"},
      {GROUPS "/memory.max", "\n"},
      {GROUPS "/cpu.max", "99999999999999999 1\n"}},
     {0, 0, 0}},
};

static void the_tightest_limit_of_both_versions_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char root[] = "/tmp/flotilla-limits-XXXXXX";
        struct flo_cgroup_limits limits;

        assert_non_null(mkdtemp(root));
        for (size_t f = 0; f < FLO_COUNT(rows[i].files) && rows[i].files[f].path != NULL; f++) {
            put(root, &rows[i].files[f]);
        }
        flo_cgroup_limits(root, &limits);
        remove_tree(root);
        if (limits.memory_bytes_max != rows[i].wanted.memory_bytes_max ||
            limits.memory_bytes != rows[i].wanted.memory_bytes ||
            limits.cpus != rows[i].wanted.cpus) {
            fail_msg("%s: %llu of %llu bytes, %u CPUs", rows[i].name,
                     (unsigned long long)limits.memory_bytes,
                     (unsigned long long)limits.memory_bytes_max, limits.cpus);
        }
    }
}

static void a_process_has_at_least_one_cpu(void **state)
{
    (void)state;
    assert_true(flo_cpus_allowed() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tightest_limit_of_both_versions_counts),
        cmocka_unit_test(a_process_has_at_least_one_cpu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
