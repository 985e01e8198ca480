/* Parse: reads a regular expression to a tree of nodes and a list of sets. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "base/tree/tree.h"
#include "engine/token/expression/automaton.h"
#include "engine/token/unicode.h"

#define DEPTH_MAX 48 /* most groups and classes inside each other */

struct parser {
    const char *text;
    size_t at, bytes;
    struct flo_regex *out;
    bool ignores_case;
    struct flo_err *err;
};

static int parse_choice(struct parser *p, int depth, uint16_t *out);

/* ---- errors and characters ---- */

static int malformed(const struct parser *p, const char *what)
{
    return flo_fail(p->err, FLO_E_GGUF_VOCAB, "%s at byte %zu of the expression", what, p->at);
}

static int unknown(const struct parser *p, const char *what)
{
    return flo_fail(p->err, FLO_E_NOT_BUILT, "%s at byte %zu of the expression is not built", what,
                    p->at);
}

static bool is_at(const struct parser *p, const char *text)
{
    size_t bytes = strlen(text);
    return p->bytes - p->at >= bytes && memcmp(p->text + p->at, text, bytes) == 0;
}

static bool skip(struct parser *p, const char *text)
{
    bool hit = is_at(p, text);
    p->at += hit ? strlen(text) : 0;
    return hit;
}

static uint32_t next_code(struct parser *p)
{
    size_t taken;
    uint32_t code = flo_utf8_next(p->text + p->at, p->bytes - p->at, &taken);
    p->at += taken;
    return code;
}

/* ---- nodes and sets ---- */

static int add_node(struct parser *p, enum flo_regex_kind kind, uint16_t *out)
{
    struct flo_regex *syntax = p->out;
    if (syntax->node_count == FLO_REGEX_NODES_MAX) {
        return malformed(p, "too many parts");
    }
    *out = syntax->node_count++;
    syntax->nodes[*out] = (struct flo_regex_node){.kind = (uint8_t)kind};
    return 0;
}

static bool is_same(const struct flo_ranges *a, const struct flo_ranges *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->items, b->items, a->count * sizeof(*a->items)) == 0);
}

/* Adds a set to the list, or finds an equal one there.  The set is emptied. */
static int add_set(struct parser *p, struct flo_ranges *set, uint8_t *out)
{
    struct flo_regex *syntax = p->out;
    uint16_t at = 0;
    if (p->ignores_case) {
        flo_ranges_ignore_case(set);
    }
    flo_ranges_tidy(set);
    while (at < syntax->set_count && !is_same(&syntax->sets[at], set)) {
        at++;
    }
    bool is_new = at == syntax->set_count;
    bool is_fine = !set->failed && at < FLO_SETS_MAX;
    if (is_new && is_fine) {
        syntax->sets[syntax->set_count++] = *set;
    } else {
        flo_ranges_deinit(set);
    }
    *out = (uint8_t)at;
    return is_fine ? 0 : malformed(p, "too many sets of characters");
}

static int add_set_node(struct parser *p, struct flo_ranges *set, uint16_t *out)
{
    uint8_t at;
    FLO_TRY(add_set(p, set, &at));
    FLO_TRY(add_node(p, FLO_REGEX_SET, out));
    p->out->nodes[*out].set = at;
    return 0;
}

/* ---- escapes ---- */

static int read_property(struct parser *p, bool inverts, struct flo_ranges *set)
{
    FLO_CLEANUP(flo_ranges_deinit) struct flo_ranges named = {0};
    const char *name = p->text + p->at;
    size_t bytes = 1;
    if (skip(p, "{")) {
        inverts ^= skip(p, "^");
        name = p->text + p->at;
        const char *end = memchr(name, '}', p->bytes - p->at);
        if (end == NULL) {
            return malformed(p, "a property without an end");
        }
        bytes = (size_t)(end - name);
        p->at += bytes + 1;
    } else if (p->at == p->bytes) {
        return malformed(p, "a property without a name");
    } else {
        p->at++;
    }
    if (!flo_ranges_add_name(&named, name, bytes)) {
        return flo_fail(p->err, FLO_E_NOT_BUILT,
                        "the property '%.*s' of an expression is not built",
                        bytes < 32 ? (int)bytes : 32, name);
    }
    if (inverts) {
        flo_ranges_invert(&named);
    }
    flo_ranges_join(set, &named);
    return 0;
}

