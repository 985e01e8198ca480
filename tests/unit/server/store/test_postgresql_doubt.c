/* PostgreSQL: a commit whose answer does not come.
 *
 * A relay between store and server holds answers back; the server goes on. */
#define OVER_POSTGRESQL
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "server-stub/store/lead.h"
#include "tests/unit/server/store/store.h"

#define WAIT_MS 60000

/* ---- the relay ---- */

static atomic_bool holds; /* answers */
static int listener = -1;
static char relay_dir[64];

struct way {
    int from, to;
    bool is_answers;
};

static void *carry(void *context)
{
    struct way way = *(struct way *)context;
    char bytes[8192];
    ssize_t count;

    free(context);
    while ((count = read(way.from, bytes, sizeof(bytes))) > 0) {
        while (way.is_answers && atomic_load(&holds)) {
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        }
        if (send(way.to, bytes, (size_t)count, MSG_NOSIGNAL) != count) {
            break;
        }
    }
    shutdown(way.from, SHUT_RDWR);
    shutdown(way.to, SHUT_RDWR);
    return NULL;
}

static void start_way(int from, int to, bool is_answers)
{
    struct way *way = malloc(sizeof(*way));
    pthread_t thread;

    *way = (struct way){from, to, is_answers};
    assert_int_equal(pthread_create(&thread, NULL, carry, way), 0);
    pthread_detach(thread);
}

static struct sockaddr_un socket_in(const char *dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432",
             dir);
    return address;
}

static void *accept_all(void *context)
{
    int one;

    (void)context;
    while ((one = accept(listener, NULL, NULL)) >= 0) {
        /* Not before: this thread may be there before the server's folder. */
        struct sockaddr_un to = socket_in(cluster.dir);
        int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(other, (struct sockaddr *)&to, sizeof(to)) < 0) {
            close(one);
            close(other);
            continue;
        }
        start_way(one, other, false);
        start_way(other, one, true);
    }
    return NULL;
}

static void relay_begin(void)
{
    struct sockaddr_un at;
    pthread_t thread;

    snprintf(relay_dir, sizeof(relay_dir), "/tmp/flotilla-relay-XXXXXX");
    assert_non_null(mkdtemp(relay_dir));
    at = socket_in(relay_dir);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(pthread_create(&thread, NULL, accept_all, NULL), 0);
    pthread_detach(thread);
}

/* ---- the store behind it ---- */

static struct flo_fleet_store *open_behind(uint64_t epoch)
{
    struct flo_fleet_store *store = NULL;
    struct flo_err err = {0};
    char address[160];

