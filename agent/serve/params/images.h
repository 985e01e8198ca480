/* Images: images in messages, accepted only as base64 bytes in the request. */
#ifndef FLOTILLA_SERVE_IMAGES_H
#define FLOTILLA_SERVE_IMAGES_H

#include "agent/serve/params/params.h"

/* Checks for `data:image/TYPE;base64,...` of a PNG, JPEG, WebP or GIF whose
 * first bytes match the type.  Links are refused: a device fetches nothing for
 * a prompt.  FLO_E_INFER_PARAM: the text continues a sentence that begins with
 * the place, "has an image ...". */
FLO_MUST_USE int flo_image_check(struct flo_wire_text url, struct flo_err *err);
/* Detects the type from the first bytes of a base64 text; NULL: none of
 * these. */
const char *flo_image_type(struct flo_wire_text base64);
/* Makes an image part of OpenAI's content.  NULL: out of memory, or an argument
 * is NULL. */
json_t *flo_image_part(const char *type, const char *base64);

#endif