/* Adds \s, \d or \w, or the other characters for a capital letter. */
static bool add_shorthand(char letter, struct flo_ranges *set)
{
    FLO_CLEANUP(flo_ranges_deinit) struct flo_ranges named = {0};
    bool inverts = letter < 'a';
    switch (letter | 32) {
    case 's':
        flo_ranges_add_blanks(&named);
        break;
    case 'd':
        flo_ranges_add_categories(&named, 1u << FLO_UNICODE_ND);
        break;
    case 'w':
        flo_ranges_add_name(&named, "L", 1);
        flo_ranges_add_name(&named, "M", 1);
        flo_ranges_add_categories(&named, 1u << FLO_UNICODE_ND | 1u << FLO_UNICODE_NL |
                                              1u << FLO_UNICODE_PC);
        flo_ranges_add(&named, 0x24b6, 0x24e9); /* letters in circles and squares */
        flo_ranges_add(&named, 0x1f130, 0x1f149);
        flo_ranges_add(&named, 0x1f150, 0x1f169);
        flo_ranges_add(&named, 0x1f170, 0x1f189);
        break;
    default:
        return false;
    }
    if (inverts) {
        flo_ranges_invert(&named);
    }
    flo_ranges_join(set, &named);
    return true;
}

static int read_hex(struct parser *p, char letter, uint32_t *code)
{
    const char *at = p->text + p->at, *end = p->text + p->bytes;
    bool has_brace = letter == 'x' && skip(p, "{");
    if (has_brace) {
        const char *close = memchr(p->text + p->at, '}', p->bytes - p->at);
        at = p->text + p->at;
        if (close == NULL || close - at < 1 || close - at > 6 ||
            !flo_hex_read(&at, close, (int)(close - at), code)) {
            return malformed(p, "a broken code point");
        }
        at++;
    } else if (!flo_hex_read(&at, end, letter == 'x' ? 2 : 4, code)) {
        return malformed(p, "a broken code point");
    }
    p->at = (size_t)(at - p->text);
    return *code <= FLO_UNICODE_CODE_MAX ? 0 : malformed(p, "a code point that does not exist");
}

/* Reads what follows a backslash: a set, or one character in *code, which is
 * else UINT32_MAX. */
static int read_escape(struct parser *p, struct flo_ranges *set, uint32_t *code)
{
    static const char letters[] = "nrtfv0ae", codes[] = "\n\r\t\f\v\0\a\x1b";
    *code = UINT32_MAX;
    if (p->at == p->bytes) {
        return malformed(p, "a backslash without a character");
    }
    char letter = p->text[p->at];
    const char *known = memchr(letters, letter, sizeof(letters) - 1);
    if (letter == 'p' || letter == 'P') {
        p->at++;
        return read_property(p, letter == 'P', set);
    }
    if (letter == 'x' || letter == 'u') {
        p->at++;
        return read_hex(p, letter, code);
    }
    if (known != NULL) {
        p->at++;
        *code = (uint8_t)codes[known - letters];
    } else if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '1' && letter <= '9')) {
        if (!add_shorthand(letter, set)) {
            return unknown(p, "the escape");
        }
        p->at++;
    } else {
        *code = next_code(p);
    }
    return 0;
}

/* ---- classes ---- */

/* Reads one character, set or range of a class. */
static int read_class_item(struct parser *p, struct flo_ranges *set)
{
    uint32_t first, last;
    if (skip(p, "\\")) {
        FLO_TRY(read_escape(p, set, &first));
        if (first == UINT32_MAX) {
            return 0;
        }
    } else {
        first = next_code(p);
    }
    last = first;
    if (is_at(p, "-") && !is_at(p, "-]") && !is_at(p, "-[") && p->at + 1 < p->bytes) {
        p->at++;
        if (skip(p, "\\")) {
            FLO_TRY(read_escape(p, set, &last));
        } else {
            last = next_code(p);
        }
        if (last == UINT32_MAX || last < first) {
            return malformed(p, "a range without an end");
        }
    }
    flo_ranges_add(set, first, last);
    return 0;
}

static int read_class(struct parser *p, int depth, struct flo_ranges *out);

/* Reads the items of a class up to its end or to "&&". */
static int read_class_items(struct parser *p, int depth, struct flo_ranges *set)
{
    for (bool is_first = true; is_first || !is_at(p, "]"); is_first = false) {
        if (p->at == p->bytes) {
            return malformed(p, "a class without an end");
        }
        if (is_at(p, "&&")) {
            return 0;
        }
        if (is_at(p, "[:")) {
            return unknown(p, "a class with a name");
        }
        if (skip(p, "[")) {
            struct flo_ranges inner = {0};
            int rv = read_class(p, depth - 1, &inner);
            flo_ranges_join(set, &inner);
            flo_ranges_deinit(&inner);
            FLO_TRY(rv);
        } else {
            FLO_TRY(read_class_item(p, set));
        }
    }
    return 0;
}

