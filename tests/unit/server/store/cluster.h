/* A PostgreSQL for one test program (tests/postgresql.sh): an empty database of
 * the build tree's server, or a server of its own. */
#ifndef FLOTILLA_TESTS_CLUSTER_H
#define FLOTILLA_TESTS_CLUSTER_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/pg.h"
#include "tests/unit/remove_tree.h"
#include "tests/unit/waits.h"

#ifndef FLOTILLA_BUILD /* the build tree, of CMakeLists.txt */
#define FLOTILLA_BUILD "build"
#endif

struct cluster {
    char dir[64]; /* of the server's socket */
    char database[32];
    char address[224];
    const char *fsync; /* of a server of its own: "on", "off" */
    pid_t pid;         /* of such a server */
    int users;         /* lock, of the shared one */
};

/* A slow server is no server that is gone. */
static inline void cluster_address(const struct cluster *cluster, const char *dir, char *out,
                                   size_t bytes)
{
    snprintf(out, bytes, "postgresql:///%s?host=%s&user=flotilla&connect_timeout=%d",
             cluster->database, dir, WAITS_HANG_S);
}

static inline void cluster_name(struct cluster *cluster, const char *database)
{
    snprintf(cluster->database, sizeof(cluster->database), "%s", database);
    cluster_address(cluster, cluster->dir, cluster->address, sizeof(cluster->address));
}

/* The script's exit code. */
static inline int cluster_script(const char *what, const char *dir)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execl("tests/postgresql.sh", "postgresql.sh", what, dir, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static inline void cluster_run(struct cluster *cluster)
{
    cluster->pid = fork();
    if (cluster->pid == 0) {
        execl("tests/postgresql.sh", "postgresql.sh", "run", cluster->dir, cluster->fsync,
              (char *)NULL);
        _exit(127);
    }
}

static inline void cluster_kill(struct cluster *cluster, int signal)
{
    if (cluster->pid > 0) {
        kill(cluster->pid, signal);
        waitpid(cluster->pid, NULL, 0);
    }
    cluster->pid = 0;
}

/* One that was killed leaves processes for a moment, and the next one ends for
 * them. */
static inline bool cluster_answers(struct cluster *cluster, struct flo_pg **out)
{
    static const char *const greeting[] = {NULL};

    if (cluster->pid > 0 && waitpid(cluster->pid, NULL, WNOHANG) == cluster->pid) {
        cluster_run(cluster);
    }
    return flo_pg_open(cluster->address, greeting, out, NULL) == 0;
}

static inline struct flo_pg *cluster_connect(struct cluster *cluster)
{
    struct flo_pg *pg = NULL;

    WAIT_UNTIL(cluster_answers(cluster, &pg));
    return pg;
}

/* A statement without an answer. */
static inline void cluster_tell(struct cluster *cluster, const char *sql)
{
    struct flo_pg *pg = cluster_connect(cluster);
    struct flo_err err = {0};

    if (flo_pg_run(pg, sql, FLO_DB_NONE, NULL, &err) < 0) {
        fail_msg("%.80s: %s", sql, err.what);
    }
    flo_pg_close(pg);
}

/* The first column of the first row. */
static inline int64_t cluster_number(struct cluster *cluster, const char *sql)
{
    struct flo_pg *pg = cluster_connect(cluster);
    struct flo_pg_rows *rows = NULL;

    assert_int_equal(flo_pg_query(pg, sql, FLO_DB_NONE, &rows, NULL), 0);
    int64_t number = flo_pg_number(rows, 0, 0);
    flo_pg_rows_free(rows);
    flo_pg_close(pg);
    return number;
}

/* A server of its own, which may be killed.  0; 77: there is none here. */
static inline int cluster_start(struct cluster *cluster)
{
    cluster->users = -1;
    snprintf(cluster->dir, sizeof(cluster->dir), "/tmp/flotilla-pg-XXXXXX");
    setenv("FLOTILLA_BUILD", FLOTILLA_BUILD, 1);
    if (mkdtemp(cluster->dir) == NULL) {
        return 1;
    }
    cluster_name(cluster, "postgres");
    int status = cluster_script("init", cluster->dir);
    if (status == 0) {
        cluster_run(cluster);
        flo_pg_close(cluster_connect(cluster));
    }
    return status;
}

static inline bool cluster_read_dir(struct cluster *cluster, const char *place)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    char path[512];
    size_t bytes;

    snprintf(path, sizeof(path), "%s/dir", place);
    if (flo_file_read(path, sizeof(cluster->dir), &text, &bytes, NULL) < 0) {
        return false;
    }
    snprintf(cluster->dir, sizeof(cluster->dir), "%.*s", (int)strcspn(text, "\n"), text);
    return true;
}

