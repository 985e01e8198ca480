/* The frames between agent and engine: what is written is read, and what is
 * damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_wire.h>
#include <flotilla/errors/memory.h>
#include <flotilla/errors/rest.h>
#include <flotilla/errors/worker.h>
#include <flotilla/grammar.h>

#define TEXT(t) ((struct flo_wire_text){t, sizeof(t) - 1})

static bool same(struct flo_wire_text a, const char *b)
{
    return a.bytes == strlen(b) && memcmp(a.data, b, a.bytes) == 0;
}

static struct flo_wire_message generate(void)
{
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = 7};
    m.generate.n_messages = 2;
    m.generate.messages[0].role = TEXT("system");
    m.generate.messages[0].content = TEXT("be short");
    m.generate.messages[1].role = TEXT("user");
    m.generate.messages[1].content = TEXT("");
    m.generate.max_tokens = 16;
    m.generate.temperature = 0.7;
    m.generate.seed = UINT64_MAX;
    m.generate.now_ms = 1ull << 41;
    m.generate.ignores_end = true;
    m.generate.n_stops = 1;
    m.generate.stops[0] = TEXT("\n\n");
    return m;
}

static void a_request_comes_back_as_it_was(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_message in = generate(), got;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_wire_write(&out, &in, &err), 0);
    assert_int_equal(flo_wire_read(out.data, out.bytes, &got, &err), (ptrdiff_t)out.bytes);
    assert_int_equal(got.type, FLO_WIRE_GENERATE);
    assert_int_equal(got.request, 7);
    assert_int_equal(got.generate.n_messages, 2);
    assert_true(same(got.generate.messages[0].content, "be short"));
    assert_true(same(got.generate.messages[1].content, ""));
    assert_int_equal(got.generate.max_tokens, 16);
    assert_true(got.generate.temperature == 0.7);
    assert_true(got.generate.seed == UINT64_MAX);
    assert_true(got.generate.now_ms == 1ull << 41);
    assert_true(got.generate.ignores_end && !got.generate.reads_special);
    assert_true(same(got.generate.stops[0], "\n\n"));
    flo_buf_deinit(&out);
}

static void adapters_are_named_in_order_and_bounded(void **state)
{
    char name[FLO_NAME_MAX + 2];
    struct flo_buf out = {0};
    struct flo_wire_message in = {.type = FLO_WIRE_OPEN, .request = 1}, got;
    (void)state;
    in.open.context = 512;
    in.open.n_adapters = 2;
    in.open.adapters[0] = TEXT("site");
    in.open.adapters[1] = TEXT("night");
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    assert_int_equal(flo_wire_read(out.data, out.bytes, &got, NULL), (ptrdiff_t)out.bytes);
    assert_int_equal(got.open.context, 512);
    assert_int_equal(got.open.n_adapters, 2);
    assert_true(same(got.open.adapters[0], "site"));
    assert_true(same(got.open.adapters[1], "night"));
    /* A name that is too long, or empty, ends the connection. */
    memset(name, 'a', sizeof(name));
    for (size_t bytes = 0; bytes <= FLO_NAME_MAX + 1; bytes += FLO_NAME_MAX + 1) {
        out.bytes = 0;
        in.open.adapters[1] = (struct flo_wire_text){name, bytes};
        assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
        assert_int_equal(flo_wire_read(out.data, out.bytes, &got, NULL), FLO_E_WORKER_PROTOCOL);
    }
    flo_buf_deinit(&out);
}

static void a_change_of_adapters_comes_back(void **state)
{
    static const enum flo_wire_type types[] = {FLO_WIRE_LOAD, FLO_WIRE_DROP, FLO_WIRE_ADAPTER};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        struct flo_buf out = {0};
        struct flo_wire_message in = {.type = types[i], .request = 9}, got;
        in.adapter.name = TEXT("night");
        in.adapter.bytes = 1ull << 40;
        assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
        assert_int_equal(flo_wire_read(out.data, out.bytes, &got, NULL), (ptrdiff_t)out.bytes);
        assert_int_equal(got.type, types[i]);
        assert_true(same(got.adapter.name, "night"));
        assert_true(got.adapter.bytes == 1ull << 40);
        flo_buf_deinit(&out);
    }
}