/* Reads a class after its '['. */
static int read_class(struct parser *p, int depth, struct flo_ranges *out)
{
    if (depth == 0) {
        return malformed(p, "too many classes inside each other");
    }
    bool inverts = skip(p, "^");
    FLO_TRY(read_class_items(p, depth, out));
    while (skip(p, "&&")) {
        struct flo_ranges other = {0};
        int rv = read_class_items(p, depth, &other);
        flo_ranges_intersect(out, &other);
        flo_ranges_deinit(&other);
        FLO_TRY(rv);
    }
    p->at++; /* the ']' */
    if (p->ignores_case) {
        flo_ranges_ignore_case(out);
    }
    if (inverts) {
        flo_ranges_invert(out);
    }
    return 0;
}

/* ---- groups ---- */

/* Collects the characters that a lookahead allows: a set, the text's end, or
 * several of them. */
static bool collect_ahead(const struct flo_regex *s, uint16_t at, struct flo_ranges *set,
                          bool *at_end)
{
    const struct flo_regex_node *node = &s->nodes[at];
    switch (node->kind) {
    case FLO_REGEX_SET:
        flo_ranges_join(set, &s->sets[node->set]);
        return true;
    case FLO_REGEX_AHEAD:
        *at_end = node->at_end;
        return node->at_end;
    case FLO_REGEX_LIST:
        return node->child != 0 && s->nodes[node->child].next == 0 &&
               collect_ahead(s, node->child, set, at_end);
    case FLO_REGEX_CHOICE:
        for (uint16_t child = node->child; child != 0; child = s->nodes[child].next) {
            if (!collect_ahead(s, child, set, at_end)) {
                return false;
            }
        }
        return true;
    default:
        return false;
    }
}

static int parse_ahead(struct parser *p, bool is_negated, int depth, uint16_t *out)
{
    struct flo_ranges set = {0};
    bool at_end = false;
    uint16_t inner = 0;
    uint8_t place;
    FLO_TRY(parse_choice(p, depth - 1, &inner));
    if (!collect_ahead(p->out, inner, &set, &at_end)) {
        flo_ranges_deinit(&set);
        return unknown(p, "a lookahead at more than one character");
    }
    if (is_negated) {
        flo_ranges_invert(&set);
        at_end = !at_end;
    }
    FLO_TRY(add_set(p, &set, &place));
    FLO_TRY(add_node(p, FLO_REGEX_AHEAD, out));
    p->out->nodes[*out].set = place;
    p->out->nodes[*out].at_end = at_end;
    return 0;
}

/* Parses a group after its '('. */
static int parse_group(struct parser *p, int depth, uint16_t *out)
{
    bool ignored_case = p->ignores_case;
    if (depth == 0) {
        return malformed(p, "too many groups inside each other");
    }
    if (skip(p, "?#")) {
        const char *end = memchr(p->text + p->at, ')', p->bytes - p->at);
        p->at = end != NULL ? (size_t)(end - p->text) : p->bytes;
        FLO_TRY(add_node(p, FLO_REGEX_LIST, out));
    } else if (is_at(p, "?=") || is_at(p, "?!")) {
        p->at += 2;
        FLO_TRY(parse_ahead(p, p->text[p->at - 1] == '!', depth, out));
    } else if (is_at(p, "?") && !is_at(p, "?:") && !is_at(p, "?i:")) {
        return unknown(p, "the group");
    } else {
        p->ignores_case = ignored_case || is_at(p, "?i:");
        p->at += is_at(p, "?i:") ? 3 : is_at(p, "?:") ? 2 : 0;
        FLO_TRY(parse_choice(p, depth - 1, out));
    }
    p->ignores_case = ignored_case;
    return skip(p, ")") ? 0 : malformed(p, "a group without an end");
}

static int parse_atom(struct parser *p, int depth, uint16_t *out)
{
    struct flo_ranges set = {0};
    uint32_t code = UINT32_MAX;
    int rv = 0;
    if (skip(p, "(")) {
        return parse_group(p, depth, out);
    }
    if (is_at(p, "^")) {
        return unknown(p, "the beginning of a line");
    }
    if (is_at(p, "*") || is_at(p, "+") || is_at(p, "?")) {
        return malformed(p, "a repetition of nothing");
    }
    if (skip(p, "$")) {
        uint8_t place;
        flo_ranges_add(&set, '\n', '\n');
        FLO_TRY(add_set(p, &set, &place));
        FLO_TRY(add_node(p, FLO_REGEX_AHEAD, out));
        p->out->nodes[*out].set = place;
        p->out->nodes[*out].at_end = true;
        return 0;
    }
    if (skip(p, "[")) {
        rv = read_class(p, depth, &set);
    } else if (skip(p, "\\")) {
        rv = read_escape(p, &set, &code);
    } else if (skip(p, ".")) {
        flo_ranges_add(&set, '\n', '\n');
        flo_ranges_invert(&set);
    } else {
        code = next_code(p);
    }
    if (rv == 0 && code != UINT32_MAX) {
        flo_ranges_add(&set, code, code);
    }
    if (rv < 0) {
        flo_ranges_deinit(&set);
        return rv;
    }
    return add_set_node(p, &set, out);
}

