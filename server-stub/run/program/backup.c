/* Backup: copies a controller's folder while the controller runs. */
#include "server-stub/run/program/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>
#include <flotilla/plural.h>

#include "base/given.h"
#include "server-stub/store/sqlite/sqlite.h"

enum { TRIES = 5, PATH_BYTES = 4096, PIECE = 1 << 30 };

struct done {
    uint64_t files, bytes; /* copied */
    /* control.db has the tables; false: they are in PostgreSQL, and are not
     * copied */
    bool has_tables;
};

struct copying {
    const char *from, *to; /* `to` is TO.part */
    struct done *out;
    uint64_t stamp; /* number made from the stamps of all small files; it
                       changes when any of them changes */
    bool only_looks;
};

/* ---- one file, one folder ---- */

/* Gives a copy that root made to the owner of the original file or folder.
 * Other users own their copies anyway.  The top folder stays root's until it is
 * complete, so that nobody can move names inside. */
static int give(const char *path, const struct stat *like, struct flo_err *err)
{
    if (geteuid() == 0 && lchown(path, like->st_uid, like->st_gid) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "give %s to its owner", path);
    }
    return 0;
}

static int send_all(int from, int to, const char *path, uint64_t *bytes, struct flo_err *err)
{
    ssize_t sent;

    while ((sent = sendfile(to, from, NULL, PIECE)) > 0) {
        *bytes += (uint64_t)sent;
    }
    if (sent < 0 || fsync(to) < 0) {
        int code = errno == ENOSPC || errno == EDQUOT ? FLO_E_DISK_FULL : FLO_E_IO_WRITE;
        return flo_fail_errno(err, code, "copy to %s", path);
    }
    return 0;
}

/* Copies a file.  A file that was deleted since its folder was listed is
 * skipped.  The folder belongs to the controller's user, who may put a link there
 * at any time, and root reads it: so the file is opened beneath it. */
static int copy_file(struct copying *copying, const char *from, const char *to, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int in = -1;
    FLO_CLEANUP(flo_fd_cleanup) int out = -1;
    struct stat st = {0};
    int rv = flo_given_open(copying->from, from + strlen(copying->from) + 1, &in, err);

    if (rv < 0) {
        return rv == FLO_E_ABSENT ? 0 : rv;
    }
    if (fstat(in, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", from);
    }
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
    if (out < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", to);
    }
    FLO_TRY(give(to, &st, err));
    FLO_TRY(send_all(in, out, to, &copying->out->bytes, err));
    copying->out->files++;
    return 0;
}

static int copy_folder(const struct stat *st, const char *to, struct flo_err *err)
{
    return mkdir(to, st->st_mode & 0777) < 0 ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s", to)
                                             : give(to, st, err);
}

/* ---- a part of the folder ---- */

/* Returns a number that changes when the file is written, replaced, added or
 * removed. */
static uint64_t stamp_of(const struct stat *st)
{
    uint64_t sum = st->st_ino * UINT64_C(0x9e3779b97f4a7c15);

    sum ^= (uint64_t)st->st_mtim.tv_sec * 1000000007U;
    sum += (uint64_t)st->st_mtim.tv_nsec * 31 + (uint64_t)st->st_size;
    return sum * UINT64_C(0xbf58476d1ce4e5b9);
}

/* Writes the paths of `name` in both folders. */
static int join(const char *from, const char *to, const char *name, char from_out[PATH_BYTES],
                char to_out[PATH_BYTES], struct flo_err *err)
{
    return flo_path_join(from_out, PATH_BYTES, from, name) &&
                   flo_path_join(to_out, PATH_BYTES, to, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "%s is too long", from);
}

static int copy_part(struct copying *copying, const char *from, const char *to,
                     struct flo_err *err);

static int copy_entries(struct copying *copying, const char *from, const char *to,
                        struct flo_err *err)
{
    char below[PATH_BYTES], copy[PATH_BYTES];
    DIR *dir = opendir(from);
    const struct dirent *entry;
    int rv = 0;

    if (dir == NULL) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", from);
    }
    while (rv == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        rv = join(from, to, entry->d_name, below, copy, err);
        if (rv == 0) {
            rv = copy_part(copying, below, copy, err);
        }
    }
    closedir(dir);
    FLO_TRY(rv);
    return copying->only_looks ? rv : flo_dir_sync(to, err);
}

