/* Answers: from an engine's frames to a front's words, without HTTP and without
 * an engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/errors/worker.h>

#include "agent/serve/front/memory.h"
#include "agent/serve/openai/openai.h"

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"
#define F(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"
#define TOOLS "\"tools\":[" F("f") "," F("g") "]"
#define STREAM ",\"stream\":true"

static struct flo_serve *serve;
static struct serve_memory memory;
static struct serve_request *request;
static struct flo_err err;

static int set_up(void **state)
{
    (void)state;
    serve = calloc(1, sizeof(*serve));
    memset(&memory, 0, sizeof(memory));
    memset(&err, 0, sizeof(err));
    request = NULL;
    return serve == NULL;
}

static void forget(void)
{
    if (request != NULL) {
        flo_request_free(request);
    }
    request = NULL;
    flo_buf_deinit(&memory.body);
    memset(&memory, 0, sizeof(memory));
    memset(&err, 0, sizeof(err));
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    free(serve);
    return 0;
}

static void open_request(const struct serve_front *front, const char *body)
{
    const struct serve_question question = {
        .front = front,
        .sink = flo_sink_memory(&memory),
        .party = {.number = 9, .token = -1},
        .body = {NULL, body, strlen(body)},
    };

    forget();
    request = flo_request_open(serve, &question);
}

static void ask(const char *body)
{
    open_request(&flo_openai_chat, body);
    assert_non_null(request);
    strcpy(request->model_name, "tiny@1");
}

/* ---- an engine's frames ---- */

struct part {
    uint32_t kind;
    const char *text;
};
enum { THOUGHT = 1, CALL, ARGUMENTS, UNKNOWN };

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

static struct flo_buf parts_of(const struct part *parts)
{
    struct flo_buf out = {0};

    for (; parts != NULL && parts->kind != 0; parts++) {
        struct flo_wire_part part = {parts->kind, text_of(parts->text)};
        flo_wire_part_add(&out, &part);
    }
    return out;
}

static int token(const char *text, const struct part *parts)
{
    struct flo_buf bytes = parts_of(parts);
    struct flo_wire_token frame = {.text = text_of(text), .parts = {bytes.data, bytes.bytes}};

    request->tokens_out++;
    int rv = flo_answer_token(request, &frame, &err);
    flo_buf_deinit(&bytes);
    return rv;
}

static int done(enum flo_wire_reason reason, const char *text, const struct part *parts)
{
    struct flo_buf bytes = parts_of(parts);
    struct flo_wire_done frame = {.reason = reason,
                                  .text = text_of(text),
                                  .parts = {bytes.data, bytes.bytes},
                                  .tokens_in = 3,
                                  .tokens_out = 5};

    int rv = flo_answer_done(request, &frame, &err);
    flo_buf_deinit(&bytes);
    return rv;
}

/* Thoughts, a text and two calls, over several frames. */
static void answer_fully(enum flo_wire_reason reason)
{
    const struct part thought[] = {{THOUGHT, "h"}, {THOUGHT, "m"}, {0}};
    const struct part call[] = {{CALL, "g"}, {UNKNOWN, "x"}, {ARGUMENTS, "{\"a"}, {0}};
    const struct part more[] = {{ARGUMENTS, "\":1"}, {ARGUMENTS, "}"}, {0}};
    const struct part last[] = {{CALL, "f"}, {ARGUMENTS, "{}"}, {0}};

    assert_int_equal(token("", thought), 0);
    assert_int_equal(token("I ", (const struct part[]){{THOUGHT, "."}, {0}}), 0);
    assert_int_equal(token("call", call), 0);
    assert_int_equal(token("", more), 0);
    assert_int_equal(token("", NULL), 0);
    assert_int_equal(done(reason, "", last), 0);
}

/* ---- what came out ---- */

static json_t *parse(const char *text, size_t bytes)
{
    json_t *json = NULL;

    if (flo_json_parse(text, bytes, bytes, &json, &err) < 0) {
        fail_msg("%.*s: %s", (int)bytes, text, err.what);
    }
    return json;
}

