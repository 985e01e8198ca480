/* A disk that fails: each call of the store to it, one after the other.  A row
 * has the calls of an act; `!` after those whose failure the act tells with the
 * disk's reason, `?` without it, `-` after those that it can do without.  The act
 * succeeds when it is done again. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_world.h"
#include "updater/store/store.h"

enum { CALLS_MAX = 200 };

static unsigned calls, fails_at; /* numbers of calls from 1; 0: nothing is counted or fails */
static bool is_watched;
static const char *names[CALLS_MAX + 1];

/* Counts a call to the disk.  True: it is the one that fails. */
static bool fails(const char *name)
{
    if (!is_watched || calls == CALLS_MAX) {
        return false;
    }
    names[++calls] = name;
    errno = EIO;
    return calls == fails_at;
}

/* In front of the libc's. */
#define FAILING(result, name, parameters, arguments, failed)                                       \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*real) parameters;                                                           \
        if (real == NULL) {                                                                        \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        }                                                                                          \
        return fails(#name) ? failed : real arguments;                                             \
    }
FAILING(ssize_t, read, (int fd, void *data, size_t bytes), (fd, data, bytes), -1)
FAILING(ssize_t, pread, (int fd, void *data, size_t bytes, off_t at), (fd, data, bytes, at), -1)
FAILING(ssize_t, write, (int fd, const void *data, size_t bytes), (fd, data, bytes), -1)
FAILING(ssize_t, pwrite, (int fd, const void *data, size_t bytes, off_t at), (fd, data, bytes, at),
        -1)
FAILING(int, fstat, (int fd, struct stat *out), (fd, out), -1)
FAILING(int, ftruncate, (int fd, off_t bytes), (fd, bytes), -1)
FAILING(int, posix_fallocate, (int fd, off_t at, off_t bytes), (fd, at, bytes), EIO)
FAILING(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
FAILING(int, flock, (int fd, int operation), (fd, operation), -1)
FAILING(int, dup, (int fd), (fd), -1)
FAILING(int, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode), -1)
FAILING(int, unlinkat, (int dir, const char *name, int flags), (dir, name, flags), -1)
FAILING(int, renameat, (int from_dir, const char *from, int to_dir, const char *to),
        (from_dir, from, to_dir, to), -1)
FAILING(int, linkat, (int from_dir, const char *from, int to_dir, const char *to, int flags),
        (from_dir, from, to_dir, to, flags), -1)
FAILING(int, symlinkat, (const char *target, int dir, const char *name), (target, dir, name), -1)

/* These do not wait for the disk. */
int fsync(int fd)
{
    (void)fd;
    return fails("fsync") ? -1 : 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return fails("fdatasync") ? -1 : 0;
}

int openat(int dir, const char *name, int flags, ...)
{
    static int (*real)(int dir, const char *name, int flags, ...);
    va_list more;

    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "openat");
    }
    va_start(more, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0;
    va_end(more);
    return fails("openat") ? -1 : real(dir, name, flags, mode);
}

/* ---- acts ---- */

static struct flo_digest file, id;

static struct flo_slots slots_of(struct world *world)
{
    struct flo_slots slots = {0};

    is_watched = false;
    assert_int_equal(flo_store_slots_read(world->store, "tiny", &slots, &world->err), 0);
    strcpy(slots.model, "tiny");
    is_watched = true;
    return slots;
}

static int puts_a_blob(struct world *world)
{
    return flo_store_blob_put(world->store, "new", 3, &file, &world->err);
}

static int has_a_release(struct world *world)
{
    id = put_stepped_of(world, "tiny", "1.0.0", 1, "content", &file, NULL);
    return 0;
}

static int loads_a_release(struct world *world)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_release *release = calloc(1, sizeof(*release));
    int rv = flo_store_release_load(world->store, &id, release, &world->err);

    flo_release_deinit(release);
    return rv;
}

static int loads_an_envelope(struct world *world)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {.bytes_max = 1 << 20};

    return flo_store_envelope_load(world->store, &id, &text, &world->err);
}

static int opens_verified(struct world *world)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    return flo_store_blob_open_verified(world->store, &file, &fd, NULL, &world->err);
}

static int keeps_a_variant(struct world *world)
{
    struct flo_release_variant variant = {.name = "q4_0"};

    return flo_store_variant_keep(world->store, &id, &variant, NULL, &world->err);
}

static int writes_slots(struct world *world)
{
    struct flo_slots slots = slots_of(world);

    slots.current = id;
    return flo_store_slots_write(world->store, &slots, &world->err);
}

