/* PostgreSQL: a commit whose answer does not come.
 *
 * A relay between store and server holds answers back; the server goes on.  A
 * limit that shall end a wait is short, and all others are a hang. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/state.h>

#include "server-stub/store/lead.h"
#include "tests/unit/server/store/store.h"

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
            waits_pause();
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

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432", dir);
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

#define PATIENT ((struct flo_postgresql_limits)PATIENT_LIMITS)
static struct flo_postgresql_limits limits;

static struct flo_fleet_store *open_behind(uint64_t epoch)
{
    struct flo_fleet_store *store = NULL;
    struct flo_err err = {0};
    char address[224];

    cluster_address(&cluster, relay_dir, address, sizeof(address));
    if (open_postgresql(address, epoch, &limits, &store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return store;
}

/* Epoch 7 of a lease. */
static struct flo_fleet_store *lead_within(uint64_t lock_ms)
{
    limits = PATIENT;
    limits.lock_ms = lock_ms;
    cluster_empty(&cluster);
    flo_fleet_close(open_behind(0));
    cluster_tell(&cluster, "UPDATE flotilla_lease SET epoch = 7, held = 1");
    return open_behind(7);
}

static struct flo_fleet_store *lead(void)
{
    return lead_within(HANG_MS);
}

static int change(struct flo_fleet_store *store, const char *value, struct flo_err *err)
{
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", value, err), 0);
    return flo_fleet_commit(store, err);
}

/* From now on the server is not heard, and a connection is not waited for. */
static void hold(void)
{
    limits.pg.hurry_ms = 1;
    limits.ask_ms = 1;
    atomic_store(&holds, true);
}

static void let_go(void)
{
    atomic_store(&holds, false);
    limits = PATIENT;
}

/* The answer once the server can be heard again. */
static int begin_then(struct flo_fleet_store *store, struct flo_err *err)
{
    int rv;

    WAIT_UNTIL((rv = flo_fleet_begin(store, err)) != FLO_E_DB_UNREACHABLE);
    return rv;
}

static bool stands(const char *value)
{
    char sql[96];

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM setting WHERE name = 'a' AND value = '%s'",
             value);
    return cluster_number(&cluster, sql) == 1;
}

static int64_t epoch_there(void)
{
    return cluster_number(&cluster, "SELECT epoch FROM flotilla_lease");
}

/* As the error says it. */
static uint64_t waited_ms(const struct flo_err *err)
{
    const char *text = strstr(err->what, "no answer within ");
    unsigned long long ms = 0;

    assert_non_null(text);
    assert_int_equal(sscanf(text, "no answer within %llu ms", &ms), 1);
    return ms;
}

static void a_commit_that_stands_unheard_ends_the_epoch(void **state)
{
    struct flo_fleet_store *store = lead();
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(change(store, "1", &err), 0);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    hold();
    limits.pg.answer_ms = 1;
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB_UNREACHABLE);
    flo_fleet_roll_back(store);
    /* Another one waits for no answer: a hang would be. */
    limits.pg.answer_ms = HANG_MS;
    assert_int_equal(flo_fleet_begin(store, &err), FLO_E_DB_UNREACHABLE);
    WAIT_UNTIL(stands("2"));

    let_go();

    assert_int_equal(begin_then(store, &err), FLO_E_STATE_SUPERSEDED);
    assert_int_equal(epoch_there(), 8);
    assert_true(stands("2"));
    assert_int_equal(flo_fleet_begin(store, &err), FLO_E_STATE_SUPERSEDED);
    flo_fleet_close(store);
}

/* It goes on with what it remembers, and the number is used again. */
static void a_commit_that_never_came_leaves_the_epoch(void **state)
{
    struct flo_fleet_store *store = lead_within(20);
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(change(store, "1", &err), 0);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    struct flo_pg *other = cluster_connect(&cluster);
    /* A transaction of somebody else holds the row. */
    assert_int_equal(flo_pg_run(other, "BEGIN", FLO_DB_NONE, NULL, NULL), 0);
    assert_int_equal(flo_pg_run(other, "UPDATE flotilla_lease SET n = n", FLO_DB_NONE, NULL, NULL),
                     0);
    hold();
    limits.pg.answer_ms = 1;
    assert_true(flo_fleet_commit(store, &err) < 0);
    flo_fleet_roll_back(store);
    /* The server gave the lock up, and then saw that the session has ended. */
    WAIT_UNTIL(cluster_sessions(&cluster, "flotilla-leader-7") == 0);
    let_go();
    assert_int_equal(flo_pg_run(other, "ROLLBACK", FLO_DB_NONE, NULL, NULL), 0);
    flo_pg_close(other);

    assert_int_equal(begin_then(store, &err), 0);

    flo_fleet_roll_back(store);
    assert_int_equal(epoch_there(), 7);
    assert_true(stands("1"));
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
    hold();
    limits.pg.answer_ms = 50;
    assert_int_equal(flo_fleet_setting_get(store, "a", value, sizeof(value), &err),
                     FLO_E_DB_UNREACHABLE);
    assert_true(waited_ms(&err) >= 50);
    flo_fleet_roll_back(store);
    limits.pg.answer_ms = HANG_MS; /* a connection is not waited for like that */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(flo_fleet_begin(store, &err), FLO_E_DB_UNREACHABLE);
    }
    let_go();
    assert_int_equal(begin_then(store, &err), 0);
    flo_fleet_roll_back(store);
    flo_fleet_close(store);
}

