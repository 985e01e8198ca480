/* Calls of tools to a program: a model's form around arguments that are
 * schemas.
 *
 * Each tool is an item of the list that schema.c builds; its references begin
 * at its own parameters. */
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/schema/schema.h"

struct calls {
    const struct flo_tools *tools;
    const struct flo_call_form *form;
    uint32_t only;  /* of the tools; UINT32_MAX: any */
    uint32_t up_to; /* rule: any text up to field_close, and that */
};

static void put(struct flo_schema *s, const struct flo_form_text *text)
{
    flo_program_bytes(s->program, text->data, text->bytes);
}

/* ---- texts that stand as they are ---- */

/* A character that is not in the mark, nor a control character. */
static void put_other(struct flo_program *p, const bool *is_used, uint32_t to)
{
    struct flo_code_set set = {.count = 0};

    flo_code_set_add(&set, 0, 8);
    flo_code_set_add(&set, 0x0b, 0x1f);
    flo_code_set_add(&set, 0x7f, 0x7f);
    for (uint32_t byte = 0; byte < 0x80; byte++) {
        if (is_used[byte]) {
            flo_code_set_add(&set, byte, byte);
        }
    }
    flo_code_set_negate(&set);
    flo_program_class(p, &set);
    flo_program_join(p, to);
}

/* So many bytes of the mark are there when `byte` comes after `have` of it. */
static uint32_t overlap(const struct flo_form_text *mark, uint32_t have,
                        char byte)
{
    char text[FLO_FORM_TEXT_MAX + 1];
    uint32_t most = have + 1;

    memcpy(text, mark->data, have);
    text[have] = byte;
    while (most > 0 && memcmp(mark->data, text + have + 1 - most, most) != 0) {
        most--;
    }
    return most;
}

/* Any text up to the mark, and that. */
static void put_up_to(struct flo_schema *s, const struct flo_form_text *mark)
{
    struct flo_program *p = s->program;
    uint32_t nodes[FLO_FORM_TEXT_MAX + 1];
    bool is_used[128] = {false};

    for (uint32_t i = 0; i < mark->bytes; i++) {
        uint8_t byte = (uint8_t)mark->data[i];
        if (byte < 128) {
            is_used[byte] = true;
        } else {
            flo_schema_refuse(s, "",
                              "a text before a mark that is not ASCII "
                              "is not supported");
        }
        nodes[i] = flo_program_node(p);
    }
    nodes[mark->bytes] = flo_program_node(p);
    flo_program_join(p, nodes[0]);
    for (uint32_t i = 0; i < mark->bytes && !p->failed; i++) {
        struct flo_choice choice;

        p->at = nodes[i];
        flo_choice_begin(p, &choice);
        for (uint32_t byte = 0; byte < 128; byte++) {
            if (is_used[byte]) {
                char c = (char)byte;
                flo_choice_next(p, &choice);
                flo_program_bytes(p, &c, 1);
                flo_program_join(p, nodes[overlap(mark, i, c)]);
                p->at = flo_program_node(p);
            }
        }
        flo_choice_next(p, &choice);
        put_other(p, is_used, nodes[0]);
        p->at = flo_program_node(p);
        flo_choice_end(p, &choice);
    }
    p->at = nodes[mark->bytes];
}

/* ---- fields ---- */

