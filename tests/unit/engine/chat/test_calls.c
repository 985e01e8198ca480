/* Calls of tools: the grammar of a form takes what a model writes, and the
 * reader tells it as parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>

#include "engine/chat/calls/reader.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/lazy.h"
#include "engine/grammar/matcher.h"
#include "tests/unit/engine/chat/forms.h"

struct world {
    struct flo_tools tools;
    struct flo_tool_list list;
    struct flo_buf told;
};

static void open_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(flo_tools_open(&w->tools, TOOLS, sizeof(TOOLS) - 1, 4096, NULL), 0);
    assert_int_equal(flo_tool_list_make(&w->list, &w->tools, NULL), 0);
}

static void close_world(struct world *w)
{
    flo_tools_close(&w->tools);
    flo_tool_list_deinit(&w->list);
    flo_buf_deinit(&w->told);
}

/* Parts as one text: t:... r:... call:name:... */
static void tell(void *context, enum flo_part_kind part, const char *text, size_t bytes)
{
    static const char *const names[] = {"t:", "r:", "call:", ""};
    static enum flo_part_kind last;
    struct world *w = context;

    if (w->told.bytes == 0 || last != part) {
        flo_buf_text(&w->told, w->told.bytes > 0 ? "|" : "");
        flo_buf_text(&w->told, names[part]);
    }
    last = part;
    flo_buf_add(&w->told, text, bytes);
}

/* In pieces of so many bytes. */
static void read_all(struct world *w, const struct flo_call_form *form, const char *text,
                     size_t piece)
{
    struct flo_call_reader *reader = NULL;
    size_t bytes = strlen(text);

    w->told.bytes = 0;
    assert_int_equal(flo_call_reader_open(form, &w->list, false, tell, w, &reader, NULL), 0);
    for (size_t at = 0; at < bytes; at += piece) {
        flo_call_reader_add(reader, text + at, bytes - at < piece ? bytes - at : piece);
    }
    flo_call_reader_end(reader);
    flo_call_reader_close(reader);
    flo_buf_add(&w->told, "", 1);
}

static bool takes(struct world *w, const struct flo_call_form *form, const char *text, bool is_one)
{
    static const struct flo_pieces none;
    const struct flo_call_choice choice = {.is_one = is_one, .may_blank = true};
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    struct flo_err err = {0};

    if (flo_calls_compile(&w->tools, form, &choice, &program, &err) < 0) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(flo_matcher_open(program, &none, 64, &matcher, NULL), 0);
    uint32_t state = flo_matcher_start(matcher);
    bool fits =
        flo_matcher_walk(matcher, &state, text, strlen(text)) && matcher->states[state].may_end;
    flo_matcher_close(matcher);
    return fits;
}

/* Next to a form of the answer: calls, or a text of that form. */
static void a_text_of_its_own_form_may_come_in_place_of_calls(void **state)
{
    static const char text[] =
        "[{\"function\":{\"name\":\"get\"}},{\"answer\":{\"type\":\"object\","
        "\"properties\":{\"n\":{\"$ref\":\"#/$defs/n\"}},\"required\":[\"n\"],"
        "\"$defs\":{\"n\":{\"enum\":[1,2]}}}}]";
    static const struct flo_call_form *const kinds[] = {&hermes, &bare, &fields};
    struct world w = {0};
    struct flo_err err = {0};
    struct flo_program *program = NULL;
    const struct flo_call_choice any = {0};

    (void)state;
    assert_int_equal(flo_tools_open(&w.tools, text, sizeof(text) - 1, 4096, NULL), 0);
    assert_int_equal(w.tools.count, 1);
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        assert_true(takes(&w, kinds[i], "{\"n\": 2}", false));
        assert_true(takes(&w, kinds[i], "\n\n{\"n\": 1}", false));
        assert_false(takes(&w, kinds[i], "{\"n\": 3}", false));
        assert_false(takes(&w, kinds[i], "{}", false));
        assert_false(takes(&w, kinds[i], "1", false));
        assert_false(takes(&w, kinds[i], "{\"n\": 1}{\"n\": 1}", false));
    }
    assert_true(takes(&w, &hermes,
                      "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n"
                      "</tool_call>",
                      true));
    assert_int_equal(flo_calls_compile(&w.tools, &python, &any, &program, &err),
                     FLO_E_INFER_SCHEMA);
    assert_non_null(strstr(err.what, "schema /: tools next to it"));
    flo_tools_close(&w.tools);
}

