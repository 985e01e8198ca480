/* The HTTP server's table of states and events: each cell is played, by each
 * transport.  Beside it, the stories of some cells. */
#include "unit/base/host/http/gone_world.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/held_clock.h"

/* ---- a handler works for nobody ---- */

/* The client sends no more while its first answer is sent, and is gone when it
 * has that one: nothing but a question tells it. */
static void who_goes_between_two_answers_is_found(void **state)
{
    static const char both[] = "GET /flood" WITH("") "GET /later" WITH("");
    static char piece[PIECE_BYTES];
    (void)state;
    hold_deadlines(WRITE_MS);
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        converse(&client, both, sizeof(both) - 1, 1);
        if (transport != TLS) {
            client_go(&client, SENDS_NO_MORE);
            WAIT_TURNING(gone.httpd->connections->saw_eof, turn());
        }
        WAIT_TURNING(gone.waiting_count == 1, {
            (void)client_take(&client, piece, sizeof(piece));
            turn();
        });
        while (client_take(&client, piece, sizeof(piece)) > 0) {
        }
        client_close(&client);
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
        assert_null(gone.waiting[0]);
        gone.waiting_count = 0;
    }
    release_deadlines();
}

/* No more is read than fits, so its end is not seen there. */
static void who_goes_behind_much_that_is_unread_is_found(void **state)
{
    static const char later[] = "GET /later" WITH("");
    static char more[512u << 10];
    (void)state;
    hold_deadlines(WRITE_MS);
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        converse(&client, later, sizeof(later) - 1, 0);
        WAIT_TURNING(gone.waiting_count == 1, turn());
        for (size_t sent = 0; sent < sizeof(more); turn()) {
            ssize_t n = client_send(&client, more, sizeof(more) - sent);
            sent += n > 0 ? (size_t)n : 0;
            if (n <= 0) { /* nobody reads the rest */
                assert_true(would_block(&client, n));
                break;
            }
        }
        client_close(&client);
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
        assert_null(gone.waiting[0]);
        gone.waiting_count = 0;
    }
    release_deadlines();
}

/* ---- the end of a right ---- */

/* Requests that bring a connection to each state, and how much of the answer is
 * taken. */
static const struct {
    const char *request;
    size_t take_bytes;
} phases[] = {
    {"", 0},
    {"GET /hea", 0},
    {"GET /health" WITH(""), 1},
    {"GET /health" WITH("") "GET /hea", 1},
    {"POST /echo" WITH("Content-Length: 9\r\n") "part", 0},
    {"PUT /held" WITH("Content-Length: 50\r\n") "part of it", 0},
    {"GET /later" WITH(""), 0},
    {"GET /stream" WITH(""), 1},
    {"GET /flood" WITH(""), 0},
    {"GET /large" WITH(""), 1},
    {"POST /nothing" WITH("Content-Length: 90\r\n") "part", 1},
};

/* A client of each authority, in each phase. */
static size_t both_come(const char *const names[2], struct client (*both)[2])
{
    size_t count = 0;
    for (size_t i = 0; i < FLO_COUNT(phases); i++) {
        for (size_t j = 0; j < 2; j++, count++) {
            both[i][j] = (struct client){.fd = dial(gone.site_port)};
            assert_int_equal(fcntl(both[i][j].fd, F_SETFL, O_NONBLOCK), 0);
            client_greet(&both[i][j], names[j]);
            converse(&both[i][j], phases[i].request, strlen(phases[i].request),
                     phases[i].take_bytes);
            WAIT_TURNING(gone.httpd->n_connections == count + 1 &&
                             gone.httpd->connections->peer.name[0] != '\0',
                         turn());
        }
    }
    return count;
}

