/* Types: tells which types a schema allows, and whether two values differ. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/schema/schema.h"

static const char *const type_names[] = {"object",  "array",   "string", "number",
                                         "integer", "boolean", "null"};

int flo_schema_named_types(struct flo_schema *s, const struct flo_tree_node *type,
                           const struct flo_tree_node **odd)
{
    bool is_list = type->kind == FLO_TREE_ARRAY;
    const struct flo_tree_node *n = is_list ? type->first : type;
    int types = 0;

    for (*odd = NULL; n != NULL && flo_schema_walk(s, FLO_COUNT(type_names));
         n = is_list ? n->next : NULL) {
        size_t i = 0;

        while (i < FLO_COUNT(type_names) && !flo_tree_is(n, type_names[i])) {
            i++;
        }
        if (i == FLO_COUNT(type_names)) {
            *odd = n;
            break;
        }
        types |= 1 << i;
    }
    return types;
}

int flo_schema_types(struct flo_schema *s, const struct flo_tree_node *schema)
{
    const struct flo_tree_node *type = FLO_GET(s, schema, "type"), *odd;
    int types = 0;

    if (type == NULL) {
        for (odd = schema->first; odd != NULL; odd = odd->next) {
            int about = flo_schema_keyword_types(s, odd);
            types |= about == FLO_TYPE_ANY ? 0 : about & ~FLO_TYPE_INTEGER;
        }
        return types == 0 ? FLO_TYPE_ANY : types;
    }
    types = flo_schema_named_types(s, type, &odd);
    if (odd != NULL) {
        flo_schema_refuse(s, "/type", "'%.*s' is no type", flo_schema_cut(odd->bytes), odd->text);
    } else if (types == 0) {
        flo_schema_refuse(s, "/type", "is empty");
    }
    return types;
}

bool flo_schema_value_is(const struct flo_tree_node *value, int types)
{
    static const int of[] = {
        [FLO_TREE_NULL] = FLO_TYPE_NULL,     [FLO_TREE_BOOLEAN] = FLO_TYPE_BOOLEAN,
        [FLO_TREE_NUMBER] = FLO_TYPE_NUMBER, [FLO_TREE_STRING] = FLO_TYPE_STRING,
        [FLO_TREE_ARRAY] = FLO_TYPE_ARRAY,   [FLO_TREE_OBJECT] = FLO_TYPE_OBJECT,
    };
    int64_t whole;

    return (types & of[value->kind]) != 0 ||
           ((types & FLO_TYPE_INTEGER) != 0 && flo_tree_whole(value, INT64_MIN, INT64_MAX, &whole));
}

bool flo_schema_differ(struct flo_schema *s, const struct flo_tree_node *x,
                       const struct flo_tree_node *y)
{
    if (x == NULL || y == NULL || !flo_schema_walk(s, 8 + x->bytes + y->bytes)) {
        return false;
    }
    if (x->kind == FLO_TREE_NUMBER && y->kind == FLO_TREE_NUMBER) {
        return strtod(x->text, NULL) != strtod(y->text, NULL);
    }
    /* Two objects may have the same members in another order, so they may be
     * equal. */
    return x->kind != y->kind ||
           (x->first == NULL && y->first == NULL && !flo_schema_same(s, x, y));
}