/* The lock that keeps the shared server; -1: the build tree is another's. */
static inline int cluster_lock(const char *place)
{
    char path[512];

    (void)mkdir(place, 0777);
    snprintf(path, sizeof(path), "%s/users", place);
    int users = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (users >= 0) {
        WAIT_UNTIL(flock(users, LOCK_SH | LOCK_NB) == 0);
    }
    return users;
}

/* A database of the shared server; one of its own where that cannot be. */
static inline int cluster_share(struct cluster *cluster)
{
    char place[448];
    char name[32];
    char sql[96];
    uint64_t number;

    setenv("FLOTILLA_BUILD", FLOTILLA_BUILD, 1);
    snprintf(place, sizeof(place), FLOTILLA_BUILD "/postgresql-%u", (unsigned)getuid());
    cluster->users = cluster_lock(place);
    if (cluster->users < 0) {
        return cluster_start(cluster);
    }
    int status = cluster_script("share", NULL);
    if (status != 0) {
        return status;
    }
    if (!cluster_read_dir(cluster, place)) {
        return 1;
    }
    flo_random(&number, sizeof(number));
    cluster_name(cluster, "postgres");
    snprintf(name, sizeof(name), "test_%llx", (unsigned long long)number);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE template0", name);
    cluster_tell(cluster, sql);
    cluster_name(cluster, name);
    return 0;
}

static inline void cluster_stop(struct cluster *cluster)
{
    char sql[96];

    if (cluster->users < 0) {
        cluster_kill(cluster, SIGINT);
        (void)!remove_tree(cluster->dir);
        return;
    }
    if (cluster->database[0] != '\0') {
        snprintf(sql, sizeof(sql), "DROP DATABASE %s WITH (FORCE)", cluster->database);
        cluster_name(cluster, "postgres");
        cluster_tell(cluster, sql);
    }
    close(cluster->users);
}

/* All tables, if there are any, as they are in a new database: much faster than
 * to make them. */
static inline void cluster_empty(struct cluster *cluster)
{
    cluster_tell(cluster, "DO $$ DECLARE name text; BEGIN"
                          " IF to_regclass('flotilla_lease') IS NULL THEN RETURN; END IF;"
                          " FOR name IN SELECT tablename FROM pg_tables WHERE schemaname ="
                          " 'public' AND tablename NOT IN ('flotilla_schema', 'flotilla_lease')"
                          " LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;"
                          " FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname ="
                          " 'public' AND last_value IS NOT NULL"
                          " LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', name); END LOOP;"
                          " UPDATE flotilla_lease SET epoch = 0, beat = 0, held = 0, n = 0,"
                          " holder = '', people = '', devices = '', authority = ''; END $$");
}

/* A database without tables. */
static inline void cluster_clean(struct cluster *cluster)
{
    cluster_tell(cluster, "DROP SCHEMA public CASCADE");
    cluster_tell(cluster, "CREATE SCHEMA public");
}

/* Sessions of that name on this database. */
static inline int64_t cluster_sessions(struct cluster *cluster, const char *name)
{
    char sql[192];

    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM pg_stat_activity WHERE application_name ="
             " '%s' AND datname = current_database()"
             " AND pid <> pg_backend_pid()",
             name);
    return cluster_number(cluster, sql);
}

/* Returns when they have ended. */
static inline void cluster_end_sessions(struct cluster *cluster, const char *name)
{
    char sql[224];

    snprintf(sql, sizeof(sql),
             "SELECT pg_terminate_backend(pid, %d) FROM pg_stat_activity"
             " WHERE application_name = '%s' AND datname = current_database()"
             " AND pid <> pg_backend_pid()",
             WAITS_HANG_S * 1000, name);
    cluster_tell(cluster, sql);
}

#endif