static void a_form_that_cannot_be_kept_names_its_place(void **state)
{
    static const char text[] =
        "[{\"function\":{\"name\":\"get\"}},{\"answer\":{\"type\":\"object\","
        "\"properties\":{\"n\":{\"multipleOf\":2}}}}]";
    struct flo_tools tools = {0};
    struct flo_err err = {0};
    struct flo_program *program = NULL;
    const struct flo_call_choice any = {0};

    (void)state;
    assert_int_equal(flo_tools_open(&tools, text, sizeof(text) - 1, 4096, NULL), 0);
    assert_int_equal(flo_calls_compile(&tools, &hermes, &any, &program, &err), FLO_E_INFER_SCHEMA);
    assert_string_equal(err.what, "schema /properties/n/multipleOf: is not supported");
    flo_tools_close(&tools);
}

/* Calls as a model writes them in each form, and what is told of them. */
static const struct {
    const struct flo_call_form *form;
    const char *call, *told;
} calls[] = {
    {&hermes,
     "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"a}\\\"b\", "
     "\"days\": 2}}\n</tool_call>",
     "call:get|{\"city\": \"a}\\\"b\", \"days\": 2}"},
    {&hermes,
     "<tool_call>\n{\"name\": \"get_now\", \"arguments\": "
     "{}}\n</tool_call>\n<tool_call>\n{\"name\": \"get\", \"arguments\": "
     "{\"city\": \"\"}}\n</tool_call>",
     "call:get_now|{}|call:get|{\"city\": \"\"}"},
    {&bare, "{\"name\": \"get\", \"parameters\": {\"city\": \"x\"}}", "call:get|{\"city\": \"x\"}"},
    {&bare,
     "{\"name\": \"get_now\", \"parameters\": {}}; {\"name\": \"get_now\", "
     "\"parameters\": {}}",
     "call:get_now|{}|call:get_now|{}"},
    {&fields,
     "<tool_call>\n<function=get>\n<parameter=city>\nA \"b\"\n<c\\\n"
     "</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=unit>\nK\n"
     "</parameter>\n<parameter=dry>\ntrue\n</parameter>\n<parameter=on>\n"
     "[\"mo\", \"tu\"]\n</parameter>\n</function>\n</tool_call>",
     "call:get|{\"city\": \"A \\\"b\\\"\\n<c\\\\\", \"days\": 3, \"unit\": "
     "\"K\", \"dry\": true, \"on\": [\"mo\", \"tu\"]}"},
    {&fields,
     "<tool_call>\n<function=get_now>\n</function>\n</tool_call>\n<tool_call>\n"
     "<function=get>\n<parameter=city>\n\n</parameter>\n</function>\n"
     "</tool_call>",
     "call:get_now|{}|call:get|{\"city\": \"\"}"},
    {&python, "<|call|>[get(city=\"True, (x)\", days=2, dry=True, on=[\"a\"])]",
     "call:get|{\"city\": \"True, (x)\", \"days\": 2, \"dry\": true, \"on\": "
     "[\"a\"]}"},
    {&snake,
     "<tool_call>\n<function=get>\n<parameter=city>\nTrue\n</parameter>\n"
     "<parameter=dry>\nFalse\n</parameter>\n<parameter=on>\n[\"True\"]\n"
     "</parameter>\n</function>\n</tool_call>",
     "call:get|{\"city\": \"True\", \"dry\": false, \"on\": [\"True\"]}"},
    {&fields,
     "<tool_call>\n<function=get>\n<parameter=city>\nnull\n</parameter>\n"
     "<parameter=by>\nnull\n</parameter>\n<parameter=at>\nnulls\n"
     "</parameter>\n</function>\n</tool_call>",
     "call:get|{\"city\": \"null\", \"by\": null, \"at\": \"nulls\"}"},
    {&snake,
     "<tool_call>\n<function=get>\n<parameter=city>\na\n</parameter>\n"
     "<parameter=by>\n\n</parameter>\n<parameter=at>\nNone\n</parameter>\n"
     "</function>\n</tool_call>",
     "call:get|{\"city\": \"a\", \"by\": \"\", \"at\": null}"},
    {&python, "<|call|>[get(city=\"a\", by=None, at=\"b\")]",
     "call:get|{\"city\": \"a\", \"by\": null, \"at\": \"b\"}"},
    {&harmony,
     " to=functions.get<|channel|>commentary json<|message|>{\"city\": "
     "\"<|end|>\"}<|call|>",
     "call:get|{\"city\": \"<|end|>\"}"},
    {&harmony, "<|channel|>commentary to=functions.get_now json<|message|>{}<|call|>",
     "call:get_now|{}"},
    {&marked,
     "<|tool_call>call:get{city:<|\"|>a \"b\\\n<|\"|>,days:2,unit:<|\"|>K"
     "<|\"|>,dry:true,on:[<|\"|>c,<|\"|>,<|\"|><|\"|>],by:null,in:{x:[{y:"
     "<|\"|>}<|\"|>},{}],z:{k:[null,{}]}}}<tool_call|>",
     "call:get|{\"city\": \"a \\\"b\\\\\\n\", \"days\": 2, \"unit\": \"K\", "
     "\"dry\": true, \"on\": [\"c,\", \"\"], \"by\": null, \"in\": {\"x\": "
     "[{\"y\": \"}\"}, {}], \"z\": {\"k\": [null, {}]}}}"},
    {&marked,
     "<|tool_call>call:get_now{}<tool_call|><|tool_call>call:get{city:<|\"|>"
     "<|<|\"|>}<tool_call|>",
     "call:get_now|{}|call:get|{\"city\": \"<|\"}"},
    {&python, "<|call|>[get_now(), get(city=\"\\\"\")]",
     "call:get_now|{}|call:get|{\"city\": \"\\\"\"}"},
};