/* ---- repetitions, lists and choices ---- */

static bool read_number(struct parser *p, uint16_t *out)
{
    uint32_t number = 0;
    size_t from = p->at;
    while (p->at < p->bytes && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        number = number * 10 + (uint32_t)(p->text[p->at++] - '0');
        number = number < FLO_REPEAT_MAX + 1 ? number : FLO_REPEAT_MAX + 1;
    }
    *out = (uint16_t)number;
    return p->at > from;
}

/* Reads {n}, {n,}, {,m} or {n,m}.  Any other text is left where it is. */
static bool read_bounds(struct parser *p, struct flo_regex_node *node)
{
    size_t from = p->at;
    p->at++;
    bool has_least = read_number(p, &node->least), has_most = false;
    node->most = node->least;
    if (skip(p, ",")) {
        has_most = read_number(p, &node->most);
        node->most = has_most ? node->most : FLO_REPEAT_ALWAYS;
    }
    bool is_fine = (has_least || has_most) && skip(p, "}");
    p->at = is_fine ? p->at : from;
    return is_fine;
}

/* Puts the node that was parsed last into a repetition, if one follows. */
static int parse_repeat(struct parser *p, uint16_t *node)
{
    struct flo_regex_node repeat = {.kind = FLO_REGEX_REPEAT, .most = FLO_REPEAT_ALWAYS};
    uint16_t at = 0;
    bool has_bounds = false;
    if (skip(p, "?")) {
        repeat.most = 1;
    } else if (skip(p, "+")) {
        repeat.least = 1;
    } else if (!skip(p, "*")) {
        has_bounds = is_at(p, "{") && read_bounds(p, &repeat);
        if (!has_bounds) {
            return 0;
        }
    }
    if ((repeat.most != FLO_REPEAT_ALWAYS &&
         (repeat.most > FLO_REPEAT_MAX || repeat.most < repeat.least)) ||
        repeat.least > FLO_REPEAT_MAX) {
        return malformed(p, "a repetition out of bounds");
    }
    if (has_bounds && is_at(p, "+")) {
        return unknown(p, "the second repetition");
    }
    repeat.is_lazy = skip(p, "?");
    repeat.is_possessive = !repeat.is_lazy && skip(p, "+");
    if (is_at(p, "*") || is_at(p, "+") || is_at(p, "?")) {
        return malformed(p, "a repetition of a repetition");
    }
    FLO_TRY(add_node(p, FLO_REGEX_REPEAT, &at));
    repeat.child = *node;
    p->out->nodes[at] = repeat;
    *node = at;
    return 0;
}

static int parse_list(struct parser *p, int depth, uint16_t *out)
{
    uint16_t last = 0;
    FLO_TRY(add_node(p, FLO_REGEX_LIST, out));
    while (p->at < p->bytes && !is_at(p, "|") && !is_at(p, ")")) {
        uint16_t node = 0;
        FLO_TRY(parse_atom(p, depth, &node));
        FLO_TRY(parse_repeat(p, &node));
        if (last == 0) {
            p->out->nodes[*out].child = node;
        } else {
            p->out->nodes[last].next = node;
        }
        last = node;
    }
    return 0;
}

static int parse_choice(struct parser *p, int depth, uint16_t *out)
{
    uint16_t last = 0;
    if (depth == 0) {
        return malformed(p, "too many groups inside each other");
    }
    FLO_TRY(add_node(p, FLO_REGEX_CHOICE, out));
    FLO_TRY(parse_list(p, depth, &last));
    p->out->nodes[*out].child = last;
    while (skip(p, "|")) {
        uint16_t list = 0;
        FLO_TRY(parse_list(p, depth, &list));
        p->out->nodes[last].next = list;
        last = list;
    }
    return 0;
}

int flo_regex_read(const char *text, size_t bytes, struct flo_regex *out, struct flo_err *err)
{
    struct parser p = {.text = text, .bytes = bytes, .out = out, .err = err};
    uint16_t root = 0;
    out->node_count = 1; /* node 0 means none */
    if (bytes == 0 || bytes > FLO_EXPRESSION_TEXT_BYTES_MAX ||
        flo_utf8_valid(text, bytes) != bytes) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "an expression of %zu bytes, 1 to %u in UTF-8 are allowed", bytes,
                        FLO_EXPRESSION_TEXT_BYTES_MAX);
    }
    FLO_TRY(parse_choice(&p, DEPTH_MAX, &root));
    return p.at == bytes ? 0 : malformed(&p, "a ')' without a group");
}

void flo_regex_deinit(struct flo_regex *syntax)
{
    for (uint16_t i = 0; i < syntax->set_count; i++) {
        flo_ranges_deinit(&syntax->sets[i]);
    }
    syntax->set_count = 0;
}