static json_t *first_choice(const json_t *answer)
{
    return json_array_get(json_object_get(answer, "choices"), 0);
}

/* The message of a whole answer, and why it ended. */
static json_t *whole_message(char finish[32])
{
    assert_int_equal(memory.status, 200);
    json_t *answer = parse(memory.body.data, memory.body.bytes);
    json_t *choice = first_choice(answer);
    json_t *message = json_object_get(choice, "message");

    strcpy(finish, json_string_value(json_object_get(choice, "finish_reason")));
    json_object_del(message, "refusal");
    json_incref(message);
    json_decref(answer);
    return message;
}

static void append(json_t *to, const char *key, const json_t *piece)
{
    const char *before = json_string_value(json_object_get(to, key));
    char text[1024];

    snprintf(text, sizeof(text), "%s%s", before == NULL ? "" : before, json_string_value(piece));
    json_object_set_new(to, key, json_string(text));
}

/* As a client adds up deltas: texts are appended, lists are by index. */
static void add_delta(json_t *to, json_t *delta)
{
    const char *key;
    json_t *value;

    json_object_foreach(delta, key, value)
    {
        if (strcmp(key, "tool_calls") == 0) {
            json_t *call = json_array_get(value, 0);
            json_t *list = json_object_get(to, key);
            size_t index = (size_t)json_integer_value(json_object_get(call, "index"));
            if (list == NULL) {
                list = json_array();
                json_object_set_new(to, key, list);
            }
            assert_true(index <= json_array_size(list));
            if (index == json_array_size(list)) {
                json_array_append_new(list, json_object());
            }
            json_object_del(call, "index");
            add_delta(json_array_get(list, index), call);
        } else if (json_is_object(value)) {
            if (json_object_get(to, key) == NULL) {
                json_object_set_new(to, key, json_object());
            }
            add_delta(json_object_get(to, key), value);
        } else if (json_is_null(value)) {
            json_object_set(to, key, value);
        } else {
            append(to, key, value);
        }
    }
}

/* The message that a stream's deltas add up to. */
static json_t *streamed_message(char finish[32])
{
    json_t *message = json_object();
    const char *at = memory.body.data;
    const char *end;

    finish[0] = '\0';
    assert_int_equal(memory.status, 200);
    while (strcmp(at, "data: [DONE]\n\n") != 0) {
        assert_memory_equal(at, "data: ", 6);
        end = strstr(at, "\n\n");
        assert_non_null(end);
        json_t *event = parse(at + 6, (size_t)(end - at) - 6);
        json_t *choice = first_choice(event);
        const char *why = json_string_value(json_object_get(choice, "finish_reason"));
        assert_string_equal(finish, ""); /* the last one alone has it */
        snprintf(finish, 32, "%s", why == NULL ? "" : why);
        add_delta(message, json_object_get(choice, "delta"));
        json_decref(event);
        at = end + 2;
    }
    return message;
}

/* Ids of calls are drawn: only their form can be looked at. */
static void take_ids(json_t *message)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    json_t *call;
    size_t i;
    char seen[64] = "";

    json_array_foreach(calls, i, call)
    {
        const char *id = json_string_value(json_object_get(call, "id"));
        assert_int_equal(strlen(id), 29);
        assert_memory_equal(id, "call_", 5);
        assert_int_equal(strspn(id + 5, "0123456789abcdef"), 24);
        assert_string_not_equal(id, seen);
        strcpy(seen, id);
        json_object_del(call, "id");
    }
}

static void expect_message(json_t *message, const char *wanted)
{
    json_t *json = parse(wanted, strlen(wanted));

    take_ids(message);
    if (!json_equal(message, json)) {
        char *text = json_dumps(message, 0);
        fail_msg("%s, wanted %s", text, wanted);
    }
    json_decref(json);
    json_decref(message);
}

/* ---- tests ---- */

