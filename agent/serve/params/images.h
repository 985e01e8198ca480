/* Images in messages: only as bytes of the request, in base64. */
#ifndef FLOTILLA_SERVE_IMAGES_H
#define FLOTILLA_SERVE_IMAGES_H

#include "agent/serve/params/params.h"

/* Is it `data:image/TYPE;base64,...`, of a PNG, JPEG, WebP or GIF whose first
 * bytes are of that type?  Links are refused: a device fetches nothing for a
 * prompt.  FLO_E_INFER_PARAM: the rest of a sentence that begins with a place,
 * "has an image ...". */
FLO_MUST_USE int flo_image_check(struct flo_wire_text url, struct flo_err *err);
/* The type that the first bytes of a base64 text tell; NULL: none of these. */
const char *flo_image_type(struct flo_wire_text base64);
/* A part of OpenAI's content.  NULL: memory is gone, or an argument is NULL. */
json_t *flo_image_part(const char *type, const char *base64);

#endif
