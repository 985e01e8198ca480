/* The worker's sandbox, from the inside: what it can still open, and what a
 * hostile mirror or bundle that took it over would try. */
#include <fcntl.h>
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

#include "unit/escapes.h"
#include "unit/remove_tree.h"
#include "updater/fetch/part.h"
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
    snprintf(world->state_dir, sizeof(world->state_dir), "%s/state", world->dir);
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
    return flo_sandbox_is_built() && flo_sandbox_lacks() == NULL;
}

enum answer { OPENED, REFUSED, OPENED_MORE, NO_RIGHT };

/* In a child whose /etc has nothing but a link to that file: can the file be
 * read through it in the sandbox, and nothing else next to it? */
static enum answer resolve(const struct world *world, const char *target)
{
    const struct flo_update_job job = {.state_dir = world->state_dir, .memory_bytes_max = 32 << 20};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/etc", "tmpfs", 0, NULL) < 0 || symlink(target, LINK) < 0) {
            _exit(NO_RIGHT);
        }
        if (flo_updater_sandbox_enter(&job, NULL) < 0) {
            _exit(NO_RIGHT);
        }
        _exit(!can_open(LINK) ? REFUSED : can_open(world->private) ? OPENED_MORE : OPENED);
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

/* Next to the certificates that everybody trusts lie the keys of others. */
static void of_the_systems_certificates_no_key_is_read(void **state)
{
    static const char *const folders[] = {
        "/etc/ssl",     "/etc/ssl/certs",     "/etc/ssl/private",    "/etc/pki",
        "/etc/pki/tls", "/etc/pki/tls/certs", "/etc/pki/tls/private"};
    static const struct {
        const char *path;
        bool is_read;
    } files[] = {{"/etc/ssl/certs/ca.pem", true},     {"/etc/ssl/openssl.cnf", true},
                 {"/etc/pki/tls/certs/ca.pem", true}, {"/etc/ssl/private/server.key", false},
                 {"/etc/ssl/server.key", false},      {"/etc/pki/tls/private/server.key", false}};
    struct world *world = *state;
    const struct flo_update_job job = {.state_dir = world->state_dir, .memory_bytes_max = 32 << 20};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (!has_landlock() || unshare(CLONE_NEWNS) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/etc", "tmpfs", 0, NULL) < 0) {
            _exit(NO_RIGHT);
        }
        for (size_t i = 0; i < FLO_COUNT(folders); i++) {
            (void)mkdir(folders[i], 0755);
        }
        for (size_t i = 0; i < FLO_COUNT(files); i++) {
            close(open(files[i].path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        }
        int rv = flo_updater_sandbox_enter(&job, NULL);
        for (size_t i = 0; rv == 0 && i < FLO_COUNT(files); i++) {
            rv = can_open(files[i].path) == files[i].is_read ? 0 : 10 + (int)i;
        }
        _exit(rv);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_RIGHT) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- ways out ---- */

static int enter(void *context)
{
    const struct flo_update_job *job = context;

    return flo_updater_sandbox_enter(job, NULL) == 0 ? 1 : -1;
}

static void nothing_leaves_a_worker(void **state)
{
    struct world *world = *state;
    struct flo_update_job job = {.state_dir = world->state_dir, .memory_bytes_max = 32 << 20};

    if (!has_landlock()) {
        skip();
    }
    assert_int_equal(escapes_try(FROM_UPDATER, enter, &job), 0);
}

/* A file that only root's rights open: another user's, in a job of root's. */
static void a_worker_has_the_right_to_read_where_its_job_needs_it(void **state)
{
    struct world *world = *state;
    char blob[160];
    struct flo_update_job job = {.state_dir = world->state_dir, .memory_bytes_max = 32 << 20};

    if (!has_landlock()) {
        skip();
    }
    assert_int_equal(rights_left(enter, &job), 0);
    job.bundle = world->private;
    assert_int_equal(rights_left(enter, &job), 0);
    if (geteuid() == 0 && chown(world->private, 1, 1) == 0) {
        assert_int_equal(rights_left(enter, &job), (uint64_t)1 << CAP_DAC_READ_SEARCH);
        job.bundle = NULL;
        snprintf(blob, sizeof(blob), "%s/blobs", world->state_dir);
        assert_int_equal(mkdir(blob, 0700), 0);
        snprintf(blob, sizeof(blob), "%s/blobs/sha256-a", world->state_dir);
        assert_int_equal(rename(world->private, blob), 0);
        assert_int_equal(rights_left(enter, &job), (uint64_t)1 << CAP_DAC_READ_SEARCH);
    }
}

/* A device's folder as it is next to a worker. */
static const char *const files[] = {
    "identity/trust.json", "identity/device-a.pem", "identity/other.key", "slots/tiny.bin",
    "blobs/sha256-a",      "partial/a.part",        "packed/sha256-a.b",  "outbox.db"};
enum { TRUST, KEY, OTHER_KEY, SLOTS, BLOB, PART, PACKED, OUTBOX, FILES };

struct device {
    char paths[FILES][160];
    char new_blob[160], prefix[160], envelope[160];
    struct flo_update_job job;
};

static void make_device(const struct world *world, struct device *device)
{
    static const char *const folders[] = {"identity", "slots",  "blobs",   "partial",
                                          "packed",   "prefix", "releases"};
    char path[160];

    for (size_t i = 0; i < FLO_COUNT(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", world->state_dir, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    for (size_t i = 0; i < FILES; i++) {
        snprintf(device->paths[i], sizeof(device->paths[i]), "%s/%s", world->state_dir, files[i]);
        int fd = open(device->paths[i], O_WRONLY | O_CREAT | O_CLOEXEC, i == BLOB ? 0400 : 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    snprintf(device->new_blob, sizeof(device->new_blob), "%s/blobs/sha256-c", world->state_dir);
    snprintf(device->prefix, sizeof(device->prefix), "%s/prefix/sha256-a", world->state_dir);
    snprintf(device->envelope, sizeof(device->envelope), "%s/releases/sha256-a", world->state_dir);
    device->job = (struct flo_update_job){.state_dir = world->state_dir,
                                          .trust_file = device->paths[TRUST],
                                          .key_file = device->paths[KEY],
                                          .memory_bytes_max = 32 << 20};
}

/* 0, or the errno. */
static int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0) {
        return errno;
    }
    close(fd);
    return 0;
}

static int moves(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to) == 0 ? 0 : errno;
}

static int links(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0) == 0 ? 0 : errno;
}

/* To write, by the descriptor of one who reads: 0, or the errno. */
static int opens_again(const char *path, bool is_removed)
{
    char self[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)fchmod(fd, 0600);
    if (is_removed) {
        (void)unlinkat(AT_FDCWD, path, 0);
    }
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    int rv = opens(self, O_RDWR);
    close(fd);
    return rv;
}

static int removes(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0) == 0 ? 0 : errno;
}

