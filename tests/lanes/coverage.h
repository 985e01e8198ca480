/* Jansson's macros as functions, for coverage.py alone: their own branches, such as a
 * value that is NULL, are none of the cores'. */
#include <jansson.h>
#include <stdbool.h>

static inline bool coverage_is(const json_t *value, json_type type)
{
    return value != NULL && json_typeof(value) == type;
}

static inline bool coverage_is_either(const json_t *value, json_type one, json_type other)
{
    return coverage_is(value, one) || coverage_is(value, other);
}

static inline bool coverage_item(const json_t *array, size_t at, json_t **value)
{
    return at < json_array_size(array) && (*value = json_array_get(array, at)) != NULL;
}

static inline bool coverage_member(const char *key, json_t **value)
{
    return key != NULL && (*value = json_object_iter_value(json_object_key_to_iter(key))) != NULL;
}

#undef json_is_object
#undef json_is_array
#undef json_is_string
#undef json_is_integer
#undef json_is_real
#undef json_is_number
#undef json_is_true
#undef json_is_false
#undef json_is_boolean
#undef json_is_null
#undef json_array_foreach
#undef json_object_foreach
#define json_is_object(value) coverage_is(value, JSON_OBJECT)
#define json_is_array(value) coverage_is(value, JSON_ARRAY)
#define json_is_string(value) coverage_is(value, JSON_STRING)
#define json_is_integer(value) coverage_is(value, JSON_INTEGER)
#define json_is_real(value) coverage_is(value, JSON_REAL)
#define json_is_number(value) coverage_is_either(value, JSON_INTEGER, JSON_REAL)
#define json_is_true(value) coverage_is(value, JSON_TRUE)
#define json_is_false(value) coverage_is(value, JSON_FALSE)
#define json_is_boolean(value) coverage_is_either(value, JSON_TRUE, JSON_FALSE)
#define json_is_null(value) coverage_is(value, JSON_NULL)
#define json_array_foreach(array, at, value)                                                       \
    for ((at) = 0; coverage_item(array, at, &(value)); (at)++)
#define json_object_foreach(object, key, value)                                                    \
    for ((key) = json_object_iter_key(json_object_iter(object)); coverage_member(key, &(value));   \
         (key) =                                                                                   \
             json_object_iter_key(json_object_iter_next(object, json_object_key_to_iter(key))))
