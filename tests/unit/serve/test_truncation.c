/* Conversations that are too long: `truncation` leaves out the oldest turns
 * where there are too many messages, or too many bytes for a frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "agent/serve/params/params.h"

static struct serve_params params;
static struct flo_err err;

static void say(json_t *messages, const char *role, const char *content)
{
    json_array_append_new(messages, json_pack("{s:s,s:s}", "role", role, "content", content));
}

/* The rules, and a line of the system amid turns of a question and an answer.
 */
static json_t *conversation(int turns, const char *said)
{
    json_t *messages = json_array();
    char text[32];

    say(messages, "system", "rules");
    for (int i = 0; i < turns; i++) {
        snprintf(text, sizeof(text), "question %d", i);
        say(messages, "user", text);
        say(messages, "assistant", said);
        if (i == 1) {
            say(messages, "developer", "more rules");
        }
    }
    say(messages, "user", "last");
    return messages;
}

/* Takes the messages. */
static int ask(json_t *messages, const char *truncation)
{
    memset(&err, 0, sizeof(err));
    return flo_params_read_tree(
        REQUEST_CHAT, json_pack("{s:o,s:s?}", "messages", messages, "truncation", truncation),
        &params, &err);
}

static void expect(uint32_t at, const char *role, const char *content)
{
    const struct flo_wire_generate *g = &params.message.generate;
    struct flo_wire_text said = g->messages[at].content;

    assert_int_equal(g->messages[at].role.bytes, strlen(role));
    assert_memory_equal(g->messages[at].role.data, role, strlen(role));
    assert_int_equal(said.bytes, strlen(content));
    assert_memory_equal(said.data, content, said.bytes);
}

static void too_many_messages_lose_the_oldest_turns(void **state)
{
    const struct flo_wire_generate *g = &params.message.generate;

    (void)state;
    assert_int_equal(ask(conversation(200, "yes"), "auto"), 0);
    /* Two of the system, 126 turns of two, and the last question. */
    assert_int_equal(g->n_messages, 255);
    expect(0, "system", "rules");
    expect(1, "system", "more rules");
    expect(2, "user", "question 74");
    expect(253, "assistant", "yes");
    expect(254, "user", "last");
    flo_params_deinit(&params);
}

static void as_many_as_are_taken_all_stay(void **state)
{
    (void)state;
    assert_int_equal(ask(conversation(126, "yes"), "auto"), 0);
    assert_int_equal(params.message.generate.n_messages, 255);
    expect(1, "user", "question 0");
    flo_params_deinit(&params);
}

static void more_bytes_than_a_frame_has_lose_the_oldest_turns(void **state)
{
    const struct flo_wire_generate *g = &params.message.generate;
    size_t bytes = FLO_WIRE_PAYLOAD_BYTES_MAX / 4;
    char *said = malloc(bytes + 1);

    (void)state;
    assert_non_null(said);
    memset(said, 'a', bytes);
    said[bytes] = '\0';
    assert_int_equal(ask(conversation(9, said), "auto"), 0);
    /* Four answers are a whole frame: three have room next to the rest. */
    assert_int_equal(g->n_messages, 9);
    expect(0, "system", "rules");
    expect(1, "system", "more rules");
    expect(2, "user", "question 6");
    expect(8, "user", "last");
    flo_params_deinit(&params);
    assert_int_equal(ask(conversation(9, said), "disabled"), FLO_E_REST_TOO_LARGE);
    free(said);
}

static void a_turn_that_is_left_out_is_looked_at_all_the_same(void **state)
{
    json_t *messages = conversation(200, "yes");

    (void)state;
    json_object_set_new(json_array_get(messages, 1), "content", json_null());
    assert_int_equal(ask(messages, "auto"), FLO_E_INFER_PARAM);
    assert_string_equal(err.what, "messages[1] has no content as text");
}

static void show_image(json_t *messages, size_t at)
{
    json_object_set_new(json_array_get(messages, at), "content",
                        json_pack("[{s:s,s:{s:s}}]", "type", "image_url", "image_url", "url",
                                  "data:image/png;base64,iVBORw0KGgo="));
}

static void images_stay_with_the_messages_that_stay(void **state)
{
    const struct flo_wire_generate *g = &params.message.generate;
    json_t *messages = conversation(200, "yes");

    (void)state;
    show_image(messages, 1);
    show_image(messages, json_array_size(messages) - 1);
    assert_int_equal(ask(messages, "auto"), 0);
    assert_int_equal(g->n_images, 1);
    assert_int_equal(g->images[0].message, 254);
    flo_params_deinit(&params);
}

static void they_are_refused_where_nothing_may_be_left_out(void **state)
{
    static const char *const words[] = {NULL, "disabled"};
    json_t *one_turn = json_array();

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        assert_int_equal(ask(conversation(200, "yes"), words[i]), FLO_E_INFER_PARAM);
        assert_string_equal(err.what, "messages are 403, at most 256");
    }
    say(one_turn, "user", "a");
    for (int i = 0; i < 300; i++) {
        say(one_turn, "assistant", "yes");
    }
    assert_int_equal(ask(one_turn, "auto"), FLO_E_INFER_PARAM);
    assert_string_equal(err.what, "messages are 301, at most 256");
    assert_int_equal(ask(conversation(1, "yes"), "soon"), FLO_E_INFER_PARAM);
    assert_string_equal(err.what, "truncation must be auto or disabled");
    assert_string_equal(params.param, "truncation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_messages_lose_the_oldest_turns),
        cmocka_unit_test(as_many_as_are_taken_all_stay),
        cmocka_unit_test(more_bytes_than_a_frame_has_lose_the_oldest_turns),
        cmocka_unit_test(a_turn_that_is_left_out_is_looked_at_all_the_same),
        cmocka_unit_test(images_stay_with_the_messages_that_stay),
        cmocka_unit_test(they_are_refused_where_nothing_may_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