/* ---- somebody else knows that the server is gone ---- */

struct word {
    bool statements, commits; /* they are waited for */
    int asked[2];             /* of statements, of commits */
    int changes_at;           /* question: then the answers change ... */
    int limit_at;             /* ... or the limit comes; 0: never */
};

static bool say_word(void *context, bool is_commit)
{
    struct word *word = context;
    int asked = ++word->asked[is_commit];

    if (asked == word->changes_at) {
        word->statements = !word->statements;
        word->commits = !word->commits;
    }
    if (asked == word->limit_at) {
        limits.pg.answer_ms = 1;
    }
    return is_commit ? word->commits : word->statements;
}

static void a_statement_ends_when_the_server_is_said_to_be_gone(void **state)
{
    struct flo_fleet_store *store = lead();
    struct word word = {.statements = true, .commits = true};
    struct flo_err err = {0};
    char value[8];

    (void)state;
    flo_fleet_on_wait(store, say_word, &word);
    assert_int_equal(change(store, "1", &err), 0);
    word.statements = false; /* while it answers, nobody asks */
    assert_int_equal(change(store, "2", &err), 0);
    assert_int_equal(word.asked[0] + word.asked[1], 0);
    begin(store);
    word = (struct word){.statements = true, .commits = true, .changes_at = 4};
    hold();
    limits.pg.on_wait_ms = 50; /* answer_ms is a hang */
    assert_int_equal(flo_fleet_setting_get(store, "a", value, sizeof(value), &err),
                     FLO_E_DB_UNREACHABLE);
    assert_true(waited_ms(&err) >= 50);
    assert_int_equal(word.asked[0], 4);
    assert_int_equal(word.asked[1], 0);
    flo_fleet_roll_back(store);
    let_go();
    assert_int_equal(begin_then(store, &err), 0);
    flo_fleet_roll_back(store);
    assert_int_equal(epoch_there(), 7);
    flo_fleet_close(store);
}

/* The word about statements does not end it; and it stands. */
static void a_commit_is_waited_for_while_it_is_led(void **state)
{
    struct flo_fleet_store *store = lead();
    struct word word = {.commits = true, .limit_at = 5};
    struct flo_err err = {0};

    (void)state;
    flo_fleet_on_wait(store, say_word, &word);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    hold();
    limits.pg.on_wait_ms = 1;
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB_UNREACHABLE);
    assert_int_equal(limits.pg.answer_ms, 1); /* that was the end */
    assert_true(word.asked[1] >= 5);
    assert_int_equal(word.asked[0], 0);
    flo_fleet_roll_back(store);
    WAIT_UNTIL(stands("2"));
    let_go();
    assert_int_equal(begin_then(store, &err), FLO_E_STATE_SUPERSEDED);
    flo_fleet_close(store);
}

static void a_commit_given_up_with_the_lease_is_settled_later(void **state)
{
    struct flo_fleet_store *store = lead();
    struct word word = {.commits = false};
    struct flo_err err = {0};

    (void)state;
    flo_fleet_on_wait(store, say_word, &word);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "a", "2", &err), 0);
    hold();
    limits.pg.on_wait_ms = 1;
    limits.ask_ms = HANG_MS; /* nor is it asked on and on */
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB_UNREACHABLE);
    assert_int_equal(word.asked[1], 2); /* to wait, and to ask on */
    assert_int_equal(word.asked[0], 0);
    assert_non_null(strstr(err.what, "whether a commit ended well"));
    flo_fleet_roll_back(store);
    WAIT_UNTIL(stands("2"));
    let_go();

    /* The server had taken it: nobody says that it failed. */
    assert_int_equal(begin_then(store, &err), FLO_E_STATE_SUPERSEDED);
    assert_int_equal(epoch_there(), 8);
    assert_true(stands("2"));
    flo_fleet_close(store);
}

/* The limits that the tests above have made short. */
static void the_usual_limits_end_the_state_s_waits_in_order(void **state)
{
    const struct flo_postgresql_limits *usual = &flo_postgresql_store_limits;

    (void)state;
    assert_int_equal(usual->pg.hurry_ms, 200);
    assert_int_equal(usual->pg.on_wait_ms, 1000);
    assert_true(usual->pg.on_wait_ms + usual->pg.look_ms < 2000);
    assert_int_equal(usual->ask_ms, 2000);
    assert_int_equal(usual->pg.answer_ms, 6000);
    /* The server ends a statement before it is given up. */
    assert_true(usual->lock_ms < usual->statement_ms);
    assert_true(usual->statement_ms < usual->pg.answer_ms);
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
        cmocka_unit_test(the_usual_limits_end_the_state_s_waits_in_order),
    };

    flo_log_level_set(FLO_LOG_ERROR);
    relay_begin();
    int rv = run_over_all("doubt", tests, FLO_COUNT(tests));
    close(listener);
    (void)!remove_tree(relay_dir);
    return rv;
}
