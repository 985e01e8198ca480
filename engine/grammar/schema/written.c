/* Written: writes values as JSON, with Python's words, or with marks (Gemma 4).
 * A marked text is between two marks and has no escapes.  Names of members then
 * have no quotes:
 *
 *     {name:<|"|>some "text"<|"|>,on:true,list:[1,2]} */
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/schema/schema.h"
#include "engine/token/control.h"

/* Appends a character that is neither in the mark nor a control character. */
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

/* Returns how many bytes of the mark are matched after `byte`.  Before it,
 * `have` bytes were matched. */
static uint32_t overlap(const struct flo_form_text *mark, uint32_t have, char byte)
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

/* Appends text up to a mark that is a control token.  No byte of such a mark
 * can be part of the text. */
static void put_up_to_control(struct flo_schema *s, const struct flo_form_text *mark)
{
    static const bool none[128];
    struct flo_program *p = s->program;
    uint32_t again = flo_program_node(p), end = flo_program_node(p);

    flo_program_join(p, again);
    p->at = again;
    flo_program_fork(p, end);
    put_other(p, none, again);
    p->at = end;
    flo_program_bytes(p, mark->data, mark->bytes);
}

void flo_schema_up_to(struct flo_schema *s, const struct flo_form_text *mark)
{
    struct flo_program *p = s->program;
    uint32_t nodes[FLO_FORM_TEXT_MAX + 1];
    bool is_used[128] = {false};

    if (mark->bytes > 0 && (uint8_t)mark->data[0] >= FLO_CONTROL_FIRST) {
        put_up_to_control(s, mark);
        return;
    }
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

/* ---- with marks ---- */

static const char rules[] = "char ::= plain\n"
                            "name ::= [A-Za-z_] [A-Za-z0-9_-]*\n"
                            "member ::= name \":\" value\n"
                            "object ::= \"{\" (member (\",\" member)*)? \"}\"\n"
                            "array ::= \"[\" (value (\",\" value)*)? \"]\"\n";

void flo_schema_marked_rules(struct flo_schema *s)
{
    struct flo_program *p = s->program;
    uint32_t rule = flo_gbnf_rule(&s->gbnf, "string");
    uint32_t back = flo_program_begin(p, rule);

    flo_program_bytes(p, s->mark->data, s->mark->bytes);
    flo_schema_up_to(s, s->mark);
    flo_program_end(p, back);
    flo_gbnf_read(&s->gbnf, rules, sizeof(rules) - 1);
}

void flo_schema_marked_name(struct flo_schema *s, const char *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if ((uint8_t)name[i] < 0x20 || strchr(":,{}[]<\"", name[i]) != NULL) {
            flo_schema_refuse(s, "/properties",
                              "the name '%.*s' cannot be written in the form in "
                              "which this model writes calls",
                              flo_schema_cut(bytes), name);
        }
    }
    flo_program_bytes(s->program, name, bytes);
    flo_program_text(s->program, ":");
}

static void put_between(struct flo_schema *s, const struct flo_tree_node *text)
{
    if (memmem(text->text, text->bytes, s->mark->data, s->mark->bytes) != NULL) {
        flo_schema_refuse(s, "", "a text has this model's mark of texts in it");
    }
    flo_program_bytes(s->program, s->mark->data, s->mark->bytes);
    flo_program_bytes(s->program, text->text, text->bytes);
    flo_program_bytes(s->program, s->mark->data, s->mark->bytes);
}

static void put_marked(struct flo_schema *s, const struct flo_tree_node *value)
{
    bool is_object = value->kind == FLO_TREE_OBJECT;

    if (value->kind == FLO_TREE_STRING) {
        put_between(s, value);
        return;
    }
    if (!is_object && value->kind != FLO_TREE_ARRAY) {
        s->text.bytes = 0;
        flo_tree_print(value, &s->text);
        flo_program_bytes(s->program, s->text.data, s->text.bytes);
        return;
    }
    flo_program_text(s->program, is_object ? "{" : "[");
    for (const struct flo_tree_node *n = value->first; n != NULL && flo_schema_walk(s, 1);
         n = n->next) {
        if (is_object) {
            flo_schema_marked_name(s, n->key, n->key_bytes);
        }
        put_marked(s, n);
        flo_program_text(s->program, n->next == NULL ? "" : ",");
    }
    flo_program_text(s->program, is_object ? "}" : "]");
}

/* ---- all ---- */

/* Appends the JSON in s->text with Python's True, False and None. */
static void put_python(struct flo_schema *s)
{
    const char *at = s->text.data, *end = at + s->text.bytes;
    bool in_string = false;

    while (at < end) {
        const char *word = *at == 't' ? "True" : *at == 'f' ? "False" : *at == 'n' ? "None" : NULL;
        if (!in_string && word != NULL) {
            flo_program_text(s->program, word);
            at += *at == 'f' ? 5 : 4; /* false; true, null */
            continue;
        }
        if (in_string && *at == '\\') {
            flo_program_bytes(s->program, at++, 1);
        } else if (*at == '"') {
            in_string = !in_string;
        }
        flo_program_bytes(s->program, at++, 1);
    }
}

void flo_schema_literal(struct flo_schema *s, const struct flo_tree_node *value)
{
    if (s->mark != NULL) {
        put_marked(s, value);
        return;
    }
    s->text.bytes = 0;
    flo_tree_print(value, &s->text);
    if (s->is_python) {
        put_python(s);
    } else {
        flo_program_bytes(s->program, s->text.data, s->text.bytes);
    }
    s->program->failed = s->program->failed || s->text.failed;
}