/* Copies a file, or a folder with its content.  A missing one is ignored. */
static int copy_part(struct copying *copying, const char *from, const char *to, struct flo_err *err)
{
    struct stat st;

    if (lstat(from, &st) < 0) {
        return errno == ENOENT ? 0 : flo_fail_errno(err, FLO_E_IO_READ, "%s", from);
    }
    if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) {
        copying->stamp += stamp_of(&st);
        return copying->only_looks ? 0 : copy_file(copying, from, to, err);
    }
    if (!S_ISDIR(st.st_mode)) {
        return 0;
    }
    FLO_TRY(copying->only_looks ? 0 : copy_folder(&st, to, err));
    return copy_entries(copying, from, to, err);
}

static int copy_named(struct copying *copying, const char *name, struct flo_err *err)
{
    char from[PATH_BYTES], to[PATH_BYTES];

    FLO_TRY(join(copying->from, copying->to, name, from, to, err));
    return copy_part(copying, from, to, err);
}

/* ---- a database ---- */

static int copy_database(struct copying *copying, const char *name, bool *is_there,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char from[PATH_BYTES], to[PATH_BYTES];
    struct stat st;

    FLO_TRY(join(copying->from, copying->to, name, from, to, err));
    /* The file is looked for first, because opening it would create a missing
     * one. */
    int rv = flo_given_open(copying->from, name, &fd, err);
    *is_there = rv == 0;
    if (rv < 0) {
        return rv == FLO_E_ABSENT ? 0 : rv;
    }
    if (fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", from);
    }
    flo_fd_cleanup(&fd); /* before SQLite takes locks, which a close would drop */
    if (snprintf(from, sizeof(from), "%s" FLO_GIVEN_MARK "%s", copying->from, name) >= PATH_BYTES) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s is too long", copying->from);
    }
    FLO_TRY(flo_sqlite_copy(from, to, err));
    FLO_TRY(give(to, &st, err));
    if (stat(to, &st) == 0) {
        copying->out->files++;
        copying->out->bytes += (uint64_t)st.st_size;
    }
    return 0;
}

/* ---- the whole ---- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

static int remove_whole(const char *path, struct flo_err *err)
{
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT
               ? flo_fail_errno(err, FLO_E_IO_WRITE, "remove %s", path)
               : 0;
}

static int make_place(const struct copying *copying, struct flo_err *err)
{
    FLO_TRY(remove_whole(copying->to, err));
    return mkdir(copying->to, 0700) < 0 ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s", copying->to)
                                        : 0;
}

/* Copies the small files that belong to the tables. */
static int copy_small(struct copying *copying, struct flo_err *err)
{
    static const char *const names[] = {"keys", "pki", "trust", "admin.token"};
    int rv = 0;

    copying->stamp = 0;
    for (size_t i = 0; i < FLO_COUNT(names) && rv == 0; i++) {
        rv = copy_named(copying, names[i], err);
    }
    return rv;
}

/* Copies keys and tables as of one moment.  The copy is repeated if a small
 * file changed meanwhile. */
static int copy_moment(struct copying *copying, struct flo_err *err)
{
    for (int i = 0; i < TRIES; i++) {
        *copying->out = (struct done){0};
        FLO_TRY(make_place(copying, err));
        /* This file is copied first, so that the audit's checkpoint is older
         * than the copied table. */
        int rv = copy_named(copying, "audit.head", err);
        if (rv == 0) {
            rv = copy_small(copying, err);
        }
        if (rv == 0) {
            rv = copy_database(copying, "control.db", &copying->out->has_tables, err);
        }
        uint64_t before = copying->stamp;
        if (rv == 0) {
            copying->only_looks = true;
            rv = copy_small(copying, err);
            copying->only_looks = false;
        }
        FLO_TRY(rv);
        if (copying->stamp == before) {
            return rv;
        }
    }
    return flo_fail(err, FLO_E_STATE_LOCKED,
                    "keys or authorities in %s changed in each of %d tries", copying->from, TRIES);
}

static int finish(const struct copying *copying, const char *to, struct flo_err *err)
{
    char parent[PATH_BYTES];
    struct stat st;
    int rv = flo_dir_sync(copying->to, err);

    if (rv == 0 && (stat(copying->from, &st) < 0 || rename(copying->to, to) < 0)) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", to);
    }
    if (rv == 0) {
        rv = give(to, &st, err);
    }
    snprintf(parent, sizeof(parent), "%s", to);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        snprintf(parent, sizeof(parent), ".");
    } else {
        slash[slash == parent] = '\0';
    }
    FLO_TRY(rv);
    return flo_dir_sync(parent, err);
}