static void texts_to_embed_come_back_in_their_order(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_message in = {.type = FLO_WIRE_EMBED, .request = 3}, got;
    (void)state;
    in.embed.takes_last = in.embed.ranks = true;
    in.embed.n_inputs = 3;
    in.embed.inputs[0].data = TEXT("one");
    in.embed.inputs[1].data = TEXT("\1\0\0\0");
    in.embed.inputs[1].is_tokens = true;
    in.embed.inputs[2].data = TEXT("");
    in.embed.adapter = TEXT("night");
    in.embed.adapter_scale = 0.5;
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    assert_int_equal(flo_wire_read(out.data, out.bytes, &got, NULL), (ptrdiff_t)out.bytes);
    assert_int_equal(got.embed.n_inputs, 3);
    assert_true(got.embed.takes_last);
    assert_true(got.embed.ranks);
    assert_true(same(got.embed.inputs[0].data, "one"));
    assert_true(got.embed.inputs[1].is_tokens);
    assert_int_equal(got.embed.inputs[1].data.bytes, 4);
    assert_false(got.embed.inputs[2].is_tokens);
    assert_int_equal(got.embed.inputs[2].data.bytes, 0);
    assert_true(same(got.embed.adapter, "night") && got.embed.adapter_scale == 0.5);
    out.bytes = 0;
    in.embed.n_inputs = FLO_WIRE_INPUTS_MAX;
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    char *more = malloc(out.bytes + 6); /* one input more than there may be */
    assert_non_null(more);
    memcpy(more, out.data, out.bytes);
    memcpy(more + out.bytes, "\x67\0\0\0\0\0", 6);
    flo_put_u32(more + 4, (uint32_t)(out.bytes + 6 - FLO_WIRE_HEAD_BYTES));
    assert_int_equal(flo_wire_read(more, out.bytes + 6, &got, NULL), FLO_E_WORKER_PROTOCOL);
    free(more);
    flo_buf_deinit(&out);
}

static void log_probabilities_are_read_as_far_as_they_are_whole(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_logprob one = {7, -0.5f, TEXT("a\xff")}, got;
    (void)state;
    flo_wire_logprob_add(&out, &one);
    one = (struct flo_wire_logprob){.token = 9, .logprob = -9999.0f};
    flo_wire_logprob_add(&out, &one);
    for (size_t bytes = 0; bytes <= out.bytes; bytes++) {
        struct flo_wire_text rest = {out.data, bytes};
        int count = 0;
        while (flo_wire_logprob_next(&rest, &got)) {
            count++;
        }
        assert_int_equal(count, bytes < 14 ? 0 : bytes < 26 ? 1 : 2);
        assert_int_equal(rest.bytes == 0, bytes == 0 || bytes == 14 || bytes == 26);
    }
    assert_int_equal(got.token, 9);
    assert_true(got.logprob == -9999.0f);
    flo_buf_deinit(&out);
}

static void parts_of_an_answer_are_read_as_far_as_they_are_whole(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_part one = {FLO_WIRE_PART_CALL, TEXT("now")}, got;
    (void)state;
    flo_wire_part_add(&out, &one);
    one = (struct flo_wire_part){.kind = 77};
    flo_wire_part_add(&out, &one);
    for (size_t bytes = 0; bytes <= out.bytes; bytes++) {
        struct flo_wire_text rest = {out.data, bytes};
        int count = 0;
        while (flo_wire_part_next(&rest, &got)) {
            count++;
            assert_true(got.kind == 77 || same(got.text, "now"));
        }
        assert_int_equal(count, bytes < 11 ? 0 : bytes < 19 ? 1 : 2);
        assert_int_equal(rest.bytes == 0, bytes == 0 || bytes == 11 || bytes == 19);
    }
    flo_buf_deinit(&out);
}