#define FULL                                                                                       \
    "{\"role\":\"assistant\",\"content\":\"I call\",\"reasoning_content\":"                        \
    "\"hm.\",\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":"                       \
    "\"g\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"type\":\"function\","                              \
    "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}"

static void a_whole_answer_has_thoughts_text_and_calls(void **state)
{
    char finish[32];
    (void)state;
    ask("{" USER "," TOOLS "}");
    answer_fully(FLO_WIRE_STOP);
    expect_message(whole_message(finish), FULL);
    assert_string_equal(finish, "tool_calls");
}

static void the_deltas_of_a_stream_add_up_to_the_whole_answer(void **state)
{
    char finish[32];
    (void)state;
    ask("{" USER "," TOOLS STREAM "}");
    answer_fully(FLO_WIRE_STOP);
    expect_message(streamed_message(finish), FULL);
    assert_string_equal(finish, "tool_calls");
}

static void an_answer_that_was_cut_says_so_whatever_it_calls(void **state)
{
    char finish[32];
    (void)state;
    ask("{" USER "," TOOLS "}");
    answer_fully(FLO_WIRE_LENGTH);
    json_decref(whole_message(finish));
    assert_string_equal(finish, "length");
    ask("{" USER "," TOOLS STREAM "}");
    answer_fully(FLO_WIRE_LENGTH);
    json_decref(streamed_message(finish));
    assert_string_equal(finish, "length");
}

static void an_answer_of_calls_alone_has_no_content(void **state)
{
    static const char wanted[] =
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}";
    const struct part call[] = {{CALL, "f"}, {ARGUMENTS, "{}"}, {0}};
    char finish[32];
    (void)state;
    ask("{" USER "," TOOLS "}");
    assert_int_equal(token("", call), 0);
    assert_int_equal(done(FLO_WIRE_STOP, "", NULL), 0);
    expect_message(whole_message(finish), wanted);
    ask("{" USER "," TOOLS STREAM "}");
    assert_int_equal(token("", call), 0);
    assert_int_equal(done(FLO_WIRE_STOP, "", NULL), 0);
    expect_message(streamed_message(finish), wanted);
}

static void who_asks_with_functions_is_answered_with_one(void **state)
{
    static const char wanted[] =
        "{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":"
        "\"f\",\"arguments\":\"{}\"}}";
    const struct part call[] = {{CALL, "f"}, {ARGUMENTS, "{}"}, {0}};
    static const char *const bodies[] = {
        "{" USER ",\"functions\":[{\"name\":\"f\"}]}",
        "{" USER ",\"functions\":[{\"name\":\"f\"}]" STREAM "}",
    };
    char finish[32];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bodies); i++) {
        ask(bodies[i]);
        assert_int_equal(token("", call), 0);
        assert_int_equal(done(FLO_WIRE_STOP, "", NULL), 0);
        expect_message(i == 0 ? whole_message(finish) : streamed_message(finish), wanted);
        assert_string_equal(finish, "function_call");
    }
}

static void an_engine_that_breaks_the_protocol_is_refused(void **state)
{
#define CHAT(fields) "{" USER fields "}"
    static const struct {
        const char *body;
        struct part parts[3];
        const char *says;
    } rows[] = {
        {CHAT("," TOOLS), {{ARGUMENTS, "{}"}}, "arguments without a call"},
        {CHAT("," TOOLS), {{CALL, "h"}}, "may not be called"},
        {CHAT("," TOOLS), {{CALL, ""}}, "may not be called"},
        {CHAT(""), {{CALL, "f"}}, "may not be called"},
        {CHAT("," TOOLS ",\"tool_choice\":\"none\""), {{CALL, "f"}}, "may not"},
        {CHAT("," TOOLS ",\"parallel_tool_calls\":false"),
         {{CALL, "f"}, {CALL, "g"}},
         "a second call"},
        {CHAT("," TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":"
              "{\"name\":\"f\"}}"),
         {{CALL, "g"}},
         "may not be called"},
        {CHAT("," TOOLS STREAM), {{CALL, "h"}}, "may not be called"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        ask(rows[i].body);
        if (token("", rows[i].parts) != FLO_E_WORKER_PROTOCOL ||
            strstr(err.what, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].body, err.what);
        }
        assert_int_equal(memory.status, 0); /* it can have a status yet */
        ask(rows[i].body);
        assert_int_equal(done(FLO_WIRE_STOP, "", rows[i].parts), FLO_E_WORKER_PROTOCOL);
    }
}