static int check_places(const char *from, const char *to, struct flo_err *err)
{
    char path[PATH_BYTES];
    struct stat st;

    if (!flo_path_join(path, sizeof(path), from, "pki") || stat(path, &st) < 0) {
        flo_fail(err, FLO_E_ABSENT, "%s is no folder of a controller", from);
        return flo_err_fix(err, "name the folder of --data of its service");
    }
    if (lstat(to, &st) == 0) {
        flo_fail(err, FLO_E_IO_OPEN, "%s is there already", to);
        return flo_err_fix(err, "name a new folder for each backup");
    }
    return 0;
}

/* Copies the controller's folder `from` to the folder `to`, which must not
 * exist.
 *
 * The copy has keys and authorities, trust, the audit's head, control.db and
 * the blobs, and with has_telemetry telemetry.db.  Everything is of one moment,
 * except that blobs may be newer.  `to` appears complete and synced, or not at
 * all.  The copy is made as TO.part; one that an interrupted backup left is
 * removed first.  Copies made by root belong to the owners of the originals.
 *
 * FLO_E_IO_OPEN       `to` exists already
 * FLO_E_ABSENT        `from` is no controller's folder
 * FLO_E_DB_DAMAGED    control.db is damaged
 * FLO_E_STATE_LOCKED  keys or authorities change all the time */
static int make(const char *from, const char *to, bool has_telemetry, struct done *out,
                struct flo_err *err)
{
    char part[PATH_BYTES];
    struct copying copying = {.from = from, .to = part, .out = out};
    bool is_there;
    int rv = check_places(from, to, err);

    if (rv == 0 && (size_t)snprintf(part, sizeof(part), "%s.part", to) >= sizeof(part)) {
        rv = flo_fail(err, FLO_E_IO_OPEN, "%s is too long", to);
    }
    FLO_TRY(rv);
    rv = copy_moment(&copying, err);
    /* The blobs are copied after the tables, so that all blobs which the tables
     * name are there. */
    if (rv == 0) {
        rv = copy_named(&copying, "blobs", err);
    }
    if (rv == 0 && has_telemetry) {
        rv = copy_database(&copying, "telemetry.db", &is_there, err);
    }
    if (rv == 0) {
        rv = finish(&copying, to, err);
    }
    if (rv < 0) {
        (void)remove_whole(part, NULL);
    }
    return rv;
}

/* ---- command line ---- */

static struct {
    struct flo_args args;
    const char *data;
    bool has_telemetry;
} line;

static int run(void *state, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *from = realpath(line.data, NULL);
    struct done done;
    char to[PATH_BYTES];

    (void)state;
    umask(077);
    snprintf(to, sizeof(to), "%s", line.args.words[0]);
    for (size_t i = strlen(to); i > 1 && to[i - 1] == '/'; i--) {
        to[i - 1] = '\0';
    }
    FLO_TRY(make(from != NULL ? from : line.data, to, line.has_telemetry, &done, err));
    printf("%s: %llu file%s, %llu bytes\n", to, (unsigned long long)done.files, flo_s(done.files),
           (unsigned long long)done.bytes);
    if (!done.has_tables) {
        fputs("the tables are in PostgreSQL: pg_dump them now, too\n", stderr);
    }
    return 0;
}

static const struct flo_flag flags[] = {
    {"data", "DIR", "the controller's folder", FLO_TEXT(typeof(line), data), .is_needed = true},
    {"telemetry", NULL, "the measurements behind the charts, too",
     FLO_SWITCH(typeof(line), has_telemetry)},
    FLO_FLAGS_END,
};

const struct flo_verb flo_verb_backup = {
    .name = "backup",
    .usage = "TO --data DIR [--telemetry]",
    .help = "copy the folder of a controller, which may work, to a new folder",
    .flags = {flags},
    .state = &line,
    .run = run,
    .example = "/backup/monday --data /var/lib/flotilla-controller",
    .more = "TO appears whole or not at all.  The same command begins again after "
            "an\ninterruption, and removes TO.part.  Whoever reads TO can enrol devices and "
            "sign\norders.  docs/runbook.md, \"Database from a backup\", "
            "has the way back.\n",
};
