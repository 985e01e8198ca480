/* Which beginning is kept: the one that spares most tokens. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 512 };

static int32_t room[FLO_KEPT_REQUESTS + 1][MOST];
static struct flo_beginning last[FLO_KEPT_REQUESTS], written;
static size_t n;

/* `shared` tokens of one text, then as many of its own as make `count`. */
static struct flo_beginning beginning(size_t at, int32_t text, uint32_t shared, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        room[at][i] = i < shared ? text * 1000 + (int32_t)i : (int32_t)(at + 1) * 100000;
    }
    return (struct flo_beginning){.tokens = room[at], .count = count};
}

static int begin_empty(void **state)
{
    (void)state;
    memset(last, 0, sizeof(last));
    written = (struct flo_beginning){0};
    n = 0;
    return 0;
}

static void request(int32_t text, uint32_t shared, uint32_t count)
{
    last[n] = beginning(n, text, shared, count);
    n++;
}

/* The chosen one, as its number of tokens. */
static uint32_t chosen(int32_t text)
{
    uint32_t index = 0;
    uint32_t count = flo_kept_choose(last, FLO_KEPT_REQUESTS, &written, &index);
    assert_true(count % FLO_PREFIX_TOKENS == 0);
    if (count > 0) {
        assert_int_equal(last[index].tokens[0], text * 1000);
    }
    return count;
}

static void one_request_shares_nothing(void **state)
{
    (void)state;
    assert_int_equal(chosen(0), 0);
    request(1, 100, 120);
    assert_int_equal(chosen(1), 0);
}

static void two_requests_share_whole_blocks(void **state)
{
    (void)state;
    request(1, 100, 120);
    request(1, 100, 130);
    assert_int_equal(chosen(1), 96);
}

static void less_than_a_block_is_nothing(void **state)
{
    (void)state;
    request(1, 15, 120);
    request(1, 15, 120);
    assert_int_equal(chosen(1), 0);
}

static void a_systems_turn_wins_over_one_conversation(void **state)
{
    (void)state;
    request(1, 48, 150); /* a conversation ... */
    /* ... and its next turn */
    last[1] = (struct flo_beginning){.tokens = room[1], .count = 300};
    memcpy(room[1], room[0], 150 * sizeof(int32_t));
    n = 2;
    assert_int_equal(chosen(1), 144);
    for (int i = 0; i < 3; i++) {
        request(1, 48, 70);
    }
    assert_int_equal(chosen(1), 144); /* 2 x 144 are more than 5 x 48 */
    for (int i = 0; i < 3; i++) {
        request(1, 48, 70);
    }
    assert_int_equal(chosen(1), 48);
}

static void what_one_of_several_clients_asked_is_not_kept(void **state)
{
    (void)state;
    request(1, 200, 220);
    request(1, 200, 230);
    request(2, 64, 100);
    assert_int_equal(chosen(1), 192); /* there is one client only */
    last[2].client = 7;
    assert_int_equal(chosen(1), 0);
    request(2, 64, 110);
    assert_int_equal(chosen(2), 0); /* a guess of another client is no reason either */
    last[2].n_public = last[3].n_public = 50;
    assert_int_equal(chosen(2), 48); /* the public beginning that both of them have */
}

static void what_is_written_stays_unless_another_is_clearly_better(void **state)
{
    (void)state;
    written = beginning(FLO_KEPT_REQUESTS, 1, 96, 96);
    request(1, 100, 120);
    request(1, 100, 120);
    assert_int_equal(chosen(1), 0);
    request(2, 40, 60);
    request(2, 40, 60);
    assert_int_equal(chosen(2), 0); /* 64 spared, 192 by what is written */
    request(2, 40, 60);
    request(2, 40, 60);
    request(2, 40, 60);
    request(2, 40, 60);
    assert_int_equal(chosen(2), 0); /* 192 each */
    last[0].count = last[1].count = 0;
    assert_int_equal(chosen(2), 32);
}

/* ---- with a file ---- */

static bool stops_at_once(void *context)
{
    (void)context;
    return true;
}

