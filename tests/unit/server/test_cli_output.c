/* Answers of `flotilla`: one description of columns, any form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/host/yaml.h"
#include "server-stub/cli/output/output.h"
#include "server-stub/cli/view/frames.h"
#include "server-stub/cli/view/view.h"

#define NOW 1700000000000ull

static const char fleet[] =
    "[{\"name\":\"gw-10\",\"state\":\"online\",\"rss_bytes\":1048576,"
    "\"last_seen_at_ms\":1699999998000,\"groups\":[\"all\",\"lab\"],"
    "\"serving\":{\"model\":\"tiny\",\"version\":\"1.0\",\"state\":\"ready\"}},"
    "{\"name\":\"gw-2\",\"state\":\"offline\",\"rss_bytes\":0,"
    "\"last_seen_at_ms\":0,\"groups\":[],\"serving\":null}]";

static char said[4096];

static const char *render(const char *json, struct flo_out_spec spec)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *items = json_loads(json, 0, NULL);
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    struct flo_err err = {0};

    assert_non_null(items);
    spec.now_ms = NOW;
    if (flo_out_render(&spec, items, FLO_COLUMNS(device), &out, &err) < 0) {
        snprintf(said, sizeof(said), "%s; %s", err.what, err.fix);
    } else {
        snprintf(said, sizeof(said), "%.*s", (int)out.bytes,
                 out.data != NULL ? (char *)out.data : "");
    }
    return said;
}

static void fields_are_chosen_by_head_or_path_for_each_form(void **state)
{
    const char *fields = "NAME,serving,rss_bytes,last_seen_at_ms";
    (void)state;

    assert_string_equal(render(fleet, (struct flo_out_spec){.has_heads = true, .fields = fields}),
                        "NAME   SERVING   RSS      LAST SEEN\n"
                        "gw-10  tiny@1.0  1.0 MiB  2.0 s\n"
                        "gw-2   –         0 B      never\n");
    assert_string_equal(
        render(fleet,
               (struct flo_out_spec){.form = FLO_OUT_CSV, .has_heads = true, .fields = fields}),
        "name,serving,rss_bytes,last_seen_at_ms\n"
        "gw-10,tiny@1.0,1048576,2023-11-14T22:13:18.000Z\n"
        "gw-2,,0,\n");
    assert_string_equal(render(fleet, (struct flo_out_spec){.form = FLO_OUT_JSONL,
                                                            .fields = "name,serving.version"}),
                        "{\"name\":\"gw-10\",\"serving\":{\"version\":\"1.0\"}}\n"
                        "{\"name\":\"gw-2\"}\n");
    assert_string_equal(
        render(fleet, (struct flo_out_spec){.form = FLO_OUT_YAML, .fields = "name,groups"}),
        "- name: gw-10\n  groups: [all, lab]\n- name: gw-2\n  groups: []\n");
}

static void a_field_that_is_not_there_names_the_nearest(void **state)
{
    (void)state;
    assert_string_equal(render(fleet, (struct flo_out_spec){.fields = "nmae"}),
                        "--fields: there is no field `nmae` here; did you mean `name`?");
    assert_string_equal(render(fleet, (struct flo_out_spec){.sort = "-stat"}),
                        "--sort: there is no field `stat` here; did you mean `state`?");
    /* An empty list says nothing about its fields. */
    assert_string_equal(
        render("[]", (struct flo_out_spec){.form = FLO_OUT_JSON, .fields = "anything"}), "[]\n");
}

static void a_list_is_sorted_as_people_count(void **state)
{
    struct flo_out_spec names = {.form = FLO_OUT_NAME, .sort = "name"};
    (void)state;

    assert_string_equal(render(fleet, names), "gw-2\ngw-10\n");
    names.sort = "-rss";
    assert_string_equal(render(fleet, names), "gw-10\ngw-2\n");
    names.sort = "serving.version"; /* who has none is last */
    assert_string_equal(render(fleet, names), "gw-10\ngw-2\n");
    names.sort = "-serving.version";
    assert_string_equal(render(fleet, names), "gw-10\ngw-2\n");
}