/* The number of the first that is not as it should be. */
static int look_around(const struct device *device)
{
    const char(*path)[160] = device->paths;
    const struct {
        bool is_right;
    } looks[] = {
        /* 1: what the work needs */
        {opens(path[TRUST], O_RDONLY) == 0},
        {opens(path[KEY], O_RDONLY) == 0},
        {opens(path[BLOB], O_RDONLY) == 0},
        {opens(path[PART], O_RDWR) == 0},
        {moves(path[PART], device->new_blob) == 0},
        {removes(device->new_blob) == 0},
        {opens("/etc/hosts", O_RDONLY) != EACCES},
        /* 8: what it does not */
        {opens(path[TRUST], O_RDWR) == EACCES},
        {opens(path[KEY], O_WRONLY) == EACCES},
        {opens(path[OTHER_KEY], O_RDONLY) == EACCES},
        {opens(path[SLOTS], O_RDONLY) == EACCES},
        {opens(path[SLOTS], O_RDWR) == EACCES},
        {opens(path[OUTBOX], O_RDONLY) == EACCES},
        {opens(path[PACKED], O_RDWR) == EACCES},
        {removes(path[SLOTS]) == EACCES},
        {removes(path[TRUST]) == EACCES},
        {moves(path[BLOB], path[SLOTS]) != 0},
        {moves(path[TRUST], device->new_blob) != 0},
        {links(path[OTHER_KEY], device->new_blob) != 0},
        {links(path[SLOTS], device->new_blob) != 0},
        {opens("/etc/passwd", O_RDONLY) == EACCES},
        {opens("/proc/self/environ", O_RDONLY) == EACCES},
        {opens("/dev/mem", O_RDONLY) != 0},
        {opens("/tmp/flo-escape", O_WRONLY | O_CREAT) == EACCES},
        /* 25: a finished blob, which is read and removed */
        {opens(path[BLOB], O_RDWR) == EACCES},
        {opens(path[BLOB], O_RDONLY | O_TRUNC) != 0},
        {opens_again(path[BLOB], false) == EACCES},
        {opens(path[BLOB], O_RDWR) == EACCES}, /* of mode 0600 now */
        {opens(path[BLOB], O_WRONLY | O_APPEND) == EACCES},
        {opens(device->new_blob, O_RDWR | O_CREAT) == EACCES},
        {moves(path[BLOB], path[PART]) != 0},
        {moves(path[BLOB], device->prefix) != 0},
        {moves(path[BLOB], device->envelope) != 0},
        {links(path[BLOB], path[PART]) != 0},
        {links(path[BLOB], device->prefix) != 0},
        {moves(path[BLOB], device->new_blob) == 0},
        {opens(device->new_blob, O_RDWR) == EACCES},
        {opens_again(device->new_blob, true) == EACCES},
    };

    for (size_t i = 0; i < FLO_COUNT(looks); i++) {
        if (!looks[i].is_right) {
            return (int)i + 1;
        }
    }
    return 0;
}

