/* The quick way of flo_json_parse; private to it, its tests and its fuzzer. */
#ifndef FLOTILLA_HOST_JSON_QUICK_H
#define FLOTILLA_HOST_JSON_QUICK_H

#include "base/host/json.h"

/* The tree of a document in UTF-8 that is no deeper than FLO_JSON_DEPTH_MAX:
 * the same one that json_loadb makes with JSON_REJECT_DUPLICATES.
 *
 * NULL: the text is no such document, has a number or an escape that is left
 * to jansson, or memory is out.  jansson then says which. */
json_t *flo_json_quick(const char *text, size_t bytes);

#endif
