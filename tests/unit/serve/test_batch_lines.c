/* Batches: lines out of bytes, names that stand twice, answers as lines, and
 * how far a batch is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "agent/serve/batch/lines.h"
#include "agent/serve/batch/progress.h"
#include "agent/serve/batch/twice.h"

#define BODY "\"body\":{\"model\":\"m\"}"
#define REST "\"method\":\"POST\",\"url\":\"/v1/chat/completions\"," BODY "}"

static struct flo_batch_reader reader;
static struct flo_batch_line line;
static struct flo_err err;

static int set_up(void **state)
{
    (void)state;
    memset(&reader, 0, sizeof(reader));
    memset(&line, 0, sizeof(line));
    memset(&err, 0, sizeof(err));
    reader.bytes_max = FLO_BATCH_LINE_BYTES_MAX;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    flo_batch_reader_deinit(&reader);
    flo_batch_line_deinit(&line);
    return 0;
}

/* ---- lines ---- */

static void lines_are_the_same_however_their_bytes_come(void **state)
{
    static const char text[] = "one\n\n  \r\nfour\nhalf";
    (void)state;

    for (size_t piece = 1; piece <= sizeof(text); piece++) {
        char seen[64] = "";
        size_t at = 0, bytes = strlen(text);

        set_up(NULL);
        while (at < bytes) {
            size_t n = bytes - at < piece ? bytes - at : piece;
            at += flo_batch_reader_take(&reader, text + at, n);
            if (reader.is_whole) {
                snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%llu@%llu%s%s ",
                         (unsigned long long)reader.number, (unsigned long long)reader.begin,
                         flo_batch_reader_is_blank(&reader) ? "-" : ":",
                         flo_batch_reader_is_blank(&reader) ? "" : reader.line.data);
            }
        }
        assert_string_equal(seen, "1@0:one 2@4- 3@5- 4@9:four ");
        assert_true(flo_batch_reader_end(&reader));
        assert_string_equal(reader.line.data, "half");
        assert_int_equal(reader.number, 5);
        assert_false(flo_batch_reader_end(&reader));
        tear_down(NULL);
    }
}

static void a_line_beyond_its_bound_is_counted_and_not_kept(void **state)
{
    (void)state;
    reader.bytes_max = 8;

    for (int i = 0; i < 1000; i++) {
        assert_int_equal(flo_batch_reader_take(&reader, "0123456789", 10), 10);
    }
    assert_int_equal(flo_batch_reader_take(&reader, "\nx", 2), 1);

    assert_true(reader.is_whole);
    assert_int_equal(reader.bytes, 10000);
    assert_string_equal(reader.line.data, "01234567");
    assert_int_equal(reader.offset, 10001);
    assert_false(reader.line.failed);
}

static int read_text(const char *text, int endpoint)
{
    flo_batch_line_deinit(&line);
    flo_batch_reader_take(&reader, text, strlen(text));
    flo_batch_reader_take(&reader, "\n", 1);
    return flo_batch_line_read(&reader, endpoint, &line, &err);
}

static void a_request_of_a_batch_gets_its_priority(void **state)
{
    (void)state;

    assert_int_equal(read_text("{\"custom_id\":\"a\"," REST, -1), 0);

    assert_string_equal(line.custom_id, "a");
    assert_int_equal(line.endpoint, 0);
    assert_string_equal(line.body.data, "{\"model\":\"m\",\"priority\":\"batch\"}");
}

static void a_wrong_line_is_refused_with_its_field_and_keeps_its_name(void **state)
{
#define START "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":"
    static const struct {
        const char *text;
        int code;
        const char *what, *id;
    } rows[] = {
        {"{half", FLO_E_REST_SCHEMA, "", ""},
        {"[1]", FLO_E_REST_SCHEMA, "the line is no JSON object", ""},
        {"{" REST, FLO_E_INFER_PARAM, "custom_id must be a text of 1 to 512 bytes", ""},
        {"{\"custom_id\":\"\"," REST, FLO_E_INFER_PARAM,
         "custom_id must be a text of 1 to 512 bytes", ""},
        {"{\"custom_id\":\"a\",\"method\":\"GET\"," BODY "}", FLO_E_INFER_PARAM,
         "method must be POST", "a"},
        {START "\"/v1/models\"," BODY "}", FLO_E_INFER_PARAM,
         "url must be /v1/chat/completions, /v1/completions, /v1/embeddings or "
         "/v1/responses",
         "a"},
        {START "\"/v1/embeddings\"," BODY "}", FLO_E_INFER_PARAM,
         "url is /v1/embeddings, and the batch's endpoint is "
         "/v1/chat/completions",
         "a"},
        {START "\"/v1/chat/completions\",\"body\":[]}", FLO_E_INFER_PARAM, "body must be an object",
         "a"},
        {START "\"/v1/chat/completions\",\"body\":{\"stream\":true}}", FLO_E_INFER_PARAM,
         "body.stream must be false: answers of a batch come whole", "a"},
    };
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_int_equal(read_text(rows[i].text, 0), rows[i].code);
        if (rows[i].what[0] != '\0') {
            assert_string_equal(err.what, rows[i].what);
        }
        assert_string_equal(line.custom_id, rows[i].id);
        assert_null(line.body.data);
    }
}