static void a_terminal_shortens_the_widest_column_and_a_pipe_none(void **state)
{
    const char *json = "[{\"name\":\"gw-1\",\"note\":\"a note that is far too "
                       "long for the line\",\"agent\":\"0.1.0\"}]";
    struct flo_out_spec spec = {.fields = "name,note,agent", .width = 30};
    (void)state;

    assert_string_equal(render(json, spec), "gw-1  a note that is f…  0.1.0\n");
    spec.fields = "name,note";
    spec.width = 45; /* the first column says which row it is: it stays */
    assert_string_equal(render("[{\"name\":\"gateway-in-the-basement\",\"note\":\"a note "
                               "that is far too long for the line\"}]",
                               spec),
                        "gateway-in-the-basement  a note that is far …\n");
    spec.fields = "name,note,agent";
    spec.width = 0;
    assert_string_equal(render(json, spec),
                        "gw-1  a note that is far too long for the line  0.1.0\n");
}

static void an_error_without_an_id_begins_with_its_words(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *items = json_loads("[{\"error\":{\"id\":\"\",\"what\":\"order o-7: "
                               "abort\"}},{\"error\":{\"id\":\"disk.full\","
                               "\"what\":\"no room\"}}]",
                               0, NULL);
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    struct flo_out_spec spec = {.fields = "error", .now_ms = NOW};
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_out_render(&spec, items, FLO_COLUMNS(timeline), &out, &err), 0);
    assert_string_equal(out.data, "order o-7: abort\ndisk.full: no room\n");
}

static void colour_is_around_the_word_and_not_in_the_width(void **state)
{
    struct flo_out_spec spec = {.fields = "state,name", .has_colour = true};
    (void)state;

    assert_string_equal(render(fleet, spec), "\033[32monline\033[0m   gw-10\n"
                                             "\033[2moffline\033[0m  gw-2\n");
}

static void a_name_does_not_command_the_terminal(void **state)
{
    /* escape, C1 control, mark that turns the direction */
    const char *json = "[{\"name\":\"a\\u001b[2J\\u009b31m\\u202ez\","
                       "\"note\":\"\\u001b]0;x\\u0007\"}]";
    static const enum flo_out_form forms[] = {FLO_OUT_TABLE, FLO_OUT_JSON, FLO_OUT_JSONL,
                                              FLO_OUT_YAML,  FLO_OUT_CSV,  FLO_OUT_NAME};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(forms); i++) {
        struct flo_out_spec spec = {.form = forms[i], .fields = "name,note", .is_tty = true};
        const char *out = render(json, spec);
        assert_null(strchr(out, 0x1b));
        assert_null(strstr(out, "\xc2\x9b"));
        assert_null(strstr(out, "\xe2\x80\xae"));
    }
    /* Escaped, not lost: a reader gets the same name back. */
    struct flo_out_spec spec = {.form = FLO_OUT_JSON, .fields = "name"};
    FLO_CLEANUP(flo_json_cleanup)
    json_t *back = json_loads(render(json, spec), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json_array_get(back, 0), "name")),
                        "a\033[2J\xc2\x9b"
                        "31m\xe2\x80\xaez");
}

static void a_cell_of_a_sheet_is_no_formula(void **state)
{
    const char *json = "[{\"name\":\"=HYPERLINK(\\\"x\\\")\",\"note\":\"-2+3\","
                       "\"agent\":\"@sum\",\"rss_bytes\":-5,\"id\":\"a,\\\"b\\\"\\nc\"}]";
    (void)state;

    assert_string_equal(
        render(json, (struct flo_out_spec){.form = FLO_OUT_CSV,
                                           .fields = "name,note,agent,rss_bytes,id"}),
        "\"'=HYPERLINK(\"\"x\"\")\",\"'-2+3\",\"'@sum\",-5,\"a,"
        "\"\"b\"\"\nc\"\n");
}

