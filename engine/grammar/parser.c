/* Parser: parses expressions of GBNF and of regular expressions into a
 * program. */
#include "engine/grammar/parser.h"

#include <string.h>

#include <flotilla/errors/infer.h>

enum { DEPTH_MAX = 64, TIMES_MAX = 16384 };

void flo_parser_refuse(struct flo_parser *p, const char *at, const char *what)
{
    unsigned line = 1;

    for (const char *c = p->begin; c < at; c++) {
        line += *c == '\n';
    }
    if (p->rv == 0) {
        p->rv = flo_fail(p->err, FLO_E_INFER_SCHEMA, "grammar, line %u: %s", line, what);
    }
    p->at = p->end;
}

static uint32_t read_number(struct flo_parser *p)
{
    uint32_t value = 0;
    const char *begin = p->at;
    char c;

    while ((c = flo_parser_peek(p)) >= '0' && c <= '9' && value <= TIMES_MAX) {
        value = 10 * value + (uint32_t)(c - '0');
        p->at++;
    }
    if (p->at == begin || value > TIMES_MAX) {
        flo_parser_refuse(p, begin, "{} needs numbers of at most 16384");
    }
    p->syntax->skip(p, false);
    return value;
}

/* Reads a repetition, which is * + ? {m} {m,} or {m,n}.  Returns false if none
 * follows. */
static bool read_times(struct flo_parser *p, uint32_t *least, uint32_t *most)
{
    const char *begin = p->at;
    char c = flo_parser_peek(p);

    if (c == '\0' || strchr("*+?{", c) == NULL) {
        return false;
    }
    p->at++;
    *least = c == '+';
    *most = c == '?' ? 1 : UINT32_MAX;
    if (c != '{') {
        return true;
    }
    p->syntax->skip(p, false);
    *least = *most = read_number(p);
    if (flo_parser_peek(p) == ',') {
        p->at++;
        p->syntax->skip(p, false);
        *most = flo_parser_peek(p) == '}' ? UINT32_MAX : read_number(p);
    }
    if (flo_parser_peek(p) != '}' || *most < *least) {
        flo_parser_refuse(p, begin, "{} is {m}, {m,} or {m,n}");
        return true;
    }
    p->at++;
    return true;
}

/* Parses an item and its repetition.  The item is built separately, so that a
 * repetition can make it a rule and call it.  Without a repetition the item is
 * appended as it is. */
static void read_repeated(struct flo_parser *p)
{
    struct flo_program *program = p->program;
    uint32_t from = program->at, start = flo_program_node(program);
    uint32_t least, most;

    program->at = start;
    p->syntax->item(p);
    if (read_times(p, &least, &most)) {
        uint32_t rule = flo_program_rule(program);

        program->starts[rule] = start;
        flo_program_end(program, from);
        flo_program_repeat(program, rule, least, most);
    } else {
        uint32_t end = program->at;

        program->at = from;
        flo_program_join(program, start);
        program->at = end;
    }
}

void flo_parser_choices(struct flo_parser *p)
{
    struct flo_choice choice;

    flo_choice_begin(p->program, &choice);
    for (;;) {
        flo_choice_next(p->program, &choice);
        while (p->at < p->end && strchr(p->syntax->ends, *p->at) == NULL) {
            read_repeated(p);
            p->syntax->skip(p, p->depth > 0);
        }
        if (flo_parser_peek(p) != '|') {
            break;
        }
        p->at++;
        p->syntax->skip(p, true);
    }
    flo_choice_end(p->program, &choice);
}

void flo_parser_group(struct flo_parser *p)
{
    const char *begin = p->at;

    if (p->depth == DEPTH_MAX) {
        flo_parser_refuse(p, begin, "groups are nested too deep");
        return;
    }
    p->depth++;
    p->syntax->skip(p, true);
    flo_parser_choices(p);
    p->depth--;
    if (flo_parser_peek(p) != ')') {
        flo_parser_refuse(p, begin, "a group does not end");
        return;
    }
    p->at++;
}

void flo_parser_class(struct flo_parser *p, struct flo_code_set *set)
{
    const char *begin = p->at++;
    bool is_negated = flo_parser_peek(p) == '^';

    p->at += is_negated;
    while (p->rv == 0 && flo_parser_peek(p) != ']') {
        uint32_t first, last;

        if (!p->syntax->code(p, set, &first)) {
            continue;
        }
        last = first;
        if (flo_parser_peek(p) == '-' && p->at + 1 < p->end && p->at[1] != ']') {
            p->at++;
            set->failed = !p->syntax->code(p, set, &last);
        }
        flo_code_set_add(set, first, last);
        if (set->failed) {
            flo_parser_refuse(p, begin, "a class that is upside down or too long");
        }
    }
    p->at += p->rv == 0;
    if (is_negated) {
        flo_code_set_negate(set);
    }
}