static void calls_in_each_form_are_taken_and_told(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    for (size_t i = 0; i < FLO_COUNT(calls); i++) {
        if (!takes(&w, calls[i].form, calls[i].call, false)) {
            fail_msg("not taken: %s", calls[i].call);
        }
        for (size_t piece = 1; piece < 9; piece++) {
            read_all(&w, calls[i].form, calls[i].call, piece);
            assert_string_equal(w.told.data, calls[i].told);
        }
    }
    close_world(&w);
}

static void no_other_calls_are_taken(void **state)
{
    static const struct {
        const struct flo_call_form *form;
        const char *text;
    } bad[] = {
        {&hermes, "<tool_call>\n{\"name\": \"gets\", \"arguments\": "
                  "{}}\n</tool_call>"},
        {&hermes, "<tool_call>\n{\"name\": \"get\", \"arguments\": "
                  "{}}\n</tool_call>"},
        {&hermes, "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": "
                  "\"\", \"days\": 10}}\n</tool_call>"},
        {&fields, "<tool_call>\n<function=get>\n<parameter=city>\na\n"
                  "</parameter>\n<parameter=days>\nmany\n</parameter>\n"
                  "</function>\n</tool_call>"},
        {&fields, "<tool_call>\n<function=get>\n<parameter=city>\na\n"
                  "</parameter>\n<parameter=unit>\nF\n</parameter>\n"
                  "</function>\n</tool_call>"},
        {&fields, "<tool_call>\n<function=get>\n<parameter=city>\na\n"
                  "</parameter>\n<parameter=at>\nsevenths\n</parameter>\n"
                  "</function>\n</tool_call>"},
        {&python, "<|call|>[get(city=\"a\", dry=true)]"},
        {&python, "<|call|>[get(days=2)]"},
        {&marked, "<|tool_call>call:get{city:\"a\"}<tool_call|>"},
        {&marked, "<|tool_call>call:get{city:<|\"|>a<|\"|>,on:[1]}<tool_call|>"},
        {&harmony, " to=functions.get_now json<|message|>{}<|call|>"},
        {&harmony, "<|channel|>analysis to=functions.get_now json<|message|>{}"
                   "<|call|>"},
    };
    struct world w;

    (void)state;
    open_world(&w);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (takes(&w, bad[i].form, bad[i].text, false)) {
            fail_msg("taken: %s", bad[i].text);
        }
    }
    assert_false(takes(&w, &hermes, calls[1].call, true));
    assert_true(takes(&w, &hermes, calls[0].call, true));
    close_world(&w);
}