static void yaml_reads_back_as_what_it_was(void **state)
{
    const char *json = "[{\"name\":\"no\",\"note\":\"a: b # c\\n\\u202e\","
                       "\"x\":[1,2.5,null,true,\"1e3\",{\"k: y\":\"\"}]}]";
    struct flo_yaml *yaml = NULL;
    struct flo_err err = {0};
    (void)state;

    const char *text = render(json, (struct flo_out_spec){.form = FLO_OUT_YAML});
    assert_int_equal(flo_yaml_parse(text, strlen(text), "x", &yaml, &err), 0);
    FLO_CLEANUP(flo_json_cleanup) json_t *was = json_loads(json, 0, NULL);
    assert_true(json_equal(was, flo_yaml_root(yaml)));
    flo_yaml_free(yaml);
}

static void wide_characters_count_twice(void **state)
{
    (void)state;
    assert_int_equal(flo_text_width("日本"), 4);
    assert_int_equal(flo_text_width("é"), 1);
    assert_int_equal(flo_text_width("e\xcc\x81"), 1);
    char cut[FLO_CELL_BYTES];
    flo_text_cut("日本語", 5, cut);
    assert_string_equal(cut, "日本…");
}

static void add_event(void *context, const char *event)
{
    strcat(context, event);
    strcat(context, ";");
}

static void events_are_heard_in_any_pieces(void **state)
{
    static const char stream[] = "event: device\nid: 7\ndata: {\"event\":1}\n\n"
                                 ": alive\n\ndata: x\n\nevent:order\r\n"
                                 "id:12\r\n\r\nevent: half";
    (void)state;

    for (size_t piece = 1; piece < sizeof(stream); piece++) {
        struct flo_frames frames = {.used = 0};
        char heard[64] = "";
        for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
            size_t left = sizeof(stream) - 1 - at;
            flo_frames_feed(&frames, stream + at, left < piece ? left : piece, add_event, heard);
        }
        assert_string_equal(heard, "device;order;");
        assert_string_equal(frames.id, "12");
    }
}

static const char half_way[] =
    "{\"id\":\"r-0002\",\"release\":\"tiny@2.0\",\"group\":\"lab\",\"state\":"
    "\"running\",\"reason\":\"start: mira\",\"phase\":2,\"members\":110,"
    "\"phases\":[{\"number\":1,\"name\":\"canary\",\"devices\":10,\"counts\":{"
    "\"succeeded\":10}},{\"number\":2,\"name\":\"rest\",\"devices\":100,"
    "\"away\":3,\"silent\":1,\"counts\":"
    "{\"succeeded\":40,\"failed\":2,\"downloading\":8,\"queued\":50}}],"
    "\"gates\":[{\"name\":\"ttft_us\",\"verdict\":\"pass\",\"value\":1.01,"
    "\"limit\":1.15,\"unit\":\"times\",\"updated\":{\"value\":503,\"unit\":"
    "\"us\"},\"waiting\":"
    "{"
    "\"value\":497}}],\"causes\":[{\"id\":\"disk.full\",\"devices\":2,"
    "\"device\":\"gw-\\u001b7\",\"meaning\":\"no room\",\"fix\":\"make "
    "room\"}],"
    "\"next\":{\"what\":\"phase 2: 8 are under way\",\"at_ms\":1700000060000},"
    "\"spec\":{\"phases\":[{},{\"soak\":\"0s\"}]}}";

