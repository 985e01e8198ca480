/* Comparisons of models: the table, the JSON and the page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/judge/compare.h"

#define MARKUP "a<script>&\"b\".gguf"

/* The first model, a copy of it, and a file that did not open. */
static struct flo_compare_report report = {
    .suite_file = {.path = "s<b>.jsonl", .bytes = 7},
    .cases = 16,
    .tokens_max = 128,
    .rows = {{.file = {.path = "models/" MARKUP, .bytes = 6068032},
              .about.rss_bytes_peak = 3 << 20,
              .exact = 15,
              .has_kl = true,
              .tokens_in = 500,
              .prompt_us = 1000000,
              .steps = 30,
              .answer_us = 2000000},
             {.file = {.path = "models/" MARKUP, .bytes = 42},
              .type = "Q4_0",
              .exact = 3,
              .has_kl = true,
              .positions = 4,
              .kl_sum = 1},
             {.file = {.path = "none.gguf"},
              .error = {.code = FLO_E_GGUF_MAGIC, .what = "the first <four>"}}},
    .count = 3,
};

static const char *written(void (*write)(const struct flo_compare_report *, struct flo_buf *))
{
    static struct flo_buf out;

    out.bytes = 0;
    write(&report, &out);
    assert_false(out.failed);
    return out.data;
}

static void columns_are_aligned_and_numbers_end_where_their_titles_do(void **state)
{
    (void)state;
    assert_string_equal(
        written(flo_compare_table),
        "model                    answers right  KL to first  prompt tokens/s  answer tokens/s"
        "  peak RSS MiB  file bytes\n"
        "a<script>&\"b\".gguf               15/16     0.000000            500.0             15.0"
        "           3.0     6068032\n"
        "a<script>&\"b\".gguf Q4_0           3/16     0.250000                -                -"
        "           0.0          42\n"
        "none.gguf                gguf.magic: the first <four>\n");
}

static void names_that_two_files_share_become_paths(void **state)
{
    struct flo_compare_cells cells;

    (void)state;
    report.rows[0].has_twin = true;
    flo_compare_cells(&report, 0, &cells);
    report.rows[0].has_twin = false;
    assert_string_equal(cells.name, "models/" MARKUP);
}

static void a_distance_that_is_not_known_is_a_dash(void **state)
{
    struct flo_compare_cells cells;

    (void)state;
    report.rows[1].has_kl = false;
    flo_compare_cells(&report, 1, &cells);
    report.rows[1].has_kl = true;
    assert_string_equal(cells.texts[FLO_COMPARE_KL], "-");
    report.rows[1].nonfinite = 1;
    flo_compare_cells(&report, 1, &cells);
    report.rows[1].nonfinite = 0;
    assert_string_equal(cells.texts[FLO_COMPARE_KL], "not finite");
}

static void json_has_a_row_for_each_model_also_a_failed_one(void **state)
{
    const char *json = written(flo_compare_json);

    (void)state;
    assert_non_null(strstr(json, "{\"format\":\"flotilla-compare-1\","));
    assert_non_null(strstr(json, "\"quantized_to\":\"Q4_0\""));
    assert_non_null(strstr(json, "\"kl_mean\":0.250000000,\"positions\":4,"));
    assert_non_null(strstr(json, "\"answer_tokens_per_s\":15.00,"));
    assert_non_null(strstr(json, "\"answer_tokens_per_s\":null,"));
    assert_non_null(strstr(json, "{\"name\":\"none.gguf\",\"quantized_to\":null,\"file\":\"none."
                                 "gguf\",\"error\":{\"id\":\"gguf.magic\",\"what\":\"the first "
                                 "<four>\"}}]}\n"));
}

static void a_page_shows_names_as_text(void **state)
{
    const char *page = written(flo_compare_page);

    (void)state;
    assert_non_null(strstr(page, "<td>a&lt;script&gt;&amp;&quot;b&quot;.gguf</td>"));
    assert_non_null(strstr(page, "<title>a&lt;script&gt;&amp;&quot;b&quot;.gguf Q4_0</title>"));
    assert_non_null(strstr(page, "s&lt;b&gt;.jsonl"));
    assert_non_null(strstr(page, "gguf.magic: the first &lt;four&gt;"));
    assert_null(strstr(page, "<script"));
}

/* The sizes are 5.8 and 0 of an axis up to 10 MiB, the answers 15 and 3 of
 * 16. */
static void pictures_show_each_model_where_its_numbers_are(void **state)
{
    const char *page = written(flo_compare_page);

    (void)state;
    assert_non_null(strstr(page, "<circle cx=\"279.9\" cy=\"32.2\" r=\"5\">"));
    assert_non_null(strstr(page, "<circle cx=\"60.0\" cy=\"178.4\" r=\"5\">"));
    assert_non_null(strstr(page, "<circle cx=\"279.9\" cy=\"68.8\" r=\"5\">"));
}

/* Prompts without right answers count none, and the first picture is of the
 * distance. */
static void cases_that_only_ask_have_no_right_answers(void **state)
{
    struct flo_compare_cells cells;

    (void)state;
    report.only_asks = true;
    flo_compare_cells(&report, 0, &cells);
    assert_string_equal(cells.texts[FLO_COMPARE_EXACT], "-");
    assert_non_null(
        strstr(written(flo_compare_json), "\"exact\":null,\"exact_match\":null,\"kl_mean\":"));
    const char *page = written(flo_compare_page);
    assert_non_null(strstr(page, "<title>KL to first by size of the file, MiB</title>"));
    assert_null(strstr(page, "<title>answers right"));
    report.only_asks = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_aligned_and_numbers_end_where_their_titles_do),
        cmocka_unit_test(names_that_two_files_share_become_paths),
        cmocka_unit_test(a_distance_that_is_not_known_is_a_dash),
        cmocka_unit_test(json_has_a_row_for_each_model_also_a_failed_one),
        cmocka_unit_test(a_page_shows_names_as_text),
        cmocka_unit_test(pictures_show_each_model_where_its_numbers_are),
        cmocka_unit_test(cases_that_only_ask_have_no_right_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