static bool is_free(struct flo_schema *s, const struct flo_tree_node *schema)
{
    static const char *const bounds[] = {"/pattern", "/format", "/minLength",
                                         "/maxLength"};

    for (size_t i = 0; i < FLO_COUNT(bounds); i++) {
        if (flo_schema_at(s, schema, bounds[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static void put_listed(struct flo_schema *s, const struct flo_tree_node *one,
                       const struct flo_tree_node *list)
{
    struct flo_choice choice;

    flo_choice_begin(s->program, &choice);
    for (const struct flo_tree_node *n = one != NULL ? one : list->first;
         n != NULL && flo_schema_walk(s, 1); n = one != NULL ? NULL : n->next) {
        flo_choice_next(s->program, &choice);
        flo_program_bytes(s->program, n->text, n->bytes);
    }
    flo_choice_end(s->program, &choice);
}

static void put_word(struct flo_schema *s, const struct calls *calls)
{
    flo_schema_value(s, NULL, FLO_TYPE_NULL);
    put(s, &calls->form->field_close);
}

/* A text without quotes, and what ends it. */
static void put_text(struct flo_schema *s, const struct calls *calls,
                     const struct flo_tree_node *schema)
{
    const struct flo_tree_node *one = FLO_GET(s, schema, "const");
    const struct flo_tree_node *list = FLO_GET(s, schema, "enum");

    if (one == NULL && list == NULL && is_free(s, schema)) {
        flo_program_call(s->program, calls->up_to);
        return;
    }
    if (one != NULL || list != NULL) {
        put_listed(s, one, list);
    } else {
        flo_schema_text(s, schema, flo_gbnf_rule(&s->gbnf, "plain"));
    }
    put(s, &calls->form->field_close);
}

static void put_field(struct flo_schema *s,
                      const struct flo_object_words *words,
                      const struct flo_tree_node *schema, const char *name,
                      size_t bytes)
{
    const struct calls *calls = words->context;
    const struct flo_call_form *form = calls->form;
    const struct flo_tree_node *text = schema;
    enum flo_argument_kind kind = form->quote.bytes > 0 ? FLO_ARGUMENT_OTHER
                                  : schema == NULL
                                      ? FLO_ARGUMENT_TEXT
                                      : flo_schema_kind(schema, &text);

    put(s, &form->field_open);
    flo_program_bytes(s->program, name, bytes);
    put(s, &form->equals);
    if (kind == FLO_ARGUMENT_TEXT) {
        put_text(s, calls, text);
    } else if (kind == FLO_ARGUMENT_TEXT_OR_NULL) {
        struct flo_choice choice;

        flo_choice_begin(s->program, &choice);
        flo_choice_next(s->program, &choice);
        put_word(s, calls);
        flo_choice_next(s->program, &choice);
        put_text(s, calls, text);
        flo_choice_end(s->program, &choice);
    } else {
        flo_schema_call(s, schema, "properties", name, bytes);
        put(s, &form->field_close);
    }
}

static void put_separator(struct flo_schema *s,
                          const struct flo_object_words *words)
{
    const struct calls *calls = words->context;

    put(s, &calls->form->separator);
}

static void put_fields(struct flo_schema *s, const struct calls *calls,
                       const struct flo_tree_node *schema)
{
    const struct flo_object_words words = {
        .open = "",
        .close = "",
        .member = put_field,
        .between = put_separator,
        .has_fields = true,
        .context = calls,
    };
    struct flo_tree_node *flat = flo_tree_new(&s->tree, FLO_TREE_OBJECT);

    flo_schema_flatten(s, schema, flat);
    if (s->rv == 0 && (FLO_GET(s, flat, "anyOf") != NULL ||
                       FLO_GET(s, flat, "oneOf") != NULL ||
                       FLO_GET(s, flat, "enum") != NULL ||
                       FLO_GET(s, flat, "const") != NULL)) {
        flo_schema_refuse(s, "",
                          "alternatives are not supported in the form "
                          "in which this model writes calls");
    }
    if (s->rv == 0) {
        flo_schema_object_as(s, flat, &words);
    }
}

/* ---- calls ---- */

static const struct flo_tree_node *
parameters_of(struct flo_schema *s, const struct calls *calls, uint32_t i)
{
    const struct flo_tree_node *n =
        flo_tree_member(calls->tools->functions[i], "parameters");
    int types = n == NULL ? FLO_TYPE_OBJECT : flo_schema_types(s, n);

    if ((types & FLO_TYPE_OBJECT) == 0) {
        flo_schema_refuse(s, "/type", "must be an object");
    }
    return n != NULL && n->first != NULL ? n : NULL;
}

/* The tool is an item of its own, without a schema: a refusal names it, and
 * references begin at its parameters. */
static void put_arguments(struct flo_schema *s, const struct calls *calls,
                          uint32_t i)
{
    const struct flo_tree_node *name = flo_tool_name(calls->tools, i);
    struct flo_schema_item *item = &s->items[s->count];
    bool is_json = calls->form->kind == FLO_CALLS_JSON;
    uint32_t at = s->at;

    *item = (struct flo_schema_item){.parent = at};
    snprintf(item->place, sizeof(item->place), "/%.*s",
             flo_schema_cut(name->bytes), name->text);
    s->at = s->count++;
    item->top = parameters_of(s, calls, i);
    if (item->top == NULL) {
        flo_program_text(s->program, is_json ? "{}" : "");
    } else if (is_json) {
        uint32_t count = s->count;
        flo_schema_call(s, item->top, "", "", 0);
        if (s->count > count) {
            s->items[count].place[0] = '\0';
        }
    } else {
        put_fields(s, calls, item->top);
    }
    s->at = at;
}

/* NAME mid ARGUMENTS of each tool that may be called. */
static uint32_t put_call(struct flo_schema *s, const struct calls *calls)
{
    struct flo_program *p = s->program;
    uint32_t rule = flo_program_rule(p), back = flo_program_begin(p, rule);
    struct flo_choice choice;

    flo_choice_begin(p, &choice);
    for (uint32_t i = 0; i < calls->tools->count && s->rv == 0 && !p->failed;
         i++) {
        const struct flo_tree_node *name = flo_tool_name(calls->tools, i);

        if (calls->only != UINT32_MAX && calls->only != i) {
            continue;
        }
        flo_choice_next(p, &choice);
        flo_program_bytes(p, name->text, name->bytes);
        put(s, &calls->form->mid);
        put_arguments(s, calls, i);
    }
    flo_choice_end(p, &choice);
    flo_program_end(p, back);
    return rule;
}

static void put_next(struct flo_schema *s, const struct calls *calls,
                     uint32_t call)
{
    uint32_t rule = flo_program_rule(s->program);
    uint32_t back = flo_program_begin(s->program, rule);

    put(s, &calls->form->next);
    flo_program_call(s->program, call);
    flo_program_end(s->program, back);
    flo_program_repeat(s->program, rule, 0, FLO_CALLS_MAX - 1);
}

static void put_all(struct flo_schema *s, struct calls *calls,
                    const struct flo_call_choice *choice)
{
    struct flo_program *p = s->program;
    uint32_t back, call;

    s->items[0] = (struct flo_schema_item){.rule = flo_program_rule(p)};
    snprintf(s->items[0].place, sizeof(s->items[0].place), "/tools");
    s->count = 1;
    p->root = s->items[0].rule;
    calls->up_to = flo_program_rule(p);
    back = flo_program_begin(p, calls->up_to);
    put_up_to(s, &calls->form->field_close);
    flo_program_end(p, back);
    call = put_call(s, calls);
    back = flo_program_begin(p, p->root);
    if (choice->may_blank) {
        flo_gbnf_put(&s->gbnf, "[ \\n]{0,4}");
    }
    put(s, &calls->form->open);
    flo_program_call(p, call);
    if (!choice->is_one) {
        put_next(s, calls, call);
    }
    put(s, &calls->form->close);
    flo_program_end(p, back);
    flo_schema_put_items(s);
    s->rv = s->rv < 0 ? s->rv : s->gbnf.rv;
}

static uint32_t find(const struct flo_tools *tools,
                     const struct flo_call_choice *choice)
{
    for (uint32_t i = 0; i < tools->count; i++) {
        const struct flo_tree_node *name = flo_tool_name(tools, i);

        if (name->bytes == choice->name_bytes &&
            memcmp(name->text, choice->name, name->bytes) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

int flo_calls_compile(const struct flo_tools *tools,
                      const struct flo_call_form *form,
                      const struct flo_call_choice *choice,
                      struct flo_program **program, struct flo_err *err)
{
    struct flo_schema s = {.tree = tools->tree, .is_python = form->is_python};
    struct calls calls = {.tools = tools, .form = form, .only = UINT32_MAX};

    if (choice->name_bytes > 0) {
        calls.only = find(tools, choice);
    }
    if (tools->count == 0 ||
        (choice->name_bytes > 0 && calls.only == UINT32_MAX)) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "tool_choice names none of the %u tools", tools->count);
    }
    flo_schema_begin(&s, err);
    if (s.rv == 0) {
        put_all(&s, &calls, choice);
    }
    return flo_schema_end(&s, program);
}