static void a_worker_writes_downloads_and_reads_one_key(void **state)
{
    struct world *world = *state;
    struct device device;
    int status = 0;

    if (!has_landlock()) {
        skip();
    }
    make_device(world, &device);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(enter(&device.job) == 1 ? look_around(&device) : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A trusted file's mode is not the worker's to change. */
static void a_worker_closes_files_and_opens_none(void **state)
{
    struct world *world = *state;
    struct device device;
    int status = 0;

    if (!has_landlock()) {
        skip();
    }
    make_device(world, &device);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(device.paths[KEY], O_RDONLY | O_CLOEXEC);
        int rv = enter(&device.job) != 1 ? 99
                 : fchmod(fd, 0644) == 0 ? 1
                 : fchmod(fd, 0400) != 0 ? 2
                                         : 0;
        _exit(rv);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A worker was killed once its files were whole, and closed. */
static void a_worker_goes_on_with_files_that_were_closed(void **state)
{
    struct world *world = *state;
    const struct flo_artifact artifact = {.bytes = 4};
    struct flo_update_job job = {.state_dir = world->state_dir,
                                 .memory_bytes_max = 32 << 20,
                                 .sandbox = FLO_SANDBOX_PREFERRED};
    struct flo_store *store = NULL;
    static const char *const kinds[] = {".part", ".made"};
    struct flo_part *part = NULL;
    char name[FLO_PART_NAME];
    uint64_t done = 0;
    int status = 0, made = -1;

    assert_int_equal(flo_store_open(world->state_dir, false, &store, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        flo_store_part_name(&artifact.digest, kinds[i], name);
        close(openat(store->partial_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0400));
    }
    pid_t pid = fork();
    if (pid == 0) {
        int rv = flo_updater_sandbox_enter(&job, NULL);
        rv = rv < 0 ? rv : flo_part_open(store, &artifact, &part, NULL);
        rv = rv < 0 ? rv : flo_store_made_open(store, &artifact.digest, 4, &made, &done, NULL);
        _exit(rv < 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    flo_store_close(store);
    assert_int_equal(status, 0);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(the_resolver_is_read_where_its_link_leads),
        with_world(of_a_shared_folder_only_the_file_is_read),
        with_world(of_the_systems_certificates_no_key_is_read),
        with_world(nothing_leaves_a_worker),
        with_world(a_worker_has_the_right_to_read_where_its_job_needs_it),
        with_world(a_worker_writes_downloads_and_reads_one_key),
        with_world(a_worker_closes_files_and_opens_none),
        with_world(a_worker_goes_on_with_files_that_were_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
