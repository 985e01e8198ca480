/* A PostgreSQL server for one test program (tests/postgresql.sh). */
#ifndef FLOTILLA_TESTS_CLUSTER_H
#define FLOTILLA_TESTS_CLUSTER_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/pg.h"
#include "tests/unit/remove_tree.h"

struct cluster {
    char dir[64];
    char address[160];
    const char *fsync; /* "on", "off" */
    pid_t pid;
};

static inline void cluster_run(struct cluster *cluster)
{
    cluster->pid = fork();
    if (cluster->pid == 0) {
        execl("tests/postgresql.sh", "postgresql.sh", "run", cluster->dir,
              cluster->fsync, (char *)NULL);
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

/* Until it answers; NULL: it does not.  One that was killed leaves processes
 * for a moment, and the next one ends for them. */
static inline struct flo_pg *cluster_connect(struct cluster *cluster)
{
    static const char *const greeting[] = {NULL};
    struct flo_pg *pg = NULL;

    for (int i = 0; i < 300; i++) {
        if (flo_pg_open(cluster->address, greeting, &pg, NULL) == 0) {
            return pg;
        }
        if (waitpid(cluster->pid, NULL, WNOHANG) == cluster->pid) {
            cluster_run(cluster);
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    char command[160];
    snprintf(command, sizeof(command), "tail -20 %s/server.log >&2",
             cluster->dir);
    (void)!system(command);
    return NULL;
}

/* 0; 77: there is no server here. */
static inline int cluster_start(struct cluster *cluster)
{
    char command[160];

    snprintf(cluster->dir, sizeof(cluster->dir), "/tmp/flotilla-pg-XXXXXX");
    if (mkdtemp(cluster->dir) == NULL) {
        return 1;
    }
    snprintf(cluster->address, sizeof(cluster->address),
             "postgresql:///postgres?host=%s&user=flotilla", cluster->dir);
    snprintf(command, sizeof(command), "tests/postgresql.sh init %s",
             cluster->dir);
    int status = system(command);
    if (status == 0) {
        cluster_run(cluster);
        struct flo_pg *pg = cluster_connect(cluster);
        status = pg == NULL;
        flo_pg_close(pg);
    } else if (WIFEXITED(status)) {
        status = WEXITSTATUS(status);
    }
    return status;
}

static inline void cluster_stop(struct cluster *cluster)
{
    cluster_kill(cluster, SIGINT);
    (void)!remove_tree(cluster->dir);
}

/* A statement without an answer. */
static inline void cluster_tell(struct cluster *cluster, const char *sql)
{
    struct flo_pg *pg = cluster_connect(cluster);
    struct flo_err err = {0};

    assert_non_null(pg);
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

    assert_non_null(pg);
    assert_int_equal(flo_pg_query(pg, sql, FLO_DB_NONE, &rows, NULL), 0);
    int64_t number = flo_pg_number(rows, 0, 0);
    flo_pg_rows_free(rows);
    flo_pg_close(pg);
    return number;
}

/* An empty database. */
static inline void cluster_clean(struct cluster *cluster)
{
    cluster_tell(cluster, "DROP SCHEMA public CASCADE");
    cluster_tell(cluster, "CREATE SCHEMA public");
}

#endif
