/* Quick JSON: the fast path of flo_json_parse; private to it, its tests and its
 * fuzzer. */
#ifndef FLOTILLA_HOST_JSON_QUICK_H
#define FLOTILLA_HOST_JSON_QUICK_H

#include "base/host/json.h"

/* Parses a UTF-8 document no deeper than FLO_JSON_DEPTH_MAX.  The tree is the
 * one that json_loadb makes with JSON_REJECT_DUPLICATES.  Returns NULL when the
 * text is not such a document, has a number or an escape that is left to
 * jansson, or memory is out.  The caller then parses the text with jansson,
 * which reports the error. */
json_t *flo_json_quick(const char *text, size_t bytes);

#endif