static void text_and_thoughts_stand_apart_from_calls(void **state)
{
    static const struct {
        const struct flo_call_form *form;
        const char *text, *told;
    } rows[] = {
        {&hermes, "plain <b>text</b>\n", "t:plain <b>text</b>\n"},
        {&hermes, "<think>\nso <tool_call> is\n</think>\n\nYes.", "r:so <tool_call> is|t:Yes."},
        {&hermes,
         "I look.\n\n<tool_call>\n{\"name\": \"get_now\", \"arguments\": "
         "{}}\n</tool_call>",
         "t:I look.|call:get_now|{}"},
        {&hermes,
         "<think>a</think>\n<tool_call>\n{\"name\": \"get_now\", "
         "\"arguments\": {}}\n</tool_call>",
         "r:a|call:get_now|{}"},
        {&hermes, "ends in <tool_c", "t:ends in <tool_c"},
        {&hermes, "<tool_call>\n{\"name\": \"ge", ""},
        {&hermes, "<tool_call>\n{\"name\": \"gone\", \"arguments\": {}}", ""},
        {&hermes, "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"Tal",
         "call:get|{\"city\": \"Tal"},
        {&bare, "{\"name\": \"Bob\"}", "t:{\"name\": \"Bob\"}"},
        {&bare, " {\"name\": \"get", "t: {\"name\": \"get"},
        {&bare, "Say {\"name\": \"get_now\", \"parameters\": {}}",
         "t:Say {\"name\": \"get_now\", \"parameters\": {}}"},
        {&harmony,
         "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>"
         "final<|message|>Yes.",
         "r:so|t:Yes."},
        {&harmony,
         "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
         "<|channel|>commentary to=functions.get_now json<|message|>{}<|call|>",
         "t:I look.|call:get_now|{}"},
        {&harmony,
         "<|channel|>analysis to=python code<|message|>1+1<|end|><|start|>"
         "assistant to=functions.get_now<|channel|>commentary json<|message|>{}"
         "<|call|>",
         "r:1+1|call:get_now|{}"},
        {&harmony, "to <|channel|>final<|message|>a", "t:to <|channel|>final<|message|>a"},
        {&harmony, "<|channel|>fin", ""},
        {&harmony, "<|chan", "t:<|chan"},
        {&harmony, "<|channel|>final<|message|>a<|end|> b", "t:a<|end|> b"},
    };
    struct world w;

    (void)state;
    open_world(&w);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            read_all(&w, rows[i].form, rows[i].text, piece);
            assert_string_equal(w.told.data, rows[i].told);
        }
    }
    close_world(&w);
}

/* So many bytes of an answer may come while the grammar may sleep; all of it,
 * and it may end: its bytes and one. */
static size_t count_taken(struct world *w, const struct flo_call_form *form, bool is_required,
                          const char *text)
{
    static const struct flo_pieces none;
    const struct flo_call_choice choice = {.is_one = true};
    struct flo_lazy lazy = {
        .form = form, .tools = w->list, .starts_asleep = true, .is_required = is_required};
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    size_t at = 0;

    assert_int_equal(flo_calls_compile(&w->tools, form, &choice, &program, NULL), 0);
    assert_int_equal(flo_matcher_open(program, &none, 64, &matcher, NULL), 0);
    uint32_t state = flo_matcher_start(matcher);
    flo_lazy_reset(&lazy);
    while (text[at] != '\0') {
        bool fits = lazy.sleeps ? flo_lazy_take(&lazy, matcher, &state, text + at, 1)
                                : flo_matcher_walk(matcher, &state, text + at, 1);
        if (!fits) {
            break;
        }
        at++;
    }
    bool may_end = lazy.sleeps ? !is_required : matcher->states[state].may_end;
    flo_matcher_close(matcher);
    return at + (text[at] == '\0' && may_end);
}