static int reads_slots(struct world *world)
{
    struct flo_slots slots;

    return flo_store_slots_read(world->store, "tiny", &slots, &world->err);
}

static int packs(struct world *world)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    int rv = flo_store_packed_create(world->store, 4096, &fd, &world->err);

    return rv < 0 ? rv : flo_store_packed_publish(world->store, fd, &file, &id, &world->err);
}

static int links(struct world *world)
{
    return flo_store_link_set(world->store, "tiny", "runtime", &id, &world->err);
}

static int links_none(struct world *world)
{
    return flo_store_link_set(world->store, "tiny", "runtime", NULL, &world->err);
}

static int has_linked(struct world *world)
{
    return flo_store_link_done(world->store, "tiny", &world->err);
}

static int looks_at_a_link(struct world *world)
{
    struct flo_link link;

    return flo_store_link_get(world->store, "tiny", &link, &world->err);
}

static int opens_a_tree(struct world *world)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_release *release = calloc(1, sizeof(*release));
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    release->variant_count = release->file_count = 1;
    release->variants[0].file_count = 1;
    release->files[0].digest = file;
    strcpy(release->files[0].name, "a/model.onnx");
    return flo_store_tree_open(world->store, &id, release, &release->variants[0], &fd, &world->err);
}

static int collects(struct world *world)
{
    struct flo_collected collected;

    return flo_store_collect(world->store, NULL, 0, &collected, &world->err);
}

static int shows_assets(struct world *world)
{
    static struct flo_asset_list list;
    char path[256];
    FLO_CLEANUP(flo_fd_cleanup) int folder = -1;

    is_watched = false;
    list.count = 1;
    list.files[0] = (struct flo_asset){.digest = file, .bytes = 7, .name = "a/b.txt"};
    world_path(world, "assets", path);
    assert_int_equal(flo_store_assets_open(path, &folder, &world->err), 0);
    is_watched = true;
    return flo_store_assets_show(world->store, folder, "tiny", &list, &world->err);
}

static int opens_again(struct world *world)
{
    flo_store_close(world->store);
    world->store = NULL;
    return flo_store_open(world->dir, true, &world->store, &world->err);
}

static int writes_the_device(struct world *world)
{
    struct flo_device device = {.epoch = 1};

    return flo_store_device_write(world->store, &device, &world->err);
}

static int reads_the_device(struct world *world)
{
    struct flo_device device;

    return flo_store_device_read(world->store, &device, &world->err);
}

static int lists_models(struct world *world)
{
    char models[FLO_MODELS_MAX][FLO_NAME_MAX + 1];
    size_t count;

    return flo_store_models(world->store, models, FLO_MODELS_MAX, &count, &world->err);
}

static int makes_a_file(struct world *world)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t done;
    int rv = flo_store_made_open(world->store, &id, 4096, &fd, &done, &world->err);

    return rv < 0 ? rv : flo_store_made_publish(world->store, fd, &id, &world->err);
}

static int has_a_part(struct world *world)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t done;

    id = digest_of(9);
    return flo_store_made_open(world->store, &id, 8192, &fd, &done, &world->err);
}

/* ---- each failure ---- */

typedef int act(struct world *world);

