/* Parser: reads tokens and makes nodes, for all rules of the syntax. */
#include "engine/chat/jinja/parser.h"

#include <flotilla/errors/model.h>

struct jinja_node *flo_jinja_refuse(struct jinja_parser *parser, const char *why)
{
    if (parser->rv == 0) {
        struct jinja_text near = parser->at->text;
        parser->rv = flo_fail(parser->err, FLO_E_MODEL_TEMPLATE,
                              "the chat template, line %u near '%.*s': %s", parser->at->line,
                              (int)(near.bytes < 20 ? flo_utf8_valid(near.data, near.bytes) : 0),
                              near.data != NULL ? near.data : "", why);
    }
    while (parser->at->kind != TOKEN_END) {
        parser->at++;
    }
    return NULL;
}

uint32_t flo_jinja_depth(const struct jinja_node *node)
{
    return node != NULL ? node->depth : 0;
}

uint32_t flo_jinja_deeper(uint32_t depth, const struct jinja_node *node)
{
    return depth > flo_jinja_depth(node) ? depth : flo_jinja_depth(node);
}

struct jinja_node *flo_jinja_make(struct jinja_parser *parser, enum jinja_op op,
                                  struct jinja_node *a, struct jinja_node *b, struct jinja_node *c,
                                  struct jinja_node *args)
{
    struct jinja_node *node = flo_jinja_take(parser->pool, 1, sizeof(*node));
    uint32_t depth = flo_jinja_deeper(flo_jinja_deeper(flo_jinja_depth(a), b), c);
    if (node == NULL) {
        return flo_jinja_refuse(parser, "it is too long");
    }
    for (const struct jinja_node *arg = args; arg != NULL; arg = arg->next) {
        depth = flo_jinja_deeper(depth, arg);
    }
    if (depth >= FLO_JINJA_DEPTH_MAX) {
        return flo_jinja_refuse(parser, "it is nested too deeply");
    }
    *node = (struct jinja_node){.op = op,
                                .line = parser->at->line,
                                .depth = depth + 1,
                                .a = a,
                                .b = b,
                                .c = c,
                                .args = args};
    return node;
}

bool flo_jinja_sees(const struct jinja_parser *parser, enum jinja_token_kind kind, const char *word)
{
    return parser->at->kind == kind && jinja_is(parser->at->text, word);
}

bool flo_jinja_takes(struct jinja_parser *parser, const char *word)
{
    bool is_there =
        flo_jinja_sees(parser, TOKEN_OPERATOR, word) || flo_jinja_sees(parser, TOKEN_NAME, word);
    parser->at += is_there;
    return is_there;
}

void flo_jinja_expect(struct jinja_parser *parser, const char *word)
{
    if (!flo_jinja_takes(parser, word)) {
        flo_jinja_refuse(parser, "another sign must stand here");
    }
}

struct jinja_text flo_jinja_take_name(struct jinja_parser *parser)
{
    struct jinja_text name = parser->at->text;
    if (parser->at->kind != TOKEN_NAME) {
        flo_jinja_refuse(parser, "a name must stand here");
        return jinja_text_of("");
    }
    parser->at++;
    return name;
}

struct jinja_node *flo_jinja_named(struct jinja_node *node, struct jinja_text text)
{
    if (node != NULL) {
        node->text = text;
    }
    return node;
}
