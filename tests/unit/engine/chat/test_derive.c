/* Forms of calls and thoughts, as they are found in templates. */
#include "unit/engine/chat/world.h"

#include "engine/token/control.h"

/* A form's text, control tokens as they are spelled. */
static void expect(const struct world *world, const struct flo_form_text *form, const char *wanted)
{
    struct flo_buf text = {0};

    for (size_t at = 0; at < form->bytes; at++) {
        if ((uint8_t)form->data[at] >= FLO_CONTROL_FIRST) {
            flo_vocab_piece(world->vocab, flo_control_read(form->data + at), true, &text);
            at += FLO_CONTROL_BYTES - 1;
        } else {
            flo_buf_add(&text, &form->data[at], 1);
        }
    }
    flo_buf_add(&text, "", 1);
    assert_string_equal(text.data, wanted);
    flo_buf_deinit(&text);
}

/* As gpt-oss: an answer's messages have heads. */
#define HEADS(thought)                                                                             \
    "{% for m in messages %}{% if m.role == 'user' %}<|start|>user<|message|>"                     \
    "{{ m.content }}<|end|>{% elif m.role == 'assistant' %}"                                       \
    "{% if m.tool_calls %}{% set c = m.tool_calls[0].function %}"                                  \
    "{% if m." thought " %}<|start|>assistant<|channel|>analysis<|message|>"                       \
    "{{ m." thought " }}<|end|>{% endif %}<|start|>assistant to=functions."                        \
    "{{ c.name }}<|channel|>commentary json<|message|>"                                            \
    "{{ c.arguments | tojson }}<|call|>{% else %}"                                                 \
    "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>"                          \
    "{% endif %}{% elif m.role == 'tool' %}<|start|>tool<|message|>"                               \
    "{{ m.content }}<|end|>{% endif %}{% endfor %}<|start|>assistant"

static void heads_of_messages_are_channels(void **state)
{
    static const char *const templates[] = {HEADS("reasoning_content"), HEADS("content")};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(templates); i++) {
        struct world world;
        world_open(&world, templates[i]);
        const struct flo_call_form *form = &world.chat.calls;
        assert_int_equal(form->kind, FLO_CALLS_JSON);
        assert_false(form->is_told || form->is_bare);
        expect(&world, &form->channel, "<|channel|>");
        expect(&world, &form->body, "<|message|>");
        expect(&world, &form->open, " to=functions.");
        expect(&world, &form->mid, "<|channel|>commentary json<|message|>");
        expect(&world, &form->channel_open, "<|channel|>commentary to=functions.");
        expect(&world, &form->channel_mid, " <|constrain|>json<|message|>");
        expect(&world, &form->thought_open, "<|channel|>analysis<|message|>");
        expect(&world, &form->thought_close, "<|end|><|start|>assistant");
        expect(&world, &form->next, "");
        expect(&world, &form->close, ""); /* it ends the answer */
        assert_int_equal(form->channel.bytes, FLO_CONTROL_BYTES);
        world_close(&world);
    }
}

/* As Gemma 4: texts stand between marks, names are bare. */
#define MARKED(nested)                                                                             \
    "{% macro v(x) %}{% if x is string %}<|\"|>{{ x }}<|\"|>"                                      \
    "{% elif x is boolean %}{{ 'true' if x else 'false' }}"                                        \
    "{% elif x is mapping %}{{ '{" nested "' }}{% for k, y in x.items() %}{{ k }}:"                \
    "{{ v(y) }}{{ ',' if not loop.last }}{% endfor %}}"                                            \
    "{% elif x is none %}null{% elif x is sequence %}[{% for y in x %}"                            \
    "{{ v(y) }}{{ ',' if not loop.last }}{% endfor %}]"                                            \
    "{% else %}{{ x }}{% endif %}{% endmacro %}"                                                   \
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}"                                \
    "{% for c in m.tool_calls or [] %}<|tool_call>call:{{ c.function.name + "                      \
    "'{' }}"                                                                                       \
    "{% for k, y in c.function.arguments.items() %}{{ k }}:{{ v(y) }}"                             \
    "{{ ',' if not loop.last }}{% endfor %}}<tool_call|>{% endfor %}"                              \
    "{% if not m.tool_calls %}<|end|>\n{% endif %}{% endfor %}"                                    \
    "{% if not messages[-1].tool_calls %}<|start|>assistant\n"                                     \
    "{% if enable_thinking is not defined %}<|channel>thought\n<channel|>"                         \
    "{% endif %}{% endif %}"

static void texts_between_marks_are_found(void **state)
{
    struct world world;
    (void)state;
    world_open(&world, MARKED(""));
    const struct flo_call_form *form = &world.chat.calls;
    assert_int_equal(form->kind, FLO_CALLS_FIELDS);
    assert_true(flo_form_is_marked(form) && !form->is_told);
    expect(&world, &form->open, "<|tool_call>call:");
    expect(&world, &form->mid, "{");
    expect(&world, &form->equals, ":");
    expect(&world, &form->quote, "<|\"|>");
    expect(&world, &form->separator, ",");
    expect(&world, &form->next, "}<tool_call|><|tool_call>call:");
    expect(&world, &form->close, "}<tool_call|>");
    expect(&world, &form->thought_open, "<|channel>thought");
    expect(&world, &form->thought_close, "<channel|>");
    world_close(&world);
    /* Values in another notation are told in words. */
    world_open(&world, MARKED("|"));
    assert_true(world.chat.calls.is_told);
    world_close(&world);
}

/* A vocabulary with the ends of gpt-oss goes on at the end of a message. */
static void the_end_of_a_message_ends_no_answer(void **state)
{
    static const struct {
        const char *text;
        bool is_end;
    } rows[] = {{"<|end|>", false}, {"<|return|>", true}, {"<|call|>", true}};
    struct world world;
    (void)state;
    world_make(&world, NULL);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        int32_t id = 0;
        while (strcmp(controls[id], rows[i].text) != 0) {
            id++;
        }
        assert_int_equal(flo_vocab_is_end(world.vocab, id), rows[i].is_end);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_of_messages_are_channels),
        cmocka_unit_test(texts_between_marks_are_found),
        cmocka_unit_test(the_end_of_a_message_ends_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