    snprintf(address, sizeof(address),
             "postgresql:///postgres?host=%s&user=flotilla", relay_dir);
    if (flo_fleet_open(address, epoch, &store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return store;
}

/* Epoch 7 of a lease. */
static struct flo_fleet_store *lead(void)
{
    cluster_clean(&cluster);
    flo_fleet_close(open_behind(0));
    cluster_tell(&cluster, "UPDATE flotilla_lease SET epoch = 7, held = 1");
    return open_behind(7);
}

static int change(struct flo_fleet_store *store, const char *value,
                  struct flo_err *err)
{
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", value, err), 0);
    return flo_fleet_commit(store, err);
}

/* The answer once the server can be heard again. */
static int begin_then(struct flo_fleet_store *store, struct flo_err *err)
{
    uint64_t until_ms = flo_now_ms() + WAIT_MS;
    int rv;

    do {
        rv = flo_fleet_begin(store, err);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    } while (rv == FLO_E_DB_UNREACHABLE && flo_now_ms() < until_ms);
    return rv;
}

static void a_commit_that_stands_unheard_ends_the_epoch(void **state)
{
    struct flo_fleet_store *store = lead();
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(change(store, "1", &err), 0);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    uint64_t begin_ms = flo_now_ms();
    atomic_store(&holds, true);
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB_UNREACHABLE);
    assert_in_range(flo_now_ms() - begin_ms, 0, 60000);
    flo_fleet_roll_back(store);
    begin_ms = flo_now_ms();
    assert_int_equal(flo_fleet_begin(store, &err), FLO_E_DB_UNREACHABLE);
    assert_in_range(flo_now_ms() - begin_ms, 0, 5000);

    atomic_store(&holds, false);

    assert_int_equal(begin_then(store, &err), FLO_E_STATE_SUPERSEDED);
    assert_int_equal(
        cluster_number(&cluster, "SELECT epoch FROM flotilla_lease"), 8);
    assert_int_equal(cluster_number(&cluster,
                                    "SELECT count(*) FROM setting"
                                    " WHERE name = 'a' AND value = '2'"),
                     1);
    assert_int_equal(flo_fleet_begin(store, &err), FLO_E_STATE_SUPERSEDED);
    flo_fleet_close(store);
}

/* It goes on with what it remembers, and the number is used again. */
static void a_commit_that_never_came_leaves_the_epoch(void **state)
{
    struct flo_fleet_store *store = lead();
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(change(store, "1", &err), 0);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    struct flo_pg *other = cluster_connect(&cluster);
    /* A transaction of somebody else holds the row. */
    assert_int_equal(flo_pg_run(other, "BEGIN", FLO_DB_NONE, NULL, NULL), 0);
    assert_int_equal(flo_pg_run(other, "UPDATE flotilla_lease SET n = n",
                                FLO_DB_NONE, NULL, NULL),
                     0);
    atomic_store(&holds, true);
    assert_true(flo_fleet_commit(store, &err) < 0);
    flo_fleet_roll_back(store);
    atomic_store(&holds, false);
    assert_int_equal(flo_pg_run(other, "ROLLBACK", FLO_DB_NONE, NULL, NULL), 0);
    flo_pg_close(other);

    assert_int_equal(begin_then(store, &err), 0);

    flo_fleet_roll_back(store);
    assert_int_equal(
        cluster_number(&cluster, "SELECT epoch FROM flotilla_lease"), 7);
    assert_int_equal(cluster_number(&cluster,
                                    "SELECT count(*) FROM setting"
                                    " WHERE name = 'a' AND value = '1'"),
                     1);
    assert_int_equal(change(store, "3", &err), 0);
    flo_fleet_close(store);
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
    struct flo_fleet_store *store = lead();
    struct flo_err err = {0};
    char value[8];

    (void)state;
    begin(store);
    uint64_t begin_ms = flo_now_ms();
    atomic_store(&holds, true);
    assert_int_equal(
        flo_fleet_setting_get(store, "a", value, sizeof(value), &err),
        FLO_E_DB_UNREACHABLE);
    assert_in_range(flo_now_ms() - begin_ms, 1000, 60000);
    assert_non_null(strstr(err.what, "no answer within"));
    flo_fleet_roll_back(store);
    for (int i = 0; i < 3; i++) {
        begin_ms = flo_now_ms();
        assert_int_equal(flo_fleet_begin(store, &err), FLO_E_DB_UNREACHABLE);
        assert_in_range(flo_now_ms() - begin_ms, 0, 5000);
    }
    atomic_store(&holds, false);
    assert_int_equal(begin_then(store, &err), 0);
    flo_fleet_roll_back(store);
    flo_fleet_close(store);
}

/* ---- somebody else knows that the server is gone ---- */

struct word {
    bool statements, commits; /* they are waited for */
};

static bool say_word(void *context, bool is_commit)
{
    const struct word *word = context;

    return is_commit ? word->commits : word->statements;
}

static void a_statement_ends_when_the_server_is_said_to_be_gone(void **state)
{
    struct flo_fleet_store *store = lead();
    struct word word = {.statements = true, .commits = true};
    struct flo_err err = {0};
    char value[8];

    (void)state;
    flo_fleet_heed(store, say_word, &word);
    assert_int_equal(change(store, "1", &err), 0);
    word.statements = false; /* while it answers, nobody asks */
    assert_int_equal(change(store, "2", &err), 0);
    begin(store);
    uint64_t begin_ms = flo_now_ms();
    atomic_store(&holds, true);
    assert_int_equal(
        flo_fleet_setting_get(store, "a", value, sizeof(value), &err),
        FLO_E_DB_UNREACHABLE);
    uint64_t took_ms = flo_now_ms() - begin_ms;
    print_message("a statement was given up after %llu ms\n",
                  (unsigned long long)took_ms);
    assert_in_range(took_ms, 1000, 5000); /* 6000 without the word */
    flo_fleet_roll_back(store);
    atomic_store(&holds, false);
    assert_int_equal(begin_then(store, &err), 0);
    flo_fleet_roll_back(store);
    assert_int_equal(
        cluster_number(&cluster, "SELECT epoch FROM flotilla_lease"), 7);
    flo_fleet_close(store);
}

/* The word about statements does not end it; and it stands. */
static void a_commit_is_waited_for_while_it_is_led(void **state)
{
    struct flo_fleet_store *store = lead();
    struct word word = {.commits = true};
    struct flo_err err = {0};

    (void)state;
    flo_fleet_heed(store, say_word, &word);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    uint64_t begin_ms = flo_now_ms();
    atomic_store(&holds, true);
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB_UNREACHABLE);
    assert_in_range(flo_now_ms() - begin_ms, 6000, 60000);
    flo_fleet_roll_back(store);
    atomic_store(&holds, false);
    word = (struct word){true, true};
    assert_int_equal(begin_then(store, &err), FLO_E_STATE_SUPERSEDED);
    flo_fleet_close(store);
}

static void a_commit_given_up_with_the_lease_is_settled_later(void **state)
{
    struct flo_fleet_store *store = lead();
    struct word word = {.commits = false};
    struct flo_err err = {0};

    (void)state;
    flo_fleet_heed(store, say_word, &word);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    uint64_t begin_ms = flo_now_ms();
    atomic_store(&holds, true);
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB_UNREACHABLE);
    uint64_t took_ms = flo_now_ms() - begin_ms;
    print_message("a commit was given up after %llu ms\n",
                  (unsigned long long)took_ms);
    assert_in_range(took_ms, 1000, 5000); /* 6000 and 2000 without the word */
    assert_non_null(strstr(err.what, "whether a commit ended well"));
    flo_fleet_roll_back(store);
    atomic_store(&holds, false);
    word = (struct word){true, true};

    /* The server had taken it: nobody says that it failed. */
    assert_int_equal(begin_then(store, &err), FLO_E_STATE_SUPERSEDED);
    assert_int_equal(
        cluster_number(&cluster, "SELECT epoch FROM flotilla_lease"), 8);
    assert_int_equal(cluster_number(&cluster,
                                    "SELECT count(*) FROM setting"
                                    " WHERE name = 'a' AND value = '2'"),
                     1);
    flo_fleet_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_that_stands_unheard_ends_the_epoch),
        cmocka_unit_test(a_commit_that_never_came_leaves_the_epoch),
        cmocka_unit_test(a_server_that_says_nothing_is_given_up),
        cmocka_unit_test(a_statement_ends_when_the_server_is_said_to_be_gone),
        cmocka_unit_test(a_commit_is_waited_for_while_it_is_led),
        cmocka_unit_test(a_commit_given_up_with_the_lease_is_settled_later),
    };

    flo_log_level_set(FLO_LOG_ERROR);
    relay_begin();
    int rv = run_over_all("doubt", tests, FLO_COUNT(tests));
    close(listener);
    (void)!remove_tree(relay_dir);
    return rv;
}