static void a_line_that_is_too_long_is_an_error_with_both_numbers(void **state)
{
    char *text = malloc(FLO_BATCH_LINE_BYTES_MAX + 2);
    (void)state;

    memset(text, 'x', FLO_BATCH_LINE_BYTES_MAX + 1);
    text[FLO_BATCH_LINE_BYTES_MAX + 1] = '\0';
    assert_int_equal(read_text(text, -1), FLO_E_REST_TOO_LARGE);
    assert_string_equal(err.what, "the line has 1052673 bytes, at most 1052672 are taken");
    free(text);
}

/* ---- answers ---- */

static void read_back(const struct flo_batch_answer *answer, struct flo_batch_answered *out)
{
    struct flo_buf text = {0};

    flo_batch_answer_add(answer, &text);
    flo_batch_reader_take(&reader, text.data, text.bytes);
    assert_true(reader.is_whole); /* it has no line end inside */
    assert_int_equal(reader.bytes + 1, text.bytes);
    assert_true(flo_batch_answer_read(&reader, out));
    flo_buf_deinit(&text);
}

static void an_answer_is_one_line_that_can_be_read_back(void **state)
{
    static const char body[] = "{\"a\":\n\r[1,\n2]}\n";
    const struct flo_batch_answer answer = {.batch = "batch-1",
                                            .number = 7,
                                            .custom_id = "x\"\n",
                                            .status = 200,
                                            .body = body,
                                            .bytes = strlen(body)};
    struct flo_batch_answered seen;
    (void)state;

    read_back(&answer, &seen);

    assert_int_equal(seen.number, 7);
    assert_string_equal(seen.custom_id, "x\"\n");
    assert_false(seen.has_failed);
    assert_string_equal(reader.line.data,
                        "{\"id\":\"batch_req_batch-1_7\",\"custom_id\":\"x\\\"\\n\","
                        "\"response\":{\"status_code\":200,\"request_id\":"
                        "\"batch_req_batch-1_7\",\"body\":{\"a\":  [1, 2]}},\"error\":null}");
}

static void an_error_is_an_answer_that_has_failed(void **state)
{
    struct flo_batch_answer answer = {
        .batch = "", .number = 3, .custom_id = "", .code = "rest.schema", .what = "no \"JSON\""};
    struct flo_batch_answered seen;
    (void)state;

    read_back(&answer, &seen);
    assert_true(seen.has_failed);
    assert_string_equal(seen.custom_id, "");
    assert_string_equal(reader.line.data,
                        "{\"id\":\"batch_req_3\",\"custom_id\":null,\"response\":null,"
                        "\"error\":{\"code\":\"rest.schema\",\"message\":\"no \\\"JSON\\\"\","
                        "\"line\":3}}");

    answer = (struct flo_batch_answer){.batch = "", .number = 4, .custom_id = "b", .status = 400};
    read_back(&answer, &seen);
    assert_true(seen.has_failed);
}

static void a_busy_device_is_asked_again_and_a_crash_three_times(void **state)
{
    static const char busy[] = "{\"error\":{\"code\":\"infer.busy\"}}";
    static const char crash[] = "{\"error\":{\"code\":\"engine.crash\"}}";
    (void)state;

    assert_false(flo_batch_comes_again(200, NULL, 0, 1));
    assert_false(flo_batch_comes_again(400, busy, strlen(busy), 1));
    assert_true(flo_batch_comes_again(429, crash, strlen(crash), 1000));
    assert_true(flo_batch_comes_again(503, busy, strlen(busy), 1000));
    assert_true(flo_batch_comes_again(503, crash, strlen(crash), 2));
    assert_false(flo_batch_comes_again(503, crash, strlen(crash), 3));
    assert_false(flo_batch_comes_again(503, "<html>", 6, 3));
}

/* ---- names that stand twice ---- */

/* All names of three passes or more, "n0" to "n999", and one of them again. */
static void pairs(size_t room, int again, uint64_t *first, uint64_t *second)
{
    struct flo_twice twice;
    struct flo_twice_name one, two;
    unsigned passes = 0;

    assert_int_equal(flo_twice_open(&twice, room, 99, &err), 0);
    *first = *second = 0;
    do {
        char name[16];
        for (int i = 0; i <= 1000; i++) {
            snprintf(name, sizeof(name), "n%d", i < 1000 ? i : again);
            flo_twice_add(&twice, name, (uint64_t)i + 1, (uint64_t)i * 10);
        }
        flo_twice_sort(&twice);
        if (flo_twice_next(&twice, 0, &one, &two)) {
            assert_int_equal(*second, 0); /* in one pass alone */
            *first = one.number;
            *second = two.number;
            assert_int_equal(one.offset, 10 * (one.number - 1));
            assert_false(flo_twice_next(&twice, two.number, &one, &two));
        }
        passes++;
        assert_true(twice.count <= room);
    } while (flo_twice_again(&twice));
    assert_true(passes >= 1001 / room);
    flo_twice_deinit(&twice);
}

