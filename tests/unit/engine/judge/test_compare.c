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
    flo_buf_add(&out, "", 1);
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

/* ---- errors by layer ---- */

/* Gives the copy two layers: four tokens, whose squared errors add up. */
static void begin_layers(double embedding, double first, double second)
{
    report.has_layers = true;
    report.rows[1].layers = (struct flo_layer_errors){
        .places = 3,
        .tokens = 4,
        .squares = {4 * embedding * embedding, 4 * first * first, 4 * second * second}};
}

static void end_layers(void)
{
    report.has_layers = false;
    report.rows[1].layers = (struct flo_layer_errors){.places = 0};
}

static void errors_by_layer_are_below_the_table_and_end_with_the_jump(void **state)
{
    (void)state;
    begin_layers(0.01, 0.25, 0.125);
    const char *table = strchr(written(flo_compare_table), '\0') - 1;
    while (strncmp(table, "\n\n", 2) != 0) {
        table--;
    }
    assert_string_equal(table + 2,
                        "error of the hidden state after each layer, relative, rms over the tokens "
                        "of all prompts\n"
                        "layer      a<script>&\"b\".gguf Q4_0\n"
                        "embedding                 0.010000\n"
                        "0                         0.250000\n"
                        "1                         0.125000\n"
                        "jump                  0: +0.240000\n");
    end_layers();
}

static void json_names_the_layer_of_the_jump_by_its_number_in_the_file(void **state)
{
    (void)state;
    begin_layers(0.01, 0.125, 0.25);
    assert_non_null(strstr(written(flo_compare_json),
                           "\"layers\":{\"from\":0,\"tokens\":4,\"embedding\":0.010000000,"
                           "\"errors\":[0.125000000,0.250000000],"
                           "\"jump\":{\"layer\":1,\"by\":0.125000000}},\"error\":null}"));
    begin_layers(0.01, 0, 0);
    assert_non_null(
        strstr(written(flo_compare_json), "\"jump\":{\"layer\":-1,\"by\":0.010000000}}"));
    begin_layers(0, 0, 0);
    assert_non_null(strstr(written(flo_compare_json), "\"jump\":null}"));
    end_layers();
    assert_non_null(strstr(written(flo_compare_json), "\"layers\":null,\"error\":null}"));
}

static void an_error_that_is_not_finite_is_the_jump(void **state)
{
    (void)state;
    begin_layers(0.01, 0, 0.25);
    report.rows[1].layers.nonfinite[1] = 1;
    assert_non_null(strstr(written(flo_compare_table), "0                       not finite\n"));
    assert_non_null(strstr(written(flo_compare_table), "jump                             0\n"));
    assert_non_null(strstr(written(flo_compare_json),
                           "\"errors\":[null,0.250000000],\"jump\":{\"layer\":0,\"by\":null}}"));
    assert_non_null(strstr(written(flo_compare_page), "jump at layer 0: not finite</text>"));
    end_layers();
}

static void models_without_common_layers_have_a_sentence_and_no_picture(void **state)
{
    (void)state;
    report.has_layers = true;
    assert_non_null(strstr(written(flo_compare_table), "no two models have the same layers"));
    assert_null(strstr(written(flo_compare_page), "<rect"));
    end_layers();
}

static void a_failed_original_leaves_its_copies_without_errors_by_layer(void **state)
{
    (void)state;
    begin_layers(0.01, 0.25, 0.25);
    report.rows[0].error.code = FLO_E_GGUF_MAGIC;
    assert_false(flo_compare_has_layers(&report, 1));
    report.rows[0].error.code = 0;
    assert_true(flo_compare_has_layers(&report, 1));
    end_layers();
}

/* A copy is made of the candidate before it; other models are measured from the
 * first. */
static void errors_are_measured_from_the_model_of_which_a_copy_was_made(void **state)
{
    static struct flo_compare_report other = {.rows = {{.type = NULL},
                                                       {.type = "Q8_0"},
                                                       {.type = NULL},
                                                       {.type = "Q8_0"},
                                                       {.type = "Q4_0"}},
                                              .count = 5};

    (void)state;
    assert_int_equal(flo_compare_from(&other, 1), 0);
    assert_int_equal(flo_compare_from(&other, 2), 0);
    assert_int_equal(flo_compare_from(&other, 3), 2);
    assert_int_equal(flo_compare_from(&other, 4), 2);
}

/* The axis ends at 0.5; the second bar has half its height, and is the jump. */
static void a_bar_is_as_high_as_its_error_and_the_jump_is_marked(void **state)
{
    (void)state;
    begin_layers(0, 0.25, 0.3);
    const char *page = written(flo_compare_page);
    assert_non_null(
        strstr(page, "<figcaption>2 a&lt;script&gt;&amp;&quot;b&quot;.gguf Q4_0, from 1"));
    assert_non_null(strstr(page, "<rect class=\"jump\" x=\"199.33\" y=\"117.50\" width=\"101.33\" "
                                 "height=\"97.50\"><title>0: 0.250000</title></rect>"));
    assert_non_null(strstr(page, "height=\"0.00\"><title>embedding: 0.000000</title>"));
    assert_non_null(strstr(page, "jump at layer 0: +0.250000</text>"));
    end_layers();
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
        cmocka_unit_test(errors_by_layer_are_below_the_table_and_end_with_the_jump),
        cmocka_unit_test(json_names_the_layer_of_the_jump_by_its_number_in_the_file),
        cmocka_unit_test(an_error_that_is_not_finite_is_the_jump),
        cmocka_unit_test(models_without_common_layers_have_a_sentence_and_no_picture),
        cmocka_unit_test(a_failed_original_leaves_its_copies_without_errors_by_layer),
        cmocka_unit_test(errors_are_measured_from_the_model_of_which_a_copy_was_made),
        cmocka_unit_test(a_bar_is_as_high_as_its_error_and_the_jump_is_marked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