static void a_rollout_is_shown_with_funnel_gates_causes_and_what_is_next(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *rollout = json_loads(half_way, 0, NULL);
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    struct flo_view view = {.gate_count = 0};
    (void)state;

    flo_view_rollout(&view, rollout, NOW, true, false, &out);
    assert_string_equal(out.data,
                        "r-0002  tiny@2.0  group lab  running  phase 2 of 2  start: mira\n"
                        " 1 canary       10  ████████████████████  10 succeeded\n"
                        " 2 rest        100  ████████············  50 queued  8 downloading  "
                        "40 succeeded  2 failed  (of them 3 away, 1 silent)\n"
                        " all  queued 50 · downloading 8 · succeeded 50 · failed 2\n"
                        "GATE     CANDIDATE  CONTROL  VALUE       LIMIT       TREND  VERDICT\n"
                        "ttft_us  503 us     497      1.01 times  1.15 times  ▄      pass\n"
                        " failed  disk.full: gw-\\x1b7 and 1 more – no room\n"
                        "         do: make room\n"
                        " waits at most 1 m 00 s for: phase 2: 8 are under way\n"
                        " Ctrl-C leaves; the rollout goes on\n");
}

static void the_time_left_is_of_the_devices_that_ended_meanwhile(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *rollout = json_loads(half_way, 0, NULL);
    struct flo_view view = {.begin_ms = NOW - 10000, .begin_good = 30};
    (void)state;

    /* 20 in 10 s; 60 are left */
    assert_int_equal(flo_view_left_ms(&view, rollout, NOW), 30000);
    view.moved_ms = NOW; /* none ended later: the pace is what it was */
    assert_int_equal(flo_view_left_ms(&view, rollout, NOW + 90000), 30000);
    json_t *phase = json_array_get(json_object_get(rollout, "phases"), 1);
    json_object_set_new(
        phase, "soak",
        json_pack("{s:i,s:I}", "devices", 2, "until_ms", (json_int_t)(NOW + 100000)));
    assert_int_equal(flo_view_left_ms(&view, rollout, NOW + 90000), 40000);
    /* Nobody but those on trial is left: the time falls with the clock. */
    json_object_set_new(json_object_get(phase, "soak"), "devices", json_integer(58));
    assert_int_equal(flo_view_left_ms(&view, rollout, NOW + 90000), 10000);
    assert_int_equal(flo_view_left_ms(&view, rollout, NOW + 95000), 5000);
    json_object_del(phase, "soak");
    view.moved_ms = 0;
    view.begin_good = 50; /* none since */
    assert_int_equal(flo_view_left_ms(&view, rollout, NOW), 0);
    json_object_set_new(rollout, "state", json_string("halted"));
    view.begin_good = 30;
    assert_int_equal(flo_view_left_ms(&view, rollout, NOW), 0);
}

static void symbols_become_one_character_each_and_names_stay(void **state)
{
    static const char text[] = "a · b → c… ✓ é ▁█ 漢";
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};

    (void)state;
    flo_ascii(text, sizeof(text) - 1, &out);
    assert_string_equal(out.data, "a - b > c~ + é _# 漢");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_chosen_by_head_or_path_for_each_form),
        cmocka_unit_test(a_field_that_is_not_there_names_the_nearest),
        cmocka_unit_test(a_list_is_sorted_as_people_count),
        cmocka_unit_test(a_terminal_shortens_the_widest_column_and_a_pipe_none),
        cmocka_unit_test(an_error_without_an_id_begins_with_its_words),
        cmocka_unit_test(colour_is_around_the_word_and_not_in_the_width),
        cmocka_unit_test(a_name_does_not_command_the_terminal),
        cmocka_unit_test(a_cell_of_a_sheet_is_no_formula),
        cmocka_unit_test(yaml_reads_back_as_what_it_was),
        cmocka_unit_test(wide_characters_count_twice),
        cmocka_unit_test(events_are_heard_in_any_pieces),
        cmocka_unit_test(a_rollout_is_shown_with_funnel_gates_causes_and_what_is_next),
        cmocka_unit_test(the_time_left_is_of_the_devices_that_ended_meanwhile),
        cmocka_unit_test(symbols_become_one_character_each_and_names_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