static void a_message_has_more_than_its_content(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_message in = {.type = FLO_WIRE_GENERATE}, got;
    (void)state;
    in.generate.n_messages = 2;
    in.generate.messages[0].role = TEXT("user");
    in.generate.messages[1].role = TEXT("assistant");
    in.generate.messages[1].more = TEXT("{\"tool_calls\":[]}");
    in.generate.tools = TEXT("[]");
    in.generate.tool_choice = FLO_WIRE_TOOLS_REQUIRED;
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    assert_true(flo_wire_read(out.data, out.bytes, &got, NULL) > 0);
    assert_int_equal(got.generate.n_messages, 2);
    assert_int_equal(got.generate.messages[0].more.bytes, 0);
    assert_true(same(got.generate.messages[1].more, "{\"tool_calls\":[]}"));
    assert_true(same(got.generate.tools, "[]"));
    assert_int_equal(got.generate.tool_choice, FLO_WIRE_TOOLS_REQUIRED);
    /* Once for a message, and never before the first one. */
    char *twice = malloc(out.bytes + 7);
    assert_non_null(twice);
    memcpy(twice, out.data, out.bytes);
    memcpy(twice + out.bytes, "\x6a\0\1\0\0\0{", 7);
    flo_put_u32(twice + 4, (uint32_t)(out.bytes + 7 - FLO_WIRE_HEAD_BYTES));
    assert_int_equal(flo_wire_read(twice, out.bytes + 7, &got, NULL), FLO_E_WORKER_PROTOCOL);
    free(twice);
    flo_buf_deinit(&out);
}

static void images_stand_with_their_messages(void **state)
{
    static const struct {
        const char *field;
        size_t bytes;
    } bad[] = {
        {"\x6b\0\x08\0\0\0\0\0\0\0\0\0\0\0", 14},  /* no URL */
        {"\x6b\0\x09\0\0\0\3\0\0\0\0\0\0\0x", 15}, /* past the text */
        {"\x6b\0\x09\0\0\0\1\0\0\0\0\0\0\0x", 15}, /* before another */
        {"\x6b\0\x09\0\0\0\2\0\0\0\4\0\0\0x", 15}, /* no detail */
    };
    struct flo_buf out = {0};
    struct flo_wire_message in = {.type = FLO_WIRE_GENERATE}, got;
    (void)state;
    in.generate.n_messages = 2;
    in.generate.messages[0].role = TEXT("user");
    in.generate.messages[1].role = TEXT("user");
    in.generate.messages[1].content = TEXT("ab");
    in.generate.n_images = 2;
    in.generate.images[0].url = TEXT("data:a");
    in.generate.images[1].message = 1;
    in.generate.images[1].at = 2;
    in.generate.images[1].detail = FLO_WIRE_DETAIL_HIGH;
    in.generate.images[1].url = TEXT("data:b");
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    assert_true(flo_wire_read(out.data, out.bytes, &got, NULL) > 0);
    assert_int_equal(got.generate.n_images, 2);
    assert_int_equal(got.generate.images[0].message, 0);
    assert_true(same(got.generate.images[0].url, "data:a"));
    assert_int_equal(got.generate.images[1].message, 1);
    assert_int_equal(got.generate.images[1].at, 2);
    assert_int_equal(got.generate.images[1].detail, FLO_WIRE_DETAIL_HIGH);
    assert_true(same(got.generate.images[1].url, "data:b"));
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct flo_buf more = {0};
        flo_buf_add(&more, out.data, out.bytes);
        flo_buf_add(&more, bad[i].field, bad[i].bytes);
        flo_put_u32((uint8_t *)more.data + 4, (uint32_t)(more.bytes - FLO_WIRE_HEAD_BYTES));
        assert_int_equal(flo_wire_read(more.data, more.bytes, &got, NULL), FLO_E_WORKER_PROTOCOL);
        flo_buf_deinit(&more);
    }
    flo_buf_deinit(&out);
}

static void an_error_keeps_its_id(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_message in = {.type = FLO_WIRE_FAILED}, got;
    (void)state;
    in.failed.id = TEXT("memory.budget");
    in.failed.what = TEXT("812 MB needed");
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    assert_true(flo_wire_read(out.data, out.bytes, &got, NULL) > 0);
    assert_int_equal(flo_wire_failed_code(&got.failed), FLO_E_MEMORY_BUDGET);
    assert_true(same(got.failed.what, "812 MB needed"));
    flo_buf_deinit(&out);
}