static void parts_are_a_whole_list_or_none(void **state)
{
    struct flo_wire_token frame = {.parts = {"\1\0\0\0\5\0\0\0abc", 11}};
    (void)state;
    ask("{" USER "}");
    assert_int_equal(flo_answer_token(request, &frame, &err), FLO_E_WORKER_PROTOCOL);
    assert_non_null(strstr(err.what, "no list"));
}

static void parts_come_only_where_they_were_asked_for(void **state)
{
    (void)state;
    open_request(&flo_openai_text, "{\"prompt\":\"a\"}");
    assert_int_equal(token("a", (const struct part[]){{THOUGHT, "b"}, {0}}), FLO_E_WORKER_PROTOCOL);
    assert_non_null(strstr(err.what, "nobody asked for"));
}

static void each_part_of_an_answer_has_a_bound(void **state)
{
    enum { PIECE = 1 << 20 };
    static char text[PIECE + 1];
    static const uint32_t kinds[] = {0, THOUGHT, ARGUMENTS};
    (void)state;
    memset(text, 'a', PIECE);
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        const struct part call[] = {{CALL, "f"}, {0}};
        const struct part part[] = {{kinds[k], text}, {0}};
        ask("{" USER "," TOOLS "}");
        assert_int_equal(token("", call), 0);
        for (int i = 0; i < (int)(SERVE_KEPT_BYTES_MAX / PIECE); i++) {
            if (i == 1) { /* arguments of all calls are counted together */
                assert_int_equal(token("", call), 0);
            }
            assert_int_equal(token(kinds[k] == 0 ? text : "", part), 0);
        }
        assert_int_equal(token(kinds[k] == 0 ? text : "", part), FLO_E_INFER_PARAM);
        assert_string_equal(request->params.param, "max_tokens");
        assert_non_null(strstr(err.what, "too long to be kept"));
    }
}

static void an_answer_has_so_many_calls_at_most(void **state)
{
    const struct part call[] = {{CALL, "f"}, {0}};
    (void)state;
    ask("{" USER "," TOOLS "}");
    for (int i = 0; i < SERVE_CALLS_MAX; i++) {
        assert_int_equal(token("", call), 0);
    }
    assert_int_equal(token("", call), FLO_E_INFER_PARAM);
    assert_string_equal(request->params.param, "tools");
    assert_non_null(strstr(err.what, "more than 128 calls"));
}

static void an_error_has_a_status_until_a_stream_has_begun(void **state)
{
    (void)state;
    ask("{" USER STREAM "}");
    flo_fail(&err, FLO_E_INFER_BUSY, "no place");
    flo_answer_fail(request, &err);
    assert_int_equal(memory.status, 503);
    assert_non_null(strstr(memory.body.data, "{\"error\":{\"message\":\"no place\""));
    ask("{" USER STREAM "}");
    assert_int_equal(token("a", NULL), 0);
    flo_fail(&err, FLO_E_ENGINE_CRASH, "it is gone");
    flo_answer_fail(request, &err);
    assert_int_equal(memory.status, 200);
    assert_non_null(strstr(memory.body.data, "\"content\":\"a\"}"));
    assert_non_null(strstr(memory.body.data, "\n\ndata: {\"error\":{"));
    assert_null(strstr(memory.body.data, "[DONE]"));
}