static void a_call_that_must_come_has_no_text_before_it(void **state)
{
#define CHANNELS_CALL "<|channel|>commentary to=functions.get_now json<|message|>{}<|call|>"
#define THOUGHT "<|channel|>analysis<|message|>so<|end|><|start|>assistant"
#define SAYS "<|channel|>final<|message|>Yes."
    static const struct {
        const char *text;
        size_t required, free; /* bytes that are taken */
    } rows[] = {
        {"Yes.", 0, 5},
        {SAYS, 11, sizeof(SAYS)},
        {THOUGHT, sizeof(THOUGHT) - 1, sizeof(THOUGHT)},
        {CHANNELS_CALL, sizeof(CHANNELS_CALL), sizeof(CHANNELS_CALL)},
        {THOUGHT CHANNELS_CALL, sizeof(THOUGHT CHANNELS_CALL), sizeof(THOUGHT CHANNELS_CALL)},
        {THOUGHT SAYS, sizeof(THOUGHT) + 10, sizeof(THOUGHT SAYS)},
        {" to=functions.other", 14, 14},
        {"<|channel|>commentary to=functions.get x", 39, 39},
    };
    struct world w;

    (void)state;
    open_world(&w);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_int_equal(count_taken(&w, &harmony, true, rows[i].text), rows[i].required);
        assert_int_equal(count_taken(&w, &harmony, false, rows[i].text), rows[i].free);
    }
    close_world(&w);
}

static void tools_that_are_none_are_refused_by_place(void **state)
{
    static const struct {
        const char *tools, *what;
    } rows[] = {
        {"{}", "must be a list"},
        {"[{}]", "tools[0] has no name"},
        {"[{\"function\":{\"name\":\"a b\"}}]", "tools[0] has no name"},
        {"[{\"function\":{\"name\":\"a\"}},{\"function\":{\"name\":\"a\"}}]",
         "tools[1] has the name of one before it"},
        {"[{\"function\":{\"name\":\"a\",\"parameters\":[]}}]",
         "tools[0] has parameters that are no schema"},
        {"[", "tools"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_tools tools = {0};
        struct flo_err err = {0};
        assert_int_equal(flo_tools_open(&tools, rows[i].tools, strlen(rows[i].tools), 0, &err),
                         FLO_E_INFER_PARAM);
        if (strstr(err.what, rows[i].what) == NULL) {
            fail_msg("%s: %s", rows[i].tools, err.what);
        }
        flo_tools_close(&tools);
    }
}

static void parameters_that_cannot_be_kept_name_their_tool(void **state)
{
    static const char text[] =
        "[{\"function\":{\"name\":\"buy\",\"parameters\":{\"type\":\"object\","
        "\"properties\":{\"n\":{\"$ref\":\"#/$defs/n\"}},\"$defs\":{\"n\":{"
        "\"type\":\"number\",\"multipleOf\":2}}}}}]";
    struct flo_tools tools = {0};
    struct flo_program *program = NULL;
    struct flo_err err = {0};
    const struct flo_call_choice any = {0}, other = {"sell", 4, false, false};

    (void)state;
    assert_int_equal(flo_tools_open(&tools, text, sizeof(text) - 1, 4096, NULL), 0);
    assert_int_equal(flo_calls_compile(&tools, &hermes, &any, &program, &err), FLO_E_INFER_SCHEMA);
    assert_string_equal(err.what, "schema /tools/buy/properties/n/multipleOf: is not supported");
    assert_int_equal(flo_calls_compile(&tools, &hermes, &other, &program, &err), FLO_E_INFER_PARAM);
    assert_string_equal(err.what, "tool_choice names none of the 1 tools");
    flo_tools_close(&tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_in_each_form_are_taken_and_told),
        cmocka_unit_test(no_other_calls_are_taken),
        cmocka_unit_test(text_and_thoughts_stand_apart_from_calls),
        cmocka_unit_test(a_call_that_must_come_has_no_text_before_it),
        cmocka_unit_test(tools_that_are_none_are_refused_by_place),
        cmocka_unit_test(parameters_that_cannot_be_kept_name_their_tool),
        cmocka_unit_test(a_text_of_its_own_form_may_come_in_place_of_calls),
        cmocka_unit_test(a_form_that_cannot_be_kept_names_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