static void a_cut_frame_waits_for_the_rest(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_message in = generate(), got;
    (void)state;
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    for (size_t n = 0; n < out.bytes; n++) {
        char *copy = malloc(n + 1);
        memcpy(copy, out.data, n);
        assert_int_equal(flo_wire_read(copy, n, &got, NULL), 0);
        free(copy);
    }
    flo_buf_deinit(&out);
}

static void every_flipped_byte_is_read_or_refused(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_message in = generate(), got;
    size_t refused = 0;
    (void)state;
    assert_int_equal(flo_wire_write(&out, &in, NULL), 0);
    for (size_t i = 0; i < out.bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct flo_err err = {0};
            out.data[i] = (char)(out.data[i] ^ (1 << bit));
            ptrdiff_t rv = flo_wire_read(out.data, out.bytes, &got, &err);
            assert_true(rv == FLO_E_WORKER_PROTOCOL || (rv >= 0 && rv <= (ptrdiff_t)out.bytes));
            refused += rv < 0;
            out.data[i] = (char)(out.data[i] ^ (1 << bit));
        }
    }
    assert_true(refused > 32); /* the magic at least */
    flo_buf_deinit(&out);
}

static void what_is_too_long_is_not_written(void **state)
{
    struct flo_buf out = {0};
    struct flo_wire_message in = {.type = FLO_WIRE_TOKENISE};
    struct flo_err err = {0};
    (void)state;
    in.tokenise.text.bytes = FLO_WIRE_PAYLOAD_BYTES_MAX;
    in.tokenise.text.data = calloc(1, FLO_WIRE_PAYLOAD_BYTES_MAX);
    assert_int_equal(flo_wire_write(&out, &in, &err), FLO_E_REST_TOO_LARGE);
    assert_int_equal(out.bytes, 0);
    free((void *)(uintptr_t)in.tokenise.text.data);
    flo_buf_deinit(&out);
}

static void doubled_short_and_unpaired_fields_are_refused(void **state)
{
    static const uint8_t doubled[] = {4, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                                      4, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t narrow[] = {4, 0, 4, 0, 0, 0, 1, 0, 0, 0};
    static const uint8_t wide[] = {4, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
    static const uint8_t role[] = {100, 0, 1, 0, 0, 0, 'u'};
    static const uint8_t beyond[] = {1, 0, 9, 0, 0, 0, 'u'};
    static const struct {
        const uint8_t *data;
        size_t bytes;
    } cases[] = {{doubled, sizeof(doubled)},
                 {narrow, sizeof(narrow)},
                 {wide, sizeof(wide)},
                 {role, sizeof(role)},
                 {beyond, sizeof(beyond)}};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        uint8_t frame[64] = "FLW1";
        struct flo_wire_message got;
        flo_put_u32(frame + 4, (uint32_t)cases[i].bytes);
        flo_put_u16(frame + 8, FLO_WIRE_GENERATE);
        memcpy(frame + FLO_WIRE_HEAD_BYTES, cases[i].data, cases[i].bytes);
        assert_int_equal(flo_wire_read(frame, FLO_WIRE_HEAD_BYTES + cases[i].bytes, &got, NULL),
                         FLO_E_WORKER_PROTOCOL);
    }
}

static void a_runtimes_ready_tells_its_name_and_abilities(void **state)
{
    struct flo_wire_message got,
        in = {.type = FLO_WIRE_READY,
              .ready = {.context = 64, .abilities = FLO_ABILITY_VECTORS, .runtime = TEXT("fake")}};
    struct flo_buf out = {0};
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_wire_write(&out, &in, &err), 0);
    assert_int_equal(flo_wire_read(out.data, out.bytes, &got, &err), out.bytes);
    assert_true(same(got.ready.runtime, "fake"));
    assert_int_equal(flo_wire_abilities(&got.ready), FLO_ABILITY_VECTORS);
    got.ready.abilities = 0; /* a runtime that has nothing more */
    assert_int_equal(flo_wire_abilities(&got.ready), 0);
    got.ready.runtime.bytes = 0; /* an engine of before */
    assert_int_equal(flo_wire_abilities(&got.ready), FLO_ABILITIES_OURS);
    flo_buf_deinit(&out);
}