static void calls_without_a_kind_of_model_say_so(void **state)
{
    (void)state;
    open_request(&flo_openai_refused, "no JSON");
    assert_null(request);
    assert_int_equal(memory.status, 400);
    assert_non_null(strstr(memory.body.data, "\"moderations, pictures"));
}

static void a_refused_body_is_answered_at_once(void **state)
{
    (void)state;
    open_request(&flo_openai_chat, "{\"messages\":[],\"model\":7}");
    assert_null(request);
    assert_int_equal(memory.status, 400);
    assert_non_null(strstr(memory.body.data, "\"param\":\"messages\""));
    assert_int_equal(serve->counters.errors, 1);
}

static void what_another_engine_begins_again_is_not_told_twice(void **state)
{
    char finish[32];
    (void)state;
    ask("{" USER "," TOOLS "}");
    assert_int_equal(token("x", (const struct part[]){{THOUGHT, "y"}, {CALL, "f"}, {0}}), 0);
    flo_answer_forget(request);
    answer_fully(FLO_WIRE_STOP);
    expect_message(whole_message(finish), FULL);
}

/* ---- other sinks and fronts ---- */

static int aborts, chunks;

static void no_header(void *context, const char *name, const char *value)
{
    (void)context;
    (void)name;
    (void)value;
}
static void no_whole(void *context, int status, const char *type, const void *data, size_t bytes)
{
    (void)context;
    (void)type;
    (void)data;
    fail_msg("status %d, %zu bytes", status, bytes);
}
static void no_begin(void *context, int status, const char *type)
{
    (void)context;
    assert_int_equal(status, 200);
    assert_string_equal(type, "text/event-stream; charset=utf-8");
}
static bool slow_chunk(void *context, const void *data, size_t bytes, bool is_last)
{
    (void)context;
    (void)data;
    (void)bytes;
    (void)is_last;
    return ++chunks < 2;
}
static void no_end(void *context)
{
    (void)context;
}
static void count_abort(void *context)
{
    (void)context;
    aborts++;
}

static void a_reader_that_is_too_slow_is_cut_off(void **state)
{
    static const struct serve_sink_kind slow = {no_header,  no_whole, no_begin,
                                                slow_chunk, no_end,   count_abort};
    (void)state;
    aborts = chunks = 0;
    ask("{" USER STREAM "}");
    request->sink = (struct serve_sink){&slow, NULL};
    assert_int_equal(token("a", NULL), 0);
    assert_int_equal(token("b", NULL), FLO_E_INFER_CANCELLED);
    assert_int_equal(aborts, 1);
    assert_true(flo_sink_is_gone(&request->sink));
}

/* A front that writes a letter for each call, and keeps state of its own. */
static int drops;

static int letters_read(struct serve_request *of, const struct serve_body *body,
                        struct flo_err *error)
{
    json_t *tree =
        json_pack("{s:b,s:[{s:s,s:s%}],s:o}", "stream", 1, "messages", "role", "user", "content",
                  body->data, body->bytes, "tools", parse("[" F("f") "]", strlen("[" F("f") "]")));

    of->state = calloc(1, sizeof(int));
    return flo_params_read_tree(REQUEST_CHAT, tree, &of->params, error);
}
static void letters_begin(struct serve_request *of, struct flo_buf *out)
{
    assert_non_null(of->state);
    flo_buf_text(out, "b");
}
static void letters_piece(struct serve_request *of, const struct serve_piece *piece,
                          struct flo_buf *out)
{
    ++*(int *)of->state;
    flo_buf_printf(out, "%c%.*s", "tTca"[piece->kind], (int)piece -> text.bytes, piece->text.data);
}
static void letters_end(struct serve_request *of, const struct flo_wire_done *frame,
                        struct flo_buf *out)
{
    const struct serve_kept *kept = &of->kept;