static void a_name_on_two_lines_is_found_in_a_table_of_any_size(void **state)
{
    static const size_t rooms[] = {4, 7, 100, 1001};
    uint64_t first, second;
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rooms); i++) {
        for (int again = 0; again < 1000; again += 333) {
            pairs(rooms[i], again, &first, &second);
            assert_int_equal(first, again + 1);
            assert_int_equal(second, 1001);
        }
    }
}

static void names_that_differ_are_no_pair(void **state)
{
    uint64_t first, second;
    (void)state;

    pairs(64, 1000, &first, &second);

    assert_int_equal(second, 0);
}

static void one_name_on_all_lines_is_found_at_its_second_one(void **state)
{
    struct flo_twice twice;
    struct flo_twice_name first, second;
    (void)state;

    assert_int_equal(flo_twice_open(&twice, 4, 1, &err), 0);
    for (uint64_t i = 1; i <= 100; i++) {
        flo_twice_add(&twice, "same", i, i);
    }
    flo_twice_sort(&twice);

    assert_true(flo_twice_next(&twice, 0, &first, &second));
    assert_int_equal(first.number, 1);
    assert_int_equal(second.number, 2);
    flo_twice_deinit(&twice);
}

/* ---- how far ---- */

static const struct flo_batch_progress some = {.sequence = 5,
                                               .line = 10,
                                               .input_bytes = 1000,
                                               .output_bytes = 2000,
                                               .error_bytes = 30,
                                               .completed = 9,
                                               .failed = 1};

static void the_newest_whole_record_counts(void **state)
{
    uint8_t file[FLO_BATCH_PROGRESS_SLOTS * FLO_BATCH_PROGRESS_BYTES] = {0};
    struct flo_batch_progress older = some, seen;
    (void)state;
    older.sequence--;
    older.line--;

    assert_false(flo_batch_progress_read(file, sizeof(file), &seen));
    flo_batch_progress_write(&older, file + flo_batch_progress_offset(&older));
    flo_batch_progress_write(&some, file + flo_batch_progress_offset(&some));

    assert_true(flo_batch_progress_read(file, sizeof(file), &seen));
    assert_memory_equal(&seen, &some, sizeof(seen));
    for (size_t i = 0; i < FLO_BATCH_PROGRESS_BYTES; i++) {
        uint8_t *byte = file + flo_batch_progress_offset(&some) + i;
        *byte ^= 1; /* torn anywhere */
        assert_true(flo_batch_progress_read(file, sizeof(file), &seen));
        assert_int_equal(seen.line, older.line);
        *byte ^= 1;
    }
    older.sequence += 2; /* the newest, in the place of the oldest */
    flo_batch_progress_write(&older, file + flo_batch_progress_offset(&older));
    assert_true(flo_batch_progress_read(file, sizeof(file), &seen));
    assert_memory_equal(&seen, &older, sizeof(seen));
}

static void a_cut_file_has_the_record_that_is_whole(void **state)
{
    uint8_t file[FLO_BATCH_PROGRESS_SLOTS * FLO_BATCH_PROGRESS_BYTES] = {0};
    struct flo_batch_progress first = some, seen;
    (void)state;
    first.sequence = 2;

    flo_batch_progress_write(&first, file);
    for (size_t bytes = 0; bytes <= sizeof(file); bytes++) {
        assert_int_equal(flo_batch_progress_read(file, bytes, &seen),
                         bytes >= FLO_BATCH_PROGRESS_BYTES);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(lines_are_the_same_however_their_bytes_come),
        T(a_line_beyond_its_bound_is_counted_and_not_kept),
        T(a_request_of_a_batch_gets_its_priority),
        T(a_wrong_line_is_refused_with_its_field_and_keeps_its_name),
        T(a_line_that_is_too_long_is_an_error_with_both_numbers),
        T(an_answer_is_one_line_that_can_be_read_back),
        T(an_error_is_an_answer_that_has_failed),
        T(a_busy_device_is_asked_again_and_a_crash_three_times),
        T(a_name_on_two_lines_is_found_in_a_table_of_any_size),
        T(names_that_differ_are_no_pair),
        T(one_name_on_all_lines_is_found_at_its_second_one),
        T(the_newest_whole_record_counts),
        T(a_cut_file_has_the_record_that_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