static void a_request_names_the_parameter_that_an_engine_lacks(void **state)
{
    static const struct {
        uint64_t without;
        const char *param;
    } rows[] = {{FLO_ABILITY_LOGPROBS, "logprobs"},  {FLO_ABILITY_GRAMMAR, "grammar"},
                {FLO_ABILITY_AUDIO, "file"},         {FLO_ABILITY_SHIFT, "context_shift"},
                {FLO_ABILITY_ENDLESS, "ignore_eos"}, {FLO_ABILITY_SAMPLING, "top_k"},
                {FLO_ABILITY_ADAPTERS, "model"},     {FLO_ABILITY_IMAGES, "messages"}};
    struct flo_wire_message in = generate();
    const char *param = NULL;
    (void)state;
    in.generate.logprobs = 1;
    in.generate.audio = TEXT("RIFF");
    in.generate.grammar_kind = FLO_GRAMMAR_GBNF;
    in.generate.shifts = true;
    in.generate.top_k = 40;
    in.generate.adapter = TEXT("ops");
    in.generate.n_images = 1;
    assert_null(flo_wire_lacks(&in, FLO_ABILITIES_ALL, &param));
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        uint64_t abilities = FLO_ABILITIES_ALL & ~rows[i].without;
        assert_non_null(flo_wire_lacks(&in, abilities, &param));
        assert_string_equal(param, rows[i].param);
    }
    in.generate = (struct flo_wire_generate){.grammar_kind = FLO_GRAMMAR_SCHEMA};
    assert_null(flo_wire_lacks(&in, FLO_ABILITY_SCHEMA, &param));
    assert_null(flo_wire_lacks(&in, FLO_ABILITY_GRAMMAR, &param));
    assert_string_equal(flo_wire_lacks(&in, FLO_ABILITY_JSON, &param), "answers by a JSON Schema");
    assert_string_equal(param, "response_format");
    in.generate = (struct flo_wire_generate){.n_messages = 1, .seed = 4};
    assert_null(flo_wire_lacks(&in, 0, &param));
    in = (struct flo_wire_message){.type = FLO_WIRE_EMBED};
    assert_null(flo_wire_lacks(&in, FLO_ABILITIES_OURS, &param));
    in.embed.adapter = TEXT("night");
    assert_null(flo_wire_lacks(&in, FLO_ABILITIES_OURS, &param));
    assert_string_equal(flo_wire_lacks(&in, FLO_ABILITY_VECTORS, &param), "adapters");
    assert_string_equal(param, "model");
    in.embed = (struct flo_wire_embed){.ranks = true};
    assert_null(flo_wire_lacks(&in, FLO_ABILITY_RERANK, &param));
    assert_string_equal(flo_wire_lacks(&in, FLO_ABILITIES_OURS, &param),
                        "scores of documents for a query");
    assert_string_equal(param, "method");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_comes_back_as_it_was),
        cmocka_unit_test(adapters_are_named_in_order_and_bounded),
        cmocka_unit_test(a_change_of_adapters_comes_back),
        cmocka_unit_test(texts_to_embed_come_back_in_their_order),
        cmocka_unit_test(log_probabilities_are_read_as_far_as_they_are_whole),
        cmocka_unit_test(parts_of_an_answer_are_read_as_far_as_they_are_whole),
        cmocka_unit_test(a_message_has_more_than_its_content),
        cmocka_unit_test(images_stand_with_their_messages),
        cmocka_unit_test(an_error_keeps_its_id),
        cmocka_unit_test(a_cut_frame_waits_for_the_rest),
        cmocka_unit_test(every_flipped_byte_is_read_or_refused),
        cmocka_unit_test(what_is_too_long_is_not_written),
        cmocka_unit_test(doubled_short_and_unpaired_fields_are_refused),
        cmocka_unit_test(a_runtimes_ready_tells_its_name_and_abilities),
        cmocka_unit_test(a_request_names_the_parameter_that_an_engine_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