    flo_buf_printf(out, "e%u %d %s %s %s", frame->tokens_out, *(int *)of->state, kept->text.data,
                   kept->thoughts.data, kept->calls[0].arguments.data);
}
static void letters_fail(struct serve_failure *failure, struct flo_buf *out)
{
    failure->status = failure->is_in_stream ? failure->status : 418;
    flo_buf_text(out, "f");
}
static void letters_drop(void *state)
{
    free(state);
    drops++;
}
static const struct serve_front letters = {
    .kind = REQUEST_CHAT,
    .id_prefix = "let-",
    .stream_type = "application/x-ndjson",
    .tells_parts = true,
    .keeps = true,
    .read = letters_read,
    .begin = letters_begin,
    .piece = letters_piece,
    .end = letters_end,
    .fail = letters_fail,
    .drop = letters_drop,
};

static void another_front_has_its_own_words_and_state(void **state)
{
    const struct part parts[] = {{THOUGHT, "1"}, {CALL, "f"}, {ARGUMENTS, "{"}, {0}};
    (void)state;
    drops = 0;
    open_request(&letters, "a");
    assert_non_null(request);
    assert_memory_equal(request->id, "let-", 4);
    assert_int_equal(token("2", parts), 0);
    assert_int_equal(done(FLO_WIRE_STOP, "", (const struct part[]){{ARGUMENTS, "}"}, {0}}), 0);
    assert_string_equal(memory.body.data, "bT1t2cfa{a}e5 5 2 1 {}");
    forget();
    assert_int_equal(drops, 1);
    /* A refusal has the front's status, and the field of OpenAI's body. */
    open_request(&letters, "\xff");
    assert_null(request);
    assert_int_equal(memory.status, 418);
    assert_int_equal(drops, 2);
}

static int ends;

static void count_end(void *context, struct serve_memory *of)
{
    assert_ptr_equal(context, &ends);
    assert_ptr_equal(of, &memory);
    ends++;
}

static void a_sink_in_memory_tells_its_end_once(void **state)
{
    struct flo_buf text = {0};
    (void)state;
    ends = 0;
    memory.done = count_end;
    memory.context = &ends;
    memory.body.bytes_max = 3;
    struct serve_sink sink = flo_sink_memory(&memory);
    flo_buf_text(&text, "ab");
    flo_sink_header(&sink, "A", "b");
    flo_sink_begin(&sink, 200, "text/plain");
    assert_true(flo_sink_chunk(&sink, &text));
    assert_int_equal(ends, 0);
    flo_sink_end(&sink, &text);
    flo_sink_abort(&sink);
    flo_sink_whole(&sink, 500, "text/plain", &text);
    assert_int_equal(ends, 1);
    assert_true(memory.status == 200 && memory.body.failed);
    assert_false(memory.is_broken);
    flo_buf_deinit(&memory.body);
    sink = flo_sink_memory(&memory);
    flo_sink_begin(&sink, 200, "text/plain");
    flo_sink_abort(&sink);
    assert_true(memory.is_broken && ends == 2);
    flo_buf_deinit(&text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_whole_answer_has_thoughts_text_and_calls),
        CASE(the_deltas_of_a_stream_add_up_to_the_whole_answer),
        CASE(an_answer_that_was_cut_says_so_whatever_it_calls),
        CASE(an_answer_of_calls_alone_has_no_content),
        CASE(who_asks_with_functions_is_answered_with_one),
        CASE(an_engine_that_breaks_the_protocol_is_refused),
        CASE(parts_are_a_whole_list_or_none),
        CASE(parts_come_only_where_they_were_asked_for),
        CASE(each_part_of_an_answer_has_a_bound),
        CASE(an_answer_has_so_many_calls_at_most),
        CASE(an_error_has_a_status_until_a_stream_has_begun),
        CASE(calls_without_a_kind_of_model_say_so),
        CASE(a_refused_body_is_answered_at_once),
        CASE(what_another_engine_begins_again_is_not_told_twice),
        CASE(a_reader_that_is_too_slow_is_cut_off),
        CASE(another_front_has_its_own_words_and_state),
        CASE(a_sink_in_memory_tells_its_end_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