static void what_is_written_is_begun_with_by_the_next_process(void **state)
{
    const struct flo_engine_options options = {
        .context = 128, .threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    int fd = memfd_create("kept", MFD_CLOEXEC), again = dup(fd);
    struct flo_engine *engine = NULL;
    struct flo_session *session = NULL;
    int32_t tokens[80];

    (void)state;
    for (int i = 0; i < 80; i++) {
        tokens[i] = i % 50 + 1;
    }
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(
        flo_engine_open("tests/oracle/tiny/smollm2-S-q4_1.gguf", &options, &engine, NULL), 0);
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);

    struct flo_kept *kept = flo_kept_open(engine, fd, session);
    assert_non_null(kept);
    assert_int_equal(flo_session_position(session), 0);
    assert_int_equal(flo_kept_wait_ms(kept, 0), -1);
    flo_kept_note(kept, &(struct flo_beginning){tokens, 70, 0, 0});
    assert_int_equal(flo_kept_wait_ms(kept, 0), -1);
    flo_kept_note(kept, &(struct flo_beginning){tokens, 80, 0, 0});
    assert_true(flo_kept_wait_ms(kept, 0) > 0);
    /* The session is empty. */
    assert_false(flo_kept_write(kept, session, NULL, NULL));
    assert_int_equal(flo_session_decode(session, tokens, 80, FLO_LOGITS_NONE, NULL), 0);
    assert_true(flo_kept_write(kept, session, stops_at_once, NULL));
    assert_int_equal(flo_kept_tokens(kept), 0);
    /* Whatever ended it, no request need come. */
    assert_int_equal(flo_kept_wait_ms(kept, 150), 50);
    assert_int_equal(flo_kept_wait_ms(kept, 1000), 0);
    assert_true(flo_kept_write(kept, session, NULL, NULL));
    assert_int_equal(flo_kept_tokens(kept), 64);
    assert_int_equal(flo_kept_wait_ms(kept, 0), -1);
    flo_kept_close(kept);
    flo_session_reset(session);

    kept = flo_kept_open(engine, again, session);
    assert_int_equal(flo_session_position(session), 64);
    assert_int_equal(flo_kept_tokens(kept), 64);
    flo_kept_note(kept, &(struct flo_beginning){tokens, 70, 0, 0});
    flo_kept_note(kept, &(struct flo_beginning){tokens, 80, 0, 0});
    assert_int_equal(flo_kept_wait_ms(kept, 0), -1); /* it stands there */
    assert_int_equal(flo_kept_shared(kept, tokens, 80, 0), 64);
    assert_int_equal(flo_kept_shared(kept, tokens, 80, 1), 0);
    assert_int_equal(flo_kept_shared(kept, tokens, 80, FLO_KEPT_PUBLIC), 0);
    flo_kept_close(kept);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void a_file_without_room_is_not_used(void **state)
{
    const struct flo_engine_options options = {
        .context = 128, .threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    struct flo_session *session = NULL;

    (void)state;
    assert_int_equal(
        flo_engine_open("tests/oracle/tiny/smollm2-S-q4_1.gguf", &options, &engine, NULL), 0);
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    assert_null(flo_kept_open(engine, memfd_create("kept", MFD_CLOEXEC), session));
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    close(pair[1]);
    assert_null(flo_kept_open(engine, pair[0], session));
    flo_session_close(session);
    flo_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_request_shares_nothing, begin_empty),
        cmocka_unit_test_setup(two_requests_share_whole_blocks, begin_empty),
        cmocka_unit_test_setup(less_than_a_block_is_nothing, begin_empty),
        cmocka_unit_test_setup(a_systems_turn_wins_over_one_conversation, begin_empty),
        cmocka_unit_test_setup(what_one_of_several_clients_asked_is_not_kept, begin_empty),
        cmocka_unit_test_setup(what_is_written_stays_unless_another_is_clearly_better, begin_empty),
        cmocka_unit_test(what_is_written_is_begun_with_by_the_next_process),
        cmocka_unit_test(a_file_without_room_is_not_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