static void only_one_is_left(size_t count, struct client (*both)[2])
{
    for (int i = 0; i < 3; i++) {
        event_base_loop(gone.base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(gone.httpd->n_connections, count / 2);
    for (const struct httpd_connection *c = gone.httpd->connections; c != NULL; c = c->next) {
        assert_string_equal(c->peer.name, "other");
    }
    for (size_t i = 0; i < FLO_COUNT(phases); i++) {
        client_close(&both[i][0]);
        client_close(&both[i][1]);
    }
    answer_waiting();
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
}

/* Nobody waits for a deadline, nor for an answer. */
static void who_has_no_right_any_more_is_cut_whatever_it_does(void **state)
{
    static const char *const names[2] = {"device", "other"};
    struct client both[FLO_COUNT(phases)][2];
    struct flo_err err = {0};
    size_t before = descriptors();
    (void)state;
    hold_deadlines(WRITE_MS);
    world_trust("ca", "other");
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    size_t count = both_come(names, both);
    world_trust("other", NULL);
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    only_one_is_left(count, both);
    world_trust("ca", "other");
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    count = both_come(names, both);
    flo_httpd_peer_end(gone.httpd, "device");
    only_one_is_left(count, both);
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    assert_int_equal(descriptors(), before);
    release_deadlines();
}

/* It was verified with the files of before. */
static void who_shakes_hands_meanwhile_begins_again(void **state)
{
    struct flo_err err = {0};
    struct client client;
    (void)state;
    hold_deadlines(WRITE_MS);
    client = (struct client){.fd = dial(gone.site_port)};
    WAIT_TURNING(gone.httpd->n_connections == 1, turn());
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    client_close(&client);
    release_deadlines();
}

/* ---- the table of cells ---- */

/* Requests that bring a connection to a state, and what is sent as more bytes. */
static const struct {
    const char *request;
    size_t take_bytes;
    const char *more;
} ways_to[HTTPD_STATES] = {
    [HTTPD_HEAD] = {"GET /hea", 0, "lth" WITH("")},
    [HTTPD_BODY] = {"POST /echo" WITH("Content-Length: 9\r\n") "part", 0, " body"},
    [HTTPD_HANDLER] = {"GET /later" WITH(""), 0, "GET /hea"},
    [HTTPD_FLUSH] = {"GET /flood" WITH(""), 0, "GET /hea"},
    [HTTPD_LINGER] = {"POST /nothing" WITH("Content-Length: 90\r\n") "part", 1, "more"},
};

/* The event comes from the client where a client can make it. */
static void make_happen(struct client *client, enum httpd_state state, enum httpd_event event)
{
    static char piece[PIECE_BYTES];
    struct httpd_connection *c = gone.httpd->connections;
    switch (event) {
    case HTTPD_AT_BYTES:
        converse(client, ways_to[state].more, strlen(ways_to[state].more), 0);
        return;
    case HTTPD_AT_END:
        client_go(client, CLOSES);
        return;
    case HTTPD_AT_RESET:
        client_go(client, RESETS);
        return;
    case HTTPD_AT_HALF_CLOSE:
        client_go(client, SENDS_NO_MORE);
        return;
    case HTTPD_AT_ERROR:
        errno = ETIMEDOUT;
        bufferevent_trigger_event(c->bev, BEV_EVENT_READING | BEV_EVENT_ERROR, 0);
        return;
    case HTTPD_AT_DEADLINE:
        event_active(c->timer, EV_TIMEOUT, 0);
        return;
    case HTTPD_AT_REVOKED:
        flo_httpd_peer_end(gone.httpd, "");
        return;
    case HTTPD_AT_DRAINED:
        if (state != HTTPD_FLUSH) {
            bufferevent_trigger(c->bev, EV_WRITE, 0);
            return;
        }
        WAIT_TURNING(c->state == HTTPD_HEAD, {
            (void)client_take(client, piece, sizeof(piece));
            turn();
        });
        return;
    case HTTPD_AT_NO_DESCRIPTORS:
        (void)flo_httpd_give_way(gone.httpd, NULL); /* it looks how far the client is */
        held_clock_pass_ms(LOOK_MS);
        (void)flo_httpd_give_way(gone.httpd, NULL);
        return;
    }
}

static void did(struct client *client, enum httpd_state state, enum httpd_event event,
                enum httpd_does does)
{
    bool reads_answers = state == HTTPD_HEAD || state == HTTPD_BODY;
    switch (does) {
    case HTTPD_CLOSES:
    case HTTPD_YIELDS:
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
        return;
    case HTTPD_REFUSES:
        gets_line(client, "HTTP/1.1 408");
        return;
    case HTTPD_READS:
        if (reads_answers) {
            gets_line(client, "HTTP/1.1 200");
        }
        break;
    case HTTPD_WAITS:
    case HTTPD_LOOKS:
    case HTTPD_ASKS:
    case HTTPD_SENDS_ON:
        break;
    }
    turn();
    assert_int_equal(gone.httpd->n_connections, 1);
    const struct httpd_connection *c = gone.httpd->connections;
    if (event == HTTPD_AT_DRAINED && does == HTTPD_SENDS_ON) {
        assert_int_equal(c->state, HTTPD_HEAD);
    } else if (!reads_answers || does != HTTPD_READS) {
        assert_int_equal(c->state, state);
    }
    if (does == HTTPD_WAITS && event == HTTPD_AT_BYTES) {
        WAIT_TURNING(evbuffer_get_length(bufferevent_get_input(c->bev)) > 0, turn());
    }
}

static void play(enum transport transport, enum httpd_state state, enum httpd_event event)
{
    enum httpd_does does = flo_httpd_does(state, event);
    size_t before = descriptors();
    struct client client = client_open(transport);
    converse(&client, ways_to[state].request, strlen(ways_to[state].request),
             ways_to[state].take_bytes);
    WAIT_TURNING(gone.httpd->n_connections == 1 && gone.httpd->connections->state == state &&
                     (state != HTTPD_HEAD || gone.httpd->connections->head_begun),
                 turn());
    make_happen(&client, state, event);
    /* libevent sends no more over TLS after either side has closed. */
    did(&client, state, event,
        transport == TLS && event == HTTPD_AT_HALF_CLOSE ? HTTPD_CLOSES : does);
    if (client.fd >= 0) {
        client_close(&client);
    }
    answer_waiting();
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    event_base_loop(gone.base, EVLOOP_NONBLOCK); /* libevent frees in the next turn */
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    assert_int_equal(gone.waiting_count, 0);
    if (descriptors() != before) {
        fail_msg("cell %d %d leaves descriptors: %zu, %zu before", (int)state, (int)event,
                 descriptors(), before);
    }
}

static void all_cells(void)
{
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        for (int state = 0; state < HTTPD_STATES; state++) {
            for (int event = 0; event < HTTPD_EVENTS; event++) {
                play((enum transport)transport, (enum httpd_state)state, (enum httpd_event)event);
            }
        }
    }
}

/* The first round makes what is kept for the next ones. */
static void each_cell_does_what_the_table_says(void **state)
{
    (void)state;
    hold_deadlines(WRITE_MS);
    flo_httpd_reserve(gone.httpd); /* an earlier test may have used it */
    all_cells();
    size_t bytes = mallinfo2().uordblks;
    all_cells();
    assert_int_equal(mallinfo2().uordblks, bytes);
    release_deadlines();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_does_what_the_table_says),
        cmocka_unit_test(who_goes_between_two_answers_is_found),
        cmocka_unit_test(who_goes_behind_much_that_is_unread_is_found),
        cmocka_unit_test(who_has_no_right_any_more_is_cut_whatever_it_does),
        cmocka_unit_test(who_shakes_hands_meanwhile_begins_again),
    };

    /* Else glibc counts as used what it keeps for the next malloc(). */
    if (setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 0) == 0 &&
        getenv("TEST_HTTPD_AGAIN") == NULL && setenv("TEST_HTTPD_AGAIN", "1", 1) == 0) {
        execl("/proc/self/exe", "test_httpd_cells", NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, gone_open, gone_close);
}