static const struct {
    const char *name;
    act *before[3], *act;
    const char *calls;
} rows[] = {
    {"blob",
     {NULL},
     puts_a_blob,
     "openat! posix_fallocate! write! fdatasync! fstat! linkat! unlinkat- fsync!"},
    {"blob that is there", {puts_a_blob}, puts_a_blob, "fstat- pread- pread- fsync!"},
    {"release", {has_a_release}, loads_a_release, "fstat? pread!"},
    {"envelope", {has_a_release}, loads_an_envelope, "fstat? pread!"},
    {"verified", {has_a_release}, opens_verified, "fstat? pread! pread!"},
    {"variant",
     {has_a_release},
     keeps_a_variant,
     "write! fchmod! fdatasync! fstat- linkat! fsync!"},
    {"first slots", {has_a_release}, writes_slots, "write! fdatasync! renameat! fsync!"},
    {"next slots",
     {has_a_release, writes_slots},
     writes_slots,
     "fstat? pread! pread! fdatasync! pwrite! fdatasync!"},
    {"read slots", {has_a_release, writes_slots}, reads_slots, "fstat? pread! pread!"},
    {"packed",
     {has_a_release},
     packs,
     "openat! posix_fallocate! ftruncate! fdatasync! openat- linkat! fsync!"},
    {"link",
     {has_a_release},
     links,
     "mkdirat? fsync! openat! unlinkat- symlinkat! renameat! fsync! unlinkat- "
     "symlinkat! renameat! fsync!"},
    {"no link",
     {has_a_release, links},
     links_none,
     "mkdirat- openat! unlinkat- symlinkat! renameat! fsync! unlinkat! fsync!"},
    {"linked",
     {has_a_release, links},
     has_linked,
     "mkdirat- openat! unlinkat- symlinkat! renameat! fsync!"},
    {"none linked",
     {has_a_release, links, links_none},
     has_linked,
     "mkdirat- openat! unlinkat! fsync!"},
    {"get link", {has_a_release, links}, looks_at_a_link, "openat!"},
    {"tree",
     {has_a_release},
     opens_a_tree,
     "mkdirat? fsync! openat! openat- openat- unlinkat- mkdirat! openat! mkdirat! "
     "linkat! fsync! renameat! fsync! openat!"},
    {"collect",
     {has_a_release, writes_slots},
     collects,
     "openat? fstat? pread! pread! fstat? pread! pread! fdatasync! pwrite! "
     "fdatasync! fstat- pread- openat- openat- openat- openat- openat- openat- "
     "openat- openat- openat-"},
    {"assets",
     {has_a_release},
     shows_assets,
     "openat- openat- unlinkat- mkdirat! openat! fstat! mkdirat! linkat- fstat- "
     "fchmod- fsync- openat! fstat! fchmod! fsync! openat! fstat! fchmod! fsync! "
     "openat- unlinkat- renameat! fsync! unlinkat- symlinkat! renameat! fsync! "
     "openat-"},
    {"open",
     {has_a_release},
     opens_again,
     "fstat! mkdirat! mkdirat! mkdirat! mkdirat! mkdirat! openat- flock! ftruncate- "
     "pwrite- openat- openat- openat-"},
    {"first device", {NULL}, writes_the_device, "write! fdatasync! renameat! fsync!"},
    {"next device",
     {writes_the_device},
     writes_the_device,
     "fstat? pread! pread! fdatasync! pwrite! fdatasync!"},
    {"read device", {writes_the_device}, reads_the_device, "fstat? pread! pread!"},
    {"models", {has_a_release, writes_slots}, lists_models, "openat?"},
    {"made",
     {has_a_release},
     makes_a_file,
     "fstat? posix_fallocate! fchmod! fdatasync! renameat! unlinkat- unlinkat- "
     "fsync! fsync!"},
    {"made of another",
     {has_a_part},
     makes_a_file,
     "fstat? ftruncate! posix_fallocate! fchmod! fdatasync! renameat! unlinkat- "
     "unlinkat- fsync! fsync!"},
};

/* Plays a row with the call `at` failing.  Returns the mark of how the act told it. */
static char told_by(size_t row, unsigned at)
{
    struct world *world;

    assert_int_equal(world_set_up((void **)&world), 0);
    for (size_t i = 0; i < 3 && rows[row].before[i] != NULL; i++) {
        assert_int_equal(rows[row].before[i](world), 0);
        is_watched = false;
    }
    calls = 0;
    fails_at = at;
    is_watched = true;
    int rv = rows[row].act(world);
    char mark = (char)(rv == 0 ? '-' : strstr(world->err.what, strerror(EIO)) != NULL ? '!' : '?');
    is_watched = false;
    fails_at = 0;
    if (rv < 0 && rows[row].act(world) < 0 && rows[row].act != opens_verified) {
        print_error("%s: after a failed %s: %s\n", rows[row].name, names[at], world->err.what);
    }
    is_watched = false;
    assert_int_equal(world_tear_down((void **)&world), 0);
    return mark;
}

static void a_call_that_fails_is_told(void **state)
{
    bool is_good = true;

    (void)state;
    for (size_t row = 0; row < FLO_COUNT(rows); row++) {
        char found[4096] = "";
        assert_int_equal(told_by(row, 0), '-');
        unsigned count = calls;
        assert_true(count < CALLS_MAX);
        for (unsigned at = 1; at <= count; at++) {
            char mark = told_by(row, at);
            size_t chars = strlen(found);
            snprintf(found + chars, sizeof(found) - chars, "%s%s%c", at > 1 ? " " : "", names[at],
                     mark);
        }
        if (strcmp(found, rows[row].calls) != 0) {
            print_error("%s: \"%s\"\n", rows[row].name, found);
            is_good = false;
        }
    }
    assert_true(is_good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_fails_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
